"""Helpers that send the requests in the access table, check the responses, and count cases."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from tests.access_table import TABLE, Access
from tests.conftest import Api
from tests.matrix.tally import TALLY
from tests.matrix.world import World
from tests.openapi_checks import CheckedClient

BY_KEY = {access.key: access for access in TABLE}
ADMITTED_STATUSES = {200, 201, 202, 204, 409, 412, 422, 428}


def send_declared(
    client: CheckedClient, access: Access, token: str | None, params: dict[str, str]
) -> Any:
    """Send the request that the access table declares, with ``params`` in its path."""
    # Many requests lack a required body, so they are refused as invalid after the guard has
    # admitted them. Deletions need no body and are carried out.
    path = re.sub(r"{([^}]+)}", lambda found: params[found[1]], access.path)
    send = {
        key: value | {"model": params["deployment"]} if "model" in value else value
        for key, value in access.send.items()
    }
    return Api(client, token).request(access.method, "/" + path, **send)


def parameter_names(access: Access) -> list[str]:
    """Return the names of the parameters in the route's path."""
    return re.findall(r"{([^}]+)}", access.path)


def admits(access: Access, person: str) -> bool:
    """Return True if the access table admits the person in their own project."""
    if person in ("anonymous", "deactivated"):
        return access.kind == "public"
    if access.kind == "project":
        return (
            person in ("owner", "admin")
            or (person == "viewer" and access.viewer)
            or (person == "developer" and access.developer)
        )
    return person == "admin" if access.kind == "platform" else True


@contextmanager
def case(access: Access, person: str) -> Iterator[None]:
    """Count a case; an assertion that fails inside the ``with`` block counts as a leak."""
    TALLY.cases += 1
    TALLY.routes.add(access.key)
    TALLY.roles.add(person)
    try:
        yield
    except AssertionError:
        TALLY.leaks += 1
        raise


def check(answer: Any, access: Access, person: str, *, foreign: bool = False) -> None:
    """Check a response against the access table; ``foreign`` if the object is in another world."""
    with case(access, person):
        _check(answer, access, person, foreign=foreign)


def _check(answer: Any, access: Access, person: str, *, foreign: bool) -> None:
    about = f"{access.key} by {person}: {answer.status_code} {answer.text[:300]}"
    if access.kind == "not_found":
        assert answer.status_code == 404, about
    elif person in ("anonymous", "deactivated") and access.kind != "public":
        assert answer.status_code == 401, about
        assert answer.headers["www-authenticate"] == "Bearer", about
    elif foreign and (access.kind == "inbox" or person != "admin"):
        assert answer.status_code == 404, about
    elif admits(access, person):
        assert answer.status_code in ADMITTED_STATUSES | (
            {503} if access.may_be_unavailable else set()
        ), about
        if answer.status_code == 409:
            assert answer.json()["code"] != "project.archived", about
    elif access.kind == "project" and person == "outsider":
        assert answer.status_code == 404, about
    else:
        assert answer.status_code == 403, about
        asked = (
            access.named_permission
            if access.named_permission and person == "developer"
            else access.permission
        )
        if access.method != "HEAD":  # an answer to HEAD has no body
            assert answer.json()["permission"] == asked, about


def request_text(answer: Any) -> str:
    """Return the request's URL and body, which the response may repeat."""
    request = answer.request
    return f"{unquote(str(request.url))} {request.content.decode(errors='replace')}"


def check_reveals_nothing(
    answer: Any, access: Access, person: str, world: World, sent: str = ""
) -> None:
    """Fail if the response reveals anything about ``world`` that is not in ``sent``."""
    text = answer.text + str(answer.headers)
    revealed = [word for word in (world.mark, *world.known) if word in text and word not in sent]
    about = f"{access.key} by {person} with {sent!r}: {answer.status_code} {text[:300]}"
    if revealed or (answer.status_code >= 500 and answer.status_code != 503):
        TALLY.leaks += 1
        raise AssertionError(f"reveals {revealed}: {about}")
