"""Tests of concurrent deletion, restoration, purge and use of the same resource."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import NotFound
from aiplatform.server.datasets import access
from aiplatform.server.datasets import service as datasets
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.projects.service import bin as service
from aiplatform.server.projects.service import purge_overdue
from tests.conftest import Api
from tests.factories import (
    make_binned_dataset,
    make_context,
    make_dataset,
    make_project,
    make_rows,
    make_version,
)
from tests.server.projects.conftest import Act, make_overdue

pytestmark = pytest.mark.usefixtures("client")


class TestInterleavedRequests:
    """Tests of races in which one transaction waits and then sees the changes of the other."""

    def test_restore_during_a_purge_finds_nothing(
        self, session: Session, mine: Api, project: Project
    ) -> None:
        dataset = make_binned_dataset(session, project)
        path = f"projects/{project.uuid}/bin/{dataset.uuid}"
        context = make_context(session, project)
        with ThreadPoolExecutor(1) as pool:
            with transaction() as own:
                service.purge_item(own, context, dataset.uuid)
                own.flush()
                second = pool.submit(lambda: mine.post(f"{path}/restore").status_code)
                with pytest.raises(TimeoutError):
                    second.result(0.5)
            assert second.result(30) == 404

    def test_purge_during_a_restore_skips_the_dataset(
        self, session: Session, mine: Api, project: Project
    ) -> None:
        dataset = make_binned_dataset(session, project)
        make_overdue(session, dataset.uuid)
        context = make_context(session, project)
        with transaction() as own:
            service.restore_item(own, context, dataset.uuid, None)
            own.flush()
            assert purge_overdue() == 0
        assert purge_overdue() == 0
        assert mine.get(f"datasets/{dataset.uuid}").status_code == 200

    def test_task_submitted_during_the_deletion_is_refused(
        self, session: Session, mine: Api, project: Project, home: Path
    ) -> None:
        dataset = make_dataset(session, project)
        make_version(session, dataset, file=make_rows(session, home))
        context = make_context(session, project)
        spec = {"type": "data_quality", "dataset": {"dataset": str(dataset.uuid)}}
        body = {"name": "q", "spec": spec}
        with ThreadPoolExecutor(1) as pool:
            with transaction() as own:
                datasets.delete_dataset(own, context, dataset.uuid)
                own.flush()
                second = pool.submit(
                    lambda: mine.post(f"projects/{project.uuid}/tasks", json=body).status_code
                )
                with pytest.raises(TimeoutError):
                    second.result(0.5)
            assert second.result(30) == 404


class TestRaces:
    def test_upload_that_ends_after_the_deletion_is_refused(
        self, session: Session, project: Project, mine: Api
    ) -> None:
        context = make_context(session, project)
        assert mine.delete(f"projects/{project.uuid}").status_code == 204
        with pytest.raises(NotFound), transaction() as own:
            access.confirm(own, context, Permission.DATASETS_WRITE)

    def test_concurrent_uploads_are_in_the_deleted_project_or_refused(
        self, session: Session, api: Act, owner: User
    ) -> None:
        """Check that each accepted upload is deleted and restored with the project."""
        project = make_project(session, owner)
        me = api(owner)
        line = b'{"messages": [{"role": "user", "content": "Hi"}]}\n'

        def upload(number: int) -> int:
            code: int = me.post(
                f"projects/{project.uuid}/datasets",
                params={"name": f"d{number}", "filename": "rows.jsonl"},
                content=line,
            ).status_code
            return code

        with ThreadPoolExecutor(4) as pool:
            uploads = [pool.submit(upload, number) for number in range(3)]
            deleted = pool.submit(lambda: me.delete(f"projects/{project.uuid}").status_code)
            codes = [future.result(120) for future in uploads]
            assert deleted.result(120) == 204
        assert set(codes) <= {201, 404}
        open_tasks = session.scalar(
            text("SELECT count(*) FROM tasks WHERE project_id = :id AND status IN "
                 "('pending', 'running')"), {"id": project.id},
        )  # fmt: skip
        assert open_tasks == 0
        assert me.post(f"bin/{project.uuid}/restore").status_code == 200
        listed = me.get(f"projects/{project.uuid}/datasets").json()["items"]
        assert len(listed) == codes.count(201)

    def test_task_on_a_dataset_that_is_being_deleted_never_waits_for_it(
        self, session: Session, api: Act, owner: User, home: Path
    ) -> None:
        """Check that the task is refused or cancelled, or that it prevents the deletion."""
        project = make_project(session, owner)
        me = api(owner)
        for _ in range(6):
            dataset = make_dataset(session, project)
            make_version(session, dataset, file=make_rows(session, home))
            spec = {"type": "data_quality", "dataset": {"dataset": str(dataset.uuid)}}

            def check(spec: dict[str, Any] = spec) -> int:
                code: int = me.post(
                    f"projects/{project.uuid}/tasks", json={"name": "q", "spec": spec}
                ).status_code
                return code

            def delete(dataset: Dataset = dataset) -> int:
                code: int = me.delete(f"datasets/{dataset.uuid}").status_code
                return code

            with ThreadPoolExecutor(2) as pool:
                asked, gone = pool.submit(check), pool.submit(delete)
                codes = (asked.result(60), gone.result(60))
            assert codes in {(202, 204), (404, 204), (202, 409)}, codes
        waiting = session.scalar(
            text("SELECT count(*) FROM tasks t JOIN task_inputs i ON i.task_id = t.id "
                 "JOIN dataset_versions v ON v.id = i.dataset_version_id "
                 "JOIN datasets d ON d.id = v.dataset_id "
                 "WHERE t.status = 'pending' AND d.project_id <> t.project_id")
        )  # fmt: skip
        assert waiting == 0
