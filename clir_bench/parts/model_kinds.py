"""What a model's files say it is. sentence-transformers takes nearly everything for a dense encoder; here, what is none is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Router
from sentence_transformers.util import fullname
from sentence_transformers.util.file_io import load_file_path

from clir_bench.errors import ModelError

_KINDS = {
    "SparseEncoder": "a sparse encoder, whose vectors have a component for every word. clir-bench has no option for it: name a dense encoder",
    "MultiVectorEncoder": "a multi-vector encoder (late interaction), which has a vector for every token. clir-bench has no option for it: name a dense encoder",
    "CrossEncoder": "a cross-encoder, which reads query and document together. Name it as a re-ranker: --rerank {model}",
}


def refuse_other_kinds(model: str, revision: str | None) -> None:
    """Raise ModelError for a sparse, multi-vector or cross-encoder and for a classifier, as the files say that would be loaded next."""
    kind = str(_read(model, "config_sentence_transformers.json", revision).get("model_type", ""))
    if kind in _KINDS:
        raise ModelError(f"{model}: it is {_KINDS[kind].format(model=model)}.")
    if load_file_path(model, "modules.json", revision=revision) is not None:
        return
    config = _read(model, "config.json", revision)
    classifier = next((name for name in config.get("architectures") or [] if str(name).endswith("ForSequenceClassification")), None)
    if classifier:
        labels = len(config.get("id2label") or "12")  # 2 is what is not written down
        use = f"If it scores pairs, name it as a re-ranker: --rerank {model}" if labels <= 2 else "Name an encoder"
        raise ModelError(f"{model}: it is a classifier of {labels} label{'s' * (labels != 1)} ({classifier}), not an encoder. {use}.")


def refuse_other_similarity(name: str, model: SentenceTransformer) -> None:
    """Raise ModelError for a model that ranks by anything but the angle: normalised vectors would rank otherwise."""
    by = model.similarity_fn_name
    unit = _ends_in_unit_vectors(list(model)) and not model.truncate_dim
    if by != "cosine" and not (unit and by in ("dot", "euclidean")):  # of unit vectors, these two rank as the cosine does
        raise ModelError(
            f"{name}: it compares by {by} vectors whose lengths count (no Normalize module at its end), which clir-bench would normalise and so rank otherwise."
            " It has no number here rather than a wrong one."
        )


def refuse_lost_activations(name: str, folder: Path | None, network: torch.nn.Module) -> None:
    """Raise ModelError where a Dense module has another activation than its file says: one that is not torch's becomes Tanh with a line on the log."""
    loaded = {fullname(module.activation_function) for module in network.modules() if isinstance(module, Dense)}
    for file in sorted(folder.rglob("config.json")) if folder and loaded else ():
        said = _parse(file)
        wanted = str(said.get("activation_function"))
        if {"in_features", "out_features", "activation_function"} <= said.keys() and not wanted.startswith("torch.") and wanted not in loaded:
            raise ModelError(
                f"{name}: {file.relative_to(folder or file.parent).as_posix()} wants the activation {wanted!r}, which is code from elsewhere; sentence-transformers would"
                " put Tanh in its place. If torch has the same (torch.nn.modules.activation...), say so in a copy of the model's folder and name that."
            )


def _ends_in_unit_vectors(modules: Sequence[Any]) -> bool:
    last: Any = modules[-1]
    return isinstance(last, Normalize) or (isinstance(last, Router) and all(_ends_in_unit_vectors([*route.children()]) for route in last.sub_modules.values()))


def _read(model: str, name: str, revision: str | None) -> dict[str, Any]:
    found = load_file_path(model, name, revision=revision)
    return _parse(Path(found)) if found else {}


def _parse(file: Path) -> dict[str, Any]:
    """A file's object; an empty one where it has none, which loading will tell of."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
