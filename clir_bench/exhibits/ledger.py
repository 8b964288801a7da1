"""The ledger of a system: the steps that lead to it, what each gains on the same queries, and what each costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from clir_bench.collection import IntArray
from clir_bench.exhibits.board_table import system_address
from clir_bench.exhibits.dots import NUMBERS, ROWS, TICKS
from clir_bench.exhibits.tables import Column, Interval, Link, Table
from clir_bench.lineage import Chain, Step, ledger, parent_of
from clir_bench.records import Stage
from clir_bench.significance import TopicSums, difference_interval, join, pairwise_p, resampled_scores, topic_sums
from clir_bench.standings.costs import once_seconds, pace
from clir_bench.standings.index import Board, Index, Line
from clir_bench.standings.memory import remembered
from clir_bench.standings.overview import RESAMPLES
from clir_bench.standings.paired import Bools, has, position

_STAGES: TypeAdapter[tuple[Stage, ...]] = TypeAdapter(tuple[Stage, ...])


class Scope(NamedTuple):
    """What is compared: boards, which of their pairs, a measure that all of them have."""

    boards: tuple[Board, ...]
    masks: tuple[Bools, ...]
    measure: str

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for equal scopes."""
        return self.measure, *((board.key, mask.tobytes()) for board, mask in zip(self.boards, self.masks, strict=True))


class Change(NamedTuple):
    """The second score, and how far it is from the first on the same queries, fractions; 95 % interval and p with topics whole, NaN where they are not known."""

    score: float
    gain: float
    low: float
    high: float
    p: float

    @property
    def interval(self) -> Interval:
        """The gain with its interval."""
        return Interval(self.gain, self.low, self.high)


class Cost(NamedTuple):
    """Weights in GB, milliseconds a query, seconds once for the pools; None where it is not known. ``hardware`` is None where the runs differ in it."""

    gigabytes: float | None
    ms: float | None
    once: float | None
    hardware: str | None


class Rung(NamedTuple):
    """A system of a ledger, the step that made it in words, what it changed, and what the system costs; the first has a score alone."""

    line: int
    text: str
    change: Change
    cost: Cost


class Climb(NamedTuple):
    """The ledger of a system, the first of its steps first, all on the same queries: those of ``scope``, in words ``over``."""

    scope: Scope
    rungs: tuple[Rung, ...]
    over: str


def line_parents(index: Index, boards: Sequence[Board]) -> tuple[Step | None, ...]:
    """The step that made each system, by its number, from another with gold ranks on these boards; ``parent`` is a system's number, too."""
    return remembered(index, ("parents", *(board.key for board in boards)), lambda: _line_parents(index, boards))


def chain_of(index: Index, entry: int) -> Chain:
    """The stages of a submission."""
    return remembered(index, ("chains",), lambda: _chains(index))[entry]


def climb(index: Index, scope: Scope, line: int) -> Climb | None:
    """The ledger of a system over what all of its steps have gold ranks for; steps that share nothing with it are left out. None where it has none."""
    return remembered(index, ("climb", line, *scope.key), lambda: _climb(index, scope, line))


def changes(index: Index, scope: Scope, steps: Sequence[tuple[int, int]]) -> tuple[Change, ...]:
    """For each two systems what the second changed, on all queries of ``scope``, for all of which they have gold ranks."""
    return remembered(index, ("changes", tuple(steps), *scope.key), lambda: _changes(index, scope, steps))


def cost_of(index: Index, boards: Sequence[Board], line: int) -> Cost:
    """What a system costs on these boards, as its runs recorded it."""
    entries = np.array([index.entry_of[board.key][line] for board in boards], np.int32)
    size = index.entries["weights_bytes"].to_numpy(float, na_value=np.nan)[entries[entries >= 0]]
    once, found = once_seconds(index)[entries].sum(), pace(index, entries)
    return Cost(
        float(size.max()) / 1e9 if np.isfinite(size).all() else None, found.ms, float(once) if np.isfinite(once) and found.hardware else None, found.hardware
    )


def ledger_table(index: Index, found: Climb, address: Callable[[Line], str] = system_address) -> Table:
    """The ledger as a table; its rows are the rungs."""
    m = found.scope.measure
    columns = (
        Column("step", "Step"), Column("system", "System", "link"), Column("score", m, "percent", "Macro mean over the pairs"),
        Column("gain", "Gain", "difference", "To the row above, on the same queries, with its 95 % interval: topics resampled"),
        Column("p", "p", "p", "Two-sided, topics flipped whole; not corrected for the number of steps"),
        Column("gigabytes", "GB", "gigabytes", "Weights of all models that answer a query, as published"),
        Column("ms", "ms a query", "number", "Encode, search and re-rank, in batches"),
        Column("once", "once, s", "number", "Seconds to translate, encode and index the pools"), Column("hardware", "Hardware"),
    )  # fmt: skip
    rows = tuple(
        (
            rung.text, Link(str(index.lines[rung.line]), address(index.lines[rung.line])), rung.change.score, rung.change.interval, rung.change.p,
            rung.cost.gigabytes, rung.cost.ms, rung.cost.once, rung.cost.hardware or "differs by data set",
        )
        for rung in found.rungs
    )  # fmt: skip
    note = "Costs are as each run recorded them: compare them on equal hardware only."
    return Table(f"Steps to {index.lines[found.rungs[-1].line]}: {m}, {found.over}", columns, rows, note)


def over(scope: Scope) -> str:
    """What the scores of a scope are over, with their n."""
    parts = list(zip(scope.boards, scope.masks, strict=True))
    pairs, queries = sum(int(mask.sum()) for _, mask in parts), sum(int(board.shape.n[mask].sum()) for board, mask in parts)
    mean = "1 pair" if pairs == 1 else f"macro mean over {pairs:,} pairs"
    topics = [len(np.unique(board.shape.topic[mask[board.shape.pair]])) for board, mask in parts if board.shape.topic is not None]
    told = f", {sum(topics):,} topics" if len(topics) == len(parts) else ""
    return f"{mean} of {', '.join(board.label for board in scope.boards)} (n = {queries:,} queries{told})"


def waterfall(index: Index, found: Climb) -> dict[str, object]:
    """The ledger as a Vega-Lite specification: where it starts, and a bar a step with its interval."""
    values, ends = [], list[float]()
    for place, rung in enumerate(found.rungs):
        c = rung.change
        before = c.score if place == 0 else c.score - c.gain
        shares = {"before": before, "after": c.score, "low": before + c.low, "high": before + c.high}
        known = {name: round(100 * share, 3) for name, share in shares.items() if np.isfinite(share)}
        told = f"{100 * c.score:.1f}" if place == 0 else f"{100 * c.gain:+.1f}".replace("-", "−")
        values.append({"step": f"{told}  {rung.text}", "system": str(index.lines[rung.line]), "kind": "loss" if c.gain < 0 else "gain", **known})
        ends += known.values()
    margin = 0.05 * (max(ends) - min(ends)) or 1.0
    domain = [min(ends) - margin, max(ends) + margin]
    x = {"type": "quantitative", "title": f"{found.scope.measure}, percent", "scale": {"domain": domain, "nice": TICKS}}
    x["axis"] = {**NUMBERS, "grid": False, "ticks": True, "domain": True}
    y = {
        "field": "step", "type": "nominal", "sort": None, "title": None,
        # a step above its bar, not beside it: an axis of long words leaves no room on a phone
        "axis": {**ROWS, "grid": True, "maxExtent": 0, "labelAlign": "left", "labelPadding": -2, "labelOffset": -14, "labelLimit": 340},
    }  # fmt: skip
    colour = {"field": "kind", "type": "nominal", "legend": None, "scale": {"domain": ["gain", "loss"], "range": ["#2f79b5", "#c2620e"]}}
    return {
        "data": {"values": values},
        "height": 44 * len(values) + 60,
        "encoding": {"y": y, "tooltip": [{"field": name, "type": "nominal"} for name in ("step", "system", "before", "after", "low", "high")]},
        "layer": [
            {"mark": {"type": "bar", "height": 10, "opacity": 0.55}, "encoding": {"x": {**x, "field": "before"}, "x2": {"field": "after"}, "color": colour}},
            {"mark": {"type": "rule", "strokeWidth": 2}, "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "color": colour}},
            {"mark": {"type": "point", "filled": True, "size": 60, "opacity": 1}, "encoding": {"x": {**x, "field": "after"}, "color": colour}},
        ],
    }  # fmt: skip


def _chains(index: Index) -> tuple[Chain, ...]:
    texts = [str(text) for text in index.texts("stages")]
    known = {text: _STAGES.validate_json(text) for text in set(texts)}  # most systems have one chain on all boards
    return tuple(known[text] for text in texts)


def _line_parents(index: Index, boards: Sequence[Board]) -> tuple[Step | None, ...]:
    of = np.full(len(index.lines), -1, np.int32)
    for board in reversed(boards):
        ranked = board.entries[board.rank_row >= 0]
        mine = index.entry_of[board.key]
        of = np.where(np.isin(mine, ranked) & (mine >= 0), mine, of)
    lines = np.flatnonzero(of >= 0)
    chains = [chain_of(index, int(entry)) for entry in of[lines]]
    found: list[Step | None] = [None] * len(index.lines)
    for line, step in zip(lines, parent_of(chains), strict=True):
        found[line] = step and step._replace(parent=int(lines[step.parent]))
    return tuple(found)


def _climb(index: Index, scope: Scope, line: int) -> Climb | None:
    steps = ledger(line_parents(index, scope.boards), line)
    shared = None
    while steps and not (shared := _shared(index, scope, [rung.system for rung in steps])):
        steps = steps[1:]
    if not shared:
        return None
    lines = [rung.system for rung in steps]
    costs = (cost_of(index, shared.boards, each) for each in lines)
    texts = ("start", *(rung.step.text for rung in steps[1:] if rung.step))
    found = changes(index, shared, [(lines[0], lines[0]), *pairwise(lines)])
    found = (found[0]._replace(gain=np.nan, low=np.nan, high=np.nan, p=np.nan), *found[1:])
    rungs = tuple(Rung(*each) for each in zip(lines, texts, found, costs, strict=True))
    return Climb(shared, rungs, over(shared))


def _changes(index: Index, scope: Scope, steps: Sequence[tuple[int, int]]) -> tuple[Change, ...]:
    lines = list(dict.fromkeys(line for step in steps for line in step))
    sums = join([_sums(index, board, mask, scope.measure, lines) for board, mask in zip(scope.boards, scope.masks, strict=True)])
    at, known, found = {line: i for i, line in enumerate(lines)}, all(board.shape.topic is not None for board in scope.boards), []
    resampled = resampled_scores(sums.scores, sums.centred, RESAMPLES) if known else np.full((1, len(lines)), np.nan)
    for first, second in ((at[first], at[second]) for first, second in steps):
        score, gain = float(sums.scores[second]), float(sums.scores[second] - sums.scores[first])
        low, high = difference_interval(resampled[:, second] - resampled[:, first], gain, sums.sums.shape[1])
        p = pairwise_p(sums.sums[[first, second]], sums.unit)[0, 1] if known else np.nan
        found.append(Change(score, gain, float(low), float(high), float(p)))
    return tuple(found)


def _shared(index: Index, scope: Scope, lines: Sequence[int]) -> Scope | None:
    """The scope reduced to what all of these systems have gold ranks for; None where that is nothing."""
    kept: list[tuple[Board, Bools]] = []
    for board, mask in zip(scope.boards, scope.masks, strict=True):
        places = [position(index, board, line) for line in lines]
        both = mask.copy()
        for at in places:
            both &= np.False_ if at is None else has(board, at, scope.measure)
        if both.any():
            kept.append((board, both))
    return Scope(tuple(board for board, _ in kept), tuple(mask for _, mask in kept), scope.measure) if kept else None


def _sums(index: Index, board: Board, mask: Bools, measure: str, lines: Sequence[int]) -> TopicSums:
    columns: npt.NDArray[np.intp] = np.flatnonzero(mask[board.shape.pair])
    topic: IntArray = np.arange(len(board.shape.pair), dtype=np.int32) if board.shape.topic is None else board.shape.topic
    rows = [int(board.rank_row[board.entries == index.entry_of[board.key][line]][0]) for line in lines]
    return topic_sums((board.values(row, measure)[columns] for row in rows), board.shape.pair[columns], topic[columns])
