"""Deleting models into the bin, and restoring and purging them."""

from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import NameTaken
from aiplatform.server.projects import queries as projects_queries
from aiplatform.server.projects.errors import StillUsed
from aiplatform.server.projects.models import BinEntry
from aiplatform.server.projects.service import bin as projects_bin
from aiplatform.server.projects.service.bin import BinKind
from aiplatform.server.registry import queries
from aiplatform.server.registry.models import Model, ModelDetails


def discard(session: Session, actor: Actor, model: Model, details: ModelDetails) -> BinEntry | None:
    """Move a locked model to its project's bin; a model without a project is deleted for good.

    A shared model goes into the bin of the project in which it was created. Return the bin entry,
    or None if the model was deleted for good.
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
        """Delete a model for good; see :class:`BinKind`."""
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
