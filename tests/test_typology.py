"""URIEL similarity and the correlation of scores with it (Table 8)."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from clir_bench import claims, languages, typology
from clir_bench.collection import Pair
from clir_bench.task import known_task
from clir_bench.typology import FEATURES, Fill, correlation, similarity

FOLDER = Path(typology.__file__).parent / "data"
MMARCO = known_task("mmarco").language_pairs()  # type: ignore[union-attr]
LARGE = known_task("large_scale").language_pairs()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("a", "b", "figures"),
    [
        ("en", "es", {"geographic": 0.996, "syntax": (0.850, 0.822), "phonology": (0.905, 0.858), "inventory": (0.650, 0.638), "genealogical": 0.096}),
        ("zh", "en", {"geographic": 0.884, "syntax": (0.735, 0.711), "phonology": (0.783, 0.725), "inventory": (0.749, 0.697), "genealogical": 0}),
        ("ar", "ru", {"geographic": 0.955, "syntax": (0.691, 0.698), "phonology": (0.832, 0.816), "inventory": (0.696, 0.650), "genealogical": 0}),
    ],
)
def test_the_figures_are_those_computed_from_lang2vec(a: str, b: str, figures: dict[str, float | tuple[float, float]]) -> None:
    for feature in FEATURES:
        expected = figures[feature] if isinstance(figures[feature], tuple) else (figures[feature],) * 2
        for fill, value in zip(("average", "knn"), expected, strict=True):  # type: ignore[arg-type]
            assert similarity(a, b, feature, fill) == similarity(b, a, feature, fill) == pytest.approx(value, abs=5e-4), (feature, fill)


def test_a_figure_that_uriel_does_not_have_is_none() -> None:
    assert [similarity("en", "nn", feature) for feature in FEATURES] == [pytest.approx(0.994, abs=5e-3), None, None, None, None]
    assert similarity("en", "nn", "syntax", "knn") is not None
    assert similarity("en", "sv", "phonology") is None
    assert similarity("en", "yo", "geographic") is None


def test_every_pair_of_the_27_languages_stands_once_and_the_notice_lies_beside() -> None:
    with (FOLDER / "uriel_similarity.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    codes = {row["a"] for row in rows}
    assert len(codes) == 27 and all(code in languages.TABLE for code in codes)
    assert {(row["a"], row["b"]) for row in rows} == {(a, b) for a in codes for b in codes if a <= b}
    assert len(rows) == 378
    assert "CC BY-SA 4.0" in (FOLDER / "NOTICE").read_text() and "lang2vec 1.1.2" in (FOLDER / "NOTICE").read_text()


def test_claims_are_with_the_same_features() -> None:
    assert FEATURES == claims.FEATURES


@pytest.mark.parametrize("fill", ["average", "knn"])
@pytest.mark.parametrize("same", [False, True])
def test_the_correlation_is_scipys_over_the_pairs_that_have_a_figure(fill: Fill, same: bool) -> None:
    scores = np.random.default_rng(1).random(len(MMARCO))
    scores[5] = np.nan
    for feature in FEATURES:
        kept = [i for i, p in enumerate(MMARCO) if i != 5 and (same or p.query != p.document) and similarity(p.query, p.document, feature, fill) is not None]
        expected = spearmanr([similarity(*MMARCO[i], feature, fill) for i in kept], scores[kept])
        found = correlation(MMARCO, scores, feature, fill, same_language=same)
        assert (found.rho, found.n, found.p) == pytest.approx((expected.statistic, len(kept), expected.pvalue)), feature
        assert found.low < found.rho < found.high
    assert correlation(MMARCO, scores, "syntax", fill, same_language=True).n == 195
    assert correlation(MMARCO, scores, "phonology", "average").n < correlation(MMARCO, scores, "phonology", "knn").n


def test_resampling_languages_is_the_slow_loop_over_copies_of_pairs() -> None:
    pairs, rng = [p for p in MMARCO if not p.same], np.random.default_rng(0)
    x, y = np.array([similarity(*p, "syntax") for p in pairs], float), rng.random(len(pairs)).round(1)
    codes = sorted({code for pair in pairs for code in pair})
    draws = np.random.default_rng(0).multinomial(14, np.full(14, 1 / 14), typology.RESAMPLES)
    slow = []
    for draw in draws:
        times = [int(draw[codes.index(p.query)] * draw[codes.index(p.document)]) for p in pairs]
        if sum(times):
            a, b = (rankdata(np.repeat(values, times)) for values in (x, y))
            slow.append(np.corrcoef(a, b)[0, 1])
    found = correlation(pairs, y, "syntax")
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=1e-9)


def test_a_language_on_one_side_of_every_pair_stays_in_every_resample() -> None:
    found = correlation(LARGE, np.random.default_rng(2).random(25), "geographic")
    assert found.n == 24 and -1 < found.low < found.high < 1
    fisher = correlation(LARGE, np.random.default_rng(2).random(25), "geographic", unit="pairs")
    assert found.high - found.low == pytest.approx(fisher.high - fisher.low, rel=0.25)


def test_where_languages_differ_by_themselves_only_resampling_languages_covers_no_correlation() -> None:
    rng, codes, repetitions = np.random.default_rng(3), sorted({p.query for p in MMARCO}), 60
    query, document = ([codes.index(code) for code in side] for side in zip(*MMARCO, strict=True))
    covered = {"languages": 0, "pairs": 0}
    for _ in range(repetitions):
        asks, holds = rng.standard_normal((2, len(codes)))
        scores = asks[query] + holds[document] + 0.7 * rng.standard_normal(len(MMARCO))
        for unit in covered:
            found = correlation(MMARCO, scores, "syntax", unit=unit)  # type: ignore[arg-type]
            covered[unit] += found.low <= 0 <= found.high
    assert covered["languages"] >= 0.88 * repetitions and covered["pairs"] <= 0.82 * repetitions, covered


def test_without_spread_or_with_few_pairs_there_is_no_correlation_but_n() -> None:
    equal = correlation(LARGE, np.ones(25), "syntax")
    assert np.isnan([equal.rho, equal.low, equal.high, equal.p]).all() and equal.n == 23
    assert np.isnan(correlation([Pair("en", "de"), Pair("en", "fr"), Pair("en", "xx")], [0.1, 0.2, 0.3], "syntax").rho)
    perfect = correlation(LARGE, [similarity(*p, "geographic") or 0 for p in LARGE], "geographic", unit="pairs")
    assert perfect.rho == pytest.approx(1) and perfect.high == pytest.approx(1)
