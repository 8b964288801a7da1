"""The paper's three data sets, built from miniature copies in the official formats: every step of the recipes, known golds, the same bytes every time."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from official import (
    MULTI8,
    Fault,
    Site,
    clirmatrix_site,
    finish_clirmatrix,
    large_scale_site,
    localise,
    mmarco_site,
    serving,
    small_clirmatrix,
    small_large_scale,
    small_mmarco,
)

from clir_bench.collection import Collection
from clir_bench.errors import ClirBenchError, CollectionError, DownloadError
from clir_bench.sources import building, store
from clir_bench.sources.building import Options
from clir_bench.sources.leakage import Training
from clir_bench.task import Task, load_task

SITES: dict[str, tuple[Callable[..., Site], Callable[[dict[str, Any]], None]]] = {
    "large_scale": (large_scale_site, small_large_scale),
    "clirmatrix": (clirmatrix_site, small_clirmatrix),
    "mmarco": (mmarco_site, small_mmarco),
}
GOLDEN = {
    "large_scale": "sha256:37bb499fd9e406c79ec1937c9cbfd8e61d33f0e39937d8e94397d79610f7584d",
    "clirmatrix": "sha256:3fe09bcb4421d442d082e06b6f268ab9e31d07cc8c0635c74df310af17e8e5c7",
    "mmarco": "sha256:fecf289bbffbaa6eac1f26df2cab579cee1fd892079a1a823a8677024fdba3b6",
}
"""Fingerprints of the collections that the miniature sites give, on every Python and in every file order."""


pytestmark = pytest.mark.usefixtures("quick_network")


@contextmanager
def site_of(name: str, folder: Path, change: Callable[[dict[str, Any]], None] | None = None, **how: Any) -> Iterator[tuple[Site, Task]]:
    make, small = SITES[name]
    with serving(make(**how)) as site:
        if name == "clirmatrix":
            finish_clirmatrix(site)

        def both(content: dict[str, Any]) -> None:
            small(content)
            if change:
                change(content)

        yield site, load_task(localise(name, site, folder / "tasks", both))


def options(folder: Path, **how: Any) -> Options:
    return Options(cache=folder / "cache", agree=lambda _: True, **how)


def built(name: str, folder: Path, *, change: Callable[[dict[str, Any]], None] | None = None, how: dict[str, Any] | None = None, **opts: Any) -> Made:
    with site_of(name, folder, change, **(how or {})) as (site, task):
        said: list[str] = []
        place = building.build_task(task, options(folder, say=said.append, **opts))
        manifest = store.read_manifest(place)
        assert manifest is not None
        return Made(site, task, place, manifest, building.read_built(task, folder / "cache"), said)


class Made:
    def __init__(self, site: Site, task: Task, place: Path, manifest: store.Manifest, collection: Collection, said: list[str]) -> None:
        self.site, self.task, self.place, self.manifest, self.collection, self.said = site, task, place, manifest, collection, said

    def golds(self) -> dict[str, list[str]]:
        """Query id to the ids of its relevant documents."""
        j, c = self.collection.judgements, self.collection
        found: dict[str, list[str]] = {}
        for q, d in zip(j.query.tolist(), j.document.tolist(), strict=True):
            found.setdefault(c.queries.ids[q], []).append(c.pool.ids[d])
        return found

    def text(self, identifier: str) -> str:
        return dict(zip(self.collection.pool.ids, self.collection.pool.texts, strict=True))[identifier]

    def training(self) -> Training:
        found = store.read_training(self.place)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """A data set with its training data, built once; nobody writes into it."""
    return cache(lambda name: built(name, tmp_path_factory.mktemp(name), train=True))


def copied(made: Made, folder: Path) -> Made:
    """The same build in a cache of its own, to be changed."""
    home = next(parent for parent in made.place.parents if parent.name == "cache")
    shutil.copytree(home, folder / "cache")
    return Made(made.site, made.task, folder / "cache" / made.place.relative_to(home), made.manifest, made.collection, made.said)


@pytest.mark.parametrize("name", SITES)
def test_collections_are_golden_whatever_the_order_of_files_and_lines(name: str, shared: Callable[[str], Made], tmp_path: Path) -> None:
    first = shared(name)
    other = built(name, tmp_path, train=True, how={"shuffle": 7})
    assert first.collection.fingerprint == other.collection.fingerprint == GOLDEN[name]
    for table in first.manifest.files:
        assert (first.place / table).read_bytes() == (other.place / table).read_bytes(), table
    assert first.manifest.counts == other.manifest.counts
    assert first.manifest.leakage == other.manifest.leakage


@pytest.mark.parametrize("name", SITES)
def test_verify_recomputes_what_the_manifest_says(name: str, shared: Callable[[str], Made], tmp_path: Path) -> None:
    made = copied(shared(name), tmp_path)
    problems, checked = building.verify_task(made.task, options(tmp_path))
    assert problems == []
    assert any("training examples" in line for line in checked)
    assert f"fingerprint {GOLDEN[name]}" in checked
    table = pq.read_table(made.place / "corpus.parquet").to_pylist()
    table[0]["text"] += "!"
    store.write_table(made.place / "corpus.parquet", {key: [row[key] for row in table] for key in table[0]})
    problems, _ = building.verify_task(made.task, options(tmp_path))
    assert "corpus.parquet: sha256 is" in problems[0]
    with pytest.raises(CollectionError, match=r"its tables give sha256:.* They were changed: build it again with --rebuild"):
        building.read_built(made.task, tmp_path / "cache")
    (made.place / "qrels.parquet").unlink()
    assert "qrels.parquet: missing" in building.verify_task(made.task, options(tmp_path))[0]


@pytest.mark.parametrize("name", SITES)
def test_a_finished_build_asks_for_nothing_and_leaves_no_work_behind(name: str, shared: Callable[[str], Made], tmp_path: Path) -> None:
    made = copied(shared(name), tmp_path)
    assert not list((tmp_path / "cache" / "work").iterdir())
    before = made.place.joinpath("manifest.json").read_bytes()
    building.build_task(made.task, options(tmp_path, train=True))  # the server is gone
    assert made.place.joinpath("manifest.json").read_bytes() == before


@pytest.mark.parametrize("name", SITES)
def test_files_at_hand_are_taken_in_place_of_a_download(name: str, tmp_path: Path) -> None:
    with site_of(name, tmp_path) as (site, task):
        for path, raw in site.files.items():
            place = tmp_path / "mine" / path.removeprefix("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(raw)  # type: ignore[arg-type]
        place = building.build_task(task, options(tmp_path, source_dir=tmp_path / "mine"))
        assert site.log == []
    manifest = store.read_manifest(place)
    assert manifest is not None
    assert manifest.fingerprint == GOLDEN[name]
    assert {source.via for source in manifest.sources} == {"source-dir"}
    problems, checked = building.verify_task(task, options(tmp_path, source_dir=tmp_path / "mine"))
    assert problems == []
    assert any("as recorded" in line for line in checked)
    victim = max((tmp_path / "mine").rglob("*.*"), key=lambda path: path.stat().st_size)
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    if name != "clirmatrix":  # its large files are listed in the index, not in the task
        assert "but the collection was built from" in building.verify_task(task, options(tmp_path, source_dir=tmp_path / "mine"))[0][0]


# --- Large-Scale CLIR


@pytest.fixture(scope="module")
def large_scale(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return built("large_scale", tmp_path_factory.mktemp("ls"), how={"articles": 400}, train=True)


def test_large_scale_golds_are_the_mates_and_oddities_are_left_out(large_scale: Made) -> None:
    assert len(large_scale.collection.pairs) == 25
    for query, documents in large_scale.golds().items():
        article = int(query) - 1000
        assert article not in (3, 5, 9, 11)  # two mates, a stub, no document, no sentence
        assert {d.partition(":")[2] for d in documents} == {str(article + 10)}
    assert any(d.startswith("en-simple:") for d in large_scale.collection.pool.ids)
    texts = list(zip(large_scale.collection.pool.languages, large_scale.collection.pool.texts, strict=True))
    assert len(set(texts)) == len(texts) == 1000  # article 7's text equals article 6's: one of the two
    counts = large_scale.manifest.counts
    assert counts["queries_with_several_mates"] == 25
    assert {key for key, n in counts.items() if n} >= {"stubs_passed_over", "candidates_without_text"}


def test_large_scale_texts_carry_title_and_text_without_the_leading_blank(large_scale: Made) -> None:
    query = large_scale.collection.queries.ids[0]
    article = int(query) - 1000
    text = large_scale.collection.queries.texts[0]
    assert text.startswith(f"topic {article} is a ")
    gold = large_scale.golds()[query][0]
    assert large_scale.text(gold).startswith(f"Topic {article} ")
    assert "  " not in large_scale.text(gold)


def test_the_variants_of_large_scale_ask_the_same_queries_in_other_words(tmp_path: Path) -> None:
    with site_of("large_scale", tmp_path) as (site, task):
        plain = building.read_built(task, building.build_task(task, options(tmp_path, keep_work=True)).parents[2])
        site.log.clear()
        texts = {}
        for variant in ("no-title", "title-only"):
            changed = task.variant(variant)
            building.build_task(changed, options(tmp_path, keep_work=True))
            found = building.read_built(changed, tmp_path / "cache")
            assert found.queries.ids == plain.queries.ids
            assert found.fingerprint != plain.fingerprint
            texts[variant] = found.queries.texts[0]
        assert site.log == []  # kept work serves all variants
    assert plain.queries.texts[0] == f"{texts['title-only']} {texts['no-title']}"
    assert texts["title-only"].startswith("topic ")


def test_large_scale_trains_on_nothing_that_is_evaluated(large_scale: Made) -> None:
    training = large_scale.training()
    assert Counter(e.split for e in training.examples)["train"] > 100
    assert not {e.key for e in training.examples} & set(large_scale.collection.queries.ids)  # in any of the 25 languages
    assert not {e.document_id for e in training.examples} & set(large_scale.collection.pool.ids)
    assert large_scale.manifest.leakage is not None
    assert int(large_scale.manifest.leakage["rule 1"]) > 0
    assert not [e for e in training.examples if e.negatives]  # none in the paper
    assert training.related  # linked documents, which are no easy negatives
    splits = {split: {e.key for e in training.examples if e.split == split} for split in ("train", "dev")}
    assert splits["dev"]
    assert not splits["train"] & splits["dev"]  # a development query is one in every language
    positives = {(e.key, e.document_id) for e in training.examples}
    assert not positives & set(training.related)


def test_an_archive_that_lacks_a_language_or_has_too_few_queries_is_told(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=r"fewer than 40 queries with texts that hold, ar: 2"):
        built("large_scale", tmp_path / "a", how={"articles": 30})
    with pytest.raises(CollectionError, match=r"no en2sw.rel in it. The archive is not what the task describes"):
        built("large_scale", tmp_path / "b", how={"without": "en2sw.rel"})


# --- CLIRMatrix


@pytest.fixture(scope="module")
def clirmatrix(shared: Callable[[str], Made]) -> Made:
    return shared("clirmatrix")


def listed(made: Made, query: str, document: str, split: str) -> list[dict[str, Any]]:
    import gzip

    entry = made.site.index["clirmatrix_multi8"][f"queries/{query}_{document}/{split}"]
    return [json.loads(line) for line in gzip.decompress(made.site.files[entry["url"]]).splitlines() if line]  # type: ignore[arg-type]


def present(made: Made, language: str) -> dict[int, str]:
    import gzip

    entry = made.site.index["clirmatrix_docs"][f"docs/{language}"]
    lines = gzip.decompress(made.site.files[entry["url"]]).decode().splitlines()  # type: ignore[arg-type]
    return {int(key): text for key, _, text in (line.partition("\t") for line in lines)}


def slow_golds(made: Made, query: str, document: str, split: str, rule: str, stubs: bool) -> list[int | None]:
    """The recipe, written out once more: the first listed document that is there (and no stub)."""
    held = {key: text for key, text in present(made, document).items() if stubs or text != "x"}
    mates = [int(row["src_id"]) for row in listed(made, document, "en" if document != "en" else "ar", split)]
    found: list[int | None] = []
    for i, row in enumerate(listed(made, query, document, split)):
        results = [(int(d), label) for d, label in row["tgt_results"]]
        candidates = {"top1": [d for d, _ in results], "six": [d for d, label in results if label == 6], "mate": [mates[i]]}[rule]
        found.append(next((d for d in candidates if d in held), None))
    return found


def test_clirmatrix_golds_equal_a_slow_reading_of_the_recipe(clirmatrix: Made) -> None:
    golds = clirmatrix.golds()
    for q, d in (("en", "fr"), ("ar", "zh"), ("zh", "ar")):
        rows = listed(clirmatrix, q, d, "test1")
        for row, gold in zip(rows, slow_golds(clirmatrix, q, d, "test1", "top1", stubs=False), strict=True):
            mine = [x for x in golds[f"{q}:{row['src_id']}"] if x.startswith(f"{d}:")]
            assert len(mine) == 1
            text = present(clirmatrix, d)[gold]  # type: ignore[index]
            assert clirmatrix.text(mine[0]) == text  # equal texts are one document, so the id may be another's
            same = sorted(key for key, found in present(clirmatrix, d).items() if found == text)
            assert int(mine[0].partition(":")[2]) in same


def test_clirmatrix_counts_what_is_absent_stubs_and_equal_texts(clirmatrix: Made) -> None:
    counts = clirmatrix.manifest.counts
    absent = stubs = 0
    for q in MULTI8:
        for d in MULTI8:
            if q != d:
                held = present(clirmatrix, d)
                firsts = [int(row["tgt_results"][0][0]) for row in listed(clirmatrix, q, d, "test1")]
                absent += sum(f not in held for f in firsts)
                stubs += sum(held.get(f) == "x" for f in firsts)
    assert counts["golds_absent_from_collection"] == absent > 0
    assert counts["golds_that_are_stubs"] == stubs > 0
    assert counts["equal_texts_merged"] > 0
    assert counts["queries_without_gold"] == 0


def test_topics_are_lines_and_all_labels_are_kept(clirmatrix: Made) -> None:
    topics = dict(zip(clirmatrix.collection.queries.ids, clirmatrix.collection.topics.tolist(), strict=True))
    rows = {q: listed(clirmatrix, q, "en" if q != "en" else "ar", "test1") for q in MULTI8}
    for i in (0, 17, 39):
        assert len({topics[f"{q}:{rows[q][i]['src_id']}"] for q in MULTI8}) == 1
    graded = pq.read_table(clirmatrix.place / "qrels_graded.parquet").to_pylist()
    mine = [(r["document"], r["label"]) for r in graded if (r["query_lang"], r["doc_lang"], r["topic"]) == ("en", "fr", 17)]
    assert mine == [(int(d), label) for d, label in listed(clirmatrix, "en", "fr", "test1")[17]["tgt_results"]]
    assert len(graded) == sum(len(r["tgt_results"]) for q in MULTI8 for d in MULTI8 if q != d for r in listed(clirmatrix, q, d, "test1"))


@pytest.mark.parametrize(("split", "rule"), [("test1", "six"), ("test2", "top1"), ("dev", "mate")])
def test_the_counts_decide_split_and_rule(clirmatrix: Made, tmp_path: Path, split: str, rule: str) -> None:
    sizes = []
    for d in MULTI8:
        pool = {g for q in MULTI8 if q != d for g in slow_golds(clirmatrix, q, d, split, rule, stubs=True)}
        sizes.append(len(pool - {None}))
    same = [s for s, n in clirmatrix.manifest.counts.items() if s.startswith("documents_") and n == sum(sizes)]
    assert f"documents_{split}_{rule}" in same

    def change(content: dict[str, Any]) -> None:
        content["paper"] |= {"documents": sum(sizes), "documents_per_language": [min(sizes), max(sizes)]}

    made = built("clirmatrix", tmp_path, change=change)
    first = same[0].removeprefix("documents_").split("_")
    assert made.manifest.notes[0].startswith(f"split {first[0]}, rule {first[1]}: matches the paper's {sum(sizes)} documents")
    if rule == "six":  # queries without a document of label 6 are not asked
        assert (
            set(made.golds()) != {f"{q}:{r['src_id']}" for q in MULTI8 for r in listed(clirmatrix, q, "en" if q != "en" else "ar", split)}
            or same[0] != "documents_test1_six"
        )


def test_without_a_match_the_first_candidate_is_taken_and_said(clirmatrix: Made) -> None:
    assert clirmatrix.manifest.notes[0] == "split test1, rule top1: the first candidate; none gives the paper's 9055 documents, 1080-1205 a language"
    assert clirmatrix.said[-4:] == list(clirmatrix.manifest.paper)
    assert any(line.startswith("documents: 9,055 in the paper, ") for line in clirmatrix.manifest.paper)


def test_where_the_development_split_is_evaluated_another_one_chooses_the_checkpoint(clirmatrix: Made, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        sizes = [len({g for q in MULTI8 if q != d for g in slow_golds(clirmatrix, q, d, "dev", "six", stubs=True)} - {None}) for d in MULTI8]
        content["paper"] |= {"documents": sum(sizes), "documents_per_language": [min(sizes), max(sizes)]}
        content["recipe"] |= {"gold": "six", "split": "by-count"}

    made = built("clirmatrix", tmp_path, change=change, train=True)
    dev = [e for e in made.training().examples if e.split == "dev"]
    assert dev
    number = {language: 1_000_000 * (i + 1) for i, language in enumerate(MULTI8)}
    evaluated = made.manifest.notes[0].split(",")[0].removeprefix("split ")
    first = {"test2": 10_000, "dev": 20_000}["dev" if evaluated != "dev" else "test2"]
    assert all(0 <= int(e.key.partition(":")[2]) - number[e.query_language] - first < 40 for e in dev)


def test_lines_that_are_not_the_same_article_in_all_languages_are_refused() -> None:
    import numpy as np

    from clir_bench.sources.clirmatrix_files import Lists, check_alignment

    def lists(shift: int) -> dict[tuple[str, str, str], Lists]:
        found = {}
        for q, d in (("de", "en"), ("en", "de")):
            source = np.arange(100, dtype=np.int32) + (0 if q == "de" else 1000)
            mates = np.roll(np.arange(100, dtype=np.int32) + (0 if d == "de" else 1000), shift)
            ids = np.full((100, 100), -1, np.int32)
            ids[:, 0] = mates
            found["dev", q, d] = Lists(source, [""] * 100, ids, np.zeros((100, 100), np.int8))
        return found

    assert check_alignment(lists(0), ["de", "en"]) == {"dev: own articles among the results": 200}
    with pytest.raises(CollectionError, match=r"dev: of 200 queries only 0 have their own article among the results, so lines are not aligned"):
        check_alignment(lists(3), ["de", "en"])


def test_a_named_split_fetches_no_other(tmp_path: Path) -> None:
    with site_of("clirmatrix", tmp_path) as (site, task):
        building.build_task(task.variant("test2-top1"), options(tmp_path))
    asked = {path.rsplit(".", 3)[1] for _, path, _, _ in site.log if path.endswith(".jl.gz")}
    assert asked == {"test2"}


def test_clirmatrix_trains_on_nothing_that_is_evaluated(clirmatrix: Made) -> None:
    training, leakage = clirmatrix.training(), clirmatrix.manifest.leakage
    assert leakage is not None
    assert all(int(leakage[rule]) > 0 for rule in ("rule 2", "rule 3", "rule 8"))
    pool = set(clirmatrix.collection.pool.ids)
    assert not {e.document_id for e in training.examples} & pool
    assert not {n.id for e in training.examples for n in e.negatives} & pool
    taught = {e.query for e in training.examples}
    assert not taught & set(clirmatrix.collection.queries.texts)
    per_pair = Counter((e.split, e.query_language, e.document_language) for e in training.examples)
    assert {key[0] for key in per_pair} == {"train", "dev"}
    assert max(n for key, n in per_pair.items() if key[0] == "train") <= 12
    labels = [[n.label for n in e.negatives] for e in training.examples]
    assert all(1 <= label <= 5 for row in labels for label in row)
    assert all(row == sorted(row, reverse=True) and len(row) <= 4 for row in labels)
    assert all(n.id != e.document_id for e in training.examples for n in e.negatives)


def test_query_files_that_are_not_aligned_are_all_named(tmp_path: Path) -> None:
    import gzip

    with site_of("clirmatrix", tmp_path) as (site, task):
        for key in ("queries/en_fr/test1", "queries/de_ru/test1"):
            entry = site.index["clirmatrix_multi8"][key]
            rows = gzip.decompress(site.files[entry["url"]]).splitlines()  # type: ignore[arg-type]
            packed = gzip.compress(b"\n".join([rows[1], rows[0], *rows[2:]]), mtime=0)
            site.files[entry["url"]] = packed
            entry |= {"size_hint": len(packed), "expected_md5": hashlib.md5(packed).hexdigest()}
        finish_clirmatrix(site)
        index = site.files["/~shuosun/clirmatrix/data/downloads.json.gz"]
        file = task.files[0].model_copy(update={"bytes": len(index), "md5": hashlib.md5(index).hexdigest()})  # type: ignore[arg-type]
        with pytest.raises(CollectionError) as caught:
            building.build_task(task.model_copy(update={"files": (file,)}), options(tmp_path))
    assert "2 problems" in str(caught.value)
    assert "test1: en-fr and en-ar ask different queries" in str(caught.value)
    assert "test1: de-ru and de-ar ask different queries" in str(caught.value)


# --- mMARCO


@pytest.fixture(scope="module")
def mmarco(shared: Callable[[str], Made]) -> Made:
    return shared("mmarco")


def test_each_passage_stands_in_one_language_and_is_asked_for_in_all(mmarco: Made) -> None:
    c = mmarco.collection
    assert len(c.pairs) == 196
    assert Counter(c.pool.languages) == dict.fromkeys(mmarco.task.languages, 10)
    assert len({key.partition(":")[2] for key in c.pool.ids}) == 140
    for language, key, text in zip(c.pool.languages, c.pool.ids, c.pool.texts, strict=True):
        assert text.startswith(f"{language} passage {key.partition(':')[2]} ")
    for query, golds in mmarco.golds().items():
        language, _, passage = query.split(":")
        assert [g.partition(":")[2] for g in golds] == [passage]
    first = c.queries.ids.index(next(key for key in c.queries.ids if key.startswith("vi:")))
    assert c.queries.texts[first].startswith(f"vi question {c.queries.ids[first].split(':')[1]} ")


def test_the_unit_is_the_passage_and_its_query_the_lowest(mmarco: Made) -> None:
    rows = [
        line.split() for line in mmarco.site.files[next(p for p in mmarco.site.files if p.endswith("dev.small.tsv") and "qrels" in p)].decode().splitlines()
    ]  # type: ignore[union-attr]
    lowest: dict[str, int] = {}
    for query, _, passage, _ in rows:
        lowest[passage] = min(int(query), lowest.get(passage, int(query)))
    assert {key.split(":")[2]: int(key.split(":")[1]) for key in mmarco.collection.queries.ids} == lowest
    assert len(set(lowest.values())) < len(lowest)  # some queries have two passages
    topics = dict(zip(mmarco.collection.queries.ids, mmarco.collection.topics.tolist(), strict=True))
    assert len(set(topics.values())) == len(set(lowest.values()))


def test_the_assignment_is_by_hash_order_and_moves_with_the_seed() -> None:
    from clir_bench.sources.mmarco import assign

    languages = load_task("mmarco").languages
    by = {seed: assign(range(7433), languages, seed) for seed in (42, 43)}
    sizes = Counter(by[42].values())
    assert sizes["zh"] == 530
    assert {n for code, n in sizes.items() if code != "zh"} == {531}
    assert 0.05 < sum(by[42][p] == by[43][p] for p in range(7433)) / 7433 < 0.09  # one in fourteen by chance
    ranked = sorted(range(7433), key=lambda p: hashlib.sha256(f"42:mmarco:{p}".encode()).digest())
    assert [by[42][p] for p in ranked[:15]] == [*languages, "ar"]


def test_every_passage_has_its_english_text_beside_it(mmarco: Made) -> None:
    english = store.read_english(mmarco.place)
    assert english is not None
    assert set(english) == set(mmarco.collection.pool.ids)
    assert all(text.startswith(f"en passage {key.partition(':')[2]} ") for key, text in english.items())


def test_mmarco_fetches_a_small_part_by_range(mmarco: Made) -> None:
    sent = Counter[str]()
    for _, path, status, size in mmarco.site.log:
        if "collections" in path:
            assert status in (206, 302)
            sent[path] += size
    assert set(sent) == {p for p in mmarco.site.files if "collections" in p}
    assert {s.via for s in mmarco.manifest.sources if s.name.startswith("collection")} == {"range"}
    assert all(s.checksum.startswith("etag:") for s in mmarco.manifest.sources if s.name.startswith("collection"))


def test_mmarco_trains_on_nothing_that_is_evaluated(mmarco: Made) -> None:
    training, leakage = mmarco.training(), mmarco.manifest.leakage
    assert leakage is not None
    assert int(leakage["rule 4"]) == 1
    assert int(leakage["rule 5"]) == 140
    assert int(leakage["rule 8"]) > 0
    passages = {key.partition(":")[2] for key in mmarco.collection.pool.ids}
    assert not {e.document_id.partition(":")[2] for e in training.examples} & passages
    assert not {n.id.partition(":")[2] for e in training.examples for n in e.negatives} & passages
    assert all(len(e.negatives) == (e.split == "train") for e in training.examples)
    assert all(e.negatives[0].text.startswith(f"{e.document_language} passage") for e in training.examples if e.negatives)
    assert len({(e.query_language, e.document_language) for e in training.examples}) == 196


def test_an_empty_translation_is_kept_counted_and_evaluated(tmp_path: Path) -> None:
    from clir_bench.evaluate import evaluate
    from clir_bench.sources.mmarco import assign
    from clir_bench.system import System

    with site_of("mmarco", tmp_path) as (site, task):
        qrels = next(raw for path, raw in site.files.items() if path.endswith("qrels.dev.small.tsv")).decode()  # type: ignore[union-attr]
        passages = sorted({int(line.split()[2]) for line in qrels.splitlines()})
        victim = next(p for p, language in assign(passages, task.languages, 42).items() if language == "it")
        path = next(p for p in site.files if "italian_collection" in p)
        lines = site.files[path].split(b"\n")  # type: ignore[union-attr]
        lines[victim] = b"%d\t \xe2\x80\x8b" % victim
        site.files[path] = b"\n".join(lines)
        site.etags.clear()
        file = task.file("collection/it").model_copy(update={"bytes": None, "md5": None})
        changed = task.model_copy(update={"files": tuple(file if f.name == file.name else f for f in task.files)})
        place = building.build_task(changed, options(tmp_path))
    manifest = store.read_manifest(place)
    assert manifest is not None
    assert manifest.counts["empty_translations"] == 1
    collection = building.read_built(changed, tmp_path / "cache")
    assert collection.pool.texts[collection.pool.ids.index(f"it:{victim}")] == ""
    assert evaluate(changed, collection, System(model="bm25")).submission.complete


def test_passages_that_were_fetched_are_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with site_of("mmarco", tmp_path) as (site, task):
        french = next(p for p in site.files if "french_collection" in p)
        site.faults[f"resolve:{french}"] = Fault(times=99, status=503)
        with pytest.raises(DownloadError, match=r"french_collection.tsv: the server answers 503"):
            building.build_task(task, options(tmp_path))
        kept = next((tmp_path / "cache" / "work").rglob("de.jsonl"))
        with kept.open("ab") as out:
            out.write(b'[12, "cut of')  # a kill in the middle of a line
        site.faults.clear()
        site.log.clear()
        building.build_task(task, options(tmp_path))
        asked = {path.rsplit("/", 1)[1].partition("_")[0] for _, path, _, _ in site.log if "collections" in path}
        assert {"arabic", "german", "english", "spanish"} & asked == set()
        assert "french" in asked
    assert building.read_built(task, tmp_path / "cache").fingerprint == GOLDEN["mmarco"]


def test_a_collection_that_was_replaced_in_between_is_refused(tmp_path: Path) -> None:
    with site_of("mmarco", tmp_path) as (site, task):
        path = next(p for p in site.files if "french_collection" in p)
        site.faults[path] = Fault(times=99, cut=3)
        with pytest.raises(DownloadError):
            building.build_task(task, options(tmp_path))
        site.faults.clear()
        state = next((tmp_path / "cache" / "work").rglob("fr.jsonl"))
        assert json.loads(state.read_text().splitlines()[0])["etag"] == f"etag:{site.etag(path)}"
        site.etags[path] = "1" * 64
        with pytest.raises(DownloadError, match=rf"is now {'1' * 64}, but was"):
            building.build_task(task, options(tmp_path))


def test_an_empty_query_is_kept_where_it_is_evaluated_and_left_out_where_it_would_teach(tmp_path: Path) -> None:
    with site_of("mmarco", tmp_path) as (site, task):
        for part in ("dev/italian_queries.dev.small", "train/italian_queries.train"):
            path = next(p for p in site.files if part in p)
            lines = site.files[path].split(b"\n")  # type: ignore[union-attr]
            site.files[path] = b"\n".join([lines[0].split(b"\t")[0] + b"\t \xe2\x80\x8b", *lines[1:]])
        site.etags.clear()
        train = task.file("train-queries/it").model_copy(update={"bytes": None, "md5": None})
        changed = task.model_copy(update={"files": tuple(train if f.name == train.name else f for f in task.files)})
        place = building.build_task(changed, options(tmp_path, train=True))
    manifest = store.read_manifest(place)
    assert manifest is not None
    assert manifest.counts["empty_queries"] >= 1
    assert "" in building.read_built(changed, tmp_path / "cache").queries.texts
    training = store.read_training(place)
    assert training is not None
    assert all(e.query and e.document for e in training.examples)


def test_training_does_not_hold_the_english_text_of_an_evaluated_document(mmarco: Made, tmp_path: Path) -> None:
    """All documents are evaluated in English, too: another passage with the same English text would leak."""
    clean = mmarco
    victim = next(e for e in clean.training().examples if e.document_language == "en" and e.split == "train")
    english = store.read_english(clean.place)
    assert english is not None
    with site_of("mmarco", tmp_path) as (site, task):
        path = next(p for p in site.files if "english_collection" in p)
        lines = site.files[path].split(b"\n")  # type: ignore[union-attr]
        number = int(victim.document_id.partition(":")[2])
        lines[number] = f"{number}\t{next(text for key, text in english.items() if not key.startswith('en:'))}".encode()
        site.files[path] = b"\n".join(lines)
        site.etags.clear()
        place = building.build_task(task, options(tmp_path, train=True))
    training, manifest = store.read_training(place), store.read_manifest(place)
    assert training is not None
    assert manifest is not None
    assert victim.document_id not in {e.document_id for e in training.examples}
    assert clean.manifest.leakage is not None
    assert manifest.leakage is not None
    assert int(manifest.leakage["rule 8"]) > int(clean.manifest.leakage["rule 8"])


def test_documents_of_two_different_files_are_not_mixed(tmp_path: Path) -> None:
    with site_of("mmarco", tmp_path) as (site, task):
        path = next(p for p in site.files if "german_collection" in p)
        mine = tmp_path / "mine" / "collections"
        mine.mkdir(parents=True)
        (mine / "german_collection.tsv").write_bytes(site.files[path])  # type: ignore[arg-type]
        site.faults[f"resolve:{next(p for p in site.files if 'english_collection' in p)}"] = Fault(times=99, status=503)
        with pytest.raises(DownloadError, match=r"503"):
            building.build_task(task, options(tmp_path, source_dir=tmp_path / "mine"))
        site.faults.clear()
        kept = next((tmp_path / "cache" / "work").rglob("de.jsonl"))
        kept.write_bytes(b"\n".join(kept.read_bytes().split(b"\n")[:3]) + b"\n")  # as if it had been interrupted there
        with pytest.raises(DownloadError, match=r"de.jsonl: begun from md5:.* \(source-dir\), but this is etag:.* \(range\)"):
            building.build_task(task, options(tmp_path))


def test_ids_that_are_not_the_known_ones_are_refused(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["recipe"]["ids_sha256"] = "3c25111c8e7c809714334d4f0f7b822fafc337d00a0a56df9c48d322b93e30f5"

    with pytest.raises(CollectionError, match=r"qrels: the 140 document ids have sha256 .*, but the task states 3c25111c"):
        built("mmarco", tmp_path, change=change)


# --- all


def test_a_build_that_is_not_what_the_task_expects_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=r"expect.documents: 999, but the collection has 1000"):
        built("large_scale", tmp_path, change=lambda content: content["expect"].update(documents=999))
    assert not list((tmp_path / "cache" / "collections").rglob("manifest.json"))


def test_terms_are_shown_once_and_without_them_nothing_is_fetched(tmp_path: Path) -> None:
    with site_of("mmarco", tmp_path) as (site, task):
        asked: list[str] = []
        refusing = Options(cache=tmp_path / "cache", agree=lambda t: asked.append(str(t.terms)) or False)  # type: ignore[func-returns-value]
        with pytest.raises(CollectionError, match=r"(?s)mmarco: its terms were not accepted, so nothing was fetched.*non-commercial.*--accept-terms"):
            building.build_task(task, refusing)
        assert site.log == []
        assert len(asked) == 1
        building.build_task(task, options(tmp_path))
        building.build_task(task, refusing, rebuild=True)
        assert len(asked) == 1
        changed = task.model_copy(update={"terms": "other terms"})
        with pytest.raises(CollectionError, match=r"other terms"):
            building.build_task(changed, refusing, rebuild=True)


def test_an_interrupted_build_is_not_asked_again_for_the_space_it_has_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from clir_bench.task_records import Cost

    with site_of("large_scale", tmp_path) as (site, task):
        size = site.size(next(iter(site.files)))
        costly = task.model_copy(update={"cost": Cost(download=size, disk=size + 1000, kept=500)})
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=size // 2))
        with pytest.raises(DownloadError, match=r"are needed at a time"):
            building.build_task(costly, options(tmp_path))
        part = building._work_folder(costly, tmp_path / "cache") / "downloads" / "archive.part"
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(site.piece(next(iter(site.files)), 0, size - 100))
        building.build_task(costly, options(tmp_path))
        assert sum(sent for *_, sent in site.log) == 100


def test_training_data_comes_and_goes_with_what_was_asked_for(tmp_path: Path) -> None:
    with site_of("large_scale", tmp_path, articles=400) as (_, task):
        place = building.build_task(task, options(tmp_path, train=True))
        assert store.read_training(place) is not None
        building.build_task(task, options(tmp_path), rebuild=True)
        assert store.read_training(place) is None  # the manifest does not cover it any more
        building.build_task(task, options(tmp_path, train=True))
        assert store.read_training(place) is not None
        with pytest.raises(CollectionError, match=r"large_scale is built, and --from and --cross-check belong to a build: add --rebuild"):
            building.build_task(task, options(tmp_path, cross_check=True))


def test_an_unwritable_cache_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with site_of("large_scale", tmp_path) as (_, task), pytest.raises(DownloadError, match=r"cannot be written: (Not a directory|File exists)"):
        building.build_task(task, Options(cache=tmp_path / "file"))


def test_two_builds_of_one_data_set_do_not_write_into_each_other(tmp_path: Path) -> None:
    from filelock import FileLock

    with site_of("large_scale", tmp_path) as (_, task):
        work = building._work_folder(task, tmp_path / "cache")
        work.mkdir(parents=True)
        with FileLock(work / ".lock"), pytest.raises(CollectionError, match=r"another build of these files is running"):
            building.build_task(task, options(tmp_path))


def test_a_full_disk_leaves_no_collection_and_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with site_of("large_scale", tmp_path) as (_, task):
        monkeypatch.setattr(store, "write_table", full)
        with pytest.raises(DownloadError, match=r"no space left"):
            building.build_task(task, options(tmp_path))
        monkeypatch.undo()
        assert not building.is_built(task, tmp_path / "cache")
        building.build_task(task, options(tmp_path))
    assert building.is_built(task, tmp_path / "cache")


def test_a_task_that_is_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(ClirBenchError, match=r"task mmarco is not built: about 450 MB to download.*Build it: clir-bench data build mmarco"):
        building.read_built(load_task("mmarco"), tmp_path)
