"""Attack: a task that is not a script reaches the script worker, which runs as root."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.specs import InferenceSpec
from aiplatform.server.core import audit
from aiplatform.server.execution import runner
from aiplatform.server.inference.models import Deployment
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.errors import NoWorkerCanRun
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service.insertion import new_task
from tests.conftest import Api, environment
from tests.factories import make_deployment, make_model, make_project, number
from tests.openapi_checks import CheckedClient
from tests.server.experiments.manual_worker import ManualWorker

QUEUE = "scripts"
WORDS = "the queue 'scripts' is only for scripts"


@pytest.fixture
def scripts_queue() -> Iterator[None]:
    with environment(AIPLATFORM_SCRIPT_QUEUE=QUEUE):
        yield


@pytest.fixture
def project(client: CheckedClient, session: Session) -> Project:
    return make_project(session)


def tasks(session: Session, project: Project) -> list[Task]:
    session.expire_all()
    return list(session.scalars(select(Task).where(Task.project_id == project.id)))


def stopped(session: Session, project: Project) -> Deployment:
    """Create a stopped deployment in a queue that was later reserved for scripts."""
    model = make_model(session, project)
    spec = {"type": "inference", "model": str(model.uuid), "queue": QUEUE}
    return make_deployment(session, project, model, spec=spec)


@pytest.mark.usefixtures("scripts_queue")
class TestRefused:
    def test_new_deployment_in_script_queue_is_refused(
        self, session: Session, admin: Api, project: Project
    ) -> None:
        body = {"name": "faq", "model": str(make_model(session, project).uuid), "queue": QUEUE}
        place = f"projects/{project.uuid}/deployments"
        answer = admin.post(place, json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "task.no_worker_can_run")
        assert WORDS in answer.json()["detail"]
        assert tasks(session, project) == []
        assert admin.get(place).json()["items"] == []

    @pytest.mark.parametrize("way", ["start", "update"])
    def test_old_deployment_in_script_queue_is_refused(
        self, session: Session, admin: Api, project: Project, way: str
    ) -> None:
        deployment = stopped(session, project)
        place = f"deployments/{deployment.uuid}"
        if way == "start":
            answer = admin.post(f"{place}/start")
        else:
            body = {"model": str(make_model(session, project).uuid)}
            answer = admin.post(f"{place}/update", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "task.no_worker_can_run")
        assert WORDS in answer.json()["detail"]
        assert tasks(session, project) == []

    def test_new_task_in_script_queue_is_refused(self, session: Session, project: Project) -> None:
        """Check that tasks queued by the platform itself are refused, too."""
        spec = InferenceSpec(model=make_model(session, project).uuid, queue=QUEUE)
        facts: dict[str, Any] = {"project_id": project.id, "project_uuid": project.uuid}
        with pytest.raises(NoWorkerCanRun):
            new_task(spec, actor=audit.SYSTEM, name="server", **facts)


def test_task_queued_before_is_failed_by_the_worker(
    session: Session, admin: Api, project: Project
) -> None:
    worker = ManualWorker(f"queue{number()}")
    body = {"name": "faq", "model": str(make_model(session, project).uuid), "queue": worker.queue}
    made = admin.post(f"projects/{project.uuid}/deployments", json=body)
    assert made.status_code == 201, made.text
    claim = worker.take()
    with environment(AIPLATFORM_SCRIPT_QUEUE=worker.queue):
        runner.run_attempt(claim)
    [task] = tasks(session, project)
    assert task.status == "failed"
    assert f"the queue {worker.queue!r} is only for scripts" in (task.error_message or "")


def test_crashed_model_server_in_script_queue_is_not_restarted(
    session: Session, admin: Api, project: Project
) -> None:
    """Check also that ending the deployment's task raises no error."""
    worker = ManualWorker(f"queue{number()}")
    body = {"name": "faq", "model": str(make_model(session, project).uuid), "queue": worker.queue}
    place = f"projects/{project.uuid}/deployments"
    made = admin.post(place, json=body).json()
    claim = worker.take()
    with environment(AIPLATFORM_SCRIPT_QUEUE=worker.queue):
        worker.fail(claim, "out of memory")
    assert len(tasks(session, project)) == 1
    shown = admin.get(f"deployments/{made['uuid']}").json()
    assert (shown["status"], shown["error"]) == ("crashed", "out of memory")
