"""What makes the learning of a Program legal: rules, learned weights, captures and updates."""

from __future__ import annotations

import numpy as np

from . import checks
from .errors import ProgramError
from .instructions import Map, Upd
from .kernels.code import KernelCode, Parameter, Port, Table
from .kernels.rule_code import GATES, RuleCode
from .program import Program


def check_rules(program: Program) -> None:
    """Check rules, projections, and the memories that belong to learned weights."""
    machine = program.machine
    checks.array("residual memory", program.residual, np.int32, 2, machine.residual_bits)
    checks.array("synapse memory", program.synapse, np.int64, 3, machine.state_bits)
    words = program.plastic_words
    if words > program.weight.shape[0] or (words and program.residual.shape[1] != machine.lanes):
        raise ProgramError("the residual memory does not suit the weight memory")
    if words and program.synapse.shape[1:] != program.residual.shape:
        raise ProgramError("the synapse memory does not suit the residual memory")
    checks.integer("post_memories", program.post_memories, 0, 64)
    checks.integer("post_words", program.post_words, 0, 1 << 31)
    for name, code in program.rules.items():
        if name != code.name:
            raise ProgramError(f"rule {code.name!r} is filed under {name!r}")
        _check_rule(code, program)
    taken: list[tuple[int, int, str]] = []
    for name, projection in program.projections.items():
        what = f"projection {name!r}"
        if name != projection.name or projection.rule not in program.rules:
            raise ProgramError(f"{what}: named {projection.name!r}, rule {projection.rule!r}")
        p = projection
        checks.integer(f"{what}: rows", p.rows, 1, 1 << 31)
        checks.integer(f"{what}: length", p.length, 1, 1 << 31)
        if p.words != machine.words(p.length):
            raise ProgramError(f"{what}: {p.words} words for {p.length} elements")
        checks.span(f"{what}: weights", p.weights, p.rows * p.words, words)
        taken.append((p.weights, p.weights + p.rows * p.words, name))
        if len(p.synapse_units) != len(program.rules[p.rule].synapses):
            raise ProgramError(f"{what}: {len(p.synapse_units)} units of synapse states")
        for unit in (p.unit, *p.synapse_units):
            checks.unit(f"{what}: unit", unit)
    for (_, end, first), (start, _, second) in zip(sorted(taken), sorted(taken)[1:], strict=False):
        if start < end:
            raise ProgramError(f"projections {first!r} and {second!r} share weights")


def _check_rule(code: RuleCode, program: Program) -> None:
    what = f"rule {code.name!r}"
    machine = program.machine
    checks.text(f"{what}: name", code.name)
    if code.gate not in GATES:
        raise ProgramError(f"{what}: gate {code.gate!r}, must be one of {', '.join(GATES)}")
    ports: tuple[Port | Parameter | Table, ...]
    ports = (code.weight, *code.synapses, *code.parameters, *code.tables)
    for port in ports:
        checks.text(f"{what}: name of {port!r}", port.name)
        checks.integer(f"{what}: lower end of {port.name!r}", port.lo, -(1 << 62), 1 << 62)
        checks.integer(f"{what}: upper end of {port.name!r}", port.hi, port.lo, 1 << 62)
    limit = ((1 << (machine.weight_bits - 1)) - 1) << machine.residual_bits
    if code.weight.lo < -limit or code.weight.hi > limit:
        raise ProgramError(f"{what}: its weight leaves {-limit}..{limit}")
    largest = 1 << (machine.value_bits - 1)
    for v in code.variables:
        if v.side not in ("pre", "post") or v.lo < -largest or v.hi >= largest or v.lo > v.hi:
            raise ProgramError(f"{what}: the variable {v.name!r} does not fit a value")
    for table in code.tables:
        checks.integer(f"{what}: entries of {table.name!r}", table.entries, 1, 1 << 20)
        checks.integer(
            f"{what}: first argument of {table.name!r}", table.first, -(1 << 31), 1 << 31
        )
    names = {
        "synapse": {port.name for port in code.synapses},
        "pre": {v.name for v in code.pre},
        "post": {v.name for v in code.post},
        "param": {p.name for p in code.parameters if not p.scaled},
        "scale": {p.name for p in code.parameters if p.scaled},
        "table": {table.name for table in code.tables},
        "input": set(),
        "state": set(),
    }
    for number, op in enumerate(code.ops):
        checks.operation(f"{what}: operation {number} ({op.kind})", number, op, names)
    if len(code.next_synapses) != len(code.synapses):
        raise ProgramError(f"{what}: {len(code.next_synapses)} results for its synapse's states")
    ranges = (code.weight, *code.synapses)
    for port, result in zip(ranges, code.outputs, strict=True):
        checks.integer(f"{what}: result", result, 0, len(code.ops) - 1)
        op = code.ops[result]
        if op.lo < port.lo or op.hi > port.hi:
            raise ProgramError(
                f"{what}: the new {port.name!r} has {op.lo}..{op.hi}: limit it first"
            )


def check_captures(what: str, program: Program, i: Map) -> None:
    """Check what a ``MAP`` writes into post memories."""
    code = program.kernels[i.kernel]
    largest = 1 << (program.machine.value_bits - 1)
    if len({memory for _, memory, _ in i.captures}) != len(i.captures):
        raise ProgramError(f"{what}: two captures go into one post memory")
    for slot, memory, base in i.captures:
        checks.integer(f"{what}: captured state", slot, 0, len(code.states) - 1)
        checks.integer(f"{what}: post memory", memory, 0, program.post_memories - 1)
        words = program.machine.words(i.length)
        checks.span(f"{what}: captured words", base, words, program.post_words)
        port = code.states[slot]
        if port.lo < -largest or port.hi >= largest:
            raise ProgramError(f"{what}: the captured state {port.name!r} does not fit a value")


def check_update(what: str, program: Program, i: Upd) -> None:
    """Check an ``UPD``."""
    projection = program.projections.get(i.projection)
    if i.rule not in program.rules or projection is None or projection.rule != i.rule:
        raise ProgramError(f"{what}: no rule {i.rule!r} for projection {i.projection!r}")
    p = projection
    if (p.weights, p.rows, p.words, p.length) != (i.weights, i.rows, i.words, i.length):
        raise ProgramError(f"{what}: does not suit projection {i.projection!r}")
    code = program.rules[i.rule]
    if i.gate not in ("always", "pre", "post"):
        raise ProgramError(f"{what}: gate {i.gate!r}, must be 'always', 'pre' or 'post'")
    if i.gate != "always":
        checks.integer(f"{what}: event list", i.list, 0, program.event_lists - 1)
        size = i.rows if i.gate == "pre" else i.length
        checks.span(f"{what}: events", i.source, size, program.event_words)
    if len(i.pre_slots) != len(code.pre) or len(i.post) != len(code.post):
        raise ProgramError(f"{what}: not the variables of rule {i.rule!r}")
    checks.integer(f"{what}: skip", i.skip, -1, len(code.pre) - 1)
    if code.pre:
        checks.span(f"{what}: pre states", i.pre, i.rows, program.state.shape[1])
    for slot in i.pre_slots:
        checks.integer(f"{what}: pre state", slot, 0, program.state.shape[0] - 1)
    for memory, base in i.post:
        checks.integer(f"{what}: post memory", memory, 0, program.post_memories - 1)
        checks.span(f"{what}: post words", base, i.words, program.post_words)
    check_parameters(what, program, i, code)


def check_parameters(
    what: str, program: Program, i: Map | Upd, code: KernelCode | RuleCode
) -> None:
    """Check the parameters and the set of tables of a ``MAP`` or ``UPD``."""
    for table in code.tables:
        sets = len(program.tables[f"{code.name}.{table.name}"])
        checks.integer(f"{what}: table set", i.table_set, 0, sets - 1)
    if set(i.parameters) != {p.name for p in code.parameters}:
        odd = sorted(set(i.parameters) ^ {p.name for p in code.parameters})
        raise ProgramError(f"{what}: unknown or missing parameters {odd}")
    limit = 1 << (program.machine.parameter_bits - 1)
    for p in code.parameters:
        value = i.parameters[p.name]
        name = f"{what}: parameter {p.name!r}"
        if p.scaled:
            mantissa, shift = value
            checks.integer(name, mantissa, -limit, limit - 1)
            checks.integer(f"{name}: shift", shift, 1, checks.LARGEST_BITS)
        else:
            checks.integer(name, value, p.lo, p.hi)
