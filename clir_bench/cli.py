"""The command line: verbs, no logic. stdout is the result, stderr the progress; exit 2 for what the user can mend."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clir_bench.cli_data import add_source_options, add_verbs, options_of
from clir_bench.errors import ClirBenchError

if TYPE_CHECKING:
    from rich.console import Console

    from clir_bench.collection import Collection, Pair
    from clir_bench.task import Task


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ClirBenchError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept, and the same command goes on from there", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="clir-bench", description="Cross-lingual information retrieval: evaluate, check, show, compare.")
    parser.add_argument("--version", action="version", version=_version())
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")

    p = _verb(
        verbs, "evaluate", _evaluate, "evaluate a system on a task and write a submission", "clir-bench evaluate --model nomic-ai/nomic-embed-text-v2-moe"
    )
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
    _output_options(p)

    p = _verb(verbs, "check", _check, "check tasks and submissions; every problem at once", "clir-bench check tasks submissions")
    p.add_argument("paths", nargs="*", help="files or folders (default: the tasks, and ./submissions)")
    _output_options(p)

    p = verbs.add_parser("data", help="collections and training pairs: build, info, verify, publish", description="Collections and training pairs.")
    below = p.add_subparsers(title="verbs", required=True, metavar="VERB")

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str, example: str) -> argparse.ArgumentParser:
        parser = _verb(below, name, run, text, example)
        _output_options(parser)
        return parser

    add_verbs(add)

    p = _verb(verbs, "tasks", _tasks, "list the tasks", "clir-bench tasks")
    _output_options(p)

    p = _verb(
        verbs,
        "show",
        _show,
        "show submissions: tables and a query x document matrix",
        "clir-bench show submissions/clir-bench__bm25/multilingual/sample-v1.json",
    )
    p.add_argument("submissions", nargs="+", help="submission files")
    p.add_argument("--measure", default="R@10", help="of the matrix (default: %(default)s)")
    p.add_argument("--own-language", action="store_true", help="the matrix of the own-language pool")
    p.add_argument("--brief", action="store_true", help="only the overview and the matrix")
    _output_options(p)

    p = _verb(verbs, "compare", _compare, "compare two submissions, paired, per pair and overall", "clir-bench compare A.json B.json --measure R@10")
    p.add_argument("a", metavar="A")
    p.add_argument("b", metavar="B")
    p.add_argument("--measure", default="R@10", help="(default: %(default)s)")
    p.add_argument("--rows", type=int, default=20, help="pairs shown, largest difference first (default: %(default)s)")
    _output_options(p)

    p = _verb(
        verbs, "export", _export, "write a submission, task or run in another tool's format", "clir-bench export sample --format beir --output beir/sample"
    )
    p.add_argument("source", help="a submission (mteb), a task or folder (beir), a saved run (trec, ranx)")
    p.add_argument("--format", required=True, choices=("mteb", "beir", "trec", "ranx"))
    p.add_argument("--output", required=True, help="folder to write")
    p.add_argument("--task", help="the task of a saved run, where it was moved")
    _output_options(p)

    p = _verb(
        verbs, "import", _import, "read an mteb TaskResult as a (claimed) submission", "clir-bench import BelebeleRetrieval.json --model-meta model_meta.json"
    )
    p.add_argument("result", help="mteb's {Task}.json")
    p.add_argument("--model-meta", help="mteb's model_meta.json (default: the one beside it)")
    p.add_argument("--output", default="submissions", help="folder of submissions (default: %(default)s)")
    p.add_argument("--overwrite", action="store_true", help="replace an existing submission")
    _output_options(p)

    p = _verb(
        verbs, "mteb", _mteb, "mteb's own command line with our tasks registered", "clir-bench mteb run -m sentence-transformers/LaBSE -t CLIRBenchSample"
    )
    p.add_argument("rest", nargs=argparse.REMAINDER, help="arguments of the mteb command")
    return parser


def _verb(verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: object, text: str, example: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=f"example: {example}")
    parser.set_defaults(run=run)
    return parser


def _output_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no tables: only the result's last line")


def _evaluate(o: argparse.Namespace) -> int:
    from clir_bench import resources, views
    from clir_bench.assemble import Runtime, build
    from clir_bench.errors import TaskError
    from clir_bench.evaluate import evaluate
    from clir_bench.runs import save_run
    from clir_bench.sources import DATA_SETS, building, known_tasks, open_english, open_task
    from clir_bench.submission import canonical_path, refuse_existing, to_json, write_submission
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
    say = _silent if o.quiet else _on_stderr
    building.prepare(known_tasks(names), options_of(o))
    cache = None if o.no_cache else resources.cache_dir()
    assembled, written = None, []
    for name in names:
        task, collection = open_task(name)
        english = open_english(task) if system.documents == "english" else None
        pairs = _chosen_pairs(o, task, collection, required=len(names) == 1)
        if pairs == []:
            say(f"task {task.name}: no such pair, passed over")
            continue
        asked = collection if pairs is None else collection.restrict(pairs)
        say(
            f"task {task.name} v{task.version}: {len(collection.pool):,} documents, {len(asked.queries):,} queries, {len(asked.pairs)} of {len(collection.pairs)} pairs"
        )
        path = Path(o.output) / canonical_path(system.display_name, system.variant, task.name, task.version, len(asked.pairs) == len(collection.pairs))
        if not o.overwrite:
            refuse_existing(path)
        assembled = assembled or build(system, Runtime(device=o.device, batch_tokens=o.batch_tokens, threads=o.threads, cache=cache, progress=not o.quiet))
        result = evaluate(task, collection, assembled, pairs=pairs, english=english, command=shlex.join(["clir-bench", *sys.argv[1:]]))
        write_submission(result.submission, path, overwrite=o.overwrite)
        written.append((path, result.submission))
        if o.save_run:
            save_run(Path(o.save_run), result, name)
    if not written:
        raise TaskError("--pairs, --languages and --query-languages together leave no pair in any task")
    if o.json:
        print(to_json(written[0][1]), end="")
        say(f"wrote {written[0][0]}")
        return 0
    if not o.quiet:
        measures = [[m for m in ("R@10", *s.pairs[0].measures) if m in s.pairs[0].measures] for _, s in written]
        views.show(_console(), views.overview([s for _, s in written]), *(views.matrix(s, m[0]) for (_, s), m in zip(written, measures, strict=True)))
        print()
    for path, _ in written:
        print(f"wrote {path}")
    if not o.quiet:
        print(f"next: clir-bench show {' '.join(str(path) for path, _ in written)}")
    return 0


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


def _check(o: argparse.Namespace) -> int:
    from clir_bench.checking import check_files, find_files

    files = find_files(o.paths)
    results = list(check_files(files))
    bad = [(path, problem) for path, problem in results if problem]
    if o.json:
        print(json.dumps({str(path): (problem.split("\n  ")[1:] or [problem]) if problem else [] for path, problem in results}, indent=1, ensure_ascii=False))
        return 2 if bad else 0
    for _, problem in bad:
        print(problem, file=sys.stderr)
    print(f"{len(results)} files checked, {len(bad)} with problems")
    return 2 if bad else 0


def _tasks(o: argparse.Namespace) -> int:
    from rich.table import Table

    from clir_bench import views
    from clir_bench.sources import is_at_hand
    from clir_bench.task import load_task, task_names

    tasks = [load_task(name) for name in task_names()]
    if o.json:
        rows = [{**t.model_dump(mode="json", by_alias=True), "built": is_at_hand(t)} for t in tasks]
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("task", "version", "pairs", "languages", "documents", "queries", "download", "built", "licence", "title"):
        table.add_column(column, justify="right" if column in ("pairs", "documents", "queries", "download") else "left")
    for t in tasks:
        counts = [f"{n:,}" if n else "-" for n in (t.expect.documents, t.expect.queries)]
        table.add_row(
            t.name, str(t.version), str(t.expect.pairs), str(len(t.languages)), *counts, f"{t.cost.download / 1e6:,.0f} MB" if t.cost else "none",
            "yes" if is_at_hand(t) else "no", t.licence, t.title,
        )  # fmt: skip
    views.show(_console(), table)
    return 0


def _show(o: argparse.Namespace) -> int:
    from clir_bench import views
    from clir_bench.errors import SubmissionError
    from clir_bench.submission import read_submission, to_json

    submissions = [read_submission(path) for path in o.submissions]
    if o.json:
        print("[\n" + ",\n".join(to_json(s).rstrip() for s in submissions) + "\n]")
        return 0
    console = _console()
    views.show(console, views.overview(submissions))
    for s in submissions:
        if not any(o.measure in (p.own_language if o.own_language else p.measures) for p in s.pairs):
            raise SubmissionError(
                f"no {o.measure!r} in {s.system.name}: it has {', '.join(s.pairs[0].own_language if o.own_language else s.pairs[0].measures)}"
            )
        console.print(f"\n{s.system.name} ({s.system.variant})", style="bold", highlight=False)
        matrix = views.matrix(s, o.measure, own=o.own_language)
        views.show(console, *([matrix] if o.brief else [views.details(s), matrix, *([views.language_bias(s)] if s.bias else [])]))
    return 0


def _compare(o: argparse.Namespace) -> int:
    from clir_bench import views
    from clir_bench.compare import compare
    from clir_bench.errors import SubmissionError
    from clir_bench.submission import read_submission

    a, b = read_submission(o.a), read_submission(o.b)
    try:
        result = compare(a, b, o.measure)
    except ValueError as error:
        raise SubmissionError(f"--measure: {error}") from None
    if o.json:
        print(json.dumps({**result._asdict(), "rows": [{**row._asdict(), "pair": str(row.pair)} for row in result.rows]}, indent=1))
        return 0
    console = _console()
    console.print(f"A: {a.system.signature}\nB: {b.system.signature}", style="dim", highlight=False)
    views.show(console, views.comparison(result, o.rows))
    return 0


def _export(o: argparse.Namespace) -> int:
    from clir_bench.export import export

    written = export(o.source, o.format, Path(o.output), o.task)
    if o.json:
        print(json.dumps([str(path) for path in written]))
    else:
        print(f"wrote {len(written)} files to {o.output}")
    return 0


def _import(o: argparse.Namespace) -> int:
    from clir_bench.integrations.mteb_results import read_result
    from clir_bench.submission import path_of, to_json, write_submission

    meta = Path(o.model_meta) if o.model_meta else Path(o.result).with_name("model_meta.json")
    submission = read_result(Path(o.result), meta)
    path = Path(o.output) / path_of(submission)
    write_submission(submission, path, overwrite=o.overwrite)
    print(to_json(submission) if o.json else f"wrote {path} ({submission.trust}: without gold ranks nothing can be recomputed)\nnext: clir-bench show {path}")
    return 0


def _mteb(o: argparse.Namespace) -> int:
    from clir_bench.integrations.mteb import run_command

    run_command(o.rest)
    return 0


def _on_stderr(text: str) -> None:
    print(text, file=sys.stderr)


def _silent(text: str) -> None:
    pass


def _console() -> Console:
    from rich.console import Console

    width = None if sys.stdout.isatty() else 200
    return Console(width=width, highlight=False)


def _version() -> str:
    from importlib.metadata import version

    return f"clir-bench {version('clir-bench')}"


if __name__ == "__main__":
    sys.exit(main())
