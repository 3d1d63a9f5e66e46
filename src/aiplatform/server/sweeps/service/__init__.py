"""Use cases for sweeps.

``sweeps`` creates and cancels them, and registers the best model. ``next_step`` chooses parameters
and does the next step of a sweep.
"""

from aiplatform.server.sweeps.service.sweeps import (
    cancel_sweep,
    check_experiment_deletion,
    create_sweep,
    register_best,
    stop_author_sweeps,
)

__all__ = [
    "cancel_sweep",
    "check_experiment_deletion",
    "create_sweep",
    "register_best",
    "stop_author_sweeps",
]
