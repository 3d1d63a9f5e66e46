"""Asking the API how it is."""

import http.client
import json
from dataclasses import dataclass, field
from typing import Any

PATH = "/api/v1/health"


@dataclass(frozen=True)
class HealthCheck:
    """One part: whether it works, and what there is to say."""

    ok: bool
    detail: str


@dataclass(frozen=True)
class Health:
    """What the API says of itself, part by part."""

    status: str
    checks: dict[str, HealthCheck] = field(default_factory=dict)
    version: str | None = None

    @property
    def is_ok(self) -> bool:
        """Migrated, broker up, storage writable, and a worker's heartbeat seen."""
        return self.status == "ok"

    @property
    def wanting(self) -> list[str]:
        """The parts that don't work, each with what there is to say."""
        return [f"{name} ({part.detail})" for name, part in self.checks.items() if not part.ok]


def reachable_host(host: str) -> str:
    """The address under which a server that listens on ``host`` is reached from here."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104


def base_url(host: str, port: int) -> str:
    """The address to show and to open."""
    name = reachable_host(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def ask_health(host: str, port: int, timeout: float = 2.0) -> Health | None:
    """What the API says about itself; None when nothing sensible answers.

    A plain standard-library request: it is made many times while everything starts.
    """
    connection = http.client.HTTPConnection(reachable_host(host), port, timeout=timeout)
    try:
        connection.request("GET", PATH, headers={"Accept": "application/json"})
        return _parse(json.loads(connection.getresponse().read(1 << 20)))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return None  # not there yet, or another program's answer
    finally:
        connection.close()


def _parse(answer: dict[str, Any]) -> Health:
    return Health(
        status=str(answer["status"]),
        checks={
            str(name): HealthCheck(bool(part["ok"]), str(part["detail"]))
            for name, part in answer["checks"].items()
        },
        version=answer.get("version"),
    )
