"""What else the sweep does: higher domains register it, and the one that sweeps calls it.

So it is done by one worker at a time, and by another when that is gone.
"""

from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from aiplatform.server.core.errors import Problem

log = structlog.get_logger(__name__)
_CHORES: dict[str, Callable[[], object]] = {}


def on_sweep(name: str, chore: Callable[[], object]) -> None:
    """Have ``chore`` called at each sweep; the last registration of a name counts."""
    _CHORES[name] = chore


def run_chores() -> None:
    """Call what was registered. One that fails keeps no other from its turn."""
    for name, chore in _CHORES.items():
        try:
            chore()
        except (SQLAlchemyError, Problem, OSError) as error:
            log.warning("a chore of the sweep failed", chore=name, error=str(error)[:200])
