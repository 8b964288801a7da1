"""Review of a pull request's submissions: what it adds, and that nothing which was there is changed. Runs nothing of the pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clir_bench.checking import check_files
from clir_bench.claims import FOLDER as CLAIMS
from clir_bench.copies import Likeness, Other, find_copies, models_of, ranks_of
from clir_bench.errors import ClirBenchError
from clir_bench.events import LOG, Event, sound_events
from clir_bench.exhibits.landing import landing_words
from clir_bench.layout import FOLDER as LAYOUTS
from clir_bench.layout import layout_path, read_layout
from clir_bench.standings.shapes import board_key
from clir_bench.submit import Entry, alike, prepare
from clir_bench.trust import state_of


class Review(NamedTuple):
    """Paths are relative to the folder of submissions. ``entries``: what each new submission that holds would be; ``notes``: what a maintainer must decide."""

    added: tuple[str, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    entries: tuple[Entry, ...]


def review(base: Path, head: Path) -> Review:
    """Compare the ``submissions`` folders of two checkouts: the main branch, and the pull request merged into it."""
    before, after = base / "submissions", head / "submissions"
    old, new = _files(before), _files(after)
    problems, notes, entries = [*_twins(new)], list[str](), list[Entry]()
    problems += [f"{path}: it is gone, but what was submitted stays. git checkout main -- submissions/{path}" for path in old if path not in new]
    added = [path for path in new if path not in old]
    for path, file in new.items():
        if path not in old or file.is_symlink() or file.read_bytes() != old[path].read_bytes():
            found = _judge(path, file, old.get(path), before)
            if isinstance(found, Entry):
                entries.append(found)
            elif found.startswith("note: "):
                notes.append(found.removeprefix("note: "))
            elif found:
                problems.append(found)
    entries, twice = _compared(entries)
    log, _ = sound_events(before)
    doubts = (f"{entry.path}: {doubt}" for entry in sorted(entries, key=lambda entry: not entry.copied) for doubt in _doubts(entry, log))
    return Review(tuple(added), (*problems, *twice), (*doubts, *notes), tuple(entries))


def as_markdown(found: Review) -> str:
    """The review as a comment. Texts of people stand in blocks of code: they link to nothing and call nobody."""
    counts = ", ".join(_count(len(each), word) for each, word in ((found.notes, "decision"), (found.entries, "new submission"), (found.problems, "problem")))
    parts = ["## Submissions", f"{counts}."]
    if found.notes:
        parts += ["### For a maintainer", _block(found.notes)]
    for entry in found.entries:
        s, at = entry.submission, entry.landing
        lines = [
            f"place          submissions/{entry.path}",
            f"system         {s.system.name} ({s.system.variant})",
            *([f"replaces       {entry.correction}"] if entry.correction else []),
            f"task           {s.task.name} v{s.task.version}, {s.task.track}, {len(s.pairs)} of {s.task.pairs} pairs",
            *(f"{'trust' if i == 0 else '':15}{text}" for i, text in enumerate((entry.assessment.trust, *entry.assessment.reasons))),
            f"contamination  {entry.contamination.state}: {entry.contamination.reason}",
            f"{at.measure:15}{100 * at.mean:.1f} % over {len(s.pairs)} pairs" + (f", rank {at.rank} of {at.of}" if at.rank else f", no rank: {at.why}"),
            *(f"{side:15}{100 * n.mean:.1f} % {n.path}" for side, n in (("above it", at.above), ("below it", at.below)) if n),
            *(f"{'':15}{words}" for words in landing_words(at)),
            *(f"{like.kind:15}{like.text}" for like in entry.likenesses),
        ]
        parts.append(_block(lines))
    if found.problems:
        parts += ["### Problems", _block(found.problems)]
    return "\n\n".join(parts) + "\n"


def _judge(path: str, file: Path, old: Path | None, before: Path) -> Entry | str:
    """What a new or changed file is: an entry, a problem, a note, or nothing to say ("")."""
    parts = path.split("/")
    try:
        if file.is_symlink() or not file.is_file():
            return f"{path}: a link or no file. Put the file itself there."
        if path == LOG:
            way = f"git checkout main -- submissions/{LOG}" if old else "Take it out."
            return f"{LOG}: it is changed, but only maintainers write it, on the main branch. {way}"
        if parts[0] == CLAIMS and len(parts) == 2 and file.suffix == ".json":
            return next(problem for _, problem in check_files([file])) or f"note: {path}: claims are compared with the publication by hand"
        if old:
            return f"{path}: it is changed, but a submission never changes. clir-bench submit FILE --corrects submissions/{path} --reason bugfix"
        if parts[0] == LAYOUTS and len(parts) == 2 and file.suffix == ".parquet":
            layout = read_layout(file)
            if file.name != (place := layout_path(layout.task, layout.version, layout.fingerprint, before)).name:
                return f"{path}: a layout of {layout.task} v{layout.version}, {layout.fingerprint}. Its place is submissions/{LAYOUTS}/{place.name}."
            return f"note: {path}: a new layout ({layout.task} v{layout.version}, {len(layout.topic)} queries); evaluate the task and compare it"
        if len(parts) == 3 and file.suffix == ".json":
            entry = prepare(file, before)
            return entry if entry.path == path else f"{path}: its place is submissions/{entry.path}. Move it there."
    except ClirBenchError as error:
        return str(error)
    return f"{path}: neither a submission nor claims nor a layout. Take it out."


def _compared(entries: list[Entry]) -> tuple[list[Entry], list[str]]:
    """The entries with their likenesses to those before them, which the index does not hold yet; and which are the same system twice."""
    compared, problems = list[Entry](), list[str]()
    for number, entry in enumerate(entries):
        s, found = entry.submission, list[Likeness]()
        beside = [e for e in entries[:number] if _board(e) == _board(entry)]
        if beside and s.gold_ranks:
            others = [_other(e) for e in beside]
            found = find_copies(s, others, np.stack([ranks_of(e.submission, s) for e in beside]))
        problems += [f"{entry.path}: {like.text}" for like in found if like.kind == "duplicate"]
        compared.append(alike(entry, [like for like in found if like.kind != "duplicate"]))
    return compared, problems


def _doubts(entry: Entry, log: Iterable[Event]) -> Iterator[str]:
    """What is no problem of form, and still for a maintainer to decide."""
    for like in entry.likenesses:
        if like.kind != "relative" or like.revised:
            yield f"{like.kind}: {like.text}"
    if entry.submission.correction and (flags := state_of(entry.submission.correction.replaces, entry.assessment, log).flags):
        yield f"it corrects {entry.replaces}, which is flagged, and would stand in its place without a flag: {'; '.join(flags)}"
    if entry.assessment.trust == "claimed":
        yield f"claimed: {'; '.join(entry.assessment.reasons)}"


def _board(entry: Entry) -> str:
    task = entry.submission.task
    return board_key(task.name, task.version, task.track)


def _other(entry: Entry) -> Other:
    s = entry.submission
    return Other(entry.path, s.system.signature, models_of(s.system.stages), tuple(record.pair for record in s.pairs))


def _files(folder: Path) -> dict[str, Path]:
    """All files and links below a folder by relative path, hidden ones, too; nothing descends into a link."""
    return {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_symlink() or not p.is_dir()}


def _twins(files: dict[str, Path]) -> Iterator[str]:
    """Files and folders whose names differ by capitals only: one on many machines."""
    spelled: dict[str, str] = {}
    for path in files:
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            if spelled.setdefault(name.casefold(), name) != name:
                yield f"{path}: {name} and {spelled[name.casefold()]} are one name on many machines"
                break


def _block(lines: tuple[str, ...] | list[str]) -> str:
    """A block of code that no text can end."""
    text = "\n".join(lines)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
