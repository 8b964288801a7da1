"""The leaderboard of a selection as a table: which columns there are, in what order its systems stand, and what each of them shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt

from clir_bench.contamination import ORDER, State
from clir_bench.exhibits.tables import Cell, Column, Interval, Link, Noted, Table
from clir_bench.standings.costs import gigabytes, pace
from clir_bench.standings.index import Floats, Index, Line
from clir_bench.standings.memory import column, remembered
from clir_bench.standings.overview import Standing
from clir_bench.standings.selection import LEVELS
from clir_bench.trust import FLAGS

Rows = npt.NDArray[np.intp]
"""Places in a standing."""
Order = Literal["score", "name", "worst pair", "bias loss", "size", "date"]
ORDERS: tuple[Order, ...] = get_args(Order)
SEEN_WORDS: dict[State, str] = {state: state.replace("_", " ") for state in ORDER}
"""What a system was trained on of what a data set evaluates, in a word."""
_MOST = 17  # columns that are shown where nothing is said; the last are off a small screen


class Placed(NamedTuple):
    """Places in a standing: of the systems that have a rank, and of the others."""

    ranked: Rows
    others: Rows


def order_rows(index: Index, standing: Standing, order: Order = "score", find: str = "") -> Placed:
    """The systems in this order, best, least or newest first, unknown last; only those whose name holds all words of ``find``."""
    words = find.casefold().split()
    rows = np.arange(len(standing.lines))
    if words:
        names = [str(index.lines[line]).casefold() for line in standing.lines]
        rows = rows[[all(word in name for word in words) for name in names]]
    if order != "score":  # that of the standing itself
        rows = rows[np.lexsort((rows, _sort_keys(index, standing, order)[rows]))]
    return Placed(rows[standing.tier[rows] > 0], rows[standing.tier[rows] == 0])


def columns_of(standing: Standing) -> dict[str, Column]:
    """All columns that the table of a standing can have, in their order, by key; the first four are always shown."""
    measure = standing.selection.measure
    boards = [Column(board.key, board.label, "percent", f"{measure}, mean over its chosen pairs") for board in standing.boards]
    cross = [_CROSS] if mixed(standing) else []
    listed = (*_head(measure), *(boards if len(boards) > 1 else []), *cross, *_TAIL)
    return {column.key: column for column in listed}


def one_language(standing: Standing) -> int:
    """How many of the chosen pairs have one language."""
    return sum(board.pairs[i].same for board, mask in zip(standing.boards, standing.pairs, strict=True) for i in np.flatnonzero(mask))


def mixed(standing: Standing) -> int:
    """How many of the chosen pairs have one language, where others have two; else 0."""
    same = one_language(standing)
    return same if same < standing.cells_of else 0


def usual_columns(standing: Standing) -> tuple[str, ...]:
    """The keys that are shown where the reader chose none: at most 17."""
    return tuple(key for key in columns_of(standing) if key not in _MORE)[:_MOST]


def system_address(line: Line) -> str:
    """The page of a system."""
    return f"./system?{urlencode({'system': str(line)})}"


def board_table(index: Index, standing: Standing, rows: Rows, columns: Sequence[str] | None = None, address: Callable[[Line], str] = system_address) -> Table:
    """The table of these places of a standing; ``columns`` are keys of ``columns_of``, in whose order they stand, the usual ones where none are named.

    Kept in the index's memory.
    """
    known = columns_of(standing)
    chosen = usual_columns(standing) if columns is None else columns
    shown = tuple(column for key, column in known.items() if key in chosen or key in _ALWAYS)

    def make() -> Table:
        title = f"{standing.selection.measure}, {over_words(standing)}"
        return Table(title, shown, _cells(index, standing, rows, shown, address), _note(index, standing, rows, shown))

    return remembered(index, ("board table", standing.selection, rows.tobytes(), shown, address), make)


def unranked_table(index: Index, standing: Standing, rows: Rows, address: Callable[[Line], str] = system_address) -> Table:
    """Systems without a rank, and why they have none. Kept in the index's memory."""
    keys, measure = ("trust", "date"), standing.selection.measure
    columns = (
        Column("system", "System", "link"),
        Column("why", "Why it has no rank", "prose"),
        Column("pairs", "Pairs", "text", "how many of the chosen pairs it was evaluated on"),
        *(Column(board.key, f"{measure}, {board.label}", "percent", "mean over the chosen pairs; only where all are there") for board in standing.boards),
        *(column for column in _TAIL if column.key in keys),
    )

    def make() -> Table:
        return Table(f"Without a rank: {measure}, {over_words(standing)}", columns, _cells(index, standing, rows, columns, address))

    return remembered(index, ("unranked table", standing.selection, rows.tobytes(), address), make)


def _cells(index: Index, standing: Standing, rows: Rows, columns: Sequence[Column], address: Callable[[Line], str]) -> tuple[tuple[Cell, ...], ...]:
    view = _View(index, standing, address)
    return tuple(tuple(view.cell(column.key, int(row)) for column in columns) for row in rows)


def over_words(standing: Standing) -> str:
    """What an average is over, with its n."""
    names = ", ".join(board.label for board in standing.boards)
    topics = f", {standing.topics:,} topics" if standing.topics not in (0, standing.queries) else ""
    same = mixed(standing)
    alike = f", {same:,} of one language," if same else ""
    pairs = "1 pair" if standing.cells_of == 1 else f"macro mean over {standing.cells_of:,} pairs{alike}"
    return f"{pairs} of {names} (n = {standing.queries:,} queries{topics})"


def caution(standing: Standing) -> str:
    """What must be said of a standing on the sample; "" of others."""
    sample = next((board for board in standing.boards if board.shape.task == "sample"), None)
    if sample is None:
        return ""
    held = max(sample.pool.values(), default=0)
    return f"The sample, with {held} documents a language, shows how clir-bench works; it is too small to choose a system by."


def _head(measure: str) -> tuple[Column, ...]:
    return (
        Column("system", "System", "link"),
        Column("tier", "Tier", "integer", "Systems of one tier cannot be told from its leader: Holm over all pairs of systems shown, 5 %"),
        Column("rank", "Rank", "text", "From 1 + the systems that are surely better to all but those surely worse: 95 % for all systems at once"),
        Column(
            "score",
            measure,
            "interval",
            "Mean over data sets of the macro mean over pairs; the bar is its 95 % interval, topics resampled, on one scale for the table",
        ),
    )


_CROSS = Column("cross", "Two languages", "percent", "The score over the pairs of two languages alone")
_ALWAYS = ("system", "tier", "rank", "score")
_TAIL = (
    Column("worst", "Worst pair", "percent", "The measure on its worst pair"),
    Column("worst_pair", "which", "text", "The worst of the chosen pairs, query language first"),
    Column("own", "Own language", "percent", "The measure had the pool held only the document's language; pairs of two languages"),
    Column("loss", "Bias loss", "points", "Own-language mean less that of the full pool: what other languages in the pool cost; pairs of two languages"),
    Column("lift", "Lift", "number", "Same-language lift: share of the query's language among the first 10 over its share of the pool, where the relevant "
           "document is in another language. 1 is indifference"),
    Column("gigabytes", "GB", "gigabytes", "Weights of all models that answer a query, as published"),
    Column("ms", "ms a query", "number", "Encode, search and re-rank, in batches, as the run recorded it; compare only on equal hardware"),
    Column("hardware", "Hardware", "text", "Where the milliseconds were measured"),
    Column("licence", "Licence", "text", "Of all models that answer a query"),
    Column("seen", "Trained on it", "text", "What is disclosed of its training; several words where data sets differ, gravest first. clean: nothing of it; source seen: only what it "
           "was made from, as MS MARCO for mMARCO; train split seen: not the queries that are evaluated; test seen: those, too; undisclosed: not known"),
    Column("seen_why", "Why", "text", "What the word under Trained on it rests on"),
    Column("trust", "Trust", "noted", "claimed: as stated; consistent: possible numbers; recomputed: from its gold ranks; reproduced: run again by others. "
           "flagged: a maintainer has a doubt that is not cleared; flagged as a copy: it has the ranks of another model"),
    Column("parameters", "Parameters, M", "number", "Of all models that answer a query"),
    Column("dimension", "Dimension", "integer", "Numbers that stand for a document in the index"),
    Column("dtype", "Computed in", "text", "dtype of encoders and re-rankers"),
    Column("date", "Date", "text", "Of its newest run, UTC"),
)  # fmt: skip
_MORE = ("own", "hardware", "parameters", "dimension", "dtype", "seen_why")  # shown only where asked for


def _note(index: Index, standing: Standing, rows: Rows, shown: Sequence[Column]) -> str:
    told = (
        "A tier is no statement of equality: its systems cannot be told from its leader by these queries. "
        "Tiers need not follow scores: a difference that rests on few topics is harder to tell."
    )
    if not any(column.key == "ms" for column in shown):
        return told
    machines = {paced.hardware for row in rows if (paced := pace(index, standing.entries[row])).ms is not None}
    if len(machines) > 1:
        return f"{told} Milliseconds were measured on {len(machines)} kinds of hardware and compare only on the same: see the column Hardware."
    return f"{told} Milliseconds were measured on {machines.pop()}." if machines else told


@dataclass(frozen=True)
class _View:
    """Cells of a standing's rows."""

    index: Index
    standing: Standing
    address: Callable[[Line], str]

    def cell(self, key: str, row: int) -> Cell:
        s = self.standing
        line = self.index.lines[s.lines[row]]
        match key:
            case "system":
                return Link(str(line), self.address(line))
            case "tier":
                return int(s.tier[row]) or None
            case "rank":
                return rank_words(s, row)
            case "score":
                return Interval(float(s.score[row]), float(s.low[row]), float(s.high[row]))
            case "worst_pair":
                return worst_words(s, row)
            case "cross" | "worst" | "own" | "loss" | "lift":
                return float(getattr(s, key)[row])
            case "pairs":
                return f"{s.cells[row]:,} of {s.cells_of:,}"
            case "why":
                return why_unranked(self.index, s, row)
        board = next((i for i, board in enumerate(s.boards) if board.key == key), None)
        return float(s.board_scores[row, board]) if board is not None else self.fact(key, row)

    def fact(self, key: str, row: int) -> Cell:
        """What its submissions say of it: the newest of them where they differ."""
        all_entries = self.standing.entries[row]
        mine = all_entries[all_entries >= 0]
        newest = mine[np.argmax(column(self.index, "started")[mine])]
        match key:
            case "gigabytes":
                return _number(column(self.index, "weights_bytes")[newest], 1e-9)
            case "parameters":
                return _number(column(self.index, "parameters")[newest], 1e-6)
            case "dimension":
                return _number(column(self.index, "embedding_dim")[newest])
            case "dtype":
                return _text(column(self.index, "dtype")[newest])
            case "ms":
                return pace(self.index, all_entries).ms
            case "hardware":
                return pace(self.index, all_entries).hardware or "differs by data set"
            case "licence":
                return licence_words(self.index, int(newest))
            case "seen":
                return seen_words(self.index, all_entries)
            case "seen_why":
                return "; ".join(dict.fromkeys(map(str, column(self.index, "contamination_reason")[mine])))
            case "trust":
                return trust_cell(self.index, mine)
            case "date":
                return str(column(self.index, "started")[newest])[:10]
        raise KeyError(key)


def rank_words(standing: Standing, row: int) -> str | None:
    """``3``, or ``1–3``; None without a rank."""
    low, high = int(standing.rank_low[row]), int(standing.rank_high[row])
    return None if not low else f"{low}" if low == high else f"{low}–{high}"


def worst_words(standing: Standing, row: int) -> str | None:
    """The worst pair, with its data set where there are several."""
    if (found := standing.worst_pair[row]) is None:
        return None
    board = next(board for board in standing.boards if board.key == found[0])
    return f"{found[1]}, {board.label}" if len(standing.boards) > 1 else str(found[1])


def licence_words(index: Index, entry: int) -> str:
    """The licences of all models that answer a query."""
    known = _text(column(index, "licence")[entry])
    return known or ("no model" if column(index, "parameters")[entry] == 0 else "not known")


def seen_words(index: Index, entries: npt.NDArray[np.int32]) -> str:
    """The states of training data on the data sets of a row of ``Standing.entries``, gravest first: one word where they agree."""
    states = {column(index, "contamination")[entry] for entry in entries if entry >= 0}
    return ", ".join(SEEN_WORDS[state] for state in reversed(ORDER) if state in states)


def why_unranked(index: Index, standing: Standing, row: int) -> str:
    """Why the system at a place without a rank has none."""
    if standing.copied[row]:
        mine = standing.entries[row]
        return f"{FLAGS['copied']}: {'; '.join(flags_of(index, mine[mine >= 0]))}"
    if standing.cells[row] < standing.cells_of:
        return "not all pairs"
    return standing.why or "no gold ranks: nothing can be tested"


def flags_of(index: Index, entries: npt.NDArray[np.int32]) -> tuple[str, ...]:
    """The notes of the flags on these submissions, copies first, each once."""
    copied, flags = column(index, "copied"), column(index, "flags")
    return tuple(dict.fromkeys(str(note) for entry in sorted(entries.tolist(), key=lambda entry: not copied[entry]) for note in flags[entry]))


def trust_cell(index: Index, entries: npt.NDArray[np.int32]) -> str | Noted:
    """The lowest level among these submissions, and whether any of them is flagged, as a copy or otherwise."""
    level, notes = min(map(str, column(index, "trust")[entries]), key=LEVELS.index), flags_of(index, entries)
    return Noted(level, FLAGS["copied" if column(index, "copied")[entries].any() else "flagged"], "; ".join(notes)) if notes else level


def _sort_keys(index: Index, standing: Standing, order: Order) -> Floats:
    """What stands first has the smallest; NaN, that is unknown, is sorted last."""
    entries = standing.entries
    if order == "name":
        names = [str(index.lines[line]).casefold() for line in standing.lines]
        return np.argsort(np.argsort(names)).astype(np.float64)
    if order == "date":
        moment = np.unique(column(index, "started").astype(str), return_inverse=True)[1]  # all UTC in one form, so they sort as text
        return np.asarray(-np.where(entries >= 0, moment[np.maximum(entries, 0)], -1.0).max(1))
    if order == "size":
        return gigabytes(index, entries)
    return standing.loss if order == "bias loss" else -standing.worst


def _number(value: object, scale: float = 1) -> float | None:
    return float(value) * scale if isinstance(value, int | float | np.number) and np.isfinite(value) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
