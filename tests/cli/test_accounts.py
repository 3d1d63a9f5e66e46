"""Tests of the commands for a user's own account, and of those for administrators."""

import io
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.cli.conftest import Ran
from tests.client.fake import FakeServer, answer, page, problem
from tests.openapi_checks import Partial

Run = Callable[..., Ran]
U, P, S = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
ANN = Partial(
    {"uuid": U, "username": "ann", "email": "ann@example.org", "role": "user", "is_active": True}
)
LINK = {
    "token": "t",
    "link": "https://aip.example/reset-password#t",
    "expires_at": "2026-11-25T08:00:00Z",
}


def sent(server: FakeServer, method: str, ending: str) -> Any:
    for request, body in zip(server.requests, server.bodies, strict=True):
        if request.method == method and request.url.path.endswith(ending):
            return json.loads(body) if body else dict(request.url.params)
    pytest.fail(f"no {method} of …{ending}")


@pytest.fixture
def ann(server: FakeServer) -> FakeServer:
    server.on("GET users/ann", answer(ANN, etag='"7"'))
    return server


def test_users_ls_sends_filters(run: Run, server: FakeServer) -> None:
    server.on("GET users", page(ANN))
    assert "ann@example.org" in run("users", "ls").out
    run("users", "ls", "an", "--role", "user", "--inactive")
    asked = server.requests[-1].url.params
    assert (asked["q"], asked["role"], asked["active"]) == ("an", "user", "false")


def test_users_show_and_set(run: Run, ann: FakeServer) -> None:
    assert "ann@example.org" in run("users", "show", "ann").out
    ann.on(f"PATCH users/{U}", answer(ANN | {"role": "viewer"}))
    assert run("users", "set", "ann").code == 2
    ran = run("users", "set", "ann", "--role", "viewer", "--json")
    assert json.loads(ran.out)["role"] == "viewer"
    assert sent(ann, "PATCH", U) == {"role": "viewer"}
    assert ann.requests[-1].headers["if-match"] == '"7"'


@pytest.mark.parametrize("command", ["deactivate", "activate"])
def test_users_deactivate_and_activate(run: Run, server: FakeServer, command: str) -> None:
    server.on(f"POST users/ann/{command}", answer(ANN))
    assert run("users", command, "ann").code == 0


def test_users_rm_asks_for_confirmation(run: Run, ann: FakeServer) -> None:
    ann.on(f"DELETE users/{U}", answer(status=204))
    assert run("users", "rm", "ann").code == 2  # no terminal to ask on
    ran = run("users", "rm", "ann", "--yes", "--transfer-to", "bob")
    assert (ran.code, "Deleted" in ran.err) == (0, True)
    assert sent(ann, "DELETE", U) == {"transfer_to": "bob"}


def test_users_rm_of_a_project_owner_prints_the_server_error(run: Run, ann: FakeServer) -> None:
    detail = "ann owns projects: demo. Transfer them first, or name their new owner."
    ann.on(f"DELETE users/{U}", problem(409, "account.owns_projects", detail))
    ran = run("users", "rm", "ann", "-y")
    assert (ran.code, "demo" in ran.err) == (1, True)


def test_users_invite_prints_only_the_link_on_stdout(run: Run, server: FakeServer) -> None:
    invitation = Partial({"uuid": S, "email": "x@example.org"})
    secret = {"link": LINK["link"], "token": "t"}
    server.on("POST invitations", answer(invitation | secret, 201))
    ran = run("users", "invite", "x@example.org", "--project", P, "--project-role", "viewer")
    assert ran.out.strip() == LINK["link"]
    body = sent(server, "POST", "/invitations")
    assert body == {"email": "x@example.org", "project": P, "project_role": "viewer"}
    assert run("users", "invite", "x@example.org", "--project", P).code == 2
    server.on("GET invitations", page(invitation | {"status": "open"}))
    assert "open" in run("invitations", "ls", "--open").out
    server.on(f"DELETE invitations/{S}", answer(status=204))
    assert run("invitations", "revoke", S).code == 0
    assert run("invitations", "revoke", S[:8].upper()).code == 0
    refused = run("invitations", "revoke", "ffffffff")
    assert (refused.code, "ffffffff does not identify" in refused.err) == (2, True)


def test_users_reset_password_end_sessions_and_reset_totp(run: Run, ann: FakeServer) -> None:
    ann.on("POST users/ann/password-reset", answer(LINK, 201))
    assert run("users", "reset-password", "ann").out.strip() == LINK["link"]
    ann.on(f"DELETE users/{U}/sessions", answer({"ended": 3}))
    assert "3 of ann" in run("users", "end-sessions", "ann").err
    ann.on(f"DELETE users/{U}/totp", answer(status=204))
    assert run("users", "reset-totp", "ann", "-y").code == 0


def test_account_sessions_are_listed_and_ended(run: Run, server: FakeServer) -> None:
    server.on(
        "GET users/me/sessions", page(Partial({"uuid": S, "current": True, "user_agent": "phone"}))
    )
    assert "phone" in run("account", "sessions").out
    server.on(f"DELETE users/me/sessions/{S}", answer(status=204))
    server.on("DELETE users/me/sessions", answer({"ended": 2}))
    assert run("account", "end-session", S).code == 0
    assert run("account", "end-session", S[:8]).code == 0
    assert run("account", "end-session", S[:5]).code == 2
    assert "Ended 2 sessions" in run("account", "end-session", "--others").err
    assert run("account", "end-session").code == 2


def test_account_commands_read_passwords_from_stdin_and_accept_whole_links(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("PUT users/me/password", answer(status=204))
    monkeypatch.setattr("sys.stdin", io.StringIO("old one\nnew one\n"))
    assert run("account", "password", "--password-stdin").code == 0
    assert sent(server, "PUT", "/password")["new_password"] == "new one"
    server.on("POST auth/reset-password", answer(status=204))
    monkeypatch.setattr("sys.stdin", io.StringIO("new one\n"))
    assert run("account", "reset-password", LINK["link"], "--password-stdin").code == 0
    assert sent(server, "POST", "/reset-password") == {"token": "t", "new_password": "new one"}
    server.on("POST auth/accept-invitation", answer(ANN, 201))
    monkeypatch.setattr("sys.stdin", io.StringIO("new one\n"))
    assert run("account", "accept-invitation", "t", "ann", "--password-stdin").code == 0
    assert sent(server, "POST", "/accept-invitation")["username"] == "ann"
    server.on(
        "POST auth/forgot-password",
        httpx.Response(202, content="null", headers={"Content-Type": "application/json"}),
    )
    assert run("account", "forgot-password", "ann@example.org").code == 0


def test_account_totp_commands(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("GET users/me/totp", answer({"enabled": True, "recovery_codes_left": 9}))
    assert "9" in run("account", "totp", "status").out
    server.on("POST users/me/totp", answer({"secret": "ABC", "uri": "otpauth://totp/x"}))
    monkeypatch.setattr("sys.stdin", io.StringIO("secret one\n"))
    ran = run("account", "totp", "enable", "--password-stdin")
    assert "secret: ABC" in ran.out
    server.on("POST users/me/totp/confirm", answer({"recovery_codes": ["a-b", "c-d"]}))
    assert run("account", "totp", "confirm", "123456").out == "a-b\nc-d\n"
    server.on("POST users/me/totp/recovery-codes", answer({"recovery_codes": ["e-f"]}))
    assert run("account", "totp", "recovery-codes", "--code", "123456").out == "e-f\n"
    server.on("POST users/me/totp/disable", answer(status=204))
    assert run("account", "totp", "disable", "--code", "123456", "-y").code == 0
    assert sent(server, "POST", "/disable") == {"code": "123456"}


def test_login_with_second_factor_needs_a_code(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = Partial({"access_token": "a", "refresh_token": "r", "expires_in": 900})
    server.on("POST auth/token", problem(401, "auth.totp_required", "A code too."), answer(token))
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    ran = run("login", "-u", "ann", "--password-stdin")
    assert (ran.code, "--totp" in ran.err) == (4, True)
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    assert run("login", "-u", "ann", "--password-stdin", "--totp", "123456").code == 0
    assert b"totp=123456" in server.bodies[-1]
