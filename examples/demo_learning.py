"""The learning part of ``make demo``: PES on the chip, beside Nengo's floating point."""

import nengo
import numpy as np
from learning import draw, model, result, wanted, weights

import spikeloom
from spikeloom.runtime.terminal import print_table

SECONDS = 3.0
TAIL = 1000  # steps at the end in which the error that is left is judged
CHECKED_STEPS = 500


def show_learning(picture):
    """Learn on two engines and in float; whether both engines learned the same numbers."""
    with nengo.Simulator(model, progress_bar=False) as reference:
        reference.run(SECONDS)
    with spikeloom.Simulator(model, progress_bar=False) as sim:
        sim.run(SECONDS)
        chip = [item.name for item in sim.placement.items if item.kind == "learning rule"]
    ideal = reference.data[wanted]
    rows = []
    for name, data in (("float Nengo", reference.data), ("on the chip", sim.data)):
        wrong = (data[result] - ideal) ** 2
        first, last = (np.sqrt(np.mean(part)) for part in (wrong[:TAIL], wrong[-TAIL:]))
        rows.append([name, f"{first:.3f}", f"{last:.3f}", f"{np.abs(data[weights][-1]).max():.2e}"])
    print_table(["learning", "RMS error at first", "at last", "largest decoder"], rows)
    found = []
    for engine in ("golden", "native"):
        with spikeloom.Simulator(model, engine=engine, progress_bar=False) as run:
            run.run_steps(CHECKED_STEPS)
            memory = run.chip.engine.memory
            found.append(
                np.stack([memory("weight")[: len(memory("residual"))], memory("residual")])
            )
    differences = int(np.sum(found[0] != found[1]))
    print(
        f"golden = native: {found[0].size} learned words after {CHECKED_STEPS} steps, "
        f"{differences} differences ({', '.join(chip)})"
    )
    draw(sim.trange(), sim.data[result][:, 0], ideal[:, 0], sim.data[weights], picture)
    print(f"picture:     {picture}")
    return differences == 0


if __name__ == "__main__":
    if not show_learning("learning.png"):
        raise SystemExit(1)
