"""Layouts: which evaluated query is which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clir_bench.cli import main
from clir_bench.collection import Document, Judgement, Pair, Query, build_collection
from clir_bench.errors import CollectionError
from clir_bench.layout import Layout, find_layout, fits, layout_of, layout_path, read_layout, write_layout
from clir_bench.measures import unranked
from clir_bench.sources import open_task
from clir_bench.submission import read_submission


def _graded() -> Layout:
    documents = [Document(f"{lang}{i}", lang, f"text {i}") for lang in ("de", "en") for i in range(3)]
    queries = [Query(f"q-{lang}{t}", lang, f"question {t}", f"topic {t}") for lang in ("de", "fr") for t in range(2)]
    judgements = [Judgement(f"q-{lang}{t}", f"{doc}{i}", 2 if i == t else 1) for lang in ("de", "fr") for t in range(2) for doc in ("de", "en") for i in (t, 2)]
    return layout_of("mine", 3, build_collection(documents, queries, judgements))


def test_a_layout_says_what_the_collection_says_of_every_evaluated_query() -> None:
    task, collection = open_task("sample")
    layout, ranks = layout_of(task.name, task.version, collection), unranked(collection.judgements)
    assert layout.fingerprint == collection.fingerprint
    assert (layout.golds == 1).all()
    for at in (0, 700, 6143):
        row = ranks.query[at]
        assert layout.query_ids[at] == collection.queries.ids[row]
        assert layout.pairs[layout.pair[at]].query == collection.queries.languages[row]
    topic = collection.topics[ranks.query]
    assert len(set(zip(layout.topic.tolist(), topic.tolist(), strict=True))) == len(set(topic.tolist())) == layout.topic.max() + 1
    assert layout.pool == dict.fromkeys(collection.languages, 48)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    layout = _graded()
    path = write_layout(layout, tmp_path)
    again = read_layout(path)
    for name in ("task", "version", "fingerprint", "pool", "pairs", "query_ids"):
        assert getattr(again, name) == getattr(layout, name)
    for name in ("pair", "topic", "golds", "grades"):
        np.testing.assert_array_equal(getattr(again, name), getattr(layout, name))
    assert sorted(again.grades.tolist()) == [1] * 8 + [2] * 8
    before = path.stat().st_mtime_ns
    assert write_layout(layout, tmp_path) == path
    assert path.stat().st_mtime_ns == before


def test_the_repositorys_layout_of_the_sample_is_that_of_the_sample() -> None:
    task, collection = open_task("sample")
    found = find_layout("sample", 1, collection.fingerprint, [Path(__file__).parent.parent / "submissions"])
    assert found is not None
    made = layout_of(task.name, task.version, collection)
    assert (found.pairs, found.query_ids) == (made.pairs, made.query_ids)
    np.testing.assert_array_equal(found.topic, made.topic)


def test_evaluating_writes_the_layout_beside_the_submission(tmp_path: Path) -> None:
    assert main(["evaluate", "-q", "--model", "bm25", "--task", "sample", "--pairs", "en-de", "--output", str(tmp_path)]) == 0
    submission = read_submission(next(tmp_path.glob("*/*/*.json")))
    layout = find_layout("sample", 1, submission.task.fingerprint, [tmp_path / "nowhere", tmp_path])
    assert layout is not None
    assert len(layout.pairs) == 64  # of the whole collection, though one pair was evaluated
    assert fits(layout, [(record.pair, record.measures["R@10"].n) for record in submission.pairs]) == []
    assert fits(layout, [(Pair("en", "de"), 95), (Pair("en", "sw"), 96)]) == [
        "en-de: 95 queries, but its collection has 96",
        "en-sw: 96 queries, but its collection has no such pair",
    ]


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1"])
def test_a_damaged_layout_is_named_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    path = layout_path("sample", 1, "sha256:" + "0" * 64, tmp_path)
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(CollectionError, match=r"no layout that can be read .*Evaluate the task once"):
        find_layout("sample", 1, "sha256:" + "0" * 64, [tmp_path])


def test_a_layout_of_another_collection_under_this_ones_name_is_refused(tmp_path: Path) -> None:
    layout = _graded()
    other = layout_path("mine", 3, "sha256:" + "1" * 64, tmp_path)
    other.parent.mkdir()
    write_layout(layout, tmp_path).rename(other)
    with pytest.raises(CollectionError, match=r"says it is of mine v3"):
        find_layout("mine", 3, "sha256:" + "1" * 64, [tmp_path])
    assert find_layout("mine", 3, None, [tmp_path]) is None


def test_submitting_brings_the_layout_of_a_new_collection_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results, submissions = tmp_path / "results", tmp_path / "submissions"
    assert main(["evaluate", "-q", "--model", "bm25", "--task", "sample", "--pairs", "en-de", "--output", str(results)]) == 0
    file = next(results.glob("*/*/*.json"))
    assert main(["submit", str(file), "--submissions", str(submissions), "--dry-run"]) == 0
    assert not submissions.exists()
    capsys.readouterr()
    assert main(["submit", str(file), "--submissions", str(submissions)]) == 0
    written = next(submissions.glob("layouts/*.parquet"))
    assert written.read_bytes() == next(results.glob("layouts/*.parquet")).read_bytes()
    assert written.name in next(line for line in capsys.readouterr().out.splitlines() if "git add" in line)
