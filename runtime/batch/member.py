"""One copy of a batch: a Simulator that shares what it can with the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any

import nengo
import numpy as np
from nengo.builder import Model

from ...compiler.errors import InputError
from ...compiler.frontends.nengo import Conversion, convert
from ...compiler.graph import Graph
from ..chip import Chip, ProgramChip
from ..probes import SimulationData
from ..ranges import with_ranges
from ..simulator import Simulator
from .data import CopyData, copy_number
from .rebuild import Builds
from .sharing import Lowering


@dataclass
class Build:
    """A network built and converted once, for all copies that are equal in all of it.

    Attributes
    ----------
    network : nengo.Network
    model : nengo.builder.Model
    conversion : Conversion
    graph : Graph
        The conversion's, with a limit on each input.
    """

    network: nengo.Network
    model: Model
    conversion: Conversion
    graph: Graph

    @classmethod
    def of(
        cls,
        network: nengo.Network,
        builds: Builds,
        ranges: Mapping[Any, float] | None,
    ) -> Build:
        """Build a network; see `Simulator` for the ranges."""
        model = builds.model(network)
        conversion = convert(model)
        return cls(network, model, conversion, with_ranges(conversion, ranges))


class MemberData(SimulationData):
    """`SimulationData` that also knows the objects that a copy's own were copied from."""

    def __init__(self, raw: Any, own: Callable[[Any], Any]) -> None:
        super().__init__(raw)
        self._own = own

    def __getitem__(self, key: Any) -> Any:
        """Data of a Nengo object: an array for a probe, the built parameters for another."""
        return super().__getitem__(key if key in self.raw else self._own(key))


class Member(Simulator):
    """A `Simulator` of one copy; the same integers as of a Simulator of its network alone.

    Parameters
    ----------
    build : Build
    lowering : Lowering
    number : int
        Which copy of the batch it is.
    seed : int
        Of the stochastic operators.
    own : callable
        ``own(obj)``: what an object of the user's network is in this copy's.
    options : mapping
        Of the Simulator.
    """

    def __init__(
        self,
        build: Build,
        lowering: Lowering,
        number: int,
        seed: int,
        own: Callable[[Any], Any],
        options: Mapping[str, Any],
    ) -> None:
        self._build, self._lowering = build, lowering
        self.number = number
        self._own = own
        model = copy(build.model)
        model.params = dict(build.model.params)  # samples are kept among them
        super().__init__(None, dt=model.dt, seed=seed, model=model, progress_bar=False, **options)
        self.data: SimulationData = MemberData(self._sim_data, own)

    @property
    def network(self) -> nengo.Network:
        """The copy's network."""
        return self._build.network

    def _convert(self, model: Model) -> Conversion:
        return self._build.conversion

    def _make_chip(self) -> Chip:
        return ProgramChip(self._build.graph, self._lowering.compile, self._lowering.engine)

    def __del__(self) -> None:
        """The batch warns if it was not closed."""

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with copy_number(self.number):
            yield

    def reset(self, seed: int | None = None) -> None:
        """Go back to the start; see `nengo.Simulator.reset`."""
        with self._at_work():
            super().reset(seed)

    def step(self) -> None:
        """Advance by one step (`dt` seconds)."""
        with self._at_work():
            super().step()

    def run_steps(self, steps: int, progress_bar: Any = None) -> None:
        """Advance by a number of steps; see `nengo.Simulator.run_steps`."""
        with self._at_work():
            super().run_steps(steps, progress_bar)

    def parts(self, steps: int, progress: Callable[[int], None]) -> Iterator[int]:
        """Advance in the parts in which a Simulator alone would; see `Host.parts`.

        There are no warnings, see `new_saturations`.
        """
        return self._host.parts(steps, progress)

    def advance(self, parts: Iterator[int], steps: int) -> bool:
        """Go on with `parts` for as many of them as make some steps; whether there may be more."""
        with self._at_work():
            for done in parts:
                steps -= done
                if steps <= 0:
                    return True
        return False

    def new_saturations(self) -> dict[str, int]:
        """How often signals were limited by their formats, where that was not yet reported."""
        return self._new_saturations()

    def learned(self, connection: nengo.Connection) -> np.ndarray:
        """What a connection has learned so far; see `Simulator.learned`."""
        return super().learned(self._own(connection))

    def __reduce__(self) -> Any:
        """Pickled as a Simulator on its own.

        Raises
        ------
        InputError
            Its inputs are data of the batch.
        """
        processes = (getattr(op, "process", None) for op in self.model.operators)
        if any(isinstance(process, CopyData) for process in processes):
            raise InputError(
                "a copy whose inputs are data of its batch cannot be pickled; "
                "let its nodes show a Recording"
            )
        return object.__new__, (Simulator,), self.__getstate__()
