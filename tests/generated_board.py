"""An index of generated systems on two data sets, made once for all tests that look at a board."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
from _submissions import generate

from clir_bench import resources
from clir_bench.claims import FOLDER
from clir_bench.standings import Index, open_index
from clir_bench.standings.index import Line
from clir_bench.submission import Submission, read_submission

TASKS = ("sample", "large_scale")
BOARDS = ("sample-v1", "large_scale-v1")


@cache
def generated_index() -> Index:
    """15 systems of every kind on the sample and on Large-Scale, with the publications' claims beside them."""
    home = Path(tempfile.mkdtemp(prefix="clir-bench-board-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    folder = home / "submissions"
    generate(folder, 15, TASKS)
    shutil.copytree(resources.folder("submissions") / FOLDER, folder / FOLDER)
    return open_index(folder, home / "index", build=True)


@cache
def files() -> dict[tuple[Line, str], Submission]:
    """The submission that stands for each system on each board, read from its file: the newest that replaces no other, or is the correction."""
    found: dict[tuple[Line, str], Submission] = {}
    for path in sorted(generated_index().folder.rglob("*.json")):
        if FOLDER in path.parts:
            continue
        s = read_submission(path)
        key = Line(s.system.name, s.system.variant), f"{s.task.name}-v{s.task.version}{'.oracle' if s.task.track == 'oracle' else ''}"
        if key not in found or s.provenance.started > found[key].provenance.started:
            found[key] = s
    return found
