"""What there is to know of a board: device, pins, clock, memories, programmer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..compiler.kernels.code import KernelCode
from ..compiler.machine import Machine
from ..compiler.program import Program
from ..compiler.shape import LEARNING, Shape

LEARNED = {"plastic_words": 1024, "post_words": 256}
"""Smallest memories for learned weights, so that similar networks share their hardware."""

CONVOLVED = {"stencil_words": 1024}
"""The same for convolutions."""

TOP = "spikeloom_board"
"""Name of the Verilog module that is the whole design, pins and all."""


@dataclass(frozen=True)
class Board:
    """One board.

    Attributes
    ----------
    name : str
        As it is given on the command line.
    title : str
        What people call it, with its device.
    family : str
        Of components, one of `hdl.primitives.FAMILIES`; ``plain`` for simulation.
    machine : Machine
        What Programs for this board are compiled for.
    depths : dict of str -> int
        Memory depths of its loom, as `Shape` names them; empty where they follow the Program.
    clock_hz : int
        Clock of the loom and its link.
    baud : int
        Speed of its serial line.
    top : callable
        ``top(clock_hz) -> str``, Verilog of module `TOP`: clock, reset and pins around the loom.
    constraints : str
        Where the pins are, in the router's language.
    route : tuple of str
        Arguments of place and route that name the device.
    bitstream : str
        File name of what the programmer takes.
    programmer : tuple of str
        Arguments of openFPGALoader before the file.
    flash_only : bool
        The bitstream can be loaded through the board's flash memory only.
    attempts : int
        Seeds that place and route tries until the clock is met.
    """

    name: str
    title: str
    family: str
    machine: Machine
    depths: Mapping[str, int] = field(default_factory=dict, hash=False)
    clock_hz: int = 100_000_000
    baud: int = 3_000_000
    top: Callable[[int], str] | None = None
    constraints: str = ""
    route: tuple[str, ...] = ()
    bitstream: str = ""
    programmer: tuple[str, ...] = ()
    flash_only: bool = False
    attempts: int = 1

    @property
    def synthesised(self) -> bool:
        """Whether there is a real device, and not RTL only."""
        return self.top is not None

    def shape(self, kernels: Iterable[KernelCode]) -> Shape:
        """The loom that this board gets for some kernels, whatever the network's numbers."""
        depths: dict[str, Any] = dict(self.depths)
        return Shape(self.machine, tuple(sorted(kernels, key=lambda code: code.name)), **depths)

    def shape_for(self, program: Program) -> Shape:
        """The loom that this board gets for `program`."""
        if not self.depths:
            return Shape.for_program(program)
        shape = self.shape(program.kernels.values())
        wanted: tuple[str, ...] = ("rules", *LEARNING) if program.rules else ()
        if len(program.stencil):
            wanted += ("stencil_words",)
        if not wanted:
            return shape
        special = Shape.for_program(program, LEARNED | CONVOLVED)
        return replace(shape, **{name: getattr(special, name) for name in wanted})

    def capacities(self) -> dict[str, int]:
        """Memory capacities, in elements (numbers), of what a network needs."""
        if not self.depths:
            return {}
        lanes, depths = self.machine.lanes, self.depths
        return {
            "weights": depths["weight_words"] * lanes,
            "accumulators": depths["accumulator_words"] * lanes,
            "values": depths["value_words"],
            "states": depths["state_words"],
            "events": depths["event_words"],
            "instructions": depths["instruction_words"],
        }
