"""Use cases of sweeps.

``sweeps`` creates and cancels them. ``advancing`` does the next step of a sweep, and ``prompting``
schedules it. ``sampling`` chooses parameters. ``registering`` registers the best model.
"""

from aiplatform.server.sweeps.service.registering import register_best
from aiplatform.server.sweeps.service.sweeps import (
    cancel_sweep,
    create_sweep,
    go_with_experiment,
    stop_author_sweeps,
)

__all__ = [
    "cancel_sweep",
    "create_sweep",
    "go_with_experiment",
    "register_best",
    "stop_author_sweeps",
]
