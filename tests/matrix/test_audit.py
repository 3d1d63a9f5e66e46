"""Tests that each route that changes something writes an audit entry."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from tests.access_table import TABLE, Access
from tests.conftest import Api
from tests.factories import number
from tests.matrix.audit_failure import AUDITED_AFTER_ANSWER, refuse_audit_entries, table_checksums
from tests.matrix.bodies import bodies_of, operation_of
from tests.matrix.requests import send_declared
from tests.matrix.scenarios import SCENARIOS, Scenario, wait_for_rows
from tests.matrix.world import World, WorldFactory
from tests.openapi_checks import CheckedClient

CHANGING = [
    access
    for access in TABLE
    if access.method not in {"GET", "HEAD", "OPTIONS"} and access.kind != "not_found"
]
EXCEPTIONS: dict[str, str] = {
    "POST /api/v1/tasks/{task}/heartbeat": "a sign of life; beginning and end are on record",
    "POST /api/v1/tasks/{task}/logs": "lines of a log; beginning and end are on record",
    "POST /api/v1/tasks/{task}/metrics": "points of metrics; beginning and end are on record",
}
"""Routes that change something and write no audit entry, each with the reason.

Programs send heartbeats, metric points and log lines by the thousand; these are not actions of a
user. The beginning and end of the run do have audit entries.
"""


def prepare(client: CheckedClient, worlds: WorldFactory, access: Access, world: World) -> None:
    """Bring the world into a state in which the route can change something."""
    admin = Api(client, world.tokens["admin"])
    if access.path.endswith("/unarchive"):
        admin.post(f"projects/{world.params['project']}/archive")
    if access.path.endswith("/activate"):
        admin.post(f"users/{world.params['user']}/deactivate")
    if access.path.endswith("/workers/{worker}/resume"):
        admin.post(f"workers/{world.params['worker']}/cordon")
    if access.kind != "platform":  # platform routes need no objects of the owner
        worlds.add_personal_objects(world, "owner")


def examples(app: FastAPI, access: Access) -> list[dict[str, Any]]:
    """Return the example bodies that the OpenAPI document has for a route, with unique names."""
    content = operation_of(app, access).get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    if "$ref" in schema:
        schema = app.openapi()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return [
        {
            key: f"{value}{number()}" if key in {"name", "username"} else value
            for key, value in example.items()
        }
        for example in schema.get("examples", [])
        if isinstance(example, dict)
    ]


def attempts(
    client: CheckedClient, app: FastAPI, access: Access, world: World
) -> Iterator[Callable[[], Any]]:
    """Yield functions that each send a request to the route, without a body or with one.

    The bodies are the OpenAPI document's examples, and bodies generated from its schemas.
    """
    path = access.path
    for name, value in world.params.items():
        path = path.replace(f"{{{name}}}", value)
    bodies = [*examples(app, access), *bodies_of(app, access, world.params)]
    for person in ("owner", "admin"):
        api = Api(client, world.tokens[person])
        yield partial(send_declared, client, access, world.tokens[person], world.params)
        for body in bodies:
            for headers in ({}, {"If-Match": "*"}):
                yield partial(api.request, access.method, "/" + path, json=body, headers=headers)


SECRET_FIELDS = {"password", "new_password", "current_password", "token", "access_token", "key",
          "refresh_token", "secret", "value", "uri", "codes"}  # fmt: skip


def secrets_in(value: Any, name: str = "") -> Iterator[str]:
    """Yield the values in a request or response that must not be stored in the clear."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from secrets_in(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from secrets_in(item, name)
    elif isinstance(value, str) and name in SECRET_FIELDS and len(value) >= 6:
        yield value


def json_or_none(text_: str) -> Any:
    try:
        return json.loads(text_)
    except ValueError:
        return None


def entries_since(session: Session, number: int) -> list[Any]:
    session.rollback()
    return list(
        session.execute(
            text(
                "SELECT action, details, details::text AS details_text,"
                " host(ip_address) AS address, user_agent FROM audit_logs"
                " WHERE id > :number AND action <> 'access:denied'"
            ),
            {"number": number},
        ).all()
    )


def check_rows(rows: list[Any], answer: Any, access: Access, world: World) -> None:
    """Check that audit entries name a known action, the user and the origin, but no secrets."""
    assert {row.action for row in rows} <= {action.value for action in AuditAction}, access.key
    sent = answer.request.content.decode("utf-8", "replace")
    for secret in (*secrets_in(json_or_none(sent)), *secrets_in(json_or_none(answer.text))):
        assert not any(secret in row.details_text for row in rows), f"{access.key} reveals a secret"
    mine = [row for row in rows if row.address == "127.0.0.1" and row.user_agent == "testclient"]
    assert mine, (access.key, "does not tell from where", rows)
    if access.kind != "public":
        assert any(row.details.get("actor", {}).get("username") for row in mine), access.key


def check_atomic(session: Session, owner_url: str, act: Callable[[], Any], access: Access) -> None:
    """Check that a change fails and leaves no trace if its audit entry can't be written."""
    before = table_checksums(session)
    with refuse_audit_entries(session, owner_url):
        answer = act()
    after = table_checksums(session)
    about = f"{access.key}: {answer.status_code} {answer.text[:300]}"
    # An audit trail verification requested by an earlier test may end in the meantime.
    watched = before.keys() - {"audit_verifications"}
    assert {name for name in watched if before[name] != after[name]} == set(), about
    assert not answer.is_success, about


@pytest.mark.parametrize("access", CHANGING, ids=lambda access: access.key)
def test_successful_change_writes_audit_entry(
    client: CheckedClient,
    app: FastAPI,
    session: Session,
    owner_url: str,
    worlds: WorldFactory,
    access: Access,
) -> None:
    """Also fail if a route never succeeds, because then nothing was checked."""
    if access.key in EXCEPTIONS:
        pytest.skip(EXCEPTIONS[access.key])
    world = worlds.create()
    with ExitStack() as until:
        if access.key in SCENARIOS:
            acts = iter([SCENARIOS[access.key](Scenario(client, session, worlds, world, until))])
        else:
            prepare(client, worlds, access, world)
            acts = attempts(client, app, access, world)
        refused = []
        for act in acts:
            if access.key not in AUDITED_AFTER_ANSWER:
                check_atomic(session, owner_url, act, access)
            before = session.scalars(text("SELECT coalesce(max(id), 0) FROM audit_logs")).one()
            answer = act()
            if not answer.is_success:
                refused.append((answer.status_code, answer.text[:300]))
                continue
            wait_for_rows(lambda before=before: len(entries_since(session, before)))  # type: ignore[misc]
            rows = entries_since(session, before)
            assert rows, f"{access.key} succeeds and is not on record: {answer.text[:300]}"
            check_rows(rows, answer, access, world)
            return
    pytest.fail(
        f"{access.key} never succeeds; give it a scenario in tests/matrix/scenarios: {refused[-3:]}"
    )
