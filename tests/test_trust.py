"""Trust: what a file supports is found out, never stated."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clir_bench.checking import check_files, find_files
from clir_bench.collection import Pair
from clir_bench.errors import SubmissionError
from clir_bench.evaluate import Evaluation
from clir_bench.events import LOG, Happening, append_event, parse_events, read_events
from clir_bench.measures import GoldRanks, parse_measure, stats
from clir_bench.submission import Submission, parse_submission, path_of, read_submission, to_json, write_submission
from clir_bench.trust import Assessment, State, assess, grim, grim_decides, state_of

SHA = "sha256:" + "a" * 64
Edit = Callable[[dict[str, Any]], object]


def edited(submission: Submission, *edits: Edit) -> Submission:
    content = json.loads(to_json(submission))
    for edit in edits:
        edit(content)
    return parse_submission(json.dumps(content), "edited.json")


def without_ranks(content: dict[str, Any]) -> None:
    content["gold_ranks"] = None


def stat(content: dict[str, Any], pair: str, measure: str, part: str = "measures") -> dict[str, Any]:
    found: dict[str, Any] = next(p for p in content["pairs"] if f"{p['query']}-{p['document']}" == pair)[part][measure]
    return found


def test_gold_ranks_make_a_submission_recomputed(hashed: Evaluation) -> None:
    found = assess(hashed.submission)
    assert found.trust == "recomputed"
    assert "6,144" in found.reasons[0]
    assert found.reasons[1] == "language profiles and timings are stated, not recomputed: of profiles only impossible ones are found"
    bare = assess(edited(hashed.submission, lambda c: c.update(bias=[], timings=[])))
    assert bare == Assessment("recomputed", found.reasons[:1])


def test_gold_ranks_that_give_other_numbers_make_it_a_claim(hashed: Evaluation) -> None:
    def lie(content: dict[str, Any]) -> None:
        record = stat(content, "en-zh", "R@10")
        record["sum"] += 1
        record["sum_squares"] += 1

    found = assess(edited(hashed.submission, lie))
    assert found.trust == "claimed"
    assert "pairs.en-zh.measures.R@10: sum is" in found.reasons[0]


def test_own_language_numbers_need_ranks_of_their_own(hashed: Evaluation) -> None:
    found = assess(edited(hashed.submission, lambda c: c["gold_ranks"].update(own_language=None)))
    assert found == Assessment("claimed", ("pairs have own_language, but gold_ranks.own_language is null: nothing supports them",))


def test_possible_numbers_without_ranks_are_consistent(hashed: Evaluation) -> None:
    found = assess(edited(hashed.submission, without_ranks))
    assert found.trust == "consistent"
    assert "it carries no gold ranks, so nothing can be recomputed" in found.reasons


def test_rounded_means_of_the_same_run_are_consistent_too(hashed: Evaluation) -> None:
    """As a paper or mteb prints them: the sum is a mean times n."""

    def rounded(content: dict[str, Any]) -> None:
        for pair in content["pairs"]:
            for part in ("measures", "own_language"):
                for record in pair[part].values():
                    record.update(sum=round(record["sum"] / record["n"], 5) * record["n"], sum_squares=None)

    assert assess(edited(hashed.submission, without_ranks, rounded)).trust == "consistent"


def set_mean(measure: str, mean: float) -> Edit:
    return lambda c: stat(c, "en-zh", measure).update(sum=mean * 96, sum_squares=None)


@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        ([set_mean("R@10", 0.3142)], "R@10 of en-zh is 31.42 %, but no number of 96 queries gives that"),
        ([lambda c: stat(c, "en-zh", "R@1", "own_language").update(sum=95.5, sum_squares=None)], "own-language R@1 of en-zh is 99.5 %, but no number of 96"),
        ([set_mean("R@1", 96 / 96), set_mean("R@10", 48 / 96)], "R@1 of en-zh is above R@10, which is impossible"),
        ([set_mean("nDCG@100", 0.999)], "nDCG@100 of en-zh is 99.9 %, but the recalls allow only"),
        ([set_mean("RR@100", 0.0)], "RR@100 of en-zh is 0.0 %, but the recalls allow only"),
        ([lambda c: stat(c, "en-zh", "nDCG@100").update(sum_squares=stat(c, "en-zh", "nDCG@100")["sum"])], "sum_squares of nDCG@100 of en-zh is"),
        ([lambda c: c["bias"][0].update(queries=c["bias"][0]["queries"] + 1)], "but exact search of"),
    ],
)
def test_an_impossible_number_leaves_it_a_claim_and_says_which(hashed: Evaluation, edits: list[Edit], reason: str) -> None:
    def exact(content: dict[str, Any]) -> None:
        encode = {
            "kind": "encode", "model": {"name": "tests/hashing", "revision": "1"}, "protocol": "native", "pooling": "mean", "normalize": True,
            "similarity": "cosine", "max_tokens": 10, "query_prompt": "", "document_prompt": "", "dtype": "float32",
        }  # fmt: skip
        content["system"]["stages"] = [encode, {"kind": "search", "index": "exact"}]

    def no_own_language(content: dict[str, Any]) -> None:
        for pair in content["pairs"]:
            pair["own_language"] = {}

    dropped = [] if "own-language" in reason else [no_own_language]  # a full-pool number above it is refused when it is read
    found = assess(edited(hashed.submission, exact, without_ranks, *dropped, *edits))
    assert found.trust == "claimed"
    assert any(reason in told for told in found.reasons), found.reasons


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda c: c["task"].update(fingerprint=None), "it names no fingerprint"),
        (lambda c: c["task"].update(fingerprint=SHA), "its fingerprint is not that of sample v1"),
        (lambda c: c["task"].update(name="nowhere"), "nowhere v1 is no task that is defined here"),
        (lambda c: [s.update(n=97, sum_squares=None) for p in c["pairs"] for s in [*p["measures"].values(), *p["own_language"].values()]], "97 queries"),
    ],
)
def test_numbers_that_nothing_ties_to_the_collection_are_a_claim(hashed: Evaluation, edit: Edit, reason: str) -> None:
    found = assess(edited(hashed.submission, without_ranks, edit))
    assert found.trust == "claimed"
    assert any(reason in told for told in found.reasons), found.reasons


def test_what_cannot_be_tested_is_said(hashed: Evaluation) -> None:
    """With two decimals and 96 queries some values are impossible; with one, none is."""
    assert [bool(grim_decides(96, d)) for d in (1, 2, None)] == [False, True, True]
    found = assess(
        edited(hashed.submission, without_ranks, lambda c: c["pairs"][0].update(own_language={}, measures={"R@1": {"n": 96, "sum": 9.6, "sum_squares": None}}))
    )
    assert found.trust == "consistent"
    assert "1 numbers are not testable as k/n: with so few decimals every value is possible" in found.reasons


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), st.integers(1, 6))
def test_no_true_mean_fails_grim(counted: tuple[int, int], decimals: int) -> None:
    n, k = counted
    assert grim(k / n, n, None)
    assert grim(round(k / n, decimals), n, decimals)
    assert grim(float(f"{k / n:.{decimals}f}"), n, decimals)


def test_grim_agrees_with_counting() -> None:
    """The slow way: all k/n exactly; a half may have been rounded up or down."""
    for n in (7, 28, 96):
        possible = {m for k in range(n + 1) for m in range(1001) if abs(2000 * k - 2 * n * m) <= n}  # |k/n - m/1000| <= 1/2000, in whole numbers
        assert grim(np.arange(1001) / 1000, n, 3).tolist() == [m in possible for m in range(1001)]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=40))
def test_no_true_submission_is_impossible(drawn: list[int]) -> None:
    """Whatever the ranks are, the numbers they give pass every test."""
    n = len(drawn)
    rank, ones, zeros = np.array(drawn, np.int32), np.ones(n, np.int32), np.zeros(n, np.int32)
    ranks = GoldRanks((Pair("en", "ar"),), zeros, np.arange(n, dtype=np.int32), ones, rank, ones, zeros)
    names = ("R@1", "R@10", "R@100", "nDCG@10", "nDCG@100", "RR@100", "AP@20", "P@5", "Success@3", "RR@7", "nDCG@3")
    found = {name: dict(zip(("n", "sum", "sum_squares"), stats(parse_measure(name), ranks)[0], strict=True)) for name in names}
    from clir_bench.records import PairRecord
    from clir_bench.trust import _Tests

    tests = _Tests()
    tests.test_part(PairRecord.model_validate({"query": "en", "document": "ar", "measures": found}), "measures", True)
    assert tests.problems == []
    assert tests.done > len(names)


def accepted(log: Path, path: str = "a__b/v/sample-v1.json", sha256: str = SHA) -> None:
    append_event(log, "accepted", path, sha256, trust="recomputed", by="Ada")


def test_the_log_is_a_chain(tmp_path: Path) -> None:
    log = tmp_path / LOG
    assert read_events(log) == ()
    accepted(log)
    append_event(log, "reproduced", "a__b/v/sample-v1.json", SHA, trust="reproduced", by="Bo", note="2,000 queries")
    first, second = read_events(log)
    lines = log.read_bytes().splitlines()
    assert (first.previous, second.previous) == ("0" * 64, hashlib.sha256(lines[0]).hexdigest())
    assert [set(json.loads(line)) for line in lines] == [{"date", "event", "path", "sha256", "trust", "by", "note", "previous"}] * 2


def test_a_line_is_what_ends_with_a_newline_and_nothing_else(tmp_path: Path) -> None:
    log = tmp_path / LOG
    accepted(log)
    log.write_bytes(log.read_bytes().replace(b'","event"', b'",\r"event"'))  # white space in JSON
    append_event(log, "flagged", "a__b/v/sample-v1.json", SHA, trust="recomputed", by="Bo")
    assert len(read_events(log)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("Ada", "Eve"), r"line 2: the chain is broken: previous is \w+\.\.\., but the line before has"),
        (lambda t: t.split("\n", 1)[1], "line 1: the chain is broken"),
        (lambda t: t.replace('"accepted"', '"celebrated"'), "line 1: event: Input should be 'accepted'"),
        (lambda t: t + '{"date', "line 3: it has no end"),
        (lambda t: t.replace('"by":"Ada"', '"by":"Ada","by":"Eve"'), "line 1: the key 'by' stands 2 times"),
        (lambda t: t.replace("a__b/v/sample-v1.json", "../../etc/passwd.json"), "line 1: path: String should match pattern"),
        (lambda t: t.replace('"by":"Bo"', '"by":"Bo\\u202e"'), "line 2: by: U\\+202E at character 2 is a control character"),
        (lambda t: t.replace('"note":"x"', f'"note":"{"x" * 20_000}"'), "line 2: 20,.* bytes, but a line has at most 10,000"),
        (lambda t: "\n" + t, "line 1: not JSON: "),
    ],
)
def test_every_fault_of_a_log_is_told_with_its_line(tmp_path: Path, change: Callable[[str], str], message: str) -> None:
    log = tmp_path / LOG
    accepted(log)
    append_event(log, "flagged", "a__b/v/sample-v1.json", SHA, trust="recomputed", by="Bo", note="x")
    log.write_text(change(log.read_text()))
    with pytest.raises(SubmissionError, match=message):
        read_events(log)
    with pytest.raises(SubmissionError):
        accepted(log, "c__d/v/sample-v1.json")


def test_all_faults_of_a_log_are_told_at_once() -> None:
    assert len(parse_events(b"{}\nnothing\n{")[1]) >= 9


def test_a_path_is_accepted_with_one_content_only(tmp_path: Path) -> None:
    accepted(tmp_path / LOG)
    accepted(tmp_path / LOG, sha256="sha256:" + "b" * 64)
    with pytest.raises(SubmissionError, match=r"line 2: a__b/v/sample-v1\.json was accepted before with other content"):
        read_events(tmp_path / LOG)


def test_two_who_append_at_once_both_stand_in_the_log(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from clir_bench.events import append_event\n"
        "for i in range(15): append_event(Path(sys.argv[1]), 'flagged', 'a__b/v/t-v1.json', 'sha256:' + 'a' * 64, trust=None, by=sys.argv[2], note=str(i))"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / LOG), name]) for name in ("one", "two")]
    assert [process.wait(60) for process in running] == [0, 0]
    assert len(read_events(tmp_path / LOG)) == 30


def test_a_line_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    accepted(tmp_path / LOG)
    before = (tmp_path / LOG).read_bytes()
    with pytest.raises(SubmissionError, match=r"event 'accepted': 1 problem\n  path: String should match"):
        accepted(tmp_path / LOG, "nowhere")
    assert (tmp_path / LOG).read_bytes() == before


def state(log: Path, assessment: Assessment, sha256: str = SHA) -> State:
    return state_of(sha256, assessment, read_events(log))


def test_reproduced_comes_from_the_log_alone(hashed: Evaluation, tmp_path: Path) -> None:
    log, found = tmp_path / LOG, assess(hashed.submission)
    accepted(log)
    assert state(log, found) == (*found, (), False, None)
    append_event(log, "reproduced", "a__b/v/sample-v1.json", SHA, trust="reproduced", by="Bo")
    assert state(log, found).trust == "reproduced"
    assert state(log, found).reasons[-1].endswith("by Bo")
    assert state(log, found, "sha256:" + "b" * 64) == (*found, (), False, None)
    assert state(log, Assessment("claimed", ())).trust == "claimed"  # an audit of what does not hold is none
    append_event(log, "flagged", "a__b/v/sample-v1.json", SHA, trust="recomputed", by="Cy", note="copied")
    assert state(log, found).trust == "recomputed"
    assert "flagged on" in state(log, found).reasons[-1]


@pytest.mark.parametrize("happened", sorted({*permutations(("reproduced", "flagged", "copied", "cleared"))}))
def test_a_flag_is_in_force_until_it_is_cleared_whatever_else_happens(tmp_path: Path, happened: tuple[Happening, ...]) -> None:
    """Against a plain walk through the events: only ``cleared`` takes a flag away, and reproduced counts while there is none."""
    log, flags, audited = tmp_path / LOG, dict[str, str](), False
    for event in ("accepted", *happened):
        append_event(log, event, "a__b/v/sample-v1.json", SHA, trust=None, by="Bo", note=f"it was {event}")
        audited |= event == "reproduced"
        if event in ("flagged", "copied"):
            flags[event] = f"it was {event}"
        elif event == "cleared":
            flags.clear()
        found = state(log, Assessment("recomputed", ()))
        assert found.flags == tuple(flags[kind] for kind in ("copied", "flagged") if kind in flags)
        assert found.copied == ("copied" in flags)
        assert found.trust == ("reproduced" if audited and not flags else "recomputed")
    assert len(found.reasons) == 4  # nothing is forgotten


def test_all_notes_of_flags_are_kept(tmp_path: Path) -> None:
    for event, note in (("flagged", "78.4 %"), ("copied", "100 %"), ("flagged", None), ("flagged", "78.4 %")):
        append_event(tmp_path / LOG, event, "a__b/v/sample-v1.json", SHA, trust=None, by="Bo", note=note)  # type: ignore[arg-type]
    assert state(tmp_path / LOG, Assessment("recomputed", ())).flags == ("100 %", "78.4 %", "by Bo, who gave no reason")


@pytest.fixture
def folder(hashed: Evaluation, tmp_path: Path) -> Path:
    """A folder with one accepted submission."""
    folder = tmp_path / "submissions"
    path = folder / path_of(hashed.submission)
    write_submission(hashed.submission, path)
    accepted(folder / LOG, path_of(hashed.submission).as_posix(), f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}")
    return folder


def problems_of(folder: Path) -> list[str]:
    return [problem for _, problem in check_files(find_files([str(folder)])) if problem]


def test_an_accepted_submission_never_changes(folder: Path, hashed: Evaluation) -> None:
    assert problems_of(folder) == []
    write_submission(edited(hashed.submission, lambda c: c.update(notes="better")), folder / path_of(hashed.submission), overwrite=True)
    found = problems_of(folder)
    assert len(found) == 2  # the file's own, and the log's
    assert all(
        "Put the old file back, and enter yours as its correction: clir-bench submit FILE --corrects PATH --reason bugfix" in problem for problem in found
    )


def test_an_accepted_submission_never_goes_unless_withdrawn(folder: Path, hashed: Evaluation) -> None:
    path = path_of(hashed.submission)
    (folder / path).unlink()
    assert "was accepted, but is not there" in problems_of(folder)[0]
    event = read_events(folder / LOG)[0]
    append_event(folder / LOG, "withdrawn", event.path, event.sha256, trust=None, by="Ada", note="asked for")
    assert problems_of(folder) == []


def test_a_correction_stands_beside_what_it_replaces(folder: Path, hashed: Evaluation) -> None:
    old = (folder / path_of(hashed.submission)).read_bytes()
    correction = {"replaces": f"sha256:{hashlib.sha256(old).hexdigest()}", "reason": "bugfix", "note": None}
    corrected = edited(hashed.submission, lambda c: c.update(correction=correction))
    day = hashed.submission.provenance.started[:10]
    assert path_of(corrected).as_posix() == f"tests__hashing/native-1/sample-v1.{day}.json"
    write_submission(corrected, folder / path_of(corrected))
    assert problems_of(folder) == []
    stray = edited(corrected, lambda c: c["correction"].update(replaces=SHA))
    write_submission(stray, folder / path_of(corrected), overwrite=True)
    assert "no file beside it has that content" in problems_of(folder)[0]
    assert read_submission(folder / path_of(stray)) == stray


def test_a_partial_correction_has_both_marks(hashed: Evaluation) -> None:
    partial = edited(
        hashed.submission, lambda c: c["pairs"].pop(), lambda c: c.update(complete=False, gold_ranks=None, correction={"replaces": SHA, "reason": "rerun"})
    )
    day = hashed.submission.provenance.started[:10]
    assert path_of(partial).name.startswith("sample-v1.partial-")
    assert path_of(partial).name.endswith(f".{day}.json")
