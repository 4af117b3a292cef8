"""How long an engine takes to start in a new process, when its code has been compiled before."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from spikeloom.compiler.program import Program
from spikeloom.compiler.storage import save_program

STARTS = 3

_START = """
import sys, time
from spikeloom.compiler.storage import load_program
from spikeloom.runtime.engines import create_engine
import spikeloom.sim.native.engine
program = load_program(sys.argv[1])
began = time.perf_counter()
engine = create_engine("native", program)
engine.step()
print(time.perf_counter() - began)
"""


def start_up_seconds(program: Program) -> float:
    """Seconds from a loaded Program to its first step done; the median of some processes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program"
        save_program(program, path)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        times = [
            float(
                subprocess.run(
                    [sys.executable, "-c", _START, str(path)],
                    env=environment,
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout
            )
            for _ in range(STARTS + 1)
        ]
    return statistics.median(times[1:])  # the first may have compiled
