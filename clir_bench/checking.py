"""What ``clir-bench check`` does: every problem of every task and submission, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from clir_bench import resources
from clir_bench.errors import ClirBenchError, SubmissionError, TaskError
from clir_bench.sources import sample
from clir_bench.sources.pairs import load_pair_set
from clir_bench.submission import disagreements, path_of, read_submission
from clir_bench.task import disagreements as task_disagreements
from clir_bench.task import known_task, load_task


def find_files(paths: Sequence[str]) -> list[Path]:
    """The task and submission files under the given paths; without any, those of ``tasks/`` and of ``./submissions``."""
    roots = [Path(p) for p in paths] or [resources.folder("tasks"), Path("submissions")]
    found: list[Path] = []
    for root in roots:
        if root.is_file():
            found.append(root)
        elif root.is_dir():
            found += sorted(f for f in root.rglob("*") if f.suffix in (".toml", ".json") and not f.name.startswith("."))
        elif paths:
            raise ClirBenchError(f"{root}: no such file or folder")
    return found


def check_files(paths: Sequence[Path]) -> Iterator[tuple[Path, str | None]]:
    """(file, its problems as one text, or None if it holds) for each file."""
    for path in paths:
        try:
            if path.suffix == ".toml" and path.parent.name == "training":
                load_pair_set(path)
            elif path.suffix == ".toml":
                _check_task(path)
            elif path.suffix == ".json":
                _check_submission(path)
            else:
                raise ClirBenchError(f"{path}: neither a task (.toml) nor a submission (.json)")
        except ClirBenchError as error:
            yield path, str(error)
        else:
            yield path, None


def _check_task(path: Path) -> None:
    task = load_task(path)
    if task.source == "sample" and (wrong := task_disagreements(task, sample.read())):
        raise TaskError.of(str(path), wrong)


def _check_submission(path: Path) -> None:
    submission = read_submission(path)
    problems = disagreements(submission)
    canonical = path_of(submission)
    if "submissions" in path.resolve().parts and not path.resolve().as_posix().endswith(canonical.as_posix()):
        problems.append(f"its place is submissions/{canonical}. Move it there.")
    record, claimed = submission.task, submission.gold_ranks is None  # what a claim does not know it need not say
    if task := known_task(record.name):
        if record.version == task.version:
            facts = [
                ("fingerprint", record.fingerprint, task.expect.fingerprint),
                ("documents", record.documents, task.expect.documents),
                ("pairs", record.pairs, task.expect.pairs),
                ("depth", record.depth, task.depth),
            ]
            problems += [
                f"task.{key}: {stated}, but tasks/{task.name}.toml says {right}"
                for key, stated, right in facts
                if right is not None and stated != right and not (stated is None and claimed)
            ]
            if record.track not in task.tracks:
                problems.append(f"task.track: {record.track}, but tasks/{task.name}.toml has {', '.join(task.tracks)}")
            known = set(task.language_pairs())
            problems += [f"pairs: {p.pair} is no pair of the task" for p in submission.pairs if p.pair not in known]
        elif record.version > task.version:
            problems.append(f"task.version: {record.version}, but tasks/{task.name}.toml is version {task.version}")
    if problems:
        raise SubmissionError.of(str(path), problems)
