"""Task definitions: every file in tasks/ holds, and every problem of a bad one is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from clir_bench import resources
from clir_bench.cli import main
from clir_bench.collection import Pair
from clir_bench.errors import TaskError
from clir_bench.languages import from_mteb, mteb_code, problem_with
from clir_bench.sources import open_task
from clir_bench.task import Task, disagreements, load_task, parse_pair, parse_task, task_names

TASKS = sorted(resources.folder("tasks").glob("*.toml"))
GOOD = (resources.folder("tasks") / "sample.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", TASKS, ids=lambda p: p.stem)
def test_every_task_holds(path: Path) -> None:
    task = load_task(path)
    assert task.licence
    assert task.citation.strip().startswith("@")
    assert len(task.language_pairs()) == task.expect.pairs
    if task.source == "sample":
        assert disagreements(task, open_task(task.name)[1]) == []


def test_all_problems_of_a_file_are_told_at_once_with_key_value_and_cure() -> None:
    bad = (
        GOOD.replace('"zh"]', '"cn"]')
        .replace("depth = 100", "dept = 100")
        .replace('"R@1"', '"recall@1"')
        .replace("version = 1", 'version = "one"')
        .replace('licence = "Apache-2.0"\n', "")
    )
    with pytest.raises(TaskError) as caught:
        parse_task(bad, "tasks/sample.toml")
    message = str(caught.value)
    assert message.startswith("tasks/sample.toml: 5 problems\n")
    for line in (
        "languages[7]: unknown code 'cn'. Did you mean 'zh'?",
        "dept: unknown key. Did you mean 'depth'?",
        "measures[0]: unknown measure 'recall@1'",
        "version: Input should be a valid integer, but it is 'one'",
        "licence: missing. Add it.",
    ):
        assert line in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("pairs = 64", "pairs = 56"), 'expect.pairs: 56, but 8 languages with pairs = "all" give 64'),
        (('pairs = "all"', 'pairs = "every"'), "pairs: unknown rule 'every'. Write 'all', 'all-distinct', 'from:en'"),
        (('pairs = "all"', 'pairs = "from:it"'), "starts from 'it', which is not among the query languages"),
        (('pairs = "all"', 'pairs = ["en-es", "en-it"]'), "no pair 'en-it' (query language first). Did you mean"),
        (("depth = 100", "depth = 10"), "measures: R@100, nDCG@100, RR@100 look deeper than depth = 10"),
        (("depth = 100", "depth = 255"), "depth: Input should be less than or equal to 254, but it is 255"),
        (('source = "sample"', 'source = "ftp"'), "source: no builder 'ftp'"),
        (('name = "sample"', 'name = "Sample!"'), "name: String should match pattern"),
        (('"ar", "de"', '"ar", "ar"'), "languages[1]: 'ar' stands twice. Remove one."),
        (("[expect]", '[[files]]\nname = "a"\nurl = "https://x.org/a.gz"\n\n[expect]'), "https://x.org/a.gz has no checksum. Add md5 or sha256."),
        (("schema = ", "schema = = "), "not TOML"),
    ],
)
def test_single_problems(change: tuple[str, str], message: str) -> None:
    with pytest.raises(TaskError) as caught:
        parse_task(GOOD.replace(*change, 1), "x.toml")
    assert message in str(caught.value)


def test_pair_rules(sample: tuple[Task, object]) -> None:
    task = sample[0]
    assert len(task.model_copy(update={"pairs": "all-distinct"}).language_pairs()) == 56
    assert task.model_copy(update={"pairs": "from:en"}).language_pairs()[0] == Pair("en", "ar")
    assert task.model_copy(update={"pairs": ("zh-en", "en-zh")}).language_pairs() == (Pair("en", "zh"), Pair("zh", "en"))
    assert parse_pair("zh-Hant-en", ("zh-Hant", "en"), ("zh-Hant", "en")) == Pair("zh-Hant", "en")
    assert parse_pair("en-zh-Hant", ("zh-Hant", "en"), ("zh-Hant", "en")) == Pair("en", "zh-Hant")


def test_unknown_task_names_are_told_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--model", "bm25", "--task", "sampel"]) == 2
    assert "no task 'sampel'. Did you mean 'sample'?" in capsys.readouterr().err


def test_a_task_file_must_be_called_like_its_task(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(TaskError, match=r"name: 'sample', but the file is called 'other.toml'"):
        load_task(tmp_path / "other.toml")


def test_a_collection_that_is_not_the_expected_one_is_refused(sample: tuple[Task, object]) -> None:
    task, collection = sample
    changed = task.model_copy(update={"expect": task.expect.model_copy(update={"documents": 385, "fingerprint": "sha256:" + "0" * 64})})
    wrong = disagreements(changed, collection)  # type: ignore[arg-type]
    assert [line.partition(":")[0] for line in wrong] == ["expect.documents", "expect.fingerprint"]


def test_task_names_lists_the_folder() -> None:
    assert "sample" in task_names()


@pytest.mark.parametrize(
    ("tag", "cure"),
    [("cn", "Did you mean 'zh'"), ("eng", "Write 'en'"), ("zh-Hans", "Write 'zh'"), ("EN", "Write 'en'"), ("xx", "unknown code"), ("", "unknown code")],
)
def test_language_tags_must_be_the_shortest(tag: str, cure: str) -> None:
    assert cure in str(problem_with(tag))


@pytest.mark.parametrize("tag", ["en", "zh", "zh-Hant", "no", "nn", "tl", "yo", "sr-Latn", "haw", "pt-BR"])
def test_good_tags_survive_the_way_through_mteb(tag: str) -> None:
    assert problem_with(tag) is None
    assert from_mteb(mteb_code(tag)) == tag.partition("-BR")[0]


def test_mteb_codes_of_other_spellings() -> None:
    assert [from_mteb(x) for x in ("cmn-Hans", "arb-Arab", "swh-Latn", "zho-Hant")] == ["zh", "ar", "sw", "zh-Hant"]
