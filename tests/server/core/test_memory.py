"""What a process starts with is looked through by no collection."""

import subprocess
import sys

import pytest

from aiplatform.server import app
from aiplatform.server.core import memory

PROGRAM = """
import gc
from aiplatform.server.core import memory
kept = [[] for _ in range(1000)]
memory.settle()
assert gc.get_freeze_count() > 1000
assert len(gc.get_objects()) < 1000
gone = []
gone.append(gone)
del gone
assert gc.collect() > 0, "what comes later is still collected"
"""


def test_what_is_there_is_out_of_sight_and_what_comes_later_is_not() -> None:
    # Apart, as nothing of a test's process should be kept for good.
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)


def test_a_server_settles_when_its_application_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(app, "create_app", lambda: done.append("created"))
    monkeypatch.setattr(memory, "settle", lambda: done.append("settled"))
    app.served_app()
    assert done == ["created", "settled"]
