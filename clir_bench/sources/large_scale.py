"""Large-Scale CLIR (Sasaki et al. 2018) from its one archive: two streaming passes, nothing extracted.

``wiki-clir/english/wiki_en.queries`` holds id, title, first sentence; each language folder ``wiki_{code}.documents`` (id, title, text) and
``en2{code}.rel`` (query, document, label: 2 = the article's mate, 1 = linked both ways with it).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from clir_bench.collection import Document, Judgement, Query
from clir_bench.errors import CollectionError
from clir_bench.sources.leakage import Example, Training, enforce
from clir_bench.sources.sampling import is_stub, norm, order
from clir_bench.sources.workshop import Built, Workshop, members
from clir_bench.task import Task

SPARE = 1.5
"""Candidates read for each query wanted: some have no text or a stub for one."""
_MATE, _LINKED = "2", "1"


def build(task: Task, shop: Workshop) -> Built:
    """The collection: of each language the first ``queries_per_pair`` mates in hash order whose texts hold."""
    file = task.file("archive")
    files = {language: "simple" if language == "en" else language for language in task.languages}
    wanted = _Wanted(task, shop.train)
    mates = shop.stage(f"mates{wanted.mark}", lambda: _read_mates(shop.downloads.get(file), files, wanted, shop.progress))
    texts = _gather(shop.rows(f"texts{wanted.mark}", lambda: _read_texts(shop.downloads.get(file), files, mates, shop.progress)), task.languages)
    counts = Counter[str](mates["counts"])
    counts.update(texts["counts"])
    chosen = {language: _choose(mates["eval"][language], language, texts, wanted.queries, counts) for language in task.languages}
    if short := [f"{language}: {len(found)}" for language, found in chosen.items() if len(found) < wanted.queries]:
        raise CollectionError(
            f"{file.url}: fewer than {wanted.queries} queries with texts that hold, {', '.join(short)}. The archive is not what the task describes."
        )
    documents = [Document(document_id(language, d), language, _document(texts, language, d)) for language in task.languages for _, d in chosen[language]]
    asked = sorted({q for found in chosen.values() for q, _ in found})
    queries = [Query(q, "en", _query(texts, q, task.recipe.query_text or "title+sentence"), q) for q in asked]
    judgements = [Judgement(q, document_id(language, d), 1) for language in task.languages for q, d in chosen[language]]
    training = _train(task, mates, texts, documents, queries, chosen) if shop.train else None
    shop.downloads.drop(file)
    return Built(documents, queries, judgements, dict(counts), training=training)


def document_id(language: str, identifier: str) -> str:
    """``de:123``; Simple English documents are ``en-simple:123``."""
    return f"{'en-simple' if language == 'en' else language}:{identifier}"


class _Wanted:
    """How many candidates are read for evaluation and for training."""

    def __init__(self, task: Task, train: bool) -> None:
        recipe = task.recipe
        self.seed, self.queries = recipe.seed, recipe.queries_per_pair or 1000
        self.eval = int(SPARE * self.queries) + 10
        self.train = int(2 * SPARE * (recipe.train_per_pair + recipe.dev_per_pair)) + 10 if train else 0
        self.mark = "-train" if train else ""


def _read_mates(archive: Path, files: dict[str, str], wanted: _Wanted, progress: bool) -> dict[str, Any]:
    """First pass: of each language the candidates, (query, document) with exactly one mate, in hash order."""
    languages = {f"en2{code}.rel": language for language, code in files.items()}
    found: dict[str, Any] = {"eval": {}, "train": {}, "counts": Counter()}
    for name, stream in members(archive, "first pass: judgements", progress):
        if language := languages.pop(name, None):
            mates: dict[str, str | None] = {}
            for query, document, label in _columns((line for line in stream if b"2" in line[-4:]), None, found["counts"]):
                if label == _MATE:
                    mates[query] = None if query in mates else document
            single = [query for query, document in mates.items() if document is not None]
            found["counts"]["queries_with_several_mates"] += len(mates) - len(single)
            ranked = order(single, f"wikiclir:{files[language]}", wanted.seed)
            found["eval"][language] = [(q, mates[q]) for q in ranked[: wanted.eval]]
            found["train"][language] = [(q, mates[q]) for q in ranked[wanted.eval : wanted.eval + wanted.train]]
        if not languages:
            break
    if languages:
        raise CollectionError(f"{archive}: no {', '.join(sorted(languages))} in it. The archive is not what the task describes.")
    return found


def _read_texts(archive: Path, files: dict[str, str], mates: dict[str, Any], progress: bool) -> Iterator[list[Any]]:
    """Second pass: rows of the candidates' texts, and for training of the linked documents of its queries."""
    languages = {code: language for language, code in files.items()}
    asked = {q for part in ("eval", "train") for found in mates[part].values() for q, _ in found}
    held = {language: {d for part in ("eval", "train") for _, d in mates[part][language]} for language in files}
    counts: Counter[str] = Counter()
    for name, stream in members(archive, "second pass: texts", progress):
        kind = name.rsplit(".", 1)[-1]
        if name == "wiki_en.queries":
            yield from (["queries", "en", *row] for row in _take(stream, asked, counts))
        elif kind == "documents" and (language := languages.get(name.removeprefix("wiki_").removesuffix(".documents"))):
            yield from (["documents", language, *row] for row in _take(stream, held[language], counts))
        elif kind == "rel" and (language := languages.get(name.removeprefix("en2").removesuffix(".rel"))) and mates["train"][language]:
            mine = {q for q, _ in mates["train"][language]}
            rows = _columns((line for line in stream if b"1" in line[-4:]), None, Counter())
            yield from (["linked", language, q, d] for q, d, label in rows if label == _LINKED and q in mine and d in held[language])
    yield ["counts", counts]


def _gather(rows: Iterable[list[Any]], languages: Iterable[str]) -> dict[str, Any]:
    """The rows of ``_read_texts`` by what they are."""
    texts: dict[str, Any] = {"queries": {}, "documents": {language: {} for language in languages}, "linked": [], "counts": {}}
    for kind, *row in rows:
        if kind == "queries":
            texts["queries"][row[1]] = (row[2], row[3])
        elif kind == "documents":
            texts["documents"][row[0]][row[1]] = (row[2], row[3])
        elif kind == "linked":
            texts["linked"].append(row)
        else:
            texts["counts"] = row[0]
    return texts


def _take(stream: BinaryIO, wanted: set[str], counts: Counter[str]) -> Iterator[tuple[str, str, str]]:
    """(id, title, text) of the wanted lines."""
    keys = {key.encode() for key in wanted}
    for line in stream:
        if line.partition(b"\t")[0] in keys:
            for key, title, text in _columns([line], "\t", counts):
                yield key, norm(title), norm(text)


def _columns(lines: Iterable[bytes], separator: str | None, counts: Counter[str]) -> Iterator[tuple[str, str, str]]:
    """Three columns a line; lines with fewer are counted."""
    for line in lines:
        cells = line.decode("utf-8", "replace").rstrip("\r\n").split(separator, 2)
        if len(cells) == 3:
            yield cells[0], cells[1], cells[2].strip() if separator is None else cells[2]
        elif line.strip():
            counts["malformed_lines"] += 1


def _choose(candidates: Iterable[tuple[str, str]], language: str, texts: dict[str, Any], number: int, counts: Counter[str]) -> list[tuple[str, str]]:
    """The first candidates whose query has title and sentence, whose texts are no stubs, and whose document stands for itself."""
    chosen: list[tuple[str, str]] = []
    seen: set[str] = set()
    for query, document in candidates:
        if len(chosen) == number:
            break
        if query not in texts["queries"] or document not in texts["documents"][language]:
            counts["candidates_without_text"] += 1
        elif not all(texts["queries"][query]) or is_stub(" ".join(texts["queries"][query])) or is_stub(texts["documents"][language][document][1]):
            counts["stubs_passed_over"] += 1
        elif (text := _document(texts, language, document)) in seen:
            counts["equal_texts_passed_over"] += 1
        else:
            seen.add(text)
            chosen.append((query, document))
    return chosen


def _train(
    task: Task, mates: dict[str, Any], texts: dict[str, Any], documents: list[Document], queries: list[Query], chosen: dict[str, list[tuple[str, str]]]
) -> Training:
    """Train and development examples behind the evaluated ones in hash order; linked documents are told, so that none is taken for a negative."""
    recipe, dropped = task.recipe, Counter[str]()
    examples: list[Example] = []
    form = recipe.query_text or "title+sentence"
    for language in task.languages:
        kept = _choose(mates["train"][language], language, texts, len(mates["train"][language]), Counter())
        rows = [
            Example(
                "dev" if _develops(q, recipe.seed) else "train",
                "en",
                language,
                q,
                document_id(language, d),
                _query(texts, q, form),
                _document(texts, language, d),
            )
            for q, d in kept
        ]
        examples += enforce(
            rows,
            query_keys={q.id for q in queries},
            document_ids={d.id for d in documents},
            evaluated_texts=[*(q.text for q in queries), *(d.text for d in documents)],
            dropped=dropped,
            cap={"train": recipe.train_per_pair, "dev": recipe.dev_per_pair},
        )
    related = [(q, document_id(language, d)) for language, q, d in texts["linked"]]
    return Training(examples, dict(dropped), related)


def _develops(query: str, seed: int) -> bool:
    """Whether a query is of the development split, in every language alike: one in ten, by hash (rule 5)."""
    return int.from_bytes(hashlib.sha256(f"{seed}:wikiclir:dev:{query}".encode()).digest()[:8], "big") % 10 == 0


def _query(texts: dict[str, Any], identifier: str, form: str) -> str:
    title, sentence = map(str, texts["queries"][identifier])
    return {"title+sentence": f"{title} {sentence}", "sentence": sentence, "title": title}[form]


def _document(texts: dict[str, Any], language: str, identifier: str) -> str:
    title, text = texts["documents"][language][identifier]
    return f"{title} {text}".strip()
