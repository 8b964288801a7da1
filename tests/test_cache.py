"""The embedding cache: it never lies, survives kills, full disks and damage, and can be shared."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import HashingEncoder

from clir_bench.errors import CacheError, ModelError
from clir_bench.parts.cache import Cached
from clir_bench.vectors import Batch

TEXTS = [f"text number {i} {'long ' * (i % 9)}" for i in range(60)]


def test_hits_and_misses_give_the_same_bytes(tmp_path: Path) -> None:
    plain = HashingEncoder().encode(TEXTS, "query")
    first, second = Cached(HashingEncoder(), tmp_path), Cached(HashingEncoder(), tmp_path)
    assert first.encode(TEXTS, "query").tobytes() == plain.tobytes()
    assert second.encode(TEXTS[::-1], "query")[::-1].tobytes() == plain.tobytes()
    assert (first.encoded, second.encoded, second.hits) == (60, 0, 60)


def test_only_what_is_missing_is_encoded(tmp_path: Path) -> None:
    Cached(HashingEncoder(), tmp_path).encode(TEXTS[:20], "query")
    encoder = HashingEncoder(batch=1)
    Cached(encoder, tmp_path).encode(TEXTS, "query")
    assert len(encoder.encoded) == 40


def test_models_roles_and_dimensions_never_mix(tmp_path: Path) -> None:
    for encoder in (HashingEncoder(), HashingEncoder(name="other"), HashingEncoder(dim=32)):
        for role in ("query", "document"):
            cached = Cached(encoder, tmp_path)
            assert cached.encode(TEXTS, role).tobytes() == encoder.encode(TEXTS, role).tobytes()  # type: ignore[arg-type]
            assert cached.encoded == 60


def test_damaged_shards_are_encoded_again(tmp_path: Path) -> None:
    plain = Cached(HashingEncoder(), tmp_path).encode(TEXTS, "query")
    shard = next(tmp_path.rglob("*.safetensors"))
    good = shard.read_bytes()
    for at in (3, len(good) // 2, len(good) - 5):
        shard.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.warns(RuntimeWarning, match="encoded again"):
            again = Cached(HashingEncoder(), tmp_path)
            assert again.encode(TEXTS, "query").tobytes() == plain.tobytes()
        assert again.encoded == 60
    shard.write_bytes(good[: len(good) // 3])
    with pytest.warns(RuntimeWarning, match="encoded again"):
        assert Cached(HashingEncoder(), tmp_path).encode(TEXTS, "query").tobytes() == plain.tobytes()


def test_a_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cached = Cached(HashingEncoder(), tmp_path)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(CacheError, match=r"cannot be written \(No space left on device\). Choose another with --cache-dir, or go without: --no-cache"):
        cached.encode(TEXTS, "query")
    assert list(tmp_path.rglob(".part-*")) == []


def test_a_full_disk_for_real(tmp_path: Path) -> None:
    """A file-size limit of the operating system stands in for the disk: the write itself fails."""
    script = f"""
    import resource, signal, sys
    sys.path.insert(0, {str(Path(__file__).parent)!r})
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    from pathlib import Path
    from conftest import HashingEncoder
    from clir_bench.errors import CacheError
    from clir_bench.parts.cache import Cached
    try:
        Cached(HashingEncoder(), Path({str(tmp_path)!r})).encode([str(i) for i in range(500)], "query")
    except CacheError as error:
        print(error)
    """
    found = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120, check=True)
    assert "cannot be written (File too large)" in found.stdout
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not list(tmp_path.rglob(".part-*"))


def test_a_cache_path_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    with pytest.raises(CacheError, match="cannot be written"):
        Cached(HashingEncoder(), tmp_path / "f").encode(["a"], "query")


class FailsAfter(HashingEncoder):
    def batches(self, texts, role):  # type: ignore[no-untyped-def]
        for i, batch in enumerate(super().batches(texts, role)):
            if i == 4:
                yield Batch(batch.rows, lambda rows=batch.rows: np.full((len(rows), self.dim), np.nan, np.float32))
            else:
                yield batch


def test_what_was_encoded_before_a_failure_is_kept(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="NaN"):
        Cached(FailsAfter(), tmp_path).encode(TEXTS, "query")
    encoder = HashingEncoder()
    Cached(encoder, tmp_path).encode(TEXTS, "query")
    assert len(encoder.encoded) == 60 - 4 * 7


def test_leftovers_of_killed_runs_go(tmp_path: Path) -> None:
    Cached(HashingEncoder(), tmp_path).encode(TEXTS, "query")
    folder = next(p for p in tmp_path.iterdir())
    old, young = folder / ".part-old", folder / ".part-young"
    old.write_text("x")
    young.write_text("x")
    os.utime(old, (time.time() - 3600,) * 2)
    Cached(HashingEncoder(), tmp_path).encode(TEXTS, "query")
    assert not old.exists()
    assert young.exists()


DRIVER = """
import json, os, random, shutil, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import HashingEncoder, assembled
from clir_bench.evaluate import evaluate
from clir_bench.parts import cache, exact  # exact brings torch, which each child would load for seconds
from clir_bench.sources import open_task
from clir_bench.submission import path_of, write_submission

cache._SHARD_SECONDS = 0.0
folder, root, wanted = sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])

class Slow(HashingEncoder):
    def _vectors(self, texts, role):
        time.sleep(0.01)
        return super()._vectors(texts, role)

def child(out, store):
    pid = os.fork()
    if pid:
        return pid
    system = assembled(HashingEncoder())
    system.retriever.encoder = cache.Cached(Slow(), root / store)
    submission = evaluate(*open_task(folder), system).submission
    for _ in range(1 if out == "calm" else 30):  # writing takes its share of the time, so that kills hit it too
        write_submission(submission, root / out / path_of(submission), overwrite=True)
    os._exit(0)

started = time.monotonic()
assert os.waitpid(child("calm", "calm-cache"), 0)[1] == 0
latest, kills, shards, halves, rng = time.monotonic() - started, 0, 0, 0, random.Random(0)
while kills < wanted:
    pid = child("out", "cache")
    time.sleep(rng.uniform(0.0, latest))
    os.kill(pid, signal.SIGKILL)
    killed = os.waitpid(pid, 0)[1] == signal.SIGKILL
    kills += killed
    for path in (root / "out").rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))  # whole, if it is there at all
    found = len(list((root / "cache").rglob("*.safetensors")))
    shards, halves = max(shards, found), halves + len(list((root / "cache").rglob(".part-*")))
    if not killed or found > 12:  # nearly done: begin again
        shutil.rmtree(root / "cache", ignore_errors=True)
        latest *= 1.0 if killed else 0.9
assert os.waitpid(child("out", "cache"), 0)[1] == 0
print(json.dumps({"kills": kills, "shards": shards, "halves": halves}))
"""


def test_a_part_file_that_another_run_has_just_renamed_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Cached(HashingEncoder(), tmp_path).encode(TEXTS, "query")
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [self / ".part-gone"] if pattern == ".part-*" else glob(self, pattern))
    assert Cached(HashingEncoder(), tmp_path).encode(TEXTS, "query").tobytes() == HashingEncoder().encode(TEXTS, "query").tobytes()


def drive(folder: Path, root: Path, kills: int) -> dict[str, int]:
    command = [sys.executable, "-c", DRIVER, str(Path(__file__).parent), str(folder), str(root), str(kills)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert found.returncode == 0, found.stderr
    return dict(json.loads(found.stdout))


def numbers(out: Path) -> str:
    content = json.loads(next(out.rglob("*.json")).read_text(encoding="utf-8"))
    return json.dumps({key: value for key, value in content.items() if key not in ("timings", "provenance")})


def test_kills_at_random_moments_lose_nothing_and_change_nothing(tiny: Path, tmp_path: Path) -> None:
    """kill -9, 15 times, while encoding and while writing; an undisturbed run after them gives the numbers of one that never was."""
    found = drive(tiny, tmp_path, 15)
    assert found["kills"] == 15
    assert found["shards"] > 2
    assert numbers(tmp_path / "out") == numbers(tmp_path / "calm")


def test_two_runs_share_one_cache(tiny: Path, tmp_path: Path) -> None:
    """Two processes, one store, at once."""
    script = (
        DRIVER.split("started = ", maxsplit=1)[0]
        + """
pids = [child(f"out{i}", "cache") for i in range(2)]
assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]
"""
    )
    subprocess.run([sys.executable, "-c", script, str(Path(__file__).parent), str(tiny), str(tmp_path), "0"], check=True, timeout=120)
    assert numbers(tmp_path / "out0") == numbers(tmp_path / "out1")
    assert not list((tmp_path / "cache").rglob(".part-*"))
