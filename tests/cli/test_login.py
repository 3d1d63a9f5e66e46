"""Tests of ``aiplatform login`` and ``logout``."""

import io
import json
import stat

import pytest

from aiplatform.client.credentials import default_path
from tests.cli.conftest import P, Run
from tests.client.fake import FakeServer, answer, problem
from tests.openapi_checks import Partial


def test_login_reads_passwords_from_stdin_and_replaces_the_first_one(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = Partial({"access_token": "a", "refresh_token": "r", "expires_in": 900})
    server.on("POST auth/token", answer(token | {"must_change_password": True}))
    server.on("PUT users/me/password", answer(status=204))
    monkeypatch.setattr("sys.stdin", io.StringIO("admin123\nbetter\n"))
    monkeypatch.delenv("AIPLATFORM_TOKEN")
    ran = run("login", "-u", "admin", "--password-stdin")
    assert ran.code == 0, ran.err
    assert json.loads(server.bodies[1]) == {
        "current_password": "admin123",
        "new_password": "better",
    }
    assert stat.S_IMODE(default_path().stat().st_mode) == 0o600
    server.on("GET users/me", answer(Partial({"uuid": P, "username": "admin"})))
    assert "admin" in run("whoami").out
    server.on("POST auth/logout", answer(status=204))
    assert run("logout").code == 0
    assert run("whoami").code == 4


def test_login_without_a_new_password_says_that_it_must_be_replaced(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = Partial({"access_token": "a", "refresh_token": "r", "expires_in": 900})
    server.on("POST auth/token", answer(token | {"must_change_password": True}))
    monkeypatch.setattr("sys.stdin", io.StringIO("admin123\n"))
    ran = run("login", "-u", "admin", "--password-stdin")
    assert ran.code == 1
    assert "must be changed" in ran.err


@pytest.mark.parametrize("other", [("-u", "lin"), ("--totp", "123456"), ("--password-stdin",)])
def test_login_sso_with_password_options_is_refused(
    run: Run, server: FakeServer, other: tuple[str, ...]
) -> None:
    assert run("login", "--sso", *other).code == 2
    assert server.requests == []


def test_login_with_wrong_password_prints_no_login_hint(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("POST auth/token", problem(401, "auth.wrong_credentials", "Wrong."))
    monkeypatch.setattr("sys.stdin", io.StringIO("x\n"))
    ran = run("login", "-u", "admin", "--password-stdin")
    assert (ran.code, ran.err) == (4, "Error: Wrong.\n")
