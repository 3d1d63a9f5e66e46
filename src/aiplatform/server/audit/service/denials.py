"""Audit entries for requests without a valid token, aggregated by address and minute.

Unknown callers may send a thousand requests a second. With an audit entry for each request, they
could fill the disk. Requests are therefore counted in memory, and each address gets one entry per
minute.
"""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import structlog
from sqlalchemy.exc import SQLAlchemyError

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.database import transaction

log = structlog.get_logger(__name__)
SECONDS = 60.0
MAX_ADDRESSES = 1000
MAX_ROUTES = 20
OTHERS = "others"


@dataclass(slots=True)
class _Counts:
    count: int = 0
    agent: str | None = None
    routes: Counter[str] = field(default_factory=Counter)


class Denials:
    """The number of requests refused since the last audit entries, by client address."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._seen: dict[str | None, _Counts] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def note(self, address: str | None, agent: str | None, route: str) -> None:
        """Count a refused request and return immediately."""
        with self._lock:
            if address not in self._seen and len(self._seen) >= MAX_ADDRESSES:
                address = OTHERS
            seen = self._seen.setdefault(address, _Counts(agent=agent))
            seen.count += 1
            if route in seen.routes or len(seen.routes) < MAX_ROUTES:
                seen.routes[route] += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="denials", daemon=True)
                self._thread.start()

    def write(self) -> int:
        """Write the counts as audit entries and return the number of entries.

        Raises:
            SQLAlchemyError: when the database does not accept the entries; the counts are kept.
        """
        with self._lock:
            seen, self._seen = self._seen, {}
        events = [
            audit.Event(
                Actor(ip_address=None if address == OTHERS else address, user_agent=found.agent),
                AuditAction.ACCESS_UNAUTHENTICATED,
                "route",
                outcome="denied",
                details={
                    "count": found.count,
                    "routes": dict(found.routes),
                    **({"addresses": "too many to tell apart"} if address == OTHERS else {}),
                },
            )
            for address, found in seen.items()
        ]
        try:
            with transaction() as session:
                audit.record_many(session, events)
        except SQLAlchemyError:
            self._put_back(seen)
            raise
        return len(events)

    def _put_back(self, seen: dict[str | None, _Counts]) -> None:
        with self._lock:
            for address, found in seen.items():
                now = self._seen.setdefault(address, _Counts(agent=found.agent))
                now.count += found.count
                now.routes.update(found.routes)

    def _run(self) -> None:
        while True:
            time.sleep(self._seconds)
            try:
                self.write()
            except SQLAlchemyError as error:
                log.warning("denials wait for the database", error=str(error)[:200])


denials = Denials()
"""This process's counts. Its thread starts at the first denial, so that a fork can't lose it."""
