"""Some lines of a huge file that is sorted by a leading number, by HTTP Range: 531 of 8.84 million lines for about 1 % of the bytes.

Interpolation search in rounds: every window that is read yields two exact places (number, byte), which narrow the brackets of what is still missing.
Between two known places the lines' lengths make a random walk, so how far a line may lie from where it is looked for is known: where that is
far, some narrow windows are read only to learn places, and where it is near, windows as wide as the doubt.
"""

from __future__ import annotations

import bisect
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import requests
from urllib3.exceptions import HTTPError

from clir_bench.errors import DownloadError
from clir_bench.network import cause_of
from clir_bench.sources import download
from clir_bench.sources.download import TRIES, Stated, at_hub, new_session, stated_by
from clir_bench.task_records import Download

WINDOW = 32_768
WORKERS = 16
ROUNDS = 100
_NEAR = 4_096  # windows closer than this are read as one


class ByteRanges(Protocol):
    """A file whose pieces can be read in any order, from several threads."""

    size: int

    def read(self, start: int, end: int) -> bytes:
        """Bytes ``start`` to ``end``, exactly."""


class Traffic(NamedTuple):
    """What a search cost."""

    requests: int
    bytes: int
    rounds: int


class LocalRanges:
    """A file on disk."""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, path.stat().st_size

    def read(self, start: int, end: int) -> bytes:
        """As ``ByteRanges.read``."""
        with self.path.open("rb") as stream:
            stream.seek(start)
            return stream.read(end - start)


@dataclass
class RemoteRanges:
    """A file over HTTP. Resolved once; the signed address behind the redirect is used until it expires (401, 403), then resolved again.

    ``etag`` is the hash that an earlier part of the work saw; another one is refused, and so is a size other than the task's.
    """

    file: Download
    etag: str | None = None
    session: requests.Session = field(default_factory=lambda: new_session(2 * WORKERS))
    size: int = 0
    resolved: int = 0

    def __post_init__(self) -> None:
        self._lock, self._address = threading.Lock(), ""
        self._resolve("")

    def read(self, start: int, end: int) -> bytes:
        """As ``ByteRanges.read``. Raises DownloadError."""
        cause = ""
        for _ in range(TRIES):
            address = self._address
            try:
                answer = self.session.get(address, headers={"Range": f"bytes={start}-{end - 1}"}, timeout=download.TIMEOUT, stream=True)
                with answer:
                    if answer.status_code in (401, 403):
                        self._resolve(address)
                        cause = f"the address expires ({answer.status_code})"
                        continue
                    self._refuse(answer)
                    body = answer.content
            except (requests.RequestException, HTTPError) as error:
                cause = cause_of(error, download.TIMEOUT[1])
                continue
            if len(body) == end - start:
                return body
            cause = f"{len(body):,} of {end - start:,} bytes came"
        raise DownloadError(
            f"{self.file.url}, bytes {start:,} to {end:,}: {cause}, {TRIES} times. The lines found are kept; the same command goes on from there."
        )

    def _resolve(self, expired: str) -> None:
        with self._lock:
            if self._address != expired:
                return  # another thread was faster
            try:
                answer = self.session.get(at_hub(self.file.url), headers={"Range": "bytes=0-0"}, timeout=download.TIMEOUT, stream=True)
            except requests.RequestException as error:
                raise DownloadError(f"{self.file.url}: {cause_of(error, download.TIMEOUT[1])}. Try again later, or give the file by --source-dir.") from error
            with answer:
                if not any("X-Linked-Etag" in hop.headers for hop in answer.history):
                    self._refuse(answer)
                self._check(stated_by(answer))  # what the hub says of the file goes before what its store answers
                self._refuse(answer)
            self._address, self.resolved = answer.url, self.resolved + 1

    def _check(self, stated: Stated) -> None:
        size = stated.bytes or 0
        if self.file.bytes not in (None, size):
            raise DownloadError(
                f"{self.file.url} has {size:,} bytes, but the task states {self.file.bytes:,}. The file was replaced: nothing was taken from it."
            )
        known = self.file.sha256 or self.etag
        if known and stated.etag and stated.etag != known:
            raise DownloadError(f"{self.file.url} is now {stated.etag}, but was {known}. The file was replaced: nothing more was taken from it.")
        self.size, self.etag = size, stated.etag or self.etag

    def _refuse(self, answer: requests.Response) -> None:
        if answer.status_code == 200:
            raise DownloadError(f"{self.file.url}: the server ignores Range and would send the whole file. Give the file by --source-dir.")
        if answer.status_code == 416:
            raise DownloadError(f"{self.file.url}: the file is shorter than {self.size:,} bytes now. It was replaced: nothing more was taken from it.")
        if answer.status_code != 206:
            raise DownloadError(f"{self.file.url}: the server answers {answer.status_code} {answer.reason}. Try again later, or give the file by --source-dir.")


def fetch_lines(
    file: ByteRanges, wanted: Sequence[int], lines: int, emit: Callable[[int, bytes], None], *, window: int = WINDOW, workers: int = WORKERS
) -> Traffic:
    """Call ``emit(number, rest of the line)`` for each wanted line of a file of ``lines`` lines ``number<TAB>text``, numbers 0 to lines - 1 in order.

    ``emit`` runs in this thread, as windows come in. Raises DownloadError for numbers that are not there, and if the file is not sorted.
    """
    search = _Search(file, sorted(set(wanted)), lines, window)
    with ThreadPoolExecutor(workers) as pool:
        try:
            while search.missing:
                if search.rounds == ROUNDS:
                    raise DownloadError(
                        f"{len(search.missing)} lines were not found, the first is {search.missing[0]}: the file is not {lines:,} lines in order."
                    )
                spans = search.next_spans()
                futures = {pool.submit(file.read, max(0, a - 1), b): (a, b) for a, b in spans}
                while futures:
                    done, _ = wait(futures, return_when=FIRST_COMPLETED)
                    for future in done:
                        search.take(*futures.pop(future), future.result(), emit)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return Traffic(search.requests, search.bytes, search.rounds)


class _Search:
    def __init__(self, file: ByteRanges, wanted: list[int], lines: int, window: int) -> None:
        self.size, self.window, self.missing = file.size, window, wanted
        self.numbers, self.places = [-1, lines - 1], [0, file.size]  # line number, byte after its end
        self.requests = self.bytes = self.rounds = 0
        self.grown: dict[int, int] = {}  # wider windows where one held no whole line
        self.mean = file.size / max(1, lines)
        self.seen = [0, 0.0, 0.0]  # lines, and sums of their lengths and squared lengths

    def next_spans(self) -> list[tuple[int, int]]:
        """Byte spans to read next, sorted; those that nearly touch are one."""
        self.rounds += 1
        spans: list[tuple[int, int]] = []
        start = 0
        while start < len(self.missing):  # one bracket after another
            i = bisect.bisect_left(self.numbers, self.missing[start])
            end = bisect.bisect_right(self.missing, self.numbers[i])
            spans += self._spans_in(i, self.missing[start:end])
            start = end
        merged: list[tuple[int, int]] = []
        for first, last in sorted(spans):
            if merged and first <= merged[-1][1] + min(_NEAR, self.window):
                merged[-1] = (merged[-1][0], max(merged[-1][1], last))
            else:
                merged.append((first, last))
        return merged

    def _spans_in(self, i: int, missing: list[int]) -> list[tuple[int, int]]:
        """Windows for the missing lines between the places ``i - 1`` and ``i``."""
        (n0, p0), (n1, p1) = (self.numbers[i - 1], self.places[i - 1]), (self.numbers[i], self.places[i])
        wide = self.window * self.grown.get(p0, 1)
        if p1 - p0 <= 1.5 * wide:
            return [(p0, p1)]
        spread, narrow = self._spread(), max(1, wide // 4)
        doubt = [spread * math.sqrt((n - n0) * (n1 - n) / (n1 - n0)) for n in missing]
        near = [(n, min(wide, max(narrow, int(4 * d + 2 * self.mean)))) for n, d in zip(missing, doubt, strict=True) if 3 * d <= wide]
        far = [n for n, d in zip(missing, doubt, strict=True) if 3 * d > wide]
        if far:  # as many as leave brackets whose doubt is a third of a window
            places = min(len(far), math.ceil((n1 - n0) * (3 * spread / (2 * wide)) ** 2))
            chosen = [far[(2 * k + 1) * len(far) // (2 * places)] for k in range(places)]
            near += [(n, narrow if len(far) > 1 else wide) for n in chosen]
        spans = []
        for number, width in near:
            centre = p0 + (p1 - p0) * (number - n0 - 0.5) / (n1 - n0)
            start = min(max(p0, int(centre - width / 2)), p1 - width)
            spans.append((start, start + width))
        return spans

    def _spread(self) -> float:
        """Standard deviation of a line's length: the mean length until enough lines were seen."""
        lines, total, squares = self.seen
        return self.mean if lines < 100 else math.sqrt(max(1.0, squares / lines - (total / lines) ** 2))

    def take(self, start: int, end: int, body: bytes, emit: Callable[[int, bytes], None]) -> None:
        """Learn from bytes ``start`` to ``end``, which come with the byte before them, so that a line starting at ``start`` is whole."""
        self.requests, self.bytes = self.requests + 1, self.bytes + len(body)
        first = 0 if start == 0 else body.find(b"\n") + 1
        last = len(body) if end == self.size else body.rfind(b"\n") + 1
        if (start > 0 and first == 0) or first >= last:
            i = bisect.bisect_right(self.places, start) - 1
            self.grown[self.places[i]] = 2 * self.grown.get(self.places[i], 1)
            return
        origin = start - 1 if start else 0
        pieces = body[first:last].split(b"\n")
        if pieces[-1] == b"":
            pieces.pop()
        self.seen = [self.seen[0] + len(pieces), self.seen[1] + last - first, self.seen[2] + sum((len(piece) + 1) ** 2 for piece in pieces)]
        numbers = [_number(piece) for piece in (pieces[0], pieces[-1])]
        self._anchor(numbers[0] - 1, origin + first)
        self._anchor(numbers[1], origin + last)
        low, high = bisect.bisect_left(self.missing, numbers[0]), bisect.bisect_right(self.missing, numbers[1])
        if low < high:
            at = {_number(piece): piece for piece in pieces}
            found = [number for number in self.missing[low:high] if number in at]
            for number in found:
                emit(number, at[number].partition(b"\t")[2])
            if len(found) < high - low:
                absent = next(number for number in self.missing[low:high] if number not in at)
                raise DownloadError(f"line {absent} is missing between {numbers[0]} and {numbers[1]}: the file is not what the task describes.")
            del self.missing[low:high]

    def _anchor(self, number: int, place: int) -> None:
        i = bisect.bisect_left(self.numbers, number)
        if i < len(self.numbers) and self.numbers[i] == number:
            return
        if (i and self.places[i - 1] > place) or (i < len(self.places) and self.places[i] < place):
            raise DownloadError(f"line {number} ends at byte {place:,}, out of order: the file is not sorted by number.")
        self.numbers.insert(i, number)
        self.places.insert(i, place)


def _number(line: bytes) -> int:
    head = line.partition(b"\t")[0]
    if not head.isdigit():
        raise DownloadError(f"a line begins with {head[:20]!r}, not with a number: the file is not what the task describes.")
    return int(head)
