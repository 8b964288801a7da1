"""The leaderboard page and its frames."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from clir_bench import resources
from clir_bench.cli import main
from clir_bench.standings import matrix_frame, overview_frame, pair_frame, read_all


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("submissions")
    assert main(["evaluate", "-q", "--model", "bm25", "--task", "sample", "--output", str(folder)]) == 0
    assert main(["evaluate", "-q", "--model", "bm25", "--task", "sample", "--tokenizer", "whitespace", "--pairs", "en-de", "--output", str(folder)]) == 0
    (folder / "broken.json").write_text("{}")
    return folder


def test_frames_equal_the_submissions(folder: Path) -> None:
    submissions, problems = read_all(folder)
    assert len(problems) == 1
    frame = pair_frame(submissions)
    assert len(frame) == (64 + 1) * 6
    overview = overview_frame(submissions)
    assert overview["pairs"].tolist() == ["64", "1 of 64"]  # the incomplete set comes last, whatever it scores
    complete = frame[(frame.variant == "multilingual") & (frame.measure == "R@10")]
    assert overview["R@10"].iloc[0] == pytest.approx(round(100 * complete["mean"].mean(), 1))
    assert matrix_frame(next(s for s in submissions if s.complete), "R@10").shape == (8, 8)


def test_the_page_draws(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    app = str(resources.folder("leaderboard") / "app.py")
    monkeypatch.setattr(sys, "argv", ["app.py", str(folder)])
    page = AppTest.from_file(app, default_timeout=60).run()
    assert not page.exception
    assert len(page.dataframe) == 2
    assert len(page.error) == 1
    page.selectbox[1].select_index(1).run()
    assert not page.exception
    monkeypatch.setattr(sys, "argv", ["app.py", str(tmp_path / "none")])
    assert "No submissions" in AppTest.from_file(app, default_timeout=60).run().info[0].value
