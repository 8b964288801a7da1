"""Gold ranks and what is computed from them: R, Success, nDCG, RR, P and AP at k, per pair.

The rank of every relevant document is all that is needed, so measures are arrays over *evaluated queries*: one for each (pair, query) with a
judgement. Formulas follow trec_eval (linear gains, log2 discount, judged-only ideal); the tests hold them against pytrec_eval, mteb and beir.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clir_bench.collection import IntArray, Judgements, Pair, Ranking

NOT_FOUND = np.iinfo(np.int32).max
"""The rank of a relevant document that was not retrieved."""
DEFAULT_MEASURES = ("R@1", "R@10", "R@100", "nDCG@10", "nDCG@100", "RR@100")
KINDS = {
    "R": "recall: the fraction of the relevant documents among the first k (trec_eval's recall_k)",
    "Success": "success: 1 if any relevant document is among the first k, else 0; equal to R where a query has one relevant document",
    "nDCG": "normalised discounted cumulative gain, gain = grade, discount log2(rank + 1), ideal over the judged documents",
    "RR": "reciprocal rank of the first relevant document, 0 beyond k",
    "P": "precision: relevant documents among the first k, over k",
    "AP": "average precision: mean over the relevant documents of the precision at their ranks, 0 beyond k (trec_eval's map_cut)",
}


class Measure(NamedTuple):
    """A measure in ir_measures spelling: ``nDCG@10`` is kind ``nDCG`` at ``k`` 10."""

    kind: str
    k: int

    def __str__(self) -> str:
        return f"{self.kind}@{self.k}"


class Stat(NamedTuple):
    """Count, sum and sum of squares of one measure's values: every mean and interval follows from these."""

    n: int
    sum: float
    sum_squares: float

    @property
    def mean(self) -> float:
        """The mean value, a fraction."""
        return self.sum / self.n


@dataclass(frozen=True)
class GoldRanks:
    """Ranks of all relevant documents, grouped by evaluated query, sorted by (pair, query).

    ``pair`` and ``query`` int32 [evaluated]; ``golds`` int32 [evaluated] = number of relevant documents of each (0 if all its judgements
    are grade 0); ``rank``, ``grade``, ``document`` int32 [sum of golds], rank from 1, NOT_FOUND = not retrieved.
    """

    pairs: tuple[Pair, ...]
    pair: IntArray
    query: IntArray
    golds: IntArray
    rank: IntArray
    grade: IntArray
    document: IntArray

    def with_rank(self, rank: IntArray) -> GoldRanks:
        """The same evaluated queries with other ranks (of the own-language pool, say)."""
        return replace(self, rank=rank)


@lru_cache(maxsize=4096)
def parse_measure(name: str) -> Measure:
    """``R@100`` to a Measure. Raises ValueError."""
    match = re.fullmatch(rf"({'|'.join(KINDS)})@([1-9]\d{{0,3}})", name)
    if match is None:
        raise ValueError(f"unknown measure {name!r}. Write one of {', '.join(f'{kind}@k' for kind in KINDS)}, such as nDCG@10.")
    return Measure(match[1], int(match[2]))


def gold_ranks(ranking: Ranking, judgements: Judgements) -> GoldRanks:
    """Where each relevant document stands in the ranking of its query."""
    ranks = unranked(judgements)
    queries = np.repeat(ranks.query, ranks.golds)
    rank = np.full(len(queries), NOT_FOUND, np.int32)
    for start in range(0, len(queries), 8192):
        part = slice(start, start + 8192)
        hit = ranking.rows[queries[part]] == ranks.document[part, None]
        at = hit.argmax(1)
        found = hit[np.arange(len(at)), at]
        rank[part][found] = at[found] + 1
    return ranks.with_rank(rank)


def unranked(judgements: Judgements) -> GoldRanks:
    """The evaluated queries and relevant documents of ``judgements``, all ranks NOT_FOUND."""
    j = judgements
    first = np.ones(len(j.pair), bool)
    first[1:] = (j.pair[1:] != j.pair[:-1]) | (j.query[1:] != j.query[:-1])
    relevant = j.grade > 0
    golds = np.bincount(np.cumsum(first)[relevant] - 1, minlength=int(first.sum())).astype(np.int32)
    rank = np.full(int(relevant.sum()), NOT_FOUND, np.int32)
    return GoldRanks(j.pairs, j.pair[first], j.query[first], golds, rank, j.grade[relevant], j.document[relevant])


def values(measure: Measure, ranks: GoldRanks) -> npt.NDArray[np.float64]:
    """The measure of every evaluated query, float64 [evaluated]; 0 where a query has no relevant document."""
    evaluated, golds, rank = len(ranks.golds), ranks.golds, ranks.rank
    one_each = len(rank) == evaluated and bool((golds == 1).all())
    of = None if one_each else np.repeat(np.arange(evaluated), golds)
    inside = rank <= measure.k

    def total(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return x if of is None else np.bincount(of, x, evaluated).astype(np.float64, copy=False)

    if measure.kind == "nDCG":
        gain = np.where(inside, ranks.grade / np.log2(rank.astype(np.float64) + 1), 0.0)
        ideal = ranks.grade.astype(np.float64) if of is None else _ideal(ranks, of, measure.k)
        return _divide(total(gain), ideal)
    if measure.kind == "R":
        return _divide(total(inside.astype(np.float64)), golds.astype(np.float64))
    if measure.kind == "P":
        return total(inside.astype(np.float64)) / measure.k
    if measure.kind == "AP":
        return _divide(total(np.where(inside, _place(ranks, of) / rank, 0.0)), golds.astype(np.float64))
    best = rank.astype(np.float64)
    if of is not None:
        best = np.full(evaluated, float(NOT_FOUND))
        np.minimum.at(best, of, rank)
    found = best <= measure.k
    return np.where(found, 1.0 if measure.kind == "Success" else 1.0 / best, 0.0)


def stats(measure: Measure, ranks: GoldRanks) -> list[Stat]:
    """The measure's Stat for each pair, in the order of ``ranks.pairs``."""
    value, count = values(measure, ranks), len(ranks.pairs)
    n = np.bincount(ranks.pair, minlength=count)
    sums, squares = np.bincount(ranks.pair, value, count), np.bincount(ranks.pair, value * value, count)
    return [Stat(int(a), float(b), float(c)) for a, b, c in zip(n, sums, squares, strict=True)]


def value_by_rank(measure: Measure, most: int = 255) -> npt.NDArray[np.float64]:
    """The measure of a query with one relevant document at each rank, float64 [most + 1]; entry 0 stands for a document that was not retrieved."""
    rank = np.arange(most + 1, dtype=np.int32)
    rank[0] = NOT_FOUND
    one, every = np.ones(most + 1, np.int32), np.arange(most + 1, dtype=np.int32)
    return values(measure, GoldRanks((Pair("", ""),), np.zeros(most + 1, np.int32), every, one, rank, one, every))


def stats_by_rank(measures: Sequence[Measure], ranks: GoldRanks, most: int = 255) -> list[list[Stat]]:
    """``stats`` of several measures where every query has one relevant document and no rank above ``most`` counts: ranks are counted once for all."""
    pairs = len(ranks.pairs)
    rank = np.where(ranks.rank > most, 0, ranks.rank)
    counts = np.bincount(ranks.pair.astype(np.int64) * (most + 1) + rank, minlength=pairs * (most + 1)).reshape(pairs, most + 1).astype(np.float64)
    table = np.stack([value_by_rank(measure, most) for measure in measures], axis=1)
    n, sums, squares = counts.sum(1), counts @ table, counts @ table**2
    return [[Stat(int(n[p]), float(sums[p, m]), float(squares[p, m])) for p in range(pairs)] for m in range(len(measures))]


def macro_mean(pairs: Sequence[Pair], means: Sequence[float], *, same_language: bool = True) -> float | None:
    """Unweighted mean over pairs, with or without the pairs of one language; None where no pair is left."""
    kept = [mean for pair, mean in zip(pairs, means, strict=True) if same_language or not pair.same]
    return float(np.mean(kept)) if kept else None


def _ideal(ranks: GoldRanks, of: npt.NDArray[np.intp], k: int) -> npt.NDArray[np.float64]:
    """The DCG of each evaluated query's judged documents in the best order, cut at k."""
    order = np.lexsort((-ranks.grade, of))
    start = np.cumsum(ranks.golds) - ranks.golds
    place = np.arange(len(of)) - start[of[order]]
    gain = np.where(place < k, ranks.grade[order] / np.log2(place + 2.0), 0.0)
    return np.bincount(of, gain, len(ranks.golds)).astype(np.float64, copy=False)


def _place(ranks: GoldRanks, of: npt.NDArray[np.intp] | None) -> npt.NDArray[np.float64]:
    """For each relevant document: how many relevant ones of its query stand at its rank or above."""
    if of is None:
        return np.ones(len(ranks.rank))
    order = np.lexsort((ranks.rank, of))
    place = np.empty(len(order))
    place[order] = np.arange(len(order)) - np.repeat(np.cumsum(ranks.golds) - ranks.golds, ranks.golds) + 1
    return place


def _divide(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.divide(a, b, out=np.zeros(len(a)), where=b > 0)
