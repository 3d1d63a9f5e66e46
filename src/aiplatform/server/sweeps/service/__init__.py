"""Use cases of sweeps.

``sweeps`` creates and cancels them, ``advancing`` does the next step of one, ``prompting`` says
when, ``sampling`` chooses parameters, ``registering`` gives the best model a name of its own.
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
