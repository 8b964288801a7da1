"""How similar languages are (URIEL), and whether scores follow it: the correlations of the paper's Table 8.

The figures are cosines of lang2vec 1.1.2's vectors for 27 languages; ``data/NOTICE`` beside them says how they were made and their licence.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import spearmanr

from clir_bench.collection import Pair

Floats = npt.NDArray[np.float64]
Feature = Literal["geographic", "syntax", "phonology", "inventory", "genealogical"]
FEATURES: tuple[Feature, ...] = get_args(Feature)
"""What languages are compared in."""
Fill = Literal["average", "knn"]
"""Missing features of syntax, phonology and inventory: left out (``average`` of the sources), or predicted from the nearest languages (``knn``)."""
Unit = Literal["languages", "pairs"]

_FILE = Path(__file__).parent / "data" / "uriel_similarity.csv"
_FILLED = ("syntax", "phonology", "inventory")
RESAMPLES = 1000


class Correlation(NamedTuple):
    """Spearman's correlation over ``n`` pairs with a 95 % interval; NaN where it is not defined (fewer than four pairs, or all equal)."""

    rho: float
    n: int
    low: float
    high: float
    p: float


def similarity(a: str, b: str, feature: Feature, fill: Fill = "average") -> float | None:
    """Cosine similarity of two languages; None for a language that is not among the 27, or where the two share no feature."""
    return _figures(f"{feature}_{'avg' if fill == 'average' else 'knn'}" if feature in _FILLED else feature).get((a, b))


def correlation(
    pairs: Sequence[Pair],
    scores: Sequence[float] | Floats,
    feature: Feature,
    fill: Fill = "average",
    *,
    same_language: bool = False,
    unit: Unit = "languages",
) -> Correlation:
    """How scores of pairs follow the similarity of their languages. Pairs without a figure or a score are left out, and those of one language by default.

    ``unit``: what the interval resamples. Pairs that share a language are not independent, so ``languages`` draws whole languages with all their pairs
    (1,000 times, middle 95 %; a language that is on one side of every pair stays; conservative, see docs/statistics.md); ``pairs`` takes them as independent: Fisher's z with the standard
    error of Bonett and Wright (2000), narrower than it should be unless every pair has a language of its own. ``p`` is the latter's, too.
    """
    wanted = [i for i, pair in enumerate(pairs) if (same_language or not pair.same) and np.isfinite(scores[i])]
    figures = {i: figure for i in wanted if (figure := similarity(*pairs[i], feature, fill)) is not None}
    x, y, n = np.array(list(figures.values())), np.array([scores[i] for i in figures], float), len(figures)
    if n < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(np.nan, n, np.nan, np.nan, np.nan)
    found = spearmanr(x, y)
    rho = float(found.statistic)
    low, high = _by_languages([pairs[i] for i in figures], x, y) if unit == "languages" else _fisher(rho, n)
    return Correlation(rho, n, low, high, float(found.pvalue))


def _fisher(rho: float, n: int) -> tuple[float, float]:
    half = float(ndtri(0.975)) * np.sqrt((1 + rho * rho / 2) / (n - 3))
    with np.errstate(divide="ignore"):
        return float(np.tanh(np.arctanh(rho) - half)), float(np.tanh(np.arctanh(rho) + half))


def _by_languages(pairs: Sequence[Pair], x: Floats, y: Floats) -> tuple[float, float]:
    """The middle 95 % of the correlation when languages are drawn again: a pair counts as often as its two languages were drawn, multiplied."""
    weights = _drawn(tuple(pairs))
    a, b = _weighted_ranks(x, weights), _weighted_ranks(y, weights)
    total = weights.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):  # a draw of one language has no pair
        a, b = (ranks - ((weights * ranks).sum(1) / total)[:, None] for ranks in (a, b))
        rho = _dot(weights, a, b) / np.sqrt(_dot(weights, a, a) * _dot(weights, b, b))
    low, high = np.quantile(rho[np.isfinite(rho)], [0.025, 0.975])
    return float(low), float(high)


@cache
def _drawn(pairs: tuple[Pair, ...]) -> Floats:
    """How often each pair counts in each resample, [resamples, pairs]."""
    languages = sorted({code for pair in pairs for code in pair})
    counts = np.random.default_rng(0).multinomial(len(languages), np.full(len(languages), 1 / len(languages)), RESAMPLES).astype(np.float64)
    number, weights = {code: i for i, code in enumerate(languages)}, np.ones((RESAMPLES, len(pairs)))
    for side in zip(*pairs, strict=True):
        if len(set(side)) > 1:
            weights *= counts[:, [number[code] for code in side]]
    return weights


def _weighted_ranks(x: Floats, weights: Floats) -> Floats:
    """The mean rank of each value when value i stands ``weights[r, i]`` times in sample r, [resamples, values]; ties share theirs."""
    order = np.argsort(x)
    below = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(weights[:, order], axis=1)], axis=1)
    first, last = (np.searchsorted(x[order], x, side) for side in ("left", "right"))
    return np.asarray((below[:, first] + below[:, last] + 1) / 2)


def _dot(weights: Floats, a: Floats, b: Floats) -> Floats:
    return np.asarray(np.einsum("rp,rp,rp->r", weights, a, b))


@cache
def _figures(column: str) -> dict[tuple[str, str], float]:
    """Both orders of each pair of languages."""
    with _FILE.open(encoding="utf-8", newline="") as lines:
        rows = [(row["a"], row["b"], float(row[column])) for row in csv.DictReader(lines) if row[column]]
    return {key: figure for a, b, figure in rows for key in ((a, b), (b, a))}
