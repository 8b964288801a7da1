"""A language at a time: who answers questions in it, who finds documents in it, with which partners it is hard, and how much it was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from clir_bench import languages, significance
from clir_bench.collection import Pair
from clir_bench.exhibits.board_table import one_language, system_address
from clir_bench.exhibits.tables import Cell, Column, Interval, Link, Table
from clir_bench.standings.fairness import Bools
from clir_bench.standings.index import Board, Floats, Index
from clir_bench.standings.memory import remembered
from clir_bench.standings.overview import Standing
from clir_bench.standings.paired import position
from clir_bench.standings.preference import recall_measure
from clir_bench.standings.turned import turned

Side = Literal["query", "document"]
SIDES: tuple[Side, ...] = get_args(Side)


class Served(NamedTuple):
    """Evaluated queries with a language on one side, the highest score over them, and whose it is."""

    n: int
    score: float | None
    line: int | None


class Partner(NamedTuple):
    """A language beside the one that is looked at: the numbers of the pairs that ask in the latter (``asking``) and that hold its documents (``holding``)."""

    code: str
    asking: int | None
    holding: int | None


def tongues(found: Standing) -> tuple[str, ...]:
    """The languages of the chosen pairs, by name."""
    codes = {code for board, mask in zip(found.boards, found.pairs, strict=True) for i in np.flatnonzero(mask) for code in board.pairs[i]}
    return tuple(sorted(codes, key=languages.name))


def language_scores(found: Standing, code: str, side: Side) -> Floats:
    """Per system of the standing: macro mean over the chosen pairs with the language on that side, then over data sets.

    NaN unless it has gold ranks for all of them and is not flagged as a copy.
    """
    parts = []
    for b, (board, mask) in enumerate(zip(found.boards, found.pairs, strict=True)):
        if (mine := _with(board, mask, code, side)).any():
            at = np.searchsorted(board.entries, found.entries[:, b])
            at[found.entries[:, b] < 0] = 0
            parts.append(
                np.where(
                    (found.entries[:, b] >= 0) & (board.rank_row[at] >= 0) & ~board.copied[at],
                    board.means(found.selection.measure)[at][:, mine].mean(1),
                    np.nan,
                )
            )
    return np.asarray(np.mean(parts, axis=0)) if parts else np.full(len(found.lines), np.nan)


def serving(index: Index, found: Standing, code: str, side: Side) -> Served:
    """How the language is served on that side by the best of a standing."""

    def every() -> dict[tuple[str, Side], Served]:
        return {(each, of): _served(found, each, of) for each in tongues(found) for of in SIDES}

    return remembered(index, ("served", found.selection), every)[code, side]


def pair_words(found: Standing, code: str, side: Side) -> str:
    """How many of the chosen pairs have the language on that side: ``8 pairs, 1 of one language``."""
    mine = [board.pairs[i] for board, mask in zip(found.boards, found.pairs, strict=True) for i in np.flatnonzero(_with(board, mask, code, side))]
    same = sum(pair.same for pair in mine)
    return f"{len(mine):,} pair{'s' * (len(mine) != 1)}" + (f", {same} of one language" if 0 < same < len(mine) else "")


def overview_table(index: Index, found: Standing, address: Callable[[str], str]) -> Table:
    """One row a language; ``address`` gives the page of one."""
    rows: list[tuple[Cell, ...]] = []
    for code in tongues(found):
        named = Link(languages.name(code), address(code)), code, languages.script(code), languages.family(code)
        served = (serving(index, found, code, side) for side in SIDES)
        rows.append((*named, *(cell for each in served for cell in (each.n or None, each.score, None if each.line is None else _link(index, each.line)))))
    measure = found.selection.measure
    columns = (
        Column("language", "language", "link"), Column("code", "tag"), Column("script", "script"), Column("family", "family"),
        Column("asked", "questions in it", "integer", "evaluated queries asked in it, in the chosen pairs"),
        Column("asked_score", f"best {measure}", "percent", "macro mean over the chosen pairs that ask in it"), Column("asked_best", "of", "link"),
        Column("held", "documents in it", "integer", "evaluated queries whose relevant document is in it, in the chosen pairs"),
        Column("held_score", f"best {measure}", "percent", "macro mean over the chosen pairs with its documents"), Column("held_best", "of", "link"),
    )  # fmt: skip
    note = "A pair of one language counts on both sides. " if one_language(found) else ""
    note += "The best is the highest score of the systems that have all of those pairs; who cannot be told from it is on the language's page. Only systems with gold ranks that are not flagged as copies."
    return Table(f"Languages, {measure}", columns, tuple(rows), note)


def coverage_table(boards: Sequence[Board], code: str) -> Table:
    """What was measured of a language, whatever is chosen."""
    rows: list[tuple[Cell, ...]] = []
    for board in boards:
        every = np.ones(len(board.pairs), bool)
        asked, held = (_with(board, every, code, side) for side in SIDES)
        if asked.any() or held.any():
            pool = sum(board.pool.values())
            documents = board.pool.get(code)
            rows.append((
                board.label, int(asked.sum()), int(board.shape.n[asked].sum()), int(held.sum()), int(board.shape.n[held].sum()),
                documents, documents / pool if documents and pool else None, len(board.entries),
            ))  # fmt: skip
    columns = (
        Column("board", "data set"), Column("asked_pairs", "asked in it: pairs", "integer"), Column("asked", "queries", "integer", "evaluated queries asked in it"),
        Column("held_pairs", "found in it: pairs", "integer"), Column("held", "queries", "integer", "evaluated queries whose relevant document is in it"),
        Column("documents", "documents", "integer", "in the pool"), Column("share", "of the pool", "percent"), Column("systems", "systems", "integer"),
    )  # fmt: skip
    return Table(f"{languages.name(code)} in the data sets", columns, tuple(rows))


def partners(board: Board, mask: Bools, code: str) -> tuple[Partner, ...]:
    """The languages that the chosen pairs join with this one, itself included where that is a pair, by tag."""
    place = {board.pairs[i]: int(i) for i in np.flatnonzero(mask)}
    codes = sorted({x for pair in place for x, other in (pair, pair[::-1]) if other == code})
    return tuple(Partner(x, place.get(Pair(code, x)), place.get(Pair(x, code)) if x != code else None) for x in codes)


def partners_table(index: Index, board: Board, line: int, mask: Bools, code: str, measure: str) -> Table | None:
    """The pairs of a language in a system, hardest first: both directions, their difference, and what is lost of its documents; None where there are none."""
    at, found = position(index, board, line), partners(board, mask, code)
    if at is None or not found:
        return None
    recall = recall_measure(board, measure)
    cells, means = _intervals(board, at, measure), board.means(measure)[at]
    differences = _directions(board, at, found, measure)
    rows: list[tuple[float, tuple[Cell, ...]]] = []
    for x, asking, holding in found:
        own, full = None, None
        if holding is not None and recall is not None:
            own, full = (float(cube[at, holding, board.measure(recall)] / board.shape.n[holding]) for cube in (board.own, board.sums))
        directions = [i for i in (asking, holding) if i is not None]
        rows.append((
            float(np.nanmin([*means[directions], np.inf])),
            (
                f"{languages.name(x)}{' (itself)' if x == code else ''}", *(value for i in (asking, holding) for value in _counted(board, cells, i)),
                *differences.get(x, (None, None)),
                own, None if own is None or full is None else own - full,
            ),
        ))  # fmt: skip
    name, r = languages.name(code), recall or "recall"
    columns = (
        Column("partner", "partner"), Column("asking", f"{name} → partner", "interval", f"{measure} of {name} questions over the partner's documents; 95\u00a0% interval"), Column("asking_n", "n", "integer"),
        Column("holding", f"partner → {name}", "interval", f"{measure} of the partner's questions over {name} documents; 95\u00a0% interval"), Column("holding_n", "n", "integer"),
        Column("difference", "difference", "difference", "first minus second direction; 95\u00a0% interval, topic by topic where both ask the same"),
        Column("apart", "told apart", "text", "after Benjamini and Hochberg over the partners, at 5\u00a0%"),
        Column("own", f"own-language {r}", "percent", f"{r} of {name} documents had the pool held nothing else"),
        Column("loss", "bias loss", "points", f"own-language {r} minus {r}, of {name} documents"),
    )  # fmt: skip
    body = [cells for _, cells in sorted(rows, key=lambda row: row[0])]
    kept = [c for c in range(len(columns)) if any(cells[c] is not None and cells[c] == cells[c] for cells in body)]
    caption = f"{name} with each partner on {board.label}, {measure} of {index.lines[line]}: hardest first"
    return Table(caption, tuple(columns[c] for c in kept), tuple(tuple(cells[c] for c in kept) for cells in body))


def _directions(board: Board, at: int, found: Sequence[Partner], measure: str) -> dict[str, tuple[Interval, str]]:
    """By partner, where both directions have an interval: their difference, and whether they are told apart."""
    both = [(x, asking, holding) for x, asking, holding in found if asking is not None and holding is not None]
    t = turned(board, at, [asking for _, asking, _ in both], [holding for *_, holding in both], measure)
    known = np.flatnonzero(np.isfinite(t.p))
    told = significance.benjamini_hochberg(t.p[known])
    return {
        both[k][0]: (Interval(float(t.difference[k]), float(t.low[k]), float(t.high[k])), "yes" if apart else "no")
        for k, apart in zip(known, told, strict=True)
    }


def _served(found: Standing, code: str, side: Side) -> Served:
    n = sum(int(board.shape.n[_with(board, mask, code, side)].sum()) for board, mask in zip(found.boards, found.pairs, strict=True))
    scores = language_scores(found, code, side)
    if not np.isfinite(scores).any():
        return Served(n, None, None)
    at = int(np.nanargmax(scores))
    return Served(n, float(scores[at]), int(found.lines[at]))


def _link(index: Index, line: int) -> Link:
    return Link(str(index.lines[line]), system_address(index.lines[line]))


def _with(board: Board, mask: Bools, code: str, side: Side) -> Bools:
    return np.asarray(mask & [getattr(pair, side) == code for pair in board.pairs])


def _intervals(board: Board, at: int, measure: str) -> list[Interval]:
    """Of each pair of a submission."""
    m, n = board.measure(measure), board.shape.n
    total, squares = board.sums[at, :, m], board.squares[at, :, m]
    known = np.isfinite(total) & np.isfinite(squares)
    low, high = np.full(len(n), np.nan), np.full(len(n), np.nan)
    low[known], high[known] = significance.mean_interval(n[known], total[known], squares[known])
    return [Interval(*map(float, each)) for each in zip(total / n, low, high, strict=True)]


def _counted(board: Board, cells: Sequence[Interval], pair: int | None) -> tuple[Interval | None, int | None]:
    return (None, None) if pair is None else (cells[pair], int(board.shape.n[pair]))
