"""Training pairs of words and phrases, read from miniature copies in their official formats."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from official import Site, large_scale_site, localise, serving, small_large_scale

from clir_bench.cli import main
from clir_bench.errors import ClirBenchError, CollectionError, DownloadError, TaskError
from clir_bench.sources import building, download, pairs
from clir_bench.sources.building import Options
from clir_bench.sources.pairs import PairSet, load_pair_set, pair_set_names
from clir_bench.task import load_task


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "BACKOFF", 0.01)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as served:
        yield served


def at(site: Site, found: PairSet, contents: dict[str, bytes]) -> PairSet:
    """The real definition with its files at the site; those that ``contents`` lacks are not there."""
    files = []
    site.etags.clear()
    for file in found.files:
        path = "/" + file.url.split("/", 3)[3]
        for name, raw in contents.items():
            if name == file.name:
                site.files[path] = raw
            elif name.startswith(f"{file.name}:"):
                site.files[path.format(a=name.split(":")[1], b=name.split(":")[2])] = raw
        files.append(file.model_copy(update={"url": site.url(path)}))
    return found.model_copy(update={"files": tuple(files)})


def rows_of(place: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(place / "pairs.parquet").to_pylist()
    return rows


def manifest_of(place: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
    return content


def build(found: PairSet, folder: Path, **how: Any) -> Path:
    return building.build_pair_set(found, Options(cache=folder / "cache", agree=lambda _: True, **how))


@pytest.mark.parametrize("name", pair_set_names())
def test_every_definition_holds(name: str) -> None:
    found = load_pair_set(name)
    assert found.name == name
    assert found.citation.strip().startswith("@")
    assert all(f.pinned or f.unverified for f in found.files)


def test_tatoeba_pairs_are_told_apart_by_their_labels(site: Site, tmp_path: Path) -> None:
    def lines(*rows: tuple[str, str, str, str]) -> bytes:
        return "".join("\t".join(row) + "\n" for row in rows).encode()

    numbered = [("deu", "eng", f"Satz {i}", f"sentence {i}") for i in range(1500)]
    found = at(
        site,
        load_pair_set("tatoeba"),
        {
            "test:deu:eng": lines(*numbered, numbered[0]),
            "test:eng:nor": lines(("eng", "nob", "I  sing", "jeg synger"), ("eng", "nno", "I sing", "eg syng")),
            "test:eng:zho": lines(("eng", "cmn_Hant", "tea", "茶"), ("eng", "yue_Hant", "tea", "茶呀")),
            "test:eng:msa": lines(("eng", "ind", "rice", "nasi"), ("eng", "zsm_Latn", "rice", "beras")),
            "dev:deu:eng": lines(*[("deu", "eng", f"Probe {i}", f"probe {i}") for i in range(150)]),
        },
    )
    place = build(found, tmp_path)
    counts = Counter((r["split"], r["language_a"], r["language_b"]) for r in rows_of(place))
    assert counts == {
        ("train", "de", "en"): 1000,
        ("dev", "de", "en"): 100,
        ("train", "en", "no"): 1,
        ("train", "en", "nn"): 1,
        ("train", "en", "zh"): 1,
        ("train", "en", "id"): 1,
    }
    norwegian = next(r for r in rows_of(place) if r["language_b"] == "no")
    assert (norwegian["text_a"], norwegian["text_b"]) == ("I sing", "jeg synger")
    assert manifest_of(place)["notes"] == ["645 of 650 files are not there"]
    assert place == build(found, tmp_path)  # built once


def test_laser_pairs_are_line_by_line(site: Site, tmp_path: Path) -> None:
    found = load_pair_set("tatoeba-v1").model_copy(update={"languages": ("de", "en", "zh")})
    contents = {"de/text": "eins\nzwei\n", "de/english": "one\ntwo\n", "zh/text": "茶\n", "zh/english": "tea\n"}
    place = build(at(site, found, {key: text.encode() for key, text in contents.items()}), tmp_path)
    assert {(r["language_a"], r["language_b"], r["text_a"], r["text_b"]) for r in rows_of(place)} == {
        ("de", "en", "eins", "one"),
        ("de", "en", "zwei", "two"),
        ("en", "zh", "tea", "茶"),
    }
    with pytest.raises(CollectionError, match=r"tatoeba-v1, zh: 1 sentences, but 2 translations"):
        build(at(site, found, {**{k: t.encode() for k, t in contents.items()}, "zh/english": b"a\nb\n"}), tmp_path / "b")


def test_am2ico_words_stand_where_the_marks_were(site: Site, tmp_path: Path) -> None:
    header = "context1\tcontext2\tlabel\n"
    found = at(
        site,
        load_pair_set("am2ico"),
        {
            **{f"{code}/{split}": header.encode() for code in ("ar", "de", "fi", "id", "ja", "ko", "ru", "tr", "zh") for split in ("dev", "test")},
            "de/train": (header + "Er  sitzt auf der <word>Bank</word> .\tThe <word>bank</word> is closed .\tF\n").encode(),
            "de/dev": (header + "die <word>neue  Bank </word>  da\ta cafe\u0301 <word>cafe\u0301\u2028bar</word>\tT\n").encode(),
            "ja/dev": (header + "<word>銀行</word>です\tthe<word>bank</word>\tT\n").encode(),
        },
    )
    place = build(found, tmp_path)
    rows = rows_of(place)
    assert [(r["split"], r["language_a"], r["label"]) for r in rows] == [("dev", "de", 1), ("dev", "ja", 1), ("train", "de", 0)]
    assert (rows[0]["text_a"], rows[0]["text_b"]) == ("die neue Bank da", "a caf\u00e9 caf\u00e9 bar")
    for row in rows:
        assert row["text_a"][row["start_a"] : row["end_a"]] == row["word_a"]
        assert row["text_b"][row["start_b"] : row["end_b"]] == row["word_b"]
        assert "<" not in row["text_a"] + row["text_b"]
    assert manifest_of(place)["notes"] == ["not there: ar/train, fi/train, id/train, ja/train, ko/train, ru/train, tr/train, zh/train"]
    bad = at(
        site,
        load_pair_set("am2ico"),
        {**{f"{c}/{s}": header.encode() for c in ("de",) for s in ("dev",)}, "ar/dev": (header + "no mark\tno mark\tT\n").encode()},
    )
    with pytest.raises(CollectionError, match=r"a sentence has not exactly one <word> mark: 'no mark'"):
        build(bad, tmp_path / "b")


def test_xl_wic_keeps_splits_and_places_as_distributed(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "bank\tN\t4\t8\t2\t6\tthe bank is\ta bank of\t1\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("xlwic_datasets/wic_english/train_en.txt", line)
        archive.writestr("xlwic_datasets/wic_english/valid_en.txt", line.replace("bank", "cord") + line)
        archive.writestr("xlwic_datasets/xlwic_wikt/german_de/de_train.txt", "Band\tN\t0\t4\t4\t8\tBand ist\tdas Band\t0\n")
        archive.writestr("xlwic_datasets/xlwic_wn/chinese_zh/zh_test_data.txt", "x\tN\t0\t1\t0\t1\tx\tx\n")
        archive.writestr("xlwic_datasets/README.txt", "read me")
    found = at(site, load_pair_set("xl-wic"), {"archive": out.getvalue()})
    with pytest.raises(CollectionError, match=r"xl-wic: its terms were not accepted"):
        building.build_pair_set(found, Options(cache=tmp_path / "cache"))
    place = build(found, tmp_path)
    rows = rows_of(place)
    assert Counter((r["split"], r["language_a"]) for r in rows) == {("train", "en"): 1, ("dev", "en"): 2, ("train", "de"): 1}
    assert all(r["text_a"][r["start_a"] : r["end_a"]] == r["word_a"] for r in rows)
    manifest = manifest_of(place)
    assert manifest["leakage"]["kept as distributed, though training has the word"] == 1
    assert manifest["notes"] == ["xlwic_datasets/xlwic_wn/chinese_zh/zh_test_data.txt: lines without nine columns (unlabelled test data): 1"]
    assert manifest["sources"][0]["checksum"].startswith("sha256:")  # none is published: what came is recorded
    with pytest.raises(DownloadError, match=r"not a zip file"):
        build(at(site, load_pair_set("xl-wic"), {"archive": b"nothing"}), tmp_path / "b")


def test_senwich_comes_from_a_folder_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIR_BENCH_CACHE", str(tmp_path / "cache"))
    assert main(["data", "build", "senwich", "--accept-terms"]) == 2
    assert "must be given by --source-dir" in capsys.readouterr().err
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "sw.csv").write_text('lemma,sentence1,start1,end1,sentence2,start2,end2,label\nkaa,Kaa hapa,0,3,"sasa, kaa",6,9,True\n', encoding="utf-8")
    (mine / "pl_dev.csv").write_text("lemma,sentence1,start1,end1,sentence2,start2,end2,label\nzamek,zamek,0,5,ten zamek,4,9,0\n", encoding="utf-8")
    (mine / "xx.csv").write_text("anything", encoding="utf-8")
    assert main(["data", "build", "-q", "senwich", "--source-dir", str(mine)]) == 0  # the terms were accepted before
    rows = rows_of(Path(capsys.readouterr().out.split()[-1]))
    assert [(r["split"], r["language_a"], r["label"], r["text_b"]) for r in rows] == [("dev", "pl", 0, "ten zamek"), ("train", "sw", 1, "sasa, kaa")]
    (mine / "ko_validation.csv").write_text("lemma\nx\n", encoding="utf-8")
    assert main(["data", "build", "-q", "senwich", "--rebuild", "--source-dir", str(mine)]) == 2
    assert "'validation' is no split. Name it ko.csv (to train on) or ko_{train,valid,dev,test}.csv." in capsys.readouterr().err
    (mine / "ko_validation.csv").unlink()
    (mine / "ko.csv").write_text("lemma\nx\n", encoding="utf-8")
    assert main(["data", "build", "-q", "senwich", "--rebuild", "--source-dir", str(mine)]) == 2
    assert "ko.csv:2: not a row of lemma" in capsys.readouterr().err


def test_no_pair_equals_an_evaluated_text(site: Site, tmp_path: Path) -> None:
    with serving(large_scale_site()) as other:
        task = load_task(localise("large_scale", other, tmp_path / "tasks", small_large_scale))
        building.build_task(task, Options(cache=tmp_path / "cache"))
    collection = building.read_built(task, tmp_path / "cache")
    leaking = collection.queries.texts[0].upper().replace(" ", "  ")
    found = load_pair_set("tatoeba-v1").model_copy(update={"languages": ("de", "en")})
    place = build(at(site, found, {"de/text": b"eins\nzwei\n", "de/english": f"one\n{leaking}\n".encode()}), tmp_path)
    assert [r["text_a"] for r in rows_of(place)] == ["eins"]
    leakage = manifest_of(place)["leakage"]
    assert leakage["rule 6"] == 1
    assert pairs.verify_pairs(at(site, found, {}), tmp_path / "cache")[0] == []
    other = build(at(site, found, {"de/text": b"eins\nzwei\n", "de/english": f"one\n{leaking}\n".encode()}), tmp_path / "elsewhere")
    (place / "pairs.parquet").write_bytes((other / "pairs.parquet").read_bytes())
    (place / "manifest.json").write_bytes((other / "manifest.json").read_bytes())
    assert pairs.verify_pairs(at(site, found, {}), tmp_path / "cache")[0] == ["1 pairs hold a text that is evaluated: build it again with --rebuild"]
    (place / "pairs.parquet").write_bytes(b"x")
    assert "not what the manifest says" in pairs.verify_pairs(at(site, found, {}), tmp_path / "cache")[0][0]
    assert leakage["compared_with"] == [f"large_scale {collection.fingerprint}"]


def test_pairs_are_built_again_when_a_collection_has_come_since(site: Site, tmp_path: Path) -> None:
    found = load_pair_set("tatoeba-v1").model_copy(update={"languages": ("de", "en")})
    served = at(site, found, {"de/text": b"eins\nzwei\n", "de/english": b"one\ntwo\n"})
    place = build(served, tmp_path)
    asked = len(site.log)
    build(served, tmp_path)
    assert len(site.log) == asked
    with serving(large_scale_site()) as other:
        building.build_task(load_task(localise("large_scale", other, tmp_path / "tasks", small_large_scale)), Options(cache=tmp_path / "cache"))
    build(served, tmp_path)
    assert len(site.log) > asked
    assert len(manifest_of(place)["leakage"]["compared_with"]) == 1


def test_bad_definitions_and_empty_results_are_told(site: Site, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"no training pairs 'tatoebo'. Did you mean 'tatoeba'\?"):
        load_pair_set("tatoebo")
    (tmp_path / "x.toml").write_text('schema = "clir-bench/training/1"\nname = "x"\nlanguages = ["cn", "en"]\nlevle = "word"\n', encoding="utf-8")
    with pytest.raises(TaskError) as caught:
        load_pair_set(tmp_path / "x.toml")
    assert "unknown code 'cn'. Did you mean 'zh'?" in str(caught.value)
    assert "levle: unknown key. Did you mean 'level'?" in str(caught.value)
    with pytest.raises(CollectionError, match=r"tatoeba: no pairs were found. 650 of 650 files are not there"):
        build(at(site, load_pair_set("tatoeba"), {}), tmp_path)
    with pytest.raises(ClirBenchError):
        pairs.spans("a <word>b</word> <word>c</word>")
