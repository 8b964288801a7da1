"""How everything is computed, what the words mean, what happened, and what is not known."""

from __future__ import annotations

from html import escape

import shell
import streamlit as st

from clir_bench.errors import ClirBenchError
from clir_bench.exhibits import profile
from clir_bench.exhibits.cells import all_printed, publications, table_facts
from clir_bench.exhibits.reference import SECTIONS, boards_table
from clir_bench.exhibits.tables import Column, Table
from clir_bench.site import api
from clir_bench.standings.memory import remembered

_NEWEST = 50


def show_published() -> None:
    """The claimed numbers, and what to know of each table."""
    try:
        found = publications(index)
    except ClirBenchError as error:
        shell.say(f"The files of published numbers do not hold: {error}")
        return
    for publication in found:
        s = publication.source
        st.html(
            f'<p class="cb-text"><a href="{escape(s.url, quote=True)}">{escape(s.title)}</a>, {escape(", ".join(s.authors))}, {s.year}. {escape(publication.notes or "")}</p>'
        )
        st.html(profile.facts_html(table_facts(publication)))
    with st.expander("Every transcribed number", key="numbers", bind="query-params", on_change="rerun") as cells:
        if cells.open:
            shell.show_table(all_printed(index), "published", small=True)


def show_log() -> None:
    """The newest events, and what is wrong with which file."""
    found = profile.events(index)[-_NEWEST:]
    if found:
        shell.show_table(profile.events_table(found, "The newest event" if len(found) == 1 else f"The newest {len(found)} events"), "events", small=True)
    else:
        shell.say("The event log is empty: no submission was accepted, replaced, reproduced, flagged, cleared or withdrawn by a maintainer yet.")
    if index.problems:
        problems = "".join(f"<li>{escape(problem)}</li>" for problem in index.problems)
        st.html(f'<p class="cb-text">Files that could not be taken, or not wholly:</p><ul class="cb-text">{problems}</ul>')
    else:
        shell.say("Every file below the folder of submissions could be read.")


def show_api() -> None:
    """The addresses of the API."""
    addresses = api.contents(index, {})["addresses"]
    assert isinstance(addresses, dict)
    columns = (Column("address", "Address"), Column("answer", "Answer"))
    shell.show_table(Table("GET, JSON unless it is parquet; for all origins", columns, tuple(addresses.items())), "api", small=True)


shell.head(
    "About",
    "How every number here is computed, what the words mean, and what is not known.",
)
index = shell.index()
st.html(f"<style>{profile.STYLE}</style>")
st.header("Data sets", anchor=False)
shell.show_table(remembered(index, ("boards table",), lambda: boards_table(index)), "data-sets", small=True)
for section in SECTIONS:
    st.header(section.title, anchor=False)
    st.html(profile.facts_html(section.terms))
st.header("What happened", anchor=False)
show_log()
st.header("Published numbers", anchor=False)
show_published()
st.header("API", anchor=False)
show_api()
st.header("Cite it", anchor=False)
shell.code(shell.bibtex(index))
