"""The answer to "questions in Arabic, documents in Russian, at most 1 GB": the systems that cannot be told from the best, and what sets them apart."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from clir_bench.exhibits.board_table import Rows, board_table, caution, flags_of, system_address
from clir_bench.exhibits.gaps import comparisons, detectable, gap
from clir_bench.exhibits.tables import Cell, Column, Interval, Link, Table
from clir_bench.significance import more_queries
from clir_bench.standings.costs import Pace, pace
from clir_bench.standings.index import Index, Line
from clir_bench.standings.memory import column, remembered
from clir_bench.standings.overview import Standing, standing
from clir_bench.standings.selection import Selection

USEFUL = 0.1
"""A best score below this is of no use: nine of ten questions are not answered."""
SHOWN = 20
"""Members of a tie that are listed; the leaderboard has them all."""
_UNTESTED = 5  # systems that are named where nothing can be tested
_COLUMNS = ("gigabytes", "ms", "hardware", "licence", "seen", "trust")


@dataclass(frozen=True)
class Answer:
    """Of those that pass, the ones that cannot be told from the best, best first; without tests those that score best. Places in ``standing``.

    ``pick`` is the smallest of them whose size is known, the best where none is. ``units`` is what is flipped: the queries of a pair, else topics.
    """

    standing: Standing
    group: Rows
    pick: int
    units: str

    @property
    def tested(self) -> bool:
        """Whether there is a tie group, and not just a list."""
        return self.standing.ranked > 0

    @property
    def best(self) -> float:
        """The score of the best."""
        return float(self.standing.score[self.group[0]])

    @property
    def useful(self) -> bool:
        """Whether the best finds enough to be recommended."""
        return self.best >= USEFUL

    @property
    def count(self) -> str:
        """How much was asked, as ``1,000 queries``, or ``6,144 queries (96 topics)``."""
        s = self.standing
        return f"{s.queries:,} queries" + (f" ({s.topics:,} topics)" if self.tested and self.units == "topics" else "")


def settled(index: Index, wish: Selection) -> Selection | None:
    """The wish on the usual data sets if one of them has such pairs, else on all others that have; None where none has."""
    boards = [board for board in index.boards.values() if not board.oracle]
    having = tuple(board.key for board in boards if wish.pairs_of(board).any())
    usual = {board.key for board in Selection().chosen(index)}
    if not having:
        return None
    return wish.model_copy(update={"boards": () if usual & set(having) else having})


def answer(index: Index, wish: Selection) -> Answer | None:
    """The answer to a settled wish; None where no system passes that has a score and is not flagged as a copy."""
    s = standing(index, wish)
    scored = np.flatnonzero(np.isfinite(s.score) & ~s.copied)
    group = np.flatnonzero(s.tier == 1) if s.ranked else scored[:_UNTESTED]
    if not len(group):
        return None
    sizes = [_gigabytes(index, s, int(row)) for row in group]
    smallest = min(zip(sizes, group.tolist(), strict=True), key=lambda each: (math.inf if each[0] is None else each[0], each[1]))[1]
    return Answer(s, group, smallest, "queries" if s.topics == s.queries else "topics")


def headline(index: Index, found: Answer) -> str:
    """The answer in a few words; plain text."""
    if not found.tested:
        return "Nothing can be tested"
    if not found.useful:
        return f"Nothing here answers this: the best scores {100 * found.best:.1f} of 100"
    if len(found.group) == 1:
        return f"{_name(index, found.standing, found.pick)} {'leads' if found.standing.ranked > 1 else 'is the only one'}"
    return f"{_counted(len(found.group))} systems tie"


def sentences(index: Index, found: Answer) -> tuple[str, ...]:
    """What the headline rests on, the smallest, the quickest on equal hardware, what would separate them; plain text."""
    warned = caution(found.standing)
    return (*([warned] if warned else []), *_grounds(index, found), *_flagged(index, found))


def _grounds(index: Index, found: Answer) -> tuple[str, ...]:
    s, best = found.standing, int(found.group[0])
    if not found.tested:
        return (f"{_name(index, s, best)} scores best by {found.count}, but whether that is luck cannot be said: {s.why}.",)
    if s.ranked == 1:
        return (f"No other system passes that has gold ranks for all of these pairs ({found.count}).",)
    if len(found.group) == 1:
        return (f"By {found.count} all {s.ranked - 1:,} others that pass can be told from it (Holm, 5\u00a0%).",)
    others = "the other" if len(found.group) == 2 else f"any of the {len(found.group) - 1:,} others"
    told = [f"{_name(index, s, best)} scores best, but {found.count} do not tell {others} from it (Holm over {comparisons(s):,} comparisons, 5\u00a0%)."]
    size = _gigabytes(index, s, found.pick)
    if size is not None:
        told.append(f"The smallest is {_name(index, s, found.pick)}: {f'{size:.2f} GB' if size else 'it has no weights'}.")
    other = found.pick if found.pick != best else int(found.group[1])
    return (*told, *_quickest(index, found), *_to_separate(index, found, best, other))


def _flagged(index: Index, found: Answer) -> list[str]:
    """What is held against the best and the pick, and how many were left out as copies."""
    s, told = found.standing, []
    for row in dict.fromkeys((int(found.group[0]), found.pick)):
        mine = s.entries[row]
        if notes := flags_of(index, mine[mine >= 0]):
            told.append(f"{_name(index, s, row)} is flagged: {'; '.join(notes)}.")
    if copies := int(s.copied.sum()):
        told.append(
            f"{copies:,} more that pass{'es' * (copies == 1)} {'is' if copies == 1 else 'are'} flagged as {'a copy' if copies == 1 else 'copies'}, and left out."
        )
    return told


def answer_table(index: Index, found: Answer, address: Callable[[Line], str] = system_address) -> Table:
    """The members of the tie with what each costs; at most 20."""
    table = board_table(index, found.standing, found.group[:SHOWN], _COLUMNS, address)
    kept = [i for i, column in enumerate(table.columns) if column.key not in ("tier", "rank")]
    more = len(found.group) - SHOWN
    return replace(
        table,
        columns=tuple(table.columns[i] for i in kept),
        rows=tuple(tuple(row[i] for i in kept) for row in table.rows),
        note=f"And {more:,} more: the leaderboard of this selection has them all." if more > 0 else "",
    )


def effects_table(index: Index, found: Answer, address: Callable[[Line], str] = system_address) -> Table:
    """Whether translating or re-ranking helps here: the best that does it against the best that does not, among all that pass and have a rank.

    Only steps that some of them take and some do not; the note names the others.
    """
    s = found.standing
    ranked = {words: does[s.tier > 0] for words, does in _kinds(index, s).items()}
    taken = [words for words, does in ranked.items() if does.any() and not does.all()]
    missing = [words for words, does in ranked.items() if not does.any()]
    return Table(
        f"The best with a step, less the best without it: {s.selection.measure}, n = {found.count}",
        (
            Column("step", "Step"),
            Column("difference", "Difference, points", "difference", "with its 95 % interval, topics resampled"),
            Column("with", "Best with it", "link"),
            Column("with_score", s.selection.measure, "percent"),
            Column("without", "Best without it", "link"),
            Column("without_score", s.selection.measure, "percent"),
        ),
        tuple(_effect(index, s, words, np.flatnonzero(ranked[words]), np.flatnonzero(~ranked[words]), address) for words in taken),
        "The best of each kind was chosen by the same queries, among as many as were entered; the page Pipeline compares one step at a time."
        + (f" No system that passes has {' or '.join(missing)}." if missing else ""),
    )


def _effect(index: Index, s: Standing, words: str, does: Rows, does_not: Rows, address: Callable[[Line], str]) -> tuple[Cell, ...]:
    best = (int(does[0]), int(does_not[0]))
    between = gap(index, s, *best)
    named: list[Cell] = []
    for row in best:
        named += [Link(_name(index, s, row), address(index.lines[s.lines[row]])), float(s.score[row])]
    return (words, Interval(between.difference, between.low, between.high), *named)


def _kinds(index: Index, s: Standing) -> dict[str, npt.NDArray[np.bool_]]:
    """Which places of a standing translate documents, translate questions, re-rank."""
    does = remembered(index, ("steps",), lambda: _steps(index))
    return {words: np.asarray(each[s.entries.max(1)]) for words, each in does.items()}


def _steps(index: Index) -> dict[str, npt.NDArray[np.bool_]]:
    steps = [{(stage["kind"], stage.get("texts")) for stage in json.loads(str(text))} for text in index.texts("stages")]
    asked = {"documents in English": ("translate", "documents"), "questions in English": ("translate", "queries"), "a re-ranker": ("rerank", None)}
    return {words: np.array([step in each for each in steps], bool) for words, step in asked.items()}


def _quickest(index: Index, found: Answer) -> list[str]:
    """Said only where all of the tie were timed on the same hardware."""
    paces: list[Pace] = [pace(index, found.standing.entries[row]) for row in found.group]
    if len({each.hardware for each in paces}) > 1 or any(each.ms is None for each in paces):
        return []
    ms, row = min((each.ms or 0.0, int(row)) for each, row in zip(paces, found.group, strict=True))
    return [f"The quickest is {_name(index, found.standing, row)}, {ms:.3g} ms a query on {paces[0].hardware}."]


def _to_separate(index: Index, found: Answer, best: int, other: int) -> list[str]:
    s, between = found.standing, gap(index, found.standing, best, other)
    more = float(more_queries(between.difference, between.se, s.topics, comparisons=comparisons(s)))
    low, high = (f"{100 * end:z.1f}".replace("-", "−") for end in (between.low, between.high))
    if not math.isfinite(more):
        return [f"{_name(index, s, other)} scores the same as the best: no number of {found.units} would tell the two apart."]
    return [
        f"{_name(index, s, other)} is {100 * between.difference:.1f} points behind (95\u00a0% interval {low} to {high}, uncorrected); about {_rounded(more)} more {found.units}"
        " would show that beside all other comparisons, if it is the true difference.",
        f"These {s.topics:,} {found.units} show true differences to the best from about {100 * detectable(index, s)[1]:.1f} points on, in four of five cases.",
    ]


def _rounded(count: float) -> str:
    """Two digits: more would be false precision."""
    digits = max(0, len(f"{count:.0f}") - 2)
    return f"{round(count, -digits):,.0f}"


def _gigabytes(index: Index, s: Standing, row: int) -> float | None:
    size = column(index, "weights_bytes")[s.entries[row].max()]
    return float(size) / 1e9 if isinstance(size, int | float) and math.isfinite(size) else None


def _name(index: Index, s: Standing, row: int) -> str:
    return str(index.lines[s.lines[row]])


def _counted(many: int) -> str:
    words = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
    return words[many] if many < len(words) else f"{many:,}"
