"""Fixes: a task rewrites the rows; if the task succeeds, its result is committed as a version."""

from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.data.errors import MalformedData
from aiplatform.protocol.fixes import OURS, TOKEN_FINDINGS, fixes_of
from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.references import DatasetRef
from aiplatform.protocol.specs import ComparedRef, FixSpec
from aiplatform.server.core.spool import disk_space_required
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.errors import MalformedFile
from aiplatform.server.datasets.queries import pin_version, reports
from aiplatform.server.datasets.rules import ROWS_PATH
from aiplatform.server.datasets.service import quality
from aiplatform.server.datasets.service.commits import Upload, add_version
from aiplatform.server.datasets.service.ingest import ingested_of
from aiplatform.server.datasets.service.quality import DATASET, pinned_input, tokenizer_inputs
from aiplatform.server.datasets.service.storage import pack_rows
from aiplatform.server.datasets.service.task_output import author_context, store_new_parts
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.models import Task, TaskInput
from aiplatform.server.queue.service import submit
from aiplatform.server.queue.service.kinds import Outcome, Prepared, Write


def request_fix(
    session: Session,
    context: ProjectContext,
    uuid: UUID,
    *,
    fixes: dict[str, Any],
    message: str | None,
    parent: str | None,
) -> Task:
    """Queue a fix of a version, by default the current one.

    The fix uses the same tokenizer and comparison data as the version's report.

    Raises:
        MalformedFile: a finding has no such fix, or it needs a tokenizer but the report used none.
        NotFound, ModelNotReady: for the dataset, its version, or the report's model.
        PermissionDenied: when the caller may not read datasets.
    """
    context.require(Permission.DATASETS_READ)
    dataset, version = pin_version(session, context, uuid, parent)
    made = reports.last_quality_spec(session, dataset.id, version.version) or {}
    before = [ComparedRef.model_validate(ref) for ref in made.get("against") or ()]
    spec = FixSpec(
        dataset=DatasetRef(dataset=dataset.uuid, version=version.version),
        fixes=fixes,
        message=message,
        branch=parent is not None,
        base_model=made.get("base_model") if TOKEN_FINDINGS & fixes.keys() else None,
        max_length=made.get("max_length", 512),
        against=quality.existing_references(session, context, before),
    )
    prepared = prepare(session, context, spec)
    name = f"fix of {prepared.inputs[0].label}"
    # The caller needs no permission to read the other inputs, because the report chose them.
    return submit(
        session, context, prepared.spec, name=name, inputs=prepared.inputs, by_platform=True
    )


def prepare(session: Session, context: ProjectContext, spec: FixSpec) -> Prepared:
    """Check a fix, and choose the exact versions of its inputs.

    Raises:
        MalformedFile, NotFound, ModelNotReady: see :func:`request_fix`.
    """
    for code, action in spec.fixes.items():
        if (code in OURS or action != "drop") and action not in fixes_of(code):
            raise _invalid_fix("fix_unknown", finding=code, action=action)
        if code in TOKEN_FINDINGS and spec.base_model is None:
            raise _invalid_fix("fix_needs_model", finding=code)
    ref, rows = pinned_input(session, context, spec.dataset, DATASET)
    compared = quality.pin_comparisons(session, context, ref, spec.against)
    inputs = [rows, *tokenizer_inputs(session, context, spec.base_model)]
    pinned = {"dataset": ref, "against": [exact for exact, _ in compared]}
    return Prepared(
        spec=spec.model_copy(update=pinned), inputs=[*inputs, *(each for _, each in compared)]
    )


def store_output(write: Write, task: UUID, output: Path, result: dict[str, Any]) -> Upload:
    """Cut the fixed rows into parts and store the new ones.

    Raises:
        Problem: the author may no longer commit, or the disk is full.
    """

    def read_task(session: Session) -> tuple[FixSpec, StoredFile | None]:
        found = session.scalars(select(Task).where(Task.uuid == task)).one()
        author_context(session, found)
        spec = FixSpec.model_validate(found.config)
        version_id = session.scalar(
            select(TaskInput.dataset_version_id).where(
                TaskInput.task_id == found.id, TaskInput.role == DATASET
            )
        )
        before = None if version_id is None else queries.rows_file(session, version_id)
        return spec, before

    spec, before = write(read_task)
    [described] = result.pop("outputs")
    # The path reported by the task is not trusted: only its file name is used.
    ingested = ingested_of(described, output / Path(described.pop("path")).name)
    with disk_space_required():
        packed = pack_rows(ingested, before)
        store_new_parts(write, [packed])
    facts = {"from": spec.dataset.version, "task": str(task), **result}
    return Upload(
        filename=None,
        spooled=None,
        ingested=ingested,
        message=spec.message or _default_message(spec, result),
        packed={ROWS_PATH: packed},
        made_by={"operation": "fix", "fixes": dict(spec.fixes), **facts},
    )


def conclude(session: Session, task: Task, outcome: Outcome) -> None:
    """Commit the fixed rows on behalf of the author, and record the version in the task's result.

    Raises:
        Problem: the author may not commit them; see :func:`add_version`.
    """
    upload = outcome.stored_output
    if not isinstance(upload, Upload):
        return
    spec = FixSpec.model_validate(task.config)
    context = author_context(session, task)
    dataset, version = add_version(
        session,
        context,
        spec.dataset.dataset,
        upload,
        parent_label=spec.dataset.version,
        expected=None if spec.branch else spec.dataset.version,
    )
    task.scheduling.result = {
        **outcome.result, "dataset": str(dataset.uuid), "version": version.version,
    }  # fmt: skip


def _default_message(spec: FixSpec, counts: dict[str, Any]) -> str:
    done = ", ".join(f"{code} ({action})" for code, action in sorted(spec.fixes.items()))
    return (
        f"Fixed in {spec.dataset.version}: {done}. "
        f"{counts.get('changed', 0)} rows changed, {counts.get('deleted', 0)} dropped"
    )


def _invalid_fix(reason: str, **params: Any) -> MalformedFile:
    return MalformedFile(**MalformedData(reason, **params).as_dict())
