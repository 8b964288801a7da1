"""What an encoder gives: vectors in batches, checked at the door. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, Protocol

import numpy as np

from clir_bench.collection import FloatArray
from clir_bench.errors import ModelError
from clir_bench.progress import bar

Role = Literal["query", "document"]
DOCUMENT_PROMPTS = ("document", "passage", "corpus")
"""The names SentenceTransformer.encode_document looks for, in its order."""


class Batch(NamedTuple):
    """Rows of the texts that are encoded together, and the work itself: float32 [rows, dim], L2-normalised."""

    rows: list[int]
    encode: Callable[[], FloatArray]


@dataclass(frozen=True)
class EncoderFacts:
    """What a submission says of an encoder. ``weights_bytes`` is the size of the weight files; None is what nobody tells."""

    revision: str
    pooling: str
    normalize: bool
    dim: int
    max_tokens: int
    dtype: str
    query_prompt: str
    document_prompt: str
    parameters: int | None
    weights_bytes: int | None
    licence: str | None


class BatchEncoder(Protocol):
    """What can be cached: an encoder that shows its work in batches."""

    @property
    def dim(self) -> int:
        """Components of an embedding."""

    def identity(self, role: Role) -> Mapping[str, str | int]:
        """All that decides an embedding beside the text."""

    def batches(self, texts: Sequence[str], role: Role) -> Iterator[Batch]:
        """The work, in a division that depends on the texts and the encoder only."""

    def encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        """Embeddings of the texts, float32 [texts, dim], L2-normalised."""


def submit_ahead(division: Sequence[list[int]], submit: Callable[[list[int]], Future[FloatArray]], window: int) -> Iterator[Batch]:
    """The batches of a division, whose work runs elsewhere: waiting for one has the ``window`` after it submitted as well.

    Nothing is submitted before the first batch is waited for, so what a cache skips at the start costs nothing. What is submitted and not waited for
    is cancelled when the iteration ends.
    """
    pending: dict[int, Future[FloatArray]] = {}

    def wait(at: int) -> FloatArray:
        for skipped in [i for i in pending if i < at]:
            pending.pop(skipped).cancel()
        for i in range(at, min(at + window + 1, len(division))):
            if i not in pending:
                pending[i] = submit(division[i])
        return pending.pop(at).result()

    try:
        for i, rows in enumerate(division):
            yield Batch(rows, partial(wait, i))
    finally:
        for left in pending.values():
            left.cancel()


def gather(batches: Iterator[Batch], texts: Sequence[str], dim: int, label: str, progress: bool) -> FloatArray:
    """Run all batches into one array float32 [texts, dim], refusing what is no embedding."""
    vectors = np.empty((len(texts), dim), np.float32)
    with bar(f"encoding {label}", len(texts), "text", progress and len(texts) > 0) as shown:
        for batch in batches:
            vectors[batch.rows] = checked(batch.encode(), [texts[i] for i in batch.rows])
            shown.update(len(batch.rows))
    return vectors


def checked(vectors: FloatArray, texts: Sequence[str]) -> FloatArray:
    """The vectors, if each is finite and of length 1. Raises ModelError naming the texts of those that are not."""
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    bad = np.flatnonzero(~(np.abs(length - 1) < 1e-3))
    if len(bad):
        kinds = ["NaN or infinite" if not np.isfinite(vectors[i]).all() else "zero" if length[i] < 0.5 else "not of length 1" for i in bad]
        named = "; ".join(f"{kind}: {texts[i][:60]!r}" for kind, i in list(zip(kinds, bad.tolist(), strict=True))[:5])
        raise ModelError(f"the model gives {len(bad)} of {len(texts)} texts no usable embedding ({named}). Half precision may overflow: try --dtype float32.")
    return vectors
