"""What a sweep varies: grids and lists of settings, from Python and from the command line."""

from __future__ import annotations

import inspect
import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...compiler.errors import InputError

Value = int | float | str | bool | None
Setting = dict[str, Value]

TAKEN = ("seed", "run", "error", "trial")
"""Columns of the table that are no setting's."""

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER}):(\d+)(:log)?")
_SPAN = re.compile(rf"({_NUMBER}):({_NUMBER})(:log)?")


def expand(settings: Mapping[str, Sequence[Any]] | Iterable[Mapping[str, Any]]) -> list[Setting]:
    """The settings of a grid, or of a list, with plain values.

    Parameters
    ----------
    settings : mapping of name -> sequence, or iterable of mappings
        A grid stands for all combinations, the last name changing fastest.

    Returns
    -------
    list of dict

    Raises
    ------
    InputError
        If there are none, a value is no number or text, or one comes twice.
    """
    if isinstance(settings, Mapping):
        grid = {name: _values(name, values) for name, values in settings.items()}
        names = list(grid)
        found = [
            dict(zip(names, values, strict=True)) for values in itertools.product(*grid.values())
        ]
    else:
        found = []
        for setting in settings:
            if not isinstance(setting, Mapping):
                raise InputError(
                    f"settings: {setting!r} is no dict; give name -> values for a grid, or a list "
                    "of dicts of name -> value"
                )
            found.append({str(name): plain(str(name), value) for name, value in setting.items()})
    if not found:
        raise InputError("settings: there are none; give each name at least one value")
    known: set[tuple[Any, ...]] = set()
    for setting in found:
        for name in setting:
            check_name(name)
        key = tuple(sorted((n, type(v).__name__, v) for n, v in setting.items()))
        if key in known:
            raise InputError(f"settings: {text(setting)} is given twice; leave one out")
        known.add(key)
    return found


def _values(name: str, values: Any) -> list[Value]:
    if isinstance(values, (str, bytes)) or not isinstance(values, (Iterable, np.ndarray)):
        raise InputError(f"{name} = {values!r}: give a sequence of values, as [{values!r}]")
    found = [plain(name, value) for value in values]
    if not found:
        raise InputError(f"{name}: has no values; give at least one")
    return found


def plain(name: str, value: Any) -> Value:
    """A value as Python's own number, text or truth.

    Raises
    ------
    InputError
        If it is something else: it could not be written into the table.
    """
    if isinstance(value, (np.generic, np.ndarray)) and np.ndim(value) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name} = {value}: must be finite")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise InputError(
        f"{name} = {value!r}: a setting is a number or a text; let `build` make the "
        f"{type(value).__name__} from it"
    )


def check_name(name: str) -> None:
    """Refuse names that the table has for something else.

    Raises
    ------
    InputError
        If it is one of those.
    """
    if name in TAKEN:
        other = "give seeds as seeds" if name == "seed" else "rename the parameter of build"
        raise InputError(f"{name}: the table's own column has this name; {other}")


def text(setting: Mapping[str, Any]) -> str:
    """``lr=0.1 tau=0.02``: a setting for people."""
    return " ".join(f"{name}={value}" for name, value in setting.items()) or "no settings"


def seeds_of(seeds: int | Iterable[int]) -> list[int]:
    """The seeds that a number of them, or a sequence, stands for.

    Raises
    ------
    InputError
        If there are none, one is negative, too large for Nengo, or comes twice.
    """
    if isinstance(seeds, (int, np.integer)):
        found = list(range(int(seeds)))
    else:
        found = []
        for seed in seeds:
            if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
                raise InputError(f"seeds: {seed!r} is no integer")
            found.append(int(seed))
    if not found:
        raise InputError(f"seeds = {seeds}: give at least one")
    for seed in found:
        if not 0 <= seed < 2**31 - 1:
            raise InputError(f"seeds: {seed} must be 0 to {2**31 - 2}")
    if len(set(found)) < len(found):
        raise InputError("seeds: one is given twice; leave one out")
    return found


# -- names ---------------------------------------------------------------------------------------


def split(names: Iterable[str], build: Callable[..., Any]) -> tuple[list[str], list[str]]:
    """Names that are parameters of `build`, and the others: ``label.parameter`` of its network.

    Raises
    ------
    InputError
        If one is neither, or `build` needs a parameter that is not among them.
    """
    names = list(names)
    parameters = parameters_of(build)
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    own = {n for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    own.discard("seed")
    taken = [n for n in names if n in own or (anything and "." not in n)]
    others = [n for n in names if n not in taken]
    for name in others:
        if "." not in name:
            known = ", ".join(sorted(own)) or "none"
            raise InputError(
                f"{name}: build has no such parameter; it has: {known} (parameters of objects in "
                "the network are called label.parameter)"
            )
    return taken, others


def check_complete(setting: Mapping[str, Any], build: Callable[..., Any]) -> None:
    """See that `build` gets all that it needs.

    Raises
    ------
    InputError
        If a parameter without a default is missing.
    """
    for name, parameter in parameters_of(build).items():
        needed = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        )
        if needed and name != "seed" and name not in setting:
            raise InputError(
                f"build needs {name!r}, and {text(setting)} does not give it; add it to the grid "
                "or give it a default"
            )


def takes_seed(build: Callable[..., Any]) -> bool:
    """Whether `build` has a parameter named seed, or takes any name."""
    parameters = parameters_of(build)
    return "seed" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def wants_network(metric: Callable[..., Any]) -> bool:
    """Whether `metric` needs a second argument."""
    needed = [
        p
        for p in parameters_of(metric).values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return len(needed) > 1


def parameters_of(build: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of `build`, by name."""
    return inspect.signature(build).parameters


# -- the command line ------------------------------------------------------------------------------


def parse_grid(arguments: Sequence[str]) -> dict[str, list[Value]]:
    """``NAME=VALUES`` arguments as a grid.

    ``a,b,c`` are these values, ``a:b:n`` n evenly spaced ones from a to b, ``a:b:n:log`` n
    geometrically spaced ones. Integers stay integers, ``true`` and ``false`` are truths, anything
    that is no number is a text.

    Raises
    ------
    InputError
        If an argument is malformed or a name comes twice.
    """
    grid: dict[str, list[Value]] = {}
    for name, values in named(arguments):
        if name in grid:
            raise InputError(f"--grid {name}: is given twice")
        grid[name] = parse_values(name, values)
    return grid


def named(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """``NAME=VALUES`` arguments in two.

    Raises
    ------
    InputError
        If one is malformed.
    """
    found = []
    for argument in arguments:
        name, sign, values = argument.partition("=")
        if not (sign and name.strip() and values.strip()):
            raise InputError(
                f"--grid {argument}: give NAME=VALUES, as lr=0.01,0.1 or tau=0.02:0.1:9"
            )
        found.append((name.strip(), values.strip()))
    return found


def parse_values(name: str, values: str) -> list[Value]:
    """One name's values; see `parse_grid`."""
    found: list[Value] = []
    for part in values.split(","):
        match = _RANGE.fullmatch(part.strip())
        found += _range(name, *match.groups()) if match else [parse_value(part.strip())]
    return found


def parse_span(values: str) -> tuple[Value, Value, bool] | None:
    """``a:b`` or ``a:b:log``: ends and whether by the logarithm; None if it is something else."""
    match = _SPAN.fullmatch(values.strip())
    if match is None:
        return None
    return parse_value(match[1]), parse_value(match[2]), bool(match[3])


def _range(name: str, first: str, last: str, count: str, log: str | None) -> list[Value]:
    low, high, n = float(first), float(last), int(count)
    if n < 1 or (n == 1 and low != high):
        raise InputError(f"--grid {name}: {first}:{last}:{count} needs at least 2 values")
    if log and not (low > 0 and high > 0):
        raise InputError(f"--grid {name}: {first}:{last}:{count}:log must lie above 0")
    values = (np.geomspace if log else np.linspace)(low, high, n)
    # 0.06, not 0.060000000000000005: as a person would write it, if that is the same to 12 digits.
    short = [float(f"{value:.12g}") for value in values]
    whole = all(isinstance(parse_value(end), int) for end in (first, last))
    if whole and all(value.is_integer() for value in short):
        return [int(value) for value in short]
    return list(short)


def parse_value(word: str) -> Value:
    """An integer, a float, a truth, or the text itself."""
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    truths: dict[str, bool] = {"true": True, "false": False}
    return truths.get(word.lower(), word)


def parse_seeds(word: str) -> int | list[int]:
    """``10`` is a number of seeds; ``3,5,8`` are seeds.

    Raises
    ------
    InputError
        If it is something else.
    """
    try:
        return [int(part) for part in word.split(",") if part] if "," in word else int(word)
    except ValueError as e:
        raise InputError(f"--seeds {word}: give a number of seeds, or seeds with commas") from e
