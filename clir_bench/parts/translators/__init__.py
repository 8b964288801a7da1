"""Translators into English, of one shape: models on this machine and services. ``load_translator`` is the door to them.

``translate`` yields what is finished in any order, so that the caller can keep it; what cannot be translated is a problem, never an exception
and never a half text. Sending texts anywhere is what the kinds ``libretranslate``, ``deepl`` and ``googletrans`` are for; no other kind does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, get_args

from clir_bench.errors import MissingExtra, ModelError

By = Literal["document", "sentences"]
KINDS = ("nllb", "nllb-ct2", "madlad", "opus", "libretranslate", "deepl", "googletrans")
SERVICES = ("libretranslate", "deepl", "googletrans")
VERSION = 2
"""Part of every identity: raised when the same model or service would be made to give another translation (splitting, limits, settings)."""


class Translated(NamedTuple):
    """What became of text ``row``: its English, or the problem.

    ``truncated``: the end of the text lay beyond the model's input limit. ``cut``: the English ran into the output limit (whole documents only).
    """

    row: int
    text: str | None
    problem: str | None = None
    truncated: bool = False
    cut: bool = False


@dataclass(frozen=True)
class TranslatorFacts:
    """What a submission says of a translator; None where a service does not say. Token limits are of one piece of work (document or pack of sentences).

    A translator of several models names those used so far in ``models``, as ``name@revision``; its ``revision`` is a hash over them.
    """

    kind: str
    name: str
    revision: str
    licence: str | None
    parameters: int | None
    by: By
    beam: int | None
    max_input_tokens: int | None
    max_new_tokens: int | None
    dtype: str | None
    models: tuple[str, ...] = ()


class Translator(Protocol):
    """Turns texts of one language into English."""

    def identity(self, language: str) -> dict[str, str | int]:
        """All that is known to decide a translation beside the text: the key of a cache. A service is asked for it. Raises ModelError."""

    def facts(self) -> TranslatorFacts:
        """What a submission says of it."""

    def translate(self, texts: Sequence[str], language: str) -> Iterator[Translated]:
        """Each text once, in any order, as soon as it is finished."""


def load_translator(
    spec: str,
    *,
    by: By | None = None,
    device: str | None = None,
    threads: int | None = None,
    batch_tokens: int | None = None,
    dtype: str | None = None,
    progress: bool = False,
) -> Translator:
    """The translator ``KIND``, ``KIND:FOLDER``, ``KIND:hub/name@revision`` or ``libretranslate:URL``.

    ``by`` None is the kind's own: whole documents for ``nllb`` (the paper's protocol), sentences for all others. ``dtype`` None is float32, and for
    ``nllb-ct2`` the fastest type of this machine, which the identity states. Raises ModelError, MissingExtra.
    """
    kind, _, rest = spec.partition(":")
    if kind not in KINDS:
        raise ModelError(f"--translator: no kind {kind!r}. There are {', '.join(KINDS)}; KIND:FOLDER and KIND:hub/name@revision name a model.")
    if by not in (None, *get_args(By)):
        raise ModelError(f"by {by!r}: a translator works by {' or '.join(get_args(By))}")
    if kind in SERVICES:
        module = import_module(f"clir_bench.parts.translators.{kind}_service")
        made: Translator = module.load(rest, by or "sentences")
        return made
    if not progress:
        _silence()
    model, _, revision = (rest, "", "") if Path(rest).is_dir() else rest.partition("@")
    settings = Settings(by, device, threads, batch_tokens, dtype)
    module = import_module(f"clir_bench.parts.translators.{kind.replace('-', '_')}")
    loaded: Translator = module.load(model, revision or None, settings)
    return loaded


class Settings(NamedTuple):
    """What the user chose for a model; None is the kind's own."""

    by: By | None = None
    device: str | None = None
    threads: int | None = None
    batch_tokens: int | None = None
    dtype: str | None = None


def require(package: str, extra: str) -> Any:
    """An optional package. Raises MissingExtra."""
    try:
        return import_module(package)
    except ImportError:
        raise MissingExtra(package, extra) from None


def _silence() -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
