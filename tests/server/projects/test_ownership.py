"""Tests of leaving and transferring projects, and of explaining permissions."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.identity.models import Role
from aiplatform.server.notifications.models import Notification
from aiplatform.server.projects.models import Project, ProjectPermission
from tests.conftest import Api
from tests.factories import make_key, make_member, make_project, make_role, make_user

pytestmark = pytest.mark.usefixtures("client")
Act = Callable[..., Any]


def roles_in(session: Session, project: Project) -> dict[int, str]:
    session.expire_all()
    rows = session.execute(
        select(ProjectPermission.user_id, Role.name)
        .join(Role, Role.id == ProjectPermission.role_id)
        .where(ProjectPermission.project_id == project.id)
    )
    return {row[0]: row[1] for row in rows}


class TestLeave:
    def test_leaving_removes_ones_own_role(self, session: Session, api: Act) -> None:
        project = make_project(session)
        user = make_member(session, project, make_role(session))  # a role without permissions
        place = f"projects/{project.uuid}/leave"
        assert api(user).post(place).status_code == 204
        assert api(user).post(place).status_code == 404
        assert roles_in(session, project) == {}
        told = session.scalars(
            select(AuditLog).where(
                AuditLog.action == "member:removed", AuditLog.resource_id == str(user.uuid)
            )
        ).one()
        assert told.details["left"] is True

    def test_owners_and_users_without_role_can_not_leave(
        self, session: Session, api: Act, admin: Any
    ) -> None:
        project = make_project(session)
        place = f"projects/{project.uuid}/leave"
        owner = session.get_one(type(make_user(session)), project.owner_id)
        assert api(owner).post(place).json()["code"] == "project.owner_has_no_role"
        assert admin.post(place).json()["code"] == "project.not_a_member"
        assert api(make_user(session)).post(place).status_code == 404


class TestTransfer:
    @pytest.mark.parametrize("keep", ["developer", None])
    def test_owner_transfers_the_project(
        self, session: Session, api: Act, keep: str | None
    ) -> None:
        owner, heir = make_user(session), make_user(session)
        project = make_project(session, owner)
        make_member(session, project, "viewer", heir)
        body = {"user": heir.username, "keep_role": keep}
        answer = api(owner).post(f"projects/{project.uuid}/transfer", json=body)
        assert answer.status_code == 200
        assert answer.json()["owner"]["username"] == heir.username
        assert roles_in(session, project) == ({owner.id: keep} if keep else {})
        assert api(heir).delete(
            f"projects/{project.uuid}/members/{owner.username}"
        ).status_code in ({204} if keep else {404})
        assert api(owner).get(f"projects/{project.uuid}").status_code == 404
        told = session.scalars(
            select(AuditLog).where(
                AuditLog.action == "project:transferred",
                AuditLog.resource_id == str(project.uuid),
            )
        ).one()
        assert told.details["before"]["username"] == owner.username
        kinds = session.scalars(select(Notification.type).where(Notification.user_id == heir.id))
        assert "project:received" in kinds.all()

    def test_transfer_by_an_administrator_notifies_the_owner(
        self, session: Session, admin: Any
    ) -> None:
        owner, heir = make_user(session), make_user(session)
        project = make_project(session, owner)
        body = {"user": str(heir.uuid), "keep_role": "viewer"}
        assert admin.post(f"projects/{project.uuid}/transfer", json=body).status_code == 200
        assert roles_in(session, project) == {owner.id: "viewer"}
        kinds = session.scalars(select(Notification.type).where(Notification.user_id == owner.id))
        assert "project:transferred" in kinds.all()

    def test_transfer_by_others_is_refused(self, session: Session, api: Act, client: Any) -> None:
        """Check that API keys and members with ``*`` are refused, too."""
        project = make_project(session)
        everything = make_member(session, project, "admin")
        place = f"projects/{project.uuid}/transfer"
        body = {"json": {"user": everything.username}}
        answer = api(everything).post(place, **body)
        assert (answer.status_code, answer.json()["permission"]) == (403, "owner")
        assert (
            api(make_member(session, project, "developer")).post(place, **body).status_code == 403
        )
        assert api(make_member(session, project, "viewer")).post(place, **body).status_code == 403
        assert api(make_user(session)).post(place, **body).status_code == 404
        owner = session.get_one(type(everything), project.owner_id)
        make_key(session, owner, "*", token="key-of-the-owner", project=project)
        refused = Api(client, "key-of-the-owner").post(place, **body)
        assert refused.json()["code"] == "auth.session_required"

    def test_transfer_to_an_unfit_user_is_refused(self, session: Session, api: Act) -> None:
        owner = make_user(session)
        project = make_project(session, owner)
        place = f"projects/{project.uuid}/transfer"
        me = api(owner)
        inactive = make_member(session, project, "viewer", make_user(session, active=False))
        namesake = make_member(session, project, "viewer")
        make_project(session, namesake, name=project.name)
        custom = make_role(session, "*")
        for body, status, code in (
            ({"user": "nobody-of-this-name"}, 409, "project.new_owner_not_a_member"),
            ({"user": make_user(session).username}, 409, "project.new_owner_not_a_member"),
            ({"user": inactive.username}, 409, "project.new_owner_inactive"),
            ({"user": namesake.username}, 409, "resource.name_taken"),
            ({"user": namesake.username, "keep_role": custom.name}, 422, "request.invalid"),
            ({"user": namesake.username, "owner": "x"}, 422, "request.invalid"),
        ):
            answer = me.post(place, json=body)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert me.post(place, json={"user": owner.username}).status_code == 200

    def test_concurrent_transfers_succeed_once(self, session: Session, api: Act) -> None:
        owner = make_user(session)
        project = make_project(session, owner)
        me, place = api(owner), f"projects/{project.uuid}/transfer"
        heirs = [make_member(session, project, "viewer").username for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            codes = list(
                pool.map(lambda heir: me.post(place, json={"user": heir}).status_code, heirs)
            )
        assert codes.count(200) == 1
        assert set(codes) <= {200, 403, 404}


class TestRaces:
    def test_grant_by_a_user_removed_meanwhile_is_refused(self, session: Session, api: Act) -> None:
        """Remove the granting user while the grant waits for the lock on the project's row."""
        project = make_project(session)
        giver = make_member(session, project, "admin")
        friend = make_user(session)
        me = api(giver)
        session.execute(select(Project.id).where(Project.id == project.id).with_for_update())
        place = f"projects/{project.uuid}/members/{friend.username}"
        with ThreadPoolExecutor(1) as pool:
            given = pool.submit(me.put, place, json={"role": "admin"})
            wait_for_lock(session)  # the guard has admitted the request
            session.delete(
                session.scalars(
                    select(ProjectPermission).where(ProjectPermission.user_id == giver.id)
                ).one()
            )
            session.commit()
        assert given.result().status_code == 404
        assert friend.id not in roles_in(session, project)

    @pytest.mark.parametrize("what", ["transfer", "archive", "delete", "rename"])
    @pytest.mark.parametrize("lost", ["ownership", "role", "account"])
    def test_change_by_a_user_who_lost_the_project_meanwhile_is_refused(
        self, session: Session, api: Act, what: str, lost: str
    ) -> None:
        """Take the permission away while the request waits for the lock on the project's row."""
        admin = lost == "role"
        who = make_user(session, role="admin" if admin else "user")
        heir = make_user(session)
        project = make_project(session, make_user(session) if admin else who)
        thief = make_member(session, project, "viewer")
        me, place = api(who), f"projects/{project.uuid}"
        etag = me.get(place).headers["etag"]
        act = {
            "transfer": lambda: me.post(f"{place}/transfer", json={"user": thief.username}),
            "archive": lambda: me.post(f"{place}/archive"),
            "delete": lambda: me.delete(place),
            "rename": lambda: me.patch(place, json={"name": "x"}, headers={"If-Match": etag}),
        }[what]
        held = session.scalars(
            select(Project).where(Project.id == project.id).with_for_update()
        ).one()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(act)
            wait_for_lock(session)
            if lost == "ownership":
                held.owner_id = heir.id
            elif admin:
                who.role = "user"
            else:
                who.is_active = False
            session.commit()
        assert asked.result().status_code in ({401} if lost == "account" else {404})
        session.expire_all()
        assert session.get_one(Project, project.id).status == "active"
        assert session.get_one(Project, project.id).owner_id in {heir.id, held.owner_id}
        assert session.get_one(Project, project.id).owner_id != thief.id
        assert session.get_one(Project, project.id).name != "x"


def wait_for_lock(session: Session) -> None:
    """Wait until another transaction waits for a lock that this session holds."""
    blocked = text(
        "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    )
    deadline = time.monotonic() + 10
    while not session.scalar(blocked):
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.02)


class TestExplain:
    def explain(self, me: Any, project: Project, user: Any) -> Any:
        return me.get(f"projects/{project.uuid}/access", params={"user": user.username})

    def test_explanation_of_a_membership_names_role_and_permissions(
        self, session: Session, api: Act
    ) -> None:
        owner = make_user(session)
        project = make_project(session, owner)
        role = make_role(session, "datasets:*", "members:read", "users:write")
        user = make_member(session, project, role)
        found = self.explain(api(owner), project, user).json()
        because = {"source": "membership", "role": role.name,
                   "grants": ["datasets:*", "members:read"]}  # fmt: skip
        assert found["reasons"] == [because]
        assert [held["permission"] for held in found["permissions"]] == [
            "datasets:override", "datasets:read", "datasets:write", "members:read",
        ]  # fmt: skip
        assert found["permissions"][0]["because"] == [because]
        assert found["keys"] is None
        for held in found["permissions"]:
            if held["permission"] == "datasets:write":
                answer = api(user).post(f"projects/{project.uuid}/datasets")
                assert answer.status_code == 422  # admitted, but no file name is given

    def test_explanation_names_owner_global_role_or_nothing(
        self, session: Session, admin: Any, admin_user: Any
    ) -> None:
        owner = make_user(session)
        project = make_project(session, owner)
        sources = {
            user.username: [
                r["source"] for r in self.explain(admin, project, user).json()["reasons"]
            ]
            for user in (owner, admin_user, make_user(session))
        }
        assert list(sources.values()) == [["owner"], ["global_role"], []]

    def test_explanation_of_a_deactivated_user_has_no_permissions(
        self, session: Session, admin: Any
    ) -> None:
        project = make_project(session)
        user = make_member(session, project, "developer", make_user(session, active=False))
        found = self.explain(admin, project, user).json()
        assert found["is_active"] is False
        assert found["permissions"] == []
        assert found["reasons"][0]["role"] == "developer"

    def test_explanation_shows_keys_to_their_owner(self, session: Session, api: Act) -> None:
        owner = make_user(session)
        project, other = make_project(session, owner), make_project(session, owner)
        make_key(session, owner, "datasets:read", "users:read", name="reads", project=project)
        make_key(session, owner, "*", name="elsewhere", project=other)
        keys = self.explain(api(owner), project, owner).json()["keys"]
        assert [(key["name"], key["permissions"]) for key in keys] == [("reads", ["datasets:read"])]

    def test_own_access_is_explained_to_every_member(self, session: Session, api: Act) -> None:
        """Check that members see their permissions, so that a page can hide other actions."""
        project = make_project(session)
        viewer = make_member(session, project, "viewer")
        found = api(viewer).get(f"projects/{project.uuid}/access/me")
        assert found.status_code == 200
        assert found.json()["user"]["username"] == viewer.username
        held = {entry["permission"] for entry in found.json()["permissions"]}
        assert "datasets:read" in held
        assert "members:read" not in held
        outsider = api(make_user(session)).get(f"projects/{project.uuid}/access/me")
        assert outsider.status_code == 404

    def test_explanation_needs_permission_and_hides_accounts(
        self, session: Session, api: Act
    ) -> None:
        project = make_project(session)
        viewer = make_member(session, project, "viewer")
        assert self.explain(api(viewer), project, viewer).status_code == 403
        assert self.explain(api(make_user(session)), project, viewer).status_code == 404
        reader = make_member(session, project, make_role(session, "members:read"))
        assert self.explain(api(reader), project, viewer).status_code == 200
        place = f"projects/{project.uuid}/access"
        # The response does not reveal who has an account, either.
        for name in ("nobody-here", make_user(session).username):
            answer = api(reader).get(place, params={"user": name})
            assert (answer.status_code, answer.json()["detail"]) == (
                404, api(reader).get(place, params={"user": "nobody"}).json()["detail"],
            )  # fmt: skip
