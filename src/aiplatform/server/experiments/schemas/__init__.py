"""Request bodies of experiments and runs."""

from aiplatform.server.experiments.schemas.experiments import (
    CloneIn,
    ExperimentChange,
    ExperimentIn,
    GitState,
    RunIn,
)
from aiplatform.server.experiments.schemas.runs import RerunIn

__all__ = [
    "CloneIn",
    "ExperimentChange",
    "ExperimentIn",
    "GitState",
    "RerunIn",
    "RunIn",
]
