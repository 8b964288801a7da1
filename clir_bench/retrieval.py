"""Retrievers, and the small protocols of what they are made of. Ties go by score, then row; a collection's rows are in opaque order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter, process_time
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from clir_bench.collection import FloatArray, IntArray, Ranking, Texts, language_numbers
from clir_bench.measures import NOT_FOUND
from clir_bench.vectors import Role


class Retriever(Protocol):
    """Takes a pool, then answers queries. It never sees a judgement before it has ranked."""

    def index(self, pool: Texts) -> None:
        """Take the pool. Document i of it is row i of every ranking."""

    def search(self, queries: Texts, depth: int) -> Ranking:
        """The best ``depth`` rows of each query."""


@runtime_checkable
class Locator(Protocol):
    """A retriever that can say where any document stands, however deep: what own-language recall needs."""

    def locate(self, queries: Texts, query: IntArray, document: IntArray) -> tuple[IntArray, IntArray]:
        """Ranks from 1, int32 [targets] each: in the whole pool, and among the documents of the target's language.

        ``query`` int32 [targets], ascending, and ``document`` int32 [targets] name the targets; NOT_FOUND where it cannot be retrieved at all.
        """


class Encoder(Protocol):
    """Turns texts into vectors."""

    def encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        """Embeddings float32 [texts, dim], L2-normalised."""


class Index(Protocol):
    """Finds vectors near a vector."""

    def build(self, vectors: FloatArray) -> None:
        """Take the pool, float32 [documents, dim]."""

    def search(self, queries: FloatArray, depth: int) -> Ranking:
        """The best ``depth`` rows of each query."""


@runtime_checkable
class LocatingIndex(Protocol):
    """An index that can count what stands above a given row."""

    def locate(self, queries: FloatArray, languages: IntArray, query: IntArray, document: IntArray) -> tuple[IntArray, IntArray]:
        """As ``Locator.locate``, on vectors; ``languages`` int32 [pool]."""


class Lexicon(Protocol):
    """A lexical index over token lists."""

    def build(self, documents: Sequence[Sequence[str]]) -> None:
        """Take the pool."""

    def search(self, queries: Sequence[Sequence[str]], depth: int) -> Ranking:
        """The best ``depth`` rows of each query."""

    def locate(self, queries: Sequence[Sequence[str]], languages: IntArray, query: IntArray, document: IntArray, missing: int) -> tuple[IntArray, IntArray]:
        """As ``Locator.locate``; ``missing`` stands where a document does not match."""


class Timing(NamedTuple):
    """What a stage took: items, wall seconds, CPU seconds of all threads."""

    stage: str
    items: int
    seconds: float
    cpu_seconds: float


class Clock:
    """Collects the timings of stages."""

    def __init__(self) -> None:
        self.timings: list[Timing] = []

    @contextmanager
    def time(self, stage: str, items: int) -> Iterator[None]:
        """Time the block as ``stage``."""
        wall, cpu = perf_counter(), process_time()
        yield
        self.timings.append(Timing(stage, items, perf_counter() - wall, process_time() - cpu))


class Dense:
    """Embeddings in an index. Each distinct text is encoded once, each distinct query searched once."""

    def __init__(self, encoder: Encoder, index: Index, clock: Clock | None = None) -> None:
        self.encoder, self.store, self.clock = encoder, index, clock or Clock()
        if not isinstance(index, LocatingIndex):
            self.locate = None  # type: ignore[assignment]  # hides the method, so that this is no Locator

    def index(self, pool: Texts) -> None:
        """Encode the pool and build the index."""
        distinct, of = _distinct(pool.texts)
        with self.clock.time("encode_documents", len(distinct)):
            vectors = self.encoder.encode(distinct, "document")
        with self.clock.time("build_index", len(pool)):
            self.store.build(vectors if len(distinct) == len(pool) else vectors[of])
        self._languages = language_numbers(pool.languages)
        self._queries: tuple[Texts, FloatArray, IntArray] | None = None

    def search(self, queries: Texts, depth: int) -> Ranking:
        """Encode the queries and search."""
        vectors, of = self._encoded(queries)
        with self.clock.time("search", len(vectors)):
            found = self.store.search(vectors, depth)
        return found if len(vectors) == len(queries) else Ranking(found.rows[of], found.scores[of])

    def locate(self, queries: Texts, query: IntArray, document: IntArray) -> tuple[IntArray, IntArray]:
        """Exact ranks; see Locator."""
        assert isinstance(self.store, LocatingIndex)
        vectors, of = self._encoded(queries)
        order = np.argsort(of[query], kind="stable")
        with self.clock.time("locate", len(query)):
            rank, own = self.store.locate(vectors, self._languages, of[query][order], document[order])
        back = np.argsort(order)
        return rank[back], own[back]

    def _encoded(self, queries: Texts) -> tuple[FloatArray, IntArray]:
        """Vectors of the distinct queries, and each query's row among them; kept for the next call with the same queries."""
        if self._queries is None or self._queries[0] is not queries:
            distinct, of = _distinct(queries.texts)
            with self.clock.time("encode_queries", len(distinct)):
                self._queries = (queries, self.encoder.encode(distinct, "query"), of)
        return self._queries[1:]


class BM25:
    """The lexical baseline: ``tokenize(text, language)`` by each text's own language, and a lexicon."""

    def __init__(self, tokenize: Callable[[str, str], list[str]], lexicon: Lexicon, clock: Clock | None = None) -> None:
        self.tokenize, self.lexicon, self.clock = tokenize, lexicon, clock or Clock()

    def index(self, pool: Texts) -> None:
        """Tokenise and index the pool."""
        with self.clock.time("build_index", len(pool)):
            self.lexicon.build(self._tokens(pool))
        self._languages = language_numbers(pool.languages)

    def search(self, queries: Texts, depth: int) -> Ranking:
        """Search; a query that matches nothing retrieves nothing."""
        with self.clock.time("search", len(queries)):
            return self.lexicon.search(self._tokens(queries), depth)

    def locate(self, queries: Texts, query: IntArray, document: IntArray) -> tuple[IntArray, IntArray]:
        """Exact ranks; see Locator."""
        with self.clock.time("locate", len(query)):
            return self.lexicon.locate(self._tokens(queries), self._languages, query, document, NOT_FOUND)

    def _tokens(self, texts: Texts) -> list[list[str]]:
        return [self.tokenize(text, language) for text, language in zip(texts.texts, texts.languages, strict=True)]


def _distinct(texts: Sequence[str]) -> tuple[list[str], IntArray]:
    """The distinct texts in order of first appearance, and each text's place among them."""
    place: dict[str, int] = {}
    of = np.fromiter((place.setdefault(text, len(place)) for text in texts), np.int32, len(texts))
    return list(place), of
