"""Parameters of a network by ``"label.parameter"`` or ``(object, "parameter")``: where they lie."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import nengo
from nengo.base import NengoObject, ObjView
from nengo.connection import LearningRule
from nengo.ensemble import Neurons
from nengo.params import FrozenObject, iter_params

from ...compiler.errors import InputError

SHOWN = 12
"""So many names are listed in an error message, at most."""

PARTS = {
    nengo.Ensemble: ("neuron_type", "noise"),
    nengo.Connection: ("learning_rule_type", "synapse", "solver", "transform"),
    nengo.Node: ("output",),
    nengo.Probe: ("synapse", "solver"),
}
"""Attributes whose own parameters can be named as if they were the object's."""

FIXED = ("pre", "post", "target", "function_info")
"""Parameters that say how a network hangs together; these stay as they are."""


@dataclass(frozen=True)
class Place:
    """A parameter: attributes, or numbers and names of list and dict entries, that lead to it.

    Attributes
    ----------
    holder : NengoObject or Network
        Where the path begins.
    path : tuple of str or int
        The last one names the parameter.
    """

    holder: Any
    path: tuple[Any, ...]

    def value(self) -> Any:
        """What is there now."""
        found = self.holder
        for name in self.path:
            found = _get(found, name)
        return found


class Places:
    """The parameters of a network.

    Parameters
    ----------
    network : nengo.Network
    """

    def __init__(self, network: nengo.Network) -> None:
        self.network = network
        self.names: dict[Any, str] = {}
        self._called: dict[str, list[Any]] = {}
        self._name(network, "")
        for conn in network.all_connections:
            self._call(conn, conn.label or f"{self.of(conn.pre_obj)} -> {self.of(conn.post_obj)}")
        for probe in network.all_probes:
            what = "" if probe.attr in ("output", "decoded_output") else f"{probe.attr} of "
            self._call(probe, probe.label or f"probe of {what}{self.of(probe.obj)}")
        for name, value in vars(network).items():  # model.learned = nengo.Connection(...)
            if isinstance(value, (NengoObject, nengo.Network)) and name not in self._called:
                self._called[name] = [value]

    def _name(self, network: nengo.Network, path: str) -> None:
        for objects in (network.ensembles, network.nodes):
            for i, obj in enumerate(objects):
                self._call(obj, path + (obj.label or f"{type(obj).__name__} {i}"))
        for i, sub in enumerate(network.networks):
            name = path + (sub.label or f"{type(sub).__name__} {i}")
            self._call(sub, name)
            self._name(sub, f"{name}/")

    def _call(self, obj: Any, name: str) -> None:
        self.names[obj] = name
        self._called.setdefault(name, []).append(obj)

    def of(self, obj: Any) -> str:
        """Name of an object of the network."""
        if isinstance(obj, ObjView):
            return self.of(obj.obj)
        if isinstance(obj, (Neurons, LearningRule)):
            return self.of(obj.ensemble if isinstance(obj, Neurons) else obj.connection)
        return self.names.get(obj) or str(obj)

    def named(self, name: str) -> Any:
        """The object of a name.

        Raises
        ------
        InputError
            If there is none, or several.
        """
        found = self._called.get(name, [])
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(
                f"{len(found)} objects are named {name!r}; give them labels, or (object, parameter)"
            )
        raise InputError(f"there is no object {name!r}; {_there_are(self._called, name)}")

    def find(self, key: Any) -> list[Place]:
        """Where a parameter lies; an object that is used in several places, in all of them.

        Parameters
        ----------
        key : str or tuple of (object, str)

        Raises
        ------
        InputError
            If there is no such object or parameter.
        """
        if isinstance(key, str):
            return self._find_named(key)
        if not (isinstance(key, tuple) and len(key) == 2 and isinstance(key[1], str)):
            raise InputError(
                f"{key!r} names no parameter; give 'label.parameter' or (object, 'parameter')"
            )
        obj, name = key
        if isinstance(obj, str):
            return self._find_named(f"{obj}.{name}")
        return [
            Place(holder, (*path, *self._path(holder, path, name)))
            for holder, path in self._holders(obj)
        ]

    def _find_named(self, key: str) -> list[Place]:
        pieces = key.split(".")
        for split in range(len(pieces) - 1, 0, -1):  # labels may hold dots themselves
            name = ".".join(pieces[:split])
            if name in self._called:
                holder = self.named(name)
                return [Place(holder, self._path(holder, (), ".".join(pieces[split:])))]
        if len(pieces) == 1:
            if key in _parameters(self.network):
                return [Place(self.network, (key,))]
            raise InputError(
                f"{key!r} names no parameter; give 'label.parameter', "
                f"{_there_are(self._called, key, 'labels are')}"
            )
        self.named(".".join(pieces[:-1]))
        raise InputError(f"there is no parameter {key!r}")

    def _holders(self, obj: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        """Objects of the network, and the ways in them, that lead to `obj`."""
        if isinstance(obj, ObjView):
            obj = obj.obj
        if isinstance(obj, Neurons):
            obj = obj.ensemble
        if isinstance(obj, LearningRule):
            yield from self._of_rule(obj)
            return
        if obj is self.network or obj in self.names:
            yield obj, ()
            return
        found = False
        if isinstance(obj, FrozenObject):
            for holder in self.names:
                for path in _paths_to(holder, obj):
                    found = True
                    yield holder, path
        if not found:
            raise InputError(f"{obj} is no part of the network; {_there_are(self._called, '')}")

    def _of_rule(self, rule: LearningRule) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        connection, types = rule.connection, rule.connection.learning_rule_type
        if connection not in self.names:
            raise InputError(f"{rule} is no part of the network; {_there_are(self._called, '')}")
        pairs: Any = [((), types)]
        if isinstance(types, (list, tuple)):
            pairs = [((i,), t) for i, t in enumerate(types)]
        elif isinstance(types, dict):
            pairs = [((name,), t) for name, t in types.items()]
        for path, type_ in pairs:
            if type_ is rule.learning_rule_type:
                yield connection, ("learning_rule_type", *path)

    def _path(self, holder: Any, before: tuple[Any, ...], names: str) -> tuple[Any, ...]:
        """The way on from an object to a parameter, of its own or of one of its parts."""
        start = Place(holder, before).value()
        first, _, rest = names.partition(".")
        found = [path for path in _ways(start, first) if _has(start, path, rest)]
        if len(found) > 1:
            ways = " or ".join(repr(".".join(map(str, path))) for path in found)
            raise InputError(
                f"{self.of(holder)}: {names!r} is a parameter of several of its parts; give {ways}"
            )
        if not found:
            known = dict.fromkeys(n for path in _all_ways(start) for n in path[-1:])
            raise InputError(
                f"{self.of(holder)} has no parameter {names!r}; "
                f"{_there_are(known, first, 'it has')}"
            )
        return (*found[0], *(rest.split(".") if rest else ()))


_declared: WeakKeyDictionary[type, list[str]] = WeakKeyDictionary()


def declared_parameters(cls: type) -> list[str]:
    """Names of all parameters that a class of Nengo's objects declares, in order."""
    if cls not in _declared:
        _declared[cls] = list(iter_params(cls))
    return _declared[cls]


def _parameters(obj: Any) -> list[str]:
    """Names of the parameters of a Nengo object that may be changed."""
    if isinstance(obj, nengo.Network):
        return ["seed"]
    if isinstance(obj, FrozenObject):
        names = [p.name for p in obj._params]
        arguments = arguments_of(obj)
        more = inspect.getfullargspec(type(obj).__init__).varkw is not None
        return [name for name in names if more or not arguments or name in arguments]
    kind = type(obj)
    names = [name for name in declared_parameters(kind) if not getattr(kind, name).readonly]
    if isinstance(obj, nengo.Connection):  # of which Nengo keeps a record of another name
        names.append("function")
    return [name for name in names if name not in FIXED]


def arguments_of(obj: FrozenObject) -> list[str]:
    """The arguments of a frozen object's constructor, where it has attributes of these names.

    None if there are others: then it cannot be made again.
    """
    arguments = inspect.getfullargspec(type(obj).__init__).args[1:]
    return arguments if all(hasattr(obj, name) for name in arguments) else []


def _parts(obj: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Frozen objects that are attributes of an object, or entries of lists there."""
    for kind, names in PARTS.items():
        if isinstance(obj, kind):
            for name in names:
                yield from entries((name,), getattr(obj, name))


def entries(path: tuple[Any, ...], value: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Frozen objects that a value is, or holds in lists and dicts, with the ways to them."""
    if isinstance(value, FrozenObject):
        yield path, value
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from entries((*path, i), item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from entries((*path, key), item)


def _all_ways(obj: Any) -> Iterator[tuple[Any, ...]]:
    yield from ((name,) for name in _parameters(obj))
    for path, part in _parts(obj):
        yield from ((*path, name) for name in _parameters(part))


def _ways(obj: Any, name: str) -> list[tuple[Any, ...]]:
    """Ways to a parameter called `name`: its own if it has one, else those of its parts."""
    if name in _parameters(obj):
        return [(name,)]
    return [path for path in _all_ways(obj) if path[-1] == name]


def _has(start: Any, path: tuple[Any, ...], rest: str) -> bool:
    """Whether the parameter at the end of a path has the parameter `rest` (names with dots)."""
    found = Place(start, path).value()
    for name in rest.split(".") if rest else ():
        if isinstance(found, (list, tuple)) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        elif isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, FrozenObject) and name in _parameters(found):
            found = getattr(found, name)
        else:
            return False
    return True


def _paths_to(obj: Any, wanted: FrozenObject) -> Iterator[tuple[Any, ...]]:
    """Ways from an object to places that hold the very object `wanted`."""
    for name in _parameters(obj):
        try:
            value = getattr(obj, name)
        except (AttributeError, ValueError):
            continue
        for path, part in entries((name,), value):
            if part is wanted:
                yield path
            else:
                yield from ((*path, *more) for more in _paths_to(part, wanted))


def _get(obj: Any, name: Any) -> Any:
    if isinstance(obj, (list, tuple)):
        return obj[int(name)]
    return obj[name] if isinstance(obj, dict) else getattr(obj, name)


def _there_are(names: Any, wanted: str, text: str = "there are") -> str:
    """A list of names, those like `wanted` first."""
    ordered = dict.fromkeys([*difflib.get_close_matches(wanted, list(names)), *names])
    shown = list(ordered)[:SHOWN]
    more = f", ... ({len(ordered)} in all)" if len(ordered) > len(shown) else ""
    return f"{text}: {', '.join(map(str, shown)) or 'none'}{more}"
