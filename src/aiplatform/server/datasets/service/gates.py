"""The quality gate before training: a project's rules for quality reports."""

from importlib.metadata import entry_points

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.fixes import CHECKS_GROUP
from aiplatform.protocol.gates import Gate
from aiplatform.server.core import audit
from aiplatform.server.core.database import cached
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.errors import GateFailed, UnknownFinding
from aiplatform.server.datasets.models import DatasetGate, DatasetVersion
from aiplatform.server.datasets.queries import pin_version, reports
from aiplatform.server.datasets.rules import (
    GateFailure,
    RequiredComparison,
    gate_failures,
    is_platform_finding,
    nearest_codes,
    suggestion,
)
from aiplatform.server.projects.access import ProjectContext

TYPO_SIMILARITY = 0.85
"""Similarity (0 to 1) from which an unknown code counts as a typo of a platform code."""


def gate_of(session: Session, project_id: int) -> Gate:
    """Return the project's gate, or a gate without rules if the project has set none."""
    statement = select(DatasetGate.gate).where(DatasetGate.project_id == project_id)
    gate = cached(session, ("gate", project_id), lambda: session.scalar(statement))
    return Gate() if gate is None else Gate.model_validate(gate)


def set_gate(session: Session, context: ProjectContext, gate: Gate) -> Gate:
    """Replace the project's gate.

    Raises:
        NotFound: when the project does not have the data that the gate names for comparison.
        UnknownFinding: for a limit on a finding that no installed check reports.
    """
    for limit in gate.limits:
        _require_known(session, limit.finding)
    for ref in (*gate.evaluation, *gate.benchmarks):
        pin_version(session, context, ref.dataset, ref.version)
    before = gate_of(session, context.project_id)
    new = gate.model_dump(mode="json")
    row = insert(DatasetGate).values(project_id=context.project_id, gate=new)
    session.execute(
        row.on_conflict_do_update(index_elements=[DatasetGate.project_id], set_={"gate": new})
    )
    audit.record(
        session,
        context.actor,
        AuditAction.DATASET_GATE_CHANGED,
        "project",
        context.project_uuid,
        project=context.project_uuid,
        before=before.model_dump(mode="json"),
        after=new,
    )
    session.expire_all()
    return gate


def _require_known(session: Session, finding: str) -> None:
    """Raise an error for a code that no check reports.

    Checks from other Python distributions don't list their codes, which appear only in
    reports. Where such checks have run, every code is therefore accepted, unless it is an obvious
    typo of one of the platform's codes.
    """
    if is_platform_finding(finding) or reports.is_reported(session, finding):
        return
    others = bool(entry_points(group=CHECKS_GROUP)) or reports.outside_check_ran(session)
    if others and not nearest_codes(finding, TYPO_SIMILARITY):
        return
    known, known_zh = suggestion(finding)
    raise UnknownFinding(finding=finding, known=known, known_zh=known_zh)


def failures_of(
    session: Session,
    context: ProjectContext,
    version_id: int,
    held_out: RequiredComparison | None = None,
) -> list[GateFailure]:
    """Return the rules of the project's gate that a version breaks."""
    gate, report = gate_of(session, context.project_id), queries.report_of(session, version_id)
    return gate_failures(
        gate,
        None if report is None else report.report,
        dataset=reports.dataset_of_version(session, version_id),
        held_out=held_out,
    )


def require_passed(
    session: Session,
    context: ProjectContext,
    version_id: int,
    label: str,
    *,
    override: str | None,
    held_out: int | None = None,
) -> None:
    """Refuse a version that fails the gate, unless a reason to override it is given.

    The override is audited; the caller has checked the permission for it. ``held_out`` is the
    version on which the training run will be evaluated.

    Raises:
        GateFailed: the version breaks a rule and no reason is given.
    """
    compared = None if held_out is None else reports.evaluation_data(session, held_out)
    failures = failures_of(session, context, version_id, compared)
    if not failures:
        return
    if override is None:
        raise GateFailed(
            version=label,
            reasons="; ".join(failure.text for failure in failures),
            reasons_zh="；".join(failure.text_zh for failure in failures),
            rules=[failure.rule for failure in failures],
        )
    audit.record(
        session,
        context.actor,
        AuditAction.DATASET_GATE_OVERRIDDEN,
        "dataset",
        reports.dataset_of_version(session, version_id),
        project=context.project_uuid,
        version=session.get_one(DatasetVersion, version_id).version,
        reason=override,
        failures=[failure.text for failure in failures],
    )
