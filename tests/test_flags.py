"""Flags: what is flagged says so wherever it is shown, and what is flagged as a copy is ranked and recommended nowhere until it is cleared."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from _submissions import generate
from board_pages import Html, html_of, open_page, told

from clir_bench.events import LOG, Happening, append_event, sha256_of
from clir_bench.exhibits.answer import answer, answer_table, sentences
from clir_bench.exhibits.board_table import board_table, order_rows, unranked_table
from clir_bench.exhibits.landing import land
from clir_bench.exhibits.pair_views import best_systems
from clir_bench.exhibits.profile import scores_table, state_words, trust_words, variants_table, versions_table
from clir_bench.exhibits.tables import Noted, Table
from clir_bench.exhibits.tongues import serving, tongues
from clir_bench.site import api
from clir_bench.site.export import export_site
from clir_bench.standings import Index, Selection, Standing, open_index, standing
from clir_bench.standings.build import FOLDER
from clir_bench.submission import Submission, read_submission

HOSTILE = '"><script>alert(1)</script> & <b>'
NOTES = (f"78.4% of its ranks {HOSTILE}", "100.0% of its ranks", "a doubt")


def happen(folder: Path, path: str, event: Happening, note: str | None = None) -> None:
    append_event(folder / LOG, event, path, sha256_of((folder / path).read_bytes()), trust=None, by="Ada", note=note)


def opened(folder: Path, home: Path) -> Index:
    return open_index(folder, home, build=True)


def names(index: Index, found: Standing) -> list[str]:
    return [str(index.lines[line]) for line in found.lines]


def by_system(table: Table) -> dict[str, dict[str, object]]:
    return {row[0].text: {column.key: cell for column, cell in zip(table.columns, row, strict=True)} for row in table.rows}  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("flags") / "submissions"
    generate(made, 10, ("sample",))
    return made


@pytest.fixture(scope="module")
def clean(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Standing:
    """The board before anything was flagged."""
    return standing(opened(folder, tmp_path_factory.mktemp("clean")), Selection())


@pytest.fixture(scope="module")
def paths(folder: Path, clean: Standing, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The best system, which is flagged twice, the weaker note last; and the second, which is flagged for a doubt."""
    index = opened(folder, tmp_path_factory.mktemp("paths"))
    best, second = (str(index.entries.at[int(entry), "path"]) for entry in clean.entries[:2, 0])
    for event, path, note in (("copied", best, NOTES[1]), ("flagged", best, NOTES[0]), ("flagged", second, NOTES[2]), ("reproduced", second, None)):
        happen(folder, path, event, note)  # type: ignore[arg-type]
    return best, second


@pytest.fixture(scope="module")
def index(folder: Path, paths: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Index:
    return opened(folder, tmp_path_factory.mktemp("flagged"))


@pytest.fixture(scope="module")
def systems(index: Index, paths: tuple[str, str]) -> tuple[str, str]:
    of = index.entries.set_index("path")
    return tuple(f"{of.at[path, 'name']}/{of.at[path, 'variant']}" for path in paths)  # type: ignore[return-value]


def test_the_board_ranks_as_if_the_copy_were_not_there_and_shows_it_below(
    folder: Path, index: Index, clean: Standing, paths: tuple[str, str], systems: tuple[str, str], tmp_path: Path
) -> None:
    """Against an index of the other files alone."""
    for file in folder.rglob("*"):
        if file.is_file() and file.name != LOG and file.relative_to(folder).as_posix() != paths[0]:
            place = tmp_path / "s" / file.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read_bytes())
    without, found = opened(tmp_path / "s", tmp_path / "home"), standing(index, Selection())
    alone = standing(without, Selection())
    assert names(index, found)[: found.ranked] == names(without, alone)[: alone.ranked]
    assert found.ranked == alone.ranked == clean.ranked - 1
    for part in ("tier", "score", "low", "high", "rank_low", "rank_high"):
        np.testing.assert_array_equal(getattr(found, part)[: found.ranked], getattr(alone, part)[: alone.ranked])
    row = names(index, found).index(systems[0])
    assert (found.tier[row], found.rank_low[row], found.score[row], bool(found.copied[row])) == (0, 0, clean.score[0], True)
    assert found.copied.sum() == 1
    shown = by_system(unranked_table(index, found, order_rows(index, found).others))[systems[0]]
    assert shown["why"] == f"flagged as a copy: {NOTES[1]}; {NOTES[0]}"
    landed = land(submission_of(folder, without, alone), without), land(submission_of(folder, without, alone), index)
    assert landed[0] == landed[1]  # it takes nobody's place


def submission_of(folder: Path, index: Index, found: Standing) -> Submission:
    return read_submission(folder / str(index.entries.at[int(found.entries[2, 0]), "path"]))


def test_a_mark_stands_beside_trust_with_all_notes_gravest_first(index: Index, systems: tuple[str, str]) -> None:
    found = standing(index, Selection())
    placed = order_rows(index, found)
    ranked, others = board_table(index, found, placed.ranked), unranked_table(index, found, placed.others)
    cells = {name: row["trust"] for table in (ranked, others) for name, row in by_system(table).items()}
    assert cells.pop(systems[0]) == Noted("recomputed", "flagged as a copy", f"{NOTES[1]}; {NOTES[0]}")
    assert cells.pop(systems[1]) == Noted("recomputed", "flagged", NOTES[2])  # the audit after it does not clear it
    assert not any(isinstance(cell, Noted) for cell in cells.values())
    for table, name, note in ((ranked, systems[1], f"flagged: {NOTES[2]}"), (others, systems[0], f"flagged as a copy: {NOTES[1]}; {NOTES[0]}")):
        for rows in (json.loads(table.json())["rows"], list(csv.DictReader(io.StringIO(table.csv())))):
            files = {row["system"]: (row["trust"], row["trust_note"] or None) for row in rows}
            assert files.pop(name) == ("recomputed", note)
            assert all(other is None for _, other in files.values())
        html = Html(table.html())
        assert sum(tag == ("span", {"class": "cb-flag", "title": note.split(": ", 1)[1]}) for tag in html.tags) == 1
        assert f"recomputed, {note}" in html.text  # read out, too
        assert not {"script", "b"} & {tag for tag, _ in Html(table.html().replace("<b style", "<i style")).tags}
    assert "recomputed, flagged" in ranked.latex()


def test_choose_recommends_no_copy_and_says_what_is_flagged(index: Index, systems: tuple[str, str]) -> None:
    found = answer(index, Selection())
    assert found is not None
    group = [str(index.lines[found.standing.lines[row]]) for row in found.group]
    assert systems[0] not in group
    assert group[0] == systems[1]
    said = sentences(index, found)
    assert f"{systems[1]} is flagged: {NOTES[2]}." in said
    assert "1 more that passes is flagged as a copy, and left out." in said
    assert by_system(answer_table(index, found))[systems[1]]["trust"] == Noted("recomputed", "flagged", NOTES[2])


def test_a_copy_is_best_nowhere(index: Index, systems: tuple[str, str]) -> None:
    found = standing(index, Selection())
    board, line = found.boards[0], index.line(systems[0])
    assert line not in {serving(index, found, code, side).line for code in tongues(found) for side in ("query", "document")}  # type: ignore[arg-type]
    assert line is not None
    view = best_systems(index, board, np.ones(len(board.pairs), bool), "R@10", found.lines, "family")
    assert view.rows is not None
    assert systems[0] not in {cell for row in view.rows.rows for cell in row}
    (row,) = scores_table(index, line).rows
    assert row[3:5] == (None, None)
    assert scores_table(index, line).note == "What is flagged as a copy has no rank."


def test_the_page_of_a_system_tells_what_was_found_and_by_whom(index: Index, paths: tuple[str, str], systems: tuple[str, str]) -> None:
    entry, line = int(index.entries.index[index.entries["path"] == paths[0]][0]), index.line(systems[0])
    assert line is not None
    assert state_words(index, entry) == f"stands, flagged as a copy: {NOTES[1]}; {NOTES[0]}"
    level, *reasons = trust_words(index, entry)
    assert level == "recomputed"
    assert [" by Ada: ".join((reason.split(" on ")[0], reason.split(" by Ada: ")[1])) for reason in reasons[-2:]] == [
        f"flagged as a copy by Ada: {NOTES[1]}",
        f"flagged by Ada: {NOTES[0]}",
    ]
    assert state_words(index, entry) in {row[3] for row in versions_table(index, line).rows}
    board = index.boards["sample-v1"]
    assert by_system_variant(variants_table(index, line, board))[systems[0].rsplit("/", 1)[1]].mark == "flagged as a copy"


def by_system_variant(table: Table) -> dict[str, Noted]:
    return {row[0].text: row[3] for row in table.rows}  # type: ignore[union-attr, misc]


def test_the_api_says_it_of_standings_systems_and_pairs(index: Index, paths: tuple[str, str], systems: tuple[str, str]) -> None:
    rows = {row["system"]: row for row in api.standings(index, {"size": "500"})["systems"]}  # type: ignore[attr-defined]
    copy, doubted = (rows.pop(name) for name in systems)
    assert (copy["flags"], copy["copied"], copy["tier"], copy["rank"]) == ([NOTES[1], NOTES[0]], True, None, None)
    assert copy["why_unranked"] == f"flagged as a copy: {NOTES[1]}; {NOTES[0]}"
    assert copy["submissions"]["sample-v1"]["flags"] == [NOTES[1], NOTES[0]]
    assert (doubted["flags"], doubted["copied"], doubted["tier"], doubted["why_unranked"]) == ([NOTES[2]], False, 1, None)
    assert all((row["flags"], row["copied"]) == ([], False) for row in rows.values())
    assert all((row["why_unranked"] is None) == (row["tier"] is not None) for row in rows.values())
    assert {row["path"]: row["copied"] for row in api.system(index, dict(zip(("name", "variant"), systems[0].rsplit("/", 1), strict=True)))["submissions"]}[
        paths[0]
    ]  # type: ignore[attr-defined]
    pairs = {row["system"]: (row["trust"], row["flags"], row["copied"]) for row in api.pairs(index, {"q": "ar", "d": "ru"})["rows"]}  # type: ignore[attr-defined]
    assert pairs[systems[0]] == ("recomputed", [NOTES[1], NOTES[0]], True)


def test_the_static_site_says_what_the_live_board_says(
    folder: Path, index: Index, paths: tuple[str, str], systems: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = export_site(index, tmp_path / "site").path
    page = Html((site / "index.html").read_text())
    tables = [next(table for table in page.tables if "Trust" in table.columns and ("Tier" in table.columns) == ranked) for ranked in (True, False)]
    monkeypatch.setenv(FOLDER, str(folder))
    live = html_of(open_page("./leaderboard"))
    for table in tables:
        other = next(each for each in live.tables if each.caption == table.caption)
        assert dict(zip(other.column("System"), other.column("Trust"), strict=True)) == dict(zip(table.column("System"), table.column("Trust"), strict=True))
    assert f"recomputed, flagged: {NOTES[2]}" in tables[0].column("Trust")
    assert f"flagged as a copy: {NOTES[1]}; {NOTES[0]}" in tables[1].column("Why it has no rank")
    said = {row["system"]: row["boards"]["sample-v1"] for row in json.loads((site / "systems.json").read_text())}
    assert (said[systems[0]]["flags"], said[systems[0]]["copied"]) == ([NOTES[1], NOTES[0]], True)
    stored = pq.read_table(site / "systems.parquet", columns=["path", "flags", "copied", "trust"]).to_pylist()
    assert {row["path"]: (row["flags"], row["copied"]) for row in stored if row["flags"]} == {
        paths[0]: ([NOTES[1], NOTES[0]], True),
        paths[1]: ([NOTES[2]], False),
    }
    assert "until a maintainer clears it" in Html((site / "about.html").read_text()).text
    chosen = open_page("./choose")
    assert f"{systems[1]} is flagged: {NOTES[2]}." in html_of(chosen).text
    assert not chosen.exception, told(chosen)
    shown = next(table for table in html_of(chosen).tables if "Trust" in table.columns)
    assert f"recomputed, flagged: {NOTES[2]}" in shown.column("Trust")


@pytest.fixture
def log(folder: Path) -> Iterator[Path]:
    """The log, which is afterwards as it was."""
    before = (folder / LOG).read_bytes()
    yield folder / LOG
    (folder / LOG).write_bytes(before)


def test_what_is_cleared_stands_as_before(folder: Path, index: Index, clean: Standing, paths: tuple[str, str], log: Path, tmp_path: Path) -> None:
    for path in paths:
        happen(folder, path, "cleared", "one model under two names")
    again = opened(folder, tmp_path)
    found = standing(again, Selection())
    for part in ("lines", "tier", "score", "low", "high", "rank_low", "rank_high", "copied"):
        np.testing.assert_array_equal(getattr(found, part), getattr(clean, part))
    assert again.entries.set_index("path").loc[list(paths), "trust"].tolist() == ["recomputed", "reproduced"]
    assert not any(isinstance(cell, Noted) for row in board_table(again, found, order_rows(again, found).ranked).rows for cell in row)


def test_where_only_copies_pass_nothing_is_ranked_or_recommended(folder: Path, index: Index, log: Path, tmp_path: Path) -> None:
    found = standing(index, Selection())
    for entry in found.entries[:, 0]:
        happen(folder, str(index.entries.at[int(entry), "path"]), "copied", "all of them")
    again = opened(folder, tmp_path)
    found = standing(again, Selection())
    assert found.ranked == 0
    assert found.why == "no system that is not flagged as a copy has gold ranks for all of these pairs"
    assert answer(again, Selection()) is None
