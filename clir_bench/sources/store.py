"""Built collections on disk: parquet tables and a manifest of what they were built from, read back and verified.

``collections/{task}/{recipe hash}/`` below the cache folder. The manifest is written last: a folder without one is not a collection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from clir_bench.collection import Collection, Document, Judgement, Query, build_collection
from clir_bench.errors import CollectionError
from clir_bench.files import replacing
from clir_bench.sources.download import SourceRecord, disk_error, hash_file
from clir_bench.sources.leakage import RULES, Example, Negative, Training
from clir_bench.sources.workshop import Built, Graded
from clir_bench.strict import Strict, problems_in
from clir_bench.task import Task, disagreements
from clir_bench.task_records import Recipe

MANIFEST = "manifest.json"
PAIR_COLUMNS = ("split", "query_lang", "doc_lang", "query-id", "corpus-id", "query", "document")
HARD_COLUMNS = ("query-id", "query_lang", "positive-id", "corpus-id", "document", "label")
_NUMBERS = ("score", "label", "start_a", "end_a", "start_b", "end_b")
_GROUP = 10_000
TRAINING_FILES = ("train_pairs.parquet", "hard_negatives.parquet", "related.parquet")


class FileRecord(Strict):
    """A table of the collection."""

    rows: Annotated[int, Field(ge=0)]
    bytes: Annotated[int, Field(ge=0)]
    sha256: str


class SourceFile(Strict):
    """A file that was read to build it."""

    name: str
    url: str
    bytes: int
    checksum: str
    via: Literal["http", "source-dir", "range"]


class Manifest(Strict):
    """What a collection was built from, how, and what came of it."""

    format: Literal["clir-bench/collection/1"] = Field(alias="schema")
    task: str
    version: int
    source: str
    recipe: Recipe
    recipe_hash: str
    clir_bench: str
    built: str
    sources: Annotated[tuple[SourceFile, ...], Field(strict=False)]
    contains: Annotated[tuple[str, ...], Field(strict=False)]
    counts: dict[str, int]
    notes: Annotated[tuple[str, ...], Field(strict=False)]
    paper: Annotated[tuple[str, ...], Field(strict=False)]
    leakage: dict[str, int | str] | None
    files: dict[str, FileRecord]
    fingerprint: str


def write_collection(place: Path, task: Task, built: Built, sources: Iterable[SourceRecord]) -> Manifest:
    """Write a build's tables, then its manifest. Raises CollectionError where what was built is not what the task expects."""
    collection = build_collection(built.documents, built.queries, built.judgements)
    if wrong := disagreements(task, collection):
        raise CollectionError.of(f"task {task.name} version {task.version}, as built", wrong)
    try:
        place.mkdir(parents=True, exist_ok=True)
        tables = tables_of(collection, built.english)
        files = {name: write_table(place / name, rows) for name, rows in tables.items()}
        if built.training is not None:
            files |= _write_training(place, built.training)
        if built.graded is not None:
            files["qrels_graded.parquet"] = _write_graded(place / "qrels_graded.parquet", built.graded)
        manifest = Manifest(
            format="clir-bench/collection/1",
            task=task.name,
            version=task.version,
            source=task.source,
            recipe=task.recipe,
            recipe_hash=task.recipe_hash,
            clir_bench=version("clir-bench"),
            built=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            sources=tuple(SourceFile(**record._asdict()) for record in sources),
            contains=task.contains,
            counts=built.counts,
            notes=built.notes,
            paper=tuple(against_paper(task, collection)),
            leakage=_leakage(task, built.training),
            files=files,
            fingerprint=collection.fingerprint,
        )
        _write_manifest(place, manifest)
    except OSError as error:
        raise disk_error(error, place, None) from error
    return manifest


def install(place: Path, manifest: Manifest | None, collection: Collection, english: Mapping[str, str] | None) -> None:
    """Write a published collection where a build of it would stand; its manifest says from where its publisher took it."""
    if manifest is None:
        raise CollectionError(f"{place}: nothing to install")
    tables = tables_of(collection, english)
    try:
        place.mkdir(parents=True, exist_ok=True)
        files = {name: write_table(place / name, rows) for name, rows in tables.items()}
        _write_manifest(place, manifest.model_copy(update={"files": files, "leakage": None}))
    except OSError as error:
        raise disk_error(error, place, None) from error


def read_manifest(place: Path) -> Manifest | None:
    """The manifest of a built collection; None where there is none. Raises CollectionError for one that is damaged."""
    path = place / MANIFEST
    if not path.is_file():
        return None
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise CollectionError.of(f"{path} (of another release, or changed; --rebuild makes it anew)", problems_in(error, Manifest)) from None


def read_collection(place: Path, manifest: Manifest) -> Collection:
    """The collection, whose fingerprint must be the manifest's. Raises CollectionError."""
    collection = read_tables(place / "corpus.parquet", [place / "queries.parquet"], place / "qrels.parquet")
    if collection.fingerprint != manifest.fingerprint:
        raise CollectionError(
            f"{place}: its tables give {collection.fingerprint}, but its manifest says {manifest.fingerprint}. They were changed: build it again with --rebuild."
        )
    return collection


def read_tables(corpus: Path, queries: Sequence[Path], qrels: Path) -> Collection:
    """A collection from its three kinds of tables. Raises CollectionError for tables that are none."""
    try:
        documents, judgements, asked = read_table(corpus), read_table(qrels), [read_table(path) for path in queries]
        return build_collection(
            map(Document._make, zip(documents["_id"], documents["lang"], documents["text"], strict=True)),
            [Query._make(row) for table in asked for row in zip(table["_id"], table["lang"], table["text"], table["group"], strict=True)],
            map(Judgement._make, zip(judgements["query-id"], judgements["corpus-id"], judgements["score"], strict=True)),
        )
    except (OSError, KeyError, ValueError) as error:
        raise CollectionError(f"{corpus.parent}: its tables cannot be read: {error}. Build it again with --rebuild.") from None


def tables_of(collection: Collection, english: Mapping[str, str] | None) -> dict[str, Mapping[str, Sequence[Any]]]:
    """File name to columns, in canonical order, so that equal collections are equal files."""
    pool, queries, j = collection.pool, collection.queries, collection.judgements
    tables: dict[str, Mapping[str, Sequence[Any]]] = {
        "corpus.parquet": {"_id": pool.ids, "lang": pool.languages, "title": [""] * len(pool), "text": pool.texts},
        "queries.parquet": {"_id": queries.ids, "lang": queries.languages, "text": queries.texts, "group": list(map(str, collection.topics.tolist()))},
        "qrels.parquet": {
            "query-id": [queries.ids[q] for q in j.query.tolist()],
            "corpus-id": [pool.ids[d] for d in j.document.tolist()],
            "score": j.grade.tolist(),
            "query_lang": [j.pairs[p].query for p in j.pair.tolist()],
            "doc_lang": [j.pairs[p].document for p in j.pair.tolist()],
        },
    }
    if english is not None:
        tables["corpus_en.parquet"] = {"_id": pool.ids, "text": [english[key] for key in pool.ids]}
    return tables


def read_english(place: Path) -> dict[str, str] | None:
    """English text by document id; None where the collection has none."""
    path = place / "corpus_en.parquet"
    if not path.is_file():
        return None
    table = read_table(path)
    return dict(zip(table["_id"], table["text"], strict=True))


def read_training(place: Path) -> Training | None:
    """The training examples; None where none were built."""
    if not (place / TRAINING_FILES[0]).is_file():
        return None
    pairs, hard, related = (read_table(place / name) for name in TRAINING_FILES)
    negatives: dict[tuple[str, str, str], list[Negative]] = {}
    for key, language, positive, *rest in zip(*(hard[c] for c in HARD_COLUMNS), strict=True):
        negatives.setdefault((key, language, positive), []).append(Negative(*rest))
    rows = [Example(*row) for row in zip(*(pairs[c] for c in PAIR_COLUMNS), strict=True)]
    examples = [row._replace(negatives=tuple(negatives.get((row.key, row.query_language, row.document_id), ()))) for row in rows]
    return Training(examples, {}, list(zip(related["query-id"], related["corpus-id"], strict=True)))


def against_paper(task: Task, collection: Collection) -> Iterator[str]:
    """One line for each count that the paper reports: equal, or both values."""
    if task.paper is None:
        return
    sizes = [list(collection.pool.languages).count(language) for language in collection.languages]
    j = collection.judgements
    judged = [len({*j.query[j.pair == p].tolist()}) for p in range(len(j.pairs))]
    facts: list[tuple[str, object, object]] = [
        ("documents", task.paper.documents, len(collection.pool)),
        ("documents a language", task.paper.documents_per_language, (min(sizes), max(sizes))),
        ("queries a pair", task.paper.queries_per_pair, (min(judged), max(judged))),
        ("evaluations", task.paper.evaluations, sum(judged)),
    ]
    for name, paper, ours in facts:
        if paper is not None:
            shown = ["-".join(f"{n:,}" for n in dict.fromkeys(value)) if isinstance(value, tuple) else f"{value:,}" for value in (paper, ours)]
            yield f"{name}: {shown[0]} in the paper, {shown[1]} here" + (", equal" if paper == ours else "")


def _write_manifest(place: Path, manifest: Manifest) -> None:
    with replacing(place / MANIFEST) as out:
        out.write(manifest.model_dump_json(by_alias=True, indent=1).encode() + b"\n")
    for table in place.glob("*.parquet"):  # of an earlier build with more in it
        if table.name not in manifest.files:
            table.unlink()


def _write_training(place: Path, training: Training) -> dict[str, FileRecord]:
    """The three tables, the examples written as they come."""
    with writing_table(place / TRAINING_FILES[0], PAIR_COLUMNS) as pairs, writing_table(place / TRAINING_FILES[1], HARD_COLUMNS) as hard:
        for e in training.examples:
            pairs.add((e.split, e.query_language, e.document_language, e.key, e.document_id, e.query, e.document))
            for n in e.negatives:
                hard.add((e.key, e.query_language, e.document_id, n.id, n.text, n.label))
    with writing_table(place / TRAINING_FILES[2], ("query-id", "corpus-id")) as related:
        for row in sorted(set(training.related)):
            related.add(row)
    return dict(zip(TRAINING_FILES, (record_of(place / name) for name in TRAINING_FILES), strict=True))


def _leakage(task: Task, training: Training | None) -> dict[str, int | str] | None:
    """What each rule took out; the rules that report say what they report."""
    if training is None:
        return None
    found: dict[str, int | str] = {f"rule {n}": training.dropped.get(f"rule {n}", 0) for n in (1, 2, 3, 4, 5, 6, 7, 8)}
    found |= {key: value for key, value in training.dropped.items() if key not in found}
    return {**found, "rule 9": f"{RULES[9]}: {', '.join(task.contains) or 'nothing known'}"}


def write_table(path: Path, columns: Mapping[str, Sequence[Any]]) -> FileRecord:
    """Write columns as parquet: equal columns give equal bytes."""
    with writing_table(path, tuple(columns)) as table:
        for row in zip(*columns.values(), strict=True):
            table.add(row)
    return record_of(path)


class TableWriter:
    """Takes rows, and writes them a group at a time, so that no second copy of a table stands in memory."""

    def __init__(self, writer: Any, schema: Any) -> None:
        self.writer, self.schema, self.rows = writer, schema, list[tuple[Any, ...]]()

    def add(self, row: tuple[Any, ...]) -> None:
        """One row, in the order of the columns."""
        self.rows.append(row)
        if len(self.rows) == _GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        import pyarrow as pa

        if self.rows:
            columns = zip(*self.rows, strict=True)
            self.writer.write_table(pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(columns, self.schema, strict=True)], schema=self.schema))
            self.rows.clear()


@contextmanager
def writing_table(path: Path, columns: Sequence[str]) -> Iterator[TableWriter]:
    """A parquet table that becomes ``path`` when the block ends well. Columns are strings, but for those that are known to be numbers."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(name, pa.int32() if name in _NUMBERS else pa.string()) for name in columns])
    with replacing(path) as out, parquet.ParquetWriter(out, schema, compression="zstd", compression_level=9) as writer:
        table = TableWriter(writer, schema)
        yield table
        table.flush()


def record_of(path: Path) -> FileRecord:
    """What the manifest says of a written table."""
    from pyarrow import parquet

    return FileRecord(rows=parquet.read_metadata(path).num_rows, bytes=path.stat().st_size, sha256=hash_file(path, "sha256"))


def _write_graded(path: Path, graded: Iterable[Graded]) -> FileRecord:
    """One row group a pair: millions of labels, a few at a time."""
    import pyarrow as pa
    from pyarrow import parquet

    language = pa.dictionary(pa.int8(), pa.string())
    schema = pa.schema(
        [("query_lang", language), ("doc_lang", language), ("topic", pa.int32()), ("query", pa.int32()), ("document", pa.int32()), ("label", pa.int8())]
    )
    with replacing(path) as out, parquet.ParquetWriter(out, schema, compression="zstd", compression_level=9) as writer:
        for pair in graded:
            size = len(pair.columns["topic"])
            languages = {"query_lang": [pair.query_language] * size, "doc_lang": [pair.document_language] * size}
            writer.write_table(pa.table({**languages, **pair.columns}, schema=schema))
    return record_of(path)


def read_table(path: Path) -> dict[str, list[Any]]:
    """The columns of a parquet table."""
    from pyarrow import parquet

    table = parquet.read_table(path)
    return {name: table.column(name).to_pylist() for name in table.column_names}
