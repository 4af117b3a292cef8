"""The core of a loom: everything but the link to the host."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..compiler.encoding import Encoding, bits_for
from ..compiler.kernels.pipeline import memory_latency
from ..compiler.shape import Shape
from .arithmetic import delay
from .capture import Captures
from .convolver import Convolver
from .host import HOST_SIGNALS, HostBus, memory_table, pass_on, selected
from .issue import Token
from .lanes import Lanes
from .mapper import Mapper, lane_latency
from .operands import Operands, WritePort
from .primitives import add_memory
from .sequencer import Sequencer
from .updater import Updater


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
    for name, (words, bits) in learning_traces(shape).items():
        members[f"trace_{name}"] = Out(WritePort(words, bits))
    return members


def learning_traces(shape: Shape) -> dict[str, tuple[int, int]]:
    """Names of the further memories that are traced in hardware that learns: words, bits."""
    if not shape.rules:
        return {}
    machine, plastic = shape.machine, shape.plastic_words
    traces = {
        "weight": (shape.weight_words, machine.lanes * machine.weight_bits),
        "residual": (plastic, machine.lanes * machine.residual_bits),
    }
    for k in range(shape.synapse_slots):
        traces[f"synapse_{k}"] = (plastic, machine.lanes * machine.state_bits)
    for r in range(shape.post_memories):
        traces[f"post_{r}"] = (shape.post_words, machine.lanes * machine.value_bits)
    return traces


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
        Every write of these memories by a phase, in the cycle in which it happens; some show the
        host's, too.
    trace_weight, trace_residual, trace_synapse_0, ..., trace_post_0, ... : WritePort, out
        The same of hardware that learns; lanes that are left alone show 0.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.sequencer = Sequencer(shape)
        self.operands = Operands(shape)
        self.lanes = Lanes(shape)
        self.mapper = Mapper(shape)
        self.updater = Updater(shape) if shape.rules else None
        self.convolver = Convolver(shape) if shape.stencil_words else None
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
        if self.updater is None:
            self._issue(m, host, sequencer.token)
        else:
            self._learning(m, host, self.updater)
        connect(m, sequencer.map, mapper.fields)
        m.d.comb += [
            operands.list.eq(sequencer.list),
            sequencer.count.eq(operands.count),
            *self._operands(),
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

    def _issue(self, m: Module, host: wiring.PureInterface, token: wiring.PureInterface) -> None:
        """Rows for operands and lanes, which a convolution has of its own."""
        sequencer, operands, lanes, convolver = (
            self.sequencer, self.operands, self.lanes, self.convolver,
        )  # fmt: skip
        if convolver is None:
            connect(m, token, operands.token, lanes.token)
            return
        m.submodules.convolver = convolver
        m.d.comb += pass_on(host, convolver.host)
        connect(m, sequencer.convolution, convolver.fields)
        reads = {"source": convolver.source, "event": convolver.event, "zero": Const(0, 1)}
        for name in Token(Encoding(self.shape)).members:
            issued, active = getattr(token, name), convolver.active
            read = Mux(active, reads[name], issued) if name in reads else issued
            row = Mux(active, getattr(convolver.token, name), issued)
            m.d.comb += [
                getattr(operands.token, name).eq(read),
                getattr(lanes.token, name).eq(row),
            ]
        m.d.comb += [
            convolver.count.eq(operands.count),
            convolver.go.eq(sequencer.convolution_go),
            convolver.load.eq(sequencer.convolution_load),
            convolver.load_word.eq(sequencer.load_word),
            convolver.x.eq(operands.x),
            convolver.index.eq(operands.index),
            convolver.value_q.eq(operands.value_q),
            sequencer.convolution_nothing.eq(convolver.nothing),
            sequencer.convolution_end.eq(convolver.end),
        ]

    def _operands(self) -> list[Any]:
        """What the lanes multiply with, and what is added to the weights' address."""
        operands, lanes, convolver = self.operands, self.lanes, self.convolver
        x, index = operands.x, operands.index
        if self.updater is not None:
            index = Mux(self.updater.by_word, self.updater.offset, index)
        if convolver is not None:
            x = Mux(convolver.active, convolver.late_x, x)
            index = Mux(convolver.active, 0, index)
        return [lanes.x.eq(x), lanes.index.eq(index)]

    def _learning(self, m: Module, host: wiring.PureInterface, updater: Updater) -> None:
        """The updater, the post memories, and the switch that turns learning on and off."""
        shape = self.shape
        sequencer, operands, lanes, mapper = (
            self.sequencer, self.operands, self.lanes, self.mapper,
        )  # fmt: skip
        m.submodules.updater = updater
        m.d.comb += pass_on(host, updater.host)
        self.learning = learning = Signal(init=1, name="learning")
        by_host = host.write & selected(host, shape, "control")  # type: ignore[attr-defined]
        with m.If(host.idle & by_host):  # type: ignore[attr-defined]
            m.d.sync += learning.eq(host.data[0])  # type: ignore[attr-defined]
        token = Token(Encoding(shape)).create()
        updates = {"source": updater.source, "weights": updater.weights, "event": updater.event}
        for name in Token(Encoding(shape)).members:
            issued = getattr(sequencer.token, name)
            wanted = Mux(updater.active, updates[name], issued) if name in updates else issued
            m.d.comb += getattr(token, name).eq(wanted)
        self._issue(m, host, token)
        connect(m, sequencer.update, updater.fields)
        connect(m, updater.write_weight, lanes.write_weight)
        m.d.comb += [
            sequencer.learning.eq(learning),
            sequencer.update_end.eq(updater.end),
            sequencer.update_open.eq(updater.open),
            updater.count.eq(operands.count),
            updater.go.eq(sequencer.update_go),
            updater.load.eq(sequencer.update_load),
            updater.load_index.eq(sequencer.load_index),
            updater.load_word.eq(sequencer.load_word),
            updater.event_q.eq(operands.event_q),
            updater.weight_address.eq(lanes.weight_address),
            updater.weight_q.eq(lanes.weight_q),
            mapper.update_go.eq(sequencer.update_go),
            mapper.update_end.eq(updater.end),
            mapper.update_population.eq(updater.population),
            mapper.updates.eq(updater.active),
            mapper.update_address.eq(updater.state_address),
            mapper.update_saturations.eq(updater.saturations),
            *(
                getattr(updater, f"state_{k}").eq(mapper.memory_q[f"state{k}"])
                for k in range(shape.slots)
            ),
        ]
        traced = ["weight", "residual", *(f"synapse_{k}" for k in range(shape.synapse_slots))]
        for name in traced:
            connect(m, getattr(updater, f"did_{name}"), flipped(getattr(self, f"trace_{name}")))
        if not shape.post_memories:
            return
        m.submodules.captures = captures = Captures(shape)
        m.d.comb += [
            *pass_on(host, captures.host),
            captures.begin.eq(sequencer.map_begin),
            captures.go.eq(sequencer.map_go),
            captures.load.eq(sequencer.load),
            captures.load_word.eq(sequencer.load_word),
            captures.captures.eq(sequencer.map_captures),
            captures.last.eq(mapper.last),
        ]
        for k in range(shape.slots):
            did = getattr(mapper, f"did_state_{k}")
            m.d.comb += [
                getattr(captures, f"writes_{k}").eq(did.enable),
                getattr(captures, f"state_{k}").eq(did.data),
            ]
        for r in range(shape.post_memories):
            m.d.comb += [
                getattr(captures, f"read_address_{r}").eq(getattr(updater, f"post_address_{r}")),
                getattr(updater, f"post_{r}").eq(getattr(captures, f"post_{r}")),
            ]
            port = getattr(captures, f"did_post_{r}")
            connect(m, port, flipped(getattr(self, f"trace_post_{r}")))

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
        if self.convolver is not None:
            sources["stencil"] = self.convolver.stencil_q
        wide: dict[str, Value] = {}
        if self.updater is not None:
            sources |= {**self.updater.memory_q, "control": self.learning}
            for name, info in memory_table(shape).items():
                if name.startswith("post"):
                    sources[name] = nothing
                elif name in self.updater.memory_q and info.lanes > 1:
                    words = self.updater.memory_q[name]
                    elements = Array(words.word_select(n, info.bits) for n in range(machine.lanes))
                    wide[name], sources[name] = elements[lane], nothing
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
        for name, element in wide.items():
            later = delay(m, element, 1 + late, name)
            last = Mux(self.memory == table[name].number, later, last)
        m.d.sync += self.host_q.eq(last)
