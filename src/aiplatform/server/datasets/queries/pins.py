"""Versions that tasks will read, locked against deletion."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.query_cache import cached
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.models import Dataset, DatasetVersion
from aiplatform.server.projects.access import ProjectContext

Pin = tuple[Dataset, DatasetVersion]


def pin_version(session: Session, context: ProjectContext, uuid: UUID, label: str | None) -> Pin:
    """Return a version that a task will read, by default the current one, and lock it.

    The dataset is locked, too: its deletion moves the dataset and does not touch the rows of its
    versions.

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
            DatasetVersion.version == queries.label_of(session, dataset, label),
        )
        .with_for_update(read=True, key_share=True)
    )
    if version is None:
        raise queries.no_such_version(session, dataset, label or dataset.version)
    return dataset, version
