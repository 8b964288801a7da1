"""Whole files over HTTP: every fault a server or a disk shows is one clear message, and what has arrived is not fetched again."""

from __future__ import annotations

import gzip
import hashlib
import random
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from official import Fault, Site, serving

from clir_bench.errors import DownloadError
from clir_bench.sources import download
from clir_bench.sources.download import Downloads, hash_file
from clir_bench.task_records import Download

CONTENT = random.Random(1).randbytes(5_000_000)
PATH = "/data/file.bin"
HUB = "/datasets/org/name/resolve/" + "a" * 40 + "/file.bin"


pytestmark = pytest.mark.usefixtures("quick_network")


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site({PATH: CONTENT, HUB: CONTENT})) as served:
        yield served


def wanted(site: Site, path: str = PATH, **facts: object) -> Download:
    known = {"bytes": len(CONTENT), "md5": hashlib.md5(CONTENT).hexdigest()} if path == PATH else {}
    return Download.model_validate({"name": "file", "url": site.url(path), **known, **facts})


def sent(site: Site) -> int:
    return sum(size for _, _, _, size in site.log)


def test_a_file_comes_whole_and_is_recorded(site: Site, tmp_path: Path) -> None:
    downloads = Downloads(tmp_path)
    path = downloads.get(wanted(site))
    assert path.read_bytes() == CONTENT
    assert downloads.records["file"].checksum == f"md5:{hashlib.md5(CONTENT).hexdigest()}"
    assert downloads.get(wanted(site)) == path
    assert sent(site) == len(CONTENT)  # the second time it lies there
    assert {p.name for p in tmp_path.iterdir()} == {"file", "file.checked"}
    downloads.drop(wanted(site))
    assert [p.name for p in tmp_path.iterdir()] == ["file.checked"]
    assert Downloads(tmp_path).records == downloads.records  # what was read is known to the next run, for its manifest


def test_a_broken_connection_is_gone_on_from_within_the_file(site: Site, tmp_path: Path) -> None:
    site.faults[PATH] = Fault(times=2, cut=1_966_080)
    assert Downloads(tmp_path).get(wanted(site)).read_bytes() == CONTENT
    assert [(status, size) for _, _, status, size in site.log] == [(200, 1_966_080), (206, 1_966_080), (206, 1_067_840)]


def test_a_truncated_file_is_kept_and_the_next_run_goes_on_from_there(site: Site, tmp_path: Path) -> None:
    site.faults[PATH] = Fault(times=download.TRIES + 1, cut=131_072)
    with pytest.raises(DownloadError, match=r"broke 6 times, at 786,432 of 5,000,000 bytes. They are kept; the same command goes on from there"):
        Downloads(tmp_path).get(wanted(site))
    site.faults.clear()
    site.log.clear()
    assert Downloads(tmp_path).get(wanted(site)).read_bytes() == CONTENT
    assert sent(site) == 5_000_000 - 786_432


def test_a_wrong_checksum_names_both_values_and_keeps_the_copy_aside(site: Site, tmp_path: Path) -> None:
    good = wanted(site)
    site.files[PATH] = b"x" + CONTENT[1:]
    with pytest.raises(DownloadError) as caught:
        Downloads(tmp_path).get(good)
    assert f"md5 is {hashlib.md5(site.files[PATH]).hexdigest()}, but should be {good.md5}" in str(caught.value)
    assert (tmp_path / "file.rejected").read_bytes() == site.files[PATH]
    assert str(tmp_path / "file.rejected") in str(caught.value)
    site.files[PATH] = CONTENT
    site.etags.clear()
    assert Downloads(tmp_path).get(good).read_bytes() == CONTENT


def test_another_size_at_the_server_is_told_before_anything_is_fetched(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"has 5,000,000 bytes at the server, but the task states 4,000,000 bytes. The file was replaced"):
        Downloads(tmp_path).get(wanted(site, bytes=4_000_000))
    assert not (tmp_path / "file.part").exists()


def test_a_file_that_changes_between_two_parts_is_begun_anew(site: Site, tmp_path: Path) -> None:
    site.faults[PATH] = Fault(cut=3_000_000)
    new = CONTENT[::-1]
    old_log = site.log

    class Swapping(list):  # type: ignore[type-arg]
        def append(self, row: object) -> None:
            super().append(row)
            site.files[PATH] = new
            site.etags.clear()

    site.log = Swapping(old_log)
    assert Downloads(tmp_path).get(wanted(site, md5=hashlib.md5(new).hexdigest())).read_bytes() == new
    assert [status for _, _, status, _ in site.log] == [200, 200]


def test_a_server_that_ignores_range_is_read_from_the_start(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:1_000_000])
    site.faults[PATH] = Fault(times=9, whole=True)
    assert Downloads(tmp_path).get(wanted(site)).read_bytes() == CONTENT


def test_a_kill_between_checking_and_naming_costs_no_second_download(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    whole = wanted(site)
    with monkeypatch.context() as patched:
        real = download.os.replace
        patched.setattr(download.os, "replace", lambda a, b: killed() if str(a).endswith("file.part") else real(a, b))
        with pytest.raises(KeyboardInterrupt):
            Downloads(tmp_path).get(whole)
    assert Downloads(tmp_path).get(whole).read_bytes() == CONTENT
    assert sent(site) == len(CONTENT)


def test_a_complete_part_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    assert Downloads(tmp_path).get(wanted(site)).read_bytes() == CONTENT
    assert sent(site) == 0


def test_retry_after_is_obeyed(site: Site, tmp_path: Path) -> None:
    site.faults[PATH] = Fault(status=429, retry_after="1")
    started = time.monotonic()
    assert Downloads(tmp_path).get(wanted(site)).read_bytes() == CONTENT
    assert time.monotonic() - started >= 1.0


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_passing_refusal_is_repeated_and_a_lasting_one_is_told(site: Site, tmp_path: Path, status: int) -> None:
    site.faults[PATH] = Fault(times=3, status=status)
    assert Downloads(tmp_path).get(wanted(site)).read_bytes() == CONTENT
    site.faults[PATH] = Fault(times=99, status=status)
    with pytest.raises(DownloadError, match=rf"the server answers {status} .* after 6 tries. Try again later, or give the file by --source-dir"):
        Downloads(tmp_path / "again").get(wanted(site))


def test_a_missing_file_is_not_asked_for_again(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"the server answers 404 Not Found. Try"):
        Downloads(tmp_path).get(wanted(site, url=site.url("/nothing")))
    assert len(site.log) == 1


def test_a_server_that_hangs_is_told_with_the_time(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TRIES", 1)
    site.faults[PATH] = Fault(times=9, hang=True)
    with pytest.raises(DownloadError, match=r"no answer within 0.5 s. Try again later"):
        Downloads(tmp_path).get(wanted(site))


def test_no_server_is_told(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"the server cannot be reached"):
        Downloads(tmp_path).get(Download(name="file", url="http://127.0.0.1:9/x", md5="0" * 32))


def test_a_full_disk_keeps_what_has_come(site: Site, tmp_path: Path) -> None:
    script = f"""
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
    from pathlib import Path
    from clir_bench.errors import DownloadError
    from clir_bench.sources.download import Downloads
    from clir_bench.task_records import Download
    try:
        Downloads(Path({str(tmp_path)!r})).get(Download.model_validate({wanted(site).model_dump()!r}))
    except DownloadError as error:
        print(error)
    """
    found = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60, check=True)
    assert "no space left, at 2,000,000 of 5,000,000 bytes. They are kept: free some space and run the same command again." in found.stdout
    site.log.clear()
    assert Downloads(tmp_path).get(wanted(site)).read_bytes() == CONTENT
    assert sent(site) == 3_000_000


def test_a_disk_that_is_too_small_is_told_before_the_download(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"GB are free, but up to 1000000.0 GB are needed at a time. Free some, or choose another --cache-dir"):
        download.announce_space(tmp_path, 10**15)


def test_a_file_of_the_hub_is_checked_by_the_hash_the_hub_states(site: Site, tmp_path: Path) -> None:
    downloads = Downloads(tmp_path)
    assert downloads.get(wanted(site, HUB)).read_bytes() == CONTENT
    assert downloads.records["file"].checksum == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    site.etags[HUB] = "0" * 64
    with pytest.raises(DownloadError, match=r"sha256 is .* but should be 0000"):
        Downloads(tmp_path / "b").get(wanted(site, HUB))
    site.etags[HUB] = hashlib.sha1(f"blob {len(CONTENT)}\0".encode() + CONTENT).hexdigest()
    other = Downloads(tmp_path / "c")
    other.get(wanted(site, HUB))
    assert other.records["file"].checksum == f"git:{site.etags[HUB]}"


def test_a_download_from_the_hub_is_gone_on_from_although_its_store_has_other_etags(site: Site, tmp_path: Path) -> None:
    site.faults[HUB] = Fault(times=3, cut=1_310_720)
    assert Downloads(tmp_path).get(wanted(site, HUB)).read_bytes() == CONTENT
    assert sent(site) == len(CONTENT)
    assert [status for _, _, status, size in site.log if size] == [200, 206, 206, 206]


def test_a_file_of_the_hub_that_changes_between_two_parts_is_begun_anew(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TRIES", 1)
    site.faults[HUB] = Fault(cut=131_072)
    with pytest.raises(DownloadError):
        Downloads(tmp_path).get(wanted(site, HUB))
    site.files[HUB], new = CONTENT[::-1], CONTENT[::-1]
    site.etags.clear()
    assert Downloads(tmp_path).get(wanted(site, HUB)).read_bytes() == new


def test_a_body_of_unknown_length_that_breaks_is_not_taken_for_whole(tmp_path: Path) -> None:
    """A proxy that sends chunks without a length, and breaks off in the middle."""
    import socket
    import threading

    listener = socket.create_server(("127.0.0.1", 0))
    answers = [b"5\r\nhello\r\n", b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"]

    def serve() -> None:
        for body in answers:
            connection, _ = listener.accept()
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/raw/{'d' * 40}/x"
    assert Downloads(tmp_path).get(Download(name="file", url=url)).read_bytes() == b"hello world"
    listener.close()


def test_a_file_without_size_and_checksum_needs_its_folder_in_the_source_dir(tmp_path: Path) -> None:
    """Fifteen languages have a corpus.jsonl: one base name must not serve them all."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "corpus.jsonl").write_text("x")
    file = Download(name="corpus/yo", url=f"http://127.0.0.1:9/{'e' * 40}/africlirmatrix-v1.0-yoruba/corpus.jsonl")
    assert Downloads(tmp_path, tmp_path / "mine").local(file) is None
    place = tmp_path / "mine" / "africlirmatrix-v1.0-yoruba"
    place.mkdir()
    (place / "corpus.jsonl").write_text("x")
    assert Downloads(tmp_path, tmp_path / "mine").local(file) == place / "corpus.jsonl"


def test_lines_end_at_a_line_feed_and_nowhere_else(tmp_path: Path) -> None:
    from clir_bench.sources.workshop import lines_of

    (tmp_path / "f").write_bytes("\ufeffa\u2028b\tc\x85d\r\n\n  \nlast\x0bline".encode())
    assert list(lines_of(tmp_path / "f")) == [(1, "a\u2028b\tc\x85d"), (4, "last\x0bline")]


def test_an_etag_of_another_server_is_no_hash(site: Site, tmp_path: Path) -> None:
    path = "/raw/" + "d" * 40 + "/file.bin"
    site.files[path], site.etags[path] = CONTENT, "0" * 64
    downloads = Downloads(tmp_path)
    downloads.get(wanted(site, path))
    assert downloads.records["file"].checksum == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


def test_git_hashes_are_gits(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hello\n")
    assert hash_file(tmp_path / "f", "git") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_the_hubs_mirror_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    assert download.at_hub("https://huggingface.co/datasets/a") == "https://mirror.example/datasets/a"
    assert download.at_hub("https://elsewhere.org/a") == "https://elsewhere.org/a"


@pytest.mark.parametrize("place", ["file.bin", "data/file.bin"])
def test_a_file_at_hand_is_taken_checked_and_left(tmp_path: Path, place: str) -> None:
    file = Download(name="file", url="http://127.0.0.1:9/data/file.bin", bytes=len(CONTENT), md5=hashlib.md5(CONTENT).hexdigest())
    mine = tmp_path / "mine" / place
    mine.parent.mkdir(parents=True)
    mine.write_bytes(CONTENT)
    downloads = Downloads(tmp_path / "work", tmp_path / "mine")
    assert downloads.get(file) == mine
    assert downloads.records["file"].via == "source-dir"
    downloads.drop(file)
    assert mine.is_file()
    mine.write_bytes(CONTENT[:-1])
    with pytest.raises(DownloadError, match=r"4,999,999 bytes, but file has 5,000,000. It is not complete, or another file"):
        downloads.get(file)
    mine.write_bytes(b"x" + CONTENT[1:])
    with pytest.raises(DownloadError, match=r"should be .* Remove it from --source-dir, or put the right file there"):
        downloads.get(file)
    assert mine.is_file()


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    from clir_bench.sources.workshop import members, reading_gzip

    for name, raw in (("cut.gz", gzip.compress(b"line\n" * 100_000)[:-20]), ("none.gz", b"not gzip at all")):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(DownloadError, match=r"damaged or cut off"), reading_gzip(tmp_path / name, "x", False) as stream:
            stream.read()
    import io
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        entry = tarfile.TarInfo("a/b.documents")
        entry.size = 5_000_000
        archive.addfile(entry, io.BytesIO(random.Random(1).randbytes(5_000_000)))
    (tmp_path / "cut.tar.gz").write_bytes(out.getvalue()[:3_000_000])
    with pytest.raises(DownloadError, match=r"damaged or cut off"):
        for _, content in members(tmp_path / "cut.tar.gz", "x", False):
            for _ in content:
                pass
    (tmp_path / "no.tar.gz").write_bytes(gzip.compress(b"no tar" * 1000))
    with pytest.raises(DownloadError, match=r"damaged or cut off"):
        list(members(tmp_path / "no.tar.gz", "x", False))
