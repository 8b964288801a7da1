"""The ledger of a system and the tables of its steps, against slow loops over the submission files."""

from __future__ import annotations

import json
import math
import shlex
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from _submissions import generate
from scipy.stats import norm

from clir_bench.assemble import Runtime
from clir_bench.cli import _parser
from clir_bench.cli_evaluate import _system
from clir_bench.exhibits.cells import all_printed, first_measure, printed, publications, table_facts
from clir_bench.exhibits.ledger import Climb, Rung, Scope, climb, ledger_table, line_parents, waterfall
from clir_bench.exhibits.steps import COMMANDS, KINDS, WORDS, oracle_table, pairings, step_table, summary_table, translation_table
from clir_bench.exhibits.tables import Interval, Link
from clir_bench.layout import read_layout
from clir_bench.standings import Index, Selection, open_index
from clir_bench.standings.costs import once_seconds
from clir_bench.submission import Submission, read_submission
from clir_bench.task import load_task

ROOT = Path(__file__).parent.parent / "submissions"
MEASURE = "R@10"


@pytest.fixture(scope="module")
def scope(index: Index) -> Scope:
    return whole(index)


def whole(index: Index) -> Scope:
    board = index.boards["sample-v1"]
    return Scope((board,), (np.ones(len(board.pairs), bool),), MEASURE)


def submission(index: Index, line: int, board: str = "sample-v1") -> Submission:
    return read_submission(index.folder / str(index.entries.at[int(index.entry_of[board][line]), "path"]))


def climbs(index: Index, scope: Scope) -> Iterator[tuple[int, Climb]]:
    for line in range(len(index.lines)):
        found = climb(index, scope, line)
        if found and len(found.rungs) > 1:
            yield line, found


def slow_hits(found: Submission) -> dict[str, list[float]]:
    """R@10 of every query of every pair, from the gold ranks one by one."""
    ranks, at, hits = found.ranks().rank.tolist(), 0, {}
    for record in found.pairs:
        n = record.measures[MEASURE].n
        hits[str(record.pair)] = [float(rank <= 10) for rank in ranks[at : at + n]]
        at += n
    return hits


def slow_macro(hits: dict[str, list[float]], pairs: list[str]) -> float:
    return sum(sum(hits[pair]) / len(hits[pair]) for pair in pairs) / len(pairs)


def steps(found: Climb) -> list[tuple[Rung, Rung]]:
    return list(zip(found.rungs, found.rungs[1:], strict=False))


def test_every_gain_is_the_difference_of_macro_means_over_the_pairs_that_all_steps_have(index: Index, scope: Scope) -> None:
    seen = set()
    for line, found in climbs(index, scope):
        files = [slow_hits(submission(index, rung.line)) for rung in found.rungs]
        shared = sorted(set.intersection(*(set(file) for file in files)))
        assert sorted(str(found.scope.boards[0].pairs[i]) for i in np.flatnonzero(found.scope.masks[0])) == shared
        scores = [slow_macro(file, shared) for file in files]
        assert [rung.change.score for rung in found.rungs] == pytest.approx(scores, abs=1e-12)
        assert [b.change.gain for _, b in steps(found)] == pytest.approx(np.diff(scores), abs=1e-12)
        assert f"n = {sum(len(files[0][pair]) for pair in shared):,} queries" in found.over
        assert found.rungs[-1].line == line
        assert np.isnan(found.rungs[0].change.gain)
        seen.add(len(shared))
    assert seen == {32, 64}  # a system with half of the pairs is among the parents


def test_intervals_and_p_treat_a_topic_as_one(index: Index, scope: Scope) -> None:
    layout = read_layout(next((index.folder / "layouts").glob("sample-*.parquet")))
    topic_of: dict[str, list[int]] = defaultdict(list)
    for pair, topic in zip(layout.pair.tolist(), layout.topic.tolist(), strict=True):
        topic_of[str(layout.pairs[pair])].append(topic)
    for _, found in climbs(index, scope):
        pairs = [str(found.scope.boards[0].pairs[i]) for i in np.flatnonzero(found.scope.masks[0])]
        for before, after in steps(found):
            a, b = (slow_hits(submission(index, rung.line)) for rung in (before, after))
            sums: dict[int, float] = defaultdict(float)
            centred: dict[int, float] = defaultdict(float)
            for pair in pairs:
                mean = sum(y - x for x, y in zip(a[pair], b[pair], strict=True)) / len(a[pair])
                for x, y, topic in zip(a[pair], b[pair], topic_of[pair], strict=True):
                    sums[topic] += (y - x) / len(a[pair]) / len(pairs)
                    centred[topic] += (y - x - mean) / len(a[pair]) / len(pairs)
            unit = 1 / sum(len(a[pair]) for pair in pairs)
            z = max(0.0, abs(sum(sums.values())) - unit) / math.sqrt(sum(value**2 for value in sums.values()))
            assert after.change.p == pytest.approx(2 * norm.sf(z), rel=1e-6)
            half = norm.ppf(0.975) * math.sqrt(sum(value**2 for value in centred.values()))
            assert after.change.low == pytest.approx(after.change.gain - half, abs=0.15 * half)
            assert after.change.high == pytest.approx(after.change.gain + half, abs=0.15 * half)


def test_costs_are_those_of_the_files(index: Index, scope: Scope) -> None:
    for _, found in climbs(index, scope):
        for rung in found.rungs:
            file = submission(index, rung.line)
            loaded = {m.name: m.weights_bytes for m in (getattr(stage, "model", None) for stage in file.system.stages if stage.kind != "translate") if m}
            assert rung.cost.gigabytes == (None if None in loaded.values() else pytest.approx(sum(loaded.values()) / 1e9))
            spent = sum(t.seconds for t in file.timings if t.stage in ("translate_documents", "encode_documents", "build_index"))
            assert rung.cost.once == pytest.approx(spent)
            assert rung.cost.hardware == "synthetic, 16 cores"
    claimed = [entry for entry in range(len(index.entries)) if index.entries.at[entry, "variant"] == "published"]
    assert np.isnan(once_seconds(index)[claimed]).all()


def test_a_ledger_of_several_data_sets_is_over_those_that_all_steps_share(tmp_path: Path) -> None:
    generate(tmp_path, 4, ("sample", "clirmatrix"))
    (tmp_path / "synthetic-00__model-00/native-hnsw/clirmatrix-v1.json").unlink()
    index = open_index(tmp_path, build=True)
    boards = tuple(index.boards[key] for key in ("clirmatrix-v1", "sample-v1"))
    scope = Scope(boards, tuple(np.ones(len(board.pairs), bool) for board in boards), MEASURE)
    of = {str(index.lines[line]).rpartition("/")[2]: found for line, found in climbs(index, scope)}
    assert [board.key for board in of["native-hnsw"].scope.boards] == ["sample-v1"]
    found = of["native-english_nllb"]
    assert [board.key for board in found.scope.boards] == ["clirmatrix-v1", "sample-v1"]
    means = []
    for rung in found.rungs:
        files = [slow_hits(submission(index, rung.line, key)) for key in ("clirmatrix-v1", "sample-v1")]
        means.append(sum(slow_macro(hits, sorted(hits)) for hits in files) / 2)
    assert [rung.change.score for rung in found.rungs] == pytest.approx(means, abs=1e-12)


def test_without_a_layout_gains_are_told_and_nothing_is_tested(index: Index, tmp_path: Path) -> None:
    shutil.copytree(index.folder, tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "layouts")
    index = open_index(tmp_path / "bare", build=True)
    _, found = next(climbs(index, whole(index)))
    assert "topics" not in found.over
    assert np.isfinite(found.rungs[1].change.gain)
    assert np.isnan([found.rungs[1].change.low, found.rungs[1].change.high, found.rungs[1].change.p]).all()
    assert json.dumps(waterfall(index, found), allow_nan=False)


def test_the_waterfall_and_the_table_tell_the_same_ledger(index: Index, scope: Scope) -> None:
    for _, found in climbs(index, scope):
        spec = json.loads(json.dumps(waterfall(index, found), allow_nan=False))
        values = spec["data"]["values"]
        table = ledger_table(index, found)
        assert [value["after"] for value in values] == [round(100 * row[2], 3) for row in table.rows]
        for before, after, row in zip(values, values[1:], table.rows[1:], strict=False):
            assert after["before"] == pytest.approx(before["after"], abs=1e-3)
            assert isinstance(row[3], Interval)
            assert (after["kind"] == "loss") == (row[3].value < 0)
            assert after["step"].endswith(row[0])


def test_a_step_differs_in_what_it_is_called(index: Index, scope: Scope) -> None:
    found = pairings(index, scope, range(len(index.lines)))
    assert {pairing.kind for pairing in found} == {"rerank", "fuse", "index", "documents", "fine_tuning", "dtype"}
    kinds = {"rerank": "rerank", "fuse": "fuse", "documents": "translate"}
    for pairing in found:
        before, after = (submission(index, line) for line in (pairing.before, pairing.after))
        stages = [[stage.kind for stage in file.system.stages] for file in (before, after)]
        assert (stages[0] == stages[1]) == (pairing.kind not in kinds)
        assert kinds.get(pairing.kind) not in stages[0]
    assert set(WORDS) == set(KINDS)


def test_the_summary_and_the_rows_of_steps_are_those_of_slow_loops(index: Index, scope: Scope) -> None:
    found = pairings(index, scope, range(len(index.lines)))
    summary = {row[0]: row for row in summary_table(MEASURE, found).rows}
    for kind in {pairing.kind for pairing in found}:
        mine = [pairing for pairing in found if pairing.kind == kind]
        gains = []
        for row, pairing in zip(step_table(index, MEASURE, mine).rows, mine, strict=True):
            a, b = (slow_hits(submission(index, line)) for line in (pairing.before, pairing.after))
            both = sorted(set(a) & set(b))
            before, after = slow_macro(a, both), slow_macro(b, both)
            assert row[:4] == (Link(str(index.lines[pairing.after]), row[0].address), "sample", len(both), sum(len(a[pair]) for pair in both))
            assert row[4:6] == pytest.approx((before, after), abs=1e-12)
            assert row[6].value == pytest.approx(after - before, abs=1e-12)
            assert row[-1] == pairing.text
            gains.append(after - before)
        assert summary[WORDS[kind]][2] == len(mine)
        assert summary[WORDS[kind]][3:6] == pytest.approx((float(np.median(gains)), min(gains), max(gains)), abs=1e-12)
        assert summary[WORDS[kind]][6:8] == (sum(gain > 1e-12 for gain in gains), sum(gain < -1e-12 for gain in gains))


def test_a_group_of_rows_is_tested_as_each_alone(index: Index, scope: Scope) -> None:
    found = [pairing for pairing in pairings(index, scope, range(len(index.lines))) if pairing.kind == "index"]
    assert len({pairing.mask.tobytes() for pairing in found}) == 2
    together = step_table(index, MEASURE, found).rows
    for pairing, row in zip(found, together, strict=True):
        alone = step_table(index, MEASURE, [pairing]).rows[0]
        assert alone[:4] == row[:4]
        assert (*alone[4:6], *alone[6], alone[7]) == pytest.approx((*row[4:6], *row[6], row[7]), rel=1e-6)


def test_systems_that_pass_no_filter_take_no_step(index: Index, scope: Scope) -> None:
    assert pairings(index, scope, []) == ()
    assert {pairing.after for pairing in pairings(index, scope, [2])} <= {2}


def test_the_oracle_track_stands_apart_and_subtracts_nothing(index: Index) -> None:
    table = oracle_table(index, Selection())
    assert table is not None
    assert [column.key for column in table.columns] == ["system", "data_set", "pairs", "n", "injected", "before", "after"]
    for row in table.rows:
        line = index.line(row[0].text)
        assert line is not None
        file = submission(index, line, "sample-v1.oracle")
        assert row[4] == pytest.approx(sum(record.injected or 0 for record in file.pairs) / 6144)
        assert row[6] == pytest.approx(slow_macro(slow_hits(file), [str(record.pair) for record in file.pairs]))
        first = [stage for stage in file.system.stages if stage.kind != "rerank"]
        there = [
            other for other in range(len(index.lines)) if index.entry_of["sample-v1"][other] >= 0 and list(submission(index, other).system.stages) == first
        ]
        assert row[5] == (pytest.approx(slow_macro(hits := slow_hits(submission(index, there[0])), sorted(hits))) if there else None)
    assert oracle_table(index, Selection(measure="R@100")).caption.startswith("Oracle track: nDCG")  # type: ignore[union-attr]  # R@100 says nothing there


def test_translations_are_counted_where_submissions_carry_them(index: Index, scope: Scope) -> None:
    table = translation_table(index, scope, range(len(index.lines)))
    assert table is not None
    assert [row[0].text for row in table.rows] == ["synthetic-00/model-00/native-english_nllb"]
    assert table.rows[0][4] == 384
    assert translation_table(index, scope, [line for line, name in enumerate(index.lines) if name.variant == "native"]) is None


@pytest.mark.parametrize("kind", sorted(COMMANDS))
def test_the_commands_of_an_empty_table_make_two_systems_that_differ_by_its_step(kind: str) -> None:
    runs = [parsed for line in COMMANDS[kind] if (parsed := _parser().parse_args(shlex.split(line)[1:])) and " evaluate " in line]  # type: ignore[index]
    systems = [_system(run, load_task(run.task[0] if isinstance(run.task, list) else run.task), Runtime()) for run in runs]
    changed = {"documents": {"documents", "translator"}, "fine_tuning": {"model", "name"}, "rerank": {"reranker"}, "index": {"index"}, "fuse": {"fuse"}}[kind]
    different = {name for name in vars(systems[0]) if getattr(systems[0], name) != getattr(systems[1], name)}
    assert different == changed


def test_a_printed_cell_stands_beside_a_submission_of_the_same_system(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "clir-bench__bm25", tmp_path / "clir-bench__bm25")
    claims = json.loads((ROOT / "claims" / "goworek-2025.json").read_text())
    table = next(table for table in claims["tables"] if table["table"] == "Table 6")
    table["cells"] = [dict(table["cells"][1], task="sample", over="en-de", n=None, n_from="not stated")]
    table["columns"], table["rows"] = [table["cells"][0]["column"]], [table["cells"][0]["row"]]
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "goworek-2025.json").write_text(json.dumps(claims))
    index = open_index(tmp_path, build=True)
    (row,) = printed(index, "Table 6").rows
    file = read_submission(tmp_path / "clir-bench__bm25" / "whitespace" / "sample-v1.json")
    stat = next(record for record in file.pairs if str(record.pair) == "en-de").measures[MEASURE]
    assert row[1] == "31.4"  # as printed
    assert (row[4], row[5], row[6].text) == (pytest.approx(stat.sum / stat.n), 96, "clir-bench/bm25/whitespace")
    assert first_measure(index, "Table 6") == "R@10"
    assert first_measure(index, "Table 3") is None


def test_without_claims_beside_the_submissions_those_of_the_installation_are_shown(index: Index) -> None:
    cells = [cell for publication in publications(index) for table in publication.tables for cell in table.cells]
    assert cells
    assert len(all_printed(index).rows) == len(cells)
    assert printed(index, "Table 3").note.startswith("Not transcribed")


def test_tables_without_a_transcribed_cell_share_one_line(index: Index) -> None:
    for publication in publications(index):
        *told, (_, others) = table_facts(publication)
        with_cells = [table for table in publication.tables if table.cells]
        assert [head.split(": ")[0] for head, _ in told] == [table.table for table in with_cells]
        assert all(f"{len(table.cells)} cell" in head and str(table.unit) in head for table, (head, _) in zip(with_cells, told, strict=True))
        assert all((f"{table.table} (" in others) == (not table.cells) for table in publication.tables)
    assert not printed(index, "Table 3").rows


def test_parents_are_systems_of_the_same_boards(index: Index, scope: Scope) -> None:
    parents = line_parents(index, scope.boards)
    assert len(parents) == len(index.lines)
    for line, step in enumerate(parents):
        if step:
            assert index.entry_of["sample-v1"][line] >= 0
            assert index.entry_of["sample-v1"][step.parent] >= 0
            assert step.parent != line
