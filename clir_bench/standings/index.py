"""The index, opened: which submissions there are, and for each board its scores as arrays and its gold ranks as a memory-mapped matrix."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from clir_bench.collection import IntArray, Pair
from clir_bench.errors import ClirBenchError, SubmissionError
from clir_bench.measures import NOT_FOUND, GoldRanks, parse_measure, value_by_rank, values
from clir_bench.records import Stage
from clir_bench.standings.build import PROBLEMS, build_index, current, index_home
from clir_bench.standings.shapes import Shape
from clir_bench.submission import DEEPER, Submission, parse_submission
from clir_bench.task import Task, known_task

Floats = npt.NDArray[np.float64]
_SHORT = {"clirmatrix": "CLIRMatrix", "mmarco": "mMARCO", "large_scale": "Large-Scale"}
_HEAVY = ("stages", "asked", "packages", "command", "signature", "citation", "notes", "reasons")  # read when a submission is looked at, not before


class Line(NamedTuple):
    """A system on the board: its name and variant, as in submissions/."""

    name: str
    variant: str

    def __str__(self) -> str:
        return f"{self.name}/{self.variant}"


@dataclass(frozen=True)
class Board:
    """One task in one version, the oracle track apart. Arrays over its current submissions, in the order of ``entries``.

    ``sums``, ``squares``, ``own`` float64 [submissions, pairs, measures], NaN where a pair or number is missing; means are ``sums / n``. ``rank_row``
    int32 [submissions] is the row of ``ranks`` (uint8 [rows, relevant documents], 0 = not evaluated, 255 = deeper), -1 where there are none;
    ``whole`` bool [submissions] says which have every pair of the task, with gold ranks; ``copied`` which are flagged as copies.
    """

    key: str
    shape: Shape
    entries: IntArray
    measures: tuple[str, ...]
    sums: Floats
    squares: Floats
    own: Floats
    rank_row: IntArray
    ranks: npt.NDArray[np.uint8]
    whole: npt.NDArray[np.bool_]
    copied: npt.NDArray[np.bool_]

    @property
    def oracle(self) -> bool:
        """Whether relevant documents were put among the candidates."""
        return self.key.endswith(".oracle")

    @property
    def pool(self) -> dict[str, int]:
        """Documents of each language, empty where nobody says."""
        return self.shape.pool

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs of the task."""
        return self.shape.pairs

    @cached_property
    def task(self) -> Task | None:
        """Its definition, where this installation has one."""
        return known_task(self.shape.task)

    @cached_property
    def title(self) -> str:
        """How it is called: the task's title, or its name."""
        return f"{self.task.title if self.task else self.shape.task}{', oracle track' if self.oracle else ''}"

    @property
    def label(self) -> str:
        """How it is called where there is little room: its short name, with the version where it is not the first; the track is not said."""
        name = _SHORT.get(self.shape.task, self.shape.task)
        return f"{name}{f' v{self.shape.version}' if self.shape.version > 1 else ''}"

    @cached_property
    def query_languages(self) -> tuple[str, ...]:
        """The query languages, sorted."""
        return tuple(sorted({pair.query for pair in self.pairs}))

    @cached_property
    def document_languages(self) -> tuple[str, ...]:
        """The document languages, sorted."""
        return tuple(sorted({pair.document for pair in self.pairs}))

    def measure(self, name: str) -> int:
        """The measure's place in the arrays. Raises SubmissionError for one that no submission here has."""
        if name not in self.measures:
            raise SubmissionError(f"{self.key} has no {name}; it has {', '.join(self.measures)}")
        return self.measures.index(name)

    def means(self, name: str) -> Floats:
        """Fractions, float64 [submissions, pairs]; NaN where missing."""
        return self.sums[:, :, self.measure(name)] / self.shape.n

    def values(self, row: int, name: str) -> Floats:
        """The measure of every evaluated query of one row of ``ranks``, float64 [evaluated]; NaN where it was not evaluated."""
        return self._table(name)[self.ranks[row]] if self.shape.golds is None else self._graded(row, name)

    def _table(self, name: str) -> Floats:
        """With one relevant document a query, a measure is a function of its rank: float64 [256]."""
        table = value_by_rank(parse_measure(name))
        table[DEEPER], table[0] = table[0], np.nan
        return table

    def _graded(self, row: int, name: str) -> Floats:
        shape, ranks = self.shape, self.ranks[row]
        assert shape.golds is not None
        rank = ranks.astype(np.int32)
        rank[(ranks == 0) | (ranks == DEEPER)] = NOT_FOUND
        grades = np.ones(shape.width, np.int32) if shape.grades is None else shape.grades
        every = np.arange(len(shape.golds), dtype=np.int32)
        value = values(parse_measure(name), GoldRanks(shape.pairs, shape.pair, every, shape.golds, rank, grades, np.arange(shape.width, dtype=np.int32)))
        missing = np.bincount(np.repeat(every, shape.golds), ranks == 0, len(every)) > 0
        return np.where(missing, np.nan, value)


@dataclass(frozen=True)
class Index:
    """All of it. ``entries`` has one row a submission file (columns as in ``extract``, without texts that are read on demand).

    ``lines`` are the systems, each once; ``entry_of`` maps a board's key to the entry of every line there, int32 [lines], -1 = none.
    """

    path: Path
    folder: Path
    entries: pd.DataFrame
    boards: dict[str, Board]
    lines: tuple[Line, ...]
    entry_of: dict[str, IntArray]
    problems: tuple[str, ...]
    cache: dict[object, object] = field(default_factory=dict)
    """What was computed from it and is worth keeping; ``overview`` writes here."""

    def stages(self, entry: int) -> tuple[Stage, ...]:
        """The chain of a submission."""
        return self.submission(entry).system.stages

    def submission(self, entry: int) -> Submission:
        """The whole submission, read again. Raises SubmissionError."""
        path = str(self.entries.at[entry, "path"])
        try:
            return parse_submission((self.folder / path).read_bytes(), path)
        except OSError as error:
            raise SubmissionError(f"{path}: cannot be read: {error.strerror or error}") from None

    @property
    def newest(self) -> str:
        """The day on which the newest submission was started, as 2026-11-26."""
        return str(self.entries["started"].max())[:10]

    @cached_property
    def bias(self) -> pd.DataFrame:
        """Language profiles: entry, query, depth, gold, queries, document, count."""
        return pd.DataFrame(pq.read_table(self.path / "bias.parquet", read_dictionary=["query", "gold", "document"]).to_pandas())

    @cached_property
    def timings(self) -> pd.DataFrame:
        """Costs: entry, stage, items, seconds, cpu_seconds."""
        return pd.DataFrame(pq.read_table(self.path / "timings.parquet", read_dictionary=["stage"]).to_pandas())

    def line(self, text: str) -> int | None:
        """The number of the system called ``org/model/variant``; None where there is none."""
        return self._line_numbers.get(text)

    @cached_property
    def _line_numbers(self) -> dict[str, int]:
        return {str(line): i for i, line in enumerate(self.lines)}

    def texts(self, column: str) -> list[object]:
        """One of the columns that ``entries`` leaves out: ``stages``, ``signature``, ``command`` and the like, a value a submission."""
        return list(pq.read_table(self.path / "systems.parquet", columns=[column])[column].to_pylist())


def open_index(folder: Path, home: Path | None = None, *, build: bool = False, show: bool = False) -> Index:
    """The index of a folder of submissions; with ``build`` it is brought up to date first. Raises ClirBenchError where there is none."""
    home = home or index_home(folder)
    if build:
        build_index(folder, home, show=show)
    found = current(home)
    if found is None:
        raise ClirBenchError(f"{folder} has no index yet. Build it: clir-bench leaderboard build --submissions {folder}")
    return load_index(found[0], folder)


def load_index(path: Path, folder: Path) -> Index:
    """The index in a folder that a build has written."""
    schema = pq.read_schema(path / "systems.parquet")
    entries = pq.read_table(path / "systems.parquet", columns=[name for name in schema.names if name not in _HEAVY]).to_pandas()
    entries = entries.astype(dict.fromkeys(entries.columns[entries.dtypes == "str"], object))  # of an arrow array a single text costs as much as all
    problems = tuple(json.loads((path / PROBLEMS).read_text()))
    if entries.empty:
        return Index(path, folder, entries, {}, (), {}, problems)
    pairs = pq.read_table(path / "pairs.parquet", read_dictionary=["query", "document", "measure"])
    shown = entries.index[entries["current"]]
    names = list(dict.fromkeys(Line(name, variant) for name, variant in zip(entries["name"][shown], entries["variant"][shown], strict=True)))
    number = {line: i for i, line in enumerate(names)}
    boards, entry_of = {}, {}
    for key, mine in entries.loc[shown].groupby("board", sort=True):
        boards[str(key)] = board = _board(path, str(key), mine, pairs)
        entry_of[str(key)] = of = np.full(len(names), -1, np.int32)
        of[[number[Line(n, v)] for n, v in zip(mine["name"], mine["variant"], strict=True)]] = board.entries
    return Index(path, folder, entries, boards, tuple(names), entry_of, problems)


def _board(path: Path, key: str, mine: pd.DataFrame, pairs: pa.Table) -> Board:
    """The board's cubes, from the rows of its submissions in the table of pairs."""
    shape = Shape.load(path / f"shape-{key}.npz")
    entry = pairs["entry"].to_numpy()
    local = np.full(int(entry.max(initial=-1)) + 1, -1, np.int32)
    entries = mine.index.to_numpy(np.int32)
    local[entries] = np.arange(len(entries), dtype=np.int32)
    rows = np.flatnonzero(local[entry] >= 0)
    (query, asked), (document, held), (measure, measured) = (_codes(pairs[name], rows) for name in ("query", "document", "measure"))
    names = tuple(sorted({measured[i] for i in np.unique(measure)}, key=_by_kind))
    place = np.full((len(asked), len(held)), -1, np.int32)
    for i, pair in enumerate(shape.pairs):
        if pair.query in asked and pair.document in held:
            place[asked.index(pair.query), held.index(pair.document)] = i
    at = (local[entry[rows]], place[query, document], np.array([names.index(name) if name in names else -1 for name in measured])[measure])
    cubes = []
    for column in ("sum", "sum_squares", "own_sum"):
        cube = np.full((len(entries), len(shape.pairs), len(names)), np.nan)
        cube[at] = pairs[column].to_numpy()[rows]
        cubes.append(cube)
    rank_row = mine["rank_row"].fillna(-1).to_numpy(np.int32)
    ranks = np.load(path / f"ranks-{key}.npy", mmap_mode="r")
    whole, copied = mine["complete"].to_numpy(bool) & (rank_row >= 0), mine["copied"].to_numpy(bool)
    return Board(key, shape, entries, names, cubes[0], cubes[1], cubes[2], rank_row, ranks, whole, copied)


def _codes(column: pa.ChunkedArray, rows: npt.NDArray[np.intp]) -> tuple[IntArray, list[str]]:
    """The column's values in ``rows`` as numbers, and what they stand for."""
    whole = column.unify_dictionaries().combine_chunks()
    return whole.indices.to_numpy()[rows].astype(np.int32), whole.dictionary.to_pylist()


def _by_kind(name: str) -> tuple[int, int]:
    """R before nDCG before the others, then by depth."""
    measure = parse_measure(name)
    return (("R", "nDCG", "RR").index(measure.kind) if measure.kind in ("R", "nDCG", "RR") else 3, measure.k)
