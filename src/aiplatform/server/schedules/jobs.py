"""A periodic job that fires due schedules, each in its own transaction."""

from aiplatform.server.core.database import transaction
from aiplatform.server.execution.service.periodic import on_round
from aiplatform.server.schedules.service import fire_next

BATCH_SIZE = 100
"""Maximum number of schedules fired by one call; the next call fires the rest."""


def fire_due() -> int:
    """Fire all schedules that are due, and return their number."""
    for fired in range(BATCH_SIZE):
        with transaction() as session:
            if fire_next(session) is None:
                return fired
    return BATCH_SIZE


def register() -> None:
    """Register the job; called by the composition roots."""
    on_round("schedules", fire_due)
