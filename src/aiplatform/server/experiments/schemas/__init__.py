"""Shapes of requests and answers: ``experiments``, and ``runs`` with records and comparisons."""

from aiplatform.server.experiments.schemas.experiments import (
    CloneIn,
    ExperimentChange,
    ExperimentIn,
    ExperimentOut,
    GitState,
    RunIn,
)
from aiplatform.server.experiments.schemas.runs import (
    ComparedOut,
    ComparisonOut,
    ExperimentRef,
    Record,
    RecordedInput,
    RerunIn,
    RunDetailOut,
    RunOut,
)

__all__ = [
    "CloneIn",
    "ComparedOut",
    "ComparisonOut",
    "ExperimentChange",
    "ExperimentIn",
    "ExperimentOut",
    "ExperimentRef",
    "GitState",
    "Record",
    "RecordedInput",
    "RerunIn",
    "RunDetailOut",
    "RunIn",
    "RunOut",
]
