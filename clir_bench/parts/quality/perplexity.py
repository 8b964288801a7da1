"""How likely a translation is under a causal language model: fluency, without source or reference.

Perplexity of a document is exp(sum of the negative log-likelihoods / predicted tokens), natural logarithm, in float32 whatever the weights' dtype. A model
with a beginning-of-text token gets it in front, so that every token of the text is predicted (Llama, GPT-2); without one (Qwen) the first token is only
context. No other special token is added. At most ``max_tokens`` tokens (512), that one included, are read; what follows is not seen. Tokens are the model's
own, so the values of two language models cannot be compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch

from clir_bench.errors import ModelError
from clir_bench.parts.checkpoints import Checkpoint, cannot_load, fetch_checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT = "Qwen/Qwen3-0.6B-Base"
"""Apache-2.0 and ungated; the paper's Llama-3.1-8B is gated."""
MAX_TOKENS = 512
"""As much of a translation as encoders read of a document."""


class Perplexity:
    """A causal language model as a judge of English. ``model`` is a hub name or a folder; no code of its repository is run. Raises ModelError."""

    name = "perplexity"
    better: Literal["higher", "lower"] = "lower"

    def __init__(
        self,
        model: str = DEFAULT,
        revision: str | None = None,
        *,
        dtype: Literal["float32", "bfloat16", "float16"] = "float32",
        max_tokens: int | None = None,
        device: str | None = None,
        batch_tokens: int | None = None,
        progress: bool = False,
    ) -> None:
        self.dtype = dtype
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.checkpoint = fetch_checkpoint(model, revision)
        self.model, self.tokenizer = _load(self.checkpoint, dtype, self.device, progress)
        positions = getattr(self.model.config, "max_position_embeddings", None)
        if max_tokens is not None and (max_tokens < 2 or (positions and max_tokens > positions)):
            raise ModelError(f"{model}: max_tokens is {max_tokens}, but it must be from 2 to the model's {positions or 'unknown number of'} positions")
        self.max_tokens = max_tokens or min(MAX_TOKENS, positions or MAX_TOKENS)
        self.begin: int | None = self.tokenizer.bos_token_id
        self.batch_tokens = batch_tokens or (1024 if self.device.type == "cpu" else 8192)  # the logits, vocabulary wide, are what fills memory
        self._known: dict[str, tuple[float, int]] = {}
        self._cut: set[str] = set()

    def score(self, sources: Sequence[str], translations: Sequence[str], references: Sequence[str | None] | None, language: str) -> list[float | None]:
        """Perplexity of each translation.

        None where no token is predicted (one token, and no beginning-of-text token), or where half precision overflows.
        """
        return [_perplexity(nll, tokens) for nll, tokens in self.losses(translations)]

    def summary(self, sources: Sequence[str], translations: Sequence[str], references: Sequence[str | None] | None, language: str) -> dict[str, float]:
        """``corpus``: exp(total negative log-likelihood / total tokens), where long documents count more; ``tokens``: how many were predicted.

        ``cut``: how many documents were longer than the limit. What has no perplexity is in neither of the first two.
        """
        losses = [(nll, tokens) for nll, tokens in self.losses(translations) if _perplexity(nll, tokens) is not None]
        tokens = sum(n for _, n in losses)
        corpus = _perplexity(math.fsum(nll for nll, _ in losses), tokens)
        cut = float(sum(text in self._cut for text in translations))
        return {"cut": cut} if corpus is None else {"corpus": corpus, "tokens": float(tokens), "cut": cut}

    def losses(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """Sum of the negative log-likelihoods (nats) and predicted tokens of each text; a text is computed once."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        for part in self._batches(new):
            self._known.update(zip([text for text, _ in part], self._losses([ids for _, ids in part]), strict=True))
        return [self._known[text] for text in texts]

    def facts(self) -> Mapping[str, str | int | bool | None]:
        """All that decides a value."""
        return {
            "signature": f"{self.checkpoint.name}@{self.checkpoint.revision}|{self.dtype}|tokens:{self.max_tokens}|bos:{'yes' if self.begin is not None else 'no'}",
            "model": self.checkpoint.name,
            "revision": self.checkpoint.revision,
            "licence": self.checkpoint.licence,
            "dtype": self.dtype,
            "max_tokens": self.max_tokens,
            "bos": self.begin is not None,
        }

    def _batches(self, texts: Sequence[str]) -> Iterator[list[tuple[str, list[int]]]]:
        """Texts with their tokens, longest first; rows times longest stays within the budget."""
        front = [] if self.begin is None else [self.begin]
        coded = self.tokenizer(list(texts), add_special_tokens=False, truncation=False)["input_ids"] if texts else []
        rows = [(text, [*front, *ids]) for text, ids in zip(texts, coded, strict=True)]
        self._cut.update(text for text, ids in rows if len(ids) > self.max_tokens)
        rows = [(text, ids[: self.max_tokens]) for text, ids in rows]
        rows.sort(key=lambda row: (-len(row[1]), row[0]))
        while rows:
            count = max(1, self.batch_tokens // max(1, len(rows[0][1])))
            yield rows[:count]
            rows = rows[count:]

    @torch.inference_mode()
    def _losses(self, rows: Sequence[list[int]]) -> list[tuple[float, int]]:
        longest = max(map(len, rows))
        if longest < 2:
            return [(0.0, 0)] * len(rows)
        tokens = torch.zeros((len(rows), longest), dtype=torch.long)  # right padding is never looked at: attention is causal, and the loss leaves it out
        mask = torch.zeros_like(tokens)
        for i, row in enumerate(rows):
            tokens[i, : len(row)], mask[i, : len(row)] = torch.tensor(row, dtype=torch.long), 1
        tokens = tokens.to(self.device)
        logits = self.model(input_ids=tokens, attention_mask=mask.to(self.device), use_cache=False).logits
        found = []
        for i, row in enumerate(rows):  # row by row, so that no second copy of all logits is made in float32
            n = max(0, len(row) - 1)
            nll = torch.nn.functional.cross_entropy(logits[i, :n].float(), tokens[i, 1 : n + 1], reduction="none") if n else torch.zeros(1)
            found.append((float(nll.double().sum()), n))
        return found


def _perplexity(nll: float, tokens: int) -> float | None:
    try:
        return math.exp(nll / tokens) if tokens and math.isfinite(nll) else None
    except OverflowError:
        return None


def _load(checkpoint: Checkpoint, dtype: str, device: torch.device, progress: bool) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    from clir_bench.parts.loading import guarded

    silenced = not progress and logging.is_progress_bar_enabled()
    if silenced:
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with guarded(checkpoint.name):
            tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder)
            loaded: Any = AutoModelForCausalLM.from_pretrained(checkpoint.folder, dtype=getattr(torch, dtype))
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{cannot_load(str(checkpoint.folder), None, error)}: --lm wants a causal language model") from error
    finally:
        if silenced:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    return loaded.eval().to(device), tokenizer
