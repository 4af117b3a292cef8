"""The parameter map of a frozen network: what feeds each population, with which numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import nengo
import networkx as nx
import numpy as np
from nengo import transforms
from nengo.ensemble import Neurons

from .freeze import changed
from .parameter_map import LayerRecord


def network_records(
    network: nengo.Network,
    made: Mapping[Any, list[LayerRecord]] | None = None,
    inside: Iterable[Any] = (),
) -> list[LayerRecord]:
    """A record for each input and each population, in the order in which signals flow.

    Parameters
    ----------
    network : nengo.Network
        Frozen.
    made : mapping of object -> list of LayerRecord, optional
        Records of what was made from one object of the trained network; they stand in its place.
    inside : iterable of objects, optional
        Objects that those records speak of, and that get none of their own.
    """
    made, inside = made or {}, set(inside)
    names = _names(network, "")
    records: list[LayerRecord] = []
    for obj in _in_order(network):
        if obj in made:
            records += made[obj]
        elif obj in inside:
            continue
        elif isinstance(obj, nengo.Ensemble):
            records.append(_population(obj, network, names))
        elif obj.output is not None:
            size = (int(obj.size_out),)
            name = names[obj]
            kind = "constant" if _constant(obj.output) else "input"
            records.append(LayerRecord(name, kind, "Node", size, size, objects=(name,)))
    return records


def _in_order(network: nengo.Network) -> list[Any]:
    graph = nx.DiGraph()
    graph.add_nodes_from([*network.all_nodes, *network.all_ensembles])
    for conn in network.all_connections:
        graph.add_edge(_owner(conn.pre_obj), _owner(conn.post_obj))
    # Populations that feed each other in a circle have no order but that in which they were made.
    circles = nx.condensation(graph)
    place = {obj: i for i, obj in enumerate(graph)}
    order = nx.lexicographical_topological_sort(
        circles, key=lambda c: min(place[obj] for obj in circles.nodes[c]["members"])
    )
    return [
        obj for c in order for obj in sorted(circles.nodes[c]["members"], key=place.__getitem__)
    ]


def _owner(obj: Any) -> Any:
    return obj.ensemble if isinstance(obj, Neurons) else obj


def _names(network: nengo.Network, path: str) -> dict[Any, str]:
    """As the compiler calls them: by labels, or by class and place in their network."""
    names = {}
    for objects in (network.ensembles, network.nodes):
        for i, obj in enumerate(objects):
            names[obj] = path + (obj.label or f"{type(obj).__name__} {i}")
    for i, sub in enumerate(network.networks):
        names |= _names(sub, f"{path}{sub.label or f'{type(sub).__name__} {i}'}/")
    return names


def _population(ens: nengo.Ensemble, network: nengo.Network, names: dict[Any, str]) -> LayerRecord:
    name = names[ens]
    incoming = [c for c in network.all_connections if _owner(c.post_obj) is ens]
    kernels = [c for c in incoming if weight_shape(c) is not None]
    own = gain = None
    if not isinstance(ens.neuron_type, nengo.Direct):
        own, gain = _ends(ens.bias), _ends(ens.gain)
    synapses = {str(c.synapse) for c in network.all_connections if _owner(c.pre_obj) is ens}
    return LayerRecord(
        name,
        "neurons",
        "Ensemble",
        (int(ens.dimensions),),
        (int(ens.n_neurons),),
        weight_shape(kernels[0]) if len(kernels) == 1 else None,
        None,
        own,
        gain,
        neuron_text(ens.neuron_type),
        ", ".join(sorted(synapses)) or None,
        (name,),
        "; ".join(_incoming(c, names) for c in incoming),
    )


def _incoming(conn: nengo.Connection, names: dict[Any, str]) -> str:
    shape = weight_shape(conn)
    what = "identity" if shape is None else "W " + "x".join(map(str, shape))
    if isinstance(conn.transform, transforms.Convolution):
        what = f"convolution {what}"
    where = "" if isinstance(conn.post_obj, Neurons) else " through the encoders"
    filtered = "" if conn.synapse is None else f", {conn.synapse}"
    return f"from {names[_owner(conn.pre_obj)]}: {what}{where}{filtered}"


def weight_shape(conn: nengo.Connection) -> tuple[int, ...] | None:
    """Shape of a frozen connection's weights; None where it passes values as they are."""
    values = getattr(conn.solver, "values", None)
    if isinstance(conn.pre_obj, nengo.Ensemble) and values is not None:
        return tuple(int(n) for n in values.T.shape)
    transform = conn.transform
    if isinstance(transform, transforms.NoTransform):
        return None
    if isinstance(transform, transforms.Sparse):
        return tuple(int(n) for n in transform.shape)
    init = np.asarray(transform.init)
    if init.ndim == 0 and float(init) == 1.0:
        return None
    return tuple(int(n) for n in init.shape)


def neuron_text(neuron_type: nengo.neurons.NeuronType) -> str:
    """A neuron type with its parameters, without the states of every neuron."""
    if not neuron_type.initial_state:
        return str(neuron_type)
    try:
        return str(changed(neuron_type, {"initial_state": None}))
    except (TypeError, AttributeError):  # a class of the user's, made in a way of its own
        return f"{type(neuron_type).__name__}()"


def _ends(values: Any) -> tuple[float, float]:
    array = np.asarray(values, dtype=float)
    return float(array.min()), float(array.max())


def _constant(output: Any) -> bool:
    """Whether a node's output is a number of the network, such as a bias; inputs are zero."""
    return not isinstance(output, nengo.Process) and bool(np.any(output))
