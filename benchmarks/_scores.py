"""What the generated submissions score: difficulties of topics, skills of models, distances of languages, and the gold ranks they make.

Above the relevant document of an evaluated query stand e**x documents of its own language, and 1 / share times as many of the whole pool, where
``share`` is the part of the retrieved documents that is in that language. x is the sum of a mean of the language pair, of a part that all queries of
a topic have in common, and of noise; each of the last two has a part that is the same for all systems. So queries of a topic are correlated, systems
are correlated, and two models of equal traits differ by noise alone. Every random number is a function of the seed and of names, never of an order.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clir_bench.bias import DEPTHS, GOLDS
from clir_bench.collection import Collection, Document, FloatArray, IntArray, Judgement, Query, build_collection, language_numbers
from clir_bench.languages import TABLE
from clir_bench.measures import NOT_FOUND, GoldRanks, unranked
from clir_bench.records import ProfileRecord
from clir_bench.sources import sample
from clir_bench.task import Task, load_task

SPREAD = 2.2  # standard deviation of x within a language pair
TOPIC, TOPIC_OF_SYSTEM, QUERY, NOISE = np.sqrt([0.38, 0.17, 0.20, 0.25]) * SPREAD  # a topic explains 55 % of that variance, ranks then 50 %
EASE = 5.6  # a model without traits ranks the relevant document of a pool of e**5.6 documents second
PLACES = {code: i for i, code in enumerate(TABLE)}
Matrix = npt.NDArray[np.float64]


class Traits(NamedTuple):
    """What a model can do, in units of x: ``asks`` and ``holds`` float64 [languages] for queries and documents of each; ``bias`` is its taste, not its skill."""

    skill: float
    asks: Matrix
    holds: Matrix
    same_language: float
    script: float
    family: float
    bias: float


class Found(NamedTuple):
    """``above`` float32 [evaluated] is x; ``share`` float64 [query languages, document languages] of what is retrieved."""

    above: FloatArray
    share: Matrix


@dataclass(frozen=True)
class Board:
    """A task, the shape of its collection (no texts), and what is hard in it for every system: ``hard`` float32 [evaluated]."""

    task: Task
    collection: Collection
    seed: int

    @cached_property
    def ranks(self) -> GoldRanks:
        """The evaluated queries."""
        return unranked(self.collection.judgements)

    @cached_property
    def asked(self) -> tuple[str, ...]:
        """The query languages, sorted."""
        return tuple(sorted({pair.query for pair in self.ranks.pairs}))

    @cached_property
    def held(self) -> tuple[str, ...]:
        """The document languages, sorted."""
        return tuple(sorted({pair.document for pair in self.ranks.pairs}))

    @cached_property
    def sizes(self) -> Matrix:
        """Documents of each language, float64 [document languages]."""
        count = Counter(self.collection.pool.languages)
        return np.array([count[language] for language in self.held], np.float64)

    @cached_property
    def at(self) -> tuple[IntArray, IntArray]:
        """Query and document language of every evaluated query, int [evaluated] each."""
        pairs = [(self.asked.index(pair.query), self.held.index(pair.document)) for pair in self.ranks.pairs]
        query, document = np.array(pairs, np.int32)[self.ranks.pair].T
        return np.ascontiguousarray(query), np.ascontiguousarray(document)

    @cached_property
    def language(self) -> IntArray:
        """The language of every query, int32 [queries]."""
        return language_numbers(self.collection.queries.languages)

    @cached_property
    def topic(self) -> IntArray:
        """int32 [evaluated]."""
        return self.collection.topics[self.ranks.query]

    @cached_property
    def hard(self) -> FloatArray:
        topics, queries = (self._noise("all", part, n) for part, n in (("topics", len(self.collection.topics)), ("queries", len(self.topic))))
        return np.float32(TOPIC) * topics[self.topic] + np.float32(QUERY) * queries

    @cached_property
    def lists(self) -> IntArray:
        """int32 [queries, golds of each]: the evaluated queries that are read off one ranking."""
        return np.argsort(self.ranks.query, kind="stable").astype(np.int32).reshape(len(np.unique(self.ranks.query)), -1)

    def luck(self, name: str) -> FloatArray:
        """A system's own part of x, float32 [evaluated]."""
        topics, queries = self._noise(name, "topics", len(self.collection.topics)), self._noise(name, "queries", len(self.topic))
        return np.float32(TOPIC_OF_SYSTEM) * topics[self.topic] + np.float32(NOISE) * queries

    def _noise(self, name: str, part: str, size: int) -> FloatArray:
        return stream(self.seed, self.task.name, name, part).standard_normal(size, np.float32)


def make_board(name: str, seed: int) -> Board:
    """The board of a task. Documents that no query asks for fill the pool to the size that the task or the paper states."""
    task = load_task(name)
    if task.source == "sample":
        return Board(task, sample.read(), seed)
    asked, held = sorted({p.query for p in task.language_pairs()}), sorted({p.document for p in task.language_pairs()})
    size = task.expect.documents or (task.paper and task.paper.documents)
    assert size, f"task {name} states no number of documents"
    documents = [Document(f"{held[i % len(held)]}:{i // len(held)}", held[i % len(held)], "") for i in range(size)]
    if task.pairs == "all-distinct":  # every topic in every language
        topics = [[f"{d}:{t}" for d in held] for t in range(task.recipe.queries_per_pair or 0)]
    else:
        topics = [[document.id] for document in documents]
    queries = [Query(f"{q}?{t}", q, "", str(t)) for t in range(len(topics)) for q in asked]
    allowed = {(p.query, p.document) for p in task.language_pairs()}
    judged = [Judgement(f"{q}?{t}", gold, 1) for t, golds in enumerate(topics) for q in asked for gold in golds if (q, gold.partition(":")[0]) in allowed]
    collection = build_collection(documents, queries, judged)
    return Board(task, replace(collection, fingerprint=f"sha256:{hashlib.sha256(f'synthetic {name}'.encode()).hexdigest()}"), seed)


def stream(seed: int, *what: str) -> np.random.Generator:
    """Random numbers that belong to these names."""
    return np.random.default_rng([seed, *hashlib.sha256("\n".join(what).encode()).digest()])


def draw_traits(seed: int, name: str, size: float) -> Traits:
    """A model's traits; ``size`` (parameters, in millions) helps."""
    common, own = stream(seed, "languages").standard_normal((2, len(TABLE))), stream(seed, "traits", name)
    common[:, PLACES["en"]] = 2.0
    asks, holds = 0.25 * common + 0.25 * own.standard_normal((2, len(TABLE)))
    skill = 1.2 + 0.4 * np.log10(size / 278) + 0.6 * own.standard_normal()
    return Traits(float(skill), asks, holds, *(float(own.uniform(low, high)) for low, high in ((0.3, 1.0), (0.2, 1.0), (0.0, 0.6), (0.1, 1.5))))


LEXICAL = Traits(0.9, np.zeros(len(TABLE)), np.zeros(len(TABLE)), 2.5, 3.0, 1.0, 1.8)
"""BM25: good within a language, names alone within a script, nothing beyond."""


def find(board: Board, name: str, traits: Traits, parent: str | None = None, translator: str | None = None) -> Found:
    """What an encoder finds; one that was tuned has most of its luck from its parent, and texts in English have a translator's faults."""
    asked, held = ([TABLE[code] for code in codes] for codes in (board.asked, board.held))
    read = [TABLE["en"]] * len(held) if translator else held
    same, script, family = (np.array([[a[i] == b[i] for b in read] for a in asked]) for i in (0, 2, 3))
    holds = traits.holds[[PLACES[row.code] for row in read]]
    match = traits.skill + traits.asks[[PLACES[row.code] for row in asked]][:, None] + holds
    match += traits.same_language * same - traits.script * ~script - traits.family * ~family
    taste = traits.bias * (1.0 * same - 0.5 * ~script - 0.25 * ~family) + 0.3 * holds
    share = board.sizes * np.exp(taste)
    luck = board.luck(name)
    if parent:
        luck = np.float32(0.8) * board.luck(parent) + np.float32(0.6) * luck
    mean = np.log(board.sizes) - EASE - match
    if translator:
        faults = stream(board.seed, translator)
        mean += faults.uniform(0.1, 0.9, len(TABLE))[[PLACES[row.code] for row in held]] * np.array([row.code != "en" for row in held])
        luck = luck + np.float32(0.5) * board.luck(translator)
    return Found(mean.astype(np.float32)[board.at] + board.hard + luck, share / share.sum(1, keepdims=True))


def fuse(a: Found, b: Found) -> Found:
    """Two rankings joined: a document is as high as the mean of its places in both, counted from the top."""
    return Found(-np.logaddexp(-a.above, -b.above) + np.float32(np.log(1.6)), (a.share + b.share) / 2)


def ranked(board: Board, found: Found) -> tuple[IntArray, IntArray]:
    """Ranks in the whole pool, to the task's depth, and in that of the document's language, however deep; no two documents of a list have one rank."""
    own = np.minimum(1 + np.exp(np.minimum(found.above, 12)), board.sizes.astype(np.float32)[board.at[1]]).astype(np.int32)
    whole = 1 + np.exp(np.minimum(found.above - np.log(found.share).astype(np.float32)[board.at], 12))
    return _apart(board, whole), own


def rerank(board: Board, full: IntArray, scorer: str, skill: float) -> tuple[IntArray, IntArray]:
    """Ranks after re-ranking, and on the oracle track, where every missing document took the last place of its pair's lists before."""
    depth, several = board.task.depth, board.lists.shape[1]
    start = np.log(np.minimum(full, depth)).astype(np.float32)
    place = np.exp((1 - skill) * start + np.float32(0.4) * board.luck(scorer) * (start > 0))
    place = np.clip(place, 1, depth - several)  # room for the others of the list
    return _apart(board, np.where(full > depth, 1e6, place).astype(np.float32)), place.astype(np.int32)


def miss(board: Board, full: IntArray, name: str) -> IntArray:
    """Ranks where a graph does not lead to every document, the deeper the less."""
    lost = stream(board.seed, board.task.name, name, "lost").random(len(full), np.float32) < 0.004 * (1 + np.log(full))
    return np.where(lost, NOT_FOUND, full).astype(np.int32)


def keep_pairs(ranks: GoldRanks, documents: Sequence[str]) -> tuple[GoldRanks, IntArray]:
    """The evaluated queries of the pairs with these document languages, and where they stood; each has one relevant document."""
    wanted = [i for i, pair in enumerate(ranks.pairs) if pair.document in documents]
    number = np.full(len(ranks.pairs), -1, np.int32)
    number[wanted] = np.arange(len(wanted))
    kept = np.flatnonzero(number[ranks.pair] >= 0).astype(np.int32)
    parts = (ranks.query, ranks.golds, ranks.rank, ranks.grade, ranks.document)
    return GoldRanks(tuple(ranks.pairs[i] for i in wanted), number[ranks.pair[kept]], *(part[kept] for part in parts)), kept


def count_languages(board: Board, ranks: GoldRanks, share: Matrix, name: str) -> tuple[ProfileRecord, ...]:
    """Language profiles that hold the relevant documents that were found, the other places drawn by ``share``."""
    pairs = np.array([(pair.same, board.held.index(pair.document)) for pair in ranks.pairs])[ranks.pair]
    kind = np.zeros(len(board.language), np.int64)  # as in bias.py: 1 relevant document in the query's language, 2 in another, 3 both
    for flag in (1, 2):
        there = np.zeros(len(kind), bool)
        there[ranks.query[pairs[:, 0] == (flag == 1)]] = True
        kind += flag * there
    shape = (len(board.asked), 4, len(board.held))
    queries = np.bincount(board.language * 4 + kind, minlength=shape[0] * 4).reshape(shape[:2]) * [0, 1, 1, 1]
    cell = (board.language * 4 + kind)[ranks.query] * shape[2] + pairs[:, 1]
    depths, counts, rng = sorted({min(d, board.task.depth) for d in DEPTHS}), np.zeros(shape, np.int64), stream(board.seed, board.task.name, name, "languages")
    layers = []
    for above, depth in zip([0, *depths], depths, strict=False):
        inside = (ranks.rank > above) & (ranks.rank <= depth)
        hits = np.bincount(cell[inside], minlength=int(np.prod(shape))).reshape(shape)
        left = queries * (depth - above) - hits.sum(2)
        room = 0.95 * (queries[:, :, None] * board.sizes - counts - hits) / np.maximum(left, 1)[:, :, None]  # a small pool has few of a language
        part = np.minimum(share[:, None, :], room)
        part += (1 - part.sum(2, keepdims=True)) * (room - part) / np.maximum((room - part).sum(2, keepdims=True), 1e-9)
        counts = counts + hits + rng.multinomial(left, np.where(queries[:, :, None] > 0, part, share[:, None, :]))
        layers.append(counts)
    return tuple(
        ProfileRecord(query=asked, depth=depth, gold=gold, queries=n, retrieved=dict(zip(board.held, layer[q, kinds].sum(0).tolist(), strict=True)))
        for q, asked in enumerate(board.asked)
        for depth, layer in zip(depths, layers, strict=True)
        for gold, kinds in zip(GOLDS, ([1, 2, 3], [1, 3], [2, 3]), strict=True)
        if (n := int(queries[q, kinds].sum()))
    )


def _apart(board: Board, place: FloatArray) -> IntArray:
    """Places as ranks, int32 [evaluated]: in each list the next free one, beyond the task's depth NOT_FOUND."""
    lists, steps = board.lists, np.arange(board.lists.shape[1])
    order = np.argsort(place[lists], axis=1, kind="stable")
    rows = np.take_along_axis(lists, order, 1)
    rank = np.empty(len(place), np.int32)
    rank[rows] = np.maximum.accumulate(place[rows].astype(np.int32) - steps, axis=1) + steps
    return np.where(rank > board.task.depth, NOT_FOUND, rank).astype(np.int32)
