"""The leaderboard's pages as AppTest opens them at an address, and what stands in the HTML that they show."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from streamlit import config
from streamlit.components.v2.component_manager import BidiComponentManager
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.testing.v1 import AppTest, app_test, local_script_runner
from streamlit.testing.v1.local_script_runner import LocalScriptRunner
from streamlit.util import calc_hash

LEADERBOARD = Path(__file__).parent.parent / "leaderboard"
PAGES = tuple(sorted(path.stem for path in (LEADERBOARD / "views").glob("*.py")))
PATIENCE = 30  # seconds


def _run_as_served() -> None:
    """AppTest with the settings of the leaderboard; a script is compiled once a process, as a server does, and waited for without looking every millisecond."""
    settings = tomllib.loads((LEADERBOARD / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    for section in ("browser", "runner"):
        for name, value in settings[section].items():
            config.set_option(f"{section}.{name}", value)

    def wait(runner: LocalScriptRunner, timeout: float) -> None:
        thread = runner._script_thread
        assert thread is not None
        thread.join(timeout)
        if thread.is_alive():
            runner.request_stop()
            raise TimeoutError(f"the script ran for more than {timeout} s")

    scripts = ScriptCache()
    for module in (app_test, local_script_runner):
        module.ScriptCache = lambda: scripts  # type: ignore[attr-defined]
    local_script_runner.require_widgets_deltas = wait  # type: ignore[assignment]


_run_as_served()


class Shown(NamedTuple):
    """A table as it is shown; ``links`` are the addresses in its cells."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    links: tuple[str, ...]

    def column(self, title: str) -> list[str]:
        at = self.columns.index(title)
        return [row[at] for row in self.rows]


class Html(HTMLParser):
    """The tables, links and tags of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[Shown] = []
        self.links: list[tuple[str, str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._text: list[str] = []
        self._seen: list[str] = []
        self._href: str | None = None
        self._rows: list[list[str]] = []
        self._caption, self._first_link, self._link_from = "", 0, 0
        self.feed(text)
        self.close()

    @property
    def text(self) -> str:
        return " ".join("".join(self._seen).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "a":
            self._href, self._link_from = dict(attrs).get("href") or "", len(self._text)
        if tag == "table":
            self._rows, self._caption, self._first_link = [], "", len(self.links)
        if tag == "tr":
            self._rows.append([])
        if tag in ("caption", "th", "td"):
            self._text = []

    def handle_data(self, data: str) -> None:
        if not (self.tags and self.tags[-1][0] == "style"):
            self._seen.append(data)
        self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        said = " ".join("".join(self._text).split())
        if tag == "a" and self._href is not None:
            self.links.append((" ".join("".join(self._text[self._link_from :]).split()), self._href))
            self._href = None
        elif tag == "caption":
            self._caption = said
        elif tag in ("th", "td"):
            self._rows[-1].append(said)
        elif tag == "table":
            columns, *rows = map(tuple, self._rows)
            self.tables.append(Shown(self._caption, columns, tuple(rows), tuple(address for _, address in self.links[self._first_link :])))
        elif tag == "style":
            self._seen.append(" ")


def open_page(address: str) -> AppTest:
    """The page at an address such as ``./pairs?show=bias+loss``, as a browser that comes by a link sees it."""
    parts = urlsplit(address)
    app = AppTest.from_file(LEADERBOARD / "app.py", default_timeout=PATIENCE)
    # what a front end sends with the first run, for which AppTest has no words: the page; and once a process is often enough to look for components
    app._page_hash = calc_hash(parts.path.removeprefix("./").removeprefix("/"))
    app._bidi_component_manager = _components()
    for name, values in parse_qs(parts.query, keep_blank_values=True).items():
        app.query_params[name] = values
    return app.run()


@cache
def _components() -> BidiComponentManager:
    return BidiComponentManager()


def html_of(app: AppTest) -> Html:
    """All that a page shows by ``st.html``."""
    return Html("\n".join(each.value for each in app.get("html")))


def told(app: AppTest) -> list[str]:
    """What a page says beside its tables, and outside of HTML: why something is not there, and the like."""
    return [str(each.value) for kind in ("info", "warning", "error", "markdown", "code") for each in app.get(kind)]


class Choice(NamedTuple):
    """A widget whose state is in the address: its parameter, and the labels that it offers. ``opens``: each opens a part of the page."""

    name: str
    options: tuple[str, ...]
    opens: bool


def choices(app: AppTest) -> list[Choice]:
    """All of a page's."""
    found = []
    for node in walk(app.main):
        proto: Any = getattr(node, "proto", None)
        kind = getattr(node, "type", "")
        if kind == "tab_container":
            name, options = proto.tab_container.query_param_key, [tab.label for tab in node.children.values()]
        elif kind in ("expander", "expandable"):
            name, options = proto.query_param_key, ["true", "false"]
        elif name := getattr(proto, "query_param_key", ""):
            options = ["true", "false"] if kind in ("toggle", "checkbox") else [getattr(each, "content", each) for each in getattr(proto, "options", ())]
            if kind == "pagination":
                options = [str(page) for page in (1, proto.num_pages)]
        else:
            continue
        if name:
            found.append(Choice(name, tuple(options), kind in ("tab_container", "expander", "expandable")))
    return found


def walk(node: Any) -> Iterator[Any]:
    """All nodes below one."""
    for child in getattr(node, "children", {}).values():
        yield child
        yield from walk(child)


def chosen(app: AppTest, name: str) -> list[str]:
    """What the widget of a parameter of the address holds, as the address would say it."""
    for node in walk(app.main):
        proto: Any = getattr(node, "proto", None)
        if getattr(proto, "query_param_key", "") == name or (node.type == "tab_container" and proto.tab_container.query_param_key == name):
            break
    else:
        return []
    if node.type == "tab_container":
        return [list(node.children.values())[proto.tab_container.default_tab_index].label]
    if node.type in ("expander", "expandable"):
        return ["true" if proto.expanded else "false"]
    if node.type == "selectbox":
        return [] if node.index is None else [node.options[node.index]]
    if hasattr(node, "indices"):
        return [node.options[i] for i in node.indices]
    return [str(node.value).lower() if isinstance(node.value, bool) else str(node.value)]


def number(text: str) -> float | None:
    """The first number of a cell; None for a dash."""
    found = re.search(r"[+−-]?\d[\d,]*(\.\d+)?", text)
    return float(found[0].replace("−", "-").replace(",", "")) if found else None
