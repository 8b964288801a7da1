"""The command line that repeats an evaluation. No torch."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, get_args

from clir_bench.cli_evaluate import add_evaluate
from clir_bench.errors import ModelError
from clir_bench.models import find_encoder, find_reranker
from clir_bench.records import EncodeStage, FuseStage, LexicalStage, RerankStage, SearchStage, Stage, TranslateStage
from clir_bench.submission import Submission
from clir_bench.system import LEXICAL, MAX_TOKENS, Library, System
from clir_bench.task import known_task


def command_of(submission: Submission) -> str | None:
    """The command line that repeats an evaluation: the one it states, else one made of its stages; None where that is not known.

    A stated command is passed on only where it is one ``clir-bench evaluate`` with every word quoted, so that pasting it can do nothing else, and where its
    options are of this task and these stages: what is pasted as this system must not run another. How it was told, kept and filed is left out.
    """
    stated = submission.provenance.command
    try:
        words = shlex.split(stated)
    except ValueError:
        words = []
    quoted = shlex.join(words) == stated
    words = [*_bare(words)]
    if words[:2] == ["clir-bench", "evaluate"] and words[-1] != "..." and quoted and _is_of(words[2:], submission):
        return shlex.join(words)
    task, system = submission.task, submission.system
    rebuilt = _system(system.stages, system.variant.split("-"))
    if rebuilt is None or not (known_task(task.name) or task.name.startswith("mteb:")):
        return None
    track = ["--track", "oracle"] if task.track == "oracle" else []
    pairs = [] if submission.complete else ["--pairs", ",".join(str(record.pair) for record in submission.pairs)]
    return shlex.join(["clir-bench", "evaluate", *_options(rebuilt), "--task", task.name, *track, *pairs])


def _bare(words: Sequence[str]) -> Iterator[str]:
    """The words without the options that decide no number, and without their values."""
    for word, before in zip(words, ["", *words], strict=False):
        if word not in _ASIDE and _FOLDER not in (before, word) and not word.startswith(f"{_FOLDER}="):
            yield word


def _is_of(options: Sequence[str], submission: Submission) -> bool:
    """Whether these options of ``evaluate`` ask for a submission's task and stages: models, texts, indexes, precision."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    add_evaluate(lambda *_: parser)
    try:
        o = parser.parse_args(options)
        asked = System(model=o.model or LEXICAL, fuse=tuple(o.fuse), reranker=o.rerank).settled()
    except (ValueError, ModelError):
        return False
    tasks = o.task or []
    elsewhere = o.name or o.save_run or any("://" in word for word in options)  # a model under another's name, a file, somebody's server
    defined = all(known_task(name) or name.startswith("mteb:") for name in tasks)
    return submission.task.name in tasks and defined and not elsewhere and _asked(o, asked) == _recorded(submission, o)


def _asked(o: argparse.Namespace, system: System) -> dict[str, object]:
    """What options of ``evaluate`` decide, in the words of the record."""
    return {
        "first": system.model if system.model == LEXICAL else system.display_name,
        "fused": {name.removeprefix("mteb:") for name in system.fuse},
        "reranker": system.reranker,
        "revisions": (o.revision, o.rerank_revision),
        "english": {texts for texts in ("documents", "queries") if getattr(o, texts) == "english"},
        "translator": o.translator.partition(":")[2].partition("@")[0] if o.translator else None,
        "index": None if system.lexical else o.index,
        "library": o.library if o.index == "hnsw" and not system.lexical else None,
        "oracle": o.track == "oracle",
    }


def _recorded(submission: Submission, o: argparse.Namespace) -> dict[str, object]:
    """The same of a submission; what the options leave to a default is as they leave it."""
    stages = submission.system.stages
    firsts = [stage for stage in stages if isinstance(stage, LexicalStage | EncodeStage)]
    models = [LEXICAL if isinstance(stage, LexicalStage) else stage.model.name for stage in firsts]
    reranker = next((stage.model for stage in stages if isinstance(stage, RerankStage)), None)
    encoder = next((stage.model for stage in firsts[:1] if isinstance(stage, EncodeStage)), None)
    translations = [stage for stage in stages if isinstance(stage, TranslateStage)]
    translator = next((stage.model.name for stage in translations if stage.model), None)
    searches = [stage for stage in stages if isinstance(stage, SearchStage)]
    return {
        "first": models[0] if models else None,
        "fused": set(models[1:]),
        "reranker": reranker.name if reranker else None,
        "revisions": tuple(given and (model.revision if model else None) for given, model in ((o.revision, encoder), (o.rerank_revision, reranker))),
        "english": {stage.texts for stage in translations},
        "translator": translator and (translator if ":" in (o.translator or "") else ""),
        "index": searches[0].index if searches else None,
        "library": next((stage.library.partition(" ")[0] for stage in searches if stage.library), None),
        "oracle": submission.task.track == "oracle",
    }


class _Parser(argparse.ArgumentParser):
    """Raises ValueError for words that are no options."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


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


_ASIDE, _FOLDER = ("-q", "--quiet", "--json", "--no-cache", "--overwrite"), "--output"
_COMMIT = re.compile(r"[0-9a-f]{40}")
