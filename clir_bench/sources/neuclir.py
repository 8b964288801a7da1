"""TREC NeuCLIR 2022: topics in English and in human translations, graded judgements over Persian, Russian and Chinese news.

``topics`` is JSON lines: ``topic_id`` and ``topics`` = [{``lang``, ``source``, ``topic_title``, ``topic_description``}, ...]; ``qrels`` has topic,
language, document, grade (3, 1, 0); a collection is gzipped JSON lines with ``id``, ``title``, ``text``. The pool is what was judged.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from clir_bench import languages
from clir_bench.collection import Document, Judgement, Query
from clir_bench.errors import CollectionError
from clir_bench.sources.sampling import norm
from clir_bench.sources.workshop import Built, Workshop, lines_of, reading_gzip
from clir_bench.task import Task

_SOURCES = ("original", "human translation")
"""Whose texts a query is taken from, the better first; google's translations are not used."""


def build(task: Task, shop: Workshop) -> Built:
    """Every topic with a judgement, in every query language it has a text in."""
    shop.announce(f for f in task.files if not (shop.folder / f"texts-{f.name.partition('/')[2]}.jsonl").is_file())
    counts: Counter[str] = Counter()
    judged = _judgements(shop.downloads.get(task.file("qrels")))
    texts: dict[str, dict[str, str]] = {}
    for language in task.languages:
        wanted = sorted({document for lang, _, document, _ in judged if lang == language})
        texts[language] = dict(shop.rows(f"texts-{language}", partial(_texts, task, shop, language, set(wanted))))
        shop.downloads.drop(task.file(f"corpus/{language}"))
        counts["judged_documents_absent"] += len(wanted) - len(texts[language])
    asked = _queries(shop.downloads.get(task.file("topics")), task.query_languages, {topic for _, topic, _, _ in judged})
    for code in task.query_languages:
        counts[f"topics_in_{code}"] = sum(query.language == code for query in asked)
    documents = [Document(f"{language}:{key}", language, text) for language, found in texts.items() for key, text in found.items()]
    of_topic: dict[str, list[tuple[str, int]]] = {}
    for language, topic, document, grade in judged:
        if document in texts.get(language, ()):
            of_topic.setdefault(topic, []).append((f"{language}:{document}", grade))
    judgements = [Judgement(query.id, document, grade) for query in asked for document, grade in of_topic.get(query.topic, ())]
    return Built(documents, asked, judgements, dict(counts))


def _judgements(path: Path) -> list[tuple[str, str, str, int]]:
    """(language, topic, document, grade) of each line."""
    found = []
    for number, line in lines_of(path):
        cells = line.split()
        if len(cells) == 4 and cells[3].lstrip("-").isdigit():
            found.append((languages.from_iso639_3(cells[1]), cells[0], cells[2], max(0, int(cells[3]))))
        else:
            raise CollectionError(f"{path}:{number}: not topic, language, document, grade, but {line[:80]!r}")
    return found


def _queries(path: Path, wanted: tuple[str, ...], judged: set[str]) -> list[Query]:
    """Title and description of each judged topic, in each wanted language."""
    queries: list[Query] = []
    for number, line in lines_of(path):
        try:
            row = json.loads(line)
            topic = str(row["topic_id"])
            best: dict[str, tuple[int, str]] = {}
            for form in row["topics"]:
                code, source = languages.from_iso639_3(form["lang"]), str(form.get("source", "original"))
                text = norm(f"{form['topic_title']} {form['topic_description']}")
                if code in wanted and source in _SOURCES and text:
                    best[code] = min(best.get(code, (len(_SOURCES), "")), (_SOURCES.index(source), text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CollectionError(f"{path}:{number}: not a topic with topic_id and topics: {error!r}") from None
        if topic in judged:
            queries += [Query(f"{code}:{topic}", code, text, topic) for code, (_, text) in sorted(best.items())]
    return queries


def _texts(task: Task, shop: Workshop, language: str, wanted: set[str]) -> Iterator[tuple[str, str]]:
    file = task.file(f"corpus/{language}")
    path = shop.downloads.get(file)
    with reading_gzip(path, file.name, shop.progress) as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                if row["id"] in wanted and (text := norm(f"{row.get('title') or ''} {row['text'] or ''}")):
                    yield row["id"], text
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise CollectionError(f"{path}:{number}: not a line of id, title and text: {error!r}") from None
