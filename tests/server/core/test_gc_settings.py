"""Tests that Python's garbage collector skips objects created at startup."""

import subprocess
import sys

import pytest

from aiplatform.server import app
from aiplatform.server.core import gc_settings

PROGRAM = """
import gc
from aiplatform.server.core import gc_settings
gc.set_threshold(700, 10, 100)  # as the command line sets it for the imports
kept = [[] for _ in range(1000)]
gc_settings.freeze_startup_objects()
assert gc.get_freeze_count() > 1000
assert len(gc.get_objects()) < 1000
assert gc.get_threshold() == (gc_settings.YOUNGEST_THRESHOLD, 10, 10)
gone = []
gone.append(gone)
del gone
assert gc.collect() > 0, "what comes later is still collected"
"""


def test_freeze_startup_objects_excludes_existing_objects_only() -> None:
    # Run in a separate process, because the freeze would otherwise affect the other tests.
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)


def test_served_app_freezes_after_creating_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(app, "create_app", lambda: done.append("created"))
    monkeypatch.setattr(gc_settings, "freeze_startup_objects", lambda: done.append("frozen"))
    app.served_app()
    assert done == ["created", "frozen"]
