"""Client for the API's detailed health endpoint."""

import http.client
import json
from dataclasses import dataclass, field
from typing import Any

PATH = "/api/v1/health/details"


@dataclass(frozen=True)
class HealthCheck:
    """The health of one part of the platform: whether it works, and a detail to show."""

    ok: bool
    detail: str


@dataclass(frozen=True)
class Health:
    """The health of the platform and of each part, as the API reports it."""

    status: str
    checks: dict[str, HealthCheck] = field(default_factory=dict)
    version: str | None = None

    @property
    def is_ok(self) -> bool:
        """True if the database is migrated, the broker and storage work, and a worker is alive."""
        return self.status == "ok"

    @property
    def failed_parts(self) -> list[str]:
        """The names of the parts that don't work, each with its detail."""
        return [f"{name} ({part.detail})" for name, part in self.checks.items() if not part.ok]


def reachable_host(host: str) -> str:
    """Return the address at which this machine reaches a server that listens on ``host``."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104


def base_url(host: str, port: int) -> str:
    """Return the URL of the API, to show and to open in a browser."""
    name = reachable_host(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def fetch_health(host: str, port: int, timeout: float = 2.0) -> Health | None:
    """Return the health that the API reports; None if there was no valid response.

    Uses only the standard library, because it is called many times while the platform starts.
    """
    connection = http.client.HTTPConnection(reachable_host(host), port, timeout=timeout)
    try:
        connection.request("GET", PATH, headers={"Accept": "application/json"})
        return _parse(json.loads(connection.getresponse().read(1 << 20)))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return None  # the API does not listen yet, or another program answered
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
