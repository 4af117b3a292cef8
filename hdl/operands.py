"""Values and events: the memories that hold the vectors which the lanes multiply with."""

from __future__ import annotations

from amaranth import Module, Mux, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.encoding import Encoding, bits_for
from ..compiler.kernels.pipeline import memory_latency
from ..compiler.shape import Shape
from .arithmetic import delay
from .host import HostBus, selected
from .issue import Token
from .primitives import add_memory


class WritePort(wiring.Signature):
    """``enable``, ``address``, ``data`` of a memory's write port."""

    def __init__(self, words: int, bits: int) -> None:
        super().__init__({"enable": Out(1), "address": Out(bits_for(words)), "data": Out(bits)})


class LanesWritePort(wiring.Signature):
    """``enable`` (a bit for each lane), ``address``, ``data`` of one memory for each lane."""

    def __init__(self, words: int, lanes: int, bits: int) -> None:
        super().__init__(
            {"enable": Out(lanes), "address": Out(bits_for(words)), "data": Out(lanes * bits)}
        )


class Operands(wiring.Component):
    """Value, event and count memory.

    Parameters
    ----------
    shape : Shape

    Attributes
    ----------
    host : HostBus, in
    token : Token, in
    x : signed(value_bits), out
        The value or payload of the row, a memory's latency after its token; not registered.
    index : unsigned, out
        The event's index, at the same time.
    list : unsigned, in; count : unsigned, out
        Read port of the count memory.
    write_value, write_event, write_count : WritePort, in
        From the mapper.
    did_value, did_event, did_count : WritePort, out
        What is really written, by whom ever.
    value_q, event_q, count_q : unsigned, out
        Read data for the host.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        machine = shape.machine
        event_bits = machine.value_bits + machine.index_bits
        count_bits = bits_for(shape.event_words + 1)
        ports = {
            "value": WritePort(shape.value_words, machine.value_bits),
            "event": WritePort(shape.event_words, event_bits),
            "count": WritePort(shape.lists, count_bits),
        }
        super().__init__(
            {
                "host": In(HostBus(shape)),
                "token": In(Token(Encoding(shape))),
                "x": Out(signed(machine.value_bits)),
                "index": Out(machine.index_bits),
                "list": In(bits_for(shape.lists)),
                "count": Out(count_bits),
                **{f"write_{name}": In(port) for name, port in ports.items()},
                **{f"did_{name}": Out(port) for name, port in ports.items()},
                "value_q": Out(machine.value_bits),
                "event_q": Out(event_bits),
                "count_q": Out(count_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The component as an Amaranth module."""
        m = Module()
        machine, host, token = self.shape.machine, self.host, self.token
        depth = {
            "value": (self.shape.value_words, token.source, self.value_q),
            "event": (self.shape.event_words, token.source, self.event_q),
            "count": (self.shape.lists, self.list, self.count_q),
        }
        for name, (words, address, data) in depth.items():
            by_mapper, did = getattr(self, f"write_{name}"), getattr(self, f"did_{name}")
            by_host = host.write & selected(host, self.shape, name)
            bits = bits_for(words)
            m.d.comb += [
                did.enable.eq(Mux(host.idle, by_host, by_mapper.enable)),
                did.address.eq(Mux(host.idle, host.address, by_mapper.address)),
                did.data.eq(Mux(host.idle, host.data, by_mapper.data)),
            ]
            add_memory(
                m,
                name,
                words,
                write=(did.enable, did.address, did.data),
                read_address=Mux(host.idle, host.address[:bits], address[:bits]),
                read_data=data,
                latency=memory_latency(machine),
            )
        latency = memory_latency(machine)
        event = delay(m, token.event, latency, "event")
        zero = delay(m, token.zero, latency, "zero")
        payload = Mux(zero, 0, self.event_q[: machine.value_bits])
        m.d.comb += [
            self.x.eq(Mux(event, payload, self.value_q)),
            # No event, no row: what is added to the weights' address is 0 for a MAC.
            self.index.eq(Mux(event, self.event_q[machine.value_bits :], 0)),
            self.count.eq(self.count_q),
        ]
        return m
