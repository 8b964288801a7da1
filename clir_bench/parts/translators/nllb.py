"""NLLB-200 through transformers. Whole documents are the paper's protocol: input cut at 1,200 tokens, up to 1,200 new ones, five beams.

The model was trained on sentences, and skips some of long documents; ``--by sentences`` translates all of them.
"""

from __future__ import annotations

from clir_bench.errors import ModelError
from clir_bench.languages import TABLE
from clir_bench.parts.checkpoints import Checkpoint, cannot_load, fetch_checkpoint
from clir_bench.parts.translators import Settings
from clir_bench.parts.translators.chinese import is_traditional
from clir_bench.parts.translators.local import SENTENCES, Limits, LocalTranslator

MODEL, ENGLISH = "facebook/nllb-200-distilled-1.3B", "eng_Latn"
DOCUMENT = Limits("document", None, 1200, 1200)
_SCRIPTS = {"zh-Hant": "zho_Hant", "zh-Hans": "zho_Hans"}
_BY_CHARACTERS = "zho_Hans/zho_Hant by characters"


def load(model: str, revision: str | None, settings: Settings) -> LocalTranslator:
    """NLLB, or a folder of its kind."""
    from clir_bench.parts.translators.generation import Generator

    checkpoint = fetch_checkpoint(model or MODEL, revision)
    engine = Generator(checkpoint, load_tokenizer(checkpoint), settings, target=ENGLISH)
    limits = SENTENCES if settings.by == "sentences" else DOCUMENT
    return LocalTranslator("nllb", checkpoint, engine, limits, source_of, text_source)


def source_of(language: str) -> str | None:
    """The FLORES code of a language for an identity; None where NLLB has none. ``zh`` is decided text by text."""
    return _BY_CHARACTERS if language == "zh" else _code(language)


def text_source(text: str, language: str) -> str | None:
    """The FLORES code for one text."""
    if language == "zh":
        return "zho_Hant" if is_traditional(text) else "zho_Hans"
    return _code(language)


def load_tokenizer(checkpoint: Checkpoint):  # type: ignore[no-untyped-def]
    """NLLB's tokenizer, which puts the source's code before a text (``src_lang``). Raises ModelError."""
    from transformers import NllbTokenizer

    try:
        return NllbTokenizer.from_pretrained(checkpoint.folder)
    except Exception as error:
        raise ModelError(cannot_load(str(checkpoint.folder), None, error)) from error


def _code(language: str) -> str | None:
    return _SCRIPTS.get(language) or (TABLE[language].nllb if language in TABLE else None)
