"""Quality against cost: the front, hardware, what is left out, the chart and its table; against slow loops over the files."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board_pages import chosen, html_of, open_page
from generated_board import files, generated_index

from clir_bench.exhibits.quality_cost import (
    COSTS,
    LETTERS,
    Costed,
    Kind,
    _log_axis,
    chart_alt,
    cost_chart,
    cost_table,
    cost_words,
    costed,
    front_table,
    fronts,
    left_out,
    machines,
)  # fmt: skip
from clir_bench.exhibits.tables import Interval, Link
from clir_bench.standings import Index, Selection, Standing, open_index, standing
from clir_bench.standings.build import FOLDER
from clir_bench.standings.costs import ONCE, document_ms, pace, paces, pareto_front, query_ms

REAL = Path(__file__).parent.parent / "submissions"


def slow_front(score: list[float], cost: list[float]) -> list[bool]:
    """By comparing every system with every other."""

    def beats(a: int, b: int) -> bool:
        return score[a] >= score[b] and cost[a] <= cost[b] and (score[a] > score[b] or cost[a] < cost[b])

    known = [i for i in range(len(score)) if math.isfinite(score[i]) and math.isfinite(cost[i])]
    return [i in known and not any(beats(other, i) for other in known) for i in range(len(score))]


def test_the_front_is_what_comparing_every_two_systems_finds() -> None:
    rng, equal = np.random.default_rng(3), 0
    for size in (0, 1, 2, 3, 8, 20, 30, 60):
        for steps in (2, 3, 5, 8, 1000):  # of few values many are equal
            score, cost = (rng.integers(0, steps, size) / steps for _ in range(2))
            score[rng.random(size) < 0.1], cost[rng.random(size) < 0.2] = np.nan, np.nan
            front = pareto_front(score, cost)
            assert front.tolist() == slow_front(score.tolist(), cost.tolist())
            equal += int(front.sum()) - len({*zip(score[front].tolist(), cost[front].tolist(), strict=True)})
    assert equal > 10


@pytest.fixture(scope="module")
def index() -> Index:
    """A third of the systems on other hardware, one on both kinds."""
    index = generated_index()
    entries = index.entries.copy()
    hardware = entries["hardware"].to_numpy(object).copy()
    for key, of in index.entry_of.items():
        for line, entry in enumerate(of.tolist()):
            if entry >= 0 and (line % 3 == 0 or (line == 1 and key == "sample-v1")):
                hardware[entry] = "other, 4 cores"
    entries["hardware"] = hardware
    return replace(index, entries=entries, cache={})


@pytest.fixture(scope="module")
def both(index: Index) -> Standing:
    return standing(index, Selection(boards=("sample-v1", "large_scale-v1")))


def slow_costs(index: Index, found: Standing, kind: Kind, hardware: str | None) -> dict[str, float | None]:
    """Of every ranked system, from its files; None where it is not known or was not timed on that hardware alone."""
    costs: dict[str, float | None] = {}
    for line in found.lines[found.tier > 0].tolist():
        name = index.lines[line]
        mine = [files()[name, board.key] for board in found.boards]
        if kind == "size":
            newest = max(mine, key=lambda s: s.provenance.started)
            models = {m.name: m.weights_bytes for s in newest.system.stages if s.kind in ("encode", "rerank") and (m := getattr(s, "model", None))}
            costs[str(name)] = None if None in models.values() else sum(size or 0 for size in models.values()) / 1e9
            continue
        on = {str(index.entries["hardware"][int(index.entry_of[board.key][line])]) for board in found.boards}
        timed = []
        for s in mine:
            seconds = {t.stage: (t.seconds, t.items) for t in s.timings}
            documents = max(items for stage, (_, items) in seconds.items() if stage in ONCE)
            queries = seconds["search"][1]
            each = sum(t / queries for stage, (t, _) in seconds.items() if stage not in (*ONCE, "locate"))
            timed.append(1000 * (each if kind == "query" else sum(seconds[stage][0] for stage in ONCE if stage in seconds) / documents))
        costs[str(name)] = sum(timed) / len(timed) if on == {hardware} else None
    return costs


@pytest.mark.parametrize(
    ("kind", "hardware"), [("size", None), *((kind, on) for kind in ("query", "document") for on in ("synthetic, 16 cores", "other, 4 cores"))]
)
def test_costs_front_and_table_are_those_of_slow_loops(kind: Kind, hardware: str | None, index: Index, both: Standing) -> None:
    found, expected = costed(index, both, kind, hardware), slow_costs(index, both, kind, hardware)
    scores = {str(index.lines[line]): float(score) for line, score in zip(both.lines, both.score, strict=True)}
    names = list(expected)
    best = slow_front([scores[name] for name in names], [math.nan if (cost := expected[name]) is None else cost for name in names])
    table = cost_table(index, both, found)
    keys = [column.key for column in table.columns]
    rows = [dict(zip(keys, row, strict=True)) for row in table.rows]
    assert [row["system"].text for row in rows if isinstance(row["system"], Link)] == [name for name in names if expected[name] is not None]
    assert 0 < len(rows) < len(names)
    for row in rows:
        assert isinstance(row["system"], Link)
        name = row["system"].text
        assert row["front"] is best[names.index(name)]
        assert row["gigabytes" if kind == "size" else "ms"] == pytest.approx(expected[name])
        assert kind == "size" or row["per_second"] == pytest.approx(1000 / (expected[name] or 1))
        assert isinstance(row["score"], Interval)
        assert row["score"].low <= row["score"].value == scores[name] <= row["score"].high
    front = front_table(index, both, found)
    shown = [row[0].text for row in front.rows if isinstance(row[0], Link)]
    assert shown == sorted((name for name, on in zip(names, best, strict=True) if on), key=lambda name: expected[name] or 0)
    assert [row[1] for row in front.rows] == list(LETTERS[: len(shown)])


def test_what_is_left_out_is_counted_and_never_zero(index: Index, both: Standing) -> None:
    size, slow = costed(index, both, "size"), slow_costs(index, both, "size", None)
    assert (size.unknown, size.apart, size.elsewhere) == (sum(cost is None for cost in slow.values()), 0, 0)
    assert size.unknown > 0
    assert f"left out: {size.unknown} of unknown size" in left_out(size)
    for kind in ("query", "document"):
        usual, other = costed(index, both, kind), costed(index, both, kind, "other, 4 cores")
        assert machines(index, both, kind) == ("synthetic, 16 cores", "other, 4 cores")
        assert usual.hardware == costed(index, both, kind, "of nobody").hardware == "synthetic, 16 cores"
        assert (usual.apart, usual.elsewhere, other.elsewhere) == (1, len(other.shown), len(usual.shown))
        assert f"1 timed on different hardware for different data sets, {len(other.shown)} timed on other hardware" in left_out(usual)
        assert not set(usual.shown) & set(other.shown)
    entries = both.entries[both.tier > 0]
    assert paces(index, query_ms(index), entries).hardware.tolist() == [pace(index, mine).hardware for mine in entries]
    assert np.isnan(paces(index, document_ms(index), np.full((1, 2), -1, np.int32)).ms[0])


def test_the_chart_holds_the_table(index: Index, both: Standing) -> None:
    for kind in COSTS:
        found = costed(index, both, kind)
        spec, table = cost_chart(index, both, found), cost_table(index, both, found)
        data: Any = spec["data"]
        assert [value["system"] for value in data["values"]] == [row[0].text for row in table.rows if isinstance(row[0], Link)]
        assert [value["cost"] for value in data["values"]] == pytest.approx([row[3] for row in table.rows], rel=5e-3)
        assert [("front" in value, value.get("front") or None) for value in data["values"]] == [(row[1], row[2]) for row in table.rows]
        layers: Any = spec["layer"]
        low, high = layers[0]["encoding"]["x"]["scale"]["domain"]
        assert all(low < value["x"] < high for value in data["values"])
        ticks = layers[0]["encoding"]["x"]["axis"]["values"]
        assert 1 <= len(ticks) <= 8
        assert all(low <= tick <= high for tick in ticks)
        assert f"of {len(table.rows)} systems against" in chart_alt(both, found)


def test_at_most_eight_of_a_front_have_a_letter_and_its_ends_do() -> None:
    many = 30
    rising = np.linspace(0.1, 0.9, many)
    found = Costed("size", None, np.arange(many), np.arange(1.0, many + 1), pareto_front(rising, np.arange(1.0, many + 1)), 0, 0, 0)
    letters = found.letters()
    assert "".join(letters.values()) == LETTERS
    assert list(letters) == sorted(letters)
    assert {0, many - 1} <= set(letters)


@pytest.mark.parametrize("values", [[0.0], [0.3], [0.0, 0.02, 40.0], [1e-4, 5e3], [7.0, 7.1]])
def test_an_axis_has_ticks_and_room_for_zero(values: list[float]) -> None:
    axis = _log_axis(np.array(values), "GB")
    scale: Any = axis.spec["scale"]
    told: Any = axis.spec["axis"]
    low, high = scale["domain"]
    positive = [value for value in values if value]
    assert all(low < value < high for value in positive)
    assert all(low <= tick <= high for tick in told["values"])
    assert len(told["values"]) >= 1 + (0.0 in values)
    if 0.0 in values:
        assert low < axis.zero < min(positive, default=1.0)
        assert "'0'" in told["labelExpr"]


def test_a_system_without_a_model_stands_at_0_and_says_so(tmp_path: Path) -> None:
    index = open_index(REAL, tmp_path, build=True)
    found = standing(index, Selection())
    size = costed(index, found, "size")
    assert size.unknown == 0
    assert (size.cost == 0).sum() == 2
    assert "At 0 stand systems without a model." in cost_words(index, found, size)
    data: Any = cost_chart(index, found, size)["data"]
    assert all(value["x"] > 0 for value in data["values"])
    assert {value["cost"] for value in data["values"]} == {0.0, 0.0909}


def test_the_api_names_the_fronts(index: Index, both: Standing) -> None:
    from clir_bench.site.api_records import placed

    found = fronts(index, both)
    assert found["weights_bytes"].sum() == costed(index, both, "size").front.sum()
    on = [set(costed(index, both, "query", machine).on_front().tolist()) for machine in machines(index, both, "query")]
    assert set(np.flatnonzero(found["ms_per_query"]).tolist()) == set().union(*on)
    told = [placed(index, both, row)["on_front"] for row in range(len(both.lines))]
    assert told == [[name for name, mask in found.items() if mask[row]] for row in range(len(both.lines))]


@pytest.fixture
def board(tmp_path: Path, generated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The generated submissions, those of one organisation on other hardware."""
    folder = tmp_path / "submissions"
    for path in generated.rglob("*.*"):
        copy = folder / path.relative_to(generated)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
        if path.suffix == ".json" and path.relative_to(generated).parts[0].startswith("synthetic-00__model-02"):
            file = json.loads(path.read_text())
            file["provenance"]["cpu"] = "other"
            copy.write_text(json.dumps(file))
    monkeypatch.setenv(FOLDER, str(folder))
    open_index(folder, build=True)
    return folder


def test_the_page_shows_one_kind_of_hardware_at_a_time(board: Path) -> None:
    size = open_page("./leaderboard")
    assert not size.exception
    assert "GB of weights" in _captions(size)
    assert chosen(size, "cost") == ["size"]
    assert not [each for each in size.selectbox if each.key == "hardware"]
    usual, other = (open_page(f"./leaderboard?cost=time+a+query&costs=true{more}") for more in ("", "&hardware=other%2C+16+cores"))
    assert not usual.exception
    assert not other.exception
    assert "ms a query on synthetic, 16 cores" in _captions(usual)
    assert "ms a query on other, 16 cores" in _captions(other)
    systems = [{row[0] for table in html_of(app).tables if "On the front" in table.columns for row in table.rows} for app in (usual, other)]
    assert systems[0]
    assert systems[1]
    assert not systems[0] & systems[1]
    assert all("synthetic-00/model-02" in name for name in systems[1])
    none = open_page("./leaderboard?cost=time+a+query&hardware=other%2C+16+cores&licence=open&documents=Russian")
    assert not none.exception


def _captions(app: Any) -> str:
    return " ".join(table.caption for table in html_of(app).tables)
