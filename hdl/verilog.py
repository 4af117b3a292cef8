"""Verilog of a core, and beside it a JSON description for those who drive it."""

from __future__ import annotations

from typing import Any

from amaranth.back import verilog
from amaranth.lib import wiring

from ..compiler.encoding import memories
from ..compiler.shape import Shape
from . import primitives
from .core import Core, learning_traces
from .host import read_cycles

TOP = "loom_core"
LAYOUT_VERSION = 1


def core_verilog(shape: Shape, family: str = "plain") -> str:
    """Verilog text of a whole core of this shape, top module `TOP`."""
    return f"{primitives.text(family)}\n{convert(Core(shape), TOP)}"


def convert(component: wiring.Component, name: str) -> str:
    """Verilog text of a component as the module `name`, without its primitives."""
    text: str = verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True)
    return text


def layout(shape: Shape) -> dict[str, Any]:
    """What a driver has to know of the core: shape, memories, traced ports.

    Returns
    -------
    dict
        JSON: ``version``, ``top``, ``shape``, ``fingerprint``, ``read_cycles``, ``memories`` (name
        -> number, elements, bits, lanes) and ``traces`` (name -> width of the data).
    """
    machine = shape.machine
    table = memories(shape)
    traces = {"accumulator": machine.lanes * machine.accumulator_bits}
    traces |= {name: table[name].bits for name in ("value", "event", "count")}
    traces |= {f"state_{k}": machine.state_bits for k in range(shape.slots)}
    traces |= {name: bits for name, (_, bits) in learning_traces(shape).items()}
    return {
        "version": LAYOUT_VERSION,
        "top": TOP,
        "shape": shape.to_json(),
        "fingerprint": shape.fingerprint(),
        "read_cycles": read_cycles(machine),
        "memories": {name: vars(info) for name, info in table.items()},
        "traces": traces,
    }
