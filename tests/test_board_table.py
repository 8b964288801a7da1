"""The leaderboard's table, what it says of tiers, its chart, its costs and the published numbers beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from generated_board import BOARDS, files, generated_index

from clir_bench import resources
from clir_bench.claims import FOLDER, MACRO
from clir_bench.exhibits.board_table import MORE, ORDERS, board_table, columns_of, order_rows, unranked_table, usual_columns
from clir_bench.exhibits.gaps import chart_words, comparisons, detectable, gap, interval_chart, tier_sentences
from clir_bench.exhibits.ledger import cost_of
from clir_bench.exhibits.profile import system_facts
from clir_bench.exhibits.published import claim_rows, publications, published_table
from clir_bench.exhibits.tables import Column, Interval, Link, Named, Table
from clir_bench.site.api import claims
from clir_bench.site.api_records import placed, system
from clir_bench.site.citation import bibtex
from clir_bench.standings import Index, Selection, Standing, open_index, standing
from clir_bench.standings.costs import pace, query_ms
from clir_bench.standings.index import Line
from clir_bench.standings.overview import Evidence, evidence
from clir_bench.submission import Submission

EACH_QUERY = ("translate_queries", "encode_queries", "search", "fuse")


@pytest.fixture(scope="module")
def index() -> Index:
    return generated_index()


@pytest.fixture(scope="module")
def both(index: Index) -> Standing:
    return standing(index, Selection(boards=BOARDS))


def submissions_of(line: Line) -> dict[str, Submission]:
    return {board: files()[line, board] for board in BOARDS if (line, board) in files()}


def line_of(link: object) -> Line:
    assert isinstance(link, Link)
    name, _, variant = link.text.rpartition("/")
    return Line(name, variant)


def cells(table: Table) -> dict[Line, dict[str, object]]:
    return {line_of(row[0]): {column.key: cell for column, cell in zip(table.columns, row, strict=True)} for row in table.rows}


def test_every_cell_is_what_a_slow_loop_finds_in_the_files(index: Index, both: Standing) -> None:
    rows = order_rows(index, both).ranked
    table = board_table(index, both, rows, tuple(columns_of(both)))
    assert len(table.rows) == both.ranked > 8
    for line, cell in cells(table).items():
        mine = submissions_of(line)
        means = {board: [(record.measures["R@10"].mean, record) for record in s.pairs] for board, s in mine.items()}
        macro = {board: sum(mean for mean, _ in found) / len(found) for board, found in means.items()}
        assert {board: cell[board] for board in BOARDS} == pytest.approx(macro)
        score = cell["score"]
        assert isinstance(score, Interval)
        assert score.value == pytest.approx(sum(macro.values()) / len(BOARDS))
        assert 0 <= score.low <= score.value <= score.high <= 1
        worst = min(((mean, str(record.pair)) for found in means.values() for mean, record in found), key=lambda each: each[0])
        assert isinstance(cell["worst"], Named)
        assert cell["worst"].value == pytest.approx(worst[0])
        assert cell["worst"].name.split(",", maxsplit=1)[0] in {str(r.pair) for found in means.values() for mean, r in found if mean == worst[0]}
        loss = [[r.bias_loss("R@10") for _, r in found if not r.pair.same] for found in means.values()]
        if any(None in each for each in loss):
            assert np.isnan(cell["loss"])  # type: ignore[call-overload]
        else:
            assert cell["loss"] == pytest.approx(np.mean([np.mean(each) for each in loss]))  # type: ignore[arg-type]
        newest = max(mine.values(), key=lambda s: s.provenance.started)
        assert cell["date"] == newest.provenance.started[:10]
        sizes = {stage.model.name: stage.model.weights_bytes for stage in newest.system.stages if stage.kind in ("encode", "rerank")}  # type: ignore[union-attr]
        known = None if None in sizes.values() else sum(filter(None, sizes.values())) / 1e9
        assert cell["gigabytes"] == (known if known is None else pytest.approx(known))
        assert cell["ms"] == pytest.approx(np.mean([slow_ms(s) for s in mine.values()]))
        assert cell["hardware"] == "synthetic, 16 cores"
        assert cell["trust"] == "recomputed"


def slow_ms(s: Submission) -> float:
    total, queries = 0.0, next(t.items for t in s.timings if t.stage == "search")
    for timing in s.timings:
        total += 1000 * timing.seconds / (timing.items if timing.stage in EACH_QUERY else queries) if timing.stage in (*EACH_QUERY, "rerank") else 0
    return total


def test_milliseconds_of_different_hardware_are_not_averaged(index: Index, both: Standing) -> None:
    entries = both.entries[0]
    assert pace(index, entries).ms == pytest.approx(query_ms(index)[entries].mean())
    moved = index.entries.copy()
    moved.loc[entries[0], "hardware"] = "another"
    assert pace(replace(index, entries=moved, cache={}), entries) == (None, None)
    assert "measured on synthetic, 16 cores." in board_table(index, both, np.arange(3), ("ms",)).note
    moved.loc[both.entries[0], "hardware"] = "another"
    assert "2 kinds of hardware" in board_table(replace(index, entries=moved, cache={}), both, np.arange(3), ("ms",)).note


def test_ranked_and_others_are_all_systems_and_the_others_are_told_why(index: Index, both: Standing) -> None:
    placed = order_rows(index, both)
    assert sorted([*placed.ranked, *placed.others]) == list(range(len(both.lines)))
    others = cells(unranked_table(index, both, placed.others))
    assert len(others) == len(placed.others) >= 2
    for line, cell in others.items():
        mine = submissions_of(line).values()
        partial = any(not s.complete for s in mine)
        assert cell["why"] == ("not all pairs" if partial else "no gold ranks: nothing can be tested")
        assert partial or not any(s.gold_ranks for s in mine)
        assert cell["trust"] in ("claimed", "consistent") or partial


def test_a_system_whose_submissions_differ_is_told_by_the_newest_everywhere(index: Index, both: Standing) -> None:
    two, size = np.flatnonzero((both.entries >= 0).all(1) & (both.tier > 0)), index.entries["weights_bytes"].to_numpy(float)
    row = next(int(row) for row in two if (size[both.entries[row]] > 0).all())
    first, second = both.entries[row].tolist()
    for newest, older in ((first, second), (second, first)):
        changed = index.entries.copy()
        changed.loc[[newest, older], "started"] = ["2031-05-06T00:00:00Z", "2031-05-05T00:00:00Z"]
        changed.loc[[newest, older], "weights_bytes"] = [7.77e12, 9.99e12]
        moved = replace(index, entries=changed, cache={})
        cell = cells(board_table(moved, both, np.array([row]), tuple(columns_of(both))))[index.lines[both.lines[row]]]
        assert (cell["gigabytes"], cell["date"]) == (7770, "2031-05-06")
        assert cost_of(moved, both.boards, int(both.lines[row])).gigabytes == 7770
        assert dict(system_facts(moved, int(both.lines[row])))["Weights"] == "7770.00 GB as published"
        assert system(moved, int(both.lines[row]))["weights_bytes"] == placed(moved, both, row)["weights_bytes"] == 7_770_000_000_000
        assert order_rows(moved, both, "date").ranked[0] == row
        assert index.newest_of(np.array([[-1, first], [-1, -1]], np.int32)).tolist() == [first, -1]
    same = index.entries.assign(started="2031-05-06T00:00:00Z")
    assert replace(index, entries=same).newest_of(both.entries[row]) == max(first, second)  # one rule for two of one moment


@pytest.mark.parametrize("order", ORDERS)
def test_orders_put_the_best_first_and_the_unknown_last(index: Index, both: Standing, order: str) -> None:
    placed = order_rows(index, both, order)  # type: ignore[arg-type]
    found = cells(board_table(index, both, placed.ranked, tuple(columns_of(both))))
    values = {
        "score": [-cell["score"].value for cell in found.values()],  # type: ignore[attr-defined]
        "name": [str(line).casefold() for line in found],
        "worst pair": [-cell["worst"].value for cell in found.values()],  # type: ignore[attr-defined]
        "bias loss": [cell["loss"] for cell in found.values()],
        "size": [np.nan if cell["gigabytes"] is None else cell["gigabytes"] for cell in found.values()],
        "date": [-int(str(cell["date"]).replace("-", "")) for cell in found.values()],
    }[order]
    known = [value for value in values if value == value]  # noqa: PLR0124
    assert known == sorted(known)
    assert values[: len(known)] == known
    assert len(set(map(str, values))) > 2


def test_only_names_with_all_words_are_found(index: Index, both: Standing) -> None:
    placed = order_rows(index, both, "score", "HNSW model")
    names = [str(index.lines[line]) for line in both.lines[[*placed.ranked, *placed.others]]]
    assert names
    assert all("hnsw" in name for name in names)
    assert len(names) == sum("hnsw" in str(index.lines[line]) for line in both.lines)
    assert not len(order_rows(index, both, "score", "no-such").ranked)


def test_usual_columns_are_at_most_15_of_three_data_sets_and_a_choice_keeps_the_first_four(index: Index, both: Standing) -> None:
    alone = standing(index, Selection(boards=BOARDS[:1]))
    (another, part), three = (replace(both.boards[0], key="another-v1"), both.pairs[0]), both
    three = replace(both, boards=(*both.boards, another), pairs=(*both.pairs, part))
    assert "cross" in usual_columns(three)
    assert len(usual_columns(three)) <= 15
    for found in (alone, both, three):
        assert {"trust", "ms", "worst", "seen", "gigabytes", "loss", "date"} < set(usual_columns(found))
        assert {*usual_columns(found), *MORE} == set(columns_of(found))  # the picker offers the others: none is lost
    assert {*BOARDS} < set(usual_columns(both))
    assert not set(BOARDS) & set(columns_of(alone))  # one data set's score is the score
    table = board_table(index, both, order_rows(index, both).ranked[:2], ("trust", "no such"))
    assert [column.key for column in table.columns] == ["system", "tier", "rank", "score", "trust"]
    assert "n = " in table.caption


def test_gaps_are_differences_of_what_was_resampled(index: Index, both: Standing) -> None:
    known = evidence(index, both.selection, both.boards, both.pairs)
    assert isinstance(known, Evidence)
    column = {int(line): known.resampled[:, i].astype(float) for i, line in enumerate(known.lines)}
    a, b = 0, both.ranked - 1
    difference = column[int(both.lines[a])] - column[int(both.lines[b])]
    found = gap(index, both, a, b)
    assert found.difference == pytest.approx(both.score[a] - both.score[b])
    assert (found.low, found.high) == pytest.approx(np.percentile(difference, [2.5, 97.5]))
    assert found.se == pytest.approx(np.std(difference))
    spread = [np.std(column[int(both.lines[row])] - column[int(both.lines[0])]) for row in range(1, both.ranked)]
    single, every = detectable(index, both)
    assert single == pytest.approx((1.959964 + 0.841621) * np.median(spread), rel=1e-3)
    assert every > single


def test_sentences_say_how_far_the_first_two_tiers_lie_apart(index: Index, both: Standing) -> None:
    first, second = ([i for i in range(len(both.tier)) if both.tier[i] == tier] for tier in (1, 2))
    said = " ".join(tier_sentences(index, both))
    found = gap(index, both, first[0], second[0])
    assert f"{100 * found.difference:.1f} points behind (95\u00a0% interval {100 * found.low:.1f} to {100 * found.high:.1f})" in said
    assert f"{comparisons(both)} comparisons" in said
    assert str(index.lines[both.lines[first[0]]]) in said
    assert str(index.lines[both.lines[second[0]]]) in said
    assert ("Every other system can" in said) == (len(first) == 1)


def test_the_chart_and_its_table_hold_the_same_numbers(index: Index, both: Standing) -> None:
    rows = order_rows(index, both).ranked[:5]
    spec, table = interval_chart(index, both, rows)
    values = json.loads(json.dumps(spec))["data"]["values"]
    for value, row in zip(values, table.rows, strict=True):
        assert value["system"] == str(line_of(row[0]))
        assert [value["score"], value["low"], value["high"]] == pytest.approx([100 * end for end in row[3]], abs=1e-3)  # type: ignore[union-attr]
    assert f"{both.queries:,} queries" in chart_words(both, rows)


def test_published_numbers_are_those_of_the_same_quantity(index: Index) -> None:
    claims = json.loads((index.folder / "claims" / "goworek-2025.json").read_text())
    every = [cell for table in claims["tables"] for cell in table["cells"]]

    def expected(over: str, measure: str) -> list[str]:
        return [cell["value"] for cell in every if (cell["task"], cell["over"], cell["measure"], cell["track"]) == ("large_scale", over, measure, "retrieval")]

    def shown(**chosen: object) -> Table:
        return published_table(index, standing(index, Selection(boards=BOARDS, **chosen)))  # type: ignore[arg-type]

    whole = shown(measure="R@100")
    assert [row[3] for row in whole.rows] == expected(MACRO, "R@100") != []
    assert all(isinstance(row[0], Link) and row[0].address.startswith("https://arxiv.org/") and row[5] == "claimed" for row in whole.rows)
    assert whole.note.count("Transcribed in part") == 1
    assert "no submission to recompute" in whole.note
    assert [row[3] for row in shown(queries=("en",), documents=("zh",)).rows] == expected("en-zh", "R@10") != []
    assert shown(documents=("zh", "sw")).rows == ()  # an average over all pairs is not one over some


def test_the_real_submissions_make_a_board() -> None:
    index = open_index(resources.folder("submissions"), build=True)
    found = standing(index, Selection())
    rows = order_rows(index, found)
    table = board_table(index, found, rows.ranked, ("licence",))
    assert {str(line_of(row[0])) for row in table.rows} >= {"clir-bench/bm25/multilingual", "sentence-transformers/all-MiniLM-L6-v2/native"}
    assert cells(table)[Line("clir-bench/bm25", "multilingual")]["licence"] == "no model"
    assert len(tier_sentences(index, found)) >= 2


def test_publications_are_the_installations_where_the_folder_has_none_and_the_folders_where_it_has(index: Index, tmp_path: Path) -> None:
    bare = replace(index, folder=tmp_path, cache={})
    (bundled,) = publications(bare)
    assert bundled.source.key == "goworek-2025"
    assert claims(bare, {})["claims"] == claims(index, {})["claims"]
    assert claim_rows(bare) == claim_rows(index)
    assert bundled.source.bibtex in bibtex(bare)
    stored = json.loads((index.folder / FOLDER / "goworek-2025.json").read_text())
    own = replace(index, folder=tmp_path / "own", cache={})
    (own.folder / FOLDER).mkdir(parents=True)
    (own.folder / FOLDER / "own.json").write_text(json.dumps(stored | {"source": stored["source"] | {"key": "own", "bibtex": "@misc{own}"}}))
    assert [publication.source.key for publication in publications(own)] == ["own"]
    assert bibtex(own).rstrip().endswith("@misc{own}")


def test_a_named_fraction_is_one_cell_to_read_and_two_in_files() -> None:
    table = Table("t", (Column("system", "System"), Column("worst", "Worst pair", "named")), (("a", Named(0.125, "ar-ru, <Sample>")), ("b", None)))
    assert table.csv() == 'system,worst,worst_name\na,0.125,"ar-ru, <Sample>"\nb,,\n'
    assert json.loads(table.json())["rows"] == [
        {"system": "a", "worst": 0.125, "worst_name": "ar-ru, <Sample>"},
        {"system": "b", "worst": None, "worst_name": None},
    ]
    assert "12.5\u2002ar-ru, &lt;Sample&gt;" in table.html()
    assert r"12.5\enspace{}ar-ru, <Sample>" in table.latex()
