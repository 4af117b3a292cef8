"""NengoDL and NengoOCL, where they are installed: rows beside ours."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import nengo

from spikeloom.compiler.errors import ToolError
from spikeloom.compiler.frontends.nengo_dl.tensorflow import import_nengo_dl

Run = Callable[[int], None]


def nengo_dl(net: nengo.Network, copies: int, stack: ExitStack) -> Run:
    """NengoDL with a minibatch of so many."""
    module = import_nengo_dl()
    sim = module.Simulator(net, minibatch_size=copies, progress_bar=False)
    stack.enter_context(sim)

    def run(steps: int) -> None:
        sim.clear_probes()
        sim.run_steps(steps, progress_bar=False)

    run(10)  # the first call builds TensorFlow's graph
    return run


def nengo_ocl(net: nengo.Network, copies: int, stack: ExitStack) -> Run:
    """NengoOCL on the first OpenCL device: it runs one copy at a time."""
    if copies > 1:
        raise ToolError("NengoOCL runs one copy at a time")
    try:
        import nengo_ocl as module
        import pyopencl
    except ImportError as e:
        raise ToolError(f"{e}; pip install nengo-ocl 'pyopencl[pocl]'") from e
    context = pyopencl.create_some_context(interactive=False)
    sim: Any = stack.enter_context(module.Simulator(net, context=context, progress_bar=False))

    def run(steps: int) -> None:
        sim.clear_probes()
        sim.run_steps(steps, progress_bar=False)

    return run


SIMULATORS: dict[str, Callable[[nengo.Network, int, ExitStack], Run]] = {
    "NengoDL": nengo_dl,
    "NengoOCL": nengo_ocl,
}
