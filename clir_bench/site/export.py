"""The board as a static site: pages that need no server and no script, and all numbers beside them as parquet and JSON."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from clir_bench.claims import FOLDER as CLAIMS
from clir_bench.claims import load_claims
from clir_bench.errors import ClirBenchError
from clir_bench.exhibits.profile import events
from clir_bench.progress import bar
from clir_bench.site import api_records
from clir_bench.site import pages as site_pages
from clir_bench.site.api import FILES
from clir_bench.site.frame import document
from clir_bench.site.ranks import write_ranks
from clir_bench.standings.index import Index

MARK = "site.json"
"""The file that says that a folder is an export: only such a folder is replaced."""


class Exported(NamedTuple):
    """Where a site was written, how many pages it has, and its bytes with all files."""

    path: Path
    pages: int
    bytes: int


def export_site(index: Index, output: Path, *, show: bool = False) -> Exported:
    """Write the site; the same index gives the same bytes. An earlier export at ``output`` is replaced when all of the new one is there.

    Raises ClirBenchError where there is nothing to export, or ``output`` is another folder.
    """
    if not index.boards:
        raise ClirBenchError(f"{index.folder} has no submission that stands: there is nothing to export")
    if output.exists() and not (output / MARK).is_file() and (not output.is_dir() or any(output.iterdir())):
        raise ClirBenchError(f"{output} is there and is no export of ours. Name a new folder, or one that clir-bench leaderboard export has written")
    beside = output.with_name(f".{output.name}.part-{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        pages = _write(index, beside, show)
        size = sum(path.stat().st_size for path in beside.rglob("*") if path.is_file())
        if output.exists():
            shutil.rmtree(output)
        beside.rename(output)
    except OSError as error:
        raise ClirBenchError(f"{output} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Exported(output, pages, size)


def _write(index: Index, folder: Path, show: bool) -> int:
    """All files; how many of them are pages."""
    foot = f"{len(index.entries):,} submissions, the newest of {index.newest}; clir-bench {metadata.version('clir-bench')}. Numbers are percent unless they say otherwise."
    count = 0
    with bar("pages", site_pages.count(index), "page", show) as progress:
        for page in site_pages.pages(index):
            path = folder / page.file
            path.parent.mkdir(exist_ok=True)
            path.write_text(document(page, foot), encoding="utf-8")
            count += 1
            progress.update()
    for name in FILES:
        shutil.copyfile(index.path / f"{name}.parquet", folder / f"{name}.parquet")
    for board in index.boards.values():
        write_ranks(index, board, folder)
    for name, content in _records(index):
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1), encoding="utf-8")
    return count


def _records(index: Index) -> Iterator[tuple[str, object]]:
    """The JSON files."""
    yield MARK, {"format": "clir-bench/site/1", "version": metadata.version("clir-bench"), "submissions": len(index.entries)}
    yield "boards.json", [api_records.board(index, board) for board in index.boards.values()]
    yield "systems.json", [api_records.system(index, line) for line in sorted(range(len(index.lines)), key=index.lines.__getitem__)]
    yield "claims.json", [publication.model_dump(mode="json", by_alias=True) for publication in load_claims(index.folder / CLAIMS)]
    yield "events.json", [event.model_dump(mode="json") for event in events(index)]
