"""The functions of an engine: of kernels, with what is rare or usual apart, and of rules."""

from __future__ import annotations

from collections.abc import Mapping

from ....compiler.kernels.code import KernelCode
from ....compiler.kernels.rule_code import RuleCode
from ....compiler.machine import Machine
from ...check import signed_range
from .late import late_part
from .rare import RarePart, rare_part
from .target import (
    Late,
    Number,
    Outputs,
    Rare,
    Reduce,
    Remembered,
    RuleOutputs,
    Target,
    Usual,
    Whole,
)
from .usual import UsualPart, behind, usual_part
from .walk import TRUTHS, Walk


def payload_source(code: KernelCode, machine: Machine) -> tuple[int, int]:
    """The result that an event's payload is a power of two of, and which: (result, shift).

    Kernels end with a shift that gives payloads their fraction bits. The engine stores payloads
    without it, and shifts sums instead, so that they fit narrower words. A shifted payload that
    does not fit a value would have to be limited first, so there nothing is left out.
    """
    last = code.ops[code.emit]
    lo, hi = signed_range(machine.value_bits)
    if code.emits == "events" and last.kind == "shl" and lo <= last.lo and last.hi <= hi:
        return int(last.args[0]), int(last.args[1])
    return code.emit, 0


def generate_kernel(code: KernelCode, number: int, machine: Machine, target: Target) -> str:
    """The function of one kernel."""
    rare = rare_part(code)
    walk = Walk(code, machine, target)
    for reduction, array in _arrays(code).items():
        operand = code.ops[reduction].operands[0]
        if code.ops[operand].kind != "sat":  # that is counted in the second pass
            walk.give(operand, target.read_reduced(array))
    walk.run_all_but(rare)
    emit, shift = payload_source(code, machine)
    emitted = code.ops[emit]
    lo, hi = (end >> shift for end in signed_range(machine.value_bits))
    outputs = Outputs(
        slots=tuple(walk.slots.values()),
        states=tuple(walk.state(result, machine) for result in code.next_state),
        emit=walk.results[emit],
        emitted=walk.sign(emit),
        narrow=lo <= emitted.lo and emitted.hi <= hi,
        unit=emitted.kind in TRUTHS,
        rare=None if rare is None else _rare(code, machine, target, walk, rare),
        reduce=_reduce(code, machine, target) if code.reductions else None,
        usual=_usual(code, machine, target, rare),
        late=_late(code, machine, target),
    )
    return target.kernel(number, code, walk.body, outputs)


def _late(code: KernelCode, machine: Machine, target: Target) -> Late | None:
    part = late_part(code, machine)
    if part is None:
        return None
    walk = Walk(code, machine, target, counts=False)
    for number, slot in part.sources.items():
        walk.results[number] = Number(target.read_state(slot), walk.state_width)
    walk.run_some(number for number in part.ops)
    return Late(
        body=tuple(walk.body),
        states={slot: walk.state(code.next_state[slot], machine) for slot in part.slots},
    )


def _reduce(code: KernelCode, machine: Machine, target: Target) -> Reduce:
    first = Walk(code, machine, target, counts=False)
    first.run_some(code.reduced)
    operands = {n: first.results[code.ops[n].operands[0]] for n in code.reductions}
    return Reduce(tuple(first.body), operands, _arrays(code))


def _arrays(code: KernelCode) -> dict[int, int]:
    """For each reduction, the first one of the same numbers."""
    found: dict[int, int] = {}
    return {n: found.setdefault(code.ops[n].operands[0], n) for n in code.reductions}


def _rare(code: KernelCode, machine: Machine, target: Target, walk: Walk, part: RarePart) -> Rare:
    at_hand = walk.known_from_sign(part.condition, target.read_sign())
    saved = {n: target.read_saved(f"r{n}") for n in part.needs if n not in at_hand}
    given = {**saved, **at_hand}
    looked_up = _looked_up(code, part)
    body = Walk(code, machine, target)
    body.run_with_operands(set(part.ops) - looked_up, given)
    choice = {slot: int(code.ops[code.next_state[slot]].args[1]) for slot in part.states}
    read = {r for n in looked_up for r in code.ops[n].operands}.union(choice.values())
    carried = sorted(read.intersection(part.ops) - looked_up)
    after = Walk(code, machine, target)
    given |= {n: target.read_carried(f"r{n}") for n in carried}
    after.run_with_operands(looked_up, given)
    for number in set(choice.values()) - looked_up:
        after.results[number] = Number(given[number], body.width(number))
    return Rare(
        condition=walk.sign(part.condition),
        saved={f"r{n}": walk.results[n] for n in saved},
        body=tuple(body.body),
        carried={f"r{n}": body.results[n] for n in carried},
        after=tuple(after.body),
        states={slot: after.state(result, machine) for slot, result in choice.items()},
    )


def _looked_up(code: KernelCode, part: RarePart) -> set[int]:
    """What follows from tables."""
    found: set[int] = set()
    for number in part.ops:
        op = code.ops[number]
        if op.kind == "table" or found.intersection(op.operands):
            found.add(number)
    return found


def _usual(
    code: KernelCode, machine: Machine, target: Target, rare: RarePart | None
) -> Usual | None:
    part = usual_part(code, rare)
    if part is None:
        return None
    walk = Walk(part.code, machine, target, counts=False, common=part.common)
    walk.run_all_but(rare)
    emit, _ = payload_source(code, machine)
    tame = Walk(part.tame_code, machine, target, counts=False, common=part.common)
    tame.run_all_but(rare)
    holds, beyond, by_input, constants, closed = [], [], [], [], {}
    for number, bits in part.bits.items():
        op = code.ops[number]
        if op.kind == "param":
            holds.append(target.parameter_fits(walk.slots[str(op.args[-1])], bits))
        elif op.kind == "input":
            by_input.append(target.beyond(walk.results[number], bits))
        elif number in part.closed:
            closed[walk.state_slot[str(op.args[0])]] = bits
        else:
            beyond.append(target.beyond(walk.results[number], bits))
    for number, bits in part.entries.items():
        holds.append(target.parameter_fits(walk.slots[str(code.ops[number].args[-1])], bits))
    for number, common in part.common.items():
        if common.period is None:
            beyond.append(target.between(walk.results[common.of], common.below, common.above))
        slot = walk.slots[str(code.ops[number].args[-1])]
        for k, argument in enumerate(common.arguments):
            entry = target.table(str(argument), walk.first_of[slot.name], slot)
            constants.append(target.assign(f"common_{number}_{k}", Number(entry, slot.width)))
    whole = Walk(code, machine, target)
    whole.run_all_but(None)
    return Usual(
        holds=tuple(holds),
        constants=tuple(constants),
        body=tuple(walk.body),
        listed=tuple([*beyond, *_limits_met(walk, target), *by_input]),
        tame_bits=part.tame_bits,
        tame_body=tuple(tame.body),
        tame_listed=tuple([*beyond, *_limits_met(tame, target)]),
        closed=closed,
        reads=frozenset(walk.state_slot[str(op.args[0])] for op in code.ops if op.kind == "state"),
        states=tuple(walk.state(result, machine) for result in code.next_state),
        emit=walk.results[emit],
        emitted=walk.sign(emit),
        rare=None if rare is None else _rare(part.code, machine, target, walk, rare),
        remembered=tuple(
            _remembered(part, table, machine, target)
            for table, common in part.common.items()
            if common.period is not None
        ),
        whole=Whole(
            body=tuple(whole.body),
            counts=bool(whole.limited),
            states=tuple(whole.state(result, machine) for result in code.next_state),
            emit=whole.results[emit],
            emitted=whole.sign(emit),
        ),
    )


def _limits_met(walk: Walk, target: Target) -> list[str]:
    """Numbers that are negative where something is limited."""
    return [target.differ(before, after) for before, after in walk.limited]


def _remembered(part: UsualPart, table: int, machine: Machine, target: Target) -> Remembered:
    """How to look up the entry that a neuron will need between the table's two common places."""
    code, common = part.code, part.common[table]
    assert common.period is not None
    walk = Walk(code, machine, target, counts=False)
    when = Number("when", walk.state_width)
    walk.results[common.of] = when
    walk.run_some(sorted(behind(code, [table]) - {common.of}))
    return Remembered(
        table=table,
        state=walk.state_slot[str(code.ops[common.of].args[0])],
        first=common.below + 1,
        period=common.period,
        when=when.text,
        body=tuple(walk.body),
        entry=walk.results[table].text,
    )


def generate_rule(code: RuleCode, number: int, machine: Machine, target: Target) -> str:
    """The function of one rule."""
    walk = Walk(code, machine, target)
    walk.run_all_but(None)
    outputs = RuleOutputs(
        slots=tuple(walk.slots.values()),
        weight=target.cast(walk.results[code.next_weight], 64),
        synapses=tuple(target.cast(walk.results[n], walk.state_width) for n in code.next_synapses),
    )
    return target.rule(number, code, walk.body, outputs, machine.residual_bits)


def generate(
    kernels: Mapping[str, KernelCode],
    rules: Mapping[str, RuleCode],
    machine: Machine,
    target: Target,
) -> str:
    """The source of an engine for these kernels and rules.

    Parameters
    ----------
    kernels : mapping of name -> KernelCode
        Numbered in the order of their names.
    rules : mapping of name -> RuleCode
        Likewise.
    machine : Machine
        Only its value and state widths matter.
    target : Target

    Returns
    -------
    str
    """
    functions = [
        generate_kernel(kernels[name], number, machine, target)
        for number, name in enumerate(sorted(kernels))
    ]
    rule_functions = [
        generate_rule(rules[name], number, machine, target)
        for number, name in enumerate(sorted(rules))
    ]
    late = {n for n, name in enumerate(sorted(kernels)) if late_part(kernels[name], machine)}
    return target.source(machine, functions, late, rule_functions)
