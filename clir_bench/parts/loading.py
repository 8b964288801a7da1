"""A guard on every model load: weights are loaded as what they are, or not at all.

transformers fills what a checkpoint lacks with random numbers and drops what it does not know, with a table on the log and no error. Inside
``guarded`` such a load is refused. Its report function is replaced for the time of the block, since sentence-transformers hands no report on.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from transformers import PreTrainedModel, modeling_utils
from transformers.integrations import peft

from clir_bench.errors import ModelError


@contextmanager
def guarded(model: str, *, new_head: bool = False) -> Iterator[None]:
    """Refuse every transformers model that is loaded in the block with missing, unexpected or mismatched tensors.

    ``model`` is the name for the message. Allowed are heads that an encoder does not use and the pooler that it does not have; with ``new_head``
    (a classifier that is about to be trained) also a head that the checkpoint lacks. Raises ModelError, in place of the error that such a load causes.
    """
    with _LOCK, _recorded() as loads:
        try:
            yield
        except Exception as error:
            problems = [problem for load in loads.reports if (problem := _problem(load, new_head))]
            if problems:
                raise ModelError(f"{model}: {' '.join(problems)}") from error
            raise
    problems = [problem for load in loads.reports if (problem := _problem(load, new_head))]
    if problems:
        raise ModelError(f"{model}: {' '.join(problems)}")
    if loads.built and not loads.reports:
        raise ModelError(
            f"{model}: transformers loaded {' and '.join(sorted(loads.built))} without a report of the tensors, so nothing says that the weights are the"
            " checkpoint's. This release of transformers works differently inside: install one that clir-bench was tested with (see constraints.txt)."
        )


_UNUSED_HEADS = {  # tensors of a checkpoint that its encoder does not need
    r"lm_head\.": "masked and causal language models: XLM-R, RoBERTa, GTE, Qwen",
    r"cls\.": "BERT's language model and next sentence, Nomic's language model",
    r"(head\.(dense|norm)|decoder)\.": "ModernBERT's language model and classifier",
    r"vocab_(transform|layer_norm|projector)\.": "DistilBERT's language model",
    r"(predictions|sop_classifier)\.": "ALBERT's language model and sentence order",
    r"(generator_(predictions|lm_head)|discriminator_predictions)\.": "ELECTRA, ConvBERT",
    r"(entity_predictions|pred_layer)\.": "language models of LUKE and XLM",
    r"(classifier|pre_classifier|score|qa_outputs|sequence_summary)\.": "classifiers, token classifiers, question answering",
    r"dense\.": "EuroBERT's classifier",
    r"(\w+\.)?pooler\.": "the pooler of an encoder that is loaded without one",
}
_UNUSED_POOLER = {r"pooler\.": "an encoder's pooler: vectors come from the last hidden state"}
_HEADS = {  # tensors that a checkpoint of an encoder lacks, where a classifier is loaded from it
    r"(classifier|pre_classifier|score|sequence_summary)\.": "all classifiers",
    r"(\w+\.)?pooler\.": "BERT's dense layer between encoder and classifier",
    r"(head\.(dense|norm)|dense)\.": "the same of ModernBERT and EuroBERT",
}


@dataclass(frozen=True)
class _Report:
    """What transformers says of one load."""

    kind: str
    missing: frozenset[str]
    unexpected: frozenset[str]
    mismatched: frozenset[str]
    errors: tuple[str, ...]


@dataclass(frozen=True)
class _Loads:
    reports: list[_Report]
    built: set[str]


_LOCK = threading.RLock()
_SHOWN = 8


def _problem(report: _Report, new_head: bool) -> str | None:
    classifier = report.kind.endswith("ForSequenceClassification")
    allowed = _HEADS if classifier and new_head else {} if classifier else _UNUSED_POOLER
    missing = _without(report.missing, allowed)
    found = [("missing", missing), ("unexpected", _without(report.unexpected, _UNUSED_HEADS)), ("mismatched", sorted(report.mismatched))]
    told = [f"{len(names)} tensors {what} ({_some(names)})" for what, names in found if names]
    told += [error[:300] for error in report.errors]
    if not told:
        return None
    if classifier and len(told) == 1 and missing and not _without(report.missing, _HEADS):
        way_out = "The checkpoint is an encoder's: name a reranker, or train the head first."
    else:
        way_out = "Name a checkpoint that was saved from this architecture."
    return f"the checkpoint does not fit {report.kind}: {', '.join(told)}. A part of the weights would be random. {way_out}"


def _without(names: Sequence[str] | frozenset[str], patterns: dict[str, str]) -> list[str]:
    return sorted(name for name in names if not any(re.match(pattern, name) for pattern in patterns))


def _some(names: Sequence[str]) -> str:
    rest = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join([*names[:_SHOWN], *rest])


@contextmanager
def _recorded() -> Iterator[_Loads]:
    """Collect this thread's load reports in place of transformers' table, and the classes of models that are built, its own way of telling."""
    loads, owner = _Loads([], set()), threading.get_ident()
    build: Callable[..., None] = PreTrainedModel.__init__
    places: list[tuple[ModuleType, Callable[..., None]]] = [
        (place, place.log_state_dict_report) for place in (modeling_utils, peft) if hasattr(place, "log_state_dict_report")
    ]

    def record(*args: Any, **kwargs: Any) -> None:
        if threading.get_ident() != owner:
            places[0][1](*args, **kwargs)
            return
        given = [*args, *kwargs.values()]
        info, loaded = next((x for x in given if hasattr(x, "missing_keys")), None), next((x for x in given if isinstance(x, PreTrainedModel)), None)
        if info is None or loaded is None:  # nothing is recorded, which the block refuses at its end
            return
        errors = (*info.error_msgs, *map(str, info.conversion_errors.values()))
        mismatched = frozenset(name for name, *_ in info.mismatched_keys)
        loads.reports.append(_Report(type(loaded).__name__, frozenset(info.missing_keys), frozenset(info.unexpected_keys), mismatched, errors))

    def noted(self: PreTrainedModel, *args: Any, **kwargs: Any) -> None:
        if threading.get_ident() == owner:
            loads.built.add(type(self).__name__)
        build(self, *args, **kwargs)

    try:
        for place, _ in places:
            place.log_state_dict_report = record  # type: ignore[attr-defined]
        PreTrainedModel.__init__ = noted  # type: ignore[method-assign]
        yield loads
    finally:
        PreTrainedModel.__init__ = build  # type: ignore[method-assign]
        for place, report in places:
            place.log_state_dict_report = report  # type: ignore[attr-defined]
