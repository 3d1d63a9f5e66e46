"""Use cases of experiments.

``experiments`` makes and changes them, ``trainings`` and ``evaluations`` are their tasks, from
submission to what is kept of the outcome; ``inputs`` is what those read; ``comparisons`` puts
several side by side.
"""

from aiplatform.server.experiments.service.comparisons import compare, record
from aiplatform.server.experiments.service.experiments import (
    changed_config,
    clone_experiment,
    create_experiment,
    delete_experiment,
    on_delete,
    update_experiment,
)
from aiplatform.server.experiments.service.trainings import require_reference, rerun, submit_run

__all__ = [
    "changed_config",
    "clone_experiment",
    "compare",
    "create_experiment",
    "delete_experiment",
    "on_delete",
    "record",
    "require_reference",
    "rerun",
    "submit_run",
    "update_experiment",
]
