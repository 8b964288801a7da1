"""A publication's tables, cell by cell as they were printed, each beside what a submission of the same system has for the same quantity."""

from __future__ import annotations

from functools import partial

from clir_bench import claims as published
from clir_bench.claims import BM25, Cell, Claims
from clir_bench.exhibits.board_table import system_address
from clir_bench.exhibits.published import publications
from clir_bench.exhibits.tables import Cell as Shown
from clir_bench.exhibits.tables import Column, Link, Table
from clir_bench.exhibits.words import counted
from clir_bench.paper import match, queries
from clir_bench.standings.index import Index, Line
from clir_bench.standings.memory import remembered
from clir_bench.submission import Submission

_OURS_BM25 = "clir-bench/bm25"


def table_facts(publication: Claims) -> list[tuple[str, str]]:
    """Of each transcribed table how much is here, in which unit, and what to know of it, a sentence a line; then the others by name, together."""
    facts = [
        (f"{table.table}: {counted(len(table.cells), 'cell')}{f', {table.unit}' if table.unit else ''}", "\n".join([table.caption, *table.cautions]))
        for table in publication.tables
        if table.cells
    ]
    bare = [f"{table.table} ({table.caption.rstrip('.')})" for table in publication.tables if not table.cells]
    return [*facts, *([("No cell is here", "; ".join(bare) + ".")] if bare else [])]


def printed(index: Index, table: str) -> Table:
    """The transcribed cells of a table of every publication, ours beside them; its note says how much is transcribed, and what to know of it."""
    return remembered(index, ("printed", table), lambda: _printed(index, table))


def first_measure(index: Index, table: str) -> str | None:
    """The measure of a table's first transcribed cell; None where none has one."""
    cells = (cell for publication in publications(index) for each in publication.tables if each.table == table for cell in each.cells)
    return next((cell.measure for cell in cells if cell.measure), None)


def all_printed(index: Index) -> Table:
    """Every transcribed cell of every publication, without ours."""
    rows = [
        (
            Link(f"{publication.source.key}, {table.table}", table.url), f"{cell.row} / {cell.column}", cell.value, table.unit, cell.n, cell.n_from,
            published.possible(cell, table.unit).state, cell.caution or "",
        )
        for publication in publications(index)
        for table in publication.tables
        for cell in table.cells
        if table.unit is not None
    ]  # fmt: skip
    columns = (
        Column("table", "Table", "link"), Column("cell", "Row and column"), Column("value", "Printed"), Column("unit", "Unit"), Column("n", "n", "integer"),
        Column("n_from", "n from"), Column("possible", "k/n", "text", "Whether some whole number of n queries gives the printed value"), Column("caution", "What to know"),
    )  # fmt: skip
    note = (
        "All of them are claimed: there is no submission to recompute them from. k/n is not testable where n is not known, or differs between pairs, or is so large"
        " that some k gives every value of this precision, and where the value is no share of queries."
    )
    return Table("Published numbers", columns, tuple(rows), note)


_COLUMNS = (
    Column("cell", "Cell", "link", "Row and column, as the publication names them or as we do"), Column("value", "Printed", "text", "As printed"),
    Column("n", "n", "integer", "Queries, where they are known; pairs, for a correlation"), Column("n_from", "n from"),
    Column("ours", "Ours", "percent", "A submission of the same system, if there is one"), Column("ours_n", "our n", "integer"), Column("system", "System", "link"),
    Column("caution", "What to know"),
)  # fmt: skip


def _printed(index: Index, table: str) -> Table:
    rows, notes = [], []
    for publication in publications(index):
        for each in publication.tables:
            if each.table == table:
                rows += [_row(index, publication, each, cell) for cell in each.cells]
                known = counted(len(each.cells), "cell") if each.printed_cells is None else f"{len(each.cells)} of {counted(each.printed_cells, 'cell')}"
                notes += [*([f"{publication.source.key}: {known}."] if each.cells else []), *each.cautions]
    columns = (*(column for column in _COLUMNS if column.key != "caution" or any(row[-1] for row in rows)),)
    return Table(f"{table} as published: claimed, not comparable query by query", columns, tuple(row[: len(columns)] for row in rows), " ".join(notes))


def _row(index: Index, publication: Claims, table: published.Table, cell: Cell) -> tuple[Shown, ...]:
    found = _ours(index, cell)
    ours: tuple[Shown, ...] = (None, None, None)
    if found is not None:
        value, submission = found
        line = Line(submission.system.name, submission.system.variant)
        ours = (value, queries(cell, submission), Link(str(line), system_address(line)))
    return (Link(f"{cell.row} / {cell.column}", table.url), cell.value, cell.n, cell.n_from, *ours, cell.caution)


def _ours(index: Index, cell: Cell) -> tuple[float, Submission] | None:
    """The first submission of the cell's system that has its quantity; only those that bear its name are read."""
    e = index.entries
    name = _OURS_BM25 if cell.system.name == BM25 else cell.system.name
    for entry in e.index[e["current"] & (e["name"] == name) & (e["task"] == cell.task) & (e["track"] == cell.track)]:
        submission = remembered(index, ("submission", int(entry)), partial(index.submission, int(entry)))
        if (value := match(cell, submission)) is not None:
            return value, submission
    return None
