"""NLLB-200 through CTranslate2: the same model, several times as fast, by packs of sentences (it has 1,024 positions and fails beyond them)."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clir_bench import resources
from clir_bench.errors import ModelError
from clir_bench.parts.checkpoints import Checkpoint, cannot_load, fetch_checkpoint
from clir_bench.parts.translators import By, Settings, require
from clir_bench.parts.translators.local import BEAM, SENTENCES, Limits, LocalTranslator, check_tokenizer, judge
from clir_bench.parts.translators.nllb import ENGLISH, MODEL, load_tokenizer, source_of, text_source
from clir_bench.parts.translators.pieces import Made

_ORIGIN = "clir_bench.json"
_TYPES = ("auto", "int8", "int8_float32", "int8_float16", "int8_bfloat16", "float16", "bfloat16", "float32")


def load(model: str, revision: str | None, settings: Settings) -> LocalTranslator:
    """NLLB in CTranslate2: a converted folder, or a checkpoint, which is converted once into the cache."""
    ctranslate2 = require("ctranslate2", "translate")
    if settings.by == "document":
        raise ModelError("nllb-ct2: CTranslate2 has 1,024 positions, fewer than some documents have. Leave --by document out, or take --translator nllb.")
    if settings.dtype and settings.dtype not in _TYPES:
        raise ModelError(f"nllb-ct2: no type {settings.dtype!r}; there are {', '.join(_TYPES)}")
    checkpoint = fetch_checkpoint(model or MODEL, revision)
    converted = checkpoint.folder if (checkpoint.folder / "model.bin").is_file() else convert(checkpoint)
    return LocalTranslator("nllb-ct2", checkpoint, CTranslate2(ctranslate2, checkpoint, converted, settings), SENTENCES, source_of, text_source)


class CTranslate2:
    """An engine. ``dtype`` is the type that is really used, which for ``auto`` depends on the machine."""

    def __init__(self, ctranslate2: Any, checkpoint: Checkpoint, folder: Path, settings: Settings) -> None:
        device, _, index = (settings.device or "auto").partition(":")
        try:
            self.model = ctranslate2.Translator(
                str(folder), device=device, device_index=int(index or 0), compute_type=settings.dtype or "auto", intra_threads=settings.threads or 0
            )
        except (RuntimeError, ValueError) as error:
            raise ModelError(cannot_load(str(folder), None, error)) from error
        self.tokenizer = load_tokenizer(Checkpoint(folder, checkpoint.name, checkpoint.revision, checkpoint.licence, checkpoint.local))
        check_tokenizer(folder, self.tokenizer)
        self.tokenizer.model_max_length = 10**9
        self.dtype: str = self.model.compute_type
        origin = folder / _ORIGIN
        self.parameters: int | None = json.loads(origin.read_text(encoding="utf-8"))["parameters"] if origin.is_file() else None
        self.batch_tokens = settings.batch_tokens or (4096 if self.model.device == "cpu" else 16384)

    def count(self, pieces: Sequence[str], special: bool) -> list[int]:
        """Source tokens of each piece."""
        return [len(ids) for ids in self.tokenizer(list(pieces), add_special_tokens=special)["input_ids"]] if pieces else []

    def supports(self, code: str) -> bool:
        """Whether the vocabulary has the source's code."""
        return self.tokenizer.convert_tokens_to_ids(code) not in (None, self.tokenizer.unk_token_id)

    def make(self, pieces: Sequence[str], code: str, limits: Limits) -> list[Made]:
        """Translate a batch. Raises RuntimeError when memory runs out."""
        self.tokenizer.src_lang = code
        ids = self.tokenizer(list(pieces))["input_ids"]
        source = [self.tokenizer.convert_ids_to_tokens(row if len(row) <= limits.input else [*row[: limits.input - 1], row[-1]]) for row in ids]
        results = self.model.translate_batch(
            source,
            target_prefix=[[ENGLISH]] * len(source),
            max_batch_size=self.batch_tokens,
            batch_type="tokens",
            beam_size=BEAM,
            patience=1,
            length_penalty=1,
            max_input_length=0,  # the library's own are 1,024, and 256 new tokens
            max_decoding_length=limits.new,
            return_end_token=True,
        )
        return [self._made(result.hypotheses[0], len(row) > limits.input, limits.by) for result, row in zip(results, ids, strict=True)]

    def _made(self, tokens: list[str], truncated: bool, by: By) -> Made:
        ended = tokens[-1:] == [self.tokenizer.eos_token]
        ids = self.tokenizer.convert_tokens_to_ids(tokens[:-1] if ended else tokens)
        text = self.tokenizer.decode(ids[1:], skip_special_tokens=True, clean_up_tokenization_spaces=False)  # the first is the language
        return judge(text.strip(), ids, ended, truncated, by)


def convert(checkpoint: Checkpoint) -> Path:
    """The checkpoint in CTranslate2's form, in the cache: made beside and renamed, by one process at a time. Raises ModelError."""
    from filelock import FileLock

    shelf = resources.cache_dir() / "ct2"
    key = hashlib.sha256(json.dumps([checkpoint.key_name, checkpoint.revision, version("ctranslate2")]).encode()).hexdigest()[:24]
    folder = shelf / key
    shelf.mkdir(parents=True, exist_ok=True)
    with FileLock(shelf / f"{key}.lock"):
        if (folder / _ORIGIN).is_file():
            return folder
        for left in shelf.glob(f".part-{key}-*"):  # of a killed run: the lock is ours
            shutil.rmtree(left, ignore_errors=True)
        part = shelf / f".part-{key}-{secrets.token_hex(4)}"
        try:
            parameters = _write(checkpoint, part)
            origin = {"model": checkpoint.key_name, "revision": checkpoint.revision, "licence": checkpoint.licence, "parameters": parameters}
            (part / _ORIGIN).write_text(json.dumps(origin), encoding="utf-8")
            os.replace(part, folder)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"{checkpoint.folder}: cannot be converted for CTranslate2 ({type(error).__name__}: {str(error)[:300]})") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def _write(checkpoint: Checkpoint, folder: Path) -> int:
    """Convert, unquantised (the type is chosen when it is loaded), with the tokenizer; the number of parameters."""
    converters = require("ctranslate2.converters", "translate")
    from clir_bench.parts.translators.generation import check_weights

    counted: list[int] = []

    class Converter(converters.TransformersConverter):  # type: ignore[misc, name-defined]
        def load_model(self, model_class: Any, path: str, **kwargs: Any) -> Any:
            model, found = model_class.from_pretrained(path, output_loading_info=True, **kwargs)
            check_weights(checkpoint, found)
            counted.append(sum(p.numel() for p in model.parameters()))
            return model

        def load_tokenizer(self, tokenizer_class: Any, path: str, **kwargs: Any) -> Any:
            return load_tokenizer(checkpoint)

    Converter(str(checkpoint.folder)).convert(str(folder))
    load_tokenizer(checkpoint).save_pretrained(str(folder))
    return counted[0]
