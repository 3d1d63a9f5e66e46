"""The description of a process that the supervisor keeps running."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiplatform.embedded.errors import EmbeddedError
from aiplatform.embedded.process import Account

StopSteps = tuple[tuple[int, float], ...]
"""Signals that stop a process, sent in turn, each with the seconds to wait before the next."""

DEFAULT_STOP_STEPS: StopSteps = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))


def do_nothing() -> None:
    """Do nothing; the default of :attr:`Service.before_start`."""


def ready_immediately() -> bool:
    """Return True; the default of :attr:`Service.is_ready`: a running process is ready."""
    return True


def no_diagnosis(_: str) -> EmbeddedError | None:
    """Return None; the default of :attr:`Service.diagnose`."""
    return None


@dataclass(frozen=True)
class Service:
    """The description of a process that the supervisor keeps running.

    ``before_start`` is called before every start, to remove files that the previous process left
    behind. ``diagnose`` gets the log of a failed start, and returns an error if another attempt
    would fail as well. ``transient_messages`` are texts in that log after which the start is simply
    repeated. ``death_signal`` is sent to the process when the supervisor is killed (on Linux only).
    """

    name: str
    command: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    stop_steps: StopSteps = DEFAULT_STOP_STEPS
    death_signal: int = signal.SIGTERM
    before_start: Callable[[], None] = do_nothing
    is_ready: Callable[[], bool] = ready_immediately
    diagnose: Callable[[str], EmbeddedError | None] = no_diagnosis
    transient_messages: tuple[str, ...] = ()
