"""Where the command line writes: results on stdout, progress on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console() -> Console:
    """stdout, as wide as the terminal, or 200 columns where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def on_stderr(line: str) -> None:
    """Say a line of progress."""
    print(line, file=sys.stderr)


def silent(line: str) -> None:
    """Say nothing."""
