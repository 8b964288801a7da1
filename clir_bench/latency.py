"""How long a search takes, exact and approximate: raw milliseconds, one query at a time and all queries of a pair at once. No torch here.

All pairs of a query language search one pool, so a query's latency does not depend on the pair: each distinct query is timed once a
round, and a pair's figures are those of its queries. Indexes take turns query by query, in an order drawn from a seed, so that whatever
else the machine does hits all of them. Encoding is not part of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import perf_counter, perf_counter_ns
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from clir_bench.collection import Collection, FloatArray, IntArray, Pair, Ranking
from clir_bench.parts.graphs import Library
from clir_bench.parts.hnsw import Hnsw, recall
from clir_bench.retrieval import Encoder, Index

IndexName = Literal["exact", "hnsw"]
Clock = Callable[[], int]
_WARM = 20  # single queries before the clock runs


class IndexCost(NamedTuple):
    """What an index is and what it takes to have it. ``index_bytes`` of the exact one is that of the vectors."""

    index_name: str
    parameters: str
    threads: int
    build_seconds: float
    index_bytes: int


class LatencyRow(NamedTuple):
    """An index on a pair, None being all distinct queries. ``calls`` searches of one query each give the percentiles, in milliseconds.

    ``batch_ms`` is a query's share of the time that all of the pair's queries take in one call, ``queries_per_second`` the same turned over; the
    median of the rounds. ``recall`` is at the depth, against the exact index, None without one. ``normalised`` see ``normalise``.
    ``encode_ms`` is the median for one query at a time, None where it was not asked for. ``graph_p50_ms`` is the part of ``p50_ms`` that a graph's
    library takes, without our canonical scores; None for an index that is no graph.
    """

    pair: Pair | None
    index_name: str
    queries: int
    calls: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    batch_ms: float
    queries_per_second: float
    recall: float | None
    normalised: float
    encode_ms: float | None = None
    graph_p50_ms: float | None = None


class Latency(NamedTuple):
    """The measurements of one collection."""

    documents: int
    queries: int
    dim: int
    depth: int
    repeat: int
    costs: list[IndexCost]
    rows: list[LatencyRow]


def make_indexes(
    names: Sequence[IndexName], library: Library = "hnswlib", m: int = 16, ef_construction: int = 200, ef: int | None = None, threads: int = 1
) -> dict[str, Index]:
    """The indexes of these names, not built. Raises MissingExtra where the library of the approximate one is not installed."""
    made: dict[str, Index] = {}
    for name in names:
        if name == "exact":
            from clir_bench.parts.exact import Exact

            made[name] = Exact(threads=threads)
        else:
            made[name] = Hnsw(library, m, ef_construction, ef, threads=threads)
    return made


def measure_collection(
    collection: Collection,
    encoder: Encoder,
    indexes: Mapping[str, Index],
    *,
    depth: int = 100,
    repeat: int = 3,
    limit: int | None = None,
    encode: bool = False,
    threads: int = 1,
) -> Latency:
    """Encode a collection, build the indexes and measure them; with a ``limit``, on the first so many queries of each pair."""
    pair_rows = {pair: rows[:limit] for pair, rows in queries_of(collection).items()}
    asked = np.unique(np.concatenate(list(pair_rows.values())))
    pair_rows = {pair: np.searchsorted(asked, rows).astype(np.int32) for pair, rows in pair_rows.items()}
    texts = [collection.queries.texts[i] for i in asked]
    pool, queries = encoder.encode(collection.pool.texts, "document"), encoder.encode(texts, "query")
    costs = [_build(name, index, pool, depth, threads) for name, index in indexes.items()]
    with threadpool_limits(threads):
        rows = measure_latency(queries, indexes, pair_rows, depth=depth, repeat=repeat)
    if encode:
        one_by_one = _encode_singly(encoder, texts)
        rows = [row._replace(encode_ms=float(np.median(one_by_one if row.pair is None else one_by_one[pair_rows[row.pair]]))) for row in rows]
    return Latency(len(pool), len(texts), pool.shape[1], depth, repeat, costs, rows)


def queries_of(collection: Collection) -> dict[Pair, IntArray]:
    """The query rows of each pair, ascending."""
    j = collection.judgements
    return {pair: np.unique(j.query[j.pair == number]) for number, pair in enumerate(j.pairs)}


def measure_latency(
    queries: FloatArray,
    indexes: Mapping[str, Index],
    pair_rows: Mapping[Pair, IntArray],
    *,
    depth: int = 100,
    repeat: int = 3,
    seed: int = 42,
    clock: Clock = perf_counter_ns,
) -> list[LatencyRow]:
    """Time built indexes on query vectors float32 [queries, dim]; first all distinct queries, then each pair, whose rows ``pair_rows`` names.

    The index called ``exact`` is what recall is measured against. ``clock`` gives nanoseconds: ``time.process_time_ns`` (CPU time of all threads)
    says more where others use the machine.
    """
    order = random.Random(seed)
    found = {name: index.search(queries, depth) for name, index in indexes.items()}
    single, walks = _time_singly(queries, indexes, depth, repeat, order, clock)
    everything = np.arange(len(queries), dtype=np.int32)
    batches = {rows.tobytes(): rows for rows in (everything, *pair_rows.values())}  # pairs with the same queries are one batch
    batched = _time_batches(queries, indexes, batches, depth, repeat, order, clock)
    shares = {pair: normalise({name: times[:, rows] for name, times in single.items()}) for pair, rows in pair_rows.items()}
    rows_out = []
    for pair, rows in (*((None, everything),) * bool(len(queries)), *pair_rows.items()):
        for name in indexes:
            p50, p95, p99 = np.percentile(single[name][:, rows], (50, 95, 99))
            seconds = batched[name][rows.tobytes()]
            exact = found.get("exact")
            share = None if exact is None else recall(_part(found[name], rows), _part(exact, rows))
            graph = float(np.median(walks[name][:, rows])) if name in walks else None
            mean = shares[pair][name] if pair else float(np.mean([share[name] for share in shares.values()])) if shares else 0.0
            costs = (float(p50), float(p95), float(p99), 1e3 * seconds / len(rows), len(rows) / seconds)
            rows_out.append(LatencyRow(pair, name, len(rows), repeat * len(rows), *costs, share, mean, graph_p50_ms=graph))
    return rows_out


def normalise(times: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, float]:
    """The paper's way of reporting: (x - min) / (max - min) over the calls of all indexes on one pair, then each index's mean.

    A single slow call sets the scale, and the result has no unit: it says which is faster, not by how much.
    """
    low, high = min(float(x.min()) for x in times.values()), max(float(x.max()) for x in times.values())
    return {name: float(((x - low) / (high - low)).mean()) if high > low else 0.0 for name, x in times.items()}


def _build(name: str, index: Index, pool: FloatArray, depth: int, threads: int) -> IndexCost:
    index.build(pool[:256])  # what only a first build does: loading libraries, choosing the fastest product
    start = perf_counter()
    index.build(pool)
    seconds = perf_counter() - start
    if not isinstance(index, Hnsw):
        return IndexCost(name, "inner product", threads, seconds, pool.nbytes)
    facts = index.facts(depth)
    parameters = f"{facts.library} {facts.version}, M={facts.m}, ef_construction={facts.ef_construction}, ef={facts.ef}"
    return IndexCost(name, parameters, threads, facts.build_seconds or seconds, facts.index_bytes or 0)


def _time_singly(
    queries: FloatArray, indexes: Mapping[str, Index], depth: int, repeat: int, order: random.Random, clock: Clock
) -> tuple[dict[str, npt.NDArray[np.float64]], dict[str, npt.NDArray[np.float64]]]:
    """Milliseconds [repeat, queries] of each index, one query a call; and of a graph, the part of them that the library takes."""
    times = {name: np.zeros((repeat, len(queries))) for name in indexes}
    walks = {name: np.zeros((repeat, len(queries))) for name, index in indexes.items() if isinstance(index, Hnsw)}
    names, turns = list(indexes), list(range(len(queries)))
    for i in range(min(_WARM, len(queries))):
        for index in indexes.values():
            index.search(queries[i : i + 1], depth)
    for turn in range(repeat):
        order.shuffle(turns)
        for i in turns:
            query = queries[i : i + 1]
            order.shuffle(names)
            for name in names:
                index = indexes[name]
                if isinstance(index, Hnsw):  # its search in its two parts
                    start = clock()
                    rows = index.walk(query, depth)
                    walks[name][turn, i] = (clock() - start) / 1e6
                    index.rank(query, rows, depth)
                else:
                    start = clock()
                    index.search(query, depth)
                times[name][turn, i] = (clock() - start) / 1e6
    return times, walks


def _time_batches(
    queries: FloatArray, indexes: Mapping[str, Index], batches: Mapping[bytes, IntArray], depth: int, repeat: int, order: random.Random, clock: Clock
) -> dict[str, dict[bytes, float]]:
    """Seconds of each batch in one call, the median of the rounds."""
    times: dict[str, dict[bytes, list[float]]] = {name: {key: [] for key in batches} for name in indexes}
    turns = [(name, key) for name in indexes for key in batches]
    for _ in range(repeat):
        order.shuffle(turns)
        for name, key in turns:
            vectors = queries[batches[key]]
            start = clock()
            indexes[name].search(vectors, depth)
            times[name][key].append((clock() - start) / 1e9)
    return {name: {key: median(seconds) for key, seconds in found.items()} for name, found in times.items()}


def _encode_singly(encoder: Encoder, texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """Milliseconds [texts], one text a call, by what a cache would spare; of a server without the looks at its model that ``encode`` makes."""
    inner = getattr(encoder, "encoder", encoder)
    encode = getattr(inner, "embed", inner.encode)
    for text in texts[:_WARM]:
        encode([text], "query")
    times = np.zeros(len(texts))
    for i, text in enumerate(texts):
        start = perf_counter_ns()
        encode([text], "query")
        times[i] = (perf_counter_ns() - start) / 1e6
    return times


def _part(ranking: Ranking, rows: IntArray) -> Ranking:
    return Ranking(ranking.rows[rows], ranking.scores[rows])
