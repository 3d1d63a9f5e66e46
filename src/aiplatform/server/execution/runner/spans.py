"""The trace of an attempt: spans for the wait in the queue, the attempt and its phases."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError

from aiplatform.protocol.messages import Phase
from aiplatform.server.core import tracing
from aiplatform.server.core.database import transaction
from aiplatform.server.execution.service.attempts import Claim
from aiplatform.server.queue import queries

log = structlog.get_logger(__name__)


@contextmanager
def attempt_span(claim: Claim) -> Iterator[None]:
    """Make the attempt the current span, in the trace of the request that submitted the task.

    If the database is away, the trace has no parent; the attempt runs all the same.
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
        _record_outcome(claim)


def _record_outcome(claim: Claim) -> None:
    try:
        with transaction() as session:
            outcome, error = queries.outcome_of(session, claim.task_id, claim.attempt)
    except DBAPIError as away:
        log.warning("the outcome is not known to the trace", error=str(away.orig)[:200])
        return
    # None means that the attempt lost its lease; another process ends it.
    tracing.describe(outcome=outcome or "lost")
    if outcome in {None, "failed", "lost"}:
        tracing.fail((error or "")[:500])


class Phases:
    """Spans of the runtime's phases: each ends where the next begins."""

    def __init__(self) -> None:
        self._current: Any = None

    def begin(self, phase: Phase) -> None:
        """Begin the span of a phase, and end the last one."""
        self.end(phase.time)
        self._current = tracing.begin(phase.name, phase.time)

    def end(self, at: float | None = None) -> None:
        """End the span of the last phase."""
        current, self._current = self._current, None
        tracing.end(current, time.time() if at is None else at)
