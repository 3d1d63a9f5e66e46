"""Archived projects, things that do not exist, ids that are none, and ids of two projects at once.

``tests/test_routes.py`` asks the plain cases, everybody about their own and about foreign things.
"""

from uuid import uuid4

import pytest

from tests.access_table import TABLE, Access
from tests.described import CheckedClient
from tests.matrix.asking import admits, ask, case, check, check_silent, names_of, sent_in
from tests.matrix.world import PEOPLE, Stage, World

IN_PROJECTS = [access for access in TABLE if access.kind == "project"]
WITH_PARAMETERS = [access for access in IN_PROJECTS if "{" in access.path]
NO_UUIDS = ("0", "%00", "' OR 1=1 --", "é" * 40, "null", "{}", "a" * 2000)


@pytest.mark.parametrize("access", IN_PROJECTS, ids=lambda a: a.key)
def test_archived_projects_are_read_only(
    client: CheckedClient, stage: Stage, access: Access
) -> None:
    """Whoever is refused is refused as ever; whoever is let in is told that it is archived."""
    world = stage.world(status="archived")
    for person in sorted(PEOPLE, key=lambda person: admits(access, person)):
        if access.takes_away and admits(access, person) and not access.is_frozen:
            stage.refill(world)
            if access.path.endswith("/projects/{project}"):
                continue  # gone after the first of them, which test_routes looks at
        answer = ask(client, access, world.tokens[person], world.params)
        if not (access.is_frozen and admits(access, person)):
            check(answer, access, person)
            continue
        with case(access, person):
            assert answer.status_code == 409, (access.key, person, answer.text)
            if access.method != "HEAD":  # which is answered without a body
                assert answer.json()["code"] == "project_archived", (access.key, answer.text)


_worlds: dict[str, World] = {}


def lasting(stage: Stage, name: str) -> World:
    """One world is enough for requests that change nothing."""
    if name not in _worlds:
        _worlds[name] = stage.world()
    return _worlds[name]


@pytest.mark.parametrize("access", WITH_PARAMETERS, ids=lambda a: a.key)
def test_what_does_not_exist_is_not_found(
    client: CheckedClient, stage: Stage, access: Access
) -> None:
    """Nor is it told to those who are not signed in."""
    world = lasting(stage, "own")
    name = names_of(access)[0]
    for value in (str(uuid4()), *NO_UUIDS):
        params = world.params | {name: value}
        for person in PEOPLE:
            answer = ask(client, access, world.tokens[person], params)
            unknown = person in {"anonymous", "deactivated"}
            with case(access, person):
                about = (access.key, person, value, answer.status_code, answer.text)
                assert answer.status_code in ({401} if unknown else {404, 422}), about
                assert world.mark not in answer.text or world.mark in sent_in(answer), about


@pytest.mark.parametrize(
    "access", [a for a in WITH_PARAMETERS if len(names_of(a)) > 1], ids=lambda a: a.key
)
def test_a_foreign_thing_under_ones_own(
    client: CheckedClient, stage: Stage, access: Access
) -> None:
    """The first parameter opens the door; the others must lead to what is behind that door."""
    own, foreign = stage.world(), lasting(stage, "foreign")
    for name in names_of(access)[1:]:
        params = own.params | {name: foreign.params[name]}
        for person in sorted(PEOPLE, key=lambda person: admits(access, person)):
            answer = ask(client, access, own.tokens[person], params)
            check_silent(answer, access, person, foreign, sent=sent_in(answer))
            if name in {"finding", "version", "tag", "path:path"}:  # the same in both worlds
                continue
            if person != "admin" and access.method in {"GET", "DELETE", "PATCH"}:
                with case(access, person):
                    assert answer.status_code >= 400, (access.key, person, answer.text)


@pytest.mark.parametrize(
    "access", [a for a in TABLE if a.kind in {"project", "inbox"}], ids=lambda a: a.key
)
def test_without_a_good_token_nobody_gets_anything(
    client: CheckedClient, stage: Stage, access: Access
) -> None:
    """Nor with one that is nearly right."""
    world = lasting(stage, "own")
    good = world.tokens["owner"]
    assert good is not None
    params = world.params | {"notification": str(uuid4())}
    for token in ("", "x", good[:-1], good + "x", good.swapcase(), " " + good[1:], "null"):
        answer = ask(client, access, token, params)
        with case(access, "anonymous"):
            assert answer.status_code == 401, (access.key, token, answer.text)
