"""What JSON allows and a file of ours must not hold, beyond what a parser sees."""

from __future__ import annotations

import json
from collections import Counter

from clir_bench.errors import ClirBenchError

_MOST_OBJECTS = 100_000  # four million bytes of the smallest records hold fewer; a validator that lists every fault of more takes seconds
_MOST_KEYS = 1000
_MOST_TOLD = 20


def objections(text: str | bytes) -> list[str]:
    """Keys that stand twice in an object (parsers take the last, readers see the first), or more objects or keys than any record has; a line each.

    Empty for what is no JSON: a parser says that better.
    """
    found: list[str] = []
    objects = 0

    def note(items: list[tuple[str, object]]) -> None:
        nonlocal objects
        objects += 1
        if objects > _MOST_OBJECTS or len(items) > _MOST_KEYS:
            raise ClirBenchError(f"more than {_MOST_OBJECTS:,} objects, or more than {_MOST_KEYS:,} keys in one: it is none of our files")
        if len(items) > len({key for key, _ in items}):
            found.extend(f"the key {key[:60]!r} stands {n} times in one object. Keep one." for key, n in Counter(k for k, _ in items).items() if n > 1)

    try:
        json.loads(text, object_pairs_hook=note, parse_int=len, parse_float=len)
    except ClirBenchError as error:
        return [str(error)]
    except (ValueError, RecursionError):
        return []
    return found[:_MOST_TOLD]
