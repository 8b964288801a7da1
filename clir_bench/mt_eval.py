"""How good translations into English are, per language and system: Figure 2 of the paper, with the count of failures and intervals.

100 documents of each language are judged (Figure 2), chosen by hash order, the same for every system. A failed translation counts as failed and enters no
mean, so a system's mean must be read with its n. No torch here: the metrics bring it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import Literal, NamedTuple, Protocol

import numpy as np

from clir_bench import provenance
from clir_bench.mt_eval_records import FORMAT, FailureRecord, MetricRecord, Report, RowRecord, SampleRecord, TranslationsRecord
from clir_bench.mt_eval_tables import SALT, References, Sample, Table, choose_samples
from clir_bench.progress import bar

SIZE, SEED, RESAMPLES = 100, 42, 2000


class Metric(Protocol):
    """What judges translations; the siblings of ``clir_bench.parts.quality``. ``references`` hold None where a document has none."""

    name: str
    better: Literal["higher", "lower"]

    def score(self, sources: Sequence[str], translations: Sequence[str], references: Sequence[str | None] | None, language: str) -> list[float | None]:
        """One value a translation; None, or what is not finite, for what cannot be scored."""

    def summary(self, sources: Sequence[str], translations: Sequence[str], references: Sequence[str | None] | None, language: str) -> dict[str, float]:
        """What is computed of all documents together, by name."""

    def facts(self) -> Mapping[str, str | int | bool | None]:
        """All that decides a value; ``signature`` is one line."""


class Row(NamedTuple):
    """A cell of the table: documents scored, failed and not scorable; mean, median, and the 95% interval of the mean (None for fewer than 2)."""

    system: str
    language: str
    metric: str
    n: int
    failed: int
    unscored: int
    mean: float | None
    median: float | None
    low: float | None
    high: float | None
    corpus: dict[str, float]
    scores: tuple[float | None, ...]


def evaluate_translations(
    tables: Sequence[Table],
    metrics: Sequence[Metric],
    references: References | None = None,
    *,
    languages: Sequence[str] | None = None,
    size: int = SIZE,
    seed: int = SEED,
    progress: bool = False,
    command: str = "",
) -> Report:
    """Judge the same documents of every system by every metric. Raises CollectionError where the systems have none in common."""
    started, clock = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), perf_counter()
    samples, _ = choose_samples(tables, languages, size, seed)
    rows: list[Row] = []
    for metric in metrics:
        with bar(metric.name, len(tables) * sum(len(sample.ids) for sample in samples), "text", progress) as shown:
            for sample in samples:
                for table in tables:
                    rows.append(judge(table, sample, metric, references, seed))
                    shown.update(len(sample.ids))
    return Report(
        format=FORMAT,
        systems=tuple(TranslationsRecord(name=t.name, file=t.file, sha256=t.sha256, documents=len(t.rows)) for t in tables),
        references=TranslationsRecord(name=references.name, file=references.file, sha256=references.sha256, documents=len(references.english))
        if references
        else None,
        size=size,
        seed=seed,
        salt=f"{SALT}:LANGUAGE",
        resamples=RESAMPLES,
        samples=tuple(SampleRecord(language=s.language, of=s.of, ids=s.ids) for s in samples),
        metrics=tuple(_metric_record(metric) for metric in metrics),
        rows=tuple(RowRecord(**row._asdict()) for row in rows),
        failures=tuple(_failures(tables, samples)),
        provenance=provenance.collect(started, perf_counter() - clock, command, seed),
    )


def judge(table: Table, sample: Sample, metric: Metric, references: References | None = None, seed: int = SEED) -> Row:
    """One system, one language, one metric."""
    rows = [table.rows[key] for key in sample.ids]
    done = [i for i, row in enumerate(rows) if row.english is not None]
    sources, translations = [rows[i].text for i in done], [rows[i].english or "" for i in done]
    against = [references.english.get(sample.ids[i]) for i in done] if references else None
    scores: list[float | None] = [None] * len(rows)
    for i, value in zip(done, metric.score(sources, translations, against, sample.language), strict=True):
        scores[i] = value if value is not None and math.isfinite(value) else None
    values = [value for value in scores if value is not None]
    low, high = interval(values, seed)
    summary = metric.summary(sources, translations, against, sample.language) if done else {}
    return Row(
        system=table.name,
        language=sample.language,
        metric=metric.name,
        n=len(values),
        failed=len(rows) - len(done),
        unscored=len(done) - len(values),
        mean=math.fsum(values) / len(values) if values else None,
        median=float(np.median(values)) if values else None,
        low=low,
        high=high,
        corpus={name: value for name, value in summary.items() if math.isfinite(value)},
        scores=tuple(scores),
    )


def interval(values: Sequence[float], seed: int = SEED) -> tuple[float | None, float | None]:
    """The 95% interval of the mean: percentiles of ``RESAMPLES`` bootstrap means. Perplexities are skewed, so none is taken as normal."""
    if len(values) < 2:
        return None, None
    array, generator = np.asarray(values, np.float64), np.random.Generator(np.random.PCG64([seed, len(values)]))
    means = np.concatenate([array[generator.integers(0, len(array), (100, len(array)))].mean(axis=1) for _ in range(RESAMPLES // 100)])
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def _failures(tables: Sequence[Table], samples: Sequence[Sample]) -> Iterator[FailureRecord]:
    for table in tables:
        for sample in samples:
            for key in sample.ids:
                if table.rows[key].english is None:
                    yield FailureRecord(system=table.name, language=sample.language, id=key, problem=table.rows[key].problem or "no translation")


def _metric_record(metric: Metric) -> MetricRecord:
    facts = dict(metric.facts())
    return MetricRecord(name=metric.name, better=metric.better, signature=str(facts.pop("signature")), facts=facts)
