"""``spikeloom show DIR``: disassembly."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from ...compiler.cost import memory_sizes, step_cycles
from ...compiler.disassembly import disassemble
from ...compiler.memory_map import memory_map
from ...compiler.program import Program
from ...compiler.storage import load_program, program_hash

HELP = "Print a Program: names, scales, instructions per phase, kernels and the memory map."
EXAMPLE = "spikeloom show out/channel"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("directory", metavar="DIR", help="what `spikeloom compile` wrote")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Print the Program."""
    program = load_program(arguments.directory)
    if arguments.json:
        print(json.dumps(describe(program), indent=1))
    else:
        sys.stdout.write(disassemble(program))
    return 0


def describe(program: Program) -> dict[str, Any]:
    """What the text says, as a JSON object."""
    return {
        "name": program.name,
        "hash": program_hash(program),
        "dt": program.dt,
        "machine": program.machine.to_json(),
        "cycles_without_events": step_cycles(program).total,
        "memories": {
            name: {"words": size.words, "bits": size.bits}
            for name, size in memory_sizes(program).items()
        },
        "memory_map": {
            name: [{"first": r.first, "words": r.words, "owner": r.owner} for r in regions]
            for name, regions in memory_map(program).items()
        },
        "kernels": [code.to_json() for code in program.kernels.values()],
        "phases": [[i.to_json() for i in phase] for phase in program.phases],
        "inputs": {
            p.name: {"size": p.size, "phase": p.phase, "unit": 2.0**-p.fraction, "origin": p.origin}
            for p in program.inputs.values()
        },
        "outputs": {
            p.name: {"size": p.size, "phase": p.phase, "unit": p.unit, "origin": p.origin}
            for p in program.outputs.values()
        },
    }
