"""What the one that sweeps does beside: at each sweep, and about once an hour.

Higher domains register theirs. It is done by one worker at a time, and by another when that is
gone.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from aiplatform.server.core.errors import Problem

log = structlog.get_logger(__name__)
Chore = Callable[[], object]
"""What it returns, if anything, is what it did, for the log."""

_AT_SWEEPS: dict[str, Chore] = {}
_HOURLY: dict[str, Chore] = {}


def on_sweep(name: str, chore: Chore) -> None:
    """Have ``chore`` done at each sweep; the last registration of a name counts."""
    _AT_SWEEPS[name] = chore


def on_hour(name: str, chore: Chore) -> None:
    """Have ``chore`` done about once an hour; the last registration of a name counts."""
    _HOURLY[name] = chore


def at_sweep() -> Mapping[str, Chore]:
    """What was registered for each sweep."""
    return _AT_SWEEPS


def hourly() -> Mapping[str, Chore]:
    """What was registered for each hour."""
    return _HOURLY


@contextmanager
def isolated(what: str, **facts: Any) -> Iterator[None]:
    """Do one of several things: when it fails, that is logged with ``facts``, and others follow."""
    try:
        yield
    except (SQLAlchemyError, Problem, OSError) as error:
        log.warning("failed", what=what, **facts, error=str(error)[:200])
    except Exception:  # a fault of ours, or a row that nobody expected; it would end the thread
        log.exception("failed inside the platform", what=what, **facts)


def do_each(chores: Mapping[str, Chore]) -> None:
    """Do them all. One that fails keeps no other from its turn, nor leases from running out."""
    for name, chore in chores.items():
        with isolated(f"the chore {name}"):
            if done := chore():
                log.info("chore done", chore=name, done=done)
