"""Cores in simulation for tests, side by side with golden's prediction."""

from __future__ import annotations

import numpy as np

from spikeloom.compiler.program import Program
from spikeloom.compiler.shape import Shape, needs
from spikeloom.runtime.hardware import generate
from spikeloom.sim.check import MEMORIES
from spikeloom.sim.compare import Comparison, compare
from spikeloom.sim.predict import PredictingEngine
from spikeloom.sim.rtl.engine import RtlEngine


def shape_for(programs: list[Program]) -> Shape:
    """The smallest shape that all these Programs, of the same machine and kernels, fit in."""
    largest = {k: max(needs(p)[k] for p in programs) for k in needs(programs[0])}
    return Shape.for_program(programs[0], largest)


def side_by_side(
    program: Program, verilog: str, layout: dict, steps: int, inputs: dict[str, np.ndarray]
) -> tuple[Comparison, list[str]]:
    """Run golden and a core; compare every write, then all memories and counters.

    Returns the comparison and the names of what differs at the end.
    """
    golden, rtl = PredictingEngine(program), RtlEngine(program, verilog, layout)
    rtl.trace(True)
    for engine in (golden, rtl):
        engine.run(steps, inputs, [])
    comparison = compare(program, golden.take_trace(), rtl.take_trace())
    wrong = [n for n in MEMORIES if not np.array_equal(golden.memory(n), rtl.memory(n))]
    if golden.saturations() != rtl.saturations():
        wrong.append("saturations")
    return comparison, wrong


__all__ = ["generate", "shape_for", "side_by_side"]
