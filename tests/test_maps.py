"""Maps of language pairs: every number against a loop over the submissions themselves."""

from __future__ import annotations

import csv
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, false_discovery_control
from streamlit.testing.v1 import AppTest

from clir_bench import languages, resources
from clir_bench.collection import Pair
from clir_bench.compare import compare
from clir_bench.exhibits.maps import Cells, Map, cells, directions, extremes, map_table, ordered
from clir_bench.exhibits.pair_views import SHOWN, best_systems, one_system
from clir_bench.exhibits.tables import Column, Interval, Marked, Table
from clir_bench.exhibits.tongues import partners_table
from clir_bench.standings.index import Board, Index
from clir_bench.standings.paired import compared, position, winners
from clir_bench.standings.selection import Selection
from clir_bench.standings.turned import turned
from clir_bench.submission import Submission

PLAIN, TUNED, RERANKED = (f"synthetic-00/{name}" for name in ("model-00/native", "model-00-tuned/native", "model-00/native-rerank-small_870f05"))
PARTIAL, CLAIMED = "synthetic-00/model-03/native", "synthetic-00/model-04/published"


@pytest.fixture(scope="module")
def board(index: Index) -> Board:
    return index.boards["sample-v1"]


def line(index: Index, name: str) -> int:
    found = index.line(name)
    assert found is not None
    return found


def submission(index: Index, board: Board, name: str) -> Submission:
    return index.submission(int(index.entry_of[board.key][line(index, name)]))


def every(board: Board) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.ones(len(board.pairs), bool)


def of(index: Index, board: Board, name: str, measure: str = "R@10") -> Cells:
    found = cells(index, board, line(index, name), every(board), measure)
    assert found is not None
    return found


def test_cells_are_what_the_submission_says(index: Index, board: Board) -> None:
    found, records = of(index, board, PLAIN), submission(index, board, PLAIN).pairs
    assert len(records) == len(board.pairs) == 64
    for i, record in enumerate(records):
        stat, own = record.measures["R@10"], record.own_language["R@10"]
        wilson = binomtest(round(stat.sum), stat.n).proportion_ci(method="wilson")
        assert board.pairs[i] == record.pair
        assert (found.value[i], found.own[i]) == pytest.approx((stat.sum / stat.n, own.sum / own.n))
        assert (found.low[i], found.high[i]) == pytest.approx((wilson.low, wilson.high))
        assert found.loss[i] == pytest.approx((own.sum - stat.sum) / stat.n)
    claimed = of(index, board, CLAIMED)
    assert np.isfinite(claimed.value).all()
    assert np.isnan(claimed.low).all()
    assert int(of(index, board, PARTIAL).there.sum()) == 32
    assert cells(index, index.boards["sample-v1.oracle"], line(index, PLAIN), every(board), "R@10") is None


def test_a_map_has_each_pair_in_its_place_and_means_with_and_without_pairs_of_one_language(index: Index, board: Board) -> None:
    found = of(index, board, PLAIN)
    table = map_table(board, every(board), Map(found.value), "a map", order="alphabet")
    value = dict(zip(board.pairs, found.value.tolist(), strict=True))
    codes = [column.key for column in table.columns[1:-2]]
    assert [languages.name(code) for code in codes] == sorted(languages.name(code) for code in codes) == [row[0] for row in table.rows[:-2]]
    for query, row in zip(codes, table.rows, strict=False):
        assert list(row[1:-2]) == [value[Pair(query, document)] for document in codes]
        assert row[-2] == pytest.approx(np.mean([v for pair, v in value.items() if pair.query == query]))
        assert row[-1] == pytest.approx(np.mean([v for pair, v in value.items() if pair.query == query and not pair.same]))
    for j, document in enumerate(codes):
        assert table.rows[-2][1 + j] == pytest.approx(np.mean([v for pair, v in value.items() if pair.document == document]))
        assert table.rows[-1][1 + j] == pytest.approx(np.mean([v for pair, v in value.items() if pair.document == document and not pair.same]))
    assert table.rows[-2][-2:] == (pytest.approx(np.mean(found.value)), "")
    assert table.rows[-1][-2:] == ("", pytest.approx(np.mean([v for pair, v in value.items() if not pair.same])))


def test_a_pair_that_is_not_asked_for_is_blank_and_a_missing_number_a_dash(index: Index, board: Board) -> None:
    mask = Selection(same="without").pairs_of(board)
    shown = cells(index, board, line(index, PLAIN), mask, "R@10")
    assert shown is not None
    table = map_table(board, mask, Map(shown.value), "")
    assert [row[1 + i] for i, row in enumerate(table.rows[:-1])] == [""] * 8
    assert [column.key for column in table.columns][-1] == "mean"
    partial = map_table(board, every(board), Map(of(index, board, PARTIAL).value), "")
    assert sum(cell is None for row in partial.rows[:8] for cell in row[1:9]) == 32
    assert re.search(r">–<", partial.html())
    assert np.isnan(partial.rows[-2][-2])  # no mean of what is not all there


def test_languages_stand_by_family_script_score_or_name() -> None:
    codes = ["zh", "ru", "es", "ar", "en", "ja", "xx"]
    score = {"zh": 0.1, "ru": 0.9, "es": 0.5, "ar": 0.5, "en": np.nan, "ja": 0.2, "xx": 0.0}
    assert ordered(codes, "family", score.__getitem__) == ["ar", "en", "ru", "es", "ja", "zh", "xx"]
    assert ordered(codes, "script", score.__getitem__)[:3] == ["ar", "ru", "zh"]
    assert ordered(codes, "score", score.__getitem__) == ["ru", "ar", "es", "ja", "zh", "xx", "en"]
    assert ordered(codes, "alphabet", score.__getitem__) == ["ar", "zh", "en", "ja", "ru", "es", "xx"]


def test_one_row_of_languages_is_a_list_with_intervals(index: Index, board: Board) -> None:
    mask = Selection(queries=("en",)).pairs_of(board)
    view = one_system(index, board, mask, "R@10", line(index, PLAIN), None, "value", "score")
    (table,) = view.maps
    assert [column.kind for column in table.columns] == ["text", "interval", "integer"]
    shown = [row[1] for row in table.rows]
    assert all(isinstance(cell, Interval) for cell in shown)
    values = [cell.value for cell in shown[:-1] if isinstance(cell, Interval)]
    assert values == sorted(values, reverse=True)
    assert shown[-1] == (pytest.approx(np.mean(values)), pytest.approx(np.nan, nan_ok=True), pytest.approx(np.nan, nan_ok=True))
    assert table.rows[-1][2] == 8 * 96
    assert view.lists == ()
    two = one_system(index, board, mask, "R@10", line(index, PLAIN), line(index, TUNED), "value", "score").maps
    assert two[0].rail == two[1].rail is not None


def test_one_pair_is_a_row_without_a_mean_under_its_own_unit(index: Index, board: Board) -> None:
    mask = Selection(queries=("en",), documents=("zh",)).pairs_of(board)
    assert mask.sum() == 1
    plain, tuned = line(index, PLAIN), line(index, TUNED)
    units = {"value": "percent", "loss": "points", "width": "points", "difference": "points"}
    for shown, unit in units.items():
        (table,) = one_system(index, board, mask, "R@10", plain, tuned if shown == "difference" else None, shown, "family").maps  # type: ignore[arg-type]
        assert [row[0] for row in table.rows] == ["English → Chinese"]
        assert table.columns[1].title == unit
        assert "96 queries." in table.note
        assert "Means" not in table.note
    best = best_systems(index, board, mask, "R@10", np.arange(len(index.lines), dtype=np.int32), "family").maps[0]
    assert [row[0] for row in best.rows] == ["English → Chinese"]


@pytest.mark.parametrize("measure", ["R@10", "nDCG@10"])
def test_differences_are_those_of_the_comparison_of_two_submissions(index: Index, board: Board, measure: str) -> None:
    a, b = (position(index, board, line(index, name)) for name in (PLAIN, TUNED))
    assert a is not None
    assert b is not None
    gaps = compared(board, a, b, every(board), measure)
    other = compare(submission(index, board, PLAIN), submission(index, board, TUNED), measure)
    for i, row in enumerate(other.rows):
        assert (gaps.difference[i], gaps.p[i]) == pytest.approx((row.difference, row.p))
        assert (gaps.only_first[i], gaps.only_second[i], gaps.significant[i]) == (row.only_a, row.only_b, row.significant)
    assert gaps.exact == (measure == "R@10")
    view = one_system(index, board, every(board), measure, line(index, PLAIN), line(index, TUNED), "difference", "family")
    marked = sum(isinstance(cell, Marked) and cell.mark == "*" for row in view.maps[0].rows for cell in row)
    assert marked == int(gaps.significant.sum()) > 0
    assert view.rows is not None
    assert [row[-1] for row in view.rows.rows] == gaps.significant.tolist()


def test_the_best_system_of_each_pair_is_tested_against_the_second(index: Index, board: Board) -> None:
    names = [str(entry) for entry in index.lines if position(index, board, line(index, str(entry))) is not None and str(entry) != CLAIMED]
    ranks = {name: submission(index, board, name).ranks() for name in names}
    expected, p = [], []
    for pair in board.pairs:
        hits = {}
        for name, mine in ranks.items():
            if pair in mine.pairs:
                hits[name] = mine.rank[mine.pair == mine.pairs.index(pair)] <= 10
        order = sorted(hits, key=lambda name: (-hits[name].sum(), names.index(name)))
        x, y = hits[order[0]], hits[order[1]]
        expected.append((order[0], order[1]))
        only = int((x & ~y).sum()), int((y & ~x).sum())
        p.append(binomtest(min(only), sum(only)).pvalue if sum(only) else 1.0)
    at = np.array([position(index, board, i) for i, _ in enumerate(index.lines) if position(index, board, i) is not None], np.int32)
    found = winners(board, at, every(board), "R@10")
    place = {position(index, board, line(index, name)): name for name in names}
    assert [(place[int(a)], place[int(b)]) for a, b in zip(found.first, found.second, strict=True)] == expected
    assert found.gaps.p == pytest.approx(p)
    assert found.gaps.significant.tolist() == (false_discovery_control(p) <= 0.05).tolist()
    view = best_systems(index, board, every(board), "R@10", np.arange(len(index.lines), dtype=np.int32), "family")
    assert sum(int(row[2]) for row in view.lists[0].rows) == 64
    assert CLAIMED not in str(view)
    assert [row[0] for row in view.maps[0].rows] == [languages.name(code) for code in [column.key for column in view.maps[0].columns[1:]]]  # no means of maxima


def test_a_lead_that_is_not_clear_is_marked_where_others_are(index: Index, board: Board) -> None:
    two = np.array([line(index, PLAIN), line(index, TUNED)], np.int32)
    at = np.array([position(index, board, i) for i in two.tolist()], np.int32)
    doubtful = ~winners(board, at, every(board), "R@10").gaps.significant
    view = best_systems(index, board, every(board), "R@10", two, "family")
    assert 0 < sum(isinstance(cell, Marked) and cell.mark.endswith("=") for row in view.maps[0].rows for cell in row) == int(doubtful.sum()) < 64
    assert sum(int(row[3]) for row in view.lists[0].rows) == int((~doubtful).sum())
    assert "no winner is clear" not in view.maps[0].note


def test_where_no_winner_is_clear_it_is_said_once(index: Index, board: Board) -> None:
    every_line, mask = np.arange(len(index.lines), dtype=np.int32), np.zeros(len(board.pairs), bool)
    at = np.array([at for i in every_line if (at := position(index, board, int(i))) is not None], np.int32)
    mask[np.argsort(-winners(board, at, every(board), "R@10").gaps.p)[:6]] = True  # the least clear pairs
    view = best_systems(index, board, mask, "R@10", every_line, "family")
    (table,), (who,) = view.maps, view.lists
    assert not any(isinstance(cell, Marked) and "=" in cell.mark for row in table.rows for cell in row)
    assert table.note.count("no winner is clear") == 1
    assert [column.key for column in who.columns] == ["letter", "system", "pairs"]
    alone = best_systems(index, board, mask, "R@10", every_line[[line(index, PLAIN)]], "family").maps[0]
    assert "clear" not in alone.note  # there is no second
    assert "Of 1 system with" in alone.note


def test_the_best_against_the_second_errs_no_more_often_than_it_says() -> None:
    """Of two, and of six, equal systems on the same queries; 5 % of 1,500 with three standard errors is 6.7 %."""
    rng = np.random.default_rng(1)
    for systems in (2, 6):
        false = 0
        for _ in range(1500):
            hits = rng.random((systems, 100)) < 0.5 * rng.random(100) + 0.25
            first, second = np.argsort(-hits.sum(1), kind="stable")[:2]
            only = int((hits[first] & ~hits[second]).sum()), int((hits[second] & ~hits[first]).sum())
            false += sum(only) > 0 and 2 * float(binomtest(min(only), sum(only), alternative="less").pvalue) <= 0.05
        assert false / 1500 <= 0.067


def test_two_maps_share_one_scale(index: Index, board: Board) -> None:
    view = one_system(index, board, every(board), "R@10", line(index, PLAIN), line(index, TUNED), "value", "family")
    first, second = view.maps
    assert first.bare == second.bare == np.floor(10 * min(of(index, board, name).value.min() for name in (PLAIN, TUNED))) / 10
    assert first.darkest == second.darkest == max(of(index, board, name).value.max() for name in (PLAIN, TUNED))
    for shade, value in re.findall(r'(\d+)%,transparent\)">([\d.]+)<', first.html() + second.html()):
        assert int(shade) == pytest.approx(48 * (float(value) / 100 - first.bare) / (first.darkest - first.bare), abs=0.6)
    assert [row[0] for row in first.rows] == [row[0] for row in second.rows]


def test_every_pair_is_a_row_with_its_n(index: Index, board: Board) -> None:
    view = one_system(index, board, every(board), "R@10", line(index, PLAIN), None, "value", "family")
    assert view.rows is not None
    read = list(csv.DictReader(io.StringIO(view.rows.csv())))
    found = of(index, board, PLAIN)
    assert [row["pair"] for row in read] == [str(pair) for pair in board.pairs]
    assert [float(row["value"]) for row in read] == pytest.approx(found.value.tolist())
    assert {row["n"] for row in read} == {"96"}
    reranked = one_system(index, board, every(board), "R@10", line(index, RERANKED), None, "value", "family").rows
    assert reranked is not None
    assert "own" not in [column.key for column in reranked.columns]  # nobody knows: no column of dashes


def test_lists_name_the_extremes_and_the_directions(index: Index, board: Board) -> None:
    found = of(index, board, PLAIN)
    low = [row[1].value for row in extremes(found, lowest=True).rows if isinstance(row[1], Interval)]
    high = [row[1].value for row in extremes(found, lowest=False).rows if isinstance(row[1], Interval)]
    lists = one_system(index, board, every(board), "R@10", line(index, PLAIN), None, "value", "family").lists
    assert lists[0].rail == lists[1].rail is not None
    assert lists[0].rail[0] <= min(low) < max(high) <= lists[0].rail[1]
    assert low == sorted(found.value)[:5]
    assert high == sorted(found.value, reverse=True)[:5]
    value = dict(zip(board.pairs, found.value, strict=True))
    largest = max(abs(value[pair] - value[Pair(pair.document, pair.query)]) for pair in board.pairs)
    listed = directions(found)
    assert listed is not None
    assert listed.rows[0][3] == pytest.approx(largest)
    for words, *numbers in listed.rows:  # the page of a language shows the same difference
        query, document = (next(code for code in board.query_languages if languages.name(code) == name) for name in str(words).split(" → "))
        i, j = board.pairs.index(Pair(query, document)), board.pairs.index(Pair(document, query))
        t = turned(board, found.at, [i], [j], "R@10")
        assert t.paired[0]
        assert numbers == pytest.approx([found.value[i], found.value[j], t.difference[0], t.low[0], t.high[0]])
        partners = partners_table(index, board, line(index, PLAIN), every(board), query, "R@10")
        assert partners is not None
        (row,) = (row for row in partners.rows if row[0] == languages.name(document))
        assert Interval(*numbers[2:]) in row


@pytest.mark.parametrize(
    ("name", "measure", "shown", "says"),
    [
        (PLAIN, "nDCG@10", "loss", r"nDCG@10 has none"),
        (RERANKED, "R@10", "own", r"no own-language ranks"),
        (CLAIMED, "R@10", "width", r"intervals are not known"),
        (CLAIMED, "R@1", "value", r"has no R@1 in these pairs of sample. It is on sample"),
        (PLAIN, "R@10", "difference", r"second system"),
    ],
)
def test_what_cannot_be_shown_is_explained(index: Index, board: Board, name: str, measure: str, shown: str, says: str) -> None:
    view = one_system(index, board, every(board), measure, line(index, name), None, shown, "family")
    assert view.maps == ()
    assert view.rows is None
    assert re.search(says, view.why)


def test_a_difference_to_a_claim_is_shown_and_not_tested(index: Index, board: Board) -> None:
    view = one_system(index, board, every(board), "R@10", line(index, PLAIN), line(index, CLAIMED), "difference", "family")
    assert "Not tested" in view.maps[0].note
    assert all(cell.mark == "" for row in view.maps[0].rows for cell in row if isinstance(cell, Marked))
    expected = of(index, board, PLAIN).value - of(index, board, CLAIMED).value
    assert view.maps[0].rows[-2][-2] == pytest.approx(expected.mean())


def test_marks_stand_in_what_is_read_and_not_in_numbers_for_machines() -> None:
    table = Table("t", (Column("row", ""), Column("x", "x", "change")), (("a", Marked(0.031, "*")), ("b", Marked(-0.5, ""))))
    assert table.csv() == "row,x\na,0.031\nb,-0.5\n"
    assert "+3.1*" in table.latex()
    assert '+3.1<span class="cb-mark">*</span>' in table.html()


def test_the_page_shows_every_kind_of_map(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(resources.folder("submissions"), tmp_path / "s", ignore=shutil.ignore_patterns("native-*", "paper"))  # three systems
    monkeypatch.setenv("CLIR_BENCH_SUBMISSIONS", str(tmp_path / "s"))
    page = AppTest.from_file(str(resources.folder("leaderboard") / "app.py"), default_timeout=60).switch_page("views/pairs.py").run()
    for shown, words in SHOWN.items():
        page.selectbox(key="show").select(words).run()
        assert not page.exception
        said = " ".join(element.proto.body for element in page.get("html"))
        assert ("Choose a second system" if shown == "difference" else 'class="cb cb-small"') in said
    page.selectbox(key="show").select("difference of two systems").run()
    page.selectbox(key="second").set_value(1).run()
    assert not page.exception
    assert "significant: exact McNemar test" in " ".join(element.proto.body for element in page.get("html"))
