"""The convolver: sends each source element of a ``CNV`` to the accumulator words that it reaches.

Source elements are looked at one per cycle, ahead of the slots, by one that is not 0 at most. A
slot's token finds the position of its element; the stencil's entry; the addresses of weights and
accumulators; then it enters the lanes as a row, added to what stands there. Which slots reach
anything is not known when they are issued: every source element takes a period at least, and no
accumulator word is reached in two slots, so that two additions to one word are always a period
apart.
"""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, Value, signed
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
from .arithmetic import Steps, delay, register
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
    x, index, value_q : in
        From the operands, a memory's latency after the address; the last is the value itself.
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
                "value_q": In(machine.value_bits),
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
        found, element, x, busy = self._look(m)
        valid, place, running = self._issue(m, found, element, x)
        finish = register(m, busy | running, "was_busy") & ~(busy | running)

        # The source element's position and channel, and the stencil's address.
        steps = Steps(m, machine.operations_per_stage, CNV_POSITION_STEPS)
        shift = self.held["shift"]
        coarse, channel, base = steps.after(
            {
                "coarse": self.element >> (shift[2:] << 2),
                "channel": self.element & self.mask,
                "coarse_base": place,
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
        add_delay(m, "operand", self.operand, timing.reach + at.memory, self.late_x)

        ends = delay(m, finish, timing.write + at.drain - 2, "finish")
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

    def _look(self, m: Module) -> tuple[Value, Value, Value, Value]:
        """The next source element that is not 0: (found, its number, its value, still looking).

        One that was found waits until it is `taken`; those that have been looked at since are
        looked at again.
        """
        fields, memory = self.fields, latencies(self.shape.machine).memory
        more, found, hit = (Signal(name=name) for name in ("more", "found", "hit"))
        stop = Signal.like(self.source, name="stop")
        looks: list[Value] = [more & ~found]
        for n in range(memory):
            looks.append(register(m, looks[-1] & ~hit, f"looked_{n + 1}"))
        m.d.comb += hit.eq(looks[-1] & (self.event | self.value_q.any()))
        here = delay(m, self.source, memory, "here")
        number, value = Signal.like(self.index, name="number"), Signal.like(self.x, name="value")
        following = (Mux(hit, here, self.source) + 1)[: len(stop)]
        self.taken = Signal(name="taken")
        with m.If(self.go):
            count = Mux(self.event, self.count, fields.rows)
            m.d.sync += [more.eq(1), self.source.eq(fields.source), stop.eq(fields.source + count)]
        with m.Elif(hit | looks[0]):
            m.d.sync += [self.source.eq(following), more.eq(following != stop)]
        with m.If(hit):
            m.d.sync += [
                found.eq(1),
                number.eq(Mux(self.event, self.index, here - fields.source)),
                value.eq(self.x),
            ]
        with m.Elif(self.taken):
            m.d.sync += found.eq(0)
        busy = more | found | Cat(*looks[1:]).any()
        return found, number, value, busy

    def _issue(
        self, m: Module, found: Value, number: Value, value: Value
    ) -> tuple[Value, Value, Value]:
        """Slot after slot of what was found: (valid, its base in the stencil, at work)."""
        held = self.held
        names = ("running", "slot", "period_ends")
        running, slot, last_cycle = (Signal(name=name) for name in names)
        cycle = Signal.like(held["last_cycle"], name="cycle")
        place = Signal.like(held["stencil"], name="place")
        self.element = Signal.like(number, name="element")
        self.operand = Signal.like(value, name="operand")
        m.d.comb += self.taken.eq(found & (~running | last_cycle))
        # Every period has two cycles at least.
        with m.If(self.taken):
            m.d.sync += [
                running.eq(1),
                cycle.eq(0),
                last_cycle.eq(0),
                slot.eq(1),
                place.eq(held["stencil"]),
                self.element.eq(number),
                self.operand.eq(value),
            ]
        with m.Else():
            m.d.sync += [
                running.eq(running & ~last_cycle),
                cycle.eq(cycle + 1),
                last_cycle.eq(cycle + 1 == held["last_cycle"]),
                slot.eq(slot & (cycle != held["last_slot"])),
                place.eq(place + held["positions"]),
            ]
        return running & slot, place, running

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
