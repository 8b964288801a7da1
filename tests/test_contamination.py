from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from clir_bench.cli import main
from clir_bench.contamination import ORDER, Contamination, _known, _words, model_state, states, worst_of
from clir_bench.licences import CLASSES, chain_facts, licence_class, spdx, weights_gb
from clir_bench.models import ENCODERS, RERANKERS
from clir_bench.records import (
    EncodeStage,
    ExternalStage,
    FuseStage,
    LexicalStage,
    ModelReference,
    RerankStage,
    SearchStage,
    Stage,
    TrainingSource,
    TranslateStage,
)
from clir_bench.training_data import HOLDS, SAME

DEFINITIONS = sorted((Path(__file__).parents[1] / "tasks").rglob("*.toml"))
MMARCO, CLIRMATRIX, LARGE_SCALE = ("MS MARCO", "mMARCO"), ("Wikipedia (dumps of 2020)", "CLIRMatrix"), ("Wikipedia (dumps of 2017)", "Large-Scale CLIR")
BM25 = LexicalStage(kind="lexical", method="bm25", formula="rank_bm25.BM25Okapi", tokenizer="whitespace", k1=1.5, b=0.75, epsilon=0.25)
EXACT = SearchStage(kind="search", index="exact")


def model(name: str, *trained_on: tuple[str, str], disclosed: bool = True, adapted_from: str | None = None, **facts: object) -> ModelReference:
    sources = tuple(TrainingSource(dataset=dataset, split=split) for dataset, split in trained_on) if disclosed else None
    return ModelReference(name=name, revision="0" * 40, trained_on=sources, adapted_from=adapted_from, **facts)


def encode(reference: ModelReference, dtype: str = "float32") -> EncodeStage:
    return EncodeStage(
        kind="encode", model=reference, protocol="native", pooling="mean", normalize=True, similarity="cosine", max_tokens=512, query_prompt="",
        document_prompt="", dtype=dtype,
    )  # fmt: skip


def rerank(reference: ModelReference) -> RerankStage:
    return RerankStage(kind="rerank", model=reference, depth=100, max_tokens=512, template="", dtype="bfloat16")


def translate(texts: str, name: str = "facebook/nllb-200-distilled-600M", **facts: object) -> TranslateStage:
    return TranslateStage(kind="translate", texts=texts, source="nllb", model=ModelReference(name=name, revision="1", **facts))


# contamination


def test_e5_has_seen_the_source_of_mmarco_and_bge_its_train_split() -> None:
    e5 = model_state(model("intfloat/multilingual-e5-large", disclosed=False), MMARCO)
    assert e5 == Contamination("source_seen", "intfloat/multilingual-e5-large was trained on MS MARCO")
    assert model_state(model("BAAI/bge-m3", disclosed=False), MMARCO) == ("train_split_seen", "BAAI/bge-m3 was trained on mMARCO (train)")


def test_a_model_that_nothing_is_known_of_is_never_clean() -> None:
    for name in ("nomic-ai/nomic-embed-text-v2-moe", "some/model"):
        found = model_state(model(name, disclosed=False), MMARCO)
        assert found == ("undisclosed", f"what {name} was trained on is not known")


def test_a_task_that_does_not_say_what_it_is_made_of_makes_no_model_clean() -> None:
    assert model_state(model("some/model", ("SNLI", "train")), ()).state == "undisclosed"
    assert states([BM25], ()).state == "clean"


@pytest.mark.parametrize(
    ("source", "split", "contains", "state"),
    [
        ("SNLI", "train", MMARCO, "clean"),
        ("MS MARCO", "train", MMARCO, "source_seen"),
        ("mMARCO", "train", MMARCO, "train_split_seen"),
        ("mMARCO", "dev", MMARCO, "test_seen"),
        ("MS MARCO", "dev", MMARCO, "test_seen"),
        ("mMARCO", "test", MMARCO, "test_seen"),
        ("CLIRMatrix", "dev", CLIRMATRIX, "train_split_seen"),
        ("CLIRMatrix", "test", CLIRMATRIX, "test_seen"),
        ("Wikipedia", "train", CLIRMATRIX, "source_seen"),
        ("CLIRMatrix", "test", LARGE_SCALE, "source_seen"),
        ("AfriCLIRMatrix", "train", CLIRMATRIX, "source_seen"),
        ("MIRACL", "train", MMARCO, "clean"),
        ("MIRACL", "train", CLIRMATRIX, "source_seen"),
    ],
)
def test_the_state_follows_from_data_set_and_split(source: str, split: str, contains: tuple[str, ...], state: str) -> None:
    found = model_state(model("some/model", (source, split)), contains)
    assert found.state == state
    assert source in found.reason or state == "clean"


@pytest.mark.parametrize(
    "spelled", ["msmarco", "MS-MARCO", "microsoft/ms_marco", "mteb/msmarco-v2", "English MSMARCO passages", "nanoMSMARCO", "MSMARCO-PL", "NanoMSMARCORetrieval"]
)
def test_a_data_set_is_known_in_every_spelling(spelled: str) -> None:
    assert model_state(model("some/model", (spelled, "train")), MMARCO).state == "source_seen"


@pytest.mark.parametrize("spelled", ["CLIRMatrix MULTI-8", "multi-8", "clirmatrix/bi139-base"])
def test_parts_of_a_data_set_are_that_data_set(spelled: str) -> None:
    assert model_state(model("some/model", (spelled, "train")), CLIRMATRIX).state == "train_split_seen"


def test_a_submitter_can_add_to_the_table_but_not_take_away() -> None:
    assert model_state(model("intfloat/multilingual-e5-large"), MMARCO).state == "source_seen"
    assert model_state(model("Intfloat/Multilingual-E5-Large", ("SNLI", "train")), MMARCO).state == "source_seen"
    assert model_state(model("intfloat/multilingual-e5-large", ("mMARCO", "train")), MMARCO).state == "train_split_seen"


def test_a_model_inherits_the_training_data_of_the_one_it_was_adapted_from() -> None:
    child = model("some/child", ("SNLI", "train"), adapted_from="intfloat/multilingual-e5-large")
    reason = "some/child comes from intfloat/multilingual-e5-large: intfloat/multilingual-e5-large was trained on MS MARCO"
    assert model_state(child, MMARCO) == ("source_seen", reason)
    assert model_state(model("some/child", ("SNLI", "train"), adapted_from="FacebookAI/xlm-roberta-base"), MMARCO).state == "clean"
    assert model_state(model("some/child", ("SNLI", "train"), adapted_from="some/parent"), MMARCO).state == "undisclosed"
    assert model_state(model("some/child", disclosed=False, adapted_from="FacebookAI/xlm-roberta-base"), MMARCO).state == "undisclosed"


def test_a_chain_is_as_bad_as_its_worst_model() -> None:
    clean, unknown, seen = model("some/clean"), model("some/unknown", disclosed=False), model("some/seen", ("MS MARCO", "train"))
    fuse = FuseStage(kind="fuse", method="reciprocal-rank", k=60, systems=2, depth=100)
    assert states([BM25], MMARCO) == ("clean", "BM25 is not trained")
    assert states([encode(clean), EXACT], MMARCO).state == "clean"
    assert states([encode(clean), EXACT, BM25, fuse, rerank(unknown)], MMARCO).state == "undisclosed"
    worst = states([encode(unknown), EXACT, encode(seen), EXACT, fuse, rerank(clean)], MMARCO)
    assert worst == ("source_seen", "some/seen was trained on MS MARCO")
    assert states([ExternalStage(kind="external", model=seen, source="mteb")], MMARCO) == worst


def test_a_translator_is_named_and_not_counted() -> None:
    found = states([translate("documents"), translate("queries", "deepl/service"), BM25], MMARCO)
    assert found == ("clean", "BM25 is not trained; translation by facebook/nllb-200-distilled-600M and deepl/service is not counted")


def test_a_long_list_of_sources_is_cut() -> None:
    many = model("some/model", *((f"MS MARCO part {i}", "train") for i in range(200)))
    reason = "some/model was trained on MS MARCO part 0, MS MARCO part 1, MS MARCO part 2 and 197 more"
    assert model_state(many, MMARCO) == ("source_seen", reason)


def test_the_order_of_states_is_that_of_the_filters() -> None:
    assert ORDER[:2] == ("clean", "undisclosed")
    found = [Contamination(state, str(i)) for i, state in enumerate((*ORDER, *ORDER))]
    assert worst_of(found) == ("test_seen", "4")


@pytest.mark.parametrize("name", ["Acme Search Logs 2026", "click-logs", "our own pairs", "acme/web-crawl", "medical notes", "mteb/acme", "x"])
def test_a_data_set_that_is_not_known_never_counts_as_clean(name: str) -> None:
    for contains in (MMARCO, CLIRMATRIX, ("clir-bench sample",)):
        found = model_state(model("some/model", ("SNLI", "train"), (name, "train")), contains)
        assert found == ("undisclosed", f"some/model was trained on {name}, which is not known here")
    assert model_state(model("some/model", (name, "train"), ("MS MARCO", "train")), MMARCO) == ("source_seen", "some/model was trained on MS MARCO")
    child = model_state(model("some/child", (name, "train"), adapted_from="intfloat/multilingual-e5-large"), MMARCO)
    assert child.state == "source_seen"
    two = model_state(model("some/model", (name, "train"), ("another one", "train")), MMARCO)
    assert two.reason == f"some/model was trained on {name} and another one, which are not known here"


@pytest.mark.parametrize(
    "name",
    [
        "SNLI",
        "all-nli",
        "NQHardNegatives",
        "MLQARetrieval",
        "SQuAD",
        "Wikipedia",
        "CC-100",
        "mteb/scifact",
        "BeIR/fiqa",
        "STS12",
        "Tatoeba",
        "XL-WiC",
        "OSCAR",
        "MIRACL",
    ],
)
def test_a_known_data_set_that_is_another_stays_clean(name: str) -> None:
    assert model_state(model("some/model", (name, "train")), MMARCO).state == "clean"


@pytest.mark.parametrize(
    ("mixture", "of_mmarco", "of_clirmatrix"),
    [
        ("BEIR", "source_seen", "source_seen"),
        ("TREC DL 2019", "source_seen", "clean"),
        ("TREC-DL-20", "source_seen", "clean"),
        ("TREC 2019 Deep Learning Track", "source_seen", "clean"),
        ("sentence-transformers/embedding-training-data", "source_seen", "source_seen"),
        ("E5 fine-tuning data", "source_seen", "source_seen"),
        ("CCPairs", "clean", "source_seen"),
        ("cfli/bge-full-data", "train_split_seen", "source_seen"),
        ("Shitao/bge-m3-data", "train_split_seen", "source_seen"),
        ("GTE multilingual mixture", "train_split_seen", "source_seen"),
        ("rlhn/rlhn-680K", "source_seen", "source_seen"),
        ("MTEB", "train_split_seen", "source_seen"),
    ],
)
def test_a_mixture_is_what_it_holds(mixture: str, of_mmarco: str, of_clirmatrix: str) -> None:
    trained = model("some/model", (mixture, "train"))
    assert (model_state(trained, MMARCO).state, model_state(trained, CLIRMATRIX).state) == (of_mmarco, of_clirmatrix)


def test_beir_evaluates_ms_marco_on_the_queries_of_mmarco() -> None:
    for split in ("dev", "test"):
        assert model_state(model("some/model", ("BEIR", split)), MMARCO).state == "test_seen"
    assert model_state(model("some/model", ("BeIR/scifact", "test")), MMARCO).state == "clean"


def test_what_definitions_say_of_their_sources_is_known() -> None:
    known = 0
    for path in DEFINITIONS:
        contains = tomllib.loads(path.read_text()).get("contains") or []
        assert all(_known(name) for name in contains), path.name
        if contains:
            *originals, own = ("".join(_words(name.partition(" (")[0])) for name in contains)
            assert set(HOLDS[own]) == set(originals), path.name
            known += 1
    assert known == len(DEFINITIONS)


def test_the_table_names_each_data_set_once_and_only_what_it_knows() -> None:
    assert {held for holds in HOLDS.values() for held in holds} | set(SAME.values()) <= set(HOLDS)
    assert not set(SAME) & set(HOLDS)
    for name in (*HOLDS, *SAME):
        assert "".join(_words(name)) == name
        assert SAME.get(name, name) in _known(name)


def test_every_model_of_the_table_has_a_state_on_every_task() -> None:
    assert all(_known(name) for row in (*ENCODERS, *RERANKERS) for name in row.trained_on or ())
    for path in DEFINITIONS:
        contains = tomllib.loads(path.read_text()).get("contains", ())
        for row in (*ENCODERS, *RERANKERS):
            found = model_state(model(row.name, disclosed=False), contains)
            assert (found.state == "undisclosed") == (row.trained_on is None or not contains)


def test_a_training_source_is_short_and_printable() -> None:
    with pytest.raises(ValidationError, match=r"control character"):
        TrainingSource(dataset="MS\x1bMARCO")
    with pytest.raises(ValidationError, match=r"at most 200"):
        TrainingSource(dataset="a" * 201)
    stated = '{"name": "a/b", "revision": "1", "trained_on": [{"dataset": "mMARCO", "split": "dev"}], "adapted_from": "c/d"}'
    read = ModelReference.model_validate_json(stated)
    assert read.trained_on == (TrainingSource(dataset="mMARCO", split="dev"),)
    assert ModelReference.model_validate_json(read.model_dump_json()) == read


# licences and sizes


@pytest.mark.parametrize(
    ("text", "identifier", "kind"),
    [
        ("mit", "MIT", "open"),
        ("Apache License, Version 2.0", "Apache-2.0", "open"),
        ("apache-2.0", "Apache-2.0", "open"),
        ("bsd-3-clause", "BSD-3-Clause", "open"),
        ("CC BY 4.0", "CC-BY-4.0", "open"),
        ("cc-by-sa-3.0", "CC-BY-SA-3.0", "open"),
        ("cc-by-nc-4.0", "CC-BY-NC-4.0", "restricted"),
        ("cc-by-nc-sa-4.0", "CC-BY-NC-SA-4.0", "restricted"),
        ("cc-by-nd-4.0", "CC-BY-ND-4.0", "restricted"),
        ("gemma", "gemma", "restricted"),
        ("Gemma (gated)", "Gemma (gated)", "restricted"),
        ("llama3.1", "llama3.1", "restricted"),
        ("bigscience-openrail-m", "bigscience-openrail-m", "restricted"),
        ("apple-amlr", "apple-amlr", "restricted"),
        ("MS MARCO (non-commercial)", "MS MARCO (non-commercial)", "restricted"),
        ("proprietary", "proprietary", "proprietary"),
        ("my own licence", "my own licence", "unknown"),
        ("mitigated", "mitigated", "unknown"),
        ("other", None, "unknown"),
        ("", None, "unknown"),
        (None, None, "unknown"),
    ],
)
def test_a_licence_has_an_identifier_and_a_class(text: str | None, identifier: str | None, kind: str) -> None:
    assert spdx(text) == identifier
    assert licence_class(text) == kind
    assert licence_class(identifier) == kind


def test_every_licence_of_the_table_has_a_class() -> None:
    assert {licence_class(row.licence) for row in (*ENCODERS, *RERANKERS)} == {"open", "restricted"}


def test_unknown_weights_are_none_and_never_zero() -> None:
    known = model("a/b", parameters=560_000_000, weights_bytes=2_240_000_000)
    assert (weights_gb(known, "published"), weights_gb(known, "float16")) == (2.24, 1.12)
    nothing = model("a/b")
    assert (weights_gb(nothing, "published"), weights_gb(nothing, "float16")) == (None, None)


def test_facts_of_a_chain_are_of_all_that_is_loaded_for_a_query() -> None:
    small = model("a/small", parameters=100, weights_bytes=400, licence="mit", embedding_dim=384)
    large = model("a/large", parameters=1000, weights_bytes=2000, licence="apache-2.0", embedding_dim=1024)
    scorer = model("a/scorer", parameters=50, weights_bytes=100, licence="cc-by-nc-4.0")
    fuse = FuseStage(kind="fuse", method="reciprocal-rank", k=60, systems=3, depth=100)
    chain: list[Stage] = [translate("documents"), encode(small), EXACT, encode(large), EXACT, BM25, fuse, rerank(scorer)]
    facts = chain_facts(chain)
    assert facts == (("a/small", "a/large", "a/scorer"), 1150, 2500, "MIT + Apache-2.0 + CC-BY-NC-4.0", "restricted", 1408, "float32 + bfloat16")
    assert weights_gb(facts, "float16") == 2300 / 1e9
    asked = chain_facts([translate("queries", parameters=7, weights_bytes=9, licence="mit"), *chain[1:]])
    assert (asked.parameters, asked.weights_bytes) == (1157, 2509)


def test_one_unknown_makes_the_sum_unknown() -> None:
    facts = chain_facts([encode(model("a/small", parameters=100, licence="mit")), EXACT, rerank(model("a/scorer", weights_bytes=5))])
    assert (facts.parameters, facts.weights_bytes, facts.licence, facts.licence_class, facts.embedding_dim) == (None, None, None, "unknown", None)
    assert CLASSES.index("unknown") > CLASSES.index("open")


def test_bm25_loads_nothing() -> None:
    assert chain_facts([BM25]) == ((), 0, 0, None, "open", None, None)


def test_a_model_that_is_used_twice_is_loaded_once() -> None:
    shared = model("a/b", parameters=10, weights_bytes=20, licence="mit", embedding_dim=4)
    facts = chain_facts([encode(shared), EXACT, encode(shared), EXACT])
    assert (facts.models, facts.parameters, facts.licence) == (("a/b",), 10, "MIT")


def test_models_command_tells_states_with_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    rows = {row["key"]: row for row in json.loads(capsys.readouterr().out)["encoders"]}
    assert rows["me5"]["contamination"]["mmarco"] == {"state": "source_seen", "reason": "intfloat/multilingual-e5-large was trained on MS MARCO"}
    assert rows["nomic"]["contamination"]["clirmatrix"]["state"] == "undisclosed"
    assert main(["models"]) == 0
    assert "train split seen" in " ".join(capsys.readouterr().out.split())
