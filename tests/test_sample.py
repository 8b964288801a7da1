"""The built-in sample keeps what its description promises."""

from __future__ import annotations

import json
import unicodedata

import pytest

from clir_bench.collection import Collection
from clir_bench.sources.sample import FOLDER
from clir_bench.task import Task

LANGUAGES = ["ar", "de", "en", "es", "fr", "ja", "ru", "zh"]
UNSPACED = {"ja": (120, 210), "zh": (90, 165)}


def rows(language: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (FOLDER / f"{language}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("language", LANGUAGES)
def test_documents_have_40_to_90_words(language: str) -> None:
    low, high = UNSPACED.get(language, (40, 90))
    for row in rows(language):
        size = len(row["document"]) if language in UNSPACED else len(row["document"].split())
        assert low <= size <= high, (row["topic"], size)


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_are_clean(language: str) -> None:
    for row in rows(language):
        assert list(row) == ["topic", "keywords", "question", "document"]
        for text in row.values():
            assert text == unicodedata.normalize("NFC", text) == " ".join(text.split())
        assert row["question"].rstrip()[-1] in "?؟？。"
        assert not set(row["keywords"]) & set("?؟？¿")


def test_every_language_has_the_same_topics() -> None:
    topics = [row["topic"] for row in rows("en")]
    assert len(set(topics)) == 48
    assert all([row["topic"] for row in rows(language)] == topics for language in LANGUAGES)


def test_no_text_stands_twice(sample: tuple[Task, Collection]) -> None:
    collection = sample[1]
    assert len(set(collection.pool.texts)) == 384
    assert len(set(zip(collection.queries.languages, collection.queries.texts, strict=True))) == 768


def test_own_language_bm25_finds_the_topic(sample: tuple[Task, Collection]) -> None:
    """The judgements make sense: with its own words, nearly every topic is found among the documents of its language."""
    from clir_bench.evaluate import evaluate
    from clir_bench.system import System

    result = evaluate(*sample, System(model="bm25"))
    for record in result.submission.pairs:
        if record.pair.same:
            assert record.own_language["R@10"].mean > 0.75, record.pair


def test_the_same_question_is_one_topic_in_all_languages(sample: tuple[Task, Collection]) -> None:
    collection = sample[1]
    assert len(set(collection.topics.tolist())) == 96
