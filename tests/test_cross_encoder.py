"""Cross-encoders: scores equal sentence-transformers' and the makers' own code, whatever the batches; refusals, memory, and the cache of scores."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from clir_bench.errors import ModelError
from clir_bench.parts import cache
from clir_bench.parts.cached_scores import CachedScorer
from clir_bench.parts.cross_encoder import CrossEncoderScorer
from clir_bench.parts.pair_models import longest_first

QUERIES = ["where is the capital of egypt?", "", "  где находится столица египта? ", "tea and rice " * 40]
DOCUMENTS = ["the river nile flows into the sea", "النيل نهر يجري في مصر، ما هي العاصمة؟", "der Fluss fließt durch die Stadt " * 30, "", "yes no\nyes"]
PAIRS = [(query, document) for query in QUERIES for document in DOCUMENTS]
CLASSIFIERS = ["xlmr", "bert", "modernbert", "nomic"]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Tiny re-rankers by the name of their kind, each written once."""
    root = tmp_path_factory.mktemp("rerankers")

    def write(name: str) -> Path:
        found = root / name
        return found if found.is_dir() else Path(getattr(checkpoints, f"{name}_reranker")(found))

    return write


def scorer(folder: Path, **options: Any) -> CrossEncoderScorer:
    return CrossEncoderScorer(str(folder), device=None if "devices" in options else "cpu", **options)


def referee(folder: Path, max_length: int = 512, **options: Any) -> CrossEncoder:
    return CrossEncoder(str(folder), device="cpu", max_length=max_length, activation_fn=torch.nn.Identity(), **options)


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("max_tokens", [512, 65, 8])
def test_a_classifier_scores_and_truncates_as_sentence_transformers(folder: Callable[[str], Path], name: str, max_tokens: int) -> None:
    ours = scorer(folder(name), max_tokens=max_tokens)
    theirs = referee(folder(name), max_tokens).predict(PAIRS)
    scores = ours.score(PAIRS)
    assert scores.dtype == np.float32
    assert np.ptp(theirs) > 0.05
    np.testing.assert_allclose(scores, theirs, atol=1e-5)
    assert ours._model.prepare(PAIRS).features.__name__ == "build"  # the pieces are joined, not read again


def test_a_causal_model_with_its_own_chat_template_scores_as_sentence_transformers(folder: Callable[[str], Path]) -> None:
    for max_tokens in (512, 150):
        scores = scorer(folder("causal"), max_tokens=max_tokens).score(PAIRS)
        np.testing.assert_allclose(scores, referee(folder("causal"), max_tokens).predict(PAIRS), atol=1e-5)


@pytest.mark.parametrize(("name", "template"), [("xlmr", None), ("bert", None), ("modernbert", None), ("nomic", None), ("causal", "qwen3-reranker")])
def test_neither_order_nor_batches_nor_devices_change_a_score(folder: Callable[[str], Path], name: str, template: str | None) -> None:
    ours = scorer(folder(name), template=template)
    plain = ours.score(PAIRS)
    shuffled = [PAIRS[i] for i in np.random.default_rng(0).permutation(len(PAIRS))]
    back = dict(zip(shuffled, scorer(folder(name), template=template, batch_tokens=600).score(shuffled), strict=True))
    np.testing.assert_allclose([back[pair] for pair in PAIRS], plain, atol=1e-5)
    np.testing.assert_allclose([ours.score([pair])[0] for pair in PAIRS[::5]], plain[::5], atol=1e-5)
    np.testing.assert_allclose(scorer(folder(name), template=template, devices=["cpu", "cpu"], batch_tokens=600).score(PAIRS), plain, atol=1e-5)
    assert ours.score([]).shape == (0,)


def test_batches_stay_within_the_budget_and_hold_each_pair_once(folder: Callable[[str], Path]) -> None:
    ours = scorer(folder("xlmr"), batch_tokens=700)
    lengths = ours._model.prepare(PAIRS).lengths
    division = [batch.rows for batch in ours.batches(PAIRS)]
    assert sorted(i for rows in division for i in rows) == list(range(len(PAIRS)))
    assert all(len(rows) == 1 or len(rows) * max(lengths[i] for i in rows) <= 700 for rows in division)
    assert len(division) < len(PAIRS)
    assert [[PAIRS[i] for i in rows] for rows in division] == [[PAIRS[::-1][i] for i in batch.rows] for batch in ours.batches(PAIRS[::-1])]


def test_pairs_are_cut_as_the_tokenizers_package_cuts() -> None:
    backend = checkpoints.bert_tokenizer().backend_tokenizer
    for room in (1, 2, 5, 8, 9):
        backend.enable_truncation(room + 3, strategy="longest_first")
        for first in range(13):
            for second in range(13):
                kinds = backend.encode("a " * first, "a " * second).sequence_ids
                assert longest_first(first, second, room) == (kinds.count(0), kinds.count(1)), (first, second, room)


def qwen3_naive(folder: Path, pairs: list[tuple[str, str]], max_length: int) -> list[float]:
    """As the card of Qwen3-Reranker does it, pair by pair, with all of the vocabulary."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prefix = (
        '<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. Note that the answer can only be "yes" '
        'or "no".<|im_end|>\n<|im_start|>user\n'
    )
    before = tokenizer.encode(prefix, add_special_tokens=False)
    after = tokenizer.encode("<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", add_special_tokens=False)
    task, found = "Given a web search query, retrieve relevant passages that answer the query", []
    for query, document in pairs:
        text = f"<Instruct>: {task}\n<Query>: {query}\n<Document>: {document}"
        ids = tokenizer(text, truncation="longest_first", max_length=max_length - len(before) - len(after))["input_ids"]
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([before + ids + after])).logits[0, -1]
        found.append(float(logits[tokenizer.convert_tokens_to_ids("yes")] - logits[tokenizer.convert_tokens_to_ids("no")]))
    return found


def mxbai_naive(folder: Path, pairs: list[tuple[str, str]], max_length: int) -> list[float]:
    """As the package mxbai-rerank 0.1.6 does it, pair by pair; its max_length does not count the template, ours does."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def ids(text: str, **cut: Any) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False, **cut)["input_ids"])

    task = (
        "You are a search relevance expert who evaluates how well documents match search queries. For each query-document pair, carefully analyze the semantic "
        "relationship between them, then provide your binary relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"
    )
    before = ids("<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n<|im_start|>user\n")
    after = ids("\n") + ids(task) + ids("<|im_end|>\n<|im_start|>assistant\n")
    room, found = max_length - len(before) - len(after), []
    for query, document in pairs:
        first = ids(f"query: {query}", truncation=True, max_length=room * 3 // 4)
        second = ids("\n") + ids(f"document: {document}", truncation=True, max_length=room)
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([before + first + second[: room - len(first)] + after])).logits[0, -1]
        found.append(float(logits[ids("1")[0]] - logits[ids("0")[0]]))
    return found


@pytest.mark.parametrize(("template", "naive"), [("qwen3-reranker", qwen3_naive), ("mxbai-rerank-v2", mxbai_naive)])
@pytest.mark.parametrize("max_tokens", [2048, 400])
def test_a_causal_model_scores_as_its_makers_code(folder: Callable[[str], Path], template: str, naive: Callable[..., list[float]], max_tokens: int) -> None:
    ours = scorer(folder("causal"), template=template, max_tokens=max_tokens)
    expected = naive(folder("causal"), PAIRS, max_tokens)
    assert np.ptp(expected) > 0.1
    assert (max(ours._model.prepare(PAIRS).lengths) == 400) == (max_tokens == 400)
    np.testing.assert_allclose(ours.score(PAIRS), expected, atol=1e-5)


def test_a_causal_model_in_bfloat16_makes_no_ties(folder: Callable[[str], Path]) -> None:
    pairs = [(query, f"{document} {i}") for query in ("tea", "河流入海") for document in ("the river nile", "", "a yes") for i in range(12)]
    half, full = (scorer(folder("causal"), template="qwen3-reranker", dtype=dtype).score(pairs) for dtype in ("bfloat16", "float32"))
    assert len(set(half.tolist())) > 0.97 * len(pairs)
    assert len(set(torch.from_numpy(half).bfloat16().tolist())) < len(set(half.tolist()))
    assert np.corrcoef(half, full)[0, 1] > 0.99


def test_scores_that_a_sigmoid_would_tie_are_kept_apart(folder: Callable[[str], Path], tmp_path: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(folder("xlmr"), dtype=torch.float32)
    with torch.no_grad():
        model.classifier.out_proj.bias += 30
    shutil.copytree(folder("xlmr"), tmp_path / "sure")
    model.save_pretrained(tmp_path / "sure")
    texts = [("tea", document) for document in DOCUMENTS]
    assert set(CrossEncoder(str(tmp_path / "sure"), device="cpu").predict(texts).tolist()) == {1.0}
    assert len(set(scorer(tmp_path / "sure").score(texts).tolist())) == len(texts)


def test_two_labels_give_the_difference_and_three_are_refused(tmp_path: Path) -> None:
    two, three = (checkpoints.xlmr_reranker(tmp_path / str(n), num_labels=n) for n in (2, 3))
    logits = referee(two).predict(PAIRS)
    np.testing.assert_allclose(scorer(two).score(PAIRS), logits[:, 1] - logits[:, 0], atol=1e-5)
    with pytest.raises(ModelError, match="a classifier with 3 labels gives no one score for a pair"):
        scorer(three)


@pytest.mark.parametrize("name", ["xlmr", "bert", "modernbert", "nomic_moe"])
def test_an_encoder_without_a_classification_head_is_refused(tmp_path: Path, name: str) -> None:
    found = getattr(checkpoints, f"{name}_encoder")(tmp_path / name)
    with pytest.raises(ModelError, match=r"does not fit \w+ForSequenceClassification: \d tensors missing \(.*The checkpoint is an encoder's: name a reranker"):
        scorer(found)


def test_the_models_own_prompt_is_used_and_named(folder: Callable[[str], Path], tmp_path: Path) -> None:
    model = CrossEncoder(str(folder("bert")), device="cpu", prompts={"rank": "the river: "}, default_prompt_name="rank")
    model.save(str(tmp_path / "prompted"), create_model_card=False)
    ours = scorer(tmp_path / "prompted")
    np.testing.assert_allclose(ours.score(PAIRS), referee(tmp_path / "prompted").predict(PAIRS), atol=1e-5)
    assert ours.identity()["prompt"] == "the river: "
    assert np.abs(ours.score(PAIRS) - scorer(folder("bert")).score(PAIRS)).max() > 1e-3


def test_templates_that_do_not_fit_are_refused(folder: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"--rerank-template: unknown template 'qwen4'. There are: qwen3-reranker, mxbai-rerank-v2"):
        scorer(folder("causal"), template="qwen4")
    with pytest.raises(ModelError, match=r"max_tokens is 64, but the template 'qwen3-reranker' alone takes \d+"):
        scorer(folder("causal"), template="qwen3-reranker", max_tokens=64)
    shutil.copytree(folder("causal"), tmp_path / "plain")
    (tmp_path / "plain" / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="Name the template it was trained with: --rerank-template qwen3-reranker or mxbai-rerank-v2"):
        scorer(tmp_path / "plain")
    (tmp_path / "plain" / "chat_template.jinja").write_text("{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}")
    with pytest.raises(ModelError, match="without a chat template that takes a query and a document"):
        scorer(tmp_path / "plain")


def test_what_is_no_model_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="not a model folder that can be loaded"):
        scorer(tmp_path)
    with pytest.raises(ModelError, match="neither a local folder nor available from the hub"):
        CrossEncoderScorer("nobody/nothing", device="cpu")


def test_a_score_that_is_no_number_is_refused_by_name(folder: Callable[[str], Path]) -> None:
    ours = scorer(folder("bert"))
    tokenizer = ours._model.network.tokenizer
    token = (set(tokenizer("wheat")["input_ids"]) - set(tokenizer("tea rice the book king sea")["input_ids"])).pop()
    ours._model.network[0].model.bert.embeddings.word_embeddings.weight.data[token] = float("nan")
    with pytest.raises(ModelError, match=r"1 of 3 pairs have no usable score \(nan\), as query 'the book' and document 'wheat'"):
        ours.score([("tea", "rice"), ("the book", "wheat"), ("the king", "sea")])


def limit_rows(ours: CrossEncoderScorer, most: int) -> list[int]:
    """Let the real model run out of memory for more rows than ``most``; the sizes of what it was asked."""
    asked: list[int] = []

    def hook(module: torch.nn.Module, args: tuple[dict[str, Any]]) -> None:
        asked.append(len(args[0]["input_ids"]))
        if asked[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    ours._model.network[0].register_forward_pre_hook(hook)
    return asked


def test_a_batch_that_does_not_fit_into_memory_is_halved(folder: Callable[[str], Path]) -> None:
    ours = scorer(folder("xlmr"), batch_tokens=100_000)
    asked = limit_rows(ours, 3)
    np.testing.assert_allclose(ours.score(PAIRS), scorer(folder("xlmr")).score(PAIRS), atol=1e-5)
    assert asked[0] == len(PAIRS)
    failed = sum(size > 3 for size in asked)
    ours.score(PAIRS)
    assert sum(size > 3 for size in asked) - failed < failed  # what did not fit once is not tried at that size again


def test_one_pair_that_does_not_fit_into_memory_is_an_error(folder: Callable[[str], Path]) -> None:
    ours = scorer(folder("xlmr"))
    limit_rows(ours, 0)
    with pytest.raises(ModelError, match=r"not even one pair of \d+ tokens fits into the memory \(CUDA out of memory"):
        ours.score(PAIRS)


def test_other_failures_of_the_model_are_not_taken_for_memory(folder: Callable[[str], Path]) -> None:
    ours = scorer(folder("xlmr"))

    def hook(module: torch.nn.Module, args: Any) -> None:
        raise RuntimeError("expected scalar type Float")

    ours._model.network[0].register_forward_pre_hook(hook)
    with pytest.raises(RuntimeError, match="expected scalar type Float"):
        ours.score(PAIRS)


def test_identity_and_facts_say_what_was_scored(folder: Callable[[str], Path]) -> None:
    plain, asked = scorer(folder("causal")), scorer(folder("causal"), template="qwen3-reranker", max_tokens=300)
    variants = [plain, asked, scorer(folder("causal"), dtype="bfloat16"), scorer(folder("causal"), max_tokens=300), scorer(folder("xlmr"))]
    variants.append(scorer(folder("causal"), template="mxbai-rerank-v2", max_tokens=400))
    assert len({json.dumps(each.identity(), sort_keys=True) for each in variants}) == len(variants)
    assert asked.identity() == scorer(folder("causal"), template="qwen3-reranker", max_tokens=300, batch_tokens=99).identity()
    facts = asked.facts()
    assert (facts.template, facts.max_tokens, facts.dtype, facts.activation) == ("qwen3-reranker", 300, "float32", "identity")
    assert facts.parameters == sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(folder("causal")).parameters())
    assert facts.revision.startswith("sha256:")
    assert facts.weights_bytes == sum(file.stat().st_size for file in folder("causal").glob("*.safetensors"))
    assert scorer(folder("xlmr"), max_tokens=4096).facts().max_tokens == 512


def test_cached_scores_are_the_scorers_bytes_and_are_not_computed_again(folder: Callable[[str], Path], tmp_path: Path) -> None:
    ours = scorer(folder("xlmr"), batch_tokens=600)
    plain = ours.score(PAIRS)
    first, second, third = (CachedScorer(ours, tmp_path) for _ in range(3))
    assert first.score(PAIRS).tobytes() == plain.tobytes()
    assert second.score(PAIRS[::-1])[::-1].tobytes() == plain.tobytes()
    more = [*PAIRS, ("tea", "rice")]
    np.testing.assert_allclose(third.score(more), ours.score(more), atol=1e-5)
    assert [(c.scored, c.hits) for c in (first, second, third)] == [(len(PAIRS), 0), (0, len(PAIRS)), (1, len(PAIRS))]
    for shard in tmp_path.rglob("*.safetensors"):
        content = shard.read_bytes()
        shard.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    with pytest.warns(RuntimeWarning, match="its pairs are scored again"):
        assert CachedScorer(ours, tmp_path).score(PAIRS).tobytes() == plain.tobytes()


def test_query_and_document_are_not_confused_by_where_one_ends(folder: Callable[[str], Path], tmp_path: Path) -> None:
    pairs = [("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc"), ("c", "ab")]
    ours = scorer(folder("bert"))
    cached = CachedScorer(ours, tmp_path)
    for pair in pairs:
        assert cached.score([pair])[0] == ours.score([pair])[0]
    assert (cached.scored, cached.hits) == (len(pairs), 0)


def test_two_checkpoints_in_one_path_share_no_score(tmp_path: Path) -> None:
    scores = []
    for seed in (0, 1):
        path = checkpoints.bert_reranker(tmp_path / "model", seed=seed)
        scores.append(CachedScorer(scorer(path), tmp_path / "cache").score(PAIRS))
        np.testing.assert_allclose(scores[-1], referee(path).predict(PAIRS), atol=1e-5)
        shutil.rmtree(path)
    assert np.abs(scores[0] - scores[1]).max() > 0.01


def test_a_killed_run_resumes_to_the_bytes_of_one_that_was_not(folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 within the fourth batch; a shard is written after each."""
    monkeypatch.setattr(cache, "_SHARD_SECONDS", 0.0)
    child = os.fork()
    if not child:
        killed, seen = scorer(folder("xlmr"), batch_tokens=600), []

        def hook(module: torch.nn.Module, args: Any) -> None:
            seen.append(1)
            if len(seen) == 4:
                os.kill(os.getpid(), signal.SIGKILL)

        killed._model.network[0].register_forward_pre_hook(hook)
        CachedScorer(killed, tmp_path).score(PAIRS)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    ours = scorer(folder("xlmr"), batch_tokens=600)
    done = sum(len(batch.rows) for batch, _ in zip(ours.batches(PAIRS), range(3), strict=False))
    resumed = CachedScorer(ours, tmp_path)
    assert resumed.score(PAIRS).tobytes() == ours.score(PAIRS).tobytes()
    assert (resumed.hits, resumed.scored) == (done, len(PAIRS) - done)
    assert 0 < done < len(PAIRS)
