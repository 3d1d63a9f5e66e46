"""Tests of archived projects, missing objects, invalid ids, and paths with ids of two projects.

``tests/test_routes.py`` covers the simple cases: each person's own objects and those of others.
"""

from uuid import uuid4

import pytest

from tests.access_table import TABLE, Access
from tests.matrix.requests import (
    admits,
    case,
    check,
    check_reveals_nothing,
    parameter_names,
    request_text,
    send_declared,
)
from tests.matrix.world import PEOPLE, READING, WorldFactory
from tests.openapi_checks import CheckedClient

IN_PROJECTS = [access for access in TABLE if access.kind == "project"]
WITH_PARAMETERS = [access for access in IN_PROJECTS if "{" in access.path]
INVALID_UUIDS = ("0", "%00", "' OR 1=1 --", "é" * 40, "null", "{}", "a" * 2000)


@pytest.mark.parametrize("access", IN_PROJECTS, ids=lambda a: a.key)
def test_archived_project_is_read_only(
    client: CheckedClient, worlds: WorldFactory, access: Access
) -> None:
    """Check that only users who would be admitted learn that the project is archived."""
    if access.method in READING or access.is_refused_when_archived:
        world = worlds.share("archived", status="archived")
    else:
        world = worlds.create(status="archived")
    for person in sorted(PEOPLE, key=lambda person: admits(access, person)):
        if access.removes_object and admits(access, person) and not access.is_refused_when_archived:
            worlds.refill(world)
            if access.path.endswith("/projects/{project}"):
                continue  # the first person deletes the project; test_routes covers this
        answer = send_declared(client, access, world.tokens[person], world.params)
        if not (access.is_refused_when_archived and admits(access, person)):
            check(answer, access, person)
            continue
        with case(access, person):
            assert answer.status_code == 409, (access.key, person, answer.text)
            if access.method != "HEAD":  # an answer to HEAD has no body
                assert answer.json()["code"] == "project.archived", (access.key, answer.text)


@pytest.mark.parametrize("access", WITH_PARAMETERS, ids=lambda a: a.key)
def test_missing_or_invalid_id_gets_404_or_422(
    client: CheckedClient, worlds: WorldFactory, access: Access
) -> None:
    """Expect 401 for callers without a valid token, who must not learn which objects exist."""
    world = worlds.share("own")
    name = parameter_names(access)[0]
    for value in (str(uuid4()), *INVALID_UUIDS):
        params = world.params | {name: value}
        for person in PEOPLE:
            answer = send_declared(client, access, world.tokens[person], params)
            unknown = person in {"anonymous", "deactivated"}
            with case(access, person):
                about = (access.key, person, value, answer.status_code, answer.text)
                assert answer.status_code in ({401} if unknown else {404, 422}), about
                assert world.mark not in answer.text or world.mark in request_text(answer), about


@pytest.mark.parametrize(
    "access", [a for a in WITH_PARAMETERS if len(parameter_names(a)) > 1], ids=lambda a: a.key
)
def test_object_of_another_project_below_own_project_is_refused(
    client: CheckedClient, worlds: WorldFactory, access: Access
) -> None:
    """Combine a first parameter that gives access with others that belong to another project."""
    # A request with a wrong id may delete an object of the caller's own project.
    own = worlds.share("own") if access.method in READING else worlds.create()
    foreign = worlds.share("foreign")
    for name in parameter_names(access)[1:]:
        params = own.params | {name: foreign.params[name]}
        for person in sorted(PEOPLE, key=lambda person: admits(access, person)):
            answer = send_declared(client, access, own.tokens[person], params)
            check_reveals_nothing(answer, access, person, foreign, sent=request_text(answer))
            # These parameters have the same values in both worlds.
            if name in {"finding", "version", "tag", "alias", "path:path"}:
                continue
            if person != "admin" and access.method in {"GET", "DELETE", "PATCH"}:
                with case(access, person):
                    assert answer.status_code >= 400, (access.key, person, answer.text)


@pytest.mark.parametrize(
    "access", [a for a in TABLE if a.kind in {"project", "inbox"}], ids=lambda a: a.key
)
def test_request_with_malformed_token_gets_401(
    client: CheckedClient, worlds: WorldFactory, access: Access
) -> None:
    world = worlds.share("own")
    good = world.tokens["owner"]
    assert good is not None
    params = world.params | {"notification": str(uuid4())}
    for token in ("", "x", good[:-1], good + "x", good.swapcase(), " " + good[1:], "null"):
        answer = send_declared(client, access, token, params)
        with case(access, "anonymous"):
            assert answer.status_code == 401, (access.key, token, answer.text)
