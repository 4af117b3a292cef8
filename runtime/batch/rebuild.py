"""Nengo's build of a network that differs in a few objects from one that was built before.

What Nengo's builders make of an object follows from the object's parameters, its seed, and what it
refers to: the ends of a connection, the target of a probe. So the operators and signals of objects
that are equal in all of it are taken over; the others are built. Where somebody else's builders
take part, or the others come out with other operators than before, all is built anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import FunctionType
from typing import Any

import nengo
import numpy as np
from nengo.base import NengoObject, ObjView
from nengo.builder import Model
from nengo.builder.network import seed_network
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal
from nengo.connection import LearningRule
from nengo.ensemble import Neurons
from nengo.params import FrozenObject
from nengo.utils.numpy import maxint

from ...compiler.watched import same
from .places import declared_parameters
from .recorded import (
    KNOWN,
    RecordedModel,
    Solved,
    Span,
    copied_entry,
    objects_of,
    shape_of,
)

MOST_KEPT = 4
"""So many of the networks that were built in full are kept to build others from."""

UNUSED = np.random.RandomState(0)
"""Where numbers are drawn from that nothing depends on."""

OBJECTS = (NengoObject, Neurons, LearningRule, ObjView, FrozenObject)
"""Where one of these stands in the place of another, other operators are to be expected."""

ROLES = ("sets", "incs", "reads", "updates")
"""Attributes of an operator that hold its signals."""


class OtherStructure(Exception):
    """A network cannot be made from the build of another one."""


class Original:
    """A network that was built in full, from whose build those of others are made.

    Parameters
    ----------
    network : nengo.Network
    model : RecordedModel
        With the network built into it.
    """

    def __init__(self, network: nengo.Network, model: RecordedModel) -> None:
        self._network, self._model = network, model
        self._objects = list(objects_of(network))
        self._shape = shape_of(network)
        signals = {id(s.base): s.base for op in model.operators for s in op.all_signals}
        signals |= {id(s): s for op in model.operators for s in op.all_signals}
        self._signals = signals
        self._readonly = {number: signal.readonly for number, signal in signals.items()}
        self._usable = (
            network.seed is not None  # else each is built from random numbers of its own
            and not model.foreign
            and self._shape is not None
            and len(model.spans) == len(self._objects)
            and all(map(self._is_complete, model.spans.values()))
        )

    def _is_complete(self, span: Span) -> bool:
        """Whether no other object has changed what one has entered."""
        for name, entries in span.entries.items():
            table = getattr(self._model, name)
            for key, value in entries:
                now = table[key]
                if isinstance(key, FrozenObject):  # each filter's state stands under the last one
                    continue
                if isinstance(value, dict):
                    if value.keys() != now.keys() or any(value[k] is not now[k] for k in value):
                        return False
                elif now is not value and now != []:  # in which a Simulator keeps a probe's samples
                    return False
        return True

    def rebuilt(self, network: nengo.Network, label: str, decoder_cache: Any) -> RecordedModel:
        """The model of another network.

        Raises
        ------
        OtherStructure
            If it has to be built in full.
        """
        if not self._usable or network.seed is None or shape_of(network) != self._shape:
            raise OtherStructure
        model = RecordedModel(network, dt=self._model.dt, label=label, decoder_cache=decoder_cache)
        model.toplevel = network
        # Nengo draws a number for a network that has a seed, too.
        seed_network(network, seeds=model.seeds, seeded=model.seeded, base_rng=UNUSED)
        first = min((s.operators.start for s in self._model.spans.values()), default=0)
        model.operators[:] = self._model.operators[:first]
        model.sig["common"] = self._model.sig["common"]
        model.step, model.time = self._model.step, self._model.time
        rebuild = Rebuild(self._model, self._objects, list(objects_of(network)), model)
        if rebuild.other_types:
            raise OtherStructure
        try:
            with decoder_cache:
                rebuild.network(network)
        finally:
            touched = [n for n, s in self._signals.items() if s.readonly != self._readonly[n]]
            for number in touched:
                self._signals[number].readonly = self._readonly[number]
        if touched or model.foreign:
            raise OtherStructure
        np.random.randint(maxint)
        return model


class Builds:
    """Builds networks, each from the build of an earlier one where that gives the same.

    Parameters
    ----------
    dt : float
        Seconds of a step.
    decoder_cache : Solutions
    """

    def __init__(self, dt: float, decoder_cache: Any) -> None:
        self._dt, self._decoder_cache = dt, decoder_cache
        self._originals: list[Original] = []

    def model(self, network: nengo.Network) -> Model:
        """A model with a network built into it; errors are those of Nengo's build."""
        label = f"{network}, dt={self._dt:f}"
        for original in self._originals:
            try:
                return original.rebuilt(network, label, self._decoder_cache).plain()
            except OtherStructure:
                continue
            except Exception:
                break  # to be met again, and told by Nengo
        model = RecordedModel(network, dt=self._dt, label=label, decoder_cache=self._decoder_cache)
        model.build(network)
        self._originals.insert(0, Original(network, model))
        del self._originals[MOST_KEPT:]
        return model.plain()


class Rebuild:
    """One network, made from the build of another.

    Parameters
    ----------
    old, model : RecordedModel
        The other's, and the one to be filled.
    before, now : list of NengoObject
        The objects of the two networks, in order.
    """

    def __init__(
        self,
        old: RecordedModel,
        before: Sequence[NengoObject],
        now: Sequence[NengoObject],
        model: RecordedModel,
    ) -> None:
        self._old, self._model = old, model
        self._now = {id(a): b for a, b in zip(before, now, strict=True)}
        self._number = {id(obj): number for number, obj in enumerate(before)}
        self._next = 0
        self._signals: dict[int, Signal] = {}  # new base signals by the old ones
        self._taken: set[int] = set()
        self._known = {id(s.base) for op in old.operators for s in op.all_signals}
        self.other_types = False
        self.changed = self._find_changed(before, now)
        model.known_solution = self._solution

    # -- what has changed --------------------------------------------------------------------

    def _find_changed(self, before: Sequence[NengoObject], now: Sequence[NengoObject]) -> set[int]:
        changed: set[int] = set()
        users: dict[int, list[int]] = {}
        for number, (a, b) in enumerate(zip(before, now, strict=True)):
            ends: set[int] = set()
            if not (self._same_seed(a, b) and self._alike(a, b, ends)):
                changed.add(number)
            for end in ends:
                users.setdefault(end, []).append(number)
        todo = list(changed)
        while todo:
            for user in users.get(todo.pop(), ()):
                if user not in changed:
                    changed.add(user)
                    todo.append(user)
        return changed

    def _same_seed(self, a: NengoObject, b: NengoObject) -> bool:
        old, new = self._old, self._model
        return bool(old.seeds[a] == new.seeds[b] and old.seeded[a] == new.seeded[b])

    def _alike(self, a: Any, b: Any, ends: set[int]) -> bool:
        """Whether all parameters of two objects are the same; notes the objects they refer to."""
        if type(a) is not type(b):
            return False
        alike = True
        for name in declared_parameters(type(a)):
            alike = self._same(getattr(a, name), getattr(b, name), ends) and alike
        return alike

    def _same(self, a: Any, b: Any, ends: set[int]) -> bool:
        if type(a) is not type(b):
            self.other_types |= isinstance(a, OBJECTS) or isinstance(b, OBJECTS)
            return False
        if isinstance(a, NengoObject):
            if id(a) not in self._number:
                return False
            ends.add(self._number[id(a)])
            return self._now[id(a)] is b
        if isinstance(a, Neurons):
            return self._same(a.ensemble, b.ensemble, ends)
        if isinstance(a, LearningRule):
            types = a.learning_rule_type, b.learning_rule_type
            return self._same(a.connection, b.connection, ends) and self._same(*types, ends)
        if isinstance(a, ObjView):
            return self._same(a.obj, b.obj, ends) and self._same(a.slice, b.slice, ends)
        if a is b:
            return True
        if isinstance(a, FunctionType):
            return _is_same_function(a, b)
        if isinstance(a, slice):
            return same((a.start, a.stop, a.step), (b.start, b.stop, b.step))
        if isinstance(a, FrozenObject):
            return _has_no_state(type(a)) and all(
                self._same(getattr(a, name), getattr(b, name), ends)
                for name in declared_parameters(type(a))
            )
        if isinstance(a, dict):
            return list(a) == list(b) and all(self._same(a[key], b[key], ends) for key in a)
        if isinstance(a, (list, tuple)):
            return len(a) == len(b) and all(
                self._same(x, y, ends) for x, y in zip(a, b, strict=True)
            )
        return same(a, b)

    def _solution(self, number: int, connection: Any, rng: Any) -> Solved | None:
        """What was solved before, if all that was looked at then is the same."""
        solved = self._old.spans[number].solved
        if solved is None or not same(solved.before, rng.get_state()):
            return None
        for name, value in solved.seen.items():
            ends: set[int] = set()
            if not self._same(value, getattr(connection, name), ends) or ends & self.changed:
                return None
        return solved

    # -- building ----------------------------------------------------------------------------

    def network(self, network: nengo.Network) -> None:
        """Build it in Nengo's order."""
        model = self._model
        outer, model.config = model.config, network.config
        for obj in network.ensembles + network.nodes:
            self._object(obj)
        for sub in network.networks:
            self.network(sub)
        for obj in network.connections + network.probes:
            self._object(obj)
        model.config = outer
        model.params[network] = None

    def _object(self, obj: NengoObject) -> None:
        number = self._next
        self._next += 1
        span = self._old.spans[number]
        old = self._old.operators[span.operators]
        if number not in self.changed:
            keys = self._counterparts(span)
            if keys is not None:
                self._take(span, old, keys)
                return
        first = len(self._model.operators)
        self._model.build(obj)
        self._see_same_operators(old, self._model.operators[first:])

    def _counterparts(self, span: Span) -> dict[Any, Any] | None:
        """What its keys are in the new network; None if one is known to its builder alone."""
        found: dict[Any, Any] = {}
        for entries in span.entries.values():
            for key, _ in entries:
                if key not in found:
                    found[key] = self._counterpart(key)
                    if found[key] is None:
                        return None
        return found

    def _counterpart(self, key: Any) -> Any:
        if isinstance(key, Neurons):
            ensemble = self._now.get(id(key.ensemble))
            return None if ensemble is None else ensemble.neurons
        if isinstance(key, LearningRule):
            connection = self._now.get(id(key.connection))
            if connection is None:
                return None
            return LearningRule(connection, key.learning_rule_type)
        if isinstance(key, FrozenObject):
            return key
        return self._now.get(id(key))

    def _take(self, span: Span, operators: list[Operator], keys: dict[Any, Any]) -> None:
        model = self._model
        model.operators += operators
        model.probes += [self._now[id(probe)] for probe in self._old.probes[span.probes]]
        for name, entries in span.entries.items():
            table = getattr(model, name)
            for key, value in entries:
                table[keys[key]] = copied_entry(value)

    def _see_same_operators(self, old: list[Operator], new: list[Operator]) -> None:
        """See that what was built does the same to counterparts of the same signals."""
        if len(old) != len(new):
            raise OtherStructure
        for a, b in zip(old, new, strict=True):
            if type(a) is not type(b):
                raise OtherStructure
            for role in ROLES:
                ours, theirs = getattr(a, role), getattr(b, role)
                if len(ours) != len(theirs) or not all(map(self._matches, ours, theirs)):
                    raise OtherStructure

    def _matches(self, a: Signal, b: Signal) -> bool:
        if not _same_view(a, b):
            return False
        one, other = a.base, b.base
        if id(one) in self._signals:
            return self._signals[id(one)] is other
        if one is not other and (id(other) in self._known or id(other) in self._taken):
            return False
        self._signals[id(one)] = other
        self._taken.add(id(other))
        return _same_view(one, other)


def _has_no_state(cls: type) -> bool:
    """Whether two frozen objects of a class with the same parameters are the same."""
    made = any(hasattr(cls, f"{kind}_class") for kind in ("kernel", "rule"))
    return made or cls.__module__.partition(".")[0] in KNOWN


def _is_same_function(a: FunctionType, b: FunctionType) -> bool:
    """Whether two functions come from the same place of a program, and keep nothing of their own.

    As a network's that is made by calling a function again.
    """
    own = ("__closure__", "__defaults__", "__kwdefaults__", "__dict__")
    return (
        a.__code__ is b.__code__
        and a.__globals__ is b.__globals__
        and not any(getattr(f, name) for f in (a, b) for name in own)
    )


def _same_view(a: Signal, b: Signal) -> bool:
    """Whether two signals have the same form, and the same place in their base signals."""
    return bool(
        a.shape == b.shape
        and a.dtype == b.dtype
        and a.sparse == b.sparse
        and a.is_view == b.is_view
        and a.offset == b.offset
        and (a.sparse or a.elemstrides == b.elemstrides)
        and a.readonly == b.readonly
    )
