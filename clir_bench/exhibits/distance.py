"""Whether scores follow the similarity of languages (the paper's Table 8): our correlations of a data set beside the published ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from clir_bench.claims import ClaimRow
from clir_bench.exhibits.board_table import system_link
from clir_bench.exhibits.published import claim_rows
from clir_bench.exhibits.tables import Cell, Column, Interval, Link, Table
from clir_bench.exhibits.words import counted
from clir_bench.standings.fairness import Bools
from clir_bench.standings.index import Board, Index
from clir_bench.standings.memory import remembered
from clir_bench.standings.overview import Standing
from clir_bench.standings.paired import position
from clir_bench.typology import FEATURES, Correlation, Feature, Fill, correlation

SHOWN = 10
"""Systems of ``distance_table``."""


class Way(NamedTuple):
    """A way to take the correlation."""

    key: str
    title: str
    fill: Fill
    same_language: bool


WAYS = (
    Way("average", "two languages", "average", False),
    Way("knn", "gaps predicted", "knn", False),
    Way("same", "with pairs of one language", "average", True),
)


def distance_table(index: Index, found: Standing) -> Table:
    """Spearman's correlation of pair scores with each feature, pairs of one language left out; ``found`` is the standing of one data set.

    The first ten systems that have all pairs, then what publications print for this data set.
    """
    board, mask, measure = found.boards[0], found.pairs[0], found.selection.measure
    rows: list[tuple[Cell, ...]] = []
    n = dict.fromkeys(FEATURES, 0)
    for line in found.lines[np.isfinite(found.score)][:SHOWN].tolist():
        ours = [correlate(index, board, line, mask, measure, feature, WAYS[0]) for feature in FEATURES]
        n = dict(zip(FEATURES, (each.n for each in ours), strict=True))  # all have all pairs
        rows.append((system_link(index, line), measure, *(_cell(each) for each in ours)))
    claimed = [row for task, row in _published(index, board.oracle) if task == board.shape.task and mask.all()]
    rows += claimed
    columns = (
        Column("system", "system", "link"), Column("measure", "measure"),
        *(Column(feature, f"{feature}, n = {n[feature]}", "correlation", f"{counted(n[feature], 'pair')} with a figure; 95\u00a0% interval, languages resampled") for feature in FEATURES),
    )  # fmt: skip
    note = (
        "Positive: the more similar the two languages, the better. The interval draws whole languages with all their pairs, since pairs that share a language are"
        f" not independent, and is rather too wide than too narrow. n counts our pairs; published rows are claimed, {'each with its own n' if claimed else 'and there is none for these pairs'}."
    )
    return Table(f"Spearman correlation of {measure} with the similarity of languages, {board.label}", columns, tuple(rows), note)


def elsewhere_table(index: Index, board: Board) -> Table | None:
    """What publications print for other data sets than this; None where there is nothing."""
    rows = [(task, *cells) for task, cells in _published(index, board.oracle) if task != board.shape.task]
    columns = (
        Column("task", "data set"), Column("system", "system", "link"), Column("measure", "measure"), *(Column(f, f, "correlation") for f in FEATURES),
    )  # fmt: skip
    return Table("Published for other data sets", columns, tuple(rows), "As printed, without intervals; there is no submission behind them.") if rows else None


def ways_table(index: Index, board: Board, line: int, mask: Bools, measure: str) -> Table:
    """A row a feature: one system's correlation taken in three ways, each with its n."""
    rows: list[tuple[Cell, ...]] = []
    for feature in FEATURES:
        taken = [correlate(index, board, line, mask, measure, feature, way) for way in WAYS]
        rows.append((feature, *(cell for each in taken for cell in (_cell(each), each.n))))
    columns = (
        Column("feature", "feature"),
        *(c for way in WAYS for c in (Column(way.key, way.title, "correlation", "Spearman; 95\u00a0% interval, languages resampled"), Column(f"{way.key}_n", "n", "integer", "pairs"))),
    )  # fmt: skip
    note = (
        "URIEL similarity: cosine of the features that both languages have; average: of its sources, pairs without a shared feature are left out; predicted:"
        " missing features from the nearest languages. Figures from lang2vec 1.1.2, CC BY-SA 4.0."
    )
    return Table(f"{index.lines[line]} on {board.label}, {measure}: three ways to take it", columns, tuple(rows), note)


def correlate(index: Index, board: Board, line: int, mask: Bools, measure: str, feature: Feature, way: Way) -> Correlation:
    """Of a system's means in the pairs of ``mask``."""

    def all_features() -> dict[Feature, Correlation]:
        at = position(index, board, line)
        scores = np.where(mask, board.means(measure)[at], np.nan) if at is not None else np.full(len(mask), np.nan)
        return {each: correlation(board.pairs, scores, each, way.fill, same_language=way.same_language) for each in FEATURES}

    return remembered(index, (f"distance {way.key}", board.key, line, mask.tobytes(), measure), all_features)[feature]


def _published(index: Index, oracle: bool) -> list[tuple[str, tuple[Cell, ...]]]:
    """Claimed correlations as rows of ``distance_table``, and the task of each."""
    found: dict[tuple[str, str, str], dict[str, ClaimRow]] = {}
    for row in claim_rows(index):
        if row.unit == "spearman x 100" and row.task and (row.track == "oracle") == oracle:
            n = f"n = {row.n}" if row.n else "n not said"
            found.setdefault((row.task, f"{row.system}, {row.source} {row.table}: {row.trust}, {n}", row.url), {})[row.over] = row
    return [
        (task, (Link(name, url), "not said", *(Interval(cells[f].value, np.nan, np.nan) if f in cells else None for f in FEATURES)))
        for (task, name, url), cells in found.items()
    ]


def _cell(found: Correlation) -> Interval:
    return Interval(found.rho, found.low, found.high)
