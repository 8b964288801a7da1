"""A wheel carries tasks/, leaderboard/ and submissions/, and works outside the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, timeout=120)
    return next(folder.glob("*.whl"))


def test_an_installed_wheel_finds_tasks_leaderboard_and_claims(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = """
import sys; sys.path.insert(0, sys.argv[1])
import clir_bench
assert clir_bench.__file__.startswith(sys.argv[1]), clir_bench.__file__
from clir_bench import resources
from clir_bench.sources import open_task
from clir_bench.claims import load_claims
print(resources.folder('tasks'), (resources.folder('leaderboard') / 'app.py').is_file(), len(open_task('sample')[1].pool), len(load_claims()))
"""
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path / "site")], capture_output=True, text=True, cwd=tmp_path, check=True, timeout=60)
    assert found.stdout.split() == [str(tmp_path / "site" / "clir_bench" / "_tasks"), "True", "384", "1"]


def test_the_wheel_holds_the_types_marker_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "clir_bench/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]
