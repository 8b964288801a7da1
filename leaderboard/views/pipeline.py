"""What each step of a system gains and what it costs: one system's ledger, and every step over all systems beside the paper's tables."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import filters
import shell
import streamlit as st

from clir_bench.exhibits.cells import first_measure, printed
from clir_bench.exhibits.ledger import Scope, climb, ledger_table, line_parents, waterfall
from clir_bench.exhibits.steps import COMMANDS, KINDS, TRANSLATION_COMMANDS, Pairing, oracle_table, pairings, step_table, summary_table, translation_table
from clir_bench.exhibits.tables import Table
from clir_bench.exhibits.words import counted
from clir_bench.lineage import StepKind, ledger
from clir_bench.standings.selection import Selection

_TABS: dict[str, tuple[str, tuple[StepKind, ...]]] = {
    "Translation": ("Table 3", ("documents", "queries")),
    "Fine-tuning": ("Table 4", ("fine_tuning",)),
    "Re-ranking": ("Table 6", ("rerank",)),
    "Search": ("Table 7", ("index",)),
}
_OTHERS = tuple(kind for kind in KINDS if not any(kind in kinds for _, kinds in _TABS.values()))


def show_system() -> None:
    """A system's ledger as a waterfall, and as a table."""
    parents = line_parents(index, scope.boards)
    stepped = shell.named(line for line in found.lines if parents[line])
    if not stepped:
        st.info("No system here differs from another by one step.", icon=":material/info:")
        return
    line = shell.choose_system(stepped, max(stepped, key=lambda line: len(ledger(parents, line))))
    if (steps := climb(index, scope, line)) is None:
        st.info("It has no gold ranks for these pairs, so nothing can be compared.", icon=":material/info:")
        return
    alt = f"{counted(len(steps.rungs) - 1, 'step')} to {stepped[line]}, each a bar from the score before to the score after it, with its 95\u00a0% interval"
    shell.show_chart(waterfall(index, steps), ledger_table(index, steps), "ledger", alt)


def show_step(title: str, table: str, kinds: tuple[StepKind, ...]) -> None:
    """Our systems by this step, and what the paper prints."""
    show_pairings(title.lower(), kinds)
    if title == "Re-ranking":
        show_oracle()
    if title == "Translation" and (made := translation_table(index, scope, found.lines.tolist())):
        show_paged(made, "translations")
    st.header("As published", anchor=False)
    if title == "Re-ranking":
        shell.say(
            "Two forms of one question: above, each system on all queries of a pair, before and after re-ranking. Below, what the paper prints:",
            "its re-ranked cells seem to rest on about 10 and 100 queries a pair, its BM25 cells on all, so they are shown and never subtracted.",
        )
    cells = printed(index, table)
    if cells.rows:
        shell.show_table(cells, table.replace(" ", "-").lower(), small=True)
    else:
        shell.say(cells.note)
    preset = Selection(measure=first_measure(index, table) or Selection().measure)
    st.html(f'<p class="cb-note"><a href="{shell.address("pipeline", preset, show=title)}">{table}: the paper\'s data sets, {preset.measure}</a></p>')


def show_pairings(name: str, kinds: tuple[StepKind, ...]) -> None:
    """Tables of these steps; where there are none, the command that makes one."""
    for kind in kinds:
        if mine := steps_of.get(kind):
            whole = partial(step_table, index, scope.measure, mine)
            shell.show_table(step_table(index, scope.measure, mine[shell.paged(len(mine), f"{kind}-page")]), kind, small=True, whole=whole)
    if not any(kind in steps_of for kind in kinds):
        st.info(f"No two systems here differ by {name} alone. Two runs that do stand here once both are submitted:", icon=":material/info:")
        shell.code("\n".join(COMMANDS[kinds[0]]))


def show_oracle() -> None:
    """The oracle track, apart."""
    if table := oracle_table(index, filters.selection()):
        show_paged(table, "oracle")
    else:
        shell.say("The oracle track, in which a missing relevant document is put among the candidates, has no submission here.")


def show_paged(table: Table, name: str) -> None:
    """A table, page by page."""
    shown = shell.paged(len(table.rows), f"{name}-page")
    shell.show_table(replace(table, rows=table.rows[shown]), name, small=True, whole=lambda: table)


def show_translations() -> None:
    """How translations are judged: beside submissions, in files of their own."""
    shell.say(
        "How good translations are (Figure 2 of the paper) is judged apart from retrieval: COMET-Kiwi, perplexity, similarity of source and translation, chrF++ and BLEU",
        "per language and translator. Submissions do not carry it; these commands make it, as a file of its own.",
    )
    shell.code("\n".join(TRANSLATION_COMMANDS))


shell.head("Pipeline", "What each step of a system gains on the same queries, and what it costs: translation, fine-tuning, the index, re-ranking.")
found = shell.chosen_standing()
index = shell.index()
scope = Scope(found.boards, found.pairs, found.selection.measure)
steps_of: dict[StepKind, list[Pairing]] = {}
for pairing in pairings(index, scope, found.lines.tolist()):
    steps_of.setdefault(pairing.kind, []).append(pairing)
if steps_of:
    shell.show_table(summary_table(scope.measure, [pairing for mine in steps_of.values() for pairing in mine]), "steps", small=True)
tabs = st.tabs(["One system", *_TABS, "Other steps", "Quality of translations"], key="show", bind="query-params", on_change="rerun")
for tab, (title, (table, kinds)) in zip(tabs[1:], _TABS.items(), strict=False):
    if tab.open:
        with tab:
            show_step(title, table, kinds)
if tabs[0].open:
    with tabs[0]:
        show_system()
if tabs[-2].open:
    with tabs[-2]:
        show_pairings("another step", _OTHERS)
if tabs[-1].open:
    with tabs[-1]:
        show_translations()
