"""Query language by document language: one number for each pair of a board, as a map, as rows, and its extremes as lists."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, get_args

import numpy as np

from clir_bench import languages, significance
from clir_bench.collection import Pair
from clir_bench.exhibits.tables import Cell, Column, Interval, Kind, Marked, Table
from clir_bench.significance import PairTests
from clir_bench.standings.index import Board, Floats, Index
from clir_bench.standings.paired import Bools, position
from clir_bench.standings.turned import turned

Order = Literal["family", "script", "score", "alphabet"]
ORDERS: tuple[Order, ...] = get_args(Order)
STYLE = """
.cb-maps{display:flex;flex-wrap:wrap;gap:.5rem 2.4rem;align-items:flex-start}
.cb-maps>div{max-width:100%;min-width:0}
.cb-maps>div:not(.cb-lists) table.cb caption{min-width:min(26rem,calc(100vw - 2rem))}
.cb-maps .cb-note{width:0;min-width:100%}
.cb-maps .cb-lists{display:flex;flex-wrap:wrap;gap:.5rem 2.4rem;align-items:flex-start;flex:1 1 22rem}
.cb-maps table.cb tbody th{min-width:0;white-space:nowrap}
.cb-maps table.cb thead th{min-width:1.9rem}
.cb-texts table.cb td.l:nth-child(n+5){white-space:normal;min-width:15rem;max-width:30rem}
@media (max-width:640px){.cb-maps .cb-early{order:-1}}
"""
"""The style of maps beside each other and their lists; on a phone early ones come first."""


@dataclass(frozen=True)
class Cells:
    """A system in the pairs of a board, arrays [pairs]; NaN outside ``mask`` and where it has nothing. ``low``, ``high``: 95 % of the pair's mean.

    ``at`` is its place in the board's arrays.
    ``own``: the measure in the pool reduced to the document language, known for R of systems with exact search and without re-ranker.
    """

    board: Board
    mask: Bools
    at: int
    name: str
    measure: str
    value: Floats
    low: Floats
    high: Floats
    own: Floats

    @property
    def width(self) -> Floats:
        """Of the interval."""
        return self.high - self.low

    @property
    def loss(self) -> Floats:
        """The bias loss: own-language recall minus recall."""
        return self.own - self.value

    @cached_property
    def there(self) -> Bools:
        """The pairs with a value."""
        return np.isfinite(self.value)


class Map(NamedTuple):
    """A number for each pair, [pairs], NaN where there is none; ``marks`` say something of each, ``low`` and ``high`` its interval.

    ``shades``: the values of no shade and of the darkest, where several maps share them; else from 0 to the largest. ``averaged``: whether there are means of
    them: those of the best systems' scores would be nobody's.
    """

    values: Floats
    kind: Kind = "heat"
    marks: Sequence[str] | None = None
    low: Floats | None = None
    high: Floats | None = None
    shades: tuple[float, float] | None = None
    averaged: bool = True
    unit: str = "percent"


def shades(values: Sequence[Floats]) -> tuple[float, float]:
    """From the tenth below the smallest value of these maps to the largest: a map is for its pattern, and its numbers are printed."""
    smallest, largest = (float(f([f(v) for v in values])) for f in (np.nanmin, np.nanmax))
    return np.floor(10 * smallest) / 10, largest


def cells(index: Index, board: Board, line: int, mask: Bools, measure: str) -> Cells | None:
    """The system's numbers in the pairs of ``mask``; None where it has no submission on the board, or none of the measure in these pairs."""
    at = position(index, board, line)
    if at is None:
        return None
    m, n = board.measure(measure), board.shape.n.astype(float)
    total, squares, own = (np.where(mask, cube[at, :, m], np.nan) for cube in (board.sums, board.squares, board.own))
    if not np.isfinite(total).any():
        return None
    low, high = np.full(len(n), np.nan), np.full(len(n), np.nan)
    known = np.isfinite(total) & np.isfinite(squares)
    low[known], high[known] = significance.mean_interval(n[known], total[known], squares[known])
    return Cells(board, mask, at, str(index.lines[line]), measure, total / n, low, high, own / n)


def ordered(codes: Iterable[str], order: Order, score: Callable[[str], float]) -> list[str]:
    """The languages in the order of a map's rows or columns: by family and name, by script, family and name, by falling score, or by name."""
    keys: dict[Order, Callable[[str], tuple[bool | float | str, ...]]] = {
        "family": lambda code: (languages.family(code) == "other", languages.family(code)),
        "script": lambda code: (languages.script(code), languages.family(code)),
        "score": lambda code: (-value if np.isfinite(value := score(code)) else np.inf,),
        "alphabet": lambda code: (),
    }
    return sorted(codes, key=lambda code: (*keys[order](code), languages.name(code)))


def map_table(board: Board, mask: Bools, shown: Map, caption: str, *, order: Order = "family", scores: Floats | None = None, note: str = "") -> Table:
    """The map: a row a query language, a column a document language, and the unweighted means of rows, columns and all. One row or column becomes a list.

    Where the board has pairs of one language a second mean leaves them out; the note says what the means are over. ``scores`` [pairs] order the languages, if
    not the map's own values.
    """
    at = {board.pairs[i]: int(i) for i in np.flatnonzero(mask)}
    by, places = shown.values if scores is None else scores, _places(at)
    rows = ordered({pair.query for pair in at}, order, lambda code: _mean(places, by, code, None))
    columns = ordered({pair.document for pair in at}, order, lambda code: _mean(places, by, None, code))
    averaged = shown.averaged and shown.kind != "integer" and len(at) > 1
    note = f"{_groups([*rows, *columns], order) if len(at) > 1 else ''}{note}{' Means are over pairs, unweighted.' if averaged else ''}".strip()
    bare, darkest = shown.shades or (0.0, None)
    if len(rows) == 1 or len(columns) == 1:
        return _list(board, shown, [at[Pair(query, document)] for query in rows for document in columns], caption, note)
    if shown.shades:
        note += f" Shaded from {100 * bare:.0f}\u00a0%."
    means = _MEANS[: len({pair.same for pair in at})] if averaged else ()
    body: list[tuple[Cell, ...]] = []
    for query in rows:
        line = (_cell(shown, at.get(Pair(query, document))) for document in columns)
        body.append((languages.name(query), *line, *(_mean(places, shown.values, query, None, mean.same) for mean in means)))
    for mean in means:
        line = (_mean(places, shown.values, None, document, mean.same) for document in columns)
        body.append((mean.title, *line, *(_mean(places, shown.values, None, None, mean.same) if other is mean else "" for other in means)))
    head = [Column("query", "questions\u00a0↓ documents\u00a0→"), *(Column(code, code, shown.kind, languages.name(code)) for code in columns)]
    return Table(caption, (*head, *(Column(mean.key, mean.title, shown.kind, mean.help) for mean in means)), tuple(body), note, darkest=darkest, bare=bare)


def difference_map(first: Cells, second: Cells, gaps: PairTests, order: Order) -> Table:
    """The first system minus the second in each pair, marked where that is significant."""
    board, mask, tested = first.board, first.mask, np.isfinite(gaps.p)
    ahead, behind = (int((gaps.significant & (side > 0)).sum()) for side in (gaps.difference, -gaps.difference))
    says = (
        f"* significant: {gaps.test}, Benjamini and Hochberg at 5\u00a0% over {_pairs(int(tested.sum()))}; {ahead} for the first, {behind} for the second. "
        if tested.any()
        else "Not tested: one of the two has no gold ranks. "
    )
    shown = Map(first.value - second.value, "change", ["*" if marked else "" for marked in gaps.significant], unit="points")
    return map_table(
        board, mask, shown, f"{first.measure}, {first.name} minus {second.name}, {short(board)}", order=order, scores=first.value,
        note=f"{says}Percentage points; {asked(board, mask)}.",
    )  # fmt: skip


def rows_table(first: Cells, second: Cells | None = None, gaps: PairTests | None = None) -> Table:
    """Every pair as a row: n, value, interval, own-language recall and bias loss, and the same of a second system with the difference and its test."""
    board, m = first.board, first.measure
    columns = [Column("pair", "pair"), Column("query", "questions in"), Column("document", "documents in"), Column("n", "n", "integer")]
    listed = [("", first)] + ([("second_", second)] if second else [])
    for key, found in listed:
        of = "" if second is None else ", first" if found is first else ", second"
        columns += [Column(f"{key}value", f"{m}{of}", "percent"), Column(f"{key}low", "from", "percent"), Column(f"{key}high", "to", "percent")]
        columns += [Column(f"{key}own", f"own-language{of}", "percent"), Column(f"{key}loss", f"bias loss{of}", "percent")]
    if gaps is not None:
        columns += [Column("difference", "difference", "points"), Column("only_first", "only first", "integer", "queries that the first ranks better")]
        columns += [Column("only_second", "only second", "integer", "queries that the second ranks better"), Column("p", "p", "p")]
        columns += [Column("significant", "significant", help="after Benjamini and Hochberg at 5\u00a0%")]
    lines = []
    for i in np.flatnonzero(first.mask):
        pair = board.pairs[i]
        line: list[Cell] = [str(pair), languages.name(pair.query), languages.name(pair.document), int(board.shape.n[i])]
        for _, found in listed:
            line += [float(x[i]) for x in (found.value, found.low, found.high, found.own, found.loss)]
        if gaps is not None:
            tested = bool(np.isfinite(gaps.p[i]))
            line += [float(gaps.difference[i]), int(gaps.only_first[i]), int(gaps.only_second[i])] if tested else [None, None, None]
            line += [float(gaps.p[i]), bool(gaps.significant[i])] if tested else [None, None]
        lines.append(tuple(line))
    titles = f"{first.name}" if second is None else f"{first.name} (first) and {second.name} (second)"
    kept = [c for c in range(len(columns)) if any(line[c] is not None and line[c] == line[c] for line in lines)]
    return Table(
        f"{m} of {titles} on {short(board)}, every pair", tuple(columns[c] for c in kept), tuple(tuple(line[c] for c in kept) for line in lines),
        "from, to: 95\u00a0% interval of the pair's mean." + (f" p: {gaps.test}, uncorrected." if gaps else ""),
    )  # fmt: skip


def extremes(found: Cells, count: int = 5, *, lowest: bool) -> Table:
    """The pairs with the lowest values, or the highest."""
    order = np.argsort(np.where(found.there, found.value if lowest else -found.value, np.inf), kind="stable")[: min(count, int(found.there.sum()))]
    rows = tuple(
        (_words(found.board.pairs[i]), Interval(float(found.value[i]), float(found.low[i]), float(found.high[i])), int(found.board.shape.n[i])) for i in order
    )
    columns = (Column("pair", "questions → documents"), Column("value", found.measure, "interval", "with its 95\u00a0% interval"), Column("n", "n", "integer"))
    return Table(f"{'Lowest' if lowest else 'Highest'} pairs", columns, rows)


def directions(found: Cells, count: int = 5) -> Table | None:
    """Where a pair and its reverse differ most; None where no pair has a reverse."""
    board = found.board
    at = {board.pairs[i]: int(i) for i in np.flatnonzero(found.there)}
    both = [(i, at[Pair(*pair[::-1])]) for pair, i in at.items() if pair.query < pair.document and Pair(*pair[::-1]) in at]
    if not both:
        return None
    better = [(i, j) if found.value[i] >= found.value[j] else (j, i) for i, j in both]
    better.sort(key=lambda pair: (found.value[pair[1]] - found.value[pair[0]], board.pairs[pair[0]]))
    first, second = zip(*better[:count], strict=True)
    t = turned(board, found.at, first, second, found.measure)
    rows: list[tuple[Cell, ...]] = [
        (_words(board.pairs[i]), float(found.value[i]), float(found.value[j]), *(float(x[k]) for x in (t.difference, t.low, t.high)))
        for k, (i, j) in enumerate(zip(first, second, strict=True))
    ]
    columns = (
        Column("pair", "questions → documents"), Column("value", found.measure, "percent"), Column("reverse", "reversed", "percent"),
        Column("difference", "difference", "points"), Column("low", "from", "points", "95\u00a0% interval: topic by topic where both ask the same topics, else of independent queries"),
        Column("high", "to", "points"),
    )  # fmt: skip
    return Table(f"Directions that differ most, of {len(both)}", columns, tuple(rows))


def short(board: Board) -> str:
    """The title up to its first comma, for captions: ``mMARCO``."""
    return board.title.split(",")[0] + (", oracle track" if board.oracle else "")


def asked(board: Board, mask: Bools) -> str:
    """How many queries the pairs have, in words: ``531 queries in 190 pairs, 530 in 6``."""
    counted = Counter(board.shape.n[mask].tolist()).most_common()
    if mask.sum() == 1:
        return f"{counted[0][0]:,} queries"
    if len(counted) > 3:
        return f"{min(n for n, _ in counted):,} to {max(n for n, _ in counted):,} queries a pair"
    (most, pairs), *others = counted
    if not others:
        return f"{most:,} queries a pair"
    return f"{most:,} queries in {_pairs(pairs)}, " + ", ".join(f"{n:,} in {pairs}" for n, pairs in others)


def _pairs(count: int) -> str:
    return f"{count:,} pair{'s' * (count != 1)}"


def _words(pair: Pair) -> str:
    return f"{languages.name(pair.query)} → {languages.name(pair.document)}"


class _Mean(NamedTuple):
    key: str
    title: str
    help: str
    same: bool


_MEANS = (
    _Mean("mean", "mean", "unweighted mean over the pairs", True),
    _Mean("mean_two", "mean ≠", "unweighted mean over the pairs of two languages", False),
)


def _cell(shown: Map, i: int | None) -> Cell:
    if i is None:
        return ""  # no such pair; a dash is for one without a number
    if not np.isfinite(shown.values[i]):
        return None
    value = float(shown.values[i])
    return value if shown.marks is None else Marked(value, shown.marks[i])


_Places = Mapping[tuple[str | None, str | None, bool], list[int]]
"""Places of pairs by query language, document language (None being all), and whether pairs of one language are among them."""


def _places(at: Mapping[Pair, int]) -> _Places:
    found = defaultdict[tuple[str | None, str | None, bool], list[int]](list)
    for pair, i in at.items():
        for same in (True,) if pair.same else (True, False):
            for query, document in ((pair.query, None), (None, pair.document), (None, None)):
                found[query, document, same].append(i)
    return found


def _mean(places: _Places, values: Floats, query: str | None, document: str | None, same: bool = True) -> float:
    """The mean over the pairs of these languages; NaN unless all pairs have a value, or where there are none."""
    mine = places.get((query, document, same))
    return float(values[mine].mean()) if mine else np.nan


def _list(board: Board, shown: Map, places: Sequence[int], caption: str, note: str) -> Table:
    """A map of one row or column: a pair a row, with its interval if there is one."""
    if shown.kind == "integer":
        rows = tuple((_words(board.pairs[i]), int(shown.values[i])) for i in places)
        return Table(caption, (Column("pair", "questions → documents"), Column("n", "n", "integer")), rows, note)
    bare, darkest = shown.shades or (0.0, None)
    low, high = (np.full(len(shown.values), np.nan) if side is None else side for side in (shown.low, shown.high))
    barred = shown.low is not None
    lines: list[tuple[Cell, ...]] = [
        (_words(board.pairs[i]), Interval(float(shown.values[i]), float(low[i]), float(high[i])) if barred else _cell(shown, i), int(board.shape.n[i]))
        for i in places
    ]
    if shown.averaged and len(places) > 1:
        mean = float(np.mean(shown.values[list(places)]))
        lines.append(("mean", Interval(mean, np.nan, np.nan) if barred else mean, int(board.shape.n[list(places)].sum())))
    columns = (Column("pair", "questions → documents"), Column("value", shown.unit, "interval" if barred else shown.kind), Column("n", "n", "integer"))
    return Table(caption, columns, tuple(lines), note, darkest=darkest, bare=bare)


def _groups(codes: Sequence[str], order: Order) -> str:
    """Which languages stand together."""
    if order not in ("family", "script"):
        return ""
    groups: dict[str, list[str]] = {}
    for code in dict.fromkeys(codes):
        groups.setdefault(languages.family(code) if order == "family" else languages.script(code), []).append(code)
    return f"By {order}: " + ", ".join(f"{name} ({' '.join(members)})" for name, members in groups.items()) + ". "
