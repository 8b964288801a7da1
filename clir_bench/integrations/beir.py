"""BEIR as host: one of our systems behind ``EvaluateRetrieval``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clir_bench.assemble import Assembled, Runtime, build
from clir_bench.collection import NOTHING, Texts, opaque
from clir_bench.errors import MissingExtra
from clir_bench.runs import distinct_scores
from clir_bench.system import System, refuse_translation

try:
    from beir.retrieval.search import BaseSearch
except ImportError as error:
    raise MissingExtra("beir", "beir") from error


class BeirSearch(BaseSearch):  # type: ignore[misc]
    """A system for ``EvaluateRetrieval(BeirSearch(system), score_function="cos_sim")``.

    A corpus that several calls share is indexed once. Our exports keep query and document ids apart (``q:`` and ``d:``), since BEIR drops
    a document whose id equals the query's.
    """

    def __init__(self, system: System | Assembled, runtime: Runtime | None = None) -> None:
        self.assembled = system if isinstance(system, Assembled) else build(system, runtime)
        refuse_translation(self.assembled.system)
        self._indexed: tuple[object, int] | None = None
        self._pool = Texts([], [], [])
        self.results: dict[str, dict[str, float]] = {}

    def search(self, corpus: Mapping[str, Mapping[str, Any]], queries: Mapping[str, str], top_k: int, *args: Any, **kwargs: Any) -> dict[str, dict[str, float]]:
        """{query id: {document id: score}} of the best ``top_k`` documents; ties keep our order."""
        if self._indexed is None or self._indexed[0] is not corpus or self._indexed[1] != len(corpus):
            ids = sorted(corpus, key=opaque)
            tags = [str((corpus[i].get("metadata") or {}).get("lang") or "en") for i in ids]
            self._pool = Texts(ids, tags, [f"{corpus[i].get('title') or ''} {corpus[i].get('text') or ''}".strip() for i in ids])
            self.assembled.retriever.index(self._pool)
            self._indexed = (corpus, len(corpus))
        asked = Texts(list(queries), ["en"] * len(queries), list(queries.values()))
        ranking = self.assembled.retriever.search(asked, min(top_k, len(self._pool)))
        scores = distinct_scores(ranking)
        self.results = {
            asked.ids[q]: {self._pool.ids[d]: s for d, s in zip(rows, line, strict=True) if d != NOTHING}
            for q, (rows, line) in enumerate(zip(ranking.rows.tolist(), scores.tolist(), strict=True))
        }
        return self.results

    def encode(self, *args: Any, **kwargs: Any) -> None:
        """BEIR's optional hook; encoding happens in ``search``."""

    def search_from_files(self, *args: Any, **kwargs: Any) -> dict[str, dict[str, float]]:
        """BEIR's optional hook for saved embeddings, which our cache makes needless."""
        raise NotImplementedError("clir-bench keeps embeddings in its own cache")
