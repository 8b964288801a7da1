"""``clir-bench data`` and the main command, as a user meets them: announced, built, evaluated, published, taken again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from official import (
    Site,
    add_repository,
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

from clir_bench import resources
from clir_bench.cli import main
from clir_bench.sources import building, open_task, store
from clir_bench.sources.hub import fetch_published
from clir_bench.sources.publishing import publish
from clir_bench.submission import read_submission
from clir_bench.task import load_task

COMMIT = "c" * 40


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The three data sets served, their definitions pointing there, an empty cache."""
    everything = {**large_scale_site().files, **mmarco_site().files}
    matrix = clirmatrix_site()
    matrix.files |= everything
    with serving(matrix) as site:
        finish_clirmatrix(site)
        for name, small in (("large_scale", small_large_scale), ("mmarco", small_mmarco), ("clirmatrix", small_clirmatrix)):
            localise(name, site, tmp_path / "tasks", small)
        folder = resources.folder
        monkeypatch.setattr(resources, "folder", lambda name: tmp_path / "tasks" if name == "tasks" else folder(name))
        monkeypatch.setenv("CLIR_BENCH_CACHE", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)
        yield site


def test_the_main_command_builds_what_is_missing_and_evaluates_277_pairs(world: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--model", "bm25", "--accept-terms", "--output", "results"]) == 0
    captured = capsys.readouterr()
    assert "3 of 3 data sets are to be built:" in captured.err
    assert "licence: MS MARCO (non-commercial)" in captured.err
    assert "non-commercial research purposes only" in captured.err
    written = [Path(line.removeprefix("wrote ")) for line in captured.out.splitlines() if line.startswith("wrote ")]
    submissions = [read_submission(path) for path in written]
    assert [s.task.name for s in submissions] == ["clirmatrix", "mmarco", "large_scale"]
    assert sum(len(s.pairs) for s in submissions) == 277
    assert all(s.complete and len(s.timings) == len(submissions[0].timings) for s in submissions)
    assert captured.out.rstrip().endswith(f"next: clir-bench show {' '.join(map(str, written))}")
    asked = len(world.log)
    assert main(["evaluate", "--model", "bm25", "--output", "results"]) == 2  # nothing is built twice, nothing overwritten
    assert "exists. --overwrite replaces it" in capsys.readouterr().err
    assert len(world.log) == asked
    written[1].unlink()  # as if a kill had come after the first task
    assert main(["evaluate", "--model", "bm25", "--output", "results"]) == 0
    captured = capsys.readouterr()
    assert f"{written[0]} exists, passed over; --overwrite evaluates it again" in captured.err
    assert f"wrote {written[1]}\n" in captured.out
    assert main(["evaluate", "-q", "--model", "bm25", "--output", "some", "--languages", "ar,ru"]) == 0
    some = [read_submission(path) for path in sorted((tmp_path / "some").rglob("*.json"))]
    assert {(s.task.name, str(p.pair)) for s in some for p in s.pairs} == {
        ("clirmatrix", "ar-ru"),
        ("clirmatrix", "ru-ar"),
        *(("mmarco", x) for x in ("ar-ar", "ar-ru", "ru-ar", "ru-ru")),
    }
    assert main(["evaluate", "-q", "--model", "bm25", "--output", "none", "--languages", "el"]) == 2
    assert "leave no pair in any task" in capsys.readouterr().err
    assert main(["check", "results"]) == 0


def test_the_english_documents_of_mmarco_are_evaluated(world: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "build", "-q", "mmarco", "--accept-terms"]) == 0
    for documents in ("original", "english"):
        assert main(["evaluate", "-q", "--model", "bm25", "--task", "mmarco", "--documents", documents]) == 0
    original, english = (
        read_submission(tmp_path / "submissions" / "clir-bench__bm25" / v / "mmarco-v1.json") for v in ("multilingual", "multilingual-english")
    )
    assert english.task.fingerprint == original.task.fingerprint
    assert english.system.stages[0].kind == "translate"
    assert "documents in English (English texts of the collection mmarco)" in english.system.signature
    by = {str(p.pair): p.measures["R@10"].mean for p in english.pairs}
    before = {str(p.pair): p.measures["R@10"].mean for p in original.pairs}
    assert by["en-ar"] > before["en-ar"]  # English questions find English texts
    assert main(["data", "build", "-q", "large_scale"]) == 0
    assert main(["evaluate", "--model", "bm25", "--task", "large_scale", "--documents", "english"]) == 2
    assert "its collection carries no English texts" in capsys.readouterr().err
    assert main(["check", "submissions"]) == 0


def test_without_a_network_one_message_says_what_is_missing_and_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site({**large_scale_site().files, **mmarco_site().files, "/~shuosun/clirmatrix/data/downloads.json.gz": b"x"})
    site.address = "http://127.0.0.1:9"
    for name in ("large_scale", "mmarco", "clirmatrix"):
        localise(name, site, tmp_path / "tasks")
    monkeypatch.setattr(resources, "folder", lambda _: tmp_path / "tasks")
    monkeypatch.setenv("CLIR_BENCH_CACHE", str(tmp_path / "cache"))
    assert main(["evaluate", "--model", "nomic-ai/nomic-embed-text-v2-moe"]) == 2
    error = capsys.readouterr().err
    assert "3 of 3 data sets are not built, and their files cannot be had:" in error
    for name in ("clirmatrix", "mmarco", "large_scale"):
        assert f"  {name} (" in error
    assert error.count("the server cannot be reached") == 3
    assert "Give files that you have by --source-dir DIR, or a published collection by --task hf://org/name@revision." in error
    assert error.rstrip().endswith("Without any of them: --task sample runs now.")


def test_build_info_and_verify_name_what_comes_next(world: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "build", "large_scale"]) == 0
    captured = capsys.readouterr()
    place = building.place_of(load_task("large_scale"), tmp_path / "cache")
    assert captured.out == f"built {place}\nnext: clir-bench data verify large_scale\n"
    assert "documents: 26,000 in the paper, 1,000 here" in captured.err
    assert main(["data", "verify", "large_scale"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("large_scale holds")
    (place / "qrels.parquet").write_bytes(b"")
    assert main(["data", "verify", "large_scale"]) == 2
    assert "qrels.parquet: sha256 is" in capsys.readouterr().err
    assert main(["data", "verify", "mmarco"]) == 2
    assert "no manifest: the collection is not built" in capsys.readouterr().err
    assert main(["data", "build", "-q", "large_scale", "--rebuild"]) == 0
    assert main(["data", "verify", "-q", "large_scale"]) == 0
    capsys.readouterr()
    assert main(["data", "info"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert " yes " in rows["large_scale"]
    assert " no " in rows["mmarco"]
    assert main(["data", "info", "large_scale"]) == 0
    out = capsys.readouterr().out
    for part in ("large_scale.no-title, large_scale.title-only", "26 languages and 26,000 documents", "25: the archive holds 25 document languages", "sha256:"):
        assert part in " ".join(out.split())
    assert main(["data", "info", "mmarco", "large_scale", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["built"] is not None for row in found] == [False, True]
    assert found[1]["manifest"]["counts"]
    for wrong, message in (
        (["data", "build", "mmarko"], "no task 'mmarko'. Did you mean 'mmarco'?"),
        (["data", "build", "mmarco", "--variant", "x"], "no variant 'x'. There are seed-43, seed-44."),
    ):
        assert main(wrong) == 2
        assert message in capsys.readouterr().err


def test_a_variant_is_a_task_of_its_own(world: Site, tmp_path: Path) -> None:
    assert main(["data", "build", "-q", "large_scale", "--variant", "no-title"]) == 0
    task, collection = open_task("large_scale.no-title")
    assert task.name == "large_scale.no-title"
    assert all(text.startswith("is a ") for text in collection.queries.texts)
    assert main(["evaluate", "-q", "--model", "bm25", "--task", "large_scale.no-title"]) == 0
    assert main(["check", "submissions"]) == 0


def test_terms_and_names_are_settled_before_anything_is_fetched(world: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, message in (
        (["data", "build"], "mmarco: its terms were not accepted, so nothing was fetched."),
        (["data", "build", "clirmatrix", "typo"], "no task 'typo'."),
        (["data", "build", "clirmatrix", "--source-dir", "no/such"], "--source-dir no/such: no such folder"),
        (["evaluate", "--model", "bm25"], "mmarco: its terms were not accepted"),
        (["evaluate", "--model", "no/model-at-all", "--accept-terms", "--task", "large_scale"], "no/model-at-all"),
    ):
        assert main(wrong) == 2, wrong
        assert message in capsys.readouterr().err
    assert not [row for row in world.log if row[3]]


class Ran(NamedTuple):
    """What became of a command."""

    returncode: int
    stderr: str


def run(world: Site, tmp_path: Path, *commands: Sequence[str]) -> list[Ran]:
    """Commands in one process of their own whose hub is the site: huggingface_hub reads its settings when it is imported."""
    code = f"""
import contextlib, io, json, sys
from pathlib import Path
from clir_bench import resources
folder = resources.folder
resources.folder = lambda name: Path({str(tmp_path / "tasks")!r}) if name == "tasks" else folder(name)
from clir_bench.cli import main
found = []
for command in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        ended = main(command)
    found.append((ended, said.getvalue()))
print(json.dumps(found))
"""
    settings = {
        "HF_ENDPOINT": world.address,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    process = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **settings},
        cwd=tmp_path,
    )
    assert process.returncode == 0, process.stderr
    return [Ran(*each) for each in json.loads(process.stdout)]


def test_a_published_collection_is_opened_and_installed_in_place_of_a_build(world: Site, tmp_path: Path) -> None:
    assert main(["data", "build", "-q", "clirmatrix", "--train"]) == 0
    assert main(["data", "publish", "-q", "clirmatrix", "--output", "out"]) == 0
    fingerprint = open_task("clirmatrix")[1].fingerprint
    add_repository(world, "org/clirmatrix", tmp_path / "out", COMMIT)
    world.log.clear()
    evaluate, published = ("evaluate", "--model", "bm25", "--task"), f"hf://org/clirmatrix@{COMMIT}"
    in_vain = (("hf://org/nothing", "cannot be had"), ("hf://nothing", "is not of the form hf://org/name@revision"))
    evaluated, installed, other, *refused = run(
        world,
        tmp_path,
        (*evaluate, published, "--output", "hub"),
        ("data", "build", "clirmatrix", "--from", published, "--cache-dir", "other"),
        ("data", "build", "large_scale", "--from", published),
        *((*evaluate, address) for address, _ in in_vain),
    )
    assert evaluated.returncode == 0, evaluated.stderr
    submission = read_submission(tmp_path / "hub" / "clir-bench__bm25" / "multilingual" / "clirmatrix-v1.json")
    assert submission.task.fingerprint == fingerprint
    assert installed.returncode == 0, installed.stderr
    assert not [path for _, path, _, _ in world.log if "shuosun" in path]  # nothing of the original was fetched
    task = load_task("clirmatrix")
    assert building.read_built(task, tmp_path / "other").fingerprint == fingerprint
    assert building.verify_task(task, building.Options(cache=tmp_path / "other"))[0] == []
    manifest = store.read_manifest(building.place_of(task, tmp_path / "other"))
    assert manifest is not None
    assert manifest.leakage is None  # training data is not published, so --train builds it
    assert other.returncode == 2
    assert f"{published} is clirmatrix, not large_scale" in other.stderr
    for found, (_, message) in zip(refused, in_vain, strict=True):
        assert found.returncode == 2
        assert message in found.stderr


def test_texts_with_terms_are_published_as_hashes_that_a_build_is_compared_with(world: Site, tmp_path: Path) -> None:
    assert main(["data", "build", "-q", "mmarco", "--accept-terms"]) == 0
    assert main(["data", "publish", "mmarco", "--output", "out"]) == 0
    texts = open_task("mmarco")[1].pool.texts
    published = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert not any(text.encode()[:40] in published for text in texts[:20])
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"README.md", "manifest.json", "hashes", "qrels"}
    add_repository(world, "org/mmarco", tmp_path / "out", COMMIT)
    arguments = ("data", "build", "mmarco", "--accept-terms", "--from", f"hf://org/mmarco@{COMMIT}", "--cache-dir")
    found, same = run(world, tmp_path, ("evaluate", "--model", "bm25", "--task", f"hf://org/mmarco@{COMMIT}"), (*arguments, "same"))
    assert found.returncode == 2
    assert f"holds ids and hashes only, since its texts have terms. Build it: clir-bench data build mmarco --from hf://org/mmarco@{COMMIT}" in found.stderr
    assert same.returncode == 0
    path = next(p for p in world.files if "german_collection" in p)
    world.files[path] = world.files[path].replace(b"german", b"german").replace(b"de passage", b"de Passage")  # type: ignore[union-attr]
    file = load_task("mmarco").file("collection/de")
    definition = tmp_path / "tasks" / "mmarco.toml"
    definition.write_text(definition.read_text().replace(f'md5 = "{file.md5}"', f'md5 = "{"0" * 32}"'))
    (found,) = run(world, tmp_path, (*arguments, "different"))
    assert found.returncode == 2
    assert "version 1 by recipe" in found.stderr  # another definition is another collection
    definition.write_text(definition.read_text().replace(f'md5 = "{"0" * 32}"', f'md5 = "{file.md5}"'))
    (found,) = run(world, tmp_path, (*arguments, "different"))
    assert found.returncode == 2
    assert "corpus: 10 texts differ, the first is de:" in found.stderr


def test_a_published_folder_is_what_mtebs_own_loader_reads(world: Site, tmp_path: Path) -> None:
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalDatasetLoader

    assert main(["data", "build", "-q", "clirmatrix"]) == 0
    task, collection = open_task("clirmatrix")
    written = publish(task, tmp_path / "cache", tmp_path / "out")
    assert len(written) == len({path for path in (tmp_path / "out").rglob("*") if path.is_file()})
    loaded = RetrievalDatasetLoader(str(tmp_path / "out"), "main", config="en-fr").load()
    j = collection.judgements
    pair = next(i for i, p in enumerate(j.pairs) if str(p) == "en-fr")
    mine = {(collection.queries.ids[q], collection.pool.ids[d]) for q, d in zip(j.query[j.pair == pair], j.document[j.pair == pair], strict=True)}
    assert {(q, d) for q, found in loaded["relevant_docs"].items() for d in found} == mine
    assert len(loaded["corpus"]) == len(collection.pool)
    assert set(loaded["queries"]["id"]) == {q for q, _ in mine}
    assert main(["data", "publish", "clirmatrix", "--output", "out"]) == 2  # not empty


def test_a_published_manifest_says_from_what(world: Site, tmp_path: Path) -> None:
    assert main(["data", "build", "-q", "large_scale"]) == 0
    publish(load_task("large_scale"), tmp_path / "cache", tmp_path / "out")
    manifest = store.read_manifest(tmp_path / "out")
    assert manifest is not None
    assert [s.name for s in manifest.sources] == ["archive"]
    assert manifest.sources[0].checksum.startswith("md5:")
    assert "CC-BY-SA-3.0" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(Exception, match=r"is not of the form"):
        fetch_published("hf:org/name")


def test_passages_are_compared_with_the_mirror(world: Site, tmp_path: Path) -> None:
    """The mirror's files as mteb's upload writes them: {language}-corpus, one shard or more."""
    import re

    from clir_bench.sources.mmarco_mirror import REPOSITORY, REVISION
    from clir_bench.sources.store import write_table

    mirror = tmp_path / "mirror"
    for language, name in (("de", "german"), ("fr", "french"), ("it", "italian")):
        raw = next(content for path, content in world.files.items() if f"{name}_collection" in path)
        rows = [line.split("\t", 1) for line in raw.decode().splitlines()]  # type: ignore[union-attr]
        if language == "fr":
            rows = [(key, text.replace("passage", "Passage")) for key, text in rows]  # type: ignore[misc]
        if language == "it":
            rows = rows[:800]
        (mirror / f"{language}-corpus").mkdir(parents=True)
        for shard in range(2):
            mine = rows[shard::2]
            write_table(mirror / f"{language}-corpus" / f"dev-0000{shard}-of-00002.parquet", {"_id": [r[0] for r in mine], "text": [r[1] for r in mine]})
    add_repository(world, REPOSITORY, mirror, REVISION)
    (found,) = run(world, tmp_path, ("data", "build", "mmarco", "--accept-terms", "--cross-check"))
    assert found.returncode == 0, found.stderr
    manifest = store.read_manifest(building.place_of(load_task("mmarco"), tmp_path / "cache"))
    assert manifest is not None
    assert manifest.counts["mirror_different"] == 10
    assert 0 < manifest.counts["mirror_absent"] < 10
    assert manifest.counts["mirror_equal"] == 20 - manifest.counts["mirror_absent"]
    assert any(re.match(r"mirror, fr: 10 differ \(the first is \d+\), 0 absent", note) for note in manifest.notes)
    assert "mirror, ar: not in the mirror" in manifest.notes
    world.files = {path: raw for path, raw in world.files.items() if REPOSITORY not in path}
    (found,) = run(world, tmp_path, ("data", "build", "mmarco", "--cross-check", "--rebuild"))
    assert found.returncode == 2
    assert f"the mirror {REPOSITORY}@{REVISION[:12]} cannot be read" in found.stderr
    assert "Leave out --cross-check to build without it." in found.stderr


def test_an_mteb_task_is_opened_by_its_name(world: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--model", "bm25", "--task", "mteb:BelebeleRetrievl"]) == 2
    assert "BelebeleRetrieval" in capsys.readouterr().err
    assert main(["evaluate", "--model", "bm25", "--task", "mteb:MLQARetrieval"]) == 2
    assert "could not be loaded" in capsys.readouterr().err
