"""Which languages a system retrieves, against the pool it retrieves from (the paper's Figures 6a, 6b and 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

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
    groups: dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]] = {"any": np.ones(len(language), bool)}
    for gold, rows in (("same", same), ("other", ~same)):
        groups[gold] = np.zeros(len(language), bool)
        groups[gold][j.query[rows & (j.grade > 0)]] = True

    width, profiles = len(languages) + 1, []
    lookup = np.append(collection.pool_languages, len(languages)).astype(np.uint16)  # row -1 (nothing) reads the last entry
    depths = sorted({min(depth, ranking.rows.shape[1]) for depth in DEPTHS})
    counts = {depth: np.zeros((len(language), width), np.int32) for depth in depths}
    for start in range(0, len(language), 16384):
        found = lookup[ranking.rows[start : start + 16384]]
        flat = found + (np.arange(len(found), dtype=np.int64) * width)[:, None]
        for depth in depths:
            counted = np.bincount(flat[:, :depth].ravel(), minlength=len(found) * width)
            counts[depth][start : start + 16384] = counted.reshape(len(found), width)
    for q, query_language in enumerate(asked):
        for depth in depths:
            for gold in GOLDS:
                chosen = groups[gold] & (language == q)
                retrieved = counts[depth][chosen].sum(0)
                if chosen.any():
                    profiles.append(LanguageProfile(query_language, depth, gold, int(chosen.sum()), dict(zip(languages, map(int, retrieved), strict=False))))
    return profiles


def same_language_rate(retrieved: Mapping[str, int], query_language: str) -> float | None:
    """Share of the retrieved documents that are written in the query's language (Figure 6a); None if nothing was retrieved."""
    total = sum(retrieved.values())
    return retrieved.get(query_language, 0) / total if total else None


def lift(retrieved: Mapping[str, int], pool: Mapping[str, int]) -> dict[str, float]:
    """Each language's share of the retrieved documents over its share of the pool: 1 is indifference, above 1 preference."""
    total, size = sum(retrieved.values()), sum(pool.values())
    return {language: (retrieved.get(language, 0) / total) / (count / size) for language, count in pool.items()} if total else {}
