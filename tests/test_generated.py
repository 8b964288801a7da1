"""The generated submissions that budgets are measured on: benchmarks/_submissions.py."""

from __future__ import annotations

import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
from _scores import Board, draw_traits, find, make_board, ranked
from _submissions import generate, plan_systems

from clir_bench.checking import check_files
from clir_bench.layout import Layout, find_layout, fits
from clir_bench.measures import NOT_FOUND
from clir_bench.submission import Submission, path_of, read_submission

SYSTEMS = {"sample": 30, "clirmatrix": 15, "mmarco": 1, "large_scale": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("generated")
    for task, systems in SYSTEMS.items():
        generate(made, systems, (task,))
    return made


@pytest.fixture(scope="module")
def submissions(folder: Path) -> dict[Path, Submission]:
    return {path: read_submission(path) for path in sorted(folder.rglob("*.json"))}


@pytest.fixture(scope="module")
def clirmatrix() -> Board:
    return make_board("clirmatrix", 0)


def test_every_generated_submission_holds_and_stands_in_its_place(folder: Path, submissions: dict[Path, Submission]) -> None:
    assert Counter(s.task.name for s in submissions.values()) == {task: systems + 1 for task, systems in SYSTEMS.items()}
    assert {str(path): problems for path, problems in check_files(list(submissions)) if problems} == {}
    assert [path for path, s in submissions.items() if path != folder / path_of(s)] == []
    assert max(path.stat().st_size for path in submissions) < 1_000_000
    assert all("synthetic" in (s.notes or "") and s.system.name.startswith("synthetic-") for s in submissions.values())


def test_same_seed_same_bytes_however_many_are_made(tmp_path: Path, folder: Path) -> None:
    for path in generate(tmp_path, 4, ("sample",)):
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes()
    other = generate(tmp_path / "other", 1, ("sample",), seed=1)[0]
    assert read_submission(other).gold_ranks != read_submission(tmp_path / other.relative_to(tmp_path / "other")).gold_ranks


def test_every_kind_of_system_is_on_the_board(submissions: dict[Path, Submission]) -> None:
    board = [s for s in submissions.values() if s.task.name == "sample"]
    kinds = Counter(stage.kind for s in board for stage in s.system.stages)
    assert set(kinds) == {"translate", "encode", "search", "lexical", "fuse", "rerank", "external"}
    assert Counter(s.task.track for s in board) == {"retrieval": 25, "rerank": 2, "oracle": 4}
    assert {stage.index for s in board for stage in s.system.stages if stage.kind == "search"} == {"exact", "hnsw"}
    encoders = [stage.model for s in board for stage in s.system.stages if stage.kind == "encode"]
    assert {"synthetic-00/model-00", "synthetic-01/model-00"} == {model.adapted_from for model in encoders} - {None}
    assert any(model.parameters is None for model in encoders) and any(model.parameters for model in encoders)
    assert Counter(s.complete for s in board) == {True: 29, False: 2}
    assert Counter(s.gold_ranks is None for s in board) == {True: 2, False: 29}
    assert Counter(s.task.fingerprint is None for s in board) == {True: 1, False: 30}


def test_the_correction_replaces_the_worse_run_of_the_first_system(submissions: dict[Path, Submission]) -> None:
    for task in SYSTEMS:
        (corrected,) = [s for s in submissions.values() if s.task.name == task and s.correction]
        files = {f"sha256:{sha256(path.read_bytes()).hexdigest()}": s for path, s in submissions.items()}
        assert corrected.correction is not None
        wrong = files[corrected.correction.replaces]
        assert wrong.system == corrected.system
        assert np.minimum(wrong.ranks().rank, 255).mean() > np.minimum(corrected.ranks().rank, 255).mean()


def test_layouts_fit_what_was_submitted(folder: Path, submissions: dict[Path, Submission]) -> None:
    shapes: dict[str, tuple[object, ...]] = {}
    layouts: dict[str, Layout] = {}
    for submission in submissions.values():
        task = submission.task
        if task.fingerprint is None:
            continue
        layout = layouts.get(task.name) or find_layout(task.name, task.version, task.fingerprint, [folder])
        assert layout is not None
        layouts[task.name] = layout
        assert fits(layout, ((p.pair, p.measures["R@10"].n) for p in submission.pairs)) == []
        if task.name in shapes or not submission.complete:
            continue
        assert submission.pool in ({}, layout.pool) and sum(layout.pool.values()) == task.documents
        topics = np.bincount(layout.topic)
        documents = len({(topic, layout.pairs[p].document) for topic, p in zip(layout.topic.tolist(), layout.pair.tolist(), strict=True)})
        shapes[task.name] = (len(layout.pairs), len(layout.topic), len(topics), set(topics.tolist()), documents, bool((layout.golds == 1).all()))
    assert shapes == {
        "sample": (64, 6144, 96, {64}, 96 * 8, True),
        "clirmatrix": (56, 56_000, 1000, {56}, 8000, True),
        "mmarco": (196, 104_062, 7433, {14}, 7433, True),
        "large_scale": (25, 25_000, 25_000, {1}, 25_000, True),
    }


def test_ranks_are_those_of_one_ranking(folder: Path, submissions: dict[Path, Submission], clirmatrix: Board) -> None:
    own_seen = 0
    for submission in submissions.values():
        if submission.task.name != "clirmatrix" or submission.gold_ranks is None or not submission.complete:
            continue
        full = submission.ranks().rank
        if submission.gold_ranks.own_language:
            own_seen += 1
            assert (submission.ranks("own_language").rank <= full).all()
        if submission.task.track != "oracle":  # there each pair has lists of its own
            assert set(full[full > 100]) <= {NOT_FOUND}
            found = full <= 100
            lists = np.stack([clirmatrix.ranks.query[found], full[found]])
            assert np.unique(lists, axis=1).shape == lists.shape, "two relevant documents of a query at one rank"
    assert own_seen >= 5


def test_re_ranking_finds_what_its_first_stage_found(submissions: dict[Path, Submission]) -> None:
    named = {(s.task.name, s.system.name, s.system.variant.partition("-rerank")[0], s.task.track): s for s in submissions.values() if not s.correction}
    named |= {(s.task.name, s.system.name, s.system.variant, s.task.track): s for s in submissions.values() if s.correction}
    pairs = [
        (s, named[task, model, variant, "retrieval"], named[task, model, variant, "oracle"])
        for (task, model, variant, track), s in named.items()
        if track == "rerank"
    ]
    assert len(pairs) == 2 + 1
    for reranked, first, oracle in pairs:
        deep, before = reranked.ranks().rank, first.ranks().rank
        assert ((deep <= 100) == (before <= 100)).all() and (deep != before).any()
        assert (oracle.ranks().rank <= 100).all() and "R@100" not in oracle.pairs[0].measures
        assert sum(p.injected or 0 for p in oracle.pairs) == (before > 100).sum()


def test_profiles_are_full_and_hold_the_relevant_documents(submissions: dict[Path, Submission]) -> None:
    seen = 0
    for submission in submissions.values():
        hits = {(p.query, p.document, k): p.measures[f"R@{k}"].sum for p in submission.pairs for k in (1, 10, 100) if submission.bias}
        for profile in submission.bias:
            seen += 1
            assert sum(profile.retrieved.values()) == profile.queries * profile.depth
            assert all(count <= profile.queries * min(profile.depth, submission.pool[code]) for code, count in profile.retrieved.items())
            if profile.gold == "any":
                assert all(count >= hits.get((profile.query, code, profile.depth), 0) for code, count in profile.retrieved.items())
    assert seen > 1000


def test_a_topic_explains_half_of_the_variance_of_ranks(clirmatrix: Board) -> None:
    full, own = ranked(clirmatrix, find(clirmatrix, "model", draw_traits(0, "model", 278)))
    for rank in (full, own):
        value = np.log(np.minimum(rank, 255))
        assert 0.4 < _intraclass(clirmatrix, value) < 0.6
        assert abs(_intraclass(clirmatrix, np.random.default_rng(0).permutation(value))) < 0.02


def test_models_of_equal_traits_differ_by_chance_alone(clirmatrix: Board) -> None:
    plans = {plan.model: plan.like for plan in plan_systems(15)}
    twins = [model for model, like in plans.items() if like == "synthetic-00/model-00" and "tuned" not in model]
    assert len(twins) == 2
    traits = draw_traits(0, "synthetic-00/model-00", 278)
    better = traits._replace(skill=traits.skill + 0.3)
    hits = [ranked(clirmatrix, find(clirmatrix, name, t))[0] <= 10 for name, t in (("a", traits), ("b", traits), ("c", traits), ("d", better))]
    assert max(abs(_z(clirmatrix, hits[i], hits[j])) for i, j in ((0, 1), (0, 2), (1, 2))) < 3
    assert _z(clirmatrix, hits[3], hits[0]) > 5
    assert 0.2 < np.corrcoef(hits[0], hits[1])[0, 1] < 0.8  # what is hard for one is hard for the other


def _z(board: Board, a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    """The difference in its standard errors, whole topics drawn."""
    difference = np.bincount(board.topic, a.astype(float) - b)
    return float(difference.sum() / np.sqrt(len(difference) * difference.var()))


def _intraclass(board: Board, value: npt.NDArray[np.float64]) -> float:
    """ICC(1) of equally large topics, each pair's mean taken off."""
    pair = board.ranks.pair
    table = (value - (np.bincount(pair, value) / np.bincount(pair))[pair])[np.argsort(board.topic, kind="stable")].reshape(len(np.unique(board.topic)), -1)
    between, within = table.shape[1] * table.mean(1).var(ddof=1), table.var(axis=1, ddof=1).mean()
    return float((between - within) / (between + (table.shape[1] - 1) * within))
