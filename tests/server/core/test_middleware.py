"""Around every request."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.factories import make_token, make_user


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
    def test_refuses_what_is_too_large(
        self, client: TestClient, headers: dict[str, str], declared: bool
    ) -> None:
        content: Any = self.chunks(5 << 20)
        if declared:
            content = b"".join(content)
        answer = client.post("/api/v1/projects", content=content, headers=headers)
        assert answer.status_code == 413
        assert answer.json()["code"] == "too_large"

    def test_takes_what_is_not(self, client: TestClient, headers: dict[str, str]) -> None:
        answer = client.post(
            "/api/v1/projects",
            content=self.chunks(1 << 20),
            headers=headers | {"Content-Type": "application/json"},
        )
        assert answer.status_code == 422

    @pytest.mark.parametrize("length", ["-1", "x", "1e9", "٣"])
    def test_a_false_length_is_no_way_around(
        self, client: TestClient, headers: dict[str, str], length: str
    ) -> None:
        answer = client.post(
            "/api/v1/projects",
            content=self.chunks(5 << 20),
            headers=headers | {"Content-Length": length.encode()},  # type: ignore[dict-item]
        )
        assert answer.status_code in {400, 413}


class TestRequestContext:
    def test_every_answer_has_an_id_and_is_not_sniffed(self, client: TestClient) -> None:
        for path in ("/api/v1/health", "/nowhere", "/api/v1/users/me"):
            answer = client.get(path)
            assert len(answer.headers["x-request-id"]) == 32
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [("my-request-1", True), ("short", False), ("x" * 65, False), ("with\ttab000", False)],
    )
    def test_an_id_of_the_client_is_kept_when_it_is_one(
        self, client: TestClient, sent: str, kept: bool
    ) -> None:
        answer = client.get("/nowhere", headers={"X-Request-ID": sent})
        assert (answer.headers["x-request-id"] == sent) is kept

    def test_an_error_has_it_too(self, client: TestClient) -> None:
        answer = client.get("/api/v1/projects/x", headers={"Authorization": "Bearer x"})
        assert answer.status_code == 401
        assert answer.headers["x-request-id"]
