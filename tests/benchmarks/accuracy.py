"""Errors of float Nengo and of fixed point, both against the ideal signal: ``make accuracy``.

Exit status 1 if fixed point misses one of the marks: within 10 % of float's own error on the
networks and on the tasks of learning rules (of weights alone: within 10 % of what float learns),
rates within 0.5 Hz rms.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import nengo
import numpy as np
from learning_networks import TAIL, TASKS, Task
from networks import BENCHMARKS, HIGHEST_RATE, LOWEST_RATE, Benchmark, lif_rates

import spikeloom
from spikeloom.runtime.terminal import print_table

LARGEST_RATIO = 1.1
LARGEST_RATE_ERROR = 0.5
RATE_SECONDS = 4.0


def rmse(signal: np.ndarray, ideal: np.ndarray) -> float:
    """Root of the mean squared error over time and dimensions."""
    return float(np.sqrt(np.mean((signal - ideal) ** 2)))


def measure(benchmark: Benchmark, engine: str) -> dict[str, Any]:
    """Run one network three times: ideal, float and fixed point."""
    ideal_net, ideal_probe = benchmark.make(nengo.Direct())
    net, probe = benchmark.make(nengo.LIF())
    with nengo.Simulator(ideal_net, progress_bar=False) as ideal:
        ideal.run(benchmark.seconds)
    with nengo.Simulator(net, progress_bar=False) as floating:
        floating.run(benchmark.seconds)
    with spikeloom.Simulator(net, engine=engine, progress_bar=False) as fixed:
        fixed.run(benchmark.seconds)
    float_error = rmse(floating.data[probe], ideal.data[ideal_probe])
    fixed_error = rmse(fixed.data[probe], ideal.data[ideal_probe])
    return {
        "network": benchmark.name,
        "seconds": benchmark.seconds,
        "float_rmse": float_error,
        "fixed_rmse": fixed_error,
        "fixed_to_float_rmse": rmse(fixed.data[probe], floating.data[probe]),
        "ratio": fixed_error / float_error,
        "ok": fixed_error <= LARGEST_RATIO * float_error,
    }


def measure_rates(engine: str) -> dict[str, Any]:
    """Spikes in a window, of neurons that fire at 5 to 400 Hz."""
    net, probe = lif_rates()
    rates = []
    for simulator in (
        nengo.Simulator(net, progress_bar=False),
        spikeloom.Simulator(net, engine=engine, progress_bar=False),
    ):
        with simulator as sim:
            sim.run(RATE_SECONDS)
        rates.append((sim.data[probe] > 0).sum(axis=0) / RATE_SECONDS)
    floating, fixed = rates
    error = float(np.sqrt(np.mean((fixed - floating) ** 2)))
    return {
        "what": f"LIF rates, {LOWEST_RATE:g} to {HIGHEST_RATE:g} Hz over {RATE_SECONDS:g} s",
        "neurons": len(floating),
        "rms_error_hz": error,
        "largest_error_hz": float(np.abs(fixed - floating).max()),
        "ok": error <= LARGEST_RATE_ERROR,
    }


def measure_learning(task: Task, engine: str) -> dict[str, Any]:
    """What is left of the error at the end of learning, in float and in fixed point.

    Where a task has no error, weights are judged: how far those of fixed point are from float's,
    as a part of what float learned.
    """
    net, probe, wanted = task.make()
    with nengo.Simulator(net, progress_bar=False) as floating:
        floating.run(task.seconds)
    with spikeloom.Simulator(net, engine=engine, progress_bar=False) as fixed:
        fixed.run(task.seconds)
        on_chip = len(fixed.program.projections) if fixed.program else 0
    here, there = fixed.data[probe], floating.data[probe]
    if wanted is None:
        learned = rmse(there[-1], there[0])
        error = rmse(here[-1], there[-1])
        result = {"float": learned, "fixed": error, "ratio": error / learned}
        ok = result["ratio"] <= LARGEST_RATIO - 1
    else:
        tail = slice(int(len(there) * (1 - TAIL)), None)
        ideal = floating.data[wanted][tail]
        error = rmse(there[tail], ideal)
        result = {"float": error, "fixed": rmse(here[tail], ideal)}
        result["ratio"] = result["fixed"] / error
        ok = result["ratio"] <= LARGEST_RATIO
    return {
        "task": task.name,
        "seconds": task.seconds,
        "rules_on_chip": on_chip,
        **result,
        "ok": ok and on_chip > 0,
    }


def print_learning(results: list[dict[str, Any]]) -> None:
    """The table of the learning tasks."""
    rows = [
        [
            r["task"],
            f"{r['seconds']:g}",
            f"{r['float']:.3g}",
            f"{r['fixed']:.3g}",
            f"{r['ratio']:.3f}",
            "ok" if r["ok"] else "missed",
        ]
        for r in results
    ]
    print_table(["learning", "s", "float", "fixed", "ratio", ""], rows)


def main() -> int:
    """Measure, print the table, and say whether all marks were met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="native")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    networks = [measure(b, arguments.engine) for b in BENCHMARKS]
    rates = measure_rates(arguments.engine)
    learning = [measure_learning(task, arguments.engine) for task in TASKS]
    ok = all(r["ok"] for r in [*networks, rates, *learning])
    if arguments.json:
        found = {"networks": networks, "rates": rates, "learning": learning, "ok": ok}
        print(json.dumps(found, indent=1))
        return 0 if ok else 1
    head = ["network", "s", "float vs ideal", "fixed vs ideal", "ratio", "fixed vs float", ""]
    rows = [
        [
            r["network"],
            f"{r['seconds']:g}",
            f"{r['float_rmse']:.5f}",
            f"{r['fixed_rmse']:.5f}",
            f"{r['ratio']:.3f}",
            f"{r['fixed_to_float_rmse']:.5f}",
            "ok" if r["ok"] else f"over {LARGEST_RATIO}",
        ]
        for r in networks
    ]
    print_table(head, rows)
    print(
        f"{rates['what']}: {rates['neurons']} neurons differ by {rates['rms_error_hz']:.3f} Hz "
        f"rms, {rates['largest_error_hz']:.2f} Hz at most "
        f"({'ok' if rates['ok'] else f'over {LARGEST_RATE_ERROR} Hz'})"
    )
    print_learning(learning)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
