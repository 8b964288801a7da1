"""Values with their intervals as dots on lines: a Vega-Lite specification, and the same as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from clir_bench.exhibits.tables import Column, Kind, Table
from clir_bench.standings.index import Floats

Spec = dict[str, object]
TICKS = 8
"""About how many numbers stand on an axis; a scale that is "nice" ends at one of them."""
# Flush labels, as streamlit's theme has them, are moved from their tick at both ends of an axis, and from their row at its top.
NUMBERS: Spec = {"tickCount": TICKS, "format": ".2~f", "labelFlush": False}
"""An axis of numbers, without decimals that say nothing."""
ROWS: Spec = {"ticks": False, "domain": False, "labelFlush": False, "labelOverlap": False, "labelPadding": 8, "labelLimit": 170}
"""An axis of names, a row each."""


def span(values: Floats) -> Spec:
    """A scale that holds all of these, with a little room."""
    low, high = float(values.min()), float(values.max())
    room = 0.04 * (high - low) or 1.0
    return {"domain": [low - room, high + room], "nice": TICKS}


class Dot(NamedTuple):
    """The value of a system in a row of the chart, its interval, and its n; fractions."""

    row: str
    system: str
    value: float
    low: float
    high: float
    n: int


def dots_chart(dots: Sequence[Dot], title: str, *, difference: bool = False) -> Spec:
    """Systems below each other in each row, in their order, told apart by colour; a dashed line at 0 where ``difference``."""
    systems = list(dict.fromkeys(dot.system for dot in dots))
    values = [
        {"row": dot.row, "system": dot.system, "value": round(100 * dot.value, 3), "low": round(100 * dot.low, 3), "high": round(100 * dot.high, 3), "n": dot.n}
        for dot in dots
    ]
    ends = [100 * end for dot in dots for end in (dot.value, dot.low, dot.high)] + ([0.0] if difference else [])
    room = 0.04 * (max(ends) - min(ends)) or 1.0
    # a given scale: a browser would look for its ends before the values are there, and complain
    domain = [min(ends) - room, max(ends) + room] if difference else [max(0.0, min(ends) - room), min(100.0, max(ends) + room)]
    x = {"type": "quantitative", "title": title, "scale": {"domain": domain, "nice": TICKS}, "axis": NUMBERS}
    y = {"field": "row", "type": "nominal", "sort": None, "title": None, "axis": ROWS}
    legend = {"orient": "top", "direction": "vertical", "title": None, "labelLimit": 320, "symbolType": "circle"}
    told: Spec = (
        {"yOffset": {"field": "system", "type": "nominal", "sort": systems}, "color": {"field": "system", "type": "nominal", "sort": systems, "legend": legend}}
        if len(systems) > 1
        else {}
    )
    colour = {} if told else {"color": "#2f79b5"}
    tooltip = [{"field": name, "type": "nominal"} for name in ("row", "system", "value", "low", "high", "n")]
    rule = {"mark": {"type": "rule", "strokeDash": [4, 3], "opacity": 0.55}, "data": {"values": [{"zero": 0}]}, "encoding": {"x": {**x, "field": "zero"}}}
    lines = {"mark": {"type": "rule", "strokeWidth": 2.5, **colour}, "encoding": {"y": y, **told, "x": {**x, "field": "low"}, "x2": {"field": "high"}}}
    points = {
        "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1, **colour},
        "encoding": {"y": y, **told, "x": {**x, "field": "value"}, "tooltip": tooltip},
    }
    rows = len(dict.fromkeys(dot.row for dot in dots))
    height = rows * max(30, 16 * len(systems) + 14) + (30 * len(systems) + 24 if told else 0) + 60  # the legend and the axis are part of it
    return {"data": {"values": values}, "height": height, "layer": [*([rule] if difference else []), lines, points]}


def dots_table(dots: Sequence[Dot], caption: str, row: str, *, difference: bool = False) -> Table:
    """A row a dot."""
    kind: Kind = "points" if difference else "percent"
    columns = (Column("row", row), Column("system", "system"), Column("value", "value", kind), Column("low", "from", kind), Column("high", "to", kind))
    rows = tuple((dot.row, dot.system, dot.value, dot.low, dot.high, dot.n) for dot in dots)
    return Table(caption, (*columns, Column("n", "n", "integer")), rows, "from, to: 95\u00a0% interval.", heads=2)
