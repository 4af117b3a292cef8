"""Synapses written in the kernel language: one pole, two poles in cascade, a complex pair.

Every linear filter of Nengo becomes a sum of these (`filter_sections`); their coefficients are
well conditioned in fixed point, unlike those of a high-order direct form.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .expression import scaled
from .kernel import Input, Kernel, Parameter, State

WORST_CONDITION = 1e6
"""Largest condition number of the eigenvectors for a filter to be split into its modes."""


class Lowpass(Kernel):
    """One pole: ``y_n = pole * y_{n-1} + gain * z_n``; the gain is folded into the weights.

    ``nengo.Lowpass(tau)`` has ``pole = exp(-dt/tau)`` and ``gain = 1 - pole``; a pole of 0 is a
    plain delay of one step.
    """

    delayed = True
    homogeneous = True
    output_state = "y"
    pole = Parameter(low=-1, high=1)
    gain = Parameter()
    u = Input()
    y = State()

    def step(self, state: Any, u: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One step; near a pole of 1 the small difference 1 - pole is what must be exact."""
        y = state.y + u - state.y * scaled(1 - self.pole, bound=2)
        return y, {"y": y}

    def input_gain(self, dt: float) -> float:
        """The filter's gain."""
        return self.gain


class Alpha(Kernel):
    """Two real poles in cascade; ``nengo.Alpha`` has them equal.

    ``p_n = pole1 p_{n-1} + u_n`` and ``y_n = pole2 y_{n-1} + feed p_{n-1} + direct u_n``.
    """

    delayed = True
    homogeneous = True
    output_state = "y"
    pole1 = Parameter(low=-1, high=1)
    pole2 = Parameter(low=-1, high=1)
    feed = Parameter(low=-4, high=4)
    direct = Parameter(low=-4, high=4)
    gain = Parameter()
    u = Input()
    p = State()
    y = State()

    def step(self, state: Any, u: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One step."""
        p = state.p + u - state.p * scaled(1 - self.pole1, bound=2)
        y = (
            state.y
            - state.y * scaled(1 - self.pole2, bound=2)
            + state.p * scaled(self.feed, bound=4)
            + u * scaled(self.direct, bound=4)
        )
        return y, {"p": p, "y": y}

    def input_gain(self, dt: float) -> float:
        """The gain in front of the first pole."""
        return self.gain


class Resonance(Kernel):
    """A pair of complex poles ``real +- i imag``, as a rotation of two states.

    ``x_n = real x_{n-1} + imag w_{n-1} + b1 u_n``, ``w_n = real w_{n-1} - imag x_{n-1} + b2 u_n``,
    output x.
    """

    delayed = True
    homogeneous = True
    output_state = "x"
    real = Parameter(low=-1, high=1)
    imag = Parameter(low=-1, high=1)
    b1 = Parameter(low=-1, high=1)
    b2 = Parameter(low=-1, high=1)
    gain = Parameter()
    u = Input()
    x = State()
    w = State()

    def step(self, state: Any, u: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One step."""
        loss = scaled(1 - self.real, bound=2)
        turn = scaled(self.imag, bound=1)
        x = state.x - state.x * loss + state.w * turn + u * scaled(self.b1, bound=1)
        w = state.w - state.w * loss - state.x * turn + u * scaled(self.b2, bound=1)
        return x, {"x": x, "w": w}

    def input_gain(self, dt: float) -> float:
        """The gain in front of both states."""
        return self.gain


def filter_sections(
    A: np.ndarray, B: np.ndarray, C: np.ndarray, D: np.ndarray
) -> list[Kernel] | None:
    """Split a discrete linear filter into sections whose outputs add up to its output.

    Parameters
    ----------
    A, B, C, D : (m, m), (m, 1), (1, m), (1, 1) ndarray
        State space as Nengo's ``LinearFilter`` steps it: ``X_n = A X_{n-1} + B z_n``, with
        ``y_n = C X_n`` if D is 0 and ``y_n = C X_{n-1} + D z_n`` otherwise (Nengo 4.1).

    Returns
    -------
    list of Kernel or None
        None if the filter cannot be expressed: an unstable pole, a delay of several steps, or
        three and more poles (nearly) in one place.
    """
    A = np.atleast_2d(np.asarray(A, dtype=float))
    order = A.shape[0] if A.size else 0
    b = np.ravel(np.asarray(B, dtype=float))
    c = np.ravel(np.asarray(C, dtype=float))
    d = float(np.ravel(np.asarray(D, dtype=float))[0])
    if order == 0:
        return [Lowpass(pole=0.0, gain=d)]
    poles = np.linalg.eigvals(A)
    if np.max(np.abs(poles)) > 1 + 1e-12:
        return None
    sections: list[Kernel] = []
    if d != 0:
        if np.min(np.abs(poles)) < 1e-9:
            return None
        c = np.linalg.solve(A.T, c)
        direct = d - float(c @ b)
        if direct != 0:
            sections.append(Lowpass(pole=0.0, gain=direct))
    modes = _modes(A, b, c)
    return None if modes is None else sections + modes


def _modes(A: np.ndarray, b: np.ndarray, c: np.ndarray) -> list[Kernel] | None:
    order = len(b)
    if order == 1:
        return [Lowpass(pole=_pole(A[0, 0]), gain=float(b[0] * c[0]))]
    if order == 2:
        trace, determinant = float(np.trace(A)), float(np.linalg.det(A))
        discriminant = trace**2 / 4 - determinant
        if discriminant >= -1e-12:
            return _cascade(A, b, c, trace / 2, max(discriminant, 0.0) ** 0.5)
    poles, vectors = np.linalg.eig(A)
    if np.linalg.cond(vectors) > WORST_CONDITION:
        return None
    inputs = np.linalg.solve(vectors, b.astype(complex))
    residues = (c @ vectors) * inputs
    found: list[Kernel] = []
    for pole, residue in zip(poles, residues, strict=True):
        if abs(pole.imag) <= 1e-12:
            found.append(Lowpass(pole=_pole(pole.real), gain=float(residue.real)))
        elif pole.imag > 0:
            # 2 Re(residue * pole**k): the real part of a complex state fed with 2 * residue
            gain = 2 * abs(residue)
            phase = residue / abs(residue)
            found.append(
                Resonance(
                    real=float(pole.real),
                    imag=float(pole.imag),
                    b1=float(phase.real),
                    b2=-float(phase.imag),
                    gain=float(gain),
                )
            )
    return found


def _cascade(
    A: np.ndarray, b: np.ndarray, c: np.ndarray, middle: float, spread: float
) -> list[Kernel] | None:
    pole1, pole2 = _pole(middle + spread), _pole(middle - spread)
    h0, h1 = float(c @ b), float(c @ A @ b)
    numerator1 = h1 - (pole1 + pole2) * h0
    size = abs(h0 + numerator1) / max((1 - pole1) * (1 - pole2), 1e-9)
    gain = (1 - abs(pole1)) * size if abs(pole1) < 1 and size > 0 else 1.0
    direct = h0 / gain
    feed = numerator1 / gain + direct * pole1
    largest = max(abs(direct), abs(feed))
    if largest > 4:  # a filter without response at 0 Hz: let the gain carry it
        gain, direct, feed = gain * largest, direct / largest, feed / largest
    return [Alpha(pole1=pole1, pole2=pole2, feed=feed, direct=direct, gain=gain)]


def _pole(value: float) -> float:
    return float(min(max(np.real(value), -1.0), 1.0))
