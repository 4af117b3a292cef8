"""Networks that differ in what the user says differs; the user's own network is never changed."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import nengo
import numpy as np
from nengo.base import NengoObject
from nengo.connection import LearningRule
from nengo.ensemble import Neurons
from nengo.exceptions import NengoException, NetworkContextError, NotAddedToNetworkWarning
from nengo.params import FrozenObject

from ...compiler.errors import InputError, SpikeloomError
from .places import Place, Places, arguments_of, declared_parameters, entries

Vary = Mapping[Any, Sequence[Any]]
Setting = dict[Any, Any]


def set_parameters(network: nengo.Network, setting: Mapping[Any, Any]) -> None:
    """Change parameters of a network in place.

    Parameters
    ----------
    network : nengo.Network
    setting : mapping of ``(object, "parameter")`` or ``"label.parameter"`` -> value
        Parameters of an object's neuron type, synapse, learning rule, process, ... can be named as
        if they were its own. Names without a dot are those of the network itself (``"seed"``).

    Raises
    ------
    InputError
        If there is no such object or parameter, or it does not take the value.
    """
    places = Places(network)
    found = [(key, place, value) for key, value in setting.items() for place in places.find(key)]
    with _rules_followed(network):
        for key, place, value in found:
            put(place, value, describe(key, places))


def varied(
    network: nengo.Network, setting: Mapping[Any, Any], seed: int | None = None
) -> tuple[nengo.Network, Callable[[Any], Any]]:
    """A copy of a network with other parameters, and with another seed if one is given.

    Returned together with a function from the network's objects to those of the copy.

    Parameters
    ----------
    network : nengo.Network
    setting : mapping
        As for `set_parameters`; objects are those of `network`.
    seed : int, optional

    Raises
    ------
    InputError
        If there is no such object or parameter, or it does not take the value.
    """
    places = Places(network)
    found = [(key, place, value) for key, value in setting.items() for place in places.find(key)]
    made, own = copied(network)
    with _rules_followed(made):
        for key, place, value in found:
            put(Place(own(place.holder), place.path), value, describe(key, places))
    if seed is not None:
        made.seed = seed
    return made, own


def copied(network: nengo.Network) -> tuple[nengo.Network, Callable[[Any], Any]]:
    """A copy of a network, and a function from its objects to those of the copy.

    What cannot change is shared: arrays, and Nengo's frozen objects (synapses, neuron types,
    processes, ...). Objects with a ``__call__`` of their own that nodes call are copied.

    Raises
    ------
    InputError
        If an object cannot be copied.
    """
    memo: dict[int, Any] = {}
    objects = [obj for obj in network.all_objects if isinstance(obj, NengoObject)]
    for obj in (network, *network.all_objects):
        for value in _values(obj):
            if isinstance(value, FrozenObject) or (
                isinstance(value, np.ndarray) and not value.flags.writeable
            ):
                memo[id(value)] = value
    plain = [obj for obj in objects if _is_plain(type(obj))]
    memo.update((id(obj), object.__new__(type(obj))) for obj in plain)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=NotAddedToNetworkWarning)
        try:
            for obj in plain:
                _fill(memo[id(obj)], obj, memo)
            made = copy.deepcopy(network, memo)
        except (TypeError, NetworkContextError) as e:
            reason = " ".join(str(e).split())
            raise InputError(
                f"{network}: it cannot be copied ({reason}); give a list of networks instead"
            ) from e

    def own(obj: Any) -> Any:
        if isinstance(obj, Neurons):
            return own(obj.ensemble).neurons
        if isinstance(obj, LearningRule):
            return own(obj.connection).learning_rule
        return memo.get(id(obj), obj)

    return made, own


def _is_plain(cls: type) -> bool:
    """Whether objects of a class consist of parameters and attributes, as Nengo's own do."""
    same = ("__setstate__", "__getstate__")
    return (
        all(getattr(cls, name) is getattr(NengoObject, name) for name in same)
        and getattr(cls, "__deepcopy__", None) is None
        and cls.__reduce_ex__ is object.__reduce_ex__
        and cls.__reduce__ is object.__reduce__
    )


def _fill(made: Any, obj: Any, memo: dict[int, Any]) -> None:
    """Give a new object what another one has; values were checked when that one got them."""
    for name in declared_parameters(type(obj)):
        parameter = getattr(type(obj), name)
        if obj in parameter.data:
            parameter.data[made] = copy.deepcopy(parameter.data[obj], memo)
    vars(made).update(copy.deepcopy(vars(obj), memo))


def _values(obj: Any) -> list[Any]:
    found: list[Any] = []
    for name in declared_parameters(type(obj)):
        try:
            value = getattr(obj, name)
        except (AttributeError, NengoException):
            continue
        if isinstance(value, (list, tuple)):
            found += value
        elif isinstance(value, dict):
            found += value.values()
        else:
            found.append(value)
    return found


def put(place: Place, value: Any, what: str) -> None:
    """Change one parameter; `what` names it in messages.

    Raises
    ------
    InputError
        If it does not take the value.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=SyntaxWarning)
            _put(place.holder, place.path, value)
    except (NengoException, SpikeloomError, TypeError, ValueError) as e:
        reason = " ".join(str(e).split())
        raise InputError(f"{what} = {shown(value)}: {reason}") from e


def _put(obj: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The object, or what takes its place, with a parameter changed."""
    name, *rest = path
    if isinstance(obj, (list, tuple)):
        index = int(name)
        entry = _put(obj[index], tuple(rest), value) if rest else value
        return type(obj)([*obj[:index], entry, *obj[index + 1 :]])
    if isinstance(obj, dict):
        return {**obj, name: _put(obj[name], tuple(rest), value) if rest else value}
    if rest:
        value = _put(getattr(obj, name), tuple(rest), value)
    if isinstance(obj, FrozenObject):
        return replaced(obj, name, value)
    setattr(obj, name, value)
    return obj


@contextmanager
def _rules_followed(network: nengo.Network) -> Iterator[None]:
    """Let what ends at learning rules end, afterwards, at those that took their place.

    Nengo's connections and probes keep the rule of the time when they were made.
    """
    ends = [conn.post_obj for conn in network.all_connections]
    ends += [probe.obj for probe in network.all_probes]
    found = []
    for end in ends:
        if isinstance(end, LearningRule):
            types = entries((), end.connection.learning_rule_type)
            found.append((end, [path for path, type_ in types if type_ == end.learning_rule_type]))
    yield
    for end, paths in found:
        now = dict(entries((), end.connection.learning_rule_type))
        if paths and paths[0] in now:
            end.learning_rule_type = now[paths[0]]


def replaced(obj: FrozenObject, name: str, value: Any) -> FrozenObject:
    """A copy of a frozen object with another value of one parameter.

    What the constructor derives from the parameter changes with it; other parameters stay.
    """
    arguments = arguments_of(obj)
    state = obj.__getstate__()
    if name in arguments:
        given = {argument: getattr(obj, argument) for argument in arguments}
        before, after = type(obj)(**given), type(obj)(**{**given, name: value})
        state = after.__getstate__()
        for parameter in obj._params:
            kept = parameter.name not in arguments and parameter.equal(before, after)
            if kept:
                state[parameter.name] = getattr(obj, parameter.name)
    else:
        state[name] = value
    state.pop("_FrozenObject__argreprs", None)  # how it was written with the value of before
    made: FrozenObject = object.__new__(type(obj))
    made.__setstate__(state)
    for check in ("kernel", "rule"):  # whose declared ranges Nengo's own classes do not know
        if hasattr(type(obj), f"{check}_class"):
            getattr(made, check)()
    return made


def describe(key: Any, places: Places) -> str:
    """A key of the user's, for messages."""
    if isinstance(key, str):
        return key
    obj, name = key
    return f"{obj if isinstance(obj, (str, FrozenObject)) else places.of(obj)}.{name}"


def shown(value: Any) -> str:
    """A value, short enough for a message."""
    if isinstance(value, np.ndarray) and value.size > 4:
        return f"array of shape {value.shape}"
    return " ".join(repr(value).split())[:60]


def seeds_of(seeds: int | Sequence[int] | None, batch: int) -> list[int | None]:
    """The seed of each copy: from an int on upwards, or as given; None leaves the network's own.

    Raises
    ------
    InputError
        If they are not as many as there are copies, or no seeds.
    """
    if seeds is None:
        return [None] * batch
    if isinstance(seeds, (int, np.integer)):
        seeds = [int(seeds) + i for i in range(batch)]
    found = list(seeds)
    if len(found) != batch:
        raise InputError(
            f"seeds: {len(found)} given for a batch of {batch}; give one for each copy"
        )
    for seed in found:
        if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32 - 1:
            raise InputError(f"seeds: {seed!r} is no seed; give integers from 0 to {2**32 - 2}")
    return [int(seed) for seed in found]


def settings_of(vary: Vary | None, batch: int) -> list[Setting]:
    """What each copy's setting is.

    Raises
    ------
    InputError
        If a parameter has not as many values as there are copies.
    """
    settings: list[Setting] = [{} for _ in range(batch)]
    for key, values in (vary or {}).items():
        name = key if isinstance(key, str) else ".".join(str(part) for part in _pair(key))
        if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
            raise InputError(f"vary: {name} has {shown(values)}; give {batch} values, one a copy")
        if len(values) != batch:
            raise InputError(
                f"vary: {name} has {len(values)} values for a batch of {batch}; give one a copy"
            )
        for setting, value in zip(settings, values, strict=True):
            setting[key] = value.item() if isinstance(value, np.generic) else value
    return settings


def _pair(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def same_setting(setting: Setting, seed: int | None) -> Any:
    """Something to compare settings by: equal only where they are."""
    parts: list[Any] = [seed]
    for key, value in setting.items():
        if isinstance(value, np.ndarray):
            value = value.dtype.str, value.shape, value.tobytes()
        elif not isinstance(value, (int, float, str, bool, type(None))):
            value = "object", id(value)
        parts.append((id(key[0]) if isinstance(key, tuple) else 0, str(key), repr(value)))
    return tuple(parts)
