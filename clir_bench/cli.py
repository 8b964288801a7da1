"""The command line: verbs, no logic. stdout is the result, stderr the progress; exit 2 for what the user can mend."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from clir_bench.cli_data import add_verbs
from clir_bench.cli_evaluate import add_evaluate
from clir_bench.cli_latency import add_latency
from clir_bench.cli_leaderboard import add_verbs as add_leaderboard
from clir_bench.cli_mt_eval import add_mt_eval
from clir_bench.cli_submit import add_submit
from clir_bench.cli_translate import add_translate
from clir_bench.console import console
from clir_bench.errors import ClirBenchError


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

    add_evaluate(partial(_verb, verbs))
    add_translate(partial(_verb, verbs))
    add_mt_eval(partial(_verb, verbs))
    add_latency(partial(_verb, verbs))
    add_submit(partial(_verb, verbs))

    p = _verb(verbs, "check", _check, "check tasks and submissions; every problem at once", "clir-bench check tasks submissions")
    p.add_argument("paths", nargs="*", help="files or folders (default: the tasks, and ./submissions)")

    p = verbs.add_parser("data", help="collections and training pairs: build, info, verify, publish", description="Collections and training pairs.")
    below = p.add_subparsers(title="verbs", required=True, metavar="VERB")

    add_verbs(partial(_verb, below))

    p = verbs.add_parser("leaderboard", help="the board: build its index, serve it, export it", description="The board of submissions.")
    add_leaderboard(partial(_verb, p.add_subparsers(title="verbs", required=True, metavar="VERB")))

    p = _verb(verbs, "tasks", _tasks, "list the tasks", "clir-bench tasks")

    p = _verb(verbs, "models", _models, "list the encoders and re-rankers that are known by more than their files", "clir-bench models")

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

    p = _verb(verbs, "compare", _compare, "compare two submissions, paired, per pair and overall", "clir-bench compare A.json B.json --measure R@10")
    p.add_argument("a", metavar="A")
    p.add_argument("b", metavar="B")
    p.add_argument("--measure", default="R@10", help="(default: %(default)s)")
    p.add_argument("--rows", type=int, default=20, help="pairs shown, largest difference first (default: %(default)s)")

    p = _verb(
        verbs, "export", _export, "write a submission, task or run in another tool's format", "clir-bench export sample --format beir --output beir/sample"
    )
    p.add_argument("source", help="a submission (mteb), a task or folder (beir), a saved run (trec, ranx)")
    p.add_argument("--format", required=True, choices=("mteb", "beir", "trec", "ranx"))
    p.add_argument("--output", required=True, help="folder to write")
    p.add_argument("--task", help="the task of a saved run, where it was moved")

    p = _verb(
        verbs, "import", _import, "read an mteb TaskResult as a (claimed) submission", "clir-bench import BelebeleRetrieval.json --model-meta model_meta.json"
    )
    p.add_argument("result", help="mteb's {Task}.json")
    p.add_argument("--model-meta", help="mteb's model_meta.json (default: the one beside it)")
    p.add_argument("--output", default="submissions", help="folder of submissions (default: %(default)s)")
    p.add_argument("--overwrite", action="store_true", help="replace an existing submission")

    p = _verb(
        verbs, "mteb", _mteb, "mteb's own command line with our tasks registered", "clir-bench mteb run -m sentence-transformers/LaBSE -t CLIRBenchSample"
    )
    p.add_argument("rest", nargs=argparse.REMAINDER, help="arguments of the mteb command")
    return parser


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: Callable[[argparse.Namespace], int], text: str, example: str
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=f"example: {example}")
    parser.set_defaults(run=run)
    if name != "mteb":  # everything after it belongs to mteb
        parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")
        parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no tables: only the result's last line")
    return parser


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
    views.show(console(), table)
    return 0


def _models(o: argparse.Namespace) -> int:
    from clir_bench import views, views_models
    from clir_bench.sources import DATA_SETS
    from clir_bench.task import load_task

    tasks = [load_task(name) for name in DATA_SETS]
    if o.json:
        print(json.dumps(views_models.as_records(tasks), indent=1, ensure_ascii=False))
        return 0
    views.show(console(), views_models.encoders(), views_models.rerankers(), views_models.contamination(tasks))
    return 0


def _show(o: argparse.Namespace) -> int:
    from clir_bench import views
    from clir_bench.errors import SubmissionError
    from clir_bench.submission import read_submission, to_json

    submissions = [read_submission(path) for path in o.submissions]
    if o.json:
        print("[\n" + ",\n".join(to_json(s).rstrip() for s in submissions) + "\n]")
        return 0
    out = console()
    views.show(out, views.overview(submissions))
    for s in submissions:
        if not any(o.measure in (p.own_language if o.own_language else p.measures) for p in s.pairs):
            raise SubmissionError(
                f"no {o.measure!r} in {s.system.name}: it has {', '.join(s.pairs[0].own_language if o.own_language else s.pairs[0].measures)}"
            )
        out.print(f"\n{s.system.name} ({s.system.variant})", style="bold", highlight=False)
        matrix = views.matrix(s, o.measure, own=o.own_language)
        views.show(out, *([matrix] if o.brief else [views.details(s), matrix, *([views.language_bias(s)] if s.bias else [])]))
    return 0


def _compare(o: argparse.Namespace) -> int:
    from clir_bench import views, views_compare
    from clir_bench.compare import as_record, compare, read_both
    from clir_bench.errors import SubmissionError
    from clir_bench.layout import layout_beside

    a, b = read_both(o.a, o.b)
    layout = layout_beside([Path(o.a), Path(o.b)], a.task.name, a.task.version, a.task.fingerprint)
    try:
        result = compare(a, b, o.measure, layout)
    except ValueError as error:
        raise SubmissionError(f"--measure: {error}") from None
    if o.json:
        print(json.dumps(as_record(result), indent=1))
        return 0
    out = console()
    out.print(f"A: {a.system.signature}\nB: {b.system.signature}", style="dim", highlight=False)
    views.show(out, views_compare.comparison(result, o.rows))
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
    from clir_bench.trust import assess

    meta = Path(o.model_meta) if o.model_meta else Path(o.result).with_name("model_meta.json")
    submission = read_result(Path(o.result), meta)
    path = Path(o.output) / path_of(submission)
    write_submission(submission, path, overwrite=o.overwrite)
    trust, reasons = assess(submission)
    print(to_json(submission) if o.json else f"wrote {path} ({trust}: {'; '.join(reasons)})\nnext: clir-bench show {path}")
    return 0


def _mteb(o: argparse.Namespace) -> int:
    from clir_bench.integrations.mteb import run_command

    run_command(o.rest)
    return 0


def _version() -> str:
    from importlib.metadata import version

    return f"clir-bench {version('clir-bench')}"


if __name__ == "__main__":
    sys.exit(main())
