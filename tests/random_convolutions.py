"""Random Programs with convolutions, each reproducible by its seed: stencils of no shape at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from random_programs import ProgramMaker, integer, random_inputs

from spikeloom.compiler.instructions import Cnv, Evt, Instruction, Mac
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.program import Program


class ConvolutionMaker(ProgramMaker):
    """Like its base, with ``CNV`` among the products of most populations."""

    def make(self) -> Program:
        self.stencils: list[np.ndarray] = [np.full((1, 2), -1, np.int32)]
        self.stencil_words = 1
        return replace(super().make(), stencil=np.concatenate(self.stencils))

    def population(self, number: int, after_map: bool) -> list[Instruction]:
        instructions = super().population(number, after_map)
        for _ in range(integer(self.rng, 0, 2) if number else 2):
            at = integer(self.rng, 1, len(instructions) - 1)
            instructions.insert(at, self.convolution(number))
            following = instructions[at + 1]
            if isinstance(following, Mac | Evt):
                instructions[at + 1] = replace(following, wait=True)
        return instructions

    def product(self, number: int, products: int, clear: bool, wait: bool) -> tuple[Mac | Evt, int]:
        return super().product(number, products + 2, clear, wait)  # room for the convolutions

    def convolution(self, number: int) -> Cnv:
        """A random ``CNV`` into population `number`."""
        rng, machine = self.rng, self.machine
        size = self.sizes[number]
        words = machine.words(size)
        emitters = [k for k, where in enumerate(self.list_of) if where >= 0]
        spiking = bool(emitters) and rng.random() < 0.6
        if spiking:
            source = emitters[integer(rng, 0, len(emitters) - 1)]
            rows = self.sizes[source]
        else:
            rows = integer(rng, 1, min(self.values, 20))
        shift = 0
        while rows % (2 << shift) == 0 and rng.random() < 0.7:
            shift += 1
        positions, slots = rows >> shift, integer(rng, 1, 7)
        value = 1 << (machine.value_bits - 1)
        room = (1 << (machine.accumulator_bits - 1)) // 5 - 1
        largest = min(1 << (machine.weight_bits - 1), room // (rows * value))
        kernel = (1 << shift) + integer(rng, 0, 12)
        base = self.weight_words
        self.weights.append(rng.integers(-largest, max(largest, 1), (kernel, machine.lanes)))
        self.weight_words += kernel
        slot_of = rng.integers(0, slots, words)
        stencil = np.full((slots, positions, 2), -1, np.int32)
        for slot in range(slots):
            mine = np.flatnonzero(slot_of == slot)
            if len(mine):
                there = rng.random(positions) < 0.7
                stencil[slot, there, 0] = rng.choice(mine, there.sum())
        there = stencil[..., 0] >= 0
        stencil[there, 1] = rng.integers(0, kernel - (1 << shift), there.sum(), endpoint=True)
        at = self.stencil_words
        self.stencils.append(stencil.reshape(-1, 2))
        self.stencil_words += positions * slots
        first = integer(rng, 0, self.values - rows) if not spiking else 0
        return Cnv(
            weights=base,
            kernel=kernel,
            source=self.event_at[source] if spiking else first,
            list=self.list_of[source] if spiking else -1,
            rows=rows,
            shift=shift,
            stencil=at,
            slots=slots,
            target=self.accumulator_at[number],
            words=words,
            length=size,
            comment=f"convolution {len(self.stencils) - 2}",
        )


def random_convolution_program(
    seed: int, machine: Machine | None = None, largest: int = 63
) -> Program:
    """Like `random_programs.random_program`, with convolutions."""
    return ConvolutionMaker(seed, machine, largest).make()


def sparse_inputs(seed: int, program: Program, steps: int) -> dict[str, np.ndarray]:
    """Random inputs, most of them 0, as images are; all of them in every third step."""
    rng = np.random.default_rng([7, seed])
    found = random_inputs(seed, program, steps)
    return {
        name: values * (rng.random(values.shape) < 0.3) * (np.arange(steps) % 3 > 0)[:, None]
        for name, values in found.items()
    }
