"""The records a submission is made of: strict, frozen, every number possible by itself."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from clir_bench import languages
from clir_bench.collection import Pair
from clir_bench.measures import parse_measure
from clir_bench.strict import Strict, form

_HIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


_BRANCHES = re.compile(r"main|master|trunk|develop|default|latest|head|(refs|heads|origin)/.*", re.IGNORECASE)
_LETTERS = "of A to Z, a to z, 0 to 9, '.', '_' and '-', beginning with a letter or digit"


def _shown(text: str) -> str:
    """Newlines are fine; other control characters, and those that turn the direction of what follows, make a reader see another text."""
    if found := _HIDDEN.search(text):
        raise ValueError(f"U+{ord(found[0]):04X} at character {found.start()} is a control character. Remove it.")
    return text


def _one_line(text: str) -> str:
    if "\n" in text:
        raise ValueError("it has several lines, but it is shown in one. Join them.")
    return _shown(text)


def _without_markup(text: str) -> str:
    if found := next((mark for mark in "<>" if mark in text), None):
        raise ValueError(f"{found!r} stands in it, but it is a label, not a page. Remove it.")
    return _one_line(text)


def _folder(name: str) -> str:
    """Systems are folders on everybody's machine."""
    if name.endswith(".") or _DEVICES.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a folder on Windows. Choose another name.")
    return name


def _moment(text: str) -> str:
    datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    return text


def _language(code: str) -> str:
    if problem := languages.problem_with(code):
        raise ValueError(problem)
    return code


Count = Annotated[int, Field(ge=0, le=10**12)]
Positive = Annotated[int, Field(gt=0, le=10**12)]
Setting = Annotated[int, Field(gt=0, le=10**9)]
"""Of a model or an index: tokens, links, candidates."""
Depth = Annotated[int, Field(ge=1, le=254)]
"""Ranks that a submission tells apart: a byte, less 0 and 255."""
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Text = Annotated[str, Field(max_length=2000), AfterValidator(_shown)]
Line = Annotated[str, Field(max_length=400), AfterValidator(_one_line)]
Label = Annotated[str, Field(max_length=200), AfterValidator(_without_markup)]
Language = Annotated[str, AfterValidator(_language)]
Moment = Annotated[str, form(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", "a time as 2026-01-31T12:00:00Z"), AfterValidator(_moment)]
"""A time, UTC."""
Name = Annotated[str, form(r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$", f"org/model, {_LETTERS}", 160)]
Hash = Annotated[str, form(r"^sha256:[0-9a-f]{64}$", "sha256: and 64 digits or letters a to f")]
MOST_MEASURES = 50
"""A pair has no more: each is computed again wherever the file is read."""


def moves(revision: str) -> bool:
    """Whether a revision is the name of a branch: what stands there today is not what was evaluated."""
    return _BRANCHES.fullmatch(revision.strip()) is not None


class TrainingSource(Strict):
    """Data that a model was trained on. ``split`` is the publisher's word for the part that was used."""

    dataset: Annotated[Label, Field(min_length=1)]
    split: Literal["train", "dev", "test"] = "train"


class ModelReference(Strict):
    """A model as it can be had again. ``revision`` is a commit, or the hash of a local folder's weights; unknown facts are null, never 0.

    ``trained_on`` is what it was trained on for retrieval beyond the model it was ``adapted_from``; an empty list says that it was not.
    """

    name: Name
    revision: Annotated[Label, Field(min_length=1)]
    parameters: Annotated[int, Field(gt=0, le=10**14)] | None = None
    weights_bytes: Annotated[int, Field(gt=0, le=10**15)] | None = None
    licence: Label | None = None
    embedding_dim: Annotated[int, Field(gt=0, le=10**6)] | None = None
    trained_on: Annotated[tuple[TrainingSource, ...], Field(strict=False, max_length=200)] | None = None
    adapted_from: Name | None = None


class EncodeStage(Strict):
    """A text encoder."""

    kind: Literal["encode"]
    model: ModelReference
    protocol: Literal["native", "paper"]
    pooling: Line
    normalize: bool
    similarity: Literal["cosine", "dot"]
    max_tokens: Setting
    query_prompt: Text
    document_prompt: Text
    dtype: Literal["float32", "bfloat16", "float16", "server"]


class SearchStage(Strict):
    """A vector index; for HNSW the library, with its version, and the parameters that decide what it finds (usearch takes no seed)."""

    kind: Literal["search"]
    index: Literal["exact", "hnsw"]
    library: Text | None = None
    m: Setting | None = None
    ef_construction: Setting | None = None
    ef: Setting | None = None
    seed: Seed | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if any((value is None) == (self.index == "hnsw") for value in (self.library, self.m, self.ef_construction, self.ef)):
            raise ValueError(f"an {self.index} index {'needs' if self.index == 'hnsw' else 'has no'} library, m, ef_construction and ef")
        return self


class LexicalStage(Strict):
    """A lexical index."""

    kind: Literal["lexical"]
    method: Literal["bm25"]
    formula: Line
    tokenizer: Line
    k1: Annotated[float, Field(ge=0)]
    b: Annotated[float, Field(ge=0, le=1)]
    epsilon: float


class TranslateStage(Strict):
    """Documents or queries replaced by English texts before anything sees them.

    ``source`` says whose: a collection's own, or a translator's, with all that decides its output. Of a translator's texts: ``truncated`` were read to its
    input limit, ``cut`` written to its output limit, and for ``untranslated`` the original stands.
    """

    kind: Literal["translate"]
    texts: Literal["documents", "queries"]
    source: Annotated[str, Field(max_length=4000), AfterValidator(_shown)]
    model: ModelReference | None = None
    truncated: Count = 0
    cut: Count = 0
    untranslated: Count = 0


class FuseStage(Strict):
    """The rankings of the ``systems`` stages chains before it joined by reciprocal rank (Cormack et al. 2009), each to ``depth``."""

    kind: Literal["fuse"]
    method: Literal["reciprocal-rank"]
    k: Setting
    systems: Annotated[int, Field(gt=1, le=10**4)]
    depth: Setting


class RerankStage(Strict):
    """A cross-encoder over the first ``depth`` documents of what is before it; what stands below keeps its order. Scores are raw logits."""

    kind: Literal["rerank"]
    model: ModelReference
    depth: Setting
    max_tokens: Setting
    template: Text
    dtype: Literal["float32", "bfloat16", "float16"]


class ExternalStage(Strict):
    """A system that clir-bench did not run: a model behind an imported result, or a retriever of the user's own."""

    kind: Literal["external"]
    model: ModelReference
    source: Text


Stage = TranslateStage | EncodeStage | SearchStage | LexicalStage | FuseStage | RerankStage | ExternalStage


class SystemRecord(Strict):
    """What was evaluated: its folder name, variant, one-line signature and chain of stages."""

    name: Annotated[Name, AfterValidator(_folder)]
    variant: Annotated[str, form(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,119}$", f"a name {_LETTERS}, at most 120 of them"), AfterValidator(_folder)]
    signature: Annotated[str, Field(min_length=1, max_length=40_000), AfterValidator(_shown)]
    stages: Annotated[tuple[Annotated[Stage, Field(discriminator="kind")], ...], Field(strict=False, min_length=1)]


class TaskRecord(Strict):
    """The task and the exact collection. ``pairs`` is how many the task has, whether or not all were evaluated."""

    name: Annotated[str, form(r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,79}$", f"a name {_LETTERS} (':' too), at most 80 of them")]
    version: Annotated[int, Field(ge=1, le=10**6)]
    track: Literal["retrieval", "rerank", "oracle"]
    depth: Depth
    fingerprint: Hash | None
    documents: Positive | None
    queries: Positive | None
    pairs: Annotated[int, Field(gt=0, le=10**6)]


class StatRecord(Strict):
    """Count, sum and sum of squares of one measure over the evaluated queries of a pair; an imported mean has no sum of squares."""

    n: Annotated[int, Field(gt=0, le=10_000_000)]
    sum: Annotated[float, Field(ge=0)]
    sum_squares: Annotated[float, Field(ge=0)] | None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        slack = 1e-9 * self.n
        if self.sum > self.n + slack:
            raise ValueError(f"sum {self.sum} is more than n {self.n}, but every value is at most 1")
        if self.sum_squares is not None and not self.sum**2 / self.n - slack <= self.sum_squares <= self.sum + slack:
            raise ValueError(f"sum_squares {self.sum_squares} is impossible for n {self.n} and sum {self.sum}")
        return self

    @property
    def mean(self) -> float:
        """The mean, a fraction."""
        return self.sum / self.n


class PairRecord(Strict):
    """The scores of one pair; ``own_language`` are those of the pool reduced to the document language.

    ``injected`` is the number of evaluated queries to whose candidates a relevant document was added (track oracle only).
    """

    query: Language
    document: Language
    measures: Annotated[dict[str, StatRecord], Field(min_length=1, max_length=MOST_MEASURES)]
    own_language: Annotated[dict[str, StatRecord], Field(max_length=MOST_MEASURES)] = Field(default_factory=dict)
    injected: Count | None = None

    @model_validator(mode="after")
    def _measures(self) -> Self:
        for name in (*self.measures, *self.own_language):
            parse_measure(name)
        for name, own in self.own_language.items():
            if name in self.measures and own.sum < self.measures[name].sum - 1e-9 * own.n:
                raise ValueError(f"own_language {name} is lower than {name}, but fewer documents cannot hide a relevant one")
        if len({stat.n for stat in (*self.measures.values(), *self.own_language.values())}) > 1:
            raise ValueError("its measures have different n")
        if self.injected is not None and self.injected > (n := next(iter(self.measures.values())).n):
            raise ValueError(f"injected is {self.injected}, but {n} queries were evaluated")
        return self

    @property
    def pair(self) -> Pair:
        """The pair."""
        return Pair(self.query, self.document)

    def bias_loss(self, measure: str) -> float | None:
        """Own-language minus full-pool mean: what the presence of other languages costs."""
        own, full = self.own_language.get(measure), self.measures.get(measure)
        return own.mean - full.mean if own and full else None


class ProfileRecord(Strict):
    """Languages retrieved for the queries of one language; see ``bias.LanguageProfile``."""

    query: Language
    depth: Depth
    gold: Literal["any", "same", "other"]
    queries: Annotated[int, Field(gt=0, le=10**8)]
    retrieved: dict[Language, Count]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if sum(self.retrieved.values()) > self.queries * self.depth:
            raise ValueError(
                f"{sum(self.retrieved.values())} documents retrieved, but {self.queries} queries at depth {self.depth} allow {self.queries * self.depth}"
            )
        return self


class TimingRecord(Strict):
    """A stage's cost."""

    stage: Line
    items: Count
    seconds: Seconds
    cpu_seconds: Seconds


class GoldRankRecord(Strict):
    """The ranks as bytes, zlib-compressed, base64. ``golds`` (relevant documents per evaluated query) and ``grades`` are null where all are 1."""

    encoding: Literal["zlib+base64"]
    full: str
    own_language: str | None
    golds: str | None
    grades: str | None


class Provenance(Strict):
    """Where the numbers come from."""

    clir_bench: Line
    python: Line
    platform: Line
    cpu: Line
    cores: Annotated[int, Field(gt=0, le=10**5)]
    gpu: Line | None
    packages: dict[Line, Line]
    git_commit: Line | None
    seed: Seed | None
    started: Moment
    seconds: Seconds
    command: Text


class Correction(Strict):
    """Why a submission stands in place of an earlier one, which stays where it is. ``replaces`` is the hash of that file."""

    replaces: Hash
    reason: Literal["rerun", "bugfix", "new_revision"]
    note: Text | None = None
