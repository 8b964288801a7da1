"""Generated submissions, as many as a leaderboard may get: no system was run for them, and each says so in its notes.

python benchmarks/_submissions.py --systems 1000 --output DIR [--tasks clirmatrix mmarco large_scale sample] [--seed 0]

Every 15 systems make a block with everything that a board must show: exact and HNSW indexes, documents in English, fused, re-ranked, fine-tuned, the oracle
track, equal models, half precision, some pairs only, means without ranks, unknown facts. DIR gets the layouts of the generated collections, too.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _scores import LEXICAL, Board, Found, count_languages, draw_traits, find, fuse, keep_pairs, make_board, miss, ranked, rerank, stream

from clir_bench import records
from clir_bench.collection import IntArray
from clir_bench.evaluate import signature
from clir_bench.layout import layout_of, write_layout
from clir_bench.measures import NOT_FOUND, GoldRanks, parse_measure, stats
from clir_bench.progress import bar
from clir_bench.sources.download import hash_file
from clir_bench.submission import FORMAT, Submission, pack_ranks, path_of, stat_record, write_submission
from clir_bench.system import System
from clir_bench.task_records import Track

TASKS = ("clirmatrix", "mmarco", "large_scale", "sample")
NOTES = "synthetic: numbers of a random model, no system was run"
SIZES = ((22.7, 384), (118.0, 384), (278.0, 768), (560.0, 1024), (7110.0, 4096))  # millions of parameters, dimension
LICENCES = ("MIT", "Apache-2.0", "CC-BY-NC-4.0", "Gemma", None)
TRAINED = (None, (), (records.TrainingSource(dataset="MS MARCO"),), (records.TrainingSource(dataset="Wikipedia"),), (records.TrainingSource(dataset="mMARCO"),))
RERANKERS = {f"synthetic-rerankers/{word}": skill for word, skill in (("small", 0.15), ("base", 0.25), ("large", 0.35))}
TRANSLATOR = "synthetic-translators/nllb"
DAY_ONE = datetime(2026, 1, 1, tzinfo=UTC)


class Plan(NamedTuple):
    """A system of the board.

    ``like`` names the model whose traits it has, ``parent`` the one it was tuned from. ``partial``: only some pairs were evaluated; ``claimed``: means
    without ranks; ``undisclosed``: size, licence and training are unknown, and a claim names no collection; ``mistake``: what a run lost, in ranks' logarithm.
    """

    system: System
    like: str
    track: Track = "retrieval"
    parent: str | None = None
    partial: bool = False
    claimed: bool = False
    undisclosed: bool = False
    mistake: float = 0.0

    @property
    def model(self) -> str:
        """The encoder."""
        return self.system.model


def generate(folder: Path, systems: int, tasks: Sequence[str] = TASKS, *, seed: int = 0, show: bool = False) -> list[Path]:
    """Write what the first ``systems`` systems score on each task, and the tasks' layouts: the paths of the submissions.

    The first system's comes twice: a run with a mistake, and its correction. A larger set holds the files of a smaller one.
    """
    plans, written = plan_systems(systems), []

    def write(submission: Submission) -> Path:
        written.append(folder / path_of(submission))
        write_submission(submission, written[-1])
        return written[-1]

    with bar("generating", systems * len(tasks), "submission", show) as progress:
        for task in tasks:
            board = make_board(task, seed)
            write_layout(layout_of(task, board.task.version, board.collection), folder)
            for number, plan in enumerate(plans):
                started, correction = DAY_ONE + timedelta(days=37 * number % 300, minutes=number), None
                if number == 0:
                    wrong = write(make_submission(board, plan._replace(mistake=0.4), started))
                    correction = records.Correction(replaces=f"sha256:{hash_file(wrong, 'sha256')}", reason="bugfix", note="synthetic")
                    started += timedelta(days=14)
                write(make_submission(board, plan, started, correction))
                progress.update()
    return written


def plan_systems(count: int) -> list[Plan]:
    """The first so many systems."""
    return [plan for block in range(-(-count // 15)) for plan in _plan_block(block)][:count]


def _plan_block(block: int) -> list[Plan]:
    a, b, c, d, e, f = (f"synthetic-{block:02d}/model-{i:02d}" for i in range(6))
    scorer, other = (list(RERANKERS)[(block + i) % len(RERANKERS)] for i in (0, 1))
    return [
        Plan(System(a), a),
        Plan(System(a, index="hnsw"), a),
        Plan(System(a, documents="english", translator="nllb"), a),
        Plan(System(a, reranker=scorer), a, "rerank"),
        Plan(System(a, reranker=scorer), a, "oracle"),
        Plan(System(f"{a}-tuned"), a, parent=a),
        Plan(System(b), a),
        Plan(System(b, dtype="bfloat16"), a),
        Plan(System(c), c),
        Plan(System(c, fuse=("bm25",)), c),
        Plan(System(c, documents="english", translator="nllb", reranker=other), c, "oracle"),
        Plan(System(d), c, partial=True),
        Plan(System(e), e, claimed=True, undisclosed=block % 2 == 1),
        Plan(System(d, index="hnsw", ef=400), c),
        Plan(System(f), f, undisclosed=True),
    ]


def make_submission(board: Board, plan: Plan, started: datetime, correction: records.Correction | None = None) -> Submission:
    """What the system scored on the board's task."""
    task, system = board.task, plan.system
    found = _first_stage(board, plan)
    full, own = ranked(board, found)
    located = system.index == "exact" and not (system.fuse or system.reranker or plan.claimed)
    if system.index == "hnsw":
        full = miss(board, full, plan.model)
    injected = full == NOT_FOUND
    if system.reranker:
        full = rerank(board, full, system.reranker, RERANKERS[system.reranker])[plan.track == "oracle"]
    ranks, kept = keep_pairs(board.ranks, board.held[:: 2 if plan.partial else 1])
    ranks = ranks.with_rank(full[kept])
    own_ranks = ranks.with_rank(own[kept]) if located else None
    stages = _stages(board, plan)
    claimed, oracle, bare = plan.claimed, plan.track == "oracle", plan.claimed and plan.undisclosed
    return Submission(
        format=FORMAT,
        task=records.TaskRecord(
            name=task.name,
            version=task.version,
            track=plan.track,
            depth=task.depth,
            fingerprint=None if bare else board.collection.fingerprint,
            documents=None if bare else len(board.collection.pool),
            queries=None if bare else len(board.collection.queries),
            pairs=task.expect.pairs,
        ),
        system=records.SystemRecord(name=system.display_name, variant="published" if claimed else system.variant, signature=signature(stages), stages=stages),
        complete=len(ranks.pairs) == task.expect.pairs,
        pool={} if bare else dict(sorted(Counter(board.collection.pool.languages).items())),
        pairs=_claims(board, ranks) if claimed else _pairs(board, ranks, own_ranks, injected[kept] if oracle else None),
        bias=() if claimed or oracle else count_languages(board, ranks, found.share, f"{plan.model} {system.variant}"),
        timings=() if claimed else _timings(board, plan),
        gold_ranks=None if claimed else pack_ranks(ranks, own_ranks),
        provenance=_provenance(board, plan, started),
        submitter="synthetic",
        notes=NOTES,
        correction=correction,
    )


def _first_stage(board: Board, plan: Plan) -> Found:
    system, facts = plan.system, _size(plan.like)
    traits = draw_traits(board.seed, plan.like, facts[0])
    if plan.parent:
        traits = traits._replace(skill=traits.skill + 0.3, script=0.7 * traits.script, family=0.7 * traits.family, bias=0.5 * traits.bias)
    found = find(board, plan.model, traits, plan.parent, TRANSLATOR if system.documents == "english" else None)
    found = found._replace(above=found.above + np.float32(plan.mistake))
    if system.dtype == "bfloat16":
        found = found._replace(above=found.above + np.float32(0.02) * board.luck(f"{plan.model} bfloat16"))
    return fuse(found, find(board, "bm25", LEXICAL)) if system.fuse else found


def _pairs(board: Board, ranks: GoldRanks, own: GoldRanks | None, injected: IntArray | None) -> tuple[records.PairRecord, ...]:
    measures = [parse_measure(name) for name in board.task.measures]
    if injected is not None:
        measures = [m for m in measures if m.kind != "R" or m.k < board.task.rerank.oracle_rank]
    full = {str(m): stats(m, ranks) for m in measures}
    recall = {str(m): stats(m, own) for m in measures if m.kind == "R"} if own else {}
    given = None if injected is None else np.bincount(ranks.pair, injected, len(ranks.pairs))
    return tuple(
        records.PairRecord(
            query=pair.query,
            document=pair.document,
            measures={name: stat_record(found[i]) for name, found in full.items()},
            own_language={name: stat_record(found[i]) for name, found in recall.items()},
            injected=None if given is None else int(given[i]),
        )
        for i, pair in enumerate(ranks.pairs)
    )


def _claims(board: Board, ranks: GoldRanks) -> tuple[records.PairRecord, ...]:
    """Means as a publication prints them, in percent with one decimal."""
    found = {name: stats(parse_measure(name), ranks) for name in ("R@10", "R@100", "nDCG@10")}

    def rounded(name: str, i: int) -> records.StatRecord:
        stat = found[name][i]
        return records.StatRecord(n=stat.n, sum=round(stat.mean, 3) * stat.n, sum_squares=None)

    return tuple(
        records.PairRecord(query=pair.query, document=pair.document, measures={name: rounded(name, i) for name in found}) for i, pair in enumerate(ranks.pairs)
    )


def _stages(board: Board, plan: Plan) -> tuple[records.Stage, ...]:
    system, model = plan.system, _reference(plan.model, plan)
    if plan.claimed:
        return (records.ExternalStage(kind="external", model=model, source="synthetic publication"),)
    stages: list[records.Stage] = []
    if system.documents == "english":
        translator = records.ModelReference(
            name=TRANSLATOR, revision=_revision(TRANSLATOR), parameters=615_000_000, weights_bytes=2_460_000_000, licence="CC-BY-NC-4.0"
        )
        stages.append(records.TranslateStage(kind="translate", texts="documents", source="synthetic translator", model=translator))
    stages.append(
        records.EncodeStage(
            kind="encode", model=model, protocol=system.protocol, pooling="mean", normalize=True, similarity="cosine", max_tokens=512,
            query_prompt="query: ", document_prompt="passage: ", dtype=system.dtype,
        )
    )  # fmt: skip
    if system.index == "hnsw":
        stages.append(
            records.SearchStage(
                kind="search", index="hnsw", library="hnswlib 0.8.0", m=system.m, ef_construction=system.ef_construction, ef=system.ef or 200, seed=42
            )
        )
    else:
        stages.append(records.SearchStage(kind="search", index="exact"))
    if system.fuse:
        stages.append(
            records.LexicalStage(
                kind="lexical", method="bm25", formula="rank_bm25.BM25Okapi", tokenizer=system.tokenizer, k1=system.k1, b=system.b, epsilon=0.25
            )
        )
        stages.append(records.FuseStage(kind="fuse", method="reciprocal-rank", k=system.rrf_k, systems=2, depth=board.task.depth))
    if system.reranker:
        scorer = _reference(system.reranker, plan)
        stages.append(records.RerankStage(kind="rerank", model=scorer, depth=board.task.rerank.depth, max_tokens=512, template="", dtype=system.dtype))
    return tuple(stages)


def _reference(name: str, plan: Plan) -> records.ModelReference:
    millions, dim = _size(plan.like if name == plan.model else name)
    parameters = None if plan.undisclosed else round(millions * 1e6)
    facts = stream(0, "facts", name)
    licence, trained_on = LICENCES[facts.integers(len(LICENCES))], TRAINED[facts.integers(len(TRAINED))]
    return records.ModelReference(
        name=name,
        revision=_revision(name),
        parameters=parameters,
        weights_bytes=parameters and parameters * int(facts.choice([2, 4])),
        licence=None if plan.undisclosed else licence,
        embedding_dim=dim if name == plan.model else None,
        trained_on=None if plan.undisclosed else trained_on,
        adapted_from=plan.parent if name == plan.model else None,
    )


def _size(name: str) -> tuple[float, int]:
    return SIZES[stream(0, "size", name).integers(len(SIZES))]


def _revision(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:40]


def _timings(board: Board, plan: Plan) -> tuple[records.TimingRecord, ...]:
    """Seconds that grow with items and parameters, give or take a quarter."""
    system, documents, queries = plan.system, len(board.collection.pool), len(board.collection.queries)
    millions, rng = _size(plan.like)[0], stream(board.seed, board.task.name, plan.model, system.variant, "seconds")
    costs: list[tuple[str, int, float]] = [("translate_documents", documents, 0.2)] if system.documents == "english" else []
    costs += [("encode_documents", documents, 2e-5 * millions), ("build_index", documents, 1e-4 if system.index == "hnsw" else 1e-6)]
    costs += [("encode_queries", queries, 4e-6 * millions), ("search", queries, 5e-5 if system.index == "hnsw" else 1e-8 * documents)]
    if system.reranker:
        costs.append(("rerank", queries * board.task.rerank.depth, 3e-6 * _size(system.reranker)[0]))
    seconds = [round(items * each * float(rng.uniform(0.75, 1.25)), 4) for _, items, each in costs]
    return tuple(records.TimingRecord(stage=stage, items=items, seconds=s, cpu_seconds=s) for (stage, items, _), s in zip(costs, seconds, strict=True))


def _provenance(board: Board, plan: Plan, started: datetime) -> records.Provenance:
    return records.Provenance(
        clir_bench=version("clir-bench"),
        python=platform.python_version(),
        platform="synthetic",
        cpu="synthetic",
        cores=16,
        gpu=None,
        packages={},
        git_commit=None,
        seed=board.task.recipe.seed,
        started=started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        seconds=round(sum(timing.seconds for timing in _timings(board, plan)), 3),
        command=f"python benchmarks/_submissions.py --seed {board.seed}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Write generated submissions.")
    parser.add_argument("--systems", type=int, default=30)
    parser.add_argument("--output", type=Path, required=True, help="an empty or a new folder")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.output.exists() and any(options.output.iterdir()):
        parser.error(f"{options.output} is not empty: name a new folder")
    written = generate(options.output, options.systems, options.tasks, seed=options.seed, show=True)
    print(f"{len(written)} submissions, {sum(path.stat().st_size for path in written) / 1e6:.0f} MB, in {options.output}")


if __name__ == "__main__":
    main()
