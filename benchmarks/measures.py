"""All 196 pairs' measures and language profiles from one ranking of 97,720 queries, against pytrec_eval per pair on ready-made dicts.

python benchmarks/measures.py
"""

from __future__ import annotations

import numpy as np
import pytrec_eval
from _timing import interleave, machine, table

from clir_bench.bias import language_profiles
from clir_bench.collection import Collection, Judgements, Pair, Ranking, Texts
from clir_bench.measures import DEFAULT_MEASURES, gold_ranks, parse_measure, stats

LANGUAGES = ["ar", "de", "en", "es", "fr", "hi", "id", "it", "ja", "nl", "pt", "ru", "vi", "zh"]


def main() -> None:
    rng = np.random.default_rng(0)
    topics, documents, depth = 6_980, 7_433, 100
    held = rng.integers(0, 14, documents)
    pool = Texts([f"d{i}" for i in range(documents)], [LANGUAGES[x] for x in held], [""] * documents)
    queries = Texts([f"{x}:q{t}" for x in LANGUAGES for t in range(topics)], [x for x in LANGUAGES for _ in range(topics)], [""] * (14 * topics))
    pairs = tuple(Pair(q, d) for q in LANGUAGES for d in LANGUAGES)
    gold = rng.integers(0, documents, topics)
    query = np.arange(14 * topics, dtype=np.int32)
    document = np.tile(gold, 14).astype(np.int32)
    pair = (query // topics) * 14 + held[document]
    order = np.lexsort((document, query, pair))
    judgements = Judgements(pairs, pair[order].astype(np.int32), query[order], document[order], np.ones(len(order), np.int32))
    rows = np.stack([rng.permutation(documents)[:depth] for _ in range(len(query))]).astype(np.int32)
    hit = rng.random(len(query)) < 0.7
    there = (rows == document[:, None]).any(1)
    hit &= ~there  # no document twice
    rows[np.flatnonzero(hit), rng.integers(0, depth, hit.sum())] = document[hit]
    scores = np.tile(np.linspace(1, 0.01, depth, dtype=np.float32), (len(query), 1))
    collection = Collection(pool, queries, judgements, np.zeros(len(query), np.int32), "none")
    ranking = Ranking(rows, scores)

    runs = [({}, {}) for _ in pairs]
    for p, q, d in zip(judgements.pair.tolist(), judgements.query.tolist(), judgements.document.tolist(), strict=True):
        runs[p][0][f"q{q}"] = {f"d{d}": 1}
        runs[p][1][f"q{q}"] = {f"d{row}": float(s) for row, s in zip(rows[q].tolist(), scores[q].tolist(), strict=True)}
    wanted = {"recall.1,10,100", "ndcg_cut.10,100", "recip_rank"}

    def referee():
        return [pytrec_eval.RelevanceEvaluator(qrels, wanted).evaluate(run) for qrels, run in runs]

    def measured():
        ranks = gold_ranks(ranking, judgements)
        return {name: stats(parse_measure(name), ranks) for name in DEFAULT_MEASURES}

    def ours():
        return measured(), language_profiles(collection, ranking)

    found, theirs = measured(), referee()
    names = {"R@1": "recall_1", "R@10": "recall_10", "R@100": "recall_100", "nDCG@10": "ndcg_cut_10", "nDCG@100": "ndcg_cut_100", "RR@100": "recip_rank"}
    worst = max(abs(found[name][p].mean - np.mean([x[key] for x in theirs[p].values()])) for p in range(len(pairs)) for name, key in names.items())
    times = interleave({"pytrec_eval per pair, dicts given": referee, "ours, measures": measured, "ours, measures and language profiles": ours})
    print(f"{machine()}\nlargest difference of a pair's mean: {worst:.1e}")
    table(f"{len(query):,} queries, {len(pairs)} pairs, depth {depth}", times, "ours, measures and language profiles")


if __name__ == "__main__":
    main()
