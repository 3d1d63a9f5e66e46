"""Headers that lie."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.conftest import environment
from tests.described import CheckedClient
from tests.factories import make_user

CLAIMS: tuple[dict[str, str], ...] = (
    {"X-Forwarded-For": "203.0.113.9"},
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Real-IP": "203.0.113.9"},
    {"Forwarded": "for=203.0.113.9"},
    {"True-Client-IP": "203.0.113.9", "CF-Connecting-IP": "203.0.113.9"},
    {"X-Client-IP": "203.0.113.9", "X-Cluster-Client-IP": "203.0.113.9"},
)


def fail(client: CheckedClient, username: str, headers: dict[str, str]) -> Any:
    form = {"username": username, "password": "wrong one", "grant_type": "password"}
    return client.post("/api/v1/auth/token", data=form, headers=headers)


class TestAddresses:
    @pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: next(iter(claim)))
    def test_are_not_taken_from_strangers(
        self, client: CheckedClient, session: Session, claim: dict[str, str]
    ) -> None:
        user = make_user(session)
        fail(client, user.username, claim)
        recorded = session.scalars(
            text("SELECT host(ip_address) FROM audit_logs WHERE action = 'auth:login_failed' "
                 "ORDER BY id DESC LIMIT 1")
        ).one()  # fmt: skip
        assert recorded == "127.0.0.1"

    def test_do_not_get_around_the_slowing_down(
        self, client: CheckedClient, session: Session
    ) -> None:
        user = make_user(session)
        codes = [
            fail(client, user.username, {"X-Forwarded-For": f"203.0.113.{n}"}).status_code
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

    def test_nor_around_rate_limits(self, limited: CheckedClient) -> None:
        codes = [
            limited.get(
                "/api/v1/users/me",
                headers={"X-Forwarded-For": f"203.0.113.{n}", "Authorization": f"Bearer {n}"},
            ).status_code
            for n in range(9)
        ]
        assert codes.count(429) >= 3


class TestOtherClaims:
    def test_no_header_makes_another_method_or_path(self, client: CheckedClient) -> None:
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
    def test_no_other_spelling_gets_past_a_guard(self, client: CheckedClient, path: str) -> None:
        assert client.get(path, follow_redirects=True).status_code in {401, 404}


class TestForeignPages:
    """What a page elsewhere can make a browser send: cookies, forms, and no header of ours."""

    def test_cookies_are_nobody(self, client: CheckedClient, session: Session) -> None:
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
    def test_forms_are_no_json(self, client: CheckedClient, session: Session, kind: str) -> None:
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
    def test_nothing_is_changed_for_them(self, client: CheckedClient, path: str) -> None:
        headers = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
        answer = client.post(path, content=b"", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_origin")
