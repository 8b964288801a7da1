"""mteb's text retrieval tasks as tasks of ours: all subsets and splits of one task in one shared pool, every pair query language first.

mteb keeps a corpus a subset and split. Here a text and its language are one document (or one query) however often they are repeated, and its id is
made of both, so neither the order of the subsets nor mteb's numbering changes anything.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from clir_bench import languages
from clir_bench.collection import Collection, Document, Judgement, Pair, Query, build_collection
from clir_bench.errors import CollectionError, TaskError
from clir_bench.integrations.mteb import DOCUMENT_FIRST
from clir_bench.task import Task
from clir_bench.task_records import Expectation

# Below the imports of ours: where mteb is missing, that of integrations.mteb has said what to install.
# isort: split
import mteb
from mteb._create_dataloaders import _retrieval_texts
from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.types import PromptType

SHARED_QUERY_IDS = {
    "BelebeleRetrieval": "load_data numbers each language's questions along one parallel set; a repeated question shifts the rest, see _numbered_apart",
    "CUREv1": "load_data reads one file of judgements for the questions of all languages",
    "MMarcoRetrievalMultilingual": "the ids of MS MARCO, whose questions are translated",
    "XQuADRetrieval": "the ids of SQuAD, whose questions are translated",
}
"""Tasks in which one query id is one question in every language, and why. MLQA, XPQA and Mintaka number the questions of every subset anew."""


def mteb_collection(name: str) -> tuple[Task, Collection]:
    """The mteb task ``name`` as one task over one pool.

    Raises TaskError for a task that is unknown, is no text retrieval or has no known direction, CollectionError for texts that cannot be had.
    """
    found = _find(name)
    pairs = {subset: _pair(found.metadata, subset) for subset in found.hf_subsets}
    merged = _Merged(found.metadata.name in SHARED_QUERY_IDS)
    for subset, split, part in _load(found):
        merged.add(pairs[subset], split, part)
    if found.ignore_identical_ids and (themselves := merged.counts["themselves"]):
        raise CollectionError(
            f"mteb task {name}: {themselves} queries are documents of the pool themselves. mteb leaves each query's own document out of its result, which a"
            " shared pool cannot. Evaluate this task in mteb: mteb.evaluate(clir_bench.mteb_model(...), ...)"
        )
    topics = merged.topics()
    queries = [Query(key, language, text, topics[key]) for key, (language, text) in merged.queries.items()]
    collection = build_collection(merged.documents.values(), queries, [Judgement(*judged, grade) for judged, grade in merged.grades.items()])
    return _describe(found.metadata, merged, collection), collection


def _find(name: str) -> AbsTaskRetrieval:
    """The task of that name, if it searches texts for texts."""
    try:
        found = mteb.get_task(name)
    except KeyError:
        known = {
            t.metadata.name.lower(): t.metadata.name for t in mteb.get_tasks(task_types=["Retrieval"], modalities=["text"], exclusive_modality_filter=True)
        }
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        cure = f"Did you mean 'mteb:{known[near[0]]}'?" if near else "List them with mteb.get_tasks(task_types=['Retrieval'], modalities=['text'])."
        raise TaskError(f"mteb {mteb.__version__} has no task {name!r}. {cure}") from None
    facts = found.metadata
    if not isinstance(found, AbsTaskRetrieval) or facts.type != "Retrieval" or list(facts.modalities) != ["text"]:
        raise TaskError(f"mteb task {name}: it is {facts.type} over {', '.join(facts.modalities)}. Only Retrieval over text has a pool to search.")
    return found


def _pair(facts: TaskMetadata, subset: str) -> Pair:
    """Query and document language of a subset, in our order."""
    codes = facts.hf_subsets_to_langscripts[subset]
    if strange := [code for code in codes if code.endswith("-Code") or not re.fullmatch(r"[a-z]{3}-[A-Z][a-z]{3}", code)]:
        raise TaskError(f"mteb task {facts.name}: subset {subset!r} is in {', '.join(strange)}. Only languages that people speak make pairs.")
    tags = [languages.from_mteb(code) for code in codes]
    if len(tags) != 2 or tags[0] == tags[1]:  # three codes are one language too: the Norwegian of MKQA and WebFAQ is nor, nno and nob
        return Pair(tags[0], tags[0])
    if facts.name not in DOCUMENT_FIRST:
        raise TaskError(f"mteb task {facts.name}: of subset {subset!r} it is not known which language is the query's. Known: {', '.join(DOCUMENT_FIRST)}")
    return Pair(*(tags[::-1] if DOCUMENT_FIRST[facts.name] else tags))


def _load(found: AbsTaskRetrieval) -> Iterator[tuple[str, str, Any]]:
    """(subset, split, mteb's texts and judgements), loaded as mteb loads them before it evaluates."""
    facts = found.metadata
    try:
        found.load_data()
        found.convert_v1_dataset_format_to_v2(num_proc=None)
        parts = [(subset, split, found.dataset[subset][split]) for subset in found.hf_subsets for split in found.eval_splits]
    except Exception as error:  # hundreds of foreign loaders: whatever they raise, the texts are not there
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise CollectionError(
            f"mteb task {facts.name}: {facts.dataset['path']} at revision {facts.dataset['revision']} could not be loaded: {why}\n"
            "  Run it once with the network and without HF_HUB_OFFLINE, or let HF_HOME name a folder (hub and datasets) that was filled that way."
        ) from error
    for subset, split, part in parts:
        if part.get("top_ranked") is not None:
            raise CollectionError(f"mteb task {facts.name}: subset {subset!r} ranks the candidates it is given, so there is no pool to search.")
        yield subset, split, part


@dataclass
class _Merged:
    """What was merged so far, by our ids; the highest grade of two that are judged again and again; what had to be left out."""

    shared_ids: bool
    documents: dict[str, Document] = field(default_factory=dict)
    queries: dict[str, tuple[str, str]] = field(default_factory=dict)
    grades: dict[tuple[str, str], int] = field(default_factory=dict)
    regraded: set[tuple[str, str]] = field(default_factory=set)
    numbers: defaultdict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))  # our query id: mteb's (split, id)
    golds: defaultdict[tuple[str, str, str], dict[str, set[str]]] = field(default_factory=lambda: defaultdict(dict))
    """(split, mteb's query id, document language): the relevant documents of each query language; only where ids are shared."""
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, pair: Pair, split: str, part: Any) -> None:
        """Merge one subset's split."""
        corpus, queries = part["corpus"], part["queries"]
        titles = corpus["title"][:] if "title" in corpus.column_names else [""] * len(corpus)
        texts = [f"{title or ''} {text or ''}".strip() for title, text in zip(titles, corpus["text"][:], strict=True)]
        pool = self._named(pair.document, corpus["id"][:], texts)
        asked = self._named(pair.query, queries["id"][:], _retrieval_texts(queries, PromptType.query)[:])
        self.documents.update((key, Document(key, pair.document, text)) for key, text in pool.values())
        for number, (key, text) in asked.items():
            self.queries[key] = (pair.query, text)
            self.numbers[key].add((split, number))
            self.counts["themselves"] += number in pool and pool[number][1] == text
        for number, judged in part["relevant_docs"].items():
            for document, stated in judged.items():
                if number not in asked or document not in pool:
                    self.counts["dangling"] += 1
                    continue
                both, grade = (asked[number][0], pool[document][0]), max(int(stated), 0)
                if self.grades.setdefault(both, grade) != grade:
                    self.regraded.add(both)
                self.grades[both] = max(self.grades[both], grade)
                if self.shared_ids and grade > 0:
                    self.golds[split, number, pair.document].setdefault(pair.query, set()).add(both[1])
        self.counts["parts"] += 1

    def topics(self) -> dict[str, str]:
        """The topic of each query: its least number in mteb where numbers are shared, else its own id."""
        apart = self._numbered_apart()
        return {key: " ".join(min(self.numbers[key])) if self.shared_ids and tag not in apart else key for key, (tag, _) in self.queries.items()}

    def _named(self, language: str, numbers: Sequence[str], texts: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Mteb's id to (our id, text), without empty texts. 64 bits of the hash: two of 32 million texts share them with probability 3e-5."""
        full = [(number, text) for number, text in zip(numbers, texts, strict=True) if text.strip()]
        self.counts["empty"] += len(texts) - len(full)
        return {number: (f"{language}:{hashlib.sha256(text.encode()).hexdigest()[:16]}", text) for number, text in full}

    def _numbered_apart(self) -> set[str]:
        """Query languages whose numbers mean other questions than most: among the same texts, other documents are relevant to the same number."""
        apart: set[str] = set()
        for cell in sorted(self.golds, key=lambda cell: (-len(self.golds[cell]), cell)):  # where most languages vote first
            votes = {language: frozenset(documents) for language, documents in self.golds[cell].items() if language not in apart}
            ranked = Counter(votes.values()).most_common(2)
            tied = len(ranked) == 2 and ranked[0][1] == ranked[1][1]
            apart |= {language for language, documents in votes.items() if tied or documents != ranked[0][0]}
        return apart


def _describe(facts: TaskMetadata, merged: _Merged, collection: Collection) -> Task:
    """Our task for what was merged."""
    counts, reference = merged.counts, str(facts.reference or "")
    told = [f"{facts.description.strip() or facts.name} ({counts['parts']} subsets and splits of mteb's {facts.name} over one pool)"]
    told += [f"Left out: {counts['empty']} empty texts."] if counts["empty"] else []
    told += [f"Left out: {counts['dangling']} judgements of texts that are empty or missing."] if counts["dangling"] else []
    told += [f"{len(merged.regraded)} judgements differ between subsets or splits: the highest grade is kept."] if merged.regraded else []
    return Task(
        format="clir-bench/task/1",
        name=f"mteb:{facts.name}",
        version=1,
        title=facts.name,
        description=" ".join(told),
        source="mteb",
        languages=collection.languages,
        query_languages=tuple(sorted(set(collection.queries.languages))),
        pairs=tuple(map(str, collection.pairs)),
        pool="all",
        licence=facts.license or "unknown",
        citation=(facts.bibtex_citation or "").strip() or reference or "none",
        homepage=reference if reference.startswith(("http://", "https://")) else None,
        expect=Expectation(pairs=len(collection.pairs), fingerprint=collection.fingerprint),
    )
