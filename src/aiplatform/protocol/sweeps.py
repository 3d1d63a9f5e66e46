"""Specs of hyper-parameter sweeps: the parameters, the search method and the objective."""

import re
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, model_validator

from aiplatform.protocol.discriminated_unions import KindErrors
from aiplatform.protocol.gates import OverrideReason
from aiplatform.protocol.specs import Strict
from aiplatform.protocol.trainings import Steps

MAX_NUMBER = 1e15
MAX_INTEGER = 2**53
"""Largest integer that keeps all its digits in samplers and in JSON."""

Number = Annotated[float, Field(ge=-MAX_NUMBER, le=MAX_NUMBER)]
Integer = Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]
MOST_STEPS = 1e9
PATH = re.compile(r"^[a-z_][a-z0-9_]{0,60}(\.[a-z_][a-z0-9_]{0,60}){0,4}$")


class Choice(Strict):
    """A parameter that takes one of several values."""

    kind: Literal["choice"] = "choice"
    values: list[bool | Integer | Number | str] = Field(min_length=1, max_length=100)


class FloatRange(Strict):
    """A number from ``low`` to ``high``; with ``log``, its logarithm is uniformly distributed."""

    kind: Literal["float"] = "float"
    low: Number
    high: Number
    log: bool = False
    step: Annotated[float, Field(gt=0, le=MAX_NUMBER)] | None = None

    @model_validator(mode="after")
    def _is_range(self) -> "FloatRange":
        if self.low > self.high or (self.log and (self.low <= 0 or self.step is not None)):
            raise ValueError("low must not exceed high; log needs low above 0 and no step")
        if self.step is not None and (self.high - self.low) / self.step > MOST_STEPS:
            raise ValueError("the range is too wide, or its step too small")
        return self


class IntRange(Strict):
    """A whole number from ``low`` to ``high``, inclusive."""

    kind: Literal["int"] = "int"
    low: Integer
    high: Integer
    log: bool = False
    step: Annotated[int, Field(ge=1, le=MAX_INTEGER)] = 1

    @model_validator(mode="after")
    def _is_range(self) -> "IntRange":
        if self.low > self.high or (self.log and (self.low < 1 or self.step != 1)):
            raise ValueError("low must not exceed high; log needs low above 0 and step 1")
        return self


Parameter = Annotated[
    Choice | FloatRange | IntRange, Field(discriminator="kind"), KindErrors("kind")
]


class Asha(Strict):
    """Asynchronous successive halving, Li et al. 2020 (arXiv:1810.05934).

    A trial that reaches step ``min_steps * reduction ** n`` continues if it is among the best ``1 /
    reduction`` of the trials that have reached it so far. With ``pause``, the others pause at a
    checkpoint and resume if they later turn out to be among the best and there is room. With
    ``stop``, they are stopped.
    """

    series: str = Field("loss", max_length=200, description="what trials are compared by meanwhile")
    min_steps: Steps = 10
    reduction: int = Field(3, ge=2, le=16)
    halt: Literal["pause", "stop"] = "pause"


class SweepSpec(Strict):
    """A search for the best parameters of an experiment's config."""

    experiment: UUID
    parameters: dict[str, Parameter] = Field(min_length=1, max_length=20)
    method: Literal["grid", "random", "tpe"] = Field(
        "tpe", description="tpe: Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization"
    )
    objective: str = Field("eval_loss", min_length=1, max_length=200)
    direction: Literal["minimize", "maximize"] = "minimize"
    max_trials: int = Field(20, ge=1, le=500)
    parallelism: int = Field(2, ge=1, le=64)
    seed: int = Field(42, ge=0, le=2**32 - 1)
    priority: int = Field(5, ge=1, le=10, description="of the trials' tasks; higher first")
    pruning: Asha | None = None
    override_gate: OverrideReason | None = Field(
        None,
        description="why its trials train although the data fails the quality gate; the audit "
        "keeps it for each",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "SweepSpec":
        for path in self.parameters:
            if not PATH.fullmatch(path):
                raise ValueError(
                    f"{path[:80]!r} is not a path in a config; write it like lora.rank"
                )
        if self.method == "grid":
            for path, parameter in self.parameters.items():
                if isinstance(parameter, FloatRange) and parameter.step is None:
                    raise ValueError(f"{path}: a grid needs values, or a step")
        return self


class SweepStatus(StrEnum):
    """The state of a sweep: ``failed`` if no more trials could be started or none succeeded."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TrialState(StrEnum):
    """The state of a trial: ``pruned`` if it was stopped because others were better."""

    RUNNING = "running"
    PAUSED = "paused"
    RESUMING = "resuming"
    COMPLETED = "completed"
    PRUNED = "pruned"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_active(self) -> bool:
        """True if the trial's task may still be running."""
        return self in {TrialState.RUNNING, TrialState.PAUSED, TrialState.RESUMING}


Params = dict[str, Any]
"""Values keyed by the config paths that they replace."""
