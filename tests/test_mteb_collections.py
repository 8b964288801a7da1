"""mteb's own tasks over one pool: the direction is right, texts are merged, and what mteb measures over one language it measures here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import mteb
import numpy as np
import pytest
import torch
from conftest import HashingEncoder, assembled
from mteb.models import ModelMeta
from mteb.types import PromptType

from clir_bench.collection import Collection, Pair
from clir_bench.errors import CollectionError, TaskError
from clir_bench.evaluate import evaluate
from clir_bench.integrations.mteb import DOCUMENT_FIRST
from clir_bench.integrations.mteb_collections import SHARED_QUERY_IDS, _pair, mteb_collection
from clir_bench.task import Task, disagreements

Rows = Sequence[Mapping[str, Any]]
CODES = {"de": "deu_Latn", "en": "eng_Latn", "fr": "fra_Latn"}
ALPHA3 = {"de": "deu", "en": "eng", "fr": "fra"}


class Parallel(NamedTuple):
    """Passages and questions of the sample: by language, then by topic; topic k is the same in all languages."""

    passages: dict[str, list[str]]
    questions: dict[str, list[list[str]]]


@pytest.fixture(scope="session")
def parallel(sample: tuple[Task, Collection]) -> Parallel:
    collection = sample[1]
    documents, queries = (dict(zip(texts.ids, texts.texts, strict=True)) for texts in (collection.pool, collection.queries))
    topics = sorted({key.split(":")[1] for key in collection.pool.ids})[:16]
    return Parallel(
        {language: [documents[f"{language}:{topic}"] for topic in topics] for language in CODES},
        {language: [[queries[f"{language}:{topic}:{kind}"] for kind in ("question", "keywords")] for topic in topics] for language in CODES},
    )


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network and none of the machine's data sets."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def publish(folder: Path, contents: Mapping[str, Mapping[str, Rows]]) -> Path:
    """A data set as the hub keeps it: configurations of splits, declared in README.md."""
    declared = ["---", "configs:"]
    for name, splits in contents.items():
        declared += [f"- config_name: {name}", "  data_files:"]
        for split, rows in splits.items():
            path = folder / name / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            declared += [f"  - split: {split}", f"    path: {name}/{split}.jsonl"]
    (folder / "README.md").write_text("\n".join([*declared, "---", ""]), encoding="utf-8")
    return folder


def point(patch: pytest.MonkeyPatch, name: str, folder: Path, languages: Mapping[str, list[str]], splits: list[str] | None = None) -> None:
    """Let mteb's class read our folder, with only the subsets that stand there."""
    metadata = type(mteb.get_task(name)).metadata
    changed = {"dataset": {"path": str(folder), "revision": "main"}, "eval_langs": dict(languages), "eval_splits": splits or metadata.eval_splits}
    patch.setattr(type(mteb.get_task(name)), "metadata", metadata.model_copy(update=changed))


def belebele(patch: pytest.MonkeyPatch, folder: Path, rows: Mapping[str, Rows], reverse: bool = False) -> None:
    """Every language with itself and with English, as Belebele pairs them; mteb lists [document, query]."""
    pairs = [(x, y) for x in rows for y in rows if x == y or "en" in (x, y)]
    langs = {f"{CODES[x]}-{CODES[y]}": [CODES[x].replace("_", "-"), CODES[y].replace("_", "-")] for x, y in (pairs[::-1] if reverse else pairs)}
    point(patch, "BelebeleRetrieval", publish(folder, {CODES[x]: {"test": rows[x]} for x in rows}), langs)


def belebele_rows(parallel: Parallel, language: str) -> list[dict[str, Any]]:
    both = zip(parallel.passages[language], parallel.questions[language], strict=True)
    return [
        {"link": f"https://x/{k}", "question_number": n, "flores_passage": passage, "question": question, "dialect": CODES[language]}
        for k, (passage, questions) in enumerate(both)
        for n, question in enumerate(questions, 1)
    ]


def standard(subset: str, split: str, corpus: Rows, queries: Rows, judged: Sequence[tuple[str, str, int]]) -> dict[str, dict[str, Rows]]:
    """mteb's usual layout of one subset."""
    qrels = [{"query-id": q, "corpus-id": d, "score": grade} for q, d, grade in judged]
    return {f"{subset}-corpus": {split: corpus}, f"{subset}-queries": {split: queries}, f"{subset}-qrels": {split: qrels}}


def texts(values: Sequence[str], prefix: str) -> list[dict[str, str]]:
    return [{"id": f"{prefix}{k}", "text": text} | ({"title": ""} if prefix == "C" else {}) for k, text in enumerate(values)]


def found(collection: Collection, pair: str) -> list[tuple[str, str, int]]:
    """(query text, document text, grade) of a pair's judgements."""
    j = collection.judgements
    rows = np.flatnonzero(j.pair == [str(p) for p in collection.pairs].index(pair))
    return [(collection.queries.texts[j.query[i]], collection.pool.texts[j.document[i]], int(j.grade[i])) for i in rows]


def topics(collection: Collection) -> dict[str, int]:
    return dict(zip(collection.queries.texts, collection.topics.tolist(), strict=True))


class Belebele(NamedTuple):
    task: Task
    collection: Collection
    stock: dict[str, dict[str, float]]


class Stock:
    """mteb's encoder protocol over the hashing encoder."""

    mteb_model_meta = ModelMeta.create_empty({"name": "tests/stock", "revision": "1", "similarity_fn_name": "cosine"})

    def encode(self, inputs, *, prompt_type, **kwargs):  # type: ignore[no-untyped-def]
        return HashingEncoder().encode([text for batch in inputs for text in batch["text"]], "query" if prompt_type == PromptType.query else "document")

    def similarity(self, a, b):  # type: ignore[no-untyped-def]
        return torch.as_tensor(a) @ torch.as_tensor(b).T

    similarity_pairwise = similarity


@pytest.fixture(scope="module")
def three(parallel: Parallel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Belebele]:
    """Belebele in three languages, ours and mteb's own evaluation."""
    folder = tmp_path_factory.mktemp("belebele")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
        belebele(patch, folder / "data", {language: belebele_rows(parallel, language) for language in CODES})
        task, collection = mteb_collection("BelebeleRetrieval")
        scores = mteb.evaluate(Stock(), [mteb.get_task("BelebeleRetrieval")], cache=None, show_progress_bar=False).task_results[0].scores["test"]
        yield Belebele(task, collection, {entry["hf_subset"]: entry for entry in scores})


def test_a_belebele_query_is_in_the_second_language_that_mteb_lists(three: Belebele, parallel: Parallel) -> None:
    assert [str(p) for p in three.collection.pairs] == ["de-de", "de-en", "en-de", "en-en", "en-fr", "fr-en", "fr-fr"]
    for pair in three.collection.pairs:
        judged = found(three.collection, str(pair))
        assert len(judged) == 32
        for query, document, grade in judged:
            topic = parallel.passages[pair.document].index(document)
            assert query in parallel.questions[pair.query][topic]
            assert grade == 1


def test_all_subsets_share_one_pool_without_repetitions(three: Belebele) -> None:
    assert len(three.collection.pool) == 3 * 16
    assert len(three.collection.queries) == 3 * 32
    assert len(set(three.collection.pool.texts)) == 3 * 16
    assert three.collection.languages == three.task.languages == ("de", "en", "fr")


def test_own_language_recall_is_the_recall_of_stock_mteb(three: Belebele) -> None:
    records = evaluate(three.task, three.collection, assembled(HashingEncoder())).submission.pairs
    assert len(records) == len(three.stock) == 7
    for record in records:
        entry = three.stock[f"{CODES[record.document]}-{CODES[record.query]}"]
        for k in (1, 10, 100):
            assert record.own_language[f"R@{k}"].mean == pytest.approx(entry[f"recall_at_{k}"], abs=5.1e-6)
    assert len({entry["recall_at_1"] for entry in three.stock.values()}) > 3  # not all alike, so the direction is seen in the numbers too
    assert three.stock["deu_Latn-eng_Latn"]["recall_at_10"] != three.stock["eng_Latn-deu_Latn"]["recall_at_10"]


def test_the_task_agrees_with_its_collection(three: Belebele) -> None:
    task = three.task
    assert disagreements(task, three.collection) == []
    assert (task.name, task.source, task.version, task.pool, task.depth) == ("mteb:BelebeleRetrieval", "mteb", 1, "all", 100)
    assert task.query_languages == ("de", "en", "fr")
    assert task.licence == "cc-by-sa-4.0"
    assert "bandarkar2023belebele" in task.citation
    assert task.homepage == "https://arxiv.org/abs/2308.16884"
    assert "7 subsets and splits" in task.description


def test_the_same_question_in_several_languages_is_one_topic(three: Belebele, parallel: Parallel) -> None:
    number = topics(three.collection)
    assert len(set(number.values())) == 32
    for k in range(16):
        for n in range(2):
            assert len({number[parallel.questions[language][k][n]] for language in CODES}) == 1


def test_the_order_of_subsets_changes_nothing(three: Belebele, parallel: Parallel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    belebele(monkeypatch, tmp_path / "data", {language: belebele_rows(parallel, language) for language in reversed(CODES)}, reverse=True)
    again = mteb_collection("BelebeleRetrieval")[1]
    assert again.fingerprint == three.collection.fingerprint
    assert again.pool.ids == three.collection.pool.ids


def test_a_language_whose_numbers_are_shifted_shares_no_topic(parallel: Parallel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {language: belebele_rows(parallel, language) for language in CODES}
    rows["fr"][3]["question"] = rows["fr"][0]["question"]  # as in 9 languages of the real data: from here on mteb's numbers mean other questions
    belebele(monkeypatch, tmp_path / "data", rows)
    collection = mteb_collection("BelebeleRetrieval")[1]
    number = topics(collection)
    french = {number[text] for text, language in zip(collection.queries.texts, collection.queries.languages, strict=True) if language == "fr"}
    assert len(french) == 31
    assert not french & {number[text] for row in parallel.questions["en"] for text in row}
    assert all(number[parallel.questions["en"][k][n]] == number[parallel.questions["de"][k][n]] for k in range(16) for n in range(2))


def test_mlqa_and_xpqa_ask_in_their_second_language(parallel: Parallel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, splits in (("MLQARetrieval", ["validation", "test"]), ("XPQARetrieval", ["test"])):
        contents: dict[str, dict[str, Rows]] = {}
        for document, query in (("de", "en"), ("en", "de")):
            for s, split in enumerate(splits):
                rows = range(s * 4, s * 4 + 4)
                corpus = texts([parallel.passages[document][k] for k in rows], "C")
                asked = texts([parallel.questions[query][k][0] for k in rows], "Q")
                part = standard(f"{ALPHA3[document]}-{ALPHA3[query]}", split, corpus, asked, [(f"Q{k}", f"C{k}", 1) for k in range(4)])
                for config, content in part.items():
                    contents.setdefault(config, {}).update(content)
        langs = {"deu-eng": ["deu-Latn", "eng-Latn"], "eng-deu": ["eng-Latn", "deu-Latn"]}
        point(monkeypatch, name, publish(tmp_path / name, contents), langs)
        task, collection = mteb_collection(name)
        expected = [(parallel.questions["en"][k][0], parallel.passages["de"][k], 1) for k in range(4 * len(splits))]
        assert sorted(found(collection, "en-de")) == sorted(expected)  # both splits
        assert len(collection.pool) == 2 * 4 * len(splits)
        assert len(set(collection.topics.tolist())) == len(collection.queries)  # Q0 is another question in each subset and split
        assert task.name == f"mteb:{name}"


def test_cure_asks_in_its_first_language_and_its_splits_are_one_pool(parallel: Parallel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = {"dermatology": range(5), "genetics": range(3, 9)}  # topics 3 and 4 stand in both
    contents: dict[str, dict[str, Rows]] = {
        "corpus": {s: [{"_id": f"d{k}", "title": f"Title {k}", "text": parallel.passages["en"][k]} for k in rows] for s, rows in splits.items()},
        "qrels": {s: [{"query-id": f"q{k}", "corpus-id": f"d{k}", "score": 1 + (s == "genetics")} for k in rows] for s, rows in splits.items()},
    }
    for language in ("en", "fr"):
        contents[f"queries-{language}"] = {s: [{"_id": f"q{k}", "text": parallel.questions[language][k][0]} for k in rows] for s, rows in splits.items()}
    langs = {"en": ["eng-Latn", "eng-Latn"], "fr": ["fra-Latn", "eng-Latn"]}
    point(monkeypatch, "CUREv1", publish(tmp_path / "cure", contents), langs, list(splits))
    task, collection = mteb_collection("CUREv1")
    assert collection.pairs == (Pair("en", "en"), Pair("fr", "en"))
    assert len(collection.pool) == 9
    assert len(collection.queries) == 18
    expected = [(parallel.questions["fr"][k][0], f"Title {k} {parallel.passages['en'][k]}", 1 + (k >= 3)) for k in range(9)]
    assert sorted(found(collection, "fr-en")) == sorted(expected)  # the higher grade where a split says 1 and another 2
    assert "4 judgements differ between subsets or splits" in task.description
    assert len(set(collection.topics.tolist())) == 9
    assert task.citation == task.homepage == "https://huggingface.co/datasets/clinia/CUREv1"  # mteb has no BibTeX for it


def mmarco(folder: Path, corpus: Mapping[str, Rows], queries: Mapping[str, Rows], judged: Sequence[tuple[str, str, int]], patch: pytest.MonkeyPatch) -> None:
    contents: dict[str, dict[str, Rows]] = {}
    for language in corpus:
        contents |= standard(language, "dev", corpus[language], queries[language], judged)
    point(patch, "MMarcoRetrievalMultilingual", publish(folder, contents), {x: [CODES[x].replace("_", "-")] for x in corpus})


def test_monolingual_subsets_share_the_pool(parallel: Parallel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = {x: texts(parallel.passages[x], "C") for x in ("de", "fr")}
    queries = {x: texts([q[0] for q in parallel.questions[x]], "Q") for x in ("de", "fr")}
    mmarco(tmp_path / "data", corpus, queries, [(f"Q{k}", f"C{k}", 1) for k in range(16)], monkeypatch)
    task, collection = mteb_collection("MMarcoRetrievalMultilingual")
    assert task.pairs == ("de-de", "fr-fr")
    assert len(collection.pool) == 32
    assert len(set(collection.topics.tolist())) == 16
    record = evaluate(task, collection, assembled(HashingEncoder())).submission.pairs[0]
    stock = mteb.evaluate(Stock(), [mteb.get_task("MMarcoRetrievalMultilingual")], cache=None, show_progress_bar=False).task_results[0].scores["dev"]
    entry = next(entry for entry in stock if entry["hf_subset"] == "de")
    assert record.own_language["R@10"].mean == pytest.approx(entry["recall_at_10"], abs=5.1e-6)
    assert record.measures["R@1"].mean <= record.own_language["R@1"].mean


def test_empty_and_repeated_texts_are_counted_and_the_highest_grade_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = {"de": [{"id": key, "title": title, "text": text} for key, title, text in [("a", "Roter", "Fuchs"), ("b", "", "Roter Fuchs"), ("c", "", " ")]]}
    queries = {"de": [{"id": "q", "text": "Fuchs"}, {"id": "r", "text": "Fuchs"}, {"id": "s", "text": ""}, {"id": "t", "text": "Wal"}]}
    judged = [("q", "a", 1), ("r", "b", 3), ("q", "c", 1), ("s", "a", 1), ("t", "a", 0), ("t", "gone", 1)]
    mmarco(tmp_path / "data", corpus, queries, judged, monkeypatch)
    task, collection = mteb_collection("MMarcoRetrievalMultilingual")
    assert collection.pool.texts == ["Roter Fuchs"]
    assert sorted(found(collection, "de-de")) == [("Fuchs", "Roter Fuchs", 3), ("Wal", "Roter Fuchs", 0)]
    assert "2 empty texts" in task.description
    assert "3 judgements of texts that are empty or missing" in task.description
    assert "1 judgements differ" in task.description


def test_a_task_that_hides_the_query_in_its_own_pool_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = {"de": [{"id": "x", "title": "", "text": "Fuchs"}, {"id": "y", "title": "", "text": "Wolf"}]}
    mmarco(tmp_path / "data", corpus, {"de": [{"id": "x", "text": "Fuchs"}]}, [("x", "y", 1)], monkeypatch)
    with pytest.raises(CollectionError, match="1 queries are documents of the pool themselves"):
        mteb_collection("MMarcoRetrievalMultilingual")


def test_a_task_that_ranks_given_candidates_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = standard("de", "dev", [{"id": "a", "title": "", "text": "Fuchs"}], [{"id": "q", "text": "Tier"}], [("q", "a", 1)])
    folder = publish(tmp_path / "data", part | {"de-top_ranked": {"dev": [{"query-id": "q", "corpus-ids": ["a"]}]}})
    point(monkeypatch, "MMarcoRetrievalMultilingual", folder, {"de": ["deu-Latn"]})
    with pytest.raises(CollectionError, match="ranks the candidates it is given"):
        mteb_collection("MMarcoRetrievalMultilingual")


def test_unknown_names_are_told_with_the_nearest_known_one() -> None:
    with pytest.raises(TaskError, match=r"has no task 'belebele'\. Did you mean 'mteb:BelebeleRetrieval'"):
        mteb_collection("belebele")
    with pytest.raises(TaskError, match=r"has no task 'xyzzy-12'. List them with mteb.get_tasks"):
        mteb_collection("xyzzy-12")


def test_what_is_no_text_retrieval_is_refused() -> None:
    with pytest.raises(TaskError, match="it is STS over text"):
        mteb_collection("STS12")
    with pytest.raises(TaskError, match="over text, image"):
        mteb_collection("WITT2IRetrieval")
    with pytest.raises(TaskError, match=r"python-Code\. Only languages that people speak"):
        mteb_collection("AppsRetrieval")


def test_a_cross_lingual_task_of_unknown_direction_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(DOCUMENT_FIRST, "XPQARetrieval")
    with pytest.raises(TaskError, match=r"XPQARetrieval: of subset 'eng-ara' it is not known which language is the query's\. Known: BelebeleRetrieval, MLQA"):
        mteb_collection("XPQARetrieval")


def test_every_text_retrieval_task_of_mteb_has_pairs_or_is_about_code() -> None:
    refused = []
    for task in mteb.get_tasks(task_types=["Retrieval"], modalities=["text"], exclusive_modality_filter=True):
        if task.metadata.name.startswith("CLIRBench"):
            continue  # ours, where another test of this process has registered them
        try:
            assert [_pair(task.metadata, subset) for subset in task.hf_subsets]
        except TaskError as error:
            guessed = task.metadata.name.startswith("CrossLingualSemanticDiscrimination") and "it is not known which language is the query's" in str(error)
            assert guessed or "-Code. Only languages" in str(error)
            refused.append(task.metadata.name)
    assert len(refused) < 30
    for name in (*SHARED_QUERY_IDS, *DOCUMENT_FIRST):
        assert mteb.get_task(name).metadata.name == name


def test_norwegian_under_three_codes_is_one_language() -> None:
    assert _pair(mteb.get_task("MKQARetrieval").metadata, "no") == Pair("no", "no")


def test_without_the_network_the_data_set_and_the_way_out_are_named() -> None:
    with pytest.raises(CollectionError) as caught:
        mteb_collection("MLQARetrieval")
    assert "mteb/MLQARetrieval at revision 5bef8b6e2601af974fb1a1cca03fd702229be4b6 could not be loaded: ConnectionError" in str(caught.value)
    assert "without HF_HUB_OFFLINE" in str(caught.value)
