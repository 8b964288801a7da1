"""Pairs that were measured, near one that was not."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from clir_bench import languages
from clir_bench.collection import Pair
from clir_bench.exhibits.answer import answer, settled
from clir_bench.exhibits.tables import Cell, Column, Interval, Link, Table
from clir_bench.standings.index import Index
from clir_bench.standings.selection import Selection


class Near(NamedTuple):
    """A measured pair, and in what it differs from the one that was asked for."""

    pair: Pair
    why: str


def nearest(index: Index, pair: Pair, count: int = 3) -> tuple[Near, ...]:
    """The measured pairs nearest to this one by family and script of their languages; of equally near ones those with the same documents first.

    A pair of one language stands for none of two, nor the other way round.
    """
    there = {each for board in index.boards.values() if not board.oracle for each in board.pairs if each.same == pair.same}

    def distance(each: Pair) -> tuple[int, bool, Pair]:
        return _apart(each.query, pair.query)[0] + _apart(each.document, pair.document)[0], each.document != pair.document, each

    return tuple(Near(each, _why(each, pair)) for each in sorted(there, key=distance)[:count])


def nearby_table(index: Index, wish: Selection, address: Callable[[Selection], str], count: int = 3) -> Table:
    """What scores best on the nearest measured pairs, all other filters kept; ``wish`` asks for one pair."""
    asked = Pair(wish.queries[0], wish.documents[0])
    rows = tuple(
        _row(index, wish.model_copy(update={"queries": (near.pair.query,), "documents": (near.pair.document,)}), near, address)
        for near in nearest(index, asked, count)
    )
    return Table(
        f"Measured pairs near {asked}: an extrapolation",
        (
            Column("pair", "Pair", "link"),
            Column("why", "In place of what was asked"),
            Column("best", "Best there"),
            Column("tied", "Not told from it", "integer", "systems besides it"),
            Column("score", wish.measure, "interval", "of the best, with its 95 % interval"),
            Column("n", "n", "integer", "queries"),
        ),
        rows,
        "None of these numbers is of the pair that was asked for. Near is said by family and script of the languages.",
    )


def _row(index: Index, wish: Selection, near: Near, address: Callable[[Selection], str]) -> tuple[Cell, ...]:
    link = Link(str(near.pair), address(wish))
    on = settled(index, wish)
    found = answer(index, on) if on else None
    if found is None:
        return link, near.why, "no system passes", None, None, None
    s, best = found.standing, int(found.group[0])
    tied = len(found.group) - 1 if found.tested else None
    return link, near.why, str(index.lines[s.lines[best]]), tied, Interval(float(s.score[best]), float(s.low[best]), float(s.high[best])), s.queries


def _why(near: Pair, pair: Pair) -> str:
    told = []
    for what, here, asked in (("questions", near.query, pair.query), ("documents", near.document, pair.document)):
        if here != asked:
            told.append(f"{what} in {languages.name(here)}, not {languages.name(asked)} ({_apart(here, asked)[1]})")
    return "; ".join(told)


def _apart(a: str, b: str) -> tuple[int, str]:
    """How far two languages are from each other, 0 to 3, and in words."""
    family, script = languages.family(a) == languages.family(b) != "other", languages.script(a) == languages.script(b)
    if a == b:
        return 0, "the same"
    if family and script:
        return 1, "same family and script"
    return (2, "same family" if family else "same script") if family or script else (3, "other family and script")
