"""API keys at every route: the wrong scope, the wrong project, and where only people may act."""

import secrets
from typing import Any

import pytest
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from tests.access_table import TABLE, Access
from tests.described import CheckedClient
from tests.factories import make_key, make_project
from tests.matrix.asking import FINE, ask, case, check_silent, sent_in
from tests.matrix.world import Stage, World

IN_PROJECTS = [access for access in TABLE if access.kind == "project" and access.takes_keys]
ALL = tuple(str(permission) for permission in Permission)

_worlds: dict[str, World] = {}


@pytest.fixture
def world(stage: Stage) -> World:
    """Refused requests change nothing."""
    if "own" not in _worlds:
        _worlds["own"] = stage.world()
    return _worlds["own"]


def token_for(
    session: Session, user: User | None, *scopes: str, project: Project | None = None
) -> str:
    assert user is not None
    token = "aip_key_" + secrets.token_urlsafe(32)
    make_key(session, user, *scopes, token=token, project=project)
    return token


def but(permission: Permission | None) -> tuple[str, ...]:
    return tuple(scope for scope in ALL if scope != permission)


@pytest.mark.parametrize("access", IN_PROJECTS, ids=lambda a: a.key)
@pytest.mark.parametrize("person", ["owner", "admin"])
def test_a_wrong_scope_is_refused(
    client: CheckedClient, session: Session, world: World, access: Access, person: str
) -> None:
    """Whatever the owner of the key may do, and though it holds every other permission."""
    token = token_for(session, world.people[person], *but(access.permission))
    answer = ask(client, access, token, world.params)
    with case(access, "key"):
        about = (access.key, person, answer.status_code, answer.text)
        if access.path == "/v1/chat/completions" or access.path.startswith("/v1/models/"):
            assert answer.status_code == 404, about
        else:
            assert answer.status_code == 403, about
            if access.method != "HEAD":  # which is answered without a body
                assert answer.json()["permission"] == access.permission, about


@pytest.mark.parametrize("access", IN_PROJECTS, ids=lambda a: a.key)
@pytest.mark.parametrize("person", ["owner", "admin"])
def test_another_project_does_not_exist(
    client: CheckedClient, session: Session, world: World, access: Access, person: str
) -> None:
    """To a key for one project its owner's others are like those of strangers."""
    other = make_project(session, world.people[person])
    token = token_for(session, world.people[person], *ALL, "*", project=other)
    answer = ask(client, access, token, world.params)
    check_silent(answer, access, "key", world, sent=sent_in(answer))
    with case(access, "key"):
        assert answer.status_code == 404, (access.key, answer.status_code, answer.text)


@pytest.mark.parametrize(
    "access", [a for a in IN_PROJECTS if a.method == "GET"], ids=lambda a: a.key
)
@pytest.mark.parametrize("bound", [False, True])
def test_the_right_scope_is_enough(
    client: CheckedClient, session: Session, world: World, access: Access, bound: bool
) -> None:
    project = world.project if bound else None
    token = token_for(session, world.people["owner"], str(access.permission), project=project)
    answer = ask(client, access, token, world.params)
    assert answer.status_code in FINE | ({503} if access.unready else set()), answer.text


@pytest.mark.parametrize(
    "access",
    [a for a in TABLE if a.kind == "platform" and a.takes_keys],
    ids=lambda a: a.key,
)
@pytest.mark.parametrize("bound", [False, True])
def test_an_administrators_key_without_the_scope(
    client: CheckedClient, session: Session, world: World, access: Access, bound: bool
) -> None:
    """Nor does ``*`` in a key for one project reach administration."""
    scopes = (*but(access.permission), *(["*"] if bound else []))
    project = world.project if bound else None
    token = token_for(session, world.people["admin"], *scopes, project=project)
    answer = ask(client, access, token, world.params)
    with case(access, "key"):
        assert answer.status_code == 403, (access.key, answer.status_code, answer.text)
        assert answer.json()["permission"] == access.permission


@pytest.mark.parametrize("access", [a for a in TABLE if not a.takes_keys], ids=lambda a: a.key)
def test_what_only_people_may_do(
    client: CheckedClient, session: Session, world: World, access: Access
) -> None:
    for person in ("owner", "admin"):
        token = token_for(session, world.people[person], "*")
        params: dict[str, Any] = {"notification": world.params["project"]}
        answer = ask(client, access, token, world.params | params)
        with case(access, "key"):
            assert answer.status_code == 403, (access.key, answer.status_code, answer.text)
            assert answer.json()["code"] == "session_required"


@pytest.mark.parametrize(
    "access",
    [a for a in TABLE if a.kind in {"signed in", "inbox"} and a.takes_keys],
    ids=lambda a: a.key,
)
def test_everything_else_is_open_to_keys(
    client: CheckedClient, session: Session, world: World, access: Access
) -> None:
    """So a route that refuses them is declared to."""
    token = token_for(session, world.people["owner"], "*")
    assert ask(client, access, token, world.params).status_code in FINE | {404}
