"""Some lines of a huge sorted file by HTTP Range: right, cheap, resumable, and suspicious of every answer."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from official import Fault, Site, serving

from clir_bench.errors import DownloadError
from clir_bench.sources.ranges import LocalRanges, RemoteRanges, fetch_lines
from clir_bench.task_records import Download

HUB = "/datasets/org/name/resolve/" + "b" * 40 + "/collection.tsv"
LINES = 20_000


def sorted_file(lines: int, seed: int, longest: int = 400) -> bytes:
    rng = random.Random(seed)
    return b"".join(b"%d\t%s\n" % (i, b"t" * rng.choice([0, 1, 20, rng.randint(1, longest)]) + b"<%d>" % (i * 3)) for i in range(lines))


CONTENT = sorted_file(LINES, 1)


pytestmark = pytest.mark.usefixtures("quick_network")


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site({HUB: CONTENT})) as served:
        yield served


def remote(site: Site, **facts: object) -> RemoteRanges:
    etag = facts.pop("etag", None)
    return RemoteRanges(Download.model_validate({"name": "collection", "url": site.url(HUB), "bytes": len(CONTENT), **facts}), etag)  # type: ignore[arg-type]


def fetched(file: object, wanted: list[int], lines: int, **how: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    fetch_lines(file, wanted, lines, found.__setitem__, **how)  # type: ignore[arg-type]
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(0, 10**6), st.integers(8, 4000), st.data())
def test_any_lines_of_any_file_by_any_window(tmp_path_factory: pytest.TempPathFactory, lines: int, seed: int, window: int, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("r") / "f"
    raw = sorted_file(lines, seed)
    path.write_bytes(raw if seed % 2 else raw.rstrip(b"\n"))
    wanted = data.draw(st.lists(st.integers(0, lines - 1), max_size=30))
    assert fetched(LocalRanges(path), wanted, lines, window=window, workers=2) == {i: raw.split(b"\n")[i].partition(b"\t")[2] for i in wanted}


def test_lines_come_from_a_small_part_of_the_file(site: Site) -> None:
    wanted = random.Random(2).sample(range(LINES), 20)
    found: dict[int, bytes] = {}
    traffic = fetch_lines(remote(site), wanted, LINES, found.__setitem__, window=4096)
    assert found == {i: CONTENT.split(b"\n")[i].partition(b"\t")[2] for i in wanted}
    assert traffic.bytes < len(CONTENT) / 8
    assert sum(size for *_, size in site.log) == traffic.bytes + 1  # the first request asks for one byte


def test_the_signed_address_is_reused_and_renewed_when_it_expires(site: Site) -> None:
    wanted = list(range(0, LINES, 500))
    file = remote(site)
    fetched(file, wanted, LINES, window=2048)
    assert file.resolved == 1
    site.signed_uses = 15
    again = remote(site)
    assert len(fetched(again, wanted, LINES, window=2048)) == len(wanted)
    assert 2 <= again.resolved <= 20


def test_short_answers_refusals_and_pauses_are_overcome(site: Site) -> None:
    for fault in (Fault(times=5, cut=100), Fault(times=5, status=503), Fault(times=2, status=429, retry_after="0"), Fault(times=1, hang=True)):
        site.faults[HUB] = fault
        assert len(fetched(remote(site), [5, 700, 19_999], LINES, window=2048)) == 3


def test_the_whole_file_in_answer_to_a_range_is_refused(site: Site) -> None:
    site.faults[HUB] = Fault(times=99, whole=True)
    with pytest.raises(DownloadError, match=r"the server ignores Range and would send the whole file. Give the file by --source-dir"):
        remote(site)
    site.faults.clear()
    file = remote(site)
    site.faults[HUB] = Fault(times=99, whole=True)
    with pytest.raises(DownloadError, match=r"ignores Range"):
        fetched(file, [7], LINES)


def test_another_size_or_hash_is_refused(site: Site) -> None:
    with pytest.raises(DownloadError, match=r"bytes, but the task states 17. The file was replaced: nothing was taken from it"):
        remote(site, bytes=17)
    with pytest.raises(DownloadError, match=rf"is now {site.etag(HUB)}, but was {'f' * 64}. The file was replaced"):
        remote(site, etag="f" * 64)
    file = remote(site)
    site.etags[HUB] = "e" * 64
    site.signed_uses = 0
    with pytest.raises(DownloadError, match=rf"is now {'e' * 64}, but was"):
        fetched(file, [7], LINES)


def test_a_file_that_became_shorter_is_told(site: Site) -> None:
    file = remote(site)
    site.files[HUB] = CONTENT[:1000]
    with pytest.raises(DownloadError, match=r"the file is shorter than"):
        fetched(file, [19_000], LINES)


@pytest.mark.parametrize(
    ("raw", "lines", "message"),
    [
        (b"".join(b"%d\tx\n" % i for i in range(50) if i != 30), 50, "line 30 is missing between"),
        (b"".join(b"%d\tx\n" % (i if i < 20 else i + 7) for i in range(50)), 50, "out of order|is missing|were not found"),
        (b"a\tb\n" * 30, 30, "a line begins with b'a', not with a number"),
    ],
)
def test_a_file_that_is_not_sorted_lines_is_told(tmp_path: Path, raw: bytes, lines: int, message: str) -> None:
    (tmp_path / "f").write_bytes(raw)
    with pytest.raises(DownloadError, match=message):
        fetched(LocalRanges(tmp_path / "f"), [30 if lines == 50 else 3, 25], lines, window=40)


def test_lasting_short_answers_are_told_with_what_came(site: Site) -> None:
    file = remote(site)
    site.faults[HUB] = Fault(times=99, cut=10)
    with pytest.raises(DownloadError, match=r"6 times. The lines found are kept; the same command goes on from there"):
        fetched(file, [7], LINES)
