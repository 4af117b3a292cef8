"""Which states need not be there in each step, since only rules look at them.

What a rule sees of a neuron may be a state that its kernel never reads, and that follows from its
other states: the voltage, rounded. Where such a rule learns at spikes of post neurons alone, the
engine makes this state when one fires, and in the last step of each call.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....compiler.instructions import Map, Upd
from ....compiler.kernels.code import KernelCode
from ....compiler.machine import Machine
from ....compiler.program import Program
from ...check import signed_range


@dataclass(frozen=True)
class LatePart:
    """How to make states from others, after the step.

    Attributes
    ----------
    slots : tuple of int
        The states that are made.
    sources : dict of int -> int
        Results that are at hand: the slot of the state that they have become.
    ops : tuple of int
        Operations that make the others, in order.
    """

    slots: tuple[int, ...]
    sources: dict[int, int]
    ops: tuple[int, ...]


def late_part(code: KernelCode, machine: Machine) -> LatePart | None:
    """What of a kernel can be made late, if something can."""
    lo, hi = signed_range(machine.state_bits)
    read = {str(op.args[0]) for op in code.ops if op.kind == "state"}
    sources = {
        number: slot
        for slot, number in enumerate(code.next_state)
        if code.states[slot].name in read
        and lo <= code.ops[number].lo
        and code.ops[number].hi <= hi
    }
    # A state is limited to its range; what is limited further anyway may read the limited one.
    limited = {
        int(code.ops[number].args[0]): slot
        for number, slot in sources.items()
        if code.ops[number].kind == "sat"
    }
    slots, ops = [], set()
    for slot, number in enumerate(code.next_state):
        if code.states[slot].name not in read:
            needed = _made_of(code, number, sources, limited)
            if needed is not None:
                slots.append(slot)
                ops |= needed
    return LatePart(tuple(slots), limited | sources, tuple(sorted(ops))) if slots else None


def _made_of(
    code: KernelCode, result: int, sources: dict[int, int], limited: dict[int, int]
) -> set[int] | None:
    """Operations that make a result of what is at hand and of parameters, if that is possible."""
    found: set[int] = set()
    todo = [result]
    while todo:
        number = todo.pop()
        op = code.ops[number]
        if number in sources or number in found:
            continue
        found.add(number)
        if clamp := _clamp(code, number, limited):
            found |= clamp
            continue
        # Saturations are counted in each step.
        if op.kind not in ("param", "const", "round", "floor", "shl", "add", "sub", "neg", "scale"):
            return None
        todo += op.operands
    return found


def _clamp(code: KernelCode, number: int, limited: dict[int, int]) -> set[int]:
    """What an operation takes to limit to both sides a number that a state has limited before.

    Nothing if it does not do that, or not within the limits of the state.
    """
    found: set[int] = set()
    kinds = set()
    while number not in limited:
        op = code.ops[number]
        constants = [r for r in op.operands if code.ops[r].kind == "const"]
        if op.kind not in ("min", "max") or len(constants) != 1:
            return set()
        kinds.add(op.kind)
        found |= {number, constants[0]}
        number = next(r for r in op.operands if r != constants[0])
    state = code.ops[code.next_state[limited[number]]]
    ends = [code.ops[r].lo for r in found if code.ops[r].kind == "const"]
    within = all(state.lo <= end <= state.hi for end in ends)
    return found if len(kinds) == 2 and within else set()


def late_maps(program: Program) -> dict[int, list[int]]:
    """Numbers of ``MAP`` instructions whose late states may be missing, with those that read them.

    Returns
    -------
    dict of the instruction's number -> list of the numbers of ``UPD`` instructions
    """
    found = {}
    for number, i in enumerate(program.instructions):
        part = late_part(program.kernels[i.kernel], program.machine) if isinstance(i, Map) else None
        if (
            not isinstance(i, Map)
            or part is None
            or any(slot in part.slots for slot, *_ in i.captures)
        ):
            continue
        readers = [
            (k, u)
            for k, u in enumerate(program.instructions)
            if isinstance(u, Upd)
            and u.pre < i.state + i.length
            and i.state < u.pre + u.rows
            and set(u.pre_slots) & set(part.slots)
        ]
        seen = any(
            port.memory == "state"
            and port.slot in part.slots
            and port.base < i.state + i.length
            and i.state < port.base + port.start + port.size
            for port in program.outputs.values()
        )
        inside = all(
            k > number
            and u.gate == "post"
            and i.state <= u.pre
            and u.pre + u.rows <= i.state + i.length
            for k, u in readers
        )
        if readers and inside and not seen:
            found[number] = [k for k, _ in readers]
    return found
