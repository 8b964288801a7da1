"""The JSON API against the submission files, and what its answers carry."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from _submissions import generate
from scipy.stats import binomtest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from clir_bench import resources
from clir_bench.compare import as_record, compare
from clir_bench.layout import find_layout
from clir_bench.standings import Index, Selection, open_index, standing
from clir_bench.standings.build import FOLDER
from clir_bench.submission import Submission, read_submission

ROOT = Path(__file__).parent.parent / "submissions"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("api")
    generate(made, 15, ("sample",))
    generate(made, 3, ("large_scale",))
    shutil.copytree(ROOT / "claims", made / "claims")
    return made


@pytest.fixture(scope="module")
def index(folder: Path) -> Index:
    return open_index(folder, build=True)


@pytest.fixture(scope="module")
def client(folder: Path, index: Index) -> Iterator[TestClient]:
    sys.path.insert(0, str(resources.folder("leaderboard")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(folder))
        import api

        yield TestClient(Starlette(routes=api.routes()))


def _get(client: TestClient, address: str, **parameters: object) -> dict[str, object]:
    response = client.get(f"/api/v1{address}", params=parameters)
    assert response.status_code == 200, response.text
    return json.loads(response.text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def _file(folder: Path, index: Index, line: str, board: str) -> Submission:
    entry = index.entry_of[board][index.line(line)]
    return read_submission(folder / str(index.entries.at[int(entry), "path"]))


def test_every_address_that_is_listed_answers(client: TestClient, index: Index) -> None:
    name, other = map(str, index.lines[:2])
    needs = {
        "/api/v1/systems/{name}/{variant}": f"/api/v1/systems/{name}", "/api/v1/pairs": "/api/v1/pairs?q=ar&d=ru", "/api/v1/bias": f"/api/v1/bias?system={name}",
        "/api/v1/compare": f"/api/v1/compare?a={name}&b={other}&boards=sample-v1",
    }  # fmt: skip
    listed = _get(client, "")["addresses"]
    assert len(listed) == 14
    for address in listed:
        response = client.get(needs.get(address, address))
        assert response.status_code == 200, (address, response.text[:200])
        assert len(response.content) > 20


def test_a_standing_is_that_of_the_pages_with_its_n(client: TestClient, index: Index) -> None:
    found = standing(index, Selection(boards=("sample-v1",), documents=("ru", "de"), same="without", measure="nDCG@10"))
    answer = _get(client, "/standings", boards="sample-v1", documents="ru,de", same="without", measure="nDCG@10", size=500)
    rows = answer["systems"]
    assert [row["system"] for row in rows] == [str(index.lines[line]) for line in found.lines]
    assert (answer["n"], answer["pairs"], answer["total"]) == (found.queries, found.cells_of, len(rows))
    ranked = [row for row in rows if row["tier"]]
    assert len(ranked) == found.ranked > 5
    for i, row in enumerate(ranked):
        assert row["score"] == found.score[i]
        assert row["interval"] == [found.low[i], found.high[i]]
        assert row["rank"] == [found.rank_low[i], found.rank_high[i]]
        assert row["n"] == found.queries
    partial = [row for row in rows if row["pairs"] < answer["pairs"]]
    assert partial
    assert all(row["score"] is None and row["n"] is None and row["tier"] is None for row in partial)


def test_a_repeated_parameter_is_a_list(client: TestClient) -> None:
    both = client.get("/api/v1/standings?boards=sample-v1&queries=ar&queries=de").json()
    assert both["selection"]["queries"] == ["ar", "de"]
    assert both == _get(client, "/standings", boards="sample-v1", queries="ar,de")


def test_every_mean_of_a_system_is_that_of_its_file(client: TestClient, folder: Path, index: Index) -> None:
    name = "synthetic-00/model-00/native"
    answer = _get(client, f"/systems/{name}")
    seen = 0
    for board, rows in answer["scores"].items():
        file = _file(folder, index, name, board)
        assert len(rows) == len(file.pairs)
        for record, row in zip(sorted(file.pairs, key=lambda pair: pair.pair), sorted(rows, key=lambda row: (row["query"], row["document"])), strict=True):
            assert {measure: (stat.mean, stat.n) for measure, stat in record.measures.items()} == {m: (mean, row["n"]) for m, mean in row["means"].items()}
            assert {measure: own.sum / own.n for measure, own in record.own_language.items()} == pytest.approx(row["own_language"])
            seen += 1
    assert seen == 64 + 25
    for submission in answer["submissions"]:
        file = read_submission(folder / submission["path"])
        assert (submission["signature"], submission["command"], submission["notes"]) == (file.system.signature, file.provenance.command, file.notes)
        assert submission["stages"] == json.loads(file.model_dump_json())["system"]["stages"]
        assert submission["fingerprint"] == file.task.fingerprint
    assert {submission["current"] for submission in answer["submissions"]} == {True, False}  # the corrected run is told, too


def test_a_pair_tells_all_systems_with_n_and_wilsons_interval(client: TestClient, folder: Path, index: Index) -> None:
    rows = _get(client, "/pairs", q="ar", d="ru", measure="R@10", boards="sample-v1")["rows"]
    assert [row["mean"] for row in rows] == sorted((row["mean"] for row in rows), reverse=True)
    checked = 0
    for row in rows:
        record = next(pair for pair in _file(folder, index, row["system"], "sample-v1").pairs if str(pair.pair) == "ar-ru")
        stat = record.measures["R@10"]
        assert (row["mean"], row["n"]) == (stat.mean, stat.n)
        if stat.sum_squares is not None:
            wilson = binomtest(round(stat.sum), stat.n).proportion_ci(method="wilson")
            assert row["interval"] == pytest.approx([wilson.low, wilson.high])
            checked += 1
    assert checked > 5


def test_a_comparison_is_that_of_the_command(client: TestClient, folder: Path, index: Index) -> None:
    a, b = "synthetic-00/model-00/native", "synthetic-00/model-02/native"
    found = _get(client, "/compare", a=a, b=b, measure="R@10", boards="sample-v1")["boards"]["sample-v1"]
    first, second = (_file(folder, index, name, "sample-v1") for name in (a, b))
    layout = find_layout("sample", 1, first.task.fingerprint, [folder])
    assert found == json.loads(json.dumps(as_record(compare(first, second, "R@10", layout))))
    claimed = next(str(line) for i, line in enumerate(index.lines) if (e := index.entry_of["sample-v1"][i]) >= 0 and index.entries.at[e, "rank_row"] is not None
                   and np.isnan(index.entries.at[e, "rank_row"]))  # fmt: skip
    assert "no gold ranks" in _get(client, "/compare", a=a, b=claimed, boards="sample-v1")["boards"]["sample-v1"]["error"]


def test_language_profiles_are_those_of_the_file(client: TestClient, folder: Path, index: Index) -> None:
    name = str(index.lines[0])
    found = _get(client, "/bias", system=name, depth=10)["boards"]["sample-v1"]
    file = _file(folder, index, name, "sample-v1")
    assert found["pool"] == file.pool
    assert "stated by the submitter" in found["stated"]
    mine = {(p.query, p.gold): (p.queries, p.retrieved) for p in file.bias if p.depth == 10}
    assert {(p["query"], p["gold"]): (p["n"], p["retrieved"]) for p in found["profiles"]} == mine


def test_pages_hold_everything_once(client: TestClient, index: Index) -> None:
    pages = [_get(client, "/systems", page=page, size=4) for page in range(1, -(-len(index.lines) // 4) + 2)]
    names = [row["system"] for page in pages for row in page["systems"]]
    assert names == [str(line) for line in sorted(index.lines)]
    assert {page["total"] for page in pages} == {len(index.lines)}
    assert pages[-1]["systems"] == []


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("/standings?measure=foo&gigabytes=-1&qeries=ar", ["unknown measure 'foo'", "greater than 0", "Did you mean 'queries'?"]),
        ("/standings?boards=nope&queries=xx&documents=yy", ["no board 'nope'", "no query language 'xx'", "no document language 'yy'"]),
        ("/standings?size=501", ["less than or equal to 500"]),
        ("/systems?page=0", ["greater than or equal to 1"]),
        ("/pairs?q=ar", ["d: missing"]),
        ("/boards?x=1", ["x: unknown key"]),
        ("/bias?system=synthetic-00/model-00/native&depth=7", ["depth: 7"]),
        ("/standings?gigabytes=nan", ["finite"]),
        ("/standings?size=501&measure=R@7&boards=sample-v1,nope", ["less than or equal to 500", "no board 'nope'", "measure: sample-v1 has no R@7"]),
        ("/pairs?q=xx&page=0&boards=nope", ["greater than or equal to 1", "d: missing", "no board 'nope'", "no query language 'xx'"]),
        ("/compare?a=x/y/z&boards=nope&measure=foo", ["unknown measure", "b: missing", "no board 'nope'"]),
        ("/bias?depth=7&boards=nope", ["system: missing", "depth: 7, but profiles are of depth 1, 10, 100", "no board 'nope'"]),
        ("/standings?boards=sample-v1&measure=R@7", ["has no R@7"]),
    ],
)
def test_what_is_wrong_is_told_all_at_once(client: TestClient, address: str, told: list[str]) -> None:
    response = client.get(f"/api/v1{address}")
    assert response.status_code == 400
    errors = response.json()["errors"]
    assert len(errors) == len(told)
    for part, error in zip(told, errors, strict=True):
        assert part in error


@pytest.mark.parametrize("address", ["/nope", "/systems/a/b/c", "/files/secrets.parquet", "/files/%2e%2e/%2e%2e/current.json", "/bias?system=a/b/c", "/"])
def test_what_is_not_there_is_404_as_json(client: TestClient, address: str) -> None:
    response = client.get(f"/api/v1{address}")
    assert response.status_code == 404
    assert response.json()["errors"][0].startswith("there is no ")


def test_two_systems_that_are_not_there_are_both_named(client: TestClient) -> None:
    response = client.get("/api/v1/compare?a=a/b/c&b=d/e/f")
    assert (response.status_code, len(response.json()["errors"])) == (404, 2)
    assert "'d/e/f'" in response.json()["errors"][1]


def test_files_are_the_tables_of_the_index(client: TestClient, index: Index) -> None:
    for name in ("pairs", "bias", "systems", "timings"):
        response = client.get(f"/api/v1/files/{name}.parquet")
        assert response.content == (index.path / f"{name}.parquet").read_bytes()
        assert pq.read_table(io.BytesIO(response.content)).num_rows > 10
        assert "attachment" in response.headers["content-disposition"]


def test_an_answer_is_not_sent_twice_and_all_origins_may_read_it(client: TestClient, index: Index) -> None:
    first = client.get("/api/v1/boards")
    assert first.headers["etag"] == f'"{index.path.name}"'
    assert first.headers["access-control-allow-origin"] == "*"
    for tag in (first.headers["etag"], f'"other", W/{first.headers["etag"]}'):
        again = client.get("/api/v1/boards", headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
    assert client.get("/api/v1/boards", headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.head("/api/v1/boards").headers["etag"] == first.headers["etag"]
    asked = client.options("/api/v1/boards")
    assert (asked.status_code, asked.headers["access-control-allow-headers"]) == (204, "If-None-Match")
    assert client.post("/api/v1/boards").status_code == 405


def test_claims_are_as_printed(client: TestClient) -> None:
    stored = json.loads((ROOT / "claims" / "goworek-2025.json").read_text())
    found = _get(client, "/claims")["claims"]
    assert [publication["source"]["key"] for publication in found] == ["goworek-2025"]
    assert [cell["value"] for table in found[0]["tables"] for cell in table["cells"]] == [
        cell["value"] for table in stored["tables"] for cell in table["cells"]
    ]
