"""Texts, and the documents or queries of a collection, in English: each distinct text translated once, kept as soon as it is finished.

``ROOT/<key of the identity>/identity.json`` says whose translations these are, and ``*.jsonl`` beside it, one file a run, holds them: one line a text
with the hash of the source text and a check of the line. Lines that do not fit their check are not read, so neither a kill nor a bad disk makes
a translation; what failed is not kept, and tried again next time.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import BinaryIO, Literal, NamedTuple

from clir_bench.collection import Collection, Texts
from clir_bench.errors import CacheError
from clir_bench.files import replacing
from clir_bench.parts.translators import Translated, Translator
from clir_bench.progress import bar

ENGLISH = ("en", "en-simple", "simple")
"""Copied as they are."""
Which = Literal["documents", "queries"]
How = Literal["copied", "cached", "translated"]


@dataclass(frozen=True)
class Counts:
    """Texts of a language: ``texts`` = copied + cached + translated + failed; ``truncated`` and ``cut`` are counted among those that are English."""

    texts: int = 0
    copied: int = 0
    cached: int = 0
    translated: int = 0
    failed: int = 0
    truncated: int = 0
    cut: int = 0


@dataclass(frozen=True)
class Translations:
    """The English of texts, row by row; None where there is a problem. ``counts`` by language, ``seconds`` of all."""

    english: list[str | None]
    problems: list[str | None]
    counts: dict[str, Counts]
    seconds: float


def translate_texts(translator: Translator, texts: Sequence[str], languages: Sequence[str], cache: Path | None, progress: bool = False) -> Translations:
    """Translate each text from its language. ``cache`` is a folder, None = nothing is kept. Raises CacheError, and what the translator raises."""
    start = perf_counter()
    english: list[str | None] = [None] * len(texts)
    problems: list[str | None] = [None] * len(texts)
    rows: dict[str, dict[str, list[int]]] = {}
    for row, (text, language) in enumerate(zip(texts, languages, strict=True)):
        rows.setdefault(language, {}).setdefault(text, []).append(row)
    counts: dict[str, Counts] = {}
    for language in sorted(rows):
        if language in ENGLISH:
            for text, places in rows[language].items():
                for row in places:
                    english[row] = text
            number = sum(map(len, rows[language].values()))
            counts[language] = Counts(texts=number, copied=number)
            continue
        found = _translate_language(translator, list(rows[language]), language, cache, progress)
        tally = Counts()
        for text, (made, how) in found.items():
            places = rows[language][text]
            for row in places:
                english[row], problems[row] = made.text, made.problem
            kind = "failed" if made.text is None else how
            tally = replace(
                tally,
                texts=tally.texts + len(places),
                truncated=tally.truncated + len(places) * (made.truncated and made.text is not None),
                cut=tally.cut + len(places) * (made.cut and made.text is not None),
                **{kind: getattr(tally, kind) + len(places)},
            )
        counts[language] = tally
    return Translations(english, problems, counts, perf_counter() - start)


def translate_collection(
    collection: Collection,
    translator: Translator,
    cache: Path | None,
    progress: bool = False,
    which: Which = "documents",
    given: Mapping[str, str] | None = None,
) -> Translations:
    """The pool or the queries in English, row by row. ``given`` are English texts by id that the collection has: they are copied."""
    texts = collection.pool if which == "documents" else collection.queries
    if not given:
        return translate_texts(translator, texts.texts, texts.languages, cache, progress)
    start = perf_counter()
    known: list[str | None] = [given.get(identifier) for identifier in texts.ids]
    missing = [row for row, text in enumerate(known) if text is None]
    rest = texts.take(missing)
    made = translate_texts(translator, rest.texts, rest.languages, cache, progress)
    problems: list[str | None] = [None] * len(texts)
    for at, row in enumerate(missing):
        known[row], problems[row] = made.english[at], made.problems[at]
    counts = {language: made.counts.get(language, Counts()) for language in sorted(set(texts.languages))}
    for language, tally in counts.items():
        total = sum(other == language for other in texts.languages)
        counts[language] = replace(tally, texts=total, copied=tally.copied + total - tally.texts)
    return Translations(known, problems, counts, perf_counter() - start)


def write_translations(path: Path, texts: Texts, translations: Translations) -> None:
    """A parquet file with the columns ``_id, lang, text, english, problem``; written beside and renamed. Raises CacheError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"_id": texts.ids, "lang": texts.languages, "text": texts.texts, "english": translations.english, "problem": translations.problems}
    table = pa.table({name: pa.array(list(column), pa.string()) for name, column in columns.items()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as stream:
            pq.write_table(table, stream, compression="zstd")
    except OSError as error:
        raise CacheError(f"{path} cannot be written ({error.strerror or error}). Choose another file with --output.") from error


def _translate_language(translator: Translator, texts: list[str], language: str, cache: Path | None, progress: bool) -> dict[str, tuple[Translated, How]]:
    """What became of each distinct text, and how."""
    shelf = _Shelf(cache, translator.identity(language)) if cache else None
    kept = shelf.read() if shelf else {}
    found: dict[str, tuple[Translated, How]] = {}
    for text in texts:
        line = kept.get(_key(text))
        if not text.strip():
            found[text] = Translated(0, text), "copied"
        elif line is not None:
            found[text] = Translated(0, line.english, None, line.truncated, line.cut), "cached"
    missing = [text for text in texts if text not in found]
    with bar(f"translating {language}", len(texts), "text", progress and bool(missing)) as shown:
        shown.update(len(found))
        try:
            for given in translator.translate(missing, language) if missing else ():
                text = missing[given.row]
                made = given if _is_utf8(given.text or "") else Translated(given.row, None, "the translation is no UTF-8 text")
                if shelf is not None and made.text is not None:
                    shelf.write(_Line(_key(text), made.text, made.truncated, made.cut))
                found[text] = made, "translated"
                shown.update(1)
        finally:
            if shelf is not None:
                shelf.close()
    for text in missing:
        found.setdefault(text, (Translated(0, None, "the translator gave nothing for it"), "translated"))
    return found


class _Line(NamedTuple):
    """A translation as it is kept."""

    key: str
    english: str
    truncated: bool
    cut: bool


class _Shelf:
    """The translations of one identity. Runs write files of their own, so that several may work at once."""

    def __init__(self, root: Path, identity: Mapping[str, str | int]) -> None:
        self._identity = json.dumps(dict(identity), sort_keys=True, ensure_ascii=False)
        self.folder = root / hashlib.sha256(self._identity.encode()).hexdigest()[:24]
        self._stream: BinaryIO | None = None

    def read(self) -> dict[str, _Line]:
        """The lines of all runs by key."""
        found: dict[str, _Line] = {}
        damaged = 0
        for path in sorted(self.folder.glob("*.jsonl")):
            try:
                lines = path.read_bytes().split(b"\n")
            except OSError as error:
                raise CacheError(f"{path} cannot be read ({error.strerror or error}). Choose another cache with --cache-dir.") from error
            for raw in lines[:-1]:  # what follows the last line break is a line whose writer was killed
                line = self._parse(raw)
                damaged += line is None
                if line is not None:
                    found[line.key] = line
        if damaged:
            warnings.warn(f"{self.folder}: {damaged} damaged lines; their texts are translated again", RuntimeWarning, stacklevel=2)
        return found

    def write(self, line: _Line) -> None:
        """Keep a translation: it is with the system when this returns."""
        try:
            if self._stream is None:
                self._open()
            assert self._stream is not None
            content = {**line._asdict(), "check": self._check(line)}
            self._stream.write(json.dumps(content, ensure_ascii=False).encode() + b"\n")
            self._stream.flush()
        except OSError as error:
            raise CacheError(
                f"the translations' cache {self.folder} cannot be written ({error.strerror or error}). Choose another with --cache-dir."
            ) from error

    def close(self) -> None:
        """End this run's file."""
        if self._stream is not None:
            self._stream.close()

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "identity.json").exists():
            with replacing(self.folder / "identity.json") as stream:
                stream.write(f"{self._identity}\n".encode())
        self._stream = (self.folder / f"{os.getpid()}-{secrets.token_hex(4)}.jsonl").open("xb")

    def _parse(self, raw: bytes) -> _Line | None:
        try:
            content = json.loads(raw.decode())
            line = _Line(content["key"], content["english"], content["truncated"], content["cut"])
            return line if content["check"] == self._check(line) and _is_utf8(line.english) else None
        except (ValueError, KeyError, TypeError):
            return None

    def _check(self, line: _Line) -> str:
        """Of the identity, too: a file in the wrong folder is no translation of it."""
        text = json.dumps([self._identity, *line])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _is_utf8(text: str) -> bool:
    """Whether no half of a surrogate pair is in it, which JSON can hold and no file."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _key(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
