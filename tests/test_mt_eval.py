"""Judging translations: the same numbers however they are computed, failures counted, a report that can be recomputed, a figure."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
import torch
from conftest import HashingEncoder
from pyarrow import parquet
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model, PreTrainedTokenizerFast

from clir_bench.cli import _verb
from clir_bench.cli_mt_eval import add_mt_eval
from clir_bench.errors import ClirBenchError, CollectionError, ModelError
from clir_bench.mt_eval import evaluate_translations, interval
from clir_bench.mt_eval_records import Report, read_report, to_json, write_report
from clir_bench.mt_eval_tables import choose_samples, read_references, read_tables
from clir_bench.parts.quality.chrf import ChrF
from clir_bench.parts.quality.comet import CometKiwi, find_command
from clir_bench.parts.quality.perplexity import Perplexity
from clir_bench.parts.quality.similarity import Similarity

WORDS = ["the", "river", "is", "long", "tea", "grows", "in", "hills", "a", "piano", "has", "keys", "and", "wheat", "bread"]
TEXTS = [" ".join(WORDS[(i * 7 + k * k) % len(WORDS)] for k in range(1 + (i * 5) % 23)) for i in range(24)]


def language_model(folder: Path, begin: bool) -> Path:
    """A GPT-2 with random weights, its words whole tokens."""
    vocabulary = {word: i for i, word in enumerate(["[unk]", "<s>", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[unk]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[unk]", bos_token="<s>" if begin else None).save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(vocabulary), n_positions=32, n_embd=16, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=1)
    config.initializer_range = 0.5  # so that a word matters to the next
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny models are slower on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return language_model(tmp_path_factory.mktemp("models") / "lm", begin=True)


def write_translations(
    path: Path, languages: Sequence[str] = ("de", "en", "ru"), count: int = 30, failed: Sequence[str] = (), english: Callable[[int], str] = TEXTS.__getitem__
) -> Path:
    """A file as ``clir-bench translate`` writes it."""
    keys = [(f"{language}:{i}", language, i) for language in languages for i in range(count)]
    table = {
        "_id": [key for key, _, _ in keys],
        "lang": [language for _, language, _ in keys],
        "text": [f"{language} Text {i}" for _, language, i in keys],
        "english": [None if key in failed else english(i % len(TEXTS)) for key, _, i in keys],
        "problem": ["cut off at 200 tokens" if key in failed else None for key, _, _ in keys],
    }
    schema = pa.schema([(name, pa.string()) for name in table])
    parquet.write_table(pa.table(table, schema=schema), path)
    return path


def run(*arguments: str) -> int:
    """The verb as ``clir-bench`` runs it."""
    parser = argparse.ArgumentParser()
    add_mt_eval(partial(_verb, parser.add_subparsers(required=True)))
    options = parser.parse_args(["mt-eval", *arguments])
    try:
        return int(options.run(options))
    except ClirBenchError as error:
        print(error, file=sys.stderr)
        return 2


def test_perplexity_is_exp_of_the_mean_loss_that_the_model_itself_gives(lm: Path) -> None:
    judge = Perplexity(str(lm), device="cpu")
    model, tokenizer = GPT2LMHeadModel.from_pretrained(lm), PreTrainedTokenizerFast.from_pretrained(lm)
    for text, value in zip(TEXTS, judge.score(TEXTS, TEXTS, None, "de"), strict=True):
        ids = torch.tensor([[1, *tokenizer(text)["input_ids"]]])
        assert value == pytest.approx(math.exp(model(ids, labels=ids).loss.item()), rel=1e-5)
    losses = judge.losses(TEXTS)
    corpus = judge.summary(TEXTS, TEXTS, None, "de")["corpus"]
    assert corpus == pytest.approx(math.exp(sum(nll for nll, _ in losses) / sum(n for _, n in losses)))
    assert abs(corpus - np.mean(judge.score(TEXTS, TEXTS, None, "de"))) > 1e-3  # long texts count more


def test_batches_of_one_and_of_many_give_the_same_perplexities(lm: Path) -> None:
    alone, many = (Perplexity(str(lm), device="cpu", batch_tokens=budget).losses(TEXTS) for budget in (1, 500))
    assert [n for _, n in alone] == [n for _, n in many] == [len(text.split()) for text in TEXTS]
    assert np.allclose([nll for nll, _ in alone], [nll for nll, _ in many], rtol=1e-5, atol=0)


def test_without_a_beginning_token_the_first_word_is_context_and_one_word_has_no_perplexity(tmp_path: Path, lm: Path) -> None:
    judge = Perplexity(str(language_model(tmp_path / "lm", begin=False)), device="cpu")
    assert judge.score(["x"], ["tea"], None, "de") == [None]
    assert [n for _, n in judge.losses(["tea grows in hills"])] == [3]
    assert "bos:no" in str(judge.facts()["signature"])
    assert "bos:yes" in str(Perplexity(str(lm), device="cpu").facts()["signature"])


def test_what_lies_beyond_the_token_limit_is_not_read(lm: Path) -> None:
    judge = Perplexity(str(lm), device="cpu", max_tokens=5)
    assert judge.losses(["tea grows in hills and bread"]) == judge.losses(["tea grows in hills a piano"])
    texts = ["tea grows in hills and bread", "tea grows in hills", "tea grows in hills and bread"]
    assert judge.summary(texts, texts, None, "de")["cut"] == 2
    with pytest.raises(ModelError, match="max_tokens is 33, but it must be from 2 to the model's 32 positions"):
        Perplexity(str(lm), device="cpu", max_tokens=33)


def test_what_has_no_finite_value_is_unscored_and_costs_no_other_value(tmp_path: Path, lm: Path) -> None:
    broken = Perplexity(str(lm), device="cpu")
    model: Any = broken.model
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())  # its own, so that only who reads a word sees NaN
    with torch.no_grad():
        model.get_input_embeddings().weight[2 + WORDS.index("piano")] = math.nan
    scores = broken.score(TEXTS, TEXTS, None, "de")
    assert 0 < scores.count(None) < len(TEXTS)
    assert all((score is None) <= ("piano" in text.split()) for text, score in zip(TEXTS, scores, strict=True))
    assert math.isfinite(broken.summary(TEXTS, TEXTS, None, "de")["corpus"])

    class Odd(Similarity):
        def score(self, sources: Sequence[str], *_: object) -> list[float | None]:
            return [math.nan, math.inf, *[1.0] * (len(sources) - 2)]

        def summary(self, *_: object) -> dict[str, float]:
            return {"corpus": math.nan}

    report = evaluate_translations(read_tables([str(write_translations(tmp_path / "a.parquet"))]), [Odd(HashingEncoder(), "odd")], size=10)
    row = report.row("a", "de", "similarity")
    assert (row.n, row.unscored, row.mean, row.corpus) == (8, 2, 1.0, {})
    write_report(report, tmp_path / "r.json")
    assert read_report(tmp_path / "r.json") == report


def test_a_checkpoint_without_its_output_layer_is_refused(tmp_path: Path, lm: Path) -> None:
    PreTrainedTokenizerFast.from_pretrained(lm).save_pretrained(tmp_path)
    GPT2Model(GPT2Config(vocab_size=17, n_positions=32, n_embd=16, n_layer=2, n_head=2, tie_word_embeddings=False)).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"lm_head\.weight"):
        Perplexity(str(tmp_path), device="cpu")


def test_similarity_is_the_cosine_of_source_and_translation() -> None:
    encoder = HashingEncoder()
    found = Similarity(encoder, "hashing").score(["the river", "tea grows", "tea grows"], ["the river", "wheat", "tea"], None, "de")
    a, b = encoder.encode(["tea grows"], "document")[0], encoder.encode(["wheat"], "document")[0]
    assert found == pytest.approx([1.0, float(a @ b), float(a @ encoder.encode(["tea"], "document")[0])])


def test_chrf_is_sacrebleus_and_skips_what_has_no_reference() -> None:
    from sacrebleu import corpus_bleu, corpus_chrf, sentence_chrf

    metric, texts, against = ChrF(), TEXTS[:4], [TEXTS[0], None, TEXTS[5], TEXTS[6]]
    pairs = [(t, r) for t, r in zip(texts, against, strict=True) if r is not None]
    scores = metric.score(texts, texts, against, "de")
    assert scores[1] is None
    assert [s for s in scores if s is not None] == pytest.approx([sentence_chrf(t, [r], word_order=2).score for t, r in pairs])
    left, right = [t for t, _ in pairs], [[r for _, r in pairs]]
    assert metric.summary(texts, texts, against, "de") == pytest.approx(
        {"chrF2++": corpus_chrf(left, right, word_order=2).score, "chrF2": corpus_chrf(left, right).score, "BLEU": corpus_bleu(left, right).score}
    )
    assert "nrefs:1" in str(metric.facts()["signature"])
    assert "nw:2" in str(metric.facts()["signature"])


FAKE_COMET = """
    import os, sys

    class Prediction(dict):
        __getattr__ = dict.__getitem__

    class Model:
        def predict(self, samples, batch_size=16, gpus=1, devices=None, mc_dropout=0, progress_bar=True, accelerator="auto", num_workers=None, length_batching=True):
            print("a line of the library on stdout")
            print("Predicting", file=sys.stderr)
            if any(row["mt"] == "fail" for row in samples):
                raise RuntimeError("out of memory, says COMET")
            scores = [round(len(row["mt"]) / 100 + batch_size + gpus, 4) for row in samples]
            return Prediction(scores=scores, system_score=sum(scores) / len(scores))

    def download_model(model, saving_directory=None, local_files_only=False):
        if "gated" in model:
            raise KeyError(f"Model '{model}' not supported by COMET.")
        print("started once", file=sys.stderr)
        return os.path.join("cache", "snapshots", "0123456789abcdef0123456789abcdef01234567", "checkpoints", "model.ckpt")

    def load_from_checkpoint(checkpoint_path, reload_hparams=False, strict=False, local_files_only=False):
        return Model()
"""


@pytest.fixture
def comet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of unbabel-comet's shape, that the process finds."""
    (tmp_path / "site" / "comet").mkdir(parents=True)
    (tmp_path / "site" / "comet" / "__init__.py").write_text(textwrap.dedent(FAKE_COMET))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))


@pytest.mark.usefixtures("comet")
def test_comet_is_asked_in_one_process_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    metric = CometKiwi(find_command(sys.executable), batch=4, gpus=0, progress=True)
    try:
        assert metric.score(["Ä", "\u2028\n"], ["abc", "ab"], None, "de") == [4.03, 4.02]
        assert metric.score(["x"] * 3000, ["long " * 40] * 3000, None, "ru") == [6.0] * 3000  # more than a pipe holds
        assert metric.facts()["revision"] == "0123456789abcdef0123456789abcdef01234567"
    finally:
        metric.close()
    err = capfd.readouterr().err
    assert err.count("started once") == 1
    assert "Predicting" in err


@pytest.mark.usefixtures("comet")
def test_a_failure_of_comet_is_told_with_its_last_lines() -> None:
    metric = CometKiwi(find_command(sys.executable), gpus=0)
    with pytest.raises(ModelError, match=r"ended with status 1: .*Unbabel/wmt22-cometkiwi-da[\s\S]*RuntimeError: out of memory, says COMET$"):
        metric.score(["x"], ["fail"], None, "de")
    with pytest.raises(ModelError, match=r"not supported by COMET[\s\S]*accept its terms at https://huggingface.co/org/gated"):
        CometKiwi(find_command(sys.executable), "org/gated", gpus=0).score(["x"], ["y"], None, "de")
    with pytest.raises(ModelError, match="--comet-python wants a Python"):
        CometKiwi(["echo"]).score(["x"], ["y"], None, "de")


@pytest.mark.usefixtures("comet")
def test_an_interruption_leaves_no_process_of_comet(tmp_path: Path) -> None:
    (tmp_path / "site" / "comet" / "__init__.py").write_text(
        textwrap.dedent(FAKE_COMET).replace(
            'print("a line',
            f"""open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
        import time; time.sleep(60)
        print("a line""",
        )
    )
    (tmp_path / "uv").write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n')  # like uv, it starts Python and waits for it
    (tmp_path / "uv").chmod(0o755)
    program = (
        "import sys; from clir_bench.parts.quality.comet import CometKiwi\n"
        "metric = CometKiwi([sys.argv[1]], gpus=0)\n"
        "try: metric.score(['x'], ['y'], None, 'de')\n"
        "finally: metric.close()"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "uv")], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not ((tmp_path / "pid").is_file() and (tmp_path / "pid").read_text()) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=15)[1]  # soon: not after the time that an orderly end is given
    grandchild = int((tmp_path / "pid").read_text())
    while time.monotonic() < deadline and _is_alive(grandchild):
        time.sleep(0.02)
    assert not _is_alive(grandchild)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2] if Path("/proc").is_dir() else True
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_without_an_environment_for_comet_both_cures_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModelError, match=r"install uv[\s\S]*--comet-python"):
        find_command(None)
    with pytest.raises(ModelError, match="--comet-python nowhere/python: no such interpreter"):
        find_command("nowhere/python")
    (tmp_path / "uv").write_text("#!/bin/sh\n")
    (tmp_path / "uv").chmod(0o755)
    assert find_command(None)[:5] == [str(tmp_path / "uv"), "run", "--isolated", "--no-project", "--python"]


def test_the_sample_is_the_same_in_any_order_and_grows_by_appending(tmp_path: Path) -> None:
    path = write_translations(tmp_path / "a.parquet")
    table = parquet.read_table(path)
    parquet.write_table(table.take(list(range(table.num_rows))[::-1]), tmp_path / "b.parquet")
    (first,), (second,) = read_tables([f"x={path}"]), read_tables([f"x={tmp_path / 'b.parquet'}"])
    small, said = choose_samples([first], None, 5, 42)
    assert small == choose_samples([second], None, 5, 42)[0]
    assert [s.language for s in small] == ["de", "ru"]
    assert any(line.startswith("en left out") for line in said)
    large = choose_samples([first], None, 20, 42)[0]
    assert [s.ids[:5] for s in large] == [s.ids for s in small]
    assert choose_samples([first], None, 5, 43)[0] != small
    assert small[0].ids == ("de:9", "de:15", "de:13", "de:23", "de:3")  # frozen: another order is another evaluation
    assert [s.language for s in choose_samples([first], ["en"], 5, 42)[0]] == ["en"]
    assert [s.language for s in choose_samples([first], ["ru", "de", "ru"], 5, 42)[0]] == ["de", "ru"]


def test_failed_translations_are_listed_and_counted_and_in_no_mean(tmp_path: Path) -> None:
    gone = ("ru:1", "ru:2", "ru:3")
    tables = read_tables([f"good={write_translations(tmp_path / 'g.parquet')}", f"bad={write_translations(tmp_path / 'b.parquet', failed=gone)}"])
    report = evaluate_translations(tables, [Similarity(HashingEncoder(), "hashing")], size=30)
    good, bad = report.row("good", "ru", "similarity"), report.row("bad", "ru", "similarity")
    assert (good.n, good.failed, bad.n, bad.failed) == (30, 0, 27, 3)
    assert {(f.system, f.id, f.problem) for f in report.failures} == {("bad", key, "cut off at 200 tokens") for key in gone}
    ids = next(sample.ids for sample in report.samples if sample.language == "ru")
    kept = [score for key, score in zip(ids, good.scores, strict=True) if key not in gone]
    assert bad.mean == pytest.approx(np.mean(kept))  # type: ignore[arg-type]
    assert bad.mean != good.mean
    assert [bad.scores[ids.index(key)] for key in gone] == [None] * 3


def test_documents_that_only_one_system_has_are_left_out_and_counted(tmp_path: Path) -> None:
    tables = read_tables([f"a={write_translations(tmp_path / 'a.parquet')}", f"b={write_translations(tmp_path / 'b.parquet', count=10)}"])
    samples, said = choose_samples(tables, None, 100, 42)
    assert [len(sample.ids) for sample in samples] == [10, 10]
    assert "a: 60 of 90 documents left out, which another system does not have" in said
    assert "fewer than 100 documents: de 10, ru 10" in said


def test_the_interval_holds_the_mean_and_narrows_with_more_documents() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400).tolist()
    (low, high), (narrow, wide) = interval(values[:40]), interval(values)
    assert low is not None and high is not None and narrow is not None and wide is not None
    assert low < np.mean(values[:40]) < high
    assert wide - narrow < (high - low) / 2
    assert interval(values) == (narrow, wide)
    normal = 1.96 * np.std(values, ddof=1) / 20
    assert (wide - narrow) / 2 == pytest.approx(normal, rel=0.15)
    assert interval([1.0]) == (None, None)


def test_a_bad_file_is_refused_with_every_problem_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write_translations(tmp_path / "good.parquet")
    parquet.write_table(pa.table({"_id": ["a"], "text": ["b"]}), tmp_path / "columns.parquet")
    parquet.write_table(parquet.read_table(good).slice(0, 0), tmp_path / "empty.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    parquet.write_table(pa.concat_tables([parquet.read_table(good)] * 2), tmp_path / "twice.parquet")
    other = parquet.read_table(good).to_pydict()
    parquet.write_table(pa.table({**other, "text": [f"{text}!" for text in other["text"]], "lang": ["cn"] * len(other["lang"])}), tmp_path / "other.parquet")
    words = {name: [f"{name} {i}" for i in range(3)] for name in ("_id", "lang", "text", "english", "problem")}
    parquet.write_table(pa.table({**words, "_id": [["a"], ["b"], ["c"]], "english": [b"x", b"y", b"z"], "extra": [[1], [2], [3]]}), tmp_path / "types.parquet")
    parquet.write_table(pa.Table.from_arrays([pa.array(words["text"])] * 6, names=[*words, "text"]), tmp_path / "columns2.parquet")
    binary = pa.array([b"\xff", b"b", b"c"], pa.binary()).view(pa.string())
    parquet.write_table(pa.table({**words, "english": binary}), tmp_path / "latin.parquet")
    names = ["columns", "empty", "text", "twice", "other", "gone", "types", "columns2", "latin"]
    assert run(str(good), *(str(tmp_path / f"{name}.parquet") for name in names)) == 2
    err = capsys.readouterr().err
    for part in (
        "columns.parquet: no column 'lang', 'english', 'problem', only _id, text",
        "empty.parquet: empty",
        "text.parquet: cannot be read as parquet",
        "twice.parquet: 90 ids stand more than once (first 'de:0')",
        "other.parquet: unknown code 'cn'. Did you mean 'zh'?",
        "other: 90 documents have another text or language than under the same id in good",
        "gone.parquet: no such file",
        "types.parquet: column '_id' holds list<element: string>, not texts",
        "types.parquet: column 'english' holds binary, not texts",
        "columns2.parquet: 2 columns are called 'text'",
        "latin.parquet: cannot be read as parquet ('utf-8' codec can't decode byte 0xff",
    ):
        assert part in err, part
    with pytest.raises(CollectionError, match="no document in common"):
        choose_samples(read_tables([str(good), str(write_translations(tmp_path / "fi.parquet", ["fi"]))]), None, 5, 42)


def test_wrong_options_are_told_before_a_model_is_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = str(write_translations(tmp_path / "good.parquet"))
    assert run(good, "--metrics", "chrf,meteor", "--sample", "0", "--seed", "-1") == 2
    err = capsys.readouterr().err
    assert "4 problems" in err
    assert "--seed is -1" in err
    assert "no metric 'meteor'" in err
    for options, message in (
        (["--plot", "x.txt"], "a plot is .svg, .png, .pdf"),
        (["--languages", "fi"], "no documents in fi; there are de, en, ru"),
        (["--output", f"{good}/report.json"], "Choose another with --output"),
        (["--output", str(tmp_path)], "it is a folder"),
        (["--plot", f"{good}/x.svg"], "Choose another with --plot"),
    ):
        assert run(good, "--metrics", "perplexity", "--lm", "nowhere", *options) == 2
        assert message in capsys.readouterr().err


def test_a_report_is_read_back_whole_and_refused_where_a_number_does_not_hold(tmp_path: Path) -> None:
    table = read_tables([str(write_translations(tmp_path / "a.parquet", failed=["de:3"]))])
    report = evaluate_translations(table, [Similarity(HashingEncoder(), "hashing")], size=30)
    write_report(report, tmp_path / "out" / "r.json")
    assert read_report(tmp_path / "out" / "r.json") == report
    record = json.loads(to_json(report))
    record["rows"][0]["mean"] += 0.01
    record["rows"][1]["n"] -= 1
    record["extra"] = 1
    (tmp_path / "bad.json").write_text(json.dumps(record))
    with pytest.raises(ClirBenchError, match=r"problems[\s\S]*rows\[0\]: mean is[\s\S]*rows\[1\]: n is 29[\s\S]*extra: unknown key"):
        read_report(tmp_path / "bad.json")


def test_references_are_a_file_or_a_task_that_has_them(tmp_path: Path) -> None:
    path = write_translations(tmp_path / "r.parquet", failed=["de:1"])
    found = read_references(str(path))
    assert len(found.english) == 89
    assert found.english["de:0"] == TEXTS[0]
    with pytest.raises(ClirBenchError, match="sample"):
        read_references("sample")
    parquet.write_table(pa.table({"_id": ["a", "a"], "english": ["b", "c"]}), tmp_path / "twice.parquet")
    with pytest.raises(CollectionError, match=r"1 ids stand more than once \(first 'a'\)"):
        read_references(str(tmp_path / "twice.parquet"))
    parquet.write_table(pa.table({"_id": ["a"], "text": ["b"]}).to_pandas().pipe(pa.Table.from_pandas), tmp_path / "text.parquet")
    assert read_references(str(tmp_path / "text.parquet")).english == {"a": "b"}


def test_a_systems_name_is_shown_as_it_is(tmp_path: Path, minilm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_translations(tmp_path / "a.parquet", count=3)
    options = ["--metrics", "similarity", "--languages", "de,de", "--encoder", str(minilm), "--device", "cpu", "--cache-dir", str(tmp_path / "cache")]
    assert run(f"a[/b]={path}", *options, "--output", str(tmp_path / "r.json"), "--plot", str(tmp_path / "r.svg")) == 0
    assert "a[/b]" in capsys.readouterr().out.splitlines()[1]


def test_the_verb_judges_draws_and_names_its_files(tmp_path: Path, lm: Path, minilm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reverse = lambda i: " ".join(TEXTS[i].split()[::-1])  # noqa: E731
    good, bad = write_translations(tmp_path / "good.parquet", failed=["ru:2"]), write_translations(tmp_path / "bad.parquet", english=reverse)
    output, plot = tmp_path / "report.json", tmp_path / "figure.svg"
    options = ["--references", str(good), "--metrics", "perplexity,similarity,chrf", "--sample", "25", "--lm", str(lm), "--encoder", str(minilm)]
    command = [f"good={good}", f"bad={bad}", *options, "--device", "cpu", "--threads", "1", "--cache-dir", str(tmp_path / "cache"), "--output", str(output)]
    assert run(*command, "--plot", str(plot)) == 0
    captured = capsys.readouterr()
    assert captured.out.rstrip().endswith(f"wrote {output} and {plot}")
    for part in (
        "de German",
        "perplexity, lower is better",
        "chrF2++",
        "mean of 2",
        "Failed translations, in no mean",
        "good: 1 of 50 failed (ru 1)",
        "tokens:",
    ):
        assert part in captured.out, part
    assert "en left out" in captured.err
    report = read_report(output)
    assert report.row("good", "de", "chrf").mean == pytest.approx(100)
    assert (report.row("bad", "de", "chrf").mean or 100) < 90
    assert report.row("good", "ru", "perplexity").failed == 1
    assert {m.name: bool(m.signature) for m in report.metrics} == {"perplexity": True, "similarity": True, "chrf": True}
    assert "sha256:" in next(m.signature for m in report.metrics if m.name == "similarity")
    root = ElementTree.parse(plot).getroot()
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"good", "bad", "de", "ru", "Latin", "Cyrillic", "Perplexity, lower is better", "chrF++, higher is better"} <= set(words)
    assert any("Failed of 50, in no mean: good 1." in (word or "") for word in words)

    assert run(*command, "--json", "-q", "--plot", str(tmp_path / "figure.png")) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    again = Report.model_validate_json(captured.out)
    assert again.rows == report.rows  # cached vectors and another run change no number
    assert (tmp_path / "figure.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
