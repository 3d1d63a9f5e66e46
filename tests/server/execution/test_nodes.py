"""Tests of tasks on several nodes: they start together or not at all, and end together."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.task_options import Resources
from aiplatform.protocol.trainings import SftSpec
from aiplatform.server.core.audit import SYSTEM
from aiplatform.server.core.database import commit, transaction
from aiplatform.server.core.settings import get_settings
from aiplatform.server.execution import runner
from aiplatform.server.execution.service import attempts, nodes, workers
from aiplatform.server.execution.service.attempts import Claim
from aiplatform.server.execution.service.reaper import Reaper
from aiplatform.server.experiments.jobs import Training
from aiplatform.server.projects.models import Project, ProjectQuota
from aiplatform.server.queue import queries
from aiplatform.server.queue.errors import NoWorkerCanRun
from aiplatform.server.queue.models import Task, TaskAttempt, TaskEvent, TaskNode, TaskNodeGroup
from aiplatform.server.queue.rules import Demand, Offer, Room, shortfalls
from aiplatform.server.queue.service import kinds, queue
from aiplatform.server.telemetry.models import LogChunk
from tests.conftest import environment
from tests.factories import make_context
from tests.server.queue.conftest import NOWHERE, ScriptedKind

NO_MODEL = UUID(int=0)
Submit = Callable[..., Task]


@pytest.fixture(autouse=True)
def _at_home(database_url: str) -> Iterator[None]:
    with environment(AIPLATFORM_NODE_HOST="127.0.0.1"):
        yield


@pytest.fixture
def train(
    session: Session, project: Project, kind: ScriptedKind, home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Submit:  # fmt: skip
    """Return a function that queues a training task whose ranks execute ``script``."""
    monkeypatch.setitem(kinds._KINDS, TaskType.TRAINING, kind)
    monkeypatch.setattr(kind, "processes", Training().processes)

    def train(script: str = "", *, nodes: int = 2, **options: Any) -> Task:
        spec = SftSpec(base_model=NO_MODEL, dataset=NOWHERE, nodes=nodes, **options)
        task = queue.submit(session, make_context(session, project), spec, name="on two nodes")
        commit(session)
        (home / "scripts").mkdir(exist_ok=True)
        (home / "scripts" / f"{task.uuid}.py").write_text(dedent(script))
        return task

    return train


def claim(session: Session, worker: int) -> Claim | None:
    claimed = attempts.claim_next(session, worker, ["default"])
    commit(session)
    return claimed


class Running:
    """Attempts that run alongside the test, each in its own thread, as in a worker."""

    def __init__(self, *claims: Claim | None) -> None:
        self.threads = []
        for held in claims:
            assert held is not None
            target = runner.run_node if held.node else runner.run_attempt
            self.threads.append(threading.Thread(target=target, args=(held,)))
        for thread in self.threads:
            thread.start()

    def join(self) -> None:
        for thread in self.threads:
            thread.join(40)
        assert not any(thread.is_alive() for thread in self.threads)


def until(condition: Callable[[Session], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        with transaction() as session:
            if found := condition(session):
                return found
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def event_of(task: Task, kind: str) -> Callable[[Session], Any]:
    return lambda session: session.scalar(
        select(TaskEvent).where(TaskEvent.task_id == task.id, TaskEvent.kind == kind)
    )


def nothing_is_held(session: Session) -> bool:
    usage = session.execute(text("SELECT rate, running, gpus FROM project_usage")).all()
    return (
        session.scalar(select(TaskNode.task_id)) is None
        and session.scalar(select(TaskNodeGroup.task_id)) is None
        and session.scalar(text("SELECT count(*) FROM held_leases")) == 0
        and all(row == (0, 0, 0) for row in usage)
    )


# -- Gathering


def test_task_on_two_nodes_runs_on_both_and_ends_once(
    session, train: Submit, make_worker, kind
) -> None:
    first, second = make_worker("w1", gpus=2), make_worker("w2", gpus=2)
    script = """
        print("here")
        if job.ranks.node == 0:
            report.metrics(1, {"loss": 2.0})
        result = {"node": job.ranks.node, "nodes": job.ranks.nodes, "at": job.ranks.endpoint}
    """
    task = train(script, resources=Resources(gpus=2))
    leader, member = claim(session, first), claim(session, second)
    assert leader is not None
    assert member is not None
    assert [(held.node, held.nodes) for held in (leader, member)] == [(0, 2), (1, 2)]
    assert member.devices == ("0", "1")
    assert (member.task_id, member.fence) == (leader.task_id, leader.fence)
    running, gpus = session.execute(text("SELECT running, gpus FROM project_usage")).one()
    assert (running, gpus) == (1, 4), "one task, with the GPUs of both"
    Running(leader, member).join()
    session.expire_all()
    task = session.get_one(Task, task.id)
    assert (task.status, task.error_message) == ("completed", None)
    result = task.scheduling.result
    assert result is not None
    assert (result["node"], result["nodes"]) == (0, 2), "node 0 says what came out"
    assert result["at"].startswith("127.0.0.1:")
    assert kind.told == ["started", "completed"]
    printed = sorted(session.scalars(select(LogChunk.text).where(LogChunk.task_id == task.id)))
    assert printed == ["[node 1] here\n", "here\n"]
    usage = session.execute(text("SELECT cpus, gpus FROM attempt_usage")).one()
    assert (usage.cpus, len(usage.gpus)) == (2, 4), "what it used is what all its nodes held"
    gathered = event_of(task, "gathered")(session)
    assert gathered.data == {"nodes": 2, "joined": ["w2"]}
    assert nothing_is_held(session)


def test_no_node_starts_before_all_have_joined(session, train: Submit, make_worker) -> None:
    first, second = make_worker("w1"), make_worker("w2", cpus=1)
    make_worker("w3", cpus=0.5)
    task = train("result = {}", nodes=2)
    leader = claim(session, first)
    running = Running(leader)
    time.sleep(1)
    with transaction() as other:
        assert event_of(task, "started")(other) is None
    member = claim(session, second)
    running_too = Running(member)
    running.join()
    running_too.join()
    assert until(event_of(task, "completed"))


def test_task_that_does_not_gather_in_time_is_released(session, train: Submit, make_worker) -> None:
    first = make_worker("w1")
    make_worker("w2")
    make_worker("w3")
    task = train(nodes=3)
    with environment(AIPLATFORM_GATHER_SECONDS="0.5", AIPLATFORM_GATHER_RETRY_SECONDS="60"):
        Running(claim(session, first)).join()
    session.expire_all()
    task = session.get_one(Task, task.id)
    attempt = session.scalars(select(TaskAttempt).where(TaskAttempt.task_id == task.id)).one()
    assert attempt.outcome == "released"
    assert attempt.error == "1 of 3 nodes gathered within 0.5 s"
    assert (task.status, task.scheduling.failures) == ("pending", 0)
    assert task.scheduling.not_before is not None
    assert nothing_is_held(session)
    assert claim(session, first) is None, "it waits before it tries again"


def test_worker_joins_a_task_once_and_reserves_room_for_it(
    session, train: Submit, submit: Submit, make_worker
) -> None:
    first, second = make_worker("w1", cpus=4), make_worker("w2", cpus=2)
    submit()
    busy = claim(session, second)
    assert busy is not None
    task = train(nodes=2, resources=Resources(cpus=2))
    leader = claim(session, first)
    assert leader is not None
    assert leader.task_id == task.id
    assert leader.others_wait, "its other node does"
    small = submit()
    assert claim(session, second) is None, "its next room is the node's, not the small task's"
    taken = claim(session, first)
    assert taken is not None
    assert taken.task_id == small.id, "node 0's worker is no second node of it"
    assert taken.others_wait, "the task waits for its other node"
    attempts.release(session, busy, "done")
    commit(session)
    member = claim(session, second)
    assert member is not None
    assert (member.task_id, member.node) == (task.id, 1)


def test_gpu_quota_counts_all_nodes(session, project, train: Submit, make_worker) -> None:
    session.add(ProjectQuota(project_id=project.id, gpus=3))
    commit(session)
    first, second = make_worker("w1", gpus=2), make_worker("w2", gpus=2)
    task = train(nodes=2, resources=Resources(gpus=1))
    assert claim(session, first) is not None
    assert claim(session, second) is not None
    other = train(nodes=2, resources=Resources(gpus=1))
    assert claim(session, first) is None, "2 are held, and 2 more would be too many"
    session.expire_all()
    states = [session.get_one(Task, task.id).status for task in (task, other)]
    assert states == ["running", "pending"]
    session.execute(text("DELETE FROM project_quotas"))
    commit(session)


def test_submission_with_more_nodes_than_workers_is_refused(
    session, train: Submit, make_worker
) -> None:
    make_worker("w1", labels=("gpu:a100",))
    make_worker("w2")
    with pytest.raises(
        NoWorkerCanRun, match="needs 2 workers at the same time, but only 1 can run it"
    ):
        train(nodes=2, labels=["gpu:a100"])


def test_shortfalls_for_several_nodes_count_suitable_workers() -> None:
    def offer(name: str, cpus: float) -> Offer:
        room = Room(cpus, 1024)
        return Offer(name, frozenset({"default"}), frozenset(), room, room)

    offers = [offer("a", 4), offer("b", 4), offer("c", 1)]
    assert shortfalls(Demand(cpus=2), offers, nodes=2) == []
    (missing,) = shortfalls(Demand(cpus=2), offers, nodes=3)
    assert missing.en == "needs 3 workers at the same time, but only 2 can run it"
    (missing,) = shortfalls(Demand(cpus=8), offers, nodes=2)
    assert missing.en == "needs 8 CPU cores, the largest worker has 4"


# -- Ending together


def test_failure_of_one_node_fails_the_task(session, train: Submit, make_worker) -> None:
    first, second = make_worker("w1"), make_worker("w2")
    script = """
        import time
        if job.ranks.node == 1:
            from aiplatform.runtime.channel import JobError
            raise JobError("Rank 1 was killed by SIGKILL.")
        time.sleep(60)
    """
    task = train(script)
    Running(claim(session, first), claim(session, second)).join()
    session.expire_all()
    task = session.get_one(Task, task.id)
    assert task.status == "failed"
    assert task.error_message == "Node 1 (w2): Rank 1 was killed by SIGKILL."
    assert nothing_is_held(session)


def test_node_that_lost_contact_waits_for_the_cause(session, train: Submit, make_worker) -> None:
    """Let node 0 notice that it lost contact with node 1 before node 1 reports its error."""
    first, second = make_worker("w1"), make_worker("w2")
    script = """
        import time
        from aiplatform.runtime.channel import JobError
        if job.ranks.node == 0:
            raise JobError("lost contact", retryable=True)
        time.sleep(1.5)
        raise JobError("The loss became nan.")
    """
    task = train(script)
    Running(claim(session, first), claim(session, second)).join()
    session.expire_all()
    task = session.get_one(Task, task.id)
    assert (task.status, task.error_message) == ("failed", "Node 1 (w2): The loss became nan.")


WAITS = """
    import time
    with report.stop.delay():
        while not report.stop.requested:
            time.sleep(0.05)
    report.stop.raise_if_requested()
"""


@pytest.mark.parametrize("wish", ["cancel", "pause"])
def test_stop_request_reaches_every_node(session, train: Submit, make_worker, wish: str) -> None:
    first, second = make_worker("w1"), make_worker("w2")
    task = train(WAITS)
    running = Running(claim(session, first), claim(session, second))
    until(
        lambda s: s.scalar(
            text("SELECT count(*) = 2 FROM task_events WHERE task_id = :t AND kind = 'started'"),
            {"t": task.id},
        )
    )
    with transaction() as other:
        found = other.get_one(Task, task.id)
        if wish == "cancel":
            queue.request_cancel(other, SYSTEM, found)
        else:
            found.scheduling.stop_wanted = "pause"
    running.join()
    session.expire_all()
    assert session.get_one(Task, task.id).status == {"cancel": "cancelled", "pause": "paused"}[wish]
    assert nothing_is_held(session)


def test_task_is_requeued_when_the_worker_of_a_node_stops(
    session, train: Submit, make_worker
) -> None:
    first, second = make_worker("w1"), make_worker("w2")
    task = train(WAITS)
    leader, member = claim(session, first), claim(session, second)
    assert member is not None
    running = Running(leader, member)
    until(event_of(task, "started"))
    with transaction() as other:
        nodes.set_state(other, member, "leaving")
    running.join()
    session.expire_all()
    found = session.get_one(Task, task.id)
    assert (found.status, found.scheduling.failures) == ("pending", 0)


def test_lost_node_ends_the_attempt_on_all_nodes(session, train: Submit, make_worker) -> None:
    """Check that the reaper expires the leases of all nodes and requeues the task."""
    first, second = make_worker("w1"), make_worker("w2")
    task = train("import time; time.sleep(60)")
    leader, member = claim(session, first), claim(session, second)
    assert leader is not None
    assert member is not None
    with environment(AIPLATFORM_RENEW_SECONDS="0.2"):
        running = Running(leader)
        now = 0.0
        reaper = Reaper(10, clock=lambda: now)
        expired: list[int] = []
        while not expired:  # each round counts as one second
            assert now < 30
            now += 1.0
            with transaction() as other:
                attempts.renew(other, leader)
            expired += reaper.run_round()
        expired += reaper.run_round()
        running.join()
    assert expired == [task.id], "once"
    session.expire_all()
    found = session.get_one(Task, task.id)
    assert (found.status, found.scheduling.failures) == ("pending", 1)
    attempt = session.scalars(select(TaskAttempt).where(TaskAttempt.task_id == task.id)).one()
    assert (attempt.outcome, attempt.error) == ("lost", "the worker of node 1 was lost")
    assert nothing_is_held(session)
    with pytest.raises(nodes.LostLease), transaction() as other:
        nodes.renew(other, member)


def test_restarted_worker_ends_the_attempt_that_it_was_a_node_of(
    session, train: Submit, make_worker
) -> None:
    first, second = make_worker("w1"), make_worker("w2")
    task = train()
    claim(session, first)
    claim(session, second)
    offers = workers.Capacity(4, 8192)
    with transaction() as other:
        workers.register(other, "w2", ["default"], offers)
    session.expire_all()
    assert session.get_one(Task, task.id).status == "pending"
    assert nothing_is_held(session)


def test_missing_nodes_are_counted_for_waking_workers(session, train: Submit, make_worker) -> None:
    first, second = make_worker("w1"), make_worker("w2")
    train(nodes=2)
    claim(session, first)
    assert queries.missing_nodes(session) == {"default": 1}
    assert queries.others_with_room(session, first, "default") == 1
    claim(session, second)
    assert queries.missing_nodes(session) == {"default": 0}
    assert get_settings().gather_seconds == 300
