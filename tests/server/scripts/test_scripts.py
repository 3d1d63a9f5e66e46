"""Tests of scripts, from uploading code to artifacts, and of the permissions required."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.storage import BlobRef
from aiplatform.server.datasets.rules import ROWS_PATH
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.scripts.models import CodeBundle
from tests.conftest import Api, environment
from tests.factories import (
    make_blob,
    make_dataset,
    make_member,
    make_model,
    make_project,
    make_version,
)
from tests.server.scripts.conftest import PREFIX, packed

Act = Callable[[User | None], Api]
MAIN = """
import json, os, pathlib
inputs, output = (pathlib.Path(os.environ["AIPLATFORM_" + n]) for n in ("INPUTS", "OUTPUT"))
os.write(int(os.environ["AIPLATFORM_REPORT_FD"]),
         b'{"type": "metrics", "step": 1, "values": {"loss": 0.5, "bad": NaN}}\\n'
         b'{"type": "metrics", "step": 2, "values": {"loss": 0.25}}\\n')
print("working")
(output / "rows").write_bytes((inputs / "datasets/faq.parquet").read_bytes())
(output / "plots").mkdir()
(output / "plots/loss.txt").write_bytes((inputs / "models/base/weights/config.json").read_bytes())
"""


def test_script_reads_inputs_and_leaves_metrics_and_artifacts(
    session: Session, mine: Api, project: Project, bundle: Any, submit: Any, run: Any,
    tmp_path: Path,
) -> None:  # fmt: skip
    dataset = make_dataset(session, project)
    make_version(session, dataset, file=make_blob(session, b"rows", ROWS_PATH, tmp_path))
    model = make_model(
        session, project, files=[make_blob(session, b"{}", "weights/config.json", tmp_path)]
    )
    uploaded = bundle(main_py=MAIN)
    assert uploaded.status_code == 201, uploaded.text
    code = uploaded.json()
    assert (code["files"], code["name"]) == (1, "code")
    queued = submit(
        code["uuid"],
        datasets={"faq": {"dataset": str(dataset.uuid)}},
        models={"base": str(model.uuid)},
    )
    assert queued.status_code == 202, queued.text
    task = queued.json()
    assert task["config"]["datasets"]["faq"]["version"] == "v1"
    assert task["labels"] == ["script:plain"]

    done = run()
    assert (done.status, done.error_message) == ("completed", None)
    assert done.scheduling.result["metrics"] == {"loss": 0.25, "bad": "NaN"}
    assert "working" in done.logs
    series = mine.get(f"tasks/{task['uuid']}/metrics").json()["series"]
    assert [point[1] for point in series["loss"]] == [0.5, 0.25]
    read = {item["role"]: item for item in mine.get(f"tasks/{task['uuid']}").json()["inputs"]}
    assert read["code"]["content_hash"] == code["sha256"]
    assert {"datasets/faq", "models/base"} <= read.keys()

    listed = mine.get(f"tasks/{task['uuid']}/artifacts", params={"limit": 1}).json()
    assert [item["path"] for item in listed["items"]] == ["plots/loss.txt"]
    more = mine.get(
        f"tasks/{task['uuid']}/artifacts", params={"cursor": listed["next_cursor"]}
    ).json()
    assert [item["path"] for item in more["items"]] == ["rows"]
    got = mine.get(f"tasks/{task['uuid']}/artifacts/plots/loss.txt")
    assert (got.content, got.headers["x-content-type-options"]) == (b"{}", "nosniff")
    assert mine.get(f"tasks/{task['uuid']}/artifacts/plots").status_code == 404
    audited = select(AuditLog.action).where(AuditLog.resource_id == task["uuid"])
    assert "task:artifact_downloaded" in session.scalars(audited).all()
    usage = mine.get(f"projects/{project.uuid}/usage").json()["storage"]
    assert usage["artifacts"] == code["size"] + len(b"rows") + len(b"{}")


def test_failed_script_says_why_and_leaves_no_artifact(
    mine: Api, bundle: Any, submit: Any, run: Any
) -> None:
    code = bundle(main_py="raise ValueError('no luck')").json()
    task = submit(code["uuid"]).json()
    done = run()
    assert (done.status, done.error_message) == (
        "failed",
        "The command ended with exit code 1; its log says why.",
    )
    assert "no luck" in done.logs
    assert mine.get(f"tasks/{task['uuid']}/artifacts").json()["items"] == []


class TestScriptsNotAllowed:
    @pytest.fixture(autouse=True)
    def _forbidden(self, allowed: None) -> Any:
        with environment(AIPLATFORM_SCRIPTS="false"):
            yield

    def test_upload_and_run_are_refused(
        self, session: Session, project: Project, bundle: Any, submit: Any, home: Path
    ) -> None:
        answer = bundle(main_py="")
        assert (answer.status_code, answer.json()["code"]) == (409, "script.not_allowed")
        assert "AIPLATFORM_SCRIPTS" in answer.json()["detail"]
        from tests.factories import make_bundle

        code = make_bundle(session, project, make_blob(session, packed(a="x"), "b", home))
        answer = submit(str(code.uuid))
        assert (answer.status_code, answer.json()["code"]) == (409, "script.not_allowed")


def test_viewer_can_not_run_a_script(
    session: Session, api: Act, project: Project, bundle: Any
) -> None:
    code = bundle(main_py="").json()
    body = {"name": "s", "spec": {"type": "script", "bundle": code["uuid"], "command": ["x"]}}
    viewer = api(make_member(session, project, "viewer"))
    refused = viewer.post(f"projects/{project.uuid}/tasks", json=body)
    assert (refused.status_code, refused.json()["permission"]) == (403, "tasks:write")


def test_code_and_data_of_other_projects_are_not_found(
    session: Session, bundle: Any, submit: Any, home: Path
) -> None:
    from tests.factories import make_bundle

    other = make_project(session)
    code = make_bundle(session, other, make_blob(session, packed(a="x"), "b", home))
    assert submit(str(code.uuid)).status_code == 404
    own = bundle(main_py="").json()["uuid"]
    for field in ("datasets", "models"):
        theirs = (
            {"dataset": str(make_dataset(session, other).uuid)}
            if field == "datasets"
            else str(make_model(session, other).uuid)
        )
        assert submit(own, **{field: {"x": theirs}}).status_code == 404


def test_environment_that_no_worker_offers_is_refused(bundle: Any, submit: Any, run: Any) -> None:
    code = bundle(main_py="").json()["uuid"]
    assert submit(code).status_code == 202
    run()  # so that a worker has registered
    answer = submit(code, environment="cuda13")
    assert (answer.status_code, answer.json()["code"]) == (422, "task.no_worker_can_run")
    assert "script:cuda13" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "can't be read"), (b"no archive", "can't be read"), (packed(), "no file")],
    ids=["empty", "raw", "without files"],
)
def test_invalid_bundle_is_refused_and_leaves_nothing(
    session: Session, project: Project, bundle: Any, content: bytes, said: str
) -> None:
    answer = bundle(content)
    assert (answer.status_code, answer.json()["code"]) == (422, "script.invalid_bundle")
    assert said in answer.json()["detail"]
    assert not session.scalars(select(CodeBundle).filter_by(project_id=project.id)).all()
    sha256 = hashlib.sha256(content).hexdigest()
    assert not session.scalars(select(BlobRef).filter_by(sha256=sha256)).all()


def test_too_large_bundle_is_refused(bundle: Any) -> None:
    with environment(AIPLATFORM_SCRIPTS="true", AIPLATFORM_MAX_BUNDLE_BYTES="2048"):
        assert bundle(bytes(4096)).status_code == 413


def test_bundle_can_be_deleted_after_its_task_has_ended(
    session: Session, mine: Api, project: Project, bundle: Any, submit: Any, run: Any
) -> None:
    code = bundle(main_py="").json()["uuid"]
    task = submit(code).json()["uuid"]
    busy = mine.delete(f"bundles/{code}")
    assert (busy.status_code, busy.json()["code"]) == (409, "script.bundle_in_use")
    run()
    got = mine.get(f"bundles/{code}/content")
    assert hashlib.sha256(got.content).hexdigest() == mine.get(f"bundles/{code}").json()["sha256"]
    assert mine.delete(f"bundles/{code}").status_code == 204
    assert mine.get(f"bundles/{code}").status_code == 404
    refs = select(BlobRef).where(BlobRef.bundle_id.is_not(None), BlobRef.project_id == project.id)
    assert not session.scalars(refs).all()
    kept = session.scalars(select(Task).filter_by(uuid=UUID(task))).one()
    assert kept.config["bundle"] == code


@pytest.mark.parametrize(
    "change",
    [
        {"command": []},
        {"variables": {"LD_PRELOAD": "x.so"}},
        {"variables": {"AIPLATFORM_REPORT_FD": "1"}},
        {"datasets": {"../x": {"dataset": str(UUID(int=7, version=4))}}},
        {"environment": "../x"},
    ],
    ids=json.dumps,
)
def test_invalid_spec_is_refused(submit: Any, change: dict[str, Any]) -> None:
    assert submit(str(uuid4()), **change).status_code == 422


class TestLimits:
    """Tests of script limits; limits that a script does not set come from the settings."""

    @pytest.fixture(autouse=True)
    def _settings(self, allowed: None) -> Any:
        with environment(
            AIPLATFORM_SCRIPTS="true",
            AIPLATFORM_SCRIPT_ENVIRONMENTS=f"plain={PREFIX}",
            AIPLATFORM_SCRIPT_MEMORY_MB="128",
            AIPLATFORM_SCRIPT_DISK_MB="3",
        ):
            yield

    def test_missing_limits_are_filled_in_and_enforced(self, session: Session, bundle: Any,
                                                       submit: Any, run: Any) -> None:  # fmt: skip
        code = bundle(
            main_py="data = bytearray(b'x') * (400 << 20); import time; time.sleep(60)"
        ).json()
        task = submit(code["uuid"]).json()
        assert task["config"]["resources"]["memory_mb"] == 128
        assert task["config"]["max_disk_mb"] == 3
        row = session.scalars(select(Task).filter_by(uuid=UUID(task["uuid"]))).one()
        assert row.scheduling.memory_mb == 128
        done = run()
        assert done.status == "failed"
        assert "had asked for 128" in done.error_message

    def test_given_limits_are_kept(self, bundle: Any, submit: Any, run: Any) -> None:
        code = bundle(main_py="").json()
        asked = {"resources": {"memory_mb": 512, "cpus": 2}, "max_disk_mb": 9}
        config = submit(code["uuid"], **asked).json()["config"]
        assert (config["resources"]["memory_mb"], config["resources"]["cpus"]) == (512, 2)
        assert config["max_disk_mb"] == 9
        assert run().status == "completed"

    def test_too_many_output_bytes_fail_the_script(
        self, mine: Api, bundle: Any, submit: Any, run: Any
    ) -> None:
        code = bundle(
            main_py="import os\nfor n in range(5):\n"
            "    open(os.environ['AIPLATFORM_OUTPUT'] + f'/{n}', 'wb').write(bytes(1 << 20))\n"
        ).json()
        task = submit(code["uuid"]).json()
        done = run()
        assert done.status == "failed"
        assert "has written 5 MiB to its directories and may write 3" in done.error_message
        assert mine.get(f"tasks/{task['uuid']}/artifacts").json()["items"] == []
