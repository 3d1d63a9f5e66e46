"""Tests of creating, listing, reading and changing projects."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.projects import queries
from tests.factories import (
    make_member,
    make_project,
    make_role,
    make_user,
    number,
)

pytestmark = pytest.mark.usefixtures("client")
Act = Callable[..., Any]


def names(answer: Any) -> set[str]:
    return {item["name"] for item in answer.json()["items"]}


class TestCreate:
    def test_caller_owns_the_new_project(self, session: Session, api: Act) -> None:
        user = make_user(session)
        body = {"name": "  机器人 bot ", "description": "d", "config": {"a": 1}, "tags": ["x"]}
        answer = api(user).post("projects", json=body)
        assert answer.status_code == 201
        project = answer.json()
        assert project["name"] == "机器人 bot"
        assert project["owner"] == {"uuid": str(user.uuid), "username": user.username}
        assert (project["status"], project["config"], project["tags"]) == (
            "active", {"a": 1}, ["x"],
        )  # fmt: skip
        read = api(user).get(f"projects/{project['uuid']}")
        assert read.json() == project
        assert read.headers["etag"] == answer.headers["etag"]
        row = session.scalars(select(AuditLog).where(AuditLog.user_id == user.id)).one()
        assert (row.action, row.resource_id) == ("project:created", project["uuid"])

    def test_creation_needs_plain_user_or_write_permission(
        self, session: Session, api: Act
    ) -> None:
        writer = make_role(session, Permission.PROJECTS_WRITE)
        for role, status in (
            ("user", 201), ("developer", 201), ("admin", 201), (writer.name, 201),
            ("viewer", 403), ("ghost", 403),
        ):  # fmt: skip
            user = make_user(session, role=role)
            answer = api(user).post("projects", json={"name": "mine"})
            assert answer.status_code == status, role
            if status == 403:
                assert answer.json()["permission"] == "projects:write"

    def test_name_is_unique_per_owner(self, session: Session, api: Act) -> None:
        first, second = api(make_user(session)), api(make_user(session))
        assert first.post("projects", json={"name": "demo"}).status_code == 201
        assert second.post("projects", json={"name": "demo"}).status_code == 201
        answer = first.post("projects", json={"name": "demo"})
        assert answer.status_code == 409
        assert answer.json()["code"] == "resource.name_taken"
        chinese = first.post(
            "projects", json={"name": "demo"}, headers={"Accept-Language": "zh"}
        ).json()
        assert "项目" in chinese["detail"]

    def test_concurrent_creations_of_one_name_succeed_once(
        self, session: Session, api: Act, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        me = api(make_user(session))
        look = queries.name_in_use

        def look_and_linger(*args: Any, **options: Any) -> bool:
            found = look(*args, **options)
            time.sleep(0.1)
            return found

        monkeypatch.setattr(queries, "name_in_use", look_and_linger)
        with ThreadPoolExecutor(5) as pool:
            codes = list(
                pool.map(lambda _: me.post("projects", json={"name": "demo"}).status_code, range(5))
            )
        assert sorted(codes) == [201, 409, 409, 409, 409]

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"name": ""},
            {"name": "   "},
            {"name": "x" * 256},
            {"name": None},
            {"name": 1},
            {"name": "a", "tags": ["x"] * 51},
            {"name": "a", "tags": [""]},
            {"name": "a", "config": []},
            {"name": "a", "config": {"x": "y" * 70_000}},
            {"name": "a", "description": "x" * 10_001},
            {"name": "a", "owner": "me"},
            {"name": "a", "status": "archived"},
        ],
    )
    def test_invalid_project_is_refused(
        self, session: Session, api: Act, body: dict[str, Any]
    ) -> None:
        answer = api(make_user(session)).post("projects", json=body)
        assert answer.status_code == 422
        assert answer.json()["code"] == "request.invalid"

    def test_values_that_the_database_can_not_store_are_replaced(
        self, session: Session, api: Act
    ) -> None:
        me = api(make_user(session))
        answer = me.request(
            "POST",
            "projects",
            content=b'{"name": "a\\u0000b", "config": {"k\\u0000": NaN, "i": Infinity}}',
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 201
        assert answer.json()["name"] == "a\ufffdb"
        assert answer.json()["config"] == {"k\ufffd": "NaN", "i": "Infinity"}


class TestList:
    @pytest.fixture(autouse=True)
    def _projects(self, session: Session) -> None:
        self.mark = f"list{number()}"
        self.owner, self.other = make_user(session), make_user(session)
        for name in ("alpha", "Beta", "50%_\\"):
            make_project(session, self.owner, name=f"{self.mark} {name}")
        self.foreign = make_project(session, self.other, name=f"{self.mark} foreign")

    def test_list_has_ones_own_projects(self, api: Act) -> None:
        assert names(api(self.owner).get("projects")) == {
            f"{self.mark} {name}" for name in ("alpha", "Beta", "50%_\\")
        }

    def test_list_has_projects_where_a_member_may_read(self, session: Session, api: Act) -> None:
        make_member(session, self.foreign, "viewer", self.owner)
        assert f"{self.mark} foreign" in names(api(self.owner).get("projects"))

    def test_list_lacks_projects_where_the_role_can_not_read(
        self, session: Session, api: Act
    ) -> None:
        blind = make_role(session, Permission.TASKS_READ)
        make_member(session, self.foreign, blind, self.owner)
        assert f"{self.mark} foreign" not in names(api(self.owner).get("projects"))
        assert api(self.owner).get(f"projects/{self.foreign.uuid}").status_code == 403

    @pytest.mark.parametrize("held", ["*", "projects:*", "projects:read"])
    def test_list_has_projects_with_a_wildcard_role(
        self, session: Session, api: Act, held: str
    ) -> None:
        make_member(session, self.foreign, make_role(session, held), self.owner)
        assert f"{self.mark} foreign" in names(api(self.owner).get("projects"))
        assert api(self.owner).get(f"projects/{self.foreign.uuid}").status_code == 200

    def test_administrator_lists_all_projects_and_a_global_reader_none(
        self, session: Session, api: Act, admin: Any
    ) -> None:
        params = {"name": self.mark}
        assert len(names(admin.get("projects", params=params))) == 4
        reader = api(make_user(session, role="viewer"))
        assert names(reader.get("projects", params=params)) == set()

    @pytest.mark.parametrize(
        ("name", "found"),
        [("ALPHA", 1), ("beta", 1), ("%", 1), ("_", 1), ("\\", 1), ("nothing", 0), ("", 3)],
    )
    def test_list_is_filtered_by_part_of_the_name(self, api: Act, name: str, found: int) -> None:
        answer = api(self.owner).get("projects", params={"name": name})
        assert len(answer.json()["items"]) == found

    def test_list_is_filtered_by_status(self, session: Session, api: Act) -> None:
        make_project(session, self.owner, name="old", status="archived")
        me = api(self.owner)
        assert names(me.get("projects", params={"status": "archived"})) == {"old"}
        assert len(names(me.get("projects", params={"status": "active"}))) == 3
        assert me.get("projects", params={"status": "gone"}).status_code == 422

    def test_pages_are_stable_while_projects_are_added(self, session: Session, api: Act) -> None:
        me = api(self.owner)
        first = me.get("projects", params={"limit": 1}).json()
        make_project(session, self.owner, name=f"{self.mark} new")
        seen = [first["items"][0]["name"]]
        cursor = first["next_cursor"]
        while cursor is not None:
            page = me.get("projects", params={"limit": 1, "cursor": cursor}).json()
            seen += [item["name"] for item in page["items"]]
            cursor = page["next_cursor"]
        assert seen == [f"{self.mark} {name}" for name in ("50%_\\", "Beta", "alpha")]

    @pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 501}, {"cursor": "x" * 501}])
    def test_invalid_limit_or_cursor_is_refused(self, api: Act, params: dict[str, Any]) -> None:
        assert api(self.owner).get("projects", params=params).status_code == 422

    def test_nul_in_a_search_is_not_a_server_error(self, api: Act) -> None:
        answer = api(self.owner).get("projects", params={"name": "a\x00"})
        assert answer.status_code < 500


class TestRead:
    @pytest.mark.parametrize("uuid", [str(UUID(int=7, version=4)), "nonsense", "1", "%00", "é"])
    def test_unknown_project_is_not_found(self, session: Session, api: Act, uuid: str) -> None:
        answer = api(make_user(session)).get(f"projects/{uuid}")
        assert answer.status_code == 404
        assert answer.json()["code"] == "resource.not_found"

    def test_foreign_project_is_answered_like_an_unknown_one(
        self, session: Session, api: Act
    ) -> None:
        me, foreign = api(make_user(session)), make_project(session)
        there, nowhere = me.get(f"projects/{foreign.uuid}"), me.get(f"projects/{uuid4()}")
        for answer in (there, nowhere):
            assert answer.status_code == 404
        assert there.json() | {"instance": ""} == nowhere.json() | {"instance": ""}

    def test_row_written_by_another_program_can_be_read_and_changed(
        self, session: Session, api: Act
    ) -> None:
        user = make_user(session)
        uuid = session.scalars(
            text(
                "INSERT INTO projects (name, owner_id, status, config, tags, created_at,"
                " updated_at) VALUES ('bare', :owner, NULL, NULL, NULL, NULL, NULL)"
                " RETURNING uuid"
            ),
            {"owner": user.id},
        ).one()
        session.commit()
        me = api(user)
        answer = me.get(f"projects/{uuid}")
        assert answer.status_code == 200
        assert answer.json()["status"] == "active"
        changed = me.patch(
            f"projects/{uuid}", json={"tags": ["x"]}, headers={"If-Match": answer.headers["etag"]}
        )
        assert changed.status_code == 200
        assert len(me.get("projects").json()["items"]) == 1


class TestUpdate:
    @pytest.fixture(autouse=True)
    def _project(self, session: Session, api: Act) -> None:
        self.owner = make_user(session)
        self.project = make_project(session, self.owner, description="before")
        self.path = f"projects/{self.project.uuid}"
        self.me = api(self.owner)

    def etag(self) -> str:
        return str(self.me.get(self.path).headers["etag"])

    def patch(self, body: dict[str, Any], match: str | None = "*") -> Any:
        headers = {} if match is None else {"If-Match": match}
        return self.me.patch(self.path, json=body, headers=headers)

    def test_patch_changes_the_given_fields(self, session: Session) -> None:
        body = {"name": "new name", "description": None, "config": {"k": [1]}, "tags": ["t"]}
        before = self.etag()
        answer = self.patch(body, before)
        assert answer.status_code == 200
        project = answer.json()
        assert {key: project[key] for key in body} == body
        assert answer.headers["etag"] == self.etag() != before
        assert project["updated_at"] > project["created_at"]
        row = session.scalars(
            select(AuditLog).where(AuditLog.action == "project:updated").order_by(AuditLog.id)
        ).all()[-1]
        assert row.details["before"]["description"] == "before"
        assert row.details["after"]["description"] is None

    def test_patch_without_etag_is_refused(self) -> None:
        answer = self.patch({"name": "x"}, None)
        assert answer.status_code == 428
        assert answer.json()["code"] == "request.precondition_required"

    @pytest.mark.parametrize("match", ['"0"', "", 'W/"*"', '"', "x" * 5000])
    def test_patch_with_another_etag_is_refused(self, match: str) -> None:
        answer = self.patch({"name": "x"}, match)
        assert answer.status_code == 412
        assert "project" in answer.json()["detail"]

    def test_concurrent_patches_of_one_version_succeed_once(self) -> None:
        etag = self.etag()
        with ThreadPoolExecutor(6) as pool:
            codes = list(
                pool.map(lambda n: self.patch({"name": f"n{n}"}, etag).status_code, range(6))
            )
        assert sorted(codes) == [200, 412, 412, 412, 412, 412]

    def test_patch_with_equal_values_changes_nothing(self, session: Session) -> None:
        before = self.etag()
        assert self.patch({"description": "before"}, before).headers["etag"] == before
        assert self.patch({}, before).status_code == 200
        actions = session.scalars(
            select(AuditLog.action).where(AuditLog.user_id == self.owner.id)
        ).all()
        assert actions == []

    @pytest.mark.parametrize("body", [{"name": None}, {"tags": None}, {"status": "gone"}])
    def test_null_in_a_required_field_is_refused(self, body: dict[str, Any]) -> None:
        assert self.patch(body).status_code == 422

    def test_rename_to_another_name_of_the_owner_is_refused(self, session: Session) -> None:
        make_project(session, self.owner, name="taken")
        assert self.patch({"name": "taken"}).status_code == 409
        assert self.patch({"name": self.project.name}).status_code == 200

    def test_rename_by_a_member_to_a_name_of_the_owner_is_refused(
        self, session: Session, api: Act
    ) -> None:
        make_project(session, self.owner, name="taken")
        self.me = api(make_member(session, self.project, "developer"))
        assert self.patch({"name": "taken"}).status_code == 409
        assert self.patch({"name": "free"}).status_code == 200

    def test_archived_project_is_read_only_until_activated(
        self, session: Session, api: Act
    ) -> None:
        assert self.patch({"status": "archived"}).json()["status"] == "archived"
        answer = self.patch({"name": "x"})
        assert answer.status_code == 409
        assert answer.json()["code"] == "project.archived"
        member = make_user(session)
        put = self.me.put(f"{self.path}/members/{member.username}", json={"role": "viewer"})
        assert put.json()["code"] == "project.archived"
        assert self.me.get(self.path).status_code == 200
        assert self.patch({"status": "active", "name": "x"}).status_code == 200
        assert self.patch({"name": "y"}).status_code == 200
