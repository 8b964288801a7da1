"""Files of translations, as ``clir-bench translate`` writes them, and which of their documents are judged. All problems are reported at once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from clir_bench import languages as known_languages
from clir_bench.errors import CollectionError
from clir_bench.sources.sampling import order

COLUMNS = ("_id", "lang", "text", "english", "problem")
COPIED = ("en", "en-simple", "simple")
"""Languages that a translator copies: there is nothing to judge."""
SALT = "mt-eval"


class Translation(NamedTuple):
    """A document and what became of it. ``english`` None: the translation failed, and ``problem`` says how."""

    language: str
    text: str
    english: str | None
    problem: str | None


@dataclass(frozen=True)
class Table:
    """The translations of one system, by document id."""

    name: str
    file: str
    sha256: str
    rows: Mapping[str, Translation]


@dataclass(frozen=True)
class References:
    """English texts by document id, of a file or a task."""

    name: str
    file: str
    sha256: str
    english: Mapping[str, str]


class Sample(NamedTuple):
    """The documents of a language that are judged, in hash order, and how many there were to choose from."""

    language: str
    of: int
    ids: tuple[str, ...]


def read_tables(specs: Iterable[str]) -> list[Table]:
    """The systems of ``NAME=FILE.parquet`` (or ``FILE.parquet``, called after the file). Raises CollectionError with every problem of every file."""
    problems: list[str] = []
    tables: list[Table] = []
    for spec in specs:
        name, equals, file = ("", "", spec) if Path(spec).is_file() else spec.partition("=")
        name, file = (name or Path(file).stem, file) if equals else (Path(spec).stem, spec)
        if name in {table.name for table in tables}:
            problems.append(f"{spec}: a second system is called {name!r}. Write NAME={file}")
        elif (columns := _columns(Path(file), COLUMNS, (), problems)) is not None:
            tables.append(Table(name, Path(file).name, _sha256(Path(file)), _rows(Path(file), columns, problems)))
    problems += _disagreements(tables)
    if problems:
        raise CollectionError.of("translations", problems)
    return tables


def read_references(text: str) -> References:
    """The English texts of a parquet file (``_id`` with ``english`` or ``text``), or of a task that has them (mmarco). Raises CollectionError, TaskError."""
    path = Path(text)
    if path.suffix != ".parquet" and not path.is_file():
        from clir_bench.sources import open_english
        from clir_bench.task import load_task

        english = dict(open_english(load_task(text)))
        digest = hashlib.sha256("\0".join(f"{key}\0{english[key]}" for key in sorted(english)).encode()).hexdigest()
        return References(text, f"the English texts of task {text}", f"sha256:{digest}", english)
    problems: list[str] = []
    columns = _columns(path, ("_id",), ("english", "text"), problems)
    if problems or columns is None:
        raise CollectionError.of("references", problems)
    found = {key: value for key, value in zip(columns["_id"], columns.get("english") or columns["text"], strict=True) if value and value.strip()}
    return References(path.stem, path.name, _sha256(path), found)


def choose_samples(tables: Sequence[Table], languages: Sequence[str] | None, size: int, seed: int) -> tuple[list[Sample], list[str]]:
    """``size`` documents of each language that all systems have, by hash order, and what is to be said about the choice.

    Failed translations are chosen like others. ``languages`` None: all but those that are copied. Raises CollectionError where nothing is left.
    """
    common = set.intersection(*(set(table.rows) for table in tables))
    said = [f"{t.name}: {len(t.rows) - len(common):,} of {len(t.rows):,} documents left out, which another system does not have" for t in tables]
    said = [line for line, table in zip(said, tables, strict=True) if len(table.rows) > len(common)]
    if not common:
        raise CollectionError(f"{', '.join(t.name for t in tables)} have no document in common: translate the same collection")
    of: dict[str, list[str]] = {}
    for key in common:
        row = tables[0].rows[key]
        if row.text.strip():
            of.setdefault(row.language, []).append(key)
    if languages is None and (copied := sorted(set(of) & set(COPIED))):
        said.append(f"{', '.join(copied)} left out: copied, not translated; --languages names what is judged")
    chosen = sorted(set(languages)) if languages is not None else sorted(set(of) - set(COPIED))
    if missing := [language for language in chosen if language not in of]:
        raise CollectionError(f"--languages: no documents in {', '.join(missing)}; there are {', '.join(sorted(of))}")
    if not chosen:
        raise CollectionError("no documents in another language than English: there is nothing to judge")
    samples = [Sample(language, len(of[language]), tuple(order(of[language], f"{SALT}:{language}", seed)[:size])) for language in chosen]
    if short := [f"{s.language} {s.of}" for s in samples if s.of < size]:
        said.append(f"fewer than {size} documents: {', '.join(short)}")
    return samples, said


def _columns(path: Path, wanted: Sequence[str], either: Sequence[str], problems: list[str]) -> dict[str, list[Any]] | None:
    """The wanted columns of a parquet file, and the first of ``either`` that it has; None, and the problems noted, where they are not texts by id."""
    import pyarrow as pa
    from pyarrow import parquet

    if not path.is_file():
        problems.append(f"{path}: no such file")
        return None
    try:
        schema = parquet.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        problems.append(f"{path}: cannot be read as parquet ({error})")
        return None
    first = next((name for name in either if name in schema.names), None)
    names = [*wanted, *([first] if first else [])]
    absent = [", ".join(repr(name) for name in wanted if name not in schema.names), "" if first or not either else " or ".join(map(repr, either))]
    if missing := ", ".join(filter(None, absent)):
        problems.append(f"{path}: no column {missing}, only {', '.join(schema.names)}. clir-bench translate writes such a file.")
        return None
    wrong = [f"{path}: {schema.names.count(name)} columns are called {name!r}" for name in names if schema.names.count(name) > 1]
    wrong += [f"{path}: column {field.name!r} holds {field.type}, not texts" for field in schema if field.name in names and not _holds_texts(field)]
    if wrong:
        problems += wrong
        return None
    try:
        columns = {name: column.to_pylist() for name, column in zip(names, parquet.read_table(path, columns=names).select(names).columns, strict=True)}
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        problems.append(f"{path}: cannot be read as parquet ({error})")
        return None
    if not columns["_id"]:
        problems.append(f"{path}: empty")
        return None
    rows = [(name, sum(value is None for value in columns[name])) for name in ("_id", "lang", "text") if name in wanted]
    wrong = [f"{path}: {count} rows without {name!r}" for name, count in rows if count]
    if repeated := [key for key, count in Counter(columns["_id"]).items() if count > 1]:
        wrong.append(f"{path}: {len(repeated)} ids stand more than once (first {repeated[0]!r})")
    problems += wrong
    return None if wrong else columns


def _holds_texts(field: Any) -> bool:
    """Whether a column is of strings, or of nothing at all."""
    from pyarrow import types

    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    empty = types.is_null(kind) and field.name in ("english", "problem")
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or empty)


def _rows(path: Path, columns: Mapping[str, Sequence[Any]], problems: list[str]) -> dict[str, Translation]:
    rows: dict[str, Translation] = {}
    for key, language, text, english, problem in zip(*(columns[name] for name in COLUMNS), strict=True):
        empty = english is None or not english.strip()
        rows[key] = Translation(language, text, None if empty else english, (problem or "no translation") if empty else None)
    problems += [f"{path}: {wrong}" for language in sorted({row.language for row in rows.values()}) if (wrong := known_languages.problem_with(language))]
    return rows


def _disagreements(tables: Sequence[Table]) -> list[str]:
    """Ids under which two systems have different documents."""
    problems = []
    for table in tables[1:]:
        first = tables[0].rows
        differing = [key for key, row in table.rows.items() if key in first and first[key][:2] != row[:2]]
        if differing:
            problems.append(
                f"{table.name}: {len(differing)} documents have another text or language than under the same id in {tables[0].name} (first {differing[0]!r})."
                " Compare translations of one collection."
            )
    return problems


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
