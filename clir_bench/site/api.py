"""The board as JSON: what each address of the API answers, as plain values. Fractions are unrounded, null is nothing, every score has its n beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib import metadata
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from clir_bench.bias import DEPTHS
from clir_bench.collection import Pair
from clir_bench.errors import ClirBenchError
from clir_bench.exhibits.profile import events
from clir_bench.exhibits.published import publications
from clir_bench.site import api_records as records
from clir_bench.standings.index import Board, Index
from clir_bench.standings.memory import remembered
from clir_bench.standings.overview import standing
from clir_bench.standings.selection import MeasureName, Names, Selection
from clir_bench.strict import problems_in

PREFIX = "/api/v1"
FILES = ("pairs", "bias", "systems", "timings")
"""Tables of the index that can be had as parquet."""
Given = Mapping[str, str]
Model = TypeVar("Model", bound=BaseModel)
T = TypeVar("T")


class NotThere(ClirBenchError):
    """What an address names is not on the board."""


class _Nothing(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Paged(_Nothing):
    page: Annotated[int, Field(ge=1)] = 1
    size: Annotated[int, Field(ge=1, le=500)] = 100

    def cut(self, name: str, rows: Sequence[T], make: Callable[[T], object]) -> records.Record:
        """The page that was asked for, and how much there is."""
        start = (self.page - 1) * self.size
        return {"total": len(rows), "page": self.page, "size": self.size, name: [make(row) for row in rows[start : start + self.size]]}


class _Standings(Selection, _Paged):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Measured(_Nothing):
    measure: MeasureName = "R@10"
    boards: Names = ()


class _Pair(_Measured, _Paged):
    q: str
    d: str


class _Two(_Measured):
    a: str
    b: str


def _profiled(depth: int) -> int:
    if depth not in DEPTHS:
        raise ValueError(f"{depth}, but profiles are of depth {', '.join(map(str, DEPTHS))}")
    return depth


class _Bias(_Nothing):
    system: str
    boards: Names = ()
    depth: Annotated[int, AfterValidator(_profiled)] = 10


def contents(index: Index, given: Given) -> records.Record:
    """What there is, and its addresses."""
    _parse(_Nothing, given)
    return {
        "name": "clir-bench",
        "version": metadata.version("clir-bench"),
        "index": index.path.name,
        "submissions": len(index.entries),
        "systems": len(index.lines),
        "newest": None if index.entries.empty else str(index.entries["started"].max()),
        "problems": list(index.problems),
        "numbers": "fractions, unrounded; a pair is query language-document language; n counts evaluated queries; null is nothing",
        "addresses": {address.replace(":path", ""): answer.__doc__ for address, answer in ANSWERS.items()}
        | {f"{PREFIX}/files/{name}.parquet": f"The index's table of {name}." for name in FILES},
    }


def boards(index: Index, given: Given) -> records.Record:
    """The data sets: one task in one version, the oracle track apart; their pairs with n, the languages of the pool, measures, fingerprint."""
    _parse(_Nothing, given)
    return {"boards": [records.board(index, board) for board in index.boards.values()]}


def systems(index: Index, given: Given) -> records.Record:
    """All systems with their facts, by name; page, size (at most 500)."""
    asked = _parse(_Paged, given)
    return asked.cut("systems", sorted(range(len(index.lines)), key=index.lines.__getitem__), partial(records.system, index))


def system(index: Index, given: Given) -> records.Record:
    """One system: every submission of it with signature, command and provenance, and the mean and n of every pair in every measure."""
    named = {"name", "variant"}
    _parse(_Nothing, {key: value for key, value in given.items() if key not in named})
    return records.whole_system(index, *_lines(index, f"{given['name']}/{given['variant']}"))


def standings(index: Index, given: Given) -> records.Record:
    """Systems by tier and score on a selection: boards, queries, documents (each a,b,c), script, same, measure, track, gigabytes, licence, seen, trust; page, size."""
    asked = _parse(_Standings, given, (*_unknown(index, given), *_unmeasured(index, given)))
    selection = Selection.model_validate(asked.model_dump(include=set(Selection.model_fields)))
    found = standing(index, selection)
    return {
        "selection": selection.model_dump(),
        "boards": [board.key for board in found.boards],
        "pairs": found.cells_of,
        "n": found.queries,
        "topics": found.topics,
        "ranked": found.ranked,
        "why_none_is": found.why or None,
        **asked.cut("systems", range(len(found.lines)), partial(records.placed, index, found)),
    }


def pairs(index: Index, given: Given) -> records.Record:
    """One pair, q the query language and d that of documents: every system's mean with n, 95 % interval and own-language mean; measure, boards; page, size."""
    asked = _parse(_Pair, given, _unknown(index, given))
    pair = Pair(asked.q, asked.d)
    measured = [board for board in _among(index, asked.boards) if pair in board.pairs and asked.measure in board.measures]
    rows = [row for board in measured for row in records.of_pair(index, board, pair, asked.measure)]
    return {"query": asked.q, "document": asked.d, "measure": asked.measure, **asked.cut("rows", rows, dict)}


def comparison(index: Index, given: Given) -> records.Record:
    """Systems a and b (org/model/variant) on the queries both answered: per pair and overall, a less b (positive: a is better), with tests and intervals; measure, boards."""
    asked = _parse(_Two, given, _unknown(index, given))
    a, b = _lines(index, asked.a, asked.b)
    shared = [board for board in _among(index, asked.boards) if asked.measure in board.measures and min(index.entry_of[board.key][[a, b]]) >= 0]
    found = {
        board.key: remembered(index, ("api compare", board.key, a, b, asked.measure), partial(records.compared, index, board, a, b, asked.measure))
        for board in shared
    }
    return {"a": asked.a, "b": asked.b, "measure": asked.measure, "boards": found}


def bias(index: Index, given: Given) -> records.Record:
    """The languages that a system (org/model/variant) retrieves among its first places, per query language, and those of the pool; boards, depth (1, 10, 100)."""
    asked = _parse(_Bias, given, _unknown(index, given))
    (line,) = _lines(index, asked.system)
    chosen = [board for board in _among(index, asked.boards) if index.entry_of[board.key][line] >= 0]
    return {"system": asked.system, "depth": asked.depth, "boards": {board.key: records.profiles(index, board, line, asked.depth) for board in chosen}}


def claims(index: Index, given: Given) -> records.Record:
    """The numbers that publications print, as printed, cell by cell: nothing can be recomputed from them."""
    _parse(_Nothing, given)
    return {"claims": [publication.model_dump(mode="json", by_alias=True) for publication in publications(index)]}


def log(index: Index, given: Given) -> records.Record:
    """What happened to submissions, the newest first; page, size."""
    asked = _parse(_Paged, given)
    return asked.cut("events", events(index)[::-1], lambda event: event.model_dump(mode="json"))


ANSWERS: dict[str, Callable[[Index, Given], records.Record]] = {
    PREFIX: contents,
    f"{PREFIX}/boards": boards,
    f"{PREFIX}/systems": systems,
    f"{PREFIX}/systems/{{name:path}}/{{variant}}": system,
    f"{PREFIX}/standings": standings,
    f"{PREFIX}/pairs": pairs,
    f"{PREFIX}/compare": comparison,
    f"{PREFIX}/bias": bias,
    f"{PREFIX}/claims": claims,
    f"{PREFIX}/events": log,
}
"""What answers an address; names in braces are given with the parameters. Raises ClirBenchError for parameters that are none, and NotThere."""


def problems_of(error: ClirBenchError) -> list[str]:
    """Every problem that an error names."""
    first, *others = str(error).split("\n  ")
    return others or [first]


def _parse(model: type[Model], given: Given, others: Iterable[str] = ()) -> Model:
    """The parameters. Raises ClirBenchError for what is wrong with each, and for the ``others``, all at once."""
    problems = list[str]()
    try:
        asked = model.model_validate(dict(given))
    except ValidationError as error:
        problems = problems_in(error, model)
    if problems := [*problems, *others]:
        raise ClirBenchError.of("the parameters", problems)
    return asked


def _unknown(index: Index, given: Given) -> Iterator[str]:
    """The boards and languages among the parameters that no board has."""
    all_boards = index.boards.values()
    asked, held = ({code for board in all_boards for code in getattr(board, f"{role}_languages")} for role in ("query", "document"))
    known = {key.removesuffix(".oracle") for key in index.boards} | set(index.boards)
    for key, what, there in (("boards", "board", known), ("queries", "query language", asked), ("documents", "document language", held)):
        yield from (f"no {what} {name!r}: there are {', '.join(sorted(there))}" for name in given.get(key, "").split(",") if name and name not in there)
    for key, what, there in (("q", "query language", asked), ("d", "document language", held)):
        if key in given and given[key] not in there:
            yield f"no {what} {given[key]!r}: there are {', '.join(sorted(there))}"


def _unmeasured(index: Index, given: Given) -> Iterator[str]:
    """The boards of a selection that lack its measure; none of a selection that is none."""
    try:
        selection = Selection.of(given)
    except ClirBenchError:
        return
    for board in selection.chosen(index):
        if selection.measure not in board.measures and selection.pairs_of(board).any():
            yield f"measure: {board.key} has no {selection.measure}; it has {', '.join(board.measures)}"


def _among(index: Index, names: Sequence[str]) -> list[Board]:
    """The named boards, or all."""
    return [board for board in index.boards.values() if not names or board.key in names]


def _lines(index: Index, *names: str) -> list[int]:
    found = {name: index.line(name) for name in names}
    if missing := [f"there is no system {name!r}. {PREFIX}/systems lists them" for name, line in found.items() if line is None]:
        raise NotThere.of("the parameters", missing)
    return [line for name in names if (line := found[name]) is not None]
