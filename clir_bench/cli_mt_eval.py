"""``clir-bench mt-eval``: how good the translations are (Figure 2). Verbs, no logic."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from clir_bench.cli_data import Add
from clir_bench.console import console, on_stderr, silent

if TYPE_CHECKING:
    from clir_bench.mt_eval import Metric

METRICS = ("comet-kiwi", "perplexity", "similarity", "chrf")


def add_mt_eval(add: Add) -> None:
    """Add the verb; ``add`` takes name, function, text and example."""
    p = add(
        "mt-eval",
        _mt_eval,
        "judge translations into English, per language and system",
        "clir-bench mt-eval nllb=nllb.parquet google=google.parquet --references mmarco --plot figure2.svg",
    )
    p.add_argument("systems", nargs="+", metavar="NAME=FILE", help="translations that clir-bench translate wrote (.parquet); NAME is what the table calls them")
    p.add_argument("--references", metavar="FILE|TASK", help="English originals: a .parquet with _id and english, or a task that has them (mmarco); for chrf")
    p.add_argument("--metrics", help=f"of {','.join(METRICS)} (default: all; chrf where there are --references)")
    p.add_argument("--sample", type=int, default=100, help="documents a language, by hash order (default: %(default)s, Figure 2's)")
    p.add_argument("--seed", type=int, default=42, help="of the hash order and the intervals (default: %(default)s)")
    p.add_argument("--languages", help="only these: de,ru,zh (default: all that are not English)")
    p.add_argument(
        "--lm", default="Qwen/Qwen3-0.6B-Base", help="causal language model of perplexity (default: %(default)s; the paper's: meta-llama/Llama-3.1-8B)"
    )
    p.add_argument("--lm-revision", metavar="COMMIT", help="of --lm (default: the newest; it is recorded)")
    p.add_argument("--lm-dtype", choices=("float32", "bfloat16", "float16"), default="float32", help="of its weights; the loss is always float32")
    p.add_argument("--encoder", default="sentence-transformers/LaBSE", help="of similarity: hub name, folder or demo (default: %(default)s)")
    p.add_argument("--comet-python", metavar="PATH", help="a Python that has unbabel-comet, which needs its own environment (default: one that uv makes)")
    p.add_argument("--comet-model", default="Unbabel/wmt22-cometkiwi-da", help="(default: %(default)s, CC-BY-NC-SA, gated)")
    p.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: the best there is)")
    p.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    p.add_argument("--cache-dir", help="where embeddings are kept (default: $CLIR_BENCH_CACHE or ~/.cache/clir_bench)")
    p.add_argument("--output", default="mt-eval.json", help="the report (default: %(default)s)")
    p.add_argument("--plot", metavar="FILE", help="draw it, as .svg, .png or .pdf")


def _mt_eval(o: argparse.Namespace) -> int:
    from clir_bench import views, views_mt_eval
    from clir_bench.mt_eval import evaluate_translations
    from clir_bench.mt_eval_plot import check_plot, write_plot
    from clir_bench.mt_eval_records import check_writable, to_json, write_report
    from clir_bench.mt_eval_tables import choose_samples, read_references, read_tables

    if o.cache_dir:
        os.environ["CLIR_BENCH_CACHE"] = o.cache_dir
    say = silent if o.quiet else on_stderr
    names = _metric_names(o)
    if o.plot:
        check_plot(Path(o.plot))
        check_writable(Path(o.plot), "--plot")
    check_writable(Path(o.output), "--output")
    tables = read_tables(o.systems)
    references = read_references(o.references) if o.references else None
    languages = [code.strip() for code in o.languages.split(",")] if o.languages else None
    for line in choose_samples(tables, languages, o.sample, o.seed)[1]:  # told, and refused, before a model is loaded
        say(line)
    metrics: list[Metric] = []
    try:
        metrics += [_metric(name, o) for name in names]
        command = shlex.join(["clir-bench", *sys.argv[1:]])
        report = evaluate_translations(tables, metrics, references, languages=languages, size=o.sample, seed=o.seed, progress=not o.quiet, command=command)
    finally:
        for metric in metrics:
            if (close := getattr(metric, "close", None)) is not None:
                close()
    write_report(report, Path(o.output))
    if o.plot:
        write_plot(report, Path(o.plot))
    written = f"wrote {o.output}" + (f" and {o.plot}" if o.plot else "")
    if o.json:
        print(to_json(report), end="")
        say(written)
        return 0
    if not o.quiet:
        views.show(console(), *views_mt_eval.tables(report))
        print()
    print(written)
    return 0


def _metric_names(o: argparse.Namespace) -> list[str]:
    """The metrics asked for. All problems of the options at once."""
    from clir_bench.errors import ClirBenchError

    names = list(dict.fromkeys(name.strip() for name in o.metrics.split(","))) if o.metrics else [m for m in METRICS if m != "chrf" or o.references]
    problems = [f"--metrics: no metric {name!r}; there are {', '.join(METRICS)}" for name in names if name not in METRICS]
    if "chrf" in names and not o.references:
        problems.append("--metrics chrf compares with English originals: name them by --references")
    if o.sample < 1:
        problems.append(f"--sample is {o.sample}, but a language needs at least 1 document")
    if o.seed < 0:
        problems.append(f"--seed is {o.seed}, but it must be 0 or more")
    if problems:
        raise ClirBenchError.of("mt-eval", problems)
    return names


def _metric(name: str, o: argparse.Namespace) -> Metric:
    """The metric of that name, ready."""
    if o.threads:
        import torch

        torch.set_num_threads(o.threads)
    if name == "comet-kiwi":
        from clir_bench.parts.quality.comet import CometKiwi, find_command

        return CometKiwi(find_command(o.comet_python), o.comet_model, gpus=0 if o.device == "cpu" else None, progress=not o.quiet)
    if name == "perplexity":
        from clir_bench.parts.quality.perplexity import Perplexity

        return Perplexity(o.lm, o.lm_revision, dtype=o.lm_dtype, device=o.device, progress=not o.quiet)
    if name == "similarity":
        return _similarity(o)
    from clir_bench.parts.quality.chrf import ChrF

    return ChrF()


def _similarity(o: argparse.Namespace) -> Metric:
    from clir_bench import resources
    from clir_bench.assemble import Runtime, build
    from clir_bench.errors import ModelError
    from clir_bench.evaluate import signature
    from clir_bench.parts.quality.similarity import Similarity
    from clir_bench.retrieval import Dense
    from clir_bench.system import System

    assembled = build(System(model=o.encoder), Runtime(devices=(o.device,) if o.device else (), threads=o.threads, cache=resources.cache_dir()))
    if not isinstance(assembled.retriever, Dense):
        raise ModelError(f"--encoder {o.encoder}: similarity needs a text encoder")
    return Similarity(assembled.retriever.encoder, signature(assembled.stages[:1]))
