"""How every file is written: beside, then renamed, so that others see the whole file or none."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream whose content becomes ``path`` when the block ends well; on any failure nothing of it is left. Raises OSError."""
    temporary = path.with_name(f".part-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as stream:  # not mkstemp: its files can be read by their owner alone
            yield stream
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
