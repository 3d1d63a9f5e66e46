"""Datasets and their versions: create from parsed files, rename, delete, restore and purge."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from aiplatform.data.parts import Packed
from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.enums import DatasetStatus, TaskStatus, TaskType
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core import audit
from aiplatform.server.core.errors import NameTaken
from aiplatform.server.core.files import store_parts
from aiplatform.server.core.spool import Spooled, disk_space_required
from aiplatform.server.core.storage import BlobGone
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.errors import (
    DatasetInUse,
    IdenticalContent,
    StaleParentVersion,
    TooManyRows,
)
from aiplatform.server.datasets.models import (
    Dataset,
    DatasetDetails,
    DatasetVersion,
    DatasetVersionDetails,
)
from aiplatform.server.datasets.rules import (
    MAX_ROWS,
    ROWS_PATH,
    version_label,
)
from aiplatform.server.datasets.service import quality
from aiplatform.server.datasets.service.ingest import Ingested
from aiplatform.server.datasets.service.storage import ReusableFiles, pack_upload
from aiplatform.server.projects import queries as projects_queries
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import BinEntry
from aiplatform.server.projects.service import bin as projects_bin
from aiplatform.server.projects.service import quotas
from aiplatform.server.projects.service.bin import BinKind, restore_under_free_name
from aiplatform.server.queue.errors import TaskFinished
from aiplatform.server.queue.service import request_cancel


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file that has been parsed, or rows made from another version.

    ``filename`` has been through :func:`~aiplatform.server.datasets.rules.safe_filename`. Rows made
    from another version have neither ``filename`` nor ``spooled``; ``made_by`` says how they were
    made.

    ``base_model`` and ``max_length`` say how the first quality report counts tokens. Without
    ``base_model``, it counts them like the previous version's report.
    """

    filename: str | None
    spooled: Spooled | None
    ingested: Ingested
    message: str | None = None
    base_model: UUID | None = None
    max_length: int | None = None
    packed: dict[str, Packed] | None = None
    made_by: dict[str, Any] | None = None


def check_upload_allowed(
    session: Session,
    context: ProjectContext,
    *,
    name: str | None = None,
    base_model: UUID | None = None,
    size: int = 0,
) -> None:
    """Refuse an upload before its bytes are sent if it would be refused once they have arrived.

    Args:
        session: the database session.
        context: what the caller may do in the project.
        name: the name of the new dataset, if one is created.
        base_model: the model whose tokenizer will count tokens, if one was named.
        size: the announced number of bytes.

    Raises:
        QuotaExceeded: when ``size`` is more than the project may still store.
        NameTaken: when the project has a dataset called ``name``.
        PermissionDenied, NotFound, ModelNotReady: for the base model.
    """
    quotas.check_storage_available(session, context.project_id, size)
    if name is not None and queries.is_name_taken(session, context, name):
        raise NameTaken(resource="dataset", name=name)
    if base_model is not None:
        context.require(Permission.MODELS_READ)
        quality.usable_base_model(session, context, base_model)


def check_rows(rows: int) -> None:
    """Refuse more rows than ``dataset_versions.row_count``, an INTEGER, can hold.

    Raises:
        TooManyRows: for more than :data:`MAX_ROWS` rows.
    """
    if rows > MAX_ROWS:
        raise TooManyRows(rows=rows, limit=MAX_ROWS)


def create_dataset(
    session: Session, context: ProjectContext, *, name: str, upload: Upload
) -> Dataset:
    """Create a dataset with its first version, and queue the quality report.

    Raises:
        NameTaken: when the project has a dataset with that name.
        TooManyRows: see :func:`check_rows`.
    """
    check_rows(upload.ingested.rows)
    # If another transaction is creating a dataset with this name, this waits for its end.
    dataset_id = session.scalar(
        insert(Dataset)
        .values(project_id=context.project_id, name=clean_text(name), version=version_label(1))
        .on_conflict_do_nothing(index_elements=[Dataset.project_id, Dataset.name])
        .returning(Dataset.id)
    )
    if dataset_id is None:
        raise NameTaken(resource="dataset", name=name)
    dataset = session.get_one(Dataset, dataset_id)
    session.add(DatasetDetails(dataset_id=dataset.id, created_by=context.principal.user_id))
    session.flush()
    audit.record(
        session,
        context.actor,
        AuditAction.DATASET_CREATED,
        "dataset",
        dataset.uuid,
        project=context.project_uuid,
        name=name,
    )
    _commit(session, context, dataset, upload, number=1, parent=None)
    return dataset


def add_version(
    session: Session,
    context: ProjectContext,
    uuid: UUID,
    upload: Upload,
    *,
    allow_identical: bool | None = None,
    parent_label: str | None = None,
    expected: str | None = None,
) -> tuple[Dataset, DatasetVersion]:
    """Commit the next version of a dataset; a lock on the dataset's row serialises commits.

    Args:
        session: the database session.
        context: what the caller may do in the project.
        uuid: the dataset.
        upload: the rows to commit.
        allow_identical: True to commit even if the rows equal the parent's; None if the caller has
            no such option.
        parent_label: the version from which the new one is made, by default the current one.
        expected: the label that the current version must have.

    Raises:
        IdenticalContent: when the rows equal the parent's and this is not allowed.
        StaleParentVersion: when the current version is not the expected one.
        TooManyRows: see :func:`check_rows`.
        NotFound: when there is no such parent.
    """
    check_rows(upload.ingested.rows)
    dataset = queries.lock_dataset(session, context, uuid)
    if expected is not None and dataset.version != expected:
        raise StaleParentVersion(current=dataset.version, expected=expected)
    if parent_label is None:
        parent = queries.current_version(session, dataset)
    else:
        parent = queries.get_version(session, dataset, parent_label)
    if parent is not None and parent.file_hash == upload.ingested.sha256 and not allow_identical:
        raise IdenticalContent(version=parent.version, can_allow=allow_identical is not None)
    number = next_number(session, dataset)
    version = _commit(session, context, dataset, upload, number=number, parent=parent)
    return dataset, version


def next_number(session: Session, dataset: Dataset) -> int:
    """Return the number of the next version of a locked dataset; numbers are never reused."""
    details = session.get(DatasetDetails, dataset.id)
    given = 0 if details is None else details.last_number
    return max(given, queries.highest_version(session, dataset)) + 1


def _commit(
    session: Session,
    context: ProjectContext,
    dataset: Dataset,
    upload: Upload,
    *,
    number: int,
    parent: DatasetVersion | None,
) -> DatasetVersion:
    found = upload.ingested
    message = None if upload.message is None else clean_text(upload.message)
    version = DatasetVersion(
        dataset_id=dataset.id,
        version=version_label(number),
        parent_version_id=None if parent is None else parent.id,
        commit_message=message,
        file_hash=found.sha256,
        row_count=found.rows,
        file_size=found.size,
        created_by=context.principal.user_id,
    )
    session.add(version)
    session.flush()
    session.refresh(version)
    session.add(
        DatasetVersionDetails(
            version_id=version.id,
            shape=found.shape,
            format=found.format,
            filename=upload.filename,
            columns=found.columns,
            upload=_facts(upload),
        )
    )
    dataset.version = version.version
    dataset.file_path = f"versions/{version.uuid}/{ROWS_PATH}"
    dataset.size = found.size
    dataset.format = found.format
    dataset.quality_report = {}
    dataset.status = DatasetStatus.PROCESSING
    details = session.get(DatasetDetails, dataset.id)
    if details is None:
        details = DatasetDetails(dataset_id=dataset.id)
        session.add(details)
    details.shape = found.shape
    details.last_number = number
    session.flush()
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
        rows=found.rows,
        file_hash=found.sha256,
        filename=upload.filename,
        made_by=upload.made_by,
        quarantined=found.found.get("quarantined"),
    )
    base_model, max_length = upload.base_model, upload.max_length
    if base_model is not None:
        context.require(Permission.MODELS_READ)
    if base_model is None and parent is not None:
        base_model, before = quality.previous_token_settings(
            session, context, dataset, parent.version
        )
        max_length = max_length or before
    quality.request_report(
        session,
        context,
        dataset.uuid,
        version.version,
        base_model=base_model,
        max_length=max_length or quality.MAX_LENGTH,
        by_platform=True,
    )
    # The files come last, because the store can't be rolled back. An error above therefore leaves
    # nothing in the store.
    _keep_files(session, context, version, upload)
    session.refresh(dataset)
    return version


def _keep_files(
    session: Session, context: ProjectContext, version: DatasetVersion, upload: Upload
) -> None:
    with disk_space_required():
        packed = upload.packed
        if packed is None:
            packed = pack_without_reuse(upload)
        owner = {"project_id": context.project_id, "dataset_version_id": version.id}
        new = sum(size for file in packed.values() for _, _, size in file.new)
        with quotas.charge_added_storage(session, context.project_id, at_least=new):
            try:
                with session.begin_nested():
                    store_parts(session, packed, **owner)
                    session.flush()
            except BlobGone:
                # The version against which the files were packed has been deleted.
                packed = pack_without_reuse(upload)
                store_parts(session, packed, **owner)
    session.flush()


def _facts(upload: Upload) -> dict[str, Any]:
    """Return the details to store about the origin of the rows."""
    facts: dict[str, Any] = dict(upload.ingested.found)
    if upload.spooled is not None:
        facts |= {"sha256": upload.spooled.sha256, "size": upload.spooled.size}
    if upload.made_by is not None:
        facts["made_by"] = upload.made_by
    return facts


def pack_without_reuse(upload: Upload) -> dict[str, Packed]:
    """Return all parts of an upload, without reusing any that are already stored."""
    return pack_upload(upload.ingested, upload.spooled, upload.filename, ReusableFiles())


def rename(session: Session, context: ProjectContext, dataset: Dataset, name: str) -> Dataset:
    """Rename a locked dataset.

    Raises:
        NameTaken: when the project has a dataset with that name.
    """
    before = dataset.name
    if before == name:
        return dataset
    try:
        with session.begin_nested():
            dataset.name = clean_text(name)
            session.flush()
    except IntegrityError as error:
        raise NameTaken(resource="dataset", name=name) from error
    session.refresh(dataset)
    audit.record(
        session,
        context.actor,
        AuditAction.DATASET_UPDATED,
        "dataset",
        dataset.uuid,
        project=context.project_uuid,
        name={"before": before, "after": name},
    )
    return dataset


def delete_dataset(session: Session, context: ProjectContext, uuid: UUID) -> BinEntry:
    """Put a dataset with its versions into the bin.

    Unfinished quality reports on it are cancelled. Other unfinished tasks that read it prevent the
    deletion. The returned bin entry says until when the dataset can be restored.

    Raises:
        DatasetInUse: while an unfinished training, evaluation or other task reads it.
    """
    found = queries.get_dataset(session, context, uuid)
    # Tasks are locked before the dataset, in the same order as when they end, to avoid deadlocks.
    for task in queries.unfinished_readers(session, found):
        if task.type == TaskType.DATA_QUALITY and task.status != TaskStatus.CANCELLING:
            with suppress(TaskFinished):  # the task ended first
                request_cancel(session, context.actor, task, project=context.project_uuid)
    dataset = queries.lock_dataset(session, context, uuid)
    # Submitting a task locks the version that it reads, so no reader can appear after this check.
    versions = session.scalars(
        select(DatasetVersion.version)
        .where(DatasetVersion.dataset_id == dataset.id)
        .order_by(DatasetVersion.id)
        .with_for_update()
    ).all()
    readers = [
        task
        for task in queries.unfinished_readers(session, dataset)
        if task.status != TaskStatus.CANCELLING or task.type != TaskType.DATA_QUALITY
    ]
    if readers:
        raise DatasetInUse(tasks=", ".join(f"{task.name} ({task.status})" for task in readers[:5]))
    audit.record(
        session,
        context.actor,
        AuditAction.DATASET_DELETED,
        "dataset",
        dataset.uuid,
        project=context.project_uuid,
        name=dataset.name,
        versions=list(versions),
    )
    name = dataset.name
    dataset.project_id = projects_queries.bin_home(session)
    dataset.name = str(dataset.uuid)
    session.flush()
    return projects_bin.add_entry(
        session,
        context.actor,
        kind="dataset",
        project_id=context.project_id,
        resource_uuid=dataset.uuid,
        name=name,
        dataset_id=dataset.id,
    )


class BinnedDatasets(BinKind):
    """The bin's operations on datasets: restore and purge."""

    kind = "dataset"
    reads = Permission.DATASETS_READ
    writes = Permission.DATASETS_WRITE

    def restore(self, session: Session, entry: BinEntry, name: str | None) -> str:
        """Restore a dataset; see :class:`BinKind`."""
        dataset = _lock_dataset(session, entry)

        def take(wanted: str) -> None:
            dataset.project_id, dataset.name = entry.project_id, wanted

        name = None if name is None else clean_text(name)
        taken = NameTaken(resource="dataset", name=name or entry.name)
        return restore_under_free_name(session, clean_text(entry.name), name, take, taken)

    def purge(self, session: Session, entry: BinEntry) -> None:
        """Delete a dataset permanently; see :class:`BinKind`."""
        dataset = _lock_dataset(session, entry)
        session.expunge(dataset)
        session.execute(delete(Dataset).where(Dataset.id == dataset.id))


def _lock_dataset(session: Session, entry: BinEntry) -> Dataset:
    return session.scalars(
        select(Dataset)
        .where(Dataset.id == entry.dataset_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
