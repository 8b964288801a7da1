"""What the leaderboard costs at 30 and 1,000 systems: index, standing, pages, what a browser loads, the static export.

python benchmarks/leaderboard.py [--systems 30 1000] [--folder DIR] [--parts index standing pages browser export]

CPU and bytes, not wall time; the exit code is 1 where something is above its goal. Generated submissions lie in DIR/30, DIR/1000 and are made where they are
missing: 1,000 systems take some 20 minutes and 420 MB.
``browser`` needs playwright and a Chromium on the PATH.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from _submissions import generate
from _timing import machine

from clir_bench import resources
from clir_bench.standings import Selection, build_index, open_index, standing
from clir_bench.standings.build import FOLDER, index_home

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

T = TypeVar("T")
PAGES = ("", "leaderboard", "pairs", "compare", "bias", "pipeline", "languages", "submit", "about", "system")
SYSTEM = "synthetic-00/model-00/native"
GOALS = {"script CPU, ms": 40.0, "WebSocket, kB": 250.0, "static, MB": 1.6}
MISSED: list[str] = []
"""What was reported above its goal."""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", nargs="+", type=int, default=[30, 1000])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "clir-bench-leaderboard")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    home = options.folder.resolve()
    os.environ["CLIR_BENCH_CACHE"] = str(home / "cache")
    print(machine())
    for systems in options.systems:
        folder = home / str(systems)
        if not folder.is_dir():
            generate(folder, systems, show=True)
        print(f"\n{systems} systems, {sum(1 for _ in folder.rglob('*.json')):,} submissions")
        for name in options.parts:
            PARTS[name](folder)
    if MISSED:
        sys.exit(f"above the goals: {', '.join(MISSED)}")


def time_index(folder: Path) -> None:
    """From nothing, with nothing new, with one new submission, and opening it."""
    shutil.rmtree(index_home(folder), ignore_errors=True)
    told("build from nothing", lambda: build_index(folder))
    told("build, nothing new", lambda: build_index(folder))
    one = next(path for path in sorted(folder.rglob("sample-v1.json")))
    content = one.read_bytes()
    try:
        one.unlink()
        build_index(folder)
        one.write_bytes(content)
        told("build, one new", lambda: build_index(folder))
    finally:
        one.write_bytes(content)
    index = told("open", lambda: open_index(folder))
    print(f"  {'on disk, MB':44} {sum(path.stat().st_size for path in index.path.iterdir()) / 1e6:9.1f}")


def time_standing(folder: Path) -> None:
    """The usual selection, prepared and not; one pair; and again."""
    index = open_index(folder, build=True)
    told("standing, usual selection, prepared", lambda: standing(index, Selection()))
    told("standing, again", lambda: standing(index, Selection()))
    told("standing, a filter of systems more", lambda: standing(index, Selection(licence="open")))
    told("standing, one pair", lambda: standing(index, Selection(queries=("ar",), documents=("ru",))))
    told("standing, another measure", lambda: standing(index, Selection(measure="nDCG@100")))


def time_pages(folder: Path) -> None:
    """CPU of the script thread when a page is run again, as in a server: settings read, scripts compiled, what is open left alone by the garbage collector."""
    pages = resources.folder("leaderboard")
    os.chdir(pages)  # where streamlit finds its settings
    from streamlit.runtime.scriptrunner.script_cache import ScriptCache
    from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
    from streamlit.testing.v1 import AppTest, local_script_runner

    os.environ[FOLDER] = str(folder)
    open_index(folder, build=True)
    spent: list[float] = []
    run_script, compiled, program = ScriptRunner._run_script, ScriptCache(), sys.modules["__main__"]

    def timed(self: ScriptRunner, data: object) -> None:
        start = time.thread_time()
        run_script(self, data)  # type: ignore[arg-type]
        spent.append(time.thread_time() - start)

    ScriptRunner._run_script = timed  # type: ignore[method-assign,assignment]
    local_script_runner.ScriptCache = lambda: compiled  # type: ignore[misc,assignment]
    for page in PAGES:
        test = AppTest.from_file(str(pages / "app.py"), default_timeout=300)
        test.query_params["system"] = SYSTEM
        test.run()
        if page:
            test.switch_page(f"views/{page}.py").run()
        test.run()
        gc.freeze()
        spent.clear()
        for _ in range(15):
            test.run()
        wrong = f"  {test.exception[0].value}" if test.exception else ""
        report(f"script of /{page}, ms", 1000 * statistics.median(spent), "script CPU, ms", f"  least {1000 * min(spent):.1f}{wrong}")
    ScriptRunner._run_script, sys.modules["__main__"] = run_script, program  # type: ignore[method-assign]  # streamlit puts its own script there


def time_browser(folder: Path) -> None:
    """What a new visitor's browser gets, page by page, and how long its main thread works."""
    from playwright.sync_api import sync_playwright

    program = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if program is None:
        sys.exit(f"no Chromium on the PATH: one of {', '.join(CHROMIUM)}")
    with served(folder) as address, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=list(FLAGS))
        for name in PAGES:
            sent, loaded, busy = visit(browser, f"{address}/{name}{f'?system={SYSTEM}' if name == 'system' else ''}")
            report(f"WebSocket of /{name}, kB", sent / 1e3, "WebSocket, kB")
            report(f"static files of /{name}, MB", loaded / 1e6, "static, MB")
            report(f"main thread of /{name}, s", busy)
        browser.close()


def visit(browser: Browser, address: str) -> tuple[int, int, float]:
    """Bytes over the WebSocket, compressed bytes of files, and CPU seconds of the main thread, of a browser that was never here."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    sent: list[int] = []
    finished: list[Request] = []

    def done(request: Request) -> None:  # playwright sets attributes on it, which a list's own method has no place for
        finished.append(request)

    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: sent.append(len(frame))))
    page.on("requestfinished", done)
    session = context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(address)
    page.wait_for_selector("h1", timeout=120_000)
    settle(page)
    measured = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    loaded = sum(request.sizes()["responseBodySize"] for request in finished)
    context.close()
    return sum(sent), loaded, measured["TaskDuration"]


def settle(page: Page) -> None:
    """Wait until no script runs and nothing is loaded any more."""
    page.wait_for_function("document.querySelector('[data-testid=stStatusWidget]') === null", timeout=120_000)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of these submissions."""
    command = [str(Path(sys.executable).with_name("clir-bench")), "leaderboard", "serve", "-q", "--submissions", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[0]
        finally:
            process.terminate()


def time_export(folder: Path) -> None:
    """The static site."""
    from clir_bench.site.export import export_site

    index = open_index(folder, build=True)
    with tempfile.TemporaryDirectory() as place:
        written = told("static export", lambda: export_site(index, Path(place) / "site"))
        print(f"  {'its pages; MB':44} {written.pages:9,} {written.bytes / 1e6:7.1f}")


def told(name: str, run: Callable[[], T]) -> T:
    """Run once and print CPU seconds, those of finished child processes included."""
    before, wall = os.times(), time.perf_counter()
    found = run()
    after = os.times()
    print(f"  {name:44} {sum(after[:4]) - sum(before[:4]):9.2f} CPU s {time.perf_counter() - wall:9.2f} s", flush=True)
    return found


def report(name: str, value: float, goal: str = "", note: str = "") -> None:
    """Print a measured value, and whether it misses its goal, which is noted."""
    missed = value > GOALS.get(goal, value)
    if missed:
        MISSED.append(name)
    print(f"  {name:44} {value:9.2f}{f'  above {GOALS[goal]}' if missed else ''}{note}", flush=True)


PARTS = {"index": time_index, "standing": time_standing, "pages": time_pages, "browser": time_browser, "export": time_export}

if __name__ == "__main__":
    main()
