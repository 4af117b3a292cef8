"""The image of every memory: what is uploaded into hardware, in the order in which it has it."""

from __future__ import annotations

import numpy as np

from .encoding import Encoding
from .errors import ProgramError
from .instructions import Cnv, Evt, Mac, Upd
from .program import Program
from .shape import Shape


def _order(program: Program) -> np.ndarray:
    """For each word of the hardware's weight memory, which word of the Program's stands there.

    All rows of a matrix's first word come first, then those of its second, and so on. So the
    hardware finds them by counting, without a multiplication by the rows' pitch.

    Raises
    ------
    ProgramError
        If two instructions see the same weights as matrices of different shapes.
    """
    order = np.arange(program.weight.shape[0])
    seen: dict[int, tuple[int, int]] = {}
    for i in program.instructions:
        if isinstance(i, (Mac, Evt, Upd)):
            matrix = (i.rows, i.words)
        elif isinstance(i, Cnv):
            matrix = (i.kernel, 1)
        else:
            continue
        if seen.setdefault(i.weights, matrix) != matrix:
            raise ProgramError(f"{i.opcode} {i.comment}: other instructions share a part of it")
    end = 0
    for start, (rows, words) in sorted(seen.items()):
        if start < end:
            raise ProgramError(f"the matrices at weight words {start} and before overlap")
        end = start + rows * words
        order[start:end] = order[start:end].reshape(rows, words).T.reshape(-1)
    return order


def to_hardware(program: Program, content: np.ndarray) -> np.ndarray:
    """Words of weights, residuals or synapse states in the order in which the hardware has them.

    Parameters
    ----------
    program : Program
    content : (words, lanes) ndarray
        All words of the weight memory, or the learned ones.

    Returns
    -------
    (words * lanes,) int64 ndarray
        Elements.
    """
    return np.asarray(content, np.int64)[_order(program)[: len(content)]].reshape(-1)


def from_hardware(program: Program, elements: np.ndarray) -> np.ndarray:
    """The inverse of `to_hardware`: int64 (words, lanes)."""
    laid = np.asarray(elements, np.int64).reshape(-1, program.machine.lanes)
    content = np.empty_like(laid)
    content[_order(program)[: len(laid)]] = laid
    return content


def constant_memories(program: Program) -> tuple[str, ...]:
    """The memories of an `image` whose content stays: a reset has no need to write them again.

    Learned weights are the exception.
    """
    stencil = ("stencil",) if len(program.stencil) else ()
    return ("weight", "instruction", *stencil, *program.tables)


def image(program: Program, shape: Shape) -> tuple[dict[str, np.ndarray], list[int]]:
    """What has to stand in each memory before the first step, and the phases' start addresses.

    Returns
    -------
    dict of memory name -> object or int64 ndarray of elements
        From element 0 on; what lies beyond is irrelevant. Accumulators, events, counts and
        saturation counters start as zero and are not listed.
    list of int
    """
    words, starts = Encoding(shape).encode(program)
    content: dict[str, np.ndarray] = {
        "weight": to_hardware(program, program.weight),
        "value": np.asarray(program.value, np.int64),
        "instruction": np.array(words, object),
    }
    for k in range(program.state.shape[0]):
        content[f"state{k}"] = np.asarray(program.state[k], np.int64)
    if len(program.stencil):
        content["stencil"] = Encoding(shape).stencil_elements(program.stencil)
    if program.plastic_words:
        content["residual"] = to_hardware(program, program.residual)
    for k in range(program.synapse.shape[0]):
        content[f"synapse{k}"] = to_hardware(program, program.synapse[k])
    for name, entries in program.tables.items():
        content[name] = np.ascontiguousarray(entries, np.int64).reshape(-1)
    return content, starts
