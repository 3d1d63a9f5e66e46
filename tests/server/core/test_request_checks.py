"""Tests of the middleware that checks the host, origin and size of requests."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from aiplatform.server.core.request_checks import RequestChecks, host_name, is_loopback
from tests.conftest import environment
from tests.factories import make_token, make_user
from tests.openapi_checks import CheckedClient


def request_checks(*hosts: str, origins: tuple[str, ...] = ()) -> RequestChecks:
    async def nobody(*_: Any) -> None: ...

    return RequestChecks(nobody, hosts, origins)


class TestHosts:
    @pytest.mark.parametrize("host", ["127.0.0.1:8400", "[::1]:8400", "localhost", "10.1.2.3"])
    def test_host_address_by_default_is_allowed(self, client: CheckedClient, host: str) -> None:
        assert client.get("/api/v1/users/me", headers={"Host": host}).status_code == 401

    @pytest.mark.parametrize(
        "host",
        ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "localhost@evil",
         "evil.example:8400", "", "127.0.0.1 evil", "localhost:8400:1", "[::1", "a/../b"],
    )  # fmt: skip
    def test_host_unknown_name_is_refused(self, client: CheckedClient, host: str) -> None:
        answer = client.get("/api/v1/users/me", headers={"Host": host})
        assert answer.status_code == 421
        assert answer.json()["code"] == "request.host_not_allowed"

    def test_host_refusal_below_v1_has_the_openai_error_format(self, client: CheckedClient) -> None:
        answer = client.get("/v1/models", headers={"Host": "evil.example"})
        assert answer.status_code == 421
        assert answer.json()["error"]["code"] == "request.host_not_allowed"

    def test_allowed_hosts_when_set_replace_the_defaults(self) -> None:
        listed = request_checks("Platform.example.com", "*.corp.example")
        assert listed.knows("platform.example.com")
        assert listed.knows("a.corp.example")
        for host in ("corp.example", "127.0.0.1", "localhost", "evilcorp.example"):
            assert not listed.knows(host), host
        assert request_checks("*").knows("anything.example")

    def test_host_header_sent_twice_is_refused(self) -> None:
        scope = {"type": "http", "method": "GET", "query_string": b"", "raw_path": b"/",
                 "headers": [(b"host", b"127.0.0.1"), (b"host", b"evil.example")]}  # fmt: skip
        refusal = request_checks().refusal(scope)
        assert refusal is not None
        assert refusal.code == "request.host_not_allowed"

    def test_host_name_strips_port_and_final_dot(self) -> None:
        assert host_name("LocalHost.:80") == "localhost"
        assert host_name("[::1]:80") == "[::1]"
        assert host_name("a b") is None

    def test_is_loopback(self) -> None:
        assert all(map(is_loopback, ("127.0.0.1", "localhost", "::1", "127.3.3.3")))
        assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.com", "")))


class TestForeignPages:
    @pytest.fixture
    def headers(self, session: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {make_token(session, make_user(session))}"}

    @pytest.mark.parametrize(
        "sent",
        [{"Origin": "https://evil.example"}, {"Origin": "null"},
         {"Origin": "http://127.0.0.1:8401"}, {"Sec-Fetch-Site": "cross-site"},
         {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:8400"}],
    )  # fmt: skip
    def test_change_from_foreign_page_is_refused(
        self, client: CheckedClient, headers: dict[str, str], sent: dict[str, str]
    ) -> None:
        answer = client.post("/api/v1/projects", json={"name": "x"}, headers=headers | sent)
        assert answer.status_code == 403
        assert answer.json()["code"] == "request.cross_origin"
        answer = client.post("/api/v1/auth/token", data={}, headers=sent)
        assert answer.status_code == 403, "nor do they sign anybody in"

    @pytest.mark.parametrize(
        "sent",
        [{}, {"Origin": "http://127.0.0.1:8400"}, {"Sec-Fetch-Site": "same-origin"},
         {"Sec-Fetch-Site": "none"}],
    )  # fmt: skip
    def test_change_from_own_page_or_program_is_allowed(
        self, client: CheckedClient, headers: dict[str, str], sent: dict[str, str]
    ) -> None:
        name = f"project-{len(str(sent))}-{list(sent)}"
        answer = client.post("/api/v1/projects", json={"name": name}, headers=headers | sent)
        assert answer.status_code == 201

    def test_foreign_page_gets_no_cors_headers(self, client: CheckedClient) -> None:
        answer = client.get("/api/v1/health", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers
        preflight = client.options(
            "/api/v1/projects",
            headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
        )
        assert preflight.status_code == 405
        assert "access-control-allow-origin" not in preflight.headers


class TestAllowedOrigins:
    @pytest.fixture
    def strict(self, database_url: str) -> Iterator[CheckedClient]:
        from aiplatform.server.app import create_app

        with environment(AIPLATFORM_CORS_ORIGINS="https://tools.example"):
            app: FastAPI = create_app()
            with CheckedClient(app, base_url="http://127.0.0.1:8400") as client:
                yield client

    def test_allowed_origin_may_send_requests(self, strict: CheckedClient) -> None:
        asked = {"Access-Control-Request-Method": "POST"}
        answer = strict.options(
            "/api/v1/projects", headers=asked | {"Origin": "https://tools.example"}
        )
        assert answer.headers["access-control-allow-origin"] == "https://tools.example"
        assert "access-control-allow-credentials" not in answer.headers
        wanted = "idempotency-key, upload-offset, if-none-match"
        answer = strict.options(
            "/api/v1/projects",
            headers=asked
            | {"Origin": "https://tools.example", "Access-Control-Request-Headers": wanted},
        )
        assert answer.status_code == 200
        allowed = answer.headers["access-control-allow-headers"].lower()
        assert all(name in allowed for name in wanted.split(", "))
        answer = strict.post(
            "/api/v1/projects", headers={"Origin": "https://tools.example"}, json={}
        )
        assert answer.status_code == 401

    @pytest.mark.parametrize(
        "origin",
        ["https://tools.example.evil", "http://tools.example", "https://TOOLS.example.evil",
         "null", "https://tools.example:444"],
    )  # fmt: skip
    def test_similar_origin_is_refused(self, strict: CheckedClient, origin: str) -> None:
        answer = strict.post("/api/v1/projects", headers={"Origin": origin}, json={})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers

    @pytest.mark.parametrize("origin", ["*", "null", "https://*", "tools.example", "https://a/b"])
    def test_cors_origins_with_invalid_origin_is_refused(self, origin: str) -> None:
        from pydantic import ValidationError

        from aiplatform.server.core.settings import Settings

        with (
            environment(AIPLATFORM_CORS_ORIGINS=origin),
            pytest.raises(ValidationError, match="is not an origin"),
        ):
            Settings()


class TestSizes:
    def test_too_many_headers_are_refused(self, client: CheckedClient) -> None:
        answer = client.get("/api/v1/health", headers={f"X-{i}": "x" for i in range(200)})
        assert answer.status_code == 431

    def test_too_long_header_is_refused(self, client: CheckedClient) -> None:
        answer = client.get("/api/v1/health", headers={"X-Long": "x" * 40_000})
        assert answer.status_code == 431

    def test_too_long_url_is_refused(self, client: CheckedClient) -> None:
        assert client.get("/api/v1/health?" + "x" * 20_000).status_code == 414
