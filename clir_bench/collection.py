"""The arrays everything else reads: texts, judgements, a collection, a ranking. Ground floor: numpy only.

A collection is *canonical*: its documents stand in the order of the SHA-256 of their ids and its queries likewise, so the row number
is an opaque tie-break that no language profits from, and the order of the input files changes nothing.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clir_bench.errors import CollectionError

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]

NOTHING = -1
"""The row of an empty place in a ranking."""


class Pair(NamedTuple):
    """Query language and document language, in that order, always."""

    query: str
    document: str

    def __str__(self) -> str:
        return f"{self.query}-{self.document}"

    @property
    def same(self) -> bool:
        """Whether both languages are one."""
        return self.query == self.document


class Document(NamedTuple):
    """A document as a source yields it."""

    id: str
    language: str
    text: str


class Query(NamedTuple):
    """A query as a source yields it; ``topic`` is shared by the same question in several languages."""

    id: str
    language: str
    text: str
    topic: str


class Judgement(NamedTuple):
    """A judgement as a source yields it."""

    query: str
    document: str
    grade: int


@dataclass(frozen=True)
class Texts:
    """A pool, or all distinct queries: three aligned sequences."""

    ids: Sequence[str]
    languages: Sequence[str]
    texts: Sequence[str]
    written_in: str | None = None
    """The language of all texts where they are translations; ``languages`` stay those of the originals."""

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int] | IntArray) -> Texts:
        """The texts of the given rows, in that order."""
        return Texts([self.ids[i] for i in rows], [self.languages[i] for i in rows], [self.texts[i] for i in rows], self.written_in)


@dataclass(frozen=True)
class Judgements:
    """Judgements as row numbers, sorted by (pair, query, document).

    ``pair`` int32 [n] indexes ``pairs``, ``query`` and ``document`` int32 [n] index the collection's texts, ``grade`` int32 [n] >= 0.
    """

    pairs: tuple[Pair, ...]
    pair: IntArray
    query: IntArray
    document: IntArray
    grade: IntArray


@dataclass(frozen=True)
class Collection:
    """Pool, queries and judgements of a task. ``topics`` int32 [queries]: equal numbers are one question in several languages."""

    pool: Texts
    queries: Texts
    judgements: Judgements
    topics: IntArray
    fingerprint: str

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The language pairs, sorted."""
        return self.judgements.pairs

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The languages of the pool, sorted."""
        return tuple(sorted(set(self.pool.languages)))

    @cached_property
    def pool_languages(self) -> IntArray:
        """int32 [pool]: each document's index in ``languages``."""
        return language_numbers(self.pool.languages)

    def restrict(self, pairs: Iterable[Pair]) -> Collection:
        """The same pool with only the queries and judgements of ``pairs``: less work, the same numbers in those pairs."""
        wanted = set(pairs)
        if missing := sorted(wanted - set(self.pairs)):
            raise CollectionError(f"no judgements for {', '.join(map(str, missing))}: the pairs are {', '.join(map(str, self.pairs))}")
        if wanted == set(self.pairs):
            return self
        j, kept = self.judgements, tuple(p for p in self.pairs if p in wanted)
        number = np.full(len(self.pairs), NOTHING, np.int32)
        number[[self.pairs.index(p) for p in kept]] = np.arange(len(kept), dtype=np.int32)
        rows = number[j.pair] != NOTHING
        queries, query = np.unique(j.query[rows], return_inverse=True)
        judgements = Judgements(kept, number[j.pair[rows]], query.astype(np.int32), j.document[rows], j.grade[rows])
        return replace(self, queries=self.queries.take(queries.tolist()), judgements=judgements, topics=self.topics[queries])


class Ranking(NamedTuple):
    """What a retriever found: ``rows`` int32 [queries, depth] of the pool, best first, -1 = nothing; ``scores`` float32 alike."""

    rows: IntArray
    scores: FloatArray


def language_numbers(languages: Sequence[str]) -> IntArray:
    """int32 [texts]: the place of each text's language among the sorted distinct ones."""
    number = {language: i for i, language in enumerate(sorted(set(languages)))}
    return np.fromiter((number[language] for language in languages), np.int32, len(languages))


def opaque(identifier: str) -> bytes:
    """The key that orders ids without favouring any language."""
    return hashlib.sha256(identifier.encode()).digest()


def build_collection(documents: Iterable[Document], queries: Iterable[Query], judgements: Iterable[Judgement]) -> Collection:
    """Put a collection into canonical order and take its fingerprint. The pair of a judgement is that of its two texts' languages.

    Queries without any judgement are left out. Raises CollectionError for repeated or unknown ids, all of them at once.
    """
    docs = sorted(documents, key=lambda d: opaque(d.id))
    judged = list(judgements)
    judged_ids = {j.query for j in judged}
    asked = sorted((q for q in queries if q.id in judged_ids), key=lambda q: opaque(q.id))
    doc_row = {d.id: i for i, d in enumerate(docs)}
    query_row = {q.id: i for i, q in enumerate(asked)}
    problems = [f"two documents have the id {d.id!r}" for i, d in enumerate(docs) if doc_row[d.id] != i]
    problems += [f"two queries have the id {q.id!r}" for i, q in enumerate(asked) if query_row[q.id] != i]
    problems += sorted({f"judgement of an unknown query {j.query!r}" for j in judged if j.query not in query_row})
    problems += sorted({f"judgement of an unknown document {j.document!r}" for j in judged if j.document not in doc_row})
    if not judged:
        problems.append("no judgements: nothing could be measured")
    if problems:
        raise CollectionError.of("collection", problems)

    rows = sorted((Pair(asked[q].language, docs[d].language), q, d, j.grade) for j in judged for q, d in [(query_row[j.query], doc_row[j.document])])
    if repeated := [f"{asked[a[1]].id!r} and {docs[a[2]].id!r} are judged twice" for a, b in itertools.pairwise(rows) if a[1:3] == b[1:3]]:
        raise CollectionError.of("collection", repeated)
    pairs = tuple(sorted({row[0] for row in rows}))
    number = {pair: i for i, pair in enumerate(pairs)}
    table = np.array([(number[pair], q, d, grade) for pair, q, d, grade in rows], np.int32).reshape(-1, 4)
    topic_number: dict[str, int] = {}  # by first appearance, so that what a topic is called changes nothing
    topics = [topic_number.setdefault(q.topic, len(topic_number)) for q in asked]
    return Collection(
        pool=Texts([d.id for d in docs], [d.language for d in docs], [d.text for d in docs]),
        queries=Texts([q.id for q in asked], [q.language for q in asked], [q.text for q in asked]),
        judgements=Judgements(pairs, *np.ascontiguousarray(table.T)),
        topics=np.array(topics, np.int32),
        fingerprint=_fingerprint(
            docs, [q._replace(topic=str(t)) for q, t in zip(asked, topics, strict=True)], [(asked[q].id, docs[d].id, str(grade)) for _, q, d, grade in rows]
        ),
    )


def _fingerprint(documents: Sequence[Document], queries: Sequence[Query], judgements: Sequence[tuple[str, str, str]]) -> str:
    """``sha256:`` over pool, queries (with topics) and judgements; fields are length-prefixed, so no text can imitate another."""
    digest = hashlib.sha256(b"clir-bench collection 1")
    for part in (documents, queries, judgements):
        digest.update(len(part).to_bytes(8, "little"))
        for row in part:
            for field in row:
                raw = field.encode()
                digest.update(len(raw).to_bytes(8, "little") + raw)
    return f"sha256:{digest.hexdigest()}"
