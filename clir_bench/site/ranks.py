"""Gold ranks as a table that needs nothing else to be read: every relevant document of every evaluated query, its topic, and where each system found it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clir_bench.exhibits.profile import primary
from clir_bench.layout import find_layout
from clir_bench.standings.index import Board, Index
from clir_bench.standings.overview import standing
from clir_bench.standings.selection import Selection


def rank_file(board: Board) -> str:
    """The file below a site."""
    return f"data/ranks-{board.key}.parquet"


def rank_table(index: Index, board: Board) -> pa.Table:
    """A row a relevant document, in the order of gold ranks.

    ``query`` and ``document`` are languages, ``query_id`` and ``topic`` are there where a layout says them, ``number`` counts the evaluated queries from 0, ``grade``
    is the document's. Then a column a system, by its name: the rank, 255 for one below the hundredth, 0 for a pair that it was not evaluated on.
    """
    shape = board.shape
    of = np.arange(len(shape.pair)) if shape.golds is None else np.repeat(np.arange(len(shape.pair)), shape.golds)
    columns = {
        side: pa.array([getattr(pair, side) for pair in board.pairs]).take(pa.array(shape.pair[of])).dictionary_encode() for side in ("query", "document")
    }
    if shape.topic is not None:
        if layout := find_layout(shape.task, shape.version, shape.fingerprint, [index.folder]):
            columns["query_id"] = pa.array(layout.query_ids).take(pa.array(of))
        columns["topic"] = pa.array(shape.topic[of])
    columns["number"] = pa.array(of.astype(np.int32))
    columns["grade"] = pa.array(np.ones(len(of), np.uint8) if shape.grades is None else shape.grades.astype(np.uint8))
    row = dict(zip(board.entries.tolist(), board.rank_row.tolist(), strict=True))
    places = {str(index.lines[line]): row[entry] for line, entry in enumerate(index.entry_of[board.key].tolist()) if entry >= 0}
    columns |= {name: pa.array(board.ranks[place]) for name, place in sorted(places.items()) if place >= 0}
    about = {"task": shape.task, "version": shape.version, "fingerprint": shape.fingerprint, "pool": shape.pool}
    return pa.table(columns).replace_schema_metadata({"clir_bench": json.dumps(about)})


def recipe(index: Index) -> str | None:
    """Python that tests two systems again, from a site's files alone; None where no board has the ranks of two systems, one relevant document a query, and topics."""
    for board in index.boards.values():
        found = standing(index, Selection(boards=(board.key.removesuffix(".oracle"),), track="oracle" if board.oracle else "all", measure=primary(board)))
        if board.shape.golds is None and board.shape.topic is not None and found.ranked > 1:
            a, b = (str(index.lines[line]) for line in found.lines[:2])
            return _RECIPE.format(file=rank_file(board), a=a, b=b)
    return None


_RECIPE = """import numpy as np
import pyarrow.parquet as pq

file, a, b = "{file}", "{a}", "{b}"
ranks = pq.read_table(file, columns=["query", "document", "topic", a, b]).to_pandas()
found = ranks[[a, b]].apply(lambda rank: rank.between(1, 10))  # R@10
each = 1.0 * found[a] - found[b]
pair = [ranks["query"].astype(str), ranks["document"].astype(str)]
difference = each.groupby(pair).mean().mean()  # macro mean over pairs

share = each / each.groupby(pair).transform("size") / each.groupby(pair).ngroups
topics = share.groupby(ranks["topic"]).sum().to_numpy()  # they add up to the difference
signs = np.random.default_rng(0).choice([-1, 1], (2000, len(topics)))
p = (1 + (abs(signs @ topics) >= abs(difference) - 1e-12).sum()) / 2001  # topics flipped whole
print(f"{{100 * difference:+.2f}} points, p = {{p:.4f}}")"""


def write_ranks(index: Index, board: Board, folder: Path) -> None:
    """Write the table below a site; the same index gives the same bytes."""
    pq.write_table(rank_table(index, board), folder / rank_file(board), compression="zstd", write_statistics=False)
