"""Finding the part of a kernel that is needed for few neurons only.

A spiking neuron computes much that is used only where it spikes: the instant of the spike takes a
division and a table. Hardware computes it for all, at no cost in time. The native engine leaves it
out of the loop over all neurons, and does it afterwards for those where the condition holds; the
results are the same in whatever order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ....compiler.kernels.code import REDUCTIONS, KernelCode
from ....compiler.kernels.pipeline import STATIC

_COST = {"divide": 10, "table": 4}
"""Operations that make a part worth postponing, in units of a plain one."""

_WORTHWHILE = 10


@dataclass(frozen=True)
class RarePart:
    """Operations that matter only where a condition holds.

    Attributes
    ----------
    condition : int
        The result that is the condition.
    selects : tuple of int
        The ``select`` operations whose first choice is postponed; elsewhere the second is right.
    states : tuple of int
        The state slots that store those.
    ops : tuple of int
        What is postponed.
    needs : tuple of int
        Results of the first part that it reads; constants, parameters, reductions and the input are
        at hand anyway.
    """

    condition: int
    selects: tuple[int, ...]
    states: tuple[int, ...]
    ops: tuple[int, ...]
    needs: tuple[int, ...]


@lru_cache(maxsize=256)
def rare_part(code: KernelCode) -> RarePart | None:
    """The most expensive part that may be postponed, if one is worth it."""
    conditions = {op.args[0] for op in code.ops if op.kind == "select"}
    parts = [_part(code, int(c)) for c in sorted(conditions)]
    costs = [sum(_COST.get(code.ops[r].kind, 1) for r in part.ops) for part in parts]
    best = max(range(len(parts)), key=costs.__getitem__, default=None)
    return parts[best] if best is not None and costs[best] >= _WORTHWHILE else None


def _part(code: KernelCode, condition: int) -> RarePart:
    users: list[list[int]] = [[] for _ in code.ops]
    for number, op in enumerate(code.ops):
        for r in set(op.operands):
            users[r].append(number)
    selects = {
        number
        for number in code.next_state
        if code.ops[number].kind == "select"
        and code.ops[number].args[0] == condition
        and not users[number]
        and number != code.emit
    }
    outputs = {*code.next_state, code.emit}
    postponed: set[int] = set()
    for number in reversed(range(len(code.ops))):
        op = code.ops[number]
        only_there = all(
            user in postponed
            or (user in selects and number not in (code.ops[user].args[0], code.ops[user].args[2]))
            for user in users[number]
        )
        # A saturation is counted for every neuron, so it cannot be left out. Reductions are at hand
        # before the first neuron.
        fixed = op.kind == "sat" or op.kind in REDUCTIONS
        if users[number] and only_there and number not in outputs and not fixed:
            postponed.add(number)
    ops = {r for r in postponed if code.ops[r].kind not in ("input", "state", *STATIC)}
    chosen = tuple(s for s in sorted(selects) if code.ops[s].args[1] in ops)
    read = {r for n in ops for r in code.ops[n].operands} - ops
    at_hand = {"input", *STATIC, *REDUCTIONS}
    return RarePart(
        condition=condition,
        selects=chosen,
        states=tuple(k for k, number in enumerate(code.next_state) if number in chosen),
        ops=tuple(sorted(ops)),
        needs=tuple(sorted(r for r in read if code.ops[r].kind not in at_hand)),
    )
