"""Attack: an account manager takes over an account with more permissions.

With a password reset link, a changed email address or a removed second factor, the manager could
sign in as the account's owner. By ending the owner's sessions or deactivating the account, the
manager could lock the owner out.
"""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.identity.models import Role, User
from aiplatform.server.projects.models import Project, ProjectInvitation
from tests.conftest import Api
from tests.factories import (
    make_binned_project,
    make_key,
    make_member,
    make_project,
    make_role,
    make_user,
    number,
)

Act = Callable[[User | None], Api]
pytestmark = pytest.mark.usefixtures("client")


def patched(**changes: Any) -> Callable[[Api, User], Any]:
    def act(api: Api, user: User) -> Any:
        tag = api.get(f"users/{user.uuid}").headers["etag"]
        return api.patch(f"users/{user.uuid}", json=changes, headers={"If-Match": tag})

    return act


def renamed(api: Api, user: User) -> Any:
    return patched(username=f"renamed{number()}")(api, user)


def readdressed(api: Api, user: User) -> Any:
    return patched(email=f"thief{number()}@example.com")(api, user)


ACTIONS: dict[str, Callable[[Api, User], Any]] = {
    "password": lambda api, user: api.post(f"users/{user.uuid}/password-reset"),
    "address": readdressed,
    "name": renamed,
    "role": patched(role="viewer"),
    "second factor": lambda api, user: api.delete(f"users/{user.uuid}/totp"),
    "sessions": lambda api, user: api.delete(f"users/{user.uuid}/sessions"),
    "deactivation": lambda api, user: api.post(f"users/{user.uuid}/deactivate"),
    "activation": lambda api, user: api.post(f"users/{user.uuid}/activate"),
    "deletion": lambda api, user: api.delete(f"users/{user.uuid}"),
}


@pytest.fixture
def clerk(session: Session) -> User:
    """Create a user who manages accounts and has no project."""
    role = make_role(session, "users:read", "users:write", "datasets:read")
    return make_user(session, role=role.name)


def owner(session: Session, clerk: User) -> User:
    return session.get_one(User, make_project(session).owner_id)


def owner_of_a_binned_project(session: Session, clerk: User) -> User:
    project = make_project(session)
    binned = make_binned_project(session, project)
    project.owner_id = make_user(session).id
    session.commit()
    return session.get_one(User, binned.owner_id)


def member_elsewhere(session: Session, clerk: User) -> User:
    return make_member(session, make_project(session), "viewer")


def member_above(session: Session, clerk: User) -> User:
    """Create a developer of a project in which the clerk is only a viewer."""
    project = make_project(session)
    make_member(session, project, "viewer", user=clerk)
    return make_member(session, project, "developer")


def invited_elsewhere(session: Session, clerk: User) -> User:
    """Create a user with an open invitation that an account thief could accept."""
    return make_invited(session, make_project(session), "viewer")


def invited_above(session: Session, clerk: User) -> User:
    project = make_project(session)
    make_member(session, project, "viewer", user=clerk)
    return make_invited(session, project, "developer")


def make_invited(session: Session, project: Project, role: str) -> User:
    """Create a user with an open invitation to the project."""
    user = make_user(session)
    role_id = session.scalars(select(Role.id).where(Role.name == role)).one()
    session.add(
        ProjectInvitation(
            project_id=project.id,
            user_id=user.id,
            username=user.username,
            role_id=role_id,
            invited_by=project.owner_id,
        )
    )
    session.commit()
    return user


PRIVILEGED = [
    owner, owner_of_a_binned_project, member_elsewhere, member_above, invited_elsewhere,
    invited_above,
]  # fmt: skip


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("make_target", PRIVILEGED, ids=lambda found: found.__name__)
def test_account_with_more_permissions_in_projects_cannot_be_managed(
    api: Act,
    session: Session,
    clerk: User,
    make_target: Callable[[Session, User], User],
    action: str,
) -> None:
    target = make_target(session, clerk)
    before = (target.username, target.email, target.role, target.is_active, target.password_hash)
    answer = ACTIONS[action](api(clerk), target)
    assert (answer.status_code, answer.json()["code"]) == (403, "account.holds_more")
    session.expire_all()
    now = session.get_one(User, target.id)
    assert before == (now.username, now.email, now.role, now.is_active, now.password_hash)
    denied = select(AuditLog).where(
        AuditLog.action == "access:denied", AuditLog.user_id == clerk.id
    )
    assert session.scalars(denied).first() is not None


def test_refusal_names_no_project(api: Act, session: Session, clerk: User) -> None:
    project = make_project(session, name=f"secret-{number()}")
    target = session.get_one(User, project.owner_id)
    answer = api(clerk).post(f"users/{target.uuid}/password-reset")
    assert project.name not in answer.text
    assert str(project.uuid) not in answer.text


def no_project(session: Session, clerk: User) -> User:
    return make_user(session)


def member_below(session: Session, clerk: User) -> User:
    project = make_project(session)
    make_member(session, project, "developer", user=clerk)
    return make_member(session, project, "viewer")


def invited_below(session: Session, clerk: User) -> User:
    project = make_project(session)
    make_member(session, project, "developer", user=clerk)
    return make_invited(session, project, "viewer")


def member_of_the_clerks_own(session: Session, clerk: User) -> User:
    return make_member(session, make_project(session, clerk), "developer")


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    "make_target", [no_project, member_below, member_of_the_clerks_own, invited_below],
    ids=lambda found: found.__name__,
)  # fmt: skip
def test_account_without_more_permissions_can_be_managed(
    api: Act,
    session: Session,
    clerk: User,
    make_target: Callable[[Session, User], User],
    action: str,
) -> None:
    target = make_target(session, clerk)
    if action == "role":
        role = make_role(session, "datasets:read")
        answer = patched(role=role.name)(api(clerk), target)
    else:
        answer = ACTIONS[action](api(clerk), target)
    assert answer.status_code < 300, answer.text


@pytest.mark.parametrize("action", ACTIONS)
def test_administrator_can_manage_any_account(admin: Api, session: Session, action: str) -> None:
    target = member_elsewhere(session, None)  # type: ignore[arg-type]
    assert ACTIONS[action](admin, target).status_code < 300


def test_key_of_administrator_cannot_manage_account_beyond_its_scopes(
    client: Any, session: Session, admin_user: User
) -> None:
    """Use a key without project permissions, so that any project member has more permissions."""
    token = f"aip_key_{number()}-of-accounts"
    make_key(session, admin_user, "users:write", "users:read", token=token)
    project: Project = make_project(session)
    target = make_member(session, project, "viewer")
    answer = Api(client, token).post(f"users/{target.uuid}/deactivate")
    assert (answer.status_code, answer.json()["code"]) == (403, "account.holds_more")
