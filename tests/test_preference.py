"""Which languages are retrieved, and whether languages are served alike: against slow loops over the files and scipy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from _submissions import generate
from scipy.spatial.distance import jensenshannon
from scipy.stats import binomtest, kruskal, rankdata, spearmanr

from clir_bench import bias, languages
from clir_bench.collection import Pair
from clir_bench.exhibits import bias_charts as charts
from clir_bench.exhibits import bias_tables as tables
from clir_bench.exhibits.tables import Interval, Marked
from clir_bench.layout import find_layout
from clir_bench.measures import NOT_FOUND
from clir_bench.standings import Board, Index, Selection, fairness, open_index, standing
from clir_bench.standings.overview import lifts
from clir_bench.standings.preference import Profile, depths, golds, profile, recall_measure, recalls
from clir_bench.standings.shapes import Shape
from clir_bench.submission import Submission, read_submission


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("generated")
    for task, systems in (("sample", 13), ("clirmatrix", 1), ("large_scale", 1)):
        generate(made, systems, (task,))
    return made


@pytest.fixture(scope="module")
def index(folder: Path) -> Index:
    return open_index(folder, build=True)


def _file(index: Index, board: Board, line: int) -> Submission:
    return read_submission(index.folder / str(index.entries.at[int(index.entry_of[board.key][line]), "path"]))


def _every(board: Board) -> np.ndarray:
    return np.ones(len(board.pairs), bool)


def _first(index: Index, board: Board) -> tuple[int, int]:
    """A system with gold ranks: its number and its row of ranks."""
    at = int(np.flatnonzero(board.rank_row >= 0)[0])
    return int(np.flatnonzero(index.entry_of[board.key] == board.entries[at])[0]), int(board.rank_row[at])


BOARDS = ("clirmatrix-v1", "large_scale-v1", "sample-v1")


@pytest.mark.parametrize("key", BOARDS)
def test_rates_and_lifts_are_those_of_the_file(index: Index, key: str) -> None:
    board = index.boards[key]
    for line in np.flatnonzero(index.entry_of[key] >= 0).tolist()[:3]:
        records = _file(index, board, line).bias
        found = profile(index, board, line)
        assert records and found is not None
        assert found.depths == tuple(sorted({record.depth for record in records}))
        for record in records:
            row = next(row for row in found.lists(record.gold, record.depth) if row.language == record.query)
            assert (row.queries, row.depth) == (record.queries, record.depth)
            assert dict(zip(found.held, row.lift, strict=True)) == pytest.approx(bias.lift(record.retrieved, board.pool))
            assert row.own is not None and row.rate[row.own] == pytest.approx(bias.same_language_rate(record.retrieved, record.query))
        assert found.lift("other", 10) == pytest.approx(np.nanmean(lifts(index)[1][index.entry_of[key][line]]))
    assert golds(index, board, [line]) == (("other", "any") if key == "clirmatrix-v1" else ("other", "same", "any"))
    assert depths(index, board, [line]) == (1, 10, 100)


def test_the_interval_is_wilsons_with_a_list_for_one_observation(index: Index) -> None:
    board = index.boards["sample-v1"]
    found = profile(index, board, _first(index, board)[0])
    assert found is not None
    for row in found.lists("any", 1):
        low, high = row.interval()
        for i, hits in enumerate(row.retrieved.tolist()):
            exact = binomtest(hits, row.queries).proportion_ci(method="wilson")
            assert (low[i], high[i]) == pytest.approx((exact.low, exact.high), abs=1e-9)
    one, ten = (found.lists("any", depth)[0] for depth in (1, 10))
    assert ten.retrieved.sum() == 10 * one.retrieved.sum()  # ten times the places, not ten times the evidence
    assert ten.interval()[1][0] - ten.rate[0] > 0.02


def _profile(retrieved: list[list[int]], share: list[float], depths: tuple[int, ...] = (1, 10)) -> Profile:
    """One query language, ``l0``; the counts of each language at each depth."""
    counts = np.array(retrieved)[None, :, None, :].repeat(3, 2)
    held = tuple(f"l{i}" for i in range(len(share)))
    return Profile(("l0",), held, depths, np.array(share), np.full((1, len(depths), 3), counts[0, 0, 0].sum()), counts)


def test_exposure_is_the_divergence_of_discounted_places() -> None:
    found = _profile([[6, 4], [30, 70]], [0.25, 0.75])
    weights = [1 / np.log2(rank + 1) for rank in range(1, 11)]
    exposed = np.zeros(2)
    for rank, weight in enumerate(weights, 1):  # 4 of 10 lists begin with l1; below, places of a layer are alike
        exposed += weight * (np.array([6, 4]) if rank == 1 else np.array([24, 66]) / 9)
    assert found.exposure("any") == pytest.approx(1 - jensenshannon(exposed, [0.25, 0.75], base=2) ** 2)
    assert _profile([[5, 15], [50, 150]], [0.25, 0.75]).exposure("any") == pytest.approx(1)
    assert _profile([[20, 0], [200, 0]], [0.5, 0.5]).exposure("any") < _profile([[15, 5], [150, 50]], [0.5, 0.5]).exposure("any") < 1
    assert np.isnan(_profile([[0, 0], [0, 0]], [0.5, 0.5]).exposure("any"))


@pytest.mark.parametrize("key", BOARDS)
def test_recall_own_language_recall_and_loss_are_means_over_the_pairs_of_two_languages(index: Index, key: str) -> None:
    board = index.boards[key]
    line, _ = _first(index, board)
    file, mask = _file(index, board, line), np.array([pair.document != "de" for pair in board.pairs])
    found = recalls(index, board, line, mask, "R@10")
    for query in board.query_languages:
        mine = [p for p in file.pairs if p.query == query and p.document not in (query, "de")]
        full, own = (float(np.mean([getattr(p, part)["R@10"].mean for p in mine])) for part in ("measures", "own_language"))
        assert found[query] == pytest.approx((full, own, own - full, len(mine)))
    whole = [p for p in file.pairs if p.document not in (p.query, "de")]
    full, loss = float(np.mean([p.measures["R@10"].mean for p in whole])), float(np.mean([p.bias_loss("R@10") for p in whole]))
    assert found[""] == pytest.approx((full, full + loss, loss, len(whole)))
    assert recall_measure(board, "R@1") == "R@1" and recall_measure(board, "nDCG@10") == "R@10"


def _ranks(index: Index, board: Board, line: int) -> tuple[dict[Pair, np.ndarray], dict[Pair, np.ndarray]]:
    """Gold ranks and topics of each pair, read from the file and the layout."""
    ranks = _file(index, board, line).ranks()
    layout = find_layout(board.shape.task, board.shape.version, board.shape.fingerprint, [index.folder])
    assert layout is not None and layout.pairs == ranks.pairs
    return tuple({pair: values[ranks.pair == i] for i, pair in enumerate(ranks.pairs)} for values in (np.minimum(ranks.rank, 999), layout.topic))  # type: ignore[return-value]


@pytest.mark.parametrize("key", ["clirmatrix-v1", "sample-v1"])
def test_consistency_is_the_mean_of_scipys_correlations_over_the_same_topics(index: Index, key: str) -> None:
    board = index.boards[key]
    line, row = _first(index, board)
    ranks, topics = _ranks(index, board, line)
    found = fairness.consistency(board, row, _every(board))
    by_topic = {pair: dict(zip(topics[pair].tolist(), ranks[pair].tolist(), strict=True)) for pair in board.pairs}
    rhos: dict[tuple[str, str], list[float]] = {}
    for a in board.pairs:
        for b in board.pairs:
            if a.document == b.document and a.query < b.query:
                x, y = zip(*((rank, by_topic[b][topic]) for topic, rank in by_topic[a].items() if topic in by_topic[b]), strict=True)
                rhos.setdefault((a.query, b.query), []).append(float(spearmanr(x, y).statistic))
    assert found is not None and found.correlations == sum(map(len, rhos.values())) and found.topics == len(set().union(*(t.tolist() for t in topics.values())))
    assert found.value == pytest.approx(np.mean([rho for each in rhos.values() for rho in each]), abs=1e-5)
    for (a, b), each in rhos.items():
        i, j = found.asked.index(a), found.asked.index(b)
        assert found.agreement[i, j] == found.agreement[j, i] == pytest.approx(np.mean(each), abs=1e-5)
    assert np.isnan(np.diag(found.agreement)).all()
    assert found.low < found.value < found.high


def test_the_interval_of_consistency_is_that_of_topics_drawn_again(index: Index) -> None:
    board = index.boards["sample-v1"]
    mask = np.array([pair.document == "fr" and pair.query in ("de", "en", "ru") for pair in board.pairs])
    line, row = _first(index, board)
    ranks, _ = _ranks(index, board, line)
    found = fairness.consistency(board, row, mask)
    assert found is not None and found.correlations == 3
    rng, slow = np.random.default_rng(7), []
    for _ in range(300):
        drawn = rng.integers(0, 96, 96)
        a, b, c = (ranks[Pair(query, "fr")][drawn] for query in ("de", "en", "ru"))
        slow.append(np.mean([spearmanr(p, q).statistic for p, q in ((a, b), (a, c), (b, c))]))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=0.03)


@pytest.mark.parametrize("key", BOARDS)
def test_the_effect_of_the_documents_language_is_kruskal_and_wallis_epsilon_squared(index: Index, key: str) -> None:
    board = index.boards[key]
    line, row = _first(index, board)
    ranks, _ = _ranks(index, board, line)
    effects = fairness.language_effects(board, row, _every(board))
    assert [e.query for e in effects] == list(board.query_languages)
    for e in effects:
        groups = {pair.document: ranks[pair] for pair in board.pairs if pair.query == e.query}
        n = sum(map(len, groups.values()))
        assert (e.n, e.documents) == (n, len(groups))
        assert e.epsilon == pytest.approx(kruskal(*groups.values()).statistic / (n - 1))
        assert e.chance == pytest.approx((len(groups) - 1) / (n - 1), rel=1e-9 if key == "large_scale-v1" else 0.9)


def _exchanged(ranks: np.ndarray, group: np.ndarray, topic: np.ndarray | None, times: int = 4000) -> float:
    """The mean epsilon squared when ranks are exchanged within topics, or among all topics with one document language, as a slow loop."""
    rng, several = np.random.default_rng(3), [] if topic is None else [t for t in set(topic.tolist()) if len(set(group[topic == t])) > 1]
    blocks = [np.flatnonzero(topic == t) for t in several]
    blocks.append(np.setdiff1d(np.arange(len(ranks)), np.concatenate([np.zeros(0, int), *blocks])))
    found = []
    for _ in range(times):
        moved = ranks.copy()
        for block in blocks:
            moved[block] = rng.permutation(moved[block])
        means = [(moved[group == g].mean() - ranks.mean()) ** 2 * (group == g).sum() for g in set(group.tolist())]
        found.append(sum(means) / ((ranks - ranks.mean()) ** 2).sum())
    return float(np.mean(found))


@pytest.mark.parametrize("design", ["all in all languages", "one language each", "mixed", "unknown"])
def test_what_the_effect_would_be_by_chance_is_the_mean_over_exchanged_ranks(design: str) -> None:
    rng = np.random.default_rng(5)
    if design == "all in all languages":
        topic, group = np.repeat(np.arange(8), 3), np.tile(np.arange(3), 8)
    elif design == "one language each":
        topic, group = np.arange(24), rng.integers(0, 3, 24)
    else:  # topics in one, two or all languages, some twice in one
        topic, group = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6, 6, 7]), np.array([0, 1, 2, 0, 2, 0, 0, 1, 1, 1, 2, 0, 1, 2, 2])
    ranks = rankdata(rng.random(24)[topic] * 2 + rng.random(len(topic)))
    known = None if design == "unknown" else topic
    epsilon, chance = fairness._explained(ranks, group, known)
    assert epsilon == pytest.approx(kruskal(*(ranks[group == g] for g in range(3))).statistic / (len(ranks) - 1))
    assert chance == pytest.approx(_exchanged(ranks, group, known), rel=0.05)
    if design in ("one language each", "unknown"):
        assert chance == pytest.approx(2 / (len(ranks) - 1))


def test_the_chance_that_is_shown_is_the_mean_of_effects_when_there_is_none_though_topics_differ() -> None:
    rng, languages_, topics, draws = np.random.default_rng(9), 5, 200, 150
    topic, group = np.tile(np.arange(topics), languages_), np.repeat(np.arange(languages_), topics)
    by_topic = rng.standard_normal((draws, topics))
    values = np.sqrt(0.7) * by_topic[:, topic] + np.sqrt(0.3) * rng.standard_normal((draws, len(topic)))
    epsilon, chance = np.array([fairness._explained(rankdata(row), group, topic) for row in values]).T
    assert chance.mean() == pytest.approx(epsilon.mean(), rel=0.12)  # the error of the mean of 150 is 6 %
    assert (languages_ - 1) / (len(topic) - 1) > 2.5 * epsilon.mean()  # what independent queries would give


def _board(asked: tuple[str, ...], held: tuple[str, ...], ranks: np.ndarray) -> Board:
    """A board of one system: ``ranks`` [asked, held, topics]."""
    pairs, n = tuple(Pair(q, d) for q in asked for d in held), ranks.shape[2]
    shape = Shape(
        "made", 1, None, pairs, np.full(len(pairs), n, np.int32), None, None, np.tile(np.arange(n, dtype=np.int32), len(pairs)), dict.fromkeys(held, n)
    )
    hits = (ranks <= 10).sum(2).reshape(1, -1, 1).astype(float)
    rows = np.zeros(1, np.int32)
    return Board("made-v1", shape, rows, ("R@10",), hits, hits, hits, rows, ranks.reshape(1, -1).astype(np.uint8), np.ones(1, bool), np.zeros(1, bool))


def test_a_system_that_prefers_english_for_everybody_has_no_lift_but_an_effect() -> None:
    rng, tongues = np.random.default_rng(0), ("ar", "de", "en", "ru")
    ranks = rng.integers(20, 100, (4, 4, 200))
    ranks[:, 2] = rng.integers(1, 20, (4, 200))
    board = _board(tongues, tongues, ranks)
    retrieved = np.zeros((4, 1, 3, 4), np.int64)
    retrieved[:, 0, :, 2] = 2000
    liking = Profile(tongues, tongues, (10,), np.full(4, 0.25), np.full((4, 1, 3), 200), retrieved)
    assert liking.lift("any", 10) == pytest.approx(1)
    assert liking.exposure("any") < 0.5
    effects = fairness.language_effects(board, 0, _every(board))
    assert all(e.epsilon > 0.5 and e.best == "en" for e in effects)
    fair = fairness.language_effects(_board(tongues, tongues, rng.integers(1, 100, (4, 4, 200))), 0, _every(board))
    assert np.mean([e.epsilon for e in fair]) == pytest.approx(fair[0].chance, abs=0.005)


def test_ranks_that_do_not_vary_give_no_consistency_and_no_effect() -> None:
    board = _board(("de", "en"), ("de", "en"), np.ones((2, 2, 50), int))
    assert fairness.consistency(board, 0, _every(board)) is None
    assert [e.epsilon for e in fairness.language_effects(board, 0, _every(board))] == [0, 0]


def test_same_ranks_in_all_query_languages_are_full_consistency() -> None:
    order = np.random.default_rng(1).integers(1, 250, 300)
    order[order > 200] = min(NOT_FOUND, 255)
    found = fairness.consistency(_board(("de", "en", "fr"), ("de", "en"), np.broadcast_to(order, (3, 2, 300))), 0, np.ones(6, bool))
    assert found is not None and (found.value, found.low, found.high) == pytest.approx((1, 1, 1), abs=1e-5)


def test_one_query_language_has_no_consistency(index: Index) -> None:
    board = index.boards["large_scale-v1"]
    line, row = _first(index, board)
    assert fairness.consistency(board, row, _every(board)) is None
    assert tables.agreement_map(index, board, line, _every(board)) is None
    assert tables.alike_table(index, board, [line], _every(board), "R@10").rows[0][1] is None


def test_disparity_is_what_the_loop_over_pairs_says(index: Index) -> None:
    board = index.boards["sample-v1"]
    line, at = next((int(line), at) for at, entry in enumerate(board.entries) for line in np.flatnonzero(index.entry_of[board.key] == entry))
    means = {record.pair: record.measures["R@10"].mean for record in _file(index, board, line).pairs}
    found = fairness.disparity(board, board.means("R@10")[at], _every(board))
    assert found is not None and (found.best_value, found.worst_value) == (max(means.values()), min(means.values()))
    assert means[found.best] == found.best_value and means[found.worst] == found.worst_value and found.spread == found.best_value - found.worst_value
    assert found.variation == pytest.approx(np.std(list(means.values())) / np.mean(list(means.values())))
    same, other = ([m for pair, m in means.items() if pair.same == is_same] for is_same in (True, False))
    assert found.diagonal == pytest.approx(np.mean(same) - np.mean(other))
    assert fairness.disparity(board, board.means("R@10")[at], np.arange(64) == 3) is None


def test_a_same_language_rate_never_stands_without_recall_loss_and_n(index: Index) -> None:
    board, mask = index.boards["sample-v1"], _every(index.boards["sample-v1"])
    found = tables.rates(index, board, [0, 1], mask, "other", 10, "nDCG@10")
    table = tables.rate_table(found, board, "other", "nDCG@10")
    keys = [column.key for column in table.columns]
    assert {"n", "rate", "pool", "recall", "own", "loss", "pairs"} <= set(keys) and len(table.rows) == 16
    assert [row[0] for row in table.rows] == sorted(name for name in map(languages.name, board.query_languages) for _ in (0, 1))
    for row, rate in zip(table.rows, found, strict=True):
        cells = dict(zip(keys, row, strict=True))
        assert cells["loss"] == pytest.approx(cells["own"] - cells["recall"], nan_ok=True) and cells["n"] == 96  # type: ignore[operator]
        assert cells["rate"] == rate.rate and rate.rate.low <= rate.rate.value <= rate.rate.high
    chart = charts.rate_chart(found)
    assert [v["rate"] for v in chart["data"]["values"]] == [round(100 * rate.rate.value, 2) for rate in found]  # type: ignore[index]
    assert json.loads(json.dumps(chart)) == chart and json.loads(json.dumps(charts.loss_chart(found, "R@10")))
    only = tables.rates(index, board, [0], np.array([pair.query in ("ar", "ja") for pair in board.pairs]), "other", 10, "R@10")
    assert [rate.query for rate in only] == ["Arabic", "Japanese"]


def test_the_map_marks_shares_that_the_pool_explains(index: Index) -> None:
    board = index.boards["clirmatrix-v1"]
    line, _ = _first(index, board)
    table, found = tables.lift_map(index, board, line, _every(board), "other", 10), profile(index, board, line)
    assert table is not None and found is not None and len(table.rows) == 8
    codes = [column.key for column in table.columns[2:]]
    lists = {languages.name(row.language): row for row in found.lists("other", 10)}
    marks = 0
    for name, n, *cells in table.rows:
        row = lists[str(name)]
        low, high = row.interval()
        for code, cell in zip(codes, cells, strict=True):
            at = found.held.index(code)
            assert isinstance(cell, Marked) and cell.value == row.lift[at] and n == row.queries
            assert bool(cell.mark) == (low[at] <= row.share[at] <= high[at])
            marks += bool(cell.mark)
    assert 0 < marks < 64


def test_what_is_not_known_is_a_dash_and_no_error(index: Index) -> None:
    claimed = index.line("synthetic-00/model-04/published")
    hnsw = index.line("synthetic-00/model-00/native-hnsw") or next(i for i, line in enumerate(index.lines) if "hnsw" in str(line))
    board = index.boards["sample-v1"]
    assert claimed is not None and profile(index, board, claimed) is None
    assert tables.lift_map(index, board, claimed, _every(board), "other", 10) is None and golds(index, board, [claimed]) == ()
    assert tables.agreement_map(index, board, claimed, _every(board)) is None
    alike = tables.alike_table(index, board, [claimed], _every(board), "R@10").rows[0]
    assert alike[1:4] == (None, None, None) and alike[4] is not None
    rates = tables.rates(index, board, [hnsw], _every(board), "other", 10, "R@10")
    assert rates and all(np.isnan(rate.cost.own) and np.isfinite(rate.cost.recall) for rate in rates)
    assert "–" in tables.rate_table(rates, board, "other", "R@10").html()
    assert all("to" not in value for value in charts.loss_chart(rates, "R@10")["data"]["values"])  # type: ignore[index]
    oracle = index.boards["sample-v1.oracle"]
    line = int(np.flatnonzero(index.entry_of[oracle.key] >= 0)[0])
    assert profile(index, oracle, line) is None and tables.alike_table(index, oracle, [line], _every(oracle), "RR@100").rows[0][1] is not None


def test_the_scatter_shows_every_system_that_has_both_and_its_table_the_same(index: Index) -> None:
    found = standing(index, Selection(boards=("sample-v1",)))
    known = np.flatnonzero(np.isfinite(found.loss) & np.isfinite(found.score))
    chart = charts.quality_chart(index, found, "loss", [int(found.lines[known[1]])])
    values = chart["data"]["values"]  # type: ignore[index]
    table = tables.quality_table(index, found, known)
    assert [v["system"] for v in values] == [row[0].text for row in table.rows]  # type: ignore[union-attr]
    assert [v["x"] for v in values] == [round(100 * float(row[5]), 3) for row in table.rows]  # type: ignore[arg-type]
    assert [i for i, v in enumerate(values) if "chosen" in v] == [1]
    assert f"the other {len(known) - 1:,} systems;" in charts.grey_words(found, "loss", [int(found.lines[known[1]])])
    assert charts.grey_words(found, "loss", found.lines.tolist()) == ""
    assert all(isinstance(row[2], Interval) for row in table.rows)
    preference = tables.preference_table(index, found, [int(found.lines[known[0]])], "other", 10)
    summary = dict(zip((column.key for column in preference.columns), preference.rows[0], strict=True))
    assert [summary[key] for key in ("lift", "own", "loss")] == pytest.approx([float(x[known[0]]) for x in (found.lift, found.own, found.loss)])


def test_a_bias_loss_that_is_not_known_is_explained(index: Index) -> None:
    found = standing(index, Selection(boards=("sample-v1",)))
    known = np.isfinite(found.loss)
    assert not known.all()
    one, none = int(found.lines[known.argmax()]), int(found.lines[known.argmin()])
    assert f"No bias loss (–) is known of {index.lines[none]}: " in charts.loss_words(index, found, [one, none])
    leads = replace(found, lines=np.array([none, one], np.int32), loss=np.array([np.nan, 0.1]))
    assert f"{index.lines[none]} leads here" in charts.loss_words(index, leads, [one])
    assert charts.loss_words(index, replace(found, lines=found.lines[known], loss=found.loss[known]), [one]) == ""
    alone = standing(index, Selection(boards=("sample-v1",), queries=("ar",), documents=("ar",)))
    assert "two languages, and none is chosen" in charts.loss_words(index, alone, [one])
