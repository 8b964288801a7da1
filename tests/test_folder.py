"""Folders of your own documents: both layouts, and every problem with file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from clir_bench.cli import main
from clir_bench.errors import CollectionError
from clir_bench.export import export
from clir_bench.sources import open_task


def write(folder: Path, corpus: list[object], queries: list[object], qrels: dict[str, str]) -> Path:
    (folder / "qrels").mkdir(parents=True)
    for name, lines in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines), encoding="utf-8")
    for name, text in qrels.items():
        (folder / "qrels" / name).write_text(text, encoding="utf-8")
    return folder


def text(key: str, lang: str | None, body: str = "some text", **more: object) -> dict[str, object]:
    return {"_id": key, "text": body, "metadata": {"lang": lang} if lang else {}, **more}


def test_every_problem_of_every_file_is_told_with_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(
        tmp_path / "mine",
        [
            text("d1", "en"),
            text("d1", "en"),
            text("d2", None),
            text("d3", "xx"),
            text("d4", "de", " "),
            '{"_id": "d5", ',
            text("d6", "de", title="T"),
            {"text": "no id"},
        ],
        [text("q1", "en"), text("q2", "german")],
        {"en-de.tsv": "query-id\tcorpus-id\tscore\nq1\td6\t1\nq1\td9\t1\nq7\td6\t1\nq1\td1\thigh\nq1\td6\t1\nq1\td1\nq1\td1\t1", "b.tsv": "q1\td1\t1\n"},
    )
    assert main(["evaluate", "--model", "bm25", "--task", str(folder)]) == 2
    message = capsys.readouterr().err
    for line in (
        "corpus.jsonl:2: the id 'd1' stands already in corpus.jsonl:1. Ids must differ.",
        "corpus.jsonl:3: 'd2' has no language. Add metadata.lang, such as 'en'.",
        "corpus.jsonl:4: 'd3': unknown code 'xx'.",
        "corpus.jsonl:5: 'd4' has no text.",
        "corpus.jsonl:6: not a line of JSON",
        "corpus.jsonl:8: _id is None.",
        "queries.jsonl:2: 'q2': ",
        "qrels/en-de.tsv:3: no document 'd9' in the corpus.",
        "qrels/en-de.tsv:4: no query 'q7' in the queries.",
        "qrels/en-de.tsv:5: score is 'high', but a grade is a whole number from 0 to 255.",
        "qrels/en-de.tsv:6: 'q1' and 'd6' are judged twice.",
        "qrels/en-de.tsv:7: 2 columns, but there must be 3, separated by tabs",
        "qrels/en-de.tsv:8: 'q1' and 'd1' are en-en, but the file says en-de (query language first).",
        "qrels/b.tsv:1: the header is",
    ):
        assert line in message
    assert "14 problems" in message


def test_an_empty_folder_says_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=r"corpus.jsonl: missing. A folder holds corpus.jsonl, queries.jsonl and qrels/\*.tsv"):
        open_task(tmp_path)


def test_many_problems_are_cut_with_a_count(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", [text(f"d{i}", None) for i in range(300)], [text("q", "en")], {"t.tsv": "query-id\tcorpus-id\tscore\nq\td1\t1\n"})
    with pytest.raises(CollectionError, match=r"300 problems(.|\n)*\.\.\. and 200 more"):
        open_task(folder)


def test_titles_topics_and_grades_are_read(tmp_path: Path) -> None:
    queries = [
        {"_id": "q1", "text": "a b", "metadata": {"lang": "en", "topic": "7"}},
        {"_id": "q2", "text": "c d", "metadata": {"lang": "de", "topic": "7"}},
        {"_id": "q3", "text": "never judged", "metadata": {"lang": "de"}},
    ]
    folder = write(
        tmp_path / "Mein Korpus!",
        [text("d1", "en", "body", title="Title"), text("d2", "de")],
        queries,
        {"test.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t2\nq2\td1\t0\n"},
    )
    task, collection = open_task(folder)
    assert task.name == "mein-korpus"
    assert "Title body" in collection.pool.texts
    assert len(set(collection.topics.tolist())) == 1
    assert sorted(collection.judgements.grade.tolist()) == [0, 2]
    assert sorted(collection.queries.ids) == ["q1", "q2"]


def test_parquet_and_beir_layouts_give_the_same_collection(tiny: Path, tmp_path: Path) -> None:
    _, collection = open_task(tiny)
    pool, queries, j = collection.pool, collection.queries, collection.judgements
    folder = tmp_path / "parquet"
    folder.mkdir()
    parquet.write_table(
        pa.table({"_id": list(pool.ids), "lang": list(pool.languages), "title": [""] * len(pool), "text": list(pool.texts)}), folder / "corpus.parquet"
    )
    parquet.write_table(
        pa.table({"_id": list(queries.ids), "lang": list(queries.languages), "group": [str(t) for t in collection.topics], "text": list(queries.texts)}),
        folder / "queries.parquet",
    )
    qrels = {"query-id": [queries.ids[q] for q in j.query], "corpus-id": [pool.ids[d] for d in j.document], "score": j.grade.tolist()}
    parquet.write_table(pa.table(qrels), folder / "qrels.parquet")
    assert open_task(folder)[1].fingerprint == collection.fingerprint
    parquet.write_table(pa.table({"_id": ["a"], "text": ["b"]}), folder / "corpus.parquet")
    with pytest.raises(CollectionError, match=r"corpus.parquet: no column lang. The columns are _id, text"):
        open_task(folder)
    (folder / "queries.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(CollectionError, match="cannot be read as parquet"):
        open_task(folder)


def test_export_and_reading_back_keep_texts_and_judgements(sample, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    written = export("sample", "beir", tmp_path / "out")
    assert len(written) == 66
    task, back = open_task(tmp_path / "out")
    assert sorted(back.pool.texts) == sorted(sample[1].pool.texts)
    assert back.pairs == sample[1].pairs
    assert len(back.judgements.grade) == 6144
    assert task.name == "out"


def test_a_known_task_name_wins_over_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sample").mkdir()
    monkeypatch.chdir(tmp_path)
    assert open_task("sample")[0].source == "sample"
    with pytest.raises(CollectionError):
        open_task("./sample")
