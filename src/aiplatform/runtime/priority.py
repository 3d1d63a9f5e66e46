"""The priority of a runtime beside others of its machine."""

import contextlib
import os
import sys
from pathlib import Path

NICENESS = "AIPLATFORM_NICENESS"
"""The variable in which the worker tells it; 0 or none for what serves."""


def stand_back() -> None:
    """Take the niceness that the worker has told, added to the one that the worker has itself.

    On Linux each thread has a niceness of its own, so those that imports have started get it, too.
    Where Linux weighs sessions against each other (`sched_autogroup`), a niceness counts only
    within one, and a runtime is a session of its own: its weight is set as well.
    """
    told = os.environ.get(NICENESS, "")
    if not told.isdigit() or int(told) == 0:
        return
    if not sys.platform.startswith("linux"):
        os.nice(int(told))
        return
    wanted = os.nice(0) + int(told)
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            os.setpriority(os.PRIO_PROCESS, int(thread.name), wanted)
    with contextlib.suppress(OSError):  # there is no such thing here
        Path("/proc/self/autogroup").write_text(told, encoding="ascii")
