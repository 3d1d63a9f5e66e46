"""What the supervisor is told about each process."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiplatform.embedded.errors import EmbeddedError
from aiplatform.embedded.process import Account

StopSteps = tuple[tuple[int, float], ...]
"""Signals in turn, each with the seconds it is given before the next."""

POLITE: StopSteps = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))


def nothing() -> None:
    """The default of :attr:`Service.before_start`."""


def at_once() -> bool:
    """The default of :attr:`Service.is_ready`: running is ready."""
    return True


def no_diagnosis(_: str) -> EmbeddedError | None:
    """The default of :attr:`Service.diagnose`."""
    return None


@dataclass(frozen=True)
class Service:
    """A process that is kept running.

    ``before_start`` runs before every start and clears away what the last one left. ``diagnose``
    gets the log of a start that failed and returns an error that no further attempt would cure.
    ``transient`` are words in that log by which a failed start is simply repeated.
    ``death_signal`` is what the process gets if the supervisor is SIGKILLed, where the system can.
    """

    name: str
    command: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    stop_steps: StopSteps = POLITE
    death_signal: int = signal.SIGTERM
    before_start: Callable[[], None] = nothing
    is_ready: Callable[[], bool] = at_once
    diagnose: Callable[[str], EmbeddedError | None] = no_diagnosis
    transient: tuple[str, ...] = ()
