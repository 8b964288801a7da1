"""What translation services have in common: pieces of bounded length, faults as problems, keys in no message.

A request is repeated by its client while there is hope. What fails then is a problem of its texts; after three such failures in a row nothing more is
asked in that run. Wrong keys and used up quotas end it at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Protocol

from clir_bench.errors import ModelError
from clir_bench.parts.translators import By, Translated, TranslatorFacts
from clir_bench.parts.translators.pieces import Made, translate_pieces
from clir_bench.parts.translators.sentences import VERSION, Piece, split_into_pieces

PIECE_CHARACTERS = 1000
_FAILURES = 3


class ServiceError(Exception):
    """A request that failed for good. ``divisible``: fewer texts at once may go."""

    def __init__(self, message: str, divisible: bool = False) -> None:
        super().__init__(message)
        self.divisible = divisible


class Client(Protocol):
    """One service."""

    kind: str
    name: str
    texts: int
    """At once, at most."""
    characters: int

    def source(self, language: str) -> str | None:
        """The service's code of a language; None where it has none."""

    def ask(self, texts: list[str], source: str) -> list[object]:
        """The translations, as they came. Raises ServiceError, and ModelError for what ends everything."""


class ServiceTranslator:
    """A translator of a client. What a service runs is not known, so its revision is only ``service``."""

    def __init__(self, client: Client, by: By) -> None:
        self.client, self.by, self._failures, self._last = client, by, 0, ""

    def identity(self, language: str) -> dict[str, str | int]:
        """All that is known to decide a translation beside the text; asks the service nothing."""
        split: dict[str, str | int] = {"piece_characters": PIECE_CHARACTERS, "splitter": VERSION} if self.by == "sentences" else {}
        return {"kind": self.client.kind, "model": self.client.name, "revision": "service", "source": language, "by": self.by, **split}

    def facts(self) -> TranslatorFacts:
        """What a submission says of it."""
        return TranslatorFacts(self.client.kind, self.client.name, "service", None, None, self.by, None, None, None, None)

    def translate(self, texts: Sequence[str], language: str) -> Iterator[Translated]:
        """Each text once, as soon as it is finished."""
        self._failures = 0
        try:
            source = self.client.source(language)
            problem = f"unsupported language {language!r}"
        except ServiceError as error:
            source, problem = None, str(error)
        if source is None:
            yield from (Translated(row, None, problem) for row in range(len(texts)))
            return
        yield from translate_pieces(texts, self._split, _lengths, partial(self._make, source=source), self.client.characters, self.client.texts)

    def _split(self, texts: Sequence[str]) -> list[list[Piece]]:
        return split_into_pieces(texts, PIECE_CHARACTERS, _lengths) if self.by == "sentences" else [[Piece(text, "")] for text in texts]

    def _make(self, pieces: list[str], source: str) -> list[Made]:
        if self._failures >= _FAILURES:
            return [Made(None, f"not asked, after {_FAILURES} failures in a row: {self._last}")] * len(pieces)
        try:
            found = self.client.ask(pieces, source)
        except ServiceError as error:
            if error.divisible and len(pieces) > 1:
                middle = len(pieces) // 2
                return self._make(pieces[:middle], source) + self._make(pieces[middle:], source)
            self._failures, self._last = self._failures + (not error.divisible), str(error)
            return [Made(None, str(error))] * len(pieces)
        if len(found) != len(pieces):
            self._failures, self._last = self._failures + 1, f"{self.client.name} gives {len(found)} translations for {len(pieces)} texts"
            return [Made(None, self._last)] * len(pieces)
        self._failures = 0
        return [Made(text) if isinstance(text, str) else Made(None, f"{self.client.name} gives no text for it") for text in found]


def hide(text: str, key: str | None) -> str:
    """The text without the key: servers like to repeat it."""
    return text.replace(key, "***") if key else text


def key_refused(name: str, variable: str, reason: str) -> ModelError:
    """What to tell of a key that the service does not take, or no longer."""
    return ModelError(f"{name}: {reason}. See the key in ${variable}; what was translated is kept, and the same command goes on from there.")


def _lengths(texts: Sequence[str]) -> list[int]:
    return [len(text) for text in texts]
