"""Tables and progress for people at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns whose cells are all numbers are aligned to the right."""
    if not rows:
        return
    widths = [max(len(row[c]) for row in [head, *rows]) for c in range(len(head))]
    right = [all(_is_number(row[c]) for row in rows) for c in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        aligned = (
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(cells, widths, right, strict=True)
        )
        return "  ".join(aligned).rstrip()

    print(line(head))
    print("  ".join("-" * width for width in widths))
    for row in rows:
        print(line(row))


def _is_number(cell: str) -> bool:
    try:
        float(cell.rstrip("%x").replace(",", "") or "0")
    except ValueError:
        return False
    return True


@contextmanager
def progress(text: str) -> Iterator[Callable[[str], None]]:
    """Show what is going on while the block runs, on the standard error if it is a terminal.

    Yields
    ------
    callable
        ``show(detail)`` says what is being done now.
    """
    if not sys.stderr.isatty():
        yield lambda detail: None
        return
    from rich.console import Console

    with Console(stderr=True).status(text) as status:
        yield lambda detail: status.update(f"{text}: {detail}")


@contextmanager
def progress_bar(text: str, total: int, done: int = 0) -> Iterator[Callable[[int, str], None]]:
    """Show a bar with the time that is left, on the standard error if it is a terminal.

    Parameters
    ----------
    text : str
    total : int
    done : int
        How many are done before it begins; they do not count for the time that is left.

    Yields
    ------
    callable
        ``show(done, detail)`` says how many are done.
    """
    if not sys.stderr.isatty():
        yield lambda done, detail: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(text, total=total, completed=done, detail="")
        yield lambda done, detail: bar.update(task, completed=done, detail=detail)
