"""``clir-bench data``: build, describe, verify and publish collections and training pairs. Verbs, no logic."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from clir_bench.console import on_stderr, silent

if TYPE_CHECKING:
    from clir_bench.sources.building import Options
    from clir_bench.sources.pairs import PairSet
    from clir_bench.task import Task

Add = Callable[[str, Callable[[argparse.Namespace], int], str, str], argparse.ArgumentParser]


def add_verbs(add: Add) -> None:
    """Add the verbs below ``data``; ``add`` takes name, function, text and example."""
    p = add("build", _build, "build collections and training pairs: what is missing is downloaded", "clir-bench data build clirmatrix --train")
    p.add_argument("names", nargs="*", metavar="NAME", help="tasks or sets of training pairs (default: clirmatrix mmarco large_scale)")
    p.add_argument("--variant", help="of the task: no-title, title-only, seed-43 ... (data info NAME lists them)")
    p.add_argument("--train", action="store_true", help="training data too, without a leak from what is evaluated")
    p.add_argument("--from", dest="published", metavar="hf://ORG/NAME@REVISION", help="take a published collection, or compare with its hashes")
    p.add_argument("--cross-check", action="store_true", help="mmarco: compare every passage with the parquet mirror")
    p.add_argument("--rebuild", action="store_true", help="build again what is there")
    p.add_argument("--keep-work", action="store_true", help="keep downloads and finished stages, for variants or training data later")
    add_source_options(p)

    p = add("info", _info, "what there is, what it costs, what is built", "clir-bench data info mmarco")
    p.add_argument("names", nargs="*", metavar="NAME", help="tasks or sets of training pairs (default: all, a line each)")
    p.add_argument("--cache-dir", help="where collections are kept (default: $CLIR_BENCH_CACHE or ~/.cache/clir_bench)")

    p = add("verify", _verify, "recompute everything a built collection's manifest says", "clir-bench data verify clirmatrix")
    p.add_argument("names", nargs="+", metavar="NAME", help="built tasks or sets of training pairs")
    p.add_argument("--source-dir", help="files that were downloaded before: their checksums are compared, too")
    p.add_argument("--cache-dir", help="where collections are kept (default: $CLIR_BENCH_CACHE or ~/.cache/clir_bench)")

    p = add("publish", _publish, "write a built collection as a folder ready for the hub", "clir-bench data publish clirmatrix --output out/clirmatrix")
    p.add_argument("name", metavar="NAME", help="a built task")
    p.add_argument("--output", required=True, help="folder to write")
    p.add_argument("--cache-dir", help="where collections are kept (default: $CLIR_BENCH_CACHE or ~/.cache/clir_bench)")


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Where files come from, and whether terms are accepted; also ``evaluate``'s."""
    parser.add_argument("--source-dir", metavar="DIR", help="folder with files that were downloaded before (same checksums)")
    parser.add_argument("--accept-terms", action="store_true", help="accept the terms of texts that have some (they are shown)")
    parser.add_argument("--cache-dir", help="where collections and embeddings are kept (default: $CLIR_BENCH_CACHE or ~/.cache/clir_bench)")


def options_of(o: argparse.Namespace) -> Options:
    """The build options of a command line."""
    from clir_bench import resources
    from clir_bench.sources.building import Options

    def agree(thing: Task | PairSet) -> bool:
        on_stderr(f"{thing.name}: {thing.licence}\n{(thing.terms or '').strip()}")
        if o.accept_terms or not sys.stdin.isatty():
            return bool(o.accept_terms)
        print("Accept these terms? Type yes: ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() == "yes"

    return Options(
        cache=Path(o.cache_dir) if o.cache_dir else resources.cache_dir(),
        source_dir=_folder(o.source_dir),
        train=getattr(o, "train", False),
        cross_check=getattr(o, "cross_check", False),
        keep_work=getattr(o, "keep_work", False),
        published=getattr(o, "published", None),
        progress=not o.quiet,
        say=silent if o.quiet else on_stderr,
        agree=agree,
    )


def _folder(text: str | None) -> Path | None:
    from clir_bench.errors import DownloadError

    if text and not Path(text).is_dir():
        raise DownloadError(f"--source-dir {text}: no such folder")
    return Path(text) if text else None


def _build(o: argparse.Namespace) -> int:
    from clir_bench.sources import DATA_SETS, building, pairs
    from clir_bench.task import load_task

    options, sets = options_of(o), pairs.pair_set_names()
    tasks = [load_task(name) for name in o.names or DATA_SETS if name not in sets]
    things = [pairs.load_pair_set(name) for name in o.names if name in sets] + [task.variant(o.variant) if o.variant else task for task in tasks]
    building.accept_terms(things, options)  # names and terms are settled before the first byte
    things.sort(key=lambda thing: isinstance(thing, pairs.PairSet))  # pairs are compared with the tasks
    places = [
        building.build_pair_set(thing, options, o.rebuild) if isinstance(thing, pairs.PairSet) else building.build_task(thing, options, o.rebuild)
        for thing in things
    ]
    if o.json:
        print(json.dumps([str(place) for place in places]))
        return 0
    for place in places:
        print(f"built {place}")
    if not o.quiet:
        print(f"next: clir-bench data verify {' '.join(thing.name for thing in things)}" if o.names else "next: clir-bench evaluate --model MODEL")
    return 0


def _info(o: argparse.Namespace) -> int:
    from clir_bench import resources, views_data
    from clir_bench.sources import pairs
    from clir_bench.task import load_task, task_names

    cache = Path(o.cache_dir) if o.cache_dir else resources.cache_dir()
    names = o.names or [*task_names(), *pairs.pair_set_names()]
    things = [pairs.load_pair_set(name) if name in pairs.pair_set_names() else load_task(name) for name in names]
    if o.json:
        print(json.dumps([views_data.facts(thing, cache) for thing in things], indent=1, ensure_ascii=False))
    elif o.names:
        views_data.show_details(things, cache)
    else:
        views_data.show_table(things, cache)
    return 0


def _verify(o: argparse.Namespace) -> int:
    from clir_bench import resources
    from clir_bench.sources import building, pairs
    from clir_bench.task import load_task

    cache = Path(o.cache_dir) if o.cache_dir else resources.cache_dir()
    options = building.Options(cache=cache, source_dir=_folder(o.source_dir))
    sets = pairs.pair_set_names()
    found = {name: pairs.verify_pairs(pairs.load_pair_set(name), cache) if name in sets else building.verify_task(load_task(name), options) for name in o.names}
    if o.json:
        print(json.dumps({name: {"problems": problems, "checked": checked} for name, (problems, checked) in found.items()}, indent=1, ensure_ascii=False))
    else:
        for name, (problems, checked) in found.items():
            for line in () if o.quiet else checked:
                print(f"{name}: {line}")
            for line in problems:
                print(f"{name}: {line}", file=sys.stderr)
            print(f"{name}: {len(problems)} problems" if problems else f"{name} holds")
    return 2 if any(problems for problems, _ in found.values()) else 0


def _publish(o: argparse.Namespace) -> int:
    from clir_bench import resources
    from clir_bench.sources.publishing import publish
    from clir_bench.task import load_task

    task = load_task(o.name)
    written = publish(task, Path(o.cache_dir) if o.cache_dir else resources.cache_dir(), Path(o.output))
    if o.json:
        print(json.dumps([str(path) for path in written]))
        return 0
    print(f"wrote {len(written)} files below {o.output}; nothing was sent anywhere")
    if not o.quiet:
        print(f"next: hf upload ORG/{o.name} {o.output} --repo-type dataset   then: clir-bench evaluate --task hf://ORG/{o.name}@REVISION")
    return 0
