"""BM25 is rank_bm25's, bit for bit, and honest about queries that match nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from clir_bench.collection import Collection
from clir_bench.measures import NOT_FOUND
from clir_bench.parts.okapi import Okapi
from clir_bench.parts.tokenizers import multilingual, tokenize, whitespace
from clir_bench.task import Task


@pytest.mark.parametrize("tokenizer", ["whitespace", "multilingual"])
def test_scores_equal_rank_bm25_bit_for_bit(sample: tuple[Task, Collection], tokenizer: str) -> None:
    pool, queries = sample[1].pool, sample[1].queries
    documents = [tokenize(tokenizer, text, language) for text, language in zip(pool.texts, pool.languages, strict=True)]
    asked = [tokenize(tokenizer, text, language) for text, language in zip(queries.texts, queries.languages, strict=True)]
    referee, ours = BM25Okapi(documents), Okapi()
    ours.build(documents)
    for query in asked[::3]:
        np.testing.assert_array_equal(ours._scores(ours._known(query)), referee.get_scores(query))


words = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f", "g"]), max_size=12)


@settings(max_examples=80, deadline=None)
@given(documents=st.lists(words, min_size=1, max_size=30).filter(any), queries=st.lists(words, min_size=1, max_size=6), depth=st.sampled_from([1, 5, 100]))
def test_search_and_locate_equal_rank_bm25(documents: list[list[str]], queries: list[list[str]], depth: int) -> None:
    referee = BM25Okapi(documents)
    languages = (np.arange(len(documents)) % 2).astype(np.int32)
    for numba in (False, True):
        ours = Okapi(numba=numba)
        ours.build(documents)
        found = ours.search(queries, depth)
        for q, query in enumerate(queries):
            scores = referee.get_scores(query)
            order = [d for d in np.lexsort((np.arange(len(scores)), -scores)) if scores[d] > 0]
            expected = order[:depth]
            assert found.rows[q].tolist() == expected + [-1] * (depth - len(expected))
            np.testing.assert_array_equal(found.scores[q, : len(expected)], scores[expected].astype(np.float32))
            target = np.arange(len(documents), dtype=np.int32)
            rank, own = ours.locate([query], languages, np.zeros(len(target), np.int32), target, NOT_FOUND)
            for d in target:
                above = order[: order.index(d)] if d in order else []
                assert rank[d] == (len(above) + 1 if d in order else NOT_FOUND)
                assert own[d] == (sum(languages[x] == languages[d] for x in above) + 1 if d in order else NOT_FOUND)


def test_a_query_that_matches_nothing_retrieves_nothing() -> None:
    ours = Okapi()
    ours.build([["a"], ["b"], ["c"]])
    assert (ours.search([["x"], []], 10).rows == -1).all()


def test_tokenisers() -> None:
    assert whitespace("Die Donau, 北京。", "de") == ["die", "donau,", "北京。"]
    assert multilingual("Straße ＡＢＣ naïve", "de") == ["strasse", "abc", "naïve"]
    assert multilingual("北京大学", "zh") == ["北京", "京大", "大学"]
    assert multilingual("東京タワー", "ja") == ["東京", "京タ", "タワ", "ワー"]
    assert multilingual("สวัสดี", "th") == ["สวั", "วัส", "ัสด", "สดี"]
    assert multilingual("서울 대학교", "ko") == ["서울", "대학교", "대학", "학교"]
    assert multilingual("COVID19疫苗", "zh") == ["covid19", "疫苗"]
    assert multilingual("ISPARTA İzmir", "tr") == ["ısparta", "izmir"]
    assert multilingual("Việt Nam", "vi") == ["việt", "nam"]
    assert multilingual("  ... ", "en") == []
