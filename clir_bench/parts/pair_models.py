"""What a cross-encoder reads and says: pairs into features, features into scores. Classifiers by sentence-transformers, causal models by a template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from sentence_transformers import CrossEncoder

from clir_bench.collection import IntArray
from clir_bench.errors import ModelError
from clir_bench.parts.reranker_templates import TemplateReader

Pairs = Sequence[tuple[str, str]]
Features = dict[str, Any]
_AT_ONCE = 4096


class Prepared(NamedTuple):
    """Pairs cut into tokens: how many each has, and the features of some of them, named by their rows."""

    lengths: list[int]
    features: Callable[[list[int]], Features]


class PairModel(Protocol):
    """A network with the way in and the way out."""

    max_tokens: int
    prompt: str
    parameters: int

    @property
    def network(self) -> torch.nn.Module:
        """The network as it was loaded."""

    def prepare(self, pairs: Pairs) -> Prepared:
        """Cut the pairs into tokens."""

    def scores(self, network: torch.nn.Module, features: Features) -> torch.Tensor:
        """The scores of a batch by ``network``, this one or a copy of it on another device: float32 [rows]."""


class ClassifierPairs:
    """A CrossEncoder. Each distinct text is cut into tokens once, where pairs joined from the pieces are exactly what the model's own preprocess makes."""

    def __init__(self, network: CrossEncoder, max_tokens: int) -> None:
        self.network, self.parameters = network, _count(network)
        self.max_tokens = min(max_tokens, network.max_seq_length or max_tokens, _positions(network.config) or max_tokens)
        network.max_seq_length = self.max_tokens
        self.prompt = (network.prompts.get(network.default_prompt_name or "") or "") if network.default_prompt_name else ""
        self._lock = Lock()

    def prepare(self, pairs: Pairs) -> Prepared:
        """Cut the pairs into tokens; where the fast way is not the model's own, the lengths are near and the features the model's."""
        queries, documents = ({text: i for i, text in enumerate(dict.fromkeys(texts))} for texts in zip(*pairs, strict=True))
        of = [(queries[query], documents[document]) for query, document in pairs]
        query_ids, document_ids = self._ids([self.prompt + text for text in queries]), self._ids(list(documents))
        sizes = [(len(query_ids[q]), len(document_ids[d])) for q, d in of]
        frame = self._frame()
        around = frame.around if frame else 0
        lengths = [min(self.max_tokens, around + first + second) for first, second in sizes]
        if frame:
            build = self._joined(frame, [(query_ids[q], document_ids[d]) for q, d in of], pairs, sizes)
            if build:
                return Prepared(lengths, build)
        return Prepared(lengths, lambda rows: self._own([pairs[i] for i in rows]))

    def scores(self, network: torch.nn.Module, features: Features) -> torch.Tensor:
        """The logit; of two labels the second's minus the first's, which orders pairs as their softmax does."""
        assert isinstance(network, CrossEncoder)
        for module in network:
            features = module(features)
        logits: torch.Tensor = features["scores"].float()
        logits = logits if logits.ndim == 2 else logits[:, None]
        return logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]

    def _own(self, pairs: Pairs) -> Features:
        with self._lock:  # a tokenizer's truncation is set and used in two steps
            return dict(self.network.preprocess([list(pair) for pair in pairs], prompt=self.prompt or None))

    def _ids(self, texts: list[str]) -> list[IntArray]:
        backend = getattr(self.network.tokenizer, "backend_tokenizer", None)
        if backend is None:  # a slow tokeniser: lengths by its own words
            return [np.zeros(len(self.network.tokenizer.tokenize(text)), np.int32) for text in texts]
        backend.no_truncation()
        backend.no_padding()
        found: list[IntArray] = []
        for start in range(0, len(texts), _AT_ONCE):
            part = backend.encode_batch_fast(texts[start : start + _AT_ONCE], add_special_tokens=False)
            found += [np.array(encoding.ids, np.int32) for encoding in part]
        return found

    def _frame(self) -> _Frame | None:
        backend = getattr(self.network.tokenizer, "backend_tokenizer", None)
        if backend is None or getattr(self.network.tokenizer, "pad_token_id", None) is None:
            return None
        encoding = backend.encode("a", "a")
        ids, types, part = np.array(encoding.ids, np.int32), np.array(encoding.type_ids, np.int32), encoding.sequence_ids
        if 0 not in part or 1 not in part:
            return None
        start, stop = part.index(0), len(part) - part[::-1].index(0)
        begin, end = part.index(1), len(part) - part[::-1].index(1)
        inner = (slice(0, start), slice(stop, begin), slice(end, None)) if stop <= begin else None
        return _Frame([(ids[s], types[s]) for s in inner], (int(types[start]), int(types[begin]))) if inner else None

    def _joined(
        self, frame: _Frame, ids: list[tuple[IntArray, IntArray]], pairs: Pairs, sizes: list[tuple[int, int]]
    ) -> Callable[[list[int]], Features] | None:
        """A builder of features from the pieces, if on a sample it gives exactly what the model's own preprocess gives; else None."""
        tokenizer = self.network.tokenizer
        room = self.max_tokens - frame.around

        def build(rows: list[int]) -> Features:
            made = [frame.join(*ids[i], room) for i in rows]
            return {key: value[key] if key in value else kept for value in [pad(made, tokenizer)] for key, kept in own.items()}

        by_length = sorted(range(len(pairs)), key=lambda i: sum(sizes[i]))
        extremes = [max(range(len(pairs)), key=lambda i: size(sizes[i])) for size in (min, max, lambda s: s[0])]
        sample = sorted({by_length[len(by_length) * k // 7] for k in range(7)} | {by_length[-1], *extremes})
        own = self._own([pairs[i] for i in sample])
        mine = build(sample)
        same = all(torch.equal(value, mine[key]) for key, value in own.items() if isinstance(value, torch.Tensor))
        return build if same else None


class CausalPairs:
    """A causal language model that answers yes or no to a template. Its output layer is cut down to the two answers, in float32 whatever its dtype.

    In bfloat16 the logits of a whole vocabulary are steps of a sixteenth and more, so that many pairs would tie.
    """

    def __init__(self, network: torch.nn.Module, reader: TemplateReader, max_tokens: int) -> None:
        self.network, self.parameters, self.max_tokens, self.prompt, self._reader = network, _count(network), max_tokens, "", reader
        network.set_output_embeddings(_Answers(network.get_output_embeddings(), [reader.no, reader.yes]))  # type: ignore[operator]

    def prepare(self, pairs: Pairs) -> Prepared:
        """Put each pair into the template."""
        ids = self._reader.read(pairs)

        def features(rows: list[int]) -> Features:
            """Padded on the left, so that the last position is the answer's; positions count from each text's own start."""
            longest = max(len(ids[i]) for i in rows)
            tokens, mask = torch.zeros((2, len(rows), longest), dtype=torch.long)
            for at, i in enumerate(rows):
                tokens[at, longest - len(ids[i]) :], mask[at, longest - len(ids[i]) :] = torch.from_numpy(ids[i]), 1
            return {"input_ids": tokens, "attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}

        return Prepared([len(x) for x in ids], features)

    def scores(self, network: torch.nn.Module, features: Features) -> torch.Tensor:
        """The logit of yes minus that of no at the last position: the card's softmax, before it saturates."""
        logits: torch.Tensor = network(**features, use_cache=False, logits_to_keep=1).logits[:, -1].float()
        return logits[:, 1] - logits[:, 0]


class _Answers(torch.nn.Module):
    """Some rows of an output layer, in float32."""

    def __init__(self, layer: torch.nn.Linear, rows: list[int]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(layer.weight[rows].detach().float().clone(), requires_grad=False)
        self.bias = None if layer.bias is None else torch.nn.Parameter(layer.bias[rows].detach().float().clone(), requires_grad=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(hidden.float(), self.weight, self.bias)


class _Frame(NamedTuple):
    """The tokens that a tokenizer puts before, between and behind the two texts of a pair, each with its token types; and the types of the texts."""

    inner: list[tuple[IntArray, IntArray]]
    types: tuple[int, int]

    @property
    def around(self) -> int:
        return sum(len(ids) for ids, _ in self.inner)

    def join(self, query: IntArray, document: IntArray, room: int) -> tuple[IntArray, IntArray]:
        """The token ids and types of a pair."""
        (before, t0), (between, t1), (behind, t2) = self.inner
        first, second = longest_first(len(query), len(document), room)
        ids = np.concatenate([before, query[:first], between, document[:second], behind])
        return ids, np.concatenate([t0, np.full(first, self.types[0]), t1, np.full(second, self.types[1]), t2])


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens of each text stay, as the tokenizers package cuts: the longer text gives way first, then both, the longer keeping the odd token."""
    if first + second <= room:
        return first, second
    short, long = min(first, second), max(first, second)
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short, long = room // 2, room // 2 + room % 2
    return (long, short) if first > second else (short, long)


def pad(rows: Sequence[tuple[IntArray, IntArray]], tokenizer: Any) -> dict[str, torch.Tensor]:
    """Token ids and types as rectangles, padded on the tokenizer's side."""
    longest = max(len(ids) for ids, _ in rows)
    tokens = torch.full((len(rows), longest), tokenizer.pad_token_id)
    types = torch.full((len(rows), longest), tokenizer.pad_token_type_id)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for i, (ids, kinds) in enumerate(rows):
        place = slice(longest - len(ids), longest) if tokenizer.padding_side == "left" else slice(0, len(ids))
        tokens[i, place], types[i, place], mask[i, place] = torch.from_numpy(ids), torch.from_numpy(kinds), 1
    return {"input_ids": tokens, "attention_mask": mask, "token_type_ids": types}


def refuse_labels(model: str, labels: int) -> None:
    """Raise ModelError unless a classifier gives one score for a pair: one label, or two of which the second says relevant."""
    if labels not in (1, 2):
        raise ModelError(
            f"{model}: a classifier with {labels} labels gives no one score for a pair. A re-ranker has 1 label, or 2 (not relevant, relevant):"
            " train one with num_labels=1, or choose a re-ranker."
        )


def _count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _positions(config: Any) -> int | None:
    """The tokens that a model has positions for; XLM-R and its kin count from the padding index on (514 positions for 512 tokens)."""
    positions, kind = getattr(config, "max_position_embeddings", None), str(getattr(config, "model_type", ""))
    if positions and ("roberta" in kind or kind in ("camembert", "xmod", "mpnet")):
        return int(positions) - 2
    return int(positions) if positions else None
