"""The lanes: weight memories, multipliers and accumulators, one of each per lane.

A row's token finds its operand and event, the address of its weights, the weights, the products;
`Latencies.row` cycles after its issue they have been added, and the last row's sum is written.
"""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.encoding import Encoding, bits_for
from ..compiler.kernels.pipeline import multiplier_latency
from ..compiler.shape import Shape
from ..compiler.timing import ADDRESS_STEPS, latencies
from .arithmetic import Steps, delay, register
from .host import HostBus, selected
from .issue import Token
from .operands import LanesWritePort, WritePort
from .primitives import add_accumulator, add_memory


class Lanes(wiring.Component):
    """Multiply and accumulate, one row of a word per cycle.

    Parameters
    ----------
    shape : Shape

    Attributes
    ----------
    host : HostBus, in
    token : Token, in
    x, index : in
        From the operands; an update by post neurons has the offset of its word instead of an index.
    map_reads : bool, in; map_address : unsigned, in
        The mapper reads accumulators.
    word : unsigned, out
        The accumulator word read, a memory's latency after its address.
    did_accumulator : WritePort, out
        What is written.
    weight_q : unsigned, out
        The lanes' weights side by side.
    weight_address : unsigned, out; write_weight : LanesWritePort, in
        Read address of the weights; what is learned. Only if the shape has rules.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        machine = shape.machine
        word = machine.lanes * machine.accumulator_bits
        learning: dict[str, Any] = {}
        if shape.rules:
            port = LanesWritePort(shape.weight_words, machine.lanes, machine.weight_bits)
            learning = {
                "weight_address": Out(bits_for(shape.weight_words)),
                "write_weight": In(port),
            }
        super().__init__(
            {
                **learning,
                "host": In(HostBus(shape)),
                "token": In(Token(Encoding(shape))),
                "x": In(signed(machine.value_bits)),
                "index": In(max(machine.index_bits, bits_for(shape.weight_words))),
                "map_reads": In(1),
                "map_address": In(bits_for(shape.accumulator_words)),
                "word": Out(word),
                "did_accumulator": Out(WritePort(shape.accumulator_words, word)),
                "weight_q": Out(machine.lanes * machine.weight_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The component as an Amaranth module."""
        m = Module()
        machine, host, token = self.shape.machine, self.host, self.token
        lane_bits = machine.lanes.bit_length() - 1
        host_word = host.address[lane_bits:]
        weight_bits = bits_for(self.shape.weight_words)

        at = latencies(machine)

        # Operand and row (0 for a MAC), address of the weights.
        steps = Steps(m, machine.operations_per_stage, ADDRESS_STEPS)
        base = delay(m, token.weights, at.memory, "weights")
        x, row, base = steps.after({"x": self.x, "row": self.index, "base": base})
        x, address = steps.after({"x_address": x, "address": (base + row)[:weight_bits]})
        x = delay(m, x, at.memory, "x_weight")

        product_at = at.row - 1
        if self.shape.rules:
            m.d.comb += self.weight_address.eq(Mux(host.idle, host_word[:weight_bits], address))
            # The host's writes come a cycle later: it is far from its bus to all the lanes.
            late_word = register(m, host_word[:weight_bits], "late_word")
            late_data = register(m, host.data[: machine.weight_bits], "late_data")

        first = delay(m, token.first, product_at, "first")
        clear = delay(m, token.clear, product_at, "clear")
        done = delay(m, token.valid & token.last, at.row, "done")
        prior_address = delay(m, token.target, product_at - at.memory, "target")
        target = delay(m, prior_address, at.row - product_at + at.memory, "target_late")

        sums: list[Value] = []
        for lane in range(machine.lanes):
            weight = Signal(signed(machine.weight_bits), name=f"weight_{lane}")
            total = Signal(signed(machine.accumulator_bits), name=f"total_{lane}")
            here = host.address[:lane_bits] == lane if lane_bits else Const(1)
            by_host = host.write & selected(host, self.shape, "weight") & here
            write = (by_host, host_word[:weight_bits], host.data[: machine.weight_bits])
            if self.shape.rules:
                learned = self.write_weight
                mine = register(m, by_host, f"host_writes_{lane}")
                write = (
                    Mux(host.idle, mine, learned.enable[lane]),
                    Mux(host.idle, late_word, learned.address),
                    Mux(host.idle, late_data, learned.data.word_select(lane, len(late_data))),
                )
            add_memory(
                m,
                f"weights_{lane}",
                self.shape.weight_words,
                write=write,
                read_address=Mux(host.idle, host_word[:weight_bits], address),
                read_data=weight,
                latency=at.memory,
                shared=not self.shape.rules,
            )
            prior = self.word.word_select(lane, machine.accumulator_bits).as_signed()
            before = Signal(signed(machine.accumulator_bits), name=f"before_{lane}")
            m.d.comb += before.eq(Mux(first, Mux(clear, 0, prior), total))
            # Idle, the register is 0: that is what the host writes into accumulators.
            add_accumulator(
                m,
                f"accumulator_{lane}",
                (weight, x.as_signed()),
                before=before,
                clear=host.idle,
                total=total,
                latency=multiplier_latency(machine),
            )
            sums.append(total)
            m.d.comb += self.weight_q.word_select(lane, machine.weight_bits).eq(weight)

        did = self.did_accumulator
        by_host = host.write & selected(host, self.shape, "accumulator")
        m.d.comb += [
            did.enable.eq(Mux(host.idle, by_host, done)),
            did.address.eq(Mux(host.idle, host_word, target)),
            did.data.eq(Cat(*sums)),
        ]
        add_memory(
            m,
            "accumulators",
            self.shape.accumulator_words,
            write=(did.enable, did.address, did.data),
            read_address=Mux(
                host.idle, host_word, Mux(self.map_reads, self.map_address, prior_address)
            ),
            read_data=self.word,
            latency=at.memory,
        )
        return m
