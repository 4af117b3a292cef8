"""How large the vectors are that the host gives to the chip, where the model does not say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import nengo
import numpy as np

from ..compiler.compile import widened
from ..compiler.errors import InputError
from ..compiler.frontends.nengo import Conversion
from ..compiler.graph import Graph, Input

MARGIN = 2.0
"""An input without a known limit is assumed to stay within this many radii of what it reaches."""


def with_ranges(conversion: Conversion, ranges: Mapping[Any, float] | None) -> Graph:
    """The Graph with a limit on each input.

    In this order: what the user gave; what the process behind the input can give at most; what is
    usual for what the input reaches (`MARGIN` radii).

    Parameters
    ----------
    conversion : Conversion
    ranges : mapping of Nengo object or name -> float
        Largest absolute values that the user vouches for. Names may also be those of other nodes
        of the Graph, whose range does not follow from the model (filters in a loop); these count
        in the Graph's units.

    Raises
    ------
    InputError
        A range is not a positive number, or names nothing that the host gives to the chip.
    """
    graph, names = conversion.graph, conversion.names
    given = {}
    for key, value in (ranges or {}).items():
        name = key if isinstance(key, str) else names.of(key)
        if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
            raise InputError(f"range of {name}: {value!r} is not a positive number")
        given[name] = float(value)
    limits, used = {}, set()
    for send in conversion.plan.sends:
        node = graph[send.name]
        assert isinstance(node, Input)
        named = {send.name, node.origin} & set(given)
        used |= named
        known = known_limit(names.owner(send.signal))
        if named:
            limits[send.name] = max(given[name] for name in named)
        elif known is not None and send.offset is None:
            limits[send.name] = known
        elif node.limit is None:
            limits[send.name] = _assumed(conversion, send.name)
    inside = {key for key in ranges or {} if isinstance(key, str)} - used
    limits |= {name: given[name] for name in inside if name in graph.nx}
    unknown = set(given) - used - set(limits)
    if unknown:
        inputs = ", ".join(sorted({graph[s.name].origin for s in conversion.plan.sends})) or "none"
        raise InputError(
            f"ranges: {sorted(unknown)[0]!r} is nothing that the host gives to the chip; "
            f"inputs are: {inputs}"
        )
    return widened(graph, limits)


def known_limit(owner: object) -> float | None:
    """Largest absolute output of a node whose process tells it, else None."""
    process = owner.output if isinstance(owner, nengo.Node) else None
    if isinstance(process, nengo.processes.PresentInput):
        largest = float(np.max(np.abs(process.inputs), initial=0.0))
        return max(largest, 2.0**-10)
    return None


def _assumed(conversion: Conversion, name: str) -> float:
    """Range of a vector from what it reaches without neurons between.

    Eight times the largest radius of ensembles; where it enters neurons past their encoders, as
    large as their gains and biases make other currents there.
    """
    graph, todo, seen = conversion.graph, [name], {name}
    radii, currents = _sizes(conversion)
    largest = max(1.0, radii.get(graph[name].origin, 1.0))
    while todo:
        source = todo.pop()
        for target, _, _ in graph.edges_from(source):
            node = graph[target]
            kernel = getattr(node, "kernel", None)
            if kernel is not None and not kernel.delayed:
                inside = graph[source].origin in radii
                largest = max(largest, 0.0 if inside else currents.get(node.origin, 1.0))
                continue
            largest = max(largest, radii.get(node.origin, 1.0))
            if target not in seen:
                seen.add(target)
                todo.append(target)
    return MARGIN * largest


def _sizes(conversion: Conversion) -> tuple[dict[str, float], dict[str, float]]:
    """Radius by the name of an ensemble's input; largest ``gain + abs(bias)`` by its own name."""
    model, names = conversion.placement.model, conversion.names
    radii, currents = {}, {}
    for obj in list(model.sig):
        built = model.params.get(obj) if isinstance(obj, nengo.Ensemble) else None
        if built is None:
            continue
        radii[names.of_signal(model.sig[obj]["in"].base)] = float(obj.radius)
        if built.gain is not None and "out" in model.sig[obj.neurons]:
            name = names.of_signal(model.sig[obj.neurons]["out"].base)
            currents[name] = float(np.max(np.abs(built.gain) + np.abs(built.bias)))
    return radii, currents
