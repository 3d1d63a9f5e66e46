"""Tests of requests: retries, addresses, headers and the environment."""

import httpx
import pytest

from aiplatform.client import Client, ServerUnavailable
from aiplatform.client.transport import back_off, normalised
from tests.client.fake import FakeServer, answer, malformed, problem
from tests.openapi_checks import Partial

ME = Partial({
    "uuid": "6f7a5f6e-2f0b-4a54-9d6c-0d3f8a1b2c3d", "username": "ann",
    "email": "ann@example.org", "role": "user",
})  # fmt: skip
LOST = httpx.RemoteProtocolError("Server disconnected without sending a response.")


def test_get_is_retried_with_growing_pauses(
    client: Client, server: FakeServer, pauses: list[float]
) -> None:
    server.on("GET users/me", LOST, httpx.ReadError("reset"), problem(503, "x", "y"), answer(ME))
    assert client.me().username == "ann"
    assert server.count("GET users/me") == 4
    assert len(pauses) == 3
    assert pauses[0] < pauses[1] < pauses[2] < 2


def test_get_is_given_up_after_some_attempts(
    client: Client, server: FakeServer, pauses: list[float]
) -> None:
    server.on("GET users/me", LOST)
    with pytest.raises(ServerUnavailable, match="lost"):
        client.me()
    assert server.count("GET users/me") == 4


@pytest.mark.parametrize("failure", [LOST, problem(503, "busy", "Busy.")])
def test_post_is_never_retried(
    client: Client, server: FakeServer, pauses: list[float], failure: httpx.Response | Exception
) -> None:
    server.on("POST projects", failure, answer({}))
    with pytest.raises(ServerUnavailable):
        client.projects.create("demo")
    assert server.count("POST projects") == 1


def test_retry_after_is_used_up_to_a_limit() -> None:
    assert back_off(0, httpx.Response(503, headers={"Retry-After": "2"})) == 2
    assert back_off(0, httpx.Response(503, headers={"Retry-After": "3600"})) == 5
    assert back_off(0, httpx.Response(503, headers={"Retry-After": "Wed, 21 Oct"})) < 1
    assert back_off(50) < 7


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("127.0.0.1:8400", "http://127.0.0.1:8400"),
        ("https://ml.example.org/", "https://ml.example.org"),
        ("https://ml.example.org/api/v1/", "https://ml.example.org"),
        ("http://h:1/v1", "http://h:1"),
        (" https://example.org/sub ", "https://example.org/sub"),
    ],
)
def test_address_is_normalised(given: str, meant: str) -> None:
    assert normalised(given) == meant


def test_server_below_a_path_is_reached(server: FakeServer) -> None:
    below = malformed("a proxy takes the prefix away before it asks the platform", answer(ME))
    server.on("GET /sub/api/v1/users/me", below)
    client = Client("http://platform.test/sub", token="t", transport=server)
    assert client.me().username == "ann"


def test_requests_carry_token_and_language(server: FakeServer) -> None:
    server.on("GET users/me", answer(ME))
    Client("http://platform.test", token="t0k", language="zh", transport=server).me()
    request = server.requests[0]
    assert request.headers["authorization"] == "Bearer t0k"
    assert request.headers["accept-language"] == "zh"
    assert request.headers["user-agent"].startswith("aiplatform/")


def test_client_reads_the_environment(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIPLATFORM_URL", "http://elsewhere.test:9/")
    monkeypatch.setenv("AIPLATFORM_TOKEN", "from-environment")
    server.on("GET users/me", answer(ME))
    client = Client(transport=server)
    client.me()
    assert client.url == "http://elsewhere.test:9"
    assert server.requests[0].headers["authorization"] == "Bearer from-environment"


def test_repr_of_a_client_shows_no_token(client: Client) -> None:
    assert "secret-token" not in repr(client)


def test_health_of_an_unhealthy_server_is_returned(client: Client, server: FakeServer) -> None:
    server.on("GET health/details", answer(Partial({"status": "down"}), 503))
    assert client.health()["status"] == "down"
