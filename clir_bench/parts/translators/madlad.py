"""MADLAD-400 through transformers: T5, many languages in one model, the target as a token before the text (Apache-2.0)."""

from __future__ import annotations

from clir_bench.errors import ModelError
from clir_bench.parts.checkpoints import cannot_load, fetch_checkpoint
from clir_bench.parts.translators import Settings
from clir_bench.parts.translators.local import SENTENCES, Limits, LocalTranslator

MODEL, PREFIX = "google/madlad400-3b-mt", "<2en> "
DOCUMENT = Limits("document", None, 1200, 1200)


def load(model: str, revision: str | None, settings: Settings) -> LocalTranslator:
    """MADLAD-400, or a folder of its kind. It finds out the source language itself, so none is unsupported by its name."""
    from transformers import PreTrainedTokenizerFast

    from clir_bench.parts.translators.generation import Generator

    checkpoint = fetch_checkpoint(model or MODEL, revision)
    try:
        # Not T5Tokenizer: it numbers the unknown character 2, T5's own; here 2 is the end of the text.
        tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint.folder)
    except Exception as error:
        raise ModelError(cannot_load(str(checkpoint.folder), None, error)) from error
    if tokenizer.convert_tokens_to_ids(PREFIX.strip()) in (None, tokenizer.unk_token_id):
        raise ModelError(f"{checkpoint.folder}: its tokenizer has no {PREFIX.strip()!r}, so it is no MADLAD-400 that translates into English")
    engine = Generator(checkpoint, tokenizer, settings, prefix=PREFIX)
    return LocalTranslator("madlad", checkpoint, engine, DOCUMENT if settings.by == "document" else SENTENCES, lambda language: language)
