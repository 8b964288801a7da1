"""A pair of languages against the same pair the other way round, in one system: what the difference is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from clir_bench import significance as sig
from clir_bench.compare import FLIPS, LEVEL
from clir_bench.standings.index import Board, Floats
from clir_bench.standings.paired import Bools


class Turned(NamedTuple):
    """First pair minus second, arrays over the pairs of pairs; ``low``, ``high`` (95 %) and ``p`` (two-sided) are NaN where only a mean is known.

    ``paired``: both ask the same topics. Then the signs of the topics' differences are flipped, and the interval allows for the correlation of the two; else
    their queries count as independent.
    """

    difference: Floats
    low: Floats
    high: Floats
    p: Floats
    paired: Bools


def turned(board: Board, at: int, first: Sequence[int], second: Sequence[int], measure: str) -> Turned:
    """The system at this place of the board in pairs it has, given by their numbers, against as many others."""
    i, j, m = np.asarray(first, np.int64), np.asarray(second, np.int64), board.measure(measure)
    n, total, squares = board.shape.n.astype(float), board.sums[at, :, m], board.squares[at, :, m]
    p = sig.exchange_p((n[i], n[j]), (total[i], total[j]), (squares[i], squares[j]))
    correlation, paired = np.zeros(len(i)), np.zeros(len(i), bool)
    by_topic = _by_topic(board, at, {int(k): (int(i[k]), int(j[k])) for k in np.flatnonzero(np.isfinite(p))}, measure)
    for k, (x, y) in by_topic.items():
        paired[k] = True
        correlation[k] = np.corrcoef(x, y)[0, 1] if np.ptp(x) > 0 and np.ptp(y) > 0 else 0.0
    if by_topic:
        rows = np.zeros((len(by_topic), max(len(x) for x, _ in by_topic.values())))
        for row, (x, y) in zip(rows, by_topic.values(), strict=True):
            row[: len(x)] = x - y
        p[paired] = sig.sign_flip(rows, FLIPS)
    of_first, of_second = (sig.mean_interval(n[pairs], total[pairs], squares[pairs], LEVEL) for pairs in (i, j))
    a, b = total[i] / n[i], total[j] / n[j]
    return Turned(a - b, *sig.newcombe(a, b, of_first, of_second, correlation), p, paired)


def _by_topic(board: Board, at: int, both: Mapping[int, tuple[int, int]], measure: str) -> dict[int, tuple[Floats, Floats]]:
    """The sums of each topic's values in the one and the other, of those pairs of pairs that ask the same topics equally often."""
    topic, row = board.shape.topic, int(board.rank_row[at])
    if topic is None or row < 0:
        return {}
    values, ends = board.values(row, measure), np.cumsum(board.shape.n)
    found = dict[int, tuple[Floats, Floats]]()
    for k, pairs in both.items():
        columns = [slice(ends[pair] - board.shape.n[pair], ends[pair]) for pair in pairs]
        asked = [np.unique(topic[mine], return_inverse=True, return_counts=True) for mine in columns]
        if np.array_equal(asked[0][0], asked[1][0]) and np.array_equal(asked[0][2], asked[1][2]):
            x, y = (np.bincount(of, values[mine]).astype(np.float64) for (_, of, _), mine in zip(asked, columns, strict=True))
            found[k] = x, y
    return found
