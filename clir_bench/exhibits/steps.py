"""What one step changes: every two systems that differ by it alone, on the same queries, with what it costs. Tables 3, 4, 6 and 7 of the paper, alive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, get_args

import numpy as np

from clir_bench.exhibits.board_table import system_address
from clir_bench.exhibits.ledger import Change, Scope, chain_of, changes, line_parents
from clir_bench.exhibits.tables import Cell, Column, Link, Table
from clir_bench.lineage import Step, StepKind
from clir_bench.records import TranslateStage
from clir_bench.standings.costs import once_seconds, query_ms
from clir_bench.standings.index import Board, Floats, Index
from clir_bench.standings.memory import remembered
from clir_bench.standings.paired import Bools, has, position
from clir_bench.standings.selection import Selection

KINDS: tuple[StepKind, ...] = get_args(StepKind)
WORDS: dict[StepKind, str] = {
    "rerank": "Re-ranking", "fuse": "Fusion", "index": "HNSW in place of exact search", "queries": "Queries in English", "documents": "Documents in English",
    "fine_tuning": "Fine-tuning", "dtype": "Half precision", "max_tokens": "More tokens", "prompts": "Prompts", "tokenizer": "Tokenizer",
    "protocol": "The paper's protocol in place of the model's own",
}  # fmt: skip
"""The kinds of steps, as a reader calls them."""
_BEFORE_AFTER: dict[StepKind, tuple[str, str]] = {
    "documents": ("originals", "English"), "fine_tuning": ("base", "fine-tuned"), "rerank": ("first stage", "re-ranked"), "index": ("exact", "HNSW"),
}  # fmt: skip


COMMANDS: dict[StepKind, tuple[str, ...]] = {
    "documents": (
        "clir-bench evaluate --model me5 --task clirmatrix --output submissions",
        "clir-bench evaluate --model me5 --task clirmatrix --documents english --translator nllb-ct2 --output submissions",
    ),
    "fine_tuning": (
        "clir-bench evaluate --model me5 --task clirmatrix --output submissions",
        "clir-bench evaluate --model path/to/checkpoint --name org/tuned --task clirmatrix --output submissions",
    ),
    "rerank": (
        "clir-bench evaluate --model bm25 --tokenizer whitespace --task clirmatrix --output submissions",
        "clir-bench evaluate --rerank bge --task clirmatrix --output submissions",
        "clir-bench evaluate --rerank bge --task clirmatrix --track oracle --output submissions",
    ),
    "index": (
        "clir-bench evaluate --model me5 --task clirmatrix --output submissions",
        "clir-bench evaluate --model me5 --task clirmatrix --index hnsw --output submissions",
        "clir-bench latency --model me5 --task clirmatrix",
    ),
    "fuse": (
        "clir-bench evaluate --model me5 --task clirmatrix --output submissions",
        "clir-bench evaluate --model me5 --fuse bm25 --task clirmatrix --output submissions",
    ),
}
"""What makes two systems that differ by a step, the plainer first."""
TRANSLATION_COMMANDS = (
    "clir-bench translate clirmatrix --translator nllb-ct2 --output nllb.parquet",
    "clir-bench mt-eval nllb=nllb.parquet --output translations.json --plot translations.svg",
)
"""What judges translations."""


class Pairing(NamedTuple):
    """Two systems of a board that differ by one step, the pairs of languages for which both have gold ranks, their n queries, what the step adds to the mean."""

    kind: StepKind
    text: str
    before: int
    after: int
    board: Board
    mask: Bools
    n: int
    gain: float


def pairings(index: Index, scope: Scope, lines: Sequence[int]) -> tuple[Pairing, ...]:
    """All steps that end at one of these systems, data set by data set; by the name of the system before and after."""
    return remembered(index, ("pairings", tuple(lines), *scope.key), lambda: _pairings(index, scope, lines))


def summary_table(measure: str, found: Sequence[Pairing]) -> Table:
    """What each kind of step changes, over all systems that took it."""
    rows = []
    for kind in KINDS:
        mine = [pairing for pairing in found if pairing.kind == kind]
        if mine:
            gains = np.array([pairing.gain for pairing in mine])
            rows.append(
                (
                    WORDS[kind], len({pairing.after for pairing in mine}), len(mine), float(np.median(gains)), float(gains.min()), float(gains.max()),
                    int((gains > 0).sum()), int((gains < 0).sum()), sum(pairing.n for pairing in mine),
                )
            )  # fmt: skip
    columns = (
        Column("step", "Step"), Column("systems", "Systems", "integer"), Column("comparisons", "Comparisons", "integer", "A system on a data set, against the one before it"),
        Column("median", "Median", "points", f"Of the changes in {measure}"), Column("least", "Least", "points"), Column("most", "Most", "points"),
        Column("higher", "Higher", "integer", "Comparisons in which the score rose"), Column("lower", "Lower", "integer"), Column("n", "n", "integer", "Queries compared, over all comparisons"),
    )  # fmt: skip
    return Table(f"What one step changes in {measure}, in points", columns, tuple(rows))


def step_table(index: Index, measure: str, found: Sequence[Pairing]) -> Table:
    """Pairings of one kind as rows: scores before and after, the change with its interval and test, and what the step costs."""
    key = ("step table", measure, *((pairing.board.key, pairing.mask.tobytes(), pairing.before, pairing.after) for pairing in found))
    return remembered(index, key, lambda: _step_table(index, measure, found))


def oracle_table(index: Index, selection: Selection) -> Table | None:
    """Systems of the oracle track beside their first stages: nothing is subtracted, since a relevant document that was missing was put among the candidates."""
    return remembered(index, ("oracle", selection), lambda: _oracle_table(index, selection))


def translation_table(index: Index, scope: Scope, lines: Sequence[int]) -> Table | None:
    """What submissions say of the translations they rest on; None where none does."""
    rows = []
    for line in lines:
        for board in scope.boards:
            entry = int(index.entry_of[board.key][line])
            for stage in chain_of(index, entry) if entry >= 0 else ():
                if isinstance(stage, TranslateStage):
                    made = stage.model.name if stage.model else "the collection's own"
                    items, seconds = (float(array[entry]) for array in _timed(index, f"translate_{stage.texts}"))
                    told = [items, seconds] if items else [None, None]
                    rows.append((_link(index, line), board.label, made, stage.texts, *told, stage.truncated, stage.cut, stage.untranslated))
    columns = (
        Column("system", "System", "link"), Column("data_set", "Data set"), Column("translator", "Translator"), Column("texts", "Of"), Column("items", "Translated", "integer"),
        Column("seconds", "Time, s", "number", "In this run; none where the texts were there before"), Column("truncated", "Truncated", "integer", "Texts read to the input limit"),
        Column("cut", "Cut", "integer", "Translations written to the output limit"), Column("untranslated", "Originals", "integer", "Texts for which the original stands"),
    )  # fmt: skip
    return Table("Translations behind the systems", columns, tuple(rows)) if rows else None


class _Costs(NamedTuple):
    """Numbers of a run that a table tells before and after a step: title, help and where they are from."""

    of: tuple[tuple[str, str], ...]

    def columns(self, before: str, after: str) -> Iterator[Column]:
        for key, title in self.of:
            for name, which in (("before", before), ("after", after)):
                yield Column(f"{key}_{name}", f"{title}, {which}", "number")

    def cells(self, index: Index, pairing: Pairing) -> Iterator[Cell]:
        first, second = (int(index.entry_of[pairing.board.key][line]) for line in (pairing.before, pairing.after))
        hardware = index.entries["hardware"].to_numpy()
        for key, _ in self.of:
            known = _NUMBERS[key](index)
            yield from (float(known[entry]) if hardware[first] == hardware[second] else None for entry in (first, second))


def _search_ms(index: Index) -> Floats:
    items, seconds = _timed(index, "search")
    return np.where(items > 0, 1000 * seconds / np.maximum(items, 1), np.nan)


def _build_seconds(index: Index) -> Floats:
    items, seconds = _timed(index, "build_index")
    return np.where(items > 0, seconds, np.nan)


_NUMBERS = {"ms": query_ms, "once": once_seconds, "search": _search_ms, "build": _build_seconds}
_PACE = _Costs((("ms", "ms a query"),))
_COSTS: dict[StepKind, _Costs] = {
    "documents": _Costs((("once", "once, s"),)), "index": _Costs((("search", "search, ms"), ("build", "build, s"))), "fine_tuning": _Costs(()),
}  # fmt: skip


def _step_table(index: Index, measure: str, found: Sequence[Pairing]) -> Table:
    kind = found[0].kind
    before, after = _BEFORE_AFTER.get(kind, ("before", "after"))
    costs = _COSTS.get(kind, _PACE)
    columns = (
        Column("system", "System", "link"), Column("data_set", "Data set"), Column("pairs", "Pairs", "integer"), Column("n", "n", "integer", "Queries that both systems answered"),
        Column("before", before, "percent", measure), Column("after", after, "percent", measure),
        Column("gain", "Change", "difference", "In points, with its 95\u00a0% interval: topics resampled"),
        Column("p", "p", "p", "Two-sided, topics flipped whole; not corrected for the number of rows"), *costs.columns(before, after), Column("step", "Step"),
    )  # fmt: skip
    rows = tuple(
        (
            _link(index, each.after), each.board.label, int(each.mask.sum()), each.n,
            change.score - change.gain, change.score, change.interval, change.p, *costs.cells(index, each), each.text,
        )
        for each, change in zip(found, _changes(index, measure, found), strict=True)
    )  # fmt: skip
    note = "Costs are told where both runs were on equal hardware." if costs.of else ""
    note += " Recall against exact search is no part of a submission: clir-bench latency measures it." if kind == "index" else ""
    return Table(f"{WORDS[kind]}: {measure}, macro means over the pairs of each data set, the same queries before and after", columns, rows, note)


def _oracle_table(index: Index, selection: Selection) -> Table | None:
    boards = selection.model_copy(update={"track": "oracle"}).chosen(index)
    rows, shown = [], ""
    for board in boards:
        plain, mask = index.boards.get(board.key.removesuffix(".oracle")), selection.pairs_of(board)
        measure = selection.measure if selection.measure in board.measures else next((m for m in board.measures if m.startswith("nDCG")), board.measures[0])
        scores, parents = board.means(measure)[:, mask].mean(1), line_parents(index, [board] if plain is None else [plain, board])
        shown = measure
        for at in np.argsort(-scores, kind="stable"):
            entry = int(board.entries[at])
            line = int(np.flatnonzero(index.entry_of[board.key] == entry)[0])
            step, e = parents[line], index.entries
            first = None if step is None or plain is None or step.kind != "rerank" else _score(index, plain, step.parent, mask, measure)
            rows.append(
                (
                    _link(index, line), board.label, int(mask.sum()), int(board.shape.n[mask].sum()),
                    float(e["injected"].to_numpy(float)[entry] / e["evaluated"].to_numpy(float)[entry]), first, float(scores[at]),
                )
            )  # fmt: skip
    columns = (
        Column("system", "System", "link"), Column("data_set", "Data set"), Column("pairs", "Pairs", "integer"), Column("n", "n", "integer", "Queries evaluated"),
        Column("injected", "Put in, %", "percent", "Queries to whose candidates the relevant document was added, of all it was evaluated on"),
        Column("before", "first stage", "percent", "Without the document put in"), Column("after", "oracle", "percent", "Re-ranked, the relevant document among the candidates"),
    )  # fmt: skip
    note = "A document that the first stage missed is put at its last place, so these scores are no gain over it, and R at that depth would be 100 for all."
    return Table(f"Oracle track: {shown}, macro means over the pairs of each data set", columns, tuple(rows), note) if rows else None


def _pairings(index: Index, scope: Scope, lines: Sequence[int]) -> tuple[Pairing, ...]:
    parents, names = line_parents(index, scope.boards), [str(line) for line in index.lines]
    steps = sorted(((step, line) for line in lines if (step := parents[line])), key=lambda each: (names[each[0].parent], names[each[1]]))
    return tuple(pairing for step, line in steps for pairing in _on_boards(index, scope, step, line))


def _on_boards(index: Index, scope: Scope, step: Step, line: int) -> Iterator[Pairing]:
    for board, mask in zip(scope.boards, scope.masks, strict=True):
        first, second = (position(index, board, each) for each in (step.parent, line))
        if first is None or second is None:
            continue
        both = mask & has(board, first, scope.measure) & has(board, second, scope.measure)
        if both.any():
            n, m = board.shape.n[both], board.measure(scope.measure)
            gain = (board.sums[second, both, m] - board.sums[first, both, m]) / n
            yield Pairing(step.kind, step.text, step.parent, line, board, both, int(n.sum()), float(gain.mean()))


def _changes(index: Index, measure: str, found: Sequence[Pairing]) -> list[Change]:
    """The change of each pairing; those over the same queries at once."""
    groups: dict[tuple[str, bytes], list[int]] = {}
    for i, pairing in enumerate(found):
        groups.setdefault((pairing.board.key, pairing.mask.tobytes()), []).append(i)
    placed: dict[int, Change] = {}
    for members in groups.values():
        first = found[members[0]]
        scope = Scope((first.board,), (first.mask,), measure)
        placed |= zip(members, changes(index, scope, [(found[i].before, found[i].after) for i in members]), strict=True)
    return [placed[i] for i in range(len(found))]


def _score(index: Index, board: Board, line: int, mask: Bools, measure: str) -> float | None:
    """The macro mean over the pairs of ``mask``; None where the system or one of them is not there."""
    at = position(index, board, line)
    if at is None:
        return None
    score = float((board.sums[at, mask, board.measure(measure)] / board.shape.n[mask]).mean())
    return score if np.isfinite(score) else None


def _timed(index: Index, stage: str) -> tuple[Floats, Floats]:
    """Per entry, the items of a stage and its seconds, float64 [entries]; 0 where it was not timed."""
    return remembered(index, ("timed", stage), lambda: _read_timings(index, stage))


def _read_timings(index: Index, stage: str) -> tuple[Floats, Floats]:
    timings, size = index.timings, len(index.entries)
    mine = timings[timings["stage"] == stage]
    entry = mine["entry"].to_numpy()
    items, seconds = (np.bincount(entry, mine[name].to_numpy(float), size).astype(float) for name in ("items", "seconds"))
    return items, seconds


def _link(index: Index, line: int) -> Link:
    return Link(str(index.lines[line]), system_address(index.lines[line]))
