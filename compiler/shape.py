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
from .instructions import Cnv, Map, Upd
from .kernels.code import KernelCode
from .kernels.rule_code import RuleCode
from .machine import Machine
from .program import Program
from .timing import CNV_EXTENSION_WORDS, map_extension_words, update_extension_words

SATURATION_BITS = 32
"""Width of a saturation counter; it wraps."""

LEARNING = ("plastic_words", "post_memories", "post_words")
"""Depths of what only hardware that learns has."""

OPTIONAL = (*LEARNING, "stencil_words")
"""Depths that may be 0."""

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
    instruction_words, table_sets : int
    populations : int
        Saturation counters: one for each population, then one for each projection.
    rules : tuple of RuleCode
        In the order in which ``UPD`` numbers them. Without any there is no hardware that learns.
    plastic_words, post_memories, post_words : int
        As in `Program`.
    stencil_words : int
        Entries of the stencil memory. Without any there is no hardware for convolutions.
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
    rules: tuple[RuleCode, ...] = ()
    plastic_words: int = 0
    post_memories: int = 0
    post_words: int = 0
    stencil_words: int = 0

    @property
    def synapse_slots(self) -> int:
        """Memories of synapse states."""
        return max((len(code.synapses) for code in self.rules), default=0)

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
        need = needs(program)
        for name, least in (at_least or {}).items():
            if program.rules or name not in LEARNING:
                need[name] = max(need[name], least)
        return cls(
            program.machine,
            kernels,
            rules=tuple(program.rules[name] for name in sorted(program.rules)),
            **{k: _depth(k, n) for k, n in need.items()},
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
        rules = {code.name: code for code in self.rules}
        for name, rule in sorted(program.rules.items()):
            if rules.get(name) != rule:
                has = ", ".join(sorted(rules)) or "none"
                raise ProgramError(
                    f"rule {name!r} of Program {program.name!r} is not in the hardware (it has: "
                    f"{has}): build hardware with this rule"
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
        data["rules"] = [code.to_json() for code in self.rules]
        if not self.rules:
            for name in ("rules", *LEARNING):
                del data[name]
        if not self.stencil_words:
            del data["stencil_words"]
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
                    "rules": tuple(RuleCode.from_json(r) for r in data.get("rules", ())),
                }
            )
        except (TypeError, KeyError) as e:
            raise ProgramError(f"malformed description of the hardware: {e}") from e

    def fingerprint(self) -> str:
        """Hexadecimal hash of everything that the hardware depends on."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _depth(name: str, needed: int) -> int:
    """The power of two that holds `needed` words; what is optional may be missing."""
    if name in OPTIONAL and (not needed or name == "post_memories"):
        return needed
    return max(2, 1 << (needed - 1).bit_length())


def instruction_words(program: Program) -> int:
    """Words of instruction memory of a Program: all phases, each with its end."""
    extension = 0
    for i in program.instructions:
        if isinstance(i, Map):
            extension += map_extension_words(program.kernels[i.kernel], bool(i.captures))
        elif isinstance(i, Upd):
            extension += update_extension_words(program.rules[i.rule])
        elif isinstance(i, Cnv):
            extension += CNV_EXTENSION_WORDS
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
        "populations": len(program.populations) + len(program.projections),
        "table_sets": max(sets, default=0),
        "plastic_words": program.plastic_words,
        "post_memories": program.post_memories,
        "post_words": program.post_words,
        "stencil_words": len(program.stencil),
    }
