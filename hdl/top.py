"""The whole hardware: a loom's core behind a serial line."""

from __future__ import annotations

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.shape import Shape
from . import primitives
from .core import Core
from .link.link import LinkedCore
from .link.uart import Receiver, Transmitter
from .verilog import TOP as CORE
from .verilog import convert

LINKED_CORE = "loom_linked_core"
TOP = "loom_top"
CORE_FILE, PRIMITIVES_FILE, TOP_FILE = "loom_core.v", "primitives.v", "loom.v"


class Top(wiring.Component):
    """A core, its link and a serial line, all in one clock domain.

    Parameters
    ----------
    shape : Shape
    clock_hz : int
        Frequency of the clock, for the host's information.
    divisor : int
        Clock cycles per bit of the serial line; `hdl.link.uart.divisor` computes it.
    core_module : str, optional
        As in `hdl.link.link.LinkedCore`.

    Attributes
    ----------
    rx : bool, in; tx : bool, out
        The serial line, as seen from the hardware.
    busy : bool, out
        A request is being executed or answered: for a lamp.
    """

    def __init__(
        self, shape: Shape, clock_hz: int, divisor: int, core_module: str | None = None
    ) -> None:
        self.linked = LinkedCore(shape, clock_hz, core_module)
        self.receiver = Receiver(divisor)
        self.transmitter = Transmitter(divisor)
        super().__init__(
            {
                "rx": In(1),
                "tx": Out(1, init=1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.linked = linked = self.linked
        m.submodules.receiver = receiver = self.receiver
        m.submodules.transmitter = transmitter = self.transmitter
        m.d.comb += [
            receiver.line.eq(self.rx),
            linked.request.eq(receiver.data),
            linked.request_valid.eq(receiver.valid),
            receiver.ready.eq(linked.request_ready),
            transmitter.data.eq(linked.reply),
            transmitter.valid.eq(linked.reply_valid),
            linked.reply_ready.eq(transmitter.ready),
            self.tx.eq(transmitter.line),
            self.busy.eq(linked.busy),
        ]
        return m


def top_verilog(shape: Shape, clock_hz: int, divisor: int, family: str = "plain") -> str:
    """Verilog text of the whole hardware, top module `TOP`."""
    return _verilog(Top(shape, clock_hz, divisor), TOP, family)


def top_files(shape: Shape, clock_hz: int, divisor: int, family: str) -> dict[str, str]:
    """The same in three files: what a board's build consists of.

    Returns
    -------
    dict
        File name -> text: ``loom_core.v`` holds the core alone, with its trace port, which is left
        open; ``primitives.v`` the memories and multipliers of the device family; ``loom.v`` the
        link around the core, top module `TOP`.
    """
    top = Top(shape, clock_hz, divisor, CORE)
    return {
        CORE_FILE: convert(Core(shape), CORE),
        PRIMITIVES_FILE: primitives.text(family),
        TOP_FILE: convert(top, TOP),
    }


def linked_core_verilog(shape: Shape, clock_hz: int, family: str = "plain") -> str:
    """Verilog text of a core with its link, without the serial line; top module `LINKED_CORE`."""
    return _verilog(LinkedCore(shape, clock_hz), LINKED_CORE, family)


def _verilog(component: wiring.Component, name: str, family: str) -> str:
    return f"{primitives.text(family)}\n{convert(component, name)}"
