"""The audit trail: written with what it records, read by few, changed by nobody."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor, AuditEntry, AuditLog
from aiplatform.server.identity.models import User
from tests.factories import make_project, make_role, make_user

pytestmark = pytest.mark.usefixtures("client")
Act = Callable[..., Any]


def actor_for(user: User, **columns: Any) -> Actor:
    return Actor(user_id=user.id, user_uuid=user.uuid, username=user.username, **columns)


def record(session: Session, user: User, action: AuditAction, *args: Any, **details: Any) -> int:
    row = audit.record(session, actor_for(user), action, *args, **details)
    session.commit()
    return row.id


class TestWriting:
    def test_says_who_did_what_to_which_from_where(self, session: Session) -> None:
        user = make_user(session)
        project = make_project(session, user)
        origin = actor_for(user, ip_address="2001:db8::1", user_agent="x\x00" * 2000)
        row = audit.record(
            session,
            origin,
            AuditAction.DATASET_CREATED,
            "dataset",
            project.uuid,
            project=project.uuid,
            outcome="failure",
            loss=float("nan"),
            name="a\x00b",
        )
        session.commit()
        session.expire_all()
        entry = session.get_one(AuditEntry, row.id)
        assert (row.action, row.resource_type) == ("dataset:created", "dataset")
        assert (row.resource_id, row.user_id) == (str(project.uuid), user.id)
        assert (entry.project_uuid, entry.outcome) == (project.uuid, "failure")
        assert str(row.ip_address) == "2001:db8::1"
        assert row.user_agent is not None
        assert len(row.user_agent) == 1000
        assert row.details["loss"] == "NaN"
        assert row.details["name"] == "a\ufffdb"
        assert row.details["actor"] == {"uuid": str(user.uuid), "username": user.username}

    def test_is_gone_with_what_was_rolled_back(self, session: Session) -> None:
        user = make_user(session)
        audit.record(session, actor_for(user), AuditAction.DATASET_CREATED, "dataset")
        session.rollback()
        assert session.scalars(select(AuditLog).where(AuditLog.user_id == user.id)).all() == []

    def test_every_action_fits_its_column_and_stands_in_order(self) -> None:
        names = [action.name for action in AuditAction]
        assert names == sorted(names)
        assert all(len(action.value) <= 100 for action in AuditAction)
        assert all(action.value.count(":") == 1 for action in AuditAction)


class TestAppendOnly:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE audit_logs SET action = 'nothing' WHERE id = :id",
            "UPDATE audit_logs SET user_id = NULL, action = 'nothing' WHERE id = :id",
            "UPDATE audit_logs SET user_id = NULL, details = '{}' WHERE id = :id",
            "UPDATE audit_logs SET user_id = :other WHERE id = :id",
            "UPDATE audit_logs SET user_id = NULL WHERE id = :id",
            "UPDATE audit_logs SET created_at = created_at - interval '1 day' WHERE id = :id",
            "DELETE FROM audit_logs WHERE id = :id",
            "TRUNCATE audit_logs CASCADE",
            "UPDATE audit_entries SET outcome = 'success' WHERE audit_id = :id",
            "DELETE FROM audit_entries WHERE audit_id = :id",
            "TRUNCATE audit_entries",
        ],
    )
    def test_nothing_is_changed_or_taken(self, session: Session, statement: str) -> None:
        user, other = make_user(session), make_user(session)
        id_ = record(session, user, AuditAction.DATASET_DELETED, "dataset", outcome="denied")
        wanted = {"id": id_, "other": other.id}
        params = {key: value for key, value in wanted.items() if f":{key}" in statement}
        with pytest.raises(ProgrammingError, match="append-only"):
            session.execute(text(statement), params)
        session.rollback()
        row = session.get_one(AuditLog, id_, populate_existing=True)
        assert (row.action, row.user_id) == ("dataset:deleted", user.id)

    def test_deleting_a_user_lets_go_of_the_name_but_not_of_the_deed(
        self, session: Session, admin: Any
    ) -> None:
        user = make_user(session)
        id_ = record(session, user, AuditAction.DATASET_DELETED, "dataset")
        uuid, name = user.uuid, user.username
        session.delete(user)
        session.commit()
        row = session.get_one(AuditLog, id_, populate_existing=True)
        assert row.user_id is None
        assert row.action == "dataset:deleted"
        for wanted in (name, str(uuid)):
            (shown,) = admin.get("audit", params={"user": wanted}).json()["items"]
            assert shown["user"] == {"uuid": str(uuid), "username": name}


class TestReading:
    @pytest.fixture(autouse=True)
    def _rows(self, session: Session) -> None:
        self.user, self.other = make_user(session), make_user(session)
        self.project = make_project(session, self.user)
        where = {"project": self.project.uuid}
        resource = self.project.uuid
        record(session, self.user, AuditAction.DATASET_CREATED, "dataset", resource, **where)
        record(session, self.user, AuditAction.DATASET_DELETED, "dataset", resource, **where)
        record(session, self.user, AuditAction.DATASET_VERSION_CREATED, "dataset_version")
        record(session, self.other, AuditAction.TASK_FAILED, "task", outcome="failure", **where)

    def actions(self, admin: Any, **params: Any) -> list[str]:
        answer = admin.get("audit", params=params)
        assert answer.status_code == 200, answer.text
        return [item["action"] for item in answer.json()["items"]]

    def test_newest_first(self, admin: Any) -> None:
        assert self.actions(admin, limit=4) == [
            "task:failed", "dataset_version:created", "dataset:deleted", "dataset:created",
        ]  # fmt: skip

    def test_by_user(self, admin: Any) -> None:
        for name in (self.user.username, str(self.user.uuid)):
            assert len(self.actions(admin, user=name)) == 3
        assert self.actions(admin, user="nobody at all") == []

    def test_by_project(self, admin: Any) -> None:
        assert self.actions(admin, project=str(self.project.uuid)) == [
            "task:failed", "dataset:deleted", "dataset:created",
        ]  # fmt: skip

    def test_by_action_or_all_of_a_resource(self, admin: Any) -> None:
        mine = {"user": self.user.username}
        assert self.actions(admin, action="dataset:created", **mine) == ["dataset:created"]
        assert self.actions(admin, action="dataset:", **mine) == [
            "dataset:deleted", "dataset:created",
        ]  # fmt: skip
        assert self.actions(admin, action="%:", **mine) == []

    def test_by_resource(self, admin: Any) -> None:
        assert len(self.actions(admin, resource=str(self.project.uuid))) == 2
        assert self.actions(admin, resource="task", user=self.other.username) == ["task:failed"]

    def test_by_outcome(self, admin: Any) -> None:
        assert self.actions(admin, outcome="failure", user=self.other.username) == ["task:failed"]
        assert admin.get("audit", params={"outcome": "odd"}).status_code == 422

    def test_by_time(self, admin: Any) -> None:
        items = admin.get("audit", params={"user": self.user.username}).json()["items"]
        middle = datetime.fromisoformat(items[1]["created_at"])
        mine = {"user": self.user.username}
        assert len(self.actions(admin, since=middle.isoformat(), **mine)) == 2
        assert len(self.actions(admin, until=middle.isoformat(), **mine)) == 1
        later = middle + timedelta(days=1)
        assert self.actions(admin, since=later.isoformat(), **mine) == []
        assert admin.get("audit", params={"since": "2026-01-01T00:00:00"}).status_code == 422

    def test_walks_by_cursor(self, admin: Any) -> None:
        seen, cursor = [], None
        while True:
            params = {"limit": 1, "project": str(self.project.uuid)}
            page = admin.get(
                "audit", params=params | ({} if cursor is None else {"cursor": cursor})
            ).json()
            seen += [item["action"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == ["task:failed", "dataset:deleted", "dataset:created"]

    def test_rows_of_another_program(self, session: Session, admin: Any) -> None:
        session.execute(
            text(
                "INSERT INTO audit_logs (user_id, action, details) VALUES"
                " (:id, 'own:thing', NULL), (:id, 'own:thing', '[1]'), (NULL, 'own:thing', '{}')"
            ),
            {"id": self.user.id},
        )
        session.commit()
        answer = admin.get("audit", params={"action": "own:thing"})
        assert answer.status_code == 200
        assert [item["user"] and item["user"]["username"] for item in answer.json()["items"]] == [
            None, self.user.username, self.user.username,
        ]  # fmt: skip

    def test_is_for_those_who_may(self, session: Session, api: Act) -> None:
        reader = make_role(session, "audit:read")
        assert api(make_user(session, role=reader.name)).get("audit").status_code == 200
        assert api(self.user).get("audit").json()["permission"] == "audit:read"
