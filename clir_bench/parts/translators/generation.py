"""Sequence-to-sequence models through transformers: beam search with every setting stated, so that a checkpoint's own defaults decide nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, GenerationConfig

from clir_bench.errors import ModelError
from clir_bench.parts.checkpoints import Checkpoint, cannot_load
from clir_bench.parts.translators import By, Settings
from clir_bench.parts.translators.local import BEAM, Limits, check_tokenizer, judge
from clir_bench.parts.translators.pieces import Made


class Generator:
    """An engine. ``prefix`` stands before every source text; ``target`` is the token that every translation begins with, where the model needs one."""

    def __init__(self, checkpoint: Checkpoint, tokenizer: Any, settings: Settings, prefix: str = "", target: str | None = None) -> None:
        self.tokenizer, self.dtype, self._prefix = tokenizer, settings.dtype or "float32", prefix
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.device = torch.device(settings.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = self._load(checkpoint)
        self.parameters: int | None = sum(p.numel() for p in self.model.parameters())
        self.batch_tokens = settings.batch_tokens or (2048 if self.device.type == "cpu" else 16384)
        self._target = None if target is None else tokenizer.convert_tokens_to_ids(target)
        if target is not None and self._target in (None, tokenizer.unk_token_id):
            raise ModelError(f"{checkpoint.folder}: its tokenizer has no {target!r}, so it does not translate into English")
        check_tokenizer(checkpoint.folder, tokenizer)
        tokenizer.model_max_length = 10**9  # or long documents are warned of; they are cut here, and counted

    def count(self, pieces: Sequence[str], special: bool) -> list[int]:
        """Source tokens of each piece."""
        texts = [self._prefix + piece for piece in pieces] if special else list(pieces)
        return [len(ids) for ids in self.tokenizer(texts, add_special_tokens=special)["input_ids"]] if texts else []

    def supports(self, code: str) -> bool:
        """Whether the tokenizer knows the source's code, where it has codes: those that have a target token."""
        return self._target is None or self.tokenizer.convert_tokens_to_ids(code) not in (None, self.tokenizer.unk_token_id)

    @torch.inference_mode()
    def make(self, pieces: Sequence[str], code: str, limits: Limits) -> list[Made]:
        """Translate a batch. Raises RuntimeError when memory runs out."""
        if self._target is not None:
            self.tokenizer.src_lang = code
        whole = self.count(pieces, special=True)
        texts = [self._prefix + piece for piece in pieces]
        source = self.tokenizer(texts, truncation=True, max_length=limits.input, padding=True, return_tensors="pt").to(self.device)
        beams = GenerationConfig(**self._beams, max_new_tokens=limits.new, forced_bos_token_id=self._target)  # type: ignore[no-untyped-call]
        try:
            rows = self.model.generate(input_ids=source["input_ids"], attention_mask=source["attention_mask"], generation_config=beams).tolist()
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            raise
        return [self._made(row[1:], count > limits.input, limits.by) for row, count in zip(rows, whole, strict=True)]

    def _made(self, tokens: list[int], truncated: bool, by: By) -> Made:
        end = self._beams["eos_token_id"]
        ended = end in tokens
        tokens = tokens[: tokens.index(end)] if ended else tokens
        text = self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return judge(text.strip(), tokens, ended, truncated, by)

    def _load(self, checkpoint: Checkpoint) -> Any:
        try:
            model, found = AutoModelForSeq2SeqLM.from_pretrained(checkpoint.folder, dtype=getattr(torch, self.dtype), output_loading_info=True)
            check_weights(checkpoint, found)
            model = model.to(self.device).eval()
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(cannot_load(str(checkpoint.folder), None, error)) from error
        own = model.generation_config
        start = own.decoder_start_token_id if own.decoder_start_token_id is not None else model.config.decoder_start_token_id
        self._beams: dict[str, Any] = {
            "num_beams": BEAM,
            "length_penalty": 1.0,
            "early_stopping": False,
            "do_sample": False,
            "decoder_start_token_id": start,
            "bos_token_id": getattr(model.config, "bos_token_id", None),  # T5 has none
            "eos_token_id": model.config.eos_token_id,
            "pad_token_id": model.config.pad_token_id,
            "bad_words_ids": own.bad_words_ids,  # Marian's: its padding token is no word
            "renormalize_logits": own.renormalize_logits,  # Marian's, after that
        }
        model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]  # what generate fills gaps from: a forced end at the limit would hide that a text was cut off
        return model


def check_weights(checkpoint: Checkpoint, found: dict[str, Any]) -> None:
    """Raise ModelError for tensors that the class lacks, or that do not fit it: such a model would be half random."""
    wrong = [
        f"{len(found[key])} {key.removesuffix('_keys')} ({sorted(map(str, found[key]))[0]} ...)"
        for key in ("missing_keys", "mismatched_keys")
        if found.get(key)
    ]
    if wrong:
        raise ModelError(f"{checkpoint.folder}: its weights do not fit its configuration: {'; '.join(wrong)}. It is not the model that it says it is.")
