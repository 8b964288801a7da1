"""Our measures against pytrec_eval, mteb's and beir's own scoring, on random rankings with ties, duplicates, graded and missing judgements."""

from __future__ import annotations

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from clir_bench.collection import NOTHING, Collection, Document, Judgement, Pair, Query, Ranking, build_collection
from clir_bench.measures import KINDS, NOT_FOUND, GoldRanks, Measure, gold_ranks, macro_mean, parse_measure, stats, stats_by_rank, values
from clir_bench.runs import distinct_scores

TREC = {"R": "recall_{k}", "Success": "success_{k}", "nDCG": "ndcg_cut_{k}", "P": "P_{k}", "AP": "map_cut_{k}"}
CUTS = (1, 2, 5, 10)


@st.composite
def ranked_collections(draw: st.DrawFn) -> tuple[Collection, Ranking]:
    """A collection in two languages with grades 0 to 3, some judgements missing, and a ranking full of tied scores and empty places."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    documents = [Document(f"d{i}", ("en", "ru")[i % 2], f"text {i % 7}") for i in range(draw(st.integers(2, 25)))]
    queries = [Query(f"q{i}", ("en", "ru")[i % 2], f"query {i}", str(i // 2)) for i in range(draw(st.integers(1, 8)))]
    chance = draw(st.sampled_from([0.1, 0.4, 0.9]))
    judgements = [Judgement(q.id, d.id, int(rng.integers(0, 4))) for q in queries for d in documents if rng.random() < chance]
    judgements = judgements or [Judgement("q0", "d0", 1)]
    collection = build_collection(documents, queries, judgements)
    depth = draw(st.integers(1, 12))
    pool, asked = len(documents), len(collection.queries)
    rows, scores = np.full((asked, depth), NOTHING, np.int32), np.full((asked, depth), -np.inf, np.float32)
    for q in range(asked):
        found = min(pool, depth, int(rng.integers(0, depth + 1)))
        line = np.round(rng.random(pool), 1).astype(np.float32)  # many ties
        best = np.lexsort((np.arange(pool), -line))[:found]
        rows[q, :found], scores[q, :found] = best, line[best]
    return collection, Ranking(rows, scores)


def as_dicts(collection: Collection, ranking: Ranking, pair: int) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    j, scores = collection.judgements, distinct_scores(ranking)
    qrels: dict[str, dict[str, int]] = {}
    for q, d, grade in zip(j.query[j.pair == pair], j.document[j.pair == pair], j.grade[j.pair == pair], strict=True):
        qrels.setdefault(collection.queries.ids[q], {})[collection.pool.ids[d]] = int(grade)
    number = {key: i for i, key in enumerate(collection.queries.ids)}
    run = {
        key: {collection.pool.ids[d]: float(s) for d, s in zip(ranking.rows[number[key]], scores[number[key]], strict=True) if d != NOTHING} for key in qrels
    }
    return qrels, run


@settings(max_examples=150, deadline=None)
@given(ranked_collections())
def test_measures_equal_pytrec_eval(case: tuple[Collection, Ranking]) -> None:
    collection, ranking = case
    ranks = gold_ranks(ranking, collection.judgements)
    for p in range(len(collection.pairs)):
        qrels, run = as_dicts(collection, ranking, p)
        wanted = {f"{name.split('_{')[0]}.{','.join(map(str, CUTS))}" for name in TREC.values()}
        referee = pytrec_eval.RelevanceEvaluator(qrels, wanted | {"recip_rank"}).evaluate({q: found or {"none": 0.0} for q, found in run.items()})
        mine = ranks.pair == p
        keys = [collection.queries.ids[q] for q in ranks.query[mine]]
        assert sorted(keys) == sorted(qrels)
        for kind, name in TREC.items():
            for k in CUTS:
                found = values(Measure(kind, k), ranks)[mine]
                np.testing.assert_allclose(found, [referee[key][name.format(k=k)] for key in keys], rtol=0, atol=1e-9, err_msg=f"{kind}@{k}")
        found = values(Measure("RR", 1000), ranks)[mine]
        np.testing.assert_allclose(found, [referee[key]["recip_rank"] for key in keys], rtol=0, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(ranked_collections())
def test_measures_equal_beir_and_mteb(case: tuple[Collection, Ranking]) -> None:
    from beir.retrieval.evaluation import EvaluateRetrieval
    from mteb._evaluators.retrieval_metrics import mrr

    collection, ranking = case
    ranks = gold_ranks(ranking, collection.judgements)
    for p in range(len(collection.pairs)):
        qrels, run = as_dicts(collection, ranking, p)
        if not all(run.values()):
            continue
        ndcg, mean_ap, recall, precision = EvaluateRetrieval.evaluate(qrels, {q: dict(d) for q, d in run.items()}, list(CUTS), ignore_identical_ids=True)
        reciprocal = mrr(qrels, run, CUTS)
        mine = ranks.pair == p
        for k in CUTS:
            for kind, theirs in (("nDCG", ndcg[f"NDCG@{k}"]), ("AP", mean_ap[f"MAP@{k}"]), ("R", recall[f"Recall@{k}"]), ("P", precision[f"P@{k}"])):
                assert values(Measure(kind, k), ranks)[mine].mean() == pytest.approx(theirs, abs=5.1e-6), f"{kind}@{k}"  # beir rounds to 5 digits
            assert values(Measure("RR", k), ranks)[mine].mean() == pytest.approx(np.mean(reciprocal[f"MRR@{k}"]), abs=1e-9)


def test_sums_and_squares_give_the_values_back(hashed) -> None:  # type: ignore[no-untyped-def]
    for name in ("R@10", "nDCG@10", "RR@100"):
        measure = parse_measure(name)
        value = values(measure, hashed.ranks)
        for p, stat in enumerate(stats(measure, hashed.ranks)):
            mine = value[hashed.ranks.pair == p]
            assert stat.n == len(mine)
            assert stat.sum == pytest.approx(mine.sum(), abs=1e-9)
            assert stat.sum_squares == pytest.approx((mine**2).sum(), abs=1e-9)


def test_a_rank_is_the_place_in_the_ranking(hashed) -> None:  # type: ignore[no-untyped-def]
    ranks = hashed.ranks
    queries = np.repeat(ranks.query, ranks.golds)
    for i in range(0, len(queries), 97):
        place = np.flatnonzero(hashed.ranking.rows[queries[i]] == ranks.document[i])
        assert ranks.rank[i] == (place[0] + 1 if len(place) else NOT_FOUND)


def test_hit_and_fraction_differ_only_with_several_golds() -> None:
    collection = build_collection(
        [Document(f"d{i}", "en", str(i)) for i in range(4)],
        [Query("q", "en", "?", "t")],
        [Judgement("q", "d0", 1), Judgement("q", "d1", 2)],
    )
    gold = collection.pool.ids.index("d0")
    other = collection.pool.ids.index("d2")
    ranks = gold_ranks(Ranking(np.array([[gold, other]], np.int32), np.zeros((1, 2), np.float32)), collection.judgements)
    assert values(Measure("R", 10), ranks).tolist() == [0.5]
    assert values(Measure("Success", 10), ranks).tolist() == [1.0]


def test_macro_mean_is_unweighted_and_can_leave_out_pairs_of_one_language(hashed) -> None:  # type: ignore[no-untyped-def]
    pairs = hashed.collection.pairs
    means = [float(i) for i in range(len(pairs))]
    assert macro_mean(pairs, means) == pytest.approx(np.mean(means))
    assert macro_mean(pairs, means, same_language=False) == pytest.approx(np.mean([m for m, p in zip(means, pairs, strict=True) if p.query != p.document]))
    assert macro_mean([p for p in pairs if p.same], [1.0] * 8, same_language=False) is None


@pytest.mark.parametrize("name", ["R", "R@0", "r@10", "recall@10", "nDCG@", "MAP@5", "R@10 "])
def test_unknown_measures_are_refused_with_the_cure(name: str) -> None:
    with pytest.raises(ValueError, match="Write one of"):
        parse_measure(name)


def test_every_kind_is_explained() -> None:
    assert all(len(text) > 20 for text in KINDS.values())


def test_counting_ranks_gives_the_stats_of_every_measure() -> None:
    rng = np.random.default_rng(7)
    pairs = (Pair("de", "en"), Pair("en", "de"), Pair("en", "en"))
    pair = np.sort(rng.integers(0, 3, 400)).astype(np.int32)
    rank = rng.integers(1, 300, 400).astype(np.int32)
    rank[rank > 254] = NOT_FOUND
    ones, every = np.ones(400, np.int32), np.arange(400, dtype=np.int32)
    ranks = GoldRanks(pairs, pair, every, ones, rank, ones, every)
    measures = [parse_measure(name) for name in ("R@1", "R@100", "nDCG@10", "RR@100", "P@10", "AP@100", "Success@5")]
    for measure, counted in zip(measures, stats_by_rank(measures, ranks), strict=True):
        for one, other in zip(stats(measure, ranks), counted, strict=True):
            assert one.n == other.n
            assert other.sum == pytest.approx(one.sum, rel=1e-12)
            assert other.sum_squares == pytest.approx(one.sum_squares, rel=1e-12)
