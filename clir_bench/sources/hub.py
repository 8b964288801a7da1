"""Published collections: ``hf://org/name@revision`` opened, or installed in place of a build. Layout: see ``publishing``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from clir_bench.collection import Collection
from clir_bench.errors import CollectionError, DownloadError, TaskError
from clir_bench.sources import folder, store
from clir_bench.task import Task, disagreements, known_task

_ADDRESS = re.compile(r"^hf://([\w.-]+/[\w.-]+?)(?:@([\w./-]+))?$")
_PATTERNS = ["manifest.json", "corpus.parquet", "queries.parquet", "qrels.parquet", "corpus/*", "queries/*", "qrels/*", "english/*", "hashes/*"]


class Published(NamedTuple):
    """A snapshot of a published collection on disk, with its manifest where it has one."""

    address: str
    place: Path
    manifest: store.Manifest | None

    @property
    def has_texts(self) -> bool:
        """Whether the texts are there, or only their hashes."""
        return (self.place / "corpus" / "corpus.parquet").is_file()


def fetch_published(address: str) -> Published:
    """The snapshot behind ``hf://org/name@revision``. Raises DownloadError, or TaskError for an address of another form."""
    found = _ADDRESS.match(address)
    if found is None:
        raise TaskError(f"{address!r} is not of the form hf://org/name@revision")
    from huggingface_hub import snapshot_download

    try:
        place = Path(snapshot_download(found[1], repo_type="dataset", revision=found[2], allow_patterns=_PATTERNS))
    except Exception as error:  # the hub's client lets its HTTP library's errors through
        raise DownloadError(f"{address}: cannot be had: {str(error).splitlines()[0]}. Check name, revision and network.") from error
    return Published(address, place, store.read_manifest(place))


def open_published(address: str) -> tuple[Task, Collection]:
    """A published collection as a task: one of ours by its manifest, any other in the parquet layout of your own documents."""
    published = fetch_published(address)
    if published.manifest is None:
        return folder.read(published.place)
    task = _task_of(published)
    if not published.has_texts:
        raise CollectionError(f"{address} holds ids and hashes only, since its texts have terms. Build it: clir-bench data build {task.name} --from {address}")
    return task, _read(published, task)


def check_texts(published: Published, collection: Collection) -> None:
    """Raise CollectionError where texts that were built differ from the published hashes."""
    import hashlib

    from pyarrow import parquet

    problems = []
    for name, texts in (("corpus", collection.pool), ("queries", collection.queries)):
        table = parquet.read_table(published.place / "hashes" / f"{name}.parquet").to_pydict()
        known = dict(zip(table["_id"], table["sha256"], strict=True))
        ours = {key: hashlib.sha256(text.encode()).hexdigest() for key, text in zip(texts.ids, texts.texts, strict=True)}
        if set(ours) != set(known):
            problems.append(f"{name}: {len(set(ours) ^ set(known)):,} ids stand on one side only")
        different = sorted(key for key, value in ours.items() if known.get(key, value) != value)
        if different:
            problems.append(f"{name}: {len(different):,} texts differ, the first is {different[0]}")
    if problems:
        raise CollectionError.of(f"{published.address} and what was built here", problems)


def check_task(published: Published, task: Task) -> None:
    """Raise ClirBenchError where what was published is another task, or of another recipe."""
    found = _task_of(published)
    if found.recipe_hash != task.recipe_hash:
        raise CollectionError(f"{published.address} is {found.name}, not {task.name}")


def read_published(published: Published, task: Task) -> tuple[Collection, dict[str, str] | None]:
    """The published collection, checked against the task it is to stand for, and its English texts."""
    return _read(published, task), store.read_english(published.place / "english")


def _task_of(published: Published) -> Task:
    manifest = published.manifest
    if manifest is None:
        raise CollectionError(f"{published.address} has no manifest.json: it was not published by clir-bench data publish")
    task = known_task(manifest.task)
    if task is None:
        raise TaskError(f"{published.address} is of task {manifest.task!r}, which this release does not know")
    if (task.version, task.recipe_hash) != (manifest.version, manifest.recipe_hash):
        raise TaskError(
            f"{published.address} is {manifest.task} version {manifest.version} by recipe {manifest.recipe_hash}, "
            f"but here it is version {task.version} by {task.recipe_hash}. Name a revision that fits, or build it."
        )
    return task


def _read(published: Published, task: Task) -> Collection:
    if published.manifest is None:
        raise CollectionError(f"{published.address} has no manifest.json")
    collection = store.read_tables(
        published.place / "corpus" / "corpus.parquet",
        sorted((published.place / "queries").glob("*/test.parquet")),
        published.place / "qrels" / "test.parquet",
    )
    if collection.fingerprint != published.manifest.fingerprint:
        raise CollectionError(f"{published.address}: its tables give {collection.fingerprint}, but its manifest says {published.manifest.fingerprint}")
    if wrong := disagreements(task, collection):
        raise CollectionError.of(published.address, wrong)
    return collection
