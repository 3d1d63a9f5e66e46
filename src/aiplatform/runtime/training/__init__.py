"""Training of models, with one module per method.

The module of a method contains a function that runs a job, which is listed in :data:`METHODS`.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from aiplatform.protocol.enums import TrainingMethod
from aiplatform.protocol.messages import Job
from aiplatform.protocol.trainings import TrainingSpec
from aiplatform.runtime.channel import Reporter

METHODS: Mapping[TrainingMethod, str] = {
    TrainingMethod.CLASSIFICATION: "classification:run_classification",
    TrainingMethod.CPT: "cpt:run_cpt",
    TrainingMethod.DPO: "dpo:run_dpo",
    TrainingMethod.EMBEDDING: "embedding:run_embedding",
    TrainingMethod.GRPO: "grpo:run_grpo",
    TrainingMethod.KTO: "kto:run_kto",
    TrainingMethod.ORPO: "orpo:run_orpo",
    TrainingMethod.REWARD: "reward:run_reward",
    TrainingMethod.SFT: "sft:run_sft",
}
"""The module in this package and its function, for each method.

These are names, so that only the method of the job is imported.
"""


def run_training(job: Job, spec: TrainingSpec, report: Reporter) -> dict[str, Any]:
    """Train with the method of ``spec``; return the data of the result message."""
    module, _, function = METHODS[spec.method].partition(":")
    result: dict[str, Any] = getattr(import_module(f"{__name__}.{module}"), function)(job, report)
    return result
