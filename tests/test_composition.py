"""Systems compose: fusion, re-ranking, the oracle track, and every combination of the paper."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from functools import partial
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import xlmr_encoder, xlmr_reranker
from conftest import HashingEncoder, assembled, small_collection
from translation_servers import serve

from clir_bench import models
from clir_bench.assemble import Assembled, Runtime, build
from clir_bench.bias import language_profiles
from clir_bench.cli import main
from clir_bench.collection import NOTHING, Collection, FloatArray, Ranking, Texts
from clir_bench.compare import compare
from clir_bench.errors import ModelError, SubmissionError, TaskError
from clir_bench.evaluate import Translation, evaluate, settle_track
from clir_bench.measures import gold_ranks
from clir_bench.oracle import rerank_with_gold
from clir_bench.parts.okapi import Okapi
from clir_bench.parts.tokenizers import tokenize
from clir_bench.records import FuseStage, LexicalStage, RerankStage, TranslateStage
from clir_bench.retrieval import BM25, Fused, Reranked
from clir_bench.standings.shapes import board_key
from clir_bench.submission import disagreements, path_of, read_submission
from clir_bench.system import System, refuse_translation
from clir_bench.task import Task


class Given:
    """A retriever that returns a ranking it was given."""

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        self.rows = np.array(rows, np.int32)

    def index(self, pool: Texts) -> None: ...

    def search(self, queries: Texts, depth: int) -> Ranking:
        return Ranking(self.rows[:, :depth], np.where(self.rows[:, :depth] == NOTHING, -np.inf, -np.arange(self.rows[:, :depth].shape[1])).astype(np.float32))


class Letters:
    """A scorer: how many letters of the query the document has, coarse enough that many tie."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> FloatArray:
        self.asked += pairs
        return np.array([len(set(q) & set(d)) % 5 for q, d in pairs], np.float32)


class Guess:
    """A scorer whose scores say nothing: hashes of the texts."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> FloatArray:
        return np.array([int.from_bytes(hashlib.sha256(f"{q}|{d}".encode()).digest()[:3]) for q, d in pairs], np.float32)


def texts(*words: str) -> Texts:
    return Texts([f"d{i}" for i in range(len(words))], ["en"] * len(words), list(words))


def test_fusion_adds_reciprocal_ranks() -> None:
    rng = np.random.default_rng(0)
    rankings = [np.array([rng.permutation(40)[:10] for _ in range(7)], np.int32) for _ in range(3)]
    rankings[1][2, 4:] = NOTHING
    fused = Fused([Given(rows.tolist()) for rows in rankings], 60, 10)
    fused.index(texts(*"x" * 40))
    found = fused.search(texts(*"abcdefg"), 8)
    for q in range(7):
        gain: dict[int, float] = {}
        for rows in rankings:
            for rank, d in enumerate(rows[q].tolist(), 1):
                if d != NOTHING:
                    gain[d] = gain.get(d, 0.0) + 1 / (60 + rank)
        best = sorted(gain, key=lambda d: (-gain[d], d))[:8]
        assert found.rows[q].tolist() == best
        np.testing.assert_allclose(found.scores[q], [gain[d] for d in best], rtol=1e-6)


def test_reranking_orders_the_first_documents_and_leaves_the_rest_in_its_order() -> None:
    pool, queries = texts("tea", "rice", "eat", "sea", "abc", "xyz"), texts("tea", "zzz")
    first, scorer = Given([[5, 4, 3, 2, 1], [4, 0, NOTHING, NOTHING, NOTHING]]), Letters()
    reranked = Reranked(first, scorer, 3)
    reranked.index(pool)
    found = reranked.search(queries, 5)
    assert found.rows.tolist() == [[3, 4, 5, 2, 1], [0, 4, NOTHING, NOTHING, NOTHING]]  # sea 2, abc 1, xyz 0, then as found; a tie by row
    assert (np.diff(found.scores[0]) < 0).all()
    assert reranked.search(queries, 2).rows.tolist() == [[3, 4], [0, 4]]


def test_a_pair_of_texts_is_scored_once() -> None:
    pool, queries, scorer = texts("tea", "tea", "rice"), texts("tea", "tea"), Letters()
    reranked = Reranked(Given([[0, 1, 2], [2, 1, 0]]), scorer, 3)
    reranked.index(pool)
    reranked.search(queries, 3)
    assert sorted(scorer.asked) == [("tea", "rice"), ("tea", "tea")]


@pytest.mark.parametrize("seed", range(4))
def test_the_oracle_ranks_are_those_of_a_list_made_for_each_pair(seed: int) -> None:
    """Against lists written out one by one: several relevant documents a query, lists that are full or not, ties."""
    rng = np.random.default_rng(seed)
    collection = small_collection()
    j = collection.judgements
    relevant = rng.random(len(j.grade)) < 0.9
    documents = np.where(rng.random(len(j.grade)) < 0.3, rng.integers(0, len(collection.pool), len(j.grade)), j.document).astype(np.int32)
    judged = type(j)(j.pairs, j.pair[relevant], j.query[relevant], documents[relevant], j.grade[relevant])
    keys = np.stack([judged.pair, judged.query, judged.document])
    _, once = np.unique(keys, axis=1, return_index=True)
    judged = type(j)(j.pairs, judged.pair[once], judged.query[once], judged.document[once], judged.grade[once])
    collection = Collection(collection.pool, collection.queries, judged, collection.topics, collection.fingerprint)
    depth, rows = 6, []
    for _ in range(len(collection.queries)):
        row = rng.permutation(len(collection.pool))[:depth]
        row[rng.integers(3, depth + 1) :] = NOTHING
        rows.append(row)
    first, scorer = Given(rows), Letters()
    reranked = Reranked(first, scorer, depth)
    reranked.index(collection.pool)
    found = rerank_with_gold(reranked, collection, depth)
    asked, held = collection.queries.texts, collection.pool.texts
    at = 0
    for e, (pair, query) in enumerate(zip(found.ranks.pair.tolist(), found.ranks.query.tolist(), strict=True)):
        golds = judged.document[(judged.pair == pair) & (judged.query == query)].tolist()
        listed = [d for d in rows[query].tolist() if d != NOTHING]
        listed += [d for d in range(len(collection.pool)) if d not in listed][: depth - len(listed)]  # documents without a match fill the list
        missing = [d for d in golds if d not in listed]
        while len(listed) + len(missing) > depth and any(d not in golds for d in listed):
            listed.remove(next(d for d in reversed(listed) if d not in golds))
        listed += missing
        points = {d: float(Letters().score([(asked[query], held[d])])[0]) for d in listed}
        ordered = sorted(listed, key=lambda d: (-points[d], d))
        expected = {d: ordered.index(d) + 1 for d in golds}
        span = slice(at, at + len(golds))
        assert dict(zip(found.ranks.document[span].tolist(), found.ranks.rank[span].tolist(), strict=True)) == expected
        assert found.injected[e] == len(missing)
        at += len(golds)
    assert found.injected.any()


def test_a_random_scorer_gains_nothing_where_the_first_stage_finds_nothing() -> None:
    """Lists are full before the relevant document is put in, or a scorer that guesses would be right."""
    collection = small_collection(topics=40)
    reranked = Reranked(Given([[NOTHING] * 20] * len(collection.queries)), Guess(), 20)
    reranked.index(collection.pool)
    found = rerank_with_gold(reranked, collection, 20)
    assert 0.02 < (found.ranks.rank == 1).mean() < 0.08  # 1 in 20
    assert found.ranks.rank.max() <= 20


def test_the_ranking_beside_the_oracle_is_that_of_the_candidates_as_found() -> None:
    collection = small_collection()
    rows = [np.random.default_rng(q).permutation(len(collection.pool))[:6] for q in range(len(collection.queries))]
    reranked = Reranked(Given(rows), Letters(), 6)
    reranked.index(collection.pool)
    found, honest = rerank_with_gold(reranked, collection, 6), reranked.search(collection.queries, 6)
    np.testing.assert_array_equal(found.ranking.rows, honest.rows)
    kept = gold_ranks(honest, collection.judgements)
    same = found.injected == 0
    assert same.any()
    np.testing.assert_array_equal(found.ranks.rank[same], kept.rank[same])  # a list that nothing was put into is the same list


def reranking(system: System) -> Assembled:
    base = assembled(HashingEncoder())
    return Assembled(system, Reranked(base.retriever, Letters(), 100, base.clock), base.stages, base.clock)


def test_the_oracle_track_says_what_it_put_in_and_shows_no_recall_as_deep(sample: tuple[Task, Collection]) -> None:
    system = System(model="tests/hashing", revision="1", reranker="tests/letters")
    pairs = [p for p in sample[1].pairs if p.query == "en"]
    result = evaluate(*sample, reranking(system), track="oracle", pairs=pairs).submission
    assert result.task.track == "oracle"
    assert "R@100" not in result.pairs[0].measures
    assert {"R@1", "R@10", "nDCG@10", "nDCG@100", "RR@100"} == set(result.pairs[0].measures)
    honest = evaluate(*sample, reranking(system), pairs=pairs).submission
    assert honest.task.track == "rerank"
    for with_gold, as_found in zip(result.pairs, honest.pairs, strict=True):
        missing = as_found.measures["R@100"].n - round(as_found.measures["R@100"].sum)
        assert with_gold.injected == missing
        assert as_found.injected is None
        assert with_gold.measures["R@10"].sum >= as_found.measures["R@10"].sum
    assert not result.bias
    assert honest.bias
    assert disagreements(result) == disagreements(honest) == []


def test_the_profiles_of_a_reranked_system_are_of_its_own_order(sample: tuple[Task, Collection]) -> None:
    task, collection = sample
    pairs = [p for p in collection.pairs if p.query == "en"]
    result = evaluate(task, collection, reranking(System(model="tests/hashing", revision="1", reranker="tests/letters")), pairs=pairs)
    profiles = language_profiles(result.collection, result.ranking)
    assert [p.retrieved for p in result.submission.bias] == [dict(p.retrieved) for p in profiles]


@pytest.mark.parametrize(
    ("system", "track", "message"),
    [
        (System(model="x"), "rerank", "track 'rerank' needs a re-ranker"),
        (System(model="x"), "oracle", "track 'oracle' needs a re-ranker"),
        (System(model="x", reranker="y"), "retrieval", "is for systems without a re-ranker"),
        (
            System(model="x", reranker="y", rerank_depth=50),
            "oracle",
            r"puts missing documents at rank 100, the last that is re-ranked, but the system re-ranks 50",
        ),
        (System(model="x", reranker="y", rerank_depth=200), "oracle", r"but the system re-ranks 200: --rerank-depth 100"),
    ],
)
def test_a_track_that_does_not_fit_is_refused(sample: tuple[Task, Collection], system: System, track: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        settle_track(sample[0], system, track)  # type: ignore[arg-type]


def test_what_does_not_fit_together_is_refused_all_at_once() -> None:
    with pytest.raises(
        ModelError, match=r"3 problems(.|\n)*translator 'nllb' has nothing to do(.|\n)*names one twice(.|\n)*no re-ranker is named: --rerank MODEL"
    ):
        System(model="bm25", translator="nllb", fuse=("bm25",), rerank_depth=3)
    with pytest.raises(ModelError, match="queries are 'english', but no translator is named"):
        System(model="bm25", queries="english")


def test_variants_differ_where_systems_differ() -> None:
    systems = [
        System(model="m"), System(model="m", index="hnsw"), System(model="m", index="hnsw", library="faiss"), System(model="m", index="hnsw", ef=50),
        System(model="m", documents="english"), System(model="m", documents="english", translator="nllb"),
        System(model="m", documents="english", translator="nllb:a"), System(model="m", documents="english", translator="nllb:b"),
        System(model="m", documents="english", translator="nllb", translate_by="sentences"), System(model="m", queries="english", translator="nllb"),
        System(model="m", documents="english", translator="nllb", translate_dtype="bfloat16"),
        System(model="m", documents="english", translator="nllb", untranslated="original"),
        System(model="m", fuse=("bm25",)), System(model="m", fuse=("bm25",), rrf_k=10), System(model="m", fuse=("bm25",), tokenizer="whitespace"),
        System(model="m", fuse=("a/m",)), System(model="m", fuse=("b/m",)), System(model="m", fuse=("bm25", "b/m")),
        System(model="m", reranker="a/b"), System(model="m", reranker="c/b"), System(model="m", reranker="a/b", rerank_depth=20),
        System(model="m", reranker="a/b", rerank_max_tokens=64), System(model="m", reranker="a/b", rerank_template="qwen3-reranker"),
        System(model="m", reranker="a/b", reranker_revision="refs/pr/1"), System(model="m", reranker="a/b", documents="english", index="hnsw", fuse=("bm25",)),
        System(model="m", revision="abc"), System(model="m", revision="abd"), System(model="mteb:m"), System(model="http://localhost:8080#m"),
        System(model="http://localhost:8081#m"), System(model="bm25"), System(model="bm25", k1=1.23456789), System(model="bm25", k1=1.23456712),
        System(model="bm25", reranker="a/b"), System(model="bm25", reranker="a/b", dtype="bfloat16"),
    ]  # fmt: skip
    variants = [s.variant for s in systems]
    assert len(set(variants)) == len(variants)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}", v) for v in variants), variants
    assert System(model="bm25", index="hnsw").variant == System(model="bm25").variant  # BM25 has no vectors
    assert System(model="m", reranker="bge", index="hnsw", fuse=("bm25",)).variant == "native-hnsw-fused-bm25-rerank-bge"


def test_one_system_has_one_name() -> None:
    assert System(model="me5", fuse=("bm25", "labse"), reranker="bge", rerank_depth=100).settled() == System(
        model="intfloat/multilingual-e5-large", fuse=("bm25", "sentence-transformers/LaBSE"), reranker="BAAI/bge-reranker-v2-m3"
    )
    assert System(model="demo").settled().model == "demo"


def test_a_folder_called_like_a_key_is_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me5").mkdir()
    (tmp_path / "bge").mkdir()
    assert System(model="me5", reranker="bge").settled() == System(model="me5", reranker="bge")
    assert System(model="me5").display_name == "local/me5"
    assert models.find_encoder("me5") is None
    assert models.find_encoder("intfloat/multilingual-e5-large") is not None


@pytest.mark.parametrize(
    ("system", "message"),
    [
        ({"model": "mteb:a/b", "protocol": "paper"}, "mteb:a/b: protocol 'paper' cannot be applied, mteb's own loader decides"),
        ({"model": "mteb:a/b", "query_prompt": "q"}, "mteb:a/b: a prompt cannot be applied"),
        ({"model": "http://h:1", "dtype": "bfloat16"}, "http://h:1: dtype 'bfloat16' cannot be applied, the server decides"),
        ({"model": "http://h:1", "revision": "abc"}, "revision 'abc' cannot be applied"),
        ({"model": "bm25", "fuse": ("mteb:a/b",), "protocol": "paper"}, "mteb:a/b: protocol 'paper' cannot be applied"),
        ({"model": ""}, "a model's name is empty"),
        ({"model": "m", "reranker": ""}, "a model's name is empty"),
        ({"model": "bm25", "k1": float("inf")}, "k1 is inf"),
        ({"model": "m", "name": "a b/c"}, "not of the form org/model"),
    ],
)
def test_what_would_be_recorded_but_not_done_is_refused(system: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        System(**system)


def test_names_of_any_spelling_make_folders() -> None:
    for model in ("my model", "/tmp/x y/", "http://h:1#my org/x", "mteb:my org/x", "a/b/c"):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*", System(model=model).display_name)


def test_fusion_does_not_depend_on_the_order_of_its_members() -> None:
    rows = [[[0, 2, 1]], [[1, 0, 2]], [[2, 1, 0]]]  # equal sums of three gains, in every order of summation
    found = set()
    for order in permutations(rows):
        fused = Fused([Given(r) for r in order], 60, 3)
        fused.index(texts("a", "b", "c"))
        found.add(tuple(fused.search(texts("q"), 3).rows[0].tolist()))
    assert found == {(0, 1, 2)}


def test_translations_are_tokenised_as_english() -> None:
    """Turkish lower-cases I to a dotless one: an English translation of a Turkish document would not be found."""
    bm25 = BM25(partial(tokenize, "multilingual"), Okapi())
    pool = Texts(["a", "b", "c"], ["tr", "tr", "de"], ["India Iran Italy", "tea", "rice"], written_in="en")
    bm25.index(pool)
    assert bm25.search(Texts(["q"], ["en"], ["India"]), 2).rows[0, 0] == 0


def test_hosts_refuse_a_system_that_reads_translations() -> None:
    with pytest.raises(ModelError, match="a host hands out the originals"):
        refuse_translation(System(model="bm25", documents="english"))


def test_pairs_that_differ_are_files_that_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for pair in ("en-de", "fr-de"):
        assert main(["evaluate", "-q", "--model", "bm25", "--task", "sample", "--pairs", pair, "--output", str(tmp_path)]) == 0
    assert len(list(tmp_path.rglob("sample-v1.partial-*.json"))) == 2
    assert main(["evaluate", "-q", "--model", "bm25", "--task", "sample", "--pairs", "en-de", "--output", str(tmp_path)]) == 2
    assert "exists" in capsys.readouterr().err


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("models")
    return xlmr_encoder(root / "encoder", max_position_embeddings=66), xlmr_reranker(root / "reranker", max_position_embeddings=66)


def test_fusion_is_recorded_member_by_member(world: tuple[Path, Path], sample: tuple[Task, Collection]) -> None:
    system = System(model=str(world[0]), fuse=("bm25",), name="tests/tiny")
    made = build(system, Runtime(devices=("cpu",)))
    assert [type(stage).__name__ for stage in made.stages] == ["EncodeStage", "SearchStage", "LexicalStage", "FuseStage"]
    assert isinstance(made.stages[-1], FuseStage)
    assert made.stages[-1].systems == 2
    pairs = [p for p in sample[1].pairs if p.query == "en"]
    result = evaluate(*sample, made, pairs=pairs).submission
    assert "2 systems fused by reciprocal-rank k=60 to 100" not in result.system.signature
    assert result.system.signature.endswith("2 fused by reciprocal-rank k=60 to 100")


COMBINATIONS = list(product(("original", "english"), ("exact", "hnsw"), ("none", "rerank", "oracle"), ("bm25", "dense")))


def test_every_combination_of_the_paper_runs(
    world: tuple[Path, Path], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("hnswlib")
    monkeypatch.setenv("CLIR_BENCH_CACHE", str(tmp_path / "cache"))
    signatures = set()
    with serve() as service:
        for documents, index, track, first in COMBINATIONS:
            command = ["evaluate", "--task", str(tiny), "--query-languages", "en", "--output", str(tmp_path / "out"), "--json", "-q", "--devices", "cpu"]
            command += ["--model", "bm25"] if first == "bm25" else ["--model", str(world[0]), "--name", "tests/tiny"]
            command += ["--documents", "english", "--translator", f"libretranslate:{service.url}"] if documents == "english" else []
            command += ["--index", index, "--overwrite"]
            command += [] if track == "none" else ["--rerank", str(world[1]), "--track", track]
            assert main(command) == 0, command
            result = json.loads(capsys.readouterr().out)
            kinds = [stage["kind"] for stage in result["system"]["stages"]]
            assert kinds == [
                *(["translate"] if documents == "english" else []),
                *(["lexical"] if first == "bm25" else ["encode", "search"]),
                *(["rerank"] if track != "none" else []),
            ]
            assert result["task"]["track"] == {"none": "retrieval"}.get(track, track)
            assert all((pair["injected"] is not None) == (track == "oracle") for pair in result["pairs"])
            signatures.add((result["system"]["signature"], result["task"]["track"]))
    assert len(signatures) == len(COMBINATIONS) - 6  # BM25 has no vectors: an index for them changes nothing
    files = sorted((tmp_path / "out").rglob("*.json"))
    assert len(files) == len(COMBINATIONS) - 6
    assert all(not disagreements(read_submission(file)) for file in files)


def test_a_reranker_without_a_first_stage_takes_the_tasks(world: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "--task", "sample", "--pairs", "en-de", "--rerank", str(world[1]), "--rerank-depth", "2", "--output", str(tmp_path), "--json", "-q"]
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out)
    assert [stage["kind"] for stage in result["system"]["stages"]] == ["lexical", "rerank"]
    assert result["system"]["stages"][0]["tokenizer"] == "whitespace"  # the paper's
    assert main(["evaluate", "--task", "sample", "--output", str(tmp_path)]) == 2
    assert "no --model is named" in capsys.readouterr().err


def test_english_texts_stand_for_documents_and_queries(sample: tuple[Task, Collection]) -> None:
    task, collection = sample
    stage = TranslateStage(kind="translate", texts="documents", source="tests")
    upper = Translation(dict(zip(collection.pool.ids, [t.upper() for t in collection.pool.texts], strict=True)), stage)
    asked = Translation(
        dict(zip(collection.queries.ids, [f"? {t}" for t in collection.queries.texts], strict=True)), stage.model_copy(update={"texts": "queries"})
    )
    encoder = HashingEncoder()
    made = assembled(encoder)
    made.system = System(model="tests/hashing", revision="1", documents="english", queries="english", translator="tests")
    result = evaluate(task, collection, made, documents=upper, queries=asked).submission
    assert {text for role, text in encoder.encoded if role == "document"} == set(upper.texts.values())
    assert {text for role, text in encoder.encoded if role == "query"} == set(asked.texts.values())
    assert result.task.fingerprint == collection.fingerprint
    assert [s.texts for s in result.system.stages if isinstance(s, TranslateStage)] == ["documents", "queries"]
    with pytest.raises(ModelError, match="queries are 'english', but no English texts were given"):
        evaluate(task, collection, made, documents=upper)


def test_a_lexical_first_stage_is_recorded_under_a_reranker(world: tuple[Path, Path]) -> None:
    made = build(System(model="bm25", reranker=str(world[1]), rerank_depth=20), Runtime(devices=("cpu",)))
    assert isinstance(made.stages[0], LexicalStage)
    assert isinstance(made.stages[1], RerankStage)
    assert made.stages[1].depth == 20
    assert made.stages[1].model.revision.startswith("sha256:")


def test_mteb_tells_our_systems_apart(sample: tuple[Task, Collection], tmp_path: Path) -> None:
    from clir_bench.integrations.mteb import mteb_revision
    from clir_bench.integrations.mteb_results import write_result

    stages = assembled(HashingEncoder()).stages
    assert mteb_revision(stages, "native") == "1"
    assert mteb_revision(stages, "native-hnsw") == "1.native-hnsw"
    pairs = [p for p in sample[1].pairs if p.query == "en"]
    system = System(model="tests/hashing", revision="1", reranker="tests/letters")
    honest = evaluate(*sample, reranking(system), pairs=pairs).submission
    written = write_result(honest, tmp_path)
    assert [path.name for path in written] == ["CLIRBenchSample.json", "model_meta.json"]
    assert written == write_result(honest, tmp_path)  # what is written again is told again
    with pytest.raises(SubmissionError, match="mteb has no oracle track"):
        write_result(evaluate(*sample, reranking(system), track="oracle", pairs=pairs).submission, tmp_path)


def test_the_oracle_track_is_a_board_of_its_own(sample: tuple[Task, Collection], tmp_path: Path) -> None:
    pairs = [p for p in sample[1].pairs if p.query == "en"]
    system = System(model="tests/hashing", revision="1", reranker="tests/letters")
    a, b = (evaluate(*sample, reranking(system), track=track, pairs=pairs).submission for track in ("rerank", "oracle"))
    assert path_of(a) != path_of(b)
    assert board_key("sample", 1, a.task.track) != board_key("sample", 1, b.task.track)
    with pytest.raises(SubmissionError, match="the oracle track is compared with itself only"):
        compare(a, b)
    with pytest.raises(SubmissionError, match="cannot be compared at depth 100 on track oracle"):
        compare(b, b, "R@100")
    assert compare(b, b, "R@10").mean_a == compare(b, b, "R@10").mean_b
