"""Tests of another project's ids in bodies, filters, sorts, searches and cursors.

Bodies are generated from the OpenAPI document, so new fields are tested without changes here.
"""

import copy
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI

from tests.access_table import TABLE, Access
from tests.conftest import Api
from tests.matrix.bodies import bodies_of, parameters_of
from tests.matrix.requests import BY_KEY, admits, case, check_reveals_nothing, request_text
from tests.matrix.world import PEOPLE, World, WorldFactory
from tests.openapi_checks import CheckedClient

SUCCESS = {200, 201, 202, 204}
STATE_DEPENDENT = {
    "POST /api/v1/models/{model}/aliases/{alias}/undo",
    "POST /api/v1/tasks/{task}/logs",
    "POST /api/v1/tasks/{task}/metrics",
    "POST /api/v1/tasks/{task}/move",
    "PUT /api/v1/models/{model}/aliases/{alias}",
}
"""Routes that refuse even valid references unless the task or alias is in a certain state."""
JsonPath = tuple[str | int, ...]


def uuid_paths(body: Any, place: JsonPath = ()) -> Iterator[JsonPath]:
    """Yield the positions of uuids in a body."""
    items: Any = ()
    if isinstance(body, dict):
        items = body.items()
    elif isinstance(body, list):
        items = enumerate(body)
    elif isinstance(body, str) and is_uuid(body):
        yield place
    for key, value in items:
        yield from uuid_paths(value, (*place, key))


def is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def replace_at(body: Any, place: JsonPath, value: str) -> Any:
    changed = copy.deepcopy(body)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return changed


def send(
    client: CheckedClient, access: Access, token: str | None, world: World, **options: Any
) -> Any:
    path = access.path
    for name, value in world.params.items():
        path = path.replace("{" + name + "}", value)
    return Api(client, token).request(access.method, "/" + path, **options)


@pytest.mark.parametrize(
    "access",
    [a for a in TABLE if a.kind == "project" and a.method in {"POST", "PUT", "PATCH"}],
    ids=lambda a: a.key,
)
def test_body_with_id_of_another_project_is_refused(
    client: CheckedClient, app: FastAPI, worlds: WorldFactory, access: Access
) -> None:
    """Check that even admin, who may see both projects, can't mix their objects."""
    own, foreign = worlds.create(), worlds.share("foreign", objects=2)
    foreign_ids = {
        name: foreign.params[name]
        for name in ("dataset", "model", "experiment", "task", "deployment", "project")
    }
    for body in bodies_of(app, access, own.params):
        for place in uuid_paths(body):
            for kind, value in foreign_ids.items():
                hostile = replace_at(body, place, value)
                for person in ("viewer", "developer", "owner", "admin"):
                    etag = {"If-Match": "*"} if access.method == "PATCH" else {}
                    answer = send(
                        client, access, own.tokens[person], own, json=hostile, headers=etag
                    )
                    check_reveals_nothing(
                        answer, access, person, foreign, sent=request_text(answer)
                    )
                    about = (access.key, person, kind, place, answer.status_code, answer.text)
                    if person != "admin" or kind != "project":
                        with case(access, person):
                            assert answer.status_code not in SUCCESS, about


@pytest.mark.parametrize("access", [a for a in TABLE if a.method == "GET"], ids=lambda a: a.key)
def test_filter_with_words_of_another_project_finds_nothing(
    client: CheckedClient, app: FastAPI, worlds: WorldFactory, access: Access
) -> None:
    if access.kind in {"not_found", "platform"} or access.path.endswith("/events"):
        pytest.skip("no list of things in projects")
    own, foreign = shared_worlds(worlds)
    params = own.params | {"notification": foreign.params["project"]}
    own = World(own.people, own.tokens, params, own.project, own.mark)
    words = [foreign.mark, foreign.params["project"], foreign.params["dataset"], "%", "*"]
    for name in parameters_of(app, access):
        for word in words:
            for person in PEOPLE:
                if person == "admin":
                    continue
                answer = send(client, access, own.tokens[person], own, params={name: word})
                check_reveals_nothing(answer, access, person, foreign, sent=request_text(answer))


@pytest.mark.parametrize("access", [a for a in TABLE if a.method == "GET"], ids=lambda a: a.key)
def test_cursor_of_another_project_reveals_nothing(
    client: CheckedClient, app: FastAPI, worlds: WorldFactory, access: Access
) -> None:
    if "cursor" not in parameters_of(app, access) or access.kind in {"platform", "inbox"}:
        pytest.skip("no list of things in projects")
    own, foreign = shared_worlds(worlds)
    first = send(client, access, foreign.tokens["owner"], foreign, params={"limit": 1})
    cursor = first.json().get("next_cursor")
    if cursor is None:
        pytest.skip("one page")
    for person in PEOPLE:
        if person != "admin":
            answer = send(
                client, access, own.tokens[person], own, params={"limit": 100, "cursor": cursor}
            )
            check_reveals_nothing(answer, access, person, foreign, sent=request_text(answer))


def shared_worlds(worlds: WorldFactory) -> tuple[World, World]:
    """Return two worlds shared by all requests that change nothing.

    The second world has two objects of each kind.
    """
    return worlds.share("own"), worlds.share("foreign", objects=2)


def test_body_with_own_ids_is_accepted_by_most_routes(
    client: CheckedClient, app: FastAPI, worlds: WorldFactory
) -> None:
    """Check that most generated bodies are accepted; refusals would otherwise prove nothing."""
    taken, asked = set(), set()
    for access in BY_KEY.values():
        if access.kind != "project" or access.method not in {"POST", "PUT"}:
            continue
        if not admits(access, "owner"):
            continue
        world = worlds.create()
        for body in bodies_of(app, access, world.params):
            if not any(uuid_paths(body)):
                continue
            asked.add(access.key)
            answer = send(client, access, world.tokens["owner"], world, json=body)
            if answer.status_code in SUCCESS:
                taken.add(access.key)
    assert asked - taken <= STATE_DEPENDENT
