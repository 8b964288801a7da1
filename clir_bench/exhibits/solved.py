"""Two systems query by query: where each ranks what was asked for, and which queries only one of them solves."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from clir_bench.collection import IntArray
from clir_bench.exhibits.tables import Cell, Column, Table
from clir_bench.exhibits.versus import Contest
from clir_bench.exhibits.words import counted
from clir_bench.layout import Layout, find_layout
from clir_bench.measures import unranked
from clir_bench.sources import is_at_hand, open_task
from clir_bench.standings.index import Board, Index
from clir_bench.standings.memory import remembered
from clir_bench.standings.paired import Bools
from clir_bench.submission import DEEPER

BINS = (1, 2, 4, 8, 16, 32, 64, 101)
"""Where bins of ranks begin; the last is for what is not among the first 100."""
_LONGEST = 240
Side = Literal["first", "second"]


class Texts(NamedTuple):
    """What was asked, and the first relevant document, by the number of the evaluated query."""

    query: Callable[[int], str]
    document: Callable[[int], str]


def first_ranks(board: Board, place: int) -> IntArray:
    """The rank of the first relevant document of each evaluated query, int32 [evaluated]; 0 = not evaluated, 255 = not found."""
    ranks: IntArray = board.ranks[board.rank_row[place]].astype(np.int32)
    if board.shape.golds is None:
        return ranks
    found = np.full(len(board.shape.golds), DEEPER, np.int32)
    np.minimum.at(found, np.repeat(np.arange(len(found)), board.shape.golds), ranks)
    return found


def rank_table(found: Contest, board: int, a: int, b: int) -> Table:
    """How often the one ranks the first relevant document so and the other so: shares of the queries, ranks in bins that double."""
    first, second = _both(found, board, a, b)
    one, other = found.letter(a), found.letter(b)
    edges = [f"{low}" if high == low + 1 else f"{low}–{high - 1}" for low, high in itertools.pairwise(BINS)] + ["deeper"]
    size = len(BINS)
    bins = [np.searchsorted(BINS, ranks, side="right") - 1 for ranks in (first, second)]
    share = np.bincount(bins[0] * size + bins[1], minlength=size * size).reshape(size, size) / len(first)
    inner = share.copy()
    inner[0, 0] = inner[-1, -1] = 0
    darkest = float(inner.max()) or float(share.max())
    higher, lower = (100 * float(np.mean(x)) for x in (first < second, second < first))
    columns = (Column("rank", f"rank by {one}\u00a0↓ by {other}\u00a0→"), *(Column(f"b{BINS[i]}", edge, "heat") for i, edge in enumerate(edges)))
    note = (
        f"Percent of {len(first):,} queries; the darkest shade is {100 * darkest:.1f}\u00a0% and more. {one} ranks it higher in {higher:.1f}\u00a0%, {other} in {lower:.1f}\u00a0%, "
        f"both alike in {100 - higher - lower:.1f}\u00a0%."
    )
    return Table(
        f"Rank of the first relevant document, {found.called(a)} and {found.called(b)}, {found.boards[board].full_label}", columns,
        tuple((edge, *map(float, line)) for edge, line in zip(edges, share, strict=True)), note, darkest=darkest,
    )  # fmt: skip


def solved_table(found: Contest, a: int, b: int) -> Table:
    """How many queries both solve, only one of them, or neither: a row a data set."""
    rows: list[tuple[Cell, ...]] = []
    for i, board in enumerate(found.boards):
        x, y = _solve(found, i, a), _solve(found, i, b)
        rows.append((board.full_label, *(int(part.sum()) for part in (x & y, x & ~y, y & ~x, ~x & ~y)), len(x)))
    titles = ("both", f"only {found.letter(a)}", f"only {found.letter(b)}", "neither", "n")
    columns = (Column("over", "data set"), *(Column(title.replace(" ", "_").lower(), title, "integer") for title in titles))
    return Table(
        f"Queries solved by {found.called(a)} and {found.called(b)}",
        columns,
        tuple(rows),
        f"Solved: a {found.measure} above 0, a relevant document in time.",
    )


def only_solved(found: Contest, board: int, a: int, b: int, side: Side) -> IntArray:
    """The queries only the first or only the second of the two solves, the clearest first, as places among those of the shared pairs."""
    x, y = _solve(found, board, a), _solve(found, board, b)
    good, bad = _both(found, board, a, b)[:: 1 if side == "first" else -1]
    only = np.flatnonzero(x & ~y if side == "first" else y & ~x)
    return np.asarray(only[np.lexsort((only, good[only], -bad[only]))])


def only_table(index: Index, found: Contest, board: int, a: int, b: int, side: Side, *, texts: bool = False, part: slice = slice(None)) -> Table | None:
    """``only_solved`` with their ids, or a part of them; None where no layout knows the ids.

    With ``texts`` also what was asked and the first relevant document, where the collection is at hand. Raises ClirBenchError for a damaged layout or collection.
    """
    on = found.boards[board]
    layout = _layout(index, on)
    if layout is None:
        return None
    columns = np.flatnonzero(found.masks[board][on.shape.pair])
    ranks, only = _both(found, board, a, b), only_solved(found, board, a, b, side)
    told = collection_texts(index, on) if texts else None
    rows: list[tuple[Cell, ...]] = []
    for i in only[part].tolist():
        evaluated = int(columns[i])
        said = (_short(told.query(evaluated)), _short(told.document(evaluated))) if told else ()
        rows.append((str(on.pairs[on.shape.pair[evaluated]]), layout.query_ids[evaluated], _rank(ranks[0][i]), _rank(ranks[1][i]), *said))
    head = [Column("pair", "pair"), Column("query", "query"), *(Column(f"rank_{found.letter(i)}", f"rank by {found.letter(i)}", "integer") for i in (a, b))]
    if told:
        head += [Column("question", "what was asked"), Column("answer", "first relevant document")]
    return Table(
        f"{counted(len(only), 'query', 'queries')} that only {found.called(a if side == 'first' else b)} solves, {on.full_label}", tuple(head), tuple(rows),
        f"Solved: a {found.measure} above 0. Rank of the first relevant document. The clearest first.", heads=2,
    )  # fmt: skip


def collection_texts(index: Index, board: Board) -> Texts | None:
    """The texts of a board's collection; None where it is not at hand. Opened when first asked for, then kept in the index's memory."""
    if not has_texts(board):
        return None
    return remembered(index, ("texts", board.key), lambda: _texts(board))


def has_texts(board: Board) -> bool:
    """Whether the collection can be opened without a download."""
    return board.task is not None and is_at_hand(board.task)


def _texts(board: Board) -> Texts | None:
    assert board.task is not None
    _, collection = open_task(board.task.name)
    if collection.fingerprint != board.shape.fingerprint:
        return None
    ranks = unranked(collection.judgements)
    start = np.cumsum(ranks.golds) - ranks.golds
    return Texts(
        lambda i: collection.queries.texts[ranks.query[i]], lambda i: collection.pool.texts[ranks.document[start[i]]] if ranks.golds[i] else ""
    )  # fmt: skip


def _layout(index: Index, board: Board) -> Layout | None:
    shape = board.shape
    return remembered(index, ("layout", board.key), lambda: find_layout(shape.task, shape.version, shape.fingerprint, [index.folder]))


def _solve(found: Contest, board: int, system: int) -> Bools:
    """Whether it solves each query of the shared pairs."""
    on = found.boards[board]
    value = on.values(int(on.rank_row[found.places[board][system]]), found.measure)
    return np.asarray(value[found.masks[board][on.shape.pair]] > 0)


def _both(found: Contest, board: int, a: int, b: int) -> tuple[IntArray, IntArray]:
    """The ranks by both, of the queries of the shared pairs."""
    on = found.boards[board]
    columns = found.masks[board][on.shape.pair]
    first, second = (first_ranks(on, found.places[board][system])[columns] for system in (a, b))
    return first, second


def _rank(rank: int) -> Cell:
    return int(rank) if rank < DEEPER else "not found"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST].rstrip()} …"
