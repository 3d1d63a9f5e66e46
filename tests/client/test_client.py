"""Tests of finding the server's address."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aiplatform import Client
from aiplatform.client.client import DEFAULT_URL, find_address, home_at
from aiplatform.client.credentials import CredentialStore, Session
from aiplatform.protocol.platform_home import STATE_FILE

REMOTE = "https://platform.example.com"
GONE = 2**22 + 1
"""A process id above the kernel's maximum."""


@pytest.fixture
def store(tmp_path: Path) -> CredentialStore:
    return CredentialStore(tmp_path / "credentials.json")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that writes a state file as `aiplatform up` does.

    AIPLATFORM_HOME is the home directory `a`, where the file is written by default.
    """
    monkeypatch.delenv("AIPLATFORM_URL", raising=False)
    monkeypatch.setenv("AIPLATFORM_HOME", str(tmp_path / "a"))

    def state(url: str, *, home: str = "a", pid: int = os.getpid()) -> Path:
        file = tmp_path / home / STATE_FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"url": url, "pid": pid}))
        return tmp_path / home

    return state


def session(url: str) -> Session:
    return Session(url, "lin", "access", "refresh", 2e9)


def test_address_without_login_is_that_of_the_running_platform(
    state: Callable[..., Path], store: CredentialStore
) -> None:
    assert find_address(None, store) == DEFAULT_URL
    state("http://127.0.0.1:8511")
    assert find_address(None, store) == "http://127.0.0.1:8511"
    assert Client(credentials=store.path).url == "http://127.0.0.1:8511"


def test_address_from_argument_or_environment_takes_precedence(
    state: Callable[..., Path], store: CredentialStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    state("http://127.0.0.1:8511")
    store.write(session(REMOTE), make_current=True)
    monkeypatch.setenv("AIPLATFORM_URL", "http://127.0.0.1:9001")
    assert find_address("http://127.0.0.1:9000", store) == "http://127.0.0.1:9000"
    assert find_address(None, store) == "http://127.0.0.1:9001"


def test_login_at_another_server_takes_precedence_over_the_running_platform(
    state: Callable[..., Path], store: CredentialStore
) -> None:
    state("http://127.0.0.1:8511")
    store.write(session(REMOTE), make_current=True)
    assert find_address(None, store) == REMOTE


def test_login_at_a_local_platform_follows_it_to_another_port(
    state: Callable[..., Path], store: CredentialStore
) -> None:
    home = state("http://127.0.0.1:8400")
    assert home_at("http://127.0.0.1:8400/") == home
    store.write(session("http://127.0.0.1:8400"), make_current=True, home=home)
    state("http://127.0.0.1:8511")
    assert find_address(None, store) == "http://127.0.0.1:8511"
    moved = store.read("http://127.0.0.1:8511")
    assert moved is not None
    assert moved.refresh_token == "refresh"
    assert store.read("http://127.0.0.1:8400") is None
    assert store.current() == ("http://127.0.0.1:8511", home)


def test_login_at_a_stopped_platform_gives_way_to_a_running_one(
    state: Callable[..., Path], store: CredentialStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = state("http://127.0.0.1:8400", pid=GONE)
    store.write(session("http://127.0.0.1:8400"), make_current=True, home=down)
    assert find_address(None, store) == "http://127.0.0.1:8400"
    monkeypatch.setenv("AIPLATFORM_HOME", str(state("http://127.0.0.1:8511", home="b")))
    assert find_address(None, store) == "http://127.0.0.1:8511"
    assert store.read("http://127.0.0.1:8400") is not None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"url": "x", "pid": "x"}', '{"pid": 1}'])
def test_unreadable_state_file_is_treated_as_missing(
    content: str, state: Callable[..., Path], store: CredentialStore
) -> None:
    (state("http://127.0.0.1:8511") / STATE_FILE).write_text(content)
    assert find_address(None, store) == DEFAULT_URL
    assert home_at("http://127.0.0.1:8511") is None


def test_killed_platform_is_not_found(state: Callable[..., Path], store: CredentialStore) -> None:
    state("http://127.0.0.1:8511", pid=GONE)
    assert find_address(None, store) == DEFAULT_URL
