"""Tests of preemption: an urgent task takes the resources of other tasks, which resume later."""

import threading
from collections.abc import Callable

from sqlalchemy import text

from aiplatform.server.execution import runner
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.rules.placement import Demand, Room, Runner, choose_victims
from tests.server.queue.conftest import STOPS, claim, end, events, until

Submit = Callable[..., Task]
MakeWorker = Callable[..., int]


def ran(task_id: int, priority: int = 5, *, cpus: float = 1, devices=(), place=0, **more: bool):
    return Runner(
        task_id, priority, more.get("preemptible", True), more.get("stopping", False), place,
        cpus, 0, tuple(devices),
    )  # fmt: skip


class TestPreemption:
    def test_fewest_tasks_of_lowest_priority_and_latest_start_are_chosen(self):
        running = [
            ran(1, 3, cpus=1, place=0), ran(2, 3, cpus=1, place=1), ran(3, 5, cpus=4, place=2),
        ]  # fmt: skip
        one = choose_victims(Demand(cpus=1), Room(0, 0), running)
        assert [runner.task_id for runner in one] == [2]
        large = choose_victims(Demand(cpus=4), Room(0, 0), running)
        assert [runner.task_id for runner in large] == [3], "the small ones would not have helped"

    def test_tasks_that_may_not_be_preempted_are_not_chosen(self):
        assert choose_victims(Demand(), Room(0, 0), [ran(1, preemptible=False)]) is None
        assert choose_victims(Demand(), Room(0, 0), [ran(1, 9)]) is None

    def test_tasks_that_stop_already_are_counted_as_free(self):
        running = [ran(1, stopping=True), ran(2)]
        assert choose_victims(Demand(), Room(0, 0), running) == []

    def test_only_tasks_with_suitable_devices_are_chosen(self):
        running = [ran(1, 1, devices=(16,)), ran(2, 5, devices=(80,))]
        demand = Demand(cpus=1, gpus=1, gpu_memory_mb=40)
        chosen = choose_victims(demand, Room(8, 0), running)
        assert [runner.task_id for runner in chosen] == [2]

    def test_urgent_task_preempts_another_which_resumes_later(
        self, session, submit, make_worker, kind
    ):
        worker = make_worker(cpus=1)
        low = submit(STOPS, priority=3, preemptible=True)
        thread = threading.Thread(target=runner.run_attempt, args=(claim(session, worker),))
        thread.start()
        until(lambda: "running" in events(low))
        urgent, late = submit(priority=9), submit(priority=5)
        assert claim(session, worker) is None
        thread.join(20)
        session.expire_all()
        assert low.status == "pending"
        assert "preempted" in events(low)
        held = claim(session, worker)
        assert held.task_id == urgent.id
        end(session, held)
        assert claim(session, worker).task_id == late.id, "its priority is higher"
        session.execute(text("UPDATE tasks SET status='completed' WHERE id=:i"), {"i": late.id})
        session.execute(text("DELETE FROM task_leases"))
        session.commit()
        runner.run_attempt(claim(session, worker))
        session.expire_all()
        assert (low.status, low.scheduling.result) == ("completed", {"from": "three"})

    def test_task_below_the_urgent_priority_preempts_nothing(self, session, submit, make_worker):
        worker = make_worker(cpus=1)
        low = submit(priority=1, preemptible=True)
        claim(session, worker)
        submit(priority=8)
        assert claim(session, worker) is None
        session.refresh(low.scheduling)
        assert low.scheduling.stop_wanted is None
