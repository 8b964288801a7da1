"""Published numbers beside ours: for each claimed cell, what a submission of the same system has for the same quantity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from clir_bench.claims import BM25, MACRO, Cell, ClaimedSystem, Claims
from clir_bench.measures import macro_mean
from clir_bench.records import EncodeStage, LexicalStage, SearchStage, Stage, TranslateStage
from clir_bench.submission import Submission, means
from clir_bench.system import LEXICAL, System


class Beside(NamedTuple):
    """A claimed cell and our number for it, as fractions; ``difference`` is ours minus the published one. ``n`` is ours, queries over all pairs in it."""

    id: str
    system: str
    variant: str
    published: float
    printed: str
    ours: float
    difference: float
    n: int


def beside(claims: Sequence[Claims], submissions: Sequence[Submission]) -> list[Beside]:
    """Every cell that some submission has, too, in the order of the claims."""
    return [
        Beside(table.id_of(cell), s.system.name, s.system.variant, cell.fraction, cell.value, ours, ours - cell.fraction, queries(cell, s))
        for publication in claims
        for table in publication.tables
        if table.unit == "percent"
        for cell in table.cells
        for s in submissions
        if (ours := match(cell, s)) is not None
    ]


def match(cell: Cell, submission: Submission) -> float | None:
    """What the submission has for the cell's quantity, a fraction; None where its task, track, system, measure or pairs are not the cell's.

    A system is the same if nothing but its encoder (or BM25) and its index stands in it. An encoder is compared in the protocol ``paper``, BM25 with
    white-space tokens and the settings the tasks choose. What the publication does not say is taken as original documents and exact search.
    """
    task, measure = submission.task, cell.measure
    if (cell.task, cell.track) != (task.name, task.track) or measure is None or not _same_system(cell.system, submission.system.stages):
        return None
    if cell.over == MACRO:
        if not submission.complete or any(measure not in record.measures for record in submission.pairs):
            return None
        return macro_mean([record.pair for record in submission.pairs], means(submission, measure))
    found = next((record.measures.get(measure) for record in submission.pairs if str(record.pair) == cell.over), None)
    return found.mean if found else None


def _same_system(claimed: ClaimedSystem, stages: Sequence[Stage]) -> bool:
    texts = {stage.texts for stage in stages if isinstance(stage, TranslateStage)}
    if texts != ({"documents"} if claimed.documents == "english" else set()):
        return False
    if claimed.level not in (None, "none") or claimed.negatives is not None:  # a fine-tuned checkpoint is its maker's own: no name says it is the same
        return False
    match [stage for stage in stages if not isinstance(stage, TranslateStage)]:
        case [LexicalStage() as lexical]:
            usual = System(LEXICAL, tokenizer="whitespace")
            return claimed.name == BM25 and (lexical.tokenizer, lexical.k1, lexical.b) == (usual.tokenizer, usual.k1, usual.b)
        case [EncodeStage() as encode, SearchStage() as search]:
            return (encode.model.name, encode.protocol, search.index) == (claimed.name, "paper", claimed.index or "exact")
    return False


def queries(cell: Cell, submission: Submission) -> int:
    """The queries behind what ``match`` finds, over all its pairs."""
    return sum(record.measures[cell.measure].n for record in submission.pairs if cell.measure and cell.over in (MACRO, str(record.pair)))
