"""COMET-Kiwi, the paper's first measure in Figure 2: a learned estimate of quality from source and translation alone.

unbabel-comet 2.2.7 wants numpy < 2 and transformers < 5, so it runs in an environment of its own, as a process that is asked by lines of JSON. The process is
started once and keeps its model. The model (Unbabel/wmt22-cometkiwi-da, CC-BY-NC-SA-4.0) is gated: accept its terms on the hub and log in there first. It reads
at most 512 tokens of source and translation together. Tests run this against a package of the same shape; it was never run with the real model here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Literal

from clir_bench.errors import ModelError

DEFAULT = "Unbabel/wmt22-cometkiwi-da"
PACKAGE = "unbabel-comet==2.2.7"
_RUNNER = Path(__file__).with_name("comet_runner.py")


class CometKiwi:
    """A COMET model behind a process. ``command`` is what runs a Python with unbabel-comet (``find_command``); ``gpus`` None takes one where there is one.

    A translation's value is about 0 to 1. References are never passed on: a unified model of COMET that sees one averages in what it makes of it.
    """

    name = "comet-kiwi"
    better: Literal["higher", "lower"] = "higher"

    def __init__(self, command: Sequence[str], model: str = DEFAULT, *, batch: int = 16, gpus: int | None = None, progress: bool = False) -> None:
        self.command, self.model, self.batch, self.progress = (
            [*command, str(_RUNNER), model, str(batch), "auto" if gpus is None else str(gpus)],
            model,
            batch,
            progress,
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._said = ""
        self._versions: dict[str, str] = {}

    def score(self, sources: Sequence[str], translations: Sequence[str], references: Sequence[str | None] | None, language: str) -> list[float | None]:
        """COMET's score of each translation. Raises ModelError with the process's last lines where it fails."""
        if not sources:
            return []
        rows = [{"src": s, "mt": t} for s, t in zip(sources, translations, strict=True)]
        answer = self._ask(json.dumps(rows))
        if not isinstance(answer, list) or len(answer) != len(rows):
            raise ModelError(f"{self.model}: {len(rows)} translations were sent to COMET, but it answered {str(answer)[:80]!r}")
        return [float(value) for value in answer]

    def summary(self, sources: Sequence[str], translations: Sequence[str], references: Sequence[str | None] | None, language: str) -> dict[str, float]:
        """Nothing beyond the mean."""
        return {}

    def facts(self) -> Mapping[str, str | int | bool | None]:
        """All that decides a value; the versions are known once it has run. The revision is the commit in the hub's cache."""
        release, checkpoint = self._versions.get("unbabel-comet", "unknown"), self._versions.get("checkpoint", "")
        found = re.search(r"snapshots[/\\]([0-9a-f]{40})", checkpoint)
        revision = found[1] if found else "unknown"
        return {"signature": f"{self.model}@{revision}|unbabel-comet {release}", "model": self.model, "revision": revision, "unbabel-comet": release}

    def close(self) -> None:
        """End the process, if need be with what it has started."""
        if self._process is not None:
            process, self._process = self._process, None
            with suppress(OSError):  # it has ended by itself
                process.stdin.close() if process.stdin else None
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                self._kill(process)
            self._listener.join(5)
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()

    def _ask(self, line: str) -> object:
        """Send one line, return the answer."""
        try:
            process = self._process or self._start()
            answer = self._exchange(process, line)
        except KeyboardInterrupt:
            if self._process is not None:
                self._kill(self._process)
            raise
        if not answer:
            raise self._failure(process)
        return self._parse(answer)

    def _exchange(self, process: subprocess.Popen[bytes], line: str) -> bytes:
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()
            return process.stdout.readline()
        except BrokenPipeError:
            return b""

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            # A group of its own: uv starts Python as a process of its own, which must not outlive it.
            process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        except OSError as error:
            raise ModelError(
                f"COMET's interpreter {self.command[0]} cannot be started ({error.strerror or error}). Name another with --comet-python."
            ) from error
        self._process = process
        self._listener = Thread(target=self._listen, args=(process,), daemon=True)
        self._listener.start()
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first:
            raise self._failure(process)
        said = self._parse(first)
        self._versions = {str(key): str(value) for key, value in said.items()} if isinstance(said, dict) else {}
        return process

    def _parse(self, line: bytes) -> object:
        try:
            return json.loads(line)
        except ValueError as error:
            self.close()
            raise ModelError(f"{self.command[0]} answered {line[:80]!r} for COMET, which is no JSON: --comet-python wants a Python") from error

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Pass stderr on as it comes (a progress bar has no line ends), and keep its end."""
        assert process.stderr is not None
        while chunk := os.read(process.stderr.fileno(), 65536):
            text = chunk.decode("utf-8", "replace")
            self._said = (self._said + text)[-4000:]
            if self.progress:
                sys.stderr.write(text)
                sys.stderr.flush()

    def _failure(self, process: subprocess.Popen[bytes]) -> ModelError:
        self.close()
        lines = [line for line in re.split(r"[\r\n]+", self._said) if line.strip()]
        said = "\n  ".join(lines[-12:]) or "it said nothing"
        refused = any(word in self._said for word in ("not supported by COMET", "gated", "401", "403"))  # download_model says the first of any failure
        gated = f"\nThe model is gated: accept its terms at https://huggingface.co/{self.model} and log in with `hf auth login`." if refused else ""
        return ModelError(f"COMET ended with status {process.returncode}: {' '.join(self.command[:2])} ... {self.model}\n  {said}{gated}")


def find_command(python: str | None) -> list[str]:
    """What runs a Python with unbabel-comet: the interpreter named, else uv with an environment of its own. Raises ModelError where there is neither."""
    if python:
        found = shutil.which(python)
        if found is None:
            raise ModelError(f"--comet-python {python}: no such interpreter. Name the python of an environment made by: {_CURE}")
        return [found]
    uv = shutil.which("uv")
    if uv is None:
        raise ModelError(
            f"comet-kiwi needs {PACKAGE} in an environment of its own (numpy < 2, transformers < 5), and there is neither --comet-python nor uv."
            f" Either install uv (pip install uv), or: {_CURE} and name it with --comet-python comet-env/bin/python."
            " Or leave it out: --metrics perplexity,similarity"
        )
    return [uv, "run", "--isolated", "--no-project", "--python", "3.11", "--with", PACKAGE, "--with", "setuptools<81", "python"]


_CURE = f"python3.11 -m venv comet-env && comet-env/bin/pip install {PACKAGE} 'setuptools<81'"
