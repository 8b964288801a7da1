"""Latency: what is timed, how it is grouped, and what the command prints."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from conftest import HashingEncoder, small_collection
from rich.console import Console

from clir_bench.cli_latency import add_latency
from clir_bench.collection import FloatArray, Pair, Ranking
from clir_bench.errors import ClirBenchError, ModelError
from clir_bench.latency import Latency, measure_collection, measure_latency, normalise, queries_of
from clir_bench.parts.exact import Exact
from clir_bench.parts.hnsw import Hnsw
from clir_bench.views_latency import latency


class Slow:
    """A real index that takes at least some milliseconds a call, and remembers how many queries each call had."""

    def __init__(self, milliseconds: float, wrong: bool = False) -> None:
        self.seconds, self.wrong, self.calls, self.exact = milliseconds / 1e3, wrong, list[int](), Exact(threads=1, numba=False)

    def build(self, vectors: FloatArray) -> None:
        self.exact.build(vectors)

    def search(self, queries: FloatArray, depth: int) -> Ranking:
        self.calls.append(len(queries))
        time.sleep(self.seconds)
        found = self.exact.search(queries, depth)
        if self.wrong:
            found.rows[:, depth // 2 :] = -1
        return found


def unit(rows: int, seed: int) -> np.ndarray:
    found = np.random.default_rng(seed).standard_normal((rows, 8)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


EN, ZH = Pair("en", "de"), Pair("zh", "de")
PAIRS = {EN: np.array([0, 1, 2], np.int32), Pair("en", "fr"): np.array([0, 1, 2], np.int32), ZH: np.array([3, 4], np.int32)}


def measured(repeat: int = 2, **indexes: Slow):  # type: ignore[no-untyped-def]
    for index in indexes.values():
        index.build(unit(30, 0))
    return {(row.pair, row.index_name): row for row in measure_latency(unit(5, 1), indexes, PAIRS, depth=4, repeat=repeat)}


def test_a_query_is_timed_alone_once_a_round_however_many_pairs_share_it() -> None:
    index = Slow(0)
    rows = measured(3, exact=index)
    warm = 5
    assert index.calls.count(1) == warm + 3 * 5
    assert index.calls.count(3) == 3  # the two pairs of English have one batch between them
    assert [(rows[pair, "exact"].queries, rows[pair, "exact"].calls) for pair in (None, EN, ZH)] == [(5, 15), (3, 9), (2, 6)]


def test_latencies_are_raw_milliseconds_and_a_batch_is_shared_by_its_queries() -> None:
    rows = measured(exact=Slow(0), hnsw=Slow(20))
    for pair, n in ((None, 5), (EN, 3), (ZH, 2)):
        slow = rows[pair, "hnsw"]
        assert slow.p50_ms >= 20
        assert slow.p50_ms <= slow.p95_ms <= slow.p99_ms
        assert slow.batch_ms >= 20 / n
        assert slow.queries_per_second == pytest.approx(1000 / slow.batch_ms)
        assert slow.queries_per_second <= n / 0.02


def test_percentiles_and_batches_come_from_the_clock_that_is_given() -> None:
    ticks = iter(range(0, 10**12, 10**6))  # each look at it is 1 ms after the one before
    index = Slow(0)
    index.build(unit(30, 0))
    row = measure_latency(unit(5, 1), {"exact": index}, PAIRS, depth=4, clock=lambda: next(ticks))[0]
    assert (row.p50_ms, row.p95_ms, row.p99_ms, row.batch_ms, row.queries_per_second) == (1, 1, 1, pytest.approx(0.2), pytest.approx(5000))


def test_recall_is_against_the_exact_index_and_absent_without_it() -> None:
    rows = measured(exact=Slow(0), hnsw=Slow(0, wrong=True))
    assert {rows[pair, "exact"].recall for pair in (None, *PAIRS)} == {1.0}
    assert {rows[pair, "hnsw"].recall for pair in (None, *PAIRS)} == {0.5}
    assert measured(hnsw=Slow(0))[None, "hnsw"].recall is None


def test_the_indexes_take_turns_query_by_query_in_a_seeded_order() -> None:
    def order(seed: int) -> list[tuple[str, bytes]]:
        seen: list[tuple[str, bytes]] = []

        class Noting(Slow):
            def search(self, queries: FloatArray, depth: int) -> Ranking:
                if len(queries) == 1:
                    seen.append((self.name, queries.tobytes()))
                return super().search(queries, depth)

        indexes = {"exact": Noting(0), "hnsw": Noting(0)}
        for name, index in indexes.items():
            index.name = name  # type: ignore[attr-defined]
            index.build(unit(30, 0))
        measure_latency(unit(5, 1), indexes, PAIRS, depth=4, repeat=4, seed=seed)
        return seen[10:]

    first = order(1)
    assert all(a[1] == b[1] and a[0] != b[0] for a, b in zip(first[::2], first[1::2], strict=True))
    assert {name for name, _ in first[::2]} == {"exact", "hnsw"}  # neither is always the first
    assert first == order(1) != order(2)


def test_the_normalised_form_is_min_max_over_all_indexes() -> None:
    found = normalise({"exact": np.array([[4.0, 8.0]]), "hnsw": np.array([[0.0, 2.0]])})
    assert found == {"exact": 0.75, "hnsw": 0.125}
    assert normalise({"exact": np.array([[3.0]])}) == {"exact": 0.0}


def test_a_collection_is_encoded_once_and_a_limit_is_of_each_pair() -> None:
    collection, encoder = small_collection(), HashingEncoder()
    result = measure_collection(collection, encoder, {"exact": Slow(0)}, depth=5, repeat=1, limit=4)
    assert (result.documents, result.queries, result.dim) == (36, 12, 64)
    assert len(encoder.encoded) == 36 + 12
    assert {row.queries for row in result.rows if row.pair} == {4}
    assert [row.pair for row in result.rows] == [None, *collection.pairs]
    assert result.costs[0].index_bytes == 36 * 64 * 4
    assert all(len(rows) == 12 for rows in queries_of(collection).values())
    timed = measure_collection(collection, encoder, {"exact": Slow(0)}, depth=5, repeat=1, limit=4, encode=True)
    assert all(row.encode_ms is not None and row.encode_ms > 0 for row in timed.rows)


def test_what_only_a_first_build_does_is_not_timed() -> None:
    class FirstIsSlow(Slow):
        built = 0

        def build(self, vectors: FloatArray) -> None:
            self.built += 1
            time.sleep(0.3 if self.built == 1 else 0)
            super().build(vectors)

    result = measure_collection(small_collection(), HashingEncoder(), {"exact": FirstIsSlow(0)}, depth=5, repeat=1)
    assert result.costs[0].build_seconds < 0.3
    assert result.documents == 36


def test_a_graphs_own_search_is_told_apart_from_the_canonical_scores() -> None:
    pytest.importorskip("hnswlib")
    index = Hnsw("hnswlib", threads=1)
    index.build(unit(30, 0))
    rescore = index._canonical

    def slow(rows: np.ndarray, queries: np.ndarray) -> FloatArray:
        time.sleep(0.02)
        return rescore(rows, queries)

    index._canonical = slow  # type: ignore[method-assign]
    rows = measure_latency(unit(5, 1), {"exact": built(Slow(0)), "hnsw": index}, PAIRS, depth=4, repeat=2)
    for row in rows:
        if row.index_name == "exact":
            assert row.graph_p50_ms is None
        else:
            assert row.graph_p50_ms is not None
            assert row.p50_ms - row.graph_p50_ms >= 15
    out = StringIO()
    result = Latency(30, 5, 8, 4, 2, [], rows)
    Console(width=170, file=out).print(latency(result))
    assert "graph p50: the part of p50 that the HNSW library itself takes" in out.getvalue()


def built(index: Slow) -> Slow:
    index.build(unit(30, 0))
    return index


def test_the_table_says_what_is_excluded_and_normalises_only_in_a_footnote() -> None:
    result = measure_collection(small_collection(), HashingEncoder(), {"exact": Slow(0)}, depth=5, repeat=1)

    def printed(normalised: bool) -> str:
        out = StringIO()
        Console(width=150, file=out).print(latency(result, normalised=normalised))
        return out.getvalue()

    assert "Encoding is excluded" in printed(False)
    assert "does not measure latency" not in printed(False)
    plain, with_note = printed(False).rstrip(), printed(True)
    assert with_note.startswith(plain)
    assert "does not measure latency" in with_note[len(plain) :]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def call(*arguments: str) -> str:
        made: list[ArgumentParser] = []

        def add(name: str, verb: Callable[..., int], text: str, example: str) -> ArgumentParser:
            parser = ArgumentParser(name)
            parser.set_defaults(run=verb)
            parser.add_argument("--json", action="store_true")
            parser.add_argument("-q", "--quiet", action="store_true")
            made.append(parser)
            return parser

        add_latency(add)
        options = made[0].parse_args(["-q", *arguments])
        assert options.run(options) == 0
        return capsys.readouterr().out

    return call


def test_the_command_measures_both_indexes_per_pair(run: Callable[..., str], tiny: Path) -> None:
    pytest.importorskip("hnswlib")
    result = json.loads(run("--model", "demo", "--task", str(tiny), "--depth", "10", "--repeat", "1", "--limit-queries", "3", "--json"))
    assert len(result["rows"]) == 2 * (1 + 16)
    assert {row["index_name"] for row in result["rows"]} == {"exact", "hnsw"}
    assert (result["documents"], result["depth"], result["encoding"]) == (40, 10, "excluded")
    assert "ef=50" in result["costs"][1]["parameters"]
    assert all(row["p50_ms"] > 0 for row in result["rows"])
    assert all(row["recall"] == 1 for row in result["rows"])  # 40 documents and ef=50: nothing to miss


def test_bm25_and_impossible_numbers_are_refused(run: Callable[..., str]) -> None:
    with pytest.raises(ModelError, match="bm25 has no vectors"):
        run("--model", "bm25", "--task", "sample")
    with pytest.raises(ModelError, match="no index 'ivf': there are exact, hnsw"):
        run("--model", "demo", "--task", "sample", "--index", "exact,ivf")
    with pytest.raises(ClirBenchError, match="--repeat is 0"):
        run("--model", "demo", "--task", "sample", "--repeat", "0")


def test_latency_is_imported_without_torch() -> None:
    code = "import sys, clir_bench.latency, clir_bench.cli_latency, clir_bench.views_latency; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
