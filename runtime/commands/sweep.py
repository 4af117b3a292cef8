"""``spikeloom sweep MODEL.py --grid NAME=VALUES``: many settings and seeds, into one table."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from typing import Any

from ...compiler.errors import InputError, ModelError
from ..sweep.execution import Functions
from ..sweep.settings import parse_grid, parse_seeds, text
from ..sweep.source import file_of_functions
from ..sweep.sweep import Options, Report, perform
from ..sweep.table import Table
from ..sweep.tasks import Experiment
from ..terminal import print_table

HELP = """Run the network that build() in MODEL.py gives, with all combinations of the values of
--grid and all seeds, and write what metric(sim), or metric(sim, network), gives of each run into
one table. Names are parameters of build, or label.parameter of an object in its network. VALUES are
a,b,c or a:b:n (n evenly spaced values) or a:b:n:log. Stopped or killed, the same command goes on
where it was."""
EXAMPLE = (
    "spikeloom sweep examples/sweep_pes.py --grid lr=1e-4:0.1:7:log post.tau_rc=0.01,0.02 "
    "--seeds 3 -o out/sweep"
)

MOST_ROWS = 24
"""Settings whose results are printed; the table has all."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "model", metavar="MODEL.py[:BUILD]", help="file with build() and metric(), maybe time, dt"
    )
    parser.add_argument(
        "--grid", nargs="+", default=[], metavar="NAME=VALUES", action="extend", help="what varies"
    )
    parser.add_argument(
        "--seeds", default="1", metavar="N", help="number of seeds, or seeds with commas (1)"
    )
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="folder for results; "
        "OUT.parquet and OUT.csv write the table there, the rest into the folder OUT")  # fmt: skip
    parser.add_argument(
        "--time", type=float, metavar="S", help="simulated seconds (default: the file's `time`; "
        "without any, metric() runs the simulator itself)"
    )  # fmt: skip
    parser.add_argument(
        "--dt", type=float, metavar="S", help="time step (default: the file's `dt`, or 0.001)"
    )
    parser.add_argument(
        "--metric", default="metric", metavar="NAME", help="the function that measures (metric)"
    )
    parser.add_argument("--engine", default="native", help="what runs it (default: native)")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: one for each core)"
    )
    parser.add_argument(
        "--batch", type=int, metavar="N", help="runs that a worker does at once (default: 1 to 16)"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="run on the workers of this Dask scheduler"
    )
    parser.add_argument(
        "--sampler", metavar="NAME", help="let Optuna choose: optuna:tpe, optuna:random, ...; then "
        "VALUES may be ranges a:b and a:b:log"
    )  # fmt: skip
    parser.add_argument("--trials", type=int, metavar="N", help="settings that it tries")
    parser.add_argument(
        "--objective", default="metric", metavar="NAME", help="metric that it minimises (metric)"
    )
    parser.add_argument("--maximize", action="store_true", help="it maximises it instead")
    parser.add_argument(
        "--retry-failed", action="store_true", help="do runs again that failed before"
    )
    parser.add_argument(
        "--extend", action="store_true", help="go on in a folder that had other values or seeds"
    )
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Sweep; 1 if a run failed."""
    settings = _settings(arguments)
    options = Options(
        out=arguments.output,
        workers=arguments.workers,
        scheduler=arguments.scheduler,
        batch=arguments.batch,
        retry_failed=arguments.retry_failed,
        extend=arguments.extend,
    )
    seeds = parse_seeds(arguments.seeds)
    experiment, functions = _experiment(arguments)
    began = time.perf_counter()
    try:
        report = perform(experiment, functions, settings, seeds, options)
    except KeyboardInterrupt:
        print(
            f"spikeloom: finished runs are kept in {options.folder}; the same command goes on",
            file=sys.stderr,
        )
        raise
    seconds = time.perf_counter() - began
    if arguments.json:
        print(json.dumps(summarise(report, seconds), indent=1))
    else:
        _print(report, seconds, None if arguments.sampler is None else arguments)
    return 1 if report.table.failed else 0


def summarise(report: Report, seconds: float) -> dict[str, Any]:
    """What came out, as a JSON object; numbers that are not finite are null."""
    table = report.table
    return {
        "runs": len(table),
        "done_now": report.runs,
        "seconds": round(seconds, 3),
        "names": table.names,
        "metrics": table.metrics,
        "settings": [
            {
                **row,
                "mean": {name: _finite(value) for name, value in row["mean"].items()},
                "spread": {name: _finite(value) for name, value in row["spread"].items()},
            }
            for row in table.summary()
        ],
        "failed": [
            {"run": o.run.name, "setting": o.run.setting, "seed": o.run.seed, "error": o.error}
            for o in table.failed
        ],
        "warnings": _warnings(table),
        "files": report.files,
    }


def _settings(arguments: argparse.Namespace) -> Any:
    if arguments.sampler is None:
        for name in ("trials", "maximize"):
            if getattr(arguments, name):
                raise InputError(f"--{name} is for a sampler: add --sampler optuna:tpe")
        return parse_grid(arguments.grid) or [{}]
    from ..sweep.trials import Trials, parse_space, sampler_named

    if arguments.trials is None:
        raise InputError("--sampler needs --trials N: how many settings it tries")
    return Trials(
        sampler_named(arguments.sampler),
        parse_space(arguments.grid),
        arguments.trials,
        objective=arguments.objective,
        maximize=arguments.maximize,
    )


def _experiment(arguments: argparse.Namespace) -> tuple[Experiment, Functions]:
    path, _, name = arguments.model.partition(":") if ".py:" in arguments.model else (
        arguments.model, "", "",
    )  # fmt: skip
    variables, make = file_of_functions(path)
    name = name or "build"
    if name not in variables:
        raise ModelError(
            f"{path}: {name} is not defined; let {name}() return the nengo.Network, and "
            "metric(sim) what is measured"
        )
    build, metric = make(name), make(arguments.metric)
    length = arguments.time if arguments.time is not None else variables.get("time")
    step = arguments.dt if arguments.dt is not None else variables.get("dt", 0.001)
    experiment = Experiment(
        build, metric, _seconds(path, "time", length), _seconds(path, "dt", step), arguments.engine
    )
    return experiment, Functions(variables[name], variables[arguments.metric])


def _seconds(path: str, name: str, value: Any) -> Any:
    """A length of time out of a file; a module that it imported as `time` is none."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if value is None or (name == "time" and (callable(value) or hasattr(value, "__spec__"))):
        return None
    raise ModelError(f"{path}: {name} is a {type(value).__name__}; give a number of seconds")


def _print(report: Report, seconds: float, search: argparse.Namespace | None) -> None:
    table = report.table
    before = len(table) - report.runs
    kept = f" ({before} were there before)" if before else ""
    print(f"{len(table)} runs in {seconds:.1f} s{kept}")
    rows = table.summary()
    if search is not None:  # the best first
        sign = -1 if search.maximize else 1
        rows.sort(key=lambda row: sign * _sortable(row["mean"].get(search.objective), sign))
    several = any(row["runs"] > 1 for row in rows)
    head = [*table.names]
    for metric in table.metrics:
        head += [metric, "spread"] if several else [metric]
    cells = []
    for row in rows[:MOST_ROWS]:
        line = [_cell(row["setting"].get(name)) for name in table.names]
        for metric in table.metrics:
            for of in ("mean", "spread") if several else ("mean",):
                line.append(_cell(row[of].get(metric), 4))
        cells.append(line)
    if table.metrics:
        print_table(head, cells)
        if len(rows) > MOST_ROWS:
            print(f"and {len(rows) - MOST_ROWS} settings more")
    for warning, count in list(_warnings(table).items())[:3]:
        print(f"{count} runs warned: {warning}")
    for outcome in table.failed[:5]:
        print(f"failed: {text(outcome.run.setting)} seed={outcome.run.seed}: {outcome.error}")
    if len(table.failed) > 5:
        print(f"and {len(table.failed) - 5} more failed; --retry-failed does them again")
    for path in report.files.values():
        print(f"written: {path}")


def _cell(value: Any, digits: int = 6) -> str:
    if value is None:
        return ""
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def _sortable(value: float | None, sign: int) -> float:
    """Settings without a result come last."""
    return value if value is not None and math.isfinite(value) else sign * math.inf


def _warnings(table: Table) -> dict[str, int]:
    """How many runs warned of what, the most frequent first."""
    found: dict[str, int] = {}
    for outcome in table.outcomes:
        for warning in outcome.warnings:
            found[warning] = found.get(warning, 0) + 1
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
