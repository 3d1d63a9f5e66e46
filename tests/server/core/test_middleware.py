"""Tests of the middleware around every request."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import environment
from tests.factories import make_token, make_user
from tests.openapi_checks import CheckedClient


@pytest.fixture
def headers(session: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {make_token(session, make_user(session))}"}


class TestBodyLimit:
    def chunks(self, size: int) -> Iterator[bytes]:
        yield b'{"name": "'
        for _ in range(size // 65536):
            yield b"x" * 65536
        yield b'"}'

    @pytest.mark.parametrize("declared", [True, False])
    def test_too_large_body_is_refused(
        self, client: CheckedClient, headers: dict[str, str], declared: bool
    ) -> None:
        content: Any = self.chunks(5 << 20)
        if declared:
            content = b"".join(content)
        answer = client.post("/api/v1/projects", content=content, headers=headers)
        assert answer.status_code == 413
        assert answer.json()["code"] == "request.too_large"

    def test_body_within_limit_is_accepted(
        self, client: CheckedClient, headers: dict[str, str]
    ) -> None:
        answer = client.post(
            "/api/v1/projects",
            content=self.chunks(1 << 20),
            headers=headers | {"Content-Type": "application/json"},
        )
        assert answer.status_code == 422

    @pytest.mark.parametrize("length", ["-1", "x", "1e9", "٣"])
    def test_invalid_content_length_does_not_bypass_limit(
        self, client: CheckedClient, headers: dict[str, str], length: str
    ) -> None:
        answer = client.post(
            "/api/v1/projects",
            content=self.chunks(5 << 20),
            headers=headers | {"Content-Length": length.encode()},  # type: ignore[dict-item]
        )
        assert answer.status_code in {400, 413}

    def test_too_large_body_below_v1_has_the_openai_error_format(
        self, client: CheckedClient, headers: dict[str, str]
    ) -> None:
        answer = client.post("/v1/chat/completions", content=b"x" * (5 << 20), headers=headers)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "request.too_large"


class TestDepth:
    def post(self, client: CheckedClient, headers: dict[str, str], config: str) -> Any:
        self.number = getattr(self, "number", 0) + 1
        body = f'{{"name": "deep-{id(self)}-{self.number}", "config": {config}}}'
        sent = headers | {"Content-Type": "application/json"}
        return client.post("/api/v1/projects", content=body, headers=sent)

    @pytest.mark.parametrize("pair", ['{"a":|}', "[|]"])
    def test_too_deep_json_is_refused(
        self, client: CheckedClient, headers: dict[str, str], pair: str
    ) -> None:
        opening, _, closing = pair.partition("|")
        for depth in (250, 1000, 100_000):
            config = opening * depth + "1" + closing * depth
            answer = self.post(client, headers, config)
            assert (answer.status_code, answer.json()["code"]) == (400, "request.too_deep")
        assert self.post(client, headers, opening * 100_000).status_code == 400

    def test_deepest_accepted_json_can_be_stored_and_read(
        self, client: CheckedClient, headers: dict[str, str]
    ) -> None:
        made = self.post(client, headers, '{"a":' * 195 + "1" + "}" * 195)
        assert made.status_code == 201, made.text
        read = client.get(f"/api/v1/projects/{made.json()['uuid']}", headers=headers)
        assert read.status_code == 200

    def test_wide_or_quoted_brackets_are_accepted(
        self, client: CheckedClient, headers: dict[str, str]
    ) -> None:
        wide = '{"a": [' + ",".join(["[]"] * 5000) + "]}"
        assert self.post(client, headers, wide).status_code == 201
        brackets = '{"a": "' + "[{" * 5000 + '"}'
        assert self.post(client, headers, brackets).status_code == 201


class TestRequestContext:
    def test_every_answer_has_request_id_and_security_headers(self, client: CheckedClient) -> None:
        for path in ("/api/v1/health", "/nowhere", "/api/v1/users/me"):
            answer = client.get(path)
            assert len(answer.headers["x-request-id"]) == 32
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [("my-request-1", True), ("short", False), ("x" * 65, False), ("with\ttab000", False)],
    )
    def test_request_id_of_client_is_kept_if_valid(
        self, client: CheckedClient, sent: str, kept: bool
    ) -> None:
        answer = client.get("/nowhere", headers={"X-Request-ID": sent})
        assert (answer.headers["x-request-id"] == sent) is kept

    def test_error_answer_has_request_id(self, client: CheckedClient) -> None:
        answer = client.get("/api/v1/projects/x", headers={"Authorization": "Bearer x"})
        assert answer.status_code == 401
        assert answer.headers["x-request-id"]

    @pytest.mark.parametrize("path", ["/api/v1/health", "/nowhere", "/v1/models", "/metrics"])
    def test_answers_have_restrictive_headers(self, client: CheckedClient, path: str) -> None:
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        for part in ("default-src 'none'", "frame-ancestors 'none'", "sandbox"):
            assert part in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "set-cookie" not in headers
        assert "server" not in headers
        assert "strict-transport-security" not in headers

    def test_strict_transport_security_is_sent_over_tls_only(self, client: CheckedClient) -> None:
        secure = client.get("https://127.0.0.1:8400/api/v1/health")
        assert "max-age" in secure.headers["strict-transport-security"]
        claimed = client.get("/api/v1/health", headers={"X-Forwarded-Proto": "https"})
        assert "strict-transport-security" not in claimed.headers
        with environment(AIPLATFORM_TRUSTED_PROXIES="127.0.0.0/8"):
            told = client.get("/api/v1/health", headers={"X-Forwarded-Proto": "https"})
        assert "strict-transport-security" in told.headers
