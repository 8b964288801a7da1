"""What an encoder gives: vectors in batches, checked at the door. Numpy only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from clir_bench.collection import FloatArray
from clir_bench.errors import ModelError

Role = Literal["query", "document"]


class Batch(NamedTuple):
    """Rows of the texts that are encoded together, and the work itself: float32 [rows, dim], L2-normalised."""

    rows: list[int]
    encode: Callable[[], FloatArray]


def checked(vectors: FloatArray, texts: Sequence[str]) -> FloatArray:
    """The vectors, if each is finite and of length 1. Raises ModelError naming the texts of those that are not."""
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    bad = np.flatnonzero(~(np.abs(length - 1) < 1e-3))
    if len(bad):
        kinds = ["NaN or infinite" if not np.isfinite(vectors[i]).all() else "zero" if length[i] < 0.5 else "not of length 1" for i in bad]
        named = "; ".join(f"{kind}: {texts[i][:60]!r}" for kind, i in list(zip(kinds, bad.tolist(), strict=True))[:5])
        raise ModelError(f"the model gives {len(bad)} of {len(texts)} texts no usable embedding ({named}). Half precision may overflow: try --dtype float32.")
    return vectors
