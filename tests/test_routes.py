"""Every route has exactly one guard, and lets in exactly whom the access table says."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, routing
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from aiplatform.protocol.encoding import jsonable
from aiplatform.protocol.enums import DeploymentStatus, TaskStatus
from aiplatform.protocol.specs import DatasetRef, TrainingSpec
from aiplatform.server.identity.access import PublicGuard
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from tests.access_table import PUBLIC, TABLE, UNGUARDED, Access
from tests.conftest import Api
from tests.factories import (
    make_blob,
    make_dataset,
    make_deployment,
    make_experiment,
    make_member,
    make_model,
    make_notification,
    make_project,
    make_report,
    make_rows,
    make_task,
    make_token,
    make_user,
    make_version,
)

PEOPLE = ("anonymous", "deactivated", "outsider", "viewer", "developer", "owner", "admin")
FILE = "weights/config.json"
BY_KEY = {access.key: access for access in TABLE}


def all_routes(app: FastAPI) -> list[Any]:
    """Every route, also those of included routers, which some versions of FastAPI keep nested."""
    walk = getattr(routing, "iter_route_contexts", list)
    return list(walk(app.routes))


def keys(route: Any) -> list[str]:
    return [f"{method} {route.path}" for method in sorted(route.methods - {"HEAD"})]


def guards(dependant: Any) -> Iterator[Any]:
    for dependency in dependant.dependencies:
        if hasattr(dependency.call, "permission"):
            yield dependency.call
        yield from guards(dependency)


def comparable(key: str) -> str:
    """The façade calls a deployment ``model``; the table says what it is."""
    return key.replace("/v1/models/{model}", "/v1/models/{deployment}") if " /v1/" in key else key


class TestGuards:
    @pytest.fixture
    def routes(self, app: FastAPI) -> dict[str, Any]:
        found = {comparable(key): route for route in all_routes(app) for key in keys(route)}
        return {key: route for key, route in found.items() if key not in UNGUARDED}

    def test_the_walk_sees_what_the_description_has(
        self, app: FastAPI, routes: dict[str, Any]
    ) -> None:
        described = {
            comparable(f"{method.upper()} {re.sub('{path}', '{path:path}', path)}")
            for path, methods in app.openapi()["paths"].items()
            for method in methods
        }
        assert len(described) > 60
        assert described <= set(routes)

    def test_each_route_has_exactly_one(self, routes: dict[str, Any]) -> None:
        for key, route in routes.items():
            found = list(guards(route.dependant))
            assert len(found) == 1, f"{key} has {len(found)} guards"

    def test_the_public_ones_are_those_and_no_others(self, routes: dict[str, Any]) -> None:
        public = {
            key
            for key, route in routes.items()
            if isinstance(next(guards(route.dependant)), PublicGuard)
        }
        assert public == PUBLIC

    def test_the_table_has_all_and_no_others(self, routes: dict[str, Any]) -> None:
        assert len(BY_KEY) == len(TABLE)
        assert set(routes) - set(BY_KEY) == set(), "not declared in tests/access_table.py"
        assert set(BY_KEY) - set(routes) == set(), "declared, but no route"

    def test_each_asks_for_the_declared_permission(self, routes: dict[str, Any]) -> None:
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


@dataclass
class World:
    """A project, one of everything in it, and the people around it."""

    people: dict[str, User | None]
    tokens: dict[str, str | None]
    params: dict[str, str]
    project: Project


def resources(session: Session, project: Project, home: Path) -> dict[str, str]:
    """One of everything in the project, as path parameters."""
    dataset = make_dataset(session, project)
    make_report(session, make_version(session, dataset, file=make_rows(session, home)))
    model = make_model(session, project, files=[make_blob(session, b"{}", FILE, home)])
    config = TrainingSpec(base_model=model.uuid, dataset=DatasetRef(dataset=dataset.uuid))
    deployment = make_deployment(
        session,
        project,
        model,
        status=DeploymentStatus.READY,
        endpoint=f"unix:{home}/nobody-listens.sock",
        endpoint_token="token",
    )
    return {
        "project": str(project.uuid),
        "dataset": str(dataset.uuid),
        "version": "v1",
        "task": str(make_task(session, project, status=TaskStatus.COMPLETED).uuid),
        "experiment": str(make_experiment(session, project, config=jsonable(config)).uuid),
        "model": str(model.uuid),
        "deployment": str(deployment.uuid),
        "path:path": FILE,
        "user": make_member(session, project, "viewer").username,
    }


Make = Callable[..., World]


@pytest.fixture
def fill(session: Session, home: Path) -> Callable[[Project], dict[str, str]]:
    """Put one of everything into a project."""
    return lambda project: resources(session, project, home)


@pytest.fixture
def make_world(
    session: Session, admin_user: User, fill: Callable[[Project], dict[str, str]]
) -> Make:
    def make(**columns: Any) -> World:
        project = make_project(session, **columns)
        inactive = make_user(session, active=False)
        people: dict[str, User | None] = {
            "anonymous": None,
            "deactivated": make_member(session, project, "developer", inactive),
            "outsider": make_user(session),
            "viewer": make_member(session, project, "viewer"),
            "developer": make_member(session, project, "developer"),
            "owner": session.get_one(User, project.owner_id),
            "admin": admin_user,
        }
        tokens = {
            name: None if user is None else make_token(session, user)
            for name, user in people.items()
        }
        return World(people, tokens, fill(project), project)

    return make


def ask(client: TestClient, access: Access, token: str | None, params: dict[str, str]) -> Any:
    """Send the request that the table declares, about the resources of ``params``."""
    # A guard that passes runs into what is missing in the request; deletions are carried out.
    path = re.sub(r"{([^}]+)}", lambda found: params[found[1]], access.path)
    send = {
        key: value | {"model": params["deployment"]} if "model" in value else value
        for key, value in access.send.items()
    }
    return Api(client, token).request(access.method, "/" + path, **send)


def admits(access: Access, person: str) -> bool:
    """Whether the table lets the person in, to what is in their own project."""
    if person in ("anonymous", "deactivated"):
        return access.kind == "public"
    if access.kind == "project":
        return (
            person in ("owner", "admin")
            or (person == "viewer" and access.viewer)
            or (person == "developer" and access.developer)
        )
    return person == "admin" if access.kind == "platform" else True


def check(answer: Any, access: Access, person: str, *, foreign: bool = False) -> None:
    """Hold an answer against the table."""
    about = f"{access.key} by {person}: {answer.status_code} {answer.text[:300]}"
    if access.kind == "nowhere":
        assert answer.status_code == 404, about
    elif person in ("anonymous", "deactivated") and access.kind != "public":
        assert answer.status_code == 401, about
        assert answer.headers["www-authenticate"] == "Bearer", about
    elif foreign and (access.kind == "inbox" or person != "admin"):
        assert answer.status_code == 404, about
    elif admits(access, person):
        fine = {200, 201, 202, 204, 409, 412, 422, 428} | ({503} if access.unready else set())
        assert answer.status_code in fine, about
        if answer.status_code == 409:
            assert answer.json()["code"] != "project_archived", about
    elif access.kind == "project" and person == "outsider":
        assert answer.status_code == 404, about
    else:
        assert answer.status_code == 403, about
        asked = access.asks if access.asks and person == "developer" else access.permission
        assert answer.json()["permission"] == asked, about


@pytest.mark.parametrize("access", TABLE, ids=lambda access: access.key)
def test_access(
    client: TestClient,
    session: Session,
    make_world: Make,
    fill: Callable[[Project], dict[str, str]],
    access: Access,
) -> None:
    """Each person, to what is their own or their project's, and to somebody else's."""
    own, foreign = make_world(), make_world()
    own.params["notification"] = foreign.params["notification"] = str(own.project.uuid)
    places = (own, foreign) if access.kind in {"project", "inbox"} else (own,)
    # Those who are refused first: who is admitted may change or delete what is asked about.
    for person in sorted(PEOPLE, key=lambda person: admits(access, person)):
        if access.method == "DELETE" and admits(access, person):
            own.params |= fill(own.project)
            if access.path.endswith("/projects/{project}"):
                own.params["project"] = str(make_project(session, own.people["owner"]).uuid)
        user = own.people[person]
        if access.kind == "inbox" and user is not None:
            other = foreign.people["outsider"]
            assert other is not None
            own.params["notification"] = str(make_notification(session, user).uuid)
            foreign.params["notification"] = str(make_notification(session, other).uuid)
        for place in places:
            answer = ask(client, access, own.tokens[person], place.params)
            check(answer, access, person, foreign=place is foreign)


@pytest.mark.parametrize(
    "access", [access for access in TABLE if access.kind == "project"], ids=lambda a: a.key
)
def test_archived_projects_are_read_only(
    client: TestClient, make_world: Make, access: Access
) -> None:
    world = make_world(status="archived")
    for person in ("owner", "admin"):
        answer = ask(client, access, world.tokens[person], world.params)
        if access.is_frozen:
            assert answer.status_code == 409, (access.key, answer.text)
            assert answer.json()["code"] == "project_archived", (access.key, answer.text)
        elif answer.status_code == 409:
            assert answer.json()["code"] != "project_archived", (access.key, answer.text)
        if access.method == "DELETE" and answer.status_code == 204:
            break


@pytest.mark.parametrize(
    "access",
    [access for access in TABLE if access.kind == "project" and "{" in access.path],
    ids=lambda a: a.key,
)
@pytest.mark.parametrize("hostile", ["0", "%00", "' OR 1=1 --", "é" * 40])
def test_what_is_no_uuid_is_not_found(
    client: TestClient, make_world: Make, access: Access, hostile: str
) -> None:
    """Nor is it told to those who are not signed in."""
    world = hostile_world(make_world)
    name = re.findall(r"{([^}]+)}", access.path)[0]
    params = world.params | {name: hostile}
    assert ask(client, access, None, params).status_code == 401
    assert ask(client, access, world.tokens["admin"], params).status_code in {404, 422}


_worlds: list[World] = []


def hostile_world(make_world: Make) -> World:
    """One world is enough for requests that change nothing."""
    if not _worlds:
        _worlds.append(make_world())
    return _worlds[0]


def test_every_parameter_of_a_path_is_declared(app: FastAPI) -> None:
    """An OpenAPI document whose paths have undeclared parameters is invalid."""
    import re

    for path, item in app.openapi()["paths"].items():
        for method, operation in item.items():
            declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert declared == set(re.findall(r"{(\w+)(?::path)?}", path)), (method, path)
