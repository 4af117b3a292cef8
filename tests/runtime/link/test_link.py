"""The link's two ends, each against the other's definition: frames, requests, errors."""

import time
import zlib

import numpy as np
import pytest
from example_program import example_program
from faulty_line import CLOCK_HZ, FaultyLine, stream
from hypothesis import given
from hypothesis import strategies as st

from spikeloom.compiler.encoding import MemoryInfo, memories
from spikeloom.compiler.errors import LinkError
from spikeloom.compiler.protocol import (
    CRC_POLYNOMIAL,
    CRC_RESIDUE,
    FRAME_BYTES,
    HEADER,
    LINK_MEMORY,
    SEQUENCES,
    SYNCHRONISE,
    VERSION,
    Opcode,
    Status,
)
from spikeloom.compiler.shape import Shape
from spikeloom.runtime.link import requests
from spikeloom.runtime.link.exchange import Link
from spikeloom.runtime.link.framing import cobs_decode, cobs_encode, frame, unframe
from spikeloom.runtime.link.requests import Read, elements_from_bytes, elements_to_bytes

# -- frames, without hardware --------------------------------------------------------------------


@given(st.binary(max_size=600))
def test_cobs_and_back(data):
    encoded = cobs_encode(data)
    assert 0 not in encoded
    assert len(encoded) <= len(data) + len(data) // 254 + 2
    assert cobs_decode(encoded) == data
    assert unframe(frame(data)[:-1]) == data


@pytest.mark.parametrize("size", [0, 1, 253, 254, 255, 507, 508, 509])
@pytest.mark.parametrize("end", [b"", b"\0", b"x", b"\0\0"])
def test_cobs_around_its_block_length(size, end):
    data = b"a" * size + end
    assert cobs_decode(cobs_encode(data)) == data


def test_cobs_examples():
    assert cobs_encode(b"") == b"\x01"
    assert cobs_encode(b"\0") == b"\x01\x01"
    assert cobs_encode(b"\x11\x22\0\x33") == b"\x03\x11\x22\x02\x33"
    assert cobs_decode(b"") is None
    assert cobs_decode(b"\x05\x11") is None
    assert cobs_decode(b"\x02\0") is None


@given(st.binary(min_size=1, max_size=100), st.data())
def test_damage_is_noticed(payload, data):
    encoded = bytearray(frame(payload)[:-1])
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= data.draw(st.integers(1, 255))
    assert unframe(bytes(encoded)) is None


def test_checksum_as_the_protocol_defines_it():
    register = 0xFFFFFFFF
    payload = b"123456789"
    for byte in payload + zlib.crc32(payload).to_bytes(4, "little"):
        for bit in range(8):
            odd = (register ^ byte >> bit) & 1
            register = register >> 1 ^ (CRC_POLYNOMIAL if odd else 0)
    assert register == CRC_RESIDUE


@pytest.mark.parametrize("bits", [1, 7, 8, 9, 16, 18, 31, 32, 33, 40, 48, 63])
def test_elements_and_back(bits):
    rng = np.random.default_rng(bits)
    values = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), 50)
    raw = elements_to_bytes(values, bits)
    assert len(raw) == 50 * -(-bits // 8)
    np.testing.assert_array_equal(elements_from_bytes(raw, bits), values)
    unsigned = elements_from_bytes(raw, bits, signed=False)
    np.testing.assert_array_equal(unsigned, values & ((1 << bits) - 1))


def test_wide_elements():
    word = 0x0123456789ABCDEF1122
    assert elements_to_bytes(np.array([word], object), 77) == word.to_bytes(10, "little")


def test_commands_fit_into_a_request():
    info = MemoryInfo(3, 100_000, 18)
    values = elements_to_bytes(np.arange(1000), 18)
    for command in requests.write(info, 70_000, values):
        assert len(command) <= requests.ROOM
    opcode, memory, low, high, count = HEADER.unpack(command[: HEADER.size])
    assert (opcode, memory) == (Opcode.WRITE, 3)
    assert (high << 16 | low) + count == 71_000
    assert len(requests.fill(info, 0, 100_000)) == 2


def test_runs_are_filled():
    rng = np.random.default_rng(0)
    info = MemoryInfo(3, 100_000, 18)
    for _ in range(50):
        values = np.repeat(rng.integers(0, 5, 30), rng.integers(1, 40, 30))
        memory, size = np.full(5000, -1), 0
        for command in requests.write(info, 100, elements_to_bytes(values, 18)):
            opcode, _, low, _, count = HEADER.unpack(command[: HEADER.size])
            found = elements_from_bytes(command[HEADER.size :], 18)
            assert len(found) == (count if opcode == Opcode.WRITE else 1)
            assert (memory[low : low + count] == -1).all()
            memory[low : low + count] = found
            size += len(command)
        np.testing.assert_array_equal(memory[100 : 100 + len(values)], values)
        assert size < 3 * len(values) + HEADER.size * 2
        assert (memory[:100] == -1).all() and (memory[100 + len(values) :] == -1).all()
    zeros = requests.write(info, 0, bytes(3 * 100_000))
    assert sum(map(len, zeros)) == 2 * (HEADER.size + 3)


# -- hardware ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shape():
    return Shape.for_program(example_program())


@pytest.fixture(scope="module")
def hardware(shape):
    return stream(shape)


@pytest.fixture
def ask(hardware):
    """Sends a payload and returns what the hardware answers, None for nothing."""

    def ask(payload):
        reply = hardware.exchange(frame(payload))
        assert reply.count(0) <= 1
        return unframe(reply[:-1]) if reply else None

    # Begin anew: number 0 was the last.
    assert ask(bytes([SYNCHRONISE])) == bytes([SYNCHRONISE, Status.OK])
    return ask


def command(opcode, memory, address, count, data=b""):
    return HEADER.pack(opcode, memory, address & 0xFFFF, address >> 16, count) + data


@pytest.mark.hardware
def test_identity(hardware, shape):
    identity = Link(FaultyLine(hardware), timeout=0).identify()
    assert identity.version == VERSION
    assert identity.fingerprint == shape.fingerprint()
    assert identity.clock_hz == CLOCK_HZ


@pytest.mark.hardware
def test_every_memory_holds_what_is_written(hardware, shape):
    link = Link(FaultyLine(hardware), timeout=0)
    link.identify()
    rng = np.random.default_rng(0)
    table = memories(shape)
    written = {}
    for name, info in table.items():
        if name == "accumulator":  # the host can only clear it
            continue
        values = rng.integers(-(1 << (info.bits - 1)), 1 << (info.bits - 1), info.elements)
        written[name] = values
        link.perform(requests.write(info, 0, elements_to_bytes(values, info.bits)))
    for name, values in written.items():
        read = Read(table[name], 0, len(values))
        np.testing.assert_array_equal(read.elements(link.perform([], [read])[0]), values, name)
    info = table["weight"]
    middle = requests.fill(info, 3, info.elements - 7, 5)
    read = Read(info, 0, info.elements)
    found = read.elements(link.perform(middle, [read])[0])
    expected = written["weight"].copy()
    expected[3:-4] = 5
    np.testing.assert_array_equal(found, expected)
    read = Read(table["accumulator"], 0, table["accumulator"].elements)
    assert not read.elements(link.perform(requests.fill(read.info, 0, read.count), [read])[0]).any()


@pytest.mark.hardware
def test_a_repeated_request_is_not_executed_again(ask, shape):
    info = memories(shape)["value"]
    write = command(Opcode.WRITE, info.number, 0, 1, b"\x11\0\0")
    read = command(Opcode.READ, info.number, 0, 1)
    assert ask(b"\x01" + write + read) == b"\x01\x11\0\0\x00"
    # The same number: answered, but what it would change is left out.
    other = command(Opcode.FILL, info.number, 0, 1, b"\x22\0\0")
    run = command(Opcode.RUN, 0, 0, 1)
    assert ask(b"\x01" + other + run + read) == b"\x01\x11\0\0\x00"
    assert ask(b"\x02" + other + read) == b"\x02\x22\0\0\x00"


@pytest.mark.hardware
def test_sequence(ask):
    for number in range(1, SEQUENCES + 5):
        number %= SEQUENCES
        assert ask(bytes([number])) == bytes([number, Status.OK])
    for wrong in (7, 3, 100):
        assert ask(bytes([wrong])) == bytes([wrong, Status.OUT_OF_SEQUENCE])
    assert ask(bytes([5])) == bytes([5, Status.OK])
    assert ask(bytes([SYNCHRONISE | 90])) == bytes([SYNCHRONISE | 90, Status.OK])
    assert ask(bytes([91])) == bytes([91, Status.OK])


@pytest.mark.hardware
def test_malformed_requests(ask, shape):
    table = memories(shape)
    number, beyond = table["value"].number, len(table)
    read = command(Opcode.READ, number, 0, 1)
    malformed = {
        "no such command": command(9, number, 0, 1),
        "no such memory": command(Opcode.WRITE, beyond, 0, 1, b"\0\0\0"),
        "no such memory to read": command(Opcode.READ, beyond, 0, 1),
        "link written": command(Opcode.WRITE, LINK_MEMORY, 0, 1, b"\0"),
        "header cut": read[:-1],
        "elements cut": command(Opcode.WRITE, number, 0, 2, b"\x01\0\0\x02"),
        "fill without an element": command(Opcode.FILL, number, 0, 2),
    }
    sequence = 0
    for what, commands in malformed.items():
        sequence += 1
        assert ask(bytes([sequence]) + commands) == bytes([sequence, Status.MALFORMED]), what
    sequence += 1
    for late in (command(Opcode.WRITE, number, 0, 1, b"\x01\0\0"), command(Opcode.RUN, 0, 0, 1)):
        reply = ask(bytes([sequence]) + read + late)
        assert reply[0] == sequence and len(reply) == 5 and reply[-1] == Status.MALFORMED
        sequence += 1
    for opcode in (Opcode.WRITE, Opcode.READ, Opcode.RUN):
        assert ask(bytes([sequence]) + command(opcode, number, 0, 0)) == bytes(
            [sequence, Status.OK]
        )
        sequence += 1
    none = command(Opcode.FILL, number, 0, 0, b"\x07\0\0")
    before = ask(bytes([sequence]) + read)
    assert ask(bytes([sequence + 1]) + none + read)[1:] == before[1:]


@pytest.mark.hardware
def test_longest_request(hardware, ask, shape):
    info = memories(shape)["value"]
    filler = command(Opcode.RUN, 0, 0, 0)
    count, rest = divmod(FRAME_BYTES - 5, len(filler))
    assert rest == 3 and info.bits <= 24
    # One element of three bytes makes it exactly as long as a frame can be.
    longest = filler * (count - 1) + command(Opcode.FILL, info.number, 0, 0, b"\0" * rest)
    assert ask(b"\x01" + longest) == bytes([1, Status.OK])
    assert ask(b"\x02" + longest + b"\0") is None
    assert ask(b"\x02") == bytes([2, Status.OK])


@pytest.mark.hardware
def test_damage_is_counted_and_not_answered(hardware, ask):
    link = Link(FaultyLine(hardware), timeout=0)
    before = link.identify().damaged
    good = frame(b"\x31")
    for bad in (b"\x05abc\0", good[:-2] + b"\0", b"\x01\0", b"\xff" * 600 + b"\0"):
        assert hardware.exchange(bad) == b""
    assert hardware.exchange(b"\0\0\0") == b""
    assert (link.identify().damaged - before) % 256 == 4


# -- a host without a loom -----------------------------------------------------------------------


class Silent:
    """A device that answers always the same."""

    name = "the device"

    def __init__(self, answer=b""):
        self.answer, self.written = answer, b""

    def write(self, data):
        self.written += data

    def read(self, timeout):
        time.sleep(min(timeout, 0.002))
        return self.answer

    def close(self):
        pass


def test_no_answer():
    with pytest.raises(LinkError, match="no answer from the device in 3 attempts"):
        Link(Silent(), timeout=0.01, attempts=3).identify()


@pytest.mark.parametrize("answer", [b"login: ", b"\x03ab\0", b"\xff\xff", b"\0\0\0"])
def test_garbage(answer):
    expected = "answers garbage" if answer.strip(b"\0") else "no answer"
    with pytest.raises(LinkError, match=expected):
        Link(Silent(answer), timeout=0.01, attempts=2).identify()


def test_another_protocol():
    device = Silent()
    link = Link(device, timeout=0.05, attempts=1)

    def read(timeout):
        sequence = unframe(device.written.strip(b"\0"))[0]
        return frame(bytes([sequence]) + b"XY\x09\0" + bytes(18) + b"\0")

    device.read = read
    with pytest.raises(LinkError, match="speaks version 9 of the link's protocol"):
        link.identify()
