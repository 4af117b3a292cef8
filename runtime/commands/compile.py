"""``spikeloom compile MODEL.py -o DIR``: a Program and its report."""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

from ... import boards
from ...boards import BOARDS
from ...compiler.compile import PASSES
from ...compiler.errors import InputError, SpikeloomError
from ...compiler.machine import Machine
from ..inputs import show_in
from ..model_file import blame, load_network, time_step
from ..terminal import print_table, progress
from ..trained_files import NEURONS, is_trained, load_trained, with_choices

HELP = """Lower a Nengo network to a Program. MODEL.py defines a nengo.Network in the variable
`model`, or in the one that is named behind a colon; MODEL.nir holds a NIR graph, and behind a colon
may stand reset=... and method=... (docs/nir.md); MODEL.slm is what spikeloom.export wrote, and
MODEL.keras or MODEL.h5 a Keras model (docs/trained.md). DIR gets the Program, the inputs of a run
of it, and a report (report.html, report.json) that compares it with float Nengo."""
EXAMPLE = "spikeloom compile examples/channel.py -o out/channel --calibrate 1"
DEFAULT_COMPARE = 1.0

NARROWEST = 2
"""Bits of a word, at least; a neuron that needs more says so."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("model", metavar="MODEL.py[:NAME]", help="the file with the network")
    parser.add_argument("-o", "--output", metavar="DIR", help="directory to write")
    parser.add_argument(
        "--dt", type=float, metavar="S", help="time step (default: the model's, or 0.001)"
    )
    parser.add_argument(
        "--calibrate",
        type=float,
        metavar="S",
        help="fit ranges that the model does not prove to a run of this many seconds",
    )
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="[NODE=]FILE",
        help="what a node shows: rows or events, as for `spikeloom run` (repeatable)",
    )
    parser.add_argument(
        "--hold",
        type=int,
        default=1,
        metavar="N",
        help="steps that each row of --input lasts, to present images (default: 1)",
    )
    parser.add_argument(
        "--compare",
        type=float,
        metavar="S",
        help="length of the comparison with float Nengo (default: that of --input, or 1.0; 0 for "
        "none)",
    )
    keras = parser.add_argument_group("Keras models", "how activations become neurons")
    keras.add_argument("--neuron", choices=NEURONS, help="instead of relu (default: relu)")
    keras.add_argument(
        "--amplitude",
        type=float,
        metavar="A",
        help="what a spike of --neuron is worth (default: 1)",
    )
    keras.add_argument(
        "--scale-firing-rates",
        type=float,
        metavar="X",
        help="multiply the input of neurons by this and divide their output by it",
    )
    keras.add_argument(
        "--synapse", type=float, metavar="S", help="filter behind neurons, seconds (default: none)"
    )
    keras.add_argument(
        "--pooling",
        choices=("largest", "average"),
        help="average: for the model's max pooling, too, which spikes cannot do",
    )
    parser.add_argument("--engine", default="native", help="what runs it (default: native)")
    parser.add_argument(
        "--lanes", type=int, help=f"lanes of the loom (default: {Machine().lanes}, or the board's)"
    )
    parser.add_argument(
        "--weight-bits",
        type=int,
        metavar="B",
        help=f"width of a weight (default: {Machine().weight_bits}, or the board's)",
    )
    parser.add_argument(
        "--voltage-bits",
        type=int,
        metavar="B",
        help=f"width of a neuron's or synapse's state (default: {Machine().state_bits}, or the "
        "board's)",
    )
    parser.add_argument(
        "--board", metavar="NAME", help=f"build the hardware too: {', '.join(BOARDS)}"
    )
    parser.add_argument(
        "--clock", type=float, metavar="MHZ", help="clock of the hardware (default: the board's)"
    )
    parser.add_argument(
        "--allow-timing-failure",
        action="store_true",
        help="accept hardware that is too slow for its clock",
    )
    parser.add_argument(
        "--show",
        choices=PASSES,
        metavar="PASS",
        help=f"print what a pass left: {', '.join(PASSES)}",
    )
    parser.add_argument(
        "--allow-saturation",
        action="store_true",
        help="do not fail where a signal left the range of its format",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Compile, compare, write, and print the summary."""
    machine = _check(arguments)
    arguments.model = with_choices(
        arguments.model,
        neuron=arguments.neuron,
        amplitude=arguments.amplitude,
        scale=arguments.scale_firing_rates,
        synapse=arguments.synapse,
        pooling=arguments.pooling,
    )
    arguments.dt = time_step(arguments.model, arguments.dt)
    network, name = load_network(arguments.model, arguments.dt)
    network.label = name
    shown = show_in(network, arguments.input, arguments.dt, arguments.hold)
    if arguments.compare is None:
        arguments.compare = DEFAULT_COMPARE if shown is None else shown * arguments.dt
    from ..deployment import REPORT, deploy, write_deployment

    begin = time.perf_counter()
    with progress("compiling") as show:
        try:
            deployment = deploy(
                network,
                dt=arguments.dt,
                calibrate=arguments.calibrate,
                seconds=arguments.compare,
                engine=arguments.engine,
                machine=machine,
                allow_saturation=arguments.allow_saturation,
                board=boards.get(arguments.board) if arguments.board else None,
                clock_hz=round(1e6 * arguments.clock) if arguments.clock else None,
                allow_timing_failure=arguments.allow_timing_failure,
                say=show,
            )
        except SpikeloomError:
            raise
        except Exception as e:
            model_error = blame(arguments.model, e)
            if model_error is None:
                raise
            raise model_error from e
        if is_trained(arguments.model):
            trained = load_trained(arguments.model)
            deployment.data["parameter_map"] = [record.to_json() for record in trained.layers]
            deployment.data["remarks"] = trained.remarks
        if arguments.output is not None:
            show("writing")
            write_deployment(deployment, arguments.output)
    if arguments.show is not None:
        print(deployment.compilation.show(arguments.show))
        return 0
    if arguments.json:
        print(json.dumps(deployment.data, indent=1, default=str))
        return 0
    print_summary(deployment.data)
    seconds = time.perf_counter() - begin
    print(f"compiled in {seconds:.1f} s: {Path(arguments.output) / REPORT}")
    return 0


def _check(arguments: argparse.Namespace) -> Machine:
    for name in ("dt", "calibrate", "compare", "clock"):
        value = getattr(arguments, name)
        least = 0.0 if name == "compare" else None
        if value is not None and not (
            math.isfinite(value) and (value > 0 if least is None else value >= least)
        ):
            unit = "MHz" if name == "clock" else "seconds"
            raise InputError(f"--{name} {value}: must be a positive number of {unit}")
    if arguments.output is None and arguments.show is None:
        raise InputError("nothing to do: give a directory with -o DIR, or a pass with --show PASS")
    if arguments.board is not None:
        boards.get(arguments.board)
    for name in ("clock", "lanes", "weight_bits", "voltage_bits"):
        if getattr(arguments, name) is not None and (arguments.board is None) == (name == "clock"):
            way = (
                "needs a board: give --board" if name == "clock" else "is the board's: leave it out"
            )
            raise InputError(f"--{name.replace('_', '-')} {way}")
    plain, widths = Machine(), {}
    for name, field in (("weight_bits", "weight_bits"), ("voltage_bits", "state_bits")):
        bits, most = getattr(arguments, name), getattr(plain, field)
        if bits is not None and not NARROWEST <= bits <= most:
            option = name.replace("_", "-")
            raise InputError(f"--{option} {bits}: must be {NARROWEST} to {most}")
        widths[field] = bits or most
    try:
        return Machine(lanes=arguments.lanes or plain.lanes, **widths)
    except ValueError as e:
        raise InputError(f"--lanes {arguments.lanes}: must be a power of two") from e


def print_parameter_map(layers: list[dict[str, Any]], remarks: list[str]) -> None:
    """Print which trained number went where."""
    from ...compiler.frontends.frozen.parameter_map import (
        FORMULA,
        HEADER,
        LayerRecord,
        map_rows,
    )

    print_table(list(HEADER), map_rows([LayerRecord.from_json(layer) for layer in layers]))
    print(FORMULA)
    for remark in remarks:
        print(f"note: {remark}")


def print_summary(data: dict[str, Any]) -> None:
    """Print what the report says, in short: where, how exact, how large, how fast."""
    if data.get("parameter_map"):
        print_parameter_map(data["parameter_map"], data.get("remarks", []))
    neurons, memories = data["neurons"], data["memories"]
    print(f"{data['model']}: {neurons['chip']} neurons on the chip, {neurons['host']} on the host")
    for row in data["placement"]:
        if row["where"] == "host":
            print(f"  on the host: {row['kind']} {row['object']} ({row['reason']})")
    values = [p for p in data["probes"] if p["kind"] == "values"]
    spikes = [p for p in data["probes"] if p["kind"] == "spikes"]
    print_table(
        ["probe", "RMSE to float", "RMS of float", "relative"],
        [
            [
                p["probe"],
                f"{p['rmse']:.4g}",
                f"{p['rms_of_float']:.4g}",
                f"{100 * p['relative_rmse']:.2f}%" if p["relative_rmse"] is not None else "",
            ]
            for p in values
        ],
    )
    print_table(
        ["spikes", "float", "fixed point", "rates differ by (Hz rms)"],
        [
            [
                p["probe"],
                str(p["spikes_float"]),
                str(p["spikes_fixed"]),
                f"{p['rate_rms_error_hz']:.3f}",
            ]
            for p in spikes
        ],
    )
    words = ", ".join(f"{name} {m['words']}" for name, m in memories.items() if m["words"])
    print(f"words: {words} ({data['memory_bits'] / 1024:.0f} kbit)")
    for note in data["sharing"]:
        if "words" in note:
            print(
                f"stored once: {note['matrix']}: {note['words']} words of weights and"
                f" {note['stencil_words']} of its stencil, for {note['unrolled_words']} unrolled"
            )
        else:
            because = f"{note['unrolled_words']} words ({note['unrolled_because']})"
            print(f"unrolled: {note['matrix']}: {because}")
    cycles = data["cycles"]
    text = f"cycles per step: {cycles['without_events']} without spikes"
    if "mean" in cycles:
        clock = cycles["clock_hz_for_real_time"] / 1e6
        text += f", {cycles['mean']:.0f} on average, {cycles['largest']} at most"
        text += f" (real time at {clock:.2f} MHz)"
    print(text)
    if data["hardware"] is not None:
        _print_hardware(data["hardware"])
    for name, count in (data["saturations"] or {}).items():
        print(f"saturated: {name} {count} times")
    for advice in data["advice"]:
        print(f"advice: {advice['subject']}: {advice['what']}; {advice['remedy']}")


def _print_hardware(hardware: dict[str, Any]) -> None:
    text = f"{hardware['board']}: {hardware['lanes']} lanes at {hardware['clock_hz'] / 1e6:g} MHz"
    if hardware["step"] is not None:
        text += (
            f", {1e6 * hardware['step']['largest_seconds']:.1f} us a step at most "
            f"({hardware['step']['real_time_factor']:.0f} x real time)"
        )
    print(text)
    link = hardware["link"]
    if link is not None:
        print(
            f"link: {link['upload_bytes']} bytes to load ({link['upload_seconds']:.2f} s), "
            f"{link['step_sent_bytes']:.0f} bytes to and {link['step_received_bytes']:.0f} from "
            f"the board a step ({1e6 * link['step_seconds']:.0f} us with the computation)"
        )
    routed = hardware["routed"]
    if routed is not None:
        used = ", ".join(
            f"{name} {count['used']} of {count['available']}"
            for name, count in routed["utilisation"].items()
            if count["used"]
        )
        verdict = "met" if routed["met"] else "MISSED"
        print(f"clock {verdict}: {routed['reached_mhz']:.1f} MHz reached; {routed['limit']}")
        print(f"device: {used}")
