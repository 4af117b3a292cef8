"""Finding what is cheap for most neurons in most steps.

A neuron's arithmetic has room for the largest numbers that it may meet, and looks up tables at any
place. Nearly always the numbers are far smaller, and some tables are read at one of two places: a
LIF neuron integrates over one whole step, or not at all while it is refractory. So the native
engine computes all neurons of a block as if they were like that, in narrower words and without the
look-up, and then those in full that are not. The results are the same.

What a table has between these two places is read in the one step in which a neuron leaves the
refractory time. When that will be, and with which argument, is known as soon as it spikes: its
entry is looked up then, and remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from ....compiler.kernels.code import KernelCode, Op
from .products import is_wide, is_word, only_cut, product_of, split_of
from .ranges import Range, narrowed
from .rare import RarePart, rare_part

_BITS = range(30, 15, -1)
"""Sizes of usual numbers that are tried, the larger ones first."""


_ENTRY_BITS = range(30, 7, -1)
"""Sizes of tables' entries that are tried."""


@dataclass(frozen=True)
class Common:
    """The two places at which usual neurons read a table.

    Attributes
    ----------
    of : int
        The result that tells which: the table's argument, or a state that it follows.
    below, above : int
        Usual neurons have this at most ``below`` or at least ``above``.
    arguments : (int, int)
        The table's arguments then.
    period : int or None
        If ``of`` is a state that falls by ``above - below`` in each step until something rare
        happens, a power of two: that. Each neuron then reads the table between the two places
        at most once, and where is known.
    """

    of: int
    below: int
    above: int
    arguments: Range
    period: int | None = None


@dataclass(frozen=True)
class UsualPart:
    """What the usual neurons compute.

    Attributes
    ----------
    code : KernelCode
        The kernel with the ranges that its results have for usual neurons.
    common : dict of int -> Common
        For each ``table`` operation.
    bits : dict of int -> int
        A usual neuron's input, states and parameters are within -2**bits..2**bits - 1, by the
        operation's number.
    entries : dict of int -> int
        The same of all entries of tables.
    closed : frozenset of int
        States that stay within these bits, as long as neurons are usual; what the rare part makes
        of them has to be looked at.
    tame_code : KernelCode
        The same for inputs that are smaller still: this takes less.
    tame_bits : int or None
        These inputs are within -2**tame_bits..2**tame_bits - 1; None for any.
    """

    code: KernelCode
    common: dict[int, Common]
    bits: dict[int, int]
    entries: dict[int, int]
    closed: frozenset[int]
    tame_code: KernelCode
    tame_bits: int | None


@lru_cache(maxsize=256)
def usual_part(code: KernelCode, rare: RarePart | None) -> UsualPart | None:
    """What usual neurons compute, if that is worth it: no reductions, and something is saved."""
    left_out = set(rare.ops) if rare is not None else set()
    done = [n for n in range(len(code.ops)) if n not in left_out]
    common = _common_arguments(code, rare)
    tables = {n for n in done if code.ops[n].kind == "table"}
    if code.reductions or not tables <= set(common):
        return None
    if any(is_wide(op) for op in code.ops if op.kind in ("input", "state")):
        return None
    if any(code.ops[n].kind == "divide" for n in done):
        return None
    best, least = None, _wide(code.ops, done)
    if tables:
        least += 1  # the look-up is saved in any case
    for bits in sorted(
        ((s, i) for s in _BITS for i in _BITS), key=lambda pair: (-min(pair), -sum(pair))
    ):
        limits = _limits(code, *bits)
        ops = narrowed(code.ops, {n: (-(1 << b), (1 << b) - 1) for n, b in limits.items()})
        wide = _wide(ops, done)
        if wide < least:
            best, least = (limits, tuple(ops)), wide
        if not wide:
            break
    if best is None:
        return None
    limits, narrow = best
    entries, narrow = _limited_entries(code, limits, narrow, sorted(tables))
    small, tame = narrow, [b for n, b in limits.items() if code.ops[n].kind == "input"]
    limits, narrow = _larger_inputs(code, limits, entries, narrow, done)
    return UsualPart(
        code=replace(code, ops=narrow),
        common={t: common[t] for t in sorted(tables)},
        bits=limits,
        entries=entries,
        closed=_closed(code, limits, narrow, rare),
        tame_code=replace(code, ops=small),
        tame_bits=tame[0] if tame else None,
    )


def most_remembered(kernels: Iterable[KernelCode]) -> int:
    """How many tables' entries the neurons of any of these kernels remember, at most."""
    parts = [usual_part(code, rare_part(code)) for code in kernels]
    counts = [sum(c.period is not None for c in p.common.values()) for p in parts if p is not None]
    return max(counts, default=0)


def _closed(
    code: KernelCode, limits: Mapping[int, int], narrow: tuple[Op, ...], rare: RarePart | None
) -> frozenset[int]:
    """States whose next words are within their bits, too, whether the rare condition holds or not.

    Of those that the rare part makes only what they are without it is known.
    """
    slots = {port.name: slot for slot, port in enumerate(code.states)}
    ways = [(narrow, frozenset[int]())]
    if rare is not None:
        ways = [(_if(narrow, rare.condition, False), frozenset())]
        ways.append((_if(narrow, rare.condition, True), frozenset(rare.states)))
    found = set()
    for number, bits in limits.items():
        if code.ops[number].kind == "state":
            slot = slots[str(code.ops[number].args[0])]
            after = [ops[code.next_state[slot]] for ops, unknown in ways if slot not in unknown]
            if all(-(1 << bits) <= op.lo and op.hi < 1 << bits for op in after):
                found.add(number)
    return frozenset(found)


def _if(ops: tuple[Op, ...], condition: int, holds: bool) -> tuple[Op, ...]:
    """The operations' ranges where a condition holds, or where it does not."""
    known: dict[int, Range] = {}
    op = ops[condition]
    if op.kind in ("gt", "ge"):
        a, b = op.operands
        lo, hi = ops[a].lo, ops[a].hi
        if holds:
            lo = max(lo, ops[b].lo + (op.kind == "gt"))
        else:
            hi = min(hi, ops[b].hi - (op.kind == "ge"))
        if lo <= hi:
            known[a] = lo, hi
    chosen = [
        replace(op, args=(op.args[0], *(2 * [op.args[1 if holds else 2]])))
        if op.kind == "select" and op.args[0] == condition
        else op
        for op in ops
    ]
    return tuple(narrowed(chosen, known))


def _limited_entries(
    code: KernelCode, limits: Mapping[int, int], narrow: tuple[Op, ...], tables: Sequence[int]
) -> tuple[dict[int, int], tuple[Op, ...]]:
    """Smaller entries of tables, if with them products need no wide words."""
    least = _unsplit(narrow)
    found: dict[int, int] = {}
    for bits in _ENTRY_BITS:
        entries = {t: bits for t in tables if max(-code.ops[t].lo, code.ops[t].hi) > 1 << bits}
        ends = {n: (-(1 << b), (1 << b) - 1) for n, b in {**limits, **entries}.items()}
        ops = tuple(narrowed(code.ops, ends))
        if _unsplit(ops) < least:
            least, found, narrow = _unsplit(ops), entries, ops
    return found, narrow


def _larger_inputs(
    code: KernelCode,
    limits: dict[int, int],
    entries: Mapping[int, int],
    narrow: tuple[Op, ...],
    done: Sequence[int],
) -> tuple[dict[int, int], tuple[Op, ...]]:
    """Room for larger inputs, as long as no more wide words are needed.

    Neurons with a large gain have such inputs all the time.
    """
    wide, unsplit = _wide(narrow, done), _unsplit(narrow)
    inputs = [number for number in limits if code.ops[number].kind == "input"]
    while inputs and limits[inputs[0]] < max(_BITS):
        larger = {**limits, **{number: limits[number] + 1 for number in inputs}}
        ends = {n: (-(1 << b), (1 << b) - 1) for n, b in {**larger, **entries}.items()}
        ops = tuple(narrowed(code.ops, ends))
        if _wide(ops, done) > wide or _unsplit(ops) > unsplit:
            break
        limits, narrow = larger, ops
    return limits, narrow


def _unsplit(ops: Sequence[Op]) -> int:
    """Products that need wide words."""
    return sum(
        product_of(ops, op) is not None
        and is_wide(ops[op.operands[0]])
        and split_of(ops, op) is None
        for op in ops
    )


def _common_arguments(code: KernelCode, rare: RarePart | None) -> dict[int, Common]:
    """Where a table's argument is limited to an end, if it depends on states alone."""
    found = {}
    for number, op in enumerate(code.ops):
        if op.kind != "table":
            continue
        argument = op.operands[0]
        limited = code.ops[argument]
        seen = {code.ops[r].kind for r in behind(code, [argument])}
        if limited.kind in ("min", "max") and "input" not in seen and not is_wide(limited):
            ends = limited.lo, limited.hi
            common = _of_state(code, argument, rare) or Common(argument, *ends, ends)
            # What is remembered is a narrow word.
            found[number] = replace(common, period=None) if is_wide(op) else common
    return found


def _of_state(code: KernelCode, argument: int, rare: RarePart | None) -> Common | None:
    """The same where the argument follows one state that only grows or only falls with it."""
    direction = _directions(code, argument)
    states = [n for n in behind(code, [argument]) if code.ops[n].kind == "state"]
    if len(states) != 1 or not direction:
        return None
    state, limited = code.ops[states[0]], code.ops[argument]

    def at(value: int) -> int:
        return narrowed(code.ops, {states[0]: (value, value)})[argument].lo

    low, high = (limited.lo, limited.hi) if direction > 0 else (limited.hi, limited.lo)
    if at(state.lo) != low or at(state.hi) != high:
        return None
    below = _last(state.lo, state.hi, lambda value: at(value) == low)
    above = _last(state.lo, state.hi, lambda value: at(value) != high) + 1
    if not is_word(below - state.lo, below - state.hi, state.lo - above, state.hi - above):
        return None
    period = above - below if _falls_by(code, states[0], rare, below) == above - below else None
    return Common(states[0], below, above, (low, high), period)


def _falls_by(code: KernelCode, state: int, rare: RarePart | None, end: int) -> int | None:
    """By how much a state falls in each step unless the rare part sets it, a power of two.

    It does so at least until it is below `end`.
    """
    slot = [port.name for port in code.states].index(str(code.ops[state].args[0]))
    if rare is None or slot not in rare.states:
        return None
    after = code.ops[code.ops[code.next_state[slot]].operands[2]]
    if after.kind == "max":
        limit = code.ops[after.operands[1]]
        if limit.kind != "const" or limit.hi > end:
            return None
        after = code.ops[after.operands[0]]
    if after.kind != "sub" or after.operands[0] != state:
        return None
    step = code.ops[after.operands[1]]
    power = step.kind == "const" and step.lo > 0 and step.lo & (step.lo - 1) == 0
    return step.lo if power else None


def _last(lo: int, hi: int, holds: Callable[[int], bool]) -> int:
    """The last number for which something holds that holds up to there, `lo` included."""
    while lo < hi:
        middle = (lo + hi + 1) // 2
        lo, hi = (middle, hi) if holds(middle) else (lo, middle - 1)
    return lo


def _directions(code: KernelCode, result: int) -> int:
    """1 or -1 if a result never falls or never grows with the states behind it, else 0."""
    found: dict[int, int | None] = {}  # 0: does not change; None: may do both
    for number in sorted(behind(code, [result])):
        op = code.ops[number]
        inner = [found[r] for r in op.operands]
        match op.kind:
            case "state":
                found[number] = 1
            case "const":
                found[number] = 0
            case "neg" | "sub":
                last = inner[-1]
                signs = [*inner[:-1], None if last is None else -last]
                found[number] = _joint(signs)
            case "add" | "min" | "max" | "shl" | "floor" | "round":
                found[number] = _joint(inner)
            case _:
                found[number] = None
    return found[result] or 0


def _joint(signs: Sequence[int | None]) -> int | None:
    """The direction of a sum of what has these."""
    there = {s for s in signs if s != 0}
    return 0 if not there else there.pop() if len(there) == 1 else None


def behind(code: KernelCode, results: Sequence[int]) -> set[int]:
    """These operations and all that they depend on."""
    found, todo = set(), list(results)
    while todo:
        number = todo.pop()
        if number not in found:
            found.add(number)
            todo += code.ops[number].operands
    return found


def _limits(code: KernelCode, state_bits: int, input_bits: int) -> dict[int, int]:
    """Bits of inputs, states and parameters that may be larger than that."""
    found = {}
    for number, op in enumerate(code.ops):
        if op.kind in ("input", "state", "param"):
            bits = input_bits if op.kind == "input" else state_bits
            if op.lo < -(1 << bits) or op.hi >= 1 << bits:
                found[number] = bits
    return found


def _wide(ops: Sequence[Op], done: Iterable[int]) -> int:
    """Operations that need more than a narrow word, but for products and their rounding."""
    count = 0
    cut = only_cut(ops)
    for number in done:
        op = ops[number]
        inner = [ops[r] for r in op.operands]
        of_product = op.kind in ("round", "floor") and inner[0].kind == "mul"
        if number in cut:
            continue
        if op.kind == "mul" or of_product:
            count += any(map(is_wide, inner if op.kind == "mul" else [op]))
        elif op.kind not in ("table", "param", "const"):
            count += any(map(is_wide, [op, *inner]))
    return count
