"""What makes a Program legal: every number inside the machine that it is meant for.

Engines trust a validated Program and check nothing themselves, so that a damaged or foreign one can
neither crash them nor make two of them differ.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .errors import ProgramError
from .instructions import Evt, Mac, Map
from .kernels.code import KINDS, OPERANDS, KernelCode, Op, Parameter, Port, Table
from .machine import Machine
from .program import Program

_TRAILING_ARGS = {
    **dict.fromkeys("input state param const shl round floor divide table scale".split(), 1),
    "sat": 2,
}
_LARGEST_BITS = 63


def validate(program: Program) -> None:
    """Check that `program` can be executed as it stands.

    Raises
    ------
    ProgramError
        Naming the first object that is wrong.
    """
    try:
        _check_machine(program.machine)
        _check_memories(program)
        for name, code in program.kernels.items():
            if name != code.name:
                raise ProgramError(f"kernel {code.name!r} is filed under {name!r}")
            _check_kernel(code)
        _check_tables(program)
        _check_instructions(program)
        _check_ports(program)
    except (TypeError, AttributeError, KeyError, ValueError, IndexError, OverflowError) as e:
        raise ProgramError(f"malformed content ({type(e).__name__}: {e})") from e


def _integer(what: str, value: Any, lo: int, hi: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ProgramError(f"{what} must be an integer, not {value!r}")
    if not lo <= value <= hi:
        raise ProgramError(f"{what} is {value}, outside {lo}..{hi}")
    return int(value)


def _text(what: str, value: Any) -> None:
    if not isinstance(value, str):
        raise ProgramError(f"{what} must be a text, not {value!r}")


def _positive(what: str, value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value > 0):
        raise ProgramError(f"{what} must be a positive number, not {value!r}")


def _unit(what: str, value: Any) -> None:
    # Negative where a filter of negative gain was folded into what enters it.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value != 0):
        raise ProgramError(f"{what} must be a number other than 0, not {value!r}")


def _check_machine(machine: Machine) -> None:
    _integer("machine: lanes", machine.lanes, 1, 1024)
    _integer("machine: operations_per_stage", machine.operations_per_stage, 1, 64)
    for field, most in (
        ("weight_bits", 32),
        ("value_bits", 32),
        ("accumulator_bits", _LARGEST_BITS),
        ("state_bits", _LARGEST_BITS),
        ("parameter_bits", 32),
        ("index_bits", 31),
    ):
        _integer(f"machine: {field}", getattr(machine, field), 2, most)


def _check_array(what: str, array: Any, dtype: type, ndim: int, bits: int) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != ndim:
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array)
        raise ProgramError(f"{what} must be {np.dtype(dtype)} with {ndim} axes, not {found}")
    limit = 1 << (bits - 1)
    if array.size and not (-limit <= array.min() and array.max() < limit):
        raise ProgramError(f"{what} holds numbers wider than {bits} bits")


def _check_memories(program: Program) -> None:
    machine = program.machine
    _text("the Program's name", program.name)
    _positive("dt", program.dt)
    _check_array("weight memory", program.weight, np.int32, 2, machine.weight_bits)
    _check_array("value memory", program.value, np.int64, 1, machine.value_bits)
    _check_array("state memory", program.state, np.int64, 2, machine.state_bits)
    if program.weight.shape[1] != machine.lanes:
        raise ProgramError(
            f"weight memory has {program.weight.shape[1]} lanes, the machine {machine.lanes}"
        )
    for field in ("accumulator_words", "event_words", "event_lists"):
        _integer(field, getattr(program, field), 0, 1 << 31)


def _check_kernel(code: KernelCode) -> None:
    what = f"kernel {code.name!r}"
    _text(f"{what}: name", code.name)
    if code.emits not in ("events", "value"):
        raise ProgramError(f"{what}: emits {code.emits!r}, must be 'events' or 'value'")
    if not isinstance(code.delayed, bool):
        raise ProgramError(f"{what}: delayed must be true or false")
    ports: tuple[Port | Parameter | Table, ...]
    ports = (code.input, *code.states, *code.parameters, *code.tables)
    for port in ports:
        _text(f"{what}: name of {port!r}", port.name)
        _integer(f"{what}: lower end of {port.name!r}", port.lo, -(1 << 62), 1 << 62)
        _integer(f"{what}: upper end of {port.name!r}", port.hi, port.lo, 1 << 62)
    for table in code.tables:
        _integer(f"{what}: entries of {table.name!r}", table.entries, 1, 1 << 20)
        _integer(f"{what}: first argument of {table.name!r}", table.first, -(1 << 31), 1 << 31)
    names = {
        "input": {code.input.name},
        "state": {port.name for port in code.states},
        "param": {p.name for p in code.parameters if not p.scaled},
        "scale": {p.name for p in code.parameters if p.scaled},
        "table": {table.name for table in code.tables},
    }
    for number, op in enumerate(code.ops):
        _check_op(f"{what}: operation {number} ({op.kind})", number, op, names)
    last = len(code.ops) - 1
    if len(code.next_state) != len(code.states):
        raise ProgramError(f"{what}: {len(code.next_state)} results for {len(code.states)} states")
    for result in (*code.next_state, code.emit):
        _integer(f"{what}: result", result, 0, last)


def _check_op(what: str, number: int, op: Op, names: dict[str, set[str]]) -> None:
    if op.kind not in KINDS:
        raise ProgramError(f"{what}: unknown; this Program needs a newer Spikeloom")
    _integer(f"{what}: lower end", op.lo, -(1 << _LARGEST_BITS), 1 << _LARGEST_BITS)
    _integer(f"{what}: upper end", op.hi, op.lo, 1 << _LARGEST_BITS)
    if op.bits > 64:
        raise ProgramError(f"{what}: {op.bits} bits wide, more than 64")
    results = OPERANDS[op.kind]
    trailing = _TRAILING_ARGS.get(op.kind, 0)
    if len(op.args) != results + trailing:
        raise ProgramError(f"{what}: {len(op.args)} arguments, must be {results + trailing}")
    for argument in op.args[:results]:
        _integer(f"{what}: argument", argument, 0, number - 1)
    if op.kind in names:
        if op.args[-1] not in names[op.kind]:
            raise ProgramError(f"{what}: no such name {op.args[-1]!r}")
    elif op.kind in ("shl", "floor", "divide"):
        _integer(f"{what}: bits", op.args[-1], 0, _LARGEST_BITS)
    elif op.kind == "round":
        _integer(f"{what}: bits", op.args[-1], 1, _LARGEST_BITS)
    elif op.kind in ("const", "sat"):
        for constant in op.args[results:]:
            _integer(f"{what}: constant", constant, -(1 << _LARGEST_BITS), 1 << _LARGEST_BITS)


def _check_tables(program: Program) -> None:
    known = {f"{c.name}.{t.name}": t for c in program.kernels.values() for t in c.tables}
    used = {i.kernel for i in program.instructions if isinstance(i, Map)}
    missing = {n for n in known if n.split(".")[0] in used} - set(program.tables)
    if missing:
        raise ProgramError(f"table {sorted(missing)[0]!r} is missing")
    for name, content in program.tables.items():
        if name not in known:
            raise ProgramError(f"table {name!r} belongs to no kernel")
        table = known[name]
        _check_array(f"table {name!r}", content, np.int64, 2, 64)
        if content.shape[1] != table.entries:
            raise ProgramError(
                f"table {name!r} has {content.shape[1]} entries, must be {table.entries}"
            )
        if content.size and not (table.lo <= content.min() and content.max() <= table.hi):
            raise ProgramError(f"table {name!r} leaves its range {table.lo}..{table.hi}")


def _check_instructions(program: Program) -> None:
    after_map = False
    for p, phase in enumerate(program.phases):
        for n, instruction in enumerate(phase):
            if not isinstance(instruction, Mac | Evt | Map):
                raise ProgramError(f"phase {p}, instruction {n}: no engine runs {instruction!r}")
            what = f"phase {p}, instruction {n} ({instruction.opcode} {instruction.comment!r})"
            _text(f"{what}: comment", instruction.comment)
            if not isinstance(instruction.wait, bool):
                raise ProgramError(f"{what}: wait must be true or false")
            if (after_map or isinstance(instruction, Map)) and not instruction.wait:
                raise ProgramError(f"{what}: must wait for the instructions before it")
            if isinstance(instruction, Map):
                _check_map(what, program, instruction)
            else:
                _check_product(what, program, instruction)
            after_map = isinstance(instruction, Map)


def _span(what: str, base: int, length: int, size: int) -> None:
    _integer(f"{what}: first address", base, 0, size)
    if base + length > size:
        raise ProgramError(f"{what}: addresses {base}..{base + length - 1} of {size} words")


def _check_product(what: str, program: Program, instruction: Mac | Evt) -> None:
    i = instruction
    words = program.weight.shape[0]
    _integer(f"{what}: rows", i.rows, 0, 1 << 31)
    _integer(f"{what}: words", i.words, 1, 1 << 31)
    _integer(f"{what}: length", i.length, 1, i.words * program.machine.lanes)
    if not isinstance(i.clear, bool):
        raise ProgramError(f"{what}: clear must be true or false")
    _span(f"{what}: weights", i.weights, i.rows * i.words, words)
    _span(f"{what}: accumulators", i.target, i.words, program.accumulator_words)
    if isinstance(i, Mac):
        _span(f"{what}: values", i.source, i.rows, program.value.size)
    else:
        _span(f"{what}: events", i.source, i.rows, program.event_words)
        _integer(f"{what}: event list", i.list, 0, program.event_lists - 1)


def _check_map(what: str, program: Program, i: Map) -> None:
    machine = program.machine
    if i.kernel not in program.kernels:
        raise ProgramError(f"{what}: no kernel {i.kernel!r}")
    code = program.kernels[i.kernel]
    population = program.populations.get(i.population)
    if population is None:
        raise ProgramError(f"{what}: no population {i.population!r}")
    if population.size != i.length or population.kernel != i.kernel:
        raise ProgramError(f"{what}: does not suit population {i.population!r}")
    _integer(f"{what}: length", i.length, 1, 1 << machine.index_bits)
    _span(f"{what}: accumulators", i.source, machine.words(i.length), program.accumulator_words)
    if code.states:
        _span(f"{what}: states", i.state, i.length, program.state.shape[1])
        if len(code.states) > program.state.shape[0]:
            raise ProgramError(f"{what}: {len(code.states)} states, {len(program.state)} in memory")
    for shift in ("input_shift", "output_shift"):
        _integer(f"{what}: {shift}", getattr(i, shift), -_LARGEST_BITS, _LARGEST_BITS)
    if code.emits == "events":
        _span(f"{what}: events", i.target, i.length, program.event_words)
        _integer(f"{what}: event list", i.list, 0, program.event_lists - 1)
    else:
        _span(f"{what}: values", i.target, i.length, program.value.size)
    for table in code.tables:
        sets = len(program.tables[f"{i.kernel}.{table.name}"])
        _integer(f"{what}: table set", i.table_set, 0, sets - 1)
    if set(i.parameters) != {p.name for p in code.parameters}:
        odd = sorted(set(i.parameters) ^ {p.name for p in code.parameters})
        raise ProgramError(f"{what}: unknown or missing parameters {odd}")
    for p in code.parameters:
        value = i.parameters[p.name]
        name = f"{what}: parameter {p.name!r}"
        if p.scaled:
            mantissa, shift = value
            limit = 1 << (machine.parameter_bits - 1)
            _integer(name, mantissa, -limit, limit - 1)
            _integer(f"{name}: shift", shift, 1, _LARGEST_BITS)
        else:
            _integer(name, value, p.lo, p.hi)


def _check_ports(program: Program) -> None:
    phases = len(program.phases)
    for name, port in program.inputs.items():
        what = f"input {name!r}"
        if name != port.name:
            raise ProgramError(f"{what} is named {port.name!r}")
        _integer(f"{what}: phase", port.phase, 0, max(phases - 1, 0))
        _integer(f"{what}: size", port.size, 0, 1 << 31)
        _integer(f"{what}: fraction", port.fraction, -1024, 1024)
        _span(what, port.base, port.size, program.value.size)
    for name, output in program.outputs.items():
        what = f"output {name!r}"
        if name != output.name:
            raise ProgramError(f"{what} is named {output.name!r}")
        _integer(f"{what}: phase", output.phase, 0, max(phases - 1, 0))
        _integer(f"{what}: size", output.size, 0, 1 << 31)
        _unit(f"{what}: unit", output.unit)
        lanes = program.machine.lanes
        sizes = {
            "accumulator": program.accumulator_words * lanes,
            "value": program.value.size,
            "state": program.state.shape[1],
            "event": program.event_words,
        }
        if output.memory not in sizes:
            raise ProgramError(f"{what}: no memory {output.memory!r}")
        _integer(f"{what}: start", output.start, 0, 1 << 31)
        _span(what, output.first_element(lanes), output.size, sizes[output.memory])
        if output.memory == "state":
            _integer(f"{what}: slot", output.slot, 0, program.state.shape[0] - 1)
        if output.memory == "event":
            _integer(f"{what}: event list", output.slot, 0, program.event_lists - 1)
    for name, population in program.populations.items():
        what = f"population {name!r}"
        if name != population.name or population.kernel not in program.kernels:
            raise ProgramError(f"{what}: named {population.name!r}, kernel {population.kernel!r}")
        states = len(program.kernels[population.kernel].states)
        if len(population.state_units) != states:
            raise ProgramError(f"{what}: {len(population.state_units)} units for {states} states")
        for member, first, size in population.members:
            _text(f"{what}: member", member)
            _span(f"{what}: member {member!r}", first, size, population.size)
        for unit in (population.input_unit, population.output_unit, *population.state_units):
            _unit(f"{what}: unit", unit)
