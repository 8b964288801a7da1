from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clir_bench.parts.translators.chinese import is_traditional
from clir_bench.parts.translators.pieces import Made, translate_pieces
from clir_bench.parts.translators.sentences import Piece, join_pieces, split_into_pieces, split_sentences


def test_chinese_is_told_apart_by_its_characters() -> None:
    assert is_traditional("這條河很長，流入大海") and not is_traditional("这条河很长，流入大海")
    assert not is_traditional("你好") and not is_traditional("ABC")
    assert is_traditional("皇后在台北的里長家裡後面說話")  # 后, 台, 里 occur in traditional texts, too


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It costs 3.5 euros! Really?! “Yes.” Ok… Fine", ["It costs 3.5 euros!", "Really?!", "“Yes.”", "Ok…", "Fine"]),
        ("这条河很长。它流入大海！谁住？“是的。”他说。", ["这条河很长。", "它流入大海！", "谁住？", "“是的。”", "他说。"]),
        ("日本語です。（はい。）次", ["日本語です。", "（はい。）", "次"]),
        ("नील नदी लंबी है। वह गिरती है॥ अच्छा।ठीक", ["नील नदी लंबी है।", "वह गिरती है॥", "अच्छा।", "ठीक"]),
        ("هل تعرف؟ نعم. لا", ["هل تعرف؟", "نعم.", "لا"]),
        ("Он пьёт чай. Правда", ["Он пьёт чай.", "Правда"]),
        ("ใครอยู่ที่นี่ เราไม่รู้", ["ใครอยู่ที่นี่ เราไม่รู้"]),
        ("...", ["..."]),
    ],
)  # fmt: skip
def test_sentences_end_where_their_script_ends_them(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


@given(st.text(alphabet="abc .!?,。！，।؟\n界é้", max_size=80), st.integers(1, 30))
@settings(max_examples=300, deadline=None)
def test_pieces_keep_to_the_limit_and_drop_nothing(text: str, limit: int) -> None:
    (pieces,) = split_into_pieces([text], limit, lambda texts: [len(t) for t in texts])
    assert "".join("".join(piece.text for piece in pieces).split()) == "".join(text.split())
    assert all(len(piece.text) <= limit or len(piece.text) <= 2 or not piece.text.isascii() for piece in pieces)  # one sign of several characters stays whole
    assert all(piece.text in text for piece in pieces)
    assert "".join(piece.after for piece in pieces).count("\n") == text.strip().count("\n")


def test_a_long_run_of_closing_brackets_or_spaces_is_split_in_time_that_does_not_grow_with_its_square() -> None:
    for text in ("a." + ")" * 200_000, "a." + " " * 200_000 + "b"):  # minutes, if it did
        (pieces,) = split_into_pieces([text], 1000, lambda texts: [len(t) for t in texts])
        assert "".join("".join(piece.text for piece in pieces).split()) == "".join(text.split())


def test_sentences_are_packed_and_a_long_one_is_cut_at_its_joints() -> None:
    words = split_into_pieces(["a b. c d. e f.\n\ng, h i"], 2, lambda texts: [len(t.split()) for t in texts])
    assert words == [[Piece("a b.", " "), Piece("c d.", " "), Piece("e f.", "\n\n"), Piece("g,", " "), Piece("h i", "")]]
    assert join_pieces(words[0], ["A.", "B. ", "C.", "G", "H"]) == "A. B. C.\n\nG H"
    assert split_into_pieces(["a b. c d. e f."], 6, lambda texts: [len(t.split()) for t in texts]) == [[Piece("a b. c d.", " "), Piece("e f.", "")]]


def test_each_distinct_piece_is_translated_once_and_texts_come_as_soon_as_they_are_finished() -> None:
    asked: list[list[str]] = []

    def make(pieces: list[str]) -> list[Made]:
        asked.append(pieces)
        return [Made(piece.upper()) for piece in pieces]

    texts = ["one two three. four", "four", "four", "five six", "1994", ""]
    found = translate_pieces(texts, lambda part: [[Piece(s, " ") for s in split_sentences(t)] for t in part], _lengths, make, budget=14)
    first = next(found)
    assert (first.row, first.text, asked) == (4, "1994", []) or (first.text, asked) == ("", [])  # nothing to translate in them
    rest = [first, *found]
    assert {made.row: made.text for made in rest} == dict(enumerate(["ONE TWO THREE. FOUR", "FOUR", "FOUR", "FIVE SIX", "1994", ""]))
    assert sorted(piece for batch in asked for piece in batch) == ["five six", "four", "one two three."]
    assert all(len(batch) * max(map(len, batch)) <= 14 for batch in asked)


def test_a_batch_that_memory_is_too_small_for_is_halved_and_the_next_are_smaller() -> None:
    asked: list[int] = []

    def make(pieces: list[str]) -> list[Made]:
        asked.append(len(pieces))
        if len(pieces) > 2 or "xxxxx" in pieces:
            raise RuntimeError("CUDA failed with error out of memory")
        return [Made(piece) for piece in pieces]

    texts = ["xxxxx", *(f"{c}{d}" for c in "abcd" for d in "abcd")]
    found = list(translate_pieces(texts, lambda part: [[Piece(t, "")] for t in part], _lengths, make, budget=40))
    assert sorted(made.text for made in found if made.text) == sorted(texts[1:])
    assert [made.problem for made in found if made.text is None] == ["out of memory, even alone"]
    assert len([count for count in asked if count > 2]) <= 3
    with pytest.raises(RuntimeError, match="index"):
        list(translate_pieces(["a"], lambda part: [[Piece(t, "")] for t in part], _lengths, lambda _: _fail("index"), budget=4))


def _lengths(texts: object) -> list[int]:
    return [len(text) for text in texts]  # type: ignore[attr-defined]


def _fail(text: str) -> list[Made]:
    raise RuntimeError(text)
