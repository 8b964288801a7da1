"""Two systems of a board, or the best two of each pair, query by query: differences, and what each is worth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clir_bench.collection import IntArray
from clir_bench.significance import PairTests, paired_tests
from clir_bench.standings.index import Board, Floats, Index

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


class Winners(NamedTuple):
    """The best and the second best system of each pair, arrays over all pairs of the board.

    ``first``, ``second`` int32 are positions in ``board.entries``, -1 where there is none, and ``gaps`` the first's lead. Of systems with gold ranks only. That
    the best was chosen by the same queries needs no correction when it is tested two-sided against the second (Gutmann and Maymin 1987; Hung and Fithian 2019).
    """

    first: IntArray
    second: IntArray
    gaps: PairTests


def position(index: Index, board: Board, line: int) -> int | None:
    """Where the system stands in the board's arrays; None where it has no submission there."""
    at = int(positions(index, board)[line])
    return at if at >= 0 else None


def positions(index: Index, board: Board) -> IntArray:
    """Where each of the index's systems stands in the board's arrays, int32 [lines]; -1 for none."""
    entry = index.entry_of[board.key]
    place = np.full(len(index.entries), -1, np.int32)
    place[board.entries] = np.arange(len(board.entries), dtype=np.int32)
    return np.where(entry >= 0, place[entry], np.int32(-1))


def has(board: Board, at: int, measure: str) -> Bools:
    """Which pairs it has gold ranks for, bool [pairs]."""
    there = np.isfinite(board.sums[at, :, board.measure(measure)])
    return np.asarray(there & (board.rank_row[at] >= 0))


def compared(board: Board, first: int, second: int, mask: Bools, measure: str) -> PairTests:
    """The first system against the second, in the pairs of ``mask`` that both have gold ranks for."""
    both = mask & has(board, first, measure) & has(board, second, measure)
    if not both.any():
        return _gaps(board, both, np.zeros(0), np.zeros(0))
    columns = both[board.shape.pair]
    return _gaps(board, both, *(board.values(int(board.rank_row[at]), measure)[columns] for at in (first, second)))


def winners(board: Board, at: IntArray, mask: Bools, measure: str) -> Winners:
    """The best two of each pair among the systems at these places, in the pairs of ``mask``; of equals the first."""
    at = at[board.rank_row[at] >= 0]
    means = np.where(np.isfinite(means := board.means(measure)[at]), means, -np.inf)
    first, second = np.full(len(board.pairs), -1, np.int32), np.full(len(board.pairs), -1, np.int32)
    for found, best in ((first, 0), (second, 1)):
        if len(at) > best:
            place = np.argsort(-means.round(9), axis=0, kind="stable")[best]
            there = mask & np.isfinite(means[place, np.arange(means.shape[1])])
            found[there] = at[place[there]]
    both = second >= 0
    x, y = _picked(board, first, both, measure), _picked(board, second, both, measure)
    return Winners(first, second, _gaps(board, both, x, y))


def _picked(board: Board, of: IntArray, both: Bools, measure: str) -> Floats:
    """The values of the queries of the pairs in ``both``, each pair's from the system ``of`` names."""
    columns = board.shape.pair[both[board.shape.pair]]
    found = np.empty(len(columns))
    for at in np.unique(of[both]):
        mine = of[columns] == at
        found[mine] = board.values(int(board.rank_row[at]), measure)[both[board.shape.pair]][mine]
    return found


def _gaps(board: Board, both: Bools, x: Floats, y: Floats) -> PairTests:
    """From the values of the two in the queries of the pairs in ``both``."""
    return paired_tests(x, y, board.shape.pair[both[board.shape.pair]], len(both))
