"""AfriCLIRMatrix (Ogundepo et al. 2022): English queries, Wikipedia articles in 15 African languages, labels like CLIRMatrix's.

``topics`` is ``query<TAB>title``, ``qrels`` TREC's four columns with labels 4 to 6, ``corpus`` JSON lines with ``id`` and ``contents``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from clir_bench.collection import Document, Judgement, Query
from clir_bench.errors import CollectionError
from clir_bench.sources.sampling import is_stub, norm, order
from clir_bench.sources.workshop import Built, Workshop, lines_of
from clir_bench.task import Task


def build(task: Task, shop: Workshop) -> Built:
    """Of each language the first ``queries_per_pair`` queries in hash order; the gold document is the first with the highest label."""
    shop.announce(f for f in task.files if not (shop.folder / f"language-{f.name.partition('/')[2]}.jsonl").is_file())
    documents: list[Document] = []
    judgements: list[Judgement] = []
    titles: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for language in task.languages:
        mine = shop.stage(f"language-{language}", partial(_read, task, shop, language))
        shop.downloads.drop(task.file(f"corpus/{language}"))
        counts.update(mine["counts"])
        titles |= mine["queries"]
        documents += [Document(f"{language}:{key}", language, text) for key, text in mine["documents"].items()]
        judgements += [Judgement(query, f"{language}:{document}", 1) for query, document in mine["golds"]]
    queries = [Query(key, "en", text, key) for key, text in sorted(titles.items())]
    return Built(documents, queries, judgements, dict(counts))


def _read(task: Task, shop: Workshop, language: str) -> dict[str, Any]:
    """The sampled queries, golds and gold documents of a language."""
    counts: Counter[str] = Counter()
    asked = {key: text for key, text in _rows(shop.downloads.get(task.file(f"topics/{language}"))) if text}
    judged: dict[str, list[tuple[int, str]]] = {}
    for query, (document, label) in _labels(shop.downloads.get(task.file(f"qrels/{language}"))):
        judged.setdefault(query, []).append((label, document))
    corpus = shop.downloads.get(task.file(f"corpus/{language}"))
    texts = dict(_documents(corpus, {document for found in judged.values() for _, document in found}))
    golds: list[tuple[str, str]] = []
    kept: dict[str, str] = {}
    by_text: dict[str, str] = {}
    for query in order(set(asked) & set(judged), f"africlirmatrix:{language}", task.recipe.seed):
        if len(golds) == task.recipe.queries_per_pair:
            break
        ranked = [document for _, document in sorted(judged[query], key=lambda row: -row[0])]
        counts["golds_absent_from_collection"] += ranked[0] not in texts
        gold = next((d for d in ranked if d in texts and not is_stub(texts[d])), None)
        if gold is None:
            counts["queries_without_gold"] += 1
            continue
        first = by_text.setdefault(texts[gold], gold)
        counts["equal_texts_merged"] += first != gold and gold not in kept
        kept[first] = texts[first]
        golds.append((query, first))
    return {"queries": {query: asked[query] for query, _ in golds}, "documents": kept, "golds": golds, "counts": counts}


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in lines_of(path):
        key, separator, text = line.partition("\t")
        if separator:
            yield key.strip(), norm(text)
        else:
            raise CollectionError(f"{path}:{number}: not query<TAB>title, but {line[:80]!r}")


def _labels(path: Path) -> Iterator[tuple[str, tuple[str, int]]]:
    for number, line in lines_of(path):
        cells = line.split()
        if len(cells) == 4 and cells[3].isdigit():
            yield cells[0], (cells[2], int(cells[3]))
        else:
            raise CollectionError(f"{path}:{number}: not query, Q0, document, label, but {line[:80]!r}")


def _documents(path: Path, wanted: set[str]) -> Iterator[tuple[str, str]]:
    for number, line in lines_of(path):
        try:
            row = json.loads(line)
            key = str(row["id"])
            if key in wanted:
                yield key, norm(f"{row.get('title') or ''} {row['contents'] or ''}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CollectionError(f"{path}:{number}: not a line of id and contents: {error!r}") from None
