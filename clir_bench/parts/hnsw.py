"""Approximate search in an HNSW graph, by hnswlib, faiss or usearch behind one door. Numpy only; the library is imported when an index is made.

A graph decides *which* documents are found. Their scores are canonical (see ``exact``: products of float32 summed in float64, rounded once),
and ties are ordered by row, so that the same rows stand in the same order with the same scores as in the exact index.

A graph is built by one thread, in row order, from a fixed seed: the same vectors give the same file, byte for byte. Insertions by several
threads race for the links, and no two builds are alike; ``build_threads`` offers them for measurements only. There is no ``locate``: a
graph cannot count what stands above a document.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import perf_counter, time
from typing import NamedTuple

import numpy as np

from clir_bench.collection import NOTHING, FloatArray, IntArray, Ranking
from clir_bench.errors import CacheError, ModelError
from clir_bench.files import replacing
from clir_bench.parts.graphs import GRAPHS, Graph, Library, import_library, version_of

Identity = Mapping[str, str | int]
_RESCORED = 8  # queries at a time: their documents' vectors stay in the processor's cache
_PART_SECONDS = 600.0
_INDEX, _METADATA = "index.bin", "metadata.json"


class HnswFacts(NamedTuple):
    """What a report says of a graph. ``seed`` is None where the library takes none; seconds and bytes are None before ``build``."""

    library: Library
    version: str
    m: int
    ef_construction: int
    ef: int
    seed: int | None
    reproducible: bool
    build_seconds: float | None
    index_bytes: int | None


class Hnsw:
    """The index. The defaults are the paper's (Appendix E): hnswlib, M=16, ef_construction=200, ef=max(50, 2k), k being the depth.

    ``threads`` (default: all cores) search and change no number. With a ``folder`` a saved graph of the same vectors and parameters is used
    again (each in a folder below it, which may be deleted at any time); ``identity`` is the caller's word on whose vectors they are. Raises MissingExtra
    where the library is not installed.
    """

    def __init__(
        self,
        library: Library = "hnswlib",
        m: int = 16,
        ef_construction: int = 200,
        ef: int | None = None,
        *,
        threads: int | None = None,
        build_threads: int = 1,
        seed: int = 42,
        folder: Path | None = None,
        identity: Identity | None = None,
    ) -> None:
        if library not in GRAPHS:
            raise ModelError(f"no HNSW library {library!r}: there are {', '.join(GRAPHS)}")
        for name, value, least in (("m", m, 2), ("ef_construction", ef_construction, 1), ("ef", 1 if ef is None else ef, 1), ("seed", seed, 0)):
            if value < least:
                raise ModelError(f"{name} of an HNSW index is {value}, but must be at least {least}")
        self.library, self.m, self.ef_construction, self.ef, self.seed = library, m, ef_construction, ef, seed
        self.threads, self.build_threads = threads or os.cpu_count() or 1, max(1, build_threads)
        self.folder, self.identity, self.reused = folder, dict(identity or {}), False
        self._module = import_library(library)
        self.version = version_of(library, self._module)
        self._pool: FloatArray = np.empty((0, 0), np.float32)
        self._graph: Graph | None = None
        self._seconds: float | None = None

    def build(self, vectors: FloatArray) -> None:
        """Take the pool: float32 [documents, dim], L2-normalised, row i = document i. Raises CacheError where the folder cannot be written."""
        self._pool, self._graph = np.ascontiguousarray(vectors, np.float32), None
        if self.folder is not None:
            place = self.folder / self._key()
            _remove_parts(self.folder)
            self._load(place)
        self.reused = self._graph is not None
        if self._graph is not None:
            return
        start = perf_counter()
        graph = self._new_graph()
        graph.add(self._pool, self.build_threads)
        self._graph, self._seconds = graph, perf_counter() - start
        if self.folder is not None:
            self.save(place)

    def search(self, queries: FloatArray, depth: int) -> Ranking:
        """Up to ``depth`` documents of each query: score descending, then row ascending; -1 and -inf where the graph leads to fewer."""
        return self.rank(queries, self.walk(queries, depth), depth)

    def walk(self, queries: FloatArray, depth: int) -> IntArray:
        """The library's part of a search: rows int32 [queries, depth or the pool's size], in its own order."""
        assert self._graph is not None, "build() first"
        queries = np.ascontiguousarray(queries, np.float32)
        if len(self._pool) and queries.shape[1] != self._pool.shape[1]:
            raise ModelError(f"the queries' vectors have {queries.shape[1]} components, those of the pool {self._pool.shape[1]}: encode both with one model")
        kept = min(depth, len(self._pool))
        return self._graph.search(queries, kept, self._ef(depth), self.threads) if kept and len(queries) else np.empty((len(queries), kept), np.int32)

    def rank(self, queries: FloatArray, rows: IntArray, depth: int) -> Ranking:
        """The rest of a search: the canonical scores of the rows that ``walk`` found, and their order."""
        queries = np.ascontiguousarray(queries, np.float32)
        found = Ranking(np.full((len(queries), depth), NOTHING, np.int32), np.full((len(queries), depth), -np.inf, np.float32))
        if rows.size:
            kept, scores = rows.shape[1], self._canonical(rows, queries)
            order = np.lexsort((rows, -scores))  # along the last axis; what is nothing has -inf and comes last
            found.rows[:, :kept], found.scores[:, :kept] = np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1)
        return found

    def save(self, folder: Path) -> None:
        """Write the graph and what it was made from and with. Raises CacheError where the folder cannot be written."""
        assert self._graph is not None, "build() first"
        temporary = folder / f".part-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._graph.write(temporary)
            facts = {**self._origin(), "build_seconds": self._seconds, "file": _file_hash(temporary)}
            os.replace(temporary, folder / _INDEX)  # before the metadata: a kill in between leaves a hash that does not fit
            with replacing(folder / _METADATA) as stream:
                stream.write(f"{json.dumps(facts, indent=1, ensure_ascii=False)}\n".encode())
        except (OSError, RuntimeError) as error:  # the libraries raise RuntimeError
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise CacheError(f"the index folder {folder} cannot be written ({error}). Choose another, or go without one") from error

    def facts(self, depth: int = 100) -> HnswFacts:
        """Library, parameters and costs; ``ef`` as it is at this depth."""
        seed, reproducible = None if self.library == "usearch" else self.seed, self.build_threads == 1
        size = self._graph.size() if self._graph is not None else None
        return HnswFacts(self.library, self.version, self.m, self.ef_construction, self._ef(depth), seed, reproducible, self._seconds, size)

    def _ef(self, depth: int) -> int:
        return max(self.ef or max(50, 2 * depth), depth)  # every library raises it to the depth in silence

    def _new_graph(self) -> Graph:
        dim = max(1, self._pool.shape[1])
        return GRAPHS[self.library](self._module, dim, len(self._pool), self.m, self.ef_construction, self.seed)

    def _origin(self) -> dict[str, object]:
        """All that decides a graph."""
        facts = self.facts()
        return {
            "format": 1, "library": self.library, "version": self.version, "m": self.m, "ef_construction": self.ef_construction, "seed": facts.seed,
            "reproducible": facts.reproducible, "count": len(self._pool), "dim": self._pool.shape[1],
            "vectors": f"sha256:{hashlib.sha256(self._pool.data).hexdigest()}", "identity": self.identity,
        }  # fmt: skip

    def _key(self) -> str:
        """The name of the graph's own folder: graphs of several pools and parameters stand side by side."""
        return hashlib.sha256(json.dumps(self._origin(), sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:24]

    def _load(self, folder: Path) -> None:
        """Take the folder's graph, if it is the one that would be built. A damaged one is told of."""
        try:
            saved = json.loads((folder / _METADATA).read_text(encoding="utf-8"))
            if not isinstance(saved, dict) or {key: value for key, value in saved.items() if key not in ("build_seconds", "file")} != self._origin():
                return
            if _file_hash(folder / _INDEX) != saved.get("file"):  # before a library reads it: they trust what they read
                raise ValueError("the file is not the one that was written")
            graph = self._new_graph()
            graph.read(folder / _INDEX)
            self._graph, self._seconds = graph, saved.get("build_seconds")
        except NotADirectoryError:  # save() will say so
            return
        except FileNotFoundError as error:
            if error.filename == str(folder / _INDEX):
                warnings.warn(f"{folder}: {_INDEX} is missing; the index is built again", RuntimeWarning, stacklevel=3)
        except (OSError, ValueError, RuntimeError) as error:
            warnings.warn(f"{folder}: {error}; the index is built again", RuntimeWarning, stacklevel=3)

    def _canonical(self, rows: IntArray, queries: FloatArray) -> FloatArray:
        """The canonical scores of rows int32 [queries, depth], float32 alike; -inf for nothing."""
        scores = np.empty(rows.shape, np.float32)

        def rescore(start: int) -> None:
            part = slice(start, start + _RESCORED)
            documents, asked = self._pool[rows[part]].astype(np.float64), queries[part].astype(np.float64)
            scores[part] = np.einsum("qkd,qd->qk", documents, asked)

        starts = range(0, len(rows), _RESCORED)
        if self.threads > 1 and len(starts) > 2 * self.threads:
            with ThreadPoolExecutor(self.threads) as threads:
                list(threads.map(rescore, starts))
        else:
            for start in starts:
                rescore(start)
        scores += np.float32(0)  # -0 becomes 0, as in the exact index
        scores[rows == NOTHING] = -np.inf
        return scores


def recall(approximate: Ranking, exact: Ranking) -> float:
    """The mean share of each query's exact rows that the approximate ranking holds, at the depth that both have. NaN where there are none."""
    if approximate.rows.shape != exact.rows.shape:
        raise ValueError(f"rankings of different shapes: {approximate.rows.shape} and {exact.rows.shape}")
    query = np.arange(len(exact.rows), dtype=np.int64)[:, None] << 32
    held = np.isin(exact.rows + query, approximate.rows + query) & (exact.rows != NOTHING)
    wanted = (exact.rows != NOTHING).sum(1)
    return float((held.sum(1)[wanted > 0] / wanted[wanted > 0]).mean()) if wanted.any() else float("nan")


def _remove_parts(folder: Path) -> None:
    """Remove what killed runs left of a graph; a living one takes seconds to rename its own."""
    for left in folder.glob("*/.part-*"):
        with suppress(OSError):  # the living one has just renamed it, or the folder is not ours to write
            if time() - left.stat().st_mtime > _PART_SECONDS:
                left.unlink()


def _file_hash(path: Path) -> str:
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
