"""How to run a system oneself: what to install, and the command that repeats its evaluation."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from clir_bench.commands import command_of
from clir_bench.records import SearchStage, TranslateStage
from clir_bench.standings.index import Index
from clir_bench.standings.memory import remembered
from clir_bench.submission import Submission

_EXTRAS = {"hnswlib": "hnswlib", "faiss": "ann", "usearch": "usearch"}


class Use(NamedTuple):
    """Lines for a shell in a checkout of clir-bench; ``run`` is None where its submission does not tell enough to repeat it."""

    install: str
    run: str | None


def use_of(index: Index, entry: int) -> Use:
    """What to install for a submission of the index, and its command. Raises SubmissionError where its file is gone."""
    return remembered(index, ("use", entry), lambda: how_to_use(index.submission(entry)))


def how_to_use(submission: Submission) -> Use:
    """What to install for a submission's system, and its command."""
    run = command_of(submission)
    words = shlex.split(run) if run else []
    extras = {
        _EXTRAS[name] for stage in submission.system.stages if isinstance(stage, SearchStage) and (name := (stage.library or "").partition(" ")[0]) in _EXTRAS
    }
    extras |= {"translate" for stage in submission.system.stages if isinstance(stage, TranslateStage) and stage.model}
    extras |= {extra for extra, there in (("demo", "demo" in words), ("mteb", any(word.startswith("mteb:") for word in words))) if there}
    return Use(shlex.join(["pip", "install", f".[{','.join(sorted(extras))}]" if extras else "."]), run)
