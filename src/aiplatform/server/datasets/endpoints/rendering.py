"""Response bodies of datasets and versions."""

from typing import Any

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import DatasetStatus
from aiplatform.protocol.shapes.datasets import DatasetOut, DatasetVersionOut
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.models import Dataset, DatasetVersionDetails
from aiplatform.server.datasets.queries import DatasetRow, VersionRow

READ_AS = (
    "encoding",
    "compression",
    "map",
    "types",
    "renamed",
    "retyped",
    "header_doubt",
    "quarantined",
    "source",
)


def render_dataset(row: DatasetRow) -> DatasetOut:
    """Return the response body of a dataset."""
    dataset = row.dataset
    return DatasetOut(
        uuid=dataset.uuid,
        project=row.project,
        name=dataset.name,
        format=dataset.format,
        shape=row.shape,
        version=dataset.version,
        status=DatasetStatus(dataset.status),
        size=dataset.size,
        row_count=row.row_count,
        quality_report=dataset.quality_report or None,
        created_at=dataset.created_at,
        updated_at=dataset.updated_at,
    )


def read_as(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the reading options of an uploaded or imported file, from its stored facts."""
    found = {key: facts[key] for key in READ_AS if facts.get(key)}
    return {**found, **(facts.get("details") or {})}


def _was_read(details: DatasetVersionDetails) -> bool:
    """Return True if the version was read from files rather than made from another version.

    An import of several files has a source but no file name.
    """
    return details.filename is not None or bool(details.upload.get("source"))


def render_version(row: VersionRow) -> DatasetVersionOut:
    """Return the response body of a version."""
    version, details = row.version, row.details
    return DatasetVersionOut(
        uuid=version.uuid,
        dataset=row.dataset,
        version=version.version,
        parent=row.parent,
        message=version.commit_message,
        file_hash=version.file_hash,
        file_size=version.file_size,
        row_count=version.row_count,
        shape=None if details is None else details.shape,
        format=None if details is None else details.format,
        filename=None if details is None else details.filename,
        columns=[] if details is None else details.columns,
        read_as=read_as(details.upload) if details is not None and _was_read(details) else None,
        made_by=None if details is None else details.upload.get("made_by"),
        author=(
            None if row.author is None else UserRef(uuid=row.author[0], username=row.author[1])
        ),
        created_at=version.created_at,
        report=row.report,
    )


def render_current(session: Session, dataset: Dataset) -> DatasetVersionOut:
    """Return the response body of the version that has just been committed."""
    return render_version(queries.get_version_row(session, dataset, dataset.version))
