"""What a reader chose: data sets, pairs, a measure, and which systems. All of it fits in an address, so every view is a link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Annotated, Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from clir_bench import languages
from clir_bench.collection import Pair
from clir_bench.contamination import ORDER
from clir_bench.errors import ClirBenchError
from clir_bench.measures import parse_measure
from clir_bench.sources import DATA_SETS
from clir_bench.standings.index import Board, Index
from clir_bench.strict import problems_in
from clir_bench.trust import Trust

Bools = npt.NDArray[np.bool_]
LEVELS = get_args(Trust)
SEEN = {"any": "any training data", "undisclosed": "not known to be trained on it", "clean": "not trained on it"}


def _listed(value: object) -> object:
    """An address holds a list as ``ar,de``."""
    return tuple(part for part in value.split(",") if part) if isinstance(value, str) else value


def _measure(text: str) -> str:
    return str(parse_measure(text))


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
MeasureName = Annotated[str, AfterValidator(_measure)]


class Selection(BaseModel):
    """The filters. Empty ``boards`` stands for the index's usual ones, empty languages for all.

    ``script``: pairs of one script, or of two; ``same``: with or without the pairs of one language. ``gigabytes``: the most that all weights needed to
    answer a query may take, as published; a system of unknown size passes only without that limit. ``seen``: what a system may have been trained on.
    ``trust``: the least level.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    boards: Names = ()
    queries: Names = ()
    documents: Names = ()
    script: Literal["any", "same", "cross"] = "any"
    same: Literal["with", "without"] = "with"
    measure: MeasureName = "R@10"
    track: Literal["all", "retrieval", "rerank", "oracle"] = "all"
    gigabytes: Annotated[float, Field(gt=0)] | None = None
    licence: Literal["any", "open"] = "any"
    seen: Literal["any", "undisclosed", "clean"] = "any"
    trust: Trust = "claimed"

    def parameters(self) -> dict[str, str]:
        """What differs from the defaults, as the parameters of an address."""
        changed = self.model_dump(exclude_defaults=True)
        return {
            name: ",".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value) for name, value in changed.items()
        }

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Selection:
        """The selection of an address's parameters; unknown names are left to others. Raises ClirBenchError for values that are none, all at once."""
        try:
            return cls.model_validate(dict(parameters))
        except ValidationError as error:
            raise ClirBenchError.of("the filters", problems_in(error, cls)) from None

    def chosen(self, index: Index) -> tuple[Board, ...]:
        """The boards: those that are named and there, on the track that is asked for; the usual ones where none is named."""
        oracle = self.track == "oracle"
        there = [board for board in index.boards.values() if board.oracle == oracle]
        named = {key.removesuffix(".oracle") for key in self.boards}
        if named:
            return tuple(board for board in there if board.key.removesuffix(".oracle") in named)
        return usual_boards(index, there)

    def pairs_of(self, board: Board) -> Bools:
        """Which of the board's pairs are meant, bool [pairs]."""
        return np.array([self.takes(pair) for pair in board.pairs], bool)

    def takes(self, pair: Pair) -> bool:
        """Whether a pair is meant."""
        if (self.queries and pair.query not in self.queries) or (self.documents and pair.document not in self.documents):
            return False
        if self.same == "without" and pair.same:
            return False
        return self.script == "any" or (languages.script(pair.query) == languages.script(pair.document)) == (self.script == "same")

    def lines(self, index: Index, boards: tuple[Board, ...]) -> npt.NDArray[np.int32]:
        """The systems with a submission on any of the boards that pass by all that they have there: their numbers, ascending."""
        passed = self._passing(index)
        on, out = np.zeros(len(index.lines), bool), np.zeros(len(index.lines), bool)
        for board in boards:
            of = index.entry_of[board.key]
            on |= of >= 0
            out |= (of >= 0) & ~passed[np.maximum(of, 0)]
        return np.flatnonzero(on & ~out).astype(np.int32)

    def _passing(self, index: Index) -> Bools:
        """Which entries pass the filters of systems, bool [entries]."""
        e = index.entries
        passed = np.ones(len(e), bool)
        if self.track in ("retrieval", "rerank"):
            passed &= (e["track"] == self.track).to_numpy()
        if self.gigabytes is not None:
            passed &= (e["weights_bytes"].to_numpy(float, na_value=np.inf) <= self.gigabytes * 1e9).astype(bool)
        if self.licence == "open":
            passed &= (e["licence_class"] == "open").to_numpy()
        if self.seen != "any":
            allowed = ORDER[: ORDER.index(self.seen) + 1]
            passed &= e["contamination"].isin(allowed).to_numpy()
        if self.trust != "claimed":
            passed &= e["trust"].isin(LEVELS[LEVELS.index(self.trust) :]).to_numpy()
        return passed

    def relaxations(self, index: Index) -> list[tuple[str, Selection]]:
        """For a selection that nothing passes: the fewest filters whose removal lets something through, in words; every such choice of them."""
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        changed = [name for name in _WORDS if getattr(self, name) != defaults[name]]
        boards = self.chosen(index)
        alone = [(f"{board.label} alone", self.model_copy(update={"boards": (board.key.removesuffix(".oracle"),)})) for board in boards if len(boards) > 1]
        for count in range(1, len(changed) + 1):
            choices = [(names, {name: defaults[name] for name in names}) for names in combinations(changed, count)]
            loosened = [(" and ".join(_WORDS[name] for name in names), self.model_copy(update=usual)) for names, usual in choices]
            if found := [(words, loose) for words, loose in (*loosened, *alone) if loose._passes(index)]:
                return found
        return []

    def _passes(self, index: Index) -> bool:
        """Whether there are such pairs, the measure, and systems that have any of them."""
        boards = tuple(board for board in self.chosen(index) if self.pairs_of(board).any())
        return bool(boards) and all(self.measure in board.measures for board in boards) and len(self.lines(index, boards)) > 0


_WORDS = {
    "boards": "all data sets", "queries": "all query languages", "documents": "all document languages", "script": "any script",
    "same": "with the pairs of one language", "measure": "the measure R@10", "track": "all tracks", "gigabytes": "any size", "licence": "any licence", "seen": "any training data",
    "trust": "any level of trust",
}  # fmt: skip


def usual_boards(index: Index, there: Sequence[Board]) -> tuple[Board, ...]:
    """What stands for "all data sets": the paper's, else every one, on which a system is whole; those alone that have systems in common.

    Where no system is whole on all of them, the one on which most are: an average that nobody has says nothing.
    """
    ranked = [board for board in there if board.whole.any()]
    boards = [board for board in ranked if board.shape.task in DATA_SETS] or ranked or list(there)
    if len(boards) < 2 or not ranked:
        return tuple(boards)
    whole = np.zeros((len(boards), len(index.lines)), bool)
    for i, board in enumerate(boards):
        entry = index.entry_of[board.key]
        local = np.zeros(len(index.entries), bool)
        local[board.entries] = board.whole
        whole[i] = (entry >= 0) & local[np.maximum(entry, 0)]
    return tuple(boards) if whole.all(0).any() else (boards[int(whole.sum(1).argmax())],)
