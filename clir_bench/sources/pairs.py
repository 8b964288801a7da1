"""Pairs to train on that belong to no task: words in context and sentence pairs. Defined in ``tasks/training/*.toml``, one reader a source.

What is kept never stands in an evaluated collection: every text is compared with all collections built in the cache (rules 6 and 8), and words keep
the split they were distributed in (rule 7).
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationError

from clir_bench import resources
from clir_bench.errors import CollectionError, TaskError
from clir_bench.files import replacing
from clir_bench.sources import store
from clir_bench.sources.download import Downloads, hash_file
from clir_bench.sources.leakage import RULES
from clir_bench.sources.sampling import fold, norm, order
from clir_bench.strict import problems_in
from clir_bench.task_records import Definition


class PairSet(Definition):
    """The definition of a set of pairs."""

    format: Literal["clir-bench/training/1"] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    source: Literal["tatoeba_challenge", "tatoeba_laser", "xl_wic", "am2ico", "senwich"]
    level: Literal["word", "phrase"]


class TextPair(NamedTuple):
    """Two texts. For words ``label`` says whether they mean the same, and start and end (characters) where the word stands; for phrases they translate each other."""

    split: Literal["train", "dev", "test"]
    language_a: str
    language_b: str
    text_a: str
    text_b: str
    label: bool = True
    word_a: str = ""
    start_a: int = 0
    end_a: int = 0
    word_b: str = ""
    start_b: int = 0
    end_b: int = 0


class Read(NamedTuple):
    """What a reader found, and what it has to say."""

    pairs: list[TextPair]
    notes: list[str]


Reader = Callable[[PairSet, Downloads], Read]


def pair_set_names() -> list[str]:
    """The names of the sets, sorted."""
    return sorted(path.stem for path in (resources.folder("tasks") / "training").glob("*.toml"))


def load_pair_set(name: str | Path) -> PairSet:
    """The set of that name, or of that TOML file. Raises TaskError with every problem."""
    path = Path(name)
    if path.suffix != ".toml":
        path = resources.folder("tasks") / "training" / f"{name}.toml"
        if not path.is_file():
            near = difflib.get_close_matches(str(name), pair_set_names(), n=1)
            raise TaskError(f"no training pairs {str(name)!r}." + (f" Did you mean {near[0]!r}?" if near else f" There are {', '.join(pair_set_names())}."))
    try:
        return PairSet.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise TaskError.of(str(path), problems_in(error, PairSet)) from None
    except (OSError, ValueError) as error:
        raise TaskError.of(str(path), [f"not TOML: {error}"]) from None


def place_of(pairs: PairSet, cache: Path) -> Path:
    """The folder of the built pairs."""
    facts = pairs.model_dump(mode="json", include={"name", "version", "languages", "files", "recipe"})
    return cache / "training" / pairs.name / hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def compared_with(pairs: PairSet, cache: Path) -> list[str] | None:
    """The collections that built pairs were compared with; None where they are not built, or their manifest is damaged."""
    try:
        found: list[str] = json.loads((place_of(pairs, cache) / store.MANIFEST).read_text(encoding="utf-8"))["leakage"]["compared_with"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found


def build_pairs(pairs: PairSet, downloads: Downloads, cache: Path) -> Path:
    """Read, clean and keep the pairs; their folder. Raises ClirBenchError."""
    from clir_bench.sources import pair_readers

    place = place_of(pairs, cache)
    read = pair_readers.READERS[pairs.source](pairs, downloads)
    dropped: Counter[str] = Counter()
    evaluated, against = evaluated_in(cache)
    kept = _clean(pairs, read.pairs, evaluated, dropped)
    if not kept:
        raise CollectionError(f"{pairs.name}: no pairs were found. " + " ".join(read.notes))
    columns: dict[str, Sequence[Any]] = {
        name: [int(v) if isinstance(v, bool) else v for v in values] for name, values in zip(TextPair._fields, zip(*sorted(kept), strict=True), strict=True)
    }
    place.mkdir(parents=True, exist_ok=True)
    record = store.write_table(place / "pairs.parquet", columns)
    manifest = {
        "schema": "clir-bench/pairs/1",
        "name": pairs.name,
        "version": pairs.version,
        "level": pairs.level,
        "licence": pairs.licence,
        "built": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "sources": [source._asdict() for source in downloads.records.values()],
        "counts": dict(Counter(f"{p.split}, {p.language_a}-{p.language_b}" for p in sorted(kept))),
        "leakage": {
            **{f"rule {n}": 0 for n in (6, 7, 8)},
            **dropped,
            "compared_with": against,
            "rule 9": f"{RULES[9]}: {', '.join(pairs.contains)}",
        },
        "notes": read.notes,
        "files": {"pairs.parquet": record.model_dump()},
    }
    with replacing(place / store.MANIFEST) as out:
        out.write(json.dumps(manifest, indent=1, ensure_ascii=False).encode() + b"\n")
    return place


def verify_pairs(pairs: PairSet, cache: Path) -> tuple[list[str], list[str]]:
    """(problems, what was checked) of built pairs: the table's hash, and that none of its texts is evaluated by a collection in the cache."""
    place = place_of(pairs, cache)
    if not (place / store.MANIFEST).is_file():
        return [f"{place}: no manifest: the pairs are not built"], []
    try:
        record, path = json.loads((place / store.MANIFEST).read_text(encoding="utf-8"))["files"]["pairs.parquet"], place / "pairs.parquet"
    except (ValueError, KeyError, TypeError) as error:
        return [f"{place / store.MANIFEST}: damaged ({error!r}): build it again with --rebuild"], []
    if not path.is_file() or hash_file(path, "sha256") != record["sha256"]:
        return [f"pairs.parquet: not what the manifest says (sha256 {record['sha256']})"], []
    evaluated, against = evaluated_in(cache)
    table = store.read_table(path)
    leaking = sum(fold(a) in evaluated or fold(b) in evaluated for a, b in zip(table["text_a"], table["text_b"], strict=True))
    checked = [f"pairs.parquet: {record['rows']:,} rows, sha256 {record['sha256'][:12]}", *(f"compared with {name}" for name in against)]
    return ([f"{leaking} pairs hold a text that is evaluated: build it again with --rebuild"] if leaking else []), checked


def evaluated_in(cache: Path) -> tuple[set[str], list[str]]:
    """The texts, folded, of every collection built in the cache, and which collections those are."""
    texts: set[str] = set()
    against = []
    for manifest in sorted((cache / "collections").glob(f"*/*/{store.MANIFEST}")):
        try:
            found = store.read_manifest(manifest.parent)
            collection = store.read_collection(manifest.parent, found) if found else None
        except CollectionError:
            against.append(f"not {manifest.parent}: it cannot be read")
            continue
        if found and collection:
            english = store.read_english(manifest.parent) or {}
            texts.update(map(fold, (*collection.pool.texts, *collection.queries.texts, *english.values())))
            against.append(f"{found.task} {found.fingerprint}")
    return texts, against


def _clean(pairs: PairSet, found: Iterable[TextPair], evaluated: set[str], dropped: Counter[str]) -> list[TextPair]:
    """Rules 6 and 8, then for phrases the cap a pair, in hash order. Rule 7: no row changes its split; how many share a word with training is counted."""
    rows = list(found)
    taught = {(p.language_a, p.word_a.casefold()) for p in rows if p.split == "train" and p.word_a}
    clean: list[TextPair] = []
    for row in rows:
        if row.split != "train" and row.word_a and (row.language_a, row.word_a.casefold()) in taught:
            dropped["kept as distributed, though training has the word"] += 1
        if fold(row.text_a) in evaluated or fold(row.text_b) in evaluated:
            dropped["rule 6" if pairs.level == "phrase" else "rule 8"] += 1
        else:
            clean.append(row)
    if pairs.level == "word":
        return clean
    return [row for split, cap in (("train", pairs.recipe.train_per_pair), ("dev", pairs.recipe.dev_per_pair)) for row in _first(pairs, clean, split, cap)]


def _first(pairs: PairSet, rows: Iterable[TextPair], split: str, cap: int) -> Iterator[TextPair]:
    by_pair: dict[str, dict[str, TextPair]] = {}
    for row in rows:
        if row.split == split:
            by_pair.setdefault(f"{row.language_a}-{row.language_b}", {})[f"{row.text_a}\t{row.text_b}"] = row
    for pair, mine in by_pair.items():
        yield from (mine[key] for key in order(mine, f"{pairs.name}:{split}:{pair}", pairs.recipe.seed)[:cap])


def spans(text: str, mark: str = "word") -> Mapping[str, Any]:
    """Text without its ``<word>`` marks, the word, and where it stands. Raises CollectionError for a text that has not exactly one."""
    before, opened, rest = text.partition(f"<{mark}>")
    marked, closed, after = rest.partition(f"</{mark}>")
    word = norm(marked)
    if not opened or not closed or f"<{mark}>" in after:
        raise CollectionError(f"a sentence has not exactly one <{mark}> mark: {text[:80]!r}")
    head, tail = norm(before), norm(after)
    head += " " if head and (before[-1:].isspace() or marked[:1].isspace()) else ""
    tail = (" " if tail and (after[:1].isspace() or marked[-1:].isspace()) else "") + tail
    start = len(head)
    return {"text": head + word + tail, "word": word, "start": start, "end": start + len(word)}
