"""The state machine of a task: tables of the allowed status changes."""

from aiplatform.protocol.enums import TaskStatus

S = TaskStatus

TRANSITIONS: dict[TaskStatus, frozenset[TaskStatus]] = {
    S.PENDING: frozenset({S.RUNNING, S.PAUSED, S.CANCELLED, S.FAILED}),
    # A running task becomes pending again if its worker was lost and attempts remain.
    S.RUNNING: frozenset({S.COMPLETED, S.FAILED, S.CANCELLING, S.PAUSED, S.PENDING, S.CANCELLED}),
    S.PAUSED: frozenset({S.PENDING, S.CANCELLED, S.FAILED}),
    # A task may end before the request to cancel reaches it; its result is kept.
    S.CANCELLING: frozenset({S.CANCELLED, S.COMPLETED, S.FAILED}),
    S.COMPLETED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
}

CORRECTIONS: dict[TaskStatus, frozenset[TaskStatus]] = {
    S.FAILED: frozenset({S.COMPLETED, S.FAILED, S.CANCELLED}),
}
"""Additional transitions of an external run that failed because it was silent for too long.

Such a run may still report how it ended.
"""

CLAIMABLE = frozenset({S.PENDING})
MOVABLE = frozenset({S.PENDING, S.PAUSED})
"""States in which a task's priority and queue position may be changed."""

LOG_TAIL_CHARACTERS = 64_000
"""Number of characters from the end of a log in ``tasks.logs``; ``log_chunks`` has the full log."""


def may_become(current: TaskStatus, wanted: TaskStatus, *, given_up: bool = False) -> bool:
    """Return True if this status change is allowed.

    If the task is an external run that was ``given_up``, :data:`CORRECTIONS` are allowed, too.
    """
    more = CORRECTIONS.get(current, frozenset()) if given_up else frozenset()
    return wanted in TRANSITIONS[current] | more


def attempts_left(failures: int, max_attempts: int) -> bool:
    """Return True if a task gets another attempt.

    ``failures`` counts attempts that failed through no fault of the task. An attempt that ended
    because its worker stopped is not counted.
    """
    return failures < max_attempts
