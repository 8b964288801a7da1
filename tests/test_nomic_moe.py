"""Nomic's mixture of experts: equal to a referee in float64, loaded as what it is, and trainable."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import NOMIC_CONFIG, NOMIC_PROMPTS, nomic_moe_encoder, nomic_moe_tensors, nomic_reranker
from safetensors.torch import load_file
from sentence_transformers import CrossEncoder, SentenceTransformer
from slow_nomic import SlowNomic
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer, NomicBertConfig, NomicBertModel
from transformers.utils import logging

from clir_bench.parts.encoder import SentenceEncoder
from clir_bench.parts.nomic_moe import NomicMoeConfig, NomicMoeForSequenceClassification, NomicMoeModel, register

FIGURES = Path(__file__).parent / "data" / "nomic_moe.json"
TEXTS = ["the river nile flows into the sea", "река течёт в море", "河流入海", "a", "tea and rice " * 20]
register()
logging.disable_progress_bar()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nomic_moe_encoder(tmp_path_factory.mktemp("m") / "nomic")


@pytest.fixture(scope="module")
def model(folder: Path) -> NomicMoeModel:
    return AutoModel.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray[Any, Any]]:
    """Six texts of random tokens, from a full row to three tokens."""
    lengths = [40, 31, 22, 13, 7, 3]
    ids, mask = np.ones((6, 40), np.int64), np.zeros((6, 40), np.int64)
    for row, length in enumerate(lengths):
        ids[row, :length], mask[row, :length] = np.random.default_rng(row).integers(4, 460, length), 1
    return {"input_ids": ids, "attention_mask": mask}


@torch.inference_mode()
def token_vectors(model: NomicMoeModel, batch: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """With padding zeroed, as the referee gives them."""
    found = model(**{key: torch.from_numpy(value) for key, value in batch.items()}).last_hidden_state.to(torch.float64).numpy()
    return found * batch["attention_mask"][..., None]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_vectors_equal_the_referees(folder: Path, batch: dict[str, Any], attention: str) -> None:
    """Token by token in float64, where only the router's softmax and the angles are float32; as means in float32."""
    model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention).eval()
    referee = SlowNomic(folder)
    expected = referee.encode(batch["input_ids"], batch["attention_mask"])
    assert {expert for chosen in referee.chosen for expert in chosen} == set(range(8))
    length = batch["attention_mask"].sum(1, keepdims=True)
    np.testing.assert_allclose(token_vectors(model, batch).sum(1) / length, expected.sum(1) / length, atol=1e-5)
    np.testing.assert_allclose(token_vectors(model.double(), batch), expected, atol=5e-6)


def test_weights_that_sum_to_one_are_told_from_ours(folder: Path, model: NomicMoeModel, batch: dict[str, Any]) -> None:
    mistaken = SlowNomic(folder, renormalise=True).encode(batch["input_ids"], batch["attention_mask"])
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(token_vectors(model, batch), mistaken, rtol=1e-2, atol=1e-2)


def test_vectors_are_those_of_the_release_before(model: NomicMoeModel) -> None:
    stored = json.loads(FIGURES.read_text())
    ids = np.array(stored["input_ids"])
    mask = (ids != 1).astype(np.int64)
    pooled = token_vectors(model, {"input_ids": ids, "attention_mask": mask}).sum(1) / mask.sum(1, keepdims=True)
    np.testing.assert_allclose(pooled, np.array(stored["mean_pooled"]), atol=1e-5)


def test_padding_and_neighbours_change_no_vector(model: NomicMoeModel, batch: dict[str, Any]) -> None:
    model = copy.deepcopy(model).double()
    together = token_vectors(model, batch)
    for row, length in enumerate(batch["attention_mask"].sum(1)):
        alone = token_vectors(model, {key: value[row : row + 1, :length] for key, value in batch.items()})
        np.testing.assert_allclose(together[row, :length], alone[0], atol=5e-6)
        assert not together[row, length:].any()


def test_padding_on_the_left_shifts_positions_and_changes_no_vector(model: NomicMoeModel, batch: dict[str, Any]) -> None:
    """Rotary positions are relative."""
    model = copy.deepcopy(model).double()
    turned = token_vectors(model, {key: value[:, ::-1][:, np.argsort(batch["attention_mask"][1, ::-1], kind="stable")].copy() for key, value in batch.items()})
    length = batch["attention_mask"][1].sum()
    straight = {key: value[1:2, :length][:, ::-1].copy() for key, value in batch.items()}
    np.testing.assert_allclose(turned[1, -length:], token_vectors(model, straight)[0], atol=5e-6)


def test_a_batch_of_padding_only_is_computed(model: NomicMoeModel) -> None:
    nothing = {"input_ids": np.ones((2, 3), np.int64), "attention_mask": np.zeros((2, 3), np.int64)}
    assert token_vectors(model, nothing).shape == (2, 3, 48)


def test_bfloat16_stays_close(folder: Path, model: NomicMoeModel, batch: dict[str, Any]) -> None:
    half = AutoModel.from_pretrained(folder, dtype=torch.bfloat16).eval()
    assert half.dtype == torch.bfloat16
    pooled = [token_vectors(m, batch).sum(1) for m in (half, model)]
    half_unit, unit = (p / np.linalg.norm(p, axis=1, keepdims=True) for p in pooled)
    assert (half_unit * unit).sum(1).min() > 0.995


def test_every_tensor_of_the_checkpoint_is_in_the_model_under_its_name(folder: Path, model: NomicMoeModel) -> None:
    tensors = load_file(folder / "model.safetensors")
    assert model.state_dict().keys() == tensors.keys()
    assert all(torch.equal(value, tensors[name]) for name, value in model.state_dict().items())


def test_the_real_sizes_have_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = NomicMoeModel(NomicMoeConfig())
    assert len(model.state_dict()) == 148
    assert sum(p.numel() for p in model.parameters()) == 475_292_928


def test_new_weights_are_random_and_not_what_lay_in_memory() -> None:
    settings = {key: value for key, value in NOMIC_CONFIG.items() if key != "initializer_range"}
    model = NomicMoeModel(NomicMoeConfig.from_dict({**settings, "n_embd": 48, "n_inner": 96, "n_head": 4, "n_layer": 2, "initializer_range": 0.05}))
    mlp = model.encoder.layers[1].mlp
    for weight in (mlp.experts.mlp.w1, mlp.experts.mlp.w2, mlp.router.layer.weight):
        assert abs(weight.std().item() - 0.05) < 0.01
    assert not mlp.experts.bias.any()


def test_sentence_transformers_loads_it_with_its_prompts(folder: Path) -> None:
    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    assert isinstance(model[0].auto_model, NomicMoeModel)
    for vectors, prompt in ((model.encode_query(TEXTS), NOMIC_PROMPTS["query"]), (model.encode_document(TEXTS), NOMIC_PROMPTS["document"])):
        np.testing.assert_allclose(vectors, model.encode([prompt + text for text in TEXTS]), atol=1e-6)
    assert np.abs(model.encode_query(TEXTS) - model.encode_document(TEXTS)).max() > 0.01


def test_our_encoder_equals_the_referee_from_text_to_vector(folder: Path) -> None:
    encoder = SentenceEncoder(str(folder), device="cpu", batch_tokens=64, dtype="float32")
    assert encoder.dim == 48
    tokens = AutoTokenizer.from_pretrained(folder)([NOMIC_PROMPTS["query"] + text for text in TEXTS], padding=True, return_tensors="np")
    expected = SlowNomic(folder).pool(tokens["input_ids"], tokens["attention_mask"])
    np.testing.assert_allclose(encoder.encode(TEXTS, "query"), expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=2e-6)


def test_a_tokenizer_without_a_class_name_is_read_all_the_same(folder: Path, tmp_path: Path) -> None:
    expected = AutoTokenizer.from_pretrained(folder)(TEXTS)["input_ids"]
    shutil.copytree(folder, tmp_path / "m")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["tokenizer_class"]
    (tmp_path / "m" / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "m")
    assert tokenizer(TEXTS)["input_ids"] == expected
    assert tokenizer.pad_token_id == 1


def test_a_cross_encoder_from_an_encoder_has_its_weights_and_a_new_head(folder: Path, model: NomicMoeModel) -> None:
    network = CrossEncoder(str(folder), num_labels=1, device="cpu", model_kwargs={"dtype": torch.float32})[0].auto_model
    assert isinstance(network, NomicMoeForSequenceClassification)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in network.nomic.state_dict().items())
    assert {name for name in network.state_dict() if not name.startswith("nomic.")} == {
        f"classifier.{layer}.{part}" for layer in ("dense", "out_proj") for part in ("weight", "bias")
    }
    assert network.config.num_labels == 1
    assert network.classifier.out_proj.weight.std() > 0


def test_a_saved_classifier_gives_the_same_scores_and_its_encoder_back(tmp_path: Path) -> None:
    saved = nomic_reranker(tmp_path / "reranker", seed=3)
    network = CrossEncoder(str(saved), device="cpu", activation_fn=torch.nn.Identity())
    scores = network.predict([(TEXTS[0], text) for text in TEXTS])
    assert np.ptp(scores) > 0.05
    network.save_pretrained(str(tmp_path / "again"))
    again = CrossEncoder(str(tmp_path / "again"), device="cpu", activation_fn=torch.nn.Identity())
    np.testing.assert_array_equal(again.predict([(TEXTS[0], text) for text in TEXTS]), scores)
    encoder = AutoModel.from_pretrained(saved)
    expected = nomic_moe_tensors({**NOMIC_CONFIG, "n_embd": 48, "n_layer": 4, "n_head": 4, "n_inner": 96}, seed=3)
    assert all(torch.equal(value, expected[name]) for name, value in encoder.state_dict().items())


def test_what_we_save_names_our_own_kind_and_reloads_bit_equal_after_training(folder: Path, tmp_path: Path, batch: dict[str, Any]) -> None:
    model = AutoModel.from_pretrained(folder, dtype=torch.float32)
    before = copy.deepcopy(model.state_dict())
    model.gradient_checkpointing_enable()
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(2):
        _loss(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad()
    still = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    assert not still
    model.save_pretrained(tmp_path / "trained")
    config = json.loads((tmp_path / "trained" / "config.json").read_text())
    assert config["model_type"] == "clir_nomic_moe"
    assert config["architectures"] == ["NomicMoeModel"]
    assert "auto_map" not in config
    again = AutoModel.from_pretrained(tmp_path / "trained")
    assert type(again) is NomicMoeModel
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())


def test_gradient_checkpointing_gives_the_same_gradients(folder: Path, batch: dict[str, Any]) -> None:
    gradients = []
    for reentrant in (None, False, True):
        model = AutoModel.from_pretrained(folder, dtype=torch.float32).train()
        if reentrant is not None:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        if reentrant:
            model.enable_input_require_grads()
        _loss(model, batch).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == model.state_dict().keys()
    for other in gradients[1:]:
        assert other.keys() == gradients[0].keys()
        assert all(torch.allclose(gradient, gradients[0][name], rtol=1e-4, atol=1e-7) for name, gradient in other.items())


def test_mixed_precision_trains(folder: Path, batch: dict[str, Any]) -> None:
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = _loss(model, batch)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_classifier_learns_from_labels(folder: Path, batch: dict[str, Any]) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2, dtype=torch.float32).train()
    inputs = {key: torch.from_numpy(value) for key, value in batch.items()}
    output = model(**inputs, labels=torch.tensor([0, 1, 0, 1, 0, 1]))
    output.loss.backward()
    assert output.logits.shape == (6, 2)
    assert model.classifier.dense.weight.grad.abs().sum() > 0


def test_a_dense_nomic_stays_the_class_of_transformers(tmp_path: Path) -> None:
    sizes = {"vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = AutoConfig.for_model("nomic_bert", **sizes)
    assert type(config) is NomicBertConfig
    assert config.hidden_size == 32
    NomicBertModel(config).save_pretrained(tmp_path / "dense")
    again, report = AutoModel.from_pretrained(tmp_path / "dense", output_loading_info=True)
    assert type(again) is NomicBertModel
    assert not any(report.values())
    mixed = AutoConfig.for_model("nomic_bert", num_experts=4, **sizes)
    assert type(mixed) is NomicMoeConfig
    assert (mixed.n_embd, mixed.hidden_size, mixed.n_layer, mixed.num_experts) == (32, 32, 2, 4)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("moe_normalize_expert_weights", True),
        ("activation_function", "swiglu"),
        ("causal", True),
        ("prenorm", True),
        ("rotary_emb_interleaved", True),
        ("rotary_emb_fraction", 0.5),
        ("rotary_scaling_factor", 2.0),
        ("expert_choice_router", True),
        ("num_shared_experts", 1),
        ("use_rms_norm", True),
        ("qkv_proj_bias", False),
        ("mlp_fc1_bias", False),
        ("moe_every_n_layers", 3),
        ("resid_pdrop", 0.1),
        ("moe_top_k", 9),
        ("n_head", 5),
    ],
)
def test_a_mixture_of_another_kind_is_refused_by_name(tmp_path: Path, key: str, value: object) -> None:
    config = {**NOMIC_CONFIG, "n_embd": 48, "n_head": 4, key: value}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"does not compute: {'n_embd 48 does' if key == 'n_head' else f'{key} is {value}'.replace('swiglu', chr(39))}"):
        AutoConfig.from_pretrained(tmp_path)


def test_a_hub_model_is_loaded_at_the_revision_that_was_asked_for(tmp_path: Path) -> None:
    """Two commits in the hub's cache layout, offline, without remote code; main is the second."""
    commits = ["1" * 40, "2" * 40]
    repository = tmp_path / "hub" / "models--org--moe"
    for seed, commit in enumerate(commits):
        nomic_moe_encoder(repository / "snapshots" / commit, seed=seed)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commits[1])
    for revision, commit in ((commits[0], commits[0]), (None, commits[1])):
        network = SentenceTransformer("org/moe", revision=revision, cache_folder=str(tmp_path / "hub"), local_files_only=True, device="cpu")[0].auto_model
        tensors = load_file(repository / "snapshots" / commit / "model.safetensors")
        assert type(network) is NomicMoeModel
        assert all(torch.equal(value, tensors[name]) for name, value in network.state_dict().items())


def _loss(model: NomicMoeModel, batch: dict[str, np.ndarray[Any, Any]]) -> torch.Tensor:
    vectors = model(**{key: torch.from_numpy(value) for key, value in batch.items()}).last_hidden_state
    target = torch.linspace(-1, 1, vectors.shape[-1])
    return ((vectors - target) ** 2 * torch.from_numpy(batch["attention_mask"])[..., None]).mean()
