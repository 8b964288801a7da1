"""The report of an evaluation of translations: strict, and carrying every document's value, so that each number can be recomputed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from clir_bench.errors import ClirBenchError
from clir_bench.files import replacing
from clir_bench.records import Count, Provenance, Text
from clir_bench.strict import Strict, problems_in

FORMAT: Literal["clir-bench/mt-eval/1"] = "clir-bench/mt-eval/1"
Hash = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class TranslationsRecord(Strict):
    """A file of translations; ``file`` is its name without a folder."""

    name: Text
    file: Text
    sha256: Hash
    documents: Count


class SampleRecord(Strict):
    """The documents of a language that were judged, in hash order; ``of``: how many all systems had."""

    language: Text
    of: Count
    ids: Annotated[tuple[str, ...], Field(strict=False)]


class MetricRecord(Strict):
    """A metric: ``signature`` and ``facts`` hold all that decides its values."""

    name: Text
    better: Literal["higher", "lower"]
    signature: Text
    facts: dict[str, str | int | bool | None]


class RowRecord(Strict):
    """A system, a language, a metric. ``scores`` stand in the sample's order; null where the translation failed, or could not be scored (``unscored``).

    ``low`` and ``high`` bound the mean, 95% by bootstrap; null for fewer than 2 values. ``corpus`` is computed of all documents together.
    """

    system: Text
    language: Text
    metric: Text
    n: Count
    failed: Count
    unscored: Count
    mean: float | None
    median: float | None
    low: float | None
    high: float | None
    corpus: dict[str, float]
    scores: Annotated[tuple[float | None, ...], Field(strict=False)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        values = [value for value in self.scores if value is not None]
        if len(values) != self.n or len(self.scores) != self.n + self.failed + self.unscored:
            raise ValueError(f"n is {self.n}, failed {self.failed} and unscored {self.unscored}, but {len(values)} of {len(self.scores)} scores are there")
        mean = math.fsum(values) / len(values) if values else None
        if (mean is None) != (self.mean is None) or (mean is not None and self.mean is not None and not math.isclose(mean, self.mean, rel_tol=1e-9)):
            raise ValueError(f"mean is {self.mean}, but that of the scores is {mean}")
        return self


class FailureRecord(Strict):
    """A sampled document without a translation."""

    system: Text
    language: Text
    id: str
    problem: str


class Report(Strict):
    """The file. Documents are sampled by the SHA-256 of ``seed:salt:id``; ``resamples`` is the bootstrap's, of the same seed."""

    format: Literal["clir-bench/mt-eval/1"] = Field(alias="schema")
    systems: Annotated[tuple[TranslationsRecord, ...], Field(strict=False, min_length=1)]
    references: TranslationsRecord | None
    size: Annotated[int, Field(gt=0)]
    seed: int
    salt: Text
    resamples: Annotated[int, Field(gt=0)]
    samples: Annotated[tuple[SampleRecord, ...], Field(strict=False, min_length=1)]
    metrics: Annotated[tuple[MetricRecord, ...], Field(strict=False, min_length=1)]
    rows: Annotated[tuple[RowRecord, ...], Field(strict=False, min_length=1)]
    failures: Annotated[tuple[FailureRecord, ...], Field(strict=False)]
    provenance: Provenance

    @model_validator(mode="after")
    def _complete(self) -> Self:
        languages = {sample.language: len(sample.ids) for sample in self.samples}
        wanted = [(s.name, language, m.name) for m in self.metrics for language in languages for s in self.systems]
        if [(row.system, row.language, row.metric) for row in self.rows] != wanted:
            raise ValueError(
                f"rows are not one for each of {len(self.metrics)} metrics, {len(languages)} languages and {len(self.systems)} systems, in that order"
            )
        if odd := next((row for row in self.rows if len(row.scores) != languages[row.language]), None):
            raise ValueError(f"{odd.system}, {odd.language}, {odd.metric}: {len(odd.scores)} scores of {languages[odd.language]} documents")
        return self

    def row(self, system: str, language: str, metric: str) -> RowRecord:
        """The row of that name. Raises KeyError."""
        found = next((r for r in self.rows if (r.system, r.language, r.metric) == (system, language, metric)), None)
        if found is None:
            raise KeyError((system, language, metric))
        return found


def to_json(report: Report) -> str:
    """As the file holds it: one line a row, for a diff one can read."""
    record = report.model_dump(mode="json", by_alias=True)
    return "{\n" + ",\n".join(f" {json.dumps(key)}: {_lines(value)}" for key, value in record.items()) + "\n}\n"


def check_writable(path: Path, option: str) -> None:
    """Raise ClirBenchError where a file cannot be written, before hours of work."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            pass
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
    except OSError as error:
        raise ClirBenchError(f"{path} cannot be written ({error.strerror or error}). Choose another with {option}") from error


def write_report(report: Report, path: Path) -> None:
    """Write the file. Raises ClirBenchError where it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as stream:
            stream.write(to_json(report).encode())
    except OSError as error:
        raise ClirBenchError(f"{path} cannot be written ({error.strerror or error}). Choose another with --output") from error


def read_report(path: Path) -> Report:
    """Read the file. Raises ClirBenchError with every problem of it."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (OSError, ValueError) as error:
        raise ClirBenchError(f"{path}: cannot be read as JSON ({error})") from error
    try:
        return Report.model_validate(record)
    except ValidationError as error:
        raise ClirBenchError.of(str(path), problems_in(error, Report)) from error


def _lines(value: Any) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"  {json.dumps(item, ensure_ascii=False)}" for item in value) + "\n ]"
    return json.dumps(value, ensure_ascii=False)


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")
