"""Deletion of models: move them to the bin, restore them and purge them."""

from contextlib import suppress
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import NameTaken, NotFound
from aiplatform.server.projects import queries as projects_queries
from aiplatform.server.projects.errors import StillUsed
from aiplatform.server.projects.models import BinEntry
from aiplatform.server.projects.service import bin as projects_bin
from aiplatform.server.projects.service.bin import BinKind
from aiplatform.server.queue.errors import TaskFinished
from aiplatform.server.queue.service import request_cancel
from aiplatform.server.registry import queries
from aiplatform.server.registry.errors import (
    ModelHasAliases,
    ModelInUse,
)
from aiplatform.server.registry.models import Model, ModelDetails


def discard(session: Session, actor: Actor, model: Model, details: ModelDetails) -> BinEntry | None:
    """Move a locked model to its project's bin; a model without a project is deleted permanently.

    A shared model goes into the bin of the project in which it was created. Return the bin entry,
    or None if the model was deleted permanently.
    """
    shared = model.project_id is None
    project_id = _origin(session, details) if shared else model.project_id
    if project_id is None:
        session.execute(delete(Model).where(Model.id == model.id))
        session.expire_all()
        return None
    name = model.name
    model.project_id = projects_queries.bin_home(session)
    model.name = str(model.uuid)
    session.flush()
    return projects_bin.add_entry(
        session,
        actor,
        kind="model",
        project_id=project_id,
        resource_uuid=model.uuid,
        name=name,
        version=model.version,
        model_id=model.id,
        shared=shared,
    )


def _origin(session: Session, details: ModelDetails) -> int | None:
    uuid = details.card.get("project")
    project = None if uuid is None else queries.project_by_uuid(session, UUID(uuid))
    return None if project is None else project.id


class BinnedModels(BinKind):
    """The bin's operations on models: restore and purge."""

    kind = "model"
    reads = Permission.MODELS_READ
    writes = Permission.MODELS_WRITE

    def restore(self, session: Session, entry: BinEntry, name: str | None) -> str:
        """Restore a model; see :class:`BinKind`. Name and version together must be unique."""
        model = _binned(session, entry)

        def take(wanted: str) -> None:
            model.project_id = None if entry.shared else entry.project_id
            model.name = wanted

        taken = NameTaken(resource="model", name=f"{name or entry.name}@{entry.version}")
        return projects_bin.restore_under_free_name(session, entry.name, name, take, taken)

    def purge(self, session: Session, entry: BinEntry) -> None:
        """Delete a model permanently; see :class:`BinKind`."""
        model = _binned(session, entry)
        users = queries.tuned_from(session, model.id)
        if users:
            raise StillUsed(users=", ".join(users[:5]))
        session.execute(delete(Model).where(Model.id == model.id))
        session.expire_all()


def _binned(session: Session, entry: BinEntry) -> Model:
    return session.scalars(
        select(Model)
        .where(Model.id == entry.model_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def delete_model(
    session: Session, actor: Actor, model_id: int, *, project: UUID | None = None
) -> BinEntry | None:
    """Put a model into the bin. Return the bin entry, which contains the time of the purge.

    The model's own import is cancelled. Other unfinished tasks that read the model, models tuned
    from it, and its aliases prevent the deletion. A shared model goes into the bin of the project
    in which it was created; if that was deleted, the model is deleted permanently and the result is
    None.

    Raises:
        NotFound: the model is already deleted.
        ModelInUse: an unfinished task reads it (for example a deployment), or a model was tuned
            from it.
        ModelHasAliases: an alias points to it.
    """
    # Tasks are locked before the model, as when tasks end, so that the two can't deadlock.
    for task in queries.unfinished_imports(session, model_id):
        if task.status != TaskStatus.CANCELLING:
            with suppress(TaskFinished):  # it has just ended
                request_cancel(session, actor, task, project=project)
    locked = queries.lock_model(session, model_id)
    if locked is None:
        raise NotFound(resource="model")
    model, details = locked
    imports = {task.id for task in queries.unfinished_imports(session, model_id)}
    # Submitting a task locks the models that it reads, so no reader can appear after this check.
    users = [
        f"{task.name} ({task.status})"
        for task in queries.unfinished_readers(session, model_id)
        if task.id not in imports or task.status != TaskStatus.CANCELLING
    ]
    users += queries.tuned_from(session, model_id)
    if users:
        shown = ", ".join(users[:5])
        raise ModelInUse(users=shown if len(users) <= 5 else f"{shown}, +{len(users) - 5}")
    # Moving an alias locks the version, so no alias can appear after this check.
    aliases = queries.aliases_of(session, model.id)
    if aliases:
        raise ModelHasAliases(model=f"{model.name}@{model.version}", aliases=", ".join(aliases))
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
