"""Trust: what a file supports is found out, never stated."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clir_bench.checking import check_files, find_files
from clir_bench.collection import Pair
from clir_bench.errors import SubmissionError
from clir_bench.evaluate import Evaluation
from clir_bench.events import LOG, Happening, append_event, parse_events, read_events
from clir_bench.measures import GoldRanks, parse_measure, stats
from clir_bench.records import PairRecord
from clir_bench.submission import Submission, parse_submission, path_of, read_submission, to_json, write_submission
from clir_bench.trust import Assessment, State, _Tests, assess, grim, grim_decides, state_of

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
    assert found.reasons[1] == "timings and language profiles are stated, not recomputed: of profiles only impossible ones are found"
    bare = assess(edited(hashed.submission, lambda c: c.update(bias=[], timings=[])))
    assert bare == Assessment("recomputed", found.reasons[:1])


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"parameters": 5}, "sizes are stated, not recomputed"),
        ({"weights_bytes": 5}, "sizes are stated, not recomputed"),
        ({"licence": "MIT", "trained_on": []}, "licences and training data are stated, not recomputed"),
        ({"adapted_from": "a/b"}, "training data are stated, not recomputed"),
        ({"parameters": 5, "licence": "MIT", "trained_on": [{"dataset": "SNLI"}]}, "sizes, licences and training data are stated, not recomputed"),
    ],
)
def test_what_no_test_says_anything_of_is_named(hashed: Evaluation, facts: dict[str, Any], said: str) -> None:
    def state(content: dict[str, Any]) -> None:
        content.update(bias=[], timings=[])
        content["system"]["stages"][0]["model"].update(facts)

    for edits in ([state], [state, without_ranks]):
        assert assess(edited(hashed.submission, *edits)).reasons[-1] == said


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


def profile(content: dict[str, Any], gold: str, depth: int = 10, query: str = "en") -> dict[str, Any]:
    found: dict[str, Any] = next(p for p in content["bias"] if (p["query"], p["depth"], p["gold"]) == (query, depth, gold))
    return found


def times(gold: str, factor: int) -> Edit:
    def multiply(content: dict[str, Any]) -> None:
        p = profile(content, gold)
        p.update(queries=p["queries"] * factor, retrieved={language: count * factor for language, count in p["retrieved"].items()})

    return multiply


def fewer(content: dict[str, Any]) -> None:
    p = profile(content, "any", 1)
    p["queries"] -= 1
    p["retrieved"]["en"] -= 1


def move(gold: str, language: str, depth: int = 10) -> Edit:
    """All documents of a language but one are said to be of another: the totals stay."""

    def moved(content: dict[str, Any]) -> None:
        retrieved = profile(content, gold, depth)["retrieved"]
        other = "fr" if language != "fr" else "de"
        retrieved[other] += retrieved[language] - 1
        retrieved[language] = 1

    return moved


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (times("any", 1000), "(first 10, gold any) are of 96,000 queries, but the pairs have 768"),
        (times("same", 1000), "(first 10, gold same) are of 96,000 queries, but the pairs have 96"),
        (times("other", 1000), "(first 10, gold other) are of 96,000 queries, but the pairs have 672"),
        (times("any", 2), "the languages retrieved (first 10, gold any) are of 864 queries in all, but the task has 768"),
        (fewer, "(first 1, gold any) are of 95 queries, but a pair has 96"),
        (move("any", "en"), "(first 10, gold any): 1 in en, but by the gold ranks"),
        (move("same", "en"), "(first 10, gold same): 1 in en, but by the gold ranks"),
        (move("other", "de", 100), "(first 100, gold other): 1 in de, but by the gold ranks"),
    ],
)
def test_a_profile_that_the_gold_ranks_and_queries_do_not_allow_is_named(hashed: Evaluation, edit: Edit, reason: str) -> None:
    found = assess(edited(hashed.submission, edit))
    assert found.trust == "claimed"
    assert any(reason in told for told in found.reasons), found.reasons


def test_gold_ranks_prove_as_many_documents_as_there_are(hashed: Evaluation) -> None:
    """One fewer than were counted is found, as many are not."""
    ranking, collection = hashed.ranking, hashed.collection
    j = collection.judgements
    english = {q for q in range(len(collection.queries)) if collection.queries.languages[q] == "en"}
    golds = {(q, d) for q, d in zip(j.query.tolist(), j.document.tolist(), strict=True) if q in english and collection.pool.languages[d] == "de"}
    least = sum((q, d) in golds for q in english for d in ranking.rows[q, :100].tolist())

    def state(count: int) -> Edit:
        def change(content: dict[str, Any]) -> None:
            retrieved = profile(content, "any", 100)["retrieved"]
            retrieved["fr"] += retrieved["de"] - count if count < retrieved["de"] else 0
            retrieved["de"] = count
            profile(content, "any", 100).update(retrieved={language: min(n, 96 * 48) for language, n in retrieved.items()})

        return change

    assert least > 1
    assert assess(edited(hashed.submission, state(least))).trust == "recomputed"
    assert f"{least - 1:,} in de, but by the gold ranks {least:,} relevant" in assess(edited(hashed.submission, state(least - 1))).reasons[0]


def test_every_generated_profile_is_possible(generated: Path) -> None:
    found = [assess(read_submission(path)) for path in generated.rglob("*.json") if path.parent.name != "claims"]
    assert {assessment.trust for assessment in found} == {"recomputed", "consistent"}


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda c: c["task"].update(fingerprint=None), "it names no fingerprint"),
        (lambda c: c["task"].update(fingerprint=SHA), "its fingerprint is not that of sample v1"),
        (lambda c: c["task"].update(name="nowhere"), "nowhere v1 is no task that is defined here"),
        (
            lambda c: (
                [s.update(n=97, sum_squares=None) for p in c["pairs"] for s in [*p["measures"].values(), *p["own_language"].values()]] and c.update(bias=[])
            ),
            "97 queries",
        ),
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


NAMES = ("R@1", "R@10", "R@100", "nDCG@10", "nDCG@100", "RR@100", "AP@20", "P@5", "P@10", "Success@3", "RR@7", "nDCG@3")


def stats_of(rank: npt.NDArray[np.integer[Any]]) -> dict[str, dict[str, Any]]:
    """The measures of queries with one relevant document each, at these ranks."""
    n = len(rank)
    ones, zeros = np.ones(n, np.int32), np.zeros(n, np.int32)
    ranks = GoldRanks((Pair("en", "ar"),), zeros, np.arange(n, dtype=np.int32), ones, rank.astype(np.int32), ones, zeros)
    return {name: dict(zip(("n", "sum", "sum_squares"), stats(parse_measure(name), ranks)[0], strict=True)) for name in NAMES}


def printed(found: dict[str, dict[str, Any]], decimals: int) -> dict[str, dict[str, Any]]:
    """The same as a publication prints them: means rounded, no squares."""
    return {name: {"n": s["n"], "sum": round(s["sum"] / s["n"], decimals) * s["n"], "sum_squares": None} for name, s in found.items()}


def judged(*pairs: dict[str, dict[str, Any]]) -> _Tests:
    records = [PairRecord.model_validate({"query": "en", "document": "ar", "measures": measures}) for measures in pairs]
    tests = _Tests(records)
    for record in records:
        tests.test_part(record, "measures", True)
    return tests


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=40))
def test_no_true_submission_is_impossible(drawn: list[int]) -> None:
    """Whatever the ranks are, the numbers they give pass every test."""
    tests = judged(stats_of(np.array(drawn)))
    assert tests.problems == []
    assert tests.done > len(NAMES)


@pytest.mark.parametrize("n", [96, 100, 500, 1000, 2000, 10_000])
@pytest.mark.parametrize("decimals", [2, 3, 4, 5])
def test_true_numbers_may_be_rounded_and_false_ones_are_still_found(n: int, decimals: int) -> None:
    """Few or many queries for the decimals, good and bad systems, one pair and several."""
    rng, step = np.random.default_rng([n, decimals]), 10.0**-decimals
    for scale in (1, 30, 1000, 100_000):
        files = [printed(stats_of(1 + (rng.random(n) ** 4 * scale).astype(int)), decimals) for _ in range(6)]
        for pairs in ([files[0]], files):
            assert judged(*pairs).problems == []
        first = {name: s["sum"] / n for name, s in files[0].items()}
        false = {"nDCG@10": first["R@10"] + 2 * step, "RR@100": first["R@1"] - 3 * step, "R@10": first["R@1"] - 3 * step, "P@5": 2 * first["P@10"] + 4 * step}
        for name, mean in false.items():
            if 0 <= mean <= 1:
                claim = files[0] | {name: {"n": n, "sum": round(mean, decimals) * n, "sum_squares": None}}
                assert judged(claim, *files[1:]).problems, (name, mean)


@pytest.mark.parametrize("decimals", [3, 4, 5])
def test_of_few_queries_a_share_that_none_gives_is_still_found(decimals: int) -> None:
    true = printed(stats_of(np.arange(1, 97)), decimals)
    assert judged(true).problems == []
    mean = round(true["R@10"]["sum"] / 96 + 4 * 10.0**-decimals, decimals)
    assert "but no number of 96 queries gives that" in judged(true | {"R@10": {"n": 96, "sum": mean * 96, "sum_squares": None}}).problems[0]


def test_where_the_decimals_divide_n_only_counts_are_exact() -> None:
    """Every value of three decimals is a k/1000, those that were rounded, too."""
    true = np.array([1, 1, 5, 50, 50, *[300] * 995])
    assert {name: s["sum"] for name, s in printed(stats_of(true), 3).items() if name in ("R@100", "nDCG@10", "RR@100")} == {
        "R@100": 5.0, "nDCG@10": 2.0, "RR@100": 2.0,
    }  # fmt: skip
    assert judged(printed(stats_of(true), 3)).problems == []


def test_precision_is_compared_in_what_its_rounding_hides() -> None:
    """6,130 hits of 10,000: P@5 is .1226 and P@10 .0613, but printed .123 and .061."""
    found = printed(stats_of(np.array([1] * 6130 + [300] * 3870)), 3)
    assert (found["P@5"]["sum"], found["P@10"]["sum"]) == (1230, 610)
    assert judged(found).problems == []
    found["P@10"] = {"n": 10_000, "sum": 600.0, "sum_squares": None}
    assert "P@5 of en-ar is above P@10, which is impossible" in judged(found).problems


def test_a_value_is_told_apart_from_its_bounds() -> None:
    """Where one decimal of a percentage is as much as the whole gap, more are shown."""
    found = printed(stats_of(np.array([3] * 95 + [300])), 5)
    found["nDCG@10"] = {"n": 96, "sum": 0.49478 * 96, "sum_squares": None}
    problems = judged({name: found[name] for name in ("R@1", "R@10", "Success@3", "nDCG@10")}).problems
    assert problems == ["nDCG@10 of en-ar is 49.478 %, but the recalls allow only 49.479 % to 62.436 % for one relevant document a query"]


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


def rewritten(log: Path, **changes: dict[str, str]) -> None:
    """The log with values of its lines changed (``line_2={"date": ...}``) and the chain made whole again, as a forger would."""
    previous, lines = "0" * 64, []
    for number, line in enumerate(log.read_text().splitlines(), 1):
        record = json.loads(line) | changes.get(f"line_{number}", {}) | {"previous": previous}
        lines.append(json.dumps(record))
        previous = hashlib.sha256(lines[-1].encode()).hexdigest()
    log.write_text("".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"line_2": {"date": "2020-01-01T00:00:00Z"}},
            "line 2: reproduced tests__hashing/native-1/sample-v1.json on 2020-01-01T00:00:00Z, but a line above is of",
        ),
        ({"line_2": {"date": "2999-01-01T00:00:00Z"}}, "line 2: reproduced .*, but that is later than tomorrow"),
        ({"line_2": {"sha256": SHA}}, r"line 2: reproduced .* with sha256:a{12}\.\.\., but it was accepted as sha256:"),
        ({"line_1": {"event": "flagged"}}, "line 2: reproduced .*, but nothing above says that it was accepted: lines are missing"),
    ],
)
def test_a_log_that_was_edited_and_chained_again_is_told_where_it_contradicts_itself(folder: Path, changes: dict[str, dict[str, str]], problem: str) -> None:
    first = read_events(folder / LOG)[0]
    append_event(folder / LOG, "reproduced", first.path, first.sha256, trust="reproduced", by="Bo")
    assert problems_of(folder) == []
    yesterday = (datetime.now(UTC) - timedelta(hours=20)).strftime("%Y-%m-%dT%H:%M:%SZ")
    rewritten(folder / LOG, line_2={"date": yesterday})  # a clock that is slow
    assert problems_of(folder) == []
    rewritten(folder / LOG, **changes)
    (found,) = problems_of(folder)
    assert re.search(problem, found)


def test_a_log_that_was_cut_is_told_by_what_git_has(folder: Path) -> None:
    log, git = folder / LOG, ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    first = read_events(log)[0]
    append_event(log, "flagged", first.path, first.sha256, trust="recomputed", by="Bo")
    for command in (["init", "-q"], ["add", LOG], ["commit", "-q", "-m", "log"]):
        subprocess.run([*git, *command], check=True)
    append_event(log, "reproduced", first.path, first.sha256, trust="reproduced", by="Bo")
    assert problems_of(folder) == []
    whole = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(whole[0])
    (found,) = problems_of(folder)
    assert f"from line 2 on it is not what git has (2 lines): a log is only appended to. git checkout HEAD -- {log}" in found
    rewritten(log, line_1={"by": "Eve"})
    assert "from line 1 on" in problems_of(folder)[0]


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
