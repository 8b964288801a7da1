"""The table of models: the paper's encoders, the strong ones since, and re-rankers, each with what its card says. No torch.

A model that is not here works by its own configuration; these carry what their repositories do not say, or say only in prose. Revisions, sizes and
training data are those of mteb 2.26's registry, where it has them, with the pre-training pairs that it notes and those of Multilingual E5's report
(arXiv 2402.05672, Table 1). ``trained_on`` names those of them that our tasks are made of, or that are their English originals; data sets made of
Wikipedia are called that. None is "not recorded", never "clean".
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
"""The instruction of E5's, Qwen's and other cards for search."""


class KnownEncoder(NamedTuple):
    """A text encoder. ``parameters`` and ``backbone`` (without the embedding table) in millions; ``max_tokens`` is the card's, at most 512 are read."""

    key: str
    name: str
    revision: str | None
    licence: str
    parameters: float
    backbone: float
    dim: int
    max_tokens: int
    pooling: str
    query_prompt: str
    document_prompt: str
    trained_on: tuple[str, ...] | None
    note: str = ""


class KnownReranker(NamedTuple):
    """A cross-encoder. ``template`` names how a pair is put to a causal model; "" is the tokenizer's own pair of segments."""

    key: str
    name: str
    revision: str | None
    licence: str
    parameters: float
    template: Literal["", "qwen3-reranker", "mxbai-rerank-v2"]
    trained_on: tuple[str, ...] | None
    note: str = ""


_MSMARCO, _WIKIPEDIA, _NEWS = "MS MARCO", "Wikipedia", "Common Crawl News"

ENCODERS = (
    KnownEncoder(
        "xlmr", "FacebookAI/xlm-roberta-base", "e73636d4f797dec63c3081bb6ed5c7b0bb3f2089", "MIT",
        278.0, 86.0, 768, 512, "mean", "", "", (), "the paper's; a masked language model, not trained for retrieval",
    ),
    KnownEncoder(
        "xlmr-large", "FacebookAI/xlm-roberta-large", "c23d21b0620b635a76227c604d44e43a9f0ee389", "MIT",
        559.9, 303.9, 1024, 512, "mean", "", "", (), "the size the paper's text gives (550M), with base's dimension",
    ),
    KnownEncoder(
        "labse", "sentence-transformers/LaBSE", "e34fab64a3011d2176c99545a93d5cbddc9a91b7", "Apache-2.0",
        470.9, 86.0, 768, 256, "cls", "", "", (_WIKIPEDIA,), "the paper's; natively CLS, a dense layer, 256 tokens",
    ),
    KnownEncoder(
        "me5", "intfloat/multilingual-e5-large", "ab10c1a7f42e74530fe7ae5be82e6d4f11a719eb", "MIT",
        559.9, 303.9, 1024, 512, "mean", "query: ", "passage: ", (_MSMARCO, _WIKIPEDIA, _NEWS), "the paper's",
    ),
    KnownEncoder(
        "me5-instruct", "intfloat/multilingual-e5-large-instruct", "baa7be480a7de1539afce709c8f13f833a510e0a", "MIT",
        559.9, 303.9, 1024, 512, "mean", f"Instruct: {INSTRUCTION}\nQuery: ", "", (_MSMARCO, _WIKIPEDIA, _NEWS),
        "float16 on the hub; loaded in the dtype that is asked for",
    ),
    KnownEncoder(
        "nomic", "nomic-ai/nomic-embed-text-v2-moe", "1066b6599d099fbb93dfcb64f9c37a7c9e503e85", "Apache-2.0",
        475.3, 283.3, 768, 512, "mean", "search_query: ", "search_document: ", None, "the paper's; 305M active; loaded by clir-bench's own module",
    ),
    KnownEncoder(
        "mmbert", "jhu-clsp/mmBERT-base", None, "MIT",
        307.0, 110.0, 768, 8192, "mean", "", "", (_WIKIPEDIA,), "the paper's; a masked language model, not trained for retrieval",
    ),
    KnownEncoder(
        "bge-m3", "BAAI/bge-m3", "5617a9f61b028005a4858fdac845db406aefb181", "MIT",
        568.0, 312.0, 1024, 8192, "cls", "", "", (_MSMARCO, "mMARCO", _WIKIPEDIA, _NEWS),
    ),
    KnownEncoder(
        "qwen3", "Qwen/Qwen3-Embedding-0.6B", "b22da495047858cce924d27d76261e96be6febc0", "Apache-2.0",
        595.8, 440.5, 1024, 32768, "lasttoken", f"Instruct: {INSTRUCTION}\nQuery:", "", (_MSMARCO, "mMARCO", _WIKIPEDIA),
    ),
    KnownEncoder(
        "arctic-l", "Snowflake/snowflake-arctic-embed-l-v2.0", "edc2df7b6c25794b340229ca082e7c78782e6374", "Apache-2.0",
        567.8, 311.8, 1024, 8192, "cls", "query: ", "", (_WIKIPEDIA,),
    ),
    KnownEncoder(
        "gemma", "google/embeddinggemma-300m", "64614b0b8b64f0c6c1e52b07e4e9a4e8fe4d2da2", "Gemma (gated)",
        307.6, 106.3, 768, 2048, "mean", "task: search result | query: ", "title: none | text: ", (_WIKIPEDIA,), "the licence is accepted on the hub",
    ),
    KnownEncoder(
        "gte", "alibaba-nlp-community/gte-multilingual-base", None, "Apache-2.0",
        305.4, 113.3, 768, 8192, "cls", "", "", (_MSMARCO, "mMARCO", _WIKIPEDIA),
        "converted for transformers' own class; the original repository's code does not run on transformers 5",
    ),
    KnownEncoder(
        "demo", "sentence-transformers/all-MiniLM-L6-v2", "8b3219a92973c328a8e22fadcfa821b5dc75636a", "Apache-2.0",
        22.7, 11.0, 384, 256, "mean", "", "", (_MSMARCO, _WIKIPEDIA), "English; the packaged model of the extra demo",
    ),
)  # fmt: skip
"""The paper's five first, with the variants its text leaves open."""

RERANKERS = (
    KnownReranker(
        "bge", "BAAI/bge-reranker-v2-m3", "953dc6f6f85a1b2dbfca4c34a2796e7dde08d41e", "Apache-2.0", 567.8, "", (_MSMARCO, "mMARCO", _WIKIPEDIA, _NEWS),
        "adapted from bge-m3",
    ),
    KnownReranker("mmarco-minilm", "cross-encoder/mmarco-mMiniLMv2-L12-H384-v1", None, "Apache-2.0", 117.6, "", ("mMARCO", _MSMARCO), "quick on a CPU"),
    KnownReranker("mxbai", "mixedbread-ai/mxbai-rerank-base-v2", "3ea9d4dffa7d12a4f366be8e275c349de9fc9865", "Apache-2.0", 494.0, "mxbai-rerank-v2", (_MSMARCO,)),
    KnownReranker(
        "mxbai-large", "mixedbread-ai/mxbai-rerank-large-v2", "ca7e1ee484c37c0ddd8d178a9a5c33cec575c5e6", "Apache-2.0", 1543.7, "mxbai-rerank-v2", (_MSMARCO,),
    ),
    KnownReranker(
        "qwen3", "Qwen/Qwen3-Reranker-0.6B", "6e9e69830b95c52b5fd889b7690dda3329508de3", "Apache-2.0", 595.8, "qwen3-reranker", (_MSMARCO, _WIKIPEDIA),
    ),
)  # fmt: skip
"""XLM-R and Nomic as cross-encoders are fine-tuned checkpoints of one's own: a folder, or a name on the hub."""


def find_encoder(text: str) -> KnownEncoder | None:
    """The row of that key or name; None for any other, and for a folder that is called like one."""
    return next((row for row in ENCODERS if text in (row.key, row.name) and not Path(text).is_dir()), None)


def find_reranker(text: str) -> KnownReranker | None:
    """The row of that key or name; None for any other, and for a folder that is called like one."""
    return next((row for row in RERANKERS if text in (row.key, row.name) and not Path(text).is_dir()), None)
