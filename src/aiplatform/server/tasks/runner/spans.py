"""The trace of an attempt: how long the task waited, the attempt itself, what its runtime did."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError

from aiplatform.protocol.messages import Phase
from aiplatform.server.core import tracing
from aiplatform.server.core.database import transaction
from aiplatform.server.tasks import queries
from aiplatform.server.tasks.service.attempts import Claim

log = structlog.get_logger(__name__)


@contextmanager
def traced(claim: Claim) -> Iterator[None]:
    """Within, the attempt is the current span, in the trace of who submitted the task.

    That the database is away costs the trace its context, not the task its attempt.
    """
    if not tracing.is_on():
        yield
        return
    origin = None
    try:
        with transaction() as session:
            origin = queries.origin_of(session, claim.task_id, claim.attempt)
    except DBAPIError as error:
        log.warning("the trace of the task's request is not known", error=str(error.orig)[:200])
    parent = None if origin is None else origin.traceparent
    if origin is not None:
        tracing.record("wait", origin.waited_from.timestamp(), time.time(), parent)
    attributes: dict[str, tracing.Attribute] = {
        "aiplatform.task": str(claim.task_uuid),
        "aiplatform.task.type": claim.task_type,
        "aiplatform.task.attempt": claim.attempt,
    }
    with tracing.span("attempt", "consumer", parent=parent, attributes=attributes):
        yield
        _judge(claim)


def _judge(claim: Claim) -> None:
    try:
        with transaction() as session:
            outcome, error = queries.outcome_of(session, claim.task_id, claim.attempt)
    except DBAPIError as away:
        log.warning("the outcome is not known to the trace", error=str(away.orig)[:200])
        return
    # None: it lost its lease, and somebody else is about to end it.
    tracing.describe(outcome=outcome or "lost")
    if outcome in {None, "failed", "lost"}:
        tracing.fail((error or "")[:500])


class Phases:
    """What the runtime does, as spans: one ends where the next begins."""

    def __init__(self) -> None:
        self._current: Any = None

    def begin(self, phase: Phase) -> None:
        """The runtime began a phase."""
        self.end(phase.time)
        self._current = tracing.begin(phase.name, phase.time)

    def end(self, at: float | None = None) -> None:
        """The last phase is over."""
        current, self._current = self._current, None
        tracing.end(current, time.time() if at is None else at)
