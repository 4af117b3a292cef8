"""The interpreter of requests: executes their commands on a core, and sends the reply."""

from __future__ import annotations

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...compiler.encoding import bits_for
from ...compiler.kernels.pipeline import memory_latency
from ...compiler.protocol import (
    ADDRESS_BITS,
    FRAME_BYTES,
    HEADER,
    LINK_BYTES,
    LINK_FIELDS,
    MAGIC,
    SEQUENCES,
    VERSION,
    Opcode,
    Status,
    element_bytes,
)
from ...compiler.shape import Shape
from ..host import READ_CYCLES, HostBus, memory_table
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
        The request, from a `FrameReceiver` whose latency is that of the core's memories.
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
        self.longest = element_bytes(len(self.host_q))
        self.address_bits = max(len(self.address), len(self.start_address), bits_for(LINK_BYTES))
        if self.address_bits > ADDRESS_BITS:
            raise ValueError(f"addresses of {self.address_bits} bits exceed {ADDRESS_BITS}")

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cycles = Signal(CYCLE_BITS)
        with m.If(self.start | ~self.idle):
            m.d.sync += cycles.eq(cycles + 1)

        # The byte at `position` is there some cycles after the position has changed.
        latency = memory_latency(self.shape.machine)
        age = Signal(range(latency + 1))
        here = self.present & (age == latency)
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

        opcode = Signal(8)
        memory = Signal(8)
        address = Signal(self.address_bits)
        count = Signal(COUNT_BITS)
        fields = Cat(opcode, memory, address, Signal(ADDRESS_BITS - self.address_bits), count)
        elements = Signal(8 * self.longest)
        left = Signal(range(max(HEADER.size, self.longest, READ_CYCLES) + 1))
        last_left = self._last_left(memory)
        is_link = memory[-1]
        is_core = memory < len(memory_table(self.shape))
        following = [address.eq(address + 1), count.eq(count - 1)]
        m.d.comb += [
            self.memory.eq(memory),
            self.address.eq(address),
            self.write_data.eq(elements),
            self.start_address.eq(address),
        ]
        status = Signal(range(len(Status)))
        synchronised = Signal()
        last = Signal(range(SEQUENCES))
        repeated = Signal()
        has_read = Signal()
        writes = Signal()
        m.d.comb += self.write.eq(writes)

        load = Signal()
        shift = Signal()
        low = Mux(is_link, self._link_byte(address, cycles), self.host_q[:8])
        read = Cat(low, self.host_q[8:])
        with m.If(load | shift):
            m.d.sync += elements.eq(Mux(load, read, Cat(elements[8:], self.data)))

        with m.FSM():
            with m.State("SEQUENCE"):
                number, forced = self.data[:-1], self.data[-1]
                ahead = (number - last)[: len(last)]
                same = synchronised & (ahead == 0)
                accepted = forced | (synchronised & (ahead[1:] == 0))
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
                m.d.sync += left.eq(HEADER.size)
                m.next = "HEADER"
                with m.If(over):
                    m.next = "STATUS"
            with m.State("HEADER"):
                with m.If(left == 0):
                    m.next = "DISPATCH"
                with m.Elif(over):
                    m.d.sync += status.eq(Status.MALFORMED)
                    m.next = "STATUS"
                with m.Elif(here):
                    m.d.comb += take.eq(1)
                    m.d.sync += left.eq(left - 1)
                    for n in range(HEADER.size):
                        with m.If(left == HEADER.size - n):
                            m.d.sync += fields.word_select(n, 8).eq(self.data)
            with m.State("DISPATCH"):
                m.d.sync += left.eq(self.longest)
                changes = (opcode == Opcode.WRITE) | (opcode == Opcode.FILL)
                with m.If(changes & is_core & ~has_read):
                    m.next = "COLLECT"
                with m.Elif((opcode == Opcode.RUN) & ~has_read):
                    m.next = "RUN"
                with m.Elif((opcode == Opcode.READ) & (is_core | is_link)):
                    m.d.sync += [has_read.eq(1), left.eq(READ_CYCLES)]
                    m.next = "READ"
                with m.Else():
                    m.d.sync += status.eq(Status.MALFORMED)
                    m.next = "STATUS"
                with m.If((count == 0) & (opcode != Opcode.FILL)):
                    m.next = "COMMAND"
            with m.State("COLLECT"):
                # Bytes come in at the top; after the last one, the element sinks to the bottom.
                sinks = left < last_left
                with m.If(left == 0):
                    m.next = "STORE"
                with m.Elif(over & ~sinks):
                    m.d.sync += status.eq(Status.MALFORMED)
                    m.next = "STATUS"
                with m.Elif(here | sinks):
                    m.d.comb += [take.eq(~sinks), shift.eq(1)]
                    m.d.sync += left.eq(left - 1)
            with m.State("STORE"):
                m.d.sync += left.eq(self.longest)
                with m.If(count == 0):
                    m.next = "COMMAND"
                with m.Else():
                    m.d.sync += writes.eq(~repeated)
                    m.next = "WRITE"
            with m.State("WRITE"):
                # The strobe comes out of a register, for it goes to all memories.
                m.d.sync += [writes.eq(0), *following]
                m.next = "STORE"
                with m.If(count == 1):
                    m.next = "COMMAND"
                with m.Elif(opcode == Opcode.WRITE):
                    m.next = "COLLECT"
            with m.State("READ"):
                m.d.sync += left.eq(left - 1)
                with m.If(left == 0):
                    m.d.comb += load.eq(1)
                    m.d.sync += left.eq(self.longest)
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [self.reply.eq(elements[:8]), self.reply_valid.eq(1)]
                with m.If(self.reply_ready):
                    m.d.comb += shift.eq(1)
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == last_left):
                        m.d.sync += [*following, left.eq(READ_CYCLES)]
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

    def _last_left(self, memory: Signal) -> Value:
        """What `left` is at an element's last byte, counting down from `longest`."""
        widths = [element_bytes(i.bits) for i in memory_table(self.shape).values()]
        table = Array(Const(self.longest - w + 1, range(self.longest + 1)) for w in widths)
        return Mux(memory[-1], self.longest, table[memory[: bits_for(len(widths))]])

    def _link_byte(self, number: Value, cycles: Signal) -> Value:
        """A byte of `LINK_MEMORY`."""
        fixed = {
            "magic": MAGIC,
            "version": VERSION.to_bytes(2, "little"),
            "fingerprint": bytes.fromhex(self.shape.fingerprint()),
            "clock": int(self.clock_hz).to_bytes(4, "little"),
        }
        counters = {"cycles": cycles, "damaged": self.damaged}
        constants = [0] * 16
        variable: list[Value] = [Const(0, 8)] * 8
        for name, (first, size) in LINK_FIELDS.items():
            for n in range(size):
                if name in fixed:
                    constants[first + n] = fixed[name][n]
                else:
                    variable[first - len(constants) + n] = counters[name].word_select(n, 8)
        table = Array(Const(byte, 8) for byte in constants)
        return Mux(number[4], Array(variable)[number[:3]], table[number[:4]])
