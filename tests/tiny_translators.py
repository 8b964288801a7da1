"""Tiny translation models, saved to disk in the layout that the hub has for each family: real tokenizers, and weights trained on these few sentences.

Trained, because a random model's beams are as good as tied: what is compared here would depend on the last bit of a sum.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

SENTENCES: dict[str, list[tuple[str, str]]] = {
    "de": [("Der Nil ist ein Strom in Afrika.", "The Nile is a river in Africa."), ("Er mündet in das Meer!", "It flows into the sea!")],
    "ru": [("Чай пьют во всём мире.", "Tea is drunk all over the world."), ("Его родина — Китай.", "Its home is China.")],
    "zh": [("这条河很长。", "This river is long."), ("它流入大海！", "It flows into the sea!")],
    "zh-Hant": [("這條河很長。", "This stream is long."), ("它流進大海！", "It runs into the sea!")],
    "nn": [("Kaffi er ein drikk.", "Coffee is a drink."), ("Mange drikk kaffi.", "Many drink coffee.")],
}
CODES = {"de": "deu_Latn", "ru": "rus_Cyrl", "zh": "zho_Hans", "zh-Hant": "zho_Hant", "nn": "nno_Latn"}
DOCUMENTS = {code: (" ".join(s for s, _ in pairs), " ".join(e for _, e in pairs)) for code, pairs in SENTENCES.items()}


def write_nllb(folder: Path, seed: int = 0, steps: int = 90) -> Path:
    """An M2M100ForConditionalGeneration of 2 + 2 layers with NLLB's tokenizer, its 202 language codes and its stock limit of 200 tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trained.train_from_iterator(_words(), trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False))
    state = json.loads(trained.to_str())["model"]
    tokenizer = NllbTokenizer(vocab=state["vocab"], merges=[tuple(pair) for pair in state["merges"]], model_max_length=1024)
    torch.manual_seed(seed)
    config = M2M100Config(
        vocab_size=len(tokenizer) + 2, d_model=48, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=96, decoder_ffn_dim=96, max_position_embeddings=1024, scale_embedding=True, decoder_start_token_id=2,
        bos_token_id=0, pad_token_id=1, eos_token_id=2, dropout=0.0, attention_dropout=0.0, encoder_layerdrop=0.0, decoder_layerdrop=0.0,
    )  # fmt: skip
    model = M2M100ForConditionalGeneration(config)
    model.generation_config.max_length = 200
    sources, targets = [], []
    tokenizer.tgt_lang = "eng_Latn"
    for code, pairs in SENTENCES.items():
        tokenizer.src_lang = CODES[code]
        for source, english in [*pairs, *([DOCUMENTS[code]] if code in ("de", "zh") else [])]:
            sources.append(tokenizer(source)["input_ids"])
            targets.append(tokenizer(text_target=english)["input_ids"])
    _train(model, sources, targets, 1, steps)
    return _save(folder, model, tokenizer, "cc-by-nc-4.0")


def write_madlad(folder: Path, steps: int = 70) -> Path:
    """A T5ForConditionalGeneration in MADLAD's form: gated GELU, untied output, the target language as a token ``<2en>``."""
    import sentencepiece
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    spm = _sentencepiece(folder / "spiece", pad_id=1, eos_id=2, bos_id=-1, unk_id=0, user_defined_symbols="<2en>,<2de>")
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(spm))
    unigram = Tokenizer(models.Unigram([(pieces.id_to_piece(i), pieces.get_score(i)) for i in range(len(pieces))], unk_id=0))
    unigram.pre_tokenizer, unigram.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    unigram.post_processor = processors.TemplateProcessing(single=["$A", "</s>"], special_tokens=[("</s>", 2)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=unigram, unk_token="<unk>", pad_token="<pad>", eos_token="</s>")
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer) + 3, d_model=48, d_kv=12, d_ff=96, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu", tie_word_embeddings=False,
        decoder_start_token_id=0, pad_token_id=1, eos_token_id=2, dropout_rate=0.0,
    )  # fmt: skip
    model = T5ForConditionalGeneration(config)
    pairs = SENTENCES["de"]
    _train(model, [tokenizer(f"<2en> {s}")["input_ids"] for s, _ in pairs], [tokenizer(e)["input_ids"] for _, e in pairs], 1, steps)
    place = _save(folder, model, tokenizer, "apache-2.0")
    config_file = place / "tokenizer_config.json"
    config_file.write_text(json.dumps({**json.loads(config_file.read_text()), "tokenizer_class": "T5Tokenizer"}), encoding="utf-8")  # as on the hub
    return place


def write_opus(folder: Path, steps: int = 60) -> Path:
    """A MarianMTModel with two SentencePiece models and a vocabulary; its generation settings are the hub's (four beams, a forced end at 512)."""
    import sentencepiece
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    spm = _sentencepiece(folder / "both", pad_id=-1, eos_id=0, bos_id=-1, unk_id=1)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(spm))
    vocab = {pieces.id_to_piece(i): i for i in range(len(pieces))} | {"<pad>": len(pieces)}
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    tokenizer = MarianTokenizer(source_spm=str(spm), target_spm=str(spm), vocab=str(folder / "vocab.json"), source_lang="de", target_lang="en")
    torch.manual_seed(0)
    pad = vocab["<pad>"]
    config = MarianConfig(
        vocab_size=len(vocab), d_model=48, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=96,
        decoder_ffn_dim=96, max_position_embeddings=512, eos_token_id=0, pad_token_id=pad, decoder_start_token_id=pad, forced_eos_token_id=0,
        scale_embedding=True, static_position_embeddings=True, dropout=0.0, attention_dropout=0.0,
    )  # fmt: skip
    model = MarianMTModel(config)
    model.generation_config.update(num_beams=4, max_length=512, bad_words_ids=[[pad]], forced_eos_token_id=0, renormalize_logits=True)
    pairs = SENTENCES["de"]
    _train(model, [tokenizer(s)["input_ids"] for s, _ in pairs], [tokenizer(text_target=e)["input_ids"] for _, e in pairs], pad, steps)
    return _save(folder, model, tokenizer, "cc-by-4.0")


def _words() -> Iterable[str]:
    return [text for pairs in SENTENCES.values() for pair in pairs for text in pair]


def _train(model: Any, sources: list[list[int]], targets: list[list[int]], pad: int, steps: int) -> None:
    source, target = _padded(sources, pad), _padded(targets, -100)
    mask = _padded([[1] * len(row) for row in sources], 0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 8e-3, total_steps=steps)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model.train()
    for _ in range(steps):
        loss = model(input_ids=source, attention_mask=mask, labels=target).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    torch.set_num_threads(threads)
    model.eval()


def _padded(rows: list[list[int]], value: int) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)


def _sentencepiece(prefix: Path, **ids: Any) -> Path:
    import sentencepiece

    prefix.parent.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*_words()] * 3), model_prefix=str(prefix), vocab_size=250, character_coverage=1.0, hard_vocab_limit=False, minloglevel=2, **ids
    )
    return prefix.with_suffix(".model")


def _save(folder: Path, model: Any, tokenizer: Any, licence: str) -> Path:
    place = folder / "model"
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    (place / "README.md").write_text(f"---\nlicense: {licence}\n---\ntiny\n", encoding="utf-8")
    return place
