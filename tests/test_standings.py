"""The index of submissions, and the standing of systems on a selection, against slow loops over the files."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from clir_bench import bias, languages
from clir_bench.errors import ClirBenchError
from clir_bench.events import append_event, sha256_of
from clir_bench.measures import parse_measure, stats, values
from clir_bench.records import Correction
from clir_bench.significance import resampled_scores, topic_sums
from clir_bench.standings import Index, Selection, build_index, open_index, standing
from clir_bench.standings.build import current, listing
from clir_bench.submission import Submission, pack_ranks, path_of, read_submission, stat_record, to_json, write_submission

ROOT = Path(__file__).parent.parent / "submissions"
REAL = len(list(ROOT.glob("*/*/*.json")))


@pytest.fixture(scope="module")
def index(generated: Path) -> Index:
    return open_index(generated, build=True)


def _files(folder: Path) -> list[Submission]:
    return [read_submission(path) for path in sorted(folder.glob("*/*/*.json"))]


@cache
def _current(folder: Path, task: str, oracle: bool = False) -> dict[str, Submission]:
    """By the rule in words: not replaced, complete before partial, then the newest."""
    found: dict[str, Submission] = {}
    files = {path: read_submission(path) for path in sorted(folder.glob(f"*/*/{task}-v*.json"))}
    replaced = {s.correction.replaces for s in files.values() if s.correction}
    for path, s in files.items():
        if s.task.name != task or (s.task.track == "oracle") != oracle or f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" in replaced:
            continue
        key = f"{s.system.name}/{s.system.variant}"
        if key not in found or (s.complete, s.provenance.started) > (found[key].complete, found[key].provenance.started):
            found[key] = s
    return found


def test_every_mean_in_the_index_is_that_of_the_file(generated: Path, index: Index) -> None:
    seen = 0
    for task in ("clirmatrix", "large_scale", "sample"):
        board, files = index.boards[f"{task}-v1"], _current(generated, task)
        assert {str(line) for line, entry in zip(index.lines, index.entry_of[board.key], strict=True) if entry >= 0} == set(files)
        for row, entry in enumerate(board.entries):
            name = f"{index.entries.at[entry, 'name']}/{index.entries.at[entry, 'variant']}"
            for record in files[name].pairs:
                at = board.pairs.index(record.pair)
                for measure, stat in record.measures.items():
                    assert board.means(measure)[row, at] == stat.mean
                    own = board.own[row, at, board.measures.index(measure)]
                    assert own == record.own_language[measure].sum if measure in record.own_language else np.isnan(own)
                    seen += 1
    assert seen > 5000


def test_every_gold_rank_in_the_index_is_that_of_the_file(generated: Path, index: Index) -> None:
    board, files = index.boards["sample-v1"], _current(generated, "sample")
    for row, entry in enumerate(board.entries):
        file = files[f"{index.entries.at[entry, 'name']}/{index.entries.at[entry, 'variant']}"]
        if board.rank_row[row] < 0:
            assert file.gold_ranks is None
            continue
        mine, ranks = board.values(int(board.rank_row[row]), "nDCG@10"), file.ranks()
        there = np.isin(board.shape.pair, [board.pairs.index(pair) for pair in ranks.pairs])
        np.testing.assert_array_equal(mine[there], values(parse_measure("nDCG@10"), ranks))
        assert np.isnan(mine[~there]).all()


def test_a_second_build_reads_nothing_and_a_third_only_what_is_new(generated: Path, tmp_path: Path) -> None:
    mine, home = tmp_path / "submissions", tmp_path / "home"
    shutil.copytree(generated, mine, ignore=shutil.ignore_patterns("clirmatrix*.json"))
    first = build_index(mine, home)
    assert (first.submissions, first.read, first.problems) == (len(_files(mine)), len(_files(mine)), ())
    second = build_index(mine, home)
    assert (second.submissions, second.read) == (first.submissions, 0)
    victim = next(mine.glob("*/*/sample-v1.json"))
    changed = read_submission(victim).model_copy(update={"notes": "seen again"})
    victim.write_text(to_json(changed))
    next(mine.glob("*/*/large_scale-v1.json")).unlink()
    third = build_index(mine, home)
    assert (third.submissions, third.read) == (first.submissions - 1, 1)
    fresh = open_index(mine, tmp_path / "other", build=True)
    grown = open_index(mine, home)
    for key, board in fresh.boards.items():
        order = [grown.entry_of[key][grown.line(str(line)) or 0] for line, entry in zip(fresh.lines, fresh.entry_of[key], strict=True) if entry >= 0]
        rows = [grown.boards[key].entries.tolist().index(entry) for entry in order]
        lines = [entry for entry in fresh.entry_of[key] if entry >= 0]
        others = [board.entries.tolist().index(entry) for entry in lines]
        np.testing.assert_array_equal(grown.boards[key].sums[rows], board.sums[others])
        for a, b in zip(grown.boards[key].rank_row[rows], board.rank_row[others], strict=True):
            assert (a < 0) == (b < 0)
            if a >= 0:
                np.testing.assert_array_equal(grown.boards[key].ranks[a], board.ranks[b])


def test_the_same_files_give_the_same_index_in_whatever_order_they_came(tmp_path: Path) -> None:
    mine = tmp_path / "submissions"
    shutil.copytree(ROOT, mine)
    late = sorted(mine.glob("*/*/*.json"))[0]  # comes last, but its name is the first
    late.rename(tmp_path / "late.json")
    build_index(mine, tmp_path / "home")
    shutil.move(tmp_path / "late.json", late)
    grown, fresh = open_index(mine, tmp_path / "home", build=True), open_index(mine, tmp_path / "other", build=True)
    assert len(fresh.lines) == len(grown.lines) > 1
    for name in ("systems", "pairs", "bias", "timings"):
        assert (grown.path / f"{name}.parquet").read_bytes() == (fresh.path / f"{name}.parquet").read_bytes(), name
    for path in fresh.path.glob("*.npy"):
        np.testing.assert_array_equal(np.load(path), np.load(grown.path / path.name))


def test_a_broken_file_is_told_and_the_others_stand(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "s")
    (tmp_path / "s" / "broken.json").write_text("{}")
    built = build_index(tmp_path / "s", tmp_path / "home")
    assert len(built.problems) == 1
    assert built.problems[0].startswith("broken.json: ")
    index = open_index(tmp_path / "s", tmp_path / "home")
    assert index.problems == built.problems
    assert len(index.lines) == REAL


def test_a_submission_of_another_collection_is_told_and_not_ranked(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "s")
    strange = read_submission(next(ROOT.glob("clir-bench__bm25/whitespace/*.json")))
    strange = strange.model_copy(
        update={
            "task": strange.task.model_copy(update={"fingerprint": "sha256:" + "1" * 64}),
            "system": strange.system.model_copy(update={"variant": "strange"}),
        }
    )
    write_submission(strange, tmp_path / "s" / path_of(strange))
    built = build_index(tmp_path / "s", tmp_path / "home")
    assert len(built.problems) == 1
    assert "it is of another collection" in built.problems[0]
    assert open_index(tmp_path / "s", tmp_path / "home").line("clir-bench/bm25/strange") is None


BM25 = "clir-bench__bm25/whitespace/sample-v1.json"


def _with(folder: Path, change: Callable[[Submission], Submission], name: str = "other") -> str:
    """A copy of the real submissions with one more, changed; the problems of its index."""
    shutil.copytree(ROOT, folder / "s")
    one = change(read_submission(ROOT / BM25))
    one = one.model_copy(update={"system": one.system.model_copy(update={"variant": name})})
    write_submission(one, folder / "s" / path_of(one))
    return "; ".join(build_index(folder / "s", folder / "home").problems)


def test_relevant_documents_grades_and_pool_are_the_collections_not_the_submitters(tmp_path: Path) -> None:
    def graded(s: Submission) -> Submission:
        ranks = s.ranks()
        return s.model_copy(update={"gold_ranks": pack_ranks(replace(ranks, grade=np.where(ranks.rank < 5, 3, 1).astype(np.int32)), None)})

    assert "their grades, are not those of the collection" in _with(tmp_path / "a", graded)
    assert "its pool has 385 documents in 8 languages, but the collection 384" in _with(
        tmp_path / "b", lambda s: s.model_copy(update={"pool": {**s.pool, "de": 49}})
    )
    nameless = _with(tmp_path / "c", lambda s: s.model_copy(update={"task": s.task.model_copy(update={"fingerprint": None})}))
    assert "it has gold ranks, but names no collection" in nameless


def test_a_crowd_of_another_collection_does_not_take_a_board_over(tmp_path: Path, generated: Path) -> None:
    mine = tmp_path / "s"
    shutil.copytree(generated, mine, ignore=shutil.ignore_patterns("sample*", "large*"))
    honest = open_index(mine, tmp_path / "home", build=True).boards["clirmatrix-v1"]
    one = next(s for s in _files(mine) if s.complete and s.gold_ranks and s.task.track == "retrieval")
    for i in range(30):
        task = one.task.model_copy(update={"fingerprint": "sha256:" + "9" * 64})
        forged = one.model_copy(update={"task": task, "system": one.system.model_copy(update={"name": f"forged/model{i}"})})
        write_submission(forged, mine / path_of(forged))
    board = open_index(mine, tmp_path / "home", build=True).boards["clirmatrix-v1"]
    assert board.shape.fingerprint == honest.shape.fingerprint
    assert len(board.entries) == len(honest.entries)


def test_a_correction_takes_the_place_of_its_own_system_only(tmp_path: Path) -> None:
    stolen = sha256_of((ROOT / "sentence-transformers__all-MiniLM-L6-v2/native/sample-v1.json").read_bytes())
    told = _with(tmp_path, lambda s: s.model_copy(update={"correction": Correction(replaces=stolen, reason="bugfix", note=None)}))
    assert told == ""
    assert open_index(tmp_path / "s", tmp_path / "home").line("sentence-transformers/all-MiniLM-L6-v2/native") is not None


def test_a_log_that_was_broken_forgives_nobody(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "s", ignore=shutil.ignore_patterns("events.jsonl"))
    log, sha256 = tmp_path / "s" / "events.jsonl", sha256_of((ROOT / BM25).read_bytes())
    append_event(log, "withdrawn", BM25, sha256, trust=None, by="a maintainer", note="wrong tokeniser")
    log.write_bytes(log.read_bytes() + b'{"date": "2026-')
    built = build_index(tmp_path / "s", tmp_path / "home")
    assert "events.jsonl: line 2" in built.problems[0]
    assert open_index(tmp_path / "s", tmp_path / "home").line("clir-bench/bm25/whitespace") is None


def test_a_damaged_layout_is_told_and_the_board_stands_without_topics(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "s")
    next((tmp_path / "s" / "layouts").glob("sample*")).write_bytes(b"no parquet")
    built = build_index(tmp_path / "s", tmp_path / "home")
    assert "no layout that can be read" in built.problems[0]
    found = standing(open_index(tmp_path / "s", tmp_path / "home"), Selection())
    assert len(found.lines) == REAL
    assert "no layout says" in found.why


def test_an_index_that_is_open_is_read_on_after_the_next_build(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "s")
    old = open_index(tmp_path / "s", tmp_path / "home", build=True)
    (tmp_path / "s" / BM25).unlink()
    build_index(tmp_path / "s", tmp_path / "home")
    assert len(old.bias) > 0
    assert len(old.texts("signature")) == REAL


def test_a_link_that_leads_nowhere_stops_no_build(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "s")
    (tmp_path / "s" / "gone.json").symlink_to(tmp_path / "nowhere.json")
    assert build_index(tmp_path / "s", tmp_path / "home").submissions == REAL
    assert len(open_index(tmp_path / "s", tmp_path / "home", build=True).lines) == REAL


def test_an_index_that_is_not_there_is_an_error_that_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ClirBenchError, match=r"has no index yet. Build it: clir-bench leaderboard build"):
        open_index(ROOT, tmp_path)
    with pytest.raises(ClirBenchError, match=r"no such folder of submissions"):
        build_index(tmp_path / "nowhere", tmp_path)


def test_the_listing_changes_with_any_file(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "s")
    before = listing(tmp_path / "s")
    (tmp_path / "s" / "events.jsonl").open("a").write("\n")
    assert listing(tmp_path / "s") != before


def test_a_killed_build_leaves_the_index_that_was_there(tmp_path: Path) -> None:
    mine, home = tmp_path / "s", tmp_path / "home"
    shutil.copytree(ROOT, mine)
    built = build_index(mine, home)
    next(mine.glob("clir-bench__bm25/*/*.json")).unlink()
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom clir_bench.standings import build\n"
        "build.replacing = lambda path: os._exit(9)\nbuild.build_index(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(mine), str(home)], check=False).returncode == 9
    found = current(home)
    assert found is not None
    assert found[0] == built.path
    assert len(open_index(mine, home).lines) == REAL
    assert len(open_index(mine, home, build=True).lines) == REAL - 1
    assert len([path for path in home.iterdir() if path.is_dir()]) == 2  # the one before may be open; what the killed one left is gone


def test_withdrawn_and_replaced_submissions_do_not_stand(tmp_path: Path, generated: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "s", ignore=shutil.ignore_patterns("events.jsonl"))
    path = "clir-bench__bm25/whitespace/sample-v1.json"
    index = open_index(tmp_path / "s", tmp_path / "home", build=True)
    sha256 = str(index.entries.set_index("path").at[path, "sha256"])
    append_event(tmp_path / "s" / "events.jsonl", "withdrawn", path, sha256, trust=None, by="a maintainer", note="wrong tokeniser")
    index = open_index(tmp_path / "s", tmp_path / "home", build=True)
    assert index.line("clir-bench/bm25/whitespace") is None
    assert bool(index.entries.set_index("path").at[path, "withdrawn"])
    corrections = [s for s in _files(generated) if s.correction]
    assert corrections  # the generated set has one, and test_every_mean sees that it stands in the other's place


@pytest.mark.parametrize(("measure", "same", "script"), product(("R@10", "nDCG@100"), ("with", "without"), ("any", "cross")))
def test_scores_are_macro_means_over_pairs_then_data_sets(generated: Path, index: Index, measure: str, same: str, script: str) -> None:
    found = standing(index, Selection(boards=("clirmatrix-v1", "sample-v1"), measure=measure, same=same, script=script))  # type: ignore[arg-type]
    assert len(found.lines) > 10
    for i, line in enumerate(found.lines):
        name, scores, worst, cells, losses = str(index.lines[line]), [], [], 0, []
        for task, pairs in (("clirmatrix", 56), ("sample", 64)):
            file = _current(generated, task).get(name)
            taken = [p for p in file.pairs if _takes(p.query, p.document, same, script)] if file else []
            wanted = sum(_takes(p.query, p.document, same, script) for p in index.boards[f"{task}-v1"].pairs)
            assert wanted <= pairs
            taken = [p for p in taken if measure in p.measures]  # a claim has some only
            means = [p.measures[measure].mean for p in taken]
            scores.append(sum(means) / wanted if len(means) == wanted else np.nan)
            worst += means
            cells += len(means)
            cross = [p for p in taken if p.query != p.document]
            lost = [p.bias_loss(measure) for p in cross]
            losses.append(np.mean([x for x in lost if x is not None]) if lost and None not in lost and len(means) == wanted else np.nan)
        np.testing.assert_allclose(found.board_scores[i], scores, rtol=1e-12)
        np.testing.assert_allclose(found.score[i], np.mean(scores), rtol=1e-12)
        assert found.worst[i] == min(worst) if worst else np.isnan(found.worst[i])
        assert found.cells[i] == cells
        np.testing.assert_allclose(found.loss[i], np.mean(losses), rtol=1e-9)
        assert (found.tier[i] > 0) == (bool(np.isfinite(scores).all()) and all(_current(generated, t)[name].gold_ranks for t in ("clirmatrix", "sample")))
    assert found.score[: found.ranked].tolist() == sorted(found.score[: found.ranked], reverse=True)


def _takes(query: str, document: str, same: str, script: str) -> bool:
    return (same == "with" or query != document) and (script == "any" or languages.script(query) != languages.script(document))


def test_the_interval_is_that_of_resampled_topics(index: Index) -> None:
    found = standing(index, Selection(boards=("sample-v1",)))
    board = index.boards["sample-v1"]
    entry = int(found.entries[0, 0])
    row = int(board.rank_row[board.entries.tolist().index(entry)])
    assert board.shape.topic is not None
    sums = topic_sums([board.values(row, "R@10")], board.shape.pair, board.shape.topic)
    low, high = np.quantile(resampled_scores(sums.scores, sums.centred, 1000), [0.025, 0.975], axis=0)
    assert (found.low[0], found.high[0]) == pytest.approx((low[0], high[0]), abs=1e-6)
    assert found.topics == 96
    assert found.low[0] < found.score[0] < found.high[0]


def test_the_same_language_lift_is_the_mean_over_query_languages(generated: Path, index: Index) -> None:
    found, files = standing(index, Selection(boards=("sample-v1",))), _current(generated, "sample")
    for i, line in enumerate(found.lines):
        file = files[str(index.lines[line])]
        lifts = [bias.lift(b.retrieved, file.pool)[b.query] for b in file.bias if (b.depth, b.gold) == (10, "other") and bias.lift(b.retrieved, file.pool)]
        assert found.lift[i] == pytest.approx(np.mean(lifts)) if lifts else np.isnan(found.lift[i])


def test_filters_of_systems_keep_whom_they_say_and_unknown_passes_none(index: Index) -> None:
    everyone = standing(index, Selection(boards=("clirmatrix-v1",)))
    for selection, column, test in (
        (Selection(boards=("clirmatrix-v1",), gigabytes=1.0), "weights_bytes", lambda x: x is not None and x <= 1e9),
        (Selection(boards=("clirmatrix-v1",), licence="open"), "licence_class", lambda x: x == "open"),
        (Selection(boards=("clirmatrix-v1",), seen="clean"), "contamination", lambda x: x == "clean"),
        (Selection(boards=("clirmatrix-v1",), trust="recomputed"), "trust", lambda x: x in ("recomputed", "reproduced")),
        (Selection(boards=("clirmatrix-v1",), track="rerank"), "track", lambda x: x == "rerank"),
    ):
        column_of = index.entries[column]
        wanted = {
            int(line) for line, entry in zip(everyone.lines, everyone.entries[:, 0], strict=True) if test(None if column_of.isna()[entry] else column_of[entry])
        }
        assert set(standing(index, selection).lines.tolist()) == wanted
        assert 0 < len(wanted) < len(everyone.lines)


def test_a_system_passes_only_with_all_that_it_has_on_the_chosen_boards(index: Index) -> None:
    asked = Selection(boards=("clirmatrix-v1", "sample-v1"), seen="clean")
    kept, states = standing(index, asked), index.entries["contamination"]
    assert 0 < len(kept.lines) < len(standing(index, asked.model_copy(update={"seen": "any"})).lines)
    assert all(states[entry] == "clean" for row in kept.entries for entry in row if entry >= 0)
    mixed = [line for line in range(len(index.lines)) if len({states[e[line]] for e in index.entry_of.values() if e[line] >= 0}) > 1]
    assert mixed  # there are such systems among the generated ones
    assert not set(mixed) & set(kept.lines.tolist()) or all(
        states[index.entry_of[board.key][line]] == "clean"
        for line in mixed
        if line in kept.lines
        for board in kept.boards
        if index.entry_of[board.key][line] >= 0
    )


def test_one_pair_has_the_interval_of_its_queries_and_no_topics(index: Index) -> None:
    found = standing(index, Selection(boards=("sample-v1",), queries=("en",), documents=("en",), measure="R@100"))
    for score, low, high in zip(found.score[: found.ranked], found.low, found.high, strict=False):
        wanted = binomtest(round(score * 96), 96).proportion_ci(method="wilson")
        assert (low, high) == pytest.approx((wanted.low, wanted.high))
        assert high - low > 0.01


def test_topics_that_all_score_alike_leave_doubt(tmp_path: Path) -> None:
    def perfect(s: Submission) -> Submission:
        ranks = s.ranks()
        full = ranks.with_rank(np.ones_like(ranks.rank))
        pairs = tuple(
            p.model_copy(update={"measures": {m: stat_record(stats(parse_measure(m), full)[i]) for m in p.measures}, "own_language": {}})
            for i, p in enumerate(s.pairs)
        )
        return s.model_copy(update={"gold_ranks": pack_ranks(full, None), "pairs": pairs, "bias": ()})

    assert _with(tmp_path, perfect) == ""
    found = standing(open_index(tmp_path / "s", tmp_path / "home"), Selection())
    assert found.score[0] == 1
    assert found.low[0] == pytest.approx(binomtest(96, 96).proportion_ci(method="wilson").low)


def test_lift_is_of_the_chosen_query_languages(generated: Path, index: Index) -> None:
    found, files = standing(index, Selection(boards=("sample-v1",), queries=("ja",))), _current(generated, "sample")
    for i, line in enumerate(found.lines):
        file = files[str(index.lines[line])]
        wanted = [bias.lift(b.retrieved, file.pool)["ja"] for b in file.bias if (b.depth, b.gold, b.query) == (10, "other", "ja") and sum(b.retrieved.values())]
        assert found.lift[i] == pytest.approx(wanted[0]) if wanted else np.isnan(found.lift[i])


def test_lift_over_data_sets_is_not_known_unless_every_one_of_them_has_it(generated: Path, index: Index) -> None:
    tasks = ("clirmatrix", "sample")
    found, files = standing(index, Selection(boards=tuple(f"{task}-v1" for task in tasks))), [_current(generated, task) for task in tasks]
    assert [board.key for board in found.boards] == [f"{task}-v1" for task in tasks]
    for i, line in enumerate(found.lines):
        means = []
        for board, mine in zip(found.boards, files, strict=True):
            file = mine.get(str(index.lines[line]))
            lifts = {b.query: bias.lift(b.retrieved, file.pool)[b.query] for b in file.bias if (b.depth, b.gold) == (10, "other")} if file else {}
            means.append(np.mean([lifts.get(code, np.nan) for code in board.query_languages]))
        assert found.lift[i] == pytest.approx(np.mean(means), nan_ok=True), index.lines[line]


def test_a_data_set_or_a_query_language_without_a_profile_makes_the_lift_unknown(index: Index) -> None:
    both = standing(index, Selection(boards=("clirmatrix-v1", "sample-v1")))
    line = int(both.lines[np.isfinite(both.lift).argmax()])
    of = index.bias["entry"] == int(index.entry_of["sample-v1"][line])
    for gone, boards, queries, known in (
        (of, ("clirmatrix-v1", "sample-v1"), (), False), (of, ("clirmatrix-v1",), (), True),
        (of & (index.bias["query"] == "ja"), ("sample-v1",), (), False), (of & (index.bias["query"] == "ja"), ("sample-v1",), ("ar", "en"), True),
    ):  # fmt: skip
        less = replace(index, cache={})
        vars(less)["bias"] = index.bias[~gone]
        found = standing(less, Selection(boards=boards, queries=queries))
        assert np.isfinite(found.lift[found.lines == line]).all() == known


def test_some_pairs_of_one_system_do_not_empty_the_usual_board(tmp_path: Path, generated: Path) -> None:
    mine = tmp_path / "s"
    shutil.copytree(ROOT, mine)
    for path in generated.glob("*/*/clirmatrix-v1.partial*.json"):
        (mine / path.relative_to(generated)).parent.mkdir(parents=True)
        shutil.copy(path, mine / path.relative_to(generated))
    index = open_index(mine, tmp_path / "home", build=True)
    assert "clirmatrix-v1" in index.boards
    assert [board.key for board in Selection().chosen(index)] == ["sample-v1"]
    assert standing(index, Selection()).ranked == REAL


def test_what_filters_leave_has_tiers_of_its_own(index: Index) -> None:
    few = standing(index, Selection(boards=("sample-v1",), licence="open"))
    assert few.tier[0] == 1
    assert few.rank_low[0] == 1
    assert few.rank_high.max() <= few.ranked


def test_an_empty_selection_says_which_filter_to_relax(index: Index) -> None:
    asked = Selection(queries=("ar",), documents=("sw",), licence="open")
    found = standing(index, asked)
    assert found.cells_of == 0
    words = [words for words, _ in asked.relaxations(index)]
    assert "all document languages" in words
    for _, loose in asked.relaxations(index):
        assert standing(index, loose).cells_of > 0


def test_a_selection_survives_an_address() -> None:
    chosen = Selection(
        boards=("sample-v1",), queries=("ar", "de"), script="cross", measure="nDCG@10", gigabytes=0.5, seen="clean", trust="recomputed", track="rerank"
    )
    assert Selection.of(chosen.parameters()) == chosen
    assert Selection().parameters() == {}
    with pytest.raises(ClirBenchError, match=r"3 problems\n  measure: unknown measure 'Q@1'(.|\n)*track: (.|\n)*gigabytes: "):
        Selection.of({"measure": "Q@1", "gigabytes": "-1", "track": "fast"})


def test_the_oracle_track_is_a_board_of_its_own(index: Index) -> None:
    found = standing(index, Selection(track="oracle", boards=("sample-v1",)))
    assert [board.key for board in found.boards] == ["sample-v1.oracle"]
    assert all(index.entries.at[entry, "track"] == "oracle" for entry in found.entries[:, 0])
    other = standing(index, Selection(boards=("sample-v1",)))
    assert not any(index.entries.at[entry, "track"] == "oracle" for entry in other.entries[:, 0])


def test_standings_load_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom clir_bench.standings import open_index, standing, Selection\n"
        "standing(open_index(Path(sys.argv[1]), Path(sys.argv[2]), build=True), Selection())\n"
        "print([name for name in ('torch', 'transformers', 'mteb', 'sentence_transformers', 'streamlit') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code, str(ROOT), str(tmp_path)], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_index_and_current_json_name_each_other(tmp_path: Path) -> None:
    built = build_index(ROOT, tmp_path)
    about = json.loads((tmp_path / "current.json").read_text())
    assert tmp_path / about["index"] == built.path
    assert asdict(built)["read"] == REAL
