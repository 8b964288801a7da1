"""A submission that is not on the board yet: its numbers as tables."""

from __future__ import annotations

from collections.abc import Sequence

from clir_bench import languages
from clir_bench.exhibits.tables import Column, Table, grid
from clir_bench.submission import Submission


def measures_table(submission: Submission) -> Table:
    """The macro mean of every measure that all pairs have; over the pairs of two languages alone in the full pool and in that of the document's language."""
    n = sum(next(iter(record.measures.values())).n for record in submission.pairs)
    named = [name for name in submission.pairs[0].measures if all(name in record.measures for record in submission.pairs)]
    two = [record for record in submission.pairs if not record.pair.same]
    rows = []
    for name in named:
        own = [record.own_language[name].mean for record in two if name in record.own_language]
        rows.append((name, _mean([record.measures[name].mean for record in submission.pairs]), _mean([record.measures[name].mean for record in two]),
                     _mean(own) if len(own) == len(two) else None))  # fmt: skip
    columns = (
        Column("measure", "Measure"), Column("mean", "Mean", "percent"), Column("two", "Two languages", "percent", "Over the pairs of two languages alone"),
        Column("own", "Own language", "percent", "The same, had the pool held only the document's language; known for recall with exact search"),
    )  # fmt: skip
    pairs = f"{len(submission.pairs):,} of {submission.task.pairs:,} pairs"
    return Table(f"Macro means over {pairs} of {submission.task.name} v{submission.task.version} (n = {n:,} queries)", columns, tuple(rows))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def pairs_map(submission: Submission, measure: str) -> Table:
    """The measure of each pair: rows are the languages of the questions, columns those of the documents."""
    found = {record.pair: record.measures[measure].mean for record in submission.pairs if measure in record.measures}
    asked = sorted({pair.query for pair in found}, key=languages.name)
    held = sorted({pair.document for pair in found}, key=languages.name)
    value = {(pair.query, pair.document): mean for pair, mean in found.items()}
    values = [[value.get((query, document)) for document in held] for query in asked]
    counts = [record.measures[measure].n for record in submission.pairs if measure in record.measures]
    n = f"{counts[0]:,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
    return grid(
        f"{measure} of each pair",
        [languages.name(code) for code in asked],
        held,
        values,
        corner="questions ↓ documents →",
        note=f"Percent; {n} queries a pair.",
    )
