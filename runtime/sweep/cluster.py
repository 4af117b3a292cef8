"""Runs on a Dask cluster: on several machines, or through SLURM and PBS by dask-jobqueue."""

from __future__ import annotations

import logging
import queue
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from ...compiler.errors import LinkError, ModelError, SpikeloomError, ToolError
from .execution import run_group
from .tasks import Experiment, Outcome, Run, failed

ANSWER = 10.0
"""Seconds that a scheduler has to answer."""

PATIENCE = 60.0
"""Seconds without any worker (queues of clusters may start them later) until it is given up."""

LOOK = 0.5
"""Seconds between two looks at whether there are workers still."""


class Cluster:
    """The workers of a Dask scheduler.

    Dask itself gives the runs of a worker that is lost to another one. Each worker does one group
    at a time, so that processes of one thread use the cores best
    (``dask worker ADDRESS --nworkers auto --nthreads 1``).

    Parameters
    ----------
    experiment : Experiment
    scheduler : str, or a cluster or client of dask.distributed
        Address of the scheduler, as ``tcp://10.0.0.1:8786``, or what knows it.
    patience : float, optional
        Seconds to wait while there is no worker; `PATIENCE` if left out.

    Attributes
    ----------
    width : int
        Number of workers.

    Raises
    ------
    ToolError
        If dask.distributed is not installed.
    LinkError
        If no scheduler answers, or it has no workers.
    """

    def __init__(
        self, experiment: Experiment, scheduler: Any, patience: float | None = None
    ) -> None:
        try:
            from distributed import Client
        except ImportError as e:
            raise ToolError(
                "a scheduler needs dask.distributed: pip install 'spikeloom[dask]'"
            ) from e
        self.experiment = experiment
        self.patience = patience = PATIENCE if patience is None else patience
        self._own = not isinstance(scheduler, Client)
        # What it logs of a scheduler that is gone is said in one line here.
        self._log = logging.getLogger("distributed.client")
        self._level = self._log.level
        if self._own:
            self._log.setLevel(logging.CRITICAL)
        try:
            self.client = (
                Client(scheduler, timeout=ANSWER, set_as_default=False) if self._own else scheduler
            )
        except (OSError, ValueError, TypeError) as e:
            self._log.setLevel(self._level)
            raise LinkError(
                f"no Dask scheduler answers at {scheduler}; start one with `dask scheduler` and "
                "give the address that it prints"
            ) from e
        self.address = str(getattr(self.client.scheduler, "address", scheduler))
        try:
            self.client.wait_for_workers(1, timeout=patience)
        except OSError as e:  # TimeoutError is one
            self.close()
            raise LinkError(self._nobody()) from e
        self.width = max(len(self._workers()), 1)

    def run(self, groups: Sequence[Sequence[Run]]) -> Iterator[Outcome]:
        """Do the runs and yield each outcome as it comes.

        Raises
        ------
        LinkError
            If all workers, or the scheduler, are gone.
        ModelError
            If the workers cannot load the model.
        """
        suspects: list[Run] = []
        yield from self._all(groups, suspects)
        # Dask counts the death of a worker against all that was waiting there. By itself, a run
        # can only be killed by what it does.
        for run in suspects:
            yield from self._all([[run]], None)

    def _all(
        self, groups: Sequence[Sequence[Run]], suspects: list[Run] | None
    ) -> Iterator[Outcome]:
        """Do runs; those whose workers died are suspects, or have failed where none are asked for.

        Parameters
        ----------
        groups : sequence of sequence of Run
        suspects : list of Run, or None
            Is added to.
        """
        came: queue.SimpleQueue[Any] = queue.SimpleQueue()
        waiting: dict[Any, tuple[Any, list[Run]]] = {}
        sweep = uuid.uuid4().hex[:8]

        def submit(group: list[Run]) -> None:
            future = self.client.submit(
                _do, self.experiment, group, pure=False,
                key=f"spikeloom-{sweep}-{group[0].name}-{len(group)}",
            )  # fmt: skip
            waiting[future.key] = future, group
            future.add_done_callback(came.put)

        for group in groups:
            submit(list(group))
        heard = time.monotonic()
        while waiting:
            try:
                future = came.get(timeout=LOOK)
            except queue.Empty:
                if self._workers():
                    heard = time.monotonic()
                elif time.monotonic() - heard > self.patience:
                    raise LinkError(self._nobody()) from None
                continue
            if future.key not in waiting:
                continue
            _, group = waiting.pop(future.key)
            heard = time.monotonic()
            try:
                outcomes = self._outcomes(future, group)
            except _Killed as e:
                if len(group) > 1:  # together they may have been too large
                    for run in group:
                        submit([run])
                elif suspects is not None:
                    suspects.append(group[0])
                else:
                    yield failed(group[0], str(e))
                continue
            yield from outcomes

    def _outcomes(self, future: Any, group: list[Run]) -> list[Outcome]:
        from distributed import KilledWorker

        if future.status == "cancelled":
            raise LinkError(
                f"the Dask scheduler at {self.address} is gone; start it and its workers, and run "
                "the same sweep again: finished runs are kept"
            )
        try:
            found: list[Outcome] = future.result()
        except KilledWorker as e:
            count = e.allowed_failures + 1
            workers = f"{count} workers" if count > 1 else "a worker"
            raise _Killed(f"{workers} died while running it") from e
        except SpikeloomError as e:
            raise ModelError(f"a worker of {self.address}: {e}") from e
        except ImportError as e:
            raise ToolError(
                f"a worker of {self.address} lacks what it needs ({e}); install spikeloom there, "
                "of this version"
            ) from e
        if [o.run.name for o in found] != [r.name for r in group]:
            raise LinkError(
                f"a worker of {self.address} answered for other runs; install there the version "
                "of spikeloom that is here"
            )
        return found

    def _workers(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self.client.scheduler_info().get("workers", {})
        except (OSError, ValueError):
            return {}
        return found if self.client.status == "running" else {}

    def _nobody(self) -> str:
        return (
            f"the Dask scheduler at {self.address} has no workers since {self.patience:g} s; start "
            f"some (`dask worker {self.address} --nworkers auto --nthreads 1`) and run the same "
            "sweep again: finished runs are kept"
        )

    def close(self) -> None:
        """Take back what is not done, and leave the cluster."""
        if self._own:
            self.client.close(timeout=5)
            self._log.setLevel(self._level)


class _Killed(Exception):
    """Workers died with a group, again and again."""


def _do(experiment: Experiment, group: list[Run]) -> list[Outcome]:
    """What a worker does."""
    found = {outcome.run.name: outcome for outcome in run_group(experiment, group)}
    return [found[run.name] for run in group]
