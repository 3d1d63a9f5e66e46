"""Markup in every text field of every route, found by the application's own description."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from tests.access_table import TABLE, Access
from tests.attacks.test_content import MARKUP, assert_inert
from tests.described import CheckedClient
from tests.matrix.asking import admits, ask
from tests.matrix.bodies import bodies_of
from tests.matrix.test_references import Place, put, send
from tests.matrix.world import Stage, World

WITH_BODIES = [a for a in TABLE if a.method in {"POST", "PUT", "PATCH"} and a.kind != "nowhere"]
OWN_WORDS = {"GET /metrics"}
"""What is plain text and holds no word of anybody's: methods, routes, numbers."""

READINGS = [
    a for a in TABLE if a.method == "GET" and a.kind != "nowhere" and a.key not in OWN_WORDS
]
_worlds: list[World] = []


def texts(body: Any, place: Place = ()) -> Iterator[Place]:
    """Where in the body texts stand."""
    items: Any = ()
    if isinstance(body, dict):
        items = body.items()
    elif isinstance(body, list):
        items = enumerate(body)
    elif isinstance(body, str):
        yield place
    for key, value in items:
        yield from texts(value, (*place, key))


@pytest.fixture
def world(stage: Stage) -> World:
    if not _worlds:
        _worlds.append(stage.world())
        stage.notify(_worlds[0], "owner")
    return _worlds[0]


@pytest.mark.parametrize("access", WITH_BODIES, ids=lambda a: a.key)
def test_is_answered_as_text(
    client: CheckedClient, app: FastAPI, world: World, access: Access
) -> None:
    """Taken or refused, whatever repeats it is nothing that a browser runs."""
    person = "owner" if admits(access, "owner") else "admin"
    bodies = bodies_of(app, access, world.params)
    if not bodies:
        pytest.skip("no JSON")
    for place in texts(bodies[0]):
        for markup in MARKUP[:3]:
            hostile = put(bodies[0], place, markup)
            headers = {"If-Match": "*"}
            answer = send(
                client, access, world.tokens[person], world, json=hostile, headers=headers
            )
            assert answer.status_code < 500 or access.unready, (access.key, place, answer.text)
            assert_inert(answer)


@pytest.mark.parametrize("access", READINGS, ids=lambda a: a.key)
def test_what_was_stored_is_read_as_text(
    client: CheckedClient, world: World, access: Access
) -> None:
    """Every reading of what the requests before have left."""
    person = "owner" if admits(access, "owner") else "admin"
    answer = ask(client, access, world.tokens[person], world.params)
    if answer.is_redirect or not answer.content:
        return
    assert_inert(answer)


@pytest.mark.parametrize("access", READINGS, ids=lambda a: a.key)
def test_in_parts_of_an_address(client: CheckedClient, world: World, access: Access) -> None:
    for name in re.findall(r"{([^}]+)}", access.path):
        params = world.params | {name: "%3Csvg%20onload=alert(1)%3E"}
        assert_inert(ask(client, access, world.tokens["owner"], params))
