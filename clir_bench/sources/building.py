"""From a task to its built collection: announce, ask for terms, build in resumable stages, keep, read again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from filelock import FileLock, Timeout

from clir_bench import resources
from clir_bench.collection import Collection, build_collection
from clir_bench.errors import CollectionError, DownloadError
from clir_bench.files import replacing
from clir_bench.sources import pairs, store
from clir_bench.sources.download import Downloads, announce_space, disk_error
from clir_bench.sources.hub import check_task, check_texts, fetch_published, read_published
from clir_bench.sources.pairs import PairSet
from clir_bench.sources.verifying import verify_collection
from clir_bench.sources.workshop import RATE, Built, Workshop, duration
from clir_bench.task import Task

BUILDERS = ("clirmatrix", "mmarco", "large_scale", "africlirmatrix", "neuclir")
"""Sources with a builder of that name in this package: ``build(task, workshop) -> Built``."""


@dataclass(frozen=True)
class Options:
    """How to build, which changes no byte of a collection. ``agree`` is asked with a task's terms, once, and answers whether they are accepted."""

    cache: Path = field(default_factory=resources.cache_dir)
    source_dir: Path | None = None
    train: bool = False
    cross_check: bool = False
    keep_work: bool = False
    published: str | None = None
    """``hf://org/name@revision``: taken in place of a build, or its hashes compared with one."""
    progress: bool = False
    say: Callable[[str], None] = field(default=lambda _: None)
    agree: Callable[[Task | PairSet], bool] = field(default=lambda _: False)


def place_of(task: Task, cache: Path) -> Path:
    """The folder of the task's built collection."""
    return cache / "collections" / task.name / task.recipe_hash


def is_built(task: Task, cache: Path) -> bool:
    """Whether the collection lies in the cache, finished."""
    return (place_of(task, cache) / store.MANIFEST).is_file()


def read_built(task: Task, cache: Path) -> Collection:
    """The built collection. Raises CollectionError with the way to build it where it is not there."""
    place = place_of(task, cache)
    manifest = store.read_manifest(place)
    if manifest is None:
        raise CollectionError(f"task {task.name} is not built: {cost_of(task)}. Build it: clir-bench data build {task.name}   (--task sample runs now)")
    return store.read_collection(place, manifest)


@contextmanager
def telling_of_the_disk(place: Path) -> Iterator[None]:
    """A full or unwritable disk, wherever a build meets it, as one DownloadError."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, Path(error.filename or place), None) from error


def build_task(task: Task, options: Options, rebuild: bool = False) -> Path:
    """Build what is missing; the collection's folder. A build that was interrupted goes on. Raises ClirBenchError."""
    with telling_of_the_disk(options.cache):
        return _build_task(task, options, rebuild)


def _build_task(task: Task, options: Options, rebuild: bool) -> Path:
    place = place_of(task, options.cache)
    manifest = None if rebuild else store.read_manifest(place)
    if manifest and (store.TRAINING_FILES[0] in manifest.files or not options.train):
        if options.published or options.cross_check:
            raise CollectionError(f"{task.name} is built, and --from and --cross-check belong to a build: add --rebuild")
        options.say(f"{task.name} is built: {place}")
        return place
    if task.source not in BUILDERS:
        raise CollectionError(f"task {task.name}: source {task.source!r} needs no build")
    published = fetch_published(options.published) if options.published else None
    if published:
        check_task(published, task)
    if published and published.has_texts:
        collection, english = read_published(published, task)
        store.install(place, published.manifest, collection, english)
        return place
    _accept_terms(task, options)
    work = _work_folder(task, options.cache)
    downloads = Downloads(work / "downloads", options.source_dir, options.progress, options.keep_work)
    if task.cost:
        options.say(f"{task.name}: {cost_of(task, options.train)}, up to {_size(task.cost.disk)} on disk meanwhile; licence: {task.licence}")
        _check_space(task, options, work)
    shop = Workshop(work, downloads, options.train, options.cross_check, options.progress, options.say)
    with _alone(work):
        built: Built = import_module(f"clir_bench.sources.{task.source}").build(task, shop)
        if published:
            check_texts(published, build_collection(built.documents, built.queries, built.judgements))
        manifest = store.write_collection(place, task, built, [record for _, record in sorted(downloads.records.items())])
    if not options.keep_work:
        shutil.rmtree(work, ignore_errors=True)
    for line in (*manifest.notes[:1], *manifest.paper):
        options.say(line)
    return place


def build_pair_set(found: PairSet, options: Options, rebuild: bool = False) -> Path:
    """Build a set of training pairs; its folder. Pairs that were not compared with a collection built since are built again."""
    with telling_of_the_disk(options.cache):
        return _build_pair_set(found, options, rebuild)


def _build_pair_set(found: PairSet, options: Options, rebuild: bool) -> Path:
    place = pairs.place_of(found, options.cache)
    before = None if rebuild else pairs.compared_with(found, options.cache)
    if before is not None and set(pairs.evaluated_in(options.cache)[1]) <= set(before):
        options.say(f"{found.name} is built: {place}")
        return place
    if before is not None:
        options.say(f"{found.name} is built again: it was not compared with what has been built since")
    options.say(f"{found.name}: {found.title}; licence: {found.licence}")
    _accept_terms(found, options)
    work = options.cache / "work" / f"{found.name}-{place.name}"
    with _alone(work):
        pairs.build_pairs(found, Downloads(work / "downloads", options.source_dir, options.progress), options.cache)
    if not options.keep_work:
        shutil.rmtree(work, ignore_errors=True)
    return place


def accept_terms(things: Iterable[Task | PairSet], options: Options) -> None:
    """Show the terms of all that is to be built and have them accepted, before anything is fetched. Raises CollectionError where they are not."""
    for thing in things:
        built = is_built(thing, options.cache) if isinstance(thing, Task) else pairs.compared_with(thing, options.cache) is not None
        if not built and not (options.published and isinstance(thing, Task)):
            with telling_of_the_disk(options.cache):
                _accept_terms(thing, options)


def announce(tasks: Sequence[Task], options: Options) -> list[Task]:
    """Those that are to be built, after saying what that costs and having their terms accepted; nothing large is fetched yet.

    Raises one DownloadError for all of them where their files cannot be had.
    """
    missing = [task for task in tasks if task.source in BUILDERS and not is_built(task, options.cache)]
    if not missing:
        return []
    options.say(f"{len(missing)} of {len(tasks)} data sets are to be built:")
    for task in missing:
        options.say(f"  {task.name}: {cost_of(task)}; licence: {task.licence}")
    sources = Downloads(options.cache, options.source_dir)
    absent = {task.name: cause for task in missing if (cause := sources.reach(f for f in task.files if not f.train))}
    if absent:
        raise DownloadError(
            "\n".join(
                [
                    f"{len(absent)} of {len(tasks)} data sets are not built, and their files cannot be had:",
                    *(f"  {task.name} ({cost_of(task)}): {absent[task.name]}" for task in missing if task.name in absent),
                    "Give files that you have by --source-dir DIR, or a published collection by --task hf://org/name@revision.",
                    "Without any of them: --task sample runs now.",
                ]
            )
        )
    accept_terms(missing, options)
    return missing


def verify_task(task: Task, options: Options) -> tuple[list[str], list[str]]:
    """(problems, what was checked) of the built collection."""
    return verify_collection(place_of(task, options.cache), task, Downloads(options.cache, options.source_dir))


def _accept_terms(task: Task | PairSet, options: Options) -> None:
    """Show terms and have them accepted, once for each wording. Raises CollectionError where they are not."""
    if task.terms is None or _accepted(options.cache).get(task.source) == _wording(task.terms):
        return
    if not options.agree(task):
        raise CollectionError(f"{task.name}: its terms were not accepted, so nothing was fetched.\n{task.terms.strip()}\nTo accept them: --accept-terms")
    accepted = {**_accepted(options.cache), task.source: _wording(task.terms), f"{task.source} accepted": datetime.now(UTC).strftime("%Y-%m-%d")}
    options.cache.mkdir(parents=True, exist_ok=True)
    with replacing(options.cache / "terms.json") as out:
        out.write(json.dumps(accepted, indent=1).encode())


def _check_space(task: Task, options: Options, work: Path) -> None:
    """Refuse a build that the disk cannot hold. What an earlier try has fetched lies there already, and files at hand need none."""
    if task.cost is None:
        return
    sources = Downloads(work / "downloads", options.source_dir)
    at_hand = options.source_dir is not None and all(sources.local(f) for f in task.files if not f.train or options.train)
    needed = task.cost.kept if at_hand else task.cost.disk + (task.cost.train_download if options.train else 0)
    announce_space(work, needed - sum(path.stat().st_size for path in work.rglob("*") if path.is_file()))


def _accepted(cache: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads((cache / "terms.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _wording(terms: str) -> str:
    return hashlib.sha256(" ".join(terms.split()).encode()).hexdigest()


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Refuse a second build of the same files at the same time: two would write into one download."""
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / ".lock", timeout=0):
            yield
    except Timeout:
        raise CollectionError(f"{work}: another build of these files is running. Wait for it, or stop it.") from None


def _work_folder(task: Task, cache: Path) -> Path:
    """Shared by what reads the same files in the same order: variants that only choose differently find each other's stages."""
    facts = task.model_dump(mode="json", include={"source", "languages", "query_languages", "pairs", "files"})
    facts["recipe"] = task.recipe.model_dump(mode="json", exclude={"split", "gold", "query_text"})
    return cache / "work" / f"{task.source}-{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]}"


def cost_of(task: Task, train: bool = False) -> str:
    """What a build downloads, how long that takes, and what is kept, in words."""
    if task.cost is None:
        return "its size is not known"
    size = task.cost.download + (task.cost.train_download if train else 0)
    about = "about " if task.cost.estimated else ""
    return f"{about}{_size(size)} to download, {duration(size / RATE)} at {RATE / 1e6:.0f} MB/s, {_size(task.cost.kept)} kept"


def _size(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"
