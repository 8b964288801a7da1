"""``clir-bench evaluate``: one system on one or several tasks. Verbs, no logic."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clir_bench.cli_data import Add, add_source_options, options_of
from clir_bench.console import console, on_stderr, silent

if TYPE_CHECKING:
    from rich.console import RenderableType

    from clir_bench.collection import Collection, Pair
    from clir_bench.system import System
    from clir_bench.task import Task


def add_evaluate(add: Add) -> None:
    """Add the verb; ``add`` takes name, function, text and example."""
    p = add("evaluate", _evaluate, "evaluate a system on tasks and write submissions", "clir-bench evaluate --model nomic-ai/nomic-embed-text-v2-moe")
    p.add_argument("--model", required=True, help="hub name, local folder, 'demo' (the packaged MiniLM) or 'bm25'")
    p.add_argument(
        "--task",
        action="append",
        metavar="TASK",
        help="task, TOML file, folder of your own documents, hf://org/name@revision or mteb:NAME; may be repeated (default: the paper's three data sets)",
    )
    p.add_argument(
        "--documents", choices=("original", "english"), default="original", help="english: each document's English text, where the collection has it"
    )
    p.add_argument("--revision", help="commit of the model (default: the newest; it is recorded)")
    p.add_argument("--name", help="org/model: what a local folder is called in the submission")
    p.add_argument(
        "--protocol", choices=("native", "paper"), default="native", help="the model's own pooling and prompts, or mean pooling without prompts, 512 tokens"
    )
    p.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32", help="of the weights; pooling is always float32")
    p.add_argument("--max-tokens", type=int, help="length limit (default: the model's own, at most 512)")
    p.add_argument("--query-prompt", help="put before every query (default: the model's own)")
    p.add_argument("--document-prompt", help="put before every document (default: the model's own)")
    p.add_argument("--tokenizer", choices=("whitespace", "multilingual"), default="multilingual", help="of bm25; whitespace is the paper's")
    p.add_argument("--k1", type=float, default=1.5, help="of bm25 (default: %(default)s, rank_bm25's)")
    p.add_argument("--b", type=float, default=0.75, help="of bm25 (default: %(default)s, rank_bm25's)")
    p.add_argument("--pairs", help="only these, query language first: en-es,ar-ru")
    p.add_argument("--languages", help="only pairs whose documents (and, without --query-languages, queries) are in these: en,es,ru")
    p.add_argument("--query-languages", help="only pairs whose queries are in these")
    p.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: the best there is)")
    p.add_argument("--batch-tokens", type=int, help="padded tokens a batch (default: 2048 on a CPU, 65536 on a GPU)")
    p.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    add_source_options(p)
    p.add_argument("--no-cache", action="store_true", help="keep no embeddings")
    p.add_argument("--output", default="submissions", help="folder of submissions (default: %(default)s)")
    p.add_argument("--overwrite", action="store_true", help="replace an existing submission")
    p.add_argument("--save-run", metavar="FILE", help="also keep the ranking (.npz), for export --format trec or ranx; with one task")


class _Job(NamedTuple):
    """One task to evaluate, and where its submission goes."""

    name: str
    task: Task
    collection: Collection
    pairs: list[Pair] | None
    path: Path


def _evaluate(o: argparse.Namespace) -> int:
    from clir_bench import resources, views
    from clir_bench.assemble import Runtime, build
    from clir_bench.errors import TaskError
    from clir_bench.evaluate import evaluate
    from clir_bench.runs import save_run
    from clir_bench.sources import DATA_SETS, building, known_tasks, open_english
    from clir_bench.submission import to_json, write_submission
    from clir_bench.system import System

    system = System(
        model=o.model, revision=o.revision, protocol=o.protocol, dtype=o.dtype, max_tokens=o.max_tokens, query_prompt=o.query_prompt,
        document_prompt=o.document_prompt, documents=o.documents, name=o.name, tokenizer=o.tokenizer, k1=o.k1, b=o.b,
    )  # fmt: skip
    if o.cache_dir:
        os.environ["CLIR_BENCH_CACHE"] = o.cache_dir
    names = o.task or list(DATA_SETS)
    if len(names) > 1 and (o.save_run or o.json):
        raise TaskError("--save-run and --json take one task: name it by --task")
    say, options = silent if o.quiet else on_stderr, options_of(o)
    missing = building.announce(known_tasks(names), options)
    jobs = None if missing else _plan(o, names, system)  # what is wrong with a folder is told before a model is loaded,
    cache = None if o.no_cache else resources.cache_dir()
    assembled = build(system, Runtime(device=o.device, batch_tokens=o.batch_tokens, threads=o.threads, cache=cache, progress=not o.quiet))
    for task in missing:  # and what is wrong with a model before hours of download
        building.build_task(task, options)
    written = []
    for job in jobs if jobs is not None else _plan(o, names, system):
        c, n = job.collection, len(job.pairs or job.collection.pairs)
        queries = len(c.queries if job.pairs is None else c.restrict(job.pairs).queries)
        say(f"task {job.task.name} v{job.task.version}: {len(c.pool):,} documents, {queries:,} queries, {n} of {len(c.pairs)} pairs")
        english = open_english(job.task) if system.documents == "english" else None
        result = evaluate(job.task, c, assembled, pairs=job.pairs, english=english, command=shlex.join(["clir-bench", *sys.argv[1:]]))
        write_submission(result.submission, job.path, overwrite=o.overwrite)
        written.append((job.path, result.submission))
        if o.save_run:
            save_run(Path(o.save_run), result, job.name)
    if o.json:
        print(to_json(written[0][1]), end="")
        say(f"wrote {written[0][0]}")
        return 0
    if not o.quiet:
        shown: list[RenderableType] = [views.overview([s for _, s in written])]
        for _, s in written:
            measure = next(m for m in ("R@10", *s.pairs[0].measures) if m in s.pairs[0].measures)
            shown += [*([f"{s.task.name} v{s.task.version}, {s.system.name}"] if len(written) > 1 else []), views.matrix(s, measure)]
        views.show(console(), *shown)
        print()
    for path, _ in written:
        print(f"wrote {path}")
    if not o.quiet:
        print(f"next: clir-bench show {' '.join(str(path) for path, _ in written)}")
    return 0


def _plan(o: argparse.Namespace, names: list[str], system: System) -> list[_Job]:
    """What is left to do. Of several tasks, those whose submission is there are passed over, so that an interrupted command goes on."""
    from clir_bench.errors import TaskError
    from clir_bench.sources import open_task
    from clir_bench.submission import canonical_path, refuse_existing

    say, jobs, there = silent if o.quiet else on_stderr, [], []
    for name in names:
        task, collection = open_task(name)
        pairs = _chosen_pairs(o, task, collection, required=len(names) == 1)
        if pairs == []:
            say(f"task {task.name}: no such pair, passed over")
            continue
        whole = pairs is None or len(pairs) == len(collection.pairs)
        path = Path(o.output) / canonical_path(system.display_name, system.variant, task.name, task.version, whole)
        if path.exists() and not o.overwrite:
            there.append(path)
            say(f"{path} exists, passed over; --overwrite evaluates it again")
        else:
            jobs.append(_Job(name, task, collection, pairs, path))
    if not jobs and there:
        refuse_existing(there[0])
    if not jobs:
        raise TaskError("--pairs, --languages and --query-languages together leave no pair in any task")
    return jobs


def _chosen_pairs(o: argparse.Namespace, task: Task, collection: Collection, required: bool) -> list[Pair] | None:
    """The pairs that the options leave; None for all. With ``required``, a language or pair that the task does not have is an error."""
    from clir_bench.errors import TaskError
    from clir_bench.task import parse_pair

    queries, documents = tuple(sorted({p.query for p in collection.pairs})), tuple(sorted({p.document for p in collection.pairs}))

    def known(text: str | None, among: tuple[str, ...], option: str) -> set[str]:
        chosen = {code.strip() for code in text.split(",")} if text else set(among)
        if required and (wrong := sorted(chosen - set(among))):
            raise TaskError(f"{option}: {', '.join(wrong)} not in task {task.name}, whose languages are {', '.join(among)}")
        return chosen

    if not (o.pairs or o.languages or o.query_languages):
        return None
    in_documents = known(o.languages, documents, "--languages")
    in_queries = known(o.query_languages or o.languages, queries, "--query-languages" if o.query_languages else "--languages")
    named = set(collection.pairs) if not o.pairs else set()
    for text in o.pairs.split(",") if o.pairs else ():
        try:
            named.add(parse_pair(text.strip(), queries, documents))
        except ValueError as error:
            if required:
                raise TaskError(f"--pairs: {error}") from None
    chosen = [p for p in collection.pairs if p in named and p.query in in_queries and p.document in in_documents]
    if required and not chosen:
        raise TaskError("--pairs, --languages and --query-languages together leave no pair")
    return chosen
