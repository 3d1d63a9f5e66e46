"""Tests of the projects' permission guards and of the evidence that they return."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from starlette.requests import Request

from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.audit import Actor, AuditEntry, AuditLog
from aiplatform.server.core.errors import NotFound
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.errors import (
    PasswordChangeRequired,
    PermissionDenied,
    Unauthenticated,
)
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import (
    ProjectContext,
    ProjectGuard,
    ResourcePath,
    find_revocations,
    project_permissions,
)
from aiplatform.server.projects.errors import ProjectArchived
from tests.factories import (
    make_context,
    make_dataset,
    make_member,
    make_model,
    make_project,
    make_role,
    make_token,
    make_user,
)

DATASET = ResourcePath(Dataset.uuid, Dataset.project_id, "dataset", "dataset")
Ask = Callable[..., ProjectContext]


def principal(user_id: int, *permissions: str) -> Principal:
    return Principal(
        user_id=user_id,
        user_uuid=uuid4(),
        username="somebody",
        role="user",
        permissions=frozenset(permissions),
        session_id=1,
        must_change_password=False,
        actor=Actor(),
    )


def request_for(**params: str) -> Request:
    return Request(
        {"type": "http", "method": "GET", "path": "/x", "headers": [], "client": None,
         "query_string": b"", "server": ("h", 1), "scheme": "http", "path_params": params}
    )  # fmt: skip


@pytest.fixture
def ask(session: Session) -> Ask:
    """Return a function that calls a guard for a user and a project, or a resource in it."""

    def ask(
        user: User | None,
        project: Any,
        permission: Permission = Permission.DATASETS_READ,
        via: ResourcePath | None = None,
        **options: Any,
    ) -> ProjectContext:
        token = None if user is None else make_token(session, user)
        request = request_for(**{"dataset" if via else "project": str(project.uuid)})
        return ProjectGuard(permission, via, **options).authorize(request, session, token)

    return ask


class TestEvidence:
    def test_wildcard_in_a_project_gives_only_project_permissions(self, session: Session) -> None:
        context = make_context(session, make_project(session))
        for permission in Permission:
            inside = permission.partition(":")[0] in {
                "datasets", "inference", "members", "models", "projects", "secrets", "tasks",
                "training",
            }  # fmt: skip
            assert context.may(permission) is inside, permission

    def test_role_in_a_project_gives_only_project_permissions(self) -> None:
        row = SimpleNamespace(
            project_id=1,
            owner_id=1,
            member_permissions=["users:write", "audit:*", "tasks:*", "models:read", "*"],
        )
        member = principal(2)
        assert project_permissions(row, member) == {"tasks:*", "models:read", "*"}

    @pytest.mark.parametrize(
        ("user_id", "superuser", "member", "held"),
        [
            (1, False, None, {"*"}),
            (2, False, None, None),
            (2, False, [], set()),
            (2, True, None, {"*"}),
            (2, True, ["tasks:read"], {"*"}),
            # An owner may have a role, too, which takes no permissions away.
            (1, False, ["tasks:read"], {"*"}),
        ],
    )
    def test_permissions_follow_from_ownership_role_and_superuser(
        self, user_id: int, superuser: bool, member: list[str] | None, held: set[str] | None
    ) -> None:
        row = SimpleNamespace(project_id=1, owner_id=1, member_permissions=member)
        who = principal(user_id, *("*" for _ in range(superuser)))
        assert project_permissions(row, who) == held

    def test_project_without_owner_belongs_to_nobody(self) -> None:
        row = SimpleNamespace(project_id=1, owner_id=None, member_permissions=None)
        assert project_permissions(row, principal(1)) is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("SELECT 1", None),
        ("UPDATE users SET is_active = FALSE WHERE id = :user", "auth.unauthenticated"),
        ("DELETE FROM users WHERE id = :user", "auth.unauthenticated"),
        ("DELETE FROM project_permissions WHERE user_id = :user", "resource.not_found"),
        ("UPDATE projects SET status = 'deleted' WHERE id = :project", "resource.not_found"),
        ("DELETE FROM projects WHERE id = :project", "resource.not_found"),
    ],
)
def test_refusals_of_earlier_evidence_follow_later_changes(
    session: Session, ask: Ask, change: str, code: str | None
) -> None:
    project = make_project(session)
    member, owner = make_member(session, project, "viewer"), session.get_one(User, project.owner_id)
    contexts = [ask(member, project), ask(owner, project)]
    session.execute(text(change), {"user": member.id, "project": project.id})
    hidden = NotFound(resource="task")
    heard = [
        None if refusal is None else refusal.code
        for refusal in find_revocations(session, contexts, Permission.DATASETS_READ, hidden=hidden)
    ]
    assert heard == [code, code if ":project" in change else None]
    session.rollback()


class TestProjectGuard:
    def test_guard_returns_the_project_and_the_permissions(
        self, session: Session, ask: Ask
    ) -> None:
        project = make_project(session)
        user = make_member(session, project, "viewer")
        context = ask(user, project)
        assert (context.project_id, context.project_uuid) == (project.id, project.uuid)
        assert context.project_name == project.name
        assert context.actor.user_id == user.id
        assert context.may(Permission.DATASETS_READ)
        assert not context.may(Permission.DATASETS_WRITE)

    def test_global_administrator_may_enter_every_project(self, session: Session, ask: Ask) -> None:
        everything = make_role(session, "*")
        for role in ("admin", everything.name):
            context = ask(make_user(session, role=role), make_project(session))
            assert context.permissions == {"*"}

    @pytest.mark.parametrize("held", ["projects:*", "datasets:read", "datasets:*"])
    def test_other_global_roles_may_not_enter_projects(
        self, session: Session, ask: Ask, held: str
    ) -> None:
        role = make_role(session, held)
        with pytest.raises(NotFound):
            ask(make_user(session, role=role.name), make_project(session))

    def test_role_in_one_project_is_not_valid_in_another(self, session: Session, ask: Ask) -> None:
        one, other = make_project(session), make_project(session)
        user = make_member(session, one, "admin")
        with pytest.raises(NotFound):
            ask(user, other)

    def test_guard_finds_the_project_of_a_resource(self, session: Session, ask: Ask) -> None:
        project = make_project(session)
        dataset = make_dataset(session, project)
        owner = session.get_one(User, project.owner_id)
        assert ask(owner, dataset, via=DATASET).project_id == project.id
        with pytest.raises(NotFound) as caught:
            ask(make_user(session), dataset, via=DATASET)
        assert caught.value.params["resource"] == "dataset"
        with pytest.raises(NotFound):
            ask(owner, SimpleNamespace(uuid=uuid4()), via=DATASET)

    def test_resource_without_project_is_not_found(self, session: Session, ask: Ask) -> None:
        from aiplatform.server.registry.models import Model

        via = ResourcePath(Model.uuid, Model.project_id, "dataset", "model")
        shared = make_model(session, None)
        with pytest.raises(NotFound):
            ask(make_user(session, role="admin"), shared, Permission.MODELS_READ, via=via)

    def test_missing_permission_is_named_and_audited(self, session: Session, ask: Ask) -> None:
        project = make_project(session)
        user = make_member(session, project, "viewer")
        with pytest.raises(PermissionDenied) as caught:
            ask(user, project, Permission.DATASETS_WRITE)
        assert caught.value.params["permission"] == "datasets:write"
        session.rollback()
        row, entry = session.execute(
            select(AuditLog, AuditEntry)
            .join(AuditEntry, AuditEntry.audit_id == AuditLog.id)
            .where(AuditLog.user_id == user.id)
        ).one()
        assert (row.action, entry.outcome) == ("access:denied", "denied")
        assert entry.project_uuid == project.uuid

    def test_refused_stranger_leaves_no_audit_entry(self, session: Session, ask: Ask) -> None:
        """Check that strangers can't fill the audit trail with refusals."""
        user = make_user(session)
        with pytest.raises(NotFound):
            ask(user, make_project(session))
        assert session.scalars(select(AuditLog).where(AuditLog.user_id == user.id)).all() == []

    def test_archived_projects_are_read_only(self, session: Session, ask: Ask) -> None:
        project = make_project(session, status="archived")
        owner = session.get_one(User, project.owner_id)
        for user in (owner, make_user(session, role="admin")):
            assert ask(user, project).project_id == project.id
            with pytest.raises(ProjectArchived):
                ask(user, project, Permission.DATASETS_WRITE)
            assert ask(user, project, Permission.TASKS_WRITE, writes=False)
            with pytest.raises(ProjectArchived):
                ask(user, project, Permission.DATASETS_READ, writes=True)
        viewer = make_member(session, project, "viewer")
        with pytest.raises(PermissionDenied):
            ask(viewer, project, Permission.DATASETS_WRITE)

    def test_authentication_comes_first(self, session: Session, ask: Ask) -> None:
        project, nowhere = make_project(session), SimpleNamespace(uuid="nonsense")
        inactive = make_member(session, project, "admin", make_user(session, active=False))
        early = make_member(
            session, project, "admin", make_user(session, must_change_password=True)
        )
        for place in (project, nowhere):
            for user in (None, inactive):
                with pytest.raises(Unauthenticated):
                    ask(user, place)
            with pytest.raises(PasswordChangeRequired):
                ask(early, place)

    def test_guard_sends_one_statement(
        self, session: Session, ask: Ask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Check that a guard reads everything in one statement, so its values are consistent."""
        project = make_project(session)
        user = make_member(session, project, "viewer")
        token = make_token(session, user)
        seen: list[Any] = []
        execute = psycopg.Cursor.execute

        def count(cursor: Any, query: Any, *args: Any, **options: Any) -> Any:
            seen.append(query)
            return execute(cursor, query, *args, **options)

        monkeypatch.setattr(psycopg.Cursor, "execute", count)
        ProjectGuard(Permission.DATASETS_READ).authorize(
            request_for(project=str(project.uuid)), session, token
        )
        monkeypatch.undo()
        assert len(seen) == 1

    def test_deleted_role_takes_its_permissions_away(self, session: Session, ask: Ask) -> None:
        project = make_project(session)
        role = make_role(session, "*")
        user = make_member(session, project, role)
        assert ask(user, project).permissions == {"*"}
        session.execute(text("DELETE FROM roles WHERE id = :id"), {"id": role.id})
        session.commit()
        with pytest.raises(NotFound):
            ask(user, project)
