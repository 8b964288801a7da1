"""Builders of collections, one a data set, and the one door to them: ``open_task``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from clir_bench import resources
from clir_bench.collection import Collection
from clir_bench.errors import TaskError
from clir_bench.sources import building, folder, sample, store
from clir_bench.task import Task, disagreements, load_task, task_names

DATA_SETS = ("clirmatrix", "mmarco", "large_scale")
"""The paper's, 277 pairs: what is evaluated where no task is named."""


def open_task(name: str | Path) -> tuple[Task, Collection]:
    """The task and its collection.

    ``name`` is a task of ``tasks/`` (``large_scale``, ``large_scale.no-title``), a TOML file, a folder of documents, queries and judgements,
    ``hf://org/name@revision`` (a published collection) or ``mteb:BelebeleRetrieval`` (an mteb task as a shared pool). A folder that is called like a
    task is meant by ``./sample``. Raises TaskError for a definition, CollectionError for contents, and TaskError where the two disagree.
    """
    if str(name).startswith("mteb:"):
        from clir_bench.integrations.mteb_collections import mteb_collection

        return mteb_collection(str(name).removeprefix("mteb:"))
    if str(name).startswith("hf:"):
        from clir_bench.sources.hub import open_published

        return open_published(str(name))
    if str(name) not in task_names() and Path(name).is_dir():
        return folder.read(Path(name))
    task = load_task(name)
    collection = read(task)
    if wrong := disagreements(task, collection):
        raise TaskError.of(f"task {task.name} version {task.version}", wrong)
    return task, collection


def known_tasks(names: Iterable[str]) -> list[Task]:
    """Those of ``names`` that are tasks of ``tasks/`` or TOML files, so that they can be built. Raises TaskError for a name that is nothing."""
    found = []
    for name in names:
        if not (name.startswith(("mteb:", "hf:")) or (name not in task_names() and Path(name).is_dir())):
            found.append(load_task(name))
    return found


def read(task: Task) -> Collection:
    """The collection of a task of ``tasks/``. Raises CollectionError where it is not built."""
    if task.source == "sample":
        return sample.read()
    if task.source in building.BUILDERS:
        return building.read_built(task, resources.cache_dir())
    raise TaskError(f"task {task.name}: source {task.source!r} is a folder. Name the folder itself: --task path/to/folder")


def is_at_hand(task: Task) -> bool:
    """Whether the collection can be opened without a download."""
    return task.source == "sample" or (task.source in building.BUILDERS and building.is_built(task, resources.cache_dir()))


def open_english(task: Task) -> Mapping[str, str]:
    """The English text of every document, by id, that the collection itself carries. Raises TaskError where it has none."""
    found = store.read_english(building.place_of(task, resources.cache_dir())) if task.source in building.BUILDERS else None
    if found is None:
        raise TaskError(f"task {task.name}: its collection carries no English texts. Name a translator: --translator nllb (mmarco has its own).")
    return found
