"""Test benches of the link's blocks, run by cocotb inside the simulator (see test_link_blocks.py).

Each block is compared with what the host's side of the link, plain Python, makes of the same bytes.
"""

import sys
import zlib

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge
from link_blocks import DIVISORS, block_list

from spikeloom.compiler.protocol import CRC_RESIDUE, FRAME_BYTES
from spikeloom.runtime.link.framing import cobs_decode, cobs_encode, frame, unframe

SEED = 30


class Block:
    """One block of the design, cycle by cycle.

    `cycle` sets inputs for one clock cycle, and returns the outputs that are there before its edge.
    """

    def __init__(self, dut, name):
        self.dut, self.name = dut, name
        members = block_list()[name].signature.members
        self.inputs = [n for n, member in members.items() if member.flow.name == "In"]
        self.outputs = [n for n, member in members.items() if member.flow.name == "Out"]

    async def start(self):
        cocotb.start_soon(Clock(self.dut.clk, 2, "step").start())
        for name in self.inputs:
            getattr(self.dut, f"{self.name}__{name}").value = 0
        if "line" in self.inputs:
            getattr(self.dut, f"{self.name}__line").value = 1
        self.dut.rst.value = 1
        for _ in range(3):
            await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0

    async def cycle(self, **values):
        for name, value in values.items():
            getattr(self.dut, f"{self.name}__{name}").value = int(value)
        await ReadOnly()
        found = {n: int(getattr(self.dut, f"{self.name}__{n}").value) for n in self.outputs}
        await RisingEdge(self.dut.clk)
        return found


def payload(rng, longest=600):
    """Random bytes, with many zeros or none, of a length that is often near a block's."""
    length = int(
        rng.choice([rng.integers(0, 20), rng.integers(250, 260), rng.integers(0, longest)])
    )
    data = rng.integers(0, 256, length)
    kind = rng.random()
    if kind < 0.3:
        data[rng.random(length) < 0.3] = 0
    elif kind < 0.7:
        data[data == 0] = 1
    return bytes(data.astype(np.uint8))


# -- serial line ---------------------------------------------------------------------------------


async def run_receiver(dut, cycles_per_bit):
    """Bytes at a speed that is a little off, with pauses, disturbances and missing stop bits."""
    rng = np.random.default_rng(SEED + cycles_per_bit)
    unit = Block(dut, f"receiver{cycles_per_bit}")
    await unit.start()
    sent, found, time, now = [], [], 0.0, 0
    edges = []  # (cycle, level)
    bit = cycles_per_bit * 1.02
    for n in range(200):
        bit = cycles_per_bit * (1.02 if n % 2 else 0.98) if cycles_per_bit > 4 else cycles_per_bit
        byte, stop = int(rng.integers(256)), int(rng.random() > 0.1)
        if rng.random() < 0.2:  # a pulse too short for a start bit
            edges += [(time, 0), (time + cycles_per_bit // 2 - 1.01, 1)]
            time += 2 * bit
        for level in [0, *(byte >> k & 1 for k in range(8)), stop]:
            edges.append((time, level))
            time += bit
        if stop:
            sent.append(byte)
        edges.append((time, 1))
        # Without a stop bit, only a pause tells where the next byte begins.
        time += rng.integers(0, 3) * bit if stop else 12 * bit
    edges.append((time + 12 * bit, 1))
    level = 1
    while edges:
        while edges and edges[0][0] <= now:
            level = edges.pop(0)[1]
        out = await unit.cycle(line=level, ready=1)
        if out["valid"]:
            found.append(out["data"])
        now += 1
    assert len(sent) > 150 and found == sent


async def run_transmitter(dut, cycles_per_bit):
    """Bytes with pauses between; the line is sampled in the middle of each bit."""
    rng = np.random.default_rng(SEED + cycles_per_bit)
    unit = Block(dut, f"transmitter{cycles_per_bit}")
    await unit.start()
    sent = [int(b) for b in rng.integers(0, 256, 100)]
    found, following, began, bits, quiet = [], 0, None, [], 0
    while quiet < 12 * cycles_per_bit:
        offer = following < len(sent) and rng.random() < 0.3
        out = await unit.cycle(valid=offer, data=sent[following] if offer else 0)
        following += offer and out["ready"]
        if began is None and not out["line"]:
            began, bits = 0, []
        if began is not None:
            if began % cycles_per_bit == cycles_per_bit // 2:
                bits.append(out["line"])
            began += 1
            if len(bits) == 10:
                assert bits[0] == 0 and bits[9] == 1
                found.append(sum(b << k for k, b in enumerate(bits[1:9])))
                began = None
        quiet = quiet + 1 if following == len(sent) and began is None else 0
    assert found == sent


def line_bench(run, kind, cycles_per_bit):
    async def bench(dut):
        await run(dut, cycles_per_bit)

    bench.__name__ = bench.__qualname__ = f"{kind}_{cycles_per_bit}"
    bench.__doc__ = run.__doc__
    return cocotb.test()(bench)


for _n in DIVISORS:
    setattr(sys.modules[__name__], f"receiver_{_n}", line_bench(run_receiver, "receiver", _n))
    setattr(
        sys.modules[__name__], f"transmitter_{_n}", line_bench(run_transmitter, "transmitter", _n)
    )


# -- checksum ------------------------------------------------------------------------------------


@cocotb.test()
async def checksum(dut):
    rng = np.random.default_rng(SEED)
    unit = Block(dut, "crc")
    await unit.start()
    for _ in range(30):
        await unit.cycle(clear=1, valid=0)
        data = payload(rng, 60)[:60]
        for end in (data, zlib.crc32(data).to_bytes(4, "little")):
            for byte in end:
                while True:
                    offer = rng.random() < 0.6
                    out = await unit.cycle(clear=0, valid=offer, data=byte)
                    if offer and out["ready"]:
                        break
            out = await unit.cycle(valid=0)
            while not out["ready"]:
                out = await unit.cycle()
            expected = zlib.crc32(data) ^ 0xFFFFFFFF if end is data else CRC_RESIDUE
            assert out["state"] == expected


# -- COBS ----------------------------------------------------------------------------------------


@cocotb.test()
async def decoder(dut):
    """Sound and damaged streams, while the one behind is not always ready."""
    rng = np.random.default_rng(SEED)
    unit = Block(dut, "decoder")
    await unit.start()
    for _ in range(60):
        encoded = cobs_encode(payload(rng))
        if rng.random() < 0.3:  # cut, or another length inside
            encoded = bytearray(encoded[: rng.integers(1, len(encoded) + 1)])
            encoded[rng.integers(len(encoded))] = rng.integers(1, 256)
        expected, found, end = cobs_decode(bytes(encoded)), bytearray(), None
        for byte in [*encoded, 0]:
            while True:
                offer, ready = rng.random() < 0.8, rng.random() < 0.7
                out = await unit.cycle(enable=1, raw=byte, raw_valid=offer, ready=ready)
                assert ready or not (out["valid"] or out["end"])
                if out["valid"]:
                    found.append(out["data"])
                if out["end"]:
                    end = out["intact"]
                if offer and out["raw_ready"]:
                    break
            assert end is None or byte == 0
        assert end == (expected is not None)
        if expected is not None:
            assert bytes(found) == expected


@cocotb.test()
async def decoder_drops_what_comes_while_it_is_off(dut):
    rng = np.random.default_rng(SEED)
    unit = Block(dut, "decoder")
    await unit.start()
    for _ in range(100):
        stream = bytes(rng.integers(1, 256, 6).astype(np.uint8)) + b"\0" + frame(b"abc")
        switch = int(rng.integers(1, len(stream)))
        ends = 0
        for n, byte in enumerate(stream):
            out = await unit.cycle(enable=n >= switch, raw=byte, raw_valid=1, ready=1)
            assert out["raw_ready"]
            ends += out["end"]
        # The second frame counts only if none of it came while the decoder was off.
        assert ends == (switch <= 7)


@cocotb.test()
async def encoder(dut):
    rng = np.random.default_rng(SEED)
    unit = Block(dut, "encoder")
    await unit.start()
    for _ in range(40):
        data, found, following, finished = payload(rng), bytearray(), 0, False
        while not finished:
            offer = following < len(data) and rng.random() < 0.8
            ready = rng.random() < 0.7
            out = await unit.cycle(
                valid=offer,
                data=data[following] if offer else 0,
                finish=following == len(data),
                raw_ready=ready,
            )
            following += offer and out["ready"]
            if ready and out["raw_valid"]:
                found.append(out["raw"])
            finished = out["finished"]
        assert found[-1] == 0 and 0 not in found[:-1]
        assert cobs_decode(bytes(found[:-1])) == data


# -- frames --------------------------------------------------------------------------------------


@cocotb.test()
async def frames_in(dut):
    """Requests arrive whole, damaged, too long or while another one is still in use."""
    rng = np.random.default_rng(SEED)
    unit = Block(dut, "frames_in")
    await unit.start()
    accepted = refused = 0
    for _ in range(80):
        data = payload(rng, 520)[: FRAME_BYTES + 2 - 4]
        stream = bytearray(frame(data)[:-1])
        if rng.random() < 0.3:
            stream[rng.integers(len(stream))] = rng.integers(1, 256)
        expected = unframe(bytes(stream))
        if expected is not None and not 1 <= len(expected) <= FRAME_BYTES - 4:
            expected = None
        before = (await unit.cycle(raw_valid=0, done=0))["damaged"]
        for byte in [*stream, 0]:
            while True:
                offer = rng.random() < 0.7
                out = await unit.cycle(raw=byte, raw_valid=offer)
                assert not out["present"]
                if offer and out["raw_ready"]:
                    break
        for _ in range(3):
            out = await unit.cycle(raw_valid=0)
        assert out["present"] == (expected is not None)
        assert (out["damaged"] - before) % 256 == (expected is None)
        refused += expected is None
        if expected is None:
            continue
        accepted += 1
        assert out["length"] == len(expected)
        if rng.random() < 0.5:  # what comes meanwhile neither answers nor damages
            for byte in frame(b"late"):
                out = await unit.cycle(raw=byte, raw_valid=1)
                assert out["raw_ready"]
        for position in [0, len(expected) - 1, *rng.integers(0, len(expected), 8)]:
            for _ in range(4):
                out = await unit.cycle(raw_valid=0, position=position)
            assert out["data"] == expected[position]
        await unit.cycle(done=1)
        await unit.cycle(done=0, position=0)
    assert accepted > 20 and refused > 20


@cocotb.test()
async def frames_out(dut):
    rng = np.random.default_rng(SEED)
    unit = Block(dut, "frames_out")
    await unit.start()
    for _ in range(25):
        data, found, following, finished = payload(rng), bytearray(), 0, False
        while not finished:
            offer = following < len(data) and rng.random() < 0.8
            ready = rng.random() < 0.7
            out = await unit.cycle(
                valid=offer,
                data=data[following] if offer else 0,
                finish=following == len(data),
                raw_ready=ready,
            )
            following += offer and out["ready"]
            if ready and out["raw_valid"]:
                found.append(out["raw"])
            finished = out["finished"]
        await unit.cycle(finish=0)
        assert found[-1] == 0
        assert unframe(bytes(found[:-1])) == data
