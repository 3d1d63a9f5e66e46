"""The summary of a task's metrics that is stored when it ends."""

from typing import Any

from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import jsonable
from aiplatform.server.tasks.models import Task
from aiplatform.server.tasks.queries import series
from aiplatform.server.tasks.rules.series import summed_up
from aiplatform.server.tasks.service.rollups import bring_up_to_date_within

KEPT = 200
"""Largest number of series in the stored summary; all series stay readable."""


def metrics_of(session: Session, task: Task) -> dict[str, Any]:
    """Return the summary of each series by key. The caller has locked the task."""
    bring_up_to_date_within(session, task.id)
    rows = series.summary(session, task.id)[:KEPT]
    found: dict[str, Any] = jsonable({row.key: summed_up(row) for row in rows})
    return found
