"""The page of a system, and those about submitting and about the board."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from _submissions import generate
from streamlit.testing.v1 import AppTest

from clir_bench import resources
from clir_bench.events import LOG, append_event, sha256_of
from clir_bench.exhibits import profile
from clir_bench.exhibits.reference import SECTIONS, boards_table
from clir_bench.exhibits.tables import Interval
from clir_bench.records import ModelReference, TranslateStage
from clir_bench.standings import Index, Selection, open_index, standing
from clir_bench.submission import Submission, read_submission, to_json

HOSTILE = "<script>alert(1)</script> **bold** [x](javascript:alert(1))"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("profile")
    generate(made, 13, ("sample",))
    generate(made, 2, ("large_scale",))
    shutil.copytree(resources.folder("submissions") / "clir-bench__bm25", made / "clir-bench__bm25")
    path = made / "clir-bench__bm25" / "whitespace" / "sample-v1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"notes": HOSTILE, "citation": HOSTILE}))
    log = made / LOG
    for path, event, note in (
        ("synthetic-00__model-01/native", "reproduced", "rerun on another machine"),
        ("synthetic-00__model-00/native-hnsw", "withdrawn", HOSTILE),
    ):
        file = made / path / "sample-v1.json"
        append_event(log, "accepted", f"{path}/sample-v1.json", sha256_of(file.read_bytes()), trust="recomputed", by="Ada")
        append_event(log, event, f"{path}/sample-v1.json", sha256_of(file.read_bytes()), trust=None, by="Ada", note=note)  # type: ignore[arg-type]
    return made


@pytest.fixture(scope="module")
def index(folder: Path) -> Index:
    return open_index(folder, build=True)


def line_of(index: Index, name: str) -> int:
    line = index.line(name)
    assert line is not None
    return line


def files(index: Index, line: int) -> dict[str, Submission]:
    return {key: read_submission(index.folder / str(index.entries.at[entry, "path"])) for key, entry in profile.entries_of(index, line).items()}


class Tags(HTMLParser):
    """What a browser makes of it: tags and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_scores_are_those_of_the_files_and_of_the_standing(index: Index) -> None:
    for line in range(len(index.lines)):
        table = profile.scores_table(index, line)
        names = [column.key for column in table.columns]
        for row, (key, file) in zip(table.rows, files(index, line).items(), strict=True):
            board = index.boards[key]
            assert row[0] == board.title
            assert row[1] == f"{len(file.pairs)} of {file.task.pairs}"
            assert row[2] == sum(next(iter(record.measures.values())).n for record in file.pairs)
            for name in file.pairs[0].measures:
                cell = row[names.index(name)]
                value = cell.value if isinstance(cell, Interval) else cell
                assert value == pytest.approx(sum(record.measures[name].mean for record in file.pairs) / len(file.pairs), abs=1e-12)
            found = standing(index, Selection(boards=(key.removesuffix(".oracle"),), track="oracle" if board.oracle else "all"))
            at = int(np.flatnonzero(found.lines == line)[0])
            assert row[3] == (int(found.tier[at]) or None)
            low = min((record.measures["R@10"].mean, str(record.pair)) for record in file.pairs)[0]
            assert str(row[names.index("worst")]).endswith(f": {100 * low:.1f}")
            across = [record for record in file.pairs if record.query != record.document and file.complete and "R@10" in record.own_language]
            loss = sum(record.own_language["R@10"].mean - record.measures["R@10"].mean for record in across) / len(across) if across else np.nan
            assert row[names.index("loss")] == pytest.approx(loss, nan_ok=True, abs=1e-12)


def test_a_system_with_some_pairs_says_that_its_mean_compares_with_none(index: Index) -> None:
    partial = profile.scores_table(index, line_of(index, "synthetic-00/model-03/native"))
    assert partial.note
    assert {row[3] for row in partial.rows} == {None}
    assert not profile.scores_table(index, line_of(index, "synthetic-00/model-00/native")).note


def test_every_version_is_listed_and_says_what_became_of_it(index: Index) -> None:
    rows = profile.versions_table(index, line_of(index, "synthetic-00/model-00/native")).rows
    state = {(row[1], row[0]): row[3] for row in rows}
    assert len(rows) == 4
    assert state["sample v1", "2026-01-15"] == "stands, a correction (bugfix)"
    assert state["sample v1", "2026-01-01"] == "superseded by synthetic-00__model-00/native/sample-v1.2026-01-15.json"
    rows = profile.versions_table(index, line_of(index, "synthetic-00/model-00/native-hnsw")).rows
    assert {row[1]: row[3] for row in rows} == {"sample v1": f"withdrawn: {HOSTILE}", "large_scale v1": "stands"}
    rows = profile.versions_table(index, line_of(index, "synthetic-00/model-03/native")).rows
    assert {row[3] for row in rows} == {"stands, not all pairs"}


def test_variants_of_a_model_are_counted_so_that_the_best_of_many_is_seen(index: Index) -> None:
    table = profile.variants_table(index, line_of(index, "synthetic-00/model-00/native"), index.boards["sample-v1"])
    assert table.note.startswith("3 variants of it stand here")
    assert {row[0].text for row in table.rows} == {"native", "native-english_nllb", "native-rerank-small_870f05"}  # that with HNSW was withdrawn
    scores = [row[1] for row in table.rows]
    assert scores == sorted(scores, reverse=True)
    assert profile.variants_table(index, line_of(index, "synthetic-00/model-00/native"), index.boards["large_scale-v1"]).note.startswith("2 variants")
    assert not profile.variants_table(index, line_of(index, "synthetic-00/model-03/native"), index.boards["sample-v1"]).note


def test_trust_is_that_of_the_file_and_what_the_log_adds(index: Index) -> None:
    entries = profile.entries_of(index, line_of(index, "synthetic-00/model-01/native"))
    level, *reasons = profile.trust_words(index, entries["sample-v1"])
    assert level == "reproduced"
    assert reasons[0].startswith("every measure follows exactly from the gold ranks of 6,144")
    assert reasons[-1].endswith("by Ada: rerun on another machine")
    other = profile.entries_of(index, line_of(index, "synthetic-00/model-00/native-hnsw"))
    assert profile.trust_words(index, other["large_scale-v1"])[0] == "recomputed"
    claimed = profile.entries_of(index, line_of(index, "synthetic-00/model-04/published"))["sample-v1"]
    assert profile.trust_words(index, claimed)[0] != "recomputed"


def test_events_come_newest_first_and_of_a_broken_log_those_before_its_fault(index: Index, folder: Path, tmp_path: Path) -> None:
    table = profile.events_table(profile.events(index), "log")
    assert [row[1] for row in table.rows] == ["withdrawn", "accepted", "reproduced", "accepted"]
    shutil.copytree(folder, tmp_path / "broken")
    with (tmp_path / "broken" / LOG).open("a") as stream:
        stream.write("{}\n")
    broken = open_index(tmp_path / "broken", build=True)
    assert profile.events(broken) == profile.events(index)
    assert any("events.jsonl" in problem for problem in broken.problems)


def test_texts_of_people_are_shown_and_never_run(index: Index) -> None:
    stage = TranslateStage(kind="translate", texts="documents", source=HOSTILE, model=ModelReference(name="a/b", revision="1"))
    for html, tags in (
        (profile.chain_html([stage]), {"ol", "li", "div", "small", "b"}), (profile.facts_html([("Notes", HOSTILE), (HOSTILE, "x")]), {"dl", "dt", "dd"}),
        (profile.facts_html([("Notes", HOSTILE)], wide=True), {"dl", "div", "dt", "dd"}),
        (profile.versions_table(index, line_of(index, "synthetic-00/model-00/native-hnsw")).html(), {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "p"}),
    ):  # fmt: skip
        found = Tags(html)
        assert set(found.tags) <= tags
        assert HOSTILE in found.text


def test_facts_that_are_not_known_are_no_numbers(index: Index) -> None:
    facts = dict(profile.system_facts(index, line_of(index, "clir-bench/bm25/whitespace")))
    assert (facts["Weights"], facts["Parameters"], facts["Dimension"], facts["Licence"]) == ("no model", None, None, "no model")
    known = dict(profile.system_facts(index, line_of(index, "synthetic-00/model-00/native")))
    file = files(index, line_of(index, "synthetic-00/model-00/native"))["sample-v1"]
    assert known["Weights"] == f"{file.system.stages[0].model.weights_bytes / 1e9:.2f} GB as published"  # type: ignore[union-attr]


def test_costs_and_provenance_are_those_of_the_file(index: Index) -> None:
    file = files(index, line_of(index, "clir-bench/bm25/whitespace"))["sample-v1"]
    rows = profile.timings_table(file.timings, "there").rows
    assert [(row[1], row[2]) for row in rows] == [(t.items, t.seconds) for t in file.timings]
    assert rows[0][4] == pytest.approx(1000 * file.timings[0].seconds / file.timings[0].items)
    facts = dict(profile.provenance_facts(file, "sha256:x"))
    assert facts["Collection"] == file.task.fingerprint
    assert facts["Commit"] == file.provenance.git_commit
    assert facts["Notes"] == HOSTILE


def test_the_data_sets_are_told_with_what_identifies_them(index: Index) -> None:
    rows = {row[1]: row for row in boards_table(index).rows if "oracle" not in str(row[0])}
    file = files(index, line_of(index, "clir-bench/bm25/whitespace"))["sample-v1"]
    assert rows["sample v1"][2:6] == (64, 6144, 96, 384)
    assert rows["sample v1"][-1] == file.task.fingerprint
    assert len({section.title for section in SECTIONS}) == len(SECTIONS)


@pytest.fixture
def app(folder: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("CLIR_BENCH_SUBMISSIONS", str(folder))
    return AppTest.from_file(str(resources.folder("leaderboard") / "app.py"), default_timeout=60).run()


def html_of(page: AppTest) -> str:
    return "".join(each.proto.body for each in page.get("html"))


@pytest.mark.parametrize("show", ["Pairs", "Steps", "Costs", "Repeat it", "History", "Cite it"])
def test_every_part_of_a_system_shows(app: AppTest, show: str) -> None:
    page = app.switch_page("views/system.py").run()
    page.selectbox(key="system").select_index(0).run()
    assert not page.exception
    page.session_state["show"] = show
    page.run()
    assert not page.exception
    assert "cb-chain" in html_of(page)


def test_hostile_notes_reach_no_page_as_markup(app: AppTest, index: Index) -> None:
    page = app.switch_page("views/system.py").run()
    page.selectbox(key="system").select_index(line_of(index, "clir-bench/bm25/whitespace")).run()
    page.session_state["show"] = "Repeat it"
    page.run()
    assert not page.exception
    assert "<script>" not in html_of(page)
    assert "&lt;script&gt;" in html_of(page)
    assert not any("alert(1)" in each.value for each in page.markdown)


@pytest.mark.parametrize("show", ["One system", "Translation", "Fine-tuning", "Re-ranking", "Search", "Other steps", "Quality of translations"])
def test_every_part_of_the_pipeline_shows_a_table_or_says_what_is_missing(app: AppTest, show: str) -> None:
    page = app.switch_page("views/pipeline.py").run()
    page.session_state["show"] = show
    page.run()
    assert not page.exception
    assert "What one step changes" in html_of(page)
    assert show == "One system" or "<pre" in html_of(page) or html_of(page).count("<table") > 1


def test_a_file_is_judged_where_it_is_dropped(app: AppTest, folder: Path, tmp_path: Path) -> None:
    page = app.switch_page("views/submit.py").run()
    assert not page.exception
    good = json.loads(to_json(read_submission(folder / "clir-bench__bm25" / "multilingual" / "sample-v1.json")))
    mine = good["system"]["signature"].replace("k1=1.5", "k1=9")
    good["system"] |= {"variant": "mine", "signature": mine, "stages": [good["system"]["stages"][0] | {"k1": 9.0}]}
    page.file_uploader(key="file").upload("mine.json", json.dumps(good).encode(), "application/json").run()
    assert not page.exception
    assert "submissions/clir-bench__bm25/mine/sample-v1.json" in html_of(page)
    assert not (folder / "clir-bench__bm25" / "mine").exists()
    for bad in (b"", b"[" * 100_000, json.dumps({HOSTILE: HOSTILE}).encode(), json.dumps(good | {"complete": False}).encode()):
        page.file_uploader(key="file").upload("bad.json", bad, "application/json").run()
        assert not page.exception
        assert 'role="alert"' in html_of(page)
        assert "<script>" not in html_of(page)
        assert "submissions/clir-bench__bm25/mine" not in html_of(page)


def test_about_tells_everything_at_once(app: AppTest) -> None:
    page = app.switch_page("views/about.py").run()
    assert not page.exception
    html = html_of(page)
    for words in ("sha256:", "/api/v1/standings", "Table 6", "withdrawn", "Bias loss", "undisclosed"):
        assert words in html
