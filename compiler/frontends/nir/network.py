"""Import of NIR graphs: a pure Nengo network that steps as the graph does.

Neurons become ensembles of stepped neurons, layers connections, inputs nodes that show a
`Recording`, outputs probes. Values are NIR's own: a spike is 1, weights are as stored. Edges have
no delay; those that close a cycle bring the value of the step before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nengo
import numpy as np

from ...errors import ModelError
from ..nengo.streams import Recording
from .graph import (
    FlatGraph,
    Item,
    flat_graph,
    read_file,
)
from .layers import LAYERS, channels_last, layer
from .neurons import (
    EULER,
    METHODS,
    RESETS,
    Discretisation,
    flat,
    stages,
)
from .shapes import NEURONS

ALIASES = ("Flatten", "Identity")
"""Nodes that hand on what they get."""

ORDERED = ("Affine", "Linear", "Input", "Output")
"""Nodes whose values leave in NIR's own order; those of others in the order in which they came."""


@dataclass(frozen=True)
class Source:
    """Where values come from.

    Attributes
    ----------
    obj : object
        Of Nengo.
    places : int64 ndarray or None
        Which of its elements, in the order wanted; all as they are if None.
    late : bool
        Whether those of the step before are taken.
    """

    obj: Any
    places: np.ndarray | None = None
    late: bool = False

    def part(self, places: np.ndarray | None) -> Source:
        """Some of these values."""
        if places is None:
            return self
        return replace(self, places=places if self.places is None else self.places[places])

    @property
    def view(self) -> Any:
        """The object, or its part."""
        return self.obj if self.places is None else self.obj[self.places]


def import_nir(
    source: str | Path | Any,
    dt: float | None = None,
    method: str | None = None,
    reset: str | None = None,
) -> nengo.Network:
    """Make a Nengo network of a NIR graph.

    Parameters
    ----------
    source : str, Path or nir.NIRGraph
        A ``.nir`` file, or the graph itself.
    dt : float, optional
        The time step in seconds. NIR's equations are continuous, so it must be stated here unless
        the graph's metadata do as ``dt``. snnTorch exports for 1e-4, Sinabs for 1.
    method : str, optional
        ``"euler"`` (the default, for it is what snnTorch and Norse compute) or
        ``"exponential"`` (Sinabs); see `nir_neurons`.
    reset : str, optional
        ``"nir"`` (the default): a spike leaves `v_reset`. Libraries export networks that reset
        otherwise without saying so: ``"subtract"`` takes ``v_threshold - v_reset`` away (Sinabs),
        ``"late-subtract"`` does so in the step after, behind the leak (snnTorch's default),
        ``"late-reset"`` holds the voltage at `v_reset` in the step after (snnTorch's ``"zero"`` for
        all but `Leaky`).

    Returns
    -------
    nengo.Network
        It is right for this `dt` only, and refuses others. Nodes, ensembles and probes have the
        names of the graph's nodes as labels.

    Raises
    ------
    ModelError
        If there is no such file, the graph has unknown nodes or parameters that break their
        contract, or no time step is known. The message names the node and the remedy.
    """
    stored: Mapping[str, Any]
    if isinstance(source, (str, Path)):
        stored, label, where = read_file(source), Path(source).stem, f"{source}: "
    else:
        stored, label, where = _stored(source), "nir", ""
    try:
        steps = _discretisation(stored, dt, method, reset)
        return Builder(flat_graph(stored, steps.dt), steps, label).network
    except ModelError as e:
        raise ModelError(f"{where}{e}") from e


def time_step(path: str | Path, dt: float | str | None = None) -> float:
    """The time step of a ``.nir`` file in seconds: `dt`, or what its metadata say.

    Raises
    ------
    ModelError
        If neither is known, or it is no positive number.
    """
    try:
        return _discretisation(read_file(path) if dt is None else {}, dt, None, None).dt
    except ModelError as e:
        raise ModelError(f"{path}: {str(e).removeprefix(f'{path}: ')}") from e


def _stored(graph: Any) -> Mapping[str, Any]:
    to_dict = getattr(graph, "to_dict", None)
    found = to_dict() if to_dict is not None else None
    if not isinstance(found, Mapping) or found.get("type") != "NIRGraph":
        raise ModelError(
            f"{type(graph).__name__} is no NIR graph; give a .nir file or nir.NIRGraph"
        )
    return found


def _discretisation(
    stored: Mapping[str, Any], dt: Any, method: str | None, reset: str | None
) -> Discretisation:
    known = stored.get("metadata")
    known = known if isinstance(known, Mapping) else {}
    dt = known.get("dt") if dt is None else dt
    if dt is None:
        raise ModelError(
            "NIR's equations are continuous and the file states no time step; give dt (--dt S): "
            "the one that the network was trained with (snnTorch exports for 1e-4)"
        )
    try:
        seconds = float(dt)
    except (TypeError, ValueError) as e:
        raise ModelError(f"the time step {dt!r} is no number; give dt in seconds") from e
    if not (math.isfinite(seconds) and seconds > 0):
        raise ModelError(f"the time step is {seconds:g}; give a positive number of seconds")
    chosen = {
        "method": (method or known.get("method") or EULER, METHODS),
        "reset": (reset or known.get("reset") or "nir", RESETS),
    }
    for name, (value, allowed) in chosen.items():
        if value not in allowed:
            raise ModelError(f"{name} {value!r} is unknown; choose {', '.join(allowed)}")
    return Discretisation(seconds, str(chosen["method"][0]), str(chosen["reset"][0]))


class Builder:
    """Makes the network of a flattened graph.

    Attributes
    ----------
    network : nengo.Network
    """

    def __init__(self, graph: FlatGraph, steps: Discretisation, label: str) -> None:
        self.graph = graph
        self.steps = steps
        self._outputs: dict[str, Any] = {}
        self._inputs: dict[str, list[tuple[Any, np.ndarray | None]]] = {}
        self.network = nengo.Network(label=label, seed=0)
        for item in graph.items.values():
            item.order = self._entry_order(item)
        with self.network:
            for item in graph.items.values():
                self._make(item)
            for item in graph.items.values():
                self._connect(item)

    # -- the order of elements ---------------------------------------------------------------

    def _entry_order(self, item: Item) -> np.ndarray | None:
        """The order in which values enter a node: channels last, or as what leads to it has it."""
        if item.kind in ("Input", "Output"):
            return None
        if len(item.source) > 1:
            return channels_last(item.source)
        for name in self.graph.sources(item.name):
            if (name, item.name) not in self.graph.late:
                order = self._exit_order(self.graph.items[name])
                if order is not None:
                    return order
        return None

    def _exit_order(self, item: Item) -> np.ndarray | None:
        if item.kind in ORDERED:
            return None
        if item.kind in LAYERS and item.kind != "Scale":
            return channels_last(item.target)
        return item.order

    def _ordered(self, source: Source, item: Item, order: np.ndarray | None) -> Source:
        """What leaves a node, in another order."""
        has = self._exit_order(item)
        if has is order or (has is not None and order is not None and (has == order).all()):
            return source
        places = np.arange(math.prod(item.target)) if has is None else np.argsort(has)
        return source.part(places if order is None else places[order])

    # -- objects -----------------------------------------------------------------------------

    def _make(self, item: Item) -> None:
        size = math.prod(item.target)
        if item.kind == "Input":
            self._outputs[item.name] = nengo.Node(Recording(np.zeros((0, size))), label=item.name)
        elif item.kind in NEURONS:
            self._make_neurons(item, size)
        elif item.kind == "Delay":
            self._make_delay(item, size)
        elif item.kind in LAYERS and self._merged_into(item) is None:
            self._outputs[item.name] = nengo.Node(size_in=size, label=item.name)

    def _make_neurons(self, item: Item, size: int) -> None:
        before: Any = None
        found = stages(item, size, self.steps)
        for number, stage in enumerate(found, 1):
            name = item.name + (f".{number}" if len(found) > 1 else "")
            single = len(stage.populations) == 1
            joint = None if single else nengo.Node(size_in=size, label=name)
            entries: list[tuple[Any, np.ndarray | None]] = []
            for i, population in enumerate(stage.populations):
                members = population.members
                ensemble = nengo.Ensemble(
                    len(members),
                    1,
                    neuron_type=population.neuron_type,
                    gain=population.gain,
                    bias=population.bias,
                    encoders=np.ones((len(members), 1)),
                    normalize_encoders=False,
                    eval_points=np.zeros((1, 1)),
                    label=name if single else f"{name}[{i}]",
                )
                entries.append((ensemble.neurons, None if single else members))
                if joint is not None:
                    nengo.Connection(ensemble.neurons, joint[members], synapse=None)
            if before is None:
                self._inputs[item.name] = entries
            else:
                self._into(Source(before), entries, f"{item.name}.{number}")
            before = entries[0][0] if joint is None else joint
        self._outputs[item.name] = before

    def _make_delay(self, item: Item, size: int) -> None:
        """A chain of delays of one step each; an element leaves it where its delay ends."""
        counts = delay_steps(item, size, self.steps.dt)
        end = nengo.Node(size_in=size, label=item.name)
        at, held = nengo.Node(size_in=size, label=f"{item.name}.0"), np.arange(size)
        self._inputs[item.name] = [(at, None)]
        for passed in range(int(counts.max(initial=0)) + 1):
            leaving = counts[held] == passed
            if leaving.any():
                where = np.flatnonzero(leaving)
                nengo.Connection(at[where], end[held[where]], synapse=None)
            if leaving.all():
                break
            stay = np.flatnonzero(~leaving)
            following = nengo.Node(size_in=len(stay), label=f"{item.name}.{passed + 1}")
            nengo.Connection(at[stay], following, synapse=0)
            at, held = following, held[stay]
        self._outputs[item.name] = end

    # -- connections -------------------------------------------------------------------------

    def _connect(self, item: Item) -> None:
        if item.kind in NEURONS or item.kind == "Delay":
            for name in self.graph.sources(item.name):
                if not self._is_merged(name):
                    for source in self._values(name, item):
                        self._into(source, self._inputs[item.name], f"{name} -> {item.name}")
        elif item.kind == "Output":
            self._connect_output(item)
        elif item.kind in LAYERS:
            self._connect_layer(item)

    def _connect_output(self, item: Item) -> None:
        found = self._sources(item)
        if len(found) == 1 and not found[0].late:
            nengo.Probe(found[0].view, label=item.name)
            return
        total = nengo.Node(size_in=math.prod(item.target), label=item.name)
        for source in found:
            self._into(source, [(total, None)], item.name)
        nengo.Probe(total, label=item.name)

    def _connect_layer(self, item: Item) -> None:
        done = layer(item)
        merged = self._merged_into(item)
        if merged is None:
            late_out = False
            posts: list[tuple[Any, np.ndarray | None]] = [(self._outputs[item.name], None)]
        else:
            target, late_out = merged
            posts = self._inputs[target]
        found = self._sources(item)
        if len(found) != 1 or (found[0].late and late_out) or done.padded is not None:
            size, places = done.padded or (math.prod(item.source), slice(None))
            joint = nengo.Node(size_in=size, label=f"{item.name}.input")
            for source in found:
                self._into(source, [(joint[places], None)], f"{item.name}.input")
            found = [Source(joint)]
        for source in found:
            source = replace(source, late=source.late or late_out)
            self._into(source, posts, item.name, done.transform)
        if done.bias is None:
            return
        if merged is None:
            constant = nengo.Node(done.bias, label=f"{item.name}.bias")
            nengo.Connection(constant, self._outputs[item.name], synapse=None)
        else:
            ensemble = posts[0][0].ensemble
            ensemble.bias = ensemble.bias + ensemble.gain * done.bias

    def _into(
        self,
        source: Source,
        posts: list[tuple[Any, np.ndarray | None]],
        label: str,
        transform: Any = None,
    ) -> None:
        """Connect to all of `posts`, each of which may take some of the values."""
        for post, members in posts:
            pre, synapse = source.part(members).view, 0 if source.late else None
            if transform is None:
                nengo.Connection(pre, post, synapse=synapse, label=label)
            else:
                nengo.Connection(pre, post, transform=transform, synapse=synapse, label=label)

    # -- what leads where --------------------------------------------------------------------

    def _sources(self, item: Item) -> list[Source]:
        """What enters a node, past nodes that hand on what they get."""
        return [
            source for name in self.graph.sources(item.name) for source in self._values(name, item)
        ]

    def _values(self, name: str, reader: Item) -> list[Source]:
        """What leaves a node towards `reader`, in the order that this one has."""
        item, late = self.graph.items[name], (name, reader.name) in self.graph.late
        if item.kind not in ALIASES:
            found = [Source(self._outputs[name], late=late)]
        else:
            found = []
            for source in self._sources(item):
                if source.late and late:
                    node = nengo.Node(size_in=math.prod(item.target), label=f"{name}.late")
                    self._into(source, [(node, None)], f"{name}.late")
                    source = Source(node)
                found.append(replace(source, late=source.late or late))
        return [self._ordered(source, item, reader.order) for source in found]

    def _is_merged(self, name: str) -> bool:
        item = self.graph.items[name]
        return item.kind in LAYERS and self._merged_into(item) is not None

    def _merged_into(self, item: Item) -> tuple[str, bool] | None:
        """The neurons that a layer's values go to, if to nothing else; and whether a step later."""
        targets = self.graph.targets(item.name)
        if len(targets) != 1:
            return None
        target = self.graph.items[targets[0]]
        if target.kind not in NEURONS or len(self._entries(target)) != 1:
            return None
        if self._ordered(Source(None), item, target.order).places is not None:
            return None
        return target.name, (item.name, target.name) in self.graph.late

    def _entries(self, item: Item) -> list[Any]:
        size = math.prod(item.target)
        return stages(item, size, self.steps)[0].populations


def delay_steps(item: Item, size: int, dt: float) -> np.ndarray:
    """(size,) int64: a delay in steps; raises `ModelError` if it is no whole number."""
    delay = flat(item, "delay", size)
    counts = np.rint(delay / dt)
    if (delay < 0).any():
        raise item.error(f"delay {delay.min():g} s; a delay must not be negative")
    wrong = np.abs(delay / dt - counts) > 1e-4 * np.maximum(counts, 1)
    if wrong.any():
        raise item.error(
            f"delay {delay[np.argmax(wrong)]:g} s is no whole number of time steps of {dt:g} s; "
            "choose a dt that divides it"
        )
    return counts.astype(np.int64)
