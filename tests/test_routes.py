"""Tests that each route has one guard, which admits exactly the users in the access table."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, routing
from sqlalchemy.orm import Session

from aiplatform.server.identity.access import PublicGuard
from tests.access_table import PUBLIC, TABLE, UNGUARDED, Access
from tests.matrix.requests import (
    BY_KEY,
    admits,
    check,
    check_reveals_nothing,
    request_text,
    send_declared,
)
from tests.matrix.world import PEOPLE, READING, WorldFactory
from tests.openapi_checks import CheckedClient


def all_routes(app: FastAPI) -> list[Any]:
    """Return all routes, including those of routers that some FastAPI versions keep nested."""
    walk = getattr(routing, "iter_route_contexts", list)
    return list(walk(app.routes))


def keys(route: Any) -> list[str]:
    return [f"{method} {route.path}" for method in sorted(_methods(route))]


def guards(dependant: Any) -> Iterator[Any]:
    for dependency in dependant.dependencies:
        if hasattr(dependency.call, "permission"):
            yield dependency.call
        yield from guards(dependency)


def comparable(key: str) -> str:
    """Return the key as in the access table, with ``deployment`` instead of ``model`` in /v1."""
    return re.sub(r" /v1/models/{model(:path)?}", " /v1/models/{deployment}", key)


def _methods(route: Any) -> set[str]:
    """Return a route's methods; a HEAD that comes with a GET does not count."""
    methods: set[str] = set(route.methods)
    return methods - {"HEAD"} if "GET" in methods else methods


class TestGuards:
    @pytest.fixture
    def routes(self, app: FastAPI) -> dict[str, Any]:
        found = {comparable(key): route for route in all_routes(app) for key in keys(route)}
        return {key: route for key, route in found.items() if key not in UNGUARDED}

    def test_route_list_contains_all_documented_operations(
        self, app: FastAPI, routes: dict[str, Any]
    ) -> None:
        described = {
            comparable(f"{method.upper()} {re.sub('{path}', '{path:path}', path)}")
            for path, methods in app.openapi()["paths"].items()
            for method in methods
        }
        assert len(described) > 60
        assert described <= set(routes)

    def test_each_route_has_exactly_one_guard(self, routes: dict[str, Any]) -> None:
        for key, route in routes.items():
            found = list(guards(route.dependant))
            assert len(found) == 1, f"{key} has {len(found)} guards"

    def test_public_routes_are_exactly_the_listed_ones(self, routes: dict[str, Any]) -> None:
        public = {
            key
            for key, route in routes.items()
            if isinstance(next(guards(route.dependant)), PublicGuard)
        }
        assert public == PUBLIC

    def test_access_table_lists_exactly_all_routes(self, routes: dict[str, Any]) -> None:
        assert len(BY_KEY) == len(TABLE)
        assert set(routes) - set(BY_KEY) == set(), "not declared in tests/access_table.py"
        assert set(BY_KEY) - set(routes) == set(), "declared, but no route"

    def test_guards_ask_for_the_declared_permission(self, routes: dict[str, Any]) -> None:
        for key, route in routes.items():
            guard = next(guards(route.dependant))
            assert guard.permission == BY_KEY[key].permission, key

    def test_operations_have_distinct_names_and_summaries(self, app: FastAPI) -> None:
        operations = [
            operation
            for methods in app.openapi()["paths"].values()
            for operation in methods.values()
        ]
        names = [operation["operationId"] for operation in operations]
        assert len(names) == len(set(names))
        assert all(operation.get("summary") for operation in operations)


@pytest.fixture
def worlds(client: CheckedClient, session: Session, home: Path) -> WorldFactory:
    """Return the factory for worlds: projects with their objects and users."""
    return WorldFactory(session, home)


@pytest.mark.parametrize("access", TABLE, ids=lambda access: access.key)
def test_route_lets_in_exactly_the_people_of_the_table(
    client: CheckedClient, worlds: WorldFactory, access: Access
) -> None:
    """Request, as each user, an object of the user's own project and one of another project."""
    if access.method in READING:
        own, foreign = worlds.share("own"), worlds.share("foreign")
    else:
        own, foreign = worlds.create(), worlds.create()
    own.params["notification"] = foreign.params["notification"] = str(own.project.uuid)
    targets = (own, foreign) if access.kind in {"project", "inbox"} else (own,)
    # Those who are refused come first, because the others may change or delete the object.
    for person in sorted(PEOPLE, key=lambda person: admits(access, person)):
        if access.removes_object and admits(access, person):
            worlds.refill(own)
            if access.path.endswith("/projects/{project}"):
                worlds.replace_project(own)
        if (access.kind == "inbox" or access.personal) and own.people[person] is not None:
            worlds.add_personal_objects(own, person)
        if access.kind == "inbox" and own.people[person] is not None:
            worlds.add_personal_objects(foreign, "outsider")
        for world in targets:
            answer = send_declared(client, access, own.tokens[person], world.params)
            check(answer, access, person, foreign=world is foreign)
            if world is foreign and person != "admin":
                check_reveals_nothing(answer, access, person, foreign, sent=request_text(answer))


def test_path_parameters_are_declared(app: FastAPI) -> None:
    """A document whose paths have undeclared parameters is invalid."""
    for path, item in app.openapi()["paths"].items():
        for method, operation in item.items():
            declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert declared == set(re.findall(r"{(\w+)(?::path)?}", path)), (method, path)
