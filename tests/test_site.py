"""The static export: whole pages, links that lead somewhere, nothing that runs, the same bytes for the same index."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow.parquet as pq
import pytest
from _submissions import generate

from clir_bench.cli import main
from clir_bench.collection import Pair
from clir_bench.errors import ClirBenchError
from clir_bench.exhibits.bias_tables import STATED
from clir_bench.exhibits.quality_cost import COSTS, costed, front_table
from clir_bench.exhibits.tables import Link
from clir_bench.layout import find_layout
from clir_bench.site import pages as site_pages
from clir_bench.site.export import Exported, export_site
from clir_bench.site.frame import document
from clir_bench.site.ranks import rank_table
from clir_bench.standings import Index, Selection, open_index, standing
from clir_bench.standings.overview import Evidence, evidence
from clir_bench.submission import path_of, read_submission, write_submission

ROOT = Path(__file__).parent.parent / "submissions"
VOID = {"wbr", "meta", "link", "br", "hr", "img", "input", "line", "circle", "path", "rect"}
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


class Outline(HTMLParser):
    """What a page holds: tags in order, links, ids, headings; and whether every tag that is opened is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        self.wrong += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if len(dict(attrs)) != len(attrs):
            self.wrong.append(f"<{tag}> has an attribute twice")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        self.text += data

    def each(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("site") / "submissions"
    generate(made, 10, ("sample",))
    generate(made, 2, ("large_scale",))
    shutil.copytree(ROOT / "claims", made / "claims")
    odd = read_submission(next(made.glob("synthetic-00__model-02/native/sample-v1.json")))
    odd = odd.model_copy(update={"notes": HOSTILE, "submitter": "A & B", "system": odd.system.model_copy(update={"variant": "odd"})})
    write_submission(odd, made / path_of(odd))
    return made


@pytest.fixture(scope="module")
def index(folder: Path) -> Index:
    return open_index(folder, build=True)


@pytest.fixture(scope="module")
def site(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_site(index, tmp_path_factory.mktemp("out") / "site")


@pytest.fixture(scope="module")
def outlines(site: Exported) -> dict[str, Outline]:
    return {page.relative_to(site.path).as_posix(): Outline(page.read_text(encoding="utf-8")) for page in sorted(site.path.rglob("*.html"))}


def _hashes(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()


def test_there_is_a_page_for_everything(site: Exported, index: Index, outlines: dict[str, Outline]) -> None:
    assert site.pages == len(outlines)
    assert site.bytes == sum(path.stat().st_size for path in site.path.rglob("*") if path.is_file())
    wanted = {f"systems/{str(line).replace('/', '~')}.html" for line in index.lines} | {f"data/{key}.html" for key in index.boards}
    wanted |= {f"bias/{key}.html" for key, board in index.boards.items() if not board.oracle}
    assert wanted | {"index.html", "cost.html", "bias.html", "pipeline.html", "languages.html", "about.html", "languages/sw.html"} <= set(outlines)
    for name in ("index.html", "systems/synthetic-00~model-02~odd.html"):
        addresses = [str(attributes["href"]) for attributes in outlines[name].each("a")]
        up = "./" if name == "index.html" else "./../"
        for page in ("cost.html", "bias.html", "pipeline.html", "languages.html", "about.html"):
            assert f"{up}{page}" in addresses


def test_bias_costs_and_pipeline_are_the_tables_of_the_board(index: Index, outlines: dict[str, Outline]) -> None:
    usual = standing(index, Selection())
    for kind in COSTS:
        for row in front_table(index, usual, costed(index, usual, kind)).rows:
            assert isinstance(row[0], Link)
            assert row[0].text in outlines["cost.html"].text
    known = np.flatnonzero(np.isfinite(usual.lift) & np.isfinite(usual.score))
    assert len(known) > 1
    for row in known:
        assert str(index.lines[usual.lines[row]]) in outlines["bias.html"].text
        assert f"{usual.lift[row]:.2f}" in outlines["bias.html"].text
    for page, words in (
        ("about.html", (STATED,)),
        (
            "bias/sample-v1.html",
            (STATED, "Preference beside quality", "times as often as in the pool", "asked in two languages", "What the document's language does"),
        ),
        ("pipeline.html", ("What one step changes in R@10", "The longest ledger", "the same queries before and after", "As published: Table 6")),
        ("data/sample-v1.html", ("Best system of each pair", "The best and the second of each pair")),
    ):
        for each in words:
            assert each in outlines[page].text, (page, each)


def test_gold_ranks_are_those_of_the_submissions(site: Exported, index: Index) -> None:
    for key, board in index.boards.items():
        table, seen = pq.read_table(site.path / f"data/ranks-{key}.parquet"), 0
        systems = [name for name in table.column_names if "/" in name]
        asked = list(zip(table["query"].to_pylist(), table["document"].to_pylist(), strict=True))
        layout = find_layout(board.shape.task, board.shape.version, board.shape.fingerprint, [index.folder])
        assert layout is not None
        assert table["query_id"].to_pylist() == list(layout.query_ids)
        assert table["topic"].to_pylist() == layout.topic.tolist()
        assert table["number"].to_pylist() == list(range(len(asked)))
        assert json.loads(table.schema.metadata[b"clir_bench"])["fingerprint"] == board.shape.fingerprint
        for name in systems:
            line = index.line(name)
            assert line is not None
            submission = index.submission(int(index.entry_of[key][line]))
            ranks, column = submission.ranks(), table[name].to_pylist()
            by_pair: dict[tuple[str, str], list[int]] = {}
            for pair, rank in zip(ranks.pair.tolist(), ranks.rank.tolist(), strict=True):
                by_pair.setdefault((ranks.pairs[pair].query, ranks.pairs[pair].document), []).append(min(rank, 255))
            told: dict[tuple[str, str], list[int]] = {}
            for pair, rank in zip(asked, column, strict=True):
                told.setdefault(pair, []).append(rank)
            assert {pair: ranks for pair, ranks in told.items() if any(ranks)} == by_pair
            seen += 1
        assert seen == int((board.rank_row >= 0).sum())


def test_of_several_relevant_documents_each_has_a_row_with_its_query_and_grade(index: Index) -> None:
    board = index.boards["sample-v1"]
    shape = replace(
        board.shape, fingerprint=None, pairs=(Pair("ar", "de"), Pair("de", "ar")), n=np.array([2, 1], np.int32), golds=np.array([2, 1, 3], np.int32),
        grades=np.array([1, 3, 2, 1, 1, 2], np.int32), topic=np.array([7, 8, 7], np.int32),
    )  # fmt: skip
    table = rank_table(index, replace(board, shape=shape, ranks=board.ranks[:, :6])).to_pydict()
    assert table["query"] == ["ar", "ar", "ar", "de", "de", "de"]
    assert table["number"] == [0, 0, 1, 2, 2, 2]
    assert table["topic"] == [7, 7, 8, 7, 7, 7]
    assert table["grade"] == [1, 3, 2, 1, 1, 2]
    assert "query_id" not in table


def test_a_paired_test_can_be_redone_from_the_export_alone(
    site: Exported, index: Index, outlines: dict[str, Outline], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = next(text for text in _code(site.path / "about.html") if "read_table" in text)
    shutil.copytree(site.path / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    done: dict[str, Any] = {}
    exec(script, done)  # as a reader would run it
    board = index.boards[done["file"].removeprefix("data/ranks-").removesuffix(".parquet")]
    found = standing(index, Selection(boards=(board.key,)))
    a, b = (found.lines.tolist().index(index.line(done[name])) for name in "ab")
    assert done["difference"] == pytest.approx(found.score[a] - found.score[b])
    assert f"{100 * (found.score[a] - found.score[b]):+.2f} points" in capsys.readouterr().out
    tested = evidence(index, found.selection, found.boards, found.pairs)
    assert isinstance(tested, Evidence)
    at = np.searchsorted(tested.lines, found.lines[[a, b]])
    assert done["p"] == pytest.approx(float(tested.p[at[0], at[1]]), abs=0.03)


def _code(page: Path) -> list[str]:
    return [unescape(text) for text in re.findall("<pre>(.*?)</pre>", page.read_text(encoding="utf-8"), re.DOTALL)]


def test_every_page_is_whole_and_accessible_in_form(outlines: dict[str, Outline]) -> None:
    for name, page in outlines.items():
        assert page.wrong == [], name
        assert page.each("html") == [{"lang": "en"}]
        assert len(page.each("title")) == len(page.each("main")) == len(page.each("h1")) == 1, name
        levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3")]
        assert all(after <= before + 1 for before, after in pairwise(levels)), name
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        assert all("scope" in attributes for attributes in page.each("th")), name
        assert len(page.each("caption")) == len(page.each("table")) > 0, name
        assert all(attributes.get("aria-label") for attributes in page.each("svg")), name


def test_nothing_runs_and_nothing_is_loaded(outlines: dict[str, Outline]) -> None:
    for name, page in outlines.items():
        assert not page.each("script", "img", "iframe", "object", "form", "noscript"), name
        assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")], name
        assert page.each("meta")[2]["content"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        assert all(str(attributes["href"]).startswith("data:") for attributes in page.each("link")), name


def test_every_link_is_relative_and_leads_somewhere(site: Exported, outlines: dict[str, Outline]) -> None:
    followed = 0
    for name, page in outlines.items():
        for attributes in page.each("a"):
            address = str(attributes["href"])
            if address.startswith("https://"):
                continue
            assert address == "#content" or address.startswith("./"), (name, address)
            if address != "#content":
                assert (site.path / name).parent.joinpath(unquote(address)).resolve().is_file(), (name, address)
                followed += 1
    assert followed > 200


def test_what_a_submission_says_is_shown_as_it_is(outlines: dict[str, Outline]) -> None:
    page = outlines["systems/synthetic-00~model-02~odd.html"]
    assert HOSTILE in page.text
    assert "A & B" in page.text


def test_the_first_page_is_the_usual_standing(index: Index, outlines: dict[str, Outline]) -> None:
    found, page = standing(index, Selection()), outlines["index.html"]
    shown = [str(attributes["href"]) for attributes in page.each("a") if "systems/" in str(attributes["href"])]
    assert shown == [f"./systems/{str(index.lines[line]).replace('/', '~')}.html" for line in found.lines]
    assert f"n = {found.queries:,} queries" in page.text
    for score in found.score[: found.ranked]:
        assert f"{100 * score:.1f}" in page.text


def test_data_sets_and_files_stand_before_the_systems(outlines: dict[str, Outline]) -> None:
    page = outlines["index.html"]
    addresses = [str(attributes["href"]) for attributes in page.each("a")]
    assert max(addresses.index(f"./{file}") for file in ("data/sample-v1.html", "pairs.parquet", "events.json")) < min(
        at for at, address in enumerate(addresses) if address.startswith("./systems/")
    )


def test_a_long_board_has_its_first_systems_on_the_first_page_and_all_on_another(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    found = standing(index, Selection())
    monkeypatch.setattr(site_pages, "MOST", 1)  # a board of more than 100 takes long to make
    assert len(found.lines) > 1
    made = {page.file: Outline(document(page, "")) for page in site_pages.pages(index)}
    assert len(made) == site_pages.count(index)
    files = [f"./systems/{str(index.lines[line]).replace('/', '~')}.html" for line in found.lines]
    shown = {name: [str(a["href"]) for a in made[name].each("a") if "systems/" in str(a["href"])] for name in ("index.html", "leaderboard.html")}
    assert shown == {"index.html": files[:1], "leaderboard.html": files}
    assert "./leaderboard.html" in [a["href"] for a in made["index.html"].each("a")]
    assert f"The first 1 systems: all {len(files)} are on a page of their own" in made["index.html"].text


def test_a_language_says_over_how_many_pairs_and_how_many_are_of_one_language(outlines: dict[str, Outline]) -> None:
    assert "Questions in English, 25 pairs, 1 of one language: the best" in outlines["languages/en.html"].text
    assert "Documents in Swahili, 1 pair: the best" in outlines["languages/sw.html"].text


def test_files_stand_beside_the_pages(site: Exported, index: Index) -> None:
    assert pq.read_table(site.path / "pairs.parquet").equals(pq.read_table(index.path / "pairs.parquet"))
    systems = json.loads((site.path / "systems.json").read_text())
    assert [row["system"] for row in systems] == [str(line) for line in sorted(index.lines)]
    assert [board["n"] for board in json.loads((site.path / "boards.json").read_text())] == [int(b.shape.n.sum()) for b in index.boards.values()]
    assert json.loads((site.path / "claims.json").read_text())[0]["source"]["key"] == "goworek-2025"


def test_the_same_index_gives_the_same_bytes_and_replaces_its_own(site: Exported, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "again"
    shutil.copytree(site.path, output)
    (output / "index.html").write_text("old")
    (output / "gone.html").write_text("old")
    export_site(open_index(folder), output)
    assert dict(_hashes(output)) == dict(_hashes(site.path))
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_a_folder_of_someone_else_is_not_replaced(index: Index, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ClirBenchError, match=r"is no export of ours. Name a new folder"):
        export_site(index, tmp_path)
    with pytest.raises(ClirBenchError, match=r"is no export of ours"):
        export_site(index, tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "mine"
    with pytest.raises(ClirBenchError, match=r"cannot be written"):
        export_site(index, Path("/proc/none/site"))


def test_the_command_exports_the_bundled_submissions(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", "export", "-q", "--submissions", str(ROOT), "--output", str(tmp_path / "site"), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["pages"] == len(list((tmp_path / "site").rglob("*.html")))
    (tmp_path / "empty").mkdir()
    assert main(["leaderboard", "export", "-q", "--submissions", str(tmp_path / "empty"), "--output", str(tmp_path / "other")]) == 2
    assert "nothing to export" in capfd.readouterr().err


def test_two_systems_never_share_a_page() -> None:
    from clir_bench.site.frame import system_file

    assert len({system_file("a/b/c__d"), system_file("a/b__c/d"), system_file("a__b/c/d")}) == 3
