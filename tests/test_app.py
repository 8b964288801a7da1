"""Every page of the leaderboard as Streamlit runs it: real and generated submissions, any filters, every link, and hostile texts."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from board_pages import LEADERBOARD, PAGES, Shown, choices, chosen, html_of, number, open_page, told, walk
from streamlit.testing.v1 import AppTest

from clir_bench import languages
from clir_bench.standings import Selection, open_index
from clir_bench.standings.build import FOLDER, index_home
from clir_bench.standings.selection import LEVELS

sys.path.insert(0, str(LEADERBOARD))
import shell

REAL = LEADERBOARD.parent / "submissions"
FILTERED = tuple(page for page in PAGES if page not in ("choose", "submit", "about", "system"))
FILTERS = frozenset(Selection.model_fields)
Enter = Callable[[Path], Path]
Record = dict[str, Any]


@pytest.fixture
def enter(monkeypatch: pytest.MonkeyPatch) -> Enter:
    """Makes a folder of submissions the one that is shown."""

    def enter(folder: Path) -> Path:
        monkeypatch.setenv(FOLDER, str(folder))
        open_index(folder, build=True)
        return folder

    return enter


@pytest.fixture
def board(enter: Enter, generated: Path) -> Path:
    return enter(generated)


def test_a_server_keeps_its_index_when_another_version_of_clir_bench_writes_one(enter: Enter, tmp_path: Path) -> None:
    shutil.copytree(REAL, tmp_path / "s")
    folder = enter(tmp_path / "s")
    opened, about = shell.index(), index_home(folder) / "current.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"version": "another"}))
    assert shell.index() is opened
    assert json.loads(about.read_text())["version"] == "another"


# Pages and the states of their widgets


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_the_real_submissions_shows_something(page: str, enter: Enter) -> None:
    enter(REAL)
    _sound(open_page(shell.address(page)), page)


@pytest.mark.parametrize("page", PAGES)
def test_every_choice_of_a_page_shows_something(page: str, board: Path) -> None:
    for state, app in _states(page):
        _sound(app, f"{page} {state}")
        for name, option in state.items():
            assert chosen(app, name) in ([option], []), f"{page} {state}"


def test_before_the_first_submission_a_page_says_how_to_make_one(enter: Enter, tmp_path: Path) -> None:
    enter(tmp_path)
    for page in PAGES:
        app = open_page(shell.address(page))
        assert not app.exception
        assert "clir-bench evaluate" in " ".join(told(app)), page


def test_a_file_that_is_no_submission_takes_nothing_from_the_others(enter: Enter, tmp_path: Path) -> None:
    shutil.copytree(REAL, tmp_path / "s")
    (tmp_path / "s" / "broken.json").write_text('{"schema": "<b>"}')
    enter(tmp_path / "s")
    assert len(html_of(open_page("./leaderboard")).tables[0].rows) == len([*REAL.glob("*/*/*.json")])
    assert "broken.json" in html_of(open_page("./about")).text


def _states(page: str, *, parts: bool = False) -> Iterator[tuple[dict[str, str], AppTest]]:
    """The page as it is first, and with each choice of its widgets, but for the filters, and in each of its parts; or only its ``parts``."""
    app = open_page(shell.address(page))
    yield {}, app
    seen: set[frozenset[tuple[str, str]]] = set()
    left: list[tuple[dict[str, str], AppTest]] = [({}, app)]
    while left:
        before, app = left.pop()
        for choice in choices(app):
            part = choice.opens or choice.name == page.removesuffix("s")
            if choice.name in before or (choice.name in FILTERS and page in FILTERED) or (parts and not part):
                continue
            for option in _some(choice.options):
                state = {**before, choice.name: option}
                if (key := frozenset(state.items())) in seen:
                    continue
                seen.add(key)
                there = open_page(shell.address(page, None, **state))
                yield state, there
                if part and not before:
                    left.append((state, there))


def _sound(app: AppTest, where: str) -> AppTest:
    """A page without an error, that has a title and shows something; no table of it is empty."""
    assert not app.exception, f"{where}: {app.exception[0].message if app.exception else ''}"
    assert not app.get("error"), f"{where}: {told(app)}"
    assert len(app.title) == 1, where
    html = html_of(app)
    for table in html.tables:
        assert table.rows, f"{where}: {table.caption!r} has no row"
        assert table.caption, f"{where}: a table of {table.columns} has no caption"
        assert all(len(row) == len(table.columns) for row in table.rows), f"{where}: {table.caption}"
        assert any(cell not in ("", "–") for row in table.rows for cell in row[1:]), f"{where}: {table.caption!r} holds nothing"
    assert html.tables or told(app) or _charts(app) or len(html.text) > 150, where
    return app


def _charts(app: AppTest) -> list[Any]:
    return [node for node in walk(app.main) if "vega_lite" in node.type]


def _status(app: AppTest) -> bool:
    """Whether it says in words why there is nothing."""
    return any(attributes.get("role") == "status" for _, attributes in html_of(app).tags)


def _some(options: Sequence[str]) -> Sequence[str]:
    return options if len(options) <= 7 else (options[0], options[len(options) // 2], options[-1])


# Filters, against slow loops over the files


def test_whatever_is_filtered_the_leaderboard_shows_what_slow_loops_find_or_which_filter_to_relax(board: Path) -> None:
    rng, empty, checked = random.Random(5), 0, 0
    for _ in range(40):
        asked = _any_selection(rng)
        app = open_page(shell.address("leaderboard", asked))
        assert not app.exception, asked
        shown = [table for table in html_of(app).tables if {"System", "Trust"} <= set(table.columns)]
        if not shown:
            _explained(app, asked)
            empty += 1
            continue
        expected, counted = _slow_standing(board, asked)
        assert counted in html_of(app).text, asked
        rows = {row[table.columns.index("System")]: dict(zip(table.columns, row, strict=True)) for table in shown for row in table.rows}
        if (asked.licence, asked.seen, asked.trust) == ("any", "any", "claimed"):
            assert set(rows) == set(expected), asked
        for name, row in rows.items():
            checked += _agree(row, expected[name], asked)
    assert empty > 3
    assert checked > 300


@pytest.mark.parametrize("page", [page for page in FILTERED if page != "leaderboard"])
def test_whatever_is_filtered_a_page_shows_something_or_says_why_not(page: str, board: Path) -> None:
    rng = random.Random(page)
    for _ in range(6):
        asked = _any_selection(rng)
        app = open_page(shell.address(page, asked))
        assert not app.exception, f"{page} {asked}"
        tables = html_of(app).tables
        assert all(table.rows for table in tables), f"{page} {asked}"
        if not tables and not _charts(app):
            _explained(app, asked)


def test_any_choice_of_languages_and_limits_has_an_answer_or_says_what_to_loosen(board: Path) -> None:
    rng, answered = random.Random(7), 0
    for _ in range(20):
        wish = _any_selection(rng)
        wish = Selection(
            queries=wish.queries[:1], documents=wish.documents[:1], gigabytes=wish.gigabytes, licence=wish.licence, seen=wish.seen,
            track="all" if wish.track == "oracle" else wish.track,
        )  # fmt: skip
        app = open_page(shell.address("choose", wish))
        assert not app.exception, wish
        tables = html_of(app).tables
        assert all(table.rows for table in tables), wish
        if tables and "Trust" in tables[0].columns:
            expected = _slow_standing(board, wish)[0] or _slow_standing(board, wish.model_copy(update={"boards": ("sample-v1",)}))[0]
            for row in tables[0].rows:
                score, slow = number(dict(zip(tables[0].columns, row, strict=True))["R@10"]), expected[row[0]].score
                assert score is not None, (wish, row)
                assert slow is not None, (wish, row)
                assert abs(score - 100 * slow) < 0.0501, (wish, row)
            answered += 1
        elif not tables:
            _explained(app, wish)
    assert answered > 7


def test_a_map_holds_what_the_file_says_of_each_pair(board: Path) -> None:
    seen = 0
    for task, label in (("clirmatrix", "CLIRMatrix"), ("large_scale", "Large-Scale")):
        name, file = next((name, file) for name, file in _current(board, task, oracle=False).items() if file["complete"] and file["gold_ranks"])
        for shown, value in (
            ("value", lambda each: 100 * _mean(each["measures"]["R@10"])),
            ("number of queries", lambda each: each["measures"]["R@10"]["n"]),
            ("own-language recall", lambda each: 100 * _mean(each["own_language"]["R@10"])),
            ("bias loss", lambda each: 100 * (_mean(each["own_language"]["R@10"]) - _mean(each["measures"]["R@10"]))),
        ):
            cells = _cells(html_of(open_page(shell.address("pairs", None, show=shown, system=name, board=label))).tables[0])
            for record in file["pairs"]:
                if shown in ("value", "number of queries") or record["own_language"]:
                    found = number(cells[languages.name(record["query"]), record["document"]])
                    assert found is not None, (shown, record["query"], record["document"])
                    assert abs(found - value(record)) < 0.0501, (shown, record["query"], record["document"])
                    seen += 1
    assert seen > 300


def _cells(table: Shown) -> dict[tuple[str, str], str]:
    """By the query language's name and the document language's code: of a map, or of a list of pairs that have one query language."""
    if "→" in table.rows[0][0]:
        codes = {languages.name(code): code for board in shell.index().boards.values() for code in board.document_languages}
        named = [(*row[0].split(" → "), row[1]) for row in table.rows if "→" in row[0]]
        return {(query, codes[document]): cell for query, document, cell in named}
    return {(row[0], document): cell for row in table.rows for document, cell in zip(table.columns[1:], row[1:], strict=True)}


class Slow(NamedTuple):
    """What loops over the files say of a system; fractions."""

    boards: dict[str, float | None]
    score: float | None
    worst: float | None
    loss: float | None
    cross: float | None


def _slow_standing(folder: Path, asked: Selection) -> tuple[dict[str, Slow], str]:
    """The systems that pass the filters of data sets, pairs, track and size, and what is counted."""
    oracle = asked.track == "oracle"
    tasks = [key.removesuffix("-v1") for key in asked.boards] or ["clirmatrix", "large_scale"]
    files = {task: found for task in sorted(tasks) if (found := _current(folder, task, oracle))}
    cells = {
        task: wanted
        for task, mine in files.items()
        if (wanted := {pair: n for file in mine.values() for pair, n in _counts(file, asked.measure).items() if _takes(asked, *pair)})
    }
    systems: dict[str, Slow] = {}
    for name in {name for task in cells for name, file in files[task].items() if _passes(file, asked)}:
        boards: dict[str, float | None] = {}
        losses: list[float | None] = []
        crosses: list[float | None] = []
        values: list[float] = []
        for task, wanted in cells.items():
            file = files[task].get(name)
            by_pair = {(each["query"], each["document"]): each for each in file["pairs"]} if file else {}
            means = [_mean(by_pair[pair]["measures"][asked.measure]) for pair in wanted if pair in by_pair]
            values += means
            boards[_LABELS[task]] = fmean(means) if len(means) == len(wanted) else None
            across = [pair for pair in wanted if pair[0] != pair[1]]
            if across:
                own = [by_pair[pair]["own_language"].get(asked.measure) for pair in across if pair in by_pair]
                full = [by_pair[pair]["measures"][asked.measure] for pair in across if pair in by_pair]
                crosses.append(fmean(map(_mean, full)) if len(full) == len(across) else None)
                whole = len(own) == len(across) and all(own)
                losses.append(fmean(_mean(o) - _mean(f) for o, f in zip(own, full, strict=True)) if whole else None)
        systems[name] = Slow(boards, _fmean(list(boards.values())), min(values, default=None), _fmean(losses), _fmean(crosses))
    pairs, queries = [pair for wanted in cells.values() for pair in wanted], sum(n for wanted in cells.values() for n in wanted.values())
    same = sum(query == document for query, document in pairs)
    alike = f" ({same} of one language)" if 0 < same < len(pairs) else ""
    return systems, f"{len(pairs):,} pair{'s' if len(pairs) > 1 else ''}{alike}, {queries:,} evaluated queries"


_LABELS = {"clirmatrix": "CLIRMatrix", "large_scale": "Large-Scale", "sample": "sample"}


def _fmean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _mean(stat: Record) -> float:
    return float(stat["sum"] / stat["n"])


def _counts(file: Record, measure: str) -> dict[tuple[str, str], int]:
    return {(each["query"], each["document"]): each["measures"][measure]["n"] for each in file["pairs"] if measure in each["measures"]}


def _takes(asked: Selection, query: str, document: str) -> bool:
    if (asked.queries and query not in asked.queries) or (asked.documents and document not in asked.documents):
        return False
    if asked.same == "without" and query == document:
        return False
    one = languages.script(query) == languages.script(document)
    return {"any": True, "same": one, "cross": not one}[asked.script]


def _passes(file: Record, asked: Selection) -> bool:
    if asked.track in ("retrieval", "rerank") and file["task"]["track"] != asked.track:
        return False
    if asked.gigabytes is None:
        return True
    # what the documents were translated with is not needed to answer a query
    models = {
        m["name"]: m["weights_bytes"] for s in file["system"]["stages"] if (m := s.get("model")) and (s["kind"], s.get("texts")) != ("translate", "documents")
    }
    return None not in models.values() and sum(models.values()) <= asked.gigabytes * 1e9


@cache
def _current(folder: Path, task: str, oracle: bool) -> dict[str, Record]:
    """By system: what is not replaced, complete before partial, then the newest."""
    contents = [path.read_bytes() for path in sorted(folder.glob("*/*/*.json")) if path.name.startswith(f"{task}-v")]
    files = [json.loads(content) for content in contents]
    replaced = {file["correction"]["replaces"] for file in files if file["correction"]}
    found: dict[str, Record] = {}
    for content, file in zip(contents, files, strict=True):
        if f"sha256:{hashlib.sha256(content).hexdigest()}" in replaced or (file["task"]["track"] == "oracle") != oracle:
            continue
        name = f"{file['system']['name']}/{file['system']['variant']}"
        rank = (file["complete"], file["provenance"]["started"])
        if name not in found or rank > (found[name]["complete"], found[name]["provenance"]["started"]):
            found[name] = file
    return found


def _agree(row: dict[str, str], slow: Slow, asked: Selection) -> int:
    """How many numbers of a row were compared with those of the loops."""
    pairs = [(row.get(label), mean, 100) for label, mean in slow.boards.items() if label in row]
    pairs += [(row.get(f"{asked.measure}, {label}"), mean, 100) for label, mean in slow.boards.items()]
    pairs += [
        (row.get(asked.measure), slow.score, 100),
        (row.get("Worst pair", "").split("\u2002")[0] or None, slow.worst, 100),
        (row.get("Bias loss"), slow.loss, 100),
    ]
    pairs += [(row.get("Two languages"), slow.cross, 100)]
    compared = 0
    for text, value, scale in pairs:
        if text is None:
            continue
        found = number(text)
        if value is None:
            assert found is None, (row, slow, asked)
        else:
            assert found is not None, (row, slow, asked)
            assert abs(found - scale * value) < 0.0501, (row, slow, asked)
        compared += 1
    return compared


def _any_selection(rng: random.Random) -> Selection:
    """Few filters are set at once, so that something passes as often as not."""
    boards = shell.index().boards.values()
    asked, held = (sorted({code for board in boards for code in getattr(board, f"{side}_languages")}) for side in ("query", "document"))

    def pick(options: Sequence[Any], usual: Any, often: float = 0.25) -> Any:
        return rng.choice(options) if rng.random() < often else usual

    return Selection(
        boards=tuple(rng.sample(("clirmatrix-v1", "large_scale-v1", "sample-v1"), rng.randint(1, 2))) if rng.random() < 0.4 else (),
        queries=tuple(rng.sample(asked, rng.randint(1, 3))) if rng.random() < 0.4 else (),
        documents=tuple(rng.sample(held, rng.randint(1, 3))) if rng.random() < 0.4 else (),
        script=pick(("same", "cross"), "any"), same=pick(("without",), "with"), measure=pick(("R@100", "nDCG@10"), "R@10"),
        track=pick(("retrieval", "rerank", "oracle"), "all"), gigabytes=pick((0.25, 0.5, 1.0, 4.0, 16.0), None), licence=pick(("open",), "any"),
        seen=pick(("undisclosed", "clean"), "any"), trust=pick(LEVELS, "claimed", 0.15),
    )  # fmt: skip


def _explained(app: AppTest, asked: Selection) -> None:
    """The page says why it is empty. Where no system passes, a link with one filter less leads to some."""
    said = " ".join(told(app))
    assert said or _status(app), asked
    if "passes all of" in said:
        words = {words for words, _ in asked.relaxations(shell.index())}
        loose = [address for text, address in html_of(app).links if text in words]
        assert loose, f"nothing to relax: {asked}"
        assert html_of(open_page(loose[0])).tables, f"{loose[0]} shows no more than {asked}"


# Links


def test_a_link_of_a_selection_sets_the_filters_it_was_made_of(board: Path) -> None:
    rng = random.Random(3)
    for _ in range(12):
        asked, page = _any_selection(rng), rng.choice(FILTERED)
        assert open_page(shell.address(page, asked)).session_state["selection"] == asked, page


@pytest.mark.parametrize("page", FILTERED)
def test_a_page_that_was_filtered_is_the_one_that_its_address_gives(page: str, board: Path) -> None:
    rng = random.Random(page)
    for _ in range(5):
        asked, app = _any_selection(rng), open_page(shell.address(page))
        for name, value in asked.model_dump().items():
            widget = app.multiselect(key=name) if isinstance(value, tuple) else app.selectbox(key=name)
            widget.set_value(list(value) if isinstance(value, tuple) else value)
        app.run()
        linked = open_page(shell.address(page, asked))
        assert {each.name: chosen(app, each.name) for each in choices(app)} == {each.name: chosen(linked, each.name) for each in choices(linked)}, asked
        assert html_of(app).text == html_of(linked).text, asked


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_to_what_it_names(page: str, board: Path) -> None:
    addresses = {address for _, address in html_of(open_page(shell.address(page))).links}
    kinds: dict[tuple[str, frozenset[str]], str] = {}
    for address in sorted(addresses):
        parts = urlsplit(address)
        assert parts.scheme in ("", "https"), address
        if not parts.scheme and not parts.path.startswith("./api/"):
            kinds.setdefault((parts.path, frozenset(parse_qs(parts.query))), address)
    for address in kinds.values():
        app = _sound(open_page(address), address)
        for name, values in parse_qs(urlsplit(address).query).items():
            assert chosen(app, name) == values, f"{page}: {address}"


# Texts of strangers

SCRIPT = '<script>window.hostile=1</script><img src="https://evil.example/x.png" onerror="window.hostile=1"><style>body{display:none}</style></p></table>'
MARKDOWN = "**bold** [click](https://evil.example) ![x](https://evil.example/x.png) `code` $\\alpha$ :red[red] :material/delete: javascript:alert(1)"
LONG = "W" * 119


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real submissions, every free text of them being one that means harm."""
    folder = tmp_path_factory.mktemp("hostile") / "submissions"
    shutil.copytree(REAL, folder)
    for i, path in enumerate(sorted(folder.glob("*/*/*.json"))):
        path.write_text(json.dumps(poisoned(json.loads(path.read_text()), i)))
    return folder


def poisoned(file: Record, number: int = 0) -> Record:
    """A submission with hostile texts wherever the format allows a text."""
    for stage in file["system"]["stages"]:
        for key in ("pooling", "query_prompt", "document_prompt", "tokenizer", "library", "formula", "source", "template"):
            if isinstance(stage.get(key), str):
                stage[key] = SCRIPT + MARKDOWN
        if model := stage.get("model"):
            model |= {"licence": MARKDOWN, "revision": MARKDOWN, "trained_on": [{"dataset": MARKDOWN}]}
    file["system"]["signature"] = SCRIPT
    file["system"]["variant"] = f"{LONG}{number}"
    one_line = dict.fromkeys(("platform", "cpu", "git_commit", "python"), SCRIPT + MARKDOWN)
    file["provenance"] |= {**one_line, "gpu": None, "command": SCRIPT, "packages": {SCRIPT: SCRIPT}}
    return {**file, "submitter": MARKDOWN, "notes": SCRIPT + MARKDOWN, "citation": SCRIPT}


@pytest.mark.parametrize("page", PAGES)
def test_texts_of_strangers_are_shown_as_texts(page: str, enter: Enter, hostile: Path) -> None:
    enter(hostile)
    if page == "system":
        name = html_of(open_page("./leaderboard")).tables[0].rows[0][0]
        assert "window.hostile=1" in html_of(open_page(shell.address(page, None, system=name, show="Repeat it"))).text  # it is told, as a text
    for _, app in _states(page, parts=True):
        assert not app.exception, app.exception
        html = html_of(app)
        assert not {"script", "img", "iframe", "object", "form"} & {tag for tag, _ in html.tags}
        assert not [name for _, attributes in html.tags for name in attributes if name.startswith("on")]
        assert all(address.startswith(("./", "https://arxiv.org/", "https://huggingface.co/")) for _, address in html.links), html.links
        for node in walk(app.main):  # what Streamlit reads as markdown or HTML: all but these
            if node.type not in ("html", "code", "selectbox", "multiselect"):
                for text in (getattr(node, "value", None), getattr(node, "label", None), getattr(getattr(node, "proto", None), "alt", None)):
                    assert "hostile" not in str(text), node.type
                    assert "**bold**" not in str(text), node.type
                assert "**bold**" not in str(getattr(node, "options", "")), node.type
