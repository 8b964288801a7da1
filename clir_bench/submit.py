"""Entering a submission: all that is wrong with it, its place, what it is like, where it would land, and the steps of the pull request."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import TypeAdapter, ValidationError

from clir_bench.checking import correction_problems, submission_problems
from clir_bench.collection import Pair
from clir_bench.contamination import Contamination, states
from clir_bench.copies import Likeness, Other, Ranks, find_copies, models_of
from clir_bench.errors import SubmissionError
from clir_bench.events import LOG, Event, append_event, changed, gone, read_events, sha256_of
from clir_bench.exhibits.landing import Landing, land
from clir_bench.layout import Layout, find_layout, layout_beside, layout_path, write_layout
from clir_bench.records import Correction, Stage
from clir_bench.standings import Board, Index, open_index
from clir_bench.standings.shapes import board_key, member
from clir_bench.strict import problems_in
from clir_bench.submission import DEEPER, Submission, path_of, read_submission, to_json, write_submission
from clir_bench.task import known_task
from clir_bench.trust import Assessment, assess

_BY_HAND = "the page of the repository on GitHub, and there a pull request from your branch"
_SSH = re.compile(r"^(?:ssh://(?:[^/@]*@)?([^/:]+)(?::\d+)?/|[^/@:]+@([^/:]+):)")
_CHAIN: TypeAdapter[tuple[Stage, ...]] = TypeAdapter(tuple[Stage, ...])


class Entry(NamedTuple):
    """A submission that can be entered. ``path`` is its place below the folder, ``content`` what is or will be there."""

    path: str
    submission: Submission
    content: bytes
    assessment: Assessment
    contamination: Contamination
    likenesses: tuple[Likeness, ...]
    landing: Landing
    replaces: str | None = None
    """The path of what it corrects."""
    layout: Layout | None = None
    """Of its collection, where the folder has none and one lies beside the file."""

    @property
    def sha256(self) -> str:
        """The hash of the content."""
        return sha256_of(self.content)

    @property
    def copied(self) -> tuple[Likeness, ...]:
        """The submissions of other models whose very ranks it has: no step of its chain explains that."""
        return tuple(found for found in self.likenesses if found.kind == "copy")

    @property
    def correction(self) -> str | None:
        """What it replaces and why, in one line; None where it corrects nothing."""
        return f"{self.replaces} ({self.submission.correction.reason})" if self.submission.correction else None


def prepare(file: Path, folder: Path, *, correction: Correction | None = None) -> Entry:
    """The entry that a file makes in a folder of submissions. Writes nothing. Raises SubmissionError with every problem.

    ``correction`` says which submission it stands in place of.
    """
    submission, given = read_submission(file), file.read_bytes()
    if correction:
        submission = submission.model_copy(update={"correction": correction})
    entry = enter(submission, given, folder, open_index(folder, build=True) if folder.is_dir() else None, str(file))
    task = submission.task
    known = find_layout(task.name, task.version, task.fingerprint, [folder])
    return entry if known else entry._replace(layout=layout_beside([file], task.name, task.version, task.fingerprint))


def enter(submission: Submission, given: bytes, folder: Path, index: Index | None, where: str) -> Entry:
    """The entry that a submission makes in a folder with that index, read from the bytes ``given``, of what ``where`` names.

    Writes nothing. Raises SubmissionError with every problem.
    """
    path = path_of(submission)
    there = (folder / path).is_file() and (folder / path).read_bytes() == given
    content = given if there else to_json(submission).encode()
    problems = [*submission_problems(submission), *_place_problems(path, submission, content, folder)]
    board = index.boards.get(board_key(submission.task.name, submission.task.version, submission.task.track)) if index else None
    if not problems and board and (misfit := board.shape.misfit(member(submission))):
        problems = [f"{misfit} (board {board.key})"]
    if problems:
        raise SubmissionError.of(where, problems)
    likenesses = find_copies(submission, *_others(index, board, submission, path.as_posix())) if index and board else []
    replaced = _replaced(submission, folder / path)
    replaces = replaced.relative_to(folder).as_posix() if replaced else None
    history = {replaces, *(index.entries.loc[~index.entries["current"], "path"] if index else ())}  # its own, and what does not stand any more
    twice = [found.text for found in likenesses if found.kind == "duplicate" and found.path not in history]
    if twice:
        raise SubmissionError.of(where, twice)
    task = known_task(submission.task.name)
    contamination = states(submission.system.stages, task.contains if task else ())
    entry = Entry(path.as_posix(), submission, content, assess(submission), contamination, (), land(submission, index), replaces)
    return alike(entry, [found for found in likenesses if found.kind != "duplicate"])


def alike(entry: Entry, likenesses: Sequence[Likeness]) -> Entry:
    """The entry with these likenesses, gravest first, beside its own. A copy has no place among the ranked."""
    both = sorted((*entry.likenesses, *likenesses), key=lambda found: (found.kind != "copy", -max(found.share, found.correlation)))
    entry = entry._replace(likenesses=tuple(both))
    return entry._replace(landing=entry.landing._replace(rank=None, tie=None, why="it is a copy")) if entry.copied else entry


def correct(replaced: Path, folder: Path, file: Path, reason: str, note: str | None) -> Correction:
    """The record of a correction: ``file`` in place of ``replaced``, which must be in the folder and of the same system and task. Raises SubmissionError."""
    old, new, hashed = read_submission(replaced), read_submission(file), sha256_of(replaced.read_bytes())
    try:
        correction = Correction.model_validate({"replaces": hashed, "reason": reason, "note": note})
    except ValidationError as error:
        raise SubmissionError.of("--note", problems_in(error, Correction)) from None
    corrected, place = new.model_copy(update={"correction": correction}), folder / path_of(old)
    problems = [*correction_problems(corrected, file.resolve(), replaced.resolve().parent.glob("*.json"))]
    if replaced.resolve() != place.resolve():
        problems.append(f"{replaced} is not in its place, {place}: only what was submitted can be corrected")
    if problems:
        raise SubmissionError.of(str(file), problems)
    return correction


def write(entry: Entry, folder: Path) -> None:
    """Put the entry in its place, unless it is there already, and the layout of its collection where that is new. Raises ClirBenchError."""
    if entry.layout:
        write_layout(entry.layout, folder)
    if not (folder / entry.path).exists():
        write_submission(entry.submission, folder / entry.path)


def record(entry: Entry, folder: Path, by: str) -> list[Event]:
    """Append to the folder's log that the entry was accepted, what it replaces, and what it is suspiciously like. Raises SubmissionError."""
    log, submission = folder / LOG, entry.submission
    if any(event.event == "accepted" and event.path == entry.path for event in read_events(log)):
        raise SubmissionError(f"{log}: {entry.path} was accepted before")
    events = [append_event(log, "accepted", entry.path, entry.sha256, trust=entry.assessment.trust, by=by)]
    if submission.correction and entry.replaces:
        note = f"{submission.correction.reason}: {entry.path}"
        events.append(append_event(log, "superseded", entry.replaces, submission.correction.replaces, trust=None, by=by, note=note))
    events += [
        append_event(log, "copied" if found.kind == "copy" else "flagged", entry.path, entry.sha256, trust=entry.assessment.trust, by=by, note=found.text)
        for found in entry.likenesses
        if found.kind != "relative"
    ]
    return events


def pull_request_steps(entry: Entry, folder: Path) -> list[str]:
    """The commands, and what to do where no command can."""
    s = entry.submission
    added = [folder / entry.path, *([layout_path(entry.layout.task, entry.layout.version, entry.layout.fingerprint, folder)] if entry.layout else [])]
    branch = f"submission-{entry.path.removesuffix('.json').replace('/', '-')}"
    return [
        f"git checkout -b {shlex.quote(branch)}",
        f"git add {shlex.join(map(str, added))}",
        f"git commit -m {shlex.quote(f'Add {s.system.name} ({s.system.variant}) on {s.task.name} v{s.task.version}')}",
        f"git push -u origin {shlex.quote(branch)}",
        f"open {_compare_address(folder, branch)}",
        "CI checks the form, computes every number again, looks for copies, and comments where it lands. A maintainer merges it and writes the log.",
    ]


def _place_problems(path: Path, submission: Submission, content: bytes, folder: Path) -> Iterator[str]:
    """Why the content cannot stand at ``path`` below the folder."""
    place, canonical = folder / path, path.as_posix()
    accepted = {event.path: event.sha256 for event in read_events(folder / LOG) if event.event == "accepted"}
    stored = place.read_bytes() if place.is_file() else None
    if stored is None and accepted.get(canonical, sha256_of(content)) != sha256_of(content):
        yield gone(canonical, folder)
    elif stored is not None and accepted.get(canonical, sha256_of(stored)) != sha256_of(stored):
        yield changed(canonical, accepted[canonical], sha256_of(stored))
    elif stored is not None and stored != content:
        yield _already_there(submission, place)
    for here in (folder, folder / path.parts[0], folder / path.parent):
        wanted = path.parts[len(here.relative_to(folder).parts)]
        if near := next((p.name for p in here.glob("*") if p.name != wanted and p.name.casefold() == wanted.casefold()), None):
            yield f"{here / near} is there: {wanted} differs from it only by capitals, which are one name on many machines"
    yield from correction_problems(submission, place, place.parent.glob("*.json"))


def _already_there(submission: Submission, place: Path) -> str:
    """What to say of a file that is another than the one in its place: that one stands, and this one may be no second of it."""
    if submission.correction:
        return f"{place} is there: a system has one correction a day. Evaluate again tomorrow (UTC), and correct that one."
    standing = _standing(place)
    corrects = f"clir-bench submit FILE --corrects {shlex.quote(str(standing))} --reason"
    if _same_ranks(submission, read_submission(standing)):
        return f"This system is already on the board with these very ranks ({standing}): nothing to submit. To correct what it says besides: {corrects} bugfix"
    return (
        f"A run of this system is on the board ({standing}), with other ranks. A second run beside it: clir-bench audit {shlex.quote(str(standing))} FILE."
        f" A correction (its reasons: rerun, bugfix, new_revision): {corrects} rerun"
    )


def _standing(place: Path) -> Path:
    """The last of the corrections that stand in place of a file, or the file."""
    corrections = {read.correction.replaces: path for path in sorted(place.parent.glob("*.json")) if (read := read_submission(path)).correction}
    while correction := corrections.get(sha256_of(place.read_bytes())):
        place = correction
    return place


def _same_ranks(one: Submission, other: Submission) -> bool:
    """Whether two submissions say the same of each relevant document; without gold ranks, of each pair."""
    if one.gold_ranks is None or other.gold_ranks is None:
        return one.gold_ranks == other.gold_ranks and one.pairs == other.pairs
    a, b = one.ranks(), other.ranks()
    return a.pairs == b.pairs and all(np.array_equal(x, y) for x, y in ((a.pair, b.pair), (a.golds, b.golds), (a.rank, b.rank)))


def _replaced(submission: Submission, place: Path) -> Path | None:
    """The file that a submission with that place corrects."""
    correction = submission.correction
    return (
        next((p for p in sorted(place.parent.glob("*.json")) if p != place and sha256_of(p.read_bytes()) == correction.replaces), None) if correction else None
    )


def _others(index: Index, board: Board, submission: Submission, mine: str) -> tuple[list[Other], Ranks]:
    """The other submissions of a board that it fits, and their ranks of this submission's relevant documents, in its order."""
    entries = index.entries
    at = [int(i) for i in entries.index[(entries["board"] == board.key) & (entries["path"] != mine) & ~entries["withdrawn"]]]
    signatures, chains, pairs = (index.texts(column) for column in ("signature", "stages", "asked"))
    others = [
        Other(
            str(entries.at[i, "path"]),
            str(signatures[i]),
            models_of(_CHAIN.validate_json(str(chains[i]))),
            tuple(Pair(*pair) for pair, _ in json.loads(str(pairs[i]))),
        )
        for i in at
    ]
    asked = [(record.pair, next(iter(record.measures.values())).n) for record in submission.pairs]
    if not submission.gold_ranks:
        return others, np.zeros((len(others), 0), np.uint8)
    placed = board.shape.place(asked, np.minimum(submission.ranks().rank, DEEPER).astype(np.uint8))
    columns = slice(None) if submission.complete else placed > 0
    rows = entries["rank_row"][at].fillna(-1).to_numpy(int)
    blank = np.zeros(board.shape.width, np.uint8)
    return others, np.stack([(board.ranks[row] if row >= 0 else blank)[columns] for row in rows]) if at else np.zeros((0, 0), np.uint8)


def _compare_address(folder: Path, branch: str) -> str:
    """GitHub's page for opening the pull request, from the remote of the checkout; in words where that is none of the web's."""
    try:
        asked = subprocess.run(["git", "-C", str(folder), "remote", "get-url", "origin"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return _BY_HAND
    address = _SSH.sub(lambda found: f"https://{found[1] or found[2]}/", asked.stdout.strip().removesuffix(".git"))
    address = re.sub(r"^(https?://)[^/@]*@", r"\1", address)  # the token in a remote is nobody's business
    return f"{address}/compare/{branch}?expand=1" if address.startswith(("https://", "http://")) else _BY_HAND
