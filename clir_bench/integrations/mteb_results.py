"""mteb's result files: ours written as TaskResult, theirs read as claimed submissions, the direction of each known task handled."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mteb
from mteb.models import ModelMeta
from pydantic import ValidationError

from clir_bench import languages
from clir_bench.collection import Pair
from clir_bench.errors import SubmissionError
from clir_bench.evaluate import signature
from clir_bench.integrations.mteb import DOCUMENT_FIRST, MEASURE_KINDS, class_name, mteb_revision, task_class
from clir_bench.measures import DEFAULT_MEASURES, parse_measure
from clir_bench.provenance import collect
from clir_bench.records import ExternalStage, ModelReference, PairRecord, StatRecord, SystemRecord, TaskRecord, moves
from clir_bench.strict import problems_in
from clir_bench.submission import FORMAT, Submission
from clir_bench.task import Task, load_task, task_names


def write_result(submission: Submission, folder: Path) -> list[Path]:
    """The submission as mteb's TaskResult and model_meta.json below ``folder``, readable by ``mteb.load_results``."""
    if submission.task.track == "oracle":
        raise SubmissionError("mteb has no oracle track: its results would stand among those of honest candidates")
    task = task_class(submission.task.name)()
    scores = []
    for record in submission.pairs:
        entry: dict[str, Any] = {}
        for name, stat in record.measures.items():
            measure = parse_measure(name)
            key = next((theirs for theirs, ours in MEASURE_KINDS.items() if ours == measure.kind), None)
            if key:
                entry[f"{key}_at_{measure.k}"] = stat.mean
                entry[f"clir_{name}"] = [stat.n, stat.sum, stat.sum_squares]
        entry.update(main_score=entry.get("recall_at_100", next(iter(entry.values()))), clir_query=record.query, clir_document=record.document)
        scores.append((str(record.pair), entry))
    seconds = sum(t.seconds for t in submission.timings)
    result = mteb.TaskResult.from_task_results(task, {"test": dict(scores)}, evaluation_time=seconds, date=_date(submission.provenance.started))
    revision = mteb_revision(submission.system.stages, submission.system.variant)
    meta = ModelMeta.create_empty({"name": submission.system.name, "revision": revision})
    store = mteb.ResultCache(folder)
    store.save_to_cache(result, meta)
    return sorted(folder.rglob(f"{revision}/*.json"))


def read_result(path: Path, model_meta: Path) -> Submission:
    """An mteb TaskResult as a submission at trust level ``claimed``: means only, since mteb keeps no ranks.

    Raises SubmissionError for tasks whose direction (which of two languages is the query's) is not known, and for impossible values.
    """
    try:
        return _read(path, model_meta)
    except ValidationError as error:
        raise SubmissionError.of(str(path), problems_in(error, Submission)) from None


def _read(path: Path, model_meta: Path) -> Submission:
    try:
        content, meta = json.loads(path.read_text(encoding="utf-8")), json.loads(model_meta.read_text(encoding="utf-8"))
        name, entries = content["task_name"], content["scores"].get("test") or next(iter(content["scores"].values()))
        model = meta["name"]
    except (OSError, ValueError, KeyError, AttributeError, StopIteration) as error:
        raise SubmissionError(f"{path} with {model_meta}: not an mteb result and its model_meta.json: {error!r}") from None
    ours = {class_name(task): task for task in task_names()}
    task = load_task(ours[name]) if name in ours else None
    counts = _query_counts(name) if task is None else {}
    records: dict[Pair, PairRecord] = {}
    problems: list[str] = []
    for entry in entries:
        subset = entry["hf_subset"]
        try:
            pair = _pair_of(name, task, entry)
        except SubmissionError as error:
            problems.append(str(error))
            continue
        n = counts.get(subset) or _own_count(entry) or (task.expect.queries_per_pair or (None,))[0] if task else counts.get(subset) or _own_count(entry)
        if not n:
            problems.append(f"{subset}: the number of evaluated queries is not known")
            continue
        measures = {}
        for spelled in DEFAULT_MEASURES:
            kind, k = parse_measure(spelled)
            value = entry.get(f"{next(theirs for theirs, ours in MEASURE_KINDS.items() if ours == kind)}_at_{k}")
            if isinstance(value, int | float) and math.isfinite(value):
                exact = entry.get(f"clir_{spelled}")
                measures[spelled] = StatRecord(n=exact[0], sum=exact[1], sum_squares=exact[2]) if exact else StatRecord(n=n, sum=value * n, sum_squares=None)
        records[pair] = PairRecord(query=pair.query, document=pair.document, measures=measures)
    if problems:
        raise SubmissionError.of(str(path), problems)
    total = task.expect.pairs if task else max(len(counts), len(records))
    revision = meta.get("revision") or "unknown"
    revision = "unknown" if moves(str(revision)) else revision
    reference = ModelReference(name=model, revision=revision, parameters=meta.get("n_parameters") or None, licence=meta.get("license"))
    source = f"mteb {content.get('mteb_version')}, {name}, data set revision {content.get('dataset_revision')}"
    stages = (ExternalStage(kind="external", model=reference, source=source),)
    return Submission(
        format=FORMAT,
        task=TaskRecord(
            name=task.name if task else f"mteb:{name}", version=task.version if task else 1, track="retrieval", depth=100, fingerprint=None,
            documents=None, queries=None, pairs=total,
        ),
        system=SystemRecord(name=model, variant="mteb", signature=signature(stages), stages=stages),
        complete=len(records) == total,
        pool={},
        pairs=tuple(records[pair] for pair in sorted(records)),
        gold_ranks=None,
        provenance=collect(_started(content.get("date")), content.get("evaluation_time") or 0.0, f"clir-bench import {path.name}", None),
    )  # fmt: skip


def _pair_of(name: str, task: Task | None, entry: Mapping[str, Any]) -> Pair:
    codes = entry["languages"]
    tags = [languages.from_mteb(code) for code in (codes[0], codes[-1])]
    if task is not None or tags[0] == tags[1]:
        return Pair(*tags)
    if name not in DOCUMENT_FIRST:
        raise SubmissionError(f"{entry['hf_subset']}: of task {name!r} it is not known which language is the query's. Known: {', '.join(DOCUMENT_FIRST)}")
    return Pair(*(tags[::-1] if DOCUMENT_FIRST[name] else tags))


def _query_counts(name: str) -> dict[str, int]:
    """Evaluated queries per subset, from mteb's own statistics of the task; empty where it has none."""
    try:
        statistics: dict[str, Any] = mteb.get_task(name).metadata.descriptive_stats or {}
    except KeyError:
        return {}
    split: dict[str, Any] = statistics.get("test") or next(iter(statistics.values()), {})
    subsets = split.get("hf_subset_descriptive_stats") or {}
    judged = {key: value.get("relevant_docs_statistics") for key, value in subsets.items()}
    return {
        key: round(j["num_relevant_docs"] / j["average_relevant_docs_per_query"]) for key, j in judged.items() if j and j["average_relevant_docs_per_query"]
    }


def _own_count(entry: Mapping[str, Any]) -> int | None:
    return entry.get("clir_n") or next((value[0] for key, value in entry.items() if key.startswith("clir_") and isinstance(value, list)), None)


def _date(started: str) -> datetime.datetime:
    return datetime.datetime.strptime(started, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)


def _started(date: float | None) -> str:
    return datetime.datetime.fromtimestamp(date or 0, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
