"""SELECT statements for quality reports and for the data that versions are compared with."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, cast, exists, func, select
from sqlalchemy.dialects.postgresql import JSONPATH
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.server.core.errors import NotFound, Problem
from aiplatform.server.datasets.errors import ReportBeingMade
from aiplatform.server.datasets.models import (
    Dataset,
    DatasetVersion,
    QualityReport,
    QualityReportHistory,
)
from aiplatform.server.datasets.rules import RequiredComparison
from aiplatform.server.queue.models import Task, TaskInput


def dataset_of_version(session: Session, version_id: int) -> UUID | None:
    """Return the uuid of a version's dataset; None if there is no such version."""
    return session.scalar(
        select(Dataset.uuid)
        .join(DatasetVersion, DatasetVersion.dataset_id == Dataset.id)
        .where(DatasetVersion.id == version_id)
    )


def evaluation_data(session: Session, version_id: int) -> RequiredComparison | None:
    """Return the comparison that training data needs if a model is evaluated on a version.

    Return None if the version was deleted.
    """
    row = session.execute(
        select(Dataset.uuid, Dataset.name, DatasetVersion.version)
        .join(DatasetVersion, DatasetVersion.dataset_id == Dataset.id)
        .where(DatasetVersion.id == version_id)
    ).one_or_none()
    if row is None:
        return None
    return RequiredComparison(row[0], row[2], "evaluation", f"{row[1]}@{row[2]}")


def list_reports(version: DatasetVersion) -> Select[Any]:
    """Return a statement for all reports of a version, each with the task that made it."""
    made: Any = (
        select(QualityReportHistory, Task.uuid)
        .outerjoin(Task, Task.id == QualityReportHistory.task_id)
        .where(QualityReportHistory.version_id == version.id)
    )
    found: Select[Any] = made
    return found


def get_report(session: Session, version: DatasetVersion, uuid: UUID) -> QualityReportHistory:
    """Return one report of a version.

    Raises:
        NotFound: when the version has no report with that uuid.
    """
    found = session.scalar(
        select(QualityReportHistory).where(
            QualityReportHistory.version_id == version.id, QualityReportHistory.uuid == uuid
        )
    )
    if found is None:
        raise NotFound(resource="report")
    return found


def missing_report_error(session: Session, version: DatasetVersion) -> Problem:
    """Return the error for a version without a report: it is still being made, or none exists."""
    unfinished = [status.value for status in TaskStatus if not status.is_final]
    making = session.execute(
        select(Task.uuid, Task.status)
        .join(TaskInput, TaskInput.task_id == Task.id)
        .where(
            TaskInput.dataset_version_id == version.id,
            TaskInput.role == "dataset",
            Task.type == TaskType.DATA_QUALITY.value,
            Task.status.in_(unfinished),
        )
        .order_by(Task.id.desc())
        .limit(1)
    ).one_or_none()
    if making is None:
        return NotFound(resource="report")
    return ReportBeingMade(version=version.version, task=str(making[0]), status=making[1])


def report_time(session: Session, version: DatasetVersion, uuid: UUID | None) -> datetime:
    """Return the time when a report of a version was made, by default the newest.

    Raises:
        NotFound: when there is no such report.
        ReportBeingMade: while the version's first report is being made.
    """
    if uuid is not None:
        return get_report(session, version, uuid).created_at
    newest = session.get(QualityReport, version.id)
    if newest is None:
        raise missing_report_error(session, version)
    return newest.created_at


def last_quality_spec(session: Session, dataset_id: int, label: str | None = None) -> Any:
    """Return the spec of the last quality task of a dataset or version; None if there is none."""
    statement = (
        select(Task.config)
        .join(TaskInput, TaskInput.task_id == Task.id)
        .join(DatasetVersion, DatasetVersion.id == TaskInput.dataset_version_id)
        .where(
            Task.type == TaskType.DATA_QUALITY.value,
            TaskInput.role == "dataset",
            DatasetVersion.dataset_id == dataset_id,
        )
        .order_by(Task.id.desc())
        .limit(1)
    )
    if label is not None:
        statement = statement.where(DatasetVersion.version == label)
    return session.scalar(statement)


def is_reported(session: Session, pattern: str) -> bool:
    """Return True if any version's newest report has a finding that matches the pattern.

    A pattern that ends with ``*`` matches all codes with that prefix.
    """
    test = "@.code starts with $code" if pattern.endswith("*") else "@.code == $code"
    wanted = func.jsonb_build_object("code", pattern.removesuffix("*"))
    found = func.jsonb_path_exists(
        QualityReport.report, cast(f"$.findings[*] ? ({test})", JSONPATH), wanted
    )
    return bool(session.scalar(select(exists().where(found))))


def outside_check_ran(session: Session) -> bool:
    """Return True if a version's newest report used a check from another Python distribution."""
    found = func.jsonb_path_exists(QualityReport.report, cast("$.outside_checks[*]", JSONPATH))
    return bool(session.scalar(select(exists().where(found))))
