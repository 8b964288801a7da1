"""Text encoders through sentence-transformers, fed by batches of a token budget.

Texts are tokenised once, sorted by tokens (characters mislead across scripts) and batched so that rows times longest stays within the
budget: little padding, and batches that fit the cache of a CPU. Token vectors are pooled and normalised in float32 whatever the weights' dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import InputModule, Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from sentence_transformers.util import get_device_name
from tokenizers import Tokenizer
from transformers.utils import logging as transformers_logging

from clir_bench.collection import FloatArray, IntArray
from clir_bench.errors import ModelError
from clir_bench.parts.checkpoints import cannot_load, known_revision, model_licence, refuse_adapter, snapshot_folder, weights_bytes
from clir_bench.parts.linear import fast_bfloat16, use_fast_linear
from clir_bench.parts.loading import guarded
from clir_bench.parts.memory import out_of_memory
from clir_bench.parts.model_kinds import refuse_lost_activations, refuse_other_kinds, refuse_other_similarity
from clir_bench.parts.nomic_moe import register as register_nomic_moe
from clir_bench.progress import bar
from clir_bench.vectors import DOCUMENT_PROMPTS, Batch, EncoderFacts, Role, gather

Features = dict[str, Any]
"""What a tokeniser makes of a batch: tensors [rows, longest] and what else the model's modules read."""

_ROW_LIMIT = 1024


class SentenceEncoder:
    """A sentence-transformers model as an encoder. ``model`` is a hub name or a folder; no code of the model's repository is run.

    ``dtype`` "auto" is bfloat16 where the device has units for it, else float32; ``self.dtype`` says which. Without ``weights`` an encoder only divides work
    and says facts, as on ``device``, for a process that lets others compute.
    """

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        *,
        protocol: Literal["native", "paper"] = "native",
        dtype: str = "float32",
        max_tokens: int | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        device: str | None = None,
        batch_tokens: int | None = None,
        limit: int = 512,
        weights: bool = True,
        progress: bool = False,
    ) -> None:
        place = torch.device(device or get_device_name())
        dtype = best_dtype(place) if dtype == "auto" else dtype
        self.model_name, self.protocol, self.dtype, self._progress = model, protocol, dtype, progress
        try:
            if protocol == "native":
                refuse_other_kinds(model, revision)
            if Path(model).is_dir():
                refuse_adapter(Path(model), model)
            self.model = _load(model, revision, protocol, dtype, str(place) if weights else "cpu", progress)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"{cannot_load(model, revision, error)} --model demo and --model bm25 need no network.") from error
        if protocol == "native":
            refuse_other_similarity(model, self.model)
            refuse_lost_activations(model, snapshot_folder(model, revision), self.model)
        own = self.model.max_seq_length
        positions = getattr(self.model.config, "max_position_embeddings", None)
        if max_tokens and positions and max_tokens > positions:
            raise ModelError(f"{model}: max_tokens is {max_tokens}, but the model has {positions} positions")
        self.max_tokens = max_tokens or (limit if protocol == "paper" else int(min(own or limit, limit)))
        if positions:
            self.max_tokens = min(self.max_tokens, positions - 2 if _roberta(self.model) else positions)
        _set_length(self.model, self.max_tokens, shorter_stay=max_tokens is None)
        self.prompts: dict[Role, str] = {
            "query": self._own_prompt(("query",)) if query_prompt is None else query_prompt,
            "document": self._own_prompt(DOCUMENT_PROMPTS) if document_prompt is None else document_prompt,
        }
        for module in list(self.model)[1:]:
            module.float()
        self.model.eval()
        use_fast_linear(self.model)
        self.batch_tokens = batch_tokens or (2048 if place.type == "cpu" else 65536)
        self._fitting = float("inf")  # padded tokens that are tried at once: fewer after memory ran out
        self.revision = known_revision(model, revision, "--revision")
        if not weights:
            self.model.to("meta")

    @property
    def dim(self) -> int:
        """Components of an embedding."""
        return int(self.model.get_embedding_dimension() or 0)

    def identity(self, role: Role) -> dict[str, str | int]:
        """All that decides an embedding beside the text: the key of a cache. The role is a part where the model reads queries by other modules or lengths."""
        more: dict[str, str | int] = {"truncate_dim": self.model.truncate_dim} if self.model.truncate_dim else {}
        if any(_acts_by_role(module) for module in self.model.modules()):
            more["role"] = role
        return {
            "model": self.model_name if not Path(self.model_name).is_dir() else "folder",
            "revision": self.revision,
            "protocol": self.protocol,
            "pooling": self.pooling,
            "dtype": self.dtype,
            "prompt": self.prompts[role],
            "max_tokens": self.max_tokens,
            **more,
        }

    @cached_property
    def pooling(self) -> str:
        """The modules after the transformer, as ``mean+Normalize``; all of them where none comes first."""
        return "+".join(str(m.pooling_mode) if isinstance(m, Pooling) else type(m).__name__ for m in self.model if not isinstance(m, Transformer))

    def facts(self) -> EncoderFacts:
        """What a submission says of this encoder."""
        folder = snapshot_folder(self.model_name, self.revision)
        return EncoderFacts(
            revision=self.revision,
            pooling=self.pooling,
            normalize=True,
            dim=self.dim,
            max_tokens=self.max_tokens,
            dtype=self.dtype,
            query_prompt=self.prompts["query"],
            document_prompt=self.prompts["document"],
            parameters=sum(p.numel() for p in self.model.parameters()),
            weights_bytes=weights_bytes(folder),
            licence=model_licence(folder),
        )

    def batches(self, texts: Sequence[str], role: Role) -> Iterator[Batch]:
        """The work in batches, longest texts first; the division depends on the texts and the budget only."""
        for rows, features in self.prepare(texts, role):
            yield Batch(rows, lambda features=features: self.forward(features(), role))  # type: ignore[misc]

    def prepare(self, texts: Sequence[str], role: Role) -> Iterator[tuple[list[int], Callable[[], Features]]]:
        """The same division as rows and what ``forward`` takes for them, made when asked for."""
        prompt = self.prompts[role]
        ids = self._token_ids(texts, prompt)
        lengths = [len(x) for x in ids]
        order = sorted(range(len(texts)), key=lambda i: (-lengths[i], texts[i]))
        fast = self._fast_features(texts, ids, prompt, role)
        while order:
            rows = order[: min(_ROW_LIMIT, max(1, self.batch_tokens // max(1, lengths[order[0]])))]
            order = order[len(rows) :]

            def features(rows: list[int] = rows) -> Features:
                return fast([ids[i] for i in rows]) if fast else self.model.preprocess([texts[i] for i in rows], prompt=prompt or None, task=role)

            yield rows, features

    def forward(self, features: Features, role: Role) -> FloatArray:
        """Embeddings float32 [rows, dim]; in halves where they do not fit into memory. Raises ModelError if one row does not."""
        tokens = features.get("input_ids")
        rows, longest = tokens.shape if isinstance(tokens, torch.Tensor) and tokens.ndim == 2 else (1, 0)
        if rows == 1 or rows * longest <= self._fitting:
            try:
                return self._forward(features, role)
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
            self._fitting = rows * longest / 2  # after the handler: the error holds on to the tensors
            if self.model.device.type == "cuda":
                torch.cuda.empty_cache()
        if rows == 1:
            size = f"a text of {longest} tokens" if longest else "a batch"
            raise ModelError(
                f"{self.model_name}: {size} does not fit into the memory of {self.model.device}. Shorten texts with --max-tokens, free memory there, or use --device cpu."
            )
        halves = [{key: v[part] if isinstance(v, torch.Tensor) else v for key, v in features.items()} for part in (slice(rows // 2), slice(rows // 2, None))]
        return np.concatenate([self.forward(half, role) for half in halves])

    def encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        """Embeddings of the texts, float32 [texts, dim], L2-normalised. Raises ModelError for NaN or zero vectors, naming the texts."""
        return gather(self.batches(texts, role), texts, self.dim, f"{role} texts", self._progress)

    @torch.inference_mode()
    def _forward(self, features: dict[str, Any], role: Role) -> FloatArray:
        device = self.model.device
        features = {key: value.to(device) if isinstance(value, torch.Tensor) else value for key, value in features.items()}
        for module in self.model:
            features = module(features, task=role) if isinstance(module, Router) else module(features)
            if isinstance(features.get("token_embeddings"), torch.Tensor):
                features["token_embeddings"] = features["token_embeddings"].float()
        vectors = features["sentence_embedding"].float()[:, : self.model.truncate_dim]
        return np.asarray(torch.nn.functional.normalize(vectors, dim=-1, eps=1e-30).cpu().numpy(), np.float32)

    def _token_ids(self, texts: Sequence[str], prompt: str) -> list[IntArray]:
        tokenizer = self.model.tokenizer
        backend = tokenizer if isinstance(tokenizer, Tokenizer) else getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:  # a slow tokeniser: lengths by its own words, features by preprocess
            return [np.zeros(len(tokenizer.tokenize(prompt + text)[: self.max_tokens]), np.int32) for text in texts]
        backend.enable_truncation(self.max_tokens)
        backend.no_padding()
        found: list[IntArray] = []
        with bar("tokenising", len(texts), "text", self._progress and len(texts) > 20_000) as progress:
            for start in range(0, len(texts), 4096):
                part = [prompt + text for text in texts[start : start + 4096]]
                found += [np.array(encoding.ids, np.int32) for encoding in backend.encode_batch_fast(part)]
                progress.update(len(part))
        return found

    def _fast_features(self, texts: Sequence[str], ids: list[IntArray], prompt: str, role: Role) -> Callable[[list[IntArray]], dict[str, Any]] | None:
        """A builder of features from token ids, if on a sample it gives exactly what the model's own preprocess gives; else None."""
        tokenizer = self.model.tokenizer
        if not texts or not isinstance(self.model[0], Transformer) or getattr(tokenizer, "pad_token_id", None) is None:
            return None
        left = tokenizer.padding_side == "left"

        def build(rows: list[IntArray]) -> dict[str, Any]:
            longest = max(map(len, rows))
            tokens = torch.full((len(rows), longest), tokenizer.pad_token_id)
            mask = torch.zeros((len(rows), longest), dtype=torch.long)
            for i, row in enumerate(rows):
                place = slice(longest - len(row), longest) if left else slice(0, len(row))
                tokens[i, place], mask[i, place] = torch.from_numpy(row), 1
            made = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": torch.zeros_like(mask)}
            return {key: made[key] if key in made else value for key, value in own.items()}

        by_length = sorted(range(len(texts)), key=lambda i: len(ids[i]))
        sample = sorted({by_length[len(by_length) * k // 7] for k in range(7)} | {by_length[-1]})
        own = self.model.preprocess([texts[i] for i in sample], prompt=prompt or None, task=role)
        mine = build([ids[i] for i in sample])
        same = all(torch.equal(value, mine[key]) for key, value in own.items() if isinstance(value, torch.Tensor))
        return build if same else None

    def _own_prompt(self, names: Sequence[str]) -> str:
        return next((self.model.prompts[name] or "" for name in names if name in self.model.prompts), "") if self.protocol == "native" else ""


def best_dtype(device: str | torch.device | None) -> Literal["bfloat16", "float32"]:
    """What the dtype "auto" means on a device (None: the best there is): bfloat16 where it multiplies in units of its own, else float32."""
    device = torch.device(device or get_device_name())
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if device.type == "cpu" and fast_bfloat16() else "float32"


def _load(model: str, revision: str | None, protocol: str, dtype: str, device: str | None, progress: bool) -> SentenceTransformer:
    silenced = not progress and transformers_logging.is_progress_bar_enabled()  # of downloads and of loading
    if silenced:
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    weights = {"dtype": getattr(torch, dtype)}
    register_nomic_moe()
    try:
        with guarded(model):
            if protocol == "native":
                return SentenceTransformer(model, revision=revision, device=device, model_kwargs=weights)
            source = {"revision": revision} if revision else {}
            first = Transformer(model, model_kwargs={**weights, **source}, processor_kwargs=dict(source), config_kwargs=dict(source))
            modules = [first, Pooling(first.get_embedding_dimension(), "mean"), Normalize()]
            return SentenceTransformer(modules=modules, device=device, similarity_fn_name="cosine")
    finally:
        if silenced:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _set_length(model: SentenceTransformer, tokens: int, shorter_stay: bool) -> None:
    """Let every module that reads texts read so many tokens; with ``shorter_stay`` none of them more than it did."""
    for module in model.modules():
        if isinstance(module, StaticEmbedding):
            module.tokenizer.enable_truncation(tokens)  # it has no limit of its own
        elif isinstance(module, InputModule) and not isinstance(module, Router):
            own = getattr(module, "max_seq_length", None) or tokens
            module.max_seq_length = min(tokens, own) if shorter_stay else tokens  # type: ignore[assignment,unused-ignore]


def _acts_by_role(module: torch.nn.Module) -> bool:
    return isinstance(module, Router) or any(getattr(module, name, None) for name in ("query_length", "document_length", "query_expansion"))


def _roberta(model: SentenceTransformer) -> bool:
    """Whether positions count from the padding index on (XLM-R: 514 positions for 512 tokens)."""
    return "roberta" in str(getattr(model.config, "model_type", "")) or getattr(model.config, "model_type", "") in ("camembert", "xmod", "mpnet")
