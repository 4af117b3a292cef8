"""The blocks of a core side by side in one Verilog module, for cocotb."""

from dataclasses import replace

import numpy as np
from amaranth import Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from random_programs import random_kernel, random_parameters
from random_rules import RuleMaker

from spikeloom.compiler.encoding import Encoding, bits_for
from spikeloom.compiler.instructions import Map, Upd
from spikeloom.compiler.kernels.filters import Lowpass
from spikeloom.compiler.kernels.neurons import LIF
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.shape import Shape
from spikeloom.hdl import primitives
from spikeloom.hdl.arithmetic import Rescale, multiply
from spikeloom.hdl.convolver import Convolver
from spikeloom.hdl.kernel import KernelPipeline
from spikeloom.hdl.lanes import Lanes
from spikeloom.hdl.operands import Operands
from spikeloom.hdl.rule import RulePipeline
from spikeloom.hdl.scaler import Scaler
from spikeloom.hdl.sequencer import Sequencer
from spikeloom.hdl.verilog import convert

TOP = "blocks"
MACHINE = Machine(lanes=4)
RANDOM_KERNELS = (3, 11, 29)
RULE_SEED = 20
RESCALE = (24, 14)
FACTORS = (40, 23)
MEMORY_DEPTH, MEMORY_BITS = 24, 11


def kernels():
    """A neuron, a filter, and random kernels with tables and scaled parameters."""
    random = [random_kernel(np.random.default_rng(s), f"r{s}", MACHINE) for s in RANDOM_KERNELS]
    return (LIF.code(MACHINE), Lowpass.code(MACHINE), *random)


SHAPE = Shape(
    MACHINE,
    kernels(),
    weight_words=256,
    accumulator_words=16,
    value_words=64,
    state_words=64,
    event_words=64,
    lists=4,
    instruction_words=64,
    populations=4,
    table_sets=2,
)


CONVOLUTION_SHAPE = replace(SHAPE, stencil_words=64)

RULE = RuleMaker(np.random.default_rng(RULE_SEED), "rule", MACHINE).make_rule("always")
RULE_SHAPE = replace(SHAPE, rules=(RULE,), plastic_words=64, post_memories=2, post_words=16)


def rule_settings(seed):
    """Random parameters and tables of the rule, and the extension words that load them."""
    rng = np.random.default_rng(seed)
    parameters = random_parameters(rng, RULE, MACHINE)
    tables = {t.name: rng.integers(t.lo, t.hi + 1, t.entries) for t in RULE.tables}
    update = Upd("rule", "p", 0, 1, 1, 1, "always", 0, 0, -1, 0, (), (), 1, parameters)
    return parameters, tables, Encoding(RULE_SHAPE)._parameters(update, RULE, "rule")


def settings(code, seed):
    """Random parameters and tables of a kernel, and the extension words that load them."""
    rng = np.random.default_rng(seed)
    if code.name == "LIF":
        neuron = LIF(tau_rc=0.02, tau_ref=0.002)
        parameters = neuron.registers(0.001, MACHINE)
        tables = neuron.table_entries(0.001, MACHINE)
    else:
        parameters = random_parameters(rng, code, MACHINE)
        tables = {t.name: rng.integers(t.lo, t.hi + 1, t.entries) for t in code.tables}
    mapped = Map(code.name, "p", 1, 0, 0, 0, 0, -1, 0, 1, parameters)
    return parameters, tables, Encoding(SHAPE)._map(mapped, code, 0)[1:]


class Unit(wiring.Component):
    """A kernel's pipeline with the scalers that it uses."""

    def __init__(self, code):
        self.pipeline = KernelPipeline(SHAPE, code)
        members = self.pipeline.signature.members.items()
        super().__init__({n: member for n, member in members if not n.startswith("scale_")})

    def elaborate(self, platform):
        m = Module()
        m.submodules.pipeline = p = self.pipeline
        for use in p.scales.values():
            unit = Scaler(MACHINE, use.x_bits, use.y_bits)
            m.submodules[use.name] = unit
            m.d.comb += getattr(p, f"{use.name}_y").eq(unit.y)
            for port in ("x", "mantissa", "shift"):
                m.d.comb += getattr(unit, port).eq(getattr(p, f"{use.name}_{port}"))
        for name, member in self.signature.members.items():
            mine, its = getattr(self, name), getattr(p, name)
            if name == "host":
                connect(m, flipped(mine), its)
            else:
                m.d.comb += its.eq(mine) if member.flow == In else mine.eq(its)
        return m


class Product(wiring.Component):
    """A wide product."""

    def __init__(self):
        a, b = FACTORS
        super().__init__({"a": In(signed(a)), "b": In(signed(b)), "y": Out(signed(a + b))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.y.eq(multiply(m, self.a, self.b, MACHINE, "wide"))
        return m


class Memory(wiring.Component):
    """The memory primitive."""

    def __init__(self, latency):
        self.latency = latency
        address = In(bits_for(MEMORY_DEPTH))
        super().__init__(
            {
                "enable": In(1),
                "to": address,
                "data": In(MEMORY_BITS),
                "at": address,
                "q": Out(MEMORY_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        primitives.add_memory(
            m,
            "memory",
            MEMORY_DEPTH,
            write=(self.enable, self.to, self.data),
            read_address=self.at,
            read_data=self.q,
            latency=self.latency,
        )
        return m


class Datapath(wiring.Component):
    """Operands and lanes: from a token to the accumulators."""

    def __init__(self):
        self.operands, self.lanes = Operands(SHAPE), Lanes(SHAPE)
        signature = self.lanes.signature.members
        super().__init__({n: signature[n] for n in ("host", "token", "did_accumulator")})

    def elaborate(self, platform):
        m = Module()
        m.submodules.operands, m.submodules.lanes = self.operands, self.lanes
        for part in (self.operands, self.lanes):
            for interface in ("host", "token"):
                its, mine = getattr(part, interface), getattr(self, interface)
                for name in its.signature.members:
                    m.d.comb += getattr(its, name).eq(getattr(mine, name))
        m.d.comb += [self.lanes.x.eq(self.operands.x), self.lanes.index.eq(self.operands.index)]
        connect(m, self.lanes.did_accumulator, flipped(self.did_accumulator))
        return m


def block_list():
    """All blocks by name."""
    units = {f"kernel{n}": Unit(code) for n, code in enumerate(SHAPE.kernels)}
    return {
        **units,
        "rule": RulePipeline(RULE_SHAPE, RULE),
        "rescale": Rescale(MACHINE, *RESCALE),
        "product": Product(),
        "memory1": Memory(1),
        "memory2": Memory(2),
        "datapath": Datapath(),
        "sequencer": Sequencer(SHAPE),
        "convolver": Convolver(CONVOLUTION_SHAPE),
    }


class Blocks(wiring.Component):
    """All blocks; the ports of each begin with its name."""

    def __init__(self, parts):
        self.parts = parts
        super().__init__({name: Out(part.signature) for name, part in parts.items()})

    def elaborate(self, platform):
        m = Module()
        for name, part in self.parts.items():
            m.submodules[name] = part
            connect(m, flipped(getattr(self, name)), part)
        return m


def blocks_verilog():
    """Verilog of all blocks side by side."""
    return f"{primitives.text()}\n{convert(Blocks(block_list()), TOP)}"
