"""A built collection as a folder ready for the hub: flat tables for us, and a config a pair for mteb's loader.

``corpus/corpus.parquet`` is one file for all pairs; ``queries/{language}/test.parquet`` one a language; ``qrels/test.parquet`` all judgements, with
the two languages; ``pairs/{query}-{document}/test.parquet`` those of a pair. README.md declares ``corpus``, ``queries``, ``{language}-queries``,
``default`` and, for each pair, ``{pair}-corpus``, ``{pair}-queries``, ``{pair}-qrels``. Texts with terms of their own are given as hashes only.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clir_bench.collection import Collection
from clir_bench.errors import CollectionError
from clir_bench.sources import store
from clir_bench.sources.building import place_of, read_built
from clir_bench.sources.download import disk_error
from clir_bench.task import Task


def publish(task: Task, cache: Path, output: Path) -> list[Path]:
    """Write the folder; the files written. Nothing is sent anywhere. Raises CollectionError where the task is not built or the folder is not empty."""
    collection = read_built(task, cache)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise CollectionError(f"{output} is not an empty folder. Name a new one.")
    tables = _tables(collection, store.read_english(place_of(task, cache))) if task.terms is None else _hash_tables(collection)
    try:
        written = []
        for name, columns in tables.items():
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            store.write_table(output / name, columns)
            written.append(output / name)
        shutil.copyfile(place_of(task, cache) / store.MANIFEST, output / store.MANIFEST)
        (output / "README.md").write_text(_readme(task, collection, tables), encoding="utf-8")
    except OSError as error:
        raise disk_error(error, output, None) from error
    return [*written, output / store.MANIFEST, output / "README.md"]


def _tables(collection: Collection, english: Mapping[str, str] | None) -> dict[str, Mapping[str, Sequence[Any]]]:
    flat = store.tables_of(collection, english)
    tables = {"corpus/corpus.parquet": flat["corpus.parquet"], "qrels/test.parquet": flat["qrels.parquet"]}
    queries, judged = flat["queries.parquet"], flat["qrels.parquet"]
    for language in sorted(set(queries["lang"])):
        tables[f"queries/{language}/test.parquet"] = _where(queries, [found == language for found in queries["lang"]])
    for pair in collection.pairs:
        mine = [(q, d) == pair for q, d in zip(judged["query_lang"], judged["doc_lang"], strict=True)]
        tables[f"pairs/{pair}/test.parquet"] = _where({name: judged[name] for name in ("query-id", "corpus-id", "score")}, mine)
    if english is not None:
        tables["english/corpus_en.parquet"] = flat["corpus_en.parquet"]
    return tables


def _hash_tables(collection: Collection) -> dict[str, Mapping[str, Sequence[Any]]]:
    """The same with the SHA-256 of each text in place of the text."""
    flat = store.tables_of(collection, None)
    hashed = {
        f"hashes/{name}.parquet": {
            **{key: values for key, values in flat[f"{name}.parquet"].items() if key not in ("text", "title")},
            "sha256": [hashlib.sha256(text.encode()).hexdigest() for text in flat[f"{name}.parquet"]["text"]],
        }
        for name in ("corpus", "queries")
    }
    return {**hashed, "qrels/test.parquet": flat["qrels.parquet"]}


def _where(columns: Mapping[str, Sequence[Any]], mine: Sequence[bool]) -> dict[str, Sequence[Any]]:
    return {name: [value for value, keep in zip(values, mine, strict=True) if keep] for name, values in columns.items()}


def _readme(task: Task, collection: Collection, tables: Mapping[str, object]) -> str:
    configs = [_config("default", "test", "qrels/test.parquet")]
    if "corpus/corpus.parquet" in tables:
        configs += [_config("corpus", "corpus", "corpus/corpus.parquet"), _config("queries", "test", "queries/*/test.parquet")]
        configs += [_config(f"{q}-queries", "test", f"queries/{q}/test.parquet") for q in sorted(set(collection.queries.languages))]
        for pair in collection.pairs:
            configs.append(_config(f"{pair}-corpus", "corpus", "corpus/corpus.parquet"))
            configs.append(_config(f"{pair}-queries", "test", f"queries/{pair.query}/test.parquet"))
            configs.append(_config(f"{pair}-qrels", "test", f"pairs/{pair}/test.parquet"))
        what = "Whole texts; every language pair is a config for mteb's loader."
    else:
        configs += [_config(name, "test", f"hashes/{name}.parquet") for name in ("corpus", "queries")]
        what = f"Ids, assignment and SHA-256 of each text only: the texts have terms of their own. Build them with `clir-bench data build {task.name} --from hf://...`."
    return f"""---
license: other
license_name: see-below
task_categories: [text-retrieval]
configs:
{"".join(configs)}---

# {task.title}

{task.description.strip()}

{what} Licence: {task.licence}. Made by clir-bench, task {task.name} version {task.version}, {collection.fingerprint}; manifest.json says from what.

```
{task.citation.strip()}
```
"""


def _config(name: str, split: str, path: str) -> str:
    return f"- config_name: {name}\n  data_files:\n  - {{split: {split}, path: {path}}}\n"
