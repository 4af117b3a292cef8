"""Which copies a batch has, with the network of each."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nengo
import numpy as np
from nengo.connection import LearningRule
from nengo.ensemble import Neurons
from nengo.processes import Process

from ...compiler.errors import InputError
from .data import CopyData, find_nodes
from .places import Places
from .variation import Vary, same_setting, seeds_of, settings_of, varied

KINDS = ("ensembles", "nodes", "connections", "probes", "networks")


@dataclass
class Copy:
    """A copy's network.

    Attributes
    ----------
    network : nengo.Network
        Copies with the very same one share its build.
    own : callable
        ``own(obj)``: what an object of the user's network is in this one.
    """

    network: nengo.Network
    own: Callable[[Any], Any]


@dataclass
class Plan:
    """The copies of a batch.

    Attributes
    ----------
    copies : list of Copy
    data : dict of node name -> CopyData
    """

    copies: list[Copy]
    data: dict[str, CopyData] = field(default_factory=dict)
    _first: nengo.Network | None = None
    _found: dict[int, Counterparts] = field(default_factory=dict)

    def counterpart(self, obj: Any, number: int) -> Any:
        """What an object of the first copy's network, or of the user's, is in copy `number`'s."""
        copy = self.copies[number]
        if copy.own(obj) is not obj or self._first is None or copy.network is self._first:
            return copy.own(obj)
        if number not in self._found:
            self._found[number] = Counterparts(self._first, copy.network)
        return self._found[number].of(obj, number)


class Counterparts:
    """Objects of one network by those of another that was made in the same way."""

    def __init__(self, first: nengo.Network, other: nengo.Network) -> None:
        self._other = {first: other}
        for kind in KINDS:
            ours = getattr(first, f"all_{kind}")
            theirs = getattr(other, f"all_{kind}")
            if len(ours) == len(theirs):
                self._other.update(zip(ours, theirs, strict=True))

    def of(self, obj: Any, number: int) -> Any:
        """The other network's object; raises `InputError` if there is none."""
        if isinstance(obj, Neurons):
            return self.of(obj.ensemble, number).neurons
        if isinstance(obj, LearningRule):
            return self.of(obj.connection, number).learning_rule
        if obj not in self._other:
            raise InputError(
                f"{obj} has no counterpart in copy {number}, whose network is another; "
                "read it from copies[i]"
            )
        return self._other[obj]


def plan_copies(
    networks: nengo.Network | Sequence[nengo.Network],
    batch: int | None,
    seeds: int | Sequence[int] | None,
    vary: Vary | None,
    data: Mapping[Any, Any] | None,
    failed: Callable[[int, Exception], None] | None = None,
) -> Plan:
    """The copies that a user asks for; see `BatchSimulator`.

    Parameters
    ----------
    failed : callable, optional
        Called with the number and the error of each copy whose values are not taken; raised if
        left out.

    Raises
    ------
    InputError
        If what is given does not fit together, or a value is not taken.
    """
    several = not isinstance(networks, nengo.Network)
    given = [networks] if isinstance(networks, nengo.Network) else list(networks)
    for network in given:
        if not isinstance(network, nengo.Network):
            raise InputError(f"{network!r} is no Nengo network; give a network, or a list of them")
    count = _count(given if several else None, batch, seeds, vary, data)
    sources = given if several else given * count
    first = sources[0]
    wanted = seeds_of(seeds, count)
    settings = settings_of(vary, count)
    shown = find_nodes(first, data, count) if data else {}
    if vary:
        places = Places(first)  # a name that there is not is one mistake, not one for each copy
        for name in vary:
            places.find(name)
    if wanted[0] is None and not several and first.seed is None and vary:
        # Else each would be built from other random numbers, not with other parameters alone.
        wanted = [int(np.random.randint(np.iinfo(np.int32).max))] * count
    made: dict[Any, Copy] = {}
    copies = []
    for number, (network, seed, setting) in enumerate(zip(sources, wanted, settings, strict=True)):
        key: Any = (id(network), same_setting(setting, seed))
        if _has_states(network) and key in made:
            key = number
        if key not in made:
            try:
                made[key] = _copy(network, first, setting, seed, shown, fresh=isinstance(key, int))
            except InputError as e:
                if failed is None:
                    raise
                failed(number, e)
                copies.append(Copy(network, _same))
                continue
        copies.append(made[key])
    names = Places(first)
    plan = Plan(copies, {names.of(node): process for node, process in shown.items()})
    plan._first = first if several else None
    return plan


def _copy(
    network: nengo.Network,
    first: nengo.Network,
    setting: Mapping[Any, Any],
    seed: int | None,
    shown: Mapping[nengo.Node, CopyData],
    fresh: bool,
) -> Copy:
    """A network with a setting; the user's own where nothing is to be changed."""
    if seed is not None and seed == network.seed:
        seed = None
    if not setting and seed is None and not shown and not fresh:
        return Copy(network, _same)
    counterparts = None if network is first else Counterparts(first, network)
    if counterparts is not None:
        setting = {_of_network(key, counterparts): value for key, value in setting.items()}
    made, own = varied(network, setting, seed)
    for node, process in shown.items():
        node = node if counterparts is None else counterparts.of(node, 0)
        own(node).output = process
    return Copy(made, own)


def _of_network(key: Any, counterparts: Counterparts) -> Any:
    if isinstance(key, tuple) and isinstance(key[0], (nengo.base.NengoObject, LearningRule)):
        return counterparts.of(key[0], 0), key[1]
    return key


def _same(obj: Any) -> Any:
    return obj


def _has_states(network: nengo.Network) -> bool:
    """Whether nodes call objects that may have states of their own, each copy's to itself."""
    return any(
        callable(node.output)
        and not isinstance(
            node.output, (types.FunctionType, types.BuiltinFunctionType, np.ufunc, type, Process)
        )
        for node in network.all_nodes
    )


def _count(
    networks: Sequence[nengo.Network] | None,
    batch: int | None,
    seeds: int | Sequence[int] | None,
    vary: Vary | None,
    data: Mapping[Any, Any] | None,
) -> int:
    """How many copies there are: as said, or as many as something else has values."""
    if networks is not None:
        if not networks:
            raise InputError("a batch of no networks; give one or more")
        if batch is not None and batch != len(networks):
            raise InputError(f"{len(networks)} networks for a batch of {batch}; leave out batch")
        return len(networks)
    if batch is not None:
        if isinstance(batch, bool) or not isinstance(batch, (int, np.integer)) or batch < 1:
            raise InputError(f"a batch of {batch!r} copies; give 1 or more")
        return int(batch)
    counts = []
    if seeds is not None and not isinstance(seeds, (int, np.integer)):
        counts.append(len(list(seeds)))
    counts += [len(values) for values in (vary or {}).values() if hasattr(values, "__len__")]
    counts += [np.shape(values)[0] for values in (data or {}).values() if np.ndim(values) == 3]
    return max(counts, default=1) or 1
