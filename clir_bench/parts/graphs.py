"""The HNSW graphs of hnswlib, faiss and usearch in one shape: what ``hnsw`` is made of."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Literal, Protocol

import numpy as np

from clir_bench.collection import NOTHING, FloatArray, IntArray
from clir_bench.errors import MissingExtra, install_words

Library = Literal["hnswlib", "faiss", "usearch"]
_NATIVE = f"It is compiled for the processor at hand; HNSWLIB_NO_NATIVE=1 {install_words('hnswlib')} gives a build that runs on others, too"
_PACKAGES: dict[Library, tuple[str, str, str]] = {
    "hnswlib": ("hnswlib", "hnswlib", _NATIVE),
    "faiss": ("faiss-cpu", "ann", ""),
    "usearch": ("usearch", "usearch", ""),
}


class Graph(Protocol):
    """What the three libraries have in common, once their differences are out of the way."""

    def __init__(self, library: ModuleType, dim: int, count: int, m: int, ef_construction: int, seed: int) -> None: ...

    def add(self, vectors: FloatArray, threads: int) -> None:
        """Insert all rows, in order where there is one thread."""

    def search(self, queries: FloatArray, k: int, ef: int, threads: int) -> IntArray:
        """Rows int32 [queries, k], k at most the number of vectors; NOTHING where fewer are found."""

    def write(self, path: Path) -> None:
        """Write the graph, vectors included."""

    def read(self, path: Path) -> None:
        """Take what ``write`` wrote, instead of ``add``."""

    def size(self) -> int:
        """Bytes of the file that ``write`` writes."""


class _Hnswlib:
    def __init__(self, library: ModuleType, dim: int, count: int, m: int, ef_construction: int, seed: int) -> None:
        self._count, self._index = count, library.Index(space="ip", dim=dim)
        self._make = {"max_elements": max(1, count), "M": m, "ef_construction": ef_construction, "random_seed": seed}

    def add(self, vectors: FloatArray, threads: int) -> None:
        self._index.init_index(**self._make)
        if len(vectors):
            self._index.add_items(vectors, np.arange(len(vectors)), num_threads=threads)

    def search(self, queries: FloatArray, k: int, ef: int, threads: int) -> IntArray:
        self._index.set_ef(ef)
        try:
            return np.asarray(self._index.knn_query(queries, k, num_threads=threads)[0]).astype(np.int32)
        except RuntimeError:  # it refuses the whole batch where one query reaches fewer than k
            return np.stack([self._search_one(query, k) for query in queries])

    def _search_one(self, query: FloatArray, k: int) -> IntArray:
        """As many rows as the query reaches, found by bisection."""
        rows, low, high = np.full(k, NOTHING, np.int32), 0, k + 1
        while high - low > 1:
            middle = k if high > k else (low + high) // 2
            try:
                rows[:middle], low = self._index.knn_query(query[None], middle, num_threads=1)[0][0], middle
            except RuntimeError:
                high = middle
        return rows

    def write(self, path: Path) -> None:
        self._index.save_index(str(path))

    def read(self, path: Path) -> None:
        self._index.load_index(str(path), max_elements=self._make["max_elements"])

    def size(self) -> int:
        return int(self._index.index_file_size())


class _Faiss:
    def __init__(self, library: ModuleType, dim: int, count: int, m: int, ef_construction: int, seed: int) -> None:
        self._faiss, self._index = library, library.IndexHNSWFlat(dim, m, library.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction, self._index.hnsw.rng = ef_construction, library.RandomGenerator(seed)

    def add(self, vectors: FloatArray, threads: int) -> None:
        before = self._faiss.omp_get_max_threads()
        self._faiss.omp_set_num_threads(threads)  # all cores otherwise, which no seed makes reproducible
        try:
            self._index.add(vectors)
        finally:
            self._faiss.omp_set_num_threads(before)

    def search(self, queries: FloatArray, k: int, ef: int, threads: int) -> IntArray:
        before = self._faiss.omp_get_max_threads()
        self._faiss.omp_set_num_threads(threads)
        self._index.hnsw.efSearch = ef
        try:
            return np.asarray(self._index.search(queries, k)[1]).astype(np.int32)
        finally:
            self._faiss.omp_set_num_threads(before)

    def write(self, path: Path) -> None:
        self._faiss.write_index(self._index, str(path))

    def read(self, path: Path) -> None:
        self._index = self._faiss.read_index(str(path))

    def size(self) -> int:
        return int(self._faiss.serialize_index(self._index).nbytes)


class _Usearch:
    """It takes no seed: its levels are always drawn from the same one."""

    def __init__(self, library: ModuleType, dim: int, count: int, m: int, ef_construction: int, seed: int) -> None:
        self._index = library.Index(ndim=dim, metric="ip", dtype="f32", connectivity=m, expansion_add=ef_construction)

    def add(self, vectors: FloatArray, threads: int) -> None:
        self._index.add(np.arange(len(vectors)), vectors, threads=threads)

    def search(self, queries: FloatArray, k: int, ef: int, threads: int) -> IntArray:
        self._index.expansion_search = ef  # at every search: reading a file resets it to 64
        rows = np.full((len(queries), k), NOTHING, np.int32)
        found = self._index.search(queries, k, threads=threads)
        keys, counts = np.asarray(found.keys).reshape(len(queries), -1), np.asarray(getattr(found, "counts", [len(found)]))
        rows[:, : keys.shape[1]] = np.where(np.arange(keys.shape[1]) < counts[:, None], keys.astype(np.int64), NOTHING)
        return rows

    def write(self, path: Path) -> None:
        self._index.save(str(path))

    def read(self, path: Path) -> None:
        self._index.load(str(path))

    def size(self) -> int:
        return int(self._index.serialized_length)


GRAPHS: dict[Library, type[Graph]] = {"hnswlib": _Hnswlib, "faiss": _Faiss, "usearch": _Usearch}


def import_library(library: Library) -> ModuleType:
    """The library. Raises MissingExtra where it is not installed."""
    package, extra, hint = _PACKAGES[library]
    try:
        return import_module("usearch.index" if library == "usearch" else library)
    except ModuleNotFoundError:
        raise MissingExtra(package, extra, hint) from None


def version_of(library: Library, module: ModuleType) -> str:
    """Its version, which is part of what a graph was made with."""
    try:
        return version(_PACKAGES[library][0])
    except PackageNotFoundError:  # faiss by conda, or faiss-gpu
        return str(getattr(module, "__version__", "unknown"))
