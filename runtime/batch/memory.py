"""How much memory a batch takes, and how large one may be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ...compiler.errors import InputError
from ..chip import ProgramChip
from ..simulator import Simulator

SHARE = 0.9
"""So much of the memory that is free may be taken."""

COPY_OBJECTS = 32 << 10
"""Bytes, roughly, of the Python objects that a copy consists of, its arrays apart."""

STEP_OBJECTS = 1 << 10
"""Bytes, roughly, of the Python objects that a copy has for each operator."""

OPERATOR_OBJECTS = 9 << 10
"""Bytes, roughly, of the Python objects that a build consists of, for each of its operators."""

SAMPLE = 8
"""Bytes of each number that a probe stores."""


def available() -> int:
    """Bytes of memory that are free, or can be made so without swapping."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) << 10
                return min(free, _left_in_group(free))
    except (OSError, ValueError):
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _left_in_group(most: int) -> int:
    """Bytes that the limits of a container leave, at most `most`."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
        return most if limit == "max" else max(0, int(limit) - used)
    except (OSError, ValueError):
        return most


def copy_bytes(sim: Simulator) -> int:
    """Bytes of each further copy of a Simulator: states, learned weights, the host's signals."""
    host = sum(
        value.nbytes
        for signal, value in sim.signals.items()
        if not signal.is_view and not signal.readonly and hasattr(value, "nbytes")
    )
    chip = 0
    if isinstance(sim.chip, ProgramChip):
        program = sim.chip.program
        learned = sum(p.rows * p.words for p in program.projections.values())
        lanes, wide = program.machine.lanes, 8
        chip = wide * (
            program.accumulator_words * lanes
            + program.value.size
            + program.state.size
            + program.event_words
            + learned * lanes * (2 + program.synapse.shape[0])
        )
    return COPY_OBJECTS + STEP_OBJECTS * len(sim.model.operators) + host + chip


def build_bytes(sim: Simulator) -> int:
    """Bytes that a build of its own takes: the model's numbers, the Graph's, the Program's."""
    signals = {signal.base for op in sim.model.operators for signal in op.all_signals}
    model = sum(_bytes(signal.initial_value) for signal in signals)
    graph = sim.chip.graph if isinstance(sim.chip, ProgramChip) else None
    edges = () if graph is None else graph.nx.edges(data="edge")
    matrices = sum(_bytes(edge.matrix) for _, _, edge in edges)
    program = sum(_bytes(value) for value in vars(sim.program or object).values())
    objects = OPERATOR_OBJECTS * len(sim.model.operators)
    return model + matrices + 2 * program + objects  # the engine has its own form of the Program


def _bytes(value: Any) -> int:
    """Bytes of an array, dense or sparse; 0 of anything else."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    data = getattr(value, "data", None)
    return 2 * data.nbytes if isinstance(data, np.ndarray) else 0


def sample_bytes(sim: Simulator, steps: int) -> int:
    """Bytes of the samples that the probes of a Simulator take in some steps."""
    total = 0.0
    for probe in sim.model.probes:
        period = 1.0 if probe.sample_every is None else probe.sample_every / sim.dt
        total += SAMPLE * sim.model.sig[probe]["in"].size * steps / max(1.0, period)
    return int(total)


def check(what: str, each: int, copies: int, free: int | None = None) -> None:
    """See that `copies` times `each` bytes fit.

    Raises
    ------
    InputError
        If not; says how much is needed and how many copies would fit.
    """
    free = int(SHARE * (available() if free is None else free))
    if copies * each <= free:
        return
    fits = free // max(each, 1)
    remedy = f"a batch of {fits} fits" if fits else "not even one fits; probe or run less"
    raise InputError(
        f"{what} of {copies} copies takes {size(copies * each)}, and {size(free)} of memory are "
        f"free: {remedy}"
    )


def size(number: float) -> str:
    """A number of bytes, for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"
