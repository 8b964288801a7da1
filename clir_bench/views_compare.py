"""The comparison of two submissions for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clir_bench.compare import FLIPS, LEVEL, Comparison, Interval, Overall
from clir_bench.layout import FOLDER
from clir_bench.views import percent


def comparison(result: Comparison, rows: int | None = None) -> RenderableType:
    """Paired differences per pair, largest first, then what they are worth together."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("pair", "n", "A", "B", "A - B", "only A better", "only B better", "p (McNemar)" if result.exact_test else "p (sign flips)"):
        table.add_column(column, justify="left" if column == "pair" else "right", no_wrap=column in ("pair", "A", "B"))
    shown = sorted(result.rows, key=lambda row: -abs(row.difference))
    for row in shown[:rows]:
        table.add_row(
            str(row.pair), f"{row.n:,}", _score(row.a, row.a_interval), _score(row.b, row.b_interval), _points(row.difference),
            f"{row.only_a:,}", f"{row.only_b:,}", f"{_p(row.p)}{'*' if row.significant else ' '}",
        )  # fmt: skip
    if rows is not None and len(shown) > rows:
        table.add_row("...", *[""] * 7)
    title = f"{result.measure}, percent, with {100 * LEVEL:.0f} % intervals; A minus B on the same queries, percent points: positive where A is better"
    return Group(Text(title, style="bold"), table, *_summary(result), *(Text(note, style="dim") for note in _notes(result)))


def _summary(result: Comparison) -> Iterator[Text]:
    overall, difference = result.overall, result.mean_a - result.mean_b
    a, b = (_score(mean, interval) for mean, interval in ((result.mean_a, overall and overall.a_interval), (result.mean_b, overall and overall.b_interval)))
    between = f" ({_points(overall.interval.low)} to {_points(overall.interval.high)})" if overall else ""
    yield Text(
        f"macro mean over {len(result.rows)} pairs, {result.queries:,} evaluated queries: A {a}, B {b}, difference {_points(difference)}{between}; "
        f"A is ahead in {result.wins} pairs ({result.significant_wins} significant), level in {result.ties}, behind in {result.losses} "
        f"({result.significant_losses} significant).",
        style="bold",
    )
    if overall:
        yield Text(_verdict(overall), style="bold")
        yield Text(_elsewhere(overall))


def _verdict(overall: Overall) -> str:
    test = f"p {_p(overall.p)}, the signs of {overall.topics:,} whole topics flipped {FLIPS:,} times"
    if overall.p <= 1 - LEVEL:
        return f"The two differ overall: {test}."
    if overall.more_queries is None:
        why = (
            "one topic has no spread, so it cannot be said how many would settle it"
            if overall.topics == 1
            else "no number of queries would find a difference of 0"
        )
        return f"The two cannot be told apart overall: {test}; {why}."
    topics, queries = (f"{float(f'{count:.2g}'):,.0f}" for count in (overall.more_topics or 0, overall.more_queries))
    more = f"about {queries} more evaluated queries ({topics} topics) would find a difference of this size four times in five"
    return f"The two cannot be told apart overall: {test}; {more}."


def _elsewhere(overall: Overall) -> str:
    if overall.other_languages is None:
        return f"For other languages nothing can be said: {overall.why_not}."
    low, high = (_points(bound) for bound in overall.other_languages)
    return f"For other languages: {low} to {high}, had other query and document languages been drawn, too, not other topics alone."


def _notes(result: Comparison) -> Iterator[str]:
    detectable = sorted(row.detectable for row in result.rows if row.detectable is not None)
    if detectable:
        yield (
            f"The smallest difference found four times in five: {percent(detectable[len(detectable) // 2])} points in the median pair"
            f"{f', {percent(result.overall.detectable)} overall' if result.overall and result.overall.detectable else ''}."
        )
    yield (
        f"The p of each pair is uncorrected: among many some fall below {1 - LEVEL:.2f} by chance. * stays significant among these {len(result.rows)} pairs"
        " (Benjamini-Hochberg: 5 % of the marked are false, on average)."
    )
    if result.overall is None:
        yield (
            "No overall test or interval: the same question is asked in several languages, and no layout says which queries are one question. Evaluate the task"
            f" once (clir-bench evaluate writes its layout), or put the folder {FOLDER}/ of the submissions beside these."
        )


def _score(mean: float, interval: Interval | None) -> str:
    return f"{percent(mean)} ({percent(interval.low)}-{percent(interval.high)})" if interval else percent(mean)


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}"


def _p(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"
