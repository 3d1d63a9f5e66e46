"""Lookup of models that a task reads, including those that other tasks have yet to produce."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import ModelKind, ModelStatus, TaskType, TrainingMethod
from aiplatform.protocol.references import After, FromTask
from aiplatform.protocol.trainings import SPECS
from aiplatform.server.core import audit
from aiplatform.server.core.errors import NotFound
from aiplatform.server.projects import queries as projects_queries
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.errors import ModelMissing, TypeMakesNoModel
from aiplatform.server.queue.models import Task, TaskInput
from aiplatform.server.queue.service import dependencies
from aiplatform.server.queue.service.kinds import InputRef
from aiplatform.server.queue.service.queue import add_event
from aiplatform.server.registry import queries
from aiplatform.server.registry.errors import (
    ModelNotReady,
    ModelNotTunable,
    ModelWritesNoText,
)
from aiplatform.server.registry.models import Model
from aiplatform.server.registry.rules import (
    KIND_NAMES,
    kind_made_by,
    kind_of,
    tree_hash,
)

MODEL = "model"


BASE_MODEL = "base_model"
"""Roles of a model as a task input: the model itself, or the base it was tuned from."""


def usable_model(session: Session, context: ProjectContext, meant: UUID | str) -> Model:
    """Return a ready model that tasks of the project may read: its own or a shared one.

    It is named by uuid, or as ``name@version`` or ``name@alias``. This function resolves all model
    references in requests. The model is locked against deletion until the transaction ends.

    Raises:
        NotFound: the model does not exist, or belongs to another project.
        ModelNotReady: the model's files are not complete.
    """
    model = queries.lock_usable(session, context, meant)
    if model is None:
        raise NotFound(resource="model")
    details = queries.details_of(session, model)
    if details.status != ModelStatus.READY:
        raise ModelNotReady(model=f"{model.name}@{model.version}", model_status=details.status)
    return model


def use_model(session: Session, context: ProjectContext, meant: UUID | str) -> tuple[int, str]:
    """Return the id and the label of a model, for domains that can't import its class.

    Raises:
        NotFound, ModelNotReady: see :func:`usable_model`.
    """
    model = usable_model(session, context, meant)
    return model.id, f"{model.name}@{model.version}"


def language_model(session: Session, context: ProjectContext, meant: UUID | str) -> Model:
    """Return a usable model that writes text; see :func:`usable_model`.

    Raises:
        NotFound, ModelNotReady: see :func:`usable_model`.
        ModelWritesNoText: the model is an encoder, or its head outputs scores.
    """
    model = usable_model(session, context, meant)
    require_text(session, model)
    return model


def require_text(session: Session, model: Model) -> None:
    """Refuse a model that writes no text.

    Raises:
        ModelWritesNoText: the model is an encoder, or its head outputs scores.
    """
    _require_text(f"{model.name}@{model.version}", _kind_of(session, model))


def tunable_model(
    session: Session, context: ProjectContext, meant: UUID | str, method: TrainingMethod
) -> Model:
    """Return a usable model that the method can tune; see :func:`usable_model`.

    Raises:
        NotFound, ModelNotReady: see :func:`usable_model`.
        ModelNotTunable: the method tunes other kinds of models.
    """
    model = usable_model(session, context, meant)
    kind, possible = _kind_of(session, model), SPECS[method].tunes
    if kind not in possible:
        raise ModelNotTunable(
            model=f"{model.name}@{model.version}",
            method=method.value,
            kind=KIND_NAMES[kind].en,
            kind_zh=KIND_NAMES[kind].zh,
            possible=" or ".join(KIND_NAMES[one].en for one in possible),
            possible_zh="或".join(KIND_NAMES[one].zh for one in possible),
        )
    return model


def _kind_of(session: Session, model: Model) -> ModelKind:
    return kind_of(queries.details_of(session, model).card.get("facts") or {})


def _require_text(label: str, kind: ModelKind) -> None:
    if kind is not ModelKind.LANGUAGE_MODEL:
        names = KIND_NAMES[kind]
        raise ModelWritesNoText(model=label, kind=names.en, kind_zh=names.zh)


def input_ref(session: Session, model: Model, role: str) -> InputRef:
    """Return a model as a task input. Its hash covers the paths and contents of all its files."""
    files = queries.files(session, model)
    return InputRef(
        role=role,
        label=f"{model.name}@{model.version}",
        content_hash=tree_hash((file.path, file.sha256) for file in files),
        model_id=model.id,
    )


def model_inputs(session: Session, model: Model) -> list[InputRef]:
    """Return the task inputs for a model: the model itself, then its base model if any."""
    refs = [input_ref(session, model, MODEL)]
    base_id = queries.details_of(session, model).base_model_id
    base = None if base_id is None else session.get(Model, base_id)
    if base is not None:
        refs.append(input_ref(session, base, BASE_MODEL))
    return refs


def resolve_model(
    session: Session, context: ProjectContext, meant: UUID | str | FromTask
) -> Model | None:
    """Return the model named in a spec, locked against deletion; None if it does not exist yet.

    Raises:
        NotFound, ModelNotReady, ModelWritesNoText: see :func:`language_model`; NotFound also for a
            task of another project.
        TypeMakesNoModel: the named task is not a training task.
        DependencyFailed: the training task did not succeed.
        ModelMissing: the training task completed, but its model was deleted.
    """
    if not isinstance(meant, FromTask):
        return language_model(session, context, meant)
    [need] = dependencies.lock_required_tasks(
        session, context.project_id, [After(task=meant.from_task)]
    )
    if need.task.type != TaskType.TRAINING:
        raise TypeMakesNoModel(name=need.task.name, task_type=need.task.type)
    if not need.settled:
        _require_text(f"of the task {need.task.name}", kind_made_by(need.task.config.get("method")))
        return None
    model = _produced_model(session, need.task)
    try:
        return language_model(session, context, model.uuid)
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
        project=projects_queries.uuid_of(session, task.project_id),
        name=task.name,
        model=uuid,
        inputs=[item.label for item in inputs],
    )
    session.flush()
