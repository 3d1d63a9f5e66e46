"""Tests of a deployment's states: ready, stopped, restarted, deleted, crashed."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.identity.models import User
from aiplatform.server.inference.models import Deployment
from aiplatform.server.queue.models import Task
from aiplatform.server.registry.models import Model
from tests.conftest import Api
from tests.server.experiments.manual_worker import ManualWorker, fresh
from tests.server.inference.conftest import actions, notes


class TestLife:
    def test_deployment_is_ready_when_its_server_is(
        self,
        session: Session,
        deployment: Deployment,
        manual_worker: ManualWorker,
        mine: Api,
        owner: User,
    ) -> None:
        claim = manual_worker.take()
        trees = manual_worker.inputs(claim).trees
        assert set(trees) == {"model", "base_model"}
        assert trees["model"][0].path == "weights/model.safetensors"
        manual_worker.ready(claim, "unix:/here", "secret")

        row = fresh(session, deployment)
        assert (row.status, row.endpoint, row.endpoint_token) == ("ready", "unix:/here", "secret")
        assert "secret" not in mine.get(f"deployments/{deployment.uuid}").text
        assert actions(session, deployment.uuid) == ["deployment:created", "deployment:ready"]
        assert "deployment:ready" in notes(session, owner)

    def test_stopped_deployment_can_be_started_again(
        self, session: Session, deployment: Deployment, manual_worker: ManualWorker, mine: Api
    ) -> None:
        claim = manual_worker.take()
        manual_worker.ready(claim)
        stopped = mine.post(f"deployments/{deployment.uuid}/stop")
        assert (stopped.status_code, stopped.json()["status"]) == (202, "stopping")
        assert fresh(session, deployment).endpoint is None
        assert session.get_one(Task, claim.task_id).status == TaskStatus.CANCELLING
        assert mine.post(f"deployments/{deployment.uuid}/stop").status_code == 409
        manual_worker.cancel(claim)
        assert fresh(session, deployment).status == "stopped"

        started = mine.post(f"deployments/{deployment.uuid}/start").json()
        assert started["status"] == "starting"
        second = manual_worker.take()
        assert second.task_id != claim.task_id
        manual_worker.ready(second)
        assert fresh(session, deployment).status == "ready"
        conflict = mine.post(f"deployments/{deployment.uuid}/start")
        assert (conflict.status_code, conflict.json()["code"]) == (409, "deployment.wrong_state")
        assert actions(session, deployment.uuid) == [
            "deployment:created",
            "deployment:ready",
            "deployment:stopped",
            "deployment:started",
            "deployment:ready",
        ]

    def test_stop_before_the_task_runs_cancels_it(
        self, session: Session, deployment: Deployment, manual_worker: ManualWorker, mine: Api
    ) -> None:
        stopped = mine.post(f"deployments/{deployment.uuid}/stop").json()
        assert stopped["status"] == "stopped"
        assert manual_worker.claim() is None
        assert session.get_one(Task, deployment.task_id).status == TaskStatus.CANCELLED

    def test_stopping_deployment_does_not_become_ready(
        self, session: Session, deployment: Deployment, manual_worker: ManualWorker, mine: Api
    ) -> None:
        claim = manual_worker.take()
        mine.post(f"deployments/{deployment.uuid}/stop")
        manual_worker.ready(claim)
        row = fresh(session, deployment)
        assert (row.status, row.endpoint) == ("stopping", None)

    def test_crash_while_stopping_counts_as_stop(
        self, session: Session, deployment: Deployment, manual_worker: ManualWorker, mine: Api
    ) -> None:
        claim = manual_worker.take()
        mine.post(f"deployments/{deployment.uuid}/stop")
        manual_worker.fail(claim)
        assert fresh(session, deployment).status == "stopped"
        assert manual_worker.claim(hurry=True) is None

    def test_lost_worker_restarts_the_server(
        self, session: Session, deployment: Deployment, manual_worker: ManualWorker, mine: Api
    ) -> None:
        claim = manual_worker.take()
        manual_worker.ready(claim)
        manual_worker.vanish(claim)
        row = fresh(session, deployment)
        assert (row.status, row.restarts, row.endpoint) == ("restarting", 1, None)
        again = manual_worker.take()
        assert again.task_id == claim.task_id
        assert fresh(session, deployment).status == "starting"
        manual_worker.ready(again)
        assert fresh(session, deployment).status == "ready"

    def test_cancelled_task_stops_the_deployment(
        self, session: Session, deployment: Deployment, manual_worker: ManualWorker, mine: Api
    ) -> None:
        claim = manual_worker.take()
        manual_worker.ready(claim)
        mine.post(f"tasks/{claim.task_uuid}/cancel")
        manual_worker.cancel(claim)
        assert fresh(session, deployment).status == "stopped"
        assert actions(session, deployment.uuid)[-1] == "deployment:stopped"

    def test_restart_replaces_the_server(
        self, session: Session, deployment: Deployment, manual_worker: ManualWorker, mine: Api
    ) -> None:
        old = manual_worker.take()
        manual_worker.ready(old, "unix:/old")
        answer = mine.post(f"deployments/{deployment.uuid}/restart").json()
        assert (answer["status"], answer["restarts"]) == ("restarting", 0)
        new = manual_worker.take()
        assert new.task_id != old.task_id
        manual_worker.ready(new, "unix:/new")
        manual_worker.cancel(old)
        row = fresh(session, deployment)
        assert (row.status, row.endpoint, row.task_id) == ("ready", "unix:/new", new.task_id)

    def test_restart_of_a_stopped_deployment_starts_it(
        self, session: Session, deployment: Deployment, manual_worker: ManualWorker, mine: Api
    ) -> None:
        mine.post(f"deployments/{deployment.uuid}/stop")
        assert mine.post(f"deployments/{deployment.uuid}/restart").json()["status"] == "starting"
        manual_worker.ready(manual_worker.take())
        assert fresh(session, deployment).status == "ready"

    def test_deleted_deployment_cancels_its_task(
        self, session: Session, deployment: Deployment, manual_worker: ManualWorker, mine: Api
    ) -> None:
        claim = manual_worker.take()
        manual_worker.ready(claim)
        uuid = deployment.uuid
        assert mine.delete(f"deployments/{uuid}").status_code == 204
        assert mine.get(f"deployments/{uuid}").status_code == 404
        session.rollback()
        assert session.get_one(Task, claim.task_id).status == TaskStatus.CANCELLING
        manual_worker.cancel(claim)
        assert actions(session, uuid)[-1] == "deployment:deleted"

    def test_deployment_whose_model_was_deleted_does_not_start(
        self, session: Session, deployment: Deployment, mine: Api, tuned: Model
    ) -> None:
        assert mine.delete(f"models/{tuned.uuid}").json()["code"] == "model.in_use"
        mine.post(f"deployments/{deployment.uuid}/stop")
        assert mine.delete(f"models/{tuned.uuid}").status_code == 204
        shown = mine.get(f"deployments/{deployment.uuid}").json()
        assert shown["model"] is None
        answer = mine.post(f"deployments/{deployment.uuid}/start")
        assert (answer.status_code, answer.json()["code"]) == (409, "deployment.model_gone")


class TestCrashes:
    def test_crashed_server_is_started_again_after_a_delay(
        self, session: Session, deployment: Deployment, manual_worker: ManualWorker
    ) -> None:
        claim = manual_worker.take()
        manual_worker.ready(claim)
        manual_worker.fail(claim, "out of memory")
        row = fresh(session, deployment)
        assert (row.status, row.restarts, row.error) == ("restarting", 1, "out of memory")
        assert row.endpoint is None
        task = session.get_one(Task, row.task_id)
        assert task.id != claim.task_id
        assert task.scheduling.created_by == deployment.created_by
        wait = task.scheduling.not_before - task.created_at
        # The times come from two clock readings, which may be far apart on a busy machine.
        assert timedelta(seconds=0.9) < wait < timedelta(seconds=30)
        assert manual_worker.claim() is None

        manual_worker.ready(manual_worker.take(hurry=True))
        row = fresh(session, deployment)
        assert (row.status, row.restarts, row.error) == ("ready", 1, None)

    def test_deployment_is_given_up_after_five_crashes(
        self,
        session: Session,
        deployment: Deployment,
        manual_worker: ManualWorker,
        owner: User,
        mine: Api,
    ) -> None:
        for crash in range(5):
            assert fresh(session, deployment).status != "crashed", crash
            manual_worker.fail(manual_worker.take(hurry=True), f"crash {crash}")
        row = fresh(session, deployment)
        assert (row.status, row.restarts, row.error) == ("crashed", 4, "crash 4")
        assert manual_worker.claim(hurry=True) is None
        assert actions(session, deployment.uuid).count("deployment:crashed") == 5
        assert notes(session, owner).count("deployment:crashed") == 1

        # After a manual start, crashes are counted from zero.
        assert mine.post(f"deployments/{deployment.uuid}/start").json()["restarts"] == 0
        manual_worker.fail(manual_worker.take(hurry=True))
        assert fresh(session, deployment).status == "restarting"

    def test_old_crashes_do_not_count(
        self, session: Session, deployment: Deployment, manual_worker: ManualWorker
    ) -> None:
        for _ in range(4):
            manual_worker.fail(manual_worker.take(hurry=True))
        session.execute(
            update(Task)
            .where(Task.status == "failed", Task.name == deployment.name)
            .values(completed_at=Task.completed_at - timedelta(minutes=11))
        )
        session.commit()
        manual_worker.fail(manual_worker.take(hurry=True))
        row = fresh(session, deployment)
        assert (row.status, row.restarts) == ("restarting", 5)

    def test_stop_ends_the_wait_for_a_restart(
        self, session: Session, deployment: Deployment, manual_worker: ManualWorker, mine: Api
    ) -> None:
        manual_worker.fail(manual_worker.take())
        assert mine.post(f"deployments/{deployment.uuid}/stop").json()["status"] == "stopped"
        assert manual_worker.claim(hurry=True) is None
