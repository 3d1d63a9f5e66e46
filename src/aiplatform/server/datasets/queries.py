"""Named selects of datasets. What belongs to a project is selected with its context as evidence."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Select, and_, cast, column, func, select, table
from sqlalchemy.orm import Session, aliased

from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.enums import ModelStatus, TaskStatus, TaskType
from aiplatform.server.core import storage
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets.errors import BaseModelNotReady
from aiplatform.server.datasets.models import (
    Dataset,
    DatasetDetails,
    DatasetVersion,
    DatasetVersionDetails,
    QualityReport,
)
from aiplatform.server.datasets.rules import ROWS_PATH, UPLOAD_FOLDER
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project
from aiplatform.server.tasks.models import Task, TaskInput

Parent = aliased(DatasetVersion, name="parent")
UNFINISHED = [status.value for status in TaskStatus if not status.is_final]

_models = table("models", column("id"), column("uuid"), column("project_id"), column("name"),
                column("version"))  # fmt: skip
_model_details = table("model_details", column("model_id"), column("status"))
"""Tables of the registry, of which only what a tokenizer needs is read here."""


@dataclass(frozen=True, slots=True)
class Head:
    """A dataset with what its other tables say of it."""

    dataset: Dataset
    project: UUID | None
    shape: str | None
    row_count: int


@dataclass(frozen=True, slots=True)
class Commit:
    """A version with what its other tables say of it."""

    version: DatasetVersion
    dataset: UUID
    parent: str | None
    details: DatasetVersionDetails | None
    author: tuple[UUID, str] | None
    report: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A model whose tokenizer counts tokens: its inner id, how people call it, its files' hash."""

    id: int
    label: str
    content_hash: str


def heads(context: ProjectContext, *, name: str | None = None) -> Select[Any]:
    """The project's datasets, each with the facts of :class:`Head`."""
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


def head_of(row: Any) -> Head:
    """A row of :func:`heads`."""
    return Head(row[0], row[1], row[2], row[3] or 0)


def get_head(session: Session, context: ProjectContext, uuid: UUID) -> Head:
    """One dataset of the project.

    Raises:
        NotFound: when the project has no such dataset.
    """
    row = session.execute(heads(context).where(Dataset.uuid == uuid)).one_or_none()
    if row is None:
        raise NotFound(resource="dataset")
    return head_of(row)


def get_dataset(session: Session, context: ProjectContext, uuid: UUID) -> Dataset:
    """One dataset of the project.

    Raises:
        NotFound: when the project has no such dataset.
    """
    found = session.scalar(
        select(Dataset).where(Dataset.uuid == uuid, Dataset.project_id == context.project_id)
    )
    if found is None:
        raise NotFound(resource="dataset")
    return found


def lock_dataset(session: Session, context: ProjectContext, uuid: UUID) -> Dataset:
    """One dataset of the project, locked and as it is now. Every change of a head begins here.

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


def commits(dataset: Dataset) -> Select[Any]:
    """The versions of a dataset, each with the facts of :class:`Commit`."""
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


def commit_of(row: Any) -> Commit:
    """A row of :func:`commits`."""
    author = None if row[4] is None else (row[4], row[5])
    return Commit(row[0], row[1], row[2], row[3], author, row[6])


def get_commit(session: Session, dataset: Dataset, label: str) -> Commit:
    """One version by its label.

    Raises:
        NotFound: when the dataset has no such version.
    """
    row = session.execute(commits(dataset).where(DatasetVersion.version == label)).one_or_none()
    if row is None:
        raise NotFound(resource="dataset version")
    return commit_of(row)


def pin_version(
    session: Session, context: ProjectContext, uuid: UUID, label: str | None
) -> tuple[Dataset, DatasetVersion]:
    """A version that a task will read, by default the current one, locked against deletion.

    Raises:
        NotFound: when the project has no such dataset or the dataset no such version.
    """
    dataset = get_dataset(session, context, uuid)
    version = session.scalar(
        select(DatasetVersion)
        .where(
            DatasetVersion.dataset_id == dataset.id,
            DatasetVersion.version == (label or dataset.version),
        )
        .with_for_update(read=True, key_share=True)
    )
    if version is None:
        raise NotFound(resource="dataset version")
    return dataset, version


def current_version(session: Session, dataset: Dataset) -> DatasetVersion | None:
    """The version that the head names."""
    return session.scalar(
        select(DatasetVersion).where(
            DatasetVersion.dataset_id == dataset.id, DatasetVersion.version == dataset.version
        )
    )


def highest_version(session: Session, dataset: Dataset) -> int:
    """The greatest number given to a version of the dataset so far; 0 when there is none."""
    numbered = DatasetVersion.version.regexp_match("^v[0-9]{1,9}$")
    number = cast(func.substr(DatasetVersion.version, 2), Integer)
    return (
        session.scalar(
            select(func.max(number)).where(DatasetVersion.dataset_id == dataset.id, numbered)
        )
        or 0
    )


def is_name_taken(session: Session, context: ProjectContext, name: str) -> bool:
    """Whether the project has a dataset of that name."""
    found = session.scalar(
        select(Dataset.id).where(
            Dataset.project_id == context.project_id, Dataset.name == clean_text(name)
        )
    )
    return found is not None


def report_of(session: Session, version_id: int) -> QualityReport | None:
    """The report of a version."""
    return session.get(QualityReport, version_id)


def rows_file(session: Session, version_id: int) -> StoredFile | None:
    """The canonical Parquet of a version."""
    for file in storage.files_of(session, dataset_version_id=version_id):
        if file.path == ROWS_PATH:
            return file
    return None


def upload_file(session: Session, version_id: int) -> StoredFile | None:
    """The bytes as they were uploaded, while they are kept."""
    for file in storage.files_of(session, dataset_version_id=version_id):
        if file.path.startswith(UPLOAD_FOLDER):
            return file
    return None


def unfinished_readers(session: Session, dataset: Dataset) -> Sequence[Task]:
    """Tasks that have not ended and read a version of the dataset, as they are now."""
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


def other_checks_wait(session: Session, version_id: int, task_id: int) -> bool:
    """Whether quality tasks of a version other than ``task_id`` have not ended."""
    found = session.scalar(
        select(Task.id)
        .join(TaskInput, TaskInput.task_id == Task.id)
        .where(
            TaskInput.dataset_version_id == version_id,
            Task.type == TaskType.DATA_QUALITY.value,
            Task.status.in_(UNFINISHED),
            Task.id != task_id,
        )
        .limit(1)
    )
    return found is not None


def tokenizer_files(session: Session, model_id: int) -> list[StoredFile]:
    """A model's files without its weights, which a tokenizer does not need."""
    return [
        file
        for file in storage.files_of(session, model_id=model_id)
        if not file.path.endswith((".safetensors", ".gguf")) and file.path.startswith("weights/")
    ]


def usable_base_model(session: Session, context: ProjectContext, uuid: UUID) -> BaseModel:
    """A ready model of the project or a shared one, locked against deletion.

    Raises:
        NotFound: for another project's, or none.
        BaseModelNotReady: while its files are still coming in.
    """
    row = session.execute(
        select(_models.c.id, _models.c.name, _models.c.version, _model_details.c.status)
        .join(_model_details, _model_details.c.model_id == _models.c.id)
        .where(
            _models.c.uuid == uuid,
            (_models.c.project_id == context.project_id) | _models.c.project_id.is_(None),
        )
        .with_for_update(read=True, key_share=True, of=_models)
    ).one_or_none()
    if row is None:
        raise NotFound(resource="model")
    label = f"{row.name}@{row.version}"
    if row.status != ModelStatus.READY:
        raise BaseModelNotReady(model=label, model_status=row.status)
    lines = [f"{file.path} {file.sha256}\n" for file in tokenizer_files(session, row.id)]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    return BaseModel(row.id, label, digest)
