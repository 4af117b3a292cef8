"""The issuer: the two counting loops of a ``MAC`` or ``EVT``, one row of one word per cycle."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.encoding import EVT, Encoding


class Token(wiring.Signature):
    """One row of one accumulator word, as issued.

    ``valid``; ``first`` and ``last`` row of the word; ``event`` (``EVT``), ``zero`` (payload 0),
    ``clear``; ``source``, ``weights`` (for ``EVT`` without the event's row), ``target`` addresses.
    """

    def __init__(self, encoding: Encoding) -> None:
        fields = encoding.multiply
        super().__init__(
            {
                **dict.fromkeys(("valid", "first", "last", "event", "zero", "clear"), Out(1)),
                **{n: Out(fields[n].width) for n in ("source", "weights", "target")},
            }
        )


class Issuer(wiring.Component):
    """Issues the rows of one instruction after the other.

    Parameters
    ----------
    encoding : Encoding

    Attributes
    ----------
    begin : bool, in
        Take the instruction in `word`; its first row is issued in the next cycle.
    word : unsigned, in
    rows_less_one : unsigned, in
        Rows to issue per word, less one.
    skip : bool, in
        Issue nothing.
    zero : bool, in
        The payload of the only row is 0.
    token : Token, out
    running, finishing : bool, out
        A row is being issued; it is the last one of its instruction.
    """

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        super().__init__(
            {
                "begin": In(1),
                "word": In(encoding.word_bits),
                "rows_less_one": In(encoding.multiply["rows"].width),
                "skip": In(1),
                "zero": In(1),
                "token": Out(Token(encoding)),
                "running": Out(1),
                "finishing": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The component as an Amaranth module."""
        m = Module()
        t = self.token
        f = {
            name: self.word[field.start : field.start + field.width]
            for name, field in self.encoding.multiply.items()
        }
        rows, row = Signal.like(self.rows_less_one), Signal.like(self.rows_less_one)
        one_row, last_row, last_word = Signal(), Signal(), Signal()
        words_left = Signal.like(f["words"])
        source = Signal.like(f["source"])
        # The matrix lies word after word, all rows of each: ``MAC`` reads straight through it.
        height = Signal.like(f["rows"])
        m.d.comb += [
            t.valid.eq(self.running),
            t.last.eq(last_row),
            self.finishing.eq(self.running & last_row & last_word),
        ]
        # ``MAC``: the next row. ``EVT``: nothing, but after the last row the next word's first row.
        jump = Mux(t.event & last_row, height, 0)
        further = (Cat(Const(1, 1), t.weights) + Cat(~t.event, jump))[1 : len(t.weights) + 1]
        with m.If(self.begin):
            m.d.sync += [
                self.running.eq(~self.skip),
                rows.eq(self.rows_less_one),
                row.eq(self.rows_less_one),
                one_row.eq(self.rows_less_one == 0),
                last_row.eq(self.rows_less_one == 0),
                words_left.eq(f["words"] - 1),
                last_word.eq(f["words"] == 1),
                source.eq(f["source"]),
                height.eq(f["rows"]),
                t.first.eq(1),
                t.event.eq(f["opcode"] == EVT),
                t.zero.eq(self.zero),
                t.clear.eq(f["clear"]),
                t.source.eq(f["source"]),
                t.weights.eq(f["weights"]),
                t.target.eq(f["target"]),
            ]
        with m.Elif(self.running & last_row):
            m.d.sync += [
                self.running.eq(~last_word),
                row.eq(rows),
                last_row.eq(one_row),
                words_left.eq(words_left - 1),
                last_word.eq(words_left == 1),
                t.first.eq(1),
                t.source.eq(source),
                t.weights.eq(further),
                t.target.eq(t.target + 1),
            ]
        with m.Elif(self.running):
            m.d.sync += [
                row.eq(row - 1),
                last_row.eq(row == 1),
                t.first.eq(0),
                t.source.eq(t.source + 1),
                t.weights.eq(further),
            ]
        return m
