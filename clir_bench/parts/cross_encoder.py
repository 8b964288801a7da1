"""Cross-encoder scorers: classifiers through sentence-transformers, causal re-rankers through their makers' templates.

All pairs of all queries are one list, sorted by tokens and batched so that rows times longest stays within a budget: little padding, and no score depends
on which query came first. Scores are raw logits: a sigmoid in float32 makes ties of all that is above 17.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.util import get_device_name
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from clir_bench.collection import FloatArray
from clir_bench.errors import ClirBenchError, ModelError
from clir_bench.parts.checkpoints import cannot_load, known_revision, model_licence, refuse_adapter, snapshot_folder, weights_bytes
from clir_bench.parts.linear import use_fast_linear
from clir_bench.parts.loading import guarded
from clir_bench.parts.memory import out_of_memory
from clir_bench.parts.model_kinds import refuse_lost_activations
from clir_bench.parts.nomic_moe import register
from clir_bench.parts.pair_models import CausalPairs, ClassifierPairs, Features, PairModel, Prepared, refuse_labels
from clir_bench.parts.reranker_templates import TEMPLATES, TemplateReader, find_template
from clir_bench.progress import bar
from clir_bench.vectors import Batch, submit_ahead

_ROW_LIMIT = 1024


@dataclass(frozen=True)
class ScorerFacts:
    """What a submission says of a cross-encoder. ``weights_bytes`` is the size of the weight files; ``template`` is "" where the tokenizer joins a pair."""

    revision: str
    parameters: int
    weights_bytes: int | None
    licence: str | None
    max_tokens: int
    dtype: str
    template: str
    activation: str = "identity"


class CrossEncoderScorer:
    """Scores pairs of query and document. ``model`` is a hub name or a folder; no code of the model's repository is run.

    ``template`` names how a causal model is asked (``TEMPLATES``); without one, such a model's own chat template must take a query and a document.
    ``devices``: a copy of the model on each, working side by side. Raises ModelError for what cannot be loaded as what it is, or gives no one score.
    """

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        *,
        dtype: str = "float32",
        max_tokens: int = 512,
        device: str | None = None,
        devices: Sequence[str] | None = None,
        batch_tokens: int | None = None,
        template: str | None = None,
        progress: bool = False,
    ) -> None:
        self.model_name, self.dtype, self.template, self._progress = model, dtype, template or "", progress
        places = ["cpu" if place.startswith("cpu:") else place for place in devices or [device or get_device_name()]]  # a number of processes is not for us
        if template:
            find_template(template)
        self._model = _load(model, revision, dtype, max_tokens, places[0], template, progress)
        network = self._model.network.eval()
        self._copies = [network, *(copy.deepcopy(network).to(place) for place in places[1:])]
        self._free: SimpleQueue[torch.nn.Module] = SimpleQueue()
        for each in self._copies:
            use_fast_linear(each)
            self._free.put(each)
        self.max_tokens = self._model.max_tokens
        self.batch_tokens = batch_tokens or (2048 if torch.device(places[0]).type == "cpu" else 65536)
        self._fitting: float = float("inf")  # padded tokens of a batch that memory is known to hold
        self.revision = known_revision(model, revision, "--rerank-revision")

    def identity(self) -> dict[str, str | int]:
        """All that decides a score beside the two texts: the key of a cache."""
        return {
            "model": self.model_name if not Path(self.model_name).is_dir() else "folder",
            "revision": self.revision,
            "scorer": "cross-encoder",
            "activation": "identity",
            "dtype": self.dtype,
            "prompt": self._model.prompt,
            "template": find_template(self.template).identity() if self.template else "",
            "max_tokens": self.max_tokens,
        }

    def facts(self) -> ScorerFacts:
        """What a submission says of this scorer."""
        folder = snapshot_folder(self.model_name, self.revision)
        return ScorerFacts(
            revision=self.revision,
            parameters=self._model.parameters,
            weights_bytes=weights_bytes(folder),
            licence=model_licence(folder),
            max_tokens=self.max_tokens,
            dtype=self.dtype,
            template=self.template,
        )

    def batches(self, pairs: Sequence[tuple[str, str]]) -> Iterator[Batch]:
        """The work in batches of float32 [rows, 1], longest pairs first; the division depends on the pairs and the budget only."""
        if not pairs:
            return
        prepared = self._model.prepare(pairs)
        division = list(self._divide(prepared.lengths, pairs))
        work = partial(self._checked_scores, prepared, pairs)
        if len(self._copies) == 1:
            for rows in division:
                yield Batch(rows, partial(work, rows))
            return
        threads = torch.get_num_threads()  # a new thread has the default, whatever was set here
        with ThreadPoolExecutor(len(self._copies), initializer=torch.set_num_threads, initargs=(threads,)) as pool:
            yield from submit_ahead(division, lambda rows: pool.submit(work, rows), len(self._copies))

    def score(self, pairs: Sequence[tuple[str, str]]) -> FloatArray:
        """Scores float32 [pairs], higher is more relevant. Raises ModelError for NaN, naming the pair, and where one pair does not fit into memory."""
        scores = np.empty(len(pairs), np.float32)
        with bar("scoring pairs", len(pairs), "pair", self._progress and len(pairs) > 0) as shown:
            for batch in self.batches(pairs):
                scores[batch.rows] = batch.encode()[:, 0]
                shown.update(len(batch.rows))
        return scores

    def _divide(self, lengths: list[int], pairs: Sequence[tuple[str, str]]) -> Iterator[list[int]]:
        order = sorted(range(len(pairs)), key=lambda i: (-lengths[i], pairs[i]))
        start = 0
        while start < len(order):
            rows = order[start : start + min(_ROW_LIMIT, max(1, self.batch_tokens // max(1, lengths[order[start]])))]
            start += len(rows)
            yield rows

    def _checked_scores(self, prepared: Prepared, pairs: Sequence[tuple[str, str]], rows: list[int]) -> FloatArray:
        network = self._free.get()
        try:
            scores = self._scores(network, prepared, rows)
        finally:
            self._free.put(network)
        bad = np.flatnonzero(~np.isfinite(scores))
        if len(bad):
            query, document = pairs[rows[bad[0]]]
            raise ModelError(
                f"{self.model_name}: {len(bad)} of {len(rows)} pairs have no usable score ({scores[bad[0]]}), as query {query[:60]!r} and document"
                f" {document[:60]!r}. Half precision may overflow: try --dtype float32."
            )
        return scores[:, None]

    def _scores(self, network: torch.nn.Module, prepared: Prepared, rows: list[int]) -> FloatArray:
        """The scores of a batch, which is halved as often as memory wants it."""
        size = len(rows) * max(prepared.lengths[i] for i in rows)
        if len(rows) == 1 or size <= self._fitting:
            try:
                return self._forward(network, prepared.features(rows))
            except RuntimeError as error:  # torch.OutOfMemoryError is one
                if not out_of_memory(error):
                    raise
                reason = str(error)
        else:
            reason = ""
        if reason:  # outside of the except block, whose traceback holds the batch's memory
            self._fitting = size // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        if len(rows) == 1:
            raise ModelError(
                f"{self.model_name}: not even one pair of {size} tokens fits into the memory ({reason[:200]})."
                " Choose a smaller model, --dtype bfloat16 or fewer --rerank-max-tokens."
            )
        half = len(rows) // 2
        return np.concatenate([self._scores(network, prepared, part) for part in (rows[:half], rows[half:])])

    @torch.inference_mode()
    def _forward(self, network: torch.nn.Module, features: Features) -> FloatArray:
        device = next(network.parameters()).device
        features = {key: value.to(device) if isinstance(value, torch.Tensor) else value for key, value in features.items()}
        return np.asarray(self._model.scores(network, features).cpu().numpy(), np.float32)


def _load(model: str, revision: str | None, dtype: str, max_tokens: int, device: str, template: str | None, progress: bool) -> PairModel:
    silenced = not progress and transformers_logging.is_progress_bar_enabled()  # of downloads and of loading
    if silenced:
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    register()
    try:
        if Path(model).is_dir():
            refuse_adapter(Path(model), model)
        with guarded(model):
            if template:
                return _load_causal(model, revision, dtype, max_tokens, device, template)
            weights = {"dtype": getattr(torch, dtype)}
            network = CrossEncoder(model, revision=revision, device=device, model_kwargs=weights, activation_fn=torch.nn.Identity())
        refuse_labels(model, network.num_labels)
        refuse_lost_activations(model, snapshot_folder(model, revision), network)
        if any(isinstance(module, LogitScore) for module in network) and not network.tokenizer.chat_template:
            raise ValueError("no chat template")
        loaded = ClassifierPairs(network, max_tokens)
        loaded.prepare([("a", "a")]).features([0])  # a chat template that takes no pair is refused here, by sentence-transformers
        return loaded
    except ClirBenchError:
        raise
    except Exception as error:
        raise ModelError(_cannot_load(model, revision, error)) from error
    finally:
        if silenced:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _load_causal(model: str, revision: str | None, dtype: str, max_tokens: int, device: str, template: str) -> CausalPairs:
    tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
    network: Any = AutoModelForCausalLM.from_pretrained(model, revision=revision, dtype=getattr(torch, dtype))
    positions = getattr(network.config, "max_position_embeddings", None) or max_tokens
    limit = min(max_tokens, positions)
    return CausalPairs(network.to(device), TemplateReader(model, template, tokenizer, limit), limit)


def _cannot_load(model: str, revision: str | None, error: Exception) -> str:
    if "chat template" in str(error):
        return f"{model}: a causal model without a chat template that takes a query and a document. Name the template it was trained with: --rerank-template {' or '.join(TEMPLATES)}."
    return cannot_load(model, revision, error)
