"""Tests of task kinds, the interface between the queue and the types of tasks."""

import ast
from pathlib import Path

import pytest

import aiplatform.server
from aiplatform.protocol.enums import TaskType
from aiplatform.server.composition import compose
from aiplatform.server.queue.service.kinds import kind_of

SERVER = Path(aiplatform.server.__file__).parent
WORDS = "queue/rules/reasons.py"
"""Path of the module with the names of task types used in reasons for waiting."""


def test_queue_execution_and_telemetry_distinguish_no_types_of_tasks() -> None:
    named = {
        path.relative_to(SERVER).as_posix()
        for domain in ("queue", "execution", "telemetry")
        for path in (SERVER / domain).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "TaskType"
    }
    assert named == {WORDS}


@pytest.mark.parametrize("task_type", list(TaskType))
def test_every_type_of_task_has_a_kind(task_type: TaskType) -> None:
    compose()
    assert kind_of(task_type).type is task_type


@pytest.mark.parametrize(
    ("task_type", "spec", "gpus", "expected"),
    [
        (TaskType.TRAINING, {}, 0, 1),
        (TaskType.TRAINING, {}, 2, 2),
        (TaskType.TRAINING, {"processes": 3}, 2, 3),
        (TaskType.SCRIPT, {}, 2, 1),
        (TaskType.SCRIPT, {"processes": 3}, 0, 3),
        (TaskType.EVALUATION, {}, 2, None),
    ],
)
def test_processes_of_a_job_depend_on_its_kind(
    task_type: TaskType, spec: dict[str, int], gpus: int, expected: int | None
) -> None:
    compose()
    assert kind_of(task_type).processes(spec, gpus) == expected
