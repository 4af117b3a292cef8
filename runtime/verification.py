"""Verification: every write of a build's Verilog against golden's prediction, cycle by cycle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..compiler.errors import InputError, ProgramError, ToolError
from ..compiler.program import Program
from ..compiler.shape import Shape
from ..compiler.storage import load_program
from ..sim.compare import Comparison, Divergence, compare
from ..sim.predict import PredictingEngine
from ..sim.rtl.engine import RtlEngine
from .arrays import read_arrays
from .engines import HARDWARE
from .hardware import INSTALL
from .standalone import match_inputs, quantise

RTL, CORE_FILE = "rtl", "loom_core.v"
RECORDED = "inputs.npz"

CHUNK = 50
"""Steps that are traced before they are compared."""


def hardware_in(directory: Path) -> tuple[str, dict[str, Any]]:
    """Verilog and layout of the core that lies in a directory.

    The core's Verilog is taken as it lies there; its memories and multipliers, which are the
    device's own primitives, are replaced by their plain twins.

    Raises
    ------
    ProgramError
        If there is none, or its description is malformed.
    ToolError
        If Amaranth is missing.
    """
    core, description = directory / RTL / CORE_FILE, directory / HARDWARE
    if not core.is_file() or not description.is_file():
        raise ProgramError(
            f"{directory} holds no hardware; build it with "
            f"`spikeloom compile MODEL.py -o {directory} --board sim` (or a board's name)"
        )
    try:
        shape = Shape.from_json(json.loads(description.read_text(encoding="utf-8"))["shape"])
        text = core.read_text(encoding="utf-8")
    except (ValueError, KeyError, TypeError) as e:
        raise ProgramError(f"{description} is malformed ({e}); build the hardware again") from e
    try:
        from ..hdl import primitives, verilog
    except ModuleNotFoundError as e:
        raise ToolError(f"verifying hardware needs {e.name}; install it: {INSTALL}") from e
    return f"{primitives.text()}\n{text}", verilog.layout(shape)


def stimulus(
    program: Program, inputs: Mapping[str, np.ndarray], steps: int, seed: int
) -> dict[str, np.ndarray]:
    """Integers for every input and step: recorded ones, repeated if too short, else random ones.

    Returns
    -------
    dict of input name -> (steps, size) int64 ndarray
    """
    rng = np.random.default_rng(seed)
    found = {}
    for name, port in program.inputs.items():
        if name in inputs:
            values = np.asarray(inputs[name], float)
            if values.ndim == 2 and 0 < len(values) < steps:
                values = values[np.arange(steps) % len(values)]
            alone = replace(program, inputs={name: port})
            rows = match_inputs(alone, {name: values}, steps)[name]
            found[name] = quantise(program, port, rows)[0]
        else:
            limit = 1 << (program.machine.value_bits - 2)
            held = rng.integers(-limit, limit, (-(-steps // 20), port.size))
            found[name] = np.repeat(held, 20, axis=0)[:steps]
    return found


def verify(
    program: Program,
    verilog: str,
    layout: dict[str, Any],
    steps: int,
    inputs: Mapping[str, np.ndarray],
    say: Callable[[int], None] = lambda done: None,
) -> Comparison:
    """Compare every memory write of a core with golden's prediction; stops at a difference.

    Parameters
    ----------
    program : Program
    verilog : str
        The core with plain primitives.
    layout : dict
        Its description.
    steps : int
    inputs : mapping of input name -> (steps, size) int64 ndarray
    say : callable
        Called with the number of steps done.

    Returns
    -------
    Comparison
        Over all steps, or up to the first chunk that differs.
    """
    golden, rtl = PredictingEngine(program), RtlEngine(program, verilog, layout)
    rtl.trace(True)
    total = Comparison(0, 0, 0, 0, None)
    for first in range(0, steps, CHUNK):
        part = slice(first, min(first + CHUNK, steps))
        rows = {name: values[part] for name, values in inputs.items()}
        for engine in (golden, rtl):
            engine.run(part.stop - part.start, rows, [])
        found = compare(program, golden.take_trace(), rtl.take_trace())
        total = Comparison(
            total.steps + (part.stop - part.start),
            total.cycles + found.cycles,
            total.writes + found.writes,
            found.differences,
            _later(found.first, first),
        )
        if total.differences:
            break
        say(part.stop)
    return total


def _later(divergence: Divergence | None, steps: int) -> Divergence | None:
    return None if divergence is None else replace(divergence, step=divergence.step + steps)


def verify_directory(
    directory: str | Path, steps: int, seed: int = 0, say: Callable[[int], None] = lambda done: None
) -> Comparison:
    """Verify what ``spikeloom compile --board`` wrote; the inputs are those recorded there.

    Raises
    ------
    InputError
        If `steps` is not positive.
    ProgramError, CapacityError
        If the directory holds no hardware, or another Program's.
    """
    if steps < 1:
        raise InputError(f"--steps must be at least 1, not {steps}")
    folder = Path(directory)
    program = load_program(folder)
    verilog, layout = hardware_in(folder)
    Shape.from_json(layout["shape"]).check(program)
    recorded = read_arrays(folder / RECORDED) if (folder / RECORDED).is_file() else {}
    inputs = stimulus(program, recorded, steps, seed)
    return verify(program, verilog, layout, steps, inputs, say)
