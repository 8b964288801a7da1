"""What a page gives away as files is what it shows; what it is given as a file is judged and never run."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from board_pages import Html, Shown
from playwright.sync_api import Page, expect
from test_app import REAL, poisoned

from .conftest import Visit

FILE = next(REAL.glob("clir-bench__bm25/multilingual/sample-v1.json"))


@pytest.mark.parametrize(("at", "name"), [("./leaderboard?queries=Arabic", "leaderboard"), ("./pairs?board=CLIRMatrix", "map-clirmatrix-v1-1")])
def test_a_table_is_saved_as_it_is_shown(at: str, name: str, visit: Visit) -> None:
    page = visit.open(at).page
    shown = _first_table(page)
    page.get_by_test_id("stPopoverButton").filter(has_text="Save").first.click()
    files = {title: _saved(page, title, f"{name}.{suffix}") for title, suffix in (("CSV", "csv"), ("JSON", "json"), ("LaTeX", "tex"), ("BibTeX", "bib"))}
    head, *rows = list(csv.reader(io.StringIO(files["CSV"])))
    told = json.loads(files["JSON"])
    assert told["caption"] == shown.caption
    assert [[_text(value) for value in row.values()] for row in told["rows"]] == rows
    assert [row[0] for row in rows] == [row[0] for row in shown.rows]
    assert list(told["rows"][0]) == head
    lines = [line.removesuffix(r" \\").split(" & ") for line in files["LaTeX"].split("\\midrule\n")[1].split("\n\\bottomrule")[0].splitlines()]
    assert [[_untex(cell).split(" (")[0] for cell in line] for line in lines] == [[cell or "" for cell in row] for row in shown.rows]
    assert files["BibTeX"].startswith("@")
    scores = [float(row[head.index("score")]) for row in rows] if "score" in head else []
    assert [f"{100 * score:.1f}" for score in scores] == ([cell.split()[0] for cell in shown.column("R@10")] if scores else [])


def test_a_submission_is_judged_on_the_spot(visit: Visit, tmp_path: Path) -> None:
    page = visit.open("./submit").page
    _drop(page, FILE)
    expect(page.locator("h2").first).to_contain_text("It holds")
    expect(page.get_by_test_id("stMain")).to_contain_text("clir-bench__bm25/multilingual/sample-v1.json")
    score = json.loads(FILE.read_text())["pairs"]
    mean = sum(pair["measures"]["R@10"]["sum"] / pair["measures"]["R@10"]["n"] for pair in score) / len(score)
    expect(page.get_by_test_id("stMain")).to_contain_text(f"R@10 {100 * mean:.1f} %")
    assert visit.violations() == []


@pytest.mark.parametrize("content", ["{", "<script>window.hostile=1</script>", '{"schema": "<img src=x onerror=window.hostile=1>"}', "[" * 100_000, "1" * 5000])
def test_a_file_that_is_none_is_refused_in_words(content: str, visit: Visit, tmp_path: Path) -> None:
    page = visit.open("./submit").page
    (tmp_path / "sample-v1.json").write_text(content)
    _drop(page, tmp_path / "sample-v1.json")
    expect(page.get_by_role("alert").first).to_be_visible()
    assert page.evaluate("window.hostile") is None


def test_texts_that_mean_harm_are_shown_and_never_run(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "sample-v1.json").write_text(json.dumps(poisoned(json.loads(FILE.read_text()), 7)))
    page = visit.open("./submit").page
    _drop(page, tmp_path / "sample-v1.json")
    expect(page.locator("h2, [role=alert]").first).to_be_visible()
    assert page.evaluate("window.hostile") is None
    for address in ("./leaderboard?boards=sample", "./system?system=clir-bench%2Fbm25%2F" + "W" * 119 + "0", "./choose"):
        visit.open("./" if address == "./choose" else address)
        assert page.evaluate("window.hostile") is None
        assert visit.show(390).overflow <= 0, address


def _drop(page: Page, file: Path) -> None:
    page.locator("input[type=file]").set_input_files(file)


def _first_table(page: Page) -> Shown:
    table = page.locator("table.cb").first
    return Html(table.evaluate("table => table.outerHTML")).tables[0]


def _saved(page: Page, title: str, name: str) -> str:
    with page.expect_download() as download:
        page.get_by_test_id("stPopoverBody").get_by_role("button", name=title).click()
    assert download.value.suggested_filename == name
    return Path(download.value.path()).read_text(encoding="utf-8")


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _untex(cell: str) -> str:
    for tex, plain in ((r"\_", "_"), (r"\&", "&"), (r"\%", "%"), (r"\#", "#"), ("$-$", "−"), ("--", "–"), (r"\enspace{}", " "), (r"\{", "{"), (r"\}", "}")):
        cell = cell.replace(tex, plain)
    return cell
