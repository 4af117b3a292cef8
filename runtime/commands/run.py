"""``spikeloom run DIR``: a compiled Program, without Nengo."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from ...compiler.errors import InputError, RangeError
from ...compiler.program import Program
from ...compiler.storage import load_program, save_program
from ..arrays import read_arrays, write_arrays
from ..engines import BOARD, board_options, engines
from ..inputs import Given, as_rows, given_steps, read_inputs
from ..link.board import DEFAULT_BAUD, SIMULATED
from ..standalone import RunResult, run_program
from ..terminal import print_table, progress

HELP = """Run a compiled Program from its initial state. Inputs are those that were recorded at
compilation, unless --input gives others: FILE.npz with one array per input, (steps, size) or
(size,) to hold it, or NAME=FILE with the values of one input: an array (.npy, .npz), or recorded
spikes as events (.npz or .csv with time in seconds, address and, if not 1, value). Outputs are
floats in the units of the model; what was learned is written with them."""
EXAMPLE = "spikeloom run out/channel --time 1.0 --input stimulus.npz -o result.npz"
DEFAULT_SECONDS = 1.0
RECORDED = "inputs.npz"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("directory", metavar="DIR", help="what `spikeloom compile` wrote")
    parser.add_argument(
        "--engine", default="native", help=f"{', '.join(engines())} (default: native)"
    )
    parser.add_argument(
        "--port",
        metavar="PORT",
        help=f"for the engine {BOARD}: its serial port, or {SIMULATED!r} for one that is simulated",
    )
    parser.add_argument(
        "--baud",
        type=int,
        metavar="N",
        help=f"speed of its serial line (default: as the hardware was built, or {DEFAULT_BAUD})",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, metavar="N", help="number of time steps")
    length.add_argument("--time", type=float, metavar="S", help="the same in seconds")
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="values of the inputs by name, or of one: rows, or events (repeatable)",
    )
    parser.add_argument(
        "--hold",
        type=int,
        default=1,
        metavar="N",
        help="steps that each row of --input lasts, to present images (default: 1)",
    )
    parser.add_argument(
        "--record", action="append", metavar="NAME", help="record this output only (repeatable)"
    )
    parser.add_argument("-o", "--output", metavar="OUT.npz", help="where to write the outputs")
    parser.add_argument(
        "--learned",
        metavar="FILE.slp",
        help="write the Program with the weights that were learned, to go on from",
    )
    parser.add_argument("--freeze", action="store_true", help="learning rules change nothing")
    parser.add_argument(
        "--allow-saturation",
        action="store_true",
        help="do not fail where a signal left the range of its format",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Run the Program and write its outputs."""
    program = load_program(arguments.directory)
    recorded = Path(arguments.directory) / RECORDED
    given: Given = dict(read_arrays(recorded)) if recorded.is_file() else {}
    sizes = {name: port.size for name, port in program.inputs.items()}
    given |= read_inputs(arguments.input, sizes, arguments.hold)
    steps = _steps(arguments, program, given)
    inputs = {
        name: as_rows(values, sizes.get(name, 0), program.dt, steps)
        for name, values in given.items()
    }
    options = _engine_options(arguments)
    with progress("running") as show:
        result = run_program(
            program,
            steps,
            inputs,
            arguments.engine,
            arguments.record,
            options,
            say=lambda done: show(f"{done} of {steps} steps"),
            learning=not arguments.freeze,
        )
    if not arguments.allow_saturation:
        refuse_saturation(program, result)
    if arguments.output is not None:
        weights = {f"weights {name}": array for name, array in result.weights().items()}
        found = {**result.outputs, **weights, "time": _times(program, steps)}
        write_arrays(arguments.output, found)
    if arguments.learned is not None:
        if result.learned is None:
            raise InputError(f"--learned: {program.name!r} has no learning rules on the chip")
        save_program(result.learned, arguments.learned)
    summary = summarise(program, result, steps, arguments.engine)
    if arguments.json:
        print(json.dumps(summary, indent=1))
    else:
        _print(summary, arguments.output)
    return 0


def refuse_saturation(program: Program, result: RunResult) -> None:
    """Raise `RangeError` naming the first signal that was limited to its format."""
    for name, count in result.limited_inputs.items():
        port = program.inputs[name]
        largest = 2.0 ** (program.machine.value_bits - 1 - port.fraction)
        raise RangeError(
            f"input {name!r} left its range of +-{largest:g} {count} times; compile with "
            "--calibrate over such inputs, or accept it with --allow-saturation"
        )
    for name, count in result.saturations.items():
        learned = program.projections.get(name)
        origin = (learned or program.populations[name]).origin or name
        raise RangeError(
            f"{origin} saturated {count} times; compile with --calibrate over such inputs, or "
            "accept it with --allow-saturation"
        )


def summarise(program: Program, result: RunResult, steps: int, engine: str) -> dict[str, Any]:
    """The summary as a JSON object."""
    return {
        "program": program.name,
        "engine": engine,
        "steps": steps,
        "seconds": result.seconds,
        "steps_per_second": steps / result.seconds if result.seconds else None,
        "real_time_factor": steps * program.dt / result.seconds if result.seconds else None,
        "limited_inputs": result.limited_inputs,
        "saturations": result.saturations,
        "link": result.link,
        "outputs": {
            name: {
                "what": program.outputs[name].origin or name,
                "shape": list(values.shape),
                "mean": float(values.mean()) if values.size else None,
                "min": float(values.min()) if values.size else None,
                "max": float(values.max()) if values.size else None,
            }
            for name, values in result.outputs.items()
        },
    }


def _engine_options(arguments: argparse.Namespace) -> dict[str, Any]:
    given = {"port": arguments.port, "baud": arguments.baud}
    given = {name: value for name, value in given.items() if value is not None}
    if arguments.engine != BOARD:
        if given:
            raise InputError(f"--{min(given)} is for the engine {BOARD}: give --engine {BOARD} too")
        return {}
    if "port" not in given:
        raise InputError(f"the engine {BOARD} needs --port PORT, or --port {SIMULATED}")
    return board_options(arguments.directory) | given


def _steps(arguments: argparse.Namespace, program: Program, inputs: Given) -> int:
    if arguments.steps is not None:
        steps = arguments.steps
    elif arguments.time is not None:
        if not np.isfinite(arguments.time):
            raise InputError(f"--time {arguments.time}: must be a number of seconds")
        steps = round(arguments.time / program.dt)
    else:
        found = given_steps(inputs, program.dt)
        steps = round(DEFAULT_SECONDS / program.dt) if found is None else found
    if steps < 0:
        raise InputError("the number of steps must not be negative")
    return int(steps)


def _times(program: Program, steps: int) -> np.ndarray:
    return np.arange(1, steps + 1) * program.dt


def _print(summary: dict[str, Any], output: str | None) -> None:
    rows = [
        [entry["what"], name, "x".join(map(str, entry["shape"]))]
        + [f"{entry[key]:.4g}" if entry[key] is not None else "" for key in ("mean", "min", "max")]
        for name, entry in summary["outputs"].items()
    ]
    print_table(["output", "name", "shape", "mean", "min", "max"], rows)
    rate = summary["steps_per_second"]
    speed = f", {rate:,.0f} steps/s ({summary['real_time_factor']:.1f} x real time)" if rate else ""
    print(f"{summary['steps']} steps on {summary['engine']}{speed}")
    if summary["link"] is not None:
        _print_link(summary["link"], summary["steps"])
    for kind in ("limited_inputs", "saturations"):
        for name, count in summary[kind].items():
            print(f"{kind.replace('_', ' ')}: {name} {count} times")
    if output is not None:
        print(f"written: {output}")


def _print_link(link: dict[str, Any], steps: int) -> None:
    upload, total = link["upload"], link["total"]
    print(
        f"hardware {link['fingerprint']} at {link['clock_hz'] / 1e6:g} MHz: upload of "
        f"{upload['sent']} bytes in {link['upload_seconds']:.3f} s, {total['repeats']} requests "
        "repeated"
    )
    if steps:
        sent = (total["sent"] - upload["sent"]) / steps
        received = (total["received"] - upload["received"]) / steps
        cycles = link["cycles"] / steps
        print(
            f"per step: {cycles:.0f} clock cycles ({cycles / link['clock_hz'] * 1e6:.1f} us), "
            f"{sent:.0f} bytes to the board, {received:.0f} bytes back"
        )
