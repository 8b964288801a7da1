"""The encoders of mteb's registry as ours: ``--model mteb:NAME``, with mteb's own prompts, revision and way to load.

mteb chooses a prompt by task, type and role. Ours is always asked for as a retrieval task, so a model gets the prompts that
``mteb.evaluate(model, clir_bench.mteb_tasks())`` gives it, and its vectors depend on nothing but text and role.

mteb's loaders may send texts to a service or run code of a model's repository, and not all say so. Only those that were read and do neither are used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from clir_bench.collection import FloatArray
from clir_bench.errors import MissingExtra, ModelError
from clir_bench.integrations.mteb import _READS_SUBSET, _dense, task_class
from clir_bench.records import moves
from clir_bench.vectors import DOCUMENT_PROMPTS, Batch, EncoderFacts, Role, gather

try:
    import datasets
    import mteb
    from mteb._create_dataloaders import create_dataloader
    from mteb.models.instruct_wrapper import InstructSentenceTransformerModel
    from mteb.models.models_protocols import EncoderProtocol, SearchProtocol
    from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper
    from mteb.types import PromptType
except ImportError as error:
    raise MissingExtra("mteb", "mteb") from error

_CHUNK = 512
_PROMPT_TYPES = {"query": PromptType.query, "document": PromptType.document}
_LOADERS = {  # sentence-transformers with prompts, all of them, as read in mteb 2.26
    "mteb.models.sentence_transformer_wrapper.SentenceTransformerEncoderWrapper",
    "mteb.models.sentence_transformer_wrapper.sentence_transformers_loader",
    "mteb.models.instruct_wrapper.InstructSentenceTransformerModel",
    "mteb.models.model_implementations.qwen3_models.q3e_instruct_loader",
    "mteb.models.model_implementations.samilpwc_models.instruct_loader",
    "mteb.models.model_implementations.kalm_models.KALMWrapper",
    "mteb.models.model_implementations.bekko_models.BekkoEncoderWrapper",
}


class MtebEncoder:
    """An encoder of mteb's registry that sentence-transformers loads. Texts do not leave the machine.

    ``remote_code`` lets code of the model's repository run, where mteb would. Raises ModelError for what is no encoder of one vector a text.
    """

    def __init__(
        self,
        name: str,
        revision: str | None = None,
        *,
        dtype: str = "float32",
        device: str | None = None,
        max_tokens: int | None = None,
        limit: int = 512,
        remote_code: bool = False,
        progress: bool = False,
    ) -> None:
        self.model_name, self._progress = name, progress
        self._meta = find_meta(name, revision, remote_code)
        self._task = task_class("sample").metadata
        self.model = self._load(dtype, device)
        inner = getattr(self.model, "model", None)
        parameter = next((p for p in inner.parameters() if p.is_floating_point()), None) if isinstance(inner, torch.nn.Module) else None
        self.dtype = str(parameter.dtype).removeprefix("torch.") if parameter is not None else "float32"
        self.max_tokens = self._limit(inner, max_tokens, limit)
        self.revision = str(self._meta.revision or "unknown")
        self.prompts: dict[Role, str] = {"query": self._prompt("query"), "document": self._prompt("document")}
        self.dim = 0
        self.dim = self._vectors(["one", "two"], "query").shape[1]

    def identity(self, role: Role) -> dict[str, str | int]:
        """All that decides an embedding beside the text: prompts and loaders are mteb's, so its version is a part."""
        return {
            "kind": f"mteb {mteb.__version__}",
            "model": self.model_name,
            "revision": self.revision,
            "pooling": self.pooling,
            "dtype": self.dtype,
            "role": role,
            "prompt": self.prompts[role],
            "max_tokens": self.max_tokens,
        }

    @property
    def pooling(self) -> str:
        """The modules after the transformer, as ``mean+Normalize``; what loads it, where mteb does not use sentence-transformers."""
        inner = getattr(self.model, "model", None)
        modules = list(inner)[1:] if isinstance(inner, torch.nn.Sequential) else []
        names = [str(getattr(module, "pooling_mode", type(module).__name__)) for module in modules]
        return "+".join(names) or type(self.model).__name__

    def facts(self) -> EncoderFacts:
        """What a submission says of this encoder, as the registry has it."""
        return EncoderFacts(
            revision=self.revision,
            pooling=self.pooling,
            normalize=True,
            dim=self.dim,
            max_tokens=self.max_tokens,
            dtype=self.dtype,
            query_prompt=self.prompts["query"],
            document_prompt=self.prompts["document"],
            parameters=self._meta.n_parameters,
            weights_bytes=None,
            licence=str(self._meta.license)[:100] if self._meta.license else None,
        )

    def batches(self, texts: Sequence[str], role: Role) -> Iterator[Batch]:
        """The work in chunks of 512 texts, longest first."""
        order = sorted(range(len(texts)), key=lambda i: (-len(texts[i]), texts[i]))
        for start in range(0, len(order), _CHUNK):
            rows = order[start : start + _CHUNK]
            yield Batch(rows, partial(self._vectors, [texts[i] for i in rows], role))

    def encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        """Embeddings of the texts, float32 [texts, dim], L2-normalised. Raises ModelError for NaN or zero vectors, naming the texts."""
        return gather(self.batches(texts, role), texts, self.dim, f"{role} texts", self._progress)

    def _load(self, dtype: str, device: str | None) -> Any:
        from clir_bench.parts import nomic_moe
        from clir_bench.parts.encoder import best_dtype
        from clir_bench.parts.loading import guarded

        own = {key: value for key, value in (self._meta.loader_kwargs.get("model_kwargs") or {}).items() if key not in ("dtype", "torch_dtype")}
        weights = {**own, "dtype": getattr(torch, best_dtype(device) if dtype == "auto" else dtype)}
        nomic_moe.register()
        try:
            with guarded(self.model_name):
                model = self._meta.load_model(device=device, model_kwargs=weights)
        except ModelError:
            raise
        except Exception as error:
            reason = re.sub(r"\s+", " ", str(error)).strip()[:300]
            raise ModelError(
                f"mteb cannot load {self.model_name} ({type(error).__name__}: {reason}). Check the network, and what mteb needs for it."
            ) from error
        if isinstance(model, SearchProtocol) or not isinstance(model, EncoderProtocol):
            raise ModelError(
                f"{self.model_name}: mteb loads it as {type(model).__name__}, which searches by itself. clir-bench takes encoders of one vector a text."
            )
        return model

    def _limit(self, inner: Any, asked: int | None, limit: int) -> int:
        """Tokens that are read; set where it can be."""
        if hasattr(inner, "max_seq_length"):
            positions = [n for n in (inner.max_seq_length, self._meta.max_tokens) if n]
            if asked and positions and asked > min(positions):
                raise ModelError(f"{self.model_name}: max_tokens is {asked}, but the model takes {int(min(positions))}")
            inner.max_seq_length = asked or int(min(limit, *positions))
            return int(inner.max_seq_length)
        if asked and asked != self._meta.max_tokens:
            raise ModelError(f"{self.model_name}: max_tokens is {asked}, but mteb's {type(self.model).__name__} cannot be told so. Leave --max-tokens away.")
        return int(self._meta.max_tokens or limit)

    def _prompt(self, role: Role) -> str:
        """What mteb puts before a text of this role; for a loader of the model's own, whose it is."""
        model, kind = self.model, _PROMPT_TYPES[role]
        if isinstance(model, InstructSentenceTransformerModel):
            return str(model.get_task_instruction(self._task, kind) or "") if role == "query" or model.apply_instruction_to_passages else ""
        if not isinstance(model, SentenceTransformerEncoderWrapper):
            return f"as {type(model).__name__} of mteb {mteb.__version__} does"
        if chosen := model.get_prompt_name(self._task, kind):
            return str((model.model_prompts or {})[chosen] or "")
        own: Mapping[str, str] = getattr(model.model, "prompts", None) or {}
        return next((own[name] or "" for name in (("query",) if role == "query" else DOCUMENT_PROMPTS) if name in own), "")

    def _vectors(self, texts: Sequence[str], role: Role) -> FloatArray:
        content = {"id": [str(i) for i in range(len(texts))], "text": list(texts), **({"title": [""] * len(texts)} if role == "document" else {})}
        kind = _PROMPT_TYPES[role]
        shown = datasets.are_progress_bars_disabled()
        datasets.disable_progress_bars()
        try:
            loader = create_dataloader(datasets.Dataset.from_dict(content), task_metadata=self._task, prompt_type=kind, batch_size=32)
            options = {"prompt_type": kind, "batch_size": 32, "show_progress_bar": False}
            encoded = self.model.encode(loader, task_metadata=self._task, hf_split="test", hf_subset="default", **options)
        finally:
            if not shown:
                datasets.enable_progress_bars()
        vectors = _dense(encoded, len(texts))
        if vectors is None or (self.dim and vectors.shape[1] != self.dim):
            raise ModelError(f"{self.model_name}: it gives no matrix of one vector a text, but {type(encoded).__name__}. clir-bench compares single vectors.")
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        if str(self._meta.similarity_fn_name).rsplit(".", 1)[-1].lower() in ("dot", "dot_product") and (np.abs(lengths - 1) > 0.02).any():
            raise ModelError(
                f"{self.model_name}: it compares by inner product vectors of lengths {lengths.min():.3g} to {lengths.max():.3g}, which clir-bench would normalise"
                " and so rank otherwise. It has no number here rather than a wrong one."
            )
        return np.asarray(vectors / np.where(lengths == 0, 1, lengths), np.float32)


def find_meta(name: str, revision: str | None, remote_code: bool) -> Any:
    """The registry's entry of a model that can be used. Raises ModelError for an unknown name, another revision, and what is no plain encoder."""
    try:
        meta = mteb.get_model_meta(name)
    except KeyError as error:
        raise ModelError(f"{error.args[0]} Models outside mteb's registry are named without 'mteb:'.") from error
    if revision and meta.revision and revision != meta.revision:
        raise ModelError(f"{name}: mteb has revision {meta.revision}, not {revision}. Leave --revision away, or name the model without 'mteb:'.")
    if moves(str(revision or meta.revision or "")):
        raise ModelError(f"{name}: {revision or meta.revision} is a branch, where another model may stand tomorrow. Name its commit: --revision COMMIT.")
    if revision and not meta.revision:
        meta = meta.model_copy(update={"revision": revision})
    similarity = str(getattr(meta.similarity_fn_name, "value", meta.similarity_fn_name) or "cosine")
    if "dense" not in meta.model_type or {"late-interaction", "cross-encoder", "router"} & set(meta.model_type) or similarity not in ("cosine", "dot"):
        raise ModelError(
            f"{name}: a model of type {'+'.join(meta.model_type)} compared by {similarity}; clir-bench takes dense ones compared by cosine or inner product."
        )
    if "text" not in meta.modalities or meta.loader is None:
        raise ModelError(f"{name}: mteb has {'no way to load it' if meta.loader is None else 'it for ' + ', '.join(meta.modalities) + ', not for text'}.")
    if not meta.framework or "API" in meta.framework:  # an empty one has hidden a service before
        raise ModelError(
            f"{name}: mteb {'would send every text to a service' if meta.framework else 'does not say what runs it, which may be a service'}. Nothing is sent anywhere unless you name the address: --model https://host/v1#MODEL"
        )
    if any(part in name.lower() for part in _READS_SUBSET):
        raise ModelError(f"{name}: its vectors depend on the collection they are encoded for, so they cannot be kept or shared between pairs.")
    if not remote_code and _runs_remote_code(meta):
        raise ModelError(
            f"{name}: mteb loads it with trust_remote_code, that is, by running code from the model's repository, which clir-bench does not."
            f" If transformers knows the architecture by itself, --model {name} (without 'mteb:') loads it."
        )
    if (loader := _loader_name(meta)) not in _LOADERS:
        raise ModelError(
            f"{name}: mteb loads it by {loader}, code of its own that clir-bench has not checked: it may run code from elsewhere or send texts away."
            f" If sentence-transformers can load the model, --model {name} (without 'mteb:') does."
        )
    return meta


def _loader_name(meta: Any) -> str:
    loader = getattr(meta.loader, "func", meta.loader)
    return f"{getattr(loader, '__module__', '')}.{getattr(loader, '__qualname__', loader)}"


def _runs_remote_code(meta: Any) -> bool:
    """Whether an option or a default says trust_remote_code=True."""

    def trusted(options: object) -> bool:
        if not isinstance(options, Mapping):
            return False
        return any(value if key == "trust_remote_code" else trusted(value) for key, value in options.items())

    return trusted({**getattr(meta.loader, "keywords", {}), **meta.loader_kwargs}) or trusted(meta.experiment_kwargs)
