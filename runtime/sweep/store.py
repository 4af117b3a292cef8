"""The folder of a sweep: what it is about, and every finished run, written as soon as it is there.

``sweep.json`` says what is swept; ``runs.jsonl`` has a line for each finished run, in the order in
which they finished. A process that is killed leaves at worst half a line, which counts as nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...compiler.errors import InputError, ToolError
from ...compiler.files import write_file
from .settings import Setting
from .tasks import Outcome, Run

DESCRIPTION, RUNS, TIMES = "sweep.json", "runs.jsonl", "times.csv"
FORMAT = "spikeloom sweep 1"

GROWS = ("settings", "seeds", "sampler")
"""Parts of a description that may differ where a sweep is extended: no run's result depends on
them."""


class Folder:
    """A sweep's folder, made or gone on with.

    Parameters
    ----------
    path : str or Path
    description : mapping
        What the sweep is, as a JSON object.
    extend : bool
        Whether settings and seeds may be others than those of before.

    Attributes
    ----------
    path : Path
    before : dict or None
        The description that was there.
    finished : dict of run name -> Outcome
    trials : dict of number -> setting
        What a sampler chose.

    Raises
    ------
    InputError
        If the folder holds something else, another sweep, or is in use.
    ToolError
        If it cannot be written.
    """

    def __init__(
        self, path: str | Path, description: Mapping[str, Any], extend: bool = False
    ) -> None:
        self.path = Path(path)
        self.finished: dict[str, Outcome] = {}
        self.trials: dict[int, Setting] = {}
        self._file: int | None = None
        description = {"format": FORMAT, **description}
        self.before = self.description(self.path)
        if self.before is not None:
            _compare(self.path, self.before, description, extend)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path / RUNS, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as e:
            raise ToolError(
                f"{self.path} cannot be written: {e.strerror}; choose another place"
            ) from e
        try:
            self._lock()
            self._read_runs()
            if description != self.before:
                text = json.dumps(description, indent=1) + "\n"
                write_file(self.path / DESCRIPTION, text.encode())
        except BaseException:
            self.close()
            raise

    @staticmethod
    def description(path: Path) -> dict[str, Any] | None:
        """What a folder says that its sweep is; None if there is none yet.

        Raises
        ------
        InputError
            If the folder holds something else.
        """
        try:
            found = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            # With runs alone, and none in it, it was killed before it began.
            if path.is_dir() and {p.name for p in path.iterdir()} <= {RUNS}:
                return None
            if os.path.lexists(path):
                raise InputError(
                    f"{path} exists and holds no sweep; choose another place"
                ) from None
            return None
        except (OSError, ValueError) as e:
            raise InputError(
                f"{path / DESCRIPTION} cannot be read ({e}); choose another place"
            ) from e
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise InputError(
                f"{path} was written by another version of Spikeloom; choose another place"
            )
        return found

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # not on this system: two at once are the user's to avoid
            return
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise InputError(
                f"{self.path}: another sweep is writing there; wait for it, or choose another place"
            ) from e
        except OSError:  # a file system without locks
            return

    def _read_runs(self) -> None:
        assert self._file is not None
        content = (self.path / RUNS).read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.ftruncate(self._file, len(whole))  # or the next line would be joined to it
        for line in whole.splitlines():
            try:
                data = json.loads(line)
                if "trial" in data:
                    self.trials[int(data["trial"])] = dict(data["setting"])
                    continue
                outcome = Outcome.from_json(data)
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # damaged: that run is done again
            self.finished[outcome.run.name] = outcome

    def forget_failed(self) -> None:
        """Let failed runs count as not done yet."""
        self.finished = {name: o for name, o in self.finished.items() if not o.error}

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Keep finished runs; they are on the disk when this returns.

        Raises
        ------
        ToolError
            If they cannot be written.
        """
        self._append([outcome.to_json() for outcome in outcomes])
        for outcome in outcomes:
            self.finished[outcome.run.name] = outcome

    def note(self, trials: Mapping[int, Setting]) -> None:
        """Keep what a sampler chose, before it is run.

        Raises
        ------
        ToolError
            If it cannot be written.
        """
        self._append([{"trial": n, "setting": setting} for n, setting in trials.items()])
        self.trials |= trials

    def _append(self, objects: Sequence[Mapping[str, Any]]) -> None:
        assert self._file is not None
        lines = b"".join(json.dumps(o).encode() + b"\n" for o in objects)
        try:
            while lines:
                lines = lines[os.write(self._file, lines) :]
            os.fsync(self._file)
        except OSError as e:
            raise ToolError(
                f"{self.path / RUNS} cannot be written: {e.strerror}; make room and run the same "
                "sweep again: it goes on from here"
            ) from e

    def outcomes(self, runs: Iterable[Run]) -> list[Outcome]:
        """What came of runs, in their order, as far as they are finished."""
        return [self.finished[run.name].of(run) for run in runs if run.name in self.finished]

    def close(self) -> None:
        """Let others write there."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Memory:
    """Finished runs of a sweep that has no folder; see `Folder`."""

    def __init__(self) -> None:
        self.finished: dict[str, Outcome] = {}
        self.trials: dict[int, Setting] = {}

    def forget_failed(self) -> None:
        """There is nothing from before."""

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Keep finished runs."""
        self.finished |= {outcome.run.name: outcome for outcome in outcomes}

    def note(self, trials: Mapping[int, Setting]) -> None:
        """Keep what a sampler chose."""
        self.trials |= trials

    def outcomes(self, runs: Iterable[Run]) -> list[Outcome]:
        """What came of runs, in their order, as far as they are finished."""
        return [self.finished[run.name].of(run) for run in runs if run.name in self.finished]

    def close(self) -> None:
        """Nothing to give back."""


def _compare(path: Path, there: dict[str, Any], here: Mapping[str, Any], extend: bool) -> None:
    """Refuse to mix two sweeps."""
    different = [
        key
        for key in dict.fromkeys([*here, *there])
        if key != "versions" and there.get(key) != here.get(key)
    ]
    grown = [key for key in different if key in GROWS]
    if different == grown and (extend or not grown):
        return
    texts = []
    for key in different:
        texts += _difference(key, there.get(key), here.get(key))
    remedy = "choose another place, or remove it"
    if different == grown:
        remedy += ", or keep its runs and go on with these settings (--extend)"
    raise InputError(f"{path} holds another sweep: {'; '.join(texts)}; {remedy}")


def _difference(key: str, there: Any, here: Any) -> list[str]:
    if isinstance(there, dict) and isinstance(here, dict):
        found: list[str] = []
        for name in dict.fromkeys([*there, *here]):
            if there.get(name) != here.get(name):
                label = name if key == "settings" else f"{key} {name}"
                found += _difference(label, there.get(name), here.get(name))
        return found or [f"{key} in another order"]
    return [f"{key} {_shown(there)} there, {_shown(here)} here"]


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list):
        text = ",".join(str(v) if not isinstance(v, dict) else json.dumps(v) for v in value)
    else:
        text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
