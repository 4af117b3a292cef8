"""What makes a Program legal: every number inside the machine that it is meant for.

Engines trust a validated Program and check nothing themselves, so that a damaged or foreign one can
neither crash them nor make two of them differ.
"""

from __future__ import annotations

import numpy as np

from . import checks
from .errors import ProgramError
from .instructions import Cnv, Evt, Mac, Map, Upd
from .kernels.code import KernelCode, Parameter, Port, Table
from .kernels.rule_code import RuleCode
from .machine import Machine
from .program import Program
from .validation_convolution import check_convolution, check_stencil
from .validation_rules import check_captures, check_parameters, check_rules, check_update


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
        check_rules(program)
        check_stencil(program)
        _check_tables(program)
        _check_instructions(program)
        _check_ports(program)
    except (TypeError, AttributeError, KeyError, ValueError, IndexError, OverflowError) as e:
        raise ProgramError(f"malformed content ({type(e).__name__}: {e})") from e


def _check_machine(machine: Machine) -> None:
    checks.integer("machine: lanes", machine.lanes, 1, 1024)
    checks.integer("machine: operations_per_stage", machine.operations_per_stage, 1, 64)
    for field, most in (
        ("weight_bits", 32),
        ("value_bits", 32),
        ("accumulator_bits", checks.LARGEST_BITS),
        ("state_bits", checks.LARGEST_BITS),
        ("parameter_bits", 32),
        ("index_bits", 31),
        ("residual_bits", 31),
    ):
        checks.integer(f"machine: {field}", getattr(machine, field), 2, most)


def _check_memories(program: Program) -> None:
    machine = program.machine
    checks.text("the Program's name", program.name)
    checks.positive("dt", program.dt)
    checks.array("weight memory", program.weight, np.int32, 2, machine.weight_bits)
    checks.array("value memory", program.value, np.int64, 1, machine.value_bits)
    checks.array("state memory", program.state, np.int64, 2, machine.state_bits)
    if program.weight.shape[1] != machine.lanes:
        raise ProgramError(
            f"weight memory has {program.weight.shape[1]} lanes, the machine {machine.lanes}"
        )
    for field in ("accumulator_words", "event_words", "event_lists"):
        checks.integer(field, getattr(program, field), 0, 1 << 31)


def _check_kernel(code: KernelCode) -> None:
    what = f"kernel {code.name!r}"
    checks.text(f"{what}: name", code.name)
    if code.emits not in ("events", "value"):
        raise ProgramError(f"{what}: emits {code.emits!r}, must be 'events' or 'value'")
    if not isinstance(code.delayed, bool):
        raise ProgramError(f"{what}: delayed must be true or false")
    ports: tuple[Port | Parameter | Table, ...]
    ports = (code.input, *code.states, *code.parameters, *code.tables)
    for port in ports:
        checks.text(f"{what}: name of {port!r}", port.name)
        checks.integer(f"{what}: lower end of {port.name!r}", port.lo, -(1 << 62), 1 << 62)
        checks.integer(f"{what}: upper end of {port.name!r}", port.hi, port.lo, 1 << 62)
    for table in code.tables:
        checks.integer(f"{what}: entries of {table.name!r}", table.entries, 1, 1 << 20)
        checks.integer(
            f"{what}: first argument of {table.name!r}", table.first, -(1 << 31), 1 << 31
        )
    names = {
        "input": {code.input.name},
        "state": {port.name for port in code.states},
        "param": {p.name for p in code.parameters if not p.scaled},
        "scale": {p.name for p in code.parameters if p.scaled},
        "table": {table.name for table in code.tables},
    }
    for number, op in enumerate(code.ops):
        checks.operation(f"{what}: operation {number} ({op.kind})", number, op, names)
    last = len(code.ops) - 1
    if len(code.next_state) != len(code.states):
        raise ProgramError(f"{what}: {len(code.next_state)} results for {len(code.states)} states")
    for result in (*code.next_state, code.emit):
        checks.integer(f"{what}: result", result, 0, last)


def _check_tables(program: Program) -> None:
    codes: list[KernelCode | RuleCode] = [*program.kernels.values(), *program.rules.values()]
    known = {f"{c.name}.{t.name}": t for c in codes for t in c.tables}
    used = {i.kernel for i in program.instructions if isinstance(i, Map)}
    used |= {i.rule for i in program.instructions if isinstance(i, Upd)}
    missing = {n for n in known if n.split(".")[0] in used} - set(program.tables)
    if missing:
        raise ProgramError(f"table {sorted(missing)[0]!r} is missing")
    for name, content in program.tables.items():
        if name not in known:
            raise ProgramError(f"table {name!r} belongs to no kernel")
        table = known[name]
        checks.array(f"table {name!r}", content, np.int64, 2, 64)
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
            if not isinstance(instruction, Mac | Evt | Map | Upd | Cnv):
                raise ProgramError(f"phase {p}, instruction {n}: no engine runs {instruction!r}")
            what = f"phase {p}, instruction {n} ({instruction.opcode} {instruction.comment!r})"
            checks.text(f"{what}: comment", instruction.comment)
            if not isinstance(instruction.wait, bool):
                raise ProgramError(f"{what}: wait must be true or false")
            if (after_map or isinstance(instruction, Map | Upd | Cnv)) and not instruction.wait:
                raise ProgramError(f"{what}: must wait for the instructions before it")
            if isinstance(instruction, Map):
                _check_map(what, program, instruction)
            elif isinstance(instruction, Upd):
                check_update(what, program, instruction)
            elif isinstance(instruction, Cnv):
                check_convolution(what, program, instruction)
            else:
                _check_product(what, program, instruction)
            after_map = isinstance(instruction, Map | Upd | Cnv)


def _check_product(what: str, program: Program, instruction: Mac | Evt) -> None:
    i = instruction
    words = program.weight.shape[0]
    checks.integer(f"{what}: rows", i.rows, 0, 1 << 31)
    checks.integer(f"{what}: words", i.words, 1, 1 << 31)
    checks.integer(f"{what}: length", i.length, 1, i.words * program.machine.lanes)
    if not isinstance(i.clear, bool):
        raise ProgramError(f"{what}: clear must be true or false")
    checks.span(f"{what}: weights", i.weights, i.rows * i.words, words)
    checks.span(f"{what}: accumulators", i.target, i.words, program.accumulator_words)
    if isinstance(i, Mac):
        checks.span(f"{what}: values", i.source, i.rows, program.value.size)
    else:
        checks.span(f"{what}: events", i.source, i.rows, program.event_words)
        checks.integer(f"{what}: event list", i.list, 0, program.event_lists - 1)


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
    checks.integer(f"{what}: length", i.length, 1, 1 << machine.index_bits)
    checks.span(
        f"{what}: accumulators", i.source, machine.words(i.length), program.accumulator_words
    )
    if code.states:
        checks.span(f"{what}: states", i.state, i.length, program.state.shape[1])
        if len(code.states) > program.state.shape[0]:
            raise ProgramError(f"{what}: {len(code.states)} states, {len(program.state)} in memory")
    for shift in ("input_shift", "output_shift"):
        checks.integer(
            f"{what}: {shift}", getattr(i, shift), -checks.LARGEST_BITS, checks.LARGEST_BITS
        )
    if code.emits == "events":
        checks.span(f"{what}: events", i.target, i.length, program.event_words)
        checks.integer(f"{what}: event list", i.list, 0, program.event_lists - 1)
    else:
        checks.span(f"{what}: values", i.target, i.length, program.value.size)
    check_captures(what, program, i)
    check_parameters(what, program, i, code)


def _check_ports(program: Program) -> None:
    phases = len(program.phases)
    for name, port in program.inputs.items():
        what = f"input {name!r}"
        if name != port.name:
            raise ProgramError(f"{what} is named {port.name!r}")
        checks.integer(f"{what}: phase", port.phase, 0, max(phases - 1, 0))
        checks.integer(f"{what}: size", port.size, 0, 1 << 31)
        checks.integer(f"{what}: fraction", port.fraction, -1024, 1024)
        checks.span(what, port.base, port.size, program.value.size)
    for name, output in program.outputs.items():
        what = f"output {name!r}"
        if name != output.name:
            raise ProgramError(f"{what} is named {output.name!r}")
        checks.integer(f"{what}: phase", output.phase, 0, max(phases - 1, 0))
        checks.integer(f"{what}: size", output.size, 0, 1 << 31)
        checks.unit(f"{what}: unit", output.unit)
        lanes = program.machine.lanes
        sizes = {
            "accumulator": program.accumulator_words * lanes,
            "value": program.value.size,
            "state": program.state.shape[1],
            "event": program.event_words,
        }
        if output.memory not in sizes:
            raise ProgramError(f"{what}: no memory {output.memory!r}")
        checks.integer(f"{what}: start", output.start, 0, 1 << 31)
        checks.span(what, output.first_element(lanes), output.size, sizes[output.memory])
        if output.memory == "state":
            checks.integer(f"{what}: slot", output.slot, 0, program.state.shape[0] - 1)
        if output.memory == "event":
            checks.integer(f"{what}: event list", output.slot, 0, program.event_lists - 1)
    for name, population in program.populations.items():
        what = f"population {name!r}"
        if name != population.name or population.kernel not in program.kernels:
            raise ProgramError(f"{what}: named {population.name!r}, kernel {population.kernel!r}")
        states = len(program.kernels[population.kernel].states)
        if len(population.state_units) != states:
            raise ProgramError(f"{what}: {len(population.state_units)} units for {states} states")
        for member, first, size in population.members:
            checks.text(f"{what}: member", member)
            checks.span(f"{what}: member {member!r}", first, size, population.size)
        for unit in (population.input_unit, population.output_unit, *population.state_units):
            checks.unit(f"{what}: unit", unit)
