"""Training examples, and the rules that keep what is evaluated out of them: enforced, counted, written into the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection as Sized
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from clir_bench.sources.sampling import fold

RULES = {
    1: "no evaluated query id, in any language",
    2: "no evaluated document id, neither as positive nor as negative",
    3: "CLIRMatrix: no line whose article in any language is an evaluated relevant document",
    4: "mMARCO: no evaluated document id, although the splits are disjoint",
    5: "checkpoints are chosen on a development split of their own, never on the evaluated pool",
    6: "phrases: no exact text of an evaluated sentence pair",
    7: "words: split by word as distributed",
    8: "no text equal to an evaluated query or document after norm and casefold",
    9: "what models were trained on is reported, not removed: see contains",
}


class Negative(NamedTuple):
    """A document that is not relevant to the example's query; ``label`` is the source's."""

    id: str
    text: str
    label: int


class Example(NamedTuple):
    """A query and a relevant document. ``key`` is the query's id at its source, the same in every language."""

    split: Literal["train", "dev"]
    query_language: str
    document_language: str
    key: str
    document_id: str
    query: str
    document: str
    negatives: tuple[Negative, ...] = ()


class Training(NamedTuple):
    """Clean examples, how many fell to each rule, and pairs of related documents that are no negatives.

    ``examples`` may be made while they are read, once; ``dropped`` is complete when they have been.
    """

    examples: Iterable[Example]
    dropped: Mapping[str, int]
    related: list[tuple[str, str]]


def enforce(
    examples: Iterable[Example],
    *,
    query_keys: Sized[str],
    document_ids: Sized[str],
    evaluated_texts: Iterable[str],
    dropped: Counter[str],
    cap: dict[str, int],
) -> Iterator[Example]:
    """The examples that pass rules 1, 2 and 8, at most ``cap[split]`` for each split and pair, in the order given; ``dropped`` is counted up."""
    texts = {fold(text) for text in evaluated_texts}
    taken: Counter[tuple[str, str, str]] = Counter()
    for example in examples:
        place = (example.split, example.query_language, example.document_language)
        if taken[place] >= cap[example.split]:
            continue
        if example.key in query_keys:
            dropped["rule 1"] += 1
        elif example.document_id in document_ids:
            dropped["rule 2"] += 1
        elif fold(example.query) in texts or fold(example.document) in texts:
            dropped["rule 8"] += 1
        else:
            taken[place] += 1
            yield example._replace(negatives=_clean(example.negatives, document_ids, texts, dropped))


def leaks(examples: Iterable[Example], *, document_ids: Sized[str], evaluated_texts: Iterable[str]) -> list[str]:
    """What a check of finished training data finds; empty when it is clean."""
    texts = {fold(text) for text in evaluated_texts}
    found = Counter[str]()
    for example in examples:
        for identifier, text in ((example.document_id, example.document), *((n.id, n.text) for n in example.negatives)):
            found["rule 2"] += identifier in document_ids
            found["rule 8"] += fold(text) in texts
        found["rule 8"] += fold(example.query) in texts
    return [f"training data: {n} break {rule} ({RULES[int(rule[-1])]})" for rule, n in sorted(found.items()) if n]


def _clean(negatives: Sequence[Negative], document_ids: Sized[str], texts: set[str], dropped: Counter[str]) -> tuple[Negative, ...]:
    clean = []
    for negative in negatives:
        if negative.id in document_ids:
            dropped["rule 2, negatives"] += 1
        elif fold(negative.text) in texts:
            dropped["rule 8, negatives"] += 1
        else:
            clean.append(negative)
    return tuple(clean)
