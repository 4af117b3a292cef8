"""The interpreter of requests: executes their commands on a core, and sends the reply."""

from __future__ import annotations

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...compiler.encoding import bits_for
from ...compiler.protocol import (
    ADDRESS_BITS,
    FRAME_BYTES,
    HEADER,
    LINK_BYTES,
    LINK_FIELDS,
    LINK_MEMORY,
    MAGIC,
    SEQUENCES,
    VERSION,
    Opcode,
    Status,
    element_bytes,
)
from ...compiler.shape import Shape
from ..host import READ_CYCLES, HostBus, memory_table
from ..primitives import READ_LATENCY
from .frames import DAMAGED_BITS

CYCLE_BITS = 8 * LINK_FIELDS["cycles"][1]
COUNT_BITS = 16


class Interpreter(wiring.Component):
    """Executes requests.

    Parameters
    ----------
    shape : Shape
    clock_hz : int
        What the hardware tells about its clock.

    Attributes
    ----------
    present, length : in; done : bool, out; position : out; data : in; damaged : in
        The request, from a `FrameReceiver`.
    reply, reply_valid : out; reply_ready : in; finish : out; finished : in
        The reply, to a `FrameSender`.
    start, start_address : out; idle : in
    memory, address, write_data, write : out; host_q : in
        The core.
    """

    def __init__(self, shape: Shape, clock_hz: int) -> None:
        self.shape = shape
        self.clock_hz = clock_hz
        bus = HostBus(shape).members
        super().__init__(
            {
                "present": In(1),
                "length": In(bits_for(FRAME_BYTES + 1)),
                "done": Out(1),
                "position": Out(bits_for(FRAME_BYTES)),
                "data": In(8),
                "damaged": In(DAMAGED_BITS),
                "reply": Out(8),
                "reply_valid": Out(1),
                "reply_ready": In(1),
                "finish": Out(1),
                "finished": In(1),
                "start": Out(1),
                "start_address": Out(bits_for(shape.instruction_words)),
                "idle": In(1),
                "memory": Out(bus["memory"].shape),
                "address": Out(bus["address"].shape),
                "write_data": Out(bus["data"].shape),
                "write": Out(1),
                "host_q": In(bus["data"].shape),
            }
        )
        largest = max(len(self.address), len(self.start_address))
        if largest > ADDRESS_BITS:
            raise ValueError(f"addresses of {largest} bits do not fit the link's {ADDRESS_BITS}")

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cycles = Signal(CYCLE_BITS)
        with m.If(self.start | ~self.idle):
            m.d.sync += cycles.eq(cycles + 1)

        # The byte at `position` is there some cycles after the position has changed.
        age = Signal(range(READ_LATENCY + 2))
        here = self.present & (age == READ_LATENCY + 1)
        over = self.position == self.length
        take = Signal()
        with m.If(~self.present | take):
            m.d.sync += age.eq(0)
        with m.Elif(~here):
            m.d.sync += age.eq(age + 1)
        with m.If(~self.present):
            m.d.sync += self.position.eq(0)
        with m.Elif(take):
            m.d.sync += self.position.eq(self.position + 1)

        # A header as it stands after its last byte; address and count then count in place.
        opcode, memory, address = Signal(8), Signal(8), Signal(ADDRESS_BITS)
        count = Signal(COUNT_BITS)
        header = Cat(count, address, memory, opcode)
        assert len(header) == 8 * HEADER.size
        missing = Signal(range(HEADER.size + 1))
        elements = Signal(len(self.write_data))
        width = self._element_width(memory)
        left = Signal.like(width)
        following = [address.eq(address + 1), count.eq(count - 1)]
        m.d.comb += [
            self.memory.eq(memory),
            self.address.eq(address),
            self.write_data.eq(elements),
            self.start_address.eq(address),
        ]
        status = Signal(range(len(Status)))
        synchronised, last = Signal(), Signal(range(SEQUENCES))
        repeated, has_read = Signal(), Signal()
        settle = Signal(range(READ_CYCLES + 1))

        with m.FSM():
            with m.State("SEQUENCE"):
                number, forced = self.data[:-1], self.data[-1]
                same = synchronised & (number == last)
                follows = synchronised & (number == (last + 1)[: len(last)])
                accepted = forced | same | follows
                m.d.comb += [self.reply.eq(self.data), self.reply_valid.eq(here)]
                m.d.sync += has_read.eq(0)
                with m.If(here & self.reply_ready):
                    m.d.comb += take.eq(1)
                    m.d.sync += [
                        repeated.eq(same & ~forced),
                        status.eq(Mux(accepted, Status.OK, Status.OUT_OF_SEQUENCE)),
                    ]
                    with m.If(accepted):
                        m.d.sync += [last.eq(number), synchronised.eq(1)]
                        m.next = "COMMAND"
                    with m.Else():
                        m.next = "STATUS"
            with m.State("COMMAND"):
                m.d.sync += missing.eq(HEADER.size)
                m.next = "HEADER"
                with m.If(over):
                    m.next = "STATUS"
            with m.State("HEADER"):
                with m.If(missing == 0):
                    m.next = "DISPATCH"
                with m.Elif(over):
                    m.d.sync += status.eq(Status.MALFORMED)
                    m.next = "STATUS"
                with m.Elif(here):
                    m.d.comb += take.eq(1)
                    m.d.sync += [
                        header.eq(Cat(self.data, header)[: len(header)]),
                        missing.eq(missing - 1),
                    ]
            with m.State("DISPATCH"):
                m.d.sync += [left.eq(width), settle.eq(0)]
                changes = (opcode == Opcode.WRITE) | (opcode == Opcode.FILL)
                with m.If(changes & self._is_core(memory) & ~has_read):
                    m.next = "COLLECT"
                with m.Elif((opcode == Opcode.RUN) & ~has_read):
                    m.next = "RUN"
                with m.Elif((opcode == Opcode.READ) & (width != 0)):
                    m.d.sync += has_read.eq(1)
                    m.next = "READ"
                with m.Else():
                    m.d.sync += status.eq(Status.MALFORMED)
                    m.next = "STATUS"
                with m.If((count == 0) & (opcode != Opcode.FILL)):
                    m.next = "COMMAND"
            with m.State("COLLECT"):
                with m.If(left == 0):
                    m.next = "STORE"
                with m.Elif(over):
                    m.d.sync += status.eq(Status.MALFORMED)
                    m.next = "STATUS"
                with m.Elif(here):
                    m.d.comb += take.eq(1)
                    m.d.sync += [
                        elements.eq(Cat(self.data, elements)[: len(elements)]),
                        left.eq(left - 1),
                    ]
            with m.State("STORE"):
                m.d.sync += left.eq(width)
                with m.If(count == 0):
                    m.next = "COMMAND"
                with m.Else():
                    m.d.comb += self.write.eq(~repeated)
                    m.d.sync += following
                    with m.If(count == 1):
                        m.next = "COMMAND"
                    with m.Elif(opcode == Opcode.WRITE):
                        m.next = "COLLECT"
            with m.State("READ"):
                m.d.sync += [left.eq(width - 1), settle.eq(settle + 1)]
                with m.If(settle == READ_CYCLES):
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [
                    self.reply.eq(self._byte(memory, address, left, cycles)),
                    self.reply_valid.eq(1),
                ]
                with m.If(self.reply_ready):
                    m.d.sync += [left.eq(left - 1), settle.eq(0)]
                    with m.If(left == 0):
                        m.d.sync += following
                        m.next = "READ"
                        with m.If(count == 1):
                            m.next = "COMMAND"
            with m.State("RUN"):
                with m.If(repeated | (count == 0)):
                    m.next = "COMMAND"
                with m.Elif(self.idle):
                    m.d.comb += self.start.eq(1)
                    m.d.sync += count.eq(count - 1)
                    m.next = "RUNNING"
            with m.State("RUNNING"):
                with m.If(self.idle):
                    m.next = "RUN"
            with m.State("STATUS"):
                m.d.comb += [self.reply.eq(status), self.reply_valid.eq(1)]
                with m.If(self.reply_ready):
                    m.next = "FINISH"
            with m.State("FINISH"):
                m.d.comb += self.finish.eq(1)
                with m.If(self.finished):
                    m.d.comb += self.done.eq(1)
                    m.next = "SEQUENCE"
        return m

    def _is_core(self, memory: Signal) -> Value:
        """Whether that is the number of one of the core's memories."""
        return memory < len(memory_table(self.shape))

    def _element_width(self, memory: Signal) -> Value:
        """Bytes of an element of the memory; 0 if there is no such memory."""
        widths = [element_bytes(i.bits) for i in memory_table(self.shape).values()]
        table = Array(Const(w, range(max(widths) + 1)) for w in widths)
        other = Mux(memory == LINK_MEMORY, 1, 0)
        return Mux(self._is_core(memory), table[memory[: bits_for(len(widths))]], other)

    def _byte(self, memory: Signal, address: Signal, left: Signal, cycles: Signal) -> Value:
        """Byte `left` of the element read, counted from its least significant one."""
        fixed = {
            "magic": MAGIC,
            "version": VERSION.to_bytes(2, "big"),
            "fingerprint": bytes.fromhex(self.shape.fingerprint()),
            "clock": int(self.clock_hz).to_bytes(4, "big"),
        }
        content: list[Value] = [Const(0, 8)] * (1 << bits_for(LINK_BYTES))
        for name, (first, size) in LINK_FIELDS.items():
            for n in range(size):
                if name in fixed:
                    content[first + n] = Const(fixed[name][n], 8)
                else:
                    counter = {"cycles": cycles, "damaged": self.damaged}[name]
                    content[first + n] = counter.word_select(size - 1 - n, 8)
        size = element_bytes(len(self.host_q))
        parts = Array(self.host_q[8 * n : 8 * n + 8] for n in range(size))
        link = Array(content)[address[: bits_for(LINK_BYTES)]]
        return Mux(memory == LINK_MEMORY, link, parts[left])
