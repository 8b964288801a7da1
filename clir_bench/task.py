"""A task: the facts that define a collection and how it is scored. Read from ``tasks/*.toml``, every problem of a file at once."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from clir_bench import resources
from clir_bench.collection import Collection, Pair
from clir_bench.errors import TaskError
from clir_bench.measures import DEFAULT_MEASURES, parse_measure
from clir_bench.strict import problems_in
from clir_bench.task_records import Choice, Cost, Definition, Documents, Download, Expectation, Recipe, Reported, Rerank, Strings, Track

SOURCES = ("sample", "folder", "clirmatrix", "mmarco", "large_scale", "africlirmatrix", "neuclir", "mteb")
"""The builders in ``clir_bench/sources``; ``mteb`` collections come from mteb's own loaders."""
MAX_DEPTH = 254
"""A gold rank is one byte in a submission, and 255 says that it is deeper."""


class Task(Definition):
    """A task definition. ``pairs`` is ``all``, ``all-distinct``, ``from:LANGUAGE`` or a list of pairs such as ``en-es``."""

    format: Literal["clir-bench/task/1"] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9_.-]{0,63}|mteb:[A-Za-z0-9][A-Za-z0-9_.-]{0,63})$")]
    source: str
    query_languages: Strings = ()
    pairs: str | Strings
    pool: Literal["all", "gold"]
    tracks: Annotated[tuple[Track, ...], Field(strict=False, min_length=1)] = ("retrieval", "rerank", "oracle")
    rerank: Rerank = Rerank()
    documents: Annotated[tuple[Documents, ...], Field(strict=False, min_length=1)] = ("original", "english")
    depth: Annotated[int, Field(ge=1, le=MAX_DEPTH)] = 100
    measures: Annotated[Strings, Field(min_length=1)] = DEFAULT_MEASURES
    variants: dict[Annotated[str, Field(pattern=r"^[a-z0-9-]{1,30}$")], Recipe] = Field(default_factory=dict)
    cost: Cost | None = None
    expect: Expectation
    paper: Reported | None = None
    choices: Annotated[tuple[Choice, ...], Field(strict=False)] = ()

    @field_validator("source")
    @classmethod
    def _known_source(cls, source: str) -> str:
        if source not in SOURCES:
            raise ValueError(f"no builder {source!r}. There are {', '.join(SOURCES)}.")
        return source

    @field_validator("measures")
    @classmethod
    def _known_measures(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        wrong = []
        for i, name in enumerate(names):
            try:
                parse_measure(name)
            except ValueError as error:
                wrong.append(f"[{i}] {error}")
        if wrong:
            raise ValueError("; ".join(wrong))
        return names

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = []
        if deep := [name for name in self.measures if parse_measure(name).k > self.depth]:
            problems.append(f"measures: {', '.join(deep)} look deeper than depth = {self.depth}. Raise depth or drop them.")
        try:
            count = len(self.language_pairs())
        except ValueError as error:
            problems.append(f"pairs: {error}")
        else:
            if count != self.expect.pairs:
                rule = f'"{self.pairs}"' if isinstance(self.pairs, str) else "a list"
                problems.append(f"expect.pairs: {self.expect.pairs}, but {len(self.languages)} languages with pairs = {rule} give {count}")
        if repeated := sorted({f.name for f in self.files if sum(g.name == f.name for g in self.files) > 1}):
            problems.append(f"files: {', '.join(repeated)} named twice. Names must differ.")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def file(self, name: str) -> Download:
        """The file of that name. Raises TaskError."""
        found = next((f for f in self.files if f.name == name), None)
        if found is None:
            raise TaskError(f"task {self.name}: no file {name!r}. Its files are {', '.join(f.name for f in self.files)}.")
        return found

    def variant(self, name: str) -> Task:
        """The task ``NAME.VARIANT``: the same with what the variant's recipe states. Raises TaskError."""
        if name not in self.variants:
            raise TaskError(f"task {self.name}: no variant {name!r}. " + (f"There are {', '.join(self.variants)}." if self.variants else "It has none."))
        change = self.variants[name]
        recipe = self.recipe.model_copy(update={key: getattr(change, key) for key in change.model_fields_set})
        expect = self.expect.model_copy(update={"fingerprint": None})
        return self.model_copy(update={"name": f"{self.name}.{name}", "recipe": recipe, "expect": expect, "variants": {}})

    @property
    def recipe_hash(self) -> str:
        """What decides the built bytes, as 12 hexadecimal digits: the folder of the built collection."""
        facts = self.model_dump(mode="json", include={"name", "version", "source", "languages", "query_languages", "pairs", "recipe", "files"})
        facts["files"] = [{key: f[key] for key in ("name", "url", "bytes", "md5", "sha256")} for f in facts["files"]]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]

    def language_pairs(self) -> tuple[Pair, ...]:
        """The pairs the rule gives, sorted. Raises ValueError for a rule that does not fit the languages."""
        asked = self.query_languages or self.languages
        if isinstance(self.pairs, tuple):
            return tuple(sorted(parse_pair(text, asked, self.languages) for text in self.pairs))
        if self.pairs == "all":
            return tuple(sorted(Pair(q, d) for q in asked for d in self.languages))
        if self.pairs == "all-distinct":
            return tuple(sorted(Pair(q, d) for q in asked for d in self.languages if q != d))
        if self.pairs.startswith("from:"):
            query = self.pairs.removeprefix("from:")
            if query not in asked:
                raise ValueError(f"{self.pairs!r} starts from {query!r}, which is not among the query languages {', '.join(asked)}.")
            return tuple(sorted(Pair(query, d) for d in self.languages))
        raise ValueError(f"unknown rule {self.pairs!r}. Write 'all', 'all-distinct', 'from:en' or a list such as ['en-es'].")


def parse_pair(text: str, query_languages: tuple[str, ...], document_languages: tuple[str, ...]) -> Pair:
    """``en-zh-Hant`` to a Pair of known languages; the query language comes first. Raises ValueError."""
    found = [Pair(q, text[len(q) + 1 :]) for q in query_languages if text.startswith(f"{q}-") and text[len(q) + 1 :] in document_languages]
    if not found:
        known = [f"{q}-{d}" for q in query_languages for d in document_languages]
        near = difflib.get_close_matches(text, known, n=1)
        raise ValueError(
            f"no pair {text!r} (query language first)." + (f" Did you mean {near[0]!r}?" if near else f" Languages: {', '.join(document_languages)}.")
        )
    return found[0]


@lru_cache(maxsize=64)
def parse_task(text: str, where: str) -> Task:
    """A task from TOML. Raises TaskError with every problem; ``where`` names the file in it."""
    try:
        content: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TaskError.of(where, [f"not TOML: {error}"]) from None
    try:
        task = Task.model_validate(content)
    except ValidationError as error:
        raise TaskError.of(where, _sorted_lines(problems_in(error, Task))) from None
    return task


def load_task(name: str | Path) -> Task:
    """The task of that name in ``tasks/`` (``large_scale``, or a variant: ``large_scale.no-title``), or of that TOML file. Raises TaskError."""
    path = Path(name)
    if path.suffix != ".toml":
        path = resources.folder("tasks") / f"{name}.toml"
        base, _, variant = str(name).partition(".")
        if variant and not path.is_file() and base in task_names():
            return load_task(base).variant(variant)
        if not path.is_file():
            near = difflib.get_close_matches(str(name), task_names(), n=1)
            raise TaskError(
                f"no task {str(name)!r}."
                + (f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(task_names())}.")
                + " A folder of your own documents works too: --task path/to/folder"
            )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: cannot be read: {error}") from None
    task = parse_task(text, str(path))
    if task.name != path.stem:
        raise TaskError.of(str(path), [f"name: {task.name!r}, but the file is called {path.name!r}. Make them equal."])
    return task


def known_task(name: str) -> Task | None:
    """The task or variant of that name in ``tasks/``; None for any other."""
    base, _, variant = name.partition(".")
    if base not in task_names():
        return None
    task = load_task(base)
    return (task.variant(variant) if variant in task.variants else None) if variant else task


def task_names() -> list[str]:
    """The names of the tasks in ``tasks/``, sorted."""
    return sorted(path.stem for path in resources.folder("tasks").glob("*.toml"))


def disagreements(task: Task, collection: Collection) -> list[str]:
    """Where a built collection differs from what its task says; empty when they agree."""
    j, expect = collection.judgements, task.expect
    judged = [len({*j.query[j.pair == p].tolist()}) for p in range(len(j.pairs))]
    found: list[tuple[str, object, object]] = [
        ("languages", tuple(sorted(task.languages)), collection.languages),
        ("pairs", tuple(map(str, task.language_pairs())), tuple(map(str, collection.pairs))),
        ("expect.documents", expect.documents, len(collection.pool)),
        ("expect.queries", expect.queries, len(collection.queries)),
        ("expect.judgements", expect.judgements, len(j.grade)),
        ("expect.queries_per_pair", expect.queries_per_pair, (min(judged), max(judged))),
        ("expect.fingerprint", expect.fingerprint, collection.fingerprint),
    ]
    return [f"{key}: {stated}, but the collection has {actual}" for key, stated, actual in found if stated is not None and stated != actual]


def _sorted_lines(problems: list[str]) -> list[str]:
    """Split the joined messages of the whole-task checks into lines of their own and give list problems their index as key."""
    lines = [part for problem in problems for part in problem.removeprefix("file: ").split("\n")]
    split = []
    for line in lines:
        key, _, rest = line.partition(": ")
        if rest.startswith("["):
            split += [f"{key}{part.replace('] ', ']: ', 1)}" for part in re.split(r"; (?=\[\d+\] )", rest)]
        else:
            split.append(line)
    return split
