"""SELECT statements for models, limited to what a guard's evidence allows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Select, and_, case, cast, false, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session, aliased
from sqlalchemy.types import Text

from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.enums import ModelStatus, TaskStatus
from aiplatform.protocol.permissions import WILDCARD, Permission
from aiplatform.protocol.trainings import SPECS
from aiplatform.server.core import storage
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.storage import Blob, BlobRef, StoredFile
from aiplatform.server.core.views import View
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.models import Role, User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project, ProjectPermission
from aiplatform.server.projects.rules import DELETED
from aiplatform.server.queue.models import Task, TaskInput
from aiplatform.server.registry.models import Model, ModelDetails
from aiplatform.server.registry.rules import SOURCE

UNFINISHED = [status.value for status in TaskStatus if not status.is_final]
Base = aliased(Model, name="base")

EXPERIMENTS = View("experiments", "id", "uuid", "name")
DATASET_ROLES = ("eval_dataset", *{role for spec in SPECS.values() for role in spec.training_data})
"""Roles of the datasets that a training reads."""

DATASETS = View("datasets", "id", "uuid", "project_id")
VERSIONS = View("versions", "id", "uuid", "dataset_id")
"""Columns of dataset versions for model lineage; published by the domain ``datasets``."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A model with columns from other tables."""

    model: Model
    details: ModelDetails | None
    project: UUID | None
    base: tuple[UUID, str, str | None] | None
    task: UUID | None
    experiment: UUID | None
    author: tuple[UUID, str] | None


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset version that a model was made from; its uuids are None after its deletion."""

    role: str
    label: str
    content_hash: str | None
    dataset: UUID | None
    version: UUID | None


def entries() -> Select[Any]:
    """Select models with the columns of :class:`Entry`. The caller adds the condition."""
    statement: Any = (
        select(
            Model,
            ModelDetails,
            Project.uuid,
            Base.uuid,
            Base.name,
            Base.version,
            Task.uuid,
            EXPERIMENTS.c.uuid,
            User.uuid,
            User.username,
        )
        .outerjoin(ModelDetails, ModelDetails.model_id == Model.id)
        .outerjoin(Project, Project.id == Model.project_id)
        # Another project's base model is not shown. Models in the bin belong to another project.
        .outerjoin(
            Base,
            and_(
                Base.id == ModelDetails.base_model_id,
                or_(Base.project_id.is_(None), Base.project_id == Model.project_id),
            ),
        )
        .outerjoin(Task, Task.id == ModelDetails.task_id)
        .outerjoin(EXPERIMENTS.table, EXPERIMENTS.c.id == ModelDetails.experiment_id)
        .outerjoin(User, User.id == ModelDetails.created_by)
    )
    found: Select[Any] = statement
    return found


def entry_of(row: Any) -> Entry:
    """Convert a row of :func:`entries`."""
    return Entry(
        model=row[0],
        details=row[1],
        project=row[2],
        base=None if row[3] is None else (row[3], row[4], row[5]),
        task=row[6],
        experiment=row[7],
        author=None if row[8] is None else (row[8], row[9]),
    )


def _named(statement: Select[Any], name: str | None, version: str | None) -> Select[Any]:
    if name is not None:
        statement = statement.where(Model.name == clean_text(name))
    if version is not None:
        statement = statement.where(Model.version == clean_text(version))
    return statement


def project_models(
    context: ProjectContext, *, name: str | None = None, version: str | None = None
) -> Select[Any]:
    """Select the project's own models."""
    return _named(entries().where(Model.project_id == context.project_id), name, version)


def readable_models(
    principal: Principal, *, name: str | None = None, version: str | None = None
) -> Select[Any]:
    """Select shared models, and those of all projects in which the principal may read models."""
    statement = entries().where(Project.status.is_distinct_from(DELETED))
    if not principal.in_scope(Permission.MODELS_READ):
        return statement.where(false())
    if principal.key is not None and principal.key.project_id is not None:
        mine = Model.project_id == principal.key.project_id
        statement = statement.where(or_(Model.project_id.is_(None), mine))
    if not principal.reaches_all_projects:
        granting = cast([WILDCARD, "models:*", Permission.MODELS_READ.value], ARRAY(Text))
        member = (
            select(ProjectPermission.project_id)
            .join(Role, Role.id == ProjectPermission.role_id)
            .where(
                ProjectPermission.user_id == principal.user_id,
                Role.permissions.op("?|")(granting),
            )
        )
        statement = statement.where(
            or_(
                Model.project_id.is_(None),
                Project.owner_id == principal.user_id,
                Model.project_id.in_(member),
            )
        )
    return _named(statement, name, version)


def get_entry(session: Session, model_id: int) -> Entry:
    """Return a model that a guard has admitted.

    Raises:
        NotFound: the model has since been deleted.
    """
    row = session.execute(entries().where(Model.id == model_id)).one_or_none()
    if row is None:
        raise NotFound(resource="model")
    return entry_of(row)


def lock_usable(session: Session, context: ProjectContext, uuid: UUID) -> Model | None:
    """Lock a project's own or shared model against deletion; return None if there is none."""
    return session.scalar(
        select(Model)
        .where(
            Model.uuid == uuid,
            or_(Model.project_id == context.project_id, Model.project_id.is_(None)),
        )
        .with_for_update(read=True, key_share=True)
    )


def lock_model(session: Session, model_id: int) -> tuple[Model, ModelDetails] | None:
    """Lock a model, and return its current state with its details; None if it was deleted."""
    model = session.scalar(
        select(Model)
        .where(Model.id == model_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if model is None:
        return None
    details = session.scalars(
        select(ModelDetails)
        .where(ModelDetails.model_id == model_id)
        .execution_options(populate_existing=True)
    ).one()
    return model, details


def details_of(session: Session, model: Model) -> ModelDetails:
    """Return the details of a model."""
    return session.get_one(ModelDetails, model.id)


def highest_version(session: Session, project_id: int | None, name: str) -> int:
    """Return the highest version number of the models with this name; 0 if there are none."""
    numbered = Model.version.regexp_match("^[0-9]{1,9}$")
    return (
        session.scalar(
            select(func.max(cast(Model.version, Integer))).where(
                Model.project_id.is_not_distinct_from(project_id), Model.name == name, numbered
            )
        )
        or 0
    )


def failed_import(session: Session, project_id: int | None, name: str, version: str) -> int | None:
    """Return the id of this version of a model if its import failed, otherwise None."""
    return session.scalar(
        select(Model.id)
        .join(ModelDetails, ModelDetails.model_id == Model.id)
        .where(
            Model.project_id.is_not_distinct_from(project_id),
            Model.name == name,
            Model.version == version,
            ModelDetails.status == ModelStatus.FAILED,
            ModelDetails.card.has_key("source"),
        )
    )


def is_version_taken(session: Session, project_id: int | None, name: str, version: str) -> bool:
    """Return True if a model with this name and version exists."""
    found = session.scalar(
        select(Model.id).where(
            Model.project_id.is_not_distinct_from(project_id),
            Model.name == name,
            Model.version == version,
        )
    )
    return found is not None


def files(session: Session, model: Model) -> list[StoredFile]:
    """Return the model's files, by path, in the layout that runtimes expect."""
    return storage.files_of(session, model_id=model.id)


def find_registered(
    session: Session, context: ProjectContext, task_id: int, name: str
) -> Model | None:
    """Return the newest model with this name that a task produced in the project, or None."""
    return session.scalar(
        select(Model)
        .join(ModelDetails, ModelDetails.model_id == Model.id)
        .where(
            Model.project_id == context.project_id,
            Model.name == name,
            ModelDetails.task_id == task_id,
        )
        .order_by(Model.id.desc())
        .limit(1)
    )


def source_files(session: Session, model_id: int) -> list[StoredFile]:
    """Return the files that have been uploaded but not imported, under their upload paths."""
    return [
        StoredFile(file.path.removeprefix(SOURCE), file.sha256, file.size)
        for file in storage.files_of(session, model_id=model_id)
        if file.path.startswith(SOURCE)
    ]


def page_of_files(
    session: Session, model_id: int, *, after: str, limit: int
) -> tuple[list[StoredFile], str | None]:
    """Return the files after the path ``after``, and the last path if there are more, or None."""
    rows = session.execute(
        select(BlobRef.path, Blob.sha256, Blob.size)
        .join(Blob, Blob.sha256 == BlobRef.sha256)
        .where(BlobRef.model_id == model_id, BlobRef.path.collate("C") > clean_text(after))
        .order_by(BlobRef.path.collate("C"))
        .limit(limit + 1)
    ).all()
    page = [StoredFile(*row) for row in rows[:limit]]
    return page, page[-1].path if len(rows) > limit else None


def get_file(session: Session, model_id: int, path: str) -> StoredFile:
    """Return a model's file by its path.

    Raises:
        NotFound: the model has no such file.
    """
    row = session.execute(
        select(BlobRef.path, Blob.sha256, Blob.size)
        .join(Blob, Blob.sha256 == BlobRef.sha256)
        .where(BlobRef.model_id == model_id, BlobRef.path == clean_text(path))
    ).one_or_none()
    if row is None:
        raise NotFound(resource="file")
    return StoredFile(*row)


def unfinished_imports(session: Session, model_id: int) -> Sequence[Task]:
    """Return the model's unfinished import in its current state; there is at most one."""
    return session.scalars(
        select(Task)
        .join(TaskInput, TaskInput.task_id == Task.id)
        .where(
            TaskInput.model_id == model_id,
            TaskInput.role == "source",
            Task.status.in_(UNFINISHED),
        )
        .execution_options(populate_existing=True)
    ).all()


def unfinished_readers(session: Session, model_id: int) -> Sequence[Task]:
    """Return unfinished tasks that read the model: training, evaluations, deployments."""
    reading = select(TaskInput.task_id).where(TaskInput.model_id == model_id)
    return session.scalars(
        select(Task)
        .where(Task.id.in_(reading), Task.status.in_(UNFINISHED))
        .order_by(Task.id)
        .execution_options(populate_existing=True)
    ).all()


def tuned_from(session: Session, model_id: int) -> Sequence[str]:
    """Return the names of models outside the bin that were tuned from this one and need it."""
    rows = session.execute(
        select(Model.name, Model.version)
        .join(ModelDetails, ModelDetails.model_id == Model.id)
        .outerjoin(Project, Project.id == Model.project_id)
        .where(ModelDetails.base_model_id == model_id, Project.status.is_distinct_from(DELETED))
        .order_by(Model.id)
    )
    return [f"{name}@{version}" for name, version in rows]


def made_from(session: Session, task_id: int) -> list[Source]:
    """Return the dataset versions that a task read, without uuids if they are in the bin."""
    rows = session.execute(
        select(
            TaskInput.role,
            TaskInput.label,
            TaskInput.content_hash,
            DATASETS.c.uuid,
            case((DATASETS.c.id.is_not(None), VERSIONS.c.uuid)),
        )
        .join(Task, Task.id == TaskInput.task_id)
        .outerjoin(VERSIONS.table, VERSIONS.c.id == TaskInput.dataset_version_id)
        .outerjoin(
            DATASETS.table,
            and_(
                DATASETS.c.id == VERSIONS.c.dataset_id,
                DATASETS.c.project_id == Task.project_id,
            ),
        )
        .where(TaskInput.task_id == task_id, TaskInput.role.in_(DATASET_ROLES))
        .order_by(TaskInput.role)
    )
    return [Source(*row) for row in rows]


def task_and_experiment(session: Session, details: ModelDetails) -> tuple[Any, Any]:
    """Return a model's task (uuid, name, type) and its experiment (uuid, name)."""
    task = session.execute(
        select(Task.uuid, Task.name, Task.type).where(Task.id == details.task_id)
    ).one_or_none()
    experiment = session.execute(
        select(EXPERIMENTS.c.uuid, EXPERIMENTS.c.name).where(
            EXPERIMENTS.c.id == details.experiment_id
        )
    ).one_or_none()
    return task, experiment


def project_by_uuid(session: Session, uuid: UUID) -> Project | None:
    """Return a project, locked against deletion, or None if it is deleted or in the bin."""
    return session.scalar(
        select(Project)
        .where(Project.uuid == uuid, Project.status.is_distinct_from(DELETED))
        .with_for_update(read=True, key_share=True)
    )


def list_model_uuids() -> Select[*tuple[Any, ...]]:
    """Select the id, the uuid and the project of each model."""
    return select(Model.id, Model.uuid, Model.project_id)
