"""Translation with five beams through CTranslate2, against transformers, with the same random weights and the same number of tokens made.

A model of NLLB's architecture with 512 components, 6 + 6 layers and 32,000 tokens; texts of 20 to 80 tokens, 32 made of each (the end's embedding is
zero, so that it is never chosen). What is timed is ``translate`` with its batches, tokenizer included.

    python benchmarks/translation.py --threads 1 --texts 8
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _timing import interleave, machine, table

NEW, SOURCE = 32, "zh"


def write_model(folder: Path) -> list[str]:
    """Save the model; its words, each a character and a token."""
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    words = [chr(c) for c in (*range(0x4E00, 0x9FA6), *range(0xAC00, 0xD7A4))][:31_790]
    vocab = {token: i for i, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", "▁", *words])}
    tokenizer = NllbTokenizer(vocab=vocab, merges=[])
    torch.manual_seed(0)
    config = M2M100Config(
        vocab_size=len(tokenizer), d_model=512, encoder_layers=6, decoder_layers=6, encoder_attention_heads=8, decoder_attention_heads=8,
        encoder_ffn_dim=2048, decoder_ffn_dim=2048, max_position_embeddings=1024, decoder_start_token_id=2, bos_token_id=0, pad_token_id=1, eos_token_id=2,
    )  # fmt: skip
    model = M2M100ForConditionalGeneration(config).eval()
    with torch.no_grad():
        model.model.shared.weight[2] = 0.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--texts", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=1)
    o = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["CLIR_BENCH_CACHE"] = f"{place}/cache"
        from clir_bench.parts.linear import fast_bfloat16
        from clir_bench.parts.translators import load_translator
        from clir_bench.parts.translators.local import LocalTranslator

        folder = Path(place) / "model"
        words = write_model(folder)
        draw = np.random.default_rng(0)
        texts = ["".join(draw.choice(words, int(n))) for n in draw.integers(20, 81, o.texts)]
        made: dict[str, set[str]] = {}

        def translate(name: str, translator: LocalTranslator) -> None:
            made[name] = {str(done.problem).split(",")[0] for done in translator.translate(texts, SOURCE)}

        methods: dict[str, Callable[[], object]] = {}
        for name, spec, dtype in (
            ("transformers, float32", "nllb", "float32"),
            ("transformers, bfloat16", "nllb", "bfloat16"),
            ("CTranslate2, float32", "nllb-ct2", "float32"),
            ("CTranslate2, int8", "nllb-ct2", "int8"),
        ):
            if dtype == "bfloat16" and not fast_bfloat16():
                continue  # without units of its own it takes many times as long
            translator = load_translator(f"{spec}:{folder}", by="sentences", dtype=dtype, threads=o.threads)
            assert isinstance(translator, LocalTranslator)
            translator.limits = replace(translator.limits, new=NEW)
            methods[name] = partial(translate, name, translator)
        print(machine())
        times = interleave(methods, o.rounds)
        assert all(found == {f"cut off at {NEW} tokens"} for found in made.values()), made
        table(f"{o.texts} texts, {NEW} tokens each, five beams, {o.threads} threads", times, "transformers, float32")


if __name__ == "__main__":
    main()
