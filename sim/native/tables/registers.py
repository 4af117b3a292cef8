"""Tables of Programs that differ from another one in parameters of kernels and rules alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....compiler.instructions import Instruction, Map, Upd
from ....compiler.program import Program
from .packing import aligned_zeros
from .table import Builder, Table


def with_registers(builder: Builder, table: Table, program: Program) -> Table | None:
    """The table of a Program, made from that of another one; None where it must be built.

    Parameters
    ----------
    builder : Builder
        Of the other one.
    table : Table
        What it has built.
    program : Program
    """
    if not _differs_in_registers(builder.program, program):
        return None
    parameters = aligned_zeros(table.parameters.size, np.int64)
    parameters[:] = table.parameters
    written: dict[int, list[int]] = {}
    for number, i in enumerate(program.instructions):
        if not isinstance(i, Map | Upd):
            continue
        code = program.kernels[i.kernel] if isinstance(i, Map) else program.rules[i.rule]
        block = builder.parameter_block(code, i)
        if not block:  # of no place of its own
            continue
        place = int(table.records["parameters"][table.begins[number + 1] - 1])
        if written.setdefault(place, block) != block:  # two that had the same now have not
            return None
        parameters[place : place + len(block)] = block
    return replace(table, parameters=parameters)


def _differs_in_registers(one: Program, other: Program) -> bool:
    """Whether nothing but registers differs, and arrays are the very same."""
    for name, value in vars(one).items():
        found = getattr(other, name)
        if name == "tables":
            if value.keys() != found.keys():
                return False
            if not all(np.array_equal(value[key], found[key]) for key in value):
                return False
        elif name != "phases" and found is not value:
            return False
    return len(one.phases) == len(other.phases) and all(
        len(ours) == len(theirs) and all(map(_same_but_registers, ours, theirs))
        for ours, theirs in zip(one.phases, other.phases, strict=True)
    )


def _same_but_registers(one: Instruction, other: Instruction) -> bool:
    if one is other:
        return True
    if isinstance(one, Map | Upd) and type(one) is type(other):
        return one == replace(other, parameters=one.parameters)
    return one == other
