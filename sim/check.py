"""What every engine checks before it touches a memory: the Program, and the values of its ports.

An engine whose Program has passed `check_program` runs without any further test of addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from ..compiler.errors import InputError, ProgramError
from ..compiler.instructions import Cnv, Evt, Instruction, Mac, Map, Upd
from ..compiler.kernels.code import REDUCTIONS, KernelCode
from ..compiler.kernels.rule_code import RuleCode
from ..compiler.program import InputPort, OutputPort, Program
from ..compiler.validation import validate
from .check_learning import LEARNED, check_gate, check_learned_products, learned_limits

MEMORIES = (
    "accumulator",
    "value",
    "state",
    "event",
    "count",
    *LEARNED,
)
MAX_SHIFT = 62
"""Largest shift, and bits of the largest product: then a sum with a rounding fits 64 bits."""


def signed_range(bits: int) -> tuple[int, int]:
    """Smallest and largest number of a two's complement word of `bits` bits."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


# -- the Program ---------------------------------------------------------------------------------


def check_program(program: Program) -> None:
    """Raise `ProgramError` if running `program` could leave a memory, a table or 64 bits.

    Beyond `spikeloom.compiler.validation.validate`, which checks each object for itself, this
    follows ranges from one object into the next: events into rows, states into kernels, arguments
    into tables.
    """
    validate(program)
    for code in program.kernels.values():
        check_operations(f"kernel {code.name!r}", code)
        _check_kernel(code.name, code, program.machine.state_bits)
    for rule in program.rules.values():
        check_operations(f"rule {rule.name!r}", rule)
    for i in program.instructions:
        if isinstance(i, Map):
            _check_map(program, i)
        elif isinstance(i, Upd):
            check_update(program, i)
            check_gate(program, i)
        elif isinstance(i, Mac | Evt):
            _check_product(program, i)
        elif isinstance(i, Cnv):
            _check_convolution(program, i)
    _check_events(program)
    check_learned_products(program)


def check_operations(owner: str, code: KernelCode | RuleCode) -> None:
    """Raise `ProgramError` if an operation could leave 64 bits, or a table."""
    tables = {t.name: t for t in code.tables}
    for number, op in enumerate(code.ops):
        what = f"{owner}: operation {number} ({op.kind})"
        if op.bits > MAX_SHIFT + 1:
            raise ProgramError(f"{what} has {op.bits} bits, more than engines compute with")
        if op.kind in REDUCTIONS and isinstance(code, RuleCode):
            raise ProgramError(f"{what}: a rule has no population to reduce over")
        if op.kind == "divide":
            b, n = code.ops[int(op.args[1])], int(op.args[2])
            if max(b.hi, 0).bit_length() + n + 1 > MAX_SHIFT:
                raise ProgramError(f"{what} needs more than 64 bits: use fewer fraction bits")
        if op.kind == "table":
            table, a = tables[str(op.args[1])], code.ops[int(op.args[0])]
            if a.lo < table.first or a.hi >= table.first + table.entries:
                raise ProgramError(
                    f"{what}: the argument {a.lo}..{a.hi} leaves the table's "
                    f"{table.first}..{table.first + table.entries - 1}; limit it first"
                )


def _check_kernel(name: str, code: KernelCode, state_bits: int) -> None:
    for number in set(code.reductions) & set(code.reduced):
        raise ProgramError(
            f"kernel {name!r}: operation {number} ({code.ops[number].kind}) is reduced again"
        )
    least, most = signed_range(state_bits)
    for port, number in zip(code.states, code.next_state, strict=True):
        op = code.ops[number]
        if max(op.lo, least) < port.lo or min(op.hi, most) > port.hi:
            raise ProgramError(
                f"kernel {name!r}: the next {port.name!r} has {op.lo}..{op.hi}, "
                f"its state holds {port.lo}..{port.hi}; limit it first"
            )


def _check_product(program: Program, i: Mac | Evt) -> None:
    what = f"{i.opcode} {i.comment!r}"
    if i.rows < 1 or i.words != program.machine.words(i.length):
        raise ProgramError(f"{what}: cannot run {i.rows} rows of {i.length} in {i.words} words")
    padded = program.weight[i.weights : i.weights + i.rows * i.words].reshape(i.rows, -1)
    if padded[:, i.length :].any():
        raise ProgramError(f"{what}: the weights that pad its rows are not all zero")


def _check_convolution(program: Program, i: Cnv) -> None:
    what = f"CNV {i.comment!r}"
    if i.words != program.machine.words(i.length):
        raise ProgramError(f"{what}: {i.length} elements do not take {i.words} words")
    if i.weights < program.plastic_words:
        raise ProgramError(f"{what}: reads learned weights")


def _check_map(program: Program, i: Map) -> None:
    what = f"MAP {i.population!r}"
    code = program.kernels[i.kernel]
    for slot, port in enumerate(code.states):
        content = program.state[slot, i.state : i.state + i.length]
        if content.min() < port.lo or content.max() > port.hi:
            raise ProgramError(
                f"{what}: the initial state {port.name!r} leaves its range {port.lo}..{port.hi}"
            )
    if max(abs(i.input_shift), abs(i.output_shift)) > MAX_SHIFT:
        raise ProgramError(f"{what}: its shifts are beyond {MAX_SHIFT}")
    for number in code.reductions:
        op = code.ops[number]
        a = code.ops[op.operands[0]]
        if op.kind == "sum_of" and (a.lo * i.length < op.lo or a.hi * i.length > op.hi):
            raise ProgramError(
                f"{what}: the sum of {i.length} neurons of {a.lo}..{a.hi} leaves {op.lo}..{op.hi}"
            )
    for parameter in code.parameters:
        if parameter.scaled:
            _check_scaled(what, code, parameter.name, *map(int, i.parameters[parameter.name]))


def check_update(program: Program, i: Upd) -> None:
    """Raise `ProgramError` if an ``UPD`` could leave 64 bits, or sees what its rule cannot take."""
    what = f"UPD {i.projection!r}"
    code = program.rules[i.rule]
    for parameter in code.parameters:
        if parameter.scaled:
            _check_scaled(what, code, parameter.name, *map(int, i.parameters[parameter.name]))
    captured: dict[tuple[int, int], tuple[int, int]] = {}
    for m in program.instructions:
        if isinstance(m, Map):
            for slot, memory, base in m.captures:
                port = program.kernels[m.kernel].states[slot]
                for word in range(program.machine.words(m.length)):
                    captured[memory, base + word] = min(port.lo, 0), max(port.hi, 0)
            states = program.kernels[m.kernel].states
            if states and m.state <= i.pre and i.pre + i.rows <= m.state + m.length:
                for v, slot in zip(code.pre, i.pre_slots, strict=True):
                    if slot >= len(states) or states[slot].lo < v.lo or states[slot].hi > v.hi:
                        raise ProgramError(f"{what}: its variable {v.name!r} is no such state")
    for v, (memory, base) in zip(code.post, i.post, strict=True):
        for word in range(base, base + i.words):
            lo, hi = captured.get((memory, word), (v.lo - 1, v.hi))
            if lo < v.lo or hi > v.hi:
                raise ProgramError(f"{what}: its variable {v.name!r} is not captured in its range")
    place = slice(i.weights, i.weights + i.rows * i.words)
    bits = program.machine.residual_bits
    full = (program.weight[place].astype(np.int64) << bits) + program.residual[place]
    if full.size and (full.min() < code.weight.lo or full.max() > code.weight.hi):
        raise ProgramError(f"{what}: the initial weights leave the range of the rule")
    for slot, port in enumerate(code.synapses):
        content = program.synapse[slot, place]
        if content.size and (content.min() < port.lo or content.max() > port.hi):
            raise ProgramError(f"{what}: the initial {port.name!r} leaves its range")


def _check_scaled(
    what: str, code: KernelCode | RuleCode, name: str, mantissa: int, shift: int
) -> None:
    """The product fits 64 bits, and the result stays in the operation's range."""
    what += f": parameter {name!r} = {mantissa} * 2**-{shift}"
    if shift > MAX_SHIFT:
        raise ProgramError(f"{what}: its shift is beyond {MAX_SHIFT}")
    for op in code.ops:
        if op.kind == "scale" and op.args[1] == name:
            a = code.ops[int(op.args[0])]
            products = sorted((a.lo * mantissa, a.hi * mantissa))
            lo, hi = ((p + (1 << (shift - 1))) >> shift for p in products)
            if max(map(abs, products)).bit_length() > MAX_SHIFT or lo < op.lo or hi > op.hi:
                raise ProgramError(
                    f"{what} takes {a.lo}..{a.hi} to {lo}..{hi}, "
                    f"the kernel allows for {op.lo}..{op.hi}"
                )


def _check_events(program: Program) -> None:
    """Each event list has one place, and its readers have a row for each of its neurons."""
    place: dict[int, tuple[int, int]] = {}
    for i in program.instructions:
        if isinstance(i, Map) and program.kernels[i.kernel].emits == "events":
            base, length = place.get(i.list, (i.target, 0))
            if base != i.target:
                raise ProgramError(f"MAP {i.population!r}: event list {i.list} has two places")
            place[i.list] = (base, max(length, i.length))
    ordered = sorted(place.values())
    for (base, length), (following, _) in pairwise(ordered):
        if base + length > following:
            raise ProgramError(f"two event lists share event word {following}")
    readers = [
        (f"EVT {i.comment!r}", i.list, i.source) for i in program.instructions if isinstance(i, Evt)
    ]
    readers += [
        (f"CNV {i.comment!r}", i.list, i.source)
        for i in program.instructions
        if isinstance(i, Cnv) and i.list >= 0
    ]
    readers += [
        (f"UPD {i.comment!r}", i.list, i.source)
        for i in program.instructions
        if isinstance(i, Upd) and i.gate != "always"
    ]
    readers += [
        (f"output {o.name!r}", o.slot, o.base)
        for o in program.outputs.values()
        if o.memory == "event"
    ]
    for what, number, base in readers:
        if number not in place:
            raise ProgramError(f"{what} reads event list {number}, which no MAP writes")
        if place[number][0] != base:
            raise ProgramError(
                f"{what} reads event word {base}, but list {number} begins at {place[number][0]}"
            )
    for i in program.instructions:
        if isinstance(i, Evt) or (isinstance(i, Cnv) and i.list >= 0):
            most = place[i.list][1]
            if most > i.rows:
                raise ProgramError(
                    f"{i.opcode} {i.comment!r} has {i.rows} rows, but list {i.list} holds "
                    f"events of up to {most} neurons"
                )
        if isinstance(i, Upd) and i.gate != "always":
            size = i.rows if i.gate == "pre" else i.length
            if place[i.list][1] > size:
                raise ProgramError(f"UPD {i.comment!r}: list {i.list} has more than {size} neurons")


# -- what callers hand in ------------------------------------------------------------------------


def check_memory(name: str) -> None:
    """Raise `InputError` unless `name` is one of `MEMORIES`."""
    if name not in MEMORIES:
        raise InputError(f"no memory is named {name!r}: known are {', '.join(MEMORIES)}")


def check_phase(program: Program, phase: int) -> list[Instruction]:
    """The instructions of `phase`; raises `InputError` if there is no such phase."""
    if not 0 <= phase < len(program.phases):
        raise InputError(f"there is no phase {phase}: the Program has {len(program.phases)}")
    return program.phases[phase]


def input_port(program: Program, name: str) -> InputPort:
    """The input port `name`; raises `InputError` naming the known ones."""
    if name not in program.inputs:
        known = ", ".join(sorted(program.inputs)) or "none"
        raise InputError(f"no input port is named {name!r}: known are {known}")
    return program.inputs[name]


def output_port(program: Program, name: str) -> OutputPort:
    """The output port `name`; raises `InputError` naming the known ones."""
    if name not in program.outputs:
        known = ", ".join(sorted(program.outputs)) or "none"
        raise InputError(f"no output port is named {name!r}: known are {known}")
    return program.outputs[name]


def _integers(
    what: str, values: Any, shape: tuple[int, ...], lo: int | np.ndarray, hi: int | np.ndarray
) -> np.ndarray:
    array = np.asarray(values)
    if array.shape != shape:
        raise InputError(f"{what} needs the shape {shape}, got {array.shape}")
    if array.dtype.kind not in "iu" and array.size:
        raise InputError(f"{what} needs integers, got {array.dtype}")
    if np.any((array < lo) | (array > hi)):
        worst = array[(array < lo) | (array > hi)].flat[0]
        raise InputError(f"{what} cannot hold {worst}: it is out of range")
    return np.ascontiguousarray(array, dtype=np.int64)


def check_values(program: Program, name: str, values: Any) -> tuple[InputPort, np.ndarray]:
    """The port `name`, and `values` for one step as int64 (size,); raises `InputError`."""
    port = input_port(program, name)
    lo, hi = signed_range(program.machine.value_bits)
    return port, _integers(f"input port {name!r}", values, (port.size,), lo, hi)


def check_inputs(
    program: Program, steps: int, inputs: Mapping[str, Any]
) -> list[tuple[InputPort, np.ndarray]]:
    """Ports and their values for a run as int64 (steps, size); raises `InputError`."""
    if steps < 0:
        raise InputError(f"cannot run {steps} steps: give zero or more")
    lo, hi = signed_range(program.machine.value_bits)
    given = []
    for name, values in inputs.items():
        port = input_port(program, name)
        array = _integers(f"input port {name!r}", values, (steps, port.size), lo, hi)
        given.append((port, array))
    return given


def check_batch_inputs(
    program: Program, copies: int, steps: int, inputs: Mapping[str, Any]
) -> list[tuple[InputPort, np.ndarray]]:
    """Ports and their values for a run of many copies, in the order of their phases.

    int64 (copies or 1, steps or 1, size); raises `InputError`.
    """
    if steps < 0:
        raise InputError(f"cannot run {steps} steps: give zero or more")
    lo, hi = signed_range(program.machine.value_bits)
    given = []
    for name, values in inputs.items():
        port = input_port(program, name)
        shape = np.shape(values)
        allowed = ((1, copies), (1, steps), (port.size,))
        if len(shape) != 3 or any(n not in some for n, some in zip(shape, allowed, strict=True)):
            raise InputError(
                f"input port {name!r}: shape {shape}; give ({copies} or 1, {steps} or 1,"
                f" {port.size}), which is (copies, steps, size)"
            )
        given.append((port, _integers(f"input port {name!r}", values, shape, lo, hi)))
    return sorted(given, key=lambda pair: pair[0].phase)


def check_content(program: Program, name: str, content: Any) -> np.ndarray:
    """New content of memory `name` as int64; raises `InputError`.

    A state word that belongs to a kernel must lie in the range that the kernel declares; so with
    rules. Only learned words of the weight memory can change.
    """
    if name == "value":
        lo, hi = signed_range(program.machine.value_bits)
        return _integers("memory 'value'", content, program.value.shape, lo, hi)
    if name in LEARNED:
        lows, highs = learned_limits(program, name)
        return _integers(f"memory {name!r}", content, lows.shape, lows, highs)
    if name != "state":
        check_memory(name)
        raise InputError(f"memory {name!r} cannot be loaded: it is written by instructions alone")
    least, most = signed_range(program.machine.state_bits)
    lows, highs = np.full(program.state.shape, least), np.full(program.state.shape, most)
    for i in program.instructions:
        if isinstance(i, Map):
            for slot, port in enumerate(program.kernels[i.kernel].states):
                lows[slot, i.state : i.state + i.length] = port.lo
                highs[slot, i.state : i.state + i.length] = port.hi
    return _integers("memory 'state'", content, program.state.shape, lows, highs)
