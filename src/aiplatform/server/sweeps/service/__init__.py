"""Use cases for sweeps.

``sweeps`` creates and cancels them. ``next_step`` does the next step of a sweep, and ``triggers``
schedules it. ``sampling`` chooses parameters. ``best_model`` registers the best model.
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
