"""What the supervisor writes down about itself, for ``status``, ``down`` and the next ``up``."""

import json
import os
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from aiplatform.embedded.home import Home
from aiplatform.embedded.process import is_same_process


class Phase(StrEnum):
    """Where the platform is in its life."""

    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    STOPPING = "stopping"


class ServiceState(StrEnum):
    """Where one process is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPED = "stopped"


@dataclass
class ServiceRecord:
    """One process as last seen by the supervisor."""

    name: str
    state: ServiceState = ServiceState.WAITING
    pid: int | None = None
    identity: str | None = None
    restarts: int = 0
    started_at: str | None = None
    last_exit: str | None = None

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ServiceRecord":
        """Read one of a state's services."""
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        known["state"] = ServiceState(known["state"])
        return cls(**known)


@dataclass
class State:
    """The whole platform as last seen by its supervisor. Times are ISO 8601, UTC."""

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
        """Whether the process that wrote this still runs."""
        return is_same_process(self.pid, self.identity)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as it stands in the file and in ``--json``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "State":
        """Read what :meth:`as_dict` wrote; fields of a newer version are ignored.

        Raises:
            KeyError, TypeError, ValueError: when it is something else.
        """
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        known["phase"] = Phase(known["phase"])
        known["services"] = [ServiceRecord.from_dict(record) for record in known["services"]]
        return cls(**known)


def read_state(home: Home) -> State | None:
    """What the last supervisor of this home wrote; None without one, or when it can't be read.

    An unreadable file is as good as none: its writer was cut off by a full disk or a power failure.
    """
    try:
        data = json.loads(home.state_file.read_text("utf-8"))
        return State.from_dict(data)
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        return None


def write_state(home: Home, state: State) -> None:
    """Replace the state file in one step.

    Raises:
        OSError: when it can't be written.
    """
    temporary = home.state_file.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(state.as_dict(), indent=2) + "\n", "utf-8")
    temporary.replace(home.state_file)


def remove_state(home: Home) -> None:
    """Say that nothing runs."""
    home.state_file.unlink(missing_ok=True)
