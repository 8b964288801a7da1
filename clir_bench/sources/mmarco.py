"""mMARCO: 7,433 documents, each in one of 14 languages by hash order, fetched by HTTP Range from collections that are sorted by document id.

``qrels`` is ``query<TAB>0<TAB>document<TAB>1``; queries and collections are ``id<TAB>text``. The unit is the document: its query is the lowest number
that has it. A whole collection lying in ``--source-dir`` is searched in the same way.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from clir_bench.collection import Document, Judgement, Query
from clir_bench.errors import CollectionError, DownloadError
from clir_bench.progress import bar
from clir_bench.sources import mmarco_training as training
from clir_bench.sources.download import SourceRecord
from clir_bench.sources.mmarco_mirror import Mirror
from clir_bench.sources.ranges import ByteRanges, LocalRanges, RemoteRanges, fetch_lines
from clir_bench.sources.sampling import norm, order
from clir_bench.sources.workshop import Built, Workshop, lines_of
from clir_bench.task import Task
from clir_bench.task_records import Download


def build(task: Task, shop: Workshop) -> Built:
    """The collection, with every document in English beside it."""
    mirror = Mirror() if shop.cross_check else None  # one that cannot be reached is told before hours of work
    query_of = read_qrels(shop.downloads.get(task.file("qrels")))
    numbers = sorted(query_of)
    if task.recipe.ids_sha256 and (found := ids_hash(numbers)) != task.recipe.ids_sha256:
        raise CollectionError(f"qrels: the {len(numbers):,} document ids have sha256 {found}, but the task states {task.recipe.ids_sha256}")
    language_of = assign(numbers, task.languages, task.recipe.seed)
    wanted = training.plan(task, shop, query_of) if shop.train else None
    texts: dict[str, dict[int, str]] = {}
    for language in dict.fromkeys((*task.languages, "en")):
        own = [p for p in numbers if language_of[p] == language or language == "en"]
        texts[language] = read_documents(shop, task, language, [*own, *(wanted.documents[language] if wanted else ())])
    asked = set(query_of.values())
    queries_of = {language: read_queries(shop.downloads.get(task.file(f"queries/{language}")), asked) for language in task.languages}
    counts: Counter[str] = Counter(
        empty_translations=sum(not texts[language_of[p]][p] for p in numbers),
        empty_queries=sum(not text for found in queries_of.values() for text in found.values()),
        distinct_queries=len(asked),
    )
    documents = [Document(document_id(language_of[p], p), language_of[p], texts[language_of[p]][p]) for p in numbers]
    queries = [
        Query(f"{language}:{query_of[p]}:{p}", language, queries_of[language][query_of[p]], str(query_of[p])) for language in task.languages for p in numbers
    ]
    judgements = [Judgement(f"{language}:{query_of[p]}:{p}", document_id(language_of[p], p), 1) for language in task.languages for p in numbers]
    notes: tuple[str, ...] = ()
    if mirror is not None:
        differing, notes = mirror.compare({lang: {p: texts[lang][p] for p in numbers if language_of[p] == lang} for lang in task.languages})
        counts.update(differing)
    return Built(
        documents,
        queries,
        judgements,
        dict(counts),
        notes,
        english={document_id(language_of[p], p): texts["en"][p] for p in numbers},
        training=training.examples(task, shop, wanted, texts, query_of, documents, queries) if wanted else None,
    )


def document_id(language: str, number: int) -> str:
    """``de:7187158``."""
    return f"{language}:{number}"


def assign(numbers: Iterable[int], languages: Sequence[str], seed: int) -> dict[int, str]:
    """The language of each document: the i-th in hash order gets the i-th language, round and round."""
    return {int(p): languages[i % len(languages)] for i, p in enumerate(order(map(str, numbers), "mmarco", seed))}


def ids_hash(numbers: Iterable[int]) -> str:
    """SHA-256 of the ascending ids, one a line, no newline at the end."""
    return hashlib.sha256("\n".join(map(str, sorted(numbers))).encode()).hexdigest()


def read_qrels(path: Path) -> dict[int, int]:
    """Passage to the lowest query number that has it."""
    query_of: dict[int, int] = {}
    for at, line in lines_of(path):
        cells = line.split()
        if len(cells) != 4 or not (cells[0].isdigit() and cells[2].isdigit()):
            raise CollectionError(f"{path}:{at}: not query, 0, document, 1, but {line[:80]!r}")
        if int(cells[3]) > 0:
            query, number = int(cells[0]), int(cells[2])
            query_of[number] = min(query, query_of.get(number, query))
    return query_of


def read_queries(path: Path, wanted: Iterable[int]) -> dict[int, str]:
    """The texts of the wanted queries; one whose translation is empty stays so. Raises CollectionError for those that are missing."""
    missing, found = set(wanted), {}
    with path.open("rb") as stream:
        for line in stream:
            head, _, rest = line.partition(b"\t")
            if head.isdigit() and (number := int(head)) in missing:
                found[number] = norm(rest.decode("utf-8", "replace"))
                missing.discard(number)
    if missing:
        raise CollectionError(f"{path}: {len(missing)} queries are missing, the first is {min(missing)}. The file is not what the task describes.")
    return found


def read_documents(shop: Workshop, task: Task, language: str, wanted: Sequence[int]) -> dict[int, str]:
    """The texts of the wanted documents. Each is kept in a file as soon as it has come, so that nothing is fetched twice."""
    file = task.file(f"collection/{language}")
    path = shop.folder / "documents" / f"{language}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    header, found = _read_kept(path)
    missing = sorted(set(wanted) - set(found))
    if missing or not header:
        source, record = _open(shop, file, header.get("etag"))
        if header and (header["via"], header["etag"]) != (record.via, record.checksum):
            raise DownloadError(
                f"{path}: begun from {header['etag']} ({header['via']}), but this is {record.checksum} ({record.via}). "
                f"Go on with the same file, or remove {path.name} to begin {language} anew."
            )
        with path.open("ab") as out, bar(f"{language}: documents", len(set(wanted)), "", shop.progress) as shown:
            if not header:
                header = {"etag": record.checksum, "bytes": str(source.size), "via": record.via}
                out.write(json.dumps(header).encode() + b"\n")
            shown.update(len(set(wanted)) - len(missing))

            def keep(number: int, raw: bytes) -> None:
                found[number] = norm(raw.decode("utf-8", "replace"))
                out.write(json.dumps([number, found[number]], ensure_ascii=False).encode() + b"\n")
                out.flush()
                shown.update(1)

            traffic = fetch_lines(source, missing, task.recipe.lines or 0, keep)
        shop.say(f"{language}: {len(missing):,} documents by {traffic.requests:,} requests, {traffic.bytes / 1e6:.1f} MB of {source.size / 1e6:,.0f} MB")
    via: Literal["range", "source-dir"] = "range" if header["via"] == "range" else "source-dir"
    shop.downloads.note(SourceRecord(file.name, file.url, int(header["bytes"]), header["etag"], via))
    return {p: found[p] for p in wanted}


def _open(shop: Workshop, file: Download, etag: str | None) -> tuple[ByteRanges, SourceRecord]:
    if shop.downloads.local(file):
        path = shop.downloads.get(file)
        return LocalRanges(path), shop.downloads.records[file.name]
    known = etag.removeprefix("etag:") if etag and etag.startswith("etag:") else None
    remote = RemoteRanges(file, known if known != "none" else None)
    return remote, SourceRecord(file.name, file.url, remote.size, f"etag:{remote.etag or 'none'}", "range")


def _read_kept(path: Path) -> tuple[dict[str, str], dict[int, str]]:
    """The header (where the documents came from) and the documents that an earlier run kept; a line that a kill cut off is removed."""
    if not path.is_file():
        return {}, {}
    raw = path.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    if len(whole) < len(raw):
        with path.open("r+b") as stream:
            stream.truncate(len(whole))
    try:
        lines = [json.loads(line) for line in whole.split(b"\n") if line]
    except ValueError as error:
        raise CollectionError(f"{path}: damaged ({error}). Remove it: what it holds is fetched again.") from None
    return (lines[0], {int(number): text for number, text in lines[1:]}) if lines else ({}, {})
