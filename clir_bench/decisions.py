"""What maintainers decide of a submission that was accepted: flagged, copied, cleared, withdrawn; each is a line of the event log."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clir_bench.errors import SubmissionError
from clir_bench.events import LOG, Decision, Event, append_event, changed, read_events, sha256_of
from clir_bench.exhibits.board_table import rank_words, trust_cell, why_unranked
from clir_bench.exhibits.profile import primary, state_words
from clir_bench.exhibits.tables import Column, shown
from clir_bench.standings import Index, Selection, open_index, standing
from clir_bench.submission import read_submission
from clir_bench.trust import FLAGS, assess, state_of


def decide(decision: Decision, file: Path, folder: Path, by: str, note: str) -> Event:
    """Append the decision on a submission in its place below the folder to the log. Raises SubmissionError where it makes no sense, and writes nothing."""
    path, sha256 = _accepted(file, folder)
    events, assessment = read_events(folder / LOG), assess(read_submission(file))
    state = state_of(sha256, assessment, events)
    if state.withdrawn is not None:
        raise SubmissionError(f"{path} was withdrawn before ({state.withdrawn}): nothing more can be decided of it")
    if decision == "cleared" and not state.flags:
        raise SubmissionError(f"{path} has no flag that is in force: there is nothing to clear. Its level is {state.trust}.")
    if decision in FLAGS and note in state.flags:
        raise SubmissionError(f"{path} is flagged with this note already: {note}")
    cleared = state_of(sha256, assessment, (event for event in events if event.event not in FLAGS))
    trust = {"withdrawn": None, "cleared": cleared.trust}.get(decision, assessment.trust)
    return append_event(folder / LOG, decision, path, sha256, trust=trust, by=by, note=note)


def on_the_board(folder: Path, path: str) -> str:
    """What the board shows of the submission at ``path`` below the folder: its state, level, flags, and rank or why it has none."""
    index = open_index(folder, build=True)
    entry = next((i for i, each in enumerate(index.entries["path"]) if each == path), None)
    if entry is None:
        return "nothing: the file is not among those that could be read"
    if not index.entries.at[entry, "current"]:
        return state_words(index, entry)
    return _placed(index, entry)


def _accepted(file: Path, folder: Path) -> tuple[str, str]:
    """The path below the folder and the hash of a submission that was accepted and is as it was."""
    place, root = file.resolve(), folder.resolve()
    if not place.is_relative_to(root):
        raise SubmissionError(f"{file} is not below {folder}: name a submission in its place there, or its folder by --submissions")
    path = place.relative_to(root).as_posix()
    accepted = next((event.sha256 for event in read_events(folder / LOG) if event.event == "accepted" and event.path == path), None)
    if not place.is_file():
        way = (
            f"Put it back: git checkout main -- {folder.name}/{path}. A file is withdrawn before it is deleted."
            if accepted
            else "Name a submission in its place."
        )
        raise SubmissionError(f"{file}: no such file. {way}")
    if accepted is None:
        raise SubmissionError(f"{folder / LOG}: {path} was not accepted yet. clir-bench submit {file} --record --by NAME")
    if accepted != (found := sha256_of(place.read_bytes())):
        raise SubmissionError(changed(path, accepted, found))
    return path, accepted


def _placed(index: Index, entry: int) -> str:
    """Where a submission stands on its own board."""
    board = index.boards[str(index.entries.at[entry, "board"])]
    found = standing(index, Selection(boards=(board.key.removesuffix(".oracle"),), measure=primary(board), track="oracle" if board.oracle else "all"))
    row = int(np.flatnonzero(found.entries[:, 0] == entry)[0])
    place = f"tier {found.tier[row]}, rank {rank_words(found, row)}" if found.tier[row] else f"no rank: {why_unranked(index, found, row)}"
    return f"{index.lines[found.lines[row]]} on {board.title}: {shown(Column('', ''), trust_cell(index, found.entries[row]))}; {place}"
