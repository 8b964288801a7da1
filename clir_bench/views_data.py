"""What ``clir-bench data info`` shows: a table of all, or everything about one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from clir_bench.console import console
from clir_bench.sources import building, pairs, store
from clir_bench.sources.pairs import PairSet
from clir_bench.task import Task


def facts(thing: Task | PairSet, cache: Path) -> dict[str, Any]:
    """The definition, where it is or would be built, and the manifest of what is."""
    place = _place(thing, cache)
    manifest = store.read_manifest(place) if isinstance(thing, Task) else None
    return {
        **thing.model_dump(mode="json", by_alias=True, exclude_none=True),
        "built": str(place) if _is_built(thing, cache) else None,
        "manifest": manifest.model_dump(mode="json", by_alias=True) if manifest else None,
    }


def show_table(things: Sequence[Task | PairSet], cache: Path) -> None:
    """A line each: what it is, what it costs, whether it is there."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "what", "pairs", "download", "kept", "built", "licence"):
        table.add_column(column, justify="right" if column in ("pairs", "download", "kept") else "left")
    for thing in things:
        cost = thing.cost if isinstance(thing, Task) else None
        table.add_row(
            thing.name, "task" if isinstance(thing, Task) else f"{thing.level} pairs", str(thing.expect.pairs) if isinstance(thing, Task) else "-",
            _size(cost.download) if cost else "-" if not thing.files else "small", _size(cost.kept) if cost else "-",
            "yes" if _is_built(thing, cache) else "no", thing.licence,
        )  # fmt: skip
    console().print(table)


def show_details(things: Sequence[Task | PairSet], cache: Path) -> None:
    """Everything about each."""
    out = console()
    for thing in things:
        out.print(Text(f"{thing.name} version {thing.version}: {thing.title}", style="bold"))
        out.print(Text(thing.description.strip()))
        for name, value in _lines(thing, cache):
            out.print(Text(f"{name:>14}: ", style="dim") + Text(value), soft_wrap=True)
        if isinstance(thing, Task) and thing.choices:
            out.print(Text("What the paper leaves open or states twice differently, and what was chosen:", style="bold"))
            for choice in thing.choices:
                out.print(Text(f"  {choice.point}"), soft_wrap=True)
                out.print(Text(f"    -> {choice.choice}", style="dim"), soft_wrap=True)
        out.print()


def _lines(thing: Task | PairSet, cache: Path) -> list[tuple[str, str]]:
    place = _place(thing, cache)
    lines = [("languages", " ".join(thing.languages)), ("licence", thing.licence)]
    if thing.terms:
        lines.append(("terms", " ".join(thing.terms.split())))
    lines += [("contains", ", ".join(thing.contains)), ("homepage", thing.homepage or "-")]
    if isinstance(thing, Task):
        lines += [("cost", building.cost_of(thing)), ("tracks", ", ".join(thing.tracks)), ("documents", ", ".join(thing.documents))]
        lines.append(("variants", ", ".join(f"{thing.name}.{v}" for v in thing.variants) or "none"))
        manifest = store.read_manifest(place)
        if manifest:
            lines += [("built", f"{place}, {manifest.built}"), ("fingerprint", manifest.fingerprint)]
            lines += [("counts", ", ".join(f"{key} {n:,}" for key, n in manifest.counts.items())), *(("note", note) for note in manifest.notes)]
            lines += [("against paper", line) for line in manifest.paper]
            if manifest.leakage:
                lines.append(("leakage", ", ".join(f"{rule}: {n}" for rule, n in manifest.leakage.items())))
            return lines
    lines.append(("built", str(place) if _is_built(thing, cache) else f"no: clir-bench data build {thing.name}"))
    return lines


def _place(thing: Task | PairSet, cache: Path) -> Path:
    return building.place_of(thing, cache) if isinstance(thing, Task) else pairs.place_of(thing, cache)


def _is_built(thing: Task | PairSet, cache: Path) -> bool:
    return (isinstance(thing, Task) and thing.source == "sample") or (_place(thing, cache) / store.MANIFEST).is_file()


def _size(number: int) -> str:
    return f"{number / 1e9:.2f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"
