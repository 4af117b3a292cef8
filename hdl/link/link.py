"""A core with its link: frames in, frames out."""

from __future__ import annotations

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...compiler.shape import Shape
from ..core import Core
from .commands import Interpreter
from .frames import FrameReceiver, FrameSender


class LinkedCore(wiring.Component):
    """A core that a host talks to in encoded bytes.

    Parameters
    ----------
    shape : Shape
    clock_hz : int
        What the hardware tells about its clock.

    Attributes
    ----------
    request, request_valid : in; request_ready : out
    reply, reply_valid : out; reply_ready : in
        Encoded bytes.
    busy : bool, out
        A request is being executed or answered.
    """

    def __init__(self, shape: Shape, clock_hz: int) -> None:
        self.shape = shape
        self.clock_hz = clock_hz
        super().__init__(
            {
                "request": In(8),
                "request_valid": In(1),
                "request_ready": Out(1),
                "reply": Out(8),
                "reply_valid": Out(1),
                "reply_ready": In(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = core = Core(self.shape)
        m.submodules.receiver = receiver = FrameReceiver()
        m.submodules.interpreter = interpreter = Interpreter(self.shape, self.clock_hz)
        m.submodules.sender = sender = FrameSender()
        m.d.comb += [
            receiver.raw.eq(self.request),
            receiver.raw_valid.eq(self.request_valid),
            self.request_ready.eq(receiver.raw_ready),
            interpreter.present.eq(receiver.present),
            interpreter.length.eq(receiver.length),
            interpreter.data.eq(receiver.data),
            interpreter.damaged.eq(receiver.damaged),
            receiver.position.eq(interpreter.position),
            receiver.done.eq(interpreter.done),
            sender.data.eq(interpreter.reply),
            sender.valid.eq(interpreter.reply_valid),
            interpreter.reply_ready.eq(sender.ready),
            sender.finish.eq(interpreter.finish),
            interpreter.finished.eq(sender.finished),
            self.busy.eq(receiver.present),
            self.reply.eq(sender.raw),
            self.reply_valid.eq(sender.raw_valid),
            sender.raw_ready.eq(self.reply_ready),
            core.start.eq(interpreter.start),
            core.start_address.eq(interpreter.start_address),
            core.memory.eq(interpreter.memory),
            core.address.eq(interpreter.address),
            core.data.eq(interpreter.write_data),
            core.write.eq(interpreter.write),
            interpreter.idle.eq(core.idle),
            interpreter.host_q.eq(core.host_q),
        ]
        return m
