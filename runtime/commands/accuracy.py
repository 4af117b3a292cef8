"""``spikeloom accuracy MODEL --data FILE``: right answers in float and in fixed point."""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

from ...compiler.errors import InputError, SpikeloomError
from ...compiler.files import write_file
from ...compiler.machine import Machine
from ...compiler.passes.coarsen import WeightBits
from ..model_file import blame, load_network, time_step
from ..terminal import progress

HELP = """Show all images of a file to a network, each from the initial state, in float Nengo and on
the chip, and print the share of right answers in total, by class and by presentation time. FILE is
an .npz with images (n, size) and labels (n,)."""
EXAMPLE = "spikeloom accuracy model.py --data test.npz --steps 100 --lose 0.3"

LONGEST_SEARCH = 100.0
"""Percentage points."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    machine = Machine()
    parser.add_argument(
        "model", metavar="MODEL", help="the network: MODEL.py[:NAME] or another file"
    )
    parser.add_argument("--data", metavar="FILE.npz", required=True, help="images and labels")
    parser.add_argument(
        "--images", type=int, metavar="N", help="only the first N images (default: all)"
    )
    parser.add_argument(
        "--steps", type=int, default=100, metavar="N", help="steps that an image is shown (100)"
    )
    parser.add_argument(
        "--dt", type=float, metavar="S", help="time step (default: the file's own, or 0.001)"
    )
    parser.add_argument("--input", metavar="NAME", help="the node that takes the images")
    parser.add_argument("--output", metavar="NAME", help="the probe with a value for each class")
    parser.add_argument(
        "--answer",
        choices=("last", "mean"),
        help="class with the largest last value, or the largest mean (default: mean for spikes)",
    )
    parser.add_argument(
        "--float-images",
        type=int,
        metavar="N",
        help="images for float Nengo, which is slow (default: all; 0: none)",
    )
    parser.add_argument(
        "--weight-bits",
        metavar="B",
        help=f"bits of weights, 2 to {machine.weight_bits}; LAYER=B for the weights into one "
        "layer; several with commas",
    )
    parser.add_argument(
        "--narrow",
        action="store_true",
        help="take a machine whose weights have no more bits, as `spikeloom compile --weight-bits` "
        "does, instead of rounding weights",
    )
    parser.add_argument(
        "--voltage-bits",
        type=int,
        default=machine.state_bits,
        metavar="B",
        help=f"bits of voltages and synapses ({machine.state_bits})",
    )
    parser.add_argument(
        "--lose",
        type=float,
        metavar="P",
        help="search for the smallest formats that lose at most P percentage points",
    )
    parser.add_argument(
        "--calibration", metavar="FILE.npz", help="fit ranges to these images and labels"
    )
    parser.add_argument("--engine", default="native", help="what runs it (default: native)")
    parser.add_argument("--picture", metavar="FILE.png", help="draw accuracy against time")
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Measure, draw, print."""
    _check(arguments)
    arguments.dt = time_step(arguments.model, arguments.dt)
    network, name = load_network(arguments.model, arguments.dt)
    network.label = name
    with progress("building") as show:
        try:
            found = measure(network, arguments, show)
        except SpikeloomError:
            raise
        except Exception as e:
            error = blame(arguments.model, e)
            if error is None:
                raise
            raise error from e
    from ..accuracy.text import plot_accuracy, print_accuracy

    if arguments.picture is not None:
        write_file(arguments.picture, plot_accuracy(found))
    if arguments.json:
        print(json.dumps(found, indent=1))
        return 0
    print_accuracy(found)
    if arguments.picture is not None:
        print(f"written: {arguments.picture}")
    return 0


def measure(network: Any, arguments: argparse.Namespace, show: Any) -> dict[str, Any]:
    """The measurement that the arguments describe, as a JSON object."""
    import numpy as np

    from ..accuracy.labelled import load_labelled
    from ..accuracy.measurement import Experiment, Formats
    from ..report.advice import rising, unscaled

    data = load_labelled(arguments.data)
    if arguments.images is not None:
        data = data.first(arguments.images)
    calibration = None if arguments.calibration is None else load_labelled(arguments.calibration)
    experiment = Experiment(
        network,
        data,
        steps=arguments.steps,
        dt=arguments.dt,
        source=arguments.input,
        output=arguments.output,
        mean=None if arguments.answer is None else arguments.answer == "mean",
        calibration=calibration,
        engine=arguments.engine,
    )
    formats = Formats(weight_bits(arguments.weight_bits), arguments.voltage_bits, arguments.narrow)
    fixed = experiment.fixed(formats, lambda n: show(f"fixed point: {n} of {len(data)} images"))
    floating = both = None
    if arguments.float_images != 0:
        count = min(arguments.float_images or len(data), len(data))
        floating = experiment.floating(count, lambda n: show(f"float Nengo: {n} of {count} images"))
        same = fixed.first(count)
        both = {
            "difference": same.accuracy - floating.accuracy,
            "same": float(np.mean(same.answers[:, -1] == floating.answers[:, -1])),
            "times_faster": (floating.seconds / count) / (fixed.seconds / len(data))
            if fixed.seconds
            else None,
        }
    about_data = unscaled(data.images, fixed.accuracy)
    about_data += rising(list(experiment.sampling.times), fixed.by_time(), len(data))
    search = None
    if arguments.lose is not None:
        whole = floating is not None and len(floating.labels) == len(data)
        reference = floating if whole and floating is not None else experiment.fixed()
        wanted = max(reference.accuracy - arguments.lose / 100, 0.0)
        tried, chosen = [], None
        for candidate, outcome, enough in experiment.smallest(
            wanted, formats, lambda text: show(f"trying {text}")
        ):
            row = {"formats": candidate.to_json(), "accuracy": outcome.accuracy, "enough": enough}
            tried.append(row)
            chosen = row["formats"] if enough else chosen
        search = {
            "lose": arguments.lose,
            "reference": "float" if whole else "fixed",
            "wanted": wanted,
            "tried": tried,
            "found": chosen,
        }
    return {
        "model": experiment.name,
        "probe": experiment.probe.label or str(experiment.probe),
        "dt": arguments.dt,
        "steps": arguments.steps,
        "times": list(experiment.sampling.times),
        "mean": experiment.mean,
        "formats": formats.to_json(),
        "class_sizes": np.bincount(data.labels).tolist(),
        "fixed": fixed.to_json(data.classes),
        "float": None if floating is None else floating.to_json(data.classes),
        "both": both,
        "search": search,
        "advice": [a.to_json() for a in (*about_data, *experiment.advice)],
    }


def weight_bits(text: str | None) -> WeightBits:
    """``8``, ``LAYER=6``, or several of these with commas.

    Raises
    ------
    InputError
        If it is something else.
    """
    everywhere, layers = None, {}
    for part in (text or "").split(","):
        layer, sign, bits = part.rpartition("=")
        if not part.strip():
            continue
        try:
            number = int(bits)
        except ValueError as e:
            raise InputError(
                f"--weight-bits {part.strip()}: give a number of bits, or LAYER=BITS"
            ) from e
        if sign:
            layers[layer.strip()] = number
        else:
            everywhere = number
    found = WeightBits(everywhere, layers)
    found.check(Machine())
    return found


def _check(arguments: argparse.Namespace) -> None:
    if arguments.dt is not None and not (math.isfinite(arguments.dt) and arguments.dt > 0):
        raise InputError(f"--dt {arguments.dt}: must be a positive number of seconds")
    for name, least in (("steps", 1), ("images", 1), ("float_images", 0)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise InputError(f"--{name.replace('_', '-')} {value}: must be at least {least}")
    if arguments.lose is not None and not 0 <= arguments.lose <= LONGEST_SEARCH:
        raise InputError(f"--lose {arguments.lose}: must be 0 to 100 percentage points")
    if not 8 <= arguments.voltage_bits <= Machine().state_bits:
        raise InputError(
            f"--voltage-bits {arguments.voltage_bits}: must be 8 to {Machine().state_bits}"
        )
    weight_bits(arguments.weight_bits)
