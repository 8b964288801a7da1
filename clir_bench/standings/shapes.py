"""The shape of a board: which evaluated queries its rank matrix has as columns, from the collection's layout or, without one, from a submission."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clir_bench.collection import IntArray, Pair
from clir_bench.layout import find_layout
from clir_bench.standings.extract import Extract, Ranks, extract_file
from clir_bench.task import known_task

Asked = Sequence[tuple[Pair, int]]


def board_key(task: str, version: int, track: str) -> str:
    """``sample-v1``, or ``sample-v1.oracle``: relevant documents were put among the candidates there, so it is a board of its own."""
    return f"{task.replace(':', '_').replace('/', '_')}-v{version}{'.oracle' if track == 'oracle' else ''}"


@dataclass(frozen=True)
class Shape:
    """The evaluated queries of a board, by pair and then in the collection's order.

    ``n`` int32 [pairs]; ``golds`` int32 [evaluated] and ``grades`` int32 [sum of golds], None where all are 1; ``topic`` int32 [evaluated], None where no
    layout says which queries are one question in several languages.
    """

    task: str
    version: int
    fingerprint: str | None
    pairs: tuple[Pair, ...]
    n: IntArray
    golds: IntArray | None
    grades: IntArray | None
    topic: IntArray | None

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

    def misfit(self, fingerprint: object, asked: Asked, ranks: int | None) -> str | None:
        """Why a submission with these pairs, evaluated queries and number of ranks cannot stand on this board; None where it can."""
        if fingerprint is not None and fingerprint != self.fingerprint:
            return f"it is of another collection ({fingerprint}) than the board's ({self.fingerprint})"
        known = dict(zip(self.pairs, self.n.tolist(), strict=True))
        wrong = [f"{pair} has {n} queries, but the collection {known.get(pair, 'no such pair')}" for pair, n in asked if known.get(pair) != n]
        if wrong:
            return "; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        wide = sum(self._columns[pair].stop - self._columns[pair].start for pair, _ in asked)
        return None if ranks in (None, wide) else f"it has {ranks} gold ranks, but its pairs have {wide} relevant documents"

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
        about = {"task": self.task, "version": self.version, "fingerprint": self.fingerprint, "pairs": self.pairs}
        np.savez(path, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Shape:
        """What ``save`` wrote."""
        with np.load(path) as stored:
            about = json.loads(stored["about"].tobytes())
            given = {name: stored[name] if name in stored else None for name in ("golds", "grades", "topic")}
            return cls(about["task"], about["version"], about["fingerprint"], tuple(Pair(*pair) for pair in about["pairs"]), stored["n"], **given)


def shape_of(folder: Path, task: str, version: int, members: Sequence[tuple[str, str | None, bool]], asked: Sequence[Asked]) -> Shape:
    """The shape of a board from its members: (path, fingerprint, whether complete with ranks), and their pairs with evaluated queries."""
    counted = Counter(fingerprint for _, fingerprint, _ in members if fingerprint is not None)
    defined = known_task(task)
    expected = defined.expect.fingerprint if defined and defined.version == version else None
    fingerprint = expected or (counted.most_common(1)[0][0] if counted else None)
    if layout := find_layout(task, version, fingerprint, [folder]):
        golds, grades = (None if (array == 1).all() else array for array in (layout.golds, layout.grades))
        return Shape(task, version, fingerprint, layout.pairs, layout.queries, golds, grades, layout.topic)
    whole = next((path for path, mine, complete in members if complete and mine == fingerprint), None)
    if whole is not None and isinstance(found := extract_file(folder, whole), Extract):
        pairs, n = zip(*found.asked, strict=True)
        return Shape(task, version, fingerprint, pairs, np.array(n, np.int32), found.golds, found.grades, None)
    union = {pair: n for pairs, (_, mine, _) in zip(asked, members, strict=True) if mine in (fingerprint, None) for pair, n in pairs}
    return Shape(task, version, fingerprint, tuple(sorted(union)), np.array([union[pair] for pair in sorted(union)], np.int32), None, None, None)
