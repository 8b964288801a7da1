"""Which languages a system retrieves, against the pool it retrieves from (the paper's Figures 6a, 6b and 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from clir_bench.collection import Collection, Ranking

DEPTHS = (1, 10, 100)
GOLDS: tuple[Literal["any", "same", "other"], ...] = ("any", "same", "other")


class LanguageProfile(NamedTuple):
    """How often each document language stands among the first ``depth`` places of the queries of one language.

    ``gold`` says which queries are counted: ``any``, those with a relevant document in their own language (``same``), or those with one in
    another language (``other``; a query of a parallel collection counts in both). ``retrieved`` maps every pool language to its count.
    """

    query_language: str
    depth: int
    gold: Literal["any", "same", "other"]
    queries: int
    retrieved: Mapping[str, int]


def language_profiles(collection: Collection, ranking: Ranking) -> list[LanguageProfile]:
    """Profiles for every query language, depth (1, 10, 100, as far as the ranking goes) and kind of gold; each query counts once."""
    j, languages = collection.judgements, collection.languages
    asked = sorted(set(collection.queries.languages))
    number = {language: i for i, language in enumerate(asked)}
    language = np.fromiter((number[x] for x in collection.queries.languages), np.int64, len(collection.queries))
    same = np.array([pair.same for pair in j.pairs])[j.pair]
    kind = np.zeros(len(language), np.int64)  # 1: relevant document in the query's language, 2: in another, 3: both
    for flag, rows in ((1, same), (2, ~same)):
        kind[np.unique(j.query[rows & (j.grade > 0)])] += flag
    depths = sorted({min(depth, ranking.rows.shape[1]) for depth in DEPTHS})
    counts = _count(ranking, np.append(collection.pool_languages, len(languages)), language * 4 + kind, 4 * len(asked), depths)
    queries = np.bincount(language * 4 + kind, minlength=4 * len(asked)).reshape(len(asked), 4)
    counted = {"any": [0, 1, 2, 3], "same": [1, 3], "other": [2, 3]}
    return [
        LanguageProfile(asked[q], depth, gold, int(queries[q, counted[gold]].sum()), dict(zip(languages, found.tolist(), strict=True)))
        for q in range(len(asked))
        for depth, at in zip(depths, counts, strict=True)
        for gold in GOLDS
        if queries[q, counted[gold]].any()
        for found in [at.reshape(len(asked), 4, -1)[q, counted[gold], : len(languages)].sum(0)]
    ]


def _count(ranking: Ranking, lookup: npt.NDArray[np.integer[Any]], group: npt.NDArray[np.int64], groups: int, depths: list[int]) -> list[npt.NDArray[np.int64]]:
    """For each depth, int64 [groups * languages]: the languages of the first places; row -1 (nothing) reads the last entry of ``lookup``."""
    width, wide = int(lookup[-1]) + 1, lookup.astype(np.int64)
    layers = [np.zeros(groups * width, np.int64) for _ in depths]
    for start in range(0, len(group), 1024):  # a block that stays in the cache
        flat = wide[ranking.rows[start : start + 1024, : depths[-1]]]
        flat += (group[start : start + 1024] * width)[:, None]
        for layer, low, high in zip(layers, [0, *depths], depths, strict=False):
            np.add(layer, np.bincount(flat[:, low:high].ravel(), minlength=groups * width), out=layer)
    return list(np.cumsum(layers, axis=0))


def same_language_rate(retrieved: Mapping[str, int], query_language: str) -> float | None:
    """Share of the retrieved documents that are written in the query's language (Figure 6a); None if nothing was retrieved."""
    total = sum(retrieved.values())
    return retrieved.get(query_language, 0) / total if total else None


def lift(retrieved: Mapping[str, int], pool: Mapping[str, int]) -> dict[str, float]:
    """Each language's share of the retrieved documents over its share of the pool: 1 is indifference, above 1 preference."""
    total, size = sum(retrieved.values()), sum(pool.values())
    return {language: (retrieved.get(language, 0) / total) / (count / size) for language, count in pool.items()} if total else {}
