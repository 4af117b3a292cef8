"""Kernels and rules under observation: what lowering asks them, and what they answer."""

from __future__ import annotations

from functools import cache
from types import MethodType
from typing import Any

import numpy as np

from .kernels.parametrised import Parameter, Parametrised

COMPARED = "parameter_key"
"""The method whose answers are compared with each other alone."""

WRITTEN = ("registers", "table_entries")
"""Methods whose answers are written into the Program, and looked at nowhere else."""


class Watch:
    """All that was asked of one kernel or rule.

    Attributes
    ----------
    watched : Parametrised
        To be given away in place of the original.
    original : Parametrised
    questions : dict of (name, arguments) -> (name, args, options, answer)
        Attributes that were read have None in place of arguments.
    written : dict of name -> list of (args, options)
        Distinct calls of `WRITTEN`.
    compared : bool
        Whether it was compared with others.
    """

    def __init__(self, original: Parametrised) -> None:
        self.original = original
        self.questions: dict[Any, tuple[str, Any, Any, Any]] = {}
        self.written: dict[str, list[tuple[Any, Any]]] = {name: [] for name in WRITTEN}
        self.compared = False
        self.inside = 0
        this: Any = type(original)  # a class is hashable, which mypy does not believe
        cls: Any = _watched_class(this)
        self.watched: Any = object.__new__(cls)
        object.__getattribute__(self.watched, "__dict__").update(vars(original), _watch=self)

    def note(self, name: str, args: Any, options: Any, answer: Any) -> None:
        """Take note of a question."""
        if args is not None and name in WRITTEN:
            if not any(same(call, (args, options)) for call in self.written[name]):
                self.written[name].append((args, options))
        elif args is not None and name == COMPARED:
            self.compared = True
        else:
            key = name, repr((args, options))
            known = self.questions.setdefault(key, (name, args, options, answer))
            if not (same(known[1:3], (args, options)) and same(known[3], answer)):
                # Asked with what looks alike and is not: kept as well.
                self.questions[name, len(self.questions)] = (name, args, options, answer)

    def answers_alike(self, other: Parametrised) -> bool:
        """Whether another kernel or rule answers all the questions in the same way."""
        for name, args, options, answer in self.questions.values():
            found = getattr(other, name)
            if args is not None:
                found = found(*args, **options)
            if not same(found, answer):
                return False
        return True


@cache
def _watched_class(cls: Any) -> Any:
    def __getattribute__(self: Any, name: str) -> Any:
        watch: Watch | None = object.__getattribute__(self, "__dict__").get("_watch")
        if watch is None or watch.inside or name == "__class__":  # None: it is being copied
            return cls.__getattribute__(self, name)
        watch.inside += 1
        try:
            value = cls.__getattribute__(self, name)
        finally:
            watch.inside -= 1
        if not (isinstance(value, MethodType) and value.__self__ is self):
            if not (isinstance(value, MethodType) and isinstance(value.__self__, type)):
                watch.note(name, None, None, value)
            return value

        def asked(*args: Any, **options: Any) -> Any:
            watch.inside += 1
            try:
                answer = value(*args, **options)
            finally:
                watch.inside -= 1
            watch.note(name, args, options, answer)
            return answer

        return asked

    body = {
        "__doc__": cls.__doc__,
        "__module__": cls.__module__,
        "__getattribute__": __getattribute__,
        "_traced": classmethod(lambda _, machine: cls._traced(machine)),
    }
    return type(cls.__name__, (cls,), body)


def plain(kernel: Any) -> bool:
    """Whether a kernel or rule consists of its class and its parameters alone."""
    return isinstance(kernel, Parametrised) and set(vars(kernel)) == set(kernel.declared(Parameter))


def same(a: Any, b: Any) -> bool:
    """Whether two answers are the same, numbers to the last bit; False where that is unknown."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, (float, np.floating)):
        return bool(a == b and np.signbit(a) == np.signbit(b)) or bool(a != a and b != b)
    if isinstance(a, (str, bytes, int, bool, type(None))):
        return bool(a == b)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return False
