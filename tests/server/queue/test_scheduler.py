"""Tests of the scheduler: fair shares, reservations, devices, labels, and moved tasks."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.database import commit, transaction
from aiplatform.server.execution.service import attempts
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue import queries
from aiplatform.server.queue.errors import NoWorkerCanRun
from aiplatform.server.queue.models import Task, TaskReservation, TaskScheduling, Worker
from aiplatform.server.queue.rules import Device
from aiplatform.server.queue.service.kinds import Outcome
from tests.conftest import Api
from tests.factories import make_project, make_task

Submit = Callable[..., Task]
MakeWorker = Callable[..., int]


def claim(session: Session, worker_id: int, *queues: str) -> Any:
    claimed = attempts.claim_next(session, worker_id, queues or ("default",))
    commit(session)
    return claimed


def end(session: Session, claimed: Any) -> None:
    attempts.end_attempt(session, claimed, Outcome(TaskStatus.COMPLETED))
    commit(session)


@pytest.fixture
def owner(api: Callable[[User | None], Api], session: Session, project: Project) -> Api:
    return api(session.get_one(User, project.owner_id))


def test_projects_take_turns(session: Session, kind, make_worker: MakeWorker):
    """Check that the project with the least usage goes first, however many tasks others queue."""
    busy, modest = make_project(session), make_project(session)
    for _ in range(3):
        make_task(session, busy)
    for _ in range(3):
        make_task(session, modest)
    worker = make_worker(cpus=100)
    taken = [session.get_one(Task, claim(session, worker).task_id).project_id for _ in range(6)]
    # At first no project has used anything, so age decides; then the lower usage decides.
    assert taken[:2] == [busy.id, modest.id]
    assert sorted(taken[2:4]) == sorted((busy.id, modest.id))
    assert sorted(taken) == sorted([busy.id, modest.id] * 3)


def test_project_usage_follows_its_leases(
    session: Session, submit: Submit, make_worker, project: Project
):
    submit(resources={"cpus": 1, "gpus": 2})
    held = claim(session, make_worker(gpus=4))

    def usage() -> Any:
        return session.execute(
            text("SELECT rate, running, gpus, usage FROM project_usage WHERE project_id = :p"),
            {"p": project.id},
        ).one()

    assert usage()[:3] == (16, 1, 2)
    end(session, held)
    rate, running, gpus, used = usage()
    assert (rate, running, gpus) == (0, 0, 0)
    assert 0 < used < 16 * 30


def test_large_task_reserves_the_next_room(
    session: Session, submit: Submit, make_worker: MakeWorker
):
    """Check that small tasks, however many, can't keep an earlier large task waiting."""
    worker = make_worker(cpus=4)
    running = [submit(resources={"cpus": 2}) for _ in range(2)]
    held = [claim(session, worker) for _ in running]
    large = submit(resources={"cpus": 4})
    small = [submit(resources={"cpus": 1}) for _ in range(4)]
    end(session, held[0])
    assert claim(session, worker) is None, "two cores are free, and kept"
    assert session.scalars(select(TaskReservation.task_id)).all() == [large.id]
    end(session, held[1])
    taken = claim(session, worker)
    assert taken.task_id == large.id
    assert session.scalars(select(TaskReservation)).all() == []
    end(session, taken)
    assert claim(session, worker).task_id == small[0].id


def test_resources_beyond_the_reservation_are_used(
    session: Session, submit: Submit, make_worker: MakeWorker
):
    worker = make_worker(cpus=4, gpus=2)
    submit(resources={"cpus": 1, "gpus": 1})
    claim(session, worker)
    large = submit(resources={"cpus": 1, "gpus": 2})
    submit(resources={"cpus": 1, "gpus": 1})
    modest = [submit(resources={"cpus": 1}) for _ in range(3)]
    assert claim(session, worker).task_id == modest[0].id
    assert [claim(session, worker).task_id for _ in modest[1:]] == [t.id for t in modest[1:]]
    assert claim(session, worker) is None, "the free GPU is the large one's"
    assert session.get_one(Task, large.id).status == "pending"


def test_one_worker_reserves_room_while_the_others_work_on(
    session: Session, submit: Submit, make_worker: MakeWorker
):
    near, far = make_worker("near", cpus=4), make_worker("far", cpus=4)
    for cpus, worker in ((1, near), (4, far)):
        submit(resources={"cpus": cpus})
        claim(session, worker)
    large = submit(resources={"cpus": 4})
    small = [submit(resources={"cpus": 1}) for _ in range(3)]
    assert claim(session, far) is None
    assert session.scalars(select(TaskReservation.worker_id)).all() == [far]
    # The other worker is closer to fitting the task, so the reservation moves there; a third worker
    # keeps working.
    assert claim(session, near) is None
    assert session.scalars(select(TaskReservation.worker_id)).all() == [near]
    third = make_worker("third", cpus=2)
    assert claim(session, third).task_id == small[0].id
    assert session.get_one(Task, large.id).status == "pending"


def test_reservation_moves_when_its_worker_has_stopped(
    session: Session, submit: Submit, make_worker: MakeWorker
):
    lost, other = make_worker("lost", cpus=4), make_worker("other", cpus=4)
    for worker in (lost, other):
        submit(resources={"cpus": 1})
        claim(session, worker)
    submit(resources={"cpus": 4})
    submit(resources={"cpus": 1})
    assert claim(session, lost) is None
    session.execute(text("UPDATE workers SET stopped_at = now() WHERE id = :id"), {"id": lost})
    session.commit()
    assert claim(session, other) is None
    assert session.scalars(select(TaskReservation.worker_id)).all() == [other]


def test_reservation_locked_by_another_claim_does_not_block(
    session: Session, submit: Submit, make_worker: MakeWorker
):
    """Check that a claim does not wait for a reservation that another transaction has locked."""
    worker, other = make_worker("worker", cpus=4), make_worker("other", cpus=4)
    submit(resources={"cpus": 1})
    claim(session, other)
    large = submit(resources={"cpus": 4})
    assert claim(session, other) is None
    with transaction() as moving:
        moving.execute(select(TaskReservation).with_for_update())
        session.execute(text("SET LOCAL lock_timeout = '2s'"))
        assert claim(session, worker).task_id == large.id


def test_urgent_task_starts_before_the_one_with_a_reservation(
    session: Session, submit: Submit, make_worker: MakeWorker
):
    worker = make_worker(cpus=2)
    submit()
    claim(session, worker)
    submit(resources={"cpus": 2})
    submit()
    assert claim(session, worker) is None
    urgent = submit(priority=9)
    assert claim(session, worker).task_id == urgent.id


def test_devices_are_leased_by_memory_and_slots_by_id(
    session: Session, submit: Submit, make_worker: MakeWorker
):
    devices = (Device("0", 40_960), Device("0", 40_960), Device("MIG-7", 10_240))
    worker = make_worker(devices=devices)
    submit(resources={"cpus": 1, "gpus": 1})
    submit(resources={"cpus": 1, "gpus": 2, "gpu_memory_mb": 20_000})
    first, second = claim(session, worker), claim(session, worker)
    assert (first.gpu_indices, first.devices) == ((2,), ("MIG-7",))
    assert (second.gpu_indices, second.devices) == ((0, 1), ("0",))


def test_task_with_labels_runs_on_a_worker_that_has_them(
    session: Session, submit: Submit, make_worker: MakeWorker
):
    plain = make_worker("plain")
    labelled = make_worker("labelled", labels=("gpu:a100", "team-x"))
    task = submit(labels=["gpu:a100"])
    assert claim(session, plain) is None
    assert claim(session, labelled).task_id == task.id


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({"resources": {"gpus": 4}}, "needs 4 GPUs, the largest worker has 1"),
        ({"queue": "nightly"}, "no worker serves the queue nightly"),
        ({"labels": ["gpu:h100"]}, "no worker offers gpu:h100"),
    ],
)
def test_submission_that_no_worker_can_run_is_refused(
    submit: Submit, make_worker, options, missing
):
    make_worker(gpus=1)
    with pytest.raises(NoWorkerCanRun, match=missing):
        submit(**options)


def test_waiting_task_shows_the_reason(session: Session, submit: Submit, make_worker, owner: Api):
    worker = make_worker(cpus=8, gpus=4)
    submit(resources={"cpus": 1, "gpus": 4})
    claim(session, worker)
    for _ in range(2):
        submit(resources={"cpus": 1, "gpus": 4})
    last = submit(resources={"cpus": 1, "gpus": 1})
    one = owner.get(f"tasks/{last.uuid}").json()
    assert one["position"] == 3
    assert one["waiting"]["ahead"] == 2
    full = "2 ahead; needs 1 GPU, 0 of 4 free: quality report scripted"
    assert one["waiting"]["reason"] == full
    assert "前面还有 2 个任务" in one["waiting"]["reason_zh"]
    project = one["project"]
    listed = owner.get(f"projects/{project}/tasks").json()["items"]
    assert {t["uuid"]: t["waiting"] for t in listed}[str(last.uuid)] == one["waiting"]
    assert listed[-1]["waiting"] is None, "it runs"


def test_priority_is_changed_only_while_waiting(session: Session, submit, make_worker, owner: Api):
    first, second = submit(), submit()
    path = f"tasks/{second.uuid}"
    read = owner.get(path)
    assert owner.patch(path, json={"priority": 8}).status_code == 428
    stale = {"If-Match": '"1"'}
    assert owner.patch(path, json={"priority": 8}, headers=stale).status_code == 412
    changed = owner.patch(path, json={"priority": 8}, headers={"If-Match": read.headers["ETag"]})
    assert (changed.status_code, changed.json()["position"]) == (200, 1)
    assert changed.headers["ETag"] != read.headers["ETag"]
    assert owner.patch(path, json={"priority": 11}, headers={"If-Match": "*"}).status_code == 422
    row = session.scalars(select(AuditLog).where(AuditLog.action == "task:priority_changed")).one()
    assert (row.details["before"], row.details["now"]) == (5, 8)
    worker = make_worker(cpus=1)
    assert claim(session, worker).task_id == second.id
    refused = owner.patch(path, json={"priority": 1}, headers={"If-Match": "*"})
    assert (refused.status_code, refused.json()["code"]) == (409, "task.not_waiting")
    assert session.get_one(Task, first.id).status == "pending"


def order(session: Session) -> list[int]:
    ids = session.execute(select(Task.id, TaskScheduling.queue).join(TaskScheduling)).all()
    places = queries.queue_positions(session, [(row[0], row[1]) for row in ids])
    return sorted(places, key=places.__getitem__)


def test_move_puts_a_task_first_or_before_another(session: Session, submit: Submit, owner: Api):
    a, b, c, d = (submit(priority=p) for p in (7, 5, 5, 2))
    assert order(session) == [a.id, b.id, c.id, d.id]
    moved = owner.post(f"tasks/{d.uuid}/move", json={}).json()
    assert (moved["position"], moved["priority"]) == (1, 7)
    session.rollback()
    assert order(session) == [d.id, a.id, b.id, c.id]
    assert owner.post(f"tasks/{d.uuid}/move", json={}).json()["position"] == 1
    owner.post(f"tasks/{c.uuid}/move", json={"before": str(b.uuid)})
    session.rollback()
    assert order(session) == [d.id, a.id, c.id, b.id]
    owner.post(f"tasks/{a.uuid}/move", json={"before": str(b.uuid)})
    session.rollback()
    assert order(session) == [d.id, c.id, a.id, b.id]
    running = submit()
    session.execute(text("UPDATE tasks SET status = 'running' WHERE id = :id"), {"id": running.id})
    session.commit()
    answer = owner.post(f"tasks/{a.uuid}/move", json={"before": str(running.uuid)})
    assert answer.json()["code"] == "task.not_waiting"


def test_many_moves_into_one_gap_keep_the_order(session: Session, submit: Submit, owner: Api):
    tasks = [submit() for _ in range(3)]
    last = tasks[-1]
    expected = [tasks[0].id, tasks[1].id, last.id]
    for turn in range(60):
        mover = tasks[turn % 2]
        assert owner.post(f"tasks/{mover.uuid}/move", json={"before": str(last.uuid)}).is_success
        expected.remove(mover.id)
        expected.insert(expected.index(last.id), mover.id)
    session.rollback()
    assert order(session) == expected


def test_move_takes_no_place_from_other_projects(session: Session, submit, owner: Api):
    other = make_task(session, make_project(session), priority=9)
    mine = submit(priority=3)
    submit(priority=4)
    moved = owner.post(f"tasks/{mine.uuid}/move", json={}).json()
    assert (moved["position"], moved["priority"]) == (2, 4)
    foreign = owner.post(f"tasks/{mine.uuid}/move", json={"before": str(other.uuid)})
    assert foreign.status_code == 404


def test_old_task_starts_before_newer_ones_of_higher_priority(
    session: Session, submit: Submit, make_worker: MakeWorker
):
    old = submit(priority=1)
    session.execute(
        text("UPDATE task_scheduling SET since = :since WHERE task_id = :id"),
        {
            "since": session.execute(select(func.now())).scalar_one() - timedelta(hours=61),
            "id": old.id,
        },
    )
    submit(priority=10)
    assert claim(session, make_worker()).task_id == old.id


def test_scheduling_copies_follow_the_task(session: Session, submit: Submit):
    task = submit()

    def copies() -> Any:
        return session.execute(
            text("SELECT project_id, priority, waiting FROM task_scheduling WHERE task_id = :id"),
            {"id": task.id},
        ).one()

    assert copies() == (task.project_id, 5, True)
    session.execute(
        text("UPDATE tasks SET priority = 9, status = 'paused' WHERE id = :id"), {"id": task.id}
    )
    assert copies() == (task.project_id, 9, False)
    session.execute(text("UPDATE tasks SET status = 'pending' WHERE id = :id"), {"id": task.id})
    assert copies()[2] is True
    session.execute(text("UPDATE tasks SET project_id = NULL WHERE id = :id"), {"id": task.id})
    assert copies() == (None, 9, False)
    session.rollback()


def test_cordoned_worker_claims_nothing(session: Session, submit: Submit, make_worker):
    worker = make_worker()
    submit()
    session.get_one(Worker, worker).state = "cordoned"
    session.commit()
    assert claim(session, worker) is None
