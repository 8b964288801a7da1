"""The command line, as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clir_bench.cli import main

VERBS = [
    "evaluate",
    "translate",
    "mt-eval",
    "latency",
    "models",
    "check",
    "data build",
    "data info",
    "data verify",
    "data publish",
    "tasks",
    "show",
    "compare",
    "export",
    "import",
    "mteb",
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for tokenizer in ("whitespace", "multilingual"):
        assert main(["evaluate", "-q", "--model", "bm25", "--task", "sample", "--tokenizer", tokenizer, "--output", str(folder)]) == 0
    return folder


def paths(results: Path) -> list[str]:
    return sorted(map(str, results.rglob("*.json")))


def test_evaluate_writes_to_the_canonical_place_and_names_the_next_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "evaluate",
        "--model",
        "bm25",
        "--task",
        "sample",
        "--pairs",
        "en-es,ar-ru",
        "--output",
        str(tmp_path),
        "--save-run",
        str(tmp_path / "run.npz"),
    ]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    [path] = (tmp_path / "clir-bench__bm25" / "multilingual").glob("sample-v1.partial-*.json")
    assert path.is_file()
    assert captured.out.rstrip().endswith(f"wrote {path}\nnext: clir-bench show {path}")
    assert "2 of 64" in captured.out
    assert "not comparable with one over the complete set" in captured.out
    assert "384 documents, 192 queries, 2 of 64 pairs" in captured.err
    assert main(arguments) == 2
    assert "exists. --overwrite replaces it" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


def test_language_filters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def pairs(*options: str) -> set[str]:
        assert main(["evaluate", "--model", "bm25", "--task", "sample", "--json", "-q", "--overwrite", "--output", str(tmp_path), *options]) == 0
        return {f"{p['query']}-{p['document']}" for p in json.loads(capsys.readouterr().out)["pairs"]}

    assert pairs("--languages", "en,ru") == {"en-en", "en-ru", "ru-en", "ru-ru"}
    assert pairs("--languages", "en,ru", "--query-languages", "zh") == {"zh-en", "zh-ru"}
    assert pairs("--query-languages", "zh", "--pairs", "zh-en,en-zh") == {"zh-en"}
    for bad, message in (
        (["--languages", "en,it"], "--languages: it not in task sample"),
        (["--pairs", "en-xx"], "--pairs: no pair 'en-xx' (query language first)"),
        (["--pairs", "en-es", "--query-languages", "ru"], "together leave no pair"),
    ):
        assert main(["evaluate", "--model", "bm25", "--task", "sample", "--output", str(tmp_path), *bad]) == 2
        assert message in capsys.readouterr().err


def test_show_has_tables_n_signature_and_bias(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", *paths(results)]) == 0
    out = capsys.readouterr().out
    for part in ("Macro mean over pairs", "6,144 evaluated queries", "rank_bm25.BM25Okapi k1=1.5 b=0.75", "whitespace", "lift", "bias loss", "sha256:"):
        assert part in out
    assert main(["show", "--measure", "R@7", *paths(results)]) == 2
    assert "no 'R@7' in clir-bench/bm25: it has R@1" in capsys.readouterr().err
    assert main(["show", "--json", *paths(results)]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_compare_prints_pairs_and_the_overall_difference(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *paths(results), "--rows", "3"]) == 0
    out = capsys.readouterr().out
    assert "macro mean over 64 pairs" in out
    assert "uncorrected" in out
    assert main(["compare", *paths(results), "--json", "--measure", "RR@100"]) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 64
    assert main(["compare", *paths(results), "--measure", "x"]) == 2


def test_tasks_lists_counts_licence_and_whether_built(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks"]) == 0
    out = capsys.readouterr().out
    assert all(part in out for part in ("sample", "384", "768", "Apache-2.0", "yes"))
    assert main(["tasks", "--json"]) == 0
    assert {t["name"]: t["built"] for t in json.loads(capsys.readouterr().out)}["sample"] is True


def test_export_says_what_fits(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "sample", "--format", "mteb", "--output", str(tmp_path)]) == 2
    assert "--format mteb takes a submission (.json), but the source is 'sample'" in capsys.readouterr().err
    (tmp_path / "bad.npz").write_bytes(b"no")
    assert main(["export", str(tmp_path / "bad.npz"), "--format", "trec", "--output", str(tmp_path)]) == 2
    assert "not a saved run" in capsys.readouterr().err


def test_an_unwritable_output_is_one_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x")
    assert main(["evaluate", "-q", "--model", "bm25", "--task", "sample", "--output", str(tmp_path / "file")]) == 2
    assert "cannot be written: Not a directory" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    if verb == "mteb":
        return  # everything after it belongs to mteb
    with pytest.raises(SystemExit):
        main([*verb.split(), "--help"])
    assert f"example: clir-bench {verb}" in " ".join(capsys.readouterr().out.split())


def modules_after(code: str) -> set[str]:
    found = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('\\n'.join(sys.modules))"], capture_output=True, text=True, check=True, timeout=60
    )
    return set(found.stdout.splitlines())


def test_importing_clir_bench_loads_neither_torch_nor_mteb_nor_streamlit() -> None:
    heavy = {"torch", "mteb", "beir", "streamlit", "transformers", "sentence_transformers", "pandas", "numba"}
    assert not heavy & modules_after("import clir_bench")
    assert not heavy & modules_after("import clir_bench.submission, clir_bench.checking, clir_bench.views, clir_bench.system, clir_bench.compare")
    assert not heavy & modules_after("import clir_bench.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: pass")
    assert not heavy & modules_after("import clir_bench.cli as c\nc.main(['check'])")
    assert "numpy" not in modules_after("import clir_bench.cli as c\ntry: c.main(['evaluate', '--help'])\nexcept SystemExit: pass")


def test_a_missing_extra_is_told_with_the_command() -> None:
    code = "import sys; sys.modules['mteb'] = None\nimport clir_bench\ntry: clir_bench.mteb_tasks()\nexcept Exception as e: print(type(e).__name__, e)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "MissingExtra this needs the package 'mteb', which is not installed: pip install 'clir-bench[mteb]'" in found.stdout


def test_attributes_are_those_of_the_lazy_table() -> None:
    import clir_bench

    assert all(getattr(clir_bench, name) is not None for name in clir_bench.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        clir_bench.nothing  # noqa: B018
