"""Tests of fixes, from the request to the committed version, with the real runtime."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.messages import Job
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.quality import run_fix, run_quality
from aiplatform.server.core.database import commit
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.files import fetch_file
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.identity.errors import PermissionDenied
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import queue
from aiplatform.server.queue.service.kinds import Outcome, kind_of
from tests.conftest import Api
from tests.factories import make_member, make_model
from tests.server.datasets.conftest import jsonl

pytestmark = pytest.mark.usefixtures("app")
Stored = Callable[..., Dataset]
ROWS = [{"text": f"A text about the number {n}.", "label": "ab"[n % 2]} for n in range(6)]
ROWS[1]["text"] = "mail bob@gmail.com now"
ROWS[4] = ROWS[2]


@pytest.fixture
def perform(session: Session, tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """Return a function that runs a queued task like a worker, but in this process."""

    def run(uuid: str) -> dict[str, Any]:
        task = session.scalars(select(Task).where(Task.uuid == uuid)).one()
        kind = kind_of(task.type)
        place = tmp_path / str(uuid4())
        (place / "output").mkdir(parents=True)
        files = {}
        for role, file in kind.inputs(session, task).single.items():
            files[role] = str(place / f"{role}.parquet")
            fetch_file(file, Path(files[role]))
        job = Job(task=task.uuid, attempt=1, spec=task.config, inputs=files,
                  output_dir=str(place / "output"), checkpoint_dir=str(place))  # fmt: skip
        work = {"data_fix": run_fix, "data_quality": run_quality}[task.type]
        try:
            result = work(job, Mock())
        except JobError as fault:
            outcome = Outcome(TaskStatus.FAILED, error=str(fault))
        else:
            kept = kind.store_output(lambda do: do(session), task.uuid, place / "output", result)
            outcome = Outcome(TaskStatus.COMPLETED, result, stored_output=kept)
        queue.change_status(session, task, TaskStatus.RUNNING)
        commit(session)
        try:
            queue.finish(session, task, outcome)
        except Problem as refused:
            session.rollback()
            queue.finish(session, task, Outcome(TaskStatus.FAILED, error=str(refused)))
        commit(session)
        return {"status": task.status, "error": task.error_message,
                "result": task.scheduling.result}  # fmt: skip

    return run


Perform = Callable[[str], dict[str, Any]]


def test_fix_commits_a_version_that_records_what_was_done(
    mine: Api, stored: Stored, perform: Perform
) -> None:
    path = f"datasets/{stored(jsonl(ROWS)).uuid}"
    asked = mine.post(
        f"{path}/fix", json={"fixes": {"personal_email": "mask", "duplicates": "deduplicate"}}
    )
    assert asked.status_code == 202, asked.text
    assert asked.json()["type"] == "data_fix"
    ended = perform(asked.json()["uuid"])
    assert (ended["status"], ended["result"]["version"]) == ("completed", "v2")
    version = mine.get(f"{path}/versions/v2").json()
    assert version["parent"] == "v1"
    assert version["message"] == (
        "Fixed in v1: duplicates (deduplicate), personal_email (mask). 1 rows changed, 1 dropped"
    )
    made_by = version["made_by"]
    assert (made_by["operation"], made_by["from"]) == ("fix", "v1")
    assert (made_by["task"], made_by["deleted"]) == (asked.json()["uuid"], 1)
    assert version["author"]["username"]
    rows = mine.get(f"{path}/versions/v2/rows").json()["items"]
    assert [row["text"] for row in rows[:2]] == [ROWS[0]["text"], "mail [EMAIL] now"]
    assert len(rows) == 5
    # The version can't be used for training before its report is finished.
    assert mine.get(path).json()["status"] == "processing"


def test_invalid_fix_is_refused(mine: Api, stored: Stored) -> None:
    path = f"datasets/{stored(jsonl(ROWS)).uuid}"
    answer = mine.post(f"{path}/fix", json={"fixes": {"duplicates": "mask"}})
    assert (answer.status_code, answer.json()["reason"]) == (422, "fix_unknown")
    answer = mine.post(f"{path}/fix", json={"fixes": {"over_length": "drop"}})
    assert (answer.status_code, answer.json()["reason"]) == (422, "fix_needs_model")
    assert mine.post(f"{path}/fix", json={"fixes": {"duplicates": "burn"}}).status_code == 422
    assert mine.post(f"{path}/fix", json={"fixes": {}}).status_code == 422


def test_fix_after_a_newer_commit_fails_unless_it_branches(
    mine: Api, stored: Stored, perform: Perform
) -> None:
    path = f"datasets/{stored(jsonl(ROWS)).uuid}"
    fix = {"fixes": {"duplicates": "drop"}}
    first = mine.post(f"{path}/fix", json=fix).json()["uuid"]
    branch = mine.post(f"{path}/fix", json={**fix, "parent": "v1", "message": "mine"}).json()[
        "uuid"
    ]
    newer = mine.post(f"{path}/versions?filename=a.jsonl", content=jsonl(ROWS[:3]))
    assert newer.status_code == 201
    ended = perform(first)
    assert ended["status"] == "failed"
    assert "The current version is now v2" in ended["error"]
    assert perform(branch)["result"]["version"] == "v3"
    version = mine.get(f"{path}/versions/v3").json()
    assert (version["parent"], version["message"]) == ("v1", "mine")


def test_fix_of_an_author_who_may_only_read_now_is_refused(
    api: Callable[..., Api],
    mine: Api,
    stored: Stored,
    perform: Perform,
    session: Session,
    project: Project,
) -> None:
    path = f"datasets/{stored(jsonl(ROWS)).uuid}"
    member = make_member(session, project, "developer")
    task = api(member).post(f"{path}/fix", json={"fixes": {"duplicates": "drop"}}).json()["uuid"]
    demoted = {"role": "viewer"}
    role = mine.put(f"projects/{project.uuid}/members/{member.uuid}", json=demoted)
    assert role.status_code == 200, role.text
    with pytest.raises(PermissionDenied, match="datasets:write"):
        perform(task)
    assert [one["version"] for one in mine.get(f"{path}/versions").json()["items"]] == ["v1"]


def test_fix_works_after_the_counting_model_was_deleted(
    session: Session, mine: Api, project: Project, stored: Stored, perform: Perform
) -> None:
    model = make_model(session, project)
    path = f"datasets/{stored(jsonl(ROWS)).uuid}"
    for delete in (False, True):
        asked = mine.post(f"{path}/versions/v1/quality", json={"base_model": str(model.uuid)})
        report = session.scalars(select(Task).where(Task.uuid == asked.json()["uuid"])).one()
        queue.finish(session, report, Outcome(TaskStatus.FAILED, error="no tokenizer"))
        commit(session)
        fix = {"fixes": {"duplicates": "drop"}, "parent": "v1"}
        asked = mine.post(f"{path}/fix", json=fix)
        if delete:
            assert mine.delete(f"models/{model.uuid}").status_code in {200, 204}
        ended = perform(asked.json()["uuid"])
        assert ended["status"] == "completed", ended["error"]
        newest = session.scalars(select(Task).order_by(Task.id.desc()).limit(1)).one()
        assert newest.config["dataset"]["version"] == ended["result"]["version"]
        assert newest.config["base_model"] == (None if delete else str(model.uuid))
        queue.finish(session, newest, Outcome(TaskStatus.FAILED, error="no tokenizer"))
        commit(session)


def test_fix_without_matching_rows_fails_and_leaves_no_version(
    mine: Api, stored: Stored, perform: Perform
) -> None:
    path = f"datasets/{stored(jsonl(ROWS[:2])).uuid}"
    asked = mine.post(f"{path}/fix", json={"fixes": {"duplicates": "drop"}}).json()
    ended = perform(asked["uuid"])
    assert ended["status"] == "failed"
    assert "exactly those" in ended["error"]
    assert mine.get(path).json()["version"] == "v1"


def test_report_compares_with_gate_data_and_fix_drops_leaked_rows(
    mine: Api, project: Project, stored: Stored, perform: Perform
) -> None:
    held = stored(jsonl(ROWS[:1]))
    gate = {"evaluation": [{"dataset": str(held.uuid)}]}
    assert mine.put(f"projects/{project.uuid}/dataset-gate", json=gate).status_code == 200
    path = f"datasets/{stored(jsonl(ROWS)).uuid}"
    verdict = mine.get(f"{path}/versions/v1/gate").json()
    assert [f["rule"] for f in verdict["failures"]] == ["report"]
    asked = mine.post(f"{path}/versions/v1/quality").json()
    assert asked["config"]["against"] == [
        {"dataset": str(held.uuid), "version": "v1", "role": "evaluation",
         "label": f"{held.name}@v1"}
    ]  # fmt: skip
    assert perform(asked["uuid"])["status"] == "completed"
    report = mine.get(f"{path}/versions/v1/report").json()
    assert report["compared_with"][0]["exact"] == 1
    assert "leakage_exact" in {finding["code"] for finding in report["findings"]}
    assert mine.get(f"{path}/versions/v1/gate").json()["passed"]
    # The evaluation data itself may not be used for training.
    own = mine.get(f"datasets/{held.uuid}/versions/v1/gate").json()
    assert [f["rule"] for f in own["failures"]] == ["evaluation"]
    fix = mine.post(f"{path}/fix", json={"fixes": {"leakage_exact": "drop"}}).json()
    assert perform(fix["uuid"])["result"]["deleted"] == 1
    rows = mine.get(f"{path}/versions/v2/rows").json()["items"]
    assert ROWS[0]["text"] not in [row["text"] for row in rows]


def test_comparison_with_unknown_dataset_is_not_found(mine: Api, stored: Stored) -> None:
    path = f"datasets/{stored(jsonl(ROWS)).uuid}"
    against = [{"dataset": str(uuid4()), "role": "benchmark"}]
    answer = mine.post(f"{path}/versions/v1/quality", json={"against": against})
    assert answer.status_code == 404


def test_next_version_is_compared_with_the_same_data(
    session: Session, mine: Api, stored: Stored, perform: Perform
) -> None:
    held, path = stored(jsonl(ROWS[:1])), f"datasets/{stored(jsonl(ROWS)).uuid}"
    against = [{"dataset": str(held.uuid), "role": "evaluation"}]
    mine.post(f"{path}/versions/v1/quality", json={"against": against})
    mine.post(f"{path}/versions?filename=a.jsonl", content=jsonl(ROWS[:3]))
    newest = session.scalars(select(Task).order_by(Task.id.desc()).limit(1)).one()
    assert newest.config["dataset"]["version"] == "v2"
    assert [ref["dataset"] for ref in newest.config["against"]] == [str(held.uuid)]


def test_reports_are_kept_compared_and_downloaded(
    mine: Api, stored: Stored, perform: Perform
) -> None:
    rows = [{"text": "<script>alert(1)</script> bob@gmail.com"}, *ROWS]
    path = f"datasets/{stored(jsonl(rows)).uuid}"
    for length in (8, 16):
        asked = mine.post(f"{path}/versions/v1/quality", json={"max_length": length}).json()
        perform(asked["uuid"])
    listed = mine.get(f"{path}/versions/v1/reports").json()["items"]
    assert len(listed) == 2
    assert listed[0]["task"] == asked["uuid"]
    oldest = mine.get(f"{path}/versions/v1/report", params={"made": listed[1]["uuid"]}).json()
    assert oldest["score"] == listed[1]["score"]
    fix = mine.post(f"{path}/fix", json={"fixes": {"personal_email": "mask"}}).json()
    perform(fix["uuid"])
    changes = mine.get(f"{path}/versions/v2/report/changes?since=v1")
    assert changes.status_code == 409, "the report of v2 is being made"
    assert changes.json()["code"] == "dataset.report_being_made"
    perform(mine.post(f"{path}/versions/v2/quality").json()["uuid"])
    changes = mine.get(f"{path}/versions/v2/report/changes?since=v1").json()
    became = {each["code"]: each["change"] for each in changes["findings"]}
    assert became["personal_email"] == "gone"
    assert became["duplicates"] == "same"
    assert changes["score"]["before"] < changes["score"]["after"]
    answer = mine.get(
        f"{path}/versions/v1/report/page?since=v2", headers={"Accept-Language": "zh-CN"}
    )
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert 'lang="zh-CN"' in answer.text
    assert "质量报告" in answer.text
    assert "<script>alert" not in answer.text
    english = mine.get(f"{path}/versions/v1/report/page?lang=en").text
    assert "Quality report" in english
