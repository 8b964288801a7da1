"""Two submissions on the same queries, against slow loops over their values and against scipy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from clir_bench import views_compare
from clir_bench.cli import main
from clir_bench.collection import Collection, Pair
from clir_bench.compare import Comparison, as_record, compare, read_both, too_few_languages
from clir_bench.console import console
from clir_bench.errors import SubmissionError
from clir_bench.evaluate import evaluate
from clir_bench.layout import Layout, layout_of, write_layout
from clir_bench.measures import parse_measure, values
from clir_bench.submission import Submission, path_of, write_submission
from clir_bench.system import System
from clir_bench.task import Task

SOME = (Pair("en", "es"), Pair("ru", "ru"), Pair("zh", "zh"))


@pytest.fixture(scope="module")
def a(sample: tuple[Task, Collection]) -> Submission:
    return evaluate(*sample, System(model="bm25", tokenizer="whitespace")).submission


@pytest.fixture(scope="module")
def b(sample: tuple[Task, Collection]) -> Submission:
    return evaluate(*sample, System(model="bm25")).submission


@pytest.fixture(scope="module")
def layout(sample: tuple[Task, Collection]) -> Layout:
    task, collection = sample
    return layout_of(task.name, task.version, collection)


@pytest.fixture(scope="module")
def result(a: Submission, b: Submission, layout: Layout) -> Comparison:
    return compare(a, b, "R@10", layout)


def printed(result: Comparison, capsys: pytest.CaptureFixture[str], rows: int | None = None) -> str:
    console().print(views_compare.comparison(result, rows), width=200)
    return capsys.readouterr().out


def test_every_pair_has_its_counts_intervals_and_the_exact_test(a: Submission, b: Submission, result: Comparison) -> None:
    ranks = a.ranks()
    x, y = (values(parse_measure("R@10"), s.ranks()) for s in (a, b))
    for number, row in enumerate(result.rows):
        mine = ranks.pair == number
        assert row.pair == ranks.pairs[number]
        assert (row.n, row.a, row.b) == (mine.sum(), pytest.approx(x[mine].mean()), pytest.approx(y[mine].mean()))
        assert (row.only_a, row.only_b) == ((x > y)[mine].sum(), (y > x)[mine].sum())
        assert row.p == pytest.approx(stats.binomtest(row.only_b, row.only_a + row.only_b).pvalue if row.only_a + row.only_b else 1)
        for interval, hits in ((row.a_interval, x[mine].sum()), (row.b_interval, y[mine].sum())):
            assert interval == pytest.approx(stats.binomtest(int(hits), row.n).proportion_ci(method="wilson")[:2])
        disagreeing = (row.only_a + row.only_b) / row.n
        assert row.detectable == (pytest.approx(2.8016 * np.sqrt(disagreeing / row.n), rel=1e-4) if disagreeing else None)
    assert [r.significant for r in result.rows] == list(stats.false_discovery_control([r.p for r in result.rows]) <= 0.05)


def test_wins_are_counted_with_and_without_significance(a: Submission, b: Submission, result: Comparison) -> None:
    differences = [row.difference for row in result.rows]
    assert result.wins == sum(d > 0 for d in differences)
    assert result.losses == sum(d < 0 for d in differences)
    assert result.wins + result.ties + result.losses == 64
    assert result.significant_wins == sum(row.significant and row.difference > 0 for row in result.rows)
    assert 0 < result.significant_losses < result.losses
    turned = compare(b, a, "R@10")
    assert (turned.significant_losses, turned.losses, turned.significant_wins) == (result.significant_wins, result.wins, result.significant_losses)


def test_overall_topics_are_flipped_and_resampled_whole(a: Submission, b: Submission, layout: Layout, result: Comparison) -> None:
    assert result.overall is not None
    difference = np.subtract(*(values(parse_measure("R@10"), s.ranks()) for s in (a, b)))
    by_topic = np.array([difference[layout.topic == t].sum() / len(difference) for t in range(96)])  # all pairs have 96 queries
    assert by_topic.sum() == pytest.approx(result.mean_a - result.mean_b)
    theirs = stats.bootstrap((by_topic * 96,), np.mean, method="percentile", n_resamples=5000, rng=1).confidence_interval
    assert result.overall.interval == pytest.approx((theirs.low, theirs.high), abs=0.003)
    assert result.overall.topics == 96
    assert result.overall.detectable == pytest.approx(2.8016 * stats.sem(by_topic * 96), rel=1e-3)
    assert result.overall.p == 1 / 10_001
    assert (result.overall.more_topics, result.overall.more_queries) == (0, 0)
    for mean, interval in ((result.mean_a, result.overall.a_interval), (result.mean_b, result.overall.b_interval)):
        assert 0 <= interval.low < mean < interval.high <= 1


def test_the_overall_interval_is_wider_than_one_that_takes_queries_for_independent(a: Submission, b: Submission, layout: Layout) -> None:
    queries = replace(layout, topic=np.arange(len(layout.topic), dtype=np.int32))
    clustered, naive = (compare(a, b, "R@10", each).overall for each in (layout, queries))
    assert clustered is not None
    assert naive is not None
    assert clustered.interval.high - clustered.interval.low > 1.5 * (naive.interval.high - naive.interval.low)


def test_the_interval_for_other_languages_leaves_out_each_language_in_turn(a: Submission, b: Submission, layout: Layout, result: Comparison) -> None:
    assert result.overall is not None
    assert result.overall.other_languages is not None
    difference = {row.pair: row.difference for row in result.rows}
    mean, codes = result.mean_a - result.mean_b, sorted({pair.query for pair in difference})
    left = [np.mean([d for pair, d in difference.items() if code not in pair]) for code in codes]
    between = (len(codes) - 1) / len(codes) * sum((each - mean) ** 2 for each in left)
    topics = (result.overall.detectable or 0) ** 2 / 2.8016**2
    freedom = (topics + between) ** 2 / (topics**2 / 95 + between**2 / 7)
    assert result.overall.other_languages == pytest.approx(stats.t.interval(0.95, freedom, mean, np.sqrt(topics + between)), abs=1e-4)
    assert result.overall.other_languages.low < result.overall.interval.low
    turned = compare(b, a, "R@10", layout).overall
    assert turned is not None
    assert turned.other_languages == pytest.approx((-result.overall.other_languages.high, -result.overall.other_languages.low))


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        (("ar-ru", "ja-ru"), "there are 2 query languages and 1 document language, and 3 of each are needed"),
        (("ar-en", "de-en", "en-ar", "en-de"), "English is in every pair"),
    ],
)
def test_why_nothing_can_be_said_of_other_languages_is_told(
    a: Submission, b: Submission, layout: Layout, capsys: pytest.CaptureFixture[str], pairs: tuple[str, ...], why: str
) -> None:
    chosen = tuple(sorted(Pair(*pair.split("-")) for pair in pairs))
    few = compare(_only(a, chosen), b, "R@10", layout)
    assert few.overall is not None
    assert few.overall.other_languages is None
    assert few.overall.why_not == too_few_languages(chosen) == why
    assert f"For other languages nothing can be said: {few.overall.why_not}." in printed(few, capsys)


def test_other_measures_are_tested_by_sign_flips_and_have_normal_intervals(a: Submission, b: Submission, layout: Layout) -> None:
    result = compare(a, b, "RR@100", layout)
    assert not result.exact_test
    x, y = (values(parse_measure("RR@100"), s.ranks()) for s in (a, b))
    of = a.ranks().pair
    for number in [i for i, row in enumerate(result.rows) if 0.01 < row.p < 0.9][:3]:
        row, d = result.rows[number], (x - y)[of == number]
        assert row.a_interval == pytest.approx(np.clip(stats.norm.interval(0.95, row.a, stats.sem(x[of == number])), 0, 1))
        assert row.b_interval == pytest.approx(np.clip(stats.norm.interval(0.95, row.b, stats.sem(y[of == number])), 0, 1))
        theirs = stats.permutation_test((d, 0 * d), lambda u, v, axis: (u - v).mean(axis), permutation_type="samples", n_resamples=4000, rng=1)
        assert row.p == pytest.approx(theirs.pvalue, abs=0.03)


def test_equal_systems_say_so(a: Submission, layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    same = compare(a, a, "nDCG@10", layout)
    assert (same.wins, same.ties, same.losses, same.significant_wins) == (0, 64, 0, 0)
    assert same.overall is not None
    assert (same.overall.p, same.overall.more_queries, same.overall.detectable) == (1, None, None)
    assert "no number of queries would find a difference of 0" in printed(same, capsys)


def test_two_of_near_equal_quality_are_told_how_many_queries_are_missing(
    a: Submission, b: Submission, layout: Layout, result: Comparison, capsys: pytest.CaptureFixture[str]
) -> None:
    level = [row.pair for row in result.rows if row.difference and row.p > 0.3][:2]
    one, two = (compare(_only(a, tuple(level[:k])), b, "R@10", layout) for k in (1, 2))
    for few, asked in ((one, 1), (two, 2)):
        assert few.overall is not None
        needed = few.overall.topics + (few.overall.more_topics or 0)
        assert abs(few.mean_b - few.mean_a) == pytest.approx((few.overall.detectable or 0) * np.sqrt(few.overall.topics / needed), rel=0.02)
        assert few.overall.more_queries == asked * (few.overall.more_topics or 0) > 0
    assert one.overall is not None
    assert one.overall.p == pytest.approx(one.rows[0].p, abs=0.02)  # in one pair the topics are the queries
    assert "cannot be told apart overall" in printed(two, capsys)


def test_only_pairs_of_both_are_compared_whichever_lacks_some(a: Submission, b: Submission, layout: Layout, result: Comparison) -> None:
    whole = {row.pair: row for row in result.rows}
    difference = np.subtract(*(values(parse_measure("R@10"), s.ranks()) for s in (a, b)))
    mine = np.isin(layout.pair, [layout.pairs.index(pair) for pair in SOME])
    by_topic = [difference[mine & (layout.topic == t)].sum() / 3 for t in range(96)]
    for x, y in ((_only(a, SOME), b), (a, _only(b, SOME))):
        partial = compare(x, y, "R@10", layout)
        assert [row.pair for row in partial.rows] == list(SOME)
        for row in partial.rows:
            assert row._replace(significant=True) == whole[row.pair]._replace(significant=True)
        assert partial.overall is not None
        assert partial.overall.topics == 96
        assert partial.queries == 3 * 96
        assert partial.overall.detectable == pytest.approx(2.8016 * stats.sem(by_topic), rel=1e-3)


def test_without_a_layout_there_is_no_overall_test_and_the_way_to_one_is_told(a: Submission, b: Submission, capsys: pytest.CaptureFixture[str]) -> None:
    bare = compare(a, b, "R@10")
    assert bare.overall is None
    out = printed(bare, capsys, rows=2)
    assert "No overall test or interval" in out
    assert "clir-bench evaluate writes its layout" in out
    assert "told apart" not in out


def test_a_layout_of_other_queries_is_refused(a: Submission, b: Submission, layout: Layout) -> None:
    short = replace(layout, pair=layout.pair[1:], topic=layout.topic[1:])
    with pytest.raises(
        SubmissionError, match=r"the layout of sample v1 does not fit the submissions: 1 problem\n  ar-ar: 96 queries, but its collection has 95"
    ):
        compare(a, b, "R@10", short)


def test_what_is_printed_holds_every_figure(result: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(result, capsys, rows=3)
    row = max(result.rows, key=lambda r: abs(r.difference))
    line = next(line for line in out.splitlines() if line.startswith(str(row.pair)))
    assert line.split() == ["ja-ja", "96", "0.0", "(0.0-3.8)", "99.0", "(94.3-99.8)", "-99.0", "0", "95", "<0.001*"]
    assert "macro mean over 64 pairs, 6,144 evaluated queries" in out
    assert "The two differ overall: p <0.001, the signs of 96 whole topics flipped 10,000 times" in out
    assert f"A is ahead in {result.wins} pairs ({result.significant_wins} significant), level in {result.ties}, behind in {result.losses}" in out
    assert "A minus B on the same queries, percent points: positive where A is better" in out
    assert "difference -" in out  # B is the better one here
    assert "uncorrected" in out


def test_a_difference_is_a_less_b_as_on_the_page(a: Submission, b: Submission, layout: Layout, result: Comparison) -> None:
    assert result.overall is not None
    assert result.mean_a < result.mean_b
    assert result.overall.interval.high < 0
    for row in result.rows:
        assert row.difference == pytest.approx(row.a - row.b)
    turned = compare(b, a, "R@10", layout)
    assert turned.overall is not None
    assert (turned.overall.interval.low, turned.overall.interval.high) == pytest.approx((-result.overall.interval.high, -result.overall.interval.low), abs=2e-3)


def test_two_files_that_cannot_be_read_are_both_named(tmp_path: Path, a: Submission, capsys: pytest.CaptureFixture[str]) -> None:
    here = str(tmp_path / "here.json")
    write_submission(a, Path(here))
    with pytest.raises(SubmissionError, match=r"(?s)^\S*x\.json: cannot be read: .*\n\S*y\.json: cannot be read: "):
        read_both(str(tmp_path / "x.json"), str(tmp_path / "y.json"))
    with pytest.raises(SubmissionError, match=r"^\S*y\.json: cannot be read: [^\n]*$"):
        read_both(here, str(tmp_path / "y.json"))
    assert read_both(here, here) == (a, a)
    assert main(["compare", str(tmp_path / "x.json"), str(tmp_path / "y.json")]) == 2
    said = capsys.readouterr().err
    assert "x.json: cannot be read" in said
    assert "y.json: cannot be read" in said


def test_the_command_finds_the_layout_beside_the_submissions(
    a: Submission, b: Submission, layout: Layout, result: Comparison, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = []
    for submission in (a, b):
        paths.append(str(tmp_path / path_of(submission)))
        write_submission(submission, Path(paths[-1]))
    assert main(["compare", "--json", *paths]) == 0
    assert json.loads(capsys.readouterr().out)["overall"] is None
    write_layout(layout, tmp_path)
    assert main(["compare", "--json", *paths]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(json.dumps(as_record(result)))
    assert found["rows"][0]["pair"] == "ar-ar"
    assert found["overall"]["interval"] == list(result.overall.interval if result.overall else ())
    assert main(["compare", *paths, "--rows", "2"]) == 0
    assert "The two differ overall" in capsys.readouterr().out


def _only(submission: Submission, pairs: tuple[Pair, ...]) -> Submission:
    """The same submission with only these pairs, as evaluate --pairs writes it."""
    from clir_bench.measures import GoldRanks
    from clir_bench.submission import pack_ranks

    ranks = submission.ranks()
    kept = np.isin(ranks.pair, [ranks.pairs.index(pair) for pair in pairs])
    _, pair = np.unique(ranks.pair[kept], return_inverse=True)
    few = GoldRanks(pairs, pair.astype(np.int32), ranks.query[kept], ranks.golds[kept], ranks.rank[kept], ranks.grade[kept], ranks.document[kept])
    records = tuple(record for record in submission.pairs if record.pair in pairs)
    return submission.model_copy(update={"pairs": records, "complete": False, "gold_ranks": pack_ranks(few, None)})
