"""The records a task definition is made of: facts about files, sampling and counts, strict and frozen."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from clir_bench import languages
from clir_bench.strict import Strict

Count = Annotated[int, Field(gt=0)]
Range = Annotated[tuple[int, int], Field(strict=False)]
Strings = Annotated[tuple[str, ...], Field(strict=False)]
Sha256 = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Track = Literal["retrieval", "rerank", "oracle"]
Documents = Literal["original", "english"]
_PINNED = re.compile(r"/[0-9a-f]{40}/")


class Download(Strict):
    """A file a builder reads. An address that holds a full commit needs no checksum: what it gives cannot change, and the hub states its hash."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][A-Za-z0-9_./-]*$")]
    url: Annotated[str, Field(pattern=r"^https?://")]
    bytes: Count | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    train: bool = False
    """Whether only the training data needs it."""
    optional: bool = False
    """Whether a build goes on without it where the server does not have it."""
    unverified: bool = False
    """States that no checksum is known: what comes is recorded."""

    @model_validator(mode="after")
    def _checksum(self) -> Self:
        if self.md5 is None and self.sha256 is None and not (self.pinned or self.unverified):
            raise ValueError(f"{self.url} has no checksum. Add md5 or sha256.")
        return self

    @property
    def pinned(self) -> bool:
        """Whether the address holds a full commit."""
        return bool(_PINNED.search(self.url))


class Recipe(Strict):
    """What a builder is told: how many, by which hash order, and which reading of what the paper leaves open."""

    seed: int = 42
    queries_per_pair: Count | None = None
    split: Literal["by-count", "test1", "test2", "dev"] | None = None
    gold: Literal["by-count", "top1", "six", "mate"] | None = None
    query_text: Literal["title+sentence", "sentence", "title"] | None = None
    lines: Count | None = None
    """Lines of each id-sorted file, where builders search in it."""
    ids_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of the ascending document ids, one a line, where they are known before any text is read."""
    train_per_pair: Count = 1000
    dev_per_pair: Count = 100


class Expectation(Strict):
    """What the built collection must come to; a build that differs is refused."""

    pairs: Count
    documents: Count | None = None
    queries: Count | None = None
    judgements: Count | None = None
    queries_per_pair: Range | None = None
    fingerprint: Sha256 | None = None


class Reported(Strict):
    """What the paper reports: compared with every build, told, never enforced."""

    where: Annotated[str, Field(min_length=1)]
    documents: Count | None = None
    documents_per_language: Range | None = None
    queries_per_pair: Range | None = None
    evaluations: Count | None = None


class Choice(Strict):
    """A point that the paper leaves open or states twice differently, and what was chosen."""

    point: Annotated[str, Field(min_length=1)]
    choice: Annotated[str, Field(min_length=1)]


class Cost(Strict):
    """Bytes: downloaded, on disk at the same time, kept. ``estimated`` says that they were not all read from a server."""

    download: Count
    disk: Count
    kept: Count
    train_download: Annotated[int, Field(ge=0)] = 0
    estimated: bool = True


class Rerank(Strict):
    """What the re-ranking tracks take where the system names no first stage: whose candidates, and how many. The defaults are the paper's (section 3.2).

    ``oracle_rank`` is where the oracle track puts a relevant document that is missing.
    """

    first_stage: Literal["bm25"] = "bm25"
    tokenizer: Literal["whitespace", "multilingual"] = "whitespace"
    depth: Annotated[int, Field(ge=1)] = 100
    oracle_rank: Annotated[int, Field(ge=1)] = 100


class Definition(Strict):
    """What every definition file states, of a task or of a set of training pairs."""

    version: Annotated[int, Field(ge=1)]
    title: Annotated[str, Field(min_length=1)]
    description: Annotated[str, Field(min_length=1)]
    languages: Annotated[Strings, Field(min_length=1)]
    recipe: Recipe = Recipe()
    licence: Annotated[str, Field(min_length=1)]
    terms: Annotated[str, Field(min_length=1)] | None = None
    citation: Annotated[str, Field(min_length=1)]
    homepage: Annotated[str, Field(pattern=r"^https?://")] | None = None
    contains: Strings = ()
    files: Annotated[tuple[Download, ...], Field(strict=False)] = ()

    @field_validator("languages", "query_languages", check_fields=False)
    @classmethod
    def _codes(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [f"[{i}] {problem}" for i, code in enumerate(codes) if (problem := languages.problem_with(code))]
        wrong += [f"[{i}] {code!r} stands twice. Remove one." for i, code in enumerate(codes) if code in codes[:i]]
        if wrong:
            raise ValueError("; ".join(wrong))
        return codes
