"""Builders of collections, one a data set, and the one door to them: ``open_task``."""

from __future__ import annotations

from pathlib import Path

from clir_bench.collection import Collection
from clir_bench.errors import TaskError
from clir_bench.sources import folder, sample
from clir_bench.task import Task, disagreements, load_task, task_names


def open_task(name: str | Path) -> tuple[Task, Collection]:
    """The task and its collection, by a task's name, its TOML file, or a folder of documents, queries and judgements.

    A folder that is called like a task is meant by ``./sample``.

    Raises TaskError for a definition, CollectionError for contents, and TaskError where the two disagree.
    """
    if str(name) not in task_names() and Path(name).is_dir():
        return folder.read(Path(name))
    task = load_task(name)
    collection = build(task)
    if wrong := disagreements(task, collection):
        raise TaskError.of(f"task {task.name} version {task.version}", wrong)
    return task, collection


def build(task: Task) -> Collection:
    """The collection of a task of ``tasks/``."""
    if task.source != "sample":
        raise TaskError(f"task {task.name}: source {task.source!r} is a folder. Name the folder itself: --task path/to/folder")
    return sample.read()


def built(task: Task) -> bool:
    """Whether the collection is at hand without a download."""
    return task.source == "sample"
