"""Where a submission would land on the board, before it is there: its place, its tier among the others, and what its last step changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from clir_bench.exhibits.ledger import chain_of
from clir_bench.lineage import parent_of
from clir_bench.measures import macro_mean
from clir_bench.significance import (
    ZERO,
    TopicSums,
    difference_interval,
    pairwise_p,
    rank_intervals,
    resampled_scores,
    score_intervals,
    separable,
    tiers,
    topic_sums,
)
from clir_bench.standings.index import Board, Floats, Index, Line
from clir_bench.standings.overview import RESAMPLES
from clir_bench.standings.paired import Bools
from clir_bench.standings.shapes import board_key, member
from clir_bench.submission import DEEPER, Submission, means


class Neighbour(NamedTuple):
    """A submission beside the new one: its path and macro mean, a fraction."""

    path: str
    mean: float


class Tie(NamedTuple):
    """Its tier, of so many systems that no test tells from the tier's leader, and the 95 % intervals of its score, topics resampled, and its rank."""

    tier: int
    tied: int
    low: float
    high: float
    rank_low: int
    rank_high: int


class LastStep(NamedTuple):
    """The system it differs from by one step, in words, and what that changed on the n queries both answered.

    Topics are resampled and flipped whole; None where nothing says which queries are one.
    """

    system: str
    text: str
    n: int
    gain: float
    low: float | None
    high: float | None
    p: float | None


class Landing(NamedTuple):
    """Where it would stand among the ``of`` systems of its board with gold ranks for all pairs, itself included, by macro mean; equals share a rank.

    ``rank`` and ``tie`` are None where ``why`` says that it has no place, or that nothing can be tested; ``step`` where no system there differs from it
    by one step.
    """

    measure: str
    mean: float
    rank: int | None
    of: int
    above: Neighbour | None
    below: Neighbour | None
    tie: Tie | None
    why: str
    step: LastStep | None


def land(submission: Submission, index: Index | None) -> Landing:
    """The landing by R@10 or, where it has none, its first measure. It stands in place of its own system's earlier submission. Raises SubmissionError."""
    named = [name for name in submission.pairs[0].measures if all(name in record.measures for record in submission.pairs)]
    measure = "R@10" if "R@10" in named else named[0]
    mean = macro_mean([record.pair for record in submission.pairs], means(submission, measure))
    assert mean is not None
    board = index.boards.get(board_key(submission.task.name, submission.task.version, submission.task.track)) if index else None
    if index is None or board is None or measure not in board.measures:
        return Landing(measure, mean, 1 if submission.complete else None, 1, None, None, None, "there is nothing to compare it with", None)
    e, system = index.entries, Line(submission.system.name, submission.system.variant)
    others = [at for at, entry in enumerate(board.entries) if Line(e["name"].to_numpy()[entry], e["variant"].to_numpy()[entry]) != system]
    scores = board.means(measure).mean(1)
    ranked = [at for at in others if np.isfinite(scores[at]) and board.rank_row[at] >= 0 and not board.copied[at]]
    beside = [Neighbour(str(e["path"].to_numpy()[board.entries[at]]), float(scores[at])) for at in ranked]
    mine, why = _placed(submission, board)
    why = why or ("" if submission.complete else "a mean over some pairs does not stand among means over all")
    above, below = ([], []) if why else ([o for o in beside if o.mean > mean + ZERO], [o for o in beside if o.mean <= mean + ZERO])
    untold = why or ("" if board.shape.topic is not None else "no layout says which queries are one question in several languages")
    return Landing(
        measure, mean, None if why else len(above) + 1, len(beside) + 1, min(above, key=lambda o: o.mean, default=None),
        max(below, key=lambda o: o.mean, default=None), None if untold or mine is None else _tie(mine, board, ranked, measure), untold,
        None if mine is None else _last_step(submission, index, mine, others, measure),
    )  # fmt: skip


def landing_words(landing: Landing) -> tuple[str, ...]:
    """What the tests say of it, in words; plain text."""
    tie, step, told = landing.tie, landing.step, list[str]()
    if tie:
        span = f"{tie.rank_low}" if tie.rank_low == tie.rank_high else f"{tie.rank_low} to {tie.rank_high}"
        others = "alone in it" if tie.tied == 1 else f"with {tie.tied - 1:,} other{'s' * (tie.tied > 2)}"
        told.append(f"tier {tie.tier}, {others}; 95 % interval {100 * tie.low:.1f} to {100 * tie.high:.1f} %, rank {span}")
    elif landing.rank:
        told.append(f"no tier: {landing.why}")
    if step:
        sure = f", 95 % interval {100 * step.low:+.1f} to {100 * step.high:+.1f}" if step.low is not None and step.high is not None else ""
        told.append(f"against {step.system} ({step.text}): {100 * step.gain:+.1f} points on the same {step.n:,} queries{sure}")
    return tuple(told)


def _placed(submission: Submission, board: Board) -> tuple[Board | None, str]:
    """The board with the submission's ranks alone, or why it has no place there."""
    if not submission.gold_ranks:
        return None, "it carries no gold ranks"
    rank = np.minimum(submission.ranks().rank, DEEPER).astype(np.uint8)
    asked = [(record.pair, next(iter(record.measures.values())).n) for record in submission.pairs]
    if wrong := board.shape.misfit(member(submission)):
        return None, wrong
    return replace(board, ranks=board.shape.place(asked, rank)[None]), ""


def _tie(mine: Board, board: Board, ranked: Sequence[int], measure: str) -> Tie:
    """Among the systems at these places of the board; the new one comes last."""
    sums = _sums(mine, board, [int(board.rank_row[at]) for at in ranked], measure, np.ones(len(board.pairs), bool))
    resampled = resampled_scores(sums.scores, sums.centred, RESAMPLES)
    apart = separable(pairwise_p(sums.sums, sums.unit))
    tier, (low, high) = tiers(sums.scores, apart), score_intervals(sums, resampled)
    best, worst = (int(each[-1]) for each in rank_intervals(sums.scores, apart))
    return Tie(int(tier[-1]), int((tier == tier[-1]).sum()), float(low[-1]), float(high[-1]), best, worst)


def _last_step(submission: Submission, index: Index, mine: Board, others: Sequence[int], measure: str) -> LastStep | None:
    """Its step from one of the systems at these places of its board."""
    places = [at for at in others if mine.rank_row[at] >= 0]
    chains = [*(chain_of(index, int(mine.entries[at])) for at in places), submission.system.stages]
    step, asked = parent_of(chains)[-1], {record.pair for record in submission.pairs}
    if step is None:
        return None
    parent = places[step.parent]
    both = np.array([pair in asked for pair in mine.pairs]) & np.isfinite(mine.sums[parent, :, mine.measure(measure)])
    if not both.any():
        return None
    board, row, entry = index.boards[mine.key], int(mine.rank_row[parent]), int(mine.entries[parent])
    sums = _sums(mine, board, [row], measure, both)
    name = Line(str(index.entries["name"].to_numpy()[entry]), str(index.entries["variant"].to_numpy()[entry]))
    gain, n = float(sums.scores[1] - sums.scores[0]), int(board.shape.n[both].sum())
    if board.shape.topic is None:
        return LastStep(str(name), step.text, n, gain, None, None, None)
    resampled = resampled_scores(sums.scores, sums.centred, RESAMPLES)
    low, high = difference_interval(resampled[:, 1] - resampled[:, 0], gain, sums.sums.shape[1])
    return LastStep(str(name), step.text, n, gain, float(low), float(high), float(pairwise_p(sums.sums, sums.unit)[0, 1]))


def _sums(mine: Board, board: Board, rows: Sequence[int], measure: str, mask: Bools) -> TopicSums:
    """Of the systems in these rows of the board's ranks, then of the new one, in the pairs of ``mask``."""
    shape, columns = board.shape, np.flatnonzero(mask[board.shape.pair])
    topic = np.arange(len(shape.pair), dtype=np.int32) if shape.topic is None else shape.topic

    def values() -> Iterator[Floats]:
        for row in rows:
            yield board.values(row, measure)[columns]
        yield mine.values(0, measure)[columns]

    return topic_sums(values(), shape.pair[columns], topic[columns])
