"""A network whose numbers are those that were built: nothing is drawn or solved for again.

Gains, biases, encoders, decoders, transforms and initial states are taken from a built model (of
Nengo, or of NengoDL after training), so that the frozen network does what that model did.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nengo
import numpy as np
from nengo import transforms
from nengo.base import ObjView
from nengo.builder import Model
from nengo.ensemble import Neurons
from nengo.solvers import NoSolver

from ...errors import ModelError
from ...kernels.kernel import Parameter
from ..nengo.neuron_type import KernelNeurons
from .objects import FullWeights, decoded, object_name
from .types import sparse_matrix

Part = tuple[Any, Any]
"""Where connections into an object end, and where those out of it begin."""


@dataclass
class Built:
    """The numbers of a built model.

    Attributes
    ----------
    model : nengo.builder.Model
        As Nengo's builder, or NengoDL's, left it.
    ensemble : callable
        ``(encoders, gain, bias)`` of an ensemble; encoders as the gain and the radius scale them.
    weights : callable
        Weights of a connection as they are applied, or None for a connection without any.
    make : callable, optional
        Makes, in the current network, what stands for a node that is no node of Nengo (a
        TensorNode); returns None for nodes of Nengo.
    """

    model: Model
    ensemble: Callable[[nengo.Ensemble], tuple[np.ndarray, np.ndarray, np.ndarray]]
    weights: Callable[[nengo.Connection], Any]
    make: Callable[[nengo.Node], Part | None] = lambda node: None


def build(network: nengo.Network, dt: float = 0.001) -> Built:
    """Build a network of Nengo and give its numbers.

    Parameters
    ----------
    network : nengo.Network
    dt : float
        Time step in seconds (does not change the numbers of neurons and connections).
    """
    model = Model(dt=dt, decoder_cache=nengo.cache.NoDecoderCache())
    model.build(network)

    def ensemble(ens: nengo.Ensemble) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        built = model.params[ens]
        return built.encoders, built.gain, built.bias

    return Built(model, ensemble, lambda conn: model.params[conn].weights)


def freeze(network: nengo.Network, built: Built | None = None) -> nengo.Network:
    """A copy of a network with every number given.

    Parameters
    ----------
    network : nengo.Network
    built : Built, optional
        What was built of it; it is built now if left out.

    Returns
    -------
    nengo.Network
        The same objects in the same order, with the same labels; it spikes as the built one.

    Raises
    ------
    ModelError
        If it computes Python functions between nodes, learns, or has random processes.
    """
    return _Freezer(built or build(network)).freeze(network)


class _Freezer:
    def __init__(self, built: Built) -> None:
        self._built = built
        self._model = built.model
        self._parts: dict[Any, Part] = {}
        self._hidden = {
            conn.post: conn
            for conn in self._model.params
            if isinstance(conn, nengo.Connection) and isinstance(conn.post, nengo.Probe)
        }

    def freeze(self, network: nengo.Network) -> nengo.Network:
        with nengo.Network(add_to_container=False):
            copy = self._objects(network)
            self._links(network, copy)
        return copy

    def _objects(self, network: nengo.Network) -> nengo.Network:
        copy = nengo.Network(label=network.label, seed=network.seed)
        with copy:
            for ens in network.ensembles:
                new = self._ensemble(ens)
                self._parts[ens] = new, new
                self._parts[ens.neurons] = new.neurons, new.neurons
            for i, node in enumerate(network.nodes):
                self._parts[node] = self._built.make(node) or self._node(node, i)
            for sub in network.networks:
                self._objects(sub)
        return copy

    def _links(self, network: nengo.Network, copy: nengo.Network) -> None:
        subs = copy.networks[-len(network.networks) :] if network.networks else []
        for original, sub in zip(network.networks, subs, strict=True):
            self._links(original, sub)
        with copy:
            for conn in network.connections:
                self._parts[conn] = (self._connection(conn),) * 2
            for probe in network.probes:
                self._probe(probe)

    def _ensemble(self, ens: nengo.Ensemble) -> nengo.Ensemble:
        name = object_name(ens)
        if ens.noise is not None:
            raise ModelError(f"{name}: its noise is a random process; remove it (noise=None)")
        seed = self._model.seeds.get(ens, ens.seed)
        common: dict[str, Any] = {
            "radius": ens.radius,
            "label": ens.label,
            "seed": None if seed is None else int(seed),
            "eval_points": np.zeros((1, ens.dimensions)),
        }
        if isinstance(ens.neuron_type, nengo.Direct):
            return nengo.Ensemble(
                ens.n_neurons, ens.dimensions, neuron_type=nengo.Direct(), **common
            )
        encoders, gain, bias = self._built.ensemble(ens)
        return nengo.Ensemble(
            ens.n_neurons,
            ens.dimensions,
            encoders=np.array(encoders, dtype=float),
            normalize_encoders=False,
            gain=np.array(gain, dtype=float),
            bias=np.array(bias, dtype=float),
            neuron_type=self._neurons(ens),
            **common,
        )

    def _neurons(self, ens: nengo.Ensemble) -> nengo.neurons.NeuronType:
        signals = self._model.sig[ens.neurons]

        def with_states(neuron_type: Any) -> Any:
            states = {
                name: np.array(signals[name].initial_value, dtype=float)
                for name in neuron_type.state
            }
            changes: dict[str, Any] = {"initial_state": states or None}
            base = getattr(neuron_type, "base_type", None)
            if base is not None:
                changes["base_type"] = with_states(base)
            return changed(neuron_type, changes)

        return with_states(ens.neuron_type)

    def _node(self, node: nengo.Node, place: int) -> Part:
        output = node.output
        if callable(output) and not isinstance(output, nengo.Process):
            raise ModelError(
                f"{object_name(node, place)}: it computes a Python function, which cannot be "
                "frozen; give it an array (np.zeros(SIZE) for an input) or PresentInput, or "
                "compile the Python file itself"
            )
        if output is None:
            new = nengo.Node(size_in=node.size_in, label=node.label)
        else:
            new = nengo.Node(output, label=node.label)
        return new, new

    def _end(self, end: Any, side: int) -> Any:
        obj = end.obj if isinstance(end, ObjView) else end
        if obj not in self._parts:
            return obj  # a learning rule; whoever uses it refuses it
        new = self._parts[obj][side]
        return new[end.slice] if isinstance(end, ObjView) else new

    def _connection(self, conn: nengo.Connection) -> nengo.Connection:
        name = object_name(conn)
        if conn.learning_rule_type is not None:
            raise ModelError(
                f"{name}: it has a learning rule, a frozen network does not learn; remove the rule "
                "(learning_rule_type=None), or compile the Python file itself"
            )
        pre, post = self._end(conn.pre, 1), self._end(conn.post, 0)
        common = {"synapse": conn.synapse, "label": conn.label}
        is_decoded = isinstance(conn.pre_obj, nengo.Ensemble) and not isinstance(
            conn.pre_obj.neuron_type, nengo.Direct
        )
        if not is_decoded:
            if conn.function is not None:
                raise ModelError(
                    f"{name}: it computes a Python function, which cannot be frozen; compute it in "
                    "an ensemble, or compile the Python file itself"
                )
            transform = with_weights(conn.transform, self._built.weights(conn))
            return nengo.Connection(pre, post, transform=transform, **common)
        solver = self._solver(conn)
        ensemble = self._parts[conn.pre_obj][1]
        # The weights hold what slice, function and transform there were; full weights also hold
        # the encoders.
        size = conn.post.size_in
        return nengo.Connection(
            ensemble,
            post,
            transform=transforms.NoTransform(size),
            **decoded(solver, ensemble, size),
            **common,
        )

    def _solver(self, conn: nengo.Connection) -> NoSolver:
        weights = np.array(self._built.weights(conn), dtype=float)
        if isinstance(conn.post_obj, nengo.Ensemble) and conn.solver.weights:
            return FullWeights(weights.T)
        return NoSolver(weights.T)

    def _probe(self, probe: nengo.Probe) -> None:
        arguments: dict[str, Any] = {}
        conn = self._hidden.get(probe)
        ens = probe.obj
        if (
            conn is not None
            and isinstance(ens, nengo.Ensemble)
            and not isinstance(ens.neuron_type, nengo.Direct)
        ):
            arguments["solver"] = NoSolver(np.array(self._built.weights(conn), dtype=float).T)
        target = self._end(probe.target, 1)
        obj = target.obj if isinstance(target, ObjView) else target
        if not isinstance(obj, (nengo.Node, nengo.Ensemble, Neurons, nengo.Connection)):
            raise ModelError(
                f"{object_name(probe)}: it looks at a {type(obj).__name__}, which a frozen network "
                "does not have; remove the probe"
            )
        nengo.Probe(
            target,
            probe.attr,
            sample_every=probe.sample_every,
            synapse=probe.synapse,
            label=probe.label,
            **arguments,
        )


def with_weights(transform: transforms.Transform, weights: Any) -> transforms.Transform:
    """A transform of the same shape with the given weights (None: it has none)."""
    if isinstance(transform, transforms.NoTransform) or weights is None:
        return transform
    if isinstance(transform, transforms.Dense):
        return transforms.Dense(transform.shape, init=np.array(weights, dtype=float))
    if isinstance(transform, transforms.Sparse):
        # NengoDL gives the entries alone, in the order of the transform's own.
        if isinstance(weights, np.ndarray) and weights.ndim == 1:
            indices = sparse_matrix(transform.init).indices
            return transforms.Sparse(transform.shape, indices=indices, init=weights.astype(float))
        matrix = sparse_matrix(weights)
        return transforms.Sparse(transform.shape, indices=matrix.indices, init=matrix.data)
    return changed(transform, {"init": np.array(weights, dtype=float)})


def changed(frozen: Any, changes: dict[str, Any]) -> Any:
    """A neuron type or transform like another, with some of its arguments changed."""
    names = [
        name
        for name, parameter in inspect.signature(type(frozen)).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    if isinstance(frozen, KernelNeurons):
        names += frozen.kernel_class.declared(Parameter)
    return type(frozen)(**{name: getattr(frozen, name) for name in names} | changes)
