"""Tables for the terminal. Numbers are percent with one decimal; a mean never appears without its n, or over an incomplete set without saying so."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from clir_bench import bias, languages
from clir_bench.collection import Pair
from clir_bench.measures import macro_mean
from clir_bench.submission import Submission, means

_RAMP = ("#f7fbff", "#deebf7", "#c6dbef", "#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08519c", "#08306b")


def percent(value: float | None) -> str:
    """A fraction as percent with one decimal; a dash for nothing."""
    return "-" if value is None else f"{100 * value:.1f}"


def coverage(submission: Submission) -> str:
    """``64 pairs, 6,144 queries`` or, in an incomplete set, ``12 of 64 pairs, ...``."""
    task, pairs = submission.task, submission.pairs
    n = sum(next(iter(p.measures.values())).n for p in pairs)
    return f"{f'{len(pairs)} of {task.pairs}' if not submission.complete else len(pairs)} pairs, {n:,} evaluated queries"


def task_label(submission: Submission) -> str:
    """``sample v1``, with the track where it is one of re-ranking."""
    track = submission.task.track
    return f"{submission.task.name} v{submission.task.version}{'' if track == 'retrieval' else f', {track}'}"


def injection(submission: Submission) -> str:
    """What the oracle track put among the candidates."""
    queries = sum(next(iter(p.measures.values())).n for p in submission.pairs)
    share = sum(p.injected or 0 for p in submission.pairs) / queries
    return (
        f"oracle: a relevant document was put among the candidates of {percent(share)} % of the {queries:,} queries of {submission.system.variant};"
        " not comparable with another track."
    )


def overview(submissions: Sequence[Submission]) -> RenderableType:
    """One row a submission: macro means over pairs, with and without the pairs of one language, and what language bias costs."""
    names = list(dict.fromkeys(name for s in submissions for name in s.pairs[0].measures))
    table = _table()
    for column in ("task", "system", "variant", "pairs"):
        table.add_column(column, overflow="fold")
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("cross-lingual\nR@10", justify="right")
    table.add_column("own-language\nR@10", justify="right")
    table.add_column("bias loss\nR@10", justify="right")
    incomplete = False
    for s in submissions:
        pairs = [p.pair for p in s.pairs]
        values = [percent(macro_mean(pairs, means(s, name))) if all(name in p.measures for p in s.pairs) else "-" for name in names]
        cross = own = loss = None
        if "R@10" in names and all("R@10" in p.measures for p in s.pairs):
            cross = macro_mean(pairs, means(s, "R@10"), same_language=False)
            if all("R@10" in p.own_language for p in s.pairs):
                own = macro_mean(pairs, means(s, "R@10", "own_language"), same_language=False)
                loss = own - cross if own is not None and cross is not None else None
        mark = "" if s.complete else "*"
        incomplete |= not s.complete
        count = f"{len(pairs)}" if s.complete else f"{len(pairs)} of {s.task.pairs}{mark}"
        table.add_row(task_label(s), s.system.name, s.system.variant, count, *values, percent(cross), percent(own), percent(loss))
    notes = [
        "cross-lingual: without the pairs of one language; own-language: the pool reduced to the document's language, same pairs; bias loss: their difference."
    ]
    notes += [injection(s) for s in submissions if s.task.track == "oracle"]
    if incomplete:
        notes.append("* not all pairs of the task: this mean is not comparable with one over the complete set.")
    return Group(Text("Macro mean over pairs, percent", style="bold"), table, *(Text(note, style="dim") for note in notes))


def matrix(submission: Submission, measure: str, *, own: bool = False) -> RenderableType:
    """Query languages down, document languages across; the darker, the higher."""
    part = "own_language" if own else "measures"
    cells = {p.pair: getattr(p, part)[measure].mean for p in submission.pairs if measure in getattr(p, part)}
    asked, held = sorted({p.query for p in cells}), sorted({p.document for p in cells})
    title = f"{measure}{' in the own-language pool' if own else ''}, percent: query language down, document language across ({coverage(submission)})"
    table = _table(padding=(0, 0))
    table.add_column("", no_wrap=True)
    for document in held:
        table.add_column(document.rjust(5), justify="right", no_wrap=True)
    table.add_column(" mean", justify="right", style="bold")
    for query in asked:
        row = [cells.get(Pair(query, document)) for document in held]
        present = [value for value in row if value is not None]
        table.add_row(f"{query} ", *(_cell(value) for value in row), f" {percent(sum(present) / len(present))}")
    columns = [[cells[Pair(q, d)] for q in asked if Pair(q, d) in cells] for d in held]
    table.add_row(
        Text("mean ", style="bold"), *(Text(percent(sum(c) / len(c)), style="bold") for c in columns), f" {percent(sum(cells.values()) / len(cells))}"
    )
    return Group(Text(title, style="bold"), table)


def language_bias(submission: Submission, depth: int = 10) -> RenderableType:
    """For each query language: how often its own language is retrieved, and the languages preferred and neglected against the pool."""
    title = f"Languages among the first {depth}, for queries whose relevant document is in another language (Figures 6a, 6b)"
    table = _table()
    for column in ("query language", "queries", "same-language rate", "lift", "most preferred", "most neglected"):
        table.add_column(column, justify="left" if column.startswith(("query", "most")) else "right")
    for p in submission.bias:
        if (p.depth, p.gold) != (depth, "other"):
            continue
        lifts = bias.lift(p.retrieved, submission.pool)
        if not lifts:
            table.add_row(languages.name(p.query), f"{p.queries:,}", "-", "-", "nothing retrieved", "")
            continue
        ordered = sorted(lifts, key=lambda code: -lifts[code])
        table.add_row(
            languages.name(p.query), f"{p.queries:,}", percent(bias.same_language_rate(p.retrieved, p.query)), f"{lifts.get(p.query, 0.0):.2f}",
            ", ".join(f"{code} {lifts[code]:.2f}" for code in ordered[:2]), ", ".join(f"{code} {lifts[code]:.2f}" for code in ordered[-2:]),
        )  # fmt: skip
    return Group(Text(title, style="bold"), table, Text("lift: share of the retrieved documents over share of the pool; 1.00 is indifference.", style="dim"))


def details(submission: Submission) -> RenderableType:
    """Signature, cost and provenance."""
    p = submission.provenance
    lines = [
        Text(submission.system.signature),
        Text(f"task {task_label(submission)}, {submission.task.fingerprint or 'no fingerprint'}", style="dim"),
        *([Text(injection(submission), style="dim")] if submission.task.track == "oracle" else []),
        Text(f"{p.started}, {p.cpu}, {p.cores} cores{f', {p.gpu}' if p.gpu else ''}, Python {p.python}, clir-bench {p.clir_bench}", style="dim"),
    ]
    lines += [Text(f"{t.stage:>18}: {t.items:,} in {t.seconds:.2f} s ({t.cpu_seconds:.2f} CPU s)", style="dim") for t in submission.timings]
    return Group(*lines)


def show(console: Console, *parts: RenderableType) -> None:
    """Print parts with a blank line between them."""
    for i, part in enumerate(parts):
        if i:
            console.print()
        console.print(part)


def _table(padding: tuple[int, int] = (0, 1)) -> Table:
    return Table(box=None, pad_edge=False, header_style="bold", padding=padding)


def _cell(value: float | None) -> Text:
    if value is None:
        return Text("    - ", style="dim")
    step = min(len(_RAMP) - 1, int(value * len(_RAMP)))
    return Text(f"{percent(value):>5} ", style=f"{'white' if step >= 5 else 'black'} on {_RAMP[step]}")
