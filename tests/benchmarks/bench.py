"""Steps per second of the native engine and of ``nengo.Simulator``, in one run: ``make bench``.

Both run the same networks with the same precomputed inputs and record the same probe. Compilation is
not part of what is timed. Each is run several times in turn and the fastest run counts, so that a
burst of other work on the computer hits neither alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nengo
from networks import BENCHMARKS, lif_rates

import spikeloom
from spikeloom.compiler.files import write_file
from spikeloom.runtime.terminal import print_table

REPEATS = 3
WANTED_SPEEDUP = 20.0


def measure(name: str, net: nengo.Network, seconds: float, engine: str) -> dict[str, Any]:
    """Time both simulators on one network."""
    with (
        nengo.Simulator(net, progress_bar=False) as floating,
        spikeloom.Simulator(net, engine=engine, progress_bar=False) as fixed,
    ):
        steps = round(seconds / floating.dt)
        times: dict[str, list[float]] = {"nengo": [], engine: []}
        for _ in range(REPEATS):
            for label, sim in (("nengo", floating), (engine, fixed)):
                sim.clear_probes()
                begin = time.perf_counter()
                sim.run_steps(steps)
                times[label].append(time.perf_counter() - begin)
    nengo_rate, rate = steps / min(times["nengo"]), steps / min(times[engine])
    return {
        "network": name,
        "neurons": net.n_neurons,
        "steps": steps,
        "nengo_steps_per_s": nengo_rate,
        "engine_steps_per_s": rate,
        "speedup": rate / nengo_rate,
        "real_time_factor": rate * floating.dt,
        "ok": rate / nengo_rate >= WANTED_SPEEDUP,
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
    results = [measure(name, make(), s, arguments.engine) for name, make, s in networks]
    head = ["network", "neurons", "nengo steps/s", f"{arguments.engine} steps/s", "speed-up", ""]
    rows = [
        [
            r["network"],
            str(r["neurons"]),
            f"{r['nengo_steps_per_s']:,.0f}",
            f"{r['engine_steps_per_s']:,.0f}",
            f"{r['speedup']:.1f}x",
            "ok" if r["ok"] else f"below {WANTED_SPEEDUP:g}x",
        ]
        for r in results
    ]
    print_table(head, rows)
    text = json.dumps({"engine": arguments.engine, "networks": results}, indent=1)
    if arguments.output:
        write_file(Path(arguments.output), text.encode() + b"\n")
    else:
        print(text)
    return 0 if all(r["ok"] for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
