"""The states of a deployment, their transitions, and the delays before restarts."""

from datetime import timedelta

from aiplatform.protocol.enums import DeploymentStatus

S = DeploymentStatus

TRANSITIONS: dict[DeploymentStatus, frozenset[DeploymentStatus]] = {
    S.STARTING: frozenset({S.READY, S.RESTARTING, S.STOPPING, S.STOPPED, S.CRASHED}),
    S.READY: frozenset({S.RESTARTING, S.STOPPING, S.STOPPED, S.CRASHED}),
    # The task is waiting for a worker, or for the back-off to end.
    S.RESTARTING: frozenset({S.STARTING, S.READY, S.RESTARTING, S.STOPPING, S.STOPPED, S.CRASHED}),
    # A restart need not wait until the previous run has ended, because the new run is another task.
    S.STOPPING: frozenset({S.STARTING, S.RESTARTING, S.STOPPED}),
    S.STOPPED: frozenset({S.STARTING}),
    S.CRASHED: frozenset({S.STARTING}),
}

INACTIVE = frozenset({S.STOPPED, S.CRASHED})
"""States in which no server runs, and none will start without a request."""

MAX_CRASHES = 5
CRASH_WINDOW = timedelta(minutes=10)
"""Period in which crashes are counted. After :data:`MAX_CRASHES`, there is no restart."""

DRAIN_TIME = timedelta(minutes=10)
"""Time for which a replaced server may finish its responses."""

FIRST_DELAY = timedelta(seconds=1)
MAX_DELAY = timedelta(seconds=30)


def may_become(current: DeploymentStatus, wanted: DeploymentStatus) -> bool:
    """Return True if the transition is allowed."""
    return wanted in TRANSITIONS[current]


def restart_delay(crashes: int) -> timedelta | None:
    """Return the delay before the restart after ``crashes`` crashes; None for no restart."""
    if crashes >= MAX_CRASHES:
        return None
    doubled: timedelta = FIRST_DELAY * 2 ** (crashes - 1)
    return min(doubled, MAX_DELAY)
