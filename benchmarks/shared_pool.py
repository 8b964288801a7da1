"""The shared pool against stock mteb at mMARCO's size: 14 languages, 7,434 documents, 531 queries a pair, 196 pairs, dim 768, an encoder that costs nothing.

python benchmarks/shared_pool.py            all 196 pairs (stock mteb takes several minutes)
python benchmarks/shared_pool.py --topics 60
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from pathlib import Path

import mteb
import numpy as np
from _timing import machine
from mteb.abstasks import AbsTaskRetrieval
from mteb.models import ModelMeta

from clir_bench.assemble import Assembled
from clir_bench.collection import Collection, Document, Judgement, Query, build_collection
from clir_bench.evaluate import evaluate
from clir_bench.integrations import mteb as ours
from clir_bench.parts.exact import Exact
from clir_bench.records import ExternalStage, ModelReference
from clir_bench.retrieval import Clock, Dense
from clir_bench.sources.folder import _task
from clir_bench.submission import to_json
from clir_bench.system import System

LANGUAGES = ["ar", "de", "en", "es", "fr", "hi", "id", "it", "ja", "nl", "pt", "ru", "vi", "zh"]


class FreeEncoder:
    """Looks vectors up, so that all that is measured is the host. Counts what it is asked for."""

    def __init__(self, texts: list[str], dim: int) -> None:
        rng = np.random.default_rng(0)
        topics = {text.split()[0] for text in texts}
        centre = {topic: rng.standard_normal(dim).astype(np.float32) for topic in sorted(topics)}
        vectors = np.stack([centre[text.split()[0]] for text in texts]) + 2.2 * rng.standard_normal((len(texts), dim)).astype(np.float32)
        self.vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self.row = {text: i for i, text in enumerate(texts)}
        self.count = {"query": 0, "document": 0}

    def encode(self, texts, role):
        self.count[role] += len(texts)
        return self.vectors[[self.row[text] for text in texts]]


class MtebEncoder(FreeEncoder):
    """The same for mteb."""

    mteb_model_meta = ModelMeta.create_empty({"name": "bench/free", "revision": "1"})

    def encode(self, inputs, *, prompt_type, **kwargs):
        return super().encode([text.strip() for batch in inputs for text in batch["text"]], prompt_type.value)

    @staticmethod
    def similarity(a, b):
        import torch

        return torch.as_tensor(a) @ torch.as_tensor(b).T

    similarity_pairwise = similarity


def make(topics: int) -> Collection:
    documents = [Document(f"{x}:d{t}", x, f"t{t} document {x}") for x in LANGUAGES for t in range(topics)]
    queries = [Query(f"{x}:q{t}", x, f"t{t} query {x}", str(t)) for x in LANGUAGES for t in range(topics)]
    judgements = [Judgement(f"{x}:q{t}", f"{y}:d{t}", 1) for x in LANGUAGES for y in LANGUAGES for t in range(topics)]
    return build_collection(documents, queries, judgements)


def cpu(run):
    start = time.process_time()
    found = run()
    return time.process_time() - start, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topics", type=int, default=531, help="documents a language")
    parser.add_argument("--dim", type=int, default=768)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    collection = make(options.topics)
    texts = [*collection.pool.texts, *collection.queries.texts]
    task_ = _task(Path("mmarco-sized"), collection)
    ours.open_task = lambda name: (task_, collection)
    print(f"{machine()}\n{len(collection.pool):,} documents, {len(collection.queries):,} queries, {len(collection.pairs)} pairs")

    free = FreeEncoder(texts, options.dim)
    mine = System(model="bench/free", revision="1")
    warm = Dense(FreeEncoder(texts, options.dim), Exact())
    warm.index(collection.pool)
    warm.search(collection.queries.take(range(512)), 100)

    def engine():
        clock = Clock()
        stage = ExternalStage(kind="external", model=ModelReference(name="bench/free", revision="1"), source="benchmark")
        result = evaluate(task_, collection, Assembled(mine, Dense(free, Exact(), clock), (stage,), clock))
        to_json(result.submission)
        return result

    native, result = cpu(engine)

    hosted, shared_scores, counts = {}, {}, {}
    for name, base in (("our mteb task class", None), ("stock mteb", AbsTaskRetrieval)):
        encoder = MtebEncoder(texts, options.dim)
        donor = ours.task_class.__wrapped__("mmarco-sized")()
        if base is None:
            task = donor
        else:
            donor.load_data()

            def load_data(self, donor=donor, **kwargs):
                self.dataset, self.data_loaded = donor.dataset, True

            metadata = donor.metadata.model_copy(update={"name": "StockSized"})
            task = type("StockSized", (AbsTaskRetrieval,), {"k_values": ours.CUTS, "metadata": metadata, "load_data": load_data})()
        with tempfile.TemporaryDirectory() as folder:
            hosted[name], found = cpu(
                lambda task=task, encoder=encoder, folder=folder: mteb.evaluate(
                    encoder, [task], cache=mteb.ResultCache(folder), show_progress_bar=False, encode_kwargs={"show_progress_bar": False}
                )
            )
        shared_scores[name] = {entry["hf_subset"]: entry for entry in found.task_results[0].scores["test"]}
        counts[name] = encoder.count

    keys = {"R@1": "recall_at_1", "R@10": "recall_at_10", "R@100": "recall_at_100", "nDCG@10": "ndcg_at_10", "nDCG@100": "ndcg_at_100", "RR@100": "mrr_at_100"}
    stock = shared_scores["stock mteb"]
    worst = max(
        abs(stock[str(p.pair)][key] - (p.measures[m].mean if "mrr" in key else round(p.measures[m].mean, 5)))
        for p in result.submission.pairs
        for m, key in keys.items()
    )
    other = shared_scores["our mteb task class"]
    both = [(pair, key) for pair in stock for key in stock[pair] if key in other[pair] and isinstance(stock[pair][key], float)]
    print(
        f"numbers compared: {len(keys) * len(stock):,} with ours, largest difference {worst:.1e}; "
        f"{len(both):,} with our mteb task class, largest difference {max(abs(stock[p][k] - other[p][k]) for p, k in both):.1e}"
    )
    print(f"\n{'':24} {'CPU s':>8} {'stock /':>8} {'documents encoded':>18} {'queries encoded':>16}")
    for name, seconds, count in (
        ("stock mteb", hosted["stock mteb"], counts["stock mteb"]),
        ("our mteb task class", hosted["our mteb task class"], counts["our mteb task class"]),
        ("clir-bench evaluate", native, free.count),
    ):
        print(f"{name:24} {seconds:8.2f} {hosted['stock mteb'] / seconds:8.1f} {count['document']:18,} {count['query']:16,}")


if __name__ == "__main__":
    main()
