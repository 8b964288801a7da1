"""Interleaved timing: methods take turns within one run, medians are compared as ratios. Absolute times do not carry over, ratios do."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path


def interleave(methods: dict[str, Callable[[], object]], rounds: int = 3, warm: bool = True) -> dict[str, tuple[float, float]]:
    """Median (wall, CPU) seconds of each method over ``rounds`` turns, after one turn that is not counted."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
    for turn in range(rounds + warm):
        for name, run in methods.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            if turn >= warm:
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: (statistics.median(w for w, _ in found), statistics.median(c for _, c in found)) for name, found in times.items()}


def table(title: str, times: dict[str, tuple[float, float]], base: str) -> None:
    """Print seconds and ratios to ``base``."""
    print(f"\n{title}\n{'':44} {'wall s':>9} {'ratio':>7} {'CPU s':>9} {'ratio':>7}")
    for name, (wall, cpu) in times.items():
        print(f"{name:44} {wall:9.3f} {wall / times[base][0]:7.3f} {cpu:9.3f} {cpu / times[base][1]:7.3f}")


def machine() -> str:
    """The processor, the cores and the load, for the record."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        units = " ".join(flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if any(flag in line for line in lines if line.startswith("flags")))
    except (OSError, StopIteration):
        cpu, units = platform.processor(), ""
    return f"{cpu} ({units}), {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"


def peak_extra_memory(run: Callable[[], object]) -> float:
    """Megabytes of resident memory that ``run`` needs at its peak beyond what was there (Linux)."""

    def field(name: str) -> int:
        line = next(line for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines() if line.startswith(name))
        return int(line.split()[1])

    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # resets the high-water mark
    before = field("VmRSS")
    run()
    return (field("VmHWM") - before) / 1000
