"""Systems against each other: every number against a loop over the submissions, or against the comparison of two of them."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, false_discovery_control, t
from streamlit.testing.v1 import AppTest

from clir_bench import resources
from clir_bench import significance as sig
from clir_bench.compare import compare
from clir_bench.exhibits.dots import dots_chart, dots_table
from clir_bench.exhibits.solved import BINS, only_table, rank_table, solved_table
from clir_bench.exhibits.tables import Marked, shown
from clir_bench.exhibits.versus import (
    Contest,
    Elsewhere,
    contest,
    difference_dots,
    difference_map,
    matrix_table,
    overall_table,
    pair_dots,
    told,
    usual_pairs,
    verdict,
    wins_table,
)
from clir_bench.layout import find_layout
from clir_bench.measures import GoldRanks, unranked
from clir_bench.sources import sample
from clir_bench.standings.index import Index
from clir_bench.standings.overview import standing
from clir_bench.standings.paired import position
from clir_bench.standings.selection import Selection
from clir_bench.submission import Submission

PLAIN, TUNED, ENGLISH, TWIN = (
    f"synthetic-00/{name}" for name in ("model-00/native", "model-00-tuned/native", "model-00/native-english_nllb", "model-01/native")
)
PARTIAL, CLAIMED = "synthetic-00/model-03/native", "synthetic-00/model-04/published"


@pytest.fixture(scope="module")
def two_boards(index: Index) -> Index:
    """A second board beside the first: the same queries, every system with the next one's ranks."""
    board = index.boards["sample-v1"]
    other = replace(
        board, key="other-v1", sums=np.roll(board.sums, 1, 0), squares=np.roll(board.squares, 1, 0), own=np.roll(board.own, 1, 0), rank_row=np.roll(board.rank_row, 1)
    )  # fmt: skip
    entry_of = index.entry_of["sample-v1"]
    return replace(index, boards={"sample-v1": board, "other-v1": other}, entry_of={"sample-v1": entry_of, "other-v1": entry_of}, cache={})


def lines(index: Index, *names: str) -> list[int]:
    found = [index.line(name) for name in names]
    assert None not in found
    return [line for line in found if line is not None]


def submission(index: Index, name: str) -> Submission:
    return index.submission(int(index.entry_of["sample-v1"][lines(index, name)[0]]))


def met(index: Index, *names: str, measure: str = "R@10", queries: tuple[str, ...] = (), documents: tuple[str, ...] = ()) -> Contest:
    return contest(index, Selection(boards=("sample-v1",), measure=measure, queries=queries, documents=documents), lines(index, *names))


@pytest.mark.parametrize("measure", ["R@10", "nDCG@10"])
def test_two_systems_on_a_data_set_compare_as_their_submissions_do(index: Index, measure: str) -> None:
    found = met(index, PLAIN, TWIN, measure=measure)
    layout = find_layout("sample", 1, found.boards[0].shape.fingerprint, [index.folder])
    expected = compare(submission(index, PLAIN), submission(index, TWIN), measure, layout)
    assert expected.overall is not None
    (scope,) = found.scopes
    assert (scope.pairs, scope.queries, scope.topics) == (64, 6144, 96)
    assert scope.scores == pytest.approx([expected.mean_a, expected.mean_b])
    assert scope.difference[0, 1] == pytest.approx(expected.mean_a - expected.mean_b)
    assert (scope.least[0, 1], scope.most[0, 1]) == pytest.approx(expected.overall.interval, abs=0.004)  # 1,000 resamples here, 2,000 there
    assert (scope.p[0, 1], scope.detectable[0, 1]) == pytest.approx((expected.overall.p, expected.overall.detectable))
    assert (scope.more[0, 1], scope.more_queries(0, 1)) == (expected.overall.more_topics, expected.overall.more_queries)
    assert scope.apart[0, 1] == (expected.overall.p <= 0.05)
    assert isinstance(scope.elsewhere, Elsewhere)
    assert expected.overall.other_languages is not None
    assert (scope.elsewhere.least[0, 1], scope.elsewhere.most[0, 1]) == pytest.approx(expected.overall.other_languages)
    assert (scope.elsewhere.least[1, 0], scope.elsewhere.most[1, 0]) == pytest.approx((-scope.elsewhere.most[0, 1], -scope.elsewhere.least[0, 1]))
    cells = dict(zip([c.key for c in overall_table(found, 0, 1).columns], overall_table(found, 0, 1).rows[0], strict=True))
    assert (cells["elsewhere"], cells["elsewhere_high"]) == pytest.approx(expected.overall.other_languages)
    assert "for other languages " in verdict(found, scope, 0, 1)
    (row,) = wins_table(found, 0, 1).rows
    assert row == ("sample", 64, expected.wins, expected.ties, expected.losses, expected.significant_wins, expected.significant_losses)


def test_differences_are_turned_by_turning_the_systems(index: Index) -> None:
    scope = met(index, PLAIN, TUNED, ENGLISH, TWIN).scopes[0]
    for one, other in ((scope.difference, -scope.difference), (scope.least, -scope.most), (scope.p, scope.p), (scope.more, scope.more)):
        np.testing.assert_allclose(one, other.T)
    turned = met(index, TWIN, PLAIN).scopes[0]
    assert turned.difference[0, 1] == pytest.approx(scope.difference[3, 0])


def test_more_than_two_are_told_apart_with_holm_over_all_of_them(index: Index) -> None:
    found = met(index, PLAIN, TUNED, ENGLISH, TWIN)
    (scope,) = found.scopes
    board, shape = found.boards[0], found.boards[0].shape
    assert shape.topic is not None
    rows = [board.values(int(board.rank_row[place]), "R@10") for place in found.places[0]]
    p = {}
    for i in range(4):
        for j in range(i):
            p[i, j] = float(sig.sign_flip(1 / (64 * 96) * np.bincount(shape.topic, rows[i] - rows[j])))
            assert scope.p[i, j] == p[i, j]
            assert met(index, found.names[i], found.names[j]).scopes[0].p[0, 1] == p[i, j]  # whoever else is compared
    for rank, (i, j) in enumerate(sorted(p, key=p.__getitem__)):
        assert scope.apart[i, j] == all(p[pair] * (6 - k) <= 0.05 for k, pair in enumerate(sorted(p, key=p.__getitem__)[: rank + 1]))
    table = matrix_table(found, scope)
    assert [row[0] for row in table.rows] == [f"{letter}\u2002{name}" for letter, name in zip("ABCD", found.names, strict=True)]
    assert [row[2 + i] for i, row in enumerate(table.rows)] == [""] * 4
    assert table.rows[1][2] == Marked(pytest.approx(scope.difference[1, 0]), "*" if scope.apart[1, 0] else "")


def test_data_sets_together_weigh_alike(two_boards: Index) -> None:
    found = contest(two_boards, Selection(boards=("sample-v1", "other-v1")), lines(two_boards, PLAIN, TUNED))
    first, second, both = found.scopes
    assert both.title == "all together"
    assert both.scores == pytest.approx((first.scores + second.scores) / 2)
    assert both.difference[0, 1] == pytest.approx((first.difference[0, 1] + second.difference[0, 1]) / 2)
    assert (both.pairs, both.queries, both.topics) == (128, 2 * 6144, 192)
    half = np.sqrt((first.most - first.least)[0, 1] ** 2 + (second.most - second.least)[0, 1] ** 2) / 2
    assert both.most[0, 1] - both.least[0, 1] == pytest.approx(half, rel=0.15)  # the topics of the two are independent
    assert [row[0] for row in overall_table(found, 0, 1).rows] == [scope.title for scope in found.scopes]
    one, two, joint = (scope.elsewhere for scope in found.scopes)
    assert isinstance(one, Elsewhere) and isinstance(two, Elsewhere) and isinstance(joint, Elsewhere)
    board, (mine, theirs) = found.boards[0], lines(two_boards, PLAIN, TUNED)
    means = np.mean([np.subtract(*(each.means("R@10")[position(two_boards, each, line)] for line in (mine, theirs))) for each in found.boards], axis=0)
    left = [np.mean([m for m, pair in zip(means, board.pairs, strict=True) if code not in pair]) for code in board.query_languages]
    error, between = both.detectable[0, 1] / 2.8016, 7 / 8 * sum((each - means.mean()) ** 2 for each in left)
    freedom = (error**2 + between) ** 2 / (error**4 / 191 + between**2 / 7)
    assert (joint.least[0, 1], joint.most[0, 1]) == pytest.approx(t.interval(0.95, freedom, means.mean(), np.sqrt(error**2 + between)), abs=1e-4)


def test_only_pairs_that_all_have_are_compared_and_the_page_says_so(index: Index) -> None:
    found = met(index, PLAIN, PARTIAL)
    assert found.scopes[0].pairs == int(found.masks[0].sum()) == 32
    assert found.missing == ("sample: 32 of 64 pairs, those that all of them have.",)
    shared = [record for record in submission(index, PLAIN).pairs if record.pair in {other.pair for other in submission(index, PARTIAL).pairs}]
    assert found.scopes[0].scores[0] == pytest.approx(np.mean([record.measures["R@10"].sum / record.measures["R@10"].n for record in shared]))
    without = met(index, PLAIN, CLAIMED)
    assert without.boards == without.scopes == ()
    assert without.missing == (f"sample is left out: no gold ranks of {CLAIMED}.",)


def test_a_filter_of_languages_filters_the_comparison(index: Index) -> None:
    found = met(index, PLAIN, TUNED, queries=("ar", "ja"), documents=("ru",))
    assert [str(pair) for pair, there in zip(found.boards[0].pairs, found.masks[0], strict=True) if there] == ["ar-ru", "ja-ru"]
    assert (found.scopes[0].pairs, found.scopes[0].queries, found.scopes[0].topics) == (2, 192, 96)
    assert found.scopes[0].elsewhere == "there are 2 query languages and 1 document language, and 3 of each are needed"
    assert f"Not known of sample: {found.scopes[0].elsewhere}." in overall_table(found, 0, 1).note
    assert "for other languages" not in verdict(found, found.scopes[0], 0, 1)


def test_the_map_of_differences_marks_what_mcnemar_finds(index: Index) -> None:
    found = met(index, PLAIN, TUNED)
    x, y = (submission(index, name).ranks() for name in (PLAIN, TUNED))
    p, difference = [], []
    for k in range(len(x.pairs)):
        a, b = (ranks.rank[ranks.pair == k] <= 10 for ranks in (x, y))
        only = int((a & ~b).sum()), int((b & ~a).sum())
        p.append(binomtest(min(only), sum(only)).pvalue if sum(only) else 1.0)
        difference.append(float(a.mean() - b.mean()))
    table = difference_map(index, found, 0, 0, 1, "alphabet")
    marked = sum(isinstance(cell, Marked) and cell.mark == "*" for row in table.rows for cell in row)
    assert marked == int((false_discovery_control(p) <= 0.05).sum()) > 0
    assert table.rows[-2][-2] == pytest.approx(np.mean(difference))


@pytest.fixture(scope="module")
def ranks(index: Index) -> tuple[GoldRanks, GoldRanks]:
    return submission(index, PLAIN).ranks(), submission(index, TUNED).ranks()


def test_gold_ranks_are_counted_in_bins(index: Index, ranks: tuple[GoldRanks, GoldRanks]) -> None:
    table = rank_table(met(index, PLAIN, TUNED), 0, 0, 1)
    assert [row[0] for row in table.rows] == ["1", "2–3", "4–7", "8–15", "16–31", "32–63", "64–100", "deeper"]
    counted: Counter[tuple[int, int]] = Counter()
    for a, b in zip(ranks[0].rank.tolist(), ranks[1].rank.tolist(), strict=True):
        counted[max(i for i, low in enumerate(BINS) if low <= a), max(i for i, low in enumerate(BINS) if low <= b)] += 1
    for i, row in enumerate(table.rows):
        assert row[1:] == pytest.approx([counted[i, j] / 6144 for j in range(8)])
    higher = float(np.mean(ranks[0].rank < ranks[1].rank))
    assert f"A ranks it higher in {100 * higher:.1f}\u00a0%" in table.note


def test_queries_that_only_one_solves_are_counted_and_listed(index: Index, ranks: tuple[GoldRanks, GoldRanks]) -> None:
    found = met(index, PLAIN, TUNED)
    x, y = (r.rank <= 10 for r in ranks)
    assert solved_table(found, 0, 1).rows == (("sample", int((x & y).sum()), int((x & ~y).sum()), int((y & ~x).sum()), int((~x & ~y).sum()), 6144),)
    collection = sample.read()
    known = {
        (str(ranks[0].pairs[p]), collection.queries.ids[q]): (a, b)
        for p, q, a, b in zip(ranks[0].pair, unranked(collection.judgements).query, ranks[0].rank.tolist(), ranks[1].rank.tolist(), strict=True)
    }
    text = dict(zip(collection.queries.ids, collection.queries.texts, strict=True))
    for side in ("first", "second"):
        table = only_table(index, found, 0, 0, 1, side, texts=True)
        assert table is not None
        solved = int((x & ~y if side == "first" else y & ~x).sum())
        assert len(table.rows) == solved
        pages = [only_table(index, found, 0, 0, 1, side, texts=True, part=slice(at, at + 50)) for at in range(0, solved, 50)]
        assert [row for page in pages if page for row in page.rows] == list(table.rows)
        assert {page.caption for page in pages if page} == {table.caption}
        assert f"{solved:,} queries that only" in table.caption
        for pair, query, a, b, asked, answer in table.rows:
            mine, theirs = known[str(pair), str(query)]
            assert (a, b) == (mine if mine <= 100 else "not found", theirs if theirs <= 100 else "not found")
            assert (mine <= 10) == (side == "first") != (theirs <= 10)
            assert asked == text[str(query)]
            assert str(answer)[:200] in " ".join(t for t in collection.pool.texts if str(answer)[:20] in t)
        lost = [row[3 if side == "first" else 2] for row in table.rows]
        depths = [101 if rank == "not found" else int(str(rank)) for rank in lost]
        assert depths == sorted(depths, reverse=True)
    bare = only_table(index, found, 0, 0, 1, "first")
    assert bare is not None
    assert [column.key for column in bare.columns] == ["pair", "query", "rank_A", "rank_B"]


def test_the_verdict_says_better_or_not_told_apart_or_equal(index: Index) -> None:
    clear = met(index, TUNED, PLAIN)
    assert clear.scopes[0].p[0, 1] <= 0.05
    assert re.search(rf"^{TUNED} is better than {PLAIN} over 64 pairs and 96 topics", verdict(clear, clear.scopes[0], 0, 1))
    assert verdict(clear, clear.scopes[0], 1, 0) == verdict(clear, clear.scopes[0], 0, 1)
    bfloat = met(index, "synthetic-00/model-01/native-bfloat16", TWIN, measure="nDCG@10")
    assert bfloat.scopes[0].p[0, 1] > 0.05
    assert re.search(r"cannot be told apart: .* more topics, some [\d,]+ queries", verdict(bfloat, bfloat.scopes[0], 0, 1))
    itself = met(index, PLAIN, PLAIN)
    assert "have the same mean R@10" in verdict(itself, itself.scopes[0], 0, 1)
    for found in (clear, bfloat):
        p = shown(next(column for column in overall_table(found, 0, 1).columns if column.key == "p"), float(found.scopes[0].p[0, 1]))
        assert f"p {p.replace('<', '< ') if p.startswith('<') else f'= {p}'}" in verdict(found, found.scopes[0], 0, 1)
    assert overall_table(itself, 0, 1).rows[0][-2:] == (np.inf, np.inf)


def test_dots_carry_what_the_table_says(index: Index) -> None:
    found = met(index, PLAIN, TUNED)
    assert usual_pairs(found, 0) == ["en-es", "en-zh", "ar-ru", "ja-en"]
    assert usual_pairs(met(index, PLAIN, TUNED, queries=("de",)), 0) == ["de-ar", "de-de", "de-en", "de-es"]
    dots = pair_dots(index, found, 0, usual_pairs(found, 0))
    assert [(dot.row, dot.system) for dot in dots[:3]] == [("English → Spanish", PLAIN), ("English → Spanish", TUNED), ("English → Chinese", PLAIN)]
    record = next(r for r in submission(index, PLAIN).pairs if str(r.pair) == "en-es").measures["R@10"]
    assert dots[0].value == pytest.approx(record.sum / record.n)
    assert dots[0].n == record.n
    assert (dots[0].low, dots[0].high) == pytest.approx(tuple(binomtest(round(record.sum), record.n).proportion_ci(method="wilson")))
    spec, table = dots_chart(dots, "R@10"), dots_table(dots, "R@10", "pair")
    values = spec["data"]["values"]
    assert [(v["row"], v["system"], v["value"]) for v in values] == [(row[0], row[1], round(100 * row[2], 3)) for row in table.rows]
    assert all(dot.row in told(dots, "R@10") for dot in dots)
    for layer in spec["layer"]:
        assert all(axes["axis"]["labelFlush"] is False for name, axes in layer["encoding"].items() if name in ("x", "y"))
    (dot,) = difference_dots(found, 0, 1)
    assert (dot.value, dot.n) == (pytest.approx(found.scopes[0].difference[0, 1]), 6144)


def test_the_page_compares_two_or_three_in_every_tab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(resources.folder("submissions"), tmp_path / "s", ignore=shutil.ignore_patterns("native-*", "paper"))  # three systems
    monkeypatch.setenv("CLIR_BENCH_SUBMISSIONS", str(tmp_path / "s"))
    for tab, says in (
        ("Pairs of languages", "minus"), ("Highlighted pairs", "cannot be told apart"), ("Gold ranks", "Rank of the first relevant"),
        ("Queries only one solves", "that only"),
    ):  # fmt: skip
        page = AppTest.from_file(str(resources.folder("leaderboard") / "app.py"), default_timeout=60).switch_page("views/compare.py")
        page.query_params["tab"] = tab
        page.run()
        assert not page.exception
        assert says in " ".join(element.proto.body for element in page.get("html"))
    page.multiselect(key="systems").set_value([0, 1, 2]).run()
    assert not page.exception
    assert "every system against every other" in " ".join(element.proto.body for element in page.get("html"))
    page.multiselect(key="systems").set_value([0]).run()
    assert not page.exception
    assert "Choose at least two systems" in " ".join(element.proto.body for element in page.get("html"))


def test_a_score_has_one_interval_on_the_board_and_in_a_comparison(index: Index) -> None:
    for queries, documents in ((("ar",), ("ru",)), (("en",), ("en",)), (("ar", "en"), ("ru",))):
        selection = Selection(boards=("sample-v1",), queries=queries, documents=documents)
        board, found = standing(index, selection), contest(index, selection, lines(index, PLAIN, TWIN))
        for i, line in enumerate(found.lines):
            row = board.lines.tolist().index(line)
            assert (found.scopes[0].low[i], found.scopes[0].high[i]) == pytest.approx(
                (board.low[row], board.high[row]), abs=0.006 if len(queries) > 1 else 1e-12
            )
            assert board.low[row] < board.high[row]
