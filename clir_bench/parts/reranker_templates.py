"""How causal re-rankers are asked about a pair: the texts around it, as their makers' own code puts them, and the two answers it may give.

The input is ``prefix + body + suffix``; a body that is too long is cut, prefix and suffix never are. The score is the first answer's logit minus the second's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from clir_bench.collection import IntArray
from clir_bench.errors import ModelError

_AT_ONCE = 4096


@dataclass(frozen=True)
class RerankerTemplate:
    """The texts of one template.

    ``joined``: the body is cut into tokens as one text, and cut off at its end where it is too long. Otherwise query, separator and document are cut into
    tokens by themselves, and the query keeps at most three quarters of the room.
    """

    prefix: str
    before_query: str
    separator: str
    before_document: str
    suffix: tuple[str, ...]
    yes: str
    no: str
    joined: bool
    source: str

    def identity(self) -> str:
        """All of it that decides a score."""
        return repr(sorted((key, value) for key, value in asdict(self).items() if key != "source"))


TEMPLATES = {
    "qwen3-reranker": RerankerTemplate(
        prefix="<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided."
        ' Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n',
        before_query="<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n<Query>: ",
        separator="\n",
        before_document="<Document>: ",
        suffix=("<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",),
        yes="yes",
        no="no",
        joined=True,
        source="the model card of Qwen/Qwen3-Reranker-0.6B and QwenLM/Qwen3-Embedding, examples/qwen3_reranker_transformers.py",
    ),
    "mxbai-rerank-v2": RerankerTemplate(
        prefix="<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n<|im_start|>user\n",
        before_query="query: ",
        separator="\n",
        before_document="document: ",
        suffix=(
            "\n",
            "You are a search relevance expert who evaluates how well documents match search queries. For each query-document pair, carefully analyze the"
            " semantic relationship between them, then provide your binary relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:",
            "<|im_end|>\n<|im_start|>assistant\n",
        ),
        yes="1",
        no="0",
        joined=False,
        source="the package mxbai-rerank 0.1.6, mxbai_rerank_v2.py",
    ),
}


def find_template(name: str) -> RerankerTemplate:
    """The template of that name. Raises ModelError naming those there are."""
    if name not in TEMPLATES:
        raise ModelError(f"--rerank-template: unknown template {name!r}. There are: {', '.join(TEMPLATES)}")
    return TEMPLATES[name]


class TemplateReader:
    """A template in the tokens of one tokenizer. ``max_tokens`` counts the whole input. Raises ModelError where template and tokenizer do not fit."""

    def __init__(self, model: str, name: str, tokenizer: Any, max_tokens: int) -> None:
        self.template, self._tokenizer = find_template(name), tokenizer
        self.yes, self.no = (self._answer(model, name, word) for word in (self.template.yes, self.template.no))
        self._prefix = self._ids([self.template.prefix])[0]
        self._separator = self._ids([self.template.separator])[0]
        self._suffix = np.concatenate(self._ids(list(self.template.suffix)))
        self._room = max_tokens - len(self._prefix) - len(self._suffix)
        if self._room < 2 * (1 + len(self._separator)):
            fixed = len(self._prefix) + len(self._suffix)
            raise ModelError(f"{model}: max_tokens is {max_tokens}, but the template {name!r} alone takes {fixed}. Allow more with --rerank-max-tokens.")

    def read(self, pairs: Sequence[tuple[str, str]]) -> list[IntArray]:
        """The token ids of each pair's whole input."""
        return [np.concatenate([self._prefix, body, self._suffix]) for body in (self._joined(pairs) if self.template.joined else self._parts(pairs))]

    def _joined(self, pairs: Sequence[tuple[str, str]]) -> list[IntArray]:
        t = self.template
        return [ids[: self._room] for ids in self._ids([f"{t.before_query}{query}{t.separator}{t.before_document}{document}" for query, document in pairs])]

    def _parts(self, pairs: Sequence[tuple[str, str]]) -> list[IntArray]:
        queries, documents = ({text: i for i, text in enumerate(dict.fromkeys(texts))} for texts in zip(*pairs, strict=True))
        query_ids = self._ids([self.template.before_query + text for text in queries])
        document_ids = self._ids([self.template.before_document + text for text in documents])
        bodies = ((query_ids[queries[q]][: self._room * 3 // 4], self._separator, document_ids[documents[d]]) for q, d in pairs)
        return [np.concatenate(body)[: self._room] for body in bodies]

    def _ids(self, texts: list[str]) -> list[IntArray]:
        found: list[IntArray] = []
        for start in range(0, len(texts), _AT_ONCE):
            part = self._tokenizer(texts[start : start + _AT_ONCE], add_special_tokens=False, verbose=False)["input_ids"]
            found += [np.array(ids, np.int32) for ids in part]
        return found

    def _answer(self, model: str, name: str, word: str) -> int:
        ids = self._ids([word])[0]
        if len(ids) != 1 or ids[0] == self._tokenizer.unk_token_id:
            raise ModelError(
                f"{model}: the template {name!r} reads the answer {word!r}, which is {len(ids)} tokens here, not one. It is not this model's template."
            )
        return int(ids[0])
