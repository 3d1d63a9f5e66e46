"""Functions that inspect or stop an embedded platform, for ``status``, ``down`` and ``doctor``."""

import contextlib
import os
import signal
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiplatform.embedded.errors import StopFailedError
from aiplatform.embedded.health import Health, fetch_health
from aiplatform.embedded.home import Home
from aiplatform.embedded.leftovers import end_leftovers, running_records
from aiplatform.embedded.process import resident_bytes, user_name, wait_until_gone
from aiplatform.embedded.state import State, already_running, read_state, remove_state
from aiplatform.language import tr

STOP_SECONDS = 120.0
"""Seconds until ``down`` gives up: tasks save checkpoints, then PostgreSQL writes its buffers."""


@dataclass(frozen=True)
class Status:
    """The status of an embedded platform.

    ``memory`` maps the name of each process to its resident bytes, children included.
    """

    home: str
    running: bool
    state: State | None = None
    health: Health | None = None
    uptime_seconds: float | None = None
    memory: dict[str, int] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return this status as plain data, for ``--json``."""
        return {
            "home": self.home,
            "running": self.running,
            "uptime_seconds": self.uptime_seconds,
            "health": asdict(self.health) if self.health else None,
            "memory": self.memory,
            "leftovers": self.leftovers,
            "platform": self.state.as_dict() if self.state else None,
        }


def platform_status(home: Home) -> Status:
    """Return the status of the platform of this home, including the health reported by its API."""
    state = read_state(home)
    if state is None or not state.supervisor_alive:
        left = [record.name for record in running_records(state)] if state else []
        return Status(home=str(home.root), running=False, leftovers=left)
    memory = {
        record.name: size
        for record in running_records(state)
        if record.pid is not None and (size := resident_bytes(record.pid)) is not None
    }
    since = datetime.now(UTC) - datetime.fromisoformat(state.started_at)
    return Status(
        home=str(home.root),
        running=True,
        state=state,
        health=fetch_health(state.host, state.port),
        uptime_seconds=max(since.total_seconds(), 0.0),
        memory=memory,
    )


def stop_platform(home: Home, seconds: float = STOP_SECONDS) -> str:
    """Stop the platform of this home, wait until it has stopped, and return a message about it.

    Raises:
        StopFailedError: If it did not stop in time, or belongs to another user.
        AlreadyRunningError: If another process is currently starting or stopping it.
    """
    if not home.run.is_dir():
        return tr("AI Platform is not running in {home}.", home=home.root)
    state = read_state(home)
    if state is not None and state.supervisor_alive:
        return _stop_supervisor(home, state, seconds)
    lock = _lock(home)
    try:
        ended = end_leftovers(home)
        remove_state(home)
    finally:
        os.close(lock)
    if ended:
        return tr(
            "Ended what a killed run left in {home}: {names}.",
            home=home.root,
            names=", ".join(ended),
        )
    return tr("AI Platform is not running in {home}.", home=home.root)


def _stop_supervisor(home: Home, state: State, seconds: float) -> str:
    began = time.monotonic()
    try:
        os.kill(state.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        owner = tr("another user")
        with contextlib.suppress(OSError):
            name = user_name(home.state_file.stat().st_uid)
            owner = tr("the user {name}", name=name)
        raise StopFailedError(
            tr("Process {pid} belongs to {owner}.", pid=state.pid, owner=owner),
            tr("Run `{down}` as that user.", down=home.command("down")),
        ) from error
    if not wait_until_gone(state.pid, state.identity, seconds):
        raise StopFailedError(
            tr(
                "Process {pid} has not ended within {seconds:.0f} seconds.",
                pid=state.pid,
                seconds=seconds,
            ),
            tr(
                "See {log}. As a last resort: kill -9 {pid}, then `{down}` again; nothing "
                "committed is lost.",
                log=home.logs / "supervisor.log",
                pid=state.pid,
                down=home.command("down"),
            ),
        )
    return tr(
        "AI Platform in {home} is stopped ({seconds:.1f} s).",
        home=home.root,
        seconds=time.monotonic() - began,
    )


def _lock(home: Home) -> int:
    lock = home.lock()
    if lock is None:
        raise already_running(home)
    return lock
