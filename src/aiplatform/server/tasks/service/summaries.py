"""What is kept of a task's metrics when it ends."""

from typing import Any

from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import jsonable
from aiplatform.server.tasks.models import Task
from aiplatform.server.tasks.queries import series
from aiplatform.server.tasks.rules.series import summed_up
from aiplatform.server.tasks.service.rollups import bring_up_to_date_within

KEPT = 200
"""Series of a task that are summed up where it is kept; all can be read."""


def metrics_of(session: Session, task: Task) -> dict[str, Any]:
    """What :func:`summed_up` says of each series; the caller holds the task's lock."""
    bring_up_to_date_within(session, task.id)
    rows = series.summary(session, task.id)[:KEPT]
    found: dict[str, Any] = jsonable({row.key: summed_up(row) for row in rows})
    return found
