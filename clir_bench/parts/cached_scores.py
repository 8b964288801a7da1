"""A cache of cross-encoder scores, on the shelves of the embedding cache: a score is a vector of one component, its text a pair."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from clir_bench.collection import FloatArray
from clir_bench.parts.cache import Shelf, fill_shelf
from clir_bench.vectors import Batch


class BatchScorer(Protocol):
    """What can be cached as well: a scorer of pairs that shows its work in batches."""

    def identity(self) -> Mapping[str, str | int]:
        """All that decides a score beside the two texts."""

    def batches(self, pairs: Sequence[tuple[str, str]]) -> Iterator[Batch]:
        """The work, float32 [rows, 1] and checked, in a division that depends on the pairs and the scorer only."""


class CachedScorer:
    """A scorer of pairs whose scores are kept in ``folder``. ``hits`` and ``scored`` count pairs of this process."""

    def __init__(self, scorer: BatchScorer, folder: Path, progress: bool = False) -> None:
        self.scorer, self.folder, self._progress = scorer, folder, progress
        self.hits = self.scored = 0

    def score(self, pairs: Sequence[tuple[str, str]]) -> FloatArray:
        """As the scorer's, but scores already on disk are read and new ones written; float32 [pairs]."""
        shelf = Shelf(self.folder, self.scorer.identity(), 1, "pairs are scored")
        scores, hits = fill_shelf(shelf, [_pair_key(*pair) for pair in pairs], self.scorer.batches(pairs), "scoring pairs", "pair", self._progress)
        self.hits, self.scored = self.hits + hits, self.scored + len(pairs) - hits
        return scores[:, 0]


def _pair_key(query: str, document: str) -> bytes:
    first, second = query.encode(), document.encode()
    return hashlib.blake2b(len(first).to_bytes(8, "little") + first + second, digest_size=16).digest()  # the length says where the query ends
