"""How far a submission can be trusted: decided here and nowhere else.

A claim is tested for what is possible: a mean of n integers is a k/n (GRIM), recall grows with k, and where each query has one relevant document the
recalls leave the other measures little room. Gold ranks allow more: every number is computed again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from clir_bench.measures import Measure, parse_measure
from clir_bench.records import PairRecord, StatRecord
from clir_bench.submission import Submission, disagreements
from clir_bench.task import Task, known_task

if TYPE_CHECKING:
    from clir_bench.events import Event

Trust = Literal["claimed", "consistent", "recomputed", "reproduced"]
FLAGS = {"copied": "flagged as a copy", "flagged": "flagged"}
"""The events that put a flag on a submission, gravest first, in words."""
_NAMED = 3  # problems told in full: a table's cell must hold them
_EXACT = 1e-9
_MOST_DECIMALS = 8


class Assessment(NamedTuple):
    """A level and why it is that and no other, in words."""

    trust: Trust
    reasons: tuple[str, ...]


class State(NamedTuple):
    """What a file supports and what the log adds: its level and why.

    ``flags`` are the notes of those in force, gravest first; ``copied``: one of them says that it is a copy. ``withdrawn`` says why, None where it was not.
    """

    trust: Trust
    reasons: tuple[str, ...]
    flags: tuple[str, ...]
    copied: bool
    withdrawn: str | None


def assess(submission: Submission) -> Assessment:
    """What the file alone supports: claimed, consistent or recomputed."""
    if submission.gold_ranks:
        if wrong := [*disagreements(submission), *_impossible_profiles(submission)]:
            return Assessment("claimed", _shortened(wrong))
        follows = f"every measure follows exactly from the gold ranks of {sum(_n(record) for record in submission.pairs):,} evaluated queries"
        return Assessment("recomputed", (follows, *_stated(submission)))
    task = _task(submission.task.name, submission.task.version)
    unknown = [*_collection_problems(submission, task)]
    tests = _Tests()
    single = task is not None and _one_each(submission, task)
    for record in submission.pairs:
        tests.test_part(record, "measures", single)
        tests.test_part(record, "own_language", single)
    if wrong := [*tests.problems, *_impossible_profiles(submission)]:
        return Assessment("claimed", _shortened(wrong))
    told = ("it carries no gold ranks, so nothing can be recomputed", *unknown, *tests.untested)
    if unknown or not tests.done:
        return Assessment("claimed", told)
    return Assessment("consistent", (f"{tests.done:,} numbers were tested and all are possible", *told))


def _stated(submission: Submission) -> Iterator[str]:
    """What gold ranks say nothing of."""
    if said := [what for what, there in (("language profiles", submission.bias), ("timings", submission.timings)) if there]:
        yield f"{' and '.join(said)} are stated, not recomputed" + (": of profiles only impossible ones are found" if submission.bias else "")


def state_of(sha256: str, assessment: Assessment, events: Iterable[Event]) -> State:
    """The state of the file with that hash, which by itself supports the assessment, after these events, oldest first.

    A flag is in force until the file is cleared, whatever else happens; reproduced is what an audit found so and no flag puts in doubt.
    """
    mine = [event for event in events if event.sha256 == sha256]
    cleared = max((i for i, event in enumerate(mine) if event.event == "cleared"), default=-1)
    flags = [event for kind in FLAGS for event in mine[cleared + 1 :] if event.event == kind]
    audited = assessment.trust == "recomputed" and not flags and any(event.event == "reproduced" for event in mine)
    told = (_told(event) for event in mine if event.event in ("reproduced", "cleared", *FLAGS))
    return State(
        "reproduced" if audited else assessment.trust,
        (*assessment.reasons, *told),
        tuple(dict.fromkeys(event.note or f"by {event.by}, who gave no reason" for event in flags)),
        any(event.event == "copied" for event in flags),
        next((event.note or f"by {event.by}" for event in mine if event.event == "withdrawn"), None),
    )


def _told(event: Event) -> str:
    return f"{FLAGS.get(event.event, event.event)} on {event.date[:10]} by {event.by}" + (f": {event.note}" if event.note else "")


def grim(mean: npt.ArrayLike, n: npt.ArrayLike, decimals: int | None) -> npt.NDArray[np.bool_]:
    """Whether each mean (a fraction) can be that of n integers: some k/n rounds to it, |k/n - mean| <= 10**-decimals / 2 (Brown & Heathers 2017).

    ``decimals`` are those of the fraction: a percentage with one has three. None is a mean that was not rounded.
    """
    m, count = np.asarray(mean, float), np.asarray(n, float)
    half = _EXACT if decimals is None else 0.5 * 10.0**-decimals + 1e-12
    return np.asarray(np.abs(np.rint(m * count) / count - m) <= half)


def grim_decides(n: npt.ArrayLike, decimals: int | None) -> npt.NDArray[np.bool_]:
    """Whether GRIM can refuse any mean at all: from n = 10**decimals on, every rounded value is some k/n."""
    return np.asarray(np.asarray(n, float) < (math.inf if decimals is None else 10.0**decimals))


class _Tests:
    """Tests of claimed numbers, what they found, and how many numbers were tested."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.done = 0
        self._untested: dict[str, int] = {}

    @property
    def untested(self) -> Iterator[str]:
        """How many recalls GRIM cannot decide, and why."""
        return (f"{count:,} numbers are not testable as k/n: {why}" for why, count in self._untested.items())

    def test_part(self, record: PairRecord, part: Literal["measures", "own_language"], single: bool) -> None:
        stats = {parse_measure(name): stat for name, stat in getattr(record, part).items()}
        prefix = "own-language " if part == "own_language" else ""
        decimals = {measure: _decimals(stat) for measure, stat in stats.items()}
        slack = max((_EXACT if d is None else 10.0**-d for d in decimals.values()), default=_EXACT)
        for measure, stat in stats.items():
            self._test_hits(f"{prefix}{measure} of {record.pair}", measure, stat, decimals[measure], single)
        means = {m: s.mean * (m.k if m.kind == "P" else 1) for m, s in stats.items()}
        if self._test_order(f"of {record.pair}", prefix, means, slack, single) and single:
            self._test_bounds(f"of {record.pair}", prefix, stats, slack)

    def _test_hits(self, label: str, measure: Measure, stat: StatRecord, decimals: int | None, single: bool) -> None:
        """GRIM, for the measures that count relevant documents."""
        if measure.kind not in ("R", "Success", "P"):
            return None
        zero_one = stat.sum_squares is not None and abs(stat.sum_squares - stat.sum) <= _EXACT * stat.n
        if measure.kind == "R" and not (single or zero_one):
            return self._not_testable("how many relevant documents each query has is not known")
        of = stat.n * measure.k if measure.kind == "P" else stat.n
        if not grim_decides(of, decimals):
            return self._not_testable("with so few decimals every value is possible")
        self.done += 1
        if not grim(stat.mean, of, decimals):
            self.problems.append(f"{label} is {_percent(stat.mean, decimals)}, but no number of {stat.n:,} queries gives that")
        return None

    def _test_order(self, of: str, prefix: str, means: Mapping[Measure, float], slack: float, single: bool) -> bool:
        """Whether a deeper look finds no less, and what is found of all is not more than whether any is."""
        rising = ("R", "Success", "RR", "AP", "P", *(("nDCG",) if single else ()))
        ordered = sorted(means, key=lambda m: (m.kind, m.k))
        steps = [(a, b) for a, b in pairwise(ordered) if a.kind == b.kind and a.kind in rising]
        steps += [(m, Measure("Success", m.k)) for m in means if m.kind in ("R", "RR", "nDCG", "AP") and Measure("Success", m.k) in means]
        self.done += len(steps)
        wrong = [f"{prefix}{low} {of} is above {prefix}{high}, which is impossible" for low, high in steps if means[low] > means[high] + slack]
        self.problems += wrong
        return not wrong

    def _test_bounds(self, of: str, prefix: str, stats: Mapping[Measure, StatRecord], slack: float) -> None:
        """With one relevant document a query, what the recalls say of its rank bounds every other measure and its squares."""
        recalls = {m.k: s.mean for kind in ("Success", "R") for m, s in stats.items() if m.kind == kind}
        for measure, stat in stats.items():
            value = _VALUES.get(measure.kind)
            if value is None or not recalls:
                continue
            low, high = _between(recalls, measure.k, value, 1)
            self.done += 1
            if not low - slack <= stat.mean <= high + slack:
                self.problems.append(
                    f"{prefix}{measure} {of} is {_percent(stat.mean)}, but the recalls allow only {_percent(low)} to {_percent(high)} for one relevant"
                    " document a query"
                )
            elif stat.sum_squares is not None:
                low, high = _between(recalls, measure.k, value, 2)
                if not low - slack <= stat.sum_squares / stat.n <= high + slack:
                    self.problems.append(f"sum_squares of {prefix}{measure} {of} is {stat.sum_squares}, which is impossible with these recalls")

    def _not_testable(self, why: str) -> None:
        self._untested[why] = self._untested.get(why, 0) + 1


_VALUES: dict[str, Callable[[int], float]] = {"RR": lambda rank: 1 / rank, "AP": lambda rank: 1 / rank, "nDCG": lambda rank: 1 / math.log2(rank + 1)}


def _between(recalls: Mapping[int, float], k: int, value: Callable[[int], float], power: int) -> tuple[float, float]:
    """Least and greatest mean of ``value(rank) ** power`` up to rank k: all of a band between two depths stand at its end, or at its start."""
    low = high = before = 0.0
    start = 0
    for depth in sorted(d for d in recalls if d <= k):
        share, before = recalls[depth] - before, recalls[depth]
        low, high, start = low + share * value(depth) ** power, high + share * value(start + 1) ** power, depth
    if start < k:
        high += (min((recalls[d] for d in recalls if d > k), default=1.0) - before) * value(start + 1) ** power
    return low, high


def _collection_problems(submission: Submission, task: Task | None) -> Iterator[str]:
    """Why nothing ties the numbers to the collection, if nothing does."""
    record = submission.task
    if task is None:
        yield f"{record.name} v{record.version} is no task that is defined here, so its numbers of queries are not known"
        return
    if record.fingerprint is None:
        yield "it names no fingerprint, so nothing ties its numbers to the collection"
    elif task.expect.fingerprint not in (None, record.fingerprint):
        yield f"its fingerprint is not that of {task.name} v{task.version}"
    if expected := task.expect.queries_per_pair:
        wrong = [f"{r.pair} has {n:,} queries, but the task has {expected[0]:,} to {expected[1]:,}" for r in submission.pairs for n in [_n(r)] if not expected[0] <= n <= expected[1]]  # fmt: skip
        yield from wrong[:_NAMED]


def _impossible_profiles(submission: Submission) -> Iterator[str]:
    """Language profiles that no ranking of this pool can give."""
    pool, full = (
        submission.pool,
        all(stage.kind in ("translate", "encode", "rerank") or getattr(stage, "index", "") == "exact" for stage in submission.system.stages),
    )
    counts = {record.pair: _n(record) for record in submission.pairs}
    for p in submission.bias:
        label = f"the languages retrieved for {p.query} (first {p.depth}, gold {p.gold})"
        if p.gold != "any":
            most = sum(n for pair, n in counts.items() if pair.query == p.query and pair.same == (p.gold == "same"))
            if p.queries > most:
                yield f"{label} are of {p.queries:,} queries, but the pairs have {most:,}"
        for language, count in p.retrieved.items():
            if count > (allowed := p.queries * min(p.depth, pool.get(language, 0))):
                yield f"{label}: {count:,} in {language}, but the pool allows {allowed:,}"
        expected = p.queries * min(p.depth, sum(pool.values()))
        if full and (found := sum(p.retrieved.values())) != expected:
            yield f"{label} are {found:,}, but exact search of {p.queries:,} queries gives {expected:,}"


@cache
def _task(name: str, version: int) -> Task | None:
    task = known_task(name)
    return task if task and task.version == version else None


def _one_each(submission: Submission, task: Task) -> bool:
    """Whether the task is known to have one relevant document for each evaluated query: no more judgements than evaluated queries."""
    expect = task.expect
    if expect.judgements is None or expect.queries_per_pair is None:
        return False
    evaluated = sum(map(_n, submission.pairs)) if submission.complete else expect.queries_per_pair[0] * expect.pairs
    return expect.judgements <= evaluated


def _decimals(stat: StatRecord) -> int | None:
    """Decimals that a mean was rounded to; None where it is an exact k/n or has too many."""
    if abs(stat.sum - round(stat.sum)) <= _EXACT * stat.n:
        return None
    return next((d for d in range(1, _MOST_DECIMALS + 1) if math.isclose(stat.mean, round(stat.mean, d), rel_tol=0, abs_tol=1e-12)), None)


def _n(record: PairRecord) -> int:
    return next(iter(record.measures.values())).n


def _percent(value: float, decimals: int | None = None) -> str:
    return f"{100 * value:.{max(1, (decimals or 3) - 2)}f} %"


def _shortened(problems: Iterable[str]) -> tuple[str, ...]:
    listed = list(problems)
    return (*listed[:_NAMED], *([f"and {len(listed) - _NAMED:,} more"] if len(listed) > _NAMED else []))
