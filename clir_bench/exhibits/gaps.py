"""How far the systems of a standing lie apart: a gap with its interval, what the tiers say in sentences, and the chart of the best with theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from clir_bench.exhibits.board_table import Rows, board_table, over_words
from clir_bench.exhibits.dots import NUMBERS, ROWS, TICKS
from clir_bench.exhibits.tables import Table
from clir_bench.significance import detectable_difference, difference_interval
from clir_bench.standings.index import Index
from clir_bench.standings.memory import remembered
from clir_bench.standings.overview import Evidence, Standing, evidence

CHARTED = 20
"""Systems in the chart."""


class Gap(NamedTuple):
    """One system's score less another's, its 95 % interval and its standard error, topics resampled; fractions."""

    difference: float
    low: float
    high: float
    se: float


def gap(index: Index, standing: Standing, a: int, b: int) -> Gap:
    """The gap between two places of a standing that both have a rank."""
    found = _evidence(index, standing)
    x, y = (int(np.searchsorted(found.lines, standing.lines[row])) for row in (a, b))
    resampled = found.resampled[:, x].astype(np.float64) - found.resampled[:, y]
    difference = float(standing.score[a] - standing.score[b])
    low, high = difference_interval(resampled, difference, found.topics)
    return Gap(difference, float(low), float(high), float(resampled.std()))


def comparisons(standing: Standing) -> int:
    """How many pairs of systems the tiers compare."""
    return standing.ranked * (standing.ranked - 1) // 2


def tier_sentences(index: Index, standing: Standing) -> tuple[str, ...]:
    """What makes the first tier, how far behind the second is, and what difference could be found at all; plain text."""
    if standing.ranked < 2:
        return ()
    leaders = [int(np.flatnonzero(standing.tier == tier)[0]) for tier in (1, 2) if (standing.tier == tier).any()]
    first, many = int((standing.tier == 1).sum()), f"{comparisons(standing):,} comparison{'s' * (comparisons(standing) > 1)}"
    others = "Every other system can" if first == 1 else f"{first - 1:,} other system{'s' * (first > 2)} cannot"
    told = [f"{others} be told from the best, {_name(index, standing, leaders[0])} (topics flipped, Holm over {many}, 5\u00a0%)."]
    if len(leaders) == 2:
        found = gap(index, standing, *leaders)
        told.append(
            f"The best of tier 2, {_name(index, standing, leaders[1])}, is {100 * found.difference:.1f} points behind"
            f" (95\u00a0% interval {100 * found.low:.1f} to {100 * found.high:.1f})."
        )
    single, every = detectable(index, standing)
    told.append(
        f"A true difference to the leader is found in four of five cases from about {100 * single:.1f} points on"
        + (f", and from {100 * every:.1f} with the correction for {many}." if standing.ranked > 2 else ".")
    )
    return tuple(told)


def detectable(index: Index, standing: Standing) -> tuple[float, float]:
    """The smallest true difference to the leader that is found in four of five cases: in one comparison, and corrected for all; the median over systems.

    Kept in the index's memory.
    """
    se = remembered(index, ("se", standing.selection), lambda: _median_se(index, standing))
    return float(detectable_difference(se)), float(detectable_difference(se, comparisons=comparisons(standing)))


def interval_chart(index: Index, standing: Standing, rows: Rows) -> tuple[dict[str, object], Table]:
    """Dots with their intervals, the first of these places above: a Vega-Lite specification, and the same as a table."""
    values = [
        {
            "system": _name(index, standing, row), "label": f"{_name(index, standing, row)}\u2002{100 * standing.score[row]:.1f}", "tier": int(standing.tier[row]),
            **{name: round(100 * float(getattr(standing, name)[row]), 3) for name in ("score", "low", "high")},
        }
        for row in rows.tolist()
    ]  # fmt: skip
    ends = [float(100 * standing.low[rows].min()), float(100 * standing.high[rows].max())]
    x = {
        "type": "quantitative",
        "title": f"{standing.selection.measure}, percent",
        "scale": {"domain": ends, "nice": TICKS},
        "axis": {**NUMBERS, "grid": False, "ticks": True, "domain": True},
    }
    y = {
        "field": "label", "type": "nominal", "sort": None, "title": None,
        # a name above its interval, not beside it: an axis of long names leaves no room on a phone. It stands on the plot, so lines lie along rows only
        "axis": {**ROWS, "grid": True, "maxExtent": 0, "labelAlign": "left", "labelPadding": -2, "labelOffset": -13, "labelLimit": 340},
    }  # fmt: skip
    colour = "#2f79b5"
    spec = {
        "data": {"values": values},
        "height": 36 * len(values) + 60,
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 3, "strokeCap": "round", "color": colour},
                "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}},
            },
            {"mark": {"type": "point", "filled": True, "size": 60, "opacity": 1, "color": colour}, "encoding": {"x": {**x, "field": "score"}}},
        ],
        "encoding": {"y": y, "tooltip": [{"field": name, "type": "nominal"} for name in ("system", "tier", "score", "low", "high")]},
    }
    table = board_table(index, standing, rows, ())
    return spec, replace(table, caption=f"The best {len(rows)}: {table.caption}")


def chart_words(standing: Standing, rows: Rows) -> str:
    """What the chart shows, for who cannot see it."""
    best = f"{100 * standing.score[rows[0]]:.1f}" if len(rows) else "–"
    return f"{standing.selection.measure} of {len(rows)} system{'s' * (len(rows) != 1)} as dots with 95\u00a0% intervals, {over_words(standing)}; the first has {best} percent."


def _median_se(index: Index, standing: Standing) -> float:
    found = _evidence(index, standing)
    ranked = np.searchsorted(found.lines, standing.lines[standing.tier > 0])
    return float(np.median((found.resampled[:, ranked[1:]] - found.resampled[:, ranked[:1]]).std(0)))


def _evidence(index: Index, standing: Standing) -> Evidence:
    found = evidence(index, standing.selection, standing.boards, standing.pairs)
    assert isinstance(found, Evidence)  # a system with a rank has it
    return found


def _name(index: Index, standing: Standing, row: int) -> str:
    return str(index.lines[standing.lines[row]])
