"""clir-bench: benchmark, toolkit and leaderboard for cross-lingual information retrieval.

Importing this loads neither torch nor mteb; each name below is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clir_bench.assemble import Runtime as Runtime
    from clir_bench.evaluate import Evaluation as Evaluation
    from clir_bench.evaluate import evaluate as evaluate
    from clir_bench.integrations.beir import BeirSearch as BeirSearch
    from clir_bench.integrations.mteb import mteb_model as mteb_model
    from clir_bench.integrations.mteb import mteb_tasks as mteb_tasks
    from clir_bench.integrations.mteb import register_mteb as register_mteb
    from clir_bench.sources import open_task as open_task
    from clir_bench.submission import Submission as Submission
    from clir_bench.submission import read_submission as read_submission
    from clir_bench.system import System as System
    from clir_bench.task import Task as Task
    from clir_bench.task import load_task as load_task

_HOME = {
    "Runtime": "assemble",
    "Evaluation": "evaluate",
    "evaluate": "evaluate",
    "BeirSearch": "integrations.beir",
    "mteb_model": "integrations.mteb",
    "mteb_tasks": "integrations.mteb",
    "register_mteb": "integrations.mteb",
    "open_task": "sources",
    "Submission": "submission",
    "read_submission": "submission",
    "System": "system",
    "Task": "task",
    "load_task": "task",
}

__all__ = sorted(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'clir_bench' has no attribute {name!r}")
    return getattr(import_module(f"clir_bench.{_HOME[name]}"), name)
