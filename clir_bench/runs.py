"""A saved run: the ranking of an evaluation with what is needed to read it, as one .npz file."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clir_bench.collection import Collection, FloatArray, Pair, Ranking
from clir_bench.errors import ClirBenchError, CollectionError
from clir_bench.evaluate import Evaluation
from clir_bench.files import replacing
from clir_bench.sources import open_task

_FORMAT = "clir-bench/run/1"


class Run(NamedTuple):
    """A ranking, the collection it is of, and the signature of the system that made it."""

    collection: Collection
    ranking: Ranking
    system: str
    signature: str


def save_run(path: Path, evaluation: Evaluation, task: str) -> None:
    """Write the ranking; ``task`` is what ``open_task`` takes. Written beside and renamed."""
    s = evaluation.submission
    header = {
        "format": _FORMAT,
        "task": task,
        "fingerprint": s.task.fingerprint,
        "pairs": [list(p.pair) for p in s.pairs],
        "system": s.system.name,
        "signature": s.system.signature,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as stream:
            np.savez_compressed(stream, header=np.array(json.dumps(header)), rows=evaluation.ranking.rows, scores=evaluation.ranking.scores)
    except OSError as error:
        raise ClirBenchError(f"{path} cannot be written: {error.strerror or error}") from error


def load_run(path: Path, task: str | None = None) -> Run:
    """Read a run and open its task (or ``task``). Raises CollectionError if the collection is no longer that of the run."""
    try:
        with np.load(path, allow_pickle=False) as content:
            header = json.loads(str(content["header"]))
            ranking = Ranking(content["rows"], content["scores"])
        if header["format"] != _FORMAT:
            raise ValueError(f"format {header['format']!r}, not {_FORMAT!r}")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ClirBenchError(f"{path}: not a saved run: {error}") from None
    _, collection = open_task(task or header["task"])
    if collection.fingerprint != header["fingerprint"]:
        raise CollectionError(f"{path}: the run is of {header['fingerprint']}, but the task {task or header['task']} is now {collection.fingerprint}")
    return Run(collection.restrict(Pair(*pair) for pair in header["pairs"]), ranking, header["system"], header["signature"])


def distinct_scores(ranking: Ranking) -> FloatArray:
    """The scores made strictly decreasing along each row by the smallest steps of float32, so that no other tool re-orders ties by its own rule."""
    scores = ranking.scores.copy()
    for k in range(1, scores.shape[1]):
        scores[:, k] = np.minimum(scores[:, k], np.nextafter(scores[:, k - 1], np.float32(-np.inf), dtype=np.float32))
    return scores
