"""Attack: requests that make the server call an internal address (SSRF)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from tests.access_table import TABLE, Access
from tests.attacks.test_text_fields import text_paths
from tests.conftest import Api, environment
from tests.matrix.bodies import bodies_of
from tests.matrix.requests import admits
from tests.matrix.test_references import replace_at, send
from tests.matrix.world import World
from tests.openapi_checks import CheckedClient
from tests.server.core.test_outgoing import ODD, PUBLIC, Inside, inside, names

__all__ = ["inside", "names"]  # fixtures

ADDRESSES = {"url", "endpoint"}
"""Names of request fields that contain a URL. Add new ones here."""

INTERNAL_URLS = (
    *(url for url in ODD if "localhost" not in url),  # host names are resolved only during the call
    "http://10.1.2.3/", "http://192.168.0.1/", "http://169.254.169.254/latest/meta-data",
    "http://[fd00:ec2::254]/", "http://[::ffff:169.254.169.254]/", "http://100.100.100.200/",
    "http://somebody:secret@127.0.0.1/", "http://127.0.0.1:6379/", "https://127.0.0.1:22/",
    "gopher://127.0.0.1/", "file:///etc/passwd", "ftp://127.0.0.1/", "unix:///run/x.sock",
)  # fmt: skip
WITH_BODIES = [a for a in TABLE if a.method in {"POST", "PUT", "PATCH"} and a.kind != "not_found"]


@pytest.fixture(autouse=True)
def closed(world: World) -> Iterator[None]:
    """Set ``AIPLATFORM_OUTGOING_NETWORKS`` so that no internal network is allowed."""
    with environment(AIPLATFORM_OUTGOING_NETWORKS=""):
        yield


def url_fields(app: FastAPI, access: Access, params: dict[str, str]) -> Iterator[tuple[Any, Any]]:
    """Yield request bodies of the route, each with the position of a URL field."""
    for body in bodies_of(app, access, params):
        if body.get("source", {}).get("kind") == "s3":
            body["source"]["endpoint"] = "https://store.example.com"  # optional field
        for place in text_paths(body):
            if place[-1] in ADDRESSES:
                yield body, place


class TestServerSideRequests:
    def test_body_with_internal_address_is_refused(
        self, client: CheckedClient, app: FastAPI, world: World, inside: Inside
    ) -> None:
        """Try every URL field of every route in the OpenAPI document."""
        asked = set()
        for access in WITH_BODIES:
            person = "owner" if admits(access, "owner") else "admin"
            for body, place in url_fields(app, access, world.params):
                asked.add((access.key, place[-1]))
                for url in (inside.url + "/", *INTERNAL_URLS):
                    answer = send(
                        client, access, world.tokens[person], world,
                        json=replace_at(body, place, url), headers={"If-Match": "*"},
                    )  # fmt: skip
                    about = (access.key, place, url, answer.status_code, answer.text)
                    assert answer.status_code == 422, about
        assert asked >= {
            ("POST /api/v1/projects/{project}/webhooks", "url"),
            ("POST /api/v1/projects/{project}/dataset-imports", "url"),
            ("POST /api/v1/projects/{project}/dataset-imports", "endpoint"),
        }
        assert inside.hits == []

    def test_change_of_webhook_to_internal_address_is_refused(
        self, owner: Api, world: World, inside: Inside
    ) -> None:
        place = f"webhooks/{world.params['webhook']}"
        for url in (inside.url, *INTERNAL_URLS):
            answer = owner.patch(place, json={"url": url}, headers={"If-Match": "*"})
            assert (answer.status_code, answer.json()["code"]) in {
                (422, "webhook.url_refused"), (422, "request.invalid"),
            }, url  # fmt: skip
        assert inside.hits == []

    @pytest.mark.parametrize("name", ["localhost", "localhost."])
    def test_webhook_to_localhost_is_refused(
        self, owner: Api, world: World, inside: Inside, name: str
    ) -> None:
        made = owner.post(
            f"projects/{world.params['project']}/webhooks",
            json={"name": f"turns {name}", "url": f"http://{name}:{inside.server_port}/x"},
        )
        assert (made.status_code, made.json()["code"]) == (422, "webhook.url_refused")
        assert inside.hits == []

    def test_webhook_whose_name_becomes_internal_is_not_called(
        self, owner: Api, world: World, inside: Inside, names: dict[str, list[list[str]]]
    ) -> None:
        """Change the host name to an internal address after the webhook was created."""
        name = "rebind.test"
        from tests.server.notifications.deliveries import drain

        names[name] = [[PUBLIC]]
        made = owner.post(
            f"projects/{world.params['project']}/webhooks",
            json={"name": f"turns {name}", "url": f"http://{name}:{inside.server_port}/x"},
        )
        assert made.status_code == 201, made.text
        names[name] = [["127.0.0.1"]]
        assert owner.post(f"webhooks/{made.json()['uuid']}/test").status_code in {200, 202}
        drain()
        (delivery,) = owner.get(f"webhooks/{made.json()['uuid']}/deliveries").json()["items"]
        assert delivery["status"] == "pending"
        assert inside.hits == []

    def test_webhook_redirect_to_internal_address_is_not_followed(
        self, owner: Api, world: World, inside: Inside
    ) -> None:
        from tests.server.notifications.deliveries import drain

        inside.redirect_to = f"{inside.url}/secret"
        with environment(AIPLATFORM_OUTGOING_NETWORKS="127.0.0.0/8"):
            made = owner.post(
                f"projects/{world.params['project']}/webhooks",
                json={"name": "leads", "url": f"{inside.url}/redirect"},
            )
            assert made.status_code == 201, made.text
            owner.post(f"webhooks/{made.json()['uuid']}/test")
            drain()
        assert [path for _, path, _ in inside.hits] == ["/redirect"]
