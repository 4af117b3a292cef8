"""Learning rules on the chip: which operators of a built model form one, and what it looks at.

In Nengo a learning rule is an operator that computes a change (`delta`) of a matrix, and a `Copy`
that adds it in the next step. Here both, and the filters that only rules read, become one
`Plasticity` on the edge of the operator that multiplies with the matrix.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import nengo
import numpy as np
from nengo.builder.learning_rules import SimBCM, SimOja, SimPES, SimVoja
from nengo.builder.neurons import SimNeurons
from nengo.builder.operator import Copy, DotInc, Operator
from nengo.builder.processes import SimProcess
from nengo.builder.signal import Signal

from ...errors import SpikeloomError
from ...kernels.observed import Sight
from ...kernels.rule import Rule
from ...kernels.rules.bcm import BCM
from ...kernels.rules.oja import Oja
from ...kernels.rules.pes import PES
from ...kernels.rules.voja import Voja
from .rule_operator import SimRule

if TYPE_CHECKING:
    from .placement import Placement

TYPICAL_RATE = 100.0
"""Hz: mean rate of a neuron, for the size of weights that begin at 0."""

HEADROOM = 8.0
"""Learned weights may grow to so many times what they begin with, or would be at a typical rate."""


class LearningRefused(Exception):
    """A rule turned out not to fit the Graph: it has to stay on the host."""

    def __init__(self, op: Operator, reason: str) -> None:
        super().__init__(reason)
        self.op = op


SIGNAL_HEADROOM = 4.0
"""Errors may be so many radii, rates of neurons so many times the largest ones asked for."""


@dataclass(frozen=True)
class Watched:
    """A rule's operator in general terms.

    Attributes
    ----------
    rule : Rule
    signals : dict of str -> Signal
        What the rule's variables are in Nengo.
    constants : dict of str -> ndarray
        Variables that never change: one number for each pre or post neuron.
    sights : dict of str -> Sight
        Of variables that are states of neurons: their format.
    states : dict of str -> Signal
        The synapses' own states.
    """

    rule: Rule
    signals: dict[str, Signal]
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    sights: dict[str, Sight] = field(default_factory=dict)
    states: dict[str, Signal] = field(default_factory=dict)


def _watch_rule(op: Any, dt: float) -> Watched:
    return Watched(
        op.rule, dict(op.variables), dict(op.constants), dict(op.sights), dict(op.states)
    )


RULES: dict[type, Callable[[Any, float], Watched]] = {
    SimPES: lambda op, dt: Watched(
        PES(learning_rate=op.learning_rate, neurons=op.pre_filtered.shape[0]),
        {"activity": op.pre_filtered, "error": op.error},
    ),
    SimOja: lambda op, dt: Watched(
        Oja(learning_rate=op.learning_rate, beta=op.beta),
        {"pre_activity": op.pre_filtered, "post_activity": op.post_filtered},
    ),
    SimBCM: lambda op, dt: Watched(
        BCM(learning_rate=op.learning_rate),
        {
            "pre_activity": op.pre_filtered,
            "post_activity": op.post_filtered,
            "theta": op.theta,
        },
    ),
    SimVoja: lambda op, dt: Watched(
        Voja(learning_rate=op.learning_rate),
        {
            "input": op.pre_decoded,
            "post_activity": op.post_filtered,
            "learning": op.learning_signal,
        },
        {"gain": np.asarray(op.scale, float)},
    ),
    SimRule: _watch_rule,
}
"""Rule operators that run on the chip. Exact types: a subclass may learn differently."""


@dataclass(frozen=True)
class Fused:
    """A variable that is computed together with the neurons: a `Sight` of them."""

    neurons: SimNeurons
    sight: Sight


@dataclass(frozen=True)
class Captured:
    """A variable out of any signal, behind a filter if `tau` is not None."""

    signal: Signal
    tau: float | None


@dataclass(eq=False)
class Learned:
    """A learning rule that runs on the chip.

    Attributes
    ----------
    op : Operator
        The rule's.
    copy : Copy
        Adds the change to the weights.
    product : DotInc
        Multiplies with the weights.
    watched : Watched
    sources : dict of str -> Fused or Captured
        Where each variable comes from.
    filters : list of SimProcess
        Filters whose work is done on the way to the variables.
    """

    op: Operator
    copy: Copy
    product: DotInc
    watched: Watched
    sources: dict[str, Fused | Captured]
    filters: list[SimProcess]

    @property
    def weights(self) -> Signal:
        """The learned matrix."""
        return self.copy.dst

    @property
    def rule(self) -> Rule:
        """The rule with its parameters."""
        return self.watched.rule

    def captured(self) -> list[Captured]:
        """The signals that the chip captures for it."""
        return [s for s in self.sources.values() if isinstance(s, Captured)]


def find_learning(placement: Placement, refused: Mapping[Operator, str]) -> list[Learned]:
    """The learning rules of a model that could run on the chip; notes why others cannot.

    Parameters
    ----------
    placement : Placement
        Its neurons are found already; `reasons` are added to.
    refused : mapping of Operator -> str
        Rules that turned out not to fit, and why.
    """
    found = []
    for op in placement.operators:
        if type(op) not in RULES:
            continue
        outcome = refused.get(op) or _learned(op, placement)
        if isinstance(outcome, str):
            placement.reasons[op] = f"learning rule {_name(op)}: {outcome}"
        else:
            found.append(outcome)
    return found


def _name(op: Operator) -> str:
    rule = getattr(op, "rule", None)
    return type(rule).__name__ if rule is not None else type(op).__name__.removeprefix("Sim")


def _learned(op: Any, placement: Placement) -> Learned | str:
    copies = [r for r in placement.readers[op.delta.base] if isinstance(r, Copy)]
    if len(copies) != 1 or copies[0].dst.is_view or copies[0].src.is_view:
        return "its change goes to a part of a matrix"
    weights = copies[0].dst
    if weights.sparse or weights.ndim != 2:
        return "its weights are no dense matrix"
    if placement.writers[weights] != [copies[0]] or placement.updaters[weights]:
        return "several rules change the same weights"
    readers = [r for r in placement.readers[weights] if r is not op and r is not copies[0]]
    if len(readers) != 1 or type(readers[0]) is not DotInc:
        return "its weights are read by other operators too"
    product = readers[0]
    if product.A is not weights or product.X.is_view or product.Y.is_view:
        return "it learns the weights of a slice of neurons"
    if product.X.shape != weights.shape[1:] or product.Y.shape != weights.shape[:1]:
        return "its weights are not a matrix between two vectors"
    if _unbounded(op, placement):
        return "its weights lead to neurons that may fire at any rate"
    try:
        watched = RULES[type(op)](op, placement.model.dt)
    except SpikeloomError as e:
        return str(e)
    sources: dict[str, Fused | Captured] = {}
    filters: list[SimProcess] = []
    for name, signal in watched.signals.items():
        source = _source(signal, watched.sights.get(name), placement, filters)
        if isinstance(source, str):
            return f"{name}: {source}"
        sources[name] = source
    return _with_constants(Learned(op, copies[0], product, watched, sources, filters))


def _source(
    signal: Signal, sight: Sight | None, placement: Placement, filters: list[SimProcess]
) -> Fused | Captured | str:
    """Where a variable comes from, given its signal in Nengo."""
    for op in placement.neurons:
        if sight is not None and any(signal is s for s in (op.output, *op.state.values())):
            return Fused(op, sight)
    if sight is not None:
        return f"{signal.name} is no state of neurons on the chip"
    tau = None
    writers = placement.writers[signal.base]
    if len(writers) == 1 and isinstance(writers[0], SimProcess) and writers[0].mode == "set":
        process = writers[0].process
        if type(process) is not nengo.Lowpass:
            return f"synapse {type(process).__name__} of a rule is no Lowpass"
        if any(np.any(s.initial_value) for s in writers[0].state.values()):
            return "its filter does not start at zero"
        filters.append(writers[0])
        if signal is not writers[0].output:
            return "it is a part of what a filter gives"
        signal = writers[0].input
        tau = process.tau if process.tau > 0.03 * placement.model.dt else None
    for op, kernel in placement.neurons.items():
        if signal is op.output and kernel.emits == "events":
            return Fused(op, Sight("activity", tau))
    return Captured(signal, tau)


def _with_constants(learned: Learned) -> Learned | str:
    """Find the neurons that constant variables belong to."""
    declared = learned.rule.seen()
    for name, values in learned.watched.constants.items():
        side = declared[name].side
        neurons = next(
            (
                s.neurons
                for n, s in learned.sources.items()
                if isinstance(s, Fused) and declared[n].side == side
            ),
            None,
        )
        if neurons is None:
            return f"{name}: the {side} neurons are not on the chip"
        largest = float(np.max(np.abs(values), initial=0.0)) or 1.0
        ends = -1 + 2**-17, 1 - 2**-17
        sight = Sight("constant", None, ends, 17, f"{name} {id(learned.op)} {largest!r}")
        learned.sources[name] = Fused(neurons, sight)
    pre = {
        s.neurons if isinstance(s, Fused) else s
        for n, s in learned.sources.items()
        if declared[n].side == "pre"
    }
    if len(pre) > 1:
        return "its pre variables do not come from the same neurons"
    return learned


def connection_of(op: Any, model: Any) -> nengo.Connection | None:
    """The connection that a rule's operator belongs to."""
    return next(
        (
            rule.connection
            for rule, signals in model.sig.items()
            if isinstance(signals, dict) and signals.get("delta") is op.delta
        ),
        None,
    )


def _unbounded(op: Any, placement: Placement) -> bool:
    """Whether the neurons that learned weights lead to may fire at any rate.

    Then nothing bounds what follows them while the weights grow, and no format suits it.
    """
    connection = connection_of(op, placement.model)
    post = getattr(connection, "post_obj", None)
    ensemble = getattr(post, "ensemble", post)
    if connection is None or not isinstance(ensemble, nengo.Ensemble):
        return False
    if getattr(connection.learning_rule, "modifies", "") == "encoders":
        return False
    output = placement.model.sig[ensemble.neurons].get("out")
    return any(
        operator.output is output
        and not math.isfinite(kernel.output_limit(math.inf, placement.model.dt))
        for operator, kernel in placement.neurons.items()
    )


def capture_limit(learned: Learned, variable: str, model: Any) -> float:
    """Largest value of a captured signal that is expected, in Nengo's unit.

    Of activities some times the largest rate of the neurons, of other signals some radii.
    """
    seen = learned.rule.seen()[variable]
    connection = connection_of(learned.op, model)
    end = getattr(connection, "pre_obj" if seen.side == "pre" else "post_obj", None)
    ensemble = getattr(end, "ensemble", end)
    if seen.of == "activity":
        built = model.params.get(ensemble)
        rates = getattr(built, "max_rates", None)
        return SIGNAL_HEADROOM * float(np.max(rates) if rates is not None else 10 * TYPICAL_RATE)
    if variable == "input":
        end = getattr(connection, "post_obj", None)
        ensemble = getattr(end, "ensemble", end)
    return SIGNAL_HEADROOM * float(getattr(ensemble, "radius", 1.0))


def weight_limit(learned: Learned, model: Any) -> float:
    """Largest weight that is expected, in Nengo's unit.

    Some times the largest of the initial weights; where they begin at 0, some times what decodes a
    value of 1 from all neurons at a typical rate.
    """
    weights = np.asarray(learned.weights.initial_value, float)
    largest = float(np.max(np.abs(weights), initial=0.0))
    if isinstance(learned.rule, Voja):
        return 2 * largest
    decoder = 1.0 / (weights.shape[1] * TYPICAL_RATE)
    connection = connection_of(learned.op, model)
    if connection is not None and connection._to_neurons:
        post = connection.post_obj
        encoders = model.params[getattr(post, "ensemble", post)].scaled_encoders
        decoder *= float(np.max(np.abs(encoders), initial=1.0))
    return HEADROOM * max(largest, decoder)
