"""Two submissions on the same queries: paired differences."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from clir_bench.collection import Pair
from clir_bench.errors import SubmissionError
from clir_bench.measures import GoldRanks, parse_measure, values
from clir_bench.submission import Submission


class PairDifference(NamedTuple):
    """B against A in one pair; ``p`` is the exact McNemar test's (two-sided, binomial on the queries that disagree), None where it does not apply."""

    pair: Pair
    n: int
    a: float
    b: float
    difference: float
    only_a: int
    only_b: int
    p: float | None


class Comparison(NamedTuple):
    """All pairs both have; means are macro means over those."""

    measure: str
    exact_test: bool
    rows: tuple[PairDifference, ...]
    mean_a: float
    mean_b: float
    wins: int
    ties: int
    losses: int


def compare(a: Submission, b: Submission, measure: str = "R@10") -> Comparison:
    """Paired comparison on the pairs both have. Raises SubmissionError unless both saw the same collection and carry gold ranks."""
    mine, theirs = ((t.name, t.version, t.fingerprint) for t in (a.task, b.task))
    if (a.task.track == "oracle") != (b.task.track == "oracle"):
        raise SubmissionError(f"A is of track {a.task.track}, B of {b.task.track}: the oracle track is compared with itself only")
    if mine != theirs or a.task.fingerprint is None:
        raise SubmissionError(f"A is of task {mine}, B of {theirs}: only the same collection (by its fingerprint) can be compared")
    ranks_a, ranks_b = a.ranks(), b.ranks()
    common = [pair for pair in ranks_a.pairs if pair in set(ranks_b.pairs)]
    if not common:
        raise SubmissionError("A and B have no pair in common")
    kind = parse_measure(measure)
    if kind.k > a.task.depth or (a.task.track == "oracle" and kind.kind in ("R", "Success") and kind.k >= a.task.depth):
        raise SubmissionError(f"{measure} cannot be compared at depth {a.task.depth} on track {a.task.track}: the submissions say nothing of it")
    value_a, value_b = values(kind, ranks_a), values(kind, ranks_b)
    hit_or_miss = bool(np.isin(value_a, (0, 1)).all() and np.isin(value_b, (0, 1)).all())
    rows = []
    for pair in common:
        x, y = _of_pair(ranks_a, value_a, pair), _of_pair(ranks_b, value_b, pair)
        if len(x) != len(y):
            raise SubmissionError(f"{pair}: A has {len(x)} evaluated queries, B {len(y)}, though the fingerprints are equal")
        only_a, only_b = int((x > y).sum()), int((y > x).sum())
        p = float(binomtest(only_b, only_a + only_b).pvalue) if hit_or_miss and only_a + only_b else 1.0 if hit_or_miss else None
        rows.append(PairDifference(pair, len(x), float(x.mean()), float(y.mean()), float((y - x).mean()), only_a, only_b, p))
    signs = np.sign([row.difference for row in rows])
    return Comparison(
        measure, hit_or_miss, tuple(rows), float(np.mean([r.a for r in rows])), float(np.mean([r.b for r in rows])),
        int((signs > 0).sum()), int((signs == 0).sum()), int((signs < 0).sum()),
    )  # fmt: skip


def _of_pair(ranks: GoldRanks, value: npt.NDArray[np.float64], pair: Pair) -> npt.NDArray[np.float64]:
    mine: npt.NDArray[np.float64] = value[ranks.pair == ranks.pairs.index(pair)]
    return mine
