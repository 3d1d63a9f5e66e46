"""Tests of versions made from other versions (by patch, filter, split, restore …) and of tags."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskType
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.database import commit
from aiplatform.server.datasets.models import Dataset, DatasetVersion
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task, TaskInput
from tests.conftest import Api
from tests.factories import make_member, make_model
from tests.server.datasets.conftest import jsonl

Stored = Callable[..., Dataset]
Rows = list[dict[str, Any]]
ROWS: Rows = [{"id": n, "text": f"text {n}", "label": "ab"[n % 2]} for n in range(6)]

pytestmark = pytest.mark.usefixtures("app")


class DatasetClient:
    """An API client whose requests change one dataset."""

    def __init__(self, api: Api, uuid: Any) -> None:
        self.api = api
        self.path = f"datasets/{uuid}"

    def upload(self, rows: Rows, **params: Any) -> Any:
        params = {"filename": "rows.jsonl", **params}
        return self.api.post(f"{self.path}/versions", params=params, content=jsonl(rows))

    def post(self, what: str, **body: Any) -> Any:
        return self.api.post(f"{self.path}/{what}", json=body)

    def tag(self, name: str, version: str) -> Any:
        return self.api.put(f"{self.path}/tags/{name}", json={"version": version})

    def rows(self, version: str) -> Rows:
        items: Rows = self.api.get(f"{self.path}/versions/{version}/rows").json()["items"]
        return items

    def current(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.api.get(self.path).json()
        return shown


@pytest.fixture
def changed(stored: Stored, mine: Api) -> DatasetClient:
    return DatasetClient(mine, stored(jsonl(ROWS)).uuid)


def test_change_counts_tokens_like_the_previous_version(
    session: Session, mine: Api, project: Project, changed: DatasetClient
) -> None:
    model = make_model(session, project)
    commit(session)

    def checks() -> list[dict[str, Any]]:
        wanted = select(Task.config).where(Task.type == TaskType.DATA_QUALITY.value)
        return list(session.scalars(wanted))

    counted = {"base_model": str(model.uuid), "max_length": 64}
    assert changed.upload(ROWS[:5], **counted).status_code == 201
    for answer, length in (
        (changed.upload(ROWS[:2], mode="append"), 64),
        (changed.upload(ROWS[:1], mode="append", max_length=128), 128),
        (changed.post("patch", delete=[0]), 128),
        (changed.post("filter", where=[{"column": "id", "op": "<", "value": 4}]), 128),
        (changed.post("restore", version="v1"), 128),
        (changed.upload(ROWS[:3]), 128),
    ):
        assert answer.status_code == 201, answer.text
        version = answer.json()["version"]
        check = next(c for c in checks() if c["dataset"]["version"] == version)
        assert (check["base_model"], check["max_length"]) == (str(model.uuid), length)


def end_reports(session: Session) -> None:
    """Mark all quality report tasks as completed, because pending ones block version deletions."""
    for task in session.scalars(select(Task).where(Task.type == TaskType.DATA_QUALITY)):
        task.status = "completed"
    session.commit()


class TestUploads:
    def test_append_adds_rows(self, changed: DatasetClient) -> None:
        made = changed.upload([{"id": 9, "text": "new", "label": "a"}], mode="append", message="m")
        assert made.status_code == 201, made.text
        version = made.json()
        assert (version["version"], version["parent"], version["message"]) == ("v2", "v1", "m")
        assert version["made_by"] == {
            "operation": "append", "from": "v1", "added": 1, "changed": 0, "deleted": 0,
        }  # fmt: skip
        assert changed.rows("v2") == [*ROWS, {"id": 9, "text": "new", "label": "a"}]
        assert changed.current()["version"] == "v2"

    def test_upsert_replaces_rows_and_delete_removes_them(self, changed: DatasetClient) -> None:
        rows = [{"id": 1, "text": "one"}, {"id": 7, "text": "seven"}]
        assert changed.upload(rows, mode="upsert", key="id").status_code == 201
        assert changed.rows("v2")[1] == {"id": 1, "text": "one", "label": "b"}
        made = changed.upload([{"id": 0}, {"id": 7}], mode="delete", key="id").json()
        assert made["made_by"]["deleted"] == 2
        assert [row["id"] for row in changed.rows("v3")] == [1, 2, 3, 4, 5]

    @pytest.mark.parametrize(
        ("params", "code"),
        [
            ({"mode": "upsert"}, "dataset.key_column_required"),
            ({"mode": "upsert", "key": "no"}, "dataset.malformed"),
            ({"mode": "append", "parent": "v9"}, "dataset.no_such_version"),
            ({"mode": "append", "parent": "@none"}, "dataset.no_such_version"),
        ],
    )
    def test_invalid_upload_is_refused_and_leaves_nothing(
        self, changed: DatasetClient, stored_state: Callable[[], Any], params: Any, code: str
    ) -> None:
        before = {k: v for k, v in stored_state().items() if k != "spooled"}
        answer = changed.upload([{"id": 1, "text": "x", "label": "a"}], **params)
        assert answer.json()["code"] == code, answer.text
        after = stored_state()
        assert {k: v for k, v in after.items() if k != "spooled"} == before
        assert all(name.startswith("rows-") for name in after["spooled"])

    def test_upload_with_earlier_parent_branches_off(self, changed: DatasetClient) -> None:
        row = {"id": 9, "text": "new", "label": "a"}
        assert changed.upload(ROWS[:3]).json()["parent"] == "v1"
        made = changed.upload([row], mode="append", parent="v1").json()
        assert (made["version"], made["parent"], made["row_count"]) == ("v3", "v1", 7)
        assert changed.current()["version"] == "v3"

    def test_concurrent_appends_lose_no_rows(self, changed: DatasetClient) -> None:
        def append(number: int) -> int:
            row = {"id": 100 + number, "text": "n", "label": "a"}
            return int(changed.upload([row], mode="append").status_code)

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(append, range(4))) == [201] * 4
        head = changed.current()
        assert head["version"] == "v5"
        ids = {row["id"] for row in changed.rows("v5")}
        assert ids == {*range(6), 100, 101, 102, 103}

    def test_small_change_of_large_dataset_stores_few_bytes(
        self, stored: Stored, mine: Api, session: Session
    ) -> None:
        from aiplatform.server.core.storage import Blob

        rows = [{"id": n, "text": f"{n} " + f"{n * 7919 % 100_003} " * 20} for n in range(4000)]
        own = DatasetClient(mine, stored(jsonl(rows)).uuid)
        before = set(session.execute(select(Blob.sha256, Blob.size)).all())
        whole = sum(size for _, size in before)
        assert own.upload([{"id": 5, "text": "changed"}], mode="upsert", key="id").is_success
        session.rollback()
        after = set(session.execute(select(Blob.sha256, Blob.size)).all())
        new = sum(size for _, size in after - before)
        assert new < 0.2 * whole


class TestPatch:
    def test_patch_changes_adds_and_deletes_rows_by_place(self, changed: DatasetClient) -> None:
        made = changed.post(
            "patch",
            set=[{"row": 2, "values": {"text": "two"}}],
            add=[{"id": 6, "text": "six", "label": "a"}],
            delete=[0],
            message="by hand",
        )
        assert made.status_code == 201, made.text
        assert made.json()["made_by"]["operation"] == "patch"
        assert [row["text"] for row in changed.rows("v2")] == [
            "text 1", "two", "text 3", "text 4", "text 5", "six",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"delete": [99]},
            {"delete": [-1]},
            {"set": [{"row": 0, "values": {}}]},
            {"set": [{"row": 0, "values": {"text": "x"}}], "delete": [0]},
            {"set": [{"row": 0, "values": {"no": "x"}}]},
            {"add": [{"id": "x" * 10, "text": "a"}], "unknown": 1},
        ],
    )
    def test_invalid_patch_is_refused(self, changed: DatasetClient, body: Any) -> None:
        assert changed.post("patch", **body).status_code == 422
        assert changed.current()["version"] == "v1"

    def test_patch_that_changes_nothing_is_refused(self, changed: DatasetClient) -> None:
        answer = changed.post("patch", set=[{"row": 0, "values": {"text": "text 0"}}])
        assert answer.json()["code"] == "dataset.identical_content"


class TestIdenticalContent:
    """Tests that the error for identical content suggests ``allow_identical`` only for uploads."""

    @pytest.mark.parametrize(
        ("what", "body"),
        [
            ("patch", {"set": [{"row": 0, "values": {"text": "text 0"}}]}),
            ("filter", {"where": [{"column": "id", "op": "present"}]}),
            ("restore", {"version": "v1"}),
        ],
    )
    def test_change_that_changes_nothing_does_not_suggest_allow_identical(
        self, changed: DatasetClient, what: str, body: Any
    ) -> None:
        answer = changed.post(what, **body)
        assert answer.status_code == 409
        assert "there is nothing to commit" in answer.json()["detail"]
        assert "allow_identical" not in answer.text
        in_chinese = changed.api.post(
            f"{changed.path}/{what}", json=body, headers={"Accept-Language": "zh"}
        )
        assert "无需提交" in in_chinese.json()["detail"]

    def test_identical_upload_suggests_allow_identical(self, changed: DatasetClient) -> None:
        for mode in {"mode": "replace"}, {"mode": "upsert", "key": "id"}:
            answer = changed.upload(ROWS, **mode)
            assert answer.status_code == 409
            assert "allow_identical=true" in answer.json()["detail"]
            assert changed.upload(ROWS, **mode, allow_identical=True).status_code == 201


class TestFilterAndSplit:
    def test_filter_keeps_rows_that_meet_the_condition(self, changed: DatasetClient) -> None:
        where = [{"column": "label", "op": "==", "value": "a"}]
        made = changed.post("filter", where=where, message="a only")
        assert made.status_code == 201, made.text
        assert made.json()["made_by"]["where"] == where
        assert [row["id"] for row in changed.rows("v2")] == [0, 2, 4]

    def test_filter_that_leaves_no_rows_is_refused(self, changed: DatasetClient) -> None:
        where = [{"column": "label", "op": "==", "value": "c"}]
        answer = changed.post("filter", where=where)
        assert (answer.status_code, answer.json()["reason"]) == (422, "no_rows_left")

    def test_split_creates_a_dataset_per_part(
        self, changed: DatasetClient, mine: Api, project: Project
    ) -> None:
        made = changed.post("split", fractions={"train": 0.67, "eval": 0.33}, stratify="label")
        assert made.status_code == 201, made.text
        train, held = made.json()["datasets"]
        name = changed.current()["name"]
        assert (train["name"], held["name"]) == (f"{name}-train", f"{name}-eval")
        assert (train["row_count"], held["row_count"]) == (4, 2)
        version = mine.get(f"datasets/{train['uuid']}/versions/v1").json()
        assert version["made_by"]["from"] == "v1"
        assert version["made_by"]["seed"] == 0
        again = changed.post("split", fractions={"train": 0.67, "eval": 0.33})
        assert again.json()["code"] == "resource.name_taken"

    @pytest.mark.parametrize("part", ["a@b", "a/b", "a\n", "x" * 100])
    def test_part_with_invalid_name_needs_another_name(
        self, changed: DatasetClient, mine: Api, part: str
    ) -> None:
        mine.patch(changed.path, json={"name": "n" * 200}, headers={"If-Match": "*"})
        answer = changed.post("split", fractions={part: 0.5, "eval": 0.5})
        assert (answer.status_code, answer.json()["code"]) == (422, "dataset.invalid_part_name")
        assert answer.json()["part"] == part
        named = changed.post("split", fractions={part: 0.5, "eval": 0.5}, names={part: "short"})
        assert named.status_code == 201, named.text
        assert named.json()["datasets"][0]["name"] == "short"

    def test_names_for_unknown_parts_or_equal_names_are_refused(
        self, changed: DatasetClient
    ) -> None:
        halves = {"a": 0.5, "b": 0.5}
        unknown = changed.post("split", fractions=halves, names={"c": "x"})
        assert unknown.status_code == 422
        assert "there is no part c" in unknown.text
        same = changed.post("split", fractions=halves, names={"a": "x", "b": "x"})
        assert (same.status_code, same.json()["code"]) == (409, "resource.name_taken")


class TestRestore:
    def test_restored_version_is_current_again(self, changed: DatasetClient) -> None:
        changed.upload(ROWS[:3])
        made = changed.post("restore", version="v1")
        assert made.status_code == 201, made.text
        version = made.json()
        assert (version["version"], version["parent"]) == ("v3", "v2")
        assert version["made_by"] == {"operation": "restore", "from": "v1"}
        assert changed.rows("v3") == ROWS
        assert changed.current()["row_count"] == 6
        assert changed.post("restore", version="v1").json()["code"] == "dataset.identical_content"

    def test_restored_version_stays_when_its_source_is_deleted(
        self, changed: DatasetClient, session: Session
    ) -> None:
        changed.upload(ROWS[:3])
        changed.upload(ROWS[:2], parent="v1")
        changed.post("restore", version="v2")
        end_reports(session)
        assert changed.api.delete(f"{changed.path}/versions/v2").status_code == 204
        assert changed.rows("v4") == ROWS[:3]


class TestTags:
    def test_tag_can_be_set_moved_read_and_removed(
        self, changed: DatasetClient, owner: User
    ) -> None:
        changed.upload(ROWS[:3])
        assert changed.tag("prod", "v1").status_code == 200
        assert len(changed.rows("prod")) == len(changed.rows("@prod")) == 6
        moved = changed.tag("prod", "v2").json()["items"]
        assert [(tag["name"], tag["version"]) for tag in moved] == [("prod", "v2")]
        assert moved[0]["moved_by"]["username"] == owner.username
        assert len(changed.rows("prod")) == 3
        assert changed.tag("stable", "@prod").json()["items"][1]["version"] == "v2"
        assert changed.api.delete(f"{changed.path}/tags/prod").status_code == 204
        gone = changed.api.get(f"{changed.path}/versions/prod")
        assert gone.status_code == 404

    def test_tag_moves_are_audited(self, changed: DatasetClient, session: Session) -> None:
        changed.upload(ROWS[:3])
        changed.tag("prod", "v1")
        changed.tag("prod", "v2")
        changed.api.delete(f"{changed.path}/tags/prod")
        rows = session.execute(
            select(AuditLog.action, AuditLog.details)
            .where(AuditLog.action.in_(["dataset:tagged", "dataset:untagged"]))
            .order_by(AuditLog.id.desc())
            .limit(3)
        ).all()[::-1]
        assert [row.details["version"] for row in rows] == [
            {"before": None, "after": "v1"}, {"before": "v1", "after": "v2"}, "v2",
        ]  # fmt: skip

    @pytest.mark.parametrize("name", ["v1", "Prod", "-x", "a b", "x" * 60, "é"])
    def test_tag_with_invalid_name_is_refused(self, changed: DatasetClient, name: str) -> None:
        assert changed.tag(name, "v1").status_code == 422

    def test_tag_at_unknown_version_is_not_found(self, changed: DatasetClient) -> None:
        assert changed.tag("prod", "v9").status_code == 404
        assert changed.tag("prod", "@none").status_code == 404

    def test_task_on_a_tag_pins_its_version(
        self, changed: DatasetClient, mine: Api, project: Project
    ) -> None:
        changed.upload(ROWS[:3])
        changed.tag("prod", "v1")
        uuid = changed.path.partition("/")[2]
        spec = {"type": "data_quality", "dataset": {"dataset": uuid, "version": "@prod"}}
        task = mine.post(f"projects/{project.uuid}/tasks", json={"name": "q", "spec": spec})
        assert task.status_code == 202, task.text
        assert task.json()["config"]["dataset"]["version"] == "v1"

    def test_viewer_may_not_tag_or_restore(
        self, changed: DatasetClient, api: Callable[..., Api], session: Session, project: Project
    ) -> None:
        viewer = DatasetClient(
            api(make_member(session, project, "viewer")), changed.current()["uuid"]
        )
        assert viewer.tag("prod", "v1").status_code == 403
        assert viewer.post("restore", version="v1").status_code == 403


class TestDeletion:
    def test_deleted_leaf_is_gone_and_its_number_is_not_reused(
        self, changed: DatasetClient, session: Session
    ) -> None:
        changed.upload(ROWS[:3])
        end_reports(session)
        assert changed.api.delete(f"{changed.path}/versions/v2").status_code == 204
        head = changed.current()
        assert (head["version"], head["row_count"]) == ("v1", 6)
        assert changed.api.get(f"{changed.path}/versions/v2").status_code == 404
        assert changed.upload(ROWS[:2]).json()["version"] == "v3"

    def test_version_in_use_can_not_be_deleted(
        self, changed: DatasetClient, session: Session
    ) -> None:
        def refusal(version: str) -> str:
            answer = changed.api.delete(f"{changed.path}/versions/{version}")
            assert answer.status_code == 409, answer.text
            return str(answer.json()["detail"])

        assert "reads or has read" in refusal("v1")  # the report is still waiting
        end_reports(session)
        assert "first" in refusal("v1")
        changed.upload(ROWS[:3])
        end_reports(session)
        assert "v2 was made from it" in refusal("v1")
        changed.tag("prod", "v2")
        assert "tag prod" in refusal("v2")
        changed.api.delete(f"{changed.path}/tags/prod")
        version = session.scalars(
            select(DatasetVersion)
            .where(DatasetVersion.version == "v2")
            .order_by(DatasetVersion.id.desc())
        ).first()
        assert version is not None
        trained = Task(project_id=None, name="tuned", type="training", status="completed",
                       config={})  # fmt: skip
        session.add(trained)
        session.flush()
        session.add(TaskInput(task_id=trained.id, role="dataset", label="x",
                              dataset_version_id=version.id))  # fmt: skip
        session.commit()
        assert "tuned" in refusal("v2")
