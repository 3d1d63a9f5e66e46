"""The life of a deployment as data, and how often a crashed one is started again."""

from datetime import timedelta

from aiplatform.protocol.enums import DeploymentStatus

S = DeploymentStatus

TRANSITIONS: dict[DeploymentStatus, frozenset[DeploymentStatus]] = {
    S.STARTING: frozenset({S.READY, S.RESTARTING, S.STOPPING, S.STOPPED, S.CRASHED}),
    S.READY: frozenset({S.RESTARTING, S.STOPPING, S.STOPPED, S.CRASHED}),
    # Its task waits for a worker, or for the end of the back-off.
    S.RESTARTING: frozenset({S.STARTING, S.READY, S.RESTARTING, S.STOPPING, S.STOPPED, S.CRASHED}),
    # A restart need not wait for the end of the run before: the new run is a task of its own.
    S.STOPPING: frozenset({S.STARTING, S.RESTARTING, S.STOPPED}),
    S.STOPPED: frozenset({S.STARTING}),
    S.CRASHED: frozenset({S.STARTING}),
}

DOWN = frozenset({S.STOPPED, S.CRASHED})
"""Nothing runs and nothing will by itself."""

MAX_CRASHES = 5
CRASH_WINDOW = timedelta(minutes=10)
"""So many crashes within this time, and a deployment is given up."""

DRAIN = timedelta(minutes=10)
"""How long a server that was replaced may take to complete its answers."""

FIRST_DELAY = timedelta(seconds=1)
MAX_DELAY = timedelta(seconds=30)


def may_become(current: DeploymentStatus, wanted: DeploymentStatus) -> bool:
    """Whether the state machine has this transition."""
    return wanted in TRANSITIONS[current]


def restart_delay(crashes: int) -> timedelta | None:
    """How long to wait after the last of ``crashes`` in a row; None when it was one too many."""
    if crashes >= MAX_CRASHES:
        return None
    doubled: timedelta = FIRST_DELAY * 2 ** (crashes - 1)
    return min(doubled, MAX_DELAY)
