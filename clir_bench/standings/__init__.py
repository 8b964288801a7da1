"""Submissions to standings: an index on disk that opens in a moment, and what is computed from it. No torch.

``build`` reads submissions into parquet tables and a matrix of gold ranks, ``index`` opens them, ``selection`` says what a reader chose,
``overview`` computes scores, intervals, tiers and costs of it.
"""

from __future__ import annotations

from clir_bench.standings.build import Built as Built
from clir_bench.standings.build import build_index as build_index
from clir_bench.standings.index import Board as Board
from clir_bench.standings.index import Index as Index
from clir_bench.standings.index import open_index as open_index
from clir_bench.standings.overview import Standing as Standing
from clir_bench.standings.overview import standing as standing
from clir_bench.standings.selection import Selection as Selection

__all__ = ["Board", "Built", "Index", "Selection", "Standing", "build_index", "open_index", "standing"]
