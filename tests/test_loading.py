"""The guard on model loads: what does not fit is refused by name, heads that an encoder does not use are not."""

from __future__ import annotations

import json
import logging as python_logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification, BertConfig, BertForPreTraining, PreTrainedModel, modeling_utils
from transformers.utils import logging

from clir_bench.errors import ModelError
from clir_bench.parts.encoder import SentenceEncoder
from clir_bench.parts.loading import guarded
from clir_bench.parts.nomic_moe import register

Tensors = dict[str, torch.Tensor]
register()
logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def change(folder: Path, how: Callable[[Tensors], Tensors]) -> Path:
    """Write the checkpoint anew with other tensors."""
    tensors = how({name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()})
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def without(part: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if part not in name}


@pytest.fixture
def nomic(tmp_path: Path) -> Path:
    return checkpoints.nomic_moe_encoder(tmp_path / "nomic")


@pytest.mark.parametrize("encoder", ["xlmr_encoder", "bert_encoder", "modernbert_encoder", "nomic_moe_encoder", "qwen3_encoder"])
def test_every_kind_of_encoder_as_the_hub_has_it_is_let_through(tmp_path: Path, encoder: str) -> None:
    folder = getattr(checkpoints, encoder)(tmp_path / "m")
    for protocol in ("native", "paper"):
        assert SentenceEncoder(str(folder), device="cpu", protocol=protocol).encode(["a"], "query").shape[0] == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("reranker", ["xlmr_reranker", "bert_reranker", "modernbert_reranker", "nomic_reranker", "causal_reranker"])
def test_every_kind_of_reranker_is_let_through(tmp_path: Path, reranker: str) -> None:
    folder = getattr(checkpoints, reranker)(tmp_path / "m")
    with guarded("m"):
        CrossEncoder(str(folder), device="cpu")


@pytest.mark.parametrize("reranker", ["xlmr_reranker", "bert_reranker", "modernbert_reranker", "nomic_reranker"])
def test_an_encoder_may_be_taken_from_a_classifier(tmp_path: Path, reranker: str) -> None:
    with guarded("m"):
        AutoModel.from_pretrained(getattr(checkpoints, reranker)(tmp_path / "m"))


def test_an_encoder_may_be_taken_from_berts_pretraining(tmp_path: Path) -> None:
    config = BertConfig(vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    BertForPreTraining(config).save_pretrained(tmp_path / "m")
    with guarded("m"):
        AutoModel.from_pretrained(tmp_path / "m")


def test_missing_tensors_are_refused_by_name(nomic: Path) -> None:
    change(nomic, without("layers.3.mlp.experts.mlp"))
    with (
        pytest.raises(
            ModelError, match=r"^org/m: .*NomicMoeModel: 2 tensors missing \(encoder.layers.3.mlp.experts.mlp.w1, encoder.layers.3.mlp.experts.mlp.w2\)"
        ),
        guarded("org/m"),
    ):
        AutoModel.from_pretrained(nomic)


def test_unexpected_tensors_are_refused_by_name(nomic: Path) -> None:
    change(nomic, lambda tensors: {**tensors, "encoder.layers.0.mlp.gate.weight": torch.zeros(2)})
    with pytest.raises(ModelError, match=r"1 tensors unexpected \(encoder.layers.0.mlp.gate.weight\)"), guarded("m"):
        AutoModel.from_pretrained(nomic)


@pytest.mark.parametrize("ignoring", [False, True])
def test_tensors_of_another_shape_are_refused_even_where_the_caller_would_have_them(nomic: Path, ignoring: bool) -> None:
    change(nomic, lambda tensors: {**tensors, "emb_ln.weight": torch.zeros(3)})
    with pytest.raises(ModelError, match=r"1 tensors mismatched \(emb_ln.weight\)"), guarded("m"):
        AutoModel.from_pretrained(nomic, ignore_mismatched_sizes=ignoring)


def test_of_many_tensors_the_first_are_named_and_the_rest_counted(nomic: Path) -> None:
    change(nomic, without("encoder.layers.1"))
    with pytest.raises(ModelError, match=r"12 tensors missing \((encoder\.layers\.1\.[\w.]+, ){8}4 more\)"), guarded("m"):
        AutoModel.from_pretrained(nomic)


def test_a_mixture_of_experts_taken_for_the_dense_model_is_refused(tmp_path: Path) -> None:
    """The silent load of transformers 5, at sizes where no shape betrays it."""
    from transformers import NomicBertConfig, NomicBertModel

    folder = checkpoints.nomic_moe_encoder(tmp_path / "m")
    config = NomicBertConfig(vocab_size=512, hidden_size=48, num_hidden_layers=4, num_attention_heads=4, intermediate_size=96, type_vocab_size=1)
    with pytest.raises(ModelError, match=r"NomicBertModel: \d+ tensors missing .*\d+ tensors unexpected"), guarded("m"):
        NomicBertModel.from_pretrained(folder, config=config)


def test_our_encoder_refuses_a_checkpoint_that_is_half_random(tmp_path: Path) -> None:
    folder = change(checkpoints.xlmr_encoder(tmp_path / "m"), without("layer.1.attention"))
    for protocol in ("native", "paper"):
        with pytest.raises(ModelError, match=r"m: the checkpoint does not fit XLMRobertaModel: 10 tensors missing \(encoder.layer.1.attention"):
            SentenceEncoder(str(folder), device="cpu", protocol=protocol)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoder", ["xlmr_encoder", "bert_encoder", "modernbert_encoder", "nomic_moe_encoder"])
def test_a_classifier_without_a_head_is_refused_unless_one_is_to_be_trained(tmp_path: Path, encoder: str) -> None:
    folder = str(getattr(checkpoints, encoder)(tmp_path / "m"))
    with pytest.raises(ModelError, match=r"tensors missing \(classifier.*encoder's: name a reranker, or train the head first"), guarded("m"):
        AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    with guarded("m", new_head=True):
        AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)


def test_a_new_head_excuses_no_other_tensor(nomic: Path) -> None:
    change(nomic, without("layers.2.norm1"))
    with pytest.raises(ModelError, match=r"2 tensors missing \(nomic.encoder.layers.2.norm1.bias, "), guarded("m", new_head=True):
        AutoModelForSequenceClassification.from_pretrained(nomic, num_labels=1)


def test_an_encoder_is_not_excused_by_a_classifiers_head(tmp_path: Path) -> None:
    """``head.`` may be left over by an encoder, never lacking in a causal model."""
    folder = checkpoints.causal_reranker(tmp_path / "m", tie_word_embeddings=False)
    with guarded("m"):
        AutoModelForCausalLM.from_pretrained(folder)
    change(folder, without("lm_head"))
    with pytest.raises(ModelError, match=r"1 tensors missing \(lm_head.weight\)"), guarded("m", new_head=True):
        AutoModelForCausalLM.from_pretrained(folder)


def test_afterwards_transformers_is_as_it_was(nomic: Path) -> None:
    before = (modeling_utils.log_state_dict_report, PreTrainedModel.__init__)
    with guarded("m"):
        assert modeling_utils.log_state_dict_report is not before[0]
        AutoModel.from_pretrained(nomic)
    assert (modeling_utils.log_state_dict_report, PreTrainedModel.__init__) == before
    with pytest.raises(ZeroDivisionError), guarded("m"):
        1 / 0  # noqa: B018
    assert (modeling_utils.log_state_dict_report, PreTrainedModel.__init__) == before


def test_an_error_that_a_bad_checkpoint_causes_later_is_told_as_the_bad_checkpoint(nomic: Path) -> None:
    change(nomic, without("emb_ln"))
    with pytest.raises(ModelError, match="2 tensors missing"), guarded("m"):
        AutoModel.from_pretrained(nomic)
        raise ValueError("what comes of it")


def test_a_report_that_no_longer_comes_is_an_error(nomic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a release of transformers that reports in another way."""
    monkeypatch.setattr(PreTrainedModel, "_finalize_model_loading", staticmethod(lambda model, load_config, loading_info: loading_info))
    with pytest.raises(ModelError, match="loaded NomicMoeModel without a report of the tensors"), guarded("m"):
        AutoModel.from_pretrained(nomic)


def test_transformers_own_table_is_not_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = checkpoints.xlmr_encoder(tmp_path / "m")
    python_logging.getLogger("transformers").addHandler(caplog.handler)
    try:
        AutoModel.from_pretrained(folder)
        assert "LOAD REPORT" in caplog.text
        caplog.clear()
        with guarded("m"):
            AutoModel.from_pretrained(folder)
        assert "LOAD REPORT" not in caplog.text
    finally:
        python_logging.getLogger("transformers").removeHandler(caplog.handler)


def test_what_another_thread_loads_is_its_own_affair(nomic: Path, tmp_path: Path) -> None:
    bad = change(checkpoints.nomic_moe_encoder(tmp_path / "bad"), without("emb_ln"))
    loaded: list[Any] = []
    with guarded("m"):
        other = threading.Thread(target=lambda: loaded.append(AutoModel.from_pretrained(bad)))
        other.start()
        other.join()
        AutoModel.from_pretrained(nomic)
    assert len(loaded) == 1


def test_a_model_without_transformers_needs_no_report(tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    words = checkpoints.xlmr_tokenizer().backend_tokenizer
    SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=16)], device="cpu").save(str(tmp_path / "static"))
    with guarded("m"):
        SentenceTransformer(str(tmp_path / "static"), device="cpu")


def test_the_config_of_a_mixture_that_is_not_computed_is_told_by_our_encoder(nomic: Path) -> None:
    settings = json.loads((nomic / "config.json").read_text())
    (nomic / "config.json").write_text(json.dumps({**settings, "moe_normalize_expert_weights": True}))
    with pytest.raises(ModelError, match="moe_normalize_expert_weights is True, expected False"):
        SentenceEncoder(str(nomic), device="cpu")
