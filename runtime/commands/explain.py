"""``spikeloom explain MODEL``: every number that goes on the chip, and one neuron step by step."""

from __future__ import annotations

import argparse
import json

from ...compiler.errors import InputError, SpikeloomError
from ...compiler.files import write_file
from ..model_file import blame, load_network, time_step
from ..terminal import progress
from ..trained_files import is_trained, load_trained
from .compile import print_parameter_map

HELP = """Print a table per layer that can be checked by hand, and for one neuron the full path: its
folded weights, gain, bias, time constants and threshold as floats and as integers with their scale,
and its first steps in float Nengo and in the chip's integers side by side."""
EXAMPLE = 'spikeloom explain examples/two_layers.py --neuron "layer 1[1]" --picture two_layers.png'


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "model", metavar="MODEL", help="the network: MODEL.py[:NAME] or another file"
    )
    parser.add_argument(
        "--neuron", metavar="NAME[i]", help="which neuron (default: the first of the first layer)"
    )
    parser.add_argument(
        "--steps", type=int, default=50, metavar="N", help="steps of it that are shown (50)"
    )
    parser.add_argument(
        "--dt", type=float, metavar="S", help="time step (default: the file's own, or 0.001)"
    )
    parser.add_argument(
        "--data", metavar="FILE.npz", help="show an image of this file at the input all the time"
    )
    parser.add_argument(
        "--image", type=int, default=0, metavar="K", help="which image of --data (0)"
    )
    parser.add_argument("--input", metavar="NAME", help="the node that takes the image")
    parser.add_argument("--engine", default="native", help="what runs it (default: native)")
    parser.add_argument("--picture", metavar="FILE.png", help="draw current, voltage and spikes")
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Explain, draw, print."""
    if arguments.dt is not None and not 0 < arguments.dt < float("inf"):
        raise InputError(f"--dt {arguments.dt}: must be a positive number of seconds")
    arguments.dt = time_step(arguments.model, arguments.dt)
    network, name = load_network(arguments.model, arguments.dt)
    network.label = name
    if arguments.data is not None:
        from ..accuracy.labelled import input_node, load_labelled, present

        data = load_labelled(arguments.data, needs_labels=False)
        if not 0 <= arguments.image < len(data):
            raise InputError(
                f"--image {arguments.image}: {arguments.data} has {len(data)} images, from 0"
            )
        node = input_node(network, arguments.input)
        shown = data.images[arguments.image : arguments.image + 1]
        present(node, shown, max(arguments.steps, 1) * arguments.dt)
    from ..explain.network import explain
    from ..explain.text import print_explanation

    with progress("explaining"):
        try:
            found = explain(
                network, arguments.steps, arguments.neuron, arguments.dt, arguments.engine
            )
        except SpikeloomError:
            raise
        except Exception as e:
            error = blame(arguments.model, e)
            if error is None:
                raise
            raise error from e
    if is_trained(arguments.model):
        trained = load_trained(arguments.model)
        found["parameter_map"] = [record.to_json() for record in trained.layers]
        found["remarks"] = trained.remarks
    if arguments.picture is not None:
        from ..explain.plots import plot_neuron

        write_file(arguments.picture, plot_neuron(found["neuron"]))
    if arguments.json:
        print(json.dumps(found, indent=1))
        return 0
    if "parameter_map" in found:
        print_parameter_map(found["parameter_map"], found["remarks"])
        print()
    print_explanation(found)
    if arguments.picture is not None:
        print(f"written: {arguments.picture}")
    return 0
