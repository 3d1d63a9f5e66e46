"""Attack: an API key uses a task to read data that its scopes don't cover."""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.database import transaction
from aiplatform.server.execution.runner.layout import reveal_secrets
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.errors import KeyGone
from aiplatform.server.projects.models import Project
from aiplatform.server.projects.service.delegation import context_on_behalf_of
from aiplatform.server.queue.models import Task
from aiplatform.server.schedules.jobs import fire_due
from aiplatform.server.schedules.models import Schedule, ScheduleFiring
from aiplatform.server.sweeps.models import Sweep
from tests.conftest import Api, environment
from tests.factories import (
    make_dataset,
    make_experiment,
    make_key,
    make_model,
    make_project,
    make_rows,
    make_secret,
    make_task,
    make_version,
)
from tests.openapi_checks import CheckedClient

WORK = ("tasks:*", "training:*", "inference:*", "datasets:write", "models:write")
"""Scopes that allow starting tasks of all kinds but not reading their inputs."""


@pytest.fixture
def project(session: Session) -> Project:
    return make_project(session)


@pytest.fixture
def owner(session: Session, project: Project) -> User:
    return session.get_one(User, project.owner_id)


@pytest.fixture
def key(client: CheckedClient, session: Session, owner: User) -> Callable[..., Api]:
    """Return a function that creates a key of the owner and returns a client that uses it."""

    def show(*scopes: str) -> Api:
        token = f"aip_key_{uuid4().hex}"
        make_key(session, owner, *scopes, token=token)
        return Api(client, token)

    return show


@pytest.fixture
def dataset(session: Session, project: Project, home: Path) -> str:
    row = make_dataset(session, project)
    make_version(session, row, file=make_rows(session, home))
    return str(row.uuid)


@pytest.fixture
def model(session: Session, project: Project) -> str:
    return str(make_model(session, project).uuid)


@pytest.fixture
def bundle(api: Callable[[User], Api], owner: User, project: Project) -> Iterator[str]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("main.py")
        archive.addfile(info, io.BytesIO())
    with environment(AIPLATFORM_SCRIPTS="true"):
        answer = api(owner).post(
            f"projects/{project.uuid}/bundles?name=code", content=buffer.getvalue()
        )
        assert answer.status_code == 201, answer.text
        yield answer.json()["uuid"]


def specs(dataset: str, model: str, bundle: str) -> dict[str, tuple[dict[str, Any], set[str]]]:
    """Return a spec for each kind of task over HTTP, with the scopes needed to read its inputs."""
    ref = {"dataset": dataset}
    script = {"type": "script", "bundle": bundle, "command": ["true"]}
    return {
        "evaluation": (
            {"type": "evaluation", "model": model, "dataset": ref},
            {"datasets:read", "models:read"},
        ),
        "quality": ({"type": "data_quality", "dataset": ref}, {"datasets:read"}),
        "quality with a tokenizer": (
            {"type": "data_quality", "dataset": ref, "base_model": model},
            {"datasets:read", "models:read"},
        ),
        "quality against others": (
            {"type": "data_quality", "dataset": ref, "against": [ref]},
            {"datasets:read"},
        ),
        "script with rows": ({**script, "datasets": {"rows": ref}}, {"datasets:read"}),
        "script with weights": ({**script, "models": {"base": model}}, {"models:read"}),
    }


NAMES = list(specs("", "", ""))


@pytest.mark.parametrize("name", NAMES)
def test_task_with_input_needs_the_scope_to_read_it(
    key: Callable[..., Api], project: Project, session: Session,
    dataset: str, model: str, bundle: str, name: str,
) -> None:  # fmt: skip
    spec, needed = specs(dataset, model, bundle)[name]
    for place in (f"projects/{project.uuid}/tasks", f"projects/{project.uuid}/tasks/batch"):
        one = {"name": "steal", "spec": spec}
        body = one if place.endswith("tasks") else {"tasks": [one]}
        for missing in sorted(needed):
            answer = key(*WORK, *(needed - {missing})).post(place, json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "auth.permission_denied")
            assert missing in answer.json()["detail"]
        answer = key(*WORK, *needed).post(place, json=body)
        # No worker here offers the environment for scripts, which is checked after the inputs.
        allowed = (
            answer.status_code in {201, 202} or answer.json()["code"] == "task.no_worker_can_run"
        )
        assert allowed, answer.text
    denied = session.scalars(
        select(AuditLog.details["permission"].astext).where(AuditLog.action == "access:denied")
    ).all()
    assert needed <= set(denied)


def test_run_sweep_schedule_and_deployment_need_the_scope_of_their_inputs(
    key: Callable[..., Api], project: Project, session: Session, dataset: str, model: str
) -> None:
    config = {"type": "training", "base_model": model, "dataset": {"dataset": dataset}}
    experiment = str(make_experiment(session, project, config=config).uuid)
    sweep = {
        "experiment": experiment,
        "parameters": {"learning_rate": {"kind": "choice", "values": [0.1]}},
        "objective": "loss",
    }
    here = f"projects/{project.uuid}"
    run = {"kind": "run", "experiment": experiment}
    schedule = {"name": "s", "cron": "0 0 * * *", "action": run}
    attempts = [
        (f"{here}/experiments", {"name": "e", "config": config}, "datasets:read"),
        (f"experiments/{experiment}/runs", {}, "datasets:read"),
        (f"{here}/sweeps", {"name": "s", "spec": sweep}, "datasets:read"),
        (f"{here}/schedules", schedule, "datasets:read"),
        (f"{here}/deployments", {"name": "d", "model": model}, "models:read"),
    ]
    thief = key(*WORK)
    for path, body, missing in attempts:
        answer = thief.post(path, json=body)
        assert answer.status_code == 403, (path, answer.text)
        assert missing in answer.json()["detail"], path


def test_retry_needs_the_scope_of_the_inputs(
    key: Callable[..., Api], project: Project, session: Session, dataset: str
) -> None:
    failed = make_task(
        session,
        project,
        status="failed",
        config={"type": "data_quality", "dataset": {"dataset": dataset, "version": "v1"}},
    )
    answer = key(*WORK).post(f"tasks/{failed.uuid}/retry")
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.permission_denied")
    assert key(*WORK, "datasets:read").post(f"tasks/{failed.uuid}/retry").status_code == 202


def test_schedule_keeps_the_limits_of_the_key_that_created_it(
    key: Callable[..., Api], project: Project, session: Session, dataset: str, model: str
) -> None:
    """Check the schedule's permissions, and that it starts nothing once its key is revoked."""
    config = {"type": "training", "base_model": model, "dataset": {"dataset": dataset}}
    experiment = make_experiment(session, project, config=config)
    reader = key(*WORK, "datasets:read", "models:read")
    made = reader.post(
        f"projects/{project.uuid}/schedules",
        json={"name": "nightly", "cron": "0 0 * * *",
              "action": {"kind": "run", "experiment": str(experiment.uuid)}},
    )  # fmt: skip
    assert made.status_code == 201, made.text
    row = session.scalars(select(Schedule).where(Schedule.project_id == project.id)).one()
    context = _acting(session, row)
    assert context.may(Permission.DATASETS_READ)
    assert not context.may(Permission.MEMBERS_WRITE)
    assert not context.principal.in_scope(Permission.SECRETS_USE)
    _revoke(session, row.key_id)
    session.execute(
        Schedule.__table__.update()
        .where(Schedule.id == row.id)
        .values(next_at=Schedule.created_at - (Schedule.updated_at - Schedule.created_at))
    )
    session.commit()
    fire_due()
    session.expire_all()
    fired = session.scalars(
        select(ScheduleFiring).where(ScheduleFiring.schedule_id == row.id)
    ).one()
    assert (fired.outcome, fired.code) == ("refused", "api_key.gone")


def test_sweep_keeps_the_limits_of_the_key_that_created_it(
    key: Callable[..., Api], project: Project, session: Session, dataset: str, model: str
) -> None:
    config = {"type": "training", "base_model": model, "dataset": {"dataset": dataset}}
    experiment = make_experiment(session, project, config=config)
    spec = {
        "experiment": str(experiment.uuid),
        "parameters": {"learning_rate": {"kind": "choice", "values": [0.1]}},
        "objective": "loss",
    }
    reader = key(*WORK, "datasets:read", "models:read")
    made = reader.post(f"projects/{project.uuid}/sweeps", json={"name": "s", "spec": spec})
    assert made.status_code == 201, made.text
    row = session.scalars(select(Sweep).where(Sweep.project_id == project.id)).one()
    assert not _acting(session, row).may(Permission.MEMBERS_WRITE)
    _revoke(session, row.key_id)
    with pytest.raises(KeyGone):
        _acting(session, row)


def _acting(session: Session, row: Schedule | Sweep) -> ProjectContext:
    return context_on_behalf_of(session, row.created_by, row.project_id, key_id=row.key_id)


def _revoke(session: Session, key_id: int | None) -> None:
    from aiplatform.server.identity.models import ApiKey

    assert key_id is not None
    session.get_one(ApiKey, key_id).revoked_at = session.get_one(ApiKey, key_id).created_at
    session.commit()


class TestPersonalSecrets:
    SCOPES = (*WORK, "models:*", "datasets:*")

    def place(self, project: Project) -> str:
        return f"projects/{project.uuid}/models"

    def body(self, name: str) -> dict[str, Any]:
        return {
            "name": f"m{uuid4().hex[:6]}",
            "source": {"kind": "hub", "repository": "a/b"},
            "secrets": {"HF_TOKEN": name},
        }

    def test_key_without_secrets_scope_cannot_use_personal_secret(
        self, key: Callable[..., Api], session: Session, project: Project, owner: User
    ) -> None:
        make_secret(session, owner, name="mine")
        thief = key(*self.SCOPES)
        answers = [
            thief.post(self.place(project), json=self.body(name)) for name in ("mine", "nowhere")
        ]
        # The responses don't reveal which secrets the owner has.
        assert {answer.status_code for answer in answers} == {403}
        assert {answer.json()["detail"] for answer in answers} == {answers[0].json()["detail"]}
        assert "secrets:use" in answers[0].json()["detail"]
        allowed = key(*self.SCOPES, "secrets:use").post(self.place(project), json=self.body("mine"))
        assert allowed.status_code == 201, allowed.text

    def test_key_without_secrets_scope_can_use_project_secret(
        self, key: Callable[..., Api], session: Session, project: Project
    ) -> None:
        make_secret(session, project, name="shared")
        answer = key(*self.SCOPES).post(self.place(project), json=self.body("shared"))
        assert answer.status_code == 201, answer.text

    def test_personal_secret_does_not_replace_project_secret_of_same_name(
        self, key: Callable[..., Api], session: Session, project: Project, owner: User
    ) -> None:
        """Check that the key's limits also apply when the task starts, after the request."""
        make_secret(session, project, "of the project", name="same")
        make_secret(session, owner, "of the owner", name="same")
        answer = key(*self.SCOPES).post(self.place(project), json=self.body("same"))
        task = select(Task).where(Task.uuid == answer.json()["task"])
        with transaction() as own:
            assert reveal_secrets(own, own.scalars(task).one()) == {"HF_TOKEN": "of the project"}

    def test_any_user_can_create_key_with_secrets_scope(
        self, api: Callable[[User], Api], session: Session, project: Project, owner: User
    ) -> None:
        from tests.factories import make_member

        viewer = make_member(session, project, "viewer")
        made = api(viewer).post("users/me/keys", json={"name": "k", "scopes": ["secrets:use"]})
        assert made.status_code == 201, made.text
