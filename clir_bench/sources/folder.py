"""A folder of your own documents as a task: BEIR layout, or the parquet layout of published collections.

BEIR: ``corpus.jsonl`` (``_id``, ``title``?, ``text``, ``metadata.lang``), ``queries.jsonl`` (``_id``, ``text``, ``metadata.lang``, ``metadata.topic``?) and
``qrels/*.tsv`` (header ``query-id corpus-id score``; a name such as ``en-ar.tsv`` states the pair). Parquet: ``corpus`` (``_id``, ``lang``, ``title``?,
``text``), ``queries`` (``_id``, ``lang``, ``text``, ``group``?), ``qrels`` (``query-id``, ``corpus-id``, ``score``). Every problem of every file is told at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from clir_bench import languages
from clir_bench.collection import Collection, Document, Judgement, Query, build_collection
from clir_bench.errors import CollectionError
from clir_bench.task import Task
from clir_bench.task_records import Expectation

_SHOWN = 100


class _Row(NamedTuple):
    where: str  # file:line
    fields: dict[str, Any]


def read(folder: Path) -> tuple[Task, Collection]:
    """The folder's collection and the task it makes. Raises CollectionError with all problems, each with file and line."""
    problems: list[str] = []
    rows = _parquet_rows if (folder / "corpus.parquet").is_file() else _beir_rows
    documents = _texts(list(rows(folder, "corpus", problems)), problems)
    queries = _texts(list(rows(folder, "queries", problems)), problems)
    judgements = _judgements(list(rows(folder, "qrels", problems)), documents, queries, problems)
    if not problems and not judgements:
        problems.append(f"{folder / 'qrels'}: no judgements. Add lines of query-id, corpus-id and score.")
    if problems:
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        error = CollectionError.of(str(folder), problems)
        raise CollectionError("\n  ".join(str(error).split("\n  ")[: _SHOWN + 1] + more))
    collection = build_collection(
        [Document(key, lang, text) for key, (lang, text, _) in documents.items()],
        [Query(key, lang, text, topic) for key, (lang, text, topic) in queries.items()],
        judgements,
    )
    return _task(folder, collection), collection


def _task(folder: Path, collection: Collection) -> Task:
    name = re.sub(r"[^a-z0-9_.-]+", "-", folder.resolve().name.lower()).strip("-.") or "folder"
    return Task(
        format="clir-bench/task/1",
        name=name[:64],
        version=1,
        title=folder.resolve().name,
        description=f"The folder {folder.resolve().name}",
        source="folder",
        languages=collection.languages,
        query_languages=tuple(sorted(set(collection.queries.languages))),
        pairs=tuple(map(str, collection.pairs)),
        pool="all",
        licence="unknown",
        citation="none",
        expect=Expectation(pairs=len(collection.pairs), fingerprint=collection.fingerprint),
    )


def _texts(rows: list[_Row], problems: list[str]) -> dict[str, tuple[str, str, str]]:
    """Id to (language, text, topic)."""
    found: dict[str, tuple[str, str, str]] = {}
    first: dict[str, str] = {}
    for where, fields in rows:
        metadata: dict[str, Any] = fields["metadata"] if isinstance(fields.get("metadata"), dict) else {}
        key, text, title = fields.get("_id"), fields.get("text"), fields.get("title") or ""
        lang = fields.get("lang") or metadata.get("lang")
        topic = next((str(x) for x in (metadata.get("topic"), metadata.get("group"), fields.get("group"), fields.get("topic")) if x is not None), None)
        if not isinstance(key, str) or not key:
            problems.append(f"{where}: _id is {key!r}. Give every text an id that is a string.")
            continue
        if key in found:
            problems.append(f"{where}: the id {key!r} stands already in {first[key]}. Ids must differ.")
        if not isinstance(lang, str) or not lang:
            problems.append(f"{where}: {key!r} has no language. Add metadata.lang, such as 'en'.")
        elif problem := languages.problem_with(lang):
            problems.append(f"{where}: {key!r}: {problem}")
        joined = f"{title} {text}".strip() if isinstance(text, str) and isinstance(title, str) else ""
        if not joined:
            problems.append(f"{where}: {key!r} has no text. Remove it, or give it some.")
        first.setdefault(key, where)
        found.setdefault(key, (str(lang), joined, topic or key))
    return found


def _judgements(rows: list[_Row], documents: dict[str, tuple[str, str, str]], queries: dict[str, tuple[str, str, str]], problems: list[str]) -> list[Judgement]:
    found: dict[tuple[str, str], Judgement] = {}
    for where, fields in rows:
        query, document, score = (str(fields.get(key, "")) for key in ("query-id", "corpus-id", "score"))
        if query not in queries:
            problems.append(f"{where}: no query {query!r} in the queries. Correct the id or remove the line.")
        if document not in documents:
            problems.append(f"{where}: no document {document!r} in the corpus. Correct the id or remove the line.")
        if not re.fullmatch(r"\d{1,3}", score) or int(score) > 255:
            problems.append(f"{where}: score is {score!r}, but a grade is a whole number from 0 to 255.")
            continue
        if (query, document) in found:
            problems.append(f"{where}: {query!r} and {document!r} are judged twice. Remove one line.")
        if "pair" in fields and query in queries and document in documents:
            actual = f"{queries[query][0]}-{documents[document][0]}"
            if actual != fields["pair"]:
                problems.append(f"{where}: {query!r} and {document!r} are {actual}, but the file says {fields['pair']} (query language first).")
        found[query, document] = Judgement(query, document, int(score))
    return list(found.values())


def _beir_rows(folder: Path, part: str, problems: list[str]) -> Iterator[_Row]:
    if part == "qrels":
        yield from _tsv_rows(folder, problems)
        return
    path = folder / f"{part}.jsonl"
    if not path.is_file():
        problems.append(f"{path}: missing. A folder holds corpus.jsonl, queries.jsonl and qrels/*.tsv, or the same as .parquet.")
        return
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, 1):
            where = f"{path.name}:{number}"
            if not raw.strip():
                continue
            try:
                fields = json.loads(raw)
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                problems.append(f"{where}: not a line of JSON: {error}")
                continue
            if isinstance(fields, dict):
                yield _Row(where, fields)
            else:
                problems.append(f"{where}: not a JSON object")


def _tsv_rows(folder: Path, problems: list[str]) -> Iterator[_Row]:
    paths = sorted((folder / "qrels").glob("*.tsv"))
    if not paths:
        problems.append(f"{folder / 'qrels'}: no .tsv file. Name them by pair, such as qrels/en-ar.tsv, query language first.")
    for path in paths:
        named = {"pair": path.stem} if re.fullmatch(r"[a-z]{2,3}(-[A-Z][a-z]{3})?-[a-z]{2,3}(-[A-Z][a-z]{3})?", path.stem) else {}
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            cells, where = line.split("\t"), f"qrels/{path.name}:{number}"
            if number == 1:
                if cells != ["query-id", "corpus-id", "score"]:
                    problems.append(f"{where}: the header is {line!r}, but must be 'query-id\\tcorpus-id\\tscore'")
            elif len(cells) != 3:
                if line.strip():
                    problems.append(f"{where}: {len(cells)} columns, but there must be 3, separated by tabs")
            else:
                yield _Row(where, {"query-id": cells[0], "corpus-id": cells[1], "score": cells[2].strip(), **named})


def _parquet_rows(folder: Path, part: str, problems: list[str]) -> Iterator[_Row]:
    import pyarrow as pa
    from pyarrow import parquet

    path = folder / f"{part}.parquet"
    needed = ("query-id", "corpus-id", "score") if part == "qrels" else ("_id", "lang", "text")
    try:
        table = parquet.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        problems.append(f"{path}: cannot be read as parquet: {error}")
        return
    if missing := [column for column in needed if column not in table.column_names]:
        problems.append(f"{path.name}: no column {', '.join(missing)}. The columns are {', '.join(table.column_names)}.")
        return
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    for number in range(table.num_rows):
        fields = {name: values[number] for name, values in columns.items()}
        if fields.get("query_lang") and fields.get("doc_lang"):
            fields["pair"] = f"{fields['query_lang']}-{fields['doc_lang']}"
        yield _Row(f"{path.name}:{number + 1}", fields)
