"""Attack: request bodies with fields that nobody may set, and bodies that are too large."""

from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy.orm import Session

from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from tests.access_table import TABLE, Access
from tests.conftest import Api
from tests.matrix.bodies import bodies_of
from tests.matrix.requests import admits
from tests.matrix.test_references import send
from tests.matrix.world import World, WorldFactory
from tests.openapi_checks import CheckedClient

FORBIDDEN_FIELDS: dict[str, Any] = {
    "id": 1, "uuid": "00000000-0000-4000-8000-000000000000", "owner": "admin", "owner_id": 1,
    "user_id": 1, "project_id": 1, "is_system": True, "is_active": True, "is_superuser": True,
    "role": "admin", "permissions": ["*"], "status": "ready", "password_hash": "x",
    "created_at": "2020-01-01T00:00:00Z", "created_by": 1, "author": "admin",
    "__proto__": {"role": "admin"}, "constructor": {},
}  # fmt: skip
WITH_BODIES = [a for a in TABLE if a.method in {"POST", "PUT", "PATCH"} and a.kind != "not_found"]


def documented_fields(app: FastAPI, access: Access) -> set[str]:
    content = (
        app.openapi()["paths"]
        .get(access.path.replace("{path:path}", "{path}"), {})
        .get(access.method.lower(), {})
        .get("requestBody", {})
        .get("content", {})
    )
    schema = content.get("application/json", {}).get("schema", {})
    if "$ref" in schema:
        schema = app.openapi()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return set(schema.get("properties", {}))


class TestMassAssignment:
    @pytest.mark.parametrize("access", WITH_BODIES, ids=lambda a: a.key)
    def test_undeclared_fields_are_refused(
        self, client: CheckedClient, app: FastAPI, worlds: WorldFactory, access: Access
    ) -> None:
        """Check that undeclared fields are refused instead of silently ignored."""
        world = _shared_world(worlds)
        if access.path.startswith("/v1/"):
            pytest.skip("OpenAI's clients send fields that are passed over")
        person = "owner" if admits(access, "owner") else "admin"
        bodies = bodies_of(app, access, world.params)
        if not bodies:
            pytest.skip("no JSON")
        for name, value in FORBIDDEN_FIELDS.items():
            if name in documented_fields(app, access):
                continue
            hostile = bodies[0] | {name: value}
            answer = send(client, access, world.tokens[person], world, json=hostile,
                          headers={"If-Match": '"0"'})  # fmt: skip
            about = (access.key, name, answer.status_code, answer.text)
            # Some requests are refused earlier for other reasons: permissions or a stale ETag.
            assert answer.status_code in {401, 403, 404, 409, 412, 422}, about

    def test_user_cannot_give_themselves_a_role_or_project(
        self, client: CheckedClient, session: Session, world: World
    ) -> None:
        for person in ("viewer", "developer", "owner", "outsider"):
            api = Api(client, world.tokens[person])
            user = world.people[person]
            assert user is not None
            for method, path in (
                ("PATCH", f"users/{user.uuid}"), ("PATCH", f"users/{user.username}"),
                ("PATCH", "users/me"), ("PUT", "users/me"),
            ):  # fmt: skip
                api.request(method, path, json={"role": "admin"}, headers={"If-Match": "*"})
            project = world.params["project"]
            api.put(f"projects/{project}/members/{user.username}", json={"role": "admin"})
            api.patch(
                f"projects/{project}", json={"owner": user.username}, headers={"If-Match": "*"}
            )
            session.expire_all()
            assert session.get_one(User, user.id).role == "user"
        assert session.get_one(Project, world.project.id).owner_id == world.project.owner_id


class TestSize:
    @pytest.mark.parametrize("access", WITH_BODIES, ids=lambda a: a.key)
    def test_deep_and_large_bodies_are_refused(
        self, client: CheckedClient, app: FastAPI, worlds: WorldFactory, access: Access
    ) -> None:
        world = _shared_world(worlds)
        uploads = (
            access.path.endswith(("/bundles", "/datasets", "/versions")) or "/files/" in access.path
        )
        if uploads:
            pytest.skip("streams what it takes, and counts itself")
        for content in (b"[" * 100_000, b'{"a":' * 100_000, b"x" * (5 << 20)):
            path = access.path
            for name, value in world.params.items():
                path = path.replace("{" + name + "}", value)
            answer = Api(client, world.tokens["owner"]).request(
                access.method, "/" + path, content=content,
                headers={"Content-Type": "application/json"},
            )  # fmt: skip
            assert answer.status_code in {400, 413}, (access.key, answer.status_code, answer.text)


_worlds: list[World] = []


def _shared_world(worlds: WorldFactory) -> World:
    if not _worlds:
        _worlds.append(worlds.create())
    world = _worlds[0]
    world.params.setdefault("notification", world.params["project"])
    return world
