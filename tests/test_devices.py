"""Several devices: the vectors of one process, no worker's end unnoticed; memory that runs out; dtype by hardware."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import xlmr_encoder
from light_encoder import LightEncoder

from clir_bench.errors import ModelError
from clir_bench.parts.cache import Cached
from clir_bench.parts.devices import PooledEncoder, parse_devices
from clir_bench.parts.encoder import SentenceEncoder, best_dtype

TEXTS = [f"the river nile {i} " + "flows into the sea " * (i % 11) for i in range(60)] + ["", "река течёт", "川は海に流れる"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(xlmr_encoder(tmp_path_factory.mktemp("m") / "tiny"))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """With the same number of threads here and in a worker, sums are the same to the bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_another_process_gives_the_vectors_of_this_one(checkpoint: str, tmp_path: Path) -> None:
    alone = SentenceEncoder(checkpoint, device="cpu", batch_tokens=256)
    expected = alone.encode(TEXTS, "document")
    with PooledEncoder(partial(SentenceEncoder, checkpoint, batch_tokens=256), ["cpu"]) as pooled:
        np.testing.assert_array_equal(pooled.encode(TEXTS, "document"), expected)
        np.testing.assert_array_equal(Cached(pooled, tmp_path).encode(TEXTS, "document"), expected)
        assert [b.rows for b in pooled.batches(TEXTS, "query")] == [b.rows for b in alone.batches(TEXTS, "query")]
        assert (pooled.identity("query"), pooled.facts(), pooled.dim) == (alone.identity("query"), alone.facts(), alone.dim)


def test_two_processes_share_the_work_and_one_that_fails_or_dies_is_named() -> None:
    texts = [f"text {i}" for i in range(300)]
    with PooledEncoder(LightEncoder, parse_devices("cpu:2")) as pooled:
        expected = [LightEncoder.forward(pooled._planner, {"text": text}, "query")[0] for text in texts]  # type: ignore[arg-type]
        np.testing.assert_array_equal(pooled.encode(texts, "document"), expected)
        workers = [worker.process for worker in pooled._workers]
        used = [float(Path(f"/proc/{worker.pid}/io").read_text().split("wchar: ")[1].split()[0]) for worker in workers]
        assert min(used) > 1000  # both have answered
        with pytest.raises(ModelError, match=r"^cpu: ValueError: a bad text$"):  # an error, and not the worker's end
            pooled.encode(["a", "bad", "c"], "document")
        with pytest.raises(ModelError, match=r"gives 1 of 1 texts no usable embedding \(zero: 'nothing'\)"):
            pooled.encode(["a", "nothing", "c"], "document")
        np.testing.assert_array_equal(pooled.encode(texts, "document"), expected)
        assert workers[1].pid is not None
        os.kill(workers[1].pid, signal.SIGKILL)
        with pytest.raises(ModelError, match=r"cpu: the process that encodes there was ended by signal 9 \(SIGKILL\)(.|\n)*fewer --devices"):
            for _ in range(20):
                pooled.encode(texts, "document")
        pooled._workers[0].connection.close()  # what a worker sees of its parent's sudden death
        workers[0].join(20)
        assert workers[0].exitcode == 0
    assert not any(worker.is_alive() for worker in workers)
    with pytest.raises(ModelError, match="closed"):
        pooled.encode(texts, "document")


def test_a_worker_that_cannot_load_is_the_error_of_the_construction() -> None:
    with pytest.raises(ModelError, match=r"^cpu: no such weights$"):
        PooledEncoder(partial(LightEncoder, refuse=True), ["cpu"])


def test_an_interrupted_program_leaves_no_process_behind(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from light_encoder import LightEncoder
from clir_bench.parts.devices import PooledEncoder

if __name__ == "__main__":
    pooled = PooledEncoder(LightEncoder, ["cpu"])
    print(pooled._workers[0].process.pid, flush=True)
    while True:
        pooled.encode(["the river", "the sea"] * 500, "document")
""")
    program = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert program.stdout is not None
    worker = int(program.stdout.readline())
    os.killpg(program.pid, signal.SIGINT)  # as Ctrl-C does, to the whole group
    errors = program.communicate(timeout=60)[1]
    assert program.returncode in (-signal.SIGINT, 1, 130)
    assert errors.count("KeyboardInterrupt") == 1  # the parent's; the worker says nothing
    deadline = time.monotonic() + 20
    while running(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(worker)


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "devices"),
    [("cuda:0,cuda:1", ("cuda:0", "cuda:1")), ("cpu:2", ("cpu", "cpu")), ("cpu", ("cpu",)), (" cuda:0 , cuda:3", ("cuda:0", "cuda:3")), ("mps", ("mps",))],
)
def test_devices_are_read(text: str, devices: tuple[str, ...]) -> None:
    assert parse_devices(text) == devices
    assert parse_devices(",".join(devices)) == devices


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpu0", "'gpu0' is no device. Name them as cuda:0,cuda:1"),
        ("", "'' is no device"),
        ("cpu:0", "cpu:0 would be no process"),
        ("cuda:0,cpu:2", r"devices of 2 kinds \(cpu, cuda\)"),
        ("cuda:1,cuda:1", "cuda:1 stands twice"),
    ],
)
def test_what_is_no_list_of_devices_is_refused(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse_devices(text)


def test_a_batch_that_does_not_fit_into_memory_is_halved(checkpoint: str) -> None:
    encoder = SentenceEncoder(checkpoint, device="cpu")
    expected = encoder.encode(TEXTS, "document")
    failed: list[int] = []

    def small(module: torch.nn.Module, arguments: Any) -> None:
        rows = len(arguments[0]["input_ids"])
        if rows > 5:
            failed.append(rows)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    hook = encoder.model[0].register_forward_pre_hook(small)
    np.testing.assert_allclose(encoder.encode(TEXTS, "document"), expected, atol=1e-6)
    assert failed
    assert len(failed) < 8  # what was learned holds for the batches that follow
    hook.remove()
    np.testing.assert_allclose(encoder.encode(TEXTS, "document"), expected, atol=1e-6)


def test_one_text_that_does_not_fit_is_an_error_with_its_length_and_other_faults_are_left_alone(checkpoint: str) -> None:
    encoder = SentenceEncoder(checkpoint, device="cpu")

    def fail(message: str) -> Any:
        def hook(*_: Any) -> None:
            raise RuntimeError(message)

        return encoder.model[0].register_forward_pre_hook(hook)

    hook = fail("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
    with pytest.raises(ModelError, match=r"a text of \d+ tokens does not fit into the memory of cpu(.|\n)*--max-tokens(.|\n)*--device cpu"):
        encoder.encode(["the river nile", "sea"], "document")
    hook.remove()
    fail("shapes do not match")
    with pytest.raises(RuntimeError, match="shapes do not match"):
        encoder.encode(["the river nile"], "document")


def test_auto_is_bfloat16_where_the_hardware_has_it_and_the_record_says_which(checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for fast in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda fast=fast: fast)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        encoder = SentenceEncoder(checkpoint, device="cpu", dtype="auto")
        name = "bfloat16" if fast else "float32"
        assert (encoder.dtype, encoder.facts().dtype, encoder.identity("query")["dtype"]) == (name, name, name)
        assert encoder.model[0].auto_model.dtype == getattr(torch, name)
        assert encoder.identity("query") == SentenceEncoder(checkpoint, device="cpu", dtype=name).identity("query")
    assert best_dtype("mps") == "float32"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    assert best_dtype("cuda:1") == "bfloat16"
