"""One system, all that is known of it: its chain, scores on each data set, trust, costs, versions, variants, and what happened to its submissions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import cast

import numpy as np

from clir_bench.events import Event, sound_events
from clir_bench.exhibits.board_table import licence_words, rank_words, system_address, trust_cell, worst_words
from clir_bench.exhibits.tables import Cell, Column, Interval, Link, Table
from clir_bench.lineage import Chain, stage_texts
from clir_bench.records import TimingRecord
from clir_bench.standings.index import Board, Index
from clir_bench.standings.memory import remembered
from clir_bench.standings.overview import standing
from clir_bench.standings.selection import Selection
from clir_bench.submission import Submission
from clir_bench.trust import FLAGS, Assessment, State, Trust, state_of

STYLE = """
ol.cb-chain{list-style:none;display:flex;flex-wrap:wrap;gap:.6rem 0;margin:.2rem 0 .6rem;padding:0}
ol.cb-chain>li{display:flex;align-items:center;max-width:100%;margin:0}
ol.cb-chain>li+li::before{content:"→";padding:0 .6rem;opacity:.6}
ol.cb-chain div{border:1px solid color-mix(in srgb,currentColor 25%,transparent);border-left:3px solid #2f79b5;border-radius:.35rem;padding:.4rem .7rem;max-width:21rem;min-width:0}
ol.cb-chain small{display:block;font-size:.72rem;opacity:.75;overflow-wrap:anywhere}
ol.cb-chain b{display:block;font-weight:600;font-size:.92rem;overflow-wrap:anywhere}
dl.cb-facts{display:grid;grid-template-columns:minmax(9.5rem,max-content) minmax(0,1fr);gap:.25rem 1.2rem;margin:.2rem 0 .8rem;padding:0;font-size:.875rem;max-width:60rem}
dl.cb-facts dt{opacity:.75}dl.cb-facts dd{margin:0;overflow-wrap:anywhere;white-space:pre-line}
dl.cb-facts.cb-wide{display:flex;flex-wrap:wrap;gap:.5rem 2.2rem;max-width:none}dl.cb-wide dt{font-size:.78rem}
@media (max-width:640px){dl.cb-facts{grid-template-columns:minmax(0,1fr);gap:.05rem}dl.cb-facts dd{margin:0 0 .5rem}}
"""
"""The style of chains and facts."""
_KINDS = {
    "translate": "Translation", "encode": "Encoder", "search": "Search", "lexical": "Lexical index", "fuse": "Fusion", "rerank": "Re-ranker", "external": "External",
}  # fmt: skip


def entries_of(index: Index, line: int) -> dict[str, int]:
    """The submission that stands for a system on each board where it has one: entries by the board's key."""
    return {key: int(of[line]) for key, of in index.entry_of.items() if of[line] >= 0}


def primary(board: Board) -> str:
    """The measure a board is told by: R@10, or its first."""
    return "R@10" if "R@10" in board.measures else board.measures[0]


def chain_html(stages: Chain) -> str:
    """The chain as a row of boxes, escaped; with ``STYLE``."""
    told = (
        f"<li><div><small>{escape(_KINDS[kind])}</small><b>{escape(title)}</b>{f'<small>{escape(detail)}</small>' if detail else ''}</div></li>"
        for kind, title, detail in stage_texts(stages)
    )
    return f'<ol class="cb-chain" aria-label="Stages, in order">{"".join(told)}</ol>'


def facts_html(facts: Iterable[tuple[str, str | None]], *, wide: bool = False) -> str:
    """Facts by name, escaped, below each other or ``wide``, beside each other; those that are None are left out. With ``STYLE``."""
    told = [f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts if value is not None]
    return f'<dl class="cb-facts{" cb-wide" if wide else ""}">{"".join(f"<div>{each}</div>" if wide else each for each in told)}</dl>'


def scores_table(index: Index, line: int) -> Table:
    """The system on each data set where it has a submission: every measure, the first with its interval, tier and rank among all systems there."""
    boards = [index.boards[key] for key in entries_of(index, line)]
    names = list(dict.fromkeys(name for board in boards for name in board.measures))
    names.sort(key=lambda name: all(name != primary(board) for board in boards))
    rows = tuple((_on_board(index, board, line, names)) for board in boards)
    columns = (
        Column("data_set", "Data set"), Column("pairs", "Pairs"), Column("n", "n", "integer", "Queries evaluated"),
        Column("tier", "Tier", "integer", "Among all systems there; those of one tier cannot be told from its leader"),
        Column("rank", "Rank", "text", "From 1 + the systems that are surely better to all but those surely worse: 95 % for all systems at once"),
        *(Column(name, name, "interval" if i == 0 else "percent", "Macro mean over its pairs") for i, name in enumerate(names)),
        Column("worst", "Worst pair", "text", "Query language first"), Column("loss", "Bias loss", "points", "Own-language mean less that of the full pool"),
        Column("lift", "Lift", "number", "Same-language lift among the first 10; 1 is indifference"),
    )  # fmt: skip
    partial = any(not index.entries["complete"].to_numpy()[entry] for entry in entries_of(index, line).values())
    copied = any(index.boards[key].copied[index.boards[key].entries == entry].any() for key, entry in entries_of(index, line).items())
    notes = ["A mean over some of a task's pairs does not compare with one over all."] * partial + ["What is flagged as a copy has no rank."] * copied
    return Table(f"{index.lines[line]} on each data set", columns, rows, " ".join(notes))


def system_facts(index: Index, line: int) -> tuple[tuple[str, str | None], ...]:
    """What it takes to use the system, in words: of its newest submission."""
    e = index.entries
    newest = max(entries_of(index, line).values(), key=lambda entry: (str(e["started"].to_numpy()[entry]), entry))
    row = e.loc[newest]
    size, parameters, dimension = (_number(index, name, newest) for name in ("weights_bytes", "parameters", "embedding_dim"))
    return (
        ("Weights", "no model" if size == 0 else "not known" if size is None else f"{size / 1e9:.2f} GB as published"),
        ("Parameters", None if not parameters else f"{parameters / 1e6:,.0f} million"),
        ("Licence", licence_words(index, newest) + (f" ({row['licence_class']})" if isinstance(row["licence"], str) else "")),
        ("Dimension", None if dimension is None else f"{dimension:,.0f} numbers a document"),
        ("Computed in", row["dtype"] if isinstance(row["dtype"], str) else None),
        ("Newest run", f"{str(row['started'])[:10]}"),
    )


def trust_words(index: Index, entry: int) -> tuple[str, ...]:
    """The level of trust of a submission, its reasons, and what the log says for and against it."""
    found = _known(index, entry)
    return (found.trust, *found.reasons)


def timings_table(timings: Sequence[TimingRecord], hardware: str) -> Table:
    """What a run took, stage by stage."""
    columns = (
        Column("stage", "Stage"), Column("items", "Items", "integer"), Column("seconds", "Wall, s", "number"), Column("cpu", "CPU, s", "number"),
        Column("each", "ms an item", "number"),
    )  # fmt: skip
    rows = tuple((t.stage.replace("_", " "), t.items, t.seconds, t.cpu_seconds, 1000 * t.seconds / t.items if t.items else None) for t in timings)
    return Table(f"What the run took on {hardware}", columns, rows, "What a run found in its cache cost it nothing. Compare on equal hardware only.")


def provenance_facts(submission: Submission, sha256: str) -> tuple[tuple[str, str | None], ...]:
    """Where the numbers of a submission come from."""
    p, task = submission.provenance, submission.task
    known = f"{task.documents:,} documents, {task.queries:,} queries, {task.pairs:,} pairs" if task.documents and task.queries else f"{task.pairs:,} pairs"
    return (
        ("Task", f"{task.name} v{task.version}, track {task.track}, depth {task.depth}: {known}"), ("Collection", task.fingerprint),
        ("Run", f"{p.started.replace('T', ' ').removesuffix('Z')} UTC, {p.seconds:,.1f} s"), ("Machine", f"{p.gpu or p.cpu}, {p.cores} cores; {p.platform}"),
        ("Software", ", ".join([f"clir-bench {p.clir_bench}", f"Python {p.python}", *(f"{name} {version}" for name, version in p.packages.items())])),
        ("Commit", p.git_commit), ("Seed", None if p.seed is None else str(p.seed)), ("Command", p.command), ("Submitter", submission.submitter),
        ("Notes", submission.notes), ("File", sha256),
    )  # fmt: skip


def versions_table(index: Index, line: int) -> Table:
    """Every submission of the system, whether it stands, was replaced, withdrawn, or does not fit; the newest first."""
    e, name = index.entries, index.lines[line]
    named = np.flatnonzero((e["name"].to_numpy() == name.name) & (e["variant"].to_numpy() == name.variant))
    told = ["started", "task", "version", "track", "trust", "path", "sha256"]
    mine = e[told].iloc[named].sort_values(["started", "path"], ascending=False)
    columns = (
        Column("date", "Run"), Column("data_set", "Data set"), Column("track", "Track"), Column("state", "State"), Column("trust", "Trust"),
        Column("path", "File"), Column("sha256", "SHA-256"),
    )  # fmt: skip
    rows = tuple(
        (
            str(row.started)[:10], f"{row.task} v{row.version}", str(row.track), state_words(index, int(cast(int, row.Index))), str(row.trust), str(row.path),
            str(row.sha256).removeprefix("sha256:")[:12],
        )
        for row in mine.itertuples()
    )  # fmt: skip
    return Table(f"All submissions of {name}", columns, rows, "A file never changes: a correction is a new one, and the old one stays.")


def variants_table(index: Index, line: int, board: Board) -> Table:
    """The variants of the same model on a board, by score: the best of many is chosen by the queries it is shown on."""
    measure, e = primary(board), index.entries
    scores = board.means(measure)
    rows: list[tuple[Cell, ...]] = []
    for other, name in enumerate(index.lines):
        entry = int(index.entry_of[board.key][other])
        if name.name == index.lines[line].name and entry >= 0:
            score = float(scores[np.flatnonzero(board.entries == entry)[0]].mean())
            rows.append(
                (Link(name.variant, system_address(name)), score, int(e["evaluated"].to_numpy()[entry]), trust_cell(index, np.array([entry], np.int32)))
            )
    rows.sort(key=lambda row: -np.nan_to_num(float(cast(float, row[1])), nan=-1.0))
    columns = (
        Column("variant", "Variant", "link"),
        Column("score", measure, "percent"),
        Column("n", "n", "integer", "Queries evaluated"),
        Column("trust", "Trust", "noted"),
    )
    many = f"{len(rows)} variants of it stand here: the best of many is flattered by the choice." if len(rows) > 1 else ""
    return Table(f"Variants of {index.lines[line].name} on {board.title}", columns, tuple(rows), many)


def events(index: Index) -> tuple[Event, ...]:
    """What happened to submissions, oldest first, as far as the log holds; what is wrong with it is among the index's problems."""
    return remembered(index, ("events",), lambda: sound_events(index.folder)[0])


def events_table(found: Iterable[Event], caption: str) -> Table:
    """Events, the newest first."""
    columns = (
        Column("date", "Date"), Column("event", "Event"), Column("path", "File"), Column("trust", "Trust"), Column("by", "By"), Column("note", "Note"),
    )  # fmt: skip
    rows = tuple((e.date[:10], e.event, e.path, e.trust, e.by, e.note) for e in reversed(list(found)))
    return Table(caption, columns, rows)


def _on_board(index: Index, board: Board, line: int, names: Sequence[str]) -> tuple[Cell, ...]:
    main = primary(board)
    found = standing(index, Selection(boards=(board.key.removesuffix(".oracle"),), measure=main, track="oracle" if board.oracle else "all"))
    row = int(np.flatnonzero(found.lines == line)[0])
    at = int(np.flatnonzero(board.entries == found.entries[row, 0])[0])
    values = board.sums[at] / board.shape.n[:, None]
    means = {name: float(np.nanmean(values[:, m])) if np.isfinite(values[:, m]).any() else np.nan for m, name in enumerate(board.measures)}
    cells: list[Cell] = [
        Interval(means.get(name, np.nan), *((float(found.low[row]), float(found.high[row])) if name == main else (np.nan, np.nan)))
        if i == 0
        else means.get(name)
        for i, name in enumerate(names)
    ]
    worst = f"{worst_words(found, row)}: {100 * found.worst[row]:.1f}" if found.worst_pair[row] else None
    return (
        board.title, f"{found.cells[row]:,} of {found.cells_of:,}", int(index.entries["evaluated"].to_numpy()[found.entries[row, 0]]), int(found.tier[row]) or None,
        rank_words(found, row), *cells, worst, float(found.loss[row]), float(found.lift[row]),
    )  # fmt: skip


def _number(index: Index, column: str, entry: int) -> float | None:
    value = float(index.entries[column].to_numpy(float, na_value=np.nan)[entry])
    return value if np.isfinite(value) else None


def _known(index: Index, entry: int) -> State:
    """The state of a submission, with its reasons."""
    e = index.entries
    stated = remembered(index, ("reasons",), lambda: index.texts("reasons"))[entry]
    reasons = tuple(map(str, cast(Sequence[object], stated)))
    return state_of(str(e["sha256"].to_numpy()[entry]), Assessment(cast(Trust, e["assessed"].to_numpy()[entry]), reasons), events(index))


def state_words(index: Index, entry: int) -> str:
    """Whether a submission stands, was replaced, withdrawn, or does not fit, and what it is flagged for."""
    row = index.entries.loc[entry]
    if row["withdrawn"]:
        return f"withdrawn: {_known(index, entry).withdrawn}"
    if isinstance(row["superseded_by"], str):
        return f"superseded by {row['superseded_by']}"
    if isinstance(row["misfit"], str):
        return f"does not fit: {row['misfit']}"
    partial = "" if row["complete"] else ", not all pairs"
    corrects = f", a correction ({row['correction']})" if isinstance(row["correction"], str) else ""
    flagged = f", {FLAGS['copied' if row['copied'] else 'flagged']}: {'; '.join(row['flags'])}" if len(row["flags"]) else ""
    return f"{'stands' if row['current'] else 'another stands for it'}{partial}{corrects}{flagged}"
