"""Tests of the audit trail: writing, reading and exporting it."""

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

import aiplatform.server
from aiplatform.protocol.audit import AuditAction
from aiplatform.server.audit.rules.findings import Kind
from aiplatform.server.audit.service import sealing
from aiplatform.server.audit.service.denials import Denials, denials
from aiplatform.server.audit.service.file_verification import verify_file
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor, AuditEntry, AuditLog
from aiplatform.server.identity.models import User
from tests.factories import make_project, make_role, make_user

pytestmark = pytest.mark.usefixtures("client")
Act = Callable[..., Any]


def actor_for(user: User, **columns: Any) -> Actor:
    return Actor(user_id=user.id, user_uuid=user.uuid, username=user.username, **columns)


def record(session: Session, user: User, action: AuditAction, *args: Any, **details: Any) -> int:
    number = audit.record(session, actor_for(user), action, *args, **details)
    session.commit()
    return number


class TestWriting:
    def test_record_contains_actor_action_resource_and_origin(self, session: Session) -> None:
        user = make_user(session)
        project = make_project(session, user)
        origin = actor_for(user, ip_address="2001:db8::1", user_agent="x\x00" * 2000)
        number = audit.record(
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
        row = session.get_one(AuditLog, number)
        entry = session.get_one(AuditEntry, number)
        assert entry.created_at == row.created_at
        assert (entry.action, entry.user_id) == (row.action, row.user_id)
        assert (row.action, row.resource_type) == ("dataset:created", "dataset")
        assert (row.resource_id, row.user_id) == (str(project.uuid), user.id)
        assert (entry.project_uuid, entry.outcome) == (project.uuid, "failure")
        assert str(row.ip_address) == "2001:db8::1"
        assert row.user_agent is not None
        assert len(row.user_agent) == 1000
        assert row.details["loss"] == "NaN"
        assert row.details["name"] == "a\ufffdb"
        assert row.details["actor"] == {"uuid": str(user.uuid), "username": user.username}

    def test_rollback_removes_the_record(self, session: Session) -> None:
        user = make_user(session)
        audit.record(session, actor_for(user), AuditAction.DATASET_CREATED, "dataset")
        session.rollback()
        assert session.scalars(select(AuditLog).where(AuditLog.user_id == user.id)).all() == []

    def test_actions_are_sorted_and_fit_their_column(self) -> None:
        names = [action.name for action in AuditAction]
        assert names == sorted(names)
        assert all(len(action.value) <= 100 for action in AuditAction)
        assert all(action.value.count(":") == 1 for action in AuditAction)


class TestDeletedUsers:
    def test_deleted_user_stays_named_in_their_entries(self, session: Session, admin: Any) -> None:
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

    def test_entries_are_listed_newest_first(self, admin: Any) -> None:
        assert self.actions(admin, limit=4) == [
            "task:failed", "dataset_version:created", "dataset:deleted", "dataset:created",
        ]  # fmt: skip

    def test_filter_by_user(self, admin: Any) -> None:
        for name in (self.user.username, str(self.user.uuid)):
            assert len(self.actions(admin, user=name)) == 3
        assert self.actions(admin, user="nobody at all") == []

    def test_filter_by_project(self, admin: Any) -> None:
        assert self.actions(admin, project=str(self.project.uuid)) == [
            "task:failed", "dataset:deleted", "dataset:created",
        ]  # fmt: skip

    def test_filter_by_action_or_all_actions_of_a_resource(self, admin: Any) -> None:
        mine = {"user": self.user.username}
        assert self.actions(admin, action="dataset:created", **mine) == ["dataset:created"]
        assert self.actions(admin, action="dataset:", **mine) == [
            "dataset:deleted", "dataset:created",
        ]  # fmt: skip
        assert self.actions(admin, action="%:", **mine) == []

    def test_filter_by_filter_language(self, admin: Any) -> None:
        mine = f'user = "{self.user.username}"'
        there = f'project = "{self.project.uuid}"'
        for wanted, found in (
            (f'{mine} and action contains "DELETE"', ["dataset:deleted"]),
            (f"{mine} and project missing", ["dataset_version:created"]),
            (f'{there} and not action in ("dataset:created", "dataset:deleted")', ["task:failed"]),
            (f'{there} and (outcome = "failure" or action = "dataset:created")',
             ["task:failed", "dataset:created"]),
            (f'{there} and user != "{self.user.username}"', ["task:failed"]),
            (f'{there} and created < "2020-01-01"', []),
            (f'{there} and created > "2020-01-01T00:00:00Z" and resource_type = "task"',
             ["task:failed"]),
            ('user = "nobody at all"', []),
        ):  # fmt: skip
            assert self.actions(admin, filter=wanted) == found, wanted
        assert self.actions(admin, filter=there, outcome="failure") == ["task:failed"]

    @pytest.mark.parametrize(
        ("wanted", "position"),
        [
            ("action >> 1", 9),
            ("actoin = 'x'", 1),
            ("action = 1", 1),
            ("user contains 'x'", 1),
            ("action = 'x' and created > 'soon'", 18),
            ("tags has 'x'", 1),
        ],
    )
    def test_invalid_filter_is_refused_with_its_position(
        self, admin: Any, wanted: str, position: int
    ) -> None:
        for path in ("audit", "audit/export"):
            answer = admin.get(path, params={"filter": wanted})
            assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid_filter")
            assert f"(at character {position})" in answer.json()["detail"]

    def test_filter_by_resource(self, admin: Any) -> None:
        assert len(self.actions(admin, resource=str(self.project.uuid))) == 2
        assert self.actions(admin, resource="task", user=self.other.username) == ["task:failed"]

    def test_filter_by_outcome(self, admin: Any) -> None:
        assert self.actions(admin, outcome="failure", user=self.other.username) == ["task:failed"]
        assert admin.get("audit", params={"outcome": "odd"}).status_code == 422

    def test_filter_by_time(self, admin: Any) -> None:
        items = admin.get("audit", params={"user": self.user.username}).json()["items"]
        middle = datetime.fromisoformat(items[1]["created_at"])
        mine = {"user": self.user.username}
        assert len(self.actions(admin, since=middle.isoformat(), **mine)) == 2
        assert len(self.actions(admin, until=middle.isoformat(), **mine)) == 1
        later = middle + timedelta(days=1)
        assert self.actions(admin, since=later.isoformat(), **mine) == []
        assert admin.get("audit", params={"since": "2026-01-01T00:00:00"}).status_code == 422

    def test_pages_follow_by_cursor(self, admin: Any) -> None:
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

    def test_filter_by_address_or_network(self, session: Session, admin: Any) -> None:
        for address in ("203.0.113.7", "203.0.113.8", "203.0.114.1", "2001:db8:5::1"):
            user = self.user
            audit.record(
                session,
                actor_for(user, ip_address=address),
                AuditAction.DATASET_CREATED,
                "dataset",
            )
        session.commit()
        assert len(self.actions(admin, address="203.0.113.7")) == 1
        assert len(self.actions(admin, address="203.0.113.0/24")) == 2
        assert len(self.actions(admin, address="2001:db8:5::/48")) == 1
        assert admin.get("audit", params={"address": "nowhere"}).status_code == 422

    def test_filter_by_words_in_details(self, session: Session, admin: Any) -> None:
        record(session, self.user, AuditAction.TASK_FAILED, "task", error="Out of zorkmids, 42")
        record(session, self.user, AuditAction.TASK_FAILED, "task", error="错误 数据集损坏")
        for text_ in ("zorkmids", "ZORK", "out zork", "数据集"):
            assert self.actions(admin, text=text_, limit=5) == ["task:failed"], text_
        assert self.actions(admin, text="zorkmids nothing") == []
        for odd in ("'", "a & b |", "!x:*", "\\", "(", "zork:*", "  ", "\x00", "<->"):
            assert admin.get("audit", params={"text": odd}).status_code == 200, odd

    @pytest.mark.parametrize(("rare", "window"), [(True, 40_000), (True, 1), (False, 1)])
    @pytest.mark.parametrize("more", [{}, {"outcome": "failure"}, {"user": "admin"}])
    def test_words_are_found_by_index_and_by_reading(
        self, session: Session, admin: Any, admin_user: User, monkeypatch: pytest.MonkeyPatch,
        rare: bool, window: int, more: dict[str, str],
    ) -> None:  # fmt: skip
        """Check both ways to search: with the word index, and by reading the newest rows."""
        word = f"zeta{uuid4().hex}"
        monkeypatch.setattr("aiplatform.server.audit.queries.FIRST_WINDOW", window)
        monkeypatch.setattr("aiplatform.server.audit.rules.filters.MAX_FETCHED", 0)
        for place in range(7):
            outcome = "failure" if place % 2 else "success"
            details = {"name": f"{word}-{place}"}
            record(session, admin_user, AuditAction.TASK_FAILED, "task", outcome=outcome, **details)
        monkeypatch.setattr("aiplatform.server.audit.queries._are_rare", lambda *_: rare)
        found, cursor = [], None
        while True:
            params = {"text": word[:-1], "limit": 2, **more} | (
                {"cursor": cursor} if cursor else {}
            )
            page = admin.get("audit", params=params).json()
            found += [item["details"]["name"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        wanted = [n for n in range(7) if n % 2 or "outcome" not in more]
        assert [n for n in found if n.startswith(word)] == [f"{word}-{n}" for n in wanted[::-1]]

    def test_filter_by_two_conditions(self, admin: Any) -> None:
        project, mine = {"project": str(self.project.uuid)}, {"user": self.user.username}
        deleted, failed = {"action": "dataset:deleted"}, {"outcome": "failure"}
        for one, other, count in (
            (mine, deleted, 1), (mine, failed, 0), (mine, project, 2), (project, deleted, 1),
            (project, failed, 1), (failed, {"action": "task:failed"}, 1), (failed, deleted, 0),
        ):  # fmt: skip
            since = {"since": self.project.created_at.isoformat()}
            assert len(self.actions(admin, **one, **other, **since)) == count, (one, other)

    def test_filter_by_all_conditions(self, admin: Any) -> None:
        found = self.actions(
            admin,
            user=self.other.username,
            project=str(self.project.uuid),
            outcome="failure",
            action="task:",
            resource="task",
            since="2020-01-01T00:00:00Z",
            until="2100-01-01T00:00:00Z",
        )
        assert found == ["task:failed"]

    def test_pages_have_no_gap_or_overlap_for_any_times(
        self, session: Session, owner_url: str, admin: Any
    ) -> None:
        """Check rows with equal times, and rows that are in another order by id than by time."""
        with psycopg.connect(owner_url, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO audit_logs (action, created_at)"
                " SELECT 'page:test', '2024-05-05Z'::timestamptz - (n %% 3) * interval '1 day'"
                " FROM generate_series(1, 20) n",
                [],
            )
        seen: list[Any] = []
        cursor = None
        while True:
            params: dict[str, Any] = {"action": "page:test", "limit": 3}
            page = admin.get(
                "audit", params=params | ({} if cursor is None else {"cursor": cursor})
            ).json()
            seen += [(item["created_at"], item["uuid"]) for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert len({uuid for _, uuid in seen}) == len(seen) == 20
        assert [time for time, _ in seen] == sorted((time for time, _ in seen), reverse=True)

    @pytest.mark.parametrize(
        "cursor", ["x", "W10", "WyJ4IiwxXQ", "WzEsMV0", "WyIyMDI0LTAxLTAxIiwxXQ"]
    )
    def test_invalid_cursor_is_refused(self, admin: Any, cursor: str) -> None:
        assert admin.get("audit", params={"cursor": cursor}).status_code in {400, 422}

    def test_rows_of_other_programs_are_listed(self, session: Session, admin: Any) -> None:
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

    def test_reading_requires_the_permission(self, session: Session, api: Act) -> None:
        reader = make_role(session, "audit:read")
        assert api(make_user(session, role=reader.name)).get("audit").status_code == 200
        assert api(self.user).get("audit").json()["permission"] == "audit:read"


class TestExport:
    @pytest.fixture(autouse=True)
    def _rows(self, session: Session) -> None:
        self.user = make_user(session)
        evil = '=HYPERLINK("http://evil")'
        actor = actor_for(self.user, ip_address="192.0.2.1", user_agent=evil)
        for number in range(5):
            audit.record(
                session, actor, AuditAction.DATASET_CREATED, "dataset", name=f'"a,b\n数据{number}'
            )
        session.commit()
        self.mine = {"user": self.user.username}

    def test_export_as_json_lines_can_be_verified(self, admin: Any, tmp_path: Path) -> None:
        sealing.seal_all()
        answer = admin.get("audit/export", params=self.mine)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/jsonl")
        assert answer.headers["content-disposition"] == 'attachment; filename="audit.jsonl"'
        path = tmp_path / "export.jsonl"
        path.write_bytes(answer.content)
        verdict = verify_file(path)
        assert verdict.is_intact, verdict.findings
        assert (verdict.rows, verdict.unsealed) == (5, 0)
        path.write_bytes(answer.content.replace("数据3".encode(), "数据4".encode()))
        assert verify_file(path).findings[0].kind is Kind.ALTERED

    def test_export_as_csv_contains_no_formulas(self, admin: Any) -> None:
        answer = admin.get("audit/export", params={**self.mine, "format": "csv"})
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert len(rows) == 5
        assert rows[0]["user"] == self.user.username
        assert rows[0]["user_agent"].startswith("'=HYPERLINK")
        assert "actor" not in json.loads(rows[0]["details"])
        for row in rows:
            assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values())

    def test_export_is_recorded_with_its_filters(self, admin: Any, session: Session) -> None:
        admin.get("audit/export", params=self.mine)
        row = session.scalars(
            select(AuditLog).where(AuditLog.action == "audit:exported").order_by(AuditLog.id.desc())
        ).first()
        assert row is not None
        assert row.details["filters"] == {"user": self.user.username}

    def test_export_of_many_rows_is_complete(self, admin: Any, session: Session) -> None:
        events = [
            audit.Event(actor_for(self.user), AuditAction.TASK_COMPLETED, "task", details={"n": n})
            for n in range(1203)
        ]
        audit.record_many(session, events)
        session.commit()
        answer = admin.get("audit/export", params={**self.mine, "action": "task:completed"})
        lines = answer.text.splitlines()
        rows = [json.loads(line) for line in lines if line.startswith('{"id"')]
        assert [row["details"]["n"] for row in rows] == list(reversed(range(1203)))
        assert json.loads(lines[-1])["end"]["rows"] == 1203

    def test_export_requires_the_permission(self, session: Session, api: Act) -> None:
        assert api(self.user).get("audit/export").status_code == 403
        assert api(None).get("audit/export").status_code == 401


class TestWriter:
    def test_entries_of_one_statement_keep_their_order_and_facts(self, session: Session) -> None:
        user, project = make_user(session), uuid4()
        events = [
            audit.Event(
                actor_for(user), AuditAction.TASK_COMPLETED, "task", project=project if n else None,
                outcome="success" if n else "failure", details={"n": n},
            )
            for n in range(3)
        ]  # fmt: skip
        numbers = audit.record_many(session, events)
        rows = session.execute(
            select(AuditLog, AuditEntry)
            .join(AuditEntry, AuditEntry.audit_id == AuditLog.id)
            .where(AuditLog.id.in_(numbers))
            .order_by(AuditLog.id)
        ).all()
        assert [log.id for log, _ in rows] == numbers
        assert [log.details["n"] for log, _ in rows] == [0, 1, 2]
        assert [entry.outcome for _, entry in rows] == ["failure", "success", "success"]
        assert [entry.project_uuid for _, entry in rows] == [None, project, project]
        assert {entry.user_id for _, entry in rows} == {user.id}

    def test_only_one_module_writes_entries(self) -> None:
        written = re.compile(r"INSERT INTO audit_(logs|entries)|AuditLog\(\w+=|AuditEntry\(\w+=")
        server = Path(aiplatform.server.__path__[0])
        writers = [path for path in server.rglob("*.py") if written.search(path.read_text())]
        assert writers == [server / "core" / "audit.py"]


class TestUnknownCallers:
    def test_refused_requests_are_counted_and_recorded_together(
        self, client: Any, session: Session
    ) -> None:
        denials.write()
        for _ in range(7):
            assert client.get("/api/v1/projects").status_code == 401
        assert (
            client.get("/api/v1/audit", headers={"Authorization": "Bearer no"}).status_code == 401
        )
        assert denials.write() == 1
        assert denials.write() == 0
        row = session.scalars(select(AuditLog).order_by(AuditLog.id.desc()).limit(1)).one()
        assert row.action == "access:unauthenticated"
        assert str(row.ip_address) == "127.0.0.1"
        assert row.details["count"] == 8
        assert row.details["routes"] == {"GET /api/v1/projects": 7, "GET /api/v1/audit": 1}
        assert session.get_one(AuditEntry, row.id).outcome == "denied"

    def test_counts_have_a_bounded_size(self) -> None:
        counted = Denials(seconds=3600)
        for number in range(3000):
            counted.note(f"10.0.{number // 250}.{number % 250}", None, f"GET /{number}")
        for number in range(100):
            counted.note("10.0.0.0", None, f"GET /{number}")
        assert len(counted._seen) == 1001
        assert sum(seen.count for seen in counted._seen.values()) == 3100
        assert max(len(seen.routes) for seen in counted._seen.values()) <= 20
        assert counted.write() == 1001
