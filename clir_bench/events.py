"""The event log: what happened to submissions and when, append-only. Each line holds the hash of the one before, so that no line can be changed unseen."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from filelock import FileLock
from pydantic import Field, ValidationError

from clir_bench.errors import SubmissionError
from clir_bench.records import Hash, Label, Moment, Text
from clir_bench.strict import Strict, problems_in
from clir_bench.strict_json import objections
from clir_bench.trust import Trust

LOG = "events.jsonl"
"""The log's name below a folder of submissions."""
Happening = Literal["accepted", "superseded", "reproduced", "flagged", "copied", "cleared", "withdrawn"]
"""``flagged``: suspiciously like another; ``copied``: flagged as a copy of it; ``cleared``: of all flags before."""
Decision = Literal["flagged", "copied", "cleared", "withdrawn"]
"""What a maintainer decides of a submission that is there."""
_FIRST = "0" * 64
_LONGEST = 10_000  # bytes of a line
_MOMENT, _CLOCKS = "%Y-%m-%dT%H:%M:%SZ", timedelta(days=1)


class Event(Strict):
    """A line: what happened to the file at ``path`` below the folder of submissions. ``trust`` is its level from then on, null where it has none."""

    date: Moment
    event: Happening
    path: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)+\.json$", max_length=400)]
    sha256: Hash
    trust: Trust | None
    by: Annotated[Label, Field(min_length=1)]
    note: Text | None
    previous: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def sha256_of(content: bytes) -> str:
    """The hash that names a file's content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def read_events(log: Path) -> tuple[Event, ...]:
    """The events, oldest first; none where there is no log. Raises SubmissionError with every problem and its line."""
    try:
        content = log.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise SubmissionError(f"{log}: cannot be read: {error.strerror or error}") from None
    events, problems = parse_events(content)
    if problems:
        raise SubmissionError.of(str(log), problems)
    return events


def sound_events(folder: Path) -> tuple[tuple[Event, ...], list[str]]:
    """The events of the log of a folder of submissions, and what is wrong with it.

    Of a log that does not hold, those before its first fault still count: nobody is forgiven by breaking it.
    """
    try:
        content = (folder / LOG).read_bytes()
    except OSError:
        return (), []
    events, problems = parse_events(content)
    while problems and content:
        content = content[: content.rstrip(b"\n").rfind(b"\n") + 1]
        events, left = parse_events(content)
        if not left:
            break
    return events, [f"{LOG}: {problem}" for problem in problems]


def parse_events(content: bytes) -> tuple[tuple[Event, ...], list[str]]:
    """The events of a log's content, and every problem in it."""
    events: list[Event] = []
    problems: list[str] = []
    lines = content.split(b"\n")
    if lines.pop():
        problems.append(f"line {len(lines) + 1}: it has no end: something was killed while it was written. Remove that line.")
    previous, accepted = _FIRST, dict[str, str]()
    for number, line in enumerate(lines, 1):
        event, wrong = _parse_line(line)
        if event is not None:
            events.append(event)
            if event.previous != previous:
                wrong.append(
                    f"the chain is broken: previous is {event.previous[:12]}..., but the line before has {previous[:12]}...: one of them was changed."
                    " Take the log from the main branch and append to it."
                )
            if event.event == "accepted" and accepted.setdefault(event.path, event.sha256) != event.sha256:
                wrong.append(f"{event.path} was accepted before with other content ({accepted[event.path][:19]}...): a submission never changes")
        problems += [f"line {number}: {problem}" for problem in wrong]
        previous = hashlib.sha256(line).hexdigest()
    return tuple(events), problems


def append_event(log: Path, event: Happening, path: str, sha256: str, *, trust: Trust | None, by: str, note: str | None = None) -> Event:
    """Append a line to a log that holds, the whole of it or nothing. Raises SubmissionError."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(log.with_name(f".{log.name}.lock")):
        last = log.read_bytes().split(b"\n")[-2] if read_events(log) else None
        record = _record(event, path, sha256, trust, by, note, _FIRST if last is None else hashlib.sha256(last).hexdigest())
        try:
            with log.open("ab") as stream:
                size = stream.tell()
                try:
                    stream.write(f"{record.model_dump_json()}\n".encode())
                    stream.flush()
                    os.fsync(stream.fileno())
                except BaseException:
                    os.ftruncate(stream.fileno(), size)
                    raise
        except OSError as error:
            raise SubmissionError(f"{log} cannot be written: {error.strerror or error}") from error
    return record


def content_problems(events: tuple[Event, ...], folder: Path) -> Iterator[str]:
    """What the events of a log that is a chain say that cannot be.

    Accepted submissions below ``folder`` that are not there any more, or not as they were; a withdrawn one may be gone. Events out of their order, in the
    future, or of a content that no file ever had.
    """
    yield from _disorder(events)
    withdrawn = {event.path for event in events if event.event == "withdrawn"}
    accepted = {event.path: event.sha256 for event in events if event.event == "accepted" and event.path not in withdrawn}
    for path, sha256 in accepted.items():
        try:
            found = sha256_of((folder / path).read_bytes())
        except OSError:
            yield gone(path, folder)
            continue
        if found != sha256:
            yield changed(path, sha256, found)


def _disorder(events: tuple[Event, ...]) -> Iterator[str]:
    """Events a day before one above them or later than tomorrow (clocks differ), and of another content than was accepted at their path before them."""
    newest, latest = "", (datetime.now(UTC) + _CLOCKS).strftime(_MOMENT)
    accepted: dict[str, str] = {}
    for number, event in enumerate(events, 1):
        where = f"line {number}: {event.event} {event.path}"
        if newest and datetime.strptime(event.date, _MOMENT) + _CLOCKS < datetime.strptime(newest, _MOMENT):
            yield f"{where} on {event.date}, but a line above is of {newest}: a log is only appended to. Take the log from the main branch."
        if event.date > latest:
            yield f"{where} on {event.date}, but that is later than tomorrow. Set the clock of the machine, and take the log from the main branch."
        newest = max(newest, event.date)
        if event.event == "accepted":
            accepted[event.path] = event.sha256
        elif event.path in accepted and accepted[event.path] != event.sha256:
            yield f"{where} with {event.sha256[:19]}..., but it was accepted as {accepted[event.path][:19]}...: it is of another file"
        elif event.event == "reproduced" and event.path not in accepted:
            yield f"{where}, but nothing above says that it was accepted: lines are missing. Take the log from the main branch."


def gone(path: str, folder: Path) -> str:
    """What to say of a submission that was accepted and is not below the folder any more."""
    return f"{path} was accepted, but is not there. Put it back: git checkout main -- {folder.name}/{path}"


def changed(path: str, accepted: str, found: str) -> str:
    """What to say of a stored submission that was accepted with other content."""
    return (
        f"{path} was accepted as {accepted[:19]}..., but is {found[:19]}... now: a submission never changes. Put the old file back, and enter yours as"
        " its correction: clir-bench submit FILE --corrects PATH --reason bugfix"
    )


def _parse_line(line: bytes) -> tuple[Event | None, list[str]]:
    if len(line) > _LONGEST:
        return None, [f"{len(line):,} bytes, but a line has at most {_LONGEST:,}"]
    try:
        return Event.model_validate_json(line), objections(line)
    except ValidationError as error:
        return None, problems_in(error, Event)


def _record(event: Happening, path: str, sha256: str, trust: Trust | None, by: str, note: str | None, previous: str) -> Event:
    date = datetime.now(UTC).strftime(_MOMENT)
    try:
        return Event(date=date, event=event, path=path, sha256=sha256, trust=trust, by=by, note=note, previous=previous)
    except ValidationError as error:
        raise SubmissionError.of(f"event {event!r}", problems_in(error, Event)) from None
