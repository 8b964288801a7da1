"""The filters: widgets above the pages, in the words that addresses use, and what an address says in the words of the API."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from clir_bench import languages
from clir_bench.standings.index import Index
from clir_bench.standings.selection import LEVELS, SEEN, Selection

SIZES = (None, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
OPTIONS = {
    "track": {"all": "first stage and re-ranked", "retrieval": "first stage", "rerank": "re-ranked", "oracle": "oracle"},
    "same": {"with": "counted", "without": "left out"},
    "script": {"any": "any", "same": "one script", "cross": "two scripts"},
    "licence": {"any": "any licence", "open": "open"},
    "seen": SEEN,
    "trust": dict(zip(LEVELS, LEVELS, strict=True)),
}
"""The filters with few values, as they are called in the widgets and in addresses; the first is the usual one."""
_TITLES = {
    "track": "Track", "same": "Pairs of one language", "script": "Scripts of a pair", "licence": "Licence", "seen": "Trained on the data", "trust": "Trust, at least",
}  # fmt: skip
KEPT: dict[str, Any] = {"bind": "query-params", "persist_state": "session"}
"""Of a widget whose value stays when another page is opened, and stands in its address."""


def selection() -> Selection:
    """What the filters above the page say."""
    found = st.session_state.get("selection", Selection())
    assert isinstance(found, Selection)
    return found


def bar(found: Index) -> Selection:
    """The bar of filters. Widgets live here, before the page runs, so that they keep their values and their place in the address on all pages."""
    boards = {board.key.removesuffix(".oracle"): board for board in found.boards.values()}
    asked = sorted({code for board in boards.values() for code in board.query_languages}, key=languages.name)
    held = sorted({code for board in boards.values() for code in board.document_languages}, key=languages.name)
    measures = list(dict.fromkeys(name for board in found.boards.values() for name in board.measures))
    measures.sort(key=lambda name: name != Selection().measure)  # the usual one first
    row = st.container(key="filters").columns([2.2, 1.2, 2, 2, 1.1], vertical_alignment="bottom")
    chosen = row[0].multiselect("Data sets", list(boards), format_func=lambda key: boards[key].label, key="boards", placeholder=_usual(found), **KEPT)
    measure = row[1].selectbox("Measure", measures, key="measure", **KEPT)
    queries = row[2].multiselect("Questions in", asked, format_func=languages.name, key="queries", placeholder="all languages", **KEPT)
    documents = row[3].multiselect("Documents in", held, format_func=languages.name, key="documents", placeholder="all languages", **KEPT)
    with row[4].popover(f"More{_count_more()}", width="stretch"):
        track, same, script, licence, seen, trust = (
            st.selectbox(title, list(OPTIONS[key]), format_func=OPTIONS[key].__getitem__, key=key, **KEPT) for key, title in _TITLES.items()
        )
        size = st.selectbox("Weights, as published", SIZES, format_func=gigabytes_words, key="gigabytes", **KEPT)
    return Selection(
        boards=tuple(chosen), queries=tuple(queries), documents=tuple(documents), script=script, same=same, measure=measure, track=track,
        gigabytes=size, licence=licence, seen=seen, trust=trust,
    )  # fmt: skip


def sentence(found: Index) -> Selection:
    """The filters of Choose, as the sentence that is built: widgets of the same keys, so that what is chosen there stays so on the other pages."""
    boards = [board for board in found.boards.values() if not board.oracle]
    asked, held = ({code for board in boards for code in getattr(board, f"{side}_languages")} for side in ("query", "document"))
    with st.container(horizontal=True, key="sentence"):
        query, document = (
            st.multiselect(title, sorted(codes, key=languages.name), format_func=languages.name, key=key, placeholder="any language", width=185, **KEPT)
            for title, codes, key in (("Questions in", asked, "queries"), ("Documents in", held, "documents"))
        )
        size = st.selectbox("Weights", SIZES, format_func=gigabytes_words, key="gigabytes", placeholder="any size", width=150, **KEPT)
        licence, seen, track = (
            st.selectbox(title, list(options), format_func=OPTIONS[key].__getitem__, key=key, width=width, **KEPT)
            for title, key, options, width in (
                ("Licence", "licence", OPTIONS["licence"], 130),
                ("Trained on the data", "seen", OPTIONS["seen"], 225),
                ("Stages", "track", ("all", "retrieval", "rerank"), 212),
            )
        )
    return Selection(queries=tuple(query), documents=tuple(document), gigabytes=size, licence=licence, seen=seen, track=track)


def understand(found: Index, page: StreamlitPage) -> None:
    """On a visitor's first page: put the API's values of the address into the words of the widgets, and note what it says in vain."""
    if "ignored" in st.session_state:
        return
    ignored: list[str] = []
    address = {name: st.query_params.get_all(name) for name in st.query_params}
    meant = dict(address)
    for name, known in _values(found).items():
        words = {
            "" if value is None else f"{value:g}" if isinstance(value, float) else value: word for word, value in known.items() if not isinstance(value, int)
        }
        given = [part for text in address.get(name, []) for part in ([text] if text in known else text.split(","))]
        ignored += [f"{name}={text}{_near(text, known)}" for text in given if text not in known and text not in words]
        if any(text in words and text not in known for text in given):
            meant[name] = [text if text in known else words[text] for text in given if text in known or text in words]
    st.session_state["ignored"] = (page.url_path, ignored)
    if meant != address:
        st.switch_page(page, query_params=meant)


def gigabytes_words(size: float | None) -> str:
    """How a limit of weights is called."""
    return "any size" if size is None else f"at most {size:g} GB"


def _values(found: Index) -> dict[str, dict[str, str | float | int | None]]:
    """The parameters of addresses: what each of their values is called in a widget, and the value. A system has its number."""
    lines = {str(line): i for i, line in enumerate(found.lines)}
    boards = found.boards.values()
    return {
        "boards": {board.label: board.key for board in boards if not board.oracle},
        "queries": {languages.name(code): code for board in boards for code in board.query_languages},
        "documents": {languages.name(code): code for board in boards for code in board.document_languages},
        "measure": {name: name for board in boards for name in board.measures},
        "gigabytes": {gigabytes_words(size): size for size in SIZES},
        **{name: {words: value for value, words in known.items()} for name, known in OPTIONS.items()},
        "system": lines,
        "systems": lines,
    }


def _near(text: str, known: Collection[str]) -> str:
    """Names that a misspelt one may mean."""
    found = get_close_matches(text, known, 2)
    return f" (near: {', '.join(found)})" if found else ""


def _count_more() -> str:
    """How many of the filters that are out of sight are set."""
    names = {**OPTIONS, "gigabytes": {None: ""}}
    set_ = sum(st.session_state.get(key, next(iter(options))) != next(iter(options)) or key in st.query_params for key, options in names.items())
    return f" ({set_})" if set_ else ""


def _usual(found: Index) -> str:
    return ", ".join(board.label for board in Selection().chosen(found))
