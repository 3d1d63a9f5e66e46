"""Registration of imported and tuned models: their names, versions and cards."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text, jsonable
from aiplatform.protocol.enums import ModelStatus
from aiplatform.protocol.model_sources import ModelSource
from aiplatform.server.core import audit, storage
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.storage import StoredFile, get_store
from aiplatform.server.projects import queries as projects_queries
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.service import quotas
from aiplatform.server.queue.models import Task
from aiplatform.server.registry import queries
from aiplatform.server.registry.errors import (
    VersionIsAlias,
    VersionTaken,
)
from aiplatform.server.registry.models import Model, ModelDetails
from aiplatform.server.registry.rules import (
    ADAPTER,
    CARD,
    MAX_CARD_BYTES,
)


def create_model(
    session: Session,
    context: ProjectContext,
    *,
    name: str,
    version: str | None,
    source: ModelSource,
    license: str | None = None,  # noqa: A002  (the API's name for it)
    shared: bool = False,
    secrets: Mapping[str, str] | None = None,
) -> Model:
    """Create a model whose files are added later. The caller has checked the right to share.

    If the requested version, or by default the newest, is a failed import, the new model replaces
    it, because a failed import contains nothing usable.

    Raises:
        VersionTaken: the name already has that version.
        VersionIsAlias: an alias of the model has the same name as that version.
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
            # A shared model belongs to no project, but its import is a task in a project.
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
    """Return the version for a new model, deleting a model with this version whose import failed.

    Raises:
        VersionTaken: ``wanted`` is in use.
        VersionIsAlias: ``wanted`` is an alias.
    """
    lock_name(session, project_id, name)
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


def lock_name(session: Session, project_id: int | None, name: str) -> None:
    """Lock a model name until the transaction ends, so that its registrations are serialised."""
    key = func.hashtextextended(f"models:{project_id}:{name}", 0)
    session.execute(select(func.pg_advisory_xact_lock(key)))


def _version(session: Session, project_id: int | None, name: str, wanted: str | None) -> str:
    """Return the version for a new model with this name, and lock the name.

    Raises:
        VersionTaken: ``wanted`` is in use.
        VersionIsAlias: ``wanted`` is an alias.
    """
    lock_name(session, project_id, name)
    if wanted is None:
        return str(queries.highest_version(session, project_id, name) + 1)
    if queries.is_version_taken(session, project_id, name, wanted):
        raise VersionTaken(name=name, version=wanted)
    if queries.find_alias(session, project_id, name, wanted) is not None:
        raise VersionIsAlias(name=name, version=wanted)
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
    """Register the result of training as the next version of ``name``, with the status ready.

    The licence is the base model's.

    Args:
        session: the caller's session; not committed here.
        task: the training task.
        project_id: the project of the new model.
        name: name of the new model.
        base_model_id: the model that was tuned.
        files: files in the blob store, in a model's layout. README.md becomes the card's text.
        card: the model card as data.
        metrics: the metrics of the training.
        experiment_id: the experiment of the training task.
        created_by: id of the task's author.
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
        storage.add_reference(session, file, project_id=project_id, model_id=model.id)
    if task.model_id is None:
        task.model_id = model.id
    record_registered(session, model, projects_queries.uuid_of(session, project_id), task)
    session.flush()
    return model


def register_again(
    session: Session, context: ProjectContext, model: Model, *, name: str
) -> tuple[Model, bool]:
    """Register a model under an additional name, as the next version of that name.

    The new model has the same files, card and lineage. ``model`` must have been produced by a task.
    If the task already has a model with the new name, that model is returned unchanged. Return the
    model, and True if it is new. The caller has locked ``model``.

    Raises:
        NotFound: the model was not made by a task.
        QuotaExceeded: the project's storage is full. Each model with these files is charged for
            them, although they are stored only once.
    """
    details = queries.details_of(session, model)
    if details.task_id is None:
        raise NotFound(resource="model")
    there = queries.find_registered(session, context, details.task_id, name)
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
        storage.add_reference(session, file, project_id=context.project_id, model_id=again.id)
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
    """Write an audit entry for a model that is ready."""
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
    """Return the text of the README.md among ``files``, cut to the maximum length."""
    for file in files:
        if file.path == CARD:
            length = min(file.size, MAX_CARD_BYTES)
            content = b"".join(get_store().read(file.sha256, 0, length))
            return clean_text(content.decode("utf-8", "replace"))
    return None
