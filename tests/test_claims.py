"""Claims: printed numbers digit by digit, never without their n or why it is unknown, tested by GRIM, and set beside ours."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from decimal import ROUND_HALF_DOWN, ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from clir_bench.claims import MACRO, Cell, ClaimRow, Claims, claim_frame, load_claims, possible, read_claims
from clir_bench.cli import main
from clir_bench.errors import ClirBenchError
from clir_bench.models import find_encoder
from clir_bench.paper import beside, match
from clir_bench.submission import Submission, read_submission
from clir_bench.task import load_task

ROOT = Path(__file__).parent.parent
FILE = ROOT / "submissions" / "claims" / "goworek-2025.json"
TABLE_6 = """
CLIRMatrix R@10 10.4 31.4 0.0 1.7 3.1
CLIRMatrix nDCG@100 6.2 16.9 0.0 1.6 1.5
mMARCO R@10 17.3 29.8 0.0 5.3 0.2
mMARCO nDCG@100 14.9 26.5 0.0 4.3 0.2
Large-Scale R@10 63.5 76.3 7.1
Large-Scale nDCG@100 57.9 69.7 6.5
"""
PLACES = ("avg", "en-es", "en-zh", "ar-ru", "ja-en")
LIKENESS = {"geographic": "62.9", "syntax": "57.2", "phonology": "46.7", "inventory": "33.6", "genealogical": "51.3"}
PRINTED = {
    **{
        f"Table 6 / BM25 / {name} {measure} / {place}": value
        for name, measure, *values in map(str.split, TABLE_6.strip().splitlines())
        for place, value in zip(PLACES, values, strict=False)
    },
    **{f"Table 4 / Nomic / {level} / {name}": v for level in ("None", "Word", "Phrase") for name, v in (("mMARCO", "88.6"), ("Large-Scale", "98.3"))},
    **{f"Table 8 / BM25 / Large-Scale / {feature}": value for feature, value in LIKENESS.items()},
}


@pytest.fixture(scope="module")
def paper() -> Claims:
    return read_claims(FILE)


@pytest.fixture
def content() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text(encoding="utf-8")))


def cells_of(content: dict[str, Any], table: str) -> list[dict[str, Any]]:
    return next(t["cells"] for t in content["tables"] if t["table"] == table)


def saved(content: dict[str, Any], folder: Path) -> Path:
    path = folder / "submissions" / "claims" / "goworek-2025.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def cell(**change: object) -> Cell:
    made = {
        "row": "BM25", "column": "x", "value": "0.0", "task": "mmarco", "over": "en-zh", "measure": "R@10", "track": "retrieval",
        "system": {"name": "bm25", "label": "BM25", "level": None, "negatives": None, "documents": "original", "index": None},
        "n": 531, "n_from": "printed", "caution": None,
    }  # fmt: skip
    return Cell.model_validate({**made, **change})


def rows_of(paper: Claims, ids: Iterable[str]) -> dict[str, ClaimRow]:
    """The rows of these cells; cells that were added since are left aside."""
    rows = {f"{row.table} / {row.row} / {row.column}": row for row in claim_frame([paper])}
    return {key: rows[key] for key in ids}


def test_cells_hold_what_is_printed(paper: Claims) -> None:
    assert {key: row.printed for key, row in rows_of(paper, PRINTED).items()} == PRINTED
    assert len(PRINTED) == 26 + 6 + 5


def test_a_table_says_first_how_much_of_it_is_missing(paper: Claims) -> None:
    tables = {table.table: table for table in paper.tables}
    assert list(tables) == ["Abstract", *(f"Table {number}" for number in range(3, 9))]
    abstract = tables.pop("Abstract")
    assert (abstract.cells, abstract.printed_cells) == ((), 0)
    for table in tables.values():
        if len(table.cells) != table.printed_cells:
            assert table.cautions[0].startswith("Transcribed in part" if table.cells else "Not transcribed")


def test_no_number_stands_without_its_n_or_why_it_is_unknown(paper: Claims) -> None:
    assert all(cell.n_from for table in paper.tables for cell in table.cells)
    rows = rows_of(paper, PRINTED).values()
    assert {row.n for row in rows if row.task == "mmarco"} == {None}
    assert {row.n for row in rows if row.task == "clirmatrix"} == {56_000, 1_000}
    assert {row.n for row in rows if row.task == "large_scale"} == {25_000, 1_000, 25}


def test_the_n_are_those_the_task_definitions_report_of_the_paper(paper: Claims) -> None:
    for row in rows_of(paper, PRINTED).values():
        if row.n is not None and row.measure is not None:
            task = load_task(str(row.task))
            assert task.paper is not None
            assert row.n == (task.expect.pairs if row.over == MACRO else 1) * (task.paper.queries_per_pair or (0,))[0]


def test_what_the_reader_must_know_stands_at_every_number(paper: Claims) -> None:
    for row in rows_of(paper, PRINTED).values():
        assert row.trust == "claimed"
        assert row.url.startswith("https://arxiv.org/html/2511.19324v1")
        assert {"Table 4": "equal to the last digit", "Table 6": "do not subtract", "Table 8": "0.40 either way"}[row.table] in row.caution


def test_values_are_fractions_of_the_printed_texts(paper: Claims) -> None:
    assert all(Decimal(repr(row.value)) == Decimal(row.printed) / 100 for row in claim_frame([paper]))


def test_systems_are_called_as_in_the_table_of_models(paper: Claims) -> None:
    names = {cell.system.name for table in paper.tables for cell in table.cells}
    assert {"bm25", "nomic-ai/nomic-embed-text-v2-moe"} <= names
    assert all(find_encoder(name) for name in names - {"bm25"})


def twice(content: dict[str, Any]) -> None:
    cells_of(content, "Table 6").append(copy.deepcopy(cells_of(content, "Table 6")[0]))


def renamed_twin(content: dict[str, Any]) -> None:
    cells = cells_of(content, "Table 6")
    cells.append({**cells[0], "column": cells[1]["column"], "row": "other"})
    content["tables"][4]["rows"].append("other")


def first(**change: object) -> Callable[[dict[str, Any]], None]:
    return lambda content: cells_of(content, "Table 6")[0].update(change)


def pair(**change: object) -> Callable[[dict[str, Any]], None]:
    return lambda content: cells_of(content, "Table 6")[1].update(change)


def correlation(**change: object) -> Callable[[dict[str, Any]], None]:
    return lambda content: cells_of(content, "Table 8")[0].update(change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (twice, r"Table 6 / BM25 / CLIRMatrix R@10 / avg: stands twice, with 10\.4 and 10\.4"),
        (renamed_twin, r"is the same quantity as Table 6 / BM25 / CLIRMatrix R@10 / avg"),
        (first(value=10.4), r"tables\[4\]\.cells\[0\]\.value: Input should be a valid string, but it is 10\.4"),
        (first(value="10.4 %"), r"value: String should match pattern"),
        (first(value="010.4"), r"value: String should match pattern"),
        (first(value="100.1"), r"value: 100\.1, but percent is from 0 to 100"),
        (first(value="-0.1"), r"value: -0\.1, but percent is from 0 to 100"),
        (correlation(value="-100.1"), r"value: -100\.1, but spearman x 100 is from -100 to 100"),
        (lambda c: cells_of(c, "Table 4")[0].update(value="89"), r"'88\.6' has 1 decimals, but '89' of its column 0"),
        (first(row="BM25\u202e"), r"row: U\+202E at character 4 is a control character"),
        (first(caution="a\x07"), r"caution: U\+0007 at character 1"),
        (lambda c: c["source"].update(authors=["A\x00"]), r"source\.authors\[0\]: U\+0000"),
        (first(task="mmarko"), r"task: there is no task 'mmarko'"),
        (first(measure="Recall@10"), r"measure: unknown measure 'Recall@10'"),
        (first(measure=None), r"measure: null, but a percentage is that of a measure"),
        (pair(over="en-cn"), r"over: no pair 'en-cn' \(query language first\)\. Did you mean"),
        (pair(over="en-en"), r"over: en-en is no pair of clirmatrix"),
        (pair(task=None), r"over: 'en-es', but without a task"),
        (pair(over="syntax"), r"over: 'syntax', but only a correlation is with a feature"),
        (correlation(over="macro over pairs"), r"only a correlation is with a feature"),
        (pair(n=999), r"n: 999, but clirmatrix has 1,000\. Where the publication took others"),
        (first(n=1000), r"n: 1,000, but clirmatrix has 56,000"),
        (correlation(n=26), r"n: 26, but large_scale has 3 to 25"),
        (pair(n_from=None), r"n: 1000, but n_from does not say where it comes from"),
        (pair(column="nowhere"), r"column 'nowhere' is none of the table's columns"),
        (pair(system={"name": "Nomic"}), r"system\.name: String should match pattern"),
        (pair(trust="consistent"), r"cells\[1\]\.trust: unknown key"),
        (lambda c: c["source"].update(key="other"), r"source\.key: 'other', but the file is called 'goworek-2025\.json'"),
        (lambda c: c["source"].update(arxiv="2511.19324"), r"source\.arxiv: String should match pattern"),
        (lambda c: c["tables"][4].update(unit=None), r"Table 6: it has cells, but no unit"),
        (lambda c: c["tables"][4].update(printed_cells=25), r"Table 6: \d+ cells, but printed_cells is 25"),
        (lambda c: c["tables"][1].update(table="Table 6"), r"tables: Table 6 stands twice"),
        (lambda c: c["tables"][1].update(url="javascript:alert(1)"), r"url: String should match pattern"),
    ],
)
def test_a_file_that_contradicts_itself_or_a_task_is_refused(content: dict[str, Any], tmp_path: Path, change: Callable[[Any], None], message: str) -> None:
    change(content)
    with pytest.raises(ClirBenchError, match=message):
        read_claims(saved(content, tmp_path))


def test_all_problems_are_told_at_once(content: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first(value="100.1", task="mmarko")(content)
    pair(n=999, measure="Recall@10")(content)
    assert main(["check", str(saved(content, tmp_path))]) == 2
    said = capsys.readouterr().err
    assert "4 problems" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": "clir-bench/submission/1"}', "\xff"])
def test_what_is_no_claim_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "goworek-2025.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ClirBenchError, match=r"goworek-2025\.json: \d+ problem"):
        read_claims(path)


def test_a_value_that_stands_twice_is_refused_not_the_last_one_taken(tmp_path: Path) -> None:
    path = tmp_path / FILE.name
    path.write_text(FILE.read_text(encoding="utf-8").replace('"value": "31.4"', '"value": "31.4", "value": "41.3"'), encoding="utf-8")
    with pytest.raises(ClirBenchError, match=r"the key 'value' stands 2 times"):
        read_claims(path)


def test_the_check_of_all_submissions_reads_the_claims(tmp_path: Path, content: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(content, tmp_path)
    assert main(["check", str(tmp_path / "submissions")]) == 0
    assert capsys.readouterr().out.startswith("1 files checked, 0 with problems")
    assert load_claims(path.parent) == (read_claims(FILE),)
    assert load_claims(tmp_path / "nothing") == ()


@pytest.mark.parametrize("n", [7, 96, 530, 531])
def test_grim_agrees_with_trying_every_count(n: int) -> None:
    some = {str((Decimal(100 * k) / n).quantize(Decimal("0.1"), half)) for k in range(n + 1) for half in (ROUND_HALF_UP, ROUND_HALF_DOWN)}
    for tenths in range(0, 1001, 7):
        value = f"{tenths // 10}.{tenths % 10}"
        assert possible(cell(value=value, n=n), "percent").state == ("consistent" if value in some else "inconsistent")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"n": None}, "n is not known"),
        ({"n": 1000, "task": "large_scale"}, "of 1,000 queries some number gives every value of this precision"),
        ({"measure": "nDCG@100"}, "only a share of queries"),
        ({"task": "neuclir"}, "only a share of queries"),
        ({"over": MACRO}, "its pairs have different n"),
    ],
)
def test_what_cannot_be_tested_says_why(change: dict[str, object], reason: str) -> None:
    found = possible(cell(**change), "percent")
    assert found.state == "not testable"
    assert reason in found.reason


def test_no_claim_of_the_paper_is_impossible(paper: Claims) -> None:
    assert "inconsistent" not in {possible(cell, table.unit).state for table in paper.tables for cell in table.cells if table.unit}


def test_whichever_of_530_and_531_it_is_mmarcos_recalls_are_possible(paper: Claims) -> None:
    rows = [row for row in rows_of(paper, PRINTED).values() if row.task == "mmarco" and row.measure == "R@10" and row.over != MACRO]
    assert len(rows) == 4
    assert all(possible(cell(value=row.printed, over=row.over, n=n), "percent").state == "consistent" for row in rows for n in (530, 531))


WHITESPACE = ROOT / "submissions" / "clir-bench__bm25" / "whitespace" / "sample-v1.json"


def sample_cell(**change: object) -> Cell:
    return cell(task="sample", over="en-es", value="20.0", n=96, **change)


def changed(change: Callable[[dict[str, Any]], None], path: Path = WHITESPACE) -> Submission:
    text = json.loads(path.read_text(encoding="utf-8"))
    change(text)
    return Submission.model_validate_json(json.dumps(text))


@pytest.mark.parametrize("measure", ["R@10", "nDCG@100"])
def test_ours_is_the_submissions_number_for_the_same_quantity(measure: str) -> None:
    submission, raw = read_submission(WHITESPACE), json.loads(WHITESPACE.read_text(encoding="utf-8"))["pairs"]
    one = next(p["measures"][measure] for p in raw if (p["query"], p["document"]) == ("en", "es"))
    every = [p["measures"][measure]["sum"] / p["measures"][measure]["n"] for p in raw]
    assert match(sample_cell(measure=measure), submission) == one["sum"] / one["n"]
    assert match(sample_cell(measure=measure).model_copy(update={"over": MACRO}), submission) == pytest.approx(sum(every) / 64, abs=1e-12)


def partial(text: dict[str, Any]) -> None:
    text["pairs"] = [p for p in text["pairs"] if p["query"] == "en"]
    text.update(complete=False, gold_ranks=None, bias=[], timings=[])


def translated(text: dict[str, Any]) -> None:
    text["system"]["stages"].insert(0, {"kind": "translate", "texts": "documents", "source": "the collection's own"})


def test_another_system_task_or_selection_is_not_ours() -> None:
    submission = read_submission(WHITESPACE)
    assert match(cell(), submission) is None
    assert match(sample_cell(track="oracle"), submission) is None
    assert match(sample_cell(measure="R@5"), submission) is None
    assert match(sample_cell(), read_submission(ROOT / "submissions" / "clir-bench__bm25" / "multilingual" / "sample-v1.json")) is None
    assert match(sample_cell(), changed(lambda text: text["system"]["stages"][0].update(k1=0.9))) is None
    assert match(sample_cell(), changed(translated)) is None
    english = sample_cell(system={**sample_cell().system.model_dump(), "documents": "english"})
    assert match(english, submission) is None
    assert match(english, changed(translated)) == match(sample_cell(), submission)
    assert match(sample_cell(), changed(partial)) == match(sample_cell(), submission)
    assert match(sample_cell().model_copy(update={"over": MACRO}), changed(partial)) is None


def test_an_encoder_is_compared_in_the_papers_protocol_only() -> None:
    path = ROOT / "submissions" / "sentence-transformers__all-MiniLM-L6-v2" / "native" / "sample-v1.json"
    name = "sentence-transformers/all-MiniLM-L6-v2"
    claimed = sample_cell(system={"name": name, "label": "MiniLM", "level": "none", "negatives": None, "documents": None, "index": None})
    papers = changed(lambda text: text["system"]["stages"][0].update(protocol="paper"), path)
    assert match(claimed, read_submission(path)) is None
    assert match(claimed, papers) is not None
    for change in ({"level": "word"}, {"negatives": "hard"}, {"index": "hnsw"}, {"name": "intfloat/multilingual-e5-large"}):
        assert match(claimed.model_copy(update={"system": claimed.system.model_copy(update=change)}), papers) is None


def test_beside_gives_both_numbers_and_their_difference(paper: Claims) -> None:
    table = next(t for t in paper.tables if t.table == "Table 6").model_copy(update={"cells": (sample_cell(), sample_cell(track="oracle"))})
    ours = match(sample_cell(), read_submission(WHITESPACE))
    assert ours is not None
    (found,) = beside([paper.model_copy(update={"tables": (table,)})], [read_submission(WHITESPACE)])
    assert (found.id, found.printed, found.n) == ("Table 6 / BM25 / x", "20.0", 96)
    assert (found.published, found.ours, found.difference) == (0.2, ours, pytest.approx(ours - 0.2))


def test_claims_are_read_without_torch() -> None:
    said = "import sys, clir_bench.claims, clir_bench.paper; clir_bench.claims.load_claims(); print([m for m in ('torch', 'mteb', 'transformers') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip() == "[]"
