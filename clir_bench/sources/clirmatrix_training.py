"""Training data of CLIRMatrix: MULTI-8's own train split, with labels 1 to 5 as hard negatives, and a development split that is not evaluated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from clir_bench.sources.clirmatrix_files import ABSENT, Held, Lists, golds, mates_of
from clir_bench.sources.leakage import Example, Negative, Training, enforce
from clir_bench.sources.sampling import order
from clir_bench.task import Task

if TYPE_CHECKING:
    from clir_bench.sources.workshop import Built

NEGATIVES = 4
"""Hard negatives of a query at most: highest label first. Label 0 is filler and never one."""
SPARE = 1.4


class Plan(NamedTuple):
    """Which lines of which pair are candidates, and the document ids whose texts that takes."""

    lines: dict[tuple[str, str, str], list[int]]
    ids: dict[str, list[int]]


def dev_splits(splits: Sequence[str]) -> tuple[str, ...]:
    """``dev``, and ``test2`` where ``dev`` itself may come to be evaluated: the first of them that is not is the development split (rule 5)."""
    return ("dev", "test2") if "dev" in splits else ("dev",)


def plan(task: Task, lists: dict[tuple[str, str, str], Lists], splits: Sequence[str]) -> Plan:
    """Candidates by hash order, some more than wanted: the leakage rules take their share."""
    lines: dict[tuple[str, str, str], list[int]] = {}
    ids: dict[str, set[int]] = {language: set() for language in task.languages}
    for split, number in (("train", task.recipe.train_per_pair), *((dev, task.recipe.dev_per_pair) for dev in dev_splits(splits))):
        for pair in task.language_pairs():
            found = lists[split, pair.query, pair.document]
            ranked = order(map(str, range(len(found.source))), f"clirmatrix:{split}:{pair}", task.recipe.seed)
            lines[split, pair.query, pair.document] = chosen = [int(i) for i in ranked[: int(SPARE * number) + 10]]
            mates = mates_of(lists, split, pair.document)
            for i in chosen:
                ids[pair.document].update((*_candidates(found, i), int(mates[i])))
    return Plan(lines, {language: sorted(found - {ABSENT}) for language, found in ids.items()})


def examples(task: Task, lists: dict[tuple[str, str, str], Lists], held: dict[str, Held], made: Plan, split: str, rule: str, built: Built) -> Training:
    """Clean examples. Rule 3: a line falls if its article in any language is an evaluated document."""
    dropped: Counter[str] = Counter()
    pool = {d.id for d in built.documents}
    dev = next(name for name in ("dev", "test2") if name != split)
    clean: list[Example] = []
    for d in task.languages:  # one document language at a time: the texts of all would not fit
        texts, usable, rows = held[d].texts(), set(held[d].whole.tolist()), []
        for (name, q, language), lines in made.lines.items():
            if language != d or name not in ("train", dev):
                continue
            found = lists[name, q, d]
            chosen = golds(found, rule, held[d].whole, mates_of(lists, name, d))
            mates = {code: mates_of(lists, name, code) for code in task.languages}
            kind: Literal["train", "dev"] = "train" if name == "train" else "dev"
            for i in lines:
                gold = int(chosen[i])
                if any(f"{code}:{of[i]}" in pool for code, of in mates.items()):
                    dropped["rule 3"] += 1
                elif gold == ABSENT or gold not in texts:
                    dropped["without a document"] += 1
                else:
                    listed = zip(found.ids[i].tolist(), found.labels[i].tolist(), strict=True)
                    hard = [(n, label) for n, label in listed if 1 <= label <= 5 and n != gold and n in usable and n in texts]
                    negatives = tuple(Negative(f"{d}:{n}", texts[n], label) for n, label in hard[:NEGATIVES])
                    rows.append(Example(kind, q, d, f"{q}:{found.source[i]}", f"{d}:{gold}", found.texts[i], texts[gold], negatives))
        clean += enforce(
            rows,
            query_keys={q.id for q in built.queries},
            document_ids=pool,
            evaluated_texts=[*(d.text for d in built.documents), *(q.text for q in built.queries)],
            dropped=dropped,
            cap={"train": task.recipe.train_per_pair, "dev": task.recipe.dev_per_pair},
        )
    return Training(clean, dict(dropped), [])


def _candidates(found: Lists, line: int) -> list[int]:
    """Ids whose text a line may need: the first places, label 6, and the hard negatives."""
    ids, labels = found.ids[line], found.labels[line]
    hard = ids[(labels >= 1) & (labels <= 5)]
    return [*ids[:3].tolist(), *ids[labels == 6].tolist(), *hard[: NEGATIVES + 3].tolist()]
