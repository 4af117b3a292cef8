"""The blocks of the link side by side in one design, for link_benches.py."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, connect, flipped

from spikeloom.hdl import primitives
from spikeloom.hdl.link.cobs import Decoder, Encoder
from spikeloom.hdl.link.crc import Crc
from spikeloom.hdl.link.frames import FrameReceiver, FrameSender
from spikeloom.hdl.link.uart import Receiver, Transmitter
from spikeloom.hdl.verilog import convert

TOP = "link_blocks"
DIVISORS = (4, 8, 27)


def block_list():
    """All blocks by name."""
    return {
        **{f"receiver{n}": Receiver(n) for n in DIVISORS},
        **{f"transmitter{n}": Transmitter(n) for n in DIVISORS},
        "crc": Crc(),
        "decoder": Decoder(),
        "encoder": Encoder(1),
        "frames_in": FrameReceiver(),
        "frames_out": FrameSender(),
    }


class Blocks(wiring.Component):
    """All blocks; the ports of each begin with its name."""

    def __init__(self, parts):
        self.parts = parts
        super().__init__({name: Out(part.signature) for name, part in parts.items()})

    def elaborate(self, platform):
        m = Module()
        for name, part in self.parts.items():
            m.submodules[name] = part
            connect(m, flipped(getattr(self, name)), part)
        return m


def blocks_verilog():
    """Verilog of all blocks side by side."""
    return f"{primitives.text()}\n{convert(Blocks(block_list()), TOP)}"
