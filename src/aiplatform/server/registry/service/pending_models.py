"""References to models that a training task has yet to produce."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.references import After, FromTask
from aiplatform.server.core import audit
from aiplatform.server.core.errors import NotFound
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue import queries
from aiplatform.server.queue.errors import ModelMissing, TypeMakesNoModel
from aiplatform.server.queue.models import Task, TaskInput
from aiplatform.server.queue.service import dependencies
from aiplatform.server.queue.service.kinds import InputRef
from aiplatform.server.queue.service.queue import add_event
from aiplatform.server.registry.models import Model
from aiplatform.server.registry.service.registration import model_inputs, usable_model


def resolve_model(
    session: Session, context: ProjectContext, meant: UUID | FromTask
) -> Model | None:
    """Return the model named in a spec, locked against deletion; None if it does not exist yet.

    Raises:
        NotFound, ModelNotReady: see :func:`usable_model`; NotFound also for a task of another
            project.
        TypeMakesNoModel: the named task is not a training task.
        DependencyFailed: the training task did not succeed.
        ModelMissing: the training task completed, but its model was deleted.
    """
    if isinstance(meant, UUID):
        return usable_model(session, context, meant)
    [need] = dependencies.lock_required_tasks(
        session, context.project_id, [After(task=meant.from_task)]
    )
    if need.task.type != TaskType.TRAINING:
        raise TypeMakesNoModel(name=need.task.name, task_type=need.task.type)
    if not need.settled:
        return None
    model = _produced_model(session, need.task)
    try:
        return usable_model(session, context, model.uuid)
    except NotFound as error:
        raise ModelMissing(name=need.task.name) from error


def pin_produced_model(session: Session, task: Task, training: Task) -> Model:
    """Set the model of a completed training task as an input of ``task``, which waited for it.

    Raises:
        ModelMissing: the model was deleted.
    """
    model = _produced_model(session, training)
    pin_model(session, task, model.id, model.uuid, model_inputs(session, model))
    return model


def _produced_model(session: Session, training: Task) -> Model:
    model = None if training.model_id is None else session.get(Model, training.model_id)
    if model is None:
        raise ModelMissing(name=training.name)
    return model


def pin_model(
    session: Session, task: Task, model_id: int, uuid: UUID, inputs: Sequence[InputRef]
) -> None:
    """Write a model into the spec and inputs of a waiting task.

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
