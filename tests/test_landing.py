"""Where a submission would land: as it stands once it is there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from _submissions import generate

from clir_bench.errors import SubmissionError
from clir_bench.evaluate import signature
from clir_bench.exhibits.landing import Landing, land, landing_words
from clir_bench.exhibits.ledger import Scope, climb
from clir_bench.exhibits.preview import measures_table, pairs_map
from clir_bench.standings import Index, Selection, open_index, standing
from clir_bench.submission import Submission, parse_submission, read_submission, to_json
from clir_bench.submit import enter

SYSTEMS = 15


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("landing")
    generate(made, SYSTEMS, ("sample",))
    return made


@pytest.fixture(scope="module")
def index(folder: Path) -> Index:
    return open_index(folder, build=True)


def current(index: Index, board: str = "sample-v1") -> list[tuple[int, Path]]:
    return [(line, index.folder / str(index.entries.at[int(entry), "path"])) for line, entry in enumerate(index.entry_of[board]) if entry >= 0]


def changed(submission: Submission, **edits: object) -> Submission:
    """The same file with other values at ``a.b`` written as ``a__b``."""
    content = json.loads(to_json(submission))
    for key, value in edits.items():
        *path, last = key.split("__")
        part = content
        for name in path:
            part = part[name]
        part[last] = value
    return parse_submission(json.dumps(content), "changed")


def test_it_lands_where_it_stands_once_it_is_there(index: Index, folder: Path, tmp_path: Path) -> None:
    found = standing(index, Selection(boards=("sample-v1",)))
    ranked = [int(line) for line, tier in zip(found.lines, found.tier, strict=True) if tier]
    for line, path in current(index):
        if line not in ranked:
            continue
        at = int(np.flatnonzero(found.lines == line)[0])
        landing = land(read_submission(path), index)
        assert landing.mean == pytest.approx(found.score[at], abs=1e-12)
        assert landing.of == len(ranked)
        assert landing.tie is not None
        assert (landing.tie.tier, landing.tie.tied) == (found.tier[at], (found.tier == found.tier[at]).sum())
        assert (landing.tie.rank_low, landing.tie.rank_high) == (found.rank_low[at], found.rank_high[at])
        assert (landing.tie.low, landing.tie.high) == pytest.approx((found.low[at], found.high[at]), abs=1e-6)  # there in float32
    # and one that was never there
    line, path = next((line, path) for line, path in current(index) if line in ranked and "hnsw" in str(path))
    shutil.copytree(folder, tmp_path / "less")
    (tmp_path / "less" / path.relative_to(folder)).unlink()
    assert land(read_submission(path), open_index(tmp_path / "less", build=True))[:-1] == land(read_submission(path), index)[:-1]


def test_its_neighbours_are_the_next_scores_of_systems_with_gold_ranks(index: Index) -> None:
    means = {}
    for _, path in current(index):
        file = read_submission(path)
        if file.complete and file.gold_ranks:
            means[path.relative_to(index.folder).as_posix()] = sum(record.measures["R@10"].mean for record in file.pairs) / len(file.pairs)
    for path, mean in means.items():
        landing = land(read_submission(index.folder / path), index)
        above = [other for name, other in means.items() if other > mean + 1e-12 and name != path]
        below = [other for name, other in means.items() if other <= mean + 1e-12 and name != path]
        assert landing.rank == len(above) + 1
        assert (landing.above and landing.above.mean) == (pytest.approx(min(above)) if above else None)
        assert (landing.below and landing.below.mean) == (pytest.approx(max(below)) if below else None)
        assert all(beside.mean == pytest.approx(means[beside.path]) for beside in (landing.above, landing.below) if beside)


def test_its_last_step_is_that_of_its_ledger(index: Index) -> None:
    board = index.boards["sample-v1"]
    scope, told = Scope((board,), (np.ones(len(board.pairs), bool),), "R@10"), 0
    for line, path in current(index):
        landing, ledger = land(read_submission(path), index), climb(index, scope, line)
        if ledger is None or len(ledger.rungs) < 2:
            assert landing.step is None
            continue
        assert landing.step is not None
        parent, own = ledger.rungs[-2:]
        assert (landing.step.system, landing.step.text) == (str(index.lines[parent.line]), own.text)
        assert landing.step.n == int(board.shape.n[ledger.scope.masks[0]].sum())
        assert (landing.step.gain, landing.step.p) == pytest.approx((own.change.gain, own.change.p), rel=1e-6)
        assert (landing.step.low, landing.step.high) == pytest.approx((own.change.low, own.change.high), rel=1e-6)
        assert any(f"against {landing.step.system}" in words for words in landing_words(landing))
        told += 1
    assert told == 7


def test_a_claim_or_some_pairs_have_no_rank_and_say_why(index: Index) -> None:
    files = {str(index.lines[line]): read_submission(path) for line, path in current(index)}
    claim, partial = land(files["synthetic-00/model-04/published"], index), land(files["synthetic-00/model-03/native"], index)
    assert (claim.rank, claim.tie, claim.above, claim.why) == (None, None, None, "it carries no gold ranks")
    assert (partial.rank, partial.tie, partial.why) == (None, None, "a mean over some pairs does not stand among means over all")
    assert landing_words(claim) == ()


def test_another_collection_is_named_and_has_no_place(index: Index) -> None:
    file = read_submission(current(index)[0][1])
    other = land(changed(file, task__fingerprint="sha256:" + "0" * 64), index)
    assert (other.rank, other.step) == (None, None)
    assert other.why.startswith("it is of another collection (sha256:0000")


def test_the_first_of_its_task_has_nothing_beside_it(index: Index) -> None:
    file = changed(read_submission(current(index)[0][1]), task__version=9)
    for there in (index, None):
        assert land(file, there) == Landing("R@10", land(file, there).mean, 1, 1, None, None, None, "there is nothing to compare it with", None)


def test_without_a_layout_it_has_a_rank_and_no_tier(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "layouts")
    index = open_index(tmp_path / "bare", build=True)
    for _, path in current(index):
        landing = land(read_submission(path), index)
        if landing.rank:
            assert landing.tie is None
            assert landing_words(landing)[0] == "no tier: no layout says which queries are one question in several languages"
        if landing.step:
            assert (landing.step.low, landing.step.high, landing.step.p) == (None, None, None)
            json.dumps(landing, allow_nan=False)


def test_trying_a_file_writes_nothing_and_tells_every_problem(index: Index, folder: Path) -> None:
    file = read_submission(current(index)[0][1])
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    mine = changed(file, system__name="tests/mine", system__stages=[{**json.loads(to_json(file))["system"]["stages"][0], "max_tokens": 77}])
    mine = changed(mine, system__signature=signature(mine.system.stages))
    entry = enter(mine, to_json(mine).encode(), folder, index, "the file")
    assert entry.path == f"tests__mine/{file.system.variant}/sample-v1.json"
    assert entry.assessment.trust == "recomputed"
    assert entry.landing.rank is not None
    wrong = changed(mine, task__documents=1, task__fingerprint="sha256:" + "0" * 64)
    with pytest.raises(SubmissionError, match=r"(?s)the file: 2 problems.*task\.fingerprint.*task\.documents"):
        enter(wrong, b"", folder, index, "the file")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_preview_has_the_numbers_of_the_file(index: Index) -> None:
    for _, path in current(index):
        file = read_submission(path)
        table = {row[0]: row for row in measures_table(file).rows}
        for name in file.pairs[0].measures:
            assert table[name][1] == pytest.approx(sum(record.measures[name].mean for record in file.pairs) / len(file.pairs))
        cells = pairs_map(file, "R@10")
        assert sum(isinstance(cell, float) for row in cells.rows for cell in row[1:]) == len(file.pairs)
        assert "96 queries a pair" in cells.note
