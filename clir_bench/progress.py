"""The one progress bar: on stderr, with rate and time left."""

from __future__ import annotations

import sys
from typing import NoReturn

from tqdm import tqdm


def bar(label: str, total: int, unit: str, show: bool, leave: bool = True) -> tqdm[NoReturn]:
    """A bar over ``total`` units; silent where ``show`` is false, gone at its end unless ``leave``."""
    return tqdm(total=total, desc=label, unit=unit, unit_scale=True, leave=leave, disable=not show, file=sys.stderr, mininterval=0.5, dynamic_ncols=True)
