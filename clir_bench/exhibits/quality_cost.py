"""Quality against cost: the ranked systems of a standing, their score against their size or their speed, and which of them are on the Pareto front.

What was timed on different hardware is never seen together; what is not known is left out and counted, never 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from clir_bench.exhibits.board_table import Rows, over_words, system_address
from clir_bench.exhibits.dots import NUMBERS, Spec, span
from clir_bench.exhibits.tables import Cell, Column, Interval, Link, Table
from clir_bench.standings.costs import Bools, Paces, document_ms, gigabytes, paces, pareto_front, query_ms
from clir_bench.standings.index import Floats, Index
from clir_bench.standings.memory import remembered
from clir_bench.standings.overview import Standing

Kind = Literal["size", "query", "document"]
COSTS: dict[Kind, str] = {"size": "size", "query": "time a query", "document": "time a document"}
"""What quality can be set against, as it is called on the page and in addresses."""
LETTERS = "ABCDEFGH"
"""The marks of systems on the front."""
_UNITS: dict[Kind, str] = {"size": "GB of weights", "query": "ms a query", "document": "ms a document"}
_BARRED = 40  # systems whose intervals can be told apart in a chart; of more, the front's alone are drawn
_BLUE, _GREY = "#2f79b5", "#808a94"


class Costed(NamedTuple):
    """What ranked systems cost. ``rows`` are their places in the standing; ``cost`` and ``front`` [rows], NaN where it is not known or was timed elsewhere.

    ``unknown`` have no such number, ``apart`` one for different hardware on different data sets, ``elsewhere`` one for hardware that is not ``hardware``.
    """

    kind: Kind
    hardware: str | None
    rows: Rows
    cost: Floats
    front: Bools
    unknown: int
    apart: int
    elsewhere: int

    @property
    def shown(self) -> Rows:
        """The places of the systems whose cost is known, in the order of the standing."""
        return self.rows[np.isfinite(self.cost)]

    def on_front(self) -> Rows:
        """The places of the systems on the front, the cheapest first."""
        at = np.flatnonzero(self.front)
        return self.rows[at[np.argsort(self.cost[at], kind="stable")]]

    def letters(self) -> dict[int, str]:
        """The marks of at most eight systems on the front, by place: the cheapest, the best, and others evenly between them."""
        front = self.on_front()
        chosen = front[np.unique(np.linspace(0, len(front) - 1, min(len(front), len(LETTERS))).round().astype(int))] if len(front) else front
        return dict(zip(chosen.tolist(), LETTERS, strict=False))


def machines(index: Index, found: Standing, kind: Kind) -> tuple[str, ...]:
    """The hardware on which ranked systems were timed, that of most systems first; none for their size."""
    if kind == "size":
        return ()
    timed = _timed(index, found, kind)
    count = Counter(timed.hardware[np.isfinite(timed.ms)].tolist())
    return tuple(sorted(count, key=lambda name: (-count[name], name)))


def costed(index: Index, found: Standing, kind: Kind, hardware: str | None = None) -> Costed:
    """What the ranked systems of a standing cost; a time on one of the ``machines``, the first where none is named. Kept in the index's memory."""
    return remembered(index, ("costed", found.selection, kind, hardware), lambda: _costed(index, found, kind, hardware))


def cost_chart(index: Index, found: Standing, costs: Costed) -> Spec:
    """Score against cost, on a logarithmic scale, as a Vega-Lite specification: the front in blue and joined, at most eight of it with a letter."""
    place = {int(row): i for i, row in enumerate(costs.rows)}
    rows, letters = costs.shown, costs.letters()
    at = np.array([place[int(row)] for row in rows])
    cost, front = costs.cost[at], costs.front[at]
    barred = front | (len(rows) <= _BARRED)
    axis = _log_axis(cost, _UNITS[costs.kind])
    known = zip(rows.tolist(), np.where(cost > 0, cost, axis.zero).tolist(), cost.tolist(), front.tolist(), barred.tolist(), strict=True)
    values = [
        {
            "system": str(index.lines[found.lines[row]]), "x": float(f"{x:.4g}"), "cost": float(f"{true:.3g}"), "y": round(100 * float(found.score[row]), 2),
            **({"low": round(100 * float(found.low[row]), 2), "high": round(100 * float(found.high[row]), 2)} if bar else {}),
            **({"front": letters.get(row, "")} if best else {}),
        }
        for row, x, true, best, bar in known
    ]  # fmt: skip
    measure = found.selection.measure
    ends = 100 * np.concatenate([found.score[rows], found.low[rows][barred], found.high[rows][barred]])
    x, y = {"field": "x", "type": "quantitative", **axis.spec}, {"type": "quantitative", "title": f"{measure}, percent", "scale": span(ends), "axis": NUMBERS}
    told = (("system", "system"), ("y", measure), ("low", "from"), ("high", "to"), ("cost", _UNITS[costs.kind]))
    shared: Spec = {"x": x, "y": {**y, "field": "y"}, "tooltip": [{"field": field, "type": "nominal", "title": words} for field, words in told]}
    bars: Spec = {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}}
    grey, blue = {"filter": "datum.front == null"}, {"filter": "datum.front != null"}
    return {
        "data": {"values": values},
        "height": 400,
        "layer": [
            {"transform": [grey, {"filter": "datum.low != null"}], "mark": {"type": "rule", "color": _GREY, "opacity": 0.35}, "encoding": bars},
            {"transform": [grey], "mark": {"type": "point", "filled": True, "size": 40, "opacity": 0.6, "color": _GREY}, "encoding": shared},
            {
                "transform": [blue],
                "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 1.5, "strokeDash": [5, 3], "color": _BLUE},
                "encoding": {"x": x, "y": {**y, "field": "y"}},
            },
            {"transform": [blue], "mark": {"type": "rule", "strokeWidth": 2, "color": _BLUE}, "encoding": bars},
            {"transform": [blue], "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1, "color": _BLUE}, "encoding": shared},
            {
                "transform": [{"filter": "datum.front != null && datum.front != ''"}],
                # left of it and above: a system that stood there would have taken it off the front
                "mark": {"type": "text", "fontSize": 14, "fontWeight": "bold", "color": _BLUE, "align": "right", "baseline": "bottom", "dx": -5, "dy": -4},
                "encoding": {**shared, "text": {"field": "front", "type": "nominal"}},
            },
        ],
    }


def cost_table(index: Index, found: Standing, costs: Costed, rows: Rows | None = None) -> Table:
    """The systems of the chart, or those at some places of the standing alone, with which are on the front: the chart's twin."""
    letters, place = costs.letters(), {int(row): i for i, row in enumerate(costs.rows)}
    cells: list[tuple[Cell, ...]] = []
    for row in (costs.shown if rows is None else rows).tolist():
        line, i = index.lines[found.lines[row]], place[row]
        cost = float(costs.cost[i])
        speed = (1000 / cost if cost else None,) if costs.kind != "size" else ()
        score = Interval(float(found.score[row]), float(found.low[row]), float(found.high[row]))
        cells.append((Link(str(line), system_address(line)), bool(costs.front[i]), letters.get(row), cost, *speed, score, int(found.tier[row])))
    unit: Column = Column("gigabytes", "GB", "gigabytes", "Weights of all models that answer a query, as published")
    if costs.kind != "size":
        unit = Column("ms", _UNITS[costs.kind], "number", "In batches, as the run recorded it, mean over data sets")
    throughput = {"query": [Column("per_second", "queries a second", "number")], "document": [Column("per_second", "documents a second", "number")]}
    columns = (
        Column("system", "System", "link"), Column("front", "On the front", "text", "No other system here is at least as good and no dearer, and better in one of the two"),
        Column("letter", "Mark", "text", "In the chart"), unit, *throughput.get(costs.kind, []), Column("score", found.selection.measure, "interval"), Column("tier", "Tier", "integer"),
    )  # fmt: skip
    where = f" on {costs.hardware}" if costs.hardware else ""
    return Table(f"{found.selection.measure} and {_UNITS[costs.kind]}{where}, {over_words(found)}", columns, tuple(cells), left_out(costs))


def front_table(index: Index, found: Standing, costs: Costed, *, charted: bool = True) -> Table:
    """The systems on the front alone, the cheapest first; with their letters where there is a chart beside it."""
    table = cost_table(index, found, costs, costs.on_front())
    kept = [i for i, column in enumerate(table.columns) if column.key != "front" and (charted or column.key != "letter")]
    rows = tuple(tuple(row[i] for i in kept) for row in table.rows)
    note = "By scores alone: two systems of one tier cannot be told apart, so the cheaper may be as good."
    return Table(f"On the front: {table.caption}", tuple(table.columns[i] for i in kept), rows, note)


def left_out(costs: Costed) -> str:
    """How many ranked systems are there, and why the others are not."""
    what = "size" if costs.kind == "size" else "time"
    others = (
        (costs.unknown, f"of unknown {what}"), (costs.apart, "timed on different hardware for different data sets"), (costs.elsewhere, "timed on other hardware"),
    )  # fmt: skip
    told = [f"{count:,} {words}" for count, words in others if count]
    many = len(costs.rows)
    return f"{len(costs.shown):,} of {many:,} ranked system{'s' * (many != 1)}" + (f"; left out: {', '.join(told)}." if told else ".")


def cost_words(index: Index, found: Standing, costs: Costed) -> tuple[str, ...]:
    """What the chart shows, and the cheapest system of the first tier; plain text."""
    first = costs.rows[(found.tier[costs.rows] == 1) & np.isfinite(costs.cost)]
    told = [
        f"{left_out(costs)} Blue, and joined, is the Pareto front: no other system is at least as good and no dearer, and better in one of the two.",
    ]
    if (costs.cost == 0).any():
        told.append("At 0 stand systems without a model." if costs.kind == "size" else "At 0 stands what took no measurable time.")
    if len(first):
        known = dict(zip(costs.rows.tolist(), costs.cost.tolist(), strict=True))
        best = min(first.tolist(), key=known.__getitem__)
        adjective = "smallest" if costs.kind == "size" else "fastest"
        told.append(f"The {adjective} of tier 1 is {index.lines[found.lines[best]]}: {known[best]:.3g} {_UNITS[costs.kind]}.")
    return tuple(told)


def chart_alt(found: Standing, costs: Costed) -> str:
    """What the chart shows, for who cannot see it."""
    many, front = len(costs.shown), int(costs.front.sum())
    return (
        f"{found.selection.measure} of {many:,} system{'s' * (many != 1)} against {_UNITS[costs.kind]}, a point each, on a logarithmic scale; "
        f"{front:,} of them, joined, {'is' if front == 1 else 'are'} on the Pareto front"
    )


def fronts(index: Index, found: Standing) -> dict[str, Bools]:
    """By cost as the API calls it, which places of the standing are on the front, bool [systems]; of times, each among those on its own hardware."""
    return remembered(index, ("fronts", found.selection), lambda: _fronts(index, found))


def _fronts(index: Index, found: Standing) -> dict[str, Bools]:
    on: dict[str, Bools] = {}
    named: Sequence[tuple[str, Kind]] = (("weights_bytes", "size"), ("ms_per_query", "query"))
    for name, kind in named:
        on[name] = np.zeros(len(found.lines), bool)
        for machine in machines(index, found, kind) or (None,):
            on[name][_costed(index, found, kind, machine).on_front()] = True
    return on


def _timed(index: Index, found: Standing, kind: Kind) -> Paces:
    rows = np.flatnonzero(found.tier > 0)
    ms = query_ms if kind == "query" else document_ms
    return remembered(index, ("timed systems", found.selection, kind), lambda: paces(index, ms(index), found.entries[rows]))


def _costed(index: Index, found: Standing, kind: Kind, hardware: str | None) -> Costed:
    rows = np.flatnonzero(found.tier > 0)
    if kind == "size":
        cost = gigabytes(index, found.entries[rows])
        return Costed(kind, None, rows, cost, pareto_front(found.score[rows], cost), int(np.isnan(cost).sum()), 0, 0)
    timed, known = _timed(index, found, kind), machines(index, found, kind)
    hardware = hardware if hardware in known else next(iter(known), None)
    mine, differs, there = timed.hardware == hardware, timed.hardware == np.array(None), np.isfinite(timed.ms)
    cost = np.where(mine, timed.ms, np.nan)
    without = (int(each.sum()) for each in (~there & ~differs, differs, there & ~mine))
    return Costed(kind, hardware, rows, cost, pareto_front(found.score[rows], cost), *without)


class _LogAxis(NamedTuple):
    """A logarithmic axis, and where on it 0 stands."""

    spec: Spec
    zero: float


def _log_axis(values: npt.NDArray[np.float64], title: str) -> _LogAxis:
    """An axis that holds these; 0, which has no logarithm, stands left of all of them, and is labelled so."""
    positive = values[values > 0]
    low, high = (float(positive.min()), float(positive.max())) if len(positive) else (1.0, 1.0)
    zero = low / max(3.0, (high / low) ** 0.12)
    ticks = [m * 10.0**e for e in range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 1) for m in (1, 2, 5)]
    low, high = low / 1.6, high * 1.6
    ticks = [float(f"{tick:.0e}") for tick in ticks if low <= tick <= high]
    if len(ticks) > 7:
        ticks = [tick for tick in ticks if f"{tick:e}".startswith("1")]
    axis: Spec = {"values": ticks, "labelFlush": False, "format": ",~g", "grid": True}
    if (values == 0).any():
        axis |= {"values": [zero, *ticks], "labelExpr": f"datum.value < {low} ? '0' : datum.label"}
        low = zero / 1.3
    return _LogAxis({"title": f"{title}, logarithmic", "scale": {"type": "log", "domain": [low, high], "nice": False}, "axis": axis}, zero)
