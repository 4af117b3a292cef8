"""The core of a loom: everything but the link to the host."""

from __future__ import annotations

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..compiler.encoding import bits_for
from ..compiler.shape import Shape
from .arithmetic import delay, register
from .host import HOST_SIGNALS, READ_CYCLES, HostBus, memory_table, pass_on, selected
from .lanes import Lanes
from .mapper import Mapper
from .operands import Operands, WritePort
from .primitives import READ_LATENCY, add_memory
from .sequencer import Sequencer


class Core(wiring.Component):
    """Sequencer, operands, lanes and mapper, with a port for the host and one for the trace.

    Parameters
    ----------
    shape : Shape

    Attributes
    ----------
    start, start_address : in
        Run the phase whose first instruction word is there; accepted while idle.
    idle : bool, out
    memory, address, data, write : in
        The host's bus (`hdl.host.HostBus`); to be used while idle only.
    host_q : unsigned, out
        The addressed element, `READ_CYCLES` cycles after its address.
    trace_accumulator, trace_value, trace_event, trace_count, trace_state_0, ... : WritePort, out
        Every write of these memories, in the cycle in which it happens.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.sequencer = Sequencer(shape)
        self.operands = Operands(shape)
        self.lanes = Lanes(shape)
        self.mapper = Mapper(shape)
        machine = shape.machine
        bus = HostBus(shape).members
        word = machine.lanes * machine.accumulator_bits
        event_bits = machine.value_bits + machine.index_bits
        members = {
            "start": In(1),
            "start_address": In(bits_for(shape.instruction_words)),
            "idle": Out(1),
            **{name: In(bus[name].shape) for name in HOST_SIGNALS[1:]},
            "host_q": Out(bus["data"].shape),
            "trace_accumulator": Out(WritePort(shape.accumulator_words, word)),
            "trace_value": Out(WritePort(shape.value_words, machine.value_bits)),
            "trace_event": Out(WritePort(shape.event_words, event_bits)),
            "trace_count": Out(WritePort(shape.lists, bits_for(shape.event_words + 1))),
        }
        for k in range(shape.slots):
            members[f"trace_state_{k}"] = Out(WritePort(shape.state_words, machine.state_bits))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """The component as an Amaranth module."""
        m = Module()
        m.submodules.sequencer = sequencer = self.sequencer
        m.submodules.operands = operands = self.operands
        m.submodules.lanes = lanes = self.lanes
        m.submodules.mapper = mapper = self.mapper

        host = HostBus(self.shape).create()
        m.d.comb += [
            host.idle.eq(sequencer.idle),
            *(getattr(host, n).eq(getattr(self, n)) for n in HOST_SIGNALS[1:]),
            self.idle.eq(sequencer.idle),
            sequencer.start.eq(self.start),
            sequencer.start_address.eq(self.start_address),
        ]
        for part in (operands, lanes, mapper):
            m.d.comb += pass_on(host, part.host)

        bits = bits_for(self.shape.instruction_words)
        add_memory(
            m,
            "instructions",
            self.shape.instruction_words,
            write=(
                host.write & selected(host, self.shape, "instruction"),
                host.address[:bits],
                host.data[: len(sequencer.fetch_word)],
            ),
            read_address=Mux(host.idle, host.address[:bits], sequencer.fetch_address),
            read_data=sequencer.fetch_word,
        )
        connect(m, sequencer.token, operands.token, lanes.token)
        connect(m, sequencer.map, mapper.fields)
        m.d.comb += [
            operands.list.eq(sequencer.list),
            sequencer.count.eq(operands.count),
            lanes.x.eq(operands.x),
            lanes.index.eq(operands.index),
            lanes.map_reads.eq(mapper.reads),
            lanes.map_address.eq(mapper.address),
            mapper.word.eq(lanes.word),
            mapper.begin.eq(sequencer.map_begin),
            mapper.go.eq(sequencer.map_go),
            mapper.load.eq(sequencer.load),
            mapper.load_index.eq(sequencer.load_index),
            mapper.load_word.eq(sequencer.load_word),
            sequencer.map_end.eq(mapper.end),
        ]
        for name in ("value", "event", "count"):
            connect(m, getattr(mapper, f"write_{name}"), getattr(operands, f"write_{name}"))
            connect(m, getattr(operands, f"did_{name}"), flipped(getattr(self, f"trace_{name}")))
        connect(m, lanes.did_accumulator, flipped(self.trace_accumulator))
        for k in range(self.shape.slots):
            connect(
                m, getattr(mapper, f"did_state_{k}"), flipped(getattr(self, f"trace_state_{k}"))
            )
        self._read_back(m)
        return m

    def _read_back(self, m: Module) -> None:
        """What the host reads: the data of the memory that the bus points at."""
        shape = self.shape
        late = READ_CYCLES - 1 - READ_LATENCY
        lane_bits = shape.machine.lanes.bit_length() - 1
        weights = Array(
            self.lanes.weight_q.word_select(n, shape.machine.weight_bits)
            for n in range(shape.machine.lanes)
        )
        lane = delay(m, self.address[:lane_bits], READ_LATENCY, "lane")
        weight = register(m, weights[lane], "weight_q")
        sources = {
            "weight": delay(m, weight, late - 1, "weight_late"),
            "accumulator": delay(m, self.mapper.element, late - 2, "element_late"),
            "value": delay(m, self.operands.value_q, late, "value_late"),
            "event": delay(m, self.operands.event_q, late, "event_late"),
            "count": delay(m, self.operands.count_q, late, "count_late"),
            "instruction": delay(m, self.sequencer.fetch_word, late, "instruction_late"),
        }
        for name, data in self.mapper.memory_q.items():
            sources[name] = delay(m, data, late, f"{name.replace('.', '_')}_late")
        table = memory_table(shape)
        chosen = Array(sources[name] for name in table)
        held = Signal(len(self.host_q))
        m.d.sync += held.eq(chosen[self.memory])
        m.d.comb += self.host_q.eq(held)
