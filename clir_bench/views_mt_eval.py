"""What ``clir-bench mt-eval`` shows: a table a metric, languages down, systems across."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clir_bench import languages
from clir_bench.mt_eval_records import MetricRecord, Report, RowRecord

_DIGITS = {"comet-kiwi": 3, "similarity": 3}
_SHOWN = 10


def tables(report: Report) -> list[RenderableType]:
    """Every metric's table, then the failures."""
    return [*(metric_table(report, metric) for metric in report.metrics), *([failures(report)] if report.failures else [])]


def metric_table(report: Report, metric: MetricRecord) -> RenderableType:
    """Mean, 95% interval and n of every system and language; the last row is the mean over languages, where a system has all."""
    digits = _DIGITS.get(metric.name, 1)
    codes, systems = [sample.language for sample in report.samples], [system.name for system in report.systems]
    cells = {s: [report.row(s, code, metric.name) for code in codes] for s in systems}
    corpus = list(dict.fromkeys(name for rows in cells.values() for row in rows for name in row.corpus if name != "tokens"))
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    table.add_column("language")
    for system in systems:
        for column in (system, "95%", "n", *corpus):
            table.add_column(Text(column), justify="right")
    for i, code in enumerate(codes):
        shown = [part for s in systems for part in _cells(cells[s][i], corpus, digits)]
        table.add_row(f"{code} {languages.name(code)}", *shown)
    if len(codes) > 1:
        means = [part for s in systems for part in (_number(_macro(cells[s]), digits), "", f"{sum(row.n for row in cells[s]):,}", *([""] * len(corpus)))]
        table.add_row(Text(f"mean of {len(codes)}", style="bold"), *(Text(part, style="bold") for part in means))
    return Group(Text(f"{metric.name}, {metric.better} is better", style="bold"), table, Text(metric.signature, style="dim"))


def failures(report: Report) -> RenderableType:
    """The sampled documents without a translation: counted for each system and language, the first ones named."""
    counts = {(f.system, f.language): 0 for f in report.failures}
    for f in report.failures:
        counts[f.system, f.language] += 1
    total = sum(len(sample.ids) for sample in report.samples)
    lines = [
        f"{system.name}: {n:,} of {total:,} failed ({', '.join(f'{code} {k}' for (name, code), k in counts.items() if name == system.name)})"
        for system in report.systems
        if (n := sum(k for (name, _), k in counts.items() if name == system.name))
    ]
    named = [f"  {f.system} {f.id}: {f.problem}" for f in report.failures[:_SHOWN]]
    more = [f"  and {len(report.failures) - _SHOWN:,} more in the file"] if len(report.failures) > _SHOWN else []
    return Group(Text("Failed translations, in no mean", style="bold"), *map(Text, lines), *(Text(line, style="dim") for line in (*named, *more)))


def _cells(row: RowRecord, corpus: Sequence[str], digits: int) -> list[str]:
    bounds = "-" if row.low is None or row.high is None else f"{row.low:.{digits}f} to {row.high:.{digits}f}"
    return [_number(row.mean, digits), bounds, f"{row.n}", *(_number(row.corpus.get(name), 0 if name == "cut" else digits) for name in corpus)]


def _macro(rows: Sequence[RowRecord]) -> float | None:
    """The mean over languages, each counting the same; None where one has no value, for another set's mean would not be comparable."""
    means = [row.mean for row in rows if row.mean is not None]
    return sum(means) / len(means) if len(means) == len(rows) else None


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
