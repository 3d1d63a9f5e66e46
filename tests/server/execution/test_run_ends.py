"""Tests of the end of external runs: runs that stop reporting, late reports, and the end time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.server.core.database import transaction
from aiplatform.server.execution.service import external
from aiplatform.server.execution.service.reaper import Reaper
from aiplatform.server.experiments.models import Experiment
from aiplatform.server.notifications.models import Notification
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task, TaskDependency
from tests.conftest import Api
from tests.factories import make_experiment, make_task
from tests.server.execution.runs import begin, report


@pytest.fixture
def run(owner: Api, project: Project) -> str:
    return str(begin(owner, project)["uuid"])


class TestSilence:
    @pytest.fixture
    def time_passes(self, session: Session) -> Callable[[float], None]:
        """Return a function that advances the reaper's clock while the run reports nothing."""
        now = 0.0
        reaper = Reaper(60.0, lambda: now, run_silence_seconds=100.0)
        reaper.run_round()

        def pass_(seconds: float) -> None:
            nonlocal now
            end = now + seconds
            while now < end:
                now += 5.0
                reaper.run_round()
            session.expire_all()

        return pass_

    def test_silent_run_fails_and_each_report_postpones_that(
        self, owner: Api, run: str, time_passes: Callable[[float], None]
    ) -> None:
        time_passes(70)
        for say in (
            lambda: report(owner, run, ("loss", 1, 1.0)),
            lambda: owner.post(f"tasks/{run}/logs", json={"lines": [{"text": "x"}]}),
            lambda: owner.post(f"tasks/{run}/heartbeat", json={}),
        ):
            say()
            time_passes(70)
            assert owner.get(f"tasks/{run}").json()["status"] == "running"
        time_passes(60)
        task = owner.get(f"tasks/{run}").json()
        assert (task["status"], task["error_message"]) == (
            "failed",
            "the run reported nothing for 100 s; it may still report how it ended",
        )

    def test_given_up_run_still_reports_its_metrics_and_its_end(
        self, owner: Api, run: str, time_passes: Callable[[float], None]
    ) -> None:
        time_passes(110)
        late = report(owner, run, ("loss", 1, 1.0))
        assert (late.status_code, late.json()["status"]) == (200, "failed")
        assert owner.post(f"tasks/{run}/logs", json={"lines": [{"text": "x"}]}).status_code == 200
        for _ in range(2):
            ended = owner.post(f"tasks/{run}/end", json={"status": "completed"}).json()
            assert (ended["status"], ended["error_message"]) == ("completed", None)
            assert (ended["progress"], ended["result"]["metrics"]["loss"]["last"]) == (1.0, 1.0)
        timeline = owner.get(f"tasks/{run}/timeline").json()["items"]
        kinds = [event["kind"] for event in timeline]
        assert kinds == ["started", "failed", "reported", "completed"]
        # From here on, the run is like any other run that has ended.
        assert report(owner, run, ("loss", 2, 1.0)).json()["code"] == "task.finished"
        otherwise = owner.post(f"tasks/{run}/end", json={"status": "failed"})
        assert otherwise.json()["code"] == "task.finished"

    def test_late_end_is_in_the_audit_the_experiment_and_the_notifications(
        self, owner: Api, project: Project, session: Session,
        time_passes: Callable[[float], None],
    ) -> None:  # fmt: skip
        experiment = make_experiment(session, project)
        run = begin(owner, project, experiment=str(experiment.uuid))["uuid"]
        report(owner, run, ("loss", 1, 3.0))
        time_passes(110)
        assert session.get_one(Experiment, experiment.id).metrics.get("runs") is None
        report(owner, run, ("loss", 2, 2.0))
        owner.post(f"tasks/{run}/end", json={"status": "completed"})
        session.expire_all()
        (kept,) = session.get_one(Experiment, experiment.id).metrics["runs"]
        assert (kept["task"], kept["train_loss_last"]) == (run, 2.0)
        actions = session.execute(
            text("SELECT action, details->>'before' FROM audit_logs WHERE resource_id = :run"
                 " ORDER BY id"), {"run": run},
        ).all()  # fmt: skip
        assert [tuple(row) for row in actions] == [
            ("task:submitted", None),
            ("task:failed", None),
            ("task:reported", "failed"),
            ("task:completed", None),
        ]
        told = session.scalars(
            select(Notification.type)
            .where(Notification.user_id == project.owner_id)
            .order_by(Notification.id)
        ).all()
        assert told[-2:] == ["task:failed", "task:completed"]

    @pytest.mark.parametrize("status", ["failed", "cancelled"])
    def test_late_end_replaces_the_error_of_the_silence(
        self, owner: Api, run: str, time_passes: Callable[[float], None], status: str
    ) -> None:
        time_passes(110)
        end = {"status": status, "error": "ValueError: no"}
        ended = owner.post(f"tasks/{run}/end", json=end).json()
        assert (ended["status"], ended["error_message"]) == (status, "ValueError: no")

    def test_task_that_failed_with_a_given_up_run_stays_failed(
        self, owner: Api, project: Project, session: Session, run: str,
        time_passes: Callable[[float], None],
    ) -> None:  # fmt: skip
        waits = make_task(session, project)
        needed = session.scalars(select(Task).where(Task.uuid == run)).one()
        waits.scheduling.blockers = 1
        session.add(
            TaskDependency(task_id=waits.id, needs_id=needed.id, condition="ok", settled=False)
        )
        session.commit()
        time_passes(110)
        assert waits.status == "failed"
        assert owner.post(f"tasks/{run}/end", json={"status": "completed"}).status_code == 200
        session.expire_all()
        assert waits.status == "failed"

    def test_cancelling_run_that_is_given_up_counts_as_cancelled(
        self, owner: Api, run: str, time_passes: Callable[[float], None]
    ) -> None:
        owner.post(f"tasks/{run}/cancel")
        time_passes(110)
        assert owner.get(f"tasks/{run}").json()["status"] == "cancelled"
        for _ in range(2):
            ended = owner.post(f"tasks/{run}/end", json={"status": "completed"}).json()
            assert ended["status"] == "cancelled"
            assert ended["result"]["reported"]["status"] == "completed"
        timeline = owner.get(f"tasks/{run}/timeline").json()["items"]
        assert [event["kind"] for event in timeline].count("reported") == 1


class TestEndTime:
    @pytest.fixture
    def began(self) -> datetime:
        return datetime.now(UTC) - timedelta(days=3)

    @pytest.fixture
    def run(self, owner: Api, project: Project, began: datetime) -> str:
        return str(begin(owner, project, started_at=began.isoformat())["uuid"])

    def end(self, owner: Api, run: str, ended_at: datetime | None, **end: Any) -> datetime:
        at = None if ended_at is None else ended_at.isoformat()
        body = {"status": "completed", "ended_at": at, **end}
        answer = owner.post(f"tasks/{run}/end", json=body)
        assert answer.status_code == 200, answer.text
        return datetime.fromisoformat(answer.json()["completed_at"])

    def test_reported_end_is_stored_in_any_time_zone(
        self, owner: Api, run: str, began: datetime
    ) -> None:
        at = (began + timedelta(hours=2)).astimezone(timezone(timedelta(hours=9)))
        assert self.end(owner, run, at) == at

    def test_reported_end_is_limited_to_the_time_between_start_and_now(
        self, owner: Api, project: Project, began: datetime
    ) -> None:
        first, second, third = (
            str(begin(owner, project, started_at=began.isoformat())["uuid"]) for _ in range(3)
        )
        assert self.end(owner, first, began - timedelta(days=1)) == began
        soon = timedelta(minutes=5)
        for run, at in ((second, datetime.now(UTC) + timedelta(days=9)), (third, None)):
            assert abs(self.end(owner, run, at) - datetime.now(UTC)) < soon

    def test_given_up_run_gets_the_reported_end(
        self, owner: Api, run: str, began: datetime, session: Session
    ) -> None:
        found = session.scalars(select(Task).where(Task.uuid == run)).one()
        with transaction() as own:
            assert external.give_up(own, found.id, 0, 600)
        at = began + timedelta(hours=2)
        assert self.end(owner, run, at) == at

    def test_end_without_a_time_zone_is_refused(self, owner: Api, run: str) -> None:
        body = {"status": "completed", "ended_at": "2026-11-24T16:03:00"}
        assert owner.post(f"tasks/{run}/end", json=body).status_code == 422
