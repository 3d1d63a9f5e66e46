"""Attack: a user is added to an attacker's project without consent.

The user's requests could then reach the attacker's deployments.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.identity.models import User
from aiplatform.server.notifications.models import Notification
from aiplatform.server.projects.models import Project, ProjectPermission
from tests.conftest import Api, environment
from tests.factories import make_deployment, make_member, make_project, make_role, make_user

Act = Callable[[User | None], Api]
pytestmark = pytest.mark.usefixtures("client")
MINE = "users/me/project-invitations"


@pytest.fixture
def project(session: Session) -> Project:
    return make_project(session)


@pytest.fixture
def owner(session: Session, project: Project) -> User:
    return session.get_one(User, project.owner_id)


@pytest.fixture
def invite(api: Act, owner: User, project: Project) -> Callable[..., Any]:
    def invite(name: Any, role: str = "viewer", by: Api | None = None) -> Any:
        place = f"projects/{project.uuid}/members/{name}"
        return (by or api(owner)).put(place, json={"role": role})

    return invite


def members(session: Session, project: Project) -> set[int]:
    session.expire_all()
    rows = select(ProjectPermission.user_id).where(ProjectPermission.project_id == project.id)
    return set(session.scalars(rows))


def notification_types(session: Session, user: User) -> list[str]:
    session.expire_all()
    rows = select(Notification.type).where(Notification.user_id == user.id)
    return list(session.scalars(rows.order_by(Notification.id)))


def audit_actions(session: Session, user: User) -> list[str]:
    session.expire_all()
    rows = select(AuditLog.action).where(AuditLog.user_id == user.id)
    return list(session.scalars(rows.order_by(AuditLog.id)))


class TestConsent:
    def test_invited_user_is_no_member_before_accepting(
        self, session: Session, api: Act, invite: Any, project: Project, owner: User
    ) -> None:
        victim = make_user(session)
        answer = invite(victim.username)
        assert answer.status_code == 202
        assert members(session, project) == set()
        assert api(victim).get(f"projects/{project.uuid}").status_code == 404
        assert notification_types(session, victim) == ["member:invited"]
        assert audit_actions(session, owner)[-1] == "member:invited"
        [item] = api(victim).get(MINE).json()["items"]
        assert item == answer.json()
        assert (item["project_name"], item["role"]) == (project.name, "viewer")

    def test_invited_user_who_accepts_becomes_member(
        self, session: Session, api: Act, invite: Any, project: Project, owner: User
    ) -> None:
        user = make_user(session)
        where = f"{MINE}/{invite(user.username, 'developer').json()['uuid']}"
        assert api(make_user(session)).post(f"{where}/accept").status_code == 404
        assert api(owner).post(f"{where}/accept").status_code == 404
        assert api(user).post(f"{where}/accept").status_code == 200
        assert members(session, project) == {user.id}
        assert audit_actions(session, user)[-1] == "member:added"
        assert notification_types(session, owner)[-1] == "member:joined"
        assert api(user).post(f"{where}/accept").status_code == 404
        assert invite(user.username, "viewer").status_code == 200  # changes the role of a member

    def test_invited_user_who_declines_is_no_member(
        self, session: Session, api: Act, invite: Any, project: Project, owner: User
    ) -> None:
        user = make_user(session)
        where = f"{MINE}/{invite(user.username).json()['uuid']}"
        assert api(user).post(f"{where}/decline").status_code == 204
        assert members(session, project) == set()
        assert audit_actions(session, user)[-1] == "member:invitation_declined"
        assert notification_types(session, owner)[-1] == "member:declined"
        assert api(user).get(MINE).json()["items"] == []

    def test_second_invitation_replaces_the_first(
        self, session: Session, api: Act, invite: Any
    ) -> None:
        user = make_user(session)
        first, second = invite(user.username), invite(user.uuid, "developer")
        assert first.json()["uuid"] == second.json()["uuid"]
        assert [item["role"] for item in api(user).get(MINE).json()["items"]] == ["developer"]

    def test_withdrawn_invitation_cannot_be_accepted(
        self, session: Session, api: Act, invite: Any, project: Project, owner: User
    ) -> None:
        user = make_user(session)
        where = f"{MINE}/{invite(user.username).json()['uuid']}"
        place = f"projects/{project.uuid}/members/{user.username}"
        assert api(owner).delete(place).status_code == 204
        assert api(owner).delete(place).status_code == 404
        assert api(user).post(f"{where}/accept").status_code == 404
        assert "member:invitation_withdrawn" in audit_actions(session, owner)

    @pytest.mark.parametrize("loss", ["role", "membership", "account"])
    def test_invitation_is_void_once_its_author_may_not_give_the_role(
        self, session: Session, api: Act, invite: Any, project: Project, loss: str
    ) -> None:
        giver = make_member(session, project, make_role(session, "members:*", "datasets:read"))
        role = make_role(session, "datasets:read")
        user = make_user(session)
        where = f"{MINE}/{invite(user.username, role.name, api(giver)).json()['uuid']}"
        if loss == "account":
            giver.is_active = False
        else:
            grant = session.scalars(
                select(ProjectPermission).where(ProjectPermission.user_id == giver.id)
            ).one()
            if loss == "membership":
                session.delete(grant)
            else:
                grant.role_id = make_role(session, "members:*").id
        session.commit()
        answer = api(user).post(f"{where}/accept")
        assert (answer.status_code, answer.json()["code"]) == (409, "invitation.gone")
        assert user.id not in members(session, project)

    def test_invitation_with_higher_role_than_own_is_refused(
        self, session: Session, api: Act, invite: Any, project: Project
    ) -> None:
        giver = make_member(session, project, make_role(session, "members:*"))
        assert invite(make_user(session).username, "viewer", api(giver)).status_code == 403

    def test_administrator_adds_members_directly_unless_the_setting_forbids_it(
        self, session: Session, admin: Api, invite: Any, project: Project
    ) -> None:
        one, two = make_user(session), make_user(session)
        assert invite(one.username, by=admin).status_code == 200
        assert members(session, project) == {one.id}
        assert notification_types(session, one) == ["member:added"]
        with environment(AIPLATFORM_ADMINISTRATORS_ADD_MEMBERS="false"):
            assert invite(two.username, by=admin).status_code == 202
        assert members(session, project) == {one.id}

    def test_transfer_to_user_who_is_no_member_is_refused(
        self, session: Session, api: Act, project: Project, owner: User
    ) -> None:
        """Check that a victim can't be made the owner of someone else's deployments."""
        victim = make_user(session)
        place, body = f"projects/{project.uuid}/transfer", {"user": victim.username}
        answer = api(owner).post(place, json=body)
        assert (answer.status_code, answer.json()["code"]) == (
            409,
            "project.new_owner_not_a_member",
        )
        make_member(session, project, "viewer", victim)
        assert api(owner).post(place, json=body).status_code == 200

    @pytest.mark.parametrize("who", ["oneself", "administrator who asks"])
    def test_deletion_of_owner_with_transfer_to_no_member_is_refused(
        self, session: Session, api: Act, admin: Api, who: str
    ) -> None:
        role = make_role(session, "users:read", "users:write")
        goer, victim = make_user(session, role=role.name), make_user(session)
        agreed, project = make_project(session, goer), make_project(session, goer)
        make_member(session, agreed, "viewer", victim)
        by = api(goer) if who == "oneself" else admin
        params = {"transfer_to": victim.username}
        with environment(AIPLATFORM_ADMINISTRATORS_ADD_MEMBERS=str(who == "oneself").lower()):
            answer = by.delete(f"users/{goer.uuid}", params=params)
            assert (answer.status_code, answer.json()["code"]) == (
                409,
                "project.new_owner_not_a_member",
            )
            assert project.name in answer.json()["detail"]
            session.expire_all()
            assert {agreed.owner_id, project.owner_id} == {goer.id}
            make_member(session, project, "viewer", victim)
            assert by.delete(f"users/{goer.uuid}", params=params).status_code == 204
        session.expire_all()
        assert {agreed.owner_id, project.owner_id} == {victim.id}

    def test_administrator_transfers_projects_of_deleted_account_to_any_user(
        self, session: Session, admin: Api, project: Project, owner: User
    ) -> None:
        heir = make_user(session)
        params = {"transfer_to": heir.username}
        assert admin.delete(f"users/{owner.uuid}", params=params).status_code == 204
        session.expire_all()
        assert project.owner_id == heir.id

    @pytest.mark.parametrize("way", ["transfer", "deletion"])
    @pytest.mark.parametrize("binned", [False, True])
    def test_transfer_with_deployment_names_of_the_receiver_is_refused(
        self, session: Session, api: Act, way: str, binned: bool
    ) -> None:
        """Check that the victim's requests for ``faq`` can't be diverted to another deployment."""
        attacker = make_user(session, role=make_role(session, "users:*").name)
        victim, project = make_user(session), make_project(session, attacker)
        make_member(session, project, "viewer", victim)
        own = make_project(session, victim)
        make_deployment(session, own, name="faq")
        theirs = make_deployment(session, project, name="faq")
        make_deployment(session, project, name="other")
        if binned:
            own.status = "deleted"
            session.commit()

        def give() -> Any:
            if way == "transfer":
                body = {"user": victim.username}
                return api(attacker).post(f"projects/{project.uuid}/transfer", json=body)
            params = {"transfer_to": victim.username}
            return api(attacker).delete(f"users/{attacker.uuid}", params=params)

        answer = give()
        assert (answer.status_code, answer.json()["code"]) == (409, "deployment.names_shared")
        assert ": faq." in answer.json()["detail"]
        session.expire_all()
        assert project.owner_id == attacker.id
        session.delete(theirs)
        session.commit()
        assert give().status_code in {200, 204}

    def test_administrator_transfers_despite_shared_names_unless_the_setting_forbids_it(
        self, session: Session, admin: Api, project: Project
    ) -> None:
        heir = make_member(session, project, "viewer")
        for where in (make_project(session, heir), project):
            make_deployment(session, where, name="faq")
        place, body = f"projects/{project.uuid}/transfer", {"user": heir.username}
        with environment(AIPLATFORM_ADMINISTRATORS_ADD_MEMBERS="false"):
            assert admin.post(place, json=body).json()["code"] == "deployment.names_shared"
        assert admin.post(place, json=body).status_code == 200


class TestUserEnumeration:
    """Attempts by a project's owner to find out which user names exist."""

    def test_invitation_does_not_reveal_whether_user_exists(
        self, session: Session, api: Act, invite: Any, owner: User
    ) -> None:
        real, unreal = invite(make_user(session).username), invite(f"no-{uuid4().hex[:8]}")
        assert real.status_code == unreal.status_code == 202
        shapes = []
        for answer in (real, unreal):
            body = answer.json()
            for field in ("uuid", "username", "created_at"):
                body.pop(field)
            shapes.append((body, sorted(answer.headers)))
        assert shapes[0] == shapes[1]

    def test_list_of_invitations_does_not_reveal_whether_user_exists(
        self, session: Session, api: Act, invite: Any, project: Project, owner: User
    ) -> None:
        names = [make_user(session).username, f"no-{uuid4().hex[:8]}"]
        for name in names:
            invite(name)
        items = api(owner).get(f"projects/{project.uuid}/invitations").json()["items"]
        assert [item["username"] for item in items] == names[::-1]
        assert {item["role"] for item in items} == {"viewer"}
        for name in names:
            place = f"projects/{project.uuid}/members/{name}"
            assert api(owner).delete(place).status_code == 204

    @pytest.mark.parametrize("way", ["removing", "transferring", "explaining"])
    def test_other_answers_do_not_reveal_whether_user_exists(
        self, session: Session, api: Act, project: Project, owner: User, way: str
    ) -> None:
        me, here = api(owner), f"projects/{project.uuid}"

        def ask(name: str) -> tuple[int, str]:
            match way:
                case "removing":
                    answer = me.delete(f"{here}/members/{name}")
                case "transferring":
                    answer = me.post(f"{here}/transfer", json={"user": name})
                case _:
                    answer = me.get(f"{here}/access", params={"user": name})
            return answer.status_code, answer.json()["detail"].replace(name, "NAME")

        assert ask(make_user(session).username) == ask(f"no-{uuid4().hex[:8]}")
