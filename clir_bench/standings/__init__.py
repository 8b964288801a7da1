"""Submissions to standings: an index on disk that opens in a moment, and what is computed from it. No torch.

``build`` reads submissions into parquet tables and a matrix of gold ranks (``extract``: one file; ``shapes``: the queries of a data set), ``index`` opens them,
``memory`` keeps what was computed of them. ``selection`` says what a reader chose, ``overview`` computes its scores, intervals and tiers, ``costs`` what a system
costs, ``paired`` two systems query by query, ``preference`` the languages a system retrieves, ``fairness`` whether languages are served alike.
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
