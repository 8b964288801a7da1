"""CLIRMatrix's own files: the index, query files as arrays, document collections streamed for the lines that are wanted.

A query file ``queries/{q}_{d}/{split}`` is JSON lines: ``src_id``, ``src_query``, ``tgt_results`` = [[document id, label], ...], labels 6 to 0, best
first. Line i is the same article in all languages. A document collection is ``id<TAB>text``, unsorted.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Sequence, Set
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from clir_bench.errors import CollectionError, DownloadError
from clir_bench.files import replacing
from clir_bench.sources.sampling import is_stub, norm
from clir_bench.sources.workshop import Workshop, reading_gzip
from clir_bench.task_records import Download

DEPTH = 100
"""Results listed for a query."""
FIRST = 3
"""Places of a list whose texts are kept in the first reading of a document collection; deeper ones only when those are absent."""
ABSENT = -1
_LOOK = 240  # bytes that tell nearly always that a text is no stub
Ids = npt.NDArray[np.int32]


class Lists(NamedTuple):
    """One query file: ``source`` int32 [n] ids of the queries' articles, ``ids`` int32 and ``labels`` int8 [n, 100], best first, ABSENT = nothing."""

    source: Ids
    texts: list[str]
    ids: Ids
    labels: npt.NDArray[np.int8]


class Held(NamedTuple):
    """What a document collection gave: which listed ids it has (sorted), which of them are stubs (sorted), and the texts, which stay on disk."""

    present: Ids
    stubs: Ids
    rows: Callable[[], Iterator[list[Any]]]

    def texts(self, keep: Set[int]) -> dict[int, str]:
        """The texts of those ids, read anew: those of one language at a time fit into memory, those of all do not."""
        return {row[1]: row[2] for row in self.rows() if row[0] == "text" and row[1] in keep}

    @property
    def whole(self) -> Ids:
        """The ids that are there and no stubs, sorted."""
        return np.setdiff1d(self.present, self.stubs, assume_unique=True)


def golds(lists: Lists, rule: str, usable: Ids | None, mates: Ids) -> Ids:
    """The gold document of each query, int32 [n], ABSENT where there is none. ``usable`` (sorted) None takes every listed document."""
    if rule == "mate":
        return mates if usable is None else np.where(np.isin(mates, usable), mates, ABSENT)
    fits = lists.ids != ABSENT
    if rule == "six":
        fits &= lists.labels == 6
    if usable is not None:
        fits &= np.isin(lists.ids, usable)
    first = np.argmax(fits, axis=1)
    rows = np.arange(len(first))
    return np.where(fits[rows, first], lists.ids[rows, first], ABSENT)


def mates_of(lists: dict[tuple[str, str, str], Lists], split: str, language: str) -> Ids:
    """The ids of the queries' own articles in a language: ``src_id`` of its query files, int32 [n]."""
    return next(found.source for (s, q, _), found in lists.items() if s == split and q == language)


class Index:
    """downloads.json.gz: address, size and md5 of every file. Blocks and keys as ir_datasets reads them."""

    def __init__(self, path: Path) -> None:
        try:
            with gzip.open(path) as stream:
                blocks = json.load(stream)
            self.content: dict[str, Any] = {block: blocks.get(block, {}) for block in ("clirmatrix_docs", "clirmatrix_multi8")}  # the others are large
        except (OSError, EOFError, ValueError, AttributeError) as error:
            raise DownloadError(f"{path}: not the index of CLIRMatrix: {error}") from None
        self.path = path

    def documents(self, language: str) -> Download:
        """The document collection of a language."""
        return self._entry("clirmatrix_docs", f"docs/{language}", f"docs/{language}")

    def queries(self, query: str, document: str, split: str) -> Download:
        """The query file of a pair and split."""
        return self._entry("clirmatrix_multi8", f"queries/{query}_{document}/{split}", f"multi8/{split}/{query}_{document}")

    def _entry(self, block: str, key: str, name: str) -> Download:
        entry = self.content.get(block, {}).get(key)
        if not isinstance(entry, dict) or "url" not in entry:
            raise CollectionError(f"{self.path}: no {block}[{key!r}] with an address. The index is not what the task describes.")
        size, md5 = entry.get("size_hint", entry.get("size")), entry.get("expected_md5", entry.get("md5"))
        try:
            return Download(name=name, url=entry["url"], bytes=size, md5=md5)
        except ValueError as error:
            raise CollectionError(f"{self.path}: {block}[{key!r}]: {error}") from None


def lists_path(shop: Workshop, file: Download) -> Path:
    """Where a query file's arrays are kept."""
    return shop.folder / "lists" / f"{file.name.replace('/', '__')}.npz"


def stage_of(file: Download, mark: str) -> str:
    """The name of a document collection's stage; ``mark`` says what was asked for: another question is another stage."""
    return f"{file.name.replace('/', '-')}.{mark}"


def read_lists(shop: Workshop, file: Download) -> Lists:
    """One query file, as a stage of its own."""
    path = lists_path(shop, file)
    if not path.is_file():
        content = _parse_lists(shop.downloads.get(file), shop)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as out:
            np.savez_compressed(out, source=content.source, texts=np.array(json.dumps(content.texts)), ids=content.ids, labels=content.labels)
        shop.downloads.drop(file)
    with np.load(path, allow_pickle=False) as saved:
        return Lists(saved["source"], json.loads(str(saved["texts"])), saved["ids"], saved["labels"])


def _parse_lists(path: Path, shop: Workshop) -> Lists:
    source, texts, ids, labels = [], [], [], []
    with reading_gzip(path, path.name, False) as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                results = [(int(d), int(label)) for d, label in row["tgt_results"][:DEPTH]]
                source.append(int(row["src_id"]))
                texts.append(norm(row["src_query"]))
            except (ValueError, KeyError, TypeError) as error:
                raise CollectionError(f"{path}:{number}: not a line of src_id, src_query and tgt_results: {error!r}") from None
            padded = results + [(ABSENT, 0)] * (DEPTH - len(results))
            ids.append([d for d, _ in padded])
            labels.append([label for _, label in padded])
    shape = (len(source), DEPTH)
    return Lists(np.array(source, np.int32), texts, np.array(ids, np.int32).reshape(shape), np.array(labels, np.int8).reshape(shape))


def check_alignment(lists: dict[tuple[str, str, str], Lists], languages: Sequence[str]) -> dict[str, int]:
    """Every file of a query language and split must ask the same queries in the same order, and line i must be one article in all languages.

    The latter shows in how often a query's own article in the document language stands among its results: counted, for each split. A split in which
    it hardly ever does is refused. Raises CollectionError with every problem.
    """
    counts: dict[str, int] = {}
    problems = []
    for split in dict.fromkeys(s for s, _, _ in lists):
        sizes = set()
        for language in languages:
            mine = [(d, found) for (s, q, d), found in lists.items() if (s, q) == (split, language)]
            first = mine[0][1]
            sizes.add(len(first.source))
            problems += [
                f"{split}: {language}-{d} and {language}-{mine[0][0]} ask different queries"
                for d, found in mine[1:]
                if not np.array_equal(found.source, first.source)
            ]
        if len(sizes) > 1:
            problems.append(f"{split}: the languages have {', '.join(map(str, sorted(sizes)))} queries, so their lines are not aligned")
            continue
        listed = [(found.ids == mates_of(lists, split, d)[:, None]).any(axis=1) for (s, _, d), found in lists.items() if s == split]
        counts[f"{split}: own articles among the results"] = among = int(sum(found.sum() for found in listed))
        if among < 0.05 * (asked := sum(len(found) for found in listed)):
            problems.append(f"{split}: of {asked:,} queries only {among:,} have their own article among the results, so lines are not aligned over languages")
    if problems:
        raise CollectionError.of("CLIRMatrix query files", problems)
    return counts


def read_documents(shop: Workshop, file: Download, lists: list[tuple[Lists, Ids]], more: Sequence[int], rules: Sequence[str], mark: str) -> Held:
    """One document collection, as a stage: texts of every possible gold document and of ``more``, presence of all that is listed.

    ``mark`` names what was asked for: another question is another stage.
    """

    def make() -> Iterator[list[Any]]:
        path = shop.downloads.get(file)
        listed = {d for found, mates in lists for d in (*np.unique(found.ids).tolist(), *mates.tolist())} | set(more)
        wanted = {d for found, mates in lists for d in (*np.unique(found.ids[:, :FIRST]).tolist(), *found.ids[found.labels == 6].tolist(), *mates.tolist())}
        wanted |= set(more)
        given: set[int] = set()
        present: set[int] = set()
        stubs: set[int] = set()
        while wanted:
            for identifier, text in _stream(path, wanted, listed, present, stubs, shop.progress):
                given.add(identifier)
                yield ["text", identifier, text]
            there = np.array(sorted(present), np.int32)
            whole = np.setdiff1d(there, np.array(sorted(stubs), np.int32), assume_unique=True)
            needed = {d for (found, mates), rule, usable in product(lists, rules, (there, whole)) for d in golds(found, rule, usable, mates).tolist()}
            listed = wanted = needed - {ABSENT} - given  # what is there, and what is a stub, is known by now
        yield ["present", sorted(present)]
        yield ["stubs", sorted(stubs)]

    rows = partial(shop.rows, stage_of(file, mark), make)
    ids = {row[0]: np.array(row[1], np.int32) for row in rows() if row[0] != "text"}
    shop.downloads.drop(file)
    return Held(ids["present"], ids["stubs"], rows)


def _stream(path: Path, wanted: set[int], listed: set[int], present: set[int], stubs: set[int], progress: bool) -> Iterator[tuple[int, str]]:
    """Read a document collection once: the wanted texts, and of all listed ids whether they are there and whether they are stubs."""
    with reading_gzip(path, f"reading {path.name.replace('__', '/')}", progress) as stream:
        for line in stream:
            head, _, rest = line.partition(b"\t")
            if not head.isdigit() or (identifier := int(head)) not in listed:
                continue
            present.add(identifier)
            if is_stub(norm(rest[:_LOOK].decode("utf-8", "ignore"))) and is_stub(norm(rest.decode("utf-8", "replace"))):
                stubs.add(identifier)
            if identifier in wanted:
                yield identifier, norm(rest.decode("utf-8", "replace"))
