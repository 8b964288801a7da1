"""One encoder on several devices, each in a process of its own, with the vectors of one process.

The parent tokenises, sorts and divides as one process would, and hands whole batches to whoever is free, longest first; the workers compute. So the
division, and with it every number, depends on the texts and the budget only. Workers are spawned: a script that is not the command line must make its
``PooledEncoder`` below ``if __name__ == "__main__":``.
"""

from __future__ import annotations

import multiprocessing
import re
import signal
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from clir_bench.collection import FloatArray
from clir_bench.errors import ClirBenchError, ModelError
from clir_bench.vectors import Batch, EncoderFacts, Role, gather, submit_ahead

Features = dict[str, Any]


class DividedEncoder(Protocol):
    """An encoder whose division and whose computing can be in different processes."""

    @property
    def dim(self) -> int:
        """Components of an embedding."""

    def identity(self, role: Role) -> dict[str, str | int]:
        """All that decides an embedding beside the text."""

    def facts(self) -> EncoderFacts:
        """What a submission says of it."""

    def prepare(self, texts: Sequence[str], role: Role) -> Iterator[tuple[list[int], Callable[[], Features]]]:
        """The division: rows, and a maker of what ``forward`` takes for them."""

    def forward(self, features: Features, role: Role) -> FloatArray:
        """Embeddings, float32 [rows, dim]."""


class MakesEncoder(Protocol):
    """What every process makes its encoder with; can be pickled, as ``functools.partial(SentenceEncoder, "org/model", dtype="bfloat16")``."""

    def __call__(self, *, device: str, weights: bool) -> DividedEncoder:
        """The encoder on ``device``; without weights, only what divides the work."""


class PooledEncoder:
    """The encoder of ``make`` on every one of ``devices`` at once. ``close`` it, or use it in a ``with``; it ends with its process in any case.

    Raises ModelError for a worker that cannot load, fails, or dies, naming its device.
    """

    def __init__(self, make: MakesEncoder, devices: Sequence[str], *, progress: bool = False) -> None:
        self._progress = progress
        spawn = multiprocessing.get_context("spawn")
        devices = parse_devices(",".join(devices))
        on_cpu = sum(device == "cpu" for device in devices)
        threads = max(1, torch.get_num_threads() // on_cpu) if on_cpu else 0
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._workers: list[_Worker] = []
        self._end = weakref.finalize(self, _end, self._workers, self._jobs)
        for number, device in enumerate(devices):
            mine, theirs = spawn.Pipe()
            process = spawn.Process(target=_serve, args=(theirs, make, device, threads), name=f"encoder-{number}", daemon=True)
            self._workers.append(_Worker(device, process, mine))
            process.start()
            theirs.close()
        try:
            self._planner = make(device=devices[0], weights=False)
            for worker in self._workers:
                found = _receive(worker)
                if found != (expected := self._planner.identity("document")):
                    raise ModelError(f"{worker.device}: the worker loaded {found}, but the first process {expected}. Did the model's files change? Begin anew.")
        except BaseException:
            self.close()
            raise
        for worker in self._workers:
            threading.Thread(target=_drive, args=(worker, self._jobs), name=f"drives-{worker.process.name}", daemon=True).start()

    def __enter__(self) -> PooledEncoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def dim(self) -> int:
        """Components of an embedding."""
        return self._planner.dim

    def identity(self, role: Role) -> dict[str, str | int]:
        """That of the encoder in one process: where it runs changes no number."""
        return self._planner.identity(role)

    def facts(self) -> EncoderFacts:
        """What a submission says of this encoder."""
        return self._planner.facts()

    def batches(self, texts: Sequence[str], role: Role) -> Iterator[Batch]:
        """The batches of one process; while one is waited for, the workers have those that follow."""
        work = {rows[0]: (rows, features) for rows, features in self._planner.prepare(texts, role)}

        def submit(rows: list[int]) -> Future[FloatArray]:
            job = _Job(Future(), work[rows[0]][1](), role)
            if not self._end.alive:
                raise ModelError("this encoder is closed")
            self._jobs.put(job)
            return job.future

        return submit_ahead([rows for rows, _ in work.values()], submit, 2 * len(self._workers))

    def encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        """Embeddings of the texts, float32 [texts, dim], L2-normalised. Raises ModelError, for NaN or zero vectors naming the texts."""
        return gather(self.batches(texts, role), texts, self.dim, f"{role} texts", self._progress)

    def close(self) -> None:
        """End the workers."""
        self._end()


def parse_devices(text: str) -> tuple[str, ...]:
    """``cuda:0,cuda:1`` or ``cpu:2`` (two processes) as one device a worker. Raises ModelError for what is none, or of two kinds."""
    found: list[str] = []
    for part in text.split(","):
        named = re.fullmatch(r"(cpu|cuda|mps|xpu)(?::(\d{1,3}))?", part.strip())
        if named is None:
            raise ModelError(f"--devices: {part.strip()!r} is no device. Name them as cuda:0,cuda:1 or, for two processes on the processor, cpu:2")
        kind, number = named[1], int(named[2]) if named[2] else None
        if kind == "cpu":
            if number == 0:
                raise ModelError("--devices: cpu:0 would be no process at all; cpu:2 are two")
            found += ["cpu"] * (number or 1)
        else:
            found.append(kind if number is None else f"{kind}:{number}")
    if len(kinds := {device.split(":")[0] for device in found}) > 1:
        raise ModelError(
            f"--devices: {text!r} has devices of {len(kinds)} kinds ({', '.join(sorted(kinds))}), which round differently. Use one kind at a time."
        )
    twice = next((device for device in found if device != "cpu" and found.count(device) > 1), None)
    if twice:
        raise ModelError(f"--devices: {twice} stands twice in {text!r}; a second process there gains nothing")
    return tuple(found)


class _Worker(NamedTuple):
    device: str
    process: BaseProcess
    connection: Connection


class _Job(NamedTuple):
    future: Future[FloatArray]
    features: Features
    role: Role


def _drive(worker: _Worker, jobs: SimpleQueue[_Job | None]) -> None:
    """Give one worker job after job, until the end; after its death, jobs that come to it fail as the last one did."""
    dead: ModelError | None = None
    while (job := jobs.get()) is not None:
        if not job.future.set_running_or_notify_cancel():
            continue
        try:
            if dead:
                raise dead
            try:
                worker.connection.send(({k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in job.features.items()}, job.role))
            except OSError:
                pass  # it is gone; what it left to read says why, or that there is nothing
            job.future.set_result(_receive(worker))
        except _Died as error:
            dead = error
            job.future.set_exception(error)
        except BaseException as error:  # whatever it is, somebody waits for this job
            job.future.set_exception(error)


class _Died(ModelError):
    """A worker that ended by itself."""


def _receive(worker: _Worker) -> Any:
    """What the worker answers. Raises ModelError for its refusal and for its end."""
    try:
        kind, content = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join(5)
        code = worker.process.exitcode
        reason = f"was ended by signal {-code} ({signal.Signals(-code).name})" if code and code < 0 else f"ended with exit code {code}"
        raise _Died(
            f"{worker.device}: the process that encodes there {reason}. It may have run out of memory: use fewer --devices or smaller --batch-tokens."
            ' In a script of your own, make the encoder below if __name__ == "__main__".'
        ) from None
    if kind == "failed":
        raise ModelError(f"{worker.device}: {content}")
    return content


def _serve(connection: Connection, make: MakesEncoder, device: str, threads: int) -> None:
    """A worker: load, say what was loaded, then answer job after job until the parent closes or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    try:
        if threads:
            torch.set_num_threads(threads)
        encoder = make(device=device, weights=True)
        connection.send(("loaded", encoder.identity("document")))
        while True:
            features, role = connection.recv()
            made = {key: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for key, value in features.items()}
            try:
                connection.send(("vectors", encoder.forward(made, role)))
            except OSError:
                return
            except Exception as error:
                connection.send(("failed", _words(error)))
    except (EOFError, OSError):
        return
    except Exception as error:
        connection.send(("failed", _words(error)))


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, ClirBenchError) else f"{type(error).__name__}: {error}"


def _end(workers: Sequence[_Worker], jobs: SimpleQueue[_Job | None]) -> None:
    """End the processes and the threads that drive them; nobody is left waiting."""
    for worker in workers:
        jobs.put(None)
        if worker.process.pid is not None:
            worker.process.terminate()
    for worker in workers:
        if worker.process.pid is not None:
            worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join(5)
