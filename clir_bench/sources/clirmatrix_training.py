"""Training data of CLIRMatrix: MULTI-8's own train split, with labels 1 to 5 as hard negatives, and a development split that is not evaluated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from clir_bench.sources.clirmatrix_files import ABSENT, Held, Ids, Lists, golds, mates_of
from clir_bench.sources.leakage import Example, Negative, Training, enforce
from clir_bench.sources.sampling import order
from clir_bench.task import Task

if TYPE_CHECKING:
    from clir_bench.sources.workshop import Built

NEGATIVES = 4
"""Hard negatives of a query at most: highest label first. Label 0 is filler and never one."""
SPARE = 1.4


class Part(NamedTuple):
    """The candidate lines of one split and pair, and their own articles by language, aligned with the lines."""

    lists: Lists
    mates: dict[str, Ids]


class Plan(NamedTuple):
    """The candidates, and the document ids whose texts they take. Of the query files only the candidates' lines are kept."""

    parts: dict[tuple[str, str, str], Part]
    ids: dict[str, list[int]]


def dev_splits(splits: Sequence[str]) -> tuple[str, ...]:
    """``dev``, and ``test2`` where ``dev`` itself may come to be evaluated: the first of them that is not is the development split (rule 5)."""
    return ("dev", "test2") if "dev" in splits else ("dev",)


def plan(task: Task, lists: dict[tuple[str, str, str], Lists], splits: Sequence[str]) -> Plan:
    """Candidates by hash order, some more than wanted: the leakage rules take their share."""
    parts: dict[tuple[str, str, str], Part] = {}
    ids: dict[str, set[int]] = {language: set() for language in task.languages}
    for split, number in (("train", task.recipe.train_per_pair), *((dev, task.recipe.dev_per_pair) for dev in dev_splits(splits))):
        for pair in task.language_pairs():
            found = lists[split, pair.query, pair.document]
            ranked = order(map(str, range(len(found.source))), f"clirmatrix:{split}:{pair}", task.recipe.seed)
            lines = [int(i) for i in ranked[: int(SPARE * number) + 10]]
            mates = {code: mates_of(lists, split, code)[lines] for code in task.languages}
            kept = Lists(found.source[lines], [found.texts[i] for i in lines], found.ids[lines], found.labels[lines])
            parts[split, pair.query, pair.document] = Part(kept, mates)
            for i in range(len(lines)):
                ids[pair.document].update((*_candidates(kept, i), int(mates[pair.document][i])))
    return Plan(parts, {language: sorted(found - {ABSENT}) for language, found in ids.items()})


def examples(task: Task, held: dict[str, Held], made: Plan, split: str, rule: str, built: Built) -> Training:
    """Clean examples, made while they are read, one document language at a time: the texts of all would not fit."""
    dropped: Counter[str] = Counter()
    pool = {d.id for d in built.documents}
    evaluated = [*(d.text for d in built.documents), *(q.text for q in built.queries)]
    dev = next(name for name in ("dev", "test2") if name != split)

    def clean() -> Iterator[Example]:
        for d in task.languages:
            yield from enforce(
                _rows_of(made, held[d], d, dev, rule, pool, dropped),
                query_keys={q.id for q in built.queries},
                document_ids=pool,
                evaluated_texts=evaluated,
                dropped=dropped,
                cap={"train": task.recipe.train_per_pair, "dev": task.recipe.dev_per_pair},
            )

    return Training(clean(), dropped, [])


def _rows_of(made: Plan, held: Held, d: str, dev: str, rule: str, pool: set[str], dropped: Counter[str]) -> Iterator[Example]:
    """The examples of a document language. Rule 3: a line falls if its article in any language is an evaluated document."""
    texts, whole = held.texts(set(made.ids[d])), held.whole
    usable = set(whole.tolist())
    for (name, q, language), (found, mates) in made.parts.items():
        if language != d or name not in ("train", dev):
            continue
        kind: Literal["train", "dev"] = "train" if name == "train" else "dev"
        for i, gold in enumerate(golds(found, rule, whole, mates[d]).tolist()):
            if any(f"{code}:{of[i]}" in pool for code, of in mates.items()):
                dropped["rule 3"] += 1
            elif gold == ABSENT or gold not in texts:
                dropped["without a document"] += 1
            else:
                listed = zip(found.ids[i].tolist(), found.labels[i].tolist(), strict=True)
                hard = [(n, label) for n, label in listed if 1 <= label <= 5 and n != gold and n in usable and n in texts]
                negatives = tuple(Negative(f"{d}:{n}", texts[n], label) for n, label in hard[:NEGATIVES])
                yield Example(kind, q, d, f"{q}:{found.source[i]}", f"{d}:{gold}", found.texts[i], texts[gold], negatives)


def _candidates(found: Lists, line: int) -> list[int]:
    """Ids whose text a line may need: the first places, label 6, and the hard negatives."""
    ids, labels = found.ids[line], found.labels[line]
    hard = ids[(labels >= 1) & (labels <= 5)]
    return [*ids[:3].tolist(), *ids[labels == 6].tolist(), *hard[: NEGATIVES + 3].tolist()]
