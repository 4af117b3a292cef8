"""A worker process of a sweep on this machine: groups of runs come in, outcomes go out.

It is started by `spikeloom.runtime.sweep.local`, and is no program of its own: messages are pickled
objects on its standard input and output, and it ends with its parent.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any, BinaryIO

from ...compiler.errors import SpikeloomError

READY, BROKEN, OUTCOME, DONE = "ready", "broken", "outcome", "done"
"""Messages to the parent: the first two once, then outcomes and a `DONE` for each group."""


def main() -> None:
    """Serve groups of runs until the parent closes the line, or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    # Whatever models print must not get between the messages.
    line = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = sys.stdin.buffer
    with suppress(BrokenPipeError, EOFError):  # the parent has ended
        _serve(requests, line)


def _serve(requests: BinaryIO, line: BinaryIO) -> None:
    from .execution import Functions, run_group

    def send(kind: str, content: Any = None) -> None:
        pickle.dump((kind, content), line)
        line.flush()

    experiment = pickle.load(requests)
    try:
        functions = Functions.of(experiment)
    except SpikeloomError as e:
        send(BROKEN, str(e))
        return
    send(READY)
    while True:
        for outcome in run_group(experiment, pickle.load(requests), functions):
            send(OUTCOME, outcome)
        send(DONE)


def _end_with(parent: int) -> None:
    # A parent that was killed closes the line, but a long run would notice only at its end.
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
