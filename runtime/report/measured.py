"""What a run and a compilation say about each part of a network: rates, errors, cycles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import nengo
import numpy as np

from ...compiler.clock import busy_cycles
from ...compiler.compile import Compilation
from ...compiler.frontends.nengo.streams import Present, Recording
from ...compiler.graph import Population
from ...compiler.instructions import (
    Cnv,
    Evt,
    Instruction,
    Mac,
    Map,
    Upd,
)
from ...compiler.kernels.step_neurons import Stepped
from ...compiler.program import Program
from ...compiler.timing import ConvolutionTiming
from ..explain.tables import WeightTable, weight_tables
from ..recording import RecordingSimulator
from ..replay import Replay

STREAM = 5
"""A node whose values last for fewer steps gives a stream, and presents nothing."""


@dataclass(frozen=True)
class Layer:
    """An ensemble of spiking neurons on the chip.

    Attributes
    ----------
    name : str
    rates : (n,) float64 ndarray
        Spikes per second of each neuron over the run.
    amplitude : float
    tau_ref : float or None
        Seconds; None for neurons without a refractory period.
    raw : bool
        Whether its spikes leave it as they are, not by decoders that a solver has fitted to them.
    learns : bool
        Whether weights in front of it or behind it are learned.
    """

    name: str
    rates: np.ndarray
    amplitude: float = 1.0
    tau_ref: float | None = None
    raw: bool = True
    learns: bool = False


@dataclass(frozen=True)
class Link:
    """A connection from spiking neurons.

    Attributes
    ----------
    name : str
    synapse : float or None
        Its time constant in seconds, as far as it has one; None without a synapse.
    spike : float
        What a spike is worth before the weights.
    intended : bool
        Whether its neurons are of a kind that is trained without synapses.
    filtered : bool
        Whether a synapse follows before anything else is done with the sum.
    """

    name: str
    synapse: float | None
    spike: float
    intended: bool = False
    filtered: bool = False


@dataclass(frozen=True)
class Measured:
    """All that advice is based on.

    Attributes
    ----------
    seconds : float
        Length of the run.
    presentation : float or None
        Seconds for which an input is presented; None if nothing is presented.
    dt : float
    layers : list of Layer
    links : list of Link
    tables : list of WeightTable
    cycles : dict of str -> float
        Clock cycles of a step, on average, that each part takes.
    """

    seconds: float
    presentation: float | None
    dt: float
    layers: list[Layer] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    tables: list[WeightTable] = field(default_factory=list)
    cycles: dict[str, float] = field(default_factory=dict)


def measured(
    sim: RecordingSimulator, compilation: Compilation, seen: Replay | None, steps: int
) -> Measured:
    """Gather what a run of a compiled network showed.

    Parameters
    ----------
    sim : RecordingSimulator
    compilation : Compilation
        Of its Graph.
    seen : Replay or None
        Of `steps` steps; None if nothing was run.
    steps : int
    """
    program = compilation.program
    return Measured(
        seconds=steps * program.dt,
        presentation=presentation(sim),
        dt=program.dt,
        layers=list(_layers(sim, compilation, seen, steps)) if seen is not None and steps else [],
        links=list(_links(sim, compilation)),
        tables=weight_tables(compilation),
        cycles=cycles_by_part(program, seen),
    )


def presentation(sim: RecordingSimulator) -> float | None:
    """The longest time for which a node presents something; None if none does."""
    outputs = [node.output for node in sim.model.params if isinstance(node, nengo.Node)]
    times = [time for output in outputs if (time := _lasting(output, sim.dt)) is not None]
    return max((t for t in times if t > (STREAM - 0.5) * sim.dt), default=None)


def _lasting(output: Any, dt: float) -> float | None:
    """Seconds for which a node's output stays the same, if it is data that is presented."""
    if isinstance(output, nengo.processes.PresentInput):
        return float(output.presentation_time)
    if isinstance(output, Present):
        return output.steps * dt
    if isinstance(output, Recording) and len(output.values):
        changes = 1 + int((output.values[1:] != output.values[:-1]).any(axis=1).sum())
        return len(output.values) / changes * dt
    return None


def _ensembles(
    sim: RecordingSimulator, compilation: Compilation
) -> Iterator[tuple[nengo.Ensemble, Population, int, str]]:
    """Spiking ensembles on the chip: with the joint population, first neuron there, and name."""
    nodes: dict[str, list[tuple[Population, int]]] = {}
    frontend = compilation.graphs["frontend"]
    for node in compilation.graphs["group"].nodes():
        if isinstance(node, Population) and node.kernel.emits == "events":
            for name, start in [(m.name, m.start) for m in node.members] or [(node.name, 0)]:
                nodes.setdefault(frontend[name].origin, []).append((node, start))
    for ensemble in (e for e in sim.model.params if isinstance(e, nengo.Ensemble)):
        name = sim.conversion.names.of(ensemble)
        if nodes.get(name):
            node, start = nodes[name].pop(0)
            yield ensemble, node, start, name


def _layers(
    sim: RecordingSimulator, compilation: Compilation, seen: Replay, steps: int
) -> Iterator[Layer]:
    raw = {
        connection.pre_obj.ensemble
        for connection in sim.model.params
        if isinstance(connection, nengo.Connection)
        and isinstance(connection.pre_obj, nengo.ensemble.Neurons)
    }
    learning = {
        getattr(end, "ensemble", end)
        for connection in sim.model.params
        if isinstance(connection, nengo.Connection) and connection.learning_rule is not None
        for end in (connection.pre_obj, connection.post_obj)
    }
    for ensemble, node, start, name in _ensembles(sim, compilation):
        kind = ensemble.neuron_type
        tau_ref = getattr(kind, "tau_ref", None)
        spikes = seen.spikes[node.name][start : start + ensemble.n_neurons]
        yield Layer(
            name=name,
            rates=spikes / (steps * sim.dt),
            amplitude=float(getattr(kind, "amplitude", 1.0)),
            tau_ref=float(tau_ref) if tau_ref else None,
            raw=ensemble in raw,
            learns=ensemble in learning,
        )


def _links(sim: RecordingSimulator, compilation: Compilation) -> Iterator[Link]:
    spiking = {
        ensemble: isinstance(node.kernel, Stepped)
        for ensemble, node, _, _ in _ensembles(sim, compilation)
    }
    every = [c for c in sim.model.params if isinstance(c, nengo.Connection)]
    for connection in every:
        ensemble = getattr(connection.pre_obj, "ensemble", connection.pre_obj)
        if ensemble not in spiking or connection.learning_rule is not None:
            continue
        synapse = connection.synapse
        tau = None if synapse is None else float(getattr(synapse, "tau", 0.0) or 0.0)
        amplitude = float(getattr(ensemble.neuron_type, "amplitude", 1.0))
        name = sim.conversion.names.of(connection)
        filtered = _only_filtered(sim, every, connection.post_obj)
        yield Link(name, tau, amplitude / sim.dt, spiking[ensemble], filtered)


def _only_filtered(
    sim: RecordingSimulator, every: list[nengo.Connection], target: Any, depth: int = 20
) -> bool:
    """Whether all that leaves a node without a function of its own goes through synapses."""
    if not isinstance(target, nengo.Node) or target.output is not None or not depth:
        return False
    if any(p.target is target and p.synapse is None for p in sim.model.probes):
        return False
    return all(
        connection.synapse is not None or _only_filtered(sim, every, connection.post_obj, depth - 1)
        for connection in every
        if connection.pre_obj is target
    )


def cycles_by_part(program: Program, seen: Replay | None) -> dict[str, float]:
    """Clock cycles of a step by what is computed: sums with the neurons or synapse behind them.

    Those that multiply, run a kernel or update; not those that an instruction takes to begin.
    """
    lists = {i.list: i.population for i in program.instructions if isinstance(i, Map)}
    events = {
        number: float(np.mean(seen.events[population]))
        for number, population in lists.items()
        if seen is not None and number >= 0 and population in seen.events
    }
    found: defaultdict[str, float] = defaultdict(float)
    for phase in program.phases:
        for position, i in enumerate(phase):
            count = events.get(getattr(i, "list", -1), 0.0)
            found[_part(program, phase[position:], i)] += _cycles(program, i, count)
    return dict(found)


def _part(program: Program, rest: list[Instruction], i: Instruction) -> str:
    if isinstance(i, Map):
        return i.population
    if isinstance(i, Upd):
        return i.projection
    if isinstance(i, Mac | Evt | Cnv):
        for later in rest:
            if isinstance(later, Map):
                words = program.machine.words(later.length)
                if later.source <= i.target < later.source + words:
                    return later.population
    return str(getattr(i, "comment", "") or i.opcode)


def _cycles(program: Program, i: Instruction, events: float) -> float:
    if isinstance(i, Cnv):  # one of values as if none of them were 0
        return float(ConvolutionTiming(program.machine).busy(i, events))
    if isinstance(i, Map):
        return float(i.length)
    if isinstance(i, Upd):
        return float(i.rows * i.words if i.gate == "always" else events * i.words)
    cycles: Any = busy_cycles([i], [events])  # type: ignore[list-item]
    return float(cycles)
