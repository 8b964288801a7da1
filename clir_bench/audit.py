"""Audits: a second, independent evaluation of a submitted system, compared query by query on a sample that nobody chooses."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clir_bench.errors import SubmissionError
from clir_bench.measures import NOT_FOUND, parse_measure, values
from clir_bench.submission import Submission

QUERIES = 2000
MOST_DIFFERENCE = 0.005
"""Of a mean, as a fraction: half a point."""
LEAST_NEAR = 0.95
NEAR = 2
"""Ranks that differ by no more are near."""


class Audit(NamedTuple):
    """What a second run gave on a sample of evaluated queries and their relevant documents.

    ``differences`` are of means, second less first, as fractions; ``near`` and ``equal`` are shares of gold ranks. ``failures``: what speaks against
    "reproduced"; nothing, if it was.
    """

    queries: int
    documents: int
    differences: dict[str, float]
    near: float
    equal: float
    failures: tuple[str, ...]


def audit(first: Submission, second: Submission, queries: int = QUERIES) -> Audit:
    """Compare a submission with a second run of its system. Raises SubmissionError for runs that are not independent, or not of the same thing."""
    if problems := [*_differences(first, second)]:
        raise SubmissionError.of(f"{first.system.name} ({first.system.variant}) and its rerun", problems)
    a, b = first.ranks(), second.ranks()
    if not np.array_equal(a.golds, b.golds) or not np.array_equal(a.grade, b.grade):
        raise SubmissionError(f"{first.system.name}: the two runs judge different numbers of relevant documents, though their fingerprints are equal")
    chosen = _sample(str(first.task.fingerprint), len(a.golds), queries)
    picked = np.zeros(len(a.golds), bool)
    picked[chosen] = True
    documents = np.repeat(picked, a.golds)
    near = _near(a.rank[documents], b.rank[documents], first.task.depth)
    names = [m for m in map(parse_measure, first.pairs[0].measures) if m.kind in ("R", "nDCG", "RR")]
    differences = {str(m): float((values(m, b)[chosen] - values(m, a)[chosen]).mean()) for m in names}
    failures = [
        f"{name} differs by {100 * d:+.2f} points, but less than {100 * MOST_DIFFERENCE:.1f} is allowed"
        for name, d in differences.items()
        if abs(d) >= MOST_DIFFERENCE
    ]
    if near.mean() < LEAST_NEAR:
        failures.append(f"{100 * near.mean():.1f} % of the gold ranks are within {NEAR}, but at least {100 * LEAST_NEAR:.0f} % must be")
    equal = float((a.rank[documents] == b.rank[documents]).mean())
    return Audit(len(chosen), len(near), differences, float(near.mean()), equal, tuple(failures))


def _differences(first: Submission, second: Submission) -> list[str]:
    """Why a second run says nothing of the first."""
    problems = []
    if first.provenance.started == second.provenance.started:
        problems.append(f"both started {first.provenance.started}: that is one run. An audit needs a second.")
    if first.task.fingerprint is None:
        problems.append("the submission names no fingerprint, so it is not known what it ran on")
    asked = [[(record.pair, next(iter(record.measures.values())).n) for record in s.pairs] for s in (first, second)]
    pairs = [
        (f"{s.task.name} v{s.task.version}", s.task.track, s.task.fingerprint, s.system.signature, f"{len(a)} pairs")
        for s, a in zip((first, second), asked, strict=True)
    ]
    for what, ours, theirs in zip(("task", "track", "fingerprint", "signature", "pairs"), *pairs, strict=True):
        if ours != theirs:
            problems.append(f"{what}: {ours}, but the rerun has {theirs}")
    if len(asked[0]) == len(asked[1]) and asked[0] != asked[1]:
        problems.append("pairs: they are others, or have other numbers of queries")
    return problems


def _sample(fingerprint: str, evaluated: int, queries: int) -> npt.NDArray[np.intp]:
    """The evaluated queries whose hashes come first: the same for everybody, and known to nobody before the collection is."""
    if evaluated <= queries:
        return np.arange(evaluated)
    order = sorted(range(evaluated), key=lambda e: hashlib.sha256(f"{fingerprint} {e}".encode()).digest())
    return np.sort(np.array(order[:queries]))


def _near(a: npt.NDArray[np.int32], b: npt.NDArray[np.int32], depth: int) -> npt.NDArray[np.bool_]:
    """Whether ranks are within NEAR; one found and one not are so only where the found one stands at the very end of the list."""
    lost_a, lost_b = a == NOT_FOUND, b == NOT_FOUND
    at_the_end = np.where(lost_a, b, a) >= depth - NEAR
    return np.where(lost_a != lost_b, at_the_end, lost_a | (np.abs(a.astype(np.int64) - b) <= NEAR))
