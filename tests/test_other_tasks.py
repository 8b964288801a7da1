"""AfriCLIRMatrix and NeuCLIR from miniature copies in their official formats, and the kill test of all builders."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from official import Site, localise, serving, words

from clir_bench.collection import Pair
from clir_bench.errors import CollectionError
from clir_bench.evaluate import evaluate
from clir_bench.sources import building, download, store
from clir_bench.sources.building import Options
from clir_bench.system import System
from clir_bench.task import Task, load_task

AFRICA = load_task("africlirmatrix")
NEUCLIR = load_task("neuclir")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "BACKOFF", 0.01)


def path_of(task: Task, name: str) -> str:
    return "/" + task.file(name).url.split("/", 3)[3]


def africa_site() -> Site:
    """30 queries a language; query 3 has two labels, 4 an absent document, 5 a stub, 6 the text of 7, 8 nothing in the collection."""
    site = Site()
    for language in AFRICA.languages:
        topics = [f"{100 + i}\tTitle {i}" for i in range(30)]
        qrels = [f"{100 + i} Q0 {i} {4 + i % 3}" for i in range(30) if i != 3]
        qrels += ["103 Q0 903 4", "103 Q0 3 6", "104 Q0 904 4"]
        texts = {i: f"{language} article {i} {words(f'{language}{7 if i == 6 else i}', 12)}" for i in range(30) if i not in (4, 8)}
        texts |= {5: "x y", 6: f"{language} article 7 {words(f'{language}7', 12)}", 7: f"{language} article 7 {words(f'{language}7', 12)}"}
        texts |= {903: f"{language} other", 904: f"{language} article 904 {words(language, 9)}", 999: "never listed, long enough to count"}
        site.files[path_of(AFRICA, f"topics/{language}")] = "\n".join(topics).encode()
        site.files[path_of(AFRICA, f"qrels/{language}")] = "\n".join(qrels).encode()
        site.files[path_of(AFRICA, f"corpus/{language}")] = "\n".join(json.dumps({"id": str(key), "contents": text}) for key, text in texts.items()).encode()
    return site


def test_african_golds_have_the_highest_label_of_what_is_there(tmp_path: Path) -> None:
    with serving(africa_site()) as site:
        task = load_task(localise("africlirmatrix", site, tmp_path / "tasks"))
        place = building.build_task(task, Options(cache=tmp_path / "cache"))
    collection = building.read_built(task, tmp_path / "cache")
    assert len(collection.pairs) == 15
    assert all(pair.query == "en" for pair in collection.pairs)
    j = collection.judgements
    golds = {(collection.queries.ids[q], collection.pool.ids[d]) for q, d in zip(j.query, j.document, strict=True)}
    mine = {query: document for query, document in golds if document.startswith("ha:")}
    assert mine["103"] == "ha:3"  # label 6 before label 4
    assert mine["104"] == "ha:904"  # the best one is absent
    assert "105" not in mine  # a stub
    assert "108" not in mine
    assert mine["106"] == mine["107"]  # equal texts are one document
    manifest = store.read_manifest(place)
    assert manifest is not None
    assert manifest.counts == {"golds_absent_from_collection": 30, "queries_without_gold": 30, "equal_texts_merged": 15}
    assert evaluate(task, collection, System(model="bm25")).submission.complete


def test_african_sampling_takes_the_first_in_hash_order(tmp_path: Path) -> None:
    with serving(africa_site()) as site:
        task = load_task(localise("africlirmatrix", site, tmp_path / "tasks", lambda content: content["recipe"].update(queries_per_pair=10)))
        building.build_task(task, Options(cache=tmp_path / "cache"))
    collection = building.read_built(task, tmp_path / "cache")
    assert set(Counter(collection.judgements.pair.tolist()).values()) == {10}


def neuclir_site(broken: str = "") -> Site:
    """Five topics, the last without a judgement; grades 3, 1, 0; one judged document is absent, one has no text."""
    site, codes = Site(), {"en": "eng", "fa": "fas", "ru": "rus", "zh": "zho"}
    topics = []
    for t in range(5):
        forms = [{"lang": "eng", "source": "original", "topic_title": f"title {t}", "topic_description": f"about {words(f't{t}', 4)}", "topic_narrative": "n"}]
        for code in ("fas", "rus", "zho"):
            if (t, code) != (1, "rus"):
                forms.append({"lang": code, "source": "google translation", "topic_title": "wrong", "topic_description": "machine"})
                forms.append({"lang": code, "source": "human translation", "topic_title": f"{code} title {t}", "topic_description": words(f"{code}{t}", 4)})
        topics.append(json.dumps({"topic_id": str(t), "languages_with_qrels": ["fas"], "topics": forms}))
    qrels = [f"{t} {code} {code}-{t}-{k} {(3, 1, 0)[k % 3]}" for t in range(4) for code in ("fas", "rus", "zho") for k in range(6)]
    site.files[path_of(NEUCLIR, "topics")] = "\n".join(topics).encode()
    site.files[path_of(NEUCLIR, "qrels")] = ("\n".join(qrels) + "\n" + broken).encode()
    for language, code in codes.items():
        if language != "en":
            rows = [
                {"id": f"{code}-{t}-{k}", "title": f"{code} news {t}", "text": words(f"{code}{t}{k}", 20), "url": "u"}
                for t in range(4)
                for k in range(6)
                if (t, k) != (0, 5)
            ]
            rows[3] |= {"title": "", "text": "  "}
            rows += [{"id": f"{code}-unjudged-{k}", "title": "", "text": words(f"{k}", 20)} for k in range(50)]
            site.files[path_of(NEUCLIR, f"corpus/{language}")] = gzip.compress("\n".join(map(json.dumps, rows)).encode(), mtime=0)
    return site


def test_neuclir_asks_in_four_languages_over_three_with_grades(tmp_path: Path) -> None:
    with serving(neuclir_site()) as site:
        task = load_task(localise("neuclir", site, tmp_path / "tasks"))
        place = building.build_task(task, Options(cache=tmp_path / "cache"))
    collection = building.read_built(task, tmp_path / "cache")
    assert len(collection.pairs) == 12
    assert Pair("en", "fa") in collection.pairs
    texts = dict(zip(collection.queries.ids, collection.queries.texts, strict=True))
    assert texts["en:2"].startswith("title 2 about ")
    assert texts["fa:2"].startswith("fas title 2 ")  # the human translation
    assert "ru:1" not in texts
    assert not [key for key in texts if key.endswith(":4")]  # never judged
    topics = dict(zip(collection.queries.ids, collection.topics.tolist(), strict=True))
    assert topics["en:2"] == topics["fa:2"] != topics["en:3"]
    assert set(collection.judgements.grade.tolist()) == {0, 1, 3}
    assert not [key for key in collection.pool.ids if "unjudged" in key]
    manifest = store.read_manifest(place)
    assert manifest is not None
    assert manifest.counts["judged_documents_absent"] == 6  # three absent, three without text
    assert manifest.counts["topics_in_ru"] == 3
    result = evaluate(task, collection, System(model="bm25"))
    assert {"nDCG@20", "AP@100"} <= set(result.submission.pairs[0].measures)


def test_lines_that_are_not_of_the_format_are_named_with_their_number(tmp_path: Path) -> None:
    with serving(neuclir_site(broken="1 fas d\n")) as site, pytest.raises(CollectionError, match=r"73: not topic, language, document, grade, but '1 fas d'"):
        building.build_task(load_task(localise("neuclir", site, tmp_path / "a")), Options(cache=tmp_path / "cache"))
    africa = africa_site()
    for name, raw, message in (
        ("topics/yo", b"1 no tab", r"1: not query<TAB>title, but '1 no tab'"),
        ("qrels/yo", b"1 2 3", r"1: not query, Q0, document, label, but '1 2 3'"),
        ("corpus/yo", b'{"id": 1}\n{"id": "100"}', r"1: not a line of id and contents|KeyError"),
    ):
        damaged = Site({**africa.files, path_of(AFRICA, name): raw})
        if name == "corpus/yo":
            damaged.files[path_of(AFRICA, "qrels/yo")] = b"100 Q0 1 5"
        with serving(damaged) as site, pytest.raises(CollectionError, match=message):
            building.build_task(load_task(localise("africlirmatrix", site, tmp_path / name)), Options(cache=tmp_path / "cache"))


DRIVER = """
import json, os, random, signal, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import test_data_sets as t
from clir_bench.sources import building, download, store
name, root, wanted = sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
with t.site_of(name, root) as (site, task):
    def child(cache):
        pid = os.fork()
        if pid:
            return pid
        try:
            building.build_task(task, t.options(root / cache, train=True))
        finally:
            os._exit(0)
    began = time.monotonic()
    os.waitpid(child("calm"), 0)
    whole, kills, rng = time.monotonic() - began, 0, random.Random(0)
    calm = sum(size for *_, size in site.log)
    site.log.clear()
    for round in range(10 * wanted):
        pid = child("killed")
        time.sleep(rng.uniform(0.05, max(0.1, whole / 3)))
        os.kill(pid, signal.SIGKILL)
        kills += os.waitpid(pid, 0)[1] == signal.SIGKILL
        halves = [str(p) for p in (root / "killed").rglob("*.parquet") if p.name.startswith(".part")]
        place = building.place_of(task, root / "killed" / "cache")
        if kills >= wanted or building.is_built(task, root / "killed" / "cache"):
            break
    os.waitpid(child("killed"), 0)
    places = [building.place_of(task, root / cache / "cache") for cache in ("calm", "killed")]
    same = all((places[0] / f).read_bytes() == (places[1] / f).read_bytes() for f in store.read_manifest(places[0]).files)
    sources = [[s.name for s in store.read_manifest(p).sources] for p in places]
    print(json.dumps({"kills": kills, "same": same, "sources": sources[0] == sources[1], "calm": calm, "killed": sum(size for *_, size in site.log)}))
"""


@pytest.mark.parametrize("name", ["large_scale", "clirmatrix", "mmarco"])
def test_a_build_killed_at_any_moment_goes_on_to_the_same_bytes(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", DRIVER, str(Path(__file__).parent), name, str(tmp_path), "6"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    outcome: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    assert outcome["kills"] >= 1, found.stderr
    assert outcome["same"]
    assert outcome["sources"]  # the manifest names what the killed runs had read, too
    assert outcome["killed"] < 2.5 * outcome["calm"] + 1_000_000  # what was finished was not fetched again
