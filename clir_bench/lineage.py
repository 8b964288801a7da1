"""Where a system comes from: the other on its board that it differs from by one step, the ledger of steps, its chain in words. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, get_args

from clir_bench.contamination import listed
from clir_bench.records import EncodeStage, ExternalStage, FuseStage, LexicalStage, ModelReference, RerankStage, SearchStage, Stage, TranslateStage

StepKind = Literal["rerank", "fuse", "index", "queries", "documents", "fine_tuning", "dtype", "max_tokens", "prompts", "tokenizer", "protocol"]
Chain = Sequence[Stage]


class Step(NamedTuple):
    """The one step from ``parent``, an index into the systems that were given; ``text`` as "+ documents in English (nllb-200-distilled-600M)"."""

    parent: int
    kind: StepKind
    text: str


class Rung(NamedTuple):
    """A system of a ledger, and the step that led to it; None for the first."""

    system: int
    step: Step | None


class StageText(NamedTuple):
    """A stage in words: its kind, a title of a few words, and what decides its numbers."""

    kind: str
    title: str
    detail: str


def parent_of(systems: Sequence[Chain]) -> tuple[Step | None, ...]:
    """The step that made each system from another of these; None where no other differs by exactly one.

    Of several the last of a pipeline is taken: re-ranker, fusion, index, translation of queries, of documents, fine-tuning; then the settings: dtype,
    tokens, prompts, tokenizer, protocol, each against the plainest. No system is its own ancestor. ``systems`` are those of one board; those of the
    retrieval and the rerank track together tell what a re-ranker adds.
    """
    known = _Known(systems)
    steps = [next(known.steps(i), None) for i in range(len(systems))]
    for i in range(len(systems)):
        seen, at = {i}, steps[i]
        while at is not None and at.parent not in seen:
            seen.add(at.parent)
            at = steps[at.parent]
        if at is not None and at.parent == i:  # two models that both name the other as what they were adapted from
            steps[i] = None
    return tuple(steps)


def ledger(parents: Sequence[Step | None], system: int) -> tuple[Rung, ...]:
    """The steps from the system that has no parent to this one; ``parents`` as ``parent_of`` gives them."""
    rungs, at = [Rung(system, parents[system])], parents[system]
    while at is not None:
        rungs.append(Rung(at.parent, parents[at.parent]))
        at = parents[at.parent]
    return tuple(reversed(rungs))


def stage_texts(stages: Chain) -> tuple[StageText, ...]:
    """Each stage of a chain in words, in order; plain text."""
    return tuple(StageText(stage.kind, *_told(stage)) for stage in stages)


_Key = tuple[tuple[object, ...], ...]
_SETTINGS: dict[StepKind, dict[str, tuple[str, ...]]] = {
    "index": {"search": ("index", "library", "m", "ef_construction", "ef", "seed")},
    "dtype": {"encode": ("dtype",), "rerank": ("dtype",)},
    "max_tokens": {"encode": ("max_tokens",)},
    "prompts": {"encode": ("query_prompt", "document_prompt")},
    "tokenizer": {"lexical": ("tokenizer",)},
    "protocol": {"encode": ("protocol", "pooling", "normalize", "max_tokens", "query_prompt", "document_prompt")},
}
"""What a step that adds nothing may change, by kind of stage; the protocol decides pooling, prompts and tokens."""
_COUNTED = frozenset(("kind", "truncated", "cut", "untranslated"))
_DTYPES = ("float32", "bfloat16", "float16", "server")


class _Known:
    """The chains of a board by all of them but one step, so that a parent is looked up, not searched for."""

    def __init__(self, systems: Sequence[Chain]) -> None:
        self.systems = systems
        self.whole: dict[_Key, int] = {}
        self.plainest: dict[tuple[StepKind, _Key], int] = {}
        self.by_model: dict[tuple[str, _Key], int] = {}
        for i, chain in enumerate(systems):
            self.whole.setdefault(_key(chain), i)
            for kind in _SETTINGS:
                first = self.plainest.setdefault((kind, _key(chain, kind)), i)
                if _values(kind, chain) < _values(kind, systems[first]):
                    self.plainest[kind, _key(chain, kind)] = i
            for at, model in _models(chain):
                self.by_model.setdefault((model.name, _key(chain, model_at=at)), i)

    def steps(self, i: int) -> Iterator[Step]:
        """The steps that end at a system, in the order in which they are preferred."""
        for kind in get_args(StepKind):
            if kind in _SETTINGS:
                yield from self._changed(kind, i)
            elif kind == "fine_tuning":
                yield from self._fine_tuned(i)
            else:
                for text, before in _without(kind, self.systems[i]):
                    if (parent := self.whole.get(_key(before))) is not None:
                        yield Step(parent, kind, f"+ {text}")

    def _changed(self, kind: StepKind, i: int) -> Iterator[Step]:
        parent = self.plainest[kind, _key(self.systems[i], kind)]
        before, after = self.systems[parent], self.systems[i]
        if _values(kind, before) < _values(kind, after):
            yield Step(parent, kind, f"{_setting_told(kind, before)} to {_setting_told(kind, after)}")

    def _fine_tuned(self, i: int) -> Iterator[Step]:
        for at, model in _models(self.systems[i]):
            parent = self.by_model.get((model.adapted_from, _key(self.systems[i], model_at=at))) if model.adapted_from else None
            if parent is not None and parent != i:
                data = f" on {listed(dict.fromkeys(source.dataset for source in model.trained_on))}" if model.trained_on else ""
                yield Step(parent, "fine_tuning", f"{model.adapted_from} fine-tuned{data}")


def _key(chain: Chain, without: StepKind | None = None, model_at: int | None = None) -> _Key:
    """All that decides a chain's numbers, but for a setting, or for the model of the stage at a place."""
    blank = _SETTINGS[without] if without else {}
    return tuple(_facts(stage, ("model",) if at == model_at else blank.get(stage.kind, ())) for at, stage in enumerate(chain))


def _facts(stage: Stage, blank: tuple[str, ...]) -> tuple[object, ...]:
    found: list[object] = [stage.kind]
    for field in type(stage).model_fields:
        if field not in _COUNTED:
            value = None if field in blank else getattr(stage, field)
            found.append((value.name, value.revision) if isinstance(value, ModelReference) else value)
    return tuple(found)


def _models(chain: Chain) -> list[tuple[int, ModelReference]]:
    return [(at, stage.model) for at, stage in enumerate(chain) if isinstance(stage, EncodeStage | RerankStage | ExternalStage)]


def _without(kind: StepKind, chain: Chain) -> Iterator[tuple[str, Chain]]:
    """The chain before a stage was added to it, and what was added; of fused systems the last is left out first."""
    if kind == "fuse":
        yield from _unfused(chain)
        return
    for at, stage in enumerate(chain):
        if stage.kind == kind or (isinstance(stage, TranslateStage) and stage.texts == kind):
            title = _told(stage)[0]
            added = f"first {stage.depth:,} re-ranked by {title}" if isinstance(stage, RerankStage) else f"{title[0].lower()}{title[1:]}"
            yield added, (*chain[:at], *chain[at + 1 :])


def _unfused(chain: Chain) -> Iterator[tuple[str, Chain]]:
    place = next((at for at, stage in enumerate(chain) if isinstance(stage, FuseStage)), None)
    if place is None or not isinstance(fuse := chain[place], FuseStage):
        return
    starts = [at for at, stage in enumerate(chain[:place]) if isinstance(stage, EncodeStage | LexicalStage | ExternalStage)]
    if len(starts) != fuse.systems:
        return
    rest = (*([fuse.model_copy(update={"systems": fuse.systems - 1})] if fuse.systems > 2 else []), *chain[place + 1 :])
    for start, end in reversed(list(zip(starts, [*starts[1:], place], strict=True))):
        yield f"fused with {_told(chain[start])[0]}", (*chain[:start], *chain[end:place], *rest)


def _values(kind: StepKind, chain: Chain) -> tuple[tuple[int, str], ...]:
    """A setting of a chain's stages, the plainer the smaller."""
    found: list[tuple[int, str]] = []
    for stage in chain:
        if isinstance(stage, SearchStage) and kind == "index":
            found.append((int(stage.index == "hnsw"), f"{stage.library} {stage.m or 0:9} {stage.ef_construction or 0:9} {stage.ef or 0:9}"))
        elif isinstance(stage, EncodeStage | RerankStage) and kind == "dtype":
            found.append((_DTYPES.index(stage.dtype), ""))
        elif isinstance(stage, LexicalStage) and kind == "tokenizer":
            found.append((int(stage.tokenizer != "whitespace"), stage.tokenizer))
        elif isinstance(stage, EncodeStage):
            prompts = f"{stage.query_prompt}\0{stage.document_prompt}"
            more = {"max_tokens": (stage.max_tokens, ""), "prompts": (len(prompts), prompts), "protocol": (int(stage.protocol == "paper"), "")}
            found += [more[kind]] if kind in more else []
    return tuple(found)


def _setting_told(kind: StepKind, chain: Chain) -> str:
    """A setting of a chain in words."""
    told: dict[str, None] = {}
    for stage in chain:
        if isinstance(stage, SearchStage) and kind == "index":
            title, detail = _told(stage)
            told[f"{title} ({detail})" if detail else title.lower()] = None
        elif isinstance(stage, EncodeStage | RerankStage) and kind == "dtype":
            told[stage.dtype] = None
        elif isinstance(stage, LexicalStage) and kind == "tokenizer":
            told[f"{stage.tokenizer} tokenizer"] = None
        elif isinstance(stage, EncodeStage):
            more = {"max_tokens": f"{stage.max_tokens:,} tokens", "prompts": _prompts(stage), "protocol": f"{stage.protocol} protocol"}
            told |= {more[kind]: None} if kind in more else {}
    return " and ".join(told)


def _told(stage: Stage) -> tuple[str, str]:
    """A stage's title and detail."""
    if isinstance(stage, TranslateStage):
        name = stage.model.name.removesuffix("/service").rpartition("/")[2] if stage.model else "the collection's own"
        counts = {"truncated": stage.truncated, "cut": stage.cut, "left as they were": stage.untranslated}
        return f"{stage.texts.title()} in English ({name})", ", ".join([stage.source, *(f"{n:,} {what}" for what, n in counts.items() if n)])
    if isinstance(stage, EncodeStage):
        facts = [f"{stage.protocol} protocol", stage.pooling, f"{stage.max_tokens:,} tokens", stage.dtype, _prompts(stage)]
        return stage.model.name, ", ".join([*facts, f"revision {stage.model.revision}"])
    if isinstance(stage, SearchStage):
        if stage.index == "exact":
            return "Exact search", ""
        return "HNSW", ", ".join([f"{stage.library}", f"m {stage.m}", f"ef_construction {stage.ef_construction}", f"ef {stage.ef}"])
    if isinstance(stage, LexicalStage):
        return "BM25", f"{stage.formula}, {stage.tokenizer} tokenizer, k1 {stage.k1:g}, b {stage.b:g}, epsilon {stage.epsilon:g}"
    if isinstance(stage, FuseStage):
        return "Reciprocal rank fusion", f"{stage.systems} rankings of {stage.depth:,} documents, k {stage.k}"
    if isinstance(stage, RerankStage):
        facts = [f"first {stage.depth:,} documents", f"{stage.max_tokens:,} tokens", stage.dtype, *([f"template {stage.template}"] if stage.template else [])]
        return stage.model.name, ", ".join([*facts, f"revision {stage.model.revision}"])
    return stage.model.name, f"{stage.source}, revision {stage.model.revision}"


def _prompts(stage: EncodeStage) -> str:
    if not (stage.query_prompt or stage.document_prompt):
        return "no prompts"
    return f"prompts {stage.query_prompt!r} for queries, {stage.document_prompt!r} for documents"
