"""A real encoder that loads in no time, for processes that are spawned: a text's vector is made of its characters' counts. Numpy only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from clir_bench.collection import FloatArray
from clir_bench.errors import ModelError
from clir_bench.vectors import EncoderFacts, Role


class LightEncoder:
    """``refuse`` makes every copy with weights fail."""

    dim = 16

    def __init__(self, *, device: str, weights: bool, refuse: bool = False) -> None:
        if refuse and weights:
            raise ModelError("no such weights")

    def identity(self, role: Role) -> dict[str, str | int]:
        return {"model": "light"}

    def facts(self) -> EncoderFacts:
        raise NotImplementedError

    def prepare(self, texts: Sequence[str], role: Role) -> Iterator[tuple[list[int], Callable[[], dict[str, Any]]]]:
        for i, text in enumerate(texts):
            yield [i], lambda text=text: {"text": text}

    def forward(self, features: dict[str, Any], role: Role) -> FloatArray:
        if features["text"] == "bad":
            raise ValueError("a bad text")
        if features["text"] == "nothing":
            return np.zeros((1, self.dim), np.float32)
        counts = np.bincount([ord(c) % self.dim for c in features["text"]], minlength=self.dim).astype(np.float32)
        return (counts / np.linalg.norm(counts))[None]
