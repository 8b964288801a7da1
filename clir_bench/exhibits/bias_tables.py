"""The tables of what a system prefers and whom it serves: what the page Bias and the export show.

A same-language rate is never given without the recall in the documents' own language and the bias loss: a rate says nothing of what was missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clir_bench import languages
from clir_bench.exhibits.board_table import mixed, system_link
from clir_bench.exhibits.tables import Cell, Column, Interval, Link, Marked, Table
from clir_bench.standings.fairness import Bools, Consistency, Effect, consistency, disparity, language_effects
from clir_bench.standings.index import Board, Index
from clir_bench.standings.memory import remembered
from clir_bench.standings.overview import Standing
from clir_bench.standings.paired import position
from clir_bench.standings.preference import UNKNOWN, WHERE, Gold, Recalls, profile, recall_measure, recalls

STATED = "Counts of retrieved languages are stated by the submitter. The check refuses impossible ones, but cannot recompute them from gold ranks."
"""What same-language rates, lifts and AWRF rest on."""
UNSURE = "°"
"""The mark of a share that cannot be told from the pool's."""


class Rate(NamedTuple):
    """The questions of one language to one system: how many of the first ``depth`` places hold that language, and what was found. ``n`` questions."""

    query: str
    system: Link
    n: int
    depth: int
    rate: Interval
    pool: float
    lift: float
    cost: Recalls


def rates(index: Index, board: Board, lines: Sequence[int], mask: Bools, gold: Gold, depth: int, measure: str) -> tuple[Rate, ...]:
    """Figures 6a and 8a: by the language's name, then in the order of the systems; of the chosen query languages that the pool has documents of."""
    asked, recall = {board.pairs[i].query for i in np.flatnonzero(mask)}, recall_measure(board, measure)
    found = []
    for line in lines:
        costs = recalls(index, board, line, mask, recall)
        for row in mine.lists(gold, depth) if (mine := profile(index, board, line)) else ():
            if (at := row.own) is not None and row.language in asked:
                rate = Interval(*(float(x[at]) for x in (row.rate, *row.interval())))
                cost = costs.get(row.language, UNKNOWN)
                found.append(
                    Rate(languages.name(row.language), system_link(index, line), row.queries, row.depth, rate, float(row.share[at]), float(row.lift[at]), cost)
                )
    return tuple(sorted(found, key=lambda rate: rate.query))


def rate_table(found: Sequence[Rate], board: Board, gold: Gold, measure: str) -> Table:
    """The rates, and beside them what they cost."""
    several, name = len({rate.system for rate in found}) > 1, recall_measure(board, measure) or "recall"
    columns = (
        Column("query", "questions in"), *([Column("system", "system", "link")] if several else []), Column("n", "n", "integer", "questions counted"),
        Column("rate", "same-language rate", "interval", "share of the first places held by documents in the question's language; 95 % interval"),
        Column("pool", "of the pool", "percent", "share of the pool in that language: what would be retrieved without any preference"),
        Column("lift", "lift", "ratio", "same-language rate over the pool's share: 1 is no preference"),
        Column("recall", name, "percent", f"{name} of documents in other languages, mean over the chosen pairs"),
        Column("own", "own-language", "percent", f"{name} had the pool held the document's language only"),
        Column("loss", "bias loss", "points", "own-language recall minus recall: what documents in other languages displaced"),
        Column("pairs", "pairs", "integer", "pairs of two languages that the recalls are means over"),
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = [(r.query, *([r.system] if several else []), r.n, r.rate, r.pool, r.lift, *r.cost) for r in found]
    note = (
        "The interval takes the list of a question for one observation, the widest that counts of places allow. Recall and bias loss are of the chosen pairs of"
        " two languages; a dash: not known, as of systems with an HNSW index, fusion or a re-ranker."
    )
    return Table(f"Same-language rate at depth {found[0].depth if found else 0}, {_whose(gold)}", columns, tuple(rows), note)


def lift_map(index: Index, board: Board, line: int, mask: Bools, gold: Gold, depth: int) -> Table | None:
    """Figures 6b and 8b: query language by retrieved language, share of the places over share of the pool; None where it is not known."""
    asked = {board.pairs[i].query for i in np.flatnonzero(mask)}
    found = profile(index, board, line)
    rows = {row.language: row for row in found.lists(gold, depth) if row.language in asked} if found else {}
    if found is None or not rows:
        return None
    held = _by_family(found.held)
    body: list[tuple[Cell, ...]] = []
    for code in _by_family(rows):
        row, lift, (low, high) = rows[code], rows[code].lift, rows[code].interval()
        unsure = (low <= row.share) & (row.share <= high)
        cells = (Marked(float(lift[at]), UNSURE if unsure[at] else "") for at in map(found.held.index, held))
        body.append((languages.name(code), row.queries, *cells))
    head = (Column("query", "questions ↓ retrieved →"), Column("queries", "n", "integer", "questions counted"))
    note = f"1.00 is as in the pool, 2.00 twice as often (blue), 0.50 half as often (orange); {UNSURE} cannot be told from the pool's share at 5 %."
    title = f"{index.lines[line]}, first {next(iter(rows.values())).depth} places: times as often as in the pool, {_whose(gold)}"
    return Table(title, (*head, *(Column(code, code, "ratio", languages.name(code)) for code in held)), tuple(body), note)


def preference_table(index: Index, found: Standing, lines: Sequence[int], gold: Gold, depth: int) -> Table:
    """One row a system: what it retrieves beside what it finds. ``found`` is the standing of one data set."""
    board, mask, recall = found.boards[0], found.pairs[0], recall_measure(found.boards[0], found.selection.measure)
    both = mixed(found) > 0
    rows: list[tuple[Cell, ...]] = []
    for line in lines:
        mine, cost = profile(index, board, line), recalls(index, board, line, mask, recall).get("", UNKNOWN)
        lift, exposure = (mine.lift(gold, depth), mine.exposure(gold)) if mine else (None, None)
        at = int(np.flatnonzero(found.lines == line)[0])
        rows.append((system_link(index, line), _score(found, at), *([float(found.cross[at])] if both else []), lift, exposure, cost.own, cost.loss))
    columns = (
        Column("system", "system", "link"), Column("score", found.selection.measure, "interval", "mean over the chosen pairs; 95 % interval, topics resampled"),
        *([Column("cross", "two languages", "percent", "the score over the pairs of two languages alone")] if both else []),
        Column("lift", "same-language lift", "ratio", "mean over query languages: 1 is no preference, above 1 the question's language is preferred"),
        Column("awrf", "AWRF", "number", "1: documents of all languages stand as high as their share of the pool gives; less: some are preferred; exposure 1 / log2(rank + 1), summed over queries"),
        Column("own", f"own-language {recall or 'recall'}", "percent", "had the pool held the document's language only; pairs of two languages"),
        Column("loss", "bias loss", "points", "own-language recall minus recall"),
    )  # fmt: skip
    note = f"{found.cells_of:,} pairs, {found.queries:,} evaluated queries; own-language recall and bias loss without the pairs of one language; lift and AWRF over all query languages."
    return Table(f"Preference beside quality, lift at depth {depth}, {_whose(gold)}", columns, tuple(rows), note)


def alike_table(index: Index, board: Board, lines: Sequence[int], mask: Bools, measure: str) -> Table:
    """One row a system: whether languages are served alike."""
    rows: list[tuple[Cell, ...]] = []
    for line in lines:
        at = position(index, board, line)
        if at is None:
            continue
        asked, explained = steadiness(index, board, line, mask), effects(index, board, line, mask)
        apart = disparity(board, board.means(measure)[at], mask)
        rows.append((
            system_link(index, line), Interval(asked.value, asked.low, asked.high) if asked else None, asked.topics if asked else None,
            float(np.mean([e.epsilon for e in explained])) if explained else None,
            *((str(apart.best), apart.best_value, str(apart.worst), apart.worst_value, apart.spread, apart.variation, apart.diagonal) if apart else [None] * 7),
        ))  # fmt: skip
    columns = (
        Column("system", "system", "link"),
        Column("consistency", "consistency", "correlation", "mean Spearman correlation of the gold ranks of one question asked in two languages (MRC); 95 %"),
        Column("topics", "topics", "integer", "questions that are asked in several languages"),
        Column("epsilon", "ε²", "percent", "share of the variance of gold ranks that the document's language explains: 0 is none; mean over query languages"),
        Column("best", "best pair"), Column("best_value", f"its {measure}", "percent"), Column("worst", "worst pair"), Column("worst_value", f"its {measure}", "percent"),
        Column("spread", "spread", "points", "best minus worst pair"), Column("variation", "variation", "percent", "standard deviation over mean of the pairs"),
        Column("diagonal", "diagonal − rest", "points", "mean of the pairs of one language minus mean of the others"),
    )  # fmt: skip
    cells, n = int(mask.sum()), int(board.shape.n[mask].sum())
    note = f"Over {cells:,} pairs, {n:,} evaluated queries." + ("" if board.shape.topic is not None else " No layout says which questions are one topic.")
    return Table(f"How alike languages are served on {board.title}", columns, tuple(rows), note)


def agreement_map(index: Index, board: Board, line: int, mask: Bools) -> Table | None:
    """Query language by query language: Spearman correlation of gold ranks of the same questions; None where nothing is asked in two languages."""
    if (found := steadiness(index, board, line, mask)) is None:
        return None
    codes = _by_family(found.asked)
    at = [found.asked.index(code) for code in codes]
    head = (Column("query", "questions in"), *(Column(code, code, "heat", languages.name(code)) for code in codes))
    body: list[tuple[Cell, ...]] = [(languages.name(code), *(float(found.agreement[i, j]) for j in at)) for code, i in zip(codes, at, strict=True)]
    note = f"{found.topics:,} topics, {found.correlations:,} correlations: of two query languages and a document language, of which the mean is taken."
    return Table(f"{index.lines[line]}: Spearman × 100 of gold ranks when the same is asked in two languages", head, tuple(body), note, darkest=1.0)


def effect_table(index: Index, board: Board, lines: Sequence[int], mask: Bools) -> Table:
    """For each query language and system, what the document's language does to gold ranks (pooled PEER)."""
    several = len(lines) > 1
    rows: list[tuple[Cell, ...]] = []
    for line in lines:
        for e in effects(index, board, line, mask):
            named: tuple[Cell, ...] = (languages.name(e.query), *([system_link(index, line)] if several else []))
            rows.append((*named, e.n, e.documents, e.epsilon, e.chance, languages.name(e.best), languages.name(e.worst)))
    columns = (
        Column("query", "questions in"), *([Column("system", "system", "link")] if several else []), Column("n", "n", "integer", "evaluated queries"),
        Column("documents", "document languages", "integer"), Column("epsilon", "ε²", "percent", "share of the variance of gold ranks that the language explains"),
        Column("chance", "by chance", "percent", "its mean had the language no effect: ranks of a question exchanged between its document languages"),
        Column("best", "found best", help="best mean rank"), Column("worst", "found worst", help="worst mean rank"),
    )  # fmt: skip
    note = "Kruskal and Wallis over the gold ranks of all questions in a language, grouped by the document's; p is left out, since with so many queries it is always small."
    return Table("What the document's language does to gold ranks", columns, tuple(sorted(rows, key=lambda row: str(row[0]))), note)


def quality_table(index: Index, found: Standing, rows: npt.NDArray[np.intp]) -> Table:
    """Systems of a standing, quality beside preference: the scatter's twin."""
    body: list[tuple[Cell, ...]] = [
        (
            system_link(index, int(found.lines[i])),
            int(found.tier[i]) or None,
            _score(found, int(i)),
            float(found.lift[i]),
            float(found.own[i]),
            float(found.loss[i]),
        )
        for i in rows
    ]
    columns = (
        Column("system", "system", "link"), Column("tier", "tier", "integer"), Column("score", found.selection.measure, "interval"),
        Column("lift", "same-language lift", "ratio", "at depth 10, relevant document in another language; mean over query languages"),
        Column("own", "own-language", "percent"), Column("loss", "bias loss", "points"),
    )  # fmt: skip
    return Table("Quality beside preference", columns, tuple(body), f"{found.cells_of:,} pairs, {found.queries:,} evaluated queries.")


def steadiness(index: Index, board: Board, line: int, mask: Bools) -> Consistency | None:
    """The ``consistency`` of a system; None, too, where it has no gold ranks."""
    at = position(index, board, line)
    if at is None or board.rank_row[at] < 0:
        return None
    return remembered(index, ("consistency", board.key, line, mask.tobytes()), lambda: consistency(board, int(board.rank_row[at]), mask))


def effects(index: Index, board: Board, line: int, mask: Bools) -> tuple[Effect, ...]:
    """The ``language_effects`` of a system; none where it has no gold ranks."""
    at = position(index, board, line)
    if at is None or board.rank_row[at] < 0:
        return ()
    return remembered(index, ("effects", board.key, line, mask.tobytes()), lambda: language_effects(board, int(board.rank_row[at]), mask))


def _whose(gold: Gold) -> str:
    return f"relevant document in {WHERE[gold]}"


def _score(found: Standing, row: int) -> Interval:
    return Interval(float(found.score[row]), float(found.low[row]), float(found.high[row]))


def _by_family(codes: Iterable[str]) -> list[str]:
    return sorted(codes, key=lambda code: (languages.family(code), languages.name(code)))
