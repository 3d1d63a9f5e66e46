"""Fixtures and helpers for the tests of ``server/projects``."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from tests.conftest import Api
from tests.factories import (
    make_project,
    make_user,
)

Act = Callable[[User | None], Api]


@pytest.fixture
def owner(session: Session) -> User:
    return make_user(session)


@pytest.fixture
def project(session: Session, owner: User) -> Project:
    return make_project(session, owner)


@pytest.fixture
def mine(api: Act, owner: User) -> Api:
    return api(owner)


@pytest.fixture
def limit(admin: Api, project: Project) -> Callable[..., Any]:
    def limit(**limits: Any) -> Any:
        answer = admin.put(f"projects/{project.uuid}/quota", json=limits)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return limit


def get_usage(me: Api, project: Project) -> dict[str, Any]:
    found: dict[str, Any] = me.get(f"projects/{project.uuid}/usage").json()
    return found


def list_bin(mine: Api, project: Project) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = mine.get(f"projects/{project.uuid}/bin").json()["items"]
    return items


def audit_entries(session: Session, action: str, uuid: object) -> list[AuditLog]:
    rows = select(AuditLog).where(AuditLog.action == action, AuditLog.resource_id == str(uuid))
    return list(session.scalars(rows))


def make_overdue(session: Session, *uuids: object) -> None:
    session.execute(
        text("UPDATE bin_entries SET purge_after = now() - interval '1 s' "
             "WHERE resource_uuid = ANY(CAST(:uuids AS uuid[]))"),
        {"uuids": [str(uuid) for uuid in uuids]},
    )  # fmt: skip
    session.commit()
