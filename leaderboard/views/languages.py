"""A language at a time: who serves it, with which partners it is hard; and whether distance between languages is the reason."""

from __future__ import annotations

from typing import NamedTuple

import filters
import numpy as np
import shell
import streamlit as st

from clir_bench import languages
from clir_bench.exhibits import tongues
from clir_bench.exhibits.board_table import board_table
from clir_bench.exhibits.distance import distance_table, elsewhere_table, ways_table
from clir_bench.exhibits.pair_views import on_one_rail
from clir_bench.exhibits.tables import Table
from clir_bench.standings.index import Board
from clir_bench.standings.overview import Standing, standing
from clir_bench.standings.selection import Selection

_SHOWN = 10  # systems of a tier


def choose_language(codes: tuple[str, ...]) -> str | None:
    """The language of this page's address; None for all."""
    return st.selectbox(
        "Language", [None, *codes], format_func=lambda code: languages.name(code) if code else "all languages", key="language", bind="query-params"
    )


def choose_system(board: Board) -> int:
    """A system of the data set, the best where none is chosen."""
    on = index.entry_of[board.key]
    names = shell.named(found.lines[on[found.lines] >= 0])
    return shell.choose_system(names, next(iter(names)))


def show_all(found: Standing) -> None:
    """The table of languages, and Table 8."""
    shell.show_table(tongues.overview_table(index, found, lambda code: shell.address("languages", asked, language=languages.name(code))), "languages")
    st.header("Scores and the distance between languages", anchor=False)
    shell.say("A correlation over pairs does not say why: languages that are alike also share scripts, words and training data.")
    board = shell.choose_board(found.boards)
    alone = found if len(found.boards) == 1 else standing(index, asked.model_copy(update={"boards": (board.key.removesuffix(".oracle"),)}))
    shell.show_table(distance_table(index, alone), f"distance-{board.key}")
    if (elsewhere := elsewhere_table(index, board)) is not None:
        shell.show_table(elsewhere, "distance-published", small=True)
    line = choose_system(board)
    shell.show_table(ways_table(index, board, line, alone.pairs[0], measure), f"distance-ways-{board.key}", small=True)


class Best(NamedTuple):
    """The first tier for the language on one side: how it was selected, its first rows, and how many more there are."""

    asked: Selection
    table: Table
    more: int


def find_best(code: str, side: str) -> Best | None:
    """None where no such pair is among those chosen above."""
    narrowed = asked.model_copy(update={side: (code,)})
    best = standing(index, narrowed)
    if not best.cells_of or not len(best.lines):
        return None
    first = np.flatnonzero(best.tier == 1)
    rows = first if len(first) else np.flatnonzero(np.isfinite(best.score))
    return Best(narrowed, board_table(index, best, rows[:_SHOWN], ()), max(0, len(rows) - _SHOWN))


def show_best(code: str) -> None:
    """Both sides beside each other, on one scale."""
    found = {side: find_best(code, side) for side in ("queries", "documents")}
    drawn = iter(on_one_rail([best.table for best in found.values() if best]))
    with st.container():
        for (side, best), column, title in zip(
            found.items(), st.columns(2, gap="large"), ("Best for questions in it", "Best for documents in it"), strict=True
        ):
            with column:
                st.subheader(title, anchor=False)
                if best is None:
                    shell.say("No such pair is among those chosen above.")
                    continue
                shell.show_table(next(drawn), f"best-{side}-{code}", small=True)
                more = f", {best.more:,} more in this tier" if best.more else ""
                st.html(f'<p class="cb-count"><a href="{shell.address("leaderboard", best.asked)}">All systems for this{more}</a></p>')


def show_one(found: Standing, code: str) -> None:
    """The page of a language."""
    st.header(languages.name(code), anchor=False)
    shell.say(f"{languages.family(code)}, script {languages.script(code)}, tag {code}.")
    show_best(code)
    st.subheader("Partners", anchor=False)
    boards = [board for board, mask in zip(found.boards, found.pairs, strict=True) if tongues.partners(board, mask, code)]
    board = shell.choose_board(boards)
    line = choose_system(board)
    mask = found.pairs[found.boards.index(board)]
    if (table := tongues.partners_table(index, board, line, mask, code, measure)) is not None:
        shell.show_table(table, f"partners-{code}-{board.key}")
    st.subheader("What was measured", anchor=False)
    shell.show_table(tongues.coverage_table([board for board in index.boards.values() if not board.oracle], code), f"coverage-{code}")


shell.head("Languages", "How well a language is served, as the language of questions and as that of documents, which are two things.")
index, asked = shell.index(), filters.selection()
measure = asked.measure
found = shell.chosen_standing()
chosen = choose_language(tongues.tongues(found))
if chosen is None:
    show_all(found)
else:
    show_one(found, chosen)
