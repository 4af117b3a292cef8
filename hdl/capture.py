"""Captures: new states of a population, put together to words of all lanes for the updater.

A word is written one cycle after the state of its last neuron.
"""

from __future__ import annotations

from amaranth import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.encoding import Encoding, bits_for
from ..compiler.kernels.pipeline import memory_latency
from ..compiler.shape import Shape
from ..compiler.timing import MAP_CAPTURE
from .arithmetic import register
from .host import HostBus, selected
from .operands import WritePort
from .primitives import add_memory

assert MAP_CAPTURE == 1


class Captures(wiring.Component):
    """The post memories of a loom, and what fills them.

    Parameters
    ----------
    shape : Shape

    Attributes
    ----------
    host : HostBus, in
        Writing any element clears its word.
    begin, go, load : bool, in; load_word : unsigned, in
        From the sequencer, of a ``MAP``.
    captures : bool, in
        The last extension word is about captures.
    writes_K : bool, in; state_K : signed, in
        What the mapper writes into state memory K.
    last : bool, in
        It is the population's last neuron.
    read_address_R : unsigned, in; post_R : unsigned, out
        The post memories' read ports.
    did_post_R : WritePort, out
        What is written.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.encoding = e = Encoding(shape)
        machine = shape.machine
        members = {
            "host": In(HostBus(shape)),
            **dict.fromkeys(("begin", "go", "load", "captures", "last"), In(1)),
            "load_word": In(e.word_bits),
        }
        for k in range(shape.slots):
            members[f"writes_{k}"] = In(1)
            members[f"state_{k}"] = In(signed(machine.state_bits))
        word = machine.lanes * machine.value_bits
        for r in range(shape.post_memories):
            members[f"read_address_{r}"] = In(bits_for(shape.post_words))
            members[f"post_{r}"] = Out(word)
            members[f"did_post_{r}"] = Out(WritePort(shape.post_words, word))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """The component as an Amaranth module."""
        m = Module()
        shape, machine, host = self.shape, self.shape.machine, self.host
        lane_bits = machine.lanes.bit_length() - 1
        turn = Signal(max(1, lane_bits))
        leaves = self.writes_0
        with m.If(self.go):
            m.d.sync += turn.eq(0)
        with m.Elif(leaves & (lane_bits > 0)):
            m.d.sync += turn.eq(turn + 1)
        full = leaves & (self.last | (turn == machine.lanes - 1))
        states = Array(getattr(self, f"state_{k}") for k in range(shape.slots))
        for r in range(shape.post_memories):
            held = {}
            for name in ("enable", "slot", "base"):
                f = self.encoding.capture[f"{name}_{r}"]
                held[name] = Signal(f.width, name=f"{name}_{r}")
                with m.If(self.begin):
                    m.d.sync += held[name].eq(0)
                with m.Elif(self.load & self.captures):  # the last word stays
                    m.d.sync += held[name].eq(self.load_word[f.start : f.start + f.width])
            element = states[held["slot"]][: machine.value_bits]
            elements = []
            for lane in range(machine.lanes):
                value = Signal(machine.value_bits, name=f"element_{r}_{lane}")
                with m.If(host.idle):
                    m.d.sync += value.eq(0)
                with m.Elif(leaves & (turn == lane)):
                    m.d.sync += value.eq(element)
                with m.Elif(leaves & (turn == 0)):
                    m.d.sync += value.eq(0)
                elements.append(value)
            writes = register(m, full & held["enable"], f"writes_post_{r}")
            address = Signal(bits_for(shape.post_words), name=f"address_{r}")
            with m.If(self.go):
                m.d.sync += address.eq(held["base"])
            with m.Elif(writes):
                m.d.sync += address.eq(address + 1)
            name = f"post{r}"
            did = getattr(self, f"did_{name[:4]}_{r}")
            word = host.address[lane_bits:][: len(address)]
            by_host = host.write & selected(host, shape, name)
            m.d.comb += [
                did.enable.eq(Mux(host.idle, by_host, writes)),
                did.address.eq(Mux(host.idle, word, address)),
                did.data.eq(Cat(*elements)),
            ]
            add_memory(
                m,
                name,
                shape.post_words,
                write=(did.enable, did.address, did.data),
                read_address=getattr(self, f"read_address_{r}"),
                read_data=getattr(self, f"post_{r}"),
                latency=memory_latency(machine),
            )
        return m
