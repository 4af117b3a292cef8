"""The built-in learning rules that Nengo does not have, as learning rule types of Nengo."""

from __future__ import annotations

from ...kernels.rules import memristor, stdp, vdsp
from .rule_type import rule_type

STDP = rule_type(stdp.STDP)
VDSP = rule_type(vdsp.VDSP)
MPES = rule_type(memristor.MPES)
VariedMPES = rule_type(memristor.VariedMPES)
