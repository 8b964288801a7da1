"""What all pages share: the index, the filters above them, links between them, and how tables and charts are shown and saved."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from html import escape
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlencode

import filters
import pyarrow as pa
import streamlit as st
from streamlit.navigation.page import StreamlitPage

from clir_bench import languages
from clir_bench.errors import ClirBenchError
from clir_bench.exhibits import maps, profile
from clir_bench.exhibits.board_table import caution, mixed
from clir_bench.exhibits.tables import STYLE, Table
from clir_bench.exhibits.words import counted
from clir_bench.site.citation import bibtex
from clir_bench.standings.build import FOLDER, current, index_home
from clir_bench.standings.index import Board, Index, open_index
from clir_bench.standings.overview import Standing, standing
from clir_bench.standings.selection import Selection

_VIEWS = (
    ("choose", "Choose"), ("leaderboard", "Leaderboard"), ("pairs", "Pairs"), ("compare", "Compare"), ("bias", "Bias"), ("pipeline", "Pipeline"),
    ("languages", "Languages"), ("submit", "Submit"), ("about", "About"), ("system", "System"),
)  # fmt: skip
_UNFILTERED = ("submit", "about", "system")  # nothing is chosen there
ROWS = 50
"""Rows of a long table on one page."""
_PAGE_STYLE = """
[data-testid="stMainBlockContainer"]{padding:4.2rem 3rem 2rem;max-width:90rem}
[data-testid="stMainBlockContainer"] [data-testid="stVerticalBlock"]{gap:.7rem}
[data-testid="stHeader"]{border-bottom:1px solid color-mix(in srgb,currentColor 12%,transparent)}
h1{padding:0 0 .15rem}
[data-testid="stHeader"] a:focus-visible,[data-testid="stMain"]:focus-visible{outline:2px solid light-dark(#1b5c98,#8cc3f0);outline-offset:2px}
[data-testid="stHtml"] a{color:light-dark(#1b5c98,#8cc3f0)}
[data-testid="stMultiSelectTagsContainer"] [data-tag]{background:light-dark(#1f5f99,#2a6496)}
[data-testid="stCode"] .token{color:inherit!important;background:none!important}
.cb-lead{font-size:1.02rem;max-width:56rem;margin:.1rem 0 .6rem;line-height:1.5}
.cb-text{font-size:.95rem;max-width:60rem;line-height:1.5;margin:.1rem 0 .5rem}
ul.cb-text{padding-left:1.1rem}.cb-text li{margin:.15rem 0}
.cb-count{font-size:.86rem;opacity:.85;margin:0 0 .4rem}
pre.cb-code{white-space:pre-wrap;overflow-wrap:anywhere;user-select:all;font:.84rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;max-width:60rem;margin:.2rem 0 .8rem;padding:.6rem .8rem;border:1px solid color-mix(in srgb,currentColor 18%,transparent);border-radius:.35rem;background:color-mix(in srgb,currentColor 4%,transparent)}
.cb-foot{font-size:.8rem;opacity:.9;border-top:1px solid color-mix(in srgb,currentColor 14%,transparent);margin-top:2rem;padding-top:.7rem}
@media (max-width:640px){[data-testid="stMainBlockContainer"]{padding-left:.9rem;padding-right:.9rem}h1{font-size:1.5rem}
.st-key-sentence>[data-testid="stElementContainer"]{flex:1 1 calc(50% - .5rem);width:calc(50% - .5rem)}
.st-key-filters [data-testid="stHorizontalBlock"]{gap:.5rem}.st-key-filters [data-testid="stColumn"]{min-width:calc(50% - .5rem);flex:1 1 calc(50% - .5rem)}

table.cb :is(thead,tbody) th:first-child{position:sticky;left:0;z-index:1;background:light-dark(#ffffff,#10171e)}}
@media print{[data-testid="stHeader"],[data-testid="stPopover"],.cb-foot{display:none}}
"""


def pages() -> list[StreamlitPage]:
    """The pages, in the order of the menu; System is opened from a row."""
    return [
        st.Page(f"views/{name}.py", title=title, url_path=name, default=name == "choose", visibility="hidden" if name == "system" else "visible")
        for name, title in _VIEWS
    ]


def names() -> list[str]:
    """The addresses of the pages below the site's; the first is the site's own."""
    return ["", *(name for name, _ in _VIEWS[1:])]


def index() -> Index:
    """The opened index; a newer one on disk is taken up at the next click, but for one that another version of clir-bench has written since."""
    folder = Path(os.environ.get(FOLDER, "submissions"))
    found = current(index_home(folder))
    if found is None and folder in _opened:
        return _opened[folder]
    _opened[folder] = opened = _open(str(folder), str(found[0]) if found else "")
    return opened


_opened: dict[Path, Index] = {}


@lru_cache(2)  # not st.cache_resource: the API asks without a session
def _open(folder: str, found: str) -> Index:
    return open_index(Path(folder), build=True)


def open_page(page: StreamlitPage) -> None:
    """What stands above a page: the style and the filters."""
    st.html(f"<style>{STYLE}{maps.STYLE}{profile.STYLE}{_PAGE_STYLE}</style>")
    try:
        found = index()
    except ClirBenchError as error:
        st.error(str(error))
        st.stop()
    if not found.boards:
        st.title("clir-bench")
        st.info("There is no submission yet. `clir-bench evaluate --model bm25 --task sample --output submissions` makes the first.")
        st.stop()
    filters.understand(found, page)
    if page.url_path == "":
        head("Choose", "Which system for your languages and your limits: all that cannot be told from the best, and what sets them apart.")
        st.session_state["selection"] = filters.sentence(found)
    elif page.url_path not in _UNFILTERED:
        st.session_state["selection"] = filters.bar(found)
    where, ignored = st.session_state["ignored"]
    if ignored and where == page.url_path:
        st.warning(f"The address asks for what is not here, and that was left out: {'; '.join(ignored)}.", icon=":material/link_off:")


def head(title: str, lead: str) -> None:
    """A page's title and what it is for."""
    st.title(title, anchor=False)
    st.html(f'<p class="cb-lead">{lead}</p>')


def code(text: str) -> None:
    """Text to copy, as it is: a click selects all of it. Not st.code, for which a browser loads half a megabyte of highlighter."""
    st.html(f'<pre class="cb-code">{escape(text)}</pre>')


def named(lines: Iterable[int]) -> dict[int, str]:
    """Systems by their number, with their names."""
    found = index()
    return {int(line): str(found.lines[line]) for line in lines}


def choose_board(boards: Sequence[Board]) -> Board:
    """One data set of these, the first where none is chosen; nothing is asked of one alone."""
    keys = {board.key: board for board in boards}
    key = boards[0].key
    if len(keys) > 1:  # the format fails for a data set that is gone, so that the choice falls back to the first
        key = st.segmented_control(
            "Data set",
            list(keys),
            default=key,
            format_func=lambda which: keys[which].full_label,
            required=True,
            key="board",
            bind="query-params",
        )
    return keys[key]


def choose_system(names: Mapping[int, str], usual: int) -> int:
    """One of these systems; the usual one where none is chosen. It is no value of the widget: the address would not tell one that moves with the filters."""
    chosen = st.selectbox("System", list(names), None, format_func=names.__getitem__, key="system", bind="query-params", placeholder=names[usual], width=480)
    return usual if chosen is None else int(chosen)


def say(*sentences: str) -> None:
    """A paragraph of plain text; it is escaped."""
    st.html(f'<p class="cb-text">{escape(" ".join(sentences)).replace(" %", "&nbsp;%")}</p>')


def chosen_standing(asked: Selection | None = None) -> Standing:
    """The standing of the filters, or of a narrower selection; where nothing passes, the page ends here and says which filter to loosen."""
    asked = asked or filters.selection()
    try:
        found = standing(index(), asked)
    except ClirBenchError as error:
        st.warning(f"{error}. Choose another measure.")
        st.stop()
    if not len(found.lines) or not found.cells_of:
        nothing(asked, "leaderboard")
        st.stop()
    st.html("".join(f'<p class="cb-count">{escape(text)}</p>' for text in (coverage(found), caution(found)) if text))
    return found


def coverage(found: Standing) -> str:
    """What an average is over."""
    names, same = ", ".join(board.label for board in found.boards), mixed(found)
    alike = f" ({same:,} of one language)" if same else ""
    topics = f", {found.topics:,} topics" if found.topics else ""
    left = len(found.lines) - found.ranked
    return (
        f"{names}: {counted(found.cells_of, 'pair')}{alike}, {found.queries:,} evaluated queries{topics}; {found.ranked:,} of {len(found.lines):,} systems ranked"
        + (f", {left:,} without a rank ({found.why or 'not all pairs, or no gold ranks'})" if left else "")
    )


def nothing(asked: Selection, page: str) -> None:
    """The empty state: which filter to relax; its links lead to ``page``."""
    copied = bool(standing(index(), asked).copied.any())
    st.info(f"No system passes all of this{' but what is flagged as a copy' if copied else ''}.", icon=":material/filter_alt_off:")
    for words, loose in asked.relaxations(index()):
        st.html(f'<p class="cb-count">With <a href="{escape(address(page, loose))}">{escape(words)}</a> there are systems.</p>')


def address(page: str, asked: Selection | None = None, /, **parameters: str | Sequence[str]) -> str:
    """A relative link to a page with these filters, as the widgets spell them, and with the page's own parameters."""
    pairs: list[tuple[str, str]] = []
    for name, value in (asked.parameters() if asked else {}).items():
        if name in ("queries", "documents"):
            pairs += [(name, languages.name(code)) for code in value.split(",")]
        elif name == "boards":
            pairs += [(name, found.label) for key in value.split(",") if (found := index().boards.get(key))]
        elif name == "gigabytes":
            pairs.append((name, filters.gigabytes_words(float(value))))
        else:
            pairs.append((name, filters.OPTIONS[name][value] if name in filters.OPTIONS else value))
    for name, value in parameters.items():
        pairs += [(name, value)] if isinstance(value, str) else [(name, part) for part in value]
    return f"./{'' if page == 'choose' else page}{f'?{urlencode(pairs)}' if pairs else ''}"


def show_table(table: Table, name: str, *, small: bool = False, whole: Callable[[], Table] | None = None) -> None:
    """A table, and what is in it as files, or all of the ``whole`` of which it is a page; ``name`` is that of the files, and must differ on a page."""
    st.html(table.html(small=small))
    save(table, name, whole=whole)


def save(table: Table, name: str, label: str = "Save", *, whole: Callable[[], Table] | None = None) -> None:
    """The table as CSV, JSON and LaTeX, with where it comes from, and how to cite it; made when asked for."""
    with st.popover(label, icon=":material/download:", type="tertiary", key=f"save-{name}", on_change="rerun") as kinds:
        if not kinds.open:
            return
        saved = replace(whole() if whole else table, source=source())
        for title, suffix, mime, text in (
            ("CSV", "csv", "text/csv", saved.csv), ("JSON", "json", "application/json", saved.json), ("LaTeX", "tex", "text/x-tex", saved.latex),
            ("BibTeX", "bib", "text/x-bibtex", lambda: bibtex(index())),
        ):  # fmt: skip
            st.download_button(title, text, f"{name}.{suffix}", mime, key=f"save-{name}-{suffix}", on_click="ignore", type="tertiary")


def source() -> str:
    """What was selected of which index: what a table needs to be made again."""
    chosen = "; ".join(f"{name} = {value}" for name, value in filters.selection().parameters().items()) or "the usual selection"
    found = index()
    return f"clir-bench {version('clir-bench')}, index {found.path.name} of {found.newest}, {chosen}"


def paged(count: int, key: str) -> slice:
    """Which of so many rows are shown, 50 at once, by a row of page numbers where they are more."""
    if count <= ROWS:
        return slice(0, count)
    page = st.pagination(-(-count // ROWS), key=key, bind="query-params")
    return slice((page - 1) * ROWS, page * ROWS)


def show_chart(spec: Mapping[str, object], table: Table, name: str, alt: str) -> None:
    """A chart with its table below it, folded."""
    draw(spec, alt)
    with st.expander("The same as a table"):
        show_table(table, name)


def draw(spec: Mapping[str, object], alt: str) -> None:
    """A chart alone."""
    st.vega_lite_chart(spec=streamed(spec), width="stretch", alt=alt)


def streamed(spec: Mapping[str, object]) -> dict[str, object]:
    """A chart whose values are an Arrow stream, which streamlit passes on: of a list it makes one itself, ten times as slowly. As it is if that was done."""
    data = spec["data"]
    assert isinstance(data, dict)
    if "values" not in data:
        return dict(spec)
    values, stream = data["values"], pa.BufferOutputStream()
    rows = pa.table({name: [value.get(name) for value in values] for name in dict.fromkeys(name for value in values for name in value)})
    with pa.ipc.new_stream(stream, rows.schema) as writer:
        writer.write_table(rows)
    return {**spec, "data": {"name": "rows"}, "datasets": {"rows": stream.getvalue().to_pybytes()}}


def foot() -> None:
    """Below every page: how old it is, and where the numbers can be had."""
    found = index()
    st.html(
        f'<p class="cb-foot">{len(found.entries):,} submissions, the newest of {found.newest}; a view is a link: its address holds what was chosen. '
        f'<a href="./api/v1">API</a> · <a href="./about">how it is computed</a> · numbers are percent unless they say otherwise</p>'
    )
