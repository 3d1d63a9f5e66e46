"""Quality reports: choosing comparison data, requesting a report, and storing the result."""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import jsonable
from aiplatform.protocol.enums import DatasetStatus, TaskStatus
from aiplatform.protocol.notifications import NotificationType
from aiplatform.protocol.references import DatasetRef
from aiplatform.protocol.specs import ComparedRef, QualitySpec
from aiplatform.server.core import audit, storage
from aiplatform.server.core.errors import Conflict, NotFound
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.models import (
    Dataset,
    DatasetVersion,
    DatasetVersionDetails,
    QualityReport,
    QualityReportHistory,
)
from aiplatform.server.datasets.queries import pin_version, reports
from aiplatform.server.datasets.rules import (
    RequiredComparison,
    gate_failures,
    is_compared,
    status_after_report,
)
from aiplatform.server.datasets.service.gates import gate_of
from aiplatform.server.notifications.service import announce
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task, TaskInput
from aiplatform.server.queue.service import submit
from aiplatform.server.queue.service.kinds import InputRef, Inputs, Outcome, Prepared

Role = Literal["evaluation", "benchmark"]

MAX_COMPARED = 20
INPUT_ROLE_PREFIX = "against_"
"""Prefix of the roles of comparison inputs; a number follows. ``runtime.quality`` reads it."""


def pin_comparisons(
    session: Session, context: ProjectContext, dataset: DatasetRef, against: Iterable[ComparedRef]
) -> list[tuple[ComparedRef, InputRef]]:
    """Return the datasets to compare with, each with an exact version and its task input.

    The data named by the gate comes first, then ``against``, without duplicates. If there are more
    than :data:`MAX_COMPARED`, the first ones in ``against`` are dropped.

    Raises:
        NotFound: for data that the project does not have.
    """
    named = _pin_all(session, context, gate_comparisons(session, context, dataset))
    others = _pin_all(session, context, against)
    left = [key for key in others if key not in named]
    kept = {**named, **{key: others[key] for key in left[-(MAX_COMPARED - len(named)) :]}}
    return [
        (
            ComparedRef(dataset=uuid, version=version.version, role=role, label=label),
            InputRef(
                role=f"{INPUT_ROLE_PREFIX}{number}",
                label=label,
                content_hash=version.file_hash,
                dataset_version_id=version.id,
            ),
        )
        for number, ((uuid, role, label), version) in enumerate(kept.items())
    ]


def _pin_all(
    session: Session, context: ProjectContext, refs: Iterable[ComparedRef]
) -> dict[tuple[UUID, Role, str], DatasetVersion]:
    found = {}
    for ref in refs:
        dataset, version = pin_version(session, context, ref.dataset, ref.version)
        found[ref.dataset, ref.role, f"{dataset.name}@{version.version}"] = version
    return found


def gate_comparisons(
    session: Session, context: ProjectContext, dataset: DatasetRef
) -> list[ComparedRef]:
    """Return the data with which every dataset must be compared, according to the project's gate.

    For a dataset that the gate itself names, the list is empty: such data is not compared.
    """
    gate = gate_of(session, context.project_id)
    refs = [
        *(ComparedRef(**dict(ref), role="evaluation") for ref in gate.evaluation),
        *(ComparedRef(**dict(ref), role="benchmark") for ref in gate.benchmarks),
    ]
    if any(ref.dataset == dataset.dataset for ref in refs):
        return []
    return existing_references(session, context, refs)


def previous_comparisons(
    session: Session, context: ProjectContext, dataset: Dataset
) -> list[ComparedRef]:
    """Return the comparison data of the dataset's last report, except data that the gate names."""
    config = reports.last_quality_spec(session, dataset.id) or {}
    refs = [ComparedRef.model_validate(ref) for ref in config.get("against") or ()]
    gate = gate_comparisons(session, context, DatasetRef(dataset=dataset.uuid))
    named = {(ref.dataset, ref.role) for ref in gate}
    others = [ref for ref in refs if (ref.dataset, ref.role) not in named]
    return existing_references(session, context, newest_references(others))


def newest_references(refs: Iterable[ComparedRef]) -> list[ComparedRef]:
    """Return only the last reference to each dataset in each role.

    Otherwise each new report on a dataset would compare it with more versions of the same data.
    """
    last: dict[tuple[UUID, Role], ComparedRef] = {}
    for ref in refs:
        last.pop((ref.dataset, ref.role), None)
        last[ref.dataset, ref.role] = ref
    return list(last.values())


def previous_token_settings(
    session: Session, context: ProjectContext, dataset: Dataset, label: str
) -> tuple[UUID | None, int | None]:
    """Return the model and the maximum length in tokens that a version's last report used.

    Both are None if the report counted no tokens, or the model can no longer be used. This raises
    no error, because the caller did not ask for the model.
    """
    config = reports.last_quality_spec(session, dataset.id, label) or {}
    found = config.get("base_model")
    if found is not None:
        with suppress(NotFound, Conflict):
            usable_base_model(session, context, UUID(found))
            return UUID(found), config.get("max_length")
    return None, None


def existing_references(
    session: Session, context: ProjectContext, refs: Iterable[ComparedRef]
) -> list[ComparedRef]:
    """Return the references whose data still exists.

    If data that a gate names was deleted, no error is needed: the report then lacks the comparison,
    so the gate refuses the version.
    """
    left = []
    for ref in refs:
        with suppress(NotFound):
            pin_version(session, context, ref.dataset, ref.version)
            left.append(ref)
    return left


def needs_comparison(session: Session, version: DatasetVersion, held_out: DatasetVersion) -> bool:
    """Return True if a version's newest report did not compare it with this evaluation data."""
    report = queries.report_of(session, version.id)
    wanted: RequiredComparison | None = reports.evaluation_data(session, held_out.id)
    return wanted is not None and (report is None or not is_compared(report.report, wanted))


UseModel = Callable[[Session, ProjectContext, UUID], tuple[int, str]]
"""Handler that locks a model that the project may use, and returns its id and label.

It raises NotFound, or ModelNotReady while the model's files are incomplete.
"""

_handlers: list[UseModel] = []


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A model whose tokenizer counts tokens: internal id, name with version, hash of its files."""

    id: int
    label: str
    content_hash: str


def on_base_model_use(handler: UseModel) -> None:
    """Set the handler that decides which models are usable; called by the composition root."""
    _handlers[:] = [handler]


def tokenizer_files(session: Session, model_id: int) -> list[StoredFile]:
    """Return a model's files except the weights, which a tokenizer does not need."""
    return [
        file
        for file in storage.files_of(session, model_id=model_id)
        if not file.path.endswith((".safetensors", ".gguf")) and file.path.startswith("weights/")
    ]


def usable_base_model(session: Session, context: ProjectContext, uuid: UUID) -> BaseModel:
    """Lock a ready model of the project, or a shared one, against deletion, and return it.

    Raises:
        NotFound: when there is no such model, or it belongs to another project.
        ModelNotReady: while its files are incomplete.
    """
    [use] = _handlers
    model_id, label = use(session, context, uuid)
    lines = [f"{file.path} {file.sha256}\n" for file in tokenizer_files(session, model_id)]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    return BaseModel(model_id, label, digest)


DATASET = "dataset"
BASE_MODEL = "base_model"

MAX_LENGTH = 512
"""Default length in tokens beyond which a row is reported as too long."""


def dataset_input(dataset: Dataset, version: DatasetVersion, role: str) -> InputRef:
    """Return a dataset version as the input of a task."""
    return InputRef(
        role=role,
        label=f"{dataset.name}@{version.version}",
        content_hash=version.file_hash,
        dataset_version_id=version.id,
    )


def pinned_input(
    session: Session, context: ProjectContext, ref: DatasetRef, role: str
) -> tuple[DatasetRef, InputRef]:
    """Return a reference with an exact version, and the task input for it.

    Raises:
        NotFound: when the project has no such dataset or the dataset no such version.
    """
    dataset, version = pin_version(session, context, ref.dataset, ref.version)
    pinned = DatasetRef(dataset=ref.dataset, version=version.version)
    return pinned, dataset_input(dataset, version, role)


def prepare(session: Session, context: ProjectContext, spec: QualitySpec) -> Prepared:
    """Choose the exact versions to report on and to compare with, and the tokenizer's model.

    Raises:
        NotFound: for a dataset, version or model that the project may not use.
        ModelNotReady: while the model's files are incomplete.
    """
    ref, dataset = pinned_input(session, context, spec.dataset, DATASET)
    compared = pin_comparisons(session, context, ref, spec.against)
    inputs = [dataset, *tokenizer_inputs(session, context, spec.base_model)]
    pinned = {"dataset": ref, "against": [exact for exact, _ in compared]}
    return Prepared(
        spec=spec.model_copy(update=pinned), inputs=[*inputs, *(each for _, each in compared)]
    )


def tokenizer_inputs(
    session: Session, context: ProjectContext, base_model: UUID | None
) -> list[InputRef]:
    """Return the task inputs for the model whose tokenizer is used; empty if no model is named.

    Raises:
        NotFound, ModelNotReady: see :func:`usable_base_model`.
    """
    if base_model is None:
        return []
    model = usable_base_model(session, context, base_model)
    return [InputRef(BASE_MODEL, model.label, model.content_hash, model_id=model.id)]


def request_report(
    session: Session,
    context: ProjectContext,
    uuid: UUID,
    label: str,
    *,
    base_model: UUID | None,
    max_length: int,
    against: list[ComparedRef] | None = None,
    by_platform: bool = False,
) -> Task:
    """Queue the quality report of a version.

    Until its first report, a current version has the status ``processing``.

    Args:
        session: the database session.
        context: what the caller may do in the project.
        uuid: the dataset.
        label: the label or tag of the version.
        base_model: the model whose tokenizer counts tokens, or None to count none.
        max_length: length in tokens beyond which a row is reported.
        against: data to compare with in addition to the gate's data; None means the comparison data
            of the dataset's last report.
        by_platform: True if the platform requests the report because of a commit. The commit's
            author then need not have permission to read the data that the report compares with.

    Raises:
        NotFound, ModelNotReady: see :func:`prepare`.
    """
    dataset = queries.lock_dataset(session, context, uuid)
    _, version = pin_version(session, context, dataset.uuid, label)
    spec = QualitySpec(
        dataset=DatasetRef(dataset=dataset.uuid, version=version.version),
        base_model=base_model,
        max_length=max_length,
        against=previous_comparisons(session, context, dataset) if against is None else against,
    )
    prepared = prepare(session, context, spec)
    if version.version == dataset.version and queries.report_of(session, version.id) is None:
        dataset.status = DatasetStatus.PROCESSING
    return submit(
        session,
        context,
        prepared.spec,
        name=f"quality of {prepared.inputs[0].label}",
        inputs=prepared.inputs,
        by_platform=by_platform,
    )


def compare_with_held_out(
    session: Session,
    context: ProjectContext,
    ref: DatasetRef,
    held_out: DatasetRef,
    *,
    base_model: UUID | None,
    max_length: int,
) -> None:
    """Queue a report that compares a dataset with held-out data, unless such a report exists.

    Raises:
        NotFound, ModelNotReady: see :func:`prepare`.
    """
    dataset, version = pin_version(session, context, ref.dataset, ref.version)
    _, other = pin_version(session, context, held_out.dataset, held_out.version)
    if needs_comparison(session, version, other):
        wanted = ComparedRef(dataset=held_out.dataset, version=other.version)
        before = previous_comparisons(session, context, dataset)
        request_report(
            session,
            context,
            dataset.uuid,
            version.version,
            base_model=base_model,
            max_length=max_length,
            against=newest_references([*before, wanted])[-MAX_COMPARED:],
        )


def task_inputs(session: Session, task: Task) -> Inputs:
    """Return the files that the process of a quality task reads.

    Raises:
        NotFound: when a version has been deleted.
    """
    if _version_id(session, task) is None:
        raise NotFound(resource="dataset version")
    inputs = Inputs()
    for item in session.scalars(select(TaskInput).where(TaskInput.task_id == task.id)):
        if item.role == BASE_MODEL:
            assert item.model_id is not None
            inputs.trees[BASE_MODEL] = tokenizer_files(session, item.model_id)
            continue
        version_id = item.dataset_version_id
        file = None if version_id is None else queries.rows_file(session, version_id)
        if file is None:
            raise NotFound(resource="dataset version")
        inputs.single[item.role] = file
    return inputs


def conclude(session: Session, task: Task, outcome: Outcome) -> None:
    """Store the report and notify the task's author, unless the dataset has been deleted."""
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
        _store_report(session, task, dataset, version, report or {})
    if dataset.version == version.version:
        dataset.status = status_after_report(
            ended,
            reported=queries.report_of(session, version.id) is not None,
            others_waiting=queries.has_unfinished_check(session, version.id, excluding=task.id),
        )
    session.flush()


def _store_report(
    session: Session,
    task: Task,
    dataset: Dataset,
    version: DatasetVersion,
    report: dict[str, Any],
) -> None:
    details = session.get(DatasetVersionDetails, version.id)
    set_aside = None if details is None else details.upload.get("quarantined")
    if set_aside:
        report = {**report, "quarantined": {key: set_aside[key] for key in ("rows", "reasons")}}
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
    session.add(
        QualityReportHistory(version_id=version.id, report=jsonable(report), task_id=task.id)
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
        name=dataset.name,
        version=version.version,
        task=task.uuid,
        score=score,
        findings=count,
    )
    failures = []
    if dataset.project_id is not None:
        gate = gate_of(session, dataset.project_id)
        failures = gate_failures(gate, report, dataset=dataset.uuid)
    announce(
        session,
        NotificationType.DATASET_FAILED if failures else NotificationType.DATASET_READY,
        to=[task.scheduling.created_by],
        project=project,
        name=label,
        dataset=dataset.uuid,
        version=version.version,
        score=score,
        findings=count,
        reason="; ".join(failure.text for failure in failures),
        reason_zh="；".join(failure.text_zh for failure in failures),
    )


def _version_id(session: Session, task: Task) -> int | None:
    """Return the id of the version that the task reads; None if its dataset was deleted."""
    return session.scalar(
        select(DatasetVersion.id)
        .join(TaskInput, TaskInput.dataset_version_id == DatasetVersion.id)
        .join(Dataset, Dataset.id == DatasetVersion.dataset_id)
        .where(
            TaskInput.task_id == task.id,
            TaskInput.role == DATASET,
            Dataset.project_id == task.project_id,
        )
    )
