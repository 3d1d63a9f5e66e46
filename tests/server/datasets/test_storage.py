"""Tests of the parts and storage costs of versions, and of garbage collection."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from tests.conftest import Api
from tests.factories import make_project, make_user, number
from tests.server.datasets.conftest import jsonl

ROWS = [{"id": n, "text": hashlib.sha256(str(n).encode()).hexdigest() * 40} for n in range(4000)]


@pytest.fixture
def versions(upload: Callable[..., Any], mine: Api) -> Any:
    """Create and return a dataset with two versions, the second of which changes the last row."""
    dataset = upload(jsonl(ROWS)).json()
    changed = [*ROWS[:-1], {"id": 3999, "text": f"nobody else's {number()}"}]
    answer = mine.post(
        f"datasets/{dataset['uuid']}/versions",
        params={"filename": "rows.jsonl"},
        content=jsonl(changed),
    )
    assert answer.status_code == 201
    return dataset


class TestParts:
    def test_parts_are_ranges_of_the_content(self, versions: Any, mine: Api) -> None:
        path = f"datasets/{versions['uuid']}/versions"
        first, second = (mine.get(f"{path}/{v}/parts").json() for v in ("v1", "v2"))
        assert second["version"] == "v2"
        assert first["file_hash"] == mine.get(f"{path}/v1").json()["file_hash"]
        assert len(first["parts"]) > 2
        known = {part["sha256"] for part in first["parts"]}
        new = [part for part in second["parts"] if part["sha256"] not in known]
        assert len(new) == 1
        end = 0
        for part in second["parts"]:
            assert part["start"] == end
            end += part["size"]
            wanted = f"bytes={part['start']}-{end - 1}"
            content = mine.get(f"{path}/v2/content", headers={"Range": wanted}).content
            assert hashlib.sha256(content).hexdigest() == part["sha256"]
        assert end == second["file_size"]

    def test_parts_of_a_tag_are_those_of_its_version(self, versions: Any, mine: Api) -> None:
        path = f"datasets/{versions['uuid']}"
        mine.put(f"{path}/tags/prod", json={"version": "v1"})
        assert mine.get(f"{path}/versions/@prod/parts").json()["version"] == "v1"
        assert mine.get(f"{path}/versions/v9/parts").status_code == 404


class TestReport:
    def test_content_shared_by_versions_is_stored_once(
        self, versions: Any, mine: Api, project: Project
    ) -> None:
        path = f"datasets/{versions['uuid']}"
        mine.post(f"{path}/restore", json={"version": "v1"})
        found = mine.get(f"{path}/storage").json()
        third, second, first = found["versions"]
        assert [v["version"] for v in found["versions"]] == ["v3", "v2", "v1"]
        assert 0 < second["alone"] < first["charged"] / 2
        assert (first["alone"], third["alone"]) == (0, 0)
        assert found["charged"] == sum(v["charged"] for v in found["versions"])
        assert first["charged"] < found["stored"] < found["charged"] < found["logical"]
        report = mine.get(f"projects/{project.uuid}/datasets/storage").json()
        del found["versions"]
        assert report["datasets"] == [{**found, "versions": None}]
        assert report["stored"] == found["stored"]
        usage = mine.get(f"projects/{project.uuid}/usage").json()
        assert report["charged"] == usage["storage"]["datasets"]

    def test_datasets_with_the_same_rows_are_stored_once_and_charged_twice(
        self, versions: Any, upload: Callable[..., Any], mine: Api, project: Project
    ) -> None:
        before = mine.get(f"projects/{project.uuid}/datasets/storage").json()
        twin = upload(jsonl(ROWS)).json()
        after = mine.get(f"projects/{project.uuid}/datasets/storage").json()
        assert after["stored"] == before["stored"]
        assert after["charged"] > before["charged"]
        assert [d["dataset"] for d in after["datasets"]] == [versions["uuid"], twin["uuid"]]

    def test_same_content_in_another_project_does_not_show(
        self, session: Session, versions: Any, mine: Api, api: Callable[..., Api], project: Project
    ) -> None:
        path = f"datasets/{versions['uuid']}/storage"
        before = mine.get(path).json()
        stranger = make_user(session)
        other = make_project(session, stranger)
        session.commit()
        made = api(stranger).post(
            f"projects/{other.uuid}/datasets",
            params={"name": f"twin {number()}", "filename": "rows.jsonl"},
            content=jsonl(ROWS),
        )
        assert made.status_code == 201
        assert mine.get(path).json() == before
        theirs = api(stranger).get(f"datasets/{made.json()['uuid']}/storage").json()
        assert theirs["versions"][0]["alone"] == theirs["versions"][0]["charged"]


class TestGarbageCollection:
    @pytest.fixture
    def admin(self, session: Session, api: Callable[[User | None], Api]) -> Api:
        user = make_user(session, role="admin")
        session.commit()
        return api(user)

    def test_collection_marks_and_later_deletes_unreferenced_blobs(
        self, session: Session, versions: Any, mine: Api, admin: Api
    ) -> None:
        def clean(*, dry: bool) -> Any:
            return admin.post("storage/gc", json={"dry_run": dry}).json()

        def hours_later() -> None:
            session.execute(text("UPDATE blobs SET touched_at = touched_at - interval '2 days'"))
            session.execute(text("UPDATE doomed_blobs SET doomed_at = doomed_at - interval '2 h'"))
            session.commit()

        hours_later()
        while not clean(dry=False)["complete"]:
            pass
        hours_later()
        clean(dry=False)
        path = f"datasets/{versions['uuid']}"
        alone = mine.get(f"{path}/storage").json()["versions"][0]["alone"]
        # The task of the quality report never runs in this test, and would prevent the deletion.
        session.execute(text("UPDATE tasks SET status = 'completed'"))
        session.commit()
        assert mine.delete(f"{path}/versions/v2").status_code == 204
        nothing = {"count": 0, "size": 0}
        hours_later()
        foreseen = clean(dry=True)
        assert foreseen["marked"]["size"] == alone
        assert (foreseen["deleted"], foreseen["dry_run"]) == (nothing, True)
        assert clean(dry=True) == foreseen
        done = clean(dry=False)
        assert (done["marked"], done["deleted"]) == (foreseen["marked"], nothing)
        assert done["waiting"] == foreseen["marked"]
        hours_later()
        assert clean(dry=True)["deleted"] == foreseen["marked"]
        assert clean(dry=False)["deleted"] == foreseen["marked"]
        assert clean(dry=True) == {
            **foreseen, "marked": nothing, "deleted": nothing, "waiting": nothing,
        }  # fmt: skip
        assert mine.get(f"{path}/versions/v1/content", params={"format": "jsonl"}).content
        last = session.query(AuditLog).order_by(AuditLog.id.desc()).first()
        assert last is not None
        row = session.query(AuditLog).filter_by(action="storage:collected")
        assert row.order_by(AuditLog.id.desc()).first().details["deleted"] == foreseen["marked"]
