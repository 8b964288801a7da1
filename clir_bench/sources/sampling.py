"""What every builder shares: hash order instead of a random generator, one normal form of text, and what counts as no text."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable

SHORTEST = 10
"""A text with fewer letters and digits is a stub."""


def order(ids: Iterable[str], salt: str, seed: int = 42) -> list[str]:
    """The ids by the SHA-256 of ``seed:salt:id``: independent of platform, input order and any generator."""
    return sorted(ids, key=lambda identifier: hashlib.sha256(f"{seed}:{salt}:{identifier}".encode()).digest())


def norm(text: str) -> str:
    """NFC, every run of white space (zero-width blank and byte order mark included) one blank, stripped. Nothing else is changed."""
    return " ".join(unicodedata.normalize("NFC", text).replace("\u200b", " ").replace("\ufeff", " ").split())


def fold(text: str) -> str:
    """What two texts are compared by where a leak is looked for."""
    return norm(text).casefold()


def is_stub(text: str) -> bool:
    """Whether the text has fewer than ``SHORTEST`` letters and digits."""
    found = 0
    for character in text:
        found += character.isalnum()
        if found == SHORTEST:
            return False
    return True
