"""Random Programs, each reproducible by its seed: every one is legal, none makes any sense.

They use all operations and instructions, odd sizes, several phases, event lists that stay empty,
payloads above 1, saturating inputs, states and outputs. Engines must agree on all of them.
"""

from __future__ import annotations

import numpy as np

from spikeloom.compiler.instructions import Evt, Instruction, Mac, Map
from spikeloom.compiler.kernels.code import REDUCTIONS, KernelCode, Op, Parameter, Port, Table
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.program import InputPort, OutputPort, PopulationInfo, Program

WIDEST = 44
"""Bits of the widest result of a random kernel."""

FAMILY = 4
"""So many consecutive seeds share machine and kernels, and hence what engines build for them."""

SCALE_BOUND = 2
"""Largest magnitude of a random scaled parameter."""


def integer(rng: np.random.Generator, lo: int, hi: int) -> int:
    """A uniform integer, both ends included."""
    return int(rng.integers(lo, hi, endpoint=True))


def log_integer(rng: np.random.Generator, bits: int) -> int:
    """A positive integer of 1 to `bits` bits, all lengths alike."""
    return integer(rng, 1, (1 << integer(rng, 1, bits)) - 1)


class KernelMaker:
    """Grows one random kernel; every operation's range is exact interval arithmetic."""

    def __init__(self, rng: np.random.Generator, name: str, machine: Machine) -> None:
        self.rng = rng
        self.name = name
        self.machine = machine
        self.ops: list[Op] = []
        self.parameters: list[Parameter] = []
        self.tables: list[Table] = []

    def add(self, kind: str, args: tuple[int | str, ...], lo: int, hi: int) -> int:
        self.ops.append(Op(kind, args, lo, hi, 0))
        return len(self.ops) - 1

    def pick(self, widest: int = WIDEST) -> int:
        """An earlier result of at most `widest` bits, preferably a recent one; limited if none."""
        candidates = [k for k, op in enumerate(self.ops) if op.bits <= widest]
        if not candidates:
            return self.limited(integer(self.rng, 0, len(self.ops) - 1), widest)
        if self.rng.random() < 0.6:
            candidates = candidates[-3:]
        return candidates[integer(self.rng, 0, len(candidates) - 1)]

    def limited(self, a: int, bits: int) -> int:
        """Result `a` through a ``sat`` to a random range of at most `bits` bits."""
        lo = -integer(self.rng, 0, 1) * log_integer(self.rng, bits - 1)
        hi = log_integer(self.rng, bits - 1)
        return self.sat(a, lo, hi)

    def sat(self, a: int, lo: int, hi: int) -> int:
        op = self.ops[a]
        return self.add("sat", (a, lo, hi), min(max(op.lo, lo), hi), max(min(op.hi, hi), lo))

    def truth(self) -> int:
        """A 0/1 result."""
        known = [k for k, op in enumerate(self.ops) if op.kind in "gt ge eq and or not".split()]
        if known and self.rng.random() < 0.5:
            return known[integer(self.rng, 0, len(known) - 1)]
        kind = ("gt", "ge", "eq")[integer(self.rng, 0, 2)]
        return self.add(kind, (self.pick(), self.pick()), 0, 1)

    def grow(self) -> int:
        """Append one random operation (and what it needs)."""
        rng, ops = self.rng, self.ops
        kinds = (
            "param const add sub neg abs mul shl round floor scale min max gt ge eq and or not "
            "select sat table divide any_of sum_of max_of winner"
        ).split()
        kind = kinds[integer(rng, 0, len(kinds) - 1)]
        if kind == "param":
            return self.parameter()
        if kind == "const":
            n = integer(rng, -1, 1) * log_integer(rng, 20)
            return self.add("const", (n,), n, n)
        if kind in ("gt", "ge", "eq"):
            return self.add(kind, (self.pick(), self.pick()), 0, 1)
        if kind in ("and", "or"):
            return self.add(kind, (self.truth(), self.truth()), 0, 1)
        if kind == "not":
            return self.add(kind, (self.truth(),), 0, 1)
        if kind == "scale":
            return self.scaled()
        if kind == "table":
            return self.table()
        if kind == "mul":
            a = self.pick(WIDEST // 2)
            b = self.pick(WIDEST // 2)
            corners = [x * y for x in (ops[a].lo, ops[a].hi) for y in (ops[b].lo, ops[b].hi)]
            return self.add("mul", (a, b), min(corners), max(corners))
        if kind == "divide":
            bits = integer(rng, 0, 8)
            return self.add("divide", (self.pick(), self.pick(), bits), 0, 1 << bits)
        if kind in REDUCTIONS:
            return self.reduction(kind)
        if kind == "sat":
            return self.limited(self.pick(), integer(rng, 2, 30))
        if kind == "shl":
            n = integer(rng, 0, 8)
            a = self.pick(WIDEST - n)
            return self.add("shl", (a, n), ops[a].lo << n, ops[a].hi << n)
        a = self.pick(WIDEST - 1)
        lo, hi = ops[a].lo, ops[a].hi
        if kind == "neg":
            return self.add(kind, (a,), -hi, -lo)
        if kind == "abs":
            low = 0 if lo <= 0 <= hi else min(abs(lo), abs(hi))
            return self.add(kind, (a,), low, max(abs(lo), abs(hi)))
        if kind == "round":
            n = integer(rng, 1, 20)
            half = 1 << (n - 1)
            return self.add(kind, (a, n), (lo + half) >> n, (hi + half) >> n)
        if kind == "floor":
            n = integer(rng, 0, 20)
            return self.add(kind, (a, n), lo >> n, hi >> n)
        b = self.pick(WIDEST - 1)
        other = ops[b]
        if kind == "add":
            return self.add(kind, (a, b), lo + other.lo, hi + other.hi)
        if kind == "sub":
            return self.add(kind, (a, b), lo - other.hi, hi - other.lo)
        if kind == "min":
            return self.add(kind, (a, b), min(lo, other.lo), min(hi, other.hi))
        if kind == "max":
            return self.add(kind, (a, b), max(lo, other.lo), max(hi, other.hi))
        return self.add("select", (self.truth(), a, b), min(lo, other.lo), max(hi, other.hi))

    def reduction(self, kind: str) -> int:
        """A reduction over the population, of something that depends on no other."""
        reduced: set[int] = set()
        for k, op in enumerate(self.ops):
            if op.kind in REDUCTIONS or reduced.intersection(op.operands):
                reduced.add(k)
        widest = WIDEST - self.machine.index_bits
        plain = [k for k, op in enumerate(self.ops) if k not in reduced and op.bits <= widest]
        a = self.limited(0, widest) if not plain else plain[integer(self.rng, 0, len(plain) - 1)]
        op = self.ops[a]
        if kind == "sum_of":
            n = self.machine.index_bits
            return self.add(kind, (a,), min(op.lo, op.lo << n), max(op.hi, op.hi << n))
        if kind == "max_of":
            return self.add(kind, (a,), op.lo, op.hi)
        return self.add(kind, (a,), 0, 1)

    def parameter(self) -> int:
        name = f"p{len(self.parameters)}"
        size = log_integer(self.rng, 24)
        self.parameters.append(Parameter(name, False, -size, size, 0))
        return self.add("param", (name,), -size, size)

    def scaled(self) -> int:
        a = self.pick(min(WIDEST - 2, 62 - self.machine.parameter_bits))
        known = [p.name for p in self.parameters if p.scaled]
        if known and self.rng.random() < 0.3:
            name = known[0]
        else:
            name = f"p{len(self.parameters)}"
            largest = (1 << (self.machine.parameter_bits - 1)) - 1
            self.parameters.append(Parameter(name, True, -largest - 1, largest, 0))
        reach = max(abs(self.ops[a].lo), abs(self.ops[a].hi)) * SCALE_BOUND + 1
        return self.add("scale", (a, name), -reach, reach)

    def table(self) -> int:
        lo = integer(self.rng, -40, 20)
        a = self.sat(self.pick(), lo, lo + integer(self.rng, 0, 60))
        op = self.ops[a]
        first = op.lo - integer(self.rng, 0, 3)
        entries = op.hi - first + 1 + integer(self.rng, 0, 3)
        name = f"t{len(self.tables)}"
        size = log_integer(self.rng, 36 if self.rng.random() < 0.2 else 20)
        self.tables.append(Table(name, first, entries, -size, size, 0))
        return self.add("table", (a, name), -size, size)

    def make(self) -> KernelCode:
        rng = self.rng
        size = log_integer(rng, 36 if rng.random() < 0.1 else 22)
        source = Port("u", -size, size - integer(rng, 0, 1), None)
        self.add("input", ("u",), source.lo, source.hi)
        states = []
        for k in range(integer(rng, 0, 3)):
            largest = (1 << (self.machine.state_bits - 1)) - 1
            reach = min(log_integer(rng, self.machine.state_bits), largest)
            states.append(Port(f"x{k}", -reach - integer(rng, 0, 1), reach, None))
            self.add("state", (f"x{k}",), states[-1].lo, states[-1].hi)
        for _ in range(integer(rng, 0, 14)):
            self.grow()
        following = tuple(self.next_state(port) for port in states)
        events = bool(rng.random() < 0.5)
        emit = self.event() if events else self.pick()
        return KernelCode(
            name=self.name,
            input=source,
            states=tuple(states),
            parameters=tuple(self.parameters),
            tables=tuple(self.tables),
            ops=tuple(self.ops),
            next_state=following,
            emit=emit,
            emits="events" if events else "value",
            emit_fraction=0,
            delayed=False,
        )

    def clipped(self, a: int, lo: int, hi: int) -> int:
        """Result `a` limited by plain operations, which count nothing."""
        op = self.ops[a]
        top = self.add("const", (hi,), hi, hi)
        a = self.add("min", (a, top), min(op.lo, hi), min(op.hi, hi))
        op = self.ops[a]
        bottom = self.add("const", (lo,), lo, lo)
        return self.add("max", (a, bottom), max(op.lo, lo), max(op.hi, lo))

    def next_state(self, port: Port) -> int:
        if self.rng.random() < 0.4:
            # As neurons do it: where they spike, something that takes a division or a table.
            condition = self.truth()
            bits = integer(self.rng, 0, 8)
            a = self.add("divide", (self.pick(), self.pick(), bits), 0, 1 << bits)
            if self.rng.random() < 0.5:
                a = self.table()
            if self.rng.random() < 0.5:
                b = self.pick(WIDEST - 1)
                x, y = self.ops[a], self.ops[b]
                a = self.add("add", (a, b), x.lo + y.lo, x.hi + y.hi)
            a = self.clipped(a, port.lo, port.hi)
            b = self.clipped(self.pick(), port.lo, port.hi)
            lo = min(self.ops[a].lo, self.ops[b].lo)
            return self.add("select", (condition, a, b), lo, max(self.ops[a].hi, self.ops[b].hi))
        a = self.pick()
        op = self.ops[a]
        return a if port.lo <= op.lo and op.hi <= port.hi else self.sat(a, port.lo, port.hi)

    def event(self) -> int:
        """An output that is often zero: a truth, or a number only where a condition holds."""
        kind = self.rng.random()
        if kind < 0.3:
            return self.truth()
        number = self.pick()
        if kind < 0.6:
            number = self.limited(number, 4)
        zero = self.add("const", (0,), 0, 0)
        a, b = (number, zero) if self.rng.random() < 0.5 else (zero, number)
        lo, hi = min(self.ops[number].lo, 0), max(self.ops[number].hi, 0)
        return self.add("select", (self.truth(), a, b), lo, hi)


def random_kernel(rng: np.random.Generator, name: str, machine: Machine) -> KernelCode:
    """A random kernel of up to some twenty operations."""
    return KernelMaker(rng, name, machine).make()


def random_parameters(
    rng: np.random.Generator, code: KernelCode, machine: Machine
) -> dict[str, int | tuple[int, int]]:
    """Values that a ``MAP`` may give the kernel's parameters."""
    values: dict[str, int | tuple[int, int]] = {}
    for p in code.parameters:
        if not p.scaled:
            values[p.name] = integer(rng, p.lo, p.hi)
            continue
        shift = integer(rng, 1, machine.parameter_bits + 8)
        largest = min((1 << (machine.parameter_bits - 1)) - 1, SCALE_BOUND << shift)
        values[p.name] = (integer(rng, -largest, largest), shift)
    return values


def random_machine(rng: np.random.Generator, state_bits: int = 40) -> Machine:
    """A machine of random widths; `state_bits` is the most that a state may have."""
    return Machine(
        lanes=1 << integer(rng, 0, 4),
        weight_bits=integer(rng, 4, 18),
        value_bits=integer(rng, 6, 18),
        accumulator_bits=integer(rng, 32, 44),
        state_bits=integer(rng, 12, state_bits),
        parameter_bits=integer(rng, 8, 18),
        index_bits=integer(rng, 7, 16),
    )


class ProgramMaker:
    """Assembles one random Program."""

    def __init__(self, seed: int, machine: Machine | None, largest: int) -> None:
        self.family = np.random.default_rng([FAMILY, seed // FAMILY])
        self.rng = np.random.default_rng(seed)
        self.seed = seed
        self.machine = machine or random_machine(self.family)
        self.largest = largest
        self.weights: list[np.ndarray] = []
        self.weight_words = 0

    def make(self) -> Program:
        rng, machine = self.rng, self.machine
        self.kernels = {
            f"k{n}": random_kernel(self.family, f"k{n}", machine)
            for n in range(integer(self.family, 1, 3))
        }
        self.tables, self.sets = {}, {}
        for name, code in self.kernels.items():
            self.sets[name] = integer(rng, 1, 2)
            for t in code.tables:
                self.tables[f"{name}.{t.name}"] = rng.integers(
                    t.lo, t.hi, (self.sets[name], t.entries), endpoint=True
                )
        self.lay_out()
        phases: list[list[Instruction]] = [[] for _ in range(integer(rng, 1, 3))]
        for number in range(len(self.sizes)):
            place = integer(rng, 0, len(phases) - 1)
            after_map = place > 0 or bool(phases[place])
            phases[place].extend(self.population(number, after_map))
        limit = 1 << (machine.value_bits - 1)
        return Program(
            name=f"random {self.seed}",
            machine=machine,
            dt=0.001,
            kernels=self.kernels,
            phases=phases,
            weight=np.concatenate(self.weights).astype(np.int32),
            value=rng.integers(-limit, limit, self.values),
            state=self.state,
            tables=self.tables,
            accumulator_words=self.accumulators,
            event_words=self.events,
            event_lists=self.lists,
            inputs={
                f"in{n}": InputPort(f"in{n}", integer(rng, 0, len(phases) - 1), base, size, 0)
                for n, (base, size) in enumerate(self.input_spans)
            },
            outputs={port.name: port for port in self.outputs(len(phases))},
            populations=self.infos,
        )

    def lay_out(self) -> None:
        """Choose kernels and sizes of the populations, and a place for everything."""
        rng, machine = self.rng, self.machine
        names = list(self.kernels)
        self.sizes = [log_integer(rng, 6) for _ in range(integer(rng, 1, 5))]
        self.sizes = [min(size, self.largest) for size in self.sizes]
        self.of = [names[integer(rng, 0, len(names) - 1)] for _ in self.sizes]
        self.input_spans: list[tuple[int, int]] = []
        self.value_at, self.state_at, self.event_at = [], [], []
        self.list_of, self.accumulator_at = [], []
        self.values = integer(rng, 0, 4)
        self.states = self.events = self.lists = self.accumulators = 0
        for _ in range(integer(rng, 0, 2)):
            size = integer(rng, 1, 9)
            self.input_spans.append((self.values, size))
            self.values += size
        for size, name in zip(self.sizes, self.of, strict=True):
            self.accumulators += integer(rng, 0, 1)
            self.accumulator_at.append(self.accumulators)
            self.accumulators += machine.words(size)
            self.states += integer(rng, 0, 2)
            self.state_at.append(self.states)
            self.states += size
            events = self.kernels[name].emits == "events"
            self.value_at.append(self.values)
            self.values += 0 if events else size
            self.event_at.append(self.events)
            self.events += size if events else 0
            self.list_of.append(self.lists if events else -1)
            self.lists += int(events)
        self.values = max(self.values, 1)
        slots = max(len(code.states) for code in self.kernels.values())
        self.state = np.zeros((slots, self.states), np.int64)
        self.infos: dict[str, PopulationInfo] = {}

    def population(self, number: int, after_map: bool) -> list[Instruction]:
        """The products that fill its accumulators, and its ``MAP``."""
        rng, machine = self.rng, self.machine
        size, kernel = self.sizes[number], self.of[number]
        code = self.kernels[kernel]
        instructions: list[Instruction] = []
        products = integer(rng, 1, 3)
        bound = 0
        for k in range(products):
            wait = after_map if k == 0 else bool(rng.random() < 0.3)
            product, reach = self.product(number, products, clear=k == 0, wait=wait)
            instructions.append(product)
            bound += reach
        excess = bound.bit_length() - code.input.hi.bit_length()
        name = f"n{number}"
        for slot, port in enumerate(code.states):
            at = self.state_at[number]
            self.state[slot, at : at + size] = rng.integers(port.lo, port.hi, size, endpoint=True)
        self.infos[name] = PopulationInfo(
            name, kernel, size, "", 1.0, (1.0,) * len(code.states), 1.0
        )
        widest = code.ops[code.emit].bits
        instructions.append(
            Map(
                kernel=kernel,
                population=name,
                length=size,
                source=self.accumulator_at[number],
                input_shift=max(-8, excess - integer(rng, -2, 4)),
                state=self.state_at[number],
                target=self.event_at[number] if code.emits == "events" else self.value_at[number],
                list=self.list_of[number],
                output_shift=max(-8, widest - machine.value_bits - integer(rng, -3, 4)),
                table_set=integer(rng, 0, self.sets[kernel] - 1),
                parameters=random_parameters(rng, code, machine),
                wait=True,
                comment=name,
            )
        )
        return instructions

    def product(self, number: int, products: int, clear: bool, wait: bool) -> tuple[Mac | Evt, int]:
        """A random ``MAC`` or ``EVT`` into population `number`, and the largest sum it can add."""
        rng, machine = self.rng, self.machine
        size = self.sizes[number]
        words = machine.words(size)
        emitters = [k for k, where in enumerate(self.list_of) if where >= 0]
        spiking = bool(emitters) and rng.random() < 0.6
        if spiking:
            source = emitters[integer(rng, 0, len(emitters) - 1)]
            rows = self.sizes[source]
        else:
            rows = integer(rng, 1, min(self.values, 20))
        value = 1 << (machine.value_bits - 1)
        room = (1 << (machine.accumulator_bits - 1)) // products - 1
        largest = min(1 << (machine.weight_bits - 1), room // (rows * value))
        content = rng.integers(-largest, max(largest, 1), (rows, size))
        content[rng.random(content.shape) < 0.1] = -largest
        padded = np.zeros((rows, words * machine.lanes), np.int64)
        padded[:, :size] = content
        at = self.weight_words
        self.weights.append(padded.reshape(rows * words, machine.lanes))
        self.weight_words += rows * words
        reach = int(np.abs(content).sum(axis=0).max()) * value
        target = self.accumulator_at[number]
        what = f"product {len(self.weights) - 1}"
        if spiking:
            at_event, of = self.event_at[source], self.list_of[source]
            return (
                Evt(at, at_event, of, rows, target, words, size, clear, wait, what),
                reach,
            )
        first = integer(rng, 0, self.values - rows)
        return Mac(at, first, rows, target, words, size, clear, wait, what), reach

    def outputs(self, phases: int) -> list[OutputPort]:
        """An output port for everything that populations have."""
        last = phases - 1
        ports = []
        for n, (size, kernel) in enumerate(zip(self.sizes, self.of, strict=True)):
            at = self.accumulator_at[n]
            ports.append(OutputPort(f"sum{n}", "accumulator", at, size, 0, 1.0, last))
            for slot in range(len(self.kernels[kernel].states)):
                at = self.state_at[n]
                ports.append(OutputPort(f"state{n}.{slot}", "state", at, size, slot, 1.0, last))
            if self.list_of[n] >= 0:
                at, of = self.event_at[n], self.list_of[n]
                ports.append(OutputPort(f"out{n}", "event", at, size, of, 1.0, last))
            else:
                ports.append(OutputPort(f"out{n}", "value", self.value_at[n], size, 0, 1.0, last))
        return ports


def random_program(seed: int, machine: Machine | None = None, largest: int = 63) -> Program:
    """A random legal Program.

    Parameters
    ----------
    seed : int
    machine : Machine or None
        None for random widths.
    largest : int
        Most neurons in a population.
    """
    return ProgramMaker(seed, machine, largest).make()


def random_inputs(seed: int, program: Program, steps: int) -> dict[str, np.ndarray]:
    """Values for most of the Program's input ports, int64 (steps, size)."""
    rng = np.random.default_rng(seed)
    limit = 1 << (program.machine.value_bits - 1)
    return {
        name: rng.integers(-limit, limit, (steps, port.size))
        for name, port in program.inputs.items()
        if rng.random() < 0.8
    }
