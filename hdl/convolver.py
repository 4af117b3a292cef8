"""The convolver: sends each source element of a ``CNV`` to the accumulator words that it reaches.

A slot's token finds its source element and with it its position; the stencil's entry, the addresses
of weights and accumulators; then it enters the lanes as a row that is added to what stands there.
Which slots reach anything is not known when they are issued: every source element takes the same
time, and no accumulator word is reached in two slots, so that two additions to one word are always
a period apart.
"""

from __future__ import annotations

from amaranth import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.encoding import Encoding, bits_for, memories
from ..compiler.shape import Shape
from ..compiler.timing import (
    CNV_ADDRESS_STEPS,
    CNV_POSITION_STEPS,
    ConvolutionTiming,
    latencies,
)
from .arithmetic import Steps, delay
from .host import HostBus, selected
from .issue import Token
from .primitives import add_delay, add_memory
from .sequencer import ConvolutionFields


class Convolver(wiring.Component):
    """Runs ``CNV`` instructions.

    Parameters
    ----------
    shape : Shape
        With a stencil memory.

    Attributes
    ----------
    host : HostBus, in
    fields : ConvolutionFields, in
    count : unsigned, in
        Events in the list.
    go, load : bool, in; load_word : unsigned, in
        From the sequencer.
    nothing : bool, out
        There is no event: `go` must not come.
    end : bool, out
        ``drain - 1`` cycles after the last write.
    active : bool, out
        From `go` on until `end`: it drives the operands and the lanes.
    source : unsigned, out; event : bool, out
        A token for the operands: address, whether it is one of events.
    x, index : in
        From the operands, a memory's latency after the address.
    token : Token, out; late_x : signed, out
        For the lanes: a row, and, a memory's latency later, its operand.
    stencil_q : unsigned, out
        Read data for the host.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.encoding = e = Encoding(shape)
        machine = shape.machine
        super().__init__(
            {
                "host": In(HostBus(shape)),
                "fields": In(ConvolutionFields(e)),
                "count": In(bits_for(shape.event_words + 1)),
                "go": In(1),
                "load": In(1),
                "load_word": In(e.word_bits),
                "nothing": Out(1),
                "end": Out(1),
                "active": Out(1),
                "source": Out(e.multiply["source"].width),
                "event": Out(1),
                "x": In(signed(machine.value_bits)),
                "index": In(machine.index_bits),
                "token": Out(Token(e)),
                "late_x": Out(signed(machine.value_bits)),
                "stencil_q": Out(memories(shape)["stencil"].bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The component as an Amaranth module."""
        m = Module()
        machine = self.shape.machine
        at, timing = latencies(machine), ConvolutionTiming(machine)
        self._second_word(m)
        valid, place, number, last = self._issue(m)

        # The source element's position and channel, and the stencil's address.
        steps = Steps(m, machine.operations_per_stage, CNV_POSITION_STEPS)
        counted = delay(m, number, at.memory, "counted")
        base = delay(m, place, at.memory, "base")
        shift = self.held["shift"]
        (element, base) = steps.after(
            {"element": Mux(self.event, self.index, counted), "element_base": base}
        )
        coarse, channel, base = steps.after(
            {
                "coarse": element >> (shift[2:] << 2),
                "channel": element & self.mask,
                "coarse_base": base,
            }
        )
        position, channel, base = steps.after(
            {
                "position": coarse >> shift[:2],
                "position_channel": channel,
                "position_base": base,
            }
        )
        address, channel = steps.after(
            {"address": (base + position)[: len(base)], "address_channel": channel}
        )
        self._memory(m, address)

        # What the entry means.
        f = self.encoding.stencil
        entry = {n: self.stencil_q[x.start : x.start + x.width] for n, x in f.items()}
        channel = delay(m, channel, at.memory, "entry_channel")
        steps = Steps(m, machine.operations_per_stage, CNV_ADDRESS_STEPS)
        there, row, target = steps.after(
            {
                "there_at": entry["there"],
                "row": (entry["weights"] + channel)[: f["weights"].width],
                "target_at": (entry["target"] + self.fields.target)[: f["target"].width],
            }
        )
        there, weights, target = steps.after(
            {
                "there_now": there,
                "weights_now": (row + self.fields.weights)[: f["weights"].width],
                "target_now": target,
            }
        )
        t = self.token
        m.d.comb += [
            t.valid.eq(delay(m, valid, timing.reach, "reached") & there),
            t.first.eq(1),
            t.last.eq(1),
            t.weights.eq(weights),
            t.target.eq(target),
        ]
        add_delay(m, "operand", self.x, timing.reach, self.late_x)

        ends = delay(m, last, timing.write + at.drain - 1, "last")
        m.d.comb += self.end.eq(ends)
        with m.If(self.go):
            m.d.sync += self.active.eq(1)
        with m.Elif(ends):
            m.d.sync += self.active.eq(0)
        return m

    def _second_word(self, m: Module) -> None:
        """The second instruction word, and what follows from it."""
        self.held: dict[str, Signal] = {}
        for name, f in self.encoding.convolve.items():
            held = Signal(f.width, name=name)
            with m.If(self.load):
                m.d.sync += held.eq(self.load_word[f.start : f.start + f.width])
            self.held[name] = held
        self.mask = Signal.like(self.index, name="mask")
        m.d.sync += self.mask.eq((1 << self.held["shift"]) - 1)
        m.d.comb += [
            self.event.eq(self.held["events"]),
            self.nothing.eq(self.held["events"] & (self.count == 0)),
        ]

    def _issue(self, m: Module) -> tuple[Value, Value, Value, Value]:
        """Slot after slot: (valid, its base in the stencil, counted element, the very last)."""
        held, fields = self.held, self.fields
        running, last_element = Signal(), Signal()
        left = Signal(max(len(self.count), len(fields.rows)))
        cycle = Signal.like(held["last_cycle"])
        last_cycle, slot = Signal(), Signal()
        place, number = Signal.like(held["stencil"]), Signal.like(self.index)
        last = running & last_cycle & last_element
        with m.If(self.go):
            count = Mux(self.event, self.count, fields.rows)
            m.d.sync += [
                running.eq(1),
                left.eq(count - 1),
                last_element.eq(count == 1),
                number.eq(0),
                self.source.eq(fields.source),
            ]
        with m.Elif(last):
            m.d.sync += running.eq(0)
        with m.Elif(running & last_cycle):
            m.d.sync += [
                left.eq(left - 1),
                last_element.eq(left == 1),
                number.eq(number + 1),
                self.source.eq(self.source + 1),
            ]
        # Every period has two cycles at least.
        with m.If(self.go | last_cycle):
            m.d.sync += [cycle.eq(0), last_cycle.eq(0), slot.eq(1), place.eq(held["stencil"])]
        with m.Else():
            m.d.sync += [
                cycle.eq(cycle + 1),
                last_cycle.eq(cycle + 1 == held["last_cycle"]),
                slot.eq(slot & (cycle != held["last_slot"])),
                place.eq(place + held["positions"]),
            ]
        return running & slot, place, number, last

    def _memory(self, m: Module, address: Value) -> None:
        """The stencil."""
        host = self.host
        by_host = host.write & selected(host, self.shape, "stencil")
        place = host.address[: len(address)]
        add_memory(
            m,
            "stencil_memory",
            self.shape.stencil_words,
            write=(by_host, place, host.data[: len(self.stencil_q)]),
            read_address=Mux(host.idle, place, address),
            read_data=self.stencil_q,
            latency=latencies(self.shape.machine).memory,
            shared=True,
        )
