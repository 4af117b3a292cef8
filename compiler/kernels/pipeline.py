"""A kernel as a pipeline: at which stage each operation's result is available.

The pipeline takes one neuron per clock cycle (initiation interval 1). Stage 0 is the cycle in which
the kernel's input and states stand in registers. A signal passes `Machine.operations_per_stage`
simple operations, then a register; multipliers, dividers and tables have registers of their own.
Operands that are ready earlier are delayed by the hardware generator, so the pipeline is balanced
by construction. All outputs (next states and
the emitted value) are delayed to the same stage, the pipeline's depth.

A kernel with reductions passes the pipeline twice. In the first pass each reduction takes its
operand out of a register, one neuron per cycle; in the second its result is at hand at stage 0.

The same numbers serve the hardware generator and the cycle model, so that neither can drift.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ..machine import Machine
from .code import REDUCTIONS, KernelCode, Op
from .rule_code import RuleCode

MULTIPLIER_STEPS = 3
"""Input, pipeline and output register of a hardware multiplier; a slow clock needs no pipeline."""

MEMORY_STEPS = 2
"""A memory's own latch, and its output register where one has time for nothing else."""

SHIFT_STEPS = 3
"""Operations of a rounding shift by a variable amount: two halves of the shift, rounding."""

DIVIDE_STEPS = 3
"""Operations of a division beside one per quotient bit: special cases, rounding bit, rounding."""

RESCALE_STEPS = 6
"""Operations that scale by a power of two: turn, two halves of a shift, round, compare, limit."""

LANE_STEPS = 2
"""Operations that pick one lane's element out of a word."""

WIRES = frozenset({"shl", "floor"})
"""Operations that only name other bits of their operand: no hardware."""

UNITS = frozenset({"mul", "scale", "divide"})
"""Operations of several stages, whose result stands in a register."""

SOURCES = frozenset("input state param const weight synapse pre post".split())
"""Operations without operands: at hand at stage 0."""

STATIC = frozenset("param const any_of sum_of max_of".split())
"""What does not change while a ``MAP`` runs, or in its second pass: at hand at every stage, never
delayed."""


def multiplier_bits(machine: Machine) -> int:
    """Operand width (signed) of one hardware multiplier of this machine."""
    return max(machine.weight_bits, machine.value_bits)


def multiplier_chunks(bits: int, machine: Machine) -> int:
    """Multipliers side by side that an operand of `bits` (signed) takes.

    Each but the topmost takes ``multiplier_bits - 1`` unsigned bits of the operand.
    """
    step = multiplier_bits(machine) - 1
    return max(1, -(-(bits - 1) // step))


def stages_of(steps: int, machine: Machine) -> int:
    """Pipeline stages of so many simple operations one after the other."""
    return -(-steps // machine.operations_per_stage)


def division_steps_per_stage(machine: Machine) -> int:
    """Steps of a division in a stage: each is a subtraction and a choice that depends on it."""
    return max(1, 2 * machine.operations_per_stage // 3)


def memory_latency(machine: Machine) -> int:
    """Cycles from the read address of one of the loom's memories to its data."""
    return stages_of(MEMORY_STEPS, machine)


def multiplier_latency(machine: Machine) -> int:
    """Cycles from a multiplier's factors to their product, registers at both ends."""
    return max(2, stages_of(MULTIPLIER_STEPS, machine))


def multiply_latency(a_bits: int, b_bits: int, machine: Machine) -> int:
    """Stages of a product of two signed operands: multipliers, then a tree of adders."""
    partial_products = multiplier_chunks(a_bits, machine) * multiplier_chunks(b_bits, machine)
    return multiplier_latency(machine) + stages_of((partial_products - 1).bit_length(), machine)


def unit_latency(code: KernelCode | RuleCode, op: Op, machine: Machine, rounds: bool = True) -> int:
    """Stages of an operation out of `UNITS`; a ``scale`` may leave its rounding to another one."""
    if op.kind == "divide":
        return -(-(int(op.args[2]) + DIVIDE_STEPS) // division_steps_per_stage(machine))
    if op.kind == "mul":
        a, b = (code.ops[i].bits for i in op.operands)
        return multiply_latency(a, b, machine)
    factor, _ = scaled_factor(code, op)
    shift = stages_of(SHIFT_STEPS if rounds else SHIFT_STEPS - 1, machine)
    return multiply_latency(code.ops[factor].bits, machine.parameter_bits, machine) + shift


def scaled_factor(code: KernelCode | RuleCode, op: Op) -> tuple[int, int]:
    """What the multipliers of a ``scale`` take, and how many zeros stand behind their product.

    A rule puts zeros behind most of what it scales (``shl``); these need no multiplier.
    """
    number = op.operands[0]
    if isinstance(code, RuleCode) and code.ops[number].kind == "shl":
        return int(code.ops[number].args[0]), int(code.ops[number].args[1])
    return number, 0


def rounded_later(code: KernelCode | RuleCode) -> dict[int, int]:
    """By its number the sum or difference of a rule that rounds what a ``scale`` leaves: whose.

    The ``scale`` leaves one bit more, f in halves; ``w + ((f + 1) >> 1)`` is
    ``(2 * w + 1 + f) >> 1`` and ``w - ((f + 1) >> 1)`` is ``(2 * w - f) >> 1``, so that an adder of
    one bit more rounds as well. Nothing else may take the result of the ``scale``.
    """
    if not isinstance(code, RuleCode):
        return {}
    uses = Counter(code.outputs)
    for op in code.ops:
        uses.update(op.operands)
    found = {}
    for number, op in enumerate(code.ops):
        places = {"add": op.operands, "sub": op.operands[1:]}.get(op.kind, ())
        scales = [n for n in places if code.ops[n].kind == "scale" and uses[n] == 1]
        if scales:
            found[number] = max(scales)
    return found


def clipped(code: KernelCode | RuleCode, number: int) -> tuple[int, int, int] | None:
    """(operand, low, high) where operation `number` of a rule completes a clip to constants.

    Both comparisons of ``min(max(x, low), high)`` look at x at once, so that it is one operation.
    """
    op = code.ops[number]
    if not isinstance(code, RuleCode) or op.kind not in ("min", "max"):
        return None
    inner, limit = _with_constant(code, op)
    other = {"min": "max", "max": "min"}[op.kind]
    if inner is None or code.ops[inner].kind != other:
        return None
    x, first = _with_constant(code, code.ops[inner])
    low, high = (first, limit) if other == "max" else (limit, first)
    return None if x is None or low > high else (x, low, high)


def _with_constant(code: KernelCode | RuleCode, op: Op) -> tuple[int | None, int]:
    """Of two operands the one that is no constant, and the constant; None if there is no such."""
    constants = [n for n in op.operands if code.ops[n].kind == "const"]
    others = [n for n in op.operands if code.ops[n].kind != "const"]
    if len(constants) != 1:
        return None, 0
    return others[0], int(code.ops[constants[0]].args[0])


def taken(code: KernelCode | RuleCode, number: int) -> tuple[int, ...]:
    """Results that operation `number` takes in hardware."""
    op = code.ops[number]
    if clip := clipped(code, number):
        return (clip[0],)
    return (scaled_factor(code, op)[0],) if op.kind == "scale" else op.operands


@dataclass(frozen=True)
class Pipeline:
    """Stages of a kernel.

    Attributes
    ----------
    stages : tuple of int
        For each operation, the stage in which its result is at hand.
    steps : tuple of int
        How many operations lie between that stage's registers and the result; 0 for a register.
    starts : tuple of int
        For each operation, the stage in which it takes its operands.
    depth : int
        Stage at which registers hold all outputs of the kernel; at least 1.
    reduced : int
        Cycles from a neuron's entry, in the first pass, until all reductions hold it; 0 without.
    """

    stages: tuple[int, ...]
    steps: tuple[int, ...]
    starts: tuple[int, ...]
    depth: int
    reduced: int = 0


def pipeline(code: KernelCode | RuleCode, machine: Machine) -> Pipeline:
    """The stages of kernel or rule `code` on `machine`."""
    most = machine.operations_per_stage
    at: list[tuple[int, int]] = []  # stage and steps of each result
    starts: list[int] = []
    unrounded = set(rounded_later(code).values())
    for number, op in enumerate(code.ops):
        stage, steps = max((at[i] for i in taken(code, number)), default=(0, 0))
        if op.kind in REDUCTIONS:
            starts.append(stage + (steps > 0))
            at.append((0, 0))
            continue
        if op.kind not in SOURCES | WIRES:
            if steps == most:
                stage, steps = stage + 1, 0
            if op.kind not in UNITS:
                steps += 1  # for a table, the addition of its base address
        starts.append(stage)
        if op.kind in UNITS:
            latency = unit_latency(code, op, machine, number not in unrounded)
            at.append((stage + latency, 0))
        elif op.kind == "table":
            # The memory latches an address that is not ready too late in the cycle.
            at.append((stage + (steps == most) + memory_latency(machine), 0))
        else:
            at.append((stage, steps))
    outputs = (at[i] for i in code.outputs)
    depth = max(stage + (steps > 0) for stage, steps in outputs)
    return Pipeline(
        tuple(stage for stage, _ in at),
        tuple(steps for _, steps in at),
        tuple(starts),
        max(1, depth),
        max((starts[n] + 1 for n, op in enumerate(code.ops) if op.kind in REDUCTIONS), default=0),
    )
