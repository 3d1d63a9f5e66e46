"""SELECT statements for models, limited to the models that the caller may access."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Select, and_, case, cast, false, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by
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
from aiplatform.server.registry.models import Model, ModelAlias, ModelAliasMove, ModelDetails
from aiplatform.server.registry.rules import SOURCE

UNFINISHED = [status.value for status in TaskStatus if not status.is_final]
Base = aliased(Model, name="base")

EXPERIMENTS = View("experiments", "id", "uuid", "name")
DATASET_ROLES = ("eval_dataset", *{role for spec in SPECS.values() for role in spec.training_data})
"""Roles of the datasets that a training task reads."""

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
    aliases: list[str]


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
            select(func.array_agg(aggregate_order_by(ModelAlias.name, ModelAlias.name)))
            .where(ModelAlias.model_id == Model.id)
            .correlate(Model)
            .scalar_subquery(),
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
    """Convert a row of :func:`entries` to an :class:`Entry`."""
    return Entry(
        model=row[0],
        details=row[1],
        project=row[2],
        base=None if row[3] is None else (row[3], row[4], row[5]),
        task=row[6],
        experiment=row[7],
        author=None if row[8] is None else (row[8], row[9]),
        aliases=row[10] or [],
    )


def _named(statement: Select[Any], name: str | None, version: str | None) -> Select[Any]:
    if name is not None:
        statement = statement.where(Model.name == clean_text(name))
    if version is not None:
        pointing = select(ModelAlias.model_id).where(ModelAlias.name == clean_text(version))
        statement = statement.where(
            or_(Model.version == clean_text(version), Model.id.in_(pointing))
        )
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
    """Return a model to which a guard has granted access.

    Raises:
        NotFound: the model has since been deleted.
    """
    row = session.execute(entries().where(Model.id == model_id)).one_or_none()
    if row is None:
        raise NotFound(resource="model")
    return entry_of(row)


def lock_usable(session: Session, context: ProjectContext, meant: UUID | str) -> Model | None:
    """Return a project's own or a shared model, locked against deletion; None if there is none.

    Args:
        session: the caller's session.
        context: the right to use the project's models.
        meant: the uuid, or ``name@version`` or ``name@alias``. The project's own models take
            precedence over shared ones, and versions over aliases.
    """
    statement = select(Model).where(
        or_(Model.project_id == context.project_id, Model.project_id.is_(None))
    )
    if isinstance(meant, UUID):
        statement = statement.where(Model.uuid == meant)
    else:
        name, _, label = clean_text(meant).partition("@")
        pointing = select(ModelAlias.model_id).where(
            ModelAlias.model_name == name, ModelAlias.name == label
        )
        statement = (
            statement.where(Model.name == name, or_(Model.version == label, Model.id.in_(pointing)))
            .order_by(Model.project_id.is_(None), Model.version != label)
            .limit(1)
        )
    return session.scalar(statement.with_for_update(read=True, key_share=True))


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
    """Return the files that were uploaded but not yet imported, with the paths of their uploads."""
    return [
        StoredFile(file.path.removeprefix(SOURCE), file.sha256, file.size)
        for file in storage.files_of(session, model_id=model_id)
        if file.path.startswith(SOURCE)
    ]


def page_of_files(
    session: Session, model_id: int, *, after: str, limit: int
) -> tuple[list[StoredFile], str | None]:
    """Return the files after path ``after``, and the last one's path if more follow, else None."""
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
    """Return the unfinished tasks that read the model to train, evaluate or serve it."""
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


def lock_version(
    session: Session, model_id: int, project_id: int | None, name: str
) -> Model | None:
    """Return a version of a model, locked against deletion; None if deleted or in the bin."""
    return session.scalar(
        select(Model)
        .where(
            Model.id == model_id,
            Model.project_id.is_not_distinct_from(project_id),
            Model.name == name,
        )
        .with_for_update(read=True, key_share=True)
        .execution_options(populate_existing=True)
    )


def version_label(
    session: Session, project_id: int | None, name: str, uuid: UUID | None
) -> str | None:
    """Return the version of a model of this name, or None if there is no such model."""
    return session.scalar(
        select(Model.version).where(
            Model.uuid == uuid,
            Model.project_id.is_not_distinct_from(project_id),
            Model.name == name,
        )
    )


def username_of(session: Session, user_id: int | None) -> str | None:
    """Return the name of a user, or None if the account was deleted."""
    return session.scalar(select(User.username).where(User.id == user_id))


def find_alias(
    session: Session, project_id: int | None, model_name: str, alias: str
) -> ModelAlias | None:
    """Return an alias of a model name in its current state, or None if it does not exist."""
    return session.scalar(
        select(ModelAlias)
        .where(
            ModelAlias.project_id.is_not_distinct_from(project_id),
            ModelAlias.model_name == model_name,
            ModelAlias.name == alias,
        )
        .execution_options(populate_existing=True)
    )


def count_aliases(session: Session, project_id: int | None, model_name: str) -> int:
    """Return how many aliases a model name has."""
    return session.scalars(
        select(func.count())
        .select_from(ModelAlias)
        .where(
            ModelAlias.project_id.is_not_distinct_from(project_id),
            ModelAlias.model_name == model_name,
        )
    ).one()


def aliases_of(session: Session, model_id: int) -> Sequence[str]:
    """Return the names of the aliases that point to a model."""
    return session.scalars(
        select(ModelAlias.name).where(ModelAlias.model_id == model_id).order_by(ModelAlias.name)
    ).all()


def list_aliases() -> Select[Any]:
    """Select aliases, each with its version, project and last mover. The caller adds conditions."""
    statement: Any = (
        select(
            ModelAlias,
            Model.uuid.label("model_uuid"),
            Model.version.label("version"),
            Project.uuid.label("project_uuid"),
            User.uuid.label("mover_uuid"),
            User.username.label("mover_name"),
        )
        .join(Model, Model.id == ModelAlias.model_id)
        .outerjoin(Project, Project.id == ModelAlias.project_id)
        .outerjoin(User, User.id == ModelAlias.moved_by)
    )
    found: Select[Any] = statement
    return found


def project_aliases(context: ProjectContext, *, name: str | None = None) -> Select[Any]:
    """Select the aliases of the project's models, or only of models called ``name``."""
    found = list_aliases().where(ModelAlias.project_id == context.project_id)
    return found if name is None else found.where(ModelAlias.model_name == clean_text(name))


def aliases_beside(model: Model) -> Select[Any]:
    """Select the aliases of all versions of a model."""
    return list_aliases().where(
        ModelAlias.project_id.is_not_distinct_from(model.project_id),
        ModelAlias.model_name == model.name,
    )


def get_alias(session: Session, model: Model, alias: str) -> Any:
    """Return an alias of a model with the columns of :func:`list_aliases`.

    Raises:
        NotFound: the model has no such alias.
    """
    row = session.execute(
        aliases_beside(model).where(ModelAlias.name == clean_text(alias))
    ).one_or_none()
    if row is None:
        raise NotFound(resource="alias")
    return row


def alias_moves(model: Model, alias: str) -> Select[Any]:
    """Select the moves of an alias, with the uuids of the versions that still exist."""
    former, following = aliased(Model, name="former"), aliased(Model, name="following")
    later = aliased(ModelAliasMove, name="later")

    def same(version: Any) -> Any:
        return and_(
            version.project_id.is_not_distinct_from(ModelAliasMove.project_id),
            version.name == ModelAliasMove.model_name,
        )

    statement: Any = (
        select(
            ModelAliasMove,
            former.uuid.label("from_uuid"),
            following.uuid.label("to_uuid"),
            select(later.id).where(later.undoes == ModelAliasMove.id).exists().label("undone"),
            User.uuid.label("mover_uuid"),
            User.username.label("mover_name"),
        )
        # A version in the bin belongs to another project and is shown like a deleted one.
        .outerjoin(former, and_(former.id == ModelAliasMove.from_model_id, same(former)))
        .outerjoin(following, and_(following.id == ModelAliasMove.to_model_id, same(following)))
        .outerjoin(User, User.id == ModelAliasMove.moved_by)
        .where(
            ModelAliasMove.project_id.is_not_distinct_from(model.project_id),
            ModelAliasMove.model_name == model.name,
            ModelAliasMove.alias == clean_text(alias),
        )
    )
    found: Select[Any] = statement
    return found


def last_alias_move(
    session: Session, project_id: int | None, model_name: str, alias: str
) -> ModelAliasMove | None:
    """Return an alias's last move that neither undid another nor was undone, or None."""
    later = aliased(ModelAliasMove, name="later")
    return session.scalar(
        select(ModelAliasMove)
        .where(
            ModelAliasMove.project_id.is_not_distinct_from(project_id),
            ModelAliasMove.model_name == model_name,
            ModelAliasMove.alias == alias,
            ModelAliasMove.undoes.is_(None),
            ~select(later.id).where(later.undoes == ModelAliasMove.id).exists(),
        )
        .order_by(ModelAliasMove.id.desc())
        .limit(1)
    )


def list_model_uuids() -> Select[*tuple[Any, ...]]:
    """Select the id, the uuid and the project of each model."""
    return select(Model.id, Model.uuid, Model.project_id)
