"""Tests of the reaper, which expires leases by its own clock and resends lost wake-ups."""

from collections.abc import Callable
from types import SimpleNamespace
from uuid import uuid4

import pytest
from celery import states
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from aiplatform.protocol.specs import ExternalSpec
from aiplatform.server.core.broker import get_celery
from aiplatform.server.core.database import commit, transaction
from aiplatform.server.core.encryption import KeyFileUnusable
from aiplatform.server.core.results import CeleryTask, DatabaseBackend
from aiplatform.server.core.settings import get_settings
from aiplatform.server.execution import jobs
from aiplatform.server.execution.service import attempts, external, periodic, reaper, workers
from aiplatform.server.execution.service.reaper import Reaper
from aiplatform.server.notifications import jobs as notifications_jobs
from aiplatform.server.queue.models import Task, TaskLease, Worker
from tests.conftest import environment
from tests.factories import make_context, make_task

LEASE = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    queues: list[str] = []
    monkeypatch.setattr(reaper, "send", lambda name, to, **_: queues.append(to))
    return queues


def run_for(reaper: Reaper, clock: Clock, seconds: float) -> list[int]:
    """Simulate a reaper that runs every two seconds; return the tasks with expired leases."""
    expired: list[int] = []
    for _ in range(round(seconds / 2)):
        clock.now += 2
        expired += reaper.run_round()
    return expired


@pytest.fixture
def held(session: Session, submit: Callable[..., Task], make_worker: Callable[..., int]):
    submit()
    claimed = attempts.claim_next(session, make_worker(), ["default"])
    commit(session)
    return claimed


def test_lease_expires_after_a_whole_lease_without_renewal(session, held, make_worker, clock, sent):
    reaper = Reaper(LEASE, clock)
    assert run_for(reaper, clock, LEASE - 2) == []
    assert run_for(reaper, clock, 6) == [held.task_id]
    session.expire_all()
    assert session.get_one(Task, held.task_id).status == "pending"
    make_worker("another")
    run_for(reaper, clock, 2)
    assert sent, "a waiting task is announced again"


@pytest.fixture
def cannot_end(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that makes it an error to end an attempt of the given task."""

    def cannot_end(task_id: int) -> None:
        close = attempts.close

        def refusing(session: Session, claimed: attempts.Claim, *rest: object) -> None:
            close(session, claimed, *rest)
            if claimed.task_id == task_id:
                raise KeyError("its row is broken")

        monkeypatch.setattr(attempts, "close", refusing)

    return cannot_end


def test_lease_that_can_not_be_ended_does_not_keep_others(
    session, submit, make_worker, cannot_end, clock, sent
):
    worker = make_worker()
    broken, fine = [submit() and attempts.claim_next(session, worker, ["default"]) for _ in "ab"]
    commit(session)
    cannot_end(broken.task_id)
    reaper = Reaper(LEASE, clock)
    assert run_for(reaper, clock, LEASE + 4) == [fine.task_id]
    session.expire_all()
    assert session.get_one(Task, fine.task_id).status == "pending"
    assert session.get_one(Task, broken.task_id).status == "running"


def test_worker_starts_although_one_of_its_leases_can_not_be_ended(
    session, submit, make_worker, cannot_end
):
    worker = make_worker()
    broken, fine = [submit() and attempts.claim_next(session, worker, ["default"]) for _ in "ab"]
    commit(session)
    cannot_end(broken.task_id)
    assert make_worker() == worker
    session.expire_all()
    assert session.get_one(Task, fine.task_id).status == "pending"
    assert session.get_one(TaskLease, broken.task_id).worker_id == worker


def test_run_that_can_not_be_given_up_does_not_keep_others(
    client, session, project, submit, clock, sent, monkeypatch
):
    context = make_context(session, project)
    runs = [external.begin(session, context, ExternalSpec(), name=name)[0] for name in "ab"]
    commit(session)
    give_up = external.give_up

    def refusing(session: Session, task_id: int, *rest: object) -> bool:
        if task_id == runs[0].id:
            raise KeyError("its row is broken")
        return give_up(session, task_id, *rest)

    monkeypatch.setattr(external, "give_up", refusing)
    run_for(Reaper(LEASE, clock, run_silence_seconds=60), clock, 64)
    session.expire_all()
    assert [run.status for run in runs] == ["running", "failed"]


def test_renewed_lease_stays(session, held, clock, sent):
    reaper = Reaper(LEASE, clock)
    for _ in range(10):
        assert run_for(reaper, clock, LEASE / 2) == []
        attempts.renew(session, held)
        commit(session)


def test_lease_with_an_old_timestamp_stays(session, held, clock, sent):
    """Simulate a clock step on the database's machine, which must not expire a lease."""
    session.execute(update(TaskLease).values(renewed_at=func.now() - text("interval '1 year'")))
    session.commit()
    assert run_for(Reaper(LEASE, clock), clock, LEASE / 2) == []


def test_time_in_which_the_reaper_could_not_look_does_not_count(session, held, clock, sent):
    reaper = Reaper(LEASE, clock)
    run_for(reaper, clock, 10)
    clock.now += 3600  # the machine was suspended, or the database could not be reached
    assert run_for(reaper, clock, 10) == []


def test_new_reaper_starts_without_memory(held, clock, sent):
    assert run_for(Reaper(LEASE, clock), clock, LEASE - 4) == []
    assert run_for(Reaper(LEASE, clock), clock, LEASE - 4) == []


def test_silent_worker_is_marked_as_stopped(session, make_worker, clock, sent):
    silent, alive = make_worker("silent"), make_worker("alive")
    reaper = Reaper(LEASE, clock)
    for _ in range(40):
        run_for(reaper, clock, 2)
        workers.heartbeat(session, alive)
        commit(session)
    session.expire_all()
    assert session.get_one(Worker, silent).stopped_at is not None
    assert session.get_one(Worker, alive).stopped_at is None


def test_wake_ups_of_lost_workers_are_marked_as_failed(session, make_worker, clock, sent):
    """Let workers fall silent, restart or sign off; no wake-up may keep the status STARTED."""
    began = {}
    for name in ("silent", "again", "off"):
        make_worker(name)
        began[name] = str(uuid4())
        request = SimpleNamespace(task="wake", args=[], kwargs={}, hostname=f"celery@{name}")
        backend = DatabaseBackend(app=get_celery())
        backend.store_result(began[name], None, states.STARTED, request=request)
    with transaction() as own:
        again = workers.register(own, "again", ["default"], workers.Capacity(1, 1024))
        off = own.scalar(select(Worker.id).where(Worker.name == "off"))
        workers.sign_off(own, off)
    reaper = Reaper(LEASE, clock)
    for _ in range(40):
        run_for(reaper, clock, 2)
        workers.heartbeat(session, again)
        commit(session)
    rows = session.execute(select(CeleryTask.status).where(CeleryTask.id.in_(began.values())))
    assert rows.scalars().all() == ["FAILURE"] * 3


def test_task_without_a_project_is_cancelled(session, kind, clock, sent):
    orphan = make_task(session, None)
    Reaper(LEASE, clock).run_round()
    session.refresh(orphan)
    assert orphan.status == "cancelled"


def test_wake_ups_are_limited_by_tasks_and_free_cores(session, submit, make_worker, sent):
    for _ in range(5):
        submit()
    for _ in range(12):
        submit(queue="gpu")
    make_worker("small", cpus=3)
    make_worker("large", cpus=64, queues=["gpu"])
    reaper.wake_idle_workers()
    assert sent.count("tasks.default") == 3
    assert sent.count("tasks.gpu") == reaper.MAX_WAKE_UPS


def test_full_worker_is_woken_once_because_its_tasks_may_need_less(
    session, submit, make_worker, sent
):
    submit(resources={"cpus": 2})
    submit()
    assert attempts.claim_next(session, make_worker(cpus=2), ["default"]) is not None
    commit(session)
    reaper.wake_idle_workers()
    assert sent == ["tasks.default"]


@pytest.mark.parametrize("state", ["cordoned", "draining", None])
def test_queue_without_an_active_worker_gets_no_wake_ups(session, submit, make_worker, sent, state):
    submit(queue="gpu")
    worker = make_worker(queues=["gpu"] if state else ["default"])
    session.get_one(Worker, worker).state = state or "active"
    session.commit()
    reaper.wake_idle_workers()
    assert sent == []


def test_restarted_worker_requeues_what_it_held(session, held, make_worker):
    make_worker()
    session.expire_all()
    assert session.get_one(Task, held.task_id).status == "pending"
    assert session.scalars(select(TaskLease)).all() == []


@pytest.mark.parametrize("error", [KeyFileUnusable("it is gone"), RuntimeError("a fault")])
def test_error_does_not_end_the_reaper_thread(
    client: object, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Check that the next round runs, because the error may have been temporary."""
    turns: list[int] = []
    with environment(AIPLATFORM_REAPER_SECONDS="0.2"):
        process = jobs.WorkerProcess(get_settings())

        def turn() -> None:
            turns.append(1)
            if len(turns) == 2:
                process.stopped.set()
            raise error

        monkeypatch.setattr(notifications_jobs, "send_due", turn)
        process._run_reaper()
    assert len(turns) == 2


@pytest.mark.parametrize("place", ["adopt_orphans", "do_chores"])
def test_failing_hourly_work_does_not_keep_leases_from_expiring(
    client: object, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Check that the reaper is kept, because a new one would measure lease ages from zero."""
    reapers: list[Reaper] = []
    looks: list[int] = []
    with environment(AIPLATFORM_REAPER_SECONDS="0.2"):
        process = jobs.WorkerProcess(get_settings())

        def round_(reaper: Reaper) -> None:
            reapers.append(reaper)
            looks.append(1)
            if len(looks) == 5:
                process.stopped.set()

        def fail(*_: object) -> None:
            raise OSError("the spool is gone")

        monkeypatch.setattr(Reaper, "run_round", round_)
        monkeypatch.setattr(jobs, place, fail)
        process._run_reaper()
    # An error outside the chores makes the reaper restart once, not in each round.
    assert len(set(map(id, reapers))) <= (1 if place == "adopt_orphans" else 2)


def test_failing_chore_does_not_keep_the_next_from_running() -> None:
    done: list[str] = []

    def fail() -> None:
        raise RuntimeError("a fault")

    periodic.do_each({"first": fail, "second": lambda: done.append("second")})
    assert done == ["second"]
