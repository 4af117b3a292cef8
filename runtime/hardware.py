"""Hardware for a Program, where it only has to exist in simulation: its Verilog, kept by hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ..compiler.errors import ToolError
from ..compiler.files import cache_folder, write_file
from ..compiler.program import Program
from ..compiler.shape import Shape

INSTALL = "pip install 'spikeloom[hardware]'"

SIMULATED = {
    "weight_words": 4096,
    "accumulator_words": 256,
    "value_words": 1024,
    "state_words": 1024,
    "event_words": 1024,
    "lists": 16,
    "instruction_words": 512,
    "populations": 64,
}
"""Smallest memories of simulated hardware: networks of moderate size share one core."""


@cache
def _generator() -> str:
    """Hash of everything that turns a shape into Verilog."""
    package = Path(__file__).parents[1]
    sources = [*package.glob("hdl/**/*.py"), *package.glob("hdl/**/*.v")]
    sources += [
        package / f"compiler/{name}.py" for name in ("encoding", "protocol", "shape", "timing")
    ]
    sources += [package / "compiler/kernels/pipeline.py"]
    digest = hashlib.sha256()
    for source in sorted(sources):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def generate(shape: Shape) -> tuple[str, dict[str, Any]]:
    """Verilog and layout of a core of this shape, from the cache if it was generated before.

    Raises
    ------
    ToolError
        If Amaranth is not installed.
    """

    def make() -> dict[str, Any]:
        from ..hdl.verilog import core_verilog, layout

        return {"verilog": core_verilog(shape), "layout": layout(shape)}

    content = _kept(shape.fingerprint(), make)
    return content["verilog"], content["layout"]


def generate_linked(shape: Shape, clock_hz: int, divisor: int = 0) -> tuple[str, str]:
    """Verilog of a core of this shape with its link, and the name of its top module.

    Parameters
    ----------
    shape : Shape
    clock_hz : int
    divisor : int
        Clock cycles per bit of the serial line; 0 for no serial line.

    Raises
    ------
    ToolError
        If Amaranth is not installed.
    """

    def make() -> dict[str, Any]:
        from ..hdl import top

        if divisor:
            return {"verilog": top.top_verilog(shape, clock_hz, divisor), "top": top.TOP}
        return {"verilog": top.linked_core_verilog(shape, clock_hz), "top": top.LINKED_CORE}

    content = _kept(f"{shape.fingerprint()} linked {clock_hz} {divisor}", make)
    return content["verilog"], content["top"]


def _kept(what: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The JSON object that `make` gives, from the cache if it was made before."""
    key = hashlib.sha256(f"{what} {_generator()}".encode()).hexdigest()[:32]
    folder = cache_folder() / "verilog"
    kept = folder / f"{key}.json"
    if kept.exists():
        content: dict[str, Any] = json.loads(kept.read_text())
        return content
    try:
        content = make()
    except ModuleNotFoundError as e:
        raise ToolError(f"generating hardware needs {e.name}; install it: {INSTALL}") from e
    folder.mkdir(parents=True, exist_ok=True)
    write_file(kept, json.dumps(content).encode())
    return content


def simulated_shape(program: Program) -> Shape:
    """The shape of simulated hardware that `program` fits in."""
    return Shape.for_program(program, SIMULATED)


def simulated_core(program: Program) -> tuple[str, dict[str, Any]]:
    """Verilog and layout of a core that `program` fits in, for simulation."""
    return generate(simulated_shape(program))
