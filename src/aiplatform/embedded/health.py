"""Asking the API how it is."""

import http.client
import json
from dataclasses import dataclass, field
from typing import Any

PATH = "/api/v1/health"


@dataclass(frozen=True)
class Health:
    """An answer of the API; ``checks`` maps what was checked to what was found."""

    status: str
    checks: dict[str, Any] = field(default_factory=dict)
    version: str | None = None

    @property
    def is_ok(self) -> bool:
        """Migrated, broker up, storage writable, and a worker's heartbeat seen."""
        return self.status == "ok"

    @property
    def wanting(self) -> list[str]:
        """The checks that are not ok."""
        return [
            name
            for name, found in self.checks.items()
            if (found.get("status") if isinstance(found, dict) else found) not in {"ok", True}
        ]


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
        answer = json.loads(connection.getresponse().read(1 << 20))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    if not isinstance(answer, dict) or not isinstance(answer.get("status"), str):
        return None
    checks = answer.get("checks")
    return Health(
        status=answer["status"],
        checks=checks if isinstance(checks, dict) else {},
        version=str(answer["version"]) if "version" in answer else None,
    )
