"""What it takes to use a system: licences, sizes and dimensions of the models that are loaded to answer a query. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from clir_bench.records import EncodeStage, ExternalStage, FuseStage, LexicalStage, ModelReference, RerankStage, SearchStage, Stage, TranslateStage

LicenceClass = Literal["open", "unknown", "restricted", "proprietary"]
CLASSES: tuple[LicenceClass, ...] = ("open", "unknown", "restricted", "proprietary")
"""Freest first: a chain is in the last that one of its models is in."""


class ChainFacts(NamedTuple):
    """Facts of all models that are loaded to answer a query, each counted once; None where one of them does not say.

    ``models`` are ``org/model``; BM25 has none, and sums of 0. ``licence`` names each distinct one. ``embedding_dim`` is how many numbers stand for a
    document in the index, over all encoders; None where there is no vector. ``dtype`` names what encoders and re-rankers compute in.
    """

    models: tuple[str, ...]
    parameters: int | None
    weights_bytes: int | None
    licence: str | None
    licence_class: LicenceClass
    embedding_dim: int | None
    dtype: str | None


def spdx(text: str | None) -> str | None:
    """The SPDX identifier of a licence as hub and model cards spell it; the text itself where it has none, None where it says nothing."""
    words = _words(text)
    key = "-".join(words)
    if text is None or key in _SAYS_NOTHING:
        return None
    return key.upper() if _CREATIVE.fullmatch(key) else _OPEN.get(key, text.strip())


def licence_class(text: str | None) -> LicenceClass:
    """``open``: commercial use is free. ``restricted``: by purpose, consent or kind of use. Unknown never counts as open."""
    words = _words(text)
    key = "-".join(words)
    if any(word.startswith(_RESTRICTING) for word in words) or not _RESTRICTED_WORDS.isdisjoint(words):
        return "restricted"
    if key in _OPEN or _CREATIVE.fullmatch(key):
        return "open"
    return "proprietary" if words and words[0] in ("proprietary", "commercial", "closed") else "unknown"


def chain_facts(stages: Iterable[Stage]) -> ChainFacts:
    """Of encoders, re-rankers and external models; of a translator only where it translates queries: documents are translated once, before."""
    loaded: dict[tuple[str, str], ModelReference] = {}
    dims: list[int | None] = []
    dtypes: dict[str, None] = {}
    for stage in stages:
        if isinstance(stage, SearchStage | LexicalStage | FuseStage):
            continue
        if stage.model is None or (isinstance(stage, TranslateStage) and stage.texts == "documents"):
            continue
        loaded.setdefault((stage.model.name, stage.model.revision), stage.model)
        if isinstance(stage, EncodeStage | ExternalStage):
            dims.append(stage.model.embedding_dim)
        if isinstance(stage, EncodeStage | RerankStage):
            dtypes[stage.dtype] = None
    models = tuple(loaded.values())
    licences = dict.fromkeys(spdx(model.licence) for model in models)
    return ChainFacts(
        models=tuple(model.name for model in models),
        parameters=_total(model.parameters for model in models),
        weights_bytes=_total(model.weights_bytes for model in models),
        licence=None if None in licences or not licences else " + ".join(filter(None, licences)),
        licence_class=max((licence_class(model.licence) for model in models), key=CLASSES.index, default=CLASSES[0]),
        embedding_dim=_total(dims) if dims else None,
        dtype=" + ".join(dtypes) or None,
    )


def _total(numbers: Iterable[int | None]) -> int | None:
    known = list(numbers)
    return None if None in known else sum(filter(None, known))


def _words(text: str | None) -> tuple[str, ...]:
    """``Apache License, Version 2.0`` and ``apache-2.0`` are the same words."""
    return tuple(word for word in re.split(r"[\s_,()/-]+", (text or "").casefold()) if word not in ("", "the", "license", "licence", "version"))


_CREATIVE = re.compile(r"cc-by(-nc)?(-sa|-nd)?-\d\.\d(-[a-z]{2,3})?")
_OPEN = {
    "-".join(_words(name)): name
    for name in (
        "0BSD", "AFL-3.0", "AGPL-3.0", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Clear", "BSL-1.0", "CC0-1.0",
        "CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "CDLA-Sharing-1.0", "ECL-2.0", "EPL-1.0", "EPL-2.0", "EUPL-1.1", "EUPL-1.2", "GPL-2.0", "GPL-3.0", "ISC",
        "LGPL-2.1", "LGPL-3.0", "MIT", "MIT-0", "MPL-2.0", "MS-PL", "NCSA", "ODC-By-1.0", "OFL-1.1", "OSL-3.0", "PDDL-1.0", "PostgreSQL", "Unlicense", "Zlib",
        "etalab-2.0",
    )
}  # fmt: skip
"""By their words: the hub's identifiers that allow commercial use, as SPDX spells them."""
_RESTRICTED_WORDS = frozenset(("nc", "nd", "non", "gated", "rail", "rail++"))
_RESTRICTING = ("noncommercial", "research", "openrail", "gemma", "llama", "amlr", "tongyi")
_SAYS_NOTHING = ("", "unknown", "other", "none", "not-specified", "not-known")
