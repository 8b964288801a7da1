"""Two submissions on the same queries: paired differences, what each is worth, and what they are worth together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clir_bench import languages
from clir_bench import significance as sig
from clir_bench.collection import Pair
from clir_bench.errors import SubmissionError
from clir_bench.layout import Layout, fits
from clir_bench.measures import parse_measure, values
from clir_bench.submission import Submission, read_submission

LEVEL = 0.95
"""Of every interval; a test is significant below 1 - LEVEL, and a difference detectable that is found with a power of 80 %."""
FLIPS = 10_000
LANGUAGES = 3
"""Query languages, and document languages, that an interval for other languages needs."""


class Interval(NamedTuple):
    """From low to high."""

    low: float
    high: float


class PairDifference(NamedTuple):
    """A against B in one pair; the difference is A less B: positive where A is better.

    ``p``: the exact McNemar test's where all values are 0 or 1 (two-sided, binomial on the queries that disagree), else that of 10,000 sign flips.
    ``significant``: after Benjamini and Hochberg over the pairs compared. ``detectable``: the smallest true difference found with 80 % power at this
    rate of disagreement, uncorrected; None where no query disagrees.
    """

    pair: Pair
    n: int
    a: float
    b: float
    a_interval: Interval
    b_interval: Interval
    difference: float
    only_a: int
    only_b: int
    p: float
    significant: bool
    detectable: float | None


class Overall(NamedTuple):
    """The difference of the macro means, A less B, with topics flipped and resampled whole.

    ``more_topics``: how many more would find this difference with 80 % power, ``more_queries`` the evaluated queries those have; 0 where it is found
    already, None where there is no difference to find, or only one topic, which has no spread. So has ``detectable``. ``other_languages``: the interval had
    other languages been drawn, too; None with ``why_not`` in words.
    """

    topics: int
    a_interval: Interval
    b_interval: Interval
    interval: Interval
    p: float
    detectable: float | None
    more_topics: int | None
    more_queries: int | None
    other_languages: Interval | None = None
    why_not: str | None = None


class Comparison(NamedTuple):
    """All pairs both have; means are macro means over those, ``wins`` the pairs in which A is better. Without a layout nothing says which queries are one question, and ``overall`` is None."""

    measure: str
    exact_test: bool
    rows: tuple[PairDifference, ...]
    queries: int
    mean_a: float
    mean_b: float
    wins: int
    ties: int
    losses: int
    significant_wins: int
    significant_losses: int
    overall: Overall | None


def compare(a: Submission, b: Submission, measure: str = "R@10", layout: Layout | None = None) -> Comparison:
    """Paired comparison on the pairs both have. Raises SubmissionError unless both saw the same collection, carry gold ranks and fit the layout."""
    kind = parse_measure(measure)
    mine, theirs = ((t.name, t.version, t.fingerprint) for t in (a.task, b.task))
    if (a.task.track == "oracle") != (b.task.track == "oracle"):
        raise SubmissionError(f"A is of track {a.task.track}, B of {b.task.track}: the oracle track is compared with itself only")
    if mine != theirs or a.task.fingerprint is None:
        raise SubmissionError(f"A is of task {mine}, B of {theirs}: only the same collection (by its fingerprint) can be compared")
    if kind.k > a.task.depth or (a.task.track == "oracle" and kind.kind in ("R", "Success") and kind.k >= a.task.depth):
        raise SubmissionError(f"{measure} cannot be compared at depth {a.task.depth} on track {a.task.track}: the submissions say nothing of it")
    ranks_a, ranks_b = a.ranks(), b.ranks()
    common = sorted(set(ranks_a.pairs) & set(ranks_b.pairs))
    if not common:
        raise SubmissionError("A and B have no pair in common")
    (rows_a, pair), (rows_b, pair_b) = (_among(common, ranks.pairs, ranks.pair) for ranks in (ranks_a, ranks_b))
    x, y = values(kind, ranks_a)[rows_a], values(kind, ranks_b)[rows_b]
    n, n_b = np.bincount(pair), np.bincount(pair_b)
    if problems := [f"{p}: A has {i} evaluated queries, B {j}" for p, i, j in zip(common, n, n_b, strict=True) if i != j]:
        raise SubmissionError.of("the fingerprints are equal, but the queries are not", problems)
    tests = sig.paired_tests(x, y, pair, len(common), 1 - LEVEL)
    rows = _rows(common, n, pair, x, y, tests)
    signs = np.sign(tests.difference)
    found = signs[tests.significant]
    overall = None
    if layout is not None:
        if problems := fits(layout, zip(common, n.tolist(), strict=True)):
            raise SubmissionError.of(f"the layout of {layout.task} v{layout.version} does not fit the submissions", problems)
        topic = layout.topic[_among(common, layout.pairs, layout.pair)[0]]
        elsewhere, why_not = _other_languages(common, x - y, pair, topic)
        overall = _overall(x, y, pair, topic)._replace(other_languages=elsewhere, why_not=why_not)
    return Comparison(
        measure, tests.exact, rows, len(x), float(np.mean([r.a for r in rows])), float(np.mean([r.b for r in rows])),
        int((signs > 0).sum()), int((signs == 0).sum()), int((signs < 0).sum()), int((found > 0).sum()), int((found < 0).sum()), overall,
    )  # fmt: skip


def read_both(a: str, b: str) -> tuple[Submission, Submission]:
    """The submissions in two files. Raises SubmissionError with what is wrong with each of them."""
    found, problems = list[Submission](), list[str]()
    for path in (a, b):
        try:
            found.append(read_submission(path))
        except SubmissionError as error:
            problems.append(str(error))
    if problems:
        raise SubmissionError("\n".join(problems))
    first, second = found
    return first, second


def as_record(result: Comparison) -> dict[str, object]:
    """The comparison as JSON holds it: a pair is ``en-zh``, an interval ``[low, high]``."""
    rows = [{**row._asdict(), "pair": str(row.pair)} for row in result.rows]
    return {**result._asdict(), "rows": rows, "overall": result.overall._asdict() if result.overall else None}


def _rows(common: Sequence[Pair], n: sig.Ints, pair: sig.Ints, x: sig.Floats, y: sig.Floats, tests: sig.PairTests) -> tuple[PairDifference, ...]:
    count = len(common)
    detectable = sig.detectable_difference(sig.paired_se(np.bincount(pair, (x - y) ** 2, count) / n, n), 1 - LEVEL)
    (a, low_a, high_a), (b, low_b, high_b) = (_means(pair, value, n) for value in (x, y))
    return tuple(
        PairDifference(
            common[i], int(n[i]), float(a[i]), float(b[i]), Interval(float(low_a[i]), float(high_a[i])), Interval(float(low_b[i]), float(high_b[i])),
            float(tests.difference[i]), int(tests.only_first[i]), int(tests.only_second[i]), float(tests.p[i]), bool(tests.significant[i]), float(detectable[i]) or None,
        )
        for i in range(count)
    )  # fmt: skip


def _means(pair: sig.Ints, value: sig.Floats, n: sig.Ints) -> tuple[sig.Floats, sig.Floats, sig.Floats]:
    """The mean of each pair and its interval."""
    total, squares = np.bincount(pair, value, len(n)), np.bincount(pair, value * value, len(n))
    return total / n, *sig.mean_interval(n, total, squares, LEVEL)


def _overall(x: sig.Floats, y: sig.Floats, pair: sig.Ints, topic: sig.Ints) -> Overall:
    by_topic = sig.topic_sums([x, y], pair, topic)
    topics = by_topic.sums.shape[1]
    difference = by_topic.sums[0] - by_topic.sums[1]
    resampled = sig.resampled_scores(by_topic.scores, by_topic.centred)
    of_a, of_b = (Interval(float(i), float(j)) for i, j in zip(*sig.score_intervals(by_topic, resampled, LEVEL), strict=True))
    low, high = sig.difference_interval(resampled[:, 0] - resampled[:, 1], difference.sum(), topics, LEVEL)
    error = sig.topic_se(by_topic.centred[0] - by_topic.centred[1])
    p = float(sig.sign_flip(difference, FLIPS))
    more = 0.0 if p <= 1 - LEVEL else float(sig.more_queries(difference.sum(), error, topics, 1 - LEVEL))
    needed = int(more) if math.isfinite(more) else None
    detectable = float(sig.detectable_difference(error, 1 - LEVEL))
    return Overall(
        topics, of_a, of_b, Interval(float(low), float(high)), p, detectable if 0 < detectable < math.inf else None,
        needed, None if needed is None else math.ceil(needed * len(x) / topics),
    )  # fmt: skip


def too_few_languages(pairs: Sequence[Pair]) -> str:
    """Why nothing can be said of other languages than those of the pairs; "" where something can."""
    asked, held = ({getattr(pair, side) for pair in pairs} for side in Pair._fields)
    if min(len(asked), len(held)) < LANGUAGES:
        counts = (f"{len(codes)} {side} language{'s' * (len(codes) > 1)}" for side, codes in zip(Pair._fields, (asked, held), strict=True))
        return f"there are {' and '.join(counts)}, and {LANGUAGES} of each are needed"
    everywhere = set.intersection(*(set(pair) for pair in pairs))
    return f"{languages.name(min(everywhere))} is in every pair" if everywhere else ""


def moved_by_languages(pairs: Sequence[Pair], means: sig.Floats, codes: Sequence[str]) -> sig.Floats:
    """``significance.left_out`` of the means [systems, pairs] for each of these languages, [systems, languages]."""
    query, document = (np.array([codes.index(code) for code in side]) for side in zip(*pairs, strict=True))
    return sig.left_out(means, query, document, len(codes))


def _other_languages(pairs: Sequence[Pair], difference: sig.Floats, pair: sig.Ints, topic: sig.Ints) -> tuple[Interval | None, str | None]:
    """The interval, or why there is none."""
    if why := too_few_languages(pairs):
        return None, why
    by_topic, codes = sig.topic_sums([difference], pair, topic), sorted({code for each in pairs for code in each})
    moved = moved_by_languages(pairs, (np.bincount(pair, difference) / np.bincount(pair))[None], codes)
    fewest = min(len(set(side)) for side in zip(*pairs, strict=True))
    low, high = sig.language_interval(by_topic.scores, sig.topic_se(by_topic.centred), moved, by_topic.sums.shape[1], fewest, LEVEL)
    return Interval(float(low[0]), float(high[0])), None


def _among(common: Sequence[Pair], pairs: Sequence[Pair], pair: sig.Ints) -> tuple[sig.Ints, sig.Ints]:
    """The evaluated queries of the pairs in ``common``, and the number of each one's pair there."""
    number = np.array([common.index(p) if p in common else -1 for p in pairs])[pair]
    rows = np.flatnonzero(number >= 0)
    return rows, number[rows]
