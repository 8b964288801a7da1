"""Whether a system was trained on what a task evaluates: computed from what is disclosed of its models, never typed in.

A task's ``contains`` names what it is made of: the originals first, its own data set last (MS MARCO, mMARCO). ``clean``: what the models were trained on is
disclosed, and nothing of it is in the task. ``source_seen``: only an original was seen, as MS MARCO's train split, of whose dev.small mMARCO is the
translation, was by E5. ``train_split_seen``: the data set itself, but not the queries that are evaluated. ``test_seen``: those, too. ``undisclosed``: what a
model was trained on, what a data set that it names holds, or what the task is made of, is not known; it never counts as clean. All rest on what people say
of their models, and on the table of data sets (training_data).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from clir_bench.models import ENCODERS, RERANKERS
from clir_bench.records import EncodeStage, ExternalStage, ModelReference, RerankStage, Stage, TrainingSource, TranslateStage
from clir_bench.training_data import EVALUATED, HOLDS, SAME

State = Literal["clean", "undisclosed", "source_seen", "train_split_seen", "test_seen"]
ORDER: tuple[State, ...] = ("clean", "undisclosed", "source_seen", "train_split_seen", "test_seen")
"""Best first. A filter takes a beginning of it: clean alone is "not trained on the data", with undisclosed it is "not known to be trained on the data"."""


class Contamination(NamedTuple):
    """The state, and the reason in a sentence without its full stop."""

    state: State
    reason: str


def states(stages: Iterable[Stage], contains: Sequence[str]) -> Contamination:
    """The state of a chain of stages on a task: that of its worst model. Translators are no retrieval training: they are named, not counted."""
    chain = tuple(stages)
    found = [model_state(stage.model, contains) for stage in chain if isinstance(stage, EncodeStage | RerankStage | ExternalStage)]
    worst = worst_of(found) if found else Contamination("clean", "BM25 is not trained")
    translators = dict.fromkeys(stage.model.name for stage in chain if isinstance(stage, TranslateStage) and stage.model)
    return worst._replace(reason=f"{worst.reason}; translation by {listed(translators)} is not counted") if translators else worst


def model_state(model: ModelReference, contains: Sequence[str]) -> Contamination:
    """The state of one model: by the table of models and its own disclosure together, and by those of the model it was adapted from."""
    if not contains:
        return Contamination("undisclosed", "the task does not say what it is made of")
    known = _TABLE.get(model.name.casefold())
    found = [_by_sources(model.name, _union(known, model.trained_on), contains)]
    if model.adapted_from:
        parent = _by_sources(model.adapted_from, _TABLE.get(model.adapted_from.casefold()), contains)
        found.append(parent._replace(reason=f"{model.name} comes from {model.adapted_from}: {parent.reason}"))
    return worst_of(found)


def listed(names: Iterable[str]) -> str:
    """The names as words of a sentence, of many the first three."""
    first = list(names)
    first = first if len(first) <= 3 else [*first[:3], f"{len(first) - 3:,} more"]
    return f"{', '.join(first[:-1])} and {first[-1]}" if first[1:] else first[0]


def worst_of(found: Iterable[Contamination]) -> Contamination:
    """The worst by ``ORDER``, the first of equals: of the models of a chain, of several tasks."""
    return max(found, key=lambda each: ORDER.index(each.state))


def _by_sources(name: str, sources: Sequence[TrainingSource] | None, contains: Sequence[str]) -> Contamination:
    if sources is None:
        return Contamination("undisclosed", f"what {name} was trained on is not known")
    seen = [(_overlap(source, contains), source) for source in sources]
    state = max((each for each, _ in seen), key=ORDER.index, default=ORDER[0])
    if state == "clean":
        return Contamination(state, f"nothing that {name} was trained on is in the task, by what is disclosed")
    told = {"undisclosed": "{0}", "source_seen": "{0}", "train_split_seen": "{0} ({1})", "test_seen": "{0} ({1}), which is evaluated"}[state]
    of = list(dict.fromkeys(told.format(s.dataset, s.split) for each, s in seen if each == state))
    unknown = f", which {'is' if len(of) == 1 else 'are'} not known here" if state == "undisclosed" else ""
    return Contamination(state, f"{name} was trained on {listed(of)}{unknown}")


def _overlap(source: TrainingSource, contains: Sequence[str]) -> State:
    """What having been trained on a source means for a task that is made of these."""
    *originals, own = ("".join(_words(name.partition(" (")[0])) for name in contains)
    named = _known(source.dataset) | _begun(source.dataset, (own, *originals))
    names = named | {held for name in named for held in HOLDS.get(name, ())}
    if (source.split == "test" and own in names) or any(EVALUATED.get((name, source.split)) == own for name in names):
        return "test_seen"
    if own in names:
        return "train_split_seen"
    if any(name in originals for name in names):
        return "source_seen"
    return "clean" if named else "undisclosed"


@lru_cache(maxsize=4096)
def _known(text: str) -> frozenset[str]:
    """The data sets of the table that a text names: ``microsoft/ms_marco`` and ``English MSMARCO-passages`` name one."""
    return frozenset(SAME.get(key, key) for key in _begun(text, (*HOLDS, *SAME)))


def _begun(text: str, keys: Iterable[str]) -> frozenset[str]:
    """The keys that a text begins with at any of its words; a key of four letters or fewer must be whole words (STS12 and MLQARetrieval are)."""
    words = _words(_BEFORE_A_PART.sub("", text.casefold()))
    tails = ["".join(words[at:]) for at in range(len(words))]
    runs = {"".join(words[at:end]) for at in range(len(words)) for end in range(at + 1, min(at + 4, len(words)) + 1)}
    whole = runs | {_ENDING.sub("", run) for run in runs}
    return frozenset(key for key in keys if (key in whole if len(key) < 5 else any(tail.startswith(key) for tail in tails)))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def _union(known: Sequence[TrainingSource] | None, stated: Sequence[TrainingSource] | None) -> tuple[TrainingSource, ...] | None:
    return None if known is None and stated is None else (*(known or ()), *(stated or ()))


_TABLE = {
    row.name.casefold(): None if row.trained_on is None else tuple(TrainingSource(dataset=name) for name in row.trained_on) for row in (*ENCODERS, *RERANKERS)
}
_ENDING = re.compile(r"(retrieval|reranking|classification|clustering|hardnegatives)?\d*$")
_BEFORE_A_PART = re.compile(r"^(beir|mteb)/(?=.)")
"""Publishers that are called like a mixture: ``mteb/scifact`` is a part of it."""
