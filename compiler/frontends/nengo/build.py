"""From placed operators to the Graph and the host's plan."""

from __future__ import annotations

import networkx as nx
import numpy as np
import scipy.sparse as sp
from nengo.builder.neurons import SimNeurons
from nengo.builder.operator import Operator
from nengo.builder.processes import SimProcess
from nengo.builder.signal import Signal

from ...errors import GraphError
from ...graph import Graph, Input, Population, Vector
from ...kernels.kernel import State
from .exchanges import plan_exchanges
from .kernels import output_unit
from .learned import LearningBuilder
from .learning import Captured, Fused, Learned, LearningRefused, capture_limit
from .linear import constant_part, elements
from .names import Names
from .placement import Placement
from .plan import HostPlan, Receive, Send

Pieces = dict[Signal, list[np.ndarray]]
Dependencies = dict[Operator, set[Operator]]


def build(
    placement: Placement, dependencies: Dependencies, make_names: type[Names], label: str
) -> tuple[Graph, HostPlan]:
    """The Graph of the chip's part, and what the host does.

    A base signal becomes one node. Only where that would close a circle within a step (two slices
    of a signal of which one depends on the other) the signal is split into the parts that the
    operators tell apart.

    Parameters
    ----------
    placement : Placement
    dependencies : dict of Operator -> set of Operator
        Which operators must come after each, as `operator_dependency_graph` gives it.
    make_names : type
        Makes the `Names` from a model.
    label : str
        Name of the Graph.
    """
    pieces: Pieces = {}
    while True:
        builder = Builder(placement, dependencies, make_names(placement.model), label, pieces)
        circle = builder.circle()
        if not circle:
            return builder.graph, builder.plan
        split = {s: _atoms(placement, s) for s in circle if s not in pieces}
        if not split:
            name = builder.names.of_signal(circle[0])
            raise GraphError(f"{label}: {name} depends on itself within one step; add a synapse")
        pieces.update(split)


class Builder:
    """Makes the Graph for one way of cutting signals into pieces.

    Attributes
    ----------
    graph : Graph
    plan : HostPlan
    order : nx.DiGraph
        Which of the plan's actions must come before each other.
    sources, targets : dict of base Signal -> list of (node name, elements)
        The nodes whose outputs are a signal, and those whose inputs are.
    outputs : dict of base Signal -> list of node names
        The populations whose outputs are a signal.
    states : dict of base Signal -> (node name, state)
    currents : dict of base Signal -> SimNeurons
        The inputs of neurons.
    """

    def __init__(
        self,
        placement: Placement,
        dependencies: Dependencies,
        names: Names,
        label: str,
        pieces: Pieces,
    ) -> None:
        self.placement = placement
        self.names = names
        self.pieces = pieces
        self.graph = Graph(label, placement.model.dt)
        self.plan = HostPlan()
        self.sources: dict[Signal, list[tuple[str, np.ndarray]]] = {}
        self.targets: dict[Signal, list[tuple[str, np.ndarray]]] = {}
        self.outputs: dict[Signal, list[str]] = {}
        self.states: dict[Signal, tuple[str, str]] = {}
        self._signal_of: dict[str, Signal] = {}
        self._neurons: dict[SimNeurons, str] = {}
        self._offsets: dict[Signal, np.ndarray] = {}
        ordered = [
            op
            for op in placement.operators
            if op in placement.chip and op not in placement.learning_ops
        ]
        self._learning = LearningBuilder(placement)
        self.currents = {op.J.base: op for op in ordered if isinstance(op, SimNeurons)}
        self._captured = placement.captured()
        for op in ordered:
            if isinstance(op, SimNeurons):
                self._add_neurons(op)
            elif isinstance(op, SimProcess):
                self._add_synapse(op)
        touched = [_target(op) for op in ordered if not isinstance(op, (SimNeurons, SimProcess))]
        touched += [
            *self.currents,
            *(s.base for s in self._captured if _computed(placement, s.base)),
        ]
        for base in dict.fromkeys(touched):
            self._add_sum(base)
        for op in ordered:
            source = placement.maps[op].source if op in placement.maps else None
            source = op.input.base if isinstance(op, SimProcess) else source
            if source is None or source in self.sources or placement.constant(source):
                continue
            self._add_inputs(source, source, self.read_on_chip(source))
        for signal in self._captured:
            if signal.base not in self.sources and not placement.constant(signal.base):
                self._add_inputs(signal.base, signal.base, self.read_on_chip(signal.base))
        for op in ordered:
            self._add_edges(op)
        self._add_learning()
        self.order = plan_exchanges(self, dependencies)

    # -- nodes -------------------------------------------------------------------------------

    def _name(self, base: Signal, node_type: type, suffix: str = "", **kwargs: object) -> str:
        origin = self.names.of_signal(base)
        name = self.names.unique(origin + suffix)
        self.graph.add(node_type(name=name, origin=origin, **kwargs))
        self._signal_of[name] = base
        return name

    def population(self, name: str) -> Population:
        """The node `name`, which is a population."""
        node = self.graph[name]
        assert isinstance(node, Population)
        return node

    def _add_neurons(self, op: SimNeurons) -> None:
        kernel, seen = self._learning.observed(op)
        name = self._name(
            op.output.base,
            Population,
            size=op.output.size,
            kernel=kernel,
            bias=np.zeros(op.output.size),
            initial={state: np.zeros(op.output.size) for state in kernel.declared(State)}
            | {
                state: np.asarray(signal.initial_value, dtype=float).copy()
                for state, signal in op.state.items()
            }
            | seen,
            output_unit=output_unit(op, self.placement.model.dt),
        )
        self._neurons[op] = name
        self.sources[op.output.base] = [(name, np.arange(op.output.size))]
        self.outputs[op.output.base] = [name]
        self.targets[op.J.base] = [(name, np.arange(op.J.size))]
        for state, signal in op.state.items():
            self.states[signal.base] = (name, state)
        if kernel.emits == "value":
            self.population(name).limit = _rate_limit(
                self.names.owner(op.output.base), self.placement
            )

    def _add_synapse(self, op: SimProcess) -> None:
        base = op.output.base
        sections = []
        for i, kernel in enumerate(self.placement.sections[op]):
            name = self._name(
                base,
                Population,
                f".{i + 1}" if len(self.placement.sections[op]) > 1 else "",
                size=base.size,
                kernel=kernel,
                bias=np.zeros(base.size),
                initial={s: np.zeros(base.size) for s in kernel.state_units(self.graph.dt)},
            )
            sections.append(name)
        self.outputs[base] = sections
        if len(sections) > 1:
            total = self._name(base, Vector, size=base.size, bias=np.zeros(base.size))
            for name in sections:
                self.graph.connect(name, total, sp.eye_array(base.size, format="csr"))
            self.sources[base] = [(total, np.arange(base.size))]
        else:
            self.sources[base] = [(sections[0], np.arange(base.size))]

    def _add_sum(self, base: Signal) -> None:
        placement = self.placement
        own, foreign = self.written(base, True), self.written(base, False)
        read = self.read_on_chip(base)
        if not own.any() and foreign.any() and base not in self.currents:
            return  # the host's alone: an Input is made where it is read
        constant = constant_part(placement.constant_ops(base), base.size)
        constant[foreign & ~own] = 0.0
        if base in self.currents and base not in self.sources and not read.any():
            name = self.targets[base][0][0]
            self.population(name).bias = constant
        else:
            if not read.any() and foreign.any() and base not in self.currents:
                constant = np.zeros(base.size)
            targets = []
            for i, piece in enumerate(self._cut(base)):
                suffix = f"[{i}]" if base in self.pieces else ""
                name = self._name(
                    base, Vector, suffix, size=len(piece), bias=constant[piece].copy()
                )
                targets.append((name, piece))
            for name, _ in self.targets.get(base, []):
                for vector, piece in targets:
                    self.graph.connect(vector, name, _selection(np.arange(base.size), piece))
            self.sources[base] = self.targets[base] = targets
        if foreign.any() and (read.any() or base in self.currents):
            self._offsets[base] = constant
            targets = self.targets[base]
            for name, piece in self._add_inputs(base, None, foreign):
                for target, into in targets:
                    matrix = _selection(into, piece)
                    if matrix.nnz:
                        self.graph.connect(name, target, matrix)

    def _add_inputs(
        self, base: Signal, source_for: Signal | None, wanted: np.ndarray
    ) -> list[tuple[str, np.ndarray]]:
        """Inputs for the `wanted` (bool) elements of a base signal."""
        found = []
        for i, piece in enumerate(self._cut(base)):
            part = piece[wanted[piece]]
            if len(part):
                suffix = (".host" if source_for is None else "") + (
                    f"[{i}]" if base in self.pieces else ""
                )
                name = self._name(base, Input, suffix, size=len(part))
                offset = self._offsets[base][part] if base in self._offsets else None
                if offset is not None and not offset.any():
                    offset = None
                self.plan.actions.append(Send(name, base, part, offset))
                found.append((name, part))
        if source_for is not None:
            self.sources[source_for] = found
        return found

    def _cut(self, base: Signal) -> list[np.ndarray]:
        return self.pieces.get(base, [np.arange(base.size)])

    def written(self, base: Signal, chip: bool) -> np.ndarray:
        """(size,) bool: what operators on the chip (or on the host alone) write, but constants."""
        mask = np.zeros(base.size, dtype=bool)
        for op in self.placement.varying(base):
            if (op in self.placement.chip) == chip:
                for signal in op.sets + op.incs:
                    if signal.base is base:
                        mask[_touched(op, signal)] = True
        return mask

    def read_on_chip(self, base: Signal) -> np.ndarray:
        """(size,) bool: what operators on the chip read, apart from a neuron's own current."""
        mask = np.zeros(base.size, dtype=bool)
        for op in self.placement.readers[base]:
            if op not in self.placement.chip or isinstance(op, SimNeurons):
                continue
            if isinstance(op, SimProcess):
                mask[elements(op.input).ravel()] = True
            elif op in self.placement.maps and self.placement.maps[op].source is base:
                mask[self.placement.maps[op].cols] = True
        for signal in self._captured:
            if signal.base is base:
                mask[elements(signal).ravel()] = True
        return mask

    # -- edges -------------------------------------------------------------------------------

    def _add_edges(self, op: Operator) -> None:
        placement = self.placement
        if isinstance(op, SimProcess):
            wanted = elements(op.input).ravel()
            source = op.input.base
            for name in self.outputs[op.output.base]:
                if placement.constant(source):
                    value = np.asarray(source.initial_value, dtype=float).ravel()
                    self.population(name).bias = value[wanted]
                    continue
                for node, held in self.sources[source]:
                    matrix = _selection(wanted, held)
                    if matrix.nnz:
                        self.graph.connect(node, name, matrix, self.names.of_signal(source))
        elif op in placement.maps:
            linear = placement.maps[op]
            if op in placement.products:
                return  # an edge of its own, once all that its rule looks at is there
            for target, rows in self.targets.get(linear.target, []):
                for node, cols in self.sources[linear.source]:
                    block = linear.matrix(rows, cols)
                    if block is not None:
                        self.graph.connect(node, target, block, str(op.tag or ""))

    # -- learning ----------------------------------------------------------------------------

    def _add_learning(self) -> None:
        """Edges with learned weights, and populations that capture what their rules look at."""
        for learned in self.placement.learned.values():
            linear = self.placement.maps[learned.product]
            ends = self.sources[linear.source], self.targets.get(linear.target, [])
            if len(ends[0]) != 1 or len(ends[1]) != 1:
                raise LearningRefused(learned.op, "its vectors are cut into pieces within a step")
            (source, held), (target, rows) = ends[0][0], ends[1][0]
            if len(held) != linear.source.size or len(rows) != linear.target.size:
                raise LearningRefused(learned.op, "the host knows a part of what it multiplies")
            name = self.names.unique(
                self.names.of_signal(learned.op.delta.base).removesuffix(".delta")
            )
            self.plan.learned[learned.weights] = name, ""
            for state, signal in learned.watched.states.items():
                self.plan.learned[signal] = name, state
            places = {}
            for variable, place in learned.sources.items():
                if isinstance(place, Fused):
                    places[variable] = self._neurons[place.neurons], self._learning.state(place)
                else:
                    places[variable] = self._add_capture(learned, variable, place, name)
            self.graph.connect(
                source,
                target,
                np.asarray(learned.weights.initial_value, float),
                str(learned.product.tag or ""),
                self._learning.plasticity(learned, name, places),
            )

    def _add_capture(
        self, learned: Learned, variable: str, captured: Captured, rule: str
    ) -> tuple[str, str]:
        """A population that holds a signal for a rule; (node, state)."""
        signal = captured.signal
        side = learned.rule.seen()[variable].side
        size = learned.weights.shape[1 if side == "pre" else 0]
        wanted = elements(signal).ravel()
        if len(wanted) == 1:
            wanted = np.repeat(wanted, size)
        if len(wanted) != size:
            reason = f"{variable} has {len(wanted)} elements, its {side} side {size}"
            raise LearningRefused(learned.op, reason)
        kernel = self._learning.capture(learned, variable, captured)
        name = self.names.unique(f"{rule}: {variable}")
        bias = np.zeros(size)
        if self.placement.constant(signal.base):
            bias = np.asarray(signal.base.initial_value, float).ravel()[wanted]
        self.graph.add(
            Population(
                name=name,
                size=size,
                origin=f"{variable} of {rule}",
                kernel=kernel,
                bias=bias,
                initial={state: np.zeros(size) for state in kernel.declared(State)},
                limit=capture_limit(learned, variable, self.placement.model),
            )
        )
        for node, held in self.sources.get(signal.base, []):
            matrix = _selection(wanted, held)
            if matrix.nnz:
                self.graph.connect(node, name, matrix, f"{variable} of {rule}")
        return name, "value"

    # -- circles -----------------------------------------------------------------------------

    def circle(self) -> list[Signal]:
        """Base signals that depend on themselves within a step, directly or by way of the host."""
        steps = nx.DiGraph(self.order)
        for u, v in self.graph.nx.edges():
            node = self.graph[u]
            if not (isinstance(node, Population) and node.kernel.delayed):
                steps.add_edge(u, v)
        for action in list(self.order):
            if isinstance(action, Send):
                steps.add_edge(action, action.name)
            elif isinstance(action, Receive) and not action.at_end:
                for name in action.names:
                    steps.add_edge(self.graph.observations[name].node, action)
        found: dict[Signal, None] = {}
        for group in nx.strongly_connected_components(steps):
            first = next(iter(group))
            if len(group) == 1 and not steps.has_edge(first, first):
                continue
            for member in group:
                if isinstance(member, (Send, Receive)):
                    found[member.signal] = None
                elif isinstance(member, str) and not isinstance(self.graph[member], Population):
                    found[self._signal_of[member]] = None
        return [base for base in found if base not in self.currents]


def _computed(placement: Placement, base: Signal) -> bool:
    """Whether the chip computes a signal, be it from constants alone, and not as a state."""
    return bool(placement.writers[base]) and not any(
        isinstance(op, (SimNeurons, SimProcess)) for op in placement.writers[base]
    )


def _target(op: Operator) -> Signal:
    return (op.sets + op.incs + op.updates)[0].base


def _touched(op: Operator, signal: Signal) -> np.ndarray:
    numbers = elements(signal)
    dst_slice = getattr(op, "dst_slice", None)
    return (numbers if dst_slice is None else numbers[dst_slice]).ravel()


def _selection(rows: np.ndarray, cols: np.ndarray) -> sp.csr_array:
    """Matrix that picks the elements `rows` out of a vector that holds the elements `cols`."""
    place = {int(c): i for i, c in enumerate(cols)}
    found = [(r, place[int(e)]) for r, e in enumerate(rows) if int(e) in place]
    r, c = zip(*found, strict=True) if found else ((), ())
    entries = (np.ones(len(found)), (np.array(r, dtype=int), np.array(c, dtype=int)))
    return sp.csr_array(sp.coo_array(entries, shape=(len(rows), len(cols))))


def _atoms(placement: Placement, base: Signal) -> list[np.ndarray]:
    """The parts of a base signal that no operator's view divides further."""
    label = np.zeros(base.size, dtype=np.int64)
    views = [
        _touched(op, s) if s in op.sets + op.incs else elements(s).ravel()
        for table in (placement.writers, placement.updaters, placement.readers)
        for op in table[base]
        for s in op.all_signals
        if s.base is base
    ]
    for view in views:
        inside = np.zeros(base.size, dtype=np.int64)
        inside[view] = 1
        _, label = np.unique(label * 2 + inside, return_inverse=True)
    return [np.flatnonzero(label == k) for k in range(int(label.max()) + 1)]


def _rate_limit(owner: object, placement: Placement) -> float | None:
    """Assumed largest current of rate neurons: four times that at the radius."""
    ensemble = getattr(owner, "ensemble", None)
    built = placement.model.params.get(ensemble)
    if built is None or built.gain is None:
        return None
    return 4.0 * float(np.max(np.abs(built.gain) + np.abs(built.bias)))
