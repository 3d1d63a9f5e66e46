"""Tests of the quality gate before training: refusal with reasons, and overriding."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.datasets.models import Dataset, DatasetVersion, QualityReport
from aiplatform.server.experiments.models import Experiment
from aiplatform.server.projects.models import Project, ProjectQuota
from tests.conftest import Api
from tests.factories import make_member, make_token, make_user
from tests.server.experiments.manual_worker import ManualWorker

Create = Callable[..., Any]
GATE = {"min_score": 80, "limits": [{"finding": "personal_*"}]}
REASON = "agreed with the data protection officer"


@pytest.fixture
def experiment(session: Session, create: Create) -> Experiment:
    uuid = create().json()["uuid"]
    return session.scalars(select(Experiment).where(Experiment.uuid == uuid)).one()


@pytest.fixture
def report(session: Session, dataset: Dataset) -> Callable[..., None]:
    """Return a function that stores a quality report of the dataset's current version."""

    def make(score: int, *findings: dict[str, Any]) -> None:
        version = session.scalars(
            select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id)
        ).one()
        body = {"score": score, "findings": list(findings)}
        session.merge(QualityReport(version_id=version.id, report=body))
        session.commit()

    return make


def test_gate_is_stored_and_validated(owner_api: Api, project: Project) -> None:
    path = f"projects/{project.uuid}/dataset-gate"
    assert owner_api.get(path).json() == {
        "min_score": None, "forbid_errors": False, "limits": [], "evaluation": [], "benchmarks": [],
    }  # fmt: skip
    answer = owner_api.put(path, json=GATE)
    assert answer.status_code == 200, answer.text
    assert owner_api.get(path).json()["limits"] == [{"finding": "personal_*", "max_share": 0.0}]
    assert owner_api.put(path, json={"min_score": 101}).status_code == 422
    assert owner_api.put(path, json={"limits": [{"finding": "A'; --"}]}).status_code == 422


def test_run_with_failing_version_is_refused_with_reasons(
    session: Session,
    owner_api: Api,
    project: Project,
    experiment: Experiment,
    dataset: Dataset,
    report: Callable[..., None],
) -> None:
    owner_api.put(f"projects/{project.uuid}/dataset-gate", json=GATE)
    runs = f"experiments/{experiment.uuid}/runs"
    session.execute(delete(QualityReport))
    session.commit()
    assert owner_api.post(runs, json={}).json()["rules"] == ["report"]

    report(61, {"code": "personal_email", "severity": "warning", "share": 0.01})
    answer = owner_api.post(runs, json={})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "dataset.gate_failed")
    assert problem["rules"] == ["min_score", "personal_email"]
    assert "its score is 61, at least 80" in problem["detail"]
    verdict = owner_api.get(f"datasets/{dataset.uuid}/versions/v1/gate").json()
    assert [failure["rule"] for failure in verdict["failures"]] == problem["rules"]

    report(97)
    assert owner_api.get(f"datasets/{dataset.uuid}/versions/v1/gate").json()["passed"]
    assert owner_api.post(runs, json={}).status_code == 202


def test_override_needs_permission_and_is_audited(
    client: Any,
    session: Session,
    owner_api: Api,
    project: Project,
    experiment: Experiment,
    report: Callable[..., None],
) -> None:
    owner_api.put(f"projects/{project.uuid}/dataset-gate", json={"min_score": 80})
    report(10)
    runs = f"experiments/{experiment.uuid}/runs"
    assert owner_api.post(runs, json={"override_gate": "short"}).status_code == 422

    user = make_user(session)
    make_member(session, project, "developer", user)
    developer = Api(client, make_token(session, user))
    held = developer.get("users/me").json()
    answer = developer.post(runs, json={"override_gate": REASON})
    assert answer.status_code == 403, (answer.text, held)
    assert answer.json()["permission"] == "datasets:override"
    path = f"projects/{project.uuid}/dataset-gate"
    assert developer.put(path, json={}).status_code == 403

    answer = owner_api.post(runs, json={"override_gate": REASON})
    assert answer.status_code == 202, answer.text
    row = session.scalars(
        select(AuditLog).where(AuditLog.action == "dataset:gate_overridden")
    ).one()
    assert row.details["reason"] == REASON
    assert row.details["failures"] == ["its score is 10, at least 80 is asked for"]


def test_retry_checks_gate_and_quota_again(
    session: Session,
    owner_api: Api,
    project: Project,
    experiment: Experiment,
    manual_worker: ManualWorker,
    report: Callable[..., None],
) -> None:
    gate = f"projects/{project.uuid}/dataset-gate"
    owner_api.put(gate, json={"min_score": 80})
    report(10)
    run = owner_api.post(
        f"experiments/{experiment.uuid}/runs", json={"override_gate": REASON}
    ).json()
    manual_worker.fail(manual_worker.take())
    retry = f"tasks/{run['uuid']}/retry"
    answer = owner_api.post(retry)
    assert (answer.status_code, answer.json()["code"]) == (409, "dataset.gate_failed")
    assert answer.json()["rules"] == ["min_score"]

    owner_api.put(gate, json={})
    session.add(ProjectQuota(project_id=project.id, storage_bytes=0))
    session.commit()
    assert owner_api.post(retry).json()["code"] == "project.quota_exceeded"

    session.execute(delete(ProjectQuota))
    session.commit()
    assert owner_api.post(retry).json()["retry_of"] == run["uuid"]


def test_rerun_and_retry_accept_an_override_reason(
    client: Any,
    session: Session,
    owner_api: Api,
    project: Project,
    experiment: Experiment,
    manual_worker: ManualWorker,
    report: Callable[..., None],
) -> None:
    owner_api.put(f"projects/{project.uuid}/dataset-gate", json={"min_score": 80})
    report(10)
    run = owner_api.post(
        f"experiments/{experiment.uuid}/runs", json={"override_gate": REASON}
    ).json()
    manual_worker.fail(manual_worker.take())
    user = make_user(session)
    make_member(session, project, "developer", user)
    developer = Api(client, make_token(session, user))
    for path in (f"runs/{run['uuid']}/rerun", f"tasks/{run['uuid']}/retry"):
        refused = owner_api.post(path)
        assert (refused.status_code, refused.json()["code"]) == (409, "dataset.gate_failed")
        assert owner_api.post(path, json={"override_gate": "short"}).status_code == 422
        denied = developer.post(path, json={"override_gate": REASON})
        assert (denied.status_code, denied.json()["permission"]) == (403, "datasets:override")
        assert owner_api.post(path, json={"override_gate": f"{path}: {REASON}"}).status_code == 202
    statement = select(AuditLog).where(AuditLog.action == "dataset:gate_overridden")
    reasons = [row.details["reason"] for row in session.scalars(statement.order_by(AuditLog.id))]
    assert [reason.partition("/")[0] for reason in reasons][-3:] == [REASON, "runs", "tasks"]
