"""Where the top-level folders of the project are: beside the package in a checkout, inside it in an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The folder ``tasks``, ``leaderboard`` or ``submissions``, wherever this installation keeps it."""
    packaged = _PACKAGE / f"_{name}"
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def cache_dir() -> Path:
    """Where collections and embeddings are kept: ``$CLIR_BENCH_CACHE``, else ``~/.cache/clir_bench``."""
    return Path(os.environ.get("CLIR_BENCH_CACHE") or Path.home() / ".cache" / "clir_bench")
