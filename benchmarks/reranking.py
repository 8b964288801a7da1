"""Re-ranking: all pairs as one list in token-budget batches, against CrossEncoder.rank query by query, in float32 and bfloat16.

python benchmarks/reranking.py [--task FOLDER] [--queries 20] [--candidates 100] [--rounds 1]   queries and documents of a task or folder (default: sample)

The model has the shape of mmarco-mMiniLMv2-L12-H384 (12 layers of 384) with random weights; its tokenizer is learnt from the task's own texts.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from _timing import interleave, machine, table
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification, XLMRobertaTokenizerFast

from clir_bench.parts.cross_encoder import CrossEncoderScorer
from clir_bench.parts.linear import fast_bfloat16
from clir_bench.sources import open_task

BASE = "CrossEncoder.rank, a query at a time"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="sample")
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    collection = open_task(options.task)[1]
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(collection.queries.texts))[: options.queries]
    queries = [collection.queries.texts[i] for i in chosen]
    pool = collection.pool.texts
    candidates = [[pool[i] for i in rng.permutation(len(pool))[: options.candidates]] for _ in queries]
    pairs = [(query, document) for query, documents in zip(queries, candidates, strict=True) for document in documents]
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), [*collection.queries.texts, *pool])
        theirs = CrossEncoder(folder, device="cpu", max_length=512, activation_fn=torch.nn.Identity(), model_kwargs={"dtype": torch.float32})
        ours = CrossEncoderScorer(folder, device="cpu")
        half = CrossEncoderScorer(folder, device="cpu", dtype="bfloat16")
        scores: dict[str, np.ndarray] = {}

        def rank() -> None:
            found = [theirs.rank(query, documents, batch_size=32) for query, documents in zip(queries, candidates, strict=True)]
            scores["theirs"] = np.array([row["score"] for ranking in found for row in sorted(ranking, key=lambda row: int(row["corpus_id"]))], np.float32)

        methods = {BASE: rank, "ours, float32": lambda: scores.update(ours=ours.score(pairs))}
        if fast_bfloat16():
            methods["ours, bfloat16"] = lambda: scores.update(half=half.score(pairs))
        times = interleave(methods, options.rounds, warm=False)
        lengths = sorted(ours._model.prepare(pairs).lengths)
    print(f"{machine()}, {options.threads} threads; bfloat16 in units of its own: {fast_bfloat16()}")
    print(f"tokens of a pair: median {lengths[len(lengths) // 2]}, 95% {lengths[len(lengths) * 95 // 100]}, longest {lengths[-1]}")
    off = float(np.abs(scores["ours"] - scores["theirs"]).max())
    print(f"largest difference of a score, whose spread is {float(np.std(scores['theirs'])):.3f}: {off:.1e}")
    if "half" in scores:
        print(f"correlation of bfloat16's scores with float32's: {float(np.corrcoef(scores['half'], scores['ours'])[0, 1]):.5f}")
    table(f"{len(queries)} queries x {options.candidates} candidates of {options.task}", times, BASE)
    assert off < 1e-4


def write_model(folder: Path, texts: Sequence[str]) -> None:
    """An XLM-R classifier with 8,000 pieces learnt from the texts."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    trainer = trainers.BpeTrainer(vocab_size=8000, limit_alphabet=3000, max_token_length=12, show_progress=False)
    trained.train_from_iterator(texts[:: max(1, len(texts) // 3000)], trainer)
    pieces = sorted(trained.get_vocab(), key=lambda piece: (-len(piece), piece))
    vocab = [*((token, 0.0) for token in special), *((piece, -10.0 + 0.1 * len(piece)) for piece in pieces), ("<mask>", 0.0)]
    tokenizer = XLMRobertaTokenizerFast(vocab=vocab, model_max_length=512)
    torch.manual_seed(0)
    shape = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 1536, "max_position_embeddings": 514}
    config = XLMRobertaConfig(vocab_size=len(tokenizer), num_labels=1, type_vocab_size=1, initializer_range=0.05, **shape)
    XLMRobertaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main()
