"""Tests of a queue that accepts only scripts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from aiplatform.server.datasets.rules import ROWS_PATH
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from tests.conftest import Api, environment
from tests.factories import (
    make_blob,
    make_dataset,
    make_version,
)

Act = Callable[[User | None], Api]


class TestQueue:
    """Tests of a queue for scripts only, served by workers that run as root."""

    @pytest.fixture(autouse=True)
    def _named(self, allowed: None) -> Any:
        with environment(AIPLATFORM_SCRIPT_QUEUE="scripts"):
            yield

    def test_script_without_queue_goes_to_the_script_queue(self, bundle: Any, submit: Any) -> None:
        code = bundle(main_py="").json()["uuid"]
        assert submit(code).json()["queue"] == "scripts"
        assert submit(code, queue="night").json()["queue"] == "night"

    def test_other_task_in_the_script_queue_is_refused(
        self, session: Session, mine: Api, project: Project, tmp_path: Path
    ) -> None:
        dataset = make_dataset(session, project)
        make_version(session, dataset, file=make_blob(session, b"rows", ROWS_PATH, tmp_path))
        spec = {"type": "data_quality", "dataset": {"dataset": str(dataset.uuid), "version": "v1"}}
        body = {"name": "report", "spec": {**spec, "queue": "scripts"}}
        answer = mine.post(f"projects/{project.uuid}/tasks", json=body)
        assert answer.json()["code"] == "task.no_worker_can_run"
        assert "the queue 'scripts' is only for scripts" in answer.json()["detail"]
        body["spec"] = {**spec, "queue": "default"}
        assert mine.post(f"projects/{project.uuid}/tasks", json=body).status_code == 202
