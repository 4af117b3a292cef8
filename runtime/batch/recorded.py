"""Nengo's build of a network, with a record of what each object added to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import nengo
from nengo.base import NengoObject
from nengo.builder import Builder, Model
from nengo.builder.network import build_network
from nengo.solvers import Solver

KNOWN = ("nengo", __name__.partition(".")[0])
"""Packages whose builders look at nothing but the object, its parts and its ends."""

ENTERED = ("sig", "params", "seeds", "seeded")
"""Tables of a model in which builders enter what they made."""


@dataclass
class Span:
    """What the build of one object added to a model: operators, probes, entries in its tables.

    Attributes
    ----------
    operators, probes : slice
    entries : dict of table -> list of (key, value)
    solved : Solved or None
        The decoders of a connection.
    """

    operators: slice
    probes: slice
    entries: dict[str, list[tuple[Any, Any]]]
    solved: Solved | None = None


@dataclass
class Solved:
    """What a solver gave for a connection.

    Attributes
    ----------
    seen : dict of str -> object
        All that was looked at of the connection while it was solved, by attribute.
    before, after : tuple
        States of the connection's random numbers.
    found : tuple
        Evaluation points, decoders, and what the solver tells.
    """

    seen: dict[str, Any]
    before: Any
    after: Any
    found: Any


class Looked:
    """A connection that notes which of its attributes are looked at."""

    def __init__(self, connection: nengo.Connection) -> None:
        self._connection = connection
        self._seen: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._connection, name)
        self._seen[name] = value
        return value

    def __hash__(self) -> int:
        return hash(self._connection)

    def __eq__(self, other: object) -> bool:
        return bool(other is self or self._connection == other)

    def __str__(self) -> str:
        return str(self._connection)


class RecordedModel(Model):
    """A model that notes what each object of its network adds.

    Attributes
    ----------
    spans : dict of int -> Span
        By the object's number among `objects_of` its network.
    foreign : bool
        Whether somebody else's builder took part.
    """

    def __init__(self, network: nengo.Network, **options: Any) -> None:
        super().__init__(**options)
        self.spans: dict[int, Span] = {}
        self.foreign = False
        self.solved: dict[int, Solved] = {}
        """By the number of the connection, or of the probe that makes one."""
        self.known_solution: Callable[[int, Any, Any], Any] = lambda *question: None
        self._current = -1
        self._numbers = {id(obj): number for number, obj in enumerate(objects_of(network))}

    def build(self, obj: Any, *args: Any, **options: Any) -> Any:
        """Build an object into the model; see `nengo.builder.Model`."""
        self.foreign |= not _is_known(obj)
        if isinstance(obj, Solver) and len(args) == 2 and not options:
            return self._solve(obj, *args)
        number = self._numbers.get(id(obj))
        if number is None:
            return super().build(obj, *args, **options)
        self._current = number
        operators, probes = len(self.operators), len(self.probes)
        before = {name: len(getattr(self, name)) for name in ENTERED}
        found = super().build(obj, *args, **options)
        self.spans[number] = Span(
            slice(operators, len(self.operators)),
            slice(probes, len(self.probes)),
            {name: _entries(getattr(self, name), count) for name, count in before.items()},
            self.solved.get(number),
        )
        return found

    def _solve(self, solver: Solver, connection: nengo.Connection, rng: Any) -> Any:
        """What Nengo's build of a solver gives: evaluation points, decoders, ..."""
        number = self._current
        known = self.known_solution(number, connection, rng)
        if known is None:
            looked, before = Looked(connection), rng.get_state()
            found = super().build(solver, looked, rng)
            known = Solved(looked._seen, before, rng.get_state(), found)
        else:
            rng.set_state(known.after)
        self.solved[number] = known
        return known.found

    def plain(self) -> Model:
        """The model as Nengo's own class has it."""
        model = Model.__new__(Model)
        vars(model).update(vars(self))
        for name in ("spans", "foreign", "solved", "known_solution", "_numbers", "_current"):
            del vars(model)[name]
        return model


def _entries(table: dict[Any, Any], count: int) -> list[tuple[Any, Any]]:
    """What stands in a dict behind the first `count` keys."""
    if len(table) == count:
        return []
    return [(key, copied_entry(table[key])) for key in list(table)[count:]]


def copied_entry(value: Any) -> Any:
    """An entry of a model's table; of one that is added to, a copy."""
    return type(value)(value) if isinstance(value, (dict, list)) else value


def _is_known(obj: Any) -> bool:
    """Whether one of Nengo's builders, or ours, builds an object."""
    found = next((Builder.builders[c] for c in type(obj).__mro__ if c in Builder.builders), None)
    return found is None or found.__module__.partition(".")[0] in KNOWN


def objects_of(network: nengo.Network) -> Iterator[NengoObject]:
    """All objects of a network, in the order in which Nengo builds them."""
    yield from network.ensembles
    yield from network.nodes
    for sub in network.networks:
        yield from objects_of(sub)
    yield from network.connections
    yield from network.probes


def shape_of(network: nengo.Network) -> Any:
    """How many objects are in a network and its subnetworks; None if it is built otherwise."""
    builders = (Builder.builders[c] for c in type(network).__mro__ if c in Builder.builders)
    if next(builders) is not build_network:
        return None
    kinds = network.ensembles, network.nodes, network.connections, network.probes
    return [*map(len, kinds), [shape_of(sub) for sub in network.networks]]
