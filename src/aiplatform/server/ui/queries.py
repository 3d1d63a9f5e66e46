"""SELECT statements for the live lists of the web interface."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.inference.models import Deployment
from aiplatform.server.queue.models import Task


def changed_tasks(
    session: Session, uuids: Collection[UUID], project_ids: Collection[int]
) -> Sequence[Any]:
    """Return the list fields of the tasks ``uuids`` that are in watched projects."""
    return session.execute(
        select(
            Task.project_id,
            Task.uuid,
            Task.name,
            Task.type,
            Task.status,
            Task.progress,
            Task.priority,
            Task.error_message.label("error"),
        ).where(Task.uuid.in_(uuids), Task.project_id.in_(project_ids))
    ).all()


def deployment_states(session: Session, project_ids: Collection[int]) -> Sequence[Any]:
    """Return the list fields of all deployments in the watched projects."""
    return session.execute(
        select(
            Deployment.project_id,
            Deployment.uuid,
            Deployment.name,
            Deployment.status,
            Deployment.error,
            Deployment.restarts,
            Deployment.updated_at,
        ).where(Deployment.project_id.in_(project_ids))
    ).all()
