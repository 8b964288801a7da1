"""``clir-bench leaderboard``: build and serve as processes; what the server sends beside the pages."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

import numpy as np
import pytest
from _submissions import generate

from clir_bench.cli import main
from clir_bench.standings import Selection, open_index, standing
from clir_bench.standings.build import _POOL, build_index

ROOT = Path(__file__).parent.parent / "submissions"
COUNT = len(list(ROOT.glob("*/*/*.json")))
PROGRAM = str(Path(sys.executable).with_name("clir-bench"))


class Served(NamedTuple):
    address: str
    folder: Path
    process: subprocess.Popen[str]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served") / "submissions"
    shutil.copytree(ROOT, folder)
    (folder / "broken.json").write_text("{}")
    elsewhere = tmp_path_factory.mktemp("elsewhere")  # it must not matter where the command runs
    command = [PROGRAM, "leaderboard", "serve", "-q", "--json", "--submissions", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=elsewhere) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        yield Served(json.loads(told)["address"], folder, process)
        process.kill()


def _headers(address: str, **headers: str) -> tuple[dict[str, str], bytes]:
    with urlopen(Request(address, headers=headers), timeout=60) as response:
        return {name.lower(): value for name, value in response.headers.items()}, response.read()


def test_build_says_what_it_read_and_what_is_wrong(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(ROOT, tmp_path / "s")
    (tmp_path / "s" / "broken.json").write_text("{}")
    command = ["leaderboard", "build", "-q", "--submissions", str(tmp_path / "s")]
    assert main([*command, "--json"]) == 0
    out, err = capfd.readouterr()
    first = json.loads(out)
    assert (first["submissions"], first["read"], len(first["problems"])) == (COUNT, COUNT + 1, 1)
    assert Path(first["path"]).is_dir()
    assert "broken.json" in err
    assert main([*command, "--strict"]) == 2
    out, err = capfd.readouterr()
    assert out.startswith(f"{COUNT} submissions in the index, 0 of them read now, 1 problems;")
    assert "broken.json" in err
    (tmp_path / "s" / "broken.json").unlink()
    assert main([*command, "--strict"]) == 0


def test_a_script_that_is_run_again_in_the_processes_it_spawns_does_not_wait_for_itself(tmp_path: Path) -> None:
    one = next(ROOT.glob("*bm25/*/*.json")).read_text()
    for i in range(_POOL):
        (tmp_path / "s" / f"{i}").mkdir(parents=True)
        (tmp_path / "s" / f"{i}" / "sample-v1.json").write_text(one)
    script = tmp_path / "unguarded.py"
    script.write_text("from pathlib import Path\nfrom clir_bench.standings import build_index\nprint(build_index(Path('s'), Path('i')).submissions)\n")
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{_POOL}\n"
    assert '__name__ == "__main__"' in done.stderr


def test_what_cannot_be_served_is_one_error_without_a_traceback(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["leaderboard", "serve", "--submissions", str(ROOT), "--port", str(port)]) == 2
        assert f"127.0.0.1:{port} cannot be listened on: Address already in use" in capfd.readouterr().err
    assert main(["leaderboard", "serve", "--submissions", str(ROOT), "--port", "99999"]) == 2
    assert "99999" in capfd.readouterr().err
    assert main(["leaderboard", "serve", "--submissions", str(tmp_path / "none"), "--port", "0"]) == 2
    assert "no such folder of submissions" in capfd.readouterr().err


def test_a_page_starts_from_our_document(served: Served) -> None:
    for page in ("/", "/leaderboard", "/pairs?measure=nDCG%4010"):
        headers, body = _headers(f"{served.address}{page}")
        html = body.decode()
        assert "<title>clir-bench</title>" in html
        assert "BACKEND_BASE_URL" in html
        assert "Streamlit</title>" not in html
        assert "./api/v1" in html.partition("<noscript>")[2].partition("</noscript>")[0]
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe-eval" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_scripts_are_sent_compressed_and_for_good(served: Served) -> None:
    _, html = _headers(served.address)
    script = html.decode().partition('crossorigin src="./')[2].partition('"')[0]
    assert script.startswith("static/js/")
    headers, packed = _headers(f"{served.address}/{script}", **{"Accept-Encoding": "gzip"})
    assert headers["content-encoding"] == "gzip"
    assert "immutable" in headers["cache-control"]
    assert headers["content-type"].startswith("text/javascript")
    plain, whole = _headers(f"{served.address}/{script}", **{"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain
    assert gzip.decompress(packed) == whole
    assert len(packed) < 0.5 * len(whole)


def test_the_api_stands_beside_the_pages(served: Served) -> None:
    headers, body = _headers(f"{served.address}/api/v1")
    assert json.loads(body)["submissions"] == COUNT
    assert "broken.json" in json.loads(body)["problems"][0]
    assert headers["access-control-allow-origin"] == "*"


def test_a_newer_index_is_taken_up_while_serving(served: Served) -> None:
    broken = served.folder / "broken.json"
    broken.unlink()
    build_index(served.folder)
    assert json.loads(_headers(f"{served.address}/api/v1")[1])["problems"] == []


def test_ctrl_c_ends_the_server_quietly(served: Served) -> None:
    served.process.send_signal(signal.SIGINT)
    _, err = served.process.communicate(timeout=30)
    assert served.process.returncode == 0
    assert "Traceback" not in err


def test_the_evidence_that_a_build_prepares_is_what_would_be_computed(tmp_path: Path) -> None:
    generate(tmp_path / "s", 8, ("sample", "large_scale"))
    index = open_index(tmp_path / "s", tmp_path / "home", build=True)
    prepared = sorted(index.path.glob("evidence-*.npz"))
    assert len(prepared) == 4  # two data sets and their oracle tracks; the usual selection is one of them
    asked = (Selection(), Selection(boards=("sample-v1",)), Selection(track="oracle"))
    found = [standing(index, selection) for selection in asked]
    for path in prepared:
        with np.load(path) as stored:
            np.savez(path, **{**stored, "p": np.ones_like(stored["p"])})
    index.cache.clear()
    assert [set(standing(index, selection).tier) - {0} for selection in asked] == [{1}] * 3  # it is read: nothing can be told apart in these
    for path in prepared:
        path.unlink()
    index.cache.clear()
    for before, selection in zip(found, asked, strict=True):
        after = standing(index, selection)
        assert after.ranked == before.ranked > 0
        for name in ("lines", "score", "low", "high", "tier", "rank_low", "rank_high"):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_two_builds_at_once_leave_one_whole_index(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "s")
    command = [PROGRAM, "leaderboard", "build", "-q", "--json", "--submissions", str(tmp_path / "s")]
    environment = {**os.environ, "CLIR_BENCH_CACHE": str(tmp_path / "cache")}
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    told = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert told[0]["path"] == told[1]["path"]
    assert sorted(each["read"] for each in told) == [0, COUNT]
    assert len(open_index(tmp_path / "s", Path(told[0]["path"]).parent).entries) == COUNT
