"""Which languages systems prefer, whom they serve, and what a preference costs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import filters
import numpy as np
import shell
import streamlit as st

from clir_bench.exhibits import bias_charts as charts
from clir_bench.exhibits import bias_tables as tables
from clir_bench.exhibits.profile import facts_html
from clir_bench.exhibits.reference import BIAS
from clir_bench.exhibits.words import counted
from clir_bench.standings.index import Board
from clir_bench.standings.memory import remembered
from clir_bench.standings.overview import Standing
from clir_bench.standings.preference import WHERE, depths, golds, recall_measure

T = TypeVar("T")
_MOST = 3  # systems beside each other
_AGAINST = {"lift": "same-language lift", "loss": "bias loss"}


def choose_board() -> Standing:
    """One data set of those chosen above that has such pairs, and its standing."""
    asked = filters.selection()
    boards = [board for board in asked.chosen(index) if asked.pairs_of(board).any()]
    if boards and len(asked.chosen(index)) > 1:
        asked = asked.model_copy(update={"boards": (shell.choose_board(boards).key.removesuffix(".oracle"),)})
    return shell.chosen_standing(asked)


def choose_systems(found: Standing) -> list[int]:
    """At most three; without a choice the best whose loss is known."""
    names = shell.named(found.lines)
    usual = int(found.lines[np.isfinite(found.loss).argmax()])
    return st.multiselect(
        "Systems", list(names), format_func=names.__getitem__, max_selections=_MOST, key="systems", bind="query-params", placeholder=names[usual]
    ) or [usual]


def kept(kind: str, make: Callable[[], T], *asked: object) -> T:
    """What is shown of a standing, made once and shown again at every click."""
    return remembered(index, (f"bias: {kind}", found.selection, *asked), make)


def show_preference(board: Board, lines: list[int]) -> None:
    """Figures 6 and 8: which languages are retrieved, and what that costs."""
    st.header("Which languages are retrieved", anchor=False)
    kinds, deep = golds(index, board, lines), depths(index, board, lines)
    if not kinds:
        st.info("Of these systems no submission counts the languages it retrieves: those of the oracle track, and claims, cannot.", icon=":material/info:")
        return
    with st.container(horizontal=True):
        gold = st.segmented_control(
            "Relevant document in", kinds, default=kinds[0], format_func=WHERE.__getitem__, required=True, key="gold", bind="query-params"
        )
        usual = 10 if 10 in deep else deep[-1]
        depth = st.segmented_control("First places", deep, default=usual, required=True, key="depth", bind="query-params")
    preference = kept("preference", lambda: tables.preference_table(index, found, lines, gold, depth), *lines, gold, depth)
    shell.say(tables.STATED)
    shell.show_table(preference, "preference")
    rates = kept("rates", lambda: tables.rates(index, board, lines, mask, gold, depth, measure), *lines, gold, depth)
    if rates:
        left, right = st.columns(2, gap="large")
        with left:
            st.subheader("Share of the question's language", anchor=False)
            shell.say("Dots with their 95\u00a0% intervals; the stroke is the language's share of the pool.")
            shell.draw(charts.rate_chart(rates), "Same-language rate for each query language, as dots with intervals; the pool's share as strokes")
        with right:
            st.subheader("What it costs: recall and bias loss", anchor=False)
            shell.say("Dot: whole pool. Ring: the document's language alone. Between: the loss.")
            name = recall_measure(board, measure) or "recall"
            shell.draw(charts.loss_chart(rates, name), f"{name} for each query language, and what it would be in a pool of the document's language")
        with st.expander("The same as a table", key="rates", bind="query-params", on_change="rerun") as twin:
            if twin.open:
                shell.show_table(tables.rate_table(rates, board, gold, measure), f"rates-{board.key}", small=True)
    maps = [table for line in lines if (table := kept("lifts", partial(tables.lift_map, index, board, line, mask, gold, depth), line, gold, depth))]
    for i, table in enumerate(maps):
        shell.show_table(table, f"lift-{board.key}-{i + 1}", small=True)


def show_alike(board: Board, lines: list[int]) -> None:
    """Consistency over query languages, the effect of the document's language, and how far pairs are apart."""
    st.header("Whether languages are served alike", anchor=False)
    shell.say(
        "Consistency asks whether one question finds its document at the same rank in any language; where nearly all is found at rank 1 little is left to agree on,",
        "so read it beside the score. ε² asks whether rank depends on the document's language.",
    )
    shell.show_table(kept("alike", lambda: tables.alike_table(index, board, lines, mask, measure), *lines), f"alike-{board.key}")
    asked, held = st.tabs(["By the question's language", "By the document's language"], key="side", bind="query-params", on_change="rerun")
    if asked.open:
        agreements = [table for line in lines if (table := kept("agreement", partial(tables.agreement_map, index, board, line, mask), line))]
        with asked:
            for i, table in enumerate(agreements):
                shell.show_table(table, f"agreement-{board.key}-{i + 1}", small=True)
            if not agreements:
                shell.say("Nothing here is asked in two languages: there is nothing to compare.")
    if held.open:
        with held:
            shell.show_table(tables.effect_table(index, board, lines, mask), f"effect-{board.key}", small=True)


def show_quality(lines: list[int]) -> None:
    """All systems: quality against preference."""
    st.header("Quality against preference", anchor=False)
    against = st.segmented_control(
        "Against", list(_AGAINST), default="lift", format_func=_AGAINST.__getitem__, required=True, key="against", bind="query-params"
    )
    known = np.flatnonzero(np.isfinite(getattr(found, against)) & np.isfinite(found.score))
    if not len(known):
        shell.say(f"No system that passes the filters has a {_AGAINST[against]} here.")
        return
    alt = f"{measure} of {counted(len(known), 'system')} against their {_AGAINST[against]}; the chosen ones in colour"
    shell.draw(kept("quality", lambda: shell.streamed(charts.quality_chart(index, found, against, lines)), *lines, against), alt)
    if grey := charts.grey_words(found, against, lines):
        shell.say(grey)
    with st.expander("The same as a table", key="quality", bind="query-params", on_change="rerun") as twin:
        if twin.open:
            table = tables.quality_table(index, found, known[shell.paged(len(known), "page")])
            shell.show_table(table, "quality", small=True, whole=lambda: tables.quality_table(index, found, known))


shell.head(
    "Bias",
    "Which languages a system puts first, and which documents that hides. To prefer the language of the question may be what you want: no direction is called good here.",
)
index, measure = shell.index(), filters.selection().measure
found = choose_board()
board, mask = found.boards[0], found.pairs[0]
lines = choose_systems(found)
if why := charts.loss_words(index, found, lines):
    shell.say(why)
show_preference(board, lines)
show_alike(board, lines)
show_quality(lines)
with st.expander("What these figures are"):
    st.html(facts_html(BIAS.terms))
