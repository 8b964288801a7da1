"""Tables of the models that clir-bench knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clir_bench.contamination import Contamination, model_state
from clir_bench.models import ENCODERS, RERANKERS, KnownEncoder, KnownReranker
from clir_bench.records import ModelReference
from clir_bench.task import Task


def encoders() -> RenderableType:
    """The encoders, a line each, the longer words below."""
    table = _table(
        ("key", "model", "licence"), ("M params", "M without embeddings", "dim", "tokens"), ("pooling", "query prompt", "document prompt", "revision")
    )
    for row in ENCODERS:
        table.add_row(
            row.key, row.name, row.licence, f"{row.parameters:.0f}", f"{row.backbone:.0f}", str(row.dim), f"{row.max_tokens:,}", row.pooling,
            _prompt(row.query_prompt), _prompt(row.document_prompt), _revision(row.revision),
        )  # fmt: skip
    return Group(Text("Encoders: --model KEY, or the name. At most 512 tokens are read unless --max-tokens says more.", style="bold"), table)


def rerankers() -> RenderableType:
    """The re-rankers, a line each."""
    table = _table(("key", "model", "licence"), ("M params",), ("template", "revision", "note"))
    for row in RERANKERS:
        table.add_row(row.key, row.name, row.licence, f"{row.parameters:.0f}", row.template or "-", _revision(row.revision), Text(row.note))
    return Group(Text("Re-rankers: --rerank KEY, or the name; any cross-encoder of the hub or a folder works, too.", style="bold"), table)


def contamination(tasks: Sequence[Task]) -> RenderableType:
    """For each model and task, whether the model was trained on what the task is made of."""
    table = _table(("model", *(task.name for task in tasks), "note"), (), ())
    rows: list[KnownEncoder | KnownReranker] = [*ENCODERS, *RERANKERS]
    for row in rows:
        table.add_row(row.name, *(_state(row, task).state.replace("_", " ") for task in tasks), Text(row.note))
    told = "Was a model trained on what a task is made of? By its card or mteb's registry; clean is no proof, and undisclosed is not clean. --json: reasons."
    return Group(Text(told, style="bold"), table)


def as_records(tasks: Sequence[Task]) -> dict[str, list[dict[str, Any]]]:
    """The same as records."""

    def record(row: KnownEncoder | KnownReranker) -> dict[str, Any]:
        return {**row._asdict(), "contamination": {task.name: _state(row, task)._asdict() for task in tasks}}

    return {"encoders": [record(row) for row in ENCODERS], "rerankers": [record(row) for row in RERANKERS]}


def _state(row: KnownEncoder | KnownReranker, task: Task) -> Contamination:
    return model_state(ModelReference(name=row.name, revision=row.revision or "newest"), task.contains)


def _table(words: Sequence[str], numbers: Sequence[str], more: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in words:
        table.add_column(column, overflow="fold")
    for column in numbers:
        table.add_column(column, justify="right")
    for column in more:
        table.add_column(column, overflow="fold")
    return table


def _prompt(text: str) -> str:
    return text.replace("\n", "\\n") or "-"


def _revision(revision: str | None) -> str:
    return revision[:8] if revision else "newest"
