"""The English documents and queries that a system reads: the collection's own, or a translator's, kept in the cache text by text."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import TYPE_CHECKING

from clir_bench.assemble import Runtime
from clir_bench.collection import Collection
from clir_bench.errors import CollectionError, TaskError
from clir_bench.evaluate import Translation
from clir_bench.records import ModelReference, TranslateStage
from clir_bench.retrieval import Timing
from clir_bench.sources import open_english
from clir_bench.system import System
from clir_bench.task import Task
from clir_bench.translate import Which, translate_collection

if TYPE_CHECKING:
    from clir_bench.parts.translators import Translator, TranslatorFacts

_SHOWN = 10


def refuse_english(task: Task, system: System) -> None:
    """Raise TaskError where the task has no English documents and the system wants them."""
    if system.documents == "english" and "english" not in task.documents:
        raise TaskError(f"task {task.name} has documents = {', '.join(task.documents)}, so --documents english does not apply")


def open_translator(system: System, runtime: Runtime) -> Translator | None:
    """The system's translator, loaded; None where it has none. Raises ModelError, MissingExtra."""
    if system.translator is None:
        return None
    from clir_bench.parts.translators import load_translator

    return load_translator(
        system.translator,
        by=system.translate_by,
        device=runtime.device,
        threads=runtime.threads,
        batch_tokens=runtime.batch_tokens,
        dtype=system.translate_dtype,
        progress=runtime.progress,
    )


def english_texts(
    task: Task, collection: Collection, system: System, translator: Translator | None, runtime: Runtime, say: Callable[[str], None]
) -> tuple[Translation | None, Translation | None]:
    """What stands for the documents and for the queries; None where the originals do.

    Without a translator the documents are the collection's own English. Raises TaskError where it has none, CollectionError where a text cannot be
    translated: a pool with holes, or with originals among translations, would be another experiment.
    """
    refuse_english(task, system)
    documents = queries = None
    if system.documents == "english" and system.translator is None:
        own = TranslateStage(kind="translate", texts="documents", source=f"English texts of the collection {task.name}")
        documents = Translation(open_english(task), own)
    if translator is not None:
        if system.documents == "english":
            documents = _translated(task, collection, translator, system, runtime, "documents", say)
        if system.queries == "english":
            queries = _translated(task, collection, translator, system, runtime, "queries", say)
    return documents, queries


def _translated(
    task: Task, collection: Collection, translator: Translator, system: System, runtime: Runtime, which: Which, say: Callable[[str], None]
) -> Translation:
    texts, cpu = collection.pool if which == "documents" else collection.queries, process_time()
    made = translate_collection(collection, translator, runtime.cache / "translations" if runtime.cache else None, runtime.progress, which)
    cpu = process_time() - cpu
    failed = [f"{key}: {problem}" for key, problem in zip(texts.ids, made.problems, strict=True) if problem]
    if failed and system.untranslated == "refuse":
        kind, more = (system.translator or "").partition(":")[0], [f"and {len(failed) - _SHOWN} more"] if len(failed) > _SHOWN else []
        told = CollectionError.of(f"{task.name}: {len(failed)} of {len(texts)} {which} have no translation by {kind}", failed[:_SHOWN] + more)
        cure = f"clir-bench translate {task.name} lists them. Try again, name another --translator, or keep the originals: --untranslated original"
        raise CollectionError(f"{told}\nWhat was translated is kept. {cure}")
    counts = {key: sum(getattr(c, key) for c in made.counts.values()) for key in ("copied", "cached", "translated", "truncated", "cut", "failed")}
    say(f"{which} in English: " + ", ".join(f"{number:,} {key}" for key, number in counts.items() if number))
    english = {key: original if text is None else text for key, text, original in zip(texts.ids, made.english, texts.texts, strict=True)}
    timing = Timing(f"translate_{which}", counts["translated"], made.seconds, cpu) if counts["translated"] else None
    return Translation(english, _stage(translator.facts(), which, counts), timing)  # facts after use: some models are fetched by language


def _stage(facts: TranslatorFacts, which: Which, counts: dict[str, int]) -> TranslateStage:
    from clir_bench.parts.translators import SERVICES

    settings = [facts.kind, f"by {facts.by}", *([f"beam {facts.beam}"] if facts.beam else []), *([facts.dtype] if facts.dtype else [])]
    settings += [f"{facts.max_input_tokens} tokens in, {facts.max_new_tokens} out"] if facts.max_input_tokens else []
    settings += facts.models
    name = f"{facts.kind}/service" if facts.kind in SERVICES else System(model=facts.name).display_name
    return TranslateStage(
        kind="translate",
        texts=which,
        source=", ".join(settings),
        model=ModelReference(name=name, revision=facts.revision, parameters=facts.parameters, licence=facts.licence),
        truncated=counts["truncated"],
        cut=counts["cut"],
        untranslated=counts["failed"],
    )
