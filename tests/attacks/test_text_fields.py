"""Attack: markup in each text field that the OpenAPI document lists, for every route."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from tests.access_table import TABLE, Access
from tests.attacks.test_content import MARKUP, assert_inert
from tests.matrix.bodies import bodies_of
from tests.matrix.requests import admits, send_declared
from tests.matrix.test_references import JsonPath, replace_at, send
from tests.matrix.world import World, WorldFactory
from tests.openapi_checks import CheckedClient

WITH_BODIES = [a for a in TABLE if a.method in {"POST", "PUT", "PATCH"} and a.kind != "not_found"]
WITHOUT_USER_TEXT = {"GET /metrics"}
"""Routes that return plain text without user input: only methods, routes and numbers."""

READ_ROUTES = [
    a
    for a in TABLE
    if a.method == "GET" and a.kind != "not_found" and a.key not in WITHOUT_USER_TEXT
]
_worlds: list[World] = []


def text_paths(body: Any, place: JsonPath = ()) -> Iterator[JsonPath]:
    """Yield the position of each string in a body."""
    items: Any = ()
    if isinstance(body, dict):
        items = body.items()
    elif isinstance(body, list):
        items = enumerate(body)
    elif isinstance(body, str):
        yield place
    for key, value in items:
        yield from text_paths(value, (*place, key))


@pytest.fixture
def world(worlds: WorldFactory) -> World:
    if not _worlds:
        _worlds.append(worlds.create())
        worlds.add_personal_objects(_worlds[0], "owner")
    return _worlds[0]


@pytest.mark.parametrize("access", WITH_BODIES, ids=lambda a: a.key)
def test_markup_in_request_body_is_answered_as_inert_text(
    client: CheckedClient, app: FastAPI, world: World, access: Access
) -> None:
    """Check that a browser would not run the markup, whether it was stored or refused."""
    person = "owner" if admits(access, "owner") else "admin"
    bodies = bodies_of(app, access, world.params)
    if not bodies:
        pytest.skip("no JSON")
    for place in text_paths(bodies[0]):
        for markup in MARKUP[:3]:
            hostile = replace_at(bodies[0], place, markup)
            headers = {"If-Match": "*"}
            answer = send(
                client, access, world.tokens[person], world, json=hostile, headers=headers
            )
            assert answer.status_code < 500 or access.may_be_unavailable, (
                access.key,
                place,
                answer.text,
            )
            assert_inert(answer)


@pytest.mark.parametrize("access", READ_ROUTES, ids=lambda a: a.key)
def test_stored_markup_is_read_as_inert_text(
    client: CheckedClient, world: World, access: Access
) -> None:
    """Check the values that the requests of the previous test have stored."""
    person = "owner" if admits(access, "owner") else "admin"
    answer = send_declared(client, access, world.tokens[person], world.params)
    if answer.is_redirect or not answer.content:
        return
    assert_inert(answer)


@pytest.mark.parametrize("access", READ_ROUTES, ids=lambda a: a.key)
def test_markup_in_path_is_answered_as_inert_text(
    client: CheckedClient, world: World, access: Access
) -> None:
    for name in re.findall(r"{([^}]+)}", access.path):
        params = world.params | {name: "%3Csvg%20onload=alert(1)%3E"}
        assert_inert(send_declared(client, access, world.tokens["owner"], params))
