"""What the Pairs page shows: one or two maps of a board, every pair as rows, the extremes as lists; or why there is nothing to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from clir_bench.collection import IntArray
from clir_bench.exhibits.maps import Cells, Map, Order, asked, cells, difference_map, directions, extremes, map_table, rows_table, shades, short
from clir_bench.exhibits.tables import Cell, Column, Interval, Table, rail_of
from clir_bench.measures import parse_measure
from clir_bench.standings.index import Board, Floats, Index
from clir_bench.standings.memory import remembered
from clir_bench.standings.paired import Bools, compared, position, positions, winners

Shown = Literal["value", "difference", "best", "own", "loss", "width", "n"]
SHOWN: dict[Shown, str] = {
    "value": "value",
    "difference": "difference of two systems",
    "best": "best system of each pair",
    "own": "own-language recall",
    "loss": "bias loss",
    "width": "width of the interval",
    "n": "number of queries",
}
"""What a cell can show, as it is called on the page and in addresses."""
NO_OWN = "fusion, a re-ranker, a graph index or a claim cannot say where every document stands"
"""Why a system has no own-language ranks, and so no bias loss."""
_NOTES: dict[Shown, str] = {
    "value": "",
    "own": "Recall had the pool held the documents of this language only. ",
    "loss": "Own-language recall minus recall: what is lost because documents in other languages stand above. ",
    "width": "Width of the 95\u00a0% interval of each pair's mean. ",
}


class PairView(NamedTuple):
    """``maps``: one, or two side by side on one scale; ``rows``: every pair, with all that is known of it; ``lists``: extremes, or who is who.

    ``why``: why nothing is shown, "" if something is.
    """

    maps: tuple[Table, ...] = ()
    rows: Table | None = None
    lists: tuple[Table, ...] = ()
    why: str = ""


def one_system(index: Index, board: Board, mask: Bools, measure: str, line: int, second: int | None, shown: Shown, order: Order) -> PairView:
    """A system's map, beside it the second's. Kept in the index's memory. Raises SubmissionError for a measure that the board lacks."""
    key = ("one system", board.key, mask.tobytes(), measure, line, second, shown, order)
    return remembered(index, key, lambda: _one_system(index, board, mask, measure, line, second, shown, order))


def best_systems(index: Index, board: Board, mask: Bools, measure: str, lines: IntArray, order: Order) -> PairView:
    """The best of these systems in each pair, by letters. Kept in the index's memory. Raises SubmissionError for a measure that the board lacks."""
    key = ("best systems", board.key, mask.tobytes(), measure, lines.tobytes(), order)
    return remembered(index, key, lambda: _best_systems(index, board, mask, measure, lines, order))


def on_one_rail(tables: Sequence[Table]) -> tuple[Table, ...]:
    """Tables that are seen together, the bars of their intervals between the same ends."""
    ends = [
        float(end)
        for table in tables
        for row in table.rows
        for column, cell in zip(table.columns, row, strict=True)
        if column.kind == "interval" and isinstance(cell, Interval)
        for end in cell
        if np.isfinite(end)
    ]
    return tuple(replace(table, rail=rail_of(ends)) for table in tables) if ends else tuple(tables)


def _one_system(index: Index, board: Board, mask: Bools, measure: str, line: int, second: int | None, shown: Shown, order: Order) -> PairView:
    found = [(line, cells(index, board, line, mask, measure))]
    if second is not None:
        found.append((second, cells(index, board, second, mask, measure)))
    for which, mine in found:
        if mine is None:
            return PairView(why=_absent(index, board, measure, which))
    systems = [mine for _, mine in found if mine is not None]
    if why := _unknown(systems, shown):
        return PairView(why=why)
    gaps = compared(board, systems[0].at, systems[1].at, mask, measure) if second is not None else None
    rows = rows_table(systems[0], systems[1] if gaps else None, gaps)
    if shown == "difference":
        return (
            PairView((difference_map(systems[0], systems[1], gaps, order),), rows) if gaps else PairView(why="Choose a second system: how do the two differ?")
        )
    if shown == "n":
        counted = Map(np.where(mask, board.shape.n, np.nan), "integer")
        title, note = f"Evaluated queries, {short(board)}", "The same for every system."
        return PairView((map_table(board, mask, counted, title, order=order, scores=systems[0].value, note=note),), rows)
    values = [_values(mine, shown) for mine in systems]
    scale = shades(values)
    unit = "points" if shown in ("loss", "width") else "percent"
    note = f"{_NOTES[shown]}{'Percentage points' if unit == 'points' else 'Percent'}; {asked(board, mask)}."
    barred = shown == "value"
    tables = tuple(
        map_table(
            board, mask, Map(v, low=mine.low if barred else None, high=mine.high if barred else None, shades=scale, unit=unit),
            f"{_called(shown, measure)}, {mine.name}, {short(board)}", order=order, scores=systems[0].value, note=note,
        )
        for mine, v in zip(systems, values, strict=True)
    )  # fmt: skip
    return PairView(on_one_rail(tables), rows, _lists(systems[0]) if second is None and shown == "value" else ())


def _unknown(systems: Sequence[Cells], shown: Shown) -> str:
    """Why this cannot be shown of one of the systems; "" where it can."""
    kind, measure = parse_measure(systems[0].measure).kind, systems[0].measure
    if shown in ("own", "loss") and kind != "R":
        return f"Own-language recall is recall: {measure} has none. Choose R@1, R@10 or R@100 as the measure."
    for mine in systems:
        if shown in ("own", "loss") and not np.isfinite(mine.own).any():
            return f"{mine.name} has no own-language ranks: {NO_OWN}."
        if shown == "width" and not np.isfinite(mine.width).any():
            return f"{mine.name} is a claim without sums of squares: its intervals are not known."
    return ""


def _best_systems(index: Index, board: Board, mask: Bools, measure: str, lines: IntArray, order: Order) -> PairView:
    at = positions(index, board)[lines]
    at = at[(at >= 0) & ~board.copied[at]]
    found = winners(board, at, mask, measure)
    won = mask & (found.first >= 0)
    if not won.any():
        return PairView(why=f"No system has gold ranks of {measure} on {short(board)}.")
    clear = found.gaps.significant
    count = Counter(found.first[won].tolist())
    ranked = sorted(count, key=lambda place: (-count[place], place))
    letter = {place: _letter(i) for i, place in enumerate(ranked)}
    means = board.means(measure)
    value = np.full(len(board.pairs), np.nan)
    value[won] = means[found.first[won], np.flatnonzero(won)]
    level, some = won & (found.second >= 0) & ~clear, bool((won & clear).any())
    marks = [f"\u00a0{letter[place]}{'=' if some and level[i] else ''}" if won[i] else "" for i, place in enumerate(found.first.tolist())]
    tested = f"significant ({found.gaps.test} against the second, Benjamini and Hochberg at 5\u00a0% over the pairs)"
    doubt = (
        f"; = marks a lead over the second that is not {tested}"
        if some
        else f"; no winner is clear: no lead over the second is {tested}"
        if level.any()
        else ""
    )
    name = _names(index, board)
    of = int((board.rank_row[at] >= 0).sum())
    table = map_table(
        board, mask, Map(value, marks=marks, shades=shades([value]), averaged=False), f"Best system of each pair, {measure}, {short(board)}", order=order,
        note=f"A letter stands for a system{doubt}. Percent; {asked(board, mask)}. Of {of} system{'s' * (of != 1)} with gold ranks.",
    )  # fmt: skip
    who = Table(
        "Who is best where", (Column("letter", "letter"), Column("system", "system"), Column("pairs", "pairs", "integer"), Column("clear", "of which clear", "integer"))[: 3 + some],
        tuple((letter[place], name[place], count[place], int((clear & won & (found.first == place)).sum()))[: 3 + some] for place in ranked), heads=2,
    )  # fmt: skip
    columns = (
        Column("pair", "pair"), Column("n", "n", "integer"), Column("best", "best"), Column("value", measure, "percent"), Column("second", "second"),
        Column("lead", "lead", "points"), Column("p", "p", "p"), Column("significant", "significant"),
    )  # fmt: skip
    lines_: list[tuple[Cell, ...]] = []
    for i in np.flatnonzero(won):
        second = int(found.second[i])
        head: tuple[Cell, ...] = (str(board.pairs[i]), int(board.shape.n[i]), name[int(found.first[i])], float(value[i]))
        lead: tuple[Cell, ...] = (
            (name[second], float(found.gaps.difference[i]), float(found.gaps.p[i]), bool(clear[i])) if second >= 0 else (None, None, None, None)
        )
        lines_.append((*head, *lead))
    rows = Table(f"The best and the second of each pair, {measure}, {short(board)}", columns, tuple(lines_), f"p: {found.gaps.test}, uncorrected.")
    return PairView((table,), rows, (who,))


def _lists(found: Cells) -> tuple[Table, ...]:
    """The lowest and the highest pairs, and where directions differ; none where there are so few pairs that the map says it."""
    if int(found.there.sum()) < 12 or len({pair.query for pair in found.board.pairs}) == 1 or len({pair.document for pair in found.board.pairs}) == 1:
        return ()
    turned = directions(found)
    return (*on_one_rail([extremes(found, lowest=True), extremes(found, lowest=False)]), *((turned,) if turned else ()))


def _values(found: Cells, shown: Shown) -> Floats:
    return {"own": found.own, "loss": found.loss, "width": found.width}.get(shown, found.value)


def _called(shown: Shown, measure: str) -> str:
    return {"own": f"Own-language {measure}", "loss": f"Bias loss of {measure}", "width": f"Interval width of {measure}"}.get(shown, measure)


def _absent(index: Index, board: Board, measure: str, line: int) -> str:
    others = [short(other) for other in index.boards.values() if position(index, other, line) is not None]
    return f"{index.lines[line]} has no {measure} in these pairs of {short(board)}. It is on {', '.join(others)}: choose another data set, measure or system."


def _names(index: Index, board: Board) -> dict[int, str]:
    """The system at each place of the board."""
    return {int(at): str(line) for line, at in zip(index.lines, positions(index, board), strict=True) if at >= 0}


def _letter(i: int) -> str:
    """A, B, ... Z, AA, AB, ..."""
    return chr(65 + i) if i < 26 else _letter(i // 26 - 1) + chr(65 + i % 26)
