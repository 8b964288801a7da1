"""Submissions: strict, recomputable, never overwritten silently; every file in submissions/ holds."""

from __future__ import annotations

import base64
import importlib.util
import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clir_bench.checking import check_files, find_files
from clir_bench.cli import main
from clir_bench.collection import Pair
from clir_bench.compare import compare
from clir_bench.errors import SubmissionError
from clir_bench.evaluate import Evaluation
from clir_bench.measures import NOT_FOUND, GoldRanks
from clir_bench.submission import (
    MAX_BYTES,
    Submission,
    _unpack,
    disagreements,
    pack_ranks,
    parse_submission,
    path_of,
    read_submission,
    to_json,
    write_submission,
)

ROOT = Path(__file__).parent.parent
SUBMISSIONS = sorted((ROOT / "submissions").rglob("*.json"))


@pytest.mark.parametrize("path", SUBMISSIONS, ids=lambda p: p.parent.name)
def test_every_submission_holds(path: Path) -> None:
    assert [problem for _, problem in check_files([path]) if problem] == []


@pytest.fixture(scope="module")
def written(hashed: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("out") / "submissions" / path_of(hashed.submission)
    write_submission(hashed.submission, path)
    return path


def test_writing_and_reading_give_the_same(hashed: Evaluation, written: Path) -> None:
    assert read_submission(written) == hashed.submission
    assert to_json(read_submission(written)) == written.read_text(encoding="utf-8")
    assert not [p for p in written.parent.iterdir() if p.name.startswith(".part")]


def test_a_submission_can_be_read_by_whom_the_umask_allows(written: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    assert written.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_every_number_is_recomputed_from_one_byte_a_query(hashed: Evaluation, written: Path) -> None:
    assert disagreements(hashed.submission) == []
    record = hashed.submission.gold_ranks
    assert record is not None
    assert len(zlib.decompress(base64.b64decode(record.full))) == 6144
    ranks = hashed.submission.ranks()
    np.testing.assert_array_equal(ranks.rank, np.where(hashed.ranks.rank > 254, NOT_FOUND, hashed.ranks.rank))


@pytest.mark.parametrize(("part", "measure"), [("measures", "R@10"), ("measures", "nDCG@100"), ("measures", "RR@100"), ("own_language", "R@10")])
def test_a_changed_number_is_found(written: Path, tmp_path: Path, measure: str, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(written.read_text(encoding="utf-8"))
    stat = content["pairs"][10][part][measure]
    stat["sum"] += 1e-6
    stat["sum_squares"] += 1e-6
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(content), encoding="utf-8")
    assert main(["check", str(bad)]) == 2
    assert f"pairs.de-en.{part}.{measure}: sum is" in capsys.readouterr().err


def test_a_changed_rank_is_found(written: Path, hashed: Evaluation) -> None:
    record = hashed.submission.gold_ranks
    assert record is not None
    raw = bytearray(zlib.decompress(base64.b64decode(record.full)))
    raw[100] = 1 if raw[100] != 1 else 2
    changed = record.model_copy(update={"full": base64.b64encode(zlib.compress(bytes(raw))).decode()})
    assert disagreements(hashed.submission.model_copy(update={"gold_ranks": changed}))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.update(extra=1), "extra: unknown key. The keys here are"),
        (lambda c: c["system"].update(nme="x"), "system.nme: unknown key. Did you mean 'name'?"),
        (lambda c: c["pairs"][0]["measures"]["R@1"].update(sum=97.5), "sum 97.5 is more than n 96"),
        (lambda c: c["pairs"][0]["measures"]["R@1"].update(sum_squares=1e3), "sum_squares 1000.0 is impossible"),
        (lambda c: c["pairs"][0]["measures"]["R@1"].update(sum=float("nan")), "Input should be a finite number, but it is nan"),
        (lambda c: c["pairs"][0]["measures"].update({"recall": {"n": 1, "sum": 1.0, "sum_squares": 1.0}}), "unknown measure 'recall'"),
        (lambda c: c["pairs"][0].update(query="eng"), "'eng' is not the shortest form of the tag. Write 'en'"),
        (lambda c: c["pairs"].reverse(), "pairs are not sorted, or one stands twice"),
        (lambda c: c["pairs"].pop(), "complete is True, but 63 of 64 pairs are there"),
        (lambda c: c["bias"][0]["retrieved"].update(en=10**6), "documents retrieved, but"),
        (lambda c: c["system"].update(name="../../etc/passwd"), "system.name: it should be org/model, of A to Z"),
        (lambda c: c["system"].update(variant="<script>"), "system.variant: it should be a name of A to Z"),
        (lambda c: c.update(notes="x" * 3000), "notes: String should have at most 2000 characters"),
        (lambda c: c["system"]["stages"][0].update(kind="magic"), "system.stages[0]"),
        (lambda c: c["task"].update(depth=1000), "task.depth"),
        (lambda c: c.update(schema="clir-bench/submission/9"), "schema"),
        (lambda c: c["provenance"].pop("command"), "provenance.command: missing"),
    ],
)
def test_strictness(written: Path, edit, message: str) -> None:  # type: ignore[no-untyped-def]
    content = json.loads(written.read_text(encoding="utf-8"))
    edit(content)
    with pytest.raises(SubmissionError) as caught:
        parse_submission(json.dumps(content), "s.json")
    assert message in str(caught.value)
    assert str(caught.value).startswith("s.json: ")


def test_hostile_files_are_refused(tmp_path: Path, hashed: Evaluation) -> None:
    with pytest.raises(SubmissionError, match="not JSON"):
        parse_submission("[" * 100_000, "deep.json")
    with pytest.raises(SubmissionError, match=f"at most {MAX_BYTES}"):
        parse_submission(" " * (MAX_BYTES + 1), "large.json")
    huge = json.loads(MINIMAL)
    huge["pairs"] = [
        {"query": "en", "document": x, "measures": {"R@1": {"n": 10_000_000, "sum": 0.0, "sum_squares": 0.0}}} for x in ("ar", "de", "es", "fr", "ja", "zh")
    ]
    huge["task"]["pairs"] = 6
    huge["gold_ranks"] = {"encoding": "zlib+base64", "full": "", "own_language": None, "golds": None, "grades": None}
    assert "60000000 evaluated queries, but" in disagreements(parse_submission(json.dumps(huge), "huge.json"))[0]
    record = hashed.submission.gold_ranks
    assert record is not None
    bomb = record.model_copy(update={"full": base64.b64encode(zlib.compress(b"\1" * 50_000_000)).decode()})
    assert disagreements(hashed.submission.model_copy(update={"gold_ranks": bomb})) == ["gold_ranks.full: more than 6144 bytes, but the pairs need 6144"]
    for blob in ("!!!", base64.b64encode(b"junk").decode()):
        assert "damaged" in disagreements(hashed.submission.model_copy(update={"gold_ranks": record.model_copy(update={"full": blob})}))[0]


def test_an_existing_file_is_kept_unless_told_otherwise(written: Path, hashed: Evaluation) -> None:
    before = written.read_bytes()
    with pytest.raises(SubmissionError, match="--overwrite replaces it, --output FOLDER writes elsewhere"):
        write_submission(hashed.submission, written)
    assert written.read_bytes() == before
    write_submission(hashed.submission, written, overwrite=True)


def test_a_file_in_the_wrong_place_is_told_its_place(written: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "submissions" / "a.json"
    wrong.parent.mkdir()
    wrong.write_bytes(written.read_bytes())
    assert "its place is submissions/tests__hashing/native-1/sample-v1.json" in str(next(check_files([wrong]))[1])
    assert next(check_files([written]))[1] is None


@pytest.mark.parametrize("name", ["board", "submissions"])
def test_a_folder_of_submissions_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(ROOT / "submissions", tmp_path / name)

    def problems(path: Path) -> list[str]:
        return [problem for _, problem in check_files(find_files([str(path)])) if problem]

    assert problems(folder) == []
    right, stray = folder / "clir-bench__bm25" / "multilingual" / "sample-v1.json", folder / "old" / "deep" / "down" / "sample-v1.json"
    stray.parent.mkdir(parents=True)
    shutil.copy(right, stray)
    for asked in (folder, stray.parent, stray, tmp_path):
        (found,) = problems(asked)
        assert f"its place is {name}/clir-bench__bm25/multilingual/sample-v1.json. Move it there." in found
    stray.unlink()
    right.write_text(right.read_text().replace('"notes": null', '"notes": "changed"'))
    (found,) = problems(right.parent)
    assert "was accepted as" in found
    claims = folder / "claims" / "goworek-2025.json"
    claims.write_text(claims.read_text().replace('"unit": "percent"', '"unit": "parts"', 1))
    assert "unit: Input should be" in "".join(problems(claims.parent))
    shutil.copy(ROOT / "submissions" / "claims" / "goworek-2025.json", stray)
    assert "goworek" not in "".join(problems(stray)) and "schema" in "".join(problems(stray))  # where a submission should be, it is none


def test_claims_in_no_folder_of_submissions_are_known_by_what_they_say(tmp_path: Path) -> None:
    shutil.copy(ROOT / "submissions" / "claims" / "goworek-2025.json", tmp_path)
    assert next(check_files([tmp_path / "goworek-2025.json"]))[1] is None


def test_a_submission_must_be_of_the_known_collection(written: Path, tmp_path: Path) -> None:
    content = json.loads(written.read_text(encoding="utf-8"))
    content["task"]["fingerprint"] = "sha256:" + "0" * 64
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(content), encoding="utf-8")
    assert "task.fingerprint: sha256:000" in str(next(check_files([bad]))[1])


def test_check_tells_all_problems_of_all_files(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b.toml").write_text("name = 3")
    (tmp_path / "c.json").write_bytes(written.read_bytes())
    assert main(["check", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert "a.json: " in captured.err
    assert "b.toml: " in captured.err
    assert "3 files checked, 2 with problems" in captured.out
    assert main(["check", "--json", str(tmp_path / "c.json")]) == 0
    assert json.loads(capsys.readouterr().out) == {str(tmp_path / "c.json"): []}
    assert main(["check", str(tmp_path / "nowhere")]) == 2
    assert [p.name for p in find_files([str(tmp_path)])] == ["a.json", "b.toml", "c.json"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(1, 400), st.integers(1, 255)), max_size=4), min_size=1, max_size=20))
def test_any_ranks_and_grades_survive_packing(queries: list[list[tuple[int, int]]]) -> None:
    flat = [x for q in queries for x in q]
    rank, grade = (np.array([x[i] for x in flat], np.int32) for i in (0, 1))
    golds = np.array([len(q) for q in queries], np.int32)
    zeros = np.zeros(len(queries), np.int32)
    record = pack_ranks(GoldRanks((Pair("en", "de"),), zeros, zeros, golds, np.where(rank > 254, NOT_FOUND, rank), grade, rank * 0), None)
    back = minimal(len(queries)).model_copy(update={"gold_ranks": record}).ranks()
    np.testing.assert_array_equal(back.rank, np.where(rank > 254, NOT_FOUND, rank))
    np.testing.assert_array_equal(back.grade, grade)
    np.testing.assert_array_equal(back.golds, golds)


def minimal(n: int) -> Submission:
    text = json.loads(MINIMAL)
    text["pairs"][0]["measures"]["R@1"]["n"] = n
    text["pairs"][0]["measures"]["R@1"]["sum"] = text["pairs"][0]["measures"]["R@1"]["sum_squares"] = 0.0
    return Submission.model_validate_json(json.dumps(text))


MINIMAL = """{"schema": "clir-bench/submission/1",
 "task": {"name": "t", "version": 1, "track": "retrieval", "depth": 100, "fingerprint": null, "documents": null, "queries": null, "pairs": 1},
 "system": {"name": "o/m", "variant": "v", "signature": "s", "stages": [{"kind": "search", "index": "exact"}]}, "complete": true, "pool": {},
 "pairs": [{"query": "en", "document": "de", "measures": {"R@1": {"n": 1, "sum": 0.0, "sum_squares": 0.0}}}], "gold_ranks": null,
 "provenance": {"clir_bench": "0", "python": "3", "platform": "p", "cpu": "c", "cores": 1, "gpu": null, "packages": {}, "git_commit": null, "seed": null,
 "started": "2026-01-01T00:00:00Z", "seconds": 0.0, "command": "c"}}"""


def test_what_is_derived_in_the_docs_is_current() -> None:
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "docs" / "make_docs.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    for path, text in made.everything():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is old: python docs/make_docs.py"


def test_compare_is_paired_and_exact(hashed: Evaluation, sample) -> None:  # type: ignore[no-untyped-def]
    from scipy.stats import binomtest

    from clir_bench.evaluate import evaluate
    from clir_bench.system import System

    other = evaluate(*sample, System(model="bm25")).submission
    result = compare(hashed.submission, other, "R@10")
    assert len(result.rows) == 64
    row = next(r for r in result.rows if str(r.pair) == "en-en")
    assert row.difference == pytest.approx(row.a - row.b)
    assert row.difference * row.n == pytest.approx(row.only_a - row.only_b)
    assert row.p == pytest.approx(binomtest(min(row.only_a, row.only_b), row.only_a + row.only_b, 0.5).pvalue if row.only_a + row.only_b else 1.0)
    same = compare(other, other, "nDCG@10")
    assert same.mean_a == same.mean_b
    assert (same.wins, same.ties, same.losses) == (0, 64, 0)
    with pytest.raises(SubmissionError, match="only the same collection"):
        compare(other, minimal(3), "R@1")


def test_hundreds_of_relevant_documents_a_query_are_carried() -> None:
    """TREC topics have them: more than a byte can count."""
    golds = np.array([300, 1, 700], np.int32)
    total = int(golds.sum())
    rank, zeros = np.arange(total, dtype=np.int32) % 250 + 1, np.zeros(3, np.int32)
    packed = pack_ranks(GoldRanks((Pair("en", "fa"),), zeros, zeros, golds, rank, np.ones(total, np.int32), rank * 0), None)
    assert packed.golds is not None
    np.testing.assert_array_equal(_unpack(packed.golds, 3, "golds"), golds)
    with pytest.raises(SubmissionError, match=r"gold_ranks.golds: 6 bytes, but the pairs need 4"):
        _unpack(packed.golds, 4, "golds")
    with pytest.raises(SubmissionError, match=r"gold_ranks.golds: more than 4 bytes, but the pairs need 2"):
        _unpack(packed.golds, 2, "golds")
