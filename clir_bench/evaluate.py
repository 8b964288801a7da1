"""Evaluation: a collection and a retriever to a submission."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import perf_counter
from typing import NamedTuple

import numpy as np

from clir_bench import bias, provenance
from clir_bench.assemble import Assembled, Runtime, build
from clir_bench.collection import Collection, IntArray, Pair, Ranking, Texts
from clir_bench.errors import ModelError, TaskError
from clir_bench.measures import NOT_FOUND, GoldRanks, Measure, gold_ranks, parse_measure, stats
from clir_bench.oracle import rerank_with_gold
from clir_bench.records import (
    EncodeStage,
    FuseStage,
    GoldRankRecord,
    LexicalStage,
    PairRecord,
    ProfileRecord,
    RerankStage,
    SearchStage,
    Stage,
    SystemRecord,
    TaskRecord,
    TimingRecord,
    TranslateStage,
)
from clir_bench.retrieval import Locator, Reranked, Timing, can_locate
from clir_bench.submission import FORMAT, Submission, pack_ranks, stat_record
from clir_bench.system import RERANK_DEPTH, System
from clir_bench.task import Task
from clir_bench.task_records import Track


class Translation(NamedTuple):
    """English texts by id, which stand for the documents or the queries, and the record of where they come from."""

    texts: Mapping[str, str]
    stage: TranslateStage
    timing: Timing | None = None


@dataclass(frozen=True)
class Evaluation:
    """What was measured, with the arrays behind it. ``exact`` and ``own`` hold ranks in the whole and the own-language pool, however deep.

    On track ``oracle`` the ranking is that of the candidates before anything was put in; ``ranks`` have the relevant documents put in.
    """

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
    track: Track | None = None,
    pairs: Iterable[Pair] | None = None,
    documents: Translation | None = None,
    queries: Translation | None = None,
    runtime: Runtime | None = None,
    command: str = "",
) -> Evaluation:
    """Evaluate a system on a task's collection, on all pairs or only some.

    The pool is always the whole one, so the numbers of a pair do not depend on which others were asked for. ``track`` None is ``rerank`` for a system
    with a re-ranker, else ``retrieval``. ``documents`` and ``queries`` hold the English texts where the system's are english: languages, pairs and
    judgements stay those of the originals.
    """
    started, clock = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), perf_counter()
    asked = collection if pairs is None else collection.restrict(pairs)
    assembled = system if isinstance(system, Assembled) else build(system, runtime, task.depth)
    chosen = settle_track(task, assembled.system, track)
    for what, wanted, given in (("documents", assembled.system.documents, documents), ("queries", assembled.system.queries, queries)):
        if (wanted == "english") != (given is not None):
            raise ModelError(f"{what} are {wanted!r}, but {'no' if given is None else 'their'} English texts were given")
    seen = replace(asked, pool=_translated(asked.pool, documents), queries=_translated(asked.queries, queries))
    retriever, earlier = assembled.retriever, len(assembled.clock.timings)
    retriever.index(seen.pool)
    injected, exact, own = None, None, None
    if chosen == "oracle":
        assert isinstance(retriever, Reranked)
        ranking, ranks, injected = rerank_with_gold(retriever, seen, task.rerank.oracle_rank)
    else:
        ranking = retriever.search(seen.queries, task.depth)
        ranks = gold_ranks(ranking, asked.judgements)
        exact, own = _locate(retriever, seen, ranks) if can_locate(retriever) else (None, None)
    profiles = bias.language_profiles(asked, ranking) if chosen != "oracle" else ()
    timings = (*(t.timing for t in (documents, queries) if t and t.timing), *assembled.clock.timings[earlier:])
    return Evaluation(
        collection=asked,
        ranking=ranking,
        ranks=ranks,
        exact=exact,
        own=own,
        submission=Submission(
            format=FORMAT,
            task=_task_record(task, collection, chosen),
            system=_system_record(assembled.system, (*(t.stage for t in (documents, queries) if t), *assembled.stages)),
            complete=len(asked.pairs) == len(collection.pairs),
            pool=dict(sorted(Counter(collection.pool.languages).items())),
            pairs=_pair_records(task, ranks, own, injected),
            bias=tuple(ProfileRecord(query=p.query_language, depth=p.depth, gold=p.gold, queries=p.queries, retrieved=dict(p.retrieved)) for p in profiles),
            timings=tuple(TimingRecord(stage=t.stage, items=t.items, seconds=round(t.seconds, 4), cpu_seconds=round(t.cpu_seconds, 4)) for t in timings),
            gold_ranks=_packed(ranks, own),
            provenance=provenance.collect(started, perf_counter() - clock, command, task.recipe.seed if "recipe" in task.model_fields_set else None),
        ),
    )


def settle_track(task: Task, system: System, track: Track | None) -> Track:
    """The track a system runs on. Raises TaskError for one that the task or the system does not have."""
    chosen: Track = track or ("rerank" if system.reranker else "retrieval")
    if chosen not in task.tracks:
        raise TaskError(f"task {task.name} has the tracks {', '.join(task.tracks)}, not {chosen}")
    if (chosen == "retrieval") != (system.reranker is None):
        raise TaskError(
            f"track {chosen!r} {'is for systems without a re-ranker: leave out --rerank' if system.reranker else 'needs a re-ranker: --rerank MODEL'}"
        )
    if chosen == "oracle":
        at, depth = task.rerank.oracle_rank, system.rerank_depth or RERANK_DEPTH
        if depth != at:
            raise TaskError(
                f"task {task.name} puts missing documents at rank {at}, the last that is re-ranked, but the system re-ranks {depth}: --rerank-depth {at}"
            )
        if not any(_says_something(parse_measure(name), at) for name in task.measures):
            raise TaskError(
                f"task {task.name} measures only {', '.join(task.measures)}, which the oracle track fulfils by itself. It needs one below rank {at}."
            )
    return chosen


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
            seed = "" if stage.seed is None else f" seed={stage.seed}"
            parts.append(f"hnsw {stage.library} m={stage.m} ef_construction={stage.ef_construction} ef={stage.ef}{seed}" if stage.library else stage.index)
        elif isinstance(stage, TranslateStage):
            model = f"{stage.model.name}@{stage.model.revision}, " if stage.model else ""
            left = f", {stage.untranslated} untranslated" if stage.untranslated else ""
            parts.append(f"{stage.texts} in English ({model}{stage.source}{left})")
        elif isinstance(stage, FuseStage):
            parts.append(f"{stage.systems} fused by {stage.method} k={stage.k} to {stage.depth}")
        elif isinstance(stage, RerankStage):
            parts.append(f"first {stage.depth} re-ranked by {stage.model.name}@{stage.model.revision}")
            parts += [f"{stage.max_tokens} tokens", stage.dtype, *([f"template {stage.template}"] if stage.template else [])]
        else:
            parts.append(f"{stage.model.name}@{stage.model.revision} ({stage.source})")
    return " | ".join(parts)


def _translated(texts: Texts, english: Translation | None) -> Texts:
    return texts if english is None else replace(texts, texts=[english.texts[key] for key in texts.ids], written_in="en")


def _locate(retriever: Locator, collection: Collection, ranks: GoldRanks) -> tuple[GoldRanks, GoldRanks]:
    """Exact ranks of the relevant documents, in the whole pool and in that of their own language."""
    query = np.repeat(ranks.query, ranks.golds)
    order = np.lexsort((ranks.document, query))
    targets = np.unique(np.stack([query[order], ranks.document[order]]), axis=1)
    exact, own = retriever.locate(collection.queries, targets[0], targets[1])
    size = len(collection.pool)
    at = np.searchsorted(targets[0].astype(np.int64) * size + targets[1], query.astype(np.int64) * size + ranks.document)
    return ranks.with_rank(exact[at]), ranks.with_rank(own[at])


def _task_record(task: Task, collection: Collection, track: Track) -> TaskRecord:
    return TaskRecord(
        name=task.name,
        version=task.version,
        track=track,
        depth=task.depth,
        fingerprint=collection.fingerprint,
        documents=len(collection.pool),
        queries=len(collection.queries),
        pairs=len(collection.pairs),
    )


def _system_record(system: System, stages: tuple[Stage, ...]) -> SystemRecord:
    return SystemRecord(name=system.display_name, variant=system.variant, signature=signature(stages), stages=stages)


def _pair_records(task: Task, ranks: GoldRanks, own: GoldRanks | None, injected: IntArray | None) -> tuple[PairRecord, ...]:
    measures = [parse_measure(name) for name in task.measures]
    if injected is not None:
        measures = [m for m in measures if _says_something(m, task.rerank.oracle_rank)]
    full = {str(measure): stats(measure, ranks) for measure in measures}
    recall = {str(measure): stats(measure, own) for measure in measures if measure.kind == "R"} if own else {}
    given = None if injected is None else np.bincount(ranks.pair, injected > 0, len(ranks.pairs))
    return tuple(
        PairRecord(
            query=pair.query,
            document=pair.document,
            measures={name: stat_record(found[i]) for name, found in full.items()},
            own_language={name: stat_record(found[i]) for name, found in recall.items()},
            injected=None if given is None else int(given[i]),
        )
        for i, pair in enumerate(ranks.pairs)
    )


def _says_something(measure: Measure, oracle_rank: int) -> bool:
    """False for recall as deep as the list: everything is found there, because it was put there."""
    return measure.kind not in ("R", "Success") or measure.k < oracle_rank


def _packed(ranks: GoldRanks, own: GoldRanks | None) -> GoldRankRecord:
    return pack_ranks(ranks, own.with_rank(np.where(own.rank > 254, NOT_FOUND, own.rank).astype(np.int32)) if own else None)
