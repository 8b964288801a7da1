"""Claims: numbers as a publication prints them, where there is no submission to recompute them from.

A file of ``submissions/claims/`` holds one publication. Its numbers keep the digits they were printed with, each says over what it was taken, and a table
says how much of it was transcribed. Their trust is always claimed; whether n queries can give a number at all is computed where it is shown, never stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, ValidationError

from clir_bench import resources
from clir_bench.errors import ClirBenchError
from clir_bench.measures import parse_measure
from clir_bench.records import Count, Label, Text
from clir_bench.strict import Strict, problems_in
from clir_bench.strict_json import objections
from clir_bench.task import Task, known_task, parse_pair, task_names
from clir_bench.task_records import Documents, Track
from clir_bench.trust import grim, grim_decides
from clir_bench.typology import FEATURES

FOLDER = "claims"
"""Where claim files lie below a folder of submissions."""
MACRO = "macro over pairs"
"""What a cell is over that is the unweighted mean of all pairs."""
BM25 = "bm25"
MAX_BYTES = 1_000_000

Unit = Literal["percent", "spearman x 100"]
Short = Annotated[Label, Field(min_length=1)]
Shorts = Annotated[tuple[Short, ...], Field(strict=False)]
Url = Annotated[str, Field(pattern=r"^https://[^\s<>\"']+$", max_length=300)]


class Source(Strict):
    """The publication. ``key`` is the file's name and the first word of the BibTeX entry; ``arxiv`` is the identifier with its version."""

    key: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,79}$")]
    title: Short
    authors: Annotated[Shorts, Field(min_length=1)]
    year: Annotated[int, Field(ge=1950, le=2100)]
    arxiv: Annotated[str, Field(pattern=r"^\d{4}\.\d{4,5}v[1-9]\d*$")] | None
    url: Url
    bibtex: Text


class ClaimedSystem(Strict):
    """What was evaluated, as far as the publication says; null is not said. ``label`` is its name in the table, ``name`` is ``org/model`` or ``bm25``."""

    name: Annotated[str, Field(pattern=r"^(bm25|[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*)$", max_length=160)]
    label: Short
    level: Literal["none", "word", "phrase", "document"] | None
    negatives: Literal["easy", "hard"] | None
    documents: Documents | None
    index: Literal["exact", "hnsw"] | None


class Cell(Strict):
    """A number of a table. ``value`` is the text as printed, in the table's unit.

    ``over`` is ``macro over pairs``, a pair, or a feature of FEATURES; ``n`` counts the queries of the pair, those of all pairs, or the pairs
    correlated, and ``n_from`` says where it comes from, or why it is not known.
    """

    row: Short
    column: Short
    value: Annotated[str, Field(pattern=r"^-?(0|[1-9]\d{0,6})(\.\d{1,6})?$")]
    task: str | None
    over: Short
    measure: str | None
    system: ClaimedSystem
    track: Track
    n: Annotated[int, Field(gt=0)] | None
    n_from: Short | None
    caution: Text | None

    @property
    def decimals(self) -> int:
        """Digits behind the point."""
        return len(self.value.partition(".")[2])

    @property
    def fraction(self) -> float:
        """The value as a fraction; a correlation from -1 to 1."""
        return float(f"{self.value}e-2")


class Table(Strict):
    """A table of the publication, or another place of it. ``caption`` is in our words, ``printed_cells`` how many numbers it holds, null if not known."""

    table: Short
    url: Url
    caption: Short
    quantity: Short | None
    unit: Unit | None
    columns: Shorts
    rows: Shorts
    printed_cells: Count | None
    cautions: Annotated[tuple[Text, ...], Field(strict=False)]
    cells: Annotated[tuple[Cell, ...], Field(strict=False)]

    def id_of(self, cell: Cell) -> str:
        """``Table 6 / BM25 / CLIRMatrix R@10 / en-zh``."""
        return f"{self.table} / {cell.row} / {cell.column}"


class Claims(Strict):
    """The file."""

    format: Literal["clir-bench/claims/1"] = Field(alias="schema")
    source: Source
    notes: Text | None
    tables: Annotated[tuple[Table, ...], Field(strict=False, min_length=1)]


class Possible(NamedTuple):
    """Whether some number of successes among the stated n gives the printed value, and why that is or is not decided."""

    state: Literal["consistent", "inconsistent", "not testable"]
    reason: str


class ClaimRow(NamedTuple):
    """A claimed number for a table on screen. ``value`` is a fraction, or a correlation from -1 to 1; ``url`` is its table's."""

    source: str
    table: str
    row: str
    column: str
    value: float
    printed: str
    unit: Unit
    n: int | None
    over: str
    task: str | None
    measure: str | None
    track: Track
    system: str
    trust: Literal["claimed"]
    caution: str
    url: str


def load_claims(folder: Path | None = None) -> tuple[Claims, ...]:
    """The publications in a folder of claim files, by name; without one, those of this installation. Raises ClirBenchError."""
    where = resources.folder("submissions") / FOLDER if folder is None else folder
    return tuple(read_claims(path) for path in sorted(where.glob("*.json")))


def claim_frame(claims: Sequence[Claims]) -> list[ClaimRow]:
    """One row a cell, in the order of the files."""
    return [
        ClaimRow(
            publication.source.key, table.table, cell.row, cell.column, cell.fraction, cell.value, table.unit,
            cell.n, cell.over, cell.task, cell.measure, cell.track, cell.system.label, "claimed",
            " ".join(filter(None, [cell.caution, *table.cautions])), table.url,
        )
        for publication in claims
        for table in publication.tables
        for cell in table.cells
        if table.unit is not None
    ]  # fmt: skip


def possible(cell: Cell, unit: Unit) -> Possible:
    """GRIM (Brown and Heathers 2017): a share of n queries is k/n; a printed one that no k rounds to was not taken over n queries."""
    kind = parse_measure(cell.measure).kind if cell.measure else None
    task = known_task(cell.task) if cell.task else None
    # a pool of gold documents is built with one relevant document a query: recall is then a share of the queries
    if unit != "percent" or task is None or not (kind == "Success" or (kind == "R" and task.pool == "gold")):
        return Possible("not testable", "only a share of queries is a whole number of them over n")
    if cell.n is None:
        return Possible("not testable", "n is not known")
    if cell.over == MACRO and ((each := _queries_per_pair(task)) is None or each[0] != each[1]):
        return Possible("not testable", "its pairs have different n")
    digits = cell.decimals + 2
    if not grim_decides(cell.n, digits):
        return Possible("not testable", f"of {cell.n:,} queries some number gives every value of this precision")
    if grim(cell.fraction, cell.n, digits):
        return Possible("consistent", f"some number of {cell.n:,} queries gives {cell.value} %")
    return Possible("inconsistent", f"no number of {cell.n:,} queries gives {cell.value} %")


def read_claims(path: Path) -> Claims:
    """The claims in a file. Raises ClirBenchError with every problem, first of its form, then of its content."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ClirBenchError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(content) > MAX_BYTES:
        raise ClirBenchError.of(str(path), [f"{len(content)} bytes, but a file of claims has at most {MAX_BYTES}"])
    if wrong := objections(content):
        raise ClirBenchError.of(str(path), wrong)
    try:
        claims = Claims.model_validate_json(content)
    except ValidationError as error:
        raise ClirBenchError.of(str(path), problems_in(error, Claims)) from None
    problems = disagreements(claims)
    if claims.source.key != path.stem:
        problems.insert(0, f"source.key: {claims.source.key!r}, but the file is called {path.name!r}. Make them equal.")
    if problems:
        raise ClirBenchError.of(str(path), problems)
    return claims


def disagreements(claims: Claims) -> list[str]:
    """What contradicts itself or the task definitions, one line a problem with the cell's id; empty when all fits."""
    names = [table.table for table in claims.tables]
    problems = [f"tables: {name} stands twice. Join the two." for name in sorted({n for n in names if names.count(n) > 1})]
    tasks = {cell.task: known_task(cell.task) for table in claims.tables for cell in table.cells if cell.task is not None}
    for table in claims.tables:
        problems += _in_table(table)
        for cell in table.cells:
            problems += [f"{table.id_of(cell)}: {problem}" for problem in _in_cell(cell, table, tasks.get(cell.task) if cell.task else None)]
    return problems


def _in_table(table: Table) -> Iterator[str]:
    if table.printed_cells is not None and len(table.cells) > table.printed_cells:
        yield f"{table.table}: {len(table.cells)} cells, but printed_cells is {table.printed_cells}"
    if table.cells and (table.unit is None or table.quantity is None):
        yield f"{table.table}: it has cells, but no {'unit' if table.unit is None else 'quantity'}. Say in what they are."
    places: dict[tuple[str, str], Cell] = {}
    facts: dict[str, Cell] = {}
    decimals: dict[str, Cell] = {}
    for cell in table.cells:
        for what, name, known in (("row", cell.row, table.rows), ("column", cell.column, table.columns)):
            if name not in known:
                yield f"{table.id_of(cell)}: {what} {name!r} is none of the table's {what}s. Add it there."
        if (other := places.setdefault((cell.row, cell.column), cell)) is not cell:
            yield f"{table.id_of(cell)}: stands twice, with {other.value} and {cell.value}. Remove one."
        elif (other := facts.setdefault(cell.model_dump_json(include={"task", "over", "measure", "system", "track"}), cell)) is not cell:
            yield f"{table.id_of(cell)}: is the same quantity as {table.id_of(other)}. Remove one, or say in what they differ."
        if (other := decimals.setdefault(cell.column, cell)).decimals != cell.decimals:
            yield f"{table.id_of(cell)}: {cell.value!r} has {cell.decimals} decimals, but {other.value!r} of its column {other.decimals}. Write what is printed."


def _in_cell(cell: Cell, table: Table, task: Task | None) -> Iterator[str]:
    lowest = 0 if table.unit == "percent" else -100
    if table.unit is not None and not lowest <= float(cell.value) <= 100:
        yield f"value: {cell.value}, but {table.unit} is from {lowest} to 100"
    if cell.task is not None and task is None:
        yield f"task: there is no task {cell.task!r}. There are {', '.join(task_names())}."
    if cell.measure is not None:
        try:
            parse_measure(cell.measure)
        except ValueError as error:
            yield f"measure: {error}"
    elif table.unit == "percent":
        yield "measure: null, but a percentage is that of a measure such as R@100"
    if (cell.over in FEATURES) != (table.unit == "spearman x 100") and table.unit is not None:
        yield f"over: {cell.over!r}, but only a correlation is with a feature ({', '.join(FEATURES)})"
    if task is not None and cell.over not in (MACRO, *FEATURES):
        try:
            if (pair := parse_pair(cell.over, task.query_languages or task.languages, task.languages)) not in task.language_pairs():
                yield f"over: {pair} is no pair of {task.name}"
        except ValueError as error:
            yield f"over: {error}"
    elif cell.task is None and cell.over not in (MACRO, *FEATURES):
        yield f"over: {cell.over!r}, but without a task there is only {MACRO!r} and the features"
    if cell.n is None:
        return
    if cell.n_from is None:
        yield f"n: {cell.n}, but n_from does not say where it comes from"
    if task is not None and (allowed := _allowed_n(cell, task)) and not allowed[0] <= cell.n <= allowed[1]:
        span = f"{allowed[0]:,}" if allowed[0] == allowed[1] else f"{allowed[0]:,} to {allowed[1]:,}"
        yield f"n: {cell.n:,}, but {task.name} has {span}. Where the publication took others, leave n null and say so in n_from."


def _allowed_n(cell: Cell, task: Task) -> tuple[int, int] | None:
    """The least and the most n of a task's cell: queries of the pair, or of all; pairs of a correlation (some may lack the feature). None if not known."""
    if cell.over in FEATURES:
        return 3, task.expect.pairs
    if (each := _queries_per_pair(task)) is None:
        return None
    times = task.expect.pairs if cell.over == MACRO else 1
    return times * each[0], times * each[1]


def _queries_per_pair(task: Task) -> tuple[int, int] | None:
    """The least and the most, as the built collection has them, else as the paper says, else as the recipe allows."""
    if task.expect.queries_per_pair:
        return task.expect.queries_per_pair
    if task.paper and task.paper.queries_per_pair:
        return task.paper.queries_per_pair
    return (1, task.recipe.queries_per_pair) if task.recipe.queries_per_pair else None
