"""Two to six systems, query by query: is one better, for which languages, and on which questions."""

from __future__ import annotations

from functools import partial
from html import escape

import filters
import shell
import streamlit as st

from clir_bench.errors import ClirBenchError
from clir_bench.exhibits import maps, solved, versus
from clir_bench.exhibits.dots import dots_chart, dots_table
from clir_bench.exhibits.tables import Table

TABS = ("Pairs of languages", "Highlighted pairs", "Gold ranks", "Queries only one solves")

shell.head("Compare", "Is one system better than another, and for which languages? They are compared on the queries that all of them answered.")
found = shell.chosen_standing()
index, selection = shell.index(), filters.selection()
names = shell.named(found.lines)
chosen = st.multiselect(
    "Systems, two to six", list(names), format_func=names.__getitem__, max_selections=versus.MOST, key="systems", bind="query-params",
    placeholder=", ".join([*names.values()][:2]),
) or [*names][:2]  # fmt: skip


def compare(lines: list[int]) -> None:
    """The whole page below the choice."""
    contest = versus.contest(index, selection, lines)
    if contest.missing:
        st.html(f'<p class="cb-count">{escape(" ".join(contest.missing))}</p>')
    if not contest.boards:
        st.html('<p class="cb-lead" role="status">There is no query that all of them answered. Choose other systems, or other data sets above.</p>')
        return
    if contest.scopes and len(lines) == 2:
        st.html(f'<p class="cb-lead"><strong>{escape(versus.verdict(contest, contest.scopes[-1], 0, 1))}</strong></p>')
        dots, title = versus.difference_dots(contest, 0, 1), f"A minus B, {contest.measure}, percentage points"
        if len(dots) > 1:  # its table twin is the one below
            shell.draw(dots_chart(dots, title, difference=True), versus.told(dots, title))
        shell.show_table(versus.overall_table(contest, 0, 1), "difference")
    elif contest.scopes:
        shell.show_table(versus.matrix_table(contest, contest.scopes[-1]), "differences")
        dots, title = versus.score_dots(contest), f"{contest.measure}, percent"
        if len(contest.scopes) > 1:
            shell.show_chart(dots_chart(dots, title), dots_table(dots, title, "data set"), "scores-chart", versus.told(dots, title))
    st.header("In detail", anchor=False)
    row = st.columns([2, 3], vertical_alignment="bottom")
    with row[0]:
        board, other = contest.boards.index(shell.choose_board(contest.boards)), 1
    if len(lines) > 2:
        other = row[len(contest.boards) > 1].selectbox(
            f"{contest.letter(0)} against", range(1, len(lines)), format_func=contest.names.__getitem__, key="against", bind="query-params"
        )
    if contest.scopes and len(lines) > 2:
        shell.show_table(versus.overall_table(contest, 0, other), "difference")
    tabs = st.tabs(TABS, key="tab", bind="query-params")
    for tab, show in zip(tabs, (pairs, highlighted, ranks, queries), strict=True):
        if tab.open:
            with tab:
                show(contest, board, other)


def pairs(contest: versus.Contest, board: int, other: int) -> None:
    """Wins and losses, and the map of differences."""
    shell.show_table(versus.wins_table(contest, 0, other), "pairs-won")
    order = st.segmented_control("Order of languages", maps.ORDERS, default=maps.ORDERS[0], required=True, key="order", bind="query-params")
    table = versus.difference_map(index, contest, board, 0, other, order)
    st.html(f'<div class="cb-maps"><div>{table.html(small=True)}</div></div>')
    shell.save(table, "difference-map", "Save the map")


def highlighted(contest: versus.Contest, board: int, other: int) -> None:
    """Up to four pairs, all systems."""
    shared = versus.pairs_of(contest, board)
    usual = versus.usual_pairs(contest, board)
    picked = st.multiselect("Pairs, at most four", shared, max_selections=4, key="pair", bind="query-params", placeholder=", ".join(usual)) or usual
    dots, title = versus.pair_dots(index, contest, board, picked), f"{contest.measure}, percent, {contest.boards[board].title}"
    shell.show_chart(dots_chart(dots, title), dots_table(dots, title, "questions → documents"), "highlighted", versus.told(dots, title))


def ranks(contest: versus.Contest, board: int, other: int) -> None:
    """Where each of the two ranks what was asked for."""
    shell.show_table(solved.rank_table(contest, board, 0, other), "gold-ranks", small=True)


def queries(contest: versus.Contest, board: int, other: int) -> None:
    """The queries that only one of the two solves."""
    shell.show_table(solved.solved_table(contest, 0, other), "solved")
    row = st.columns([2, 2], vertical_alignment="bottom")
    letters = {"first": contest.letter(0), "second": contest.letter(other)}
    side = row[0].segmented_control(
        "Solved by", list(letters), default="first", format_func=lambda which: f"only {letters[which]}", required=True, key="only", bind="query-params"
    )  # fmt: skip
    texts = solved.has_texts(contest.boards[board]) and row[1].toggle("with the texts", key="texts", bind="query-params")
    part = shell.paged(len(solved.only_solved(contest, board, 0, other, side)), "page")
    try:
        table = solved.only_table(index, contest, board, 0, other, side, texts=texts, part=part)
    except ClirBenchError as error:
        st.html(f'<p class="cb-count">{escape(str(error))}</p>')
        return
    if table is None:
        st.html('<p class="cb-count">No layout of this collection says which query is which.</p>')
        return
    st.html(f'<div class="cb-texts">{table.html(small=True)}</div>')
    shell.save(table, "queries", "Save the queries", whole=partial(_all_queries, table, contest, board, other, side, texts))


def _all_queries(table: Table, contest: versus.Contest, board: int, other: int, side: solved.Side, texts: bool) -> Table:
    """All that the table is a page of."""
    return solved.only_table(index, contest, board, 0, other, side, texts=texts) or table


if len(chosen) < 2:
    st.html('<p class="cb-lead" role="status">Choose at least two systems.</p>')
else:
    compare(chosen)
