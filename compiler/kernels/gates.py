"""Gates: without which spikes a rule provably changes nothing.

The operations of a rule are simplified with the spike of the pre neuron, the post neuron or both
set to 0. If then every stored result is what was there before, nothing changes without that spike,
and ``UPD`` may leave such synapses out.
"""

from __future__ import annotations

from typing import TypeAlias

from .code import Op

Known: TypeAlias = tuple[str, int]
"""``("is", n)``: equals result n; ``("const", n)``: is the integer n."""


def unchanged(ops: tuple[Op, ...], stored: dict[int, int], silent: set[str]) -> bool:
    """Whether all stored results equal what was there before, if some variables are 0.

    Parameters
    ----------
    ops : tuple of Op
    stored : dict of int -> int
        Number of each stored result -> number of the operation that reads it.
    silent : set of str
        Names of variables that are 0.
    """
    known = _simplified(ops, silent)
    return all(known[new] == known[old] for new, old in stored.items())


def vanishes(ops: tuple[Op, ...], number: int, without: int) -> bool:
    """Whether result `number` is 0 wherever result `without` is 0."""
    while ops[without].kind == "shl":  # fraction bits of a payload: 0 if what they stand behind is
        without = ops[without].operands[0]
    return _simplified(ops, set(), without)[number] == ("const", 0)


def _simplified(ops: tuple[Op, ...], silent: set[str], zero: int = -1) -> list[Known]:
    """What each result is if the variables `silent`, and result `zero`, are 0."""
    known: list[Known] = []
    shifts: dict[int, tuple[Known, int]] = {}  # shl results: of what, by how much
    for number, op in enumerate(ops):
        found = _simplify(number, op, known, shifts, ops, silent)
        if number == zero:
            found = "const", 0
        known.append(found)
        if op.kind == "shl" and found == ("is", number):
            shifts[number] = known[op.operands[0]], int(op.args[1])
    return known


def _simplify(
    number: int,
    op: Op,
    known: list[Known],
    shifts: dict[int, tuple[Known, int]],
    ops: tuple[Op, ...],
    silent: set[str],
) -> Known:
    x = [known[i] for i in op.operands]
    values = [k[1] if k[0] == "const" else None for k in x]
    zero: Known = ("const", 0)
    match op.kind:
        case "const":
            return "const", int(op.args[0])
        case "pre" | "post" if op.args[0] in silent:
            return zero
        case "select" if values[0] is not None:
            return x[1] if values[0] else x[2]
        case "select" if x[1] == x[2]:
            return x[1]
        case "mul" if 0 in values:
            return zero
        case "add" if values[0] == 0:
            return x[1]
        case "add" | "sub" if values[1] == 0:
            return x[0]
        case "sub" if x[0] == x[1]:
            return zero
        case "and" if 0 in values:
            return zero
        case "neg" | "abs" | "shl" | "round" | "floor" | "scale" if values[0] == 0:
            return zero
        case "round" if x[0][0] == "is" and x[0][1] in shifts:
            inner, by = shifts[x[0][1]]
            if by == op.args[1]:
                return inner
        case "min" | "max" | "sat":
            if x[0][0] == "is" and _stays(op, x, values, ops[x[0][1]], 1):
                return x[0]
            if len(x) > 1 and x[1][0] == "is" and _stays(op, x, values, ops[x[1][1]], 0):
                return x[1]
    folded = _fold(op, values)
    return ("is", number) if folded is None else ("const", folded)


def _stays(op: Op, x: list[Known], values: list[int | None], inner: Op, other: int) -> bool:
    """Whether a limit cannot be reached by the result that it limits."""
    if op.kind == "sat":
        return int(op.args[1]) <= inner.lo and inner.hi <= int(op.args[2])
    bound = values[other]
    if bound is None:
        return False
    return inner.hi <= bound if op.kind == "min" else inner.lo >= bound


def _fold(op: Op, values: list[int | None]) -> int | None:
    """The operation on constants alone."""
    if not values or any(v is None for v in values):
        return None
    a, b = int(values[0] or 0), int(values[-1] or 0)
    match op.kind:
        case "add":
            return a + b
        case "sub":
            return a - b
        case "neg":
            return -a
        case "abs":
            return abs(a)
        case "mul":
            return a * b
        case "shl":
            return a << int(op.args[1])
        case "round":
            return (a + (1 << (int(op.args[1]) - 1))) >> int(op.args[1])
        case "floor":
            return a >> int(op.args[1])
        case "gt":
            return int(a > b)
        case "ge":
            return int(a >= b)
        case "eq":
            return int(a == b)
        case "and":
            return a & b
        case "or":
            return a | b
        case "not":
            return 1 - a
        case "min":
            return min(a, b)
        case "max":
            return max(a, b)
        case "sat":
            return min(max(a, int(op.args[1])), int(op.args[2]))
    return None
