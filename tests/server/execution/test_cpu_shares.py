"""Tests of the threads and niceness of tasks that share a worker's CPU cores."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from aiplatform.runtime import priority
from aiplatform.server.execution import queries, rules
from aiplatform.server.execution.rules import NICENESS, PASSIVE, Cores
from tests.server.queue.conftest import claim


@pytest.mark.parametrize(
    ("cores", "threads"),
    [
        (Cores(2, 0.1, 0), 2),
        (Cores(2, 1, 0.1), 2),
        (Cores(2, 1, 1), 1),
        (Cores(2, 0.1, 1.9), 1),
        (Cores(16, 1, 12), 4),
        (Cores(16, 4, 15), 4),
        (Cores(1.5, 0.5, 0), 1),
        (Cores(0.5, 0.5, 0), 1),
    ],
)
def test_threads_are_reserved_cores_and_free_ones(cores: Cores, threads: int) -> None:
    assert cores.threads == threads


def test_task_beside_others_waits_passively_and_is_nicer_than_servers() -> None:
    shared = Cores(2, 1, 0.1)
    training = rules.cpu_environment(shared, serves=False, divides=False)
    assert PASSIVE.items() <= training.items()
    assert (training["OMP_NUM_THREADS"], training[NICENESS]) == ("2", "1")
    serving = rules.cpu_environment(shared, serves=True, divides=False)
    assert PASSIVE.items() <= serving.items()
    assert NICENESS not in serving


def test_task_with_a_worker_of_its_own_waits_actively() -> None:
    alone = rules.cpu_environment(Cores(2, 2, 0), serves=True, divides=False)
    assert alone == {"OMP_NUM_THREADS": "2"}


def test_task_with_several_processes_divides_the_cores_itself() -> None:
    assert "OMP_NUM_THREADS" not in rules.cpu_environment(
        Cores(8, 4, 0), serves=False, divides=True
    )


def test_runtime_and_worker_use_the_same_name_for_the_niceness() -> None:
    assert priority.NICENESS == NICENESS


def test_cores_of_attempt_are_counted_from_the_leases_of_its_worker(
    session: Session, submit: Any, make_worker: Any
) -> None:
    worker = make_worker(cpus=4)
    make_worker("w2", cpus=9)
    submit(resources={"cpus": 0.5})
    submit(resources={"cpus": 1})
    first, second = claim(session, worker), claim(session, worker)
    assert queries.cores_of(session, first.task_id, first.fence) == Cores(4, 0.5, 1)
    assert queries.cores_of(session, second.task_id, second.fence) == Cores(4, 1, 0.5)
    assert queries.cores_of(session, first.task_id, first.fence + 99) is None
