"""Tests of quotas on running tasks and GPUs: concurrent claims can't exceed them."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.database import commit, transaction
from aiplatform.server.execution.service import attempts, workers
from aiplatform.server.projects.models import Project
from aiplatform.server.projects.service import quotas
from aiplatform.server.queue.rules import Device
from aiplatform.server.queue.service.kinds import Outcome
from tests.conftest import Api
from tests.factories import (
    make_dataset,
    make_project,
    make_task,
    make_version,
)
from tests.server.projects.conftest import get_usage

pytestmark = pytest.mark.usefixtures("client")
LINE = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "H"}]}\n'


class TestRunning:
    @pytest.fixture
    def make_worker(self, session: Session) -> Callable[..., int]:
        def make(gpus: int = 0) -> int:
            devices = tuple(Device(str(place), 0) for place in range(gpus))
            offers = workers.Capacity(64, 1 << 20, devices, ())
            found = workers.register(session, f"w{uuid4().hex[:8]}", ("quota",), offers)
            commit(session)
            return found

        return make

    def waiting(self, session: Session, project: Project, gpus: int = 0) -> Any:
        return make_task(session, project, scheduling={"queue": "quota", "gpus": gpus})

    def claim(self, session: Session, worker: int) -> Any:
        claim = attempts.claim_next(session, worker, ("quota",))
        commit(session)
        return claim

    def test_task_waits_for_its_own_projects_quota_only(
        self,
        session: Session,
        mine: Api,
        project: Project,
        limit: Callable[..., Any],
        make_worker: Callable[..., int],
    ) -> None:
        limit(concurrent_tasks=1)
        worker = make_worker()
        first, second = (self.waiting(session, project) for _ in range(2))
        other = self.waiting(session, make_project(session))
        claimed = [self.claim(session, worker) for _ in range(3)]
        ids = {claim.task_id for claim in claimed if claim is not None}
        assert ids == {first.id, other.id}
        assert get_usage(mine, project)["tasks"] == {"used": 1, "limit": 1}
        shown = mine.get(f"tasks/{second.uuid}").json()
        assert "quota" in str(shown), shown
        held = next(claim for claim in claimed if claim and claim.task_id == first.id)
        attempts.end_attempt(session, held, Outcome(TaskStatus.COMPLETED))
        commit(session)
        assert self.claim(session, worker).task_id == second.id

    def test_gpu_quota_lets_tasks_without_gpus_pass(
        self,
        session: Session,
        mine: Api,
        project: Project,
        limit: Callable[..., Any],
        make_worker: Callable[..., int],
    ) -> None:
        limit(gpus=2)
        worker = make_worker(gpus=8)
        two, three = self.waiting(session, project, 2), self.waiting(session, project, 1)
        none = self.waiting(session, project)
        ids = [c.task_id for c in (self.claim(session, worker) for _ in range(3)) if c]
        # A task without GPUs overtakes one that waits for a GPU.
        assert (sorted(ids), three.status) == (sorted([two.id, none.id]), "pending")
        assert get_usage(mine, project)["gpus"] == {"used": 2, "limit": 2}

    def test_task_with_more_gpus_than_the_quota_is_refused(
        self,
        session: Session,
        mine: Api,
        project: Project,
        limit: Callable[..., Any],
        make_worker: Callable[..., int],
    ) -> None:
        limit(gpus=2)
        make_worker(gpus=8)
        dataset = make_dataset(session, project)
        make_version(session, dataset)
        spec = {
            "type": "data_quality",
            "dataset": {"dataset": str(dataset.uuid)},
            "queue": "quota",
            "resources": {"gpus": 3},
        }
        answer = mine.post(f"projects/{project.uuid}/tasks", json={"name": "q", "spec": spec})
        assert (answer.status_code, answer.json()["code"]) == (409, "project.quota_exceeded")
        assert (answer.json()["quota"], answer.json()["asked"]) == ("gpus", 3)

    def test_second_claim_waits_for_the_first_and_counts_it(
        self,
        session: Session,
        project: Project,
        limit: Callable[..., Any],
        make_worker: Callable[..., int],
    ) -> None:
        limit(concurrent_tasks=1)
        for _ in range(2):
            self.waiting(session, project)
        one, two = make_worker(), make_worker()

        def second() -> Any:
            with transaction() as own:
                return attempts.claim_next(own, two, ("quota",))

        with ThreadPoolExecutor(1) as pool:
            with transaction() as own:
                assert attempts.claim_next(own, one, ("quota",)) is not None
                claimed = pool.submit(second)
                with pytest.raises(TimeoutError):
                    claimed.result(0.5)
            assert claimed.result(30) is None

    def test_concurrent_claims_of_many_workers_stay_within_the_limit(
        self,
        session: Session,
        project: Project,
        limit: Callable[..., Any],
        make_worker: Callable[..., int],
    ) -> None:
        limit(concurrent_tasks=3)
        other = make_project(session)
        for _ in range(10):
            self.waiting(session, project)
            self.waiting(session, other)
        pool_of = [make_worker() for _ in range(6)]
        start = threading.Barrier(len(pool_of))

        def work(worker: int) -> int:
            start.wait()
            count = 0
            while True:
                with transaction() as own:
                    if attempts.claim_next(own, worker, ("quota",)) is None:
                        return count
                count += 1

        with ThreadPoolExecutor(len(pool_of)) as pool:
            assert sum(pool.map(work, pool_of)) == 13
        assert quotas.running(session, project.id)[0] == 3
        assert quotas.running(session, other.id)[0] == 10
