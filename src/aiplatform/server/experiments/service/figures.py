"""Figures by which runs are searched and sorted."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import jsonable
from aiplatform.server.experiments import queries
from aiplatform.server.queue.models import Task


def store_figures(session: Session, task: Task, figures: Mapping[str, Any]) -> None:
    """Store the last value of each series of an ended run, and the figures in its result."""
    details = queries.run_details(session, task.id)
    if details is not None:
        details.metrics = {**jsonable(queries.last_values(session, task.id)), **figures}
        session.flush()
