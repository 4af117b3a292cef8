"""Runs on the cores of this machine, in processes of their own."""

from __future__ import annotations

import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from ...compiler.errors import InputError, ModelError, SpikeloomError, ToolError
from .execution import Functions, run_group
from .tasks import Experiment, Outcome, Run, failed
from .worker import BROKEN, DONE, READY

ATTEMPTS = 2
"""How often a run may end its process before it counts as failed."""

PATIENCE = 5.0
"""Seconds for a process that closed its line to end."""

_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Variables that keep linear algebra to one thread.

There is a process for each core; and with another number of threads, a solver's sums come in
another order, and its decoders may differ in their last bits.
"""

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    f"from {__package__}.worker import main; main()"
)


def cores() -> int:
    """Number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


class WorkerDied(Exception):
    """A worker process ended by itself."""


class InProcess:
    """Runs in this process, one after the other."""

    def __init__(self, experiment: Experiment, functions: Functions) -> None:
        self.experiment, self.functions = experiment, functions
        self.width = 1

    def run(self, groups: Sequence[Sequence[Run]]) -> Iterator[Outcome]:
        """Do the runs and yield each outcome as it comes."""
        for group in groups:
            yield from run_group(self.experiment, group, self.functions)

    def close(self) -> None:
        """Nothing to give back."""


class LocalPool:
    """Worker processes on this machine.

    A worker that dies (out of memory, a fault in compiled code) loses no run: those that it had are
    done again, each by itself, and only one that ends its process again counts as failed.

    Parameters
    ----------
    experiment : Experiment
    workers : int, optional
        Number of processes; by default one for each core.

    Attributes
    ----------
    width : int
        Number of processes.
    """

    def __init__(self, experiment: Experiment, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise InputError(f"workers = {workers}: must be at least 1")
        self.experiment = experiment
        self.width = workers or cores()
        self._workers: list[_Worker | None] = [None] * self.width
        self._closed = False

    def run(self, groups: Sequence[Sequence[Run]]) -> Iterator[Outcome]:
        """Do the runs and yield each outcome as it comes.

        Raises
        ------
        ModelError
            If the workers cannot load the model.
        ToolError
            If they cannot be started.
        """
        todo: queue.SimpleQueue[tuple[list[Run], int] | None] = queue.SimpleQueue()
        came: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        for group in groups:
            todo.put((list(group), 1))
        left = sum(len(group) for group in groups)
        threads = [
            threading.Thread(target=self._feed, args=(place, todo, came), daemon=True)
            for place in range(min(self.width, len(groups)))
        ]
        for thread in threads:
            thread.start()
        try:
            while left:
                outcome = came.get()
                if isinstance(outcome, BaseException):
                    raise outcome
                left -= 1
                yield outcome
        except BaseException:
            self.close()
            raise
        finally:
            for _ in threads:
                todo.put(None)
        for thread in threads:
            thread.join()

    def _feed(self, place: int, todo: Any, came: Any) -> None:
        """Keep one worker busy, in a thread of its own."""
        try:
            while (task := todo.get()) is not None:
                group, attempt = task
                done = 0
                try:
                    worker = self._workers[place]
                    if worker is None:
                        worker = self._workers[place] = _Worker(self.experiment)
                    if self._closed:
                        worker.kill()
                        return
                    for outcome in worker.run(group):
                        done += 1
                        came.put(outcome)
                except WorkerDied as e:
                    self._workers[place] = None
                    if self._closed:
                        return
                    lost = group[done:]
                    if len(group) == 1 and attempt >= ATTEMPTS:
                        came.put(failed(lost[0], f"its worker process ended {attempt} times ({e})"))
                        continue
                    # Together they may have been too large: alone, each has another chance.
                    again = attempt + 1 if len(group) == 1 else attempt
                    for run in lost:
                        todo.put(([run], again))
        except BaseException as e:
            came.put(e)

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        self._closed = True
        for worker in self._workers:
            if worker is not None:
                worker.kill()


class _Worker:
    """One process, and the line to it."""

    def __init__(self, experiment: Experiment) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        environment = {**os.environ, **dict.fromkeys(_ONE_THREAD, "1")}
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _START, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env=environment,
            )
        except OSError as e:
            raise ToolError(f"a worker process cannot be started: {e.strerror}") from e
        try:
            self._send(experiment)
            kind, content = self._receive()
        except WorkerDied as e:
            raise ToolError(f"a worker process cannot be started: it {e}") from e
        if kind == BROKEN:
            raise ModelError(content)
        if kind != READY:
            raise SpikeloomError(f"a worker process began with {kind!r}; end it and start again")

    def run(self, group: list[Run]) -> Iterator[Outcome]:
        """Do a group; raises `WorkerDied` if the process ends before all is done."""
        self._send(group)
        while True:
            kind, content = self._receive()
            if kind == DONE:
                return
            yield content

    def kill(self) -> None:
        """End the process now."""
        self.process.kill()
        self.process.wait()
        self._said.close()

    def _send(self, message: Any) -> None:
        assert self.process.stdin is not None
        try:
            pickle.dump(message, self.process.stdin)
            self.process.stdin.flush()
        except OSError as e:
            raise WorkerDied(self._last_words()) from e

    def _receive(self) -> Any:
        assert self.process.stdout is not None
        try:
            return pickle.load(self.process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError) as e:
            raise WorkerDied(self._last_words()) from e

    def _last_words(self) -> str:
        """How it ended, with the last line that it printed."""
        try:
            status = self.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:  # a line that broke off: nothing more can come of it
            self.process.kill()
            status = self.process.wait()
        try:
            how = f"was ended by {signal.Signals(-status).name}" if status < 0 else ""
        except ValueError:
            how = f"was ended by signal {-status}"
        how = how or f"ended with status {status}"
        self._said.seek(0)
        lines = [
            line.strip()
            for line in self._said.read().decode(errors="replace").splitlines()
            if line.strip()
        ]
        return f"{how}: {lines[-1]}" if lines and status > 0 else how
