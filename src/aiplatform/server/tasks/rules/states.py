"""The life of a task as data: which states follow which."""

from aiplatform.protocol.enums import TaskStatus

S = TaskStatus

TRANSITIONS: dict[TaskStatus, frozenset[TaskStatus]] = {
    S.PENDING: frozenset({S.RUNNING, S.PAUSED, S.CANCELLED, S.FAILED}),
    # Back to pending when its worker was lost and attempts remain.
    S.RUNNING: frozenset({S.COMPLETED, S.FAILED, S.CANCELLING, S.PAUSED, S.PENDING, S.CANCELLED}),
    S.PAUSED: frozenset({S.PENDING, S.CANCELLED, S.FAILED}),
    # It may end before it hears of the request; what it achieved is kept.
    S.CANCELLING: frozenset({S.CANCELLED, S.COMPLETED, S.FAILED}),
    S.COMPLETED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
}

CORRECTIONS: dict[TaskStatus, frozenset[TaskStatus]] = {
    S.FAILED: frozenset({S.COMPLETED, S.FAILED, S.CANCELLED}),
}
"""Further steps, of a run elsewhere that was failed for its silence and then says how it ended."""

CLAIMABLE = frozenset({S.PENDING})
MOVABLE = frozenset({S.PENDING, S.PAUSED})
"""States in which priority and place may be changed."""

LOG_TAIL_CHARACTERS = 64_000
"""How much of the log ``tasks.logs`` holds; all of it is in ``log_chunks``."""


def may_become(current: TaskStatus, wanted: TaskStatus, *, given_up: bool = False) -> bool:
    """Whether the state machine has this transition; more of them for what was ``given_up``."""
    more = CORRECTIONS.get(current, frozenset()) if given_up else frozenset()
    return wanted in TRANSITIONS[current] | more


def attempts_left(failures: int, max_attempts: int) -> bool:
    """Whether a task is started again after ``failures`` attempts that ended without its doing.

    An attempt that a stopping worker gave back does not count.
    """
    return failures < max_attempts
