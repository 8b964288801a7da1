"""The command line that repeats an evaluation. No torch."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from clir_bench.errors import ModelError
from clir_bench.models import find_encoder, find_reranker
from clir_bench.records import EncodeStage, FuseStage, LexicalStage, RerankStage, SearchStage, Stage, TranslateStage
from clir_bench.submission import Submission
from clir_bench.system import LEXICAL, MAX_TOKENS, Library, System
from clir_bench.task import known_task


def command_of(submission: Submission) -> str | None:
    """The command line that repeats an evaluation: the one it states, else one made of its stages; None where that is not known.

    A stated command is passed on only where it is one ``clir-bench evaluate`` with every word quoted, so that pasting it can do nothing else.
    """
    stated = submission.provenance.command
    try:
        words = shlex.split(stated)
    except ValueError:
        words = []
    if words[:2] == ["clir-bench", "evaluate"] and words[-1] != "..." and shlex.join(words) == stated:
        return stated
    task, system = submission.task, submission.system
    rebuilt = _system(system.stages, system.variant.split("-"))
    if rebuilt is None or not (known_task(task.name) or task.name.startswith("mteb:")):
        return None
    track = ["--track", "oracle"] if task.track == "oracle" else []
    pairs = [] if submission.complete else ["--pairs", ",".join(str(record.pair) for record in submission.pairs)]
    return shlex.join(["clir-bench", "evaluate", *_options(rebuilt), "--task", task.name, *track, *pairs])


def _system(stages: Sequence[Stage], said: Sequence[str]) -> System | None:
    """The specification behind a chain of hub models; ``said`` are the words of its variant, which tell what was asked for from what is a default."""
    chosen: dict[str, Any] = {}
    models: list[str] = []
    for stage in stages:
        if isinstance(stage, EncodeStage):
            known, model = find_encoder(stage.model.name), stage.model
            pinned = known is not None and known.revision == model.revision
            if stage.dtype == "server" or not (_COMMIT.fullmatch(model.revision) if not models else pinned):
                return None
            if not models:
                chosen |= {"protocol": stage.protocol, "dtype": stage.dtype, "revision": None if pinned else model.revision}
                chosen |= {"max_tokens": stage.max_tokens} if f"{stage.max_tokens}tokens" in said else {}
                prompts = {"query_prompt": stage.query_prompt, "document_prompt": stage.document_prompt}
                chosen |= prompts if any(word.startswith("prompts_") for word in said) else {}
            models.append(f"mteb:{model.name}" if said[0] == "mteb" and not models else model.name)
        elif isinstance(stage, LexicalStage):
            chosen |= {"tokenizer": stage.tokenizer, "k1": stage.k1, "b": stage.b}
            models.append(LEXICAL)
        elif isinstance(stage, SearchStage) and stage.library:
            library = stage.library.partition(" ")[0]
            if library not in get_args(Library):
                return None
            chosen |= {"index": "hnsw", "library": library, "m": stage.m, "ef_construction": stage.ef_construction}
            chosen |= {"ef": stage.ef} if f"ef_{stage.ef}" in said else {}
        elif isinstance(stage, TranslateStage) and stage.model is None and stage.texts == "documents":
            chosen |= {"documents": "english"}
        elif isinstance(stage, FuseStage):
            chosen |= {"rrf_k": stage.k}
        elif isinstance(stage, RerankStage) and _COMMIT.fullmatch(stage.model.revision):
            reranker = find_reranker(stage.model.name)
            chosen |= {"reranker": stage.model.name, "dtype": stage.dtype, "rerank_depth": stage.depth}
            chosen |= {} if reranker and reranker.revision == stage.model.revision else {"reranker_revision": stage.model.revision}
            chosen |= {"rerank_max_tokens": stage.max_tokens} if stage.max_tokens != MAX_TOKENS else {}
            chosen |= {"rerank_template": stage.template} if stage.template != (reranker.template if reranker else "") else {}
        elif not isinstance(stage, SearchStage):
            return None
    try:
        return System(model=models[0], fuse=tuple(models[1:]), **chosen).settled()
    except (ModelError, IndexError):
        return None


def _options(system: System) -> Iterator[str]:
    """A specification as options of ``clir-bench evaluate``."""
    for field, value in system.changed().items():
        for each in value if isinstance(value, tuple) else (value,):
            yield from (f"--{field.replace('reranker', 'rerank').replace('_', '-')}", str(each))


_COMMIT = re.compile(r"[0-9a-f]{40}")
