"""Periodic work: functions that run in each round of the reaper or about once an hour.

Other domains register their work here. One worker at a time does all of this work; if that worker
is lost, another takes over.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from aiplatform.server.core.errors import Problem

log = structlog.get_logger(__name__)
Chore = Callable[[], object]
"""A function that does periodic work. If its result is truthy, the result is logged."""

_ROUND_CHORES: dict[str, Chore] = {}
_HOURLY_CHORES: dict[str, Chore] = {}


def on_round(name: str, chore: Chore) -> None:
    """Register ``chore`` for each round of the reaper; the last registration for a name wins."""
    _ROUND_CHORES[name] = chore


def on_hour(name: str, chore: Chore) -> None:
    """Register ``chore`` to run about once an hour; the last registration for a name wins."""
    _HOURLY_CHORES[name] = chore


def round_chores() -> Mapping[str, Chore]:
    """Return the chores for each round of the reaper, by name."""
    return _ROUND_CHORES


def hourly_chores() -> Mapping[str, Chore]:
    """Return the hourly chores, by name."""
    return _HOURLY_CHORES


@contextmanager
def isolated(what: str, **facts: Any) -> Iterator[None]:
    """Log any error raised in the ``with`` block, together with ``facts``, and suppress it."""
    try:
        yield
    except (SQLAlchemyError, Problem, OSError) as error:
        log.warning("failed", what=what, **facts, error=str(error)[:200])
    except Exception:  # A bug or an unexpected row must not end the thread.
        log.exception("failed inside the platform", what=what, **facts)


def do_each(chores: Mapping[str, Chore]) -> None:
    """Run all chores. If one fails, the others still run, and leases still expire."""
    for name, chore in chores.items():
        with isolated(f"the chore {name}"):
            if done := chore():
                log.info("chore done", chore=name, done=done)
