"""The shape of a board: which evaluated queries its rank matrix has as columns, from the collection's layout or, without one, from a submission."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clir_bench.collection import IntArray, Pair
from clir_bench.layout import Layout, find_layout, layout_path
from clir_bench.standings.extract import Extract, Ranks, extract_file, judged
from clir_bench.submission import Submission
from clir_bench.task import known_task

Asked = Sequence[tuple[Pair, int]]


def board_key(task: str, version: int, track: str) -> str:
    """``sample-v1``, or ``sample-v1.oracle``: relevant documents were put among the candidates there, so it is a board of its own."""
    return f"{task.replace(':', '+')}-v{version}{'.oracle' if track == 'oracle' else ''}"


@dataclass(frozen=True)
class Shape:
    """The evaluated queries of a board, by pair and then in the collection's order.

    ``n`` int32 [pairs]; ``golds`` int32 [evaluated] and ``grades`` int32 [sum of golds], None where all are 1; ``topic`` int32 [evaluated], None where no
    layout says which queries are one question in several languages; ``pool`` the documents of each language, empty where nobody says.
    """

    task: str
    version: int
    fingerprint: str | None
    pairs: tuple[Pair, ...]
    n: IntArray
    golds: IntArray | None
    grades: IntArray | None
    topic: IntArray | None
    pool: dict[str, int]

    @cached_property
    def pair(self) -> IntArray:
        """The pair of each evaluated query, int32 [evaluated]."""
        return np.repeat(np.arange(len(self.pairs), dtype=np.int32), self.n)

    @cached_property
    def width(self) -> int:
        """Columns of the rank matrix: relevant documents of all evaluated queries."""
        return int(self.n.sum()) if self.golds is None else int(self.golds.sum())

    @cached_property
    def _columns(self) -> dict[Pair, slice]:
        per_query = np.ones(int(self.n.sum()), np.int64) if self.golds is None else self.golds
        ends = np.cumsum(np.bincount(self.pair, per_query, len(self.pairs)).astype(np.int64))
        return {pair: slice(int(end - size), int(end)) for pair, end, size in zip(self.pairs, ends, np.diff(ends, prepend=0), strict=True)}

    def misfit(self, member: Member) -> str | None:
        """Why a submission cannot stand on this board; None where it can."""
        if member.fingerprint is None and member.ranks is not None:
            return "it has gold ranks, but names no collection (task.fingerprint)"
        if member.fingerprint not in (None, self.fingerprint):
            return f"it is of another collection ({member.fingerprint}) than the board's ({self.fingerprint}). Build the task again and evaluate."
        if member.pool and self.pool and member.pool != self.pool:
            return f"its pool has {_pool_words(member.pool)}, but the collection {_pool_words(self.pool)}"
        known = dict(zip(self.pairs, self.n.tolist(), strict=True))
        wrong = [f"{pair} has {n} queries, but the collection {known.get(pair, 'no such pair')}" for pair, n in member.asked if known.get(pair) != n]
        if wrong:
            return "; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        wide = sum(self._columns[pair].stop - self._columns[pair].start for pair, _ in member.asked)
        if member.ranks not in (None, wide):
            return f"it has {member.ranks} gold ranks, but its pairs have {wide} relevant documents"
        if member.ranks is not None and member.judged != self._judged(tuple(pair for pair, _ in member.asked)):
            return "how many documents are relevant to its queries, and their grades, are not those of the collection"
        return None

    def _judged(self, pairs: tuple[Pair, ...]) -> str:
        """The hash of the relevant documents of these pairs, as ``extract`` makes it; that of all pairs is kept."""
        if pairs == self.pairs:
            return self._judged_all
        at = np.isin(self.pair, [self.pairs.index(pair) for pair in pairs])
        golds = np.ones(len(self.pair), np.int32) if self.golds is None else self.golds
        grades = np.ones(self.width, np.int32) if self.grades is None else self.grades
        return judged(golds[at], grades[np.repeat(at, golds)])

    @cached_property
    def _judged_all(self) -> str:
        golds = np.ones(len(self.pair), np.int32) if self.golds is None else self.golds
        return judged(golds, np.ones(self.width, np.int32) if self.grades is None else self.grades)

    def place(self, asked: Asked, ranks: Ranks) -> Ranks:
        """The ranks as a row of the matrix; 0 where a pair was not evaluated."""
        row, at = np.zeros(self.width, np.uint8), 0
        for pair, _ in asked:
            columns = self._columns[pair]
            size = columns.stop - columns.start
            row[columns] = ranks[at : at + size]
            at += size
        return row

    def save(self, path: Path) -> None:
        """Write all of it as one ``.npz``."""
        arrays: dict[str, npt.NDArray[np.int32]] = {"n": self.n}
        arrays |= {name: array for name in ("golds", "grades", "topic") if (array := getattr(self, name)) is not None}
        about = {"task": self.task, "version": self.version, "fingerprint": self.fingerprint, "pairs": self.pairs, "pool": self.pool}
        np.savez(path, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Shape:
        """What ``save`` wrote."""
        with np.load(path) as stored:
            about = json.loads(stored["about"].tobytes())
            given = {name: stored[name] if name in stored else None for name in ("golds", "grades", "topic")}
            return cls(
                about["task"], about["version"], about["fingerprint"], tuple(Pair(*pair) for pair in about["pairs"]), stored["n"], **given, pool=about["pool"]
            )


class Member(NamedTuple):
    """What a submission says of its collection. ``ranks``: how many gold ranks it carries, None for none; ``judged`` as ``extract.judged`` gives it."""

    path: str
    fingerprint: str | None
    complete: bool
    asked: Asked
    ranks: int | None
    judged: str | None
    pool: dict[str, int]


def member(s: Submission, path: str = "") -> Member:
    """What a submission says of its collection. Raises SubmissionError where its gold ranks do not hold."""
    ranks = s.ranks() if s.gold_ranks else None
    asked = [(pair.pair, next(iter(pair.measures.values())).n) for pair in s.pairs]
    count, how = (None, None) if ranks is None else (len(ranks.rank), judged(ranks.golds, ranks.grade))
    return Member(path, s.task.fingerprint, s.complete, asked, count, how, dict(s.pool))


def shape_of(folder: Path, task: str, version: int, members: Sequence[Member], accepted: Mapping[str, int]) -> Shape:
    """The shape of a board from its collection's layout, or else from a member. Raises CollectionError for a damaged layout.

    The collection is the one that the task's definition names; else that of the only layout; else that of the member that was accepted first
    (``accepted``: path to place in the log); else that of most members.
    """
    fingerprint = _fingerprint(folder, task, version, members, accepted)
    if layout := find_layout(task, version, fingerprint, [folder]):
        return shape_of_layout(layout)
    whole = next((m for m in members if m.complete and m.ranks is not None and m.fingerprint == fingerprint), None)
    if whole is not None and isinstance(found := extract_file(folder, whole.path), Extract):
        pairs, n = zip(*found.asked, strict=True)
        return Shape(task, version, fingerprint, pairs, np.array(n, np.int32), found.golds, found.grades, None, whole.pool)
    union = {pair: n for m in members if m.fingerprint in (fingerprint, None) for pair, n in m.asked}
    pool = next((m.pool for m in members if m.fingerprint == fingerprint and m.pool), {})
    return Shape(task, version, fingerprint, tuple(sorted(union)), np.array([union[pair] for pair in sorted(union)], np.int32), None, None, None, pool)


def shape_of_layout(layout: Layout) -> Shape:
    """The shape that a layout gives."""
    golds, grades = (None if (array == 1).all() else array for array in (layout.golds, layout.grades))
    return Shape(layout.task, layout.version, layout.fingerprint, layout.pairs, layout.queries, golds, grades, layout.topic, layout.pool)


def _fingerprint(folder: Path, task: str, version: int, members: Sequence[Member], accepted: Mapping[str, int]) -> str | None:
    defined = known_task(task)
    if defined and defined.version == version and defined.expect.fingerprint:
        return defined.expect.fingerprint
    stated = [m for m in members if m.fingerprint is not None]
    laid = {m.fingerprint for m in stated if m.fingerprint and layout_path(task, version, m.fingerprint, folder).is_file()}
    if len(laid) == 1:
        return laid.pop()
    if first := min((m for m in stated if m.path in accepted), key=lambda m: accepted[m.path], default=None):
        return first.fingerprint
    counted = Counter(m.fingerprint for m in stated if not laid or m.fingerprint in laid)
    return min(counted, key=lambda each: (-counted[each], str(each)), default=None)


def _pool_words(pool: dict[str, int]) -> str:
    return f"{sum(pool.values()):,} documents in {len(pool)} languages"
