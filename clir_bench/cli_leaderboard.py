"""``clir-bench leaderboard``: bring the index up to date, serve the pages, write them as a static site. Verbs, no logic."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from clir_bench.cli_data import Add
from clir_bench.console import on_stderr

if TYPE_CHECKING:
    from clir_bench.standings.build import Built


def add_verbs(add: Add) -> None:
    """Add the verbs below ``leaderboard``; ``add`` takes name, function, text and example."""
    p = add("build", _build, "bring the index of the submissions up to date: only what is new is read", "clir-bench leaderboard build --strict")
    _add_folder(p)
    p.add_argument("--strict", action="store_true", help="exit with 2 if any file has a problem (they are left out of the index either way)")

    p = add("serve", _serve, "serve the pages and the API on this machine", "clir-bench leaderboard serve --port 8501")
    _add_folder(p)
    p.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 is all of this machine's (default: %(default)s)")
    p.add_argument("--port", type=int, default=8501, help="0 takes a free one (default: %(default)s)")

    p = add("export", _export, "write the board as a static site: HTML, parquet and JSON that need no server", "clir-bench leaderboard export --output site")
    _add_folder(p)
    p.add_argument("--output", required=True, metavar="DIR", help="folder to write; an export that is there is replaced")


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--submissions", default="submissions", metavar="DIR", help="folder of submissions (default: %(default)s)")


def _build(o: argparse.Namespace) -> int:
    built = _built(o)
    if o.json:
        print(json.dumps({**asdict(built), "path": str(built.path)}, indent=1, ensure_ascii=False))
    else:
        told = f", {len(built.problems):,} problems" if built.problems else ""
        print(f"{built.submissions:,} submissions in the index, {built.read:,} of them read now{told}; {built.seconds:.1f} s: {built.path}")
    return 2 if o.strict and built.problems else 0


def _serve(o: argparse.Namespace) -> int:
    from clir_bench.serving import listen, serve

    listening = listen(o.host, o.port)
    _built(o)
    address = f"http://{'localhost' if o.host in ('127.0.0.1', '::1', '0.0.0.0', '::') else o.host}:{listening.getsockname()[1]}"
    print(json.dumps({"address": address}) if o.json else f"{address}  (Ctrl-C ends it)", flush=True)
    serve(Path(o.submissions), listening)
    return 0


def _export(o: argparse.Namespace) -> int:
    from clir_bench.site.export import export_site
    from clir_bench.standings import open_index

    _built(o)
    written = export_site(open_index(Path(o.submissions)), Path(o.output), show=not o.quiet)
    if o.json:
        print(json.dumps({**written._asdict(), "path": str(written.path)}, indent=1))
    else:
        print(f"wrote {written.pages:,} pages, {written.bytes / 1e6:,.1f} MB to {written.path}\nnext: open {written.path / 'index.html'}")
    return 0


def _built(o: argparse.Namespace) -> Built:
    """The index, up to date; problems of single files are told, and the rest stands."""
    from clir_bench.standings.build import build_index

    built = build_index(Path(o.submissions), show=not o.quiet)
    for problem in built.problems:
        on_stderr(problem)
    return built
