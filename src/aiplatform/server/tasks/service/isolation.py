"""Checks if this worker's machine can isolate scripts from each other."""

import json
import subprocess
import sys
from functools import cache

import structlog

log = structlog.get_logger(__name__)
EXAMINE = [sys.executable, "-m", "aiplatform.runtime.script.isolation"]
SECONDS = 120
"""Time limit of the check in seconds. It takes less than one second on an idle machine."""


@cache
def missing_isolation() -> str | None:
    """Return the reason why scripts can't be isolated here, or None if they can.

    The runtime tries it in a process of its own, once for each worker process.
    """
    try:
        done = subprocess.run(
            EXAMINE, capture_output=True, text=True, timeout=SECONDS, check=True, cwd="/"
        )
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        log.warning("isolation of scripts could not be tried", error=str(error)[:500])
        return f"the trial of it failed: {error}"
    return None if found["isolated"] else str(found["reason"])
