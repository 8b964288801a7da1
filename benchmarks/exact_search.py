"""Exact top-100: our index against faiss IndexFlatIP, sentence-transformers' semantic_search and the bare float32 matrix product.

python benchmarks/exact_search.py [--vectors FILE.npy]   with FILE, the pool and the queries are drawn around these (say, MiniLM's of real sentences)
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import faiss
import numpy as np
import torch
from _timing import interleave, machine, peak_extra_memory, table
from sentence_transformers.util import semantic_search

from clir_bench.parts.exact import Exact

SIZES = [(9_055, 8_000, 768), (7_433, 97_720, 1_024), (26_000, 26_000, 768)]


def vectors(rows: int, dim: int, seed: int, real: np.ndarray | None) -> np.ndarray:
    """Vectors with the spread of real embeddings: few strong directions, shared by pool and queries, and noise; or around real ones."""
    rng, shared = np.random.default_rng(seed), np.random.default_rng(0)
    if real is None:
        strong = shared.standard_normal((60, dim)).astype(np.float32)
        found = 0.35 * (rng.standard_normal((rows, 60)).astype(np.float32) ** 3) @ strong + 2 * rng.standard_normal((rows, dim)).astype(np.float32)
    else:
        turn = shared.standard_normal((real.shape[1], dim)).astype(np.float32) / np.sqrt(dim)
        found = real[rng.integers(0, len(real), rows)] @ turn + (0.5 / np.sqrt(dim)) * rng.standard_normal((rows, dim)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    real = np.load(options.vectors) if options.vectors else None
    faiss.omp_set_num_threads(torch.get_num_threads())
    print(machine())
    for documents, queries, dim in SIZES:
        pool, asked = vectors(documents, dim, 1, real), vectors(queries, dim, 2, real)
        flat = faiss.IndexFlatIP(dim)
        flat.add(pool)
        pool_t, asked_t = torch.from_numpy(pool), torch.from_numpy(asked)
        space = np.empty((512, documents), np.float32)

        def numpy_product(asked=asked, pool=pool, space=space):
            for i in range(0, len(asked), 512):
                np.matmul(asked[i : i + 512], pool.T, out=space[: len(asked[i : i + 512])])

        def torch_product(asked=asked_t, pool=pool_t, space=torch.from_numpy(space)):
            for i in range(0, len(asked), 512):
                torch.mm(asked[i : i + 512], pool.T, out=space[: len(asked[i : i + 512])])

        index = {}
        for product in ("numpy", "torch", "bfloat16"):
            index[product] = Exact(product)
            index[product].build(pool)
        chosen = Exact()
        chosen.build(pool)
        reference = index["numpy"].search(asked, 100)
        assert all((index[p].search(asked, 100).rows == reference.rows).all() for p in ("torch", "bfloat16"))
        methods = {
            "float32 product alone, numpy": numpy_product,
            "float32 product alone, torch": torch_product,
            "ours, float32 by numpy": lambda: index["numpy"].search(asked, 100),
            "ours, float32 by torch": lambda: index["torch"].search(asked, 100),
            "ours, bfloat16 certified": lambda: index["bfloat16"].search(asked, 100),
            "faiss IndexFlatIP": lambda: flat.search(asked, 100),
        }
        if documents * queries < 10**9:
            methods["sentence-transformers semantic_search"] = lambda: semantic_search(asked_t, pool_t, top_k=100, score_function=lambda a, b: a @ b.T)
        times = interleave(methods, options.rounds)
        base = min(("float32 product alone, numpy", "float32 product alone, torch"), key=lambda name: times[name][0])
        table(
            f"{documents:,} documents x {queries:,} queries x {dim}; ratios to the faster bare product; this machine's choice: {chosen._product}", times, base
        )
        for product in ("numpy", "bfloat16"):
            command = [sys.executable, __file__, "--memory", product, str(documents), str(queries), str(dim)]
            print(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())


def memory(product: str, documents: int, queries: int, dim: int) -> None:
    """In a process of its own: what building the index and searching need beyond the vectors and the result."""
    Exact(product).build(vectors(8, dim, 1, None))
    pool, asked = vectors(documents, dim, 1, None), vectors(queries, dim, 2, None)
    index = Exact(product, numba=True)
    index.build(pool[:600])
    index.search(asked[:600], 100)  # compiles

    def run():
        index.build(pool)
        return index.search(asked, 100)

    extra = peak_extra_memory(run) - queries * 100 * 8 / 1e6
    print(f"memory beyond the vectors and the result, {product}: {extra:.0f} MB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        memory(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        main()
