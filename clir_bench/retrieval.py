"""Retrievers, and the small protocols of what they are made of. Ties go by score, then row; a collection's rows are in opaque order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter, process_time
from typing import NamedTuple, Protocol, TypeGuard, runtime_checkable

import numpy as np

from clir_bench.collection import NOTHING, FloatArray, IntArray, Ranking, Texts, language_numbers
from clir_bench.measures import NOT_FOUND
from clir_bench.vectors import Role


class Retriever(Protocol):
    """Takes a pool, then answers queries. It never sees a judgement before it has ranked."""

    def index(self, pool: Texts) -> None:
        """Take the pool. Document i of it is row i of every ranking."""

    def search(self, queries: Texts, depth: int) -> Ranking:
        """The best ``depth`` rows of each query."""


class Locator(Protocol):
    """A retriever that can say where any document stands, however deep: what own-language recall needs."""

    def locate(self, queries: Texts, query: IntArray, document: IntArray) -> tuple[IntArray, IntArray]:
        """Ranks from 1, int32 [targets] each: in the whole pool, and among the documents of the target's language.

        ``query`` int32 [targets], ascending, and ``document`` int32 [targets] name the targets; NOT_FOUND where it cannot be retrieved at all.
        """


def can_locate(retriever: Retriever) -> TypeGuard[Locator]:
    """Whether the retriever is a Locator: a dense one is where its index is exact."""
    return callable(getattr(retriever, "locate", None))


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


class Scorer(Protocol):
    """Says how well a document answers a query, by reading both at once: a cross-encoder."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> FloatArray:
        """Scores float32 [pairs] of (query, document) texts; higher is better."""


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
        return [self.tokenize(text, texts.written_in or language) for text, language in zip(texts.texts, texts.languages, strict=True)]


class Fused:
    """Several retrievers, their rankings joined by reciprocal rank: a document's score is the sum of 1 / (k + rank) over them (Cormack et al. 2009)."""

    def __init__(self, members: Sequence[Retriever], k: int, depth: int, clock: Clock | None = None) -> None:
        self.members, self.k, self.depth, self.clock = members, k, depth, clock or Clock()

    def index(self, pool: Texts) -> None:
        """Let every member take the pool."""
        self._size = len(pool)
        for member in self.members:
            member.index(pool)

    def search(self, queries: Texts, depth: int) -> Ranking:
        """Search by every member to ``self.depth``, at least ``depth``, and join."""
        found = [member.search(queries, max(depth, self.depth)).rows for member in self.members]
        rows = np.full((len(queries), depth), NOTHING, np.int32)
        scores = np.full((len(queries), depth), -np.inf, np.float32)
        with self.clock.time("fuse", len(queries)):
            for q in range(len(queries)):
                listed = np.concatenate([member[q] for member in found])
                gain = np.concatenate([1 / (self.k + np.arange(1, member.shape[1] + 1)) for member in found])
                document, place = np.unique(listed[listed != NOTHING], return_inverse=True)
                total = np.bincount(place, gain[listed != NOTHING], len(document)).round(12)  # equal sums in another order are equal
                best = np.lexsort((document, -total))[:depth]
                rows[q, : len(best)], scores[q, : len(best)] = document[best], total[best]
        return Ranking(rows, scores)


class Reranked:
    """A retriever whose first ``depth`` documents are put in the order of a scorer; what stands below them keeps its order."""

    def __init__(self, first: Retriever, scorer: Scorer, depth: int, clock: Clock | None = None) -> None:
        self.first, self.scorer, self.depth, self.clock = first, scorer, depth, clock or Clock()

    def index(self, pool: Texts) -> None:
        """Let the first stage take the pool."""
        self.first.index(pool)
        self._texts = pool.texts

    def search(self, queries: Texts, depth: int) -> Ranking:
        """Search by the first stage and re-rank."""
        candidates = self.first.search(queries, max(depth, self.depth)).rows
        query, at = (index.astype(np.int32) for index in np.nonzero(candidates[:, : self.depth] != NOTHING))
        scores = np.full(candidates.shape, -np.inf, np.float32)
        scores[query, at] = self.score(queries, query, candidates[query, at])
        return ranked(candidates, scores, self.depth, depth)

    def score(self, queries: Texts, query: IntArray, document: IntArray) -> FloatArray:
        """Scores float32 [pairs] of query rows and document rows. Each distinct pair of texts is scored once, all in one list."""
        place: dict[tuple[str, str], int] = {}
        asked = ((queries.texts[q], self._texts[d]) for q, d in zip(query.tolist(), document.tolist(), strict=True))
        of = np.fromiter((place.setdefault(pair, len(place)) for pair in asked), np.int32, len(query))
        with self.clock.time("rerank", len(place)):
            return self.scorer.score(list(place))[of]


def ranked(candidates: IntArray, scores: FloatArray, first: int, depth: int) -> Ranking:
    """Candidates int32 [queries, any], the ``first`` of each row by score then row, what stands below in its order with scores below; cut at ``depth``."""
    head = np.where(candidates[:, :first] == NOTHING, np.float32(-np.inf), scores[:, :first])
    order = np.lexsort((np.where(candidates[:, :first] == NOTHING, np.iinfo(np.int32).max, candidates[:, :first]), -head), axis=1)
    rows = np.concatenate([np.take_along_axis(candidates[:, :first], order, 1), candidates[:, first:]], axis=1)
    lowest = np.where(np.isinf(head), np.float32(np.inf), head).min(1, initial=np.inf)[:, None]
    below = (np.where(np.isinf(lowest), 0, lowest) - np.arange(1, candidates.shape[1] - head.shape[1] + 1)).astype(np.float32)
    below[candidates[:, first:] == NOTHING] = -np.inf
    placed = np.concatenate([np.take_along_axis(head, order, 1), below], axis=1)
    return Ranking(np.ascontiguousarray(rows[:, :depth]), np.ascontiguousarray(placed[:, :depth]))


def _distinct(texts: Sequence[str]) -> tuple[list[str], IntArray]:
    """The distinct texts in order of first appearance, and each text's place among them."""
    place: dict[str, int] = {}
    of = np.fromiter((place.setdefault(text, len(place)) for text in texts), np.int32, len(texts))
    return list(place), of
