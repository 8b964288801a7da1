"""Entering, correcting, auditing and reviewing submissions: nothing is written unless all holds, and nothing that was there changes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from conftest import HashingEncoder, assembled
from scipy.stats import spearmanr

from clir_bench.audit import audit
from clir_bench.checking import check_files, find_files, submission_problems
from clir_bench.cli import main
from clir_bench.collection import Collection
from clir_bench.copies import Other, find_copies, models_of
from clir_bench.errors import SubmissionError
from clir_bench.evaluate import Evaluation, evaluate, signature
from clir_bench.events import LOG, Decision, read_events, sha256_of
from clir_bench.measures import NOT_FOUND, GoldRanks, parse_measure, stats
from clir_bench.pull_request import as_markdown, review
from clir_bench.submission import Submission, pack_ranks, parse_submission, path_of, read_submission, stat_record, to_json, write_submission
from clir_bench.submit import prepare, pull_request_steps
from clir_bench.system import System
from clir_bench.task import Task

LAYOUT = Path(__file__).parents[1] / "submissions" / "layouts" / "sample-v1-39c437221197.parquet"
EXTERNAL = {"kind": "external", "model": {"name": "o/m", "revision": "1"}, "source": "tests"}
BM25 = "clir-bench__bm25/multilingual/sample-v1.json"
MINE = "tests__hashing/native-1/sample-v1.json"


@pytest.fixture(scope="session")
def bm25(sample: tuple[Task, Collection]) -> Submission:
    return evaluate(*sample, System(model="bm25")).submission


@pytest.fixture
def folder(bm25: Submission, tmp_path: Path) -> Path:
    """A folder of submissions with BM25 in it."""
    write_submission(bm25, tmp_path / "submissions" / BM25)
    return tmp_path / "submissions"


@pytest.fixture
def mine(hashed: Evaluation, tmp_path: Path) -> Path:
    """What an evaluation wrote, elsewhere."""
    write_submission(hashed.submission, tmp_path / "mine.json")
    return tmp_path / "mine.json"


def edited(submission: Submission, *edits: Callable[[dict[str, Any]], object]) -> Submission:
    content = json.loads(to_json(submission))
    for edit in edits:
        edit(content)
    return parse_submission(json.dumps(content), "edited.json")


def signed(submission: Submission) -> Submission:
    """The same with the signature that its chain gives."""
    system = submission.system
    return submission.model_copy(update={"system": system.model_copy(update={"signature": signature(system.stages)})})


def with_ranks(submission: Submission, rank: np.ndarray[Any, Any]) -> Submission:
    """The same submission had its ranks been these, all numbers with them; own-language numbers and profiles left out."""
    full = submission.ranks().with_rank(np.where(rank >= 255, NOT_FOUND, rank).astype(np.int32))
    found = {name: stats(parse_measure(name), full) for name in submission.pairs[0].measures}
    pairs = tuple(
        record.model_copy(update={"measures": {name: stat_record(found[name][i]) for name in found}, "own_language": {}})
        for i, record in enumerate(submission.pairs)
    )
    return submission.model_copy(update={"pairs": pairs, "bias": (), "gold_ranks": pack_ranks(full, None)})


def named(submission: Submission, name: str, revision: str = "1") -> Submission:
    """The same as another model's."""

    def rename(content: dict[str, Any]) -> None:
        content["system"].update(name=name, signature=f"{name}@{revision} (tests)")
        content["system"]["stages"] = [{"kind": "external", "model": {"name": name, "revision": revision}, "source": "tests"}]

    return edited(submission, rename)


def submit(folder: Path, file: Path, *options: str) -> int:
    return main(["submit", str(file), "--submissions", str(folder), *options])


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.name.endswith(".lock")}


def test_a_submission_is_put_in_its_place_and_told_what_it_is(folder: Path, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit(folder, mine) == 0
    said = capsys.readouterr().out
    assert (folder / MINE).read_bytes() == mine.read_bytes()
    assert "trust: recomputed\n  every measure follows exactly from" in said
    assert "contamination: undisclosed\n" in said
    assert "over 64 pairs; rank 2 of 2 complete ones" in said
    assert f"above it: 21.2 %, {BM25}" in said
    assert "git add " in said
    assert "git push -u origin submission-tests__hashing-native-1-sample-v1" in said
    assert said.endswith(f"wrote {folder / MINE}\n")
    assert not (folder / LOG).exists()  # submitters never write it
    assert submit(folder, folder / MINE) == 0  # where it is it may be asked about again
    assert f"in its place: {folder / MINE}" in capsys.readouterr().out


def test_a_dry_run_says_all_and_writes_nothing(folder: Path, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(folder)
    assert submit(folder, mine, "--dry-run", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["path"], said["trust"], said["written"]) == (MINE, "recomputed", False)
    assert said["landing"]["above"][0] == BM25
    assert tree(folder) == before


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c["pairs"][0]["measures"]["R@1"].update(sum=1.5, sum_squares=1.25), "pairs.ar-ar.measures.R@1: sum is 1.5"),
        (lambda c: c["task"].update(fingerprint="sha256:" + "0" * 64), "task.fingerprint"),
        (lambda c: c.update(correction={"replaces": "sha256:" + "0" * 64, "reason": "rerun"}), "correction.replaces: sha256:000"),
    ],
)
def test_with_any_problem_nothing_is_written(folder: Path, hashed: Evaluation, tmp_path: Path, edit, message: str, capsys) -> None:  # type: ignore[no-untyped-def]
    write_submission(edited(hashed.submission, edit), tmp_path / "bad.json")
    before = tree(folder)
    assert submit(folder, tmp_path / "bad.json", "--record", "--by", "Ada") == 2
    assert message in capsys.readouterr().err
    assert tree(folder) == before


def test_what_is_there_is_corrected_never_replaced(folder: Path, mine: Path, hashed: Evaluation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit(folder, mine, "--record", "--by", "Ada") == 0
    old = (folder / MINE).read_bytes()
    write_submission(edited(hashed.submission, lambda c: c["provenance"].update(started="2025-12-24T18:00:00Z")), tmp_path / "better.json")
    assert submit(folder, tmp_path / "better.json") == 2
    assert f"nothing to submit. To correct what it says besides: clir-bench submit FILE --corrects {folder / MINE} --reason bugfix\n" in capsys.readouterr().err
    corrects = ("--corrects", str(folder / MINE), "--reason", "bugfix", "--note", "wrong prompt")
    assert submit(folder, tmp_path / "better.json", *corrects[:2]) == 2
    assert "--corrects and --reason go together" in capsys.readouterr().err
    assert submit(folder, tmp_path / "better.json", *corrects, "--record", "--by", "Bo") == 0
    corrected = MINE.replace(".json", ".2025-12-24.json")
    assert (folder / MINE).read_bytes() == old
    assert json.loads((folder / corrected).read_text())["correction"] == {"replaces": sha256_of(old), "reason": "bugfix", "note": "wrong prompt"}
    assert [(e.event, e.path, e.by) for e in read_events(folder / LOG)] == [
        ("accepted", MINE, "Ada"),
        ("accepted", corrected, "Bo"),
        ("superseded", MINE, "Bo"),
    ]
    assert [problem for _, problem in check_files(find_files([str(folder)])) if problem] == []
    assert submit(folder, tmp_path / "better.json", *corrects) == 2
    assert "was corrected before, by sample-v1.2025-12-24.json. Correct that one." in capsys.readouterr().err


def moved(submission: Submission) -> Submission:
    """Another run of it, with other ranks."""
    rank = np.minimum(submission.ranks().rank, 255)
    rank[:60] = 255
    return edited(with_ranks(submission, rank), lambda c: c["provenance"].update(started="2025-12-24T18:00:00Z"))


def test_another_run_of_a_system_is_told_what_it_may_be_and_the_way_printed_works(
    folder: Path, mine: Path, hashed: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(folder, mine, "--record", "--by", "Ada") == 0
    write_submission(moved(hashed.submission), tmp_path / "FILE")
    monkeypatch.chdir(tmp_path)
    for where in (folder, Path("submissions")):
        before = tree(folder)
        assert submit(where, Path("FILE")) == 2
        said = capsys.readouterr().err
        assert f"A run of this system is on the board ({where / MINE}), with other ranks." in said
        assert "Put the old file back" not in said
        assert tree(folder) == before
    audited, corrected = (re.findall(pattern, said)[0] for pattern in (r"clir-bench (audit \S+ FILE)\.", r"clir-bench (submit .*)\n"))
    assert main([*audited.split(), "--submissions", "submissions"]) == 2
    assert "is not reproduced" in capsys.readouterr().err
    assert main(corrected.split()) == 0
    assert (folder / MINE.replace(".json", ".2025-12-24.json")).exists()


def test_the_same_ranks_again_are_nothing_to_submit(folder: Path, mine: Path, hashed: Evaluation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Accepted or not, and where a correction stands in its place, that is meant."""
    corrected = folder / MINE.replace(".json", ".2025-12-24.json")
    write_submission(rerun(hashed.submission), tmp_path / "rerun.json")
    write_submission(moved(hashed.submission), tmp_path / "moved.json")
    assert submit(folder, mine) == 0
    assert submit(folder, tmp_path / "rerun.json") == 2
    assert f"already on the board with these very ranks ({folder / MINE}): nothing to submit" in capsys.readouterr().err
    assert submit(folder, tmp_path / "moved.json", "--corrects", str(folder / MINE), "--reason", "bugfix") == 0
    capsys.readouterr()
    assert submit(folder, tmp_path / "rerun.json") == 2
    assert f"with other ranks. A second run beside it: clir-bench audit {corrected} FILE" in capsys.readouterr().err
    assert submit(folder, tmp_path / "moved.json") == 2
    assert f"already on the board with these very ranks ({corrected}): nothing to submit" in capsys.readouterr().err
    claim = edited(hashed.submission, lambda c: c.update(gold_ranks=None))
    write_submission(claim, tmp_path / "claim.json")
    assert submit(folder, tmp_path / "claim.json") == 2
    assert "with other ranks" in capsys.readouterr().err


def test_a_stored_file_that_was_changed_or_is_gone_is_to_be_put_back(
    folder: Path, mine: Path, hashed: Evaluation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_submission(moved(hashed.submission), tmp_path / "moved.json")
    assert submit(folder, mine, "--record", "--by", "Ada") == 0
    (folder / MINE).write_text((folder / MINE).read_text() + "\n")
    for offered in (folder / MINE, tmp_path / "moved.json"):
        assert submit(folder, offered) == 2
        assert f"{MINE} was accepted as sha256:" in (said := capsys.readouterr().err)
        assert "Put the old file back" in said
    (folder / MINE).unlink()
    assert submit(folder, tmp_path / "moved.json") == 2
    assert f"{MINE} was accepted, but is not there. Put it back: git checkout main -- submissions/{MINE}" in capsys.readouterr().err
    assert submit(folder, mine) == 0


def test_a_day_has_one_correction(folder: Path, mine: Path, hashed: Evaluation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_submission(moved(hashed.submission), tmp_path / "moved.json")
    assert submit(folder, mine) == 0
    assert submit(folder, tmp_path / "moved.json", "--corrects", str(folder / MINE), "--reason", "bugfix") == 0
    first = folder / MINE.replace(".json", ".2025-12-24.json")
    assert submit(folder, tmp_path / "moved.json", "--corrects", str(first), "--reason", "bugfix") == 2
    assert f"{first} is there: a system has one correction a day. Evaluate again tomorrow (UTC), and correct that one." in capsys.readouterr().err


def in_checkout(folder: Path, remote: str | None) -> None:
    subprocess.run(["git", "init", "-q", str(folder.parent)], check=True)
    if remote:
        subprocess.run(["git", "-C", str(folder), "remote", "add", "origin", remote], check=True)


@pytest.mark.parametrize(
    ("remote", "site"),
    [
        ("https://github.com/me/clir-bench.git", "https://github.com/me/clir-bench/compare/"),
        ("https://me:secret@github.com/me/clir-bench", "https://github.com/me/clir-bench/compare/"),
        ("git@github.com:me/clir-bench.git", "https://github.com/me/clir-bench/compare/"),
        ("ssh://git@github.com:22/me/clir-bench.git", "https://github.com/me/clir-bench/compare/"),
        ("/srv/git/clir-bench", None),
        ("../clir-bench", None),
        ("file:///srv/git/clir-bench", None),
        (None, None),
    ],
)
def test_the_page_of_the_pull_request_is_one_of_the_web_or_told_in_words(folder: Path, mine: Path, remote: str | None, site: str | None) -> None:
    in_checkout(folder, remote)
    steps = pull_request_steps(prepare(mine, folder), folder)
    branch = "submission-tests__hashing-native-1-sample-v1"
    words = "open the page of the repository on GitHub, and there a pull request from your branch"
    assert steps[4] == (f"open {site}{branch}?expand=1" if site else words)


def test_a_correction_is_of_the_same_system(folder: Path, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit(folder, mine, "--corrects", str(folder / BM25), "--reason", "rerun") == 2
    assert "system.name: tests/hashing, but" in capsys.readouterr().err


def test_names_that_differ_by_capitals_are_one_place(folder: Path, hashed: Evaluation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_submission(named(hashed.submission, "Clir-Bench/BM25"), tmp_path / "x.json")
    assert submit(folder, tmp_path / "x.json") == 2
    assert "differs from it only by capitals" in capsys.readouterr().err


def test_the_same_system_twice_is_asked_for_a_correction(folder: Path, bm25: Submission, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_submission(edited(bm25, lambda c: c["system"].update(variant="again")), tmp_path / "x.json")
    assert submit(folder, tmp_path / "x.json") == 2
    said = capsys.readouterr().err
    assert f"{BM25} is the same system on the same pairs, by another name or variant. Give system.name and system.variant as there" in said


def test_ranks_under_another_name_are_told_and_recorded(folder: Path, bm25: Submission, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_submission(named(bm25, "someone/new-model"), tmp_path / "x.json")
    assert submit(folder, tmp_path / "x.json", "--record", "--by", "Ada") == 0
    said = capsys.readouterr().out
    assert re.match(rf"copy: all [\d,]+ ranks that tell systems apart are those of {re.escape(BM25)}, another model\n", said)
    assert "over 64 pairs; no rank: it is a copy" in said
    assert said.count("copy") == 2  # told once, and why it has no rank
    assert "git push" not in said  # what another model answered is not pushed on
    assert "a maintainer decides" in said
    events = read_events(folder / LOG)
    assert [event.event for event in events] == ["accepted", "copied"]
    assert BM25 in str(events[1].note)


def seen(*others: Submission) -> tuple[np.ndarray[Any, Any], list[Other]]:
    ranks = np.stack([np.minimum(other.ranks().rank, 255).astype(np.uint8) for other in others])
    return ranks, [
        Other(f"{i}.json", other.system.signature, models_of(other.system.stages), tuple(p.pair for p in other.pairs)) for i, other in enumerate(others)
    ]


def likenesses(submission: Submission, *others: Submission) -> list[tuple[str, float]]:
    ranks, listed = seen(*others)
    return [(found.kind, round(found.share, 2)) for found in find_copies(submission, listed, ranks)]


def test_a_copy_with_changed_ranks_is_flagged(hashed: Evaluation) -> None:
    """Also where a correlation of 0.9999 would say nothing any more."""
    original, random = hashed.submission, np.random.default_rng(7)
    for share in (0.005, 0.05, 0.2):
        rank = original.ranks().rank.copy()
        at = random.random(len(rank)) < share
        rank[at] = random.permutation(rank[at])
        found = likenesses(named(with_ranks(original, rank), "someone/new-model"), original)
        assert [kind for kind, _ in found] == ["flagged"], share
        assert spearmanr(original.ranks().rank, rank).statistic < 0.9999


def test_a_copy_with_every_rank_shifted_is_flagged(hashed: Evaluation) -> None:
    """No rank is equal any more, but the order is; the correlation against scipy's."""
    rank = np.minimum(hashed.submission.ranks().rank, 255)
    shifted = np.where((rank > 1) & (rank < 254), rank + 1, rank)
    noisy = np.where((rank > 1) & (rank < 250), rank + np.random.default_rng(5).integers(1, 5, len(rank)), rank)
    for moved in (shifted, noisy):
        copied = named(with_ranks(hashed.submission, moved), "someone/new-model")
        ranks, listed = seen(hashed.submission)
        (found,) = find_copies(copied, listed, ranks)
        both = (rank < 255) & (moved < 255) & ((rank > 1) | (moved > 1))
        assert (found.kind, found.share < 0.1) == ("flagged", True)
        assert found.correlation == pytest.approx(spearmanr(rank[both], moved[both]).statistic)


def test_systems_of_a_whole_board_are_no_copies_of_strangers(generated: Path) -> None:
    """Relatives are: half precision, another index, a track of the same chain."""
    for task in ("clirmatrix-v1", "large_scale-v1", "sample-v1"):
        whole = [s for path in sorted(generated.glob(f"*__*/*/{task}*.json")) if (s := read_submission(path)).gold_ranks and s.complete]
        for submission in whole:
            others = [s for s in whole if s.system.signature != submission.system.signature]
            ranks, listed = seen(*others)
            assert {found.kind for found in find_copies(submission, listed, ranks)} <= {"relative"}


def test_equal_ranks_at_another_revision_are_told(hashed: Evaluation) -> None:
    original = named(hashed.submission, "org/model")
    again = edited(named(hashed.submission, "org/model", "2"), lambda c: c["system"]["stages"][0].update(source="elsewhere"))
    same = edited(original, lambda c: c["system"].update(signature="hnsw"))
    ranks, listed = seen(original)
    (found,), (plain,) = find_copies(again, listed, ranks), find_copies(same, listed, ranks)
    assert (found.kind, plain.kind) == ("relative", "relative")
    assert "org/model is at another revision, and not one of them differs" in found.text
    assert "revision" not in plain.text


def test_different_systems_are_no_copies(hashed: Evaluation, bm25: Submission, sample: tuple[Task, Collection]) -> None:
    wider = named(evaluate(*sample, assembled(HashingEncoder(256))).submission, "tests/hashing-256")
    whitespace = evaluate(*sample, System(model="bm25", tokenizer="whitespace")).submission
    assert likenesses(hashed.submission, bm25, wider, whitespace) == []
    assert likenesses(bm25, whitespace, wider) == []


def test_one_model_in_two_indexes_or_precisions_is_no_copy(sample: tuple[Task, Collection], hashed: Evaluation) -> None:
    """Half precision moves ranks by a place or two, an approximate index loses some: here as much as was seen of a real model."""
    rank = np.minimum(hashed.submission.ranks().rank, 255)
    random = np.random.default_rng(3)
    moved = np.clip(rank + random.choice([-1, 0, 0, 0, 1], len(rank)), 1, 255)
    half = edited(with_ranks(hashed.submission, np.where(rank == 255, 255, moved)), lambda c: c["system"].update(signature="half"))
    lost = edited(with_ranks(hashed.submission, np.where(random.random(len(rank)) < 0.02, 255, rank)), lambda c: c["system"].update(signature="hnsw"))
    assert {kind for kind, _ in likenesses(hashed.submission, half, lost)} == {"relative"}


def test_equal_ranks_that_tell_nothing_are_no_copy(hashed: Evaluation) -> None:
    """Two systems that find everything first, or nothing at all, are not copies of each other."""
    first = with_ranks(hashed.submission, np.ones_like(hashed.submission.ranks().rank))
    assert likenesses(named(first, "someone/perfect"), first) == []


def test_a_copy_is_found_among_a_thousand_others(hashed: Evaluation) -> None:
    random = np.random.default_rng(0)
    others = [Other(f"{i}.json", f"s{i}", {f"m/{i}": "1"}, ()) for i in range(1000)]
    ranks = random.integers(1, 256, (1000, 6144)).astype(np.uint8)
    ranks[700] = np.minimum(hashed.submission.ranks().rank, 255)
    assert [found.path for found in find_copies(hashed.submission, others, ranks)] == ["700.json"]


def rerun(submission: Submission) -> Submission:
    return edited(submission, lambda c: c["provenance"].update(started="2025-01-01T00:00:00Z"))


def test_an_audit_of_the_same_ranks_reproduces(hashed: Evaluation) -> None:
    found = audit(hashed.submission, rerun(hashed.submission))
    assert (found.queries, found.documents, found.near, found.equal, found.failures) == (2000, 2000, 1.0, 1.0, ())
    assert set(found.differences) == {"R@1", "R@10", "R@100", "nDCG@10", "nDCG@100", "RR@100"}
    assert set(found.differences.values()) == {0.0}


def test_an_audit_compares_means_and_ranks_query_by_query(hashed: Evaluation) -> None:
    """Against slow loops over the same sample."""
    random = np.random.default_rng(1)
    a = np.minimum(hashed.submission.ranks().rank, 255).astype(int)
    b = np.where(random.random(len(a)) < 0.1, random.integers(1, 101, len(a)), a)
    found = audit(hashed.submission, rerun(with_ranks(hashed.submission, b)), queries=10**6)
    near = sum((x == y) if 255 == max(x, y) == min(x, y) else (min(x, y) >= 98 if 255 in (x, y) else abs(x - y) <= 2) for x, y in zip(a, b, strict=True))
    assert found.near == pytest.approx(near / len(a))
    assert found.differences["R@10"] == pytest.approx(np.mean([(y <= 10) - int(x <= 10) for x, y in zip(a, b, strict=True)]))
    assert any("of the gold ranks are within 2" in failure for failure in found.failures)
    assert any("R@100 differs by +" in failure for failure in found.failures)


def test_the_sample_of_an_audit_is_the_same_for_everybody_and_even(hashed: Evaluation) -> None:
    from clir_bench.audit import _sample

    chosen = _sample(str(hashed.submission.task.fingerprint), 6144, 2000)
    assert len(set(chosen.tolist())) == 2000
    assert (chosen == _sample(str(hashed.submission.task.fingerprint), 6144, 2000)).all()
    assert (chosen != _sample("sha256:" + "0" * 64, 6144, 2000)).any()
    assert abs(np.mean(chosen) / 6143 - 0.5) < 0.03
    assert (_sample("x", 10, 2000) == np.arange(10)).all()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: None, "both started .*: that is one run"),
        (lambda c: c["system"].update(signature="another"), "signature: .*, but the rerun has another"),
        (lambda c: c["task"].update(fingerprint="sha256:" + "0" * 64), "fingerprint: sha256:39c"),
    ],
)
def test_an_audit_refuses_what_is_no_second_run_of_the_same(hashed: Evaluation, edit: Callable[[dict[str, Any]], object], message: str) -> None:
    with pytest.raises(SubmissionError, match=message):
        audit(hashed.submission, edited(hashed.submission, edit))


def test_a_recorded_audit_makes_it_reproduced(folder: Path, mine: Path, hashed: Evaluation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_submission(rerun(hashed.submission), tmp_path / "rerun.json")
    command = ["audit", str(folder / MINE), str(tmp_path / "rerun.json"), "--submissions", str(folder), "--record", "--by", "Bo"]
    assert submit(folder, mine) == 0
    assert main(command) == 2
    assert "was not accepted yet" in capsys.readouterr().err
    assert submit(folder, mine, "--record", "--by", "Ada") == 0
    assert main(command) == 0
    assert "2,000 evaluated queries, 2,000 gold ranks: 100.0 % equal, 100.0 % within 2" in capsys.readouterr().out
    last = read_events(folder / LOG)[-1]
    assert (last.event, last.trust, last.by, last.path) == ("reproduced", "reproduced", "Bo", MINE)
    assert main(command[:-3]) == 0  # without --record it only says so
    assert len(read_events(folder / LOG)) == 2


@pytest.fixture
def checkouts(folder: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The main branch with BM25, accepted; and a pull request that changed nothing yet."""
    base, head = tmp_path / "base", tmp_path / "head"
    assert main(["submit", "-q", str(folder / BM25), "--submissions", str(folder), "--record", "--by", "Ada"]) == 0
    (folder / f".{LOG}.lock").unlink(missing_ok=True)
    base.mkdir()
    shutil.copytree(folder, base / "submissions")
    shutil.copytree(base, head)
    return base, head


def add(head: Path, submission: Submission) -> None:
    write_submission(submission, head / "submissions" / path_of(submission))


def test_a_pull_request_that_adds_a_submission_passes(checkouts: tuple[Path, Path], hashed: Evaluation, capsys: pytest.CaptureFixture[str]) -> None:
    base, head = checkouts
    assert review(base, head) == ((), (), (), ())
    add(head, hashed.submission)
    found = review(base, head)
    assert (found.added, found.problems, found.notes) == ((MINE,), (), ())
    assert found.entries[0].assessment.trust == "recomputed"
    assert main(["review", str(base), str(head)]) == 0
    said = capsys.readouterr().out
    assert "1 new submission, 0 problems." in said
    assert f"place          submissions/{MINE}" in said
    assert "rank 2 of 2" in said


def edit_log(text: str) -> Callable[[Path], object]:
    return lambda s: (s / LOG).write_text(text.format(old=(s / LOG).read_text()))


def misnamed_layout(submissions: Path) -> None:
    (submissions / "layouts").mkdir()
    shutil.copy(LAYOUT, submissions / "layouts" / "clirmatrix-v1-3a4a20639621.parquet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: (s / BM25).unlink(), f"{BM25}: it is gone, but what was submitted stays"),
        (lambda s: (s / BM25).write_text((s / BM25).read_text() + "\n"), f"{BM25}: it is changed, but a submission never changes"),
        (lambda s: (s / LOG).unlink(), f"{LOG}: it is gone"),
        (edit_log(""), f"{LOG}: it is changed, but only maintainers write it"),
        (edit_log("{old}{{}}\n"), f"{LOG}: it is changed, but only maintainers write it"),
        (misnamed_layout, "Its place is submissions/layouts/sample-v1-39c437221197.parquet."),
        (lambda s: (s / "run.sh").write_text("rm -rf /"), "run.sh: neither a submission nor claims nor a layout. Take it out."),
        (lambda s: (s / ".hidden.json").write_text("{}"), ".hidden.json: neither a submission"),
        (lambda s: (s / "x.json").symlink_to("/etc/passwd"), "x.json: a link or no file"),
        (lambda s: (s / "linked").symlink_to("/etc"), "linked: a link or no file"),
        (lambda s: (s / "layouts").mkdir() or (s / "layouts" / "x.parquet").write_bytes(b"PAR1junk"), "no layout that can be read"),
        (lambda s: (s / "CLIR-BENCH__bm25").mkdir() or (s / "CLIR-BENCH__bm25" / "x.json").write_text("{}"), "are one name on many machines"),
        (lambda s: (s / "a__b" / "v").mkdir(parents=True) or (s / "a__b" / "v" / "t.json").write_text("{}"), "t.json: 8 problems"),
        (lambda s: shutil.copytree(s / "clir-bench__bm25", s / "a__b"), "BM25|is the same system|its place is"),
    ],
)  # fmt: skip
def test_a_pull_request_changes_nothing_that_was_there(checkouts: tuple[Path, Path], change: Callable[[Path], object], message: str) -> None:
    base, head = checkouts
    before = tree(base)
    change(head / "submissions")
    found = review(base, head)
    assert found.entries == ()
    assert any(any(part in problem for part in message.split("|")) for problem in found.problems), found.problems
    assert tree(base) == before


def test_the_log_is_written_on_the_main_branch_alone(checkouts: tuple[Path, Path], hashed: Evaluation) -> None:
    """A chain that holds can be forged by anybody: a hash is no signature."""
    base, head = checkouts
    add(head, hashed.submission)
    assert main(["submit", "-q", str(head / "submissions" / MINE), "--submissions", str(head / "submissions"), "--record", "--by", "Ada"]) == 0
    (head / "submissions" / f".{LOG}.lock").unlink(missing_ok=True)
    changed = f"{LOG}: it is changed, but only maintainers write it, on the main branch. "
    assert review(base, head).problems == (f"{changed}git checkout main -- submissions/{LOG}",)
    (base / "submissions" / LOG).unlink()
    assert review(base, head).problems == (f"{changed}Take it out.",)


def test_a_layout_under_its_own_name_is_left_to_a_maintainer(checkouts: tuple[Path, Path]) -> None:
    base, head = checkouts
    (head / "submissions" / "layouts").mkdir()
    shutil.copy(LAYOUT, head / "submissions" / "layouts")
    found = review(base, head)
    assert (found.problems, [note.split(": ")[1][:29] for note in found.notes]) == ((), ["a new layout (sample v1, 6144"])


def test_new_files_of_one_pull_request_are_compared_with_each_other(checkouts: tuple[Path, Path], hashed: Evaluation) -> None:
    base, head = checkouts
    for name in ("one/model", "two/model"):
        add(head, named(hashed.submission, name))
    found = review(base, head)
    assert found.problems == ()
    assert [[(like.kind, like.path) for like in entry.likenesses] for entry in found.entries] == [[], [("copy", "one__model/native-1/sample-v1.json")]]
    said = as_markdown(found)
    assert "copy           100.0% of the" in said
    assert said.startswith("## Submissions\n\n1 decision, 2 new submissions, 0 problems.\n\n### For a maintainer\n")
    assert "two__model/native-1/sample-v1.json: copy: 100.0% of the" in said.split("```")[1]
    assert "no rank: it is a copy" in said
    assert main(["review", str(base), str(head)]) == 0  # a maintainer decides, not the check
    add(head, edited(named(hashed.submission, "one/model"), lambda c: c["system"].update(variant="again")))
    assert any("one__model/again/sample-v1.json is the same system on the same pairs" in problem for problem in review(base, head).problems)


def test_what_a_maintainer_decides_stands_first_copies_before_all_else(checkouts: tuple[Path, Path], hashed: Evaluation, bm25: Submission) -> None:
    """A correction of what is flagged, a claim, equal ranks at another revision, a near copy, a copy."""
    base, head = checkouts
    add(base, named(hashed.submission, "an/original"))
    assert decide(base / "submissions", "flagged", BM25, "trained on the queries") == 0
    (base / "submissions" / f".{LOG}.lock").unlink(missing_ok=True)
    shutil.copytree(base, head, dirs_exist_ok=True)
    replaces = sha256_of((base / "submissions" / BM25).read_bytes())
    rank = np.minimum(hashed.submission.ranks().rank, 255)
    rank[:600] = np.random.default_rng(7).permutation(rank[:600])
    add(head, edited(bm25, lambda c: c.update(correction={"replaces": replaces, "reason": "bugfix"})))
    add(head, edited(named(hashed.submission, "an/original", "2"), lambda c: c["system"].update(variant="later")))
    add(head, edited(named(hashed.submission, "a/claim"), lambda c: c.update(gold_ranks=None), lambda c: c["task"].update(fingerprint=None)))
    add(head, named(with_ranks(hashed.submission, rank), "near/copy"))
    add(head, named(hashed.submission, "the/copy"))
    found = review(base, head)
    assert (found.problems, len(found.entries)) == ((), 5)
    told = [(note.split("__")[0], note.split(": ", 1)[1]) for note in found.notes]
    assert [name for name, _ in told] == ["the"] * 3 + ["a", "an", "clir-bench"] + ["near"] * 2
    assert [words.split(":")[0] for _, words in told[:3]] == ["copy", "copy", "flagged"]
    said = dict(told)
    assert said["a"].startswith("claimed: it carries no gold ranks")
    assert said["an"].startswith("relative: 100.0%")
    assert said["clir-bench"] == f"it corrects {BM25}, which is flagged, and would stand in its place without a flag: trained on the queries"
    assert said["near"].startswith("flagged: ")
    assert as_markdown(found).startswith("## Submissions\n\n8 decisions, 5 new submissions, 0 problems.\n\n### For a maintainer\n\n```")


def decide(folder: Path, decision: str, path: str, note: str = "because", *options: str) -> int:
    return main(["record", decision, str(folder / path), "--submissions", str(folder), "--by", "Cy", "--note", note, *options])


def test_a_decision_is_a_line_of_the_log_and_says_what_the_board_shows(
    folder: Path, bm25: Submission, hashed: Evaluation, mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(LAYOUT.parent, folder / "layouts")
    write_submission(rerun(hashed.submission), tmp_path / "rerun.json")
    for file in (folder / BM25, mine):
        assert submit(folder, file, "--record", "--by", "Ada") == 0
    before = (folder / LOG).read_bytes()
    audited = ["audit", str(folder / MINE), str(tmp_path / "rerun.json"), "--submissions", str(folder), "--record", "--by", "Bo"]
    told, steps = dict[int, str](), ("flagged", "copied", "audit", "cleared", "withdrawn")
    for i, step in enumerate(steps):
        capsys.readouterr()
        assert (main(audited) if step == "audit" else decide(folder, step, MINE, f"note {i}")) == 0
        told[i] = capsys.readouterr().out
        assert (folder / LOG).read_bytes().startswith(before)
    events = read_events(folder / LOG)[2:]
    assert [(e.event, e.path, e.trust) for e in events] == [
        ("flagged", MINE, "recomputed"), ("copied", MINE, "recomputed"), ("reproduced", MINE, "recomputed"), ("cleared", MINE, "reproduced"), ("withdrawn", MINE, None),
    ]  # fmt: skip
    where = re.search(r"on the board: tests/hashing/native-1 on (.*?): ", told[0])
    assert where is not None
    shown = where[0]
    assert told[0] == f"flagged: {MINE}, recorded in {folder / LOG}\n{shown}recomputed, flagged; tier 2, rank 2\n"
    assert f"{shown}recomputed, flagged as a copy; no rank: flagged as a copy: note 1; note 0\n" in told[1]
    assert "but flagged, and recomputed only until it is cleared: note 1; note 0" in told[2]
    assert f"{shown}reproduced; tier 2, rank 2\n" in told[3]
    assert told[4].endswith("on the board: withdrawn: note 4\n")
    assert [problem for _, problem in check_files(find_files([str(folder)])) if problem] == []


def test_a_decision_that_makes_no_sense_writes_nothing(folder: Path, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit(folder, mine) == 0
    assert submit(folder, folder / BM25, "--record", "--by", "Ada") == 0

    def refused(decision: str, path: str, note: str = "because") -> str:
        before = tree(folder)
        capsys.readouterr()
        assert decide(folder, decision, path, note) == 2
        assert tree(folder) == before
        return capsys.readouterr().err

    assert "has no flag that is in force: there is nothing to clear. Its level is recomputed." in refused("cleared", BM25)
    assert f"{MINE} was not accepted yet. clir-bench submit {folder / MINE} --record --by NAME" in refused("flagged", MINE)
    assert "no such file. Name a submission in its place." in refused("withdrawn", "nobody/v/sample-v1.json")
    assert f"{mine} is not below {folder}" in refused("withdrawn", f"../{mine.name}").replace("submissions/../", "")
    assert decide(folder, "flagged", BM25, "because") == 0
    assert "is flagged with this note already: because" in refused("flagged", BM25)
    assert decide(folder, "withdrawn", BM25, "asked for") == 0
    for decision in ("withdrawn", "flagged", "copied", "cleared"):
        assert f"{BM25} was withdrawn before (asked for)" in refused(decision, BM25)
    content = (folder / BM25).read_bytes()
    (folder / BM25).write_bytes(content + b"\n")
    assert "Put the old file back" in refused("cleared", BM25)
    (folder / BM25).unlink()
    assert "no such file. Put it back: git checkout main -- submissions/" in refused("withdrawn", BM25)


def test_the_decisions_of_the_command_are_those_of_the_log() -> None:
    from clir_bench.cli_submit import _DECISIONS

    assert get_args(Decision) == _DECISIONS


def test_a_correction_says_what_it_replaces(checkouts: tuple[Path, Path], bm25: Submission) -> None:
    base, head = checkouts
    correction = {"replaces": sha256_of((base / "submissions" / BM25).read_bytes()), "reason": "bugfix", "note": "x\ntrust          reproduced"}
    add(head, edited(bm25, lambda c: c.update(correction=correction)))
    found = review(base, head)
    assert (found.problems, found.entries[0].replaces) == ((), BM25)
    assert f"\nreplaces       {BM25} (bugfix)\n" in as_markdown(found)


def of_another_task(content: dict[str, Any]) -> None:
    content["task"].update(name="mine", version=3)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (of_another_task, "task: sample v1 (retrieval), but .* has mine v3 (retrieval). A correction is of the same system, task and track."),
        (lambda c: c["system"].update(name="a/b"), "system.name: clir-bench/bm25, but .* has a/b. A correction is of the same"),
    ],
)
def test_a_correction_is_of_the_same_system_and_task_wherever_it_is_read(  # type: ignore[no-untyped-def]
    checkouts: tuple[Path, Path], bm25: Submission, edit, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base, head = checkouts
    other = edited(bm25, edit)
    for checkout in (base, head):
        write_submission(other, checkout / "submissions" / Path(BM25).with_name("other.json"))
    replaces = sha256_of((base / "submissions" / BM25).with_name("other.json").read_bytes())
    wrong = edited(bm25, lambda c: c.update(correction={"replaces": replaces, "reason": "bugfix"}))
    add(head, wrong)
    pattern = re.escape(message).replace(re.escape(".*"), ".*")
    place = head / "submissions" / path_of(wrong)
    assert any(re.search(pattern, problem) for problem in review(base, head).problems)
    assert re.search(pattern, str(next(check_files([place]))[1]))
    assert submit(base / "submissions", place) == 2
    assert re.search(pattern, capsys.readouterr().err)


def test_a_correction_can_be_corrected(folder: Path, mine: Path, hashed: Evaluation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit(folder, mine) == 0
    for day, corrected in (("24", MINE), ("25", MINE.replace(".json", ".2025-12-24.json"))):
        file = tmp_path / f"{day}.json"
        write_submission(edited(hashed.submission, lambda c, day=day: c["provenance"].update(started=f"2025-12-{day}T18:00:00Z")), file)  # type: ignore[misc]
        assert submit(folder, file, "--corrects", str(folder / corrected), "--reason", "rerun") == 0
        assert f"replaces: {corrected} (rerun)\n" in capsys.readouterr().out
    assert submit(folder, tmp_path / "25.json", "--corrects", str(folder / MINE), "--reason", "rerun", "--note", "a\tb") == 2
    assert "note: U+0009" in capsys.readouterr().err


def test_another_collection_than_the_boards_is_refused(folder: Path, bm25: Submission, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a task that is defined nowhere, where only the board knows the collection."""

    def own(fingerprint: str) -> Callable[[dict[str, Any]], object]:
        return lambda c: c["task"].update(name="mine", fingerprint=fingerprint)

    write_submission(edited(bm25, own("sha256:" + "a" * 64)), folder / BM25.replace("sample", "mine"))
    write_submission(named(edited(bm25, own("sha256:" + "b" * 64)), "a/b"), tmp_path / "x.json")
    assert submit(folder, tmp_path / "x.json") == 2
    said = capsys.readouterr().err
    assert "it is of another collection (sha256:bbbb" in said
    assert "than the board's (sha256:aaaa" in said
    assert "Build the task again" in said
    base, head = folder.parent, tmp_path / "head"
    shutil.copytree(folder, head / "submissions")
    add(head, read_submission(tmp_path / "x.json"))
    assert any("it is of another collection" in problem for problem in review(base, head).problems)


def tomorrow(hours: int) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def reranked(content: dict[str, Any]) -> None:
    model = {"name": "o/m", "revision": "1"}
    content["system"]["stages"].append({"kind": "rerank", "model": model, "depth": 9, "max_tokens": 9, "template": "", "dtype": "float32"})


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ([lambda c: c["provenance"].update(started=tomorrow(30))], "provenance.started: .*, but that is later than tomorrow"),
        ([lambda c: c["provenance"].update(started=tomorrow(20))], None),
        ([lambda c: c["task"].update(name="mine", fingerprint=None)], "task.fingerprint: null, but gold ranks are those of one collection"),
        ([lambda c: c["task"].update(fingerprint=None)], "task.fingerprint: null, but gold ranks are those of one collection"),
        ([lambda c: c["task"].update(fingerprint=None), lambda c: c.update(gold_ranks=None)], None),
        ([lambda c: c["task"].update(name="large:scale")], "task.name: large:scale, which is filed as large_scale, but that is another task"),
        ([lambda c: c["task"].update(name="my:task")], None),
        ([lambda c: c["task"].update(track="rerank")], "task.track: rerank, but the chain has no re-ranker"),
        ([reranked], "task.track: retrieval, but the chain has a re-ranker"),
        ([reranked, lambda c: c["task"].update(track="rerank")], None),
        ([lambda c: c["task"].update(track="rerank"), lambda c: c["system"].update(stages=[EXTERNAL])], None),
    ],
)
def test_what_contradicts_itself_is_refused_by_check_and_read_all_the_same(bm25: Submission, edits, message: str | None) -> None:  # type: ignore[no-untyped-def]
    problems = submission_problems(signed(edited(bm25, *edits)))
    assert len(problems) == (message is not None), problems
    assert message is None or re.search(message, problems[0])


def external(**facts: object) -> dict[str, Any]:
    return EXTERNAL | {"model": {"name": "o/m", "revision": "1"} | facts}


@pytest.mark.parametrize("revision", ["main", "Master", "HEAD", "latest", "refs/heads/x", "refs/pr/1", "origin/main", " main "])
def test_a_revision_is_no_branch(bm25: Submission, revision: str) -> None:
    problems = submission_problems(signed(edited(bm25, lambda c: c["system"].update(stages=[external(revision=revision)]))))
    assert problems == [
        f"system.stages[0].model.revision: {revision!r} is a branch, where another model may stand tomorrow. Name its commit: evaluate --revision COMMIT."
    ]


@pytest.mark.parametrize(
    "revision", ["1", "unknown", "0" * 40, "sha256:" + "0" * 64, "by language", "answers-12ab", "no_revision_available", "mainly", "main+probe-1"]
)
def test_what_stands_for_a_commit_where_there_is_none_is_a_revision(bm25: Submission, revision: str) -> None:
    assert submission_problems(signed(edited(bm25, lambda c: c["system"].update(stages=[external(revision=revision)])))) == []


@pytest.mark.parametrize(
    ("parameters", "weights", "possible"),
    [
        (22_713_216, 90_868_376, True),  # float32
        (8_000_000_000, 1_000_000_000, True),  # one bit
        (8_000_000_000, 64_000_000_000, True),  # float64
        (100_000_000, 10 * 400_000_000, True),  # a training folder with ten checkpoints
        (12_345, 70_000, True),  # headers and names of a small one
        (12_345, None, True),
        (22_713_216, 90_868, False),  # kilobytes
        (22, 90_868_376, False),  # millions
        (8_000_000_000, 700_000_000, False),
        (22_713_216, 2 * 10**9, False),
    ],
)
def test_weights_have_a_size_that_parameters_can_have(bm25: Submission, parameters: int, weights: int | None, possible: bool) -> None:
    stages = [external(parameters=parameters, weights_bytes=weights)]
    problems = submission_problems(signed(edited(bm25, lambda c: c["system"].update(stages=stages))))
    assert bool(problems) != possible
    assert possible or (f"weights_bytes: {weights:,}" in problems[0] and f"parameters: {parameters:,}" in problems[0])


def test_a_signature_is_what_the_chain_gives(bm25: Submission) -> None:
    """What tells duplicates is not a matter of taste."""
    assert submission_problems(signed(bm25)) == [] and signed(bm25) == bm25
    said = submission_problems(edited(bm25, lambda c: c["system"]["stages"][0].update(k1=1.2)))
    assert said == [
        "system.signature: 'rank_bm25.BM25Okapi k1=1.5 b=0.75 epsilon=0.25' stands where the chain gives 'rank_bm25.BM25Okapi k1=1.2 b=0.75 epsilon=0.25'"
        " (system.stages). Leave both as evaluate writes them."
    ]
    longer = edited(bm25, lambda c: c["system"].update(signature=c["system"]["signature"] + " | mine"))
    assert "system.signature: 'mine' stands where the chain gives ''" in submission_problems(longer)[0]


def test_a_comment_links_to_nothing_and_calls_nobody(checkouts: tuple[Path, Path]) -> None:
    base, head = checkouts
    (head / "submissions" / "```@everyone [x](http:evil) <img src=x>.json").write_text("{}")
    text = as_markdown(review(base, head))
    assert "````text\n" in text  # longer than any run of backticks inside
    assert text.count("````") == 2
    inside = text.split("````")[1]
    assert "@everyone" in inside


def test_the_workflow_takes_nothing_but_data_of_a_pull_request() -> None:
    import yaml

    folder = Path(__file__).parent.parent / ".github" / "workflows"
    assert [path.name for path in folder.glob("submissions*")] == ["submissions.yml"]
    workflow = yaml.safe_load((folder / "submissions.yml").read_text())
    assert workflow[True] == {"pull_request_target": {"branches": ["main"], "paths": ["submissions/**"]}}  # YAML reads the key "on" as true
    judge, tell = workflow["jobs"]["review"], workflow["jobs"]["comment"]
    assert (workflow["permissions"], judge["permissions"], tell["permissions"]) == ({}, {"contents": "read"}, {"pull-requests": "write"})
    scripts = [step["run"] for job in (judge, tell) for step in job["steps"] if "run" in step]
    commands = "\n".join(scripts)
    for call in ("clir-bench check head/submissions", "clir-bench review base head", "sparse-checkout set --no-cone /submissions/"):
        assert call in commands
    assert re.findall(r"pip install .*?'(.*?)\[", commands) == ["./main"]
    (checkout,) = (step for step in judge["steps"] if "checkout" in step.get("uses", ""))
    assert checkout["with"] == {"path": "main", "persist-credentials": False}  # no ref: the main branch
    assert not any("cache" in step.get("with", {}) for step in judge["steps"])
    assert all("checkout" not in step.get("uses", "") for step in tell["steps"])
    for script in scripts:
        assert "${{" not in script  # what a stranger writes must not become a command
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_the_workflow_puts_only_submissions_beside_the_code(tmp_path: Path) -> None:
    """Its git commands on a little repository, with a pull request that brings other files, too."""
    import yaml

    workflow = yaml.safe_load((Path(__file__).parent.parent / ".github" / "workflows" / "submissions.yml").read_text())
    (script,) = (step["run"] for step in workflow["jobs"]["review"]["steps"] if "sparse-checkout" in step.get("run", ""))
    origin = """
        git init -q -b main origin && cd origin && git config user.email a@b && git config user.name a
        mkdir submissions && echo 1 > submissions/old.json && echo 1 > code.py && git add . && git commit -qm 1
        git checkout -qb pr && echo 2 > submissions/new.json && echo evil > code.py && git add . && git commit -qm 2
        git checkout -q main && echo 3 > submissions/later.json && git add . && git commit -qm 3 && git merge -q --no-ff pr -m merged
        git update-ref refs/pull/7/merge HEAD && git reset -q --hard HEAD^1 && cd .. && git clone -q --depth 1 "file://$PWD/origin" main
    """
    for commands in (origin, script):
        subprocess.run(["bash", "-ec", commands], cwd=tmp_path, env={**os.environ, "NUMBER": "7"}, check=True, capture_output=True)
    held = {name: sorted(p.relative_to(tmp_path / name).as_posix() for p in (tmp_path / name).rglob("*.*") if p.name != ".git") for name in ("base", "head")}
    assert held == {
        "base": ["submissions/later.json", "submissions/old.json"],
        "head": ["submissions/later.json", "submissions/new.json", "submissions/old.json"],
    }
    assert (tmp_path / "main" / "code.py").read_text() == "1\n"


def test_small_partial_sets_stand_beside_whole_ones(folder: Path, hashed: Evaluation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same system on other pairs is no duplicate, and has no rank."""
    whole = hashed.submission.ranks()
    n = 96 * 60
    part = GoldRanks(whole.pairs[:60], whole.pair[:n], whole.query[:n], whole.golds[:n], whole.rank[:n], whole.grade[:n], whole.document[:n])
    record = pack_ranks(part, None).model_dump()
    partial = edited(
        hashed.submission,
        lambda c: c.update(complete=False, pairs=[{**p, "own_language": {}} for p in c["pairs"][:60]], bias=[], gold_ranks=record),
    )
    write_submission(hashed.submission, folder / MINE)
    write_submission(partial, tmp_path / "partial.json")
    assert submit(folder, tmp_path / "partial.json") == 0
    said = capsys.readouterr().out
    assert "over 60 pairs; no rank" in said
    assert "trust: recomputed" in said
    assert "relative: 100.0% of" in said


def merged(content: Any, edits: Any) -> Any:
    """What a person makes of a file who writes these values in."""
    if isinstance(edits, dict):
        assert set(edits) <= set(content), "the keys are there already, as the docs say"
        return {key: merged(value, edits[key]) if key in edits else value for key, value in content.items()}
    if isinstance(edits, list) and edits and isinstance(content, list):
        return [merged(value, edit) for value, edit in zip(content, edits, strict=False)] + content[len(edits) :]
    return edits


def test_what_the_docs_say_may_be_written_in_by_hand_is_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(__file__).parents[1]
    (example,) = re.findall(r"```json\n(.*?)```", (root / "docs" / "submissions.md").read_text(), re.DOTALL)
    stored = json.loads(to_json(read_submission(root / "submissions" / "sentence-transformers__all-MiniLM-L6-v2" / "native" / "sample-v1.json")))
    (tmp_path / "edited.json").write_text(json.dumps(merged(stored, json.loads(example))))
    assert main(["check", str(tmp_path / "edited.json")]) == 0
    model = read_submission(tmp_path / "edited.json").system.stages[0].model_dump()["model"]
    assert (model["adapted_from"], [source["dataset"] for source in model["trained_on"]]) == ("intfloat/multilingual-e5-base", ["MS MARCO", "MIRACL"])
    assert "1 files checked, 0 with problems" in capsys.readouterr().out
