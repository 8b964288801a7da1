"""How to cite what the board shows: the software with its index, the data sets, and the publications whose numbers stand beside ours."""

from __future__ import annotations

from importlib.metadata import version

from clir_bench.exhibits.published import publications
from clir_bench.standings.index import Index
from clir_bench.standings.memory import remembered
from clir_bench.task import known_task


def bibtex(index: Index) -> str:
    """BibTeX of clir-bench in this version, of every data set on the board that is defined here, and of every publication among the claims."""
    return remembered(index, ("bibtex",), lambda: _bibtex(index))


def _bibtex(index: Index) -> str:
    software = (
        "@software{clir_bench,\n  title = {clir-bench: benchmark, toolkit and leaderboard for cross-lingual information retrieval},\n"
        f"  author = {{{{The clir-bench authors}}}},\n  version = {{{version('clir-bench')}}},\n  year = {{{index.newest[:4]}}},\n"
        f"  note = {{Index {index.path.name}; newest submission of {index.newest}}}\n}}"
    )
    tasks = dict.fromkeys(board.shape.task for board in index.boards.values())
    data_sets = dict.fromkeys(task.citation.strip() for name in tasks if (task := known_task(name)) and task.citation.strip() != "none")
    return "\n\n".join([software, *data_sets, *(publication.source.bibtex for publication in publications(index))]) + "\n"
