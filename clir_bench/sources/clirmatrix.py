"""CLIRMatrix MULTI-8 (Sun and Duh 2020): 56 query files a split, then 8 document collections one at a time, only wanted lines kept.

The paper names neither split nor gold rule, so each candidate is scored against its document counts, never against a retrieval score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from clir_bench.collection import Document, Judgement, Query
from clir_bench.errors import CollectionError
from clir_bench.progress import bar
from clir_bench.sources import clirmatrix_training as training
from clir_bench.sources.clirmatrix_files import (
    ABSENT,
    Held,
    Ids,
    Index,
    Lists,
    check_alignment,
    golds,
    lists_path,
    mates_of,
    read_documents,
    read_lists,
    stage_of,
)
from clir_bench.sources.workshop import Built, Graded, Workshop
from clir_bench.task import Task
from clir_bench.task_records import Reported

SPLITS, RULES = ("test1", "test2", "dev"), ("top1", "six", "mate")


def build(task: Task, shop: Workshop) -> Built:
    """The collection by the (split, rule) that the counts decide, or that the recipe names."""
    index = Index(shop.downloads.get(task.file("index")))
    splits = SPLITS if task.recipe.split in (None, "by-count") else (task.recipe.split,)
    rules = RULES if task.recipe.gold in (None, "by-count") else (task.recipe.gold,)
    read = (*splits, *(("train", *training.dev_splits(splits)) if shop.train else ()))
    files = [index.queries(q, d, s) for s in dict.fromkeys(read) for q, d in _pairs(task)]
    collections = {d: index.documents(d) for d in task.languages}
    mark = "+".join((*dict.fromkeys(read), *rules))
    shop.announce(
        [
            *(f for f in files if not lists_path(shop, f).is_file()),
            *(f for f in collections.values() if not (shop.folder / f"{stage_of(f, mark)}.jsonl").is_file()),
        ]
    )
    lists: dict[tuple[str, str, str], Lists] = {}
    with bar("query files", len(files), "", shop.progress) as shown:
        for s, (q, d) in product(dict.fromkeys(read), _pairs(task)):
            lists[s, q, d] = read_lists(shop, index.queries(q, d, s))
            shown.update(1)
    listed = check_alignment(lists, task.languages)
    wanted = training.plan(task, lists, splits) if shop.train else None
    lists = {key: found for key, found in lists.items() if key[0] in splits}  # of the others the plan keeps what it takes
    held = {d: read_documents(shop, collections[d], _eval_lists(lists, splits, d), wanted.ids[d] if wanted else (), rules, mark) for d in task.languages}
    split, rule, notes, sizes = _decide(task, lists, held, splits, rules)
    built = _collect(task, lists, held, split, rule)
    counts = {**built.counts, **sizes, **listed}
    taught = training.examples(task, held, wanted, split, rule, built) if wanted else None
    evaluated = {key: found for key, found in lists.items() if key[0] == split}  # the others are let go
    return built._replace(counts=counts, notes=notes, graded=_graded(task, evaluated, split), training=taught)


def _pairs(task: Task) -> list[tuple[str, str]]:
    return [(pair.query, pair.document) for pair in task.language_pairs()]


def _eval_lists(lists: dict[tuple[str, str, str], Lists], splits: Sequence[str], language: str) -> list[tuple[Lists, Ids]]:
    """The evaluated lists that a document language is searched by, each with the queries' own articles in that language."""
    return [(found, mates_of(lists, s, language)) for (s, _, d), found in lists.items() if s in splits and d == language]


def _decide(
    task: Task, lists: dict[tuple[str, str, str], Lists], held: dict[str, Held], splits: Sequence[str], rules: Sequence[str]
) -> tuple[str, str, tuple[str, ...], dict[str, int]]:
    """The (split, rule) whose document counts are the paper's; the first candidate if none is. Also what was found, for the manifest."""
    paper = task.paper or Reported(where="-")
    found: list[tuple[str, str, list[int]]] = []
    for split, rule in product(splits, rules):
        sizes = []
        for language in task.languages:
            pool: set[int] = set()
            for entry, mates in _eval_lists(lists, [split], language):
                pool.update(golds(entry, rule, held[language].present, mates).tolist())
            sizes.append(len(pool - {ABSENT}))
        found.append((split, rule, sizes))
    matching = [
        (s, r)
        for s, r, sizes in found
        if sum(sizes) == paper.documents and (min(sizes), max(sizes)) == (paper.documents_per_language or (min(sizes), max(sizes)))
    ]
    split, rule = matching[0] if matching else (found[0][0], found[0][1])
    stated = f"{paper.documents} documents, {'-'.join(map(str, paper.documents_per_language or ()))} a language"
    verdict = f"split {split}, rule {rule}: " + (f"matches the paper's {stated}" if matching else f"the first candidate; none gives the paper's {stated}")
    lines = tuple(f"{s}, {r}: {sum(sizes)} documents, {min(sizes)} to {max(sizes)} a language" for s, r, sizes in found)
    return split, rule, (verdict, *lines), {f"documents_{s}_{r}": sum(sizes) for s, r, sizes in found}


def _collect(task: Task, lists: dict[tuple[str, str, str], Lists], held: dict[str, Held], split: str, rule: str) -> Built:
    """Documents, queries and judgements; equal texts of a language are one document, the lowest id."""
    counts: Counter[str] = Counter()
    documents: list[Document] = []
    judgements: list[Judgement] = []
    for language in task.languages:
        mates, here = mates_of(lists, split, language), held[language]
        chosen = {}
        for q in task.languages:
            if entry := lists.get((split, q, language)):
                everything = golds(entry, rule, None, mates)
                chosen[q] = golds(entry, rule, here.whole, mates)
                counts["golds_absent_from_collection"] += int(((everything != ABSENT) & ~np.isin(everything, here.present)).sum())
                counts["golds_that_are_stubs"] += int(np.isin(everything, here.stubs).sum())
                counts["queries_without_gold"] += int((chosen[q] == ABSENT).sum())
        ids = {int(d) for found in chosen.values() for d in found} - {ABSENT}
        texts = here.texts(ids)
        merged: dict[int, int] = {}
        by_text: dict[str, int] = {}
        for d in sorted(ids):
            merged[d] = by_text.setdefault(texts[d], d)
        counts["equal_texts_merged"] += len(merged) - len(by_text)
        documents += [Document(f"{language}:{d}", language, text) for text, d in by_text.items()]
        for q, found in chosen.items():
            asked = lists[split, q, language].source.tolist()
            judgements += [Judgement(f"{q}:{asked[i]}", f"{language}:{merged[d]}", 1) for i, d in enumerate(found.tolist()) if d != ABSENT]
    queries = []
    for q in task.languages:
        own = next(found for (s, language, _), found in lists.items() if (s, language) == (split, q))
        queries += [Query(f"{q}:{source}", q, text, str(i)) for i, (source, text) in enumerate(zip(own.source.tolist(), own.texts, strict=True))]
    if empty := [query.id for query in queries if not query.text]:
        raise CollectionError(f"CLIRMatrix: {len(empty)} queries without text, the first is {empty[0]}")
    return Built(documents, queries, judgements, dict(counts))


def _graded(task: Task, lists: dict[tuple[str, str, str], Lists], split: str) -> Iterator[Graded]:
    """All labels as listed, one pair after another."""
    for q, d in _pairs(task):
        found = lists[split, q, d]
        keep = found.ids != ABSENT
        topic = np.repeat(np.arange(len(found.source), dtype=np.int32), keep.sum(axis=1))
        yield Graded(q, d, {"topic": topic, "query": found.source[topic], "document": found.ids[keep], "label": found.labels[keep]})
