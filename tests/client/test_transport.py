"""What is repeated, and what is not."""

import httpx
import pytest

from aiplatform.client import Client, ServerUnavailable
from aiplatform.client.transport import back_off, normalised
from tests.client.fake import FakeServer, answer, malformed, problem
from tests.described import Some

ME = Some({"uuid": "6f7a5f6e-2f0b-4a54-9d6c-0d3f8a1b2c3d", "username": "ann"})
LOST = httpx.RemoteProtocolError("Server disconnected without sending a response.")


def test_gets_are_repeated_with_growing_pauses(
    client: Client, server: FakeServer, pauses: list[float]
) -> None:
    server.on("GET users/me", LOST, httpx.ReadError("reset"), problem(503, "x", "y"), answer(ME))
    assert client.me().username == "ann"
    assert server.count("GET users/me") == 4
    assert len(pauses) == 3
    assert pauses[0] < pauses[1] < pauses[2] < 2


def test_gets_are_given_up_in_the_end(
    client: Client, server: FakeServer, pauses: list[float]
) -> None:
    server.on("GET users/me", LOST)
    with pytest.raises(ServerUnavailable, match="lost"):
        client.me()
    assert server.count("GET users/me") == 4


@pytest.mark.parametrize("failure", [LOST, problem(503, "busy", "Busy.")])
def test_posts_are_never_repeated(
    client: Client, server: FakeServer, pauses: list[float], failure: httpx.Response | Exception
) -> None:
    server.on("POST projects", failure, answer({}))
    with pytest.raises(ServerUnavailable):
        client.projects.create("demo")
    assert server.count("POST projects") == 1


def test_retry_after_is_believed_within_reason() -> None:
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
def test_addresses_are_taken_as_people_write_them(given: str, meant: str) -> None:
    assert normalised(given) == meant


def test_a_server_below_a_path_is_reached(server: FakeServer) -> None:
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


def test_environment_is_used(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIPLATFORM_URL", "http://elsewhere.test:9/")
    monkeypatch.setenv("AIPLATFORM_TOKEN", "from-environment")
    server.on("GET users/me", answer(ME))
    client = Client(transport=server)
    client.me()
    assert client.url == "http://elsewhere.test:9"
    assert server.requests[0].headers["authorization"] == "Bearer from-environment"


def test_secrets_do_not_show(client: Client) -> None:
    assert "secret-token" not in repr(client)


def test_health_is_read_even_when_it_is_bad(client: Client, server: FakeServer) -> None:
    server.on("GET health", answer(Some({"status": "down"}), 503))
    assert client.health()["status"] == "down"
