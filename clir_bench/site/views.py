"""The static site's pages of what the board shows beside scores: costs, bias, and what each step of a pipeline changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from clir_bench.exhibits import bias_tables as bias
from clir_bench.exhibits import profile
from clir_bench.exhibits.cells import printed
from clir_bench.exhibits.ledger import Scope, climb, ledger_table, line_parents
from clir_bench.exhibits.quality_cost import COSTS, costed, front_table, left_out, machines
from clir_bench.exhibits.steps import KINDS, WORDS, oracle_table, pairings, step_table, summary_table, translation_table
from clir_bench.exhibits.tables import Table
from clir_bench.lineage import ledger
from clir_bench.site.frame import Page, heading, linked, sentences, still, up_from
from clir_bench.standings.index import Board, Index
from clir_bench.standings.overview import Standing, standing
from clir_bench.standings.preference import depths, golds
from clir_bench.standings.selection import Selection

ROWS = 100
"""Rows of a long table."""
_STEPS = 20  # of a kind: the tests of each are made for this page alone
_SYSTEMS = 5  # whose profiles are beside each other
_PAPER = ("Table 3", "Table 4", "Table 6", "Table 7")


def cost_page(index: Index, usual: Standing) -> Page:
    """The Pareto fronts of the usual standing, by size, and by time on each kind of hardware on which several systems were timed."""
    parts = []
    for kind, words in COSTS.items():
        parts.append(heading(f"Quality against {words}"))
        for machine in machines(index, usual, kind) or (None,):
            costs = costed(index, usual, kind, machine)
            if len(costs.shown) > 1 or kind == "size":
                parts += [still(front_table(index, usual, costs, charted=False), "./").html(small=True), sentences(left_out(costs))]
    lead = "The Pareto front: ranked systems than which no other is at least as good and no dearer, and better in one of the two. Times compare on equal hardware only."
    return Page("cost.html", "Quality against cost", lead, parts)


def biased(index: Index) -> tuple[Board, ...]:
    """The boards whose submissions count the languages that systems retrieve."""
    counted = set(index.bias["entry"].unique().tolist())
    return tuple(board for board in index.boards.values() if not board.oracle and counted.intersection(board.entries.tolist()))


def bias_pages(index: Index, usual: Standing) -> Iterator[Page]:
    """Quality beside preference over the usual data sets, then a page a data set."""
    known = np.flatnonzero(np.isfinite(usual.score) & (np.isfinite(usual.lift) | np.isfinite(usual.loss)))
    boards = [(board.title, f"./bias/{board.key}.html", "") for board in biased(index)]
    parts = [linked("Data sets", boards), still(_first(bias.quality_table(index, usual, known[:ROWS]), len(known)), "./").html()] if boards else []
    lead = "Which languages systems put first, and which documents that hides. To prefer the language of the question may be what you want: no direction is called good here."
    yield Page("bias.html", "Bias", lead, parts or [sentences("No submission counts the languages it retrieves.")])
    yield from (_bias(index, board) for board in biased(index))


def pipeline_page(index: Index, usual: Standing) -> Page:
    """What each kind of step changes over all systems of the usual standing, the longest ledger, and what the paper prints."""
    scope, lines = Scope(usual.boards, usual.pairs, usual.selection.measure), usual.lines.tolist()
    found, parents = pairings(index, scope, lines), line_parents(index, scope.boards)
    tables = [("", summary_table(scope.measure, found))] if found else []
    longest = max((line for line in lines if parents[line]), key=lambda line: len(ledger(parents, line)), default=None)
    if longest is not None and (steps := climb(index, scope, longest)):
        tables.append(("The longest ledger", ledger_table(index, steps)))
    for kind in KINDS:
        if mine := sorted((pairing for pairing in found if pairing.kind == kind), key=lambda pairing: lines.index(pairing.after)):
            tables.append((WORDS[kind], _first(step_table(index, scope.measure, mine[:_STEPS]), len(mine))))
    others = (("Oracle track", oracle_table(index, usual.selection)), ("Translations", translation_table(index, scope, lines)))
    tables += [(words, _first(replace(table, rows=table.rows[:ROWS]), len(table.rows))) for words, table in others if table]
    tables += [(f"As published: {name}", table) for name in _PAPER if (table := printed(index, name)).rows]
    parts = [part for words, table in tables for part in ([heading(words)] if words else []) + [still(table, "./").html(small=True)]]
    lead = "What each step of a system changes on the same queries, and what it costs: translation, fine-tuning, the index, re-ranking. Best systems first."
    return Page("pipeline.html", "Pipeline", lead, parts or [sentences("No system here differs from another by one step.")])


def _bias(index: Index, board: Board) -> Page:
    found = standing(index, Selection(boards=(board.key,), measure=profile.primary(board)))
    mask, measure, file = found.pairs[0], found.selection.measure, f"bias/{board.key}.html"
    known = np.flatnonzero(np.isfinite(found.score) & (np.isfinite(found.lift) | np.isfinite(found.loss)))
    lines = found.lines[known[:_SYSTEMS]].tolist() or found.lines[:_SYSTEMS].tolist()
    usual, tables = int(found.lines[np.isfinite(found.loss).argmax()]), []
    if kinds := golds(index, board, [*lines, usual]):
        deep = depths(index, board, [*lines, usual])
        gold, depth = kinds[0], 10 if 10 in deep else deep[-1]
        rates = bias.rates(index, board, [usual], mask, gold, depth, measure)
        tables = [
            bias.preference_table(index, found, lines, gold, depth),
            *([_of(bias.rate_table(rates, board, gold, measure), index, usual)] if rates else []),
            bias.lift_map(index, board, usual, mask, gold, depth),
        ]
    served = [
        bias.alike_table(index, board, lines, mask, measure),
        bias.agreement_map(index, board, usual, mask),
        _of(bias.effect_table(index, board, [usual], mask), index, usual),
    ]
    parts = []
    for words, shown in (("Which languages are retrieved", tables), ("Whether languages are served alike", served)):
        if there := [still(table, up_from(file)).html(small=True) for table in shown if table and table.rows]:
            parts += [heading(words), *there]
    quality = still(_first(bias.quality_table(index, found, known[:ROWS]), len(known)), up_from(file))
    parts += [heading("Quality beside preference"), quality.html(small=True)] if quality.rows else []
    return Page(
        file,
        f"Bias on {board.title}",
        f"The first {len(lines)} systems beside each other, then the best whose bias loss is known: {index.lines[usual]}. {bias.STATED}",
        parts,
    )


def _of(table: Table, index: Index, line: int) -> Table:
    """The table of one system, with its name."""
    return replace(table, caption=f"{index.lines[line]}: {table.caption}")


def _first(table: Table, of: int) -> Table:
    """The table, and of how many rows it has the first where it has not all."""
    return table if len(table.rows) == of else replace(table, caption=f"{table.caption}: the first {len(table.rows):,} of {of:,}")
