"""Where a builder works: its downloads, its finished stages, what it says, and what it hands over."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from clir_bench.collection import Document, Judgement, Query
from clir_bench.errors import DownloadError
from clir_bench.files import replacing
from clir_bench.progress import bar
from clir_bench.sources.download import Downloads, announce_space
from clir_bench.sources.leakage import Training
from clir_bench.task_records import Download

RATE = 10e6
"""Bytes a second that an announced time assumes."""


class Graded(NamedTuple):
    """All labels of one pair as columns: topic, query and document int32 (their numbers at the source), label int8."""

    query_language: str
    document_language: str
    columns: dict[str, Any]


class Built(NamedTuple):
    """What a builder hands over. ``english`` maps document ids to English texts; ``graded`` yields one pair after another."""

    documents: list[Document]
    queries: list[Query]
    judgements: list[Judgement]
    counts: dict[str, int]
    notes: tuple[str, ...] = ()
    english: dict[str, str] | None = None
    graded: Iterable[Graded] | None = None
    training: Training | None = None


@dataclass
class Workshop:
    """One build's folder. A stage's result is a file, written beside and renamed: what is there is finished, and is not done again."""

    folder: Path
    downloads: Downloads
    train: bool = False
    cross_check: bool = False
    progress: bool = False
    say: Callable[[str], None] = field(default=lambda _: None)

    def stage(self, name: str, make: Callable[[], Any]) -> Any:
        """What ``make`` gives (JSON), made once."""
        return next(self.rows(name, lambda: [make()]))

    def rows(self, name: str, make: Callable[[], Iterable[Any]]) -> Iterator[Any]:
        """The rows (JSON) that ``make`` yields, made once. They are written as they come and read one by one, so that no more than one is in memory."""
        path = self.folder / f"{name}.jsonl"
        if not path.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as out:
                try:
                    for row in make():
                        out.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
                except (EOFError, tarfile.ReadError) as error:
                    raise DownloadError(f"{name}: an archive is damaged or cut off ({error}). Remove it and run the same command again.") from error
        with path.open("rb") as stream:
            for line in stream:
                yield json.loads(line)

    def announce(self, files: Iterable[Download]) -> None:
        """Say what is about to be fetched, and refuse where the disk is too small for the largest of it. Files at hand are not counted."""
        missing = [f for f in files if self.downloads.local(f) is None]
        sizes = [f.bytes for f in missing if f.bytes]
        if missing:
            unknown = f" and {len(missing) - len(sizes)} of unknown size" if len(sizes) < len(missing) else ""
            size = f"{sum(sizes) / 1e9:.2f} GB, {duration(sum(sizes) / RATE)} at {RATE / 1e6:.0f} MB/s" if sizes else "sizes not known"
            self.say(f"{len(missing)} files to download: {size}{unknown if sizes else ''}")
            announce_space(self.folder, max(sizes, default=0))


def duration(seconds: float) -> str:
    """``40 s``, ``12 min`` or ``1 h 20 min``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, text) of each line that is not blank. Lines end at a line feed and nowhere else: texts hold other separators."""
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, 1):
            line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
            if line.strip():
                yield number, line.decode("utf-8", "replace").rstrip("\r\n")


@contextmanager
def reading_gzip(path: Path, label: str, progress: bool) -> Iterator[BinaryIO]:
    """The unpacked stream, with a bar over the packed bytes. Uses isal where installed (2 to 3 times as fast). Raises DownloadError if damaged."""
    try:
        from isal import igzip

        unpack: Any = igzip
    except ImportError:
        unpack = gzip
    try:
        with path.open("rb") as raw, bar(label, path.stat().st_size, "B", progress) as shown:
            yield io.BufferedReader(_Counted(unpack.open(raw, "rb"), raw, shown), 1 << 20)
    except tarfile.ReadError as error:
        raise DownloadError(f"{path}: damaged or cut off ({error}). Remove it and run the same command again.") from error


def members(path: Path, label: str, progress: bool) -> Iterator[tuple[str, BinaryIO]]:
    """(base name, stream) of each file in a .tar.gz, in one pass, nothing extracted."""
    with reading_gzip(path, label, progress) as stream, tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as archive:
        for member in archive:
            content: Any = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                yield member.name.rsplit("/", 1)[-1], io.BufferedReader(content.raw, 1 << 20)  # tarfile's own hands out 8 kB at a time


class _Counted(io.RawIOBase):
    """A stream that moves a bar by how far the packed file behind it has been read."""

    def __init__(self, stream: BinaryIO, raw: BinaryIO, shown: Any) -> None:
        self.stream, self.raw, self.shown = stream, raw, shown

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self.stream.read(len(buffer))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:  # told here, since who reads may stand outside of reading_gzip
            raise DownloadError(f"{self.raw.name}: damaged or cut off ({error}). Remove it and run the same command again.") from error
        buffer[: len(data)] = data
        self.shown.update(self.raw.tell() - self.shown.n)
        return len(data)
