"""What is submitted again and again, and what becomes of times that were missed."""

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from aiplatform.protocol.specs import Strict, TaskSpec
from aiplatform.protocol.tagged import NamesKinds

Title = Annotated[str, Field(min_length=1, max_length=255)]
Priority = Annotated[int, Field(ge=1, le=10, description="higher first")]


class TaskAction(Strict):
    """Submit a task. A dataset without a version means the one that is current then."""

    kind: Literal["task"] = "task"
    name: Title
    priority: Priority = 5
    spec: TaskSpec


class RunAction(Strict):
    """Start a run of an experiment, as it is configured then."""

    kind: Literal["run"] = "run"
    experiment: UUID
    name: Title | None = None
    priority: Priority = 5


Action = Annotated[TaskAction | RunAction, Field(discriminator="kind"), NamesKinds("kind")]


class Missed(StrEnum):
    """What happens when the platform comes back after times at which a schedule was due."""

    RUN_ONCE = "run_once"
    SKIP = "skip"


class Overlap(StrEnum):
    """What happens when a schedule is due and its last task has not ended."""

    SKIP = "skip"
    ALLOW = "allow"


class FiringOutcome(StrEnum):
    """What came of a time at which a schedule was due."""

    SUBMITTED = "submitted"
    OVERLAPPED = "overlapped"
    MISSED = "missed"
    REFUSED = "refused"
