"""The standing of systems on a selection: scores, intervals by topic, tiers, rank intervals, the worst pair, bias and cost."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clir_bench.collection import Pair
from clir_bench.significance import TopicSums, join, pairwise_p, rank_intervals, resampled_scores, score_intervals, separable, tiers, topic_sums
from clir_bench.standings.index import Board, Floats, Index, load_index
from clir_bench.standings.memory import remembered
from clir_bench.standings.selection import Selection

Ints = npt.NDArray[np.int64]
RESAMPLES = 1000


class Evidence(NamedTuple):
    """What the topics say of every system with ranks for all of a selection's pairs that is no copy. ``lines`` int32 [systems]; ``p`` [systems, systems] of their differences."""

    lines: npt.NDArray[np.int32]
    scores: Floats
    low: Floats
    high: Floats
    p: npt.NDArray[np.float32]
    resampled: npt.NDArray[np.float32]
    topics: int


@dataclass(frozen=True)
class Standing:
    """Arrays over the systems of a selection, [systems], in order: ranked ones by score, then those with a score alone, then incomplete ones.

    ``entries`` int32 [systems, boards], -1 = none; ``board_scores`` [systems, boards] are macro means over the chosen pairs, NaN unless all are there;
    ``score`` is their mean, NaN unless all are there. ``cells`` of ``cells_of`` pairs are there. ``low``, ``high``: 95 %, topics resampled; ``tier``,
    ``rank_low``, ``rank_high``: 0 where not ranked. Over pairs of two languages alone: ``cross``, the score; ``own`` and ``loss``, own-language mean and
    bias loss. ``copied``, bool: flagged as a copy on one of the boards, and so not ranked. ``why``: why nothing is ranked, "" if something is.
    """

    selection: Selection
    boards: tuple[Board, ...]
    pairs: tuple[npt.NDArray[np.bool_], ...]
    lines: npt.NDArray[np.int32]
    entries: npt.NDArray[np.int32]
    board_scores: Floats
    score: Floats
    cells: Ints
    cells_of: int
    queries: int
    topics: int
    low: Floats
    high: Floats
    tier: Ints
    rank_low: Ints
    rank_high: Ints
    cross: Floats
    worst: Floats
    worst_pair: tuple[tuple[str, Pair] | None, ...]
    own: Floats
    loss: Floats
    lift: Floats
    copied: npt.NDArray[np.bool_]
    why: str

    @property
    def ranked(self) -> int:
        """How many systems have a rank."""
        return int((self.tier > 0).sum())


def standing(index: Index, selection: Selection) -> Standing:
    """The standing of all systems that pass the selection. Kept in the index's memory. Raises SubmissionError for a measure that a board lacks."""
    return remembered(index, ("standing", selection), lambda: _standing(index, selection))


def evidence(index: Index, selection: Selection, boards: Sequence[Board], pairs: Sequence[npt.NDArray[np.bool_]]) -> Evidence | str:
    """What resampling the topics says, of all systems at once: filters of systems only take columns away. Or why nothing can be said."""
    key = ("evidence", *_question(boards, pairs, selection.measure))
    return remembered(index, key, lambda: _prepared(_file(index, boards, pairs, selection.measure)) or _evidence(index, selection.measure, boards, pairs))


def prepare(path: Path, folder: Path) -> None:
    """Write into the index at ``path`` what readers ask first: the evidence of the usual data sets together, of their oracle tracks, and of each board."""
    index, usual = load_index(path, folder), Selection()
    together = (usual.chosen(index), usual.model_copy(update={"track": "oracle"}).chosen(index))
    for boards in (*together, *((board,) for board in index.boards.values())):
        if boards and all(usual.measure in board.measures for board in boards):
            pairs = tuple(usual.pairs_of(board) for board in boards)
            if isinstance(found := evidence(index, usual, boards, pairs), Evidence):
                np.savez(_file(index, boards, pairs, usual.measure), **found._asdict())


def _question(boards: Sequence[Board], pairs: Sequence[npt.NDArray[np.bool_]], measure: str) -> tuple[object, ...]:
    return tuple(board.key for board in boards), tuple(mask.tobytes() for mask in pairs), measure


def _file(index: Index, boards: Sequence[Board], pairs: Sequence[npt.NDArray[np.bool_]], measure: str) -> Path:
    """Where the evidence lies if it was prepared."""
    return index.path / f"evidence-{hashlib.sha256(repr(_question(boards, pairs, measure)).encode()).hexdigest()[:16]}.npz"


def _prepared(path: Path) -> Evidence | None:
    if not path.is_file():
        return None
    with np.load(path) as stored:
        return Evidence(**{name: stored[name] for name in ("lines", "scores", "low", "high", "p", "resampled")}, topics=int(stored["topics"]))


def _standing(index: Index, selection: Selection) -> Standing:
    boards = selection.chosen(index)
    pairs = tuple(selection.pairs_of(board) for board in boards)
    boards, pairs = tuple(b for b, m in zip(boards, pairs, strict=True) if m.any()), tuple(m for m in pairs if m.any())
    lines = selection.lines(index, boards)
    entries = np.stack([index.entry_of[board.key][lines] for board in boards], axis=1) if boards else np.zeros((0, 0), np.int32)
    size = len(lines) if boards else 0
    means = [_rows(board, board.means(selection.measure), entries[:, b])[:, pairs[b]] for b, board in enumerate(boards)]
    board_scores = np.stack([found.mean(1) for found in means], axis=1) if boards else np.zeros((size, 0))
    score = board_scores.mean(1) if boards else np.zeros(size)
    cells = np.sum([np.isfinite(found).sum(1) for found in means], axis=0) if boards else np.zeros(size, np.int64)
    low, high = np.full(size, np.nan), np.full(size, np.nan)
    tier, rank_low, rank_high = (np.zeros(size, np.int64) for _ in range(3))
    found = evidence(index, selection, boards, pairs) if boards else "no data set has such pairs"
    if isinstance(found, Evidence):
        mine = np.isin(found.lines, lines)
        at = np.searchsorted(lines, found.lines[mine])
        if mine.any():
            apart = separable(found.p[np.ix_(mine, mine)].astype(np.float64))
            low[at], high[at], tier[at] = found.low[mine], found.high[mine], tiers(found.scores[mine], apart)
            rank_low[at], rank_high[at] = rank_intervals(found.scores[mine], apart)
    worst, worst_pair = _worst(boards, pairs, means, size)
    own, loss = _bias_loss(boards, pairs, entries, selection.measure, size)
    copied = ((entries >= 0) & index.entries["copied"].to_numpy(bool)[np.maximum(entries, 0)]).any(1) if boards else np.zeros(size, bool)
    order = np.lexsort((np.arange(size), -np.nan_to_num(score, nan=-1).round(9), tier == 0))  # equals by name, not by what rounding left
    return Standing(
        selection, boards, pairs, lines[order], entries[order], board_scores[order], score[order], cells[order], int(sum(m.sum() for m in pairs)),
        int(sum(board.shape.n[mask].sum() for board, mask in zip(boards, pairs, strict=True))), found.topics if isinstance(found, Evidence) else 0,
        low[order], high[order], tier[order], rank_low[order], rank_high[order], _cross(boards, pairs, means, size)[order], worst[order], tuple(worst_pair[i] for i in order), own[order], loss[order],
        _lift(index, boards, pairs, entries)[order], copied[order], found if isinstance(found, str) else "" if (tier > 0).any() else _unranked(boards),
    )  # fmt: skip


def _evidence(index: Index, measure: str, boards: Sequence[Board], pairs: Sequence[npt.NDArray[np.bool_]]) -> Evidence | str:
    unknown = [board.title for board, mask in zip(boards, pairs, strict=True) if board.shape.topic is None and mask.sum() > 1]
    if unknown:
        return f"{', '.join(unknown)}: no layout says which queries are one question in several languages, so averages cannot be tested"
    rows, complete = [], np.ones(len(index.lines), bool)
    for board, mask in zip(boards, pairs, strict=True):
        entry = index.entry_of[board.key]
        local = np.full(len(index.entries), -1, np.int32)
        local[board.entries] = np.arange(len(board.entries))
        at = local[np.maximum(entry, 0)]
        whole = np.isfinite(board.sums[:, mask, board.measure(measure)]).all(1) & (board.rank_row >= 0) & ~board.copied
        complete &= (entry >= 0) & whole[at]
        rows.append(np.where(entry >= 0, board.rank_row[at], -1))
    lines = np.flatnonzero(complete).astype(np.int32)
    if not len(lines):
        return _unranked(boards)
    sums = join([_topic_sums(board, mask, row[lines], measure) for board, mask, row in zip(boards, pairs, rows, strict=True)])
    resampled = resampled_scores(sums.scores, sums.centred, RESAMPLES)
    low, high = score_intervals(sums, resampled)
    p = pairwise_p(sums.sums, sums.unit).astype(np.float32)
    return Evidence(lines, sums.scores, low, high, p, resampled.astype(np.float32), sums.sums.shape[1])


def _unranked(boards: Sequence[Board]) -> str:
    """Why no system is ranked that could be."""
    which = " that is not flagged as a copy" if any(board.copied.any() for board in boards) else ""
    return f"no system{which} has gold ranks for all of these pairs"


def _topic_sums(board: Board, mask: npt.NDArray[np.bool_], rows: npt.NDArray[np.int32], measure: str) -> TopicSums:
    columns = np.flatnonzero(mask[board.shape.pair])
    topic = np.arange(len(board.shape.pair)) if board.shape.topic is None else board.shape.topic  # of one pair, each query is a topic
    return topic_sums((board.values(row, measure)[columns] for row in rows), board.shape.pair[columns], topic[columns])


def _rows(board: Board, cube: Floats, entries: npt.NDArray[np.int32]) -> Floats:
    """The board's rows for these entries, NaN for none."""
    number = np.full(int(board.entries.max(initial=-1)) + 2, -1, np.int64)
    number[board.entries] = np.arange(len(board.entries))
    at = number[np.where(entries >= 0, entries, len(number) - 1)]
    return np.where((at >= 0).reshape(-1, *[1] * (cube.ndim - 1)), cube[np.maximum(at, 0)], np.nan)


def _cross(boards: Sequence[Board], pairs: Sequence[npt.NDArray[np.bool_]], means: Sequence[Floats], size: int) -> Floats:
    """The mean over data sets of the macro mean over their pairs of two languages; NaN unless all are there, or where there are none."""
    two = [np.array([not board.pairs[i].same for i in np.flatnonzero(mask)]) for board, mask in zip(boards, pairs, strict=True)]
    parts = [found[:, kept].mean(1) for found, kept in zip(means, two, strict=True) if kept.any()]
    return np.mean(parts, axis=0) if parts else np.full(size, np.nan)


def _worst(boards: Sequence[Board], pairs: Sequence[npt.NDArray[np.bool_]], means: Sequence[Floats], size: int) -> tuple[Floats, list[tuple[str, Pair] | None]]:
    """The lowest cell of each system, and which it is."""
    labels = [(board.key, board.pairs[i]) for board, mask in zip(boards, pairs, strict=True) for i in np.flatnonzero(mask)]
    if not labels or not size:
        return np.full(size, np.nan), [None] * size
    everything = np.concatenate(means, axis=1)
    filled = np.where(np.isfinite(everything), everything, np.inf)
    at = filled.argmin(1)
    value = filled[np.arange(size), at]
    return np.where(np.isfinite(value), value, np.nan), [labels[i] if np.isfinite(v) else None for i, v in zip(at, value, strict=True)]


def _bias_loss(
    boards: Sequence[Board], pairs: Sequence[npt.NDArray[np.bool_]], entries: npt.NDArray[np.int32], measure: str, size: int
) -> tuple[Floats, Floats]:
    """Own-language mean and its excess over the full pool's, over the chosen pairs of two languages; NaN unless every board has all."""
    own, loss = [], []
    for b, board in enumerate(boards):
        mask = pairs[b] & np.array([not pair.same for pair in board.pairs])
        if not mask.any():
            continue
        at = board.measure(measure)
        mine = _rows(board, board.own[:, :, at] / board.shape.n, entries[:, b])[:, mask]
        own.append(mine.mean(1))
        loss.append((mine - _rows(board, board.means(measure), entries[:, b])[:, mask]).mean(1))
    return (np.mean(own, axis=0), np.mean(loss, axis=0)) if own else (np.full(size, np.nan), np.full(size, np.nan))


def _lift(index: Index, boards: Sequence[Board], pairs: Sequence[npt.NDArray[np.bool_]], entries: npt.NDArray[np.int32]) -> Floats:
    """Same-language lift among the first 10, where the relevant document is in another language: mean over the chosen query languages, then boards.

    NaN unless all are known: every query language that is asked across languages and that the pool has documents of, on every board that has such.
    """
    codes, whole = lifts(index)
    found = []
    for b, (board, mask) in enumerate(zip(boards, pairs, strict=True)):
        counted = {pair.query for pair in board.pairs if not pair.same and board.pool.get(pair.query)}
        if asked := sorted(codes[code] for code in {board.pairs[i].query for i in np.flatnonzero(mask)} & counted):
            found.append(np.where(entries[:, b] >= 0, whole[np.maximum(entries[:, b], 0)][:, asked].mean(1), np.nan))
    return np.mean(found, axis=0) if found else np.full(len(entries), np.nan)


def lifts(index: Index) -> tuple[dict[str, int], Floats]:
    """Per entry and query language: the language's share of the first 10 over its share of the pool; NaN where unknown. And each language's column."""
    return remembered(index, ("lift",), lambda: _all_lifts(index))


def _all_lifts(index: Index) -> tuple[dict[str, int], Floats]:
    frame = index.bias
    frame = frame[(frame["depth"] == 10) & (frame["gold"] == "other")]
    asked = {code for board in index.boards.values() for code in board.query_languages}
    codes = {code: i for i, code in enumerate(sorted({*frame["query"].cat.categories, *frame["document"].cat.categories, *asked}))}
    query, document = (np.array([codes[c] for c in frame[x].cat.categories])[frame[x].cat.codes.to_numpy()] for x in ("query", "document"))
    entry, count = frame["entry"].to_numpy(), frame["count"].to_numpy(float)
    group = entry.astype(np.int64) * len(codes) + query
    total = np.bincount(group, count, len(index.entries) * len(codes))
    same = np.bincount(group, np.where(query == document, count, 0), len(index.entries) * len(codes))
    share = np.full((len(index.entries), len(codes)), np.nan)
    for board in index.boards.values():
        size = sum(board.pool.values())
        for code, at in codes.items():
            if board.pool.get(code):
                share[board.entries, at] = board.pool[code] / size
    with np.errstate(invalid="ignore", divide="ignore"):
        return codes, (same / total).reshape(share.shape) / share
