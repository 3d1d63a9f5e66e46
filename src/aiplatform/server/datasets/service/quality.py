"""Quality reports: asking for one, and what follows when its task has ended."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import jsonable
from aiplatform.protocol.enums import DatasetStatus, TaskStatus
from aiplatform.protocol.specs import DatasetRef, QualitySpec
from aiplatform.server.core import audit
from aiplatform.server.core.errors import NotFound
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.models import Dataset, DatasetVersion, QualityReport
from aiplatform.server.datasets.rules import status_after_report
from aiplatform.server.notifications.service import notify_user
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project
from aiplatform.server.tasks.models import Task, TaskInput
from aiplatform.server.tasks.service import submit
from aiplatform.server.tasks.service.kinds import InputRef, Inputs, Outcome, Prepared

DATASET = "dataset"
BASE_MODEL = "base_model"


def dataset_input(dataset: Dataset, version: DatasetVersion, role: str) -> InputRef:
    """A dataset version as the input of a task."""
    return InputRef(
        role=role,
        label=f"{dataset.name}@{version.version}",
        content_hash=version.file_hash,
        dataset_version_id=version.id,
    )


def pinned_input(
    session: Session, context: ProjectContext, ref: DatasetRef, role: str
) -> tuple[DatasetRef, InputRef]:
    """A reference with its version named, and the input it is, for any task that reads datasets.

    Raises:
        NotFound: when the project has no such dataset or the dataset no such version.
    """
    dataset, version = queries.pin_version(session, context, ref.dataset, ref.version)
    pinned = DatasetRef(dataset=ref.dataset, version=version.version)
    return pinned, dataset_input(dataset, version, role)


def prepare(session: Session, context: ProjectContext, spec: QualitySpec) -> Prepared:
    """Pin the version that is reported on and the model whose tokenizer counts.

    Raises:
        NotFound: for a dataset, version or model that the project may not use.
        BaseModelNotReady: while the model's files are still coming in.
    """
    ref, dataset = pinned_input(session, context, spec.dataset, DATASET)
    inputs = [dataset]
    if spec.base_model is not None:
        model = queries.usable_base_model(session, context, spec.base_model)
        inputs.append(InputRef(BASE_MODEL, model.label, model.content_hash, model_id=model.id))
    return Prepared(spec=spec.model_copy(update={"dataset": ref}), inputs=inputs)


def request_report(
    session: Session,
    context: ProjectContext,
    uuid: UUID,
    label: str,
    *,
    base_model: UUID | None,
    max_length: int,
) -> Task:
    """Queue the quality report of a version. The head waits for its first one.

    Raises:
        NotFound, BaseModelNotReady: see :func:`prepare`.
    """
    dataset = queries.lock_dataset(session, context, uuid)
    spec = QualitySpec(
        dataset=DatasetRef(dataset=dataset.uuid, version=label),
        base_model=base_model,
        max_length=max_length,
    )
    prepared = prepare(session, context, spec)
    version_id = prepared.inputs[0].dataset_version_id
    assert version_id is not None
    if label == dataset.version and queries.report_of(session, version_id) is None:
        dataset.status = DatasetStatus.PROCESSING
    return submit(
        session,
        context,
        prepared.spec,
        name=f"quality of {prepared.inputs[0].label}",
        inputs=prepared.inputs,
    )


def task_inputs(session: Session, task: Task) -> Inputs:
    """What the runtime of a quality task reads.

    Raises:
        NotFound: when the version was deleted meanwhile.
    """
    version_id = _version_id(session, task)
    file = None if version_id is None else queries.rows_file(session, version_id)
    if file is None:
        raise NotFound(resource="dataset version")
    model_id = session.scalar(
        select(TaskInput.model_id).where(TaskInput.task_id == task.id, TaskInput.role == BASE_MODEL)
    )
    trees = {} if model_id is None else {BASE_MODEL: queries.tokenizer_files(session, model_id)}
    return Inputs(single={DATASET: file}, trees=trees)


def conclude(session: Session, task: Task, outcome: Outcome) -> None:
    """Keep the report and tell its author; a dataset deleted meanwhile needs neither."""
    version_id = _version_id(session, task)
    version = None if version_id is None else session.get(DatasetVersion, version_id)
    if version is None or version.dataset_id is None:
        return
    dataset = session.scalars(
        select(Dataset)
        .where(Dataset.id == version.dataset_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if dataset is None:
        return
    ended = outcome.status
    report = outcome.result.get("report")
    if ended is TaskStatus.COMPLETED and not isinstance(report, dict):
        ended = TaskStatus.FAILED
    if ended is TaskStatus.COMPLETED:
        _keep_report(session, task, dataset, version, report or {})
    if dataset.version == version.version:
        dataset.status = status_after_report(
            ended,
            reported=queries.report_of(session, version.id) is not None,
            others_waiting=queries.other_checks_wait(session, version.id, task.id),
        )
    session.flush()


def _keep_report(
    session: Session,
    task: Task,
    dataset: Dataset,
    version: DatasetVersion,
    report: dict[str, Any],
) -> None:
    row = insert(QualityReport).values(
        version_id=version.id, report=jsonable(report), task_id=task.id
    )
    changes = {
        "report": row.excluded.report,
        "task_id": row.excluded.task_id,
        "created_at": func.clock_timestamp(),
    }
    session.execute(
        row.on_conflict_do_update(index_elements=[QualityReport.version_id], set_=changes)
    )
    if dataset.version == version.version:
        dataset.quality_report = report
    label = f"{dataset.name}@{version.version}"
    findings = report.get("findings")
    count = len(findings) if isinstance(findings, list) else 0
    score = report.get("score")
    project = session.scalar(select(Project.uuid).where(Project.id == dataset.project_id))
    audit.record(
        session,
        audit.SYSTEM,
        AuditAction.DATASET_REPORTED,
        "dataset",
        dataset.uuid,
        project=project,
        version=version.version,
        task=task.uuid,
        score=score,
        findings=count,
    )
    notify_user(
        session,
        task.scheduling.created_by,
        "dataset_reported",
        f"{label}: quality {score}/100",
        f"The quality report of {label} is ready: score {score} of 100, {count} findings.",
        project=project,
        dataset=dataset.uuid,
        version=version.version,
        score=score,
        findings=count,
    )


def _version_id(session: Session, task: Task) -> int | None:
    return session.scalar(
        select(TaskInput.dataset_version_id).where(
            TaskInput.task_id == task.id, TaskInput.role == DATASET
        )
    )
