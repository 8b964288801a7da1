"""Numba kernels of the exact index and of BM25 (extra ``fast``). The paths without numba give the same numbers, more slowly."""

# mypy: disable-error-code="misc, untyped-decorator, no-untyped-call, no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

_GROUP = 16


@njit(cache=True, fastmath={"reassoc", "contract"})
def _dot(a, b):
    """The canonical score: products summed in float64, rounded once to float32."""
    total = 0.0
    for i in range(a.shape[0]):
        total += np.float64(a[i]) * np.float64(b[i])
    return np.float32(total)


@njit(cache=True)
def _best(scores, rows, keep):
    """Positions of the best ``keep`` entries: score descending, then row ascending."""
    bits = scores.view(np.uint32)
    keys = np.empty(len(bits), np.uint64)
    for i in range(len(bits)):
        bit = np.uint64(bits[i])
        descending = bit if bit >> np.uint64(31) else np.uint64(0x7FFFFFFF) - bit
        keys[i] = (descending << np.uint64(32)) | np.uint64(rows[i])
    return np.argsort(keys)[:keep]


def select(approximate, first, eps, pool, queries, scores, rows):
    """Merge a block of documents into the best lists held in ``scores`` and ``rows`` (float32, int32 [queries, depth]; -1 = empty).

    ``approximate`` float32 [queries, documents] lies within ``eps`` float64 [queries] of the canonical scores. Every document that could
    belong to the best is rescored canonically, so the result depends on no rounding of ``approximate``.
    """
    starts, documents = _candidates(approximate, eps, scores, rows)
    _merge(first, starts, documents, _rescore(documents, starts, pool, queries), scores, rows)


@njit(cache=True, fastmath={"nnan", "nsz"}, inline="always")
def _peaks(line, peaks):
    """Maxima of groups, group g being every ``len(peaks)``-th entry from g on: maxima of whole vectors."""
    groups, width = peaks.shape[0], line.shape[0]
    for g in range(groups):
        peaks[g] = line[g]
    start = groups
    while start + groups <= width:
        for g in range(groups):
            peaks[g] = max(peaks[g], line[start + g])
        start += groups
    for g in range(width - start):
        peaks[g] = max(peaks[g], line[start + g])


@njit(cache=True, nogil=True)
def _candidates(approximate, eps, scores, rows):
    """Documents whose upper bound reaches the lower bound of the last place: ``documents[starts[q]:starts[q + 1]]`` for query q."""
    count, width = approximate.shape
    depth = scores.shape[1]
    groups = (width + _GROUP - 1) // _GROUP
    peaks = np.empty(groups, np.float32)
    summits = np.empty(max(1, min(groups, 4 * depth)), np.float32)  # peaks of the peaks
    starts = np.zeros(count + 1, np.int64)
    documents = np.empty(count * min(width, 2 * depth) + width, np.int32)
    at = 0
    for q in range(count):
        line = approximate[q]
        _peaks(line, peaks)
        cut = -np.inf
        if len(summits) >= depth:  # the depth-th highest summit is no higher than the depth-th best score
            _peaks(peaks, summits)
            cut = np.partition(summits, len(summits) - depth)[len(summits) - depth] - 2.0 * eps[q]
        elif width >= depth:
            cut = np.partition(line, width - depth)[width - depth] - 2.0 * eps[q]
        if rows[q, depth - 1] >= 0:
            cut = max(cut, scores[q, depth - 1] - eps[q])
        if at + width > len(documents):
            documents = np.concatenate((documents, np.empty(len(documents) + width, np.int32)))
        for g in range(groups):
            if peaks[g] >= cut:
                for i in range(g, width, groups):
                    if line[i] >= cut:
                        documents[at] = i
                        at += 1
        starts[q + 1] = at
    return starts, documents[:at]


@njit(cache=True, nogil=True)
def _rescore(documents, starts, pool, queries):
    """Canonical scores of all candidates, document by document, since reading the pool's rows is what costs."""
    places = np.zeros(len(pool) + 1, np.int64)
    for d in documents:
        places[d + 1] += 1
    for d in range(len(pool)):
        places[d + 1] += places[d]
    order, query = np.empty(len(documents), np.int64), np.empty(len(documents), np.int32)
    at = places[:-1].copy()
    for q in range(len(starts) - 1):
        for k in range(starts[q], starts[q + 1]):
            order[at[documents[k]]], query[at[documents[k]]] = k, q
            at[documents[k]] += 1
    scores = np.empty(len(documents), np.float32)
    for d in range(len(pool)):
        for k in range(places[d], places[d + 1]):
            scores[order[k]] = _dot(pool[d], queries[query[k]]) + np.float32(0.0)
    return scores


@njit(cache=True, nogil=True)
def _merge(first, starts, documents, found, scores, rows):
    depth = scores.shape[1]
    for q in range(len(starts) - 1):
        held, low, high = 0, starts[q], starts[q + 1]
        while held < depth and rows[q, held] >= 0:
            held += 1
        all_scores, all_rows = np.empty(held + high - low, np.float32), np.empty(held + high - low, np.int32)
        all_scores[:held], all_rows[:held] = scores[q, :held], rows[q, :held]
        all_scores[held:], all_rows[held:] = found[low:high], documents[low:high] + first
        order = _best(all_scores, all_rows, depth)
        for k in range(len(order)):
            scores[q, k], rows[q, k] = all_scores[order[k]], all_rows[order[k]]


@njit(cache=True, nogil=True)
def count_above(approximate, first, eps, pool, queries, languages, starts, targets, target_scores, target_languages, above, above_own):
    """Add to ``above`` and ``above_own`` [targets] the documents of this block that stand above each target, in all and in its own language.

    The targets of query q are those from ``starts[q]`` to ``starts[q + 1]``; ``target_scores`` are canonical.
    """
    for q in range(approximate.shape[0]):
        low, high = starts[q], starts[q + 1]
        if low == high:
            continue
        lowest = target_scores[low:high].min() - eps[q]
        for i in range(approximate.shape[1]):
            score = approximate[q, i]
            if score < lowest:
                continue
            exact, known = np.float32(0.0), False
            for t in range(low, high):
                difference = np.float64(score) - target_scores[t]
                higher = difference > eps[q]
                if not higher and difference >= -eps[q]:
                    if not known:
                        exact, known = _dot(pool[i], queries[q]), True
                    higher = exact > target_scores[t] or (exact == target_scores[t] and first + i < targets[t])
                if higher:
                    above[t] += 1
                    if languages[i] == target_languages[t]:
                        above_own[t] += 1


@njit(cache=True)
def bm25_scores(terms, starts, documents, impacts, scores):
    """Overwrite ``scores`` float64 [documents] with the query's: impacts added term by term, in the order of the query."""
    scores[:] = 0.0
    for term in terms:
        for i in range(starts[term], starts[term + 1]):
            scores[documents[i]] += impacts[i]


@njit(cache=True)
def bm25_best(scores, depth):
    """Rows of the best ``depth`` scores above 0: score descending, then row ascending."""
    count = 0
    found = np.empty(len(scores), np.int32)
    for i in range(len(scores)):
        if scores[i] > 0.0:
            found[count] = i
            count += 1
    found = found[:count]
    if count > depth:
        cut = np.partition(scores[found], count - depth)[count - depth]
        found = found[scores[found] >= cut]
    return found[np.argsort(-scores[found], kind="mergesort")][:depth]


@njit(cache=True, nogil=True)
def bm25_search(queries, query_starts, starts, documents, impacts, pool_size, rows, scores):
    """Fill ``rows`` and ``scores`` [queries, depth] for the term lists ``queries[query_starts[q]:query_starts[q + 1]]``."""
    line = np.empty(pool_size, np.float64)
    for q in range(rows.shape[0]):
        bm25_scores(queries[query_starts[q] : query_starts[q + 1]], starts, documents, impacts, line)
        best = bm25_best(line, rows.shape[1])
        for k in range(len(best)):
            rows[q, k], scores[q, k] = best[k], line[best[k]]
