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

MARGIN = 8.0
"""An input without a known limit is assumed to stay within this many radii."""


def with_ranges(conversion: Conversion, ranges: Mapping[Any, float] | None) -> Graph:
    """The Graph with a limit on each input.

    In this order: what the user gave; what the process behind the input can give at most; eight
    times the largest radius of the ensembles that it reaches (at least 8).

    Parameters
    ----------
    conversion : Conversion
    ranges : mapping of Nengo object or name of an input -> float
        Largest absolute values that the user vouches for.

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
            limits[send.name] = MARGIN * _largest_radius(conversion, send.name)
    unknown = set(given) - used
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


def _largest_radius(conversion: Conversion, name: str) -> float:
    """Largest radius of the ensembles that a node of the Graph reaches without neurons between."""
    graph, todo, seen, radius = conversion.graph, [name], {name}, 1.0
    signals = conversion.placement.model.sig
    radii = {
        conversion.names.of_signal(signals[obj]["in"].base): float(obj.radius)
        for obj in list(signals)
        if isinstance(obj, nengo.Ensemble) and "in" in signals[obj]
    }
    while todo:
        for target, _, _ in graph.edges_from(todo.pop()):
            radius = max(radius, radii.get(graph[target].origin, 1.0))
            kernel = getattr(graph[target], "kernel", None)
            if target not in seen and (kernel is None or kernel.delayed):
                seen.add(target)
                todo.append(target)
    return radius
