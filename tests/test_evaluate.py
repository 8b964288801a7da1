"""The shared-pool engine: everything encoded once, and nothing but the texts changes a number."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from conftest import HashingEncoder, assembled, small_collection

from clir_bench.bias import lift, same_language_rate
from clir_bench.collection import Collection, Document, Judgement, Pair, Query, build_collection
from clir_bench.errors import CollectionError
from clir_bench.evaluate import Evaluation, evaluate
from clir_bench.measures import NOT_FOUND, parse_measure, stats, values
from clir_bench.parts.exact import Exact
from clir_bench.submission import Submission
from clir_bench.task import Task


def numbers(submission: Submission) -> dict[str, object]:
    """Everything but timings and provenance."""
    content = submission.model_dump(mode="json")
    return {key: value for key, value in content.items() if key not in ("timings", "provenance")}


def test_every_text_is_encoded_once(sample: tuple[Task, Collection]) -> None:
    encoder = HashingEncoder()
    evaluate(*sample, assembled(encoder))
    count = Counter(encoder.encoded)
    assert set(count.values()) == {1}
    assert {role: sum(r == role for r, _ in count) for role in ("document", "query")} == {
        "document": len(set(sample[1].pool.texts)),
        "query": len(set(sample[1].queries.texts)),
    }


def test_pool_order_changes_no_number(sample: tuple[Task, Collection]) -> None:
    task, collection = sample
    documents = [Document(*row) for row in zip(collection.pool.ids, collection.pool.languages, collection.pool.texts, strict=True)]
    topics = [str(t) for t in collection.topics]
    queries = [Query(*row) for row in zip(collection.queries.ids, collection.queries.languages, collection.queries.texts, topics, strict=True)]
    j = collection.judgements
    judgements = [Judgement(collection.queries.ids[q], collection.pool.ids[d], int(g)) for q, d, g in zip(j.query, j.document, j.grade, strict=True)]
    shuffled = []
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        shuffled.append(build_collection(*([part[i] for i in rng.permutation(len(part))] for part in (documents, queries, judgements))))
    assert shuffled[0].fingerprint == shuffled[1].fingerprint
    first, second = (evaluate(task, c, assembled(HashingEncoder(dim=4))) for c in shuffled)  # 4 dimensions: many ties
    assert numbers(first.submission) == numbers(second.submission)
    assert first.ranking.rows.tobytes() == second.ranking.rows.tobytes()


@pytest.mark.parametrize("options", [{"block": (5, 31)}, {"threads": 3}, {"product": "bfloat16"}, {"product": "torch"}, {"numba": True}])
def test_blocks_threads_and_precision_of_the_fast_pass_change_no_number(
    hashed: Evaluation, sample: tuple[Task, Collection], options: dict[str, object]
) -> None:
    other = evaluate(*sample, assembled(HashingEncoder(batch=64), Exact(**options)))  # type: ignore[arg-type]
    assert numbers(other.submission) == numbers(hashed.submission)
    assert other.ranking.scores.tobytes() == hashed.ranking.scores.tobytes()


def test_restriction_saves_work_and_keeps_the_numbers(hashed: Evaluation, sample: tuple[Task, Collection]) -> None:
    encoder = HashingEncoder()
    chosen = [Pair("en", "es"), Pair("ar", "ru")]
    part = evaluate(*sample, assembled(encoder), pairs=chosen)
    assert [p.pair for p in part.submission.pairs] == sorted(chosen)
    assert not part.submission.complete
    assert sum(role == "query" for role, _ in encoder.encoded) == 2 * 96
    whole = {p.pair: p for p in hashed.submission.pairs}
    assert all(p == whole[p.pair] for p in part.submission.pairs)


def test_unknown_pairs_are_named(sample: tuple[Task, Collection]) -> None:
    with pytest.raises(CollectionError, match="no judgements for en-xx: the pairs are ar-ar"):
        sample[1].restrict([Pair("en", "xx")])


def test_exact_ranks_agree_with_the_ranking(hashed: Evaluation) -> None:
    assert hashed.exact is not None
    found = hashed.ranks.rank != NOT_FOUND
    np.testing.assert_array_equal(hashed.exact.rank[found], hashed.ranks.rank[found])
    assert (hashed.exact.rank[~found] > 100).all()


def test_own_language_recall_is_that_of_the_reduced_pool(hashed: Evaluation) -> None:
    """Referee: build the pool of one language alone and search it."""
    whole, own = hashed.collection, hashed.own
    assert own is not None
    for language in ("en", "ja"):
        held = [i for i, x in enumerate(whole.pool.languages) if x == language]
        j = whole.judgements
        rows = np.flatnonzero(np.isin(j.document, held))
        reduced = build_collection(
            [Document(whole.pool.ids[i], language, whole.pool.texts[i]) for i in held],
            [Query(k, lang, t, k) for k, lang, t in zip(whole.queries.ids, whole.queries.languages, whole.queries.texts, strict=True)],
            [Judgement(whole.queries.ids[j.query[r]], whole.pool.ids[j.document[r]], 1) for r in rows],
        )
        from clir_bench.measures import gold_ranks

        system = assembled(HashingEncoder())
        system.retriever.index(reduced.pool)
        alone = gold_ranks(system.retriever.search(reduced.queries, 48), reduced.judgements)
        for name in ("R@1", "R@10"):
            for pair, stat in zip(reduced.pairs, stats(parse_measure(name), alone), strict=True):
                record = next(p for p in hashed.submission.pairs if p.pair == pair)
                assert (record.own_language[name].n, record.own_language[name].sum) == (stat.n, stat.sum)


def test_bias_loss_is_own_language_minus_full(hashed: Evaluation) -> None:
    for record in hashed.submission.pairs:
        loss = record.bias_loss("R@10")
        assert loss == pytest.approx(record.own_language["R@10"].mean - record.measures["R@10"].mean)
        assert loss is not None
        assert loss >= 0


def test_language_profiles_equal_a_slow_count(hashed: Evaluation) -> None:
    collection, ranking, j = hashed.collection, hashed.ranking, hashed.collection.judgements
    for profile in hashed.submission.bias[::5]:
        asked = [q for q, language in enumerate(collection.queries.languages) if language == profile.query]
        if profile.gold != "any":
            same = {int(q) for q, p in zip(j.query, j.pair, strict=True) if j.pairs[p].same == (profile.gold == "same")}
            asked = [q for q in asked if q in same]
        count = Counter(collection.pool.languages[d] for q in asked for d in ranking.rows[q, : profile.depth] if d >= 0)
        assert profile.queries == len(asked)
        assert {k: v for k, v in profile.retrieved.items() if v} == dict(count)
        assert sum(profile.retrieved.values()) == profile.queries * profile.depth


def test_rates_and_lift() -> None:
    assert same_language_rate({"en": 3, "ru": 1}, "ru") == 0.25
    assert same_language_rate({}, "ru") is None
    assert lift({"en": 3, "ru": 1}, {"en": 10, "ru": 30}) == {"en": 3.0, "ru": pytest.approx(1 / 3)}
    assert lift({"en": 0}, {"en": 10}) == {}


def test_graded_judgements_and_grade_zero_are_scored() -> None:
    documents = [Document(f"d{i}", "en", f"word{i} " * 5) for i in range(6)]
    queries = [Query("a", "en", "word1 word2", "a"), Query("b", "en", "word3", "b")]
    judgements = [Judgement("a", "d1", 3), Judgement("a", "d2", 1), Judgement("a", "d5", 0), Judgement("b", "d4", 0)]
    collection = build_collection(documents, queries, judgements)
    task = small_task(collection)
    result = evaluate(task, collection, assembled(HashingEncoder(dim=256)))
    assert result.submission.pairs[0].measures["R@10"].n == 2
    assert sorted(values(parse_measure("R@10"), result.ranks)) == [0.0, 1.0]
    back = result.submission.ranks()
    assert sorted(back.golds) == [0, 2]
    assert sorted(back.grade) == [1, 3]


def small_task(collection: Collection) -> Task:
    from pathlib import Path

    from clir_bench.sources.folder import _task

    return _task(Path("small"), collection)


def test_a_small_collection_of_its_own(tmp_path) -> None:  # type: ignore[no-untyped-def]
    collection = small_collection()
    result = evaluate(small_task(collection), collection, assembled(HashingEncoder(dim=512)))
    assert result.submission.complete
    assert len(result.submission.pairs) == 9
