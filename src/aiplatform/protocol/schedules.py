"""The actions of schedules, and their policies for missed times and overlapping tasks."""

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from aiplatform.protocol.discriminated_unions import KindErrors
from aiplatform.protocol.specs import Strict, TaskSpec

Title = Annotated[str, Field(min_length=1, max_length=255)]
Priority = Annotated[int, Field(ge=1, le=10, description="higher first")]


class TaskAction(Strict):
    """An action that submits a task.

    For a dataset without a version, the version that is current when the task is submitted is used.
    """

    kind: Literal["task"] = "task"
    name: Title
    priority: Priority = 5
    spec: TaskSpec


class RunAction(Strict):
    """An action that starts a run of an experiment with the experiment's current config."""

    kind: Literal["run"] = "run"
    experiment: UUID
    name: Title | None = None
    priority: Priority = 5


Action = Annotated[TaskAction | RunAction, Field(discriminator="kind"), KindErrors("kind")]


class Missed(StrEnum):
    """The policy for scheduled times at which the platform was not running."""

    RUN_ONCE = "run_once"
    SKIP = "skip"


class Overlap(StrEnum):
    """The policy for scheduled times at which the schedule's last task has not ended."""

    SKIP = "skip"
    ALLOW = "allow"


class FiringOutcome(StrEnum):
    """The outcome of a time at which a schedule was due."""

    SUBMITTED = "submitted"
    OVERLAPPED = "overlapped"
    MISSED = "missed"
    REFUSED = "refused"
