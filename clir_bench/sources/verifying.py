"""Everything a built collection's manifest says, recomputed."""

from __future__ import annotations

from pathlib import Path

from clir_bench.sources import store
from clir_bench.sources.download import Downloads, hash_file
from clir_bench.sources.leakage import leaks
from clir_bench.task import Task, disagreements


def verify_collection(place: Path, task: Task, downloads: Downloads) -> tuple[list[str], list[str]]:
    """(problems, what was checked): everything the manifest says, recomputed. Sources are checked where they lie at hand."""
    manifest = store.read_manifest(place)
    if manifest is None:
        return [f"{place}: no manifest: the collection is not built"], []
    problems, checked = [], []
    if manifest.recipe_hash != task.recipe_hash:
        problems.append(f"recipe: built by {manifest.recipe_hash}, but the task is now {task.recipe_hash}")
    for name, record in manifest.files.items():
        path = place / name
        if not path.is_file():
            problems.append(f"{name}: missing")
        elif (found := hash_file(path, "sha256")) != record.sha256:
            problems.append(f"{name}: sha256 is {found}, but the manifest says {record.sha256}")
        else:
            checked.append(f"{name}: {record.rows:,} rows, sha256 {record.sha256[:12]}")
    if problems:
        return problems, checked
    collection = store.read_collection(place, manifest)
    checked.append(f"fingerprint {collection.fingerprint}")
    problems += disagreements(task, collection)
    if tuple(store.against_paper(task, collection)) != manifest.paper:
        problems.append("the comparison with the paper's counts differs from the manifest's")
    english = store.read_english(place)
    if english is not None and (lacking := len(set(collection.pool.ids) - set(english))):
        problems.append(f"corpus_en.parquet: {lacking} documents have no English text")
    if (training := store.read_training(place)) is not None:
        texts = [*collection.pool.texts, *collection.queries.texts, *(english or {}).values()]
        examples = list(training.examples)
        problems += leaks(examples, document_ids=set(collection.pool.ids), evaluated_texts=texts)
        checked.append(f"{len(examples):,} training examples, rules 2 and 8")
    for source in manifest.sources:
        outcome = _verify_source(source, downloads)
        (problems if outcome.startswith("!") else checked).append(f"{source.name}: {outcome.removeprefix('!')}")
    return problems, checked


def _verify_source(source: store.SourceFile, downloads: Downloads) -> str:
    """What can be said of a source file today; a leading ``!`` marks a problem."""
    local = downloads.find(source.url)
    algorithm, _, value = source.checksum.partition(":")
    if local is None or algorithm not in ("md5", "sha256", "git"):
        return f"{source.checksum}, not at hand"
    found = hash_file(local, algorithm)
    return f"{algorithm} {value[:12]}, as recorded" if found == value else f"!{local} has {algorithm} {found}, but the collection was built from {value}"
