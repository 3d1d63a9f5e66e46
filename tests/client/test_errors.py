"""Tests of the SDK's exceptions and their texts."""

import httpx
import pytest

from aiplatform.client import (
    ApiError,
    Client,
    Conflict,
    NotFound,
    PasswordChangeRequired,
    PermissionDenied,
    PreconditionFailed,
    ServerUnavailable,
    Unauthenticated,
    UnexpectedAnswer,
    ValidationFailed,
)
from tests.client.fake import FakeServer, answer, malformed, problem


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, Unauthenticated),
        (403, PermissionDenied),
        (404, NotFound),
        (409, Conflict),
        (412, PreconditionFailed),
        (413, ValidationFailed),
        (422, ValidationFailed),
        (503, ServerUnavailable),
        (500, ApiError),
    ],
)
def test_status_determines_the_exception_class(
    client: Client, server: FakeServer, pauses: list[float], status: int, kind: type[ApiError]
) -> None:
    refusal = problem(status, "some.code", "What was wrong.", line=17)
    server.on("GET users/me", malformed("no route refuses for all of these reasons", refusal))
    with pytest.raises(ApiError) as caught:
        client.me()
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert caught.value.code == "some.code"
    assert caught.value.title == "Title"
    assert str(caught.value) == "What was wrong."
    assert caught.value.params["line"] == 17


def test_forced_password_change_raises_its_own_class(client: Client, server: FakeServer) -> None:
    server.on("GET users/me", problem(403, "auth.password_change_required", "Change it."))
    with pytest.raises(PasswordChangeRequired):
        client.me()


def test_error_text_names_invalid_fields(client: Client, server: FakeServer) -> None:
    errors = [{"field": "name", "message": "must not be empty"}]
    server.on("GET users/me", problem(422, "request.invalid", "Not valid.", errors=errors))
    with pytest.raises(ValidationFailed, match="Not valid: name: must not be empty"):
        client.me()


def test_error_in_fastapi_format_is_understood(client: Client, server: FakeServer) -> None:
    detail = [{"loc": ["body", "name"], "msg": "Field required"}]
    plain = malformed("the form of a server without our handlers", answer({"detail": detail}, 422))
    server.on("GET users/me", plain)
    with pytest.raises(ValidationFailed, match="name: Field required"):
        client.me()


def test_error_in_openai_format_is_understood(client: Client, server: FakeServer) -> None:
    error = answer({"error": {"message": "No such model", "code": "x"}}, 404)
    server.on("GET users/me", malformed("the form of the OpenAI façade", error))
    with pytest.raises(NotFound, match="No such model"):
        client.me()


def test_refused_connection_has_a_hint(
    client: Client, server: FakeServer, pauses: list[float]
) -> None:
    server.on("GET users/me", httpx.ConnectError("[Errno 111] Connection refused"))
    with pytest.raises(ServerUnavailable, match=r"nothing answers at http://platform\.test") as e:
        client.me()
    assert "aiplatform up" in e.value.hint
    assert e.value.status == 0


def test_answer_of_another_program_is_recognised(client: Client, server: FakeServer) -> None:
    proxy = httpx.Response(404, html="<h1>nginx</h1>")
    server.on("GET users/me", malformed("a page of a proxy", proxy))
    with pytest.raises(NotFound, match="which is not an answer of AI Platform"):
        client.me()
    portal = httpx.Response(200, html="<h1>Sign in to the Wi-Fi</h1>")
    server.on("GET users/me", malformed("a page of the network", portal))
    with pytest.raises(UnexpectedAnswer, match="not JSON"):
        client.me()
    server.on("GET users/me", malformed("another service", answer({"hello": "world"})))
    with pytest.raises(UnexpectedAnswer, match="user that this version"):
        client.me()


def test_client_without_login_raises_without_a_request(server: FakeServer) -> None:
    with pytest.raises(Unauthenticated, match="not logged in") as caught:
        Client("http://platform.test", transport=server).me()
    assert "aiplatform login" in caught.value.hint
    assert not server.requests
