"""Write what is derived from the code and the task definitions: ``python docs/make_docs.py``. A test compares the files with it."""

import json
from collections.abc import Iterator
from pathlib import Path

from clir_bench.claims import Claims
from clir_bench.sources.building import BUILDERS, cost_of
from clir_bench.sources.leakage import RULES
from clir_bench.sources.pairs import load_pair_set, pair_set_names
from clir_bench.submission import Submission
from clir_bench.task import Task, load_task

FOLDER = Path(__file__).parent
BEGIN, END = "<!-- made by docs/make_docs.py -->", "<!-- end of what is made -->"


def schemas() -> Iterator[tuple[Path, str]]:
    """The published JSON schemas."""
    for name, model in (("submission", Submission), ("task", Task), ("claims", Claims)):
        yield FOLDER / f"{name}.schema.json", json.dumps(model.model_json_schema(by_alias=True), indent=1, ensure_ascii=False) + "\n"


def datasets() -> tuple[Path, str]:
    """docs/datasets.md with its tables and the choices of every task."""
    path = FOLDER / "datasets.md"
    parts = path.read_text(encoding="utf-8").split(BEGIN)
    made = [_costs(), _pair_sets(), "\n".join(f"{n}. {rule}" for n, rule in RULES.items()), _choices()]
    text = parts[0]
    for block, rest in zip(made, parts[1:], strict=True):
        text += f"{BEGIN}\n{block}\n{END}{rest.split(END, 1)[1]}"
    return path, text


def _costs() -> str:
    rows = ["| task | pairs | languages of documents | cost | licence |", "|---|---|---|---|---|"]
    for name in BUILDERS:
        task = load_task(name)
        rows.append(f"| {name} | {task.expect.pairs} | {len(task.languages)} | {cost_of(task)} | {task.licence} |")
    return "\n".join(rows)


def _pair_sets() -> str:
    rows = ["| set | level | languages | licence |", "|---|---|---|---|"]
    for name in pair_set_names():
        found = load_pair_set(name)
        rows.append(f"| {name} | {found.level} | {len(found.languages)} | {found.licence} |")
    return "\n".join(rows)


def _choices() -> str:
    blocks = []
    for name in BUILDERS:
        rows = [f"**{name}**", "", "| open or stated twice | choice |", "|---|---|"]
        rows += [f"| {choice.point} | {choice.choice} |" for choice in load_task(name).choices]
        blocks.append("\n".join(rows))
    return "\n\n".join(blocks)


def everything() -> Iterator[tuple[Path, str]]:
    """(file, what it should hold)."""
    yield from schemas()
    yield datasets()


if __name__ == "__main__":
    for path, text in everything():
        path.write_text(text, encoding="utf-8")
