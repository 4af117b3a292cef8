"""Hardware for a Program, where it only has to exist in simulation: its Verilog, kept by hash."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from ..compiler.errors import ToolError
from ..compiler.files import write_file
from ..compiler.program import Program
from ..compiler.shape import Shape
from ..sim.native.build import cache_folder

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
    sources = [*package.glob("hdl/*.py"), package / "compiler/encoding.py"]
    sources += [package / "compiler/timing.py", package / "compiler/kernels/pipeline.py"]
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
    key = hashlib.sha256(f"{shape.fingerprint()} {_generator()}".encode()).hexdigest()[:32]
    folder = cache_folder() / "verilog"
    kept = folder / f"{key}.json"
    if kept.exists():
        content = json.loads(kept.read_text())
        return content["verilog"], content["layout"]
    try:
        from ..hdl.verilog import core_verilog, layout
    except ImportError as e:
        raise ToolError(
            f"generating hardware needs Amaranth ({e}); install it: "
            "pip install 'spikeloom[hardware]'"
        ) from e
    content = {"verilog": core_verilog(shape), "layout": layout(shape)}
    folder.mkdir(parents=True, exist_ok=True)
    write_file(kept, json.dumps(content).encode())
    return content["verilog"], content["layout"]


def simulated_core(program: Program) -> tuple[str, dict[str, Any]]:
    """Verilog and layout of a core that `program` fits in, for simulation."""
    return generate(Shape.for_program(program, SIMULATED))
