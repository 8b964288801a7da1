"""``clir-bench translate``: the documents or queries of a collection in English. Verbs, no logic."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from clir_bench.cli_data import Add
from clir_bench.console import console, on_stderr, silent

if TYPE_CHECKING:
    from clir_bench.collection import Collection, Texts
    from clir_bench.task import Task
    from clir_bench.translate import Translations, Which

_SHOWN = 20


def add_translate(add: Add) -> None:
    """Add the verb; ``add`` takes name, function, text and example."""
    p = add("translate", _translate, "translate documents or queries into English, resumable", "clir-bench translate large_scale --translator nllb-ct2")
    p.add_argument("collection", metavar="COLLECTION", help="a task, a folder, hf://org/name@revision or mteb:TASK")
    p.add_argument(
        "--translator", required=True, metavar="KIND[:MODEL]", help="nllb, nllb-ct2, madlad, opus (:FOLDER or :hub/name@revision), libretranslate:URL, deepl, googletrans"
    )  # fmt: skip
    p.add_argument("--by", choices=("document", "sentences"), help="whole documents or packs of sentences (default: document for nllb, else sentences)")
    p.add_argument("--queries", action="store_true", help="the queries, not the documents")
    p.add_argument("--force", action="store_true", help="translate documents of which the collection has an English text, too (mmarco)")
    p.add_argument("--device", help="of the model: cpu, cuda (default: the GPU where there is one)")
    p.add_argument("--dtype", help="of the model: float32 (default), bfloat16, float16; nllb-ct2: auto (default), int8, float32 ...")
    p.add_argument("--threads", type=int, metavar="N", help="of the processor")
    p.add_argument("--batch-tokens", type=int, metavar="N", help="rows times longest of a batch")
    p.add_argument("--limit", type=int, metavar="N", help="only the first N texts of each language")
    p.add_argument("--output", metavar="FILE.parquet", help="file to write (default: TASK-documents-KIND.parquet)")
    p.add_argument("--cache-dir", help="where translations are kept (default: $CLIR_BENCH_CACHE or ~/.cache/clir_bench)")


def _translate(o: argparse.Namespace) -> int:
    from clir_bench import resources
    from clir_bench.parts.translators import load_translator
    from clir_bench.sources import open_task
    from clir_bench.translate import translate_collection, write_translations

    task, collection = open_task(o.collection)
    which: Which = "queries" if o.queries else "documents"
    if o.limit is not None:
        collection = _first(collection, o.limit, which)
    translator = load_translator(o.translator, by=o.by, device=o.device, threads=o.threads, batch_tokens=o.batch_tokens, dtype=o.dtype, progress=not o.quiet)
    given = {} if o.queries or o.force else _english_of(task, silent if o.quiet else on_stderr)
    cache = (Path(o.cache_dir) if o.cache_dir else resources.cache_dir()) / "translations"
    found = translate_collection(collection, translator, cache, not o.quiet, which, given)
    texts = collection.queries if o.queries else collection.pool
    path = Path(o.output or f"{task.name}-{which}-{o.translator.partition(':')[0]}.parquet")
    write_translations(path, texts, found)
    failed = [(texts.ids[row], texts.languages[row], problem) for row, problem in enumerate(found.problems) if problem]
    if o.json:
        counts = {language: asdict(tally) for language, tally in found.counts.items()}
        facts = asdict(translator.facts())
        print(json.dumps({"file": str(path), "translator": facts, "counts": counts, "failed": failed, "seconds": found.seconds}, indent=1, ensure_ascii=False))
        return 2 if failed else 0
    if not o.quiet:
        _show(found, failed)
    print(f"wrote {path}")
    if not o.quiet:
        again = "next: the same command tries the failures again, and nothing else"
        where = f"clir-bench evaluate --task {o.collection} --documents english --translator {o.translator}{f' --translate-by {o.by}' if o.by else ''} --model MODEL"
        print(again if failed else f"next: {where}")
    return 2 if failed else 0


def _first(collection: Collection, number: int, which: str) -> Collection:
    """The collection with only so many texts of each language; for translating, not for evaluating."""
    from dataclasses import replace

    texts: Texts = collection.queries if which == "queries" else collection.pool
    seen: dict[str, int] = {}
    rows = []
    for row, language in enumerate(texts.languages):
        seen[language] = seen.get(language, 0) + 1
        if seen[language] <= number:
            rows.append(row)
    return replace(collection, queries=texts.take(rows)) if which == "queries" else replace(collection, pool=texts.take(rows))


def _english_of(task: Task, say: object) -> Mapping[str, str]:
    """The English texts that the collection carries itself."""
    from clir_bench.sources import open_english

    if "english" not in task.documents:
        return {}
    from clir_bench.errors import TaskError

    try:
        found = open_english(task)
    except TaskError:  # its English documents take a translator: that is this
        return {}
    assert callable(say)
    say(f"{task.name}: its collection carries the English texts of its documents; they are copied. Translate them all the same: --force")
    return found


def _show(found: Translations, failed: list[tuple[str, str, str]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = ("texts", "copied", "cached", "translated", "failed", "truncated", "cut")
    table.add_column("language")
    for column in columns:
        table.add_column(column, justify="right")
    rows = {language: asdict(tally) for language, tally in found.counts.items()}
    for language, row in {**rows, "all": {column: sum(row[column] for row in rows.values()) for column in columns}}.items():
        table.add_row(language, *(f"{row[column]:,}" for column in columns))
    console().print(table)
    for identifier, language, problem in failed[:_SHOWN]:
        print(f"failed: {identifier} ({language}): {problem}")
    if len(failed) > _SHOWN:
        print(f"and {len(failed) - _SHOWN:,} more: see the column problem of the file")
    sys.stdout.flush()
