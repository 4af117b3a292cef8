"""Running a Program by itself, with floats at its edges: no network, no Nengo."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..compiler.errors import InputError
from ..compiler.program import InputPort, Program
from ..compiler.projections import LEARNED, full_weights, with_learned
from .engines import create_engine
from .link.board import BoardEngine

BLOCK = 10_000
"""Steps that an engine runs in one call."""


@dataclass(frozen=True)
class RunResult:
    """What a run gave.

    Attributes
    ----------
    outputs : dict of str -> (steps, size) float64 ndarray
        Output ports in the model's own units.
    limited_inputs : dict of str -> int
        Input values that were limited to the range of their port.
    saturations : dict of str -> int
        Times that something was limited inside each population.
    seconds : float
        Time that the engine took.
    link : dict or None
        For a board: what the link to it carried, and the clock cycles that the run took.
    learned : Program or None
        The Program with what was learned as its initial weights; None if it does not learn.
    """

    outputs: dict[str, np.ndarray]
    limited_inputs: dict[str, int]
    saturations: dict[str, int]
    seconds: float
    link: dict[str, Any] | None = None
    learned: Program | None = None

    def weights(self) -> dict[str, np.ndarray]:
        """What was learned, by projection: (targets, sources) float64, in the model's unit."""
        if self.learned is None:
            return {}
        program = self.learned
        return {
            name: full_weights(program, name, program.weight, program.residual) * p.unit
            for name, p in program.projections.items()
        }


def run_program(
    program: Program,
    steps: int,
    inputs: Mapping[str, np.ndarray],
    engine: str = "native",
    record: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    say: Callable[[int], None] = lambda done: None,
    learning: bool = True,
) -> RunResult:
    """Run `program` from its initial state.

    Parameters
    ----------
    program : Program
    steps : int
    inputs : mapping of input name -> (steps, size) or (size,) float ndarray
        As `match_inputs` accepts them; one row per step, or a row that is held.
    engine : str
    record : sequence of str, optional
        Output ports to record; all if left out.
    options : mapping, optional
        For the engine, such as the port of a board.
    say : callable
        Called with the number of steps done, now and then.
    learning : bool
        Whether learning rules change their weights.

    Raises
    ------
    InputError
        If an input is missing, unknown, of the wrong shape or not finite, or an output unknown.
    """
    names = list(program.outputs) if record is None else list(record)
    for name in names:
        if name not in program.outputs:
            known = ", ".join(program.outputs) or "none"
            raise InputError(f"{program.name!r} has no output {name!r}; its outputs: {known}")
    given = match_inputs(program, inputs, steps)
    limited: dict[str, int] = {}
    integers, held = {}, {}
    for name, values in given.items():
        is_held = steps > 0 and np.shape(inputs[name]) == values.shape[1:]
        rows, count = quantise(program, program.inputs[name], values[:1] if is_held else values)
        if is_held:
            held[name] = rows[0]
            count *= steps
        else:
            integers[name] = rows
        if count:
            limited[name] = count
    machine = create_engine(engine, program, **(options or {}))
    machine.learning(learning)
    for name, row in held.items():
        machine.write(name, row)
    outputs = {name: np.zeros((steps, program.outputs[name].size)) for name in names}
    seconds = 0.0
    for first in range(0, steps, BLOCK):
        part = slice(first, min(first + BLOCK, steps))
        begin = time.perf_counter()
        raw = machine.run(
            part.stop - part.start, {name: v[part] for name, v in integers.items()}, names
        )
        seconds += time.perf_counter() - begin
        for name, values in raw.items():
            outputs[name][part] = values * program.outputs[name].unit
        say(part.stop)
    link = None
    if isinstance(machine, BoardEngine):
        link = machine.statistics() | {"cycles": machine.cycles()}
    learned = None
    if program.projections:
        learned = with_learned(program, {name: machine.memory(name) for name in LEARNED})
    return RunResult(outputs, limited, machine.saturations(), seconds, link, learned)


def quantise(program: Program, port: InputPort, values: np.ndarray) -> tuple[np.ndarray, int]:
    """Integers for an input port, and how many values had to be limited to its range.

    Parameters
    ----------
    program : Program
    port : InputPort
    values : float ndarray

    Returns
    -------
    integers : int64 ndarray of the shape of `values`
    limited : int
    """
    limit = 1 << (program.machine.value_bits - 1)
    scaled = np.rint(np.ldexp(values, port.fraction))
    integers = np.clip(scaled, -limit, limit - 1)
    return integers.astype(np.int64), int(np.count_nonzero(integers != scaled))


def match_inputs(
    program: Program, inputs: Mapping[str, np.ndarray], steps: int
) -> dict[str, np.ndarray]:
    """Give each input port of `program` its values.

    Returns
    -------
    dict of port name -> (steps, size) float64 ndarray

    Raises
    ------
    InputError
        If an input is missing, unknown, of the wrong shape or not finite.
    """
    known = ", ".join(program.inputs) or "none"
    for name in inputs:
        if name not in program.inputs:
            raise InputError(f"{program.name!r} has no input {name!r}; its inputs: {known}")
    missing = [name for name in program.inputs if name not in inputs]
    if missing:
        raise InputError(
            f"{program.name!r} needs values for its inputs: {', '.join(missing)}; give them with "
            "--input FILE.npz, one array per name"
        )
    return {
        name: _fit(name, np.asarray(values), program.inputs[name].size, steps)
        for name, values in inputs.items()
    }


def _fit(name: str, values: np.ndarray, size: int, steps: int) -> np.ndarray:
    wanted = f"({steps}, {size}), or ({size},) to hold it"
    if values.dtype.kind not in "buif":
        raise InputError(f"input {name!r} must hold real numbers, not {values.dtype}")
    held = values.shape == (size,)
    if held:
        values = values[None]
    elif values.ndim != 2 or values.shape[1] != size:
        raise InputError(f"input {name!r} has shape {values.shape}, must be {wanted}")
    elif len(values) < steps:
        raise InputError(
            f"input {name!r} has values for {len(values)} steps, the run has {steps}; "
            "run fewer steps or give more values"
        )
    rows = values[:steps].astype(float)
    if not np.isfinite(rows).all():
        step, element = np.argwhere(~np.isfinite(rows))[0]
        value = rows[step, element]
        raise InputError(f"input {name!r} is {value} at step {step}, element {element}")
    return np.broadcast_to(rows, (steps, size)) if held else rows
