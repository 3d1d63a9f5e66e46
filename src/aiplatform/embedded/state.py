"""The state file that the supervisor writes for ``status``, ``down`` and the next ``up``."""

import json
import os
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from aiplatform.embedded.errors import AlreadyRunningError
from aiplatform.embedded.home import Home
from aiplatform.embedded.process import is_same_process
from aiplatform.language import tr


class Phase(StrEnum):
    """The phase of a running platform, from its start to its stop."""

    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    STOPPING = "stopping"


class ServiceState(StrEnum):
    """The state of one supervised process."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPED = "stopped"


@dataclass
class ServiceRecord:
    """The last status that the supervisor recorded for a process."""

    name: str
    state: ServiceState = ServiceState.WAITING
    pid: int | None = None
    identity: str | None = None
    restarts: int = 0
    started_at: str | None = None
    last_exit: str | None = None

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ServiceRecord":
        """Return the record that :meth:`State.as_dict` wrote as one of its services."""
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        known["state"] = ServiceState(known["state"])
        return cls(**known)


@dataclass
class State:
    """The last status that the supervisor recorded for the whole platform.

    All times are in UTC, in ISO 8601 format.
    """

    run_id: str
    pid: int
    identity: str | None
    home: str
    host: str
    port: int
    url: str
    database_url: str
    broker_url: str
    storage_url: str
    socket_dir: str
    started_at: str
    migration_database_url: str = ""
    phase: Phase = Phase.STARTING
    step: str = ""
    ready_at: str | None = None
    ready_seconds: float | None = None
    fresh: bool = False
    warnings: list[str] = field(default_factory=list)
    services: list[ServiceRecord] = field(default_factory=list)

    @property
    def supervisor_alive(self) -> bool:
        """True if the supervisor that wrote this state is still running."""
        return is_same_process(self.pid, self.identity)

    def as_dict(self) -> dict[str, Any]:
        """Return this state as plain data, as in the state file and in ``--json``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "State":
        """Return the state that :meth:`as_dict` wrote; unknown fields are ignored.

        Raises:
            KeyError: If a field is missing.
            TypeError: If the data has a different structure.
            ValueError: If a value is not allowed.
        """
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        known["phase"] = Phase(known["phase"])
        known["services"] = [ServiceRecord.from_dict(record) for record in known["services"]]
        return cls(**known)


def read_state(home: Home) -> State | None:
    """Return the state that the last supervisor of this home wrote; None if there is none.

    A file that can't be read counts as missing: a full disk or a power failure interrupted its
    writer.
    """
    try:
        data = json.loads(home.state_file.read_text("utf-8"))
        return State.from_dict(data)
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        return None


def write_state(home: Home, state: State) -> None:
    """Replace the state file atomically.

    Raises:
        OSError: If it can't be written.
    """
    temporary = home.state_file.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(state.as_dict(), indent=2) + "\n", "utf-8")
    temporary.replace(home.state_file)


def remove_state(home: Home) -> None:
    """Delete the state file, which means that nothing is running in this home."""
    home.state_file.unlink(missing_ok=True)


def already_running(home: Home) -> AlreadyRunningError:
    """Return the error for a command that finds the home locked by another process."""
    state = read_state(home)
    if state is None or not state.supervisor_alive:
        return AlreadyRunningError(
            tr(
                "Another process is starting or stopping AI Platform in {root}, or runs it in "
                "another container.",
                root=home.root,
            ),
            tr("Try again in a moment."),
        )
    facts = {"root": home.root, "pid": state.pid, "url": state.url}
    return AlreadyRunningError(
        tr("AI Platform is already stopping in {root}: process {pid}, {url}.", **facts)
        if state.phase is Phase.STOPPING
        else tr("AI Platform is already running in {root}: process {pid}, {url}.", **facts),
        tr(
            "`{status}` shows it, `{down}` stops it; with another --home and --port a second one "
            "runs beside it.",
            status=home.command("status"),
            down=home.command("down"),
        ),
    )
