"""Tests of scripts with several processes, on one worker and on two."""

import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from aiplatform.server.core.database import transaction
from aiplatform.server.execution import runner
from aiplatform.server.execution.runner import node_group
from aiplatform.server.execution.service import attempts, workers
from aiplatform.server.execution.service.workers import Capacity
from aiplatform.server.queue.models import Task
from tests.conftest import Api, environment
from tests.factories import number
from tests.server.scripts.conftest import PREFIX

MEET = """
import os, pathlib, socket, time
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
where = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if rank == 0:
    with socket.create_server(where) as server:
        others = [server.accept()[0].recv(1) for _ in range(world - 1)]
    os.write(int(os.environ["AIPLATFORM_REPORT_FD"]),
             b'{"type": "metrics", "step": 1, "values": {"others": %d}}\\n' % len(others))
else:
    deadline = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection(where, 5) as connection:
                connection.sendall(b"x")
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
pathlib.Path(os.environ["AIPLATFORM_OUTPUT"], f"rank-{rank}").write_text("done")
print("rank", rank, "of", world)
"""


@pytest.fixture(autouse=True)
def _at_home(allowed: None) -> Iterator[None]:
    with environment(
        AIPLATFORM_SCRIPTS="true",
        AIPLATFORM_SCRIPT_ENVIRONMENTS=f"plain={PREFIX}",
        AIPLATFORM_NODE_HOST="127.0.0.1",
    ):
        yield


@pytest.fixture
def two_workers(session: Session) -> list[int]:
    """Register two workers that run scripts."""
    offers = Capacity(4, 8192, (), ("script:plain",))
    with transaction() as own:
        return [workers.register(own, f"n{number()}", ["default"], offers) for _ in range(2)]


@pytest.fixture
def run_on_both(session: Session, two_workers: list[int]) -> Callable[[], Task]:
    """Return a function that runs the next queued script to its end on both workers."""

    def run_on_both() -> Task:
        threads = []
        for worker in two_workers:
            with transaction() as own:
                claim = attempts.claim_next(own, worker, ["default"])
            assert claim is not None
            target = runner.run_node if claim.node else runner.run_attempt
            threads.append(threading.Thread(target=target, args=(claim,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        session.expire_all()
        return session.get_one(Task, claim.task_id)

    return run_on_both


def test_processes_on_one_worker_communicate(mine: Api, bundle: Any, submit: Any, run: Any) -> None:
    task = submit(bundle(main_py=MEET).json()["uuid"], processes=3).json()
    done = run()
    assert (done.status, done.error_message) == ("completed", None)
    assert done.scheduling.result["metrics"] == {"others": 2.0}
    listed = mine.get(f"tasks/{task['uuid']}/artifacts").json()["items"]
    assert [item["path"] for item in listed] == ["rank-0", "rank-1", "rank-2"]
    assert sorted(done.logs.splitlines()) == [
        "[rank 1] rank 1 of 3", "[rank 2] rank 2 of 3", "rank 0 of 3",
    ]  # fmt: skip


def test_processes_on_two_workers_communicate(
    mine: Api, bundle: Any, submit: Any, run_on_both: Callable[[], Task]
) -> None:
    task = submit(bundle(main_py=MEET).json()["uuid"], nodes=2).json()
    done = run_on_both()
    assert (done.uuid, done.status, done.error_message) == (UUID(task["uuid"]), "completed", None)
    assert done.scheduling.result["metrics"] == {"others": 1.0}
    listed = mine.get(f"tasks/{task['uuid']}/artifacts").json()["items"]
    assert [item["path"] for item in listed] == ["rank-0"], "what node 0 has left"
    lines = mine.get(f"tasks/{task['uuid']}/logs").json()
    assert "[node 1] [rank 1] rank 1 of 2" in str(lines)


def test_failure_of_one_node_names_its_rank(
    bundle: Any,
    submit: Any,
    run_on_both: Callable[[], Task],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(node_group, "CAUSE_SECONDS", 0.5)
    code = "import os, time\nif os.environ['RANK'] == '1': raise SystemExit(3)\ntime.sleep(100)\n"
    submit(bundle(main_py=code).json()["uuid"], nodes=2, max_attempts=1)
    done = run_on_both()
    assert done.status == "failed"
    assert "Rank 1: The command ended with exit code 3" in str(done.error_message)


def test_script_with_leased_gpus_is_one_process() -> None:
    from types import SimpleNamespace

    from aiplatform.server.core.settings import get_settings
    from aiplatform.server.execution.runner.layout import shared_by

    claim: Any = SimpleNamespace(task_type="script", devices=("0", "1"), nodes=1, node=0)
    assert shared_by({"processes": 1}, claim, get_settings()) is None
    claim.task_type = "training"
    assert shared_by({}, claim, get_settings()) is not None
    claim.devices = ()
    assert shared_by({}, claim, get_settings()) is None
    config = {"accelerator": {"deepspeed": {"zero_optimization": {"stage": 2}}}}
    alone = shared_by(config, claim, get_settings())
    assert alone is not None, "DeepSpeed wants to be launched"
    assert alone.processes == 1
