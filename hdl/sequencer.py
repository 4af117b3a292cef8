"""The sequencer: fetches and decodes instructions, and hands them over.

While one instruction runs, the next one is fetched, decoded and its event count read, so that rows
are issued back to back. `compiler.timing` states in which cycle everything happens.
"""

from __future__ import annotations

from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..compiler.encoding import ALWAYS, CNV, END, EVT, MAP, UPD, Encoding, bits_for
from ..compiler.shape import Shape
from ..compiler.timing import (
    CNV_EXTENSION_WORDS,
    latencies,
    map_extension_words,
    update_extension_words,
)
from .arithmetic import register
from .host import extension_words
from .issue import Issuer, Token

MAP_FIELDS = ("source", "target", "state", "length", "kernel", "list")


UPDATE_FIELDS = ("weights", "source", "rows", "words", "gate", "rule")


CONVOLUTION_FIELDS = ("weights", "source", "rows", "target")


class ConvolutionFields(wiring.Signature):
    """The first word of a ``CNV``, field by field, valid while it runs."""

    def __init__(self, encoding: Encoding) -> None:
        super().__init__({n: Out(encoding.multiply[n].width) for n in CONVOLUTION_FIELDS})


class UpdateFields(wiring.Signature):
    """The first word of an ``UPD``, field by field, valid while it runs."""

    def __init__(self, encoding: Encoding) -> None:
        super().__init__({n: Out(encoding.update[n].width) for n in UPDATE_FIELDS})


class MapFields(wiring.Signature):
    """The first word of a ``MAP``, field by field, valid while it runs."""

    def __init__(self, encoding: Encoding) -> None:
        super().__init__({n: Out(encoding.map[n].width) for n in MAP_FIELDS})


class Sequencer(wiring.Component):
    """Runs phases.

    Parameters
    ----------
    shape : Shape

    Attributes
    ----------
    start : bool, in
        Accepted if idle; `start_address` is the phase's first instruction word.
    idle : bool, out
    fetch_address : unsigned, out; fetch_word : unsigned, in
        Instruction memory, a memory's latency apart.
    list : unsigned, out; count : unsigned, in
        Count memory, the same.
    token : Token, out
    map : MapFields, out
    map_begin : bool, out
        Handover of a ``MAP``; `map` is valid from the next cycle on.
    load, load_index, load_word : out
        An extension word of the ``MAP``.
    map_go : bool, out
        The first neuron is issued in the next cycle.
    map_end : bool, in
        ``drain - 1`` cycles after the last write of the ``MAP``.
    update, update_load, update_go, update_end
        The same of an ``UPD``, if the shape has rules. It is handed over early; `update_go` comes
        when it may begin, and does not if it is skipped. `update_end` comes one cycle before the
        next handover. Of `update` all but the rule are valid in the cycle of `update_go` already.
    update_open : bool, in
        The ``UPD`` that runs, if any, needs no more of `update` than the rule.
    learning : bool, in
        Run ``UPD``.
    convolution, convolution_begin, convolution_load, convolution_go, convolution_end
        The same of a ``CNV``, if the shape has a stencil.
    convolution_nothing : bool, in
        There is nothing to do: `convolution_go` does not come.
    map_captures : bool, out
        Of a ``MAP``: the last extension word is about captures; if the shape has post memories.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.encoding = e = Encoding(shape)
        address = bits_for(shape.instruction_words)
        learning: dict[str, Any] = {}
        if shape.rules:
            learning = {
                "update": Out(UpdateFields(e)),
                **dict.fromkeys(("update_load", "update_go"), Out(1)),
                **dict.fromkeys(("update_end", "update_open", "learning"), In(1)),
            }
        if shape.post_memories:
            learning["map_captures"] = Out(1)
        convolution: dict[str, Any] = {}
        if shape.stencil_words:
            outputs = ("convolution_begin", "convolution_load", "convolution_go")
            convolution = {
                "convolution": Out(ConvolutionFields(e)),
                **dict.fromkeys(outputs, Out(1)),
                **dict.fromkeys(("convolution_end", "convolution_nothing"), In(1)),
            }
        super().__init__(
            {
                **learning,
                **convolution,
                "start": In(1),
                "start_address": In(address),
                "idle": Out(1, init=1),
                "fetch_address": Out(address),
                "fetch_word": In(e.word_bits),
                "list": Out(e.multiply["list"].width),
                "count": In(bits_for(shape.event_words + 1)),
                "token": Out(Token(e)),
                "map": Out(MapFields(e)),
                "map_begin": Out(1),
                "load": Out(1),
                "load_index": Out(bits_for(extension_words(shape) + 1)),
                "load_word": Out(e.word_bits),
                "map_go": Out(1),
                "map_end": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The component as an Amaranth module."""
        m = Module()
        e = self.encoding
        at = latencies(self.shape.machine)
        m.submodules.issuer = issuer = Issuer(e)
        connect(m, issuer.token, flipped(self.token))

        following = Signal(e.word_bits)
        head = {n: following[f.start : f.start + f.width] for n, f in e.head.items()}
        rows = following[e.multiply["rows"].start :][: e.multiply["rows"].width]
        opcode, clear = head["opcode"], head["clear"]
        is_event, is_map, is_end = opcode == EVT, opcode == MAP, opcode == END
        is_update = opcode == UPD

        handover, multiply = Signal(), Signal()
        self._begin_update, self._update_decided = Signal(name="begin_update"), Signal()
        ready = self._fetch(m, following, handover, multiply)
        m.d.comb += self.list.eq(following[e.multiply["list"].start :][: len(self.list)])

        # What the event count makes of the instruction: settled by the time it is ready.
        empty = self.count == 0
        m.d.sync += [
            issuer.rows_less_one.eq(Mux(is_event, Mux(empty, 1, self.count), rows) - 1),
            issuer.skip.eq(is_event & empty & ~clear),
            issuer.zero.eq(is_event & empty),
        ]
        m.d.comb += [issuer.begin.eq(multiply), issuer.word.eq(following)]

        in_flight: list[Value] = [issuer.running]
        for n in range(1, at.row + at.drain):
            in_flight.append(register(m, in_flight[-1], f"in_flight_{n}"))
        map_active = Signal()
        drained = ~Cat(*in_flight).any()
        soon_drained = ~Cat(*in_flight[:-1]).any() & (~map_active | self.map_end)
        no_hazard = Mux(
            clear,
            ~issuer.running | issuer.finishing,
            ~Cat(*in_flight[: at.gap]).any(),
        )
        waits = head["wait"] | is_map | is_end
        adds_up = handover & ~is_map & ~is_end
        ready_too = ~map_active
        if self.shape.stencil_words:
            is_convolution = opcode == CNV
            convolves = self._convolution(m, following, handover & is_convolution)
            waits, adds_up = waits | is_convolution, adds_up & ~is_convolution
            ready_too = ready_too & ~convolves
            soon_drained = soon_drained & (~convolves | self.convolution_end)
        may_start: Value = Mux(waits, drained, no_hazard) & ready_too
        if self.shape.rules:
            m.d.comb += self._begin_update.eq(handover & is_update)
            update_active = self._update(m, following, soon_drained, empty)
            adds_up = adds_up & ~is_update
            may_start = is_update | (may_start & ~update_active)
        m.d.comb += [
            handover.eq(~self.idle & ready & may_start),
            multiply.eq(adds_up),
            self.map_begin.eq(handover & is_map),
        ]
        with m.If(self.start & self.idle):
            m.d.sync += self.idle.eq(0)
        with m.Elif(handover & is_end):
            m.d.sync += self.idle.eq(1)
        with m.If(self.map_begin):
            m.d.sync += map_active.eq(1)
            for name in MAP_FIELDS:
                f = e.map[name]
                m.d.sync += getattr(self.map, name).eq(following[f.start : f.start + f.width])
        with m.Elif(self.map_end):
            m.d.sync += map_active.eq(0)
        if self.shape.post_memories:
            with m.If(self.map_begin):
                m.d.sync += self.map_captures.eq(clear)
        return m

    def _update(self, m: Module, following: Signal, may_begin: Value, empty: Value) -> Signal:
        """Hand an ``UPD`` over; returns whether one is at work.

        It loads its parameters at once, and stays the following instruction, whose event count is
        looked at, until it begins.
        """
        active = Signal(name="update_active")
        loaded = Signal(name="update_loaded")
        decided = self._update_decided
        now = (self._loaded | loaded) & may_begin & (~active | self.update_end)
        m.d.comb += decided.eq(now)
        m.d.sync += loaded.eq((self._loaded | loaded) & ~now)
        with m.If(self.update_go):
            m.d.sync += active.eq(1)
        with m.Elif(self.update_end):
            m.d.sync += active.eq(0)
        pending = Signal(name="update_pending")
        with m.If(self._begin_update):
            m.d.sync += pending.eq(1)
        with m.Elif(decided):
            m.d.sync += pending.eq(0)
        for name in UPDATE_FIELDS:
            f = self.encoding.update[name]
            comes = self.update_go if name == "rule" else pending & self.update_open
            with m.If(comes):
                m.d.sync += getattr(self.update, name).eq(following[f.start : f.start + f.width])
        none = empty & (self.update.gate != ALWAYS)
        m.d.comb += self.update_go.eq(decided & self.learning & ~none)
        return active

    def _convolution(self, m: Module, following: Signal, begin: Value) -> Signal:
        """Hand a ``CNV`` over; returns whether one is at work."""
        active = Signal(name="convolution_active")
        loaded = self._convolution_loaded
        m.d.comb += self.convolution_begin.eq(begin)
        with m.If(begin):
            m.d.sync += active.eq(1)
            for name in CONVOLUTION_FIELDS:
                f = self.encoding.multiply[name]
                held = getattr(self.convolution, name)
                m.d.sync += held.eq(following[f.start : f.start + f.width])
        with m.Elif(self.convolution_end | (loaded & self.convolution_nothing)):
            m.d.sync += active.eq(0)
        m.d.comb += self.convolution_go.eq(loaded & ~self.convolution_nothing)
        return active

    def _fetch(self, m: Module, following: Signal, handover: Value, multiply: Value) -> Value:
        """Program counter, extension words, and the age of what was fetched last.

        The word at the program counter stands in `fetch_word` ``fetch`` cycles after the counter
        changed. Taking it starts a period after which the instruction is decoded.
        """
        at = latencies(self.shape.machine)
        take = Signal()
        started = self.start & self.idle
        settle: Value = started
        for n in range(1, at.fetch + 1):
            settle = register(m, settle, f"settle_{n}")

        # A MAP's extension words follow one per cycle, then the next instruction.
        counts = Array(map_extension_words(code) for code in self.shape.kernels)
        kernel = following[self.encoding.map["kernel"].start :][: len(self.map.kernel)]
        words: Value = counts[kernel]
        begin: Value = self.map_begin
        if self.shape.post_memories:
            clear = self.encoding.head["clear"]
            words = words + following[clear.start]
        if self.shape.rules:
            update_counts = Array(update_extension_words(code) for code in self.shape.rules)
            rule = following[self.encoding.update["rule"].start :][: len(self.update.rule)]
            words = Mux(self._begin_update, update_counts[rule], words)
            begin = begin | self._begin_update
        if self.shape.stencil_words:
            words = Mux(self.convolution_begin, CNV_EXTENSION_WORDS, words)
            begin = begin | self.convolution_begin
        to_advance = Signal(range(extension_words(self.shape) + 1))
        advance = to_advance != 0
        total = Signal.like(to_advance)
        with m.If(begin):
            m.d.sync += [to_advance.eq(words), total.eq(words)]
        with m.Elif(advance):
            m.d.sync += to_advance.eq(to_advance - 1)

        begun: Value = begin
        for n in range(1, at.fetch + 1):
            begun = register(m, begun, f"begun_{n}")
        loading, index = Signal(), Signal.like(self.load_index)
        in_load = begun | loading
        at_end = in_load & (index == total)
        with m.If(in_load):
            m.d.sync += [loading.eq(~at_end), index.eq(Mux(at_end, 0, index + 1))]
        load, loaded = in_load & ~at_end, at_end
        over: Value = at_end
        if self.shape.rules:
            for_update = Signal()
            with m.If(begin):
                m.d.sync += for_update.eq(self._begin_update)
            m.d.comb += self.update_load.eq(load & for_update)
            self._loaded = loaded & for_update
            load, loaded = load & ~for_update, loaded & ~for_update
            over = loaded | self._update_decided
        if self.shape.stencil_words:
            for_convolution = Signal()
            with m.If(begin):
                m.d.sync += for_convolution.eq(self.convolution_begin)
            m.d.comb += self.convolution_load.eq(load & for_convolution)
            self._convolution_loaded = loaded & for_convolution
            load, loaded = load & ~for_convolution, loaded & ~for_convolution
        m.d.comb += [
            self.load.eq(load),
            self.load_index.eq(index),
            self.load_word.eq(self.fetch_word),
            self.map_go.eq(loaded),
            take.eq(settle | multiply | over),
        ]
        counter = self.fetch_address
        with m.If(started):
            m.d.sync += counter.eq(self.start_address)
        with m.Elif(take | advance):
            m.d.sync += counter.eq(counter + 1)

        age = Signal(range(at.period + 1))
        ready = age == at.period
        with m.If(take):
            m.d.sync += [following.eq(self.fetch_word), age.eq(1)]
        with m.Elif(handover | started):
            m.d.sync += age.eq(0)
        with m.Elif((age != 0) & ~ready):
            m.d.sync += age.eq(age + 1)
        return ready
