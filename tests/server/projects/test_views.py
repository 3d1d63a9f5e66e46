"""Tests of saved views: private and shared views, limits, and views of deleted users."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from tests.conftest import Api
from tests.factories import make_member, make_project, make_user, make_view

Act = Callable[[User | None], Api]
STATE = {"status": "failed", "columns": ["name", "progress"]}


@pytest.fixture
def project(session: Session) -> Project:
    return make_project(session)


@pytest.fixture
def place(project: Project) -> str:
    return f"projects/{project.uuid}/views"


@pytest.fixture
def viewer(api: Act, session: Session, project: Project) -> Api:
    return api(make_member(session, project, "viewer"))


@pytest.fixture
def other(api: Act, session: Session, project: Project) -> Api:
    return api(make_member(session, project, "viewer"))


@pytest.fixture
def developer(api: Act, session: Session, project: Project) -> Api:
    return api(make_member(session, project, "developer"))


def save(api: Api, place: str, name: str = "Failed", **more: Any) -> Any:
    return api.post(place, json={"page": "tasks", "name": name, "state": STATE} | more)


def names(api: Api, place: str, **params: Any) -> list[str]:
    return [view["name"] for view in api.get(place, params=params).json()["items"]]


def test_saved_view_is_returned_with_its_state(viewer: Api, place: str) -> None:
    made = save(viewer, place)
    assert made.status_code == 201
    assert made.json()["state"] == STATE
    assert made.json()["shared"] is False
    again = viewer.get(f"{place}/{made.json()['uuid']}")
    assert again.json() == made.json()
    assert again.headers["etag"] == made.headers["etag"]
    assert viewer.get(place).json()["items"] == [made.json()]


def test_list_of_one_page_has_only_its_views(viewer: Api, place: str) -> None:
    save(viewer, place, "a")
    save(viewer, place, "b", page="models")
    assert names(viewer, place, page="models") == ["b"]
    assert names(viewer, place) == ["b", "a"]
    assert viewer.get(place, params={"page": "nothing"}).status_code == 422


def test_private_view_does_not_exist_for_others(
    viewer: Api, other: Api, developer: Api, admin: Api, place: str
) -> None:
    path = f"{place}/{save(viewer, place).json()['uuid']}"
    for one in (other, developer, admin):
        assert names(one, place) == []
        assert one.get(path).status_code == 404
        assert one.delete(path).status_code == 404
        change = one.patch(path, json={"shared": True}, headers={"If-Match": "*"})
        assert change.status_code == 404


def test_shared_view_is_seen_by_all_and_changed_by_its_user_or_a_developer(
    viewer: Api, other: Api, developer: Api, place: str
) -> None:
    path = f"{place}/{save(viewer, place, shared=True).json()['uuid']}"
    assert names(other, place) == ["Failed"]
    refused = other.patch(path, json={"name": "x"}, headers={"If-Match": "*"})
    assert refused.status_code == 403
    assert refused.json()["permission"] == "projects:write"
    assert other.delete(path).status_code == 403
    changed = developer.patch(path, json={"name": "Broken"}, headers={"If-Match": "*"})
    assert changed.status_code == 200
    assert names(viewer, place) == ["Broken"]
    assert developer.delete(path).status_code == 204
    assert names(viewer, place) == []


def test_view_that_is_no_longer_shared_is_gone_for_others(
    viewer: Api, other: Api, place: str
) -> None:
    made = save(viewer, place, shared=True)
    path = f"{place}/{made.json()['uuid']}"
    answer = viewer.patch(path, json={"shared": False}, headers={"If-Match": made.headers["etag"]})
    assert answer.status_code == 200
    assert names(other, place) == []
    assert names(viewer, place) == ["Failed"]


def test_view_below_another_project_does_not_exist(
    api: Act, session: Session, project: Project, place: str
) -> None:
    owner = session.get_one(User, project.owner_id)
    foreign = make_project(session, owner)
    path = f"projects/{foreign.uuid}/views/{make_view(session, project, owner).uuid}"
    assert api(owner).get(path).status_code == 404
    assert api(owner).delete(path).status_code == 404
    assert api(owner).get(f"{place}/{uuid4()}").status_code == 404


def test_name_is_used_once_by_a_user_and_page(viewer: Api, other: Api, place: str) -> None:
    first = save(viewer, place)
    again = save(viewer, place)
    assert (again.status_code, again.json()["code"]) == (409, "resource.name_taken")
    assert save(viewer, place, page="models").status_code == 201
    assert save(other, place).status_code == 201
    second = save(viewer, place, "second").json()["uuid"]
    renamed = viewer.patch(f"{place}/{second}", json={"name": "Failed"}, headers={"If-Match": "*"})
    assert renamed.status_code == 409
    assert viewer.get(f"{place}/{first.json()['uuid']}").json()["name"] == "Failed"


def test_change_of_a_changed_view_is_refused(viewer: Api, place: str) -> None:
    made = save(viewer, place)
    path, tag = f"{place}/{made.json()['uuid']}", made.headers["etag"]
    assert viewer.patch(path, json={"name": "a"}).status_code == 428
    assert viewer.patch(path, json={"name": "a"}, headers={"If-Match": tag}).status_code == 200
    assert viewer.patch(path, json={"name": "b"}, headers={"If-Match": tag}).status_code == 412


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": " "},
        {"name": "x" * 101},
        {"page": "users"},
        {"state": []},
        {"state": {"filter": "x" * 9000}},
        {"more": 1},
    ],
)
def test_invalid_view_is_refused(viewer: Api, place: str, body: dict[str, Any]) -> None:
    assert save(viewer, place, **body).status_code == 422


def test_too_many_views_are_refused(
    viewer: Api, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aiplatform.server.projects.service import views

    monkeypatch.setattr(views, "MAX_VIEWS", 2)
    answers = [save(viewer, place, name) for name in "abc"]
    assert [answer.status_code for answer in answers] == [201, 201, 409]
    assert answers[2].json()["code"] == "saved_view.too_many"


def test_changes_are_audited(viewer: Api, place: str, session: Session) -> None:
    path = f"{place}/{save(viewer, place, 'Audited').json()['uuid']}"
    viewer.patch(path, json={"shared": True}, headers={"If-Match": "*"})
    viewer.delete(path)
    rows = session.execute(
        text(
            "SELECT action, details->>'page' AS page, details->'changes' AS changes FROM audit_logs"
            " WHERE resource_type = 'saved_view' AND details->>'name' = 'Audited' ORDER BY id"
        )
    ).all()
    assert [row.action.partition(":")[2] for row in rows] == ["created", "updated", "deleted"]
    assert {row.page for row in rows} == {"tasks"}
    assert rows[1].changes == {"shared": {"from": False, "to": True}}


def test_deleted_account_takes_its_views_along(
    api: Act, admin: Api, session: Session, project: Project, place: str, other: Api
) -> None:
    user = make_member(session, project, "viewer", make_user(session))
    save(api(user), place, shared=True)
    assert names(other, place) == ["Failed"]
    assert admin.delete(f"users/{user.uuid}").is_success
    assert names(other, place) == []
