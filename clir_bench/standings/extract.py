"""One submission file to the rows and the rank vector that the index holds of it."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from clir_bench.collection import Pair
from clir_bench.contamination import states
from clir_bench.errors import ClirBenchError
from clir_bench.events import sha256_of
from clir_bench.licences import chain_facts
from clir_bench.submission import DEEPER, Submission, parse_submission
from clir_bench.task import known_task
from clir_bench.trust import assess

Row = dict[str, object]
SCHEMAS = {
    "pairs": pa.schema(
        [
            *((name, pa.string()) for name in ("query", "document", "measure")),
            ("n", pa.int32()),
            *((name, pa.float64()) for name in ("sum", "sum_squares", "own_sum")),
        ]
    ),
    "bias": pa.schema(
        [("query", pa.string()), ("depth", pa.int16()), ("gold", pa.string()), ("queries", pa.int32()), ("document", pa.string()), ("count", pa.int64())]
    ),
    "timings": pa.schema([("stage", pa.string()), ("items", pa.int64()), ("seconds", pa.float64()), ("cpu_seconds", pa.float64())]),
}
"""The tables beside ``systems``; in the index each row also has ``entry``, its submission's row in ``systems``."""
Ranks = npt.NDArray[np.uint8]


class Extract(NamedTuple):
    """What the index keeps of a file; ``tables`` as in SCHEMAS. ``golds`` and ``grades`` are None where all are 1; ``ranks`` None where the file carries none."""

    path: str
    sha256: str
    system: Row
    tables: dict[str, pa.Table]
    asked: tuple[tuple[Pair, int], ...]
    ranks: Ranks | None
    golds: npt.NDArray[np.int32] | None
    grades: npt.NDArray[np.int32] | None


def extract_file(folder: Path, path: str) -> Extract | str:
    """The rows of ``folder/path``, or what is wrong with it."""
    try:
        content = (folder / path).read_bytes()
        return extract(parse_submission(content, path), path, sha256_of(content))
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror or error}"
    except ClirBenchError as error:
        return str(error)
    except (ArithmeticError, pa.ArrowException) as error:
        return f"{path}: a number is larger than an index holds ({error})"


def judged(golds: npt.NDArray[np.int32], grades: npt.NDArray[np.int32]) -> str:
    """A hash of how many documents are relevant to each evaluated query, and how much: measures rest on these beside the ranks."""
    return hashlib.sha256(np.ascontiguousarray(golds, np.int32).tobytes() + b"|" + np.ascontiguousarray(grades, np.int32).tobytes()).hexdigest()[:16]


def extract(s: Submission, path: str, sha256: str) -> Extract:
    """The rows of a submission. Raises SubmissionError where its gold ranks do not hold."""
    ranks = s.ranks() if s.gold_ranks else None
    p, facts, assessment, seen = s.provenance, chain_facts(s.system.stages), assess(s), states(s.system.stages, _contains(s.task.name))
    asked = tuple((pair.pair, next(iter(pair.measures.values())).n) for pair in s.pairs)
    system: Row = {
        "sha256": sha256,
        "path": path,
        "task": s.task.name,
        "version": s.task.version,
        "track": s.task.track,
        "depth": s.task.depth,
        "fingerprint": s.task.fingerprint,
        "name": s.system.name,
        "variant": s.system.variant,
        "signature": s.system.signature,
        "stages": json.dumps([stage.model_dump(mode="json") for stage in s.system.stages]),
        "complete": s.complete,
        "pool": json.dumps(s.pool, sort_keys=True),
        "judged": None if ranks is None else judged(ranks.golds, ranks.grade),
        "task_pairs": s.task.pairs,
        "evaluated": sum(n for _, n in asked),
        "injected": None if s.task.track != "oracle" else sum(pair.injected or 0 for pair in s.pairs),
        "assessed": assessment.trust,
        "reasons": list(assessment.reasons),
        "contamination": seen.state,
        "contamination_reason": seen.reason,
        "replaces": s.correction.replaces if s.correction else None,
        "correction": s.correction.reason if s.correction else None,
        "parameters": facts.parameters,
        "weights_bytes": facts.weights_bytes,
        "licence": facts.licence,
        "licence_class": facts.licence_class,
        "embedding_dim": facts.embedding_dim,
        "dtype": facts.dtype,
        "started": p.started,
        "seconds": p.seconds,
        "hardware": f"{p.gpu or p.cpu}, {p.cores} cores",
        "python": p.python,
        "clir_bench": p.clir_bench,
        "git_commit": p.git_commit,
        "packages": json.dumps(p.packages),
        "command": p.command,
        "submitter": s.submitter,
        "citation": s.citation,
        "notes": s.notes,
    }
    pairs = [
        {
            "query": pair.query,
            "document": pair.document,
            "measure": name,
            "n": stat.n,
            "sum": stat.sum,
            "sum_squares": stat.sum_squares,
            "own_sum": own.sum if (own := pair.own_language.get(name)) else None,
        }
        for pair in s.pairs
        for name, stat in pair.measures.items()
    ]
    bias = [
        {"query": b.query, "depth": b.depth, "gold": b.gold, "queries": b.queries, "document": document, "count": count}
        for b in s.bias
        for document, count in b.retrieved.items()
    ]
    timings = [{"stage": t.stage, "items": t.items, "seconds": t.seconds, "cpu_seconds": t.cpu_seconds} for t in s.timings]
    tables = {name: pa.Table.from_pylist(rows, schema=SCHEMAS[name]) for name, rows in (("pairs", pairs), ("bias", bias), ("timings", timings))}
    if ranks is None:
        return Extract(path, sha256, system, tables, asked, None, None, None)
    return Extract(
        path, sha256, system, tables, asked, np.minimum(ranks.rank, DEEPER).astype(np.uint8),
        None if (ranks.golds == 1).all() else ranks.golds, None if (ranks.grade == 1).all() else ranks.grade,
    )  # fmt: skip


@cache
def _contains(task: str) -> tuple[str, ...]:
    """What the task is made of."""
    known = known_task(task)
    return known.contains if known else ()
