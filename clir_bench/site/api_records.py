"""Boards, systems, places and pairs as the API writes them: plain values of an index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import cast
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pandas as pd

from clir_bench import languages, significance
from clir_bench.collection import Pair
from clir_bench.compare import as_record, compare
from clir_bench.errors import SubmissionError
from clir_bench.exhibits.bias_tables import STATED
from clir_bench.exhibits.board_table import flags_of, why_unranked
from clir_bench.exhibits.profile import entries_of
from clir_bench.exhibits.quality_cost import fronts
from clir_bench.layout import find_layout
from clir_bench.standings.costs import pace
from clir_bench.standings.index import Board, Index
from clir_bench.standings.memory import remembered
from clir_bench.standings.overview import Standing
from clir_bench.standings.paired import position

Record = dict[str, object]
_FACTS = ("parameters", "weights_bytes", "licence", "licence_class", "embedding_dim", "dtype")
_OF_SUBMISSION = (
    "path", "sha256", "board", "track", "depth", "fingerprint", "complete", "evaluated", "injected", "trust", "contamination", "contamination_reason",
    "replaces", "correction", "superseded_by", "withdrawn", "flags", "copied", "misfit", "current", *_FACTS, "started", "seconds", "hardware", "python", "clir_bench",
    "git_commit", "submitter",
)  # fmt: skip
_TRUST = ("trust", "flags", "copied")
_COUNTS = ("parameters", "weights_bytes", "embedding_dim", "depth", "evaluated", "injected")  # whole numbers, though NaN among them makes floats
_TEXTS = ("signature", "command", "citation", "notes", "reasons")


def board(index: Index, found: Board) -> Record:
    """A data set, with its pairs."""
    shape = found.shape
    return {
        "board": found.key,
        "title": found.title,
        "task": shape.task,
        "version": shape.version,
        "oracle": found.oracle,
        "fingerprint": shape.fingerprint,
        "systems": len(found.entries),
        "measures": list(found.measures),
        "n": int(shape.n.sum()),
        "topics": None if shape.topic is None else len(np.unique(shape.topic)),
        "pool": found.pool,
        "languages": {code: languages.name(code) for code in sorted({*found.query_languages, *found.document_languages})},
        "pairs": [{"query": pair.query, "document": pair.document, "n": int(n)} for pair, n in zip(found.pairs, shape.n, strict=True)],
    }


def system(index: Index, line: int) -> Record:
    """A system: what its newest submission says of it, and its submission on each board."""
    name = index.lines[line]
    mine = entries_of(index, line)
    newest = int(index.newest_of(np.array([*mine.values()], np.int32)))
    return {
        "system": str(name),
        "name": name.name,
        "variant": name.variant,
        "address": _address(index, line),
        **{column: _cell(index, newest, column) for column in _FACTS},
        "boards": {key: {"path": str(index.entries.at[entry, "path"]), **_state(index, entry)} for key, entry in mine.items()},
    }


def whole_system(index: Index, line: int) -> Record:
    """A system with all its submissions, those that stand no more included, and all its numbers."""
    name, entries = index.lines[line], index.entries
    rows = entries.index[(entries["name"] == name.name) & (entries["variant"] == name.variant)]
    texts = {column: remembered(index, ("texts", column), partial(index.texts, column)) for column in (*_TEXTS, "stages", "packages")}
    submissions = [
        {column: _cell(index, int(entry), column) for column in _OF_SUBMISSION}
        | {column: texts[column][entry] for column in _TEXTS}
        | {column: json.loads(str(texts[column][entry])) for column in ("stages", "packages")}
        for entry in rows
    ]
    scores = {found.key: list(_scores(found, at)) for found in index.boards.values() if (at := position(index, found, line)) is not None}
    return {**system(index, line), "submissions": submissions, "scores": scores}


def placed(index: Index, found: Standing, row: int) -> Record:
    """A system's place in a standing. ``n`` counts the queries behind its score; ``on_front`` names the costs on whose Pareto front it is."""
    line, entries = int(found.lines[row]), found.entries[row]
    newest = int(index.newest_of(entries))
    ms, hardware = pace(index, entries)
    worst = found.worst_pair[row]
    whole = found.cells[row] == found.cells_of
    return {
        "system": str(index.lines[line]),
        "address": _address(index, line),
        "tier": int(found.tier[row]) or None,
        "rank": [int(found.rank_low[row]), int(found.rank_high[row])] if found.tier[row] else None,
        "why_unranked": None if found.tier[row] else why_unranked(index, found, row),
        "score": number(found.score[row]),
        "interval": interval(found.low[row], found.high[row]),
        "n": found.queries if whole else None,
        "pairs": int(found.cells[row]),
        "boards": {each.key: number(value) for each, value in zip(found.boards, found.board_scores[row], strict=True)},
        "worst": None if worst is None else {"board": worst[0], "query": worst[1].query, "document": worst[1].document, "mean": number(found.worst[row])},
        "own_language": number(found.own[row]),
        "bias_loss": number(found.loss[row]),
        "same_language_lift": number(found.lift[row]),
        **{column: _cell(index, newest, column) for column in _FACTS},
        "ms_per_query": ms,
        "hardware": hardware,
        "flags": list(flags_of(index, entries[entries >= 0])),
        "copied": bool(found.copied[row]),
        "on_front": [cost for cost, on in fronts(index, found).items() if on[row]],
        "submissions": {each.key: _state(index, int(entry)) for each, entry in zip(found.boards, entries, strict=True) if entry >= 0},
    }


def of_pair(index: Index, found: Board, pair: Pair, measure: str) -> list[Record]:
    """Every system of a board in one pair, by score."""
    at, m = found.pairs.index(pair), found.measure(measure)
    n, total, squares, own = float(found.shape.n[at]), found.sums[:, at, m], found.squares[:, at, m], found.own[:, at, m]
    low, high = significance.mean_interval(np.full(len(total), n), total, squares)
    line_of = {int(entry): line for line, entry in enumerate(index.entry_of[found.key]) if entry >= 0}
    order = [row for row in np.argsort(-total, kind="stable") if np.isfinite(total[row])]
    return [
        {
            "board": found.key,
            "system": str(index.lines[line_of[int(found.entries[row])]]),
            "address": _address(index, line_of[int(found.entries[row])]),
            "n": int(n),
            "mean": number(total[row] / n),
            "interval": interval(low[row], high[row]),
            "own_language": number(own[row] / n),
            **{column: _cell(index, int(found.entries[row]), column) for column in _TRUST},
        }
        for row in order
    ]


def compared(index: Index, found: Board, a: int, b: int, measure: str) -> Record:
    """Two systems of a board, a less b; or why they cannot be compared."""
    first, second = (index.submission(int(index.entry_of[found.key][line])) for line in (a, b))
    layout = find_layout(found.shape.task, found.shape.version, found.shape.fingerprint, [index.folder])
    try:
        return as_record(compare(first, second, measure, layout))
    except SubmissionError as error:
        return {"error": str(error)}


def profiles(index: Index, found: Board, line: int, depth: int) -> Record:
    """Which languages a system retrieves on a board: counts among the first ``depth`` places of the queries of a language."""
    frame = index.bias
    mine = frame[(frame["entry"] == int(index.entry_of[found.key][line])) & (frame["depth"] == depth)]
    rows: dict[tuple[str, str], Record] = {}
    for query, gold, queries, document, count in zip(mine["query"], mine["gold"], mine["queries"], mine["document"], mine["count"], strict=True):
        row = rows.setdefault((str(query), str(gold)), {"query": str(query), "gold": str(gold), "n": int(queries), "retrieved": {}})
        cast(dict[str, int], row["retrieved"])[str(document)] = int(count)
    return {"pool": found.pool, "stated": STATED, "profiles": [rows[key] for key in sorted(rows)]}


def number(value: object) -> float | None:
    """A fraction, or nothing."""
    return float(cast(float, value)) if np.isfinite(cast(float, value)) else None


def interval(low: object, high: object) -> list[float] | None:
    """From low to high, or nothing."""
    return None if (least := number(low)) is None or (most := number(high)) is None else [least, most]


def _scores(found: Board, at: int) -> Iterator[Record]:
    """The mean of every pair and measure, and in the pool of the document language where that is known."""
    n = found.shape.n
    for i, pair in enumerate(found.pairs):
        if np.isfinite(found.sums[at, i]).any():
            means, own = (_by_measure(found, cube[at, i] / n[i]) for cube in (found.sums, found.own))
            yield {"query": pair.query, "document": pair.document, "n": int(n[i]), "means": means, "own_language": own}


def _by_measure(found: Board, values: npt.NDArray[np.float64]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(found.measures, values, strict=True) if np.isfinite(value)}


def _state(index: Index, entry: int) -> Record:
    return {column: _cell(index, entry, column) for column in (*_TRUST, "contamination", "complete", "started")}


def _address(index: Index, line: int) -> str:
    name = index.lines[line]
    return f"/api/v1/systems/{quote(name.name)}/{quote(name.variant)}"


def _cell(index: Index, entry: int, column: str) -> object:
    """A cell of the table of submissions as JSON has it; missing is None."""
    value: object = index.entries.at[entry, column]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if pd.isna(value):  # type: ignore[call-overload]
        return None
    return int(cast(float, value)) if column in _COUNTS else value.item() if isinstance(value, np.generic) else value
