"""Which system for these languages and these limits."""

from __future__ import annotations

from html import escape

import filters
import shell
import streamlit as st

from clir_bench import languages
from clir_bench.errors import ClirBenchError
from clir_bench.exhibits.answer import Answer, answer, answer_table, effects_table, headline, sentences, settled
from clir_bench.exhibits.nearby import nearby_table
from clir_bench.exhibits.use import use_of
from clir_bench.standings.overview import standing
from clir_bench.standings.selection import Selection


def show_nearest(wish: Selection) -> None:
    """For a pair that nobody measured."""
    query, document = (languages.name(codes[0]) for codes in (wish.queries, wish.documents))
    st.info(f"{query} questions over {document} documents are in no data set that was measured here.", icon=":material/travel_explore:")
    shell.show_table(nearby_table(shell.index(), wish, lambda near: shell.address("choose", near)), "near")


def show_nothing(wish: Selection) -> None:
    """Which part of the sentence to loosen."""
    copied = bool(standing(shell.index(), wish).copied.any())
    st.info(f"No system passes all of this{' but what is flagged as a copy' if copied else ''}.", icon=":material/filter_alt_off:")
    for words, loose in wish.relaxations(shell.index()):
        st.html(f'<p class="cb-count">With <a href="{escape(shell.address("choose", loose))}">{escape(words)}</a> there are systems.</p>')


def show_answer(wish: Selection, found: Answer) -> None:
    """The tie, what tells its members apart, how to run one."""
    index = shell.index()
    told = "".join(f"<li>{escape(each)}</li>" for each in sentences(index, found))
    # a header of Streamlit's is markdown, and a system's name may hold what markdown reads
    st.html(
        f'<h2 style="font-size:1.35rem;font-weight:600;margin:0;padding:.8rem 0 .2rem">{escape(headline(index, found))}</h2><ul class="cb-text">{told}</ul>'
    )
    shell.show_table(answer_table(index, found), "answer")
    st.html(
        "<p class='cb-count'>The same selection: "
        + " · ".join(
            f'<a href="{escape(shell.address(page, wish))}">{title}</a>'
            for page, title in (("leaderboard", "Leaderboard"), ("pairs", "Pairs"), ("compare", "Compare"))
        )
        + "</p>"
    )
    if found.useful:
        st.header("Run it", anchor=False)
        show_use(found)
    if found.tested:
        st.header("Does translating or re-ranking help here?", anchor=False)
        effects = effects_table(index, found)
        if effects.rows:
            shell.show_table(effects, "effects")
        else:
            shell.say("No two systems that pass differ in translating or re-ranking, so nothing here can tell.")


def show_use(found: Answer) -> None:
    """The command of the member that is picked."""
    index, s = shell.index(), found.standing
    kind = ", the smallest of the tie" if len(found.group) > 1 else ""
    shell.say(
        f"{index.lines[s.lines[found.pick]]}{kind}, as it was evaluated. In a checkout of clir-bench; --task path/to/folder evaluates it on documents of your own."
    )
    try:
        use = use_of(index, int(s.entries[found.pick].max()))
    except ClirBenchError:
        use = None
    if use and use.run:
        shell.code(f"{use.install}\n{use.run}")
    else:
        st.info("Its submission does not tell enough to repeat it by one command; its page says what is known.", icon=":material/info:")


asked = filters.selection()
wish = settled(shell.index(), asked)
if wish is None and len(asked.queries) == len(asked.documents) == 1:
    show_nearest(asked)
elif wish is None or (found := answer(shell.index(), wish)) is None:
    show_nothing(wish or asked)
else:
    show_answer(wish, found)
