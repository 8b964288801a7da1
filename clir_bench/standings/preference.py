"""Which languages a system retrieves, beside the pool it retrieves from (the paper's Figures 6 and 8).

Preferring the language of the question may be wanted: nothing here says which direction is good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import rel_entr

from clir_bench.bias import GOLDS
from clir_bench.measures import parse_measure
from clir_bench.significance import wilson
from clir_bench.standings.fairness import Bools
from clir_bench.standings.index import Board, Floats, Index
from clir_bench.standings.memory import remembered
from clir_bench.standings.paired import position

Ints = npt.NDArray[np.int64]
Gold = Literal["other", "same", "any"]
WHERE: dict[Gold, str] = {"other": "another language", "same": "the question's language", "any": "any language"}
"""Which questions are counted: by the language of their relevant document."""


class Lists(NamedTuple):
    """The first ``depth`` places of the ``queries`` questions in one language that were counted.

    ``retrieved`` counts places by document language, ``share`` is the pool's, both [held]; ``own`` is where the question's language stands in them, None
    where the pool has none of it.
    """

    language: str
    queries: int
    depth: int
    retrieved: Ints
    share: Floats
    own: int | None

    @property
    def rate(self) -> Floats:
        """Share of the places that each language holds."""
        return np.asarray(self.retrieved / self.retrieved.sum())

    @property
    def lift(self) -> Floats:
        """That share over the pool's: 1 is as in the pool."""
        return np.asarray(self.rate / self.share)

    def interval(self) -> tuple[Floats, Floats]:
        """Wilson's 95 % of ``rate``, a list being one observation: counts do not say how alike its places are, and this is the widest they allow."""
        lists = self.retrieved.sum() / self.depth
        return wilson(self.rate * lists, np.full(len(self.rate), lists))


@dataclass(frozen=True)
class Profile:
    """The language profiles of one submission. ``queries`` int64 [asked, depths, GOLDS], ``retrieved`` int64 [asked, depths, GOLDS, held]; ``share`` [held]."""

    asked: tuple[str, ...]
    held: tuple[str, ...]
    depths: tuple[int, ...]
    share: Floats
    queries: Ints
    retrieved: Ints

    def lists(self, gold: Gold, depth: int) -> tuple[Lists, ...]:
        """For each query language with such questions, sorted by tag; at the nearest depth that was counted."""
        kind, at = GOLDS.index(gold), int(np.abs(np.array(self.depths) - depth).argmin())
        return tuple(
            Lists(
                code, int(self.queries[q, at, kind]), self.depths[at], self.retrieved[q, at, kind], self.share, self.held.index(code) if code in self.held else None
            )
            for q, code in enumerate(self.asked)
            if self.retrieved[q, at, kind].any()
        )  # fmt: skip

    def lift(self, gold: Gold, depth: int) -> float:
        """Same-language lift: mean over the query languages that the pool has documents of; NaN where there is none."""
        found = [float(row.lift[row.own]) for row in self.lists(gold, depth) if row.own is not None]
        return float(np.mean(found)) if found else np.nan

    def exposure(self, gold: Gold) -> float:
        """AWRF of TREC Fair 2021: 1 - the Jensen-Shannon divergence, in bits, of the languages' exposure from their shares of the pool; 1 is as in the pool.

        A place exposes by 1 / log2(rank + 1), summed over the questions of a language; the mean is taken over languages, not over single lists. Counts at three depths do
        not tell the places 2 to 10, nor 11 to 100, apart: they share a discount. NaN where nothing was counted.
        """
        edges = (0, *self.depths)
        weights = np.array([(1 / np.log2(np.arange(a + 1, b + 1) + 1)).mean() for a, b in zip(edges, self.depths, strict=False)])
        inside = np.diff(self.retrieved[:, :, GOLDS.index(gold)], axis=1, prepend=0)
        exposed = np.einsum("d,qdl->ql", weights, inside)
        exposed = exposed[exposed.any(1)]
        p = exposed / exposed.sum(1, keepdims=True)
        middle = (p + self.share) / 2
        divergence = (rel_entr(p, middle).sum(1) + rel_entr(self.share, middle).sum(1)) / (2 * np.log(2))
        return float(1 - divergence.mean()) if len(exposed) else np.nan


class Recalls(NamedTuple):
    """Recall in the whole pool, had the pool held the document's language only, and the loss between: means over ``pairs`` pairs of two languages."""

    recall: float
    own: float
    loss: float
    pairs: int


UNKNOWN = Recalls(np.nan, np.nan, np.nan, 0)


def profile(index: Index, board: Board, line: int) -> Profile | None:
    """What the system's submission on the board says of the languages it retrieves; None where it says nothing, or there is none."""
    return remembered(index, ("profile", board.key, line), lambda: _profile(index, board, line))


def depths(index: Index, board: Board, lines: Sequence[int]) -> tuple[int, ...]:
    """The depths at which any of the systems was counted."""
    return tuple(sorted({depth for line in lines if (found := profile(index, board, line)) for depth in found.depths}))


def golds(index: Index, board: Board, lines: Sequence[int]) -> tuple[Gold, ...]:
    """The kinds of questions that any of the systems was counted for."""
    there = [found for line in lines if (found := profile(index, board, line))]
    return tuple(gold for gold in WHERE if any(found.queries[..., GOLDS.index(gold)].any() for found in there))


def recall_measure(board: Board, measure: str) -> str | None:
    """The recall that losses are told of: the measure itself where it is one, else R@10; None where the board has neither."""
    wanted = measure if parse_measure(measure).kind == "R" else "R@10"
    return wanted if wanted in board.measures else None


def recalls(index: Index, board: Board, line: int, mask: Bools, measure: str | None) -> dict[str, Recalls]:
    """Of a system, by query language, in the pairs of ``mask`` that are of two languages; NaN where anything is missing. ``""`` is all of them."""
    at = position(index, board, line)
    wanted: dict[str, list[int]] = {}
    for i in np.flatnonzero(mask).tolist():
        pair = board.pairs[i]
        if pair.query != pair.document:
            wanted.setdefault(pair.query, []).append(i)
            wanted.setdefault("", []).append(i)
    if at is None or measure is None:
        return {query: Recalls(np.nan, np.nan, np.nan, len(pairs)) for query, pairs in wanted.items()}
    full, own = (cube[at, :, board.measure(measure)] / board.shape.n for cube in (board.sums, board.own))
    means = {query: (float(full[pairs].mean()), float(own[pairs].mean())) for query, pairs in wanted.items()}
    return {query: Recalls(whole, alone, alone - whole, len(wanted[query])) for query, (whole, alone) in means.items()}


def _profile(index: Index, board: Board, line: int) -> Profile | None:
    entry, frame = int(index.entry_of[board.key][line]), index.bias
    start, end = np.searchsorted(frame["entry"].to_numpy(), [entry, entry + 1])  # the index writes them in order
    if entry < 0 or start == end or not board.pool:
        return None
    held = sorted(board.pool)
    mine = frame.iloc[start:end]
    mine = mine[mine["document"].isin(held)]
    asked, depths = sorted(set(mine["query"])), sorted(set(mine["depth"]))
    places = [pd.Index(values).get_indexer(pd.Index(mine[name])) for name, values in (("query", asked), ("depth", depths), ("gold", GOLDS), ("document", held))]
    queries = np.zeros((len(asked), len(depths), len(GOLDS)), np.int64)
    retrieved = np.zeros((*queries.shape, len(held)), np.int64)
    queries[tuple(places[:3])] = mine["queries"].to_numpy()
    retrieved[tuple(places)] = mine["count"].to_numpy()
    share = np.array([board.pool[code] for code in held]) / sum(board.pool.values())
    return Profile(tuple(asked), tuple(held), tuple(map(int, depths)), share, queries, retrieved)
