"""The sweep's side: every schedule that is due, each in a transaction of its own."""

from aiplatform.server.core.database import transaction
from aiplatform.server.schedules.service import fire_next
from aiplatform.server.tasks.service.periodic import on_sweep

AT_ONCE = 100
"""Schedules of one sweep; the others follow in the next."""


def fire_due() -> int:
    """Do what is due; how many there were."""
    for fired in range(AT_ONCE):
        with transaction() as session:
            if fire_next(session) is None:
                return fired
    return AT_ONCE


def register() -> None:
    """Called by the composition roots."""
    on_sweep("schedules", fire_due)
