"""Steps per second of the native engine and of ``nengo.Simulator``, in one run: ``make bench``.

The same networks with the same precomputed inputs, recording the same probe: in Nengo's floating
point, on the engine by itself (inputs in an array, as `spikeloom run` does it), and in the drop-in
`spikeloom.Simulator`, which calls Nengo's own Python code for the inputs in each step. Compiling is
not part of what is timed. Each is run several times in turn and the fastest run counts, so that a
burst of other work on the computer hits none alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import classifier
import nengo
from networks import BENCHMARKS, digits_from_voltages, error_driven, lif_rates

from spikeloom.compiler.files import write_file
from spikeloom.runtime.engines import create_engine
from spikeloom.runtime.recording import RecordingSimulator
from spikeloom.runtime.standalone import quantise
from spikeloom.runtime.terminal import print_table

REPEATS = 3
WANTED_SPEEDUP = 20.0


def measure(name: str, net: nengo.Network, seconds: float, engine: str) -> dict[str, Any]:
    """Time all three on one network."""
    with (
        nengo.Simulator(net, progress_bar=False) as floating,
        RecordingSimulator(net, engine=engine, progress_bar=False) as fixed,
    ):
        steps = round(seconds / floating.dt)
        fixed.run_steps(steps)  # ranges that have to be widened are found here
        program = fixed.program
        assert program is not None
        inputs = {
            port: quantise(program, program.inputs[port], values)[0]
            for port, values in fixed.sent().items()
        }
        machine = create_engine(engine, program)

        def run_engine() -> None:
            machine.run(steps, inputs, list(program.outputs))

        def run_simulator(sim: nengo.Simulator) -> None:
            sim.clear_probes()
            sim.run_steps(steps)

        runs: dict[str, Callable[[], None]] = {
            "nengo": lambda: run_simulator(floating),
            "engine": run_engine,
            "simulator": lambda: run_simulator(fixed),
        }
        times: dict[str, list[float]] = {label: [] for label in runs}
        for _ in range(REPEATS):
            for label, run in runs.items():
                begin = time.perf_counter()
                run()
                times[label].append(time.perf_counter() - begin)
    rates = {label: steps / min(spent) for label, spent in times.items()}
    return {
        "network": name,
        "neurons": net.n_neurons,
        "steps": steps,
        "nengo_steps_per_s": rates["nengo"],
        "engine_steps_per_s": rates["engine"],
        "simulator_steps_per_s": rates["simulator"],
        "speedup": rates["engine"] / rates["nengo"],
        "simulator_speedup": rates["simulator"] / rates["nengo"],
        "real_time_factor": rates["engine"] * floating.dt,
        "ok": rates["engine"] / rates["nengo"] >= WANTED_SPEEDUP,
    }


def main() -> int:
    """Measure, print table and JSON, and say whether the mark was met everywhere."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="native")
    parser.add_argument("-o", "--output", help="write the JSON to this file instead of printing it")
    arguments = parser.parse_args()
    networks: list[tuple[str, Callable[[], nengo.Network], float]] = [
        ("LIF rates, 400 neurons", lambda: lif_rates()[0], 4.0)
    ]
    networks += [
        (b.name, lambda b=b: b.make(nengo.LIF())[0], b.seconds)  # type: ignore[misc]
        for b in BENCHMARKS
    ]
    networks += [
        ("PES, x -> x^2, 100 neurons", error_driven, 4.0),
        ("VDSP, 784 x 20, winner takes all", digits_from_voltages, 3.5),
    ]
    results = [measure(name, make(), s, arguments.engine) for name, make, s in networks]
    head = ["network", "neurons", "nengo steps/s", "Simulator", f"{arguments.engine} engine", ""]
    rows = [
        [
            r["network"],
            str(r["neurons"]),
            f"{r['nengo_steps_per_s']:,.0f}",
            f"{r['simulator_steps_per_s']:,.0f} ({r['simulator_speedup']:.1f}x)",
            f"{r['engine_steps_per_s']:,.0f} ({r['speedup']:.1f}x)",
            "ok" if r["ok"] else f"below {WANTED_SPEEDUP:g}x",
        ]
        for r in results
    ]
    print_table(head, rows)
    batch = classifier.measure()
    classifier.show(batch)
    everything = {"engine": arguments.engine, "networks": results, "batch": batch}
    text = json.dumps(everything, indent=1)
    if arguments.output:
        write_file(Path(arguments.output), text.encode() + b"\n")
    else:
        print(text)
    return 0 if all(r["ok"] for r in [*results, batch]) else 1


if __name__ == "__main__":
    sys.exit(main())
