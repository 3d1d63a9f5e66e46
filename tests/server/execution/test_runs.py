"""Tests of external runs: start, metrics, permissions, cancellation, end."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.database import transaction
from aiplatform.server.execution.service import workers
from aiplatform.server.experiments.models import Experiment
from aiplatform.server.identity.models import AuthSession, User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import claims
from aiplatform.server.telemetry.models import MetricPoint
from tests.conftest import Api
from tests.factories import make_experiment, make_key, make_member, make_project, make_task
from tests.server.execution.runs import begin, report, values

Apis = Callable[[User | None], Api]


@pytest.fixture
def run(owner: Api, project: Project) -> str:
    return begin(owner, project)["uuid"]


class TestBegin:
    def test_new_run_is_running_and_no_worker_claims_it(
        self, owner: Api, project: Project, session: Session
    ) -> None:
        task = begin(owner, project, config={"lr": 0.1}, facts={"host": "elsewhere"})
        assert (task["type"], task["status"], task["worker"]) == ("external", "running", None)
        assert task["config"]["config"] == {"lr": 0.1}
        offers = workers.Capacity(8.0, 8192, ())
        worker = workers.register(session, f"w{uuid4().hex}", ["default", "external"], offers)
        session.commit()
        with transaction() as other:
            assert claims.claim_next(other, worker, ["default", "external"]) is None
        used = session.execute(
            text("SELECT count(*) FROM project_usage WHERE project_id = :id AND running > 0"),
            {"id": project.id},
        ).scalar_one()
        assert used == 0

    def test_repeated_client_id_returns_the_same_run(self, owner: Api, project: Project) -> None:
        name = str(uuid4())
        first = owner.post(f"projects/{project.uuid}/runs", json={"name": "a", "client_id": name})
        again = owner.post(f"projects/{project.uuid}/runs", json={"name": "a", "client_id": name})
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["uuid"] == again.json()["uuid"]

    def test_simultaneous_requests_with_one_client_id_create_one_run(
        self, owner: Api, project: Project
    ) -> None:
        body = {"name": "a", "client_id": str(uuid4())}
        with ThreadPoolExecutor(4) as pool:
            answers = list(
                pool.map(lambda _: owner.post(f"projects/{project.uuid}/runs", json=body), range(8))
            )
        assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
        assert len({answer.json()["uuid"] for answer in answers}) == 1

    def test_same_client_id_in_another_project_is_another_run(
        self, admin: Api, session: Session, owner: Api, project: Project
    ) -> None:
        name = str(uuid4())
        ours = begin(owner, project, client_id=name)
        theirs = begin(admin, make_project(session), client_id=name)
        assert ours["uuid"] != theirs["uuid"]

    def test_run_can_not_be_submitted_paused_or_retried(
        self, owner: Api, project: Project, run: str
    ) -> None:
        spec = {"name": "x", "spec": {"type": "external"}}
        refused = owner.post(f"projects/{project.uuid}/tasks", json=spec)
        assert refused.json()["code"] == "task.wrong_type"
        assert owner.post(f"tasks/{run}/pause").json()["code"] == "task.not_pausable"
        owner.post(f"tasks/{run}/end", json={"status": "failed"})
        assert owner.post(f"tasks/{run}/retry").json()["code"] == "task.not_retriable"


class TestMetrics:
    def test_points_have_any_key_any_step_and_any_order(self, owner: Api, run: str) -> None:
        points = [("loss", 3, 0.25), ("loss", 1, 1), ("größe/µ \t\\", -7, 1e300), ("loss", 2, -0.0)]
        assert report(owner, run, *points).json() == {
            "accepted": 4,
            "taken": None,
            "status": "running",
            "dropped_bytes": 0,
        }
        assert values(owner, run) == [(1, 1.0), (2, -0.0), (3, 0.25)]
        assert values(owner, run, "größe/µ \t\\") == [(-7, 1e300)]

    @pytest.mark.parametrize("count", [3, 1000])
    def test_nan_and_infinities_are_stored(
        self, owner: Api, run: str, session: Session, count: int
    ) -> None:
        special = [("loss", 1, "NaN"), ("loss", 2, "Infinity"), ("loss", 3, "-Infinity")]
        others = [("other", step, 0.5) for step in range(count)]
        assert report(owner, run, *special, *others).json()["accepted"] == 3 + count
        assert values(owner, run) == [(1, "NaN"), (2, "Infinity"), (3, "-Infinity")]
        stored = session.scalars(
            select(MetricPoint.value).where(MetricPoint.key == "loss").order_by(MetricPoint.id)
        ).all()[-3:]
        assert math.isnan(stored[0])
        assert list(stored[1:]) == [math.inf, -math.inf]

    @pytest.mark.parametrize("count", [2, 1000])
    def test_times_are_stored_and_default_to_now(self, owner: Api, run: str, count: int) -> None:
        points = [
            {"key": "loss", "step": n, "value": n, "time": 1.5e9 + n / 8} for n in range(count)
        ]
        points.append({"key": "loss", "step": count, "value": 0})
        owner.post(f"tasks/{run}/metrics", json={"points": points})
        series = owner.get(f"tasks/{run}/metrics").json()["series"]["loss"]
        assert [at for _, _, at in series[:-1]] == [1.5e9 + n / 8 for n in range(count)]
        assert abs(series[-1][2] - datetime.now(UTC).timestamp()) < 300

    def test_repeated_step_counts_with_the_value_sent_last(self, owner: Api, run: str) -> None:
        report(owner, run, ("loss", 1, 5), ("loss", 1, 4))
        report(owner, run, ("loss", 2, 3), ("loss", 1, 2))
        assert values(owner, run) == [(1, 2.0), (2, 3.0)]

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b'{"points": [{"key": "", "step": 1, "value": 1}]}',
            b'{"points": [{"key": "loss", "step": 1.5, "value": 1}]}',
            b'{"points": [{"key": "loss", "step": 9007199254740992, "value": 1}]}',
            b'{"points": [{"key": "loss", "step": 1, "value": "nine"}]}',
            b'{"points": [{"key": "loss", "step": 1, "value": null}]}',
            b'{"points": [{"key": "loss", "step": 1, "value": 1, "time": -1}]}',
            b'{"points": [], "first": 1}',
            b'{"points": [{"key": "\xff", "step": 1, "value": 1}]}',
        ],
    )
    def test_malformed_points_refuse_the_whole_request(
        self, owner: Api, run: str, body: bytes
    ) -> None:
        answer = owner.post(f"tasks/{run}/metrics", content=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["code"] == "metric.malformed_points"
        assert values(owner, run) == []

    @pytest.mark.parametrize("count", [3, 900])
    def test_numbered_points_are_stored_once(self, owner: Api, run: str, count: int) -> None:
        writer = str(uuid4())
        points = [("loss", step, float(step)) for step in range(count)]
        first = report(owner, run, *points, writer=writer, first=1)
        assert first.json() == {
            "accepted": count,
            "taken": count,
            "status": "running",
            "dropped_bytes": 0,
        }
        again = report(owner, run, *points, writer=writer, first=1)
        assert (again.json()["accepted"], again.json()["taken"]) == (0, count)
        more = report(owner, run, points[-1], ("loss", count, 1.0), writer=writer, first=count)
        assert (more.json()["accepted"], more.json()["taken"]) == (1, count + 1)
        gap = report(owner, run, ("loss", 0, 9.0), writer=writer, first=count + 3)
        assert (gap.status_code, gap.json()["code"]) == (409, "run.records_missing")
        assert gap.json()["expected"] == count + 2
        other = report(owner, run, ("loss", 0, 9.0), writer=str(uuid4()), first=1)
        assert other.json()["accepted"] == 1

    def test_report_for_a_task_of_a_worker_is_refused(
        self, owner: Api, project: Project, session: Session
    ) -> None:
        task = make_task(session, project, status=TaskStatus.RUNNING)
        for answer in (
            report(owner, str(task.uuid), ("loss", 1, 1.0)),
            owner.post(f"tasks/{task.uuid}/logs", json={"lines": [{"text": "x"}]}),
            owner.post(f"tasks/{task.uuid}/heartbeat", json={}),
            owner.post(f"tasks/{task.uuid}/end", json={"status": "completed"}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "run.not_reported_here")
        assert values(owner, str(task.uuid)) == []


class TestPermissions:
    def test_report_needs_tasks_write_in_the_project(
        self, api: Apis, session: Session, project: Project, run: str
    ) -> None:
        viewer, developer = (
            make_member(session, project, role) for role in ("viewer", "developer")
        )
        outsider = make_project(session).owner_id
        point = ("loss", 1, 1.0)
        assert report(api(None), run, point).status_code == 401
        assert report(api(session.get_one(User, outsider)), run, point).status_code == 404
        assert report(api(viewer), run, point).status_code == 403
        assert report(api(developer), run, point).status_code == 200
        denied = session.execute(
            text("SELECT details->>'permission' FROM audit_logs WHERE action = 'access:denied'"
                 " AND user_id = :user"), {"user": viewer.id},
        ).scalars().all()  # fmt: skip
        assert denied == ["tasks:write"]

    def test_report_with_an_api_key_needs_the_scope(
        self, client: Any, session: Session, project: Project, run: str
    ) -> None:
        owner = session.get_one(User, project.owner_id)
        for scope, status in (("tasks:write", 200), ("tasks:read", 403)):
            token = f"aip_key_{uuid4().hex}"
            make_key(session, owner, scope, token=token)
            for _ in range(2):  # the first use of a key takes a different code path
                assert report(Api(client, token), run, ("loss", 1, 1.0)).status_code == status

    def test_report_after_the_session_ended_is_refused(
        self, owner: Api, session: Session, project: Project, run: str
    ) -> None:
        assert report(owner, run, ("loss", 1, 1.0)).status_code == 200
        for login in session.scalars(
            select(AuthSession).where(AuthSession.user_id == project.owner_id)
        ):
            login.ended_at = func.clock_timestamp()
        session.commit()
        assert report(owner, run, ("loss", 2, 1.0)).status_code == 401

    def test_archived_project_accepts_the_end_but_no_points(
        self, owner: Api, project: Project, run: str
    ) -> None:
        assert owner.post(f"projects/{project.uuid}/archive").status_code == 200
        refused = report(owner, run, ("loss", 1, 1.0))
        assert (refused.status_code, refused.json()["code"]) == (409, "project.archived")
        assert owner.post(f"tasks/{run}/heartbeat", json={}).json()["status"] == "cancelling"
        assert owner.post(f"tasks/{run}/end", json={"status": "cancelled"}).status_code == 200


class TestEnd:
    def test_completed_run_gets_a_summary_of_its_series(
        self, owner: Api, project: Project, session: Session
    ) -> None:
        experiment = make_experiment(session, project)
        run = begin(owner, project, experiment=str(experiment.uuid))["uuid"]
        report(owner, run, ("loss", 1, 3.0), ("loss", 2, 1.0), ("loss", 3, 2.0), ("lr", 1, 0.1))
        ended = owner.post(f"tasks/{run}/end", json={"status": "completed", "result": {"rows": 7}})
        assert (ended.json()["status"], ended.json()["progress"]) == ("completed", 1.0)
        loss = ended.json()["result"]["metrics"]["loss"]
        expected = {"points": 3, "first": 3.0, "first_step": 1, "last": 2.0, "last_step": 3}
        expected |= {"min": 1.0, "min_step": 2, "max": 3.0, "max_step": 1}
        assert loss == {**expected, "best": 1.0, "best_step": 2}
        assert "best" not in ended.json()["result"]["metrics"]["lr"]
        assert ended.json()["result"]["rows"] == 7
        session.expire_all()
        kept = session.get_one(Experiment, experiment.id).metrics
        assert kept["runs"][0]["metrics"]["loss"] == loss
        assert kept["train_loss_last"] == 2.0

    def test_repeated_end_is_accepted_and_a_different_one_refused(
        self, owner: Api, run: str
    ) -> None:
        end = {"status": "failed", "error": "ValueError: no"}
        for _ in range(2):
            answer = owner.post(f"tasks/{run}/end", json=end)
            assert (answer.status_code, answer.json()["error_message"]) == (200, end["error"])
        other = owner.post(f"tasks/{run}/end", json={"status": "completed"})
        assert (other.status_code, other.json()["code"]) == (409, "task.finished")
        assert report(owner, run, ("loss", 1, 1.0)).json()["code"] == "task.finished"

    def test_cancel_request_is_returned_by_the_next_report(self, owner: Api, run: str) -> None:
        assert owner.post(f"tasks/{run}/cancel").json()["status"] == "cancelling"
        assert report(owner, run, ("loss", 1, 1.0)).json()["status"] == "cancelling"
        assert owner.post(f"tasks/{run}/heartbeat", json={}).json()["status"] == "cancelling"
        line = owner.post(f"tasks/{run}/logs", json={"lines": [{"text": "bye"}]})
        assert line.json()["status"] == "cancelling"
        assert owner.post(f"tasks/{run}/end", json={"status": "cancelled"}).status_code == 200

    def test_heartbeat_stores_the_progress(self, owner: Api, run: str) -> None:
        owner.post(f"tasks/{run}/heartbeat", json={"progress": 0.25})
        assert owner.get(f"tasks/{run}").json()["progress"] == 0.25


def test_repeated_numbered_log_lines_are_stored_once(owner: Api, run: str) -> None:
    writer = str(uuid4())
    lines = [{"text": "one"}, {"text": "two", "stream": "stderr"}, {"text": "three\x00"}]
    body = {"lines": lines, "writer": writer, "first": 1}
    for accepted in (3, 0):
        answer = owner.post(f"tasks/{run}/logs", json=body).json()
        assert (answer["accepted"], answer["taken"]) == (accepted, 3)
    chunks = owner.get(f"tasks/{run}/logs").json()["items"]
    assert [(chunk["stream"], chunk["text"]) for chunk in chunks] == [
        ("stdout", "one\n"),
        ("stderr", "two\n"),
        ("stdout", "three\ufffd\n"),
    ]


def test_simultaneous_reports_of_several_users_are_answered_separately(
    api: Apis, client: Any, session: Session, owner: Api, project: Project
) -> None:
    """Put valid and rejected requests of several users and runs into one batch."""
    from concurrent.futures import ThreadPoolExecutor

    runs = [begin(owner, project)["uuid"] for _ in range(4)]
    outsider = api(session.get_one(User, make_project(session).owner_id))
    owner.post(f"tasks/{runs[3]}/end", json={"status": "completed"})

    def send(number: int) -> int:
        who = outsider if number % 5 == 0 else owner
        run = runs[number % 4]
        return report(who, run, ("loss", number, float(number))).status_code

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(send, range(200)))
    expected = [404 if n % 5 == 0 else 409 if n % 4 == 3 else 200 for n in range(200)]
    assert found == expected
    for place, run in enumerate(runs[:3]):
        steps = [n for n in range(200) if n % 4 == place and n % 5]
        assert [step for step, _ in values(owner, run)] == steps


def test_run_may_start_before_it_is_registered(owner: Api, project: Project) -> None:
    began = datetime.now(UTC) - timedelta(days=3)
    task = begin(owner, project, started_at=began.isoformat())
    assert datetime.fromisoformat(task["started_at"]) == began


def test_deleted_task_deletes_the_run(session: Session, owner: Api, run: str) -> None:
    task = session.scalars(select(Task).where(Task.uuid == run)).one()
    report(owner, run, ("loss", 1, 1.0))
    session.execute(text("DELETE FROM tasks WHERE id = :id"), {"id": task.id})
    session.commit()
    assert report(owner, run, ("loss", 1, 1.0)).status_code == 404
