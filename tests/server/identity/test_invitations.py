"""Tests of invitations and registration."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity.models import Invitation, Role, User
from aiplatform.server.projects.models import Project, ProjectPermission
from tests.conftest import Api
from tests.factories import PASSWORD, make_member, make_project, make_role, make_user, number
from tests.openapi_checks import CheckedClient

pytestmark = pytest.mark.usefixtures("client")
Act = Callable[[User | None], Api]


def invite(api: Api, **fields: Any) -> Any:
    return api.post("invitations", json={"email": f"in{number()}@example.com", **fields})


def accept(client: CheckedClient, token: str, name: str | None = None, **fields: Any) -> Any:
    body = {"token": token, "username": name or f"guest{number()}", "password": PASSWORD, **fields}
    return client.post("/api/v1/auth/accept-invitation", json=body)


def test_invitation_creates_one_account_once(
    admin: Api, client: CheckedClient, session: Session
) -> None:
    made = invite(admin, role="viewer")
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    invitation = made.json()
    assert invitation["link"] == f"http://127.0.0.1:8400/invitation#{invitation['token']}"
    answer = accept(client, invitation["token"])
    assert answer.status_code == 201, answer.text
    user = answer.json()
    assert (user["email"], user["role"]) == (invitation["email"], "viewer")
    form = {"username": user["username"], "password": PASSWORD}
    assert client.post("/api/v1/auth/token", data=form).status_code == 200
    again = accept(client, invitation["token"])
    assert (again.status_code, again.json()["code"]) == (422, "auth.invalid_link")
    listed = {item["uuid"]: item for item in admin.get("invitations").json()["items"]}
    assert listed[invitation["uuid"]]["status"] == "accepted"
    rows = str(session.execute(text("SELECT t::text FROM invitations t")).all())
    assert invitation["token"] not in rows
    audited = admin.get("audit", params={"action": "invitation:accepted"}).json()["items"][0]
    assert audited["user"]["username"] == user["username"]
    assert audited["details"]["invited_by"]["username"] == "admin"
    assert invitation["token"] not in str(audited)


def test_concurrent_acceptances_create_one_account(admin: Api, client: CheckedClient) -> None:
    token = invite(admin).json()["token"]
    with ThreadPoolExecutor(10) as pool:
        codes = [a.status_code for a in pool.map(lambda _: accept(client, token), range(10))]
    assert sorted(codes) == [201] + [422] * 9


def test_refused_name_or_password_does_not_use_up_the_invitation(
    admin: Api, client: CheckedClient, session: Session
) -> None:
    token = invite(admin).json()["token"]
    assert accept(client, token, password="password").json()["code"] == "account.weak_password"
    assert accept(client, token, make_user(session).username).status_code == 409
    assert accept(client, token, "system").status_code == 409
    assert accept(client, token).status_code == 201


def test_expired_or_revoked_invitation_is_refused(
    admin: Api, client: CheckedClient, session: Session
) -> None:
    expired, revoked = invite(admin, days=1).json(), invite(admin).json()
    session.execute(
        update(Invitation)
        .where(Invitation.uuid == expired["uuid"])
        .values(expires_at=func.now() - timedelta(seconds=1))
    )
    session.commit()
    assert admin.delete(f"invitations/{revoked['uuid']}").status_code == 204
    assert admin.delete(f"invitations/{revoked['uuid']}").status_code == 404
    for invitation, status in ((expired, "expired"), (revoked, "revoked")):
        assert accept(client, invitation["token"]).json()["code"] == "auth.invalid_link"
        listed = {item["uuid"]: item for item in admin.get("invitations").json()["items"]}
        assert listed[invitation["uuid"]]["status"] == status
        still = admin.get("invitations", params={"only_open": True}).json()["items"]
        assert invitation["uuid"] not in {item["uuid"] for item in still}


@pytest.mark.parametrize("token", ["nonsense", "nul\x00", "密", "x" * 200])
def test_unknown_token_is_refused(client: CheckedClient, token: str) -> None:
    assert accept(client, token).status_code == 422


def test_invitation_with_permissions_that_the_caller_lacks_is_refused(
    session: Session, api: Act
) -> None:
    role = make_role(session, "users:write", "users:read")
    helper = api(make_user(session, role=role.name))
    assert invite(helper, role="admin").json()["permission"] == "*"
    assert invite(helper, role=role.name).status_code == 201
    assert invite(helper, role="no such role").status_code == 404
    assert invite(helper, email=make_user(session).email.upper()).status_code == 409


@pytest.mark.parametrize("loss", ["deactivated", "demoted", "role narrowed", "deleted"])
def test_invitation_is_invalid_once_its_creator_can_not_give_the_role(
    client: CheckedClient, session: Session, api: Act, loss: str
) -> None:
    role = make_role(session, "users:write", "tasks:read")
    wanted = make_role(session, "tasks:read")
    maker = make_user(session, role=role.name)
    token = invite(api(maker), role=wanted.name).json()["token"]
    if loss == "deactivated":
        maker.is_active = False
    elif loss == "demoted":
        maker.role = "user"
    elif loss == "role narrowed":
        role.permissions = ["users:write"]
    else:
        session.delete(maker)
    session.commit()
    assert accept(client, token).json()["code"] == "auth.invalid_link"


class TestIntoAProject:
    def test_invitation_to_a_project_creates_a_member(
        self, admin: Api, client: CheckedClient, session: Session
    ) -> None:
        project = make_project(session)
        made = invite(admin, project=str(project.uuid), project_role="developer").json()
        assert made["project"] == {
            "uuid": str(project.uuid), "name": project.name, "role": "developer",
        }  # fmt: skip
        name = accept(client, made["token"]).json()["username"]
        grant = session.execute(
            select(Role.name)
            .join(ProjectPermission, ProjectPermission.role_id == Role.id)
            .join(User, User.id == ProjectPermission.user_id)
            .where(User.username == name, ProjectPermission.project_id == project.id)
        ).scalar_one()
        assert grant == "developer"

    def test_project_without_role_or_role_without_project_is_refused(
        self, admin: Api, session: Session
    ) -> None:
        project = make_project(session)
        assert invite(admin, project=str(project.uuid)).status_code == 422
        assert invite(admin, project_role="viewer").status_code == 422

    def test_project_or_role_that_the_caller_lacks_is_refused(
        self, session: Session, api: Act
    ) -> None:
        foreign, mine = make_project(session), make_project(session)
        role = make_role(session, "users:write")
        member = make_user(session, role=role.name)
        limited = make_role(session, "members:write", "tasks:read")
        make_member(session, mine, limited, member)
        helper = api(member)
        assert invite(helper, project=str(foreign.uuid), project_role="viewer").status_code == 404
        answer = invite(helper, project=str(mine.uuid), project_role="viewer")
        assert answer.status_code == 403
        assert "datasets:read" in answer.json()["permission"]
        fits = make_role(session, "tasks:read")
        assert invite(helper, project=str(mine.uuid), project_role=fits.name).status_code == 201

    @pytest.mark.parametrize("loss", ["left", "archived", "gone"])
    def test_invitation_is_invalid_once_its_creator_lacks_the_project(
        self, client: CheckedClient, session: Session, api: Act, loss: str
    ) -> None:
        project = make_project(session)
        maker = make_user(session, role=make_role(session, "users:write").name)
        make_member(session, project, make_role(session, "*"), maker)
        made = invite(api(maker), project=str(project.uuid), project_role="viewer").json()
        row = session.get_one(Project, project.id)
        if loss == "left":
            session.execute(text("DELETE FROM project_permissions"))
        elif loss == "archived":
            row.status = "archived"
        else:
            session.delete(row)
        session.commit()
        name = f"guest{number()}"
        assert accept(client, made["token"], name).json()["code"] == "auth.invalid_link"
        assert session.scalar(select(User.id).where(User.username == name)) is None


class TestRegistration:
    def body(self, **fields: Any) -> dict[str, Any]:
        name = f"self{number()}"
        email = f"{name}@example.com"
        return {"username": name, "email": email, "password": PASSWORD, **fields}

    @pytest.fixture
    def _open(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(get_settings(), "self_registration", True)

    def test_registration_is_closed_by_default(self, client: CheckedClient) -> None:
        answer = client.post("/api/v1/auth/register", json=self.body())
        assert (answer.status_code, answer.json()["code"]) == (403, "auth.registration_closed")

    @pytest.mark.usefixtures("_open")
    def test_registration_creates_a_user_without_global_role(
        self, client: CheckedClient, session: Session
    ) -> None:
        body = self.body()
        answer = client.post("/api/v1/auth/register", json=body)
        assert (answer.status_code, answer.json()["role"]) == (201, "user")
        assert client.post("/api/v1/auth/register", json=self.body(role="admin")).status_code == 422
        # The response does not reveal whether the name or the address is in use.
        name, email = make_user(session).username, make_user(session).email
        taken = [
            client.post("/api/v1/auth/register", json=self.body(**fields))
            for fields in ({"username": name}, {"email": email})
        ]
        assert [answer.status_code for answer in taken] == [409, 409]
        assert taken[0].text == taken[1].text
