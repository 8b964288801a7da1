"""The cosine of a text and its translation under a multilingual encoder: nearness of meaning, without a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import numpy as np

from clir_bench.collection import FloatArray
from clir_bench.vectors import Role


class TextEncoder(Protocol):
    """What turns texts into vectors."""

    def encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        """Embeddings float32 [texts, dim], L2-normalised."""


class Similarity:
    """Cosine, -1 to 1. Both texts are encoded as documents; what the encoder's length limit cuts off is not seen. ``signature`` names the encoder."""

    name = "similarity"
    better: Literal["higher", "lower"] = "higher"

    def __init__(self, encoder: TextEncoder, signature: str) -> None:
        self.encoder, self._signature = encoder, signature

    def score(self, sources: Sequence[str], translations: Sequence[str], references: Sequence[str | None] | None, language: str) -> list[float | None]:
        """The cosine of each pair; every distinct text is encoded once."""
        if not sources:
            return []
        distinct = list(dict.fromkeys([*sources, *translations]))
        row = {text: i for i, text in enumerate(distinct)}
        vectors = self.encoder.encode(distinct, "document")
        a, b = vectors[[row[text] for text in sources]], vectors[[row[text] for text in translations]]
        cosine = np.einsum("ij,ij->i", a, b, dtype=np.float64)
        return [float(value) for value in np.clip(cosine, -1.0, 1.0)]

    def summary(self, sources: Sequence[str], translations: Sequence[str], references: Sequence[str | None] | None, language: str) -> dict[str, float]:
        """Nothing beyond the mean."""
        return {}

    def facts(self) -> Mapping[str, str | int | bool | None]:
        """All that decides a value."""
        return {"signature": f"cosine|{self._signature}|as:document"}
