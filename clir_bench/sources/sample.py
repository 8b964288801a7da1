"""The built-in sample: 48 topics in the 8 languages of MULTI-8, written for clir-bench.

``sample_texts/{language}.jsonl`` holds, for each topic, a document, a natural question and a keyword query. Documents of a topic are comparable, not
translations of each other; topics come in pairs of near neighbours (two rivers, two chemists), so that a near miss counts as a miss.
"""

from __future__ import annotations

import json
from pathlib import Path

from clir_bench.collection import Collection, Document, Judgement, Query, build_collection

FOLDER = Path(__file__).parent / "sample_texts"


def read() -> Collection:
    """The sample as a collection: each query is judged in every language."""
    documents, queries = [], []
    for path in sorted(FOLDER.glob("*.jsonl")):
        language = path.stem
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            topic = row["topic"]
            documents.append(Document(f"{language}:{topic}", language, row["document"]))
            queries += [Query(f"{language}:{topic}:{kind}", language, row[kind], f"{topic}:{kind}") for kind in ("question", "keywords")]
    golds: dict[str, list[str]] = {}
    for document in documents:
        golds.setdefault(document.id.split(":")[1], []).append(document.id)
    judgements = [Judgement(query.id, gold, 1) for query in queries for gold in golds[query.id.split(":")[1]]]
    return build_collection(documents, queries, judgements)
