"""Tests of the application against its own OpenAPI document, with generated requests.

Each role sends valid and invalid requests. No response may be a 5xx, have a status that the
operation does not declare, or have a body that differs from the declaration for its status.
"""

import os
from itertools import count
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy.orm import Session

from tests.access_table import TABLE, Access
from tests.factories import make_key
from tests.matrix.world import World, WorldFactory
from tests.openapi_checks import CheckedClient

pytestmark = pytest.mark.slow
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "2"))
"""Number of requests that each role sends to each operation."""

ENDLESS = ("/events", "/stream")
"""Endings of paths that stream until the client disconnects, which other tests cover."""

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)


@pytest.fixture(scope="module")
def api_schema(app: FastAPI, client: CheckedClient) -> Any:
    """Start the application and return its OpenAPI document for Schemathesis.

    It is created once for all operations, because Schemathesis reads all modules for constants to
    send.
    """
    described = schemathesis.openapi.from_dict(app.openapi())
    described.app = app
    return described


@pytest.fixture
def worlds(client: CheckedClient, session: Session, home: Any) -> WorldFactory:
    return WorldFactory(session, home)


_worlds: dict[str, tuple[World, dict[str, str | None]]] = {}


def world_with_tokens(worlds: WorldFactory, name: str) -> tuple[World, dict[str, str | None]]:
    """Return the world of this name (a project with objects and users) and the users' tokens.

    A world is created on first use. All operations that only read share one world. Each operation
    that changes something has its own world.
    """
    if name not in _worlds:
        world = worlds.create()
        owner = world.people["owner"]
        assert owner is not None
        token = f"aip_key_{'k' * 20}{len(_worlds)}"
        make_key(worlds.session, owner, "datasets:read", token=token)
        _worlds[name] = world, {**world.tokens, "key": token}
    return _worlds[name]


@pytest.mark.parametrize(
    "access", [a for a in TABLE if not a.path.endswith(ENDLESS)], ids=lambda a: a.key
)
def test_operation_answers_generated_requests_as_declared(
    access: Access, api_schema: Any, worlds: WorldFactory, client: CheckedClient
) -> None:
    operation = find(api_schema, access)
    if operation is None:
        pytest.skip("not described")
    world, tokens = world_with_tokens(worlds, "reads" if access.method == "GET" else access.key)
    params = {name.partition(":")[0]: value for name, value in world.params.items()}
    asked = count()

    @given(case=st.one_of(*[
        operation.as_strategy(generation_mode=mode) for mode in GenerationMode
    ]))  # fmt: skip
    @settings(
        max_examples=EXAMPLES * len(tokens),
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    def ask(case: Any) -> None:
        number = next(asked)
        person = list(tokens)[number % len(tokens)]
        # Most requests name objects that exist; the others have generated path parameters.
        if number // len(tokens) % 3 != 2:
            for name in case.path_parameters or {}:
                if name in params:
                    case.path_parameters[name] = params[name]
        case.headers = {"Host": "127.0.0.1"}
        if tokens[person] is not None:
            case.headers["Authorization"] = f"Bearer {tokens[person]}"
        case.call_and_validate(checks=CHECKS)

    ask()


def find(api_schema: Any, access: Access) -> Any:
    """Return the document's operation for a route, or None if there is none.

    Routes under /v1 call a deployment a model.
    """
    path = access.path.replace("{path:path}", "{path}")
    if path.startswith("/v1/"):
        path = path.replace("{deployment}", "{model}")
    try:
        return api_schema[path][access.method]
    except LookupError:
        return None
