"""Use cases for experiments.

``experiments`` creates and changes experiments. ``estimates`` predicts the steps, time and memory
of a training run. ``trainings`` handles training tasks and external runs, and ``evaluations``
handles evaluations, from the submission to the stored outcome. ``comparisons`` compares experiments
and runs.
"""

from aiplatform.server.experiments.service.comparisons import compare, record
from aiplatform.server.experiments.service.estimates import estimate_of_run, submit_estimate
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
    "estimate_of_run",
    "on_delete",
    "record",
    "require_reference",
    "rerun",
    "submit_estimate",
    "submit_run",
    "update_experiment",
]
