"""Query language by document language: where a system finds what was asked for, and where it does not."""

from __future__ import annotations

from dataclasses import replace
from html import escape

import filters
import shell
import streamlit as st

from clir_bench.exhibits import maps
from clir_bench.exhibits.pair_views import SHOWN, best_systems, one_system

shell.head("Pairs", "One number for each pair of languages: rows are the language of the questions, columns that of the documents. A pair is a direction.")
found = shell.chosen_standing()
index, measure = shell.index(), filters.selection().measure
names = shell.named(found.lines)

row = st.columns([1.3, 2.2, 2.2], vertical_alignment="bottom")
shown = row[0].selectbox("Cells show", list(SHOWN), format_func=SHOWN.__getitem__, key="show", bind="query-params")
if shown != "best":
    with row[1]:
        line = shell.choose_system(names, next(iter(names)))
    second = row[2].selectbox("Second system", [None, *names], format_func=lambda which: names.get(which, "none"), key="second", bind="query-params")
row = st.columns([2.2, 2.2, 1.3], vertical_alignment="bottom") if len(found.boards) > 1 else [st.container()] * 2
with row[0]:
    board = shell.choose_board(found.boards)
order = row[1].segmented_control("Order of languages", maps.ORDERS, default=maps.ORDERS[0], required=True, key="order", bind="query-params")

mask = filters.selection().pairs_of(board)
if shown == "best":
    view = best_systems(index, board, mask, measure, found.lines, order)
else:
    view = one_system(index, board, mask, measure, line, None if second == line else second, shown, order)
if view.rows is None:
    st.html(f'<p class="cb-lead" role="status">{escape(view.why)}</p>')
else:
    sides = [f"<div>{table.html(small=True)}</div>" for table in view.maps]
    if view.lists:
        early = " cb-early" if shown == "value" else ""
        sides.append(f'<div class="cb-lists{early}">{"".join(table.html(small=True) for table in view.lists)}</div>')
    st.html(f'<div class="cb-maps">{"".join(sides)}</div>')
    with st.container(horizontal=True):
        for i, table in enumerate(view.maps):
            shell.save(table, f"map-{board.key}-{i + 1}", "Save the map" if len(view.maps) == 1 else f"Save the {('first', 'second')[i]} map")
    with st.expander("Every pair as a row", key="rows", bind="query-params") as rows:
        if rows.open:
            st.html(replace(view.rows, rows=view.rows.rows[shell.paged(len(view.rows.rows), "page")]).html(small=True))
            shell.save(view.rows, f"pairs-{board.key}", "Save all rows")
