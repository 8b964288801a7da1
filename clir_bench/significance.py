"""What a difference is worth: intervals, paired tests, tiers. Arrays in, arrays out; the same seed gives the same numbers every time.

A *selection* is the evaluated queries of some pairs. Its score is the macro mean: a query of pair p weighs 1 / (pairs * queries of p). The same question
is asked in several languages, so what is flipped and resampled is the *topic*, with all its queries in all pairs at once (``topic_sums``). Formulas
and their limits stand in docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, gammaln, ndtr, ndtri, stdtrit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]
Interval = tuple[Floats, Floats]

ZERO = 1e-9
"""Scores nearer than this are equal: they were summed in another order. A hundredth of what one query weighs in the largest selection there is."""
_NOISE = 1e-14  # of topic sums; the least difference of two ranks weighs 1e-10 in the largest selection
_EXACT = 13  # units from which all patterns of signs are fewer than the flips
_WIDE = 512  # units whose signs are drawn at once
_ROWS = 400  # of differences that are flipped at once: with the usual flips, some 50 MB
_DRAWN = 8_000_000  # numbers of a block of resamples: 32 MB; much smaller ones, and the product takes several times as long


class TopicSums(NamedTuple):
    """The scores of systems on a selection, split by topic.

    ``scores`` [systems]; ``sums`` [systems, topics], whose rows add up to the scores; ``centred`` alike, of the values less the mean of their pair, so that
    rows add up to 0 and topics may be drawn again without strata; ``unit``: what one query weighs on average. ``squares`` [systems]: of a single pair, the
    sum of the squares of its n = 1 / unit values, whose queries are independent; else None.
    """

    scores: Floats
    sums: Floats
    centred: Floats
    unit: float
    squares: Floats | None = None


def topic_sums(rows: Iterable[Floats], pair: Ints, topic: Ints) -> TopicSums:
    """The topic sums of a selection. ``rows``: the values of each system, [evaluated]; one at a time, so that not all need be in memory.

    ``pair`` and ``topic`` [evaluated] are numbers; those that do not occur are no part of the selection.
    """
    pairs, p = np.unique(pair, return_inverse=True)
    topics, t = np.unique(topic, return_inverse=True)
    n = np.bincount(p)
    weight = 1 / (len(pairs) * n[p])
    sums, means, squares = [], [], []
    for row in rows:
        sums.append(np.bincount(t, weight * row, len(topics)))
        means.append(np.bincount(p, row) / n)
        squares.append(row @ row)
    share = np.bincount(p * len(topics) + t, weight, len(pairs) * len(topics)).reshape(len(pairs), len(topics))
    total = np.array(sums, np.float64).reshape(-1, len(topics))
    centred = total - np.array(means).reshape(-1, len(pairs)) @ share
    return TopicSums(total.sum(1), total, centred, 1 / max(1, len(pair)), np.array(squares) if len(pairs) == 1 else None)


def join(parts: Sequence[TopicSums]) -> TopicSums:
    """Several data sets as one selection, each with an equal weight: the same systems in the same order, topics side by side."""
    k = len(parts)
    if k == 1:
        return parts[0]
    return TopicSums(
        np.mean([part.scores for part in parts], axis=0),
        np.concatenate([part.sums for part in parts], axis=1) / k,
        np.concatenate([part.centred for part in parts], axis=1) / k,
        1 / sum(1 / part.unit for part in parts),
    )


def wilson(hits: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Wilson's interval of a share of 0/1 values (Wilson 1927); all of [0, 1] for none."""
    x, m, z = np.asarray(hits, float), np.asarray(n, float), _two_sided(1 - level)
    centre, half = (x + z * z / 2) / (m + z * z), z / (m + z * z) * np.sqrt(x * (m - x) / np.where(m > 0, m, 1) + z * z / 4)
    return np.where(x <= 0, 0.0, np.maximum(centre - half, 0)), np.where(x >= m, 1.0, np.minimum(centre + half, 1))


def mean_interval(n: npt.ArrayLike, total: npt.ArrayLike, squares: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Interval of a mean of independent values in [0, 1] from count, sum and sum of squares: Wilson's if all are 0 or 1, else the normal one.

    NaN where ``squares`` is NaN (a claimed mean); all of [0, 1] for a single value between them.
    """
    m, s, ss = (np.asarray(x, float) for x in (n, total, squares))
    mean = s / m
    variance = np.where(m > 1, np.maximum(ss - s * mean, 0) / np.maximum(m - 1, 1), np.inf)
    half = _two_sided(1 - level) * np.sqrt(variance / m)
    binary = np.abs(s - ss) <= 1e-9 * m
    low, high = wilson(np.clip(np.round(s), 0, m), m, level)
    return np.where(binary, low, np.clip(mean - half, 0, 1)), np.where(binary, high, np.clip(mean + half, 0, 1))


def score_intervals(found: TopicSums, resampled: Floats, level: float = 0.95) -> Interval:
    """Interval of each score [systems], from ``resampled_scores``; of a single pair from its own queries (``mean_interval``).

    Where all topics score alike resampling has nothing to vary: Wilson's interval of so many topics stands for it.
    """
    if found.squares is not None:
        n = round(1 / found.unit)
        return mean_interval(n, found.scores * n, found.squares, level)
    low, high = (np.clip(bound, 0, 1) for bound in percentile_interval(resampled, level))
    flat, topics = high - low < ZERO, found.sums.shape[1]
    alike = wilson(found.scores * topics, topics, level)
    return np.where(flat, alike[0], low), np.where(flat, alike[1], high)


def difference_interval(resampled: Floats, difference: npt.ArrayLike, topics: int, level: float = 0.95) -> Interval:
    """Interval of differences [...] from their resamples [resamples, ...].

    Where all topics differ alike resampling has nothing to vary: then at most a share u of topics is another (Wilson's bound for 0 of so many), and in
    those the difference may be anything from -1 to 1.
    """
    low, high = percentile_interval(resampled, level)
    d, u = np.asarray(difference, float), wilson(0, topics, level)[1]
    flat = high - low < ZERO
    return np.where(flat, d - u * (1 + d), low), np.where(flat, d + u * (1 - d), high)


def topic_se(centred: Floats) -> Floats:
    """Standard error of each score from its centred topic sums [..., topics]; of a difference, from the difference of two rows. inf for one topic."""
    topics = centred.shape[-1]
    if topics < 2:
        return np.full(centred.shape[:-1], np.inf)
    return np.asarray(np.sqrt((centred * centred).sum(-1) * topics / (topics - 1)))


def resampled_scores(scores: Floats, centred: Floats, resamples: int = 2000, seed: int = 0) -> Floats:
    """[resamples, systems]: the scores had other topics been drawn; each row draws the same topics for every system, so differences are paired."""
    topics = centred.shape[1]
    small = np.ascontiguousarray(centred.T, np.float32)
    found = np.empty((resamples, len(scores)))
    drawn, step = _drawn(topics, resamples, seed), max(1, _DRAWN // topics)
    for start in range(0, resamples, step):
        found[start : start + step] = scores + drawn[start : start + step].astype(np.float32) @ small
    return found


@lru_cache(maxsize=4)
def _drawn(topics: int, resamples: int, seed: int) -> npt.NDArray[np.uint8]:
    """How often each resample draws each topic [resamples, topics]; the same for every selection of so many topics, and dear to make."""
    rng, counts = np.random.default_rng(seed), np.empty((resamples, topics), np.uint8)
    for row in counts:
        row[:] = np.bincount(rng.integers(0, topics, topics), minlength=topics)
    return counts


def percentile_interval(resampled: Floats, level: float = 0.95) -> Interval:
    """The middle ``level`` of each column of [resamples, ...]."""
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def mcnemar(only_a: npt.ArrayLike, only_b: npt.ArrayLike) -> Floats:
    """McNemar's exact two-sided test from the queries only A, or only B, solves (McNemar 1947); 1 where there are none."""
    a, b = np.asarray(only_a), np.asarray(only_b)
    return np.asarray(np.minimum(1.0, 2 * bdtr(np.minimum(a, b), a + b, 0.5)))


def sign_flip(differences: Floats, flips: int = 10_000, seed: int = 0) -> Floats:
    """Two-sided randomisation test of paired differences [..., queries or topics]: p = (1 + flips at least as large) / (1 + flips) (Phipps and Smyth 2010).

    Under the null the two systems could be exchanged in every query, or, for topic sums, in all queries of a topic at once. A row with at most 13
    differences other than 0 is tested exactly, by all patterns of signs. The others share the signs, and none depends on which others there are.
    """
    rows = np.asarray(differences, float)
    flat = rows.reshape(math.prod(rows.shape[:-1]), rows.shape[-1])
    flat = np.where(np.abs(flat) > _NOISE, flat, 0)
    few = (flat != 0).sum(1) <= _EXACT
    p = np.empty(len(flat))
    p[few] = _exact_flips(np.take_along_axis(flat[few], np.argsort(flat[few] == 0, axis=1, kind="stable"), 1)[:, :_EXACT])
    many = np.flatnonzero(~few)
    for start in range(0, len(many), _ROWS):
        p[many[start : start + _ROWS]] = _drawn_flips(flat[many[start : start + _ROWS]], flips, seed)
    return p.reshape(rows.shape[:-1])


def _exact_flips(rows: Floats) -> Floats:
    """Over all 2^units patterns of signs of rows [rows, units]."""
    units = rows.shape[1]
    signs = 1.0 - 2 * (np.arange(2**units)[:, None] >> np.arange(units) & 1)
    return np.asarray(_as_large(signs @ rows.T, rows).mean(0))


def _drawn_flips(rows: Floats, flips: int, seed: int) -> Floats:
    rng, sums = np.random.default_rng(seed), np.zeros((flips, len(rows)))
    for start in range(0, rows.shape[1], _WIDE):
        part = rows[:, start : start + _WIDE]
        bits = np.unpackbits(rng.integers(0, 256, (flips, _WIDE // 8), np.uint8), axis=1, count=part.shape[1])
        sums += 2 * (bits.astype(np.float64) @ part.T) - part.sum(1)
    return np.asarray((1 + _as_large(sums, rows).sum(0)) / (1 + flips))


def _as_large(sums: Floats, rows: Floats) -> Bools:
    """Which sums of flipped rows [flips, rows] are at least as far from 0 as those of the rows as they are."""
    return np.asarray(np.abs(sums) >= np.abs(rows.sum(1)) - 1e-12 * np.abs(rows).sum(1))


def sign_flip_by_pair(differences: Floats, pair: Ints, pairs: int, flips: int = 10_000, seed: int = 0) -> Floats:
    """``sign_flip`` of each pair: differences [evaluated] and the number of each one's pair; p [pairs]."""
    kept = differences != 0
    order = np.argsort(pair[kept], kind="stable")
    of, n = pair[kept][order], np.bincount(pair[kept], minlength=pairs)
    rows = np.zeros((pairs, n.max(initial=0)))
    rows[of, np.arange(len(of)) - (np.cumsum(n) - n)[of]] = differences[kept][order]
    return sign_flip(rows, flips, seed)


class PairTests(NamedTuple):
    """The first of two systems against the second in each pair of languages, [pairs].

    ``difference``: of their means, NaN in a pair without queries, as ``p``. ``only_first``: queries that the first alone solves, or solves better.
    ``significant``: after Benjamini and Hochberg over all pairs with queries. ``exact``: all values are 0 or 1, and p is McNemar's, else that of sign flips.
    """

    difference: Floats
    only_first: Ints
    only_second: Ints
    p: Floats
    significant: Bools
    exact: bool

    @property
    def test(self) -> str:
        """The test's name."""
        return "exact McNemar test" if self.exact else "sign-flip test"


def paired_tests(x: Floats, y: Floats, pair: Ints, pairs: int, level: float = 0.05) -> PairTests:
    """The first system against the second: their values [evaluated] and the number of each one's pair."""
    n = np.bincount(pair, minlength=pairs)
    only_first, only_second = (np.bincount(pair, better, pairs).astype(np.int64) for better in (x > y + _NOISE, y > x + _NOISE))
    exact = bool(np.isin(x, (0, 1)).all() and np.isin(y, (0, 1)).all())
    p = np.where(n > 0, mcnemar(only_first, only_second) if exact else sign_flip_by_pair(x - y, pair, pairs), np.nan)
    difference = np.divide(np.bincount(pair, x - y, pairs), n, out=np.full(pairs, np.nan), where=n > 0)
    significant = np.zeros(pairs, bool)
    significant[n > 0] = benjamini_hochberg(p[n > 0], level)
    return PairTests(np.where(np.abs(difference) <= ZERO, 0, difference), only_first, only_second, p, significant, exact)


def pairwise_z(sums: Floats, unit: float) -> Floats:
    """[systems, systems]: |difference| over its standard error under topic sign flips, never below 0; from topic sums and what one query weighs.

    The closed form of ``sign_flip`` on topic sums, for all pairs of systems from one product: a family of hundreds of systems needs p far below the
    1/10,001 that flips can show. ``unit`` is the continuity correction, as in McNemar's test.
    """
    gram, scores = sums @ sums.T, sums.sum(1)
    square = np.diag(gram)
    variance = square[:, None] + square - 2 * gram
    apart = np.abs(scores[:, None] - scores) - unit
    return np.where(apart > 0, apart / np.sqrt(np.maximum(variance, np.finfo(float).tiny)), 0.0)


def pairwise_p(sums: Floats, unit: float) -> Floats:
    """The two-sided p of ``pairwise_z`` [systems, systems]; 1 on the diagonal. Never below what flipping every sign of so few topics could give."""
    return np.asarray(np.maximum(2 * ndtr(-pairwise_z(sums, unit)), 2.0 ** (1 - sums.shape[1])))


def holm(p: npt.ArrayLike) -> Floats:
    """Holm's adjusted p [tests] (Holm 1979): rejecting where it is at most 5 % errs anywhere with at most 5 %."""
    raw = np.asarray(p, float)
    order = np.argsort(raw, kind="stable")
    adjusted = np.empty(len(raw))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1)))
    return adjusted


def benjamini_hochberg(p: npt.ArrayLike, level: float = 0.05) -> Bools:
    """Which tests [tests] to call significant so that at most ``level`` of those called are false, on average (Benjamini and Hochberg 1995)."""
    raw = np.asarray(p, float)
    order = np.argsort(raw, kind="stable")
    below = np.flatnonzero(raw[order] <= level * np.arange(1, len(raw) + 1) / len(raw))
    found = np.zeros(len(raw), bool)
    found[order[: below[-1] + 1 if below.size else 0]] = True
    return found


def separable(p: Floats, level: float = 0.05) -> Bools:
    """[systems, systems]: which two systems differ, given ``pairwise_p``: Holm over all pairs of systems, since the leaders are chosen by the same scores."""
    found = np.zeros(p.shape, bool)
    upper = np.triu_indices(len(p), 1)
    found[upper] = holm(p[upper]) <= level
    return found | found.T


def tiers(scores: Floats, apart: Bools) -> npt.NDArray[np.int64]:
    """The tier of each system [systems], 1 first. The best system without a tier leads one; all without a tier that are not ``separable`` from it join.

    The leader is a fixed anchor, so ties do not chain, and it is the best of its tier; of several with the best score, who is not apart from one joins. A
    system can stand in an earlier tier than one of a better score: its difference to the leader is larger, but less certain.
    """
    tier = np.zeros(len(scores), np.int64)
    while (left := tier == 0).any():
        leads = left & (scores >= scores[left].max() - ZERO)
        tier[left & (~apart[leads]).any(0)] = tier.max() + 1
    return tier


def rank_intervals(scores: Floats, apart: Bools) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The best and the worst rank [systems] that each system may have: 1 and those surely better, all but those surely worse.

    With ``apart`` from ``separable``, all of them hold the true ranks at once with its level (Mogstad, Romano, Shaikh and Wilhelm 2024). Ranks of resamples
    do not: where systems are near each other, each of them ranks by its luck.
    """
    better = apart & (scores[:, None] < scores)
    return 1 + better.sum(1), len(scores) - (apart & ~better).sum(1)


def newcombe(a: npt.ArrayLike, b: npt.ArrayLike, of_a: Interval, of_b: Interval, correlation: npt.ArrayLike = 0.0) -> Interval:
    """Interval of a - b from the intervals of two means, independent or with this correlation of their values (Newcombe 1998; Zou and Donner 2008)."""
    x, y, rho = (np.asarray(value, float) for value in (a, b, correlation))
    (low_a, high_a), (low_b, high_b) = of_a, of_b

    def reach(one: Floats, other: Floats) -> Floats:
        return np.asarray(np.sqrt(np.maximum(one * one - 2 * rho * one * other + other * other, 0)))

    return x - y - reach(x - low_a, high_b - y), x - y + reach(high_a - x, y - low_b)


def exchange_p(n: Interval, total: Interval, squares: Interval) -> Floats:
    """Two-sided p of the difference of two means of other queries each, values exchanged between the two: from both counts, sums and sums of squares.

    The closed form: the difference has the mean 0 and the variance S2 (1 / n + 1 / m) of all values together (of 0/1 values: the N - 1 chi-squared test,
    Campbell 2007). Never below what so few queries could give, 2 / C(n + m, n), nor above 1.
    """
    (n_a, n_b), (sum_a, sum_b) = ([np.asarray(x, float) for x in both] for both in (n, total))
    every = n_a + n_b
    variance = np.maximum(squares[0] + squares[1] - (sum_a + sum_b) ** 2 / every, 0) / np.maximum(every - 1, 1) * (1 / n_a + 1 / n_b)
    z = np.abs(sum_a / n_a - sum_b / n_b) / np.sqrt(np.maximum(variance, np.finfo(float).tiny))
    least = 2 * np.exp(gammaln(n_a + 1) + gammaln(n_b + 1) - gammaln(every + 1))
    return np.asarray(np.minimum(np.maximum(2 * ndtr(-z), least), 1.0))


def left_out(means: Floats, query: Ints, document: Ints, languages: int) -> Floats:
    """How far the mean of each row of ``means`` [..., pairs] moves when a language is left out with all its pairs, [..., languages].

    ``query`` and ``document`` [pairs] number the languages; NaN for one that is in every pair, 0 for one that is in none.
    """
    code = np.arange(languages)
    kept = (query[:, None] != code) & (document[:, None] != code)
    with np.errstate(invalid="ignore"):
        return np.asarray(means @ (kept / kept.sum(0) - 1 / len(kept)))


def language_interval(difference: Floats, error: Floats, moved: Floats, topics: int, fewest: int, level: float = 0.95) -> Interval:
    """Interval of differences [...] had other topics *and* other languages been drawn, within [-1, 1].

    ``error`` [...]: ``topic_se``. ``moved`` [..., languages]: the difference of ``left_out``, from which the jackknife takes the variance between languages, on
    both sides of a pair at once. ``fewest``: the query languages or the document languages, whichever are fewer: with few, t is much wider than the normal
    (Satterthwaite's degrees of freedom). What languages vary by chance is counted twice, so it is wide rather than narrow.
    """
    languages = moved.shape[-1]
    own, other = np.minimum(error, 1.0) ** 2, (moved * moved).sum(-1) * (languages - 1) / languages
    variance = np.maximum(own + other, np.finfo(float).tiny)
    freedom = 1 / np.maximum((own / variance) ** 2 / max(topics - 1, 1) + (other / variance) ** 2 / (fewest - 1), np.finfo(float).tiny)
    half = stdtrit(freedom, (1 + level) / 2) * np.sqrt(own + other)
    return np.maximum(difference - half, -1.0), np.minimum(difference + half, 1.0)


def paired_se(disagreement: npt.ArrayLike, n: npt.ArrayLike) -> Floats:
    """Standard error of a difference of 0/1 means on the same n queries when this share of them is solved by one system only."""
    return np.asarray(np.sqrt(np.asarray(disagreement, float) / np.asarray(n, float)))


def detectable_difference(se: npt.ArrayLike, level: float = 0.05, power: float = 0.8, comparisons: int = 1) -> Floats:
    """The smallest true difference that is found with this power, given its standard error; corrected for so many comparisons (Bonferroni)."""
    return np.asarray((_two_sided(level / comparisons) + ndtri(power)) * np.asarray(se, float))


def more_queries(difference: npt.ArrayLike, se: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.05, power: float = 0.8, comparisons: int = 1) -> Floats:
    """How many more queries (or topics, if ``n`` counts those) would find a difference of this size with this power; inf where there is none.

    To be asked of two systems that a test does not separate, so at least 1, and as many as any p at this level needs: of t units, p is never below
    2^(1 - t). NaN where a single unit has no standard error.
    """
    d, m = np.abs(np.asarray(difference, float)), np.asarray(n, float)
    least = detectable_difference(se, level, power, comparisons)
    ratio = np.divide(least, d, out=np.full(np.broadcast(d, least).shape, np.inf), where=d > ZERO)
    ratio = np.where(np.isinf(least) & (d > ZERO), np.nan, ratio)
    return np.asarray(np.ceil(np.maximum(m * (ratio**2 - 1), np.maximum(1, 1 - np.log2(level / comparisons) - m))))


def sign(difference: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """1, 0 or -1, where ``ZERO`` is nothing."""
    d = np.asarray(difference, float)
    return np.asarray((d > ZERO).astype(np.int64) - (d < -ZERO))


def _two_sided(level: float) -> float:
    return float(ndtri(1 - level / 2))
