"""Who owns which addresses of the loom's memories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .instructions import Cnv, Evt, Mac, Map
from .program import Program


@dataclass(frozen=True)
class Region:
    """Addresses ``first .. first + words - 1`` of a memory.

    Attributes
    ----------
    owner : str
        What lies there, in the names of the user's model.
    """

    first: int
    words: int
    owner: str


def memory_map(program: Program) -> dict[str, list[Region]]:
    """Regions of each memory, by the memory's name and in the order of their addresses.

    Regions may coincide where several instructions use the same words (a weight matrix that is
    shared, an accumulator that is reused); each is then listed once with all its owners.
    """
    found: dict[str, dict[tuple[int, int], list[str]]] = {
        name: {}
        for name in "weight value accumulator state event stencil residual synapse post".split()
    }

    def claim(memory: str, first: int, words: int, owner: str) -> None:
        owners = found[memory].setdefault((first, words), [])
        if words and owner not in owners:
            owners.append(owner)

    for i in program.instructions:
        if isinstance(i, Mac | Evt):
            claim("weight", i.weights, i.rows * i.words, i.comment)
        elif isinstance(i, Cnv):
            claim("weight", i.weights, i.kernel, f"kernel of {i.comment}")
            claim("stencil", i.stencil, i.stencil_words, i.comment)
        elif isinstance(i, Map):
            population = program.populations[i.population]
            owner = population.origin or population.name
            code = program.kernels[i.kernel]
            words = program.machine.words(i.length)
            claim("accumulator", i.source, words, f"input of {owner}")
            if code.states:
                names = ", ".join(port.name for port in code.states)
                claim("state", i.state, i.length, f"{names} of {owner}")
            memory, what = ("event", "events") if code.emits == "events" else ("value", "output")
            claim(memory, i.target, i.length, f"{what} of {owner}")
            for slot, number, base in i.captures:
                claim("post", base, words, f"{code.states[slot].name} of {owner} in {number}")
    for name, p in program.projections.items():
        states = [port.name for port in program.rules[p.rule].synapses]
        words = p.rows * p.words
        claim("weight", p.weights, words, f"learned by {p.rule}")
        claim("residual", p.weights, words, p.origin or name)
        if states:
            claim("synapse", p.weights, words, f"{', '.join(states)} of {p.origin or name}")
    for port in program.inputs.values():
        claim("value", port.base, port.size, f"input {port.origin or port.name}")
    for output in program.outputs.values():
        if output.memory == "accumulator":
            words = program.machine.words(output.start + output.size)
            inside = any(
                first <= output.base and output.base + words <= first + claimed
                for first, claimed in found["accumulator"]
            )
            if not inside:
                claim("accumulator", output.base, words, f"output {output.origin or output.name}")
    _add_constants(program, found["value"])
    return {
        memory: [
            Region(first, words, "; ".join(owners))
            for (first, words), owners in sorted(regions.items())
            if words
        ]
        for memory, regions in found.items()
    }


def _add_constants(program: Program, regions: dict[tuple[int, int], list[str]]) -> None:
    # What nobody writes holds constants, such as the one that biases are multiplied with.
    written = np.zeros(program.value.size + 1, dtype=bool)
    written[-1] = True
    for first, words in regions:
        written[first : first + words] = True
    edges = np.flatnonzero(np.diff(written, prepend=True))
    for first, end in edges.reshape(-1, 2).tolist():
        values = {int(v) for v in program.value[first:end]}
        what = f"constant {values.pop()}" if len(values) == 1 else "constants"
        regions[first, end - first] = [what]
