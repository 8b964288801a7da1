"""mteb as host and as guest: our tasks in ``mteb.evaluate``, our systems on mteb's tasks, its results as submissions. All mteb words stay here.

A stock task encodes the pool once per pair. Ours search one pool for all pairs: ``SharedPoolTask._evaluate_subset`` is the last method that
sees the model per pair; a plain encoder is taken there to one shared ranking, anything else (cross-encoders, search models) goes mteb's own way.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from clir_bench import languages
from clir_bench.assemble import Assembled, Runtime, build
from clir_bench.collection import NOTHING, Collection, Pair, Ranking, Texts, opaque
from clir_bench.errors import ClirBenchError, MissingExtra
from clir_bench.measures import GoldRanks, gold_ranks, parse_measure, values
from clir_bench.parts.exact import Exact
from clir_bench.records import EncodeStage, ExternalStage, ModelReference, Stage
from clir_bench.runs import distinct_scores
from clir_bench.sources import open_task
from clir_bench.system import System, refuse_translation
from clir_bench.task import load_task, task_names

try:
    import mteb
    from datasets import Dataset
    from mteb._create_dataloaders import create_dataloader
    from mteb.abstasks import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models import ModelMeta
    from mteb.models.models_protocols import EncoderProtocol, SearchProtocol
    from mteb.types import PromptType
except ImportError as error:
    raise MissingExtra("mteb", "mteb") from error

CUTS = (1, 3, 5, 10, 20, 100)
MEASURE_KINDS = {"ndcg": "nDCG", "map": "AP", "recall": "R", "precision": "P", "mrr": "RR", "hit_rate": "Success"}
_READS_SUBSET = ("cde", "geevec")  # models whose encode() depends on the subset: their pool cannot be shared
DOCUMENT_FIRST = {
    "BelebeleRetrieval": True,
    "MLQARetrieval": True,
    "XPQARetrieval": True,
    "CUREv1": False,
}
"""Whether a cross-lingual mteb task lists the document language first; mteb itself has no direction. Read from the tasks' sources and statistics.

CrossLingualSemanticDiscriminationWMT19 and WMT21 are left out on purpose: their sources do not say, and the published sizes speak against the order
of their names, so a direction would be a guess.
"""


class SharedPoolTask(AbsTaskRetrieval):
    """A retrieval task over one multilingual pool; subclasses carry ``metadata``, ``source`` and, for a folder, nothing else."""

    k_values = CUTS
    source: str
    _shared: tuple[Any, Ranking] | None = None

    @cached_property
    def _collection(self) -> Collection:
        """The collection with the subsets that were asked for; the pool is always the whole one."""
        collection = open_task(self.source)[1]
        return collection.restrict(pair for pair in collection.pairs if str(pair) in self.hf_subsets)

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        """Build the collection; all pairs share one corpus."""
        if self.data_loaded:
            return
        collection = self._collection
        pool, queries, j = collection.pool, collection.queries, collection.judgements
        corpus = Dataset.from_dict({"id": list(pool.ids), "title": [""] * len(pool), "text": list(pool.texts), "lang": list(pool.languages)})
        everything = Dataset.from_dict({"id": list(queries.ids), "text": list(queries.texts)})
        self.dataset = {}
        for p, pair in enumerate(collection.pairs):
            rows = j.pair == p
            relevant: dict[str, dict[str, int]] = {}
            for q, d, grade in zip(j.query[rows].tolist(), j.document[rows].tolist(), j.grade[rows].tolist(), strict=True):
                relevant.setdefault(queries.ids[q], {})[pool.ids[d]] = grade
            mine = everything.select(np.unique(j.query[rows]))
            self.dataset[str(pair)] = {"test": {"corpus": corpus, "queries": mine, "relevant_docs": relevant, "top_ranked": None}}
        self.data_loaded = True

    def unload_data(self) -> None:
        """Forget the collection and the shared ranking."""
        self._shared = None
        self.__dict__.pop("_collection", None)
        self.__dict__.pop("_ranks", None)
        super().unload_data()

    def _evaluate_subset(self, model: Any, data_split: Any, *, encode_kwargs: Any, hf_split: str, hf_subset: str, **kwargs: Any) -> Any:
        plain = isinstance(model, EncoderProtocol) and not isinstance(model, SearchProtocol) and data_split["top_ranked"] is None
        ranking = self._ranking(model, encode_kwargs, hf_split, hf_subset) if plain else None
        if ranking is None:
            return super()._evaluate_subset(model, data_split, encode_kwargs=encode_kwargs, hf_split=hf_split, hf_subset=hf_subset, **kwargs)
        collection = self._collection
        pair = next(p for p in collection.pairs if str(p) == hf_subset)
        if kwargs.get("prediction_folder"):
            found = _as_results(ranking, collection.pool.ids, collection.queries.ids)
            asked = set(data_split["queries"]["id"])
            self._save_task_predictions(
                {q: r for q, r in found.items() if q in asked}, model, kwargs["prediction_folder"], hf_subset=hf_subset, hf_split=hf_split
            )
        scores = _scores(self._ranks, pair)
        scores.update(self.task_specific_scores({}, data_split["relevant_docs"], {}, hf_split=hf_split, hf_subset=hf_subset))
        return scores

    def _ranking(self, model: Any, encode_kwargs: Any, hf_split: str, hf_subset: str) -> Ranking | None:
        """The one ranking of all queries for this model; None where its pool cannot be shared."""
        if self._shared is not None and self._shared[0]() is model:
            return self._shared[1]
        name = str(getattr(getattr(model, "mteb_model_meta", None), "name", "")).lower()
        if any(part in name for part in _READS_SUBSET):
            return None
        collection = self._collection
        vectors = []
        for texts, role in ((collection.pool.texts, PromptType.document), (collection.queries.texts, PromptType.query)):
            distinct = list(dict.fromkeys(texts))
            place = {text: i for i, text in enumerate(distinct)}
            content = {"id": [str(i) for i in range(len(distinct))], "text": distinct}
            if role == PromptType.document:
                content["title"] = [""] * len(distinct)
            loader = create_dataloader(Dataset.from_dict(content), task_metadata=self.metadata, prompt_type=role, **encode_kwargs)
            encoded = model.encode(loader, task_metadata=self.metadata, hf_split=hf_split, hf_subset=hf_subset, prompt_type=role, **encode_kwargs)
            dense = _dense(encoded, len(distinct))
            if dense is None:
                return None
            vectors.append(dense[[place[text] for text in texts]])
        similarity = str(getattr(getattr(model, "mteb_model_meta", None), "similarity_fn_name", None) or "cosine").rsplit(".", 1)[-1].lower()
        if similarity == "cosine":
            vectors = [v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12) for v in vectors]
        elif similarity != "dot":
            return None
        index = Exact()
        index.build(vectors[0])
        ranking = index.search(vectors[1], self._top_k)
        self._shared, self._ranks = (weakref.ref(model), ranking), gold_ranks(ranking, collection.judgements)
        return ranking


def mteb_tasks(names: Sequence[str] | None = None) -> list[Any]:
    """Our tasks as mteb tasks: ``mteb.evaluate(model, clir_bench.mteb_tasks())``. ``names`` are task names or folders; None = all at hand."""
    from clir_bench.sources import is_at_hand

    chosen = [name for name in task_names() if is_at_hand(load_task(name))] if names is None else list(names)
    return [task_class(str(name))() for name in chosen]


def register_mteb() -> None:
    """Make ``mteb.get_tasks``, ``mteb.get_benchmark("CLIR-Bench")`` and mteb's command line know our tasks, in this process.

    mteb has no public registration; this reaches for its registries and says so if a version has moved them.
    """
    tasks = mteb_tasks()
    try:
        registry: Any = sys.modules["mteb.get_tasks"]  # the attribute mteb.get_tasks is a function
        for task in tasks:
            if type(task) not in registry.TASK_LIST:
                registry.TASK_LIST += type(registry.TASK_LIST)((type(task),))
            registry._TASKS_REGISTRY[task.metadata.name] = type(task)
        benchmarks: Any = import_module("mteb.benchmarks.benchmarks")
        get_benchmark: Any = import_module("mteb.benchmarks.get_benchmark")
        benchmarks.CLIR_BENCH = mteb.Benchmark(
            name="CLIR-Bench",
            tasks=mteb.get_tasks(tasks=[task.metadata.name for task in tasks]),
            description="Cross-lingual information retrieval over shared multilingual pools, by language pair and direction.",
            reference="https://arxiv.org/abs/2511.19324",
        )
        get_benchmark._build_registry.cache_clear()
        get_benchmark._build_aliases_registry.cache_clear()
    except (AttributeError, KeyError, ImportError) as error:
        raise ClirBenchError(
            f"mteb {mteb.__version__} keeps its registries elsewhere than mteb 2.26 ({error!r}). mteb.evaluate(model, clir_bench.mteb_tasks()) needs no registration."
        ) from error


def run_command(arguments: Sequence[str]) -> None:
    """Mteb's own command line, with our tasks registered."""
    register_mteb()
    from mteb.cli.build_cli import main

    sys.argv = ["mteb", *arguments]
    main()


class MtebSystem:
    """One of our systems as an mteb search model, usable on any mteb retrieval task. Use ``mteb_model``."""

    def __init__(self, assembled: Assembled) -> None:
        refuse_translation(assembled.system)
        self.assembled = assembled
        reference = first_model(assembled.stages)
        facts: dict[str, Any] = {"name": assembled.system.display_name, "revision": mteb_revision(assembled.stages, assembled.system.variant)}
        if reference:
            facts |= {"n_parameters": reference.parameters, "embed_dim": reference.embedding_dim}
        self.mteb_model_meta = ModelMeta.create_empty(facts)
        self._indexed: tuple[str, Texts] | None = None

    def index(self, corpus: Any, *, task_metadata: Any, hf_split: str, hf_subset: str, **kwargs: Any) -> None:
        """Take the corpus; one that several subsets share is indexed once."""
        if self._indexed and self._indexed[0] == corpus._fingerprint:
            return
        code = _languages_of(task_metadata, hf_subset)[1]
        titles = corpus["title"] if "title" in corpus.column_names else [""] * len(corpus)
        tags = corpus["lang"] if "lang" in corpus.column_names else [code] * len(corpus)
        rows = sorted(zip(corpus["id"], tags, corpus["text"], titles, strict=True), key=lambda row: opaque(row[0]))
        pool = Texts([r[0] for r in rows], [r[1] for r in rows], [f"{r[3] or ''} {r[2]}".strip() for r in rows])
        self.assembled.retriever.index(pool)
        self._indexed = (corpus._fingerprint, pool)

    def search(
        self,
        queries: Any,
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        top_k: int,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> dict[str, dict[str, float]]:
        """Scores of the best ``top_k`` documents, or of those of ``top_ranked`` that are retrieved at all."""
        if self._indexed is None:
            raise ClirBenchError("search before index")
        pool, code = self._indexed[1], _languages_of(task_metadata, hf_subset)[0]
        asked = Texts(list(queries["id"]), [code] * len(queries), list(queries["text"]))
        ranking = self.assembled.retriever.search(asked, len(pool) if top_ranked else min(top_k, len(pool)))
        found = _as_results(ranking, pool.ids, asked.ids)
        if top_ranked is None:
            return found
        wanted = {q: set(ids) for q, ids in top_ranked.items()}
        return {q: dict([(d, s) for d, s in scores.items() if d in wanted.get(q, ())][:top_k]) for q, scores in found.items()}


def first_model(stages: Sequence[Stage]) -> ModelReference | None:
    """The first stage's model: the encoder's, or the one behind an imported result; None for BM25."""
    return next((stage.model for stage in stages if isinstance(stage, EncodeStage | ExternalStage)), None)


def mteb_revision(stages: Sequence[Stage], variant: str) -> str:
    """What tells our systems apart where mteb knows a model by name and revision only: the first model's commit, and the variant where it is another."""
    model = first_model(stages)
    return variant if model is None else model.revision if variant == "native" else f"{model.revision}.{variant}"


def mteb_model(system: System | Assembled, runtime: Runtime | None = None) -> MtebSystem:
    """A system of ours for ``mteb.evaluate(model, any_retrieval_task)``."""
    return MtebSystem(system if isinstance(system, Assembled) else build(system, runtime))


@cache
def task_class(name: str) -> type[SharedPoolTask]:
    """One class a task: mteb rebuilds a task's metadata from its class."""
    task = open_task(name)[0] if name not in task_names() else load_task(name)
    by = {str(pair): [languages.mteb_code(pair.query), languages.mteb_code(pair.document)] for pair in task.language_pairs()}
    metadata = TaskMetadata(
        name=class_name(name),
        description=task.description.strip(),
        reference=task.homepage or "https://arxiv.org/abs/2511.19324",
        dataset={"path": f"clir-bench/{task.name}", "revision": task.expect.fingerprint or f"v{task.version}"},
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=by,
        main_score="recall_at_100" if task.depth >= 100 else "ndcg_at_10",
        date=("2026-01-01", "2026-12-31") if task.source == "sample" else None,
        domains=["Encyclopaedic", "Written"] if task.source == "sample" else None,
        task_subtypes=["Article retrieval"] if task.source == "sample" else None,
        license=task.licence.lower() if task.licence.lower() in ("apache-2.0", "cc-by-sa-4.0", "cc-by-4.0", "cc-by-sa-3.0", "mit") else "not specified",
        annotations_creators="human-annotated" if task.source == "sample" else None,
        dialect=[],
        sample_creation="created" if task.source == "sample" else None,
        bibtex_citation=task.citation.strip() if task.citation != "none" else "",
    )
    return type(metadata.name, (SharedPoolTask,), {"metadata": metadata, "source": name, "__doc__": task.description, "__module__": __name__})


def class_name(name: str) -> str:
    """What mteb calls the task: ``CLIRBenchSample``."""
    stem = Path(name).resolve().name if name not in task_names() else name
    return "CLIRBench" + "".join(part[:1].upper() + part[1:] for part in stem.replace("-", "_").replace(".", "_").split("_"))


def _scores(ranks: GoldRanks, pair: Pair) -> dict[str, Any]:
    """Mteb's score dictionary of one pair, without nAUC, rounded as mteb rounds."""
    mine = ranks.pair == ranks.pairs.index(pair)
    of = np.repeat(mine, ranks.golds)
    part = GoldRanks((pair,), ranks.pair[mine] * 0, ranks.query[mine], ranks.golds[mine], ranks.rank[of], ranks.grade[of], ranks.document[of])
    scores: dict[str, Any] = {}
    for theirs, ours in MEASURE_KINDS.items():
        for k in CUTS:
            mean = float(values(parse_measure(f"{ours}@{k}"), part).mean())
            scores[f"{theirs}_at_{k}"] = mean if theirs == "mrr" else round(mean, 5)
    return {**scores, "accuracy": scores["recall_at_1"], "clir_n": int(mine.sum()), "clir_query": pair.query, "clir_document": pair.document}


def _dense(encoded: Any, rows: int) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    """The vectors as float32 [rows, dim]; None for what is no dense matrix (sparse, multi-vector)."""
    if getattr(encoded, "is_sparse", False) or getattr(encoded, "is_nested", False) or isinstance(encoded, list):
        return None
    found = np.asarray(encoded.float().cpu().numpy() if hasattr(encoded, "cpu") else encoded)
    return found.astype(np.float32) if found.ndim == 2 and len(found) == rows and np.issubdtype(found.dtype, np.number) else None


def _as_results(ranking: Ranking, documents: Sequence[str], queries: Sequence[str]) -> dict[str, dict[str, float]]:
    """{query id: {document id: score}}, the scores strictly decreasing so that ties keep our order."""
    scores = distinct_scores(ranking)
    results: dict[str, dict[str, float]] = {}
    for q, (rows, line) in enumerate(zip(ranking.rows.tolist(), scores.tolist(), strict=True)):
        results[queries[q]] = {documents[d]: s for d, s in zip(rows, line, strict=True) if d != NOTHING}
    return results


def _languages_of(task_metadata: Any, subset: str) -> Pair:
    """(query, document) language of a subset as far as known; one language for both otherwise."""
    codes = task_metadata.eval_langs[subset] if isinstance(task_metadata.eval_langs, dict) else list(task_metadata.eval_langs)
    tags = [languages.from_mteb(code) for code in (codes[0], codes[-1])]
    return Pair(*(tags[::-1] if DOCUMENT_FIRST.get(task_metadata.name) else tags))
