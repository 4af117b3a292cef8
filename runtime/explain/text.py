"""What `explain` found, as tables for people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..terminal import print_table

WEIGHTS_SHOWN = 12
"""The largest weights of one table are listed one by one, this many."""


def print_explanation(data: dict[str, Any]) -> None:
    """Print the tables of the layers, the connections and the chip's weights, then the neuron."""
    bits = data["machine"]["weight_bits"]
    print(f"{data['model']}: one step is {data['dt']:g} s")
    print("\nLAYERS   J = gain * (sum of W x) + bias; a spike is worth amplitude / dt")
    print_table(
        ["layer", "neurons", "type", "gain", "bias", "parameters", "a spike", "formats"],
        [_layer(row, data["dt"]) for row in data["layers"]],
    )
    print("\nCONNECTIONS   one spike = amplitude / dt * first share of the synapse * W * gain")
    print_table(
        ["connection", "transform", "weights", "synapse", "first share", "one spike adds", "to"],
        [_connection(row) for row in data["connections"]],
    )
    print(
        f"\nTABLES   what the chip holds, {bits} bit: gains, amplitude / dt and the synapse's own "
        "gain folded in"
    )
    print_table(
        ["from", "to", "shape", "not 0", "float", "integer", "1 is worth", "rounding", "lost"],
        [_table(row) for row in data["tables"]],
    )
    print_neuron(data["neuron"])


def _layer(row: dict[str, Any], dt: float) -> list[str]:
    formats = row["formats"] or {}
    return [
        row["name"],
        str(row["neurons"]),
        row["neuron_type"],
        _range(row["gain"]),
        _range(row["bias"]),
        " ".join(f"{name}={value:g}" for name, value in row["parameters"].items()),
        f"{row['parameters'].get('amplitude', 1.0) / dt:g}" if row["spiking"] else "",
        ", ".join(f"{name} {power(unit)}" for name, unit in formats.items()) or "on the host",
    ]


def _connection(row: dict[str, Any]) -> list[str]:
    return [
        row["name"] + (" (learned)" if row["learned"] else ""),
        f"{row['transform']} {'x'.join(map(str, row['shape'])) or 'scalar'}",
        _range(row["weights"]),
        row["synapse"] or "none",
        "" if row["first"] is None else f"{row['first']:.4g}",
        "" if row["one_spike"] is None else _range(row["one_spike"]),
        row["into"],
    ]


def _table(row: dict[str, Any]) -> list[str]:
    return [
        row["source"],
        row["target"],
        "x".join(map(str, row["shape"])),
        str(row["weights"]),
        _range(row["float"]),
        f"{row['integer'][0]} .. {row['integer'][1]}",
        f"2^{-row['fraction']}",
        f"{100 * row['relative_error']:.2g}%",
        str(row["lost"]),
    ]


def print_neuron(neuron: dict[str, Any]) -> None:
    """Print the path of one neuron and its first steps."""
    at = _position(neuron["shapes"], neuron["ensemble"], neuron["index"])
    print(f"\nNEURON {neuron['neuron']}{at}   {neuron['type']}")
    where = f"{neuron['population']}, element {neuron['element']}"
    print(f"on the chip: kernel {neuron['kernel']} of population {where}")
    if neuron["gain"] is not None:
        print(f"gain {neuron['gain']:.6g}, bias of the ensemble {neuron['own_bias']:.6g}")
    bias = neuron["bias"]
    print_table(
        ["", "float", "integer", "1 is worth"],
        [
            ["bias with all constants", f"{bias['float']:.9g}", str(bias["integer"]),
             f"2^{-bias['fraction']}"],
            *([["threshold of the voltage", f"{neuron['threshold']['float']:.9g}",
                str(neuron["threshold"]["integer"]), power(_unit(neuron, "voltage"))]]
              if neuron["threshold"] else []),
            *([f"first {s['name']}".replace("_", " "), f"{s['initial']['float']:.9g}",
               str(s["initial"]["integer"]), power(s["unit"])] for s in neuron["states"]),
            ["current of 1", "1", str(round(1 / neuron["current"]["unit"])),
             power(neuron["current"]["unit"])],
        ],
    )  # fmt: skip
    shift = neuron["sum"]["shift_to_current"]
    if shift:
        print(f"current = sum {'>>' if shift > 0 else '<<'} {abs(shift)}")
    print(f"registers: {neuron['registers'] or 'none'}")
    if neuron["spike"] is not None:
        print(
            f"one spike of it is worth amplitude / dt = {neuron['spike']['value']:g} "
            f"(amplitude {neuron['spike']['amplitude']:g})"
        )
    print("\nits weights (current: what one spike, or a value of 1, adds at first)")
    print_table(
        ["from", "element", "float", "integer", "1 is worth", "current"],
        list(_weight_rows(neuron["weights"], neuron["shapes"], 0)),
    )
    print()
    print_steps(neuron["steps"])


def _position(shapes: dict[str, list[int]], name: str, element: int) -> str:
    """Where an element lies in an image, if it is part of one."""
    shape = shapes.get(name)
    if shape is None or element >= math.prod(shape):
        return ""
    return f" ({', '.join(str(int(i)) for i in np.unravel_index(element, shape))})"


def _weight_rows(
    tables: Sequence[dict[str, Any]], shapes: dict[str, list[int]], depth: int
) -> Iterator[list[str]]:
    for table in tables:
        name = "  " * depth + table["from"] + (f" ({table['kind']})" if not depth else "")
        count = len(table["elements"])
        largest = sorted(range(count), key=lambda i: -abs(table["float"][i]))[:WEIGHTS_SHOWN]
        for i in sorted(largest):
            yield [
                name,
                f"{table['elements'][i]}{_position(shapes, table['from'], table['elements'][i])}",
                f"{table['float'][i]:.9g}",
                str(table["integer"][i]),
                f"2^{-table['fraction']}",
                f"{table['current'][i]:.6g}",
            ]
        if count > WEIGHTS_SHOWN:
            yield [
                f"{'  ' * depth}... and {count - WEIGHTS_SHOWN} smaller ones",
                "",
                "",
                "",
                "",
                "",
            ]
        if "behind" in table:
            yield [f"{'  ' * depth}  through {table['through']}:", "", "", "", "", ""]
            yield from _weight_rows(table["behind"], shapes, depth + 1)


def print_steps(steps: Sequence[dict[str, Any]]) -> None:
    """Print the trace: each signal as Nengo's float, the chip's integer, and that decoded."""
    if not steps:
        return
    names = [name for name, value in steps[0].items() if isinstance(value, dict) and
             "integer" in value]  # fmt: skip
    head = ["step"]
    for name in names:
        title = name.replace("_", " ")
        head += [f"{title} (float)", "integer", "decoded"]
    spiking = "spikes" in steps[0]
    if spiking:
        head += ["spikes (float)", "fixed"]
    rows = []
    for entry in steps:
        cells = [str(entry["step"])]
        for name in names:
            value = entry[name]
            missing = math.isnan(value["float"])
            cells += [
                "" if missing else f"{value['float']:.6f}",
                str(value["integer"]),
                f"{value['decoded']:.6f}",
            ]
        if spiking:
            cells += [str(n) if n else "" for n in entry["spikes"].values()]
        rows.append(cells)
    print_table(head, rows)


def power(unit: float) -> str:
    """A power of two as such, another number as it is."""
    mantissa, exponent = math.frexp(unit)
    return f"2^{exponent - 1}" if mantissa == 0.5 else f"{unit:.4g}"


def _unit(neuron: dict[str, Any], state: str) -> float:
    return float(next(s["unit"] for s in neuron["states"] if s["name"] == state))


def _range(ends: Sequence[float]) -> str:
    low, high = ends
    return f"{low:.4g}" if low == high else f"{low:.4g} .. {high:.4g}"
