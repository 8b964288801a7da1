"""How far a submission can be trusted: decided here and nowhere else.

A claim is tested for what is possible: a mean of n integers is a k/n (GRIM), recall grows with k, and where each query has one relevant document the
recalls leave the other measures little room. Gold ranks allow more: every number is computed again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from clir_bench.measures import Measure, parse_measure
from clir_bench.records import FuseStage, LexicalStage, PairRecord, ProfileRecord, SearchStage, StatRecord
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
_UNROUNDED = _MOST_DECIMALS + 1


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
        if wrong := disagreements(submission) or [*_impossible_profiles(submission), *_missing_documents(submission)]:
            return Assessment("claimed", _shortened(wrong))
        follows = f"every measure follows exactly from the gold ranks of {sum(_n(record) for record in submission.pairs):,} evaluated queries"
        return Assessment("recomputed", (follows, *_stated(submission)))
    task = _task(submission.task.name, submission.task.version)
    unknown = [*_collection_problems(submission, task)]
    tests = _Tests(submission.pairs)
    single = task is not None and _one_each(submission, task)
    for record in submission.pairs:
        tests.test_part(record, "measures", single)
        tests.test_part(record, "own_language", single)
    if wrong := [*tests.problems, *_impossible_profiles(submission)]:
        return Assessment("claimed", _shortened(wrong))
    told = ("it carries no gold ranks, so nothing can be recomputed", *unknown, *tests.untested, *_stated(submission))
    if unknown or not tests.done:
        return Assessment("claimed", told)
    return Assessment("consistent", (f"{tests.done:,} numbers were tested and all are possible", *told))


def _stated(submission: Submission) -> Iterator[str]:
    """What no test says anything of."""
    models = [stage.model for stage in submission.system.stages if not isinstance(stage, SearchStage | LexicalStage | FuseStage) and stage.model]
    given = {
        "sizes": any(model.parameters or model.weights_bytes for model in models),
        "licences": any(model.licence for model in models),
        "training data": any(model.trained_on is not None or model.adapted_from for model in models),
        "timings": submission.timings,
        "language profiles": submission.bias,
    }
    if said := [what for what, there in given.items() if there]:
        words = f"{', '.join(said[:-1])} and {said[-1]}" if said[1:] else said[0]
        yield f"{words} are stated, not recomputed" + (": of profiles only impossible ones are found" if submission.bias else "")


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


class _Span(NamedTuple):
    """Between what a true mean lies that was printed as ``mean``; ``half`` is the most that rounding moves it."""

    mean: float
    low: float
    high: float
    half: float

    @classmethod
    def of(cls, mean: float, decimals: int | None, of: int | None) -> _Span:
        """``of``: the mean is a whole number over that, where this is known."""
        half = _EXACT if decimals is None else 0.5 * 10.0**-decimals + 1e-12
        low, high = max(0.0, mean - half), min(1.0, mean + half)
        if of:
            first, last = math.ceil(low * of - _EXACT), math.floor(high * of + _EXACT)
            low, high = (first / of, last / of) if first <= last else (low, high)
        return cls(mean, low, high, half)


class _Tests:
    """Tests of the claimed numbers of a file, what they found, and how many numbers were tested."""

    def __init__(self, records: Sequence[PairRecord]) -> None:
        self.problems: list[str] = []
        self.done = 0
        self._untested: dict[str, int] = {}
        self._most: dict[str, int] = {}
        for name, stat in (item for record in records for part in (record.measures, record.own_language) for item in part.items()):
            kind, decimals = parse_measure(name).kind, _decimals(stat)
            self._most[kind] = max(self._most.get(kind, 0), _UNROUNDED if decimals is None else decimals)

    @property
    def untested(self) -> Iterator[str]:
        """How many recalls GRIM cannot decide, and why."""
        return (f"{count:,} numbers are not testable as k/n: {why}" for why, count in self._untested.items())

    def test_part(self, record: PairRecord, part: Literal["measures", "own_language"], single: bool) -> None:
        stats = {parse_measure(name): stat for name, stat in getattr(record, part).items()}
        prefix = "own-language " if part == "own_language" else ""
        for measure, stat in stats.items():
            self._test_hits(f"{prefix}{measure} of {record.pair}", measure, stat, single)
        spans = {measure: self._span(measure, stat, single) for measure, stat in stats.items()}
        if self._test_order(f"of {record.pair}", prefix, spans, single) and single:
            self._test_bounds(f"of {record.pair}", prefix, spans, stats)

    def _decimals(self, measure: Measure, stat: StatRecord) -> int | None:
        """What a mean was rounded to, None where it was not: a file rounds a kind of measure as a whole, so .5 among values as .123 was .500.

        Counts may be whole beside rounded shares, as of pairs from two sources.
        """
        most = self._most[measure.kind]
        if most < _UNROUNDED:
            return most
        whole = measure.kind not in ("R", "Success", "P") or abs(stat.sum - round(stat.sum)) <= _EXACT * stat.n
        return None if whole else _decimals(stat)

    def _span(self, measure: Measure, stat: StatRecord, single: bool) -> _Span:
        return _Span.of(stat.mean, self._decimals(measure, stat), _counted(measure, stat, single))

    def _test_hits(self, label: str, measure: Measure, stat: StatRecord, single: bool) -> None:
        """GRIM, for the measures that count relevant documents."""
        if measure.kind not in ("R", "Success", "P"):
            return None
        if not (of := _counted(measure, stat, single)):
            return self._not_testable("how many relevant documents each query has is not known")
        decimals = self._decimals(measure, stat)
        if not grim_decides(of, decimals):
            return self._not_testable("with so few decimals every value is possible")
        self.done += 1
        if not grim(stat.mean, of, decimals):
            self.problems.append(f"{label} is {_percent(stat.mean, _decimals(stat))}, but no number of {stat.n:,} queries gives that")
        return None

    def _test_order(self, of: str, prefix: str, spans: Mapping[Measure, _Span], single: bool) -> bool:
        """Whether a deeper look finds no less, and what is found of all is not more than whether any is."""
        rising = ("R", "Success", "RR", "AP", "P", *(("nDCG",) if single else ()))
        ordered = sorted(spans, key=lambda m: (m.kind, m.k))
        steps = [(a, b) for a, b in pairwise(ordered) if a.kind == b.kind and a.kind in rising]
        steps += [(m, Measure("Success", m.k)) for m in spans if m.kind in ("R", "RR", "nDCG", "AP") and Measure("Success", m.k) in spans]
        self.done += len(steps)
        times = {m: m.k if m.kind == "P" else 1 for m in spans}
        wrong = [
            f"{prefix}{low} {of} is above {prefix}{high}, which is impossible"
            for low, high in steps
            if times[low] * spans[low].low > times[high] * spans[high].high + _EXACT
        ]
        self.problems += wrong
        return not wrong

    def _test_bounds(self, of: str, prefix: str, spans: Mapping[Measure, _Span], stats: Mapping[Measure, StatRecord]) -> None:
        """With one relevant document a query, what the recalls say of its rank bounds every other measure and its squares."""
        recalls = {m.k: span for kind in ("Success", "R") for m, span in spans.items() if m.kind == kind}
        for measure, stat in stats.items():
            value = _VALUES.get(measure.kind)
            if value is None or not recalls:
                continue
            span, (low, high) = spans[measure], _between(recalls, measure.k, value, 1)
            self.done += 1
            if not low - _EXACT <= span.high or not span.low <= high + _EXACT:
                found, least, most = _apart(stat.mean, low, high)
                self.problems.append(f"{prefix}{measure} {of} is {found}, but the recalls allow only {least} to {most} for one relevant document a query")
            elif stat.sum_squares is not None:
                low, high = _between(recalls, measure.k, value, 2)
                if not low - span.half - _EXACT <= stat.sum_squares / stat.n <= high + span.half + _EXACT:
                    self.problems.append(f"sum_squares of {prefix}{measure} {of} is {stat.sum_squares}, which is impossible with these recalls")

    def _not_testable(self, why: str) -> None:
        self._untested[why] = self._untested.get(why, 0) + 1


_VALUES: dict[str, Callable[[int], float]] = {"RR": lambda rank: 1 / rank, "AP": lambda rank: 1 / rank, "nDCG": lambda rank: 1 / math.log2(rank + 1)}


def _between(recalls: Mapping[int, _Span], k: int, value: Callable[[int], float], power: int) -> tuple[float, float]:
    """Least and greatest mean of ``value(rank) ** power`` up to rank k: all of a band between two depths stand at its end, or at its start.

    Both grow with every recall, so the least is that of the least recalls that were rounded to these.
    """
    low = high = least = most = 0.0
    start = 0
    for depth in sorted(d for d in recalls if d <= k):
        span, at_start = recalls[depth], value(start + 1) ** power
        low, high = low + (span.low - least) * value(depth) ** power, high + (span.high - most) * at_start
        least, most, start = span.low, span.high, depth
    if start < k:
        high += (min((span.high for d, span in recalls.items() if d > k), default=1.0) - most) * value(start + 1) ** power
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
    """Language profiles that no ranking of this pool for these queries can give."""
    pool, stages = submission.pool, submission.system.stages
    full = all(stage.kind in ("translate", "encode", "rerank") or getattr(stage, "index", "") == "exact" for stage in stages)
    yield from _impossible_counts(submission)
    for p in submission.bias:
        for language, count in p.retrieved.items():
            if count > (allowed := p.queries * min(p.depth, pool.get(language, 0))):
                yield f"{_label(p)}: {count:,} in {language}, but the pool allows {allowed:,}"
        expected = p.queries * min(p.depth, sum(pool.values()))
        if full and (found := sum(p.retrieved.values())) != expected:
            yield f"{_label(p)} are {found:,}, but exact search of {p.queries:,} queries gives {expected:,}"


def _impossible_counts(submission: Submission) -> Iterator[str]:
    """Profiles of more or fewer queries than were evaluated. Each query of a language is counted once, whatever the pairs that it is evaluated in."""
    evaluated: dict[tuple[str, str], list[int]] = {}
    for record in submission.pairs:
        for gold in ("any", "same" if record.query == record.document else "other"):
            evaluated.setdefault((record.query, gold), []).append(_n(record))
    every: Counter[int] = Counter()
    for p in submission.bias:
        counts = evaluated.get((p.query, p.gold), [0])
        if p.queries > sum(counts):
            yield f"{_label(p)} are of {p.queries:,} queries, but the pairs have {sum(counts):,}"
        elif p.gold == "any" and p.queries < max(counts):
            yield f"{_label(p)} are of {p.queries:,} queries, but a pair has {max(counts):,}"
        if p.gold == "any":
            every[p.depth] += p.queries
    asked, profiled = {record.query for record in submission.pairs}, {(p.depth, p.query) for p in submission.bias if p.gold == "any"}
    for depth, count in every.items():
        if submission.complete and submission.task.queries not in (None, count) and all((depth, query) in profiled for query in asked):
            yield f"the languages retrieved (first {depth}, gold any) are of {count:,} queries in all, but the task has {submission.task.queries:,}"


def _missing_documents(submission: Submission) -> Iterator[str]:
    """Profiles with fewer documents of a language than the gold ranks prove. On track oracle documents were put in, which are none of the profile's."""
    if not submission.bias or submission.task.track == "oracle":
        return
    ranks = submission.ranks()
    pair, depths = np.repeat(ranks.pair, ranks.golds), {p.depth for p in submission.bias}
    found = {depth: np.bincount(pair[ranks.rank <= depth], minlength=len(ranks.pairs)).tolist() for depth in depths}
    asked: dict[str, list[tuple[int, str, bool]]] = {}
    for number, at in enumerate(ranks.pairs):
        asked.setdefault(at.query, []).append((number, at.document, at.same))
    for p in submission.bias:
        for number, document, same in asked.get(p.query, ()):
            least, stated = found[p.depth][number], p.retrieved.get(document, 0)
            if stated < least and (p.gold == "any" or same == (p.gold == "same")):
                yield f"{_label(p)}: {stated:,} in {document}, but by the gold ranks {least:,} relevant documents alone are there"


def _label(p: ProfileRecord) -> str:
    return f"the languages retrieved for {p.query} (first {p.depth}, gold {p.gold})"


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


def _counted(measure: Measure, stat: StatRecord, single: bool) -> int | None:
    """What a mean is a whole number over, if it counts relevant documents; else None."""
    zero_one = stat.sum_squares is not None and abs(stat.sum_squares - stat.sum) <= _EXACT * stat.n
    if measure.kind == "P":
        return stat.n * measure.k
    return stat.n if measure.kind == "Success" or (measure.kind == "R" and (single or zero_one)) else None


def _decimals(stat: StatRecord) -> int | None:
    """The fewest decimals that write a mean; None where these are too many for one that was rounded."""
    return next((d for d in range(1, _MOST_DECIMALS + 1) if math.isclose(stat.mean, round(stat.mean, d), rel_tol=0, abs_tol=1e-12)), None)


def _n(record: PairRecord) -> int:
    return next(iter(record.measures.values())).n


def _percent(value: float, decimals: int | None = None) -> str:
    return f"{100 * value:.{max(1, (decimals or 3) - 2)}f} %"


def _apart(value: float, low: float, high: float) -> list[str]:
    """The three as text, with as many decimals as it takes to tell the value from both bounds."""
    told = ([_percent(each, decimals) for each in (value, low, high)] for decimals in range(3, _MOST_DECIMALS + 3))
    return next((texts for texts in told if texts[0] not in texts[1:]), [str(each) for each in (value, low, high)])


def _shortened(problems: Iterable[str]) -> tuple[str, ...]:
    listed = list(problems)
    return (*listed[:_NAMED], *([f"and {len(listed) - _NAMED:,} more"] if len(listed) > _NAMED else []))
