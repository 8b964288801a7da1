"""How to cite what the board shows: the software, and the publications whose numbers stand beside ours."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

from clir_bench.claims import load_claims


@cache
def bibtex() -> str:
    """BibTeX of clir-bench in this version, and of every publication among the claims."""
    software = (
        "@software{clir_bench,\n  title = {clir-bench: benchmark, toolkit and leaderboard for cross-lingual information retrieval},\n"
        f"  author = {{{{The clir-bench authors}}}},\n  version = {{{version('clir-bench')}}},\n  year = {{2026}}\n}}"
    )
    return "\n\n".join([software, *(claims.source.bibtex for claims in load_claims())]) + "\n"
