"""Imports of rows: queue an import task, and commit its output once it has succeeded.

The task's process fetches and parses the rows. This module cuts the output into parts and stores
them; the parts become a version in the transaction that ends the task. The permissions of the
task's author are checked again at that time: an author who has left the project commits nothing.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.data.outgoing_http import OutgoingRefused
from aiplatform.protocol.dataset_sources import DataHubSource, S3Source, describe_source
from aiplatform.protocol.specs import DatasetImportSpec
from aiplatform.server.core.outgoing import require_open_url
from aiplatform.server.core.spool import Spooled, disk_space_required
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.errors import ImportRefused
from aiplatform.server.datasets.service.changes import base_version, transform_rows
from aiplatform.server.datasets.service.commits import Upload, check_upload_allowed
from aiplatform.server.datasets.service.ingest import ingested_of, never_disconnected
from aiplatform.server.datasets.service.storage import column_types_of
from aiplatform.server.datasets.service.task_output import author_context, store_new_parts
from aiplatform.server.datasets.service.uploads import (
    Target,
    UploadParameters,
    commit_upload,
    packed_upload,
)
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import submit
from aiplatform.server.queue.service.kinds import InputRef, Outcome, Prepared, Write

SOURCE_ROLE = "source"
ROWS_FILE = "rows.parquet"
UPLOAD_FILE = "upload"


def prepare(session: Session, context: ProjectContext, spec: DatasetImportSpec) -> Prepared:
    """Check, as far as possible before an import runs, that its result can be committed.

    Raises:
        NameTaken, QuotaExceeded, ModelNotReady: see :func:`check_upload_allowed`.
        NotFound: there is no such dataset, parent or base model.
        ImportRefused: the platform does not connect to the address.
    """
    before = None
    if spec.dataset is not None:
        dataset = queries.get_dataset(session, context, spec.dataset)
        if spec.parent is not None:
            queries.get_version(session, dataset, spec.parent)
        before = column_types_of(session, dataset, spec.parent)
    spec = spec.model_copy(update={"before": before})
    check_upload_allowed(session, context, name=spec.name, base_model=spec.base_model)
    source = spec.source
    if not isinstance(source, DataHubSource):
        address = source.endpoint if isinstance(source, S3Source) else source.url
        try:
            require_open_url(address or "https://s3.amazonaws.com")
        except OutgoingRefused as error:
            raise ImportRefused(reason=str(error)) from error
    return Prepared(spec=spec, inputs=[InputRef(SOURCE_ROLE, describe_source(source)[:255])])


def request_import(session: Session, context: ProjectContext, spec: DatasetImportSpec) -> Task:
    """Queue an import.

    Raises:
        Problem: see :func:`prepare`; or the task can't be submitted.
    """
    prepared = prepare(session, context, spec)
    name = f"import {prepared.inputs[0].label}"
    return submit(session, context, prepared.spec, name=name, inputs=prepared.inputs)


def store_output(write: Write, task: UUID, output: Path, result: dict[str, Any]) -> Upload:
    """Cut the output of a task into parts and store those that the previous version lacks.

    Raises:
        Problem: the author may no longer commit, the rows can't be applied to the current ones, or
            the disk is full.
    """

    def read_task(session: Session) -> tuple[ProjectContext, DatasetImportSpec]:
        found = session.scalars(select(Task).where(Task.uuid == task)).one()
        return author_context(session, found), _spec(found)

    context, spec = write(read_task)
    target, files = _target(spec), result["files"]
    ingested = ingested_of(dict(result["ingested"]), output / ROWS_FILE)
    spooled = None
    if len(files) == 1:
        spooled = Spooled(output / UPLOAD_FILE, files[0]["sha256"], files[0]["size"])
    parameters = UploadParameters(
        filename=files[0]["name"] if spooled else None,
        message=spec.message or f"from {describe_source(spec.source)}",
        base_model=spec.base_model,
        max_length=spec.max_length,
    )
    read = replace(ingested, found={**ingested.found, "source": result["source"]})
    upload = packed_upload(context, target, parameters, read, spooled)
    if target.changes_rows:
        assert target.dataset is not None
        # Apply the rows to the version that is now current, because fetching may have taken hours.
        base = base_version(context, target.dataset, target.parent)
        do = target.operation(ingested)
        [made] = asyncio.run(transform_rows(base, do, output / "changed", never_disconnected))
        upload = target.apply(upload, made)
    with disk_space_required():
        store_new_parts(write, (upload.packed or {}).values())
    return upload


def conclude(session: Session, task: Task, outcome: Outcome) -> None:
    """Commit the stored rows, and record the version in the task's result.

    Raises:
        Problem: the commit is refused; see :func:`commit_upload`.
    """
    upload = outcome.stored_output
    if not isinstance(upload, Upload):
        return
    dataset = commit_upload(session, author_context(session, task), _target(_spec(task)), upload)
    aside = upload.ingested.found.get("quarantined")
    task.scheduling.result = {
        "dataset": str(dataset.uuid),
        "version": dataset.version,
        "rows": upload.ingested.rows,
        "quarantined": None if aside is None else aside["rows"],
        "source": outcome.result["source"],
    }


def _target(spec: DatasetImportSpec) -> Target:
    return Target(
        name=spec.name,
        dataset=spec.dataset,
        mode=spec.mode,
        key=spec.key,
        parent=spec.parent,
        allow_identical=spec.allow_identical,
    )


def _spec(task: Task) -> DatasetImportSpec:
    return DatasetImportSpec.model_validate(task.config)
