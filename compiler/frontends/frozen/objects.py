"""Networks of Nengo as plain JSON and arrays, and back: objects, their order and their ends.

The order of objects is kept, and with it the order in which Nengo adds up what meets in a sum.
"""

from __future__ import annotations

from typing import Any

import nengo
import numpy as np
from nengo.base import ObjView
from nengo.connection import LearningRule
from nengo.ensemble import Neurons
from nengo.processes import PresentInput
from nengo.solvers import NoSolver

from ...errors import ModelError
from ..nengo.streams import Recording
from .types import (
    Arrays,
    Json,
    neurons_from_json,
    neurons_to_json,
    plain,
    synapse_from_json,
    synapse_to_json,
    transform_from_json,
    transform_to_json,
)

_UNFROZEN = "freeze it first (spikeloom.export does)"


class FullWeights(NoSolver):
    """Weights from neurons to neurons as they were built, gains and encoders included.

    Nengo's `NoSolver` with ``weights=True`` would apply transform and encoders to them once more.
    """

    compositional = False

    def __init__(self, values: Any = None) -> None:
        super().__init__(values, weights=True)


def object_name(obj: Any, place: int | None = None) -> str:
    """How a person finds an object: by its label, or by its class and place."""
    if isinstance(obj, ObjView):
        return object_name(obj.obj)
    if isinstance(obj, Neurons):
        return object_name(obj.ensemble)
    kind = type(obj).__name__
    if obj.label:
        return f"{kind} {obj.label!r}"
    if isinstance(obj, nengo.Connection):
        return f"{kind} {object_name(obj.pre_obj)} -> {object_name(obj.post_obj)}"
    if isinstance(obj, nengo.Probe):
        return f"{kind} of {object_name(obj.obj)}"
    return f"unnamed {kind}" if place is None else f"{kind} {place}"


def network_to_json(network: nengo.Network, arrays: Arrays) -> Json:
    """A frozen network as JSON.

    Raises
    ------
    ModelError
        If something in it cannot be stored; it names the object.
    """
    return _Writer(network, arrays).network(network)


def network_from_json(data: Json, arrays: Arrays) -> nengo.Network:
    """The inverse of `network_to_json`."""
    # Networks of their own defaults (nengo.Config) around this call must not reach in.
    with nengo.Network(add_to_container=False):
        return _Reader(arrays).read(data)


class _Writer:
    def __init__(self, network: nengo.Network, arrays: Arrays) -> None:
        self._arrays = arrays
        self._numbers: dict[Any, list[Any]] = {}
        for kind, objects in (
            ("ensemble", network.all_ensembles),
            ("node", network.all_nodes),
            ("connection", network.all_connections),
        ):
            self._numbers |= {obj: [kind, i] for i, obj in enumerate(objects)}

    def network(self, network: nengo.Network) -> Json:
        return {
            "label": network.label,
            "seed": None if network.seed is None else int(network.seed),
            "ensembles": [self._ensemble(e) for e in network.ensembles],
            "nodes": [self._node(n) for n in network.nodes],
            "networks": [self.network(sub) for sub in network.networks],
            "connections": [self._connection(c) for c in network.connections],
            "probes": [self._probe(p) for p in network.probes],
        }

    def _ensemble(self, ens: nengo.Ensemble) -> Json:
        name = object_name(ens, self._numbers[ens][1])
        if ens.noise is not None:
            raise ModelError(f"{name}: its noise is a random process; remove it (noise=None)")
        data: Json = {
            "number": self._numbers[ens][1],
            "label": ens.label,
            "seed": None if ens.seed is None else int(ens.seed),
            "neurons": int(ens.n_neurons),
            "dimensions": int(ens.dimensions),
            "radius": plain(ens.radius),
            "type": neurons_to_json(ens.neuron_type, self._arrays, name),
        }
        if isinstance(ens.neuron_type, nengo.Direct):
            return data
        for key in ("encoders", "gain", "bias"):
            value = getattr(ens, key)
            if not isinstance(value, np.ndarray):
                raise ModelError(f"{name}: its {key} is still to be drawn; {_UNFROZEN}")
            data[key] = self._arrays.put(value)
        if ens.normalize_encoders:
            raise ModelError(f"{name}: its encoders are still to be normalised; {_UNFROZEN}")
        missing = set(ens.neuron_type.state) - set(ens.neuron_type.initial_state or {})
        if missing:
            raise ModelError(f"{name}: its {min(missing)} is still to be drawn; {_UNFROZEN}")
        return data

    def _node(self, node: nengo.Node) -> Json:
        name = object_name(node, self._numbers[node][1])
        data: Json = {
            "number": self._numbers[node][1],
            "label": node.label,
            "size_in": int(node.size_in),
            "output": None,
        }
        output = node.output
        if isinstance(output, PresentInput):
            data["output"] = {
                "inputs": self._arrays.put(output.inputs),
                "seconds": plain(output.presentation_time),
            }
        elif isinstance(output, Recording):
            rows = self._arrays.put(output.values)
            data["output"] = {"rows": rows, "repeat": bool(output.repeat)}
        elif isinstance(output, nengo.Process):
            raise ModelError(
                f"{name}: its process {type(output).__name__} cannot be stored; give it the values "
                "(PresentInput or an array)"
            )
        elif callable(output):
            raise ModelError(
                f"{name}: it computes a Python function, which cannot be stored; give it an array "
                "(np.zeros(SIZE) for an input) or PresentInput, or compile the Python file itself"
            )
        elif output is not None:
            data["output"] = {"constant": self._arrays.put(output)}
        return data

    def _connection(self, conn: nengo.Connection) -> Json:
        name = object_name(conn)
        if conn.learning_rule_type is not None:
            raise ModelError(
                f"{name}: it has a learning rule, a stored network does not learn; remove the rule "
                "(learning_rule_type=None), or compile the Python file itself"
            )
        is_decoded = isinstance(conn.pre_obj, nengo.Ensemble) and not isinstance(
            conn.pre_obj.neuron_type, nengo.Direct
        )
        if callable(conn.function) and not (is_decoded and isinstance(conn.solver, NoSolver)):
            raise ModelError(
                f"{name}: it computes a Python function, which cannot be stored; "
                + (_UNFROZEN if is_decoded else "compile the Python file itself")
            )
        data: Json = {
            "number": self._numbers[conn][1],
            "label": conn.label,
            # Decoders are those of the whole ensemble, whatever part of it their function saw.
            "pre": self._end(conn.pre_obj if is_decoded else conn.pre, name),
            "post": self._end(conn.post, name),
            "synapse": synapse_to_json(conn.synapse, self._arrays, name),
            "transform": transform_to_json(conn.transform, self._arrays, name),
            "decoders": None,
        }
        if is_decoded:
            data["decoders"] = self._decoders(conn.solver, name)
        return data

    def _decoders(self, solver: Any, name: str) -> Json:
        kinds = {NoSolver: "decoders", FullWeights: "weights"}
        if type(solver) not in kinds or (type(solver) is NoSolver and solver.weights):
            raise ModelError(f"{name}: its decoders are still to be solved for; {_UNFROZEN}")
        if solver.values is None:
            raise ModelError(f"{name}: its decoders are not given; {_UNFROZEN}")
        return {"kind": kinds[type(solver)], "values": self._arrays.put(solver.values)}

    def _probe(self, probe: nengo.Probe) -> Json:
        name = object_name(probe)
        data: Json = {
            "label": probe.label,
            "target": self._end(probe.target, name),
            "attr": probe.attr,
            "sample_every": None if probe.sample_every is None else plain(probe.sample_every),
            "synapse": synapse_to_json(probe.synapse, self._arrays, name),
            "decoders": None,
        }
        ens = probe.obj
        if (
            isinstance(ens, nengo.Ensemble)
            and probe.attr == "decoded_output"
            and not isinstance(ens.neuron_type, nengo.Direct)
        ):
            data["decoders"] = self._decoders(probe.solver, name)
        return data

    def _end(self, end: Any, name: str) -> Json:
        obj = end.obj if isinstance(end, ObjView) else end
        if isinstance(obj, LearningRule):
            raise ModelError(f"{name}: its end is a learning rule; a stored network does not learn")
        if isinstance(obj, Neurons):
            reference = ["neurons", self._numbers[obj.ensemble][1]]
        else:
            reference = self._numbers[obj]
        part: Any = None
        if isinstance(end, ObjView):
            chosen = end.slice
            if isinstance(chosen, slice):
                part = [chosen.start, chosen.stop, chosen.step]
            else:
                part = self._arrays.put(np.asarray(chosen, dtype=np.int64))
        return {"object": reference, "slice": part}


class _Reader:
    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self._objects: dict[tuple[str, int], Any] = {}

    def read(self, data: Json) -> nengo.Network:
        network = self._objects_of(data)
        self._links_of(data, network)
        self._probes_of(data, network)
        return network

    def _objects_of(self, data: Json) -> nengo.Network:
        network = nengo.Network(label=data["label"], seed=data["seed"])
        with network:
            for item in data["ensembles"]:
                self._objects["ensemble", item["number"]] = self._ensemble(item)
            for item in data["nodes"]:
                self._objects["node", item["number"]] = self._node(item)
            for item in data["networks"]:
                self._objects_of(item)
        return network

    def _links_of(self, data: Json, network: nengo.Network) -> None:
        with network:
            for item in data["connections"]:
                self._objects["connection", item["number"]] = self._connection(item)
        for item, sub in zip(data["networks"], network.networks, strict=True):
            self._links_of(item, sub)

    def _probes_of(self, data: Json, network: nengo.Network) -> None:
        with network:
            for item in data["probes"]:
                self._probe(item)
        for item, sub in zip(data["networks"], network.networks, strict=True):
            self._probes_of(item, sub)

    def _ensemble(self, data: Json) -> nengo.Ensemble:
        owner = f"Ensemble {data['label'] or data['number']!r}"
        neuron_type = neurons_from_json(data["type"], self._arrays, owner)
        arguments: Json = {"label": data["label"], "seed": data["seed"]}
        if not isinstance(neuron_type, nengo.Direct):
            arguments |= {
                "encoders": self._arrays.get(data["encoders"]),
                "gain": self._arrays.get(data["gain"]),
                "bias": self._arrays.get(data["bias"]),
                "normalize_encoders": False,
            }
        # Points at which decoders would be solved: none are, and few points are quickly drawn.
        points = np.zeros((1, data["dimensions"]))
        return nengo.Ensemble(
            data["neurons"],
            data["dimensions"],
            radius=data["radius"],
            neuron_type=neuron_type,
            eval_points=points,
            **arguments,
        )

    def _node(self, data: Json) -> nengo.Node:
        output = data["output"]
        if output is None:
            return nengo.Node(size_in=data["size_in"], label=data["label"])
        if "constant" in output:
            return nengo.Node(self._arrays.get(output["constant"]), label=data["label"])
        shown: nengo.Process
        if "rows" in output:
            shown = Recording(self._arrays.get(output["rows"]), output["repeat"])
        else:
            shown = PresentInput(self._arrays.get(output["inputs"]), output["seconds"])
        return nengo.Node(shown, label=data["label"])

    def _connection(self, data: Json) -> nengo.Connection:
        owner = f"Connection {data['label'] or data['number']!r}"
        pre, post = self._end(data["pre"]), self._end(data["post"])
        transform = transform_from_json(data["transform"], self._arrays, owner)
        arguments: Json = {}
        if data["decoders"] is not None:
            arguments = decoded(self._solver(data["decoders"]), pre, transform.size_in)
        return nengo.Connection(
            pre,
            post,
            synapse=synapse_from_json(data["synapse"], self._arrays, owner),
            transform=transform,
            label=data["label"],
            **arguments,
        )

    def _solver(self, data: Json) -> NoSolver:
        values = self._arrays.get(data["values"])
        return FullWeights(values) if data["kind"] == "weights" else NoSolver(values)

    def _probe(self, data: Json) -> nengo.Probe:
        owner = f"Probe {data['label'] or data['target']['object']!r}"
        arguments: Json = {}
        if data["decoders"] is not None:
            arguments["solver"] = self._solver(data["decoders"])
        return nengo.Probe(
            self._end(data["target"]),
            data["attr"],
            sample_every=data["sample_every"],
            synapse=synapse_from_json(data["synapse"], self._arrays, owner),
            label=data["label"],
            **arguments,
        )

    def _end(self, data: Json) -> Any:
        kind, number = data["object"]
        if kind == "neurons":
            obj = self._objects["ensemble", number].neurons
        else:
            obj = self._objects[kind, number]
        part = data["slice"]
        if part is None:
            return obj
        if isinstance(part, list):
            return obj[slice(*part)]
        return obj[self._arrays.get(part).tolist()]


def decoded(solver: NoSolver, ensemble: nengo.Ensemble, size: int) -> dict[str, Any]:
    """Arguments of a connection that decodes with given values, of whatever function.

    Parameters
    ----------
    solver : NoSolver
    ensemble : nengo.Ensemble
        Where it begins.
    size : int
        Size of what its transform is applied to.
    """
    # Nengo wants to know the function, for its size; with these solvers it never looks at it.
    return {
        "solver": solver,
        "eval_points": np.zeros((1, ensemble.dimensions)),
        "function": np.zeros((1, size)),
    }
