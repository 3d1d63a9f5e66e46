"""SELECT statements for datasets.

Queries for a project's data require the caller's project context, which proves their access.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Select, and_, cast, func, literal, or_, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, aliased

from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.server.core.database import cached
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.files import version_file
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets.errors import MAX_LISTED, NoSuchVersion
from aiplatform.server.datasets.models import (
    Dataset,
    DatasetDetails,
    DatasetTag,
    DatasetVersion,
    DatasetVersionDetails,
    QualityReport,
)
from aiplatform.server.datasets.rules import QUARANTINE_PATH, ROWS_PATH, UPLOAD_FOLDER, is_label
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task, TaskInput

Parent = aliased(DatasetVersion, name="parent")
NON_BLOCKING_TASK_TYPES = [TaskType.DATA_FIX.value, TaskType.DATA_QUALITY.value]
"""Types of tasks that, after they have ended, do not prevent the deletion of versions they read."""

UNFINISHED = [status.value for status in TaskStatus if not status.is_final]


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """A dataset with its project's uuid and its current version's data shape and row count."""

    dataset: Dataset
    project: UUID | None
    shape: str | None
    row_count: int


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version with its dataset, parent, details, author and newest quality report."""

    version: DatasetVersion
    dataset: UUID
    parent: str | None
    details: DatasetVersionDetails | None
    author: tuple[UUID, str] | None
    report: dict[str, Any] | None


def list_datasets(context: ProjectContext, *, name: str | None = None) -> Select[Any]:
    """Return a statement for the project's datasets with the columns of :class:`DatasetRow`."""
    statement: Any = (
        select(Dataset, Project.uuid, DatasetDetails.shape, DatasetVersion.row_count)
        .outerjoin(Project, Project.id == Dataset.project_id)
        .outerjoin(DatasetDetails, DatasetDetails.dataset_id == Dataset.id)
        .outerjoin(
            DatasetVersion,
            and_(
                DatasetVersion.dataset_id == Dataset.id,
                DatasetVersion.version == Dataset.version,
            ),
        )
        .where(Dataset.project_id == context.project_id)
    )
    if name is not None:
        statement = statement.where(Dataset.name == clean_text(name))
    found: Select[Any] = statement
    return found


def dataset_row(row: Any) -> DatasetRow:
    """Return a row of :func:`list_datasets` as an object."""
    return DatasetRow(row[0], row[1], row[2], row[3] or 0)


def get_dataset_row(session: Session, context: ProjectContext, uuid: UUID) -> DatasetRow:
    """Return a dataset of the project as a :class:`DatasetRow`.

    Raises:
        NotFound: when the project has no such dataset.
    """
    row = session.execute(list_datasets(context).where(Dataset.uuid == uuid)).one_or_none()
    if row is None:
        raise NotFound(resource="dataset")
    return dataset_row(row)


def get_dataset(session: Session, context: ProjectContext, uuid: UUID) -> Dataset:
    """Return a dataset of the project.

    Raises:
        NotFound: when the project has no such dataset.
    """
    found = session.scalar(
        select(Dataset).where(Dataset.uuid == uuid, Dataset.project_id == context.project_id)
    )
    if found is None:
        raise NotFound(resource="dataset")
    return found


def named_types(session: Session, version: DatasetVersion) -> dict[str, str]:
    """Return the column types that uploaders chose, under the version's current column names.

    They come from the version's own upload or, if that names no types, from the nearest ancestor
    whose upload does. Older uploads recorded only their own types, under the file's column names.
    """
    line = (
        select(DatasetVersion.id, DatasetVersion.parent_version_id, literal(0).label("depth"))
        .where(DatasetVersion.id == version.id)
        .cte("line", recursive=True)
    )
    line = line.union_all(
        select(DatasetVersion.id, DatasetVersion.parent_version_id, line.c.depth + 1).join(
            line, DatasetVersion.id == line.c.parent_version_id
        )
    )
    upload = type_coerce(DatasetVersionDetails.upload, JSONB)
    found = session.scalar(
        select(upload)
        .join(line, line.c.id == DatasetVersionDetails.version_id)
        .where(or_(upload.has_key("named"), upload.has_key("types")))
        .order_by(line.c.depth)
        .limit(1)
    )
    if found is None:
        return {}
    renamed = found.get("renamed") or {}
    own = {renamed.get(name, name): label for name, label in (found.get("types") or {}).items()}
    return {**own, **(found.get("named") or {})}


def lock_dataset(session: Session, context: ProjectContext, uuid: UUID) -> Dataset:
    """Lock one of the project's datasets and return its current state.

    Every change to a dataset begins with this call.

    Raises:
        NotFound: when the project has no such dataset.
    """
    found = session.scalar(
        select(Dataset)
        .where(Dataset.uuid == uuid, Dataset.project_id == context.project_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound(resource="dataset")
    return found


def list_versions(dataset: Dataset) -> Select[Any]:
    """Return a statement for the versions of a dataset with the columns of :class:`VersionRow`."""
    return (
        select(
            DatasetVersion,
            Dataset.uuid,
            Parent.version,
            DatasetVersionDetails,
            User.uuid,
            User.username,
            QualityReport.report,
        )
        .join(Dataset, Dataset.id == DatasetVersion.dataset_id)
        .outerjoin(Parent, Parent.id == DatasetVersion.parent_version_id)
        .outerjoin(DatasetVersionDetails, DatasetVersionDetails.version_id == DatasetVersion.id)
        .outerjoin(User, User.id == DatasetVersion.created_by)
        .outerjoin(QualityReport, QualityReport.version_id == DatasetVersion.id)
        .where(DatasetVersion.dataset_id == dataset.id)
    )


def version_row(row: Any) -> VersionRow:
    """Return a row of :func:`list_versions` as an object."""
    author = None if row[4] is None else (row[4], row[5])
    return VersionRow(row[0], row[1], row[2], row[3], author, row[6])


def get_version_row(session: Session, dataset: Dataset, label: str) -> VersionRow:
    """Return a version by its label or tag, as a :class:`VersionRow`.

    Raises:
        NotFound: when the dataset has no such version.
    """
    label = label_of(session, dataset, label)
    row = session.execute(
        list_versions(dataset).where(DatasetVersion.version == label)
    ).one_or_none()
    if row is None:
        raise no_such_version(session, dataset, label)
    return version_row(row)


def label_of(session: Session, dataset: Dataset, name: str | None) -> str:
    """Return the version label for a label or tag; None stands for the current version.

    Raises:
        NotFound: when the dataset has no such tag.
    """
    if name is None:
        return dataset.version
    if is_label(name):
        return name
    label = session.scalar(
        select(DatasetVersion.version)
        .join(DatasetTag, DatasetTag.version_id == DatasetVersion.id)
        .where(DatasetTag.dataset_id == dataset.id, DatasetTag.name == name.removeprefix("@"))
    )
    if label is None:
        raise no_such_version(session, dataset, name)
    return label


def tags(session: Session, dataset: Dataset) -> Sequence[Any]:
    """Return a dataset's tags by name, each with its version and the user who moved it."""
    return session.execute(
        select(DatasetTag, DatasetVersion.version, User.uuid, User.username)
        .join(DatasetVersion, DatasetVersion.id == DatasetTag.version_id)
        .outerjoin(User, User.id == DatasetTag.moved_by)
        .where(DatasetTag.dataset_id == dataset.id)
        .order_by(DatasetTag.name)
    ).all()


def get_version(session: Session, dataset: Dataset, name: str) -> DatasetVersion:
    """Return a version by its label or tag.

    Raises:
        NotFound: when there is no such version.
    """
    found = session.scalar(
        select(DatasetVersion).where(
            DatasetVersion.dataset_id == dataset.id,
            DatasetVersion.version == label_of(session, dataset, name),
        )
    )
    if found is None:
        raise no_such_version(session, dataset, name)
    return found


def no_such_version(session: Session, dataset: Dataset, name: str) -> NoSuchVersion:
    """Return the error for a version or tag that a dataset lacks; it lists the existing ones."""
    versions = session.scalars(
        select(DatasetVersion.version)
        .where(DatasetVersion.dataset_id == dataset.id)
        .order_by(DatasetVersion.id.desc())
        .limit(MAX_LISTED + 1)
    )
    tags = session.scalars(
        select(DatasetTag.name)
        .where(DatasetTag.dataset_id == dataset.id)
        .order_by(DatasetTag.name)
        .limit(MAX_LISTED + 1)
    )
    known = [*(f"@{tag}" for tag in tags), *versions]
    return NoSuchVersion(dataset=dataset.name, version=name, known=known)


def deletion_obstacle(session: Session, version: DatasetVersion) -> tuple[str, str] | None:
    """Return the reason why a version can't be deleted, in English and Chinese, or None."""
    child = session.scalar(
        select(DatasetVersion.version)
        .where(DatasetVersion.parent_version_id == version.id)
        .limit(1)
    )
    if child is not None:
        return f"{child} was made from it", f"{child} 基于该版本"
    tag = session.scalar(
        select(DatasetTag.name).where(DatasetTag.version_id == version.id).limit(1)
    )
    if tag is not None:
        return f"the tag {tag} is at it", f"标签 {tag} 指向该版本"
    reader = session.execute(
        select(Task.name, Task.status)
        .join(TaskInput, TaskInput.task_id == Task.id)
        .where(
            TaskInput.dataset_version_id == version.id,
            Task.type.not_in(NON_BLOCKING_TASK_TYPES) | Task.status.in_(UNFINISHED),
        )
        .limit(1)
    ).one_or_none()
    if reader is not None:
        return f"the task “{reader.name}” reads or has read it", f"任务“{reader.name}”使用过该版本"
    if version.parent_version_id is None:
        return "it is the first; delete the dataset", "它是第一个版本；请删除整个数据集"
    return None


def current_version(session: Session, dataset: Dataset) -> DatasetVersion | None:
    """Return the current version of a dataset; None if it has none."""
    return session.scalar(
        select(DatasetVersion).where(
            DatasetVersion.dataset_id == dataset.id, DatasetVersion.version == dataset.version
        )
    )


def highest_version(session: Session, dataset: Dataset) -> int:
    """Return the highest number of the dataset's versions; 0 if it has none."""
    numbered = DatasetVersion.version.regexp_match("^v[0-9]{1,9}$")
    number = cast(func.substr(DatasetVersion.version, 2), Integer)
    return (
        session.scalar(
            select(func.max(number)).where(DatasetVersion.dataset_id == dataset.id, numbered)
        )
        or 0
    )


def is_name_taken(session: Session, context: ProjectContext, name: str) -> bool:
    """Return True if the project has a dataset with this name."""
    return session.scalar(list_datasets(context, name=name).limit(1)) is not None


def report_of(session: Session, version_id: int) -> QualityReport | None:
    """Return the newest quality report of a version; None if it has none."""
    return session.get(QualityReport, version_id)


def rows_file(session: Session, version_id: int) -> StoredFile | None:
    """Return the canonical Parquet file of a version; None if it has none."""
    return version_file(session, version_id, ROWS_PATH)


def upload_file(session: Session, version_id: int) -> StoredFile | None:
    """Return the uploaded file of a version; None if there was none or it is no longer kept."""
    return version_file(session, version_id, UPLOAD_FOLDER)


def quarantine_file(session: Session, version_id: int) -> StoredFile | None:
    """Return the file with the unreadable rows of a version's upload; None if it has none."""
    return version_file(session, version_id, QUARANTINE_PATH)


def unfinished_readers(session: Session, dataset: Dataset) -> Sequence[Task]:
    """Return the current state of all unfinished tasks that read a version of the dataset."""
    reading = (
        select(TaskInput.task_id)
        .join(DatasetVersion, DatasetVersion.id == TaskInput.dataset_version_id)
        .where(DatasetVersion.dataset_id == dataset.id)
    )
    return session.scalars(
        select(Task)
        .where(Task.id.in_(reading), Task.status.in_(UNFINISHED))
        .order_by(Task.id)
        .execution_options(populate_existing=True)
    ).all()


def has_unfinished_check(
    session: Session, version_id: int, *, excluding: int | None = None
) -> bool:
    """Return True if a version has unfinished quality tasks other than the task ``excluding``."""
    statement = (
        select(Task.id)
        .join(TaskInput, TaskInput.task_id == Task.id)
        .where(
            TaskInput.dataset_version_id == version_id,
            Task.type == TaskType.DATA_QUALITY.value,
            Task.status.in_(UNFINISHED),
        )
        .limit(1)
    )
    if excluding is not None:
        statement = statement.where(Task.id != excluding)
    return session.scalar(statement) is not None


def list_version_datasets() -> Select[*tuple[Any, ...]]:
    """Select the dataset of each version, by internal ids."""
    return select(DatasetVersion.id, DatasetVersion.dataset_id)


def list_version_uuids() -> Select[*tuple[Any, ...]]:
    """Select the uuid and the dataset of each version."""
    return select(DatasetVersion.id, DatasetVersion.uuid, DatasetVersion.dataset_id)


def list_dataset_uuids() -> Select[*tuple[Any, ...]]:
    """Select the uuid and the project of each dataset."""
    return select(Dataset.id, Dataset.uuid, Dataset.project_id)


Pin = tuple[Dataset, DatasetVersion]


def pin_version(session: Session, context: ProjectContext, uuid: UUID, label: str | None) -> Pin:
    """Lock and return a version that a task will read, by default the current one.

    The dataset is locked as well, because its deletion changes only the dataset's row, not those of
    its versions.

    Args:
        session: the database session.
        context: the caller's access to the project.
        uuid: the dataset.
        label: the label or tag of the version; None means the current one.

    Raises:
        NotFound: when the project has no such dataset or the dataset no such version.
    """
    key = ("pinned", context.project_id, uuid, label)
    return cached(session, key, lambda: _pin(session, context, uuid, label))


def _pin(session: Session, context: ProjectContext, uuid: UUID, label: str | None) -> Pin:
    dataset = session.scalar(
        select(Dataset)
        .where(Dataset.uuid == uuid, Dataset.project_id == context.project_id)
        .with_for_update(read=True, key_share=True)
        # An object that was loaded earlier may name an outdated version as the current one.
        .execution_options(populate_existing=True)
    )
    if dataset is None:
        raise NotFound(resource="dataset")
    version = session.scalar(
        select(DatasetVersion)
        .where(
            DatasetVersion.dataset_id == dataset.id,
            DatasetVersion.version == label_of(session, dataset, label),
        )
        .with_for_update(read=True, key_share=True)
    )
    if version is None:
        raise no_such_version(session, dataset, label or dataset.version)
    return dataset, version
