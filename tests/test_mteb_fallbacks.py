"""What is no plain encoder goes mteb's own way through our task class, with mteb's own numbers."""

from __future__ import annotations

from pathlib import Path

import mteb
import numpy as np
import pytest
import torch
from conftest import HashingEncoder
from mteb.models import ModelMeta
from mteb.types import PromptType

import clir_bench
from clir_bench.evaluate import evaluate
from clir_bench.integrations import mteb as ours
from clir_bench.sources import open_task
from clir_bench.system import System

SUBSETS = ["en-de", "zh-en"]


class PlainEncoder:
    """mteb's EncoderProtocol over the hashing encoder; ``wrap`` shapes what encode returns, ``name`` what the model is called."""

    def __init__(self, wrap=lambda x: x, name: str = "tests/plain", similarity: str = "cosine") -> None:  # type: ignore[no-untyped-def]
        self.wrap, self.calls = wrap, 0
        self.mteb_model_meta = ModelMeta.create_empty({"name": name, "revision": "1", "similarity_fn_name": similarity})

    def encode(self, inputs, *, prompt_type, **kwargs):  # type: ignore[no-untyped-def]
        self.calls += 1
        texts = [text for batch in inputs for text in batch["text"]]
        return self.wrap(HashingEncoder().encode(texts, "query" if prompt_type == PromptType.query else "document"))

    def similarity(self, a, b):  # type: ignore[no-untyped-def]
        a, b = (x.to_dense() if getattr(x, "is_sparse", False) else torch.as_tensor(x) for x in (a, b))
        return a.float() @ b.float().T

    similarity_pairwise = similarity


def scores(model: object, folder: Path, **options: object) -> dict[str, dict[str, float]]:
    task = ours.mteb_tasks([str(folder)])[0].filter_languages(None, hf_subsets=SUBSETS)
    found = mteb.evaluate(model, [task], cache=None, show_progress_bar=False, **options).task_results[0].scores["test"]
    return {entry["hf_subset"]: entry for entry in found}


def test_a_plain_encoder_is_shared_and_a_sparse_one_is_not(tiny: Path) -> None:
    plain, sparse = PlainEncoder(), PlainEncoder(lambda x: torch.from_numpy(x).to_sparse())
    shared, stock = scores(plain, tiny), scores(sparse, tiny)
    assert plain.calls == 2
    assert sparse.calls > 4  # per pair, after our two tries
    for subset in SUBSETS:
        for key in ("recall_at_1", "recall_at_10", "ndcg_at_10", "mrr_at_100", "map_at_10"):
            assert shared[subset][key] == pytest.approx(stock[subset][key], abs=1e-5), key
    assert "nauc_recall_at_10_max" in stock["en-de"]
    assert "nauc_recall_at_10_max" not in shared["en-de"]


def test_models_that_read_the_subset_are_not_shared(tiny: Path) -> None:
    model = PlainEncoder(name="jxm/cde-small-v1")
    scores(model, tiny)
    assert model.calls == 2 * len(SUBSETS)


def test_another_model_gets_its_own_ranking(tiny: Path) -> None:
    task = ours.mteb_tasks([str(tiny)])[0]
    task.load_data()
    first, second = PlainEncoder(), PlainEncoder(lambda x: np.roll(x, 1, axis=0))
    found = [task.evaluate(model, "test", subsets_to_run=["en-de"], encode_kwargs={}) for model in (first, second)]
    assert found[0]["en-de"]["recall_at_1"] != found[1]["en-de"]["recall_at_1"]


def test_search_models_go_their_own_way(tiny: Path) -> None:
    bm25 = evaluate(*open_task(tiny), System(model="bm25")).submission
    found = scores(clir_bench.mteb_model(System(model="bm25")), tiny)
    for record in bm25.pairs:
        if str(record.pair) in SUBSETS:
            assert found[str(record.pair)]["recall_at_10"] == pytest.approx(record.measures["R@10"].mean, abs=1e-5)


class WordOverlap:
    """mteb's CrossEncoderProtocol: shared words."""

    mteb_model_meta = ModelMeta.create_empty({"name": "tests/overlap", "revision": "1", "model_type": ["cross-encoder"]})

    def predict(self, inputs1, inputs2, **kwargs):  # type: ignore[no-untyped-def]
        pairs = zip((t for b in inputs1 for t in b["text"]), (t for b in inputs2 for t in b["text"]), strict=True)
        return np.array([len(set(a.lower().split()) & set(b.lower().split())) / 10 for a, b in pairs])


def test_cross_encoders_rerank_our_predictions(tiny: Path, tmp_path: Path) -> None:
    first = scores(PlainEncoder(), tiny, prediction_folder=tmp_path)
    assert (tmp_path / "CLIRBenchTiny_predictions.json").is_file()
    task = ours.mteb_tasks([str(tiny)])[0].filter_languages(None, hf_subsets=SUBSETS)
    reranking = task.convert_to_reranking(tmp_path, top_k=10)
    found = mteb.evaluate(WordOverlap(), [reranking], cache=None, show_progress_bar=False).task_results[0].scores["test"]
    for entry in found:
        assert entry["recall_at_10"] == pytest.approx(first[entry["hf_subset"]]["recall_at_10"], abs=1e-5)  # the same ten, in another order


def test_dot_product_models_are_not_normalised(tiny: Path) -> None:
    rng = np.random.default_rng(0)

    def stretch(x: np.ndarray) -> np.ndarray:
        return x * (1 + rng.random((len(x), 1))).astype(np.float32)

    assert scores(PlainEncoder(stretch, similarity="dot"), tiny)["en-de"] != scores(PlainEncoder(), tiny)["en-de"]
