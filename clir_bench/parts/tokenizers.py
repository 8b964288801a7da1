"""Tokenisers of the lexical baseline. Each takes a text and *its own* language, so a pool of many languages is read right."""

from __future__ import annotations

import unicodedata

import regex

_WORDS = regex.compile(r"[\p{L}\p{N}\p{M}]+")
_UNSPACED = regex.compile(
    r"(?P<bigrams>[\p{Han}\p{Hiragana}\p{Katakana}ー々〆]+)|(?P<trigrams>[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]+)|(?P<hangul>\p{Hangul}+)|(?P<word>[\p{L}\p{N}\p{M}])"
)
_MAY_BE_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Hangul}]")
TOKENIZERS = ("whitespace", "multilingual")


def whitespace(text: str, language: str) -> list[str]:
    """``text.lower().split()``: the paper's baseline, which makes one token of a Chinese sentence."""
    return text.lower().split()


def multilingual(text: str, language: str) -> list[str]:
    """NFKC, case folding, Unicode words; scripts without blanks as n-grams.

    Runs of Han and Kana become character bigrams (as in Lucene's CJKAnalyzer), of Thai, Lao, Khmer and Myanmar trigrams, Hangul words
    are kept and their bigrams added (``ko``). Marks stay: stripping them merges words in Vietnamese. Turkish dotted and dotless i are kept apart.
    """
    if language in ("tr", "az"):
        text = text.replace("I", "ı").replace("İ", "i")
    folded = unicodedata.normalize("NFKC", text).casefold()
    tokens: list[str] = []
    for word in _WORDS.findall(folded):
        if _MAY_BE_UNSPACED.search(word):
            tokens += _split_unspaced(word)
        else:
            tokens.append(word)
    return tokens


def tokenize(name: str, text: str, language: str) -> list[str]:
    """The tokens of a text by the tokeniser called ``name``."""
    return whitespace(text, language) if name == "whitespace" else multilingual(text, language)


def _split_unspaced(word: str) -> list[str]:
    tokens, plain = [], ""
    for match in _UNSPACED.finditer(word):
        run = match.group()
        if match.lastgroup == "word":
            plain += run
            continue
        if plain:
            tokens.append(plain)
            plain = ""
        if match.lastgroup == "hangul":
            tokens.append(run)
        size = 3 if match.lastgroup == "trigrams" else 2
        if match.lastgroup != "hangul" or len(run) > size:
            tokens += [run[i : i + size] for i in range(max(1, len(run) - size + 1))]
    return [*tokens, plain] if plain else tokens
