"""Submissions that are too much alike: the same system entered twice, and one system's ranks under another's name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from clir_bench.collection import IntArray, Pair
from clir_bench.records import EncodeStage, ExternalStage, LexicalStage, RerankStage, Stage
from clir_bench.submission import DEEPER, Submission

Ranks = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]
Kind = Literal["duplicate", "copy", "flagged", "relative"]
ALIKE = 0.5
"""From this share of equal telling ranks on, two systems without a model in common are flagged.

On the sample it is at most 0.10 between different systems (encoders, BM25 with two tokenizers), 0.67 between float32 and bfloat16 of one model, 1.00
between exact search and HNSW at its defaults; a copy with a fifth of its ranks changed at random has 0.72.
"""
ORDERED = 0.95
"""From this rank correlation on, too: shifting every rank by a place leaves no rank equal, and the order as it was.

Between systems without a model in common it is at most 0.79 (a fine-tuned model and its base; 1,339 pairs of generated systems on four tasks, and those of
the sample), from 0.98 on for one model in two precisions, indexes or runs.
"""
FEWEST = 30
"""With fewer telling ranks nothing is said."""
_OTHERWISE = "Give system.name and system.variant as there: what differs from it then is told, and how to correct it."


class Other(NamedTuple):
    """A submission that is there: its path, signature, the models that decide its ranking with their revisions (``models_of``), and its pairs."""

    path: str
    signature: str
    models: Mapping[str, str]
    pairs: tuple[Pair, ...]


class Likeness(NamedTuple):
    """How a submission is like the one at ``path``, in words, too. ``share`` of the ``telling`` ranks are equal; both are 0 for a duplicate without ranks.

    ``correlation`` is that of ranks (Spearman) where both find the document and one not first. ``duplicate``: the same system. ``copy``: another system, all
    ranks equal. ``flagged``: another system, many equal, or all in nearly the same order. ``relative``: as alike, but they have a model in common, as exact
    and HNSW search, or float32 and bfloat16; ``revised``, of it all ranks are equal though a model is at another revision.
    """

    kind: Kind
    path: str
    share: float
    telling: int
    correlation: float
    text: str
    revised: bool = False


def find_copies(submission: Submission, others: Sequence[Other], ranks: Ranks) -> list[Likeness]:
    """The likenesses to ``others``, submissions of the same task. ``ranks`` [others, relevant documents] in the submission's own order, 0 = unknown.

    Telling are ranks from 2 to 254 in either: that a document is first, or not found, tells little, because good systems agree on easy queries and
    poor ones on hard queries. Elsewhere two models hardly ever agree on the very rank, and the order of what both find is their own. A correlation of all
    ranks would call good systems copies of each other.
    """
    mine = np.minimum(submission.ranks().rank, DEEPER).astype(np.uint8) if submission.gold_ranks else None
    models, pairs, found = models_of(submission.system.stages), tuple(record.pair for record in submission.pairs), []
    for other, row in zip(others, ranks, strict=True):
        share, telling, correlation = (0.0, 0, 0.0) if mine is None else (*_agreement(mine, np.asarray(row)), _correlation(mine, np.asarray(row)))
        numbers = other.path, share, telling, correlation
        if other.signature == submission.system.signature and other.pairs == pairs:
            found.append(Likeness("duplicate", *numbers, f"{other.path} is the same system on the same pairs, by another name or variant. {_OTHERWISE}"))
            continue
        if telling < FEWEST or (share < ALIKE and correlation < ORDERED):
            continue
        said = f"{share:.1%} of the {telling:,} ranks that tell systems apart are those of {other.path} (rank correlation {correlation:.3f})"
        if common := sorted(models.keys() & other.models.keys()):
            said += f", with which it has {', '.join(common)} in common"
            changed = [name for name in common if models[name] != other.models[name]] if share == 1 else []
            if changed:
                said += f"; but {', '.join(changed)} is at another revision, and not one of them differs"
            found.append(Likeness("relative", *numbers, said, bool(changed)))
        else:
            found.append(Likeness("copy" if share == 1 else "flagged", *numbers, f"{said}, another model"))
    return found


def ranks_of(other: Submission, submission: Submission) -> Ranks:
    """The other's ranks of a submission's relevant documents, in the submission's order; 0 where it says nothing of them."""
    theirs, row = dict[Pair, tuple[IntArray, Ranks]](), list[Ranks]()
    if other.gold_ranks and other.task.fingerprint == submission.task.fingerprint:
        theirs = {pair: (golds, rank) for pair, golds, rank in _by_pair(other)}
    for pair, golds, rank in _by_pair(submission):
        known = theirs.get(pair)
        row.append(known[1] if known and np.array_equal(known[0], golds) else np.zeros_like(rank))
    return np.concatenate(row)


def models_of(stages: Iterable[Stage]) -> dict[str, str]:
    """The models that decide a ranking, and their revisions; a lexical index counts as one. A translator does not: many systems share one."""
    return {
        stage.method if isinstance(stage, LexicalStage) else stage.model.name.casefold(): "" if isinstance(stage, LexicalStage) else stage.model.revision
        for stage in stages
        if isinstance(stage, LexicalStage | EncodeStage | RerankStage | ExternalStage)
    }


def _agreement(mine: Ranks, other: Ranks) -> tuple[float, int]:
    """Share of equal ranks among those that tell systems apart, and how many these are."""
    telling = ((mine - 2 < DEEPER - 2) | (other - 2 < DEEPER - 2)) & (other > 0)  # unsigned: rank 1 less 2 is 255
    count = int(np.count_nonzero(telling))
    return (float(np.count_nonzero((mine == other) & telling)) / count if count else 0.0), count


def _correlation(mine: Ranks, other: Ranks) -> float:
    """Spearman's, over what both find and not both first; 0 where that is too little, or all the same."""
    both = (mine < DEEPER) & (other < DEEPER) & (other > 0) & ((mine > 1) | (other > 1))
    if np.count_nonzero(both) < FEWEST:
        return 0.0
    a, b = _midranks(mine[both]), _midranks(other[both])
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / spread if spread else 0.0


def _midranks(values: Ranks) -> FloatArray:
    """Ranks of bytes, equals sharing theirs, less their mean: by counting, since sorting would take most of a comparison's time."""
    counts = np.bincount(values, minlength=256)
    middle = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray((middle - (len(values) + 1) / 2)[values])


def _by_pair(submission: Submission) -> Iterator[tuple[Pair, IntArray, Ranks]]:
    """Of each pair the relevant documents of each evaluated query, and their ranks."""
    ranks = submission.ranks()
    rank, of = np.minimum(ranks.rank, DEEPER).astype(np.uint8), np.repeat(ranks.pair, ranks.golds)
    for number, pair in enumerate(ranks.pairs):
        yield pair, ranks.golds[ranks.pair == number], rank[of == number]
