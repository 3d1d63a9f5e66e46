"""References to models that a training has yet to make."""

from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.references import After, FromTask
from aiplatform.server.core.errors import NotFound
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.errors import ModelMissing, TypeMakesNoModel
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import dependencies
from aiplatform.server.queue.service.model_pins import pin_model
from aiplatform.server.registry.models import Model
from aiplatform.server.registry.service.registration import model_inputs, usable_model


def resolve_model(
    session: Session, context: ProjectContext, meant: UUID | FromTask
) -> Model | None:
    """Return the model that a spec names, locked against deletion; None if it is being made.

    Raises:
        NotFound, ModelNotReady: see :func:`usable_model`; NotFound also for a task of another
            project.
        TypeMakesNoModel: the named task is no training.
        DependencyFailed: the training ended without success.
        ModelMissing: the training completed, but its model was deleted.
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
    """Pin the model of a completed training as an input of ``task``, which waited for it.

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
