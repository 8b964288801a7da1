"""Evaluation: a collection and a retriever to a submission."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import perf_counter

import numpy as np

from clir_bench import bias, provenance
from clir_bench.assemble import Assembled, Runtime, build
from clir_bench.collection import Collection, Pair, Ranking
from clir_bench.errors import ModelError
from clir_bench.measures import NOT_FOUND, GoldRanks, gold_ranks, parse_measure, stats
from clir_bench.records import (
    EncodeStage,
    GoldRankRecord,
    LexicalStage,
    PairRecord,
    ProfileRecord,
    SearchStage,
    Stage,
    SystemRecord,
    TaskRecord,
    TimingRecord,
    TranslateStage,
)
from clir_bench.retrieval import Locator
from clir_bench.submission import FORMAT, Submission, pack_ranks, stat_record
from clir_bench.system import System
from clir_bench.task import Task


@dataclass(frozen=True)
class Evaluation:
    """What was measured, with the arrays behind it. ``exact`` and ``own`` hold ranks in the whole and the own-language pool, however deep."""

    collection: Collection
    ranking: Ranking
    ranks: GoldRanks
    exact: GoldRanks | None
    own: GoldRanks | None
    submission: Submission


def evaluate(
    task: Task,
    collection: Collection,
    system: System | Assembled,
    *,
    pairs: Iterable[Pair] | None = None,
    english: Mapping[str, str] | None = None,
    runtime: Runtime | None = None,
    command: str = "",
) -> Evaluation:
    """Evaluate a system on a task's collection, on all pairs or only some.

    The pool is always the whole one, so the numbers of a pair do not depend on which others were asked for. ``english`` holds each document's English
    text by id, where the system's ``documents`` are english: languages, pairs and judgements stay those of the originals.
    """
    started, clock = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), perf_counter()
    asked = collection if pairs is None else collection.restrict(pairs)
    assembled = system if isinstance(system, Assembled) else build(system, runtime)
    if (assembled.system.documents == "english") != (english is not None):
        raise ModelError(f"documents are {assembled.system.documents!r}, but {'no' if english is None else 'their'} English texts were given")
    stages: tuple[Stage, ...] = assembled.stages
    pool = asked.pool
    if english is not None:
        pool = replace(pool, texts=[english[key] for key in pool.ids])
        stages = (TranslateStage(kind="translate", documents="english", source=f"English texts of the collection {task.name}"), *stages)
    retriever, earlier = assembled.retriever, len(assembled.clock.timings)
    retriever.index(pool)
    ranking = retriever.search(asked.queries, task.depth)
    ranks = gold_ranks(ranking, asked.judgements)
    exact, own = _locate(retriever, asked, ranks) if isinstance(retriever, Locator) else (None, None)
    return Evaluation(
        collection=asked,
        ranking=ranking,
        ranks=ranks,
        exact=exact,
        own=own,
        submission=Submission(
            format=FORMAT,
            task=_task_record(task, collection),
            system=_system_record(assembled.system, stages),
            complete=len(asked.pairs) == len(collection.pairs),
            pool=dict(sorted(Counter(collection.pool.languages).items())),
            pairs=_pair_records(task, ranks, own),
            bias=tuple(
                ProfileRecord(query=p.query_language, depth=p.depth, gold=p.gold, queries=p.queries, retrieved=dict(p.retrieved))
                for p in bias.language_profiles(asked, ranking)
            ),
            timings=tuple(
                TimingRecord(stage=t.stage, items=t.items, seconds=round(t.seconds, 4), cpu_seconds=round(t.cpu_seconds, 4))
                for t in assembled.clock.timings[earlier:]
            ),
            gold_ranks=_packed(ranks, own),
            provenance=provenance.collect(started, perf_counter() - clock, command, task.recipe.seed if "recipe" in task.model_fields_set else None),
        ),
    )


def signature(stages: Iterable[Stage]) -> str:
    """One line that says what ran: ``org/model@revision|native|mean+Normalize|512|float32|q:'query: '|d:''|exact``."""
    parts: list[str] = []
    for stage in stages:
        if isinstance(stage, EncodeStage):
            parts += [f"{stage.model.name}@{stage.model.revision}", stage.protocol, stage.pooling, f"{stage.max_tokens} tokens", stage.dtype]
            parts += [f"query {stage.query_prompt!r}", f"document {stage.document_prompt!r}"]
        elif isinstance(stage, LexicalStage):
            parts += [f"{stage.formula} k1={stage.k1:g} b={stage.b:g} epsilon={stage.epsilon:g}", stage.tokenizer]
        elif isinstance(stage, SearchStage):
            parts.append(stage.index)
        elif isinstance(stage, TranslateStage):
            parts.append(f"documents {stage.documents} ({stage.source})")
        else:
            parts.append(f"{stage.model.name}@{stage.model.revision} ({stage.source})")
    return " | ".join(parts)


def _locate(retriever: Locator, collection: Collection, ranks: GoldRanks) -> tuple[GoldRanks, GoldRanks]:
    """Exact ranks of the relevant documents, in the whole pool and in that of their own language."""
    query = np.repeat(ranks.query, ranks.golds)
    order = np.lexsort((ranks.document, query))
    targets = np.unique(np.stack([query[order], ranks.document[order]]), axis=1)
    exact, own = retriever.locate(collection.queries, targets[0], targets[1])
    size = len(collection.pool)
    at = np.searchsorted(targets[0].astype(np.int64) * size + targets[1], query.astype(np.int64) * size + ranks.document)
    return ranks.with_rank(exact[at]), ranks.with_rank(own[at])


def _task_record(task: Task, collection: Collection) -> TaskRecord:
    return TaskRecord(
        name=task.name,
        version=task.version,
        track="retrieval",
        depth=task.depth,
        fingerprint=collection.fingerprint,
        documents=len(collection.pool),
        queries=len(collection.queries),
        pairs=len(collection.pairs),
    )


def _system_record(system: System, stages: tuple[Stage, ...]) -> SystemRecord:
    return SystemRecord(name=system.display_name, variant=system.variant, signature=signature(stages), stages=stages)


def _pair_records(task: Task, ranks: GoldRanks, own: GoldRanks | None) -> tuple[PairRecord, ...]:
    full = {name: stats(parse_measure(name), ranks) for name in task.measures}
    recall = {name: stats(parse_measure(name), own) for name in task.measures if parse_measure(name).kind == "R"} if own else {}
    return tuple(
        PairRecord(
            query=pair.query,
            document=pair.document,
            measures={name: stat_record(found[i]) for name, found in full.items()},
            own_language={name: stat_record(found[i]) for name, found in recall.items()},
        )
        for i, pair in enumerate(ranks.pairs)
    )


def _packed(ranks: GoldRanks, own: GoldRanks | None) -> GoldRankRecord:
    return pack_ranks(ranks, own.with_rank(np.where(own.rank > 254, NOT_FOUND, own.rank).astype(np.int32)) if own else None)
