"""chrF++, chrF and BLEU against a reference, by sacrebleu."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from clir_bench.errors import MissingExtra

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric


class ChrF:
    """Character n-gram F-score with word bigrams (chrF++), 0 to 100. Raises MissingExtra without sacrebleu.

    A document's value is its own chrF++; ``summary`` gives sacrebleu's corpus scores of a language: ``chrF2++``, ``chrF2`` and ``BLEU``.
    """

    name = "chrf"
    better: Literal["higher", "lower"] = "higher"

    def __init__(self) -> None:
        try:
            from sacrebleu.metrics.bleu import BLEU
            from sacrebleu.metrics.chrf import CHRF
        except ImportError:
            raise MissingExtra("sacrebleu", "translate") from None
        self._sentence = CHRF(word_order=2)
        self._metrics: dict[str, Metric] = {"chrF2++": CHRF(word_order=2), "chrF2": CHRF(), "BLEU": BLEU()}

    def score(self, sources: Sequence[str], translations: Sequence[str], references: Sequence[str | None] | None, language: str) -> list[float | None]:
        """chrF++ of each translation; None where it has no reference."""
        among = references or [None] * len(translations)
        return [
            None if reference is None else float(self._sentence.sentence_score(text, [reference]).score)
            for text, reference in zip(translations, among, strict=True)
        ]

    def summary(self, sources: Sequence[str], translations: Sequence[str], references: Sequence[str | None] | None, language: str) -> dict[str, float]:
        """The corpus scores of what has a reference."""
        pairs = [(text, reference) for text, reference in zip(translations, references or [None] * len(translations), strict=True) if reference is not None]
        if not pairs:
            return {}
        texts, against = [text for text, _ in pairs], [reference for _, reference in pairs]
        return {name: float(metric.corpus_score(texts, [against]).score) for name, metric in self._metrics.items()}

    def facts(self) -> Mapping[str, str | int | bool | None]:
        """The signatures that sacrebleu gives. A signature counts the references, which sacrebleu knows after it has scored."""
        for metric in (self._sentence, *self._metrics.values()):
            metric.corpus_score(["a"], [["a"]])
        return {
            "signature": f"sentence chrF2++|{self._sentence.get_signature()}",
            **{f"{name} signature": str(metric.get_signature()) for name, metric in self._metrics.items()},
        }
