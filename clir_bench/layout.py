"""Layouts: which evaluated query of a collection is which. What a submission's gold ranks need to be read query by query, without the texts.

A submission holds ranks in the collection's canonical order and says no more; a layout, one file a collection, says for each evaluated query its id, its
topic (the same question in several languages), and how many documents are relevant. Tests that resample topics read it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clir_bench.collection import Collection, IntArray, Pair
from clir_bench.errors import CollectionError
from clir_bench.files import replacing
from clir_bench.measures import unranked

FOLDER = "layouts"
"""Where they lie below a folder of submissions."""


@dataclass(frozen=True)
class Layout:
    """The evaluated queries of a task's whole collection, in the order of gold ranks: by pair, then by canonical query order.

    ``pair`` int32 [evaluated] indexes ``pairs``; ``topic`` int32 [evaluated] counts from 0; ``golds`` int32 [evaluated]; ``grades`` int32 [sum of golds].
    """

    task: str
    version: int
    fingerprint: str
    pool: dict[str, int]
    pairs: tuple[Pair, ...]
    pair: IntArray
    query_ids: tuple[str, ...]
    topic: IntArray
    golds: IntArray
    grades: IntArray

    @cached_property
    def queries(self) -> IntArray:
        """Evaluated queries of each pair, int32 [pairs]."""
        return np.bincount(self.pair, minlength=len(self.pairs)).astype(np.int32)


def layout_of(task: str, version: int, collection: Collection) -> Layout:
    """The layout of a built collection."""
    ranks = unranked(collection.judgements)
    _, topic = np.unique(collection.topics[ranks.query], return_inverse=True)
    return Layout(
        task, version, collection.fingerprint, dict(sorted(Counter(collection.pool.languages).items())), tuple(ranks.pairs), ranks.pair,
        tuple(collection.queries.ids[q] for q in ranks.query), topic.astype(np.int32), ranks.golds, ranks.grade,
    )  # fmt: skip


def layout_path(task: str, version: int, fingerprint: str, folder: Path) -> Path:
    """Where the layout of a collection lies below a folder of submissions."""
    return folder / FOLDER / f"{task.replace(':', '_')}-v{version}-{fingerprint.removeprefix('sha256:')[:12]}.parquet"


def write_layout(layout: Layout, folder: Path) -> Path:
    """Write the file below a folder of submissions, beside and renamed; one that is there is left. Raises CollectionError."""
    path = layout_path(layout.task, layout.version, layout.fingerprint, folder)
    if path.exists():
        return path
    ends = np.concatenate([[0], np.cumsum(layout.golds)]).astype(np.int32)
    table = pa.table(
        {
            "query": pa.array([layout.pairs[p].query for p in layout.pair]).dictionary_encode(),
            "document": pa.array([layout.pairs[p].document for p in layout.pair]).dictionary_encode(),
            "query_id": pa.array(layout.query_ids),
            "topic": pa.array(layout.topic),
            "grades": pa.ListArray.from_arrays(pa.array(ends), pa.array(layout.grades.astype(np.uint8))),
        }
    )
    about = {"task": layout.task, "version": layout.version, "fingerprint": layout.fingerprint, "pool": layout.pool}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as stream:
            pq.write_table(table.replace_schema_metadata({"clir_bench": json.dumps(about)}), stream, compression="zstd", compression_level=12)
    except OSError as error:
        raise CollectionError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def read_layout(path: Path) -> Layout:
    """The layout in a file. Raises CollectionError."""
    try:
        table = pq.read_table(path)
        about = json.loads((table.schema.metadata or {})[b"clir_bench"])
        asked, held = (table[name].combine_chunks().dictionary_decode().to_pylist() for name in ("query", "document"))
        listed = [Pair(q, d) for q, d in zip(asked, held, strict=True)]
        pairs = tuple(sorted(set(listed)))
        number = {pair: i for i, pair in enumerate(pairs)}
        grades = table["grades"].combine_chunks()
        return Layout(
            str(about["task"]), int(about["version"]), str(about["fingerprint"]), {str(k): int(v) for k, v in about["pool"].items()}, pairs,
            np.fromiter((number[pair] for pair in listed), np.int32, len(listed)), tuple(table["query_id"].to_pylist()),
            table["topic"].to_numpy().astype(np.int32), np.diff(grades.offsets.to_numpy()).astype(np.int32), grades.values.to_numpy().astype(np.int32),
        )  # fmt: skip
    except (OSError, KeyError, ValueError, TypeError, AttributeError, pa.ArrowException) as error:
        raise CollectionError(f"{path}: no layout that can be read ({type(error).__name__}: {error}). Evaluate the task once: it is written anew.") from None


def find_layout(task: str, version: int, fingerprint: str | None, folders: Iterable[Path]) -> Layout | None:
    """The layout of that collection below one of the folders of submissions; None where none has it. Raises CollectionError for a damaged one."""
    if fingerprint is None:
        return None
    for folder in folders:
        path = layout_path(task, version, fingerprint, folder)
        if path.is_file():
            layout = read_layout(path)
            if (layout.task, layout.version, layout.fingerprint) != (task, version, fingerprint):
                raise CollectionError(
                    f"{path}: says it is of {layout.task} v{layout.version}, {layout.fingerprint}; its name says {task} v{version}, {fingerprint}"
                )
            return layout
    return None


def layout_beside(files: Iterable[Path], task: str, version: int, fingerprint: str | None) -> Layout | None:
    """The layout in a folder of submissions that one of these files lies in, up to three folders up. Raises CollectionError for a damaged one."""
    return find_layout(task, version, fingerprint, [folder for file in files for folder in file.resolve().parents[:3]])


def fits(layout: Layout, pairs: Iterable[tuple[Pair, int]]) -> list[str]:
    """Where (pair, number of evaluated queries) of a submission differ from the layout; empty when they fit."""
    known = dict(zip(layout.pairs, layout.queries.tolist(), strict=True))
    return [f"{pair}: {n} queries, but its collection has {known.get(pair, 'no such pair')}" for pair, n in pairs if known.get(pair) != n]
