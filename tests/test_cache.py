"""The embedding cache: it never lies, survives kills, full disks and damage, and can be shared."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import HashingEncoder

from clir_bench.errors import CacheError, ModelError
from clir_bench.parts import cache
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
    monkeypatch.setattr(cache.os, "replace", full)
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


def evaluation_command(folder: Path, out: Path, store: Path) -> list[str]:
    script = f"""
    import sys
    sys.path.insert(0, {str(Path(__file__).parent)!r})
    import time
    from pathlib import Path
    from conftest import HashingEncoder, assembled
    from clir_bench.evaluate import evaluate
    from clir_bench.parts import cache
    from clir_bench.sources import open_task
    from clir_bench.submission import path_of, write_submission

    cache._SHARD_SECONDS = 0.02
    class Slow(HashingEncoder):
        def _vectors(self, texts, role):
            time.sleep(0.004)
            return super()._vectors(texts, role)

    system = assembled(HashingEncoder())
    system.retriever.encoder = cache.Cached(Slow(), Path({str(store)!r}))
    result = evaluate(*open_task({str(folder)!r}), system)
    write_submission(result.submission, Path({str(out)!r}) / path_of(result.submission), overwrite=True)
    """
    return [sys.executable, "-c", textwrap.dedent(script)]


def numbers(out: Path) -> str:
    content = json.loads(next(out.rglob("*.json")).read_text(encoding="utf-8"))
    return json.dumps({key: value for key, value in content.items() if key not in ("timings", "provenance")})


def test_kills_at_random_moments_lose_nothing_and_change_nothing(tiny: Path, tmp_path: Path) -> None:
    """kill -9 at least 20 times, while encoding and while writing; the last, undisturbed run gives the numbers of one never disturbed."""
    started = time.monotonic()
    subprocess.run(evaluation_command(tiny, tmp_path / "calm", tmp_path / "calm-cache"), check=True, timeout=120)
    took = time.monotonic() - started
    rng, kills, grown = random.Random(0), 0, []
    for _ in range(40):
        process = subprocess.Popen(evaluation_command(tiny, tmp_path / "out", tmp_path / "cache"), stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.5 * took, took))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        for path in (tmp_path / "out").rglob("*.json"):
            json.loads(path.read_text(encoding="utf-8"))  # whole, if there at all
        grown.append(sum(1 for _ in (tmp_path / "cache").rglob("*.safetensors")))
        if kills >= 20:
            break
        if (tmp_path / "out").exists():  # it got through: begin again with an empty cache
            subprocess.run(["rm", "-rf", str(tmp_path / "cache"), str(tmp_path / "out")], check=True)
    assert kills >= 20
    assert max(grown) > 0
    subprocess.run(evaluation_command(tiny, tmp_path / "out", tmp_path / "cache"), check=True, timeout=120)
    assert numbers(tmp_path / "out") == numbers(tmp_path / "calm")


def test_two_runs_share_one_cache(tiny: Path, tmp_path: Path) -> None:
    runs = [subprocess.Popen(evaluation_command(tiny, tmp_path / f"out{i}", tmp_path / "cache")) for i in range(2)]
    assert [run.wait(timeout=120) for run in runs] == [0, 0]
    assert numbers(tmp_path / "out0") == numbers(tmp_path / "out1")
    assert not list((tmp_path / "cache").rglob(".part-*"))
