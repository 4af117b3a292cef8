"""NengoDL and NengoOCL, where they are installed: rows beside ours."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import nengo

from spikeloom.compiler.errors import ToolError
from spikeloom.compiler.frontends.nengo_dl.tensorflow import import_nengo_dl

Make = Callable[[int], Callable[[], Any]]
"""``make(steps)`` prepares a run of so many steps, and gives a function that does it."""


def nengo_dl(net: nengo.Network, copies: int, stack: ExitStack) -> Make:
    """NengoDL with a minibatch of so many."""
    module = import_nengo_dl()
    sim = module.Simulator(net, minibatch_size=copies, progress_bar=False)
    stack.enter_context(sim)

    ready: set[int] = set()

    def make(steps: int) -> Callable[[], Any]:
        run = partial(sim.run_steps, steps, progress_bar=False)
        if steps not in ready:  # the first call builds TensorFlow's graph
            run()
            ready.add(steps)
        return run

    return make


def nengo_ocl(net: nengo.Network, copies: int, stack: ExitStack) -> Make:
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

    def make(steps: int) -> Callable[[], Any]:
        sim.clear_probes()
        return partial(sim.run_steps, steps, progress_bar=False)

    return make


SIMULATORS: dict[str, Callable[[nengo.Network, int, ExitStack], Make]] = {
    "NengoDL": nengo_dl,
    "NengoOCL": nengo_ocl,
}
