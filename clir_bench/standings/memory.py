"""What was computed from an index and is worth keeping while it is open."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt

from clir_bench.standings.index import Index

T = TypeVar("T")
MOST = 24
"""Values of one kind that are kept; the oldest goes."""
_MISSING = object()


def column(index: Index, name: str) -> npt.NDArray[np.object_]:
    """A column of ``entries`` as an array of objects, [entries]: pandas would make it anew each time."""
    return remembered(index, (f"column {name}",), lambda: index.entries[name].to_numpy(object))


def remembered(index: Index, key: tuple[object, ...], make: Callable[[], T]) -> T:
    """The value of this key, made where it is not known. The key's first part names the kind."""
    value = index.cache.get(key, _MISSING)
    if value is _MISSING:
        value = make()
        same = [other for other in list(index.cache) if isinstance(other, tuple) and other[0] == key[0]]  # a copy: sessions are threads
        if len(same) >= MOST:
            index.cache.pop(same[0], None)
        index.cache[key] = value
    return cast(T, value)
