"""Random Programs that learn: random rules between populations that spike, each by its seed.

All gates, synapse states, tables, scaled parameters, captures that share post memories, several
projections, rows that are left out. What a rule does is nonsense; engines must agree on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from random_convolutions import random_convolution_program
from random_programs import (
    FAMILY,
    KernelMaker,
    integer,
    log_integer,
    random_inputs,
    random_parameters,
    random_program,
)

from spikeloom.compiler.instructions import Cnv, Evt, Instruction, Mac, Map, Upd
from spikeloom.compiler.kernels.code import KernelCode, Op, Port
from spikeloom.compiler.kernels.rule_code import RuleCode, Variable
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.program import InputPort, PopulationInfo, Program, ProjectionInfo

THRESHOLD = 1 << 10
"""Input at which the neurons of these Programs fire."""


def spiking_kernel(machine: Machine) -> KernelCode:
    """Neurons that fire where their input is large, and show their input and spike to rules."""
    largest = (1 << (min(machine.value_bits, machine.state_bits) - 1)) - 1
    reach = 1 << 16
    ops = [
        Op("input", ("u",), -reach, reach, 0),
        Op("const", (THRESHOLD,), THRESHOLD, THRESHOLD, 0),
        Op("gt", (0, 1), 0, 1, 0),
        Op("sat", (0, -largest, largest), max(-largest, -reach), min(largest, reach), 0),
    ]
    return KernelCode(
        name="spiking",
        input=Port("u", -reach, reach, 0),
        states=(Port("drive", -largest, largest, 0), Port("fired", 0, 1, 0)),
        parameters=(),
        tables=(),
        ops=tuple(ops),
        next_state=(3, 2),
        emit=2,
        emits="events",
        emit_fraction=0,
        delayed=False,
    )


class RuleMaker(KernelMaker):
    """Grows one random rule."""

    def reduction(self, kind: str) -> int:
        """Rules see one synapse: nothing is reduced."""
        return self.pick()

    def sat(self, a: int, lo: int, hi: int) -> int:
        """Where a gate is closed nothing may be counted: only what is stored is limited so."""
        return super().sat(a, lo, hi) if self.gate == "always" else self.clipped(a, lo, hi)

    def make_rule(self, gate: str) -> RuleCode:
        self.gate = gate
        rng, machine = self.rng, self.machine
        largest = ((1 << (machine.weight_bits - 1)) - 1) << machine.residual_bits
        low = 0 if rng.random() < 0.3 else -integer(rng, 0, largest)
        weight = Port("weight", low, integer(rng, 1, largest), 0)
        full = self.add("weight", (), weight.lo, weight.hi)
        synapses = []
        for k in range(integer(rng, 0, 2)):
            reach = min(log_integer(rng, machine.state_bits), (1 << (machine.state_bits - 1)) - 1)
            synapses.append(Port(f"s{k}", -reach, reach, 0))
            self.add("synapse", (f"s{k}",), -reach, reach)
        kernel = spiking_kernel(machine)
        variables, spikes = [], {}
        for side in ("pre", "post"):
            for port, spike in zip(kernel.states, (False, True), strict=True):
                needed = spike and (gate == side or gate == "either")
                if needed or rng.random() < 0.7:
                    name = f"{side}_{port.name}"
                    variables.append(Variable(name, side, port.lo, port.hi, 0, False, spike))
                    number = self.add(side, (name,), port.lo, port.hi)
                    if spike:
                        spikes[side] = number
        for _ in range(integer(rng, 2, 14)):
            self.grow()
        condition = None
        if gate == "either":
            condition = self.add("or", (spikes["pre"], spikes["post"]), 0, 1)
        elif gate != "always":
            condition = spikes[gate]
        firsts = [full, *range(full + 1, full + 1 + len(synapses))]
        following = []
        for port, old in zip([weight, *synapses], firsts, strict=True):
            if condition is None:
                following.append(self.next_state(port))
                continue
            new = self.pick()
            lo, hi = min(self.ops[new].lo, port.lo), max(self.ops[new].hi, port.hi)
            new = self.add("select", (condition, new, old), lo, hi)
            following.append(super().sat(new, port.lo, port.hi))
        return RuleCode(
            name=self.name,
            weight=weight,
            synapses=tuple(synapses),
            variables=tuple(variables),
            parameters=tuple(self.parameters),
            tables=tuple(self.tables),
            ops=tuple(self.ops),
            next_weight=following[0],
            next_synapses=tuple(following[1:]),
            gate=gate,
        )


class SummingRuleMaker(RuleMaker):
    """Adds and subtracts scaled results often, as most rules that people write do."""

    def grow(self) -> int:
        if self.rng.random() < 0.5:
            return super().grow()
        pair = self.pick(48), self.scaled()
        a, b = pair if self.rng.random() < 0.7 else pair[::-1]
        x, y = self.ops[a], self.ops[b]
        if self.rng.random() < 0.5:
            return self.add("add", (a, b), x.lo + y.lo, x.hi + y.hi)
        return self.add("sub", (a, b), x.lo - y.hi, x.hi - y.lo)


class LearningMaker:
    """Adds neurons that fire, and projections between them that learn, to a random Program."""

    rule_maker = RuleMaker

    def __init__(
        self,
        seed: int,
        machine: Machine | None,
        largest: int,
        random: Callable[[int, Machine | None, int], Program] = random_program,
    ) -> None:
        self.rng = np.random.default_rng([seed, 1])
        self.family = np.random.default_rng([seed // FAMILY, 2])
        base = random(seed, machine, largest)
        if machine is None:  # rules double the widths of weights: keep the sums within bounds
            bits = integer(self.family, 2, 18)
            base = replace(base, machine=replace(base.machine, residual_bits=bits))
        self.base, self.machine, self.largest = base, base.machine, largest
        self.kernel = spiking_kernel(base.machine)

    def make(self) -> Program:
        rng, base, machine = self.rng, self.base, self.machine
        gates = ["always", "pre", "post", "either"]
        self.rules = {}
        for n in range(integer(self.family, 1, 3)):
            gate = gates[integer(self.family, 0, 3)]
            self.rules[f"r{n}"] = self.rule_maker(self.family, f"r{n}", machine).make_rule(gate)
        tables = dict(base.tables)
        self.sets = {}
        for name, rule in self.rules.items():
            self.sets[name] = integer(rng, 1, 2)
            for t in rule.tables:
                tables[f"{name}.{t.name}"] = rng.integers(
                    t.lo, t.hi, (self.sets[name], t.entries), endpoint=True
                )
        self.sizes = [min(log_integer(rng, 6), self.largest) for _ in range(integer(rng, 1, 3))]
        self.state_at, self.event_at, self.post_at = [], [], []
        self.accumulator_at: list[int] = []
        states, events = base.state.shape[1], base.event_words
        self.accumulators, posts = base.accumulator_words, 0
        for size in self.sizes:
            self.state_at.append(states)
            self.event_at.append(events)
            self.post_at.append(posts)
            self.accumulator_at.append(self.accumulators)
            states, events = states + size, events + size
            posts += machine.words(size) + integer(rng, 0, 1)
            self.accumulators += machine.words(size)
        slots = max(base.state.shape[0], 2)
        state = np.zeros((slots, states), np.int64)
        state[: base.state.shape[0], : base.state.shape[1]] = base.state
        self.learned: list[np.ndarray] = []
        self.words = 0
        self.projections: dict[str, ProjectionInfo] = {}
        products: list[Instruction] = []
        updates: list[Instruction] = []
        for n in range(integer(rng, 1, 3)):
            product, update = self.projection(n)
            products.append(product)
            updates += update
        self.others = [base.weight.astype(np.int64)]
        self.other_words = self.words + base.weight.shape[0]
        drives = [i for n in range(len(self.sizes)) for i in self.population(n)]
        full = np.concatenate([block for block, _ in self.learned])
        synapse = np.concatenate([states for _, states in self.learned], axis=1)
        weight = (full + (1 << (machine.residual_bits - 1))) >> machine.residual_bits
        moved = [
            [
                replace(i, weights=i.weights + self.words) if isinstance(i, Mac | Evt | Cnv) else i
                for i in p
            ]
            for p in base.phases
        ]
        moved[-1] = [*moved[-1], *drives, *products, *updates]
        values = np.concatenate([base.value, np.zeros(4, np.int64)])
        size = len(base.value)
        return replace(
            base,
            name=f"random learning {base.name}",
            kernels={**base.kernels, "spiking": self.kernel},
            rules=self.rules,
            projections=self.projections,
            phases=moved,
            weight=np.concatenate([weight, *self.others]).astype(np.int32),
            residual=(full - (weight << machine.residual_bits)).astype(np.int32),
            synapse=synapse,
            value=values,
            state=state,
            tables=tables,
            accumulator_words=self.accumulators,
            event_words=events,
            event_lists=base.event_lists + len(self.sizes),
            post_memories=2,
            post_words=posts,
            inputs={**base.inputs, "drive": InputPort("drive", len(moved) - 1, size, 4, 0)},
            populations={
                **base.populations,
                **{
                    f"s{n}": PopulationInfo(f"s{n}", "spiking", k, "", 1.0, (1.0, 1.0), 1.0)
                    for n, k in enumerate(self.sizes)
                },
            },
        )

    def population(self, n: int) -> list[Instruction]:
        """Neurons that a random mixture of four inputs drives; some never fire."""
        rng, machine, size = self.rng, self.machine, self.sizes[n]
        words = machine.words(size)
        largest = (1 << (machine.weight_bits - 1)) - 1
        rows = np.zeros((4, words * machine.lanes), np.int64)
        rows[:, :size] = rng.integers(-largest, largest, (4, size), endpoint=True)
        at = self.other_words
        self.others.append(rows.reshape(-1, machine.lanes))
        self.other_words += 4 * words
        source = len(self.base.value)
        widest = machine.weight_bits + machine.value_bits
        target = self.accumulator_at[n]
        return [
            Mac(at, source, 4, target, words, size, True, True, f"drive of s{n}"),
            Map(
                kernel="spiking",
                population=f"s{n}",
                length=size,
                source=target,
                input_shift=widest - 16 + integer(rng, -1, 2),
                state=self.state_at[n],
                target=self.event_at[n],
                list=self.base.event_lists + n,
                output_shift=0,
                table_set=0,
                parameters={},
                captures=((0, 0, self.post_at[n]), (1, 1, self.post_at[n])),
                wait=True,
                comment=f"s{n}",
            ),
        ]

    def projection(self, n: int) -> tuple[Instruction, list[Instruction]]:
        """A learned matrix, what reads it, and its updates."""
        rng, machine = self.rng, self.machine
        pre, post = (integer(rng, 0, len(self.sizes) - 1) for _ in range(2))
        names = list(self.rules)
        rule = names[integer(rng, 0, len(names) - 1)]
        code = self.rules[rule]
        rows, length = self.sizes[pre], self.sizes[post]
        words, lanes = machine.words(length), machine.lanes

        def random(lo: int, hi: int) -> np.ndarray:
            padded = np.zeros((rows, words * lanes), np.int64)
            padded[:, :length] = rng.integers(lo, hi, (rows, length), endpoint=True)
            return padded.reshape(-1, lanes)

        most = max(len(r.synapses) for r in self.rules.values())
        states = np.zeros((most, rows * words, lanes), np.int64)
        for slot, port in enumerate(code.synapses):
            states[slot] = random(port.lo, port.hi)
        at, name = self.words, f"p{n}"
        self.learned.append((random(code.weight.lo, code.weight.hi), states))
        self.words += rows * words
        self.projections[name] = ProjectionInfo(
            name, rule, at, rows, words, length, 1.0, (1.0,) * len(code.synapses)
        )
        slot = {"drive": 0, "fired": 1}
        gates = [(code.gate, -1)]
        if code.gate == "either":
            fired = next(k for k, v in enumerate(code.pre) if v.spike)
            gates = [("pre", -1), ("post", fired)]
        updates: list[Instruction] = []
        parameters = random_parameters(rng, code, machine)
        table_set = integer(rng, 0, self.sets[rule] - 1)
        for gate, skip in gates:
            fires = pre if gate == "pre" else post
            updates.append(
                Upd(
                    rule=rule,
                    projection=name,
                    weights=at,
                    rows=rows,
                    words=words,
                    length=length,
                    gate=gate,
                    source=0 if gate == "always" else self.event_at[fires],
                    list=0 if gate == "always" else self.base.event_lists + fires,
                    skip=skip,
                    pre=self.state_at[pre],
                    pre_slots=tuple(slot[v.name.split("_")[1]] for v in code.pre),
                    post=tuple((slot[v.name.split("_")[1]], self.post_at[post]) for v in code.post),
                    table_set=table_set,
                    parameters=parameters,
                    wait=True,
                    comment=name,
                )
            )
        target = self.accumulators
        self.accumulators += words
        events = self.event_at[pre]
        number = self.base.event_lists + pre
        product = Evt(at, events, number, rows, target, words, length, True, n == 0, name)
        return product, updates


def random_learning_program(
    seed: int, machine: Machine | None = None, largest: int = 63
) -> Program:
    """A random legal Program with learned weights; see `random_programs.random_program`."""
    return LearningMaker(seed, machine, largest).make()


class SummingMaker(LearningMaker):
    """The same with rules of `SummingRuleMaker`."""

    rule_maker = SummingRuleMaker


def mixed_program(seed: int, machine: Machine | None = None, largest: int = 63) -> Program:
    """A random Program whose last phase goes on: ``UPD`` behind and before everything there is."""
    program = LearningMaker(seed, machine, largest, random_convolution_program).make()
    rng = np.random.default_rng([seed, 3])
    last = program.phases[-1]
    pieces: list[list[Instruction]] = []
    for before, i in zip([None, *last], last, strict=False):
        if isinstance(i, Map) and i.kernel == "spiking":
            pieces += [[i], [i] if before is None else [before, i]]
        elif isinstance(i, Evt | Mac):
            pieces.append([replace(i, wait=True)])
        elif isinstance(i, Upd | Cnv):
            pieces += [[i]] * (2 if isinstance(i, Upd) else 1)
    following = [i for _ in range(2) for n in rng.permutation(len(pieces)) for i in pieces[n]]
    return replace(program, phases=[*program.phases[:-1], [*last, *following]])


def driven(seed: int, program: Program, steps: int) -> dict[str, np.ndarray]:
    """Random inputs of such a Program, which make some neurons fire in some steps."""
    inputs = random_inputs(seed, program, steps)
    limit = 1 << (program.machine.value_bits - 1)
    inputs["drive"] = np.random.default_rng(seed).integers(-limit, limit, (steps, 4))
    return inputs
