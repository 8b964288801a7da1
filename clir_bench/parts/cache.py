"""A cache of vectors and scores that never lies: keyed by all that decides one, written in shards while working, each shard checked when read.

``ROOT/<key>/identity.json`` says whose vectors these are, ``ROOT/<key>/<hash>.safetensors`` holds some: 16-byte hashes of the texts and float32
vectors; a score is a vector of one component, its text a pair. A shard's name is the hash of its keys and of its vectors' hash; one that does not fit is
removed and its texts are encoded again. Files are written beside and renamed, so runs may share a cache, and a kill loses at most the shard being filled.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic, time

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from clir_bench.collection import FloatArray
from clir_bench.errors import CacheError
from clir_bench.files import replacing
from clir_bench.progress import bar
from clir_bench.vectors import Batch, BatchEncoder, Role, checked

_SHARD_SECONDS, _SHARD_TEXTS, _PART_SECONDS = 10.0, 8192, 600.0


class Cached:
    """An encoder whose vectors are kept in ``folder``. ``hits`` and ``encoded`` count texts of this process."""

    def __init__(self, encoder: BatchEncoder, folder: Path, progress: bool = False) -> None:
        self.encoder, self.folder, self._progress = encoder, folder, progress
        self.hits = self.encoded = 0

    @property
    def dim(self) -> int:
        """Components of an embedding."""
        return self.encoder.dim

    def encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        """As the encoder's, but vectors already on disk are read and new ones written; float32 [texts, dim]."""
        shelf = Shelf(self.folder, self.encoder.identity(role), self.dim, "texts are encoded")
        keys = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
        work = (Batch(rows, partial(_checked, run, rows, texts)) for rows, run in self.encoder.batches(texts, role))
        vectors, hits = fill_shelf(shelf, keys, work, f"encoding {role} texts", "text", self._progress)
        self.hits, self.encoded = self.hits + hits, self.encoded + len(texts) - hits
        return vectors


def fill_shelf(shelf: Shelf, keys: list[bytes], batches: Iterator[Batch], label: str, unit: str, progress: bool) -> tuple[FloatArray, int]:
    """What the shelf holds, and the rest from the batches, written while it is made: float32 [keys, dim], and how many were held.

    ``batches`` is the division of an undisturbed run, so that a resumed one gives its bytes.
    """
    vectors = np.empty((len(keys), shelf.dim), np.float32)
    known = shelf.read(keys, vectors)
    held = int(known.sum())
    if held == len(keys):
        return vectors, held
    pending: list[int] = []
    since = monotonic()
    with bar(label, len(keys), unit, progress) as shown:
        shown.update(held)
        try:
            for batch in batches:
                new = [i for i in batch.rows if not known[i]]
                if not new:
                    continue
                made = batch.encode()
                place = {row: at for at, row in enumerate(batch.rows)}
                vectors[new] = made[[place[i] for i in new]]
                pending += new
                shown.update(len(new))
                if monotonic() - since > _SHARD_SECONDS or len(pending) >= _SHARD_TEXTS:
                    shelf.write([keys[i] for i in pending], vectors[pending])
                    pending, since = [], monotonic()
        finally:
            if pending:
                shelf.write([keys[i] for i in pending], vectors[pending])
    return vectors, held


def _checked(encode: Callable[[], FloatArray], rows: list[int], texts: Sequence[str]) -> FloatArray:
    return checked(encode(), [texts[i] for i in rows])


class Shelf:
    """The shards of one identity. ``redone`` says what becomes of a damaged one's."""

    def __init__(self, root: Path, identity: Mapping[str, str | int], dim: int, redone: str) -> None:
        text = json.dumps(dict(identity), sort_keys=True, ensure_ascii=False)
        self.folder, self.dim, self._redone = root / hashlib.sha256(text.encode()).hexdigest()[:24], dim, redone
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for left in self.folder.glob(".part-*"):  # of a killed run; a living one takes seconds to rename its own
                with suppress(FileNotFoundError):  # the living one has just renamed it
                    if time() - left.stat().st_mtime > _PART_SECONDS:
                        left.unlink()
            if not (self.folder / "identity.json").exists():
                with replacing(self.folder / "identity.json") as stream:
                    stream.write(f"{text}\n".encode())
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def read(self, keys: Sequence[bytes], vectors: FloatArray) -> npt.NDArray[np.bool_]:
        """Fill the rows of ``vectors`` that are on disk; which ones, as bool [keys]."""
        wanted: dict[bytes, list[int]] = {}
        for i, key in enumerate(keys):
            wanted.setdefault(key, []).append(i)
        known = np.zeros(len(keys), bool)
        for path in sorted(self.folder.glob("*.safetensors")):
            if not wanted:
                break
            try:
                with safe_open(path, framework="np") as shard:
                    held = shard.get_tensor("keys")
                    stored, digest = [row.tobytes() for row in held], (shard.metadata() or {}).get("vectors", "")
                    if path.stem != _name(held.tobytes(), digest):
                        raise ValueError("its keys are damaged")
                    here = [(at, key) for at, key in enumerate(stored) if key in wanted]
                    if not here:
                        continue
                    found = shard.get_tensor("vectors")
                    if found.shape != (len(stored), self.dim) or _digest(found) != digest:
                        raise ValueError("its vectors are damaged")
            except (SafetensorError, ValueError, OSError, KeyError) as error:
                warnings.warn(f"{path}: {error}; its {self._redone} again", RuntimeWarning, stacklevel=2)
                path.unlink(missing_ok=True)
                continue
            for at, key in here:
                rows = wanted.pop(key)
                vectors[rows], known[rows] = found[at], True
        return known

    def write(self, keys: Sequence[bytes], vectors: FloatArray) -> None:
        """Put one shard of vectors on the shelf. Raises CacheError."""
        held, vectors = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 16), np.ascontiguousarray(vectors)
        digest = _digest(vectors)
        content = save({"keys": held, "vectors": vectors}, metadata={"vectors": digest})
        try:
            with replacing(self.folder / f"{_name(held.tobytes(), digest)}.safetensors") as stream:
                stream.write(content)
        except OSError as error:
            raise _unwritable(self.folder, error) from error


def _digest(vectors: FloatArray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(vectors).tobytes(), digest_size=16).hexdigest()


def _name(keys: bytes, digest: str) -> str:
    return hashlib.blake2b(keys + digest.encode(), digest_size=16).hexdigest()


def _unwritable(folder: Path, error: OSError) -> CacheError:
    return CacheError(f"the embedding cache {folder} cannot be written ({error.strerror or error}). Choose another with --cache-dir, or go without: --no-cache")
