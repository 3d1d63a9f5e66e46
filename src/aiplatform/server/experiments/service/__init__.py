"""Use cases of experiments.

``experiments`` makes and changes them, ``trainings`` and ``evaluations`` are their tasks, from
submission to what is kept of the outcome; ``inputs`` is what those read.
"""

from aiplatform.server.experiments.service.experiments import (
    create_experiment,
    delete_experiment,
    update_experiment,
)
from aiplatform.server.experiments.service.trainings import submit_run

__all__ = ["create_experiment", "delete_experiment", "submit_run", "update_experiment"]
