"""Committing uploads, and rows that were made from a version."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.reading_options import KEYED_MODES, UploadMode
from aiplatform.protocol.references import VERSION_OR_TAG
from aiplatform.protocol.shapes.datasets import DatasetVersionOut
from aiplatform.server.core.database import transaction
from aiplatform.server.datasets import access, queries, service
from aiplatform.server.datasets.endpoints.rendering import render_version
from aiplatform.server.datasets.endpoints.uploads import client_disconnected
from aiplatform.server.datasets.errors import KeyColumnRequired, StaleParentVersion
from aiplatform.server.datasets.service import Upload, resumable
from aiplatform.server.datasets.service.changes import (
    BaseVersion,
    TransformedRows,
    base_version,
    transformed_rows,
    upload_operation,
    with_transformed_rows,
)
from aiplatform.server.datasets.service.ingest import WaitForDisconnect, never_disconnected
from aiplatform.server.projects.access import ProjectContext

MAX_ATTEMPTS = 5
"""Attempts to apply a change; each time another commit is faster, it is applied to that one."""


async def change_rows(
    request: Request,
    context: ProjectContext,
    dataset: UUID,
    parent: str | None,
    do: dict[str, Any],
    commit: Callable[[BaseVersion, TransformedRows], DatasetVersionOut],
    disconnected: WaitForDisconnect | None = None,
) -> DatasetVersionOut:
    """Apply a change to ``parent`` or the current version, and return the new version.

    If another commit makes a newer version current meanwhile, the change is applied to that one.
    """
    attempts = MAX_ATTEMPTS
    while True:
        attempts -= 1
        base = await run_in_threadpool(base_version, context, dataset, parent)
        async with transformed_rows(base, do, disconnected or client_disconnected(request)) as made:
            try:
                return await run_in_threadpool(commit, base, made[0])
            except StaleParentVersion:
                if parent is not None or not attempts:
                    raise


def make_committer(
    context: ProjectContext,
    dataset: UUID,
    parent: str | None,
    message: str | None,
    made_by: dict[str, Any],
) -> Callable[[BaseVersion, TransformedRows], DatasetVersionOut]:
    """Return a function that commits changed rows."""

    def commit(base: BaseVersion, made: TransformedRows) -> DatasetVersionOut:
        upload = Upload(
            filename=None,
            spooled=None,
            ingested=made.ingested,
            message=message,
            packed=made.packed,
            made_by={**made_by, **made.made_by},
        )
        with transaction() as session:
            access.confirm(session, context, Permission.DATASETS_WRITE)
            head, version = service.add_version(
                session,
                context,
                dataset,
                upload,
                parent_label=base.label,
                expected=base.label if parent is None else None,
            )
            return render_version(queries.get_version_row(session, head, version.version))

    return commit


class UploadChange(BaseModel):
    """The effect of an uploaded file on a dataset."""

    mode: UploadMode = "replace"
    key: str | None = None
    parent: str | None = None
    allow_identical: bool = False


def upload_change(
    mode: Annotated[
        UploadMode, Query(description="what the file's rows do to those of the parent")
    ] = "replace",
    key: Annotated[
        str | None,
        Query(
            min_length=1, max_length=255, description="the column that `upsert` and `delete` match"
        ),
    ] = None,
    parent: Annotated[
        str | None,
        Query(pattern=VERSION_OR_TAG, description="the version it is made from, else the current"),
    ] = None,
    allow_identical: Annotated[
        bool, Query(description="commit even when the rows are those of the parent")
    ] = False,
) -> UploadChange:
    """Return the effect of an upload, as the request's parameters describe it.

    Raises:
        KeyColumnRequired: for a mode that matches rows, without a key.
    """
    if mode in KEYED_MODES and key is None:
        raise KeyColumnRequired(mode=mode)
    return UploadChange(mode=mode, key=key, parent=parent, allow_identical=allow_identical)


async def commit_upload(
    request: Request,
    context: ProjectContext,
    dataset: UUID,
    upload: Upload,
    change: UploadChange,
    *,
    resumable_upload: UUID | None = None,
) -> DatasetVersionOut:
    """Commit a parsed upload, as the new rows or as a change to those of the parent.

    With ``resumable_upload``, the resumable upload of that uuid is marked as committed in the same
    transaction.
    """

    def commit(base: BaseVersion | None, rows: TransformedRows | None) -> DatasetVersionOut:
        whole = upload
        parent, expected = change.parent, None
        if base is not None and rows is not None:
            whole = with_transformed_rows(upload, rows, change.mode, change.key)
            parent, expected = base.label, base.label if change.parent is None else None
        with transaction() as session:
            access.confirm(session, context, Permission.DATASETS_WRITE)
            head, version = service.add_version(
                session,
                context,
                dataset,
                whole,
                allow_identical=change.allow_identical,
                parent_label=parent,
                expected=expected,
            )
            if resumable_upload is not None:
                result = {"dataset": str(head.uuid), "version": version.version}
                resumable.record_end(session, context, resumable_upload, "committed", result)
            return render_version(queries.get_version_row(session, head, version.version))

    if change.mode == "replace":
        return await run_in_threadpool(commit, None, None)
    key = None if change.mode == "append" else change.key
    do = upload_operation(change.mode, upload.ingested, key)
    disconnected = None if resumable_upload is None else never_disconnected
    return await change_rows(request, context, dataset, change.parent, do, commit, disconnected)
