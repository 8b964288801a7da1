"""``clir-bench latency``: exact and approximate search in raw milliseconds. Verbs, no logic."""

from __future__ import annotations

import argparse
import json
import os

from clir_bench.cli_data import Add, add_source_options, options_of
from clir_bench.console import console, on_stderr, silent


def add_latency(add: Add) -> None:
    """Add the verb; ``add`` takes name, function, text and example."""
    p = add("latency", _latency, "time exact and HNSW search: raw milliseconds, per pair", "clir-bench latency --model demo --task sample --index exact,hnsw")
    p.add_argument("--model", required=True, help="hub name, local folder or 'demo' (the packaged MiniLM)")
    p.add_argument("--task", required=True, help="task, TOML file, folder of your own documents, hf://org/name@revision or mteb:NAME")
    p.add_argument("--revision", help="commit of the model (default: the newest)")
    p.add_argument("--protocol", choices=("native", "paper"), default="native", help="the model's own pooling and prompts, or mean pooling without prompts")
    p.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32", help="of the weights; searching is float32")
    p.add_argument("--index", default="exact,hnsw", help="exact, hnsw or both (default: %(default)s)")
    p.add_argument(
        "--library", choices=("hnswlib", "faiss", "usearch"), default="hnswlib", help="that builds the HNSW graph (default: %(default)s, the paper's)"
    )
    p.add_argument("--m", type=int, default=16, help="links of a node (default: %(default)s, the paper's)")
    p.add_argument("--ef-construction", type=int, default=200, help="(default: %(default)s, the paper's)")
    p.add_argument("--ef", type=int, help="(default: the paper's max(50, 2 x depth))")
    p.add_argument("--depth", type=int, default=100, help="documents a query (default: %(default)s)")
    p.add_argument("--threads", type=int, default=1, help="of a search (default: %(default)s); encoding takes all cores")
    p.add_argument("--repeat", type=int, default=3, help="rounds (default: %(default)s)")
    p.add_argument("--limit-queries", type=int, metavar="N", help="only the first N queries of each pair")
    p.add_argument("--encode", action="store_true", help="time encoding one query at a time, too")
    p.add_argument("--normalised", action="store_true", help="below, the paper's min-max normalised form")
    p.add_argument("--device", help="of the encoder: cpu, cuda, mps (default: the best there is); searching is on the CPU")
    add_source_options(p)
    p.add_argument("--no-cache", action="store_true", help="keep no embeddings")


def _latency(o: argparse.Namespace) -> int:
    from clir_bench import resources, views
    from clir_bench.assemble import Runtime, build
    from clir_bench.errors import ModelError, TaskError
    from clir_bench.latency import make_indexes, measure_collection
    from clir_bench.retrieval import Dense
    from clir_bench.sources import building, known_tasks, open_task
    from clir_bench.system import System
    from clir_bench.views_latency import latency

    for option, value in (("--depth", o.depth), ("--threads", o.threads), ("--repeat", o.repeat), ("--limit-queries", o.limit_queries)):
        if value is not None and value < 1:
            raise TaskError(f"{option} is {value}, but must be at least 1")
    names = list(dict.fromkeys(name.strip() for name in o.index.split(",")))
    if wrong := [name for name in names if name not in ("exact", "hnsw")]:
        raise ModelError(f"--index: no index {wrong[0]!r}: there are exact, hnsw")
    system = System(model=o.model, revision=o.revision, protocol=o.protocol, dtype=o.dtype)
    if system.lexical:
        raise ModelError("--model bm25 has no vectors, and latency compares indexes of vectors. Name an encoder, such as --model demo")
    if o.cache_dir:
        os.environ["CLIR_BENCH_CACHE"] = o.cache_dir
    indexes = make_indexes(names, o.library, o.m, o.ef_construction, o.ef, o.threads)  # a missing library is told before anything is encoded
    say, options = silent if o.quiet else on_stderr, options_of(o)
    for task in building.announce(known_tasks([o.task]), options):
        building.build_task(task, options)
    task, collection = open_task(o.task)
    assembled = build(system, Runtime(devices=(o.device,) if o.device else (), cache=None if o.no_cache else resources.cache_dir(), progress=not o.quiet))
    if not isinstance(assembled.retriever, Dense):
        raise ModelError(f"--model {o.model} is not an encoder alone: latency compares indexes of vectors")
    say(f"task {task.name} v{task.version}: {len(collection.pool):,} documents, {len(collection.queries):,} queries, {len(collection.pairs)} pairs")
    measured = measure_collection(
        collection, assembled.retriever.encoder, indexes, depth=o.depth, repeat=o.repeat, limit=o.limit_queries, encode=o.encode, threads=o.threads
    )
    if o.json:
        rows = [{**row._asdict(), "pair": str(row.pair) if row.pair else None} for row in measured.rows]
        head = {"task": f"{task.name} v{task.version}", "model": assembled.system.display_name, "encoding": "excluded"}
        print(json.dumps({**head, **measured._asdict(), "costs": [cost._asdict() for cost in measured.costs], "rows": rows}, indent=1))
    else:
        views.show(console(), f"{task.name} v{task.version}, {assembled.system.display_name}", latency(measured, normalised=o.normalised))
    return 0
