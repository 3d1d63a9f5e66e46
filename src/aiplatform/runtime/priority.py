"""The scheduling priority of a child process, relative to other processes on the machine."""

import contextlib
import os
import sys
from pathlib import Path

NICENESS = "AIPLATFORM_NICENESS"
"""Environment variable with the niceness set by the worker; 0 or unset for model servers."""


def apply_niceness() -> None:
    """Increase this process's niceness by the value that the worker has set.

    On Linux, each thread has its own niceness, so it is set for all threads that imports have
    started. If Linux groups processes by session (``sched_autogroup``), niceness only matters
    within a session. Because each child has its own session, the session's weight is set, too.
    """
    told = os.environ.get(NICENESS, "")
    if not told.isdigit() or int(told) == 0:
        return
    if not sys.platform.startswith("linux"):
        os.nice(int(told))
        return
    wanted = os.nice(0) + int(told)
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has exited in the meantime
            os.setpriority(os.PRIO_PROCESS, int(thread.name), wanted)
    with contextlib.suppress(OSError):  # the kernel has no autogroups
        Path("/proc/self/autogroup").write_text(told, encoding="ascii")
