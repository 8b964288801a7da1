"""A language at a time, and Table 8: against slow loops over the files and scipy."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from _submissions import generate
from scipy.stats import binomtest, chi2, chi2_contingency, spearmanr

from clir_bench import languages
from clir_bench.claims import FOLDER
from clir_bench.collection import Pair
from clir_bench.exhibits import tongues
from clir_bench.exhibits.distance import WAYS, correlate, distance_table, elsewhere_table, ways_table
from clir_bench.exhibits.tables import Interval, Link
from clir_bench.standings import Board, Index, Selection, open_index, standing
from clir_bench.standings.overview import Standing
from clir_bench.standings.shapes import Shape
from clir_bench.standings.turned import turned
from clir_bench.submission import Submission, read_submission
from clir_bench.typology import FEATURES, similarity

CLAIMS = Path(__file__).parent.parent / "submissions" / FOLDER


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("generated")
    for task, systems in (("sample", 13), ("large_scale", 2)):
        generate(made, systems, (task,))
    shutil.copytree(CLAIMS, made / FOLDER)
    return made


@pytest.fixture(scope="module")
def index(folder: Path) -> Index:
    return open_index(folder, build=True)


@pytest.fixture(scope="module")
def both(index: Index) -> Standing:
    return standing(index, Selection(boards=("sample-v1", "large_scale-v1")))


def _file(index: Index, board: Board, line: int) -> Submission:
    return read_submission(index.folder / str(index.entries.at[int(index.entry_of[board.key][line]), "path"]))


@pytest.mark.parametrize("side", tongues.SIDES)
def test_scores_of_a_language_are_means_over_its_pairs_and_then_over_data_sets(index: Index, both: Standing, side: tongues.Side) -> None:
    for code in ("en", "ja", "fi"):
        found, complete = tongues.language_scores(both, code, side), 0
        for i, line in enumerate(both.lines.tolist()):
            parts = []
            for board in both.boards:
                wanted = [pair for pair in board.pairs if getattr(pair, side) == code]
                if wanted and index.entry_of[board.key][line] >= 0:
                    file = _file(index, board, line)
                    means = [p.measures["R@10"].mean for p in file.pairs if p.pair in wanted]
                    parts.append(float(np.mean(means)) if len(means) == len(wanted) and file.gold_ranks else np.nan)
                elif wanted:
                    parts.append(np.nan)
            assert found[i] == pytest.approx(np.mean(parts) if parts else np.nan, nan_ok=True), (code, index.lines[line])
            complete += bool(np.isfinite(found[i]))
        assert complete > 0 or (code, side) == ("fi", "query")


def test_the_overview_counts_queries_and_names_the_best_with_gold_ranks(index: Index, both: Standing) -> None:
    table = tongues.overview_table(index, both, lambda code: f"./languages?language={languages.name(code)}")
    assert [row[0].text for row in table.rows] == sorted({languages.name(c) for b in both.boards for p in b.pairs for c in p})  # type: ignore[union-attr]
    rows = {row[1]: dict(zip([c.key for c in table.columns], row, strict=True)) for row in table.rows}
    for code, row in rows.items():
        for key, side in (("asked", "query"), ("held", "document")):
            n = sum(int(b.shape.n[i]) for b in both.boards for i, pair in enumerate(b.pairs) if getattr(pair, side) == code)
            scores = tongues.language_scores(both, str(code), side)  # type: ignore[arg-type]
            assert row[key] == (n or None)
            if n:
                assert row[f"{key}_score"] == np.nanmax(scores)
                assert row[f"{key}_best"].text == str(index.lines[both.lines[np.nanargmax(scores)]]) and "published" not in row[f"{key}_best"].text
    assert rows["fi"]["asked_score"] is None and rows["fi"]["asked_best"] is None
    assert isinstance(rows["ar"]["language"], Link) and rows["ar"]["language"].address == "./languages?language=Arabic"


def test_how_many_pairs_have_a_language_is_said_with_those_of_one_language(index: Index, both: Standing) -> None:
    sample = standing(index, Selection(boards=("sample-v1",)))
    assert tongues.pair_words(sample, "ar", "query") == "8 pairs, 1 of one language"
    assert tongues.pair_words(both, "fi", "document") == "1 pair"
    assert tongues.pair_words(both, "fi", "query") == "0 pairs"


def test_coverage_is_what_the_tasks_hold(index: Index) -> None:
    rows = {row[0]: row[1:] for row in tongues.coverage_table([index.boards["large_scale-v1"], index.boards["sample-v1"]], "ar").rows}
    assert rows["sample"][:6] == (8, 768, 8, 768, 48, 0.125)
    assert rows["Large-Scale"][:5] == (0, 0, 1, 1000, 1000)
    assert tongues.coverage_table([index.boards["sample-v1"]], "fi").rows == ()


def test_partners_are_both_directions_hardest_first(index: Index) -> None:
    board = index.boards["sample-v1"]
    line = int(np.flatnonzero(index.entry_of[board.key] == board.entries[0])[0])
    file = {p.pair: p for p in _file(index, board, line).pairs}
    table = tongues.partners_table(index, board, line, np.ones(64, bool), "ar", "R@10")
    assert table is not None and len(table.rows) == 8
    lowest = []
    for row in table.rows:
        cells = dict(zip([c.key for c in table.columns], row, strict=True))
        code = next(c for c in board.query_languages if languages.name(c) == str(cells["partner"]).removesuffix(" (itself)"))
        ask, hold = file[Pair("ar", code)], file[Pair(code, "ar")]
        assert isinstance(cells["asking"], Interval) and cells["asking"].value == pytest.approx(ask.measures["R@10"].mean) and cells["asking_n"] == 96
        if code == "ar":
            assert cells["holding"] is None and cells["difference"] is None and cells["partner"] == "Arabic (itself)"
            lowest.append(ask.measures["R@10"].mean)
            continue
        assert isinstance(cells["holding"], Interval) and cells["holding"].value == pytest.approx(hold.measures["R@10"].mean)
        assert isinstance(cells["difference"], Interval) and cells["difference"].value == pytest.approx(cells["asking"].value - cells["holding"].value)
        assert cells["apart"] in ("yes", "no")
        assert cells["own"] == pytest.approx(hold.own_language["R@10"].mean) and cells["loss"] == pytest.approx(hold.bias_loss("R@10"))
        lowest.append(min(ask.measures["R@10"].mean, hold.measures["R@10"].mean))
    assert lowest == sorted(lowest)


def test_a_language_that_is_never_asked_in_has_one_direction(index: Index) -> None:
    board = index.boards["large_scale-v1"]
    line = int(np.flatnonzero(index.entry_of[board.key] == board.entries[0])[0])
    mask = np.ones(25, bool)
    assert [(p.code, board.pairs[p.holding]) for p in tongues.partners(board, mask, "fi") if p.holding is not None] == [("en", Pair("en", "fi"))]
    table = tongues.partners_table(index, board, line, mask, "fi", "R@10")
    assert table is not None and not {"asking", "difference"} & {column.key for column in table.columns}
    assert tongues.partners(board, mask, "ha") == () and tongues.partners_table(index, board, line, mask, "ha", "R@10") is None
    english = tongues.partners_table(index, board, line, mask, "en", "R@10")
    assert english is not None and len(english.rows) == 25 and "holding" not in {column.key for column in english.columns}


def _board(values: np.ndarray, topic: np.ndarray) -> Board:
    """A board of the pairs ar-ru and ru-ar and one system; ``values`` [2, queries] are 0 or 1."""
    pairs, n = (Pair("ar", "ru"), Pair("ru", "ar")), values.shape[1]
    shape = Shape("made", 1, None, pairs, np.full(2, n, np.int32), None, None, topic.ravel().astype(np.int32), {"ar": n, "ru": n})
    cube = values.sum(1).reshape(1, 2, 1).astype(float)
    ranks = np.where(values == 1, 1, 255).reshape(1, -1).astype(np.uint8)
    return Board("made-v1", shape, np.zeros(1, np.int32), ("R@10",), cube, cube, cube, np.zeros(1, np.int32), ranks, np.ones(1, bool), np.zeros(1, bool))


def _newcombe(x: np.ndarray, y: np.ndarray, phi: float) -> tuple[float, float]:
    """From scipy's Wilson intervals."""
    (p, (l1, u1)), (q, (l2, u2)) = ((v.mean(), binomtest(int(v.sum()), len(v)).proportion_ci(method="wilson")[:2]) for v in (x, y))
    low, high = (np.sqrt(a**2 - 2 * phi * a * b + b**2) for a, b in ((p - l1, u2 - q), (u1 - p, q - l2)))
    return p - q - low, p - q + high


def test_directions_are_compared_topic_by_topic_where_topics_are_shared() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 2, 400)
    second = np.where(rng.random(400) < 0.8, first, 1)
    mixed = rng.permutation(400)  # the second pair asks in another order
    shared, other = np.stack([np.arange(400), mixed]), np.arange(800).reshape(2, 400)
    paired, apart = (
        turned(_board(np.stack([first, second[order]]), topic), 0, [0], [1], "R@10") for topic, order in ((shared, mixed), (other, np.arange(400)))
    )
    assert (paired.paired[0], apart.paired[0]) == (True, False)
    assert paired.difference[0] == apart.difference[0] == pytest.approx(first.mean() - second.mean())
    assert (paired.low[0], paired.high[0]) == pytest.approx(_newcombe(first, second, np.corrcoef(first, second)[0, 1]))
    assert (apart.low[0], apart.high[0]) == pytest.approx(_newcombe(first, second, 0))
    only = int((first > second).sum()), int((second > first).sum())
    assert paired.p[0] == pytest.approx(binomtest(min(only), sum(only)).pvalue, abs=1e-3)
    table = np.array([[first.sum(), 400 - first.sum()], [second.sum(), 400 - second.sum()]])
    assert apart.p[0] == pytest.approx(chi2.sf(chi2_contingency(table, correction=False).statistic * 799 / 800, 1))
    assert apart.high[0] - apart.low[0] > paired.high[0] - paired.low[0]
    equal = turned(_board(np.ones((2, 50), int), np.stack([np.arange(50)] * 2)), 0, [0], [1], "R@10")
    assert (equal.difference[0], equal.p[0]) == (0, 1)
    assert equal.low[0] < 0 < equal.high[0]


@pytest.mark.parametrize(("n", "paired", "independent"), [(2, 1 / 2, 1 / 3), (3, 1 / 4, 1 / 10)])
def test_few_topics_never_give_a_small_p(n: int, paired: float, independent: float) -> None:
    values = np.stack([np.ones(n, int), np.zeros(n, int)])
    same, other = (turned(_board(values, topic), 0, [0], [1], "R@10") for topic in (np.stack([np.arange(n)] * 2), np.arange(2 * n).reshape(2, n)))
    assert same.p[0] == pytest.approx(paired, abs=0.02)  # flips may be drawn
    assert other.p[0] == pytest.approx(independent)  # Fisher's exact test
    assert all(t.low[0] < 1 <= t.high[0] + 1e-12 for t in (same, other))


def test_directions_of_means_alone_count_as_independent() -> None:
    board = _board(np.stack([np.arange(60) % 2, np.arange(60) % 3 == 0]).astype(int), np.stack([np.arange(60)] * 2))
    bare = replace(board, rank_row=np.full(1, -1, np.int32))
    claimed = replace(bare, squares=np.full((1, 2, 1), np.nan))
    found, unknown = (turned(each, 0, [0, 1], [1, 0], "R@10") for each in (bare, claimed))
    assert not found.paired.any()
    assert found.difference[0] == -found.difference[1] == unknown.difference[0]
    assert found.low[0] == pytest.approx(-found.high[1])
    assert np.isnan([*unknown.low, *unknown.high, *unknown.p]).all()


def test_table_8_is_scipys_correlation_with_n_beside_what_is_published(index: Index) -> None:
    found = standing(index, Selection(boards=("large_scale-v1",)))
    table, board = distance_table(index, found), found.boards[0]
    ours = [row for row in table.rows if "claimed" not in row[0].text]  # type: ignore[union-attr]
    assert len(ours) == np.isfinite(found.score).sum()
    for row, line in zip(ours, found.lines[np.isfinite(found.score)], strict=True):
        means = {p.document: p.measures["R@10"].mean for p in _file(index, board, int(line)).pairs if p.document != "en"}
        for feature, cell in zip(FEATURES, row[2:], strict=True):
            known = {code: figure for code in means if (figure := similarity("en", code, feature)) is not None}
            assert isinstance(cell, Interval) and cell.value == pytest.approx(spearmanr(list(known.values()), [means[c] for c in known]).statistic)
            assert next(c.title for c in table.columns if c.key == feature) == f"{feature}, n = {len(known)}"
    published = table.rows[-1]
    assert "BM25" in published[0].text and "claimed, n = 25" in published[0].text  # type: ignore[union-attr]
    assert [cell.value for cell in published[2:]] == [0.629, 0.572, 0.467, 0.336, 0.513]  # type: ignore[union-attr]
    assert elsewhere_table(index, board) is None


def test_published_correlations_of_other_data_sets_stand_apart(index: Index) -> None:
    found = standing(index, Selection(boards=("sample-v1",)))
    assert not [row for row in distance_table(index, found).rows if "claimed" in row[0].text]  # type: ignore[union-attr]
    other = elsewhere_table(index, found.boards[0])
    assert other is not None and [row[0] for row in other.rows] == ["large_scale"]
    some = standing(index, Selection(boards=("large_scale-v1",), documents=("de", "fr", "fi", "ja", "ru")))
    assert not [row for row in distance_table(index, some).rows if "claimed" in row[0].text]  # type: ignore[union-attr]


def test_each_way_to_take_the_correlation_says_its_n(index: Index) -> None:
    board, mask = index.boards["large_scale-v1"], np.ones(25, bool)
    line = int(np.flatnonzero(index.entry_of[board.key] == board.entries[0])[0])
    rows = {row[0]: row[1:] for row in ways_table(index, board, line, mask, "R@10").rows}
    assert {feature: (row[1], row[3], row[5]) for feature, row in rows.items()} == {
        "geographic": (24, 24, 25), "syntax": (23, 24, 24), "phonology": (17, 24, 18), "inventory": (23, 24, 24), "genealogical": (23, 23, 24),
    }  # fmt: skip
    taken = correlate(index, board, line, mask, "R@10", "syntax", WAYS[0])
    assert rows["syntax"][0] == Interval(taken.rho, taken.low, taken.high)
