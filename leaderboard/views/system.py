"""One system: what it is, how it does on each data set, and all it takes to trust and to repeat it."""

from __future__ import annotations

from html import escape

import numpy as np
import shell
import streamlit as st

from clir_bench.errors import ClirBenchError
from clir_bench.exhibits import maps, profile
from clir_bench.exhibits.ledger import Scope, chain_of, climb, ledger_table, waterfall
from clir_bench.exhibits.pair_views import one_system
from clir_bench.exhibits.use import how_to_use
from clir_bench.standings.memory import remembered
from clir_bench.standings.selection import Selection


def choose_system() -> int:
    """The system, from the address or the list; none is the usual one, so that every choice stands in the address. Without one the page ends here."""
    names = [str(line) for line in index.lines]
    chosen = st.session_state.get("system", st.query_params.get("system"))
    title = names[chosen] if isinstance(chosen, int) else chosen if chosen in names else "System"
    shell.head(title, "What a system is made of, how it does on each data set, and all that is needed to trust and to repeat its numbers.")
    line = st.selectbox("System", range(len(names)), None, format_func=names.__getitem__, key="system", bind="query-params", placeholder="Choose a system")
    if line is None:
        st.html(f'<p class="cb-text">Each row of the <a href="{shell.address("leaderboard")}">Leaderboard</a> leads here, too.</p>')
        st.stop()
    return line


def choose_board() -> str:
    """One of the boards it stands on."""
    keys = list(entries)
    if len(keys) == 1:
        return keys[0]
    titles = {key: index.boards[key].label + (", oracle" if index.boards[key].oracle else "") for key in keys}
    return st.segmented_control("Data set", keys, default=keys[0], format_func=titles.__getitem__, required=True, key="board", bind="query-params")


def show_trust() -> None:
    """How far its numbers can be trusted, and whether it was trained on what they are of."""
    level, *reasons = profile.trust_words(index, entry)
    e = index.entries
    seen, why = (str(e[name].to_numpy()[entry]) for name in ("contamination", "contamination_reason"))
    facts = [("Trust", f"{level}: {'; '.join(reasons)}"), ("Trained on the data", f"{seen.replace('_', ' ')}: {why}")]
    st.html(profile.facts_html(facts))


def show_pairs() -> None:
    """Its map, and the highest and lowest pairs."""
    view = one_system(index, board, mask, measure, line, None, "value", "family")
    if view.rows is None:
        shell.say(view.why)
        return
    lists = "".join(table.html(small=True) for table in view.lists)
    st.html(f'<style>{maps.STYLE}</style><div class="cb-maps"><div>{view.maps[0].html(small=True)}</div><div class="cb-lists">{lists}</div></div>')
    shell.save(view.maps[0], f"map-{board.key}")
    more = shell.address(
        "pairs", Selection(boards=(board.key.removesuffix(".oracle"),), track="oracle" if board.oracle else "all"), system=str(index.lines[line])
    )
    st.html(f'<p class="cb-note"><a href="{escape(more)}">Own-language recall, bias loss, other measures, and beside a second system</a></p>')


def show_steps() -> None:
    """The ledger against the systems it was made from."""
    found = climb(index, Scope((board,), (mask,), measure), line)
    if found is None:
        shell.say("It has no gold ranks here, so it cannot be compared query by query.")
    elif len(found.rungs) == 1:
        shell.say("No other system on this data set differs from it by one step, so it is the first of its ledger.")
    else:
        alt = f"{len(found.rungs) - 1} steps to {index.lines[line]}, each a bar from the score before to the score after it, with its 95 % interval"
        shell.show_chart(waterfall(index, found), ledger_table(index, found), "ledger", alt)


def show_costs() -> None:
    """What the run took."""
    if submission.timings:
        shell.show_table(profile.timings_table(submission.timings, str(index.entries["hardware"].to_numpy()[entry])), f"costs-{board.key}")
    else:
        shell.say("Its submission times nothing.")


def show_how() -> None:
    """The command, the signature, the provenance, the file."""
    use = how_to_use(submission)
    shell.code(f"{use.install}\n{use.run}" if use.run else use.install)
    if not use.run:
        shell.say("Its submission does not tell enough to make a command of.")
    shell.code(submission.system.signature)
    st.html(profile.facts_html(profile.provenance_facts(submission, str(index.entries["sha256"].to_numpy()[entry]))))
    path = index.folder / str(index.entries["path"].to_numpy()[entry])
    st.download_button("The submission", path.read_bytes, path.name, "application/json", icon=":material/download:", on_click="ignore")


def show_history() -> None:
    """Its versions, its siblings, and the log."""
    versions = profile.versions_table(index, line)
    shell.show_table(versions, "versions", small=True)
    shell.show_table(profile.variants_table(index, line, board), "variants", small=True)
    paths = {row[5] for row in versions.rows}
    told = profile.events_table([event for event in profile.events(index) if event.path in paths], f"What happened to submissions of {index.lines[line]}")
    if told.rows:
        shell.show_table(told, "events", small=True)
    else:
        shell.say("The log tells of no event: none of its submissions was accepted, replaced, flagged or withdrawn by name.")


def show_citation() -> None:
    """How to cite it, and the board."""
    if submission.citation:
        shell.code(submission.citation)
    else:
        shell.say("Its submission does not say how to cite the system.")
    shell.code(shell.bibtex(index))


index = shell.index()
line = choose_system()
entries = profile.entries_of(index, line)
st.html(f"<style>{profile.STYLE}</style>{profile.chain_html(chain_of(index, next(iter(entries.values()))))}")
st.html(profile.facts_html(profile.system_facts(index, line), wide=True))
shell.show_table(profile.scores_table(index, line), "scores")
key = choose_board()
board, entry = index.boards[key], entries[key]
mask, measure = np.ones(len(board.pairs), bool), profile.primary(board)
st.header(f"On {board.label}{', oracle track' if board.oracle else ''}", anchor=False)
show_trust()
try:
    submission = remembered(index, ("submission", entry), lambda: index.submission(entry))
except ClirBenchError as error:
    st.error(f"Its submission cannot be read any more: {error}")
    st.stop()
parts = {"Pairs": show_pairs, "Steps": show_steps, "Costs": show_costs, "Repeat it": show_how, "History": show_history, "Cite it": show_citation}
for tab, show in zip(st.tabs(list(parts), key="show", bind="query-params", on_change="rerun"), parts.values(), strict=True):
    if tab.open:
        with tab:
            show()
