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

    from clir_bench.assemble import Runtime
    from clir_bench.collection import Collection, Pair
    from clir_bench.system import System
    from clir_bench.task import Task


def add_evaluate(add: Add) -> None:
    """Add the verb; ``add`` takes name, function, text and example."""
    p = add("evaluate", _evaluate, "evaluate a system on tasks and write submissions", "clir-bench evaluate --model nomic-ai/nomic-embed-text-v2-moe")
    p.add_argument("--model", help="hub name or key of `clir-bench models`, local folder, 'demo', 'bm25', mteb:NAME, http://HOST[#MODEL]")
    p.add_argument(
        "--task",
        action="append",
        metavar="TASK",
        help="task, TOML file, folder of your own documents, hf://org/name@revision or mteb:NAME; may be repeated (default: the paper's three data sets)",
    )
    p.add_argument("--documents", choices=("original", "english"), default="original", help="english: the collection's English texts, or a translator's")
    p.add_argument("--queries", choices=("original", "english"), default="original", help="english: queries are translated, too (the paper leaves this out)")
    p.add_argument(
        "--translator",
        metavar="KIND[:MODEL]",
        help="nllb, nllb-ct2, madlad, opus, libretranslate:URL, deepl, googletrans; KIND:FOLDER and KIND:hub/name@revision name a model",
    )
    p.add_argument("--translate-by", choices=("document", "sentences"), help="(default: document for nllb, as in the paper, else sentences)")
    p.add_argument("--translate-dtype", help="of the translator: float32, bfloat16, float16; nllb-ct2: int8 ... (default: float32, nllb-ct2: the fastest)")
    p.add_argument(
        "--untranslated", choices=("refuse", "original"), default="refuse", help="what stands for a text that failed: nothing runs, or the original (recorded)"
    )
    p.add_argument("--revision", help="commit of the model (default: that of clir-bench models, else the newest; it is recorded)")
    p.add_argument("--name", help="org/model: what a local folder is called in the submission")
    p.add_argument(
        "--protocol", choices=("native", "paper"), default="native", help="the model's own pooling and prompts, or mean pooling without prompts, 512 tokens"
    )
    p.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16", "auto"),
        default="float32",
        help="of the weights; pooling is always float32; auto: bfloat16 where the hardware has units for it",
    )
    p.add_argument("--max-tokens", type=int, help="length limit (default: the model's own, at most 512)")
    p.add_argument("--query-prompt", help="put before every query (default: the model's own)")
    p.add_argument("--document-prompt", help="put before every document (default: the model's own)")
    p.add_argument("--index", choices=("exact", "hnsw"), default="exact", help="of vectors; hnsw as in Appendix E (default: %(default)s)")
    p.add_argument("--library", choices=("hnswlib", "faiss", "usearch"), default="hnswlib", help="that builds the HNSW graph (default: %(default)s)")
    p.add_argument("--m", type=int, default=16, help="links a node of the graph (default: %(default)s)")
    p.add_argument("--ef-construction", type=int, default=200, help="candidates looked at when building (default: %(default)s)")
    p.add_argument("--ef", type=int, help="candidates looked at when searching (default: max(50, 2k))")
    p.add_argument(
        "--fuse", action="append", default=[], metavar="MODEL", help="join with this first stage by reciprocal rank: bm25, or a model; may be repeated"
    )
    p.add_argument("--rrf-k", type=int, default=60, help="of reciprocal rank fusion (default: %(default)s)")
    p.add_argument("--rerank", metavar="MODEL", help="cross-encoder over the first documents; without --model, over the task's BM25 candidates")
    p.add_argument("--rerank-revision", help="commit of the cross-encoder (default: the table's, else the newest)")
    p.add_argument("--rerank-depth", type=int, help="documents that are re-ranked (default: the task's, 100)")
    p.add_argument("--rerank-max-tokens", type=int, help="length limit of a pair (default: 512)")
    p.add_argument("--rerank-template", choices=("qwen3-reranker", "mxbai-rerank-v2"), help="how a causal model is asked (default: the table's)")
    p.add_argument(
        "--track", choices=("retrieval", "rerank", "oracle"), help="oracle: missing relevant documents are put among the candidates (default: by --rerank)"
    )
    p.add_argument("--tokenizer", choices=("whitespace", "multilingual"), help="of bm25 (default: multilingual; whitespace is the paper's)")
    p.add_argument("--k1", type=float, default=1.5, help="of bm25 (default: %(default)s, rank_bm25's)")
    p.add_argument("--b", type=float, default=0.75, help="of bm25 (default: %(default)s, rank_bm25's)")
    p.add_argument("--pairs", help="only these, query language first: en-es,ar-ru")
    p.add_argument("--languages", help="only pairs whose documents (and, without --query-languages, queries) are in these: en,es,ru")
    p.add_argument("--query-languages", help="only pairs whose queries are in these")
    add_device_options(p)
    add_source_options(p)
    p.add_argument("--no-cache", action="store_true", help="keep no embeddings")
    p.add_argument("--output", default="submissions", help="folder of submissions (default: %(default)s)")
    p.add_argument("--overwrite", action="store_true", help="replace an existing submission")
    p.add_argument("--save-run", metavar="FILE", help="also keep the ranking (.npz), for export --format trec or ranx; with one task")


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Where models run; also of the verbs that load one."""
    parser.add_argument("--devices", metavar="LIST", help="cpu, cuda, mps; cuda:0,cuda:1 share the work; cpu:2 is two processes (default: the best there is)")
    parser.add_argument("--batch-tokens", type=int, help="padded tokens a batch (default: 2048 on a CPU, 65536 on a GPU)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")


def runtime_of(o: argparse.Namespace) -> Runtime:
    """How the command line says that models run."""
    from clir_bench import resources
    from clir_bench.assemble import Runtime
    from clir_bench.errors import ModelError

    for option, value in (("--threads", o.threads), ("--batch-tokens", o.batch_tokens)):
        if value is not None and value < 1:
            raise ModelError(f"{option} is {value}, but must be at least 1")
    cache = None if getattr(o, "no_cache", False) else resources.cache_dir()
    devices: tuple[str, ...] = ()
    if o.devices:
        from clir_bench.parts.devices import parse_devices

        devices = parse_devices(o.devices)
    return Runtime(devices=devices, batch_tokens=o.batch_tokens, threads=o.threads, cache=cache, progress=not o.quiet)


class _Job(NamedTuple):
    """One task to evaluate by a system, and where its submission goes."""

    name: str
    task: Task
    collection: Collection
    system: System
    pairs: list[Pair] | None
    path: Path


def _evaluate(o: argparse.Namespace) -> int:
    from clir_bench import views
    from clir_bench.assemble import Assembled, build
    from clir_bench.english import english_texts, open_translator, refuse_english
    from clir_bench.errors import ModelError, TaskError
    from clir_bench.evaluate import evaluate, settle_track
    from clir_bench.layout import layout_of, write_layout
    from clir_bench.runs import save_run
    from clir_bench.sources import DATA_SETS, building, known_tasks
    from clir_bench.submission import to_json, write_submission

    if o.model is None and o.rerank is None:
        raise ModelError("no --model is named. clir-bench models lists some; --model demo and --model bm25 need no network.")
    if o.cache_dir:
        os.environ["CLIR_BENCH_CACHE"] = o.cache_dir
    names = list(dict.fromkeys(o.task or DATA_SETS))
    if len(names) > 1 and (o.save_run or o.json):
        raise TaskError("--save-run and --json take one task: name it by --task")
    if o.save_run and o.track == "oracle":
        raise TaskError("--save-run keeps a ranking, but the oracle track has a list for each pair")
    say, options, runtime = silent if o.quiet else on_stderr, options_of(o), runtime_of(o)
    known = known_tasks(names)
    missing = building.announce(known, options)
    jobs = None if missing else _plan(o, names, runtime)  # what is wrong with a folder is told before a model is loaded,
    loaded: dict[tuple[System, int], Assembled] = {}

    def assembled(system: System, depth: int) -> Assembled:
        if (system, depth) not in loaded:
            loaded[system, depth] = build(system, runtime, depth)
        return loaded[system, depth]

    for task in missing:  # and what is wrong with a model before hours of download
        system = _system(o, task, runtime)
        settle_track(task, system, o.track)
        refuse_english(task, system)
        assembled(system, task.depth)
    for task in missing:
        building.build_task(task, options)
    written, translator = [], None
    for job in jobs if jobs is not None else _plan(o, names, runtime):
        c, n = job.collection, len(job.pairs or job.collection.pairs)
        asked = c if job.pairs is None else c.restrict(job.pairs)
        say(f"task {job.task.name} v{job.task.version}: {len(c.pool):,} documents, {len(asked.queries):,} queries, {n} of {len(c.pairs)} pairs")
        ready = assembled(job.system, job.task.depth)
        translator = translator or open_translator(job.system, runtime)  # the same of all jobs, loaded once
        documents, queries = english_texts(job.task, asked, job.system, translator, runtime, say)
        command = shlex.join(["clir-bench", *sys.argv[1:]])
        result = evaluate(job.task, c, ready, track=o.track, pairs=job.pairs, documents=documents, queries=queries, command=command)
        write_submission(result.submission, job.path, overwrite=o.overwrite)
        write_layout(layout_of(job.task.name, job.task.version, c), Path(o.output))
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
            shown += [*([f"{views.task_label(s)}, {s.system.name}"] if len(written) > 1 else []), views.matrix(s, measure)]
        views.show(console(), *shown)
        print()
    for path, _ in written:
        print(f"wrote {path}")
    if not o.quiet:
        print(f"next: clir-bench show {' '.join(str(path) for path, _ in written)}")
    return 0


def _system(o: argparse.Namespace, task: Task, runtime: Runtime) -> System:
    """The system of the command line for a task. Where a re-ranker is named but no first stage, it is the task's own."""
    from clir_bench.assemble import resolve_dtype
    from clir_bench.system import System

    given = o.model is not None
    depth = o.rerank_depth
    if depth is None and o.rerank is not None:
        depth = task.rerank.oracle_rank if o.track == "oracle" else task.rerank.depth
    return System(
        model=o.model if given else task.rerank.first_stage, revision=o.revision, protocol=o.protocol, dtype=resolve_dtype(o.dtype, runtime),
        max_tokens=o.max_tokens, query_prompt=o.query_prompt, document_prompt=o.document_prompt, documents=o.documents, queries=o.queries,
        translator=o.translator, translate_by=o.translate_by, translate_dtype=o.translate_dtype, untranslated=o.untranslated, index=o.index, library=o.library, m=o.m, ef_construction=o.ef_construction, ef=o.ef,
        fuse=tuple(o.fuse), rrf_k=o.rrf_k, reranker=o.rerank, reranker_revision=o.rerank_revision, rerank_depth=depth,
        rerank_max_tokens=o.rerank_max_tokens, rerank_template=o.rerank_template, name=o.name,
        tokenizer=o.tokenizer or ("multilingual" if given else task.rerank.tokenizer), k1=o.k1, b=o.b,
    ).settled()  # fmt: skip


def _plan(o: argparse.Namespace, names: list[str], runtime: Runtime) -> list[_Job]:
    """What is left to do. Of several tasks, those whose submission is there are passed over, so that an interrupted command goes on."""
    from clir_bench.english import refuse_english
    from clir_bench.errors import TaskError
    from clir_bench.evaluate import settle_track
    from clir_bench.sources import open_task
    from clir_bench.submission import canonical_path, refuse_existing

    say, jobs, there = silent if o.quiet else on_stderr, [], []
    for name in names:
        task, collection = open_task(name)
        system = _system(o, task, runtime)
        track = settle_track(task, system, o.track)
        refuse_english(task, system)
        pairs = _chosen_pairs(o, task, collection, required=len(names) == 1)
        if pairs == []:
            say(f"task {task.name}: no such pair, passed over")
            continue
        whole = pairs is None or len(pairs) == len(collection.pairs)
        path = Path(o.output) / canonical_path(system.display_name, system.variant, task.name, task.version, track, None if whole else pairs)
        if path.exists() and not o.overwrite:
            there.append(path)
            say(f"{path} exists, passed over; --overwrite evaluates it again")
        else:
            jobs.append(_Job(name, task, collection, system, pairs, path))
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
