"""The shape of one piece of loom hardware: the machine, its kernels and the depth of each memory.

A Shape decides what the hardware looks like; a Program only has to fit in. It is all that the
hardware generator, the encoder of instructions and the host's driver have to agree on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .errors import CapacityError, ProgramError
from .instructions import Map
from .kernels.code import KernelCode
from .machine import Machine
from .program import Program
from .timing import map_extension_words

SATURATION_BITS = 32
"""Width of a saturation counter; it wraps."""

LARGEST_SHIFT = 63
"""Variable shifts are encoded in 6 bits."""


@dataclass(frozen=True)
class Shape:
    """Memory depths, in words of the memory concerned, beside the machine and its kernels.

    Attributes
    ----------
    machine : Machine
    kernels : tuple of KernelCode
        In the order in which ``MAP`` numbers them.
    weight_words, accumulator_words : int
        Words of one element per lane.
    value_words, state_words, event_words : int
        Words of one element; `state_words` for each slot.
    lists : int
        Event lists.
    instruction_words, populations, table_sets : int
    """

    machine: Machine
    kernels: tuple[KernelCode, ...]
    weight_words: int
    accumulator_words: int
    value_words: int
    state_words: int
    event_words: int
    lists: int
    instruction_words: int
    populations: int
    table_sets: int

    @property
    def slots(self) -> int:
        """State memories."""
        return max((len(code.states) for code in self.kernels), default=0)

    @classmethod
    def for_program(cls, program: Program, at_least: Mapping[str, int] | None = None) -> Shape:
        """The smallest shape, all depths powers of two, that `program` fits in.

        Parameters
        ----------
        program : Program
        at_least : mapping of depth -> int
            Smallest depths, so that similar Programs share their hardware.
        """
        kernels = tuple(program.kernels[name] for name in sorted(program.kernels))
        need = {k: max(n, (at_least or {}).get(k, 0)) for k, n in needs(program).items()}
        return cls(
            program.machine,
            kernels,
            **{k: max(2, 1 << (n - 1).bit_length()) for k, n in need.items()},
        )

    def check(self, program: Program) -> None:
        """Refuse a Program that this hardware cannot hold.

        Raises
        ------
        CapacityError
            Saying all that is too large, and by how much.
        ProgramError
            If it was compiled for another machine, or uses other kernels.
        """
        if program.machine != self.machine:
            raise ProgramError(
                f"Program {program.name!r} was compiled for {program.machine}, the hardware is "
                f"{self.machine}: compile it for this hardware"
            )
        mine = {code.name: code for code in self.kernels}
        for name, code in sorted(program.kernels.items()):
            if mine.get(name) != code:
                has = ", ".join(sorted(mine)) or "none"
                raise ProgramError(
                    f"kernel {name!r} of Program {program.name!r} is not in the hardware (it has: "
                    f"{has}): build hardware with this kernel"
                )
        large = [
            f"{what.replace('_', ' ')}: {n} needed, {getattr(self, what)} there"
            for what, n in needs(program).items()
            if n > getattr(self, what)
        ]
        if large:
            raise CapacityError(f"Program {program.name!r} does not fit: {'; '.join(large)}")

    def to_json(self) -> dict[str, Any]:
        """The shape as a JSON object."""
        data = asdict(self)
        data["kernels"] = [code.to_json() for code in self.kernels]
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Shape:
        """The inverse of `to_json`."""
        try:
            return cls(
                **{
                    **data,
                    "machine": Machine.from_json(data["machine"]),
                    "kernels": tuple(KernelCode.from_json(k) for k in data["kernels"]),
                }
            )
        except (TypeError, KeyError) as e:
            raise ProgramError(f"malformed description of the hardware: {e}") from e

    def fingerprint(self) -> str:
        """Hexadecimal hash of everything that the hardware depends on."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def instruction_words(program: Program) -> int:
    """Words of instruction memory of a Program: all phases, each with its end."""
    maps = [i for i in program.instructions if isinstance(i, Map)]
    extension = sum(map_extension_words(program.kernels[m.kernel]) for m in maps)
    return len(program.instructions) + extension + len(program.phases)


def needs(program: Program) -> dict[str, int]:
    """What a Program takes of each depth of a `Shape`."""
    sets = [t.shape[0] for t in program.tables.values()]
    return {
        "weight_words": program.weight.shape[0],
        "accumulator_words": program.accumulator_words,
        "value_words": program.value.shape[0],
        "state_words": program.state.shape[1],
        "event_words": program.event_words,
        "lists": program.event_lists,
        "instruction_words": instruction_words(program),
        "populations": len(program.populations),
        "table_sets": max(sets, default=0),
    }
