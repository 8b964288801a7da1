"""Numbers that publications print for what a selection shows: there is no submission behind them, so they have no rank and no test."""

from __future__ import annotations

import re

from clir_bench.claims import FOLDER, MACRO, ClaimRow, Claims, claim_frame, load_claims
from clir_bench.exhibits.tables import Column, Link, Table
from clir_bench.standings.index import Index
from clir_bench.standings.memory import remembered
from clir_bench.standings.overview import Standing


def publications(index: Index) -> tuple[Claims, ...]:
    """The publications beside the submissions; where there are none, those that come with clir-bench. Raises ClirBenchError for a file that does not hold."""
    return remembered(index, ("publications",), lambda: load_claims(index.folder / FOLDER) or load_claims())


def claim_rows(index: Index) -> tuple[ClaimRow, ...]:
    """All claimed numbers. Raises ClirBenchError for a file of claims that does not hold."""
    return remembered(index, ("claims",), lambda: tuple(claim_frame(publications(index))))


def published_table(index: Index, standing: Standing) -> Table:
    """The claimed numbers of the chosen data sets, track and measure: averages over all their pairs, or of a pair where just that one is chosen."""
    over = {
        (board.shape.task, MACRO if mask.all() else str(board.pairs[int(mask.argmax())])): board.label
        for board, mask in zip(standing.boards, standing.pairs, strict=True)
        if mask.all() or mask.sum() == 1
    }
    asked = standing.selection
    tracks = ("retrieval", "rerank") if asked.track == "all" else (asked.track,)
    rows = [row for row in claim_rows(index) if (row.task, row.over) in over and row.measure == asked.measure and row.track in tracks]
    cautions = [sentence for row in rows for sentence in re.split(r"(?<=\.) ", row.caution) if sentence]
    return Table(
        "Published numbers, not comparable query by query",
        (
            Column("source", "Publication", "link"),
            Column("cell", "Cell", "text", "Row and column of its table, as it names them or as we do"),
            Column("data_set", "Data set"),
            Column("value", asked.measure, "text", "As printed, percent"),
            Column("n", "n", "integer", "Queries, where the publication says so"),
            Column("trust", "Trust"),
        ),
        tuple(
            (
                Link(f"{row.source}, {row.table}", row.url), f"{row.row} / {row.column}", over[str(row.task), row.over], row.printed, row.n, row.trust,
            )
            for row in rows
        ),
        " ".join(dict.fromkeys(["Read from a publication: there is no submission to recompute them from, so they have no rank.", *cautions])),
    )  # fmt: skip
