"""Exact search: every fast pass, block size and thread count gives the ranking of a plain float64 computation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clir_bench.parts import exact
from clir_bench.parts.exact import Exact


def reference(pool: np.ndarray, queries: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores = np.einsum("qd,pd->qp", queries.astype(np.float64), pool.astype(np.float64)).astype(np.float32)
    rows = np.stack([np.lexsort((np.arange(len(pool)), -line))[:depth] for line in scores])
    return scores, rows, np.take_along_axis(scores, rows, 1)


def vectors(rng: np.random.Generator, rows: int, dim: int, duplicates: float, quantised: bool) -> np.ndarray:
    found = rng.standard_normal((rows, dim)).astype(np.float32)
    if quantised:
        found = np.sign(found)  # many equal scores
    found[rng.random(rows) < duplicates] = found[0]
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 300),
    dim=st.sampled_from([1, 3, 16, 65]),
    depth=st.sampled_from([1, 10, 100]),
    duplicates=st.sampled_from([0.0, 0.3, 1.0]),
    quantised=st.booleans(),
    product=st.sampled_from(["numpy", "torch", "bfloat16"]),
    block=st.sampled_from([None, (1, 1), (3, 17), (16, 130)]),
    numba=st.booleans(),
    threads=st.sampled_from([1, 2, 3]),
)
def test_search_and_locate_equal_float64(seed, size, dim, depth, duplicates, quantised, product, block, numba, threads) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    pool, queries = vectors(rng, size, dim, duplicates, quantised), vectors(rng, 9, dim, 0.2, quantised)
    scores, rows, best = reference(pool, queries, depth)
    index = Exact(product, block=block, numba=numba, threads=threads)
    index.build(pool)
    found = index.search(queries, depth)
    kept = min(depth, size)
    np.testing.assert_array_equal(found.rows[:, :kept], rows)
    np.testing.assert_array_equal(found.scores[:, :kept], best)
    assert (found.rows[:, kept:] == -1).all()
    languages = rng.integers(0, 3, size).astype(np.int32)
    query, document = np.repeat(np.arange(9, dtype=np.int32), 2), rng.integers(0, size, 18).astype(np.int32)
    rank, own = index.locate(queries, languages, query, document)
    for t in range(18):
        line, d = scores[query[t]], document[t]
        above = (line > line[d]) | ((line == line[d]) & (np.arange(size) < d))
        assert (rank[t], own[t]) == (1 + above.sum(), 1 + (above & (languages == languages[d])).sum())


def test_the_error_bound_covers_the_fast_pass() -> None:
    rng = np.random.default_rng(5)
    pool, queries = vectors(rng, 500, 768, 0, False), vectors(rng, 64, 768, 0, False)
    scores = reference(pool, queries, 1)[0]
    for product in ("numpy", "torch", "bfloat16"):
        index = Exact(product)
        index.build(pool)
        left, eps = index._left(queries)
        for first, approximate in index._column_blocks(left):
            error = np.abs(approximate.numpy() - scores[:, first : first + approximate.shape[1]])
            assert (error <= eps[:, None]).all()
            assert error.max() > 0 or product != "bfloat16"


def test_the_kernels_come_in_by_size_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    pool, queries = vectors(rng, 3000, 32, 0.1, False), vectors(rng, 700, 32, 0, False)
    found = []
    for limit in (0, 10**12):
        monkeypatch.setattr(exact, "_KERNEL_PAYS", limit)
        index = Exact()
        index.build(pool)
        found.append(index.search(queries, 100))
    assert found[0].rows.tobytes() == found[1].rows.tobytes()
    assert found[0].scores.tobytes() == found[1].scores.tobytes()


def test_vectors_need_not_be_normalised() -> None:
    rng = np.random.default_rng(2)
    pool, queries = 30 * rng.standard_normal((400, 20)).astype(np.float32), 5 * rng.standard_normal((11, 20)).astype(np.float32)
    for product in ("numpy", "bfloat16"):
        index = Exact(product)
        index.build(pool)
        np.testing.assert_array_equal(index.search(queries, 50).rows, reference(pool, queries, 50)[1])
