"""A Program as text that a person can follow: what `spikeloom show` prints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from .cost import memory_sizes, step_cycles
from .instructions import Cnv, Evt, Instruction, Mac, Map, Upd
from .kernels.code import KernelCode, Op
from .kernels.rule_code import RuleCode
from .memory_map import memory_map
from .program import InputPort, OutputPort, Program

_SIGNS = {"add": "+", "sub": "-", "mul": "*", "gt": ">", "ge": ">=", "eq": "=="}
_SIGNS |= {"and": "and", "or": "or"}


def disassemble(program: Program) -> str:
    """The whole Program as text: machine, phases, populations, code and memory map."""
    parts = [
        _head(program),
        *(_phase(program, number) for number in range(len(program.phases))),
        _populations(program),
        *([_projections(program)] if program.projections else []),
        *(_kernel(code) for code in program.kernels.values()),
        *(_rule(code) for code in program.rules.values()),
        _memories(program),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _head(program: Program) -> Iterator[str]:
    m = program.machine
    yield f"Program {program.name!r}, one step = {program.dt:g} s"
    yield (
        f"for a loom of {m.lanes} lanes: weights {m.weight_bits} bit, values {m.value_bits} bit, "
        f"accumulators {m.accumulator_bits} bit, state {m.state_bits} bit"
        + (f", residuals {m.residual_bits} bit" if program.projections else "")
    )
    cycles = step_cycles(program)
    yield f"{cycles.total} cycles per step without events; {len(program.instructions)} instructions"


def _phase(program: Program, number: int) -> Iterator[str]:
    yield f"PHASE {number}"
    rows: list[tuple[str, ...]] = []
    for port in program.inputs.values():
        if port.phase == number:
            rows.append(("", "IN", *_input(port)))
    for position, instruction in enumerate(program.phases[number]):
        mark = "*" if getattr(instruction, "wait", False) else " "
        rows.append((f"{position}{mark}", instruction.opcode, *_instruction(program, instruction)))
        rows += [("", "", f"    {text}", "") for text in _details(program, instruction)]
    for output in program.outputs.values():
        if output.phase == number:
            rows.append(("", "OUT", *_output(program, output)))
    yield from _columns(rows)
    if any(getattr(i, "wait", False) for i in program.phases[number]):
        yield "  (* waits until everything before it is written)"


def _input(port: InputPort) -> tuple[str, str]:
    format_ = f"{port.size} x {_unit(2.0**-port.fraction)}"
    return f"{_addresses('value', port.base, port.size)} <- host  [{format_}]", (
        port.origin or port.name
    )


def _output(program: Program, port: OutputPort) -> tuple[str, str]:
    memory = {"accumulator": "acc", "state": f"state.{port.slot}"}.get(port.memory, port.memory)
    if memory == "acc" or port.start:
        last = port.start + port.size - 1
        where = f"{memory}[{port.base}..] elements {port.start}..{last}"
    else:
        where = _addresses(memory, port.base, port.size)
    return f"host <- {where}  [{port.size} x {_unit(port.unit)}]", port.origin or port.name


def _instruction(program: Program, instruction: Instruction) -> tuple[str, str]:
    if isinstance(instruction, Mac | Evt):
        i = instruction
        add = "=" if i.clear else "+="
        weights = f"weight[{i.weights}.. {i.rows} x {i.words}]"
        if isinstance(i, Mac):
            source = _addresses("value", i.source, i.rows)
        else:
            source = f"event list {i.list} at {i.source}"
        return f"{_addresses('acc', i.target, i.words)} {add} {weights} @ {source}", i.comment
    if isinstance(instruction, Map):
        m = instruction
        code = program.kernels[m.kernel]
        if code.emits == "events":
            to = f"event list {m.list} at {m.target}"
        else:
            to = f"{_addresses('value', m.target, m.length)} (>> {m.output_shift})"
        source = _addresses("acc", m.source, program.machine.words(m.length))
        state = f", state[{m.state}..]" if code.states else ""
        text = f"{to} = {m.kernel}({source} >> {m.input_shift}{state}) x {m.length}"
        return text, m.comment or m.population
    if isinstance(instruction, Upd):
        return _update(program, instruction), instruction.comment or instruction.projection
    if isinstance(instruction, Cnv):
        return _convolution(instruction), instruction.comment
    raise TypeError(f"no text for {instruction!r}")


def _convolution(i: Cnv) -> str:
    source = f"event list {i.list} at {i.source}"
    if i.list < 0:
        source = _addresses("value", i.source, i.rows)
    blocks = f"weight[{i.weights}.. {i.kernel >> i.shift} blocks of {1 << i.shift}]"
    stencil = f"stencil[{i.stencil}.. {i.positions} x {i.slots}]"
    return f"{_addresses('acc', i.target, i.words)} += {blocks} @ {source} by {stencil}"


def _update(program: Program, i: Upd) -> str:
    code = program.rules[i.rule]
    which = {
        "always": "all rows and words",
        "pre": f"rows of event list {i.list} at {i.source}",
        "post": f"words of event list {i.list} at {i.source}",
    }[i.gate]
    if i.skip >= 0:
        which += f" but rows where {code.pre[i.skip].name}"
    return f"weight[{i.weights}.. {i.rows} x {i.words}] = {i.rule}({which})"


def _details(program: Program, instruction: Instruction) -> Iterator[str]:
    """What a ``MAP`` captures, and what an ``UPD`` looks at."""
    if isinstance(instruction, Map):
        words = program.machine.words(instruction.length)
        states = program.kernels[instruction.kernel].states
        for slot, memory, base in instruction.captures:
            yield f"{_addresses(f'post.{memory}', base, words)} = {states[slot].name}"
    elif isinstance(instruction, Upd):
        i, code = instruction, program.rules[instruction.rule]
        for v, slot in zip(code.pre, i.pre_slots, strict=True):
            yield f"{v.name} = {_addresses(f'state.{slot}', i.pre, i.rows)}"
        for v, (memory, base) in zip(code.post, i.post, strict=True):
            yield f"{v.name} = {_addresses(f'post.{memory}', base, i.words)}"


def _projections(program: Program) -> Iterator[str]:
    yield "PROJECTIONS (learned; value of one count: full weight; states of a synapse)"
    rows = []
    settings = {i.projection: i for i in program.instructions if isinstance(i, Upd)}
    for p in program.projections.values():
        code = program.rules[p.rule]
        pairs = zip(code.synapses, p.synapse_units, strict=True)
        states = ", ".join(f"{port.name} {_unit(u)}" for port, u in pairs)
        units = f"{_unit(p.unit)}; {states or 'no state'}"
        rows.append((p.name, f"{p.rule} x {p.rows} x {p.length}", units, p.origin))
        if p.name in settings and code.parameters:
            rows.append(("", "", parameter_text(settings[p.name], code), ""))
    yield from _columns(rows)


def _populations(program: Program) -> Iterator[str]:
    yield "POPULATIONS (value of one count: input; states; output)"
    rows = []
    settings = {i.population: i for i in program.instructions if isinstance(i, Map)}
    for p in program.populations.values():
        names = [port.name for port in program.kernels[p.kernel].states]
        states = ", ".join(f"{n} {_unit(u)}" for n, u in zip(names, p.state_units, strict=True))
        rows.append(
            (
                p.name,
                f"{p.kernel} x {p.size}",
                f"{_unit(p.input_unit)}; {states or 'no state'}; {_unit(p.output_unit)}",
                p.origin,
            )
        )
        for name, first, size in p.members:
            rows.append(("", f"  {first}..{first + size - 1}", name, ""))
        if p.name in settings and settings[p.name].parameters:
            rows.append(("", "", parameter_text(settings[p.name], program.kernels[p.kernel]), ""))
    yield from _columns(rows)


def parameter_text(instruction: Map | Upd, code: KernelCode | RuleCode) -> str:
    """The registers as a ``MAP`` or ``UPD`` loads them: integers, and what they are worth."""
    texts = []
    for p in code.parameters:
        value = instruction.parameters[p.name]
        if p.scaled:
            mantissa, shift = value
            texts.append(f"{p.name} = {mantissa} >> {shift} ({math.ldexp(mantissa, -shift):.6g})")
        else:
            texts.append(f"{p.name} = {value} ({math.ldexp(value, -p.fraction):.6g})")
    return ", ".join(texts)


def _kernel(code: KernelCode) -> Iterator[str]:
    delayed = "; readers see the output of the step before" if code.delayed else ""
    yield f"KERNEL {code.name}: emits {code.emits}{delayed}"
    rows = _operations(code)
    for port, result in zip(code.states, code.next_state, strict=True):
        rows.append((f"state {port.name}", f"= %{result}", f"{port.lo}..{port.hi}", ""))
    rows.append(("emit", f"= %{code.emit}", "", ""))
    yield from _columns(rows)


_GATES = {
    "always": "changes weights in every step",
    "pre": "changes weights of pre neurons that fired",
    "post": "changes weights of post neurons that fired",
    "either": "changes weights where either neuron fired",
}


def _rule(code: RuleCode) -> Iterator[str]:
    yield f"RULE {code.name}: {_GATES[code.gate]}"
    rows = _operations(code)
    ports = (code.weight, *code.synapses)
    names = ["weight", *(f"synapse {port.name}" for port in code.synapses)]
    for name, port, result in zip(names, ports, code.outputs, strict=True):
        rows.append((name, f"= %{result}", f"{port.lo}..{port.hi}", ""))
    yield from _columns(rows)


def _operations(code: KernelCode | RuleCode) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for number, op in enumerate(code.ops):
        format_ = f"{op.bits} bit, {op.fraction} behind the point"
        rows.append((f"%{number}", f"= {_operation(op)}", f"{op.lo}..{op.hi}", format_))
    return rows


def _operation(op: Op) -> str:
    a = [f"%{argument}" if isinstance(argument, int) else argument for argument in op.args]
    n = [str(argument) for argument in op.args]
    match op.kind:
        case "input" | "state" | "param" | "synapse" | "pre" | "post":
            return f"{op.kind} {n[0]}"
        case "weight":
            return "weight"
        case "const":
            return n[0]
        case "shl":
            return f"{a[0]} << {n[1]}"
        case "round":
            return f"{a[0]} >> {n[1]} rounded"
        case "floor":
            return f"{a[0]} >> {n[1]}"
        case "scale":
            return f"{a[0]} * {n[1]} rounded"
        case "sat":
            return f"{a[0]} limited to {n[1]}..{n[2]}"
        case "table":
            return f"{n[1]}[{a[0]}]"
        case "divide":
            return f"{a[0]} / {a[1]} to {n[2]} bits"
        case "select":
            return f"{a[1]} if {a[0]} else {a[2]}"
        case kind if kind in _SIGNS:
            return f"{a[0]} {_SIGNS[kind]} {a[1]}"
        case kind:
            return f"{kind}({', '.join(a)})"


def _memories(program: Program) -> Iterator[str]:
    yield "MEMORY MAP"
    regions = memory_map(program)
    rows: list[tuple[str, ...]] = []
    for name, size in memory_sizes(program).items():
        if size.words:
            rows.append((name, f"{size.words} words", f"x {size.bits} bit"))
            for region in regions.get(name, []):
                last = region.first + region.words - 1
                rows.append(("", f"  {region.first}..{last}", region.owner))
    yield from _columns(rows)


def _addresses(memory: str, first: int, words: int) -> str:
    return f"{memory}[{first}]" if words == 1 else f"{memory}[{first}..{first + words - 1}]"


def _unit(unit: float) -> str:
    mantissa, exponent = math.frexp(unit)
    return f"2^{exponent - 1}" if mantissa == 0.5 else f"{unit:.6g}"


def _columns(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    rows = list(rows)
    count = max((len(row) for row in rows), default=0)
    widths = [max((len(row[c]) for row in rows if c < len(row)), default=0) for c in range(count)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        yield ("  " + "  ".join(cells)).rstrip()
