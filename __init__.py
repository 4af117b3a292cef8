"""Spikeloom: trained spiking networks, lowered to integers and to the hardware that runs them.

The public names are imported when first used, so that ``import spikeloom`` stays quick and does
not import Nengo.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compiler.errors import SpikeloomError
    from .compiler.frontends.frozen.export import export
    from .compiler.frontends.frozen.file import load_frozen
    from .compiler.frontends.nengo.neuron_type import neuron_type
    from .compiler.frontends.nengo.neurons import LIF
    from .compiler.frontends.nengo.rule_type import rule_type
    from .compiler.frontends.nengo.rules import MPES, STDP, VDSP, VariedMPES
    from .compiler.frontends.nengo.streams import Present, Recording, SpikeStream
    from .compiler.frontends.nengo_dl.tensorflow import import_nengo_dl
    from .compiler.frontends.nir.export import export_nir
    from .compiler.frontends.nir.network import import_nir
    from .compiler.kernels.curves import curve
    from .compiler.kernels.expression import (
        as_weight,
        clip,
        constant,
        divide,
        floor,
        maximum,
        minimum,
        rounded,
        scale,
        scaled,
        select,
        table,
    )
    from .compiler.kernels.kernel import Input, Kernel, Parameter, State
    from .compiler.kernels.reductions import any_of, max_of, sum_of, winner
    from .compiler.kernels.rule import Error, Post, Pre, Rule, Synapse, Weight
    from .compiler.machine import Machine
    from .compiler.program import Program
    from .compiler.storage import load_program, save_program
    from .runtime.batch.simulator import BatchSimulator
    from .runtime.simulator import Simulator
    from .runtime.sweep.sweep import sweep
    from .runtime.sweep.trials import Trials

__version__ = "0.1.0"

_HOMES = {
    "BatchSimulator": "runtime.batch.simulator",
    "Error": "compiler.kernels.rule",
    "Input": "compiler.kernels.kernel",
    "Kernel": "compiler.kernels.kernel",
    "LIF": "compiler.frontends.nengo.neurons",
    "MPES": "compiler.frontends.nengo.rules",
    "Machine": "compiler.machine",
    "Parameter": "compiler.kernels.kernel",
    "Post": "compiler.kernels.rule",
    "Pre": "compiler.kernels.rule",
    "Present": "compiler.frontends.nengo.streams",
    "Program": "compiler.program",
    "Recording": "compiler.frontends.nengo.streams",
    "Rule": "compiler.kernels.rule",
    "STDP": "compiler.frontends.nengo.rules",
    "Simulator": "runtime.simulator",
    "SpikeStream": "compiler.frontends.nengo.streams",
    "SpikeloomError": "compiler.errors",
    "State": "compiler.kernels.kernel",
    "Synapse": "compiler.kernels.rule",
    "Trials": "runtime.sweep.trials",
    "VDSP": "compiler.frontends.nengo.rules",
    "VariedMPES": "compiler.frontends.nengo.rules",
    "Weight": "compiler.kernels.rule",
    "any_of": "compiler.kernels.reductions",
    "as_weight": "compiler.kernels.expression",
    "clip": "compiler.kernels.expression",
    "constant": "compiler.kernels.expression",
    "curve": "compiler.kernels.curves",
    "divide": "compiler.kernels.expression",
    "export": "compiler.frontends.frozen.export",
    "export_nir": "compiler.frontends.nir.export",
    "floor": "compiler.kernels.expression",
    "import_nengo_dl": "compiler.frontends.nengo_dl.tensorflow",
    "import_nir": "compiler.frontends.nir.network",
    "load_frozen": "compiler.frontends.frozen.file",
    "load_program": "compiler.storage",
    "max_of": "compiler.kernels.reductions",
    "maximum": "compiler.kernels.expression",
    "minimum": "compiler.kernels.expression",
    "neuron_type": "compiler.frontends.nengo.neuron_type",
    "rounded": "compiler.kernels.expression",
    "rule_type": "compiler.frontends.nengo.rule_type",
    "save_program": "compiler.storage",
    "scale": "compiler.kernels.expression",
    "scaled": "compiler.kernels.expression",
    "select": "compiler.kernels.expression",
    "sum_of": "compiler.kernels.reductions",
    "sweep": "runtime.sweep.sweep",
    "table": "compiler.kernels.expression",
    "winner": "compiler.kernels.reductions",
}

__all__ = [
    "LIF",
    "MPES",
    "STDP",
    "VDSP",
    "BatchSimulator",
    "Error",
    "Input",
    "Kernel",
    "Machine",
    "Parameter",
    "Post",
    "Pre",
    "Present",
    "Program",
    "Recording",
    "Rule",
    "Simulator",
    "SpikeStream",
    "SpikeloomError",
    "State",
    "Synapse",
    "Trials",
    "VariedMPES",
    "Weight",
    "__version__",
    "any_of",
    "as_weight",
    "clip",
    "constant",
    "curve",
    "divide",
    "export",
    "export_nir",
    "floor",
    "import_nengo_dl",
    "import_nir",
    "load_frozen",
    "load_program",
    "max_of",
    "maximum",
    "minimum",
    "neuron_type",
    "rounded",
    "rule_type",
    "save_program",
    "scale",
    "scaled",
    "select",
    "sum_of",
    "sweep",
    "table",
    "winner",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
