"""Synthetic text in many languages and scripts, at the size of real collections: fast to make, with the byte widths that real text has."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clir_bench.sources.download import hash_file

try:
    from isal import igzip as packer  # three times as fast as gzip
except ImportError:
    packer = gzip

Facts = dict[str, Any]
CHUNK = 100_000  # lines made at a time
LATIN = "abcdefghijklmnopqrstuvwxyz"
LETTERS = {
    "ar": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "ru": "абвгдежзийклмнопрстуфхцчшщъыьэюя",
    "uk": "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
    "ja": "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをんアイウエオカキクケコ日本国語人大年",
    "zh": "".join(map(chr, range(0x4E00, 0x4E00 + 3000))),
    "ko": "".join(map(chr, range(0xAC00, 0xAC00 + 2000))),
    **{code: LATIN + extra for code, extra in (("de", "äöüß"), ("es", "áéíñó"), ("fr", "àâçéèêî"), ("cs", "áčďéěíňřšťůž"), ("pl", "ąćęłńóśźż"))},
    **{code: LATIN + extra for code, extra in (("vi", "ăâđêôơưáàảãạ"), ("tr", "çğışöü"), ("sv", "åäö"), ("fi", "äö"), ("ro", "ăâîșț"))},
}
WORDS = 1_000_000


class Prose:
    """A long run of words, Zipf-like, from which texts are cut at whole words."""

    def __init__(self, language: str) -> None:
        rng, letters = random.Random(language), LETTERS.get(language, LATIN)
        blank, (low, high) = (b"", (1, 3)) if language in ("zh", "ja") else (b" ", (2, 9))
        vocabulary = ["".join(rng.choices(letters, k=rng.randint(low, high))).encode() for _ in range(20_000)]
        drawn = np.random.default_rng(len(letters)).random(WORDS)
        words = [vocabulary[i] for i in (len(vocabulary) ** drawn).astype(int).tolist()]
        words[150::300] = ["–".encode()] * len(words[150::300])
        words[50_000::100_000] = ["𐌰".encode()] * len(words[50_000::100_000])
        self.block, self.blank = blank.join(words), len(blank)
        self.starts = np.concatenate([[0], np.cumsum([len(word) + self.blank for word in words])])
        self.mean = len(self.block) / WORDS  # bytes of a word, blank included

    def cut(self, words: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Where texts of so many words begin and end in the block."""
        first = rng.integers(0, WORDS - int(words.max()), len(words))
        return self.starts[first], self.starts[first + words] - self.blank


@dataclass
class Lines:
    """Lines ``template % (number, text)``; numbers of one width where the size is asked for."""

    template: bytes
    numbers: np.ndarray
    prose: Prose
    starts: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, template: bytes, numbers: np.ndarray, prose: Prose, words: np.ndarray | tuple[int, int], rng: np.random.Generator) -> Lines:
        return cls(template, numbers, prose, *prose.cut(rng.integers(*words, len(numbers)) if isinstance(words, tuple) else words, rng))

    @property
    def size(self) -> int:
        return len(self.numbers) * len(self.template % (int(self.numbers[0]), b"")) + int((self.ends - self.starts).sum())

    def __iter__(self) -> Iterator[bytes]:
        template, block = self.template, self.prose.block
        for i in range(0, len(self.numbers), CHUNK):
            part = slice(i, i + CHUNK)
            rows = zip(self.numbers[part].tolist(), self.starts[part].tolist(), self.ends[part].tolist(), strict=True)
            yield b"".join([template % (n, block[a:b]) for n, a, b in rows])


def digits(numbers: np.ndarray, width: int) -> np.ndarray:
    """uint8 [..., width]: the numbers in ASCII."""
    return (numbers[..., None] // 10 ** np.arange(width - 1, -1, -1) % 10 + ord("0")).astype(np.uint8)


def made(folder: Path, name: str, make: Callable[[Path], Facts]) -> Facts:
    """What ``make`` says of the files it put into ``folder / name``; they are made once."""
    facts = folder / f"{name}.json"
    if not facts.is_file():
        start = time.perf_counter()
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
        found = make(folder / name)
        facts.write_text(json.dumps(found), encoding="utf-8")
        print(f"{name}: generated in {time.perf_counter() - start:.0f} s, {size_of(folder / name) / 1e9:.2f} GB on disk", flush=True)
    return json.loads(facts.read_text(encoding="utf-8"))


def pack(path: Path, pieces: Iterator[bytes]) -> Facts:
    """Write a .gz at level 1; its own size and hash, and what it holds."""
    unpacked = 0
    with packer.open(path, "wb", compresslevel=1) as out:
        for piece in pieces:
            out.write(piece)
            unpacked += len(piece)
    return {"path": str(path), "bytes": path.stat().st_size, "md5": hash_file(path, "md5"), "unpacked": unpacked}


def size_of(folder: Path) -> int:
    """Bytes of all files below; those that vanish meanwhile count nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).stat().st_size
            except FileNotFoundError:
                continue
    return total
