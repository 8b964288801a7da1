"""Our tasks, runs and submissions in other tools' formats: BEIR folders, TREC runs and qrels, ranx files, mteb results."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from clir_bench.collection import NOTHING, Collection
from clir_bench.errors import ClirBenchError
from clir_bench.files import replacing
from clir_bench.runs import Run, distinct_scores, load_run
from clir_bench.sources import open_task
from clir_bench.submission import read_submission

_SOURCES = {"mteb": "a submission (.json)", "beir": "a task or a folder", "trec": "a saved run (.npz)", "ranx": "a saved run (.npz)"}


def export(source: str, form: str, folder: Path, task: str | None = None) -> list[Path]:
    """Write ``source`` in ``form`` to ``folder``; the files written. Raises ClirBenchError where the two do not fit."""
    suffix = Path(source).suffix
    if (form == "mteb") != (suffix == ".json") or (form in ("trec", "ranx")) != (suffix == ".npz"):
        raise ClirBenchError(f"--format {form} takes {_SOURCES[form]}, but the source is {source!r}")
    if form == "mteb":
        from clir_bench.integrations.mteb_results import write_result

        return write_result(read_submission(source), folder)
    if form == "beir":
        return _write_beir(open_task(source)[1], folder)
    run = load_run(Path(source), task)
    return _write_trec(run, folder) if form == "trec" else _write_ranx(run, folder)


def query_id(identifier: str) -> str:
    """A query's id in exported files: never equal to a document's, which BEIR would drop."""
    return f"q:{identifier}"


def document_id(identifier: str) -> str:
    """A document's id in exported files."""
    return f"d:{identifier}"


def _write_beir(collection: Collection, folder: Path) -> list[Path]:
    pool, queries = collection.pool, collection.queries

    def corpus(out: TextIO) -> None:
        for key, lang, text in zip(pool.ids, pool.languages, pool.texts, strict=True):
            out.write(json.dumps({"_id": document_id(key), "title": "", "text": text, "metadata": {"lang": lang}}, ensure_ascii=False) + "\n")

    def asked(out: TextIO) -> None:
        for row, (key, lang, text) in enumerate(zip(queries.ids, queries.languages, queries.texts, strict=True)):
            metadata = {"lang": lang, "topic": str(collection.topics[row])}
            out.write(json.dumps({"_id": query_id(key), "text": text, "metadata": metadata}, ensure_ascii=False) + "\n")

    written = [_write(folder / "corpus.jsonl", corpus), _write(folder / "queries.jsonl", asked)]
    for pair, rows in _qrels(collection):

        def qrels(out: TextIO, rows: list[tuple[str, str, int]] = rows) -> None:
            out.write("query-id\tcorpus-id\tscore\n")
            out.writelines(f"{q}\t{d}\t{grade}\n" for q, d, grade in rows)

        written.append(_write(folder / "qrels" / f"{pair}.tsv", qrels))
    return written


def _write_trec(run: Run, folder: Path) -> list[Path]:
    """One run for all pairs (they share the ranking), and a qrels file a pair."""
    tag = run.system.replace("/", "__")

    def ranking(out: TextIO) -> None:
        for q, found in _results(run):
            out.writelines(f"{q} Q0 {d} {rank} {score:.9g} {tag}\n" for rank, (d, score) in enumerate(found.items(), 1))

    written = [_write(folder / f"{tag}.run", ranking)]
    for pair, rows in _qrels(run.collection):
        written.append(_write(folder / "qrels" / f"{pair}.qrels", lambda out, rows=rows: out.writelines(f"{q} 0 {d} {grade}\n" for q, d, grade in rows)))  # type: ignore[misc]
    return written


def _write_ranx(run: Run, folder: Path) -> list[Path]:
    """``ranx.Run.from_file`` and ``ranx.Qrels.from_file`` files, one of each a pair: ranx scores exactly the queries of a run."""
    found = dict(_results(run))
    written = []
    for pair, rows in _qrels(run.collection):
        qrels: dict[str, dict[str, int]] = {}
        for q, d, grade in rows:
            qrels.setdefault(q, {})[d] = grade
        mine = {q: found[q] for q in qrels}
        written.append(_write(folder / "runs" / f"{pair}.json", lambda out, mine=mine: json.dump(mine, out)))  # type: ignore[misc]
        written.append(_write(folder / "qrels" / f"{pair}.json", lambda out, qrels=qrels: json.dump(qrels, out)))  # type: ignore[misc]
    return written


def _results(run: Run) -> Iterator[tuple[str, dict[str, float]]]:
    """(query id, {document id: score}) with strictly decreasing scores, for other tools break ties by rules of their own."""
    ids = [document_id(key) for key in run.collection.pool.ids]
    scores = distinct_scores(run.ranking)
    for q, key in enumerate(run.collection.queries.ids):
        line = zip(run.ranking.rows[q].tolist(), scores[q].tolist(), strict=True)
        yield query_id(key), {ids[d]: s for d, s in line if d != NOTHING}


def _qrels(collection: Collection) -> Iterator[tuple[str, list[tuple[str, str, int]]]]:
    """(pair, [(query id, document id, grade)]) for each pair."""
    j = collection.judgements
    for p, pair in enumerate(collection.pairs):
        rows = zip(j.query[j.pair == p].tolist(), j.document[j.pair == p].tolist(), j.grade[j.pair == p].tolist(), strict=True)
        yield str(pair), [(query_id(collection.queries.ids[q]), document_id(collection.pool.ids[d]), grade) for q, d, grade in rows]


def _write(path: Path, fill: Callable[[TextIO], object]) -> Path:
    """Write beside and rename. Raises ClirBenchError where the folder cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as stream, io.TextIOWrapper(stream, encoding="utf-8", newline="\n", write_through=True) as out:
            fill(out)
    except OSError as error:
        raise ClirBenchError(f"{path} cannot be written: {error.strerror or error}") from error
    return path
