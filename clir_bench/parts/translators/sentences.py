"""Texts in pieces that a translation model can take: packs of whole sentences, split by the punctuation of all our scripts.

Pieces are slices of the text. A sentence that alone exceeds the limit is split at clauses, then spaces, then anywhere; nothing is dropped. Thai
and texts without punctuation are split at spaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import regex

Measure = Callable[[Sequence[str]], list[int]]

_CLOSING = r"""["'”’»›）)\]」』】]{0,8}"""  # bounded, for it is looked for behind every sign
_SENTENCE = regex.compile(rf"(?<=[.!?…؟।॥]{_CLOSING})\s+|(?<=[。！？]{_CLOSING})\s*(?<!^)(?=[^。！？\s\"'”’»›）)\]」』】])|(?<=[।॥؟])\s*(?=[^।॥؟\s])")
_CLAUSE = regex.compile(r"(?<=[,;:،؛])\s+|(?<=[，、；：])\s*(?=\S)")
_SPACE = regex.compile(r"\s+")
_PARAGRAPH = regex.compile(r"((?<!\s)\s*\n\s*)")
_LETTER = regex.compile(r"\p{L}")
Span = tuple[int, int]
"""Start and end in a text."""


class Piece(NamedTuple):
    """A slice of a text, and what stands after its translation: a space, the line breaks of the text, or nothing at its end."""

    text: str
    after: str


def split_into_pieces(texts: Sequence[str], limit: int, measure: Measure) -> list[list[Piece]]:
    """The pieces of each text, each of at most ``limit`` by ``measure`` (tokens without special ones, or characters)."""
    paragraphs = [_PARAGRAPH.split(text.strip()) for text in texts]
    size = _Sizes(measure)
    size.learn(sentence for found in paragraphs for paragraph in found[::2] for sentence in split_sentences(paragraph))
    result = []
    for found in paragraphs:
        pieces: list[Piece] = []
        for i, paragraph in enumerate(found[::2]):
            parts = [part for sentence in _cut(paragraph, (0, len(paragraph)), _SENTENCE) for part in _shorten(paragraph, sentence, limit, size)]
            packs = _pack(paragraph, parts, limit, size)
            after = "\n" * found[2 * i + 1].count("\n") if 2 * i + 1 < len(found) else ""
            pieces += [Piece(pack, " " if k + 1 < len(packs) else after) for k, pack in enumerate(packs)]
        result.append(pieces)
    return result


def split_sentences(paragraph: str) -> list[str]:
    """The sentences of a paragraph, without the white space between them."""
    return [paragraph[start:end] for start, end in _cut(paragraph, (0, len(paragraph)), _SENTENCE)]


def has_letters(text: str) -> bool:
    """Whether there is anything to translate: numbers and signs are the same in English."""
    return _LETTER.search(text) is not None


def join_pieces(pieces: Sequence[Piece], english: Sequence[str]) -> str:
    """The translated text, paragraphs where they were."""
    return "".join(made.strip() + piece.after for piece, made in zip(pieces, english, strict=True)).strip()


class _Sizes:
    """Sizes, measured many at a time and each once."""

    def __init__(self, measure: Measure) -> None:
        self._measure, self._known = measure, dict[str, int]()

    def learn(self, texts: Iterable[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(new, self._measure(new) if new else [], strict=True))

    def __call__(self, text: str) -> int:
        self.learn([text])
        return self._known[text]


def _shorten(text: str, sentence: Span, limit: int, size: _Sizes) -> list[Span]:
    """The sentence in parts within the limit, cut at the largest kind of joint that will do, near its middle."""
    start, end = sentence
    if size(text[start:end]) <= limit:
        return [sentence]
    for joint in (_CLAUSE, _SPACE):
        parts = _cut(text, sentence, joint)
        if len(parts) > 1:
            at = min(range(1, len(parts)), key=lambda i: abs(parts[i][0] - (start + end) // 2))
            halves = [(start, parts[at - 1][1]), (parts[at][0], end)]
            return [part for half in halves for part in _shorten(text, half, limit, size)]
    signs = list(regex.finditer(r"\X", text, pos=start, endpos=end))
    if len(signs) == 1:  # one sign of more tokens than the limit
        return [sentence]
    middle = signs[len(signs) // 2].start()
    return [part for half in ((start, middle), (middle, end)) for part in _shorten(text, half, limit, size)]


def _pack(text: str, parts: Sequence[Span], limit: int, size: _Sizes) -> list[str]:
    """Neighbours together, as long as they fit; the white space between them counts one."""
    packs: list[Span] = []
    room = 0
    for start, end in parts:
        needed = size(text[start:end]) + 1
        if packs and needed <= room:
            packs[-1], room = (packs[-1][0], end), room - needed
        else:
            packs.append((start, end))
            room = limit - needed + 1
    return [text[start:end] for start, end in packs]


def _cut(text: str, within: Span, joint: regex.Pattern[str]) -> list[Span]:
    """The spans between the joints, trimmed, none empty."""
    cuts = [within[0], *(at for found in joint.finditer(text, pos=within[0], endpos=within[1]) for at in found.span()), within[1]]
    spans = [(start, end) for start, end in zip(cuts[::2], cuts[1::2], strict=True) if text[start:end].strip()]
    return [(end - len(text[start:end].lstrip()), start + len(text[start:end].rstrip())) for start, end in spans]
