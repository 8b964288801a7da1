"""The oracle track (section 3.2): a relevant document that the first stage missed takes the last place among the candidates before they are re-ranked.

All pairs share one pool, but here every pair has lists of its own: the candidates of a query with the relevant documents of *that* pair put in. So
ranks are counted for each evaluated query, and no list of another language's relevant documents stands in the way.

Lists are full before anything is put in. Where the first stage finds less (BM25 across scripts finds nothing), documents without a match fill them in
the collection's opaque order, as rank_bm25 fills its lists: among three candidates a random scorer would look like a good one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clir_bench.collection import NOTHING, Collection, FloatArray, IntArray, Ranking
from clir_bench.measures import GoldRanks, gold_ranks
from clir_bench.retrieval import Reranked, ranked

_BLOCK = 8192


class Oracle(NamedTuple):
    """The full lists of candidates, re-ranked; the ranks with the relevant documents put in; and how many were, int32 [evaluated]."""

    ranking: Ranking
    ranks: GoldRanks
    injected: IntArray


def rerank_with_gold(retriever: Reranked, collection: Collection, oracle_rank: int) -> Oracle:
    """Re-rank ``oracle_rank`` candidates a query, the missing relevant documents in the last places."""
    queries = collection.queries
    candidates = _filled(retriever.first.search(queries, oracle_rank), len(collection.pool))
    found = gold_ranks(candidates, collection.judgements)
    gold_query = np.repeat(found.query, found.golds)
    missing = found.rank > oracle_rank
    query, at = np.nonzero(candidates.rows != NOTHING)
    pairs_q, pairs_d = np.concatenate([query, gold_query[missing]]), np.concatenate([candidates.rows[query, at], found.document[missing]])
    flat = retriever.score(queries, pairs_q.astype(np.int32), pairs_d.astype(np.int32))
    scores = np.full(candidates.rows.shape, -np.inf, np.float32)
    scores[query, at] = flat[: len(query)]
    gold_scores = np.full(len(found.rank), -np.inf, np.float32)
    gold_scores[missing] = flat[len(query) :]
    there = np.flatnonzero(~missing)
    gold_scores[there] = scores[gold_query[there], found.rank[there] - 1]
    counts = np.zeros(len(found.golds) + 1, np.int64)
    np.cumsum(found.golds, out=counts[1:])
    rank = np.empty(len(found.rank), np.int32)
    injected = np.zeros(len(found.golds), np.int32)
    for start in range(0, len(found.golds), _BLOCK):
        part = slice(start, start + _BLOCK)
        golds = slice(int(counts[start]), int(counts[min(start + _BLOCK, len(found.golds))]))
        of = np.repeat(np.arange(len(found.golds[part]), dtype=np.int32), found.golds[part])
        rank[golds], injected[part] = _ranks(
            candidates.rows[found.query[part]], scores[found.query[part]], of, found.document[golds], gold_scores[golds], missing[golds]
        )
    return Oracle(ranked(candidates.rows, scores, oracle_rank, oracle_rank), found.with_rank(rank), injected)


def _filled(candidates: Ranking, documents: int) -> Ranking:
    """The candidates with the first documents of the pool that are not among them in the places that are empty, as far as the pool goes."""
    rows = candidates.rows.copy()
    for q in np.flatnonzero((rows == NOTHING).any(1)):
        empty = np.flatnonzero(rows[q] == NOTHING)
        others = np.setdiff1d(np.arange(min(documents, 2 * rows.shape[1]), dtype=np.int32), rows[q])[: len(empty)]
        rows[q, empty[: len(others)]] = others
    return Ranking(rows, candidates.scores)


def _ranks(
    rows: IntArray, scores: FloatArray, of: IntArray, document: IntArray, gold_score: FloatArray, missing: npt.NDArray[np.bool_]
) -> tuple[IntArray, IntArray]:
    """Ranks int32 [golds] in the lists with the missing ones put in, and how many each list was given, int32 [lists].

    ``rows`` and ``scores`` [lists, candidates]; ``of`` names each relevant document's list. The last candidates that are not relevant make room.
    """
    injected = np.bincount(of[missing], minlength=len(rows)).astype(np.int32)
    relevant = np.zeros(rows.shape, bool)
    held = ~missing
    np.logical_or.at(relevant, of[held], rows[of[held]] == document[held, None])
    replaceable = (rows != NOTHING) & ~relevant
    free = (rows == NOTHING).sum(1, dtype=np.int32)
    from_end = replaceable[:, ::-1].cumsum(1)[:, ::-1]  # how many replaceable candidates stand here or below
    keep = (rows != NOTHING) & ~(replaceable & (from_end <= np.maximum(injected - free, 0)[:, None]))
    above = (scores[of] > gold_score[:, None]) | ((scores[of] == gold_score[:, None]) & (rows[of] < document[:, None]))
    rank = 1 + (above & keep[of]).sum(1, dtype=np.int32)
    first, golds = np.searchsorted(of, np.arange(len(rows) + 1)), np.bincount(of, minlength=len(rows))
    for i in np.flatnonzero(missing & (golds[of] > 1)):  # a document that was put in stands above others of its own list
        for j in range(first[of[i]], first[of[i] + 1]):
            rank[j] += (gold_score[i], -document[i]) > (gold_score[j], -document[j])
    return rank, injected
