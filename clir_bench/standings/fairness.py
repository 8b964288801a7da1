"""Whether languages are served alike: one question in several languages, documents in several languages, pairs that stand apart."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from clir_bench.collection import Pair
from clir_bench.standings.index import Board, Floats
from clir_bench.submission import DEEPER

Bools = npt.NDArray[np.bool_]
RESAMPLES = 500
_PLACE = f"RR@{DEEPER - 1}"  # falls with the rank of the first relevant document, as deep as ranks are known: for whatever only orders, it is the rank


class Consistency(NamedTuple):
    """Whether a question finds its document at the same rank in whatever language it is asked: mean Spearman correlation of gold ranks (MRC of MultiEuP-v2).

    ``agreement`` [asked, asked]: of two query languages, mean over document languages, NaN on the diagonal and where nothing varies. ``value`` is the mean
    over all ``correlations`` (two query languages and a document language); ``low``, ``high``: 95 %, topics resampled, each keeping its rank among all.
    """

    asked: tuple[str, ...]
    agreement: Floats
    value: float
    low: float
    high: float
    correlations: int
    topics: int


class Effect(NamedTuple):
    """What the document's language does to the rank of questions in one language (PEER, pooled over topics, as an effect size).

    ``epsilon``: Kruskal and Wallis' epsilon squared, the share of the variance of gold ranks that the document language explains: 0 is none. ``chance``: its
    mean without any effect, the ranks of each topic exchanged between its document languages, and those of topics with one document language among each
    other. ``best``, ``worst``: the document languages with the best and the worst mean rank.
    """

    query: str
    n: int
    documents: int
    epsilon: float
    chance: float
    best: str
    worst: str


class Disparity(NamedTuple):
    """How far pairs are apart. ``variation``: standard deviation over mean; ``diagonal``: mean of the pairs of one language minus that of the others."""

    best: Pair
    best_value: float
    worst: Pair
    worst_value: float
    variation: float
    diagonal: float | None

    @property
    def spread(self) -> float:
        """Best minus worst."""
        return self.best_value - self.worst_value


def consistency(board: Board, row: int, mask: Bools) -> Consistency | None:
    """Of one row of ranks, in the pairs of ``mask``; None where no document language is asked for in two languages, or topics are not known."""
    tables = list(_by_document(board, row, mask))
    if not tables:
        return None
    asked = tuple(sorted({code for codes, _, _ in tables for code in codes}))
    total, count = np.zeros((len(asked), len(asked))), np.zeros((len(asked), len(asked)))
    topics, sums, used = np.unique(np.concatenate([topic for _, topic, _ in tables])), np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    draws = _draws(len(topics))
    for codes, topic, ranks in tables:
        a, b = np.triu_indices(len(codes), 1)
        found, again = _correlations(ranks, a, b, draws[:, np.searchsorted(topics, topic)])
        there = np.isfinite(found)
        place = np.array([asked.index(code) for code in codes])
        for i, j in ((a, b), (b, a)):
            np.add.at(total, (place[i[there]], place[j[there]]), found[there])
            np.add.at(count, (place[i[there]], place[j[there]]), 1)
        sums += np.nansum(again, axis=1)
        used += np.isfinite(again).sum(1)
    if not count.any():
        return None
    agreement = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    low, high = np.quantile(sums / np.maximum(used, 1), [0.025, 0.975])
    return Consistency(asked, agreement, float(total.sum() / count.sum()), float(low), float(high), int(count.sum()) // 2, len(topics))


def language_effects(board: Board, row: int, mask: Bools) -> tuple[Effect, ...]:
    """Of one row of ranks, for each query language with at least two document languages in ``mask``, sorted by its tag."""
    value = board.values(row, _PLACE)
    found = []
    for query in board.query_languages:
        pairs = [i for i in np.flatnonzero(mask) if board.pairs[i].query == query]
        columns = np.concatenate([_columns(board, i) for i in pairs]) if pairs else np.zeros(0, np.int64)
        columns = columns[np.isfinite(value[columns])]
        group, n = board.shape.pair[columns], len(columns)
        held = np.unique(group)
        if len(held) < 2:
            continue
        ranks = rankdata(-value[columns])
        means = np.array([ranks[group == i].mean() for i in held])
        best, worst = (board.pairs[held[at]].document for at in (means.argmin(), means.argmax()))
        epsilon, chance = _explained(ranks, group, None if board.shape.topic is None else board.shape.topic[columns])
        found.append(Effect(query, n, len(held), epsilon, chance, best, worst))
    return tuple(found)


def disparity(board: Board, means: Floats, mask: Bools) -> Disparity | None:
    """From the means of a system in all pairs of the board; None where the pairs of ``mask`` have fewer than two."""
    there = np.flatnonzero(mask & np.isfinite(means))
    if len(there) < 2:
        return None
    values, same = means[there], np.array([board.pairs[i].same for i in there])
    best, worst = int(values.argmax()), int(values.argmin())
    return Disparity(
        board.pairs[there[best]], float(values[best]), board.pairs[there[worst]], float(values[worst]),
        float(values.std() / values.mean()) if values.mean() > 0 else np.nan,
        float(values[same].mean() - values[~same].mean()) if same.any() and not same.all() else None,
    )  # fmt: skip


def _explained(ranks: Floats, group: npt.NDArray[np.integer], topic: npt.NDArray[np.integer] | None) -> tuple[float, float]:
    """Epsilon squared of ranks [n] in groups [n], and its mean over all exchanges within blocks: topics in several groups, and all others as one block."""
    held, of = np.unique(group, return_inverse=True)
    block = np.zeros(len(ranks), np.int64)
    if topic is not None:
        _, number = np.unique(topic, return_inverse=True)
        several = (np.bincount(np.unique(number * len(held) + of) // len(held)) > 1)[number]
        block = np.where(several, number + 1, 0)
    _, block = np.unique(block, return_inverse=True)
    centred = ranks - ranks.mean()
    whole = float((centred**2).sum())
    if whole == 0:
        return 0.0, 0.0
    size, n = np.bincount(block), np.bincount(of)
    mean = np.bincount(block, centred) / size
    spread = np.bincount(block, (centred - mean[block]) ** 2) / np.maximum(size - 1, 1)
    cell, drawn = np.unique(block * len(held) + of, return_counts=True)  # how many values a group draws from a block
    at, into = cell // len(held), cell % len(held)
    expected = np.bincount(into, drawn * mean[at]) ** 2 + np.bincount(into, drawn * (1 - drawn / size[at]) * spread[at])
    return float((np.bincount(of, centred) ** 2 / n).sum()) / whole, float((expected / n).sum()) / whole


def _by_document(board: Board, row: int, mask: Bools) -> Iterator[tuple[tuple[str, ...], npt.NDArray[np.int64], Floats]]:
    """For each document language: the query languages, the topics asked in all of them, and the order of the topics in each, [query languages, topics]."""
    topic = board.shape.topic
    if topic is None:
        return
    value = board.values(row, _PLACE)
    for document in board.document_languages:
        pairs = [i for i in np.flatnonzero(mask) if board.pairs[i].document == document]
        columns = [found[np.isfinite(value[found])] for i in pairs for found in [_columns(board, i)]]
        columns = [found[np.unique(topic[found], return_index=True)[1]] for found in columns if len(found)]
        if len(columns) < 2:
            continue
        common = reduce(np.intersect1d, [topic[found] for found in columns])
        if len(common) < 3:
            continue
        ranks = rankdata([value[found[np.searchsorted(topic[found], common)]] for found in columns], axis=1)
        yield tuple(board.pairs[board.shape.pair[found[0]]].query for found in columns), common.astype(np.int64), ranks


def _columns(board: Board, pair: int | np.integer) -> npt.NDArray[np.int64]:
    end = int(board.shape.n[: pair + 1].sum())
    return np.arange(end - int(board.shape.n[pair]), end)


def _draws(topics: int) -> npt.NDArray[np.float32]:
    """How often each topic is drawn, [resamples, topics]."""
    drawn = np.random.default_rng(0).integers(0, topics, (RESAMPLES, topics)) + topics * np.arange(RESAMPLES)[:, None]
    return np.bincount(drawn.ravel(), minlength=RESAMPLES * topics).reshape(RESAMPLES, topics).astype(np.float32)


def _correlations(ranks: Floats, a: npt.NDArray[np.intp], b: npt.NDArray[np.intp], draws: npt.NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Pearson's of rows a and b of [rows, topics], [correlations], and in each draw, [draws, correlations]; NaN where a row does not vary."""
    x = ((ranks - ranks.mean(1, keepdims=True)) / ranks.shape[1]).astype(np.float32)

    def of(weights: npt.NDArray[np.float32]) -> Floats:
        n = weights.sum(1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean, square, cross = weights @ x.T / n, weights @ (x * x).T / n, weights @ (x[a] * x[b]).T / n
            spread = np.where((spread := square - mean * mean) > 1e-7, spread, np.nan)
            return np.asarray((cross - mean[:, a] * mean[:, b]) / np.sqrt(spread[:, a] * spread[:, b]), np.float64)

    return of(np.ones((1, x.shape[1]), np.float32))[0], of(draws)
