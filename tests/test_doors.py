"""One model, three doors: our own evaluation, mteb.evaluate and BEIR, and mteb's stock task class, agree on the sample."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mteb
import numpy as np
import pytest
from conftest import small_collection, ten_topics, write_folder
from mteb.abstasks import AbsTaskRetrieval

import clir_bench
from clir_bench.assemble import Runtime, build
from clir_bench.checking import submission_problems
from clir_bench.cli import main
from clir_bench.collection import Collection, Pair
from clir_bench.evaluate import Evaluation, evaluate
from clir_bench.export import export
from clir_bench.integrations import mteb as ours
from clir_bench.integrations import mteb_results
from clir_bench.integrations.beir import BeirSearch
from clir_bench.sources import open_task
from clir_bench.submission import read_submission, write_submission
from clir_bench.system import System
from clir_bench.task import Task
from clir_bench.trust import assess

PAIRS = [Pair("en", "de"), Pair("en", "en"), Pair("zh", "en"), Pair("fr", "zh")]
KEYS = {"R@1": "recall_at_1", "R@10": "recall_at_10", "R@100": "recall_at_100", "nDCG@10": "ndcg_at_10", "nDCG@100": "ndcg_at_100", "RR@100": "mrr_at_100"}


@pytest.fixture(scope="module")
def tiny(sample: tuple[Task, Collection], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data") / "tiny", ten_topics(sample[1], letters=120))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def demo(tiny: Path, cache: Path) -> Evaluation:
    return evaluate(*open_task(tiny), build(System(model="demo"), Runtime(devices=("cpu",), cache=cache)), pairs=PAIRS)


def check(entries: list[dict[str, object]], evaluation: Evaluation, tolerance: float) -> None:
    by = {entry["hf_subset"]: entry for entry in entries}
    for record in evaluation.submission.pairs:
        for name, key in KEYS.items():
            assert by[str(record.pair)][key] == pytest.approx(record.measures[name].mean, abs=tolerance), (record.pair, name)


def stock_task(folder: Path) -> AbsTaskRetrieval:
    """mteb's own class, with nothing of ours but the texts."""
    donor = ours.mteb_tasks([str(folder)])[0]

    def load_data(self: AbsTaskRetrieval, **kwargs: object) -> None:
        donor.load_data()
        self.dataset, self.data_loaded = donor.dataset, True

    metadata = donor.metadata.model_copy(update={"name": "StockTiny"})
    found = type("StockTiny", (AbsTaskRetrieval,), {"k_values": ours.CUTS, "metadata": metadata, "load_data": load_data})()
    return found.filter_languages(None, hf_subsets=[str(p) for p in PAIRS])


def test_minilm_scores_the_same_through_all_doors(demo: Evaluation, minilm: Path, tiny: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm), device="cpu")
    subsets = [str(p) for p in PAIRS]
    task = ours.mteb_tasks([str(tiny)])[0].filter_languages(None, hf_subsets=subsets)
    stock = stock_task(tiny)
    shared = mteb.evaluate(model, [task], cache=mteb.ResultCache(tmp_path), show_progress_bar=False).task_results[0].scores["test"]
    plain = mteb.evaluate(model, [stock], cache=None, show_progress_bar=False).task_results[0].scores["test"]
    check(shared, demo, 5.1e-6)
    check(plain, demo, 5.1e-6)
    by = {entry["hf_subset"]: entry for entry in plain}
    for entry in shared:
        for key, value in entry.items():
            if key in by[entry["hf_subset"]] and isinstance(value, float):
                assert value == pytest.approx(by[entry["hf_subset"]][key], abs=1e-9), key


def test_the_shared_pool_is_encoded_once(minilm: Path) -> None:
    from sentence_transformers import SentenceTransformer

    count = {"query": 0, "document": 0}
    model = mteb.models.SentenceTransformerEncoderWrapper(SentenceTransformer(str(minilm), device="cpu"))
    encode = model.encode

    def counting(inputs, **kwargs):  # type: ignore[no-untyped-def]
        count[kwargs["prompt_type"].value] += len(inputs.dataset)
        return np.random.default_rng(0).standard_normal((len(inputs.dataset), 8)).astype(np.float32)

    model.encode = counting
    mteb.evaluate(model, ours.mteb_tasks(), cache=None, show_progress_bar=False)
    assert count == {"query": len(set(ours.mteb_tasks()[0]._collection.queries.texts)), "document": 384}
    assert encode is not None


def test_our_systems_run_on_stock_mteb_tasks(tiny: Path) -> None:
    bm25 = evaluate(*open_task(tiny), System(model="bm25"), pairs=PAIRS)
    found = mteb.evaluate(clir_bench.mteb_model(System(model="bm25")), [stock_task(tiny)], cache=None, show_progress_bar=False).task_results[0].scores["test"]
    check(found, bm25, 5.1e-6)


def test_our_systems_rerank_given_candidates() -> None:
    from datasets import Dataset

    model = clir_bench.mteb_model(System(model="bm25"))
    corpus = Dataset.from_dict({"id": ["a", "b", "c", "d", "e"], "text": ["red fox", "red", "blue whale", "tea", "rice"]})
    queries = Dataset.from_dict({"id": ["q"], "text": ["red fox"]})
    task = ours.mteb_tasks()[0].metadata
    model.index(corpus, task_metadata=task, hf_split="test", hf_subset="en-en")
    found = model.search(queries, task_metadata=task, hf_split="test", hf_subset="en-en", top_k=2, top_ranked={"q": ["b", "c"]})
    assert list(found["q"]) == ["b"]


def test_beir_scores_the_same(demo: Evaluation, tiny: Path, cache: Path) -> None:
    from beir.datasets.data_loader import GenericDataLoader
    from beir.retrieval.evaluation import EvaluateRetrieval

    search = BeirSearch(System(model="demo"), Runtime(devices=("cpu",), cache=cache))
    retriever = EvaluateRetrieval(search, k_values=[1, 10, 100], score_function="cos_sim")
    for record in demo.submission.pairs:
        corpus, queries, qrels = GenericDataLoader(str(tiny)).load(split=str(record.pair))
        results = retriever.retrieve(corpus, queries)
        ndcg, _, recall, _ = retriever.evaluate(qrels, results, [1, 10, 100])
        for k in (1, 10, 100):
            assert recall[f"Recall@{k}"] == pytest.approx(record.measures[f"R@{k}"].mean, abs=5.1e-6)
        assert ndcg["NDCG@10"] == pytest.approx(record.measures["nDCG@10"].mean, abs=5.1e-6)


def test_beir_drops_nothing_when_ids_would_be_equal(tmp_path: Path) -> None:
    from beir.datasets.data_loader import GenericDataLoader
    from beir.retrieval.evaluation import EvaluateRetrieval

    folder = tmp_path / "own"
    (folder / "qrels").mkdir(parents=True)
    texts = ["red fox", "blue whale", "green tea", "white rice"]
    lines = [json.dumps({"_id": str(i), "text": text, "metadata": {"lang": "en"}}) for i, text in enumerate(texts, 1)]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    (folder / "queries.jsonl").write_text('{"_id": "1", "text": "fox", "metadata": {"lang": "en"}}\n')
    (folder / "qrels" / "en-en.tsv").write_text("query-id\tcorpus-id\tscore\n1\t1\t1\n")
    export(str(folder), "beir", tmp_path / "out")
    corpus, queries, qrels = GenericDataLoader(str(tmp_path / "out")).load(split="en-en")
    retriever = EvaluateRetrieval(BeirSearch(System(model="bm25")), k_values=[1], score_function="cos_sim")
    assert retriever.evaluate(qrels, retriever.retrieve(corpus, queries), [1])[2]["Recall@1"] == 1.0


def test_registration_makes_mteb_find_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mteb.abstasks.abstask._set_seed", lambda seed: (None, None))  # of torch, for each of mteb's tasks: seconds
    clir_bench.register_mteb()
    clir_bench.register_mteb()
    names = [task.metadata.name for task in mteb.get_tasks(tasks=["CLIRBenchSample"])]
    assert names == ["CLIRBenchSample"]
    assert [task.metadata.name for task in mteb.get_tasks(task_types=["Retrieval"]) if task.metadata.name.startswith("CLIRBench")] == names
    assert [task.metadata.name for task in mteb.get_benchmark("CLIR-Bench").tasks] == names


def test_metadata_is_valid_for_mteb() -> None:
    for task in ours.mteb_tasks():
        metadata = task.metadata
        metadata._validate_metadata()
        assert metadata.is_filled()
        assert len(metadata.eval_langs) == 64
        assert metadata.eval_langs["en-zh"] == ["eng-Latn", "zho-Hans"]
        assert metadata.main_score == "recall_at_100"
        assert type(task).metadata == metadata


def test_mteb_results_round_trip(sample: tuple[Task, Collection], tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    bm25 = evaluate(*sample, System(model="bm25"), pairs=PAIRS)
    write_submission(bm25.submission, path)
    written = export(str(path), "mteb", tmp_path / "mteb")
    result = next(p for p in written if p.name == "CLIRBenchSample.json")
    text = result.read_text()
    assert "NaN" not in text
    assert len(mteb.TaskResult.from_disk(result).scores["test"]) == len(PAIRS)
    back = mteb_results.read_result(result, result.with_name("model_meta.json"))
    assert assess(back).trust == "claimed"
    assert not back.complete
    for mine, theirs in zip(bm25.submission.pairs, back.pairs, strict=True):
        assert mine.pair == theirs.pair
        assert {name: stat.mean for name, stat in mine.measures.items()} == pytest.approx({name: stat.mean for name, stat in theirs.measures.items()}, abs=1e-6)


def belebele(tmp_path: Path, name: str = "BelebeleRetrieval") -> Path:
    scores = [
        {"hf_subset": "ara_Arab-rus_Cyrl", "languages": ["arb-Arab", "rus-Cyrl"], "main_score": 0.5, "recall_at_1": 0.2, "recall_at_10": 0.6, "ndcg_at_10": 0.5}
    ]
    scores[0]["hf_subset"] = "arb_Arab-eng_Latn"
    scores[0]["languages"] = ["arb-Arab", "eng-Latn"]
    (tmp_path / "model_meta.json").write_text(json.dumps({"name": "org/model", "revision": "abc", "n_parameters": 5, "license": "mit"}))
    path = tmp_path / f"{name}.json"
    content = {"task_name": name, "dataset_revision": "r", "mteb_version": "2.0", "scores": {"test": scores}, "evaluation_time": 1.0, "date": 1.7e9}
    path.write_text(json.dumps(content))
    return path


def test_import_turns_round_a_task_that_lists_the_document_language_first(tmp_path: Path) -> None:
    path = belebele(tmp_path)
    submission = mteb_results.read_result(path, tmp_path / "model_meta.json")
    assert [str(p.pair) for p in submission.pairs] == ["en-ar"]  # Belebele: [corpus, question]
    assert submission.pairs[0].measures["R@10"].n == 900
    assert submission.pairs[0].measures["R@10"].mean == pytest.approx(0.6)
    assert assess(submission).trust == "claimed"


@pytest.mark.parametrize(("revision", "kept"), [("abc", "abc"), ("main", "unknown"), (None, "unknown")])
def test_what_is_imported_holds_by_the_rules_of_submissions(tmp_path: Path, revision: str | None, kept: str) -> None:
    path, meta = belebele(tmp_path), tmp_path / "model_meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"revision": revision}))
    submission = mteb_results.read_result(path, meta)
    assert submission.system.stages[0].model.revision == kept
    assert submission_problems(submission) == []


def test_import_refuses_a_task_of_unknown_direction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(belebele(tmp_path, "SomethingNew")), "--output", str(tmp_path / "out")]) == 2
    assert "not known which language is the query's" in capsys.readouterr().err


def test_trec_and_ranx_files_reproduce_the_measures(demo: Evaluation, tiny: Path, tmp_path: Path) -> None:
    import pytrec_eval

    from clir_bench.runs import save_run

    save_run(tmp_path / "run.npz", demo, str(tiny))
    export(str(tmp_path / "run.npz"), "trec", tmp_path / "trec")
    run: dict[str, dict[str, float]] = {}
    for line in next((tmp_path / "trec").glob("*.run")).read_text().splitlines():
        q, _, d, _, score, _ = line.split()
        run.setdefault(q, {})[d] = float(score)
    for record in demo.submission.pairs:
        qrels: dict[str, dict[str, int]] = {}
        for line in (tmp_path / "trec" / "qrels" / f"{record.pair}.qrels").read_text().splitlines():
            q, _, d, grade = line.split()
            qrels.setdefault(q, {})[d] = int(grade)
        found = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "recall.100"}).evaluate(run)
        assert np.mean([v["ndcg_cut_10"] for v in found.values()]) == pytest.approx(record.measures["nDCG@10"].mean, abs=1e-9)
        assert np.mean([v["recall_100"] for v in found.values()]) == pytest.approx(record.measures["R@100"].mean, abs=1e-9)
    written = export(str(tmp_path / "run.npz"), "ranx", tmp_path / "ranx")
    assert {p.parent.name for p in written} == {"runs", "qrels"}
    assert len(json.loads((tmp_path / "ranx" / "runs" / "en-de.json").read_text())) == 20


def test_mteb_run_through_our_entry_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """mteb's own command line evaluates a model of its registry on our task; we read the result."""
    monkeypatch.setattr(sys, "argv", sys.argv)  # where mteb reads what was asked for
    assert main(["mteb", "run", "-m", "mteb/baseline-random-encoder", "-t", "CLIRBenchSample", "--output-folder", str(tmp_path)]) == 0
    result = next(tmp_path.rglob("CLIRBenchSample.json"))
    assert main(["import", str(result), "--output", str(tmp_path / "ours")]) == 0
    assert "(claimed: it carries no gold ranks, so nothing can be recomputed; it names no fingerprint" in capsys.readouterr().out
    submission = read_submission(next((tmp_path / "ours").rglob("*.json")))
    assert submission.complete
    assert submission.pairs[0].measures["R@10"].n == 96
    assert main(["check", str(tmp_path / "ours")]) == 0


def test_import_refuses_impossible_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = belebele(tmp_path)
    path.write_text(path.read_text().replace("0.6", "1.6"))
    assert main(["import", str(path), "--output", str(tmp_path / "out")]) == 2
    assert "is more than n 900" in capsys.readouterr().err


def test_read_submission_of_the_demo(demo: Evaluation, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_submission(demo.submission, path)
    assert read_submission(path) == demo.submission


def test_small_collections_have_no_topics_lost() -> None:
    assert len(set(small_collection().topics.tolist())) == 12
