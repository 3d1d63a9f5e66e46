"""Training of models, with one module per method.

Each method is a module with a function that runs a job, and has a case in :func:`run_training`
under its name in ``TrainingSpec.method``.
"""

from typing import Any, assert_never

from aiplatform.protocol.messages import Job
from aiplatform.protocol.specs import TrainingSpec
from aiplatform.runtime.channel import Reporter


def run_training(job: Job, spec: TrainingSpec, report: Reporter) -> dict[str, Any]:
    """Train with the method of ``spec``; return the data of the result message."""
    match spec.method:
        case "sft":
            from aiplatform.runtime.training.sft import run_sft

            return run_sft(job, report)
        case _ as other:
            assert_never(other)
