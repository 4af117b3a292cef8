"""One neuron, all the way: what it was built with, what is uploaded, and its first steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import nengo
import numpy as np
import scipy.sparse as sp

from ...compiler.compile import Compilation, compile_graph
from ...compiler.disassembly import parameter_text
from ...compiler.errors import InputError, ModelError
from ...compiler.frontends.frozen.network_map import neuron_text
from ...compiler.graph import (
    Graph,
    Observation,
    Population,
    Vector,
)
from ...compiler.instructions import Map
from ...compiler.kernels.neurons import SpikingRectifiedLinear
from ...compiler.kernels.step_neurons import SteppedNeuron
from ...compiler.passes.quantise import integers
from ...sim.evaluate import fit
from ..engines import create_engine
from ..recording import RecordingSimulator
from ..standalone import quantise

DEEPEST = 4
"""So many sums and synapses in front of a neuron are followed."""

_OBSERVED = "explained"


@dataclass(frozen=True)
class Place:
    """Where a neuron of the model is.

    Attributes
    ----------
    ensemble : nengo.Ensemble
    name : str
        Of the ensemble.
    node : str
        Its population in the Graph as the frontend made it.
    index : int
    """

    ensemble: nengo.Ensemble
    name: str
    node: str
    index: int


def find_neuron(sim: RecordingSimulator, reference: str | None) -> Place:
    """The neuron called ``NAME[i]`` (``NAME``: its first); the first of the model if None.

    Where a convolution leads to the ensemble or from it, ``NAME[y,x,c]`` will do.

    Raises
    ------
    InputError
        If there is no such neuron on the chip.
    """
    places = populations(sim)
    if not places:
        raise ModelError("no ensemble of the network runs on the chip: no neuron to explain")
    name, numbers = _parse(reference) if reference is not None else (next(iter(places)), (0,))
    if name not in places:
        known = ", ".join(places)
        raise InputError(f"--neuron {reference}: no ensemble {name!r} on the chip; it has: {known}")
    ensemble, node = places[name]
    shape = (ensemble.n_neurons,)
    if len(numbers) > 1:
        shape = shapes(sim).get(name, shape)
    if len(numbers) != len(shape) or any(i >= n for i, n in zip(numbers, shape, strict=True)):
        size = " x ".join(map(str, shape))
        raise InputError(f"--neuron {reference}: {name} has {size} neurons, numbered from 0")
    return Place(ensemble, name, node, int(np.ravel_multi_index(numbers, shape)))


def shapes(sim: RecordingSimulator) -> dict[str, tuple[int, ...]]:
    """Shapes of what convolutions lead from and to, by its name."""
    names, found = sim.conversion.names, {}
    for c in (c for c in sim.model.params if isinstance(c, nengo.Connection)):
        if isinstance(c.transform, nengo.Convolution):
            for end, kind in ((c.pre, c.transform.input_shape), (c.post, c.transform.output_shape)):
                if not isinstance(end, nengo.base.ObjView):
                    found[names.of(end)] = tuple(kind.shape)
            found[f"{names.of(c)}.synapse"] = tuple(c.transform.output_shape.shape)
    return found


def populations(sim: RecordingSimulator) -> dict[str, tuple[nengo.Ensemble, str]]:
    """Ensemble and population of the Graph by the ensemble's name, for those on the chip."""
    nodes: dict[str, list[str]] = {}
    for node in sim.graph.nodes():
        if isinstance(node, Population):
            nodes.setdefault(node.origin, []).append(node.name)
    found: dict[str, tuple[nengo.Ensemble, str]] = {}
    for ensemble in (e for e in sim.model.params if isinstance(e, nengo.Ensemble)):
        origin = name = sim.conversion.names.of(ensemble)
        if nodes.get(origin):
            again = 1
            while name in found:  # several ensembles of one name
                again += 1
                name = f"{origin} #{again}"
            found[name] = (ensemble, nodes[origin].pop(0))
    return found


def _parse(reference: str) -> tuple[str, tuple[int, ...]]:
    """``NAME``, ``NAME[i]`` or ``NAME[y,x,c]``."""
    name, bracket, rest = reference.rpartition("[")
    parts = rest.removesuffix("]").split(",")
    if bracket and rest.endswith("]") and all(part.strip().isdigit() for part in parts):
        return name, tuple(int(part) for part in parts)
    return reference, (0,)


def explain_neuron(
    sim: RecordingSimulator, place: Place, steps: int, engine: str = "native"
) -> dict[str, Any]:
    """Everything about one neuron, as a JSON object.

    Parameters
    ----------
    sim : RecordingSimulator
        After a run of at least `steps` steps, which filled its record of inputs.
    place : Place
    steps : int
        Length of the trace.
    engine : str
    """
    graph = sim.graph.copy()
    node = graph[place.node]
    assert isinstance(node, Population)
    states = list(node.initial)
    for what in ("input", "output", *states):
        graph.observe(Observation(f"{_OBSERVED} {what}", place.node, what))
    compilation = compile_graph(graph, sim.program.machine if sim.program else None)
    found = _description(sim, compilation, place)
    found["steps"] = _trace(sim, compilation, place, states, steps, engine)
    return found


def _description(sim: RecordingSimulator, compilation: Compilation, place: Place) -> dict[str, Any]:
    program, formats = compilation.program, compilation.formats
    joint, start = _joint(compilation.graphs["group"], place.node)
    node = compilation.graphs["group"][joint]
    assert isinstance(node, Population)
    form, element = formats[joint], start + place.index
    assert form.accumulator is not None and form.input is not None
    info = program.populations[joint]
    instruction = _map(compilation, joint)
    code = program.kernels[instruction.kernel]
    built = sim.data[place.ensemble]
    amplitude = float(getattr(place.ensemble.neuron_type, "amplitude", 1.0))
    spiking = bool(place.ensemble.neuron_type.spiking)
    signals = []
    for slot, port in enumerate(code.states):
        unit, first = info.state_units[slot], form.states[slot]
        value = float(node.initial[port.name][element])
        signals.append(
            {
                "name": port.name,
                "fraction": first,
                "unit": unit,
                "range": [port.lo * unit, port.hi * unit],
                "initial": {"float": value, "integer": _state_word(program, instruction, slot,
                                                                   element)},
            }
        )  # fmt: skip
    voltage = next((s for s in signals if s["name"] == "voltage"), None)
    threshold = node.kernel.threshold
    if not isinstance(threshold, (int, float)):
        threshold = None  # none, or one that each neuron changes
    if threshold is None and isinstance(node.kernel, SpikingRectifiedLinear | SteppedNeuron):
        threshold = 1.0  # what its voltage is counted in
    bias = float(node.bias[element])
    return {
        "neuron": f"{place.name}[{place.index}]",
        "ensemble": place.name,
        "index": place.index,
        "type": neuron_text(place.ensemble.neuron_type),
        "kernel": code.name,
        "population": joint,
        "element": element,
        "gain": _element(built.gain, place.index),
        "own_bias": _element(built.bias, place.index),
        "bias": {
            "float": bias,
            "integer": round(math.ldexp(bias, form.accumulator)),
            "fraction": form.accumulator,
        },
        "current": {"fraction": form.input, "unit": info.input_unit,
                    "range": [code.input.lo * info.input_unit, code.input.hi * info.input_unit]},
        "sum": {"fraction": form.accumulator, "shift_to_current": instruction.input_shift},
        "threshold": None if voltage is None or threshold is None else {
            "float": float(threshold),
            "integer": round(threshold / voltage["unit"]),
        },
        "states": signals,
        "spike": None if not spiking else {
            "amplitude": amplitude,
            "value": amplitude / sim.dt,
        },
        "registers": parameter_text(instruction, code),
        "weights": _weights(compilation, joint, element, 1.0, DEEPEST),
        "shapes": {name: list(shape) for name, shape in shapes(sim).items()},
    }  # fmt: skip


def _state_word(program: Any, instruction: Map, slot: int, element: int) -> int:
    return int(program.state[slot, instruction.state + element])


def _element(values: Any, index: int) -> float | None:
    return None if values is None else float(np.asarray(values).reshape(-1)[index])


def _joint(graph: Graph, name: str) -> tuple[str, int]:
    """The node that holds population `name` after grouping, and its first element there."""
    if name in graph.nx:
        return name, 0
    for node in graph.nodes():
        if isinstance(node, Population):
            for member in node.members:
                if member.name == name:
                    return node.name, member.start
    raise ModelError(f"{name}: its neurons are nowhere on the chip")


def _map(compilation: Compilation, population: str) -> Map:
    for instruction in compilation.program.instructions:
        if isinstance(instruction, Map) and instruction.population == population:
            return instruction
    raise ModelError(f"{population}: nothing on the chip runs it")


def _weights(
    compilation: Compilation, name: str, element: int, factor: float, depth: int
) -> list[dict[str, Any]]:
    """The weights into one element of a node, and those in front of each synapse or sum.

    A synapse or sum is followed where it belongs to this element alone, as it is in front of a
    neuron with weights of its own. `factor` is what 1 at the element's input is worth as the
    neuron's current.
    """
    graph, formats = compilation.graphs["group"], compilation.formats
    form, found = formats[name], []
    assert form.accumulator is not None
    for source, _, edge in graph.edges_into(name):
        value = formats[source].value
        assert value is not None
        numbers, floats = row(edge.matrix, element)
        stored, _ = integers(floats.reshape(1, -1), form.accumulator - value, compilation.machine)
        node = graph[source]
        events = isinstance(node, Population) and node.kernel.emits == "events"
        unit = math.ldexp(1.0, value - form.accumulator)
        entry: dict[str, Any] = {
            "from": source,
            "what": edge.origin,
            "kind": "spikes" if events else "values",
            "learned": edge.plasticity is not None,
            "fraction": form.accumulator - value,
            "unit": unit,
            "elements": [int(n) for n in numbers],
            "float": [float(f) for f in floats],
            "integer": [int(i) for i in stored.ravel()],
            # What one spike, or a value of 1, adds to the current in the first step it is seen.
            "current": [float(i) * unit * factor for i in stored.ravel()],
        }
        carries = isinstance(node, Vector) or (
            isinstance(node, Population) and bool(node.kernel.homogeneous)
        )
        if carries and len(numbers) == 1 and depth:
            behind = _weights(
                compilation, source, int(numbers[0]), factor * float(floats[0]), depth - 1
            )
            entry["through"] = repr(node.kernel) if isinstance(node, Population) else "sum"
            entry["behind"] = behind
        found.append(entry)
    return found


def row(matrix: Any, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and values of the elements of a matrix's row that are not zero."""
    plain = sp.csr_array(matrix)[[number], :].toarray() if sp.issparse(matrix) else matrix[number]
    plain = np.asarray(plain, dtype=float).ravel()
    numbers = np.flatnonzero(plain)
    return numbers, plain[numbers]


def _trace(
    sim: RecordingSimulator,
    compilation: Compilation,
    place: Place,
    states: list[str],
    steps: int,
    engine: str,
) -> list[dict[str, Any]]:
    """Both simulations, step by step: floats of Nengo, integers of the chip, those decoded."""
    program = compilation.program
    joint, _ = _joint(compilation.graphs["group"], place.node)
    info, instruction = program.populations[joint], _map(compilation, joint)
    code = program.kernels[instruction.kernel]
    machine = create_engine(engine, program)
    inputs = {
        name: quantise(program, program.inputs[name], values[:steps])[0]
        for name, values in sim.sent().items()
    }
    names = [f"{_OBSERVED} {what}" for what in ("input", "output", *states)]
    raw = {n: v[:, place.index] for n, v in machine.run(steps, inputs, names).items()}
    current, _ = fit(raw[names[0]], instruction.input_shift, code.input.lo, code.input.hi)
    floating = float_trace(sim, place, states, steps)
    spiking = bool(place.ensemble.neuron_type.spiking)
    worth = float(getattr(place.ensemble.neuron_type, "amplitude", 1.0)) / sim.dt
    output = raw[names[1]] * program.outputs[names[1]].unit
    slots = [port.name for port in code.states]
    found = []
    for step in range(steps):
        entry: dict[str, Any] = {
            "step": step + 1,
            "current": _both(floating["current"][step], current[step], info.input_unit),
        }
        for what in states:
            unit = info.state_units[slots.index(what)]
            integer = raw[f"{_OBSERVED} {what}"][step]
            entry[what] = _both(floating[what][step], integer, unit)
        if spiking:
            entry["spikes"] = {
                "float": round(float(floating["output"][step]) / worth) if worth else 0,
                "fixed": round(float(output[step]) / worth) if worth else 0,
            }
        else:
            unit = program.outputs[names[1]].unit
            entry["output"] = _both(floating["output"][step], raw[names[1]][step], unit)
        found.append(entry)
    return found


def _both(value: float, integer: int, unit: float) -> dict[str, Any]:
    return {"float": float(value), "integer": int(integer), "decoded": float(integer * unit)}


def float_trace(
    sim: RecordingSimulator, place: Place, states: list[str], steps: int
) -> dict[str, np.ndarray]:
    """Current, output and states of a neuron in float Nengo, (steps,) each."""
    signals = sim.model.sig[place.ensemble.neurons]
    wanted = {"current": signals["in"], "output": signals["out"]}
    wanted |= {name: signals[name] for name in states if name in signals}
    found = {name: np.full(steps, np.nan) for name in ("current", "output", *states)}
    with nengo.Simulator(
        None, dt=sim.dt, model=sim.model, seed=sim.seed, progress_bar=False, optimize=False
    ) as floating:
        for step in range(steps):
            floating.step()
            for name, signal in wanted.items():
                found[name][step] = floating.signals[signal].reshape(-1)[place.index]
    return found
