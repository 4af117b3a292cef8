"""Speed of a step against ``nengo.Simulator``, in one run: ``make bench``.

For each network: the native engine alone, `spikeloom.Simulator` as a user writes it, and
``nengo.Simulator``, for one copy and for many, with inputs that all copies share or that each has
of its own. ``docs/speed.md`` says how to read the table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# One core each: what NumPy's linear algebra does in nengo.Simulator, too.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import classifier
from models import MODELS
from speed import CORES, ENGINE, NENGO, Row, Settings, measure

from spikeloom.compiler.files import write_file
from spikeloom.runtime.terminal import print_table, progress

QUICK = Settings(copies=(10,), repeats=1, seconds=0.03)
IMAGES, IMAGE_STEPS, SETTINGS = 70_000, 350, 100
"""Of the study whose time is extrapolated."""

LONGEST_START = 1.0
"""Seconds in which a cached engine should start."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print tables, write JSON; 1 if ``--check`` finds a mark that was missed."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0],
        epilog="example: python tests/benchmarks/bench.py --models vdsp pes --copies 100",
    )
    keys = [m.key for m in MODELS]
    parser.add_argument("--models", nargs="+", choices=keys, default=keys, metavar="MODEL",
                        help=f"some of {', '.join(keys)}")  # fmt: skip
    parser.add_argument("--copies", nargs="+", type=int, help="beside 1; default: 10 100")
    parser.add_argument("--repeats", type=int, help="runs of which the median counts; default: 3")
    parser.add_argument("--quick", action="store_true", help="short runs, 10 copies: a rough idea")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("-o", "--output", help="write the JSON to this file, too")
    parser.add_argument("--check", action="store_true", help="fail if a mark is missed")
    options = parser.parse_args(arguments)
    chosen = QUICK if options.quick else Settings()
    settings = Settings(
        tuple(options.copies or chosen.copies),
        options.repeats or chosen.repeats,
        chosen.seconds,
        startup=not options.quick,
    )
    results = []
    with progress("measuring") as show:
        for model in [m for m in MODELS if m.key in options.models]:
            began = time.perf_counter()

            def say(what: str, name: str = model.name) -> None:
                show(f"{name}: {what}")

            results.append(measure(model, settings, say))
            if not options.json:
                show_model(results[-1])
                print(f"({time.perf_counter() - began:.0f} s)\n", flush=True)
        batch = None
        if "classifier" in options.models and not options.quick:
            show(f"{classifier.IMAGES} images")
            batch = classifier.measure()
    missed = [line for result in results for line in missed_marks(result)]
    everything = {
        "machine": machine(),
        "settings": vars(settings),
        "models": [result | {"rows": [r.to_json() for r in result["rows"]]} for result in results],
        "study": extrapolated(results),
        "images": batch,
        "missed": missed,
    }
    text = json.dumps(everything, indent=1)
    if options.output:
        write_file(Path(options.output), text.encode() + b"\n")
    if options.json:
        print(text)
    else:
        show_rest(everything, results)
    return 1 if options.check and missed else 0


def machine() -> dict[str, Any]:
    """The processor and what runs on it."""
    versions = {}
    for package in ("nengo", "numpy", "nengo-dl", "nengo-ocl"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "processor": processor(),
        "cores": CORES,
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        **versions,
    }


def processor() -> str:
    """What the processor calls itself."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def row_of(result: dict[str, Any], what: str, copies: int) -> Row:
    """The row that is judged of so many copies on one core; an empty one if there is none.

    Copies that learn share their inputs; those of other networks would then do the same, so there
    it is the row with inputs of their own.
    """
    inputs = "shared" if result["learns"] else "own"
    wanted = (what, copies, inputs if copies > 1 else "", 1)
    for row in result["rows"]:
        if (row.what, row.copies, row.inputs, row.cores) == wanted:
            found: Row = row
            return found
    return Row(result["key"], what, copies)


def marks(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What a model's engine is to reach, on one core, and whether it does."""
    nengo = row_of(result, NENGO, 1)
    found = []
    for copies, wanted in result["least"].items():
        row = row_of(result, ENGINE, copies)
        if row.times:
            times = nengo.microseconds / row.microseconds
            processor = nengo.processor_microseconds / row.processor_microseconds
            found.append(
                {
                    "copies": copies,
                    "wanted": wanted,
                    "times": times,
                    "times_of_processor": processor,
                    "ok": times >= wanted,
                }
            )
    return found


def missed_marks(result: dict[str, Any]) -> list[str]:
    """The marks that a model misses, in words."""
    found = [
        f"{result['model']}, {m['copies']} at once: {m['times']:.0f}x, not {m['wanted']:.0f}x"
        for m in marks(result)
        if not m["ok"]
    ]
    if result["start_up_s"] is not None and result["start_up_s"] > LONGEST_START:
        found.append(f"{result['model']}: an engine starts in {result['start_up_s']:.2f} s")
    return found


def show_model(result: dict[str, Any]) -> None:
    """Print the table of one model."""
    print(f"{result['model']} ({result['neurons']} neurons)")
    nengo = row_of(result, NENGO, 1)
    lines: dict[tuple[str, int, str], dict[int, Row]] = {}
    for row in result["rows"]:
        lines.setdefault((row.what, row.copies, row.inputs), {})[row.cores] = row
    table, missing = [], []
    for (what, copies, inputs), by_cores in lines.items():
        reasons = [row.missing for row in by_cores.values() if row.missing]
        if reasons:
            missing.append(f"{what}: not measured for {copies} at once: {reasons[0]}")
            continue
        us = {cores: row.microseconds for cores, row in by_cores.items()}
        best = min(us.values())
        cells = [what, str(copies), inputs]
        cells += [f"{us[cores]:.3g}" if cores in us else "" for cores in sorted({1, CORES})]
        cells += [f"{1e6 / best / copies:,.0f}", *_against(nengo, by_cores.get(1))]
        table.append(cells)
    head = ["", "copies", "inputs", "us, 1 core"]
    head += [f"us, {CORES} cores"] if CORES > 1 else []
    print_table([*head, "steps/s", "x nengo", "by CPU"], table)
    least = result["bound"]
    print(
        f"lower bound: {least['us_per_step_and_model']:.3g} us, for {least['touched']:,.0f} bytes "
        f"touched at {least['bandwidth'] / 1e9:.0f} GB/s, a copy's speed within "
        f"{least['resident'] / 1024:,.0f} KiB; arithmetic not counted"
    )
    if result["start_up_s"] is not None:
        print(f"a cached engine starts in {result['start_up_s']:.2f} s")
    for line in missing:
        print(line)


def _against(nengo: Row, row: Row | None) -> list[str]:
    """How many times as fast as Nengo, by the clock and by the processor's time."""
    if row is None:
        return ["", ""]
    clock = nengo.microseconds / row.microseconds
    processor = nengo.processor_microseconds / row.processor_microseconds
    return [f"{clock:.1f}x", f"{processor:.1f}x"]


def extrapolated(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Hours that the study would take, from the rows of the model that learns."""
    steps = IMAGES * IMAGE_STEPS * SETTINGS
    return [
        {
            "what": row.what,
            "copies": row.copies,
            "inputs": row.inputs,
            "cores": row.cores,
            "hours": steps * row.microseconds / 1e6 / 3600,
        }
        for result in results
        if result["key"] == "vdsp"
        for row in result["rows"]
        if row.times
    ]


def show_rest(everything: dict[str, Any], results: list[dict[str, Any]]) -> None:
    """Print what concerns all models, or one of them beyond its table."""
    study = everything["study"]
    if study:
        print(
            f"extrapolated from the rows above: {IMAGES:,} images of {IMAGE_STEPS} steps for "
            f"{SETTINGS} settings of the VDSP model"
        )
        rows = [
            [s["what"], str(s["copies"]), s["inputs"], str(s["cores"]), f"{s['hours']:,.2f}"]
            for s in study
        ]
        print_table(["", "copies", "inputs", "cores", "hours"], rows)
        print()
    if everything["images"]:
        classifier.show(everything["images"])
        print()
    rows = [
        [r["model"], str(m["copies"]), f"{m['times']:.0f}x", f"{m['times_of_processor']:.0f}x",
         f"{m['wanted']:.0f}x", "ok" if m["ok"] else "missed"]
        for r in results
        for m in marks(r)
    ]  # fmt: skip
    print("marks: the native engine against nengo.Simulator, per model and step, one core each")
    print_table(["", "copies", "times", "by CPU", "wanted", ""], rows)
    m = everything["machine"]
    print(f"\n{m['processor']}, {m['cores']} cores, load {m['load']:.1f}; Python {m['python']}, "
          f"nengo {m['nengo']}, NumPy {m['numpy']}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
