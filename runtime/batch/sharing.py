"""What equal copies of a network share: solved decoders, lowered Programs, engines' tables."""

from __future__ import annotations

import hashlib
import io
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np

from ...compiler.compile import lower
from ...compiler.graph import Graph
from ...compiler.machine import Machine
from ...compiler.program import Program
from ...compiler.variants import Template, kernels_of
from ...sim.engine import Engine
from ...sim.native.engine import NativeEngine
from ...sim.native.fronts import Fronts


class Solutions:
    """A decoder cache of Nengo in memory: each system of equations is solved once.

    Two are the same only if all that a solver is given is, to the last bit, the state of its random
    numbers included.

    Parameters
    ----------
    behind : nengo DecoderCache or NoDecoderCache
        Is asked for what is not there yet.
    """

    def __init__(self, behind: Any) -> None:
        self._behind = behind
        self._found: dict[bytes, tuple[np.ndarray, Any]] = {}
        self._kept: dict[int, Any] = {}
        self._entered = 0
        self._grown = False

    def __enter__(self) -> Solutions:
        """Open what is behind; entered again, as by each network that is built, it stays open."""
        if not self._entered and hasattr(self._behind, "__enter__"):
            self._behind.__enter__()
        self._entered += 1
        return self

    def __exit__(self, *error: Any) -> None:
        self._entered -= 1
        if self._entered:
            return
        if self._grown:
            self._grown = False
            self._behind.shrink()
        if hasattr(self._behind, "__exit__"):
            self._behind.__exit__(*error)

    def shrink(self, limit: Any = None) -> None:
        """Nengo's caches on disk drop their oldest entries; once, when all networks are built."""
        self._grown = True

    def wrap_solver(self, solver: Callable[..., Any]) -> Callable[..., Any]:
        """`solver`, which is called only for what was not solved yet."""
        solve = self._behind.wrap_solver(solver)

        def solve_once(
            conn: Any, gain: Any, bias: Any, x: Any, targets: Any, rng: Any = np.random
        ) -> tuple[np.ndarray, Any]:
            system = [conn.solver, conn.pre_obj.neuron_type, gain, bias, x, targets]
            key = digest([*system, rng.get_state()], self._kept)
            if key is None:
                return solve(conn, gain, bias, x, targets, rng=rng)
            if key not in self._found:
                self._found[key] = solve(conn, gain, bias, x, targets, rng=rng)
            decoders, info = self._found[key]
            return decoders, dict(info)

        return solve_once


class Lowering:
    """Lowers Graphs, each that equals an earlier one to the very same Program.

    Of Graphs that differ in the parameters of kernels and rules alone two are lowered, the Programs
    of the others are made from the second's where that gives the same (`Template`).

    Engines of one Program share what they can (`NativeEngine.twin`). What is the same in front of
    learned weights is done once, also where Programs differ (`NativeEngine.share_fronts`). May be
    used by many threads.

    Parameters
    ----------
    machine : Machine
        To lower for.
    make_engine : callable
        ``make_engine(program, **more)`` gives an engine.
    """

    def __init__(self, machine: Machine, make_engine: Callable[..., Engine]) -> None:
        self._machine = machine
        self._make_engine = make_engine
        self._lock = threading.RLock()
        self._kept: dict[int, Any] = {}
        self._programs: WeakValueDictionary[bytes, Program] = WeakValueDictionary()
        self._of_graph: WeakKeyDictionary[Graph, Program] = WeakKeyDictionary()
        self._templates: dict[bytes, Template | None] = {}  # None: there was one such Graph
        self._libraries: dict[bytes, Path] = {}
        self._engines: WeakValueDictionary[int, Engine] = WeakValueDictionary()
        self._alike: WeakValueDictionary[int, Engine] = WeakValueDictionary()
        self._fronts = Fronts()

    def compile(self, graph: Graph) -> Program:
        """The Program of a Graph."""
        with self._lock:
            found = self._of_graph.get(graph)
            if found is not None:
                return found
            kernels = kernels_of(graph)
            structure = self._digest(structure_of(graph))
            key = self._digest([structure, kernels]) if structure is not None else None
            found = self._programs.get(key) if key is not None else None
            if found is None:
                found = self._lower(graph, structure, kernels)
                if key is not None:
                    self._programs[key] = found
            self._of_graph[graph] = found
            return found

    def _lower(self, graph: Graph, structure: bytes | None, kernels: list[Any]) -> Program:
        if structure is None or not Template.fits(graph):
            return lower(graph, self._machine)
        if structure not in self._templates:
            self._templates[structure] = None
            return lower(graph, self._machine)
        template = self._templates[structure]
        if template is None:
            template = self._templates[structure] = Template(graph, self._machine)
            return template.program
        found = template.variant(kernels)
        return lower(graph, self._machine) if found is None else found

    def engine(self, program: Program) -> Engine:
        """An engine with the Program loaded."""
        engine = self._engine(program)
        if isinstance(engine, NativeEngine):
            engine.share_fronts(self._fronts)
        return engine

    def _engine(self, program: Program) -> Engine:
        with self._lock:
            other = self._engines.get(id(program))
            if other is not None and other.program is program:
                twin = getattr(other, "twin", None)
                if twin is not None:
                    made: Engine = twin()
                    return made
            other = self._alike.get(id(program.weight))
            if isinstance(other, NativeEngine) and other.program.weight is program.weight:
                variant = other.twin(program)
                self._engines[id(program)] = variant
                return variant
            key = self._digest([program.kernels, program.rules, program.machine])
            known = self._libraries.get(key) if key is not None else None
            new = self._make_engine(program, **({} if known is None else {"library": known}))
            self._engines[id(program)] = self._alike[id(program.weight)] = new
            if key is not None and isinstance(new, NativeEngine):
                self._libraries[key] = new.compiled
            return new

    def _digest(self, content: Any) -> bytes | None:
        return digest(content, self._kept)


def structure_of(graph: Graph) -> Any:
    """All that a Graph holds but the parameters of its kernels and rules (`kernels_of`).

    Left out are its name and the origins of its edges, which are for people alone and tell objects
    without labels apart.
    """
    return (
        graph.dt,
        [_plain(node, ("kernel",)) for node in graph.nodes()],
        [
            (u, v, k, edge.matrix, edge.plasticity and _plain(edge.plasticity, ("rule",)))
            for u, v, k, edge in graph.nx.edges(keys=True, data="edge")
        ],
        list(graph.observations.items()),
    )


def digest(content: Any, kept: dict[int, Any]) -> bytes | None:
    """A digest of objects: equal only for equal ones of this process.

    Parameters
    ----------
    content : object
    kept : dict
        Takes the classes and functions that the digest names: it is good for as long as these live.

    Returns
    -------
    bytes or None
        None where something in the content cannot be written down.
    """
    stream = io.BytesIO()
    writer = _Writer(stream)
    try:
        writer.dump(content)
    except Exception:
        # Whatever a kernel of the user's may hold, pickle's own errors among them: no sharing then.
        return None
    kept.update(writer.kept)
    return hashlib.sha256(stream.getbuffer()).digest()


class _Writer(pickle.Pickler):
    """Writes content down, classes and functions by their identity."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, protocol=5)
        self.fast = True  # each object in full: what is equal is then written alike
        self.kept: dict[int, Any] = {}

    def persistent_id(self, obj: Any) -> Any:
        """Classes and functions are the same only if they are the very same object."""
        if isinstance(obj, (type, FunctionType)):
            self.kept[id(obj)] = obj
            return id(obj)
        return None


def _plain(obj: Any, classes: tuple[str, ...]) -> Any:
    """A dataclass as a list of its fields; sets in order, of the fields `classes` the class."""
    return [type(obj)] + [
        (
            name,
            type(value)
            if name in classes
            else sorted(value)
            if isinstance(value, (set, frozenset))
            else value,
        )
        for name, value in vars(obj).items()
    ]
