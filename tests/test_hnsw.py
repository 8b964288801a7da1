"""HNSW: what a graph finds stands as in the exact index; builds are reproducible; a saved index is used again only where it is the one that would be built."""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import HashingEncoder

from clir_bench.collection import NOTHING, Ranking
from clir_bench.errors import CacheError, MissingExtra, ModelError
from clir_bench.parts.exact import Exact
from clir_bench.parts.hnsw import Hnsw, recall
from clir_bench.retrieval import Dense, LocatingIndex

LIBRARIES = ("hnswlib", "faiss", "usearch")


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return str(request.param)


@pytest.fixture
def any_library() -> str:
    """The first that is installed, for what does not depend on which."""
    for name in LIBRARIES:
        try:
            Hnsw(name)  # type: ignore[arg-type]
        except MissingExtra:
            continue
        return name
    pytest.skip("no HNSW library is installed")


def vectors(rows: int, dim: int = 24, seed: int = 0, quantised: bool = False) -> np.ndarray:
    rng, strong = np.random.default_rng(seed), np.random.default_rng(99).standard_normal((8, dim))
    found = (rng.standard_normal((rows, 8)) @ strong + rng.standard_normal((rows, dim))).astype(np.float32)
    if quantised:
        found = np.sign(found[:, :6])  # 64 vectors in all: most scores are ties
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def built(library: str, pool: np.ndarray, **options) -> Hnsw:  # type: ignore[no-untyped-def]
    index = Hnsw(library, **options)  # type: ignore[arg-type]
    index.build(pool)
    return index


def exact(pool: np.ndarray, queries: np.ndarray, depth: int) -> Ranking:
    index = Exact(threads=1, numba=False)
    index.build(pool)
    return index.search(queries, depth)


def test_a_generous_ef_finds_what_the_exact_index_finds(library: str) -> None:
    pool, queries = vectors(900), vectors(40, seed=1)
    found, wanted = built(library, pool, ef=900, threads=1).search(queries, 20), exact(pool, queries, 20)
    np.testing.assert_array_equal(found.rows, wanted.rows)
    np.testing.assert_array_equal(found.scores, wanted.scores)
    assert (found.rows.dtype, found.scores.dtype) == (np.int32, np.float32)


@pytest.mark.parametrize("quantised", [False, True])
def test_rows_that_are_found_have_the_scores_and_the_order_of_the_exact_index(library: str, quantised: bool) -> None:
    pool, queries = vectors(700, quantised=quantised), vectors(30, seed=1, quantised=quantised)
    found, all_rows = built(library, pool, m=4, ef_construction=10, ef=20, threads=1).search(queries, 20), exact(pool, queries, 700)
    if not quantised:
        assert recall(found, Ranking(all_rows.rows[:, :20], all_rows.scores[:, :20])) < 1  # so that this is more than the test above
    for q in range(len(queries)):
        kept = found.rows[q] != NOTHING
        at = np.isin(all_rows.rows[q], found.rows[q][kept])
        np.testing.assert_array_equal(found.rows[q][kept], all_rows.rows[q][at])
        np.testing.assert_array_equal(found.scores[q][kept], all_rows.scores[q][at])


def test_the_default_ef_is_the_papers_and_matters(library: str) -> None:
    pool, queries = vectors(3000), vectors(60, seed=1)
    wanted = exact(pool, queries, 10)
    found = {ef: built(library, pool, m=4, ef_construction=20, ef=ef, threads=1).search(queries, 10) for ef in (None, 50, 10, 400)}
    np.testing.assert_array_equal(found[None].rows, found[50].rows)
    assert recall(found[10], wanted) < recall(found[50], wanted) < recall(found[400], wanted)
    index = Hnsw(library)  # type: ignore[arg-type]
    assert [index.facts(depth).ef for depth in (10, 25, 100)] == [50, 50, 200]
    assert Hnsw(library, ef=20).facts(100).ef == 100  # type: ignore[arg-type]


def test_a_pool_smaller_than_the_depth_leaves_the_rest_empty(library: str) -> None:
    pool, queries = vectors(5), vectors(3, seed=1)
    for asked in (queries, queries[:1], queries[:0]):
        found = built(library, pool).search(asked, 12)
        np.testing.assert_array_equal(found.rows[:, :5], exact(pool, asked, 5).rows)
        assert (found.rows[:, 5:] == NOTHING).all()
        assert (found.scores[:, 5:] == -np.inf).all()
    assert (built(library, pool[:0]).search(queries, 4).rows == NOTHING).all()


def test_a_graph_that_leads_to_fewer_than_asked_gives_what_it_leads_to() -> None:
    pytest.importorskip("hnswlib")
    rng = np.random.default_rng(0)
    pool = np.repeat(vectors(40, 8, 3), 40, 0) + 1e-4 * rng.standard_normal((1600, 8)).astype(np.float32)
    pool /= np.linalg.norm(pool, axis=1, keepdims=True)
    index, queries = built("hnswlib", pool, m=2, ef_construction=2, threads=1), vectors(10, 8, 1)
    with pytest.raises(RuntimeError, match="ef or M is too small"):
        index._graph._index.knn_query(queries, 1600, num_threads=1)  # type: ignore[union-attr]
    found = index.search(queries, 1600)
    count = (found.rows != NOTHING).sum(1)
    assert (count > 0).all()
    assert (count < 1600).any()
    for rows, scores, n in zip(found.rows, found.scores, count, strict=True):
        assert len(set(rows[:n].tolist())) == n
        assert (rows[n:] == NOTHING).all()
        assert (np.diff(scores[:n]) <= 0).all()


def test_two_builds_are_one_index(library: str, tmp_path: Path) -> None:
    pool, queries = vectors(2500), vectors(50, seed=1)
    found = []
    for name in ("a", "b"):
        index = built(library, pool, m=6, ef_construction=30, ef=10)
        index.save(tmp_path / name)
        found.append(index.search(queries, 10))
    np.testing.assert_array_equal(found[0].rows, found[1].rows)
    assert (tmp_path / "a" / "index.bin").read_bytes() == (tmp_path / "b" / "index.bin").read_bytes()


def test_another_seed_gives_another_graph(library: str, tmp_path: Path) -> None:
    pool = vectors(500)
    for seed in (1, 2):
        built(library, pool, seed=seed).save(tmp_path / str(seed))
    files = [(tmp_path / seed / "index.bin").read_bytes() for seed in ("1", "2")]
    assert (files[0] == files[1]) == (library == "usearch")
    assert Hnsw(library, seed=7).facts().seed == (None if library == "usearch" else 7)  # type: ignore[arg-type]


def test_threads_and_the_size_of_a_batch_change_no_number(library: str) -> None:
    pool, queries = vectors(2000), vectors(200, seed=1)
    index = built(library, pool, m=5, ef_construction=20, ef=12, threads=1)
    wanted = index.search(queries, 10)
    one_by_one = [index.search(query[None], 10) for query in queries]
    np.testing.assert_array_equal(np.concatenate([r.rows for r in one_by_one]), wanted.rows)
    np.testing.assert_array_equal(np.concatenate([r.scores for r in one_by_one]), wanted.scores)
    index.threads = 3
    for _ in range(3):
        found = index.search(queries, 10)
        np.testing.assert_array_equal(found.rows, wanted.rows)
        np.testing.assert_array_equal(found.scores, wanted.scores)


def test_a_saved_index_is_used_again_and_finds_the_same(library: str, tmp_path: Path) -> None:
    pool, queries = vectors(2000), vectors(50, seed=1)
    options = {"folder": tmp_path / "index", "identity": {"model": "m", "revision": "1"}, "m": 6, "ef_construction": 30, "ef": 15}
    first, second = built(library, pool, **options), built(library, pool, **options)
    assert (first.reused, second.reused) == (False, True)
    np.testing.assert_array_equal(first.search(queries, 10).rows, second.search(queries, 10).rows)
    assert second.facts() == first.facts()
    [place] = (tmp_path / "index").iterdir()
    size = (place / "index.bin").stat().st_size
    assert second.facts().index_bytes == size > pool.nbytes
    assert sorted(path.name for path in place.iterdir()) == ["index.bin", "metadata.json"]


def test_an_index_of_anything_else_is_built_anew(any_library: str, tmp_path: Path) -> None:
    pool, other = vectors(300), vectors(300)
    other[7] = other[8]
    options = {"folder": tmp_path, "identity": {"model": "m"}}
    for change in (
        {"m": 8},
        {"ef_construction": 50},
        {"identity": {"model": "n"}},
        {"build_threads": 2},
        {"seed": 3} if any_library != "usearch" else {"m": 9},
    ):
        built(any_library, pool, **options)
        assert not built(any_library, pool, **{**options, **change}).reused, change
    built(any_library, pool, **options)
    assert not built(any_library, other, **options).reused
    assert not built(any_library, pool[:299], **options).reused
    assert built(any_library, pool, **options).reused  # graphs stand side by side
    assert built(any_library, pool[:299], **options, ef=77).reused  # ef is of the search
    for file in tmp_path.rglob("metadata.json"):
        file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), "version": "0.0.1"}), encoding="utf-8")
    assert not built(any_library, pool[:299], **options).reused


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing", "metadata"])
def test_a_damaged_file_is_told_of_and_built_again(library: str, damage: str, tmp_path: Path) -> None:
    pool, queries = vectors(300), vectors(5, seed=1)
    built(library, pool, folder=tmp_path)
    [place] = tmp_path.iterdir()
    file = place / "index.bin"
    content = bytearray(file.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    file.write_bytes(content[:-9] if damage == "cut" else content)
    if damage == "missing":
        file.unlink()
    if damage == "metadata":
        (place / "metadata.json").write_text('{"format": 1, "lib', encoding="utf-8")
    with pytest.warns(RuntimeWarning, match="the index is built again"):
        index = built(library, pool, folder=tmp_path)
    assert not index.reused
    np.testing.assert_array_equal(index.search(queries, 5).rows, exact(pool, queries, 5).rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert built(library, pool, folder=tmp_path).reused


def test_what_a_killed_run_left_is_removed_and_what_a_living_one_writes_is_not(any_library: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    old, new = tmp_path / "other" / ".part-1-aa", tmp_path / "other" / ".part-2-bb"
    for file in (old, new):
        file.write_text("")
    os.utime(old, (time.time() - 601, time.time() - 601))
    built(any_library, vectors(20), folder=tmp_path)
    assert (old.exists(), new.exists()) == (False, True)


def test_a_folder_that_cannot_be_written_is_named(any_library: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(CacheError, match=r"index folder .*file.below.* cannot be written"):
        built(any_library, vectors(20), folder=tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("hnswlib", r"'hnswlib'.*pip install '\.\[hnswlib\]' in a checkout.*HNSWLIB_NO_NATIVE=1 pip install"),
        ("faiss", r"'faiss-cpu'.*pip install '\.\[ann\]'"),
        ("usearch", r"'usearch'.*pip install '\.\[usearch\]'"),
    ],
)
def test_a_missing_library_is_named_with_its_cure_and_not_replaced_by_another(monkeypatch: pytest.MonkeyPatch, name: str, cure: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, f"{name}.index", None)
    with pytest.raises(MissingExtra, match=cure):
        Hnsw(name)  # type: ignore[arg-type]


def test_impossible_parameters_are_refused(any_library: str) -> None:
    for options, message in (({"m": 1}, "m of an HNSW index is 1"), ({"ef": 0}, "ef of an HNSW index is 0"), ({"ef_construction": 0}, "ef_construction")):
        with pytest.raises(ModelError, match=message):
            Hnsw(any_library, **options)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="no HNSW library 'annoy': there are hnswlib, faiss, usearch"):
        Hnsw("annoy")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="24 components, those of the pool 8"):
        built(any_library, vectors(20, 8)).search(vectors(2, 24), 3)


def test_a_retriever_over_a_graph_claims_no_exact_ranks(any_library: str) -> None:
    index = Hnsw(any_library)  # type: ignore[arg-type]
    assert not isinstance(index, LocatingIndex)
    assert getattr(Dense(HashingEncoder(), index), "locate", None) is None


def test_recall_is_the_mean_share_of_the_exact_rows() -> None:
    def ranking(*rows: list[int]) -> Ranking:
        return Ranking(np.array(rows, np.int32), np.zeros((len(rows), len(rows[0])), np.float32))

    assert recall(ranking([3, 1], [5, 6]), ranking([1, 2], [6, 5])) == 0.75
    assert recall(ranking([1, 2], [2, 1]), ranking([2, 1], [3, 4])) == 0.5  # another query's rows do not count
    assert recall(ranking([1, -1]), ranking([1, -1])) == 1  # nothing is not missed
    assert np.isnan(recall(ranking([1, -1]), ranking([-1, -1])))
    with pytest.raises(ValueError, match="shapes"):
        recall(ranking([1, 2]), ranking([1]))
