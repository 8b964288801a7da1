"""Counts, differences and names as pages and tables write them."""

from __future__ import annotations

from clir_bench.standings.index import Index
from clir_bench.standings.overview import Standing


def counted(many: int, thing: str, things: str = "") -> str:
    """``1 pair``, ``2 pairs``, ``1,000 queries``: the plural is ``things``, or takes an s."""
    return f"{many:,} {thing if many == 1 else things or f'{thing}s'}"


def name_of(index: Index, standing: Standing, row: int) -> str:
    """The system at a place of a standing."""
    return str(index.lines[standing.lines[row]])
