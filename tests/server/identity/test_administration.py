"""Tests of the changes that administrators can and can't make to accounts."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.identity.models import AuthSession, Role, User
from aiplatform.server.identity.service.accounts import lock_accounts
from aiplatform.server.identity.service.passwords import hash_password
from aiplatform.server.projects.models import Project, ProjectPermission
from tests.conftest import Api
from tests.factories import (
    PASSWORD,
    make_dataset,
    make_invitation,
    make_member,
    make_project,
    make_role,
    make_token,
    make_user,
    make_version,
    number,
)
from tests.openapi_checks import CheckedClient

pytestmark = pytest.mark.usefixtures("client")
Act = Callable[[User | None], Api]


def change(api: Api, user: User | str, **changes: Any) -> Any:
    name = user if isinstance(user, str) else user.username
    tag = api.get(f"users/{name}").headers["etag"]
    return api.patch(f"users/{name}", json=changes, headers={"If-Match": tag})


def audited(session: Session, action: str) -> dict[str, Any]:
    session.rollback()
    newest = select(AuditLog).where(AuditLog.action == action).order_by(AuditLog.id.desc())
    return session.scalars(newest.limit(1)).one().details


class TestList:
    def test_search_matches_names_and_addresses(self, admin: Api, session: Session) -> None:
        mark = f"mark{number()}x"
        found = make_user(session, f"a-{mark}")
        make_user(session, f"b-{mark}", role="viewer", active=False)
        make_user(session)

        def names(**params: Any) -> list[str]:
            items = admin.get("users", params=params).json()["items"]
            return sorted(item["username"][0] for item in items)

        assert names(q=mark.upper()) == ["a", "b"]
        assert names(q=f"{mark}@example") == ["a", "b"]
        assert names(q=mark, active=True) == ["a"]
        assert names(q=mark, active=False) == ["b"]
        assert names(q=mark, role="viewer") == ["b"]
        assert names(q=mark, role="user") == ["a"]
        # The text is not a pattern.
        assert names(q="%") == names(q="_") == names(q="\\") == []
        assert admin.get(f"users/{found.uuid}").json()["username"] == found.username

    def test_read_shows_how_the_account_is_secured(self, admin: Api, session: Session) -> None:
        user = make_user(session, must_change_password=True)
        answer = admin.get(f"users/{user.username}")
        assert answer.json()["must_change_password"] is True
        assert answer.json()["totp_enabled"] is False
        assert answer.headers["etag"]
        assert admin.get("users/nobody-here").status_code == 404


class TestChange:
    def test_change_applies_given_fields_and_records_them(
        self, admin: Api, session: Session
    ) -> None:
        user = make_user(session)
        before, name = user.username, f"renamed{number()}"
        answer = change(admin, user, username=name, role="viewer")
        assert answer.status_code == 200, answer.text
        assert answer.json()["role"] == "viewer"
        assert answer.json()["email"] == user.email
        details = audited(session, "user:updated")
        assert details["before"] == {"username": before, "role": "user"}
        assert details["after"] == {"username": name, "role": "viewer"}

    def test_change_requires_the_current_etag(
        self, admin: Api, client: CheckedClient, session: Session
    ) -> None:
        user = make_user(session, password_hash=hash_password(PASSWORD))
        body = {"email": f"new{number()}@example.com"}
        assert admin.patch(f"users/{user.username}", json=body).status_code == 428
        tag = admin.get(f"users/{user.username}").headers["etag"]
        form = {"username": user.username, "password": PASSWORD}
        assert client.post("/api/v1/auth/token", data=form).status_code == 200
        first = admin.patch(f"users/{user.username}", json=body, headers={"If-Match": tag})
        assert first.status_code == 200, "signing in is no change"
        again = admin.patch(
            f"users/{user.username}", json={"role": "viewer"}, headers={"If-Match": tag}
        )
        assert again.status_code == 412

    def test_taken_reserved_or_unknown_values_are_refused(
        self, admin: Api, session: Session
    ) -> None:
        user, other = make_user(session), make_user(session)
        assert change(admin, user, username=other.username.upper()).status_code == 409
        assert change(admin, user, email=other.email.upper()).status_code == 409
        assert change(admin, user, username="System").status_code == 409
        assert change(admin, user, role="no such role").status_code == 404
        assert change(admin, user, password_hash="x").status_code == 422
        assert change(admin, user, is_active=False).status_code == 422
        # The same name in different capitalisation is not a conflict.
        assert change(admin, user, username=user.username.upper()).status_code == 200

    def test_own_role_can_not_be_changed(
        self, admin: Api, admin_user: User, session: Session, api: Act
    ) -> None:
        assert change(admin, admin_user, role="viewer").json()["code"] == "account.own_role"
        helper = make_user(session, role=make_role(session, "users:*").name)
        assert change(api(helper), helper, role="user").status_code == 403

    def test_own_account_can_not_be_changed_without_the_password(
        self, admin: Api, admin_user: User, session: Session
    ) -> None:
        """Check that administration routes don't bypass the password that ``users/me`` asks for."""
        path = f"users/{admin_user.username}"
        for answer in (
            change(admin, admin_user, email=f"mine{number()}@example.com"),
            admin.post(f"{path}/password-reset"),
            admin.delete(f"{path}/totp"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (403, "account.own_account")

    @pytest.mark.parametrize("what", ["email", "role", "deactivate", "delete", "reset", "totp"])
    def test_account_with_more_permissions_can_not_be_changed(
        self, session: Session, api: Act, what: str
    ) -> None:
        role = make_role(session, Permission.USERS_READ, Permission.USERS_WRITE)
        helper = api(make_user(session, role=role.name))
        boss = make_user(session, role="admin")
        path = f"users/{boss.username}"
        answer = {
            "email": lambda: change(helper, boss, email="mine@example.com"),
            "role": lambda: change(helper, boss, role="user"),
            "deactivate": lambda: helper.post(f"{path}/deactivate"),
            "delete": lambda: helper.delete(path),
            "reset": lambda: helper.post(f"{path}/password-reset"),
            "totp": lambda: helper.delete(f"{path}/totp"),
        }[what]()
        assert answer.status_code == 403
        assert answer.json()["permission"] == "*"
        # Accounts with the same or fewer permissions can be changed.
        assert helper.post(f"users/{make_user(session).username}/deactivate").status_code == 200


class TestDeactivate:
    def test_deactivation_ends_all_access_for_good(
        self, admin: Api, session: Session, api: Act, client: CheckedClient
    ) -> None:
        user = make_user(session)
        form = {"username": user.username, "password": PASSWORD}
        tokens = client.post("/api/v1/auth/token", data=form).json()
        mine = Api(client, tokens["access_token"])
        assert mine.get("users/me").status_code == 200
        answer = admin.post(f"users/{user.username}/deactivate")
        assert (answer.status_code, answer.json()["is_active"]) == (200, False)
        assert mine.get("users/me").status_code == 401
        refresh = {"refresh_token": tokens["refresh_token"]}
        assert client.post("/api/v1/auth/refresh", json=refresh).status_code == 401
        assert client.post("/api/v1/auth/token", data=form).status_code == 401
        assert admin.post(f"users/{user.username}/activate").json()["is_active"] is True
        # Ended sessions remain ended.
        assert mine.get("users/me").status_code == 401
        assert client.post("/api/v1/auth/refresh", json=refresh).status_code == 401
        assert client.post("/api/v1/auth/token", data=form).status_code == 200
        assert audited(session, "user:deactivated")["sessions_ended"] == 1

    def test_deactivation_of_inactive_account_changes_nothing(
        self, admin: Api, session: Session
    ) -> None:
        user = make_user(session, active=False)
        before = admin.get(f"users/{user.username}").headers["etag"]
        assert admin.post(f"users/{user.username}/deactivate").headers["etag"] == before


class TestDelete:
    def test_created_things_stay_without_an_author(self, admin: Api, session: Session) -> None:
        project = make_project(session)
        user = make_member(session, project, "developer")
        make_token(session, user)
        version = make_version(session, make_dataset(session, project), created_by=user.id)
        admin.patch(f"users/{user.username}", json={"role": "viewer"}, headers={"If-Match": "*"})
        uuid, name, id_ = str(user.uuid), user.username, user.id
        session.add(
            AuditLog(user_id=id_, action="test:done", details={"actor": {"username": name}})
        )
        session.commit()
        assert admin.delete(f"users/{name}").status_code == 204
        session.rollback()
        session.expire_all()
        assert admin.get(f"users/{uuid}").status_code == 404
        assert version.created_by is None
        row = session.scalars(select(AuditLog).where(AuditLog.action == "test:done")).one()
        assert (row.user_id, row.details["actor"]["username"]) == (None, name)
        assert audited(session, "user:deleted")["username"] == name
        assert session.scalars(select(AuthSession).where(AuthSession.user_id == id_)).all() == []

    def test_owner_of_projects_is_not_deleted_and_projects_are_listed(
        self, admin: Api, session: Session
    ) -> None:
        owner = make_user(session)
        project = make_project(session, owner)
        answer = admin.delete(f"users/{owner.username}")
        assert (answer.status_code, answer.json()["code"]) == (409, "account.owns_projects")
        assert answer.json()["projects"] == [{"uuid": str(project.uuid), "name": project.name}]
        assert admin.get(f"users/{owner.username}").json()["is_active"] is True

    def test_deletion_transfers_projects_to_the_successor(
        self, admin: Api, session: Session, api: Act
    ) -> None:
        owner = make_user(session)
        project = make_project(session, owner)
        heir = make_member(session, project, "viewer")
        params = {"transfer_to": heir.username}
        before = {"uuid": str(owner.uuid), "username": owner.username}
        assert admin.delete(f"users/{owner.username}", params=params).status_code == 204
        session.rollback()
        session.expire_all()
        assert session.get_one(Project, project.id).owner_id == heir.id
        grants = select(ProjectPermission).where(ProjectPermission.user_id == heir.id)
        assert session.scalars(grants).all() == []
        told = audited(session, "project:transferred")
        assert told["before"] == before
        assert told["after"] == {"uuid": str(heir.uuid), "username": heir.username}
        assert api(heir).delete(f"projects/{project.uuid}").status_code == 204

    @pytest.mark.parametrize("heir", ["nobody", "inactive", "themselves", "same name"])
    def test_invalid_successor_is_refused(self, admin: Api, session: Session, heir: str) -> None:
        owner, project = make_user(session), None
        project = make_project(session, owner)
        if heir == "nobody":
            name = "nobody-here"
        elif heir == "inactive":
            name = make_user(session, active=False).username
        elif heir == "themselves":
            name = owner.username
        else:
            twin = make_project(session, name=project.name)
            name = session.get_one(User, twin.owner_id).username
        answer = admin.delete(f"users/{owner.username}", params={"transfer_to": name})
        assert answer.status_code == (409 if heir == "same name" else 404)
        session.rollback()
        assert session.get_one(Project, project.id, populate_existing=True).owner_id == owner.id

    def test_deletion_removes_open_invitations(self, admin: Api, session: Session) -> None:
        user = make_user(session, role="admin")
        invitation = make_invitation(session, user)
        assert admin.delete(f"users/{user.username}").status_code == 204
        listed = [item["uuid"] for item in admin.get("invitations").json()["items"]]
        assert str(invitation.uuid) not in listed


class TestLastAdministrator:
    """Tests of a platform whose only active administrator is ``admin_user``."""

    @pytest.fixture(autouse=True)
    def _only_one(self, session: Session, admin_user: User) -> None:
        everything = select(Role.name).where(Role.permissions.contains(["*"]))
        for user in session.scalars(select(User).where(User.role.in_(everything))):
            user.is_active = user.id == admin_user.id
        session.commit()

    @pytest.mark.parametrize("way", ["deactivate", "delete"])
    def test_last_administrator_can_not_be_removed(
        self, admin: Api, admin_user: User, way: str
    ) -> None:
        path = f"users/{admin_user.username}"
        answer = admin.post(f"{path}/deactivate") if way == "deactivate" else admin.delete(path)
        assert (answer.status_code, answer.json()["code"]) == (409, "account.last_administrator")
        assert admin.get("users/me").status_code == 200

    def test_any_role_with_all_permissions_counts(
        self, admin: Api, admin_user: User, session: Session, api: Act
    ) -> None:
        root = make_role(session, "*", name=f"root{number()}")
        other = make_user(session, role=root.name)
        assert change(api(other), admin_user, role="viewer").status_code == 200
        answer = api(other).post(f"users/{other.username}/deactivate")
        assert answer.json()["code"] == "account.last_administrator"
        assert change(api(other), admin_user, role="admin").status_code == 200

    @pytest.mark.parametrize("way", ["deactivate", "demote", "delete"])
    def test_two_administrators_who_remove_each_other_leave_one(
        self, admin_user: User, session: Session, api: Act, way: str
    ) -> None:
        for _ in range(5):
            pair = [make_user(session, role="admin") for _ in range(2)]
            admin_user.is_active = False
            session.commit()
            acting = [api(user) for user in pair]
            start = Barrier(2)

            def act(me: int) -> int:
                name = pair[1 - me].username  # noqa: B023
                start.wait()  # noqa: B023
                api_ = acting[me]  # noqa: B023
                if way == "deactivate":
                    return int(api_.post(f"users/{name}/deactivate").status_code)
                if way == "delete":
                    return int(api_.delete(f"users/{name}").status_code)
                return int(
                    api_.patch(
                        f"users/{name}", json={"role": "user"}, headers={"If-Match": "*"}
                    ).status_code
                )

            with ThreadPoolExecutor(2) as pool:
                codes = sorted(pool.map(act, range(2)))
            assert codes[0] in {200, 204}
            assert codes[1] in {401, 403, 404}
            session.rollback()
            session.expire_all()
            left = session.scalars(select(User).where(User.is_active, User.role == "admin")).all()
            assert len(left) == 1
            admin_user.is_active = True
            session.commit()
            left[0].is_active = False
            session.commit()

    def test_two_administrators_who_leave_at_once_leave_one(
        self, admin_user: User, admin: Api, session: Session, api: Act
    ) -> None:
        other = make_user(session, role="admin")
        acting = {admin_user.username: admin, other.username: api(other)}
        start = Barrier(2)

        def leave(name: str) -> int:
            start.wait()
            return int(acting[name].post(f"users/{name}/deactivate").status_code)

        with ThreadPoolExecutor(2) as pool:
            codes = sorted(pool.map(leave, acting))
        assert codes == [200, 409]
        admin_user.is_active = True
        session.commit()


@pytest.mark.parametrize("way", ["create", "promote", "accept"])
def test_permission_lost_while_waiting_can_not_be_given(
    client: CheckedClient, session: Session, api: Act, way: str
) -> None:
    held = make_role(session, Permission.USERS_WRITE, Permission.TASKS_READ)
    given = make_role(session, Permission.TASKS_READ)
    giver = api(make_user(session, role=held.name))
    other = make_user(session)
    name, email = f"new{number()}", f"new{number()}@example.com"
    new = {"username": name, "email": email, "password": PASSWORD, "role": given.name}
    invited = giver.post("invitations", json={"email": email, "role": given.name}).json()

    def give() -> int:
        if way == "create":
            return int(giver.post("users", json=new).status_code)
        if way == "promote":
            sent = {"json": {"role": given.name}, "headers": {"If-Match": "*"}}
            return int(giver.patch(f"users/{other.username}", **sent).status_code)
        token = {"token": invited["token"], "username": name, "password": PASSWORD}
        return int(client.post("/api/v1/auth/accept-invitation", json=token).status_code)

    with ThreadPoolExecutor(1) as pool:
        lock_accounts(session)
        second = pool.submit(give)
        with pytest.raises(TimeoutError):
            second.result(1)
        held.permissions = [Permission.USERS_WRITE.value]
        session.commit()
        assert second.result(30) == (422 if way == "accept" else 403)
    users = select(User).where(User.role == given.name)
    assert session.scalars(users).all() == []
