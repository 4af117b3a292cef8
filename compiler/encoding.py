"""Instructions as binary words, and the image of every memory: what is uploaded into hardware.

This is the one definition of the encoding; the hardware generator slices the same fields.

A phase is a row of instruction words that ends with an ``END``. ``MAC``, ``EVT`` and ``END`` take
one word. A ``MAP`` takes one word, one with its shifts and the number of its population, one for
each parameter and one for the base address of each table, in the order of the `KernelCode`; if it
captures anything (``clear`` says so) one more. An ``UPD`` takes one word, one with the rest
of its addresses, and those for parameters and tables. A ``CNV`` takes one word and one about its
stencil.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .errors import ProgramError
from .instructions import Cnv, Evt, Mac, Map, Upd
from .kernels.code import KernelCode, Parameter, Table, signed_bits
from .kernels.rule_code import RuleCode
from .program import Program
from .shape import LARGEST_SHIFT, SATURATION_BITS, Shape
from .timing import ConvolutionTiming

END, MAC, EVT, MAP, UPD, CNV = range(6)
ALWAYS, PRE, POST = range(3)
"""Gates of an ``UPD``."""

SHIFT_BITS = LARGEST_SHIFT.bit_length()


def bits_for(count: int) -> int:
    """Bits of an unsigned number below `count`; at least 1."""
    return max(1, (count - 1).bit_length())


@dataclass(frozen=True)
class Field:
    """A run of bits of a word."""

    start: int
    width: int

    def put(self, value: int, what: str) -> int:
        """`value` (unsigned, or two's complement) in its place."""
        if not -(1 << (self.width - 1)) <= value < 1 << self.width:
            raise ProgramError(f"{what} is {value}: it does not fit {self.width} bits")
        return (value & ((1 << self.width) - 1)) << self.start


def _fields(widths: Mapping[str, int]) -> dict[str, Field]:
    fields, start = {}, 0
    for name, width in widths.items():
        fields[name] = Field(start, width)
        start += width
    return fields


def parameter_width(parameter: Parameter) -> int:
    """Width (signed) of the register of a parameter that is not scaled."""
    return signed_bits(parameter.lo, parameter.hi)


def table_words(table: Table, shape: Shape) -> int:
    """Depth of the memory of a table, all its sets one after the other."""
    return max(2, shape.table_sets * table.entries)


class Encoding:
    """Fields of the instruction words of hardware of some `Shape`.

    Attributes
    ----------
    head : dict of str -> Field
        ``opcode wait clear``, the same in all first words.
    multiply, map, extension, scaled : dict of str -> Field
        The first word of ``MAC`` and ``EVT``; of ``MAP``; the second word of ``MAP``; the word of
        a scaled parameter.
    capture : dict of str -> Field
        The last word of a ``MAP`` that captures: ``enable_R``, ``slot_R`` and ``base_R`` of each
        post memory R.
    update, further : dict of str -> Field
        The first word of ``UPD`` (where it agrees with that of ``EVT``, at the same place), and
        its second: address of row 0's states, lanes in use of the last word less one, number of
        the saturation counter, ``skip`` and the slot concerned, the slot of each pre variable, the
        memory of each post variable, where each post memory is read.
    convolve : dict of str -> Field
        The second word of ``CNV``, whose first is like that of ``EVT``: address of the stencil,
        number of positions, slots less one, cycles of a source element less one, `Cnv.shift`,
        whether the source is a list of events.
    stencil : dict of str -> Field
        An element of the stencil memory: ``there``, ``target``, ``weights``.
    word_bits : int
        Width of the instruction memory.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        m = shape.machine
        head = {"opcode": 3 if shape.rules or shape.stencil_words else 2, "wait": 1, "clear": 1}
        accumulator = bits_for(shape.accumulator_words)
        source = max(bits_for(shape.value_words), bits_for(shape.event_words))
        lists = bits_for(shape.lists)
        self.head = _fields(head)
        self.multiply = _fields(
            head
            | {
                "target": accumulator,
                "list": lists,
                "source": source,
                "weights": bits_for(shape.weight_words),
                "rows": bits_for(max(shape.value_words, shape.event_words) + 1),
                "words": bits_for(shape.accumulator_words + 1),
            }
        )
        self.map = _fields(
            head
            | {
                "source": accumulator,
                "list": lists,
                "target": source,
                "state": bits_for(shape.state_words),
                "length": bits_for(shape.accumulator_words * m.lanes + 1),
                "kernel": bits_for(len(shape.kernels)),
            }
        )
        self.extension = _fields(
            {
                "input_right": SHIFT_BITS,
                "input_left": SHIFT_BITS,
                "output_right": SHIFT_BITS,
                "output_left": SHIFT_BITS,
                "population": bits_for(shape.populations),
            }
        )
        self.scaled = _fields({"mantissa": m.parameter_bits, "shift": SHIFT_BITS})
        words = [self.multiply, self.map, self.extension, self.scaled, *self._learning()]
        words += self._convolution()
        width = max(f.start + f.width for fields in words for f in fields.values())
        codes: list[KernelCode | RuleCode] = [*shape.kernels, *shape.rules]
        plain = [parameter_width(p) for k in codes for p in k.parameters if not p.scaled]
        tables = [bits_for(table_words(t, shape)) for k in codes for t in k.tables]
        self.word_bits = max([width, *plain, *tables])

    def _learning(self) -> list[dict[str, Field]]:
        """The words that only hardware has that learns."""
        shape = self.shape
        self.update: dict[str, Field] = {}
        self.further: dict[str, Field] = {}
        self.capture: dict[str, Field] = {}
        if not shape.rules:
            return []
        widths = {name: field.width for name, field in self.multiply.items()}
        self.update = _fields(widths | {"gate": 2, "rule": bits_for(len(shape.rules))})
        slot, base = bits_for(shape.slots), bits_for(shape.post_words)
        self.further = _fields(
            {
                "pre": bits_for(shape.state_words),
                "tail": bits_for(shape.machine.lanes),
                "population": bits_for(shape.populations),
                "skip": 1,
                "skip_slot": slot,
                **{f"slot_{v}": slot for v in range(max(len(r.pre) for r in shape.rules))},
                **{
                    f"memory_{v}": bits_for(shape.post_memories)
                    for v in range(max(len(r.post) for r in shape.rules))
                },
                **{f"base_{r}": base for r in range(shape.post_memories)},
            }
        )
        captured: dict[str, int] = {}
        for r in range(shape.post_memories):
            captured |= {f"enable_{r}": 1, f"slot_{r}": slot, f"base_{r}": base}
        self.capture = _fields(captured)
        return [self.update, self.further, *([self.capture] if self.capture else [])]

    def _convolution(self) -> list[dict[str, Field]]:
        """The word that only hardware has that convolves."""
        shape = self.shape
        self.convolve: dict[str, Field] = {}
        self.stencil: dict[str, Field] = {}
        if not shape.stencil_words:
            return []
        address, most = bits_for(shape.stencil_words), bits_for(shape.stencil_words + 1)
        self.convolve = _fields(
            {
                "stencil": address,
                "positions": most,
                "last_slot": most,
                "last_cycle": most,
                "shift": bits_for(shape.machine.index_bits + 1),
                "events": 1,
            }
        )
        self.stencil = _fields(
            {
                "there": 1,
                "target": bits_for(shape.accumulator_words),
                "weights": bits_for(shape.weight_words),
            }
        )
        return [self.convolve]

    def encode(self, program: Program) -> tuple[list[int], list[int]]:
        """All instruction words of `program`, and the address of the first word of each phase.

        Raises
        ------
        CapacityError, ProgramError
            If the Program does not suit the shape.
        """
        self.shape.check(program)
        populations = {name: i for i, name in enumerate(program.populations)}
        words: list[int] = []
        starts: list[int] = []
        for phase in program.phases:
            starts.append(len(words))
            for instruction in phase:
                if isinstance(instruction, Map):
                    number = populations[instruction.population]
                    words += self._map(instruction, program.kernels[instruction.kernel], number)
                elif isinstance(instruction, Mac | Evt):
                    words.append(self._multiply(instruction))
                elif isinstance(instruction, Upd):
                    number = len(populations) + list(program.projections).index(
                        instruction.projection
                    )
                    words += self._update(instruction, program.rules[instruction.rule], number)
                elif isinstance(instruction, Cnv):
                    words += self._convolve(instruction)
            words.append(self.head["opcode"].put(END, "opcode") | self.head["wait"].put(1, "wait"))
        return words, starts

    def _multiply(self, i: Mac | Evt) -> int:
        if i.rows < 1 or i.words < 1:
            raise ProgramError(f"{i.opcode} of {i.rows} rows of {i.words} words: both must be >= 1")
        values = {
            "opcode": MAC if isinstance(i, Mac) else EVT,
            "wait": int(i.wait),
            "clear": int(i.clear),
            "list": i.list if isinstance(i, Evt) else 0,
            **{name: getattr(i, name) for name in ("target", "source", "weights", "rows", "words")},
        }
        return _word(self.multiply, values, f"{i.opcode} {i.comment}")

    def _map(self, i: Map, code: KernelCode, population: int) -> list[int]:
        if i.length < 1:
            raise ProgramError(f"MAP of population {i.population!r} has length {i.length}")
        what = f"MAP of population {i.population!r}"
        number = [k.name for k in self.shape.kernels].index(code.name)
        first = {
            "opcode": MAP,
            "wait": 1,
            "clear": int(bool(i.captures)),
            "list": max(0, i.list),
            "kernel": number,
            **{name: getattr(i, name) for name in ("source", "target", "state", "length")},
        }
        input_right, input_left = _shifts(i.input_shift, self.shape.machine.accumulator_bits)
        emitted = code.ops[code.emit].bits
        output_right, output_left = _shifts(i.output_shift, emitted)
        second = {
            "input_right": input_right,
            "input_left": input_left,
            "output_right": output_right,
            "output_left": output_left,
            "population": population,
        }
        words = [_word(self.map, first, what), _word(self.extension, second, what)]
        words += self._parameters(i, code, what)
        if i.captures:
            captured: dict[str, int] = {}
            for slot, memory, base in i.captures:
                captured |= {f"enable_{memory}": 1, f"slot_{memory}": slot, f"base_{memory}": base}
            words.append(_word(self.capture, captured, f"captures of {what}"))
        return words

    def _update(self, i: Upd, code: RuleCode, number: int) -> list[int]:
        what = f"UPD of projection {i.projection!r}"
        bases: dict[int, int] = {}
        for memory, base in i.post:
            if bases.setdefault(memory, base) != base:
                raise ProgramError(f"{what}: reads two places of post memory {memory} at once")
        first = {
            "opcode": UPD,
            "wait": 1,
            "gate": ("always", "pre", "post").index(i.gate),
            "rule": [r.name for r in self.shape.rules].index(code.name),
            **{name: getattr(i, name) for name in ("list", "source", "weights", "rows", "words")},
        }
        second = {
            "pre": i.pre,
            "tail": (i.length - 1) % self.shape.machine.lanes,
            "population": number,
            "skip": int(i.skip >= 0),
            "skip_slot": i.pre_slots[i.skip] if i.skip >= 0 else 0,
            **{f"slot_{v}": slot for v, slot in enumerate(i.pre_slots)},
            **{f"memory_{v}": memory for v, (memory, _) in enumerate(i.post)},
            **{f"base_{memory}": base for memory, base in bases.items()},
        }
        words = [_word(self.update, first, what), _word(self.further, second, what)]
        return words + self._parameters(i, code, what)

    def _convolve(self, i: Cnv) -> list[int]:
        what = f"CNV {i.comment}"
        first = {
            "opcode": CNV,
            "wait": 1,
            "list": max(0, i.list),
            **{name: getattr(i, name) for name in ("target", "source", "weights", "rows", "words")},
        }
        second = {
            "stencil": i.stencil,
            "positions": i.positions,
            "last_slot": i.slots - 1,
            "last_cycle": ConvolutionTiming(self.shape.machine).period(i.slots) - 1,
            "shift": i.shift,
            "events": int(i.list >= 0),
        }
        return [_word(self.multiply, first, what), _word(self.convolve, second, what)]

    def stencil_elements(self, entries: np.ndarray) -> np.ndarray:
        """Entries (n, 2) of a Program's stencil as elements of the memory, (n,) int64."""
        target, weights = np.asarray(entries, np.int64).T
        there = target >= 0
        f = self.stencil
        elements = (target << f["target"].start) | (weights << f["weights"].start) | 1
        return np.where(there, elements, 0)

    def _parameters(self, i: Map | Upd, code: KernelCode | RuleCode, what: str) -> list[int]:
        words = []
        for p in code.parameters:
            value = i.parameters[p.name]
            if p.scaled:
                mantissa, shift = value
                both = {"mantissa": int(mantissa), "shift": min(int(shift), LARGEST_SHIFT)}
                words.append(_word(self.scaled, both, f"parameter {p.name!r} of {what}"))
            else:
                plain = Field(0, parameter_width(p))
                words.append(plain.put(int(value), f"parameter {p.name!r} of {what}"))
        for t in code.tables:
            base = Field(0, bits_for(table_words(t, self.shape)))
            offset = i.table_set * t.entries - t.first
            words.append((offset % (1 << base.width)) << base.start)
        return words


def _word(fields: Mapping[str, Field], values: Mapping[str, int], what: str) -> int:
    word = 0
    for name, value in values.items():
        word |= fields[name].put(value, f"{name} of {what}")
    return word


def _shifts(shift: int, bits: int) -> tuple[int, int]:
    """(right, left) shift amounts; those that shift out every bit all mean the same."""
    return min(max(shift, 0), bits + 1), min(max(-shift, 0), LARGEST_SHIFT)


@dataclass(frozen=True)
class MemoryInfo:
    """A memory as the host sees it.

    Attributes
    ----------
    number : int
        Selects it in the host's commands.
    elements : int
        The host's addresses; in a memory of one element per lane, ``word * lanes + lane``.
    bits : int
        Width of an element.
    lanes : int
        Elements per word.
    """

    number: int
    elements: int
    bits: int
    lanes: int = 1


def memories(shape: Shape) -> dict[str, MemoryInfo]:
    """All memories of hardware of this shape, by name.

    State memories are ``state0``, ``state1``, ...; tables ``KERNEL.TABLE``. An element of ``event``
    is the payload, above it the index; one of ``stencil`` is as `Encoding.stencil` says. Hardware
    that learns has ``residual``, ``synapse0``, ...,
    tables ``RULE.TABLE``, ``post0``, ... (which the host can only clear) and ``control``, whose one
    bit says whether it learns.
    """
    m = shape.machine
    encoding = Encoding(shape)
    listing: list[tuple[str, int, int, int]] = [
        ("weight", shape.weight_words * m.lanes, m.weight_bits, m.lanes),
        ("accumulator", shape.accumulator_words * m.lanes, m.accumulator_bits, m.lanes),
        ("value", shape.value_words, m.value_bits, 1),
        ("event", shape.event_words, m.value_bits + m.index_bits, 1),
        ("count", shape.lists, bits_for(shape.event_words + 1), 1),
        ("instruction", shape.instruction_words, encoding.word_bits, 1),
        ("saturation", shape.populations, SATURATION_BITS, 1),
    ]
    listing += [(f"state{k}", shape.state_words, m.state_bits, 1) for k in range(shape.slots)]
    for code in shape.kernels:
        for t in code.tables:
            bits = signed_bits(t.lo, t.hi)
            listing.append((f"{code.name}.{t.name}", table_words(t, shape), bits, 1))
    if shape.stencil_words:
        bits = sum(field.width for field in encoding.stencil.values())
        listing.append(("stencil", shape.stencil_words, bits, 1))
    if shape.rules:
        plastic = shape.plastic_words * m.lanes
        listing.append(("control", 1, 1, 1))
        listing.append(("residual", plastic, m.residual_bits, m.lanes))
        for k in range(shape.synapse_slots):
            listing.append((f"synapse{k}", plastic, m.state_bits, m.lanes))
        for r in range(shape.post_memories):
            listing.append((f"post{r}", shape.post_words * m.lanes, m.value_bits, m.lanes))
        for rule in shape.rules:
            for t in rule.tables:
                bits = signed_bits(t.lo, t.hi)
                listing.append((f"{rule.name}.{t.name}", table_words(t, shape), bits, 1))
    return {name: MemoryInfo(i, n, bits, lanes) for i, (name, n, bits, lanes) in enumerate(listing)}
