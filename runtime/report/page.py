"""The report of a compilation: ``report.json`` for scripts and ``report.html`` for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...compiler.cost import memory_sizes, step_cycles
from ...compiler.disassembly import disassemble
from ...compiler.program import Program
from ...compiler.storage import program_hash
from ..comparison import SPIKES, Comparison
from ..replay import Replay
from .advice import Advice
from .measured import Measured


@dataclass
class Findings:
    """Everything that is known about a compiled model.

    Attributes
    ----------
    program : Program
    placement : list of dict
        A row per object of the model: ``object``, ``kind``, ``neurons``, ``where`` (``"chip"``,
        ``"host"`` or ``"chip and host"``) and ``reason``.
    ensembles : list of dict
        A row per ensemble with its folded parameters.
    origins : dict of str -> str
        Where the ranges of signals come from, for those where the Program's notes do not say.
    comparisons : list of Comparison
        One per probe; empty if nothing was run.
    seen : Replay or None
    inputs : dict of str -> (steps, size) float64 ndarray
        What the host sent during the run.
    steps : int
        Length of the run.
    timings : dict of str -> float
        Seconds that each part of the work took.
    hardware : dict or None
        The board and what was built for it (`spikeloom.runtime.deployment.hardware_data`).
    measured : Measured or None
        What the advice is based on.
    advice : list of Advice
    """

    program: Program
    placement: list[dict[str, Any]] = field(default_factory=list)
    ensembles: list[dict[str, Any]] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    seen: Replay | None = None
    inputs: Mapping[str, np.ndarray] = field(default_factory=dict)
    steps: int = 0
    timings: dict[str, float] = field(default_factory=dict)
    hardware: dict[str, Any] | None = None
    measured: Measured | None = None
    advice: list[Advice] = field(default_factory=list)


def report_data(findings: Findings) -> dict[str, Any]:
    """The content of ``report.json``."""
    from ... import __version__

    program = findings.program
    sizes = memory_sizes(program)
    return {
        "spikeloom": __version__,
        "model": program.name,
        "program_hash": program_hash(program),
        "dt": program.dt,
        "run": {"steps": findings.steps, "seconds": findings.steps * program.dt},
        "machine": program.machine.to_json(),
        "placement": findings.placement,
        "neurons": _neurons(findings.placement),
        "ensembles": findings.ensembles,
        "advice": [advice.to_json() for advice in findings.advice],
        "signals": _signals(findings),
        "probes": [comparison.summary() for comparison in findings.comparisons],
        "memories": {
            name: {"words": size.words, "bits_per_word": size.bits, "bits": size.total_bits}
            for name, size in sizes.items()
        },
        "memory_bits": sum(size.total_bits for size in sizes.values()),
        "sharing": program.notes.get("sharing", []),
        "cycles": _cycles(program, findings.seen),
        "phases": len(program.phases),
        "instructions": len(program.instructions),
        "saturations": findings.seen.saturations if findings.seen else None,
        "hardware": findings.hardware and {**findings.hardware, "step": _step_times(findings)},
        "timings": findings.timings,
    }


def _neurons(placement: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    counts = {"chip": 0, "host": 0}
    for row in placement:
        counts["chip" if row["where"].startswith("chip") else "host"] += row.get("neurons") or 0
    return counts


def _signals(findings: Findings) -> list[dict[str, Any]]:
    program = findings.program
    bits = program.machine.value_bits
    rows = []
    for note in program.notes.get("formats", []):
        fraction = note["value_fraction"]
        observed = None
        if note["node"] in findings.inputs:
            observed = float(np.abs(findings.inputs[note["node"]]).max(initial=0.0))
        elif findings.seen and note["node"] in findings.seen.largest:
            observed = findings.seen.largest[note["node"]].get("output")
        population = program.populations.get(note["node"])
        # The output unit of a population says what a count is worth after folding.
        unit = population.output_unit if population else None
        if unit is None and fraction is not None:
            unit = 2.0**-fraction
        spikes = population and program.kernels[population.kernel].emits == "events"
        rows.append(
            {
                "signal": note["node"],
                "members": [name for name, _, _ in population.members] if population else [],
                "what": note["origin"],
                "kernel": note["kernel"],
                "size": note["size"],
                "bits": None if fraction is None or spikes else bits,
                "resolution": None if spikes else unit,
                "range": None if unit is None or spikes else unit * 2.0 ** (bits - 1),
                "limit": None if unit is None or spikes else note["limit"] * unit * 2.0**fraction,
                "limit_from": (
                    note["limit_from"]
                    if note["limit_from"] == "proved"
                    else findings.origins.get(note["node"], note["limit_from"])
                ),
                "largest_seen": observed,
                "state_bits": program.machine.state_bits if note["state_fractions"] else None,
                "state_fractions": note["state_fractions"],
                "accumulator_fraction": note["accumulator_fraction"],
                "input_fraction": note["input_fraction"],
                "clipped_weights": note["clipped_weights"],
                "saturations": (
                    findings.seen.saturations.get(note["node"], 0) if findings.seen else None
                ),
            }
        )
    return rows


def _cycles(program: Program, seen: Replay | None) -> dict[str, Any]:
    idle = step_cycles(program)
    data: dict[str, Any] = {"without_events": idle.total}
    if seen is not None and len(seen.cycles):
        worst = int(seen.cycles.max())
        data |= {
            "mean": float(seen.cycles.mean()),
            "largest": worst,
            "multiplying_share": float(seen.multiplying.sum() / seen.cycles.sum()),
            "events_per_step": float(sum(e.sum() for e in seen.events.values()) / len(seen.cycles)),
            "clock_hz_for_real_time": worst / program.dt,
        }
    return data


def _step_times(findings: Findings) -> dict[str, float] | None:
    """Seconds of a step on the board, without the exchange with the host."""
    if findings.hardware is None or findings.seen is None or not len(findings.seen.cycles):
        return None
    clock = findings.hardware["clock_hz"]
    largest = float(findings.seen.cycles.max()) / clock
    return {
        "mean_seconds": float(findings.seen.cycles.mean()) / clock,
        "largest_seconds": largest,
        "real_time_factor": findings.program.dt / largest,
    }


def render_report(findings: Findings, data: Mapping[str, Any]) -> str:
    """The content of ``report.html``.

    Parameters
    ----------
    findings : Findings
    data : dict
        As `report_data` gives it.
    """
    from jinja2 import Environment, PackageLoader, select_autoescape
    from markupsafe import Markup

    from .advice_plots import plot_errors, plot_parts, plot_rates
    from .plots import (
        plot_cycles,
        plot_memories,
        plot_spikes,
        plot_values,
    )

    environment = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=select_autoescape(["j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = format_number
    plots = [
        Markup(plot_spikes(c) if c.kind == SPIKES else plot_values(c)) for c in findings.comparisons
    ]
    cycles = None
    if findings.seen is not None and len(findings.seen.cycles):
        idle = data["cycles"]["without_events"]
        cycles = Markup(plot_cycles(findings.seen.cycles, idle, findings.program.dt))
    pictures = []
    if findings.measured is not None:
        for plot in (plot_rates, plot_errors, plot_parts):
            picture = plot(findings.measured)
            if picture is not None:
                pictures.append((plot.__doc__, Markup(picture)))
    bits = {name: memory["bits"] for name, memory in data["memories"].items()}
    return environment.get_template("page.html.j2").render(
        data=data,
        event_kernels=[c.name for c in findings.program.kernels.values() if c.emits == "events"],
        plots=plots,
        pictures=pictures,
        cycles_plot=cycles,
        memory_plot=Markup(plot_memories(bits)),
        listing=disassemble(findings.program),
    )


def format_number(value: Any, digits: int = 4) -> str:
    """A number for people; a dash where there is none."""
    if value is None:
        return "–"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    return f"{value:,.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"
