"""Ends the processes of a script that still run when its runtime has ended."""

import contextlib
import time
from pathlib import Path

import psutil

from aiplatform.protocol.messages import SCRIPT_USER_FILE

SECONDS = 5.0
"""Seconds until killed processes must be gone; the runtime has waited for them before."""


def end_leftovers_of(directory: Path) -> list[int]:
    """Kill the processes that an attempt's script has left; return the process ids that remain.

    They can be told from other processes only if the script had a user of its own; then there is a
    note in the attempt's directory. Usually the runtime has killed them already, however it ended.
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
