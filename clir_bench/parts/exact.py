"""Exact search by inner product, in row and column blocks, whose result no rounding can change.

A score is *canonical*: the products of two float32 vectors summed in float64 and rounded once to float32. A fast matrix product (float32, or
bfloat16 where the processor has the units for it) gives approximate scores with a proven error bound; every document whose upper bound
reaches the lower bound of the last place is rescored canonically. So block sizes, threads, and the precision of the fast pass change no
number, and documents with equal vectors tie, and are then ordered by row.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from time import perf_counter
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import ThreadpoolController

from clir_bench.collection import NOTHING, FloatArray, IntArray, Ranking

HAS_NUMBA = find_spec("numba") is not None
_HALF_ULP_32, _HALF_ULP_16 = 2.0**-24, 2.0**-8  # largest relative error of one rounding to float32, to bfloat16
_KERNEL_PAYS = 5_000_000  # scores; below this, numba's start-up costs more than its kernels save
_COLUMNS, _SCORES = 32768, 6_000_000  # a block: documents, scores in all


Product = Literal["numpy", "torch", "bfloat16"]


class Exact:
    """The index. ``product`` is the fast pass: ``numpy`` or ``torch`` in float32, ``bfloat16``; None measures which is fastest here.

    ``block`` is (queries, documents) at a time, each thread working on blocks of its own; a thread's working memory is 4 to 6 bytes times
    the product of the two. bfloat16 holds a copy of half the pool's size.
    """

    def __init__(
        self,
        product: Product | None = None,
        *,
        block: tuple[int, int] | None = None,
        device: str = "cpu",
        threads: int | None = None,
        numba: bool | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.product, self.block, self._numba = product, block, numba
        self.threads = (threads or torch.get_num_threads()) if self.device.type == "cpu" else 1

    def build(self, vectors: FloatArray) -> None:
        """Take the pool: float32 [documents, dim], L2-normalised, row i = document i."""
        self._pool, self._own = np.ascontiguousarray(vectors, np.float32), threading.local()
        columns = max(1, min(len(vectors), _COLUMNS))
        self._rows, self._columns = self.block or (min(512, max(64, _SCORES // columns)), columns)
        on_cpu = self.device.type == "cpu"
        self._product = self.product or (_fastest_product(vectors.shape[1]) if on_cpu else "bfloat16")
        tensor = torch.from_numpy(self._pool)
        self._right = tensor.to(self.device, torch.bfloat16 if self._product == "bfloat16" else torch.float32)
        self._norm = float(tensor.norm(dim=1).max()) if len(vectors) else 0.0
        self._lost = max((float(_rounding(chunk).max()) for chunk in torch.split(tensor, 65536)), default=0.0)

    def search(self, queries: FloatArray, depth: int) -> Ranking:
        """The best ``depth`` documents of each query: score descending, then row ascending."""
        queries = np.ascontiguousarray(queries, np.float32)
        rows = np.full((len(queries), depth), NOTHING, np.int32)
        scores = np.full((len(queries), depth), -np.inf, np.float32)
        select = self._kernels(len(queries))[0]

        def search_block(part: slice) -> None:
            left, eps = self._left(queries[part])
            for first, approximate in self._column_blocks(left):
                select(approximate, first, eps, self._pool[first : first + approximate.shape[1]], queries[part], scores[part], rows[part])

        self._each_block(len(queries), search_block)
        return Ranking(rows, scores)

    def locate(self, queries: FloatArray, languages: IntArray, query: IntArray, document: IntArray) -> tuple[IntArray, IntArray]:
        """Exact ranks (from 1) of given documents, int32 [targets] each: in the whole pool, and among the documents of their language.

        ``query`` int32 [targets], ascending, and ``document`` int32 [targets] name the targets; ``languages`` int32 [pool].
        """
        queries = np.ascontiguousarray(queries, np.float32)
        above, own = np.zeros(len(query), np.int32), np.zeros(len(query), np.int32)
        scores = _canonical(self._pool, queries, document, query)
        count_above = self._kernels(len(queries))[1]

        def locate_block(part: slice) -> None:
            starts = np.searchsorted(query, np.arange(part.start, part.stop + 1))
            aimed = slice(int(starts[0]), int(starts[-1]))
            if aimed.start == aimed.stop:
                return
            left, eps = self._left(queries[part])
            targets = (starts - starts[0], document[aimed], scores[aimed], languages[document[aimed]])
            for first, approximate in self._column_blocks(left):
                columns = slice(first, first + approximate.shape[1])
                count_above(approximate, first, eps, self._pool[columns], queries[part], languages[columns], *targets, above[aimed], own[aimed])

        self._each_block(len(queries), locate_block)
        return above + 1, own + 1

    def _kernels(self, queries: int) -> tuple[Callable[..., None], Callable[..., None]]:
        pays = HAS_NUMBA and self.device.type == "cpu" and queries * len(self._pool) >= _KERNEL_PAYS
        if not (pays if self._numba is None else self._numba):
            return _select, _count_above
        from clir_bench.parts import kernels

        def select(approximate: torch.Tensor, *rest: object) -> None:
            kernels.select(approximate.numpy(), *rest)  # type: ignore[no-untyped-call]

        def count_above(approximate: torch.Tensor, *rest: object) -> None:
            kernels.count_above(approximate.numpy(), *rest)

        return select, count_above

    def _each_block(self, queries: int, work: Callable[[slice], None]) -> None:
        """Do ``work`` for every block of queries, each thread single-threaded within its block: pools of threads would fight for the cores."""
        blocks = [slice(start, min(start + self._rows, queries)) for start in range(0, queries, self._rows)]
        if len(blocks) == 1:  # one query at a time: making the threads would take longer than their work
            work(blocks[0])
            return
        with _libraries().limit(limits=1, user_api="blas"), ThreadPoolExecutor(self.threads, initializer=torch.set_num_threads, initargs=(1,)) as threads:
            for _ in threads.map(work, blocks):
                pass

    def _left(self, queries: FloatArray) -> tuple[torch.Tensor, npt.NDArray[np.float64]]:
        """A block of queries for the fast pass, and the error bound of their scores, float64 [rows]."""
        exact = torch.from_numpy(queries)
        norm = exact.norm(dim=1).double().numpy()
        size = norm * self._norm
        eps = (queries.shape[1] + 2) * 1.01 * _HALF_ULP_32 * size  # summation in any order, and the canonical rounding
        if self._product == "bfloat16":  # rounding of both factors, then of the result
            lost = _rounding(exact).double().numpy()
            eps = 1.02 * (eps + self._lost * norm + lost * (self._norm + self._lost) + _HALF_ULP_16 * size)
        return exact.to(self.device, self._right.dtype), eps

    def _column_blocks(self, left: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        """(first document, approximate scores float32 [rows, columns]) block by block; a block's memory is that of the one before."""
        out, wide = self._space(len(left))
        for first in range(0, len(self._pool), self._columns):
            right = self._right[first : first + self._columns]
            part, result = out[:, : len(right)], wide[:, : len(right)]
            if self._product == "numpy":
                np.matmul(left.numpy(), right.numpy().T, out=part.numpy())
            else:
                torch.mm(left, right.T, out=part)
            yield first, result if out is wide else result.copy_(part)

    def _space(self, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        """This thread's memory for a block of scores: as the fast pass gives them, and in float32 (the same where it gives float32)."""
        mine = self._own.__dict__
        if len(mine.get("out", ())) < rows:
            mine["out"] = torch.empty(rows, self._columns, dtype=self._right.dtype, device=self.device)
            mine["wide"] = mine["out"] if self._right.dtype == torch.float32 else torch.empty_like(mine["out"], dtype=torch.float32)
        return mine["out"][:rows], mine["wide"][:rows]


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


@cache
def _fastest_product(dim: int) -> Product:
    """Which matrix product is fastest on this processor, measured once. Scores are canonical, so the choice changes no number."""
    left, right = torch.rand(256, dim), torch.rand(4096, dim)
    half = (left.bfloat16(), right.bfloat16())
    tried: dict[Product, Callable[[], object]] = {
        "numpy": lambda: left.numpy() @ right.numpy().T,
        "torch": lambda: left @ right.T,
        "bfloat16": lambda: half[0] @ half[1].T,
    }
    best = dict.fromkeys(tried, float("inf"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with _libraries().limit(limits=1, user_api="blas"):  # as a block is worked on
        for _ in range(4):
            for product, run in tried.items():
                start = perf_counter()
                run()
                best[product] = min(best[product], perf_counter() - start)
    torch.set_num_threads(threads)
    exact: Product = min(("numpy", "torch"), key=lambda product: best[product])
    return "bfloat16" if best["bfloat16"] < 0.75 * best[exact] else exact  # rescoring what bfloat16 leaves open takes its share


def _rounding(vectors: torch.Tensor) -> torch.Tensor:
    """The L2 distance of each vector to its bfloat16 rounding."""
    distance: torch.Tensor = torch.linalg.vector_norm(vectors - vectors.bfloat16().float(), dim=1)
    return distance


def _canonical(pool: FloatArray, queries: FloatArray, document: IntArray, query: IntArray) -> FloatArray:
    """The canonical scores of (query, document) pairs, float32 [pairs]."""
    scores = np.empty(len(document), np.float32)
    for start in range(0, len(document), 4096):
        part = slice(start, start + 4096)
        scores[part] = np.einsum("ij,ij->i", pool[document[part]].astype(np.float64), queries[query[part]].astype(np.float64))
    return scores


def _select(
    approximate: torch.Tensor, first: int, eps: npt.NDArray[np.float64], pool: FloatArray, queries: FloatArray, scores: FloatArray, rows: IntArray
) -> None:
    """What ``kernels.select`` does, in torch and numpy, on any device."""
    depth, width = scores.shape[1], approximate.shape[1]
    cut = np.full(len(eps), -np.inf)
    if width >= depth:
        cut = approximate.topk(depth, dim=1).values[:, -1].double().cpu().numpy() - 2.0 * eps
    full = rows[:, -1] != NOTHING
    cut[full] = np.maximum(cut[full], scores[full, -1].astype(np.float64) - eps[full])
    keep = (approximate.double() >= torch.from_numpy(cut)[:, None].to(approximate.device)).nonzero().cpu().numpy().astype(np.int32)
    query, document = keep[:, 0], keep[:, 1]
    held_query, held = np.nonzero(rows != NOTHING)
    of = np.concatenate([held_query.astype(np.int32), query])
    row = np.concatenate([rows[held_query, held], document + np.int32(first)])
    score = np.concatenate([scores[held_query, held], _canonical(pool, queries, document, query) + np.float32(0)])
    order = np.lexsort((row, -score, of))
    of, row, score = of[order], row[order], score[order]
    place = np.arange(len(of)) - np.searchsorted(of, of)
    best = place < depth
    rows[of[best], place[best]], scores[of[best], place[best]] = row[best], score[best]


def _count_above(
    approximate: torch.Tensor,
    first: int,
    eps: npt.NDArray[np.float64],
    pool: FloatArray,
    queries: FloatArray,
    languages: IntArray,
    starts: IntArray,
    targets: IntArray,
    target_scores: FloatArray,
    target_languages: IntArray,
    above: IntArray,
    own: IntArray,
) -> None:
    """What ``kernels.count_above`` does, in torch and numpy."""
    query = np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts))
    for start in range(0, len(query), 256):
        t = slice(start, start + 256)
        of = query[t]
        difference = approximate[torch.from_numpy(of).long().to(approximate.device)].double().cpu().numpy() - target_scores[t, None]
        higher = difference > eps[of, None]
        place, column = np.nonzero(~higher & (difference >= -eps[of, None]))
        exact = _canonical(pool, queries, column.astype(np.int32), of[place])
        aimed = target_scores[t][place]
        higher[place, column] = (exact > aimed) | ((exact == aimed) & (first + column < targets[t][place]))
        above[t] += higher.sum(1, dtype=np.int32)
        own[t] += (higher & (languages[None, :] == target_languages[t, None])).sum(1, dtype=np.int32)
