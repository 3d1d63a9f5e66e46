"""Attack: forged request headers."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.conftest import environment
from tests.factories import make_user
from tests.openapi_checks import CheckedClient

FORGED_HEADERS: tuple[dict[str, str], ...] = (
    {"X-Forwarded-For": "203.0.113.9"},
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Real-IP": "203.0.113.9"},
    {"Forwarded": "for=203.0.113.9"},
    {"True-Client-IP": "203.0.113.9", "CF-Connecting-IP": "203.0.113.9"},
    {"X-Client-IP": "203.0.113.9", "X-Cluster-Client-IP": "203.0.113.9"},
)


def fail_to_sign_in(client: CheckedClient, username: str, headers: dict[str, str]) -> Any:
    form = {"username": username, "password": "wrong one", "grant_type": "password"}
    return client.post("/api/v1/auth/token", data=form, headers=headers)


class TestAddresses:
    @pytest.mark.parametrize("forged", FORGED_HEADERS, ids=lambda forged: next(iter(forged)))
    def test_forwarded_address_of_stranger_is_not_recorded(
        self, client: CheckedClient, session: Session, forged: dict[str, str]
    ) -> None:
        user = make_user(session)
        fail_to_sign_in(client, user.username, forged)
        recorded = session.scalars(
            text("SELECT host(ip_address) FROM audit_logs WHERE action = 'auth:login_failed' "
                 "ORDER BY id DESC LIMIT 1")
        ).one()  # fmt: skip
        assert recorded == "127.0.0.1"

    def test_forged_addresses_do_not_avoid_the_sign_in_wait(
        self, client: CheckedClient, session: Session
    ) -> None:
        user = make_user(session)
        codes = [
            fail_to_sign_in(
                client, user.username, {"X-Forwarded-For": f"203.0.113.{n}"}
            ).status_code
            for n in range(8)
        ]
        assert 429 in codes

    @pytest.fixture
    def limited(self, database_url: str) -> Iterator[CheckedClient]:
        from aiplatform.server.app import create_app

        with (
            environment(AIPLATFORM_RATE_LIMIT_ANONYMOUS="5/hour"),
            CheckedClient(
                create_app(), base_url="http://127.0.0.1:8400", client=("127.0.0.1", 1)
            ) as client,
        ):
            yield client

    def test_forged_addresses_do_not_avoid_rate_limits(self, limited: CheckedClient) -> None:
        codes = [
            limited.get(
                "/api/v1/users/me",
                headers={"X-Forwarded-For": f"203.0.113.{n}", "Authorization": f"Bearer {n}"},
            ).status_code
            for n in range(9)
        ]
        assert codes.count(429) >= 3


class TestOtherClaims:
    def test_override_headers_change_neither_method_nor_path(self, client: CheckedClient) -> None:
        for header in (
            {"X-HTTP-Method-Override": "DELETE"},
            {"X-Original-URL": "/api/v1/health"},
            {"X-Rewrite-URL": "/api/v1/health"},
        ):
            assert client.get("/api/v1/users/me", headers=header).status_code == 401
            assert client.post("/api/v1/projects", headers=header).status_code == 401

    @pytest.mark.parametrize("path", ["/api/v1//users/me", "//api/v1/users", "/api/v1/users/me/",
                                      "/API/v1/users/me", "/api/v1/./users/me",
                                      "/api/v1/health/../users"])  # fmt: skip
    def test_other_spelling_of_path_does_not_bypass_guard(
        self, client: CheckedClient, path: str
    ) -> None:
        assert client.get(path, follow_redirects=True).status_code in {401, 404}


class TestForeignPages:
    """Tests of requests that another web site can make a browser send, with cookies and forms."""

    def test_cookie_with_token_does_not_authenticate(
        self, client: CheckedClient, session: Session
    ) -> None:
        user = make_user(session)
        form = {"username": user.username, "password": "a password of tests"}
        token = client.post("/api/v1/auth/token", data=form).json()["access_token"]
        for name in ("session", "access_token", "token", "Authorization"):
            cookie = {"Cookie": f"{name}={token}; {name}2=Bearer {token}"}
            assert (
                client.post("/api/v1/projects", json={"name": "x"}, headers=cookie).status_code
                == 401
            )

    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded",
                                      "multipart/form-data; boundary=x"])  # fmt: skip
    def test_json_sent_as_form_is_refused(
        self, client: CheckedClient, session: Session, kind: str
    ) -> None:
        from tests.factories import make_token

        bearer = f"Bearer {make_token(session, make_user(session))}"
        answer = client.post(
            "/api/v1/projects",
            content=b'{"name": "from-a-form"}',
            headers={"Authorization": bearer, "Content-Type": kind},
        )
        assert answer.status_code == 422, answer.text

    @pytest.mark.parametrize(
        "path", ["/api/v1/auth/token", "/api/v1/auth/logout", "/api/v1/projects"]
    )
    def test_cross_origin_request_is_refused(self, client: CheckedClient, path: str) -> None:
        headers = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
        answer = client.post(path, content=b"", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "request.cross_origin")
