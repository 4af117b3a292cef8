"""A NIR graph out of the compiler's Graph of a network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nengo
import nir
import numpy as np
import scipy.sparse as sp
from nengo.builder import Model
from nengo.builder.operator import SimPyFunc, TimeUpdate
from nengo.builder.processes import SimProcess

from ...graph import (
    Graph,
    Input,
    Observation,
    Population,
    Vector,
)
from ...passes.fold import fold
from ..nengo import Conversion
from ..nengo.placement import BEHIND, NOT_REACHED
from .edges import (
    Wire,
    collapse,
    shapes,
    whole_inputs,
    wires,
)
from .graph import closing_edges, moved_back
from .neurons import EULER, EXPONENTIAL
from .words import (
    NotSaid,
    is_delay,
    neuron_node,
    synapse_node,
    unit_of,
)


class Writer:
    """Makes a NIR graph of a converted network.

    Attributes
    ----------
    graph : nir.NIRGraph
        Only if there are no problems.
    problems : list of str
        What NIR has no word for, ``object: reason``.
    """

    def __init__(
        self,
        conversion: Conversion,
        model: Model,
        network: nengo.Network,
        method: str | None,
    ) -> None:
        self.conversion = conversion
        self.model = model
        self.network = network
        self.problems = list(dict.fromkeys(self._left_out()))
        self._places = {probe: self._probed(probe) for probe in network.all_probes}
        graph = conversion.graph.copy()
        for place in self._places.values():
            if place is not None:  # what is read must not be multiplied through
                graph.observe(Observation(f"\0{place[0]}", place[0], "output"))
        graph = whole_inputs(graph, conversion.plan.sends)
        self.lowered: Graph = collapse(fold(graph))
        self.method = method or self._usual_method()
        self._made: dict[str, Any] = {}
        self._biases: dict[str, np.ndarray] = {}
        for node in self.lowered.nodes():
            self._word(node)
        self._wires = wires(self.lowered, model, self._biases)
        self._layouts = {name: next(iter(s)) for name, s in shapes(self._wires).items()}
        self._nodes: dict[str, Any] = {}
        self._edges: list[tuple[str, str]] = []
        self._ends: dict[str, str] = {}
        self._delays: set[str] = set()
        self._labels: dict[str, str] = {}
        self._flat: dict[str, str] = {}
        for node in self.lowered.nodes():
            self._add(node)
        for wire in sorted(self._wires, key=lambda w: w.convolution is None):
            self._connect(wire)  # convolutions first: they take the biases of their targets
        self._add_outputs()
        for name, bias in self._biases.items():
            if bias.any():
                self.problems.append(f"{name} (a constant alone; connect an input to it)")
        if not self.problems:
            self._settle_delays()
            self._rename()
            meta = {"dt": float(self.lowered.dt), "method": self.method, "reset": "nir"}
            self.graph = nir.NIRGraph(self._nodes, self._edges, meta, type_check=False)

    # -- what cannot be said -----------------------------------------------------------------

    def _left_out(self) -> Iterator[str]:
        """Objects that do not run on the chip, learn, or wait for the host."""
        placement, names = self.conversion.placement, self.conversion.names
        for op, reason in placement.reasons.items():
            source = isinstance(op, SimProcess) and op.input is None
            source |= isinstance(op, SimPyFunc) and op.x is None
            if source or isinstance(op, TimeUpdate) or reason in (NOT_REACHED, BEHIND):
                continue
            signal = (op.sets + op.incs + op.updates)[0].base
            yield f"{names.of_signal(signal)} ({reason})"
        for node in self.conversion.graph.nodes():
            if isinstance(node, Input) and node.requires:
                yield f"{node.origin} (the host computes it from neurons; NIR has no functions)"
        for _, _, data in self.conversion.graph.nx.edges(data=True):
            learned = data["edge"].plasticity
            if learned is not None:
                yield f"{learned.origin or learned.name} (it learns; freeze its weights)"

    def _usual_method(self) -> str:
        kernels = [n.kernel for n in self.lowered.nodes() if isinstance(n, Population)]
        own = any(type(k).__name__ == "LIF" or (k.delayed and not is_delay(k)) for k in kernels)
        return EXPONENTIAL if own else EULER

    # -- nodes -------------------------------------------------------------------------------

    def _word(self, node: Any) -> None:
        """Find NIR's word for a node, and what must be added to its input."""
        if isinstance(node, Vector) or (isinstance(node, Population) and is_delay(node.kernel)):
            self._biases[node.name] = node.bias
        elif isinstance(node, Population):
            make = synapse_node if node.kernel.delayed else neuron_node
            try:
                made, bias = make(node, self.method, self.lowered.dt)
                self._made[node.name], self._biases[node.name] = made, bias
            except NotSaid as e:
                self.problems.append(f"{node.origin or node.name} ({e})")

    def _add(self, node: Any) -> None:
        shape = self._shape(node.name)
        late = nir.Delay(np.full(shape, self.lowered.dt))
        if isinstance(node, Input):
            self._put(node.name, nir.Input({"input": np.array(shape)}))
        elif isinstance(node, Vector):
            if len(self.lowered.edges_into(node.name)) != 1 or shape != (node.size,):
                self._put(node.name, nir.Scale(np.ones(shape)))
        elif node.name not in self._made:
            self._put(node.name, late)
            self._delays.add(node.name)
        else:
            made = self._made[node.name]
            layout = self._layouts.get(node.name)
            for key, value in vars(made).items():
                if layout and isinstance(value, np.ndarray) and value.shape == (node.size,):
                    setattr(made, key, layout.first(value))
            made.__post_init__()
            self._put(node.name, made)
            if node.kernel.delayed:
                delay = f"{node.name}.delay"
                self._put(delay, late)
                self._edges.append((node.name, delay))
                self._ends[node.name] = delay
                self._delays.add(delay)

    def _shape(self, name: str) -> tuple[int, ...]:
        layout = self._layouts.get(name)
        return (self.lowered[name].size,) if layout is None else layout.shape

    def _put(self, name: str, node: Any) -> None:
        self._nodes[name] = node
        self._ends[name] = name

    # -- edges -------------------------------------------------------------------------------

    def _connect(self, wire: Wire) -> None:
        target = self.lowered[wire.target]
        bias = self._biases.get(wire.target)
        bias = bias if bias is not None and bias.any() else None
        alone = isinstance(target, Vector) and wire.target not in self._nodes
        layout = self._layouts.get(wire.source)
        into = self._layouts.get(wire.target)
        made = wire.node(bias, layout, into)
        if alone and made is None:
            made = nir.Scale(np.ones(target.size))
        if bias is not None:
            self._biases[wire.target] = np.zeros(target.size)  # said once is enough
        source = self._ends.get(wire.source, wire.source)
        linear = isinstance(made, (nir.Linear, nir.Affine))
        if layout is not None and wire.convolution is None and (linear or into is None):
            source = self._flattened(wire.source)
        name = wire.target if alone else f"{wire.source} -> {wire.target}"
        if made is None:
            self._edges.append((source, wire.target))
            return
        self._put(name, made)
        self._edges.append((source, name))
        if not alone:
            self._edges.append((name, wire.target))

    def _flattened(self, name: str) -> str:
        if name not in self._flat:
            shape = np.array(self._shape(name))
            flat = self._flat[name] = f"{name}.flat"
            self._put(flat, nir.Flatten({"input": shape}, start_dim=0, end_dim=-1))
            self._edges.append((self._ends.get(name, name), flat))
        return self._flat[name]

    # -- outputs -----------------------------------------------------------------------------

    def _add_outputs(self) -> None:
        count = 0
        for probe in self.network.all_probes:
            label = probe.label or ("output" if count == 0 else f"output_{count}")
            place = self._places[probe]
            if place is None:
                name = self.conversion.names.of(probe)
                self.problems.append(f"{name} (NIR has outputs of neurons and sums of them only)")
                continue
            count += 1
            name, wanted = place
            node = self.lowered[name]
            unit = unit_of(node)
            source, shape = self._ends.get(name, name), self._shape(name)
            if not np.array_equal(wanted, np.arange(node.size)):
                if name in self._layouts:
                    source = self._flattened(name)
                    wanted = self._layouts[name].places[wanted]
                matrix = sp.csr_array(
                    (np.full(len(wanted), unit), (np.arange(len(wanted)), wanted)),
                    shape=(len(wanted), node.size),
                )
                self._put(f"{label}.part", nir.Linear(matrix.toarray()))
                self._edges.append((source, f"{label}.part"))
                source, shape = f"{label}.part", (len(wanted),)
            elif unit != 1:
                self._put(f"{label}.unit", nir.Scale(np.full(shape, unit)))
                self._edges.append((source, f"{label}.unit"))
                source = f"{label}.unit"
            name = f"{label} ({count})"
            self._put(name, nir.Output({"output": np.array(shape)}))
            self._edges.append((source, name))
            self._labels[name] = label
        if not count and not self.problems:
            self.problems.append("nothing is probed: add a Probe for each output")

    def _probed(self, probe: nengo.Probe) -> tuple[str, np.ndarray] | None:
        """Node of the Graph and elements that a probe shows; None if no node gives them."""
        from ..nengo.linear import elements

        signal = self.model.sig[probe]["in"]
        for receive in self.conversion.plan.receives:
            if receive.signal is not signal.base or receive.adds or len(receive.names) != 1:
                continue
            seen = self.conversion.graph.observations[receive.names[0]]
            if seen.what != "output":
                return None
            place = np.full(signal.base.size, -1)
            place[receive.elements] = np.arange(len(receive.elements))
            wanted = place[elements(signal).ravel()]
            return (seen.node, wanted) if (wanted >= 0).all() else None
        if isinstance(probe.obj, nengo.Node) and probe.synapse is None:
            return self._known(probe)
        return None

    def _known(self, probe: nengo.Probe) -> tuple[str, np.ndarray] | None:
        """The same for what the host knows without asking, where the chip has it, too."""
        signal = self.model.sig[probe.obj]["out"]
        name = self.conversion.names.of_signal(signal.base)
        for node in self.conversion.graph.nodes():
            if node.name == node.origin == name and node.size == signal.size:
                wanted = np.arange(signal.size)
                return name, wanted if probe.slice is None else np.ravel(wanted[probe.slice])
        return None

    # -- delays ------------------------------------------------------------------------------

    def _settle_delays(self) -> None:
        """Leave out the delays of one step that a reader puts into cycles by itself.

        Where it would put them elsewhere, all of them stay, as nodes.
        """
        dropped = set(self._delays)
        while dropped:
            passed = _without(self._edges, dropped)
            kinds = {n: type(v).__name__ for n, v in self._nodes.items() if n not in dropped}
            instant = [e for e in passed if kinds[e[1]] != "Delay"]
            closing = closing_edges(kinds, instant)
            late = {moved_back(e, kinds, instant): ds for e, ds in passed.items() if ds}
            if any(len(late.get(e, ())) != 1 for e in closing):
                dropped = set()
            astray = {d for e, ds in late.items() if e not in closing for d in ds}
            if not astray & dropped:
                break
            dropped -= astray
        self._nodes = {n: v for n, v in self._nodes.items() if n not in dropped}
        self._edges = list(_without(self._edges, dropped))

    def _rename(self) -> None:
        """Names as HDF5 and PyTorch take them: without slashes and dots."""
        new: dict[str, str] = {}
        for name in sorted(self._nodes, key=lambda name: name not in self._labels):
            plain = self._labels.get(name, name).replace("/", "_").replace(".", "_")
            while plain in new.values():
                plain += "_"
            new[name] = plain
        self._nodes = {new[name]: node for name, node in self._nodes.items()}
        self._edges = [(new[a], new[b]) for a, b in self._edges]


def _without(edges: list[tuple[str, str]], dropped: set[str]) -> dict[tuple[str, str], list[str]]:
    """Edges past the `dropped` nodes, each with those that it passes."""
    follow: dict[str, list[str]] = {}
    for a, b in edges:
        follow.setdefault(a, []).append(b)
    found: dict[tuple[str, str], list[str]] = {}
    for a, b in edges:
        if a in dropped:
            continue
        ways = [(b, [])] if b not in dropped else [(b, [b])]
        todo: list[tuple[str, list[str]]] = list(ways)
        while todo:
            end, path = todo.pop()
            if end not in dropped:
                found[a, end] = path
                continue
            for following in follow.get(end, []):
                todo.append((following, [*path, following] if following in dropped else path))
    return found
