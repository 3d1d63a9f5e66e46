"""Waiting for something on the server, by looking."""

import time
from collections.abc import Callable
from typing import TypeVar

from aiplatform.client.errors import WaitTimeout

T = TypeVar("T")


def poll(
    look: Callable[[], T],
    done: Callable[[T], bool],
    *,
    timeout: float | None,
    what: str,
    first: float = 0.25,
    longest: float = 2.0,
) -> T:
    """Look until ``done`` says so, less often as time passes.

    Raises:
        WaitTimeout: after ``timeout`` seconds.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = first
    while True:
        seen = look()
        if done(seen):
            return seen
        if deadline is not None and time.monotonic() + pause > deadline:
            raise WaitTimeout(f"{what} after {timeout:g} s")
        time.sleep(pause)
        pause = min(pause * 1.3, longest)
