"""Two to six systems on the queries all of them answered: what each difference is worth, per data set and together, and in which pairs of languages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clir_bench import languages
from clir_bench import significance as sig
from clir_bench.compare import FLIPS, LEVEL, moved_by_languages, too_few_languages
from clir_bench.exhibits import maps
from clir_bench.exhibits.dots import Dot
from clir_bench.exhibits.tables import Cell, Column, Interval, Marked, Table
from clir_bench.standings.index import Board, Floats, Index
from clir_bench.standings.memory import remembered
from clir_bench.standings.overview import RESAMPLES
from clir_bench.standings.paired import Bools, Ints, compared, has, position
from clir_bench.standings.selection import Selection

MOST = 6
"""Systems that are compared at once."""
HIGHLIGHTED = ("en-es", "en-zh", "ar-ru", "ja-en")
"""The pairs that the paper's Figures 4, 5 and 7 follow."""


class Elsewhere(NamedTuple):
    """95 % intervals of differences had other languages been drawn, too, [systems, systems]: row minus column."""

    least: Floats
    most: Floats


class Scope(NamedTuple):
    """A data set, or all of them together, each with an equal weight. Arrays over the systems, or [systems, systems]: row minus column.

    ``low``, ``high`` and ``least``, ``most`` of differences: 95 %, topics resampled. ``p``: topics flipped;
    ``apart``: significant at 5 % after Holm over all pairs of these systems. ``detectable``: the smallest true difference found with 80 % power; ``more``: how
    many more topics would find the one there is, 0 where it is found already, inf where there is none, NaN where one topic shows no spread. ``elsewhere``: or
    why that is not known.
    """

    title: str
    pairs: int
    queries: int
    topics: int
    scores: Floats
    low: Floats
    high: Floats
    difference: Floats
    least: Floats
    most: Floats
    p: Floats
    apart: Bools
    detectable: Floats
    more: Floats
    elsewhere: Elsewhere | str = ""

    def more_queries(self, a: int, b: int) -> float:
        """The evaluated queries of ``more`` topics."""
        more = float(self.more[a, b])
        return math.ceil(more * self.queries / self.topics) if math.isfinite(more) else more


@dataclass(frozen=True)
class Contest:
    """The systems ``lines`` on the chosen pairs that all of them have gold ranks for, ``masks`` [pairs] of each board; ``places`` in each board's arrays.

    ``scopes``: one a board, and a last one for all together where there are several; none where no layout says what a topic is. ``missing``: what was
    chosen and is not compared, in words.
    """

    measure: str
    lines: tuple[int, ...]
    names: tuple[str, ...]
    boards: tuple[Board, ...]
    masks: tuple[Bools, ...]
    places: tuple[tuple[int, ...], ...]
    scopes: tuple[Scope, ...]
    missing: tuple[str, ...]
    _gaps: dict[tuple[int, int, int], sig.PairTests] = field(default_factory=dict)

    def letter(self, system: int) -> str:
        """What stands for the system where its name would be too long."""
        return chr(ord("A") + system)

    def called(self, system: int) -> str:
        """Its name, and the letter that stands for it."""
        return f"{self.names[system]} ({self.letter(system)})"

    def gaps(self, board: int, a: int, b: int) -> sig.PairTests:
        """System ``a`` against ``b``, pair by pair of languages."""
        if (board, a, b) not in self._gaps:
            places = self.places[board]
            self._gaps[board, a, b] = compared(self.boards[board], places[a], places[b], self.masks[board], self.measure)
        return self._gaps[board, a, b]


def contest(index: Index, selection: Selection, lines: Sequence[int]) -> Contest:
    """The systems on the selection's pairs. Kept in the index's memory. Raises SubmissionError for a measure that a board lacks."""
    boards = selection.chosen(index)
    masks = tuple(selection.pairs_of(board) for board in boards)
    key = ("contest", selection.measure, tuple(lines), tuple(board.key for board in boards), tuple(mask.tobytes() for mask in masks))
    return remembered(index, key, lambda: _contest(index, selection.measure, tuple(lines), boards, masks))


def verdict(found: Contest, scope: Scope, a: int, b: int) -> str:
    """What the queries say of two systems, in a sentence; plain text."""
    better, worse = (a, b) if scope.difference[a, b] >= 0 else (b, a)
    d, low, high, p = (100 * float(x[better, worse]) for x in (scope.difference, scope.least, scope.most, scope.p))
    over = f"over {scope.pairs:,} pair{'s' * (scope.pairs > 1)} and {scope.topics:,} topics ({scope.title})"
    if not sig.sign(d / 100):
        return f"{found.names[a]} and {found.names[b]} have the same mean {found.measure} {over}."
    says = f"{d:.1f} points in {found.measure}, 95\u00a0% interval {_points(low)} to {_points(high)}, p {_p(p / 100)}"
    if isinstance(scope.elsewhere, Elsewhere):
        says += f"; for other languages {' to '.join(_points(100 * float(bound[better, worse])) for bound in scope.elsewhere)}"
    if scope.p[a, b] <= 1 - LEVEL:
        return f"{found.names[better]} is better than {found.names[worse]} {over}: {says}."
    more = f"It would take about {float(scope.more[a, b]):,.0f} more topics, some {scope.more_queries(a, b):,.0f} queries, to find such a difference in this comparison alone"
    if not math.isfinite(scope.more[a, b]):
        more = "One topic has no spread, so it cannot be said how many would settle it"
    return f"{found.names[better]} is ahead of {found.names[worse]} {over}, but the two cannot be told apart: {says}. {more}."


def overall_table(found: Contest, a: int, b: int) -> Table:
    """What the difference of two systems is worth: a row a data set, and one for all."""
    first, second = found.letter(a), found.letter(b)
    columns = (
        Column("over", "data set"), Column("pairs", "pairs", "integer"), Column("queries", "queries", "integer"), Column("topics", "topics", "integer"),
        Column("first", first, "percent", found.names[a]), Column("second", second, "percent", found.names[b]),
        Column("difference", f"{first} minus {second}", "points"),
        Column("low", "from", "points", "95\u00a0% interval, topics resampled"), Column("high", "to", "points"),
        Column("elsewhere", "for other languages", "points", "from: 95\u00a0% interval had other query and document languages been drawn, too"), Column("elsewhere_high", "to", "points"),
        Column("p", "p", "p", "topics flipped; two-sided, not corrected for the number of systems"),
        Column("detectable", "detectable", "percent", "the smallest true difference that is found in four of five cases"),
        Column("more_topics", "more topics", "integer", "how many more would find this difference in four of five cases, in this comparison alone; 0 where it is found already"),
        Column("more_queries", "more queries", "integer", "the evaluated queries of those topics"),
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = [
        (
            scope.title, scope.pairs, scope.queries, scope.topics, float(scope.scores[a]), float(scope.scores[b]),
            Marked(float(scope.difference[a, b]), "*" if scope.p[a, b] <= 1 - LEVEL else ""), float(scope.least[a, b]), float(scope.most[a, b]),
            *((None, None) if isinstance(scope.elsewhere, str) else (float(bound[a, b]) for bound in scope.elsewhere)), float(scope.p[a, b]), float(scope.detectable[a, b]), float(scope.more[a, b]), scope.more_queries(a, b),
        )
        for scope in found.scopes
    ]  # fmt: skip
    note = (
        "* p at most 5\u00a0%. Means are over pairs, unweighted; data sets weigh alike. Topics are flipped and resampled whole, with all their languages."
        " Detectable, more topics and more queries are those of this comparison alone, without a correction for the number of systems."
        " For other languages: each language left out in turn, with all its pairs; wide rather than narrow."
        f"{''.join(f' Not known of {scope.title}: {scope.elsewhere}.' for scope in found.scopes if isinstance(scope.elsewhere, str))}"
    )
    return Table(f"{found.measure} of {found.called(a)} and {found.called(b)}", columns, tuple(rows), note)


def matrix_table(found: Contest, scope: Scope) -> Table:
    """Every system minus every other."""
    systems = range(len(found.names))
    columns = (
        Column("system", "system"), Column("score", found.measure, "interval"),
        *(Column(f"minus_{found.letter(i)}", f"minus {found.letter(i)}", "change", found.names[i]) for i in systems),
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for i in systems:
        score = Interval(float(scope.scores[i]), float(scope.low[i]), float(scope.high[i]))
        line = ("" if i == j else Marked(float(scope.difference[i, j]), "*" if scope.apart[i, j] else "") for j in systems)
        rows.append((f"{found.letter(i)}\u2002{found.names[i]}", score, *line))
    comparisons = len(systems) * (len(systems) - 1) // 2
    note = (
        f"Row minus column, percentage points; * told apart at 5\u00a0%: topics flipped, Holm over {comparisons} comparisons. "
        f"{scope.pairs:,} pair{'s' * (scope.pairs > 1)}, {scope.queries:,} queries, {scope.topics:,} topics."
    )
    return Table(f"{scope.title}: every system against every other", columns, tuple(rows), note)


def wins_table(found: Contest, a: int, b: int) -> Table:
    """In how many pairs of languages the first is ahead of the second, level with it or behind, and in how many significantly: a row a data set."""
    first, second = found.letter(a), found.letter(b)
    columns = (
        Column("over", "data set"), Column("pairs", "pairs", "integer"),
        Column("ahead", f"{first} ahead", "integer"), Column("level", "level", "integer"), Column("behind", f"{second} ahead", "integer"),
        Column("ahead_sure", f"{first} significantly", "integer"), Column("behind_sure", f"{second} significantly", "integer"),
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for k, (board, mask) in enumerate(zip(found.boards, found.masks, strict=True)):
        gaps = found.gaps(k, a, b)
        d, sure = gaps.difference[mask], gaps.significant[mask]
        rows.append((maps.short(board), len(d), *(int(x.sum()) for x in (d > 0, d == 0, d < 0, sure & (d > 0), sure & (d < 0)))))
    note = f"Significant: {found.gaps(0, a, b).test} of each pair, Benjamini and Hochberg at 5\u00a0% over the pairs of a data set."
    return Table(f"Pairs of languages: {found.called(a)} against {found.called(b)}", columns, tuple(rows), note)


def difference_map(index: Index, found: Contest, board: int, a: int, b: int, order: maps.Order) -> Table:
    """The differences of two systems in each pair of languages that all have, marked where they are significant."""
    first, second = (maps.cells(index, found.boards[board], found.lines[i], found.masks[board], found.measure) for i in (a, b))
    assert first is not None and second is not None  # both have gold ranks here
    return maps.difference_map(first, second, found.gaps(board, a, b), order)


def difference_dots(found: Contest, a: int, b: int) -> list[Dot]:
    """The difference of two systems on each data set, and on all."""
    name = f"{found.names[a]} minus {found.names[b]}"
    return [Dot(s.title, name, float(s.difference[a, b]), float(s.least[a, b]), float(s.most[a, b]), s.queries) for s in found.scopes]


def score_dots(found: Contest) -> list[Dot]:
    """Every system on each data set, and on all."""
    return [Dot(s.title, name, float(s.scores[i]), float(s.low[i]), float(s.high[i]), s.queries) for s in found.scopes for i, name in enumerate(found.names)]


def pair_dots(index: Index, found: Contest, board: int, pairs: Sequence[str]) -> list[Dot]:
    """Every system in these pairs of languages."""
    on, dots = found.boards[board], []
    systems = [maps.cells(index, on, line, found.masks[board], found.measure) for line in found.lines]
    for i in (pairs_of(found, board, whole=True).index(pair) for pair in pairs):
        pair = on.pairs[i]
        row = f"{languages.name(pair.query)} → {languages.name(pair.document)}"
        dots += [Dot(row, mine.name, float(mine.value[i]), float(mine.low[i]), float(mine.high[i]), int(on.shape.n[i])) for mine in systems if mine]
    return dots


def pairs_of(found: Contest, board: int, *, whole: bool = False) -> list[str]:
    """The pairs of languages that all systems have, or the board's whole list, as ``en-zh``."""
    return [str(pair) for pair, there in zip(found.boards[board].pairs, found.masks[board], strict=True) if there or whole]


def usual_pairs(found: Contest, board: int) -> list[str]:
    """The pairs that the paper's Figures 4, 5 and 7 follow, or the first four where none of them is there."""
    there = pairs_of(found, board)
    return [pair for pair in HIGHLIGHTED if pair in there] or there[:4]


def told(dots: Sequence[Dot], title: str) -> str:
    """What a chart of these dots shows, for who cannot see it."""
    rows, systems = (list(dict.fromkeys(getattr(dot, name) for dot in dots)) for name in ("row", "system"))
    return f"{title}: dots with 95\u00a0% intervals of {', '.join(systems)} in {', '.join(rows)}. The numbers stand in the table below."


def _contest(index: Index, measure: str, lines: tuple[int, ...], boards: Sequence[Board], masks: Sequence[Bools]) -> Contest:
    names, kept, missing = tuple(str(index.lines[line]) for line in lines), [], []
    for board, mask in zip(boards, masks, strict=True):
        at = [position(index, board, line) for line in lines]
        places = tuple(place for place in at if place is not None and board.rank_row[place] >= 0)
        if len(places) < len(lines):
            without = [name for name, place in zip(names, at, strict=True) if place is None or board.rank_row[place] < 0]
            missing.append(f"{maps.short(board)} is left out: no gold ranks of {', '.join(without)}.")
            continue
        shared = np.logical_and.reduce([mask, *(has(board, place, measure) for place in places)])
        count, every = int(shared.sum()), int(mask.sum())
        if count < every:
            missing.append(f"{maps.short(board)}: {count} of {every} pair{'s' * (every > 1)}, those that all of them have.")
        if shared.any():
            kept.append((board, shared, places))
    parts = [(board, mask, _sums(board, mask, places, measure)) for board, mask, places in kept if board.shape.topic is not None]
    missing += [f"{maps.short(board)}: no layout says what a topic is, so its mean cannot be tested." for board, *_ in kept if board.shape.topic is None]
    scopes = [_scope(maps.short(board), sums, int(mask.sum()), int(board.shape.n[mask].sum())) for board, mask, sums in parts]
    tested = [part for part in kept if part[0].shape.topic is not None]
    scopes = [scope._replace(elsewhere=_elsewhere([of], sums, measure)) for scope, of, (*_, sums) in zip(scopes, tested, parts, strict=True)]
    if len(parts) > 1:
        whole = sig.join([sums for *_, sums in parts])
        together = _scope("all together", whole, sum(scope.pairs for scope in scopes), sum(scope.queries for scope in scopes))
        scopes.append(together._replace(elsewhere=_elsewhere(tested, whole, measure)))
    chosen, shared_masks, all_places = zip(*kept, strict=True) if kept else ((), (), ())
    return Contest(measure, lines, names, chosen, shared_masks, all_places, tuple(scopes), tuple(missing))


def _sums(board: Board, mask: Bools, places: Sequence[int], measure: str) -> sig.TopicSums:
    columns = np.flatnonzero(mask[board.shape.pair])
    assert board.shape.topic is not None
    rows = (board.values(int(board.rank_row[place]), measure)[columns] for place in places)
    return sig.topic_sums(rows, board.shape.pair[columns], board.shape.topic[columns])


def _scope(title: str, sums: sig.TopicSums, pairs: int, queries: int) -> Scope:
    topics = sums.sums.shape[1]
    drawn = sig.resampled_scores(sums.scores, sums.centred, RESAMPLES)
    low, high = sig.score_intervals(sums, drawn, LEVEL)
    i, j = np.triu_indices(len(sums.scores), 1)
    difference = sums.scores[i] - sums.scores[j]
    least, most = sig.difference_interval(drawn[:, i] - drawn[:, j], difference, topics, LEVEL)
    p = sig.sign_flip(sums.sums[i] - sums.sums[j], FLIPS)
    error = sig.topic_se(sums.centred[i] - sums.centred[j])
    detectable = np.where((error > 0) & np.isfinite(error), sig.detectable_difference(error, 1 - LEVEL), np.nan)
    more = np.where(p <= 1 - LEVEL, 0, sig.more_queries(difference, error, topics, 1 - LEVEL))
    square = partial(_square, len(sums.scores), i, j)
    return Scope(
        title, pairs, queries, topics, sums.scores, low, high, square(difference, -difference, 0), square(least, -most, 0),
        square(most, -least, 0), square(p, p, 1), square(sig.holm(p) <= 1 - LEVEL, sig.holm(p) <= 1 - LEVEL, 0).astype(bool),
        square(detectable, detectable, np.nan), square(more, more, np.inf),
    )  # fmt: skip


def _elsewhere(parts: Sequence[tuple[Board, Bools, Sequence[int]]], sums: sig.TopicSums, measure: str) -> Elsewhere | str:
    """Of all systems at these places of the boards, given the topic sums of all boards; or why not."""
    pairs = [[pair for pair, there in zip(board.pairs, mask, strict=True) if there] for board, mask, _ in parts]
    for (board, *_), mine in zip(parts, pairs, strict=True):
        if why := too_few_languages(mine):
            return f"{maps.short(board)}: {why}" if len(parts) > 1 else why
    codes = sorted({code for mine in pairs for pair in mine for code in pair})
    means = [board.means(measure)[list(places)][:, mask] for board, mask, places in parts]
    moved = np.mean([moved_by_languages(mine, values, codes) for mine, values in zip(pairs, means, strict=True)], axis=0)
    i, j = np.triu_indices(len(sums.scores), 1)
    fewest = min(len(set(side)) for mine in pairs for side in zip(*mine, strict=True))
    error = sig.topic_se(sums.centred[i] - sums.centred[j])
    low, high = sig.language_interval(sums.scores[i] - sums.scores[j], error, moved[i] - moved[j], sums.sums.shape[1], fewest, LEVEL)
    return Elsewhere(_square(len(sums.scores), i, j, low, -high, 0), _square(len(sums.scores), i, j, high, -low, 0))


def _square(size: int, i: Ints, j: Ints, above: npt.ArrayLike, below: npt.ArrayLike, diagonal: float) -> Floats:
    """[size, size] from the values above the diagonal and those below it, transposed."""
    found = np.full((size, size), diagonal, float)
    found[i, j], found[j, i] = above, below
    return found


def _points(x: float) -> str:
    return "0.0" if abs(x) < 0.05 else f"{x:+.1f}".replace("-", "−")


def _p(p: float) -> str:
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"
