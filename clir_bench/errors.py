"""What clir-bench raises: one message that names the thing, the two values and the way out."""

from __future__ import annotations

from collections.abc import Iterable


class ClirBenchError(Exception):
    """Something the user can mend. The command line prints it without a traceback and exits with 2."""

    @classmethod
    def of(cls, thing: str, problems: Iterable[str]) -> ClirBenchError:
        """One error for all problems of one thing (a file, a folder), one line each."""
        lines = list(problems)
        count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
        return cls("\n  ".join([f"{thing}: {count}", *lines]))


class TaskError(ClirBenchError):
    """A task definition that is not one."""


class CollectionError(ClirBenchError):
    """Documents, queries or judgements that do not fit together."""


class SubmissionError(ClirBenchError):
    """A submission whose form or numbers do not hold."""


class ModelError(ClirBenchError):
    """A model that cannot be loaded as what it is, or that returns what is no embedding."""


class CacheError(ClirBenchError):
    """A cache folder that cannot be written."""


class DownloadError(ClirBenchError):
    """A file that cannot be had, or is not the one that was asked for."""


def install_words(extra: str) -> str:
    """How an extra is installed: clir-bench is on no package index."""
    return f"pip install '.[{extra}]' in a checkout of clir-bench"


class MissingExtra(ClirBenchError):
    """A part that needs a package which is not installed."""

    def __init__(self, package: str, extra: str, hint: str = "") -> None:
        super().__init__(f"this needs the package {package!r}, which is not installed: {install_words(extra)}{f'. {hint}' if hint else ''}")
