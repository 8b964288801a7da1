"""How long ``clir-bench --help`` and ``clir-bench check`` take as whole processes.

python benchmarks/startup.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from _timing import interleave, machine, table


def main() -> None:
    program = str(Path(sys.executable).with_name("clir-bench"))

    def run(*arguments: str):
        return lambda: subprocess.run([program, *arguments], check=True, capture_output=True)

    times = interleave(
        {
            "python -c pass": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
            "clir-bench --help": run("--help"),
            "clir-bench check": run("check"),
        },
        7,
    )
    print(machine())
    table("whole processes (CPU is the parent's)", times, "python -c pass")


if __name__ == "__main__":
    main()
