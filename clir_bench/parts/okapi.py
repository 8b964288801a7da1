"""BM25 scores of rank_bm25's BM25Okapi, bit for bit in float64, from an inverted index of impacts.

rank_bm25 computes idf = ln(N - df + 0.5) - ln(df + 0.5), replaces negative values by epsilon times the mean idf, adds repeated query terms
up, and walks over every document for every term. Here each (term, document) impact is computed once, by the same operations in the same order.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from clir_bench.collection import NOTHING, IntArray, Ranking

HAS_NUMBA = find_spec("numba") is not None
_KERNEL_PAYS = 1000  # queries; below this, numba's start-up costs more than its kernels save


class Okapi:
    """The index. A document is retrieved only if its score is above 0, so a query that matches nothing retrieves nothing."""

    def __init__(self, k1: float = 1.5, b: float = 0.75, epsilon: float = 0.25, numba: bool | None = None) -> None:
        self.k1, self.b, self.epsilon, self._numba = k1, b, epsilon, numba

    def build(self, documents: Sequence[Sequence[str]]) -> None:
        """Take the pool as token lists."""
        terms: dict[str, int] = {}
        of_term: list[int] = []
        of_document: list[int] = []
        frequency: list[int] = []
        for i, tokens in enumerate(documents):
            counts = Counter(tokens)  # in order of first appearance, as rank_bm25's own dict
            of_term += [terms.setdefault(token, len(terms)) for token in counts]
            of_document += [i] * len(counts)
            frequency += counts.values()
        self._terms, self._size = terms, len(documents)
        term = np.array(of_term, np.int32)
        order = np.argsort(term, kind="stable")
        held_by = np.bincount(term, minlength=len(terms))
        self._starts = np.append(0, np.cumsum(held_by)).astype(np.int64)
        self._documents = np.array(of_document, np.int32)[order]
        tf = np.array(frequency, np.int64)[order]
        lengths = np.array([len(tokens) for tokens in documents], np.int64)
        average = int(lengths.sum()) / max(1, self._size)
        norm = 1 - self.b + self.b * lengths / average if average else np.ones(self._size)
        idf = np.repeat(self._idf(held_by.tolist()), held_by)
        self._impacts: npt.NDArray[np.float64] = idf * (tf * (self.k1 + 1) / (tf + self.k1 * norm[self._documents]))

    def search(self, queries: Sequence[Sequence[str]], depth: int) -> Ranking:
        """The best ``depth`` documents of each query by float64 score, then row; rows without a match are -1, their score -inf."""
        rows = np.full((len(queries), depth), NOTHING, np.int32)
        scores = np.full((len(queries), depth), -np.inf, np.float32)
        terms = [self._known(query) for query in queries]
        if self._use_numba(len(queries)):
            from clir_bench.parts import kernels

            starts = np.append(0, np.cumsum([len(x) for x in terms])).astype(np.int64)
            flat = np.array([term for query in terms for term in query], np.int32)
            kernels.bm25_search(flat, starts, self._starts, self._documents, self._impacts, self._size, rows, scores)
            return Ranking(rows, scores)
        for q, query in enumerate(terms):
            line = self._scores(query)
            found = np.flatnonzero(line > 0)
            if len(found) > depth:
                found = found[line[found] >= np.partition(line[found], len(found) - depth)[len(found) - depth]]
            best = found[np.argsort(-line[found], kind="stable")][:depth]
            rows[q, : len(best)], scores[q, : len(best)] = best, line[best]
        return Ranking(rows, scores)

    def locate(self, queries: Sequence[Sequence[str]], languages: IntArray, query: IntArray, document: IntArray, missing: int) -> tuple[IntArray, IntArray]:
        """Exact ranks (from 1) of given documents, in the whole pool and among the documents of their language; ``missing`` if not matched.

        ``query`` int32 [targets], ascending, and ``document`` int32 [targets] name the targets; ``languages`` int32 [pool].
        """
        rank, own = np.full(len(query), missing, np.int32), np.full(len(query), missing, np.int32)
        bounds = np.searchsorted(query, np.arange(len(queries) + 1))
        before = np.arange(self._size)
        for q, tokens in enumerate(queries):
            if bounds[q] == bounds[q + 1]:
                continue
            line = self._scores(self._known(tokens))
            for t in range(bounds[q], bounds[q + 1]):
                d = document[t]
                if line[d] > 0:
                    above = (line > line[d]) | ((line == line[d]) & (before < d))
                    rank[t] = 1 + above.sum()
                    own[t] = 1 + (above & (languages == languages[d])).sum()
        return rank, own

    def _idf(self, held_by: Sequence[int]) -> npt.NDArray[np.float64]:
        idf = [math.log(self._size - n + 0.5) - math.log(n + 0.5) for n in held_by]
        total = 0.0
        for value in idf:  # not math.fsum or numpy's pairwise sum: the mean must round as rank_bm25's does
            total += value
        floor = self.epsilon * (total / len(idf)) if idf else 0.0
        return np.array([floor if value < 0 else value for value in idf])

    def _known(self, query: Sequence[str]) -> list[int]:
        return [self._terms[token] for token in query if token in self._terms]

    def _scores(self, terms: Sequence[int]) -> npt.NDArray[np.float64]:
        scores = np.zeros(self._size)
        for term in terms:
            held = slice(self._starts[term], self._starts[term + 1])
            scores[self._documents[held]] += self._impacts[held]
        return scores

    def _use_numba(self, queries: int) -> bool:
        return (HAS_NUMBA and queries >= _KERNEL_PAYS) if self._numba is None else self._numba
