"""What ``make demo`` shows: a network is lowered to integers, run on two engines that agree in
every number, and compared with Nengo's floating point."""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from demo_learning import show_learning
from oscillator import model

from spikeloom.compiler.errors import SpikeloomError, ToolError
from spikeloom.runtime.commands.compile import print_summary
from spikeloom.runtime.deployment import REPORT, deploy, write_deployment
from spikeloom.runtime.hardware import simulated_core
from spikeloom.runtime.standalone import quantise, run_program
from spikeloom.runtime.terminal import print_table
from spikeloom.runtime.verification import verify

SECONDS = 3.0
LEARNING = "learning.png"
VERIFIED_STEPS = 100
CHECKED_STEPS = 1000  # golden is written to be read, not to be fast


def show_passes(compilation):
    """A line for each pass, and what it left."""
    for name, graph in compilation.graphs.items():
        edges = graph.nx.number_of_edges()
        print(f"  {name:9} {len(graph.nx)} nodes, {edges} edges, {len(graph.observations)} read")
    formats = compilation.formats.values()
    proved = sum(f.limit.source == "proved" for f in formats)
    print(f"  quantise  {len(formats)} signals, ranges of {proved} proved from the model")
    print(f"  schedule  {len(compilation.program.phases)} phases")
    count = len(compilation.program.instructions)
    words = len(compilation.program.weight)
    print(f"  allocate  {count} instructions, {words} words of weights")


def show_engines(deployment):
    """Run golden and native on the same inputs, and compare all that they read and store."""
    program, inputs = deployment.findings.program, deployment.findings.inputs
    steps = min(CHECKED_STEPS, deployment.findings.steps)
    runs = {name: run_program(program, steps, inputs, name) for name in ("golden", "native")}
    golden, native = (run.outputs for run in runs.values())
    numbers = sum(values.size for values in golden.values())
    differences = sum(int(np.sum(golden[name] != native[name])) for name in golden)
    print_table(
        ["engine", "steps", "steps/s"],
        [[name, str(steps), f"{steps / run.seconds:,.0f}"] for name, run in runs.items()],
    )
    print(f"golden = native: {numbers} numbers compared, {differences} differences")
    return differences == 0


def show_hardware(deployment):
    """Simulate the hardware, and compare every memory write with what golden predicts.

    Returns whether they agree, and what had to be left out.
    """
    program, inputs = deployment.findings.program, deployment.findings.inputs
    begin = time.perf_counter()
    try:
        verilog, layout = simulated_core(program)
        integers = {
            name: quantise(program, program.inputs[name], values[:VERIFIED_STEPS])[0]
            for name, values in inputs.items()
        }
        found = verify(program, verilog, layout, VERIFIED_STEPS, integers)
    except ToolError as e:
        return True, [f"simulation of the hardware: {e}"]
    if found.first is not None:
        print(f"first difference: {found.first}")
    print(f"{found} (in {time.perf_counter() - begin:.0f} s, generating and compiling included)")
    return found.differences == 0, []


def main():
    """Compile, run, compare, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", default="out/demo", help="directory to write")
    output = Path(parser.parse_args().output)
    print(f"Lowering {model.label!r}: {model.n_neurons} LIF neurons")
    begin = time.perf_counter()
    deployment = deploy(model, seconds=SECONDS)
    spent = deployment.findings.timings
    show_passes(deployment.compilation)
    print(f"  built in {spent['build']:.2f} s, lowered in {spent['lower']:.2f} s")
    print()
    print("Running the same Program on two engines")
    identical = show_engines(deployment)
    print()
    print("Simulating the hardware that runs it, write by write, against the golden prediction")
    verified, left_out = show_hardware(deployment)
    left_out.append(
        "a bitstream: `pip install 'spikeloom[hardware]'`, then `spikeloom compile "
        "examples/oscillator.py -o out/board --board ulx3s-85f`"
    )
    print()
    print(f"Comparing {SECONDS:g} s of it with Nengo's floating point")
    print_summary(deployment.data)
    write_deployment(deployment, output)
    print()
    print("Learning on the chip: x -> x**2 from an error, by PES")
    identical &= show_learning(output / LEARNING)
    print()
    print(f"report:      {output / REPORT}  (open it in a browser)")
    print(f"disassembly: spikeloom show {output}")
    print(f"run it:      spikeloom run {output}")
    for what in left_out:
        print(f"left out:    {what}")
    print(f"done in {time.perf_counter() - begin:.1f} s")
    return 0 if identical and verified else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SpikeloomError as e:
        print(f"demo: {e}", file=sys.stderr)
        sys.exit(2)
