from collections.abc import Callable
from pathlib import Path

import pytest

from aiplatform.client import Client
from tests.client.fake import FakeServer

URL = "http://platform.test"


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("URL", "TOKEN", "PROJECT"):
        monkeypatch.delenv(f"AIPLATFORM_{name}", raising=False)
    monkeypatch.setenv("AIPLATFORM_CREDENTIALS", str(tmp_path / "config" / "credentials.json"))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record pauses instead of sleeping and return them."""
    noted: list[float] = []
    monkeypatch.setattr("time.sleep", noted.append)
    return noted


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def client(server: FakeServer) -> Client:
    return Client(URL, token="secret-token", transport=server)


@pytest.fixture
def connect(server: FakeServer) -> Callable[..., Client]:
    """Return a function that creates clients without a token."""
    return lambda **options: Client(URL, transport=server, **options)
