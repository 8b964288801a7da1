"""Encoders of mteb's registry: the vectors of the same model loaded by ourselves, mteb's prompts, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import bert_encoder

from clir_bench.errors import ModelError
from clir_bench.parts.cache import Cached
from clir_bench.parts.encoder import SentenceEncoder

pytest.importorskip("mteb")

from mteb.models import ModelMeta
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.instruct_wrapper import InstructSentenceTransformerModel
from mteb.models.model_implementations import MODEL_REGISTRY
from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper

from clir_bench.integrations import mteb_models
from clir_bench.integrations.mteb_models import MtebEncoder, find_meta

TEXTS = ["the river nile flows into the sea", "tea", "der Fluss fließt durch die Stadt " * 30, "河流入海", "rice " * 400]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert_encoder(tmp_path_factory.mktemp("m") / "tiny")


@pytest.fixture
def register() -> Iterator[Any]:
    """Put models into mteb's registry, by its own record of one."""
    added: list[str] = []

    def add(name: str | Path, loader: Any = SentenceTransformerEncoderWrapper, **facts: Any) -> str:
        meta = ModelMeta.create_empty(
            {"name": str(name), "revision": "abc", "loader": loader, "n_parameters": 12345, "license": "mit", "framework": ["PyTorch"], **facts}
        )
        MODEL_REGISTRY[str(name)] = meta
        added.append(str(name))
        return str(name)

    yield add
    for name in added:
        MODEL_REGISTRY.pop(name, None)


def test_vectors_are_those_of_our_own_encoder_and_the_facts_the_registrys(register: Any, checkpoint: Path, tmp_path: Path) -> None:
    theirs, ours = MtebEncoder(register(checkpoint), device="cpu"), SentenceEncoder(str(checkpoint), device="cpu")
    for role in ("query", "document"):
        vectors = theirs.encode(TEXTS, role)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, ours.encode(TEXTS, role), atol=2e-6)
    np.testing.assert_array_equal(Cached(theirs, tmp_path).encode(TEXTS, "document"), vectors)
    facts = theirs.facts()
    assert (facts.revision, facts.parameters, facts.licence, facts.dim, facts.dtype) == ("abc", 12345, "mit", ours.dim, "float32")
    assert (facts.max_tokens, facts.pooling) == (ours.max_tokens, ours.pooling)


def test_prompts_are_the_registrys_by_role_or_type(register: Any, checkpoint: Path) -> None:
    prompts = {"query": "tea: ", "document": "river: ", "Classification": "no"}
    theirs = MtebEncoder(register(checkpoint, loader_kwargs={"model_prompts": prompts}), device="cpu")
    ours = SentenceEncoder(str(checkpoint), device="cpu", query_prompt="tea: ", document_prompt="river: ")
    assert theirs.prompts == {"query": "tea: ", "document": "river: "}
    assert theirs.identity("query") != theirs.identity("document")
    for role in ("query", "document"):
        np.testing.assert_allclose(theirs.encode(TEXTS, role), ours.encode(TEXTS, role), atol=2e-6)


def test_an_instruction_is_mtebs_for_retrieval_and_on_record(register: Any, checkpoint: Path) -> None:
    options = {"instruction_template": "Instruct: {instruction}\nQuery: ", "apply_instruction_to_passages": False}
    theirs = MtebEncoder(register(checkpoint, InstructSentenceTransformerModel, loader_kwargs=options), device="cpu")
    assert theirs.prompts == {"query": "Instruct: Retrieve text based on user query.\nQuery: ", "document": ""}
    ours = SentenceEncoder(str(checkpoint), device="cpu", query_prompt=theirs.prompts["query"])
    for role in ("query", "document"):
        np.testing.assert_allclose(theirs.encode(TEXTS, role), ours.encode(TEXTS, role), atol=2e-6)


def test_length_and_dtype_can_be_set_and_decide_the_identity(register: Any, checkpoint: Path) -> None:
    name = register(checkpoint)
    made = [MtebEncoder(name, device="cpu", **options) for options in ({}, {"max_tokens": 8}, {"dtype": "bfloat16"})]
    assert len({json.dumps(encoder.identity("query")) for encoder in made}) == 3
    np.testing.assert_allclose(made[1].encode(TEXTS, "query"), SentenceEncoder(str(checkpoint), device="cpu", max_tokens=8).encode(TEXTS, "query"), atol=2e-6)
    assert made[2].dtype == "bfloat16"
    assert made[2].model.model.dtype == torch.bfloat16
    with pytest.raises(ModelError, match="max_tokens is 9000, but the model takes 256"):
        MtebEncoder(name, device="cpu", max_tokens=9000)


def custom(vectors: Any) -> Any:
    """A loader of a model's own, which gives what it is told to."""

    class Own(AbsEncoder):
        def __init__(self, *_: Any, **options: Any) -> None: ...

        def encode(self, inputs: Any, **options: Any) -> Any:
            return vectors(sum(len(batch["text"]) for batch in inputs))

    return Own


@pytest.mark.parametrize(
    ("vectors", "similarity", "message"),
    [
        (lambda n: [np.ones((3, 4))] * n, "cosine", "no matrix of one vector a text, but list"),
        (lambda n: np.ones((n, 3, 4)), "cosine", "no matrix of one vector a text"),
        (lambda n: np.arange(1, 4 * n + 1).reshape(n, 4), "dot", r"by inner product vectors of lengths 5\.48 to 13\.2, which clir-bench would normalise"),
    ],
)
def test_what_is_not_one_comparable_vector_a_text_is_refused(
    register: Any, monkeypatch: pytest.MonkeyPatch, vectors: Any, similarity: str, message: str
) -> None:
    monkeypatch.setattr(mteb_models, "_LOADERS", {f"{__name__}.custom.<locals>.Own"})
    with pytest.raises(ModelError, match=message):
        MtebEncoder(register("tests/own", custom(vectors), similarity_fn_name=similarity), device="cpu")


def remote(name: str, revision: str | None, **options: Any) -> Any:
    from transformers import AutoModel

    return AutoModel.from_pretrained(name, trust_remote_code=True)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"model_type": ["late-interaction"], "similarity_fn_name": "MaxSim"}, "type late-interaction compared by MaxSim; clir-bench takes dense"),
        ({"model_type": ["cross-encoder"]}, "type cross-encoder"),
        ({"similarity_fn_name": "euclidean"}, "compared by euclidean"),
        ({"modalities": ["image"]}, "it for image, not for text"),
        ({"loader": None}, "no way to load it"),
        ({"framework": ["API"]}, r"send every text to a service(.|\n)*--model https://host"),
        ({"loader_kwargs": {"trust_remote_code": True}}, r"trust_remote_code(.|\n)*--model tests/odd \(without 'mteb:'\)"),
        ({"loader_kwargs": {"model_kwargs": {"trust_remote_code": True}}}, "trust_remote_code"),
        ({"loader": remote}, r"by test_mteb_models\.remote, code of its own that clir-bench has not checked(.|\n)*--model tests/odd \(without 'mteb:'\)"),
        ({"framework": []}, r"does not say what runs it, which may be a service(.|\n)*--model https://host"),
    ],
)
def test_what_cannot_be_compared_or_would_run_foreign_code_is_refused_before_it_loads(register: Any, facts: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        find_meta(register("tests/odd", **facts), None, False)
    assert "trust" not in message or find_meta("tests/odd", None, True).name == "tests/odd"  # where the user says so


def test_a_branch_is_no_revision(register: Any, checkpoint: Path) -> None:
    name = register(checkpoint)
    MODEL_REGISTRY[name] = MODEL_REGISTRY[name].model_copy(update={"revision": None})
    assert find_meta(name, "abc", False).revision == "abc"
    with pytest.raises(ModelError, match=f"{checkpoint}: main is a branch.*--revision COMMIT"):
        find_meta(name, "main", False)


def test_names_and_revisions_are_the_registrys() -> None:
    with pytest.raises(ModelError, match=r"'intfloat/multilingual-e5-larg' not found in MTEB registry(.|\n)*Did you mean: 'intfloat/multilingual-e5-large'"):
        find_meta("intfloat/multilingual-e5-larg", None, False)
    with pytest.raises(ModelError, match="mteb has revision ab10c1a7f42e74530fe7ae5be82e6d4f11a719eb, not main"):
        find_meta("intfloat/multilingual-e5-large", "main", False)
    assert find_meta("intfloat/multilingual-e5-large", None, False).embed_dim == 1024
    with pytest.raises(ModelError, match="nomic-embed-text-v2-moe: mteb loads it with trust_remote_code"):
        find_meta("nomic-ai/nomic-embed-text-v2-moe", None, False)


@pytest.mark.parametrize("name", ["Cohere/Cohere-embed-v4.0", "llm-semantic-router/multi-modal-embed-large", "openai/text-embedding-3-small"])
def test_services_and_hidden_remote_code_of_the_registry_are_refused_even_where_remote_code_is_allowed(name: str) -> None:
    for remote_code in (False, True):
        with pytest.raises(ModelError, match=r"service|has not checked"):
            find_meta(name, None, remote_code)


def test_the_registrys_common_loaders_are_taken() -> None:
    for name in ("Qwen/Qwen3-Embedding-0.6B", "intfloat/multilingual-e5-large-instruct", "HIT-TMG/KaLM-embedding-multilingual-mini-instruct-v1"):
        assert find_meta(name, None, False).name == name
    assert all(mteb_models._loader_name(meta) not in mteb_models._LOADERS or "API" not in meta.framework for meta in MODEL_REGISTRY.values())


def test_a_checkpoint_that_does_not_fit_is_refused_as_it_is_without_mteb(register: Any, checkpoint: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    broken = Path(shutil.copytree(checkpoint, tmp_path / "broken"))
    tensors = load_file(broken / "model.safetensors")
    save_file({k: v for k, v in tensors.items() if "layer.1." not in k}, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="layer"):
        MtebEncoder(register(broken), device="cpu")
