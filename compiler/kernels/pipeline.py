"""A kernel as a pipeline: at which stage each operation's result is available.

The pipeline takes one neuron per clock cycle (initiation interval 1). Stage 0 is the cycle in which
the kernel's input and states stand in registers; the result of an operation stands in a register
`LATENCY` cycles after the latest of its operands. Operands that are ready earlier are delayed by
the hardware generator, so the pipeline is balanced by construction. All outputs (next states and
the emitted value) are delayed to the same stage, the pipeline's depth.

The same numbers serve the hardware generator and the cycle model, so that neither can drift.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..machine import Machine
from .code import KernelCode, Op

MULTIPLIER_LATENCY = 3
"""Input, pipeline and output register of a hardware multiplier."""

SHIFT_LATENCY = 3
"""Rounding addition, and the two stages of a right shift by a variable amount."""

TABLE_LATENCY = 3
"""Address addition, memory latch, memory output register."""

DIVIDE_EXTRA = 3
"""Stages of a division beside one per quotient bit: special cases, the rounding bit, rounding."""

WIRES = frozenset({"shl", "floor"})
"""Operations that only name other bits of their operand: no stage."""

SOURCES = frozenset({"input", "state", "param", "const"})
"""Operations without operands: at hand at stage 0."""

STATIC = frozenset({"param", "const"})
"""Sources that do not change while a ``MAP`` runs: at hand at every stage, never delayed."""

OPERANDS = {
    "add": 2, "sub": 2, "neg": 1, "abs": 1, "mul": 2, "shl": 1, "round": 1, "floor": 1,
    "scale": 1, "min": 2, "max": 2, "gt": 2, "ge": 2, "eq": 2, "and": 2, "or": 2, "not": 1,
    "select": 3, "sat": 1, "table": 1, "divide": 2,
}  # fmt: skip
"""How many of the leading ``args`` of an operation are numbers of earlier results."""


def operands(op: Op) -> tuple[int, ...]:
    """Numbers of the earlier results that `op` reads."""
    return tuple(int(a) for a in op.args[: OPERANDS.get(op.kind, 0)])


def multiplier_bits(machine: Machine) -> int:
    """Operand width (signed) of one hardware multiplier of this machine."""
    return max(machine.weight_bits, machine.value_bits)


def multiplier_chunks(bits: int, machine: Machine) -> int:
    """Multipliers side by side that an operand of `bits` (signed) takes.

    Each but the topmost takes ``multiplier_bits - 1`` unsigned bits of the operand.
    """
    step = multiplier_bits(machine) - 1
    return max(1, -(-(bits - 1) // step))


def multiply_latency(a_bits: int, b_bits: int, machine: Machine) -> int:
    """Stages of a product of two signed operands: multipliers, then a tree of adders."""
    partial_products = multiplier_chunks(a_bits, machine) * multiplier_chunks(b_bits, machine)
    return MULTIPLIER_LATENCY + (partial_products - 1).bit_length()


def latency(code: KernelCode, op: Op, machine: Machine) -> int:
    """Stages from the latest operand of `op` to its result."""
    if op.kind in SOURCES or op.kind in WIRES:
        return 0
    if op.kind == "mul":
        a, b = (code.ops[i] for i in operands(op))
        return multiply_latency(a.bits, b.bits, machine)
    if op.kind == "scale":
        a = code.ops[int(op.args[0])]
        return multiply_latency(a.bits, machine.parameter_bits, machine) + SHIFT_LATENCY
    if op.kind == "table":
        return TABLE_LATENCY
    if op.kind == "divide":
        return int(op.args[2]) + DIVIDE_EXTRA
    return 1


@dataclass(frozen=True)
class Pipeline:
    """Stages of a kernel.

    Attributes
    ----------
    stages : tuple of int
        For each operation, the stage at which its result is at hand.
    depth : int
        Stage at which all outputs of the kernel are at hand; at least 1.
    """

    stages: tuple[int, ...]
    depth: int


def pipeline(code: KernelCode, machine: Machine) -> Pipeline:
    """The stages of kernel `code` on `machine`."""
    stages: list[int] = []
    for op in code.ops:
        start = max((stages[i] for i in operands(op)), default=0)
        stages.append(start + latency(code, op, machine))
    depth = max(stages[i] for i in (*code.next_state, code.emit))
    return Pipeline(tuple(stages), max(1, depth))
