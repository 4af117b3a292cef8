"""What a measurement of accuracy found, as tables and as a picture."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure

from ..report.plots import ERROR_COLOUR, FIXED_COLOUR, FLOAT_COLOUR
from ..terminal import print_table


def print_accuracy(data: dict[str, Any]) -> None:
    """Print accuracy by time and class, both totals, and the search for the smallest formats."""
    fixed, floating = data["fixed"], data["float"]
    few = floating is not None and floating["images"] < fixed["images"]
    how = "mean so far" if data["mean"] else "last value"
    print(
        f"{data['model']}: {fixed['images']} images, {data['steps']} steps of {data['dt']:g} s "
        f"each; the largest {how} of {data['probe']} is the answer"
    )
    print()
    head = ["steps", *(["float Nengo"] if floating else []), "fixed point"]
    rows = []
    for i, step in enumerate(data["times"]):
        cells = [_percent(floating["by_time"][i])] if floating else []
        rows.append([str(step), *cells, _percent(fixed["by_time"][i])])
    print_table(head, rows)
    print()
    rows = []
    for number, count in enumerate(data["class_sizes"]):
        cells = [_percent(floating["by_class"][number])] if floating else []
        rows.append([str(number), str(count), *cells, _percent(fixed["by_class"][number])])
    print_table(["class", "images", *head[1:]], rows)
    print()
    print(f"fixed point: {_total(fixed)}; {formats_text(data['formats'])}")
    for name, count in fixed["saturations"].items():
        print(f"  limited by its format: {name} {count} times")
    if floating is not None:
        print(f"float Nengo: {_total(floating)}")
        both = data["both"]
        speed = both["times_faster"]
        print(
            f"fixed point less float: {100 * both['difference']:+.2f} points"
            + (f" on the first {floating['images']} images" if few else "")
            + f"; same answer for {_percent(both['same'])}"
            + (f"; {speed:,.0f} times as fast per image" if speed else "")
        )
    search = data["search"]
    if search is not None:
        print()
        print(f"smallest formats of at least {_percent(search['wanted'])}:")
        print_table(
            ["weights", "state", "fixed point", ""],
            [
                [
                    str(row["formats"]["weights"]),
                    str(row["formats"]["state"]),
                    _percent(row["accuracy"]),
                    "enough" if row["enough"] else "",
                ]
                for row in search["tried"]
            ],
        )
        found = search["found"]
        print(f"found: {formats_text(found)}" if found else "none is enough: give more steps")
    for advice in data["advice"]:
        print(f"advice: {advice['subject']}: {advice['what']}; {advice['remedy']}")


def formats_text(formats: dict[str, Any]) -> str:
    """Formats in words."""
    layers = ", ".join(f"{name} {bits}" for name, bits in formats["layers"].items())
    text = f"weights of {formats['weights']} bits" + (f" ({layers})" if layers else "")
    machine = ", on a machine so narrow" if formats["narrow"] else ""
    return f"{text}, states of {formats['state']} bits{machine}"


def plot_accuracy(data: dict[str, Any]) -> bytes:
    """Accuracy against presentation time, and against bits where they were searched: a PNG file."""
    search = data["search"]
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = list(figure.subplots(1, 2 if search else 1, squeeze=False)[0])
    if data["float"]:
        axes[0].plot(
            data["times"], [100 * a for a in data["float"]["by_time"]], color=FLOAT_COLOUR,
            linewidth=4, label="float (Nengo)",
        )  # fmt: skip
    axes[0].plot(
        data["times"], [100 * a for a in data["fixed"]["by_time"]], color=FIXED_COLOUR,
        linewidth=1.3, marker=".", label="fixed point",
    )  # fmt: skip
    axes[0].set_xlabel("steps since the image appeared")
    axes[0].set_ylabel("right answers (%)")
    axes[0].legend(frameon=False, fontsize=8, loc="lower right")
    if search:
        names = [f"{r['formats']['weights']}/{r['formats']['state']}" for r in search["tried"]]
        shares = [100 * r["accuracy"] for r in search["tried"]]
        axes[1].plot(range(len(names)), shares, color=FIXED_COLOUR, marker="o", linewidth=1)
        axes[1].set_xticks(range(len(names)), names, fontsize=7, rotation=60)
        axes[1].axhline(100 * search["wanted"], color=ERROR_COLOUR, linewidth=0.8)
        axes[1].set_xlabel("bits of weights / states")
    for a in axes:
        for side in ("top", "right"):
            a.spines[side].set_visible(False)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}%"


def _total(data: dict[str, Any]) -> str:
    each = data["seconds"] / max(data["images"], 1)
    engine = data["engine_seconds"]
    alone = "" if engine is None else f", the engine alone {engine:.2f} s"
    return (
        f"{_percent(data['accuracy'])} of {data['images']} images in {data['seconds']:.2f} s "
        f"({1000 * each:.3g} ms an image{alone})"
    )
