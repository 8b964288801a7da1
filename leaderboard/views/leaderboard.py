"""All systems of a selection: tiers, intervals, what they cost and what they lose to bias."""

from __future__ import annotations

import filters
import shell
import streamlit as st

from clir_bench.exhibits.board_table import ORDERS, board_table, columns_of, order_rows, unranked_table, usual_columns
from clir_bench.exhibits.gaps import CHARTED, chart_words, interval_chart, tier_sentences
from clir_bench.exhibits.published import published_table
from clir_bench.exhibits.quality_cost import COSTS, chart_alt, cost_chart, cost_table, cost_words, costed, front_table, machines
from clir_bench.exhibits.tables import Table
from clir_bench.standings.memory import remembered
from clir_bench.standings.overview import Standing


def show_ranked(found: Standing) -> None:
    """The table, a page of it, and what stands above and below it."""
    index = shell.index()
    shell.say(*tier_sentences(index, found))
    known = {key: column.title for key, column in columns_of(found).items()}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = st.text_input("Find a system", key="find", **filters.KEPT, type="search", placeholder="part of a name", width=240)
        order = st.selectbox("In the order of", ORDERS, key="sort", **filters.KEPT, width=170)
        with st.popover("Columns"):
            usual = f"the usual {len(usual_columns(found))} of {len(known)}"
            picked = st.multiselect("Columns", list(known)[4:], format_func=known.__getitem__, key="columns", **filters.KEPT, placeholder=usual)
    rows = order_rows(index, found, order, words or "")
    shown = shell.paged(len(rows.ranked), "page")
    if len(rows.ranked):
        table = board_table(index, found, rows.ranked[shown], picked or None)
        shell.show_table(table, "leaderboard", whole=lambda: board_table(index, found, rows.ranked, picked or None))
    elif words:
        st.info("No system with a rank has all of these words in its name.", icon=":material/search_off:")
    else:
        st.info("No system has a rank here; those that pass are below.", icon=":material/info:")
    if len(rows.others):
        with st.expander(f"{len(rows.others):,} without a rank", expanded=not len(rows.ranked)):
            shown = shell.paged(len(rows.others), "more")
            shell.show_table(unranked_table(index, found, rows.others[shown]), "unranked", whole=lambda: unranked_table(index, found, rows.others))


def show_costs(found: Standing) -> None:
    """Quality against size or speed: the chart, the systems on its front, and all of them as a table."""
    index = shell.index()
    st.header("Quality against cost", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control("Against", list(COSTS), default="size", format_func=COSTS.__getitem__, required=True, key="cost", **filters.KEPT)
        known = machines(index, found, kind)
        # the usual one is no value of the widget: what stands in the address must hold for another selection, too
        machine = st.selectbox("Timed on", known, None, key="hardware", **filters.KEPT, placeholder=known[0], width=380) if known else None
    costs = costed(index, found, kind, machine)
    shell.say(*cost_words(index, found, costs))
    if not len(costs.shown):
        return
    asked = found.selection, kind, costs.hardware
    shell.draw(remembered(index, ("cost chart", *asked), lambda: shell.streamed(cost_chart(index, found, costs))), chart_alt(found, costs))
    shell.show_table(remembered(index, ("front table", *asked), lambda: front_table(index, found, costs)), f"front-{kind}", small=True)
    with st.expander("The same as a table", key="costs", bind="query-params", on_change="rerun") as twin:
        if twin.open:
            table = cost_table(index, found, costs, costs.shown[shell.paged(len(costs.shown), "costs-page")])
            shell.show_table(table, f"cost-{kind}", small=True, whole=lambda: cost_table(index, found, costs))


def show_published(table: Table) -> None:
    """What publications say of it."""
    if table.rows:
        st.header("As published", anchor=False)
        shell.show_table(table, "published", small=True)


shell.head("Leaderboard", "Systems in one tier cannot be told apart from its leader by the queries that were asked.")
found = shell.chosen_standing()
show_ranked(found)
if found.ranked > 1:
    best = order_rows(shell.index(), found).ranked[:CHARTED]
    st.header("The best, with their intervals", anchor=False)
    chart, table = remembered(shell.index(), ("intervals", found.selection), lambda: interval_chart(shell.index(), found, best))
    shell.show_chart(chart, table, "intervals", chart_words(found, best))
if found.ranked:
    show_costs(found)
show_published(remembered(shell.index(), ("published", found.selection), lambda: published_table(shell.index(), found)))
