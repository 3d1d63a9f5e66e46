"""Tests of stored logins and of sessions shared by several processes."""

import json
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from aiplatform.client import Client, ClientError, CredentialStore, Session, Unauthenticated
from aiplatform.client.credentials import SessionTokens, default_path
from tests.client.conftest import URL
from tests.client.fake import FakeServer, answer, problem
from tests.openapi_checks import Partial

ME = Partial({"uuid": "6f7a5f6e-2f0b-4a54-9d6c-0d3f8a1b2c3d", "username": "ann"})
Connect = Callable[..., Client]


def session(**changes: object) -> Session:
    fresh = Session(URL, "ann", "access-0", "refresh-0", time.time() + 900)
    return replace(fresh, **changes)  # type: ignore[arg-type]


class Rotating:
    """A server that accepts each refresh token once; reuse ends the session."""

    def __init__(self) -> None:
        self.valid = "refresh-0"
        self.access = "access-0"
        self.count = 0
        self.reused = False

    def exchange(self, refresh_token: str) -> dict[str, object]:
        if refresh_token != self.valid:
            self.reused = True
            raise Unauthenticated("reused", status=401)
        self.count += 1
        self.valid, self.access = f"refresh-{self.count}", f"access-{self.count}"
        return {"access_token": self.access, "refresh_token": self.valid, "expires_in": 900}

    def refresh(self, request: httpx.Request) -> httpx.Response:
        token = json.loads(request.content)["refresh_token"]
        try:
            return answer(Partial(self.exchange(token)))
        except Unauthenticated:
            return problem(401, "auth.token_reused", "Log in again.")

    def me(self, request: httpx.Request) -> httpx.Response:
        if request.headers["authorization"] != f"Bearer {self.access}":
            return problem(401, "auth.expired", "Expired.")
        return answer(ME)


@pytest.fixture
def rotating(server: FakeServer) -> Rotating:
    rotating = Rotating()
    server.on("POST auth/refresh", rotating.refresh).on("GET users/me", rotating.me)
    return rotating


def test_login_is_stored_only_with_remember(server: FakeServer, connect: Connect) -> None:
    token = Partial(
        {
            "access_token": "a",
            "refresh_token": "r",
            "token_type": "bearer",
            "expires_in": 900,
            "must_change_password": True,
        }
    )
    server.on("POST auth/token", answer(token)).on("GET users/me", answer(ME))
    client = connect().login("ann", "pass&word")
    assert b"username=ann&password=pass%26word" in server.bodies[0]
    assert client.must_change_password
    assert not default_path().exists()
    with pytest.raises(Unauthenticated):
        connect().me()

    connect().login("ann", "pass&word", remember=True)
    assert connect().me().username == "ann"
    assert Client(transport=server).url == URL  # the address, too


def test_credentials_file_is_private_from_its_creation(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    original = Path.replace

    def replace_and_look(self: Path, target: Path) -> Path:
        seen.append(stat.S_IMODE(self.stat().st_mode))
        return original(self, target)

    monkeypatch.setattr(Path, "replace", replace_and_look)
    store = CredentialStore()
    store.write(session(), make_current=True)
    assert seen == [0o600]
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    assert [path.name for path in store.path.parent.iterdir()] == ["credentials.json"]


def test_sessions_are_stored_by_address() -> None:
    store = CredentialStore()
    store.write(session())
    store.write(session(url="http://other.test", username="bob"), make_current=True)
    assert store.current() == ("http://other.test", None)
    assert (kept := store.read(URL)) is not None
    assert kept.username == "ann"
    store.remove(URL)
    assert store.read(URL) is None
    assert store.read("http://other.test") is not None


def test_damaged_credentials_file_is_named_in_the_error(connect: Connect) -> None:
    default_path().parent.mkdir(parents=True)
    default_path().write_text("{")
    with pytest.raises(ClientError, match="cannot read the credentials in") as caught:
        connect()
    assert "log in again" in caught.value.hint


def test_repr_of_a_session_shows_no_tokens() -> None:
    assert "access-0" not in repr(session())
    assert "refresh-0" not in repr(session())


def test_access_token_is_renewed_before_it_expires(connect: Connect, rotating: Rotating) -> None:
    CredentialStore().write(session(expires_at=time.time() + 5))
    connect().me()
    assert rotating.count == 1
    assert (kept := CredentialStore().read(URL)) is not None
    assert (kept.access_token, kept.refresh_token) == ("access-1", "refresh-1")


def test_refused_access_token_is_renewed_once(connect: Connect, rotating: Rotating) -> None:
    rotating.access = "another"
    CredentialStore().write(session())
    client = connect()
    client.me()
    client.me()
    assert rotating.count == 1


def test_session_that_ended_is_removed(connect: Connect, rotating: Rotating) -> None:
    rotating.valid, rotating.access = "gone", "gone"
    CredentialStore().write(session())
    with pytest.raises(Unauthenticated, match=r"your session at .* has ended"):
        connect().me()
    assert CredentialStore().read(URL) is None


def test_token_renewed_by_another_client_is_used(connect: Connect, rotating: Rotating) -> None:
    store = CredentialStore()
    store.write(session())
    first, second = connect(), connect()
    rotating.access = "expired on the server"
    first.me()
    second.me()
    assert rotating.count == 1
    assert not rotating.reused


def test_login_of_another_user_is_not_taken_over(connect: Connect, rotating: Rotating) -> None:
    store = CredentialStore()
    store.write(session())
    client = connect()
    store.write(session(username="bob", access_token="bobs", refresh_token="bobs"))
    rotating.access = "expired on the server"
    client.me()
    assert (kept := store.read(URL)) is not None
    assert kept.username == "bob"
    assert kept.refresh_token == "bobs"


def test_renewal_in_several_threads_happens_once() -> None:
    rotating = Rotating()
    barrier = threading.Barrier(8)
    got: list[str] = []

    def exchange(token: str) -> dict[str, object]:
        time.sleep(0.02)
        return rotating.exchange(token)

    tokens = SessionTokens(session(), exchange)

    def renew() -> None:
        barrier.wait()
        got.append(tokens.renew("access-0"))

    threads = [threading.Thread(target=renew) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == ["access-1"] * 8
    assert not rotating.reused


PROCESS = """
import sys, time
from pathlib import Path
from aiplatform.client import CredentialStore
from aiplatform.client.credentials import SessionTokens

store = CredentialStore(Path(sys.argv[1]))
used = Path(sys.argv[2])

def exchange(token):
    # Rotation as a server has it: using a token twice is an error.
    (used / token).mkdir()
    time.sleep(0.05)
    number = int(token.removeprefix("refresh-")) + 1
    return {"access_token": f"access-{number}", "refresh_token": f"refresh-{number}",
            "expires_in": 900}

session = store.read("http://platform.test")
tokens = SessionTokens(session, exchange, store)
print("ready", flush=True)
sys.stdin.readline()
print(tokens.renew("access-0"))
"""


def test_renewal_in_several_processes_happens_once(tmp_path: Path) -> None:
    store = CredentialStore()
    store.write(session())
    used = tmp_path / "used"
    used.mkdir()
    arguments = [sys.executable, "-c", PROCESS, str(store.path), str(used)]
    running = [
        subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate()[0].strip() for process in running] == ["access-1"] * 4
    assert [path.name for path in used.iterdir()] == ["refresh-0"]


def test_logout_removes_the_session_even_if_the_server_refuses(
    server: FakeServer, connect: Connect
) -> None:
    CredentialStore().write(session())
    server.on("POST auth/logout", problem(401, "auth.expired", "Expired."))
    server.on("POST auth/refresh", problem(401, "auth.expired", "Expired."))
    client = connect()
    with pytest.raises(Unauthenticated):
        client.logout()
    assert CredentialStore().read(URL) is None
    with pytest.raises(Unauthenticated, match="not logged in"):
        client.me()


def test_session_continues_after_a_change_of_password(server: FakeServer, connect: Connect) -> None:
    CredentialStore().write(session(must_change_password=True))
    server.on("PUT users/me/password", httpx.Response(204)).on("GET users/me", answer(ME))
    client = connect()
    assert client.must_change_password
    client.change_password("admin123", "better")
    assert json.loads(server.bodies[0]) == {
        "current_password": "admin123",
        "new_password": "better",
    }
    assert not client.must_change_password
    assert not connect().must_change_password
    client.me()
    assert server.requests[-1].headers["authorization"] == "Bearer access-0"
