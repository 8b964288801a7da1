"""Files over HTTP: resumed after a kill, checked against size and checksum, every fault one clear message, nothing finished lost.

Retries of status codes (429 with Retry-After, 5xx) and of connections are urllib3's; what is added is resumption within a file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from clir_bench.errors import DownloadError
from clir_bench.files import replacing
from clir_bench.network import cause_of
from clir_bench.progress import bar
from clir_bench.task_records import Download

TRIES = 6
BACKOFF = 0.5
"""Seconds of the first pause; each next one is twice as long."""
TIMEOUT = (15.0, 60.0)
"""Seconds to connect, and between two pieces of an answer."""
HUB = "https://huggingface.co"
_CHUNK = 1 << 16  # what a broken connection costs at most
_PROGRESS = 1 << 20  # a try that brings less counts as fruitless
_SHOWN = 5_000_000  # smaller files have no bar of their own
_RETRIED = (429, 500, 502, 503, 504)


class SourceRecord(NamedTuple):
    """What a build read: where it came from, and what it was."""

    name: str
    url: str
    bytes: int
    checksum: str
    via: Literal["http", "source-dir", "range"]


class Stated(NamedTuple):
    """What a server says of a file before its body: total bytes and ETag, None where it says nothing, and whether it is a hub, whose ETag is a hash."""

    bytes: int | None
    etag: str | None
    hub: bool = False


@dataclass
class Downloads:
    """Gives a task's files as paths: from ``source_dir`` where they lie, else over HTTP into ``folder``."""

    folder: Path
    source_dir: Path | None = None
    progress: bool = False
    keep: bool = False
    """Whether files that are no longer needed stay, for another build from them."""
    records: dict[str, SourceRecord] = field(default_factory=dict)
    session: requests.Session = field(default_factory=lambda: new_session())  # noqa: PLW0108  (defined below)

    def __post_init__(self) -> None:
        """Know what earlier runs of the same work have read, even where the files themselves were dropped since."""
        for mark in sorted(self.folder.glob("*.checked")):
            record = SourceRecord(*json.loads(mark.read_text(encoding="utf-8")))
            self.records[record.name] = record

    def get(self, file: Download) -> Path:
        """The file, complete and checked. Raises DownloadError; what has arrived stays and is gone on from."""
        if (local := self.local(file)) is not None:
            _check_size(file, local)
            checksum = _verify(file, local, None, f"{local}. Remove it from --source-dir, or put the right file there")
            self.note(SourceRecord(file.name, file.url, local.stat().st_size, checksum, "source-dir"))
            return local
        path, known = self._place(file.name), self.records.get(file.name)
        if not (path.is_file() and known is not None and known.via == "http"):
            self._fetch(file, path)
        return path

    def note(self, record: SourceRecord) -> None:
        """Remember what was read, for the manifest, beyond this run."""
        self.records[record.name] = record
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self._place(f"{record.name}.checked")) as out:
            out.write(json.dumps(record).encode())

    def local(self, file: Download) -> Path | None:
        """The file below ``source_dir``, by the end of its address; None where it is not.

        Its base name is enough where size or checksum can tell it from another file of that name; else the folder's name must stand before it.
        """
        return self.find(file.url, 1 if file.bytes or file.md5 or file.sha256 else 2)

    def find(self, url: str, parts: int = 1) -> Path | None:
        """A file of ``source_dir`` that ends like the address, by at least so many parts of it."""
        if self.source_dir is None:
            return None
        path = url.split("?", maxsplit=1)[0].split("/")[3:]
        tails = ["/".join(path[i:]) for i in range(max(1, len(path) - parts + 1))]
        return next((self.source_dir / tail for tail in tails if (self.source_dir / tail).is_file()), None)

    def reach(self, files: Iterable[Download]) -> str | None:
        """Why a host of the files cannot be reached, each asked once and not waited for long; None where all can."""
        hosts = {urlsplit(file.url).netloc: file for file in files if self.local(file) is None}
        for file in hosts.values():
            try:
                requests.head(at_hub(file.url), timeout=TIMEOUT[0], allow_redirects=False).close()
            except requests.RequestException as error:
                return f"{file.url}: {cause_of(error, TIMEOUT[1])}"
        return None

    def drop(self, file: Download) -> None:
        """Delete a downloaded copy that is no longer needed, unless all are kept; its record stays, and so does what lies in ``source_dir``."""
        if not self.keep:
            self._place(file.name).unlink(missing_ok=True)

    def _place(self, name: str) -> Path:
        return self.folder / name.replace("/", "__")

    def _fetch(self, file: Download, path: Path) -> None:
        part, etag_of_part = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.etag")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stated = self._receive(file, part, etag_of_part)
            checksum = _verify(file, part, stated.etag if stated.hub else None, f"{part.with_suffix('.rejected')}, the copy that was refused")
            self.note(SourceRecord(file.name, file.url, part.stat().st_size, checksum, "http"))  # before the name: a kill between leaves a whole part
            os.replace(part, path)
        except OSError as error:
            raise disk_error(error, part, file.bytes) from error
        etag_of_part.unlink(missing_ok=True)

    def _receive(self, file: Download, part: Path, etag_of_part: Path) -> Stated:
        """Fill ``part`` to its end, over as many connections as that takes."""
        fruitless, shown = 0, bar(file.name, file.bytes or 0, "B", self.progress and (file.bytes or _SHOWN) >= _SHOWN, leave=(file.bytes or 0) >= _SHOWN)
        with shown:
            while True:
                have = part.stat().st_size if part.is_file() else 0
                shown.update(have - shown.n)
                etag, hub = json.loads(etag_of_part.read_text(encoding="utf-8")) if have and etag_of_part.is_file() else (None, False)
                headers = {"Range": f"bytes={have}-"} if have else {}
                if etag and not hub:  # the hub's store has ETags of its own; what the hub states is compared below
                    headers["If-Range"] = f'"{etag}"'
                with self.ask(file.url, headers) as answer:
                    if answer.status_code == 416:  # nothing follows what is there: complete, or not this file
                        if file.bytes in (None, have):
                            return Stated(have, etag, hub)
                        part.unlink()
                        continue
                    resumed = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
                    stated = stated_by(answer)
                    if file.bytes and stated.bytes not in (None, file.bytes):
                        raise DownloadError(_changed(file, f"has {stated.bytes:,} bytes at the server", f"{file.bytes:,} bytes"))
                    if resumed and hub and stated.etag != etag:
                        part.unlink()  # another file than the one that was begun
                        continue
                    etag_of_part.write_text(json.dumps([stated.etag, stated.hub]), encoding="utf-8")
                    shown.total = file.bytes or stated.bytes
                    cause = ""
                    try:
                        with part.open("ab" if resumed else "wb") as out:
                            for chunk in answer.iter_content(_CHUNK):
                                out.write(chunk)
                                shown.update(len(chunk))
                    except (requests.RequestException, HTTPError) as error:
                        cause = cause_of(error, TIMEOUT[1])
                size, whole = part.stat().st_size, stated.bytes or file.bytes
                if size == whole or (whole is None and not cause):
                    return stated
                if whole is not None and size > whole:
                    part.unlink()
                    raise DownloadError(_changed(file, f"gave {size:,} bytes", f"{whole:,} bytes"))
                fruitless = 0 if size >= have + _PROGRESS else fruitless + 1
                if fruitless == TRIES:
                    raise DownloadError(
                        f"{file.url}: {cause or 'the connection ended early'} {TRIES} times, at {size:,} of {f'{whole:,}' if whole else 'unknown'} bytes. "
                        "They are kept; the same command goes on from there."
                    )

    def ask(self, url: str, headers: dict[str, str]) -> requests.Response:
        """A streaming GET that succeeded, or 416. Raises DownloadError for any other answer and for none."""
        try:
            answer = self.session.get(at_hub(url), headers=headers, stream=True, timeout=TIMEOUT)
        except requests.RequestException as error:
            raise DownloadError(f"{url}: {cause_of(error, TIMEOUT[1])}. Try again later, or give the file by --source-dir.") from error
        if answer.status_code >= 400 and answer.status_code != 416:
            answer.close()
            more = f" after {TRIES} tries" if answer.status_code in _RETRIED else ""
            raise DownloadError(f"{url}: the server answers {answer.status_code} {answer.reason}{more}. Try again later, or give the file by --source-dir.")
        return answer


def new_session(connections: int = 32) -> requests.Session:
    """A session that repeats refused requests after 0.5, 1, 2 ... seconds, or when Retry-After says."""
    session = requests.Session()
    retry = Retry(total=TRIES, connect=3, read=1, backoff_factor=BACKOFF, status_forcelist=_RETRIED, allowed_methods=("GET", "HEAD"), raise_on_status=False)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=connections, max_retries=retry))
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": "clir-bench"})
    return session


def at_hub(url: str) -> str:
    """The address, at the mirror that ``$HF_ENDPOINT`` names where it is the hub's."""
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    return endpoint + url.removeprefix(HUB) if endpoint and url.startswith(f"{HUB}/") else url


def stated_by(answer: requests.Response) -> Stated:
    """Size and hash of the whole file. The hub states them (``X-Linked-*``) before it redirects to where the bytes are."""
    linked = next((hop.headers for hop in (*answer.history, answer) if "X-Linked-Etag" in hop.headers), None)
    if linked is not None:
        size = linked.get("X-Linked-Size")
        return Stated(int(size) if size else None, linked["X-Linked-Etag"].removeprefix("W/").strip('"'), hub=True)
    total = re.fullmatch(r"bytes .*/(\d+)", answer.headers.get("Content-Range", ""))
    length = total[1] if total else answer.headers.get("Content-Length")
    etag = answer.headers.get("ETag", "")
    hub = any("X-Repo-Commit" in hop.headers for hop in (*answer.history, answer))
    return Stated(int(length) if length else None, None if etag.startswith("W/") else etag.strip('"') or None, hub)


def announce_space(folder: Path, needed: int) -> None:
    """Raise DownloadError before anything is fetched if the disk cannot hold it."""
    folder.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(folder).free) < needed:
        raise DownloadError(
            f"{folder}: {free / 1e9:.1f} GB are free, but up to {needed / 1e9:.1f} GB are needed at a time. Free some, or choose another --cache-dir."
        )


def hash_file(path: Path, algorithm: str) -> str:
    """The file's hash; ``git`` is what git calls it."""
    with path.open("rb") as stream:
        if algorithm != "git":
            return hashlib.file_digest(stream, algorithm).hexdigest()
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
        for chunk in iter(lambda: stream.read(_CHUNK), b""):
            digest.update(chunk)
        return digest.hexdigest()


def _verify(file: Download, path: Path, etag: str | None, kept: str) -> str:
    """The checksum, as ``md5:...``, if it is the right one. A refused download is renamed, so that the next try begins anew."""
    hub_hash = {64: "sha256", 40: "git"}.get(len(etag or "")) if re.fullmatch(r"[0-9a-f]+", etag or "") else None
    wanted = [(a, v) for a, v in (("sha256", file.sha256), ("md5", file.md5), (hub_hash, etag)) if a and v]
    for algorithm, value in wanted[:1]:
        if (found := hash_file(path, algorithm)) != value:
            if path.suffix == ".part":
                os.replace(path, path.with_suffix(".rejected"))
            raise DownloadError(f"{file.name} ({file.url}): {algorithm} is {found}, but should be {value}. See {kept}; fetched again, it may be whole.")
        return f"{algorithm}:{value}"
    return f"sha256:{hash_file(path, 'sha256')}"


def _check_size(file: Download, path: Path) -> None:
    if file.bytes and (size := path.stat().st_size) != file.bytes:
        raise DownloadError(f"{path}: {size:,} bytes, but {file.name} has {file.bytes:,}. It is not complete, or another file.")


def _changed(file: Download, found: str, stated: str) -> str:
    return f"{file.url} {found}, but the task states {stated}. The file was replaced: if that is meant, the task needs a new version."


def disk_error(error: OSError, path: Path, needed: int | None) -> DownloadError:
    """What a full or unwritable disk says of ``path``."""
    have = path.stat().st_size if path.exists() else 0
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        rest = f" of {needed:,}" if needed else ""
        return DownloadError(f"{path}: no space left, at {have:,}{rest} bytes. They are kept: free some space and run the same command again.")
    return DownloadError(f"{path} cannot be written: {error.strerror or error}")
