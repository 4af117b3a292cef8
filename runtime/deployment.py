"""From a network to a directory that holds its Program, inputs and report."""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nengo
import numpy as np

from ..boards import BOARDS, fit
from ..boards.board import Board
from ..boards.build import Build, build, deliver
from ..compiler.compile import Compilation, compile_graph
from ..compiler.disassembly import parameter_text
from ..compiler.errors import CapacityError, ModelError, RangeError, ToolError
from ..compiler.files import new_directory
from ..compiler.instructions import Map
from ..compiler.machine import Machine
from ..compiler.program import Program
from ..compiler.shape import needs
from ..compiler.storage import encode_program, holds_program
from .arrays import encode_arrays
from .calibration import calibrated
from .comparison import SPIKES, VALUES, Comparison
from .ranges import known_limit
from .recording import RecordingSimulator
from .replay import replay
from .report.advice import advise
from .report.measured import measured
from .report.page import Findings, render_report, report_data
from .simulator import SaturationWarning
from .standalone import quantise

PROGRAM, INPUTS, REPORT, DATA = "program", "inputs.npz", "report.html", "report.json"
"""What a directory written by `write_deployment` holds."""

LINK_STEPS = 20
"""Steps over which the exchange with the hardware is counted."""

DEFAULT_SEED = 0


@dataclass
class Deployment:
    """A compiled network.

    Attributes
    ----------
    compilation : Compilation
        The Program and what each pass left.
    findings : Findings
        What the report is about.
    data : dict
        The content of ``report.json``.
    build : Build or None
        The hardware, where a board was asked for.
    """

    compilation: Compilation
    findings: Findings
    data: dict[str, Any]
    build: Build | None = None


def deploy(
    network: nengo.Network,
    dt: float = 0.001,
    calibrate: float | None = None,
    seconds: float = 1.0,
    engine: str = "native",
    machine: Machine | None = None,
    allow_saturation: bool = False,
    board: Board | None = None,
    clock_hz: int | None = None,
    allow_timing_failure: bool = False,
    say: Callable[[str], Any] = lambda text: None,
) -> Deployment:
    """Compile a network, run it beside float Nengo, and gather what the report shows.

    Parameters
    ----------
    network : nengo.Network
        A network without a seed gets one, for float and fixed point must be the same network.
    dt : float
        Seconds.
    calibrate : float, optional
        Run the network for this many seconds first, and fit the ranges of what the host gives to
        the chip to what was seen; otherwise ranges are assumed and widened where they are left.
    seconds : float
        Length of the comparison; 0 for none.
    engine, machine
        As for `Simulator`.
    allow_saturation : bool
        Do not refuse a network whose signals leave their formats in the comparison.
    board : Board, optional
        Compile for its machine, and build its hardware.
    clock_hz : int, optional
        Another clock than the board's.
    allow_timing_failure : bool
        Accept hardware that is too slow for its clock; the report says so.
    say : callable
        Called with the name of each part of the work before it starts.

    Raises
    ------
    ModelError
        If nothing of the network can run on the chip.
    RangeError
        If a signal saturates in the comparison.
    CapacityError, ToolError
        If the network does not fit the board, or its hardware cannot be built.
    """
    timings: dict[str, float] = {}
    machine = board.machine if board else machine or Machine()

    @contextmanager
    def part(name: str) -> Any:
        say(name)
        begin = time.perf_counter()
        yield
        timings[name] = time.perf_counter() - begin

    if network.seed is None:
        network.seed = DEFAULT_SEED
    options: dict[str, Any] = {"engine": engine, "machine": machine, "progress_bar": False}
    with part("build"):
        try:
            sim = RecordingSimulator(network, dt=dt, **options)
        except CapacityError as e:
            if board is None:
                raise
            wider = [b.name for b in BOARDS.values() if b.machine.index_bits > machine.index_bits]
            raise CapacityError(
                f"the network does not fit the board {board.name}: {e}, or take a board whose "
                f"events address more: {', '.join(wider) or 'there is none'}"
            ) from e
    name = network.label or sim.conversion.graph.name
    if sim.chip is None:
        first = next(iter(sim.placement.on_host), None)
        reason = f": {first.name} ({first.reason})" if first else ""
        raise ModelError(f"{name}: nothing in it can run on the chip{reason}")
    steps = round(seconds / dt)
    fitted: set[str] = set()
    with quiet_ranges(), part("ranges"):
        if calibrate is not None:
            sim, fitted = calibrated(sim, max(round(calibrate / dt), 1), True, options)
        if steps:
            sim, widened = calibrated(sim, steps, False, options)
            fitted = fitted | widened
    with part("lower"):
        compilation = compile_graph(sim.graph, machine)
    program = compilation.program
    if board is not None:  # before the comparison, which is of no use if it does not fit
        fit.check(program, board, tuple(BOARDS.values()))
    findings = Findings(
        program=program,
        placement=placement_rows(sim),
        ensembles=ensemble_rows(sim, program),
        origins=range_origins(sim, program, fitted),
        timings=timings,
    )
    if steps:
        with quiet_ranges(), part("fixed point"):
            sim.reset(seed=sim.seed)
            sim.run_steps(steps)
            fixed = {probe: np.array(sim.data[probe]) for probe in sim.model.probes}
            findings.inputs = sim.sent()
        with part("float"):
            floating = nengo.Simulator(
                None, dt=dt, model=sim.model, seed=sim.seed, progress_bar=False, optimize=False
            )
            floating.run_steps(steps)
        findings.comparisons = compare(sim, floating, fixed)
        with part("replay"):
            findings.seen = replay(program, steps, findings.inputs, engine)
        findings.steps = steps
        if not allow_saturation:
            refuse_saturation(findings)
    findings.measured = measured(sim, compilation, findings.seen, steps)
    findings.advice = advise(findings.measured)
    built = None
    if board is not None:
        with part("hardware"):
            built = build(program, board, clock_hz, allow_timing_failure, say)
        findings.hardware = hardware_data(built, program)
        if steps:
            with part("link"):
                findings.hardware["link"] = _measured_link(built, findings)
    return Deployment(compilation, findings, report_data(findings), built)


def hardware_data(built: Build, program: Program) -> dict[str, Any]:
    """What the report says of the hardware, as a JSON object."""
    return {
        "board": built.board.name,
        "title": built.board.title,
        "lanes": built.shape.machine.lanes,
        "clock_hz": built.clock_hz,
        "baud": built.baud,
        "fingerprint": built.shape.fingerprint(),
        "bitstream": built.board.bitstream or None,
        "depths": {
            what: {"needed": count, "there": getattr(built.shape, what)}
            for what, count in needs(program).items()
        },
        "routed": built.data.get("routed"),
        "tools": built.data.get("tools"),
        "seconds": built.data.get("seconds"),
        "link": None,
    }


def _measured_link(built: Build, findings: Findings) -> dict[str, float] | None:
    """What the link costs, or None where the tools for simulating it are missing."""
    from .link.cost import measure_link

    program, steps = findings.program, min(findings.steps, LINK_STEPS)
    inputs = {
        name: quantise(program, program.inputs[name], values[:steps])[0]
        for name, values in findings.inputs.items()
    }
    try:
        return measure_link(program, built.shape, built.clock_hz, built.baud, inputs, steps)
    except ToolError:
        return None


def refuse_saturation(findings: Findings) -> None:
    """Raise `RangeError` naming the signal that was limited most often."""
    counts = findings.seen.saturations if findings.seen else {}
    if counts:
        worst = max(counts, key=lambda name: counts[name])
        raise RangeError(
            f"{worst} was limited by its fixed-point format {counts[worst]} times; bring its input "
            "nearer to its radius, give --calibrate, or accept it with --allow-saturation"
        )


def write_deployment(deployment: Deployment, path: str | Path) -> None:
    """Write the directory, whole or not at all.

    Raises
    ------
    ProgramError
        If `path` exists and was not written by this function, or cannot be written.
    """
    with new_directory(path, holds_deployment) as directory:
        (directory / PROGRAM).mkdir()
        for name, content in encode_program(deployment.findings.program).items():
            (directory / PROGRAM / name).write_bytes(content)
        if deployment.findings.inputs:
            (directory / INPUTS).write_bytes(encode_arrays(deployment.findings.inputs))
        if deployment.build is not None:
            deliver(deployment.build, directory)
        text = json.dumps(deployment.data, indent=1, default=_plain)
        (directory / DATA).write_text(text + "\n", encoding="utf-8")
        page = render_report(deployment.findings, deployment.data)
        (directory / REPORT).write_text(page, encoding="utf-8")


def holds_deployment(path: Path) -> bool:
    """Whether `path` is a directory that `write_deployment` wrote."""
    return (path / DATA).is_file() and (path / PROGRAM).is_dir() and holds_program(path / PROGRAM)


# -- what the report is about --------------------------------------------------------------------


def placement_rows(sim: RecordingSimulator) -> list[dict[str, Any]]:
    """A row for each object of the model, those on the host first."""
    rows = [
        {
            "object": item.name,
            "kind": item.kind,
            "neurons": item.size if item.kind == "ensemble" else None,
            "where": item.where,
            "reason": item.reason,
        }
        for item in sim.placement.items
    ]
    return sorted(rows, key=lambda row: row["where"] != "host")


def range_origins(sim: RecordingSimulator, program: Program, fitted: set[str]) -> dict[str, str]:
    """Where unproved ranges come from: a ``"run"``; of inputs also ``"given"`` or ``"assumed"``."""
    found = {}
    for name, population in program.populations.items():
        if fitted & {name, *(member for member, _, _ in population.members)}:
            found[name] = "run"
    for send in sim.conversion.plan.sends:
        known = known_limit(sim.conversion.names.owner(send.signal)) is not None
        found[send.name] = "given" if known and send.offset is None else "assumed"
        if send.name in fitted:
            found[send.name] = "run"
    return found


def ensemble_rows(sim: RecordingSimulator, program: Program) -> list[dict[str, Any]]:
    """A row for each ensemble: its built parameters, and what became of them."""
    maps = {}
    for i in (i for i in program.instructions if isinstance(i, Map)):
        joined = program.populations[i.population].members
        maps.update({member: i for member in (i.population, *(name for name, _, _ in joined))})
    names = sim.conversion.names
    rows = []
    for ensemble in (e for e in sim.model.params if isinstance(e, nengo.Ensemble)):
        built = sim.data[ensemble]
        row: dict[str, Any] = {
            "name": names.of(ensemble),
            "neurons": ensemble.n_neurons,
            "dimensions": ensemble.dimensions,
            "neuron_type": type(ensemble.neuron_type).__name__,
            "radius": float(ensemble.radius),
            "gain": _extent(built.gain),
            "bias": _extent(built.bias),
            "kernel": None,
            "joined": None,
            "spike_value": None,
            "registers": None,
        }
        instruction = maps.get(row["name"])
        if instruction is not None:
            code = program.kernels[instruction.kernel]
            row["kernel"] = code.name
            if instruction.population != row["name"]:
                row["joined"] = instruction.population
            unit = program.populations[instruction.population].output_unit
            row["spike_value"] = unit * 2.0 ** (code.emit_fraction or 0)
            row["registers"] = parameter_text(instruction, code)
        rows.append(row)
    return rows


def compare(
    sim: RecordingSimulator, floating: nengo.Simulator, fixed: dict[nengo.Probe, np.ndarray]
) -> list[Comparison]:
    """Compare all probes that hold numbers."""
    names = sim.conversion.names
    found: list[Comparison] = []
    for probe, values in fixed.items():
        reference = np.array(floating.data[probe])
        if values.ndim < 2 or values.dtype.kind not in "fiub":
            continue
        name = names.of(probe)
        repeated = sum(c.name.partition(" #")[0] == name for c in found)
        found.append(
            Comparison(
                name=f"{name} #{repeated + 1}" if repeated else name,
                what=f"{probe.attr.replace('_', ' ')} of {names.of(probe.obj)}",
                kind=SPIKES if _is_spikes(probe) else VALUES,
                times=np.asarray(sim.trange(sample_every=probe.sample_every))[: len(values)],
                floating=reference.reshape(len(reference), -1),
                fixed=values.reshape(len(values), -1),
            )
        )
    return found


def _is_spikes(probe: nengo.Probe) -> bool:
    obj = probe.target
    obj = getattr(obj, "obj", obj)
    if not isinstance(obj, nengo.ensemble.Neurons) or probe.synapse is not None:
        return False
    return probe.attr in ("output", "spikes") and bool(obj.ensemble.neuron_type.spiking)


@contextmanager
def quiet_ranges() -> Any:
    """Say nothing of ranges that are widened or left while the block runs."""
    # That a range had to be widened, or saturated before it was, is what this run is to find out.
    logger = logging.getLogger(__package__)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SaturationWarning)
            yield
    finally:
        logger.setLevel(level)


def _extent(values: np.ndarray | None) -> tuple[float, float]:
    if values is None or not np.size(values):
        return (0.0, 0.0)
    return (float(np.min(values)), float(np.max(values)))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
