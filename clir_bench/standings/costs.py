"""What a system costs, as its runs recorded it on their own hardware: two systems are compared on equal hardware, or not at all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

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
    return remembered(index, ("once",), lambda: _once(index))[0]


def document_ms(index: Index) -> Floats:
    """Per entry, ``once_seconds`` as milliseconds a document, float64 [entries]; NaN where none was timed."""
    seconds, documents = remembered(index, ("once",), lambda: _once(index))
    return np.asarray(1000 * seconds / np.where(documents > 0, documents, np.nan))


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


def gigabytes(index: Index, entries: npt.NDArray[np.int32]) -> Floats:
    """The weights of all models that answer a query, as each system's newest submission has them, float64 [systems]; ``entries`` as for ``paces``.

    NaN where they are not known, 0 without a model.
    """
    moment, size = remembered(index, ("sizes",), lambda: _sizes(index))
    newest = np.where(entries >= 0, moment[np.maximum(entries, 0)], -1).argmax(1)
    return np.asarray(size[entries[np.arange(len(entries)), newest]])


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


def _query_ms(index: Index) -> Floats:
    timings, size = index.timings, len(index.entries)
    entry, items, stage = timings["entry"].to_numpy(), timings["items"].to_numpy(float), timings["stage"].astype(str).to_numpy()
    searched = np.zeros(size)
    np.maximum.at(searched, entry[stage == "search"], items[stage == "search"])
    per = np.where(stage == "rerank", searched[entry], items)
    counted = np.isin(stage, (*_EACH, "rerank")) & (per > 0)
    ms = np.bincount(entry[counted], 1000 * timings["seconds"].to_numpy()[counted] / per[counted], size)
    return np.where(searched > 0, ms, np.nan)


def _once(index: Index) -> tuple[Floats, Floats]:
    """Per entry, the seconds and the documents of the stages that run once; seconds are NaN where there are none."""
    timings, size = index.timings, len(index.entries)
    once = timings["stage"].isin(ONCE).to_numpy()
    entry, documents = timings["entry"].to_numpy()[once], np.zeros(size)
    np.maximum.at(documents, entry, timings["items"].to_numpy(float)[once])
    spent = np.bincount(entry, timings["seconds"].to_numpy()[once], size)
    return np.where(np.bincount(entry, minlength=size) > 0, spent, np.nan), documents


def _sizes(index: Index) -> tuple[npt.NDArray[np.intp], Floats]:
    """Per entry, a number that grows with the time of its run, and its gigabytes."""
    moment = np.unique(column(index, "started").astype(str), return_inverse=True)[1]  # all UTC in one form, so they sort as text
    return moment, index.entries["weights_bytes"].to_numpy(np.float64, na_value=np.nan) / 1e9
