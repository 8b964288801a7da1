"""Telling that memory ran out, on a processor or a card, from any other failure."""

from __future__ import annotations

import re

_WORDS = re.compile(r"out of memory|ALLOC_FAILED|can't allocate memory|not enough memory", re.IGNORECASE)


def out_of_memory(error: BaseException) -> bool:
    """Whether the work failed for want of memory, so that half of it may succeed. torch says so by a class or in words, depending on the device."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or _WORDS.search(str(error)) is not None
