"""Tests of the queue: submission, transitions, concurrent claims, leases, cancellation."""

import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.audit import SYSTEM, AuditLog
from aiplatform.server.core.database import commit, transaction
from aiplatform.server.execution.service import attempts
from aiplatform.server.projects.models import Project, ProjectQuota
from aiplatform.server.queue import queries
from aiplatform.server.queue.errors import LostLease, TaskFinished
from aiplatform.server.queue.models import Task, TaskAttempt, TaskEvent, TaskLease, TaskScheduling
from aiplatform.server.queue.queries import waiting
from aiplatform.server.queue.rules import TRANSITIONS, may_become
from aiplatform.server.queue.service import queue
from aiplatform.server.queue.service.kinds import Outcome
from tests.factories import make_project, make_task

Submit = Callable[..., Task]
MakeWorker = Callable[..., int]


def claim(session: Session, worker_id: int, queues: tuple[str, ...] = ("default",)):
    claimed = attempts.claim_next(session, worker_id, queues)
    commit(session)
    return claimed


def test_final_states_have_no_transitions():
    for status in TaskStatus:
        assert status.is_final == (not TRANSITIONS[status])
    assert may_become(TaskStatus.PENDING, TaskStatus.RUNNING)
    assert not may_become(TaskStatus.COMPLETED, TaskStatus.RUNNING)


def test_only_given_up_runs_change_after_their_end():
    for before in TaskStatus:
        for after in TaskStatus:
            step = may_become(before, after, given_up=True)
            corrects = before is TaskStatus.FAILED and after.is_final
            assert step == (corrects or may_become(before, after))
            assert not (before.is_final and may_become(before, after))


def test_submission_writes_row_event_and_audit_entry(session: Session, submit: Submit):
    task = submit()
    assert task.status == "pending"
    assert task.config["type"] == "data_quality"
    event = session.scalars(select(TaskEvent).where(TaskEvent.task_id == task.id)).one()
    assert event.kind == "submitted"
    row = session.scalars(select(AuditLog).where(AuditLog.resource_id == str(task.uuid))).one()
    assert row.action == "task:submitted"


def test_gpus_are_leased_by_index_and_freed(
    session: Session, submit: Submit, make_worker: MakeWorker
):
    worker = make_worker(cpus=8, gpus=3)
    for _ in range(2):
        submit(resources={"gpus": 2, "cpus": 1})
    first = claim(session, worker)
    assert first.gpu_indices == (0, 1)
    assert claim(session, worker) is None
    attempts.end_attempt(session, first, Outcome(TaskStatus.COMPLETED))
    commit(session)
    assert claim(session, worker).gpu_indices == (0, 1)


def test_leases_of_a_worker_are_read_under_its_lock(
    session: Session, submit: Submit, make_worker: MakeWorker
):
    """Check that a GPU leased by the first claim is not free for a claim in another thread."""
    worker = make_worker(cpus=8, gpus=1)
    for _ in range(2):
        submit(resources={"gpus": 1, "cpus": 1})
    answers = []

    def other_thread() -> None:
        with transaction() as own:
            answers.append(attempts.claim_next(own, worker, ("default",)))

    assert attempts.claim_next(session, worker, ("default",)).gpu_indices == (0,)
    other = threading.Thread(target=other_thread)
    other.start()
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
    deadline = time.monotonic() + 20
    while not session.scalar(text(waits)):
        assert time.monotonic() < deadline, "it does not wait for the worker's row"
        time.sleep(0.01)
    commit(session)
    other.join()
    assert answers == [None]


def test_start_is_sent_together_with_its_pick_unless_a_check_is_needed(
    session: Session,
    submit: Submit,
    make_worker: MakeWorker,
    project: Project,
    sent: list[tuple[str, bool]],
):
    named = {waiting.STATEMENTS[name].text: name for name in ("pick", "start")}
    names = {" ".join(statement.split()): name for statement, name in named.items()}
    worker = make_worker(cpus=8, gpus=1)
    tasks = [submit(priority=9), submit(priority=8, resources={"gpus": 1}), submit(priority=7)]
    together = [("pick", True), ("start", True)]
    for task, alone, limit in zip(tasks, [False, True, True], [None, None, 3], strict=True):
        session.add_all([ProjectQuota(project_id=project.id, concurrent_tasks=limit)] * bool(limit))
        session.commit()
        sent.clear()
        assert attempts.claim_next(session, worker, ("default",)).task_id == task.id
        starts = [(names[words], at_once) for words, at_once in sent if words in names]
        assert starts == together + [("start", False)] * alone
        commit(session)
    # Each task was started once, with its own attempt.
    begun = session.execute(select(TaskAttempt.task_id, TaskAttempt.attempt)).all()
    assert sorted(begun) == sorted((task.id, 1) for task in tasks)


def test_start_writes_each_row_once(session: Session, submit: Submit, make_worker: MakeWorker):
    """Check that the trigger on a task's status causes no second update of its scheduling row."""
    submit()
    worker = make_worker()
    written = text(
        "SELECT relname, n_tup_upd FROM pg_stat_xact_user_tables "
        "WHERE relname IN ('tasks', 'task_scheduling')"
    )
    before = dict(session.execute(written).all())  # may count earlier updates, too
    assert attempts.claim_next(session, worker, ("default",)) is not None
    after = dict(session.execute(written).all())
    assert {table: after[table] - before[table] for table in after} == {
        "tasks": 1,
        "task_scheduling": 1,
    }


def test_claim_ignores_other_queues_and_tasks_without_a_project(
    session: Session, submit: Submit, make_worker: MakeWorker
):
    submit(queue="gpu")
    make_task(session, None)
    assert claim(session, make_worker()) is None
    assert claim(session, make_worker(), ("gpu",)) is not None


def test_concurrent_claims_take_each_task_once(submit: Submit, make_worker: MakeWorker):
    tasks = {submit().id for _ in range(24)}
    ids = [make_worker(f"w{n}", cpus=6) for n in range(6)]
    taken: list[int] = []

    def work(worker_id: int) -> None:
        while True:
            with transaction() as own:
                claimed = attempts.claim_next(own, worker_id, ["default"])
            if claimed is None:
                return
            taken.append(claimed.task_id)

    threads = [threading.Thread(target=work, args=(i,)) for i in ids for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken))
    # Two threads that raced for the last core of a worker may both have stopped early.
    with transaction() as own:
        for worker_id in ids:
            held = queries.leases_of(own, worker_id)
            assert sum(lease.cpus for lease in held) <= 6
        left = {t.id for t in own.scalars(select(Task).where(Task.status == "pending"))}
    assert left | set(taken) == tasks


def test_cancelled_waiting_task_ends_at_once(session: Session, submit: Submit, kind):
    task = submit()
    queue.request_cancel(session, SYSTEM, task)
    commit(session)
    assert task.status == "cancelled"
    assert task.completed_at is not None
    assert kind.told == ["cancelled"]
    with pytest.raises(TaskFinished):
        queue.request_cancel(session, SYSTEM, task)


def test_cancelled_running_task_is_asked_to_stop(
    session: Session, submit: Submit, make_worker: MakeWorker
):
    task = submit()
    held = claim(session, make_worker())
    queue.request_cancel(session, SYSTEM, task)
    queue.request_cancel(session, SYSTEM, task)  # asking twice is no error
    commit(session)
    assert task.status == "cancelling"
    assert attempts.write_telemetry(session, held) is TaskStatus.CANCELLING


def test_deleting_a_project_stops_its_tasks(
    session: Session, submit: Submit, make_worker: MakeWorker, project: Project
):
    running, waiting = submit(priority=9), submit()
    claim(session, make_worker(cpus=1))
    other = make_task(session, make_project(session))
    queue.cancel_project_tasks(session, SYSTEM, project.id, project.uuid)
    commit(session)
    assert (running.status, waiting.status) == ("cancelling", "cancelled")
    assert session.get_one(Task, other.id).status == "pending"


def test_writes_with_an_old_fencing_number_are_refused(
    session: Session, submit: Submit, make_worker: MakeWorker
):
    task = submit()
    worker = make_worker()
    stale = claim(session, worker)
    assert attempts.expire(session, task.id, stale.fence, "lost")
    commit(session)
    current = claim(session, worker)
    assert (current.attempt, current.fence) == (2, 2)
    for write in (
        lambda: attempts.renew(session, stale),
        lambda: attempts.write_telemetry(session, stale),
        lambda: attempts.add_checkpoint(session, stale, 1, []),
        lambda: attempts.end_attempt(session, stale, Outcome(TaskStatus.COMPLETED)),
        lambda: attempts.release(session, stale, "stopped"),
        lambda: attempts.set_ready(session, stale, "unix:/x", "token"),
    ):
        with pytest.raises(LostLease):
            write()
        session.rollback()
    attempts.end_attempt(session, current, Outcome(TaskStatus.COMPLETED, result={"x": 1}))
    commit(session)
    rows = session.scalars(select(TaskAttempt).order_by(TaskAttempt.attempt)).all()
    assert [row.outcome for row in rows if row.task_id == task.id] == ["lost", "completed"]
    assert session.get(TaskLease, task.id) is None


def test_task_without_attempts_left_fails(
    session: Session, submit: Submit, make_worker: MakeWorker, kind
):
    task = submit(max_attempts=2)
    worker = make_worker()
    for _ in range(2):
        held = claim(session, worker)
        assert attempts.expire(session, task.id, held.fence, "the worker was lost")
        commit(session)
    session.refresh(task)
    assert task.status == "failed"
    assert task.error_message == "the worker was lost"
    assert kind.told == ["started", "requeued", "started", "failed"]


def test_released_attempt_does_not_count_as_a_failure(
    session: Session, submit: Submit, make_worker: MakeWorker
):
    task = submit(max_attempts=1)
    worker = make_worker()
    for _ in range(3):
        attempts.release(session, claim(session, worker), "the worker was stopped")
        commit(session)
    session.refresh(task)
    assert task.status == "pending"


def test_task_with_a_later_start_waits(session: Session, submit: Submit, make_worker: MakeWorker):
    from sqlalchemy import func, text

    task = submit()
    later = update(TaskScheduling).where(TaskScheduling.task_id == task.id)
    session.execute(later.values(not_before=func.now() + text("interval '1 hour'")))
    session.commit()
    worker = make_worker()
    assert claim(session, worker) is None
    session.execute(later.values(not_before=func.now() - text("interval '1 second'")))
    session.commit()
    assert claim(session, worker) is not None
