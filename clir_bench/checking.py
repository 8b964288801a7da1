"""What ``clir-bench check`` does: every problem of every task, submission, event log and file of claims, without torch."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path

from clir_bench import resources
from clir_bench.claims import FOLDER as CLAIMS
from clir_bench.claims import read_claims
from clir_bench.errors import ClirBenchError, SubmissionError, TaskError
from clir_bench.evaluate import signature
from clir_bench.events import LOG, changed, content_problems, read_events, sha256_of
from clir_bench.layout import FOLDER as LAYOUTS
from clir_bench.records import ExternalStage, ModelReference, RerankStage, moves
from clir_bench.sources import sample
from clir_bench.sources.pairs import load_pair_set
from clir_bench.submission import Submission, disagreements, path_of, read_submission
from clir_bench.task import disagreements as task_disagreements
from clir_bench.task import known_task, load_task

_LEAST_BYTES, _MOST_BYTES, _OVERHEAD = 0.1, 64, 1_000_000
"""Of a parameter: ternary and one-bit weights take 0.125 and more, a training folder holds float32 weights many times. Names and headers come on top."""


def find_files(paths: Sequence[str]) -> list[Path]:
    """The task and submission files and event logs under the given paths; without any, those of ``tasks/`` and of ``./submissions``."""
    roots = [Path(p) for p in paths] or [resources.folder("tasks"), Path("submissions")]
    found: list[Path] = []
    for root in roots:
        if root.is_file():
            found.append(root)
        elif root.is_dir():
            found += sorted(f for f in root.rglob("*") if _is_ours(f))
        elif paths:
            raise ClirBenchError(f"{root}: no such file or folder")
    return found


def check_files(paths: Sequence[Path]) -> Iterator[tuple[Path, str | None]]:
    """(file, its problems as one text, or None if it holds) for each file."""
    for path in paths:
        try:
            if path.suffix != ".toml":
                _refuse_links(path)
            if path.suffix == ".toml" and path.parent.name == "training":
                load_pair_set(path)
            elif path.suffix == ".toml":
                _check_task(path)
            elif path.suffix == ".json" and _is_claims(path):
                read_claims(path)
            elif path.suffix == ".json":
                _check_submission(path)
            elif path.name == LOG:
                _check_log(path)
            else:
                raise ClirBenchError(f"{path}: neither a task (.toml) nor a submission (.json) nor a log ({LOG})")
        except ClirBenchError as error:
            yield path, str(error)
        else:
            yield path, None


def _is_ours(path: Path) -> bool:
    """A link to a folder is named, too: nothing descends into it, so what it holds would be neither seen nor missed."""
    return not path.name.startswith(".") and (path.suffix in (".toml", ".json") or path.name == LOG or (path.is_symlink() and path.is_dir()))


def _home_of(place: Path) -> Path | None:
    """The folder of submissions that a file is in: the nearest that is called so, or that holds what only such a folder does."""
    signs = (LOG, f"{CLAIMS}/*.json", f"{LAYOUTS}/*.parquet", "*__*/*/*.json")
    return next((folder for folder in place.parents if folder.name == "submissions" or any(any(folder.glob(sign)) for sign in signs)), None)


def _is_claims(path: Path) -> bool:
    """By its place in a folder of submissions; elsewhere by what it says first."""
    place = path.resolve()
    if home := _home_of(place):
        return place.parent == home / CLAIMS
    return re.match(rb'\s*\{\s*"schema"\s*:\s*"clir-bench/claims/', path.read_bytes()) is not None if path.is_file() else False


def _refuse_links(path: Path) -> None:
    """Raise SubmissionError for a link: what it names is on one machine only, or lies outside."""
    place = path.absolute()
    home = _home_of(place)
    below = [each for each in (place, *place.parents) if home is None or home in each.parents]
    if link := next((p for p in below if p.is_symlink()), None):
        raise SubmissionError(f"{path}: {link.name} is a symbolic link. Put the file itself there.")


def _check_log(path: Path) -> None:
    if problems := [*_cut(path), *content_problems(read_events(path), path.parent)]:
        raise SubmissionError.of(str(path), problems)


def _cut(log: Path) -> Iterator[str]:
    """Whether lines that git has in HEAD are not there any more: of a chain that merely ends early nothing else tells."""
    try:
        asked = subprocess.run(["git", "-C", str(log.parent), "show", f"HEAD:./{log.name}"], capture_output=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return
    if not (there := log.read_bytes()).startswith(asked.stdout):
        committed, kept = asked.stdout.splitlines(), there.splitlines()
        same = next((i for i, (a, b) in enumerate(zip(committed, kept, strict=False)) if a != b), min(len(committed), len(kept)))
        yield f"from line {same + 1} on it is not what git has ({len(committed)} lines): a log is only appended to. git checkout HEAD -- {log}"


def _check_task(path: Path) -> None:
    task = load_task(path)
    if task.source == "sample" and (wrong := task_disagreements(task, sample.read())):
        raise TaskError.of(str(path), wrong)


def _check_submission(path: Path) -> None:
    submission = read_submission(path)
    problems = submission_problems(submission)
    place, canonical = path.resolve(), path_of(submission)
    home = place.parents[2] if place.as_posix().endswith(f"/{canonical.as_posix()}") else _home_of(place)
    if home and place != home / canonical:
        problems.append(f"its place is {home.name}/{canonical}. Move it there.")
    elif home:
        problems += _history_problems(submission, place, home / LOG, canonical.as_posix())
    if problems:
        raise SubmissionError.of(str(path), problems)


def submission_problems(submission: Submission) -> list[str]:
    """Where a submission differs from its own gold ranks and from its task, and what it says that cannot be."""
    problems = [*disagreements(submission), *_contradictions(submission)]
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
                if right is not None and stated != right and not (stated is None and (claimed or key == "fingerprint"))
            ]
            if record.track not in task.tracks:
                problems.append(f"task.track: {record.track}, but tasks/{task.name}.toml has {', '.join(task.tracks)}")
            known = set(task.language_pairs())
            problems += [f"pairs: {p.pair} is no pair of the task" for p in submission.pairs if p.pair not in known]
        elif record.version > task.version:
            problems.append(f"task.version: {record.version}, but tasks/{task.name}.toml is version {task.version}")
    return problems


def correction_problems(submission: Submission, path: Path, others: Iterable[Path]) -> Iterator[str]:
    """Why the correction at ``path`` cannot stand in place of one of the files beside it, if it is one."""
    if submission.correction is None:
        return
    replaces = submission.correction.replaces
    beside = [other for other in sorted(others) if other != path]
    replaced = next((other for other in beside if sha256_of(other.read_bytes()) == replaces), None)
    if replaced is None:
        yield f"correction.replaces: {replaces[:19]}..., but no file beside it has that content"
        return
    yield from _differences(submission, read_submission(replaced), replaced)
    for other in beside:
        if _corrected_by(other) == replaces:
            yield f"{replaced} was corrected before, by {other.name}. Correct that one."


def _differences(correction: Submission, old: Submission, where: Path) -> Iterator[str]:
    """Where a correction is of another system or task than what it corrects, the file at ``where``."""
    both = [
        {"system.name": s.system.name, "system.variant": s.system.variant, "task": f"{s.task.name} v{s.task.version} ({s.task.track})"}
        for s in (correction, old)
    ]
    for what, ours in both[0].items():
        if ours != both[1][what]:
            yield f"{what}: {ours}, but {where} has {both[1][what]}. A correction is of the same system, task and track."


def _corrected_by(path: Path) -> str | None:
    """The hash that the submission in a file replaces; None for any other file."""
    try:
        correction = read_submission(path).correction
    except SubmissionError:
        return None
    return correction.replaces if correction else None


def _contradictions(submission: Submission) -> Iterator[str]:
    """What does not go together, though each value is possible by itself. Files that are there stay readable, so this is no part of the schema."""
    task, started, chain = submission.task, submission.provenance.started, submission.system.stages
    latest = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    if started > latest:
        yield f"provenance.started: {started}, but that is later than tomorrow. Set the clock of the machine, and evaluate again."
    if task.fingerprint is None and submission.gold_ranks:
        yield "task.fingerprint: null, but gold ranks are those of one collection. Evaluate again: the fingerprint is written with them."
    spelled = task.name.replace(":", "_")
    if spelled != task.name and known_task(spelled):
        yield f"task.name: {task.name}, which is filed as {spelled}, but that is another task. Name it so if it is that task, or else otherwise."
    reranks = any(isinstance(stage, RerankStage) for stage in chain)
    if reranks == (task.track == "retrieval") and not any(isinstance(stage, ExternalStage) for stage in chain):
        there = "has a re-ranker" if reranks else "has no re-ranker"
        yield f"task.track: {task.track}, but the chain {there} (system.stages). Tracks rerank and oracle are of systems that re-rank, retrieval is of others."
    for number, stage in enumerate(chain):
        if model := getattr(stage, "model", None):
            yield from (f"system.stages[{number}].model.{problem}" for problem in _model_problems(model))
    stated, given = (text.split(" | ") for text in (submission.system.signature, signature(chain)))
    if stated != given:
        ours, theirs = next((a, b) for a, b in zip_longest(stated, given, fillvalue="") if a != b)
        yield f"system.signature: {ours!r} stands where the chain gives {theirs!r} (system.stages). Leave both as evaluate writes them."


def _model_problems(model: ModelReference) -> Iterator[str]:
    """A revision that names nothing in particular, and sizes that no weights have."""
    if moves(model.revision):
        yield f"revision: {model.revision!r} is a branch, where another model may stand tomorrow. Name its commit: evaluate --revision COMMIT."
    parameters, weights = model.parameters, model.weights_bytes
    if parameters and weights and not _LEAST_BYTES * parameters <= weights <= _MOST_BYTES * parameters + _OVERHEAD:
        yield (
            f"weights_bytes: {weights:,}, but parameters: {parameters:,}, which is {weights / parameters:.3g} bytes each; weights have {_LEAST_BYTES} to"
            f" {_MOST_BYTES}. Correct the wrong one, or write null for what is not known."
        )


def _history_problems(submission: Submission, path: Path, log: Path, canonical: str) -> Iterator[str]:
    """A submission that was accepted with other content, or corrects what is not there."""
    try:
        accepted = _accepted(log, log.stat().st_mtime_ns if log.exists() else 0)
    except SubmissionError:
        yield f"its event log does not hold: clir-bench check {log}"
        return
    found = sha256_of(path.read_bytes())
    if accepted.get(canonical, found) != found:
        yield changed(canonical, accepted[canonical], found)
    yield from correction_problems(submission, path, path.parent.glob("*.json"))


@lru_cache(maxsize=4)
def _accepted(log: Path, _changed: int) -> dict[str, str]:
    """The hash of each accepted submission; kept, since every file of a folder asks."""
    return {event.path: event.sha256 for event in read_events(log) if event.event == "accepted"}
