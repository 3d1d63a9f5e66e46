"""Fixtures for command line tests, with a server on a real port that sends scripted responses."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from typer import rich_utils

from aiplatform.cli.localisation import FIXED
from aiplatform.cli.main import main
from aiplatform.client.transport import Transport
from tests.client.fake import FakeServer, answer, page
from tests.openapi_checks import Partial


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]
P, D, M, E, T = (f"00000000-0000-4000-8000-00000000000{n}" for n in range(1, 6))
PROJECT = Partial(
    {"uuid": P, "name": "demo", "status": "active", "created_at": "2026-11-01T00:00:00Z"}
)
DATASET = Partial({"uuid": D, "name": "faq", "version": "v1", "status": "ready", "row_count": 3})
MODEL = Partial({"uuid": M, "name": "base", "version": "1", "status": "ready", "project": P})
TASK = Partial({"uuid": T, "name": "train", "type": "training", "status": "completed", "model": M})


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def url(server: FakeServer) -> Iterator[str]:
    """Start the scripted server on a port of this machine and return its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            request = httpx.Request(
                self.command,
                f"http://{self.headers['host']}{self.path}",
                headers=list(self.headers.items()),
                content=self.rfile.read(length),
            )
            response = server.handle_request(request)
            self.send_response(response.status_code)
            for name, value in response.headers.items():
                if name not in {"content-length", "transfer-encoding"}:
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            assert isinstance(response.stream, httpx.SyncByteStream)
            for chunk in response.stream:
                self.wfile.write(chunk)
            self.close_connection = True

        def log_message(self, *args: Any) -> None:
            pass

    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.answer)
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    listening.server_close()


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set the environment of commands, without any of this machine's settings."""
    for name in [name for name in os.environ if name.startswith("AIPLATFORM_")]:
        monkeypatch.delenv(name)
    variables = {
        "AIPLATFORM_CREDENTIALS": str(tmp_path / "credentials.json"),
        "AIPLATFORM_URL": "http://platform.test",
        "AIPLATFORM_TOKEN": "token",
        "LC_ALL": "C.UTF-8",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def run(
    server: FakeServer,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Ran]:
    """Return a function that runs a command in this process until it exits."""
    original = Transport.__init__

    def scripted(self: Transport, url: str, **options: Any) -> None:
        original(self, url, **{**options, "transport": server})

    monkeypatch.setattr(Transport, "__init__", scripted)
    # A command in Chinese translates these for the whole process, but later tests need English.
    for name in (*FIXED, "_make_rich_text"):
        monkeypatch.setattr(rich_utils, name, getattr(rich_utils, name))

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["aiplatform", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return Ran(int(end.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def start(url: str, environment: dict[str, str]) -> Callable[..., subprocess.Popen[str]]:
    """Return a function that starts a command as a process, against the listening server."""

    def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "aiplatform", *arguments],
            env={**os.environ, **environment, "AIPLATFORM_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    return start


@pytest.fixture
def world(server: FakeServer) -> FakeServer:
    """Return the scripted server with one project, a dataset and a model."""
    server.on("GET projects", page(PROJECT))
    server.on(f"GET projects/{P}/datasets", page(DATASET))
    server.on(f"GET datasets/{D}", answer(DATASET))
    server.on(f"GET projects/{P}/models", page(MODEL))
    server.on(f"GET models/{M}", answer(MODEL))
    return server


def posted(server: FakeServer, ending: str) -> dict[str, Any]:
    for request, body in zip(server.requests, server.bodies, strict=True):
        if request.method == "POST" and request.url.path.endswith(ending):
            sent: dict[str, Any] = json.loads(body)
            return sent
    pytest.fail(f"nothing was posted to …{ending}")
