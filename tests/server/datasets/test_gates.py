"""Tests of the quality gate: rules that a report can break, and overriding the gate."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.gates import Gate
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.datasets.errors import UnknownFinding
from aiplatform.server.datasets.models import QualityReport
from aiplatform.server.datasets.queries import pin_version
from aiplatform.server.datasets.rules import gate_failures
from aiplatform.server.datasets.service.gates import require_passed, set_gate
from aiplatform.server.projects.models import Project
from tests.factories import make_context

REPORT = {
    "score": 61,
    "findings": [
        {"code": "duplicates", "severity": "warning", "share": 0.2},
        {"code": "personal_email", "severity": "warning", "share": 0.001},
        {"code": "no_answer", "severity": "error", "share": 0.05},
    ],
}


@pytest.mark.parametrize(
    ("gate", "broken"),
    [
        ({}, []),
        ({"min_score": 61}, []),
        ({"min_score": 62}, ["min_score"]),
        ({"forbid_errors": True}, ["no_answer"]),
        ({"limits": [{"finding": "personal_*"}]}, ["personal_email"]),
        ({"limits": [{"finding": "personal_*", "max_share": 0.01}]}, []),
        ({"limits": [{"finding": "personal_*", "max_share": 0.5}, {"finding": "personal_email"}]},
         ["personal_email"]),
        ({"limits": [{"finding": "duplicates", "max_share": 0.1}], "forbid_errors": True},
         ["duplicates", "no_answer"]),
        ({"limits": [{"finding": "no_answer", "max_share": 0.1}], "forbid_errors": True},
         ["no_answer"]),
        ({"limits": [{"finding": "dup"}]}, ["not_checked"]),
    ],
)  # fmt: skip
def test_gate_reports_broken_rules(gate: dict[str, Any], broken: list[str]) -> None:
    assert [f.rule for f in gate_failures(Gate.model_validate(gate), REPORT)] == broken


OVER = {"finding": "over_length", "max_share": 0.1}
LOUD = {"finding": "shouting"}
RAN = {"name": "loud", "error": None}
CRASHED = {"name": "loud", "error": "ValueError: no"}


@pytest.mark.parametrize(
    ("limit", "report", "broken"),
    [
        (OVER, {"tokens": None}, ["not_checked"]),
        ({"finding": "over_*"}, {"tokens": None}, ["not_checked"]),
        (OVER, {"tokens": {"max": 3}}, []),
        (OVER, {"findings": [{"code": "template_refuses", "severity": "error", "share": 1}]}, []),
        (LOUD, {"outside_checks": [CRASHED]}, ["not_checked"]),
        (LOUD, {"outside_checks": [RAN]}, []),
        (LOUD, {"outside_checks": []}, ["not_checked"]),
        (LOUD, {"outside_checks": [CRASHED], "findings": [{"code": "shouting", "share": 0}]}, []),
        ({"finding": "personal_*"}, {"outside_checks": [CRASHED]}, []),
    ],
)
def test_limit_on_unchecked_finding_is_broken(
    limit: dict[str, Any], report: dict[str, Any], broken: list[str]
) -> None:
    gate = Gate.model_validate({"limits": [limit]})
    failures = gate_failures(gate, report)
    assert [failure.rule for failure in failures] == broken
    if broken:
        assert failures[0].text.startswith(f"not checked: {limit['finding']}")


def test_limit_on_unknown_finding_is_refused(
    session: Session, project: Project, dataset: dict[str, Any]
) -> None:
    context = make_context(session, project)

    def limit(finding: str) -> Gate:
        gate = Gate.model_validate({"limits": [{"finding": finding}]})
        return set_gate(session, context, gate)

    for finding, near in (
        ("personal_emails", "personal_email"),
        ("personel_*", "personal_"),
        ("xyzzy", "near_duplicates"),
    ):
        with pytest.raises(UnknownFinding) as refused:
            limit(finding)
        assert near in str(refused.value)
    limit("personal_*")

    _, version = pin_version(session, context, UUID(dataset["uuid"]), "v1")
    ran = {"findings": [], "outside_checks": [RAN]}
    report = QualityReport(version_id=version.id, report=ran)
    session.add(report)
    session.flush()
    limit("shouting")
    with pytest.raises(UnknownFinding, match="personal_email"):
        limit("personal_emails")
    report.report = {**ran, "findings": [{"code": "personal_emails", "share": 0.1}]}
    session.flush()
    limit("personal_emails")
    limit("personal_emai*")


def test_missing_report_breaks_a_gate_with_rules() -> None:
    assert gate_failures(Gate(), None) == []
    assert [f.rule for f in gate_failures(Gate(min_score=1), None)] == ["report"]


def test_missing_values_in_a_report_break_the_gate() -> None:
    gate = Gate.model_validate(
        {"min_score": 1, "forbid_errors": True, "limits": [{"finding": "a"}]}
    )
    report = {"findings": [{"code": "a"}, {"code": "b"}, {"code": "c", "share": "NaN"}, {}]}
    assert [f.rule for f in gate_failures(gate, report)] == ["min_score", "a", "b", "c", "None"]


def test_override_is_audited_with_reason(
    session: Session, project: Project, dataset: dict[str, Any]
) -> None:
    context = make_context(session, project)
    set_gate(session, context, Gate(min_score=1))
    _, version = pin_version(session, context, UUID(dataset["uuid"]), "v1")
    require_passed(session, context, version.id, f"{dataset['name']}@v1", override="for a reason")
    row = session.scalars(
        select(AuditLog).where(AuditLog.action == "dataset:gate_overridden")
    ).one()
    assert (row.resource_type, row.resource_id) == ("dataset", dataset["uuid"])
    assert (row.details["version"], row.details["reason"]) == ("v1", "for a reason")
