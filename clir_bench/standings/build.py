"""Build the index: every submission of a folder as parquet tables and rank matrices, only what is new being read again.

An index is a folder of its own, named by what went into it; ``current.json`` names the one that holds. So a reader never sees half of one.
"""

from __future__ import annotations

import gc
import hashlib
import json
import multiprocessing
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock

from clir_bench import resources
from clir_bench.claims import FOLDER as CLAIMS
from clir_bench.collection import Pair
from clir_bench.errors import ClirBenchError
from clir_bench.events import Event, sha256_of, sound_events
from clir_bench.files import replacing
from clir_bench.progress import bar
from clir_bench.resources import cache_dir
from clir_bench.standings.extract import SCHEMAS, Extract, Ranks, Row, extract_file
from clir_bench.standings.shapes import Member, board_key, shape_of
from clir_bench.trust import Assessment, Trust, state_of

FOLDER = "CLIR_BENCH_SUBMISSIONS"
"""The environment variable that names the folder of submissions to a server."""
PROBLEMS = "problems.json"
"""In an index: what is wrong with which files."""
_READ_BY = (
    "contamination",
    "events",
    "layout",
    "licences",
    "measures",
    "models",
    "records",
    "significance",
    "submission",
    "training_data",
    "trust",
)  # what decides a row
_POOL = 48  # files from which a second process pays


@dataclass(frozen=True)
class Built:
    """What a build did: the index's folder, submissions in it, how many were read (the others were known), what is wrong with which files, seconds."""

    path: Path
    submissions: int
    read: int
    problems: tuple[str, ...]
    seconds: float


def index_home(folder: Path) -> Path:
    """Where the indexes of a folder of submissions lie: in the cache, by the folder's path."""
    return cache_dir() / "leaderboard" / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]


def submission_files(folder: Path) -> list[str]:
    """The submission files below a folder, as relative paths, sorted; claims are none."""
    return sorted(
        relative for path in folder.rglob("*.json") if not (relative := path.relative_to(folder).as_posix()).startswith((f"{CLAIMS}/", ".")) and path.is_file()
    )


def listing(folder: Path) -> str:
    """A hash of the names, sizes and times of all that an index is made of: whether one still holds is seen without reading a file."""
    seen = hashlib.sha256(version().encode())
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".jsonl", ".parquet")):
        status = path.lstat()
        seen.update(f"{path.relative_to(folder).as_posix()} {status.st_size} {status.st_mtime_ns}\n".encode())
    return seen.hexdigest()


@cache
def version() -> str:
    """What an index depends on beside the submissions; one of another version is built anew."""
    code = Path(__file__).parents[1]
    sources = [*(code / f"{name}.py" for name in _READ_BY), *sorted((code / "standings").glob("*.py")), *sorted(resources.folder("tasks").glob("*.toml"))]
    return f"{metadata.version('clir-bench')}-{hashlib.sha256(b''.join(path.read_bytes() for path in sources)).hexdigest()[:16]}"


def current(home: Path) -> tuple[Path, str] | None:
    """The index that holds and its listing; None where there is none of this version."""
    try:
        about = json.loads((home / "current.json").read_text())
        path = home / str(about["index"])
        return (path, str(about["listing"])) if about["version"] == version() and path.is_dir() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def build_index(folder: Path, home: Path | None = None, *, show: bool = False) -> Built:
    """Bring the index of a folder of submissions up to date. Raises ClirBenchError where it cannot be written, or the folder is none."""
    started, home = perf_counter(), home or index_home(folder)
    if not folder.is_dir():
        raise ClirBenchError(f"{folder}: no such folder of submissions. clir-bench evaluate --output {folder} makes one.")
    if (found := _holding(folder, home)) is not None:
        return found
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # a script that spawned processes is run again in each: they would wait for its lock
        raise ClirBenchError('An index is built by several processes. In a script of your own, call it below if __name__ == "__main__".')
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / ".lock"):  # another builder would take ours for an old one
            return _holding(folder, home) or replace(_build(folder, home, show), seconds=perf_counter() - started)
    except OSError as error:
        raise ClirBenchError(f"{home} cannot be written: {error.strerror or error}. CLIR_BENCH_CACHE names another place.") from error


def _holding(folder: Path, home: Path) -> Built | None:
    """The index that is there, if nothing has changed."""
    found = current(home)
    if found is None or found[1] != listing(folder):
        return None
    problems = json.loads((found[0] / PROBLEMS).read_text())
    return Built(found[0], pq.read_metadata(found[0] / "systems.parquet").num_rows, 0, tuple(problems), 0)


def _build(folder: Path, home: Path, show: bool) -> Built:
    from clir_bench.standings.overview import prepare  # which stands on the opened index, which stands on this module

    seen, known = listing(folder), _Known.open(home)
    hashes = {path: _hash(folder / path) for path in submission_files(folder)}
    fresh = [path for path, sha256 in hashes.items() if (path, sha256) not in known.rows]
    extracts: list[Extract] = []
    problems: list[str] = []
    for result in _read(folder, fresh, show):
        if isinstance(result, Extract):
            extracts.append(result)
        else:
            problems.append(result)
    kept = [row for (path, sha256), row in known.rows.items() if hashes.get(path) == sha256]
    target = home / hashlib.sha256(f"{seen} {perf_counter()}".encode()).hexdigest()[:16]
    target.mkdir()
    problems += _write(target, folder, known, kept, extracts)
    (target / PROBLEMS).write_text(json.dumps(problems, ensure_ascii=False))
    prepare(target, folder)
    with replacing(home / "current.json") as stream:
        stream.write(json.dumps({"version": version(), "index": target.name, "listing": seen, "folder": str(folder)}).encode())
    for old in home.iterdir():
        if old.is_dir() and old not in (target, known.path):  # the one before may be open, and is read on demand
            shutil.rmtree(old, ignore_errors=True)
    return Built(target, len(kept) + len(extracts), len(fresh), tuple(problems), 0)


def _hash(path: Path) -> str:
    """That of the content; "" where it cannot be read, which ``extract_file`` tells."""
    try:
        return sha256_of(path.read_bytes())
    except OSError:
        return ""


@dataclass(frozen=True)
class _Known:
    """The tables of the index before, and the row of each submission in them."""

    rows: dict[tuple[str, str], int]
    systems: list[Row]
    tables: dict[str, pa.Table]
    path: Path | None

    @classmethod
    def open(cls, home: Path) -> _Known:
        found = current(home)
        if found is None:
            return cls({}, [], {}, None)
        path = found[0]
        systems = pq.read_table(path / "systems.parquet").to_pylist()
        tables = {name: pq.read_table(path / f"{name}.parquet") for name in SCHEMAS}
        # one that did not fit its collection is read again: a layout may have come since
        return cls({(str(row["path"]), str(row["sha256"])): i for i, row in enumerate(systems) if not row["misfit"]}, systems, tables, path)

    def ranks(self, row: int) -> Ranks | None:
        """The rank vector of a submission that was there before, in its own pairs' order."""
        at = self.systems[row]["rank_row"]
        if self.path is None or at is None:
            return None
        whole = np.load(self.path / f"ranks-{self.systems[row]['board']}.npy", mmap_mode="r")[at]
        return np.asarray(whole[whole > 0])


def _read(folder: Path, paths: Sequence[str], show: bool) -> Iterator[Extract | str]:
    """Extracts in the order of ``paths``, by several processes where there are many."""
    with bar("submissions", len(paths), "file", show and len(paths) > 1) as progress:
        if len(paths) < _POOL or threading.current_thread() is not threading.main_thread():  # started from a server's thread, processes have hung
            for path in paths:
                yield extract_file(folder, path)
                progress.update()
            return
        done = 0
        try:
            # spawned, not forked: the caller may be a server with threads; looking for garbage among thousands of records costs them an eighth of their time
            with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"), initializer=gc.disable) as workers:
                for result in workers.map(partial(extract_file, folder), paths, chunksize=8):
                    yield result
                    done += 1
                    progress.update()
        except BrokenProcessPool:  # where none can be started, or memory is short: slower, but it gets there
            for path in paths[done:]:
                yield extract_file(folder, path)
                progress.update()


def _write(target: Path, folder: Path, known: _Known, kept: Sequence[int], extracts: Sequence[Extract]) -> list[str]:
    """All files of the index; what is wrong with submissions that do not fit their collection."""
    unordered = [dict(known.systems[row]) for row in kept] + [{**e.system, "asked": json.dumps(e.asked)} for e in extracts]
    order = sorted(range(len(unordered)), key=lambda i: str(unordered[i]["path"]))  # whichever were there before, the same files give the same index
    place = {i: number for number, i in enumerate(order)}
    systems = [unordered[i] for i in order]
    ranks = [known.ranks(kept[i]) if i < len(kept) else extracts[i - len(kept)].ranks for i in order]
    events, problems = sound_events(folder)
    accepted = {event.path: i for i, event in reversed(list(enumerate(events))) if event.event == "accepted"}
    boards: dict[str, list[int]] = {}
    for i, system in enumerate(systems):
        system |= {"board": board_key(str(system["task"]), int(str(system["version"])), str(system["track"])), "rank_row": None, "misfit": None}
        boards.setdefault(str(system["board"]), []).append(i)
    for board, rows in sorted(boards.items()):
        task, version_ = str(systems[rows[0]]["task"]), int(str(systems[rows[0]]["version"]))
        members = {i: member_of(systems[i], ranks[i]) for i in rows}
        try:
            shape = shape_of(folder, task, version_, list(members.values()), accepted)
        except ClirBenchError as error:
            problems.append(str(error))
            shape = shape_of(target, task, version_, list(members.values()), accepted)  # as where there is no layout
        shape.save(target / f"shape-{board}.npz")
        placed: list[Ranks] = []
        for i in rows:
            mine = ranks[i]
            systems[i]["misfit"] = misfit = shape.misfit(members[i])
            if misfit:
                problems.append(f"{systems[i]['path']}: {misfit}")
            elif mine is not None:
                systems[i]["rank_row"] = len(placed)
                placed.append(shape.place(members[i].asked, mine))
        np.save(target / f"ranks-{board}.npy", np.stack(placed) if placed else np.zeros((0, shape.width), np.uint8))
    _settle(systems, events)
    whole = pa.Table.from_pylist(systems)
    flags = pa.array([system["flags"] for system in systems], pa.list_(pa.string()))  # with no flag at all, their type is not seen
    pq.write_table(whole.set_column(whole.column_names.index("flags"), "flags", flags) if systems else whole, target / "systems.parquet")
    new_row = {old: place[i] for i, old in enumerate(kept)}
    for name, schema in SCHEMAS.items():
        parts = [e.tables[name].append_column("entry", pa.array(np.full(len(e.tables[name]), place[len(kept) + i], np.int32))) for i, e in enumerate(extracts)]
        if kept:
            parts.insert(0, _renumbered(known.tables[name], new_row))
        whole = pa.concat_tables(parts) if parts else schema.append(pa.field("entry", pa.int32())).empty_table()
        whole = whole.take(np.argsort(whole["entry"].to_numpy(), kind="stable"))
        pq.write_table(whole, target / f"{name}.parquet", compression="zstd")
    return problems


def member_of(system: Row, ranks: Ranks | None) -> Member:
    """What a row of ``systems`` says of its collection."""
    asked = [(Pair(*pair), int(n)) for pair, n in json.loads(str(system["asked"]))]
    fingerprint, judged = (None if system[key] is None else str(system[key]) for key in ("fingerprint", "judged"))
    return Member(
        str(system["path"]), fingerprint, bool(system["complete"]), asked, None if ranks is None else len(ranks), judged, json.loads(str(system["pool"]))
    )


def _settle(systems: Sequence[Row], events: Sequence[Event]) -> None:
    """Add to each submission its state after these events, what replaces it, and whether it is the one that stands for its system."""
    happened: dict[str, list[Event]] = {}
    for event in events:
        happened.setdefault(event.sha256, []).append(event)
    for system in systems:
        sha256 = str(system["sha256"])
        state = state_of(sha256, Assessment(cast(Trust, system["assessed"]), ()), happened.get(sha256, ()))
        system |= {"trust": state.trust, "flags": list(state.flags), "copied": state.copied, "withdrawn": state.withdrawn is not None}
    same = ("task", "version", "track", "name", "variant")
    of = {str(system["sha256"]): tuple(system[key] for key in same) for system in systems}
    replaced = {
        system["replaces"]: system["path"]
        for system in systems
        if of.get(str(system["replaces"])) == of[str(system["sha256"])] and not system["misfit"] and not system["withdrawn"]
    }
    standing: dict[tuple[object, ...], Row] = {}
    for system in sorted(systems, key=lambda s: (bool(s["complete"]), str(s["started"]), str(s["path"]))):
        system |= {"superseded_by": replaced.get(str(system["sha256"])), "current": False}
        if not (system["superseded_by"] or system["withdrawn"] or system["misfit"]):
            standing[system["board"], system["name"], system["variant"]] = system  # the last: complete before partial, then the newest
    for system in standing.values():
        system["current"] = True


def _renumbered(table: pa.Table, new_row: dict[int, int]) -> pa.Table:
    """The rows of the submissions that stay, with their new numbers."""
    lookup = np.full(max(new_row) + 1 if new_row else 0, -1, np.int32)
    lookup[list(new_row)] = list(new_row.values())
    old = table["entry"].to_numpy()
    there = old < len(lookup)
    number = np.where(there, lookup[np.where(there, old, 0)], -1)
    mine = table.set_column(table.schema.get_field_index("entry"), "entry", pa.array(number.astype(np.int32)))
    return mine.filter(pc.greater_equal(mine["entry"], 0))
