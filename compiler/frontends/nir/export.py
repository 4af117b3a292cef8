"""Export of Nengo networks as NIR graphs, as far as NIR has words for what is in them.

The starting point is what the compiler makes of a network (its Graph): so gains, decoders,
encoders and slices have become plain matrices before NIR comes into it.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import nengo
from nengo.builder import Model

from ...errors import ModelError
from ...files import write_file
from ..nengo import convert
from .neurons import METHODS

if TYPE_CHECKING:
    import nir


def export_nir(
    network: nengo.Network,
    path: str | Path | None = None,
    dt: float = 0.001,
    method: str | None = None,
) -> nir.NIRGraph:
    """Write a network as a NIR graph.

    Inputs are the nodes that nothing leads to, outputs the probes of neurons and sums. Neurons that
    NIR has: `StepLIF`, `StepCubaLIF`, `StepLI`, `Heaviside` and their ``Varied`` forms, as
    `import_nir` makes them, and ``nengo.LIF`` without refractory time and lower limit. Connections
    may have any transform, and no synapse, a ``Lowpass``, or one of 0 s (a delay of one step).

    Parameters
    ----------
    network : nengo.Network
    path : str or Path, optional
        The ``.nir`` file to write, whole or not at all.
    dt : float
        Seconds. NIR's equations are continuous; what depends on the step (a spike of Nengo is worth
        ``1 / dt``) is written for this one, and the graph's metadata say so.
    method : str, optional
        How its reader is to integrate, ``"euler"`` or ``"exponential"``: time constants are written
        such that this method does what the network does. Without it: euler for imported networks,
        exponential for those with Nengo's own LIF or synapses, whose time constants then stay.

    Returns
    -------
    nir.NIRGraph

    Raises
    ------
    ModelError
        If something cannot be said in NIR; the message lists each such object with the reason.
    """
    if method is not None and method not in METHODS:
        raise ModelError(f"method {method!r} is unknown; choose {', '.join(METHODS)}")
    try:
        import nir

        from .writer import Writer
    except ImportError as e:
        raise ModelError(
            f"writing NIR needs the package {e.name}; pip install 'spikeloom[nir]'"
        ) from e
    model = Model(dt=dt)
    model.build(network)
    conversion = convert(model)
    writer = Writer(conversion, model, network, method)
    if writer.problems:
        what = network.label or "the network"
        raise ModelError(f"{what} cannot be written as NIR: {'; '.join(writer.problems)}")
    if path is not None:
        content = io.BytesIO()
        nir.write(content, writer.graph)  # type: ignore[arg-type]  # h5py takes any binary file
        write_file(path, content.getvalue())
    return writer.graph
