"""Intervals, tests and tiers against scipy, brute force and all 2^m flips."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from clir_bench import significance as sig


def all_flips(differences: np.ndarray) -> float:
    """The exact two-sided p over every pattern of signs."""
    sums = np.array([np.dot(signs, differences) for signs in itertools.product((-1, 1), repeat=len(differences))])
    return float((np.abs(sums) >= abs(differences.sum()) - 1e-12).mean())


def slow_sums(values: np.ndarray, pair: np.ndarray, topic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Topic sums and centred sums of one system, query by query."""
    pairs, topics = sorted(set(pair)), sorted(set(topic))
    sums, centred = np.zeros(len(topics)), np.zeros(len(topics))
    for v, p, t in zip(values, pair, topic, strict=True):
        weight = 1 / len(pairs) / (pair == p).sum()
        sums[topics.index(t)] += weight * v
        centred[topics.index(t)] += weight * (v - values[pair == p].mean())
    return sums, centred


def mmarco_like(rng: np.random.Generator, topics: int = 60, languages: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Every topic asked in all languages, with one document language each: pair and topic [evaluated], unequal topics a pair."""
    held = np.r_[np.arange(languages), rng.integers(0, languages, topics - languages)]
    topic = np.repeat(np.arange(topics), languages)
    return np.tile(np.arange(languages), topics) * languages + held[topic], topic


def test_wilson_is_scipys() -> None:
    hits, n = np.array([0, 1, 5, 50, 99, 100, 0, 1, 531]), np.array([10, 10, 10, 100, 100, 100, 1, 1, 531])
    for level in (0.9, 0.95, 0.999):
        low, high = sig.wilson(hits, n, level)
        for i, (x, m) in enumerate(zip(hits, n, strict=True)):
            expected = stats.binomtest(int(x), int(m)).proportion_ci(level, "wilson")
            assert (low[i], high[i]) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert sig.wilson(0, 10)[0] == 0
    assert sig.wilson(10, 10)[1] == 1
    with np.errstate(all="raise"):
        assert sig.wilson(0, 0) == (0, 1)


def test_a_mean_of_zeros_and_ones_has_wilsons_interval_and_any_other_the_normal_one() -> None:
    values = [np.array([0, 1, 1, 0, 1.0]), np.array([0.2, 0.5, 1.0, 0.0, 0.3]), np.array([0.99, 1.0, 1.0, 1.0, 0.99]), np.array([0.4])]
    low, high = sig.mean_interval([len(v) for v in values], [v.sum() for v in values], [(v**2).sum() for v in values])
    assert (low[0], high[0]) == pytest.approx(stats.binomtest(3, 5).proportion_ci(method="wilson")[:2])
    assert (low[1], high[1]) == pytest.approx(stats.norm.interval(0.95, values[1].mean(), stats.sem(values[1])))
    assert high[2] == 1
    assert low[2] == pytest.approx(stats.norm.interval(0.95, values[2].mean(), stats.sem(values[2]))[0])
    assert (low[3], high[3]) == (0, 1)
    assert np.isnan(sig.mean_interval(10, 5.0, np.nan)).all()


def test_mcnemar_is_the_exact_binomial_test() -> None:
    a, b = (x.ravel() for x in np.meshgrid([0, 1, 2, 6, 40, 300], [0, 1, 5, 12, 41, 900]))
    expected = [stats.binomtest(int(x), int(x + y)).pvalue if x + y else 1.0 for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(sig.mcnemar(a, b), expected, rtol=1e-9)


def test_few_differences_are_tested_by_all_patterns_of_signs() -> None:
    rng = np.random.default_rng(3)
    rows = [rng.normal(0.3, 1, 13), np.r_[np.ones(6), np.zeros(7)], rng.choice([-1.0, 0, 1], 13), np.zeros(13), rng.choice([0.5, 1.0, -0.25], 13)]
    exact = np.array([all_flips(row) for row in rows])
    np.testing.assert_allclose(sig.sign_flip(np.array(rows)), exact, rtol=1e-12)
    assert (exact[1], exact[3]) == (2 / 64, 1)
    filled = np.zeros((5, 500))  # what does not differ counts for nothing, wherever it stands
    filled[:, rng.permutation(500)[:13]] = rows
    np.testing.assert_allclose(sig.sign_flip(filled), exact, rtol=1e-12)


def test_sign_flips_come_near_all_patterns_of_signs() -> None:
    rng = np.random.default_rng(3)
    rows = np.array([rng.normal(0.3, 1, 16), rng.choice([0.5, 1.0, -0.25], 16)])
    exact = np.array([all_flips(row) for row in rows])
    assert (np.abs(sig.sign_flip(rows) - exact) <= 5 * np.sqrt(exact * (1 - exact) / 10_000) + 1e-4).all()


def test_the_p_of_a_row_does_not_depend_on_the_others() -> None:
    rng = np.random.default_rng(4)
    rows = np.zeros((30, 600))
    for row in rows:
        row[: rng.integers(14, 600)] = 1
    rows *= rng.choice([-1.0, 1.0, 0.5], rows.shape)
    together = sig.sign_flip(rows, 500)
    np.testing.assert_array_equal(together, [sig.sign_flip(np.trim_zeros(row, "b"), 500) for row in rows])


def test_what_rounding_left_is_no_difference() -> None:
    noise = np.full(20, 1e-17)
    assert sig.sign_flip(noise) == 1
    np.testing.assert_array_equal(sig.sign([1e-12, -1e-12, 0.001, -0.001, 0]), [0, 0, 1, -1, 0])
    assert np.isinf(sig.more_queries(1e-16, 0.01, 50))
    values = np.random.default_rng(0).random(30)
    found = sig.paired_tests(values, values + 1e-17, np.zeros(30, int), 1)
    assert (found.difference[0], found.only_first[0], found.only_second[0], found.p[0]) == (0, 0, 0, 1)


def test_sign_flips_are_never_zero_and_never_below_one_in_flips() -> None:
    assert sig.sign_flip(np.ones(100), flips=999) == 1 / 1000
    assert sig.sign_flip(np.zeros(5)) == 1
    np.testing.assert_array_equal(sig.sign_flip_by_pair(np.zeros(5), np.zeros(5, int), 3), [1, 1, 1])


def test_sign_flips_agree_with_scipys_permutation_test() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.random(40), rng.random(40)
    theirs = stats.permutation_test((a, b), lambda x, y, axis: (x - y).mean(axis), permutation_type="samples", n_resamples=9999, rng=1).pvalue
    assert sig.sign_flip(b - a) == pytest.approx(theirs, abs=0.03)


def test_sign_flips_by_pair_are_those_of_each_pair_alone() -> None:
    rng = np.random.default_rng(7)
    pair = rng.integers(0, 4, 300)
    pair[pair == 2] = 1  # pair 2 has no query
    differences = rng.choice([0, 0, 0.5, -0.5, 1.0], 300)
    found = sig.sign_flip_by_pair(differences, pair, 4, flips=20_000)
    alone = [float(sig.sign_flip(differences[pair == p], 20_000)) if (pair == p).any() else 1.0 for p in range(4)]
    assert found == pytest.approx(alone, abs=0.02)
    assert found[2] == 1


def test_blocks_change_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    differences, scores, centred = rng.normal(size=(3, 40)), rng.random(3), rng.normal(size=(3, 40))
    whole = sig.sign_flip(differences, 1000), sig.resampled_scores(scores, centred, 100)
    monkeypatch.setattr(sig, "_ROWS", 2)
    monkeypatch.setattr(sig, "_DRAWN", 1000)
    np.testing.assert_array_equal(whole[0], sig.sign_flip(differences, 1000))
    np.testing.assert_allclose(whole[1], sig.resampled_scores(scores, centred, 100), atol=1e-6)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    rng = np.random.default_rng(2)
    d, scores, centred = rng.normal(0.2, 1, 50), rng.random(4), rng.normal(size=(4, 50))
    assert sig.sign_flip(d, seed=4) == sig.sign_flip(d, seed=4) != sig.sign_flip(d, seed=5)
    np.testing.assert_array_equal(sig.resampled_scores(scores, centred, 50), sig.resampled_scores(scores, centred, 50))
    assert (sig.resampled_scores(scores, centred, 50) != sig.resampled_scores(scores, centred, 50, seed=1)).any()


def test_topic_sums_are_those_of_a_slow_loop_and_add_up_to_the_macro_mean() -> None:
    rng = np.random.default_rng(11)
    pair, topic = mmarco_like(rng)
    values = rng.random((3, len(pair)))
    found = sig.topic_sums((row for row in values), pair * 7, topic + 100)  # numbers need not be dense
    for s, row in enumerate(values):
        sums, centred = slow_sums(row, pair, topic)
        np.testing.assert_allclose(found.sums[s], sums, atol=1e-15)
        np.testing.assert_allclose(found.centred[s], centred, atol=1e-15)
        assert found.scores[s] == pytest.approx(np.mean([row[pair == p].mean() for p in np.unique(pair)]))
    np.testing.assert_allclose(found.centred.sum(1), 0, atol=1e-12)
    assert found.unit == pytest.approx(1 / len(pair))


def test_several_data_sets_are_one_selection_of_equal_weights() -> None:
    rng = np.random.default_rng(12)
    parts = [sig.topic_sums(rng.random((2, 40)), np.repeat([0, 1], 20), np.tile(np.arange(20), 2)) for _ in range(3)]
    joint = sig.join(parts)
    np.testing.assert_allclose(joint.scores, np.mean([p.scores for p in parts], axis=0))
    np.testing.assert_allclose(joint.sums.sum(1), joint.scores)
    assert joint.centred.shape == (2, 60)
    assert joint.unit == pytest.approx(parts[0].unit / 3)
    expected = np.sqrt(sum(sig.topic_se(p.centred) ** 2 for p in parts)) / 3
    np.testing.assert_allclose(sig.topic_se(joint.centred), expected, rtol=0.03)


def test_resampled_topics_are_scipys_bootstrap_and_their_error_the_standard_error() -> None:
    rng = np.random.default_rng(13)
    values = rng.random(200) ** 2
    sums = sig.topic_sums([values], np.zeros(200, int), np.arange(200))
    assert sig.topic_se(sums.centred)[0] == pytest.approx(stats.sem(values))
    low, high = sig.percentile_interval(sig.resampled_scores(sums.scores, sums.centred, 20_000))
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=9999, rng=1).confidence_interval
    assert (low[0], high[0]) == pytest.approx((theirs.low, theirs.high), abs=0.003)
    assert np.isinf(sig.topic_se(np.zeros((2, 1)))).all()


def test_the_interval_of_one_pair_is_that_of_its_queries_and_of_an_average_that_of_its_topics() -> None:
    rng = np.random.default_rng(10)
    hits, some = (rng.random(96) < 0.1).astype(float), rng.random(96)
    one = sig.topic_sums([hits, some, np.zeros(96)], np.zeros(96, int), np.arange(96) // 2)  # two queries a topic
    low, high = sig.score_intervals(one, sig.resampled_scores(one.scores, one.centred, 100))
    assert (low[0], high[0]) == pytest.approx(stats.binomtest(int(hits.sum()), 96).proportion_ci(method="wilson")[:2])
    assert (low[1], high[1]) == pytest.approx(stats.norm.interval(0.95, some.mean(), stats.sem(some)))
    assert (low[2], high[2]) == pytest.approx(stats.binomtest(0, 96).proportion_ci(method="wilson")[:2])
    two = sig.topic_sums([hits, np.ones(96)], np.repeat([0, 1], 48), np.tile(np.arange(48), 2))
    drawn = sig.resampled_scores(two.scores, two.centred, 500)
    low, high = sig.score_intervals(two, drawn)
    assert (low[0], high[0]) == pytest.approx(np.maximum(np.quantile(drawn[:, 0], [0.025, 0.975]), 0))
    assert (low[1], high[1]) == pytest.approx(stats.binomtest(48, 48).proportion_ci(method="wilson")[:2])  # all alike: 48 topics


def test_a_difference_that_never_varies_has_an_interval_all_the_same() -> None:
    rng = np.random.default_rng(9)
    bound = stats.binomtest(0, 40).proportion_ci(method="wilson").high
    for d, expected in ((0.0, (-bound, bound)), (1.0, (1 - 2 * bound, 1)), (-1.0, (-1, 2 * bound - 1))):
        found = sig.difference_interval(np.full(100, d), d, 40)
        assert (float(found[0]), float(found[1])) == pytest.approx(expected)
    drawn = rng.normal(0.1, 0.02, 400)
    np.testing.assert_allclose(sig.difference_interval(drawn, 0.1, 40), np.quantile(drawn, [0.025, 0.975]))


def test_resampling_weights_is_resampling_whole_topics() -> None:
    """One pair, topics of several queries: drawing a topic draws all its queries."""
    rng = np.random.default_rng(14)
    topic = np.repeat(np.arange(50), 2)
    values = np.repeat(rng.random(50), 2)
    sums = sig.topic_sums([values], np.zeros(100, int), topic)
    assert sig.topic_se(sums.centred)[0] == pytest.approx(stats.sem(values[::2]))
    spread = sig.resampled_scores(sums.scores, sums.centred, 4000).std()
    assert spread == pytest.approx(stats.sem(values[::2]), rel=0.06)


def test_rank_intervals_count_the_systems_that_are_surely_better_or_worse() -> None:
    scores, apart = np.array([0.9, 0.5, 0.5, 0.1]), p_of(4, [(0, 3), (0, 1), (2, 3)]) < 0.05
    low, high = sig.rank_intervals(scores, apart)
    np.testing.assert_array_equal(low, [1, 2, 1, 3])
    np.testing.assert_array_equal(high, [2, 4, 3, 4])


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3])
def test_rank_intervals_hold_the_true_ranks_of_all_systems_at_once(spread: float) -> None:
    """Ranks of resamples would not: of 20 systems near each other, each has the rank of its luck."""
    rng, held, resampled_held, repeats = np.random.default_rng(15), 0, 0, 60
    true = np.linspace(spread, 0, 20)
    rank = 1 + (true[:, None] < true).sum(1)
    for _ in range(repeats):
        values = true[:, None] + np.sqrt(0.5) * (rng.normal(size=(20, 200)) + rng.normal(size=200))
        sums = values / 200
        low, high = sig.rank_intervals(sums.sum(1), sig.separable(sig.pairwise_p(sums, 0.0)))
        held += ((low <= rank) & (rank <= high)).all()
        drawn = sig.resampled_scores(sums.sum(1), sums - sums.mean(1, keepdims=True), 200)
        ranks = np.quantile(1 + (drawn[:, :, None] < drawn[:, None]).sum(2), [0.025, 0.975], axis=0)
        resampled_held += ((ranks[0] <= rank) & (rank <= ranks[1])).all()
    assert held >= 0.9 * repeats
    assert resampled_held < held


def test_pairwise_z_is_the_deviation_of_topic_flips_with_mcnemars_correction() -> None:
    rng = np.random.default_rng(17)
    sums = rng.normal(0.01, 0.1, (5, 30))
    z = sig.pairwise_z(sums, 0.003)
    for a, b in itertools.combinations(range(5), 2):
        d = sums[a] - sums[b]
        assert z[a, b] == z[b, a] == pytest.approx(max(0, abs(d.sum()) - 0.003) / np.sqrt((d**2).sum()))
    assert (np.diag(z) == 0).all()
    assert (np.diag(sig.pairwise_p(sums, 0.003)) == 1).all()


@pytest.mark.parametrize(("one_way", "other"), [(6, 0), (8, 1), (12, 3), (40, 20), (300, 240)])
def test_pairwise_p_comes_near_the_exact_test_of_disagreeing_queries(one_way: int, other: int) -> None:
    """The plain normal tail would say .014 where the exact test says .031 (6 queries, all one way)."""
    n = 1000
    sums = np.zeros((2, n))
    sums[0, :one_way] = sums[1, one_way : one_way + other] = 1 / n
    exact = float(sig.mcnemar(one_way, other))
    assert exact * 0.8 <= sig.pairwise_p(sums, 1 / n)[0, 1] <= exact * 1.4


def test_pairwise_p_of_clustered_topics_comes_near_that_of_the_flips() -> None:
    rng = np.random.default_rng(18)
    pair, topic = np.tile(np.arange(4), 160) * 4 + np.repeat(np.arange(160), 4) % 4, np.repeat(np.arange(160), 4)
    difficulty = rng.normal(size=160)[topic]
    values = (difficulty + rng.normal(0, 1, (6, len(topic))) + np.array([0, 0, 0.1, 0.1, 0.3, 0.3])[:, None] > 0).astype(float)
    found = sig.topic_sums(values, pair, topic)
    upper = np.triu_indices(6, 1)
    flips = sig.sign_flip(found.sums[upper[0]] - found.sums[upper[1]])
    assert sig.pairwise_p(found.sums, found.unit)[upper] == pytest.approx(flips, abs=0.02)


def test_identical_systems_are_never_apart() -> None:
    rng = np.random.default_rng(19)
    sums = np.repeat(rng.random((1, 500)) / 500, 3, axis=0)
    assert (sig.pairwise_p(sums, 1e-9) == 1).all()
    assert (sig.tiers(sums.sum(1), sig.separable(sig.pairwise_p(sums, 1e-9))) == 1).all()


def test_holm_and_benjamini_hochberg_follow_their_papers() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.005, 0.9])
    assert sig.holm(p) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.9])  # Holm 1979: .005*5, .01*4, .03*3, then never less
    assert sig.holm([]).size == sig.benjamini_hochberg([]).size == 0
    rng = np.random.default_rng(20)
    for power in (1, 3, 8):
        many = rng.random(277) ** power
        np.testing.assert_array_equal(sig.benjamini_hochberg(many), stats.false_discovery_control(many) <= 0.05)


def p_of(size: int, apart: list[tuple[int, int]]) -> np.ndarray:
    p = np.ones((size, size))
    for a, b in apart:
        p[a, b] = p[b, a] = 1e-9
    return p


def test_a_tier_is_anchored_at_its_leader_so_ties_do_not_chain() -> None:
    # 0 and 1 are level, 1 and 2 are level, 0 and 2 are not
    np.testing.assert_array_equal(sig.tiers(np.array([0.9, 0.8, 0.7]), p_of(3, [(0, 2)]) < 0.05), [1, 1, 2])
    # the order of the systems in the arrays changes nothing
    np.testing.assert_array_equal(sig.tiers(np.array([0.7, 0.9, 0.8]), p_of(3, [(1, 0)]) < 0.05), [2, 1, 1])


def test_a_less_certain_system_may_stand_in_an_earlier_tier_than_a_better_one() -> None:
    np.testing.assert_array_equal(sig.tiers(np.array([0.9, 0.8, 0.7, 0.1]), p_of(4, [(0, 1), (0, 3), (1, 3), (2, 3)]) < 0.05), [1, 2, 1, 3])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(0, 10_000))
def test_tiers_are_what_they_say(systems: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, systems) / 10
    p = rng.random((systems, systems)) ** rng.integers(1, 30)
    p = np.minimum(p, p.T)
    apart = sig.separable(p)
    tier = sig.tiers(scores, apart)
    assert set(tier) == set(range(1, tier.max() + 1))
    left = np.ones(systems, bool)
    for t in range(1, tier.max() + 1):
        leaders = [s for s in range(systems) if left[s] and scores[s] == scores[left].max()]
        assert (tier[leaders] == t).all()
        np.testing.assert_array_equal(tier == t, left & np.any([~apart[leader] for leader in leaders], axis=0))
        left &= tier != t


def test_equal_systems_stay_in_one_tier_though_the_leader_is_the_luckiest() -> None:
    """Holm over the leader's comparisons alone would put one of 30 equal systems outside in about a third of all cases."""
    rng, outside, naive, repeats = np.random.default_rng(21), 0, 0, 200
    for _ in range(repeats):
        sums = (rng.normal(size=(30, 200)) + rng.normal(size=200)) / 200
        p, scores = sig.pairwise_p(sums, 0.0), sums.sum(1)
        outside += (sig.tiers(scores, sig.separable(p)) > 1).any()
        naive += (sig.holm(np.delete(p[scores.argmax()], scores.argmax())) <= 0.05).any()
    assert outside <= 20
    assert naive >= 40


def test_a_real_difference_makes_a_tier() -> None:
    rng = np.random.default_rng(22)
    sums = (rng.normal(size=(10, 1000)) + rng.normal(size=1000)) / 1000
    sums[4:] -= 0.3 / 1000
    np.testing.assert_array_equal(sig.tiers(sums.sum(1), sig.separable(sig.pairwise_p(sums, 0.0))), [1] * 4 + [2] * 6)


def test_the_table_of_detectable_differences_in_the_docs_is_computed() -> None:
    page = (Path(__file__).parent.parent / "docs" / "statistics.md").read_text(encoding="utf-8")
    rows = [[float(cell) for cell in line.strip("|").split("|")] for line in page.splitlines() if re.match(r"\| \d+ \| \d+\.\d \|", line)]
    assert len(rows) == 3
    for n, *cells in rows:
        se = sig.paired_se([0.05, 0.1, 0.2], n)
        expected = np.r_[sig.detectable_difference(se), sig.detectable_difference(se, comparisons=277)]
        assert cells == [float(f"{100 * value:.1f}") for value in expected]


def test_detectable_differences_are_those_of_the_formula_and_reach_their_power() -> None:
    assert 100 * sig.detectable_difference(sig.paired_se([0.05, 0.1, 0.2], 531)) == pytest.approx([2.7, 3.8, 5.4], abs=0.05)
    assert 100 * sig.detectable_difference(sig.paired_se([0.05, 0.1, 0.2], 1000), comparisons=277) == pytest.approx([3.2, 4.6, 6.5], abs=0.05)
    n, disagreement, rng = 1000, 0.1, np.random.default_rng(23)
    difference = float(sig.detectable_difference(sig.paired_se(disagreement, n)))
    only_b = rng.binomial(n, (disagreement + difference) / 2, 4000)
    only_a = rng.binomial(n - only_b, (disagreement - difference) / 2 / (1 - (disagreement + difference) / 2))
    assert (sig.mcnemar(only_a, only_b) <= 0.05).mean() == pytest.approx(0.8, abs=0.04)


def test_more_queries_would_find_a_difference_and_none_are_needed_where_it_is_large() -> None:
    se, n = 0.01, 500
    more = sig.more_queries([0.0, 0.005, 0.028, 0.0281, -0.05], se, n)
    assert np.isinf(more[0])
    assert sig.more_queries(0.9, 0.01, 4) == 2  # of 5 topics no p is below 1/16
    assert np.isnan(sig.more_queries(0.9, np.inf, 1))
    total = n + more[1]
    assert float(sig.detectable_difference(se * np.sqrt(n / total))) == pytest.approx(0.005, rel=1e-3)
    assert more[2] > 0
    assert more[3] == more[4] == 1
    assert sig.more_queries(0.005, se, n, comparisons=45) > more[1]


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_the_interval_of_an_average_covers_when_topics_are_resampled_and_not_when_queries_are(share: float) -> None:
    """A fast form of benchmarks/significance.py: 5 languages, 300 topics with one document language each, 120 repetitions."""
    rng, repeats, languages, topics = np.random.default_rng(24), 120, 5, 300
    topic = np.repeat(np.arange(topics), languages)
    pair = np.tile(np.arange(languages), topics) * languages + (topic % languages)
    effect = rng.normal(size=(repeats, topics)) * np.sqrt(share)
    values = effect[:, topic] + rng.normal(size=(repeats, len(topic))) * np.sqrt(1 - share)
    sums = sig.topic_sums(values, pair, topic)
    low, high = sig.percentile_interval(
        np.stack([sig.resampled_scores(s[None], c[None], 400)[:, 0] for s, c in zip(sums.scores, sums.centred, strict=True)], 1)
    )
    clustered = ((low <= 0) & (high >= 0)).mean()
    naive = sig.topic_sums(values, pair, np.arange(len(topic)))
    half = 1.96 * sig.topic_se(naive.centred)
    assert clustered >= 0.88
    assert (np.abs(naive.scores) <= half).mean() <= clustered - 0.1


def all_shares(n: int, p: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every pair of counts of hits among n queries each, and how probable it is."""
    x, y = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    return x, y, np.outer(*[stats.binom.pmf(np.arange(n + 1), n, p)] * 2)


def test_values_exchanged_between_two_means_is_scipys_permutation_test() -> None:
    rng = np.random.default_rng(4)
    for n, m, shift in ((40, 60, 0.1), (30, 30, 0.0)):
        x, y = rng.random(n) + shift, rng.random(m)
        theirs = stats.permutation_test((x, y), lambda u, v, axis: u.mean(axis) - v.mean(axis), n_resamples=4000, rng=1).pvalue
        assert sig.exchange_p((n, m), (x.sum(), y.sum()), ((x**2).sum(), (y**2).sum())) == pytest.approx(theirs, abs=0.03)
    for n in (2, 3, 4):  # all against none: Fisher's exact test
        assert sig.exchange_p((n, n), (n, 0), (n, 0)) == pytest.approx(stats.fisher_exact([[n, 0], [0, n]]).pvalue)
    assert sig.exchange_p((5, 5), (0, 0), (0, 0)) == 1


def test_two_independent_shares_are_called_different_no_oftener_than_they_should() -> None:
    """Computed over all counts, not simulated. A Wald test errs in 8 % at n = 20 and a share of one half."""
    for n, p in itertools.product((2, 3, 10, 20, 50, 96), (0.02, 0.1, 0.5)):
        x, y, probability = all_shares(n, p)
        assert (probability * (sig.exchange_p((n, n), (x, y), (x, y)) <= 0.05)).sum() <= 0.058, (n, p)
        if n >= 10:
            low, high = sig.newcombe(x / n, y / n, sig.wilson(x, np.full(x.shape, n)), sig.wilson(y, np.full(x.shape, n)))
            assert (probability * ((low <= 1e-12) & (high >= -1e-12))).sum() >= 0.942, (n, p)


def test_the_interval_of_two_correlated_shares_covers() -> None:
    rng, n, repetitions = np.random.default_rng(8), 50, 4000
    shared = rng.standard_normal((repetitions, n))
    x, y = (np.sqrt(0.7) * shared + np.sqrt(0.3) * rng.standard_normal((repetitions, n)) > cut for cut in (0.0, 0.3))
    truth = stats.norm.sf(0) - stats.norm.sf(0.3)
    a, b = x.mean(1), y.mean(1)
    phi = ((x * y).mean(1) - a * b) / np.sqrt(a * (1 - a) * b * (1 - b))
    widths = []
    for correlation in (phi, 0.0):
        low, high = sig.newcombe(a, b, sig.wilson(x.sum(1), np.full(repetitions, n)), sig.wilson(y.sum(1), np.full(repetitions, n)), correlation)
        assert ((low <= truth) & (truth <= high)).mean() >= 0.94
        widths.append((high - low).mean())
    assert widths[0] < 0.85 * widths[1]


def languages_of(count: int, same: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """The query and the document language of all pairs of so many languages."""
    query, document = (side.ravel() for side in np.meshgrid(np.arange(count), np.arange(count), indexing="ij"))
    kept = same | (query != document)
    return query[kept], document[kept]


def test_leaving_languages_out_is_the_slow_loop() -> None:
    rng, (query, document) = np.random.default_rng(1), languages_of(5, same=False)
    means = rng.random((3, len(query)))
    found = sig.left_out(means, query, document, 6)
    for s, code in itertools.product(range(3), range(5)):
        assert found[s, code] == pytest.approx(np.mean([m for m, q, d in zip(means[s], query, document, strict=True) if code not in (q, d)]) - means[s].mean())
    assert (found[:, 5] == 0).all()
    assert np.isnan(sig.left_out(np.ones(3), np.zeros(3, int), np.arange(1, 4), 4)[0])  # language 0 is in every pair


def test_the_interval_for_other_languages_is_the_jackknife_with_satterthwaites_t() -> None:
    query, document = languages_of(4)
    means = np.random.default_rng(2).random(16)
    moved = sig.left_out(means, query, document, 4)
    low, high = sig.language_interval(means.mean(), np.array(0.02), moved, 50, 4)
    kept = [means[(query != code) & (document != code)].mean() for code in range(4)]
    between = 3 / 4 * sum((each - means.mean()) ** 2 for each in kept)
    freedom = (0.02**2 + between) ** 2 / (0.02**4 / 49 + between**2 / 3)
    assert (low, high) == pytest.approx(stats.t.interval(0.95, freedom, means.mean(), np.sqrt(0.02**2 + between)))
    nothing = np.zeros(4)
    assert sig.language_interval(np.array(0.1), np.array(0.02), nothing, 50, 4) == pytest.approx(stats.t.interval(0.95, 49, 0.1, 0.02))
    assert sig.language_interval(np.array(0.0), np.array(0.0), nothing, 50, 4) == (0, 0)
    assert sig.language_interval(np.array(0.1), np.array(np.inf), nothing, 1, 4) == (-1, 1)


@pytest.mark.parametrize(("count", "same"), [(3, True), (4, False), (8, True), (8, False)])
def test_only_the_interval_for_other_languages_covers_where_languages_differ_by_themselves(count: int, same: bool) -> None:
    """Differences of 400 draws of languages and topics; a language helps one of the systems as language of questions and, correlated, of documents."""
    rng, (query, document), draws, topics = np.random.default_rng(6), languages_of(count, same), 400, 30
    asks = rng.standard_normal((draws, count))
    holds = 0.6 * asks + 0.8 * rng.standard_normal((draws, count))
    truth = 0.08 * (asks[:, query] + holds[:, document]) + 0.02 * rng.standard_normal((draws, len(query)))  # 0 over all languages
    values = truth[:, :, None] + 0.1 * rng.standard_normal((draws, 1, topics)) + 0.3 * rng.standard_normal((draws, len(query), topics))
    sums = sig.topic_sums(values.reshape(draws, -1), np.repeat(np.arange(len(query)), topics), np.tile(np.arange(topics), len(query)))
    error = sig.topic_se(sums.centred)
    low, high = sig.language_interval(sums.scores, error, sig.left_out(values.mean(2), query, document, count), topics, count)
    assert ((low <= 0) & (high >= 0)).mean() >= 0.92
    assert (np.abs(sums.scores) <= 1.96 * error).mean() <= 0.75
