"""Submissions that are too much alike: the same system entered twice, and one system's ranks under another's name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from clir_bench.collection import Pair
from clir_bench.records import EncodeStage, ExternalStage, LexicalStage, RerankStage, Stage
from clir_bench.submission import DEEPER, Submission

Ranks = npt.NDArray[np.uint8]
ALIKE = 0.5
"""From this share of equal telling ranks on, two systems without a model in common are flagged.

On the sample it is at most 0.10 between different systems (encoders, BM25 with two tokenizers), 0.67 between float32 and bfloat16 of one model, 1.00
between exact search and HNSW at its defaults; a copy with a fifth of its ranks changed at random has 0.72.
"""
FEWEST = 30
"""With fewer telling ranks nothing is said."""


class Other(NamedTuple):
    """A submission that is there: its path, signature, the models that decide its ranking (``models_of``), and its pairs."""

    path: str
    signature: str
    models: frozenset[str]
    pairs: tuple[Pair, ...]


class Likeness(NamedTuple):
    """How a submission is like the one at ``path``, in words, too. ``share`` of the ``telling`` ranks are equal; both are 0 for a duplicate without ranks.

    ``duplicate``: the same system. ``copy``: another system, all ranks equal. ``flagged``: another system, nearly all equal. ``relative``: as equal, but they
    have a model in common, as exact and HNSW search, or float32 and bfloat16.
    """

    kind: Literal["duplicate", "copy", "flagged", "relative"]
    path: str
    share: float
    telling: int
    text: str


def find_copies(submission: Submission, others: Sequence[Other], ranks: Ranks) -> list[Likeness]:
    """The likenesses to ``others``, submissions of the same task. ``ranks`` [others, relevant documents] in the submission's own order, 0 = unknown.

    Telling are ranks from 2 to 254 in either: that a document is first, or not found, tells little, because good systems agree on easy queries and
    poor ones on hard queries. Elsewhere two models hardly ever agree on the very rank. A correlation of all ranks cannot be used: above 0.9999 it misses a copy
    of which one rank in a thousand was changed, and lower it calls good systems copies of each other.
    """
    mine = np.minimum(submission.ranks().rank, DEEPER).astype(np.uint8) if submission.gold_ranks else None
    models, pairs, found = models_of(submission.system.stages), tuple(record.pair for record in submission.pairs), []
    for other, row in zip(others, ranks, strict=True):
        share, telling = (0.0, 0) if mine is None else _agreement(mine, np.asarray(row))
        if other.signature == submission.system.signature and other.pairs == pairs:
            found.append(
                Likeness("duplicate", other.path, share, telling, f"{other.path} is the same system on the same pairs: --corrects it, and give a --reason")
            )
            continue
        if telling < FEWEST or share < ALIKE:
            continue
        said = f"{share:.1%} of the {telling:,} ranks that tell systems apart are those of {other.path}"
        if common := sorted(models & other.models):
            found.append(Likeness("relative", other.path, share, telling, f"{said}, with which it has {', '.join(common)} in common"))
        else:
            found.append(Likeness("copy" if share == 1 else "flagged", other.path, share, telling, f"{said}, another model"))
    return found


def models_of(stages: Iterable[Stage]) -> frozenset[str]:
    """The models that decide a ranking; a lexical index counts as one. A translator does not: many systems share one."""
    return frozenset(
        stage.method if isinstance(stage, LexicalStage) else stage.model.name.casefold()
        for stage in stages
        if isinstance(stage, LexicalStage | EncodeStage | RerankStage | ExternalStage)
    )


def _agreement(mine: Ranks, other: Ranks) -> tuple[float, int]:
    """Share of equal ranks among those that tell systems apart, and how many these are."""
    telling = ((mine - 2 < DEEPER - 2) | (other - 2 < DEEPER - 2)) & (other > 0)  # unsigned: rank 1 less 2 is 255
    count = int(np.count_nonzero(telling))
    return (float(np.count_nonzero((mine == other) & telling)) / count if count else 0.0), count
