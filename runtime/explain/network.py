"""A network explained: its layers, its connections and its tables, to be checked by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nengo
import numpy as np
import scipy.sparse as sp

from ...compiler.compile import compile_graph
from ...compiler.disassembly import parameter_text
from ...compiler.errors import InputError, ModelError
from ...compiler.frontends.nengo.neuron_type import KernelNeurons
from ...compiler.instructions import Map
from ...compiler.machine import Machine
from ..calibration import calibrated
from ..deployment import DEFAULT_SEED, ensemble_rows, quiet_ranges
from ..recording import RecordingSimulator
from .neuron import explain_neuron, find_neuron
from .tables import weight_tables

PARAMETERS = (
    "tau_rc", "tau_ref", "min_voltage", "tau_n", "inc_n", "amplitude",
    "tau_recovery", "coupling", "reset_voltage", "reset_recovery",
)  # fmt: skip
"""Attributes of Nengo's neuron types that a person would look up."""

LARGEST_PRODUCT = 1 << 26
"""Elements of a matrix of full weights that is worked out only to tell its range."""


def explain(
    network: nengo.Network,
    steps: int = 50,
    neuron: str | None = None,
    dt: float = 0.001,
    engine: str = "native",
    machine: Machine | None = None,
) -> dict[str, Any]:
    """Explain a network and one of its neurons.

    Parameters
    ----------
    network : nengo.Network
        A network without a seed gets one.
    steps : int
        How many steps of the neuron are shown.
    neuron : str, optional
        ``NAME[i]``; the first neuron of the first ensemble if left out.
    dt : float
        Seconds.
    engine : str
    machine : Machine, optional

    Returns
    -------
    dict
        A JSON object: ``layers`` (a row for each ensemble), ``connections``, ``tables`` (what was
        folded, as integers) and ``neuron`` (`spikeloom.runtime.explain.neuron`).

    Raises
    ------
    ModelError
        If nothing of the network runs on the chip.
    InputError
        If there is no such neuron, or `steps` is not positive.
    """
    if steps < 1:
        raise InputError(f"--steps {steps}: must be at least 1")
    if network.seed is None:
        network.seed = DEFAULT_SEED
    options: dict[str, Any] = {
        "engine": engine,
        "machine": machine or Machine(),
        "progress_bar": False,
    }
    sim = RecordingSimulator(network, dt=dt, **options)
    if sim.chip is None:
        raise ModelError(f"{network.label or 'the network'}: nothing in it can run on the chip")
    place = find_neuron(sim, neuron)
    with quiet_ranges():
        sim, _ = calibrated(sim, steps, False, options)
        sim.reset(seed=sim.seed)
        sim.run_steps(steps)
    compilation = compile_graph(sim.graph, options["machine"])
    return {
        "model": network.label or sim.conversion.graph.name,
        "dt": dt,
        "machine": options["machine"].to_json(),
        "layers": list(layers(sim, compilation.program)),
        "connections": list(connections(sim)),
        "tables": [table.to_json() for table in weight_tables(compilation)],
        "neuron": explain_neuron(sim, place, steps, engine),
    }


def layers(sim: RecordingSimulator, program: Any) -> Iterator[dict[str, Any]]:
    """A row for each ensemble: as it was built, and how the chip holds it."""
    maps = {}
    for i in (i for i in program.instructions if isinstance(i, Map)):
        members = program.populations[i.population].members
        maps.update({name: i for name in (i.population, *(m for m, _, _ in members))})
    ensembles = [e for e in sim.model.params if isinstance(e, nengo.Ensemble)]
    for ensemble, row in zip(ensembles, ensemble_rows(sim, program), strict=True):
        kind, built = ensemble.neuron_type, sim.data[ensemble]
        of_kernel = kind.kernel().values if isinstance(kind, KernelNeurons) else {}
        row["parameters"] = {
            name: float(getattr(kind, name))
            for name in dict.fromkeys((*PARAMETERS, *of_kernel))
            if isinstance(getattr(kind, name, None), (int, float))
        }
        row["spiking"] = bool(kind.spiking)
        row["max_rates"] = _extent(built.max_rates)
        instruction = maps.get(row["name"])
        row["formats"] = None
        if instruction is not None:
            population = program.populations[instruction.population]
            code = program.kernels[instruction.kernel]
            names = [port.name for port in code.states]
            row["registers"] = parameter_text(instruction, code)
            row["formats"] = {
                "current": population.input_unit,
                **dict(zip(names, population.state_units, strict=True)),
            }
        yield row


def connections(sim: RecordingSimulator) -> Iterator[dict[str, Any]]:
    """A row for each connection: its weights, and what a spike through it is worth."""
    names = sim.conversion.names
    for connection in (c for c in sim.model.params if isinstance(c, nengo.Connection)):
        weights = sim.data[connection].weights
        pre, post = connection.pre_obj, connection.post_obj
        kind = getattr(getattr(pre, "ensemble", pre), "neuron_type", None)
        row: dict[str, Any] = {
            "name": names.of(connection),
            "transform": type(connection.transform).__name__,
            "shape": list(_shape(weights)),
            "synapse": None if connection.synapse is None else str(connection.synapse),
            "learned": connection.learning_rule is not None,
            "weights": _extent(_plain(weights)),
            "into": "current" if isinstance(post, nengo.ensemble.Neurons | nengo.Ensemble)
            else "value",
            "spike_value": None,
            "first": None,
            "one_spike": None,
        }  # fmt: skip
        if kind is not None and kind.spiking:
            value = float(getattr(kind, "amplitude", 1.0)) / sim.dt
            first = first_share(connection.synapse, sim.dt)
            row["spike_value"], row["first"] = value, first
            reach = _onto_neurons(sim, connection, weights)
            if reach is not None:
                row["one_spike"] = [value * first * end for end in reach]
        yield row


def first_share(synapse: Any, dt: float) -> float:
    """The share of an impulse that a synapse lets through in the first step it shows."""
    if synapse is None:
        return 1.0
    try:
        response = synapse.filt(np.eye(8, 1), dt=dt, y0=0).ravel()
    except (AttributeError, NotImplementedError):
        return 1.0
    shown = np.flatnonzero(response)
    return float(response[shown[0]]) if len(shown) else 0.0


def _onto_neurons(
    sim: RecordingSimulator, connection: nengo.Connection, weights: Any
) -> tuple[float, float] | None:
    """Smallest and largest weight, times the gain of the neurons behind it where there are some."""
    post = connection.post_obj
    plain = _plain(weights)
    if isinstance(post, nengo.ensemble.Neurons):
        gain = np.asarray(sim.data[post.ensemble].gain)[connection.post_slice]
        if np.ptp(gain) == 0 or plain.ndim == 0:
            return _extent(np.multiply.outer(plain, gain[:1] if plain.ndim else gain))
        if plain.ndim == 2 and len(plain) == len(gain):
            return _extent(plain * gain[:, None])
        if plain.ndim == 1 and len(plain) == len(gain):
            return _extent(plain * gain)
        ends = np.multiply.outer(_extent(plain), _extent(gain))
        return _extent(ends)
    if isinstance(post, nengo.Ensemble):
        encoders = np.asarray(sim.data[post].scaled_encoders)[:, connection.post_slice]
        if plain.ndim < 2:
            plain = np.diag(np.broadcast_to(plain, encoders.shape[1]))
        if plain.shape[0] != encoders.shape[1] or encoders.shape[0] * plain.shape[1] > (
            LARGEST_PRODUCT
        ):
            return None
        return _extent(encoders @ plain)
    return _extent(plain)


def _shape(weights: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in getattr(weights, "shape", ()))


def _plain(weights: Any) -> np.ndarray:
    if weights is None:
        return np.array(1.0)
    if sp.issparse(weights) or hasattr(weights, "toarray"):
        return np.asarray(weights.toarray(), dtype=float)
    return np.asarray(weights, dtype=float)


def _extent(values: Any) -> tuple[float, float]:
    found = np.asarray(values if values is not None else [], dtype=float)
    return (float(found.min()), float(found.max())) if found.size else (0.0, 0.0)
