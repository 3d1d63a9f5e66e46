"""Entering models: names and versions, what was tuned, who may use what, deletion."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text, jsonable
from aiplatform.protocol.enums import ModelStatus, TaskStatus
from aiplatform.protocol.model_sources import ModelSource
from aiplatform.server.core import audit, storage
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.storage import StoredFile, get_store
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import BinEntry
from aiplatform.server.projects.service import quotas
from aiplatform.server.registry import queries
from aiplatform.server.registry.errors import ModelInUse, ModelNotReady, VersionTaken
from aiplatform.server.registry.models import Model, ModelDetails
from aiplatform.server.registry.rules import ADAPTER, CARD, MAX_CARD_BYTES, tree_hash
from aiplatform.server.registry.service.discarding import discard
from aiplatform.server.tasks.errors import TaskFinished
from aiplatform.server.tasks.models import Task
from aiplatform.server.tasks.service import request_cancel
from aiplatform.server.tasks.service.kinds import InputRef

MODEL = "model"
BASE_MODEL = "base_model"
"""What a task reads a model as: for itself, or as what another was tuned from."""


def create_model(
    session: Session,
    context: ProjectContext,
    *,
    name: str,
    version: str | None,
    source: ModelSource,
    license: str | None = None,  # noqa: A002  (the word of the API)
    shared: bool = False,
    secrets: Mapping[str, str] | None = None,
) -> Model:
    """Create a model whose files are still to come. The caller has checked who may share.

    It takes the place of the version whose import failed, if that is the one that is asked for or
    the newest: there is nothing in it that could be used.

    Raises:
        VersionTaken: when the name has that version.
    """
    project_id = None if shared else context.project_id
    model = Model(
        project_id=project_id,
        name=name,
        version=_free_version(session, context, project_id, name, version),
        metrics={},
    )
    session.add(model)
    session.flush()
    session.add(
        ModelDetails(
            model_id=model.id,
            status=ModelStatus.PENDING,
            license=None if license is None else clean_text(license),
            # A shared model belongs to no project, but its import is a project's task.
            card={
                "source": jsonable(source),
                "project": str(context.project_uuid),
                **({"secrets": dict(secrets)} if secrets else {}),
            },
            created_by=context.principal.user_id,
        )
    )
    session.flush()
    session.refresh(model)
    audit.record(
        session,
        context.actor,
        AuditAction.MODEL_CREATED,
        "model",
        model.uuid,
        project=context.project_uuid,
        name=model.name,
        version=model.version,
        source=source,
        shared=shared,
    )
    return model


def _free_version(
    session: Session, context: ProjectContext, project_id: int | None, name: str, wanted: str | None
) -> str:
    """Return the version that a new model gets, after a failed import of it was removed.

    Raises:
        VersionTaken: when ``wanted`` is in use.
    """
    _wait_for_name(session, project_id, name)
    version = wanted or str(queries.highest_version(session, project_id, name))
    failed = queries.failed_import(session, project_id, name, version)
    if failed is not None:
        locked = queries.lock_model(session, failed)
        unused = not (
            queries.unfinished_readers(session, failed) or queries.tuned_from(session, failed)
        )
        if locked is not None and locked[1].status == ModelStatus.FAILED and unused:
            audit.record(
                session,
                context.actor,
                AuditAction.MODEL_DELETED,
                "model",
                locked[0].uuid,
                project=context.project_uuid,
                name=name,
                version=version,
                replaced=True,
            )
            session.execute(delete(Model).where(Model.id == failed))
            session.expire_all()
            return version
    return _version(session, project_id, name, wanted)


def _wait_for_name(session: Session, project_id: int | None, name: str) -> None:
    """Let whoever enters the same name wait in line until this transaction ends."""
    key = func.hashtextextended(f"models:{project_id}:{name}", 0)
    session.execute(select(func.pg_advisory_xact_lock(key)))


def _version(session: Session, project_id: int | None, name: str, wanted: str | None) -> str:
    """The version that a new model of the name gets. Whoever enters the same name waits in line.

    Raises:
        VersionTaken: when ``wanted`` is in use.
    """
    _wait_for_name(session, project_id, name)
    if wanted is None:
        return str(queries.highest_version(session, project_id, name) + 1)
    if queries.is_version_taken(session, project_id, name, wanted):
        raise VersionTaken(name=name, version=wanted)
    return wanted


def register_tuned(
    session: Session,
    task: Task,
    *,
    project_id: int,
    name: str,
    base_model_id: int | None,
    files: Iterable[StoredFile],
    card: dict[str, Any],
    metrics: dict[str, Any],
    experiment_id: int | None,
    created_by: int | None,
) -> Model:
    """Enter what a training has made as the next version of ``name``; ready at once.

    ``files`` are in the blob store, in the layout of a model directory; their README.md is the
    model's card in words, ``card`` what it says as data. The licence is the base model's.
    """
    made = sorted(files, key=lambda file: file.sha256)
    base = None if base_model_id is None else session.get(ModelDetails, base_model_id)
    model = Model(
        project_id=project_id,
        name=name,
        version=_version(session, project_id, name, None),
        framework="peft" if any(file.path.startswith(ADAPTER) for file in made) else "transformers",
        size=sum(file.size for file in made),
        metrics=metrics,
    )
    session.add(model)
    session.flush()
    session.refresh(model)
    model.file_path = f"models/{model.uuid}"
    session.add(
        ModelDetails(
            model_id=model.id,
            status=ModelStatus.READY,
            license=None if base is None else base.license,
            card={"facts": card, "text": card_text(made)},
            base_model_id=base_model_id,
            task_id=task.id,
            experiment_id=experiment_id,
            created_by=created_by,
        )
    )
    session.flush()
    for file in made:
        storage.refer(session, file, project_id=project_id, model_id=model.id)
    if task.model_id is None:
        task.model_id = model.id
    record_registered(session, model, queries.project_of(session, project_id), task)
    session.flush()
    return model


def register_again(
    session: Session, context: ProjectContext, model: Model, *, name: str
) -> tuple[Model, bool]:
    """Enter a model that a task has made under another name, as its next version.

    The files are the same, and so are card and lineage. What the task has under that name already
    is left as it is. Returns the model and whether it is new. ``model`` is locked by the caller.

    Raises:
        NotFound: for a model that nobody has made here.
        QuotaExceeded: the files are stored once, but every model that has them is charged.
    """
    details = queries.details_of(session, model)
    if details.task_id is None:
        raise NotFound(resource="model")
    there = queries.made_under(session, context, details.task_id, name)
    if there is not None:
        return there, False
    again = Model(
        project_id=context.project_id,
        name=name,
        version=_version(session, context.project_id, name, None),
        framework=model.framework,
        size=model.size,
        metrics=model.metrics,
    )
    session.add(again)
    session.flush()
    session.refresh(again)
    again.file_path = f"models/{again.uuid}"
    session.add(
        ModelDetails(
            model_id=again.id,
            status=ModelStatus.READY,
            license=details.license,
            card=details.card,
            base_model_id=details.base_model_id,
            task_id=details.task_id,
            experiment_id=details.experiment_id,
            created_by=context.principal.user_id,
        )
    )
    session.flush()
    files = sorted(queries.files(session, model), key=lambda file: file.sha256)
    quotas.charge_storage(session, context.project_id, sum(file.size for file in files))
    for file in files:
        storage.refer(session, file, project_id=context.project_id, model_id=again.id)
    audit.record(
        session,
        context.actor,
        AuditAction.MODEL_REGISTERED,
        "model",
        again.uuid,
        project=context.project_uuid,
        name=again.name,
        version=again.version,
        same_as=f"{model.name}@{model.version}",
        size=again.size,
    )
    session.flush()
    return again, True


def record_registered(session: Session, model: Model, project: UUID | None, task: Task) -> None:
    """Audit that a model is ready for use."""
    audit.record(
        session,
        audit.SYSTEM,
        AuditAction.MODEL_REGISTERED,
        "model",
        model.uuid,
        project=project,
        name=model.name,
        version=model.version,
        task=task.uuid,
        size=model.size,
    )


def card_text(files: Iterable[StoredFile]) -> str | None:
    """What the README.md among ``files`` says, cut when it is a book."""
    for file in files:
        if file.path == CARD:
            length = min(file.size, MAX_CARD_BYTES)
            content = b"".join(get_store().read(file.sha256, 0, length))
            return clean_text(content.decode("utf-8", "replace"))
    return None


def usable_model(session: Session, context: ProjectContext, uuid: UUID) -> Model:
    """A model that tasks of the project may read: its own or a shared one, and ready.

    It is locked against deletion until the transaction ends.

    Raises:
        NotFound: for another project's, or none.
        ModelNotReady: while its files are not in.
    """
    model = queries.usable(session, context, uuid)
    if model is None:
        raise NotFound(resource="model")
    details = queries.details_of(session, model)
    if details.status != ModelStatus.READY:
        raise ModelNotReady(model=f"{model.name}@{model.version}", model_status=details.status)
    return model


def input_ref(session: Session, model: Model, role: str) -> InputRef:
    """A model as the input of a task; its hash covers the paths and contents of all its files."""
    files = queries.files(session, model)
    return InputRef(
        role=role,
        label=f"{model.name}@{model.version}",
        content_hash=tree_hash((file.path, file.sha256) for file in files),
        model_id=model.id,
    )


def model_inputs(session: Session, model: Model) -> list[InputRef]:
    """The inputs that a model is and, where it was tuned, what it was tuned from; itself first."""
    refs = [input_ref(session, model, MODEL)]
    base_id = queries.details_of(session, model).base_model_id
    base = None if base_id is None else session.get(Model, base_id)
    if base is not None:
        refs.append(input_ref(session, base, BASE_MODEL))
    return refs


def delete_model(
    session: Session, actor: Actor, model_id: int, *, project: UUID | None = None
) -> BinEntry | None:
    """Put a model into the bin. Its own import is stopped; other readers and tuned models forbid
    it. Returns what says until when it can be restored.

    A shared one goes into the bin of the project that it was created in, or for good without it.

    Raises:
        NotFound: when it is gone already.
        ModelInUse: while a task that has not ended reads it (a deployment is one), or a tuned model
            stands on it.
    """
    # Tasks are locked before the model here as where they end, so that the two can't deadlock.
    for task in queries.unfinished_imports(session, model_id):
        if task.status != TaskStatus.CANCELLING:
            with suppress(TaskFinished):  # it was faster
                request_cancel(session, actor, task, project=project)
    locked = queries.lock_model(session, model_id)
    if locked is None:
        raise NotFound(resource="model")
    model, details = locked
    imports = {task.id for task in queries.unfinished_imports(session, model_id)}
    # Whoever submits a task locks the model it reads, so none can come in behind this check.
    users = [
        f"{task.name} ({task.status})"
        for task in queries.unfinished_readers(session, model_id)
        if task.id not in imports or task.status != TaskStatus.CANCELLING
    ]
    users += queries.tuned_from(session, model_id)
    if users:
        shown = ", ".join(users[:5])
        raise ModelInUse(users=shown if len(users) <= 5 else f"{shown}, +{len(users) - 5}")
    audit.record(
        session,
        actor,
        AuditAction.MODEL_DELETED,
        "model",
        model.uuid,
        project=project,
        name=model.name,
        version=model.version,
    )
    return discard(session, actor, model, details)
