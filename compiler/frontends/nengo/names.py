"""Readable, unique names for what was built from a user's model.

Objects are named by their labels, with the labels of the sub-networks they lie in: ``memory/in``;
an object without a label by its class and its place in its network: ``Ensemble 2``. Connections and
probes are named after their ends: ``a -> b``, ``probe of a``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from nengo import Connection, Ensemble, Network, Node, Probe
from nengo.base import ObjView
from nengo.builder import Model
from nengo.builder.processes import SimProcess
from nengo.builder.signal import Signal
from nengo.connection import LearningRule
from nengo.ensemble import Neurons

_ADDRESS = re.compile(r"( at |^)0x[0-9a-fA-F]+")
"""What Nengo writes for objects without labels: each time something else."""


class Names:
    """Names of the objects and base signals of a built model."""

    def __init__(self, model: Model) -> None:
        self._objects: dict[object, str] = {}
        self._owners: dict[Signal, object] = {}
        self._signals: dict[Signal, str] = {}
        self._used: set[str] = set()
        if model.toplevel is not None:
            self._name_network(model.toplevel, "")
        for obj in _by_rank(model):
            for key, signal in sorted(model.sig[obj].items(), key=lambda item: item[0] != "out"):
                if isinstance(signal, Signal):
                    self._name_signal(obj, key, signal.base)
        for op in model.operators:
            if isinstance(op, SimProcess) and op.input is not None:
                base = op.output.base
                name = self._signals.get(base)
                if name is not None and op.input.base not in self._signals:
                    self._signals[op.input.base] = f"{name.removesuffix('.synapse')}.weighted"
                    self._owners.setdefault(op.input.base, self._owners[base])

    def _name_network(self, network: Network, path: str) -> None:
        for objects in (network.ensembles, network.nodes):
            for i, obj in enumerate(objects):
                self._objects[obj] = path + (obj.label or f"{type(obj).__name__} {i}")
        for i, sub in enumerate(network.networks):
            label = sub.label or f"{type(sub).__name__} {i}"
            self._objects[sub] = path + label
            self._name_network(sub, f"{path}{label}/")

    def _name_signal(self, obj: object, key: str, base: Signal) -> None:
        name = self.of(obj)
        if isinstance(obj, Neurons):
            suffix = {"out": "", "in": ".current"}.get(key, f".{key}")
        elif isinstance(obj, Node):
            suffix = "" if key == "out" else f".{key}"
        elif isinstance(obj, Connection):
            suffix = {"weighted": ".synapse" if obj.synapse is not None else ""}.get(key, f".{key}")
        elif isinstance(obj, Probe):
            suffix = "" if key == "in" else f".{key}"
        else:
            suffix = f".{key}"
        if base not in self._signals:
            self._signals[base] = name + suffix
            self._owners[base] = obj

    def of(self, obj: object) -> str:
        """Name of a Nengo object."""
        if obj in self._objects:
            return self._objects[obj]
        if isinstance(obj, ObjView):
            return self.of(obj.obj)
        if isinstance(obj, Neurons):
            return self.of(obj.ensemble)
        if isinstance(obj, LearningRule):
            return f"{type(obj.learning_rule_type).__name__} of {self.of(obj.connection)}"
        if isinstance(obj, Connection):
            name = obj.label or f"{self.of(obj.pre_obj)} -> {self.of(obj.post_obj)}"
        elif isinstance(obj, Probe):
            what = "" if obj.attr in ("output", "decoded_output") else f"{obj.attr} of "
            name = obj.label or f"probe of {what}{self.of(obj.obj)}"
        elif isinstance(obj, (Ensemble, Node)):
            name = obj.label or f"{type(obj).__name__} {len(self._objects)}"
        else:
            return str(obj)
        self._objects[obj] = name
        return name

    def of_signal(self, base: Signal) -> str:
        """Name of a base signal (not necessarily unique)."""
        return self._signals.get(base) or _ADDRESS.sub("", base.name) or "signal"

    def owner(self, base: Signal) -> object | None:
        """The Nengo object that a base signal was built for, where that is known."""
        return self._owners.get(base)

    def unique(self, name: str) -> str:
        """`name`, with a number behind it if it was handed out before."""
        candidate, i = name, 1
        while candidate in self._used:
            i += 1
            candidate = f"{name} #{i}"
        self._used.add(candidate)
        return candidate


def _by_rank(model: Model) -> Iterator[object]:
    """The keys of ``model.sig``, those first whose name describes a shared signal best."""
    ranks = (Neurons, Node, Ensemble, Probe, Connection)
    objects = [obj for obj in model.sig if obj != "common"]
    for rank in ranks:
        yield from (obj for obj in objects if isinstance(obj, rank))
    yield from (obj for obj in objects if not isinstance(obj, ranks))
