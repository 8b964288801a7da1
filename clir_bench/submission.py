"""A submission: what a system scored on a task, strict and recomputable. The wall between evaluation and everything that shows results.

``gold_ranks`` holds one byte per relevant document of every evaluated query (1 to 254, 255 = deeper), in the order of ``pairs`` and, within a
pair, of the collection's canonical query order; from it ``check`` recomputes every measure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError, model_validator

from clir_bench.collection import Pair
from clir_bench.errors import SubmissionError
from clir_bench.files import replacing
from clir_bench.measures import NOT_FOUND, GoldRanks, Stat, parse_measure, stats, stats_by_rank
from clir_bench.records import (
    Correction,
    Count,
    GoldRankRecord,
    Label,
    Language,
    PairRecord,
    ProfileRecord,
    Provenance,
    StatRecord,
    SystemRecord,
    TaskRecord,
    Text,
    TimingRecord,
)
from clir_bench.strict import Strict, problems_in
from clir_bench.strict_json import objections
from clir_bench.task_records import Track

FORMAT: Literal["clir-bench/submission/1"] = "clir-bench/submission/1"
MAX_BYTES = 4_000_000
"""No submission file may be larger."""
DEEPER = 255
_MAX_RANKS = 1_000_000  # what a file claims to hold is not given memory blindly; the largest task has 104,062
_MOST_NUMBERS = 6_000_000  # where queries have several relevant documents, whoever reads the file computes for half a second
_COUNTED, _CODE = re.compile(r"pairs\[(\d+)\]"), re.compile(r"[A-Za-z-]{2,20}")
_MOST_TOLD, _LONGEST = 1000, 1000  # problems of a file, and characters of one


class Submission(Strict):
    """The file. ``complete`` says whether every pair of the task is there: means over an incomplete set say so wherever they are shown."""

    format: Literal["clir-bench/submission/1"] = Field(alias="schema")
    task: TaskRecord
    system: SystemRecord
    complete: bool
    pool: dict[Language, Count]
    pairs: Annotated[tuple[PairRecord, ...], Field(strict=False, min_length=1)]
    bias: Annotated[tuple[ProfileRecord, ...], Field(strict=False)] = ()
    timings: Annotated[tuple[TimingRecord, ...], Field(strict=False)] = ()
    gold_ranks: GoldRankRecord | None
    provenance: Provenance
    submitter: Label | None = None
    citation: Text | None = None
    notes: Text | None = None
    correction: Correction | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        listed = [record.pair for record in self.pairs]
        problems = []
        if listed != sorted(set(listed)):
            problems.append("pairs are not sorted, or one stands twice")
        if len(listed) > self.task.pairs:
            problems.append(f"{len(listed)} pairs, but task.pairs is {self.task.pairs}")
        if (self.task.track == "oracle") != all(record.injected is not None for record in self.pairs):
            problems.append(f"track is {self.task.track!r}: every pair of the oracle track says how many queries had a document injected, and no other track's")
        if self.complete != (len(listed) == self.task.pairs):
            problems.append(f"complete is {self.complete}, but {len(listed)} of {self.task.pairs} pairs are there")
        named = {name for record in self.pairs for name in (*record.measures, *record.own_language)}
        if deep := [name for name in sorted(named) if parse_measure(name).k > self.task.depth]:
            problems.append(f"{', '.join(deep[:10])}: deeper than task.depth {self.task.depth}")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def ranks(self, which: Literal["full", "own_language"] = "full") -> GoldRanks:
        """The gold ranks as arrays; ``document`` and ``query`` are unknown and count up. Raises SubmissionError."""
        record = self.gold_ranks
        blob = getattr(record, which) if record else None
        if record is None or blob is None:
            raise SubmissionError(f"{self.system.name}: the submission carries no gold ranks ({which})")
        n = [next(iter(pair.measures.values())).n for pair in self.pairs]
        evaluated = sum(n)
        if evaluated > _MAX_RANKS:
            raise SubmissionError(f"{evaluated} evaluated queries, but a submission holds at most {_MAX_RANKS}")
        golds = np.ones(evaluated, np.int32) if record.golds is None else _unpack(record.golds, evaluated, "golds")
        total = int(golds.sum())
        if total > _MAX_RANKS:
            raise SubmissionError(f"{total} relevant documents, but a submission holds at most {_MAX_RANKS}")
        rank = _unpack(blob, total, which)
        if (rank == 0).any():
            raise SubmissionError(f"gold_ranks.{which}: a rank is 0, but ranks count from 1")
        rank[rank == DEEPER] = NOT_FOUND
        grades = np.ones(total, np.int32) if record.grades is None else _unpack(record.grades, total, "grades")
        pair = np.repeat(np.arange(len(n), dtype=np.int32), n)
        return GoldRanks(tuple(p.pair for p in self.pairs), pair, np.arange(evaluated, dtype=np.int32), golds, rank, grades, np.arange(total, dtype=np.int32))


def pack_ranks(full: GoldRanks, own: GoldRanks | None) -> GoldRankRecord:
    """Gold ranks as a submission carries them."""
    one_each, binary = bool((full.golds == 1).all()), bool((full.grade == 1).all())
    if full.golds.max(initial=0) > 65_535 or full.grade.max(initial=0) > 255:
        raise SubmissionError("a query has more than 65,535 relevant documents, or a grade above 255: a submission cannot hold them")
    return GoldRankRecord(
        encoding="zlib+base64",
        full=_pack(np.minimum(full.rank, DEEPER)),
        own_language=_pack(np.minimum(own.rank, DEEPER)) if own else None,
        golds=None if one_each else _pack(full.golds, np.uint8 if full.golds.max(initial=0) < 256 else np.dtype("<u2")),
        grades=None if binary else _pack(full.grade),
    )


def stat_record(stat: Stat) -> StatRecord:
    """A Stat as a submission carries it."""
    return StatRecord(n=stat.n, sum=stat.sum, sum_squares=stat.sum_squares)


def disagreements(submission: Submission) -> list[str]:
    """Where the stated numbers differ from those recomputed from the gold ranks; empty when all agree."""
    if submission.gold_ranks is None:
        return []
    problems: list[str] = []
    if submission.gold_ranks.own_language is None and any(record.own_language for record in submission.pairs):
        problems.append("pairs have own_language, but gold_ranks.own_language is null: nothing supports them")
    both: list[tuple[Literal["full", "own_language"], str]] = [("full", "measures"), ("own_language", "own_language")]
    for which, part in both:
        if which == "own_language" and submission.gold_ranks.own_language is None:
            continue
        try:
            ranks = submission.ranks(which)
        except SubmissionError as error:
            return [str(error)]
        names = sorted({name for record in submission.pairs for name in getattr(record, part)})
        measures = [parse_measure(name) for name in names]
        if submission.gold_ranks.golds is not None and (numbers := len(ranks.rank) * len(measures)) > _MOST_NUMBERS:
            return [f"{len(measures)} measures of {len(ranks.rank)} relevant documents are {numbers} numbers, but a submission has at most {_MOST_NUMBERS}"]
        single = submission.gold_ranks.golds is None and max((measure.k for measure in measures), default=0) < DEEPER
        recomputed = stats_by_rank(measures, ranks) if single and measures else [stats(measure, ranks) for measure in measures]
        for name, of_pairs in zip(names, recomputed, strict=True):
            for record, found in zip(submission.pairs, of_pairs, strict=True):
                stated: StatRecord | None = getattr(record, part).get(name)
                if stated is None:
                    problems.append(f"pairs.{record.pair}.{part}.{name}: missing, though other pairs have it")
                elif stated.n != found.n or not _near(stated.sum, found.sum, found.n) or not _near(stated.sum_squares, found.sum_squares, found.n):
                    problems.append(f"pairs.{record.pair}.{part}.{name}: sum is {stated.sum}, but the gold ranks give {found.sum} over {found.n} queries")
    return problems


def parse_submission(text: str | bytes, where: str) -> Submission:
    """A submission from JSON, strictly. Raises SubmissionError with every problem; ``where`` names the file."""
    if len(text) > MAX_BYTES:
        raise SubmissionError.of(where, [f"{len(text)} bytes, but a submission has at most {MAX_BYTES}"])
    if wrong := objections(text):
        raise SubmissionError.of(where, wrong)
    try:
        return Submission.model_validate_json(text)
    except ValidationError as error:
        if (count := error.error_count()) > _MOST_TOLD:
            raise SubmissionError.of(where, [f"{count} values are wrong or unknown, too many to name: it is no submission"]) from None
        raise SubmissionError.of(where, [line[:_LONGEST] for line in _by_pair(problems_in(error, Submission), text)]) from None


def _by_pair(lines: list[str], text: str | bytes) -> Iterator[str]:
    """The problems with their pairs by name, as whoever computes again names them: ``pairs.en-zh``, where a parser counts ``pairs[7]``."""
    counted = [_COUNTED.match(line) for line in lines]
    pairs = json.loads(text, parse_int=len, parse_float=len)["pairs"] if any(counted) else []
    for line, found in zip(lines, counted, strict=True):
        record = pairs[int(found[1])] if found else None
        codes = [str(record.get(role)) for role in ("query", "document")] if isinstance(record, dict) else [""]
        named = found is not None and all(map(_CODE.fullmatch, codes))
        yield f"pairs.{'-'.join(codes)}{line[found.end() :]}" if found and named else line


def read_submission(path: str | Path) -> Submission:
    """The submission in a file. Raises SubmissionError."""
    try:
        status = Path(path).stat()
        if S_ISDIR(status.st_mode):
            raise SubmissionError(f"{path} is a folder. Name a file in it.")
        if not S_ISREG(status.st_mode):
            raise SubmissionError(f"{path}: no file that can be read to its end")
        if status.st_size > MAX_BYTES:
            raise SubmissionError.of(str(path), [f"{status.st_size} bytes, but a submission has at most {MAX_BYTES}"])
        content = Path(path).read_bytes()
    except OSError as error:
        raise SubmissionError(f"{path}: cannot be read: {error.strerror or error}") from None
    return parse_submission(content, str(path))


def path_of(submission: Submission) -> Path:
    """The canonical place of a submission below ``submissions/``."""
    task, partial = submission.task, None if submission.complete else [record.pair for record in submission.pairs]
    day = submission.provenance.started[:10] if submission.correction else None
    return canonical_path(submission.system.name, submission.system.variant, task.name, task.version, task.track, partial, day)


def canonical_path(system: str, variant: str, task: str, version: int, track: Track, partial: Sequence[Pair] | None, day: str | None = None) -> Path:
    """``<org>__<model>/<variant>/<task>-v<version>.json``, with marks for a track of re-ranking, for the pairs if some are missing, for a correction's day."""
    marks = "" if track == "retrieval" else f".{track}"
    if partial is not None:
        marks += f".partial-{hashlib.sha256(' '.join(map(str, sorted(partial))).encode()).hexdigest()[:6]}"
    if day is not None:
        marks += f".{day}"
    return Path(system.replace("/", "__")) / variant / f"{task.replace(':', '_')}-v{version}{marks}.json"


def refuse_existing(path: Path) -> None:
    """Raise SubmissionError if the file is there."""
    if path.exists():
        raise SubmissionError(f"{path} exists. --overwrite replaces it, --output FOLDER writes elsewhere.")


def write_submission(submission: Submission, path: Path, *, overwrite: bool = False) -> None:
    """Write beside and rename; an existing file is kept unless ``overwrite``. Raises SubmissionError."""
    if not overwrite:
        refuse_existing(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as stream:
            stream.write(to_json(submission).encode())
    except OSError as error:
        raise SubmissionError(f"{path} cannot be written: {error.strerror or error}") from error


def to_json(submission: Submission) -> str:
    """Strict JSON with one pair, profile or timing a line, so that a diff shows what changed."""
    content: Mapping[str, Any] = submission.model_dump(mode="json", by_alias=True)
    return "{\n" + ",\n".join(f" {json.dumps(key)}: {_lines(value)}" for key, value in content.items()) + "\n}\n"


def _lines(value: Any) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"  {json.dumps(item, ensure_ascii=False, allow_nan=False)}" for item in value) + "\n ]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _pack(numbers: npt.NDArray[np.integer[Any]], width: npt.DTypeLike = np.uint8) -> str:
    return base64.b64encode(zlib.compress(numbers.astype(width).tobytes(), 9)).decode()


def _unpack(blob: str, expected: int, what: str) -> npt.NDArray[np.int32]:
    """Exactly ``expected`` numbers of one byte, or for ``golds`` of two, never more than that in memory."""
    most = 2 * expected if what == "golds" else expected
    try:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(base64.b64decode(blob, validate=True), most + 1)
    except (binascii.Error, zlib.error) as error:
        raise SubmissionError(f"gold_ranks.{what}: damaged ({error})") from None
    if what == "golds" and len(raw) == most:
        return np.frombuffer(raw, "<u2").astype(np.int32)
    if len(raw) != expected:
        more = "more than " if len(raw) > most else ""
        raise SubmissionError(f"gold_ranks.{what}: {more}{min(len(raw), most)} bytes, but the pairs need {expected}")
    return np.frombuffer(raw, np.uint8).astype(np.int32)


def _near(a: float | None, b: float, n: int) -> bool:
    return a is not None and math.isclose(a, b, rel_tol=0, abs_tol=1e-9 * n)


def means(submission: Submission, measure: str, part: Literal["measures", "own_language"] = "measures") -> Sequence[float]:
    """The measure's mean of every pair, in the order of ``pairs``."""
    return [getattr(record, part)[measure].mean for record in submission.pairs]
