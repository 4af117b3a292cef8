"""What place and route says of a design: clock reached, limiting path, utilisation."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from ..compiler.errors import ToolError

GLOBAL_PREFIXES = ("$glbnet$", "$PACKER_")
"""What routers put before the name of a net on a global line."""


@dataclass(frozen=True)
class PathStep:
    """One piece of the limiting path.

    Attributes
    ----------
    kind : str
        ``clk-to-q``, ``logic``, ``routing`` or ``setup``.
    delay_ns : float
    place : str
        Cell and port at its end, or the net.
    """

    kind: str
    delay_ns: float
    place: str


@dataclass(frozen=True)
class Routed:
    """A placed and routed design.

    Attributes
    ----------
    wanted_mhz, reached_mhz : float
        Of the loom's clock.
    path : tuple of PathStep
        The path that limits it.
    utilisation : dict of resource -> (used, available)
    """

    wanted_mhz: float
    reached_mhz: float
    path: tuple[PathStep, ...]
    utilisation: dict[str, tuple[int, int]]

    @property
    def met(self) -> bool:
        """Whether the clock is reached."""
        return self.reached_mhz >= self.wanted_mhz

    @property
    def limit(self) -> str:
        """The limiting path in one line."""
        if not self.path:
            return "none"
        total = sum(step.delay_ns for step in self.path)
        wires = sum(step.delay_ns for step in self.path if step.kind == "routing")
        return (
            f"{self.path[0].place} -> {self.path[-1].place}: {total:.1f} ns, "
            f"{wires:.1f} ns of it in wires"
        )

    def to_json(self) -> dict[str, Any]:
        """The design as a JSON object."""
        data = asdict(self)
        data["utilisation"] = {
            name: {"used": used, "available": there}
            for name, (used, there) in self.utilisation.items()
        }
        return data | {"met": self.met, "limit": self.limit}


def parse(report: str, wanted_mhz: float) -> Routed:
    """Read the JSON report of nextpnr; the loom's clock is the one with the longest path in it.

    Raises
    ------
    ToolError
        If the report is not what is expected.
    """
    try:
        data = json.loads(report)
        clocks = {name: float(c["achieved"]) for name, c in data["fmax"].items()}
        if not clocks:
            raise KeyError("fmax")
        # Clocks of the board's crystal drive next to nothing; the loom's is the slowest reached.
        name = min(clocks, key=lambda clock: clocks[clock])
        path: list[dict[str, Any]] = next(
            (
                p["path"]
                for p in data["critical_paths"]
                if _clock(p["from"]) == name and _clock(p["to"]) == name
            ),
            [],
        )
        used = {
            resource: (int(u["used"]), int(u["available"]))
            for resource, u in data["utilization"].items()
            if u["used"]
        }
        return Routed(wanted_mhz, clocks[name], tuple(_step(s) for s in path), used)
    except (KeyError, TypeError, ValueError) as e:
        raise ToolError(f"nextpnr's report is not understood: {e!r}") from e


def _clock(event: str) -> str:
    """``posedge NET`` -> ``NET``."""
    return event.split(" ", 1)[-1]


def _step(step: dict[str, Any]) -> PathStep:
    end = step["to"]
    place = f"{end['cell']}.{end['port']}"
    if step["type"] == "routing":
        place = str(step.get("net", place))
    return PathStep(str(step["type"]), float(step["delay"]), short(place))


def short(name: str) -> str:
    """A cell's name without what synthesis appended to the signal's."""
    for prefix in GLOBAL_PREFIXES:
        name = name.removeprefix(prefix)
    return re.sub(r"(_(TRELLIS|SB|LUT4|CCU2C|PFUMX|L6MUX21)[A-Za-z0-9_]*)+", "", name)
