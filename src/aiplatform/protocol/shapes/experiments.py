"""The shapes of experiments, runs, sweeps, schedules and code bundles."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from aiplatform.protocol.enums import ExperimentStatus, TaskStatus, TaskType
from aiplatform.protocol.schedules import FiringOutcome, Missed, Overlap
from aiplatform.protocol.shapes.estimates import RunEstimate
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.shapes.shape import Extensible, Shape
from aiplatform.protocol.sweeps import SweepStatus, TrialState

EXAMPLE_EXPERIMENT = "5a0f3d1c-8b52-4d5e-9a51-2f3f3a8f0c44"


EXAMPLE_CONFIG: Any = {
    "type": "training",
    "base_model": EXAMPLE_EXPERIMENT,
    "dataset": {"dataset": EXAMPLE_EXPERIMENT, "version": "v1"},
    "eval_dataset": {"dataset": EXAMPLE_EXPERIMENT},
    "output_name": "faq",
    "max_steps": 60,
}


class ExperimentOut(Shape):
    """An experiment. ``metrics`` has the metrics of its best run and of each run in ``runs``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_EXPERIMENT,
                    "project": EXAMPLE_EXPERIMENT,
                    "name": "FAQ, rank 16",
                    "description": None,
                    "note": None,
                    "tags": ["faq"],
                    "archived_at": None,
                    "cloned_from": None,
                    "base_model": "smollm2@1",
                    "task_type": "sft",
                    "status": "completed",
                    "config": EXAMPLE_CONFIG,
                    "metrics": {
                        "task": EXAMPLE_EXPERIMENT,
                        "model": EXAMPLE_EXPERIMENT,
                        "eval_loss": 1.42,
                        "train_loss_last": 1.31,
                        "runs": [],
                    },
                    "author": {"uuid": EXAMPLE_EXPERIMENT, "username": "admin"},
                    "created_at": "2026-11-24T16:00:00Z",
                    "updated_at": "2026-11-24T16:03:00Z",
                }
            ]
        }
    )

    uuid: UUID
    project: UUID
    name: str
    description: str | None
    note: str | None
    tags: list[str]
    archived_at: datetime | None
    cloned_from: UUID | None
    base_model: str | None = Field(description="name@version; its uuid is in `config`")
    task_type: str | None
    status: ExperimentStatus = Field(description="of the latest run")
    config: dict[str, Any]
    metrics: dict[str, Any]
    author: UserRef | None
    created_at: datetime
    updated_at: datetime


class ExperimentRef(Shape):
    """The experiment of a run."""

    uuid: UUID
    name: str


EXAMPLE_RUN: Any = {
    "uuid": EXAMPLE_EXPERIMENT,
    "experiment": {"uuid": EXAMPLE_EXPERIMENT, "name": "FAQ, rank 16"},
    "name": "FAQ, rank 16 #1",
    "type": "training",
    "status": "completed",
    "progress": 1.0,
    "config": {"type": "training", "lora": {"rank": 16}, "seed": 42},
    "metrics": {"eval_loss": 1.42, "loss": 1.31, "steps": 60},
    "model": EXAMPLE_EXPERIMENT,
    "rerun_of": None,
    "error_message": None,
    "author": {"uuid": EXAMPLE_EXPERIMENT, "username": "admin"},
    "created_at": "2026-11-24T16:00:00Z",
    "started_at": "2026-11-24T16:00:01Z",
    "completed_at": "2026-11-24T16:03:00Z",
}


class RunOut(Shape):
    """A training run or an external run. The task with the same uuid has its logs and metrics."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_RUN]})

    uuid: UUID
    experiment: ExperimentRef | None
    name: str
    type: TaskType = Field(description="training, or external for one that executes elsewhere")
    status: TaskStatus
    progress: float
    config: dict[str, Any]
    metrics: dict[str, Any] = Field(
        description="the metrics of its result and the last value of each series, once it has ended"
    )
    model: UUID | None
    rerun_of: UUID | None
    error_message: str | None
    author: UserRef | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class RecordedInput(Shape):
    """An input of a run: a human-readable label and the hash of its content."""

    role: str
    label: str
    sha256: str | None


class Record(Shape):
    """Everything needed to repeat a run and to explain differences between runs."""

    seed: int | None
    config: dict[str, Any]
    inputs: list[RecordedInput] = Field(description="dataset versions and base model, with hashes")
    git: dict[str, Any] | None = Field(description="the caller's source code, where it was told")
    environment: dict[str, Any] | None = Field(
        description="platform, Python, packages, hardware; null until the run has begun"
    )


class RunDetailOut(RunOut):
    """A run with its record."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                EXAMPLE_RUN
                | {
                    "record": {
                        "seed": 42,
                        "config": EXAMPLE_RUN["config"],
                        "inputs": [{"role": "dataset", "label": "faq@v1", "sha256": "9f86d081…"}],
                        "git": None,
                        "environment": {"python": "3.12.3"},
                    }
                }
            ]
        }
    )

    record: Record
    estimate: RunEstimate | None = Field(
        None, description="the newest estimate of the same training that was made before"
    )


class ComparedOut(Shape):
    """A column of a comparison. ``run`` is the run that the metrics come from."""

    kind: Annotated[Literal["experiment", "run"], Extensible()]
    uuid: UUID
    name: str
    status: str
    run: UUID | None


class ComparisonOut(Shape):
    """A comparison of experiments and runs; its lists follow the order of ``items``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "kind": "run",
                            "uuid": EXAMPLE_EXPERIMENT,
                            "name": "FAQ #1",
                            "status": "completed",
                            "run": EXAMPLE_EXPERIMENT,
                        }
                    ],
                    "same": {"max_steps": 60},
                    "differs": {"lora.rank": [8]},
                    "metrics": {"eval_loss": [1.42]},
                    "series": ["eval_loss", "loss"],
                }
            ]
        }
    )

    items: list[ComparedOut]
    same: dict[str, Any] = Field(description="what the configs have in common, by path")
    differs: dict[str, list[Any]] = Field(description="what they do not; null where one lacks it")
    metrics: dict[str, list[Any]]
    series: list[str] = Field(
        description="keys of series that one of them has; see `GET …/tasks/{task}/metrics`"
    )


EXAMPLE_SWEEP_UUID = "b6a1f1de-2c3b-4d1f-8a0e-5d7c0f4a9b33"


EXAMPLE_SPEC: Any = {
    "experiment": EXAMPLE_SWEEP_UUID,
    "parameters": {
        "learning_rate": {"kind": "float", "low": 1e-5, "high": 1e-3, "log": True},
        "lora.rank": {"kind": "choice", "values": [4, 8, 16]},
    },
    "method": "tpe",
    "max_trials": 20,
    "pruning": {"series": "loss", "min_steps": 10, "reduction": 3},
}


EXAMPLE_TRIAL: Any = {
    "number": 1,
    "state": "completed",
    "params": {"lora.rank": 8},
    "value": 1.31,
    "task": EXAMPLE_SWEEP_UUID,
    "model": EXAMPLE_SWEEP_UUID,
    "progress": 1.0,
    "error": None,
}


class TrialOut(Shape):
    """One choice of parameters and its result. ``number`` counts from 1."""

    number: int
    state: Annotated[TrialState, Extensible()]
    params: dict[str, Any]
    value: float | None
    task: UUID | None
    model: UUID | None
    progress: float | None
    error: str | None


EXAMPLE_SWEEP: Any = {
    "uuid": EXAMPLE_SWEEP_UUID,
    "project": EXAMPLE_SWEEP_UUID,
    "experiment": EXAMPLE_SWEEP_UUID,
    "name": "faq-search",
    "status": "running",
    "error": None,
    "spec": EXAMPLE_SPEC,
    "author": {"uuid": EXAMPLE_SWEEP_UUID, "username": "admin"},
    "created_at": "2026-11-24T16:00:00Z",
    "ended_at": None,
}


class SweepOut(Shape):
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
    """A sweep with its trials, ordered by number, and the best trial."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [EXAMPLE_SWEEP | {"trials": [EXAMPLE_TRIAL], "best": EXAMPLE_TRIAL}]
        }
    )

    trials: list[TrialOut]
    best: TrialOut | None


EXAMPLE_SCHEDULE_UUID = "7f6b3a52-1d5e-4d6c-8a1b-0c6b7b0f9e11"


EXAMPLE_ACTION: Any = {"kind": "run", "experiment": EXAMPLE_SCHEDULE_UUID, "priority": 5}


class FiringOut(Shape):
    """A time at which a schedule was due, and the outcome."""

    due_at: datetime
    fired_at: datetime
    outcome: Annotated[FiringOutcome, Extensible()]
    task: UUID | None
    code: str | None
    reason: str | None
    reason_zh: str | None


class ScheduleOut(Shape):
    """A schedule. It fires with the permissions that its owner has at that time."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_SCHEDULE_UUID,
                    "project": EXAMPLE_SCHEDULE_UUID,
                    "name": "nightly",
                    "cron": "30 2 * * *",
                    "timezone": "Asia/Shanghai",
                    "action": EXAMPLE_ACTION,
                    "missed": "run_once",
                    "overlap": "skip",
                    "enabled": True,
                    "next_at": "2026-11-25T18:30:00Z",
                    "upcoming": ["2026-11-25T18:30:00Z", "2026-11-26T18:30:00Z"],
                    "last": None,
                    "owner": {"uuid": EXAMPLE_SCHEDULE_UUID, "username": "admin"},
                    "owner_is_active": True,
                    "created_at": "2026-11-24T16:00:00Z",
                    "updated_at": "2026-11-24T16:00:00Z",
                }
            ]
        }
    )

    uuid: UUID
    project: UUID
    name: str
    cron: str
    timezone: str
    action: dict[str, Any]
    missed: Missed
    overlap: Overlap
    enabled: bool
    next_at: datetime | None
    upcoming: list[datetime] = Field(description="the next times, if it stays as it is")
    last: FiringOut | None
    owner: UserRef | None
    owner_is_active: bool = Field(description="while this is false, it is refused at every time")
    created_at: datetime
    updated_at: datetime


class BundleOut(Shape):
    """A code bundle. ``size`` and ``unpacked_bytes`` are in bytes."""

    uuid: UUID
    name: str
    sha256: str
    size: int
    files: int
    unpacked_bytes: int
    source: dict[str, Any] | None = Field(description="where it comes from, as its sender says")
    author: str | None
    created_at: datetime

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": "0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21",
                    "name": "trainer",
                    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "size": 18342,
                    "files": 12,
                    "unpacked_bytes": 60211,
                    "source": {"commit": "1f0c2a9", "remote": "https://git.example.com/a/b.git"},
                    "author": "ada",
                    "created_at": "2026-11-20T08:00:00Z",
                }
            ]
        }
    )
