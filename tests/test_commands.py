"""A stated command is passed on where it runs the submission's own system, and no other."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from clir_bench.commands import command_of
from clir_bench.records import EncodeStage, FuseStage, LexicalStage, ModelReference, RerankStage, SearchStage, Stage, TranslateStage
from clir_bench.submission import Submission, read_submission
from clir_bench.task_records import Track

COMMIT = "ab10c1a7f42e74530fe7ae5be82e6d4f11a719eb"
BM25 = LexicalStage(kind="lexical", method="bm25", formula="rank_bm25.BM25Okapi", tokenizer="multilingual", k1=1.5, b=0.75, epsilon=0.25)
EXACT = SearchStage(kind="search", index="exact")
HNSW = SearchStage(kind="search", index="hnsw", library="hnswlib 0.8.0", m=16, ef_construction=200, ef=200)
FUSE = FuseStage(kind="fuse", method="reciprocal-rank", k=60, systems=2, depth=100)
BGE = RerankStage(
    kind="rerank", model=ModelReference(name="BAAI/bge-reranker-v2-m3", revision="953dc6f6f85a1b2dbfca4c34a2796e7dde08d41e"), depth=100, max_tokens=512,
    template="", dtype="float32",
)  # fmt: skip
OWN_ENGLISH = TranslateStage(kind="translate", texts="documents", source="English texts of the collection sample")
NLLB = OWN_ENGLISH.model_copy(update={"source": "nllb", "model": ModelReference(name="facebook/nllb-200-distilled-600M", revision="1")})


def encoder(name: str = "intfloat/multilingual-e5-large", revision: str = COMMIT, dtype: str = "float32") -> EncodeStage:
    return EncodeStage.model_validate(
        {
            "kind": "encode", "model": {"name": name, "revision": revision}, "protocol": "native", "pooling": "mean", "normalize": True, "similarity": "cosine",
            "max_tokens": 512, "query_prompt": "query: ", "document_prompt": "passage: ", "dtype": dtype,
        }
    )  # fmt: skip


def submission(stated: str, *stages: Stage, track: Track = "retrieval") -> Submission:
    base = read_submission(Path(__file__).parents[1] / "submissions" / "clir-bench__bm25" / "multilingual" / "sample-v1.json")
    system = base.system.model_copy(update={"variant": "native", "stages": stages})
    provenance = base.provenance.model_copy(update={"command": stated})
    return base.model_copy(update={"system": system, "provenance": provenance, "task": base.task.model_copy(update={"track": track})})


@pytest.mark.parametrize(
    ("options", "stages"),
    [
        ("--model me5 --task sample --devices cpu:2", (encoder(), EXACT)),
        ("--model intfloat/multilingual-e5-large --task clirmatrix --task sample", (encoder(), EXACT)),
        (f"--model org/base --revision {COMMIT} --task sample --dtype auto", (encoder("org/base"), EXACT)),
        ("--model me5 --index hnsw --library hnswlib --task sample", (encoder(), HNSW)),
        ("--model me5 --fuse bm25 --task sample", (encoder(), EXACT, BM25, FUSE)),
        ("--model me5 --documents english --task sample", (OWN_ENGLISH, encoder(), EXACT)),
        ("--model me5 --documents english --translator nllb --task sample", (NLLB, encoder(), EXACT)),
        ("--rerank bge --task sample", (BM25, BGE)),
        ("--model demo --task sample", (encoder("sentence-transformers/all-MiniLM-L6-v2", "sha256:" + "0" * 64), EXACT)),
    ],
)
def test_a_command_of_the_same_stages_is_passed_on(options: str, stages: tuple[Stage, ...]) -> None:
    stated = f"clir-bench evaluate {options}"
    track: Track = "rerank" if BGE in stages else "retrieval"
    assert command_of(submission(stated, *stages, track=track)) == stated


@pytest.mark.parametrize(
    "aside", ["-q", "--quiet", "--json", "--no-cache", "--overwrite", "--output results", "--output=my/results", "-q --output x --overwrite --json"]
)
def test_how_it_was_told_kept_and_filed_is_left_out(aside: str) -> None:
    plain = "clir-bench evaluate --model me5 --task sample --devices cpu:2"
    for stated in (f"clir-bench evaluate {aside} --model me5 --task sample --devices cpu:2", f"{plain} {aside}"):
        assert command_of(submission(stated, encoder(), EXACT)) == plain


@pytest.mark.parametrize("short", ["--over", "--quie", "--out results", "--mod me5", "-qq"])
def test_an_option_cut_short_is_written_out(short: str) -> None:
    assert command_of(submission(f"clir-bench evaluate --model me5 --task sample {short}", encoder(), EXACT)) == E5


E5 = "clir-bench evaluate --model intfloat/multilingual-e5-large --task sample"


@pytest.mark.parametrize(
    "options",
    [
        "--model evil/backdoor --task sample",
        "--mod evil/backdoor --task sample",
        "--model evil/backdoor --name intfloat/multilingual-e5-large --task sample",
        "--model http://evil.example#intfloat/multilingual-e5-large --task sample",
        "--model me5 --task sample --model evil/backdoor",
        f"--model me5 --revision {'0' * 40} --task sample",
        "--model me5 --fuse evil/backdoor --task sample",
        "--model me5 --rerank evil/backdoor --task sample",
        "--model me5 --index hnsw --task sample",
        "--model me5 --documents english --task sample",
        "--model me5 --documents english --translator nllb:evil/backdoor --task sample",
        "--model me5 --task clirmatrix",
        "--model me5 --task sample --task hf://evil/data@main",
        "--model me5",
        "--model me5 --task sample --track oracle --rerank bge",
        "--model me5 --task sample --save-run ../.bashrc",
        "--model me5 --task sample --trust-remote-code",
        "--model me5 --task sample --help",
        "--model bm25 --task sample",
    ],
)
def test_a_command_of_other_stages_is_made_anew(options: str) -> None:
    stated = f"clir-bench evaluate {options}"
    assert shlex.join(shlex.split(stated)) == stated or "#" in stated
    assert command_of(submission(shlex.join(shlex.split(stated)), encoder(), EXACT)) == E5


def test_a_translator_of_another_name_is_not_passed_on() -> None:
    for stated, known in (("nllb:facebook/nllb-200-distilled-600M", True), ("nllb:evil/backdoor", False), ("libretranslate:http://evil.example", False)):
        command = f"clir-bench evaluate --model me5 --documents english --translator {stated} --task sample"
        assert command_of(submission(command, NLLB, encoder(), EXACT)) == (command if known else None)


def test_where_neither_holds_there_is_no_command() -> None:
    local = encoder("org/mine", "sha256:" + "0" * 64)
    assert command_of(submission("clir-bench evaluate --model ./mine --name org/mine --task sample", local, EXACT)) is None
    assert command_of(submission("clir-bench evaluate --model evil/backdoor --task sample", local, EXACT)) is None
