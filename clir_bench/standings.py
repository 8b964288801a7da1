"""Submissions to tidy frames (pandas, no torch)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from clir_bench.errors import SubmissionError
from clir_bench.measures import macro_mean
from clir_bench.submission import Submission, means, read_submission


def read_all(folder: Path) -> tuple[list[Submission], list[str]]:
    """Every submission below ``folder``, by path, and the problems of the files that are none."""
    found, problems = [], []
    for path in sorted(folder.rglob("*.json")):
        try:
            found.append(read_submission(path))
        except SubmissionError as error:
            problems.append(str(error))
    return found, problems


def pair_frame(submissions: Sequence[Submission]) -> pd.DataFrame:
    """One row a submission, pair and measure: task, version, track, system, variant, query, document, measure, n, mean, own_language (fractions)."""
    rows = [
        (s.task.name, s.task.version, s.task.track, s.system.name, s.system.variant, p.query, p.document, name, stat.n, stat.mean, own.mean if own else None)
        for s in submissions
        for p in s.pairs
        for name, stat in p.measures.items()
        for own in [p.own_language.get(name)]
    ]
    return pd.DataFrame(rows, columns=["task", "version", "track", "system", "variant", "query", "document", "measure", "n", "mean", "own_language"])


def overview_frame(submissions: Sequence[Submission]) -> pd.DataFrame:
    """One row a submission: macro means in percent, complete sets first, best first by the task's first measure at 10 or the first there is."""
    rows = []
    for s in submissions:
        pairs = [p.pair for p in s.pairs]
        names = [name for name in s.pairs[0].measures if all(name in p.measures for p in s.pairs)]
        row: dict[str, object] = {
            "system": s.system.name,
            "variant": s.system.variant,
            "track": s.task.track,
            "pairs": f"{len(pairs)} of {s.task.pairs}" if not s.complete else str(len(pairs)),
            "queries": sum(next(iter(p.measures.values())).n for p in s.pairs),
            "complete": s.complete,
            "trust": s.trust,
        }
        row |= {name: _percent(macro_mean(pairs, means(s, name))) for name in names}
        rows.append(row)
    frame = pd.DataFrame(rows)
    order = next((name for name in ("R@10", "nDCG@10") if name in frame), None)
    return frame.sort_values(["complete", order], ascending=False) if order else frame


def matrix_frame(submission: Submission, measure: str) -> pd.DataFrame:
    """Query languages down, document languages across, percent. Raises SubmissionError for a measure that is not there."""
    cells = {p.pair: p.measures[measure].mean for p in submission.pairs if measure in p.measures}
    if not cells:
        raise SubmissionError(f"{submission.system.name} has no {measure}")
    frame = pd.Series({tuple(pair): 100 * value for pair, value in cells.items()}).unstack()
    return pd.DataFrame(frame).round(1)


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 1)
