"""One server and one headless Chromium for the browser tests of a worker, and a page that remembers what a browser complains of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, sync_playwright

PROGRAM = str(Path(sys.executable).with_name("clir-bench"))
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"
)  # fmt: skip
PATIENCE = 30_000  # milliseconds
READY = '[data-testid="stApp"][data-test-script-state="notRunning"] h1'
BY_COLOUR = ("color-contrast", "link-in-text-block")
"""The rules that another colour scheme can break; the others see the same document."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(CHROMIUM)} is on PATH. On Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def board(generated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated submissions, and one whose texts mean harm: on the sample, which the pages show only where it is asked for."""
    from test_app import REAL, poisoned

    folder = tmp_path_factory.mktemp("board") / "submissions"
    shutil.copytree(generated, folder)
    file = next(REAL.glob("clir-bench__bm25/*/sample-v1.json"))
    (folder / "clir-bench__bm25" / "hostile").mkdir(parents=True)
    (folder / "clir-bench__bm25" / "hostile" / "sample-v1.json").write_text(json.dumps(poisoned(json.loads(file.read_text()))))
    return folder


@pytest.fixture(scope="package")
def address(board: Path) -> Iterator[str]:
    """Where the board is served."""
    command = [PROGRAM, "leaderboard", "serve", "-q", "--json", "--submissions", str(board), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["address"]
        process.terminate()


@dataclass
class Visit:
    """A page of the browser at the board. ``complaints`` are errors and warnings of the console, requests that failed, and those to other hosts.

    ``frames`` are the sizes of what came over the WebSocket, in bytes; ``finished`` the requests that were answered.
    """

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    finished: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("requestfailed", self._note_failure)
        self.page.on("request", self._note_request)
        self.page.on("response", self._note_response)
        self.page.on("requestfinished", self._note_finished)
        self.page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: self.frames.append(len(frame))))

    def open(self, address: str = "./") -> Visit:
        self.page.goto(self.address + address.removeprefix("."))
        return self.settle()

    def settle(self) -> Visit:
        """Wait until the script has run and the browser has nothing to do: before that, what is typed or clicked may be lost."""
        self.page.wait_for_selector(READY)
        self.page.evaluate("() => new Promise(done => requestIdleCallback(() => requestIdleCallback(done)))")
        return self

    def show(self, width: int, scheme: str = "light") -> Visit:
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        return self

    def violations(self, rules: tuple[str, ...] = ()) -> list[str]:
        """What axe-core finds; the page was shown as it is to be judged."""
        if not self.page.evaluate("Boolean(window.axe)"):
            self.page.evaluate(AXE_FILE_PATH.read_text(encoding="utf-8"))
        options: dict[str, Any] = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
        found = self.page.evaluate("options => axe.run(document, options).then(found => found.violations)", options)
        return [
            f"{each['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for each in found
            for node in each["nodes"]
            if (each["id"], _part(node)) not in UPSTREAM
        ]

    @property
    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console {message.type}: {message.text[:300]}")

    def _note_failure(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # a page that is left stops its requests
            self.complaints.append(f"failed: {request.url} {request.failure}")

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.complaints.append(f"another host: {request.url}")

    def _note_finished(self, request: Request) -> None:
        self.finished.append(request)

    def _note_response(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")


UPSTREAM = {("presentation-role-conflict", "stFileUploaderDropzone")}
"""Rules of axe-core that a part of Streamlit breaks, whatever is put into it: a drop zone with a role, a label and no way to focus it."""


def _part(node: dict[str, Any]) -> str:
    return str(node["html"]).partition('data-testid="')[2].partition('"')[0]


@pytest.fixture(scope="package")
def context(browser: Browser) -> BrowserContext:
    """What pages share: the files of the front end are loaded once."""
    return browser.new_context(viewport={"width": 1280, "height": 900})


@pytest.fixture
def visit(context: BrowserContext, address: str) -> Iterator[Visit]:
    """A page that shall give a browser nothing to complain of."""
    made = Visit(context.new_page(), address)
    yield made
    made.page.close()
    assert not made.complaints


@pytest.fixture(scope="package")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Page, str], None]:
    """Keeps a picture of a page where $CLIR_BENCH_SCREENSHOTS says."""
    folder = Path(os.environ.get("CLIR_BENCH_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)

    def picture(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png")
        assert (folder / f"{name}.png").stat().st_size > 5000

    return picture
