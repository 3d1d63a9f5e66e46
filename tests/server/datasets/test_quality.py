"""Tests of quality reports, and of the changes to a dataset when the task of a report ends."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.protocol.specs import QualitySpec
from aiplatform.server.core.database import commit, transaction
from aiplatform.server.core.errors import NotFound
from aiplatform.server.datasets import service
from aiplatform.server.datasets.jobs import DataQuality
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.identity.models import User
from aiplatform.server.notifications.models import Notification
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import kinds, queue
from aiplatform.server.queue.service.kinds import Outcome
from tests.conftest import Api
from tests.factories import make_blob, make_context, make_model, make_project, whole_report
from tests.server.datasets.conftest import CHAT, jsonl

pytestmark = pytest.mark.usefixtures("app")

FINDING = {
    "code": "empty",
    "severity": "warning",
    "column": "text",
    "count": 1,
    "share": 0.2,
    "message": "is empty",
    "message_zh": "为空",
    "effect": "There is nothing to learn.",
    "effect_zh": "没有可学习的内容。",
    "fixes": ["drop"],
    "examples": [],
}
REPORT = whole_report(score=88, rows=5, findings=[FINDING])


@pytest.fixture
def task(session: Session, project: Project, dataset: dict[str, Any]) -> Task:
    return session.scalars(select(Task).where(Task.project_id == project.id)).one()


def end(session: Session, task: Task, status: TaskStatus, **outcome: Any) -> None:
    queue.change_status(session, task, TaskStatus.RUNNING)
    queue.finish(session, task, Outcome(status, **outcome))
    commit(session)


def test_figure_that_is_no_number_is_kept_as_text(
    session: Session, mine: Api, dataset: dict[str, Any], task: Task
) -> None:
    finding = FINDING | {"share": float("nan")}
    report = whole_report(score=88, findings=[finding])
    end(session, task, TaskStatus.COMPLETED, result={"report": report})
    head = mine.get(f"datasets/{dataset['uuid']}").json()
    assert head["quality_report"]["findings"][0]["share"] == "NaN"


def test_completed_report_makes_the_dataset_ready(
    session: Session, mine: Api, dataset: dict[str, Any], task: Task, owner: User
) -> None:
    path = f"datasets/{dataset['uuid']}"
    early = mine.get(f"{path}/versions/v1/report")
    assert (early.status_code, early.json()["code"]) == (409, "dataset.report_being_made")
    assert str(task.uuid) in early.json()["detail"]
    end(session, task, TaskStatus.COMPLETED, result={"report": REPORT})
    head = mine.get(path).json()
    assert head["status"] == "ready"
    assert head["quality_report"]["score"] == 88
    assert mine.get(f"{path}/versions/v1/report").json() == head["quality_report"]
    assert mine.get(f"{path}/versions/v1").json()["report"] == head["quality_report"]
    told = session.scalars(
        select(Notification).where(
            Notification.user_id == owner.id, Notification.type == "dataset:ready"
        )
    ).one()
    assert "88" in told.title
    assert told.data["dataset"] == dataset["uuid"]


def test_report_that_fails_the_gate_notifies_the_author(
    session: Session, mine: Api, project: Project, dataset: dict[str, Any], task: Task, owner: User
) -> None:
    gate = {"min_score": 90}
    assert mine.put(f"projects/{project.uuid}/dataset-gate", json=gate).status_code == 200
    end(session, task, TaskStatus.COMPLETED, result={"report": REPORT})
    told = session.scalars(
        select(Notification).where(
            Notification.user_id == owner.id, Notification.type.startswith("dataset:")
        )
    ).one()
    assert told.type == "dataset:failed"
    assert "its score is 88, at least 90 is asked for" in told.message


@pytest.mark.parametrize(
    ("status", "outcome", "expected"),
    [
        (TaskStatus.FAILED, {"error": "no tokenizer"}, "failed"),
        (TaskStatus.COMPLETED, {"result": {}}, "failed"),
        (TaskStatus.CANCELLED, {}, "uploaded"),
    ],
)
def test_task_without_report_sets_the_status(
    session: Session,
    mine: Api,
    dataset: dict[str, Any],
    task: Task,
    status: TaskStatus,
    outcome: dict[str, Any],
    expected: str,
) -> None:
    end(session, task, status, **outcome)
    assert mine.get(f"datasets/{dataset['uuid']}").json()["status"] == expected


def test_report_on_older_version_does_not_change_the_current_version(
    session: Session, mine: Api, dataset: dict[str, Any], task: Task
) -> None:
    path = f"datasets/{dataset['uuid']}"
    mine.post(f"{path}/versions?filename=a.jsonl", content=jsonl(CHAT[:2]))
    end(session, task, TaskStatus.COMPLETED, result={"report": REPORT})
    head = mine.get(path).json()
    assert (head["version"], head["status"], head["quality_report"]) == ("v2", "processing", None)
    assert mine.get(f"{path}/versions/v1/report").json()["score"] == 88


def test_failed_second_report_keeps_the_first(
    session: Session, mine: Api, dataset: dict[str, Any], task: Task
) -> None:
    path = f"datasets/{dataset['uuid']}"
    end(session, task, TaskStatus.COMPLETED, result={"report": REPORT})
    again = mine.post(f"{path}/versions/v1/quality", json={"max_length": 16})
    assert again.status_code == 202
    assert again.json()["type"] == "data_quality"
    assert again.json()["config"]["max_length"] == 16
    assert mine.get(path).json()["status"] == "ready"
    second = session.scalars(select(Task).where(Task.uuid == again.json()["uuid"])).one()
    end(session, second, TaskStatus.FAILED, error="x")
    head = mine.get(path).json()
    assert (head["status"], head["quality_report"]["score"]) == ("ready", 88)


def test_failed_report_while_another_waits_keeps_processing(
    session: Session, mine: Api, dataset: dict[str, Any], task: Task
) -> None:
    path = f"datasets/{dataset['uuid']}"
    assert mine.post(f"{path}/versions/v1/quality").status_code == 202
    end(session, task, TaskStatus.FAILED, error="x")
    assert mine.get(path).json()["status"] == "processing"


def test_report_on_a_tag_pins_the_current_version(
    session: Session, mine: Api, dataset: dict[str, Any], task: Task
) -> None:
    path = f"datasets/{dataset['uuid']}"
    assert mine.put(f"{path}/tags/prod", json={"version": "v1"}).status_code == 200
    end(session, task, TaskStatus.FAILED, error="x")
    asked = mine.post(f"{path}/versions/@prod/quality")
    assert asked.json()["config"]["dataset"]["version"] == "v1"
    assert mine.get(path).json()["status"] == "processing"


def test_report_after_deletion_of_its_dataset_is_ignored(
    session: Session, mine: Api, dataset: dict[str, Any], task: Task
) -> None:
    queue.change_status(session, task, TaskStatus.RUNNING)
    commit(session)
    assert mine.delete(f"datasets/{dataset['uuid']}").status_code == 204
    session.expire_all()
    assert task.status == TaskStatus.CANCELLING
    with pytest.raises(NotFound):
        DataQuality().inputs(session, task)
    queue.finish(session, task, Outcome(TaskStatus.COMPLETED, result={"report": REPORT}))
    commit(session)


def test_quality_task_gets_rows_and_tokenizer_without_weights(
    session: Session, mine: Api, project: Project, dataset: dict[str, Any], home: Any
) -> None:
    files = [
        make_blob(session, b"{}", "weights/tokenizer.json", home),
        make_blob(session, b"tensors", "weights/model.safetensors", home),
        make_blob(session, b"# card", "README.md", home),
    ]
    model = make_model(session, project, files=files)
    path = f"datasets/{dataset['uuid']}/versions/v1"
    answer = mine.post(f"{path}/quality", json={"base_model": str(model.uuid)})
    assert answer.status_code == 202
    task = session.scalars(select(Task).where(Task.uuid == answer.json()["uuid"])).one()
    inputs = DataQuality().inputs(session, task)
    version = mine.get(path).json()
    assert inputs.single["dataset"].sha256 == version["file_hash"]
    assert [file.path for file in inputs.trees["base_model"]] == ["weights/tokenizer.json"]


def test_quality_kind_pins_the_version(
    session: Session, project: Project, dataset: dict[str, Any]
) -> None:
    kind = kinds.kind_of(TaskType.DATA_QUALITY)
    spec = {"dataset": {"dataset": dataset["uuid"]}}
    prepared = kind.prepare(session, make_context(session, project), QualitySpec(**spec))
    assert prepared.spec.dataset.version == "v1"
    assert prepared.inputs[0].label == f"{dataset['name']}@v1"
    stranger = make_context(session, make_project(session))
    with pytest.raises(NotFound):
        kind.prepare(session, stranger, QualitySpec(**spec))


def test_concurrent_deletion_and_end_of_report_do_not_deadlock(
    session: Session, project: Project, stored: Callable[..., Dataset]
) -> None:
    context = make_context(session, project)
    pairs = []
    for _ in range(8):
        uuid = stored().uuid
        newest = select(Task).where(Task.project_id == project.id).order_by(Task.id.desc())
        task = session.scalars(newest.limit(1)).one()
        queue.change_status(session, task, TaskStatus.RUNNING)
        commit(session)
        pairs.append((uuid, task.id))

    def delete(uuid: Any) -> None:
        with transaction() as own:
            service.delete_dataset(own, context, uuid)

    def finish(task_id: int) -> None:
        with transaction() as own:
            task = queue.lock(own, task_id)
            report = {"report": REPORT}
            queue.finish(own, task, Outcome(TaskStatus.COMPLETED, result=report))

    with ThreadPoolExecutor(4) as pool:
        both = [pool.submit(call, item) for pair in pairs for call, item in zip(
            (delete, finish), pair, strict=True
        )]  # fmt: skip
        for future in both:
            future.result(timeout=30)
    session.expire_all()
    assert session.scalars(select(Dataset).where(Dataset.project_id == project.id)).all() == []


def test_two_reports_of_one_version_can_be_compared(
    session: Session, mine: Api, dataset: dict[str, Any], task: Task
) -> None:
    path = f"datasets/{dataset['uuid']}/versions/v1"
    end(session, task, TaskStatus.COMPLETED, result={"report": {**REPORT, "score": 60}})
    again = mine.post(f"{path}/quality", json={})
    second = session.scalars(select(Task).where(Task.uuid == again.json()["uuid"])).one()
    end(session, second, TaskStatus.COMPLETED, result={"report": REPORT})
    newest, first = (made["uuid"] for made in mine.get(f"{path}/reports").json()["items"])

    def scores(**wanted: str) -> dict[str, int]:
        answer = mine.get(f"{path}/report/changes", params={"since": "v1", **wanted})
        assert answer.status_code == 200, answer.text
        score: dict[str, int] = answer.json()["score"]
        return score

    assert scores() == {"before": 88, "after": 88}
    assert scores(since_made=first) == {"before": 60, "after": 88}
    assert scores(since_made=newest, made=first) == {"before": 88, "after": 60}
    page = mine.get(f"{path}/report/page", params={"since": "v1", "since_made": first})
    assert "60 → <b>88</b>" in page.text
    assert mine.get(f"{path}/report/changes?since=v1&made={dataset['uuid']}").status_code == 404


def test_version_that_becomes_current_again_waits_for_its_report(
    session: Session, mine: Api, dataset: dict[str, Any], task: Task
) -> None:
    path = f"datasets/{dataset['uuid']}"
    mine.post(f"{path}/versions?filename=a.jsonl", content=jsonl(CHAT[:2]))
    later = session.scalars(select(Task).where(Task.id > task.id)).one()
    end(session, later, TaskStatus.COMPLETED, result={"report": REPORT})
    assert mine.delete(f"{path}/versions/v2").status_code == 204
    assert mine.get(path).json()["status"] == "processing"
    assert mine.post(f"tasks/{task.uuid}/cancel").status_code == 202
    assert mine.get(path).json()["status"] == "uploaded"
