"""Shapes of sweeps in requests and answers."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.names import Name
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.specs import Strict
from aiplatform.protocol.sweeps import SweepSpec, SweepStatus, TrialState

EXAMPLE_UUID = "b6a1f1de-2c3b-4d1f-8a0e-5d7c0f4a9b33"
EXAMPLE_SPEC: Any = {
    "experiment": EXAMPLE_UUID,
    "parameters": {
        "learning_rate": {"kind": "float", "low": 1e-5, "high": 1e-3, "log": True},
        "lora.rank": {"kind": "choice", "values": [4, 8, 16]},
    },
    "method": "tpe",
    "max_trials": 20,
    "pruning": {"series": "loss", "min_steps": 10, "reduction": 3},
}


class SweepIn(Strict):
    """A search for the parameters of an experiment's config."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "faq-search", "spec": EXAMPLE_SPEC}]}
    )

    name: Annotated[str, Field(min_length=1, max_length=200)]
    spec: SweepSpec


class RegisterIn(Strict):
    """The name under which the best model is registered."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "faq-best"}]})

    name: Name


class RegisteredOut(BaseModel):
    """A model of the registry, ready for use."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": EXAMPLE_UUID, "name": "faq-best", "version": "1"}]
        }
    )

    model: UUID
    name: str
    version: str


EXAMPLE_TRIAL: Any = {
    "number": 1,
    "state": "completed",
    "params": {"lora.rank": 8},
    "value": 1.31,
    "task": EXAMPLE_UUID,
    "model": EXAMPLE_UUID,
    "progress": 1.0,
    "error": None,
}


class TrialOut(BaseModel):
    """One choice of parameters, and its result. ``number`` counts from 1."""

    number: int
    state: TrialState
    params: dict[str, Any]
    value: float | None
    task: UUID | None
    model: UUID | None
    progress: float | None
    error: str | None


EXAMPLE_SWEEP: Any = {
    "uuid": EXAMPLE_UUID,
    "project": EXAMPLE_UUID,
    "experiment": EXAMPLE_UUID,
    "name": "faq-search",
    "status": "running",
    "error": None,
    "spec": EXAMPLE_SPEC,
    "author": {"uuid": EXAMPLE_UUID, "username": "admin"},
    "created_at": "2026-11-24T16:00:00Z",
    "ended_at": None,
}


class SweepOut(BaseModel):
    """A sweep."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_SWEEP]})

    uuid: UUID
    project: UUID
    experiment: UUID
    name: str
    status: SweepStatus
    error: str | None = Field(description="why no more trials are started")
    spec: dict[str, Any]
    author: UserRef | None
    created_at: datetime
    ended_at: datetime | None


class SweepDetailOut(SweepOut):
    """A sweep with its trials by number, and the best of them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [EXAMPLE_SWEEP | {"trials": [EXAMPLE_TRIAL], "best": EXAMPLE_TRIAL}]
        }
    )

    trials: list[TrialOut]
    best: TrialOut | None
