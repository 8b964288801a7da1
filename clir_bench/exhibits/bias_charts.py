"""The charts of the page Bias, as Vega-Lite specifications, and what is to be said beside them; their tables are in ``bias_tables``.

Scales are given, not found by the browser: it would look for them before the values are there, and complain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from clir_bench.exhibits.bias_tables import Rate
from clir_bench.exhibits.dots import NUMBERS, ROWS, TICKS, Spec, span
from clir_bench.exhibits.pair_views import NO_OWN
from clir_bench.standings.index import Index
from clir_bench.standings.overview import Standing

_BLUE, _GREY = "#2f79b5", "#808a94"
_LEGEND = {"title": None, "orient": "top", "direction": "vertical", "labelLimit": 340}


def rate_chart(found: Sequence[Rate]) -> Spec:
    """Same-language rates as dots on their intervals, the pool's shares as strokes."""
    values = [_named(r) | _percent({"from": r.rate.low, "rate": r.rate.value, "to": r.rate.high, "pool": r.pool}) for r in found]
    places = "place" if found[0].depth == 1 else f"{found[0].depth} places"
    stroke = {"mark": {"type": "tick", "thickness": 2}, "encoding": {"x": {"field": "pool", "type": "quantitative"}, "color": {"value": _GREY}}}
    return _dots(values, "rate", f"percent of the first {places}", 100 * max(max(r.rate.high, r.pool) for r in found), stroke)


def loss_chart(found: Sequence[Rate], measure: str) -> Spec:
    """Recall as dots, joined to what it would be in a pool of the document's language, as rings: the gap is the bias loss."""
    values = [_named(r) | _percent({"recall": r.cost.recall} | ({"from": r.cost.recall, "to": r.cost.own} if np.isfinite(r.cost.own) else {})) for r in found]
    ring = {"mark": {"type": "point", "size": 60, "filled": False}, "encoding": {"x": {"field": "to", "type": "quantitative"}}}
    return _dots(values, "recall", f"{measure}, percent", 100, ring)


def quality_chart(index: Index, found: Standing, against: str, chosen: Sequence[int]) -> Spec:
    """All systems of a standing that have both, their score against ``lift`` or ``loss``; the chosen ones in colour."""
    x, none, title = (found.lift, 1, "same-language lift, 1 is as in the pool") if against == "lift" else (100 * found.loss, 0, "bias loss, percent points")
    y, measure = 100 * found.score, found.selection.measure
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    systems = [(str(index.lines[found.lines[i]]), found.lines[i] in chosen) for i in known]
    values = [
        {"system": name, "x": round(float(x[i]), 3), "y": round(float(y[i]), 2), **({"chosen": 1} if mine else {})}
        for i, (name, mine) in zip(known, systems, strict=True)
    ]
    axes = {
        "x": {"field": "x", "type": "quantitative", "title": title, "scale": span(np.append(x[known], none)), "axis": NUMBERS},
        "y": {"field": "y", "type": "quantitative", "title": f"{measure}, percent", "scale": span(y[known]), "axis": NUMBERS},
        "tooltip": [{"field": field, "type": "nominal", "title": words} for field, words in (("system", "system"), ("y", measure), ("x", title))],
    }
    colour = {"field": "system", "type": "nominal", "sort": [str(index.lines[line]) for line in chosen], "legend": _LEGEND}
    return {
        "data": {"values": values},
        "height": 380,
        "layer": [
            {
                "data": {"values": [{"none": none}]},
                "mark": {"type": "rule", "color": _GREY, "strokeDash": [4, 4]},
                "encoding": {"x": {"field": "none", "type": "quantitative"}},
            },
            {"mark": {"type": "point", "filled": True, "size": 40, "opacity": 0.6, "color": _GREY}, "encoding": axes},
            {
                "transform": [{"filter": "datum.chosen"}],
                "mark": {"type": "point", "filled": True, "size": 120, "opacity": 1},
                "encoding": {**axes, "color": colour},
            },
        ],
    }


def grey_words(found: Standing, against: str, chosen: Sequence[int]) -> str:
    """What the grey dots of ``quality_chart`` are; "" where there are none."""
    known = found.lines[np.isfinite(getattr(found, against)) & np.isfinite(found.score)]
    others = len(set(known.tolist()) - set(chosen))
    return f"Grey: the other {others:,} system{'s' * (others > 1)}; point at a dot for its name." if others else ""


def loss_words(index: Index, found: Standing, chosen: Sequence[int]) -> str:
    """Why chosen systems have no bias loss, or why none leads the standing but another is shown; "" where there is nothing to say."""
    known = dict(zip(found.lines.tolist(), np.isfinite(found.loss).tolist(), strict=True))
    if all(board.pairs[i].same for board, mask in zip(found.boards, found.pairs, strict=True) for i in np.flatnonzero(mask)):
        return "Bias loss is over pairs of two languages, and none is chosen."
    without = [str(index.lines[line]) for line in chosen if not known.get(line, False)]
    if without:
        return f"No bias loss (–) is known of {', '.join(without)}: {NO_OWN}."
    first = int(found.lines[0])
    if first in chosen or known[first]:
        return ""
    return f"{index.lines[first]} leads here, but its bias loss is not known: {NO_OWN}. Without a choice the best system whose loss is known is shown."


def _dots(values: Sequence[Mapping[str, object]], dot: str, title: str, most: float, beside: Spec) -> Spec:
    """A row a query language, in it a dot and a line for each system, and something beside them; from 0 to ``most``."""
    systems, rows = (list(dict.fromkeys(str(value[key]) for value in values)) for key in ("system", "questions in"))
    x = {"type": "quantitative", "title": title, "scale": {"domain": [0, most], "nice": TICKS}, "axis": NUMBERS}
    shared: Spec = {
        "y": {"field": "questions in", "type": "nominal", "title": None, "sort": rows, "axis": ROWS},
        "tooltip": [{"field": key, "type": "nominal"} for key in values[0] if key != "system" or len(systems) > 1],
        "color": {"value": _BLUE},
    }
    if len(systems) > 1:
        shared |= {
            "color": {"field": "system", "type": "nominal", "sort": systems, "legend": _LEGEND},
            "yOffset": {"field": "system", "type": "nominal", "sort": systems},
        }
    return {
        "data": {"values": list(values)},
        "height": len(rows) * (12 + 12 * len(systems)) + 60 + (18 * len(systems) if len(systems) > 1 else 0),  # with axis and legend
        "encoding": shared,
        "layer": [
            beside,
            {"mark": {"type": "rule", "strokeWidth": 3, "strokeCap": "round"}, "encoding": {"x": {**x, "field": "from"}, "x2": {"field": "to"}}},
            {"mark": {"type": "point", "filled": True, "size": 70, "opacity": 1}, "encoding": {"x": {**x, "field": dot}}},
        ],
    }


def _named(rate: Rate) -> dict[str, object]:
    return {"questions in": rate.query, "system": rate.system.text, "n": rate.n}


def _percent(values: Mapping[str, float]) -> dict[str, object]:
    return {key: round(100 * value, 2) for key, value in values.items()}
