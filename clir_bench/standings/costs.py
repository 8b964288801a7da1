"""What systems cost, as each run recorded it on its own hardware: so two systems are compared on equal hardware, or not at all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clir_bench.records import TimingRecord
from clir_bench.standings.index import Floats, Index
from clir_bench.standings.memory import column, remembered

Bools = npt.NDArray[np.bool_]
ONCE = ("translate_documents", "encode_documents", "build_index")
"""What is done once for a pool, whatever is asked of it; their items are documents."""
_EACH = ("translate_queries", "encode_queries", "search", "fuse")
"""Stages that every query goes through; their items are queries. Those of ``rerank`` are pairs of a query and a document."""


class Pace(NamedTuple):
    """Milliseconds a query, and on what; None where it was not timed, or not on the same hardware for all data sets."""

    ms: float | None
    hardware: str | None


class Paces(NamedTuple):
    """The same of many systems, for a query or for what else was timed: ``ms`` [systems], NaN for None; ``hardware`` [systems], objects."""

    ms: Floats
    hardware: npt.NDArray[np.object_]


def query_ms(index: Index) -> Floats:
    """Per entry, the milliseconds of all stages that run for each query, float64 [entries]; NaN where no search was timed.

    Queries are answered in batches here: it is the inverse of a throughput, not the time one query waits. Texts whose vectors a run had in its cache cost it
    nothing.
    """
    return remembered(index, ("query ms",), lambda: _query_ms(index))


def once_seconds(index: Index) -> Floats:
    """Per entry, the seconds that its pool took once: translation, vectors, index; float64 [entries], NaN where none was timed."""
    return remembered(index, ("once",), lambda: _once_seconds(index))


def document_ms(index: Index) -> Floats:
    """Per entry, ``once_seconds`` as milliseconds a document, float64 [entries]; NaN where none was timed."""
    documents = np.max([stage_costs(index, stage)[0] for stage in ONCE], axis=0)
    return np.asarray(1000 * once_seconds(index) / np.where(documents > 0, documents, np.nan))


def pace(index: Index, entries: npt.NDArray[np.int32]) -> Pace:
    """The mean over a system's submissions; -1 among the entries is none."""
    found = paces(index, query_ms(index), entries[None])
    return Pace(float(found.ms[0]) if np.isfinite(found.ms[0]) else None, found.hardware[0])


def paces(index: Index, ms: Floats, entries: npt.NDArray[np.int32]) -> Paces:
    """The means of ``ms`` [entries] over the submissions of each system; ``entries`` [systems, boards], -1 is none."""
    names, codes = remembered(index, ("machines",), lambda: np.unique(column(index, "hardware").astype(str), return_inverse=True))
    there, at = entries >= 0, np.maximum(entries, 0)
    code = np.where(there, codes[at], -1)
    one = there.any(1) & (np.where(there, code, len(names)).min(1) == code.max(1))
    mean = np.where(there, ms[at], 0).sum(1) / np.maximum(there.sum(1), 1)
    hardware = np.full(len(one), None, object)
    hardware[one] = names.astype(object)[code.max(1)[one]]
    return Paces(np.where(one, mean, np.nan), hardware)


def pareto_front(score: Floats, cost: Floats) -> Bools:
    """Which systems are on the Pareto front: no other is at least as good and no dearer, and better in one of the two. bool [systems]; False where either is NaN."""
    known = np.flatnonzero(np.isfinite(score) & np.isfinite(cost))
    order = known[np.lexsort((-score[known], cost[known]))]
    best = np.maximum.accumulate(score[order])
    rises = score[order] > np.append(-np.inf, best[:-1])
    leader = order[np.maximum.accumulate(np.where(rises, np.arange(len(order)), 0))]  # the last that is on it: an equal stands with it
    front = np.zeros(len(score), bool)
    front[order] = (score[order] == score[leader]) & (cost[order] == cost[leader])
    return front


def gigabytes(index: Index, entries: npt.NDArray[np.int32]) -> Floats:
    """The weights of all models that answer a query, by the newest submission of each system: float64 [...] of int32 [..., submissions]; NaN where unknown."""
    size = remembered(index, ("gigabytes",), lambda: index.entries["weights_bytes"].to_numpy(float, na_value=np.nan) / 1e9)
    return np.asarray(size[index.newest_of(entries)])


def stage_costs(index: Index, stage: str) -> tuple[Floats, Floats]:
    """Per entry, the items of a stage and its seconds, float64 [entries]; 0 where it was not timed."""
    return remembered(index, ("stage costs", stage), lambda: _stage_costs(index, stage))


def timing_records(index: Index) -> dict[int, list[TimingRecord]]:
    """What each entry's run took, stage by stage."""
    return remembered(index, ("timing records",), lambda: _timing_records(index))


def _stage_costs(index: Index, stage: str) -> tuple[Floats, Floats]:
    timings, size = index.timings, len(index.entries)
    mine = timings[timings["stage"] == stage]
    entry = mine["entry"].to_numpy()
    items, seconds = (np.bincount(entry, mine[name].to_numpy(float), size).astype(float) for name in ("items", "seconds"))
    return items, seconds


def _once_seconds(index: Index) -> Floats:
    timed = index.timings["entry"].to_numpy()[index.timings["stage"].isin(ONCE).to_numpy()]
    spent = np.sum([stage_costs(index, stage)[1] for stage in ONCE], axis=0)
    return np.where(np.bincount(timed, minlength=len(index.entries)) > 0, spent, np.nan)


def _timing_records(index: Index) -> dict[int, list[TimingRecord]]:
    found: dict[int, list[TimingRecord]] = {}
    columns = (index.timings[name].tolist() for name in ("entry", "stage", "items", "seconds", "cpu_seconds"))
    for entry, stage, items, seconds, cpu_seconds in zip(*columns, strict=True):
        found.setdefault(entry, []).append(TimingRecord(stage=stage, items=items, seconds=seconds, cpu_seconds=cpu_seconds))
    return found


def _query_ms(index: Index) -> Floats:
    timings, size = index.timings, len(index.entries)
    entry, items, stage = timings["entry"].to_numpy(), timings["items"].to_numpy(float), timings["stage"].astype(str).to_numpy()
    searched = np.zeros(size)
    np.maximum.at(searched, entry[stage == "search"], items[stage == "search"])
    per = np.where(stage == "rerank", searched[entry], items)
    counted = np.isin(stage, (*_EACH, "rerank")) & (per > 0)
    ms = np.bincount(entry[counted], 1000 * timings["seconds"].to_numpy()[counted] / per[counted], size)
    return np.where(searched > 0, ms, np.nan)
