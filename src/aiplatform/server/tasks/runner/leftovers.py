"""Processes of a script that are still there when its runtime has ended."""

import contextlib
import time
from pathlib import Path

import psutil

from aiplatform.protocol.messages import SCRIPT_USER_FILE

SECONDS = 5.0
"""What processes that were killed get to be gone; the runtime has waited for them before."""


def end_leftovers_of(directory: Path) -> list[int]:
    """Kill what an attempt's script has left, and return the process ids that remain.

    Only a script with a user of its own leaves a note in the attempt's directory, so that they can
    be told from other processes. Usually the runtime has ended them, however it ended itself.
    """
    try:
        uid = int((directory / SCRIPT_USER_FILE).read_text())
    except (OSError, ValueError):
        return []
    deadline = time.monotonic() + SECONDS
    while left := processes_of(uid):
        if time.monotonic() > deadline:
            return sorted(process.pid for process in left)
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.02)
    return []


def processes_of(uid: int) -> list[psutil.Process]:
    """Return the processes of a user, without zombies."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == uid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
