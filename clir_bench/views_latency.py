"""Latency for the terminal: raw milliseconds, never rounded to nothing; the normalised form only as a footnote."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clir_bench.latency import Latency, LatencyRow
from clir_bench.views import percent

_GRAPH = (
    "graph p50: the part of p50 that the HNSW library itself takes. The rest, ours, computes the canonical scores (float64) of what it found, so that they and the"
    " order are those of the exact index; the batched figures contain it, too."
)


def latency(measured: Latency, *, normalised: bool = False) -> RenderableType:
    """What each index costs, its latencies per pair and over all queries, and, if asked for, the paper's normalised form below."""
    with_encoding = any(row.encode_ms is not None for row in measured.rows)
    with_graph = any(row.graph_p50_ms is not None for row in measured.rows)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for column in ("pair", "index"):
        table.add_column(column, no_wrap=True)
    heads = [
        "n",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "batched\nms/query",
        "batched\nqueries/s",
        f"recall@{measured.depth}",
        *(["graph\np50 ms"] if with_graph else []),
        *(["encode ms"] if with_encoding else []),
    ]
    for column in heads:
        table.add_column(column, justify="right", no_wrap=True)
    ordered = [row for row in measured.rows if row.pair] + [row for row in measured.rows if not row.pair]  # the overall rows come last
    for row in ordered:
        cells = [
            f"{row.queries:,}",
            *(_ms(x) for x in (row.p50_ms, row.p95_ms, row.p99_ms, row.batch_ms)),
            f"{row.queries_per_second:,.0f}",
            percent(row.recall),
        ]
        cells += [_ms(row.graph_p50_ms)] if with_graph else []
        cells += [_ms(row.encode_ms)] if with_encoding else []
        table.add_row(_pair(row), row.index_name, *cells, style=None if row.pair else "bold")
    costs = [
        f"{c.index_name}: {c.parameters}; {c.threads} search {'thread' if c.threads == 1 else 'threads'}, built in {c.build_seconds:.2f} s, {c.index_bytes / 1e6:,.1f} MB"
        for c in measured.costs
    ]
    notes = [
        f"p50, p95, p99: {measured.repeat} calls with each query alone; batched: all n queries in one call. Encoding is excluded"
        + (": encode ms is one query at a time, on top." if with_encoding else "."),
        *([_GRAPH] if with_graph else []),
        "All pairs of a query language search one pool: each distinct query is timed once a round and counts for every pair that has it. The indexes take turns.",
    ]
    title = f"Search latency at depth {measured.depth}: {measured.documents:,} documents, {measured.queries:,} distinct queries, {measured.dim} components"
    parts: list[RenderableType] = [Text(title, style="bold"), *(Text(line) for line in costs), table, *(Text(note, style="dim") for note in notes)]
    return Group(*parts, *(_normalised(ordered) if normalised else ()))


def _normalised(rows: list[LatencyRow]) -> list[RenderableType]:
    names = list(dict.fromkeys(row.index_name for row in rows))
    table = Table(box=None, pad_edge=False, header_style="dim", style="dim", padding=(0, 1))
    table.add_column("pair")
    for name in names:
        table.add_column(name, justify="right")
    for pair in dict.fromkeys(_pair(row) for row in rows):
        table.add_row(pair, *(f"{row.normalised:.4f}" for row in rows if _pair(row) == pair))
    return [
        Text(
            "\nNormalised as in the paper: (x - min) / (max - min) over the single calls of all indexes on a pair, then the mean; last the mean over pairs.",
            style="dim",
        ),
        Text("This does not measure latency: it has no unit, and one slow call sets the scale of all others.", style="dim"),
        table,
    ]


def _pair(row: LatencyRow) -> str:
    return str(row.pair) if row.pair else "all"


def _ms(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "-"
    return f"{milliseconds:.3f}" if milliseconds < 10 else f"{milliseconds:.1f}"
