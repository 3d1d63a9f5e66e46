"""Pins the model that a waiting task reads, when a training has made that model."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.core import audit
from aiplatform.server.queue import queries
from aiplatform.server.queue.models import Task, TaskInput
from aiplatform.server.queue.service.kinds import InputRef
from aiplatform.server.queue.service.queue import add_event


def pin_model(
    session: Session, task: Task, model_id: int, uuid: UUID, inputs: Sequence[InputRef]
) -> None:
    """Put a model into the spec and the lineage of a waiting task.

    The first of ``inputs`` is the model itself.
    """
    task.config = {**task.config, "model": str(uuid)}
    task.model_id = model_id
    for item in inputs:
        session.add(
            TaskInput(
                task_id=task.id,
                role=item.role,
                label=item.label[:400],
                content_hash=item.content_hash,
                model_id=item.model_id,
            )
        )
    label = inputs[0].label
    add_event(session, task, "model_pinned", model=str(uuid), label=label)
    audit.record(
        session,
        audit.SYSTEM,
        AuditAction.TASK_MODEL_PINNED,
        "task",
        task.uuid,
        project=queries.project_uuid(session, task),
        name=task.name,
        model=uuid,
        inputs=[item.label for item in inputs],
    )
    session.flush()
