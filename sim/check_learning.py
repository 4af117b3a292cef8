"""What engines rely on where weights are learned, and what callers may load into them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiler.errors import InputError, ProgramError
from ..compiler.instructions import Evt, Mac, Map, Upd
from ..compiler.kernels.gates import unchanged, vanishes
from ..compiler.kernels.rule_code import RuleCode
from ..compiler.program import Program

LEARNED = ("weight", "residual", "synapse")
"""Memories that learning changes."""


def check_learned_products(program: Program) -> None:
    """Raise `ProgramError` if a product sees learned weights otherwise than as one matrix.

    Engines may lay a learned matrix out as suits them, as long as all see the same one.
    """
    places = {p.weights: p for p in program.projections.values()}
    for i in program.instructions:
        if isinstance(i, Mac | Evt) and i.rows and i.weights < program.plastic_words:
            p = places.get(i.weights)
            if p is None or (i.rows, i.words, i.length) != (p.rows, p.words, p.length):
                raise ProgramError(
                    f"{i.opcode} {i.comment!r}: reads learned weights, but not as the matrix of a "
                    "projection"
                )


def check_gate(program: Program, i: Upd) -> None:
    """Raise `ProgramError` unless neurons that did not fire really change nothing.

    An ``UPD`` gated by post neurons goes through whole words, in which not all of them fired;
    engines may leave those out that did not. So it is proved that nothing changes for them, and
    nothing is limited, and that what the rule takes for their spike is 0 without an event.
    """
    if i.gate != "post":
        return
    what = f"UPD {i.projection!r}"
    code = program.rules[i.rule]
    silent = {v.name for v in code.post if v.spike}
    for number, (v, (memory, base)) in enumerate(zip(code.post, i.post, strict=True)):
        if v.spike and not _captured_with_events(program, i, memory, base):
            raise ProgramError(
                f"{what}: its variable {number} ({v.name!r}) is not the spike of event list "
                f"{i.list}"
            )
    if i.skip >= 0:  # in the rows that are left this one is 0 too
        silent.add(code.pre[i.skip].name)
    pairs = [*_stored(what, code)]
    pairs += [(n, op.operands[0]) for n, op in enumerate(code.ops) if op.kind == "sat"]
    if not all(unchanged(code.ops, {new: old}, silent) for new, old in pairs):
        raise ProgramError(
            f"{what}: gated by post neurons, but rule {code.name!r} may change something, or count "
            "a limit, where they did not fire"
        )


def _stored(what: str, code: RuleCode) -> list[tuple[int, int]]:
    """Number of each stored result, and of the operation that reads what was there before."""
    reads = {(op.kind, *op.args): n for n, op in reversed(list(enumerate(code.ops)))}
    sources: list[tuple[Any, ...]] = [("weight",), *(("synapse", p.name) for p in code.synapses)]
    missing = [s for s in sources if s not in reads]
    if missing:
        raise ProgramError(f"{what}: rule {code.name!r} does not keep its {missing[0][-1]!r}")
    return list(zip(code.outputs, (reads[s] for s in sources), strict=True))


def _captured_with_events(program: Program, i: Upd, memory: int, base: int) -> bool:
    """Whether these post words are 0 for all neurons without an event in the list of `i`."""
    found = False
    for m in program.instructions:
        if not isinstance(m, Map):
            continue
        code = program.kernels[m.kernel]
        words = program.machine.words(m.length)
        fills = code.emits == "events" and m.list == i.list
        writes = [(slot, b) for slot, number, b in m.captures if number == memory]
        for slot, first in writes:
            if first + words <= base or base + i.words <= first:
                continue
            if (
                not fills
                or first != base
                or not vanishes(code.ops, code.next_state[slot], code.emit)
            ):
                return False
            found = True
        if fills and not any(first == base for _, first in writes):
            return False
    return found


# -- what callers hand in ------------------------------------------------------------------------


def learned_limits(program: Program, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The least and the most that each word of a learned memory may hold, int64.

    What lies beside the elements of projections stays as it is.
    """
    found = getattr(program, name).astype(np.int64)
    lows, highs = found.copy(), found.copy()
    bits = program.machine.residual_bits
    half = 1 << (bits - 1)
    for p in program.projections.values():
        code = program.rules[p.rule]
        place = slice(p.weights, p.weights + p.rows * p.words)
        inside = np.zeros((p.rows, p.words * program.machine.lanes), bool)
        inside[:, : p.length] = True
        elements = inside.reshape(-1, program.machine.lanes)
        if name == "synapse":
            for slot, port in enumerate(code.synapses):
                lows[slot, place][elements] = port.lo
                highs[slot, place][elements] = port.hi
        elif name == "residual":
            lows[place][elements] = -half
            highs[place][elements] = half - 1
        else:
            lows[place][elements] = (code.weight.lo + half) >> bits
            highs[place][elements] = (code.weight.hi + half) >> bits
    return lows, highs


def check_full_weights(program: Program, weight: np.ndarray, residual: np.ndarray) -> None:
    """Raise `InputError` if weights and residuals together leave what a rule's weights can be.

    As each is loaded by itself, only both together can be checked.
    """
    for name, p in program.projections.items():
        port = program.rules[p.rule].weight
        place = slice(p.weights, p.weights + p.rows * p.words)
        high = weight[place].astype(np.int64) << program.machine.residual_bits
        full = (high + residual[place]).reshape(p.rows, -1)[:, : p.length]
        if full.min() < port.lo or full.max() > port.hi:
            raise InputError(
                f"memories 'weight' and 'residual': projection {name!r} leaves its rule's "
                f"{port.lo}..{port.hi}; load what belongs together"
            )
