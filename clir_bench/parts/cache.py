"""An embedding cache that never lies: keyed by all that decides a vector, written in shards while encoding, each shard checked when read.

``ROOT/<key>/identity.json`` says whose vectors these are, ``ROOT/<key>/<hash>.safetensors`` holds some: 16-byte hashes of the texts and float32
vectors. A shard's name is the hash of its keys and of its vectors' hash; one that does not fit is removed and its texts are encoded
again. Files are written beside and renamed, so runs may share a cache, and a kill loses at most the shard being filled.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, time
from typing import Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from clir_bench.collection import FloatArray
from clir_bench.errors import CacheError
from clir_bench.files import replacing
from clir_bench.progress import bar
from clir_bench.vectors import Batch, Role, checked

_SHARD_SECONDS, _SHARD_TEXTS, _PART_SECONDS = 10.0, 8192, 600.0


class BatchEncoder(Protocol):
    """What can be cached: an encoder that shows its work in batches."""

    @property
    def dim(self) -> int:
        """Components of an embedding."""

    def identity(self, role: Role) -> Mapping[str, str | int]:
        """All that decides an embedding beside the text."""

    def batches(self, texts: Sequence[str], role: Role) -> Iterator[Batch]:
        """The work, in a division that depends on the texts and the encoder only."""


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
        shelf = _Shelf(self.folder, self.encoder.identity(role), self.dim)
        keys = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
        vectors = np.empty((len(texts), self.dim), np.float32)
        known = shelf.read(keys, vectors)
        self.hits += int(known.sum())
        self.encoded += int((~known).sum())
        if known.all():
            return vectors
        pending: list[int] = []
        since = monotonic()
        with bar(f"encoding {role} texts", len(texts), "text", self._progress) as shown:
            shown.update(int(known.sum()))
            try:
                for batch in self.encoder.batches(texts, role):  # the division of an undisturbed run, so that a resumed one gives its bytes
                    new = [i for i in batch.rows if not known[i]]
                    if not new:
                        continue
                    made = checked(batch.encode(), [texts[i] for i in batch.rows])
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
        return vectors


class _Shelf:
    """The shards of one identity."""

    def __init__(self, root: Path, identity: Mapping[str, str | int], dim: int) -> None:
        text = json.dumps(dict(identity), sort_keys=True, ensure_ascii=False)
        self.folder, self.dim = root / hashlib.sha256(text.encode()).hexdigest()[:24], dim
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
                warnings.warn(f"{path}: {error}; its texts are encoded again", RuntimeWarning, stacklevel=2)
                path.unlink(missing_ok=True)
                continue
            for at, key in here:
                rows = wanted.pop(key)
                vectors[rows], known[rows] = found[at], True
        return known

    def write(self, keys: Sequence[bytes], vectors: FloatArray) -> None:
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
