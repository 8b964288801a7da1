"""What the models on this machine have in common: source codes, limits, identity; the engine makes English of pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, Protocol

import regex

from clir_bench.errors import ModelError
from clir_bench.parts.checkpoints import Checkpoint
from clir_bench.parts.translators import VERSION, By, Translated, TranslatorFacts
from clir_bench.parts.translators.pieces import Made, translate_pieces
from clir_bench.parts.translators.sentences import Piece, split_into_pieces

BEAM = 5
"""The paper's."""
PIECE_TOKENS, PIECE_NEW_TOKENS = 200, 400


@dataclass(frozen=True)
class Limits:
    """Tokens of a piece of work: packed up to ``piece`` (None = whole documents), cut at ``input``, at most ``new`` made."""

    by: By
    piece: int | None
    input: int
    new: int


SENTENCES = Limits("sentences", PIECE_TOKENS, 500, PIECE_NEW_TOKENS)
"""Nothing is cut: what a pack is bound to lies far below the input limit."""


class Engine(Protocol):
    """A loaded model."""

    dtype: str
    parameters: int | None
    batch_tokens: int
    tokenizer: Any

    def count(self, pieces: Sequence[str], special: bool) -> list[int]:
        """Source tokens of each piece, with or without the special ones."""

    def supports(self, code: str) -> bool:
        """Whether the model knows the source language."""

    def make(self, pieces: Sequence[str], code: str, limits: Limits) -> list[Made]:
        """The English of each piece."""


class LocalTranslator:
    """A translator of an engine. ``code_of(language)`` names the source for the identity; ``text_code(text, language)`` is its code for one text."""

    def __init__(
        self,
        kind: str,
        checkpoint: Checkpoint,
        engine: Engine,
        limits: Limits,
        code_of: Callable[[str], str | None],
        text_code: Callable[[str, str], str | None] | None = None,
    ) -> None:
        self.kind, self.checkpoint, self.engine, self.limits = kind, checkpoint, engine, limits
        self._code_of, self._text_code = code_of, text_code or (lambda _, language: code_of(language))
        self._special = regex.compile(r"\L<marks>", marks=engine.tokenizer.all_special_tokens)

    def identity(self, language: str) -> dict[str, str | int]:
        """All that decides a translation beside the text."""
        return identity_of(self.kind, self.checkpoint, self.limits, self.engine.dtype, self._code_of(language) or "unsupported")

    def facts(self) -> TranslatorFacts:
        """What a submission says of it."""
        return facts_of(self.kind, self.checkpoint, self.limits, self.engine.dtype, self.engine.parameters)

    def translate(self, texts: Sequence[str], language: str) -> Iterator[Translated]:
        """Each text once, as soon as it is finished. Whole documents go in as they are: that is the stock pipeline."""
        if self.limits.by == "sentences":
            # Not the tokenizer's split_special_tokens: a Unigram model's own vocabulary has </s>, and finds it all the same.
            texts = [self._special.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text) for text in texts]
        groups: dict[str | None, list[int]] = {}
        for row, text in enumerate(texts):
            groups.setdefault(self._text_code(text, language), []).append(row)
        for code, rows in groups.items():
            if code is None or not self.engine.supports(code):
                yield from (Translated(row, None, f"unsupported language {language!r}") for row in rows)
                continue
            make = partial(self.engine.make, code=code, limits=self.limits)
            measure = partial(self.engine.count, special=True)
            for done in translate_pieces([texts[row] for row in rows], self._split, measure, make, self.engine.batch_tokens):
                yield done._replace(row=rows[done.row])

    def _split(self, texts: Sequence[str]) -> list[list[Piece]]:
        if self.limits.piece is None:
            return [[Piece(text, "")] for text in texts]
        return split_into_pieces(texts, self.limits.piece, partial(self.engine.count, special=False))


def identity_of(kind: str, checkpoint: Checkpoint, limits: Limits, dtype: str, source: str) -> dict[str, str | int]:
    """All that decides a translation beside the text. Threads, device and batches do not belong to it."""
    split: dict[str, str | int] = {"piece_tokens": limits.piece} if limits.piece else {}
    packages = ("transformers", "ctranslate2") if kind == "nllb-ct2" else ("transformers",)
    return {
        "kind": kind,
        "translator_version": VERSION,
        "model": checkpoint.key_name,
        "revision": checkpoint.revision,
        "source": source,
        "by": limits.by,
        "beam": BEAM,
        "max_input_tokens": limits.input,
        "max_new_tokens": limits.new,
        "dtype": dtype,
        **split,
        **{package: ".".join(version(package).split(".")[:2]) for package in packages},
    }


def facts_of(kind: str, checkpoint: Checkpoint, limits: Limits, dtype: str, parameters: int | None) -> TranslatorFacts:
    """What a submission says of a model."""
    return TranslatorFacts(
        kind=kind,
        name=checkpoint.name,
        revision=checkpoint.revision,
        licence=checkpoint.licence,
        parameters=parameters,
        by=limits.by,
        beam=BEAM,
        max_input_tokens=limits.piece or limits.input,
        max_new_tokens=limits.new,
        dtype=dtype,
    )


def check_tokenizer(folder: object, tokenizer: Any) -> None:
    """Raise ModelError for a tokenizer that makes an unknown character the end of the text: the model would translate only what is before it."""
    if tokenizer.eos_token_id in tokenizer("a \ue000 b")["input_ids"][:-1]:
        raise ModelError(f"{folder}: its tokenizer makes of an unknown character {tokenizer.eos_token!r}, the end of the text. Its tokenizer.json is wrong.")


def judge(text: str, tokens: Sequence[int], ended: bool, truncated: bool, by: By) -> Made:
    """A translation. Where the model did not come to an end: a problem, or of a whole document what there is, as the stock pipeline gives it."""
    if ended or by == "document":
        return Made(text, None, truncated, not ended)
    last = tuple(tokens[-8:])
    loop = len(last) == 8 and sum(tuple(tokens[i : i + 8]) == last for i in range(len(tokens) - 7)) > 2
    return Made(None, f"cut off at {len(tokens)} tokens{', repeating itself' if loop else ''}")
