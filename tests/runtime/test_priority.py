"""Tests of the priority of runtime processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, threading
from aiplatform.runtime.priority import apply_niceness
going = threading.Event()
thread = threading.Thread(target=going.wait)
thread.start()
apply_niceness()
print(os.nice(0), os.getpriority(os.PRIO_PROCESS, thread.native_id))
going.set()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads have no priority there")
@pytest.mark.parametrize(("told", "taken"), [("3", 3), ("0", 0), ("", 0)])
def test_apply_niceness_sets_the_niceness_of_all_threads(told: str, taken: int) -> None:
    before = os.nice(0)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "AIPLATFORM_NICENESS": told},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        start_new_session=True,
    )
    assert done.stdout.split() == [str(before + taken)] * 2
