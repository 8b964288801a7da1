"""What translation services have in common: pieces of bounded length, faults as problems, keys in no message.

A request is repeated by its client while there is hope. What fails then is a problem of its texts; after three such failures in a row nothing more is
asked in that run. Wrong keys and used up quotas end it at once, and so do a first contact that fails and ten texts in a row that are refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Protocol
from urllib.parse import urlsplit

from clir_bench.errors import ModelError
from clir_bench.parts.translators import VERSION, By, Translated, TranslatorFacts
from clir_bench.parts.translators.pieces import Made, translate_pieces
from clir_bench.parts.translators.sentences import Piece, split_into_pieces

PIECE_CHARACTERS = 1000
PROBES = {
    "de": "Der alte Fluss ist lang.",
    "fr": "Elle boit du thé chaque matin.",
    "es": "El tren llega tarde.",
    "ru": "Завтра будет дождь.",
    "zh": "他在图书馆看书。",
    "ar": "القهوة ساخنة.",
    "sw": "Mto huu ni mrefu.",
}
"""What tells one state of a service from another: three of them, in the first languages that it has."""
_FAILURES, _REFUSALS = 3, 10


class ServiceError(Exception):
    """A request that failed for good. ``divisible``: fewer texts at once may go."""

    def __init__(self, message: str, divisible: bool = False) -> None:
        super().__init__(message)
        self.divisible = divisible


class Client(Protocol):
    """One service."""

    kind: str
    name: str
    server: str
    texts: int
    """At once, at most."""
    characters: int

    def source(self, language: str) -> str | None:
        """The service's code of a language; None where it has none."""

    def ask(self, texts: list[str], source: str) -> list[object]:
        """The translations, as they came. Raises ServiceError, and ModelError for what ends everything."""


class ServiceTranslator:
    """A translator of a client. What a service runs is not known, so its revision is a fingerprint of its answers, ``answers-...``, taken once a run."""

    def __init__(self, client: Client, by: By) -> None:
        self.client, self.by, self._failures, self._refusals, self._last, self._revision = client, by, 0, 0, "", ""

    def identity(self, language: str) -> dict[str, str | int]:
        """All that is known to decide a translation beside the text. Raises ModelError where the service does not answer."""
        split: dict[str, str | int] = {"piece_characters": PIECE_CHARACTERS} if self.by == "sentences" else {}
        return {
            "kind": self.client.kind,
            "translator_version": VERSION,
            "model": self.client.name,
            "server": self.client.server,
            "revision": self._fingerprint(),
            "source": language,
            "by": self.by,
            **split,
        }

    def facts(self) -> TranslatorFacts:
        """What a submission says of it. Raises ModelError where the service does not answer."""
        return TranslatorFacts(self.client.kind, self.client.name, self._fingerprint(), None, None, self.by, None, None, None, None)

    def translate(self, texts: Sequence[str], language: str) -> Iterator[Translated]:
        """Each text once, as soon as it is finished."""
        source = self._source(language)
        if source is None:
            yield from (Translated(row, None, f"unsupported language {language!r}") for row in range(len(texts)))
            return
        make = partial(self._make, source=source)
        # A window of one batch: a service gains nothing from texts of one length, and may end at any moment.
        yield from translate_pieces(texts, self._split, _lengths, make, self.client.characters, self.client.texts, window=1)

    def _source(self, language: str) -> str | None:
        try:
            return self.client.source(language)
        except ServiceError as error:
            raise _unanswered(error) from None

    def _fingerprint(self) -> str:
        if not self._revision:
            known = [(source, text) for language, text in PROBES.items() if (source := self._source(language)) is not None][:3]
            try:
                answers = [(source, text, self.client.ask([text], source)) for source, text in known]
            except ServiceError as error:
                raise _unanswered(error) from None
            if not all(len(found) == 1 and isinstance(found[0], str) for _, _, found in answers):
                raise _unanswered(ServiceError(f"{self.client.name} gives no translation for one text"))
            self._revision = f"answers-{hashlib.sha256(json.dumps(answers).encode()).hexdigest()[:16]}"
        return self._revision

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
            self._failures, self._refusals, self._last = self._failures + (not error.divisible), self._refusals + error.divisible, str(error)
            if self._refusals >= _REFUSALS:
                raise ModelError(
                    f"{self._last}, and so for {_REFUSALS} texts in a row. What was translated is kept; if texts are too long for it, --by sentences sends parts."
                ) from None
            return [Made(None, str(error))] * len(pieces)
        if len(found) != len(pieces):
            self._failures, self._last = self._failures + 1, f"{self.client.name} gives {len(found)} translations for {len(pieces)} texts"
            return [Made(None, self._last)] * len(pieces)
        self._failures = self._refusals = 0
        return [Made(text) if isinstance(text, str) else Made(None, f"{self.client.name} gives no text for it") for text in found]


def hide(text: str, key: str | None) -> str:
    """The text without the key: servers like to repeat it."""
    return text.replace(key, "***") if key else text


def plain_address(address: str, option: str, variable: str) -> str:
    """``http://host:port/path`` of a server. Raises ModelError for what is none, or holds more; it is not repeated, for it may hold a secret."""
    try:
        place = urlsplit(address if "://" in address else f"http://{address}")
        _ = place.port  # raises for what is no port
    except ValueError:
        raise ModelError(f"{option}: the address is none. Name the server, as http://localhost:5000") from None
    if "@" in place.netloc or place.query or place.fragment:
        raise ModelError(f"{option}: the address holds a user, a password, a query or a fragment. Leave them out: the key goes into ${variable}.")
    if place.scheme not in ("http", "https") or not place.hostname:
        raise ModelError(f"{option}: the address is none. Name the server, as http://localhost:5000")
    return f"{place.scheme}://{place.netloc.lower()}{place.path.rstrip('/')}"


def key_refused(name: str, variable: str, reason: str) -> ModelError:
    """What to tell of a key that the service does not take, or no longer."""
    return ModelError(f"{name}: {reason}. See the key in ${variable}; what was translated is kept, and the same command goes on from there.")


def _unanswered(error: ServiceError) -> ModelError:
    return ModelError(f"{error}. See that the service runs at that address, and start the same command again.")


def _lengths(texts: Sequence[str]) -> list[int]:
    return [len(text) for text in texts]
