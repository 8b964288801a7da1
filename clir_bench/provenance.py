"""What ran, where, with which versions."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from clir_bench.records import Provenance

_COMMAND = 2000  # characters that a submission holds
_PACKAGES = ("numpy", "torch", "transformers", "sentence-transformers", "tokenizers", "numba", "mteb", "beir", "hnswlib", "faiss-cpu", "usearch", "ctranslate2")


def collect(started: str, seconds: float, command: str, seed: int | None) -> Provenance:
    """The provenance of a run that began at ``started`` (UTC) and took ``seconds``."""
    return Provenance(
        clir_bench=version("clir-bench"),
        python=platform.python_version(),
        platform=platform.platform(terse=True),
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        gpu=_gpu(),
        packages={name: found for name in _PACKAGES if (found := _version(name))},
        git_commit=_commit(),
        seed=seed,
        started=started,
        seconds=round(seconds, 3),
        command=command if len(command) <= _COMMAND else f"{command[: _COMMAND - 4]} ...",
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _gpu() -> str | None:
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name(0) if torch and torch.cuda.is_available() else None


def _commit() -> str | None:
    """The commit of the checkout this package runs from, with ``-dirty`` where it was changed; None in an installed package."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
