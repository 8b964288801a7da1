"""Opus-MT through transformers: a small Marian model per language (CC-BY-4.0 or Apache-2.0, by model), for 512 tokens at most."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from clir_bench.errors import ModelError
from clir_bench.parts.checkpoints import Checkpoint, cannot_load, fetch_checkpoint
from clir_bench.parts.translators import Settings, Translated, TranslatorFacts, require
from clir_bench.parts.translators.local import SENTENCES, LocalTranslator, facts_of, identity_of

MODEL = "Helsinki-NLP/opus-mt-{lang}-en"
GROUPS = {
    "nn": "gmq",  # North Germanic; neither Norwegian has a model of its own
    "no": "gmq",
    "pt": "roa",  # Romance
    "ro": "roa",
    "sw": "mul",  # many languages
    "zh-Hant": "zh",
}
"""What stands for ``{lang}`` where a language of ours has no model of its own. Models of several sources need no code of the source."""


class Opus:
    """A model per language, one at a time in memory. ``model`` may hold ``{lang}``; without it, one model serves all languages."""

    def __init__(self, model: str, revision: str | None, settings: Settings) -> None:
        if settings.by == "document":
            raise ModelError("opus: its models take 512 tokens, fewer than many documents have. Leave --by document out: it translates by sentences.")
        self.model, self._revision, self._settings, self.dtype = model, revision, settings, settings.dtype or "float32"
        self._checkpoints: dict[str, Checkpoint | None] = {}
        self._loaded: LocalTranslator | None = None

    def identity(self, language: str) -> dict[str, str | int]:
        """All that decides a translation beside the text; fetches the language's model, but does not load it."""
        checkpoint = self._checkpoint(language) or Checkpoint(Path(), self.model, "none", None, local=False)
        return identity_of("opus", checkpoint, SENTENCES, self.dtype, language)

    def facts(self) -> TranslatorFacts:
        """What a submission says of it; of a model per language, of those used so far."""
        if "{lang}" not in self.model and (one := self._checkpoint("")) is not None:
            return facts_of("opus", one, SENTENCES, self.dtype, self._loaded.engine.parameters if self._loaded else None)
        used = [checkpoint for checkpoint in self._checkpoints.values() if checkpoint is not None]
        models = tuple(sorted(f"{checkpoint.name}@{checkpoint.revision}" for checkpoint in used))
        lines = "".join(f"{model}\n" for model in models)
        revision = f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}" if models else "by language"
        licences = {checkpoint.licence for checkpoint in used}
        several = Checkpoint(Path(), self.model, revision, licences.pop() if len(licences) == 1 else None, local=False)
        return replace(facts_of("opus", several, SENTENCES, self.dtype, None), models=models)

    def translate(self, texts: Sequence[str], language: str) -> Iterator[Translated]:
        """Each text once, as soon as it is finished."""
        checkpoint = self._checkpoint(language)
        if checkpoint is None:
            yield from (Translated(row, None, f"unsupported language {language!r}") for row in range(len(texts)))
            return
        if self._loaded is None or self._loaded.checkpoint is not checkpoint:
            self._loaded = None  # frees its memory first
            self._loaded = _load_one(checkpoint, self._settings)
        yield from self._loaded.translate(texts, language)

    def _checkpoint(self, language: str) -> Checkpoint | None:
        """The language's model; None where the hub says that it has none. Without the hub that is not known, and an error."""
        name = self.model.replace("{lang}", GROUPS.get(language, language))
        if name not in self._checkpoints:
            try:
                self._checkpoints[name] = fetch_checkpoint(name, self._revision)
            except ModelError as error:
                if "{lang}" not in self.model or not _absent(error.__cause__):
                    raise
                self._checkpoints[name] = None
        return self._checkpoints[name]


def load(model: str, revision: str | None, settings: Settings) -> Opus:
    """Opus-MT, or a folder (``{lang}`` in its name for several)."""
    require("sentencepiece", "translate")
    return Opus(model or MODEL, revision, settings)


def _absent(error: BaseException | None) -> bool:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    return isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError)


def _load_one(checkpoint: Checkpoint, settings: Settings) -> LocalTranslator:
    from transformers import MarianTokenizer

    from clir_bench.parts.translators.generation import Generator

    try:
        tokenizer = MarianTokenizer.from_pretrained(checkpoint.folder)
    except Exception as error:
        raise ModelError(cannot_load(str(checkpoint.folder), None, error)) from error
    return LocalTranslator("opus", checkpoint, Generator(checkpoint, tokenizer, settings), SENTENCES, lambda language: language)
