"""Tests of API keys on every route: wrong scope, wrong project, and routes that refuse keys."""

import secrets
from typing import Any

import pytest
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from tests.access_table import TABLE, Access
from tests.factories import make_key, make_project
from tests.matrix.requests import (
    ADMITTED_STATUSES,
    case,
    check_reveals_nothing,
    request_text,
    send_declared,
)
from tests.matrix.world import World, WorldFactory
from tests.openapi_checks import CheckedClient

IN_PROJECTS = [access for access in TABLE if access.kind == "project" and access.accepts_keys]
ALL = tuple(str(permission) for permission in Permission)

_worlds: dict[str, World] = {}


@pytest.fixture
def world(worlds: WorldFactory) -> World:
    """Return a world that all tests here share, because refused requests don't change it."""
    if "own" not in _worlds:
        _worlds["own"] = worlds.create()
    return _worlds["own"]


def token_for(
    session: Session, user: User | None, *scopes: str, project: Project | None = None
) -> str:
    assert user is not None
    token = "aip_key_" + secrets.token_urlsafe(32)
    make_key(session, user, *scopes, token=token, project=project)
    return token


def all_scopes_except(permission: Permission | None) -> tuple[str, ...]:
    return tuple(scope for scope in ALL if scope != permission)


@pytest.mark.parametrize("access", IN_PROJECTS, ids=lambda a: a.key)
@pytest.mark.parametrize("person", ["owner", "admin"])
def test_key_without_the_scope_is_refused(
    client: CheckedClient, session: Session, world: World, access: Access, person: str
) -> None:
    """Use a key with all other scopes; its user has the permission that the key lacks."""
    token = token_for(session, world.people[person], *all_scopes_except(access.permission))
    answer = send_declared(client, access, token, world.params)
    with case(access, "key"):
        about = (access.key, person, answer.status_code, answer.text)
        if access.path == "/v1/chat/completions" or access.path.startswith("/v1/models/"):
            assert answer.status_code == 404, about
        else:
            assert answer.status_code == 403, about
            if access.method != "HEAD":  # an answer to HEAD has no body
                assert answer.json()["permission"] == access.permission, about


@pytest.mark.parametrize("access", IN_PROJECTS, ids=lambda a: a.key)
@pytest.mark.parametrize("person", ["owner", "admin"])
def test_key_for_one_project_gets_404_in_another_project_of_its_owner(
    client: CheckedClient, session: Session, world: World, access: Access, person: str
) -> None:
    other = make_project(session, world.people[person])
    token = token_for(session, world.people[person], *ALL, "*", project=other)
    answer = send_declared(client, access, token, world.params)
    check_reveals_nothing(answer, access, "key", world, sent=request_text(answer))
    with case(access, "key"):
        assert answer.status_code == 404, (access.key, answer.status_code, answer.text)


@pytest.mark.parametrize(
    "access", [a for a in IN_PROJECTS if a.method == "GET"], ids=lambda a: a.key
)
@pytest.mark.parametrize("bound", [False, True])
def test_key_with_only_the_required_scope_is_accepted(
    client: CheckedClient, session: Session, world: World, access: Access, bound: bool
) -> None:
    project = world.project if bound else None
    token = token_for(session, world.people["owner"], str(access.permission), project=project)
    answer = send_declared(client, access, token, world.params)
    assert answer.status_code in ADMITTED_STATUSES | (
        {503} if access.may_be_unavailable else set()
    ), answer.text


@pytest.mark.parametrize(
    "access",
    [a for a in TABLE if a.kind == "platform" and a.accepts_keys],
    ids=lambda a: a.key,
)
@pytest.mark.parametrize("bound", [False, True])
def test_key_of_admin_without_the_scope_is_refused_on_the_platform(
    client: CheckedClient, session: Session, world: World, access: Access, bound: bool
) -> None:
    """Also check that ``*`` in a key for one project does not include administration."""
    scopes = (*all_scopes_except(access.permission), *(["*"] if bound else []))
    project = world.project if bound else None
    token = token_for(session, world.people["admin"], *scopes, project=project)
    answer = send_declared(client, access, token, world.params)
    with case(access, "key"):
        assert answer.status_code == 403, (access.key, answer.status_code, answer.text)
        assert answer.json()["permission"] == access.permission


@pytest.mark.parametrize("access", [a for a in TABLE if not a.accepts_keys], ids=lambda a: a.key)
def test_key_is_refused_where_a_session_is_required(
    client: CheckedClient, session: Session, world: World, access: Access
) -> None:
    for person in ("owner", "admin"):
        token = token_for(session, world.people[person], "*")
        params: dict[str, Any] = {"notification": world.params["project"]}
        answer = send_declared(client, access, token, world.params | params)
        with case(access, "key"):
            assert answer.status_code == 403, (access.key, answer.status_code, answer.text)
            assert answer.json()["code"] == "auth.session_required"


@pytest.mark.parametrize(
    "access",
    [a for a in TABLE if a.kind in {"signed in", "inbox"} and a.accepts_keys],
    ids=lambda a: a.key,
)
def test_key_is_accepted_by_all_other_signed_in_routes(
    client: CheckedClient, session: Session, world: World, access: Access
) -> None:
    """Check that only the routes that the access table declares refuse API keys."""
    token = token_for(session, world.people["owner"], "*")
    assert send_declared(client, access, token, world.params).status_code in ADMITTED_STATUSES | {
        404
    }
