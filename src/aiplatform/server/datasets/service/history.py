"""Changes to the tree of versions: move tags, restore an earlier version, delete a version."""

from uuid import UUID

from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from aiplatform.data.parts import Packed
from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.enums import DatasetStatus
from aiplatform.server.core import audit, storage
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.files import store_parts
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.errors import IdenticalContent, VersionNotDeletable
from aiplatform.server.datasets.models import (
    Dataset,
    DatasetDetails,
    DatasetTag,
    DatasetVersion,
    DatasetVersionDetails,
)
from aiplatform.server.datasets.rules import ROWS_PATH, version_label
from aiplatform.server.datasets.service import quality
from aiplatform.server.datasets.service.commits import next_number
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.service import quotas


def set_tag(session: Session, context: ProjectContext, uuid: UUID, name: str, version: str) -> None:
    """Set a tag to a version; an existing tag of this name is moved.

    Raises:
        NotFound: when there is no such dataset or version.
    """
    dataset = queries.lock_dataset(session, context, uuid)
    target = queries.get_version(session, dataset, version)
    before = next((row[1] for row in queries.tags(session, dataset) if row[0].name == name), None)
    row = insert(DatasetTag).values(
        dataset_id=dataset.id,
        name=name,
        version_id=target.id,
        moved_by=context.principal.user_id,
    )
    session.execute(
        row.on_conflict_do_update(
            index_elements=[DatasetTag.dataset_id, DatasetTag.name],
            set_={
                "version_id": row.excluded.version_id,
                "moved_by": row.excluded.moved_by,
                "moved_at": func.clock_timestamp(),
            },
        )
    )
    audit.record(
        session,
        context.actor,
        AuditAction.DATASET_TAGGED,
        "dataset",
        dataset.uuid,
        project=context.project_uuid,
        name=dataset.name,
        tag=name,
        version={"before": before, "after": target.version},
    )


def remove_tag(session: Session, context: ProjectContext, uuid: UUID, name: str) -> None:
    """Remove a tag.

    Raises:
        NotFound: when there is no such dataset or tag.
    """
    dataset = queries.lock_dataset(session, context, uuid)
    before = queries.label_of(session, dataset, f"@{name}")
    session.execute(
        delete(DatasetTag).where(DatasetTag.dataset_id == dataset.id, DatasetTag.name == name)
    )
    audit.record(
        session,
        context.actor,
        AuditAction.DATASET_UNTAGGED,
        "dataset",
        dataset.uuid,
        project=context.project_uuid,
        name=dataset.name,
        tag=name,
        version=before,
    )


def restore(
    session: Session, context: ProjectContext, uuid: UUID, name: str, message: str | None
) -> tuple[Dataset, DatasetVersion]:
    """Commit the rows of an earlier version again.

    The bytes are not stored a second time, but they are charged to the quota again.

    Raises:
        NotFound: when there is no such dataset or version.
        IdenticalContent: when the rows equal the current version's.
        QuotaExceeded: when the project may not store that much more.
    """
    dataset = queries.lock_dataset(session, context, uuid)
    source = queries.get_version(session, dataset, name)
    parent = queries.current_version(session, dataset)
    if parent is not None and parent.file_hash == source.file_hash:
        raise IdenticalContent(version=parent.version, can_allow=False)
    details = session.get(DatasetVersionDetails, source.id)
    rows = queries.rows_file(session, source.id)
    if details is None or rows is None:
        raise NotFound(resource="dataset version")
    number = next_number(session, dataset)
    version = DatasetVersion(
        dataset_id=dataset.id,
        version=version_label(number),
        parent_version_id=None if parent is None else parent.id,
        commit_message=clean_text(message or f"restored {source.version}"),
        file_hash=source.file_hash,
        row_count=source.row_count,
        file_size=source.file_size,
        created_by=context.principal.user_id,
    )
    session.add(version)
    session.flush()
    session.refresh(version)
    made_by = {"operation": "restore", "from": source.version}
    session.add(
        DatasetVersionDetails(
            version_id=version.id,
            shape=details.shape,
            format=details.format,
            columns=details.columns,
            upload={"made_by": made_by},
        )
    )
    owner = {"project_id": context.project_id, "dataset_version_id": version.id}
    with quotas.charge_added_storage(session, context.project_id):
        if rows.parts:
            packed = Packed(rows.sha256, rows.size, list(rows.parts))
            store_parts(session, {ROWS_PATH: packed}, **owner)
        else:
            storage.add_reference(session, rows, **owner)
    dataset_details = session.get_one(DatasetDetails, dataset.id)
    dataset_details.last_number = number
    session.flush()
    _make_current(session, dataset, version)
    audit.record(
        session,
        context.actor,
        AuditAction.DATASET_VERSION_CREATED,
        "dataset",
        dataset.uuid,
        project=context.project_uuid,
        name=dataset.name,
        version=version.version,
        parent=None if parent is None else parent.version,
        rows=version.row_count,
        file_hash=version.file_hash,
        made_by=made_by,
    )
    base_model, max_length = quality.previous_token_settings(
        session, context, dataset, (parent or source).version
    )
    quality.request_report(
        session,
        context,
        dataset.uuid,
        version.version,
        base_model=base_model,
        max_length=max_length or quality.MAX_LENGTH,
        by_platform=True,
    )
    session.refresh(dataset)
    return dataset, version


def delete_version(session: Session, context: ProjectContext, uuid: UUID, name: str) -> None:
    """Delete a version that nothing depends on; if it is the current one, make its parent current.

    Raises:
        NotFound: when there is no such dataset or version.
        VersionNotDeletable: when it has children or a tag, a task reads it, or it is the first.
    """
    dataset = queries.lock_dataset(session, context, uuid)
    found = queries.get_version(session, dataset, name)
    # Submitting a task locks the version that it reads, so no reader can appear after this check.
    version = session.get_one(DatasetVersion, found.id, with_for_update=True)
    reason = queries.deletion_obstacle(session, version)
    if reason is not None:
        raise VersionNotDeletable(version=version.version, reason=reason[0], reason_zh=reason[1])
    label, file_hash = version.version, version.file_hash
    parent = session.get_one(DatasetVersion, version.parent_version_id)
    if dataset.version == label:
        _make_current(session, dataset, parent)
    session.expunge(version)
    session.execute(delete(DatasetVersion).where(DatasetVersion.id == found.id))
    audit.record(
        session,
        context.actor,
        AuditAction.DATASET_VERSION_DELETED,
        "dataset",
        dataset.uuid,
        project=context.project_uuid,
        name=dataset.name,
        version=label,
        file_hash=file_hash,
        current=dataset.version,
    )


def _make_current(session: Session, dataset: Dataset, version: DatasetVersion) -> None:
    """Make a version the current one."""
    details = session.get(DatasetVersionDetails, version.id)
    report = queries.report_of(session, version.id)
    dataset.version = version.version
    dataset.file_path = f"versions/{version.uuid}/{ROWS_PATH}"
    dataset.size = version.file_size
    dataset.quality_report = {} if report is None else report.report
    dataset.status = _status_of(session, version, reported=report is not None)
    if details is not None:
        dataset.format = details.format
        session.get_one(DatasetDetails, dataset.id).shape = details.shape
    session.flush()


def _status_of(session: Session, version: DatasetVersion, *, reported: bool) -> DatasetStatus:
    if reported:
        return DatasetStatus.READY
    waiting = queries.has_unfinished_check(session, version.id)
    return DatasetStatus.PROCESSING if waiting else DatasetStatus.UPLOADED
