"""Nomic's mixture of experts: our module and batches against the upstream way, at the real sizes with random weights and a small vocabulary.

python benchmarks/nomic_moe.py [--texts 64] [--layers 12] [--rounds 1] [--threads 1]

Upstream computes one expert after the other (select its tokens, multiply, add to the result) on padded batches, padding tokens as well. Both
sides have the same weights and the same attention. Lengths are log-normal, as those of documents in many languages.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from _timing import interleave, machine, table
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.nn import functional
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging

from clir_bench.parts.encoder import SentenceEncoder
from clir_bench.parts.nomic_moe import NomicMoeConfig, NomicMoeModel

VOCABULARY = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--median", type=float, default=60, help="tokens of the median text")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    texts = make_texts(options.texts, options.median)
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), options.layers)
        ours = SentenceEncoder(folder, device="cpu", dtype="float32", query_prompt="", document_prompt="")
        plain = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": torch.float32})
        upstream = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": torch.float32})
    compute_one_by_one(upstream[0].auto_model)
    reference = upstream.encode(texts)
    cosine = float((ours.encode(texts, "document") * reference / np.linalg.norm(reference, axis=1, keepdims=True)).sum(1).min())
    print(f"{machine()}, {options.threads} threads; smallest cosine between the two: {cosine:.7f}")

    batch = plain.preprocess(texts[:32])
    share = batch["attention_mask"].float().mean().item()
    forward = {
        "upstream style": lambda: run_forward(upstream, batch),
        "ours": lambda: run_forward(plain, batch),
    }
    table(f"one forward of 32 texts in their order, {share:.0%} of the batch real tokens", interleave(forward, options.rounds, warm=False), "upstream style")
    whole = {
        "upstream style, batches of 32 as they come": lambda: [upstream.encode(texts[i : i + 32]) for i in range(0, len(texts), 32)],
        "upstream style, SentenceTransformer.encode": lambda: upstream.encode(texts),
        "our module, SentenceTransformer.encode": lambda: plain.encode(texts),
        "ours": lambda: ours.encode(texts, "document"),
    }
    table(f"{len(texts)} texts, {options.layers} layers", interleave(whole, options.rounds, warm=False), "upstream style, SentenceTransformer.encode")


def make_texts(count: int, median: float) -> list[str]:
    """Words of the vocabulary; lengths log-normal (p95 about four times the median), at most 510 words."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(np.log(median), 0.83, count).astype(int), 3, 510)
    return [" ".join(f"w{i}" for i in random.integers(4, VOCABULARY, length)) for length in lengths]


def write_model(folder: Path, layers: int) -> None:
    torch.manual_seed(0)
    NomicMoeModel(NomicMoeConfig(vocab_size=VOCABULARY, n_layer=layers, initializer_range=0.05)).save_pretrained(folder)
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, **{f"w{i}": i for i in range(4, VOCABULARY)}}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=512, **names).save_pretrained(folder)


def compute_one_by_one(model: NomicMoeModel) -> None:
    """Replace the expert layers' way of computing and the skipping of padding; weights stay."""
    for block in model.encoder.layers[1::2]:
        block.mlp.forward = lambda x, mixture=block.mlp: one_by_one(mixture, x)
    nomic_forward = model.forward

    def forward(input_ids: torch.Tensor, attention_mask: torch.Tensor, **kwargs: object) -> object:
        wide = (1 - attention_mask[:, None, None, :].float()) * torch.finfo(torch.float32).min  # upstream's mask; a 4-D one lets nothing be skipped
        return nomic_forward(input_ids, wide, **kwargs)

    model.forward = forward


def one_by_one(mixture: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    flat = x.reshape(-1, x.shape[-1])
    shares, chosen = mixture.router.layer(flat).softmax(-1, dtype=torch.float32).topk(mixture.top_k, -1)
    out = torch.zeros_like(flat)
    first, second = (weight.view(mixture.count, -1, flat.shape[1]) for weight in (mixture.experts.mlp.w1, mixture.experts.mlp.w2))
    picked = functional.one_hot(chosen, mixture.count).permute(2, 1, 0)
    for expert in range(mixture.count):
        rank, token = torch.where(picked[expert])
        made = functional.gelu(flat[token] @ first[expert].t()) @ second[expert]
        out.index_add_(0, token, made * shares[token, rank, None])
    return out.view(x.shape) + mixture.experts.bias


@torch.inference_mode()
def run_forward(model: SentenceTransformer, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return model[0].auto_model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state


if __name__ == "__main__":
    main()
