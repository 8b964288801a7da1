"""Our BM25 against rank_bm25 at equal scores, with and without numba.

python benchmarks/bm25.py [--task FOLDER]   sentences of the documents and the queries of a task or folder (default: the sample), at most 9,055 and 8,000
"""

from __future__ import annotations

import argparse

import numpy as np
from _timing import interleave, machine
from rank_bm25 import BM25Okapi

from clir_bench.parts.okapi import Okapi
from clir_bench.parts.tokenizers import TOKENIZERS, tokenize
from clir_bench.sources import open_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="sample")
    parser.add_argument("--referee-queries", type=int, default=200, help="rank_bm25 answers only these; its time is scaled up")
    options = parser.parse_args()
    _, collection = open_task(options.task)
    import regex

    pool = list(zip(collection.pool.texts, collection.pool.languages, strict=True))
    sentences = [(part, language) for text, language in pool for part in regex.split(r"(?<=[.!?。！？؟।])\s*", text) if len(part) > 20]
    documents, queries = sentences[:9055], list(zip(collection.queries.texts, collection.queries.languages, strict=True))[:8000]
    print(f"{machine()}\n{len(documents):,} documents, {len(queries):,} queries of {options.task}")
    for name in TOKENIZERS:
        held = [tokenize(name, text, language) for text, language in documents]
        asked = [tokenize(name, text, language) for text, language in queries]
        few = asked[:: max(1, len(asked) // options.referee_queries)]
        referee = BM25Okapi(held)
        ours = {numba: Okapi(numba=numba) for numba in (False, True)}
        for index in ours.values():
            index.build(held)
        assert all((ours[False]._scores(ours[False]._known(q)) == referee.get_scores(q)).all() for q in few)
        assert (ours[False].search(asked, 100).rows == ours[True].search(asked, 100).rows).all()
        times = interleave(
            {
                "rank_bm25": lambda few=few, referee=referee: [np.argsort(referee.get_scores(q))[::-1][:100] for q in few],
                "numpy": lambda asked=asked, ours=ours: ours[False].search(asked, 100),
                "numba": lambda asked=asked, ours=ours: ours[True].search(asked, 100),
                "index": lambda held=held: Okapi().build(held),
            }
        )
        whole = times["rank_bm25"][1] * len(asked) / len(few)
        print(f"\n{name}: rank_bm25 {whole:.1f} CPU s (from {len(few)} queries); scores equal in every bit")
        for kind in ("numpy", "numba"):
            print(f"  ours, {kind}: {times[kind][1]:.3f} CPU s, {whole / times[kind][1]:.0f}x, {len(asked) / times[kind][1]:,.0f} queries a CPU second")
        print(f"  ours, building the index: {times['index'][1]:.3f} CPU s")


if __name__ == "__main__":
    main()
