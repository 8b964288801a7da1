"""Readers of the sets of training pairs, one a source: ``(definition, downloads) -> what was found``."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Literal

from clir_bench import languages
from clir_bench.errors import CollectionError, DownloadError
from clir_bench.sources.download import Downloads
from clir_bench.sources.pairs import PairSet, Read, Reader, TextPair, spans
from clir_bench.sources.sampling import norm
from clir_bench.sources.workshop import lines_of
from clir_bench.task_records import Download

_MACRO = {"id": "msa"}
"""Where the challenge's file names have another code than ISO 639-3's of the table."""
_LABELS = {"ind": "id", "nob": "no", "nno": "nn", "cmn": "zh", "swh": "sw", "arb": "ar", "pes": "fa", "zsm": "ms"}
_SPLITS: Mapping[str, Literal["train", "dev", "test"]] = {"train": "train", "valid": "dev", "dev": "dev", "test": "test"}
_WIC = re.compile(r"(?:^|/)(?:(?P<a>[a-z]{2})_(?P<sa>train|valid|test)(?:_[a-z]+)?|(?P<sb>train|valid|test)_(?P<b>[a-z]{2}))\.txt$")


def read_tatoeba_challenge(pairs: PairSet, downloads: Downloads) -> Read:
    """Four columns a line: two language labels, two sentences. One file may hold several languages of one macro-language: the labels decide."""
    found: list[TextPair] = []
    absent: list[str] = []
    codes = sorted({_MACRO.get(code, "nor" if code in ("no", "nn") else languages.TABLE[code].iso639_3) for code in pairs.languages})
    for template, split in ((f, "train" if f.name == "test" else "dev") for f in pairs.files):
        for a, b in combinations(codes, 2):
            file = template.model_copy(update={"name": f"{template.name}/{a}-{b}", "url": template.url.format(a=a, b=b)})
            path = _get(downloads, file, absent)
            for cells in _rows(path, 4) if path else ():
                tags = [_LABELS.get(label, languages.from_iso639_3(label)) for label in (cells[0].split("_")[0], cells[1].split("_")[0])]
                if set(tags) <= set(pairs.languages) and tags[0] != tags[1]:
                    ((first, text), (second, other)) = sorted(zip(tags, map(norm, cells[2:]), strict=True))
                    found.append(TextPair("train" if split == "train" else "dev", first, second, text, other))
    return Read(found, [f"{len(absent)} of {2 * len(codes) * (len(codes) - 1) // 2} files are not there"] if absent else [])


def read_tatoeba_laser(pairs: PairSet, downloads: Downloads) -> Read:
    """Two files a language, line by line translations."""
    found = []
    for language in (code for code in pairs.languages if code != "en"):
        both = [[text for _, text in lines_of(downloads.get(_named(pairs, f"{language}/{kind}")))] for kind in ("text", "english")]
        if len(both[0]) != len(both[1]):
            raise CollectionError(f"{pairs.name}, {language}: {len(both[0])} sentences, but {len(both[1])} translations")
        for text, english in zip(*both, strict=True):
            (a, one), (b, two) = sorted([(language, norm(text)), ("en", norm(english))])
            found.append(TextPair("train", a, b, one, two))
    return Read(found, [])


def read_am2ico(pairs: PairSet, downloads: Downloads) -> Read:
    """A header, then two sentences with ``<word>`` marks and T or F; the second sentence is English."""
    found: list[TextPair] = []
    absent: list[str] = []
    for file in pairs.files:
        language, split = file.name.split("/")
        path = _get(downloads, file, absent)
        for cells in _rows(path, 3, header=True) if path else ():
            a, b = spans(cells[0]), spans(cells[1])
            found.append(TextPair(_SPLITS[split], language, "en", a["text"], b["text"], cells[2].strip() in ("T", "1"), *_word(a), *_word(b)))
    return Read(found, [f"not there: {', '.join(absent)}"] if absent else [])


def read_xl_wic(pairs: PairSet, downloads: Downloads) -> Read:
    """A zip of tab-separated files: word, part of speech, start and end in each sentence, two sentences, 0 or 1."""
    found: list[TextPair] = []
    counts: Counter[str] = Counter()
    path = downloads.get(_named(pairs, "archive"))
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if (match := _WIC.search(name)) is None:
                    continue
                language, split = match["a"] or match["b"], match["sa"] or match["sb"]
                for line in io.TextIOWrapper(archive.open(name), encoding="utf-8"):
                    cells = line.rstrip("\r\n").split("\t")
                    if len(cells) == 9 and language in pairs.languages:
                        found.append(_wic_pair(_SPLITS[split], language, cells[0], cells[2:6], cells[6:8], cells[8]))
                    else:
                        counts[f"{name}: lines without nine columns (unlabelled test data)"] += 1
    except (zipfile.BadZipFile, ValueError) as error:
        raise DownloadError(f"{path}: not the zip file it should be ({error}). Remove it and run the same command again.") from None
    return Read(found, [f"{key}: {n}" for key, n in counts.items()])


def read_senwich(pairs: PairSet, downloads: Downloads) -> Read:
    """CSV files with a header: lemma, sentence1, start1, end1, sentence2, start2, end2, label; from ``--source-dir`` alone."""
    folder, found = downloads.source_dir, []
    if folder is None:
        raise DownloadError(f"{pairs.name}: its data must be given by --source-dir: where it is published is not known. See {pairs.homepage}")
    for path in sorted(folder.glob("*.csv")):
        language, _, split = path.stem.partition("_")
        if language not in pairs.languages:
            continue
        if split and split not in _SPLITS:
            raise CollectionError(f"{path}: {split!r} is no split. Name it {language}.csv (to train on) or {language}_{{{','.join(_SPLITS)}}}.csv.")
        for number, row in enumerate(csv.DictReader(path.open(encoding="utf-8", newline="")), 2):
            try:
                places = [row[key] for key in ("start1", "end1", "start2", "end2")]
                found.append(_wic_pair(_SPLITS[split or "train"], language, row["lemma"], places, [row["sentence1"], row["sentence2"]], row["label"]))
            except (KeyError, ValueError, TypeError, AttributeError) as error:
                raise CollectionError(f"{path}:{number}: not a row of lemma, sentences, places and label: {error!r}") from None
    return Read(found, [])


READERS: Mapping[str, Reader] = {
    "tatoeba_challenge": read_tatoeba_challenge,
    "tatoeba_laser": read_tatoeba_laser,
    "xl_wic": read_xl_wic,
    "am2ico": read_am2ico,
    "senwich": read_senwich,
}


def _wic_pair(split: Literal["train", "dev", "test"], language: str, word: str, places: list[str], texts: list[str], label: str) -> TextPair:
    """Both sentences are of one language; the places are of the texts as distributed, which are kept as they are."""
    a0, a1, b0, b1 = map(int, places)
    return TextPair(split, language, language, texts[0], texts[1], label.strip().lower() in ("1", "t", "true"), word, a0, a1, word, b0, b1)


def _word(found: Mapping[str, object]) -> tuple[str, int, int]:
    return str(found["word"]), int(str(found["start"])), int(str(found["end"]))


def _get(downloads: Downloads, file: Download, absent: list[str]) -> Path | None:
    """The file; None, and its name noted, where it is optional and the server does not have it."""
    try:
        return downloads.get(file)
    except DownloadError as error:
        if file.optional and "answers 404" in str(error):
            absent.append(file.name)
            return None
        raise


def _rows(path: Path, columns: int, *, header: bool = False) -> Iterator[list[str]]:
    for number, line in lines_of(path):
        cells = line.split("\t")
        if len(cells) != columns:
            raise CollectionError(f"{path}:{number}: {len(cells)} columns, but there must be {columns}, separated by tabs")
        if not (header and number == 1):
            yield cells


def _named(pairs: PairSet, name: str) -> Download:
    found = next((f for f in pairs.files if f.name == name), None)
    if found is None:
        raise CollectionError(f"{pairs.name}: its definition has no file {name!r}")
    return found
