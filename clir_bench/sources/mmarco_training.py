"""Training data of mMARCO: MS MARCO's own training queries, one BM25 negative each, and a development set of dev queries that are not evaluated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

from clir_bench.collection import Document, Query
from clir_bench.errors import CollectionError, DownloadError
from clir_bench.sources.download import SourceRecord
from clir_bench.sources.leakage import Example, Negative, Training, enforce
from clir_bench.sources.ranges import ByteRanges, LocalRanges, RemoteRanges
from clir_bench.sources.sampling import order
from clir_bench.sources.workshop import lines_of
from clir_bench.task import Task

if TYPE_CHECKING:
    from pathlib import Path

    from clir_bench.sources.workshop import Workshop

TRIPLES_BYTES = 20_000_000
"""Read from the start of the file of triples, which is shuffled: about 880,000 of 39.8 million."""
SPARE = 1.1


class Row(NamedTuple):
    """A candidate: query, relevant document, BM25 negative (None in the development set)."""

    split: Literal["train", "dev"]
    query: int
    document: int
    negative: int | None


class Plan(NamedTuple):
    """The candidates of each document language, and the documents whose texts they take."""

    rows: dict[str, list[Row]]
    documents: dict[str, list[int]]
    dropped: Counter[str]


def plan(task: Task, shop: Workshop, evaluated: dict[int, int]) -> Plan:
    """Rules 1, 4 and 5 before anything large is fetched: no evaluated document and none of its queries; development queries are those of dev minus dev.small."""
    from clir_bench.sources.mmarco import read_qrels

    dropped: Counter[str] = Counter()
    small = {line.split()[0] for _, line in lines_of(shop.downloads.get(task.file("qrels")))}
    train = _usable(read_qrels(shop.downloads.get(task.file("qrels-train"))), evaluated, small, dropped, "rule 4")
    dev = _usable(read_qrels(shop.downloads.get(task.file("qrels-dev"))), evaluated, small, dropped, "rule 5")
    negatives = dict(shop.rows("triples", lambda: _read_triples(shop, task, train, set(evaluated)).items()))
    rows: dict[str, list[Row]] = {}
    for language in task.languages:
        chosen = _first(sorted(negatives), f"mmarco:train:{language}", task, task.recipe.train_per_pair)
        rows[language] = [Row("train", train[p], p, negatives[p]) for p in chosen]
        rows[language] += [Row("dev", dev[p], p, None) for p in _first(sorted(dev), f"mmarco:dev:{language}", task, task.recipe.dev_per_pair)]
    documents = {language: [p for row in found for p in (row.document, row.negative) if p is not None] for language, found in rows.items()}
    return Plan(rows, documents, dropped)


def examples(
    task: Task, shop: Workshop, made: Plan, texts: dict[str, dict[int, str]], evaluated: dict[int, int], documents: list[Document], queries: list[Query]
) -> Training:
    """Clean examples of all pairs: a document language has the same documents for every query language."""
    from clir_bench.sources.mmarco import document_id, read_queries

    keys = {str(q) for q in evaluated.values()}
    evaluated_texts = [
        *(d.text for d in documents),
        *(texts["en"][p] for p in evaluated),
        *{q.text for q in queries},
    ]  # documents in English are evaluated, too
    clean: list[Example] = []
    for asked in task.languages:
        by_split = {
            "train": read_queries(
                shop.downloads.get(task.file(f"train-queries/{asked}")), {r.query for found in made.rows.values() for r in found if r.split == "train"}
            ),
            "dev": read_queries(
                shop.downloads.get(task.file(f"dev-queries/{asked}")), {r.query for found in made.rows.values() for r in found if r.split == "dev"}
            ),
        }
        rows = []
        for language, found in made.rows.items():
            for row in found:
                if not by_split[row.split][row.query] or not texts[language][row.document]:
                    made.dropped["without a text"] += 1
                    continue
                hard = () if row.negative is None else (Negative(document_id(language, row.negative), texts[language][row.negative], 0),)
                rows.append(
                    Example(
                        row.split, asked, language, str(row.query), document_id(language, row.document), by_split[row.split][row.query], texts[language][row.document], hard
                    )
                )  # fmt: skip
        clean += enforce(
            rows,
            query_keys=keys,
            document_ids={document_id(language, p) for p in evaluated for language in task.languages},
            evaluated_texts=evaluated_texts,
            dropped=made.dropped,
            cap={"train": task.recipe.train_per_pair, "dev": task.recipe.dev_per_pair},
        )
    return Training(clean, dict(made.dropped), [])


def _usable(query_of: dict[int, int], evaluated: dict[int, int], small: set[str], dropped: Counter[str], rule: str) -> dict[int, int]:
    kept = {}
    for document, query in query_of.items():
        if document in evaluated:
            dropped[rule] += 1
        elif str(query) in small:
            dropped["rule 1"] += 1
        else:
            kept[document] = query
    return kept


def _first(documents: Iterable[int], salt: str, task: Task, number: int) -> list[int]:
    return [int(p) for p in order(map(str, documents), salt, task.recipe.seed)[: int(SPARE * number) + 5]]


def _read_triples(shop: Workshop, task: Task, train: dict[int, int], evaluated: set[int]) -> dict[int, int]:
    """Passage to a BM25 negative of its query, from the first bytes of the triples; the lowest negative, so that order changes nothing."""
    file = task.file("triples")
    local: Path | None = shop.downloads.local(file)
    source: ByteRanges
    if local is None:
        source = remote = RemoteRanges(file)
        shop.downloads.note(SourceRecord(file.name, file.url, source.size, f"etag:{remote.etag or 'none'}", "range"))
    else:
        source = LocalRanges(local)
        if file.bytes not in (None, source.size):
            raise DownloadError(f"{local}: {source.size:,} bytes, but {file.name} has {file.bytes:,}. It is not complete, or another file.")
        shop.downloads.note(SourceRecord(file.name, file.url, source.size, "not checked: only its beginning is read", "source-dir"))
    raw = source.read(0, min(source.size, TRIPLES_BYTES))
    found: dict[int, int] = {}
    for number, line in enumerate(raw[: raw.rfind(b"\n") + 1].split(b"\n"), 1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != 3 or not all(cell.isdigit() for cell in cells):
            raise CollectionError(f"{file.url}:{number}: not query, document, document, but {line[:80]!r}")
        query, document, negative = map(int, cells)
        if train.get(document) == query and negative not in evaluated:
            found[document] = min(negative, found.get(document, negative))
    return found
