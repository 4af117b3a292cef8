"""The core of a loom: everything but the link to the host."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..compiler.encoding import bits_for
from ..compiler.kernels.pipeline import memory_latency
from ..compiler.shape import Shape
from .arithmetic import delay
from .host import HOST_SIGNALS, HostBus, memory_table, pass_on, selected
from .lanes import Lanes
from .mapper import Mapper, lane_latency
from .operands import Operands, WritePort
from .primitives import add_memory
from .sequencer import Sequencer


def core_ports(shape: Shape) -> dict[str, Any]:
    """The members of a core's signature; see `Core`."""
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
    return members


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
        The addressed element, `hdl.host.read_cycles` after its address.
    trace_accumulator, trace_value, trace_event, trace_count, trace_state_0, ... : WritePort, out
        Every write of these memories, in the cycle in which it happens.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.sequencer = Sequencer(shape)
        self.operands = Operands(shape)
        self.lanes = Lanes(shape)
        self.mapper = Mapper(shape)
        super().__init__(core_ports(shape))

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
            latency=memory_latency(self.shape.machine),
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
        machine = shape.machine
        lane_bits = machine.lanes.bit_length() - 1
        lane = delay(m, self.address[:lane_bits], memory_latency(machine), "lane")
        weights = Array(
            self.lanes.weight_q.word_select(n, machine.weight_bits) for n in range(machine.lanes)
        )
        nothing = Const(0, 1)
        sources = {
            "weight": nothing,
            "accumulator": nothing,
            "value": self.operands.value_q,
            "event": self.operands.event_q,
            "count": self.operands.count_q,
            "instruction": self.sequencer.fetch_word,
            **self.mapper.memory_q,
        }
        table = memory_table(shape)
        chosen = Array(sources[name] for name in table)[self.memory]
        early = Signal(len(self.host_q))
        m.d.sync += early.eq(chosen)
        # Accumulators come through the mapper's choice of a lane; the others keep step with them.
        late = lane_latency(machine) - 1
        weight = delay(m, weights[lane], 1 + late, "weight")
        last = Mux(
            self.memory == table["weight"].number,
            weight,
            Mux(
                self.memory == table["accumulator"].number,
                self.mapper.element,
                delay(m, early, late, "early"),
            ),
        )
        m.d.sync += self.host_q.eq(last)
