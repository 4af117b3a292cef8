"""Limits: how large each signal can get, proved from the model where that is possible.

Neurons that spike bound everything behind them, whatever enters them: at most one event per
refractory period. A linear filter behind them is bounded by its impulse response, sampled at that
period (`Response.train_peak`); behind any other bounded signal by the sum of its magnitudes.
Signals in a loop without spiking neurons, and inputs from the host, have no such bound: for those
the calibrated or assumed limit that the node carries is taken; likewise for what learning rules
look at, where what is proved (all weights at their largest) would leave few bits for what happens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import networkx as nx
import numpy as np

from ..graph import Graph, Input, Population, Vector
from ..kernels.kernel import Kernel, State
from ..kernels.observed import CAPTURES
from .learned import row_sums

ASSUMED_LIMIT = 8.0
"""Limit of an unbounded signal about which nothing is known."""

LONGEST_RESPONSE = 1 << 20
"""Steps after which an impulse response must have died away."""


@dataclass
class Limit:
    """Largest absolute values of a node, as floats in the folded Graph's units.

    Attributes
    ----------
    input, output : float
        Of the sum before the kernel, and of the kernel's output.
    state : float
        Of any state of a homogeneous kernel.
    source : str
        ``"proved"``, ``"given"`` (by calibration or the model) or ``"assumed"``.
    """

    input: float
    output: float
    state: float
    source: str


class Response:
    """Impulse response of a linear (homogeneous) kernel: output and states."""

    def __init__(self, kernel: Kernel, dt: float) -> None:
        names = list(kernel.declared(State))
        columns = []
        for k in range(len(names)):
            state = {n: np.array([float(k == j)]) for j, n in enumerate(names)}
            columns.append(self._flat(kernel, names, state, 0.0, dt))
        impulse = self._flat(kernel, names, {n: np.zeros(1) for n in names}, 1.0, dt)
        dynamics = np.array([c[:-1] for c in columns]).T.reshape(len(names), len(names))
        self.settles, states = _powers(dynamics, impulse[:-1])
        after = np.array([c[-1] for c in columns])
        self.output = np.concatenate([[impulse[-1]], after @ states[:, :-1]])
        self.signals = np.abs(np.vstack([self.output, states]))

    @staticmethod
    def _flat(
        kernel: Kernel, names: list[str], state: dict[str, np.ndarray], u: float, dt: float
    ) -> np.ndarray:
        output, new = kernel.step_float(state, np.array([u]), dt)
        return np.array([*(float(new[n][0]) for n in names), float(output[0])])

    def gain(self) -> tuple[float, float]:
        """Largest output and largest signal of all for inputs of at most 1; inf if unbounded."""
        if not self.settles:
            return math.inf, math.inf
        sums = self.signals.sum(axis=1)
        return float(sums[0]), float(sums.max())

    def train_peak(self, interval: int) -> tuple[float, float]:
        """The same for unit impulses that are at least `interval` steps apart."""
        if not self.settles:
            return math.inf, math.inf
        steps = self.signals.shape[1]
        padded = np.pad(self.signals, ((0, 0), (0, -steps % interval)))
        peaks = padded.reshape(len(padded), -1, interval).sum(axis=1).max(axis=1)
        return float(peaks[0]), float(peaks.max())


def _powers(dynamics: np.ndarray, start: np.ndarray) -> tuple[bool, np.ndarray]:
    """``dynamics**k @ start`` for k = 0, 1, ... until it has died away: (settles, (n, steps))."""
    states = start.reshape(-1, 1)
    power = dynamics
    if dynamics.size == 0:
        return True, states
    while states.shape[1] < LONGEST_RESPONSE:
        following = power @ states
        size = np.abs(states).max(initial=0.0)
        if np.abs(following).max(initial=0.0) <= 1e-9 * size:
            return True, states
        states = np.hstack([states, following])
        power = power @ power
    return False, states


def limits(graph: Graph) -> dict[str, Limit]:
    """The limit of every node of a folded Graph."""
    flow = nx.DiGraph()
    flow.add_nodes_from(graph.nx)
    for u, v in graph.nx.edges():
        if not _bounded_by_itself(graph, u):
            flow.add_edge(u, v)
    found: dict[str, Limit] = {}
    for name in graph.nx:
        if _bounded_by_itself(graph, name):
            kernel: Kernel = graph[name].kernel  # type: ignore[attr-defined]
            most = kernel.output_limit(math.inf, graph.dt)
            found[name] = Limit(math.inf, most, most, "proved")
    condensed = nx.condensation(flow)
    for component in nx.topological_sort(condensed):
        members = sorted(condensed.nodes[component]["members"])
        loop = len(members) > 1 or flow.has_edge(members[0], members[0])
        for name in members:
            if loop and name not in found:
                found[name] = _unproved(graph, name)
        for name in members:
            if not loop or _bounded_by_itself(graph, name):
                found[name] = _limit(graph, name, found)
        if loop:
            for name in members:
                found[name].input = _input_limit(graph, name, found)
    return found


def _bounded_by_itself(graph: Graph, name: str) -> bool:
    """Whether a population's output is bounded, whatever enters it."""
    node = graph[name]
    return (
        isinstance(node, Population)
        and not node.kernel.delayed
        and math.isfinite(node.kernel.output_limit(math.inf, graph.dt))
    )


def _limit(graph: Graph, name: str, found: dict[str, Limit]) -> Limit:
    node = graph[name]
    if isinstance(node, Input):
        return _unproved(graph, name)
    entering = _input_limit(graph, name, found)
    if isinstance(node, Vector):
        return _settled(node, Limit(entering, entering, entering, "proved"))
    assert isinstance(node, Population)
    kernel = node.kernel
    if kernel.delayed and kernel.homogeneous:
        return _settled(node, _filter_limit(graph, node, entering, found))
    output = kernel.output_limit(entering, graph.dt)
    if kernel.homogeneous:  # what it begins with leaks away beside what enters
        output += max((float(np.abs(v).max(initial=0.0)) for v in node.initial.values()), default=0)
    if isinstance(kernel, CAPTURES) and node.limit is not None and node.limit < output:
        return Limit(entering, node.limit, node.limit, "given")
    return _settled(node, Limit(entering, output, max(entering, output), "proved"))


def _settled(node: Vector | Population, limit: Limit) -> Limit:
    if math.isfinite(limit.output):
        return limit
    known = ASSUMED_LIMIT if node.limit is None else node.limit
    source = "assumed" if node.limit is None else "given"
    entering = limit.input if math.isfinite(limit.input) else known
    return Limit(entering, known, max(known, entering), source)


def _unproved(graph: Graph, name: str) -> Limit:
    node = graph[name]
    known = getattr(node, "limit", None)
    limit = ASSUMED_LIMIT if known is None else float(known)
    return Limit(limit, limit, limit, "assumed" if known is None else "given")


def _input_limit(graph: Graph, name: str, found: dict[str, Limit]) -> float:
    node = graph[name]
    if isinstance(node, Input):
        return found[name].output
    assert isinstance(node, (Vector, Population))
    total = np.abs(node.bias).astype(float)
    for source, _, edge in graph.edges_into(name):
        total = total + row_sums(edge, expected=True) * found[source].output
    return float(total.max(initial=0.0))


def _filter_limit(
    graph: Graph, node: Population, entering: float, found: dict[str, Limit]
) -> Limit:
    response = Response(node.kernel, graph.dt)
    gain_out, gain_state = response.gain()
    start = max((float(np.abs(v).max(initial=0.0)) for v in node.initial.values()), default=0.0)
    output = np.abs(node.bias) * gain_out
    state = np.abs(node.bias) * gain_state
    for source, _, edge in graph.edges_into(node.name):
        origin = graph[source]
        sums = row_sums(edge, expected=True) * found[source].output
        if isinstance(origin, Population) and origin.kernel.emits == "events":
            peak_out, peak_state = response.train_peak(origin.kernel.event_interval(graph.dt))
            # the events that the initial state of neurons allows come on top of the train
            output = output + sums * peak_out
            state = state + sums * peak_state
        else:
            output = output + sums * gain_out
            state = state + sums * gain_state
    return Limit(
        entering,
        float(output.max(initial=0.0)) + start,
        float(state.max(initial=0.0)) + start,
        "proved",
    )
