"""The English documents and queries that a system reads: the collection's own, or a translator's, kept in the cache text by text."""

from __future__ import annotations

from collections.abc import Callable

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

_SHOWN = 10


def english_texts(
    task: Task, collection: Collection, system: System, runtime: Runtime, say: Callable[[str], None]
) -> tuple[Translation | None, Translation | None]:
    """What stands for the documents and for the queries; None where the originals do.

    Without a translator the documents are the collection's own English. Raises TaskError where it has none, CollectionError where a text cannot be
    translated: a pool with holes, or with originals among translations, would be another experiment.
    """
    if system.documents == "english" and "english" not in task.documents:
        raise TaskError(f"task {task.name} has documents = {', '.join(task.documents)}, so --documents english does not apply")
    documents = queries = None
    if system.documents == "english" and system.translator is None:
        own = TranslateStage(kind="translate", texts="documents", source=f"English texts of the collection {task.name}")
        documents = Translation(open_english(task), own)
    if system.translator is not None:
        from clir_bench.parts.translators import load_translator

        translator = load_translator(
            system.translator,
            by=system.translate_by,
            device=runtime.device,
            threads=runtime.threads,
            batch_tokens=runtime.batch_tokens,
            progress=runtime.progress,
        )
        facts = translator.facts()
        settings = [facts.kind, f"by {facts.by}", *([f"beam {facts.beam}"] if facts.beam else []), *([facts.dtype] if facts.dtype else [])]
        settings += [f"{facts.max_input_tokens} tokens in, {facts.max_new_tokens} out"] if facts.max_input_tokens else []
        model = ModelReference(name=System(model=facts.name).display_name, revision=facts.revision, parameters=facts.parameters, licence=facts.licence)

        def translated(which: Which) -> Translation:
            texts = collection.pool if which == "documents" else collection.queries
            made = translate_collection(collection, translator, runtime.cache / "translations" if runtime.cache else None, runtime.progress, which)
            failed = [f"{key}: {problem}" for key, problem in zip(texts.ids, made.problems, strict=True) if problem]
            if failed:
                more = [f"and {len(failed) - _SHOWN} more"] if len(failed) > _SHOWN else []
                told = CollectionError.of(
                    f"{task.name}: {len(failed)} of {len(texts)} {which} have no translation by {system.translator}", failed[:_SHOWN] + more
                )
                raise CollectionError(
                    f"{told}\nWhat was translated is kept. clir-bench translate {task.name} lists them; try again, or name another --translator."
                )
            counts = {key: sum(getattr(c, key) for c in made.counts.values()) for key in ("copied", "cached", "translated", "truncated")}
            say(f"{which} in English: " + ", ".join(f"{number:,} {key}" for key, number in counts.items() if number))
            stage = TranslateStage(kind="translate", texts=which, source=", ".join(settings), model=model)
            english = {key: text for key, text in zip(texts.ids, made.english, strict=True) if text is not None}
            return Translation(english, stage, Timing(f"translate_{which}", counts["translated"], made.seconds, made.seconds) if counts["translated"] else None)

        documents = translated("documents") if system.documents == "english" else None
        queries = translated("queries") if system.queries == "english" else None
    return documents, queries
